#include "worker/io/http_call.h"

#include <strings.h>

#include "common/digest.h"
#include "common/version.h"

#include "common/banned.h"

enum {
    /* All headers of a request: each may be a token. */
    REQUEST_HEADER_BYTES = HTTP_HEADERS_MOST * (LIMIT_SECRET_BYTES + 2048),
    /* One TLS record: a request within it reaches the server whole or not at all. */
    RECORD_BYTES = 16 * 1024,
    /* What curl reads at once: answers are small, and each call in flight has such a buffer. */
    READ_BYTES = 2 * 1024,
    /* Answers beyond this give their memory back after use. */
    KEPT_CAPACITY = 16 * 1024,
    /* Below the idle timeout of common gateways (60 s and more), so that few connections are found
       closed. */
    CONNECTION_IDLE_SECONDS = 50,
    /* So that a provider's new addresses are followed. */
    CONNECTION_LIFE_SECONDS = 600,
    /* The system's CAs are parsed once in this time, a changed file is seen after it. */
    CA_CACHE_SECONDS = 600,
};

void http_call_init(struct http_call *call)
{
    *call = (struct http_call){.id = 0};
    http_request_init(&call->request);
    buffer_init(&call->header_text, REQUEST_HEADER_BYTES);
    buffer_init(&call->body, LIMIT_RESPONSE_BYTES);
    buffer_init(&call->kept_text, LIMIT_RESPONSE_HEADER_BYTES);
}

static void wipe(struct buffer *buffer)
{
    if (buffer->capacity > KEPT_CAPACITY) {
        buffer_wipe(buffer);
        return;
    }
    if (buffer->data != NULL)
        digest_wipe(buffer->data, buffer->len);
    buffer_clear(buffer);
}

void http_call_clear(struct http_call *call)
{
    http_request_release(&call->request);
    tls_files_unref(call->tls);
    call->tls = NULL;
    wipe(&call->header_text);
    wipe(&call->body);
    wipe(&call->kept_text);
    memset(call->kept, 0, sizeof(call->kept));
    call->sendings = 0;
    call->size_before = 0;
    call->header_bytes = 0;
    call->in_head = call->too_large = call->out_of_memory = false;
    call->problem[0] = '\0';
    call->binding.opened = false;
    call->binding.denied = NULL;
}

void http_call_release(struct http_call *call)
{
    http_call_clear(call);
    buffer_release(&call->header_text);
    buffer_release(&call->body);
    buffer_release(&call->kept_text);
    if (call->easy != NULL)
        curl_easy_cleanup(call->easy);
    call->easy = NULL;
}

/* ---- what curl calls ------------------------------------------------------------------------- */

static size_t body_came(char *data, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    size_t len = size * count;
    if (len > LIMIT_RESPONSE_BYTES - call->body.len) {
        call->too_large = true;
        return 0;
    }
    buffer_append(&call->body, data, len);
    call->out_of_memory = buffer_failed(&call->body);
    return call->out_of_memory ? 0 : len;
}

static bool blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static void keep_header(struct http_call *call, const char *line, size_t len)
{
    static const struct slice names[KEPT_COUNT] = {
        [KEPT_CONTENT_TYPE] = SLICE("content-type:"),
        [KEPT_RETRY_AFTER] = SLICE("retry-after:"),
        [KEPT_DATE] = SLICE("date:"),
        [KEPT_SUBJECT_TOKEN] = SLICE("x-subject-token:"),
        [KEPT_REQUEST_ID] = SLICE("x-request-id:"),
    };
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        size_t start = names[i].len;
        if (call->kept[i].present || len < start || strncasecmp(line, names[i].data, start) != 0)
            continue;
        while (start < len && blank(line[start]))
            start++;
        while (len > start && blank(line[len - 1]))
            len--;
        call->kept[i].start = call->kept_text.len;
        call->kept[i].len = len - start;
        call->kept[i].present = true;
        buffer_append(&call->kept_text, line + start, len - start);
        return;
    }
}

/* Each line of each head (1xx ones too), and trailers. */
static size_t header_came(char *line, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    size_t len = size * count;
    if (len > LIMIT_RESPONSE_HEADER_BYTES - call->header_bytes) {
        call->too_large = true;
        return 0;
    }
    call->header_bytes += len;
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        memset(call->kept, 0, sizeof(call->kept));
        call->in_head = true;
    } else if (len == 0 || blank(line[0])) {
        call->in_head = call->in_head && (line[0] == ' ' || line[0] == '\t'); /* a folded line */
    } else if (call->in_head) {
        keep_header(call, line, len);
    }
    call->out_of_memory = buffer_failed(&call->kept_text);
    return call->out_of_memory ? 0 : len;
}

static size_t request_bytes(const struct http_call *call)
{
    return call->request.url.len + call->header_text.len + call->request.body.len;
}

/* True when no whole request can have reached the server so far. */
static bool nothing_sent(const struct http_call *call)
{
    if (call->sendings == 0)
        return true;
    long size = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &size);
    /* A large request over TLS may be out in part although curl counts none of it. */
    return size == call->size_before && request_bytes(call) < RECORD_BYTES;
}

