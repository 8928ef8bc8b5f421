/* The rows of the policy in worker/core/retry.h: what is tried again, when, and what it ends as. */
#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

enum { HIGH_MS = 30000, GIVE_UP_MS = 300000, TIMEOUT_MS = 10000 };

static void cancel(const char *extra)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", extra);
}

static void hear_end(const char *outcome, const char *state, const char *kind)
{
    char text[64];
    hear_result("c-1", outcome, state);
    snprintf(text, sizeof text, "\"kind\":\"%s\"", kind);
    ck_assert_msg(strstr(last_result(), text) != NULL, "%s in %s", text, last_result());
    hear_no_call();
}

/* How long until there is a call, ms; it must come within `most`. */
static int64_t pause_until_call(int64_t most)
{
    int64_t begin = now.mono_ms;
    for (;;) {
        for (size_t i = 0; i < call_count; i++)
            if (calls[i].open)
                return now.mono_ms - begin;
        ck_assert_int_lt(now.mono_ms - begin, most);
        later(10);
    }
}

/* ---- what is tried again, and when ----------------------------------------------------------- */

START_TEST(nothing_sent_is_sent_again_after_a_backoff_and_not_looked_at)
{
    cancel(NULL);
    for (int i = 0; i < 4; i++) {
        pause_until_call(HIGH_MS);
        answer_call(hear_call("cancel a"), "R");
    }
    later(GIVE_UP_MS);
    hear_end("failed", "unknown", "unavailable");
}
END_TEST

