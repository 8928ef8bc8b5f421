#include "tests/unit/unit.h"

#include "worker/core/admission.h"

#include "common/banned.h"

static struct admission admission;

/* Calls started when asked every ms from `from` to `to`, each ending at once. */
static int started(int64_t from, int64_t to)
{
    int calls = 0;
    for (int64_t ms = from; ms < to; ms++) {
        while (admission_wait(&admission, ms) == 0) {
            admission_begin(&admission);
            admission_end(&admission);
            calls++;
        }
    }
    return calls;
}

START_TEST(concurrency_is_a_ceiling)
{
    admission_init(&admission, 2, 0, 0);
    admission_begin(&admission);
    ck_assert_int_eq(admission_wait(&admission, 0), 0);
    admission_begin(&admission);
    ck_assert_int_eq(admission_wait(&admission, 0), INT64_MAX);
    admission_end(&admission);
    ck_assert_int_eq(admission_wait(&admission, 0), 0);
}
END_TEST

START_TEST(rate_holds_over_a_second_with_a_small_burst)
{
    admission_init(&admission, 1000, 200 * 1000, 0);
    int calls = started(0, 1000);
    ck_assert_int_ge(calls, 200);
    ck_assert_int_le(calls, 220);
    ck_assert_int_le(started(1000, 2000), 200);
}
END_TEST

START_TEST(slow_rate_lets_one_call_every_other_second)
{
    admission_init(&admission, 10, 500, 0);
    ck_assert_int_eq(started(0, 1999), 1);
    ck_assert_int_eq(started(1999, 4001), 2);
}
END_TEST

START_TEST(wait_names_the_moment_of_the_next_token)
{
    admission_init(&admission, 10, 1000, 0);
    admission_begin(&admission);
    ck_assert_int_eq(admission_wait(&admission, 0), 1000);
    ck_assert_int_eq(admission_wait(&admission, 999), 1000);
    ck_assert_int_eq(admission_wait(&admission, 1000), 0);
}
END_TEST

START_TEST(idle_account_gathers_no_flood)
{
    admission_init(&admission, 1000, 100 * 1000, 0);
    started(0, 10);
    ck_assert_int_le(started(1000 * 1000, 1000 * 1000 + 1), 11);
}
END_TEST

START_TEST(hold_stops_everything_and_is_never_shortened)
{
    admission_init(&admission, 10, 0, 0);
    admission_hold(&admission, 500);
    admission_hold(&admission, 100);
    ck_assert_int_eq(admission_wait(&admission, 499), 500);
    ck_assert_int_eq(admission_wait(&admission, 500), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("admission");
    tcase_add_test(tests, concurrency_is_a_ceiling);
    tcase_add_test(tests, rate_holds_over_a_second_with_a_small_burst);
    tcase_add_test(tests, slow_rate_lets_one_call_every_other_second);
    tcase_add_test(tests, wait_names_the_moment_of_the_next_token);
    tcase_add_test(tests, idle_account_gathers_no_flood);
    tcase_add_test(tests, hold_stops_everything_and_is_never_shortened);
    return unit_run("admission", tests);
}
