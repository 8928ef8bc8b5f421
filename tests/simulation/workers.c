/* One worker: its engine, its ports, its clock. */
#include "tests/simulation/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/banned.h"

struct now worker_now(struct sim_worker *worker)
{
    int64_t now = worker->world->now, wall_ms = WALL_BASE_MS + now + worker->skew_ms;
    if (wall_ms > worker->latest_wall_ms)
        worker->latest_wall_ms = wall_ms;
    return (struct now){now + worker->mono_ms, wall_ms};
}

bool worker_is(const struct world *world, int index, uint64_t life)
{
    const struct sim_worker *worker = &world->workers[index];
    return worker->engine && worker->life == life;
}

int worker_place(const struct sim_worker *worker)
{
    return worker->index % PLACES_MOST;
}

bool worker_sleeps(struct world *world, const struct event *event, int index)
{
    const struct sim_worker *worker = &world->workers[index];
    if (!worker_is(world, index, event->life) || worker->asleep_until <= world->now)
        return false;
    world_again(world, event, worker->asleep_until - world->now);
    return true;
}

/* ---- ports ------------------------------------------------------------------------------------
 */

static void port_call(void *context, uint64_t id, const struct account_settings *account,
                      struct http_request *request)
{
    calls_start(context, id, account, request);
}

static void port_abandon(void *context, uint64_t id)
{
    calls_abandon(context, id);
}

static void port_assign(void *context, const struct position *positions, size_t count)
{
    group_assigned(context, positions, count);
}

static void port_unassign(void *context, const struct topic_partition *partitions, size_t count)
{
    group_unassigned(context, partitions, count);
}

/* Why a partition is paused is nobody's business; that each reason occurs, is. */
static void note_pause(struct sim_worker *worker, const struct view *view)
{
    struct world *world = worker->world;
    size_t bytes = worker->settings.bytes;
    if (bytes > 0 && engine_metrics(worker->engine)->bytes_in_flight > bytes / 2)
        world->fired[FAULT_BYTES_FULL]++;
    else if (world->plan.wide && view->inside > 0 && view->inside < worker->settings.window / 2)
        world->fired[FAULT_MAP_FULL]++;
}

static void set_paused(struct sim_worker *worker, struct topic_partition at, bool paused)
{
    struct view *view = &worker->views[broker_number(&at)];
    if (!view->owned || view->paused == paused)
        world_fail(worker->world, "w%d %s partition %d, which is %s", worker->index,
                   paused ? "pauses" : "resumes", broker_number(&at),
                   view->owned ? "so already" : "not its own");
    world_trace(worker->world, "w%d %s %d", worker->index, paused ? "pause" : "resume",
                broker_number(&at));
    view->paused = paused;
    if (paused)
        note_pause(worker, view);
    if (!paused)
        broker_kick(worker, broker_number(&at));
}

static void port_pause(void *context, struct topic_partition at)
{
    set_paused(context, at, true);
}

static void port_resume(void *context, struct topic_partition at)
{
    set_paused(context, at, false);
}

static void port_read_positions(void *context, const struct topic_partition *partitions,
                                size_t count)
{
    struct sink_job *job = sink_job_new(SINK_READ);
    for (size_t i = 0; i < count; i++)
        job->partitions[job->partition_count++] = broker_number(&partitions[i]);
    sink_submit(context, job);
}

static void port_look_up_topic(void *context, const char *topic)
{
    struct sink_job *job = sink_job_new(SINK_LOOK_UP);
    snprintf(job->topic, sizeof job->topic, "%s", topic);
    sink_submit(context, job);
}

static void port_commit(void *context, struct batch *batch)
{
    struct sim_worker *worker = context;
    struct sink_job *job = sink_job_new(SINK_COMMIT);
    job->batch = batch;
    job->generation = worker->generation;
    for (struct sink_job *at = worker->jobs; at; at = at->next)
        if (at->kind == SINK_COMMIT || at->kind == SINK_RECOVER)
            world_fail(worker->world, "w%d begins a second transaction", worker->index);
    for (size_t i = 0; i < batch->position_count && worker->rebalance == REBALANCE_REVOKING; i++)
        if (worker->told && worker->views[broker_number(&batch->positions[i].at)].leaving)
            world_fail(worker->world, "w%d commits what it was told to have lost", worker->index);
    world_trace(worker->world, "w%d commit of %zu messages, %zu positions", worker->index,
                batch->message_count, batch->position_count);
    sink_submit(worker, job);
}

static void port_recover(void *context)
{
    sink_submit(context, sink_job_new(SINK_RECOVER));
}

static void port_answered(void *context, const struct answered *answered)
{
    struct sim_worker *worker = context;
    struct topic_partition at = {answered->command->topic, answered->command->partition};
    world_trace(worker->world, "w%d answered %d/%lld", worker->index, broker_number(&at),
                (long long)answered->command->offset);
}

