#include <poll.h>

#include "tests/unit/unit.h"
#include "tests/unit/io/support/stage.h"
#include "worker/io/http_call.h"
#include "common/version.h"

#include "common/banned.h"

/* ---- answers --------------------------------------------------------------------------------- */

static void full_answer(struct connection *connection)
{
    while (hear(connection))
        say(connection, "HTTP/1.1 404 Not Found\r\n"
                        "date: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
                        "RETRY-AFTER:   7  \r\n"
                        "Content-type: application/json\r\n"
                        "X-Subject-TOKEN: secret-token\r\n"
                        "x-request-id:\r\n"
                        "X-Other: 1\r\n"
                        "Content-Length: 5\r\n\r\n{\"a\"}");
}

START_TEST(answer_gives_status_body_and_the_kept_headers)
{
    begin(full_answer);
    const struct answer *answer = ask(&client, HTTP_GET, &server, NULL);
    ck_assert_result(answer, HTTP_ANSWERED);
    ck_assert_int_eq(answer->status, 404);
    ck_assert_str_eq(answer->body, "{\"a\"}");
    ck_assert_str_eq(answer->date, "Sat, 21 Nov 2026 12:00:00 GMT");
    ck_assert_str_eq(answer->retry_after, "7");
    ck_assert_str_eq(answer->content_type, "application/json");
    ck_assert_str_eq(answer->subject_token, "secret-token");
    ck_assert_str_eq(answer->request_id, "");
    ck_assert_str_eq(answer->problem, "");
    end();
}
END_TEST

START_TEST(nothing_of_a_request_or_an_answer_stays_behind)
{
    struct error err = {.kind = ERROR_NONE};
    char origin[] = "http://127.0.0.1", name[] = "127.0.0.1";
    struct http_host host = {.origin = origin, .name = name};
    struct http_request request;
    http_request_init(&request);
    buffer_append_string(&request.url, "http://127.0.0.1/");
    buffer_append_string(http_request_header(&request, "X-Auth-Token"), "secret-1");
    buffer_append_string(&request.body, "secret-2");
    struct http_call call;
    http_call_init(&call);
    call.host = &host;
    ck_assert_msg(http_call_write(&call, &request, &err) == 0, "%s", err.message);
    http_request_release(&request);
    static const char head[] = "HTTP/1.1 200 OK\r\nX-Subject-Token: secret-4\r\n"
                               "Content-Length: 9\r\n\r\nsecret-3";
    ck_assert_int_eq(http_call_read(&call, head, sizeof(head) - 1), PROGRESS_MORE);
    ck_assert_ptr_nonnull(strstr(call.out.data, "secret-1"));
    ck_assert_str_eq(call.answer.body.data, "secret-3");
    size_t out_bytes = call.out.len;
    http_call_clear(&call);
    for (size_t i = 0; i < out_bytes; i++)
        ck_assert_int_eq(call.out.data[i], 0);
    for (size_t i = 0; i < 8; i++) {
        ck_assert_int_eq(call.answer.body.data[i], 0);
        ck_assert_int_eq(call.answer.kept_text.data[i], 0);
    }
    http_call_release(&call);
}
END_TEST

START_TEST(large_buffers_are_given_back)
{
    struct http_call call;
    http_call_init(&call);
    while (call.answer.body.len < 100 * 1024) {
        buffer_append_string(&call.answer.body, "0123456789");
        buffer_append_string(&call.out, "0123456789");
    }
    http_call_clear(&call);
    ck_assert_uint_eq(call.answer.body.capacity, 0);
    ck_assert_uint_eq(call.out.capacity, 0);
    http_call_release(&call);
}
END_TEST

static void informed(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\nDate: wrong\r\n\r\n"
                    "HTTP/1.1 100 Continue\r\n\r\n"
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Request-Id: r\r\n\r\n");
    wait_for_end(connection);
}

START_TEST(informational_answers_are_passed_over)
{
    begin(informed);
    const struct answer *answer = ask(&client, HTTP_POST, &server, "{}");
    ck_assert_result(answer, HTTP_ANSWERED);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_null(answer->retry_after);
    ck_assert_ptr_null(answer->date);
    ck_assert_str_eq(answer->request_id, "r");
    ck_assert_ptr_nonnull(answer->body);
    ck_assert_uint_eq(answer->body_len, 0);
    end();
}
END_TEST

