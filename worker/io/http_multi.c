#include "worker/io/http_multi.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/banned.h"

enum {
    /* Sockets served in one turn before the loop looks at its other handles ... */
    EVENTS_A_TURN = 256,
    /* ... and before what came of them is answered, and what follows from that is sent: what waits
       longer waits for nothing, and leaves the processor's caches. Where few are ready the next
       call counts, each is a round; where many are, the work a call. */
    EVENTS_A_ROUND = 16,
    FEW_EVENTS = 32,
    SOCKETS_FIRST = 64,
    POOL_HANDLES = 32,
};

/* By file descriptor. */
struct socket_state {
    struct http_pool *pool; /* whose handle connects with it */
    void *owner;            /* NULL: not connected yet, curl's */
    uint32_t registered;    /* the events as the kernel has them; 0: not in the set */
    bool taken;             /* curl does not close it */
};

struct http_pool {
    struct http_multi *multi;
    CURLM *curl;
    struct loop_timer *timer;
    size_t handles;
};

struct http_multi {
    struct http_pool *pools;
    size_t pool_count;
    CURLSH *share;
    int epoll_fd;
    struct loop_reader *reader;
    uint64_t round;
    struct socket_state *sockets;
    size_t socket_count;
    const struct address_range *denied;
    size_t denied_count;
    struct http_multi_events events;
    void *context;
};

/* ---- sockets --------------------------------------------------------------------------------- */

/* NULL when out of memory. */
static struct socket_state *state_of(struct http_multi *multi, int fd)
{
    size_t index = (size_t)fd;
    if (index >= multi->socket_count) {
        size_t count = multi->socket_count == 0 ? SOCKETS_FIRST : multi->socket_count;
        while (count <= index)
            count *= 2;
        struct socket_state *sockets = realloc(multi->sockets, count * sizeof(*sockets));
        if (sockets == NULL)
            return NULL;
        memset(sockets + multi->socket_count, 0, (count - multi->socket_count) * sizeof(*sockets));
        multi->sockets = sockets;
        multi->socket_count = count;
    }
    return &multi->sockets[index];
}

void http_multi_deny(struct http_multi *multi, const struct address_range *ranges, size_t count)
{
    multi->denied = ranges;
    multi->denied_count = count;
}

static void note_address(struct http_binding *binding, const struct sockaddr *address)
{
    const void *bytes = address->sa_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)address)->sin_addr;
    if (inet_ntop(address->sa_family, bytes, binding->address, sizeof(binding->address)) == NULL)
        binding->address[0] = '\0';
}

static bool is_denied(struct http_binding *binding, const struct sockaddr *address)
{
    const struct http_multi *multi = binding->pool->multi;
    for (size_t i = 0; i < multi->denied_count; i++) {
        if (!address_range_holds(&multi->denied[i], address))
            continue;
        binding->denied = &multi->denied[i];
        note_address(binding, address);
        return true;
    }
    return false;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_binding *binding = context;
    struct http_multi *multi = binding->pool->multi;
    if (purpose != CURLSOCKTYPE_IPCXN || is_denied(binding, &address->addr))
        return CURL_SOCKET_BAD;
    binding->opened = true;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    struct socket_state *state = state_of(multi, fd);
    if (state == NULL) {
        (void)close(fd);
        return CURL_SOCKET_BAD;
    }
    *state = (struct socket_state){.pool = NULL};
    return fd;
}

/* Closing takes a socket out of the epoll set. */
static int close_socket(void *context, curl_socket_t fd)
{
    struct http_multi *multi = context;
    if ((size_t)fd < multi->socket_count) {
        if (multi->sockets[fd].taken)
            return 0;
        multi->sockets[fd] = (struct socket_state){.pool = NULL};
    }
    return close(fd);
}

static void register_socket(struct http_multi *multi, int fd, struct socket_state *state,
                            uint32_t events)
{
    if (state->registered == events)
        return;
    struct epoll_event event = {.events = events, .data.fd = fd};
    int operation = events == 0              ? EPOLL_CTL_DEL
                    : state->registered == 0 ? EPOLL_CTL_ADD
                                             : EPOLL_CTL_MOD;
    if (epoll_ctl(multi->epoll_fd, operation, fd, &event) != 0 && operation == EPOLL_CTL_ADD &&
        errno == EEXIST)
        (void)epoll_ctl(multi->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    state->registered = events;
}

/* Also for sockets that open_socket() does not see: curl's own pair to its resolver. */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    (void)easy;
    (void)unused;
    struct http_pool *pool = context;
    struct http_multi *multi = pool->multi;
    struct socket_state *state = state_of(multi, fd);
    if (state == NULL)
        return 0; /* the call's time-out ends it */
    if (state->owner != NULL)
        return 0;
    state->pool = pool;
    uint32_t wanted = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        wanted |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        wanted |= EPOLLOUT;
    register_socket(multi, fd, state, wanted);
    return 0;
}

