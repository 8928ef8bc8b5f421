#include "worker/io/admin.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/slice.h"
#include "worker/io/loop.h"
#include "common/version.h"

#include "common/banned.h"

enum {
    /* A scraper and a few probes; more is a mistake or an attack. */
    MOST_CONNECTIONS = 64,
    IDLE_SECONDS = 10,
    /* Request line and headers of one connection. */
    CONNECTION_BYTES = 16 * 1024,
    BACKLOG = 64,
    REASON_BYTES = 256,
};

struct admin {
    struct MHD_Daemon *daemon;
    unsigned port;
    int64_t stall_ms;
    pthread_mutex_t lock;         /* guards what follows */
    struct MHD_Response *metrics; /* counts its users itself */
    int64_t published_ms;
    bool published;
    char not_ready[REASON_BYTES]; /* "": ready */
};

/* ---- answers --------------------------------------------------------------------------------- */

static struct MHD_Response *text_response(const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (response != NULL) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                      "text/plain; charset=utf-8");
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    }
    return response;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text,
                              const char *allow)
{
    struct MHD_Response *response = text_response(text);
    if (response == NULL)
        return MHD_NO;
    if (allow != NULL)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result page(struct admin *admin, struct MHD_Connection *connection)
{
    (void)admin;
    return answer(connection, MHD_HTTP_OK,
                  "kancel " KANCEL_VERSION "\n"
                  "/livez    200 while the event loop runs\n"
                  "/readyz   200 while commands are taken\n"
                  "/metrics  Prometheus text format\n",
                  NULL);
}

/* False, with `reason` filled, when the loop gave no sign of life for too long. */
static bool is_alive(struct admin *admin, char reason[REASON_BYTES])
{
    pthread_mutex_lock(&admin->lock);
    int64_t silent_ms = loop_mono_ms() - admin->published_ms;
    pthread_mutex_unlock(&admin->lock);
    if (silent_ms <= admin->stall_ms)
        return true;
    (void)snprintf(reason, REASON_BYTES, "the event loop has been silent for %lld ms\n",
                   (long long)silent_ms);
    return false;
}

static enum MHD_Result livez(struct admin *admin, struct MHD_Connection *connection)
{
    char reason[REASON_BYTES];
    if (!is_alive(admin, reason))
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, reason, NULL);
    return answer(connection, MHD_HTTP_OK, "ok\n", NULL);
}

static enum MHD_Result readyz(struct admin *admin, struct MHD_Connection *connection)
{
    char reason[REASON_BYTES + 1];
    bool ready = is_alive(admin, reason);
    if (ready) {
        pthread_mutex_lock(&admin->lock);
        ready = admin->published && admin->not_ready[0] == '\0';
        (void)snprintf(reason, sizeof(reason), "%s\n",
                       admin->published ? admin->not_ready : "starting");
        pthread_mutex_unlock(&admin->lock);
    }
    if (!ready)
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, reason, NULL);
    return answer(connection, MHD_HTTP_OK, "ok\n", NULL);
}

static enum MHD_Result metrics(struct admin *admin, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&admin->lock);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, admin->metrics);
    pthread_mutex_unlock(&admin->lock);
    return result;
}

static const struct {
    const char *path;
    enum MHD_Result (*serve)(struct admin *admin, struct MHD_Connection *connection);
} paths[] = {{"/", page}, {"/livez", livez}, {"/readyz", readyz}, {"/metrics", metrics}};

static enum MHD_Result serve(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_len, void **state)
{
    (void)version, (void)upload;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                      "only GET and HEAD are served here\n", "GET, HEAD");
    /* The first call comes before the body: answering it would end the connection. */
    static char seen;
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_len > 0) {
        *upload_len = 0;
        return MHD_YES;
    }
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (strcmp(url, paths[i].path) == 0)
            return paths[i].serve(context, connection);
    return answer(connection, MHD_HTTP_NOT_FOUND, "not found; try /livez, /readyz or /metrics\n",
                  NULL);
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

static int start(struct admin *admin, const char *listen_text, struct error *err)
{
    admin->metrics = text_response("");
    if (admin->metrics == NULL)
        return error_set(err, ERROR_MEMORY, "admin server: out of memory");
    int fd = open_listener(listen_text, &admin->port, err);
    if (fd < 0)
        return -1;
    admin->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL, serve, admin,
        MHD_OPTION_EXTERNAL_LOGGER, keep_silent, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)MOST_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_END);
    if (admin->daemon != NULL)
        return 0;
    (void)close(fd);
    return error_set(err, ERROR_INTERNAL, "admin server on %s: libmicrohttpd did not start",
                     listen_text);
}

struct admin *admin_new(const char *listen_text, int64_t stall_ms, struct error *err)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL) {
        (void)error_set(err, ERROR_MEMORY, "admin server: out of memory");
        return NULL;
    }
    (void)pthread_mutex_init(&admin->lock, NULL);
    admin->stall_ms = stall_ms;
    admin->published_ms = loop_mono_ms();
    if (start(admin, listen_text, err) == 0)
        return admin;
    admin_free(admin);
    return NULL;
}

void admin_free(struct admin *admin)
{
    if (admin == NULL)
        return;
    if (admin->daemon != NULL)
        MHD_stop_daemon(admin->daemon); /* closes the listener */
    if (admin->metrics != NULL)
        MHD_destroy_response(admin->metrics);
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
    char *data = buffer_take(text, &len);
    if (data == NULL)
        return NULL;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(data);
        return NULL;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  "text/plain; version=0.0.4; charset=utf-8");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    return response;
}

void admin_publish(struct admin *admin, struct buffer *metrics_text, const char *not_ready)
{
    struct MHD_Response *fresh = metrics_response(metrics_text);
    struct MHD_Response *old = NULL;
    pthread_mutex_lock(&admin->lock);
    if (fresh != NULL) {
        old = admin->metrics;
        admin->metrics = fresh;
    }
    admin->published = true;
    admin->published_ms = loop_mono_ms();
    (void)snprintf(admin->not_ready, sizeof(admin->not_ready), "%s",
                   not_ready == NULL ? "" : not_ready);
    pthread_mutex_unlock(&admin->lock);
    if (old != NULL)
        MHD_destroy_response(old);
}