/* Runs before each sending of the request. curl sends it again by itself when a kept connection
 * ends before any byte of an answer (Curl_retry_request): for anything but a GET the first one may
 * have been carried out, so it is not sent twice. */
static int about_to_send(void *context, char *remote, char *local, int remote_port, int local_port)
{
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    struct http_call *call = context;
    if (call->sendings > 0 && call->request.method != HTTP_GET && !nothing_sent(call))
        return CURL_PREREQFUNC_ABORT;
    if (call->sendings++ == 0)
        (void)curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &call->size_before);
    return CURL_PREREQFUNC_OK;
}

/* ---- the request ----------------------------------------------------------------------------- */

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(call->easy, option, value);                                    \
    } while (0)

static int fold(CURLcode code, struct error *err)
{
    if (code == CURLE_OK)
        return 0;
    return error_set(err, code == CURLE_OUT_OF_MEMORY ? ERROR_MEMORY : ERROR_INTERNAL,
                     "libcurl: %s", curl_easy_strerror(code));
}

/* What is the same for every request of this client. */
static int set_basics(struct http_call *call, struct http_multi *multi, const char *proxy,
                      struct error *err)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_ERRORBUFFER, call->problem);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_PROXY, proxy == NULL ? "" : proxy);
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PATH_AS_IS, 1L); /* what was signed is what is sent */
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_BUFFERSIZE, (long)READ_BYTES);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)RECORD_BYTES); /* over TLS each call has one, too */
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_MAXAGE_CONN, (long)CONNECTION_IDLE_SECONDS);
    SET(CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFE_SECONDS);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)LIMIT_RESPONSE_BYTES);
    SET(CURLOPT_WRITEFUNCTION, body_came);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HEADERFUNCTION, header_came);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_PREREQFUNCTION, about_to_send);
    SET(CURLOPT_PREREQDATA, call);
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L); /* else giving up a slow name look-up blocks until it ends */
    SET(CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_SECONDS);
#endif
    if (fold(code, err) != 0)
        return -1;
    return http_multi_bind(multi, call->easy, &call->binding, err);
}

static int make_handle(struct http_call *call, struct http_multi *multi, const char *proxy,
                       struct error *err)
{
    if (call->easy != NULL && !call->own_tls)
        return 0;
    if (call->easy == NULL)
        call->easy = curl_easy_init();
    else
        curl_easy_reset(call->easy); /* brings the system's CAs back */
    if (call->easy == NULL)
        return error_set(err, ERROR_MEMORY, "out of memory");
    call->own_tls = false;
    if (set_basics(call, multi, proxy, err) == 0)
        return 0;
    curl_easy_cleanup(call->easy);
    call->easy = NULL;
    return -1;
}

static int set_account(struct http_call *call, struct tls_store *store,
                       const struct account_settings *account, struct error *err)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_TIMEOUT_MS, (long)account->limits.timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)account->limits.connect_timeout_ms);
    if (account->tls.ca_file != NULL || account->tls.certificate_file != NULL) {
        call->tls = tls_store_take(store, account, err);
        if (call->tls == NULL)
            return -1;
        call->own_tls = true;
        if (code == CURLE_OK)
            code = tls_files_apply(call->tls, call->easy);
    }
    return fold(code, err);
}

static bool has_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return true;
    return false;
}

/* curl only reads the list, so it lives in the call and is wiped with it. */
static int set_headers(struct http_call *call, struct error *err)
{
    const struct http_request *request = &call->request;
    struct buffer *text = &call->header_text;
    size_t starts[HTTP_HEADERS_MOST + 3];
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct buffer *value = &request->headers[i].value;
        starts[count++] = text->len;
        buffer_append_string(text, request->headers[i].name);
        /* Without a value curl takes "Name:" for an order to leave it out. */
        buffer_append_string(text, value->len == 0 ? ";" : ": ");
        buffer_append_slice(text, buffer_slice(value));
        buffer_append_byte(text, '\0');
    }
    /* CURLOPT_USERAGENT would be formatted twice, which curl does byte by byte. */
    static const char agent[] = "User-Agent: kancel/" KANCEL_VERSION;
    starts[count++] = text->len;
    buffer_append(text, agent, sizeof agent);
    static const char *const unwanted[] = {"Expect", "Content-Type"};
    for (size_t i = 0; i < 2; i++) {
        if (has_header(request, unwanted[i]))
            continue;
        starts[count++] = text->len;
        buffer_append_string(text, unwanted[i]);
        buffer_append(text, ":", 2);
    }
    if (buffer_failed(text))
        return error_set(err, ERROR_MEMORY, "request headers: too large, or out of memory");
    for (size_t i = 0; i < count; i++) {
        call->headers[i].data = text->data + starts[i];
        call->headers[i].next = i + 1 < count ? &call->headers[i + 1] : NULL;
    }
    return fold(curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers), err);
}

