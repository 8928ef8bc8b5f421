#include "tests/unit/unit.h"

#include "common/json.h"

#include "common/banned.h"

static struct buffer out;

static void start(void)
{
    buffer_init(&out, 64 * 1024);
}

static void finish(void)
{
    buffer_release(&out);
}

static const struct {
    const char *text, *compact;
} compact_rows[] = {
    {"{ \"a\" : [ 1 ,\t2 ] ,\r\n \"b\" : 1.50E+3 }", "{\"a\":[1,2],\"b\":1.50E+3}"},
    {"\"a b\"", "\"a b\""},
    {" \" \\\" \\\\\" ", "\" \\\" \\\\\""},
    {"[\" \\\\\" , \" \"]", "[\" \\\\\",\" \"]"},
    {"\"\\u0020\\t\"", "\"\\u0020\\t\""},
    {"  12345678901234567890123  ", "12345678901234567890123"},
    {"", ""},
    {" ", ""},
    {"\"open  ", "\"open  "},
    {"\"open \\", "\"open \\"},
};

START_TEST(compact_drops_blanks_outside_strings_only)
{
    json_write_compact(&out, slice_of_string(compact_rows[_i].text));
    ck_assert(slice_equals(buffer_slice(&out), compact_rows[_i].compact));
}
END_TEST

START_TEST(compact_of_nothing_is_nothing)
{
    json_write_compact(&out, slice_of(NULL, 0));
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

static const struct {
    struct slice text;
    const char *json;
} string_rows[] = {
    {SLICE(""), "\"\""},
    {SLICE("plain"), "\"plain\""},
    {SLICE("a\"b\\c/d"), "\"a\\\"b\\\\c/d\""},
    {SLICE("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
    {SLICE("\0\x01\x0b\x1f\x7f"), "\"\\u0000\\u0001\\u000b\\u001f\x7f\""},
    {SLICE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {SLICE("a\xff\xe2\x82z"), "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\""},
    {SLICE("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {SLICE("end\xc3"), "\"end\xef\xbf\xbd\""},
};

START_TEST(strings_are_escaped_and_always_utf8)
{
    json_write_string(&out, string_rows[_i].text);
    ck_assert(slice_equals(buffer_slice(&out), string_rows[_i].json));
}
END_TEST

START_TEST(absent_text_is_an_empty_string)
{
    json_write_string(&out, slice_of(NULL, 0));
    ck_assert_str_eq(out.data, "\"\"");
}
END_TEST

START_TEST(any_byte_comes_back_from_the_reader)
{
    char all[127];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i + 1);
    json_write_string(&out, slice_of(all, sizeof(all)));
    struct error err;
    struct json_document *document = json_document_parse(buffer_slice(&out), 4096, 1, &err);
    ck_assert_ptr_nonnull(document);
    ck_assert(
        slice_equal(json_value_text(json_document_root(document)), slice_of(all, sizeof(all))));
    json_document_free(document);
}
END_TEST

START_TEST(members_are_separated_by_commas)
{
    buffer_append_byte(&out, '{');
    json_write_string_member(&out, "id", slice_of_string("c-1"));
    json_write_int_member(&out, "attempts", -2);
    json_write_member(&out, "error");
    buffer_append_byte(&out, '{');
    json_write_string_member(&out, "kind", slice_of_string("{"));
    json_write_member(&out, "code");
    json_write_int(&out, INT64_MIN);
    buffer_append_string(&out, "}}");
    ck_assert_str_eq(out.data, "{\"id\":\"c-1\",\"attempts\":-2,\"error\":{\"kind\":\"{\","
                               "\"code\":-9223372036854775808}}");
}
END_TEST

START_TEST(ceiling_is_kept)
{
    struct buffer small;
    buffer_init(&small, 8);
    json_write_string_member(&small, "name", slice_of_string("value"));
    ck_assert(buffer_failed(&small));
    ck_assert_uint_le(small.len, 8);
    buffer_release(&small);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("json_write");
    tcase_add_checked_fixture(tests, start, finish);
    tcase_add_loop_test(tests, compact_drops_blanks_outside_strings_only, 0,
                        (int)(sizeof(compact_rows) / sizeof(compact_rows[0])));
    tcase_add_test(tests, compact_of_nothing_is_nothing);
    tcase_add_loop_test(tests, strings_are_escaped_and_always_utf8, 0,
                        (int)(sizeof(string_rows) / sizeof(string_rows[0])));
    tcase_add_test(tests, absent_text_is_an_empty_string);
    tcase_add_test(tests, any_byte_comes_back_from_the_reader);
    tcase_add_test(tests, members_are_separated_by_commas);
    tcase_add_test(tests, ceiling_is_kept);
    return unit_run("common/json_write", tests);
}
