/* The consumer group: who owns what, rebalances one step at a time, members that are thrown out,
 * crash, drain. */
#include "tests/simulation/world.h"

#include <stdlib.h>

#include "common/banned.h"

enum { OWNER_NONE = -1, OWNER_DEAD = -2, CHAOS_MS = 500, DRAIN_SLACK_MS = 200000 };

/* ---- steps ------------------------------------------------------------------------------------
 */

static int target_of(const struct world *world, unsigned partition)
{
    int members[WORKERS_MOST];
    unsigned count = 0;
    for (int i = 0; i < WORKERS_MOST; i++) {
        const struct sim_worker *worker = &world->workers[i];
        if (worker->engine && worker->member && !worker->kicked && !worker->closing)
            members[count++] = i;
    }
    return count ? members[partition % count] : OWNER_NONE;
}

static size_t owned_by(const struct sim_worker *worker, struct topic_partition *list, bool all)
{
    const struct world *world = worker->world;
    size_t count = 0;
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (worker->views[i].owned && (all || target_of(world, i) != worker->index))
            list[count++] = (struct topic_partition){"cmd", (int32_t)i};
    return count;
}

static void revoke(struct sim_worker *worker, const struct topic_partition *list, size_t count,
                   bool lost)
{
    worker->rebalance = REBALANCE_REVOKING;
    worker->told = lost;
    worker->generation++;
    for (size_t i = 0; i < count; i++)
        worker->views[list[i].partition].leaving = true;
    world_trace(worker->world, "w%d %s %zu from %d", worker->index, lost ? "lost" : "revoke", count,
                count ? (int)list[0].partition : -1);
    engine_revoked(worker->engine, worker_now(worker), list, count, lost);
    worker_after(worker);
}

static void assign(struct sim_worker *worker)
{
    struct world *world = worker->world;
    struct topic_partition list[PARTITIONS_MOST];
    size_t count = 0;
    for (unsigned i = 0; i < world->plan.partitions; i++) {
        struct sim_partition *partition = &world->partitions[i];
        if (partition->owner != OWNER_NONE || target_of(world, i) != worker->index ||
            worker->views[i].owned)
            continue;
        partition->owner = worker->index;
        worker->views[i] = (struct view){.owned = true,
                                         .ownership = ++world->ownerships,
                                         .read_at = -1,
                                         .generation = worker->generation + 1};
        for (size_t k = 0; k < KEYS_MOST; k++)
            worker->views[i].highest_cancel[k] = -1;
        list[count++] = (struct topic_partition){"cmd", (int32_t)i};
    }
    if (count == 0 && worker->joined)
        return;
    worker->joined = true; /* the first time with whatever is left for it, nothing perhaps */
    worker->rebalance = REBALANCE_ASSIGNING;
    worker->generation++;
    world_trace(world, "w%d assigned %zu from %d", worker->index, count,
                count ? (int)list[0].partition : -1);
    engine_assigned(worker->engine, worker_now(worker), list, count);
    worker_after(worker);
}

static void step(struct world *world, const struct event *event)
{
    struct topic_partition list[PARTITIONS_MOST];
    (void)event;
    for (int i = 0; i < WORKERS_MOST; i++) {
        struct sim_worker *worker = &world->workers[i];
        if (!worker->engine || worker->kicked || worker->closing ||
            worker->rebalance != REBALANCE_NONE)
            continue;
        size_t count = owned_by(worker, list, false);
        if (count > 0)
            revoke(worker, list, count, false);
        else
            assign(worker);
    }
}

void group_changed(struct world *world)
{
    world_at(world, world_between(world, 0, 100), step, 0, 0, NULL);
}

/* ---- what the engine answers -------------------------------------------------------------------
 */

