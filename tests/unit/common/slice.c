#include "tests/unit/unit.h"

#include "common/slice.h"

#include "common/banned.h"

static struct slice text(const char *string)
{
    return slice_of_string(string);
}

START_TEST(absent_and_empty_are_equal_but_distinguishable)
{
    ck_assert(slice_equal(text(NULL), text("")));
    ck_assert_ptr_null(text(NULL).data);
    ck_assert_ptr_nonnull(text("").data);
    ck_assert(!slice_equals(text("a"), "b"));
    ck_assert(!slice_equals(text("a"), "ab"));
}
END_TEST

START_TEST(case_is_ignored_for_ascii_letters_only)
{
    ck_assert(slice_equals_ignoring_case(text("Retry-AFTER"), "retry-after"));
    ck_assert(!slice_equals_ignoring_case(text("retry-afte"), "retry-after"));
    ck_assert(!slice_equals_ignoring_case(text("["), "{")); /* they differ by the case bit */
    ck_assert(!slice_equals_ignoring_case(text("@"), "`"));
}
END_TEST

START_TEST(starts_and_ends)
{
    ck_assert(slice_starts_with(text("${NAME}"), "${"));
    ck_assert(!slice_starts_with(text("$"), "${"));
    ck_assert(slice_starts_with(text(NULL), ""));
    ck_assert(slice_ends_with(text("200ms"), "ms"));
    ck_assert(!slice_ends_with(text("200ms"), "s1"));
    ck_assert(!slice_ends_with(text("s"), "ms"));
    ck_assert(slice_ends_with(text(NULL), ""));
}
END_TEST

START_TEST(word_has_only_its_alphabet_and_length)
{
    const char *ids = "azAZ09__--";
    ck_assert(slice_is_word(text("Az09_-"), ids, 6));
    ck_assert(!slice_is_word(text("Az09_-"), ids, 5));
    ck_assert(!slice_is_word(text(""), ids, 5));
    ck_assert(!slice_is_word(text("a b"), ids, 5));
    ck_assert(!slice_is_word(text("a/b"), ids, 5));
    ck_assert(!slice_is_word(text("\xc3\xa9"), ids, 5));
    ck_assert(!slice_is_word(slice_of("a\0", 2), ids, 5));
    ck_assert(!slice_is_word(text("A"), "af09", 5));
}
END_TEST

static const struct {
    const char *bytes;
    size_t first; /* length of the first character; 0: none */
} utf8_rows[] = {
    {"a", 1},
    {"\x7f", 1},
    {"\xc2\x80", 2},
    {"\xdf\xbf", 2},
    {"\xe0\xa0\x80", 3},
    {"\xed\x9f\xbf", 3},
    {"\xee\x80\x80", 3},
    {"\xf0\x90\x80\x80", 4},
    {"\xf4\x8f\xbf\xbf", 4},
    {"\x80", 0},             /* continuation alone */
    {"\xc1\xbf", 0},         /* overlong */
    {"\xe0\x9f\xbf", 0},     /* overlong */
    {"\xf0\x8f\xbf\xbf", 0}, /* overlong */
    {"\xed\xa0\x80", 0},     /* surrogate */
    {"\xf4\x90\x80\x80", 0}, /* beyond U+10FFFF */
    {"\xf5\x80\x80\x80", 0},
    {"\xff", 0},
    {"\xc3", 0}, /* cut */
    {"\xe2\x82", 0},
    {"\xe2\x82z", 0},
    {"\xf0\x90\x80z", 0},
};

START_TEST(utf8_is_well_formed_or_refused)
{
    struct slice row = text(utf8_rows[_i].bytes);
    ck_assert_uint_eq(slice_utf8_first(row), utf8_rows[_i].first);
    ck_assert_int_eq(slice_is_utf8(row), utf8_rows[_i].first != 0);
}
END_TEST

START_TEST(cut_leaves_whole_characters)
{
    const char *euros = "a\xe2\x82\xac\xe2\x82\xac";
    ck_assert_uint_eq(slice_cut_utf8(text(euros), 7).len, 7);
    ck_assert_uint_eq(slice_cut_utf8(text(euros), 6).len, 4);
    ck_assert_uint_eq(slice_cut_utf8(text(euros), 5).len, 4);
    ck_assert_uint_eq(slice_cut_utf8(text(euros), 4).len, 4);
    ck_assert_uint_eq(slice_cut_utf8(text(euros), 3).len, 1);
    ck_assert_uint_eq(slice_cut_utf8(text("\xf0\x9f\x98\x80"), 3).len, 0);
    ck_assert_uint_eq(slice_cut_utf8(text("\x80\x80\x80\x80\x80\x80"), 5).len, 5);
    ck_assert_uint_eq(slice_cut_utf8(text(NULL), 5).len, 0);
}
END_TEST

static const struct {
    const char *digits;
    bool fine;
    int64_t value;
} number_rows[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"007", true, 7},
    {"-12", true, -12},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"99999999999999999999", false, 0},
    {"", false, 0},
    {"-", false, 0},
    {"--1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"1.0", false, 0},
    {"0x1", false, 0},
};

START_TEST(numbers_are_whole_and_in_range)
{
    int64_t value = 42;
    bool fine = slice_to_int64(text(number_rows[_i].digits), &value);
    ck_assert_int_eq(fine, number_rows[_i].fine);
    ck_assert_int_eq(value, fine ? number_rows[_i].value : 42);
}
END_TEST

START_TEST(number_ends_with_the_slice)
{
    int64_t value;
    ck_assert(slice_to_int64(slice_of("1234", 2), &value));
    ck_assert_int_eq(value, 12);
}
END_TEST

START_TEST(copy_is_terminated)
{
    char *copy = slice_dup(slice_of("abcd", 2));
    ck_assert_str_eq(copy, "ab");
    free(copy);
    copy = slice_dup(text(NULL));
    ck_assert_str_eq(copy, "");
    free(copy);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("slice");
    tcase_add_test(tests, absent_and_empty_are_equal_but_distinguishable);
    tcase_add_test(tests, case_is_ignored_for_ascii_letters_only);
    tcase_add_test(tests, starts_and_ends);
    tcase_add_test(tests, word_has_only_its_alphabet_and_length);
    tcase_add_loop_test(tests, utf8_is_well_formed_or_refused, 0,
                        (int)(sizeof(utf8_rows) / sizeof(utf8_rows[0])));
    tcase_add_test(tests, cut_leaves_whole_characters);
    tcase_add_loop_test(tests, numbers_are_whole_and_in_range, 0,
                        (int)(sizeof(number_rows) / sizeof(number_rows[0])));
    tcase_add_test(tests, number_ends_with_the_slice);
    tcase_add_test(tests, copy_is_terminated);
    return unit_run("common/slice", tests);
}
