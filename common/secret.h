/*
 * One secret text: its one owner wipes it on change and on free. Never log `value`. Readers keep a
 * pointer to the struct, not to the value: a file that changes is read again into the same struct.
 */
#ifndef KANCEL_COMMON_SECRET_H
#define KANCEL_COMMON_SECRET_H

#include "common/error.h"
#include "common/slice.h"

struct secret {
    char *value; /* NUL-terminated; NULL: not set */
    size_t len;
};

/* Copies `value` (the absent slice: not set) and wipes what was there. ERROR_INPUT beyond
 * LIMIT_SECRET_BYTES or with a NUL byte inside; on failure the old value stays. `secret` starts as
 * {NULL, 0}. */
int secret_set(struct secret *secret, struct slice value, struct error *err) MUST_CHECK;
/* Wipes and frees; not set afterwards. */
void secret_release(struct secret *secret);
static inline struct slice secret_slice(const struct secret *secret)
{
    return slice_of(secret->value, secret->len);
}

#endif
