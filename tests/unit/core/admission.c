#include "tests/unit/unit.h"

#include "worker/core/admission.h"

#include "common/banned.h"

static struct admission admission;
static struct account_settings settings;

static void begin(unsigned concurrency, int64_t rate_per_1000s)
{
    settings = (struct account_settings){
        .limits = {.concurrency = concurrency, .rate_per_1000s = rate_per_1000s},
        .breaker = {.failures = 50,
                    .minimum = 5,
                    .window_ms = 10000,
                    .probe_low_ms = 1000,
                    .probe_high_ms = 5000}};
    admission_init(&admission, &settings, 0);
}

static int64_t wait_at(int64_t ms)
{
    return admission_wait(&admission, OPERATION_CANCEL, ms);
}

static bool start(void)
{
    return admission_begin(&admission, OPERATION_CANCEL, 0);
}

static void end(void)
{
    admission_end(&admission, OPERATION_CANCEL);
}

/* Calls started when asked every ms from `from` to `to`, each ending at once. */
static int started(int64_t from, int64_t to)
{
    int calls = 0;
    for (int64_t ms = from; ms < to; ms++) {
        while (wait_at(ms) == 0) {
            start();
            end();
            calls++;
        }
    }
    return calls;
}

START_TEST(concurrency_is_a_ceiling_for_both_operations_together)
{
    begin(2, 0);
    start();
    ck_assert_int_eq(wait_at(0), 0);
    admission_begin(&admission, OPERATION_STATUS, 0);
    ck_assert_int_eq(wait_at(0), INT64_MAX);
    admission_end(&admission, OPERATION_STATUS);
    ck_assert_int_eq(wait_at(0), 0);
}
END_TEST

START_TEST(rate_holds_over_a_second_with_a_small_burst)
{
    begin(1000, 200 * 1000);
    int calls = started(0, 1000);
    ck_assert_int_ge(calls, 200);
    ck_assert_int_le(calls, 220);
    ck_assert_int_le(started(1000, 2000), 200);
}
END_TEST

START_TEST(slow_rate_lets_one_call_every_other_second)
{
    begin(10, 500);
    ck_assert_int_eq(started(0, 1999), 1);
    ck_assert_int_eq(started(1999, 4001), 2);
}
END_TEST

START_TEST(wait_names_the_moment_of_the_next_token)
{
    begin(10, 1000);
    start();
    ck_assert_int_eq(wait_at(0), 1000);
    ck_assert_int_eq(wait_at(999), 1000);
    ck_assert_int_eq(wait_at(1000), 0);
}
END_TEST

START_TEST(idle_account_gathers_no_flood)
{
    begin(1000, 100 * 1000);
    started(0, 10);
    ck_assert_int_le(started(1000 * 1000, 1000 * 1000 + 1), 11);
}
END_TEST

START_TEST(sign_ins_and_pages_wait_for_nothing_and_are_paid_later)
{
    begin(1, 1000);
    start();
    admission_begin_sign_in(&admission);
    admission_spend(&admission);
    admission_end_sign_in(&admission);
    ck_assert_int_eq(wait_at(0), INT64_MAX); /* the ceiling */
    end();
    ck_assert_int_eq(wait_at(0), 3000); /* three calls of a second each */
    ck_assert_int_eq(wait_at(2999), 3000);
    ck_assert_int_eq(wait_at(3000), 0);
}
END_TEST

START_TEST(hold_stops_everything_and_is_never_shortened)
{
    begin(10, 0);
    admission_hold(&admission, 0, 500);
    admission_hold(&admission, 0, 100);
    ck_assert_int_eq(wait_at(499), 500);
    ck_assert_int_eq(admission_wait(&admission, OPERATION_STATUS, 499), 500);
    ck_assert_int_eq(wait_at(500), 0);
}
END_TEST

START_TEST(holds_that_overlap_count_once)
{
    begin(10, 0);
    admission_hold(&admission, 0, 500);
    admission_hold(&admission, 100, 700);
    admission_hold(&admission, 200, 600);
    admission_hold(&admission, 1000, 1300);
    ck_assert_uint_eq(admission.throttled_ms, 1000);
}
END_TEST

START_TEST(account_held_by_an_operator_waits_for_no_clock)
{
    begin(10, 0);
    settings.hold = true;
    admission_init(&admission, &settings, 0);
    ck_assert_int_eq(wait_at(1000000), INT64_MAX);
    admission.stopped = false;
    ck_assert_int_eq(wait_at(1000000), 0);
}
END_TEST

