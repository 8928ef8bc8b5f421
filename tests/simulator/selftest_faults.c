/* Every scripted fault, and which requests it takes. */
#include "selftest.h"

#include "common/banned.h"

static void start_empty(void)
{
    control("reset", NULL);
}

static struct reply cancel_job(const char *id)
{
    char body[64];
    snprintf(body, sizeof(body), "{\"jobId\":\"%s\"}", id);
    return koodrive_call("POST", "cancel", body);
}

static void expect_ok(struct reply reply)
{
    ck_assert_int_eq(reply.result, CURLE_OK);
    ck_assert_msg(reply.status == 200 && strstr(reply.body, "\"code\":0"), "%ld %s", reply.status,
                  reply.body);
    reply_release(&reply);
}

static void expect_reset(struct reply reply)
{
    ck_assert_msg(reply.result == CURLE_RECV_ERROR, "expected a reset, got %s, %ld",
                  curl_easy_strerror(reply.result), reply.status);
    ck_assert_int_eq(reply.status, 0);
    reply_release(&reply);
}

START_TEST(reset_before_swallows_the_request)
{
    control("faults", "[{\"action\": {\"reset_before\": true}}]");
    expect_reset(cancel_job("1"));
    expect_task("koodrive", "1", "running", "c");
    expect_ok(cancel_job("1"));
    expect_task("koodrive", "1", "cancelled", "cC");
    expect_no_violation();
}
END_TEST

START_TEST(a_swallowed_stop_leaves_its_targets_running)
{
    struct reply reply;
    control("faults", "[{\"action\": {\"http_500_after_applying\": true, \"apply\": false}}]");
    reply = iotda_call("POST", "ab/stop", "{\"targets\":[\"d-1\"]}");
    ck_assert_int_eq(reply.status, 500);
    reply_release(&reply);
    reply = iotda_call("GET", "ab?target=d-1", NULL);
    ck_assert_ptr_nonnull(strstr(reply.body, "{\"target\":\"d-1\",\"status\":\"Processing\""));
    reply_release(&reply);
    expect_task("iotda", "ab", "running", "cs");
}
END_TEST

START_TEST(reset_after_swallows_only_the_answer)
{
    control("faults", "[{\"action\": {\"reset_after\": true}}]");
    expect_reset(cancel_job("1"));
    expect_task("koodrive", "1", "cancelled", "C");
}
END_TEST

START_TEST(tasks_change_on_their_own_before_or_after_the_request)
{
    struct reply reply;
    control("tasks",
            "[{\"provider\": \"koodrive\", \"id\": \"1\"},"
            " {\"provider\": \"koodrive\", \"id\": \"2\"},"
            " {\"provider\": \"iotda\", \"id\": \"ab\", \"targets\": [\"d-1\", \"d-2\"]}]");
    control("faults",
            "[{\"match\": {\"task\": \"1\"}, \"action\": {\"becomes_before\": \"failed\"}},"
            " {\"match\": {\"task\": \"2\"}, \"action\": {\"becomes\": \"failed\"}},"
            " {\"match\": {\"task\": \"ab\"}, \"action\": {\"becomes\": \"missing\"}}]");
    expect_ok(cancel_job("1"));
    expect_task("koodrive", "1", "failed", "c");
    expect_ok(cancel_job("2"));
    expect_task("koodrive", "2", "failed", "C");
    reply = iotda_call("POST", "ab/stop", "{\"targets\":[\"d-1\"]}");
    reply_release(&reply);
    reply = iotda_call("GET", "ab", NULL);
    ck_assert_ptr_null(strstr(reply.body, "{\"target\":\"d-1\""));
    ck_assert_ptr_nonnull(strstr(reply.body, "{\"target\":\"d-2\",\"status\":\"Processing\""));
    reply_release(&reply);
    expect_task("iotda", "ab", "running", "Cs");
}
END_TEST

START_TEST(a_cancelling_task_may_end_otherwise)
{
    struct reply reply;
    control("tasks", "[{\"provider\": \"iotda\", \"id\": \"ab\", \"cancelling_ms\": 0,"
                     " \"cancelling_ends_as\": \"succeeded\"}]");
    reply = iotda_call("POST", "ab/stop", "{}");
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    expect_task("iotda", "ab", "succeeded", "C");
}
END_TEST