START_TEST(throttled_account_holds_every_command)
{
    cancel(NULL);
    answer_throttled(hear_call("cancel a"), "7");
    say("m", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    hear_no_call();
    int64_t held = pause_until_call(8000);
    ck_assert_int_ge(held, 7000);
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

static uint64_t hear_any_call(void)
{
    for (size_t i = 0; i < call_count; i++) {
        if (!calls[i].open)
            continue;
        calls[i].open = false;
        return calls[i].id;
    }
    ck_abort_msg("no call");
}

START_TEST(throttled_without_a_word_of_how_long_holds_the_account_longer_each_time)
{
    account.retry.attempts = 1000;
    cancel(NULL);
    say("m", "c-2", "status", "{\"id\":\"b\"}", NULL);
    say("n", "c-3", "status", "{\"id\":\"c\"}", NULL);
    for (int i = 0; i < 3; i++) /* they went out together: one hold */
        answer_call(hear_any_call(), "T");
    for (int64_t whole = account.retry.backoff_low_ms; whole < 4000; whole *= 2) {
        int64_t held = pause_until_call(2 * HIGH_MS);
        ck_assert_int_ge(held, whole / 2 - 10);
        answer_call(hear_any_call(), "T");
        for (size_t i = 0; i < call_count; i++)
            if (calls[i].open)
                answer_call(hear_any_call(), "T");
    }
}
END_TEST

START_TEST(credential_that_is_not_accepted_is_renewed_once_at_once)
{
    conversation_signs_in();
    cancel(NULL);
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a"), "A");
    ck_assert_int_eq(pause_until_call(HIGH_MS), 0);
    answer_call(hear_call("sign-in"), "ok");
    ck_assert_int_eq(pause_until_call(HIGH_MS), 0);
    answer_call(hear_call("cancel a"), "A");
    hear_end("failed", "unknown", "unauthorized");
}
END_TEST

START_TEST(status_that_fails_is_asked_again_after_a_backoff)
{
    say("k", "c-1", "status", "{\"id\":\"a\"}", NULL);
    for (int i = 0; i < 4; i++) {
        pause_until_call(HIGH_MS);
        answer_call(hear_call("status a"), i % 2 ? "R" : "?");
    }
    later(GIVE_UP_MS);
    hear_end("failed", "unknown", "unavailable");
}
END_TEST

START_TEST(cancel_of_unknown_fate_is_never_looked_at_at_once)
{
    cancel(NULL);
    answer_call(hear_call("cancel a"), "?");
    hear_no_call();
    ck_assert_int_ge(pause_until_call(HIGH_MS), account.retry.backoff_low_ms / 2 - 10);
    for (int i = 0; i < 4; i++) {
        pause_until_call(HIGH_MS);
        answer_call(hear_call("status a"), "R");
    }
    later(GIVE_UP_MS);
    hear_end("failed", "unknown", "unknown_outcome");
}
END_TEST

START_TEST(no_that_leaves_open_why_is_looked_at_at_once)
{
    cancel(NULL);
    answer_call(hear_call("cancel a"), "f");
    ck_assert_int_eq(pause_until_call(HIGH_MS), 0);
    answer_call(hear_call("status a"), "R");
    hear_no_call();
    pause_until_call(HIGH_MS);
    answer_call(hear_call("status a"), "r");
    hear_end("refused", "running", "forbidden");
}
END_TEST

START_TEST(no_of_nobody_who_knows_is_tried_again_after_a_backoff)
{
    cancel(NULL);
    answer_call(hear_call("cancel a"), "g");
    ck_assert_int_eq(pause_until_call(HIGH_MS), 0);
    answer_call(hear_call("status a"), "r");
    pause_until_call(HIGH_MS);
    answer_call(hear_call("cancel a"), "g");
    for (int i = 0; i < 4; i++) {
        pause_until_call(HIGH_MS);
        answer_call(hear_call("status a"), "R");
    }
    hear_end("failed", "running", "bad_response");
}
END_TEST

START_TEST(cancel_that_does_not_tell_the_state_is_looked_at_once)
{
    account.confirm = true;
    cancel(NULL);
    answer_call(hear_call("cancel a"), "k");
    ck_assert_int_eq(pause_until_call(HIGH_MS), 0);
    answer_call(hear_call("status a"), "R");
    hear_result("c-1", "succeeded", "unknown");
    later(GIVE_UP_MS);
    hear_no_call();
}
END_TEST

START_TEST(final_no_and_lasting_failure_are_not_tried_again)
{
    cancel(NULL);
    answer_call(hear_call("cancel a"), "e");
    hear_end("refused", "succeeded", "not_cancellable");
    cancel(NULL);
    answer_call(hear_call("cancel a"), "x");
    hear_end("failed", "unknown", "bad_response");
    later(GIVE_UP_MS);
    hear_no_call();
}
END_TEST

/* ---- until when ------------------------------------------------------------------------------ */

START_TEST(time_to_give_up_ends_the_tries_before_their_number)
{
    int64_t begin = now.mono_ms, last = begin;
    account.retry.attempts = 1000;
    cancel(NULL);
    while (now.mono_ms - begin < GIVE_UP_MS + 2 * HIGH_MS) {
        for (size_t i = 0; i < call_count; i++) {
            if (!calls[i].open)
                continue;
            answer_call(hear_call("cancel a"), "R");
            last = now.mono_ms;
        }
        later(100);
    }
    hear_end("failed", "unknown", "unavailable");
    ck_assert_int_le(last - begin, GIVE_UP_MS);
    ck_assert_int_ge(last - begin, GIVE_UP_MS - HIGH_MS);
}
END_TEST

START_TEST(hold_that_outlasts_the_tries_ends_them_at_once)
{
    cancel(NULL);
    answer_throttled(hear_call("cancel a"), "301");
    hear_end("failed", "unknown", "throttled");
}
END_TEST

/* Another command's answer holds the account for an hour. */
static void hold_for_an_hour(void)
{
    say("m", "c-2", "status", "{\"id\":\"b\"}", NULL);
    answer_throttled(hear_call("status b"), "3600");
    hear_result("c-2", "failed", "unknown");
}

START_TEST(confirmation_is_given_up_when_a_hold_outlasts_it)
{
    account.confirm = true;
    cancel(NULL);
    uint64_t call = hear_call("cancel a");
    hold_for_an_hour();
    answer_call(call, "k");
    later(10);
    hear_result("c-1", "succeeded", "unknown");
}
END_TEST

START_TEST(fate_is_unknown_when_a_hold_outlasts_the_look)
{
    cancel(NULL);
    uint64_t call = hear_call("cancel a");
    hold_for_an_hour();
    answer_call(call, "?");
    later(HIGH_MS);
    hear_end("failed", "unknown", "unknown_outcome");
}
END_TEST

START_TEST(hold_that_comes_while_a_try_waits_ends_it_in_time)
{
    cancel(NULL);
    answer_call(hear_call("cancel a"), "R");
    hold_for_an_hour();
    later(GIVE_UP_MS + TIMEOUT_MS);
    hear_end("failed", "unknown", "unavailable");
}
END_TEST

START_TEST(command_that_was_never_tried_waits_a_hold_out)
{
    hold_for_an_hour();
    cancel(NULL);
    later(3599 * 1000);
    hear_no_call();
    hear_no_result();
    later(2000);
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
}
END_TEST

START_TEST(deadline_ends_a_command_that_waits_a_hold_out)
{
    hold_for_an_hour();
    cancel("\"expiresAt\":\"2023-11-14T22:13:40Z\"");
    later(20000);
    hear_end("expired", "unknown", "expired");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"no\""));
}
END_TEST

/* The command again, at a worker that comes after one that was killed when it had called; its
 * record is so old. */
static void cancel_after_a_crash(int64_t age_ms, const char *extra)
{
    cancel(extra);
    hear_call("cancel a");
    conversation_crash();
    record_age_ms = age_ms;
    cancel(extra);
}

