#include "worker/io/http_connection.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <utlist.h>

#include "common/base64.h"
#include "common/digest.h"
#include "common/version.h"

#include "common/banned.h"

enum {
    /* Below the idle timeout of common gateways (60 s and more), so that few connections are found
       closed. */
    IDLE_MS = 50 * 1000,
    /* So that a provider's new addresses are followed. */
    LIFE_MS = 600 * 1000,
    /* The system's CAs are parsed once in this time, a changed file is seen after it. */
    CA_CACHE_SECONDS = 600,
    /* What curl reads at once over TLS: answers are small, and each connection has such a buffer.
     */
    READ_BYTES = 2 * 1024,
    /* Of an http:// proxy whose URL has none; curl means it for tunnels, too. */
    PROXY_PORT = 1080,
};

struct http_connections {
    struct http_multi *multi;
    struct http_connection_events events;
    void *context;
    unsigned most;
    size_t count;
    struct http_connection *idle;
    struct http_host *hosts;
    char *proxy;     /* NULL: none */
    long proxy_port; /* 0: the URL has one, or its scheme's is meant */
    struct buffer proxy_authorization;
};

/* ---- hosts ----------------------------------------------------------------------------------- */

/* Scheme, name and port of an absolute URL. */
static struct slice origin_of(struct slice url)
{
    size_t end = 0;
    for (unsigned slashes = 0; end < url.len; end++) {
        if (url.data[end] == '?' || url.data[end] == '#' ||
            (url.data[end] == '/' && ++slashes == 3))
            break;
    }
    return slice_of(url.data, end);
}

#if LIBCURL_VERSION_NUM >= 0x075800
enum { HOST_FLAGS = CURLU_PUNYCODE };
#else
enum { HOST_FLAGS = 0 };
#endif

static CURLUcode read_name(CURLU *parsed, char **found)
{
    char *host = NULL, *port = NULL;
    CURLUcode code = curl_url_get(parsed, CURLUPART_HOST, &host, HOST_FLAGS);
    if (code != CURLUE_OK)
        return code;
    bool has_port = curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) == CURLUE_OK;
    size_t size = strlen(host) + (has_port ? strlen(port) + 1 : 0) + 1;
    char *name = malloc(size);
    if (name != NULL)
        (void)snprintf(name, size, "%s%s%s", host, has_port ? ":" : "", has_port ? port : "");
    for (char *at = name; at != NULL && *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    curl_free(host);
    curl_free(port);
    *found = name;
    return name != NULL ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;
}

static bool is_secure(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0;
}

static void host_free(struct http_host *host)
{
    tls_files_unref(host->tls);
    free(host->origin);
    free(host->name);
    free(host->key);
    free(host);
}

static int fill_host(struct http_host *host, struct slice origin, struct error *err)
{
    CURLU *parsed = curl_url();
    host->origin = slice_dup(origin);
    if (parsed == NULL || host->origin == NULL) {
        curl_url_cleanup(parsed);
        return error_set(err, ERROR_MEMORY, "out of memory");
    }
    CURLUcode code = strncasecmp(host->origin, "http:", 5) == 0 || is_secure(host->origin)
                         ? curl_url_set(parsed, CURLUPART_URL, host->origin, 0)
                         : CURLUE_UNSUPPORTED_SCHEME;
    if (code == CURLUE_OK)
        code = read_name(parsed, &host->name);
    curl_url_cleanup(parsed);
    if (code != CURLUE_OK)
        return error_set(err, ERROR_INPUT, "the URL cannot be read: %s", curl_url_strerror(code));
    return 0;
}

