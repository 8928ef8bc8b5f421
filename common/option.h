/*
 * Configuration values behind one kind of table. A const array of `struct option` names everything
 * that may be set in one place (a section of the file, an account, a provider's part of an
 * account); `struct option_values` holds what was set, checked against its row, with the row's
 * default otherwise. The same rows drive parsing, `kancel check`, the example file and the manual,
 * so they cannot disagree.
 */
#ifndef KANCEL_COMMON_OPTION_H
#define KANCEL_COMMON_OPTION_H

#include "common/error.h"
#include "common/secret.h"
#include "common/slice.h"

enum option_type {
    OPTION_STRING,
    OPTION_SECRET,         /* text, or {file: PATH}: the caller resolves the file before setting */
    OPTION_BOOL,           /* true, false */
    OPTION_INTEGER,        /* minimum..maximum */
    OPTION_DURATION,       /* 200ms, 30s, 5m, 24h, 0s; held in ms */
    OPTION_DURATION_RANGE, /* 200ms..30s; held as two durations in ms, low <= high */
    OPTION_RATE, /* 200/s, 30/m, 0.5/s; held in thousandths per second, rounded down; 0: no limit */
    OPTION_CHOICE, /* one of `choices` */
    OPTION_LIST,   /* list of strings, in order */
    OPTION_MAP,    /* string -> string or secret; rows below it are free (librdkafka properties) */
};

struct option {
    const char *path; /* "limits.rate": keys joined by dots, below the table's own place */
    enum option_type type;
    const char *default_text; /* as one would write it, a list as "a, b" or "[a, b]"; NULL: no value
                                 unless set */
    int64_t minimum, maximum; /* OPTION_INTEGER, and DURATION in ms; maximum 0: unbounded */
    const char *choices;      /* "a|b|c" for OPTION_CHOICE */
    bool required;
    const char *help; /* one or two sentences: what it does and, where it matters, why */
};

struct option_values;

/* `rows` (borrowed for life) end with a row whose path is NULL. NULL when out of memory. */
struct option_values *option_values_new(const struct option *rows);
void option_values_free(struct option_values *values);
/* Several tables behind one set of values: adds another table's rows (an account's common ones and
 * its provider's). */
int option_values_extend(struct option_values *values, const struct option *rows,
                         struct error *err) MUST_CHECK;

/* The row of that path, or NULL. */
const struct option *option_values_row(const struct option_values *values, const char *path);
/* The path most like `path`, for "did you mean"; NULL when none is near. */
const char *option_values_nearest(const struct option_values *values, const char *path);

/* Parses and keeps. ERROR_INPUT: "expected a duration such as 200ms, 30s, 5m or 24h" (no path in
 * it: the caller says where). Setting a path again replaces. For OPTION_LIST and OPTION_MAP use the
 * functions below: the first item takes the default's place; setting them to the absent slice says
 * "given, but empty". A failure leaves the old value. */
int option_values_set(struct option_values *values, const char *path, struct slice text,
                      struct error *err) MUST_CHECK;
/* Adds to an OPTION_LIST. */
int option_values_add(struct option_values *values, const char *path, struct slice item,
                      struct error *err) MUST_CHECK;
/* Puts into an OPTION_MAP; a key that is there gets the new value. */
int option_values_put(struct option_values *values, const char *path, struct slice key,
                      struct slice value, struct error *err) MUST_CHECK;
/* True when it was set (not merely defaulted). */
bool option_values_given(const struct option_values *values, const char *path);

/* Readers: the path must be a row of that type (asserted). Numbers that were neither set nor
 * defaulted are 0. Absent text is the absent slice / NULL. Borrowed until the values are freed;
 * strings are NUL-terminated. */
const char *option_values_string(const struct option_values *values,
                                 const char *path); /* STRING, CHOICE */
const struct secret *option_values_secret(const struct option_values *values,
                                          const char *path); /* NULL: not set */
bool option_values_bool(const struct option_values *values, const char *path);
int64_t option_values_integer(const struct option_values *values,
                              const char *path); /* INTEGER, DURATION, RATE */
void option_values_range(const struct option_values *values, const char *path, int64_t *low,
                         int64_t *high);
size_t option_values_count(const struct option_values *values, const char *path); /* LIST, MAP */
const char *option_values_item(const struct option_values *values, const char *path,
                               size_t index); /* LIST */
const char *option_values_key(const struct option_values *values, const char *path,
                              size_t index); /* MAP */
const struct secret *option_values_value(const struct option_values *values, const char *path,
                                         size_t index);

#endif
