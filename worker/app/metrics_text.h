/* The worker's counters as Prometheus text (exposition format 0.0.4). Base units, no ids in labels.
 */
#ifndef KANCEL_WORKER_APP_METRICS_TEXT_H
#define KANCEL_WORKER_APP_METRICS_TEXT_H

#include "common/buffer.h"
#include "worker/core/metrics.h"
#include "worker/core/settings.h"
#include "worker/io/statistics.h"

/* Room for the largest configuration: some 14 KiB an account. */
enum { METRICS_TEXT_BYTES = 16 * 1024 * 1024 };

struct metrics_view {
    const struct engine_settings *settings;
    const struct metrics *metrics;
    const struct ledger_view *ledgers; /* of the partitions owned */
    size_t ledger_count;
    const struct kafka_traffic *consumer, *producer;
    bool ready;
    int64_t oldest_ms;    /* age of the oldest unanswered command */
    int64_t sink_busy_ms; /* how long the running Kafka call has been out */
    uint64_t log_lost;
    int64_t started_ms; /* wall clock */
    /* Filled by metrics_process_read(). */
    uint64_t resident_bytes;
    double cpu_seconds;
};

/* What the operating system says of this process; what cannot be read stays 0. */
void metrics_process_read(struct metrics_view *view);
void metrics_text(struct buffer *out, const struct metrics_view *view);

#endif
