#include <curl/curl.h>
#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "tests/unit/io/support/sending.h"
#include "tests/unit/io/support/stage.h"

#include "common/banned.h"

static void ok_always(struct connection *connection)
{
    while (hear(connection))
        say_ok(connection);
}

/* ---- keeping connections, and sending once --------------------------------------------------- */

START_TEST(connections_are_kept)
{
    begin(ok_always);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_ANSWERED);
    ck_assert_uint_eq(server.connections, 1);
    end();
}
END_TEST

/* Answers the first request of the first connection; reads the second and closes without a word. */
static void dies_after_second_request(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    (void)hear(connection);
    if (connection->number > 1) {
        say_ok(connection);
        wait_for_end(connection);
    }
}

START_TEST(cancel_is_not_sent_twice_when_a_kept_connection_dies)
{
    static const enum http_method methods[] = {HTTP_POST, HTTP_DELETE};
    begin(dies_after_second_request);
    enum http_method method = methods[_i];
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    const struct answer *answer = ask(&client, method, &server, method == HTTP_POST ? "{}" : NULL);
    ck_assert_result(answer, HTTP_BROKEN);
    ck_assert_int_eq(answer->status, 0);
    ck_assert_str_ne(answer->problem, "");
    ck_assert_uint_eq(server.requests, 2);
    ck_assert_result(ask(&client, method, &server, NULL), HTTP_ANSWERED);
    end();
}
END_TEST

static void resets_after_second_request(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    (void)hear(connection);
    reset_at_end(connection);
}

START_TEST(cancel_is_not_sent_twice_when_a_kept_connection_is_reset)
{
    begin(resets_after_second_request);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_BROKEN);
    ck_assert_uint_eq(server.requests, 2);
    end();
}
END_TEST

START_TEST(status_is_sent_again_when_a_kept_connection_dies)
{
    begin(dies_after_second_request);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    ck_assert_uint_eq(server.requests, 3);
    ck_assert_uint_eq(server.connections, 2);
    end();
}
END_TEST

static void one_answer_a_connection(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    (void)shutdown(connection->fd, SHUT_RDWR);
    atomic_fetch_add(&connection->server->marks, 1);
}

START_TEST(cancel_survives_a_kept_connection_that_was_closed_before)
{
    begin(one_answer_a_connection);
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_ANSWERED);
        while (atomic_load(&server.marks) < i)
            ;
    }
    ck_assert_uint_eq(server.requests, 3);
    ck_assert_uint_eq(server.connections, 3);
    end();
}
END_TEST

/* Never answers twice over one connection, and answers the first one only. */
static void answers_one_request_at_all(struct connection *connection)
{
    (void)hear(connection);
    if (connection->number > 1)
        return;
    say_ok(connection);
    (void)hear(connection);
}

START_TEST(status_is_sent_again_once)
{
    begin(answers_one_request_at_all);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_BROKEN);
    ck_assert_uint_eq(server.requests, 3);
    ck_assert_uint_eq(server.connections, 2);
    end();
}
END_TEST

/* Stands before libcurl's. */
static bool no_more_handles;

CURL *curl_easy_init(void)
{
    CURL *(*real)(void);
    void *found = dlsym(RTLD_NEXT, "curl_easy_init");
    memcpy(&real, &found, sizeof(real));
    return no_more_handles ? NULL : real();
}

START_TEST(what_was_sent_is_not_called_unsent_as_it_cannot_be_repeated)
{
    begin(dies_after_second_request);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    no_more_handles = true;
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_BROKEN);
    ck_assert_uint_eq(server.requests, 2);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_NOT_SENT);
    no_more_handles = false;
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    end();
}
END_TEST

START_TEST(cancel_that_could_not_be_sent_goes_over_a_new_connection)
{
    static const enum http_method methods[] = {HTTP_POST, HTTP_DELETE};
    begin(ok_always);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    sending.failures = 1;
    ck_assert_result(ask(&client, methods[_i], &server, NULL), HTTP_ANSWERED);
    ck_assert_uint_eq(sending.failures, 0);
    ck_assert_uint_eq(server.requests, 2);
    ck_assert_uint_eq(server.connections, 2);
    sending.failures = 2;
    ck_assert_result(ask(&client, methods[_i], &server, NULL), HTTP_NOT_SENT);
    ck_assert_uint_eq(server.requests, 2);
    end();
}
END_TEST

/* What a server does behind its answer to the second request over a connection is there as soon as
 * the answer is. */
static void leaves_behind_second_answer(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    (void)hear(connection);
    say_ok(connection);
    (void)shutdown(connection->fd, SHUT_WR);
    atomic_fetch_add(&connection->server->marks, 1);
    wait_for_end(connection);
}

