#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

/* ---- the plain way --------------------------------------------------------------------------- */

START_TEST(cancel_is_called_once_and_answered_once)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":1"));
    hear_no_call();
    hear_no_result();
    ck_assert_int_eq(committed_offset, 1);
}
END_TEST

START_TEST(status_is_succeeded_whatever_the_state)
{
    say("k", "c-1", "status", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("status a"), "s");
    hear_result("c-1", "succeeded", "succeeded");
    say("k", "c-2", "status", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("status a"), "n");
    hear_result("c-2", "refused", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"not_found\""));
}
END_TEST

START_TEST(ended_task_is_not_cancellable)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "e");
    hear_result("c-1", "refused", "succeeded");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"not_cancellable\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"code\":\"E7\""));
}
END_TEST

START_TEST(list_is_split_into_calls_and_answered_as_one)
{
    say("k", "c-1", "cancel", "{\"ids\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", NULL);
    uint64_t first = calls[0].id, second = calls[1].id;
    ck_assert_uint_eq(call_count, 2);
    answer_call(second, strchr(calls[1].text, 'd') ? "cn" : "ccc");
    hear_no_result();
    answer_call(first, strchr(calls[0].text, 'd') ? "cn" : "ccc");
    hear_result("c-1", "partial", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"items\":[{\"id\":\"a\""));
}
END_TEST

/* ---- order ----------------------------------------------------------------------------------- */

START_TEST(calls_of_a_key_go_one_after_another)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    say("m", "c-3", "cancel", "{\"id\":\"c\"}", NULL);
    uint64_t first = hear_call("cancel a");
    answer_call(hear_call("cancel c"), "c");
    hear_result("c-3", "succeeded", "cancelling");
    hear_no_call();
    answer_call(first, "c");
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(unkeyed_commands_wait_for_nobody)
{
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    uint64_t first = hear_call("cancel a");
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-2", "succeeded", "cancelling");
    answer_call(first, "c");
    hear_result("c-1", "succeeded", "cancelling");
}
END_TEST

START_TEST(results_of_a_key_keep_their_order_even_when_calls_do_not)
{
    settings.ordering = ORDERING_NONE;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    uint64_t first = hear_call("cancel a");
    answer_call(hear_call("cancel b"), "c");
    hear_no_result();
    answer_call(first, "c");
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(tasks_can_be_the_order)
{
    settings.ordering = ORDERING_TASK;
    say(NULL, "c-1", "cancel", "{\"ids\":[\"a\",\"b\"]}", NULL);
    say(NULL, "c-2", "cancel", "{\"ids\":[\"b\",\"x\"]}", NULL);
    say(NULL, "c-3", "cancel", "{\"id\":\"y\"}", NULL);
    uint64_t first = hear_call("cancel a b");
    answer_call(hear_call("cancel y"), "c");
    hear_no_call();
    answer_call(first, "cc");
    answer_call(hear_call("cancel b x"), "cc");
    hear_result("c-3", "succeeded", "cancelling");
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

/* ---- retries and the truth ------------------------------------------------------------------- */

START_TEST(what_was_not_applied_is_tried_again_until_attempts_are_spent)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    for (int i = 0; i < 4; i++) {
        answer_call(hear_call("cancel a"), "R");
        later(60000);
    }
    hear_no_call();
    hear_result("c-1", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unavailable\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":4"));
}
END_TEST

START_TEST(cancel_of_unknown_fate_is_looked_at_before_it_is_sent_again)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "?");
    later(60000);
    answer_call(hear_call("status a"), "r");
    later(60000);
    answer_call(hear_call("cancel a"), "?");
    later(60000);
    answer_call(hear_call("status a"), "C");
    hear_result("c-1", "succeeded", "cancelled");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":2"));
    ck_assert_ptr_null(strstr(last_result(), "alreadyCancelled"));
}
END_TEST

START_TEST(unknown_fate_that_cannot_be_looked_at_is_said)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "?");
    for (int i = 0; i < 4; i++) {
        later(60000);
        answer_call(hear_call("status a"), "R");
    }
    hear_result("c-1", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unknown_outcome\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":1"));
}
END_TEST

