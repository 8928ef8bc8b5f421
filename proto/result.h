/*
 * A result event and how it becomes a record: value in the command's envelope mode, key and headers
 * echoed. Also dead letters. proto/README.md is the normative text.
 */
#ifndef KANCEL_PROTO_RESULT_H
#define KANCEL_PROTO_RESULT_H

#include "common/limits.h"
#include "proto/command.h"

struct result_error {
    enum failure kind;                     /* FAILURE_NONE: no error */
    int http_status;                       /* 0: none */
    char code[LIMIT_CODE_BYTES + 1];       /* the provider's; empty: none */
    char message[LIMIT_MESSAGE_BYTES + 1]; /* for people, UTF-8, at most LIMIT_MESSAGE_BYTES */
};

struct result_item {
    struct slice id;
    enum outcome outcome; /* succeeded, refused, failed, expired */
    enum task_state state;
    bool already_cancelled;
    const struct result_error *error; /* NULL: none */
};

/* All borrowed for the call of result_message(). */
struct result {
    const struct command *command;
    bool progress; /* no result but an event of a command that goes on: command, account, state and
                      finished_ms (when it was seen) are all that counts */
    enum outcome outcome;
    enum task_state state; /* written for every outcome but invalid */
    bool already_cancelled;
    enum applied applied;
    bool dry_run;                     /* answered in place of a call */
    const struct result_error *error; /* NULL when succeeded or partial */
    struct slice
        account; /* the one used, also where the command named none; absent: as the command says */
    const struct result_item *items; /* NULL: the task is no list */
    size_t item_count;
    unsigned attempts;
    int64_t received_ms, finished_ms; /* wall clock */
    struct slice
        response; /* the provider's last JSON text; absent or over LIMIT_ECHO_BYTES: left out */
};

/* Outcome, state, error and already_cancelled of a list from its items, as the README says: with no
 * success, a failed item decides before an expired one and that before a refused one. `error`
 * points into an item. item_count > 0. */
void result_fold(struct result *result);

/* Where a result goes and why not where it was asked to go. */
struct destination {
    struct slice topic;
    int32_t partition;        /* -1: by key */
    struct slice rejected;    /* reason of header kancel-reply-rejected; absent: not rejected */
    size_t max_message_bytes; /* of that topic */
};

/* The record that answers. When it would exceed max_message_bytes these are left out, one after the
 * other until it fits: `response`, the messages of the items, `context`, at last `task` and
 * `items`. `group` makes the CloudEvents source /kancel/{group}. NULL: out of memory, or still too
 * large (ERROR_INPUT): key, echoed headers and about 2 KiB must fit. */
struct message *result_message(const struct result *result, const struct destination *destination,
                               const struct envelope_headers *names, struct slice group,
                               struct error *err) MUST_CHECK;

/* The dead letter of `record`: key, value and headers byte for byte, plus kafka_dlt-* and
 * kancel-reason, replacing those that an earlier dead-lettering left (but the digest of a value
 * that it left out). A value that does not fit max_message_bytes is left out with header
 * kancel-value-sha256; should the rest still not fit, the record's headers and then its key are
 * left out too, and header kancel-left-out names what is missing. NULL: out of memory. */
struct message *dead_letter_message(const struct record *record, struct slice topic,
                                    struct slice reason, size_t max_message_bytes,
                                    struct error *err) MUST_CHECK;

/* What a dead letter's headers say; slices are borrowed from them. */
struct dead_letter {
    struct slice topic; /* the record's place and time before */
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* -1: none */
    struct slice reason;
    bool incomplete; /* its value, or more, was left out */
};
/* False: it is no dead letter of ours. */
bool dead_letter_read(const struct header *headers, size_t count, struct dead_letter *letter);
/* True for the headers that a dead letter has besides the record's own. */
bool dead_letter_is_own(struct slice header_name);

#endif
