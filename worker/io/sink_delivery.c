#include "worker/io/sink_delivery.h"

#include "common/banned.h"

enum {
    FULL_WAIT_MS = 50,
    FULL_LIMIT_MS = 10 * 1000,
    FLUSH_TIMEOUT_MS = 1000,
};

void sink_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    (void)opaque;
    struct sink_delivery *delivery = message->_private;
    delivery->code = message->err;
    delivery->sink->undelivered--;
}

/* NULL: there are none, or no memory (*failed). */
static rd_kafka_headers_t *headers_of(const struct message *message, bool *failed)
{
    *failed = false;
    if (message->header_count == 0)
        return NULL;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(message->header_count);
    for (size_t i = 0; headers != NULL && i < message->header_count; i++) {
        const struct header *header = &message->headers[i];
        if (rd_kafka_header_add(headers, header->name.data, (ssize_t)header->name.len,
                                header->value.data,
                                (ssize_t)header->value.len) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_headers_destroy(headers);
            headers = NULL;
        }
    }
    *failed = headers == NULL;
    return headers;
}

static rd_kafka_error_t *produce(struct sink *sink, const struct message *message,
                                 struct sink_delivery *delivery)
{
    bool failed;
    rd_kafka_headers_t *headers = headers_of(message, &failed);
    if (failed)
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, "out of memory");
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = message->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = message->partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = 0}, /* the memory stays ours */
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)message->key.data, message->key.len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)message->value.data, message->value.len}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = delivery},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    size_t count = sizeof(parts) / sizeof(parts[0]) - (headers ? 0 : 1);
    rd_kafka_error_t *error = rd_kafka_produceva(sink->producer, parts, count);
    if (error != NULL && headers != NULL)
        rd_kafka_headers_destroy(headers);
    return error;
}

static bool is_narrow(const struct sink *sink, const char *topic)
{
    for (size_t i = 0; i < sink->narrow_count; i++) {
        if (strcmp(sink->narrow_topics[i], topic) == 0)
            return true;
    }
    return false;
}

static void flush_all(struct sink *sink)
{
    while (sink->undelivered > 0 && !sink_stopping(sink) &&
           rd_kafka_fatal_error(sink->producer, NULL, 0) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        sink_call_begins(sink, "flush");
        (void)rd_kafka_flush(sink->producer, FLUSH_TIMEOUT_MS);
        sink_call_ended(sink);
    }
}

int sink_publish(struct sink *sink, const struct batch *batch, struct sink_delivery *deliveries,
                 struct error *err)
{
    int64_t since_ms = loop_mono_ms();
    for (size_t i = 0; i < batch->message_count; i++) {
        deliveries[i].sink = sink;
        sink_call_begins(sink, "produce");
        rd_kafka_error_t *error = produce(sink, batch->messages[i], &deliveries[i]);
        sink_call_ended(sink);
        if (error == NULL) {
            sink->undelivered++;
            if (is_narrow(sink, batch->messages[i]->topic))
                flush_all(sink);
            continue;
        }
        rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !sink_stopping(sink) &&
            loop_mono_ms() - since_ms < FULL_LIMIT_MS) {
            rd_kafka_error_destroy(error);
            (void)rd_kafka_poll(sink->producer, FULL_WAIT_MS);
            i--;
            continue;
        }
        deliveries[i].code = code;
        (void)kafka_fold(error, "produce", err);
        if (err->kind != ERROR_FATAL && err->kind != ERROR_FENCED)
            err->kind = ERROR_ABORT;
        return -1;
    }
    return 0;
}

static void remember_narrow(struct sink *sink, const char *topic)
{
    char *copy = is_narrow(sink, topic) ? NULL : slice_dup(slice_of_string(topic));
    if (copy == NULL)
        return;
    if (sink->narrow_count == SINK_NARROW_TOPICS)
        free(sink->narrow_topics[--sink->narrow_count]);
    sink->narrow_topics[sink->narrow_count++] = copy;
}

/* librdkafka puts messages of a partition in one request, and a broker that finds it too large for
 * the topic fails them all. The next attempt sends that topic's messages one by one: then it is
 * known whose fault it is. */
static bool is_own_fault(struct sink *sink, const struct batch *batch,
                         const struct sink_delivery *deliveries, size_t at)
{
    const char *topic = batch->messages[at]->topic;
    if (kafka_fold_delivery(deliveries[at].code) != DELIVERY_TOO_LARGE || is_narrow(sink, topic))
        return true;
    for (size_t i = 0; i < batch->message_count; i++) {
        if (i != at && deliveries[i].code == deliveries[at].code &&
            strcmp(batch->messages[i]->topic, topic) == 0)
            return false;
    }
    return true;
}

/* How much a delivery's end tells about why the batch failed. */
static int telling(rd_kafka_resp_err_t code)
{
    if (kafka_fold_delivery(code) != DELIVERY_OK)
        return 3;
    bool swept = code == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
                 code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT || code == RD_KAFKA_RESP_ERR__STATE;
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : swept ? 1 : 2;
}

int sink_judge(struct sink *sink, const struct batch *batch, const struct sink_delivery *deliveries,
               struct error *err)
{
    size_t failed = 0, cause = 0;
    for (size_t i = 0; i < batch->message_count; i++) {
        bool own = is_own_fault(sink, batch, deliveries, i);
        if (batch->message_errors != NULL)
            batch->message_errors[i] =
                (int)(own ? kafka_fold_delivery(deliveries[i].code) : DELIVERY_OK);
        if (deliveries[i].code != RD_KAFKA_RESP_ERR_NO_ERROR)
            failed++;
        if (telling(deliveries[i].code) > telling(deliveries[cause].code))
            cause = i;
    }
    if (failed == 0)
        return 0;
    for (size_t i = 0; i < batch->message_count; i++) {
        if (!is_own_fault(sink, batch, deliveries, i))
            remember_narrow(sink, batch->messages[i]->topic);
    }
    rd_kafka_resp_err_t code = deliveries[cause].code;
    return error_set(err, telling(code) > 1 ? ERROR_ABORT : ERROR_TEMPORARY,
                     "%zu of %zu messages not delivered; topic %s: %s (%s)", failed,
                     batch->message_count, batch->messages[cause]->topic, rd_kafka_err2str(code),
                     rd_kafka_err2name(code));
}
