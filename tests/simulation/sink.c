/* The producer's thread of each worker: one job at a time, in order; transactions and their fates.
 */
#include "tests/simulation/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/banned.h"

enum { READ_PATIENCE_MS = 5000, READ_AGAIN_MS = 100 };

struct sink_job *sink_job_new(enum sink_kind kind)
{
    struct sink_job *job = calloc(1, sizeof *job);
    job->kind = kind;
    return job;
}

static void job_free(struct sink_job *job)
{
    batch_free(job->batch);
    free(job);
}

static event_fire run_job;

static void begin_next(struct sim_worker *worker)
{
    struct world *world = worker->world;
    if (worker->sink_busy || !worker->jobs)
        return;
    worker->sink_busy = true;
    int64_t most = world_draws(world, FAULT_HANG) ? 60000 : world_percent(world, 5) ? 1000 : 10;
    world_at(world, world_between(world, 0, most), run_job, worker->index, worker->life, NULL);
}

void sink_submit(struct sim_worker *worker, struct sink_job *job)
{
    if (worker->jobs)
        worker->last_job->next = job;
    else
        worker->jobs = job;
    worker->last_job = job;
    begin_next(worker);
}

/* The running job has ended; its event may submit others. */
static struct sink_job *take_job(struct sim_worker *worker)
{
    struct sink_job *job = worker->jobs;
    worker->jobs = job->next;
    worker->sink_busy = false;
    return job;
}

static void done(struct sim_worker *worker, struct sink_job *job)
{
    job_free(job);
    worker_after(worker);
    if (worker->engine)
        begin_next(worker);
}

/* ---- transactions -----------------------------------------------------------------------------
 */

static void set_pending(struct world *world, const struct sink_job *job, int worker, uint64_t life)
{
    for (size_t i = 0; i < job->batch->position_count; i++) {
        struct sim_partition *partition =
            &world->partitions[broker_number(&job->batch->positions[i].at)];
        partition->pending_worker = worker;
        partition->pending_life = life;
    }
}

static void clear_pending(struct world *world, uint64_t life)
{
    for (unsigned i = 0; i < world->plan.partitions; i++) {
        struct sim_partition *partition = &world->partitions[i];
        if (partition->pending_worker >= 0 && partition->pending_life == life)
            partition->pending_worker = -1;
    }
}

static bool is_stale(const struct sim_worker *worker, const struct sink_job *job)
{
    const struct world *world = worker->world;
    if (worker->kicked || !worker->member)
        return true;
    if (job->generation == worker->generation)
        return false;
    if (world->plan.protocol != PROTOCOL_CONSUMER)
        return true; /* any older generation is refused */
    for (size_t i = 0; i < job->batch->position_count; i++) {
        const struct view *view = &worker->views[broker_number(&job->batch->positions[i].at)];
        if (!view->owned || job->generation < view->generation)
            return true;
    }
    return false;
}

static bool deliverable(struct world *world, struct batch *batch)
{
    bool good = true;
    for (size_t i = 0; i < batch->message_count; i++) {
        const char *topic = batch->messages[i]->topic;
        bool vanished = (world->reply_gone && strcmp(topic, "reply.vanishing") == 0) ||
                        (world->results_gone && strcmp(topic, "results") == 0);
        if (vanished) {
            batch->message_errors[i] = DELIVERY_NO_TOPIC;
            world->fired[FAULT_REPLY_GONE]++;
            good = false;
        }
    }
    return good;
}

static void give_receipt(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    static const struct error problem = {ERROR_ABORT, "simulated"};
    if (!worker_is(world, event->number, event->life) || worker_sleeps(world, event, event->number))
        return;
    struct sink_job *job = take_job(worker);
    bool unknown = job->fault == FAULT_UNKNOWN_DONE || job->fault == FAULT_UNKNOWN_NOT;
    enum receipt_kind kind = unknown                      ? RECEIPT_UNKNOWN
                             : job->fault == FAULT_FENCED ? RECEIPT_FENCED
                             : job->fault == FAULT_NONE   ? RECEIPT_COMMITTED
                                                          : RECEIPT_ABORTED;
    world_trace(world, "w%d receipt %d (%s)", worker->index, (int)kind, fault_name(job->fault));
    struct batch *batch = job->batch;
    job->batch = NULL;
    engine_receipt(worker->engine, worker_now(worker), batch, kind,
                   kind == RECEIPT_COMMITTED ? NULL : &problem);
    done(worker, job);
}

