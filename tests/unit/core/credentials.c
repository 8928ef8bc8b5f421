#include "tests/unit/unit.h"

#include "worker/core/credentials.h"

#include "common/banned.h"

static struct credentials credentials;
static int64_t retry_at;

static struct now at(int64_t ms)
{
    return (struct now){.mono_ms = ms, .wall_ms = 1000000 + ms};
}

static void setup(void)
{
    credentials_init(&credentials, true, false);
}

static void teardown(void)
{
    credentials_release(&credentials);
}

static void sign_in_with(const char *token, int64_t ms, int64_t life_ms)
{
    struct error err;
    int64_t wall_ms;
    struct credential fresh = {.expires_ms = at(ms).wall_ms + life_ms};
    ck_assert_int_eq(secret_set(&fresh.token, slice_of_string(token), &err), 0);
    credentials_begin(&credentials, at(ms), &wall_ms);
    ck_assert(credentials_renewed(&credentials, at(ms), &fresh, 0));
}

static void sign_in(int64_t ms, int64_t life_ms)
{
    sign_in_with("t", ms, life_ms);
}

START_TEST(one_sign_in_for_all_who_wait)
{
    int64_t wall_ms;
    ck_assert(!credentials_usable(&credentials, at(0)));
    ck_assert(!credentials_due(&credentials, at(0), false, &retry_at));
    ck_assert(credentials_due(&credentials, at(0), true, &retry_at));
    ck_assert_ptr_null(credentials_begin(&credentials, at(0), &wall_ms));
    ck_assert(!credentials_due(&credentials, at(1), true, &retry_at));
}
END_TEST

START_TEST(renewal_comes_ahead_of_expiry_while_calls_go_on)
{
    int64_t wall_ms;
    sign_in(0, 7200 * 1000);
    ck_assert(!credentials_due(&credentials, at(6500 * 1000), true, &retry_at));
    ck_assert(credentials_due(&credentials, at(6600 * 1000), true, &retry_at));
    ck_assert(credentials_usable(&credentials, at(6600 * 1000)));
    ck_assert_ptr_nonnull(credentials_begin(&credentials, at(6600 * 1000), &wall_ms));
    ck_assert(credentials_usable(&credentials, at(6600 * 1000)));
}
END_TEST

START_TEST(expired_credential_is_not_used)
{
    sign_in(0, 1000);
    ck_assert(credentials_usable(&credentials, at(999)));
    ck_assert(!credentials_usable(&credentials, at(1000)));
}
END_TEST

START_TEST(each_attempt_carries_a_later_time)
{
    int64_t first, second;
    credentials_begin(&credentials, at(5), &first);
    credentials_failed(&credentials, at(5), SIGN_IN_IMPOSSIBLE, 0);
    credentials_begin(&credentials, at(5), &second);
    ck_assert_int_gt(second, first);
}
END_TEST

START_TEST(refused_sign_ins_pause_longer_and_longer)
{
    int64_t wall_ms, last = 0;
    for (int i = 0; i < 8; i++) {
        credentials_begin(&credentials, at(0), &wall_ms);
        credentials_failed(&credentials, at(0), SIGN_IN_REFUSED, 0);
        ck_assert(!credentials_due(&credentials, at(0), true, &retry_at));
        ck_assert(retry_at > last || i > 5);
        ck_assert_int_le(retry_at, 16 * 60 * 1000);
        last = retry_at;
    }
}
END_TEST

START_TEST(refused_renewal_signs_in_anew_at_once)
{
    int64_t wall_ms;
    sign_in(0, 1000);
    credentials_begin(&credentials, at(900), &wall_ms);
    credentials_failed(&credentials, at(900), SIGN_IN_RENEWAL_REFUSED, 0);
    ck_assert(credentials_usable(&credentials, at(900))); /* calls go on meanwhile */
    ck_assert(credentials_due(&credentials, at(900), true, &retry_at));
    ck_assert_ptr_null(credentials_begin(&credentials, at(900), &wall_ms));
}
END_TEST

START_TEST(rejection_of_an_older_credential_leaves_the_new_one_alone)
{
    sign_in(0, 100000);
    uint64_t old = credentials.generation;
    sign_in_with("new", 1, 100000);
    credentials_rejected(&credentials, at(2), old, false);
    ck_assert(credentials_usable(&credentials, at(2)));
    credentials_rejected(&credentials, at(2), credentials.generation, false);
    ck_assert(!credentials_usable(&credentials, at(2)));
}
END_TEST

