/*
 * A command as decoded from a record: proto/README.md is the normative text. Decoding is strict;
 * what could be read of an invalid command is kept so that it can be answered.
 */
#ifndef KANCEL_PROTO_COMMAND_H
#define KANCEL_PROTO_COMMAND_H

#include "proto/envelope.h"
#include "proto/vocabulary.h"

#define COMMAND_NEVER INT64_MAX

/* Owns all its text (one block). The task of a valid command is additionally reachable as JSON
 * until command_forget_json(), to be called on the same thread. */
struct command {
    /* Where it came from. */
    char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    struct slice key; /* data NULL: null key, unordered */

    /* What it says. Of an invalid command: what could be read, else absent. */
    struct slice id;
    struct slice operation_text;
    enum operation operation;
    struct slice provider;
    struct slice account; /* absent: the only one of that provider */
    struct slice task;    /* compact JSON text, numbers and strings as written */
    enum until until;
    bool progress;        /* progress events are wanted while it settles */
    int64_t expires_ms;   /* the earlier of expiresAt and expirytime; COMMAND_NEVER */
    struct slice context; /* compact JSON text; absent: none */

    /* How to answer; slices point into this command's own block. */
    struct envelope envelope;

    struct json_document *document; /* NULL after command_forget_json() */
    const struct json_value *task_json;
    char *block;
    size_t block_size;
};

/* Characters (Unicode code points) of `id`, `operation`, `provider` and `account`, at least one. */
enum { COMMAND_WORD_CHARACTERS = 128 };

/*
 * Decodes `record`, borrowed for the call, its value until command_forget_json(). Returns 0 with
 * *command filled: the caller releases it in every case. Returns -1 when the command is invalid
 * (`err` names the member and what was expected): *command then holds what could be read and is
 * released by the caller as well; command->id is present when the command can be answered: the
 * value is there and at most LIMIT_COMMAND_BYTES, so are the key and the headers to echo, and an id
 * of 1-128 characters could be read. ERROR_MEMORY is possible. Checks everything of the message but
 * what is inside `task`, whether provider and account exist, and the time.
 */
int command_decode(const struct record *record, const struct envelope_headers *names,
                   struct command *command, struct error *err) MUST_CHECK;
void command_forget_json(struct command *command);
void command_release(struct command *command);
/* Bytes it counts for while held. */
size_t command_bytes(const struct command *command);

#endif
