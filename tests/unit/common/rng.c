#include "tests/unit/unit.h"

#include "common/rng.h"

#include "common/banned.h"

/* From the reference: xoshiro256** started at {1, 2, 3, 4}. */
START_TEST(numbers_are_those_of_the_reference)
{
    static const uint64_t expected[] = {11520u,
                                        0u,
                                        1509978240u,
                                        1215971899390074240u,
                                        1216172134540287360u,
                                        607988272756665600u,
                                        16172922978634559625u,
                                        8476171486693032832u};
    struct rng rng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        ck_assert_uint_eq(rng_next(&rng), expected[i]);
}
END_TEST

/* From the reference: splitmix64 started at 1234567. */
START_TEST(seed_is_spread_by_splitmix64)
{
    struct rng rng;
    rng_init(&rng, 1234567);
    ck_assert_uint_eq(rng.state[0], 6457827717110365317u);
    ck_assert_uint_eq(rng.state[1], 3203168211198807973u);
    ck_assert_uint_eq(rng.state[2], 9817491932198370423u);
    ck_assert_uint_eq(rng.state[3], 4593380528125082431u);
}
END_TEST

START_TEST(same_seed_same_numbers_other_seed_others)
{
    struct rng a;
    struct rng b;
    struct rng c;
    rng_init(&a, 0);
    rng_init(&b, 0);
    rng_init(&c, 1);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t number = rng_next(&a);
        ck_assert_uint_eq(number, rng_next(&b));
        same += number == rng_next(&c);
    }
    ck_assert_int_eq(same, 0);
}
END_TEST

START_TEST(below_reaches_every_number_about_equally)
{
    struct rng rng;
    rng_init(&rng, 7);
    int counts[6] = {0};
    int beyond = 0;
    for (int i = 0; i < 60000; i++) {
        uint64_t number = rng_below(&rng, 6);
        counts[number < 6 ? number : 0]++;
        beyond += number >= 6;
    }
    ck_assert_int_eq(beyond, 0);
    for (int i = 0; i < 6; i++) {
        ck_assert_int_gt(counts[i], 9600); /* over four standard deviations */
        ck_assert_int_lt(counts[i], 10400);
    }
}
END_TEST

START_TEST(below_has_no_bias_for_large_bounds)
{
    struct rng rng;
    rng_init(&rng, 7);
    const uint64_t bound = UINT64_C(3) << 62; /* of 2^64 numbers a quarter must be drawn again */
    int low = 0;
    for (int i = 0; i < 30000; i++)
        low += rng_below(&rng, bound) < UINT64_C(1) << 62;
    ck_assert_int_gt(low, 9600); /* a third; plain remainders would give a half */
    ck_assert_int_lt(low, 10400);
    ck_assert_uint_eq(rng_below(&rng, 1), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("rng");
    tcase_add_test(tests, numbers_are_those_of_the_reference);
    tcase_add_test(tests, seed_is_spread_by_splitmix64);
    tcase_add_test(tests, same_seed_same_numbers_other_seed_others);
    tcase_add_test(tests, below_reaches_every_number_about_equally);
    tcase_add_test(tests, below_has_no_bias_for_large_bounds);
    return unit_run("common/rng", tests);
}
