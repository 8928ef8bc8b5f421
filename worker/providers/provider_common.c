#include <ctype.h>
#include <stdarg.h>

#include "worker/providers/answer.h"

#include "common/banned.h"

/* As much of `text` as fits, as UTF-8 without control characters. */
static void put_text(char *out, size_t most, struct slice text)
{
    size_t len = 0;
    while (text.len > 0) {
        size_t bytes = slice_utf8_first(text);
        bool odd = bytes == 0 || (bytes == 1 && iscntrl((unsigned char)text.data[0]));
        size_t step = bytes == 0 ? 1 : bytes;
        if (len + step > most)
            break;
        if (odd)
            out[len] = ' ';
        else
            memcpy(out + len, text.data, step);
        len += step;
        text = slice_of(text.data + step, text.len - step);
    }
    out[len] = '\0';
}

void verdict_set_error(struct verdict *verdict, enum failure kind, struct slice code,
                       struct slice message, int http_status)
{
    struct result_error *error = &verdict->error;
    error->kind = kind;
    error->http_status = http_status;
    code = slice_cut_utf8(code, LIMIT_CODE_BYTES);
    message = slice_cut_utf8(message, LIMIT_MESSAGE_BYTES);
    put_text(error->code, LIMIT_CODE_BYTES, text_quotes_request(code) ? slice_of(NULL, 0) : code);
    if (text_quotes_request(message))
        message = slice_of_string("left out: the provider's message quotes the request");
    put_text(error->message, LIMIT_MESSAGE_BYTES, message);
}

void mistakes_add(struct mistakes *mistakes, const char *path, const char *format, ...)
{
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    mistakes->count++;
    mistakes->tell(mistakes->context, path, message);
}

void verdict_fill(struct verdict *verdicts, size_t count, const struct verdict *verdict)
{
    for (size_t i = 0; i < count; i++)
        verdicts[i] = *verdict;
}

static void set(struct verdict *verdict, enum verdict_kind kind, enum failure failure,
                const struct http_response *response, const char *message)
{
    *verdict = (struct verdict){.kind = kind};
    verdict_set_error(verdict, failure, slice_of(NULL, 0), slice_of_string(message),
                      response->status);
}

/* Perhaps applied, if it was a cancel. */
static void set_unsure(struct verdict *verdict, enum operation operation, enum failure failure,
                       const struct http_response *response, const char *message)
{
    set(verdict, operation == OPERATION_CANCEL ? VERDICT_UNKNOWN : VERDICT_RETRY, failure, response,
        message);
}

static void verdict_of_problem(enum operation operation, const struct http_response *response,
                               struct verdict *verdict)
{
    switch (response->result) {
    case HTTP_NOT_SENT:
        set(verdict, VERDICT_RETRY, FAILURE_UNAVAILABLE, response, response->problem);
        return;
    case HTTP_DENIED:
        set(verdict, VERDICT_FAILED, FAILURE_UNAVAILABLE, response, response->problem);
        return;
    case HTTP_TIMED_OUT:
        set_unsure(verdict, operation, FAILURE_TIMEOUT, response, response->problem);
        return;
    case HTTP_TOO_LARGE:
        set_unsure(verdict, operation, FAILURE_BAD_RESPONSE, response, response->problem);
        return;
    case HTTP_BROKEN:
    case HTTP_ANSWERED:
        break;
    }
    set_unsure(verdict, operation, FAILURE_UNAVAILABLE, response, response->problem);
}

void verdict_of_http(enum operation operation, const struct http_response *response,
                     struct verdict *verdict)
{
    int status = response->status;
    char message[64];
    if (response->result != HTTP_ANSWERED) {
        verdict_of_problem(operation, response, verdict);
        return;
    }
    snprintf(message, sizeof message, "HTTP status %d", status);
    if (status == 429) {
        set(verdict, VERDICT_RETRY, FAILURE_THROTTLED, response, message);
        verdict->throttled = true;
    } else if (status == 408 || status == 504) {
        set_unsure(verdict, operation, FAILURE_TIMEOUT, response, message);
    } else if (status >= 500) {
        set_unsure(verdict, operation, FAILURE_UNAVAILABLE, response, message);
    } else if (status == 401) {
        set(verdict, VERDICT_RENEW, FAILURE_UNAUTHORIZED, response, message);
    } else if (status == 404) {
        set(verdict, operation == OPERATION_CANCEL ? VERDICT_REFUSED : VERDICT_RETRY,
            FAILURE_BAD_RESPONSE, response, message);
    } else if (status >= 400) {
        set(verdict, VERDICT_REFUSED, FAILURE_FORBIDDEN, response, message);
    } else {
        set_unsure(verdict, operation, FAILURE_BAD_RESPONSE, response,
                   status >= 200 && status < 300 ? "not an answer the provider documents"
                                                 : message);
    }
}

bool provider_none_needs_sign_in(const void *account)
{
    (void)account;
    return false;
}

int provider_none_sign_in(const void *account, const struct credential *current, int64_t wall_ms,
                          struct http_request *request, struct error *err)
{
    (void)account, (void)current, (void)wall_ms, (void)request;
    return error_set(err, ERROR_INTERNAL, "this account does not sign in");
}

int provider_none_signed_in(const void *account, const struct credential *current,
                            const struct http_response *response, int64_t wall_ms,
                            struct credential *credential, struct verdict *verdict)
{
    (void)account, (void)current, (void)wall_ms, (void)credential;
    set(verdict, VERDICT_FAILED, FAILURE_INTERNAL, response, "this account does not sign in");
    return -1;
}

bool provider_none_signs_calls(const void *account)
{
    (void)account;
    return false;
}

size_t provider_one_ask(const void *account, enum operation operation, const struct task *task,
                        size_t batch)
{
    (void)account, (void)operation, (void)task, (void)batch;
    return 1;
}
