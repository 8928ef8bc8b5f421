#include "proto/envelope.h"

#include "common/banned.h"

const struct envelope_headers envelope_headers_default = {
    .reply_topic = "kafka_replyTopic",
    .reply_partition = "kafka_replyPartition",
    .correlation_id = "kafka_correlationId",
};

/* What the content-type announces. */
enum announced { ANNOUNCED_NOTHING, ANNOUNCED_EVENT, ANNOUNCED_BATCH, ANNOUNCED_OTHER_FORMAT };

/* Values of the headers that matter; absent where there is none or a null one. */
struct seen {
    struct slice content_type;
    struct slice specversion, id, source, type, expirytime, correlationid;
    struct slice event_traceparent, event_tracestate;
    struct slice traceparent, tracestate;
    struct slice reply_topic, reply_partition, correlation_id;
};

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* "type/subtype" of a media type, without parameters and blanks. */
static struct slice media_type(struct slice text)
{
    size_t end = 0;
    while (end < text.len && text.data[end] != ';')
        end++;
    while (end > 0 && is_blank(text.data[end - 1]))
        end--;
    size_t start = 0;
    while (start < end && is_blank(text.data[start]))
        start++;
    return slice_of(text.data + start, end - start);
}

static enum announced announced(struct slice content_type)
{
    static const char event[] = "application/cloudevents";
    static const char batch[] = "application/cloudevents-batch";
    if (content_type.data == NULL)
        return ANNOUNCED_NOTHING;
    struct slice type = media_type(content_type);
    if (type.len < sizeof(event) - 1 ||
        !slice_equals_ignoring_case(slice_of(type.data, sizeof(event) - 1), event))
        return ANNOUNCED_NOTHING;
    if (slice_equals_ignoring_case(type, event) ||
        slice_equals_ignoring_case(type, "application/cloudevents+json"))
        return ANNOUNCED_EVENT;
    if (type.len >= sizeof(batch) - 1 &&
        slice_equals_ignoring_case(slice_of(type.data, sizeof(batch) - 1), batch))
        return ANNOUNCED_BATCH;
    return ANNOUNCED_OTHER_FORMAT;
}

static struct slice *place(struct seen *seen, const struct envelope_headers *names,
                           struct slice name)
{
    const struct {
        const char *name;
        struct slice *value;
    } places[] = {
        {"traceparent", &seen->traceparent},
        {"tracestate", &seen->tracestate},
        {"ce_specversion", &seen->specversion},
        {"ce_id", &seen->id},
        {"ce_source", &seen->source},
        {"ce_type", &seen->type},
        {"ce_expirytime", &seen->expirytime},
        {"ce_correlationid", &seen->correlationid},
        {"ce_traceparent", &seen->event_traceparent},
        {"ce_tracestate", &seen->event_tracestate},
        {names->reply_topic, &seen->reply_topic},
        {names->reply_partition, &seen->reply_partition},
        {names->correlation_id, &seen->correlation_id},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (slice_equals(name, places[i].name))
            return places[i].value;
    }
    return slice_equals_ignoring_case(name, "content-type") ? &seen->content_type : NULL;
}

static void look(const struct record *record, const struct envelope_headers *names,
                 struct seen *seen)
{
    const struct envelope_headers *defaults = &envelope_headers_default;
    struct envelope_headers all = *defaults;
    if (names != NULL) {
        all.reply_topic = names->reply_topic ? names->reply_topic : defaults->reply_topic;
        all.reply_partition =
            names->reply_partition ? names->reply_partition : defaults->reply_partition;
        all.correlation_id =
            names->correlation_id ? names->correlation_id : defaults->correlation_id;
    }
    *seen = (struct seen){0};
    for (size_t i = 0; i < record->header_count; i++) {
        struct slice *value = place(seen, &all, record->headers[i].name);
        if (value != NULL)
            *value = record->headers[i].value; /* the last one of a name counts */
    }
}

bool envelope_is_structured(const struct record *record)
{
    for (size_t i = record->header_count; i > 0; i--) {
        const struct header *header = &record->headers[i - 1];
        if (slice_equals_ignoring_case(header->name, "content-type"))
            return announced(header->value) == ANNOUNCED_EVENT;
    }
    return false;
}

