#include "tests/unit/unit.h"

#include "worker/core/breaker.h"

#include "common/banned.h"

static struct breaker_settings settings;
static struct breaker breaker;

static void setup(void)
{
    settings = (struct breaker_settings){.failures = 50,
                                         .minimum = 5,
                                         .window_ms = 10000,
                                         .probe_low_ms = 1000,
                                         .probe_high_ms = 5000};
    breaker_init(&breaker, &settings);
}

/* So many answers at this time; true when one of them turned it. */
static bool answers(int64_t ms, int count, bool failed)
{
    bool turned = false;
    for (int i = 0; i < count; i++)
        turned |= breaker_end(&breaker, ms, failed, false);
    return turned;
}

static void open_at(int64_t ms)
{
    ck_assert(answers(ms, 5, true));
    ck_assert_int_eq(breaker.state, BREAKER_OPEN);
}

START_TEST(few_failures_do_not_open_it)
{
    ck_assert(!answers(0, 4, true));
    ck_assert_int_eq(breaker_wait(&breaker, 0), 0);
    ck_assert(answers(1, 1, true));
    ck_assert_int_eq(breaker_wait(&breaker, 1), 1001);
}
END_TEST

START_TEST(it_opens_at_the_failure_rate_and_not_below)
{
    for (int i = 0; i < 200; i++) {
        ck_assert(!answers(i, 6, false));
        ck_assert(!answers(i, 5, true));
    }
    ck_assert(!answers(300, 4, true));
    ck_assert(answers(300, 10, true));
}
END_TEST

START_TEST(a_busy_provider_that_dies_is_seen_within_a_hundred_calls)
{
    for (int i = 0; i < 1000; i++)
        ck_assert(!answers(i, 10, false));
    ck_assert(!answers(1000, 49, true));
    ck_assert(answers(1000, 1, true));
}
END_TEST

START_TEST(old_failures_are_forgotten)
{
    ck_assert(!answers(0, 4, true));
    ck_assert(!answers(10000, 4, true));
    ck_assert(answers(10001, 1, true));
}
END_TEST

START_TEST(one_probe_goes_at_each_interval_even_when_none_comes_back)
{
    open_at(0);
    int probes = 0;
    for (int64_t ms = 0; ms < 60000; ms += 10) {
        while (breaker_wait(&breaker, ms) == 0) {
            ck_assert(breaker_begin(&breaker, ms));
            probes++;
        }
    }
    ck_assert_int_eq(probes, 59);
}
END_TEST

START_TEST(probes_that_fail_come_less_and_less_up_to_a_limit)
{
    open_at(0);
    int64_t before = 0;
    static const int64_t pauses[] = {1000, 2000, 4000, 5000, 5000};
    for (size_t i = 0; i < 5; i++) {
        int64_t at = breaker_wait(&breaker, before);
        ck_assert_int_eq(at - before, pauses[i]);
        ck_assert(breaker_begin(&breaker, at));
        ck_assert_int_eq(breaker.state, BREAKER_HALF_OPEN);
        ck_assert(!breaker_end(&breaker, at, true, true));
        ck_assert_int_eq(breaker.state, BREAKER_OPEN);
        before = at;
    }
}
END_TEST

START_TEST(the_first_probe_that_is_answered_closes_it)
{
    open_at(0);
    ck_assert(breaker_begin(&breaker, 1000));
    ck_assert(breaker_end(&breaker, 1010, false, true));
    ck_assert_int_eq(breaker_wait(&breaker, 1010), 0);
    ck_assert(!breaker_begin(&breaker, 1010));
    ck_assert(!answers(1010, 4, true)); /* what was before is forgotten */
}
END_TEST

START_TEST(calls_from_before_it_opened_change_nothing)
{
    open_at(0);
    ck_assert(!answers(10, 100, false));
    ck_assert(!answers(10, 100, true));
    ck_assert_int_eq(breaker_wait(&breaker, 10), 1000);
}
END_TEST

START_TEST(it_can_be_turned_off)
{
    settings.failures = 0;
    ck_assert(!answers(0, 1000, true));
    ck_assert_int_eq(breaker_wait(&breaker, 0), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("breaker");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, few_failures_do_not_open_it);
    tcase_add_test(tests, it_opens_at_the_failure_rate_and_not_below);
    tcase_add_test(tests, a_busy_provider_that_dies_is_seen_within_a_hundred_calls);
    tcase_add_test(tests, old_failures_are_forgotten);
    tcase_add_test(tests, one_probe_goes_at_each_interval_even_when_none_comes_back);
    tcase_add_test(tests, probes_that_fail_come_less_and_less_up_to_a_limit);
    tcase_add_test(tests, the_first_probe_that_is_answered_closes_it);
    tcase_add_test(tests, calls_from_before_it_opened_change_nothing);
    tcase_add_test(tests, it_can_be_turned_off);
    return unit_run("breaker", tests);
}
