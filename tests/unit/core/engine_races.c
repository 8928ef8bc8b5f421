/* Conversations in which two things happen at once: found by tests/simulation, told here in few
 * words. */
#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

static struct position position_of_batch(char *metadata, size_t size)
{
    snprintf(metadata, size, "%.*s", SLICE_ARG(batch->positions[0].metadata));
    return (struct position){.at = {"cmd", 0},
                             .offset = batch->positions[0].offset,
                             .end = OFFSET_NONE,
                             .metadata = slice_of_string(metadata)};
}

START_TEST(positions_of_a_new_partition_are_not_taken_for_those_read_back)
{
    char metadata[5000];
    struct topic_partition other = {"cmd", 1};
    struct position fresh = {.at = other, .fresh = true, .end = OFFSET_NONE};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    struct position committed = position_of_batch(metadata, sizeof metadata);
    receipt(RECEIPT_UNKNOWN);
    engine_assigned(engine, now, &other, 1);
    engine_recovered(engine, now, NULL);
    positions_asked = 0;
    engine_positions(engine, now, &fresh, 1, NULL);
    ck_assert_uint_eq(positions_asked, 1); /* now those of the batch */
    ck_assert_uint_eq(result_count, 0);
    engine_positions(engine, now, &committed, 1, NULL);
    hear_no_result(); /* it had committed: published again it would be there twice */
}
END_TEST

START_TEST(positions_read_for_a_former_assignment_are_not_used)
{
    struct topic_partition other = {"cmd", 1};
    struct position old = {.at = other, .offset = 0, .fresh = true, .end = OFFSET_NONE};
    engine_assigned(engine, now, &other, 1);
    engine_revoked(engine, now, &other, 1, true);
    assigned = false;
    engine_assigned(engine, now, &other, 1);
    positions_asked = 0;
    engine_positions(engine, now, &old, 1, NULL);
    ck_assert(!assigned);
    ck_assert_uint_eq(positions_asked, 1);
    engine_positions(engine, now, &old, 1, NULL);
    ck_assert(assigned);
    commit_all();
}
END_TEST

START_TEST(late_timer_lets_no_cancel_start_after_its_deadline)
{
    /* 1700000000 is 2023-11-14T22:13:20Z */
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", "\"expiresAt\":\"2023-11-14T22:13:25Z\"");
    uint64_t first = hear_call("cancel a");
    now.mono_ms += 5000; /* nobody ticked */
    now.wall_ms += 5000;
    answer_call(first, "c");
    hear_no_call();
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "expired", "unknown");
}
END_TEST

START_TEST(wall_clock_that_is_set_counts)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", "\"expiresAt\":\"2023-11-14T22:13:25Z\"");
    say("k", "c-3", "cancel", "{\"id\":\"c\"}", "\"expiresAt\":\"2023-11-14T22:13:25Z\"");
    now.wall_ms -= 60000;
    later(30000);
    answer_call(hear_call("cancel a"), "c");
    uint64_t second = hear_call("cancel b"); /* set back: there is time */
    now.wall_ms += 60000;
    answer_call(second, "c");
    hear_no_call();
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
    hear_result("c-3", "expired", "unknown");
}
END_TEST

START_TEST(drain_waits_for_a_result_whose_topic_is_being_asked_about)
{
    struct header header = {SLICE("kafka_replyTopic"), SLICE("reply.a")};
    struct record record = {
        .topic = "cmd",
        .timestamp_ms = now.wall_ms,
        .value = slice_of_string("{\"id\":\"c-1\",\"operation\":\"status\",\"provider\":\"fake\","
                                 "\"task\":{\"id\":\"a\"}}"),
        .headers = &header,
        .header_count = 1};
    engine_record(engine, now, &record);
    answer_call(hear_call("status a"), "r");
    engine_drain(engine, now);
    ck_assert_ptr_null(batch);
    ck_assert(!engine_drained(engine));
    hear_result("c-1", "succeeded", "running");
    ck_assert(engine_drained(engine));
}
END_TEST

START_TEST(lost_partition_leaves_no_bytes_behind)
{
    struct topic_partition at = {"cmd", 0};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    ck_assert_uint_ne(engine_metrics(engine)->bytes_in_flight, 0);
    engine_revoked(engine, now, &at, 1, true);
    ck_assert_uint_eq(engine_metrics(engine)->bytes_in_flight, 0);
}
END_TEST

START_TEST(blocked_worker_that_loses_its_partitions_sees_the_topic_come_back)
{
    const char *reason;
    struct topic_partition at = {"cmd", 0};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    ck_assert_ptr_nonnull(batch);
    batch->message_errors[0] = DELIVERY_NO_TOPIC;
    receipt(RECEIPT_ABORTED);
    ck_assert_int_eq(engine_health(engine, &reason), ENGINE_BLOCKED);
    engine_revoked(engine, now, &at, 1, true);
    later(30000);
    ck_assert_int_eq(engine_health(engine, &reason), ENGINE_READY);
}
END_TEST

START_TEST(partition_that_comes_after_the_drains_time_does_not_hold_it_up)
{
    struct topic_partition other = {"cmd", 1};
    struct position fresh = {.at = other, .fresh = true, .end = OFFSET_NONE};
    engine_assigned(engine, now, &other, 1);
    engine_drain(engine, now);
    later(60000);
    engine_positions(engine, now, &fresh, 1, NULL);
    for (int i = 0; i < 60; i++) { /* the group has moved on: no commit is taken any more */
        if (batch)
            receipt(RECEIPT_ABORTED);
        later(1000);
    }
    ck_assert(engine_drained(engine));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("engine_races");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, positions_of_a_new_partition_are_not_taken_for_those_read_back);
    tcase_add_test(tests, positions_read_for_a_former_assignment_are_not_used);
    tcase_add_test(tests, late_timer_lets_no_cancel_start_after_its_deadline);
    tcase_add_test(tests, wall_clock_that_is_set_counts);
    tcase_add_test(tests, drain_waits_for_a_result_whose_topic_is_being_asked_about);
    tcase_add_test(tests, lost_partition_leaves_no_bytes_behind);
    tcase_add_test(tests, blocked_worker_that_loses_its_partitions_sees_the_topic_come_back);
    tcase_add_test(tests, partition_that_comes_after_the_drains_time_does_not_hold_it_up);
    return unit_run("engine_races", tests);
}