START_TEST(rejection_counts_for_the_same_token_given_again)
{
    sign_in(0, 100000);
    uint64_t old = credentials.generation;
    sign_in(1, 90000);
    credentials_rejected(&credentials, at(2), old, false);
    ck_assert(!credentials_usable(&credentials, at(2)));
}
END_TEST

START_TEST(renewal_that_brings_a_token_rejected_meanwhile_is_not_used)
{
    struct error err;
    int64_t wall_ms;
    struct credential fresh = {.expires_ms = at(0).wall_ms + 90000};
    sign_in(0, 100000);
    ck_assert_ptr_nonnull(credentials_begin(&credentials, at(1), &wall_ms));
    credentials_rejected(&credentials, at(2), credentials.generation, false);
    ck_assert_int_eq(secret_set(&fresh.token, slice_of_string("t"), &err), 0);
    ck_assert(credentials_renewed(&credentials, at(2), &fresh, 0));
    ck_assert(!credentials_usable(&credentials, at(2)));
    ck_assert(credentials_due(&credentials, at(2), true, &retry_at));
    sign_in(3, 90000); /* anew, and the same again: there is no other */
    ck_assert(credentials_usable(&credentials, at(4)));
}
END_TEST

START_TEST(token_that_has_expired_already_is_a_failure_with_backoff)
{
    struct error err;
    int64_t wall_ms;
    struct credential fresh = {.expires_ms = at(0).wall_ms};
    ck_assert_int_eq(secret_set(&fresh.token, slice_of_string("t"), &err), 0);
    credentials_begin(&credentials, at(0), &wall_ms);
    ck_assert(!credentials_renewed(&credentials, at(0), &fresh, 500));
    ck_assert(!credentials_due(&credentials, at(499), true, &retry_at));
    ck_assert_int_eq(retry_at, 500);
    ck_assert(credentials_due(&credentials, at(500), true, &retry_at));
    ck_assert_ptr_null(fresh.token.value);
}
END_TEST

START_TEST(no_more_than_four_refused_sign_ins_in_five_minutes)
{
    int64_t wall_ms, now = 0;
    for (int i = 0; i < 5; i++) {
        ck_assert(credentials_due(&credentials, at(now), true, &retry_at));
        credentials_begin(&credentials, at(now), &wall_ms);
        credentials_failed(&credentials, at(now), SIGN_IN_REFUSED, 0);
        ck_assert(credentials_held(&credentials, at(now)));
        credentials_due(&credentials, at(now), true, &retry_at);
        now = i < 4 ? retry_at : now;
    }
    ck_assert_int_gt(now, 5 * 60 * 1000);
}
END_TEST

START_TEST(tokens_that_no_call_is_accepted_with_hold_the_account)
{
    sign_in(0, 100000);
    ck_assert(!credentials_rejected(&credentials, at(0), credentials.generation, false));
    ck_assert(credentials_due(&credentials, at(0), true, &retry_at)); /* one more, at once */
    sign_in_with("second", 0, 100000);
    ck_assert(credentials_rejected(&credentials, at(0), credentials.generation, false));
    ck_assert(credentials_held(&credentials, at(0)));
    ck_assert(!credentials_due(&credentials, at(29999), true, &retry_at));
    ck_assert_int_eq(retry_at, 30000 * 2);
    sign_in_with("third", 60000, 100000);
    credentials_accepted(&credentials, credentials.generation);
    ck_assert(!credentials_rejected(&credentials, at(70000), credentials.generation, false));
    ck_assert(credentials_due(&credentials, at(70000), true, &retry_at));
}
END_TEST

START_TEST(fixed_credentials_need_no_sign_in)
{
    credentials_init(&credentials, false, false);
    ck_assert(credentials_usable(&credentials, at(0)));
    ck_assert(!credentials_due(&credentials, at(0), true, &retry_at));
    ck_assert_ptr_null(credentials_current(&credentials));
}
END_TEST

