/* Every operation with good credentials, tasks that move, tokens, the ledger. */
#include "selftest.h"

#include "common/banned.h"

static void start_empty(void)
{
    control("reset", NULL);
}

static void expect_reply(struct reply *reply, long status, const char *body)
{
    ck_assert_int_eq(reply->result, CURLE_OK);
    ck_assert_msg(reply->status == status && strcmp(reply->body, body) == 0,
                  "expected %ld %s\n  got %ld %s", status, body, reply->status, reply->body);
    reply_release(reply);
}

static void expect_contains(struct reply *reply, long status, const char *text)
{
    ck_assert_int_eq(reply->result, CURLE_OK);
    ck_assert_msg(reply->status == status && strstr(reply->body, text),
                  "expected %ld with %s\n  got %ld %s", status, text, reply->status, reply->body);
    reply_release(reply);
}

/* Asks again until the answer holds the text; the server's clock moves by itself. */
static void expect_in_time(struct reply (*call)(const char *, const char *, const char *),
                           const char *method, const char *rest, const char *text)
{
    int64_t until = wall_ms() + 10000;
    bool found = false;
    while (!found) {
        struct reply reply = call(method, rest, NULL);
        found = strstr(reply.body, text) != NULL;
        ck_assert_msg(found || wall_ms() < until, "never %s, but %s", text, reply.body);
        reply_release(&reply);
    }
}

static struct reply enos_status(const char *method, const char *task, const char *no_body)
{
    (void)no_body;
    return enos_call(method, task, "enos-token-1");
}

START_TEST(signatures_match_the_published_vectors)
{
    char hex[65];
    enos_signature("xxxxaaaxxxx",
                   "k1v1k2v2k3v3{\n  \"count\": 20,\n  \"page\": 1,\n  \"desc\": \"描述\"\n}",
                   "1572574909697", "xxxappSecretxxx", hex);
    ck_assert_str_eq(hex, "59828328f6c1f9771015dc74e4929ae30f518a35a3d2353972c2ea46556fc981");
    enos_signature("xxxxaaaxxxx", "orgIdo15504722874071", "1572574909697", "xxxappSecretxxx", hex);
    ck_assert_str_eq(hex, "3ccf72401e872ed3178cc4934070c43ad14750d33a5b0268e818c45679fe27e4");
    scnet_signature("85f96a42b13f4d2c8b760d2775bbcca8", "1764597591", "bob", "testSecretKey", hex);
    ck_assert_str_eq(hex, "676149596d78eaa74b8c60ee74f11ed3709b86622870ea9cfea8c0519914e063");
}
END_TEST

START_TEST(enos_cancels_by_way_of_cancelling)
{
    struct reply reply = enos_sign_in();
    expect_contains(&reply, 200, "{\"status\":0,\"msg\":\"SUCCESS\"");
    reply = enos_call("GET", "t-1/status", "enos-token-1");
    expect_reply(&reply, 200,
                 "{\"code\":0,\"msg\":\"OK\",\"data\":{\"taskId\":\"t-1\",\"progressCode\":\"1\","
                 "\"progressDesc\":\"running\",\"downloadUrl\":null}}");
    reply = enos_call("DELETE", "t-1", "enos-token-1");
    expect_reply(&reply, 200,
                 "{\"code\":0,\"msg\":\"OK\",\"data\":{\"taskId\":\"t-1\",\"progressCode\":\"4\","
                 "\"progressDesc\":\"cancelling\"}}");
    expect_in_time(enos_status, "GET", "t-1/status", "\"progressCode\":\"5\"");
    expect_no_violation();
}
END_TEST

START_TEST(enos_answers_a_finished_task_with_its_state_and_an_unknown_one_with_81404)
{
    struct reply reply = enos_sign_in();
    reply_release(&reply);
    reply = enos_call("DELETE", "9990000200", "enos-token-1");
    expect_contains(&reply, 200, "\"progressCode\":\"3\"");
    reply = enos_call("DELETE", "9990000404", "enos-token-1");
    expect_contains(&reply, 200, "{\"code\":81404,");
    expect_task("enos", "9990000200", "succeeded", "c");
    expect_task("enos", "9990000404", "missing", "c");
    expect_no_violation();
}
END_TEST

