#include "worker/io/kafka.h"

#include <regex.h>
#include <stdatomic.h>

#include "common/digest.h"
#include "worker/io/kafka_properties.h"

#include "common/banned.h"

#define PROPERTIES "properties"

/* ---- logging --------------------------------------------------------------------------------- */

typedef void log_function(enum log_level level, const char *event, const char *text);

static _Atomic(log_function *) log_out;

void kafka_set_log(void (*log)(enum log_level level, const char *event, const char *text))
{
    atomic_store(&log_out, log);
}

/* Overwrites the values of secret properties in `text`. Every value that is long enough not to be a
 * common word is masked when `all`. */
static void mask(const struct kafka_settings *settings, char *text, bool all)
{
    const struct option_values *map = settings ? settings->properties : NULL;
    size_t count = map ? option_values_count(map, PROPERTIES) : 0;
    for (size_t i = 0; i < count; i++) {
        const struct secret *value = option_values_value(map, PROPERTIES, i);
        bool secret = kafka_property_is_secret(option_values_key(map, PROPERTIES, i));
        if (value->len == 0 || (!secret && !(all && value->len >= 4)))
            continue;
        for (char *at = text; (at = strstr(at, value->value)) != NULL; at += value->len)
            memset(at, '*', value->len);
    }
}

static void write_log(const rd_kafka_t *rk, int level, const char *facility, const char *line)
{
    log_function *log = atomic_load(&log_out);
    /* The command line's client takes both kinds' defaults. */
    if (log == NULL || strstr(line, "will be ignored by this") != NULL)
        return;
    char text[1024];
    (void)snprintf(text, sizeof(text), "%s %s: %s", rk ? rd_kafka_name(rk) : "rdkafka", facility,
                   line);
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    }
    mask(rk ? rd_kafka_opaque(rk) : NULL, text, false);
    /* LOG_ERR (3) is a lost connection, which librdkafka mends by itself. */
    enum log_level ours = level <= 2   ? LOG_ERROR
                          : level <= 4 ? LOG_WARN
                          : level <= 6 ? LOG_INFO
                                       : LOG_DEBUG;
    log(ours, "kafka_client", text);
}

/* ---- properties ------------------------------------------------------------------------------ */

static int refuse_value(const char *name, rd_kafka_conf_res_t result, struct error *err)
{
    struct kafka_property property;
    if (result == RD_KAFKA_CONF_UNKNOWN)
        return error_set(err, ERROR_INPUT, "%s: librdkafka %s knows no such property", name,
                         rd_kafka_version_str());
    /* librdkafka's own text quotes the value, which may be a secret. */
    if (kafka_property_find(name, &property) && property.range[0] != '\0')
        return error_set(err, ERROR_INPUT, "%s: librdkafka refuses the value; expected %s", name,
                         property.range);
    return error_set(err, ERROR_INPUT,
                     "%s: librdkafka refuses the value, or was built without this property", name);
}

int kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err)
{
    char ignored[16];
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, ignored, sizeof(ignored));
    return result == RD_KAFKA_CONF_OK ? 0 : refuse_value(name, result, err);
}

int kafka_check_property(const char *name, struct slice value, struct error *err)
{
    const char *refusal = kafka_property_refusal(name);
    if (refusal != NULL)
        return error_set(err, ERROR_INPUT, "%s cannot be set here: %s", name, refusal);
    char *text = slice_dup(value);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int result =
        text ? kafka_set(conf, name, text, err) : error_set(err, ERROR_MEMORY, "out of memory");
    if (text != NULL)
        digest_wipe(text, value.len);
    free(text);
    rd_kafka_conf_destroy(conf);
    return result;
}

static const char *user_value(const struct kafka_settings *settings, const char *name)
{
    size_t count = settings->properties ? option_values_count(settings->properties, PROPERTIES) : 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(option_values_key(settings->properties, PROPERTIES, i), name) == 0)
            return option_values_value(settings->properties, PROPERTIES, i)->value;
    }
    return NULL;
}

static bool fits(enum kafka_client client, const char *name)
{
    struct kafka_property property;
    if (!kafka_property_find(name, &property) || property.scope == '*')
        return true;
    return property.scope == (client == KAFKA_CONSUMER   ? 'C'
                              : client == KAFKA_PRODUCER ? 'P'
                                                         : '*');
}

