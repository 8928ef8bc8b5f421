#include "tests/unit/core/support/conversation.h"

#include <stdarg.h>

#include "common/banned.h"

struct engine *engine;
struct engine_settings settings;
struct account_settings account;
struct now now;
struct said_call calls[SAID_MOST];
struct span spans[SAID_MOST];
size_t span_count;
size_t call_count;
struct batch *batch;
bool assigned, unassigned, paused, recovering;
size_t positions_asked;
char results[SAID_MOST][2048];
char result_topics[SAID_MOST][64];
size_t result_count;
static size_t heard;
int64_t committed_offset;
char committed_metadata[5000];
bool topic_exists, results_exist;
size_t topic_limit, results_limit;
const char *json_echo;
enum { LINES_MOST = 4096 };
int64_t record_age_ms;
static int64_t next_offset;
static struct said_line {
    const char *event;
    char text[1024];
} log_lines[LINES_MOST];
static size_t log_count;
static bool needs_sign_in, signs_calls;
bool bad_secret;
static unsigned tasks_made;

/* ---- the fictitious driver ------------------------------------------------------------------- */

static const struct option no_options[] = {{0}};

static void *fake_open(const struct option_values *values, const char *endpoint,
                       struct mistakes *mistakes)
{
    (void)values, (void)endpoint, (void)mistakes;
    return NULL;
}

static void fake_close(void *opened)
{
    (void)opened;
}

static struct task *fake_task(const void *opened, enum operation operation,
                              const struct json_value *json, struct error *err)
{
    (void)opened, (void)operation;
    const struct json_value *ids = json_value_get(json, "ids");
    struct slice id = json_value_text(json_value_get(json, "id"));
    if (!ids && !id.data) {
        error_set(err, ERROR_INPUT, "task: expected id or ids");
        return NULL;
    }
    struct task *task = calloc(1, sizeof *task);
    task->is_list = ids != NULL;
    task->count = ids ? json_value_count(ids) : 1;
    task->ids = calloc(task->count, sizeof *task->ids);
    for (size_t i = 0; i < task->count; i++) {
        struct slice text = ids ? json_value_text(json_value_at(ids, i)) : id;
        task->ids[i] = slice_of(slice_dup(text), text.len);
    }
    task->cancel_tells_nothing = json_value_get(json, "silent") != NULL;
    char alone[24];
    struct slice share = json_value_text(json_value_get(json, "share"));
    snprintf(alone, sizeof alone, "alone-%u", ++tasks_made);
    if (!share.data)
        share = slice_of_string(alone);
    task->share = slice_of(slice_dup(share), share.len);
    return task;
}

static void fake_task_free(struct task *task)
{
    for (size_t i = 0; i < task->count; i++)
        free((char *)task->ids[i].data);
    free(task->ids);
    free((char *)task->share.data);
    free(task);
}

static size_t fake_most_asks(const void *opened, enum operation operation, const struct task *task,
                             size_t most)
{
    (void)opened, (void)operation, (void)task;
    return most < 3 ? most : 3;
}

static bool fake_needs_sign_in(const void *opened)
{
    (void)opened;
    return needs_sign_in;
}

static bool fake_signs_calls(const void *opened)
{
    (void)opened;
    return signs_calls;
}

static int fake_sign_in(const void *opened, const struct credential *current, int64_t wall_ms,
                        struct http_request *request, struct error *err)
{
    (void)opened, (void)wall_ms;
    buffer_append_string(&request->url, current ? "renew" : "sign-in");
    return bad_secret ? error_set(err, ERROR_INPUT, "auth.secret: expected a secret") : 0;
}