int http_multi_own(struct http_multi *multi, int fd, void *owner)
{
    struct socket_state *state = state_of(multi, fd);
    if (state == NULL)
        return -1;
    state->owner = owner;
    register_socket(multi, fd, state, EPOLLIN | EPOLLRDHUP);
    return 0;
}

int http_multi_take(struct http_multi *multi, int fd, void *owner)
{
    if (http_multi_own(multi, fd, owner) != 0)
        return -1;
    multi->sockets[fd].taken = true;
    return 0;
}

void http_multi_close(struct http_multi *multi, int fd)
{
    multi->sockets[fd].taken = false;
    (void)close_socket(multi, fd);
}

void http_multi_want_write(struct http_multi *multi, int fd, bool wanted)
{
    register_socket(multi, fd, &multi->sockets[fd], EPOLLIN | EPOLLRDHUP | (wanted ? EPOLLOUT : 0));
}

uint64_t http_multi_round(const struct http_multi *multi)
{
    return multi->round;
}

/* ---- running curl ---------------------------------------------------------------------------- */

/* What was made is told at once: before it is used curl may take it for an idle one, and close it
 * when something came over it. */
static void act(struct http_pool *pool, curl_socket_t fd, int events)
{
    int running = 0, left = 0;
    CURLMsg *message;
    (void)curl_multi_socket_action(pool->curl, fd, events, &running);
    while ((message = curl_multi_info_read(pool->curl, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            pool->multi->events.made(pool->multi->context, message->easy_handle,
                                     message->data.result);
}

static void socket_ready(struct http_multi *multi, const struct epoll_event *event)
{
    int fd = event->data.fd;
    struct socket_state *state = &multi->sockets[fd];
    bool readable = (event->events & (uint32_t)~EPOLLOUT) != 0;
    bool writable = (event->events & EPOLLOUT) != 0;
    if (state->owner != NULL)
        multi->events.ready(multi->context, state->owner, readable,
                            (event->events & EPOLLRDHUP) != 0);
    else if (state->registered != 0) /* an earlier event may have closed it */
        /* An error is not passed on as one: reading or writing tells curl which. */
        act(state->pool, fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
}

/* Whom a request wakes the kernel often puts on the sender's processor, taking the sender for
 * about to wait: such a one goes before more is read, so that what leaves together does not come
 * back together. */
static void end_round(struct http_multi *multi)
{
    multi->events.round(multi->context);
    multi->round++;
    (void)sched_yield();
}

static void sockets_ready(void *context)
{
    struct http_multi *multi = context;
    struct epoll_event events[EVENTS_A_TURN];
    int count = epoll_wait(multi->epoll_fd, events, EVENTS_A_TURN, 0);
    int a_round = count > FEW_EVENTS ? EVENTS_A_ROUND : 1;
    for (int i = 0; i < count; i++) {
        socket_ready(multi, &events[i]);
        if (i + 1 == count || (i + 1) % a_round == 0)
            end_round(multi);
    }
}

static int timer_wanted(CURLM *curl, long timeout_ms, void *context)
{
    (void)curl;
    struct http_pool *pool = context;
    loop_timer_set(pool->timer, timeout_ms < 0 ? INT64_MAX : loop_mono_ms() + timeout_ms);
    return 0;
}

static void timer_fired(void *context)
{
    struct http_pool *pool = context;
    act(pool, CURL_SOCKET_TIMEOUT, 0);
    end_round(pool->multi);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int open_pool(struct http_multi *multi, struct http_pool *pool, struct loop *loop,
                     struct error *err)
{
    pool->multi = multi;
    pool->timer = loop_timer_new(loop, timer_fired, pool, err);
    if (pool->timer == NULL)
        return -1;
    pool->curl = curl_multi_init();
    if (pool->curl == NULL)
        return error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
    if (curl_multi_setopt(pool->curl, CURLMOPT_SOCKETFUNCTION, socket_wanted) != CURLM_OK ||
        curl_multi_setopt(pool->curl, CURLMOPT_SOCKETDATA, pool) != CURLM_OK ||
        curl_multi_setopt(pool->curl, CURLMOPT_TIMERFUNCTION, timer_wanted) != CURLM_OK ||
        curl_multi_setopt(pool->curl, CURLMOPT_TIMERDATA, pool) != CURLM_OK ||
        curl_multi_setopt(pool->curl, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK)
        return error_set(err, ERROR_INTERNAL, "libcurl refuses an option of the multi handle");
    return 0;
}

static int open_pools(struct http_multi *multi, struct loop *loop, unsigned most_connections,
                      struct error *err)
{
    size_t count = (most_connections + POOL_HANDLES - 1) / POOL_HANDLES;
    multi->pools = calloc(count, sizeof(*multi->pools));
    if (multi->pools == NULL || (multi->share = curl_share_init()) == NULL)
        return error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
    if (curl_share_setopt(multi->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK)
        return error_set(err, ERROR_INTERNAL, "libcurl refuses to share names");
    for (; multi->pool_count < count; multi->pool_count++)
        if (open_pool(multi, &multi->pools[multi->pool_count], loop, err) != 0) {
            multi->pool_count++; /* what there is of it is closed with the others */
            return -1;
        }
    return 0;
}

struct http_multi *http_multi_new(struct loop *loop, unsigned most_connections,
                                  const struct http_multi_events *events, void *context,
                                  struct error *err)
{
    struct http_multi *multi = calloc(1, sizeof(*multi));
    if (multi == NULL) {
        (void)error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
        return NULL;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)error_set(err, ERROR_INTERNAL, "libcurl did not start");
        free(multi);
        return NULL;
    }
    multi->round = 1;
    multi->events = *events;
    multi->context = context;
    multi->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (multi->epoll_fd < 0)
        (void)error_set(err, ERROR_INTERNAL, "epoll_create1: %s", strerror(errno));
    else if (open_pools(multi, loop, most_connections, err) == 0 &&
             (multi->reader = loop_reader_new(loop, multi->epoll_fd, sockets_ready, multi, err)) !=
                 NULL)
        return multi;
    http_multi_free(multi);
    return NULL;
}

/* Calls socket_wanted, close_socket. */
static void close_pool(struct http_pool *pool)
{
    if (pool->curl != NULL) {
        CURLMcode code = curl_multi_cleanup(pool->curl);
        assert(code == CURLM_OK);
        (void)code;
    }
    loop_timer_free(pool->timer);
}

void http_multi_free(struct http_multi *multi)
{
    if (multi == NULL)
        return;
    for (size_t i = 0; i < multi->pool_count; i++)
        close_pool(&multi->pools[i]);
    if (multi->share != NULL)
        (void)curl_share_cleanup(multi->share);
    curl_global_cleanup();
    loop_reader_free(multi->reader);
    if (multi->epoll_fd >= 0)
        (void)close(multi->epoll_fd);
    free(multi->pools);
    free(multi->sockets);
    free(multi);
}

/* The first that has room; when none has, the one with the fewest. */
static struct http_pool *choose_pool(struct http_multi *multi)
{
    struct http_pool *best = &multi->pools[0];
    for (size_t i = 0; i < multi->pool_count && best->handles >= POOL_HANDLES; i++)
        if (multi->pools[i].handles < best->handles)
            best = &multi->pools[i];
    return best;
}

int http_multi_add(struct http_multi *multi, CURL *easy, struct http_binding *binding,
                   struct error *err)
{
    struct http_pool *pool = choose_pool(multi);
    *binding = (struct http_binding){.pool = pool};
    if (curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, binding) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, multi) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_SHARE, multi->share) != CURLE_OK)
        return error_set(err, ERROR_INTERNAL, "libcurl refuses an option of its sockets");
    CURLMcode code = curl_multi_add_handle(pool->curl, easy);
    if (code != CURLM_OK)
        return error_set(err, code == CURLM_OUT_OF_MEMORY ? ERROR_MEMORY : ERROR_INTERNAL,
                         "libcurl: %s", curl_multi_strerror(code));
    pool->handles++;
    return 0;
}

void http_multi_remove(const struct http_binding *binding, CURL *easy)
{
    (void)curl_multi_remove_handle(binding->pool->curl, easy);
    binding->pool->handles--;
}