void group_assigned(struct sim_worker *worker, const struct position *positions, size_t count)
{
    struct world *world = worker->world;
    if (worker->rebalance != REBALANCE_ASSIGNING)
        world_fail(world, "w%d assigns without being asked", worker->index);
    worker->rebalance = REBALANCE_NONE;
    for (size_t i = 0; i < count; i++) {
        int number = positions[i].at.partition;
        struct view *view = &worker->views[number];
        const struct sim_partition *partition = &world->partitions[number];
        int64_t expected =
            partition->committed == OFFSET_NONE ? partition->start : partition->committed;
        if (!view->owned || view->delivering)
            world_fail(world, "w%d assigns partition %d, which is not to be", worker->index,
                       number);
        if (positions[i].offset != expected && !worker->kicked)
            world_fail(world, "w%d begins partition %d at %lld, committed is %lld", worker->index,
                       number, (long long)positions[i].offset, (long long)partition->committed);
        view->delivering = true;
        view->position = positions[i].offset;
        broker_kick(worker, number);
    }
    group_changed(world);
}

/* Once the event that gave partitions back is over, nothing of them is in flight. */
static void check_gone(struct world *world, const struct event *event)
{
    const struct sim_worker *worker = &world->workers[event->number];
    for (const struct sim_call *call = world->calls; call; call = call->next) {
        bool out = call->life == event->life && !call->ended && !call->abandoned && !call->sign_in;
        if (out && !worker->views[call->items[0].command->partition].owned)
            world_fail(world, "w%d gave a partition back with call %llu in flight", worker->index,
                       (unsigned long long)call->id);
    }
}

static void stop(struct world *world, const struct event *event);

void group_unassigned(struct sim_worker *worker, const struct topic_partition *partitions,
                      size_t count)
{
    struct world *world = worker->world;
    if (worker->rebalance != REBALANCE_REVOKING)
        world_fail(world, "w%d unassigns without being asked", worker->index);
    worker->rebalance = REBALANCE_NONE;
    for (size_t i = 0; i < count; i++) {
        int number = partitions[i].partition;
        struct view *view = &worker->views[number];
        if (!view->owned || !view->leaving)
            world_fail(world, "w%d unassigns partition %d, which is not leaving", worker->index,
                       number);
        view->owned = view->delivering = view->paused = false;
        if (world->partitions[number].owner == worker->index && !worker->kicked)
            world->partitions[number].owner = OWNER_NONE;
        world_trace(world, "w%d unassigns %d", worker->index, number);
    }
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (worker->views[i].owned && worker->views[i].leaving)
            world_fail(world, "w%d keeps partition %u, which was taken from it", worker->index, i);
    world_at(world, 0, check_gone, worker->index, worker->life, NULL);
    worker->kicked &= !worker->told;
    worker->generation++; /* it joins again */
    if (worker->closing)
        world_at(world, 0, stop, worker->index, worker->life, NULL);
    group_changed(world);
}

/* ---- lost -------------------------------------------------------------------------------------
 */

static void tell_lost(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    struct topic_partition list[PARTITIONS_MOST];
    if (!worker_is(world, event->number, event->life) || worker->closing)
        return;
    if (worker->rebalance != REBALANCE_NONE) {
        world_at(world, 50, tell_lost, event->number, event->life, NULL);
        return;
    }
    revoke(worker, list, owned_by(worker, list, true), true);
}

static void lose(struct sim_worker *worker)
{
    struct world *world = worker->world;
    worker->kicked = true;
    world_trace(world, "w%d is thrown out of the group", worker->index);
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (world->partitions[i].owner == worker->index)
            world->partitions[i].owner = OWNER_NONE;
    group_changed(world);
    world_at(world, world_between(world, 0, world_percent(world, 50) ? 20 : 3000), tell_lost,
             worker->index, worker->life, NULL);
}

/* ---- crash and drain --------------------------------------------------------------------------
 */

static void restart(struct world *world, const struct event *event)
{
    if (!world->workers[event->number].engine && !world->ending)
        worker_start(&world->workers[event->number]);
}

static void session_over(struct world *world, const struct event *event)
{
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (world->partitions[i].owner == OWNER_DEAD - event->number)
            world->partitions[i].owner = OWNER_NONE;
    group_changed(world);
}