struct http_host *http_host_find(struct http_connections *all, struct slice url,
                                 struct tls_files *tls, struct error *err)
{
    struct slice origin = origin_of(url);
    char key[sizeof(tls) + 512];
    size_t key_len = sizeof(tls) + origin.len;
    if (key_len > sizeof(key)) {
        (void)error_set(err, ERROR_INPUT, "the URL's host is too long");
        return NULL;
    }
    memcpy(key, &tls, sizeof(tls));
    memcpy(key + sizeof(tls), origin.data, origin.len);
    struct http_host *host;
    HASH_FIND(hh, all->hosts, key, key_len, host);
    if (host != NULL) {
        host->users++;
        return host;
    }
    host = calloc(1, sizeof(*host));
    if (host == NULL || (host->key = malloc(key_len)) == NULL) {
        free(host);
        (void)error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    if (fill_host(host, origin, err) != 0) {
        host_free(host);
        return NULL;
    }
    memcpy(host->key, key, key_len);
    host->key_len = key_len;
    host->all = all;
    host->users = 1;
    host->tls = tls_files_ref(tls);
    host->through_proxy = all->proxy != NULL && !is_secure(host->origin);
    HASH_ADD_KEYPTR(hh, all->hosts, host->key, host->key_len, host);
    return host;
}

void http_host_leave(struct http_host *host)
{
    if (--host->users > 0)
        return;
    HASH_DELETE(hh, host->all->hosts, host);
    host_free(host);
}

struct slice http_host_proxy_authorization(const struct http_host *host)
{
    return buffer_slice(&host->all->proxy_authorization);
}

/* ---- making one ------------------------------------------------------------------------------ */

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(easy, option, value);                                          \
    } while (0)

static CURLcode set_options(struct http_connection *connection, int64_t connect_timeout_ms)
{
    CURL *easy = connection->easy;
    const struct http_host *host = connection->host;
    const char *proxy = host->all->proxy;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PRIVATE, connection);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_URL, host->through_proxy ? proxy : host->origin);
    SET(CURLOPT_PORT, host->through_proxy ? host->all->proxy_port : 0L);
    SET(CURLOPT_PROXY, proxy == NULL || host->through_proxy ? "" : proxy);
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_USERAGENT, "kancel/" KANCEL_VERSION); /* to a proxy */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout_ms);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_ERRORBUFFER, connection->problem);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_BUFFERSIZE, (long)READ_BYTES);
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L); /* else giving up a slow name look-up blocks until it ends */
    SET(CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_SECONDS);
#endif
    /* curl keeps the system's CAs parsed only where they come of a file alone; Debian's has a
       folder of the same ones beside it. */
    if (curl_version_info(CURLVERSION_NOW)->cainfo != NULL)
        SET(CURLOPT_CAPATH, NULL);
    /* The account's files are for its endpoint. */
    if (code == CURLE_OK && host->tls != NULL && !host->through_proxy)
        code = tls_files_apply(host->tls, easy);
    return code;
}

struct http_connection *http_connection_open(struct http_host *host, int64_t connect_timeout_ms,
                                             struct http_call *call, struct error *err)
{
    struct http_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL || (connection->easy = curl_easy_init()) == NULL) {
        free(connection);
        (void)error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    connection->fd = -1;
    connection->host = host;
    connection->call = call;
    CURLcode code = set_options(connection, connect_timeout_ms);
    if (code != CURLE_OK)
        (void)error_set(err, code == CURLE_OUT_OF_MEMORY ? ERROR_MEMORY : ERROR_INTERNAL,
                        "libcurl: %s", curl_easy_strerror(code));
    if (code != CURLE_OK ||
        http_multi_add(host->all->multi, connection->easy, &connection->binding, err) != 0) {
        curl_easy_cleanup(connection->easy);
        free(connection);
        return NULL;
    }
    host->users++;
    host->making++;
    host->all->count++;
    return connection;
}

static void drop_handle(struct http_connection *connection)
{
    http_multi_remove(&connection->binding, connection->easy);
    curl_easy_cleanup(connection->easy);
    connection->easy = NULL;
}

/* Over TLS curl's handle stays with it. It belongs to the handle again once that has sent, which
 * the call that waits for it does at once: until then curl might take it for an idle one of its
 * own. */
static bool take_over(struct http_connection *connection)
{
    struct http_multi *multi = connection->host->all->multi;
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD)
        return false;
    const struct http_host *host = connection->host;
    bool secure = is_secure(host->through_proxy ? host->all->proxy : host->origin);
    if ((secure ? http_multi_own(multi, fd, connection) : http_multi_take(multi, fd, connection)) !=
        0)
        return false;
    connection->fd = fd;
    if (!secure)
        drop_handle(connection);
    return true;
}