static int set_user(rd_kafka_conf_t *conf, const struct kafka_settings *settings,
                    enum kafka_client client, struct error *err)
{
    size_t count = settings->properties ? option_values_count(settings->properties, PROPERTIES) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = option_values_key(settings->properties, PROPERTIES, i);
        const struct secret *value = option_values_value(settings->properties, PROPERTIES, i);
        const char *refusal = kafka_property_refusal(name);
        if (refusal != NULL)
            return error_set(err, ERROR_INPUT, "%s cannot be set here: %s", name, refusal);
        if (fits(client, name) && kafka_set(conf, name, value->value ? value->value : "", err) != 0)
            return -1;
    }
    return 0;
}

/* ---- our values ------------------------------------------------------------------------------ */

struct preset {
    const char *name, *value;
};

/* Each may be changed by the user. Those that an older librdkafka does not know are left out. */
static const struct preset common_presets[] = {
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.max.ms", "2000"},
    /* A client whose brokers were all reported missing begins anew with bootstrap.servers after so
     * long, not after five minutes. */
    {"metadata.recovery.rebootstrap.trigger.ms", "20000"},
    {"enable.metrics.push", "false"},
    {NULL, NULL},
};
static const struct preset consumer_presets[] = {
    /* Bounds what is prefetched of each partition; one over it waits the back-off and no whole
     * second. */
    {"queued.max.messages.kbytes", "64"},
    {"queued.min.messages", "200"},
    {"max.partition.fetch.bytes", "131072"},
    {"fetch.queue.backoff.ms", "10"},
    /* A partition under it again waits for the fetch that is out, which waits for data of others.
     */
    {"fetch.wait.max.ms", "50"},
    /* What the watchdog sees: connected brokers, last stable offsets. 0: nothing. */
    {"statistics.interval.ms", "5000"},
    /* New topics of a ^regex are seen after so long. */
    {"topic.metadata.refresh.interval.ms", "30000"},
    {NULL, NULL},
};
/* Not for group.protocol=consumer, whose brokers decide these. */
static const struct preset classic_presets[] = {
    {"partition.assignment.strategy", "cooperative-sticky"},
    {"heartbeat.interval.ms", "1000"},
    {"session.timeout.ms", "10000"},
    {NULL, NULL},
};
static const struct preset producer_presets[] = {
    /* The default of 100 ms bounds back-to-back transactions to ten a second: the next one begins
     * before the last one's markers are written and is told to try again. */
    {"retry.backoff.ms", "2"},
    {"retry.backoff.max.ms", "250"},
    /* Would follow retry.backoff.ms. */
    {"topic.metadata.refresh.fast.interval.ms", "100"},
    {"linger.ms", "0"},
    /* What the metrics tell of it. 0: nothing. */
    {"statistics.interval.ms", "5000"},
    /* A missing topic fails its message well before the transaction times out. */
    {"topic.metadata.propagation.max.ms", "5000"},
    /* The topic's own limit decides; batches stay below small topics' limits, as a batch over it
     * fails all its messages. */
    {"message.max.bytes", "100000000"},
    {"batch.size", "65536"},
    {NULL, NULL},
};
/* What the promises need; kafka_property_refusal() keeps users from these. */
static const struct preset consumer_promises[] = {
    {"enable.auto.commit", "false"},       {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "earliest"},     {"isolation.level", "read_committed"},
    {"allow.auto.create.topics", "false"}, {NULL, NULL},
};
static const struct preset producer_promises[] = {
    {"enable.idempotence", "true"},          {"acks", "all"},
    {"partitioner", "murmur2_random"},       {"allow.auto.create.topics", "false"},
    {"delivery.report.only.error", "false"}, {NULL, NULL},
};
static const struct preset command_line_presets[] = {
    {"partitioner", "murmur2_random"},
    {"isolation.level", "read_committed"},
    {"allow.auto.create.topics", "false"},
    {NULL, NULL},
};

static int set_all(rd_kafka_conf_t *conf, const struct preset *presets, struct error *err)
{
    for (; presets->name != NULL; presets++) {
        struct error failure;
        if (kafka_set(conf, presets->name, presets->value, &failure) == 0)
            continue;
        struct kafka_property property;
        if (!kafka_property_find(presets->name, &property))
            continue;
        *err = failure;
        return -1;
    }
    return 0;
}

