#include "tests/unit/io/sink_harness.h"

#include <sched.h>

#include "worker/io/sink_internal.h"

#include "common/banned.h"

/* ---- life ------------------------------------------------------------------------------------ */

START_TEST(a_producer_that_is_refused_at_first_starts_later)
{
    rd_kafka_mock_push_request_errors(mock.cluster, API_INIT_PRODUCER_ID, 2,
                                      RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                                      RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    open_ready();
    add_text("results", "one");
    commit(1, "m", RECEIPT_COMMITTED);
}
END_TEST

START_TEST(a_sink_may_be_freed_with_work_to_do)
{
    open_both(); /* not even initialised */
    add_text("results", "one");
    sink_commit(sink, batch_of(1, "m"));
    sink_look_up_topic(sink, "results");
    struct topic_partition partition = {"commands", 0};
    sink_read_positions(sink, &partition, 1);
    sink_recover(sink);
}
END_TEST

START_TEST(a_sink_without_brokers_can_be_freed)
{
    open_ready();
    rd_kafka_mock_broker_set_down(mock.cluster, 1);
    sink_look_up_topic(sink, "results");
}
END_TEST

/* ---- reading --------------------------------------------------------------------------------- */

START_TEST(nothing_committed_reads_as_the_earliest_offset)
{
    open_ready();
    mock_produce("commands", 1, "k", "v", NULL);
    read_positions();
    ck_assert_int_eq(said.err.kind, ERROR_NONE);
    ck_assert_uint_eq(said.position_count, 2);
    ck_assert(said.fresh[0] && said.fresh[1]);
    ck_assert_int_eq(said.offsets[0], 0);
    ck_assert_int_eq(said.offsets[1], 0);
    ck_assert_str_eq(said.metadata[0], "");
}
END_TEST

START_TEST(no_partitions_have_no_positions)
{
    open_ready();
    sink_read_positions(sink, NULL, 0);
    RUN_UNTIL(said.positions == 1);
    ck_assert_uint_eq(said.position_count, 0);
    ck_assert_int_eq(said.err.kind, ERROR_NONE);
}
END_TEST

START_TEST(positions_that_cannot_be_read_yet_are_asked_again_behind_other_jobs)
{
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_OFFSET_FETCH, 2,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    struct topic_partition partition = {"commands", 0};
    sink_read_positions(sink, &partition, 1);
    struct batch *batch = batch_of(0, NULL);
    sink_commit(sink, batch);
    RUN_UNTIL(said.positions == 1 && said.receipts == 1);
    ck_assert_int_eq(said.err.kind, ERROR_NONE);
    ck_assert_str_eq(said.order, "rcp");
    batch_free(batch);
}
END_TEST

START_TEST(a_topic_is_described)
{
    open_ready();
    look_up("commands");
    ck_assert(!said.topic.unavailable && said.topic.exists && said.topic.writable);
    ck_assert_int_eq(said.topic.partitions, 2);
    ck_assert_uint_eq(said.topic.max_message_bytes, LIMIT_TOPIC_MESSAGE_BYTES);
}
END_TEST

START_TEST(topics_that_are_hidden_from_the_consumer_are_described_too)
{
    mock.commands[0] = "^comm.*"; /* a pattern hides own topics from the consumer */
    mock.reply_topics[0] = "^reply.*";
    mock.settings.reply_topic_count = 1;
    ck_assert(!rd_kafka_mock_topic_create(mock.cluster, "reply.a", 3, 1));
    open_ready();
    look_up("results");
    ck_assert(!said.topic.unavailable && said.topic.exists && said.topic.writable);
    look_up("reply.a");
    ck_assert(!said.topic.unavailable && said.topic.exists && said.topic.writable);
    ck_assert_int_eq(said.topic.partitions, 3);
}
END_TEST

START_TEST(a_missing_topic_is_known_as_such_and_not_made)
{
    open_ready();
    rd_kafka_mock_topic_set_error(mock.cluster, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    look_up("gone");
    ck_assert(!said.topic.unavailable && !said.topic.exists && !said.topic.writable);
}
END_TEST

START_TEST(a_forbidden_topic_is_not_writable)
{
    open_ready();
    rd_kafka_mock_topic_set_error(mock.cluster, "secret",
                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    look_up("secret");
    ck_assert(!said.topic.unavailable && said.topic.exists && !said.topic.writable);
}
END_TEST

START_TEST(what_cannot_be_a_topic_is_not_asked_for)
{
    open_ready();
    char name[251];
    memset(name, 'a', 250);
    name[250] = '\0';
    const char *const names[] = {"", "a b", "a,b", "a\nb", name};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        look_up(names[i]);
        ck_assert(!said.topic.unavailable && !said.topic.exists);
    }
}
END_TEST

static void tick(void *context)
{
    struct loop_timer **timer = context;
    loop_timer_set(*timer, loop_mono_ms() + 5);
}

START_TEST(busy_is_told_while_a_call_is_out)
{
    struct error err;
    struct loop_timer *ticks; /* makes the loop look again */
    ticks = loop_timer_new(mock.loop, tick, &ticks, &err);
    loop_timer_set(ticks, loop_mono_ms());
    open_ready();
    RUN_UNTIL(sink_busy_ms(sink) == 0);
    rd_kafka_mock_broker_set_rtt(mock.cluster, 1, 200);
    struct batch *batch = batch_of(2, "m");
    sink_commit(sink, batch);
    RUN_UNTIL(sink_busy_ms(sink) > 50);
    RUN_UNTIL(said.receipts == 1);
    RUN_UNTIL(sink_busy_ms(sink) == 0);
    batch_free(batch);
    loop_timer_free(ticks);
}
END_TEST

START_TEST(a_call_that_does_not_end_is_left_behind)
{
    open_ready();
    rd_kafka_mock_broker_set_rtt(mock.cluster, 1, 3000);
    static struct batch *batch;
    batch = batch_of(2, "m");
    sink_commit(sink, batch);
    while (sink_busy_ms(sink) == 0)
        sched_yield();
    ck_assert(!sink_free(sink, 10));
    _Exit(0); /* as the process does, too */
}
END_TEST

/* Another cluster under the configured address: new clients find it, the old ones only theirs. */
START_TEST(the_producers_traffic_is_told)
{
    mock_property("statistics.interval.ms", "50");
    open_ready();
    add_text("results", "one");
    commit(1, "m", RECEIPT_COMMITTED);
    RUN_UNTIL(sink_traffic(sink)->requests > 0 && sink_traffic(sink)->round_trips > 0);
    ck_assert_uint_gt(sink_traffic(sink)->sent_bytes, 0);
    ck_assert_uint_gt(sink_traffic(sink)->received_bytes, 0);
}
END_TEST

START_TEST(clients_that_lost_their_brokers_are_told)
{
    open_ready();
    rd_kafka_mock_cluster_t *other = rd_kafka_mock_cluster_new(mock.rk, 1);
    rd_kafka_mock_broker_set_down(mock.cluster, 1);
    sink->own.bootstrap_servers = rd_kafka_mock_cluster_bootstraps(other);
    sink->lost_limit_ms = 0;
    sink->check_at_ms = 1;
    RUN_UNTIL(said.problem.kind != ERROR_NONE);
    ck_assert_int_eq(said.problem.kind, ERROR_FATAL);
    ck_assert_ptr_nonnull(strstr(said.problem.message, "finds no broker any more"));
    rd_kafka_mock_cluster_destroy(other);
}
END_TEST

START_TEST(clients_without_brokers_wait_while_nobody_finds_any)
{
    open_ready();
    rd_kafka_mock_broker_set_down(mock.cluster, 1);
    sink->lost_limit_ms = 0;
    sink->check_at_ms = 1;
    RUN_UNTIL(sink->check_at_ms > 1);
    ck_assert_int_eq(said.problem.kind, ERROR_NONE);
    rd_kafka_mock_broker_set_up(mock.cluster, 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_producer_that_is_refused_at_first_starts_later,
        a_sink_may_be_freed_with_work_to_do,
        a_sink_without_brokers_can_be_freed,
        the_producers_traffic_is_told,
        clients_that_lost_their_brokers_are_told,
        clients_without_brokers_wait_while_nobody_finds_any,
        nothing_committed_reads_as_the_earliest_offset,
        no_partitions_have_no_positions,
        positions_that_cannot_be_read_yet_are_asked_again_behind_other_jobs,
        a_topic_is_described,
        topics_that_are_hidden_from_the_consumer_are_described_too,
        a_missing_topic_is_known_as_such_and_not_made,
        a_forbidden_topic_is_not_writable,
        what_cannot_be_a_topic_is_not_asked_for,
        busy_is_told_while_a_call_is_out,
        a_call_that_does_not_end_is_left_behind,
    };
    return harness_run("sink", tests, sizeof(tests) / sizeof(tests[0]));
}
