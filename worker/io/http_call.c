#include "worker/io/http_call.h"

#include <strings.h>

#include "common/version.h"

#include "common/banned.h"

enum {
    /* A URL, all headers (each may be a token), and a body. */
    REQUEST_BYTES = 256 * 1024 + HTTP_HEADERS_MOST * (LIMIT_SECRET_BYTES + 2048),
    /* One TLS record: a request within it reaches the server whole or not at all. */
    RECORD_BYTES = 16 * 1024,
    /* Requests beyond this give their memory back after use. */
    KEPT_CAPACITY = 16 * 1024,
};

void http_call_init(struct http_call *call)
{
    *call = (struct http_call){.id = 0};
    buffer_init(&call->out, REQUEST_BYTES);
    http_answer_init(&call->answer);
}

void http_call_clear(struct http_call *call)
{
    buffer_wipe_kept(&call->out, KEPT_CAPACITY);
    http_call_begin(call);
    call->host = NULL;
    call->connection = NULL;
    call->queue = NULL;
    call->maybe_sent = call->repeated = false;
    call->problem[0] = '\0';
}

void http_call_release(struct http_call *call)
{
    http_call_clear(call);
    buffer_release(&call->out);
    http_answer_release(&call->answer);
}

/* ---- the request ----------------------------------------------------------------------------- */

static bool has_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return true;
    return false;
}

static void append_header(struct buffer *out, const char *name, struct slice value)
{
    buffer_append_string(out, name);
    buffer_append(out, ": ", value.len == 0 ? 1 : 2);
    buffer_append_slice(out, value);
    buffer_append(out, "\r\n", 2);
}

/* As it was built: what was signed is what is sent. Proxies want the whole URL. */
static int append_target(struct http_call *call, struct slice url, struct error *err)
{
    const struct http_host *host = call->host;
    size_t start = strlen(host->origin), end = start;
    for (; end < url.len && url.data[end] != '#'; end++)
        if ((unsigned char)url.data[end] <= ' ' || url.data[end] == 0x7f)
            return error_set(err, ERROR_INPUT, "request: expected a URL without control bytes");
    if (host->through_proxy)
        buffer_append_string(&call->out, host->origin);
    if (start == end || url.data[start] != '/')
        buffer_append_byte(&call->out, '/');
    buffer_append(&call->out, url.data + start, end - start);
    return 0;
}

int http_call_write(struct http_call *call, const struct http_request *request, struct error *err)
{
    static const char *const methods[] = {
        [HTTP_GET] = "GET ", [HTTP_POST] = "POST ", [HTTP_DELETE] = "DELETE "};
    static const char agent[] = "kancel/" KANCEL_VERSION;
    struct buffer *out = &call->out;
    call->method = request->method;
    buffer_append_string(out, methods[request->method]);
    if (append_target(call, buffer_slice(&request->url), err) != 0)
        return -1;
    buffer_append_string(out, " HTTP/1.1\r\n");
    if (!has_header(request, "Host"))
        append_header(out, "Host", slice_of_string(call->host->name));
    struct slice authorization =
        call->host->through_proxy ? http_host_proxy_authorization(call->host) : slice_of(NULL, 0);
    if (authorization.len > 0)
        append_header(out, "Proxy-Authorization", authorization);
    if (!has_header(request, "Accept"))
        append_header(out, "Accept", slice_of_string("*/*"));
    append_header(out, "User-Agent", slice_of(agent, sizeof(agent) - 1));
    for (size_t i = 0; i < request->header_count; i++)
        append_header(out, request->headers[i].name, buffer_slice(&request->headers[i].value));
    if (request->body.len > 0 || request->method == HTTP_POST) {
        buffer_append_string(out, "Content-Length: ");
        buffer_append_int(out, (int64_t)request->body.len);
        buffer_append(out, "\r\n", 2);
    }
    buffer_append(out, "\r\n", 2);
    buffer_append_slice(out, buffer_slice(&request->body));
    if (buffer_failed(out))
        return error_set(err, ERROR_MEMORY, "request: too large, or out of memory");
    return 0;
}

void http_call_begin(struct http_call *call)
{
    call->sent = 0;
    http_answer_clear(&call->answer);
}

void http_call_sent(struct http_call *call, ssize_t written)
{
    if (written > 0)
        call->sent += (size_t)written;
    /* A large request over TLS may be out in part although none of it was counted. */
    if (written > 0 || call->out.len >= RECORD_BYTES)
        call->maybe_sent = true;
}

bool http_call_left_nothing(const struct http_call *call)
{
    return call->sent == call->out.len && call->answer.lasting && !call->answer.surplus;
}

/* ---- the outcome ----------------------------------------------------------------------------- */

enum http_progress http_call_read(struct http_call *call, const char *data, size_t len)
{
    const char *problem = "";
    enum http_progress progress =
        len > 0 ? http_answer_read(&call->answer, slice_of(data, len), &problem)
                : http_answer_read_end(&call->answer, &problem);
    if (progress == PROGRESS_DONE)
        call->result = HTTP_ANSWERED;
    else if (progress == PROGRESS_FAILED)
        http_call_fail(call, call->answer.too_large ? HTTP_TOO_LARGE : HTTP_BROKEN, problem);
    return progress;
}

/* A server that refuses our certificate says so in an alert that under TLS 1.3 comes after we sent
 * the request, which it then has not read: the handshake failed. */
static bool certificate_refused(const struct http_call *call, const char *problem)
{
    return !call->answer.heard && !call->repeated && call->connection != NULL &&
           !call->connection->used && strstr(problem, " alert ") != NULL &&
           (strstr(problem, "certificate") != NULL || strstr(problem, "unknown ca") != NULL);
}

void http_call_fail(struct http_call *call, enum http_result result, const char *problem)
{
    bool open = result == HTTP_TIMED_OUT || result == HTTP_BROKEN;
    if (open && (!call->maybe_sent || certificate_refused(call, problem)))
        result = HTTP_NOT_SENT;
    call->result = result;
    (void)snprintf(call->problem, sizeof(call->problem), "%s", problem);
}

/* Texts of libraries may quote the server. */
static void set_problem(struct http_response *response, const char *text)
{
    size_t len = 0;
    for (; text[len] != '\0' && len < sizeof(response->problem) - 1; len++)
        response->problem[len] = text[len] >= ' ' && text[len] <= '~' ? text[len] : '?';
    response->problem[len] = '\0';
}

void http_call_response(const struct http_call *call, struct http_response *response)
{
    *response = (struct http_response){.result = call->result};
    if (call->result == HTTP_ANSWERED || call->result == HTTP_TOO_LARGE)
        response->status = http_answer_status(&call->answer);
    if (call->result != HTTP_ANSWERED) {
        set_problem(response, call->problem);
        return;
    }
    response->body = buffer_slice(&call->answer.body);
    response->content_type = http_answer_header(&call->answer, KEPT_CONTENT_TYPE);
    response->retry_after = http_answer_header(&call->answer, KEPT_RETRY_AFTER);
    response->date = http_answer_header(&call->answer, KEPT_DATE);
    response->subject_token = http_answer_header(&call->answer, KEPT_SUBJECT_TOKEN);
    response->request_id = http_answer_header(&call->answer, KEPT_REQUEST_ID);
}