static void ask_once_more(struct client *asker, uint64_t call_id)
{
    (void)call_id;
    asker->on_answer = NULL;
    (void)start_url(asker, HTTP_POST, url_of(&server, "/"), "{}");
}

START_TEST(cancel_survives_a_server_that_leaves_behind_its_answer)
{
    begin(leaves_behind_second_answer);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    client.on_answer = ask_once_more;
    (void)start_url(&client, HTTP_POST, url_of(&server, "/"), "{}");
    wait_for_marks(1);
    wait_for(&client, 2);
    ck_assert_result(&client.answers[3], HTTP_ANSWERED);
    ck_assert_uint_eq(server.requests, 3);
    ck_assert_uint_eq(server.connections, 2);
    end();
}
END_TEST

/* Ends its side a while after an answer, and counts the client's end. */
static void leaves_after_answer(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    usleep(20 * 1000);
    (void)shutdown(connection->fd, SHUT_WR);
    wait_for_end(connection);
    atomic_fetch_add(&connection->server->marks, 1);
}

START_TEST(idle_connection_that_the_server_leaves_is_closed_at_once)
{
    begin(leaves_after_answer);
    ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_ANSWERED);
    for (int i = 0; i < 500 && atomic_load(&server.marks) == 0; i++)
        run_for_ms(&client, 10);
    ck_assert_uint_eq(server.marks, 1);
    end();
}
END_TEST

START_TEST(kept_connection_that_was_closed_costs_no_time)
{
    begin(one_answer_a_connection);
    ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_ANSWERED);
    clock_t before = clock();
    run_for_ms(&client, 200);
    ck_assert_int_lt(clock() - before, CLOCKS_PER_SEC / 20);
    end();
}
END_TEST

static void two_lengths(struct connection *connection)
{
    while (hear(connection))
        say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Smuggled\r\n"
                        "Content-Length: 3\r\n\r\nbad");
}

START_TEST(bytes_behind_an_answer_are_not_the_next_one)
{
    begin(two_lengths);
    for (unsigned i = 0; i < 3; i++) {
        const struct answer *answer = ask(&client, HTTP_GET, &server, NULL);
        ck_assert_result(answer, HTTP_ANSWERED);
        ck_assert_int_eq(answer->status, 200);
        ck_assert_str_eq(answer->body, "ok");
    }
    end();
}
END_TEST

/* ---- large requests -------------------------------------------------------------------------- */

static void takes_large(struct connection *connection)
{
    while (hear(connection))
        say(connection, is_large(connection) ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                                             : "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
}

START_TEST(request_larger_than_the_sockets_buffers_is_sent_as_it_fits)
{
    begin(takes_large);
    narrow();
    for (unsigned i = 0; i < 2; i++) {
        uint64_t id = start_large();
        wait_for(&client, 1);
        ck_assert_result(&client.answers[id], HTTP_ANSWERED);
        ck_assert_int_eq(client.answers[id].status, 200);
    }
    ck_assert_uint_eq(server.connections, 1);
    end();
}
END_TEST

static void refuses_before_the_end(struct connection *connection)
{
    char first[16];
    if (connection->number > 1) {
        ok_always(connection);
        return;
    }
    (void)recv(connection->fd, first, sizeof(first), 0);
    say(connection, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    while (atomic_load(&connection->server->marks) == 0)
        usleep(1000);
}

START_TEST(answer_that_comes_before_the_request_is_sent_is_taken)
{
    begin(refuses_before_the_end);
    narrow();
    uint64_t id = start_large();
    wait_for(&client, 1);
    ck_assert_result(&client.answers[id], HTTP_ANSWERED);
    ck_assert_int_eq(client.answers[id].status, 413);
    ck_assert_str_eq(client.answers[id].body, "no");
    /* Where the rest of a request should come no other may begin. */
    ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_ANSWERED);
    ck_assert_uint_eq(server.connections, 2);
    atomic_store(&server.marks, 1);
    end();
}
END_TEST

static void resets_within_the_second_request(struct connection *connection)
{
    char first[16];
    (void)hear(connection);
    say_ok(connection);
    (void)recv(connection->fd, first, sizeof(first), 0);
    reset_at_end(connection);
}

START_TEST(cancel_that_was_sent_in_part_is_not_sent_again)
{
    begin(resets_within_the_second_request);
    narrow();
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    uint64_t id = start_large();
    wait_for(&client, 1);
    ck_assert_result(&client.answers[id], HTTP_BROKEN);
    ck_assert_uint_eq(server.connections, 1);
    end();
}
END_TEST

/* ---- not sent -------------------------------------------------------------------------------- */

/* Stands before the C library's for libcurl too. */
static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t slow_name_freed = PTHREAD_COND_INITIALIZER;
static bool slow_name_free;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)service, (void)hints;
    *found = NULL;
    pthread_mutex_lock(&names);
    while (strcmp(name, "slow.test") == 0 && !slow_name_free)
        pthread_cond_wait(&slow_name_freed, &names);
    pthread_mutex_unlock(&names);
    return EAI_NONAME;
}

