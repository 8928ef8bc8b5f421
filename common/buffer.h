/*
 * Growable bytes with a ceiling. Appending never fails loudly: the first append that does not fit
 * (ceiling or memory) marks the buffer failed, later ones do nothing, and the writer asks once at
 * the end with buffer_failed(). `data` is NUL-terminated behind `len` once anything was appended,
 * so it may be read as a string when it holds text.
 */
#ifndef KANCEL_COMMON_BUFFER_H
#define KANCEL_COMMON_BUFFER_H

#include "common/slice.h"

struct buffer {
    char *data;
    size_t len;
    size_t capacity; /* beyond the ceiling by one at most */
    size_t ceiling;  /* most bytes of len */
    bool failed;
};

/* Nothing is allocated yet. */
void buffer_init(struct buffer *buffer, size_t ceiling);
/* Frees; the buffer may be used again as after init with the same ceiling. */
void buffer_release(struct buffer *buffer);
/* Overwrites the bytes, then releases: for secrets. */
void buffer_wipe(struct buffer *buffer);
/* Overwrites the bytes, then clears: for secrets, where it is used again. A capacity beyond `most`
 * is released. */
void buffer_wipe_kept(struct buffer *buffer, size_t most);
/* len 0, not failed; keeps the memory. */
void buffer_clear(struct buffer *buffer);

/* Behind the inline ones below: makes room first. */
void buffer_append_grown(struct buffer *buffer, const void *data, size_t len);

/* Inline, as messages are written by dozens of short appends. */
static inline void buffer_append(struct buffer *buffer, const void *data, size_t len)
{
    if (buffer->failed || len >= buffer->capacity - buffer->len) {
        buffer_append_grown(buffer, data, len);
        return;
    }
    if (len > 0)
        memcpy(buffer->data + buffer->len, data, len);
    buffer->len += len;
    buffer->data[buffer->len] = '\0';
}

static inline void buffer_append_slice(struct buffer *buffer, struct slice slice)
{
    buffer_append(buffer, slice.data, slice.len);
}

static inline void buffer_append_string(struct buffer *buffer, const char *string)
{
    buffer_append(buffer, string, strlen(string));
}

static inline void buffer_append_byte(struct buffer *buffer, char byte)
{
    buffer_append(buffer, &byte, 1);
}

void buffer_append_int(struct buffer *buffer, int64_t value);
void buffer_append_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

static inline bool buffer_failed(const struct buffer *buffer)
{
    return buffer->failed;
}

static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return slice_of(buffer->data ? buffer->data : "", buffer->len);
}

/* Moves the memory to the caller (free()), NUL-terminated; NULL when failed. The buffer is empty
 * afterwards. */
char *buffer_take(struct buffer *buffer, size_t *len);

#endif
