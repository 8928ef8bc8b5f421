#include "tests/unit/unit.h"

#include "common/option.h"

#include "common/banned.h"

static const struct option rows[] = {
    {.path = "name", .type = OPTION_STRING},
    {.path = "group", .type = OPTION_STRING, .default_text = "kancel"},
    {.path = "key", .type = OPTION_SECRET},
    {.path = "confirm", .type = OPTION_BOOL, .default_text = "true"},
    {.path = "limits.calls",
     .type = OPTION_INTEGER,
     .default_text = "100",
     .minimum = 1,
     .maximum = 1000},
    {.path = "offset", .type = OPTION_INTEGER, .minimum = -5},
    {.path = "timeout",
     .type = OPTION_DURATION,
     .default_text = "10s",
     .minimum = 1,
     .maximum = 5400000},
    {.path = "max_age", .type = OPTION_DURATION, .default_text = "24h"},
    {.path = "backoff",
     .type = OPTION_DURATION_RANGE,
     .default_text = "200ms..30s",
     .minimum = 10,
     .maximum = 60000},
    {.path = "rate", .type = OPTION_RATE, .default_text = "200/s"},
    {.path = "delivery",
     .type = OPTION_CHOICE,
     .default_text = "exactly_once",
     .choices = "exactly_once|at_least_once"},
    {.path = "level", .type = OPTION_CHOICE, .choices = "debug|info|warn|error"},
    {.path = "topics", .type = OPTION_LIST, .default_text = "[a, b]"},
    {.path = "replies", .type = OPTION_LIST},
    {.path = "properties", .type = OPTION_MAP},
    {0},
};

static struct option_values *values;

static void start(void)
{
    values = option_values_new(rows);
    ck_assert_ptr_nonnull(values);
}

static void finish(void)
{
    option_values_free(values);
}

static void set(const char *path, const char *text)
{
    struct error err;
    ck_assert_msg(option_values_set(values, path, slice_of_string(text), &err) == 0, "%s: %s", text,
                  err.message);
}