static void end_transaction(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    if (!worker_is(world, event->number, event->life) || worker_sleeps(world, event, event->number))
        return;
    struct sink_job *job = worker->jobs;
    if (worker->usurped) {
        job->fault = FAULT_FENCED;
        world->fired[FAULT_FENCED]++;
    } else if (job->timed_out) {
        job->fault = FAULT_UNKNOWN_NOT;
        world->fired[FAULT_TRANSACTION_TIMEOUT]++;
    } else if (world_draws(world, FAULT_UNKNOWN_DONE))
        job->fault = FAULT_UNKNOWN_DONE;
    else if (world_draws(world, FAULT_UNKNOWN_NOT))
        job->fault = FAULT_UNKNOWN_NOT;
    if (job->fault != FAULT_UNKNOWN_NOT && job->fault != FAULT_FENCED) {
        clear_pending(world, worker->life);
        check_transaction(world, worker, job->batch);
    }
    job->open = false;
    int64_t most = job->fault == FAULT_NONE ? 5 : 5000;
    world_at(world, world_between(world, 0, most), give_receipt, worker->index, worker->life, NULL);
}

static void run_commit(struct sim_worker *worker, struct sink_job *job)
{
    struct world *world = worker->world;
    if (worker->fenced) {
        world->fired[FAULT_FENCED]++;
        job->fault = FAULT_FENCED;
    } else if (is_stale(worker, job)) {
        world->fired[FAULT_STALE]++;
        job->fault = FAULT_STALE;
    } else if (!deliverable(world, job->batch)) {
        job->fault = FAULT_REPLY_GONE;
    } else if (world_draws(world, FAULT_ABORT)) {
        job->fault = FAULT_ABORT;
    }
    int64_t takes = world_between(world, 0, 15);
    if (job->fault == FAULT_NONE) {
        job->open = true;
        set_pending(world, job, worker->index, worker->life);
        world_at(world, takes, end_transaction, worker->index, worker->life, NULL);
        if (!worker->fenced && world_percent(world, 25) && world_draws(world, FAULT_PAUSE))
            group_pause(worker);
        return;
    }
    world_at(world, takes, give_receipt, worker->index, worker->life, NULL);
}

/* ---- the other jobs ---------------------------------------------------------------------------
 */

static bool unstable(const struct world *world, const struct sink_job *job)
{
    for (size_t i = 0; i < job->partition_count; i++)
        if (world->partitions[job->partitions[i]].pending_worker >= 0)
            return true;
    return false;
}

static void run_read(struct sim_worker *worker, struct sink_job *job)
{
    struct world *world = worker->world;
    struct position positions[PARTITIONS_MOST];
    static const struct error problem = {ERROR_TEMPORARY, "simulated"};
    bool waits = unstable(world, job);
    if (waits && job->generation++ < READ_PATIENCE_MS / READ_AGAIN_MS) {
        world->fired[FAULT_READ_WAITED] += job->generation == 1;
        world_at(world, READ_AGAIN_MS, run_job, worker->index, worker->life, NULL);
        return;
    }
    bool fails = waits || world_draws(world, FAULT_READ_FAILS);
    take_job(worker);
    for (size_t i = 0; i < job->partition_count; i++) {
        int number = job->partitions[i];
        struct sim_partition *partition = &world->partitions[number];
        bool fresh = partition->committed == OFFSET_NONE;
        positions[i] = (struct position){.at = broker_name(number),
                                         .offset = fresh ? partition->start : partition->committed,
                                         .fresh = fresh,
                                         .end = world->plan.ends_unknown && world_percent(world, 40)
                                                    ? OFFSET_NONE
                                                    : partition->end,
                                         .metadata = slice_of_string(partition->metadata)};
        if (!fails && !worker->views[number].delivering) {
            worker->views[number].read_at = world->now;
            worker->views[number].clean = partition_is_said_clean(partition);
            if (worker->views[number].clean)
                check_clean(&world->partitions[number]);
        }
        world_trace(world, "w%d read %d: %lld %s", worker->index, number,
                    (long long)partition->committed, fails ? "failed" : "");
    }
    engine_positions(worker->engine, worker_now(worker), positions,
                     fails ? 0 : job->partition_count, fails ? &problem : NULL);
    done(worker, job);
}

