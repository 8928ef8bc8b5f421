/*
 * kancel send, in parts: commands of files and standard input (send_input.c), what a row or the
 * command line asks for as a command's JSON (send_command.c), producing it and gathering the
 * results (send_kafka.c), how far it is (send_progress.c), and the talk with people (send.c).
 */
#ifndef KANCEL_WORKER_APP_SEND_H
#define KANCEL_WORKER_APP_SEND_H

#include "common/csv.h"
#include "worker/app/args.h"
#include "worker/app/config.h"

/* ---- send_command.c ---- */

/* Where a command's values come from: the row of a table, then the command line. A column is named
 * as the option (`account`, `until`, `channel`) or as the task's member (`channelId`). */
struct send_source {
    const struct args *args;
    const struct csv_row *header, *row; /* NULL: the operands PROVIDER OPERATION ID... say it all */
};

/* The command that `source` describes, appended to `json`. ERROR_INPUT names the option, operand or
 * column. `now_ms`: wall clock, for --expires-in. Nothing is checked that the command's own
 * decoding checks. */
int send_command_build(const struct send_source *source, int64_t now_ms, struct buffer *json,
                       struct error *err) MUST_CHECK;
/* The record's key where one is said; NULL. */
const char *send_key(const struct send_source *source);
/* Every column is one that a command or a provider's task has, and there once. */
int send_check_header(const struct csv_row *header, struct error *err) MUST_CHECK;

/* One command that is ready to be sent; all slices point into the JSON text. */
struct send_item {
    struct slice json;
    struct slice id;
    struct slice key; /* the first id of its task; absent: no key */
};
/* Checks `json` as a worker would: the message, and with `config` (may be NULL) also the account
 * and the task. Fills `item` with copies that send_item_release() frees. */
int send_item_read(const struct config *config, struct slice json, struct send_item *item,
                   struct error *err) MUST_CHECK;
void send_item_release(struct send_item *item);

/* ---- send_input.c ---- */

struct send_input {
    FILE *file;
    const struct args *args;
    bool own; /* the file is ours to close */
    bool csv;
    struct csv_reader reader;
    struct csv_row header, row;
    char *text; /* of getline() */
    size_t text_room;
    size_t line; /* where the last command began, from 1 */
};

/* From --file and --format, or with the operand - from standard input. Reads a table's header.
 * ERROR_INPUT names the file. Close in every case. */
int send_input_open(struct send_input *input, const struct args *args,
                    struct error *err) MUST_CHECK;
/* 1: the next command is in `json` (emptied before); `key` is what the row says, or NULL. 0: the
 * end. -1: ERROR_INPUT is about this one, the next may be good; another kind: reading failed. */
int send_input_next(struct send_input *input, int64_t now_ms, struct buffer *json, const char **key,
                    struct error *err) MUST_CHECK;
void send_input_close(struct send_input *input);

/* ---- send_progress.c ---- */

struct send_progress {
    FILE *out; /* NULL: nothing is shown */
    bool bar;  /* one line drawn again and again, else a line now and then */
    int64_t begun_ms, drawn_ms;
    size_t sent, answered;
    size_t outcomes[OUTCOME_COUNT];
};

/* A bar on a terminal, plain lines elsewhere; nothing where `quiet`. */
void send_progress_init(struct send_progress *progress, FILE *out, bool quiet, int64_t now_ms);
/* Draws if it is time, or `always`. */
void send_progress_show(struct send_progress *progress, int64_t now_ms, bool always);
/* Takes the bar off the line before something else is printed. */
void send_progress_clear(struct send_progress *progress);
/* "succeeded 5, refused 1, open 2", for the bar and for the end. */
void send_progress_text(const struct send_progress *progress, struct buffer *text);

/* ---- send_kafka.c ---- */

struct sender;

struct send_events {
    void *context;
    /* The command of that id stands in the topic. */
    void (*sent)(void *context, const char *id, const char *topic, int32_t partition,
                 int64_t offset);
    void (*failed)(void *context, const char *id, const char *reason);
    /* The first result of a command that was sent: its JSON text. */
    void (*result)(void *context, struct slice json, const struct json_value *result);
};

/* With `wait` the results topic's ends are looked up now, before anything is sent. */
struct sender *sender_new(const struct kafka_settings *settings, const char *topic,
                          const char *results, bool wait, const struct send_events *events,
                          struct error *err);
/* ERROR_INPUT: the id was sent before by this sender; else Kafka's reason. `key` absent: none. */
int sender_send(struct sender *sender, const struct send_item *item, struct slice key,
                struct error *err) MUST_CHECK;
/* Waits until all is delivered or has failed. */
void sender_flush(struct sender *sender, int64_t most_ms);
/* Takes results that have come, waiting at most so long for the first. */
void sender_poll(struct sender *sender, int wait_ms);
/* Commands that were delivered and have no result yet. */
size_t sender_open(const struct sender *sender);
/* Calls `visit` for every id without a result. */
void sender_unanswered(struct sender *sender, void (*visit)(void *context, const char *id),
                       void *context);
void sender_free(struct sender *sender);

#endif
