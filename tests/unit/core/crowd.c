/* Crowds: how many calls thousands of commands cost, and how much work the engine has with them.
 * The provider answers at once; a task is settled when the test says so. */
#include <time.h>

#include "tests/unit/unit.h"
#include "worker/core/engine.h"

#include "common/banned.h"

enum { CALLS_MOST = 4096, BATCH = 100 };

static struct engine *engine;
static struct engine_settings settings;
static struct account_settings account;
static struct now now;
static uint64_t open_calls[CALLS_MOST];
static size_t open_count;
static size_t calls[OPERATION_COUNT], asks[OPERATION_COUNT];
static struct batch *batch;
static size_t answered;
static bool settled;

/* ---- the provider ---------------------------------------------------------------------------- */

struct crowd_task {
    struct task task;
    struct slice id;
    char text[32];
};

static void *open_account(const struct option_values *values, const char *endpoint,
                          struct mistakes *mistakes)
{
    (void)values, (void)endpoint, (void)mistakes;
    return NULL;
}

static void close_account(void *opened)
{
    (void)opened;
}

/* {"id": "7"} shares its calls with all others, {"alone": "7"} with nobody. */
static struct task *read_task(const void *opened, enum operation operation,
                              const struct json_value *json, struct error *err)
{
    (void)opened, (void)operation, (void)err;
    struct slice id = json_value_text(json_value_get(json, "id"));
    bool alone = !id.data;
    struct crowd_task *task = calloc(1, sizeof *task);
    if (alone)
        id = json_value_text(json_value_get(json, "alone"));
    memcpy(task->text, id.data, id.len);
    task->id = slice_of(task->text, id.len);
    task->task =
        (struct task){.ids = &task->id, .count = 1, .share = alone ? task->id : slice_of("", 0)};
    return &task->task;
}

static void free_task(struct task *task)
{
    free(task);
}

static size_t most_asks(const void *opened, enum operation operation, const struct task *task,
                        size_t most)
{
    (void)opened, (void)operation;
    return task->share.len > 0 ? 1 : most;
}

static int make_request(const void *opened, const struct call_purpose *purpose,
                        const struct credential *credential, int64_t wall_ms,
                        struct http_request *request, struct error *err)
{
    (void)opened, (void)credential, (void)wall_ms, (void)err;
    buffer_append_string(&request->url, "x");
    calls[purpose->operation]++;
    asks[purpose->operation] += purpose->count;
    return 0;
}

static void read_response(const void *opened, const struct call_purpose *purpose,
                          const struct credential *credential, const struct http_response *response,
                          struct verdict *verdicts, struct next_page *next, struct slice *json)
{
    (void)opened, (void)credential, (void)response, (void)next, (void)json;
    struct verdict verdict = {.kind = VERDICT_DONE,
                              .state = settled ? STATE_CANCELLED : STATE_CANCELLING};
    verdict_fill(verdicts, purpose->count, &verdict);
}

static const struct option no_options[] = {{0}};
static const struct provider crowd = {.name = "crowd",
                                      .options = no_options,
                                      .open = open_account,
                                      .close = close_account,
                                      .task = read_task,
                                      .task_free = free_task,
                                      .most_asks = most_asks,
                                      .needs_sign_in = provider_none_needs_sign_in,
                                      .signs_calls = provider_none_signs_calls,
                                      .sign_in = provider_none_sign_in,
                                      .signed_in = provider_none_signed_in,
                                      .request = make_request,
                                      .response = read_response};

/* ---- ports ----------------------------------------------------------------------------------- */

static void port_call(void *context, uint64_t id, const struct account_settings *of,
                      struct http_request *request)
{
    (void)context, (void)of;
    ck_assert_uint_lt(open_count, CALLS_MOST);
    open_calls[open_count++] = id;
    http_request_release(request);
}

static void port_abandon(void *context, uint64_t id)
{
    (void)context, (void)id;
}

static void port_assign(void *context, const struct position *positions, size_t count)
{
    (void)context, (void)positions, (void)count;
}

static void port_unassign(void *context, const struct topic_partition *partitions, size_t count)
{
    (void)context, (void)partitions, (void)count;
}

static void port_flow(void *context, struct topic_partition at)
{
    (void)context, (void)at;
}

static void port_read_positions(void *context, const struct topic_partition *partitions,
                                size_t count)
{
    (void)context, (void)partitions, (void)count;
}

