/*
 * The consumer: a member of the group whose records and rebalance events arrive on the loop's
 * thread. Thin: it translates between librdkafka and the core, it decides nothing.
 *
 * Each partition's records have a queue of their own: they are taken from each in turn, and can be
 * left there, of one partition or of all, while all else is taken. (librdkafka's own pause would
 * throw away what it has fetched.)
 */
#ifndef KANCEL_WORKER_IO_SOURCE_H
#define KANCEL_WORKER_IO_SOURCE_H

#include "worker/io/kafka.h"
#include "worker/io/loop.h"
#include "worker/io/statistics.h"

/* All run on the loop's thread. */
struct source_events {
    void *context;
    void (*record)(void *context, const struct record *record); /* borrowed for the call */
    /* Asked before each record; false: it is left where it is until source_feed(). NULL: always. */
    bool (*hungry)(void *context);
    void (*assigned)(void *context, const struct topic_partition *partitions, size_t count);
    void (*revoked)(void *context, const struct topic_partition *partitions, size_t count,
                    bool lost);
    /* Every few seconds (see engine_consumer_facts). NULL: nobody wants to know. */
    void (*facts)(void *context, const struct consumer_facts *facts);
    /* The consumer left the group and may be freed. */
    void (*closed)(void *context);
    /* ERROR_FENCED: a static member's twin took over; ERROR_FATAL: the client is unusable;
     * ERROR_TEMPORARY: worth a log line (all brokers down, topic unknown, no permission). */
    void (*problem)(void *context, const struct error *err);
};

struct source;

/* Subscribes at once. `events` is borrowed for life. */
struct source *source_new(struct loop *loop, const struct kafka_settings *settings,
                          const struct source_events *events, struct error *err);
/* After closed, or at any time when leaving without ceremony: then it says good-bye to the group
 * for up to a second, without events. */
void source_free(struct source *source);

/* Answers to assigned/revoked (see ports.h): incremental or whole, as the group's protocol wants.
 */
void source_assign(struct source *source, const struct position *positions, size_t count);
void source_unassign(struct source *source, const struct topic_partition *partitions, size_t count);
/* Records are wanted again. Cheap where none was left. */
void source_feed(struct source *source);
void source_pause(struct source *source, struct topic_partition partition);
void source_resume(struct source *source, struct topic_partition partition);

/* Leaves the group (a static member's place is kept): a last `revoked` comes for what is assigned,
 * then `closed`. */
void source_close(struct source *source);

/* A partition's end as the last fetch told; negative: not known. Asks nobody. */
int64_t source_end(struct source *source, struct topic_partition partition);

/* What the client exchanged with brokers, as it said last. */
const struct kafka_traffic *source_traffic(const struct source *source);

/* For the sink: group metadata of this moment (caller destroys; NULL when not a member); and the
 * handle for committed() reads and plain commits. */
rd_kafka_consumer_group_metadata_t *source_group_metadata(struct source *source);
rd_kafka_t *source_handle(struct source *source);

#endif