static int fake_signed_in(const void *opened, const struct credential *current,
                          const struct http_response *response, int64_t wall_ms,
                          struct credential *credential, struct verdict *verdict)
{
    (void)opened, (void)current;
    struct error err;
    if (slice_equals(response->body, "ok")) {
        credential->expires_ms = wall_ms + 3600 * 1000;
        return secret_set(&credential->token, slice_of_string("t"), &err);
    }
    if (response->result != HTTP_ANSWERED) {
        verdict_of_http(OPERATION_STATUS, response, verdict);
        return -1;
    }
    verdict->kind = slice_equals(response->body, "R") ? VERDICT_RETRY : VERDICT_FAILED;
    verdict_set_error(verdict, FAILURE_UNAUTHORIZED, slice_of_string("E1"),
                      slice_of_string("wrong key"), 401);
    return -1;
}

static struct slice id_of(const struct call_purpose *purpose, size_t ask)
{
    return purpose->asks[ask].task->ids[purpose->asks[ask].index];
}

static bool is_repeated(const struct call_purpose *purpose, size_t ask)
{
    for (size_t i = 0; i < ask; i++)
        if (slice_equal(id_of(purpose, i), id_of(purpose, ask)))
            return true;
    return false;
}

static int fake_request(const void *opened, const struct call_purpose *purpose,
                        const struct credential *credential, int64_t wall_ms,
                        struct http_request *request, struct error *err)
{
    (void)opened, (void)credential, (void)wall_ms, (void)err;
    buffer_append_string(&request->url, operation_name(purpose->operation));
    for (size_t i = 0; i < purpose->count; i++) {
        if (is_repeated(purpose, i))
            continue;
        buffer_append_byte(&request->url, '/');
        buffer_append_slice(&request->url, id_of(purpose, i));
    }
    return 0;
}

static void fill(struct verdict *verdict, enum verdict_kind kind, enum task_state state,
                 enum failure failure)
{
    verdict->kind = kind;
    verdict->state = state;
    if (failure != FAILURE_NONE)
        verdict_set_error(verdict, failure, slice_of_string("E7"),
                          slice_of_string("words of the provider"), 400);
}

static void verdict_of(char letter, struct verdict *verdict)
{
    *verdict = (struct verdict){0};
    switch (letter) {
    case 'c':
        fill(verdict, VERDICT_DONE, STATE_CANCELLING, FAILURE_NONE);
        break;
    case 'a':
    case 'C':
        fill(verdict, VERDICT_DONE, STATE_CANCELLED, FAILURE_NONE);
        verdict->already_cancelled = letter == 'a';
        break;
    case 'k':
    case 'u':
        fill(verdict, VERDICT_DONE, STATE_UNKNOWN, FAILURE_NONE);
        break;
    case 'w':
        fill(verdict, VERDICT_DONE, STATE_WAITING, FAILURE_NONE);
        break;
    case 'r':
        fill(verdict, VERDICT_DONE, STATE_RUNNING, FAILURE_NONE);
        break;
    case 's':
        fill(verdict, VERDICT_DONE, STATE_SUCCEEDED, FAILURE_NONE);
        break;
    case 'n':
        fill(verdict, VERDICT_REFUSED, STATE_UNKNOWN, FAILURE_NOT_FOUND);
        break;
    case 'e':
        fill(verdict, VERDICT_REFUSED, STATE_SUCCEEDED, FAILURE_NOT_CANCELLABLE);
        verdict->tells_state = true;
        break;
    case 'f':
        fill(verdict, VERDICT_REFUSED, STATE_UNKNOWN, FAILURE_FORBIDDEN);
        break;
    case 'g':
        fill(verdict, VERDICT_REFUSED, STATE_UNKNOWN, FAILURE_BAD_RESPONSE);
        break;
    case 'S':
    case 'Z':
        fill(verdict, letter == 'S' ? VERDICT_RETRY : VERDICT_REFUSED, STATE_UNKNOWN,
             FAILURE_FORBIDDEN);
        break;
    case 'R':
    case 'T':
        fill(verdict, VERDICT_RETRY, STATE_UNKNOWN,
             letter == 'T' ? FAILURE_THROTTLED : FAILURE_UNAVAILABLE);
        verdict->throttled = letter == 'T';
        break;
    case '?':
        fill(verdict, VERDICT_UNKNOWN, STATE_UNKNOWN, FAILURE_TIMEOUT);
        break;
    case 'A':
        fill(verdict, VERDICT_RENEW, STATE_UNKNOWN, FAILURE_UNAUTHORIZED);
        break;
    case 'x':
        fill(verdict, VERDICT_FAILED, STATE_UNKNOWN, FAILURE_BAD_RESPONSE);
        break;
    default:
        ck_abort_msg("no such letter: %c", letter);
    }
}

