#include "tests/unit/unit.h"

#include "common/buffer.h"

#include "common/banned.h"

START_TEST(appended_pieces_stand_in_order_and_terminated)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    buffer_append(&buffer, "ab", 2);
    buffer_append_slice(&buffer, slice_of("cdX", 2));
    buffer_append_string(&buffer, "ef");
    buffer_append_byte(&buffer, 'g');
    buffer_append_format(&buffer, "-%d-%s", 7, "h");
    ck_assert_str_eq(buffer.data, "abcdefg-7-h");
    ck_assert_uint_eq(buffer.len, 11);
    ck_assert(!buffer_failed(&buffer));
    buffer_release(&buffer);
}
END_TEST

START_TEST(integers_of_any_size)
{
    static const struct {
        int64_t value;
        const char *text;
    } rows[] = {{0, "0"},
                {-1, "-1"},
                {1234567890123, "1234567890123"},
                {INT64_MAX, "9223372036854775807"},
                {INT64_MIN, "-9223372036854775808"}};
    struct buffer buffer;
    buffer_init(&buffer, 100);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buffer_clear(&buffer);
        buffer_append_int(&buffer, rows[i].value);
        ck_assert_str_eq(buffer.data, rows[i].text);
    }
    buffer_release(&buffer);
}
END_TEST

START_TEST(ceiling_is_reached_but_not_passed)
{
    struct buffer buffer;
    buffer_init(&buffer, 4);
    buffer_append_string(&buffer, "abcd");
    ck_assert(!buffer_failed(&buffer));
    buffer_append_byte(&buffer, 'e');
    ck_assert(buffer_failed(&buffer));
    ck_assert_str_eq(buffer.data, "abcd");
    buffer_release(&buffer);
}
END_TEST

START_TEST(nothing_is_appended_after_a_failure_until_cleared)
{
    struct buffer buffer;
    buffer_init(&buffer, 4);
    buffer_append_string(&buffer, "ab");
    buffer_append_format(&buffer, "%s", "cde");
    buffer_append_byte(&buffer, 'c'); /* would fit */
    ck_assert(buffer_failed(&buffer));
    ck_assert_uint_eq(buffer.len, 2);
    ck_assert_ptr_null(buffer_take(&buffer, NULL));
    buffer_append_byte(&buffer, 'x');
    ck_assert_str_eq(buffer.data, "x");
    buffer_release(&buffer);
}
END_TEST

START_TEST(cleared_buffer_starts_anew)
{
    struct buffer buffer;
    buffer_init(&buffer, 4);
    buffer_append_string(&buffer, "abcd");
    buffer_append_byte(&buffer, 'e');
    buffer_clear(&buffer);
    ck_assert(!buffer_failed(&buffer));
    ck_assert_str_eq(buffer.data, "");
    buffer_append_string(&buffer, "wxyz");
    ck_assert_str_eq(buffer.data, "wxyz");
    ck_assert(!buffer_failed(&buffer));
    buffer_release(&buffer);
}
END_TEST

START_TEST(length_that_would_wrap_around_fails)
{
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    buffer_append_string(&buffer, "ab");
    volatile size_t huge = SIZE_MAX - 1; /* volatile: the compiler would refuse it */
    buffer_append(&buffer, "", huge);
    ck_assert(buffer_failed(&buffer));
    buffer_release(&buffer);
}
END_TEST

START_TEST(growth_keeps_every_byte)
{
    struct buffer buffer;
    buffer_init(&buffer, 1 << 20);
    for (int i = 0; i < 20000; i++)
        buffer_append_byte(&buffer, (char)('a' + i % 26));
    ck_assert_uint_eq(buffer.len, 20000);
    for (int i = 0; i < 20000; i++)
        ck_assert_int_eq(buffer.data[i], 'a' + i % 26);
    ck_assert_int_eq(buffer.data[20000], '\0');
    buffer_release(&buffer);
}
END_TEST

START_TEST(slice_of_an_untouched_buffer_is_present_and_empty)
{
    struct buffer buffer;
    buffer_init(&buffer, 4);
    ck_assert_ptr_nonnull(buffer_slice(&buffer).data);
    ck_assert_uint_eq(buffer_slice(&buffer).len, 0);
    buffer_append(&buffer, "", 0);
    ck_assert_str_eq(buffer.data, "");
    buffer_release(&buffer);
}
END_TEST

START_TEST(take_hands_over_and_leaves_an_empty_buffer)
{
    struct buffer buffer;
    buffer_init(&buffer, 4);
    buffer_append_string(&buffer, "abc");
    size_t len = 0;
    char *data = buffer_take(&buffer, &len);
    ck_assert_str_eq(data, "abc");
    ck_assert_uint_eq(len, 3);
    free(data);
    ck_assert_uint_eq(buffer.len, 0);
    ck_assert_uint_eq(buffer.ceiling, 4);
    data = buffer_take(&buffer, &len);
    ck_assert_str_eq(data, "");
    ck_assert_uint_eq(len, 0);
    free(data);
    buffer_release(&buffer);
}
END_TEST

START_TEST(wiped_buffer_is_empty_and_usable)
{
    struct buffer buffer;
    buffer_init(&buffer, 400);
    buffer_append_string(&buffer, "secret");
    buffer_wipe(&buffer);
    ck_assert_ptr_null(buffer.data);
    buffer_append_string(&buffer, "x");
    ck_assert_str_eq(buffer.data, "x");
    buffer_wipe(&buffer);
    buffer_wipe(&buffer);
}
END_TEST

START_TEST(wiping_keeps_memory_up_to_a_size)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    buffer_append_string(&buffer, "secret");
    buffer_wipe_kept(&buffer, buffer.capacity);
    ck_assert_uint_eq(buffer.len, 0);
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(buffer.data[i], 0);
    buffer_append_string(&buffer, "secret");
    buffer_wipe_kept(&buffer, buffer.capacity - 1);
    ck_assert_ptr_null(buffer.data);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("buffer");
    tcase_add_test(tests, wiping_keeps_memory_up_to_a_size);
    tcase_add_test(tests, appended_pieces_stand_in_order_and_terminated);
    tcase_add_test(tests, integers_of_any_size);
    tcase_add_test(tests, ceiling_is_reached_but_not_passed);
    tcase_add_test(tests, nothing_is_appended_after_a_failure_until_cleared);
    tcase_add_test(tests, cleared_buffer_starts_anew);
    tcase_add_test(tests, length_that_would_wrap_around_fails);
    tcase_add_test(tests, growth_keeps_every_byte);
    tcase_add_test(tests, slice_of_an_untouched_buffer_is_present_and_empty);
    tcase_add_test(tests, take_hands_over_and_leaves_an_empty_buffer);
    tcase_add_test(tests, wiped_buffer_is_empty_and_usable);
    return unit_run("common/buffer", tests);
}