/* ^name$ with the characters that mean something to a regular expression escaped. */
static void append_exact(struct buffer *list, const char *name)
{
    buffer_append_string(list, list->len > 0 ? ",^" : "^");
    for (; *name != '\0'; name++) {
        if (strchr(".[]{}()*+?^$|\\", *name) != NULL)
            buffer_append_byte(list, '\\');
        buffer_append_byte(list, *name);
    }
    buffer_append_byte(list, '$');
}

static bool matches(const char *pattern, const char *topic)
{
    if (pattern[0] != '^')
        return strcmp(pattern, topic) == 0;
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    bool match = regexec(&regex, topic, 0, NULL, 0) == 0;
    regfree(&regex);
    return match;
}

static bool is_named_command(const struct kafka_settings *settings, const char *topic)
{
    for (size_t i = 0; i < settings->command_count; i++) {
        if (strcmp(settings->commands[i], topic) == 0)
            return true;
    }
    return false;
}

bool kafka_own_topic(const struct kafka_settings *settings, const char *topic)
{
    if ((settings->results && strcmp(topic, settings->results) == 0) ||
        (settings->dead_letters && strcmp(topic, settings->dead_letters) == 0))
        return true;
    for (size_t i = 0; i < settings->reply_topic_count; i++) {
        if (matches(settings->reply_topics[i], topic))
            return !is_named_command(settings, topic);
    }
    return false;
}

bool kafka_command_topic(const struct kafka_settings *settings, const char *topic)
{
    bool found = false;
    for (size_t i = 0; i < settings->command_count; i++)
        found = found || matches(settings->commands[i], topic);
    return found && !kafka_own_topic(settings, topic);
}

/* Own topics leave the consumer's view of the cluster when a ^regex could match them, so that they
 * are not even assigned. A list of regular expressions cannot hold one with a comma: those topics
 * are assigned, and the source leaves them alone. */
static int hide_own_topics(rd_kafka_conf_t *conf, const struct kafka_settings *settings,
                           struct error *err)
{
    bool regex = false;
    for (size_t i = 0; i < settings->command_count; i++)
        regex = regex || settings->commands[i][0] == '^';
    if (!regex)
        return 0;
    struct buffer list;
    buffer_init(&list, 1024 * 1024);
    const char *users = user_value(settings, "topic.blacklist");
    buffer_append_string(&list, users ? users : "");
    if (settings->results)
        append_exact(&list, settings->results);
    if (settings->dead_letters)
        append_exact(&list, settings->dead_letters);
    for (size_t i = 0; i < settings->reply_topic_count; i++) {
        const char *pattern = settings->reply_topics[i];
        bool hides_command = false;
        for (size_t j = 0; j < settings->command_count; j++)
            hides_command = hides_command || matches(pattern, settings->commands[j]);
        if (hides_command || strchr(pattern, ',') != NULL)
            continue;
        if (pattern[0] != '^') {
            append_exact(&list, pattern);
            continue;
        }
        buffer_append_string(&list, list.len > 0 ? "," : "");
        buffer_append_string(&list, pattern);
    }
    int result = buffer_failed(&list) ? error_set(err, ERROR_MEMORY, "out of memory")
                                      : kafka_set(conf, "topic.blacklist", list.data, err);
    buffer_release(&list);
    return result;
}

static int configure_consumer(rd_kafka_conf_t *conf, const struct kafka_settings *settings,
                              struct error *err)
{
    const char *protocol = user_value(settings, "group.protocol");
    bool classic = protocol == NULL || strcmp(protocol, "consumer") != 0;
    if (set_all(conf, consumer_presets, err) != 0 ||
        (classic && set_all(conf, classic_presets, err) != 0) ||
        set_user(conf, settings, KAFKA_CONSUMER, err) != 0 ||
        set_all(conf, consumer_promises, err) != 0 ||
        kafka_set(conf, "group.id", settings->group, err) != 0)
        return -1;
    if (settings->instance_id && settings->instance_id[0] != '\0' &&
        kafka_set(conf, "group.instance.id", settings->instance_id, err) != 0)
        return -1;
    return hide_own_topics(conf, settings, err);
}

