/* kancel worker: makes the parts, runs the loop, takes them apart in order. */
#include <inttypes.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/digest.h"
#include "worker/app/log.h"
#include "worker/app/metrics_text.h"
#include "worker/app/otlp.h"
#include "worker/app/state_json.h"
#include "worker/app/subcommands.h"
#include "worker/app/alarm.h"
#include "worker/app/worker_internal.h"
#include "worker/io/crash_point.h"
#include "common/version.h"

#include "common/banned.h"

enum {
    /* How often metrics are published and the sink is looked at. */
    PULSE_MS = 250,
    PARTITIONS_SHOWN = 500,
    /* With so many accounts more the metrics are made one pulse less often, to stay cheap. */
    ACCOUNTS_PER_PULSE = 50,
    /* The page's state is made anew every so many pulses: 1 s. */
    PULSES_PER_STATE = 4,
    /* Secrets in files are looked at every so many pulses: 5 s. */
    PULSES_PER_REFRESH = 20,
    /* A blocking Kafka call that is out for longer may never come back; copies take over. Each has
       a time-out of 10 s or less of its own, but send_offsets_to_transaction does not keep it where
       the group's coordinator was killed (seen: over 120 s). */
    SINK_HANGS_MS = 30 * 1000,
    /* /livez fails when the loop did not turn for so long. */
    STALL_MS = 10 * 1000,
    /* What leaving the group may take after the drain, so that a supervisor's patience is kept. */
    CLOSE_LIMIT_MS = 4 * 1000,
    /* A loop that did not turn for so long never will. */
    LOOP_HANGS_MS = 120 * 1000,
    /* How often it is said that spans are lost. */
    TELL_SPANS_EVERY_MS = 60 * 1000,
    /* Taking everything apart, at the very end. */
    LEAVE_MARGIN_MS = 3 * 1000,
    /* What the sink's running call may take once the loop has ended. */
    SINK_LAST_WAIT_MS = 2 * 1000,
    /* Blocks of so much are mapped by themselves and given back when they are free. */
    LARGE_BYTES = 128 * 1024,
};

/* The engine's call ids count up from 1. */
static const uint64_t SPANS_CALL = UINT64_MAX;

static const struct args_option options[] = {
    OPTION_CONFIG,
    {.name = NULL},
};

const struct args_command command_worker = {
    .name = "kancel worker",
    .usage = "[-c FILE]",
    .summary =
        "Takes commands from Kafka, does them at the providers, publishes one result for each. "
        "Run\n"
        "as many copies as you like: the consumer group shares the work out. SIGTERM or SIGINT\n"
        "drains and leaves; a second one leaves now. Nothing is lost either way.",
    .options = options,
    .more =
        "Exit codes: 0 drained, 1 fatal (the log says why), 2 bad configuration or usage, 3 left\n"
        "before the drain was done, 4 fenced by a twin with the same instance_id.",
};

struct now worker_now(void)
{
    return (struct now){.mono_ms = loop_mono_ms(), .wall_ms = loop_wall_ms()};
}

/* ---- leaving ---- */

void worker_leave(struct worker *worker, int code, const char *event, const char *reason)
{
    if (worker->phase == WORKER_LEAVING)
        return;
    worker->phase = WORKER_LEAVING;
    worker->code = code;
    buffer_clear(&worker->pairs);
    log_value(&worker->pairs, "reason", slice_of_string(reason));
    log_event(code == EXIT_DONE ? LOG_INFO : LOG_ERROR, event, "exit=%d%s", code,
              worker->pairs.data ? worker->pairs.data : "");
    loop_stop(worker->loop);
}

static void on_signal(void *context)
{
    struct worker *worker = context;
    const struct config *config = worker->config;
    if (worker->phase != WORKER_RUNNING)
        return;
    worker->phase = WORKER_DRAINING;
    /* From here on also where the loop does not turn any more. */
    alarm_leave_on_signal(EXIT_UNDRAINED, config->log_json);
    alarm_set(config->engine.drain_ms + CLOSE_LIMIT_MS + SINK_LAST_WAIT_MS + LEAVE_MARGIN_MS,
              EXIT_UNDRAINED, config->log_json);
    log_event(LOG_INFO, "draining", "budget_ms=%" PRId64, config->engine.drain_ms);
    engine_drain(worker->engine, worker_now());
    worker_follow(worker);
}

