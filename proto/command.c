#include "proto/command.h"

#include "common/limits.h"
#include "common/timestamp.h"

#include "common/banned.h"

_Static_assert(LIMIT_COMMAND_BYTES == 65536 && LIMIT_CONTEXT_BYTES == 4096 &&
                   LIMIT_RECORD_HEADERS == 256 && COMMAND_WORD_CHARACTERS == 128,
               "the refusals below name these");

/* A command being read: slices still point into the record and the documents. */
struct draft {
    const struct record *record;
    const struct envelope_headers *names;
    struct command *command;
    struct json_document *event;   /* of structured mode, until all is copied */
    const struct json_value *data; /* what should be the command */
    struct slice raw_task, raw_context;
    int rc;
    struct error *err;
};

/* The first refusal counts. `got` NULL: no remark on what was there. */
static void refuse(struct draft *draft, const char *name, const char *expected, const char *got)
{
    if (draft->rc == 0)
        draft->rc = error_set(draft->err, ERROR_INPUT, "%s: expected %s%s%s", name, expected,
                              got ? ", not " : "", got ? got : "");
}

static void keep_error(struct draft *draft, const struct error *err)
{
    if (draft->rc == 0 || err->kind == ERROR_MEMORY)
        *draft->err = *err;
    draft->rc = -1;
}

static bool is_word(struct slice text)
{
    size_t characters = 0;
    for (size_t i = 0; i < text.len; i++)
        characters += (text.data[i] & 0xc0) != 0x80;
    return characters >= 1 && characters <= COMMAND_WORD_CHARACTERS;
}

/* ---- members ------------------------------------------------------------------------------------
 */

/* Absent when it is missing or refused; missing is refused where it is needed. */
static struct slice read_word(struct draft *draft, const char *name, bool needed)
{
    const struct json_value *value = json_value_get(draft->data, name);
    struct slice text = json_value_text(value);
    if (value == NULL && !needed)
        return text;
    if (json_value_kind(value) != JSON_TEXT)
        refuse(draft, name, "a string of 1 to 128 characters", json_value_kind_name(value));
    else if (!is_word(text))
        refuse(draft, name, "a string of 1 to 128 characters",
               text.len == 0 ? "an empty one" : "a longer one");
    else
        return text;
    return slice_of(NULL, 0);
}

static void read_id(struct draft *draft)
{
    struct command *command = draft->command;
    struct slice event_id = command->envelope.event_id;
    bool is_event = event_id.data != NULL && is_word(event_id);
    command->id = read_word(draft, "id", !is_event);
    if (command->id.data == NULL && is_event)
        command->id = event_id;
}

static void read_operation(struct draft *draft)
{
    struct command *command = draft->command;
    command->operation_text = read_word(draft, "operation", true);
    if (command->operation_text.data != NULL &&
        !operation_parse(command->operation_text, &command->operation))
        refuse(draft, "operation", "cancel or status", "another word");
}

static void read_until(struct draft *draft)
{
    const struct json_value *value = json_value_get(draft->data, "until");
    struct slice text = json_value_text(value);
    if (value == NULL || slice_equals(text, "accepted"))
        return;
    if (slice_equals(text, "settled"))
        draft->command->until = UNTIL_SETTLED;
    else
        refuse(draft, "until", "accepted or settled",
               text.data != NULL ? "another word" : json_value_kind_name(value));
}

static void read_progress(struct draft *draft)
{
    const struct json_value *value = json_value_get(draft->data, "progress");
    if (value != NULL && !json_value_bool(value, &draft->command->progress))
        refuse(draft, "progress", "true or false", json_value_kind_name(value));
}

static void limit_expiry(struct draft *draft, const char *name, struct slice text)
{
    int64_t at;
    if (!timestamp_parse(text, &at))
        refuse(draft, name, "an RFC 3339 time such as 2026-11-21T12:00:00Z", NULL);
    else if (at < draft->command->expires_ms)
        draft->command->expires_ms = at;
}