static void fake_response(const void *opened, const struct call_purpose *purpose,
                          const struct credential *credential, const struct http_response *response,
                          struct verdict *verdicts, struct next_page *next, struct slice *json)
{
    (void)opened, (void)credential, (void)next;
    *json = slice_of_string(json_echo);
    if (response->result != HTTP_ANSWERED) {
        struct verdict verdict;
        verdict_of_http(purpose->operation, response, &verdict);
        verdict_fill(verdicts, purpose->count, &verdict);
        return;
    }
    ck_assert_uint_eq(response->body.len, purpose->count);
    for (size_t i = 0; i < purpose->count; i++) {
        char letter = response->body.data[i];
        verdict_of(letter, &verdicts[i]);
        if (letter == 'S' || letter == 'Z')
            verdicts[i].apart = purpose->ids / 2;
    }
}

static const struct task_member members[] = {{.name = "id", .help = "the task"}, {0}};

static const struct provider fake = {
    .name = "fake",
    .title = "Fake",
    .members = members,
    .options = no_options,
    .open = fake_open,
    .close = fake_close,
    .task = fake_task,
    .task_free = fake_task_free,
    .most_asks = fake_most_asks,
    .needs_sign_in = fake_needs_sign_in,
    .signs_calls = fake_signs_calls,
    .sign_in = fake_sign_in,
    .signed_in = fake_signed_in,
    .request = fake_request,
    .response = fake_response,
};

/* ---- ports ----------------------------------------------------------------------------------- */

static struct topic_facts pending_facts[SAID_MOST];
static size_t pending_count;

static void port_call(void *context, uint64_t id, const struct account_settings *of,
                      struct http_request *request)
{
    (void)context, (void)of;
    ck_assert_uint_lt(call_count, SAID_MOST);
    struct said_call *call = &calls[call_count++];
    *call = (struct said_call){.id = id, .open = true};
    snprintf(call->text, sizeof call->text, "%.*s", SLICE_ARG(buffer_slice(&request->url)));
    for (char *slash = call->text; (slash = strchr(slash, '/'));)
        *slash = ' ';
    for (size_t i = 0; i < request->header_count; i++)
        if (strcmp(request->headers[i].name, "traceparent") == 0)
            snprintf(call->traceparent, sizeof call->traceparent, "%.*s",
                     SLICE_ARG(buffer_slice(&request->headers[i].value)));
    http_request_release(request);
}

static void port_abandon(void *context, uint64_t id)
{
    (void)context;
    for (size_t i = 0; i < call_count; i++)
        if (calls[i].id == id)
            calls[i].open = false;
}

static void port_assign(void *context, const struct position *positions, size_t count)
{
    (void)context, (void)positions, (void)count;
    assigned = true;
}

static void port_unassign(void *context, const struct topic_partition *partitions, size_t count)
{
    (void)context, (void)partitions, (void)count;
    unassigned = true;
}

static void port_pause(void *context, struct topic_partition at)
{
    (void)context, (void)at;
    ck_assert(!paused);
    paused = true;
}

static void port_resume(void *context, struct topic_partition at)
{
    (void)context, (void)at;
    ck_assert(paused);
    paused = false;
}

static void port_read_positions(void *context, const struct topic_partition *partitions,
                                size_t count)
{
    (void)context, (void)partitions;
    positions_asked = count;
}