static const char *refusal(const char *path, struct slice text)
{
    static struct error err;
    err = (struct error){0};
    ck_assert_int_eq(option_values_set(values, path, text, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    return err.message;
}

START_TEST(defaults_hold_until_set)
{
    int64_t low;
    int64_t high;
    ck_assert_ptr_null(option_values_string(values, "name"));
    ck_assert_str_eq(option_values_string(values, "group"), "kancel");
    ck_assert_ptr_null(option_values_secret(values, "key"));
    ck_assert(option_values_bool(values, "confirm"));
    ck_assert_int_eq(option_values_integer(values, "limits.calls"), 100);
    ck_assert_int_eq(option_values_integer(values, "offset"), 0);
    ck_assert_int_eq(option_values_integer(values, "timeout"), 10000);
    ck_assert_int_eq(option_values_integer(values, "max_age"), 86400000);
    option_values_range(values, "backoff", &low, &high);
    ck_assert_int_eq(low, 200);
    ck_assert_int_eq(high, 30000);
    ck_assert_int_eq(option_values_integer(values, "rate"), 200000);
    ck_assert_str_eq(option_values_string(values, "delivery"), "exactly_once");
    ck_assert_ptr_null(option_values_string(values, "level"));
    ck_assert_uint_eq(option_values_count(values, "topics"), 2);
    ck_assert_str_eq(option_values_item(values, "topics", 0), "a");
    ck_assert_str_eq(option_values_item(values, "topics", 1), "b");
    ck_assert_uint_eq(option_values_count(values, "properties"), 0);
    for (const struct option *row = rows; row->path != NULL; row++)
        ck_assert(!option_values_given(values, row->path));
}
END_TEST

START_TEST(set_values_are_read_back_and_given)
{
    int64_t low;
    int64_t high;
    set("name", "x");
    set("name", "y");
    set("key", "s3cret");
    set("confirm", "false");
    set("limits.calls", "1000");
    set("offset", "-5");
    set("backoff", "1s..1m");
    set("delivery", "at_least_once");
    ck_assert_str_eq(option_values_string(values, "name"), "y");
    ck_assert_str_eq(option_values_secret(values, "key")->value, "s3cret");
    ck_assert(!option_values_bool(values, "confirm"));
    ck_assert_int_eq(option_values_integer(values, "limits.calls"), 1000);
    ck_assert_int_eq(option_values_integer(values, "offset"), -5);
    option_values_range(values, "backoff", &low, &high);
    ck_assert_int_eq(low, 1000);
    ck_assert_int_eq(high, 60000);
    ck_assert_str_eq(option_values_string(values, "delivery"), "at_least_once");
    ck_assert(option_values_given(values, "name"));
    ck_assert(!option_values_given(values, "group"));
    ck_assert(!option_values_given(values, "nothing"));
}
END_TEST

static const struct {
    const char *text;
    int64_t ms;
} durations[] = {{"0s", 0},      {"0ms", 0},     {"200ms", 200},
                 {"30s", 30000}, {"5m", 300000}, {"24h", 86400000}};

START_TEST(durations_have_units)
{
    set("max_age", durations[_i].text);
    ck_assert_int_eq(option_values_integer(values, "max_age"), durations[_i].ms);
}
END_TEST

static const struct {
    const char *text;
    int64_t thousandths;
} rates[] = {
    {"200/s", 200000}, {"30/m", 500},    {"0.5/s", 500}, {"36/h", 10},
    {"0/s", 0},        {"0", 0},         {"1/m", 16},    {"999999999/s", 999999999000},
    {"0.001/s", 1},    {"1.25/s", 1250},
};

START_TEST(rates_are_held_in_thousandths_per_second)
{
    set("rate", rates[_i].text);
    ck_assert_int_eq(option_values_integer(values, "rate"), rates[_i].thousandths);
}
END_TEST

#define DURATION "expected a duration such as 200ms, 30s, 5m or 24h"
#define RANGE    "expected a range of durations such as 200ms..30s"
#define RATE     "expected a rate such as 200/s, 30/m or 0.5/s"
static const struct {
    const char *path;
    struct slice text;
    const char *message;
} mistakes[] = {
    {"name", SLICE("a\0b"), "expected text without NUL bytes"},
    {"name", SLICE("a\xff"), "expected text in UTF-8"},
    {"confirm", SLICE("yes"), "expected true or false"},
    {"confirm", SLICE(""), "expected true or false"},
    {"limits.calls", SLICE("0"), "expected a whole number from 1 to 1000"},
    {"limits.calls", SLICE("1001"), "expected a whole number from 1 to 1000"},
    {"limits.calls", SLICE("1.5"), "expected a whole number from 1 to 1000"},
    {"limits.calls", SLICE("many"), "expected a whole number from 1 to 1000"},
    {"offset", SLICE("-6"), "expected a whole number of at least -5"},
    {"timeout", SLICE("0"), DURATION},
    {"timeout", SLICE("10"), DURATION},
    {"timeout", SLICE("s"), DURATION},
    {"timeout", SLICE("ms"), DURATION},
    {"timeout", SLICE("-1s"), DURATION},
    {"timeout", SLICE("1.5s"), DURATION},
    {"timeout", SLICE("1 s"), DURATION},
    {"timeout", SLICE("1d"), DURATION},
    {"timeout", SLICE(""), DURATION},
    {"timeout", SLICE("9223372036854775807s"), DURATION},
    {"timeout", SLICE("0s"), "expected a duration from 1ms to 90m"},
    {"timeout", SLICE("91m"), "expected a duration from 1ms to 90m"},
    {"backoff", SLICE("1s"), RANGE},
    {"backoff", SLICE("1s.."), RANGE},
    {"backoff", SLICE("..1s"), RANGE},
    {"backoff", SLICE("1s...2s"), RANGE},
    {"backoff", SLICE("1..2s"), RANGE},
    {"backoff", SLICE("2s..1s"), RANGE ", the shorter one first"},
    {"backoff", SLICE("1ms..1s"), "expected a duration from 10ms to 1m"},
    {"backoff", SLICE("1s..2m"), "expected a duration from 10ms to 1m"},
    {"rate", SLICE("200"), RATE},
    {"rate", SLICE("200/d"), RATE},
    {"rate", SLICE("200/"), RATE},
    {"rate", SLICE("200/\0"), RATE},
    {"rate", SLICE("/s"), RATE},
    {"rate", SLICE("-1/s"), RATE},
    {"rate", SLICE("1./s"), RATE},
    {"rate", SLICE(".5/s"), RATE},
    {"rate", SLICE("1.-5/s"), RATE},
    {"rate", SLICE("1e3/s"), RATE},
    {"rate", SLICE("1 /s"), RATE},
    {"rate", SLICE("1000000000/s"), RATE},
    {"rate", SLICE("1.0000000001/s"), RATE},
    {"rate", SLICE("1/s/s"), RATE},
    {"rate", SLICE("1/h"), "expected a rate of at least 0.001/s, or 0/s for none"},
    {"delivery", SLICE("exactly-once"),
     "expected exactly_once or at_least_once; did you mean exactly_once?"},
    {"delivery", SLICE("none"), "expected exactly_once or at_least_once"},
    {"level", SLICE("inof"), "expected debug, info, warn or error; did you mean info?"},
    {"level", SLICE("warning"), "expected debug, info, warn or error"},
    {"level", SLICE(""), "expected debug, info, warn or error"},
    {"level", SLICE("debug|info"), "expected debug, info, warn or error"},
    {"topics", SLICE("a"), "expected a list"},
    {"properties", SLICE("a"), "expected a mapping"},
    {"timeuot", SLICE("1s"), "unknown option; did you mean timeout?"},
    {"limits.cals", SLICE("1"), "unknown option; did you mean limits.calls?"},
    {"certificate", SLICE("x"), "unknown option"},
};

START_TEST(mistakes_name_what_was_expected)
{
    ck_assert_str_eq(refusal(mistakes[_i].path, mistakes[_i].text), mistakes[_i].message);
}
END_TEST

START_TEST(mistakes_leave_the_old_value_and_are_not_given)
{
    ck_assert_ptr_nonnull(refusal("timeout", slice_of_string("x")));
    ck_assert_int_eq(option_values_integer(values, "timeout"), 10000);
    ck_assert(!option_values_given(values, "timeout"));
    set("level", "info");
    ck_assert_ptr_nonnull(refusal("level", slice_of_string("x")));
    ck_assert_str_eq(option_values_string(values, "level"), "info");
}
END_TEST

START_TEST(list_items_take_the_defaults_place)
{
    struct error err;
    ck_assert_int_eq(option_values_add(values, "topics", slice_of_string("x"), &err), 0);
    ck_assert_int_eq(option_values_add(values, "topics", slice_of_string("x"), &err), 0);
    ck_assert_uint_eq(option_values_count(values, "topics"), 2);
    ck_assert_str_eq(option_values_item(values, "topics", 1), "x");
    ck_assert_ptr_null(option_values_item(values, "topics", 2));
    ck_assert(option_values_given(values, "topics"));
    ck_assert_int_eq(option_values_add(values, "name", slice_of_string("x"), &err), -1);
    ck_assert_str_eq(err.message, "expected a single value, not a list");
}
END_TEST

START_TEST(list_may_be_given_and_empty)
{
    set("topics", NULL);
    ck_assert_uint_eq(option_values_count(values, "topics"), 0);
    ck_assert(option_values_given(values, "topics"));
}
END_TEST

START_TEST(map_keeps_one_value_a_key)
{
    struct error err;
    ck_assert_int_eq(option_values_put(values, "properties", slice_of_string("sasl.password"),
                                       slice_of_string("old"), &err),
                     0);
    ck_assert_int_eq(option_values_put(values, "properties", slice_of_string("linger.ms"),
                                       slice_of_string("5"), &err),
                     0);
    const struct secret *held = option_values_value(values, "properties", 0);
    ck_assert_int_eq(option_values_put(values, "properties", slice_of_string("sasl.password"),
                                       slice_of_string("new"), &err),
                     0);
    ck_assert_uint_eq(option_values_count(values, "properties"), 2);
    ck_assert_str_eq(option_values_key(values, "properties", 0), "sasl.password");
    ck_assert_str_eq(held->value, "new");
    ck_assert_str_eq(option_values_key(values, "properties", 1), "linger.ms");
    ck_assert_ptr_null(option_values_key(values, "properties", 2));
    ck_assert_ptr_null(option_values_value(values, "properties", 2));
    ck_assert_int_eq(
        option_values_put(values, "topics", slice_of_string("a"), slice_of_string("b"), &err), -1);
    ck_assert_str_eq(err.message, "expected a single value, not a mapping");
}
END_TEST

START_TEST(second_table_joins_and_pointers_stay)
{
    static const struct option more[] = {
        {.path = "region", .type = OPTION_STRING, .default_text = "cn-north-4"}, {0}};
    struct error err;
    set("key", "s3cret");
    const struct secret *key = option_values_secret(values, "key");
    ck_assert_int_eq(option_values_extend(values, more, &err), 0);
    ck_assert_str_eq(option_values_string(values, "region"), "cn-north-4");
    ck_assert_ptr_eq(option_values_secret(values, "key"), key);
    ck_assert_ptr_eq(option_values_row(values, "region"), &more[0]);
    ck_assert_ptr_null(option_values_row(values, "regio"));
    ck_assert_str_eq(option_values_nearest(values, "regio"), "region");
    ck_assert_int_eq(option_values_extend(values, more, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INTERNAL);
}
END_TEST

START_TEST(default_that_contradicts_its_row_is_our_mistake)
{
    static const struct option wrong[] = {
        {.path = "linger", .type = OPTION_DURATION, .default_text = "5"}, {0}};
    struct error err;
    ck_assert_int_eq(option_values_extend(values, wrong, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INTERNAL);
    ck_assert_str_eq(err.message, "default of option linger: " DURATION);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("option");
    tcase_add_checked_fixture(tests, start, finish);
    tcase_add_test(tests, defaults_hold_until_set);
    tcase_add_test(tests, set_values_are_read_back_and_given);
    tcase_add_loop_test(tests, durations_have_units, 0,
                        (int)(sizeof(durations) / sizeof(durations[0])));
    tcase_add_loop_test(tests, rates_are_held_in_thousandths_per_second, 0,
                        (int)(sizeof(rates) / sizeof(rates[0])));
    tcase_add_loop_test(tests, mistakes_name_what_was_expected, 0,
                        (int)(sizeof(mistakes) / sizeof(mistakes[0])));
    tcase_add_test(tests, mistakes_leave_the_old_value_and_are_not_given);
    tcase_add_test(tests, list_items_take_the_defaults_place);
    tcase_add_test(tests, list_may_be_given_and_empty);
    tcase_add_test(tests, map_keeps_one_value_a_key);
    tcase_add_test(tests, second_table_joins_and_pointers_stay);
    tcase_add_test(tests, default_that_contradicts_its_row_is_our_mistake);
    return unit_run("common/option", tests);
}
