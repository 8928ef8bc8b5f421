/*
 * Everything the core says to the outside, and the plain data both sides exchange. The core calls a
 * port only from within one of its own functions (engine.h), on the loop's thread; a port never
 * calls back into the core before it has returned: answers come later, as calls of engine_*().
 */
#ifndef KANCEL_WORKER_CORE_PORTS_H
#define KANCEL_WORKER_CORE_PORTS_H

#include "proto/message.h"
#include "proto/result.h"
#include "worker/core/settings.h"
#include "worker/core/trace.h"

/* Now, handed in with every event. mono_ms never goes back; wall_ms is the machine's idea of Unix
 * time. */
struct now {
    int64_t mono_ms;
    int64_t wall_ms;
};

struct topic_partition {
    const char *topic;
    int32_t partition;
};

enum { OFFSET_NONE = -1 };

/* A partition's committed offset and metadata. */
struct position {
    struct topic_partition at;
    int64_t
        offset; /* next to read; OFFSET_NONE: nothing committed and the earliest offset not known */
    bool fresh; /* read positions: nothing was committed, `offset` is the earliest available */
    int64_t
        end; /* read positions: the partition's end offset at that time; OFFSET_NONE: not known */
    struct slice metadata; /* text; absent: none */
};

/* What a transaction publishes (exactly_once), or what is published first and committed then
 * (at_least_once). Owned by who holds the pointer; the sink gives it back in its receipt. The
 * messages stay the core's: they live until the receipt. */
struct batch {
    struct message **messages;
    int *message_errors; /* filled by the sink: enum delivery_error per message */
    size_t message_count;
    struct position *positions; /* offset and metadata to commit */
    size_t position_count;
};
/* Frees the batch with its positions (topics and metadata texts are its own), not the messages. */
void batch_free(struct batch *batch);

/* Why one message of an aborted batch was not taken. */
enum delivery_error {
    DELIVERY_OK,        /* not its fault */
    DELIVERY_NO_TOPIC,  /* unknown topic or partition */
    DELIVERY_FORBIDDEN, /* topic authorization failed */
    DELIVERY_TOO_LARGE,
    DELIVERY_REFUSED, /* the broker refuses this record for another lasting reason */
};

/* What became of a batch. */
enum receipt_kind {
    RECEIPT_COMMITTED,
    RECEIPT_ABORTED, /* nothing of it is visible, publish again what is still owned; message_errors
                        say whose fault */
    RECEIPT_UNKNOWN, /* the producer is dead and whether it committed is not known: recover, read
                        back */
    RECEIPT_FENCED,  /* a twin took over: leave */
};

/* What is known of a topic that a reply may go to. */
struct topic_facts {
    const char *topic;
    bool exists;
    bool writable; /* false: known to be forbidden */
    int32_t partitions;
    size_t max_message_bytes;
    bool unavailable; /* could not be asked in time: nothing else is meaningful */
};

/* What the consumer's client sees of a partition; OFFSET_NONE: not known. */
struct partition_facts {
    const char *topic;
    int32_t partition;
    int64_t next;       /* to be fetched; goes on over what nobody is given */
    int64_t stable_end; /* last stable offset: what is read_committed ends there */
    int64_t end;        /* high watermark */
};

/* What it sees at all. */
struct consumer_facts {
    bool brokers;          /* one is connected */
    bool coordinator;      /* the group's is */
    const char *hindrance; /* what it last complained of, while it has nothing; NULL: nothing */
    const struct partition_facts *partitions;
    size_t count;
};

/* One line for the log and the counters: a command was answered (its result is committed). */
struct answered {
    const struct command *command;
    const struct result *result;
    const char *topic; /* where the result goes */
    bool dead_lettered;
    const char *reason; /* of an invalid command; NULL */
};

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct ports {
    void *context;

    /* Starts an HTTP exchange. `request` is taken (moved out, left released). Never fails: failures
     * come as a response with engine_response(call_id). Exactly one response per call unless
     * abandoned. */
    void (*call)(void *context, uint64_t call_id, const struct account_settings *account,
                 struct http_request *request);
    /* No response will come any more. */
    void (*abandon)(void *context, uint64_t call_id);

    /* Consumer. `assign` and `unassign` finish a rebalance step that engine_assigned() or
     * engine_revoked() began: always called once for each of those, count 0 included. */
    void (*assign)(void *context, const struct position *positions, size_t count);
    void (*unassign)(void *context, const struct topic_partition *partitions, size_t count);
    void (*pause)(void *context, struct topic_partition partition);
    void (*resume)(void *context, struct topic_partition partition);

    /* Sink: each job is answered by one engine_*() event. Only one commit or recover is out at a
     * time. */
    void (*read_positions)(void *context, const struct topic_partition *partitions,
                           size_t count);                    /* engine_positions */
    void (*look_up_topic)(void *context, const char *topic); /* engine_topic_facts */
    /* Takes the batch; takes the consumer's group metadata in this same call. */
    void (*commit)(void *context, struct batch *batch); /* engine_receipt */
    void (*recover)(void *context);                     /* engine_recovered */

    void (*answered)(void *context, const struct answered *answered);
    /* Only with settings->tracing. */
    void (*span)(void *context, const struct span *span);
    /* A fixed event name ("account_held") and logfmt pairs; no secret, no id in counters. */
    void (*log)(void *context, enum log_level level, const char *event, const char *format, ...)
        PRINTF_LIKE(4, 5);
};

#endif