/* ---- following the engine ---- */

void worker_follow(struct worker *worker)
{
    if (worker->lines.len > 0)
        log_write(&worker->lines, worker_now().wall_ms);
    int64_t deadline = engine_deadline(worker->engine);
    const char *reason = NULL;
    enum engine_health health = engine_health(worker->engine, &reason);
    if (deadline != worker->engine_timer_ms) {
        worker->engine_timer_ms = deadline;
        loop_timer_set(worker->engine_timer, deadline);
    }
    if (health == ENGINE_FENCED)
        worker_leave(worker, EXIT_FENCED, "fenced", "a twin with the same instance_id took over");
    else if (health == ENGINE_FAILED)
        worker_leave(worker, EXIT_FATAL, "engine_failed", reason ? reason : "out of memory");
    else if (worker->phase == WORKER_DRAINING && engine_drained(worker->engine))
        loop_timer_set(worker->step_timer, loop_mono_ms());
    else if (engine_is_hungry(worker->engine))
        source_feed(worker->source);
}

static void on_engine_timer(void *context)
{
    struct worker *worker = context;
    worker->engine_timer_ms = INT64_MAX;
    engine_tick(worker->engine, worker_now());
    worker_follow(worker);
}

/* The engine is drained: the consumer may go. Not inside one of its own events. */
static void on_step(void *context)
{
    struct worker *worker = context;
    if (worker->phase != WORKER_DRAINING)
        return;
    worker->phase = WORKER_CLOSING;
    if (worker->otlp)
        otlp_flush(worker->otlp);
    worker->close_by_ms = loop_mono_ms() + CLOSE_LIMIT_MS;
    source_close(worker->source);
}

/* ---- the admin server ---- */

extern const struct slice page_html; /* page/index.html */

static int act(void *context, enum admin_verb verb, struct slice account)
{
    struct worker *worker = context;
    bool known = true;
    if (verb == ADMIN_DRAIN) {
        log_event(LOG_WARN, "admin_drain", "by=http");
        on_signal(worker);
        return 200;
    }
    known = engine_hold_account(worker->engine, worker_now(), account, verb == ADMIN_HOLD);
    if (known)
        log_event(LOG_WARN, verb == ADMIN_HOLD ? "admin_hold" : "admin_resume", "account=%.*s",
                  SLICE_ARG(account));
    worker_follow(worker);
    return known ? 200 : 404;
}

static int64_t end_of(void *context, const char *topic, int32_t partition)
{
    struct worker *worker = context;
    return source_end(worker->source, (struct topic_partition){topic, partition});
}

static void make_state(struct worker *worker, struct buffer *out, const char *health,
                       const char *reason)
{
    struct state_view view = {
        .settings = &worker->config->engine,
        .engine = worker->engine,
        .health = health,
        .reason = reason,
        .instance = worker->config->kafka.instance_id,
        .mono_ms = loop_mono_ms(),
        .wall_ms = loop_wall_ms(),
        .started_ms = worker->started_ms,
        .may_act = worker->config->admin_token != NULL,
        .end_of = end_of,
        .context = worker,
    };
    state_json(out, &view);
}

/* ---- the pulse ---- */

/* How old the oldest unanswered command is. */
static int64_t oldest_ms(const struct worker *worker)
{
    int64_t received_ms = engine_oldest_ms(worker->engine), now_ms = loop_mono_ms();
    return received_ms < now_ms ? now_ms - received_ms : 0;
}

static void make_metrics(struct worker *worker, struct buffer *out, bool ready)
{
    static struct ledger_view ledgers[PARTITIONS_SHOWN];
    struct metrics_view view = {
        .settings = &worker->config->engine,
        .metrics = engine_metrics(worker->engine),
        .ledgers = ledgers,
        .ledger_count = engine_ledgers(worker->engine, ledgers, PARTITIONS_SHOWN),
        .consumer = source_traffic(worker->source),
        .producer = sink_traffic(worker->sink),
        .ready = ready,
        .sink_busy_ms = sink_busy_ms(worker->sink),
        .oldest_ms = oldest_ms(worker),
        .log_lost = log_lost(),
        .started_ms = worker->started_ms,
    };
    metrics_process_read(&view);
    metrics_text(out, &view);
}

