#include "tests/unit/unit.h"

#include "common/nearest.h"

#include "common/banned.h"

static const char *const names[] = {"targets", "taskId", "all", "projectId", NULL};

static const char *near(const char *word)
{
    return nearest_of(slice_of_string(word), names);
}

START_TEST(misspelt_names_find_theirs)
{
    ck_assert_str_eq(near("target"), "targets");
    ck_assert_str_eq(near("tragets"), "targets");
    ck_assert_str_eq(near("taskid"), "taskId");
    ck_assert_str_eq(near("project_id"), "projectId");
}
END_TEST

START_TEST(what_is_far_or_short_suggests_nothing)
{
    ck_assert_ptr_null(near("colour"));
    ck_assert_ptr_null(near("a"));
    ck_assert_ptr_null(near(""));
    ck_assert_ptr_null(
        near("targetstargetstargetstargetstargetstargetstargetstargetstargetstargets"));
}
END_TEST

START_TEST(the_nearest_of_several_wins)
{
    struct nearest nearest;
    nearest_begin(&nearest, slice_of_string("backofs"));
    nearest_offer(&nearest, slice_of_string("backups"));
    nearest_offer(&nearest, slice_of_string("backoff"));
    nearest_offer(&nearest, slice_of_string("backoffs"));
    ck_assert(slice_equals(nearest.name, "backoff"));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("nearest");
    tcase_add_test(tests, misspelt_names_find_theirs);
    tcase_add_test(tests, what_is_far_or_short_suggests_nothing);
    tcase_add_test(tests, the_nearest_of_several_wins);
    return unit_run("common/nearest", tests);
}
