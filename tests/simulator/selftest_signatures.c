/* Signed requests: the vectors are taken, and whatever is changed in them is refused. */
#include <strings.h>

#include "selftest.h"

#include "common/banned.h"

enum { HEADER_MAX = 512, HEADERS_MAX = 10 };

static json_t *vectors;
/* The vectors' dates. */
static const int64_t iotda_ms = 1704164645000, koodrive_ms = 1725852805000;

static char lines[HEADERS_MAX][HEADER_MAX];

static void begin_anew(void)
{
    control("reset", "{}");
    control("credentials",
            "{\"iotda\": {\"access_key\": \"AccessKey\", \"secret_key\": \"SecretKey\","
            " \"temporary_access_key\": \"AccessKey\", \"temporary_secret_key\": \"SecretKey\","
            " \"security_token\": \"STS+token/==\"},"
            " \"koodrive\": {\"app_id\": \"AppId\", \"app_secret\": \"AppSecret\"}}");
}

static void setup(void)
{
    json_error_t fault;
    vectors = json_load_file(TESTS_DIR "/fixtures/vectors/huawei.json", 0, &fault);
    ck_assert_msg(vectors != NULL, "%s", fault.text);
    begin_anew();
}

static void teardown(void)
{
    json_decref(vectors);
}

static void set_clock(int64_t at_ms)
{
    char options[64];
    snprintf(options, sizeof(options), "{\"clock_ms\": %lld}", (long long)(at_ms - wall_ms()));
    control("options", options);
}

static const json_t *vector(const char *name)
{
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(vectors, "vectors"), i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
            return one;
    }
    ck_abort_msg("no vector %s", name);
    return NULL;
}

/* The request of a vector; `change`, if any, replaces a header's line. */
static struct reply send_vector(const json_t *one, const char *change)
{
    struct ask ask = {.method = json_string_value(json_object_get(one, "method")),
                      .path = json_string_value(json_object_get(one, "path")),
                      .body = json_string_value(json_object_get(one, "body"))};
    size_t count = 0;
    const char *name;
    json_t *value;
    snprintf(lines[count++], HEADER_MAX, "Authorization: %s",
             json_string_value(json_object_get(one, "authorization")));
    json_object_foreach(json_object_get(one, "headers"), name, value)
        snprintf(lines[count++], HEADER_MAX, "%s: %s", name, json_string_value(value));
    for (size_t i = 0; i < count; i++) {
        bool same = change && strncasecmp(lines[i], change, strcspn(change, ":") + 1) == 0;
        ask.headers[i] = same ? change : lines[i];
    }
    return client_send(&main_server, &ask);
}

static void expect_taken(const char *name, int64_t at_ms)
{
    set_clock(at_ms);
    struct reply reply = send_vector(vector(name), NULL);
    /* The task may be stopped already. */
    ck_assert_msg(reply.status == 200 || reply.status == 400, "%s: %ld %s", name, reply.status,
                  reply.body);
    reply_release(&reply);
    expect_no_violation();
}

static void expect_refused(const char *name, const char *change, int64_t at_ms, const char *code,
                           const char *violation)
{
    set_clock(at_ms);
    struct reply reply = send_vector(vector(name), change);
    ck_assert_msg(reply.status == 401 && strstr(reply.body, code), "%s: %ld %s", name, reply.status,
                  reply.body);
    reply_release(&reply);
    expect_violation(violation);
}

START_TEST(vectors_are_taken_at_their_time)
{
    static const char *const names[] = {"O2", "O2t", "S1", "S2"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        expect_taken(names[i], iotda_ms);
    control("credentials", "{\"iotda\": {\"instance_id\": \"inst-1\"}}");
    expect_taken("O3", iotda_ms);
    expect_taken("O3a", iotda_ms);
    expect_taken("K1", koodrive_ms);
}
END_TEST

START_TEST(signatures_are_good_for_a_quarter_of_an_hour)
{
    const int64_t minute = 60 * 1000;
    expect_taken("O2", iotda_ms + 14 * minute);
    expect_taken("O2", iotda_ms - 14 * minute);
    expect_taken("K1", koodrive_ms + 14 * minute);
    expect_refused("O2", NULL, iotda_ms + 16 * minute, "signature expired", "too far");
    expect_refused("O2", NULL, iotda_ms - 16 * minute, "signature expired", "too far");
    expect_refused("K1", NULL, koodrive_ms + 16 * minute, "signature expired", "too far");
    expect_refused("K1", NULL, koodrive_ms - 5 * 1000, "signature expired", "too far");
}
END_TEST

START_TEST(whatever_is_changed_is_refused)
{
    expect_refused("O2", "x-sdk-date: 20240102T030406Z", iotda_ms, "APIGW.0301", "wrong signature");
    expect_refused("O2", "x-project-id: p2", iotda_ms, "APIGW.0301", "wrong signature");
    expect_refused("S2", "x-security-token: other", iotda_ms, "APIGW.0301", "wrong signature");
    expect_refused("K1", "X-User-Id: 1", koodrive_ms, "APIGW.0303", "wrong signature");
    begin_anew();
    expect_refused("O1", "host: x.st1.iotda-app.cn-north-4.example", iotda_ms, "IOTDA.000002",
                   "not the documented form");
    expect_refused("O2", "host: iotda.cn-north-4.example", iotda_ms, "IOTDA.000002",
                   "not the documented form");
    expect_refused("O1", NULL, iotda_ms, "APIGW.0301", "X-Project-Id: missing");
    control("credentials", "{\"iotda\": {\"region\": \"cn-south-1\"}}");
    expect_refused("O2", NULL, iotda_ms, "IOTDA.000002", "region");
}
END_TEST

START_TEST(a_key_is_locked_after_five_refusals_in_a_row)
{
    for (int i = 0; i < 4; i++)
        expect_refused("O2", "x-project-id: p2", iotda_ms, "APIGW.0301", "wrong signature");
    set_clock(iotda_ms);
    struct reply reply = send_vector(vector("O2"), NULL); /* a right one in between */
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    for (int i = 0; i < 5; i++)
        expect_refused("O2", "x-project-id: p2", iotda_ms, "APIGW.0301", "wrong signature");
    expect_refused("O2", NULL, iotda_ms, "ak locked", "locked: tried again after five refusals");
}
END_TEST

START_TEST(the_date_of_answers_is_the_providers)
{
    set_clock(784111777000);
    struct reply reply = iotda_call("GET", "ab", NULL);
    ck_assert_ptr_nonnull(strstr(reply.headers, "Date: Sun, 06 Nov 1994 08:49:3"));
    reply_release(&reply);
}
END_TEST

Suite *suite_signatures(void)
{
    Suite *suite = suite_create("signatures");
    TCase *tests = tcase_create("signatures");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, vectors_are_taken_at_their_time);
    tcase_add_test(tests, signatures_are_good_for_a_quarter_of_an_hour);
    tcase_add_test(tests, whatever_is_changed_is_refused);
    tcase_add_test(tests, a_key_is_locked_after_five_refusals_in_a_row);
    tcase_add_test(tests, the_date_of_answers_is_the_providers);
    suite_add_tcase(suite, tests);
    return suite;
}