static int set_method(struct http_call *call, struct error *err)
{
    const struct http_request *request = &call->request;
    bool has_body = request->body.len > 0;
    CURLcode code = CURLE_OK;
    if (has_body || request->method == HTTP_POST) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, has_body ? request->body.data : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    const char *method = NULL;
    if (request->method == HTTP_DELETE)
        method = "DELETE";
    else if (request->method == HTTP_GET && has_body)
        method = "GET";
    SET(CURLOPT_CUSTOMREQUEST, method);
    SET(CURLOPT_URL, request->url.len == 0 ? "" : request->url.data);
    return fold(code, err);
}

int http_call_prepare(struct http_call *call, struct http_multi *multi, struct tls_store *store,
                      const char *proxy, const struct account_settings *account,
                      struct http_request *request, struct error *err)
{
    call->request = *request;
    http_request_init(request);
    if (http_request_check(&call->request, err) != 0 || make_handle(call, multi, proxy, err) != 0 ||
        set_account(call, store, account, err) != 0 || set_headers(call, err) != 0 ||
        set_method(call, err) != 0)
        return -1;
    return 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* A server that refuses our certificate says so in an alert that under TLS 1.3 comes after we sent
 * the request, which it then has not read: the handshake failed. */
static bool certificate_refused(const struct http_call *call)
{
    return call->sendings == 1 && call->header_bytes == 0 &&
           strstr(call->problem, " alert ") != NULL &&
           (strstr(call->problem, "certificate") != NULL ||
            strstr(call->problem, "unknown ca") != NULL);
}

/* Another address of the same name may have been tried; then that one's failure counts. */
static bool only_denied(const struct http_call *call)
{
    return call->binding.denied != NULL && !call->binding.opened;
}

static enum http_result classify(const struct http_call *call, CURLcode code, int status)
{
    if (call->too_large || code == CURLE_FILESIZE_EXCEEDED)
        return HTTP_TOO_LARGE;
    /* How curl 7 says that one header line is beyond its 100 KiB. */
    if (code == CURLE_OUT_OF_MEMORY && call->in_head)
        return HTTP_TOO_LARGE;
    /* curl is content with a head that ends in the middle. */
    if (code == CURLE_OK)
        return status >= 200 && !call->in_head ? HTTP_ANSWERED : HTTP_BROKEN;
    if (only_denied(call))
        return HTTP_DENIED;
    if (nothing_sent(call) || certificate_refused(call))
        return HTTP_NOT_SENT;
    return code == CURLE_OPERATION_TIMEDOUT ? HTTP_TIMED_OUT : HTTP_BROKEN;
}

static const char *reason(const struct http_call *call, enum http_result result, CURLcode code)
{
    if (result == HTTP_TOO_LARGE)
        return "the answer is larger than allowed";
    if (call->out_of_memory)
        return "out of memory";
    if (code == CURLE_OK)
        return call->in_head ? "the answer's head is cut" : "the answer is not a final one";
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return "the connection was closed before an answer came";
    /* curl's text is of the first sending. */
    return call->problem[0] != '\0' && call->sendings < 2 ? call->problem
                                                          : curl_easy_strerror(code);
}

/* curl's texts may quote the server. */
static void set_problem(struct http_response *response, const char *text)
{
    size_t len = 0;
    for (; text[len] != '\0' && len < sizeof(response->problem) - 1; len++)
        response->problem[len] = text[len] >= ' ' && text[len] <= '~' ? text[len] : '?';
    response->problem[len] = '\0';
}

static struct slice kept(const struct http_call *call, enum http_kept which)
{
    if (!call->kept[which].present)
        return slice_of(NULL, 0);
    return slice_of(buffer_slice(&call->kept_text).data + call->kept[which].start,
                    call->kept[which].len);
}

static void set_denied(const struct http_call *call, struct http_response *response)
{
    char text[sizeof(response->problem)];
    (void)snprintf(text, sizeof(text), "%s is in worker.deny_addresses (%s)", call->binding.address,
                   call->binding.denied->text);
    set_problem(response, text);
}

void http_call_response(struct http_call *call, CURLcode code, struct http_response *response)
{
    long status = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    *response = (struct http_response){.result = classify(call, code, (int)status)};
    if (response->result == HTTP_TOO_LARGE)
        response->status = (int)status;
    if (response->result == HTTP_DENIED) {
        set_denied(call, response);
        return;
    }
    if (response->result != HTTP_ANSWERED) {
        set_problem(response, reason(call, response->result, code));
        return;
    }
    response->status = (int)status;
    response->body = buffer_slice(&call->body);
    response->content_type = kept(call, KEPT_CONTENT_TYPE);
    response->retry_after = kept(call, KEPT_RETRY_AFTER);
    response->date = kept(call, KEPT_DATE);
    response->subject_token = kept(call, KEPT_SUBJECT_TOKEN);
    response->request_id = kept(call, KEPT_REQUEST_ID);
}

void http_call_refuse(struct http_call *call, const struct error *err)
{
    (void)snprintf(call->problem, sizeof(call->problem), "%s", err->message);
}

void http_call_refused(const struct http_call *call, struct http_response *response)
{
    *response = (struct http_response){.result = HTTP_NOT_SENT};
    set_problem(response, call->problem);
}
