/* broker.selftest: kancel-broker on a free and on a fixed port, seen by real clients. */
#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "common/banned.h"

enum { WAIT_MS = 30000 };

struct broker {
    pid_t pid;
    char address[64];
};

static void broker_start(struct broker *broker, const char *port, const char *topic)
{
    static const char said[] = "listening on ";
    char line[128] = "";
    int pipes[2];
    FILE *out;
    ck_assert_int_eq(pipe(pipes), 0);
    broker->pid = fork();
    if (broker->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(pipes[1], STDOUT_FILENO);
        execl(PROGRAM, PROGRAM, "--port", port, "--topic", topic, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    out = fdopen(pipes[0], "r");
    ck_assert_ptr_nonnull(out);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), out));
    fclose(out);
    ck_assert_int_eq(strncmp(line, said, sizeof(said) - 1), 0);
    line[strcspn(line, "\n")] = '\0';
    snprintf(broker->address, sizeof(broker->address), "%.50s", line + sizeof(said) - 1);
}

static int broker_stop(struct broker *broker)
{
    int status;
    ck_assert_int_eq(kill(broker->pid, SIGTERM), 0);
    ck_assert_int_eq(waitpid(broker->pid, &status, 0), broker->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static rd_kafka_t *client_new(rd_kafka_type_t type, const struct broker *broker)
{
    const char *const settings[][2] = {{"bootstrap.servers", broker->address},
                                       {"fetch.wait.max.ms", "10"},
                                       {"auto.offset.reset", "earliest"},
                                       {"group.id", "selftest"}};
    char message[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *kafka;
    for (size_t i = 0; i < (type == RD_KAFKA_CONSUMER ? 4 : 1); i++)
        ck_assert_int_eq(
            rd_kafka_conf_set(conf, settings[i][0], settings[i][1], message, sizeof(message)),
            RD_KAFKA_CONF_OK);
    kafka = rd_kafka_new(type, conf, message, sizeof(message));
    ck_assert_msg(kafka != NULL, "%s", message);
    return kafka;
}

static void produce(const struct broker *broker, const char *name, const char *value)
{
    rd_kafka_t *producer = client_new(RD_KAFKA_PRODUCER, broker);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, name, NULL);
    ck_assert_int_eq(rd_kafka_produce(topic, 2, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value,
                                      strlen(value), "k", 1, NULL),
                     0);
    ck_assert_int_eq(rd_kafka_flush(producer, WAIT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
}

static void expect_record(const struct broker *broker, const char *topic, const char *value)
{
    rd_kafka_t *consumer = client_new(RD_KAFKA_CONSUMER, broker);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_message_t *message;
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    ck_assert_int_eq(rd_kafka_subscribe(consumer, topics), RD_KAFKA_RESP_ERR_NO_ERROR);
    message = rd_kafka_consumer_poll(consumer, WAIT_MS);
    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(message->err, RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(message->partition, 2);
    ck_assert_uint_eq(message->len, strlen(value));
    ck_assert_int_eq(memcmp(message->payload, value, message->len), 0);
    rd_kafka_message_destroy(message);
    rd_kafka_topic_partition_list_destroy(topics);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}

START_TEST(a_record_goes_in_and_comes_out_by_a_group)
{
    struct broker broker;
    broker_start(&broker, "0", "first:3");
    produce(&broker, "first", "hello");
    expect_record(&broker, "first", "hello");
    ck_assert_int_eq(broker_stop(&broker), 0);
}
END_TEST

START_TEST(the_port_is_the_one_asked_for_and_free_again_afterwards)
{
    struct broker broker;
    char address[64], port[16];
    broker_start(&broker, "0", "first:3");
    memcpy(address, broker.address, sizeof(address));
    snprintf(port, sizeof(port), "%.8s", strrchr(address, ':') + 1);
    ck_assert_int_eq(broker_stop(&broker), 0);
    broker_start(&broker, port, "first:3");
    ck_assert_str_eq(broker.address, address);
    produce(&broker, "first", "again");
    expect_record(&broker, "first", "again");
    ck_assert_int_eq(broker_stop(&broker), 0);
}
END_TEST

START_TEST(usage_mistakes_end_with_2)
{
    static const char *const options[][2] = {{"--port", "70000"}, {"--topic", ":3"}, {"--x", "1"}};
    for (size_t i = 0; i < 3; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            if (!freopen("/dev/null", "w", stderr))
                _exit(126);
            execl(PROGRAM, PROGRAM, options[i][0], options[i][1], (char *)NULL);
            _exit(127);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker");
    TCase *tests = tcase_create("broker");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 90);
    tcase_add_test(tests, a_record_goes_in_and_comes_out_by_a_group);
    tcase_add_test(tests, the_port_is_the_one_asked_for_and_free_again_afterwards);
    tcase_add_test(tests, usage_mistakes_end_with_2);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