static void chunks_and_trailer(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nRetry-After: 5\r\n\r\n");
    wait_for_end(connection);
}

START_TEST(chunks_are_joined_and_trailers_not_kept)
{
    begin(chunks_and_trailer);
    const struct answer *answer = ask(&client, HTTP_GET, &server, NULL);
    ck_assert_result(answer, HTTP_ANSWERED);
    ck_assert_str_eq(answer->body, "abcde");
    ck_assert_ptr_null(answer->retry_after);
    end();
}
END_TEST

static void redirect(struct connection *connection)
{
    while (hear(connection))
        say(connection, "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n");
}

START_TEST(redirects_are_not_followed)
{
    begin(redirect);
    const struct answer *answer = ask(&client, HTTP_GET, &server, NULL);
    ck_assert_result(answer, HTTP_ANSWERED);
    ck_assert_int_eq(answer->status, 302);
    ck_assert_uint_eq(server.requests, 1);
    end();
}
END_TEST

static void until_close(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.0 200 OK\r\n\r\nall of it");
}

START_TEST(body_may_end_with_the_connection)
{
    begin(until_close);
    const struct answer *answer = ask(&client, HTTP_GET, &server, NULL);
    ck_assert_result(answer, HTTP_ANSWERED);
    ck_assert_str_eq(answer->body, "all of it");
    end();
}
END_TEST

static void switching(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
}

START_TEST(answer_that_is_not_final_is_broken)
{
    begin(switching);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_BROKEN);
    end();
}
END_TEST

/* ---- what is sent ---------------------------------------------------------------------------- */

static void echo_request(struct connection *connection)
{
    while (hear(connection)) {
        char head[64];
        (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                       strlen(connection->request));
        say(connection, head);
        say(connection, connection->request);
    }
}

static void expect_text(const char *expected, const char *path, enum http_method method,
                        const char *body)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), expected, server.port);
    const struct answer *answer = ask_url(&client, method, url_of(&server, path), body);
    ck_assert_result(answer, HTTP_ANSWERED);
    ck_assert_str_eq(answer->body, text);
}

START_TEST(requests_are_sent_as_built_whatever_came_before)
{
    static const char agent[] = "Accept: */*\r\nUser-Agent: kancel/" KANCEL_VERSION "\r\n";
    begin(echo_request);
    char post[256], delete[256], get[256], empty[256];
    (void)snprintf(post, sizeof(post),
                   "POST /a?b=%%%%2F HTTP/1.1\r\nHost: 127.0.0.1:%%u\r\n%sContent-Length: 8\r\n"
                   "\r\n{\"a\": 1}",
                   agent);
    (void)snprintf(delete, sizeof(delete),
                   "DELETE /a/../b/./c HTTP/1.1\r\nHost: 127.0.0.1:%%u\r\n%s\r\n", agent);
    (void)snprintf(get, sizeof(get), "GET /g HTTP/1.1\r\nHost: 127.0.0.1:%%u\r\n%s\r\n", agent);
    (void)snprintf(empty, sizeof(empty),
                   "POST /p HTTP/1.1\r\nHost: 127.0.0.1:%%u\r\n%sContent-Length: 0\r\n\r\n", agent);
    for (unsigned i = 0; i < 2; i++) {
        expect_text(post, "/a?b=%2F", HTTP_POST, "{\"a\": 1}");
        expect_text(delete, "/a/../b/./c", HTTP_DELETE, NULL);
        expect_text(get, "/g", HTTP_GET, NULL);
        expect_text(empty, "/p", HTTP_POST, NULL);
    }
    ck_assert_uint_eq(server.connections, 1);
    end();
}
END_TEST

