/*
 * A borrowed run of bytes. `data` may be NULL only with `len` 0 ("absent"); an empty but present
 * text has data != NULL. Never NUL-terminated by promise.
 */
#ifndef KANCEL_COMMON_SLICE_H
#define KANCEL_COMMON_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/attributes.h"

struct slice {
    const char *data;
    size_t len;
};

/* printf("%.*s", SLICE_ARG(s)) */
#define SLICE_ARG(s) (int)(s).len, ((s).data ? (s).data : "")
/* A slice over a string literal; usable in static initialisers. */
#define SLICE(literal)                                                                             \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static inline struct slice slice_of(const char *data, size_t len)
{
    return (struct slice){data, len};
}

/* NULL gives the absent slice. */
static inline struct slice slice_of_string(const char *string)
{
    return (struct slice){string, string ? strlen(string) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_equals(struct slice a, const char *string)
{
    return slice_equal(a, slice_of_string(string));
}

/* ASCII letters compared without case, as header names are. */
bool slice_equals_ignoring_case(struct slice a, const char *string);
bool slice_starts_with(struct slice a, const char *prefix);
bool slice_ends_with(struct slice a, const char *suffix);

/* True when 1 <= len <= most and every byte is in the ranges of `alphabet`, given as pairs:
 * "azAZ09__--" means a-z, A-Z, 0-9, _ and -. */
bool slice_is_word(struct slice a, const char *alphabet, size_t most);

/* True for well-formed UTF-8 (no surrogates, no overlong forms). */
bool slice_is_utf8(struct slice a);
/* Bytes of the well-formed UTF-8 character that `a` begins with (1-4); 0 when it begins with none.
 */
size_t slice_utf8_first(struct slice a);

/* The longest prefix of at most `most` bytes that does not cut a UTF-8 character. */
struct slice slice_cut_utf8(struct slice a, size_t most);

/* Decimal with optional '-', the whole slice, no blanks; false when it is anything else or out of
 * range. */
bool slice_to_int64(struct slice a, int64_t *value) MUST_CHECK;

/* A NUL-terminated copy the caller frees; NULL when out of memory. */
char *slice_dup(struct slice a);

#endif
