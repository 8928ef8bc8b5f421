/* Conversations in which commands share calls. The account has one slot, so that they gather. */
#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

static void begin(void)
{
    conversation_begin();
    account.limits.concurrency = 1;
    conversation_end();
    conversation_start_engine();
    conversation_assign(0, NULL);
}

static void say_shared(const char *key, const char *id, const char *operation, const char *task)
{
    char text[64];
    snprintf(text, sizeof text, "{\"id\":\"%s\",\"share\":\"s\"}", task);
    say(key, id, operation, text, NULL);
}

/* A call is out and keeps the slot. */
static uint64_t busy(void)
{
    say(NULL, "c-0", "cancel", "{\"id\":\"busy\"}", NULL);
    return hear_call("cancel busy");
}

static void hear_busy(void)
{
    hear_result("c-0", "succeeded", "cancelling");
}

START_TEST(lone_command_goes_at_once)
{
    say_shared(NULL, "c-1", "cancel", "a");
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
}
END_TEST

START_TEST(waiting_commands_share_a_call_and_each_gets_its_own_answer)
{
    uint64_t first = busy();
    say_shared("k", "c-1", "cancel", "a");
    say_shared("m", "c-2", "cancel", "b");
    say_shared(NULL, "c-3", "cancel", "c");
    hear_no_call();
    answer_call(first, "c");
    answer_call(hear_call("cancel a b c"), "cen");
    hear_busy();
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "refused", "succeeded");
    hear_result("c-3", "refused", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"not_found\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":1"));
    hear_no_call();
}
END_TEST

START_TEST(call_takes_no_more_ids_than_the_provider_or_the_account_allow)
{
    uint64_t first = busy();
    for (const char *id = "abcdefg"; *id; id++) {
        char text[2] = {*id, '\0'};
        say_shared(NULL, text, "cancel", text);
    }
    answer_call(first, "c");
    answer_call(hear_call("cancel a b c"), "ccc");
    answer_call(hear_call("cancel d e f"), "ccc");
    answer_call(hear_call("cancel g"), "c");
    account.limits.batch = 2;
    first = busy();
    for (const char *id = "abc"; *id; id++) {
        char text[2] = {*id, '\0'};
        say_shared(NULL, text, "cancel", text);
    }
    answer_call(first, "c");
    answer_call(hear_call("cancel a b"), "cc");
    answer_call(hear_call("cancel c"), "c");
}
END_TEST

START_TEST(same_task_asked_several_times_is_one_id_and_many_results)
{
    uint64_t first = busy();
    for (int i = 0; i < 5; i++)
        say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "cancel", "b");
    answer_call(first, "c");
    answer_call(hear_call("cancel a b"), "cccccn");
    hear_busy();
    for (int i = 0; i < 5; i++) {
        hear_result("c-1", "succeeded", "cancelling");
        ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":1"));
    }
    hear_result("c-2", "refused", "unknown");
}
END_TEST

START_TEST(tasks_that_do_not_share_have_calls_of_their_own)
{
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say(NULL, "c-2", "cancel", "{\"id\":\"b\",\"share\":\"other\"}", NULL);
    say_shared(NULL, "c-3", "cancel", "c");
    answer_call(first, "c");
    answer_call(hear_call("cancel a c"), "cc");
    answer_call(hear_call("cancel b"), "c");
}
END_TEST

START_TEST(cancels_and_statuses_never_mix_and_take_turns)
{
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "status", "b");
    say_shared(NULL, "c-3", "cancel", "c");
    say_shared(NULL, "c-4", "status", "d");
    answer_call(first, "c");
    answer_call(hear_call("status b d"), "rr");
    answer_call(hear_call("cancel a c"), "cc");
}
END_TEST

START_TEST(commands_of_a_key_are_never_in_one_call)
{
    uint64_t first = busy();
    say_shared("k", "c-1", "cancel", "a");
    say_shared("k", "c-2", "cancel", "b");
    say_shared("m", "c-3", "cancel", "c");
    answer_call(first, "c");
    answer_call(hear_call("cancel a c"), "cc");
    answer_call(hear_call("cancel b"), "c");
}
END_TEST