static void publish(struct worker *worker)
{
    static const char *const names[] = {"starting", "ready",  "blocked", "stuck",
                                        "draining", "fenced", "failed"};
    const char *reason = NULL;
    enum engine_health health = engine_health(worker->engine, &reason);
    size_t accounts = worker->config->engine.account_count;
    struct buffer text, state;
    struct admin_facts facts = {.metrics = NULL};
    if (!worker->admin)
        return;
    buffer_init(&text, METRICS_TEXT_BYTES);
    buffer_init(&state, STATE_JSON_BYTES);
    if (worker->pulses % (1 + accounts / ACCOUNTS_PER_PULSE) == 0) {
        make_metrics(worker, &text, health == ENGINE_READY);
        facts.metrics = &text;
    }
    if (worker->pulses % PULSES_PER_STATE == 0) {
        make_state(worker, &state, names[health], reason);
        facts.state = &state;
    }
    worker->was_ready |= health == ENGINE_READY;
    facts.started = worker->was_ready;
    if (health != ENGINE_READY)
        facts.not_ready = reason ? reason : names[health];
    if (worker->config->admin_token)
        facts.token = secret_slice(worker->config->admin_token);
    admin_publish(worker->admin, &facts);
    buffer_release(&text);
    buffer_release(&state);
}

static void log_file(struct worker *worker, const char *event, const char *path,
                     const struct error *err)
{
    buffer_clear(&worker->pairs);
    log_value(&worker->pairs, "file", slice_of_string(path));
    if (err)
        log_value(&worker->pairs, "error", slice_of_string(err->message));
    log_event(err ? LOG_WARN : LOG_INFO, event, "%s", worker->pairs.data);
}

static void on_tls_files(void *context, const char *path, const struct error *err)
{
    log_file(context, err ? "tls_files_not_usable" : "tls_files_read_again", path, err);
}

static void on_secret(void *context, const char *path, size_t account, const struct error *err)
{
    struct worker *worker = context;
    log_file(worker, err ? "secret_not_readable" : "secret_read_again", path, err);
    if (err != NULL || account >= worker->config->engine.account_count)
        return;
    engine_credentials_changed(worker->engine, worker_now(), account);
    worker_follow(worker);
}

static void on_pulse(void *context)
{
    struct worker *worker = context;
    int64_t now_ms = loop_mono_ms();
    loop_timer_set(worker->pulse_timer, now_ms + PULSE_MS);
    if (worker->phase == WORKER_RUNNING)
        alarm_set(LOOP_HANGS_MS, EXIT_FATAL, worker->config->log_json);
    publish(worker);
    if (worker->otlp)
        otlp_flush(worker->otlp);
    if (++worker->pulses % PULSES_PER_REFRESH == 0) {
        config_refresh(worker->config, on_secret, worker);
        http_refresh(worker->http, on_tls_files, worker);
    }
    if (sink_busy_ms(worker->sink) > CRASH_POINT_LIMIT(SINK_HANGS_MS)) {
        log_event(LOG_ERROR, "left",
                  "exit=%d reason=\"a Kafka call did not come back\" call=%s ms=%" PRId64,
                  EXIT_FATAL, sink_call(worker->sink), sink_busy_ms(worker->sink));
        _exit(EXIT_FATAL);
    }
    /* A group that waits for a dead member answers nobody: what counts is committed. */
    if (worker->phase == WORKER_CLOSING && now_ms > worker->close_by_ms)
        worker_leave(worker, engine_drain_clean(worker->engine) ? EXIT_DONE : EXIT_UNDRAINED,
                     "left", "the group did not let it go in time");
}

/* ---- tracing ---- */

static void send_spans(void *context, const struct account_settings *collector,
                       struct http_request *request)
{
    struct worker *worker = context;
    http_start(worker->http, SPANS_CALL, collector, request);
}