START_TEST(headers_of_a_request_are_sent_also_empty_ones_and_a_long_body_at_once)
{
    begin(echo_request);
    struct http_request request;
    http_request_init(&request);
    request.method = HTTP_POST;
    buffer_append_string(&request.url, url_of(&server, "/"));
    buffer_append_string(http_request_header(&request, "X-Auth-Token"), "t: ;k");
    (void)http_request_header(&request, "X-Empty");
    buffer_append_string(http_request_header(&request, "Content-Type"), "application/json");
    for (size_t i = 0; i < 40 * 1024; i++)
        buffer_append_byte(&request.body, 'x');
    uint64_t id = start(&client, &request);
    wait_for(&client, 1);
    const struct answer *answer = &client.answers[id];
    ck_assert_result(answer, HTTP_ANSWERED);
    ck_assert_ptr_nonnull(strstr(answer->body, "\r\nX-Auth-Token: t: ;k\r\n"));
    ck_assert_ptr_nonnull(strstr(answer->body, "\r\nX-Empty:\r\n"));
    ck_assert_ptr_nonnull(strstr(answer->body, "\r\nContent-Type: application/json\r\n"));
    ck_assert_ptr_null(strstr(answer->body, "Expect"));
    ck_assert_uint_gt(answer->body_len, 40 * 1024);
    end();
}
END_TEST

START_TEST(wrong_requests_are_answered_later_as_not_sent)
{
    open_client();
    ck_assert_result(ask_url(&client, HTTP_GET, "ftp://127.0.0.1/x", NULL), HTTP_NOT_SENT);
    ck_assert_result(ask_url(&client, HTTP_GET, "http://127.0.0.1:99999/", NULL), HTTP_NOT_SENT);
    ck_assert_result(ask_url(&client, HTTP_GET, "", NULL), HTTP_NOT_SENT);
    struct http_request request;
    http_request_init(&request);
    buffer_append_string(&request.url, "http://127.0.0.1/");
    buffer_append_string(http_request_header(&request, "X-A"), "a\r\nX-B: b");
    uint64_t id = start(&client, &request);
    ck_assert_uint_eq(http_in_flight(client.http), 1);
    wait_for(&client, 1);
    ck_assert_uint_eq(http_in_flight(client.http), 0);
    ck_assert_result(&client.answers[id], HTTP_NOT_SENT);
    ck_assert_ptr_nonnull(strstr(client.answers[id].problem, "X-A"));
    close_client();
}
END_TEST

/* ---- perhaps sent ---------------------------------------------------------------------------- */

static void silent(struct connection *connection)
{
    (void)hear(connection);
    wait_for_end(connection);
}

static void stuck_in_head(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\nContent-");
    wait_for_end(connection);
}

static void stuck_in_body(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    wait_for_end(connection);
}

static void drips(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\n\r\n");
    struct pollfd left = {.fd = connection->fd, .events = POLLIN};
    while (poll(&left, 1, 10) == 0)
        say(connection, "x");
}

START_TEST(whole_answer_that_does_not_come_in_time_is_timed_out)
{
    static void (*const scripts[])(struct connection *) = {silent, stuck_in_head, stuck_in_body,
                                                           drips};
    begin(scripts[_i]);
    client.account.limits.timeout_ms = 150;
    int64_t started = loop_mono_ms();
    const struct answer *answer = ask(&client, HTTP_POST, &server, "{}");
    ck_assert_result(answer, HTTP_TIMED_OUT);
    ck_assert_int_eq(answer->status, 0);
    ck_assert_ptr_null(answer->body);
    ck_assert_int_ge(loop_mono_ms() - started, 150);
    end();
}
END_TEST

static void closes(struct connection *connection)
{
    (void)hear(connection);
}

static void resets(struct connection *connection)
{
    (void)hear(connection);
    reset_at_end(connection);
}

static void cuts_head(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\nContent-");
}

static void cuts_length(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
}

static void cuts_chunk(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n");
}

static void bad_chunk(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n12345\r\n");
    wait_for_end(connection);
}

static void no_http(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "SSH-2.0-OpenSSH\r\n{\"taskId\": 1}\r\n");
}

static void no_header(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 200 OK\r\nContent-Length 10\r\n\r\n12345");
}

START_TEST(answer_that_is_cut_or_malformed_is_broken)
{
    static void (*const scripts[])(struct connection *) = {
        closes, resets, cuts_head, cuts_length, cuts_chunk, bad_chunk, no_http, no_header};
    begin(scripts[_i]);
    const struct answer *answer = ask(&client, HTTP_POST, &server, "{}");
    ck_assert_result(answer, HTTP_BROKEN);
    ck_assert_int_eq(answer->status, 0);
    ck_assert_ptr_null(answer->body);
    ck_assert_str_ne(answer->problem, "");
    ck_assert_uint_eq(server.requests, 1);
    end();
}
END_TEST