START_TEST(fixed_credential_refused_is_tried_alone_and_then_held)
{
    credentials_init(&credentials, false, false);
    credentials.calls_out = 2;
    ck_assert(!credentials_rejected(&credentials, at(0), 0,
                                    false)); /* this one may be the call's fault */
    ck_assert(!credentials_usable(&credentials, at(0)));
    credentials.calls_out = 0;
    ck_assert(credentials_usable(&credentials, at(0)));
    ck_assert(credentials_rejected(&credentials, at(0), 0, false));
    ck_assert(!credentials_rejected(&credentials, at(1), 0, false)); /* one that was out already */
    ck_assert(!credentials_usable(&credentials, at(29999)));
    ck_assert(!credentials_due(&credentials, at(1), true, &retry_at));
    ck_assert_int_eq(retry_at, 30000);
    ck_assert(credentials_usable(&credentials, at(30000)));
    ck_assert(credentials_rejected(&credentials, at(30000), 0, false));
    ck_assert(!credentials_usable(&credentials, at(89999)));
    credentials_accepted(&credentials, 0);
    credentials.calls_out = 7;
    ck_assert(credentials_usable(&credentials, at(90000)));
}
END_TEST

START_TEST(signing_key_is_tried_by_one_call_until_it_was_accepted)
{
    credentials_init(&credentials, false, true);
    ck_assert(credentials_usable(&credentials, at(0)));
    credentials.calls_out = 1;
    ck_assert(!credentials_usable(&credentials, at(0)));
    credentials_accepted(&credentials, 0);
    ck_assert(credentials_usable(&credentials, at(0)));
    credentials.calls_out = 0;
    credentials_init(&credentials, false, true);
    ck_assert(credentials_rejected(&credentials, at(0), 0, false)); /* held at once */
}
END_TEST

START_TEST(changed_secrets_end_a_hold_and_ask_for_a_sign_in_while_calls_go_on)
{
    int64_t wall_ms;
    credentials_begin(&credentials, at(0), &wall_ms);
    credentials_failed(&credentials, at(0), SIGN_IN_REFUSED, 0);
    credentials_changed(&credentials, at(5));
    ck_assert(credentials_due(&credentials, at(5), true, &retry_at));
    sign_in(5, 100000);
    ck_assert(!credentials_due(&credentials, at(6), true, &retry_at));
    credentials_changed(&credentials, at(6));
    ck_assert(credentials_usable(&credentials, at(6)));
    ck_assert(credentials_due(&credentials, at(6), true, &retry_at));
    ck_assert_ptr_null(credentials_begin(&credentials, at(6), &wall_ms));
}
END_TEST

START_TEST(refusal_of_a_sign_in_made_with_old_secrets_does_not_hold)
{
    int64_t wall_ms;
    credentials_begin(&credentials, at(0), &wall_ms);
    credentials_changed(&credentials, at(1));
    credentials_failed(&credentials, at(2), SIGN_IN_REFUSED, 0);
    ck_assert(!credentials_held(&credentials, at(2)));
    ck_assert(credentials_due(&credentials, at(2), true, &retry_at));
    credentials_begin(&credentials, at(2), &wall_ms);
    credentials_changed(&credentials, at(3)); /* the token it brings is of the old ones */
    struct error err;
    struct credential fresh = {.expires_ms = COMMAND_NEVER};
    ck_assert_int_eq(secret_set(&fresh.token, slice_of_string("t"), &err), 0);
    ck_assert(credentials_renewed(&credentials, at(4), &fresh, 0));
    ck_assert(credentials_usable(&credentials, at(4)));
    ck_assert(credentials_due(&credentials, at(4), true, &retry_at));
}
END_TEST

START_TEST(changed_key_is_in_doubt_again_and_refusals_of_the_old_one_say_nothing)
{
    credentials_init(&credentials, false, true);
    credentials_accepted(&credentials, 0);
    credentials_changed(&credentials, at(0));
    credentials.calls_out = 1;
    ck_assert(!credentials_usable(&credentials, at(0)));
    ck_assert(!credentials_rejected(&credentials, at(0), 0, false));
    ck_assert(!credentials_held(&credentials, at(0)));
    ck_assert(credentials_rejected(&credentials, at(0), credentials.generation, false));
}
END_TEST

