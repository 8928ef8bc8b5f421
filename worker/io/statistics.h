/*
 * What librdkafka's statistics (STATISTICS.md of librdkafka, JSON every statistics.interval.ms)
 * tell that no call does: whether any broker and the group's coordinator are connected, and of each
 * partition, as of its last fetch, the last stable offset beside the high watermark.
 */
#ifndef KANCEL_WORKER_IO_STATISTICS_H
#define KANCEL_WORKER_IO_STATISTICS_H

#include <librdkafka/rdkafka.h>

#include "worker/core/ports.h"

/* Fills `facts`, with one of `room` for each of `partitions` (their topics are borrowed). False:
 * the text could not be read, nothing is meaningful. */
bool statistics_read(struct slice text, const rd_kafka_topic_partition_list_t *partitions,
                     struct partition_facts *room, struct consumer_facts *facts) MUST_CHECK;

#endif
