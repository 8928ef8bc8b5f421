#include "worker/core/state.h"

#include "common/banned.h"

/* Accounts do not poll at the same moments, nor do workers. */
enum { POLL_PHASES = 60 * 1000 };

void engine_fail(struct engine *engine, const char *why)
{
    if (engine->failed)
        return;
    engine->failed = why;
    LOG(engine, LOG_ERROR, "failed", "reason=\"%s\"", why);
}

/* Asks again for what could not be had: positions, and routes of decided jobs. */
static void retry_timer_fired(void *context, struct timer *timer)
{
    (void)timer;
    struct engine *engine = context;
    assignment_read_again(engine);
    decide_publish_all(engine);
}

static void init_account(struct engine *engine, struct account *account,
                         const struct account_settings *settings, struct account_metrics *metrics)
{
    *account = (struct account){.settings = settings, .metrics = metrics, .engine = engine};
    batcher_init(&account->batcher, engine->lanes.seed);
    account->poll_phase_ms = (int64_t)rng_below(&engine->rng, POLL_PHASES);
    admission_init(&account->admission, settings, 0);
    engine->shares_rates |= settings->limits.share_group;
    credentials_init(&account->credentials, settings->provider->needs_sign_in(settings->opened),
                     settings->provider->signs_calls(settings->opened));
    account->timer.fire = account_timer_fired;
    limits_note_gauges(account);
    HASH_ADD_KEYPTR(hh, engine->accounts_by_name, settings->name, strlen(settings->name), account);
}

struct engine *engine_new(const struct engine_settings *settings, const struct ports *ports,
                          uint64_t seed, struct error *err)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        goto no_memory;
    engine->settings = settings;
    engine->ports = ports;
    rng_init(&engine->rng, seed);
    timers_init(&engine->timers);
    struct hash_seed hash = {rng_next(&engine->rng), rng_next(&engine->rng)};
    lanes_init(&engine->lanes, hash);
    engine->leave_timer.fire = leave_timer_fired;
    engine->retry_timer.fire = retry_timer_fired;
    engine->committer.timer.fire = committer_timer_fired;
    engine->watchdog.timer.fire = watchdog_timer_fired;
    engine->timer_users = settings->account_count + 4;
    engine->accounts = calloc(settings->account_count + 1, sizeof *engine->accounts);
    engine->metrics.accounts =
        calloc(settings->account_count + 1, sizeof *engine->metrics.accounts);
    if (!engine->accounts || !engine->metrics.accounts ||
        timers_reserve(&engine->timers, engine->timer_users + 1) < 0)
        goto no_memory;
    for (size_t i = 0; i < settings->account_count; i++)
        init_account(engine, &engine->accounts[i], &settings->accounts[i],
                     &engine->metrics.accounts[i]);
    engine->routes = routes_new(settings, hash, err);
    if (!engine->routes) {
        engine_free(engine);
        return NULL;
    }
    return engine;
no_memory:
    engine_free(engine);
    error_set(err, ERROR_MEMORY, "out of memory");
    return NULL;
}

static void free_orphans(struct engine *engine)
{
    struct committer *committer = &engine->committer;
    for (size_t i = 0; i < committer->job_count; i++)
        if (!committer->jobs[i]->partition)
            job_free(engine, committer->jobs[i]);
        else
            committer->jobs[i]->in_batch = false;
    free(committer->jobs);
    committer->jobs = NULL;
    committer->job_count = 0;
}

