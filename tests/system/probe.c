/*
 * kancel-probe: what the system tests and benchmarks need of Kafka, as a command line.
 *
 *   kancel-probe BROKERS create TOPIC:PARTITIONS[:NAME=VALUE]...
 *   kancel-probe BROKERS delete TOPIC...
 *   kancel-probe BROKERS alter TOPIC NAME=VALUE...     its own settings: these and no others
 *   kancel-probe BROKERS cut TOPIC PARTITION OFFSET    deletes what is older
 *   kancel-probe BROKERS produce [--transactional-id ID]
 *   kancel-probe BROKERS consume TOPIC [--count N] [--quiet-ms N] [--timeout-ms N] [--uncommitted]
 *   kancel-probe BROKERS committed GROUP TOPIC         offsets with their metadata
 *   kancel-probe BROKERS lag GROUP TOPIC               offsets and ends as autoscalers read them
 *   kancel-probe BROKERS group GROUP                   state and members
 *   kancel-probe BROKERS regained GROUP TOPIC [NAME=VALUE]...   see probe_regained.c
 *   kancel-probe BROKERS deny KIND NAME OPERATION      and undeny: see probe_deny.c
 *
 * `produce` takes records from its input and prints their places.
 * Records are JSON objects, one a line: {"topic", "partition"?, "key", "value", "timestamp"?,
 * "headers": [[NAME, VALUE], ...]}. A key or value is text, null, or {"hex": "00ff"} where it is no
 * UTF-8; {"repeat": "x", "times": 9} is long text. Among records to produce, {"transaction":
 * "commit"} and {"transaction": "abort"} end a transaction; the next record begins another.
 * `consume` reads from the beginning, committed records only, and ends after N records, or when
 * nothing came for the quiet time after the end of every partition.
 */
#include "probe.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/banned.h"

enum { LINE_MAX_BYTES = 8 << 20 };

_Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "kancel-probe: %s: %s\n", what, why);
    exit(1);
}

void check(rd_kafka_resp_err_t err, const char *what)
{
    if (err)
        die(what, rd_kafka_err2str(err));
}

void check_error(rd_kafka_error_t *error, const char *what)
{
    if (error)
        die(what, rd_kafka_error_string(error));
}

void *must(void *pointer)
{
    if (!pointer)
        die("memory", "out of it");
    return pointer;
}

void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char problem[256];
    if (rd_kafka_conf_set(conf, name, value, problem, sizeof(problem)) != RD_KAFKA_CONF_OK)
        die(name, problem);
}

rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers)
{
    char problem[256];
    rd_kafka_t *rk;
    set(conf, "bootstrap.servers", brokers);
    set(conf, "log_level", "2");
    rk = rd_kafka_new(type, conf, problem, sizeof(problem));
    if (!rk)
        die("client", problem);
    return rk;
}

static int64_t number(const char *text)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0')
        die(text, "not a number");
    return value;
}

