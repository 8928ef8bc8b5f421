/* Records by hand, for the tests of the codecs. */
#ifndef KANCEL_TESTS_UNIT_PROTO_WIRE_H
#define KANCEL_TESTS_UNIT_PROTO_WIRE_H

#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/result.h"
#include "tests/unit/unit.h"

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))
#define HEADER(n, v)                                                                               \
    {                                                                                              \
        SLICE(n), SLICE(v)                                                                         \
    }
#define EXAMPLES SOURCE_DIR "/proto/examples/"
#define KOODRIVE_STATUS                                                                            \
    "\"operation\":\"status\",\"provider\":\"koodrive\",\"task\":{\"jobId\":\"1\"}"

#define ck_slice_eq(got, string)                                                                   \
    do {                                                                                           \
        struct slice ck_got = (got);                                                               \
        ck_assert_msg(ck_got.data != NULL && slice_equals(ck_got, string),                         \
                      "\"%.*s\" is not \"%s\"", SLICE_ARG(ck_got), string);                        \
    } while (0)

/* Message 1742 of partition 3, keyed and with the headers of `record` (borrowed). */
static inline struct record record_of(struct slice value, const struct header *headers,
                                      size_t header_count)
{
    return (struct record){.topic = "task-commands",
                           .partition = 3,
                           .offset = 1742,
                           .timestamp_ms = 1795262340000,
                           .key = SLICE("order-7"),
                           .value = value,
                           .headers = headers,
                           .header_count = header_count};
}

/* Decodes a plain command; what it says is kept in `err`. */
static inline int decode(struct slice value, struct command *command, struct error *err)
{
    struct record record = record_of(value, NULL, 0);
    *err = (struct error){0};
    int rc = command_decode(&record, &envelope_headers_default, command, err);
    command_forget_json(command);
    return rc;
}

static inline int decode_with(struct slice value, const struct header *headers, int count,
                              struct command *command, struct error *err)
{
    struct record record = record_of(value, headers, (size_t)count);
    *err = (struct error){0};
    int rc = command_decode(&record, NULL, command, err);
    command_forget_json(command);
    return rc;
}

/* A file's bytes, to be freed by free((char *)data). */
static inline struct slice file_bytes(const char *path)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    char *bytes = malloc(1 << 20);
    size_t len = fread(bytes, 1, 1 << 20, file);
    ck_assert(len < 1 << 20);
    ck_assert(fclose(file) == 0);
    return slice_of(bytes, len);
}

/* Calls `visit` for each of the examples; there must be `least` at least. */
static inline void each_example(const char *pattern, size_t least,
                                void (*visit)(const char *path, struct slice bytes))
{
    glob_t found;
    ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
    ck_assert_uint_ge(found.gl_pathc, least);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct slice bytes = file_bytes(found.gl_pathv[i]);
        visit(found.gl_pathv[i], bytes);
        free((char *)bytes.data);
    }
    globfree(&found);
}

/* The value of a message's header; fails when there is none or more than one. */
static inline struct slice only_header(const struct message *message, const char *name)
{
    const struct header *found = NULL;
    for (size_t i = 0; i < message->header_count; i++) {
        if (!slice_equals(message->headers[i].name, name))
            continue;
        ck_assert_msg(found == NULL, "two headers %s", name);
        found = &message->headers[i];
    }
    ck_assert_msg(found != NULL, "no header %s", name);
    return found->value;
}

static inline bool has_header(const struct message *message, const char *name)
{
    for (size_t i = 0; i < message->header_count; i++) {
        if (slice_equals(message->headers[i].name, name))
            return true;
    }
    return false;
}

#endif
