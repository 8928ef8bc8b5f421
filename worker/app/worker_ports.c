/* The engine's ports on io, and io's events on the engine. */
#include <inttypes.h>

#include "worker/app/log.h"
#include "worker/app/subcommands.h"
#include "worker/app/otlp.h"
#include "worker/app/worker_internal.h"
#include "worker/io/crash_point.h"

#include "common/banned.h"

/* So many bytes of lines are written before their event is over. */
enum { LINES_BYTES = 32 * 1024 };

/* ---- engine -> io ---- */

static void port_call(void *context, uint64_t call_id, const struct account_settings *account,
                      struct http_request *request)
{
    http_start(((struct worker *)context)->http, call_id, account, request);
    CRASH_POINT("calling");
}

static void port_abandon(void *context, uint64_t call_id)
{
    http_abandon(((struct worker *)context)->http, call_id);
}

static void port_assign(void *context, const struct position *positions, size_t count)
{
    source_assign(((struct worker *)context)->source, positions, count);
}

static void port_unassign(void *context, const struct topic_partition *partitions, size_t count)
{
    source_unassign(((struct worker *)context)->source, partitions, count);
}

static void port_pause(void *context, struct topic_partition partition)
{
    source_pause(((struct worker *)context)->source, partition);
}

static void port_resume(void *context, struct topic_partition partition)
{
    source_resume(((struct worker *)context)->source, partition);
}

static void port_read_positions(void *context, const struct topic_partition *partitions,
                                size_t count)
{
    sink_read_positions(((struct worker *)context)->sink, partitions, count);
}

static void port_look_up_topic(void *context, const char *topic)
{
    sink_look_up_topic(((struct worker *)context)->sink, topic);
}

static void port_commit(void *context, struct batch *batch)
{
    sink_commit(((struct worker *)context)->sink, batch);
}

static void port_recover(void *context)
{
    sink_recover(((struct worker *)context)->sink);
}

static void port_log(void *context, enum log_level level, const char *event, const char *format,
                     ...) PRINTF_LIKE(4, 5);

static void port_log(void *context, enum log_level level, const char *event, const char *format,
                     ...)
{
    va_list arguments;
    (void)context;
    va_start(arguments, format);
    log_event_va(level, event, format, arguments);
    va_end(arguments);
}

static void add_pair(struct buffer *pairs, const char *name, struct slice value)
{
    if (value.len > 0)
        log_value(pairs, name, value);
}

static void add_number(struct buffer *pairs, const char *name, int64_t number)
{
    buffer_append_string(pairs, name);
    buffer_append_int(pairs, number);
}

static void add_place(struct buffer *pairs, const struct command *command)
{
    add_pair(pairs, "topic", slice_of_string(command->topic));
    add_number(pairs, " partition=", command->partition);
    add_number(pairs, " offset=", command->offset);
}

static void add_name(struct buffer *pairs, const char *name, const char *value)
{
    buffer_append_string(pairs, name);
    buffer_append_string(pairs, value);
}

static void add_result(struct buffer *pairs, const struct answered *answered, int64_t wall_ms)
{
    const struct result *result = answered->result;
    const struct command *command = answered->command;
    add_pair(pairs, "id", command->id);
    add_pair(pairs, "provider", command->provider);
    add_pair(pairs, "account", result->account.len > 0 ? result->account : command->account);
    add_pair(pairs, "operation", command->operation_text);
    add_name(pairs, " outcome=", outcome_name(result->outcome));
    if (result->outcome != OUTCOME_INVALID)
        add_name(pairs, " state=", task_state_name(result->state));
    if (result->error && result->error->kind != FAILURE_NONE) {
        add_name(pairs, " error=", failure_name(result->error->kind));
        add_pair(pairs, "code", slice_of_string(result->error->code));
        if (result->error->http_status > 0)
            add_number(pairs, " status=", result->error->http_status);
    }
    add_number(pairs, " attempts=", result->attempts);
    add_number(pairs, " ms=", wall_ms - result->received_ms);
}

static void port_span(void *context, const struct span *span)
{
    struct worker *worker = context;
    otlp_span(worker->otlp, span);
}