static void read_expiry(struct draft *draft)
{
    const struct json_value *value = json_value_get(draft->data, "expiresAt");
    if (value != NULL && json_value_kind(value) != JSON_TEXT)
        refuse(draft, "expiresAt", "an RFC 3339 time as a string", json_value_kind_name(value));
    else if (value != NULL)
        limit_expiry(draft, "expiresAt", json_value_text(value));
    if (draft->command->envelope.expiry_time.data != NULL)
        limit_expiry(draft, "expirytime", draft->command->envelope.expiry_time);
}

static void read_members(struct draft *draft)
{
    struct command *command = draft->command;
    read_id(draft);
    read_operation(draft);
    command->provider = read_word(draft, "provider", true);
    command->account = read_word(draft, "account", false);
    command->task_json = json_value_get(draft->data, "task");
    if (json_value_kind(command->task_json) != JSON_MAP)
        refuse(draft, "task", "an object", json_value_kind_name(command->task_json));
    read_until(draft);
    read_progress(draft);
    read_expiry(draft);
    draft->raw_task = json_document_raw(command->document, "task");
    draft->raw_context = json_document_raw(command->document, "context");
}

/* ---- the value ----------------------------------------------------------------------------------
 */

/* The event's data once more, as a document of its own: only such a one gives raw members. */
static void enter_event(struct draft *draft)
{
    struct command *command = draft->command;
    struct error err;
    if (json_value_kind(draft->data) != JSON_MAP)
        return;
    draft->event = command->document;
    command->document = json_document_parse(json_document_raw(draft->event, "data"),
                                            LIMIT_COMMAND_BYTES, LIMIT_COMMAND_DEPTH, &err);
    if (command->document == NULL) {
        keep_error(draft, &err);
        draft->data = NULL;
        return;
    }
    draft->data = json_document_root(command->document);
}

static void read_value(struct draft *draft)
{
    struct command *command = draft->command;
    const struct record *record = draft->record;
    unsigned depth = LIMIT_COMMAND_DEPTH + envelope_is_structured(record);
    struct error parse_err, err;
    command->document = json_document_parse(record->value, LIMIT_COMMAND_BYTES, depth, &parse_err);
    if (envelope_read(record, draft->names, command->document, &command->envelope, &draft->data,
                      &err) < 0)
        keep_error(draft, &err);
    if (command->document == NULL) {
        keep_error(draft, &parse_err);
        return;
    }
    if (command->envelope.mode == ENVELOPE_STRUCTURED)
        enter_event(draft);
}

/* False when not even an answer may be tried. */
static bool check_sizes(struct draft *draft)
{
    const struct record *record = draft->record;
    char got[64];
    if (record->value.data == NULL) {
        refuse(draft, "value", "a command", "null (a tombstone)");
        return false;
    }
    const char *name = record->value.len > LIMIT_COMMAND_BYTES ? "value" : "key";
    size_t len = record->value.len > LIMIT_COMMAND_BYTES ? record->value.len : record->key.len;
    if (len <= LIMIT_COMMAND_BYTES)
        return true;
    (void)snprintf(got, sizeof(got), "%zu", len);
    refuse(draft, name, "at most 65536 bytes", got);
    return false;
}

static size_t echo_bytes(const struct envelope *envelope)
{
    return envelope->event_id.len + envelope->event_correlation_id.len + envelope->reply_topic.len +
           envelope->correlation_id.len + envelope->traceparent.len + envelope->tracestate.len;
}

static void read_all(struct draft *draft)
{
    struct command *command = draft->command;
    if (!check_sizes(draft))
        return;
    read_value(draft);
    if (draft->record->header_count > LIMIT_RECORD_HEADERS)
        refuse(draft, "headers", "at most 256", "more");
    bool is_map = json_value_kind(draft->data) == JSON_MAP;
    if (!is_map)
        refuse(draft, command->envelope.mode == ENVELOPE_STRUCTURED ? "data" : "the command",
               "an object", json_value_kind_name(draft->data));
    if (echo_bytes(&command->envelope) > LIMIT_COMMAND_BYTES)
        refuse(draft, "headers", "at most 65536 bytes for replying and tracing", "more");
    else if (is_map)
        read_members(draft);
    else
        read_id(draft);
}