START_TEST(enos_gives_the_same_token_while_it_lives_and_a_new_one_for_refresh)
{
    struct ask ask = {.method = "POST", .path = "/apim-token-service/v2.0/token/refresh"};
    char body[320], text[128], hex[65];
    long long now = (long long)wall_ms();
    struct reply reply = enos_sign_in();
    reply_release(&reply);
    reply = enos_sign_in();
    expect_contains(&reply, 200, "\"enos-token-1\"");
    snprintf(text, sizeof(text), "app-key%lldapp-secret", now + 60000);
    sha256_hex(text, hex);
    snprintf(body, sizeof(body),
             "{\"appKey\":\"app-key\",\"encryption\":\"%s\",\"timestamp\":%lld,"
             "\"accessToken\":\"enos-token-1\"}",
             hex, now + 60000);
    ask.body = body;
    reply = client_send(&main_server, &ask);
    expect_contains(&reply, 200, "\"enos-token-2\",\"expire\":7200");
    expect_no_violation();
}
END_TEST

START_TEST(enos_tokens_run_out_without_a_violation)
{
    struct reply reply;
    control("credentials", "{\"enos\": {\"token_ms\": 0}}");
    reply = enos_sign_in();
    reply_release(&reply);
    reply = enos_call("GET", "t/status", "enos-token-1");
    expect_contains(&reply, 401, "\"apim_status\":4011");
    control("credentials", "{\"enos\": {\"rejection\": \"code\"}}");
    reply = enos_call("GET", "t/status", "enos-token-1");
    expect_contains(&reply, 200, "\"code\":\"1203\"");
    control("credentials", "{\"enos\": {\"rejection\": \"status\"}}");
    reply = enos_call("GET", "t/status", "enos-token-1");
    expect_contains(&reply, 401, "\"status\":1203");
    expect_no_violation();
}
END_TEST

START_TEST(enos_takes_the_other_documented_forms_in_turn)
{
    struct reply reply = enos_sign_in();
    reply_release(&reply);
    control("tasks",
            "[{\"provider\":\"enos\",\"id\":\"t\",\"codes\":\"other\",\"data\":\"alternate\"}]");
    reply = enos_call("GET", "t/status", "enos-token-1");
    expect_contains(&reply, 200, "\"data\":{\"taskId\":\"t\",\"progressCode\":1,");
    reply = enos_call("GET", "t/status", "enos-token-1");
    expect_contains(&reply, 200, "{\"code\":\"0\",\"msg\":\"OK\",\"data\":[{\"taskId\"");
}
END_TEST

START_TEST(scnet_decides_every_task_of_a_list_and_leaves_unknown_ones_out)
{
    struct reply reply =
        scnet_call("cancel", "{\"taskIds\":[\"a\",\"9990000200\",\"9990000404\",\"9990000500\"]}");
    expect_reply(&reply, 200,
                 "{\"code\":\"0\",\"msg\":\"success\",\"data\":["
                 "{\"taskId\":\"a\",\"result\":true,\"status\":\"cancel\"},"
                 "{\"taskId\":\"9990000200\",\"result\":false,\"status\":\"complete\"},"
                 "{\"taskId\":\"9990000500\",\"result\":false,\"status\":\"fail\"}]}");
    reply = scnet_call("list", "{\"taskIds\":[\"b\",\"a\",\"9990000404\"]}");
    expect_reply(&reply, 200,
                 "{\"code\":\"0\",\"msg\":\"success\",\"data\":["
                 "{\"taskId\":\"b\",\"status\":\"running\"},"
                 "{\"taskId\":\"a\",\"status\":\"cancel\"}]}");
    expect_task("scnet", "a", "cancelled", "Cs");
    expect_task("scnet", "9990000500", "failed", "c");
    expect_no_violation();
}
END_TEST