START_TEST(unknown_name_is_not_sent)
{
    open_client();
    const struct answer *answer = ask_url(&client, HTTP_POST, "http://unknown.test/", "{}");
    ck_assert_result(answer, HTTP_NOT_SENT);
    ck_assert_ptr_nonnull(strstr(answer->problem, "unknown.test"));
    close_client();
}
END_TEST

START_TEST(name_that_does_not_resolve_in_time_holds_up_nothing)
{
    begin(ok_always);
    uint64_t given_up = start_url(&client, HTTP_GET, "http://slow.test/", NULL);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    http_abandon(client.http, given_up);
    client.account.limits.connect_timeout_ms = 50;
    ck_assert_result(ask_url(&client, HTTP_POST, "http://slow.test/", "{}"), HTTP_NOT_SENT);
    ck_assert_uint_eq(client.answers[given_up].times, 0);
    pthread_mutex_lock(&names);
    slow_name_free = true;
    pthread_cond_broadcast(&slow_name_freed);
    pthread_mutex_unlock(&names);
    end();
}
END_TEST

START_TEST(refused_connection_is_not_sent)
{
    open_client();
    int fd = bind_any(&server.port);
    ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_NOT_SENT);
    (void)close(fd);
    close_client();
}
END_TEST

START_TEST(connection_that_is_not_made_in_time_is_not_sent)
{
    open_client();
    int fd = bind_any(&server.port);
    ck_assert_int_eq(listen(fd, 0), 0);
    /* A full backlog: further SYNs are dropped. */
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int queued[4];
    for (size_t i = 0; i < 4; i++) {
        queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(queued[i], (struct sockaddr *)&address, sizeof(address));
    }
    client.account.limits.connect_timeout_ms = 100;
    ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_NOT_SENT);
    client.account.limits.connect_timeout_ms = 5000;
    client.account.limits.timeout_ms = 100;
    ck_assert_result(ask(&client, HTTP_POST, &server, "{}"), HTTP_NOT_SENT);
    for (size_t i = 0; i < 4; i++)
        (void)close(queued[i]);
    (void)close(fd);
    close_client();
}
END_TEST

/* ---- abandoning, many at once ---------------------------------------------------------------- */

static void silent(struct connection *connection)
{
    (void)hear(connection);
    wait_for_end(connection);
}

START_TEST(abandoned_calls_stay_silent)
{
    begin(silent);
    uint64_t running = start_url(&client, HTTP_POST, url_of(&server, "/"), "{}");
    for (int i = 0; i < 500 && server.requests == 0; i++)
        run_for_ms(&client, 20);
    ck_assert_uint_eq(server.requests, 1);
    uint64_t fresh = start_url(&client, HTTP_POST, url_of(&server, "/"), "{}");
    uint64_t refused = start_url(&client, HTTP_GET, "", NULL);
    ck_assert_uint_eq(http_in_flight(client.http), 3);
    http_abandon(client.http, running);
    http_abandon(client.http, fresh);
    http_abandon(client.http, refused);
    http_abandon(client.http, refused);
    http_abandon(client.http, 4711);
    ck_assert_uint_eq(http_in_flight(client.http), 0);
    run_for_ms(&client, 20);
    for (uint64_t id = running; id <= refused; id++)
        ck_assert_uint_eq(client.answers[id].times, 0);
    ck_assert_uint_eq(server.requests, 1);
    end();
}
END_TEST

static void abandon_the_rest(struct client *asker, uint64_t call_id)
{
    for (uint64_t id = 1; id <= asker->last_id; id++)
        if (id != call_id)
            http_abandon(asker->http, id);
}

START_TEST(an_answer_may_abandon_the_others)
{
    begin(ok_always);
    client.on_answer = abandon_the_rest;
    for (unsigned i = 0; i < 20; i++)
        (void)start_url(&client, HTTP_GET, i % 2 == 0 ? url_of(&server, "/") : "", NULL);
    wait_for(&client, 1);
    run_for_ms(&client, 20);
    unsigned times = 0;
    for (uint64_t id = 1; id <= client.last_id; id++)
        times += client.answers[id].times;
    ck_assert_uint_eq(times, 1);
    end();
}
END_TEST