static void crash(struct sim_worker *worker)
{
    struct world *world = worker->world;
    world_trace(world, "w%d crashes", worker->index);
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (world->partitions[i].owner == worker->index)
            world->partitions[i].owner = OWNER_DEAD - worker->index;
    worker_stop(worker);
    world_at(world, world_between(world, 200, 6000), session_over, worker->index, 0, NULL);
    world_at(world, world_between(world, 10, 15000), restart, worker->index, 0, NULL);
}

static void drain(struct sim_worker *worker)
{
    struct world *world = worker->world;
    world_trace(world, "w%d drains", worker->index);
    worker->draining = true;
    worker->drain_until = world->now + world->settings.drain_ms + DRAIN_SLACK_MS;
    engine_drain(worker->engine, worker_now(worker));
    worker_after(worker);
}

static void stop(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    if (!worker_is(world, event->number, event->life))
        return;
    world_trace(world, "w%d leaves", worker->index);
    if (world->ending)
        check_idle(worker);
    worker_stop(worker);
    group_changed(world);
    if (!world->ending)
        world_at(world, world_between(world, 10, 15000), restart, worker->index, 0, NULL);
}

/* Closing the consumer takes its partitions once more. */
static void close_consumer(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    struct topic_partition list[PARTITIONS_MOST];
    if (worker_is(world, event->number, event->life))
        revoke(worker, list, owned_by(worker, list, true), worker->kicked);
}

void group_watch(struct sim_worker *worker)
{
    struct world *world = worker->world;
    if (!worker->draining || worker->closing)
        return;
    if (engine_drained(worker->engine) && worker->rebalance == REBALANCE_NONE) {
        worker->closing = true;
        world_at(world, 0, close_consumer, worker->index, worker->life, NULL);
    }
    if (world->now > worker->drain_until)
        world_fail(world, "w%d does not end its drain", worker->index);
}

/* ---- chaos ------------------------------------------------------------------------------------
 */

static void results_back(struct world *world, const struct event *event)
{
    (void)event;
    world->results_gone = false;
}

static void chaos(struct world *world, const struct event *event)
{
    if (world->calm)
        return;
    for (int i = 0; i < WORKERS_MOST; i++) {
        struct sim_worker *worker = &world->workers[i];
        if (!worker->engine)
            continue;
        if (world_draws(world, FAULT_CLOCK))
            worker->skew_ms += world_between(world, -3000, 10000);
        if (world_draws(world, FAULT_CRASH))
            crash(worker);
        else if (!worker->draining && world_draws(world, FAULT_DRAIN))
            drain(worker);
        else if (!worker->kicked && !worker->closing && world_draws(world, FAULT_LOST))
            lose(worker);
    }
    if (!world->results_gone && world_draws(world, FAULT_RESULTS_GONE)) {
        world->results_gone = true;
        world_at(world, world_between(world, 100, 20000), results_back, 0, 0, NULL);
    }
    if (world_percent(world, 2))
        world->reply_gone = !world->reply_gone;
    world_at(world, CHAOS_MS, chaos, 0, event->life, NULL);
}

void group_begin(struct world *world)
{
    for (int i = 0; i < WORKERS_MOST; i++) {
        world->workers[i].world = world;
        world->workers[i].index = i;
        if (i < (int)world->plan.workers)
            world_at(world, world_between(world, 0, 3000), restart, i, 0, NULL);
    }
    world_at(world, CHAOS_MS, chaos, 0, 0, NULL);
}

void group_all_up(struct world *world)
{
    for (int i = 0; i < (int)world->plan.workers; i++)
        if (!world->workers[i].engine)
            world_at(world, 1, restart, i, 0, NULL);
}

void group_drain_all(struct world *world)
{
    for (int i = 0; i < (int)world->plan.workers; i++)
        if (world->workers[i].engine && !world->workers[i].draining)
            drain(&world->workers[i]);
}