PRINTF_LIKE(4, 5)
static void port_log(void *context, enum log_level level, const char *event, const char *format,
                     ...)
{
    struct sim_worker *worker = context;
    char text[256];
    va_list arguments;
    (void)level;
    if (!worker->world->trace)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("%9lld w%d log %s %s\n", (long long)worker->world->now, worker->index, event, text);
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

/* ---- timers -----------------------------------------------------------------------------------
 */

static void tick(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    if (!worker_is(world, event->number, event->life) || worker->tick_at != world->now)
        return;
    if (worker->asleep_until > world->now)
        worker->tick_at = worker->asleep_until;
    if (worker_sleeps(world, event, event->number))
        return;
    worker->tick_at = -1;
    engine_tick(worker->engine, worker_now(worker));
    worker_after(worker);
}

static void schedule_tick(struct sim_worker *worker)
{
    struct world *world = worker->world;
    int64_t deadline = engine_deadline(worker->engine);
    if (deadline == INT64_MAX)
        return;
    int64_t at = deadline - worker->mono_ms;
    if (worker->tick_at >= 0 && worker->tick_at <= at)
        return;
    if (at < world->now)
        at = world->now;
    if (world_draws(world, FAULT_STALL))
        at += world_between(world, 1, 100);
    if (worker->tick_at >= world->now && worker->tick_at <= at)
        return;
    worker->tick_at = at;
    world_at(world, at - world->now, tick, worker->index, worker->life, NULL);
}

void worker_hold(struct sim_worker *worker, enum which_account account, bool on)
{
    const char *name = worker->world->accounts[account].name;
    world_trace(worker->world, "w%d %s %s", worker->index, on ? "holds" : "lets go", name);
    if (!on)
        worker->stopped[account] = false;
    if (!engine_hold_account(worker->engine, worker_now(worker), slice_of_string(name), on))
        world_fail(worker->world, "no account %s", name);
    worker->stopped[account] = on;
    worker_after(worker);
}

/* Beyond the bytes that may be held nothing more is taken. */
static void check_bytes(struct sim_worker *worker)
{
    size_t most = worker->settings.bytes;
    if (most == 0 || worker->draining || engine_metrics(worker->engine)->bytes_in_flight <= most)
        return;
    for (unsigned i = 0; i < worker->world->plan.partitions; i++) {
        const struct view *view = &worker->views[i];
        if (view->owned && view->delivering && !view->leaving && !view->paused)
            world_fail(worker->world, "w%d holds %llu bytes and takes more of partition %u",
                       worker->index,
                       (unsigned long long)engine_metrics(worker->engine)->bytes_in_flight, i);
    }
}

void worker_after(struct sim_worker *worker)
{
    const char *reason;
    if (!worker->engine || worker->world->failed)
        return;
    enum engine_health health = engine_health(worker->engine, &reason);
    if (health == ENGINE_FENCED && worker->fenced)
        worker_end_fenced(worker);
    else if (health == ENGINE_FAILED || health == ENGINE_FENCED)
        world_fail(worker->world, "w%d gave up: %s", worker->index, reason);
    if (engine_metrics(worker->engine)->stuck_partitions[WAIT_NOTHING] > 0)
        world_fail(worker->world, "w%d holds a command for which nothing is under way",
                   worker->index);
    check_bytes(worker);
    schedule_tick(worker);
    group_watch(worker);
}

static void end_fenced(struct world *world, const struct event *event)
{
    if (!worker_is(world, event->number, event->life) || worker_sleeps(world, event, event->number))
        return;
    world_trace(world, "w%d leaves, fenced", event->number);
    worker_stop(&world->workers[event->number]);
}

void worker_end_fenced(struct sim_worker *worker)
{
    world_at(worker->world, 0, end_fenced, worker->index, worker->life, NULL);
}

/* ---- life -------------------------------------------------------------------------------------
 */

void worker_start(struct sim_worker *worker)
{
    struct world *world = worker->world;
    struct error err = {0};
    struct sim_worker fresh = {.world = world,
                               .index = worker->index,
                               .life = ++world->lives,
                               .member = true,
                               .tick_at = -1,
                               .skew_ms = world_between(world, -300, 300),
                               .mono_ms = world_between(world, 0, 1000000)};
    *worker = fresh;
    worker->ports = ports;
    worker->ports.context = worker;
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        worker->tokens[i] = 1e9;
        worker->refilled[i] = world->now;
    }
    worker->settings = world->settings;
    if (world->plan.windows_differ && !world->plan.wide)
        worker->settings.window = (unsigned)world_between(world, 1, 100);
    worker->engine = engine_new(&worker->settings, &worker->ports, rng_next(&world->rng), &err);
    if (!worker->engine) {
        world_fail(world, "engine: %s", err.message);
        return;
    }
    world_trace(world, "w%d starts", worker->index);
    group_joined(worker);
    sink_submit(worker, sink_job_new(SINK_RECOVER));
    worker_after(worker);
    group_changed(world);
}

void worker_stop(struct sim_worker *worker)
{
    sink_drop(worker);
    calls_forget_worker(worker);
    engine_free(worker->engine);
    worker->engine = NULL;
    worker->member = false;
}
