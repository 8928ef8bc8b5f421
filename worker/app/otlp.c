#include "worker/app/otlp.h"

#include <inttypes.h>

#include "common/json.h"
#include "common/version.h"

#include "common/banned.h"

enum {
    /* Of spans that wait: what one request's body holds. */
    SPANS_BYTES = 64 * 1024,
    /* Beside the spans. */
    ENVELOPE_BYTES = 2048,
    TIMEOUT_MS = 5000,
    CONNECT_TIMEOUT_MS = 2000,
};

struct otlp {
    struct otlp_settings settings;
    struct account_settings collector; /* for the HTTP client alone */
    struct buffer spans;               /* objects, separated by commas */
    uint64_t waiting, out, dropped;    /* spans */
    bool busy;
};

struct otlp *otlp_new(const struct otlp_settings *settings)
{
    struct otlp *otlp = calloc(1, sizeof(*otlp));
    if (!otlp)
        return NULL;
    otlp->settings = *settings;
    otlp->collector = (struct account_settings){
        .name = "tracing",
        .endpoint = settings->endpoint,
        .limits = {.timeout_ms = TIMEOUT_MS, .connect_timeout_ms = CONNECT_TIMEOUT_MS}};
    buffer_init(&otlp->spans, SPANS_BYTES);
    return otlp;
}

void otlp_free(struct otlp *otlp)
{
    if (!otlp)
        return;
    buffer_release(&otlp->spans);
    free(otlp);
}

uint64_t otlp_dropped(const struct otlp *otlp)
{
    return otlp->dropped;
}

/* ---- a span as JSON -------------------------------------------------------------------------- */

static void begin_attribute(struct buffer *out, const char *key, const char *type)
{
    if (out->data && out->data[out->len - 1] == '}')
        buffer_append_byte(out, ',');
    buffer_append_format(out, "{\"key\":\"%s\",\"value\":{\"%s\":", key, type);
}

static void text_attribute(struct buffer *out, const char *key, struct slice text)
{
    if (text.data == NULL || text.len == 0)
        return;
    begin_attribute(out, key, "stringValue");
    json_write_string(out, text);
    buffer_append_string(out, "}}");
}

static void word_attribute(struct buffer *out, const char *key, const char *word)
{
    text_attribute(out, key, slice_of_string(word));
}

/* 64-bit integers are strings in OTLP's JSON. */
static void int_attribute(struct buffer *out, const char *key, int64_t value)
{
    begin_attribute(out, key, "intValue");
    buffer_append_format(out, "\"%" PRId64 "\"}}", value);
}

/* https://opentelemetry.io/docs/specs/semconv/messaging/kafka/ */
static void command_attributes(struct buffer *out, const struct otlp *otlp, const struct span *span)
{
    const struct command *command = span->command;
    word_attribute(out, "messaging.system", "kafka");
    word_attribute(out, "messaging.operation.type", "process");
    word_attribute(out, "messaging.operation.name", "process");
    word_attribute(out, "messaging.destination.name", command->topic);
    begin_attribute(out, "messaging.destination.partition.id", "stringValue");
    buffer_append_format(out, "\"%d\"}}", (int)command->partition);
    int_attribute(out, "messaging.kafka.offset", command->offset);
    word_attribute(out, "messaging.consumer.group.name", otlp->settings.group);
    text_attribute(out, "messaging.message.id", command->id);
    word_attribute(out, "kancel.operation", operation_name(span->operation));
    word_attribute(out, "kancel.outcome", outcome_name(span->outcome));
    if (span->retries > 0)
        int_attribute(out, "kancel.retries", (int64_t)span->retries);
}

static void publish_attributes(struct buffer *out, const struct span *span)
{
    word_attribute(out, "messaging.system", "kafka");
    word_attribute(out, "messaging.operation.type", "send");
    word_attribute(out, "messaging.operation.name", "send");
    word_attribute(out, "messaging.destination.name", span->topic);
}

/* https://opentelemetry.io/docs/specs/semconv/http/http-spans/ */
static void call_attributes(struct buffer *out, const struct span *span)
{
    word_attribute(out, "kancel.operation", operation_name(span->operation));
    if (span->http_status > 0)
        int_attribute(out, "http.response.status_code", span->http_status);
}

static void write_name(struct buffer *out, const struct span *span)
{
    struct buffer name;
    buffer_init(&name, 512);
    if (span->kind == SPAN_COMMAND)
        buffer_append_format(&name, "process %s", span->command->topic);
    else if (span->kind == SPAN_PUBLISH)
        buffer_append_format(&name, "send %s", span->topic ? span->topic : "");
    else
        buffer_append_format(&name, "%s %s", operation_name(span->operation),
                             span->account ? span->account : "");
    json_write_string(out, buffer_slice(&name));
    buffer_release(&name);
}