static void port_look_up_topic(void *context, const char *topic)
{
    (void)context;
    bool own = strcmp(topic, "results") == 0 || strcmp(topic, "dead") == 0;
    pending_facts[pending_count++] = (struct topic_facts){
        .topic = topic,
        .exists = own ? results_exist : topic_exists,
        .writable = true,
        .partitions = 4,
        .max_message_bytes = strcmp(topic, "dead") == 0 ? LIMIT_TOPIC_MESSAGE_BYTES
                             : own                      ? results_limit
                                                        : topic_limit};
}

static void port_commit(void *context, struct batch *out)
{
    (void)context;
    ck_assert_ptr_null(batch);
    batch = out;
}

static void port_recover(void *context)
{
    (void)context;
    recovering = true;
}

static void port_span(void *context, const struct span *span)
{
    (void)context;
    ck_assert_uint_lt(span_count, SAID_MOST);
    spans[span_count] = *span;
    spans[span_count++].links = NULL;
}

static void port_answered(void *context, const struct answered *answered)
{
    (void)context;
    ck_assert_ptr_nonnull(answered->command);
}

PRINTF_LIKE(4, 5)
static void port_log(void *context, enum log_level level, const char *event, const char *format,
                     ...)
{
    (void)context, (void)level;
    ck_assert_uint_lt(log_count, LINES_MOST);
    struct said_line *line = &log_lines[log_count++];
    va_list arguments;
    line->event = event;
    va_start(arguments, format);
    vsnprintf(line->text, sizeof line->text, format, arguments);
    va_end(arguments);
}

size_t logged(const char *event)
{
    size_t count = 0;
    for (size_t i = 0; i < log_count; i++)
        count += strcmp(log_lines[i].event, event) == 0;
    return count;
}

const char *last_logged(const char *event)
{
    const char *text = "";
    for (size_t i = 0; i < log_count; i++)
        if (strcmp(log_lines[i].event, event) == 0)
            text = log_lines[i].text;
    return text;
}

static const struct ports ports = {.call = port_call,
                                   .abandon = port_abandon,
                                   .assign = port_assign,
                                   .unassign = port_unassign,
                                   .pause = port_pause,
                                   .resume = port_resume,
                                   .read_positions = port_read_positions,
                                   .look_up_topic = port_look_up_topic,
                                   .commit = port_commit,
                                   .recover = port_recover,
                                   .answered = port_answered,
                                   .span = port_span,
                                   .log = port_log};

void tell_facts(void)
{
    while (pending_count > 0) {
        struct topic_facts facts = pending_facts[--pending_count];
        engine_topic_facts(engine, now, &facts);
    }
}

/* ---- conversation ---------------------------------------------------------------------------- */

static const char *const reply_topics[] = {"^reply\\..*"};

static void default_settings(void)
{
    account = (struct account_settings){
        .name = "acc",
        .provider = &fake,
        .endpoint = "http://fake",
        .confirm = true,
        .limits = {.concurrency = 100,
                   .batch = 100,
                   .timeout_ms = 10000,
                   .connect_timeout_ms = 3000},
        .retry = {.attempts = 4,
                  .backoff_low_ms = 200,
                  .backoff_high_ms = 30000,
                  .give_up_after_ms = 300000},
        .settle = {.poll_low_ms = 1000, .poll_high_ms = 30000, .limit_ms = 3600000},
        .allow = {.operations = 3},
    };
    settings = (struct engine_settings){.group = "g",
                                        .results_topic = "results",
                                        .dead_letters_topic = "dead",
                                        .reply_topics = (const char **)reply_topics,
                                        .reply_topic_count = 1,
                                        .headers = envelope_headers_default,
                                        .ordering = ORDERING_KEY,
                                        .calls = 100,
                                        .window = 50,
                                        .drain_ms = 25000,
                                        .revoke_drain_ms = 2000,
                                        .accounts = &account,
                                        .account_count = 1};
}

