/*
 * What a JSON value is made of: inside of json.c, which reads texts into values, and json_value.c,
 * which gives them out. Nobody else includes this.
 */
#ifndef KANCEL_COMMON_JSON_VALUE_H
#define KANCEL_COMMON_JSON_VALUE_H

#include "common/json.h"

/* Objects with more members have an index by name. */
enum { JSON_FEW_MEMBERS = 16 };

struct json_value {
    enum json_kind kind;
    bool holds;        /* of a boolean: it is true; of a number: an int64 holds it */
    struct slice name; /* of a member */
    struct slice raw;  /* as it was written */
    union {
        struct slice text;
        int64_t number;
        struct {
            const struct json_value *items;
            size_t count;
        };
    };
};

/* Any order does that all agree on; by length first is the quickest. */
static inline int json_compare_names(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len == 0 ? 0 : memcmp(a.data, b.data, a.len);
}

/* An object with more than JSON_FEW_MEMBERS has them once more, sorted by name, behind its items.
 */
static inline const struct json_value **json_index_of(const struct json_value *items, size_t count)
{
    return (const struct json_value **)(items + count);
}

#endif
