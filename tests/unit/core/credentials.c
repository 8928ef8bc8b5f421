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
    credentials_init(&credentials, true);
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
    credentials_renewed(&credentials, at(ms), &fresh);
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
    credentials_failed(&credentials, at(5), false, 0);
    credentials_begin(&credentials, at(5), &second);
    ck_assert_int_gt(second, first);
}
END_TEST

START_TEST(refused_sign_ins_pause_longer_and_longer)
{
    int64_t wall_ms, last = 0;
    for (int i = 0; i < 8; i++) {
        credentials_begin(&credentials, at(0), &wall_ms);
        credentials_failed(&credentials, at(0), true, 0);
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
    credentials_failed(&credentials, at(900), true, 0);
    ck_assert(credentials_due(&credentials, at(900), true, &retry_at));
    ck_assert_ptr_null(credentials_begin(&credentials, at(900), &wall_ms));
}
END_TEST

START_TEST(rejection_of_an_older_credential_leaves_the_new_one_alone)
{
    sign_in(0, 100000);
    uint64_t old = credentials.generation;
    sign_in_with("new", 1, 100000);
    credentials_rejected(&credentials, old);
    ck_assert(credentials_usable(&credentials, at(2)));
    credentials_rejected(&credentials, credentials.generation);
    ck_assert(!credentials_usable(&credentials, at(2)));
}
END_TEST

START_TEST(rejection_counts_for_the_same_token_given_again)
{
    sign_in(0, 100000);
    uint64_t old = credentials.generation;
    sign_in(1, 90000);
    credentials_rejected(&credentials, old);
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
    credentials_rejected(&credentials, credentials.generation);
    ck_assert_int_eq(secret_set(&fresh.token, slice_of_string("t"), &err), 0);
    credentials_renewed(&credentials, at(2), &fresh);
    ck_assert(!credentials_usable(&credentials, at(2)));
    ck_assert(credentials_due(&credentials, at(2), true, &retry_at));
    sign_in(3, 90000); /* anew, and the same again: there is no other */
    ck_assert(credentials_usable(&credentials, at(4)));
}
END_TEST

START_TEST(fixed_credentials_need_no_sign_in)
{
    credentials_init(&credentials, false);
    ck_assert(credentials_usable(&credentials, at(0)));
    ck_assert(!credentials_due(&credentials, at(0), true, &retry_at));
    ck_assert_ptr_null(credentials_current(&credentials));
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
    return unit_run("credentials", tests);
}
