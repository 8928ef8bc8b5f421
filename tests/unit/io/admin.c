#include <arpa/inet.h>
#include "tests/unit/unit.h"
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/io/admin.h"
#include "worker/io/loop.h"

#include "common/banned.h"

enum { LONG_MS = 3600 * 1000, ANSWER_BYTES = 512 * 1024 };

static struct loop *loop;
static struct admin *admin;
static struct admin_settings settings;

static struct admin *open_at(const char *listen_text, int64_t stall_ms)
{
    struct error err = {.kind = ERROR_NONE};
    settings.listen = listen_text;
    settings.stall_ms = stall_ms;
    struct admin *made = admin_new(loop, &settings, &err);
    ck_assert_msg(made != NULL, "%s", err.message);
    return made;
}

static struct admin *try_at(const char *listen_text, struct error *err)
{
    settings.listen = listen_text;
    settings.stall_ms = LONG_MS;
    return admin_new(loop, &settings, err);
}

static void publish(const char *metrics, const char *not_ready)
{
    struct buffer text;
    buffer_init(&text, ANSWER_BYTES);
    buffer_append_string(&text, metrics);
    struct admin_facts facts = {.metrics = &text, .not_ready = not_ready, .started = !not_ready};
    admin_publish(admin, &facts);
    ck_assert_ptr_null(text.data);
}

static int connect_to(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends `request`; returns all that comes until the server closes. */
static const char *exchange(const char *request)
{
    static char answer[ANSWER_BYTES];
    int fd = connect_to(admin_port(admin));
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    size_t len = 0;
    ssize_t got;
    while ((got = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
        len += (size_t)got;
    answer[len] = '\0';
    (void)close(fd);
    return answer;
}

static const char *get(const char *path)
{
    char request[256];
    (void)snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path);
    return exchange(request);
}

static void expect(const char *answer, int status, const char *text)
{
    char line[32];
    (void)snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    ck_assert_msg(strncmp(answer, line, strlen(line)) == 0, "expected %d: %s", status, answer);
    ck_assert_msg(strstr(answer, text) != NULL, "expected \"%s\": %s", text, answer);
}

START_TEST(worker_that_starts_is_alive_and_not_ready)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    expect(get("/livez"), 200, "\r\n\r\nok\n");
    expect(get("/readyz"), 503, "\r\n\r\nstarting\n");
    expect(get("/metrics"), 200, "Content-Length: 0\r\n");
    admin_free(admin);
}
END_TEST

START_TEST(readiness_follows_what_is_published)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    publish("a 1\n", NULL);
    expect(get("/readyz"), 200, "\r\n\r\nok\n");
    publish("a 1\n", "no broker answers");
    expect(get("/readyz"), 503, "\r\n\r\nno broker answers\n");
    expect(get("/livez"), 200, "\r\n\r\nok\n");
    publish("a 1\n", NULL);
    expect(get("/readyz?verbose"), 200, "\r\n\r\nok\n");
    admin_free(admin);
}
END_TEST

START_TEST(silent_loop_is_neither_alive_nor_ready_until_it_publishes)
{
    admin = open_at("127.0.0.1:0", -1);
    expect(get("/livez"), 503, "silent");
    publish("a 1\n", NULL);
    expect(get("/livez"), 503, "silent");
    expect(get("/readyz"), 503, "silent");
    admin_free(admin);
    admin = open_at("127.0.0.1:0", 1000);
    publish("a 1\n", NULL);
    expect(get("/livez"), 200, "ok");
    admin_free(admin);
}
END_TEST

START_TEST(metrics_are_the_last_published_text)
{
    static char large[ANSWER_BYTES / 2];
    admin = open_at("127.0.0.1:0", LONG_MS);
    publish("kancel_up 1\n", NULL);
    expect(get("/metrics"), 200, "\r\n\r\nkancel_up 1\n");
    expect(get("/metrics"), 200, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    memset(large, 'x', sizeof(large) - 1);
    publish(large, NULL);
    expect(get("/metrics"), 200, large);
    admin_free(admin);
}
END_TEST

START_TEST(metrics_that_failed_leave_the_last_ones)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    publish("kancel_up 1\n", NULL);
    struct buffer failed;
    buffer_init(&failed, 3);
    buffer_append_string(&failed, "too long");
    struct admin_facts facts = {.metrics = &failed};
    admin_publish(admin, &facts);
    ck_assert(!buffer_failed(&failed));
    expect(get("/metrics"), 200, "\r\n\r\nkancel_up 1\n");
    admin_free(admin);
}
END_TEST

