#include "common/json.h"

#include "common/banned.h"

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

void json_write_compact(struct buffer *out, struct slice text)
{
    size_t start = 0; /* of the run that is not appended yet */
    bool in_string = false;
    if (text.data == NULL)
        return;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (in_string) {
            if (byte == '\\')
                i++; /* whatever is escaped, a quote too, is no end */
            else if (byte == '"')
                in_string = false;
        } else if (byte == '"') {
            in_string = true;
        } else if (is_blank(byte)) {
            buffer_append(out, text.data + start, i - start);
            start = i + 1;
        }
    }
    buffer_append(out, text.data + start, text.len - start);
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
    buffer_append_byte(out, '"');
    size_t start = 0; /* of the run that is not appended yet */
    size_t i = 0;
    if (text.data == NULL)
        text = slice_of("", 0);
    while (i < text.len) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') {
            i++;
            continue;
        }
        size_t len = slice_utf8_first(slice_of(text.data + i, text.len - i));
        if (len > 1) {
            i += len;
            continue;
        }
        buffer_append(out, text.data + start, i - start);
        if (len == 0)
            buffer_append_string(out, "\xef\xbf\xbd");
        else
            write_escape(out, byte);
        start = ++i;
    }
    buffer_append(out, text.data + start, text.len - start);
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
