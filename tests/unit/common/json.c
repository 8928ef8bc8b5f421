#include "tests/unit/unit.h"

#include "common/json.h"

#include "common/banned.h"

enum { BYTES = 64 * 1024, DEPTH = 32 };

static struct json_document *parse(const char *text)
{
    struct error err;
    struct json_document *document = json_document_parse(slice_of_string(text), BYTES, DEPTH, &err);
    ck_assert_msg(document != NULL, "%s: %s", text, err.message);
    return document;
}

/* The message that refuses it. */
static const char *refusal(struct slice text)
{
    static struct error err;
    err = (struct error){0};
    struct json_document *document = json_document_parse(text, BYTES, DEPTH, &err);
    ck_assert_msg(document == NULL, "%.*s", SLICE_ARG(text));
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    return err.message;
}

START_TEST(values_are_read_by_kind)
{
    struct json_document *document = parse("{\"s\": \"te\\u0078t\", \"n\": -12, \"t\": true, "
                                           "\"z\": null, \"l\": [1, \"b\"], \"m\": {}}");
    const struct json_value *root = json_document_root(document);
    int64_t number = 0;
    bool truth = false;
    ck_assert_int_eq(json_value_kind(root), JSON_MAP);
    ck_assert_uint_eq(json_value_count(root), 6);
    ck_assert(slice_equals(json_value_text(json_value_get(root, "s")), "text"));
    ck_assert(json_value_int64(json_value_get(root, "n"), &number));
    ck_assert_int_eq(number, -12);
    ck_assert(json_value_bool(json_value_get(root, "t"), &truth));
    ck_assert(truth);
    ck_assert_int_eq(json_value_kind(json_value_get(root, "z")), JSON_NULL_VALUE);
    ck_assert_ptr_nonnull(json_value_get(root, "z"));
    const struct json_value *list = json_value_get(root, "l");
    ck_assert_uint_eq(json_value_count(list), 2);
    ck_assert(slice_equals(json_value_text(json_value_at(list, 1)), "b"));
    ck_assert_ptr_null(json_value_at(list, 2));
    ck_assert_uint_eq(json_value_count(json_value_get(root, "m")), 0);
    json_document_free(document);
}
END_TEST

START_TEST(wrong_kinds_and_nothing_read_as_absent)
{
    struct json_document *document = parse("{\"s\": \"1\", \"n\": 1, \"z\": null}");
    const struct json_value *root = json_document_root(document);
    const struct json_value *text = json_value_get(root, "s");
    const struct json_value *all[] = {NULL, text, json_value_get(root, "z")};
    for (size_t i = 0; i < 3; i++) {
        int64_t number = 42;
        bool truth = true;
        ck_assert(!json_value_int64(all[i], &number));
        ck_assert_int_eq(number, 42);
        ck_assert(!json_value_bool(all[i], &truth));
        ck_assert_ptr_null(json_value_get(all[i], "s"));
        ck_assert_ptr_null(json_value_at(all[i], 0));
        ck_assert_uint_eq(json_value_count(all[i]), 0);
    }
    ck_assert_ptr_null(json_value_text(NULL).data);
    ck_assert_ptr_null(json_value_text(json_value_get(root, "n")).data);
    ck_assert_ptr_null(json_value_text(root).data);
    ck_assert_int_eq(json_value_kind(NULL), JSON_NULL_VALUE);
    json_document_free(document);
    json_document_free(NULL);
}
END_TEST

START_TEST(kinds_have_names_for_people)
{
    struct json_document *document = parse("[{}, [], \"\", 1, 1.5, true, null]");
    static const char *const names[] = {"an object", "an array",  "a string", "a number",
                                        "a number",  "a boolean", "null",     "nothing"};
    for (size_t i = 0; i < 8; i++)
        ck_assert_str_eq(json_value_kind_name(json_value_at(json_document_root(document), i)),
                         names[i]);
    json_document_free(document);
}
END_TEST

START_TEST(a_scalar_is_a_document_too)
{
    struct json_document *document = parse(" 7 ");
    int64_t number;
    ck_assert(json_value_int64(json_document_root(document), &number));
    ck_assert_int_eq(number, 7);
    ck_assert_ptr_null(json_document_raw(document, "7").data);
    json_document_free(document);
}
END_TEST

