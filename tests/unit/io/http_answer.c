#include <string.h>

#include "common/limits.h"
#include "tests/unit/unit.h"
#include "worker/io/http_answer.h"

#include "common/banned.h"

static struct http_answer answer;
static const char *problem;

static void setup(void)
{
    http_answer_init(&answer);
}

static void teardown(void)
{
    http_answer_release(&answer);
}

/* ---- feeding --------------------------------------------------------------------------------- */

/* From a block of just that size, so that the sanitizer sees a read behind the end. */
static enum http_progress feed(const char *text, size_t len)
{
    char *copy = malloc(len);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, len);
    problem = "";
    enum http_progress progress = http_answer_read(&answer, slice_of(copy, len), &problem);
    free(copy);
    return progress;
}

static enum http_progress feed_text(const char *text)
{
    return feed(text, strlen(text));
}

static enum http_progress feed_end(void)
{
    problem = "";
    return http_answer_read_end(&answer, &problem);
}

/* Anew, in one piece. */
static enum http_progress read_text(const char *text)
{
    http_answer_clear(&answer);
    return feed_text(text);
}

static void fill(char *text, size_t len)
{
    memset(text, 'x', len);
    text[len] = '\0';
}

static void expect_body(const char *expected)
{
    struct slice body = buffer_slice(&answer.body);
    ck_assert_uint_eq(body.len, strlen(expected));
    ck_assert_mem_eq(body.data, expected, body.len);
}