/* ---- ceilings -------------------------------------------------------------------------------- */

static void fill(struct connection *connection, size_t len)
{
    static char zeros[1024];
    memset(zeros, '0', sizeof(zeros));
    for (; len >= sizeof(zeros); len -= sizeof(zeros))
        send_bytes(connection, zeros, sizeof(zeros));
    send_bytes(connection, zeros, len);
}

static void fits(struct connection *connection)
{
    char head[64];
    (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                   LIMIT_RESPONSE_BYTES);
    while (hear(connection)) {
        say(connection, head);
        fill(connection, LIMIT_RESPONSE_BYTES);
    }
}

START_TEST(body_of_the_limit_is_taken_again_and_again)
{
    begin(fits);
    for (unsigned i = 0; i < 3; i++) {
        const struct answer *answer = ask(&client, HTTP_GET, &server, NULL);
        ck_assert_result(answer, HTTP_ANSWERED);
        ck_assert_uint_eq(answer->body_len, LIMIT_RESPONSE_BYTES);
    }
    ck_assert_uint_eq(server.connections, 1);
    end();
}
END_TEST

static void announces_too_much(struct connection *connection)
{
    char head[64];
    (void)snprintf(head, sizeof(head), "HTTP/1.1 206 OK\r\nContent-Length: %d\r\n\r\n",
                   LIMIT_RESPONSE_BYTES + 1);
    (void)hear(connection);
    say(connection, head);
    wait_for_end(connection);
}

static void one_byte_too_much(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 206 OK\r\n\r\n");
    fill(connection, LIMIT_RESPONSE_BYTES + 1);
    wait_for_end(connection);
}

static void too_many_headers(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 206 OK\r\n");
    for (size_t sent = 0; sent < LIMIT_RESPONSE_HEADER_BYTES; sent += 20)
        say(connection, "X-Header: 012345678\r\n");
    wait_for_end(connection);
}

static void too_long_header(struct connection *connection)
{
    (void)hear(connection);
    say(connection, "HTTP/1.1 206 OK\r\nX-Subject-Token: ");
    fill(connection, LIMIT_RESPONSE_HEADER_BYTES);
    say(connection, "\r\n\r\n");
    wait_for_end(connection);
}

START_TEST(answer_beyond_a_limit_is_too_large)
{
    static void (*const scripts[])(struct connection *) = {announces_too_much, one_byte_too_much,
                                                           too_many_headers, too_long_header};
    begin(scripts[_i]);
    const struct answer *answer = ask(&client, HTTP_POST, &server, "{}");
    ck_assert_result(answer, HTTP_TOO_LARGE);
    ck_assert_int_eq(answer->status, 206);
    ck_assert_ptr_null(answer->body);
    end();
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, answer_gives_status_body_and_the_kept_headers);
    tcase_add_test(tcase, nothing_of_a_request_or_an_answer_stays_behind);
    tcase_add_test(tcase, large_buffers_are_given_back);
    tcase_add_test(tcase, informational_answers_are_passed_over);
    tcase_add_test(tcase, chunks_are_joined_and_trailers_not_kept);
    tcase_add_test(tcase, redirects_are_not_followed);
    tcase_add_test(tcase, body_may_end_with_the_connection);
    tcase_add_test(tcase, answer_that_is_not_final_is_broken);
    tcase_add_test(tcase, requests_are_sent_as_built_whatever_came_before);
    tcase_add_test(tcase, headers_of_a_request_are_sent_also_empty_ones_and_a_long_body_at_once);
    tcase_add_test(tcase, wrong_requests_are_answered_later_as_not_sent);
    tcase_add_loop_test(tcase, whole_answer_that_does_not_come_in_time_is_timed_out, 0, 4);
    tcase_add_loop_test(tcase, answer_that_is_cut_or_malformed_is_broken, 0, 8);
    tcase_add_test(tcase, body_of_the_limit_is_taken_again_and_again);
    tcase_add_loop_test(tcase, answer_beyond_a_limit_is_too_large, 0, 4);
    return unit_run("http_call", tcase);
}
