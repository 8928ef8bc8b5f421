/*
 * The sink's parts between them: sink.c (thread, queues), sink_producer.c (making the producer),
 * sink_commit.c (publishing), sink_positions.c, sink_topics.c (what is asked), sink_lost.c (clients
 * without brokers). Everything that takes a struct sink_job runs on the sink's thread.
 */
#ifndef KANCEL_WORKER_IO_SINK_INTERNAL_H
#define KANCEL_WORKER_IO_SINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "worker/io/sink.h"

enum sink_job_kind {
    SINK_POSITIONS,
    SINK_TOPIC,
    SINK_COMMIT,
    SINK_RECOVER,
    SINK_PROBLEM,
    SINK_STATISTICS
};

/* A job on its way to the thread and, with its results, back to the loop. */
struct sink_job {
    STAILQ_ENTRY(sink_job) entry;
    enum sink_job_kind kind;
    struct error err; /* kind ERROR_NONE: none */

    rd_kafka_topic_partition_list_t
        *partitions; /* SINK_POSITIONS; texts of `positions` live here */
    struct position *positions;
    int64_t since_ms; /* of the first attempt; 0: none yet */

    char *topic; /* SINK_TOPIC */
    struct topic_facts facts;

    char *statistics; /* SINK_STATISTICS */

    struct batch *batch; /* SINK_COMMIT */
    rd_kafka_consumer_group_metadata_t *metadata;
    enum receipt_kind receipt;
};
STAILQ_HEAD(sink_queue, sink_job);

enum {
    SINK_NARROW_TOPICS = 16,
    /* A client that has lost its brokers gets so long to find them again: a little more than
     * metadata.recovery.rebootstrap.trigger.ms. */
    SINK_LOST_LIMIT_MS = 30 * 1000,
};

struct sink {
    struct kafka_settings own; /* those it was given, with itself as owner */
    const struct kafka_settings *settings;
    const struct sink_events *events;
    struct source *source;        /* the loop's thread only */
    struct kafka_traffic traffic; /* the loop's thread only */
    rd_kafka_t *consumer;         /* the source's */
    struct loop_waker *waker;

    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* a job, stopping, finished */
    struct sink_queue jobs, receipts;
    bool finished;  /* the thread touches nothing any more */
    bool abandoned; /* nobody listens any more */
    atomic_bool stopping;
    _Atomic int64_t call_since_ms; /* of the blocking call that is out; 0: none */
    _Atomic(const char *) call;    /* the last one's name */

    /* The thread's own. */
    rd_kafka_t *producer; /* NULL: dead, until recovered */
    char *transactional_id;
    int64_t transaction_timeout_ms;
    int64_t check_at_ms, lost_since_ms;      /* of the clients' check; 0: not yet, not lost */
    int64_t lost_limit_ms;                   /* SINK_LOST_LIMIT_MS, or less in a test */
    int64_t no_admin_until_ms;               /* brokers did not answer an admin call */
    char *narrow_topics[SINK_NARROW_TOPICS]; /* a request of several messages was too large for them
                                              */
    size_t narrow_count;
    size_t undelivered; /* messages whose delivery report is awaited */
    unsigned timed_out; /* batches in a row of which a message timed out */
};

/* Around each call that may block; `name` is a literal. */
void sink_call_begins(struct sink *sink, const char *name);
void sink_call_ended(struct sink *sink);
/* Waits, or less when the sink is to stop. False: stop. */
bool sink_sleep(struct sink *sink, int64_t ms);
bool sink_stopping(const struct sink *sink);
/* True when there are jobs behind the running one. */
bool sink_has_jobs(struct sink *sink);
/* Tells the loop that recovering takes its time. */
void sink_report_recovering(struct sink *sink, const struct error *err);
void sink_report_problem(struct sink *sink, const struct error *err);
/* Takes a client's statistics to the loop. */
void sink_report_statistics(struct sink *sink, char *statistics);
bool sink_is_static(const struct sink *sink);

/* Makes a client with the transactional.id of the first one; NULL: ERROR_INPUT. */
rd_kafka_t *sink_make_producer(struct sink *sink, struct error *err);
/* Messages that it still holds are let go; their memory is free afterwards. */
void sink_destroy_producer(struct sink *sink);

/* A client for one question to brokers; NULL: not to be had. `create`: asking for a topic makes it,
 * where brokers allow that. */
rd_kafka_t *sink_make_visitor(struct sink *sink, bool create);
void sink_destroy_visitor(struct sink *sink, rd_kafka_t *client);

/* Now and then, between jobs and between attempts to recover: reports a problem when a client has
 * lost its brokers for good. */
void sink_check_clients(struct sink *sink);

void sink_run_recover(struct sink *sink, struct sink_job *job);
void sink_run_commit(struct sink *sink, struct sink_job *job);
void sink_run_topic(struct sink *sink, struct sink_job *job);
/* False: not yet, ask again. */
bool sink_run_positions(struct sink *sink, struct sink_job *job);

#endif