void print_line(json_t *line)
{
    if (json_dumpf(must(line), stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF)
        die("stdout", "cannot write");
    json_decref(line);
}

/* ---- bytes in JSON ---- */

static json_t *bytes_to_json(const void *bytes, size_t len)
{
    json_t *text;
    char *hex;
    if (!bytes)
        return json_null();
    text = json_stringn(bytes, len);
    if (text)
        return text;
    hex = must(malloc(2 * len + 1));
    for (size_t i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
    text = json_pack("{s:s}", "hex", hex);
    free(hex);
    return text;
}

struct bytes {
    char *data; /* NULL: null */
    size_t len;
};

static struct bytes bytes_of_hex(const char *hex)
{
    struct bytes bytes = {must(malloc(strlen(hex) / 2 + 1)), strlen(hex) / 2};
    for (size_t i = 0; i < bytes.len; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes.data[i] = (char)strtoul(two, NULL, 16);
    }
    return bytes;
}

static struct bytes bytes_repeated(const json_t *json)
{
    const char *text = json_string_value(json_object_get(json, "repeat"));
    json_int_t times = json_integer_value(json_object_get(json, "times"));
    size_t one = text ? strlen(text) : 0;
    struct bytes bytes = {NULL, one * (size_t)times};
    if (!text || times < 0)
        die("record", "expected text, null, {hex} or {repeat, times}");
    bytes.data = must(malloc(bytes.len + 1));
    for (size_t i = 0; i < bytes.len; i++)
        bytes.data[i] = text[i % one];
    return bytes;
}

/* Free .data afterwards. */
static struct bytes bytes_of_json(const json_t *json)
{
    struct bytes bytes = {NULL, 0};
    const char *hex = json_string_value(json_object_get(json, "hex"));
    if (!json || json_is_null(json))
        return bytes;
    if (hex)
        return bytes_of_hex(hex);
    if (!json_is_string(json))
        return bytes_repeated(json);
    bytes.len = json_string_length(json);
    bytes.data = must(malloc(bytes.len + 1));
    memcpy(bytes.data, json_string_value(json), bytes.len);
    return bytes;
}

/* ---- create ---- */

static rd_kafka_NewTopic_t *topic_of_spec(char *spec)
{
    char problem[256];
    char *rest = spec;
    const char *name = strsep(&rest, ":");
    const char *partitions = strsep(&rest, ":");
    rd_kafka_NewTopic_t *topic;
    if (!partitions)
        die(spec, "expected TOPIC:PARTITIONS[:NAME=VALUE]");
    topic = rd_kafka_NewTopic_new(name, (int)number(partitions), -1, problem, sizeof(problem));
    if (!topic)
        die(name, problem);
    while (rest) {
        char *value = strsep(&rest, ":");
        const char *key = strsep(&value, "=");
        check(rd_kafka_NewTopic_set_config(topic, key, value ? value : ""), key);
    }
    return topic;
}

static int create(const char *brokers, int argc, char **argv)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t **topics = must(calloc((size_t)argc + 1, sizeof(rd_kafka_NewTopic_t *)));
    rd_kafka_event_t *event;
    const rd_kafka_topic_result_t **results;
    size_t count;
    for (int i = 0; i < argc; i++)
        topics[i] = topic_of_spec(argv[i]);
    rd_kafka_CreateTopics(rk, topics, (size_t)argc, NULL, queue);
    event = must(rd_kafka_queue_poll(queue, WAIT_MS));
    check(rd_kafka_event_error(event), "create");
    results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++)
        check(rd_kafka_topic_result_error(results[i]), rd_kafka_topic_result_name(results[i]));
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy_array(topics, (size_t)argc);
    free(topics);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

/* ---- delete, alter, cut ---- */

static rd_kafka_event_t *answer_of(rd_kafka_queue_t *queue, const char *what)
{
    rd_kafka_event_t *event = must(rd_kafka_queue_poll(queue, WAIT_MS));
    check(rd_kafka_event_error(event), what);
    return event;
}

static int delete_topics(const char *brokers, int argc, char **argv)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    for (int i = 0; i < argc; i++) {
        rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(argv[i]);
        rd_kafka_event_t *event;
        size_t count;
        rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
        event = answer_of(queue, "delete");
        const rd_kafka_topic_result_t **results =
            rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
        check(rd_kafka_topic_result_error(results[0]), argv[i]);
        rd_kafka_event_destroy(event);
        rd_kafka_DeleteTopic_destroy(topic);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

/* alter TOPIC NAME=VALUE...: all of the topic's own settings, these and no others. */
static int alter(const char *brokers, int argc, char **argv)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *resource;
    rd_kafka_event_t *event;
    size_t count;
    if (argc < 1)
        die("alter", "expected TOPIC [NAME=VALUE]...");
    resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, argv[0]);
    for (int i = 1; i < argc; i++) {
        char *value = argv[i];
        const char *name = strsep(&value, "=");
        check(rd_kafka_ConfigResource_set_config(resource, name, value), name);
    }
    rd_kafka_AlterConfigs(rk, &resource, 1, NULL, queue);
    event = answer_of(queue, "alter");
    const rd_kafka_ConfigResource_t **results =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    check(rd_kafka_ConfigResource_error(results[0]), argv[0]);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

/* cut TOPIC PARTITION OFFSET: what is older is deleted, as retention does. */
static int cut(const char *brokers, int argc, char **argv)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_DeleteRecords_t *request;
    rd_kafka_event_t *event;
    if (argc != 3)
        die("cut", "expected TOPIC PARTITION OFFSET");
    rd_kafka_topic_partition_list_add(list, argv[0], (int32_t)number(argv[1]))->offset =
        number(argv[2]);
    request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
    event = answer_of(queue, "cut");
    check(rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event))
              ->elems[0]
              .err,
          argv[0]);
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

