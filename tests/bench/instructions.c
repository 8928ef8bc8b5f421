/*
 * kancel-instructions: commands through the real core, codecs and drivers, without a network.
 *
 *   kancel-instructions CASE COUNT     answers COUNT commands of that provider within measured()
 *   kancel-instructions --build        what counts of instructions depend on, as one line
 *
 * instructions.py runs it under callgrind, which counts what happens within measured(). Everything
 * is the same every time: one seed, a clock that is told. A millisecond brings ten commands, calls
 * are answered after ten and transactions committed after four, so that about a hundred calls are
 * in flight and a transaction holds what it holds in a busy worker.
 */
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/core/engine.h"

#include "common/banned.h"

enum {
    A_MS = 10, /* commands that come in a millisecond */
    CALL_MS = 10,
    COMMIT_MS = 4,
    PARTITIONS = 8,
    KEYS = 1000,
    WARM_UP = 500,
    CALLS_MOST = 4096,
    COUNT_MAX = 1000000,
};

/* A call that is out. */
struct call {
    uint64_t id;
    int64_t due_ms;
    struct buffer body; /* of its answer */
};

/* A provider's case: what is asked of it and what it answers. */
struct scenario {
    const char *name, *endpoint, *settings[4];
    const char *task; /* with one %ld, the command's number */
    unsigned batch, concurrency;
    void (*answer)(const struct http_request *request, struct buffer *body);
};

static const struct scenario *scenario;
static struct engine *engine;
static struct now now = {.mono_ms = 1000, .wall_ms = 1700000000000};
static struct account_settings account;
static struct call calls[CALLS_MOST]; /* a ring: all take equally long */
static size_t call_first, call_end;
static struct batch *batch;
static int64_t commit_due_ms;
static const char *topics_asked[8];
static size_t topic_count;
static long sent, answered, published;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "kancel-instructions: %s\n", what);
    exit(1);
}

/* ---- providers ------------------------------------------------------------------------------- */

/* What stands between `before` and the next of `ends` in the text. */
static struct slice between(const struct buffer *text, const char *before, const char *ends)
{
    const char *found = strstr(text->data, before);
    if (!found)
        die("a request that was not expected");
    found += strlen(before);
    return slice_of(found, strcspn(found, ends));
}

static void answer_enos(const struct http_request *request, struct buffer *body)
{
    if (strstr(request->url.data, "/token/")) {
        buffer_append_string(body, "{\"status\":0,\"msg\":\"SUCCESS\",\"data\":{\"accessToken\":"
                                   "\"token-1\",\"expire\":7200}}");
        return;
    }
    buffer_append_string(body, "{\"code\":0,\"msg\":\"OK\",\"data\":{\"taskId\":\"");
    buffer_append_slice(body, between(&request->url, "/download/", "?/"));
    buffer_append_string(body, "\",\"progressCode\":5,\"progressDesc\":\"cancelled\"}}");
}

static void answer_scnet(const struct http_request *request, struct buffer *body)
{
    struct slice ids = between(&request->body, "[", "]");
    const char *separator = "";
    buffer_append_string(body, "{\"code\":\"0\",\"msg\":\"success\",\"data\":[");
    for (size_t at = 0; at < ids.len;) {
        size_t len = strcspn(ids.data + at, ",]");
        buffer_append_format(body, "%s{\"taskId\":%.*s,\"status\":\"cancel\",\"result\":true}",
                             separator, (int)len, ids.data + at);
        separator = ",";
        at += len + 1;
    }
    buffer_append_string(body, "]}");
}

static void answer_iotda(const struct http_request *request, struct buffer *body)
{
    if (request->method == HTTP_POST) {
        buffer_append_string(body, "{}");
        return;
    }
    buffer_append_string(body, "{\"batchtask\":{\"task_id\":\"");
    buffer_append_slice(body, between(&request->url, "/batchtasks/", "?/"));
    buffer_append_string(body, "\",\"status\":\"Stopped\"}}");
}

static void answer_koodrive(const struct http_request *request, struct buffer *body)
{
    buffer_append_string(body, request->method == HTTP_POST
                                   ? "{\"code\":0,\"msg\":\"OK\"}"
                                   : "{\"code\":0,\"msg\":\"OK\",\"data\":{\"jobInfo\":{\"status\":"
                                     "3,\"taskResultCode\":1}}}");
}

