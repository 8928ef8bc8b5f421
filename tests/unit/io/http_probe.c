#include "worker/io/http_probe.h"

#include "tests/unit/unit.h"

#include "worker/io/admin.h"

#include "common/banned.h"

enum { PATIENCE_MS = 30 * 1000 };

static struct loop *loop;
static struct admin *admin;
static struct buffer body;
static char url[64];

static void start(void)
{
    struct error err = {.kind = ERROR_NONE};
    const struct admin_settings settings = {
        .listen = "127.0.0.1:0", .stall_ms = PATIENCE_MS, .page = SLICE("page")};
    loop = loop_new(&err);
    admin = admin_new(loop, &settings, &err);
    ck_assert_msg(admin != NULL, "%s", err.message);
    buffer_init(&body, 16);
}

static void finish(void)
{
    buffer_release(&body);
    admin_free(admin);
    loop_free(loop);
}

static void publish(struct buffer *metrics, const char *not_ready)
{
    struct admin_facts facts = {.metrics = metrics, .not_ready = not_ready};
    admin_publish(admin, &facts);
}

static void set_url(const char *path)
{
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", admin_port(admin), path);
}

START_TEST(tells_status_and_body)
{
    struct error err;
    struct buffer metrics;
    buffer_init(&metrics, 16);
    publish(&metrics, "no broker");
    set_url("/readyz");
    ck_assert_int_eq(http_probe(url, PATIENCE_MS, &body, &err), 503);
    ck_assert_msg(memcmp(body.data, "no broker", 9) == 0, "%.*s", SLICE_ARG(buffer_slice(&body)));
}
END_TEST

START_TEST(a_body_beyond_the_buffer_does_no_harm)
{
    struct error err;
    struct buffer metrics;
    buffer_init(&metrics, 1000);
    for (int i = 0; i < 100; i++)
        buffer_append_string(&metrics, "metric 1\n");
    publish(&metrics, NULL);
    set_url("/metrics");
    ck_assert_int_eq(http_probe(url, PATIENCE_MS, &body, &err), 200);
    ck_assert_uint_le(body.len, 16);
}
END_TEST

START_TEST(nobody_there_is_an_error_that_says_so)
{
    struct error err = {.kind = ERROR_NONE};
    set_url("/livez");
    admin_free(admin);
    admin = NULL;
    ck_assert_int_eq(http_probe(url, PATIENCE_MS, &body, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_TEMPORARY);
    ck_assert_ptr_nonnull(strstr(err.message, "connect"));
}
END_TEST

START_TEST(only_plain_http_is_spoken)
{
    struct error err = {.kind = ERROR_NONE};
    ck_assert_int_eq(http_probe("file:///etc/passwd", PATIENCE_MS, &body, &err), -1);
    ck_assert_uint_eq(body.len, 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("http_probe");
    tcase_add_checked_fixture(tests, start, finish);
    tcase_add_test(tests, tells_status_and_body);
    tcase_add_test(tests, a_body_beyond_the_buffer_does_no_harm);
    tcase_add_test(tests, nobody_there_is_an_error_that_says_so);
    tcase_add_test(tests, only_plain_http_is_spoken);
    return unit_run("http_probe", tests);
}
