#include "proto/result.h"

#include <assert.h>

#include "common/timestamp.h"

#include "common/banned.h"

/* What is left out of a result that does not fit, each step including those before it. */
enum omission {
    OMIT_NOTHING,
    OMIT_RESPONSE,
    OMIT_ITEM_MESSAGES,
    OMIT_CONTEXT,
    OMIT_TASK_AND_ITEMS,
    OMISSION_COUNT
};

enum {
    /* Headers a result may carry. */
    HEADERS_MOST = 16,
    /* First guesses of a value's size, so that it seldom grows: all but the texts, one item. */
    PLAIN_BYTES = 640,
    EVENT_BYTES = 512,
    ITEM_BYTES = 160,
};

static const char *event_type(const struct result *result)
{
    return result->progress ? "kancel.progress.v1" : "kancel.result.v1";
}

/* Texts that are derived from result and group, in the storage of one buffer. */
struct derived {
    struct buffer buffer;
    struct slice id, source; /* source only for events */
    char received[TIMESTAMP_SIZE], finished[TIMESTAMP_SIZE];
};

/* ---- folding a list -----------------------------------------------------------------------------
 */

/* The outcome that decides a list without a success. */
static enum outcome deciding_outcome(const struct result *result)
{
    enum outcome outcome = OUTCOME_REFUSED;
    for (size_t i = 0; i < result->item_count; i++) {
        if (result->items[i].outcome == OUTCOME_FAILED)
            return OUTCOME_FAILED;
        if (result->items[i].outcome == OUTCOME_EXPIRED)
            outcome = OUTCOME_EXPIRED;
    }
    return outcome;
}

void result_fold(struct result *result)
{
    size_t succeeded = 0;
    assert(result->item_count > 0);
    result->state = result->items[0].state;
    result->already_cancelled = true;
    result->error = NULL;
    for (size_t i = 0; i < result->item_count; i++) {
        const struct result_item *item = &result->items[i];
        succeeded += item->outcome == OUTCOME_SUCCEEDED;
        result->already_cancelled = result->already_cancelled && item->already_cancelled;
        if (item->state < result->state)
            result->state = item->state;
    }
    if (succeeded > 0) {
        bool all = succeeded == result->item_count;
        result->outcome = all ? OUTCOME_SUCCEEDED : OUTCOME_PARTIAL;
        return;
    }
    result->outcome = deciding_outcome(result);
    for (size_t i = 0; i < result->item_count && result->error == NULL; i++) {
        if (result->items[i].outcome == result->outcome)
            result->error = result->items[i].error;
    }
}

/* ---- the value ----------------------------------------------------------------------------------
 */

static void write_name_member(struct buffer *out, const char *name, const char *value)
{
    json_write_string_member(out, name, slice_of_string(value));
}

/* Nothing where the text is absent. */
static void write_text_member(struct buffer *out, const char *name, struct slice text)
{
    if (text.data != NULL)
        json_write_string_member(out, name, text);
}

static void write_raw_member(struct buffer *out, const char *name, struct slice json)
{
    json_write_member(out, name);
    buffer_append_slice(out, json);
}

static void write_error(struct buffer *out, const struct result_error *error, bool with_message)
{
    if (error == NULL || error->kind == FAILURE_NONE)
        return;
    json_write_member(out, "error");
    buffer_append_byte(out, '{');
    write_name_member(out, "kind", failure_name(error->kind));
    if (error->code[0] != '\0')
        write_name_member(out, "code", error->code);
    if (error->message[0] != '\0' && with_message)
        write_name_member(out, "message", error->message);
    if (error->http_status != 0)
        json_write_int_member(out, "httpStatus", error->http_status);
    buffer_append_byte(out, '}');
}

static void write_already_cancelled(struct buffer *out, bool already_cancelled)
{
    if (already_cancelled)
        write_raw_member(out, "alreadyCancelled", (struct slice)SLICE("true"));
}

static void write_items(struct buffer *out, const struct result *result, bool with_messages)
{
    json_write_member(out, "items");
    buffer_append_byte(out, '[');
    for (size_t i = 0; i < result->item_count; i++) {
        const struct result_item *item = &result->items[i];
        if (i > 0)
            buffer_append_byte(out, ',');
        buffer_append_byte(out, '{');
        json_write_string_member(out, "id", item->id);
        write_name_member(out, "outcome", outcome_name(item->outcome));
        write_name_member(out, "state", task_state_name(item->state));
        write_already_cancelled(out, item->already_cancelled);
        write_error(out, item->error, with_messages);
        buffer_append_byte(out, '}');
    }
    buffer_append_byte(out, ']');
}

static void write_tail(struct buffer *out, const struct result *result,
                       const struct derived *derived, enum omission omission)
{
    const struct command *command = result->command;
    json_write_int_member(out, "attempts", result->attempts);
    write_name_member(out, "receivedAt", derived->received);
    write_name_member(out, "finishedAt", derived->finished);
    if (command->context.data != NULL && omission < OMIT_CONTEXT)
        write_raw_member(out, "context", command->context);
    if (result->response.data != NULL && result->response.len <= LIMIT_ECHO_BYTES &&
        omission < OMIT_RESPONSE) {
        json_write_member(out, "response");
        json_write_compact(out, result->response);
    }
}