static void port_look_up_topic(void *context, const char *topic)
{
    (void)context, (void)topic;
}

static void port_commit(void *context, struct batch *out)
{
    (void)context;
    batch = out;
}

static void port_recover(void *context)
{
    (void)context;
}

static void port_answered(void *context, const struct answered *line)
{
    (void)context, (void)line;
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
                                   .pause = port_flow,
                                   .resume = port_flow,
                                   .read_positions = port_read_positions,
                                   .look_up_topic = port_look_up_topic,
                                   .commit = port_commit,
                                   .recover = port_recover,
                                   .answered = port_answered,
                                   .log = port_log};

/* ---- a worker and its commands --------------------------------------------------------------- */

static void commit_all(void)
{
    while (batch) {
        struct batch *out = batch;
        batch = NULL;
        engine_receipt(engine, now, out, RECEIPT_COMMITTED, NULL);
    }
}

static void tell_topic(const char *topic)
{
    struct topic_facts facts = {.topic = topic,
                                .exists = true,
                                .writable = true,
                                .partitions = 1,
                                .max_message_bytes = LIMIT_TOPIC_MESSAGE_BYTES};
    engine_topic_facts(engine, now, &facts);
}

static void begin(unsigned partitions, unsigned window, unsigned concurrency)
{
    struct topic_partition at[128];
    struct position positions[128];
    struct error err;
    now = (struct now){.mono_ms = 1000, .wall_ms = 1700000000000};
    open_count = answered = 0;
    settled = false;
    memset(calls, 0, sizeof calls);
    memset(asks, 0, sizeof asks);
    account = (struct account_settings){
        .name = "acc",
        .provider = &crowd,
        .endpoint = "http://x",
        .limits = {.concurrency = concurrency, .batch = BATCH, .timeout_ms = 10000},
        .retry = {.attempts = 4,
                  .backoff_low_ms = 200,
                  .backoff_high_ms = 30000,
                  .give_up_after_ms = 300000},
        .settle = {.poll_low_ms = 1000, .poll_high_ms = 30000, .limit_ms = 36000000},
        .allow = {.operations = 3}};
    settings = (struct engine_settings){.group = "g",
                                        .results_topic = "results",
                                        .dead_letters_topic = "dead",
                                        .headers = envelope_headers_default,
                                        .calls = 1000,
                                        .window = window,
                                        .bytes = (size_t)1024 * 1024 * 1024,
                                        .drain_ms = 25000,
                                        .revoke_drain_ms = 2000,
                                        .accounts = &account,
                                        .account_count = 1};
    engine = engine_new(&settings, &ports, 1, &err);
    engine_recovered(engine, now, NULL);
    for (unsigned i = 0; i < partitions; i++) {
        at[i] = (struct topic_partition){"cmd", (int32_t)i};
        positions[i] = (struct position){.at = at[i], .fresh = true, .end = OFFSET_NONE};
    }
    engine_assigned(engine, now, at, partitions);
    engine_positions(engine, now, positions, partitions, NULL);
    tell_topic("results");
    tell_topic("dead");
    commit_all();
}

static void end(void)
{
    engine_free(engine);
    batch_free(batch);
    batch = NULL;
}

static void say(unsigned partition, int64_t offset, const char *member, unsigned number,
                const char *until)
{
    char value[256], key[24];
    snprintf(value, sizeof value,
             "{\"id\":\"c\",\"operation\":\"cancel\",\"provider\":\"crowd\","
             "\"task\":{\"%s\":\"%u\"},\"until\":\"%s\"}",
             member, number, until);
    snprintf(key, sizeof key, "k%u", number);
    struct record record = {.topic = "cmd",
                            .partition = (int32_t)partition,
                            .offset = offset,
                            .timestamp_ms = now.wall_ms,
                            .key = slice_of_string(key),
                            .value = slice_of_string(value)};
    engine_record(engine, now, &record);
}

static void answer_all(void)
{
    struct http_response response = {.result = HTTP_ANSWERED, .status = 200};
    while (open_count > 0)
        engine_response(engine, now, open_calls[--open_count], &response);
    commit_all();
}

/* Time goes by; every call is answered at once. */
static void pass(int64_t ms)
{
    int64_t until = now.mono_ms + ms;
    while (engine_deadline(engine) <= until) {
        int64_t step = engine_deadline(engine) - now.mono_ms;
        if (step > 0) {
            now.mono_ms += step;
            now.wall_ms += step;
        }
        engine_tick(engine, now);
        answer_all();
    }
    now.wall_ms += until - now.mono_ms;
    now.mono_ms = until;
}

