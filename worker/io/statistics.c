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

bool statistics_read(struct slice text, const rd_kafka_topic_partition_list_t *partitions,
                     struct partition_facts *room, struct consumer_facts *facts)
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
    json_document_free(document);
    return true;
}