/* The token for our region in an answer of a sign-in page. */
static void region_token(const struct reply *reply, char *token, size_t size)
{
    json_t *region = json_array_get(json_object_get(reply->json, "data"), 2);
    ck_assert_msg(json_is_object(region), "%s", reply->body);
    ck_assert_str_eq(json_string_value(json_object_get(region, "clusterId")), "11112");
    snprintf(token, size, "token: %s", json_string_value(json_object_get(region, "token")));
}

START_TEST(scnet_signs_in_by_access_key_and_the_token_works)
{
    char timestamp[24], timestamp_header[48], signature_header[96], hex[65], token[512];
    struct ask sign_in = {
        .method = "POST",
        .path = "/api/user/v3/tokens",
        .headers = {"user: user", "accessKey: access-key", timestamp_header, signature_header}};
    struct ask list = {.method = "POST",
                       .path = "/efile/openapi/v2/file/task/list",
                       .body = "{\"taskIds\":[\"a\"]}",
                       .headers = {token}};
    struct reply reply;
    snprintf(timestamp, sizeof(timestamp), "%lld", (long long)(wall_ms() / 1000));
    scnet_signature("access-key", timestamp, "user", "secret-key", hex);
    snprintf(timestamp_header, sizeof(timestamp_header), "timestamp: %s", timestamp);
    snprintf(signature_header, sizeof(signature_header), "signature: %s", hex);
    reply = client_send(&main_server, &sign_in);
    region_token(&reply, token, sizeof(token));
    reply_release(&reply);
    reply = client_send(&main_server, &list);
    expect_contains(&reply, 200, "{\"code\":\"0\"");
    expect_no_violation();
}
END_TEST

START_TEST(scnet_signs_in_by_password_and_renews_in_both_forms)
{
    char token[512];
    struct ask sign_in = {.method = "POST",
                          .path = "/ac/openapi/v2/tokens",
                          .headers = {"user: user", "password: password", "orgId: org"}};
    struct ask next = {.method = "POST", .path = "/ac/openapi/v2/tokens/next", .headers = {token}};
    struct reply reply = client_send(&main_server, &sign_in);
    unsigned strings = 0, lists = 0;
    region_token(&reply, token, sizeof(token));
    reply_release(&reply);
    for (int i = 0; i < 4; i++) {
        reply = client_send(&main_server, &next);
        ck_assert_int_eq(reply.status, 200);
        strings += json_is_string(json_object_get(reply.json, "data"));
        lists += json_is_array(json_object_get(reply.json, "data"));
        reply_release(&reply);
    }
    ck_assert_uint_eq(strings, 2);
    ck_assert_uint_eq(lists, 2);
    expect_no_violation();
}
END_TEST

START_TEST(iotda_stops_targets_one_by_one)
{
    struct reply reply;
    control("tasks", "[{\"provider\":\"iotda\",\"id\":\"ab1\",\"targets\":[\"d-1\",\"d-2\","
                     "{\"id\":\"d-3\",\"state\":\"succeeded\"}]}]");
    reply = iotda_call("POST", "ab1/stop", "{\"targets\":[\"d-1\",\"d-3\",\"d-9\"]}");
    expect_reply(&reply, 200,
                 "{\"targets\":[{\"target\":\"d-1\",\"status\":\"success\"},"
                 "{\"target\":\"d-3\",\"status\":\"failure\",\"error_code\":\"IOTDA.014299\","
                 "\"error_msg\":\"Operation not allowed. The subtask has finished\"},"
                 "{\"target\":\"d-9\",\"status\":\"failure\",\"error_code\":\"IOTDA.014219\","
                 "\"error_msg\":\"Invalid input. The target is not in the task\"}]}");
    expect_task("iotda", "ab1", "running", "C");
    reply = iotda_call("POST", "ab1/stop", "{\"targets\":[\"d-2\"]}");
    expect_contains(&reply, 200, "success");
    expect_task("iotda", "ab1", "cancelled", "CC");
    expect_no_violation();
}
END_TEST

