#include "tests/unit/unit.h"
#include "tests/unit/io/support/stage.h"

#include "common/banned.h"

static struct address_range denied[2];

static void ok_always(struct connection *connection)
{
    while (hear(connection))
        say_ok(connection);
}

static void begin_denying(const char *first, const char *second)
{
    struct error err;
    ck_assert_int_eq(address_range_parse(slice_of_string(first), &denied[0], &err), 0);
    ck_assert_int_eq(address_range_parse(slice_of_string(second), &denied[1], &err), 0);
    begin(ok_always);
    http_deny(client.http, denied, 2);
}

START_TEST(nothing_is_sent_to_a_denied_address)
{
    begin_denying("10.0.0.0/8", "127.0.0.0/8");
    const struct answer *answer = ask(&client, HTTP_POST, &server, "{}");
    ck_assert_result(answer, HTTP_DENIED);
    ck_assert_str_eq(answer->problem, "127.0.0.1 is in worker.deny_addresses (127.0.0.0/8)");
    ck_assert_uint_eq(server.connections, 0);
    end();
}
END_TEST

START_TEST(an_address_beside_the_ranges_is_called)
{
    begin_denying("127.0.0.2", "127.0.1.0/24");
    ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    end();
}
END_TEST

static const char *url_at(const char *host)
{
    static char url[128];
    (void)snprintf(url, sizeof(url), "http://%s:%u/", host, server.port);
    return url;
}

/* Whatever the host is called: what counts is the address that is connected to. */
START_TEST(every_spelling_of_an_address_is_denied)
{
    static const char *const hosts[] = {
        "localhost",          "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0",
        "[::ffff:127.0.0.1]", "[::1]", "127.0.0.2",  "127.9.9.9"};
    begin_denying("127.0.0.0/8", "::1");
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        const struct answer *answer = ask_url(&client, HTTP_GET, url_at(hosts[i]), NULL);
        ck_assert_msg(answer->result == HTTP_DENIED, "%s: result %d: %s", hosts[i], answer->result,
                      answer->problem);
    }
    ck_assert_uint_eq(server.connections, 0);
    end();
}
END_TEST

START_TEST(a_handle_that_was_denied_is_used_again)
{
    begin_denying("127.0.0.2", "127.0.0.3");
    for (int i = 0; i < 3; i++) {
        ck_assert_result(ask_url(&client, HTTP_GET, url_at("127.0.0.2"), NULL), HTTP_DENIED);
        ck_assert_result(ask(&client, HTTP_GET, &server, NULL), HTTP_ANSWERED);
    }
    end();
}
END_TEST

/* The server listens on 127.0.0.1 alone. */
START_TEST(an_allowed_address_that_refuses_is_no_denial)
{
    begin_denying("127.0.0.2", "::1");
    ck_assert_result(ask_url(&client, HTTP_GET, url_at("127.0.0.9"), NULL), HTTP_NOT_SENT);
    end();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("http_deny");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, nothing_is_sent_to_a_denied_address);
    tcase_add_test(tests, an_address_beside_the_ranges_is_called);
    tcase_add_test(tests, every_spelling_of_an_address_is_denied);
    tcase_add_test(tests, a_handle_that_was_denied_is_used_again);
    tcase_add_test(tests, an_allowed_address_that_refuses_is_no_denial);
    return unit_run("io/http_deny", tests);
}
