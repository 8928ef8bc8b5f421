/*
 * kancel-probe regained GROUP TOPIC [NAME=VALUE]...: what the broker says to offsets that come too
 * late. A member owns all partitions, loses some to a second one, and has them again when that
 * leaves; then it sends offsets with the group metadata of the very beginning.
 */
#include "probe.h"

#include <string.h>

#include "common/banned.h"

static rd_kafka_t *member(const char *brokers, const char *group, const char *topic,
                          char **properties)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_t *rk;
    set(conf, "group.id", group);
    set(conf, "enable.auto.commit", "false");
    for (; *properties; properties++) {
        char *pair = must(strdup(*properties)), *value = pair;
        const char *name = strsep(&value, "=");
        set(conf, name, value ? value : "");
        free(pair);
    }
    rk = client(RD_KAFKA_CONSUMER, conf, brokers);
    check(rd_kafka_poll_set_consumer(rk), "queue");
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    check(rd_kafka_subscribe(rk, topics), "subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
    return rk;
}

static void serve(rd_kafka_t *rk)
{
    rd_kafka_message_t *message = rk ? rd_kafka_consumer_poll(rk, 20) : NULL;
    if (message)
        rd_kafka_message_destroy(message);
}

static rd_kafka_topic_partition_list_t *assignment_of(rd_kafka_t *rk)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    check(rd_kafka_assignment(rk, &list), "assignment");
    return list;
}

/* Until the first has `count` partitions and the second, if there is one, the rest; the first one's
 * partitions, which the caller destroys. */
static rd_kafka_topic_partition_list_t *share(rd_kafka_t *first, int count, rd_kafka_t *second,
                                              int all)
{
    for (int64_t until = now_ms() + WAIT_MS; now_ms() < until;) {
        int others = all - count;
        serve(first);
        serve(second);
        if (second) {
            rd_kafka_topic_partition_list_t *list = assignment_of(second);
            others = list->cnt;
            rd_kafka_topic_partition_list_destroy(list);
        }
        rd_kafka_topic_partition_list_t *mine = assignment_of(first);
        if (mine->cnt == count && others == all - count)
            return mine;
        rd_kafka_topic_partition_list_destroy(mine);
    }
    die("assignment", "did not come");
}

/* What the broker says to an offset of the partition. */
static const char *try_offset(rd_kafka_t *producer, const char *topic, int32_t partition,
                              const rd_kafka_consumer_group_metadata_t *metadata)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error;
    const char *name;
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = 0;
    check_error(rd_kafka_begin_transaction(producer), "begin");
    error = rd_kafka_send_offsets_to_transaction(producer, list, metadata, WAIT_MS);
    name = error ? rd_kafka_error_name(error) : "accepted";
    if (error)
        rd_kafka_error_destroy(error);
    check_error(rd_kafka_abort_transaction(producer, -1), "abort");
    rd_kafka_topic_partition_list_destroy(list);
    return name;
}

int regained(const char *brokers, int argc, char **argv)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *producer, *first, *second;
    rd_kafka_consumer_group_metadata_t *metadata;
    rd_kafka_topic_partition_list_t *kept;
    int all;
    int32_t moved = 0;
    if (argc < 2)
        die("regained", "expected GROUP TOPIC [NAME=VALUE]...");
    set(conf, "transactional.id", argv[0]);
    producer = client(RD_KAFKA_PRODUCER, conf, brokers);
    check_error(rd_kafka_init_transactions(producer, WAIT_MS), "init_transactions");
    all = partitions_of(producer, argv[1]);
    first = member(brokers, argv[0], argv[1], argv + 2);
    rd_kafka_topic_partition_list_destroy(share(first, all, NULL, all));
    metadata = must(rd_kafka_consumer_group_metadata(first));
    second = member(brokers, argv[0], argv[1], argv + 2);
    kept = share(first, all / 2, second, all);
    while (rd_kafka_topic_partition_list_find(kept, argv[1], moved))
        moved++;
    check(rd_kafka_consumer_close(second), "close");
    rd_kafka_destroy(second);
    rd_kafka_topic_partition_list_destroy(share(first, all, NULL, all));
    print_line(json_pack("{s:s, s:s}", "kept",
                         try_offset(producer, argv[1], kept->elems[0].partition, metadata),
                         "regained", try_offset(producer, argv[1], moved, metadata)));
    rd_kafka_topic_partition_list_destroy(kept);
    rd_kafka_consumer_group_metadata_destroy(metadata);
    rd_kafka_consumer_close(first);
    rd_kafka_destroy(first);
    rd_kafka_destroy(producer);
    return 0;
}