START_TEST(front_page_loads_nothing_from_elsewhere)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    expect(get("/"), 200, "\r\n\r\n<p>the page</p>");
    expect(get("/"), 200, "Content-Security-Policy: default-src 'none';");
    admin_free(admin);
}
END_TEST

START_TEST(startup_is_over_once_it_was_ready)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    expect(get("/startupz"), 503, "starting");
    publish("a 1\n", "no broker answers");
    expect(get("/startupz"), 503, "no broker answers");
    publish("a 1\n", NULL);
    publish("a 1\n", "no broker answers");
    expect(get("/startupz"), 200, "ok");
    admin_free(admin);
}
END_TEST

START_TEST(other_paths_and_methods_are_refused_in_words)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    expect(get("/healthz"), 404, "/livez");
    expect(get("/livez/"), 404, "not found");
    const char *answer = exchange("POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
                                  "Connection: close\r\n\r\nxy");
    expect(answer, 405, "Allow: GET, HEAD\r\n");
    expect(exchange("DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 405, "only GET");
    admin_free(admin);
}
END_TEST

START_TEST(head_is_get_without_the_body)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    publish("kancel_up 1\n", NULL);
    const char *answer = exchange("HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(answer, 200, "Content-Length: 12\r\n");
    ck_assert_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    admin_free(admin);
}
END_TEST

START_TEST(connection_is_kept_for_the_next_request)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    const char *answer = exchange("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
                                  "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(answer, 200, "HTTP/1.1 503 ");
    admin_free(admin);
}
END_TEST

START_TEST(nonsense_and_endless_headers_do_no_harm)
{
    static char flood[100 * 1024];
    admin = open_at("127.0.0.1:0", LONG_MS);
    (void)exchange("\r\n\r\nnonsense\r\n\r\n");
    int length = snprintf(flood, sizeof(flood), "GET / HTTP/1.1\r\nX: ");
    memset(flood + length, 'y', sizeof(flood) - 1 - (size_t)length);
    int fd = connect_to(admin_port(admin));
    (void)send(fd, flood, sizeof(flood) - 1, MSG_NOSIGNAL);
    char answer[64] = "";
    (void)recv(fd, answer, sizeof(answer) - 1, 0);
    ck_assert(answer[0] == '\0' || strncmp(answer, "HTTP/1.1 4", 10) == 0);
    (void)close(fd);
    expect(get("/livez"), 200, "ok");
    admin_free(admin);
}
END_TEST

START_TEST(connections_have_a_ceiling)
{
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    int idle[256];
    admin = open_at("127.0.0.1:0", LONG_MS);
    for (size_t i = 0; i < 256; i++)
        idle[i] = connect_to(admin_port(admin));
    struct pollfd next = {.fd = connect_to(admin_port(admin)), .events = POLLIN};
    ck_assert_int_gt(send(next.fd, request, sizeof(request) - 1, MSG_NOSIGNAL), 0);
    ck_assert_int_eq(poll(&next, 1, 300), 0);
    for (size_t i = 0; i < 256; i++)
        (void)close(idle[i]);
    ck_assert_int_eq(poll(&next, 1, 5000), 1);
    (void)close(next.fd);
    expect(get("/livez"), 200, "ok");
    admin_free(admin);
}
END_TEST

START_TEST(bodies_that_are_large_or_have_no_end_are_refused_unread)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    expect(exchange("POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\n\r\nxy"),
           413, "no body is expected");
    expect(exchange("GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 16385\r\n\r\nxy"), 413,
           "Connection: close\r\n");
    expect(exchange("POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx"),
           413, "no body is expected");
    expect(exchange("POST /drain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                    "Content-Length: 2\r\n\r\n{}"),
           403, "admin.token");
    admin_free(admin);
}
END_TEST

/* One byte now and then would keep a connection for ever by libmicrohttpd's own time-out. */
START_TEST(requests_that_take_too_long_do_not_keep_probes_out)
{
    int slow[256];
    admin = open_at("127.0.0.1:0", LONG_MS);
    for (size_t i = 0; i < 256; i++) {
        slow[i] = connect_to(admin_port(admin));
        ck_assert_int_eq(send(slow[i], "GET /livez", 10, MSG_NOSIGNAL), 10);
    }
    int64_t began_ms = loop_mono_ms();
    struct pollfd ended = {.fd = slow[0], .events = POLLIN};
    while (poll(&ended, 1, 100) == 0) {
        for (size_t i = 0; i < 256; i++)
            (void)send(slow[i], "x", 1, MSG_NOSIGNAL);
        publish("a 1\n", NULL); /* the loop's pulse */
        ck_assert_int_lt(loop_mono_ms() - began_ms, 8000);
    }
    expect(get("/livez"), 200, "ok");
    for (size_t i = 0; i < 256; i++)
        (void)close(slow[i]);
    admin_free(admin);
}
END_TEST

/* ---- the live state -------------------------------------------------------------------------- */

static void publish_state(const char *json)
{
    struct buffer text, state;
    buffer_init(&text, 16);
    buffer_init(&state, ANSWER_BYTES);
    buffer_append_string(&state, json);
    struct admin_facts facts = {.metrics = &text, .state = &state};
    admin_publish(admin, &facts);
    buffer_release(&text);
}

static int open_stream(void)
{
    static const char request[] = "GET /events HTTP/1.1\r\nHost: a\r\n\r\n";
    int fd = connect_to(admin_port(admin));
    ck_assert_int_gt(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), 0);
    return fd;
}