START_TEST(iotda_stops_a_whole_task_once)
{
    struct reply reply;
    control("tasks", "[{\"provider\":\"iotda\",\"id\":\"ab2\",\"cancelling_ms\":50,\"targets\":"
                     "[\"d-1\",{\"id\":\"d-2\",\"state\":\"retrying\"},"
                     "{\"id\":\"d-3\",\"state\":\"failed\"}]}]");
    reply = iotda_call("GET", "ab2?task_detail_status=FailWaitRetry", NULL);
    expect_contains(&reply, 200, "\"task_details\":[{\"target\":\"d-2\"");
    reply = iotda_call("POST", "ab2/stop", "{}");
    expect_reply(&reply, 200, "{}");
    reply = iotda_call("POST", "ab2/stop", "{}");
    expect_contains(&reply, 400, "\"error_code\":\"IOTDA.014299\"");
    expect_in_time(iotda_call, "GET", "ab2",
                   "\"status\":\"Stopped\",\"task_progress\":{\"total\":3,"
                   "\"processing\":0,\"success\":0,\"fail\":1,"
                   "\"waitting\":0,\"fail_wait_retry\":0,\"stopped\":2,");
    reply = iotda_call("POST", "9990000404/stop", "{}");
    expect_contains(&reply, 404, "\"error_code\":\"IOTDA.014298\"");
    reply = iotda_call("GET", "9990000102", NULL);
    expect_contains(&reply, 200, "\"status\":\"Waitting\"");
    expect_no_violation();
}
END_TEST

/* Pages through all details of task cd; returns how many came and asserts that none came twice. */
static size_t page_through(const char *way)
{
    char rest[128] = "cd?limit=50";
    bool seen[120] = {false};
    size_t count = 0;
    for (int page = 1; page < 10; page++) {
        struct reply reply = iotda_call("GET", rest, NULL);
        json_t *details = json_object_get(reply.json, "task_details");
        json_t *page_info = json_object_get(reply.json, "page");
        size_t i, on_page = json_array_size(details);
        json_t *one;
        ck_assert_int_eq(json_integer_value(json_object_get(page_info, "count")), 120);
        json_array_foreach(details, i, one)
        {
            const char *id = json_string_value(json_object_get(one, "target"));
            long number = strtol(id + 2, NULL, 10);
            ck_assert(!seen[number]);
            seen[number] = true;
        }
        count += on_page;
        if (strcmp(way, "marker") == 0 && on_page > 0)
            snprintf(rest, sizeof(rest), "cd?limit=50&marker=%s",
                     json_string_value(json_object_get(page_info, "marker")));
        else
            snprintf(rest, sizeof(rest), "cd?limit=50&offset=%zu", count);
        reply_release(&reply);
        if (on_page == 0)
            break;
    }
    return count;
}

START_TEST(iotda_pages_details_by_marker_and_by_offset_and_filters_by_target)
{
    json_t *task = json_pack("{s:s, s:s, s:[]}", "provider", "iotda", "id", "cd", "targets");
    char *text;
    struct reply reply;
    for (int i = 0; i < 120; i++)
        json_array_append_new(json_object_get(task, "targets"), json_sprintf("d-%d", i));
    text = json_dumps(task, 0);
    control("tasks", text);
    free(text);
    json_decref(task);
    ck_assert_uint_eq(page_through("marker"), 120);
    ck_assert_uint_eq(page_through("offset"), 120);
    reply = iotda_call("GET", "cd?target=d-77", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(reply.json, "task_details")), 1);
    expect_contains(&reply, 200,
                    "\"task_details\":[{\"target\":\"d-77\",\"status\":\"Processing\"");
    reply = iotda_call("GET", "cd?target=d-120", NULL);
    expect_contains(&reply, 200, "\"task_details\":[],\"page\":{\"count\":0}");
    expect_no_violation();
}
END_TEST