START_TEST(status_body_and_headers_come_verbatim)
{
    struct reply reply;
    control("faults", "[{\"action\": {\"status\": 503, \"body\": \"<html>busy</html>\","
                      " \"headers\": {\"Retry-After\": \"7\"}}},"
                      "{\"action\": {\"status\": 302, \"headers\": {\"Location\": \"/x\"}}},"
                      "{\"action\": {\"status\": 204}},"
                      "{\"action\": {\"status\": 200, \"body\": {\"code\": 7}, \"headers\":"
                      " {\"Content-Type\": \"text/json\"}}}]");
    reply = cancel_job("1");
    ck_assert_int_eq(reply.status, 503);
    ck_assert_str_eq(reply.body, "<html>busy</html>");
    ck_assert_ptr_nonnull(strstr(reply.headers, "Retry-After: 7\r\n"));
    ck_assert_ptr_nonnull(strstr(reply.headers, "Content-Type: text/html\r\n"));
    reply_release(&reply);
    reply = cancel_job("1");
    ck_assert_int_eq(reply.status, 302);
    ck_assert_ptr_nonnull(strstr(reply.headers, "Location: /x\r\n"));
    reply_release(&reply);
    reply = cancel_job("1");
    ck_assert_int_eq(reply.status, 204);
    ck_assert_str_eq(reply.body, "");
    reply_release(&reply);
    reply = cancel_job("1");
    ck_assert_str_eq(reply.body, "{\"code\":7}");
    ck_assert_ptr_nonnull(strstr(reply.headers, "Content-Type: text/json\r\n"));
    reply_release(&reply);
    expect_task("koodrive", "1", "running", "cccc");
}
END_TEST

START_TEST(each_provider_throttles_in_its_own_manner)
{
    struct reply reply = enos_sign_in();
    reply_release(&reply);
    control("faults",
            "[{\"match\": {\"provider\": \"iotda\"}, \"action\": {\"throttle\": true, \"style\":"
            " \"403\"}}, {\"times\": -1, \"action\": {\"throttle\": true, \"retry_after\": 3}}]");
    reply = iotda_call("GET", "ab", NULL);
    ck_assert_int_eq(reply.status, 403);
    ck_assert_ptr_nonnull(strstr(reply.body, "IOTDA.021101"));
    ck_assert_ptr_null(strstr(reply.headers, "Retry-After"));
    reply_release(&reply);
    reply = iotda_call("GET", "ab", NULL);
    ck_assert_int_eq(reply.status, 429);
    ck_assert_ptr_nonnull(strstr(reply.body, "APIGW.0308"));
    ck_assert_ptr_nonnull(strstr(reply.headers, "Retry-After: 3\r\n"));
    reply_release(&reply);
    reply = scnet_call("cancel", "{\"taskIds\":[\"a\"]}");
    ck_assert_int_eq(reply.status, 200);
    ck_assert_ptr_nonnull(strstr(reply.body, "\"code\":\"911048\""));
    reply_release(&reply);
    reply = cancel_job("1");
    ck_assert_int_eq(reply.status, 429);
    reply_release(&reply);
    reply = enos_call("DELETE", "t", "enos-token-1");
    ck_assert_int_eq(reply.status, 429);
    reply_release(&reply);
    expect_task("enos", "t", "running", "c");
    expect_task("scnet", "a", "running", "c");
    expect_no_violation();
}
END_TEST

START_TEST(a_500_may_come_after_the_effect)
{
    struct reply reply;
    control("faults", "[{\"action\": {\"http_500_after_applying\": true}}]");
    reply = cancel_job("1");
    ck_assert_int_eq(reply.status, 500);
    ck_assert_ptr_null(reply.json);
    reply_release(&reply);
    expect_task("koodrive", "1", "cancelled", "C");
}
END_TEST

START_TEST(json_may_be_cut_in_a_whole_answer_or_break_off)
{
    struct reply reply;
    control("faults", "[{\"action\": {\"cut_json\": true}}, {\"action\": {\"cut_short\": true}}]");
    reply = cancel_job("1");
    ck_assert_int_eq(reply.result, CURLE_OK);
    ck_assert_str_eq(reply.body, "{\"code\":0,");
    reply_release(&reply);
    reply = koodrive_call("GET", "1", NULL);
    ck_assert_int_eq(reply.result, CURLE_PARTIAL_FILE);
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    expect_task("koodrive", "1", "cancelled", "Cs");
}
END_TEST

START_TEST(a_huge_body_is_streamed_to_its_last_byte)
{
    struct reply reply;
    control("faults", "[{\"action\": {\"huge_body\": 50000000}}]");
    reply = cancel_job("1");
    ck_assert_int_eq(reply.result, CURLE_OK);
    ck_assert_uint_eq(reply.body_len, 50000000);
    reply_release(&reply);
}
END_TEST