/* NULL: there is none. */
static void expect_header(enum http_kept which, const char *expected)
{
    struct slice value = http_answer_header(&answer, which);
    if (expected == NULL) {
        ck_assert_ptr_null(value.data);
        return;
    }
    ck_assert_ptr_nonnull(value.data);
    ck_assert_msg(slice_equal(value, slice_of_string(expected)), "expected %s, got %.*s", expected,
                  (int)value.len, value.data);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static const char whole[] = "HTTP/1.1 404 Not Found\r\n"
                            "Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
                            "RETRY-after:   7 \t \r\n"
                            "X-Request-Id:\r\n"
                            "X-Request-Id-Of-Another-System-With-A-Long-Name: 1\r\n"
                            "Content-Type: application/json;\r\n"
                            "  charset=utf-8\r\n"
                            "X-Subject-Token: first\r\n"
                            "X-Subject-Token: second\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n"
                            "3;a=b\r\n{\"a\r\n2\r\n\"}\r\n0\r\nRetry-After: 5\r\n\r\n";

static void expect_whole(enum http_progress progress)
{
    ck_assert_int_eq(progress, PROGRESS_DONE);
    ck_assert_int_eq(http_answer_status(&answer), 404);
    ck_assert(answer.lasting);
    ck_assert(!answer.surplus);
    expect_body("{\"a\"}");
    expect_header(KEPT_DATE, "Sat, 21 Nov 2026 12:00:00 GMT");
    expect_header(KEPT_RETRY_AFTER, "7");
    expect_header(KEPT_REQUEST_ID, "");
    expect_header(KEPT_CONTENT_TYPE, "application/json;  charset=utf-8");
    expect_header(KEPT_SUBJECT_TOKEN, "first");
}

START_TEST(bytes_may_come_one_at_a_time)
{
    for (size_t i = 0; i + 2 < sizeof(whole); i++)
        ck_assert_int_eq(feed(whole + i, 1), PROGRESS_MORE);
    expect_whole(feed(whole + sizeof(whole) - 2, 1));
}
END_TEST

START_TEST(bytes_may_be_split_anywhere)
{
    expect_whole(read_text(whole));
    for (size_t at = 1; at + 1 < sizeof(whole); at++) {
        http_answer_clear(&answer);
        ck_assert_int_eq(feed(whole, at), PROGRESS_MORE);
        expect_whole(feed(whole + at, sizeof(whole) - 1 - at));
    }
}
END_TEST

START_TEST(nothing_of_an_answer_is_left_for_the_next)
{
    expect_whole(read_text(whole));
    ck_assert_int_eq(read_text("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), PROGRESS_DONE);
    ck_assert_int_eq(http_answer_status(&answer), 200);
    expect_body("");
    for (int i = 0; i < KEPT_COUNT; i++)
        expect_header((enum http_kept)i, NULL);
    ck_assert(!answer.lasting);
    ck_assert_int_eq(read_text("HTTP/9"), PROGRESS_MORE);
    ck_assert_int_eq(read_text("SSH-2.0"), PROGRESS_FAILED);
    expect_whole(read_text(whole));
}
END_TEST

/* ---- informational answers, answers without a body ------------------------------------------- */

START_TEST(informational_answers_are_passed_over)
{
    static const char text[] = "HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\nDate: wrong\r\n"
                               "X-Request-Id: early\r\nContent-Length: 7\r\n\r\n"
                               "HTTP/1.1 100 Continue\r\n\r\n"
                               "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: r\r\n\r\nok";
    for (size_t at = 1; at + 1 < sizeof(text); at++) {
        http_answer_clear(&answer);
        ck_assert_int_eq(feed(text, at), PROGRESS_MORE);
        ck_assert_int_eq(feed(text + at, sizeof(text) - 1 - at), PROGRESS_DONE);
        ck_assert_int_eq(http_answer_status(&answer), 200);
        expect_body("ok");
        expect_header(KEPT_RETRY_AFTER, NULL);
        expect_header(KEPT_DATE, NULL);
        expect_header(KEPT_REQUEST_ID, "r");
        ck_assert(answer.lasting);
    }
}
END_TEST

START_TEST(informational_answer_alone_is_none)
{
    ck_assert_int_eq(read_text("HTTP/1.1 100 Continue\r\n\r\n"), PROGRESS_MORE);
    ck_assert_int_eq(feed_end(), PROGRESS_FAILED);
    ck_assert_str_ne(problem, "");
    ck_assert_int_eq(read_text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
                     PROGRESS_FAILED);
    ck_assert_str_ne(problem, "");
}
END_TEST

START_TEST(answers_without_a_body_end_with_their_head)
{
    static const char *const heads[] = {
        "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5000000000\r\n\r\n"};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        ck_assert_msg(read_text(heads[i]) == PROGRESS_DONE, "%s: %s", heads[i], problem);
        ck_assert(answer.lasting);
        ck_assert(!answer.surplus);
        expect_body("");
    }
    /* One that is sent all the same is none of the next answer's. */
    ck_assert_int_eq(read_text("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                     PROGRESS_DONE);
    ck_assert(answer.surplus);
}
END_TEST

/* ---- the connection afterwards --------------------------------------------------------------- */

START_TEST(what_follows_an_answer_is_surplus)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char *const behind[] = {
        "x", "HTTP/1.1 500 Smuggled\r\nContent-Length: 3\r\n\r\nbad", "H", "\r\nHTTP/1.1 "};
    for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
        char both[256];
        (void)snprintf(both, sizeof(both), "%s%s", text, behind[i]);
        ck_assert_int_eq(read_text(both), PROGRESS_DONE);
        ck_assert_msg(answer.surplus, "%s", behind[i]);
        ck_assert_int_eq(http_answer_status(&answer), 200);
        expect_body("ok");
    }
}
END_TEST

START_TEST(version_and_header_say_whether_a_connection_lasts)
{
    static const struct {
        const char *version, *headers;
        bool lasting;
    } rows[] = {
        {"1.1", "Content-Length: 0\r\n", true},
        {"1.1", "Content-Length: 0\r\nConnection: keep-alive\r\n", true},
        {"1.1", "Content-Length: 0\r\nConnection: close\r\n", false},
        {"1.1", "Content-Length: 0\r\nCONNECTION: foo, Close\r\n", false},
        {"1.0", "Content-Length: 0\r\n", false},
        {"1.0", "Content-Length: 0\r\nConnection: keep-alive\r\n", true},
        {"1.0", "Content-Length: 0\r\nConnection: close\r\n", false},
        {"1.1", "", false}, /* it ends with the connection */
        {"1.0", "Connection: keep-alive\r\n", false},
        {"1.1", "Transfer-Encoding: gzip\r\n", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text), "HTTP/%s 200 OK\r\n%s\r\n", rows[i].version,
                       rows[i].headers);
        enum http_progress progress = read_text(text);
        if (progress == PROGRESS_MORE)
            progress = feed_end();
        ck_assert_msg(progress == PROGRESS_DONE, "%s: %s", text, problem);
        ck_assert_msg(answer.lasting == rows[i].lasting, "%s", text);
    }
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------------ */

START_TEST(body_without_a_length_ends_with_the_connection)
{
    ck_assert_int_eq(read_text("HTTP/1.1 200 OK\r\n\r\nall "), PROGRESS_MORE);
    ck_assert_int_eq(feed_text("of it"), PROGRESS_MORE);
    ck_assert_int_eq(feed_end(), PROGRESS_DONE);
    expect_body("all of it");
    ck_assert(!answer.lasting);
}
END_TEST

START_TEST(answer_that_is_cut_is_none)
{
    for (size_t at = 0; at + 1 < sizeof(whole); at++) {
        http_answer_clear(&answer);
        if (at > 0)
            ck_assert_int_eq(feed(whole, at), PROGRESS_MORE);
        ck_assert_int_eq(feed_end(), PROGRESS_FAILED);
        ck_assert_str_ne(problem, "");
        ck_assert(!answer.too_large);
        ck_assert_int_eq(answer.heard, at > 0);
    }
}
END_TEST

/* A length and chunks contradict each other: who trusts the other one reads another answer. */
START_TEST(what_is_not_one_answer_is_refused)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length 10\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "SSH-2.0-OpenSSH\r\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ck_assert_msg(read_text(texts[i]) == PROGRESS_FAILED, "%s", texts[i]);
        ck_assert_str_ne(problem, "");
        ck_assert(!answer.too_large);
    }
}
END_TEST