/* Written when the event is over, as the results of a transaction come all at once. */
static void port_answered(void *context, const struct answered *answered)
{
    struct worker *worker = context;
    struct buffer *pairs = &worker->pairs;
    if (!log_enabled(LOG_INFO))
        return;
    int64_t wall_ms = worker_now().wall_ms;
    buffer_clear(pairs);
    add_place(pairs, answered->command);
    if (answered->result)
        add_result(pairs, answered, wall_ms);
    if (answered->topic)
        add_pair(pairs, "to", slice_of_string(answered->topic));
    if (answered->dead_lettered)
        buffer_append_string(pairs, " dead_lettered=true");
    if (answered->reason)
        add_pair(pairs, "reason", slice_of_string(answered->reason));
    log_add(&worker->lines, wall_ms, LOG_INFO, answered->result ? "result" : "dead_letter",
            buffer_slice(pairs));
    if (worker->lines.len > LINES_BYTES)
        log_write(&worker->lines, wall_ms);
}

/* ---- source -> engine ---- */

static void on_record(void *context, const struct record *record)
{
    struct worker *worker = context;
    engine_record(worker->engine, worker_now(), record);
    worker_follow(worker);
}

static bool on_hungry(void *context)
{
    return engine_is_hungry(((struct worker *)context)->engine);
}

static void on_assigned(void *context, const struct topic_partition *partitions, size_t count)
{
    struct worker *worker = context;
    engine_assigned(worker->engine, worker_now(), partitions, count);
    worker_follow(worker);
}

static void on_revoked(void *context, const struct topic_partition *partitions, size_t count,
                       bool lost)
{
    struct worker *worker = context;
    engine_revoked(worker->engine, worker_now(), partitions, count, lost);
    worker_follow(worker);
}

static void on_facts(void *context, const struct consumer_facts *facts)
{
    struct worker *worker = context;
    engine_consumer_facts(worker->engine, worker_now(), facts);
    worker_follow(worker);
}

static void on_closed(void *context)
{
    struct worker *worker = context;
    if (worker->phase != WORKER_CLOSING)
        worker_leave(worker, EXIT_FATAL, "consumer_failed", "it closed by itself");
    else if (engine_drain_clean(worker->engine))
        worker_leave(worker, EXIT_DONE, "left", "drained");
    else
        worker_leave(worker, EXIT_UNDRAINED, "left", "the drain's budget was over");
}

static void on_problem(void *context, const struct error *err)
{
    struct worker *worker = context;
    if (err->kind == ERROR_FENCED) {
        worker_leave(worker, EXIT_FENCED, "fenced", err->message);
    } else if (err->kind == ERROR_FATAL) {
        worker_leave(worker, EXIT_FATAL, "kafka_failed", err->message);
    } else {
        buffer_clear(&worker->pairs);
        log_value(&worker->pairs, "error", slice_of_string(err->message));
        log_event(LOG_WARN, "kafka_problem", "%s", worker->pairs.data);
    }
}

/* ---- sink -> engine ---- */

static void on_positions(void *context, const struct position *positions, size_t count,
                         const struct error *err)
{
    struct worker *worker = context;
    engine_positions(worker->engine, worker_now(), positions, count, err);
    worker_follow(worker);
}

static void on_topic_facts(void *context, const struct topic_facts *facts)
{
    struct worker *worker = context;
    engine_topic_facts(worker->engine, worker_now(), facts);
    worker_follow(worker);
}

static void on_receipt(void *context, struct batch *batch, enum receipt_kind kind,
                       const struct error *err)
{
    struct worker *worker = context;
    /* The text lives in the caller's storage; the engine may not keep it. */
    if (kind == RECEIPT_FENCED)
        worker_leave(worker, EXIT_FENCED, "fenced",
                     err ? err->message : "a twin with the same instance_id took over");
    engine_receipt(worker->engine, worker_now(), batch, kind, err);
    worker_follow(worker);
}

static void on_recovered(void *context, const struct error *err)
{
    struct worker *worker = context;
    if (err && err->kind == ERROR_FENCED)
        worker_leave(worker, EXIT_FENCED, "fenced", err->message);
    engine_recovered(worker->engine, worker_now(), err);
    worker_follow(worker);
}

void worker_connect(struct worker *worker)
{
    worker->ports = (struct ports){
        .context = worker,
        .call = port_call,
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
        .log = port_log,
    };
    worker->source_events = (struct source_events){
        .context = worker,
        .record = on_record,
        .hungry = on_hungry,
        .assigned = on_assigned,
        .revoked = on_revoked,
        .facts = on_facts,
        .closed = on_closed,
        .problem = on_problem,
    };
    worker->sink_events = (struct sink_events){
        .context = worker,
        .positions = on_positions,
        .topic_facts = on_topic_facts,
        .receipt = on_receipt,
        .recovered = on_recovered,
        .problem = on_problem,
    };
}
