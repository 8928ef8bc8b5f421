#include "tests/unit/unit.h"

#include "worker/core/concurrency.h"

#include "common/banned.h"

static struct concurrency concurrency;
static int64_t now_ms;
static bool plain;

static void setup(void)
{
    now_ms = 0;
    plain = true;
    concurrency_init(&concurrency, 1000, true);
}

/* Keeps the limit full for so long while each call takes this long. */
static void work(int64_t for_ms, int64_t latency_ms)
{
    for (int64_t end = now_ms + for_ms; now_ms < end;) {
        unsigned calls = concurrency.limit;
        int64_t began = now_ms;
        for (unsigned i = 1; i <= calls; i++)
            concurrency_begin(&concurrency, i);
        now_ms += latency_ms;
        for (unsigned i = 0; i < calls; i++)
            concurrency_answered(&concurrency, plain, began, now_ms);
    }
}

static void throttle(unsigned times)
{
    int64_t began = now_ms++;
    for (unsigned i = 0; i < times; i++)
        concurrency_overloaded(&concurrency, began, now_ms);
    now_ms++;
}

START_TEST(it_begins_at_the_ceiling_and_a_healthy_provider_stays_there)
{
    ck_assert_uint_eq(concurrency.limit, 1000);
    work(60000, 10);
    ck_assert_uint_eq(concurrency.limit, 1000);
    work(60000, 100); /* its own load makes it slower */
    ck_assert_uint_eq(concurrency.limit, 1000);
}
END_TEST

START_TEST(a_throttled_answer_halves_it_once_for_all_that_were_out)
{
    throttle(500);
    ck_assert_uint_eq(concurrency.limit, 500);
    throttle(500);
    ck_assert_uint_eq(concurrency.limit, 250);
}
END_TEST

START_TEST(it_never_falls_below_one)
{
    for (int i = 0; i < 20; i++)
        throttle(1);
    ck_assert_uint_eq(concurrency.limit, 1);
}
END_TEST

START_TEST(it_recovers_within_seconds)
{
    for (int i = 0; i < 20; i++)
        throttle(1);
    work(6000, 10);
    ck_assert_uint_eq(concurrency.limit, 1000);
}
END_TEST

START_TEST(a_limit_that_is_not_used_does_not_grow)
{
    throttle(1);
    for (; now_ms < 60000; now_ms += 10) {
        concurrency_begin(&concurrency, 1);
        concurrency_answered(&concurrency, true, now_ms, now_ms + 10);
    }
    ck_assert_uint_eq(concurrency.limit, 500);
}
END_TEST

START_TEST(latency_beyond_twice_the_usual_lowers_it)
{
    work(10000, 50);
    work(1500, 400);
    ck_assert_uint_lt(concurrency.limit, 1000);
    work(20000, 50);
    ck_assert_uint_eq(concurrency.limit, 1000);
}
END_TEST

START_TEST(how_long_lists_take_is_no_sign)
{
    work(10000, 10);
    plain = false;
    work(60000, 5000);
    ck_assert_uint_eq(concurrency.limit, 1000);
    throttle(1);
    work(60000, 5000);
    ck_assert_uint_gt(concurrency.limit, 500);
}
END_TEST

START_TEST(one_slow_round_is_no_sign)
{
    for (int i = 0; i < 20; i++) {
        work(10000, 50);
        work(400, 400);
        ck_assert_uint_eq(concurrency.limit, 1000);
    }
}
END_TEST

START_TEST(a_provider_that_stays_slower_gets_its_calls_back)
{
    work(10000, 50);
    work(120000, 400);
    ck_assert_uint_eq(concurrency.limit, 1000);
}
END_TEST

START_TEST(small_ceilings_adapt_too)
{
    concurrency_init(&concurrency, 4, true);
    throttle(1);
    ck_assert_uint_eq(concurrency.limit, 2);
    work(2000, 10);
    ck_assert_uint_eq(concurrency.limit, 4);
}
END_TEST

START_TEST(it_can_be_turned_off)
{
    concurrency_init(&concurrency, 100, false);
    throttle(1);
    work(1000, 10);
    work(9000, 900);
    concurrency_restart(&concurrency, now_ms);
    ck_assert_uint_eq(concurrency.limit, 100);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("concurrency");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, it_begins_at_the_ceiling_and_a_healthy_provider_stays_there);
    tcase_add_test(tests, a_throttled_answer_halves_it_once_for_all_that_were_out);
    tcase_add_test(tests, it_never_falls_below_one);
    tcase_add_test(tests, it_recovers_within_seconds);
    tcase_add_test(tests, a_limit_that_is_not_used_does_not_grow);
    tcase_add_test(tests, latency_beyond_twice_the_usual_lowers_it);
    tcase_add_test(tests, how_long_lists_take_is_no_sign);
    tcase_add_test(tests, one_slow_round_is_no_sign);
    tcase_add_test(tests, a_provider_that_stays_slower_gets_its_calls_back);
    tcase_add_test(tests, small_ceilings_adapt_too);
    tcase_add_test(tests, it_can_be_turned_off);
    return unit_run("concurrency", tests);
}
