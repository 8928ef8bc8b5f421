#include "worker/app/state_json.h"

#include "common/json.h"
#include "common/timestamp.h"
#include "common/version.h"
#include "worker/app/log.h"

#include "common/banned.h"

enum { SLOWEST = 20, PARTITIONS = 500, WARNINGS = 20 };

static void string_member(struct buffer *out, const char *name, const char *text)
{
    json_write_string_member(out, name, slice_of_string(text));
}

static void unsigned_member(struct buffer *out, const char *name, uint64_t value)
{
    json_write_int_member(out, name, (int64_t)value);
}

static void bool_member(struct buffer *out, const char *name, bool value)
{
    json_write_member(out, name);
    buffer_append_string(out, value ? "true" : "false");
}

/* Between two values of a list. */
static void separate(struct buffer *out, size_t index)
{
    buffer_append_string(out, index ? ",{" : "{");
}

static void write_limits(struct buffer *out, const struct account_settings *settings,
                         const struct account_metrics *metrics)
{
    static const char *const breaker_states[] = {"closed", "open", "half-open"};
    uint64_t concurrency = 0;
    json_write_member(out, "breaker");
    buffer_append_byte(out, '{');
    for (enum operation operation = 0; operation < OPERATION_COUNT; operation++) {
        string_member(out, operation_name(operation), breaker_states[metrics->breaker[operation]]);
        concurrency += metrics->concurrency[operation];
    }
    buffer_append_byte(out, '}');
    unsigned_member(out, "concurrency",
                    concurrency < settings->limits.concurrency ? concurrency
                                                               : settings->limits.concurrency);
    unsigned_member(out, "throttledMs", metrics->throttled_ms);
    unsigned_member(out, "refusalsInARow", metrics->refusals_in_a_row);
    bool_member(out, "held", metrics->held != 0);
    bool_member(out, "dryRun", settings->dry_run);
}

static void write_account(struct buffer *out, const struct account_settings *settings,
                          const struct account_metrics *metrics)
{
    uint64_t commands = 0, failed_calls = 0, calls = 0, retries = 0;
    string_member(out, "name", settings->name);
    string_member(out, "provider", settings->provider->name);
    json_write_member(out, "outcomes");
    buffer_append_byte(out, '{');
    for (enum outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        uint64_t count = 0;
        for (enum operation operation = 0; operation < OPERATION_COUNT; operation++)
            count += metrics->results[operation][outcome];
        unsigned_member(out, outcome_name(outcome), count);
    }
    buffer_append_byte(out, '}');
    for (enum operation operation = 0; operation < OPERATION_COUNT; operation++) {
        commands += metrics->commands[operation];
        for (unsigned class = 0; class < METRIC_CODE_CLASSES; class ++) {
            calls += metrics->calls[operation][class];
            failed_calls += class == 2 ? 0 : metrics->calls[operation][class];
        }
    }
    for (enum failure reason = 0; reason < FAILURE_COUNT; reason++)
        retries += metrics->retries[reason];
    unsigned_member(out, "commands", commands);
    unsigned_member(out, "calls", calls);
    unsigned_member(out, "failedCalls", failed_calls);
    unsigned_member(out, "callsInFlight", metrics->calls_in_flight);
    unsigned_member(out, "waiting", metrics->waiting);
    unsigned_member(out, "retries", retries);
    write_limits(out, settings, metrics);
}

static void write_accounts(struct buffer *out, const struct state_view *view)
{
    const struct metrics *metrics = engine_metrics(view->engine);
    json_write_member(out, "accounts");
    buffer_append_byte(out, '[');
    for (size_t i = 0; i < view->settings->account_count; i++) {
        separate(out, i);
        write_account(out, &view->settings->accounts[i], &metrics->accounts[i]);
        buffer_append_byte(out, '}');
    }
    buffer_append_byte(out, ']');
}

