#include "tests/unit/io/kafka_mock.h"

#include <pthread.h>

#include "common/banned.h"

static void start(void)
{
    mock_start();
}

static void finish(void)
{
    kafka_set_log(NULL);
    mock_stop();
}

static const char *value_of(const rd_kafka_conf_t *conf, const char *name)
{
    static char text[1024];
    size_t size = sizeof(text);
    if (rd_kafka_conf_get(conf, name, text, &size) != RD_KAFKA_CONF_OK)
        return "(none)";
    return text;
}

static rd_kafka_conf_t *conf_of(enum kafka_client client)
{
    struct error err = {.message = ""};
    rd_kafka_conf_t *conf = kafka_conf(&mock.settings, client, &err);
    ck_assert_msg(conf != NULL, "%s", err.message);
    return conf;
}

/* ---- properties ------------------------------------------------------------------------------ */

START_TEST(properties_that_would_void_a_promise_are_refused_with_a_reason)
{
    static const char *const names[] = {"isolation.level",
                                        "enable.auto.commit",
                                        "enable.auto.offset.store",
                                        "auto.offset.reset",
                                        "group.id",
                                        "group.instance.id",
                                        "transactional.id",
                                        "enable.idempotence",
                                        "acks",
                                        "request.required.acks",
                                        "auto.commit.enable",
                                        "partitioner",
                                        "allow.auto.create.topics",
                                        "bootstrap.servers",
                                        "metadata.broker.list",
                                        "enabled_events",
                                        "delivery.report.only.error"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct error err;
        ck_assert_int_eq(kafka_check_property(names[i], slice_of_string("1"), &err), -1);
        ck_assert_int_eq(err.kind, ERROR_INPUT);
        ck_assert_msg(strstr(err.message, names[i]) && strstr(err.message, "cannot be set here: "),
                      "%s", err.message);
    }
}
END_TEST

START_TEST(a_refused_property_does_not_get_into_a_client)
{
    mock_property("isolation.level", "read_uncommitted");
    struct error err;
    ck_assert_ptr_null(kafka_conf(&mock.settings, KAFKA_CONSUMER, &err));
    ck_assert_int_eq(err.kind, ERROR_INPUT);
}
END_TEST

START_TEST(an_unknown_property_is_named)
{
    struct error err;
    ck_assert_int_eq(kafka_check_property("sasl.pasword", slice_of_string("geheim"), &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "sasl.pasword"));
    ck_assert_ptr_null(strstr(err.message, "geheim"));
}
END_TEST

START_TEST(a_refused_value_is_not_quoted_but_what_was_expected_is)
{
    struct error err;
    ck_assert_int_eq(kafka_check_property("session.timeout.ms", slice_of_string("geheim"), &err),
                     -1);
    ck_assert_msg(strstr(err.message, "1 .. 3600000") != NULL, "%s", err.message);
    ck_assert_ptr_null(strstr(err.message, "geheim"));
    ck_assert_int_eq(kafka_check_property("security.protocol", slice_of_string("geheim"), &err),
                     -1);
    ck_assert_msg(strstr(err.message, "sasl_ssl") != NULL, "%s", err.message);
    ck_assert_ptr_null(strstr(err.message, "geheim"));
}
END_TEST

