#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "tests/unit/io/support/stage.h"
#include "tests/unit/io/support/tls.h"

#include "common/banned.h"

/* The authority and the server's certificate, which is for 127.0.0.1. */
static struct folder folder;
static struct identity authority, host;

static void make_identities(const char *subject, long until_s)
{
    folder_new(&folder);
    authority = identity_new(NULL, "authority", NULL, -DAY, DAY);
    host = identity_new(&authority, "host", subject, -2 * DAY, until_s);
}

/* A server with that certificate, and a client that trusts its authority. */
static void begin_tls(void (*script)(struct connection *connection), bool ask_client, int version)
{
    memset(&server, 0, sizeof(server));
    tls_on(&server, &host, ask_client ? &authority : NULL, version);
    server_start(&server, script);
    open_client();
    client.account.tls.ca_file = write_certificate(&folder, "ca.pem", &authority);
}

static void end_tls(void)
{
    end();
    tls_off(&server);
    identity_free(&authority);
    identity_free(&host);
    folder_free(&folder);
}

/* Tells the client the name it has shown. */
static void name_client(struct connection *connection)
{
    while (hear(connection)) {
        char name[64];
        char text[256];
        tls_client_name(connection, name);
        (void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(name), name);
        say(connection, text);
    }
}

static void expect_ask(enum http_result result, const char *reason)
{
    const struct answer *answer = ask(&client, HTTP_POST, &server, "{}");
    ck_assert_result(answer, result);
    if (reason != NULL)
        ck_assert_msg(strstr(answer->problem, reason) != NULL, "%s", answer->problem);
}

START_TEST(server_of_the_accounts_authority_is_trusted_and_kept)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, false, 0);
    for (unsigned i = 0; i < 3; i++)
        expect_ask(HTTP_ANSWERED, NULL);
    ck_assert_uint_eq(server.connections, 1);
    end_tls();
}
END_TEST

START_TEST(server_of_another_authority_gets_nothing)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, false, 0);
    client.account.tls.ca_file = NULL; /* the system's */
    expect_ask(HTTP_NOT_SENT, "certificate");
    struct identity stranger = identity_new(NULL, "stranger", NULL, -DAY, DAY);
    client.account.tls.ca_file = write_certificate(&folder, "stranger.pem", &stranger);
    expect_ask(HTTP_NOT_SENT, "certificate");
    ck_assert_uint_eq(server.requests, 0);
    identity_free(&stranger);
    end_tls();
}
END_TEST

START_TEST(server_with_another_name_gets_nothing)
{
    make_identities("IP:127.0.0.2,DNS:a.example", DAY);
    begin_tls(name_client, false, 0);
    expect_ask(HTTP_NOT_SENT, "subject name");
    ck_assert_uint_eq(server.requests, 0);
    end_tls();
}
END_TEST

START_TEST(server_whose_certificate_has_expired_gets_nothing)
{
    make_identities("IP:127.0.0.1", -DAY);
    begin_tls(name_client, false, 0);
    expect_ask(HTTP_NOT_SENT, "expired");
    ck_assert_uint_eq(server.requests, 0);
    end_tls();
}
END_TEST

START_TEST(server_of_an_old_version_gets_nothing)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, false, TLS1_1_VERSION);
    expect_ask(HTTP_NOT_SENT, NULL);
    ck_assert_uint_eq(server.requests, 0);
    end_tls();
}
END_TEST

static void talk_plain(struct connection *connection)
{
    say(connection, "HTTP/1.1 400 This is no TLS\r\nContent-Length: 0\r\n\r\n");
    wait_for_end(connection);
}

START_TEST(server_that_speaks_no_tls_gets_nothing)
{
    begin(talk_plain);
    char url[64];
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", server.port);
    ck_assert_result(ask_url(&client, HTTP_POST, url, "{}"), HTTP_NOT_SENT);
    end();
}
END_TEST

START_TEST(handshake_that_takes_too_long_is_not_sent)
{
    begin(wait_for_end);
    client.account.limits.connect_timeout_ms = 100;
    char url[64];
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", server.port);
    ck_assert_result(ask_url(&client, HTTP_POST, url, "{}"), HTTP_NOT_SENT);
    end();
}
END_TEST