/* ---- the block ----------------------------------------------------------------------------------
 */

static void keep(struct buffer *block, struct slice *text)
{
    if (text->data == NULL)
        return;
    struct slice copy = slice_of(block->data + block->len, text->len);
    buffer_append_slice(block, *text);
    *text = copy;
}

static struct slice keep_compact(struct buffer *block, struct slice json)
{
    struct slice copy = slice_of(NULL, 0);
    if (json.data == NULL)
        return copy;
    copy.data = block->data + block->len;
    json_write_compact(block, json);
    copy.len = (size_t)(block->data + block->len - copy.data);
    return copy;
}

static void keep_json(struct draft *draft, struct buffer *block)
{
    struct command *command = draft->command;
    command->task = keep_compact(block, draft->raw_task);
    command->context = keep_compact(block, draft->raw_context);
    if (command->context.len > LIMIT_CONTEXT_BYTES) {
        refuse(draft, "context", "at most 4096 bytes as compact JSON", "more");
        command->context = slice_of(NULL, 0);
    }
}

/* Copies all that is kept into one block and lets the slices point there. */
static void keep_all(struct draft *draft)
{
    struct command *command = draft->command;
    struct slice topic = slice_of_string(draft->record->topic);
    struct slice *const texts[] = {
        &command->key,
        &command->id,
        &command->operation_text,
        &command->provider,
        &command->account,
        &command->envelope.event_id,
        &command->envelope.event_correlation_id,
        &command->envelope.reply_topic,
        &command->envelope.correlation_id,
        &command->envelope.traceparent,
        &command->envelope.tracestate,
    };
    size_t size = topic.len + 2 + draft->raw_task.len + draft->raw_context.len;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        size += texts[i]->len;
    command->block = malloc(size);
    if (command->block == NULL) {
        keep_error(draft, &(struct error){ERROR_MEMORY, "out of memory"});
        return;
    }
    command->block_size = size;
    /* A buffer over the block: as its ceiling is below its capacity it never moves. */
    struct buffer block = {.data = command->block, .capacity = size, .ceiling = size - 1};
    command->topic = block.data;
    buffer_append(&block, topic.data, topic.len);
    buffer_append_byte(&block, '\0');
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        keep(&block, texts[i]);
    keep_json(draft, &block);
}

/* What a command without memory of its own may not point to any more. */
static void forget_texts(struct command *command)
{
    command->topic = NULL;
    command->key = command->id = command->operation_text = slice_of(NULL, 0);
    command->provider = command->account = slice_of(NULL, 0);
    command->envelope = (struct envelope){.reply_partition = -1};
}

int command_decode(const struct record *record, const struct envelope_headers *names,
                   struct command *command, struct error *err)
{
    struct draft draft = {.record = record, .names = names, .command = command, .err = err};
    *command = (struct command){
        .partition = record->partition,
        .offset = record->offset,
        .timestamp_ms = record->timestamp_ms,
        .key = record->key,
        .until = UNTIL_ACCEPTED,
        .expires_ms = COMMAND_NEVER,
        .envelope = {.reply_partition = -1},
    };
    read_all(&draft);
    if (command->id.data == NULL) /* nobody to answer: nothing to keep for it */
        command->envelope = (struct envelope){.reply_partition = -1};
    keep_all(&draft);
    if (command->block == NULL)
        forget_texts(command);
    command->envelope.expiry_time = slice_of(NULL, 0); /* counted in expires_ms */
    json_document_free(draft.event);
    if (draft.rc < 0)
        command_forget_json(command);
    return draft.rc;
}

void command_forget_json(struct command *command)
{
    json_document_free(command->document);
    command->document = NULL;
    command->task_json = NULL;
}

void command_release(struct command *command)
{
    command_forget_json(command);
    free(command->block);
    *command = (struct command){.expires_ms = COMMAND_NEVER};
}

size_t command_bytes(const struct command *command)
{
    return sizeof(*command) + command->block_size;
}
