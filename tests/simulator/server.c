#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "check.h"
#include "delays.h"
#include "faults.h"
#include "ledger.h"
#include "provider.h"
#include "server.h"

#include "common/banned.h"

enum {
    CONNECTIONS_MAX = 16000,
    CONNECTION_BYTES = 64 * 1024, /* request headers with a token of 32 KB must fit */
    LISTEN_BACKLOG = 4096,
    FILLER_BLOCK = 64 * 1024,
};

static void *request_new(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct request *request = must(calloc(1, sizeof(*request)));
    (void)context;
    (void)connection;
    request->uri = must_copy(uri);
    request->provider = PROVIDER_NONE;
    return request;
}

static void request_completed(void *context, struct MHD_Connection *connection, void **slot,
                              enum MHD_RequestTerminationCode code)
{
    struct simulator *simulator = context;
    struct request *request = *slot;
    (void)connection;
    (void)code;
    if (!request)
        return;
    if (request->started && !request->control) {
        pthread_mutex_lock(&simulator->mutex);
        ledger_ended(simulator->ledger, request);
        pthread_mutex_unlock(&simulator->mutex);
    }
    answer_release(&request->answer);
    json_decref(request->json);
    free(request->body);
    free(request->uri);
    free(request);
    *slot = NULL;
}

static void request_read(struct request *request, const char *data, size_t len)
{
    if (request->too_large || len > REQUEST_BODY_MAX - request->body_len) {
        request->too_large = true;
        return;
    }
    if (request->body_len + len + 1 > request->body_cap) {
        request->body_cap = 2 * (request->body_len + len + 1);
        request->body = must(realloc(request->body, request->body_cap));
    }
    memcpy(request->body + request->body_len, data, len);
    request->body_len += len;
    request->body[request->body_len] = '\0';
}

/* MHD asks for certificates, but leaves it to the application to look at them. */
static bool client_trusted(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    unsigned problems = 0;
    return info && info->tls_session &&
           gnutls_certificate_verify_peers2(info->tls_session, &problems) == GNUTLS_E_SUCCESS &&
           problems == 0;
}

static void provider_handle(struct simulator *simulator, struct request *request)
{
    const struct options *options = &simulator->options;
    struct fault *fault;
    request->due_ms = request->now_ms + options->delay_min_ms;
    if (options->delay_max_ms > options->delay_min_ms)
        request->due_ms += (int64_t)simulator_random(
            simulator, (uint64_t)(options->delay_max_ms - options->delay_min_ms + 1));
    ledger_operation(simulator->ledger, request);
    if (simulator->client_certificates && !client_trusted(request)) {
        ledger_violation(simulator, request, "client certificate: none, or not from the client CA");
        answer_empty(&request->answer, 403);
        return;
    }
    if (request->too_large) {
        ledger_violation(simulator, request, "body: over %d bytes", REQUEST_BODY_MAX);
        answer_empty(&request->answer, 413);
        return;
    }
    if (request->provider == PROVIDER_NONE) {
        ledger_violation(simulator, request, "path: belongs to no provider");
        answer_json(&request->answer, 404,
                    json_pack("{s:s, s:s}", "error_code", "APIGW.0101", "error_msg",
                              "The API does not exist or has not been published."));
        return;
    }
    fault = faults_match(simulator, request);
    request->apply = !fault || fault_applies(fault);
    if (fault)
        fault_before(simulator, fault, request);
    provider_rows[request->provider]->handle(simulator, request);
    if (fault)
        fault_bend(simulator, fault, request);
}

/* The request is whole: decides on its answer. */
static void request_handle(struct simulator *simulator, struct request *request)
{
    if (!request->body)
        request->body = must_copy("");
    if (request->body_len > 0)
        request->json = json_loadb(request->body, request->body_len, JSON_REJECT_DUPLICATES, NULL);
    request->now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&simulator->mutex);
    if (request->control) {
        request->due_ms = request->now_ms;
        control_handle(simulator, request);
    } else {
        provider_handle(simulator, request);
        if (simulator->options.clock_ms != 0)
            request->date_ms = simulator_wall_ms(simulator);
    }
    pthread_mutex_unlock(&simulator->mutex);
    request->answered = true;
}