/* Reads until `text` has come; false: the stream ended first. */
static bool comes(int fd, const char *text)
{
    static char seen[ANSWER_BYTES];
    size_t len = 0;
    ssize_t got;
    seen[0] = '\0';
    while (!strstr(seen, text) && (got = recv(fd, seen + len, sizeof(seen) - 1 - len, 0)) > 0) {
        len += (size_t)got;
        seen[len] = '\0';
    }
    return strstr(seen, text) != NULL;
}

START_TEST(state_is_the_last_published_one)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    expect(get("/state"), 200, "\r\n\r\n{}");
    publish_state("{\"a\":1}");
    publish("a 1\n", NULL); /* without a state: the last one stays */
    expect(get("/state"), 200, "\r\n\r\n{\"a\":1}");
    expect(get("/state"), 200, "Content-Type: application/json\r\n");
    admin_free(admin);
}
END_TEST

START_TEST(every_viewer_gets_each_new_state)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    publish_state("{\"a\":1}");
    int one = open_stream(), two = open_stream();
    ck_assert(comes(one, "data: {\"a\":1}\n\n"));
    ck_assert(comes(two, "data: {\"a\":1}\n\n"));
    publish_state("{\"a\":2}");
    ck_assert(comes(one, "data: {\"a\":2}\n\n"));
    (void)close(one); /* a viewer that goes does not matter to the other */
    publish_state("{\"a\":3}");
    publish_state("{\"a\":4}");
    ck_assert(comes(two, "data: {\"a\":4}\n\n"));
    (void)close(two);
    admin_free(admin);
}
END_TEST

START_TEST(too_many_viewers_are_told_and_probes_are_still_answered)
{
    int streams[101];
    admin = open_at("127.0.0.1:0", LONG_MS);
    publish_state("{}");
    for (size_t i = 0; i < 100; i++) {
        streams[i] = open_stream();
        ck_assert(comes(streams[i], "data: {}"));
    }
    streams[100] = open_stream();
    ck_assert(comes(streams[100], "too many viewers"));
    /* It frees its connection at once. */
    struct pollfd closed = {.fd = streams[100], .events = POLLIN};
    ck_assert_int_eq(poll(&closed, 1, 3000), 1);
    ck_assert_int_eq(recv(streams[100], (char[1]){0}, 1, 0), 0);
    expect(get("/livez"), 200, "ok");
    for (size_t i = 0; i < 101; i++)
        (void)close(streams[i]);
    admin_free(admin);
}
END_TEST