START_TEST(task_that_ended_meanwhile_or_is_not_there_is_the_answer)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "?");
    later(60000);
    answer_call(hear_call("status a"), "s");
    hear_result("c-1", "refused", "succeeded");
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "?");
    later(60000);
    answer_call(hear_call("status a"), "n");
    hear_result("c-2", "refused", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "not_found"));
}
END_TEST

START_TEST(silent_cancel_is_confirmed_once)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\",\"silent\":1}", NULL);
    answer_call(hear_call("cancel a"), "k");
    answer_call(hear_call("status a"), "s");
    hear_result("c-1", "refused", "succeeded");
    say("k", "c-2", "cancel", "{\"id\":\"a\",\"silent\":1}", NULL);
    answer_call(hear_call("cancel a"), "k");
    answer_call(hear_call("status a"), "R");
    hear_result("c-2", "succeeded", "unknown");
    hear_no_call();
}
END_TEST

START_TEST(refusal_that_does_not_say_why_is_read)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "f");
    answer_call(hear_call("status a"), "C");
    hear_result("c-1", "succeeded", "cancelled");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"alreadyCancelled\":true"));
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "f");
    answer_call(hear_call("status a"), "r");
    hear_result("c-2", "refused", "running");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"forbidden\""));
}
END_TEST

START_TEST(items_of_a_list_go_their_own_ways)
{
    say("k", "c-1", "cancel", "{\"ids\":[\"a\",\"b\",\"c\"]}", NULL);
    answer_call(hear_call("cancel a b c"), "cR?");
    later(60000);
    struct said_call *one = &calls[call_count - 2], *two = &calls[call_count - 1];
    struct said_call *retry = one->text[0] == 'c' ? one : two, *look = retry == one ? two : one;
    ck_assert_str_eq(retry->text, "cancel b");
    ck_assert_str_eq(look->text, "status c");
    answer_call(retry->id, "C");
    answer_call(look->id, "s");
    hear_result("c-1", "partial", "cancelling");
}
END_TEST

/* ---- holds ----------------------------------------------------------------------------------- */

START_TEST(retry_after_holds_the_whole_account)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_throttled(hear_call("cancel a"), "7");
    say("m", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    later(6999);
    hear_no_call();
    later(60000);
    answer_call(calls[call_count - 1].id, "c");
    answer_call(calls[call_count - 2].id, "c");
    commit_all();
    ck_assert_uint_eq(result_count, 2);
}
END_TEST

START_TEST(concurrency_of_the_account_is_kept)
{
    account.limits.concurrency = 2;
    conversation_end();
    conversation_start_engine();
    conversation_assign(0, NULL);
    for (int i = 0; i < 5; i++)
        say(NULL, "c", "status", "{\"id\":\"a\"}", NULL);
    ck_assert_uint_eq(call_count, 2);
    answer_call(calls[0].id, "r");
    ck_assert_uint_eq(call_count, 3);
}
END_TEST

/* ---- credentials ----------------------------------------------------------------------------- */

START_TEST(one_sign_in_serves_all_who_wait)
{
    conversation_signs_in();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    uint64_t sign_in = hear_call("sign-in");
    hear_no_call();
    answer_call(sign_in, "ok");
    answer_call(hear_call("cancel a"), "c");
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(expired_credential_is_renewed_once_and_the_same_call_sent_again)
{
    conversation_signs_in();
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a"), "A");
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a"), "A");
    hear_result("c-1", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unauthorized\""));
    hear_no_call();
}
END_TEST

START_TEST(refused_sign_in_answers_who_waits_and_pauses)
{
    conversation_signs_in();
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("sign-in"), "no");
    hear_result("c-1", "failed", "unknown");
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    later(20000);
    hear_no_call();
    later(20000);
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(fixed_credential_that_is_refused_fails)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "A");
    hear_result("c-1", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unauthorized\""));
}
END_TEST

/* ---- deadlines ------------------------------------------------------------------------------- */

