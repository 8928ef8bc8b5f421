/*
 * What the tests of kafka, source and sink share: librdkafka's mock cluster in the test's own
 * process, a loop to run until something has happened, and plain clients on the other side of the
 * cluster.
 */
#ifndef KANCEL_TESTS_UNIT_IO_KAFKA_MOCK_H
#define KANCEL_TESTS_UNIT_IO_KAFKA_MOCK_H

#include <check.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <uv.h>

#include "worker/io/kafka.h"
#include "worker/io/loop.h"

/* Seconds that a test may wait for anything. */
enum { PATIENCE_S = 30 };

/* Wire numbers of requests, for injected errors. */
enum {
    API_PRODUCE = 0,
    API_FETCH = 1,
    API_OFFSET_FETCH = 9,
    API_OFFSET_COMMIT = 8,
    API_HEARTBEAT = 12,
    API_INIT_PRODUCER_ID = 22,
    API_TXN_OFFSET_COMMIT = 28,
    API_END_TXN = 26,
};

static const struct option mock_rows[] = {{.path = "properties", .type = OPTION_MAP}, {0}};

struct mock {
    rd_kafka_t *rk; /* carries the cluster and produces for tests */
    rd_kafka_mock_cluster_t *cluster;
    struct loop *loop;
    struct kafka_settings settings;
    const char *commands[2];
    const char *reply_topics[2];
};

static struct mock mock;

static inline void mock_property(const char *name, const char *value)
{
    struct error err;
    int result =
        option_values_put((struct option_values *)(uintptr_t)mock.settings.properties, "properties",
                          slice_of_string(name), slice_of_string(value), &err);
    ck_assert_msg(result == 0, "%s: %s", name, err.message);
}

/* Topics commands (2 partitions), results and dead (1 partition). */
static inline void mock_start(void)
{
    char text[512];
    struct error err;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    ck_assert(!rd_kafka_conf_set(conf, "log_level", "2", text, sizeof(text)));
    ck_assert(!rd_kafka_conf_set(conf, "linger.ms", "0", text, sizeof(text)));
    mock.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    ck_assert_ptr_nonnull(mock.rk);
    mock.cluster = rd_kafka_mock_cluster_new(mock.rk, 1);
    ck_assert_ptr_nonnull(mock.cluster);
    ck_assert(!rd_kafka_mock_topic_create(mock.cluster, "commands", 2, 1));
    ck_assert(!rd_kafka_mock_topic_create(mock.cluster, "results", 1, 1));
    ck_assert(!rd_kafka_mock_topic_create(mock.cluster, "dead", 1, 1));
#if RD_KAFKA_VERSION >= 0x020800ff
    rd_kafka_mock_group_initial_rebalance_delay_ms(mock.cluster, 0);
#endif
    ck_assert(rd_kafka_brokers_add(mock.rk, rd_kafka_mock_cluster_bootstraps(mock.cluster)) > 0);
    mock.loop = loop_new(&err);
    ck_assert_ptr_nonnull(mock.loop);
    mock.commands[0] = "commands";
    mock.settings = (struct kafka_settings){
        .bootstrap_servers = rd_kafka_mock_cluster_bootstraps(mock.cluster),
        .group = "group",
        .commands = mock.commands,
        .command_count = 1,
        .results = "results",
        .dead_letters = "dead",
        .reply_topics = mock.reply_topics,
        .properties = option_values_new(mock_rows),
        .instance_id = "",
        .delivery = DELIVERY_EXACTLY_ONCE,
        .client_id = "test",
    };
    /* The mock's fetches do not wake on data, and it waits for session time-outs; an older one
     * delays the first join by 3 s. */
    mock_property("fetch.wait.max.ms", "10");
    mock_property("session.timeout.ms", RD_KAFKA_VERSION >= 0x020800ff ? "3000" : "5000");
    mock_property("heartbeat.interval.ms", "200");
}

static inline void mock_stop(void)
{
    loop_free(mock.loop);
    option_values_free((struct option_values *)(uintptr_t)mock.settings.properties);
    rd_kafka_mock_cluster_destroy(mock.cluster);
    rd_kafka_destroy(mock.rk);
}

struct mock_patience {
    const char *what;
    int64_t ends_mono_ms;
    struct loop_timer *timer;
};

/* Fires often: a turn of the loop runs timers first and waits afterwards, so that what a timer has
 * just brought about would be noticed only when something else ends the wait. */
static inline void mock_patience_tick(void *context)
{
    struct mock_patience *patience = context;
    int64_t now = loop_mono_ms();
    if (now > patience->ends_mono_ms)
        ck_abort_msg("waited %d s for: %s", PATIENCE_S, patience->what);
    loop_timer_set(patience->timer, now + 10);
}

/* Runs the loop until `condition`. */
#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        struct error patience_err;                                                                 \
        struct mock_patience patience = {#condition, loop_mono_ms() + PATIENCE_S * 1000, NULL};    \
        patience.timer = loop_timer_new(mock.loop, mock_patience_tick, &patience, &patience_err);  \
        ck_assert_ptr_nonnull(patience.timer);                                                     \
        mock_patience_tick(&patience);                                                             \
        while (!(condition))                                                                       \
            (void)uv_run(loop_uv(mock.loop), UV_RUN_ONCE);                                         \
        loop_timer_free(patience.timer);                                                           \
        (void)uv_run(loop_uv(mock.loop), UV_RUN_NOWAIT);                                           \
    } while (0)

/* Returns when the cluster has it. NULL texts are null. */
static inline void mock_produce(const char *topic, int32_t partition, const char *key,
                                const char *value, rd_kafka_headers_t *headers)
{
    rd_kafka_resp_err_t code = rd_kafka_producev(
        mock.rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key ? strlen(key) : 0),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)value, value ? strlen(value) : 0),
        RD_KAFKA_V_TIMESTAMP(1700000000123), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    ck_assert_msg(code == RD_KAFKA_RESP_ERR_NO_ERROR, "%s", rd_kafka_err2str(code));
    ck_assert_int_eq(rd_kafka_flush(mock.rk, PATIENCE_S * 1000), RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* The next record of partition 0, from the beginning at the first call; the caller destroys it. */
struct mock_reader {
    rd_kafka_t *rk;
};

static inline void mock_reader_open(struct mock_reader *reader, const char *topic)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    ck_assert(!rd_kafka_conf_set(conf, "bootstrap.servers", mock.settings.bootstrap_servers, text,
                                 sizeof(text)));
    ck_assert(!rd_kafka_conf_set(conf, "group.id", "reader", text, sizeof(text)));
    ck_assert(!rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", text, sizeof(text)));
    ck_assert(!rd_kafka_conf_set(conf, "enable.auto.commit", "false", text, sizeof(text)));
    reader->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    ck_assert_ptr_nonnull(reader->rk);
    rd_kafka_poll_set_consumer(reader->rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    ck_assert(!rd_kafka_assign(reader->rk, list));
    rd_kafka_topic_partition_list_destroy(list);
}

static inline rd_kafka_message_t *mock_read(struct mock_reader *reader)
{
    for (int i = 0; i < PATIENCE_S; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->rk, 1000);
        if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return message;
        if (message != NULL)
            rd_kafka_message_destroy(message);
    }
    ck_abort_msg("no record");
    return NULL;
}

static inline void mock_reader_close(struct mock_reader *reader)
{
    rd_kafka_consumer_close(reader->rk);
    rd_kafka_destroy(reader->rk);
}

/* One test executable; its exit code. */
static inline int mock_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