static void abandon_nothing(void *context, uint64_t call_id)
{
    (void)context, (void)call_id;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    struct ports silent = {.abandon = abandon_nothing};
    engine->ports = &silent;
    free_orphans(engine);
    committer_free_progress(engine);
    assignment_free_all(engine);
    struct call *call, *next;
    HASH_ITER(hh, engine->calls, call, next)
    {
        call_free(engine, call);
    }
    for (size_t i = 0; engine->accounts && i < engine->settings->account_count; i++)
        credentials_release(&engine->accounts[i].credentials);
    routes_free(engine->routes);
    lanes_release(&engine->lanes);
    timers_release(&engine->timers);
    HASH_CLEAR(hh, engine->accounts_by_name);
    free(engine->accounts);
    free(engine->metrics.accounts);
    free(engine);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void enter(struct engine *engine, struct now now)
{
    if (now.mono_ms < engine->now.mono_ms)
        now.mono_ms = engine->now.mono_ms;
    if (!engine_is_hungry(engine))
        engine->sated_ms += now.mono_ms - engine->now.mono_ms;
    engine->now = now;
    watchdog_start(engine);
}

/* What every event may have made possible. */
static void leave(struct engine *engine)
{
    if (!engine->fenced && !engine->failed) {
        if (engine->partitions || engine->blocked)
            routes_outputs_ready(engine);
        assignment_run(engine);
        limits_share_rates(engine);
        work_pump(engine);
        committer_run(engine);
        intake_flow(engine);
    }
    engine->metrics.bytes_in_flight = engine->bytes;
}

void engine_record(struct engine *engine, struct now now, const struct record *record)
{
    enter(engine, now);
    struct partition *partition = assignment_find(engine, record->topic, record->partition);
    if (partition && partition->phase == PARTITION_OWNED && !engine->failed)
        intake_record(engine, partition, record);
    leave(engine);
}

void engine_response(struct engine *engine, struct now now, uint64_t call_id,
                     const struct http_response *response)
{
    struct call *call;
    enter(engine, now);
    HASH_FIND(hh, engine->calls, &call_id, sizeof call_id, call);
    if (call)
        work_response(engine, call, response);
    leave(engine);
}

void engine_assigned(struct engine *engine, struct now now,
                     const struct topic_partition *partitions, size_t count)
{
    enter(engine, now);
    assignment_add(engine, partitions, count);
    leave(engine);
}

void engine_revoked(struct engine *engine, struct now now, const struct topic_partition *partitions,
                    size_t count, bool lost)
{
    enter(engine, now);
    assignment_revoke(engine, partitions, count, lost);
    leave(engine);
}

void engine_positions(struct engine *engine, struct now now, const struct position *positions,
                      size_t count, const struct error *err)
{
    enter(engine, now);
    enum position_read read = engine->positions_out;
    engine->positions_out = READ_NOTHING;
    if (read == READ_ASSIGNED)
        assignment_positions(engine, positions, count, err);
    else if (read == READ_BACK && !err)
        committer_read_back(engine, positions, count);
    if (engine->committer.reading_back)
        committer_ask_back(engine);
    if (read != READ_ASSIGNED || !err)
        assignment_read_again(engine);
    leave(engine);
}

void engine_topic_facts(struct engine *engine, struct now now, const struct topic_facts *facts)
{
    enter(engine, now);
    routes_learn(engine, facts);
    decide_publish_all(engine);
    leave(engine);
}

void engine_receipt(struct engine *engine, struct now now, struct batch *batch,
                    enum receipt_kind kind, const struct error *err)
{
    enter(engine, now);
    committer_receipt(engine, batch, kind, err);
    leave(engine);
}

void engine_recovered(struct engine *engine, struct now now, const struct error *err)
{
    enter(engine, now);
    if (!err)
        committer_recovered(engine);
    else if (err->kind == ERROR_FENCED)
        engine->fenced = true;
    else
        LOG(engine, LOG_WARN, "producer_not_ready", "reason=\"%s\"", err->message);
    leave(engine);
}

void engine_consumer_facts(struct engine *engine, struct now now,
                           const struct consumer_facts *facts)
{
    enter(engine, now);
    watchdog_learn(engine, facts);
    leave(engine);
}

void engine_credentials_changed(struct engine *engine, struct now now, size_t account)
{
    enter(engine, now);
    sign_in_secrets_changed(engine, &engine->accounts[account]);
    leave(engine);
}

void engine_tick(struct engine *engine, struct now now)
{
    enter(engine, now);
    timers_fire(&engine->timers, now.mono_ms, engine);
    leave(engine);
}

int64_t engine_deadline(const struct engine *engine)
{
    return timers_next(&engine->timers);
}

bool engine_hold_account(struct engine *engine, struct now now, struct slice name, bool on)
{
    bool found = false;
    enter(engine, now);
    for (size_t i = 0; i < engine->settings->account_count; i++) {
        if (!slice_equals(name, engine->accounts[i].settings->name))
            continue;
        limits_hold(engine, &engine->accounts[i], on);
        found = true;
    }
    leave(engine);
    return found;
}

void engine_drain(struct engine *engine, struct now now)
{
    enter(engine, now);
    if (!engine->draining) {
        engine->draining = true;
        assignment_drain(engine);
    }
    leave(engine);
}

/* ---- state ----------------------------------------------------------------------------------- */

bool engine_drained(const struct engine *engine)
{
    if (!engine->draining)
        return false;
    for (const struct partition *p = engine->partitions; p; p = p->next)
        if (p->phase == PARTITION_OWNED || p->phase == PARTITION_LEAVING)
            return false;
    return true;
}

bool engine_drain_clean(const struct engine *engine)
{
    return !engine->drain_over;
}

enum engine_health engine_health(const struct engine *engine, const char **reason)
{
    *reason = NULL;
    if (engine->failed) {
        *reason = engine->failed;
        return ENGINE_FAILED;
    }
    if (engine->fenced) {
        *reason = "a twin with the same identity took over";
        return ENGINE_FENCED;
    }
    if (engine->draining) {
        *reason = "draining";
        return ENGINE_DRAINING;
    }
    if (engine->blocked) {
        *reason = engine->blocked;
        return ENGINE_BLOCKED;
    }
    if (engine->unfit > 0) {
        *reason = "a result does not fit the results topic's max.message.bytes";
        return ENGINE_STUCK;
    }
    if (engine->watchdog.words[0]) {
        *reason = engine->watchdog.words;
        return ENGINE_STUCK;
    }
    bool reading =
        engine->metrics.rebalances == 0 || engine->assign_owed || !engine->committer.ready;
    if (reading)
        *reason = !engine->committer.ready        ? "waiting for the producer"
                  : engine->watchdog.hindrance[0] ? engine->watchdog.hindrance
                                                  : "waiting for an assignment";
    return reading ? ENGINE_STARTING : ENGINE_READY;
}

bool engine_is_hungry(const struct engine *engine)
{
    return engine->busy_accounts < engine->settings->account_count;
}

const struct metrics *engine_metrics(const struct engine *engine)
{
    return &engine->metrics;
}