/* ---- client certificates --------------------------------------------------------------------- */

static void show(struct account_settings *account, const struct identity *identity,
                 const char *certificate, const char *key)
{
    account->tls.certificate_file = write_certificate(&folder, certificate, identity);
    account->tls.key_file = write_key(&folder, key, identity, NULL);
}

START_TEST(client_certificate_is_shown)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, true, versions[_i]);
    struct identity ann = identity_new(&authority, "ann", NULL, -DAY, DAY);
    show(&client.account, &ann, "ann.pem", "ann.key");
    const struct answer *answer = ask(&client, HTTP_POST, &server, "{}");
    ck_assert_result(answer, HTTP_ANSWERED);
    ck_assert_str_eq(answer->body, "ann");
    identity_free(&ann);
    end_tls();
}
END_TEST

START_TEST(missing_or_foreign_client_certificate_is_not_sent)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, true, versions[_i]);
    expect_ask(HTTP_NOT_SENT, NULL);
    struct identity stranger = identity_new(NULL, "stranger", NULL, -DAY, DAY);
    show(&client.account, &stranger, "stranger.pem", "stranger.key");
    expect_ask(HTTP_NOT_SENT, NULL);
    ck_assert_uint_eq(server.requests, 0);
    identity_free(&stranger);
    end_tls();
}
END_TEST

START_TEST(unreadable_files_are_not_sent)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, false, 0);
    client.account.tls.ca_file = "/nonexistent";
    expect_ask(HTTP_NOT_SENT, NULL);
    client.account.tls.ca_file = folder.files[0];
    client.account.tls.certificate_file = "/nonexistent";
    client.account.tls.key_file = "/nonexistent";
    expect_ask(HTTP_NOT_SENT, NULL);
    ck_assert_uint_eq(server.requests, 0);
    end_tls();
}
END_TEST

static void use(const struct account_settings *account, enum http_result result, const char *name)
{
    client.account = *account;
    const struct answer *answer = ask(&client, HTTP_POST, &server, "{}");
    ck_assert_result(answer, result);
    if (name != NULL)
        ck_assert_str_eq(answer->body, name);
}

START_TEST(accounts_of_one_host_do_not_share_connections_or_trust)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, true, 0);
    struct identity people[2];
    struct account_settings accounts[2];
    static const char *const names[] = {"ann", "bob"};
    static const char *const files[] = {"ann.pem", "ann.key", "bob.pem", "bob.key"};
    for (size_t i = 0; i < 2; i++) {
        people[i] = identity_new(&authority, names[i], NULL, -DAY, DAY);
        accounts[i] = client.account;
        show(&accounts[i], &people[i], files[2 * i], files[2 * i + 1]);
    }
    struct account_settings without = client.account;
    struct account_settings distrusting = accounts[0];
    distrusting.tls.ca_file = NULL;
    for (unsigned i = 0; i < 3; i++) {
        use(&accounts[0], HTTP_ANSWERED, "ann");
        use(&accounts[1], HTTP_ANSWERED, "bob");
        use(&distrusting, HTTP_NOT_SENT, NULL);
        use(&without, HTTP_NOT_SENT, NULL);
    }
    ck_assert_uint_eq(server.requests, 6);
    ck_assert_uint_eq(server.connections, 2 + 6);
    identity_free(&people[0]);
    identity_free(&people[1]);
    end_tls();
}
END_TEST

/* ---- files that change ----------------------------------------------------------------------- */