static const struct {
    struct slice text;
    const char *why; /* part of the message */
} refused[] = {
    {SLICE(""), "empty"},
    {SLICE("  \n"), "empty"},
    {SLICE("{\"a\": 1"), "line 1, column 7"},
    {SLICE("{\"a\": 1,}"), "not JSON"},
    {SLICE("{\n\"a\": tru}"), "line 2"},
    {SLICE("{\"a\": 1} x"), "behind the value"},
    {SLICE("{\"a\": 1}{}"), "behind the value"},
    {SLICE("{\"a\": 1, \"a\": 2}"), "already has"},
    {SLICE("{\"a\": 1, \"\\u0061\": 2}"), "already has"},
    {SLICE("{\"b\": {\"a\": 1, \"a\": 2}}"), "already has"},
    {SLICE("\xef\xbb\xbf{}"), "byte order mark"},
    {SLICE("{}\0"), "NUL byte"},
    {SLICE("{\"a\": \"\\u0000\"}"), "NUL"},
    {SLICE("{\"\\u0000\": 1}"), "NUL"},
    {SLICE("{\"a\": \"\xff\"}"), "UTF-8"},
    {SLICE("{\"a\": \"\xed\xa0\x80\"}"), "UTF-8"},
    {SLICE("\"\\ud800\""), "not JSON"},
    {SLICE("\"\\ud83d\\u0041\""), "not JSON"},
    {SLICE("\"tab\there\""), "not JSON"},
    {SLICE("\"\\udc00\\ud800\""), "not JSON"},
    {SLICE("\"\\udc00\\udc00\""), "not JSON"},
    {SLICE("\"\\\0\""), "not JSON"},
    {SLICE("\"\\ud83d\""), "not JSON"},
    {SLICE("\"\\ud83d\\n\\ude00\""), "not JSON"},
    {SLICE("\"\\ud83d\\ude0\""), "not JSON"},
    {SLICE("\"\\u12g4\""), "not JSON"},
    {SLICE("\"\\u12\""), "not JSON"},
    {SLICE("\"\\U0041\""), "not JSON"},
    {SLICE("\"\\x41\""), "not JSON"},
    {SLICE("\"\\'\""), "not JSON"},
    {SLICE("\"\\\n\""), "not JSON"},
    {SLICE("\"\\\xc3\xa9\""), "not JSON"},
    {SLICE("\"\\\xa9\""), "UTF-8"},
    {SLICE("\"\xc0\xaf\""), "UTF-8"},
    {SLICE("\"\xf4\x90\x80\x80\""), "UTF-8"},
    {SLICE("\"cut \xe2\x82\""), "UTF-8"},
    {SLICE("\"a\0b\""), "line 1, column 3: a NUL byte"},
    {SLICE("\"open"), "ends within"},
    {SLICE("\"open\\"), "line 1"},
    {SLICE("'a'"), "not JSON"},
    {SLICE("["), "ends within"},
    {SLICE("{\"a\""), "ends within"},
    {SLICE("{\"a\":"), "ends within"},
    {SLICE("[1,"), "ends within"},
    {SLICE("[1,]"), "not JSON"},
    {SLICE("[,1]"), "not JSON"},
    {SLICE("[1 2]"), "not JSON"},
    {SLICE("[1}"), "not JSON"},
    {SLICE("{\"a\" 1}"), "not JSON"},
    {SLICE("{\"a\", 1}"), "not JSON"},
    {SLICE("{a: 1}"), "not JSON"},
    {SLICE("{,}"), "not JSON"},
    {SLICE("]"), "not JSON"},
    {SLICE("[1\f]"), "not JSON"},
    {SLICE("[1\xc2\xa0]"), "not JSON"},
    {SLICE("True"), "not JSON"},
    {SLICE("truefalse"), "not JSON"},
    {SLICE("nul"), "not JSON"},
    {SLICE("NaN"), "not JSON"},
    {SLICE("Infinity"), "not JSON"},
    {SLICE("// c\n1"), "not JSON"},
    {SLICE("01"), "not JSON"},
    {SLICE("-"), "ends within"},
    {SLICE("+1"), "not JSON"},
    {SLICE("1."), "ends within"},
    {SLICE(".5"), "not JSON"},
    {SLICE("1e"), "ends within"},
    {SLICE("[1e]"), "not JSON"},
    {SLICE("[1e+]"), "not JSON"},
    {SLICE("[1.e1]"), "not JSON"},
    {SLICE("[-a]"), "not JSON"},
    {SLICE("-01"), "not JSON"},
    {SLICE("0x10"), "line 1"},
    /* A number too wide for us must not make bad text good. */
    {SLICE("099999999999999999999999"), "line 1"},
    {SLICE("99999999999999999999999x"), "line 1"},
    {SLICE("99999999999999999999999."), "line 1"},
    {SLICE("99999999999999999999999e"), "line 1"},
    {SLICE("[99999999999999999999999 1]"), "line 1"},
    {SLICE("99999999999999999999999-99999999999999999999999"), "line 1"},
    {SLICE("--99999999999999999999999"), "line 1"},
    {SLICE("1-99999999999999999999999"), "line 1"},
    {SLICE("00e-999"), "line 1"},
    {SLICE("[0 1e-999]"), "line 1"},
    {SLICE("{99999999999999999999999: 1}"), "line 1"},
};