START_TEST(expired_already_is_never_called)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"expiresAt\":\"2020-01-01T00:00:00Z\"");
    hear_no_call();
    hear_result("c-1", "expired", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"no\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":0"));
}
END_TEST

START_TEST(deadline_while_waiting_for_the_key)
{
    /* 1700000000 is 2023-11-14T22:13:20Z */
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", "\"expiresAt\":\"2023-11-14T22:13:25Z\"");
    uint64_t first = hear_call("cancel a");
    later(5001);
    answer_call(first, "c");
    hear_no_call();
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "expired", "unknown");
}
END_TEST

START_TEST(deadline_after_an_unknown_fate_gets_one_look)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"expiresAt\":\"2023-11-14T22:13:25Z\"");
    uint64_t call = hear_call("cancel a");
    later(5001);
    answer_call(call, "?");
    later(60000);
    answer_call(hear_call("status a"), "r");
    hear_result("c-1", "expired", "running");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"unknown\""));
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", "\"expiresAt\":\"2023-11-14T22:15:00Z\"");
    answer_call(hear_call("cancel a"), "?");
    later(600000);
    answer_call(hear_call("status a"), "R");
    hear_no_call();
    hear_result("c-2", "expired", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"unknown\""));
}
END_TEST

START_TEST(old_commands_expire_by_their_record_time)
{
    settings.max_age_ms = 1000;
    now.wall_ms -= 5000;
    const char *value =
        "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"fake\",\"task\":{\"id\":\"a\"}}";
    struct record record = {.topic = "cmd",
                            .timestamp_ms = now.wall_ms,
                            .key = slice_of_string("k"),
                            .value = slice_of_string(value)};
    now.wall_ms += 5000;
    engine_record(engine, now, &record);
    hear_no_call();
    hear_result("c-1", "expired", "unknown");
}
END_TEST

/* ---- settling -------------------------------------------------------------------------------- */

START_TEST(settling_command_polls_and_frees_its_key)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"until\":\"settled\"");
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    answer_call(hear_call("cancel b"), "c");
    hear_no_result(); /* the key's results stay in order */
    later(1000);
    answer_call(hear_call("status a"), "c");
    later(2000);
    answer_call(hear_call("status a"), "C");
    hear_result("c-1", "succeeded", "cancelled");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(task_that_ends_by_itself_while_settling_was_not_cancelled)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"until\":\"settled\"");
    answer_call(hear_call("cancel a"), "c");
    later(1000);
    answer_call(hear_call("status a"), "s");
    hear_result("c-1", "refused", "succeeded");
}
END_TEST

START_TEST(settling_ends_at_the_deadline_with_the_state_last_seen)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}",
        "\"until\":\"settled\",\"expiresAt\":\"2023-11-14T22:13:25Z\"");
    answer_call(hear_call("cancel a"), "c");
    later(1000);
    answer_call(hear_call("status a"), "c");
    later(10000);
    hear_no_result(); /* the poll that is out may still tell */
    answer_call(hear_call("status a"), "R");
    hear_result("c-1", "expired", "cancelling");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"yes\""));
}
END_TEST

/* ---- invalid commands ------------------------------------------------------------------------ */

START_TEST(invalid_command_is_dead_lettered_and_answered_when_it_has_an_id)
{
    say_raw("k", "{\"id\":\"c-1\",\"operation\":\"stop\"}");
    say_raw("k", "nonsense");
    say("k", "c-2", "cancel", "{}", NULL);
    commit_all();
    ck_assert_uint_eq(result_count, 5);
    ck_assert_str_eq(result_topics[0], "dead");
    ck_assert_str_eq(result_topics[1], "results");
    ck_assert_ptr_nonnull(strstr(results[1], "\"outcome\":\"invalid\""));
    ck_assert_str_eq(result_topics[2], "dead");
    ck_assert_str_eq(results[2], "nonsense");
    ck_assert_ptr_nonnull(strstr(results[4], "\"commandId\":\"c-2\""));
    ck_assert_int_eq(committed_offset, 3);
}
END_TEST