/* File systems tell times in steps of some milliseconds: each change gets a time of its own. */
static void mark_change(const char *path)
{
    static time_t change;
    change++;
    struct timespec times[2] = {{.tv_sec = change}, {.tv_sec = change}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void change_certificate(const char *name, const struct identity *identity)
{
    mark_change(write_certificate(&folder, name, identity));
}

static unsigned read_again, failing;
static char why[256];

static void count_report(void *context, const char *path, const struct error *err)
{
    (void)context;
    ck_assert_ptr_nonnull(path);
    read_again += err == NULL;
    failing += err != NULL;
    (void)snprintf(why, sizeof(why), "%s", err != NULL ? err->message : "");
}

static void expect_refresh(unsigned expected_read, unsigned expected_failing)
{
    read_again = failing = 0;
    http_refresh(client.http, count_report, NULL);
    ck_assert_msg(read_again == expected_read && failing == expected_failing,
                  "%u read again, %u failing: %s", read_again, failing, why);
}

START_TEST(changed_client_certificate_is_shown_on_a_new_connection)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, true, versions[_i]);
    struct identity ann = identity_new(&authority, "ann", NULL, -DAY, DAY);
    struct identity bob = identity_new(&authority, "bob", NULL, -DAY, DAY);
    show(&client.account, &ann, "client.pem", "client.key");
    use(&client.account, HTTP_ANSWERED, "ann");
    expect_refresh(0, 0);
    change_certificate("client.pem", &bob);
    expect_refresh(0, 1); /* the key is still ann's */
    expect_refresh(0, 0); /* said once */
    use(&client.account, HTTP_ANSWERED, "ann");
    mark_change(write_key(&folder, "client.key", &bob, NULL));
    expect_refresh(1, 0);
    expect_refresh(0, 0);
    for (unsigned i = 0; i < 2; i++)
        use(&client.account, HTTP_ANSWERED, "bob");
    ck_assert_uint_eq(server.connections, 2);
    identity_free(&ann);
    identity_free(&bob);
    end_tls();
}
END_TEST

START_TEST(changed_authority_is_trusted_and_the_old_one_no_more)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, false, 0);
    struct identity stranger = identity_new(NULL, "stranger", NULL, -DAY, DAY);
    client.account.tls.ca_file = write_certificate(&folder, "mine.pem", &stranger);
    expect_ask(HTTP_NOT_SENT, "certificate");
    change_certificate("mine.pem", &authority);
    expect_refresh(1, 0);
    expect_ask(HTTP_ANSWERED, NULL);
    change_certificate("mine.pem", &stranger);
    expect_refresh(1, 0);
    expect_ask(HTTP_NOT_SENT, "certificate"); /* the kept connection is not used again */
    ck_assert_uint_eq(server.requests, 1);
    identity_free(&stranger);
    end_tls();
}
END_TEST

START_TEST(files_that_are_not_usable_leave_the_old_ones_in_use)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, false, 0);
    expect_ask(HTTP_ANSWERED, NULL);
    mark_change(write_text(&folder, "ca.pem", "no certificate"));
    expect_refresh(0, 1);
    expect_ask(HTTP_ANSWERED, NULL);
    ck_assert_int_eq(unlink(client.account.tls.ca_file), 0);
    expect_refresh(0, 0);
    expect_ask(HTTP_ANSWERED, NULL);
    change_certificate("ca.pem", &authority);
    expect_refresh(1, 0);
    expect_ask(HTTP_ANSWERED, NULL);
    end_tls();
}
END_TEST

START_TEST(empty_authority_file_trusts_nobody)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, false, 0);
    client.account.tls.ca_file = write_text(&folder, "empty.pem", "");
    expect_ask(HTTP_NOT_SENT, "is empty");
    ck_assert_uint_eq(server.requests, 0);
    end_tls();
}
END_TEST

