#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>

#include "worker/app/check_online.h"
#include "worker/app/topic_reader.h"

#include "common/banned.h"

enum { ADMIN_MS = 15 * 1000, BROKERS_MS = 10 * 1000 };

void findings_add(struct findings *findings, enum finding finding, const char *format, ...)
{
    static const char *const words[] = {"ok   ", "warn ", "BAD  "};
    va_list arguments;
    findings->warnings += finding == FINDING_WARNING;
    findings->bad += finding == FINDING_BAD;
    printf("%s ", words[finding]);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* ---- topics ---------------------------------------------------------------------------------- */

/* What the worker does with a topic. */
enum use { USE_READ, USE_WRITE };

static const struct rd_kafka_metadata_topic *find(const struct rd_kafka_metadata *metadata,
                                                  const char *topic)
{
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (strcmp(metadata->topics[i].topic, topic) == 0)
            return &metadata->topics[i];
    return NULL;
}

static void describe(const struct rd_kafka_metadata_topic *topic, struct findings *findings)
{
    int least = INT32_MAX, leaderless = 0, behind = 0;
    for (int i = 0; i < topic->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *partition = &topic->partitions[i];
        least = partition->replica_cnt < least ? partition->replica_cnt : least;
        leaderless += partition->leader < 0;
        behind += partition->isr_cnt < partition->replica_cnt;
    }
    findings_add(findings,
                 leaderless            ? FINDING_BAD
                 : behind || least < 2 ? FINDING_WARNING
                                       : FINDING_OK,
                 "topic %s: %d partitions, %d replicas%s%s%s", topic->topic, topic->partition_cnt,
                 least, leaderless ? ", some without a leader" : "",
                 behind ? ", some replicas are behind" : "",
                 least < 2 ? " (one broker's loss stops it)" : "");
}

static void check_topic(const struct rd_kafka_metadata *metadata, const char *name, enum use use,
                        struct findings *findings)
{
    const struct rd_kafka_metadata_topic *topic = find(metadata, name);
    if (topic && !topic->err)
        describe(topic, findings);
    else if (topic && topic->err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        findings_add(findings, FINDING_BAD, "topic %s: %s", name, rd_kafka_err2str(topic->err));
    else if (use == USE_WRITE)
        findings_add(
            findings, FINDING_WARNING,
            "topic %s: there is none (or it may not be described); a worker asks the brokers "
            "to make it",
            name);
    else
        findings_add(findings, FINDING_BAD, "topic %s: there is none, or it may not be described",
                     name);
}

static void check_pattern(const struct config *config, const struct rd_kafka_metadata *metadata,
                          const char *pattern, struct findings *findings)
{
    int found = 0;
    for (int i = 0; i < metadata->topic_cnt; i++)
        found += kafka_command_topic(&config->kafka, metadata->topics[i].topic);
    findings_add(findings, found ? FINDING_OK : FINDING_WARNING,
                 "topics %s: %d command topics are there", pattern, found);
}

static void check_topics(const struct config *config, const struct rd_kafka_metadata *metadata,
                         struct findings *findings)
{
    const struct kafka_settings *kafka = &config->kafka;
    for (size_t i = 0; i < kafka->command_count; i++) {
        if (kafka->commands[i][0] == '^')
            check_pattern(config, metadata, kafka->commands[i], findings);
        else
            check_topic(metadata, kafka->commands[i], USE_READ, findings);
    }
    check_topic(metadata, kafka->results, USE_WRITE, findings);
    check_topic(metadata, kafka->dead_letters, USE_WRITE, findings);
    for (size_t i = 0; i < kafka->reply_topic_count; i++)
        if (kafka->reply_topics[i][0] != '^')
            check_topic(metadata, kafka->reply_topics[i], USE_WRITE, findings);
}

/* ---- permissions ----------------------------------------------------------------------------- */

#if RD_KAFKA_VERSION >= 0x02030000
static bool allows(const rd_kafka_AclOperation_t *operations, size_t count,
                   rd_kafka_AclOperation_t wanted)
{
    for (size_t i = 0; i < count; i++)
        if (operations[i] == wanted || operations[i] == RD_KAFKA_ACL_OPERATION_ALL)
            return true;
    return false;
}

static void judge_topic(const struct config *config, const rd_kafka_TopicDescription_t *topic,
                        struct findings *findings)
{
    const char *name = rd_kafka_TopicDescription_name(topic);
    bool reads = kafka_command_topic(&config->kafka, name);
    size_t count;
    const rd_kafka_AclOperation_t *operations =
        rd_kafka_TopicDescription_authorized_operations(topic, &count);
    if (rd_kafka_error_code(rd_kafka_TopicDescription_error(topic)))
        return; /* said above */
    bool may = allows(operations, count,
                      reads ? RD_KAFKA_ACL_OPERATION_READ : RD_KAFKA_ACL_OPERATION_WRITE);
    findings_add(findings, may ? FINDING_OK : FINDING_BAD, "permission to %s topic %s: %s",
                 reads ? "read" : "write", name, may ? "given" : "not given");
}

static rd_kafka_event_t *ask(rd_kafka_t *client, const char **topics, size_t count)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    rd_kafka_TopicCollection_t *names = rd_kafka_TopicCollection_of_topic_names(topics, count);
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
    rd_kafka_DescribeTopics(client, names, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_MS);
    rd_kafka_TopicCollection_destroy(names);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return event;
}

static void check_permissions(const struct config *config, rd_kafka_t *client,
                              struct findings *findings)
{
    const struct kafka_settings *kafka = &config->kafka;
    const char **topics =
        calloc(kafka->command_count + kafka->reply_topic_count + 2, sizeof(*topics));
    size_t count = 0;
    if (!topics)
        return;
    for (size_t i = 0; i < kafka->command_count; i++)
        if (kafka->commands[i][0] != '^')
            topics[count++] = kafka->commands[i];
    topics[count++] = kafka->results;
    topics[count++] = kafka->dead_letters;
    for (size_t i = 0; i < kafka->reply_topic_count; i++)
        if (kafka->reply_topics[i][0] != '^')
            topics[count++] = kafka->reply_topics[i];
    rd_kafka_event_t *event = ask(client, topics, count);
    if (!event || rd_kafka_event_error(event)) {
        findings_add(findings, FINDING_WARNING, "permissions: could not be asked%s%s",
                     event ? ": " : "", event ? rd_kafka_event_error_string(event) : "");
    } else {
        const rd_kafka_TopicDescription_t **described = rd_kafka_DescribeTopics_result_topics(
            rd_kafka_event_DescribeTopics_result(event), &count);
        for (size_t i = 0; i < count; i++)
            judge_topic(config, described[i], findings);
    }
    if (event)
        rd_kafka_event_destroy(event);
    free(topics);
}

/* Reading positions takes less than being a member. */
static bool may_join(const struct config *config, rd_kafka_t *client)
{
    const char *group = config->kafka.group;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    size_t groups = 0, count = 0;
    bool may = true; /* where nobody tells */
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
    rd_kafka_DescribeConsumerGroups(client, &group, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_MS);
    if (event && !rd_kafka_event_error(event)) {
        const rd_kafka_ConsumerGroupDescription_t **described =
            rd_kafka_DescribeConsumerGroups_result_groups(
                rd_kafka_event_DescribeConsumerGroups_result(event), &groups);
        const rd_kafka_AclOperation_t *operations =
            groups == 0
                ? NULL
                : rd_kafka_ConsumerGroupDescription_authorized_operations(described[0], &count);
        may = count == 0 || allows(operations, count, RD_KAFKA_ACL_OPERATION_READ);
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return may;
}
#else
static bool may_join(const struct config *config, rd_kafka_t *client)
{
    (void)config, (void)client;
    return true;
}

static void check_permissions(const struct config *config, rd_kafka_t *client,
                              struct findings *findings)
{
    (void)config, (void)client;
    findings_add(findings, FINDING_WARNING,
                 "permissions of topics: this librdkafka (%s) cannot ask", rd_kafka_version_str());
}
#endif

/* ---- clients --------------------------------------------------------------------------------- */

/* The group's committed positions may be read: what a worker begins with. */
static void check_group(const struct config *config, struct findings *findings)
{
    struct error err;
    rd_kafka_conf_t *conf = kafka_conf(&config->kafka, KAFKA_CONSUMER, &err);
    rd_kafka_t *consumer = conf ? kafka_new(&config->kafka, RD_KAFKA_CONSUMER, conf, &err) : NULL;
    if (!consumer) {
        findings_add(findings, FINDING_BAD, "group %s: %s", config->kafka.group, err.message);
        return;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, config->kafka.results, 0);
    rd_kafka_resp_err_t code = rd_kafka_committed(consumer, list, BROKERS_MS);
    bool may = code != RD_KAFKA_RESP_ERR_NO_ERROR || may_join(config, consumer);
    findings_add(findings, code || !may ? FINDING_BAD : FINDING_OK, "group %s: %s",
                 config->kafka.group,
                 code  ? rd_kafka_err2str(code)
                 : may ? "may be used"
                       : "it may be described but not joined (READ)");
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(consumer);
}

/* With an id of its own: a worker's must not be taken over. */
static void check_transactions(const struct config *config, struct findings *findings)
{
    struct kafka_settings settings = config->kafka;
    struct error err;
    if (settings.delivery != DELIVERY_EXACTLY_ONCE)
        return;
    settings.instance_id = "";
    rd_kafka_conf_t *conf = kafka_conf(&settings, KAFKA_PRODUCER, &err);
    rd_kafka_t *producer = conf ? kafka_new(&settings, RD_KAFKA_PRODUCER, conf, &err) : NULL;
    if (producer &&
        kafka_fold(rd_kafka_init_transactions(producer, ADMIN_MS), "init_transactions", &err) == 0)
        findings_add(findings, FINDING_OK, "transactions: may be used");
    else
        findings_add(findings, FINDING_BAD, "transactions: %s", err.message);
    if (producer)
        rd_kafka_destroy(producer);
}

static rd_kafka_t *client_new(const struct config *config, struct error *err)
{
    rd_kafka_conf_t *conf = kafka_conf(&config->kafka, KAFKA_COMMAND_LINE, err);
    return conf ? kafka_new(&config->kafka, RD_KAFKA_PRODUCER, conf, err) : NULL;
}

/* What a client last complained of, on a thread of its own: a call's error code tells only that it
 * failed. */
static struct {
    pthread_mutex_t turn;
    char text[512];
} complaint = {.turn = PTHREAD_MUTEX_INITIALIZER};

static void on_log(enum log_level level, const char *event, const char *text)
{
    const char *thread = strstr(text, "]: "); /* behind the client's name and its thread's */
    (void)event;
    if (level > LOG_WARN)
        return;
    pthread_mutex_lock(&complaint.turn);
    (void)snprintf(complaint.text, sizeof(complaint.text), "%s", thread ? thread + 3 : text);
    pthread_mutex_unlock(&complaint.turn);
}

static void say_unreachable(const struct config *config, const struct error *err,
                            struct findings *findings)
{
    pthread_mutex_lock(&complaint.turn);
    findings_add(findings, FINDING_BAD, "brokers %s: %s%s%s", config->kafka.bootstrap_servers,
                 err->message, complaint.text[0] ? ": " : "", complaint.text);
    pthread_mutex_unlock(&complaint.turn);
}

void check_kafka(const struct config *config, struct findings *findings)
{
    const struct rd_kafka_metadata *metadata = NULL;
    struct error err;
    kafka_set_log(on_log);
    rd_kafka_t *client = client_new(config, &err);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__FAIL;
    if (client) {
        code = rd_kafka_metadata(client, 1, NULL, &metadata, BROKERS_MS);
        (void)kafka_fold_code(code, "asking for metadata", &err);
    }
    if (code) {
        say_unreachable(config, &err, findings);
    } else {
        findings_add(findings, FINDING_OK, "brokers %s: %d answer for the cluster",
                     config->kafka.bootstrap_servers, metadata->broker_cnt);
        check_topics(config, metadata, findings);
        check_permissions(config, client, findings);
        check_group(config, findings);
        check_transactions(config, findings);
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (client)
        rd_kafka_destroy(client);
    kafka_set_log(NULL);
}