static const struct scenario scenarios[] = {
    {"enos",
     "https://enos.example",
     {"org_id=o1", "auth.app_key=key", "auth.app_secret=hush"},
     "{\"channelId\":\"ch\",\"taskId\":\"t-%ld\"}",
     1,
     1000,
     answer_enos},
    {"scnet",
     "https://scnet.example/efile",
     {"auth.token=hush"},
     "{\"taskIds\":[\"t-%ld\"]}",
     100,
     4,
     answer_scnet},
    {"iotda",
     "https://iotda.example",
     {"auth.token=hush", "project_id=p1"},
     "{\"taskId\":\"%lx\",\"all\":true}",
     1,
     1000,
     answer_iotda},
    {"koodrive",
     "https://koodrive.example",
     {"auth.token=hush", "user_id=1505"},
     "{\"jobId\":\"12892501058%07ld\"}",
     1,
     1000,
     answer_koodrive},
};

static void tell_mistake(void *context, const char *path, const char *message)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", path, message);
    die("the account");
}

static struct option_values *open_account(void)
{
    struct mistakes mistakes = {.tell = tell_mistake};
    struct error err;
    account = (struct account_settings){
        .name = "acc",
        .provider = provider_find(slice_of_string(scenario->name)),
        .endpoint = scenario->endpoint,
        .limits = {.concurrency = scenario->concurrency,
                   .adaptive = true,
                   .batch = scenario->batch,
                   .timeout_ms = 10000,
                   .connect_timeout_ms = 3000},
        .breaker = {.failures = 50,
                    .minimum = 5,
                    .window_ms = 10000,
                    .probe_low_ms = 1000,
                    .probe_high_ms = 5000},
        .retry = {.attempts = 6,
                  .backoff_low_ms = 200,
                  .backoff_high_ms = 30000,
                  .give_up_after_ms = 300000},
        .settle = {.poll_low_ms = 1000, .poll_high_ms = 30000, .limit_ms = 3600000},
        .allow = {.operations = 3},
    };
    account.confirm = account.provider->confirm_default;
    struct option_values *values = option_values_new(account.provider->options);
    for (const char *const *at = scenario->settings; *at; at++) {
        char path[64];
        const char *equals = strchr(*at, '=');
        snprintf(path, sizeof path, "%.*s", (int)(equals - *at), *at);
        if (option_values_set(values, path, slice_of_string(equals + 1), &err) < 0)
            die(err.message);
    }
    account.opened = account.provider->open(values, account.endpoint, &mistakes);
    return values;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void port_call(void *context, uint64_t id, const struct account_settings *of,
                      struct http_request *request)
{
    (void)context, (void)of;
    struct call *call = &calls[call_end++ % CALLS_MOST];
    if (call_end - call_first > CALLS_MOST)
        die("more calls than expected");
    call->id = id;
    call->due_ms = now.mono_ms + CALL_MS;
    buffer_clear(&call->body);
    scenario->answer(request, &call->body);
    http_request_release(request);
}

static void port_abandon(void *context, uint64_t id)
{
    (void)context, (void)id;
    die("a call was abandoned");
}

static void port_assign(void *context, const struct position *positions, size_t count)
{
    (void)context, (void)positions, (void)count;
}

static void port_unassign(void *context, const struct topic_partition *at, size_t count)
{
    (void)context, (void)at, (void)count;
}

static void port_pause(void *context, struct topic_partition at)
{
    (void)context, (void)at;
    die("a partition paused");
}

static void port_resume(void *context, struct topic_partition at)
{
    (void)context, (void)at;
}

static void port_read_positions(void *context, const struct topic_partition *at, size_t count)
{
    (void)context, (void)at, (void)count;
}

static void port_look_up_topic(void *context, const char *topic)
{
    (void)context;
    topics_asked[topic_count++] = topic;
}

static void port_commit(void *context, struct batch *out)
{
    (void)context;
    batch = out;
    commit_due_ms = now.mono_ms + COMMIT_MS;
}

static void port_recover(void *context)
{
    (void)context;
}

static void port_answered(void *context, const struct answered *of)
{
    (void)context;
    if (!of->result || of->result->outcome != OUTCOME_SUCCEEDED)
        die("a command did not succeed");
    answered++;
}

PRINTF_LIKE(4, 5)
static void port_log(void *context, enum log_level level, const char *event, const char *format,
                     ...)
{
    (void)context, (void)level, (void)event, (void)format;
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
                                   .log = port_log};

/* ---- time goes by ---------------------------------------------------------------------------- */

static void send_one(void)
{
    char key[32], task[128], value[512];
    long number = sent++, of_key = number % KEYS;
    int key_len = snprintf(key, sizeof key, "key-%04ld", of_key);
    int len;
    /* The task's text is the table's own. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(task, sizeof task, scenario->task, number);
#pragma GCC diagnostic pop
    len = snprintf(value, sizeof value,
                   "{\"id\":\"c-%07ld\",\"operation\":\"cancel\",\"provider\":\"%s\",\"account\":"
                   "\"acc\",\"task\":%s,\"context\":{\"order\":%ld}}",
                   number, scenario->name, task, number);
    struct record record = {.topic = "cmd",
                            .partition = (int32_t)(of_key % PARTITIONS),
                            .offset = number,
                            .timestamp_ms = now.wall_ms,
                            .key = slice_of(key, (size_t)key_len),
                            .value = slice_of(value, (size_t)len)};
    engine_record(engine, now, &record);
}

static void answer_calls(void)
{
    while (call_first < call_end && calls[call_first % CALLS_MOST].due_ms <= now.mono_ms) {
        struct call *call = &calls[call_first++ % CALLS_MOST];
        struct http_response response = {.result = HTTP_ANSWERED,
                                         .status = 200,
                                         .body = buffer_slice(&call->body),
                                         .content_type = slice_of_string("application/json")};
        engine_response(engine, now, call->id, &response);
    }
}

static void commit(void)
{
    if (!batch || commit_due_ms > now.mono_ms)
        return;
    struct batch *was = batch;
    published += (long)was->message_count;
    batch = NULL;
    engine_receipt(engine, now, was, RECEIPT_COMMITTED, NULL);
}

static void tell_facts(void)
{
    while (topic_count > 0) {
        struct topic_facts facts = {.topic = topics_asked[--topic_count],
                                    .exists = true,
                                    .writable = true,
                                    .partitions = PARTITIONS,
                                    .max_message_bytes = LIMIT_TOPIC_MESSAGE_BYTES};
        engine_topic_facts(engine, now, &facts);
    }
}

/* Until so many commands, all in all, are answered and their results committed. */
static void go_on(long count)
{
    int64_t until_ms = now.mono_ms + COUNT_MAX;
    while (answered < count || batch) {
        now.mono_ms++;
        now.wall_ms++;
        for (int i = 0; i < A_MS && sent < count; i++)
            send_one();
        answer_calls();
        commit();
        tell_facts();
        if (engine_deadline(engine) <= now.mono_ms)
            engine_tick(engine, now);
        if (now.mono_ms > until_ms)
            die("not all commands were answered");
    }
}

/* What callgrind counts. */
__attribute__((noinline)) void measured(long count);
void measured(long count)
{
    go_on(count);
}

static void assign(void)
{
    struct topic_partition at[PARTITIONS];
    struct position positions[PARTITIONS];
    for (int32_t i = 0; i < PARTITIONS; i++) {
        at[i] = (struct topic_partition){"cmd", i};
        positions[i] = (struct position){.at = at[i], .fresh = true, .end = OFFSET_NONE};
    }
    engine_assigned(engine, now, at, PARTITIONS);
    engine_positions(engine, now, positions, PARTITIONS, NULL);
    tell_facts(); /* records of partitions that are not assigned yet would be ignored */
}

static void run(long count)
{
    static const char *command_topics[] = {"cmd"};
    const struct engine_settings settings = {.group = "kancel",
                                             .command_topics = command_topics,
                                             .command_topic_count = 1,
                                             .results_topic = "results",
                                             .dead_letters_topic = "dead",
                                             .headers = envelope_headers_default,
                                             .ordering = ORDERING_KEY,
                                             .calls = 1000,
                                             .window = 1000,
                                             .drain_ms = 25000,
                                             .revoke_drain_ms = 2000,
                                             .max_age_ms = 24 * 3600 * 1000,
                                             .stuck_after_ms = 60000,
                                             .accounts = &account,
                                             .account_count = 1};
    struct error err;
    struct option_values *values = open_account();
    engine = engine_new(&settings, &ports, 1, &err);
    if (!engine)
        die(err.message);
    engine_recovered(engine, now, NULL);
    for (size_t i = 0; i < CALLS_MOST; i++)
        buffer_init(&calls[i].body, LIMIT_RESPONSE_BYTES);
    assign();
    go_on(WARM_UP);
    measured(WARM_UP + count);
    if (published != sent || answered != sent)
        die("not one result a command");
    engine_free(engine);
    for (size_t i = 0; i < CALLS_MOST; i++)
        buffer_release(&calls[i].body);
    account.provider->close(account.opened);
    option_values_free(values);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--build") == 0) {
        printf("gcc %d, %s, glibc %s, %s\n", __GNUC__, BUILD_TYPE, gnu_get_libc_version(),
               ARCHITECTURE);
        return 0;
    }
    for (size_t i = 0; argc == 3 && i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(argv[1], scenarios[i].name) == 0)
            scenario = &scenarios[i];
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (!scenario || count < 1 || count > COUNT_MAX) {
        fputs("usage: kancel-instructions enos|scnet|iotda|koodrive COUNT\n", stderr);
        return 2;
    }
    run(count);
    return 0;
}