bool envelope_is_attribute(struct slice text)
{
    if (text.len == 0 || !slice_is_utf8(text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        bool c1 = byte == 0xc2 && (unsigned char)text.data[i + 1] < 0xa0; /* U+0080 to U+009F */
        if (byte < 0x20 || byte == 0x7f || c1)
            return false;
    }
    return true;
}

static void read_routing(const struct seen *seen, struct envelope *envelope)
{
    envelope->correlation_id = seen->correlation_id;
    envelope->reply_topic = seen->reply_topic;
    envelope->reply_partition = -1;
    struct slice partition = seen->reply_partition;
    if (partition.data == NULL)
        return;
    const unsigned char *bytes = (const unsigned char *)partition.data;
    envelope->reply_partition_malformed = partition.len != 4 || bytes[0] > 0x7f;
    if (!envelope->reply_partition_malformed)
        envelope->reply_partition = (int32_t)((uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                                              (uint32_t)bytes[2] << 8 | bytes[3]);
}

/* The first refusal counts. */
static void refuse(int *rc, struct error *err, const char *name, const char *expected)
{
    if (*rc == 0)
        *rc = error_set(err, ERROR_INPUT, "%s: expected %s", name, expected);
}

/* A text of the event: absent where it is not there or unusable, which is refused when it is needed
 * or present. */
static struct slice attribute(struct slice text, const char *name, bool needed, int *rc,
                              struct error *err)
{
    if (text.data != NULL && envelope_is_attribute(text))
        return text;
    if (text.data != NULL || needed)
        refuse(rc, err, name, "a text of CloudEvents (UTF-8, not empty, no control characters)");
    return slice_of(NULL, 0);
}

static int read_binary(const struct seen *seen, struct envelope *envelope, struct error *err)
{
    int rc = 0;
    envelope->mode = ENVELOPE_BINARY;
    if (!slice_equals(seen->specversion, "1.0"))
        refuse(&rc, err, "ce_specversion", "1.0");
    envelope->event_id = attribute(seen->id, "ce_id", true, &rc, err);
    (void)attribute(seen->source, "ce_source", true, &rc, err);
    (void)attribute(seen->type, "ce_type", true, &rc, err);
    envelope->expiry_time = seen->expirytime;
    envelope->event_correlation_id =
        attribute(seen->correlationid, "ce_correlationid", false, &rc, err);
    if (envelope->traceparent.data == NULL)
        envelope->traceparent = seen->event_traceparent;
    if (envelope->tracestate.data == NULL)
        envelope->tracestate = seen->event_tracestate;
    return rc;
}

/* A string member of the event. CloudEvents' JSON format reads null as absent. */
static struct slice member(const struct json_value *event, const char *name, bool needed, int *rc,
                           struct error *err)
{
    const struct json_value *value = json_value_get(event, name);
    if (json_value_kind(value) != JSON_NULL_VALUE && json_value_kind(value) != JSON_TEXT) {
        refuse(rc, err, name, "a string");
        return slice_of(NULL, 0);
    }
    return attribute(json_value_text(value), name, needed, rc, err);
}

static int read_structured(const struct json_document *document, struct envelope *envelope,
                           const struct json_value **data, struct error *err)
{
    int rc = 0;
    envelope->mode = ENVELOPE_STRUCTURED;
    if (document == NULL)
        return 0;
    const struct json_value *event = json_document_root(document);
    if (json_value_kind(event) != JSON_MAP)
        return error_set(err, ERROR_INPUT, "the event: expected an object, not %s",
                         json_value_kind_name(event));
    if (!slice_equals(json_value_text(json_value_get(event, "specversion")), "1.0"))
        refuse(&rc, err, "specversion", "\"1.0\"");
    envelope->event_id = member(event, "id", true, &rc, err);
    (void)member(event, "source", true, &rc, err);
    (void)member(event, "type", true, &rc, err);
    envelope->expiry_time = member(event, "expirytime", false, &rc, err);
    envelope->event_correlation_id = member(event, "correlationid", false, &rc, err);
    if (envelope->traceparent.data == NULL)
        envelope->traceparent = member(event, "traceparent", false, &rc, err);
    if (envelope->tracestate.data == NULL)
        envelope->tracestate = member(event, "tracestate", false, &rc, err);
    if (json_value_kind(json_value_get(event, "data_base64")) != JSON_NULL_VALUE)
        refuse(&rc, err, "data_base64", "the command as JSON in data instead");
    *data = json_value_get(event, "data");
    return rc;
}

int envelope_read(const struct record *record, const struct envelope_headers *names,
                  const struct json_document *document, struct envelope *envelope,
                  const struct json_value **data, struct error *err)
{
    struct seen seen;
    look(record, names, &seen);
    *envelope = (struct envelope){.mode = ENVELOPE_PLAIN};
    *data = NULL;
    read_routing(&seen, envelope);
    envelope->traceparent = seen.traceparent;
    envelope->tracestate = seen.tracestate;
    switch (announced(seen.content_type)) {
    case ANNOUNCED_EVENT:
        return read_structured(document, envelope, data, err);
    case ANNOUNCED_BATCH:
        return error_set(err, ERROR_INPUT,
                         "content-type: a batch of events; expected one event a record");
    case ANNOUNCED_OTHER_FORMAT:
        return error_set(err, ERROR_INPUT,
                         "content-type: expected application/cloudevents+json among event formats");
    case ANNOUNCED_NOTHING:
        break;
    }
    if (document != NULL)
        *data = json_document_root(document);
    return seen.specversion.data != NULL ? read_binary(&seen, envelope, err) : 0;
}
