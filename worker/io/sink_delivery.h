/* Messages of one batch on their way to the brokers and their delivery reports. Part of the sink;
 * its thread only. */
#ifndef KANCEL_WORKER_IO_SINK_DELIVERY_H
#define KANCEL_WORKER_IO_SINK_DELIVERY_H

#include "worker/io/sink_internal.h"

struct sink_delivery {
    struct sink *sink;
    rd_kafka_resp_err_t code;
};

/* librdkafka's delivery report callback. */
void sink_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);

/* Hands all messages to the producer, which borrows their memory until each is reported in
 * `deliveries` (one a message). ERROR_ABORT: one was refused at once, or there was no room for too
 * long. */
int sink_publish(struct sink *sink, const struct batch *batch, struct sink_delivery *deliveries,
                 struct error *err) MUST_CHECK;

/* Fills batch->message_errors. 0: all went out; -1: how many did not, and why: ERROR_ABORT, or
 * ERROR_TEMPORARY when they were merely swept away with the rest. Remembers topics that take no
 * requests of several messages. */
int sink_judge(struct sink *sink, const struct batch *batch, const struct sink_delivery *deliveries,
               struct error *err);

#endif
