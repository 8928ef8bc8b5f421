#include "worker/io/admin_internal.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/slice.h"

#include "common/banned.h"

enum {
    IDLE_SECONDS = 10,
    /* Request line and headers of one connection. */
    CONNECTION_BYTES = 16 * 1024,
    /* A request's body; none is needed. */
    BODY_BYTES = 16 * 1024,
    /* A crowd that comes at once waits for its refusal here, and a probe behind it: where this is
     * full a connection is tried again only after a second. The system's own ceiling may be lower.
     */
    BACKLOG = 4096,
    STATE_BYTES = 4 * 1024 * 1024,
};

/* ---- answers --------------------------------------------------------------------------------- */

struct MHD_Response *admin_response(char *data, size_t len, const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(data);
        return NULL;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    return response;
}

static struct MHD_Response *copied_response(struct slice text, const char *type)
{
    char *copy = slice_dup(text);
    return copy == NULL ? NULL : admin_response(copy, text.len, type);
}

/* Takes the response. */
static enum MHD_Result queue(struct MHD_Connection *connection, unsigned status,
                             struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result admin_answer(struct MHD_Connection *connection, unsigned status, const char *text,
                             const char *name, const char *value)
{
    struct MHD_Response *response =
        copied_response(slice_of_string(text), "text/plain; charset=utf-8");
    if (response != NULL && name != NULL)
        (void)MHD_add_response_header(response, name, value);
    return queue(connection, status, response);
}

static enum MHD_Result health(struct MHD_Connection *connection, bool well, const char *reason)
{
    return well ? admin_answer(connection, MHD_HTTP_OK, "ok\n", NULL, NULL)
                : admin_answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, reason, NULL, NULL);
}

/* False, with `reason` filled, when the loop gave no sign of life for too long. */
static bool is_alive(struct admin *admin, char reason[ADMIN_REASON_BYTES])
{
    pthread_mutex_lock(&admin->lock);
    int64_t silent_ms = loop_mono_ms() - admin->published_ms;
    pthread_mutex_unlock(&admin->lock);
    (void)snprintf(reason, ADMIN_REASON_BYTES, "the event loop has been silent for %lld ms\n",
                   (long long)silent_ms);
    return silent_ms <= admin->settings.stall_ms;
}

static enum MHD_Result livez(struct admin *admin, struct MHD_Connection *connection)
{
    char reason[ADMIN_REASON_BYTES];
    return health(connection, is_alive(admin, reason), reason);
}

static enum MHD_Result readyz(struct admin *admin, struct MHD_Connection *connection)
{
    char reason[ADMIN_REASON_BYTES + 1];
    bool ready = is_alive(admin, reason);
    if (ready) {
        pthread_mutex_lock(&admin->lock);
        ready = admin->published && admin->not_ready[0] == '\0';
        (void)snprintf(reason, sizeof(reason), "%s\n",
                       admin->published ? admin->not_ready : "starting");
        pthread_mutex_unlock(&admin->lock);
    }
    return health(connection, ready, reason);
}

static enum MHD_Result startupz(struct admin *admin, struct MHD_Connection *connection)
{
    char reason[ADMIN_REASON_BYTES + 1];
    pthread_mutex_lock(&admin->lock);
    bool started = admin->started;
    (void)snprintf(reason, sizeof(reason), "%s\n",
                   admin->not_ready[0] ? admin->not_ready : "starting");
    pthread_mutex_unlock(&admin->lock);
    return health(connection, started, reason);
}

static enum MHD_Result metrics(struct admin *admin, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&admin->lock);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, admin->metrics);
    pthread_mutex_unlock(&admin->lock);
    return result;
}

static enum MHD_Result page(struct admin *admin, struct MHD_Connection *connection)
{
    return MHD_queue_response(connection, MHD_HTTP_OK, admin->page);
}

static enum MHD_Result state(struct admin *admin, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&admin->lock);
    struct MHD_Response *response =
        copied_response(buffer_slice(&admin->state), "application/json");
    pthread_mutex_unlock(&admin->lock);
    if (response != NULL) /* many viewers must not keep the connections that probes need */
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return queue(connection, MHD_HTTP_OK, response);
}

static const struct {
    const char *path;
    enum MHD_Result (*serve)(struct admin *admin, struct MHD_Connection *connection);
} paths[] = {
    {"/", page},           {"/livez", livez}, {"/readyz", readyz},      {"/startupz", startupz},
    {"/metrics", metrics}, {"/state", state}, {"/events", admin_events}};
