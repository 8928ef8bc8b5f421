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
    json_setup();
    TCase *tests = tcase_create("verdicts");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, hold_longer_than_the_retries_ends_them_at_once);
    tcase_add_test(tests, hold_within_the_time_for_retries_is_waited_out);
    tcase_add_test(tests, settling_ends_at_the_accounts_limit);
    tcase_add_test(tests, settling_ends_at_the_accounts_limit_though_old_age_is_far);
    tcase_add_test(tests, deadline_of_a_settling_command_replaces_the_accounts_limit);
    return unit_run("verdicts", tests);
}