/* A call that is under way when the files change ends with those it began with. */
static void slow_name(struct connection *connection)
{
    while (hear(connection)) {
        atomic_fetch_add(&connection->server->marks, 1);
        while (atomic_load(&connection->server->marks) == 1)
            usleep(1000);
        say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

static void change_files(void *context)
{
    struct loop_timer **timer = context;
    if (atomic_load(&server.marks) == 0) {
        loop_timer_set(*timer, loop_mono_ms() + 2);
        return;
    }
    struct identity other = identity_new(NULL, "other", NULL, -DAY, DAY);
    change_certificate("ca.pem", &other);
    identity_free(&other);
    expect_refresh(1, 0);
    atomic_fetch_add(&server.marks, 1);
}

START_TEST(call_under_way_ends_with_the_files_it_began_with)
{
    struct error err;
    struct loop_timer *timer;
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(slow_name, false, 0);
    timer = loop_timer_new(client.loop, change_files, &timer, &err);
    ck_assert_ptr_nonnull(timer);
    loop_timer_set(timer, 0);
    expect_ask(HTTP_ANSWERED, NULL);
    expect_ask(HTTP_NOT_SENT, "certificate");
    loop_timer_free(timer);
    end_tls();
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------------ */

static void dies_after_second_request(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    (void)hear(connection);
}

static void leaves_after_second_request(struct connection *connection)
{
    dies_after_second_request(connection);
    tls_goodbye(connection);
}

START_TEST(cancel_is_not_sent_twice_when_a_kept_connection_dies)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(_i == 0 ? dies_after_second_request : leaves_after_second_request, false, 0);
    expect_ask(HTTP_ANSWERED, NULL);
    expect_ask(HTTP_BROKEN, NULL);
    ck_assert_uint_eq(server.requests, 2);
    end_tls();
}
END_TEST

static void leaves_with_answer(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    tls_goodbye(connection);
    wait_for_end(connection);
    atomic_fetch_add(&connection->server->marks, 1);
}

static void leaves_after_answer(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    usleep(20 * 1000);
    tls_goodbye(connection);
    wait_for_end(connection);
    atomic_fetch_add(&connection->server->marks, 1);
}

static void is_cut_after_answer(struct connection *connection)
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
    static void (*const scripts[])(struct connection *) = {leaves_with_answer, leaves_after_answer,
                                                           is_cut_after_answer};
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(scripts[_i], false, 0);
    expect_ask(HTTP_ANSWERED, NULL);
    for (int i = 0; i < 500 && atomic_load(&server.marks) == 0; i++)
        run_for_ms(&client, 10);
    ck_assert_uint_eq(server.marks, 1);
    end_tls();
}
END_TEST

/* What a server says behind its answer to the second request over a connection is there as soon as
 * the answer is. */
static void says_more_behind_second_answer(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    (void)hear(connection);
    say_ok(connection);
    say(connection, "HTTP/1.1 500 Smuggled\r\nContent-Length: 3\r\n\r\nbad");
    atomic_fetch_add(&connection->server->marks, 1);
    wait_for_end(connection);
}

static void leaves_behind_second_answer(struct connection *connection)
{
    (void)hear(connection);
    say_ok(connection);
    (void)hear(connection);
    say_ok(connection);
    tls_goodbye(connection);
    atomic_fetch_add(&connection->server->marks, 1);
    wait_for_end(connection);
}

static void ask_once_more(struct client *asker, uint64_t call_id)
{
    (void)call_id;
    asker->on_answer = NULL;
    (void)start_url(asker, HTTP_POST, url_of(&server, "/"), "{}");
}

START_TEST(what_comes_behind_an_answer_is_not_the_next_one)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(_i == 0 ? says_more_behind_second_answer : leaves_behind_second_answer, false, 0);
    expect_ask(HTTP_ANSWERED, NULL);
    client.on_answer = ask_once_more;
    (void)start_url(&client, HTTP_POST, url_of(&server, "/"), "{}");
    wait_for_marks(1);
    wait_for(&client, 2);
    ck_assert_result(&client.answers[3], HTTP_ANSWERED);
    ck_assert_int_eq(client.answers[3].status, 200);
    ck_assert_uint_eq(server.requests, 3);
    ck_assert_uint_eq(server.connections, 2);
    end_tls();
}
END_TEST

/* ---- much ------------------------------------------------------------------------------------ */

static void takes_large(struct connection *connection)
{
    while (hear(connection))
        say(connection, is_large(connection) ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                                             : "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
}

START_TEST(request_larger_than_the_sockets_buffers_is_sent_as_it_fits)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(takes_large, false, versions[_i]);
    narrow();
    for (unsigned i = 0; i < 2; i++) {
        uint64_t id = start_large();
        wait_for(&client, 1);
        ck_assert_result(&client.answers[id], HTTP_ANSWERED);
        ck_assert_int_eq(client.answers[id].status, 200);
    }
    ck_assert_uint_eq(server.connections, 1);
    end_tls();
}
END_TEST

