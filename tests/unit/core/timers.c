#include "tests/unit/unit.h"

#include "common/rng.h"
#include "worker/core/timers.h"

#include "common/banned.h"

enum { COUNT = 500 };

static struct timers timers;
static struct timer many[COUNT];
static struct timer *fired[COUNT * 2];
static size_t fired_count;

static void note(void *context, struct timer *timer)
{
    (void)context;
    fired[fired_count++] = timer;
}

static void set_again_once(void *context, struct timer *timer)
{
    note(context, timer);
    timer->fire = note;
    timers_set(&timers, timer, timer->due + 5);
}

static void setup(void)
{
    timers_init(&timers);
    ck_assert_int_eq(timers_reserve(&timers, COUNT + 1), 0);
    for (size_t i = 0; i < COUNT; i++)
        many[i] = (struct timer){.fire = note};
    fired_count = 0;
}

static void teardown(void)
{
    timers_release(&timers);
}

START_TEST(fire_in_order_of_time_and_of_setting)
{
    timers_set(&timers, &many[0], 20);
    timers_set(&timers, &many[1], 10);
    timers_set(&timers, &many[2], 10);
    ck_assert_int_eq(timers_next(&timers), 10);
    timers_fire(&timers, 15, NULL);
    ck_assert_uint_eq(fired_count, 2);
    ck_assert_ptr_eq(fired[0], &many[1]);
    ck_assert_ptr_eq(fired[1], &many[2]);
    ck_assert_int_eq(timers_next(&timers), 20);
}
END_TEST

START_TEST(stopped_timer_does_not_fire)
{
    timers_set(&timers, &many[0], 1);
    timers_stop(&timers, &many[0]);
    timers_stop(&timers, &many[0]);
    timers_fire(&timers, 100, NULL);
    ck_assert_uint_eq(fired_count, 0);
    ck_assert_int_eq(timers_next(&timers), INT64_MAX);
}
END_TEST

START_TEST(timer_may_be_set_again_while_firing)
{
    many[0].fire = set_again_once;
    timers_set(&timers, &many[0], 1);
    timers_fire(&timers, 3, NULL);
    ck_assert_uint_eq(fired_count, 1);
    timers_fire(&timers, 6, NULL);
    ck_assert_uint_eq(fired_count, 2);
}
END_TEST

START_TEST(random_sets_moves_and_stops_keep_the_order)
{
    struct rng rng;
    rng_init(&rng, 7);
    for (int i = 0; i < 5000; i++) {
        struct timer *timer = &many[rng_below(&rng, COUNT)];
        if (rng_below(&rng, 3) == 0)
            timers_stop(&timers, timer);
        else
            timers_set(&timers, timer, (int64_t)rng_below(&rng, 1000));
    }
    size_t set = timers.count;
    timers_fire(&timers, 1000, NULL);
    ck_assert_uint_eq(fired_count, set);
    for (size_t i = 1; i < fired_count; i++)
        ck_assert_int_le(fired[i - 1]->due, fired[i]->due);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("timers");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, fire_in_order_of_time_and_of_setting);
    tcase_add_test(tests, stopped_timer_does_not_fire);
    tcase_add_test(tests, timer_may_be_set_again_while_firing);
    tcase_add_test(tests, random_sets_moves_and_stops_keep_the_order);
    return unit_run("timers", tests);
}