/* ---- ceilings -------------------------------------------------------------------------------- */

static void expect_too_large(enum http_progress progress)
{
    ck_assert_int_eq(progress, PROGRESS_FAILED);
    ck_assert(answer.too_large);
    ck_assert_str_ne(problem, "");
}

/* So often until it ends; MORE: it does not. */
static enum http_progress feed_often(const char *text, size_t total)
{
    enum http_progress progress = PROGRESS_MORE;
    for (size_t fed = 0; progress == PROGRESS_MORE && fed < total; fed += strlen(text))
        progress = feed_text(text);
    return progress;
}

START_TEST(head_beyond_its_ceiling_is_too_large)
{
    static char value[LIMIT_RESPONSE_HEADER_BYTES + 1];
    ck_assert_int_eq(read_text("HTTP/1.1 200 OK\r\n"), PROGRESS_MORE);
    expect_too_large(feed_often("X-Header: 012345678\r\n", LIMIT_RESPONSE_HEADER_BYTES));
    ck_assert_int_eq(read_text("HTTP/1.1 200 OK\r\nX-Subject-Token: "), PROGRESS_MORE);
    fill(value, sizeof(value) - 1);
    expect_too_large(feed_text(value));
    ck_assert_int_eq(read_text("HTTP/1.1 200 OK\r\nX-"), PROGRESS_MORE);
    expect_too_large(feed_text(value));
    fill(value, LIMIT_RESPONSE_HEADER_BYTES - 256);
    ck_assert_int_eq(read_text("HTTP/1.1 200 OK\r\nX-Subject-Token: "), PROGRESS_MORE);
    ck_assert_int_eq(feed_text(value), PROGRESS_MORE);
    ck_assert_int_eq(feed_text("\r\nContent-Length: 0\r\n\r\n"), PROGRESS_DONE);
    expect_header(KEPT_SUBJECT_TOKEN, value);
}
END_TEST