enum { PATHS = sizeof(paths) / sizeof(paths[0]) };

/* Absent, or how long it says to be; what says nothing could have no end. */
static bool has_modest_body(struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    int64_t bytes = 0;
    if (MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                    MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL)
        return false;
    return length == NULL ||
           (slice_to_int64(slice_of_string(length), &bytes) && bytes <= BODY_BYTES);
}

static enum MHD_Result serve(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_len, void **seen)
{
    (void)version, (void)upload;
    bool reads =
        strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    size_t at = 0;
    while (at < PATHS && strcmp(url, paths[at].path) != 0)
        at++;
    if (!reads && (at < PATHS || strcmp(method, MHD_HTTP_METHOD_POST) != 0))
        return admin_answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                            "only GET and HEAD are served here\n", MHD_HTTP_HEADER_ALLOW,
                            "GET, HEAD");
    /* The first call comes before the body: answering it ends the connection. */
    static char mark;
    if (*seen == NULL && !has_modest_body(connection))
        return admin_answer(connection, MHD_HTTP_CONTENT_TOO_LARGE, "no body is expected here\n",
                            MHD_HTTP_HEADER_CONNECTION, "close");
    if (*seen == NULL) {
        *seen = &mark;
        return MHD_YES;
    }
    if (*upload_len > 0) {
        *upload_len = 0;
        return MHD_YES;
    }
    if (!reads)
        return admin_act(context, connection, url);
    if (at < PATHS)
        return paths[at].serve(context, connection);
    return admin_answer(connection, MHD_HTTP_NOT_FOUND,
                        "not found; try /, /livez, /readyz, /startupz or /metrics\n", NULL, NULL);
}

static void keep_silent(void *context, const char *format, va_list args)
{
    (void)context, (void)format, (void)args;
}

/* ---- listening ------------------------------------------------------------------------------- */

/* Splits "HOST:PORT" and "[V6]:PORT" in place. */
static int split_address(char *text, char **host, char **port)
{
    char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text)
        return -1;
    *colon = '\0';
    *host = text;
    *port = colon + 1;
    size_t len = strlen(text);
    if (text[0] == '[') {
        if (len < 3 || text[len - 1] != ']')
            return -1;
        text[len - 1] = '\0';
        *host = text + 1;
    } else if (strchr(text, ':') != NULL) {
        return -1;
    }
    int64_t number = -1;
    return slice_to_int64(slice_of_string(*port), &number) && number >= 0 && number <= 65535 ? 0
                                                                                             : -1;
}

static int listen_at(const struct addrinfo *address, unsigned *port)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int yes = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        int reason = errno;
        (void)close(fd);
        errno = reason;
        return -1;
    }
    const void *any = &bound;
    const struct sockaddr_in6 *v6 = any;
    const struct sockaddr_in *v4 = any;
    *port = ntohs(bound.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
    return fd;
}

static int open_listener(const char *listen_text, unsigned *port, struct error *err)
{
    char text[256];
    char *host = NULL;
    char *service = NULL;
    int len = snprintf(text, sizeof(text), "%s", listen_text);
    if (len < 0 || (size_t)len >= sizeof(text) || split_address(text, &host, &service) != 0)
        return error_set(err, ERROR_INPUT, "%s: expected HOST:PORT or [V6]:PORT", listen_text);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, service, &hints, &found);
    if (code != 0)
        return error_set(err, ERROR_INPUT, "%s: %s", listen_text, gai_strerror(code));
    int fd = listen_at(found, port);
    int reason = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return error_set(err, ERROR_TEMPORARY, "cannot listen on %s: %s", listen_text,
                         strerror(reason));
    return fd;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int make_documents(struct admin *admin)
{
    admin->metrics = copied_response(slice_of_string(""), "text/plain; charset=utf-8");
    admin->page = copied_response(admin->settings.page, "text/html; charset=utf-8");
    if (admin->metrics == NULL || admin->page == NULL)
        return -1;
    (void)MHD_add_response_header(admin->page, MHD_HTTP_HEADER_CONNECTION, "close");
    /* The page is one file: nothing comes from anywhere else. */
    (void)MHD_add_response_header(admin->page, "Content-Security-Policy",
                                  "default-src 'none'; style-src 'unsafe-inline'; script-src "
                                  "'unsafe-inline'; img-src data:; connect-src 'self'; "
                                  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    return 0;
}

static int start(struct admin *admin, struct loop *loop, struct error *err)
{
    if (make_documents(admin) != 0)
        return error_set(err, ERROR_MEMORY, "admin server: out of memory");
    admin->waker = loop_waker_new(loop, admin_woken, admin, err);
    if (admin->waker == NULL)
        return -1;
    int fd = open_listener(admin->settings.listen, &admin->port, err);
    if (fd < 0)
        return -1;
    admin->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0,
        NULL, NULL, serve, admin, MHD_OPTION_EXTERNAL_LOGGER, keep_silent, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)ADMIN_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES, MHD_OPTION_NOTIFY_CONNECTION, admin_guest_changed, admin,
        MHD_OPTION_NOTIFY_COMPLETED, admin_guest_served, admin, MHD_OPTION_END);
    if (admin->daemon != NULL)
        return 0;
    (void)close(fd);
    return error_set(err, ERROR_INTERNAL, "admin server on %s: libmicrohttpd did not start",
                     admin->settings.listen);
}

