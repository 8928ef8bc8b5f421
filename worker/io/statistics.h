/*
 * What librdkafka's statistics (STATISTICS.md of librdkafka, JSON every statistics.interval.ms)
 * tell that no call does: whether any broker and the group's coordinator are connected, of each
 * partition, as of its last fetch, the last stable offset beside the high watermark, and what goes
 * over the wire.
 */
#ifndef KANCEL_WORKER_IO_STATISTICS_H
#define KANCEL_WORKER_IO_STATISTICS_H

#include <librdkafka/rdkafka.h>

#include "worker/core/ports.h"

/* What one client exchanges with its brokers, for the metrics. */
struct kafka_traffic {
    /* Since the client was made. */
    uint64_t requests, sent_bytes, received_bytes;
    /* Since the first one: the statistics tell each interval's, which are added up. */
    uint64_t round_trips, round_trips_us;
    /* As the last statistics told. */
    uint64_t p99_us;                /* of the last interval's round trips, at the slowest broker */
    uint64_t unsent, unanswered;    /* requests */
    uint64_t records, record_bytes; /* to be sent and not acknowledged, or fetched and not taken */
};

/* Fills `facts`, with one of `room` for each of `partitions` (their topics are borrowed). False:
 * the text could not be read, nothing is meaningful. `traffic` goes on from the last time. */
bool statistics_read(struct slice text, const rd_kafka_topic_partition_list_t *partitions,
                     struct partition_facts *room, struct consumer_facts *facts,
                     struct kafka_traffic *traffic) MUST_CHECK;

/* The producer's: only `traffic`, left alone if the text could not be read. */
void statistics_read_traffic(struct slice text, struct kafka_traffic *traffic);

#endif