void conversation_start_engine(void)
{
    struct error err;
    engine = engine_new(&settings, &ports, 1, &err);
    ck_assert_ptr_nonnull(engine);
    engine_recovered(engine, now, NULL);
}

void conversation_assign(int64_t offset, const char *metadata)
{
    struct topic_partition at = {"cmd", 0};
    struct position position = {.at = at,
                                .offset = offset,
                                .end = OFFSET_NONE,
                                .fresh = !metadata,
                                .metadata = slice_of_string(metadata)};
    assigned = unassigned = false;
    next_offset = offset;
    engine_assigned(engine, now, &at, 1);
    ck_assert_uint_eq(positions_asked, 1);
    engine_positions(engine, now, &position, 1, NULL);
    tell_facts();
    ck_assert(assigned);
    ck_assert_ptr_nonnull(batch); /* the mark that calls may begin */
    commit_all();
}

void conversation_crash(void)
{
    char metadata[sizeof committed_metadata];
    int64_t offset = committed_offset;
    snprintf(metadata, sizeof metadata, "%s", committed_metadata);
    conversation_end();
    conversation_start_engine();
    conversation_assign(offset, metadata);
}

void conversation_begin(void)
{
    record_age_ms = 0;
    now = (struct now){.mono_ms = 1000, .wall_ms = 1700000000000};
    call_count = result_count = heard = pending_count = log_count = 0;
    batch = NULL;
    assigned = unassigned = paused = recovering = needs_sign_in = signs_calls = bad_secret = false;
    topic_exists = results_exist = true;
    json_echo = NULL;
    topic_limit = results_limit = LIMIT_TOPIC_MESSAGE_BYTES;
    default_settings();
    conversation_start_engine();
    conversation_assign(0, NULL);
}

void conversation_end(void)
{
    engine_free(engine);
    batch_free(batch);
    batch = NULL;
}

void conversation_signs_in(void)
{
    conversation_end();
    needs_sign_in = true;
    conversation_start_engine();
    conversation_assign(0, NULL);
}

void conversation_signs_calls(void)
{
    conversation_end();
    signs_calls = true;
    conversation_start_engine();
    conversation_assign(0, NULL);
}

int64_t say_reply(const char *key, const char *id, const char *topic)
{
    return say_with(key, id, "{\"id\":\"a\"}", "kafka_replyTopic", topic);
}

int64_t say_with(const char *key, const char *id, const char *task, const char *name,
                 const char *value_of_header)
{
    char value[256];
    snprintf(value, sizeof value,
             "{\"id\":\"%s\",\"operation\":\"status\",\"provider\":\"fake\","
             "\"task\":%s}",
             id, task);
    struct header header = {slice_of_string(name), slice_of_string(value_of_header)};
    struct record record = {.topic = "cmd",
                            .offset = next_offset++,
                            .timestamp_ms = now.wall_ms,
                            .key = slice_of_string(key),
                            .value = slice_of_string(value),
                            .headers = &header,
                            .header_count = 1};
    engine_record(engine, now, &record);
    return record.offset;
}

int64_t say_raw(const char *key, const char *value)
{
    struct record record = {.topic = "cmd",
                            .offset = next_offset++,
                            .timestamp_ms = now.wall_ms - record_age_ms,
                            .key = slice_of_string(key),
                            .value = slice_of_string(value)};
    engine_record(engine, now, &record);
    return record.offset;
}

int64_t say(const char *key, const char *id, const char *operation, const char *task,
            const char *extra)
{
    char value[4096];
    snprintf(value, sizeof value,
             "{\"id\":\"%s\",\"operation\":\"%s\",\"provider\":\"fake\",\"task\":%s%s%s}", id,
             operation, task, extra ? "," : "", extra ? extra : "");
    return say_raw(key, value);
}