START_TEST(looks_after_an_unknown_fate_share_a_call_with_whoever_asks_a_status)
{
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "cancel", "b");
    answer_call(first, "c");
    uint64_t both = hear_call("cancel a b");
    answer_call(both, "??");
    first = busy();
    later(60000); /* both looks are due, and so is a status */
    say_shared(NULL, "c-3", "status", "c");
    answer_call(first, "c");
    answer_call(hear_call("status a b c"), "Crs");
    later(60000);
    answer_call(hear_call("cancel b"), "c");
    hear_busy();
    hear_busy();
    hear_result("c-1", "succeeded", "cancelled");
    hear_result("c-3", "succeeded", "succeeded");
    hear_result("c-2", "succeeded", "cancelling");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":2"));
}
END_TEST

START_TEST(commands_of_a_call_that_failed_come_back_together)
{
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "cancel", "b");
    say_shared(NULL, "c-3", "cancel", "c");
    answer_call(first, "c");
    answer_call(hear_call("cancel a b c"), "RRR");
    later(60000);
    answer_call(hear_call("cancel a b c"), "cRc");
    later(60000);
    answer_call(hear_call("cancel b"), "c");
}
END_TEST

START_TEST(throttled_call_holds_the_account_once)
{
    struct http_response throttled = {.result = HTTP_ANSWERED,
                                      .status = 429,
                                      .body = slice_of_string("TT"),
                                      .retry_after = slice_of_string("7")};
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "cancel", "b");
    answer_call(first, "c");
    engine_response(engine, now, hear_call("cancel a b"), &throttled);
    later(6900);
    hear_no_call();
    later(60000);
    answer_call(hear_call("cancel a b"), "cc");
}
END_TEST

START_TEST(expired_credential_is_renewed_once_for_all_of_a_call)
{
    account.limits.concurrency = 1;
    conversation_signs_in();
    say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "cancel", "b");
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a b"), "AA");
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a b"), "cc");
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(command_that_is_too_late_does_not_keep_its_companions)
{
    /* 1700000000 is 2023-11-14T22:13:20Z */
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say(NULL, "c-2", "cancel", "{\"id\":\"b\",\"share\":\"s\"}",
        "\"expiresAt\":\"2023-11-14T22:13:25Z\"");
    say_shared(NULL, "c-3", "cancel", "c");
    now.mono_ms += 5000; /* nobody ticked */
    now.wall_ms += 5000;
    answer_call(first, "c");
    answer_call(hear_call("cancel a c"), "cc");
    hear_busy();
    hear_result("c-2", "expired", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"no\""));
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-3", "succeeded", "cancelling");
}
END_TEST

START_TEST(deadline_within_a_shared_call_concerns_its_command_alone)
{
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say(NULL, "c-2", "cancel", "{\"id\":\"b\",\"share\":\"s\"}",
        "\"expiresAt\":\"2023-11-14T22:13:25Z\"");
    answer_call(first, "c");
    uint64_t both = hear_call("cancel a b");
    later(6000);
    answer_call(both, "RR");
    later(60000);
    answer_call(hear_call("cancel a"), "c");
    hear_busy();
    hear_result("c-2", "expired", "unknown");
    hear_result("c-1", "succeeded", "cancelling");
}
END_TEST

START_TEST(shared_answer_is_not_shown_to_others)
{
    uint64_t first = busy();
    json_echo = "{\"of\":\"all\"}";
    say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "cancel", "b");
    answer_call(first, "c");
    hear_busy();
    ck_assert_ptr_nonnull(strstr(last_result(), "\"response\":{\"of\":\"all\"}"));
    answer_call(hear_call("cancel a b"), "cc");
    hear_result("c-1", "succeeded", "cancelling");
    ck_assert_ptr_null(strstr(last_result(), "response"));
    first = busy();
    say_shared(NULL, "c-3", "status", "a");
    say_shared(NULL, "c-4", "status", "a");
    answer_call(first, "c");
    answer_call(hear_call("status a"), "rr");
    hear_result("c-2", "succeeded", "cancelling");
    hear_busy();
    hear_result("c-3", "succeeded", "running");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"response\":{\"of\":\"all\"}"));
}
END_TEST

/* ---- one bad item ---------------------------------------------------------------------------- */

static void three_wait(void)
{
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "cancel", "b");
    say_shared(NULL, "c-3", "cancel", "c");
    answer_call(first, "c");
    hear_busy();
}