/* Every other connection is left after an answer, so that new ones are made all the time. */
static void slow_and_sometimes_last(struct connection *connection)
{
    while (hear(connection)) {
        usleep(200 * 1000);
        say(connection, connection->number % 2 == 0
                            ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                            : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        if (connection->number % 2 != 0)
            return;
    }
}

enum { AT_ONCE = 40, ALL_CALLS = 500 };

static void ask_again(struct client *asker, uint64_t call_id)
{
    ck_assert_result(&asker->answers[call_id], HTTP_ANSWERED);
    if (asker->last_id < ALL_CALLS)
        (void)start_url(asker, HTTP_POST, url_of(&server, "/"), "{}");
}

/* curl looks once a second whether connections of the same pool are dead. */
START_TEST(calls_of_several_pools_are_all_answered_while_connections_come_and_go)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(slow_and_sometimes_last, false, 0);
    client_stop(&client);
    client_start(&client, AT_ONCE, NULL);
    client.account.tls.ca_file = folder.files[0];
    client.on_answer = ask_again;
    for (unsigned i = 0; i < AT_ONCE; i++)
        (void)start_url(&client, HTTP_POST, url_of(&server, "/"), "{}");
    wait_for(&client, ALL_CALLS);
    ck_assert_uint_eq(server.requests, ALL_CALLS);
    ck_assert_uint_eq(http_in_flight(client.http), 0);
    end_tls();
}
END_TEST

/* ---- proxies --------------------------------------------------------------------------------- */

START_TEST(an_accounts_files_are_not_for_its_proxy)
{
    make_identities("IP:127.0.0.1", DAY);
    begin_tls(name_client, false, 0);
    client_stop(&client);
    client_start(&client, 8, url_of(&server, ""));
    client.account.tls.ca_file = folder.files[0];
    const struct answer *answer = ask_url(&client, HTTP_GET, "http://unknown.test/", NULL);
    ck_assert_result(answer, HTTP_NOT_SENT);
    ck_assert_msg(strstr(answer->problem, "certificate") != NULL, "%s", answer->problem);
    ck_assert_uint_eq(server.requests, 0);
    end_tls();
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, server_of_the_accounts_authority_is_trusted_and_kept);
    tcase_add_test(tcase, server_of_another_authority_gets_nothing);
    tcase_add_test(tcase, server_with_another_name_gets_nothing);
    tcase_add_test(tcase, server_whose_certificate_has_expired_gets_nothing);
    tcase_add_test(tcase, server_of_an_old_version_gets_nothing);
    tcase_add_test(tcase, server_that_speaks_no_tls_gets_nothing);
    tcase_add_test(tcase, handshake_that_takes_too_long_is_not_sent);
    tcase_add_loop_test(tcase, client_certificate_is_shown, 0, 2);
    tcase_add_loop_test(tcase, missing_or_foreign_client_certificate_is_not_sent, 0, 2);
    tcase_add_test(tcase, unreadable_files_are_not_sent);
    tcase_add_test(tcase, accounts_of_one_host_do_not_share_connections_or_trust);
    tcase_add_loop_test(tcase, changed_client_certificate_is_shown_on_a_new_connection, 0, 2);
    tcase_add_test(tcase, changed_authority_is_trusted_and_the_old_one_no_more);
    tcase_add_test(tcase, files_that_are_not_usable_leave_the_old_ones_in_use);
    tcase_add_test(tcase, empty_authority_file_trusts_nobody);
    tcase_add_test(tcase, call_under_way_ends_with_the_files_it_began_with);
    tcase_add_loop_test(tcase, cancel_is_not_sent_twice_when_a_kept_connection_dies, 0, 2);
    tcase_add_loop_test(tcase, idle_connection_that_the_server_leaves_is_closed_at_once, 0, 3);
    tcase_add_loop_test(tcase, what_comes_behind_an_answer_is_not_the_next_one, 0, 2);
    tcase_add_loop_test(tcase, request_larger_than_the_sockets_buffers_is_sent_as_it_fits, 0, 2);
    tcase_add_test(tcase, calls_of_several_pools_are_all_answered_while_connections_come_and_go);
    tcase_add_test(tcase, an_accounts_files_are_not_for_its_proxy);
    return unit_run("http_tls", tcase);
}