START_TEST(expired_token_revokes_an_issued_one_and_not_a_fixed_one)
{
    struct reply reply = enos_sign_in();
    reply_release(&reply);
    control("faults", "[{\"match\": {\"operation\": \"cancel\"}, \"times\": 2, \"action\":"
                      " {\"expired_token\": true}}]");
    reply = enos_call("DELETE", "t", "enos-token-1");
    ck_assert_ptr_nonnull(strstr(reply.body, "4011"));
    reply_release(&reply);
    reply = enos_call("GET", "t/status", "enos-token-1");
    ck_assert_ptr_nonnull(strstr(reply.body, "4011"));
    reply_release(&reply);
    reply = enos_sign_in();
    ck_assert_ptr_nonnull(strstr(reply.body, "enos-token-2"));
    reply_release(&reply);
    reply = scnet_call("cancel", "{\"taskIds\":[\"a\"]}");
    ck_assert_ptr_nonnull(strstr(reply.body, "911406"));
    reply_release(&reply);
    reply = scnet_call("cancel", "{\"taskIds\":[\"a\"]}");
    ck_assert_ptr_nonnull(strstr(reply.body, "\"result\":true"));
    reply_release(&reply);
    expect_no_violation();
}
END_TEST

START_TEST(hang_never_answers_and_ends_with_its_client)
{
    struct ask ask = {.method = "GET",
                      .path = "/koodrive/ose/v1/1",
                      .headers = {"Authorization: Bearer+koodrive-token"},
                      .timeout_ms = 300};
    struct reply reply;
    control("faults", "[{\"action\": {\"hang\": true}}]");
    reply = client_send(&main_server, &ask);
    ck_assert_int_eq(reply.result, CURLE_OPERATION_TIMEDOUT);
    ck_assert_int_eq(reply.status, 0);
    reply_release(&reply);
    expect_task("koodrive", "1", "running", "s");
    for (int64_t under_way = 1; under_way > 0;) {
        json_t *report = ledger();
        under_way = json_integer_value(json_object_get(report, "under_way"));
        json_decref(report);
    }
    expect_ok(koodrive_call("GET", "1", NULL));
}
END_TEST

START_TEST(delay_holds_the_answer_and_stands_beside_another_action)
{
    struct reply reply;
    control("faults", "[{\"action\": {\"delay_ms\": 150}},"
                      "{\"action\": {\"delay_ms\": 150, \"status\": 500}}]");
    reply = cancel_job("1");
    ck_assert_double_ge(reply.seconds, 0.149);
    expect_ok(reply);
    reply = cancel_job("2");
    ck_assert_double_ge(reply.seconds, 0.149);
    ck_assert_int_eq(reply.status, 500);
    reply_release(&reply);
    expect_task("koodrive", "1", "cancelled", "C");
    expect_task("koodrive", "2", "running", "c");
}
END_TEST

START_TEST(apply_overrides_whether_the_request_takes_effect)
{
    struct reply reply;
    control("faults", "[{\"action\": {\"status\": 502, \"apply\": true}},"
                      "{\"action\": {\"reset_after\": true, \"apply\": false}}]");
    reply = cancel_job("1");
    ck_assert_int_eq(reply.status, 502);
    reply_release(&reply);
    expect_task("koodrive", "1", "cancelled", "C");
    expect_reset(cancel_job("2"));
    expect_task("koodrive", "2", "running", "c");
}
END_TEST

/* Which of the requests were hit, as text: x hit, . not. */
static void hits_of(const char *const *ids, char *hits)
{
    for (size_t i = 0; ids[i]; i++) {
        struct reply reply = cancel_job(ids[i]);
        hits[i] = reply.status == 500 ? 'x' : reply.status == 502 ? 'y' : '.';
        hits[i + 1] = '\0';
        reply_release(&reply);
    }
}

START_TEST(the_first_rule_with_times_left_wins)
{
    static const char *const ids[] = {"1", "1", "1", "1", "1", NULL};
    char hits[8];
    control("faults", "[{\"times\": 2, \"action\": {\"status\": 500}},"
                      "{\"times\": 1, \"action\": {\"status\": 502}}]");
    hits_of(ids, hits);
    ck_assert_str_eq(hits, "xxy..");
}
END_TEST

START_TEST(every_hits_each_kth_match)
{
    static const char *const ids[] = {"1", "1", "1", "1", "1", "1", "1", NULL};
    char hits[8];
    control("faults", "[{\"every\": 3, \"action\": {\"status\": 500}}]");
    hits_of(ids, hits);
    ck_assert_str_eq(hits, "..x..x.");
    control("reset", NULL);
    control("faults", "[{\"every\": 2, \"times\": 1, \"action\": {\"status\": 500}}]");
    hits_of(ids, hits);
    ck_assert_str_eq(hits, ".x.....");
}
END_TEST

START_TEST(above_per_s_hits_what_comes_too_fast)
{
    static const char *const ids[] = {"1", "1", "1", "1", NULL};
    char hits[8];
    control("faults", "[{\"above_per_s\": 0.001, \"action\": {\"status\": 500}}]");
    hits_of(ids, hits);
    ck_assert_str_eq(hits, ".xxx");
    control("reset", NULL);
    control("faults", "[{\"above_per_s\": 1000, \"action\": {\"status\": 500}}]");
    hits_of(ids, hits);
    ck_assert_str_eq(hits, "....");
}
END_TEST

