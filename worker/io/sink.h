/*
 * The producer's side: one thread that makes one blocking Kafka call at a time - transactions,
 * reading committed positions, asking about topics - and hands the receipts back on the loop's
 * thread.
 */
#ifndef KANCEL_WORKER_IO_SINK_H
#define KANCEL_WORKER_IO_SINK_H

#include "worker/io/source.h"

/* All run on the loop's thread; batches and texts as in engine.h. */
struct sink_events {
    void *context;
    void (*positions)(void *context, const struct position *positions, size_t count,
                      const struct error *err);
    void (*topic_facts)(void *context, const struct topic_facts *facts);
    void (*receipt)(void *context, struct batch *batch, enum receipt_kind kind,
                    const struct error *err);
    void (*recovered)(void *context, const struct error *err);
    /* ERROR_FATAL: a client has lost its brokers for good, while others find them. */
    void (*problem)(void *context, const struct error *err);
};

struct sink;

/* Starts the thread, which makes the producer (and, exactly_once, init_transactions, retried until
 * it works: then the first `recovered` comes). `source` must outlive the sink. `events` is borrowed
 * for life. */
struct sink *sink_new(struct loop *loop, const struct kafka_settings *settings,
                      struct source *source, const struct sink_events *events, struct error *err);
/* Lets the running call end or at most `wait_ms`, drops what is queued. False: the thread hangs in
 * a blocking call; its memory is then left alone and the process should leave with _exit(). */
bool sink_free(struct sink *sink, int64_t wait_ms);

/* Jobs; queued and done in order of submission. */
void sink_read_positions(struct sink *sink, const struct topic_partition *partitions, size_t count);
void sink_look_up_topic(struct sink *sink, const char *topic);
void sink_commit(struct sink *sink,
                 struct batch *batch); /* takes batch; takes group metadata now */
void sink_recover(struct sink *sink);

/* How long the running blocking call has been out, ms; 0: idle. Any thread. For the watchdog. */
int64_t sink_busy_ms(const struct sink *sink);
/* What the producer exchanged with brokers, as it said last. The loop's thread. */
const struct kafka_traffic *sink_traffic(const struct sink *sink);
/* The name of the running blocking call, or of the last one. Any thread. */
const char *sink_call(const struct sink *sink);

#endif