START_TEST(what_is_no_strict_json_is_refused_with_place_and_reason)
{
    const char *message = refusal(refused[_i].text);
    ck_assert_msg(strstr(message, refused[_i].why) != NULL, "%s", message);
}
END_TEST

START_TEST(refusals_do_not_quote_the_text)
{
    ck_assert_ptr_null(strstr(refusal(slice_of_string("{\"token\": hunter2}")), "hunter2"));
    ck_assert_ptr_null(
        strstr(refusal(slice_of_string("{\"k\": 1, \"hunter2\": 1, \"hunter2\": 1}")), "hunter2"));
}
END_TEST

START_TEST(size_has_a_ceiling)
{
    struct error err;
    struct json_document *document = json_document_parse(slice_of_string("[1]"), 3, DEPTH, &err);
    ck_assert_ptr_nonnull(document);
    json_document_free(document);
    ck_assert_ptr_null(json_document_parse(slice_of_string("[1]"), 2, DEPTH, &err));
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    ck_assert_str_eq(err.message, "3 bytes; expected at most 2");
}
END_TEST

START_TEST(depth_has_a_ceiling)
{
    struct error err;
    struct slice deep = slice_of_string("[{\"a\": [\"[[[[[\"]}, [[\n[1]]]]");
    struct json_document *document = json_document_parse(deep, BYTES, 4, &err);
    ck_assert_ptr_nonnull(document);
    json_document_free(document);
    ck_assert_ptr_null(json_document_parse(deep, BYTES, 3, &err));
    ck_assert_str_eq(err.message, "line 2, column 1: nested too deeply");
    ck_assert_ptr_nonnull(document = json_document_parse(slice_of_string("1"), BYTES, 0, &err));
    json_document_free(document);
    ck_assert_ptr_null(json_document_parse(slice_of_string("[]"), BYTES, 0, &err));
}
END_TEST

static const struct {
    const char *text;
    bool whole;
    int64_t value;
} numbers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"-0.0", true, 0},
    {"1.0", true, 1},
    {"4e3", true, 4000},
    {"1.5", false, 0},
    {"9007199254740992.0", true, 9007199254740992},
    {"9007199254740991.0", true, 9007199254740991},
    {"9007199254740992.5", false, 0},
    {"9007199254740993.0", false, 0},
    {"9007199254740994.0", false, 0},
    {"1.00000000000000000000000000000001", false, 0},
    {"12.50e1", true, 125},
    {"-0.05E+2", true, -5},
    {"1200e-2", true, 12},
    {"1200e-3", false, 0},
    {"9e15", true, 9000000000000000},
    {"10000000000000000.0", false, 0},
    {"-9007199254740992.0", true, -9007199254740992},
    {"-9007199254740993.0", false, 0},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"123456789012345678901234567890", false, 0},
    {"1e18", false, 0},
    {"1e308", false, 0},
    {"1e309", false, 0},
    {"-1e999", false, 0},
    {"1E+99999999999999999999999999", false, 0},
    {"1e-99999999999999999999999999", false, 0},
    {"0e99999999999999999999999999", true, 0},
    {"0.00000000000000000000000000000001e40", true, 100000000},
    {"100000000000000000000000e-23", true, 1},
};