START_TEST(security_properties_are_taken)
{
    static const char *const pairs[][2] = {{"security.protocol", "sasl_ssl"},
                                           {"sasl.mechanism", "SCRAM-SHA-512"},
                                           {"sasl.username", "u"},
                                           {"sasl.password", "p"},
                                           {"ssl.ca.location", "/ca.pem"},
                                           {"compression.type", "lz4"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct error err = {.message = ""};
        ck_assert_msg(kafka_check_property(pairs[i][0], slice_of_string(pairs[i][1]), &err) == 0,
                      "%s", err.message);
    }
}
END_TEST

static char log_text[64 * 1024];

static void keep_log(enum log_level level, const char *event, const char *text)
{
    (void)level;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    (void)pthread_mutex_lock(&mutex);
    size_t used = strlen(log_text);
    (void)snprintf(log_text + used, sizeof(log_text) - used, "%s %s\n", event, text);
    (void)pthread_mutex_unlock(&mutex);
}

START_TEST(each_client_gets_only_what_it_knows)
{
    kafka_set_log(keep_log);
    mock_property("max.poll.interval.ms", "400000");
    mock_property("queue.buffering.max.messages", "1234");
    mock_property("log_level", "6");
    rd_kafka_conf_t *consumer = conf_of(KAFKA_CONSUMER), *producer = conf_of(KAFKA_PRODUCER);
    ck_assert_str_eq(value_of(consumer, "max.poll.interval.ms"), "400000");
    ck_assert_str_eq(value_of(consumer, "queue.buffering.max.messages"), "100000");
    ck_assert_str_eq(value_of(producer, "max.poll.interval.ms"), "300000");
    ck_assert_str_eq(value_of(producer, "queue.buffering.max.messages"), "1234");
    struct error err = {.message = ""};
    rd_kafka_t *one = kafka_new(&mock.settings, RD_KAFKA_CONSUMER, consumer, &err);
    rd_kafka_t *two = kafka_new(&mock.settings, RD_KAFKA_PRODUCER, producer, &err);
    ck_assert_msg(one && two, "%s", err.message);
    ck_assert_msg(strstr(log_text, "CONFWARN") == NULL, "%s", log_text);
    rd_kafka_destroy(one);
    rd_kafka_destroy(two);
}
END_TEST

START_TEST(user_values_win_over_defaults_and_not_over_promises)
{
    mock_property("partition.assignment.strategy", "range");
    mock_property("retry.backoff.ms", "77");
    rd_kafka_conf_t *consumer = conf_of(KAFKA_CONSUMER), *producer = conf_of(KAFKA_PRODUCER);
    ck_assert_str_eq(value_of(consumer, "partition.assignment.strategy"), "range");
    ck_assert_str_eq(value_of(consumer, "enable.auto.commit"), "false");
    ck_assert_str_eq(value_of(consumer, "enable.auto.offset.store"), "false");
    ck_assert_str_eq(value_of(consumer, "isolation.level"), "read_committed");
    ck_assert_str_eq(value_of(consumer, "auto.offset.reset"), "smallest");
    ck_assert_str_eq(value_of(consumer, "queued.max.messages.kbytes"), "64");
    ck_assert_str_eq(value_of(producer, "retry.backoff.ms"), "77");
    ck_assert_str_eq(value_of(producer, "enable.idempotence"), "true");
    ck_assert_str_eq(value_of(producer, "acks"), "-1");
    ck_assert_str_eq(value_of(producer, "partitioner"), "murmur2_random");
    ck_assert_str_eq(value_of(producer, "allow.auto.create.topics"), "false");
    rd_kafka_conf_destroy(consumer);
    rd_kafka_conf_destroy(producer);
}
END_TEST

START_TEST(transactions_begin_again_without_long_waits)
{
    rd_kafka_conf_t *producer = conf_of(KAFKA_PRODUCER);
    int64_t backoff_ms;
    ck_assert(slice_to_int64(slice_of_string(value_of(producer, "retry.backoff.ms")), &backoff_ms));
    ck_assert_int_le(backoff_ms, 5);
    ck_assert_str_eq(value_of(producer, "topic.metadata.refresh.fast.interval.ms"), "100");
    rd_kafka_conf_destroy(producer);
}
END_TEST

START_TEST(a_random_identity_is_new_each_time_and_times_out_early)
{
    rd_kafka_conf_t *one = conf_of(KAFKA_PRODUCER), *two = conf_of(KAFKA_PRODUCER);
    char id[1024];
    (void)snprintf(id, sizeof(id), "%s", value_of(one, "transactional.id"));
    ck_assert_uint_eq(strlen(id), strlen("group-") + 16);
    ck_assert(strncmp(id, "group-", 6) == 0);
    ck_assert_str_ne(id, value_of(two, "transactional.id"));
    ck_assert_str_eq(value_of(one, "transaction.timeout.ms"), "10000");
    rd_kafka_conf_destroy(one);
    rd_kafka_conf_destroy(two);
}
END_TEST

START_TEST(an_instance_has_a_fixed_identity)
{
    mock.settings.instance_id = "3";
    rd_kafka_conf_t *consumer = conf_of(KAFKA_CONSUMER), *producer = conf_of(KAFKA_PRODUCER);
    ck_assert_str_eq(value_of(producer, "transactional.id"), "group-3");
    ck_assert_str_eq(value_of(consumer, "group.instance.id"), "3");
    rd_kafka_conf_destroy(consumer);
    rd_kafka_conf_destroy(producer);
}
END_TEST

START_TEST(at_least_once_has_no_transactions)
{
    mock.settings.delivery = DELIVERY_AT_LEAST_ONCE;
    rd_kafka_conf_t *producer = conf_of(KAFKA_PRODUCER);
    ck_assert_str_eq(value_of(producer, "transactional.id"), "(none)");
    ck_assert_str_eq(value_of(producer, "enable.idempotence"), "true");
    rd_kafka_conf_destroy(producer);
}
END_TEST

#if RD_KAFKA_VERSION >= 0x020c00ff
START_TEST(the_consumer_protocol_goes_without_classic_settings)
{
    option_values_free((struct option_values *)(uintptr_t)mock.settings.properties);
    mock.settings.properties = option_values_new(mock_rows);
    mock_property("group.protocol", "consumer");
    struct error err = {.message = ""};
    rd_kafka_t *rk = kafka_new(&mock.settings, RD_KAFKA_CONSUMER, conf_of(KAFKA_CONSUMER), &err);
    ck_assert_msg(rk != NULL, "%s", err.message);
    rd_kafka_destroy(rk);
}
END_TEST
#endif

START_TEST(a_refused_combination_is_told_without_the_values)
{
    mock_property("security.protocol", "sasl_plaintext");
    mock_property("sasl.mechanism", "geheim-mechanism");
    struct error err = {.kind = ERROR_NONE};
    ck_assert_ptr_null(kafka_new(&mock.settings, RD_KAFKA_CONSUMER, conf_of(KAFKA_CONSUMER), &err));
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    ck_assert_msg(strstr(err.message, "mechanism") != NULL, "%s", err.message);
    ck_assert_ptr_null(strstr(err.message, "geheim"));
}
END_TEST

/* ---- topics of our own ----------------------------------------------------------------------- */

START_TEST(output_topics_are_own_unless_a_command_topic_is_named_so)
{
    mock.reply_topics[0] = "^reply\\..*";
    mock.reply_topics[1] = "answers";
    mock.settings.reply_topic_count = 2;
    mock.commands[1] = "reply.commands";
    mock.settings.command_count = 2;
    ck_assert(kafka_own_topic(&mock.settings, "results"));
    ck_assert(kafka_own_topic(&mock.settings, "dead"));
    ck_assert(kafka_own_topic(&mock.settings, "reply.a"));
    ck_assert(kafka_own_topic(&mock.settings, "answers"));
    ck_assert(!kafka_own_topic(&mock.settings, "answers2"));
    ck_assert(!kafka_own_topic(&mock.settings, "commands"));
    ck_assert(!kafka_own_topic(&mock.settings, "reply.commands"));
}
END_TEST

START_TEST(only_a_pattern_of_commands_hides_own_topics)
{
    mock.reply_topics[0] = "^reply\\..*";
    mock.reply_topics[1] = "^a{1,2}$";
    mock.settings.reply_topic_count = 2;
    rd_kafka_conf_t *conf = conf_of(KAFKA_CONSUMER);
    ck_assert_str_eq(value_of(conf, "topic.blacklist"), "(none)");
    rd_kafka_conf_destroy(conf);
    mock.commands[0] = "^.*";
    conf = conf_of(KAFKA_CONSUMER);
    ck_assert_str_eq(value_of(conf, "topic.blacklist"), "^results$,^dead$,^reply\\..*");
    rd_kafka_conf_destroy(conf);
}
END_TEST

/* ---- errors ---------------------------------------------------------------------------------- */

START_TEST(errors_fold_to_what_is_to_be_done)
{
    static const struct {
        rd_kafka_resp_err_t code;
        enum error_kind kind;
    } rows[] = {
        {RD_KAFKA_RESP_ERR__TIMED_OUT, ERROR_TEMPORARY},
        {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, ERROR_TEMPORARY},
        {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ERROR_TEMPORARY},
        {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, ERROR_ABORT},
        {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, ERROR_ABORT},
        {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, ERROR_ABORT},
        {RD_KAFKA_RESP_ERR__FATAL, ERROR_FATAL},
        {RD_KAFKA_RESP_ERR__INVALID_ARG, ERROR_INTERNAL},
    };
    struct error err = {.kind = ERROR_NONE};
    ck_assert_int_eq(kafka_fold_code(RD_KAFKA_RESP_ERR_NO_ERROR, "x", &err), 0);
    ck_assert_int_eq(kafka_fold(NULL, "x", &err), 0);
    ck_assert_int_eq(err.kind, ERROR_NONE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_int_eq(kafka_fold_code(rows[i].code, "asking", &err), -1);
        ck_assert_msg(err.kind == rows[i].kind, "%s", err.message);
        ck_assert(strncmp(err.message, "asking: ", 8) == 0);
    }
}
END_TEST

START_TEST(delivery_errors_tell_whose_fault_it_was)
{
    ck_assert_int_eq(kafka_fold_delivery(RD_KAFKA_RESP_ERR_NO_ERROR), DELIVERY_OK);
    ck_assert_int_eq(kafka_fold_delivery(RD_KAFKA_RESP_ERR__PURGE_QUEUE), DELIVERY_OK);
    ck_assert_int_eq(kafka_fold_delivery(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT), DELIVERY_OK);
    ck_assert_int_eq(kafka_fold_delivery(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC), DELIVERY_NO_TOPIC);
    ck_assert_int_eq(kafka_fold_delivery(RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION), DELIVERY_NO_TOPIC);
    ck_assert_int_eq(kafka_fold_delivery(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
                     DELIVERY_FORBIDDEN);
    ck_assert_int_eq(kafka_fold_delivery(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), DELIVERY_TOO_LARGE);
    ck_assert_int_eq(kafka_fold_delivery(RD_KAFKA_RESP_ERR_INVALID_RECORD), DELIVERY_REFUSED);
}
END_TEST

START_TEST(log_lines_come_one_by_one_without_secrets)
{
    kafka_set_log(keep_log);
    mock.settings.bootstrap_servers = "127.0.0.1:1";
    mock_property("sasl.password", "127.0.0.1:1"); /* stands in every line about that broker */
    struct error err;
    rd_kafka_t *rk = kafka_new(&mock.settings, RD_KAFKA_PRODUCER, conf_of(KAFKA_PRODUCER), &err);
    ck_assert_ptr_nonnull(rk);
    const struct rd_kafka_metadata *metadata;
    ck_assert_int_ne(rd_kafka_metadata(rk, 1, NULL, &metadata, 500), 0);
    rd_kafka_destroy(rk);
    ck_assert_msg(strstr(log_text, "kafka_client test#producer") != NULL, "%s", log_text);
    ck_assert_msg(strstr(log_text, "FAIL") != NULL, "%s", log_text);
    ck_assert_msg(strstr(log_text, "127.0.0.1:1") == NULL, "%s", log_text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka");
    TCase *tests = tcase_create("kafka");
    tcase_set_timeout(tests, 2 * PATIENCE_S);
    tcase_add_checked_fixture(tests, start, finish);
    tcase_add_test(tests, properties_that_would_void_a_promise_are_refused_with_a_reason);
    tcase_add_test(tests, a_refused_property_does_not_get_into_a_client);
    tcase_add_test(tests, an_unknown_property_is_named);
    tcase_add_test(tests, a_refused_value_is_not_quoted_but_what_was_expected_is);
    tcase_add_test(tests, security_properties_are_taken);
    tcase_add_test(tests, each_client_gets_only_what_it_knows);
    tcase_add_test(tests, user_values_win_over_defaults_and_not_over_promises);
    tcase_add_test(tests, transactions_begin_again_without_long_waits);
    tcase_add_test(tests, a_random_identity_is_new_each_time_and_times_out_early);
    tcase_add_test(tests, an_instance_has_a_fixed_identity);
    tcase_add_test(tests, at_least_once_has_no_transactions);
#if RD_KAFKA_VERSION >= 0x020c00ff
    tcase_add_test(tests, the_consumer_protocol_goes_without_classic_settings);
#endif
    tcase_add_test(tests, a_refused_combination_is_told_without_the_values);
    tcase_add_test(tests, output_topics_are_own_unless_a_command_topic_is_named_so);
    tcase_add_test(tests, only_a_pattern_of_commands_hides_own_topics);
    tcase_add_test(tests, errors_fold_to_what_is_to_be_done);
    tcase_add_test(tests, delivery_errors_tell_whose_fault_it_was);
    tcase_add_test(tests, log_lines_come_one_by_one_without_secrets);
    suite_add_tcase(suite, tests);
    return mock_run(suite);
}