static void made(void *context, CURL *easy, CURLcode code)
{
    struct http_connections *all = context;
    void *private = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct http_connection *connection = private;
    bool good = code == CURLE_OK && take_over(connection);
    if (!good && connection->problem[0] == '\0')
        (void)snprintf(connection->problem, sizeof(connection->problem), "%s",
                       curl_easy_strerror(code));
    connection->made_ms = loop_mono_ms();
    connection->host->making--;
    all->events.made(all->context, connection, good);
}

/* ---- reading, writing ------------------------------------------------------------------------ */

static ssize_t curl_failed(struct http_connection *connection, CURLcode code)
{
    if (code == CURLE_AGAIN)
        return HTTP_IO_AGAIN;
    if (connection->problem[0] == '\0')
        (void)snprintf(connection->problem, sizeof(connection->problem), "%s",
                       curl_easy_strerror(code));
    return HTTP_IO_FAILED;
}

static ssize_t socket_failed(struct http_connection *connection, const char *what)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return HTTP_IO_AGAIN;
    (void)snprintf(connection->problem, sizeof(connection->problem), "%s: %s", what,
                   strerror(errno));
    return HTTP_IO_FAILED;
}

static void note_drained(struct http_connection *connection, bool drained)
{
    connection->drained_round = drained ? http_multi_round(connection->host->all->multi) : 0;
}

ssize_t http_connection_read(struct http_connection *connection, void *data, size_t size)
{
    if (connection->easy != NULL) {
        size_t len = 0;
        CURLcode code = curl_easy_recv(connection->easy, data, size, &len);
        note_drained(connection, code == CURLE_AGAIN);
        return code == CURLE_OK ? (ssize_t)len : curl_failed(connection, code);
    }
    ssize_t len = recv(connection->fd, data, size, MSG_DONTWAIT);
    /* A socket that gave less than it could has no more; over TLS that is not known. */
    note_drained(connection, len < (ssize_t)size);
    return len >= 0 ? len : socket_failed(connection, "receiving");
}

