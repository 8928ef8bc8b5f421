#include "common/buffer.h"

#include <inttypes.h>
#include <stdarg.h>

#include "common/banned.h"

enum { FIRST_CAPACITY = 256 };

void buffer_init(struct buffer *buffer, size_t ceiling)
{
    *buffer = (struct buffer){.ceiling = ceiling};
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    buffer_init(buffer, buffer->ceiling);
}

void buffer_wipe(struct buffer *buffer)
{
    if (buffer->data != NULL)
        explicit_bzero(buffer->data, buffer->capacity);
    buffer_release(buffer);
}

void buffer_wipe_kept(struct buffer *buffer, size_t most)
{
    if (buffer->capacity > most) {
        buffer_wipe(buffer);
        return;
    }
    if (buffer->data != NULL)
        explicit_bzero(buffer->data, buffer->len);
    buffer_clear(buffer);
}

void buffer_clear(struct buffer *buffer)
{
    buffer->len = 0;
    buffer->failed = false;
    if (buffer->data != NULL)
        buffer->data[0] = '\0';
}

/* Makes room for `more` bytes and a NUL. The block that is left is overwritten, as it may hold a
 * secret: buffer_wipe() sees the last one only. */
static bool reserve(struct buffer *buffer, size_t more)
{
    if (buffer->failed || more > buffer->ceiling || buffer->len > buffer->ceiling - more) {
        buffer->failed = true;
        return false;
    }
    size_t needed = buffer->len + more;
    if (needed < buffer->capacity)
        return true;
    size_t capacity = buffer->capacity == 0 ? FIRST_CAPACITY : buffer->capacity;
    while (capacity <= needed && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    if (capacity - 1 > buffer->ceiling)
        capacity = buffer->ceiling + 1;
    char *data = capacity > needed ? malloc(capacity) : NULL;
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    if (buffer->data != NULL) {
        memcpy(data, buffer->data, buffer->len);
        explicit_bzero(buffer->data, buffer->capacity);
        free(buffer->data);
    }
    data[buffer->len] = '\0';
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void buffer_append_grown(struct buffer *buffer, const void *data, size_t len)
{
    if (!reserve(buffer, len) || len == 0)
        return;
    memcpy(buffer->data + buffer->len, data, len);
    buffer->len += len;
    buffer->data[buffer->len] = '\0';
}

void buffer_append_int(struct buffer *buffer, int64_t value)
{
    char digits[20];
    size_t start = sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--start] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        digits[--start] = '-';
    buffer_append(buffer, digits + start, sizeof(digits) - start);
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    if (!reserve(buffer, 0))
        return;
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    /* Into the room that is there; where it does not suffice, once more. */
    size_t room = buffer->capacity - buffer->len;
    size_t before = buffer->len;
    int len = vsnprintf(buffer->data + before, room, format, args);
    if (len < 0) {
        buffer->failed = true;
    } else if (reserve(buffer, (size_t)len)) {
        if ((size_t)len >= room)
            (void)vsnprintf(buffer->data + before, (size_t)len + 1, format, again);
        buffer->len += (size_t)len;
    }
    if (buffer->failed)
        buffer->data[before] = '\0';
    va_end(again);
    va_end(args);
}

char *buffer_take(struct buffer *buffer, size_t *len)
{
    char *data = NULL;
    size_t taken = 0;
    if (reserve(buffer, 0)) {
        data = buffer->data;
        taken = buffer->len;
        buffer->data = NULL;
    }
    if (len != NULL)
        *len = taken;
    buffer_release(buffer);
    return data;
}