static void write_partitions(struct buffer *out, const struct state_view *view)
{
    static struct ledger_view ledgers[PARTITIONS];
    size_t count = engine_ledgers(view->engine, ledgers, PARTITIONS);
    json_write_member(out, "partitions");
    buffer_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        const struct ledger_view *ledger = &ledgers[i];
        int64_t end = view->end_of(view->context, ledger->topic, ledger->partition);
        separate(out, i);
        string_member(out, "topic", ledger->topic);
        json_write_int_member(out, "partition", ledger->partition);
        json_write_int_member(out, "frontier", ledger->frontier);
        if (end >= ledger->frontier)
            json_write_int_member(out, "lag", end - ledger->frontier);
        unsigned_member(out, "waiting", ledger->waiting);
        bool_member(out, "paused", ledger->paused);
        if (ledger->waiting > 0)
            json_write_int_member(out, "stillMs", view->mono_ms - ledger->still_since_ms);
        if (ledger->reason != WAIT_REASONS)
            string_member(out, "stuck", wait_reason_name(ledger->reason));
        bool_member(out, "fault", ledger->reason != WAIT_REASONS && wait_is_fault(ledger->reason));
        buffer_append_byte(out, '}');
    }
    buffer_append_byte(out, ']');
}

static void write_slowest(struct buffer *out, const struct state_view *view)
{
    struct waiting list[SLOWEST];
    struct buffer words;
    size_t count = engine_slowest(view->engine, list, SLOWEST);
    buffer_init(&words, 1024);
    json_write_member(out, "slowest");
    buffer_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        const struct waiting *waiting = &list[i];
        separate(out, i);
        json_write_string_member(out, "id", waiting->id);
        string_member(out, "topic", waiting->topic);
        json_write_int_member(out, "partition", waiting->partition);
        json_write_int_member(out, "offset", waiting->offset);
        string_member(out, "account", waiting->account ? waiting->account : "");
        string_member(out, "reason", wait_reason_name(waiting->reason));
        bool_member(out, "fault", wait_is_fault(waiting->reason));
        buffer_clear(&words);
        waiting_words(view->engine, waiting, &words);
        json_write_string_member(out, "words", buffer_slice(&words));
        json_write_int_member(out, "ageMs", view->mono_ms - waiting->received_ms);
        buffer_append_byte(out, '}');
    }
    buffer_append_byte(out, ']');
    buffer_release(&words);
}

static void write_time(struct buffer *out, const char *name, int64_t wall_ms)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format(wall_ms, text);
    string_member(out, name, text);
}

static void write_warnings(struct buffer *out)
{
    struct log_recent list[WARNINGS];
    size_t count = log_recent(list, WARNINGS);
    json_write_member(out, "warnings");
    buffer_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        separate(out, i);
        write_time(out, "at", list[i].wall_ms);
        string_member(out, "level", log_level_name(list[i].level));
        string_member(out, "event", list[i].event);
        string_member(out, "text", list[i].pairs);
        buffer_append_byte(out, '}');
    }
    buffer_append_byte(out, ']');
}

void state_json(struct buffer *out, const struct state_view *view)
{
    const struct metrics *metrics = engine_metrics(view->engine);
    int64_t oldest_ms = engine_oldest_ms(view->engine);
    buffer_append_byte(out, '{');
    string_member(out, "version", KANCEL_VERSION);
    string_member(out, "group", view->settings->group);
    string_member(out, "instance", view->instance);
    string_member(out, "health", view->health);
    if (view->reason)
        string_member(out, "reason", view->reason);
    write_time(out, "startedAt", view->started_ms);
    write_time(out, "at", view->wall_ms);
    json_write_int_member(out, "monoMs", view->mono_ms);
    bool_member(out, "mayAct", view->may_act);
    unsigned_member(out, "records", metrics->records);
    unsigned_member(out, "inFlight", metrics->commands_in_flight);
    unsigned_member(out, "inFlightBytes", metrics->bytes_in_flight);
    unsigned_member(out, "transactions", metrics->transactions);
    unsigned_member(out, "aborts", metrics->aborts);
    unsigned_member(out, "deadLetters", metrics->dead_letters);
    unsigned_member(out, "paused", metrics->partitions_paused);
    unsigned_member(out, "callsMost", view->settings->calls);
    json_write_int_member(out, "oldestMs",
                          oldest_ms < view->mono_ms ? view->mono_ms - oldest_ms : 0);
    write_accounts(out, view);
    write_partitions(out, view);
    write_slowest(out, view);
    write_warnings(out);
    buffer_append_byte(out, '}');
}