/* ---- produce ---- */

/* Where each record went, in the order of the input; printed at the end. */
struct place {
    char *topic;
    int32_t partition;
    int64_t offset;
    rd_kafka_resp_err_t err;
};

static struct place *places;
static size_t places_count, places_cap;

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct place *place = &places[(size_t)(uintptr_t)message->_private];
    (void)rk;
    (void)opaque;
    place->topic = must(strdup(rd_kafka_topic_name(message->rkt)));
    place->partition = message->partition;
    place->offset = message->offset;
    place->err = message->err;
}

static size_t place_new(void)
{
    if (places_count == places_cap) {
        places_cap = places_cap ? 2 * places_cap : 1024;
        places = must(reallocarray(places, places_cap, sizeof(*places)));
    }
    places[places_count] = (struct place){.offset = -1};
    return places_count++;
}

static rd_kafka_headers_t *headers_of_json(const json_t *list)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(json_array_size(list));
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(json_array_get(one, 0));
        struct bytes value = bytes_of_json(json_array_get(one, 1));
        if (!name)
            die("headers", "expected [NAME, VALUE]");
        check(rd_kafka_header_add(headers, name, -1, value.data, (ssize_t)value.len), "header");
        free(value.data);
    }
    return headers;
}

static void produce_record(rd_kafka_t *rk, const json_t *record)
{
    const char *topic = json_string_value(json_object_get(record, "topic"));
    const json_t *partition = json_object_get(record, "partition");
    struct bytes key = bytes_of_json(json_object_get(record, "key"));
    struct bytes value = bytes_of_json(json_object_get(record, "value"));
    int32_t to = partition ? (int32_t)json_integer_value(partition) : RD_KAFKA_PARTITION_UA;
    size_t place = place_new();
    rd_kafka_resp_err_t err;
    if (!topic)
        die("record", "has no topic");
    do {
        rd_kafka_headers_t *headers = headers_of_json(json_object_get(record, "headers"));
        err = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(to),
            RD_KAFKA_V_KEY(key.data, key.len), RD_KAFKA_V_VALUE(value.data, value.len),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_TIMESTAMP(json_integer_value(json_object_get(record, "timestamp"))),
            RD_KAFKA_V_OPAQUE((void *)(uintptr_t)place), RD_KAFKA_V_END);
        if (err)
            rd_kafka_headers_destroy(headers);
        rd_kafka_poll(rk, err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 100 : 0);
    } while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    check(err, "produce");
    free(key.data);
    free(value.data);
}

/* Ends a transaction, or begins one where `word` is NULL. */
static void transaction(rd_kafka_t *rk, const char *word, bool *open)
{
    if (!word && !*open) {
        check_error(rd_kafka_begin_transaction(rk), "begin");
        *open = true;
    } else if (word && *open) {
        /* Also what is to be aborted gets to the broker first: readers must skip it there. */
        check(rd_kafka_flush(rk, WAIT_MS), "flush");
        if (strcmp(word, "abort") == 0)
            check_error(rd_kafka_abort_transaction(rk, -1), "abort");
        else
            check_error(rd_kafka_commit_transaction(rk, -1), "commit");
        *open = false;
    }
}

static void produce_lines(rd_kafka_t *rk, bool transactional)
{
    char *line = must(malloc(LINE_MAX_BYTES));
    bool open = false;
    while (fgets(line, LINE_MAX_BYTES, stdin)) {
        json_error_t error;
        json_t *record = json_loads(line, JSON_ALLOW_NUL, &error);
        const char *word = json_string_value(json_object_get(record, "transaction"));
        if (!record)
            die("stdin", error.text);
        if (transactional)
            transaction(rk, word, &open);
        if (!word)
            produce_record(rk, record);
        json_decref(record);
    }
    free(line);
    check(rd_kafka_flush(rk, WAIT_MS), "flush");
    if (transactional)
        transaction(rk, "commit", &open);
}