static int make_otlp(struct worker *worker, struct error *err)
{
    const struct config *config = worker->config;
    const struct otlp_settings settings = {.endpoint = config->tracing.endpoint,
                                           .service = config->tracing.service,
                                           .instance = config->kafka.instance_id,
                                           .group = config->kafka.group,
                                           .authorization = config->tracing.authorization,
                                           .send = send_spans,
                                           .context = worker};
    if (!config->tracing.endpoint)
        return 0;
    worker->otlp = otlp_new(&settings);
    return worker->otlp ? 0 : error_set(err, ERROR_MEMORY, "tracing: out of memory");
}

static void on_spans_sent(struct worker *worker, const struct http_response *response)
{
    int64_t now_ms = loop_mono_ms();
    if (otlp_answered(worker->otlp, response) || now_ms < worker->tell_spans_ms)
        return;
    worker->tell_spans_ms = now_ms + TELL_SPANS_EVERY_MS;
    buffer_clear(&worker->pairs);
    log_value(&worker->pairs, "problem", slice_of_string(response->problem));
    log_event(LOG_WARN, "spans_not_delivered", "http_status=%d dropped=%" PRIu64 "%s",
              response->status, otlp_dropped(worker->otlp), worker->pairs.data);
}

static void on_response(void *context, uint64_t call_id, const struct http_response *response)
{
    struct worker *worker = context;
    if (call_id == SPANS_CALL) {
        on_spans_sent(worker, response);
        return;
    }
    CRASH_POINT("called");
    engine_response(worker->engine, worker_now(), call_id, response);
    worker_follow(worker);
}

/* ---- start and end ---- */

/* Each call in flight is a socket; the usual soft limit of 1024 would end them early. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void on_kafka_log(enum log_level level, const char *event, const char *text)
{
    struct buffer pairs;
    if (!log_enabled(level))
        return;
    buffer_init(&pairs, LOG_LINE_BYTES * 8);
    log_value(&pairs, "text", slice_of_string(text));
    log_event(level, event, "%s", pairs.data ? pairs.data : "");
    buffer_release(&pairs);
}

static int make_timers(struct worker *worker, struct error *err)
{
    struct loop *loop = worker->loop;
    worker->engine_timer = loop_timer_new(loop, on_engine_timer, worker, err);
    if (!worker->engine_timer)
        return -1;
    worker->step_timer = loop_timer_new(loop, on_step, worker, err);
    if (!worker->step_timer)
        return -1;
    worker->pulse_timer = loop_timer_new(loop, on_pulse, worker, err);
    if (!worker->pulse_timer)
        return -1;
    worker->terminate = loop_signal_new(loop, SIGTERM, on_signal, worker, err);
    if (!worker->terminate)
        return -1;
    worker->interrupt = loop_signal_new(loop, SIGINT, on_signal, worker, err);
    return worker->interrupt ? 0 : -1;
}

static int make_parts(struct worker *worker, struct error *err)
{
    struct config *config = worker->config;
    uint64_t seed;
    digest_random(&seed, sizeof(seed));
    worker->loop = loop_new(err);
    if (!worker->loop || make_timers(worker, err) != 0)
        return -1;
    if (config->admin_listen) {
        const struct admin_settings settings = {.listen = config->admin_listen,
                                                .stall_ms = STALL_MS,
                                                .page = page_html,
                                                .act = act,
                                                .context = worker};
        worker->admin = admin_new(worker->loop, &settings, err);
        if (!worker->admin)
            return error_prefix(err, "admin.listen");
    }
    worker->http =
        http_new(worker->loop, config->engine.calls, config->proxy, on_response, worker, err);
    if (!worker->http || make_otlp(worker, err) != 0)
        return -1;
    http_deny(worker->http, config->denied, config->denied_count);
    worker->engine = engine_new(&config->engine, &worker->ports, seed, err);
    if (!worker->engine)
        return -1;
    worker->source = source_new(worker->loop, &config->kafka, &worker->source_events, err);
    if (!worker->source)
        return -1;
    worker->sink =
        sink_new(worker->loop, &config->kafka, worker->source, &worker->sink_events, err);
    return worker->sink ? 0 : -1;
}

/* What is NULL was never made. The order matters: nobody may be called by a part that outlives it.
 */