START_TEST(iam_token_of_several_kilobytes_opens_iotda)
{
    static const char body[] = "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{"
                               "\"user\":{\"name\":\"user\","
                               "\"password\":\"password\",\"domain\":{\"name\":\"domain\"}}}},"
                               "\"scope\":{\"project\":{\"name\":\"project\"}}}}";
    struct ask sign_in = {.method = "POST", .path = "/v3/auth/tokens?nocatalog=1", .body = body};
    char header[4096];
    struct ask show = {.method = "GET", .path = "/v5/iot/p1/batchtasks/ab3", .headers = {header}};
    struct reply reply = client_send(&main_server, &sign_in);
    const char *token = strstr(reply.headers, "X-Subject-Token: ");
    ck_assert_int_eq(reply.status, 201);
    ck_assert_ptr_nonnull(strstr(reply.body, "\"expires_at\""));
    ck_assert_ptr_nonnull(token);
    token += strlen("X-Subject-Token: ");
    snprintf(header, sizeof(header), "X-Auth-Token: %.*s", (int)strcspn(token, "\r\n"), token);
    ck_assert_uint_gt(strlen(header), 3000);
    reply_release(&reply);
    reply = client_send(&main_server, &show);
    expect_contains(&reply, 200, "\"task_id\":\"ab3\"");
    expect_no_violation();
}
END_TEST

START_TEST(koodrive_cancels_at_once_and_says_ok_to_a_finished_job_too)
{
    struct reply reply = koodrive_call("GET", "12", NULL);
    expect_contains(&reply, 200, "\"status\":1}");
    reply = koodrive_call("POST", "cancel", "{\"jobId\":\"12\"}");
    expect_reply(&reply, 200, "{\"code\":0,\"msg\":\"OK\"}");
    reply = koodrive_call("GET", "12", NULL);
    expect_contains(&reply, 200, "\"status\":3}");
    reply = koodrive_call("POST", "cancel", "{\"jobId\":\"9990000206\"}");
    expect_reply(&reply, 200, "{\"code\":0,\"msg\":\"OK\"}");
    reply = koodrive_call("GET", "9990000206", NULL);
    expect_contains(&reply, 200, "\"status\":2,\"taskResultCode\":2}");
    reply = koodrive_call("POST", "cancel", "{\"jobId\":\"9990000404\"}");
    expect_contains(&reply, 400, "\"code\":\"13000309\"");
    expect_task("koodrive", "12", "cancelled", "sCs");
    expect_task("koodrive", "9990000206", "partial", "cs");
    expect_no_violation();
}
END_TEST

START_TEST(a_cancel_that_has_no_effect_is_refused_as_scripted)
{
    struct reply reply;
    control("tasks",
            "[{\"provider\":\"koodrive\",\"id\":\"13\",\"state\":\"succeeded\",\"refusal\":"
            "{\"status\":400,\"code\":\"13000102\",\"msg\":\"finished\"}},"
            "{\"provider\":\"iotda\",\"id\":\"a13\",\"state\":\"succeeded\",\"refusal\":"
            "{\"status\":403,\"code\":\"IOTDA.1\",\"message\":\"finished\"}}]");
    reply = koodrive_call("POST", "cancel", "{\"jobId\":\"13\"}");
    expect_reply(&reply, 400, "{\"code\":\"13000102\",\"msg\":\"finished\"}");
    reply = iotda_call("POST", "a13/stop", "{}");
    expect_reply(&reply, 403, "{\"error_code\":\"IOTDA.1\",\"error_msg\":\"finished\"}");
}
END_TEST

START_TEST(scripted_tasks_move_from_waiting_to_their_end)
{
    struct reply reply;
    control("tasks",
            "[{\"provider\":\"koodrive\",\"id\":\"14\",\"state\":\"waiting\",\"waiting_ms\":0,"
            "\"duration_ms\":30,\"ends_as\":\"failed\"},"
            "{\"provider\":\"koodrive\",\"id\":\"15\",\"state\":\"waiting\"},"
            "{\"provider\":\"koodrive\",\"id\":\"16\",\"state\":\"missing\"}]");
    expect_in_time(koodrive_call, "GET", "14", "\"status\":2,\"taskResultCode\":3}");
    reply = koodrive_call("GET", "15", NULL);
    expect_contains(&reply, 200, "\"status\":0}");
    reply = koodrive_call("GET", "16", NULL);
    expect_contains(&reply, 400, "13000309");
}
END_TEST

