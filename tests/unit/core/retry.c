#include "tests/unit/unit.h"

#include "worker/core/retry.h"

#include "common/banned.h"

START_TEST(backoff_is_jittered_over_the_whole_grown_range)
{
    struct rng rng;
    rng_init(&rng, 1);
    static const int64_t grown[] = {200, 400, 800, 1600};
    for (unsigned attempt = 1; attempt <= 4; attempt++) {
        int64_t low = INT64_MAX, high = 0;
        for (int i = 0; i < 5000; i++) {
            int64_t pause = retry_backoff(&rng, 200, 30000, attempt);
            low = pause < low ? pause : low;
            high = pause > high ? pause : high;
        }
        ck_assert_int_lt(low, grown[attempt - 1] / 20);
        ck_assert_int_le(high, grown[attempt - 1]);
        ck_assert_int_gt(high, grown[attempt - 1] * 19 / 20);
    }
}
END_TEST

START_TEST(backoff_stops_growing_at_its_maximum)
{
    struct rng rng;
    rng_init(&rng, 1);
    for (unsigned attempt = 1; attempt < 200; attempt++)
        ck_assert_int_le(retry_backoff(&rng, 200, 30000, attempt), 30000);
    ck_assert_int_ge(retry_backoff(&rng, 0, 0, 9), 0);
}
END_TEST

START_TEST(poll_never_goes_below_half)
{
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_ge(retry_poll(&rng, 1000, 30000, 1), 500);
        ck_assert_int_ge(retry_poll(&rng, 1000, 30000, 20), 15000);
        ck_assert_int_le(retry_poll(&rng, 1000, 30000, 20), 30000);
    }
}
END_TEST

START_TEST(retry_after_is_read_in_both_forms)
{
    int64_t ms, wall = 784111777000; /* Sun, 06 Nov 1994 08:49:37 GMT */
    ck_assert(retry_after(slice_of_string("3"), wall, &ms));
    ck_assert_int_eq(ms, 3000);
    ck_assert(retry_after(slice_of_string("Sun, 06 Nov 1994 08:49:47 GMT"), wall, &ms));
    ck_assert_int_eq(ms, 10000);
    ck_assert(retry_after(slice_of_string("Sun, 06 Nov 1994 08:00:00 GMT"), wall, &ms));
    ck_assert_int_eq(ms, 0);
}
END_TEST

START_TEST(polls_of_an_account_meet_on_a_grid)
{
    for (unsigned attempt = 1; attempt < 8; attempt++) {
        int64_t most = 1000 << (attempt - 1), first = 0;
        if (most > 30000)
            most = 30000;
        for (int64_t now = 100000; now < 100000 + most / 2; now += 7) {
            int64_t pause = retry_settle(now, 123, 1000, 30000, attempt);
            ck_assert_int_ge(pause, most / 2);
            ck_assert_int_le(pause, most);
            if (now + pause != first)
                ck_assert(first == 0 || now + pause == first + most / 2);
            first = now + pause;
        }
    }
    ck_assert_int_eq(retry_settle(5, 0, 1, 1, 1), 1);
    ck_assert_int_eq(retry_settle(5, 0, 0, 0, 1), 1);
}
END_TEST

START_TEST(retry_after_is_bounded_and_nonsense_is_ignored)
{
    int64_t ms;
    ck_assert(retry_after(slice_of_string("9999999999999"), 0, &ms));
    ck_assert_int_eq(ms, RETRY_AFTER_MOST_MS);
    ck_assert(!retry_after(slice_of_string("-1"), 0, &ms));
    ck_assert(!retry_after(slice_of_string("soon"), 0, &ms));
    ck_assert(!retry_after((struct slice){0}, 0, &ms));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("retry");
    tcase_add_test(tests, backoff_is_jittered_over_the_whole_grown_range);
    tcase_add_test(tests, backoff_stops_growing_at_its_maximum);
    tcase_add_test(tests, poll_never_goes_below_half);
    tcase_add_test(tests, polls_of_an_account_meet_on_a_grid);
    tcase_add_test(tests, retry_after_is_read_in_both_forms);
    tcase_add_test(tests, retry_after_is_bounded_and_nonsense_is_ignored);
    return unit_run("retry", tests);
}
