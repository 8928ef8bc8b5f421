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

/* Positions outside a transaction are judged when they arrive, the others when they are sent. */
static bool comes_too_late(const struct sim_worker *worker, const struct sink_job *job)
{
    return worker->world->plan.at_least_once && is_stale(worker, job);
}

static enum delivery_error judge_message(struct world *world, const struct message *message)
{
    enum which_topic which = broker_topic(message->topic);
    if (which == TOPIC_COUNT)
        return DELIVERY_OK; /* a check says what it thinks of it */
    const struct sim_topic *topic = &world->topics[which];
    if (topic->gone) {
        world->fired[FAULT_REPLY_GONE]++;
        return DELIVERY_NO_TOPIC;
    }
    if (topic->refuses != DELIVERY_OK)
        return topic->refuses;
    if (message_wire_bytes(message->key.len, message->value.len, message->headers,
                           message->header_count) <= topic->limit)
        return DELIVERY_OK;
    world->fired[FAULT_OVER_LIMIT]++;
    return DELIVERY_TOO_LARGE;
}

static bool deliverable(struct world *world, struct batch *batch)
{
    bool good = true;
    for (size_t i = 0; i < batch->message_count; i++) {
        batch->message_errors[i] = judge_message(world, batch->messages[i]);
        good &= batch->message_errors[i] == DELIVERY_OK;
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

static enum fault fate_of(struct sim_worker *worker, const struct sink_job *job)
{
    struct world *world = worker->world;
    if (worker->usurped) {
        world->fired[FAULT_FENCED]++;
        return FAULT_FENCED;
    }
    if (job->timed_out) {
        world->fired[FAULT_TRANSACTION_TIMEOUT]++;
        return FAULT_UNKNOWN_NOT;
    }
    if (comes_too_late(worker, job)) {
        world->fired[FAULT_STALE]++;
        return FAULT_STALE;
    }
    if (world_draws(world, FAULT_UNKNOWN_DONE))
        return FAULT_UNKNOWN_DONE;
    if (world_draws(world, FAULT_UNKNOWN_NOT))
        return FAULT_UNKNOWN_NOT;
    return world->plan.at_least_once && world_draws(world, FAULT_ABORT) ? FAULT_ABORT : FAULT_NONE;
}

static void end_transaction(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    if (!worker_is(world, event->number, event->life) || worker_sleeps(world, event, event->number))
        return;
    struct sink_job *job = worker->jobs;
    job->fault = fate_of(worker, job);
    if (job->fault == FAULT_NONE || job->fault == FAULT_UNKNOWN_DONE) {
        clear_pending(world, worker->life);
        if (!world->plan.at_least_once)
            check_messages(world, worker, job->batch);
        check_positions(world, job->batch);
    }
    job->open = false;
    int64_t most = job->fault == FAULT_NONE ? 5 : 5000;
    world_at(world, world_between(world, 0, most), give_receipt, worker->index, worker->life, NULL);
}

/* at_least_once: each message that its topic takes is there for good, whatever comes. */
static enum fault publish(struct sim_worker *worker, struct sink_job *job)
{
    struct world *world = worker->world;
    bool all = deliverable(world, job->batch);
    for (size_t i = 0; !all && i < job->batch->message_count; i++)
        if (job->batch->message_errors[i] != DELIVERY_OK)
            check_refused_message(world, job->batch->messages[i]);
    check_messages(world, worker, job->batch);
    return all ? FAULT_NONE : FAULT_REPLY_GONE;
}

/* What comes before the end of a transaction. */
static enum fault begin(struct sim_worker *worker, struct sink_job *job)
{
    struct world *world = worker->world;
    if (worker->usurped) {
        world->fired[FAULT_FENCED]++;
        return FAULT_FENCED;
    }
    if (is_stale(worker, job)) {
        world->fired[FAULT_STALE]++;
        return FAULT_STALE;
    }
    if (!deliverable(world, job->batch))
        return FAULT_REPLY_GONE;
    return world_draws(world, FAULT_ABORT) ? FAULT_ABORT : FAULT_NONE;
}

static void run_commit(struct sim_worker *worker, struct sink_job *job)
{
    struct world *world = worker->world;
    bool once = !world->plan.at_least_once;
    job->fault = once ? begin(worker, job) : publish(worker, job);
    int64_t takes = world_between(world, 0, 15);
    if (job->fault != FAULT_NONE) {
        world_at(world, takes, give_receipt, worker->index, worker->life, NULL);
        return;
    }
    job->open = true;
    if (once)
        set_pending(world, job, worker->index, worker->life);
    world_at(world, takes, end_transaction, worker->index, worker->life, NULL);
    if (!worker->fenced && world_percent(world, 25) && world_draws(world, FAULT_PAUSE))
        group_pause(worker);
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
            worker->views[number].first = partition->start;
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
    enum which_topic which = broker_topic(job->topic);
    const struct sim_topic *topic = which < TOPIC_COUNT ? &world->topics[which] : NULL;
    bool commands = strcmp(job->topic, "cmd") == 0 || strcmp(job->topic, "more") == 0;
    int32_t partitions = ((int32_t)world->plan.partitions + (job->topic[0] == 'c')) / 2;
    struct topic_facts facts = {
        .topic = job->topic,
        .exists = topic ? !topic->gone : strcmp(job->topic, "reply.missing") != 0,
        .writable = !topic || topic->refuses != DELIVERY_FORBIDDEN,
        .partitions = commands ? partitions : 3,
        .max_message_bytes = topic ? topic->limit : LIMIT_TOPIC_MESSAGE_BYTES,
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
    if (world->plan.fixed && !world->plan.at_least_once)
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
    if (world->plan.at_least_once)
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
                   !worker->usurped && worker->asleep_until <= world->now &&
                   !comes_too_late(worker, job);
    if (can_end && world_percent(world, 30)) {
        clear_pending(world, worker->life); /* its last words were heard */
        if (!world->plan.at_least_once)
            check_messages(world, worker, job->batch);
        check_positions(world, job->batch);
    }
    while ((job = worker->jobs)) {
        worker->jobs = job->next;
        job_free(job);
    }
    worker->sink_busy = false;
    world_at(world, world_between(world, 500, 10000), timed_out, worker->index, worker->life, NULL);
}