static void write_final(struct buffer *out, bool final)
{
    write_raw_member(out, "final", slice_of_string(final ? "true" : "false"));
}

static void write_progress(struct buffer *out, const struct result *result,
                           const struct derived *derived, enum omission omission)
{
    const struct command *command = result->command;
    buffer_append_byte(out, '{');
    json_write_string_member(out, "id", derived->id);
    write_text_member(out, "commandId", command->id);
    write_text_member(out, "operation", command->operation_text);
    write_text_member(out, "provider", command->provider);
    write_text_member(out, "account", result->account);
    write_final(out, false);
    write_name_member(out, "state", task_state_name(result->state));
    write_name_member(out, "seenAt", derived->finished);
    if (command->context.data != NULL && omission < OMIT_CONTEXT)
        write_raw_member(out, "context", command->context);
    buffer_append_byte(out, '}');
}

static void write_result(struct buffer *out, const struct result *result,
                         const struct derived *derived, enum omission omission)
{
    const struct command *command = result->command;
    bool valid = result->outcome != OUTCOME_INVALID;
    if (result->progress) {
        write_progress(out, result, derived, omission);
        return;
    }
    buffer_append_byte(out, '{');
    json_write_string_member(out, "id", derived->id);
    write_text_member(out, "commandId", command->id);
    write_text_member(out, "operation", command->operation_text);
    write_text_member(out, "provider", command->provider);
    write_text_member(out, "account",
                      result->account.data != NULL ? result->account : command->account);
    if (valid && command->task.data != NULL && omission < OMIT_TASK_AND_ITEMS)
        write_raw_member(out, "task", command->task);
    if (command->progress)
        write_final(out, true);
    write_name_member(out, "outcome", outcome_name(result->outcome));
    if (valid)
        write_name_member(out, "state", task_state_name(result->state));
    write_already_cancelled(out, result->already_cancelled);
    if (result->dry_run)
        write_raw_member(out, "dryRun", (struct slice)SLICE("true"));
    if (result->applied != APPLIED_NOT_SAID)
        write_name_member(out, "applied", applied_name(result->applied));
    write_error(out, result->error, true);
    if (valid && result->items != NULL && omission < OMIT_TASK_AND_ITEMS)
        write_items(out, result, omission < OMIT_ITEM_MESSAGES);
    write_tail(out, result, derived, omission);
    buffer_append_byte(out, '}');
}

static void write_attribute(struct buffer *out, const char *name, struct slice text)
{
    if (envelope_is_attribute(text))
        json_write_string_member(out, name, text);
}

static void write_event(struct buffer *out, const struct result *result,
                        const struct derived *derived, enum omission omission)
{
    const struct command *command = result->command;
    const struct envelope *envelope = &command->envelope;
    buffer_append_byte(out, '{');
    write_name_member(out, "specversion", "1.0");
    json_write_string_member(out, "id", derived->id);
    json_write_string_member(out, "source", derived->source);
    write_name_member(out, "type", event_type(result));
    write_attribute(out, "subject", command->id);
    write_name_member(out, "time", derived->finished);
    write_name_member(out, "datacontenttype", "application/json");
    write_attribute(out, "correlationid", envelope->event_correlation_id);
    write_attribute(out, "causationid", envelope->event_id);
    write_attribute(out, "traceparent", envelope->traceparent);
    write_attribute(out, "tracestate", envelope->tracestate);
    json_write_member(out, "data");
    write_result(out, result, derived, omission);
    buffer_append_byte(out, '}');
}

/* ---- the headers --------------------------------------------------------------------------------
 */

/* A URI's path segment: unreserved characters stay, all others are percent-encoded. */
static void append_segment(struct buffer *out, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (slice_is_word(slice_of(text.data + i, 1), "azAZ09--..__~~", 1)) {
            buffer_append_byte(out, text.data[i]);
        } else {
            char encoded[3] = {'%', digits[byte >> 4], digits[byte & 0xf]};
            buffer_append(out, encoded, sizeof(encoded));
        }
    }
}

static int derive(struct derived *derived, const struct result *result, struct slice group,
                  struct error *err)
{
    const struct command *command = result->command;
    struct buffer *buffer = &derived->buffer;
    buffer_init(buffer, SIZE_MAX / 2);
    buffer_append_slice(buffer, slice_of_string(command->topic));
    buffer_append_byte(buffer, '-');
    buffer_append_int(buffer, command->partition);
    buffer_append_byte(buffer, '-');
    buffer_append_int(buffer, command->offset);
    if (result->progress) { /* no reader may take it for the result, whose id it begins with */
        buffer_append_byte(buffer, '-');
        buffer_append_string(buffer, task_state_name(result->state));
    }
    size_t id_len = buffer->len;
    if (command->envelope.mode != ENVELOPE_PLAIN) {
        buffer_append_string(buffer, "/kancel/");
        append_segment(buffer, group);
    }
    if (buffer_failed(buffer))
        return error_set(err, ERROR_MEMORY, "out of memory");
    derived->id = slice_of(buffer->data, id_len);
    derived->source = slice_of(buffer->data + id_len, buffer->len - id_len);
    timestamp_format(result->received_ms, derived->received);
    timestamp_format(result->finished_ms, derived->finished);
    return 0;
}