static void write_links(struct buffer *out, const struct span *span)
{
    buffer_append_string(out, ",\"links\":[");
    for (size_t i = 0; i < span->link_count; i++)
        buffer_append_format(
            out, "%s{\"traceId\":\"%016" PRIx64 "%016" PRIx64 "\",\"spanId\":\"%016" PRIx64 "\"}",
            i ? "," : "", span->links[i]->id[0], span->links[i]->id[1], span->links[i]->span);
    buffer_append_byte(out, ']');
}

static void write_span(struct buffer *out, const struct otlp *otlp, const struct span *span)
{
    static const int kinds[] = {5, 3, 4}; /* CONSUMER, CLIENT, PRODUCER */
    const char *failure = span->failure;
    buffer_append_format(
        out, "{\"traceId\":\"%016" PRIx64 "%016" PRIx64 "\",\"spanId\":\"%016" PRIx64 "\"",
        span->trace_id[0], span->trace_id[1], span->id);
    if (span->parent)
        buffer_append_format(out, ",\"parentSpanId\":\"%016" PRIx64 "\"", span->parent);
    buffer_append_string(out, ",\"name\":");
    write_name(out, span);
    buffer_append_format(out,
                         ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRId64
                         "000000\",\"endTimeUnixNano\":\"%" PRId64 "000000\",\"attributes\":[",
                         kinds[span->kind], span->start_ms, span->end_ms);
    if (span->kind == SPAN_COMMAND)
        command_attributes(out, otlp, span);
    else if (span->kind == SPAN_PUBLISH)
        publish_attributes(out, span);
    else
        call_attributes(out, span);
    word_attribute(out, "kancel.account", span->account);
    word_attribute(out, "error.type", failure);
    buffer_append_byte(out, ']');
    if (span->link_count > 0)
        write_links(out, span);
    buffer_append_format(out, ",\"status\":{\"code\":%d}}", failure ? 2 : 0);
}

/* ---- exporting ------------------------------------------------------------------------------- */

void otlp_span(struct otlp *otlp, const struct span *span)
{
    struct buffer *spans = &otlp->spans;
    size_t before = spans->len;
    if (before > 0)
        buffer_append_byte(spans, ',');
    write_span(spans, otlp, span);
    if (!buffer_failed(spans)) {
        otlp->waiting++;
        return;
    }
    /* What was there before it is still whole. */
    otlp->dropped++;
    spans->failed = false;
    spans->len = before;
    if (spans->data)
        spans->data[before] = '\0';
    otlp_flush(otlp);
}

static void write_body(struct buffer *out, const struct otlp *otlp)
{
    buffer_append_string(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    word_attribute(out, "service.name", otlp->settings.service);
    word_attribute(out, "service.version", KANCEL_VERSION);
    word_attribute(out, "service.instance.id", otlp->settings.instance);
    buffer_append_format(out,
                         "]},\"scopeSpans\":[{\"scope\":{\"name\":\"kancel\",\"version\":\"%s\"},"
                         "\"spans\":[",
                         KANCEL_VERSION);
    buffer_append_slice(out, buffer_slice(&otlp->spans));
    buffer_append_string(out, "]}]}]}");
}

void otlp_flush(struct otlp *otlp)
{
    struct http_request request;
    struct error err;
    if (otlp->busy || otlp->waiting == 0)
        return;
    http_request_init(&request);
    request.method = HTTP_POST;
    buffer_append_string(&request.url, otlp->settings.endpoint);
    buffer_append_string(http_request_header(&request, "Content-Type"), "application/json");
    if (otlp->settings.authorization)
        buffer_append_slice(http_request_header(&request, "Authorization"),
                            secret_slice(otlp->settings.authorization));
    write_body(&request.body, otlp);
    otlp->out = otlp->waiting;
    otlp->waiting = 0;
    buffer_clear(&otlp->spans);
    if (http_request_check(&request, &err) < 0) {
        http_request_release(&request);
        otlp->dropped += otlp->out;
        return;
    }
    otlp->busy = true;
    otlp->settings.send(otlp->settings.context, &otlp->collector, &request);
}

bool otlp_answered(struct otlp *otlp, const struct http_response *response)
{
    bool taken = response->result == HTTP_ANSWERED && response->status / 100 == 2;
    otlp->busy = false;
    if (!taken)
        otlp->dropped += otlp->out;
    otlp->out = 0;
    return taken;
}
