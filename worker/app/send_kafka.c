/* The sender's two Kafka clients: a producer, and with --wait a consumer that reads the results
 * topic from its present ends. */
#include <uthash.h>

#include "common/digest.h"
#include "worker/app/send.h"
#include "worker/io/loop.h"

#include "common/banned.h"

enum {
    /* For metadata, ends and the like. */
    KAFKA_ANSWER_MS = 10 * 1000,
    /* A result holds a task of 64 KiB, its items and an echo. */
    RESULT_BYTES = 4 * 1024 * 1024,
    RESULT_DEPTH = LIMIT_RESPONSE_DEPTH + 4,
};

struct pending {
    UT_hash_handle hh;
    struct sender *sender;
    bool delivered, answered;
    size_t id_len;
    char id[];
};

struct sender {
    rd_kafka_t *producer, *consumer; /* consumer NULL: results are not waited for */
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
    /* Later ones of the same command are repeats, which at_least_once may bring. */
    if (pending && !pending->answered) {
        pending->answered = true;
        if (pending->delivered)
            sender->unanswered--;
        sender->events.result(sender->events.context, json, result);
    }
    json_document_free(document);
}

size_t sender_wait(struct sender *sender, int64_t most_ms)
{
    int64_t until_ms = loop_mono_ms() + most_ms;
    while (sender->unanswered > 0) {
        int64_t left_ms = until_ms - loop_mono_ms();
        rd_kafka_message_t *message;
        if (left_ms <= 0)
            break;
        message = rd_kafka_consumer_poll(sender->consumer, left_ms < 500 ? (int)left_ms : 500);
        if (!message)
            continue;
        if (!message->err && message->payload)
            take_result(sender, slice_of(message->payload, message->len));
        rd_kafka_message_destroy(message);
    }
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

/* Every partition of the results topic with its end. */
static rd_kafka_topic_partition_list_t *ends_of(rd_kafka_t *consumer, const char *topic,
                                                int32_t count, struct error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int32_t i = 0; i < count; i++) {
        int64_t low, high;
        rd_kafka_resp_err_t code =
            rd_kafka_query_watermark_offsets(consumer, topic, i, &low, &high, KAFKA_ANSWER_MS);
        if (code) {
            error_set(err, ERROR_TEMPORARY, "the end of %s-%d: %s", topic, (int)i,
                      rd_kafka_err2str(code));
            rd_kafka_topic_partition_list_destroy(list);
            return NULL;
        }
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = high;
    }
    return list;
}

/* 0: not known, with the reason. */
static int32_t partitions_of(rd_kafka_t *consumer, const char *name, struct error *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, name, NULL);
    rd_kafka_resp_err_t code;
    int32_t count = 0;
    if (!topic) {
        error_set(err, ERROR_TEMPORARY, "%s: %s", name, rd_kafka_err2str(rd_kafka_last_error()));
        return 0;
    }
    code = rd_kafka_metadata(consumer, 0, topic, &metadata, KAFKA_ANSWER_MS);
    if (!code && metadata->topic_cnt == 1)
        code = metadata->topics[0].err;
    if (!code && metadata->topic_cnt == 1)
        count = metadata->topics[0].partition_cnt;
    if (count == 0)
        error_set(err, ERROR_TEMPORARY, "topic %s: %s", name,
                  code ? rd_kafka_err2str(code) : "it has no partitions");
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return count;
}

static int read_from_ends(rd_kafka_t *consumer, const char *results, struct error *err)
{
    int32_t count = partitions_of(consumer, results, err);
    rd_kafka_topic_partition_list_t *ends;
    rd_kafka_resp_err_t code;
    if (count == 0)
        return -1;
    ends = ends_of(consumer, results, count, err);
    if (!ends)
        return -1;
    code = rd_kafka_assign(consumer, ends);
    rd_kafka_topic_partition_list_destroy(ends);
    return kafka_fold_code(code, "reading the results", err);
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return 0;
    return error_set(err, ERROR_INTERNAL, "%s: %s", name, text);
}

/* Of a group that is never joined: librdkafka wants a name all the same. */
static rd_kafka_t *consumer_new(const struct kafka_settings *settings, const char *results,
                                struct error *err)
{
    rd_kafka_conf_t *conf = kafka_conf(settings, KAFKA_COMMAND_LINE, err);
    char group[40] = "kancel-send-";
    uint8_t random[8];
    rd_kafka_t *consumer;
    if (!conf)
        return NULL;
    digest_random(random, sizeof(random));
    hex_encode(random, sizeof(random), group + strlen(group));
    if (set(conf, "group.id", group, err) != 0 ||
        set(conf, "isolation.level", "read_committed", err) != 0 ||
        set(conf, "enable.auto.commit", "false", err) != 0 ||
        set(conf, "auto.offset.reset", "earliest", err) != 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    consumer = kafka_new(settings, RD_KAFKA_CONSUMER, conf, err);
    if (!consumer)
        return NULL;
    rd_kafka_poll_set_consumer(consumer);
    if (read_from_ends(consumer, results, err) != 0) {
        error_prefix(err, "%s", settings->bootstrap_servers);
        rd_kafka_destroy(consumer);
        return NULL;
    }
    return consumer;
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
    if (set(conf, "enable.idempotence", "true", err) != 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    producer = kafka_new(settings, RD_KAFKA_PRODUCER, conf, err);
    if (!producer || partitions_of(producer, topic, err) > 0)
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
    else if (!wait || (sender->consumer = consumer_new(settings, results, err)) != NULL)
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
    if (sender->consumer) {
        rd_kafka_assign(sender->consumer, NULL);
        rd_kafka_destroy(sender->consumer);
    }
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
