/*
 * What librdkafka's statistics (STATISTICS.md of librdkafka, JSON every statistics.interval.ms)
 * tell that no call does: whether any broker is connected, and the last stable offset beside the
 * high watermark, as of each partition's last fetch.
 */
#ifndef KANCEL_WORKER_IO_STATISTICS_H
#define KANCEL_WORKER_IO_STATISTICS_H

#include <librdkafka/rdkafka.h>

#include "worker/core/ports.h"

/* Fills one of `facts` for each of `partitions` (their topics are borrowed). False: the text could
 * not be read, nothing is meaningful. */
bool statistics_read(struct slice text, const rd_kafka_topic_partition_list_t *partitions,
                     bool *brokers, struct partition_facts *facts) MUST_CHECK;

#endif