struct admin *admin_new(struct loop *loop, const struct admin_settings *settings, struct error *err)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL) {
        (void)error_set(err, ERROR_MEMORY, "admin server: out of memory");
        return NULL;
    }
    (void)pthread_mutex_init(&admin->lock, NULL);
    (void)pthread_cond_init(&admin->done, NULL);
    admin->settings = *settings;
    admin->published_ms = loop_mono_ms();
    buffer_init(&admin->state, STATE_BYTES);
    buffer_append_string(&admin->state, "{}");
    admin->state_version = 1; /* a viewer has seen 0 */
    if (start(admin, loop, err) == 0)
        return admin;
    admin_free(admin);
    return NULL;
}

void admin_free(struct admin *admin)
{
    if (admin == NULL)
        return;
    pthread_mutex_lock(&admin->lock);
    admin->stopping = true;
    pthread_cond_signal(&admin->done);
    admin_wake_viewers(admin);
    pthread_mutex_unlock(&admin->lock);
    if (admin->daemon != NULL)
        MHD_stop_daemon(admin->daemon); /* closes the listener */
    loop_waker_free(admin->waker);
    if (admin->metrics != NULL)
        MHD_destroy_response(admin->metrics);
    if (admin->page != NULL)
        MHD_destroy_response(admin->page);
    buffer_release(&admin->state);
    (void)pthread_cond_destroy(&admin->done);
    (void)pthread_mutex_destroy(&admin->lock);
    free(admin);
}

unsigned admin_port(const struct admin *admin)
{
    return admin->port;
}

/* NULL when out of memory: the last metrics stay. */
static struct MHD_Response *metrics_response(struct buffer *text)
{
    size_t len = 0;
    char *data = text == NULL ? NULL : buffer_take(text, &len);
    return data == NULL ? NULL
                        : admin_response(data, len, "text/plain; version=0.0.4; charset=utf-8");
}

static void take_state(struct admin *admin, struct buffer *text)
{
    if (text == NULL || buffer_failed(text))
        return;
    buffer_clear(&admin->state);
    buffer_append_slice(&admin->state, buffer_slice(text));
    admin->state_version++;
    admin_wake_viewers(admin);
}

void admin_publish(struct admin *admin, struct admin_facts *facts)
{
    struct MHD_Response *old = metrics_response(facts->metrics);
    pthread_mutex_lock(&admin->lock);
    if (old != NULL) {
        struct MHD_Response *fresh = old;
        old = admin->metrics;
        admin->metrics = fresh;
    }
    take_state(admin, facts->state);
    admin->published = true;
    admin->started |= facts->started;
    admin->published_ms = loop_mono_ms();
    admin_guests_hurry(admin, admin->published_ms);
    admin->has_token = facts->token.data != NULL;
    if (admin->has_token)
        digest_sha256(facts->token, admin->token);
    (void)snprintf(admin->not_ready, sizeof(admin->not_ready), "%s",
                   facts->not_ready == NULL ? "" : facts->not_ready);
    pthread_mutex_unlock(&admin->lock);
    if (facts->state != NULL)
        buffer_release(facts->state);
    if (old != NULL)
        MHD_destroy_response(old);
}