/* Looks fail until no more come; how long that took, ms. */
static int64_t look_until_given_up(void)
{
    int64_t begin = now.mono_ms, last = begin;
    while (now.mono_ms - last < 2 * HIGH_MS) {
        for (size_t i = 0; i < call_count; i++) {
            if (!calls[i].open)
                continue;
            answer_call(hear_call("status a"), "R");
            last = now.mono_ms;
        }
        later(100);
    }
    hear_end("failed", "unknown", "unknown_outcome");
    return last - begin;
}

START_TEST(time_to_give_up_goes_on_across_a_crash)
{
    account.retry.attempts = 1000;
    cancel_after_a_crash(GIVE_UP_MS - 60000, NULL);
    int64_t looked = look_until_given_up();
    ck_assert_int_ge(looked, 60000 - HIGH_MS);
    ck_assert_int_le(looked, 60000 + HIGH_MS);
}
END_TEST

START_TEST(old_record_leaves_a_calls_time_after_a_crash)
{
    account.retry.attempts = 1000;
    account.retry.backoff_high_ms = 1000;
    cancel_after_a_crash(10 * GIVE_UP_MS, NULL);
    int64_t looked = look_until_given_up();
    ck_assert_int_ge(looked, TIMEOUT_MS - 1000);
    ck_assert_int_le(looked, TIMEOUT_MS + 1000);
}
END_TEST

START_TEST(cancel_that_a_look_after_a_crash_calls_for_is_tried_however_old)
{
    cancel_after_a_crash(10 * GIVE_UP_MS, NULL);
    later(2 * TIMEOUT_MS);
    answer_call(hear_call("status a"), "r");
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
}
END_TEST

START_TEST(deadline_counts_on_after_a_crash)
{
    cancel_after_a_crash(0, "\"expiresAt\":\"2023-11-14T22:13:40Z\"");
    answer_call(hear_call("status a"), "R");
    later(40000);
    while (call_count > 0 && calls[call_count - 1].open)
        answer_call(hear_call("status a"), "R");
    later(40000);
    hear_end("expired", "unknown", "expired");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"unknown\""));
}
END_TEST

START_TEST(old_age_by_the_records_time_ends_a_command_that_was_begun_before_a_crash)
{
    settings.max_age_ms = 3600 * 1000;
    cancel_after_a_crash(3600 * 1000, NULL);
    answer_call(hear_call("status a"), "r"); /* one look, and no cancel whatever it says */
    hear_end("expired", "running", "expired");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"unknown\""));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("retry_policy");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, nothing_sent_is_sent_again_after_a_backoff_and_not_looked_at);
    tcase_add_test(tests, throttled_account_holds_every_command);
    tcase_add_test(tests, throttled_without_a_word_of_how_long_holds_the_account_longer_each_time);
    tcase_add_test(tests, credential_that_is_not_accepted_is_renewed_once_at_once);
    tcase_add_test(tests, status_that_fails_is_asked_again_after_a_backoff);
    tcase_add_test(tests, cancel_of_unknown_fate_is_never_looked_at_at_once);
    tcase_add_test(tests, no_that_leaves_open_why_is_looked_at_at_once);
    tcase_add_test(tests, no_of_nobody_who_knows_is_tried_again_after_a_backoff);
    tcase_add_test(tests, cancel_that_does_not_tell_the_state_is_looked_at_once);
    tcase_add_test(tests, final_no_and_lasting_failure_are_not_tried_again);
    tcase_add_test(tests, time_to_give_up_ends_the_tries_before_their_number);
    tcase_add_test(tests, hold_that_outlasts_the_tries_ends_them_at_once);
    tcase_add_test(tests, confirmation_is_given_up_when_a_hold_outlasts_it);
    tcase_add_test(tests, fate_is_unknown_when_a_hold_outlasts_the_look);
    tcase_add_test(tests, hold_that_comes_while_a_try_waits_ends_it_in_time);
    tcase_add_test(tests, command_that_was_never_tried_waits_a_hold_out);
    tcase_add_test(tests, deadline_ends_a_command_that_waits_a_hold_out);
    tcase_add_test(tests, time_to_give_up_goes_on_across_a_crash);
    tcase_add_test(tests, old_record_leaves_a_calls_time_after_a_crash);
    tcase_add_test(tests, cancel_that_a_look_after_a_crash_calls_for_is_tried_however_old);
    tcase_add_test(tests, deadline_counts_on_after_a_crash);
    tcase_add_test(tests, old_age_by_the_records_time_ends_a_command_that_was_begun_before_a_crash);
    return unit_run("retry_policy", tests);
}
