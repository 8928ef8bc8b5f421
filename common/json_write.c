#include "common/json.h"

#include "common/json_plain.h"

#include "common/banned.h"

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* `at` is a quote; returns the place behind the closing one, or `end`. */
static const char *skip_string(const char *at, const char *end)
{
    at = json_skip_plain(at + 1, end);
    while (at < end && *at != '"') {
        bool escape = *at == '\\' && end - at > 1; /* what is escaped, a quote too, is no end */
        at = json_skip_plain(at + (escape ? 2 : 1), end);
    }
    return at < end ? at + 1 : end;
}

void json_write_compact(struct buffer *out, struct slice text)
{
    if (text.len == 0)
        return;
    const char *end = text.data + text.len;
    const char *start = text.data; /* of the run that is not appended yet */
    for (const char *at = start; at < end;) {
        if (*at == '"') {
            at = skip_string(at, end);
        } else if (is_blank(*at)) {
            buffer_append(out, start, (size_t)(at - start));
            start = ++at;
        } else {
            at++;
        }
    }
    buffer_append(out, start, (size_t)(end - start));
}

static void write_escape(struct buffer *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char short_forms[] = "btn\0fr"; /* of 0x08 to 0x0d */
    char escape[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 0xf]};
    size_t len = sizeof(escape);
    if (byte == '"' || byte == '\\' ||
        (byte >= 0x08 && byte <= 0x0d && short_forms[byte - 0x08] != '\0')) {
        escape[1] = byte < 0x20 ? short_forms[byte - 0x08] : (char)byte;
        len = 2;
    }
    buffer_append(out, escape, len);
}

void json_write_string(struct buffer *out, struct slice text)
{
    if (text.data == NULL)
        text = slice_of("", 0);
    const char *end = text.data + text.len;
    const char *start = text.data; /* of the run that is not appended yet */
    const char *at = json_skip_plain(start, end);
    buffer_append_byte(out, '"');
    for (; at < end; at = json_skip_plain(at, end)) {
        size_t len = slice_utf8_first(slice_of(at, (size_t)(end - at)));
        if (len > 1) {
            at += len;
            continue;
        }
        buffer_append(out, start, (size_t)(at - start));
        if (len == 0)
            buffer_append_string(out, "\xef\xbf\xbd");
        else
            write_escape(out, (unsigned char)*at);
        start = ++at;
    }
    buffer_append(out, start, (size_t)(end - start));
    buffer_append_byte(out, '"');
}

void json_write_int(struct buffer *out, int64_t number)
{
    buffer_append_int(out, number);
}

void json_write_member(struct buffer *out, const char *name)
{
    if (out->len > 0 && out->data[out->len - 1] != '{')
        buffer_append_byte(out, ',');
    buffer_append_byte(out, '"');
    buffer_append_string(out, name);
    buffer_append(out, "\":", 2);
}

void json_write_string_member(struct buffer *out, const char *name, struct slice text)
{
    json_write_member(out, name);
    json_write_string(out, text);
}

void json_write_int_member(struct buffer *out, const char *name, int64_t number)
{
    json_write_member(out, name);
    json_write_int(out, number);
}