START_TEST(options_make_unscripted_tasks_missing_or_finish)
{
    struct reply reply;
    control("options", "{\"unknown_missing\": true}");
    reply = koodrive_call("GET", "17", NULL);
    expect_contains(&reply, 400, "13000309");
    control("options", "{\"unknown_missing\": false, \"duration_ms\": 0, \"codes\": \"other\"}");
    reply = koodrive_call("GET", "18", NULL);
    expect_contains(&reply, 200, "{\"code\":\"0\"");
    reply = koodrive_call("GET", "18", NULL);
    expect_contains(&reply, 200, "\"status\":2,\"taskResultCode\":1}");
}
END_TEST

START_TEST(ledger_counts_operations_and_not_the_control_pages)
{
    struct ask summary = {.method = "GET", .path = "/_simulator/ledger?summary=1"};
    json_int_t cancels = 0, statuses = 0, requests = 0, most = 0;
    struct reply reply = koodrive_call("POST", "cancel", "{\"jobId\":\"19\"}");
    reply_release(&reply);
    reply = koodrive_call("GET", "19", NULL);
    reply_release(&reply);
    reply = koodrive_call("GET", "19", NULL);
    reply_release(&reply);
    reply = client_send(&main_server, &summary);
    ck_assert_int_eq(json_unpack(reply.json, "{s:I, s:I, s:{s:{s:I, s:I}}}", "requests", &requests,
                                 "max_concurrency", &most, "operations", "koodrive", "cancel",
                                 &cancels, "status", &statuses),
                     0);
    ck_assert_int_eq(requests, 3);
    ck_assert_int_eq(cancels, 1);
    ck_assert_int_eq(statuses, 2);
    ck_assert_int_eq(most, 1);
    ck_assert_ptr_null(json_object_get(reply.json, "tasks"));
    reply_release(&reply);
    control("reset", NULL);
    reply = client_send(&main_server, &summary);
    expect_contains(&reply, 200, "{\"requests\":0,");
}
END_TEST

Suite *suite_operations(void)
{
    Suite *suite = suite_create("operations");
    TCase *tests = tcase_create("operations");
    tcase_add_checked_fixture(tests, start_empty, NULL);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, signatures_match_the_published_vectors);
    tcase_add_test(tests, enos_cancels_by_way_of_cancelling);
    tcase_add_test(tests,
                   enos_answers_a_finished_task_with_its_state_and_an_unknown_one_with_81404);
    tcase_add_test(tests, enos_gives_the_same_token_while_it_lives_and_a_new_one_for_refresh);
    tcase_add_test(tests, enos_tokens_run_out_without_a_violation);
    tcase_add_test(tests, enos_takes_the_other_documented_forms_in_turn);
    tcase_add_test(tests, scnet_decides_every_task_of_a_list_and_leaves_unknown_ones_out);
    tcase_add_test(tests, scnet_signs_in_by_access_key_and_the_token_works);
    tcase_add_test(tests, scnet_signs_in_by_password_and_renews_in_both_forms);
    tcase_add_test(tests, iotda_stops_targets_one_by_one);
    tcase_add_test(tests, iotda_stops_a_whole_task_once);
    tcase_add_test(tests, iotda_pages_details_by_marker_and_by_offset_and_filters_by_target);
    tcase_add_test(tests, iam_token_of_several_kilobytes_opens_iotda);
    tcase_add_test(tests, koodrive_cancels_at_once_and_says_ok_to_a_finished_job_too);
    tcase_add_test(tests, a_cancel_that_has_no_effect_is_refused_as_scripted);
    tcase_add_test(tests, scripted_tasks_move_from_waiting_to_their_end);
    tcase_add_test(tests, options_make_unscripted_tasks_missing_or_finish);
    tcase_add_test(tests, ledger_counts_operations_and_not_the_control_pages);
    suite_add_tcase(suite, tests);
    return suite;
}
