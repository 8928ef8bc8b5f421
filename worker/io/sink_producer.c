/* The producer's making and remaking: sink_internal.h. */
#include "worker/io/sink_internal.h"

#include "worker/io/sink_delivery.h"

#include "common/banned.h"

enum {
    INIT_TIMEOUT_MS = 10 * 1000,
    BACKOFF_LOW_MS = 100,
    BACKOFF_HIGH_MS = 5 * 1000,
    REPORT_EVERY_MS = 10 * 1000,
    PRIME_TIMEOUT_MS = 2 * 1000,
};

/* The first producer's id is kept: with the same one init_transactions ends at once what a dead
 * producer left open. */
static int keep_identity(struct sink *sink, rd_kafka_conf_t *conf, struct error *err)
{
    char text[4096];
    size_t size = sizeof(text);
    if (sink->transactional_id != NULL) {
        if (rd_kafka_conf_set(conf, "transactional.id", sink->transactional_id, NULL, 0) !=
            RD_KAFKA_CONF_OK)
            return error_set(err, ERROR_INTERNAL, "transactional.id was refused");
        return 0;
    }
    if (rd_kafka_conf_get(conf, "transactional.id", text, &size) == RD_KAFKA_CONF_OK) {
        sink->transactional_id = slice_dup(slice_of_string(text));
        if (sink->transactional_id == NULL)
            return error_set(err, ERROR_MEMORY, "out of memory");
    }
    size = sizeof(text);
    sink->transaction_timeout_ms = 60 * 1000;
    if (rd_kafka_conf_get(conf, "transaction.timeout.ms", text, &size) == RD_KAFKA_CONF_OK)
        (void)!slice_to_int64(slice_of_string(text), &sink->transaction_timeout_ms);
    return 0;
}

/* Runs on the sink's thread, within its calls. 1: the text is ours now. */
static int on_statistics(rd_kafka_t *rk, char *text, size_t len, void *opaque)
{
    const struct kafka_settings *settings = opaque;
    (void)rk;
    (void)len;
    sink_report_statistics(settings->owner, text);
    return 1;
}

rd_kafka_t *sink_make_producer(struct sink *sink, struct error *err)
{
    rd_kafka_conf_t *conf = kafka_conf(sink->settings, KAFKA_PRODUCER, err);
    if (conf == NULL)
        return NULL;
    if (sink->settings->delivery == DELIVERY_EXACTLY_ONCE && keep_identity(sink, conf, err) != 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    /* Without the callback librdkafka's flush sleeps in steps of 10 ms. */
    rd_kafka_conf_set_dr_msg_cb(conf, sink_delivered);
    rd_kafka_conf_set_stats_cb(conf, on_statistics);
    return kafka_new(sink->settings, RD_KAFKA_PRODUCER, conf, err);
}

rd_kafka_t *sink_make_visitor(struct sink *sink, bool create)
{
    struct error err;
    rd_kafka_conf_t *conf = kafka_conf(sink->settings, KAFKA_COMMAND_LINE, &err);
    if (conf == NULL)
        return NULL;
    (void)rd_kafka_conf_set(conf, "allow.auto.create.topics", create ? "true" : "false", NULL, 0);
    return kafka_new(sink->settings, RD_KAFKA_PRODUCER, conf, &err);
}

void sink_destroy_visitor(struct sink *sink, rd_kafka_t *client)
{
    if (client == NULL)
        return;
    sink_call_begins(sink, "destroy");
    rd_kafka_destroy(client);
    sink_call_ended(sink);
}

void sink_destroy_producer(struct sink *sink)
{
    if (sink->producer == NULL)
        return;
    sink_call_begins(sink, "destroy");
    rd_kafka_destroy(sink->producer);
    sink_call_ended(sink);
    sink->producer = NULL;
    sink->undelivered = 0;
}

/* The first message to a topic that the producer does not know yet waits for its metadata, in older
 * librdkafka up to a second. */
static void prime(struct sink *sink, const char *name)
{
    if (name == NULL)
        return;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(sink->producer, name, NULL);
    if (topic == NULL)
        return;
    const struct rd_kafka_metadata *metadata = NULL;
    sink_call_begins(sink, "metadata");
    if (rd_kafka_metadata(sink->producer, 0, topic, &metadata, PRIME_TIMEOUT_MS) ==
        RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
    sink_call_ended(sink);
    rd_kafka_topic_destroy(topic);
}

/* 0: the producer may be used. */
static int try_start(struct sink *sink, struct error *err)
{
    if (sink->producer == NULL && (sink->producer = sink_make_producer(sink, err)) == NULL)
        return -1;
    /* First, as init_transactions without a broker asks for its coordinator again only after half a
     * second. */
    prime(sink, sink->settings->results);
    prime(sink, sink->settings->dead_letters);
    if (sink->settings->delivery == DELIVERY_EXACTLY_ONCE) {
        sink_call_begins(sink, "init_transactions");
        rd_kafka_error_t *error = rd_kafka_init_transactions(sink->producer, INIT_TIMEOUT_MS);
        sink_call_ended(sink);
        bool again = error == NULL || rd_kafka_error_is_retriable(error);
        if (kafka_fold(error, "init_transactions", err) != 0) {
            if (!again)
                sink_destroy_producer(sink);
            return -1;
        }
    }
    return 0;
}

void sink_run_recover(struct sink *sink, struct sink_job *job)
{
    if (sink->producer != NULL && rd_kafka_fatal_error(sink->producer, NULL, 0) != 0)
        sink_destroy_producer(sink);
    int64_t backoff_ms = BACKOFF_LOW_MS, told_ms = loop_mono_ms();
    struct error err;
    while (try_start(sink, &err) != 0) {
        if (err.kind == ERROR_FENCED && sink_is_static(sink)) {
            job->err = err;
            return;
        }
        err.kind = ERROR_TEMPORARY;
        if (loop_mono_ms() - told_ms >= REPORT_EVERY_MS) {
            told_ms = loop_mono_ms();
            sink_report_recovering(sink, &err);
        }
        sink_check_clients(sink);
        if (!sink_sleep(sink, backoff_ms)) {
            job->err = err;
            return;
        }
        backoff_ms = backoff_ms * 2 < BACKOFF_HIGH_MS ? backoff_ms * 2 : BACKOFF_HIGH_MS;
    }
}
