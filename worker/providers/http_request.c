#include <assert.h>

#include "worker/providers/provider.h"

#include "common/banned.h"

enum {
    URL_BYTES = 16 * 1024, /* an endpoint, a path of three ids and a query of two */
    HEADER_BYTES = LIMIT_SECRET_BYTES + 1024, /* the longest secret, and a word before it */
    BODY_BYTES =
        LIMIT_SECRET_BYTES + 64 * 1024, /* 500 ids of 64 bytes, or 100 of 256; a token to renew */
};

void http_request_init(struct http_request *request)
{
    *request = (struct http_request){.method = HTTP_GET};
    buffer_init(&request->url, URL_BYTES);
    buffer_init(&request->body, BODY_BYTES);
}

void http_request_release(struct http_request *request)
{
    buffer_release(&request->url);
    for (size_t i = 0; i < request->header_count; i++)
        buffer_wipe(&request->headers[i].value);
    request->header_count = 0;
    buffer_wipe(&request->body);
}

struct buffer *http_request_header(struct http_request *request, const char *name)
{
    assert(request->header_count < HTTP_HEADERS_MOST);
    size_t i = request->header_count++;
    request->headers[i].name = name;
    buffer_init(&request->headers[i].value, HEADER_BYTES);
    return &request->headers[i].value;
}

void http_append_encoded(struct buffer *out, struct slice segment)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < segment.len; i++) {
        unsigned char byte = (unsigned char)segment.data[i];
        if (slice_is_word(slice_of(segment.data + i, 1), "azAZ09--..__~~", 1)) {
            buffer_append_byte(out, segment.data[i]);
        } else {
            buffer_append_byte(out, '%');
            buffer_append_byte(out, digits[byte >> 4]);
            buffer_append_byte(out, digits[byte & 15]);
        }
    }
}

static bool holds_line_end(struct slice text)
{
    return memchr(text.data, '\0', text.len) || memchr(text.data, '\r', text.len) ||
           memchr(text.data, '\n', text.len);
}

static bool holds_blank(struct slice text)
{
    return memchr(text.data, ' ', text.len) || memchr(text.data, '\t', text.len);
}

int http_request_check(const struct http_request *request, struct error *err)
{
    if (buffer_failed(&request->url) || buffer_failed(&request->body))
        return error_set(err, ERROR_MEMORY, "request: out of memory or too large");
    struct slice url = buffer_slice(&request->url);
    if (url.len == 0 || holds_line_end(url) || holds_blank(url))
        return error_set(err, ERROR_INPUT, "request: expected a URL without blanks or line ends");
    for (size_t i = 0; i < request->header_count; i++) {
        const struct buffer *value = &request->headers[i].value;
        if (buffer_failed(value))
            return error_set(err, ERROR_MEMORY, "header %s: out of memory or too large",
                             request->headers[i].name);
        if (holds_line_end(buffer_slice(value)))
            return error_set(err, ERROR_INPUT, "header %s: expected a value without line ends",
                             request->headers[i].name);
    }
    return 0;
}