struct header_list {
    struct header headers[HEADERS_MOST];
    size_t count;
};

/* Nothing where the value is absent. */
static void add(struct header_list *list, const char *name, struct slice value)
{
    if (value.data == NULL)
        return;
    assert(list->count < HEADERS_MOST);
    list->headers[list->count++] = (struct header){slice_of_string(name), value};
}

static void add_attribute(struct header_list *list, const char *name, struct slice value)
{
    if (envelope_is_attribute(value))
        add(list, name, value);
}

static void add_headers(struct header_list *list, const struct result *result,
                        const struct derived *derived, const struct destination *destination,
                        const struct envelope_headers *names)
{
    const struct envelope *envelope = &result->command->envelope;
    const char *correlation_id = names != NULL ? names->correlation_id : NULL;
    if (correlation_id == NULL)
        correlation_id = envelope_headers_default.correlation_id;
    add(list, correlation_id, envelope->correlation_id);
    add(list, "traceparent", envelope->traceparent);
    add(list, "tracestate", envelope->tracestate);
    add(list, "kancel-reply-rejected", destination->rejected);
    if (envelope->mode == ENVELOPE_STRUCTURED)
        add(list, "content-type", slice_of_string("application/cloudevents+json"));
    if (envelope->mode != ENVELOPE_BINARY)
        return;
    add(list, "content-type", slice_of_string("application/json"));
    add(list, "ce_specversion", slice_of_string("1.0"));
    add(list, "ce_id", derived->id);
    add(list, "ce_source", derived->source);
    add(list, "ce_type", slice_of_string(event_type(result)));
    add_attribute(list, "ce_subject", result->command->id);
    add(list, "ce_time", slice_of_string(derived->finished));
    add_attribute(list, "ce_correlationid", envelope->event_correlation_id);
    add_attribute(list, "ce_causationid", envelope->event_id);
    add_attribute(list, "ce_traceparent", envelope->traceparent);
    add_attribute(list, "ce_tracestate", envelope->tracestate);
}

/* ---- the record ---------------------------------------------------------------------------------
 */

/* An empty buffer with room for what the value will probably take; no memory shows when it is used.
 */
static void prepare(struct buffer *value, const struct result *result)
{
    const struct command *command = result->command;
    size_t guess = PLAIN_BYTES + command->id.len + command->task.len + command->context.len +
                   result->item_count * ITEM_BYTES;
    if (command->envelope.mode == ENVELOPE_STRUCTURED)
        guess += EVENT_BYTES;
    if (result->response.len <= LIMIT_ECHO_BYTES)
        guess += result->response.len;
    buffer_init(value, SIZE_MAX / 2);
    value->data = malloc(guess);
    value->capacity = value->data != NULL ? guess : 0;
    buffer_clear(value);
}

static int write_value(struct buffer *value, const struct result *result,
                       const struct derived *derived, size_t most, struct error *err)
{
    bool structured = result->command->envelope.mode == ENVELOPE_STRUCTURED;
    for (enum omission omission = OMIT_NOTHING; omission < OMISSION_COUNT; omission++) {
        buffer_clear(value);
        if (structured)
            write_event(value, result, derived, omission);
        else
            write_result(value, result, derived, omission);
        if (buffer_failed(value))
            return error_set(err, ERROR_MEMORY, "out of memory");
        if (value->len <= most)
            return 0;
    }
    return error_set(err, ERROR_INPUT, "a result of %zu bytes; the topic leaves %zu", value->len,
                     most);
}

struct message *result_message(const struct result *result, const struct destination *destination,
                               const struct envelope_headers *names, struct slice group,
                               struct error *err)
{
    struct message *message = NULL;
    struct derived derived;
    struct header_list list = {.count = 0};
    struct buffer value;
    assert(result->error != NULL || result->outcome == OUTCOME_SUCCEEDED ||
           result->outcome == OUTCOME_PARTIAL);
    if (derive(&derived, result, group, err) < 0)
        goto release_derived;
    add_headers(&list, result, &derived, destination, names);
    struct slice key = result->command->key;
    size_t fixed = message_wire_bytes(key.len, 0, list.headers, list.count);
    size_t most =
        destination->max_message_bytes > fixed ? destination->max_message_bytes - fixed : 0;
    prepare(&value, result);
    if (write_value(&value, result, &derived, most, err) < 0)
        goto release_value;
    message = message_new(destination->topic, destination->partition, key, buffer_slice(&value),
                          list.headers, list.count);
    if (message == NULL)
        error_set(err, ERROR_MEMORY, "out of memory");

release_value:
    buffer_release(&value);
release_derived:
    buffer_release(&derived.buffer);
    return message;
}