START_TEST(body_beyond_its_ceiling_is_too_large)
{
    static char body[LIMIT_RESPONSE_BYTES + 1];
    char head[128];
    (void)snprintf(head, sizeof(head), "HTTP/1.1 206 OK\r\nContent-Length: %d\r\n\r\n",
                   LIMIT_RESPONSE_BYTES + 1);
    expect_too_large(read_text(head));
    ck_assert_int_eq(http_answer_status(&answer), 206);
    fill(body, LIMIT_RESPONSE_BYTES);
    ck_assert_int_eq(read_text("HTTP/1.1 206 OK\r\n\r\n"), PROGRESS_MORE);
    ck_assert_int_eq(feed_text(body), PROGRESS_MORE);
    expect_too_large(feed_text("x"));
    ck_assert_int_eq(http_answer_status(&answer), 206);
    (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                   LIMIT_RESPONSE_BYTES);
    ck_assert_int_eq(read_text(head), PROGRESS_MORE);
    ck_assert_int_eq(feed_text(body), PROGRESS_DONE);
    expect_body(body);
    ck_assert(answer.lasting);
}
END_TEST

/* Who sends for ever what is neither head nor body is not read for ever. */
START_TEST(what_surrounds_an_answer_has_a_ceiling_too)
{
    static char extension[32 * 1024];
    ck_assert_int_eq(sizeof(extension) % 1024, 0);
    expect_too_large(feed_often("HTTP/1.1 100 Continue\r\n\r\n", (size_t)64 * 1024 * 1024));
    fill(extension, sizeof(extension) - 1);
    memcpy(extension, "1;", 2);
    memcpy(extension + sizeof(extension) - 6, "\r\nx\r\n", 5);
    ck_assert_int_eq(read_text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                     PROGRESS_MORE);
    expect_too_large(feed_often(extension, (size_t)64 * 1024 * 1024));
}
END_TEST

/* Chunks of a byte each. */
START_TEST(small_chunks_fit)
{
    ck_assert_int_eq(read_text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                     PROGRESS_MORE);
    for (size_t i = 0; i < LIMIT_RESPONSE_BYTES / 64; i++)
        ck_assert_int_eq(feed_often("1\r\nx\r\n", (size_t)64 * 6), PROGRESS_MORE);
    ck_assert_int_eq(feed_text("0\r\n\r\n"), PROGRESS_DONE);
    ck_assert_uint_eq(answer.body.len, LIMIT_RESPONSE_BYTES);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, bytes_may_come_one_at_a_time);
    tcase_add_test(tcase, bytes_may_be_split_anywhere);
    tcase_add_test(tcase, nothing_of_an_answer_is_left_for_the_next);
    tcase_add_test(tcase, informational_answers_are_passed_over);
    tcase_add_test(tcase, informational_answer_alone_is_none);
    tcase_add_test(tcase, answers_without_a_body_end_with_their_head);
    tcase_add_test(tcase, what_follows_an_answer_is_surplus);
    tcase_add_test(tcase, version_and_header_say_whether_a_connection_lasts);
    tcase_add_test(tcase, body_without_a_length_ends_with_the_connection);
    tcase_add_test(tcase, answer_that_is_cut_is_none);
    tcase_add_test(tcase, what_is_not_one_answer_is_refused);
    tcase_add_test(tcase, head_beyond_its_ceiling_is_too_large);
    tcase_add_test(tcase, body_beyond_its_ceiling_is_too_large);
    tcase_add_test(tcase, what_surrounds_an_answer_has_a_ceiling_too);
    tcase_add_test(tcase, small_chunks_fit);
    return unit_run("http_answer", tcase);
}
