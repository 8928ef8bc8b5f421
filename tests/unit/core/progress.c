/* Conversations with commands that want to be told while they settle. */
#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

#define SETTLED "\"until\":\"settled\",\"progress\":true"

static void hear_event(size_t index, const char *state)
{
    char text[64];
    commit_all();
    ck_assert_uint_gt(result_count, index);
    snprintf(text, sizeof text, "\"final\":false,\"state\":\"%s\"", state);
    ck_assert_msg(strstr(results[index], text), "%s", results[index]);
    ck_assert_ptr_null(strstr(results[index], "outcome"));
}

static void hear_final(size_t index, const char *outcome)
{
    char text[64];
    commit_all();
    ck_assert_uint_gt(result_count, index);
    snprintf(text, sizeof text, "\"final\":true,\"outcome\":\"%s\"", outcome);
    ck_assert_msg(strstr(results[index], text), "%s", results[index]);
}

START_TEST(each_state_is_told_once_and_then_the_result_comes)
{
    say("k", "c-1", "status", "{\"id\":\"a\"}", SETTLED);
    answer_call(hear_call("status a"), "w");
    hear_event(0, "waiting");
    ck_assert_ptr_nonnull(strstr(results[0], "\"id\":\"cmd-0-0-waiting\""));
    later(1000);
    answer_call(hear_call("status a"), "w");
    later(2000);
    answer_call(hear_call("status a"), "r");
    hear_event(1, "running");
    later(4000);
    answer_call(hear_call("status a"), "s");
    hear_final(2, "succeeded");
    ck_assert_ptr_nonnull(strstr(results[2], "\"id\":\"cmd-0-0\""));
    ck_assert_uint_eq(result_count, 3);
    ck_assert_int_eq(committed_offset, 1);
}
END_TEST

START_TEST(event_is_not_counted_as_the_answer)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", SETTLED);
    answer_call(hear_call("cancel a"), "c");
    hear_event(0, "cancelling");
    ck_assert_int_eq(committed_offset, 0);
    ck_assert_uint_eq(engine_metrics(engine)->commands_in_flight, 1);
}
END_TEST

START_TEST(who_did_not_ask_is_not_told)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"until\":\"settled\"");
    answer_call(hear_call("cancel a"), "c");
    commit_all();
    ck_assert_uint_eq(result_count, 0);
    say("m", "c-2", "cancel", "{\"id\":\"b\"}", "\"progress\":true");
    answer_call(hear_call("cancel b"), "c");
    hear_final(0, "succeeded");
    ck_assert_uint_eq(result_count, 1);
}
END_TEST

START_TEST(event_that_was_not_published_yet_gives_way_to_the_result)
{
    say("m", "c-0", "cancel", "{\"id\":\"x\"}", NULL);
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", SETTLED);
    answer_call(hear_call("cancel x"), "c");
    ck_assert_ptr_nonnull(batch); /* the event has to wait */
    answer_call(hear_call("cancel a"), "c");
    later(1000);
    answer_call(hear_call("status a"), "C");
    commit_all();
    ck_assert_uint_eq(result_count, 2);
    hear_final(1, "succeeded");
}
END_TEST

START_TEST(list_is_told_of_by_its_least_settled_state)
{
    say("k", "c-1", "status", "{\"ids\":[\"a\",\"b\"]}", SETTLED);
    answer_call(hear_call("status a b"), "rw");
    hear_event(0, "waiting");
    later(1000);
    answer_call(hear_call("status a b"), "sw");
    commit_all();
    ck_assert_uint_eq(result_count, 1);
    later(2000);
    answer_call(hear_call("status b"), "r");
    hear_event(1, "running");
}
END_TEST

START_TEST(event_of_an_aborted_transaction_is_gone_and_the_next_one_comes)
{
    say("k", "c-1", "status", "{\"id\":\"a\"}", SETTLED);
    answer_call(hear_call("status a"), "w");
    ck_assert_ptr_nonnull(batch);
    receipt(RECEIPT_ABORTED);
    later(1000);
    answer_call(hear_call("status a"), "r");
    later(1000);
    hear_event(0, "running");
}
END_TEST

START_TEST(partition_may_go_while_its_event_is_out)
{
    struct topic_partition at = {"cmd", 0};
    say("k", "c-1", "status", "{\"id\":\"a\"}", SETTLED);
    answer_call(hear_call("status a"), "w");
    ck_assert_ptr_nonnull(batch);
    engine_revoked(engine, now, &at, 1, true);
    ck_assert(unassigned);
    commit_all();
    ck_assert_uint_eq(engine_metrics(engine)->bytes_in_flight, 0);
    ck_assert_uint_eq(engine_metrics(engine)->commands_in_flight, 0);
}
END_TEST

START_TEST(progress_that_is_no_boolean_is_invalid)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"progress\":\"yes\"");
    commit_all();
    ck_assert_uint_eq(result_count, 2);
    ck_assert_ptr_nonnull(strstr(results[1], "progress: expected true or false"));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("progress");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, each_state_is_told_once_and_then_the_result_comes);
    tcase_add_test(tests, event_is_not_counted_as_the_answer);
    tcase_add_test(tests, who_did_not_ask_is_not_told);
    tcase_add_test(tests, event_that_was_not_published_yet_gives_way_to_the_result);
    tcase_add_test(tests, list_is_told_of_by_its_least_settled_state);
    tcase_add_test(tests, event_of_an_aborted_transaction_is_gone_and_the_next_one_comes);
    tcase_add_test(tests, partition_may_go_while_its_event_is_out);
    tcase_add_test(tests, progress_that_is_no_boolean_is_invalid);
    return unit_run("progress", tests);
}