START_TEST(shared_rate_is_spent_only_when_it_is_known)
{
    begin(1000, 100 * 1000);
    settings.limits.share_group = true;
    admission_init(&admission, &settings, 0);
    ck_assert_int_eq(wait_at(5000), INT64_MAX);
    admission_set_rate(&admission, 50 * 1000, 5000);
    ck_assert_int_le(started(5000, 6000), 50);
    admission_set_rate(&admission, 10 * 1000, 6000);
    ck_assert_int_le(started(6000, 8000), 20);
    admission_set_rate(&admission, 0, 8000);
    ck_assert_int_eq(wait_at(1000000), INT64_MAX);
}
END_TEST

/* What is paid for a change of the rate in the middle is never more than either rate allows. */
START_TEST(rate_that_changes_all_the_time_stays_below_the_larger)
{
    begin(1000, 100 * 1000);
    settings.limits.share_group = true;
    admission_init(&admission, &settings, 0);
    int calls = 0;
    for (int64_t ms = 0; ms < 10000; ms += 10) {
        admission_set_rate(&admission, ms % 20 == 0 ? 100 * 1000 : 20 * 1000, ms);
        calls += started(ms, ms + 10);
    }
    ck_assert_int_le(calls, 601);
    ck_assert_int_ge(calls, 550);
}
END_TEST

static bool learn(enum operation operation, enum call_sign sign, bool probe, int64_t ms)
{
    return admission_learn(&admission, operation, sign, probe, ms, ms);
}

START_TEST(operations_have_breakers_of_their_own)
{
    begin(100, 0);
    for (int i = 0; i < 4; i++)
        ck_assert(!learn(OPERATION_CANCEL, SIGN_FAILED, false, 0));
    ck_assert(learn(OPERATION_CANCEL, SIGN_FAILED, false, 0));
    ck_assert_int_eq(wait_at(0), 1000);
    ck_assert_int_eq(admission_wait(&admission, OPERATION_STATUS, 0), 0);
    ck_assert(admission_begin(&admission, OPERATION_CANCEL, 1000));
    ck_assert_int_eq(wait_at(1000), 2000);
    ck_assert(learn(OPERATION_CANCEL, SIGN_FINE, true, 1001));
    ck_assert_int_eq(wait_at(1001), 0);
}
END_TEST

START_TEST(throttled_answers_are_answers)
{
    begin(100, 0);
    for (int i = 0; i < 50; i++)
        ck_assert(!learn(OPERATION_CANCEL, SIGN_THROTTLED, false, i));
    ck_assert_int_eq(wait_at(50), 0);
}
END_TEST

START_TEST(account_that_is_back_begins_with_one_step)
{
    begin(160, 0);
    settings.limits.adaptive = true;
    admission_init(&admission, &settings, 0);
    for (int i = 0; i < 5; i++)
        learn(OPERATION_CANCEL, SIGN_FAILED, false, 0);
    ck_assert(admission_begin(&admission, OPERATION_CANCEL, 1000));
    end();
    ck_assert(learn(OPERATION_CANCEL, SIGN_FINE, true, 1001));
    int calls = 0;
    while (wait_at(1002) == 0) {
        admission_begin(&admission, OPERATION_CANCEL, 1002);
        calls++;
    }
    ck_assert_int_eq(calls, 10);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("admission");
    tcase_add_test(tests, concurrency_is_a_ceiling_for_both_operations_together);
    tcase_add_test(tests, rate_holds_over_a_second_with_a_small_burst);
    tcase_add_test(tests, slow_rate_lets_one_call_every_other_second);
    tcase_add_test(tests, wait_names_the_moment_of_the_next_token);
    tcase_add_test(tests, idle_account_gathers_no_flood);
    tcase_add_test(tests, sign_ins_and_pages_wait_for_nothing_and_are_paid_later);
    tcase_add_test(tests, hold_stops_everything_and_is_never_shortened);
    tcase_add_test(tests, holds_that_overlap_count_once);
    tcase_add_test(tests, account_held_by_an_operator_waits_for_no_clock);
    tcase_add_test(tests, shared_rate_is_spent_only_when_it_is_known);
    tcase_add_test(tests, rate_that_changes_all_the_time_stays_below_the_larger);
    tcase_add_test(tests, operations_have_breakers_of_their_own);
    tcase_add_test(tests, throttled_answers_are_answers);
    tcase_add_test(tests, account_that_is_back_begins_with_one_step);
    return unit_run("admission", tests);
}