START_TEST(whole_numbers_are_told_from_others)
{
    struct json_document *document = parse(numbers[_i].text);
    int64_t value = 42;
    bool whole = json_value_int64(json_document_root(document), &value);
    ck_assert_int_eq(json_value_kind(json_document_root(document)), JSON_NUMBER);
    ck_assert_int_eq(whole, numbers[_i].whole);
    ck_assert_int_eq(value, whole ? numbers[_i].value : 42);
    json_document_free(document);
}
END_TEST

START_TEST(a_wide_number_leaves_the_rest_readable_and_itself_raw)
{
    const char *text = "{\"a\":[99999999999999999999,\"99999999999999999999\"],\n"
                       " \"big\": -123456789012345678901234567890.5e+4000 , \"id\": \"c-1\"}";
    struct json_document *document = parse(text);
    const struct json_value *root = json_document_root(document);
    ck_assert(slice_equals(json_value_text(json_value_get(root, "id")), "c-1"));
    ck_assert(slice_equals(json_value_text(json_value_at(json_value_get(root, "a"), 1)),
                           "99999999999999999999"));
    ck_assert(slice_equals(json_document_raw(document, "big"),
                           "-123456789012345678901234567890.5e+4000"));
    ck_assert(slice_equals(json_document_raw(document, "a"),
                           "[99999999999999999999,\"99999999999999999999\"]"));
    json_document_free(document);
}
END_TEST

START_TEST(raw_members_are_those_of_the_top_level)
{
    struct json_document *document = parse(
        " {\"a\" : {\"b\": 1, \"c\": \"}\\\",\"} ,\"b\":\t[ 1 , {\"d\": []} ]\n, \"e\":\"\\\\\" }");
    ck_assert(slice_equals(json_document_raw(document, "a"), "{\"b\": 1, \"c\": \"}\\\",\"}"));
    ck_assert(slice_equals(json_document_raw(document, "b"), "[ 1 , {\"d\": []} ]"));
    ck_assert(slice_equals(json_document_raw(document, "e"), "\"\\\\\""));
    ck_assert_ptr_null(json_document_raw(document, "c").data);
    ck_assert_ptr_null(json_document_raw(document, "d").data);
    ck_assert_ptr_null(json_document_raw(document, "").data);
    json_document_free(document);
}
END_TEST

START_TEST(raw_members_of_lists_and_of_empty_objects_are_absent)
{
    struct json_document *document = parse("[{\"a\": 1}]");
    ck_assert_ptr_null(json_document_raw(document, "a").data);
    json_document_free(document);
    document = parse("{ }");
    ck_assert_ptr_null(json_document_raw(document, "a").data);
    json_document_free(document);
}
END_TEST

START_TEST(raw_names_may_be_written_with_escapes)
{
    struct json_document *document =
        parse("{\"\\u0063ontext\": 1, \"a\\/\\n\\\"\": 2, \"\\u20AC\": 3, \"\\ud83d\\ude00\": 4,"
              " \"\\u00e9t\\u00e9\": 5, \"con\\u0074\": 6}");
    ck_assert(slice_equals(json_document_raw(document, "context"), "1"));
    ck_assert(slice_equals(json_document_raw(document, "a/\n\""), "2"));
    ck_assert(slice_equals(json_document_raw(document, "\xe2\x82\xac"), "3"));
    ck_assert(slice_equals(json_document_raw(document, "\xf0\x9f\x98\x80"), "4"));
    ck_assert(slice_equals(json_document_raw(document, "\xc3\xa9t\xc3\xa9"), "5"));
    ck_assert(slice_equals(json_document_raw(document, "cont"), "6"));
    ck_assert_ptr_null(json_document_raw(document, "con").data);
    ck_assert_ptr_null(json_document_raw(document, "content").data);
    json_document_free(document);
}
END_TEST

static bool count_to_two(void *context, struct slice name, const struct json_value *value)
{
    int *count = context;
    ck_assert_uint_eq(name.len, 1);
    ck_assert_int_eq(json_value_kind(value), JSON_NUMBER);
    return ++*count < 2;
}