START_TEST(account_that_does_not_permit_refuses)
{
    account.allow.operations = 1u << OPERATION_STATUS;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    hear_no_call();
    hear_result("c-1", "refused", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"not_permitted\""));
}
END_TEST

START_TEST(account_serves_only_the_command_topics_it_lists)
{
    static const char *others[] = {"other", "cmd-2"}, *both[] = {"other", "cmd"};
    account.allow.topics = others;
    account.allow.topic_count = 2;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    hear_no_call();
    hear_result("c-1", "refused", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"not_permitted\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":0"));
    account.allow.topics = both;
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(denied_address_is_a_final_failure_that_names_the_rule)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_denied(hear_call("cancel a"), "10.0.0.1 is in 10.0.0.0/8");
    hear_no_call();
    hear_result("c-1", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unavailable\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "10.0.0.1 is in 10.0.0.0/8"));
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].denied, 1);
}
END_TEST

START_TEST(sign_in_at_a_denied_address_fails_what_waits_and_is_not_hammered)
{
    conversation_signs_in();
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_denied(hear_call("sign-in"), "10.0.0.1 is in 10.0.0.0/8");
    hear_result("c-1", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unavailable\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "10.0.0.1 is in 10.0.0.0/8"));
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    later(10 * 1000);
    hear_no_call();
}
END_TEST

/* ---- commit, crash, rebalance ---------------------------------------------------------------- */

START_TEST(aborted_results_are_published_again_in_order)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    answer_call(hear_call("cancel b"), "c");
    receipt(RECEIPT_ABORTED);
    later(2000);
    hear_result("c-1", "succeeded", "cancelling");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(commit_of_unknown_fate_is_read_back)
{
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    char metadata[5000];
    struct topic_partition at = {"cmd", 0};
    struct position position = {.at = at, .offset = batch->positions[0].offset, .end = OFFSET_NONE};
    snprintf(metadata, sizeof metadata, "%.*s", SLICE_ARG(batch->positions[0].metadata));
    position.metadata = slice_of_string(metadata);
    receipt(RECEIPT_UNKNOWN);
    ck_assert(recovering);
    engine_recovered(engine, now, NULL);
    engine_positions(engine, now, &position, 1, NULL);
    hear_no_result(); /* it had committed: nothing is published again */
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("cancel b"), "c");
    position = (struct position){
        .at = at, .offset = 1, .end = OFFSET_NONE, .metadata = slice_of_string(metadata)};
    receipt(RECEIPT_UNKNOWN);
    engine_recovered(engine, now, NULL);
    engine_positions(engine, now, &position, 1, NULL);
    hear_result("c-2", "succeeded", "cancelling"); /* it had not */
}
END_TEST

START_TEST(after_a_crash_the_status_is_asked_before_the_cancel)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    hear_call("cancel a");
    conversation_crash();
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("status a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
    hear_no_call();
}
END_TEST

START_TEST(after_a_clean_handover_nothing_is_asked_twice)
{
    struct topic_partition at = {"cmd", 0};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    uint64_t call = hear_call("cancel a");
    engine_revoked(engine, now, &at, 1, false);
    ck_assert(!unassigned);
    answer_call(call, "c");
    commit_all();
    ck_assert(unassigned);
    hear_result("c-1", "succeeded", "cancelling");
    ck_assert_int_eq(committed_offset, 1);
    hear_no_call();
    char metadata[5000];
    snprintf(metadata, sizeof metadata, "%s", committed_metadata);
    conversation_assign(1, metadata);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

/* The first owner crashed behind a cancel. The second saw by the status that it had come, but
 * cannot tell yet: the result of an earlier command of its key is not there. */
START_TEST(what_a_look_has_shown_is_looked_at_again_by_the_next_owner)
{
    struct topic_partition at = {"cmd", 0};
    char metadata[5000];
    conversation_end();
    settings.ordering = ORDERING_TASK;
    settings.window = 3;
    conversation_start_engine();
    conversation_assign(0, NULL);
    say("k", "c-1", "status", "{\"id\":\"z\"}", "\"until\":\"settled\"");
    answer_call(hear_call("status z"), "r");
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    hear_call("cancel a");
    conversation_crash();
    say("k", "c-1", "status", "{\"id\":\"z\"}", "\"until\":\"settled\"");
    answer_call(hear_call("status z"), "r");
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("status a"), "s");
    say("m", "c-3", "status", "{\"id\":\"y\"}", "\"until\":\"settled\""); /* the last suspect */
    answer_call(hear_call("status y"), "r");
    hear_no_result();
    engine_revoked(engine, now, &at, 1, false);
    commit_all();
    ck_assert(unassigned);
    ck_assert_int_eq(committed_offset, 0);
    snprintf(metadata, sizeof metadata, "%s", committed_metadata);
    conversation_assign(0, metadata);
    say("k", "c-1", "status", "{\"id\":\"z\"}", "\"until\":\"settled\"");
    answer_call(hear_call("status z"), "r");
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    hear_call("status a");
}
END_TEST

