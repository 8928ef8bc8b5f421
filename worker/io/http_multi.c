#include "worker/io/http_multi.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/banned.h"

enum {
    /* Sockets served in one turn before the loop looks at its other handles ... */
    EVENTS_A_TURN = 256,
    /* ... and before what came of them is answered, and what follows from that is sent: what waits
       longer waits for nothing, and leaves the processor's caches. */
    EVENTS_A_ROUND = 16,
    SOCKETS_FIRST = 64,
    POOL_CALLS = 32,
};

/* By file descriptor. */
struct socket_state {
    struct http_pool *pool;   /* whose transfer uses it */
    unsigned char registered; /* EPOLLIN | EPOLLOUT as the kernel has it; 0: not in the set */
    unsigned char wanted;     /* as curl wants it */
    bool ours;                /* opened by open_socket(), so closed by close_socket() */
};

struct http_pool {
    struct http_multi *multi;
    CURLM *curl;
    struct loop_timer *timer;
    int64_t deadline_ms; /* curl's, INT64_MAX: none */
    int64_t armed_ms;    /* what `timer` is set to: never later than deadline_ms */
    bool acted;          /* transfers may have ended since they were asked for last */
};

struct http_multi {
    struct http_pool *pools;
    size_t pool_count;
    size_t bound; /* handles so far */
    CURLSH *share;
    int epoll_fd;
    struct loop_reader *reader;
    bool serving; /* what is due at once will be done without a timer */
    struct socket_state *sockets;
    size_t socket_count;
    const struct address_range *denied;
    size_t denied_count;
    void (*done)(void *context, CURL *easy, CURLcode code);
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
    *state = (struct socket_state){.ours = true};
    return fd;
}

/* Closing takes a socket out of the epoll set. */
static int close_socket(void *context, curl_socket_t fd)
{
    struct http_multi *multi = context;
    if ((size_t)fd < multi->socket_count)
        multi->sockets[fd] = (struct socket_state){.ours = false};
    return close(fd);
}

