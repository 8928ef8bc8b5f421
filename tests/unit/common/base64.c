#include "tests/unit/unit.h"

#include "common/base64.h"

#include "common/banned.h"

/* RFC 4648 section 10, and bytes that tell the two alphabets apart. */
static const struct {
    struct slice bytes;
    const char *standard;
    const char *url_safe;
} rows[] = {
    {SLICE(""), "", ""},
    {SLICE("f"), "Zg==", "Zg"},
    {SLICE("fo"), "Zm8=", "Zm8"},
    {SLICE("foo"), "Zm9v", "Zm9v"},
    {SLICE("foob"), "Zm9vYg==", "Zm9vYg"},
    {SLICE("fooba"), "Zm9vYmE=", "Zm9vYmE"},
    {SLICE("foobar"), "Zm9vYmFy", "Zm9vYmFy"},
    {SLICE("\xfb\xff\xfe\0"), "+//+AA==", "-__-AA"},
};

START_TEST(known_texts_go_both_ways)
{
    struct buffer out;
    buffer_init(&out, 100);
    base64_encode(&out, rows[_i].bytes);
    ck_assert_str_eq(out.data, rows[_i].standard);
    buffer_clear(&out);
    base64url_encode(&out, rows[_i].bytes);
    ck_assert_str_eq(out.data, rows[_i].url_safe);
    buffer_clear(&out);
    ck_assert(base64_decode(&out, slice_of_string(rows[_i].standard)));
    ck_assert(slice_equal(buffer_slice(&out), rows[_i].bytes));
    buffer_clear(&out);
    ck_assert(base64url_decode(&out, slice_of_string(rows[_i].url_safe)));
    ck_assert(slice_equal(buffer_slice(&out), rows[_i].bytes));
    buffer_release(&out);
}
END_TEST

static const char *const wrong[] = {
    "Zg",   "Zg=",       "Zg===",        "Z===", "====",
    "=",    "Zm9v Zm9v", "Zm9v\n",       "Zh==", /* stray bits */
    "Zm9=", "Zm-_",      "Zm9vYg==Zm9v", "Z",
};

START_TEST(what_is_not_base64_is_refused_and_leaves_the_buffer)
{
    struct buffer out;
    buffer_init(&out, 100);
    buffer_append_string(&out, "before");
    ck_assert(!base64_decode(&out, slice_of_string(wrong[_i])));
    ck_assert_str_eq(out.data, "before");
    ck_assert(!buffer_failed(&out));
    buffer_release(&out);
}
END_TEST

START_TEST(url_safe_form_has_no_padding_and_its_own_alphabet)
{
    struct buffer out;
    buffer_init(&out, 100);
    ck_assert(!base64url_decode(&out, slice_of_string("Zg==")));
    ck_assert(!base64url_decode(&out, slice_of_string("Zh")));
    ck_assert(!base64url_decode(&out, slice_of_string("Zm9vY")));
    ck_assert(!base64url_decode(&out, slice_of_string("+//+")));
    ck_assert(!base64url_decode(&out, slice_of("Zm\0v", 4)));
    buffer_release(&out);
}
END_TEST

START_TEST(ceiling_marks_the_buffer)
{
    struct buffer out;
    buffer_init(&out, 5);
    base64_encode(&out, slice_of_string("foobar"));
    ck_assert(buffer_failed(&out));
    buffer_release(&out);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("base64");
    tcase_add_loop_test(tests, known_texts_go_both_ways, 0, (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_loop_test(tests, what_is_not_base64_is_refused_and_leaves_the_buffer, 0,
                        (int)(sizeof(wrong) / sizeof(wrong[0])));
    tcase_add_test(tests, url_safe_form_has_no_padding_and_its_own_alphabet);
    tcase_add_test(tests, ceiling_marks_the_buffer);
    return unit_run("common/base64", tests);
}