START_TEST(chance_repeats_itself_from_the_same_seed)
{
    static const char *const ids[] = {"1", "1", "1", "1", "1", "1", "1", "1", "1", "1", "1",
                                      "1", "1", "1", "1", "1", "1", "1", "1", "1", NULL};
    char first[24], second[24];
    control("faults", "[{\"chance\": 0.5, \"action\": {\"status\": 500}}]");
    hits_of(ids, first);
    control("reset", NULL);
    control("faults", "[{\"chance\": 0.5, \"action\": {\"status\": 500}}]");
    hits_of(ids, second);
    ck_assert_str_eq(first, second);
    ck_assert_ptr_nonnull(strchr(first, 'x'));
    ck_assert_ptr_nonnull(strchr(first, '.'));
}
END_TEST

START_TEST(rules_match_provider_operation_path_and_task)
{
    struct reply reply;
    control("faults",
            "[{\"times\": -1, \"match\": {\"provider\": \"koodrive\", \"operation\": \"cancel\","
            " \"task\": \"7\"}, \"action\": {\"status\": 500}},"
            "{\"times\": -1, \"match\": {\"task\": \"b\"}, \"action\": {\"status\": 501}},"
            "{\"times\": -1, \"match\": {\"path_contains\": \"target=d-1\"}, \"action\":"
            " {\"status\": 502}}]");
    expect_ok(cancel_job("8"));
    expect_ok(koodrive_call("GET", "7", NULL));
    reply = cancel_job("7");
    ck_assert_int_eq(reply.status, 500);
    reply_release(&reply);
    reply = scnet_call("cancel", "{\"taskIds\":[\"a\",\"b\"]}");
    ck_assert_int_eq(reply.status, 501);
    reply_release(&reply);
    reply = scnet_call("cancel", "{\"taskIds\":[\"a\"]}");
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    reply = iotda_call("GET", "ab?target=d-1", NULL);
    ck_assert_int_eq(reply.status, 502);
    reply_release(&reply);
}
END_TEST

START_TEST(faults_are_counted_and_can_be_dropped)
{
    struct ask drop = {.method = "DELETE", .path = "/_simulator/faults"};
    struct reply reply;
    json_t *report, *faults;
    control("faults", "[{\"times\": -1, \"action\": {\"status\": 500}}]");
    reply = cancel_job("1");
    ck_assert_int_eq(reply.status, 500);
    reply_release(&reply);
    report = ledger();
    faults = json_object_get(report, "faults");
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(faults, 0), "fired")), 1);
    json_decref(report);
    reply = client_send(&main_server, &drop);
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    expect_ok(cancel_job("1"));
}
END_TEST

Suite *suite_faults(void)
{
    Suite *suite = suite_create("faults");
    TCase *tests = tcase_create("faults");
    tcase_add_checked_fixture(tests, start_empty, NULL);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, reset_before_swallows_the_request);
    tcase_add_test(tests, a_swallowed_stop_leaves_its_targets_running);
    tcase_add_test(tests, reset_after_swallows_only_the_answer);
    tcase_add_test(tests, tasks_change_on_their_own_before_or_after_the_request);
    tcase_add_test(tests, a_cancelling_task_may_end_otherwise);
    tcase_add_test(tests, status_body_and_headers_come_verbatim);
    tcase_add_test(tests, each_provider_throttles_in_its_own_manner);
    tcase_add_test(tests, a_500_may_come_after_the_effect);
    tcase_add_test(tests, json_may_be_cut_in_a_whole_answer_or_break_off);
    tcase_add_test(tests, a_huge_body_is_streamed_to_its_last_byte);
    tcase_add_test(tests, expired_token_revokes_an_issued_one_and_not_a_fixed_one);
    tcase_add_test(tests, hang_never_answers_and_ends_with_its_client);
    tcase_add_test(tests, delay_holds_the_answer_and_stands_beside_another_action);
    tcase_add_test(tests, apply_overrides_whether_the_request_takes_effect);
    tcase_add_test(tests, the_first_rule_with_times_left_wins);
    tcase_add_test(tests, every_hits_each_kth_match);
    tcase_add_test(tests, above_per_s_hits_what_comes_too_fast);
    tcase_add_test(tests, chance_repeats_itself_from_the_same_seed);
    tcase_add_test(tests, rules_match_provider_operation_path_and_task);
    tcase_add_test(tests, faults_are_counted_and_can_be_dropped);
    suite_add_tcase(suite, tests);
    return suite;
}