/* The body of an answer that is not kept in memory, or that breaks off. */
static ssize_t body_read(void *context, uint64_t at, char *buffer, size_t max)
{
    const struct answer *answer = context;
    size_t len = answer->filler ? answer->filler : answer->body_len;
    size_t end = answer->break_at ? answer->break_at : len;
    size_t n;
    if (at >= end)
        return answer->break_at ? MHD_CONTENT_READER_END_WITH_ERROR
                                : MHD_CONTENT_READER_END_OF_STREAM;
    n = end - (size_t)at < max ? end - (size_t)at : max;
    if (answer->filler) {
        memset(buffer, 'x', n);
        if (at == 0)
            buffer[0] = '"';
        if (at + n == len)
            buffer[n - 1] = '"';
    } else {
        memcpy(buffer, answer->body + at, n);
    }
    return (ssize_t)n;
}

/* Resets the connection now: dissolving a TCP association sends RST, where MHD would send FIN
 * first. */
static enum MHD_Result connection_break(struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    (void)connect(info->connect_fd, &nowhere, sizeof(nowhere));
    return MHD_NO;
}

/* libmicrohttpd adds the machine's date unless one is there. */
static void add_date(struct MHD_Response *response, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm fields;
    char text[64];
    gmtime_r(&seconds, &fields);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &fields);
    MHD_add_response_header(response, "Date", text);
}

static enum MHD_Result answer_send(struct request *request)
{
    struct answer *answer = &request->answer;
    struct MHD_Response *response;
    enum MHD_Result result;
    if (answer->status == 0)
        return connection_break(request);
    if (answer->filler || answer->break_at)
        response =
            MHD_create_response_from_callback(answer->filler ? answer->filler : answer->body_len,
                                              FILLER_BLOCK, body_read, answer, NULL);
    else
        response =
            MHD_create_response_from_buffer(answer->body_len, answer->body, MHD_RESPMEM_PERSISTENT);
    must(response);
    if (answer->content_type)
        MHD_add_response_header(response, "Content-Type", answer->content_type);
    for (size_t i = 0; i < answer->headers_count; i++)
        MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value);
    if (request->date_ms != 0)
        add_date(response, request->date_ms);
    result = MHD_queue_response(request->connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void request_start(struct simulator *simulator, struct request *request,
                          struct MHD_Connection *connection, const char *method, const char *path)
{
    request->started = true;
    request->connection = connection;
    request->method = method;
    request->path = path;
    request->control = strncmp(path, "/_simulator/", 12) == 0;
    if (request->control)
        return;
    request_route(request);
    pthread_mutex_lock(&simulator->mutex);
    ledger_began(simulator->ledger, request);
    pthread_mutex_unlock(&simulator->mutex);
}

static enum MHD_Result access_handler(void *context, struct MHD_Connection *connection,
                                      const char *path, const char *method, const char *version,
                                      const char *data, size_t *data_len, void **slot)
{
    struct simulator *simulator = context;
    struct request *request = *slot;
    (void)version;
    if (!request->started) {
        request_start(simulator, request, connection, method, path);
        return MHD_YES;
    }
    if (*data_len > 0) {
        request_read(request, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    if (!request->answered) {
        request_handle(simulator, request);
        if ((request->hanging || request->due_ms > clock_monotonic_ms()) &&
            delays_suspend(simulator->delays, request))
            return MHD_YES;
    }
    if (request->hanging)
        return MHD_NO;
    return answer_send(request);
}

struct MHD_Daemon *server_start(struct simulator *simulator, const struct server_settings *settings)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, NULL},
        {MHD_OPTION_LISTEN_BACKLOG_SIZE, LISTEN_BACKLOG, NULL},
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)(settings->threads > 1 ? settings->threads : 0),
         NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    size_t count = 4;
    if (settings->certificate) {
        flags |= MHD_USE_TLS;
        options[count++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, settings->certificate};
        options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, settings->key};
    }
    if (settings->client_ca)
        options[count++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, settings->client_ca};
    return MHD_start_daemon(flags, 0, NULL, NULL, access_handler, simulator, MHD_OPTION_SOCK_ADDR,
                            &settings->listen, MHD_OPTION_URI_LOG_CALLBACK, request_new, simulator,
                            MHD_OPTION_NOTIFY_COMPLETED, request_completed, simulator,
                            MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

unsigned server_port(struct MHD_Daemon *daemon)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void server_stop(struct simulator *simulator, struct MHD_Daemon *daemon)
{
    delays_stop(simulator->delays);
    MHD_stop_daemon(daemon);
}