static int produce(const char *brokers, int argc, char **argv)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool transactional = argc > 0 && strcmp(argv[0], "--transactional-id") == 0;
    rd_kafka_t *rk;
    int status = 0;
    set(conf, "partitioner", "murmur2_random");
    set(conf, "linger.ms", "2");
    /* Also keeps the order when a request is sent again. */
    set(conf, "enable.idempotence", "true");
    set(conf, "message.max.bytes", "10000000");
    if (transactional) {
        if (argc != 2)
            die("--transactional-id", "expected one");
        set(conf, "transactional.id", argv[1]);
        set(conf, "retry.backoff.ms", "2");
    }
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rk = client(RD_KAFKA_PRODUCER, conf, brokers);
    if (transactional)
        check_error(rd_kafka_init_transactions(rk, WAIT_MS), "init_transactions");
    produce_lines(rk, transactional);
    for (size_t i = 0; i < places_count; i++) {
        if (places[i].err) {
            fprintf(stderr, "kancel-probe: record %zu: %s\n", i, rd_kafka_err2str(places[i].err));
            status = 1;
        }
        print_line(json_pack("{s:s?, s:i, s:I}", "topic", places[i].topic, "partition",
                             places[i].partition, "offset", (json_int_t)places[i].offset));
        free(places[i].topic);
    }
    free(places);
    rd_kafka_destroy(rk);
    return status;
}

/* ---- consume ---- */

struct reading {
    const char *topic;
    int64_t count, quiet_ms, timeout_ms;
    bool uncommitted;
};

static json_t *headers_to_json(rd_kafka_message_t *message)
{
    json_t *list = json_array();
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t len;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return list;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &len) == 0; i++)
        json_array_append_new(list, json_pack("[s, o]", name, bytes_to_json(value, len)));
    return list;
}

static void print_record(rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    print_line(json_pack(
        "{s:s, s:i, s:I, s:I, s:o, s:o, s:o}", "topic", rd_kafka_topic_name(message->rkt),
        "partition", (int)message->partition, "offset", (json_int_t)message->offset, "timestamp",
        (json_int_t)rd_kafka_message_timestamp(message, &type), "key",
        bytes_to_json(message->key, message->key_len), "value",
        bytes_to_json(message->payload, message->len), "headers", headers_to_json(message)));
}

int partitions_of(rd_kafka_t *rk, const char *topic)
{
    const rd_kafka_metadata_t *metadata;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int count = 0;
    /* A topic made a moment ago may not be known to the broker yet. */
    for (int tries = 0; count == 0 && tries < 100; tries++) {
        check(rd_kafka_metadata(rk, 0, rkt, &metadata, WAIT_MS), "metadata");
        count = metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(rkt);
    if (count == 0)
        die(topic, "no such topic");
    return count;
}

static void assign_all(rd_kafka_t *rk, const char *topic, int partitions)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    check(rd_kafka_assign(rk, list), "assign");
    rd_kafka_topic_partition_list_destroy(list);
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void read_records(rd_kafka_t *rk, const struct reading *reading, int partitions)
{
    bool *ended = must(calloc((size_t)partitions, sizeof(*ended)));
    int ends = 0;
    int64_t read = 0, began = now_ms(), last = began;
    while (reading->count < 0 || read < reading->count) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 20);
        int64_t now = now_ms();
        if (message && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ends += !ended[message->partition];
            ended[message->partition] = true;
        } else if (message && message->err) {
            fprintf(stderr, "kancel-probe: %s\n", rd_kafka_message_errstr(message));
        } else if (message) {
            print_record(message);
            read++;
            last = now;
        }
        if (message)
            rd_kafka_message_destroy(message);
        else
            fflush(stdout);
        if (now - began > reading->timeout_ms ||
            (reading->quiet_ms >= 0 && ends == partitions && now - last >= reading->quiet_ms))
            break;
    }
    free(ended);
}