START_TEST(streams_end_with_the_server)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    int fd = open_stream();
    ck_assert(comes(fd, "data: {}"));
    admin_free(admin);
    ck_assert(!comes(fd, "never"));
    (void)close(fd);
}
END_TEST

/* ---- actions --------------------------------------------------------------------------------- */

static char acted[64];
static bool asked;

static int on_act(void *context, enum admin_verb verb, struct slice account)
{
    ck_assert_ptr_eq(context, acted);
    (void)snprintf(acted, sizeof(acted), "%d:%.*s", (int)verb, SLICE_ARG(account));
    asked = true;
    return slice_equals(account, "nobody") ? 404 : 200;
}

static void publish_token(const char *token)
{
    struct buffer text;
    buffer_init(&text, 16);
    struct admin_facts facts = {.metrics = &text, .token = slice_of_string(token)};
    admin_publish(admin, &facts);
    buffer_release(&text);
}

static const char *answer_to;
static const char *post_request;

static void *post_it(void *done)
{
    answer_to = exchange(post_request);
    loop_wake(done);
    return NULL;
}

static void on_done(void *context)
{
    (void)context;
    loop_stop(loop);
}

/* The loop runs while the request is out, as it is the loop that acts. */
static const char *post(const char *path, const char *authorization)
{
    char request[256];
    struct error err;
    pthread_t thread;
    struct loop_waker *done = loop_waker_new(loop, on_done, NULL, &err);
    (void)snprintf(
        request, sizeof(request),
        "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n", path,
        authorization);
    post_request = request;
    asked = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, post_it, done), 0);
    loop_run(loop);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    loop_waker_free(done);
    return answer_to;
}

#define WITH(token) "Authorization: Bearer " token "\r\n"

START_TEST(actions_need_the_token)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    expect(post("/drain", WITH("")), 403, "admin.token is not configured");
    publish_token("sesame");
    expect(post("/drain", ""), 401, "WWW-Authenticate: Bearer\r\n");
    expect(post("/drain", WITH("sesam")), 401, "expected");
    expect(post("/drain", WITH("sesame2")), 401, "expected");
    expect(post("/drain", "Authorization: Basic sesame\r\n"), 401, "expected");
    ck_assert(!asked);
    expect(post("/drain", WITH("sesame")), 200, "done");
    ck_assert_str_eq(acted, "2:");
    publish_token("another"); /* its file has changed */
    expect(post("/drain", WITH("sesame")), 401, "expected");
    admin_free(admin);
}
END_TEST