static void take_apart(struct worker *worker)
{
    if (worker->sink && !sink_free(worker->sink, SINK_LAST_WAIT_MS)) {
        log_event(LOG_WARN, "left", "reason=\"a Kafka call is still out\"");
        _exit(worker->code);
    }
    if (worker->source)
        source_free(worker->source);
    if (worker->http)
        http_free(worker->http);
    otlp_free(worker->otlp);
    admin_free(worker->admin);
    engine_free(worker->engine);
    if (worker->interrupt)
        loop_signal_free(worker->interrupt);
    if (worker->terminate)
        loop_signal_free(worker->terminate);
    if (worker->pulse_timer)
        loop_timer_free(worker->pulse_timer);
    if (worker->step_timer)
        loop_timer_free(worker->step_timer);
    if (worker->engine_timer)
        loop_timer_free(worker->engine_timer);
    if (worker->loop)
        loop_free(worker->loop);
    buffer_release(&worker->pairs);
    buffer_release(&worker->lines);
}

static void say_started(struct worker *worker)
{
    const struct config *config = worker->config;
    struct buffer *pairs = &worker->pairs;
    buffer_clear(pairs);
    log_value(pairs, "group", slice_of_string(config->kafka.group));
    log_value(pairs, "brokers", slice_of_string(config->kafka.bootstrap_servers));
    log_value(pairs, "results", slice_of_string(config->kafka.results));
    buffer_append_format(pairs, " accounts=%zu delivery=%s", config->engine.account_count,
                         config->engine.delivery == DELIVERY_EXACTLY_ONCE ? "exactly_once"
                                                                          : "at_least_once");
    if (worker->admin)
        buffer_append_format(pairs, " admin_port=%u", admin_port(worker->admin));
    log_event(LOG_INFO, "started", "version=%s pid=%d%s", KANCEL_VERSION, (int)getpid(),
              pairs->data ? pairs->data : "");
}

static int run(struct config *config)
{
    struct worker worker = {.config = config, .code = EXIT_FATAL, .engine_timer_ms = INT64_MAX};
    struct error err;
    log_setup(config->log_level, config->log_json);
    kafka_set_log(on_kafka_log);
    raise_file_limit();
    buffer_init(&worker.pairs, LOG_LINE_BYTES * 8);
    buffer_init(&worker.lines, (size_t)1024 * 1024);
    worker.started_ms = loop_wall_ms();
    worker_connect(&worker);
    if (make_parts(&worker, &err) != 0) {
        worker.code = err.kind == ERROR_INPUT ? EXIT_USAGE : EXIT_FATAL;
        log_value(&worker.pairs, "error", slice_of_string(err.message));
        log_event(LOG_ERROR, "start_failed", "exit=%d%s", worker.code,
                  worker.pairs.data ? worker.pairs.data : "");
    } else {
        say_started(&worker);
        on_pulse(&worker);
        worker_follow(&worker);
        loop_run(worker.loop);
    }
    /* A client that does not let go must not keep the process. */
    alarm_set(SINK_LAST_WAIT_MS + LEAVE_MARGIN_MS, worker.code, config->log_json);
    take_apart(&worker);
    alarm_stop();
    return worker.code;
}

/* The consumer's threads allocate what the loop frees, and a batch of a megabyte would stay in a
 * heap that glibc has learnt to grow for it: from one heap, with what is large outside of it, the
 * same memory serves records first and commands then. Before any thread begins: reading a
 * configuration already tries Kafka's clients. */
static void share_one_heap(void)
{
#ifdef M_ARENA_MAX
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
#endif
}

int run_worker(int argc, char **argv)
{
    struct args args;
    struct config *config;
    int code = subcommand_begin(&command_worker, argc, argv, &args);
    if (code >= 0)
        return code;
    share_one_heap();
    if (args.operand_count > 0) {
        fprintf(stderr, "kancel worker: unexpected '%s' (the file is named with -c)\n",
                args.operands[0]);
        args_release(&args);
        return EXIT_USAGE;
    }
    config = subcommand_config(&args, &code);
    if (config)
        code = run(config);
    config_free(config);
    args_release(&args);
    return code;
}
