/*
 * Asking about topics: sink_internal.h. Metadata says what is there and creates nothing; the admin
 * calls behind it (may we write, how large may a message be) are optional: where they are not
 * answered, the topic counts as writable and the default limit holds.
 */
#include "worker/io/sink_internal.h"

#include "common/limits.h"

#include "common/banned.h"

enum {
    METADATA_LIMIT_MS = 3 * 1000,
    ADMIN_LIMIT_MS = 1500,
    /* Brokers that did not answer an admin call are not asked again for so long. */
    ADMIN_PAUSE_MS = 60 * 1000,
    TOPIC_NAME_BYTES = 249, /* Kafka's Topic.MAX_NAME_LENGTH */
};

static void judge_topic(struct topic_facts *facts, rd_kafka_resp_err_t code)
{
    facts->exists = code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
                    code != RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    facts->writable = facts->exists && code != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    facts->unavailable = code != RD_KAFKA_RESP_ERR_NO_ERROR && facts->writable;
}

static void ask_metadata(struct sink *sink, rd_kafka_t *client, struct topic_facts *facts)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, facts->topic, NULL);
    facts->unavailable = true;
    if (topic == NULL)
        return;
    sink_call_begins(sink, "metadata");
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, topic, &metadata, METADATA_LIMIT_MS);
    sink_call_ended(sink);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (metadata->topic_cnt == 1) {
            judge_topic(facts, metadata->topics[0].err);
            facts->partitions = metadata->topics[0].partition_cnt;
        }
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(topic);
}

/* Our own outputs come into being as every producer's topics do, where brokers allow that
 * (auto.create.topics.enable): a client of its own asks, so that the producer itself never creates
 * what a requester names. */
static void create_by_brokers_policy(struct sink *sink, struct topic_facts *facts)
{
    rd_kafka_t *client = sink_make_visitor(sink, true);
    if (client != NULL)
        ask_metadata(sink, client, facts);
    sink_destroy_visitor(sink, client);
}

static rd_kafka_AdminOptions_t *options_for(struct sink *sink, rd_kafka_admin_op_t operation)
{
    char text[64];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(sink->producer, operation);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, ADMIN_LIMIT_MS, text, sizeof(text));
    return options;
}

/* NULL: no answer in time. */
static rd_kafka_event_t *await(struct sink *sink, rd_kafka_queue_t *queue)
{
    sink_call_begins(sink, "admin");
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * ADMIN_LIMIT_MS);
    sink_call_ended(sink);
    bool answered = event != NULL && rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (!answered)
        sink->no_admin_until_ms = loop_mono_ms() + ADMIN_PAUSE_MS;
    return event;
}

#if RD_KAFKA_VERSION >= 0x020300ff
/* The operations that we may do, where brokers tell; without an authorizer they tell all. */
static bool has_write(const rd_kafka_TopicDescription_t *description)
{
    size_t count = 0;
    const rd_kafka_AclOperation_t *operations =
        rd_kafka_TopicDescription_authorized_operations(description, &count);
    for (size_t i = 0; i < count; i++) {
        if (operations[i] == RD_KAFKA_ACL_OPERATION_WRITE ||
            operations[i] == RD_KAFKA_ACL_OPERATION_ALL)
            return true;
    }
    return count == 0;
}

static bool ask_writable(struct sink *sink, const char *name)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(sink->producer);
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(&name, 1);
    rd_kafka_AdminOptions_t *options = options_for(sink, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    rd_kafka_error_t *error = rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
    if (error != NULL)
        rd_kafka_error_destroy(error);
    rd_kafka_DescribeTopics(sink->producer, topics, options, queue);
    rd_kafka_event_t *event = await(sink, queue);
    const rd_kafka_DescribeTopics_result_t *result =
        event ? rd_kafka_event_DescribeTopics_result(event) : NULL;
    size_t count = 0;
    const rd_kafka_TopicDescription_t **descriptions =
        result ? rd_kafka_DescribeTopics_result_topics(result, &count) : NULL;
    bool writable = count == 0 || has_write(descriptions[0]);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_TopicCollection_destroy(topics);
    rd_kafka_queue_destroy(queue);
    return writable;
}
#else
/* Brokers are not asked: only an attempt to write tells. */
static bool ask_writable(struct sink *sink, const char *name)
{
    (void)sink, (void)name;
    return true;
}
#endif

static void read_limit(const rd_kafka_ConfigResource_t *resource, struct topic_facts *facts)
{
    size_t count = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        int64_t limit;
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "max.message.bytes") == 0 &&
            slice_to_int64(slice_of_string(value), &limit) && limit >= 0)
            facts->max_message_bytes = (size_t)limit;
    }
}

/* Asks for the one setting; who may not ask gets the default. */
static void ask_limit(struct sink *sink, struct topic_facts *facts)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(sink->producer);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, facts->topic);
    rd_kafka_AdminOptions_t *options = options_for(sink, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_DescribeConfigs(sink->producer, &resource, 1, options, queue);
    rd_kafka_event_t *event = await(sink, queue);
    const rd_kafka_DescribeConfigs_result_t *result =
        event ? rd_kafka_event_DescribeConfigs_result(event) : NULL;
    size_t count = 0;
    const rd_kafka_ConfigResource_t **resources =
        result ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    for (size_t i = 0; i < count; i++)
        read_limit(resources[i], facts);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
}

void sink_run_topic(struct sink *sink, struct sink_job *job)
{
    struct topic_facts *facts = &job->facts;
    const struct kafka_settings *settings = sink->settings;
    *facts =
        (struct topic_facts){.topic = job->topic, .max_message_bytes = LIMIT_TOPIC_MESSAGE_BYTES};
    /* Names come from requesters. */
    if (!slice_is_word(slice_of_string(job->topic), "azAZ09__--..", TOPIC_NAME_BYTES))
        return;
    ask_metadata(sink, sink->consumer, facts);
    bool own = (settings->results && strcmp(job->topic, settings->results) == 0) ||
               (settings->dead_letters && strcmp(job->topic, settings->dead_letters) == 0);
    if (own && !facts->unavailable && !facts->exists)
        create_by_brokers_policy(sink, facts);
    if (facts->unavailable || !facts->writable || sink->producer == NULL)
        return;
    if (loop_mono_ms() >= sink->no_admin_until_ms)
        facts->writable = ask_writable(sink, job->topic);
    if (facts->writable && loop_mono_ms() >= sink->no_admin_until_ms)
        ask_limit(sink, facts);
}
