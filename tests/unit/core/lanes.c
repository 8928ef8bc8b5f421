#include "tests/unit/unit.h"

#include "worker/core/lanes.h"

#include "common/banned.h"

static struct lanes lanes;
static struct lane_member members[4];

static void setup(void)
{
    lanes_init(&lanes, (struct hash_seed){1, 2});
    memset(members, 0, sizeof members);
}

static void teardown(void)
{
    for (size_t i = 0; i < 4; i++)
        lanes_leave(&lanes, &members[i]);
    lanes_release(&lanes);
}

static void join(size_t member, char kind, uint64_t number, const char *key)
{
    ck_assert_int_eq(lanes_join(&lanes, &members[member], kind, number, slice_of_string(key)), 0);
}

START_TEST(members_of_one_key_go_one_after_another)
{
    join(0, 'k', 1, "a");
    join(1, 'k', 1, "a");
    join(2, 'k', 1, "a");
    ck_assert(lane_is_first(&members[0]));
    ck_assert(!lane_is_first(&members[1]));
    ck_assert_ptr_eq(lanes_leave(&lanes, &members[0]), &members[1]);
    ck_assert(lane_is_first(&members[1]));
    ck_assert_ptr_eq(lanes_leave(&lanes, &members[1]), &members[2]);
    ck_assert_ptr_null(lanes_leave(&lanes, &members[2]));
}
END_TEST

START_TEST(who_joins_in_front_goes_first)
{
    struct slice key = SLICE("a");
    join(2, 'k', 1, "a");
    ck_assert_int_eq(lanes_join_front(&lanes, &members[1], 'k', 1, key), 0);
    ck_assert_int_eq(lanes_join_front(&lanes, &members[0], 'k', 1, key), 0);
    ck_assert_int_eq(lanes_join_front(&lanes, &members[3], 'k', 2, key), 0);
    ck_assert(lane_is_first(&members[0]));
    ck_assert(lane_is_first(&members[3]));
    ck_assert_ptr_eq(lane_first(&members[2]), &members[0]);
    ck_assert_ptr_eq(lanes_leave(&lanes, &members[0]), &members[1]);
    ck_assert_ptr_eq(lanes_leave(&lanes, &members[1]), &members[2]);
    ck_assert_ptr_null(lanes_leave(&lanes, &members[2]));
}
END_TEST

START_TEST(leaving_from_the_middle_makes_nobody_first)
{
    join(0, 'k', 1, "a");
    join(1, 'k', 1, "a");
    join(2, 'k', 1, "a");
    ck_assert_ptr_null(lanes_leave(&lanes, &members[1]));
    ck_assert_ptr_eq(lanes_leave(&lanes, &members[0]), &members[2]);
}
END_TEST

START_TEST(kind_number_and_key_tell_lanes_apart)
{
    join(0, 'k', 1, "a");
    join(1, 'k', 2, "a");
    join(2, 't', 1, "a");
    join(3, 'k', 1, "");
    for (size_t i = 0; i < 4; i++)
        ck_assert(lane_is_first(&members[i]));
}
END_TEST

START_TEST(member_of_no_lane_is_first_and_leaves_silently)
{
    ck_assert(lane_is_first(&members[0]));
    ck_assert_ptr_null(lanes_leave(&lanes, &members[0]));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("lanes");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, members_of_one_key_go_one_after_another);
    tcase_add_test(tests, who_joins_in_front_goes_first);
    tcase_add_test(tests, leaving_from_the_middle_makes_nobody_first);
    tcase_add_test(tests, kind_number_and_key_tell_lanes_apart);
    tcase_add_test(tests, member_of_no_lane_is_first_and_leaves_silently);
    return unit_run("lanes", tests);
}
