/* Every check: a request that is not as documented is refused as the provider would, and recorded.
 */
#include "selftest.h"

#include "common/banned.h"

static void start_empty(void)
{
    control("reset", NULL);
}

#define SCNET   "token: scnet-token"
#define IOTDA   "X-Auth-Token: iotda-token"
#define DRIVE   "Authorization: Bearer+koodrive-token"
#define SC_PATH "/efile/openapi/v2/file/task/cancel"
#define IO_PATH "/v5/iot/p1/batchtasks/ab"
#define KD_PATH "/koodrive/ose/v1/cancel"
#define IAM_ALL                                                                                    \
    "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":{\"name\":"        \
    "\"user\","                                                                                    \
    "\"password\":\"wrong\",\"domain\":{\"name\":\"domain\"}}}},\"scope\":{\"project\":{\"name\":" \
    "\"project\"}}}}"

static const struct bad {
    struct {
        const char *method, *path, *body;
        const char *headers[6];
    } ask;
    long status;
    const char *answer, *violation;
} bad_requests[] = {
    /* anywhere */
    {{"GET", "/nowhere", NULL, {NULL}}, 404, "APIGW.0101", "belongs to no provider"},
    {{"POST", KD_PATH, "{\"jobId\":\"1\"}", {DRIVE, "Expect: 100-continue"}}, 200, "OK", "Expect"},
    {{"POST", KD_PATH, "{\"jobId\":\"1\"}", {DRIVE, "X-Debug: 1"}}, 200, "OK", "header X-Debug"},
    {{"GET", IO_PATH, NULL, {IOTDA, IOTDA}}, 200, "batchtask", "sent twice"},
    /* scnet */
    {{"POST", "/efile" SC_PATH, "{\"taskIds\":[\"a\"]}", {SCNET}}, 404, "", "no such page"},
    {{"GET", SC_PATH, NULL, {SCNET}}, 405, "", "method GET"},
    {{"POST", SC_PATH, "{\"taskIds\":[\"a\"]}", {NULL}}, 200, "911406", "header token: missing"},
    {{"POST", SC_PATH, "{\"taskIds\":[\"a\"]}", {"token: x"}}, 200, "911406", "never issued"},
    {{"POST", SC_PATH "?a=1", "{\"taskIds\":[\"a\"]}", {SCNET}}, 200, "10004", "query a"},
    {{"POST", SC_PATH, "{\"taskIds\":[\"a\"]}", {SCNET, "Content-Type: text/plain"}},
     200,
     "10004",
     "Content-Type"},
    {{"POST", SC_PATH, "{\"taskIds\":[\"a\"],\"taskIds\":[\"b\"]}", {SCNET}},
     200,
     "10003",
     "duplicate members"},
    {{"POST", SC_PATH, "{\"taskIds\":[\"a\"]}x", {SCNET}}, 200, "10003", "body: expected"},
    {{"POST", SC_PATH, "{\"taskIds\":[\"a\"],\"all\":1}", {SCNET}}, 200, "10004", "member all"},
    {{"POST", SC_PATH, "{}", {SCNET}}, 200, "10003", "1 to 500"},
    {{"POST", SC_PATH, "{\"taskIds\":[]}", {SCNET}}, 200, "10004", "1 to 500"},
    {{"POST", SC_PATH, "{\"taskIds\":[\"a/b\"]}", {SCNET}}, 200, "10004", "not an id"},
    {{"POST", SC_PATH, "{\"taskIds\":[1]}", {SCNET}}, 200, "10004", "not an id"},
    {{"POST", SC_PATH, "{\"taskIds\":[\"a\",\"b\",\"a\"]}", {SCNET}}, 200, "10004", "twice"},
    {{"POST", "/ac/openapi/v2/tokens", NULL, {"user: user", "password: no", "orgId: org"}},
     200,
     "10009",
     "header password"},
    {{"POST", "/api/user/v3/tokens", NULL, {"user: user", "accessKey: access-key"}},
     200,
     "10009",
     "missing"},
    {{"POST",
      "/api/user/v3/tokens",
      NULL,
      {"user: user", "accessKey: access-key", "timestamp: 1764597591", "signature: ab"}},
     200,
     "10009",
     "header timestamp"},
    {{"POST", "/ac/openapi/v2/tokens/next", NULL, {"token: x"}}, 200, "911406", "never issued"},
    /* iotda */
    {{"DELETE", IO_PATH, NULL, {IOTDA}}, 404, "APIGW.0101", "method DELETE"},
    {{"GET", IO_PATH "/stop", NULL, {IOTDA}}, 404, "APIGW.0101", "method GET"},
    {{"POST", IO_PATH "/stop", "{}", {NULL}}, 401, "APIGW.0307", "X-Auth-Token: missing"},
    {{"POST", IO_PATH "/stop", "{}", {"X-Auth-Token: x"}}, 401, "APIGW.0307", "never issued"},
    {{"POST", IO_PATH "/stop", NULL, {IOTDA}}, 400, "IOTDA.000006", "Content-Type"},
    {{"POST", IO_PATH "/stop", "[]", {IOTDA}}, 400, "IOTDA.000006", "body: expected"},
    {{"POST", IO_PATH "/stop", "{\"target\":[\"d\"]}", {IOTDA}},
     400,
     "IOTDA.000006",
     "member target: unexpected"},
    {{"POST", IO_PATH "/stop", "{\"targets\":[]}", {IOTDA}}, 400, "IOTDA.000006", "1 to 100"},
    {{"POST", IO_PATH "/stop", "{\"targets\":[\"d\",\"d\"]}", {IOTDA}},
     400,
     "IOTDA.000006",
     "twice"},
    {{"POST", IO_PATH "/stop?all=1", "{}", {IOTDA}}, 400, "IOTDA.000006", "query all"},
    {{"GET", "/v5/iot/p1/batchtasks/xyz", NULL, {IOTDA}}, 400, "IOTDA.000006", "path: task id"},
    {{"GET", "/v5/iot/p1/batchtasks/a%62", NULL, {IOTDA}}, 200, "batchtask", "percent"},
    {{"GET", IO_PATH "?limit=51", NULL, {IOTDA}}, 400, "IOTDA.000012", "query limit"},
    {{"GET", IO_PATH "?limit=0", NULL, {IOTDA}}, 400, "IOTDA.000012", "query limit"},
    {{"GET", IO_PATH "?limit=5&limit=6", NULL, {IOTDA}}, 400, "IOTDA.000006", "given twice"},
    {{"GET", IO_PATH "?offset=501", NULL, {IOTDA}}, 400, "IOTDA.000014", "query offset"},
    {{"GET", IO_PATH "?marker=1", NULL, {IOTDA}}, 400, "IOTDA.000015", "query marker"},
    {{"GET", IO_PATH, "{}", {IOTDA}}, 400, "IOTDA.000006", "expected none"},
    /* iam */
    {{"POST", "/v3/auth/tokens", IAM_ALL, {NULL}}, 401, "{\"error\":{\"code\":401", "is wrong"},
    {{"POST", "/v3/auth/tokens", "{\"auth\":{}}", {NULL}}, 400, "\"error\"", "auth.identity"},
    {{"GET", "/v3/auth/tokens", NULL, {NULL}}, 405, "\"error\"", "method GET"},
    {{"GET", "/v3/auth/nothing", NULL, {NULL}}, 404, "\"error\"", "no such page"},
    /* koodrive */
    {{"GET", "/koodrive/ose/v1/jobs", NULL, {DRIVE}}, 404, "APIGW.0101", "no such page"},
    {{"POST", KD_PATH, "{\"jobId\":\"1\"}", {NULL}}, 401, "Unauthorized", "Authorization"},
    {{"POST", KD_PATH, "{\"jobId\":\"1\"}", {"Authorization: Bearer koodrive-token"}},
     401,
     "Unauthorized",
     "Authorization"},
    {{"PUT", KD_PATH, "{\"jobId\":\"1\"}", {DRIVE}}, 405, "", "method PUT"},
    {{"POST", KD_PATH, "{\"jobId\":1}", {DRIVE}}, 400, "13000102", "1 to 32 digits"},
    {{"POST", KD_PATH, "{\"jobId\":\"a\"}", {DRIVE}}, 400, "13000102", "1 to 32 digits"},
    {{"POST", KD_PATH, "{\"jobId\":\"1\",\"x\":1}", {DRIVE}}, 400, "13000102", "member x"},
    {{"GET", "/koodrive/ose/v1/12?x=1", NULL, {DRIVE}}, 400, "13000102", "query x"},
};

START_TEST(a_request_that_is_not_as_documented_is_recorded)
{
    const struct bad *bad = &bad_requests[_i];
    struct ask ask = {.method = bad->ask.method, .path = bad->ask.path, .body = bad->ask.body};
    struct reply reply;
    for (size_t i = 0; bad->ask.headers[i]; i++)
        ask.headers[i] = bad->ask.headers[i];
    reply = client_send(&main_server, &ask);
    ck_assert_msg(reply.result == CURLE_OK && reply.status == bad->status &&
                      strstr(reply.body, bad->answer),
                  "%s %s: expected %ld with %s, got %ld %s", bad->ask.method, bad->ask.path,
                  bad->status, bad->answer, reply.status, reply.body);
    reply_release(&reply);
    expect_violation(bad->violation);
}
END_TEST

START_TEST(another_user_agent_is_answered_and_recorded)
{
    struct ask ask = {
        .method = "GET", .path = "/koodrive/ose/v1/1", .headers = {DRIVE}, .agent = "curl/8"};
    struct reply reply = client_send(&main_server, &ask);
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    expect_violation("User-Agent");
}
END_TEST

START_TEST(lists_over_the_limit_are_refused_and_at_the_limit_are_not)
{
    static const struct {
        const char *path, *member, *token, *refused;
        size_t max;
    } rows[] = {{SC_PATH, "taskIds", SCNET, "10004", 500},
                {IO_PATH "/stop", "targets", IOTDA, "IOTDA.000006", 100}};
    for (size_t row = 0; row < 2; row++) {
        for (size_t over = 0; over < 2; over++) {
            json_t *body = json_pack("{s:[]}", rows[row].member);
            struct ask ask = {
                .method = "POST", .path = rows[row].path, .headers = {rows[row].token}};
            struct reply reply;
            char *text;
            for (size_t i = 0; i < rows[row].max + over; i++)
                json_array_append_new(json_object_get(body, rows[row].member),
                                      json_sprintf("id-%d", (int)i));
            text = json_dumps(body, JSON_COMPACT);
            ask.body = text;
            reply = client_send(&main_server, &ask);
            ck_assert((strstr(reply.body, rows[row].refused) != NULL) == (over == 1));
            reply_release(&reply);
            free(text);
            json_decref(body);
            if (!over && row == 0)
                expect_no_violation();
        }
    }
    expect_violation("got 501");
    expect_violation("got 101");
}
END_TEST

START_TEST(scnet_recomputes_the_signature_of_an_access_key)
{
    char timestamp[48], signature[96], hex[65];
    struct ask ask = {.method = "POST",
                      .path = "/api/user/v3/tokens",
                      .headers = {"user: user", "accessKey: access-key", timestamp, signature}};
    struct reply reply;
    snprintf(timestamp, sizeof(timestamp), "timestamp: %lld", (long long)(wall_ms() / 1000));
    scnet_signature("access-key", timestamp + 11, "user", "another-key", hex);
    snprintf(signature, sizeof(signature), "signature: %s", hex);
    reply = client_send(&main_server, &ask);
    ck_assert_ptr_nonnull(strstr(reply.body, "10009"));
    reply_release(&reply);
    expect_violation("header signature: wrong");
}
END_TEST

START_TEST(a_refused_request_changes_no_task)
{
    struct ask ask = {
        .method = "POST", .path = IO_PATH "/stop", .body = "{}", .headers = {"X-Auth-Token: x"}};
    struct reply reply = client_send(&main_server, &ask);
    reply_release(&reply);
    reply = iotda_call("GET", "ab", NULL);
    ck_assert_ptr_nonnull(strstr(reply.body, "\"status\":\"Processing\""));
    reply_release(&reply);
    expect_task("iotda", "ab", "running", "s");
}
END_TEST

START_TEST(iotda_accounts_are_held_to_their_project_and_instance)
{
    struct ask ask = {.method = "GET", .path = IO_PATH, .headers = {IOTDA, "Instance-Id: inst-1"}};
    struct reply reply;
    control("credentials", "{\"iotda\": {\"project_id\": \"p1\", \"instance_id\": \"inst-1\"}}");
    reply = client_send(&main_server, &ask);
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    expect_no_violation();
    reply = iotda_call("GET", "ab", NULL);
    ck_assert_int_eq(reply.status, 403);
    reply_release(&reply);
    expect_violation("Instance-Id");
    ask.path = "/v5/iot/p2/batchtasks/ab";
    reply = client_send(&main_server, &ask);
    ck_assert_int_eq(reply.status, 403);
    reply_release(&reply);
    expect_violation("wrong project");
}
END_TEST

/* ---- enos ---- */

static struct reply enos_token_post(const char *key, const char *secret, int64_t timestamp)
{
    struct ask ask = {.method = "POST", .path = "/apim-token-service/v2.0/token/get"};
    char body[256], text[128], hex[65];
    snprintf(text, sizeof(text), "%s%lld%s", key, (long long)timestamp, secret);
    sha256_hex(text, hex);
    snprintf(body, sizeof(body), "{\"appKey\":\"%s\",\"encryption\":\"%s\",\"timestamp\":%lld}",
             key, hex, (long long)timestamp);
    ask.body = body;
    return client_send(&main_server, &ask);
}

static void expect_status(struct reply reply, const char *status)
{
    ck_assert_msg(strstr(reply.body, status), "expected %s, got %s", status, reply.body);
    reply_release(&reply);
}

START_TEST(enos_token_service_refuses_with_its_own_codes)
{
    struct ask empty = {
        .method = "POST", .path = "/apim-token-service/v2.0/token/get", .body = "{}"};
    int64_t now = wall_ms();
    expect_status(enos_token_post("app-key", "app-secret", now), "\"status\":0,");
    expect_status(enos_token_post("app-key", "app-secret", now), "\"status\":1001,");
    expect_violation("replay guard");
    expect_status(enos_token_post("other", "app-secret", now), "\"status\":1002,");
    expect_violation("appKey");
    expect_status(enos_token_post("app-key", "wrong", now), "\"status\":1003,");
    expect_violation("encryption: wrong");
    expect_status(enos_token_post("app-key", "app-secret", now / 1000), "\"status\":1004,");
    expect_violation("timestamp");
    expect_status(client_send(&main_server, &empty), "\"status\":1004,");
    expect_violation("body: expected appKey");
}
END_TEST

struct enos_bad {
    const char *token, *params, *secret, *path, *body, *method, *answer, *violation;
    int64_t skew_ms;
};

static const struct enos_bad enos_bads[] = {
    {"enos-token-1", "orgIdo1", "app-secret", "t?orgId=o1", NULL, "DELETE", "\"code\":0", NULL, 0},
    {"enos-token-9", "orgIdo1", "app-secret", "t?orgId=o1", NULL, "DELETE", "4011", "never", 0},
    {"enos-token-1", "orgIdo2", "app-secret", "t?orgId=o1", NULL, "DELETE", "4011", "signature", 0},
    {"enos-token-1", "orgIdo1", "wrong", "t?orgId=o1", NULL, "DELETE", "4011", "signature", 0},
    {"enos-token-1", "orgIdo1", "app-secret", "t?orgId=o1", NULL, "DELETE", "4011", "timestamp",
     3600000},
    {"enos-token-1", "orgIdo1", "app-secret", "t?orgId=o1", NULL, "GET", "", "method GET", 0},
    {"enos-token-1", "orgIdo1", "app-secret", "t/status?orgId=o1", NULL, "DELETE", "",
     "method DELETE", 0},
    {"enos-token-1", "", "app-secret", "t", NULL, "DELETE", "81400", "orgId: missing", 0},
    {"enos-token-1", "ao1orgIdo1", "app-secret", "t?orgId=o1&a=o1", NULL, "DELETE", "81400",
     "query a", 0},
    {"enos-token-1", "orgIdo1{}", "app-secret", "t?orgId=o1", "{}", "DELETE", "81400",
     "expected none", 0},
};

START_TEST(enos_calls_are_held_to_signature_path_and_query)
{
    const struct enos_bad *bad = &enos_bads[_i];
    char path[256], token[64], timestamp[32], stamp[64], hex[65], signature[96];
    struct ask ask = {.method = bad->method,
                      .path = path,
                      .body = bad->body,
                      .headers = {token, stamp, signature}};
    struct reply reply = enos_sign_in();
    reply_release(&reply);
    snprintf(path, sizeof(path), "/data-federation/v2.0/channels/read/ch-1/download/%s", bad->path);
    snprintf(token, sizeof(token), "apim-accesstoken: %s", bad->token);
    snprintf(timestamp, sizeof(timestamp), "%lld", (long long)(wall_ms() - bad->skew_ms));
    snprintf(stamp, sizeof(stamp), "apim-timestamp: %s", timestamp);
    enos_signature(bad->token, bad->params, timestamp, bad->secret, hex);
    snprintf(signature, sizeof(signature), "apim-signature: %s", hex);
    reply = client_send(&main_server, &ask);
    ck_assert_msg(strstr(reply.body, bad->answer), "expected %s, got %s", bad->answer, reply.body);
    reply_release(&reply);
    if (bad->violation)
        expect_violation(bad->violation);
    else
        expect_no_violation();
}
END_TEST

START_TEST(enos_tasks_belong_to_their_channel_and_organisation)
{
    struct reply reply = enos_sign_in();
    reply_release(&reply);
    control("tasks", "[{\"provider\":\"enos\",\"id\":\"t1\",\"parent\":\"ch-1\",\"org\":\"o 1\"},"
                     "{\"provider\":\"enos\",\"id\":\"t2\",\"parent\":\"ch-2\"},"
                     "{\"provider\":\"enos\",\"id\":\"t3\",\"org\":\"o2\"}]");
    expect_status(enos_call("DELETE", "t1", "enos-token-1"), "\"code\":0,");
    expect_status(enos_call("DELETE", "t2", "enos-token-1"), "\"code\":81404,");
    expect_status(enos_call("DELETE", "t3", "enos-token-1"), "\"code\":81404,");
}
END_TEST

START_TEST(control_pages_refuse_what_they_do_not_know)
{
    static const struct {
        const char *page, *body, *problem;
    } rows[] = {
        {"tasks", "[{\"provider\":\"enos\"}]", "id"},
        {"tasks", "[{\"provider\":\"x\",\"id\":\"1\"}]", "no such provider"},
        {"tasks", "[{\"provider\":\"enos\",\"id\":\"1\",\"stat\":\"running\"}]", "unpacked"},
        {"tasks", "[{\"provider\":\"enos\",\"id\":\"1\",\"state\":\"asleep\"}]", "asleep"},
        {"faults", "[{\"action\":{}}]", "expected one action"},
        {"faults", "[{\"action\":{\"hang\":true,\"cut_json\":true}}]", "expected one action"},
        {"faults", "[{\"match\":{\"operation\":\"stop\"},\"action\":{\"hang\":true}}]", "no such"},
        {"faults", "[{\"action\":{\"status\":99}}]", "200 to 599"},
        {"credentials", "{\"enos\":{\"app-key\":\"k\"}}", "app-key"},
        {"options", "{\"codes\":\"both\"}", "alternate"},
        {"options", "{", "not JSON"},
        {"nothing", "{}", "no such page"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[64];
        struct ask ask = {.method = "POST", .path = path, .body = rows[i].body};
        struct reply reply;
        snprintf(path, sizeof(path), "/_simulator/%s", rows[i].page);
        reply = client_send(&main_server, &ask);
        ck_assert_msg(reply.status >= 400 && strstr(reply.body, rows[i].problem),
                      "%s %s: got %ld %s", rows[i].page, rows[i].body, reply.status, reply.body);
        reply_release(&reply);
    }
}
END_TEST

Suite *suite_checks(void)
{
    Suite *suite = suite_create("checks");
    TCase *tests = tcase_create("checks");
    tcase_add_checked_fixture(tests, start_empty, NULL);
    tcase_set_timeout(tests, 30);
    tcase_add_loop_test(tests, a_request_that_is_not_as_documented_is_recorded, 0,
                        sizeof(bad_requests) / sizeof(bad_requests[0]));
    tcase_add_test(tests, another_user_agent_is_answered_and_recorded);
    tcase_add_test(tests, lists_over_the_limit_are_refused_and_at_the_limit_are_not);
    tcase_add_test(tests, scnet_recomputes_the_signature_of_an_access_key);
    tcase_add_test(tests, a_refused_request_changes_no_task);
    tcase_add_test(tests, iotda_accounts_are_held_to_their_project_and_instance);
    tcase_add_test(tests, enos_token_service_refuses_with_its_own_codes);
    tcase_add_loop_test(tests, enos_calls_are_held_to_signature_path_and_query, 0,
                        sizeof(enos_bads) / sizeof(enos_bads[0]));
    tcase_add_test(tests, enos_tasks_belong_to_their_channel_and_organisation);
    tcase_add_test(tests, control_pages_refuse_what_they_do_not_know);
    suite_add_tcase(suite, tests);
    return suite;
}