START_TEST(answer_that_may_mean_the_task_holds_nobody_and_renews_once_a_minute)
{
    sign_in(0, 1000000);
    ck_assert(!credentials_rejected(&credentials, at(1000), credentials.generation, true));
    ck_assert(credentials_due(&credentials, at(1000), true, &retry_at));
    sign_in_with("second", 1000, 1000000);
    for (int i = 0; i < 5; i++)
        ck_assert(!credentials_rejected(&credentials, at(60999), credentials.generation, true));
    ck_assert(credentials_usable(&credentials, at(60999)));
    ck_assert(!credentials_rejected(&credentials, at(61000), credentials.generation, true));
    ck_assert(!credentials_usable(&credentials, at(61000)));
    ck_assert(!credentials_held(&credentials, at(61000)));
    credentials_release(&credentials);
    credentials_init(&credentials, false, false);
    for (int i = 0; i < 5; i++)
        ck_assert(!credentials_rejected(&credentials, at(0), 0, true));
    ck_assert(credentials_usable(&credentials, at(0)));
}
END_TEST

START_TEST(accepted_call_ends_the_hold_of_a_configured_credential)
{
    credentials_init(&credentials, false, false);
    credentials_rejected(&credentials, at(0), 0, false);
    ck_assert(credentials_rejected(&credentials, at(0), 0, false));
    credentials_accepted(&credentials, 0); /* of a call that was out */
    ck_assert(credentials_usable(&credentials, at(0)));
}
END_TEST

START_TEST(clock_is_compared_with_the_date_of_answers)
{
    struct now now = {.wall_ms = 784111777000}; /* Sun, 06 Nov 1994 08:49:37 GMT */
    ck_assert(!credentials_clock_is_off(&credentials));
    credentials_saw_date(&credentials, slice_of_string("Sun, 06 Nov 1994 08:49:37 GMT"), now);
    ck_assert(!credentials_clock_is_off(&credentials));
    credentials_saw_date(&credentials, slice_of_string("Sun, 06 Nov 1994 08:59:37 GMT"), now);
    ck_assert(credentials_clock_is_off(&credentials));
    ck_assert_int_eq(credentials.skew_ms, -600500);
    credentials_saw_date(&credentials, slice_of_string("nonsense"), now);
    credentials_saw_date(&credentials, slice_of(NULL, 0), now);
    ck_assert_int_eq(credentials.skew_ms, -600500);
    credentials_saw_date(&credentials, slice_of_string("Sun, 06 Nov 1994 08:39:37 GMT"), now);
    ck_assert_int_eq(credentials.skew_ms, 599500);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("credentials");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, one_sign_in_for_all_who_wait);
    tcase_add_test(tests, renewal_comes_ahead_of_expiry_while_calls_go_on);
    tcase_add_test(tests, expired_credential_is_not_used);
    tcase_add_test(tests, each_attempt_carries_a_later_time);
    tcase_add_test(tests, refused_sign_ins_pause_longer_and_longer);
    tcase_add_test(tests, refused_renewal_signs_in_anew_at_once);
    tcase_add_test(tests, rejection_of_an_older_credential_leaves_the_new_one_alone);
    tcase_add_test(tests, rejection_counts_for_the_same_token_given_again);
    tcase_add_test(tests, renewal_that_brings_a_token_rejected_meanwhile_is_not_used);
    tcase_add_test(tests, fixed_credentials_need_no_sign_in);
    tcase_add_test(tests, token_that_has_expired_already_is_a_failure_with_backoff);
    tcase_add_test(tests, no_more_than_four_refused_sign_ins_in_five_minutes);
    tcase_add_test(tests, tokens_that_no_call_is_accepted_with_hold_the_account);
    tcase_add_test(tests, fixed_credential_refused_is_tried_alone_and_then_held);
    tcase_add_test(tests, signing_key_is_tried_by_one_call_until_it_was_accepted);
    tcase_add_test(tests, changed_secrets_end_a_hold_and_ask_for_a_sign_in_while_calls_go_on);
    tcase_add_test(tests, refusal_of_a_sign_in_made_with_old_secrets_does_not_hold);
    tcase_add_test(tests, changed_key_is_in_doubt_again_and_refusals_of_the_old_one_say_nothing);
    tcase_add_test(tests, answer_that_may_mean_the_task_holds_nobody_and_renews_once_a_minute);
    tcase_add_test(tests, accepted_call_ends_the_hold_of_a_configured_credential);
    tcase_add_test(tests, clock_is_compared_with_the_date_of_answers);
    return unit_run("credentials", tests);
}
