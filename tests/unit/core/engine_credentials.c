/* What becomes of commands while an account's credentials are renewed, refused, held, changed. */
#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

static const struct account_metrics *metrics(void)
{
    return &engine_metrics(engine)->accounts[0];
}

static void hear_unauthorized(const char *id)
{
    hear_result(id, "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unauthorized\""));
}

START_TEST(renewal_goes_on_beside_the_calls)
{
    conversation_signs_in();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
    later(3100 * 1000); /* of the hour that a token lives */
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    uint64_t renewal = hear_call("renew");
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-2", "succeeded", "cancelling");
    answer_call(renewal, "no");
    say(NULL, "c-3", "cancel", "{\"id\":\"c\"}", NULL);
    answer_call(hear_call("cancel c"), "c"); /* refused, but the credential lives on */
    hear_result("c-3", "succeeded", "cancelling");
}
END_TEST

START_TEST(credentials_that_no_call_is_accepted_with_hold_the_account)
{
    conversation_signs_in();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a"), "A");
    uint64_t second = hear_call("cancel b");
    answer_call(hear_call("sign-in"), "ok");
    answer_call(second, "A"); /* with the first credential: it is tried again */
    answer_call(hear_call("cancel a"), "A");
    hear_unauthorized("c-1");
    hear_call("cancel b");
    say(NULL, "c-3", "cancel", "{\"id\":\"c\"}", NULL);
    later(50000);
    hear_no_call();
    ck_assert_uint_eq(metrics()->refusals_in_a_row, 2);
    later(20000);
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel c"), "c");
    hear_result("c-3", "succeeded", "cancelling");
    ck_assert_uint_eq(metrics()->refusals_in_a_row, 0);
}
END_TEST

START_TEST(key_that_signs_calls_is_proved_by_one_call_before_the_others_go)
{
    conversation_signs_calls();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    say(NULL, "c-3", "cancel", "{\"id\":\"c\"}", NULL);
    uint64_t first = hear_call("cancel a");
    hear_no_call();
    answer_call(first, "c");
    answer_call(hear_call("cancel b"), "c");
    answer_call(hear_call("cancel c"), "c");
}
END_TEST

START_TEST(refused_key_answers_who_waits_and_pauses_longer_each_time)
{
    conversation_signs_calls();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("cancel a"), "A");
    hear_unauthorized("c-1");
    hear_unauthorized("c-2");
    say(NULL, "c-3", "cancel", "{\"id\":\"c\"}", NULL);
    later(29000);
    hear_no_call();
    later(2000);
    answer_call(hear_call("cancel c"), "A");
    hear_unauthorized("c-3");
    say(NULL, "c-4", "cancel", "{\"id\":\"d\"}", NULL);
    later(59000);
    hear_no_call();
    later(2000);
    answer_call(hear_call("cancel d"), "c");
    hear_result("c-4", "succeeded", "cancelling");
    ck_assert_uint_eq(metrics()->credentials_refused, 2);
}
END_TEST

START_TEST(nothing_waits_for_a_held_account_longer_than_give_up_after)
{
    account.retry.give_up_after_ms = 10000;
    conversation_signs_calls();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "A");
    hear_unauthorized("c-1");
    later(1000);
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    later(9000);
    hear_no_result();
    later(1500);
    hear_unauthorized("c-2");
    hear_no_call();
}
END_TEST

START_TEST(changed_secrets_end_the_hold_at_once)
{
    conversation_signs_calls();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "A");
    hear_unauthorized("c-1");
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    hear_no_call();
    engine_credentials_changed(engine, now, 0);
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(secret_that_makes_no_request_holds_the_account_until_it_changes)
{
    conversation_signs_in();
    bad_secret = true;
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    hear_no_call();
    hear_unauthorized("c-1");
    ck_assert_ptr_nonnull(strstr(last_result(), "auth.secret: expected a secret"));
    ck_assert_uint_eq(metrics()->refusals_in_a_row, 1);
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    bad_secret = false;
    engine_credentials_changed(engine, now, 0);
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-2", "succeeded", "cancelling");
}
END_TEST

START_TEST(one_refused_call_of_a_fixed_token_holds_nobody)
{
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "A");
    hear_unauthorized("c-1");
    say(NULL, "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("cancel b"), "c");
    hear_result("c-2", "succeeded", "cancelling");
    ck_assert_uint_eq(metrics()->refusals_in_a_row, 0);
}
END_TEST

START_TEST(refusal_with_a_clock_that_is_off_names_the_clock)
{
    conversation_signs_calls();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_dated(hear_call("cancel a"), "A", "Sun, 06 Nov 1994 08:49:37 GMT");
    hear_unauthorized("c-1");
    ck_assert_ptr_nonnull(strstr(last_result(), "the worker's clock is "));
    ck_assert_ptr_nonnull(strstr(last_result(), " s ahead of the provider's: "));
    ck_assert_uint_eq(metrics()->clock_refusals, 1);
    ck_assert_int_gt(metrics()->clock_skew_ms, 0);
}
END_TEST

START_TEST(refusal_without_a_clock_that_is_off_does_not)
{
    conversation_signs_calls();
    say(NULL, "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "A");
    hear_unauthorized("c-1");
    ck_assert_ptr_null(strstr(last_result(), "clock"));
    ck_assert_uint_eq(metrics()->clock_refusals, 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("engine_credentials");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, renewal_goes_on_beside_the_calls);
    tcase_add_test(tests, credentials_that_no_call_is_accepted_with_hold_the_account);
    tcase_add_test(tests, key_that_signs_calls_is_proved_by_one_call_before_the_others_go);
    tcase_add_test(tests, refused_key_answers_who_waits_and_pauses_longer_each_time);
    tcase_add_test(tests, nothing_waits_for_a_held_account_longer_than_give_up_after);
    tcase_add_test(tests, changed_secrets_end_the_hold_at_once);
    tcase_add_test(tests, secret_that_makes_no_request_holds_the_account_until_it_changes);
    tcase_add_test(tests, one_refused_call_of_a_fixed_token_holds_nobody);
    tcase_add_test(tests, refusal_with_a_clock_that_is_off_names_the_clock);
    tcase_add_test(tests, refusal_without_a_clock_that_is_off_does_not);
    return unit_run("engine_credentials", tests);
}