START_TEST(each_visits_members_until_told_to_stop)
{
    struct json_document *document = parse("{\"a\": 1, \"b\": 2, \"c\": 3}");
    int count = 0;
    json_value_each(json_document_root(document), count_to_two, &count);
    ck_assert_int_eq(count, 2);
    json_value_each(NULL, count_to_two, &count);
    ck_assert_int_eq(count, 2);
    json_document_free(document);
}
END_TEST

static bool write_name(void *context, struct slice name, const struct json_value *value)
{
    (void)value;
    buffer_append_slice(context, name);
    return true;
}

START_TEST(each_goes_in_the_order_of_the_text)
{
    struct buffer names;
    buffer_init(&names, 100);
    struct json_document *document =
        parse("{\"b\": {\"x\": 1}, \"\\u0061\": 2, \"\": 3, \"c\": []}");
    json_value_each(json_document_root(document), write_name, &names);
    ck_assert_str_eq(names.data, "bac");
    json_document_free(document);
    buffer_release(&names);
}
END_TEST

START_TEST(escapes_mean_their_characters)
{
    struct json_document *document =
        parse("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\\u0001\\u007F\\u0080\\u07ff\\u0800\\uFFFF\","
              " \"\\ud800\\udc00\\uDBFF\\uDFFF\", \"plain \\u0061 plain\", \"\\ud7ff\\ue000\"]");
    static const char *const texts[] = {
        "\"\\/\b\f\n\r\t", "\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf",
        "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "plain a plain", "\xed\x9f\xbf\xee\x80\x80"};
    const struct json_value *root = json_document_root(document);
    for (size_t i = 0; i < 5; i++)
        ck_assert(slice_equals(json_value_text(json_value_at(root, i)), texts[i]));
    json_document_free(document);
}
END_TEST

/* Strings are passed over eight bytes at a time: what is not plain is found at every place of such
 * a word and behind the last one. */
START_TEST(what_is_special_is_found_wherever_it_stands)
{
    static const char bad[] = {'\0', '\x01', '\x1f', '\x80', '\xff', '\xc3'};
    for (size_t len = 1; len < 20; len++) {
        for (size_t at = 0; at < len; at++) {
            char text[32];
            memset(text, at % 2 ? ' ' : '~', sizeof(text)); /* what is just plain */
            text[0] = text[len + 1] = '"';
            struct slice whole = slice_of(text, len + 2);
            for (size_t i = 0; i < sizeof(bad); i++) {
                text[at + 1] = bad[i];
                (void)refusal(whole);
            }
            text[at + 1] = '"';
            char place[64];
            (void)snprintf(place, sizeof(place), "line 1, column %zu: more text behind the value",
                           at % 2 ? len + 2 : at + 3); /* behind blanks, or at once */
            ck_assert_str_eq(refusal(whole), place);
            text[at + 1] = '\x7f';
            struct error err;
            struct json_document *document = json_document_parse(whole, BYTES, DEPTH, &err);
            ck_assert_ptr_nonnull(document);
            ck_assert(slice_equal(json_value_text(json_document_root(document)),
                                  slice_of(text + 1, len)));
            json_document_free(document);
        }
    }
}
END_TEST

/* {"m000000":0,...} up to `count`, then `more`. */
static void write_members(struct buffer *out, int count, const char *more)
{
    buffer_append_byte(out, '{');
    for (int i = 0; i < count; i++)
        buffer_append_format(out, "%s\"m%06d\":%d", i > 0 ? "," : "", i, i);
    buffer_append_format(out, "%s}", more);
}

START_TEST(members_of_every_number_are_found_by_name)
{
    for (int count = 1; count < 40; count++) {
        struct buffer text;
        buffer_init(&text, BYTES);
        write_members(&text, count, "");
        struct json_document *document = parse(text.data);
        const struct json_value *root = json_document_root(document);
        ck_assert_uint_eq(json_value_count(root), (size_t)count);
        for (int i = 0; i < count; i++) {
            char name[16];
            int64_t number = -1;
            (void)snprintf(name, sizeof(name), "m%06d", i);
            ck_assert(json_value_int64(json_value_get(root, name), &number));
            ck_assert_int_eq(number, i);
        }
        ck_assert_ptr_null(json_value_get(root, "m"));
        ck_assert_ptr_null(json_value_get(root, "m000050"));
        ck_assert_ptr_null(json_value_get(root, "a000000"));
        json_document_free(document);
        buffer_clear(&text);
        write_members(&text, count, ",\n\"m\\u0030\\u0030000\\u0030\" : [1]");
        ck_assert_str_eq(refusal(buffer_slice(&text)),
                         "line 2, column 24: a member name that the object already has");
        buffer_release(&text);
    }
}
END_TEST

/* Compared each with each they would take minutes, and the test has seconds. */
START_TEST(very_many_members_take_no_time)
{
    enum { MANY = 200 * 1000, MOST = 8 * 1000 * 1000 };
    struct buffer text;
    struct error err = {0};
    buffer_init(&text, MOST);
    write_members(&text, MANY, "");
    struct json_document *document = json_document_parse(buffer_slice(&text), MOST, 1, &err);
    ck_assert_msg(document != NULL, "%s", err.message);
    int64_t number = 0;
    ck_assert(json_value_int64(json_value_get(json_document_root(document), "m012345"), &number));
    ck_assert_int_eq(number, 12345);
    json_document_free(document);
    buffer_release(&text);
}
END_TEST

START_TEST(documents_live_and_end_in_any_order)
{
    struct buffer large;
    buffer_init(&large, 1 << 20);
    buffer_append_byte(&large, '[');
    for (int i = 0; i < 20000; i++)
        buffer_append_format(&large, "%s{\"\\u0061\":[\"\\u0062%d\"]}", i > 0 ? "," : "", i);
    buffer_append_byte(&large, ']');
    struct error err;
    struct json_document *first = parse("{\"id\": \"c-1\", \"n\": 1e999}");
    struct json_document *second = json_document_parse(buffer_slice(&large), 1 << 20, 3, &err);
    struct json_document *third = parse("[7]");
    ck_assert_ptr_nonnull(second);
    json_document_free(first);
    for (int i = 0; i < 20000; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "b%d", i);
        const struct json_value *item = json_value_at(json_document_root(second), (size_t)i);
        ck_assert(slice_equals(json_value_text(json_value_at(json_value_get(item, "a"), 0)), text));
    }
    json_document_free(second);
    int64_t number = 0;
    ck_assert(json_value_int64(json_value_at(json_document_root(third), 0), &number));
    ck_assert_int_eq(number, 7);
    json_document_free(third);
    buffer_release(&large);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("json");
    tcase_set_timeout(tests, 20); /* for very_many_members_take_no_time on a busy machine */
    tcase_add_test(tests, values_are_read_by_kind);
    tcase_add_test(tests, wrong_kinds_and_nothing_read_as_absent);
    tcase_add_test(tests, kinds_have_names_for_people);
    tcase_add_test(tests, a_scalar_is_a_document_too);
    tcase_add_loop_test(tests, what_is_no_strict_json_is_refused_with_place_and_reason, 0,
                        (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(tests, refusals_do_not_quote_the_text);
    tcase_add_test(tests, size_has_a_ceiling);
    tcase_add_test(tests, depth_has_a_ceiling);
    tcase_add_loop_test(tests, whole_numbers_are_told_from_others, 0,
                        (int)(sizeof(numbers) / sizeof(numbers[0])));
    tcase_add_test(tests, a_wide_number_leaves_the_rest_readable_and_itself_raw);
    tcase_add_test(tests, raw_members_are_those_of_the_top_level);
    tcase_add_test(tests, raw_members_of_lists_and_of_empty_objects_are_absent);
    tcase_add_test(tests, raw_names_may_be_written_with_escapes);
    tcase_add_test(tests, each_visits_members_until_told_to_stop);
    tcase_add_test(tests, each_goes_in_the_order_of_the_text);
    tcase_add_test(tests, escapes_mean_their_characters);
    tcase_add_test(tests, what_is_special_is_found_wherever_it_stands);
    tcase_add_test(tests, members_of_every_number_are_found_by_name);
    tcase_add_test(tests, very_many_members_take_no_time);
    tcase_add_test(tests, documents_live_and_end_in_any_order);
    return unit_run("common/json", tests);
}