static void fail_again(struct client *asker, uint64_t call_id)
{
    if (asker->last_id < 100)
        (void)start_url(asker, HTTP_GET, "", NULL);
    abandon_the_rest(asker, call_id);
    if (asker->last_id < 100)
        (void)start_url(asker, HTTP_GET, "", NULL);
}

START_TEST(calls_that_fail_at_once_do_not_hold_up_the_loop)
{
    open_client();
    client.on_answer = fail_again;
    (void)start_url(&client, HTTP_GET, "", NULL);
    (void)start_url(&client, HTTP_GET, "", NULL);
    wait_for(&client, 1);
    ck_assert_uint_lt(client.last_id, 20);
    close_client();
}
END_TEST

START_TEST(freeing_abandons_everything)
{
    begin(silent);
    for (unsigned i = 0; i < 20; i++)
        (void)start_url(&client, HTTP_GET, i % 2 == 0 ? url_of(&server, "/") : "", NULL);
    http_free(client.http);
    client.http = NULL;
    run_for_ms(&client, 5);
    for (uint64_t id = 1; id <= client.last_id; id++)
        ck_assert_uint_eq(client.answers[id].times, 0);
    end();
}
END_TEST

static void ask_again(struct client *asker, uint64_t call_id)
{
    ck_assert_result(&asker->answers[call_id], HTTP_ANSWERED);
    if (asker->last_id < 500)
        (void)start_url(asker, HTTP_POST, url_of(&server, "/"), "{}");
}

START_TEST(many_at_once_are_all_answered_over_few_connections)
{
    begin(ok_always);
    client.on_answer = ask_again;
    for (unsigned i = 0; i < 50; i++) /* more than announced */
        (void)start_url(&client, HTTP_POST, url_of(&server, "/"), "{}");
    wait_for(&client, 500);
    ck_assert_uint_eq(server.requests, 500);
    ck_assert_uint_eq(http_in_flight(client.http), 0);
    end();
}
END_TEST

static uint64_t start_handshake(void)
{
    char url[64];
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", server.port);
    return start_url(&client, HTTP_GET, url, NULL);
}

/* The server answers no handshake. */
START_TEST(a_hundred_connections_to_a_host_are_made_at_a_time)
{
    begin(silent);
    client.account.limits.connect_timeout_ms = 3000;
    uint64_t first = start_handshake(), id = first;
    while (id < first + 149)
        id = start_handshake();
    for (int i = 0; i < 500 && server.connections < 100; i++)
        run_for_ms(&client, 10);
    run_for_ms(&client, 50);
    ck_assert_uint_eq(server.connections, 100);
    http_abandon(client.http, first);       /* leaves its place to the next */
    http_abandon(client.http, first + 149); /* had none */
    for (int i = 0; i < 500 && server.connections < 101; i++)
        run_for_ms(&client, 10);
    ck_assert_uint_eq(server.connections, 101);
    wait_for(&client, 148);
    for (id = first + 1; id < first + 149; id++)
        ck_assert_result(&client.answers[id], HTTP_NOT_SENT);
    ck_assert_uint_eq(server.connections, 149);
    end();
}
END_TEST

/* ---- proxies --------------------------------------------------------------------------------- */

START_TEST(the_environments_proxy_is_ignored)
{
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    begin(ok_always);
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    end();
}
END_TEST

