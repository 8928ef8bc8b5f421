/* The sender's two Kafka clients: a producer, and with --wait a reader of the results topic from
 * its present ends. */
#include <uthash.h>

#include "worker/app/result_rows.h"
#include "worker/app/send.h"
#include "worker/app/topic_reader.h"

#include "common/banned.h"

struct pending {
    UT_hash_handle hh;
    struct sender *sender;
    bool delivered, answered;
    size_t id_len;
    char id[];
};

struct sender {
    rd_kafka_t *producer;
    struct topic_reader *reader; /* NULL: results are not waited for */
    char *topic;
    struct send_events events;
    struct pending *table; /* by id */
    size_t unanswered;     /* delivered, and no result yet */
};

/* ---- producing ---- */

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    struct pending *pending = message->_private;
    struct sender *sender = pending->sender;
    (void)producer;
    (void)opaque;
    if (message->err) {
        bool given_up = message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
                        message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
        sender->events.failed(sender->events.context, pending->id,
                              given_up ? "no broker took it in time"
                                       : rd_kafka_err2str(message->err));
        return;
    }
    pending->delivered = true;
    if (!pending->answered)
        sender->unanswered++;
    sender->events.sent(sender->events.context, pending->id, rd_kafka_topic_name(message->rkt),
                        message->partition, message->offset);
}

static struct pending *remember(struct sender *sender, struct slice id, struct error *err)
{
    struct pending *pending;
    HASH_FIND(hh, sender->table, id.data, id.len, pending);
    if (pending) {
        error_set(err, ERROR_INPUT, "id: expected each only once, this one was sent already");
        return NULL;
    }
    pending = calloc(1, sizeof(*pending) + id.len + 1);
    if (!pending) {
        error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    pending->sender = sender;
    pending->id_len = id.len;
    memcpy(pending->id, id.data, id.len);
    HASH_ADD_KEYPTR(hh, sender->table, pending->id, pending->id_len, pending);
    return pending;
}

static rd_kafka_resp_err_t produce(struct sender *sender, struct pending *pending,
                                   struct slice value, struct slice key)
{
    /* The macros for this would need an extension of C. */
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = sender->topic},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)key.data, key.len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value.data, value.len}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = pending},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(sender->producer, parts, sizeof(parts) / sizeof(parts[0]));
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return code;
}

int sender_send(struct sender *sender, const struct send_item *item, struct slice key,
                struct error *err)
{
    struct pending *pending = remember(sender, item->id, err);
    rd_kafka_resp_err_t code;
    if (!pending)
        return -1;
    do {
        code = produce(sender, pending, item->json, key);
        /* A full queue empties by itself. */
        rd_kafka_poll(sender->producer, code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 100 : 0);
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    return kafka_fold_code(code, "sending", err);
}

void sender_flush(struct sender *sender, int64_t most_ms)
{
    rd_kafka_flush(sender->producer, (int)most_ms);
    if (rd_kafka_outq_len(sender->producer) > 0) {
        /* What is not delivered by now is given up, and said so through on_delivery. */
        rd_kafka_purge(sender->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(sender->producer, 1000);
    }
}

/* ---- results ---- */

static void take_result(struct sender *sender, struct slice json)
{
    struct error err;
    struct pending *pending = NULL;
    struct json_document *document = json_document_parse(json, RESULT_BYTES, RESULT_DEPTH, &err);
    const struct json_value *result;
    struct slice id;
    if (!document)
        return; /* somebody else's */
    result = json_document_root(document);
    id = json_value_text(json_value_get(result, "commandId"));
    if (id.len > 0)
        HASH_FIND(hh, sender->table, id.data, id.len, pending);
    bool final;
    bool answers = !json_value_bool(json_value_get(result, "final"), &final) || final;
    /* Later ones of the same command are repeats, which at_least_once may bring. */
    if (pending && answers && !pending->answered) {
        pending->answered = true;
        if (pending->delivered)
            sender->unanswered--;
        sender->events.result(sender->events.context, json, result);
    }
    json_document_free(document);
}

void sender_poll(struct sender *sender, int wait_ms)
{
    rd_kafka_message_t *message;
    rd_kafka_poll(sender->producer, 0);
    if (!sender->reader)
        return;
    message = topic_reader_next(sender->reader, wait_ms);
    while (message) {
        if (message->payload)
            take_result(sender, slice_of(message->payload, message->len));
        rd_kafka_message_destroy(message);
        message = topic_reader_next(sender->reader, 0);
    }
}

size_t sender_open(const struct sender *sender)
{
    return sender->unanswered;
}

void sender_unanswered(struct sender *sender, void (*visit)(void *context, const char *id),
                       void *context)
{
    for (struct pending *pending = sender->table; pending; pending = pending->hh.next) {
        if (pending->delivered && !pending->answered)
            visit(context, pending->id);
    }
}

/* A topic that is not there is said at once: a message to it would wait for half a minute. */
static rd_kafka_t *producer_new(const struct kafka_settings *settings, const char *topic,
                                struct error *err)
{
    rd_kafka_t *producer;
    rd_kafka_conf_t *conf = kafka_conf(settings, KAFKA_COMMAND_LINE, err);
    if (!conf)
        return NULL;
    /* A repeated command would be answered twice. */
    if (kafka_set(conf, "enable.idempotence", "true", err) != 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    producer = kafka_new(settings, RD_KAFKA_PRODUCER, conf, err);
    if (!producer || topic_partitions(producer, topic, err) > 0)
        return producer;
    error_prefix(err, "%s", settings->bootstrap_servers);
    rd_kafka_destroy(producer);
    return NULL;
}

struct sender *sender_new(const struct kafka_settings *settings, const char *topic,
                          const char *results, bool wait, const struct send_events *events,
                          struct error *err)
{
    struct sender *sender = calloc(1, sizeof(*sender));
    if (!sender) {
        error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    sender->events = *events;
    sender->topic = slice_dup(slice_of_string(topic));
    if (!sender->topic)
        error_set(err, ERROR_MEMORY, "out of memory");
    else if (!wait ||
             (sender->reader = topic_reader_new(settings, results, TOPIC_FROM_END, err)) != NULL)
        sender->producer = producer_new(settings, sender->topic, err);
    if (!sender->producer) {
        sender_free(sender);
        return NULL;
    }
    return sender;
}

void sender_free(struct sender *sender)
{
    struct pending *pending, *next;
    if (!sender)
        return;
    topic_reader_free(sender->reader);
    if (sender->producer)
        rd_kafka_destroy(sender->producer);
    HASH_ITER(hh, sender->table, pending, next)
    {
        HASH_DEL(sender->table, pending);
        free(pending);
    }
    free(sender->topic);
    free(sender);
}
