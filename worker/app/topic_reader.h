/*
 * Reading one topic to its end and beyond, for people at a terminal: every partition, from its
 * present end or its beginning, committed records only, in no group.
 */
#ifndef KANCEL_WORKER_APP_TOPIC_READER_H
#define KANCEL_WORKER_APP_TOPIC_READER_H

#include "worker/io/kafka.h"

enum {
    /* For metadata, ends and the like. */
    KAFKA_ANSWER_MS = 10 * 1000,
};

struct topic_reader;

enum topic_from { TOPIC_FROM_END, TOPIC_FROM_BEGINNING };

/* The ends or beginnings are looked up now. The error begins with the brokers. */
struct topic_reader *topic_reader_new(const struct kafka_settings *settings, const char *topic,
                                      enum topic_from from, struct error *err);
void topic_reader_free(struct topic_reader *reader); /* NULL does nothing */

/* The next record within `wait_ms`, or NULL; to be destroyed by the caller. A problem that
 * librdkafka gets over by itself is no record. */
rd_kafka_message_t *topic_reader_next(struct topic_reader *reader, int wait_ms);
/* The partition is not at its end before this offset: where transactions are still open, a reader
 * of committed records comes to an end earlier. */
void topic_reader_wants(struct topic_reader *reader, int32_t partition, int64_t end);
/* True once every partition was read to where it ended at some moment. */
bool topic_reader_at_end(const struct topic_reader *reader);
int32_t topic_reader_partitions(const struct topic_reader *reader);

/* How many partitions the topic has. 0: not known, with the reason. */
int32_t topic_partitions(rd_kafka_t *client, const char *topic, struct error *err);

#endif
