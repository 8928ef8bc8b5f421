#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

enum { LIMIT_MS = 5000 };

START_TEST(hold_longer_than_the_retries_ends_them_at_once)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_throttled(hear_call("cancel a"), "3600");
    hear_result("c-1", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"throttled\""));
}
END_TEST

START_TEST(hold_within_the_time_for_retries_is_waited_out)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_throttled(hear_call("cancel a"), "120");
    later(119000);
    hear_no_call();
    later(62000);
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
}
END_TEST

static bool last_says(const char *text)
{
    return strstr(last_result(), text) != NULL;
}

START_TEST(task_unknown_when_its_cancel_is_confirmed_is_not_found)
{
    account.confirm = true;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "k");
    answer_call(hear_call("status a"), "n");
    hear_result("c-1", "refused", "unknown");
    ck_assert(last_says("\"kind\":\"not_found\""));
}
END_TEST

START_TEST(no_of_nobody_who_knows_is_looked_at_and_the_cancel_sent_again)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "g");
    answer_call(hear_call("status a"), "r");
    later(60000);
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
}
END_TEST

START_TEST(no_of_nobody_who_knows_is_a_bad_response_in_the_end)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    for (int i = 0; i < 4; i++) {
        answer_call(hear_call("cancel a"), "g");
        answer_call(hear_call("status a"), "r");
        later(60000);
    }
    hear_no_call();
    hear_result("c-1", "failed", "running");
    ck_assert(last_says("\"kind\":\"bad_response\""));
}
END_TEST

/* The provider says that the task had been cancelled - perhaps by the try that was lost. */
static void cancelled_when_tried_again(const char *first, const char *again)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), first);
    later(60000);
    if (first[0] == '?') {
        answer_call(hear_call("status a"), "r");
        later(60000);
    }
    answer_call(hear_call("cancel a"), again);
    if (again[0] == 'f')
        answer_call(hear_call("status a"), "C");
    hear_result("c-1", "succeeded", "cancelled");
}

START_TEST(cancelled_perhaps_by_the_lost_try_is_not_called_already_cancelled)
{
    cancelled_when_tried_again("?", "a");
    ck_assert(!last_says("alreadyCancelled"));
    cancelled_when_tried_again("?", "f");
    ck_assert(!last_says("alreadyCancelled"));
}
END_TEST

START_TEST(cancelled_before_any_try_arrived_is_called_already_cancelled)
{
    cancelled_when_tried_again("R", "a");
    ck_assert(last_says("\"alreadyCancelled\":true"));
    cancelled_when_tried_again("R", "f");
    ck_assert(last_says("\"alreadyCancelled\":true"));
}
END_TEST

START_TEST(cancel_that_was_taken_is_not_refused_because_its_end_may_not_be_seen)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"until\":\"settled\"");
    answer_call(hear_call("cancel a"), "c");
    later(30000);
    answer_call(hear_call("status a"), "f");
    hear_result("c-1", "failed", "cancelling");
    ck_assert(last_says("\"kind\":\"unknown_outcome\""));
}
END_TEST

/* Polls are answered "still cancelling" until none comes. */
static void settle_for(int64_t ms)
{
    int64_t end = now.mono_ms + ms;
    while (now.mono_ms < end) {
        later(100);
        for (size_t i = 0; i < call_count; i++)
            if (calls[i].open)
                answer_call(hear_call("status a"), "c");
    }
}

static void settles_until_the_limit(const char *extra)
{
    account.settle.limit_ms = LIMIT_MS;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", extra);
    answer_call(hear_call("cancel a"), "c");
    settle_for(LIMIT_MS - 500);
    hear_no_result();
}

START_TEST(settling_ends_at_the_accounts_limit)
{
    settles_until_the_limit("\"until\":\"settled\"");
    settle_for(3000);
    hear_result("c-1", "expired", "cancelling");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"yes\""));
}
END_TEST

START_TEST(settling_ends_at_the_accounts_limit_though_old_age_is_far)
{
    settings.max_age_ms = 86400000;
    settles_until_the_limit("\"until\":\"settled\"");
    settle_for(3000);
    hear_result("c-1", "expired", "cancelling");
}
END_TEST

START_TEST(deadline_of_a_settling_command_replaces_the_accounts_limit)
{
    settings.max_age_ms = 86400000;
    settles_until_the_limit("\"until\":\"settled\",\"expiresAt\":\"2023-11-14T22:13:40Z\"");
    settle_for(10000);
    hear_no_result();
    settle_for(8000);
    hear_result("c-1", "expired", "cancelling");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("verdicts");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, hold_longer_than_the_retries_ends_them_at_once);
    tcase_add_test(tests, hold_within_the_time_for_retries_is_waited_out);
    tcase_add_test(tests, settling_ends_at_the_accounts_limit);
    tcase_add_test(tests, settling_ends_at_the_accounts_limit_though_old_age_is_far);
    tcase_add_test(tests, deadline_of_a_settling_command_replaces_the_accounts_limit);
    tcase_add_test(tests, task_unknown_when_its_cancel_is_confirmed_is_not_found);
    tcase_add_test(tests, no_of_nobody_who_knows_is_looked_at_and_the_cancel_sent_again);
    tcase_add_test(tests, no_of_nobody_who_knows_is_a_bad_response_in_the_end);
    tcase_add_test(tests, cancelled_perhaps_by_the_lost_try_is_not_called_already_cancelled);
    tcase_add_test(tests, cancelled_before_any_try_arrived_is_called_already_cancelled);
    tcase_add_test(tests, cancel_that_was_taken_is_not_refused_because_its_end_may_not_be_seen);
    return unit_run("verdicts", tests);
}
