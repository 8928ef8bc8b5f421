#include "worker/io/statistics.h"

#include "common/json.h"
#include "common/limits.h"

#include "common/banned.h"

enum { DEPTH = 16 };

/* Stops at the first broker that is connected. */
static bool look_at_broker(void *context, struct slice name, const struct json_value *broker)
{
    struct slice state = json_value_text(json_value_get(broker, "state"));
    bool *connected = context;
    (void)name;
    *connected = slice_equals(state, "UP") || slice_equals(state, "UPDATE");
    return !*connected;
}

static int64_t offset_of(const struct json_value *partition, const char *name)
{
    int64_t offset;
    return json_value_int64(json_value_get(partition, name), &offset) && offset >= 0 ? offset
                                                                                     : OFFSET_NONE;
}

static struct partition_facts facts_of(const struct json_value *topics,
                                       const rd_kafka_topic_partition_t *part)
{
    char number[16];
    (void)snprintf(number, sizeof(number), "%d", (int)part->partition);
    const struct json_value *partition =
        json_value_get(json_value_get(json_value_get(topics, part->topic), "partitions"), number);
    return (struct partition_facts){.topic = part->topic,
                                    .partition = part->partition,
                                    .next = offset_of(partition, "next_offset"),
                                    .stable_end = offset_of(partition, "ls_offset"),
                                    .end = offset_of(partition, "hi_offset")};
}

/* ---- traffic --------------------------------------------------------------------------------- */

static uint64_t number_of(const struct json_value *map, const char *name)
{
    int64_t number;
    return json_value_int64(json_value_get(map, name), &number) && number > 0 ? (uint64_t)number
                                                                              : 0;
}

static bool add_broker(void *context, struct slice name, const struct json_value *broker)
{
    struct kafka_traffic *traffic = context;
    const struct json_value *round_trips = json_value_get(broker, "rtt");
    uint64_t p99_us = number_of(round_trips, "p99");
    (void)name;
    traffic->unsent += number_of(broker, "outbuf_cnt");
    traffic->unanswered += number_of(broker, "waitresp_cnt");
    traffic->round_trips += number_of(round_trips, "cnt");
    traffic->round_trips_us += number_of(round_trips, "sum");
    if (p99_us > traffic->p99_us)
        traffic->p99_us = p99_us;
    return true;
}

static bool add_partition(void *context, struct slice name, const struct json_value *partition)
{
    struct kafka_traffic *traffic = context;
    (void)name;
    /* Each tells of the one queue that all are forwarded to. */
    uint64_t records = number_of(partition, "fetchq_cnt");
    if (records > traffic->records) {
        traffic->records = records;
        traffic->record_bytes = number_of(partition, "fetchq_size");
    }
    return true;
}

static bool add_topic(void *context, struct slice name, const struct json_value *topic)
{
    (void)name;
    json_value_each(json_value_get(topic, "partitions"), add_partition, context);
    return true;
}

static void read_traffic(const struct json_value *root, struct kafka_traffic *traffic)
{
    *traffic = (struct kafka_traffic){.requests = number_of(root, "tx"),
                                      .sent_bytes = number_of(root, "tx_bytes"),
                                      .received_bytes = number_of(root, "rx_bytes"),
                                      .round_trips = traffic->round_trips,
                                      .round_trips_us = traffic->round_trips_us,
                                      .records = number_of(root, "msg_cnt"),
                                      .record_bytes = number_of(root, "msg_size")};
    json_value_each(json_value_get(root, "brokers"), add_broker, traffic);
    json_value_each(json_value_get(root, "topics"), add_topic, traffic);
}

void statistics_read_traffic(struct slice text, struct kafka_traffic *traffic)
{
    struct error err;
    struct json_document *document = json_document_parse(text, LIMIT_STATISTICS_BYTES, DEPTH, &err);
    if (document == NULL)
        return;
    read_traffic(json_document_root(document), traffic);
    json_document_free(document);
}

/* ---- the consumer's -------------------------------------------------------------------------- */

bool statistics_read(struct slice text, const rd_kafka_topic_partition_list_t *partitions,
                     struct partition_facts *room, struct consumer_facts *facts,
                     struct kafka_traffic *traffic)
{
    struct error err;
    struct json_document *document = json_document_parse(text, LIMIT_STATISTICS_BYTES, DEPTH, &err);
    if (document == NULL)
        return false;
    const struct json_value *root = json_document_root(document);
    struct slice group = json_value_text(json_value_get(json_value_get(root, "cgrp"), "state"));
    *facts = (struct consumer_facts){.coordinator = slice_equals(group, "up"),
                                     .partitions = room,
                                     .count = (size_t)partitions->cnt};
    json_value_each(json_value_get(root, "brokers"), look_at_broker, &facts->brokers);
    for (int i = 0; i < partitions->cnt; i++)
        room[i] = facts_of(json_value_get(root, "topics"), &partitions->elems[i]);
    read_traffic(root, traffic);
    json_document_free(document);
    return true;
}
