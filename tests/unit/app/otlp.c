#include "worker/app/otlp.h"

#include "common/json.h"
#include "tests/unit/unit.h"

#include "common/banned.h"

static struct otlp *otlp;
static unsigned sends;
static struct buffer body;
static char authorization[32];

static void keep_request(void *context, const struct account_settings *collector,
                         struct http_request *request)
{
    ck_assert_ptr_eq(context, &sends);
    ck_assert_int_gt(collector->limits.timeout_ms, 0);
    ck_assert_int_eq(request->method, HTTP_POST);
    ck_assert(slice_equals(buffer_slice(&request->url), "http://c/v1/traces"));
    buffer_clear(&body);
    buffer_append_slice(&body, buffer_slice(&request->body));
    authorization[0] = '\0';
    for (size_t i = 0; i < request->header_count; i++)
        if (strcmp(request->headers[i].name, "Authorization") == 0)
            (void)snprintf(authorization, sizeof(authorization), "%.*s",
                           SLICE_ARG(buffer_slice(&request->headers[i].value)));
    http_request_release(request);
    sends++;
}

static struct command command = {
    .topic = "commands", .partition = 2, .offset = 42, .id = SLICE("the \"id\"")};
static struct span span = {.kind = SPAN_COMMAND,
                           .trace_id = {0x4bf92f3577b34da6, 0xa3ce929d0e0e4736},
                           .id = 0x1122334455667788,
                           .parent = 0xf067aa0ba902b7,
                           .start_ms = 1700000000123,
                           .end_ms = 1700000000130,
                           .command = &command,
                           .account = "iot-prod",
                           .operation = OPERATION_CANCEL,
                           .outcome = OUTCOME_FAILED,
                           .failure = "timeout"};

static void start(void)
{
    static struct secret secret = {.value = "Bearer x", .len = 8};
    const struct otlp_settings settings = {.endpoint = "http://c/v1/traces",
                                           .service = "kancel",
                                           .instance = "pod-1",
                                           .group = "g",
                                           .authorization = &secret,
                                           .send = keep_request,
                                           .context = &sends};
    sends = 0;
    buffer_init(&body, 1 << 20);
    otlp = otlp_new(&settings);
    ck_assert_ptr_nonnull(otlp);
}

static void finish(void)
{
    otlp_free(otlp);
    buffer_release(&body);
}

static void has(const char *text)
{
    ck_assert_msg(strstr(body.data, text) != NULL, "no %s in %s", text, body.data);
}

static void is_json(void)
{
    struct error err;
    struct json_document *document = json_document_parse(buffer_slice(&body), 1 << 20, 16, &err);
    ck_assert_msg(document != NULL, "%s: %s", err.message, body.data);
    json_document_free(document);
}

START_TEST(a_span_is_told_with_the_names_of_the_conventions)
{
    otlp_span(otlp, &span);
    otlp_flush(otlp);
    ck_assert_uint_eq(sends, 1);
    ck_assert_str_eq(authorization, "Bearer x");
    is_json();
    has("{\"key\":\"service.name\",\"value\":{\"stringValue\":\"kancel\"}}");
    has("{\"key\":\"service.instance.id\",\"value\":{\"stringValue\":\"pod-1\"}}");
    has("\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"spanId\":\"1122334455667788\","
        "\"parentSpanId\":\"00f067aa0ba902b7\",\"name\":\"process commands\",\"kind\":5,"
        "\"startTimeUnixNano\":\"1700000000123000000\",\"endTimeUnixNano\":"
        "\"1700000000130000000\"");
    has("{\"key\":\"messaging.system\",\"value\":{\"stringValue\":\"kafka\"}}");
    has("{\"key\":\"messaging.kafka.offset\",\"value\":{\"intValue\":\"42\"}}");
    has("{\"key\":\"messaging.message.id\",\"value\":{\"stringValue\":\"the \\\"id\\\"\"}}");
    has("{\"key\":\"error.type\",\"value\":{\"stringValue\":\"timeout\"}}");
    has("\"status\":{\"code\":2}");
}
END_TEST

START_TEST(spans_gather_while_a_request_is_out)
{
    const struct http_response taken = {.result = HTTP_ANSWERED, .status = 200};
    otlp_flush(otlp); /* nothing to say */
    ck_assert_uint_eq(sends, 0);
    otlp_span(otlp, &span);
    otlp_flush(otlp);
    otlp_span(otlp, &span);
    otlp_span(otlp, &span);
    otlp_flush(otlp);
    ck_assert_uint_eq(sends, 1);
    ck_assert(otlp_answered(otlp, &taken));
    otlp_flush(otlp);
    ck_assert_uint_eq(sends, 2);
    is_json();
    ck_assert_ptr_nonnull(strstr(strstr(body.data, "\"traceId\"") + 1, "\"traceId\""));
    ck_assert_uint_eq(otlp_dropped(otlp), 0);
}
END_TEST

START_TEST(what_is_not_delivered_or_does_not_fit_is_dropped_and_counted)
{
    const struct http_response refused = {.result = HTTP_ANSWERED, .status = 503};
    otlp_span(otlp, &span);
    otlp_flush(otlp);
    for (int i = 0; i < 1000; i++) /* far more than one body */
        otlp_span(otlp, &span);
    uint64_t full = otlp_dropped(otlp);
    ck_assert_uint_gt(full, 0);
    ck_assert(!otlp_answered(otlp, &refused));
    ck_assert_uint_eq(otlp_dropped(otlp), full + 1);
    otlp_flush(otlp);
    ck_assert_uint_eq(sends, 2);
    is_json();
}
END_TEST

START_TEST(calls_and_publishing_have_kinds_of_their_own)
{
    static const struct trace other = {.id = {1, 2}, .span = 3};
    static const struct trace *const links[] = {&other};
    struct span call = span, publish = span;
    call.kind = SPAN_CALL;
    call.http_status = 429;
    call.links = links;
    call.link_count = 1;
    publish.kind = SPAN_PUBLISH;
    publish.topic = "results";
    publish.failure = NULL;
    otlp_span(otlp, &call);
    otlp_span(otlp, &publish);
    otlp_flush(otlp);
    is_json();
    has("\"name\":\"cancel iot-prod\",\"kind\":3");
    has("{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"429\"}}");
    has("\"links\":[{\"traceId\":\"00000000000000010000000000000002\",\"spanId\":"
        "\"0000000000000003\"}]");
    has("\"name\":\"send results\",\"kind\":4");
    has("\"status\":{\"code\":0}");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("otlp");
    tcase_add_checked_fixture(tests, start, finish);
    tcase_add_test(tests, a_span_is_told_with_the_names_of_the_conventions);
    tcase_add_test(tests, spans_gather_while_a_request_is_out);
    tcase_add_test(tests, what_is_not_delivered_or_does_not_fit_is_dropped_and_counted);
    tcase_add_test(tests, calls_and_publishing_have_kinds_of_their_own);
    return unit_run("app/otlp", tests);
}