static double cpu_s(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(ten_thousand_settling_commands_cost_no_more_calls_than_batches_allow)
{
    enum { PARTITIONS = 20, EACH = 500, COUNT = PARTITIONS * EACH };
    begin(PARTITIONS, 1000, 4);
    for (unsigned i = 0; i < COUNT; i++)
        say(i % PARTITIONS, i / PARTITIONS, "id", i, "settled");
    answer_all();
    ck_assert_uint_eq(asks[OPERATION_CANCEL], COUNT);
    /* The first four went alone, as nobody else was there. */
    ck_assert_uint_le(calls[OPERATION_CANCEL], COUNT / BATCH + 4);
    pass(600000);
    ck_assert_uint_eq(answered, 0);
    ck_assert_uint_ge(asks[OPERATION_STATUS], 20 * COUNT);
    ck_assert_uint_le(calls[OPERATION_STATUS], asks[OPERATION_STATUS] / BATCH + 100);
    settled = true;
    pass(60000);
    ck_assert_uint_eq(answered, COUNT);
    end();
}
END_TEST

START_TEST(few_settling_commands_that_came_at_different_times_are_polled_together)
{
    begin(1, 1000, 4);
    for (unsigned i = 0; i < 60; i++) {
        say(0, i, "id", i, "settled");
        answer_all();
        pass(977);
    }
    pass(120000);
    size_t before = calls[OPERATION_STATUS], asked = asks[OPERATION_STATUS];
    pass(300000);
    ck_assert_uint_ge(asks[OPERATION_STATUS] - asked, 60 * 10);
    /* Polls of every 15 to 30 s meet on a grid of 15 s. */
    ck_assert_uint_le(calls[OPERATION_STATUS] - before, 300 / 15 + 1);
    end();
}
END_TEST

/* CPU seconds that `count` commands for tasks that share nothing take, all waiting at first. */
static double pump(unsigned count)
{
    begin(16, 1000, 1);
    double from = cpu_s();
    for (unsigned i = 0; i < count; i++)
        say(i % 16, i / 16, "alone", i, "accepted");
    answer_all();
    pass(5000);
    double took = cpu_s() - from;
    ck_assert_uint_eq(answered, count);
    ck_assert_uint_eq(calls[OPERATION_CANCEL], count);
    end();
    return took;
}

START_TEST(waiting_tasks_that_share_nothing_do_not_slow_the_pump)
{
    double few = pump(1000), many = pump(16000);
    /* Sixteen times as many: about sixteen times as long, where a scan would take 256 times. */
    ck_assert_msg(many < 80 * (few + 0.002), "1000: %.3f s, 16000: %.3f s", few, many);
}
END_TEST

START_TEST(hundred_thousand_idle_settling_commands_cost_little)
{
    enum { PARTITIONS = 100, EACH = 1000, COUNT = PARTITIONS * EACH };
    begin(PARTITIONS, 1000, 4);
    for (unsigned i = 0; i < COUNT; i++)
        say(i % PARTITIONS, i / PARTITIONS, "id", i, "settled");
    answer_all();
    pass(120000);
    size_t asked = asks[OPERATION_STATUS];
    double from = cpu_s();
    for (int i = 0; i < 1000; i++)
        engine_tick(engine, now);
    double idle = cpu_s() - from;
    from = cpu_s();
    pass(60000);
    double took = cpu_s() - from;
    asked = asks[OPERATION_STATUS] - asked;
    ck_assert_uint_ge(asked, 2 * COUNT);
    /* A poll of one: a few microseconds; an event that concerns nobody: less than a scan of all. */
    ck_assert_msg(took / (double)asked < 100e-6, "%zu polls took %.3f s", asked, took);
    ck_assert_msg(idle / 1000 < 200e-6, "an idle event took %.6f s", idle / 1000);
    end();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("crowd");
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, ten_thousand_settling_commands_cost_no_more_calls_than_batches_allow);
    tcase_add_test(tests, few_settling_commands_that_came_at_different_times_are_polled_together);
    tcase_add_test(tests, waiting_tasks_that_share_nothing_do_not_slow_the_pump);
    tcase_add_test(tests, hundred_thousand_idle_settling_commands_cost_little);
    return unit_run("crowd", tests);
}