uint64_t hear_call(const char *text)
{
    for (size_t i = 0; i < call_count; i++) {
        if (!calls[i].open)
            continue;
        ck_assert_str_eq(calls[i].text, text);
        calls[i].open = false;
        return calls[i].id;
    }
    commit_all();
    ck_abort_msg("no call; expected %s; last result %s", text,
                 result_count ? results[result_count - 1] : "none");
}

void hear_no_call(void)
{
    for (size_t i = 0; i < call_count; i++)
        ck_assert_msg(!calls[i].open, "unexpected call: %s", calls[i].text);
}

static void answer_with(uint64_t id, const char *letters, const char *after)
{
    struct http_response response = {.result = HTTP_ANSWERED,
                                     .status = after ? 429 : 200,
                                     .body = slice_of_string(letters),
                                     .retry_after = slice_of_string(after)};
    engine_response(engine, now, id, &response);
}

void answer_call(uint64_t id, const char *letters)
{
    answer_with(id, letters, NULL);
}

void answer_throttled(uint64_t id, const char *after)
{
    answer_with(id, "T", after);
}

void answer_dated(uint64_t id, const char *letters, const char *date)
{
    struct http_response response = {.result = HTTP_ANSWERED,
                                     .status = 200,
                                     .body = slice_of_string(letters),
                                     .date = slice_of_string(date)};
    engine_response(engine, now, id, &response);
}

void answer_denied(uint64_t id, const char *problem)
{
    struct http_response response = {.result = HTTP_DENIED};
    snprintf(response.problem, sizeof response.problem, "%s", problem);
    engine_response(engine, now, id, &response);
}

static void note_committed(void)
{
    for (size_t i = 0; i < batch->message_count; i++) {
        const struct message *message = batch->messages[i];
        ck_assert_uint_lt(result_count, SAID_MOST);
        snprintf(results[result_count], sizeof *results, "%.*s", SLICE_ARG(message->value));
        snprintf(result_topics[result_count++], sizeof *result_topics, "%s", message->topic);
    }
    for (size_t i = 0; i < batch->position_count; i++) {
        committed_offset = batch->positions[i].offset;
        snprintf(committed_metadata, sizeof committed_metadata, "%.*s",
                 SLICE_ARG(batch->positions[i].metadata));
    }
}

void receipt(enum receipt_kind kind)
{
    struct error err = {ERROR_ABORT, "scripted"};
    ck_assert_ptr_nonnull(batch);
    struct batch *was = batch;
    if (kind == RECEIPT_COMMITTED)
        note_committed();
    batch = NULL;
    engine_receipt(engine, now, was, kind, kind == RECEIPT_COMMITTED ? NULL : &err);
}

void commit_all(void)
{
    tell_facts();
    while (batch)
        receipt(RECEIPT_COMMITTED);
}

static void expect_member(const char *json, const char *name, const char *value)
{
    char member[256];
    snprintf(member, sizeof member, "\"%s\":\"%s\"", name, value);
    ck_assert_msg(strstr(json, member), "expected %s in %s", member, json);
}

void hear_result(const char *id, const char *outcome, const char *state)
{
    commit_all();
    ck_assert_msg(heard < result_count, "no result; expected %s of %s", outcome, id);
    const char *json = results[heard++];
    expect_member(json, "commandId", id);
    expect_member(json, "outcome", outcome);
    if (state[0])
        expect_member(json, "state", state);
}

void hear_no_result(void)
{
    commit_all();
    ck_assert_uint_eq(heard, result_count);
}

const char *last_result(void)
{
    return results[heard - 1];
}

void later(int64_t ms)
{
    int64_t until = now.mono_ms + ms;
    while (engine_deadline(engine) <= until) {
        int64_t due = engine_deadline(engine);
        if (due > now.mono_ms) {
            now.wall_ms += due - now.mono_ms;
            now.mono_ms = due;
        }
        engine_tick(engine, now);
        tell_facts();
    }
    now.wall_ms += until - now.mono_ms;
    now.mono_ms = until;
}