START_TEST(revocation_does_not_wait_for_ever)
{
    struct topic_partition at = {"cmd", 0};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    ck_assert_uint_eq(call_count, 1);
    engine_revoked(engine, now, &at, 1, false);
    later(2001);
    commit_all();
    ck_assert(unassigned);
    ck_assert(!calls[0].open); /* abandoned */
    ck_assert_int_eq(committed_offset, 0);
}
END_TEST

START_TEST(lost_partition_is_dropped_without_a_commit)
{
    struct topic_partition at = {"cmd", 0};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    ck_assert_ptr_nonnull(batch);
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    engine_revoked(engine, now, &at, 1, true);
    ck_assert(unassigned);
    receipt(RECEIPT_ABORTED);
    later(5000);
    ck_assert_ptr_null(batch);
    ck_assert_uint_eq(engine_metrics(engine)->commands_in_flight, 0);
}
END_TEST

START_TEST(drain_finishes_calls_and_leaves_the_rest)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    uint64_t call = hear_call("cancel a");
    engine_drain(engine, now);
    ck_assert(!engine_drained(engine));
    answer_call(call, "?");
    later(1000);
    answer_call(hear_call("status a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
    hear_no_call();
    ck_assert(engine_drained(engine));
    ck_assert(engine_drain_clean(engine));
}
END_TEST

START_TEST(full_window_pauses_until_an_eighth_of_it_is_free)
{
    for (int i = 0; i < 50; i++)
        say(NULL, "c", "status", "{\"id\":\"a\"}", NULL);
    ck_assert(paused);
    for (size_t i = 0; i < 5; i++)
        answer_call(calls[i].id, "r");
    commit_all();
    later(100);
    commit_all();
    ck_assert(paused);
    answer_call(calls[5].id, "r");
    later(100);
    commit_all();
    ck_assert(!paused);
}
END_TEST

/* ---- replies --------------------------------------------------------------------------------- */

static void say_with_reply(const char *id, const char *topic)
{
    char value[512];
    struct header header = {SLICE("kafka_replyTopic"), slice_of_string(topic)};
    snprintf(
        value, sizeof value,
        "{\"id\":\"%s\",\"operation\":\"status\",\"provider\":\"fake\",\"task\":{\"id\":\"a\"}}",
        id);
    static int64_t offset;
    struct record record = {.topic = "cmd",
                            .offset = offset++,
                            .timestamp_ms = now.wall_ms,
                            .key = slice_of_string("k"),
                            .value = slice_of_string(value),
                            .headers = &header,
                            .header_count = 1};
    engine_record(engine, now, &record);
    answer_call(hear_call("status a"), "r");
    commit_all();
}

START_TEST(reply_goes_where_it_is_asked_if_that_is_allowed_and_there)
{
    say_with_reply("c-1", "reply.a");
    ck_assert_str_eq(result_topics[0], "reply.a");
    say_with_reply("c-2", "elsewhere");
    ck_assert_str_eq(result_topics[1], "results");
    topic_exists = false;
    say_with_reply("c-3", "reply.b");
    ck_assert_str_eq(result_topics[2], "results");
    ck_assert_uint_eq(engine_metrics(engine)->reply_rejected, 2);
    topic_exists = true;
    topic_limit = 100;
    say_with_reply("c-4", "reply.small");
    ck_assert_str_eq(result_topics[3], "results");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("engine");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, cancel_is_called_once_and_answered_once);
    tcase_add_test(tests, status_is_succeeded_whatever_the_state);
    tcase_add_test(tests, ended_task_is_not_cancellable);
    tcase_add_test(tests, list_is_split_into_calls_and_answered_as_one);
    tcase_add_test(tests, calls_of_a_key_go_one_after_another);
    tcase_add_test(tests, unkeyed_commands_wait_for_nobody);
    tcase_add_test(tests, results_of_a_key_keep_their_order_even_when_calls_do_not);
    tcase_add_test(tests, tasks_can_be_the_order);
    tcase_add_test(tests, what_was_not_applied_is_tried_again_until_attempts_are_spent);
    tcase_add_test(tests, cancel_of_unknown_fate_is_looked_at_before_it_is_sent_again);
    tcase_add_test(tests, unknown_fate_that_cannot_be_looked_at_is_said);
    tcase_add_test(tests, task_that_ended_meanwhile_or_is_not_there_is_the_answer);
    tcase_add_test(tests, silent_cancel_is_confirmed_once);
    tcase_add_test(tests, refusal_that_does_not_say_why_is_read);
    tcase_add_test(tests, items_of_a_list_go_their_own_ways);
    tcase_add_test(tests, retry_after_holds_the_whole_account);
    tcase_add_test(tests, concurrency_of_the_account_is_kept);
    tcase_add_test(tests, one_sign_in_serves_all_who_wait);
    tcase_add_test(tests, expired_credential_is_renewed_once_and_the_same_call_sent_again);
    tcase_add_test(tests, refused_sign_in_answers_who_waits_and_pauses);
    tcase_add_test(tests, fixed_credential_that_is_refused_fails);
    tcase_add_test(tests, expired_already_is_never_called);
    tcase_add_test(tests, deadline_while_waiting_for_the_key);
    tcase_add_test(tests, deadline_after_an_unknown_fate_gets_one_look);
    tcase_add_test(tests, old_commands_expire_by_their_record_time);
    tcase_add_test(tests, settling_command_polls_and_frees_its_key);
    tcase_add_test(tests, task_that_ends_by_itself_while_settling_was_not_cancelled);
    tcase_add_test(tests, settling_ends_at_the_deadline_with_the_state_last_seen);
    tcase_add_test(tests, invalid_command_is_dead_lettered_and_answered_when_it_has_an_id);
    tcase_add_test(tests, account_that_does_not_permit_refuses);
    tcase_add_test(tests, account_serves_only_the_command_topics_it_lists);
    tcase_add_test(tests, denied_address_is_a_final_failure_that_names_the_rule);
    tcase_add_test(tests, sign_in_at_a_denied_address_fails_what_waits_and_is_not_hammered);
    tcase_add_test(tests, aborted_results_are_published_again_in_order);
    tcase_add_test(tests, commit_of_unknown_fate_is_read_back);
    tcase_add_test(tests, after_a_crash_the_status_is_asked_before_the_cancel);
    tcase_add_test(tests, after_a_clean_handover_nothing_is_asked_twice);
    tcase_add_test(tests, what_a_look_has_shown_is_looked_at_again_by_the_next_owner);
    tcase_add_test(tests, revocation_does_not_wait_for_ever);
    tcase_add_test(tests, lost_partition_is_dropped_without_a_commit);
    tcase_add_test(tests, drain_finishes_calls_and_leaves_the_rest);
    tcase_add_test(tests, full_window_pauses_until_an_eighth_of_it_is_free);
    tcase_add_test(tests, reply_goes_where_it_is_asked_if_that_is_allowed_and_there);
    return unit_run("engine", tests);
}
