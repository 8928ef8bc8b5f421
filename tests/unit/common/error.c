#include "tests/unit/unit.h"

#include "common/error.h"

#include "common/slice.h"

#include "common/banned.h"

START_TEST(set_fills_kind_and_message_and_returns_failure)
{
    struct error err = {0};
    ck_assert_int_eq(error_set(&err, ERROR_INPUT, "%s: expected %d", "id", 7), -1);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    ck_assert_str_eq(err.message, "id: expected 7");
}
END_TEST

START_TEST(prefix_goes_before_the_message_and_keeps_the_kind)
{
    struct error err;
    error_set(&err, ERROR_FATAL, "broken");
    ck_assert_int_eq(error_prefix(&err, "account %s", "hpc"), -1);
    ck_assert_str_eq(err.message, "account hpc: broken");
    ck_assert_int_eq(err.kind, ERROR_FATAL);
}
END_TEST

START_TEST(message_that_does_not_fit_is_cut_at_a_character)
{
    struct error err;
    char text[400];
    /* Three bytes a character; with one byte before them the 256 bytes end within one. */
    text[0] = 'x';
    for (size_t i = 1; i + 3 < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4);
    error_set(&err, ERROR_INPUT, "%s", text);
    ck_assert(slice_is_utf8(slice_of_string(err.message)));
    ck_assert_uint_eq(strlen(err.message),
                      1 + 84 * 3); /* one more would need 256 bytes and a NUL */
    ck_assert_int_eq(strncmp(err.message, text, strlen(err.message)), 0);
}
END_TEST

START_TEST(longest_message_is_kept_whole)
{
    struct error err;
    char text[256];
    memset(text, 'a', 255);
    text[255] = '\0';
    error_set(&err, ERROR_INPUT, "%s", text);
    ck_assert_str_eq(err.message, text);
}
END_TEST

START_TEST(message_may_be_made_of_its_own_old_text)
{
    struct error err;
    error_set(&err, ERROR_TEMPORARY, "inner");
    error_set(&err, ERROR_FATAL, "outer (%s)", err.message);
    ck_assert_str_eq(err.message, "outer (inner)");
}
END_TEST

START_TEST(long_prefix_leaves_a_valid_message)
{
    struct error err;
    char text[600];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    error_set(&err, ERROR_INPUT, "tail");
    error_prefix(&err, "%s", text);
    ck_assert(slice_is_utf8(slice_of_string(err.message)));
    ck_assert_uint_ge(strlen(err.message), 250);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("error");
    tcase_add_test(tests, set_fills_kind_and_message_and_returns_failure);
    tcase_add_test(tests, prefix_goes_before_the_message_and_keeps_the_kind);
    tcase_add_test(tests, message_that_does_not_fit_is_cut_at_a_character);
    tcase_add_test(tests, longest_message_is_kept_whole);
    tcase_add_test(tests, message_may_be_made_of_its_own_old_text);
    tcase_add_test(tests, long_prefix_leaves_a_valid_message);
    return unit_run("common/error", tests);
}
