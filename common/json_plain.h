/*
 * The run of bytes that reading, writing and compacting of JSON strings pass over alike. Part of
 * json.c and json_write.c: nobody else uses it.
 */
#ifndef KANCEL_COMMON_JSON_PLAIN_H
#define KANCEL_COMMON_JSON_PLAIN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* The lowest bit that is set belongs to the first of eight bytes that is not plain; 0 when all are.
 * Each subtraction carries what it looks for into the highest bit of its byte, and borrows only
 * behind one that it found. */
static inline uint64_t json_not_plain(const char *bytes)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    word = le64toh(word);
    uint64_t control = word - ones * 0x20;
    uint64_t quote = (word ^ ones * '"') - ones;
    uint64_t backslash = (word ^ ones * '\\') - ones;
    return (word | control | quote | backslash) & ones * 0x80;
}

/* The first of the bytes from `at` on that is a quote, a backslash, a control character or not
 * ASCII; `end` when there is none. */
static inline const char *json_skip_plain(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t found = json_not_plain(at);
        if (found != 0)
            return at + __builtin_ctzll(found) / 8;
    }
    while (at < end && *at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

#endif