ssize_t http_connection_write(struct http_connection *connection, const void *data, size_t len)
{
    if (connection->easy != NULL) {
        size_t written = 0;
        CURLcode code = curl_easy_send(connection->easy, data, len, &written);
        if (code == CURLE_OK && written == 0)
            code = CURLE_AGAIN;
        return code == CURLE_OK ? (ssize_t)written : curl_failed(connection, code);
    }
    ssize_t written = send(connection->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return written >= 0 ? written : socket_failed(connection, "sending");
}

void http_connection_want_write(struct http_connection *connection, bool wanted)
{
    http_multi_want_write(connection->host->all->multi, connection->fd, wanted);
}

/* ---- idle ones ------------------------------------------------------------------------------- */

static void leave_idle(struct http_connection *connection)
{
    struct http_host *host = connection->host;
    DL_DELETE2(host->idle, connection, host_previous, host_next);
    DL_DELETE2(host->all->idle, connection, previous, next);
}

void http_connection_close(struct http_connection *connection)
{
    struct http_host *host = connection->host;
    if (connection->call == NULL)
        leave_idle(connection);
    host->making -= connection->made_ms == 0;
    if (connection->easy != NULL)
        drop_handle(connection);
    else if (connection->fd >= 0)
        http_multi_close(host->all->multi, connection->fd);
    host->all->count--;
    free(connection);
    http_host_leave(host);
}

/* Nobody says anything on an idle connection: it ends, or what comes is none of ours. */
static bool is_quiet(struct http_connection *connection)
{
    char byte;
    return http_connection_read(connection, &byte, 1) == HTTP_IO_AGAIN;
}

/* What was looked at in this round is not looked at again. */
static bool was_quiet(struct http_connection *connection)
{
    return connection->drained_round == http_multi_round(connection->host->all->multi) ||
           is_quiet(connection);
}

struct http_connection *http_connection_take(struct http_host *host, struct http_call *call)
{
    struct http_connection *connection;
    while ((connection = host->idle) != NULL) {
        int64_t now_ms = loop_mono_ms();
        if (now_ms - connection->idle_since_ms < IDLE_MS && was_quiet(connection)) {
            leave_idle(connection);
            connection->call = call;
            return connection;
        }
        http_connection_close(connection);
    }
    return NULL;
}

void http_connection_keep(struct http_connection *connection)
{
    struct http_host *host = connection->host;
    struct http_connections *all = host->all;
    connection->idle_since_ms = loop_mono_ms();
    if (connection->idle_since_ms - connection->made_ms > LIFE_MS ||
        (all->count > all->most && all->idle == NULL) || connection->ending ||
        !was_quiet(connection)) {
        http_connection_close(connection);
        return;
    }
    if (all->count > all->most)
        http_connection_close(all->idle);
    connection->call = NULL;
    connection->used = true;
    DL_PREPEND2(host->idle, connection, host_previous, host_next);
    DL_APPEND2(all->idle, connection, previous, next);
}

static void ready(void *context, void *owner, bool readable, bool ending)
{
    struct http_connections *all = context;
    struct http_connection *connection = owner;
    connection->ending = ending;
    if (connection->call != NULL)
        all->events.ready(all->context, connection, readable);
    else if (!is_quiet(connection))
        http_connection_close(connection);
}

static void round_over(void *context)
{
    struct http_connections *all = context;
    all->events.round(all->context);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void free_secret(char *secret)
{
    if (secret != NULL)
        digest_wipe(secret, strlen(secret));
    curl_free(secret);
}

static void encode_user(struct http_connections *all, CURLU *parsed)
{
    char *user = NULL, *password = NULL;
    if (curl_url_get(parsed, CURLUPART_USER, &user, CURLU_URLDECODE) == CURLUE_OK) {
        (void)curl_url_get(parsed, CURLUPART_PASSWORD, &password, CURLU_URLDECODE);
        struct buffer pair;
        buffer_init(&pair, LIMIT_SECRET_BYTES);
        buffer_append_string(&pair, user);
        buffer_append_byte(&pair, ':');
        buffer_append_string(&pair, password == NULL ? "" : password);
        buffer_append_string(&all->proxy_authorization, "Basic ");
        base64_encode(&all->proxy_authorization, buffer_slice(&pair));
        buffer_wipe(&pair);
    }
    free_secret(user);
    free_secret(password);
}

static long proxy_port(const char *proxy, CURLU *parsed)
{
    char *port = NULL;
    CURLUcode code = curl_url_get(parsed, CURLUPART_PORT, &port, 0);
    curl_free(port);
    return code == CURLUE_NO_PORT && !is_secure(proxy) ? PROXY_PORT : 0;
}

static int set_proxy(struct http_connections *all, const char *proxy, struct error *err)
{
    if (proxy == NULL)
        return 0;
    CURLU *parsed = curl_url();
    all->proxy = slice_dup(slice_of_string(proxy));
    bool good = parsed != NULL && all->proxy != NULL;
    if (good && curl_url_set(parsed, CURLUPART_URL, proxy, 0) == CURLUE_OK) {
        all->proxy_port = proxy_port(proxy, parsed);
        encode_user(all, parsed);
        good = !buffer_failed(&all->proxy_authorization);
    }
    curl_url_cleanup(parsed);
    return good ? 0 : error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
}

struct http_connections *http_connections_new(struct loop *loop, unsigned most, const char *proxy,
                                              const struct http_connection_events *events,
                                              void *context, struct error *err)
{
    static const struct http_multi_events ours = {
        .made = made, .ready = ready, .round = round_over};
    struct http_connections *all = calloc(1, sizeof(*all));
    if (all == NULL) {
        (void)error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
        return NULL;
    }
    all->events = *events;
    all->context = context;
    all->most = most;
    buffer_init(&all->proxy_authorization, 2 * LIMIT_SECRET_BYTES);
    if ((all->multi = http_multi_new(loop, most, &ours, all, err)) != NULL &&
        set_proxy(all, proxy, err) == 0)
        return all;
    http_connections_free(all);
    return NULL;
}

void http_connections_free(struct http_connections *all)
{
    if (all == NULL)
        return;
    while (all->idle != NULL)
        http_connection_close(all->idle);
    http_multi_free(all->multi);
    if (all->proxy != NULL)
        digest_wipe(all->proxy, strlen(all->proxy));
    free(all->proxy);
    buffer_wipe(&all->proxy_authorization);
    free(all);
}

struct http_multi *http_connections_multi(struct http_connections *all)
{
    return all->multi;
}