static void register_socket(struct http_multi *multi, int fd, struct socket_state *state,
                            unsigned char events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    int operation = events == 0              ? EPOLL_CTL_DEL
                    : state->registered == 0 ? EPOLL_CTL_ADD
                                             : EPOLL_CTL_MOD;
    if (epoll_ctl(multi->epoll_fd, operation, fd, &event) != 0 && operation == EPOLL_CTL_ADD &&
        errno == EEXIST)
        (void)epoll_ctl(multi->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    state->registered = events;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    (void)easy;
    (void)unused;
    struct http_pool *pool = context;
    struct http_multi *multi = pool->multi;
    struct socket_state *state = state_of(multi, fd);
    if (state == NULL)
        return 0; /* the transfer's timeout ends it */
    state->pool = pool;
    state->wanted = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        state->wanted |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        state->wanted |= EPOLLOUT;
    if (state->wanted != state->registered && (state->wanted != 0 || !state->ours))
        register_socket(multi, fd, state, state->wanted);
    return 0;
}

/* ---- running curl ---------------------------------------------------------------------------- */

static void report_done(struct http_pool *pool)
{
    int left = 0;
    CURLMsg *message;
    pool->acted = false;
    while ((message = curl_multi_info_read(pool->curl, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        (void)curl_multi_remove_handle(pool->curl, easy);
        pool->multi->done(pool->multi->context, easy, code);
    }
}

static void act(struct http_pool *pool, curl_socket_t fd, int events)
{
    int running = 0;
    pool->acted = true;
    (void)curl_multi_socket_action(pool->curl, fd, events, &running);
}

static void arm(struct http_pool *pool)
{
    if (pool->deadline_ms < pool->armed_ms) {
        pool->armed_ms = pool->deadline_ms;
        loop_timer_set(pool->timer, pool->armed_ms);
    }
}

static void time_out(struct http_pool *pool)
{
    pool->deadline_ms = INT64_MAX;
    act(pool, CURL_SOCKET_TIMEOUT, 0);
}

static void socket_ready(struct http_multi *multi, const struct epoll_event *event)
{
    int fd = event->data.fd;
    struct socket_state *state = &multi->sockets[fd];
    if (state->wanted == 0) {
        /* Idle: the server closed or talks out of turn. curl finds out before it uses it again. */
        if (state->registered != 0)
            register_socket(multi, fd, state, 0);
        return;
    }
    /* An error is not passed on as one: reading or writing tells curl which. */
    int mask = 0;
    if ((event->events & (uint32_t)~EPOLLOUT) != 0)
        mask |= CURL_CSELECT_IN;
    if ((event->events & EPOLLOUT) != 0)
        mask |= CURL_CSELECT_OUT;
    act(state->pool, fd, mask);
}

static void end_round(struct http_multi *multi)
{
    for (size_t i = 0; i < multi->pool_count; i++)
        if (multi->pools[i].acted)
            report_done(&multi->pools[i]);
    for (size_t i = 0; i < multi->pool_count; i++)
        if (multi->pools[i].deadline_ms == 0)
            time_out(&multi->pools[i]);
}

static void sockets_ready(void *context)
{
    struct http_multi *multi = context;
    struct epoll_event events[EVENTS_A_TURN];
    int count = epoll_wait(multi->epoll_fd, events, EVENTS_A_TURN, 0);
    multi->serving = true;
    for (int i = 0; i < count; i++) {
        socket_ready(multi, &events[i]);
        if (i + 1 == count || (i + 1) % EVENTS_A_ROUND == 0)
            end_round(multi);
    }
    multi->serving = false;
    for (size_t i = 0; i < multi->pool_count; i++) {
        struct http_pool *pool = &multi->pools[i];
        if (pool->acted)
            report_done(pool); /* of those that failed at once */
        arm(pool);
    }
}

static int timer_wanted(CURLM *curl, long timeout_ms, void *context)
{
    (void)curl;
    struct http_pool *pool = context;
    pool->deadline_ms = timeout_ms < 0    ? INT64_MAX
                        : timeout_ms == 0 ? 0
                                          : loop_mono_ms() + timeout_ms;
    if (!pool->multi->serving)
        arm(pool);
    return 0;
}

static void timer_fired(void *context)
{
    struct http_pool *pool = context;
    pool->armed_ms = INT64_MAX;
    if (pool->deadline_ms > loop_mono_ms()) {
        arm(pool); /* curl has moved it meanwhile */
        return;
    }
    time_out(pool);
    report_done(pool);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int open_pool(struct http_multi *multi, struct http_pool *pool, struct loop *loop,
                     unsigned most_connections, struct error *err)
{
    pool->multi = multi;
    pool->deadline_ms = pool->armed_ms = INT64_MAX;
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
        curl_multi_setopt(pool->curl, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK ||
        curl_multi_setopt(pool->curl, CURLMOPT_MAXCONNECTS, (long)most_connections) != CURLM_OK)
        return error_set(err, ERROR_INTERNAL, "libcurl refuses an option of the multi handle");
    return 0;
}

static int open_pools(struct http_multi *multi, struct loop *loop, unsigned most_connections,
                      struct error *err)
{
    size_t count = (most_connections + POOL_CALLS - 1) / POOL_CALLS;
    multi->pools = calloc(count, sizeof(*multi->pools));
    if (multi->pools == NULL || (multi->share = curl_share_init()) == NULL)
        return error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
    if (curl_share_setopt(multi->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK)
        return error_set(err, ERROR_INTERNAL, "libcurl refuses to share names");
    unsigned most = most_connections < POOL_CALLS ? most_connections : POOL_CALLS;
    for (; multi->pool_count < count; multi->pool_count++)
        if (open_pool(multi, &multi->pools[multi->pool_count], loop, most, err) != 0) {
            multi->pool_count++; /* what there is of it is closed with the others */
            return -1;
        }
    return 0;
}

struct http_multi *http_multi_new(struct loop *loop, unsigned most_connections,
                                  void (*done)(void *context, CURL *easy, CURLcode code),
                                  void *context, struct error *err)
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
    multi->done = done;
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

int http_multi_bind(struct http_multi *multi, CURL *easy, struct http_binding *binding,
                    struct error *err)
{
    struct http_pool *pool = binding->pool;
    if (pool == NULL)
        pool = &multi->pools[multi->bound++ / POOL_CALLS % multi->pool_count];
    *binding = (struct http_binding){.pool = pool};
    if (curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, binding) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, multi) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_SHARE, multi->share) != CURLE_OK)
        return error_set(err, ERROR_INTERNAL, "libcurl refuses an option of its sockets");
    return 0;
}

int http_multi_add(const struct http_binding *binding, CURL *easy, struct error *err)
{
    CURLMcode code = curl_multi_add_handle(binding->pool->curl, easy);
    if (code != CURLM_OK)
        return error_set(err, code == CURLM_OUT_OF_MEMORY ? ERROR_MEMORY : ERROR_INTERNAL,
                         "libcurl: %s", curl_multi_strerror(code));
    return 0;
}

void http_multi_remove(const struct http_binding *binding, CURL *easy)
{
    (void)curl_multi_remove_handle(binding->pool->curl, easy);
}