static int set_transactional_id(rd_kafka_conf_t *conf, const struct kafka_settings *settings,
                                struct error *err)
{
    char random_hex[17];
    uint8_t random[8];
    digest_random(random, sizeof(random));
    hex_encode(random, sizeof(random), random_hex);
    bool fixed = settings->instance_id && settings->instance_id[0] != '\0';
    struct buffer id;
    buffer_init(&id, 4096);
    buffer_append_format(&id, "%s-%s", settings->group, fixed ? settings->instance_id : random_hex);
    int result = buffer_failed(&id) ? error_set(err, ERROR_MEMORY, "out of memory")
                                    : kafka_set(conf, "transactional.id", id.data, err);
    buffer_release(&id);
    /* What a killed worker with a random id left open blocks its successors until it times out; a
     * fixed id's successor ends it at once. */
    if (result == 0 && user_value(settings, "transaction.timeout.ms") == NULL)
        result = kafka_set(conf, "transaction.timeout.ms", fixed ? "30000" : "10000", err);
    return result;
}

static int configure_producer(rd_kafka_conf_t *conf, const struct kafka_settings *settings,
                              struct error *err)
{
    if (set_all(conf, producer_presets, err) != 0)
        return -1;
    /* Without transactions nothing but this ends the wait for a broker. */
    if (settings->delivery == DELIVERY_AT_LEAST_ONCE &&
        kafka_set(conf, "message.timeout.ms", "60000", err) != 0)
        return -1;
    if (set_user(conf, settings, KAFKA_PRODUCER, err) != 0 ||
        set_all(conf, producer_promises, err) != 0)
        return -1;
    if (settings->delivery == DELIVERY_EXACTLY_ONCE)
        return set_transactional_id(conf, settings, err);
    return 0;
}

rd_kafka_conf_t *kafka_conf(const struct kafka_settings *settings, enum kafka_client client,
                            struct error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, write_log);
    rd_kafka_conf_enable_sasl_queue(conf, 1);
    rd_kafka_conf_set_opaque(conf, (void *)(uintptr_t)settings);
    if (kafka_set(conf, "bootstrap.servers", settings->bootstrap_servers, err) == 0 &&
        kafka_set(conf, "client.id", settings->client_id ? settings->client_id : "kancel", err) ==
            0 &&
        set_all(conf, common_presets, err) == 0) {
        int result;
        if (client == KAFKA_CONSUMER)
            result = configure_consumer(conf, settings, err);
        else if (client == KAFKA_PRODUCER)
            result = configure_producer(conf, settings, err);
        else if ((result = set_all(conf, command_line_presets, err)) == 0)
            result = set_user(conf, settings, client, err);
        if (result == 0)
            return conf;
    }
    rd_kafka_conf_destroy(conf);
    return NULL;
}

static rd_kafka_t *new_client(const struct kafka_settings *settings, rd_kafka_type_t type,
                              rd_kafka_conf_t *conf, struct error *err)
{
    char text[512];
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        mask(settings, text, true);
        (void)error_set(err, ERROR_INPUT, "Kafka %s: %s",
                        type == RD_KAFKA_CONSUMER ? "consumer" : "producer", text);
    }
    return rk;
}

rd_kafka_t *kafka_new(const struct kafka_settings *settings, rd_kafka_type_t type,
                      rd_kafka_conf_t *conf, struct error *err)
{
    rd_kafka_t *rk = new_client(settings, type, conf, err);
    if (rk == NULL)
        return NULL;
    rd_kafka_error_t *unused = rd_kafka_sasl_background_callbacks_enable(rk);
    if (unused != NULL)
        rd_kafka_error_destroy(unused); /* no mechanism that has callbacks */
    return rk;
}

int kafka_try(const struct kafka_settings *settings, enum kafka_client client, struct error *err)
{
    rd_kafka_type_t type = client == KAFKA_CONSUMER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER;
    rd_kafka_conf_t *conf = kafka_conf(settings, client, err);
    if (conf == NULL)
        return -1;
    rd_kafka_conf_set_log_cb(conf, NULL);
    if (kafka_set(conf, "bootstrap.servers", "", err) != 0) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    /* Its token refreshes stay on their queue, so that no token is asked for. */
    rd_kafka_t *rk = new_client(settings, type, conf, err);
    if (rk == NULL)
        return -1;
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return 0;
}
