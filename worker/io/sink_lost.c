/*
 * Clients that lost their brokers: sink_internal.h. librdkafka forgets brokers that are missing in
 * its metadata, the last one too (2.10 and newer), and may then never come back, though
 * metadata.recovery.rebootstrap.trigger.ms mends most of it. A client that finds no broker while a
 * new one does is such a one: only a new process helps. While a new client finds none either, Kafka
 * is away, and waiting is right.
 */
#include "worker/io/sink_internal.h"

#include "common/banned.h"

enum {
    CHECK_EVERY_MS = 10 * 1000,
    CHECK_AGAIN_MS = 2 * 1000,
    ANSWER_LIMIT_MS = 2 * 1000,
    NEW_CLIENT_LIMIT_MS = 5 * 1000,
};

static bool reaches(struct sink *sink, rd_kafka_t *client, int limit_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    sink_call_begins(sink, "metadata");
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, NULL, &metadata, limit_ms);
    sink_call_ended(sink);
    if (metadata != NULL)
        rd_kafka_metadata_destroy(metadata);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool new_client_reaches(struct sink *sink)
{
    rd_kafka_t *client = sink_make_visitor(sink, false);
    bool reached = client != NULL && reaches(sink, client, NEW_CLIENT_LIMIT_MS);
    sink_destroy_visitor(sink, client);
    return reached;
}

static const char *who_is_lost(struct sink *sink)
{
    if (!reaches(sink, sink->consumer, ANSWER_LIMIT_MS))
        return "consumer";
    if (sink->producer != NULL && !reaches(sink, sink->producer, ANSWER_LIMIT_MS))
        return "producer";
    return NULL;
}

void sink_check_clients(struct sink *sink)
{
    int64_t now_ms = loop_mono_ms();
    if (sink->check_at_ms == 0)
        sink->check_at_ms = now_ms + CHECK_EVERY_MS;
    if (now_ms < sink->check_at_ms || sink_stopping(sink))
        return;
    const char *who = who_is_lost(sink);
    bool lost = who != NULL && new_client_reaches(sink);
    now_ms = loop_mono_ms();
    sink->check_at_ms = now_ms + (lost ? CHECK_AGAIN_MS : CHECK_EVERY_MS);
    if (!lost) {
        sink->lost_since_ms = 0;
        return;
    }
    if (sink->lost_since_ms == 0)
        sink->lost_since_ms = now_ms;
    if (now_ms - sink->lost_since_ms < sink->lost_limit_ms)
        return;
    struct error err;
    (void)error_set(&err, ERROR_FATAL, "the %s finds no broker any more, a new client does", who);
    sink_report_problem(sink, &err);
    sink->lost_since_ms = 0;
}