static void proxy(struct connection *connection)
{
    while (hear(connection)) {
        if (strncmp(connection->request, "GET http://unknown.test/x HTTP/1.1\r\n", 36) == 0)
            say_ok(connection);
        else
            say(connection, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    }
}

START_TEST(the_configured_proxy_is_used)
{
    (void)setenv("no_proxy", "*", 1);
    memset(&server, 0, sizeof(server));
    server_start(&server, proxy);
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", server.port);
    client_start(&client, 8, url);
    ck_assert_result(ask_url(&client, HTTP_GET, "http://unknown.test/x", NULL), HTTP_ANSWERED);
    /* The tunnel was refused: the proxy saw a request, the provider none. */
    ck_assert_result(ask_url(&client, HTTP_POST, "https://unknown.test/x", "{}"), HTTP_NOT_SENT);
    end();
}
END_TEST

/* Of "us@er" and "p:w". */
#define PROXY_AUTHORIZATION "\r\nProxy-Authorization: Basic dXNAZXI6cDp3\r\n"

static void proxy_with_password(struct connection *connection)
{
    while (hear(connection)) {
        const char *authorization = strstr(connection->request, "\r\nProxy-Authorization:");
        bool known = authorization != NULL &&
                     strncmp(authorization, PROXY_AUTHORIZATION, strlen(PROXY_AUTHORIZATION)) == 0;
        bool tunnel =
            strncmp(connection->request, "CONNECT unknown.test:443 HTTP/1.1\r\n", 35) == 0;
        if (known && tunnel)
            atomic_fetch_add(&connection->server->marks, 1);
        if (known && !tunnel)
            say_ok(connection);
        else
            say(connection, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    }
}

START_TEST(the_proxys_user_and_password_reach_it)
{
    memset(&server, 0, sizeof(server));
    server_start(&server, proxy_with_password);
    char url[64];
    (void)snprintf(url, sizeof(url), "http://us%%40er:p%%3Aw@127.0.0.1:%u", server.port);
    client_start(&client, 8, url);
    for (unsigned i = 0; i < 2; i++) {
        const struct answer *answer = ask_url(&client, HTTP_GET, "http://unknown.test/x", NULL);
        ck_assert_result(answer, HTTP_ANSWERED);
        ck_assert_int_eq(answer->status, 200);
    }
    ck_assert_uint_eq(server.connections, 1);
    ck_assert_result(ask_url(&client, HTTP_POST, "https://unknown.test/x", "{}"), HTTP_NOT_SENT);
    ck_assert_uint_eq(server.marks, 1);
    end();
}
END_TEST

/* As curl does for tunnels. Nobody listens there. */
START_TEST(proxy_without_a_port_is_asked_at_that_of_proxies)
{
    client_start(&client, 8, "http://127.0.0.93");
    const struct answer *answer = ask_url(&client, HTTP_GET, "http://unknown.test/x", NULL);
    ck_assert_result(answer, HTTP_NOT_SENT);
    ck_assert_msg(strstr(answer->problem, "1080 ") != NULL, "%s", answer->problem);
    close_client();
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, connections_are_kept);
    tcase_add_loop_test(tcase, cancel_is_not_sent_twice_when_a_kept_connection_dies, 0, 2);
    tcase_add_test(tcase, cancel_is_not_sent_twice_when_a_kept_connection_is_reset);
    tcase_add_test(tcase, status_is_sent_again_when_a_kept_connection_dies);
    tcase_add_test(tcase, status_is_sent_again_once);
    tcase_add_test(tcase, what_was_sent_is_not_called_unsent_as_it_cannot_be_repeated);
    tcase_add_loop_test(tcase, cancel_that_could_not_be_sent_goes_over_a_new_connection, 0, 2);
    tcase_add_test(tcase, cancel_survives_a_kept_connection_that_was_closed_before);
    tcase_add_test(tcase, cancel_survives_a_server_that_leaves_behind_its_answer);
    tcase_add_test(tcase, idle_connection_that_the_server_leaves_is_closed_at_once);
    tcase_add_test(tcase, kept_connection_that_was_closed_costs_no_time);
    tcase_add_test(tcase, bytes_behind_an_answer_are_not_the_next_one);
    tcase_add_test(tcase, request_larger_than_the_sockets_buffers_is_sent_as_it_fits);
    tcase_add_test(tcase, answer_that_comes_before_the_request_is_sent_is_taken);
    tcase_add_test(tcase, cancel_that_was_sent_in_part_is_not_sent_again);
    tcase_add_test(tcase, unknown_name_is_not_sent);
    tcase_add_test(tcase, name_that_does_not_resolve_in_time_holds_up_nothing);
    tcase_add_test(tcase, refused_connection_is_not_sent);
    tcase_add_test(tcase, connection_that_is_not_made_in_time_is_not_sent);
    tcase_add_test(tcase, abandoned_calls_stay_silent);
    tcase_add_test(tcase, an_answer_may_abandon_the_others);
    tcase_add_test(tcase, calls_that_fail_at_once_do_not_hold_up_the_loop);
    tcase_add_test(tcase, freeing_abandons_everything);
    tcase_add_test(tcase, many_at_once_are_all_answered_over_few_connections);
    tcase_add_test(tcase, a_hundred_connections_to_a_host_are_made_at_a_time);
    tcase_add_test(tcase, the_environments_proxy_is_ignored);
    tcase_add_test(tcase, the_configured_proxy_is_used);
    tcase_add_test(tcase, the_proxys_user_and_password_reach_it);
    tcase_add_test(tcase, proxy_without_a_port_is_asked_at_that_of_proxies);
    return unit_run("http", tcase);
}