START_TEST(bad_item_is_found_by_splitting_and_its_companions_succeed)
{
    account.retry.attempts = 1;
    three_wait();
    answer_call(hear_call("cancel a b c"), "SSS");
    answer_call(hear_call("cancel a"), "c");
    answer_call(hear_call("cancel b"), "f");
    answer_call(hear_call("status b"), "r");
    answer_call(hear_call("cancel c"), "c");
    hear_result("c-1", "succeeded", "cancelling");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":2"));
    hear_result("c-2", "refused", "running");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"forbidden\""));
    hear_result("c-3", "succeeded", "cancelling");
}
END_TEST

START_TEST(refusal_of_the_whole_that_may_have_been_applied_in_part_is_looked_at_first)
{
    account.retry.attempts = 1;
    three_wait();
    answer_call(hear_call("cancel a b c"), "ZZZ");
    answer_call(hear_call("status a"), "C");
    answer_call(hear_call("status b"), "r");
    answer_call(hear_call("cancel b"), "c");
    answer_call(hear_call("status c"), "n");
    hear_result("c-1", "succeeded", "cancelled");
    hear_result("c-2", "succeeded", "cancelling");
    hear_result("c-3", "refused", "unknown");
}
END_TEST

START_TEST(refused_status_of_several_is_asked_apart_too)
{
    uint64_t first = busy();
    say_shared(NULL, "c-1", "status", "a");
    say_shared(NULL, "c-2", "status", "b");
    answer_call(first, "c");
    answer_call(hear_call("status a b"), "ZZ");
    answer_call(hear_call("status a"), "r");
    answer_call(hear_call("status b"), "f");
    hear_busy();
    hear_result("c-1", "succeeded", "running");
    hear_result("c-2", "refused", "unknown");
}
END_TEST

START_TEST(part_of_a_poll_that_is_to_be_asked_apart_is_asked_at_once)
{
    say(NULL, "c-1", "cancel", "{\"ids\":[\"a\",\"b\",\"c\"]}", "\"until\":\"settled\"");
    answer_call(hear_call("cancel a b c"), "ccc");
    later(1000);
    answer_call(hear_call("status a b c"), "CSS");
    answer_call(hear_call("status b"), "C");
    answer_call(hear_call("status c"), "c");
    hear_no_call();
    later(2000);
    answer_call(hear_call("status c"), "C");
    hear_result("c-1", "succeeded", "cancelled");
}
END_TEST

/* ---- partitions that go ---------------------------------------------------------------------- */

/* A second partition, whose records share calls with those of the first. */
static void assign_other(void)
{
    struct topic_partition other = {"cmd", 1};
    struct position fresh = {.at = other, .fresh = true, .end = OFFSET_NONE};
    engine_assigned(engine, now, &other, 1);
    engine_positions(engine, now, &fresh, 1, NULL);
    commit_all();
}

static void say_other(const char *id, const char *task)
{
    char value[256];
    snprintf(value, sizeof value,
             "{\"id\":\"%s\",\"operation\":\"cancel\",\"provider\":\"fake\","
             "\"task\":{\"id\":\"%s\",\"share\":\"s\"}}",
             id, task);
    struct record record = {.topic = "cmd",
                            .partition = 1,
                            .timestamp_ms = now.wall_ms,
                            .value = slice_of_string(value)};
    engine_record(engine, now, &record);
}

static uint64_t share_with_other(void)
{
    assign_other();
    uint64_t first = busy();
    say_shared(NULL, "c-1", "cancel", "a");
    say_other("c-2", "b");
    say_shared(NULL, "c-3", "cancel", "c");
    answer_call(first, "c");
    uint64_t call = hear_call("cancel a b c");
    hear_busy();
    return call;
}

START_TEST(lost_partition_leaves_a_shared_call_and_its_companions_go_on)
{
    struct topic_partition other = {"cmd", 1};
    uint64_t call = share_with_other();
    engine_revoked(engine, now, &other, 1, true);
    ck_assert(unassigned);
    answer_call(call, "ce");
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-3", "refused", "succeeded");
    ck_assert_uint_eq(engine_metrics(engine)->commands_in_flight, 0);
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].calls_in_flight, 0);
}
END_TEST

START_TEST(call_is_abandoned_when_the_last_of_its_partitions_goes)
{
    struct topic_partition both[] = {{"cmd", 0}, {"cmd", 1}};
    share_with_other();
    calls[call_count - 1].open = true;
    engine_revoked(engine, now, both, 2, true);
    ck_assert(unassigned);
    ck_assert(!calls[call_count - 1].open);
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].calls_in_flight, 0);
}
END_TEST