static int consume(const char *brokers, int argc, char **argv)
{
    struct reading reading = {.count = -1, .quiet_ms = -1, .timeout_ms = WAIT_MS};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;
    int partitions;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--uncommitted") == 0)
            reading.uncommitted = true;
        else if (strcmp(argv[i], "--count") == 0 && i + 1 < argc)
            reading.count = number(argv[++i]);
        else if (strcmp(argv[i], "--quiet-ms") == 0 && i + 1 < argc)
            reading.quiet_ms = number(argv[++i]);
        else if (strcmp(argv[i], "--timeout-ms") == 0 && i + 1 < argc)
            reading.timeout_ms = number(argv[++i]);
        else if (!reading.topic)
            reading.topic = argv[i];
        else
            die(argv[i], "unknown option");
    }
    if (!reading.topic)
        die("consume", "expected a topic");
    set(conf, "group.id", "kancel-probe");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "isolation.level", reading.uncommitted ? "read_uncommitted" : "read_committed");
    set(conf, "fetch.wait.max.ms", "50");
    rk = client(RD_KAFKA_CONSUMER, conf, brokers);
    check(rd_kafka_poll_set_consumer(rk), "queue");
    partitions = partitions_of(rk, reading.topic);
    assign_all(rk, reading.topic, partitions);
    read_records(rk, &reading, partitions);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return 0;
}

/* ---- committed, group ---- */

static int committed(const char *brokers, int argc, char **argv)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_t *rk;
    int partitions;
    if (argc != 2)
        die("committed", "expected GROUP TOPIC");
    set(conf, "group.id", argv[0]);
    rk = client(RD_KAFKA_CONSUMER, conf, brokers);
    partitions = partitions_of(rk, argv[1]);
    list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, argv[1], i);
    check(rd_kafka_committed(rk, list, WAIT_MS), "committed");
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        print_line(json_pack("{s:i, s:I, s:o}", "partition", one->partition, "offset",
                             (json_int_t)one->offset, "metadata",
                             bytes_to_json(one->metadata, one->metadata_size)));
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return 0;
}

/* What a new broker or topic says for a moment. */
static bool not_yet(rd_kafka_t *rk, rd_kafka_resp_err_t err)
{
    if (err != RD_KAFKA_RESP_ERR_NOT_COORDINATOR &&
        err != RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION)
        return false;
    rd_kafka_poll(rk, 100);
    return true;
}

/* Without a care for open transactions: the last stable offset would hide what waits behind one. */
static int lag(const char *brokers, int argc, char **argv)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t err;
    rd_kafka_t *rk;
    int partitions;
    if (argc != 2)
        die("lag", "expected GROUP TOPIC");
    set(conf, "group.id", argv[0]);
    set(conf, "isolation.level", "read_uncommitted");
    rk = client(RD_KAFKA_CONSUMER, conf, brokers);
    partitions = partitions_of(rk, argv[1]);
    list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, argv[1], i);
    while (not_yet(rk, err = rd_kafka_committed(rk, list, WAIT_MS)))
        ;
    check(err, "committed");
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        int64_t low, high;
        while (not_yet(rk, err = rd_kafka_query_watermark_offsets(rk, one->topic, one->partition,
                                                                  &low, &high, WAIT_MS)))
            ;
        check(err, one->topic);
        print_line(json_pack("{s:i, s:I, s:I}", "partition", one->partition, "offset",
                             (json_int_t)one->offset, "end", (json_int_t)high));
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return 0;
}

static int group(const char *brokers, int argc, char **argv)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    const struct rd_kafka_group_list *list;
    if (argc != 1)
        die("group", "expected GROUP");
    check(rd_kafka_list_groups(rk, argv[0], &list, WAIT_MS), "group");
    for (int i = 0; i < list->group_cnt; i++)
        print_line(json_pack("{s:s, s:s, s:i}", "group", list->groups[i].group, "state",
                             list->groups[i].state, "members", list->groups[i].member_cnt));
    rd_kafka_group_list_destroy(list);
    rd_kafka_destroy(rk);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const char *brokers, int argc, char **argv);
    } commands[] = {{"create", create},       {"delete", delete_topics}, {"alter", alter},
                    {"cut", cut},             {"produce", produce},      {"consume", consume},
                    {"committed", committed}, {"lag", lag},              {"group", group},
                    {"regained", regained},   {"deny", deny},            {"undeny", undeny}};
    for (size_t i = 0; argc > 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[2], commands[i].name) == 0)
            return commands[i].run(argv[1], argc - 3, argv + 3);
    }
    fputs("usage: kancel-probe BROKERS COMMAND ..., see the head of probe.c\n", stderr);
    return 2;
}
