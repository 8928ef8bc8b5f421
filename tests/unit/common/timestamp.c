#include "tests/unit/unit.h"

#include "common/timestamp.h"

#include "common/banned.h"

enum { REFUSED = -1 };

static const struct {
    const char *text;
    int64_t ms; /* REFUSED: not RFC 3339 or out of range */
} rfc3339_rows[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2026-11-21T12:00:00Z", 1795262400000},
    {"2026-11-21t12:00:00z", 1795262400000},
    {"2026-11-21T12:00:00.5Z", 1795262400500},
    {"2026-11-21T12:00:00.123Z", 1795262400123},
    {"2026-11-21T12:00:00.123999999999999999999999Z", 1795262400123},
    {"2026-11-21T12:00:00+05:30", 1795242600000},
    {"2026-11-21T12:00:00-08:00", 1795291200000},
    {"2026-11-21T12:00:00-00:00", 1795262400000},
    {"2000-02-29T23:59:59Z", 951868799000},
    {"2024-02-29T00:00:00Z", 1709164800000},
    {"2100-02-28T00:00:00Z", 4107456000000},
    {"9999-12-31T23:59:59.999Z", 253402300799999},
    {"2016-12-31T23:59:60Z", 1483228800000},
    {"2017-01-01T00:59:60+01:00", 1483228800000},
    {"2016-12-31T22:59:60Z", REFUSED},
    {"2016-12-31T23:59:61Z", REFUSED},
    {"2100-02-29T00:00:00Z", REFUSED},
    {"2023-02-29T00:00:00Z", REFUSED},
    {"2023-04-31T00:00:00Z", REFUSED},
    {"2023-00-10T00:00:00Z", REFUSED},
    {"2023-13-10T00:00:00Z", REFUSED},
    {"2023-01-00T00:00:00Z", REFUSED},
    {"2023-01-32T00:00:00Z", REFUSED},
    {"2023-01-01T24:00:00Z", REFUSED},
    {"2023-01-01T00:60:00Z", REFUSED},
    {"1969-12-31T23:59:59Z", REFUSED},
    {"1970-01-01T00:00:00+00:01", REFUSED},
    {"9999-12-31T23:59:59-00:01", REFUSED},
    {"9999-12-31T23:59:60Z", REFUSED},
    {"2023-01-01T00:00:00", REFUSED},
    {"2023-01-01 00:00:00Z", REFUSED},
    {"2023-01-01", REFUSED},
    {"2023-1-01T00:00:00Z", REFUSED},
    {"2023-01-01T00:00Z", REFUSED},
    {"2023-01-01T00:00:00.Z", REFUSED},
    {"2023-01-01T00:00:00,5Z", REFUSED},
    {"2023-01-01T00:00:00Zx", REFUSED},
    {" 2023-01-01T00:00:00Z", REFUSED},
    {"2023-01-01T00:00:00+24:00", REFUSED},
    {"2023-01-01T00:00:00+01:60", REFUSED},
    {"2023-01-01T00:00:00+0100", REFUSED},
    {"2023-01-01T00:00:00+01", REFUSED},
    {"2023-01-01T00:00:00*01:00", REFUSED},
    {"12023-01-01T00:00:00Z", REFUSED},
    {"", REFUSED},
};

START_TEST(rfc3339_is_read_strictly)
{
    int64_t ms = 42;
    bool fine = timestamp_parse(slice_of_string(rfc3339_rows[_i].text), &ms);
    ck_assert_int_eq(fine, rfc3339_rows[_i].ms != REFUSED);
    ck_assert_int_eq(ms, fine ? rfc3339_rows[_i].ms : 42);
}
END_TEST

static const struct {
    const char *text;
    int64_t ms;
} http_rows[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777000},
    {"Sun Nov  6 08:49:37 1994", 784111777000},
    {"Wed Nov 16 08:49:37 1994", 784975777000},
    {"Sat, 21 Nov 2026 12:00:00 GMT", 1795262400000},
    {"Saturday, 21-Nov-26 12:00:00 GMT", 1795262400000},
    {"Sun, 06 Nov 1994 08:49:37 UTC", REFUSED},
    {"Sun, 06 Nov 1994 08:49:37", REFUSED},
    {"Sun, 06 Nov 1994 08:49:37 GMT ", REFUSED},
    {"Sun, 06 nov 1994 08:49:37 GMT", REFUSED},
    {"Sun, 31 Feb 1994 08:49:37 GMT", REFUSED},
    {"Sun, 06-Nov-94 08:49:37 GMT", REFUSED},
    {"Sunday, 06 Nov 1994 08:49:37 GMT", REFUSED},
    {"Sun-Nov  6 08:49:37 1994", REFUSED},
    {"Son, 06 Nov 1994 08:49:37 GMT", REFUSED},
    {"Sun", REFUSED},
    {"120", REFUSED},
    {"", REFUSED},
};

START_TEST(http_dates_have_three_forms)
{
    int64_t ms = 42;
    bool fine = timestamp_parse_http(slice_of_string(http_rows[_i].text), &ms);
    ck_assert_int_eq(fine, http_rows[_i].ms != REFUSED);
    ck_assert_int_eq(ms, fine ? http_rows[_i].ms : 42);
}
END_TEST

START_TEST(formatted_as_agreed)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format(1795262400123, text);
    ck_assert_str_eq(text, "2026-11-21T12:00:00.123Z");
    timestamp_format_basic(1795262400999, text);
    ck_assert_str_eq(text, "20261121T120000Z");
    timestamp_format(951868799000, text);
    ck_assert_str_eq(text, "2000-02-29T23:59:59.000Z");
}
END_TEST

START_TEST(formatting_stays_within_the_years)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format(-1, text);
    ck_assert_str_eq(text, "1970-01-01T00:00:00.000Z");
    timestamp_format(INT64_MAX, text);
    ck_assert_str_eq(text, "9999-12-31T23:59:59.999Z");
    timestamp_format_basic(INT64_MIN, text);
    ck_assert_str_eq(text, "19700101T000000Z");
}
END_TEST

/* Whether that day is written as the C library writes it and read back. */
static bool day_comes_back(int64_t day)
{
    int64_t ms = day * 86400000 + 45296789;
    char text[TIMESTAMP_SIZE];
    timestamp_format(ms, text);
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char expected[TIMESTAMP_SIZE];
    int64_t back;
    return gmtime_r(&seconds, &tm) != NULL &&
           strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.789Z", &tm) == 24 &&
           strcmp(text, expected) == 0 && timestamp_parse(slice_of_string(text), &back) &&
           back == ms;
}

START_TEST(every_day_of_four_centuries_comes_back)
{
    for (int64_t day = 0; day < 157054; day++) {
        if (!day_comes_back(day))
            ck_abort_msg("day %d since 1970", (int)day);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("timestamp");
    tcase_add_loop_test(tests, rfc3339_is_read_strictly, 0,
                        (int)(sizeof(rfc3339_rows) / sizeof(rfc3339_rows[0])));
    tcase_add_loop_test(tests, http_dates_have_three_forms, 0,
                        (int)(sizeof(http_rows) / sizeof(http_rows[0])));
    tcase_add_test(tests, formatted_as_agreed);
    tcase_add_test(tests, formatting_stays_within_the_years);
    tcase_add_test(tests, every_day_of_four_centuries_comes_back);
    return unit_run("common/timestamp", tests);
}