static void run_look_up(struct sim_worker *worker, struct sink_job *job)
{
    struct world *world = worker->world;
    bool gone = (strcmp(job->topic, "reply.vanishing") == 0 && world->reply_gone) ||
                (strcmp(job->topic, "results") == 0 && world->results_gone);
    struct topic_facts facts = {.topic = job->topic,
                                .exists = !gone && strcmp(job->topic, "reply.missing") != 0,
                                .writable = true,
                                .partitions = 3,
                                .max_message_bytes = LIMIT_TOPIC_MESSAGE_BYTES,
                                .unavailable = world_draws(world, FAULT_LOOK_UP_FAILS)};
    take_job(worker);
    world_trace(world, "w%d facts of %s: %d %d", worker->index, job->topic, facts.exists,
                facts.unavailable);
    engine_topic_facts(worker->engine, worker_now(worker), &facts);
    done(worker, job);
}

/* A fixed transactional id: who had it before is fenced, what it had open is aborted. */
static void take_id(struct sim_worker *worker)
{
    struct world *world = worker->world;
    int place = worker_place(worker);
    for (int i = place; i < WORKERS_MOST; i += PLACES_MOST)
        if (i != worker->index && world->workers[i].engine)
            world->workers[i].usurped = true;
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (world->partitions[i].pending_worker >= 0 &&
            world->partitions[i].pending_worker % PLACES_MOST == place)
            world->partitions[i].pending_worker = -1;
}

static void run_recover(struct sim_worker *worker, struct sink_job *job)
{
    struct world *world = worker->world;
    static const struct error problem = {ERROR_TEMPORARY, "simulated"};
    static const struct error fenced = {ERROR_FENCED, "simulated"};
    if (worker->fenced) {
        take_job(worker);
        engine_recovered(worker->engine, worker_now(worker), &fenced);
        done(worker, job);
        return;
    }
    if (!job->open) { /* init_transactions takes its time and may fail at first */
        job->open = true;
        if (world_percent(world, 20))
            engine_recovered(worker->engine, worker_now(worker), &problem);
        world_at(world, world_between(world, 1, 2000), run_job, worker->index, worker->life, NULL);
        return;
    }
    clear_pending(world, worker->life);
    if (world->plan.fixed)
        take_id(worker);
    take_job(worker);
    world_trace(world, "w%d recovered", worker->index);
    engine_recovered(worker->engine, worker_now(worker), NULL);
    done(worker, job);
}

static void run_job(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    if (!worker_is(world, event->number, event->life) || worker_sleeps(world, event, event->number))
        return;
    struct sink_job *job = worker->jobs;
    switch (job->kind) {
    case SINK_COMMIT:
        run_commit(worker, job);
        break;
    case SINK_READ:
        run_read(worker, job);
        break;
    case SINK_LOOK_UP:
        run_look_up(worker, job);
        break;
    case SINK_RECOVER:
        run_recover(worker, job);
        break;
    }
}

/* ---- the end of a process ---------------------------------------------------------------------
 */

static void timed_out(struct world *world, const struct event *event)
{
    clear_pending(world, event->life);
}

static void coordinator_waits(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    struct sink_job *job = worker->jobs;
    if (!worker_is(world, event->number, event->life) || worker->asleep_until <= world->now ||
        !worker->sink_busy || !job->open || job->kind != SINK_COMMIT)
        return;
    clear_pending(world, worker->life);
    job->timed_out = true;
}

void sink_sleeps(struct sim_worker *worker)
{
    struct world *world = worker->world;
    world_at(world, world_between(world, 3000, 15000), coordinator_waits, worker->index,
             worker->life, NULL);
}

void sink_drop(struct sim_worker *worker)
{
    struct world *world = worker->world;
    struct sink_job *job = worker->jobs;
    bool can_end = worker->sink_busy && job->kind == SINK_COMMIT && job->open && !job->timed_out &&
                   !worker->usurped && worker->asleep_until <= world->now;
    if (can_end && world_percent(world, 30)) {
        clear_pending(world, worker->life); /* its last words were heard */
        check_transaction(world, worker, job->batch);
    }
    while ((job = worker->jobs)) {
        worker->jobs = job->next;
        job_free(job);
    }
    worker->sink_busy = false;
    world_at(world, world_between(world, 500, 10000), timed_out, worker->index, worker->life, NULL);
}