START_TEST(revoked_partition_waits_for_a_shared_call_as_long_as_it_may)
{
    struct topic_partition other = {"cmd", 1};
    uint64_t call = share_with_other();
    engine_revoked(engine, now, &other, 1, false);
    ck_assert(!unassigned);
    later(2000); /* revoke_drain is over */
    commit_all();
    ck_assert(unassigned);
    answer_call(call, "cc");
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-3", "succeeded", "cancelling");
}
END_TEST

START_TEST(drain_answers_all_of_a_shared_call)
{
    uint64_t call = share_with_other();
    say_shared(NULL, "c-4", "cancel", "d");
    engine_drain(engine, now);
    answer_call(call, "ccc");
    hear_no_call();
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
    hear_result("c-3", "succeeded", "cancelling");
    ck_assert(engine_drained(engine));
}
END_TEST

/* ---- linger ---------------------------------------------------------------------------------- */

START_TEST(linger_waits_for_company_and_not_longer)
{
    account.limits.linger_ms = 20;
    say_shared(NULL, "c-1", "cancel", "a");
    later(10);
    say_shared(NULL, "c-2", "cancel", "b");
    hear_no_call();
    later(9);
    hear_no_call();
    later(1);
    answer_call(hear_call("cancel a b"), "cc");
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(linger_ends_when_a_call_is_full)
{
    account.limits.linger_ms = 5000;
    say_shared(NULL, "c-1", "cancel", "a");
    say_shared(NULL, "c-2", "cancel", "b");
    hear_no_call();
    say_shared(NULL, "c-3", "cancel", "c");
    answer_call(hear_call("cancel a b c"), "ccc");
    say(NULL, "c-4", "cancel", "{\"ids\":[\"d\",\"e\",\"f\"]}", NULL);
    answer_call(hear_call("cancel d e f"), "ccc");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("batcher");
    tcase_add_checked_fixture(tests, begin, conversation_end);
    tcase_add_test(tests, lone_command_goes_at_once);
    tcase_add_test(tests, waiting_commands_share_a_call_and_each_gets_its_own_answer);
    tcase_add_test(tests, call_takes_no_more_ids_than_the_provider_or_the_account_allow);
    tcase_add_test(tests, same_task_asked_several_times_is_one_id_and_many_results);
    tcase_add_test(tests, tasks_that_do_not_share_have_calls_of_their_own);
    tcase_add_test(tests, cancels_and_statuses_never_mix_and_take_turns);
    tcase_add_test(tests, commands_of_a_key_are_never_in_one_call);
    tcase_add_test(tests, looks_after_an_unknown_fate_share_a_call_with_whoever_asks_a_status);
    tcase_add_test(tests, commands_of_a_call_that_failed_come_back_together);
    tcase_add_test(tests, throttled_call_holds_the_account_once);
    tcase_add_test(tests, expired_credential_is_renewed_once_for_all_of_a_call);
    tcase_add_test(tests, command_that_is_too_late_does_not_keep_its_companions);
    tcase_add_test(tests, deadline_within_a_shared_call_concerns_its_command_alone);
    tcase_add_test(tests, shared_answer_is_not_shown_to_others);
    tcase_add_test(tests, bad_item_is_found_by_splitting_and_its_companions_succeed);
    tcase_add_test(tests,
                   refusal_of_the_whole_that_may_have_been_applied_in_part_is_looked_at_first);
    tcase_add_test(tests, refused_status_of_several_is_asked_apart_too);
    tcase_add_test(tests, part_of_a_poll_that_is_to_be_asked_apart_is_asked_at_once);
    tcase_add_test(tests, lost_partition_leaves_a_shared_call_and_its_companions_go_on);
    tcase_add_test(tests, call_is_abandoned_when_the_last_of_its_partitions_goes);
    tcase_add_test(tests, revoked_partition_waits_for_a_shared_call_as_long_as_it_may);
    tcase_add_test(tests, drain_answers_all_of_a_shared_call);
    tcase_add_test(tests, linger_waits_for_company_and_not_longer);
    tcase_add_test(tests, linger_ends_when_a_call_is_full);
    return unit_run("batcher", tests);
}
