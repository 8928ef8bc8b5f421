#include "worker/app/topic_reader.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/digest.h"

#include "common/banned.h"

enum { LEADER_PAUSE_MS = 100, LEADER_TRIES = 50 };

struct topic_reader {
    rd_kafka_t *client;
    int32_t partitions;
    int32_t ended; /* of them */
    struct reading {
        bool at_end;
        int64_t wants; /* at least this far */
    } * readings;      /* by partition */
};

int32_t topic_partitions(rd_kafka_t *client, const char *name, struct error *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    rd_kafka_resp_err_t code;
    int32_t count = 0;
    if (!topic) {
        error_set(err, ERROR_TEMPORARY, "%s: %s", name, rd_kafka_err2str(rd_kafka_last_error()));
        return 0;
    }
    code = rd_kafka_metadata(client, 0, topic, &metadata, KAFKA_ANSWER_MS);
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

/* A topic that was just made has no leader for a moment, and its brokers say so in turn. */
static rd_kafka_resp_err_t find_ends(struct topic_reader *reader, const char *topic, int32_t number,
                                     int64_t *low, int64_t *high)
{
    rd_kafka_resp_err_t code;
    unsigned tries = 0;
    do {
        if (tries > 0)
            usleep(LEADER_PAUSE_MS * 1000);
        code = rd_kafka_query_watermark_offsets(reader->client, topic, number, low, high,
                                                KAFKA_ANSWER_MS);
    } while ((code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
              code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) &&
             ++tries < LEADER_TRIES);
    return code;
}

/* Every partition with where to start. */
static rd_kafka_topic_partition_list_t *starts_of(struct topic_reader *reader, const char *topic,
                                                  enum topic_from from, struct error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(reader->partitions);
    for (int32_t i = 0; i < reader->partitions; i++) {
        int64_t low, high;
        rd_kafka_resp_err_t code = find_ends(reader, topic, i, &low, &high);
        if (code) {
            error_set(err, ERROR_TEMPORARY, "the end of %s-%d: %s", topic, (int)i,
                      rd_kafka_err2str(code));
            rd_kafka_topic_partition_list_destroy(list);
            return NULL;
        }
        rd_kafka_topic_partition_list_add(list, topic, i)->offset =
            from == TOPIC_FROM_END ? high : low;
    }
    return list;
}

static int assign(struct topic_reader *reader, const char *topic, enum topic_from from,
                  struct error *err)
{
    rd_kafka_topic_partition_list_t *starts;
    rd_kafka_resp_err_t code;
    reader->partitions = topic_partitions(reader->client, topic, err);
    if (reader->partitions == 0)
        return -1;
    reader->readings = calloc((size_t)reader->partitions, sizeof(*reader->readings));
    if (!reader->readings)
        return error_set(err, ERROR_MEMORY, "out of memory");
    starts = starts_of(reader, topic, from, err);
    if (!starts)
        return -1;
    code = rd_kafka_assign(reader->client, starts);
    rd_kafka_topic_partition_list_destroy(starts);
    return kafka_fold_code(code, "reading the topic", err);
}

/* Of a group that is never joined: librdkafka wants a name all the same. */
static rd_kafka_t *client_new(const struct kafka_settings *settings, struct error *err)
{
    rd_kafka_conf_t *conf = kafka_conf(settings, KAFKA_COMMAND_LINE, err);
    char group[40] = "kancel-reader-";
    uint8_t random[8];
    if (!conf)
        return NULL;
    digest_random(random, sizeof(random));
    hex_encode(random, sizeof(random), group + strlen(group));
    if (kafka_set(conf, "group.id", group, err) != 0 ||
        kafka_set(conf, "isolation.level", "read_committed", err) != 0 ||
        kafka_set(conf, "enable.auto.commit", "false", err) != 0 ||
        kafka_set(conf, "enable.partition.eof", "true", err) != 0 ||
        kafka_set(conf, "auto.offset.reset", "earliest", err) != 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return kafka_new(settings, RD_KAFKA_CONSUMER, conf, err);
}

struct topic_reader *topic_reader_new(const struct kafka_settings *settings, const char *topic,
                                      enum topic_from from, struct error *err)
{
    struct topic_reader *reader = calloc(1, sizeof(*reader));
    if (!reader) {
        error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    reader->client = client_new(settings, err);
    if (!reader->client)
        goto failed;
    rd_kafka_poll_set_consumer(reader->client);
    if (assign(reader, topic, from, err) == 0)
        return reader;
    error_prefix(err, "%s", settings->bootstrap_servers);
failed:
    topic_reader_free(reader);
    return NULL;
}

void topic_reader_free(struct topic_reader *reader)
{
    if (!reader)
        return;
    if (reader->client) {
        rd_kafka_assign(reader->client, NULL);
        rd_kafka_destroy(reader->client);
    }
    free(reader->readings);
    free(reader);
}

static void note_end(struct topic_reader *reader, struct reading *reading, int64_t offset)
{
    if (reading->at_end || offset < reading->wants)
        return;
    reading->at_end = true;
    reader->ended++;
}

rd_kafka_message_t *topic_reader_next(struct topic_reader *reader, int wait_ms)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->client, wait_ms);
    if (!message || !message->err)
        return message;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && message->partition < reader->partitions)
        note_end(reader, &reader->readings[message->partition], message->offset);
    rd_kafka_message_destroy(message);
    return NULL;
}

void topic_reader_wants(struct topic_reader *reader, int32_t partition, int64_t end)
{
    if (partition < reader->partitions)
        reader->readings[partition].wants = end;
}

int32_t topic_reader_partitions(const struct topic_reader *reader)
{
    return reader->partitions;
}

bool topic_reader_at_end(const struct topic_reader *reader)
{
    return reader->ended == reader->partitions;
}