START_TEST(accounts_are_held_and_resumed_by_name)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    publish_token("sesame");
    expect(post("/accounts/iot-prod/hold", WITH("sesame")), 200, "done");
    ck_assert_str_eq(acted, "0:iot-prod");
    expect(post("/accounts/iot-prod/resume", WITH("sesame")), 200, "done");
    ck_assert_str_eq(acted, "1:iot-prod");
    expect(post("/accounts/nobody/hold", WITH("sesame")), 404, "no such account");
    static const char *const wrong[] = {"/accounts/hold", "/accounts//hold", "/accounts/a/holds",
                                        "/drain/",        "/accounts/",      "/",
                                        "/accounts/a"};
    asked = false;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *answer = post(wrong[i], WITH("sesame"));
        ck_assert_msg(strstr(answer, "HTTP/1.1 40") == answer, "%s: %s", wrong[i], answer);
        ck_assert(!asked);
    }
    expect(exchange("GET /drain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 404, "");
    admin_free(admin);
}
END_TEST

/* ---- addresses ------------------------------------------------------------------------------- */

START_TEST(addresses_are_checked)
{
    static const char *const wrong[] = {"",
                                        "9464",
                                        ":9464",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:x",
                                        "127.0.0.1:-1",
                                        "127.0.0.1:65536",
                                        "127.0.0.1:1:2",
                                        "::1:9464",
                                        "[::1]",
                                        "[]:1",
                                        "[::1:1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct error err = {.kind = ERROR_NONE};
        ck_assert_ptr_null(try_at(wrong[i], &err));
        ck_assert_msg(err.kind == ERROR_INPUT, "%s: %s", wrong[i], err.message);
        ck_assert_ptr_nonnull(strstr(err.message, "expected HOST:PORT"));
    }
}
END_TEST

START_TEST(port_in_use_is_said_with_the_address)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    char taken[32];
    (void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", admin_port(admin));
    struct error err = {.kind = ERROR_NONE};
    ck_assert_ptr_null(try_at(taken, &err));
    ck_assert_ptr_nonnull(strstr(err.message, taken));
    ck_assert_ptr_nonnull(strstr(err.message, "in use"));
    admin_free(admin);
    admin = open_at(taken, LONG_MS); /* free again at once */
    ck_assert_uint_ne(admin_port(admin), 0);
    admin_free(admin);
}
END_TEST

START_TEST(version_six_in_brackets)
{
    struct error err = {.kind = ERROR_NONE};
    struct admin *six = try_at("[::1]:0", &err);
    if (six == NULL) /* a machine without it */
        ck_assert_msg(strstr(err.message, "[::1]:0") != NULL, "%s", err.message);
    else
        ck_assert_uint_ne(admin_port(six), 0);
    admin_free(six);
}
END_TEST

/* ---- two threads ----------------------------------------------------------------------------- */

static void *publish_often(void *context)
{
    (void)context;
    for (unsigned i = 0; i < 2000; i++)
        publish("kancel_up 1\n", i % 2 == 0 ? NULL : "a reason");
    return NULL;
}

START_TEST(publishing_while_serving_gives_whole_answers)
{
    admin = open_at("127.0.0.1:0", LONG_MS);
    publish("kancel_up 1\n", NULL);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, publish_often, NULL), 0);
    for (unsigned i = 0; i < 100; i++) {
        expect(get("/metrics"), 200, "\r\n\r\nkancel_up 1\n");
        const char *body = strstr(get("/readyz"), "\r\n\r\n");
        ck_assert_ptr_nonnull(body);
        ck_assert(strcmp(body + 4, "ok\n") == 0 || strcmp(body + 4, "a reason\n") == 0);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    admin_free(admin);
}
END_TEST

static void start(void)
{
    struct error err;
    loop = loop_new(&err);
    settings =
        (struct admin_settings){.page = SLICE("<p>the page</p>"), .act = on_act, .context = acted};
}

static void finish(void)
{
    loop_free(loop);
}

int main(void)
{
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, start, finish);
    tcase_add_test(tcase, worker_that_starts_is_alive_and_not_ready);
    tcase_add_test(tcase, readiness_follows_what_is_published);
    tcase_add_test(tcase, silent_loop_is_neither_alive_nor_ready_until_it_publishes);
    tcase_add_test(tcase, metrics_are_the_last_published_text);
    tcase_add_test(tcase, metrics_that_failed_leave_the_last_ones);
    tcase_add_test(tcase, front_page_loads_nothing_from_elsewhere);
    tcase_add_test(tcase, startup_is_over_once_it_was_ready);
    tcase_add_test(tcase, state_is_the_last_published_one);
    tcase_add_test(tcase, every_viewer_gets_each_new_state);
    tcase_add_test(tcase, too_many_viewers_are_told_and_probes_are_still_answered);
    tcase_add_test(tcase, streams_end_with_the_server);
    tcase_add_test(tcase, actions_need_the_token);
    tcase_add_test(tcase, accounts_are_held_and_resumed_by_name);
    tcase_add_test(tcase, other_paths_and_methods_are_refused_in_words);
    tcase_add_test(tcase, head_is_get_without_the_body);
    tcase_add_test(tcase, connection_is_kept_for_the_next_request);
    tcase_add_test(tcase, nonsense_and_endless_headers_do_no_harm);
    tcase_add_test(tcase, connections_have_a_ceiling);
    tcase_add_test(tcase, bodies_that_are_large_or_have_no_end_are_refused_unread);
    tcase_add_test(tcase, requests_that_take_too_long_do_not_keep_probes_out);
    tcase_add_test(tcase, addresses_are_checked);
    tcase_add_test(tcase, port_in_use_is_said_with_the_address);
    tcase_add_test(tcase, version_six_in_brackets);
    tcase_add_test(tcase, publishing_while_serving_gives_whole_answers);
    return unit_run("admin", tcase);
}
