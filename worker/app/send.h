/*
 * kancel send, in three parts: what the command line asks for as a command's JSON (send_command.c),
 * producing it and gathering the results (send_kafka.c), and the talk with people (send.c).
 */
#ifndef KANCEL_WORKER_APP_SEND_H
#define KANCEL_WORKER_APP_SEND_H

#include "worker/app/args.h"
#include "worker/app/config.h"

/* ---- send_command.c ---- */

/* The command that the operands PROVIDER OPERATION ID... and the options of `args` (of
 * command_send) describe, appended to `json`. ERROR_INPUT names the option or operand. `now_ms`:
 * wall clock, for --expires-in. Nothing is checked that the command's own decoding checks. */
int send_command_build(const struct args *args, int64_t now_ms, struct buffer *json,
                       struct error *err) MUST_CHECK;

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
/* Takes results until every command that was delivered has one, or the time is over: the number of
 * commands left without. */
size_t sender_wait(struct sender *sender, int64_t most_ms);
/* Calls `visit` for every id without a result. */
void sender_unanswered(struct sender *sender, void (*visit)(void *context, const char *id),
                       void *context);
void sender_free(struct sender *sender);

#endif
