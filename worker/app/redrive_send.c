#include <inttypes.h>

#include "worker/app/redrive.h"

#include "common/banned.h"

enum {
    /* A killed redrive's transaction is ended first. */
    INIT_MS = 60 * 1000,
    /* Letters in one transaction. */
    BATCH = 200,
};

struct redrive {
    const struct kafka_settings *settings;
    const char *topic; /* the dead letters' */
    rd_kafka_t *producer;
};

/* `isolation.level` is for asking where the topic ends, open transactions included. */
static rd_kafka_t *producer_new(const struct kafka_settings *settings, const char *topic,
                                struct error *err)
{
    struct kafka_settings exactly_once = *settings;
    char id[600];
    exactly_once.delivery = DELIVERY_EXACTLY_ONCE;
    exactly_once.instance_id = "";
    rd_kafka_conf_t *conf = kafka_conf(&exactly_once, KAFKA_PRODUCER, err);
    if (!conf)
        return NULL;
    snprintf(id, sizeof(id), "%s-redrive-%s", settings->group, topic);
    if (kafka_set(conf, "transactional.id", id, err) != 0 ||
        kafka_set(conf, "isolation.level", "read_uncommitted", err) != 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return kafka_new(&exactly_once, RD_KAFKA_PRODUCER, conf, err);
}

struct redrive *redrive_new(const struct kafka_settings *settings, const char *topic,
                            struct error *err)
{
    struct redrive *redrive = calloc(1, sizeof(*redrive));
    if (!redrive) {
        error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    redrive->settings = settings;
    redrive->topic = topic;
    redrive->producer = producer_new(settings, topic, err);
    if (redrive->producer && kafka_fold(rd_kafka_init_transactions(redrive->producer, INIT_MS),
                                        "init_transactions", err) == 0)
        return redrive;
    redrive_free(redrive);
    return NULL;
}

void redrive_free(struct redrive *redrive)
{
    if (redrive && redrive->producer)
        rd_kafka_destroy(redrive->producer);
    free(redrive);
}

int redrive_follow(struct redrive *redrive, struct topic_reader *reader, struct error *err)
{
    for (int32_t i = 0; i < topic_reader_partitions(reader); i++) {
        int64_t low, high;
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
            redrive->producer, redrive->topic, i, &low, &high, KAFKA_ANSWER_MS);
        if (kafka_fold_code(code, "the end of the dead letters", err) != 0)
            return -1;
        topic_reader_wants(reader, i, high);
    }
    return 0;
}

/* ---- one transaction ------------------------------------------------------------------------- */

/* Takes `headers`. */
static int produce(struct redrive *redrive, const char *topic, int32_t partition, struct slice key,
                   struct slice value, rd_kafka_headers_t *headers, struct error *err)
{
    /* The macros for this would need an extension of C. */
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)key.data, key.len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value.data, value.len}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(redrive->producer, parts, sizeof(parts) / sizeof(parts[0]));
    if (error)
        rd_kafka_headers_destroy(headers);
    return kafka_fold(error, "producing", err);
}

static void add_header(rd_kafka_headers_t *headers, struct slice name, struct slice value)
{
    rd_kafka_header_add(headers, name.data, (ssize_t)name.len, value.data, (ssize_t)value.len);
}

/* The record as it was, and which letter it comes from. */
static int produce_record(struct redrive *redrive, const struct letter *letter, struct slice from,
                          struct error *err)
{
    const rd_kafka_message_t *message = letter->message;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(letter->header_count + 1);
    char topic[256];
    snprintf(topic, sizeof(topic), "%.*s", SLICE_ARG(letter->said.topic));
    for (size_t i = 0; i < letter->header_count; i++) {
        const struct header *header = &letter->headers[i];
        if (!dead_letter_is_own(header->name) && !slice_equals(header->name, REDRIVE_HEADER))
            add_header(headers, header->name, header->value);
    }
    add_header(headers, slice_of_string(REDRIVE_HEADER), from);
    return produce(redrive, topic, RD_KAFKA_PARTITION_UA,
                   slice_of(message->key, message->key ? message->key_len : 0),
                   slice_of(message->payload, message->payload ? message->len : 0), headers, err);
}

static int produce_mark(struct redrive *redrive, const struct letter *letter, struct slice from,
                        struct error *err)
{
    static const char text[] = "This letter was sent back: see the header " REDRIVE_HEADER ".";
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    add_header(headers, slice_of_string(REDRIVE_HEADER), from);
    return produce(redrive, redrive->topic, letter->message->partition, slice_of(NULL, 0),
                   slice_of_string(text), headers, err);
}

static int produce_letter(struct redrive *redrive, const struct letter *letter, struct error *err)
{
    char from[300];
    int length = snprintf(from, sizeof(from), "%s-%" PRId64 "-%" PRId64, redrive->topic,
                          letter->place.partition, letter->place.offset);
    struct slice name = slice_of(from, (size_t)length);
    if (produce_record(redrive, letter, name, err) != 0 ||
        produce_mark(redrive, letter, name, err) != 0)
        return -1;
    rd_kafka_poll(redrive->producer, 0);
    return 0;
}

static int commit(struct redrive *redrive, struct error *err)
{
    rd_kafka_error_t *error;
    bool again;
    do {
        error = rd_kafka_commit_transaction(redrive->producer, -1);
        again = error && rd_kafka_error_is_retriable(error);
        if (again)
            rd_kafka_error_destroy(error);
    } while (again);
    return kafka_fold(error, "commit_transaction", err);
}

static int send_batch(struct redrive *redrive, struct letter *const *batch, size_t count,
                      struct error *err)
{
    struct error unused;
    if (kafka_fold(rd_kafka_begin_transaction(redrive->producer), "begin_transaction", err) != 0)
        return -1;
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = produce_letter(redrive, batch[i], err);
    if (status == 0)
        status = commit(redrive, err);
    if (status == 0)
        return 0;
    (void)kafka_fold(rd_kafka_abort_transaction(redrive->producer, -1), "abort_transaction",
                     &unused);
    return -1;
}

int redrive_send(struct redrive *redrive, struct letters *letters,
                 void (*sent)(void *context, const struct letter *letter), void *context,
                 struct error *err)
{
    struct letter *batch[BATCH];
    struct letter *letter = letters->table;
    while (letter) {
        size_t count = 0;
        for (; letter && count < BATCH; letter = letter->hh.next)
            if (!letter_hindrance(letters, letter))
                batch[count++] = letter;
        if (count > 0 && send_batch(redrive, batch, count, err) != 0)
            return -1;
        for (size_t i = 0; i < count; i++)
            sent(context, batch[i]);
    }
    return 0;
}
