/* The consumer group: who owns what, rebalances one step at a time, members that are thrown out,
 * crash, drain. */
#include "tests/simulation/world.h"

#include <stdlib.h>

#include "common/banned.h"

enum { OWNER_NONE = -1, OWNER_DEAD = -2, CHAOS_MS = 500, DRAIN_SLACK_MS = 200000 };

/* ---- steps ------------------------------------------------------------------------------------
 */

static bool takes_part(const struct sim_worker *worker)
{
    return worker->engine && worker->member && !worker->kicked && !worker->closing;
}

static bool sleeps(const struct sim_worker *worker)
{
    return worker->asleep_until > worker->world->now;
}

/* The worker that is to own it; OWNER_NONE, or OWNER_DEAD - place: it is kept for who comes back.
 */
static int target_of(const struct world *world, unsigned partition)
{
    int members[WORKERS_MOST];
    unsigned count = 0;
    for (int place = 0; place < PLACES_MOST; place++) {
        bool there = false;
        for (int i = place; i < WORKERS_MOST; i += PLACES_MOST) {
            if (!takes_part(&world->workers[i]))
                continue;
            members[count++] = i;
            there = true;
        }
        if (!there && world->kept[place])
            members[count++] = OWNER_DEAD - place;
    }
    return count ? members[partition % count] : OWNER_NONE;
}

static size_t owned_by(const struct sim_worker *worker, struct topic_partition *list, bool all)
{
    const struct world *world = worker->world;
    size_t count = 0;
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (worker->views[i].owned && (all || target_of(world, i) != worker->index))
            list[count++] = broker_name((int)i);
    return count;
}

static void revoke(struct sim_worker *worker, const struct topic_partition *list, size_t count,
                   bool lost)
{
    static const enum fault shapes[] = {FAULT_EAGER, FAULT_COOPERATIVE, FAULT_ONE_BY_ONE};
    worker->rebalance = REBALANCE_REVOKING;
    worker->told = lost;
    worker->generation++;
    if (count > 0 && !lost && !worker->closing)
        worker->world->fired[shapes[worker->world->plan.protocol]]++;
    for (size_t i = 0; i < count; i++)
        worker->views[broker_number(&list[i])].leaving = true;
    world_trace(worker->world, "w%d %s %zu from %d", worker->index, lost ? "lost" : "revoke", count,
                count ? broker_number(&list[0]) : -1);
    engine_revoked(worker->engine, worker_now(worker), list, count, lost);
    worker_after(worker);
}

static void assign(struct sim_worker *worker, bool also_nothing)
{
    struct world *world = worker->world;
    struct topic_partition list[PARTITIONS_MOST];
    size_t count = 0, most = world->plan.protocol == PROTOCOL_CONSUMER ? 1 : PARTITIONS_MOST;
    for (unsigned i = 0; i < world->plan.partitions && count < most; i++) {
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
        list[count++] = broker_name((int)i);
    }
    if (count == 0 && worker->joined && !also_nothing)
        return;
    worker->joined = true; /* the first time with whatever is left for it, nothing perhaps */
    worker->rebalance = REBALANCE_ASSIGNING;
    worker->generation++;
    world_trace(world, "w%d assigned %zu from %d", worker->index, count,
                count ? broker_number(&list[0]) : -1);
    engine_assigned(worker->engine, worker_now(worker), list, count);
    worker_after(worker);
}

static bool moves(const struct world *world, unsigned partition)
{
    int owner = world->partitions[partition].owner, target = target_of(world, partition);
    if (target < 0 || owner == target)
        return false;
    return owner == OWNER_NONE || (owner >= 0 && takes_part(&world->workers[owner]));
}

/* All is taken from everybody; once nobody has anything, all is given anew. */
static void step_eager(struct world *world)
{
    struct topic_partition list[PARTITIONS_MOST];
    bool waits = false;
    for (unsigned i = 0; i < world->plan.partitions; i++)
        world->rebalancing |= moves(world, i);
    for (int i = 0; i < WORKERS_MOST; i++)
        world->rebalancing |= takes_part(&world->workers[i]) && !world->workers[i].joined;
    for (int i = 0; i < WORKERS_MOST && world->rebalancing; i++) {
        struct sim_worker *worker = &world->workers[i];
        if (!takes_part(worker))
            continue;
        size_t count = owned_by(worker, list, true);
        waits |= worker->rebalance != REBALANCE_NONE || sleeps(worker) || count > 0;
        if (worker->rebalance == REBALANCE_NONE && !sleeps(worker) && count > 0)
            revoke(worker, list, count, false);
    }
    if (waits || !world->rebalancing)
        return;
    world->rebalancing = false;
    for (int i = 0; i < WORKERS_MOST; i++)
        if (takes_part(&world->workers[i]))
            assign(&world->workers[i], true);
}

/* Each gives what it is not to have any more, and takes what is free. */
static void step_incremental(struct world *world)
{
    struct topic_partition list[PARTITIONS_MOST];
    for (int i = 0; i < WORKERS_MOST; i++) {
        struct sim_worker *worker = &world->workers[i];
        if (!takes_part(worker) || worker->rebalance != REBALANCE_NONE || sleeps(worker))
            continue;
        size_t count = owned_by(worker, list, false);
        if (count > 1 && world->plan.protocol == PROTOCOL_CONSUMER)
            count = 1;
        if (count > 0)
            revoke(worker, list, count, false);
        else
            assign(worker, false);
    }
}

static void step(struct world *world, const struct event *event)
{
    (void)event;
    if (world->plan.protocol == PROTOCOL_EAGER)
        step_eager(world);
    else
        step_incremental(world);
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
        int number = broker_number(&positions[i].at);
        struct view *view = &worker->views[number];
        const struct sim_partition *partition = &world->partitions[number];
        int64_t expected = partition->committed == OFFSET_NONE ? view->first : partition->committed;
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
        bool owned = false;
        for (size_t i = 0; out && i < call->count; i++)
            owned |= worker->views[call->items[i].command->partition].owned;
        if (out && !owned)
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
        int number = broker_number(&partitions[i]);
        struct view *view = &worker->views[number];
        if (!view->owned || !view->leaving)
            world_fail(world, "w%d unassigns partition %d, which is not leaving", worker->index,
                       number);
        view->owned = view->delivering = view->paused = false;
        for (struct sim_call *call = world->calls; call; call = call->next)
            if (call->life == worker->life && !call->ended && !call->abandoned)
                check_items_lost(worker, call, number);
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

/* ---- lost, stopped, fenced ----------------------------------------------------------------------
 */

static void give_up_all(struct sim_worker *worker, int owner)
{
    struct world *world = worker->world;
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (world->partitions[i].owner == worker->index)
            world->partitions[i].owner = owner;
}

static void tell_lost(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    struct topic_partition list[PARTITIONS_MOST];
    if (!worker_is(world, event->number, event->life) || worker->closing || worker->fenced)
        return;
    if (sleeps(worker)) { /* it notices some time after it goes on */
        world_again(world, event,
                    worker->asleep_until - world->now + world_between(world, 0, 3000));
        return;
    }
    if (worker->rebalance != REBALANCE_NONE) {
        world_again(world, event, 50);
        return;
    }
    revoke(worker, list, owned_by(worker, list, true), true);
}

static void lose(struct sim_worker *worker)
{
    struct world *world = worker->world;
    worker->kicked = true;
    world_trace(world, "w%d is thrown out of the group", worker->index);
    give_up_all(worker, OWNER_NONE);
    group_changed(world);
    world_at(world, world_between(world, 0, world_percent(world, 50) ? 20 : 3000), tell_lost,
             worker->index, worker->life, NULL);
}

static void session_missed(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    if (!worker_is(world, event->number, event->life) || !sleeps(worker) || !takes_part(worker))
        return;
    world->fired[FAULT_ZOMBIE]++;
    lose(worker);
}

static void woken(struct world *world, const struct event *event)
{
    world_trace(world, "w%d goes on", event->number);
    group_changed(world);
}

void group_pause(struct sim_worker *worker)
{
    struct world *world = worker->world;
    int64_t ms = world_percent(world, 40) ? world_between(world, 100, 5000)
                                          : world_between(world, 5000, 40000);
    world_trace(world, "w%d is stopped for %lld ms", worker->index, (long long)ms);
    worker->asleep_until = world->now + ms;
    worker->drain_until += ms;
    sink_sleeps(worker);
    world_at(world, world_between(world, 3000, 10000), session_missed, worker->index, worker->life,
             NULL);
    world_at(world, ms, woken, worker->index, worker->life, NULL);
}

static void notice_twin(struct world *world, const struct event *event)
{
    if (worker_is(world, event->number, event->life))
        worker_end_fenced(&world->workers[event->number]);
}

/* A process with the same identity takes the place; the older one finds out by what it does, or
 * when its consumer is told. */
static void bring_twin(struct sim_worker *worker)
{
    struct world *world = worker->world;
    struct sim_worker *twin = &world->workers[(worker->index + PLACES_MOST) % WORKERS_MOST];
    if (twin->engine)
        return;
    worker->fenced = worker->kicked = true;
    give_up_all(worker, OWNER_NONE);
    world_at(world, world_between(world, 0, 5000), notice_twin, worker->index, worker->life, NULL);
    worker_start(twin);
}

/* ---- crash and drain --------------------------------------------------------------------------
 */

static void restart(struct world *world, const struct event *event)
{
    int place = event->number % PLACES_MOST;
    struct sim_worker *worker = &world->workers[place];
    const struct sim_worker *twin = &world->workers[place + PLACES_MOST];
    if (world->ending || (worker->engine && !worker->fenced) || (twin->engine && !twin->fenced))
        return;
    if (!worker->engine && !twin->engine)
        worker_start(worker);
    else
        world_again(world, event, 1000); /* who was fenced is about to leave */
}

static void free_place(struct world *world, int place)
{
    world->kept[place] = 0;
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (world->partitions[i].owner == OWNER_DEAD - place)
            world->partitions[i].owner = OWNER_NONE;
    group_changed(world);
}

static void session_over(struct world *world, const struct event *event)
{
    if (!world->plan.fixed || world->kept[event->number] == event->life)
        free_place(world, event->number);
}

/* Its session goes on without it; a static member's place is kept as long. */
static void begin_absence(struct sim_worker *worker)
{
    struct world *world = worker->world;
    if (world->plan.fixed && !worker->kicked)
        world->kept[worker_place(worker)] = worker->life;
    world_at(world, world_between(world, 200, 6000), session_over, worker_place(worker),
             worker->life, NULL);
    world_at(world, world_between(world, 10, 15000), restart, worker->index, 0, NULL);
}

void group_joined(struct sim_worker *worker)
{
    if (worker->world->plan.fixed)
        free_place(worker->world, worker_place(worker));
}

static void crash(struct sim_worker *worker)
{
    struct world *world = worker->world;
    world_trace(world, "w%d crashes", worker->index);
    give_up_all(worker, OWNER_DEAD - worker_place(worker));
    begin_absence(worker);
    worker_stop(worker);
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
    if (!worker_is(world, event->number, event->life) || worker_sleeps(world, event, event->number))
        return;
    world_trace(world, "w%d leaves", worker->index);
    if (world->ending)
        check_idle(worker);
    else
        begin_absence(worker);
    worker_stop(worker);
    group_changed(world);
}

/* Closing the consumer takes its partitions once more. */
static void close_consumer(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number];
    struct topic_partition list[PARTITIONS_MOST];
    if (worker_is(world, event->number, event->life) && !worker_sleeps(world, event, event->number))
        revoke(worker, list, owned_by(worker, list, true), worker->kicked);
}

void group_watch(struct sim_worker *worker)
{
    struct world *world = worker->world;
    if (!worker->draining || worker->closing || worker->fenced)
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

static void topic_heals(struct world *world, const struct event *event)
{
    world->topics[event->number].refuses = DELIVERY_OK;
    world->topics[event->number].limit = LIMIT_TOPIC_MESSAGE_BYTES;
    if (event->number != TOPIC_VANISHING)
        world->topics[event->number].gone = false;
}

/* Every result fits 2 KiB and a bit: below that a topic is of no use. */
static void bother_topic(struct world *world, enum which_topic which)
{
    struct sim_topic *topic = &world->topics[which];
    if (topic->gone || topic->refuses != DELIVERY_OK || topic->limit < LIMIT_TOPIC_MESSAGE_BYTES)
        return;
    if ((which == TOPIC_RESULTS && world_draws(world, FAULT_RESULTS_GONE)) ||
        (which == TOPIC_DEAD && world_draws(world, FAULT_DEAD_GONE)))
        topic->gone = true;
    else if (world_draws(world, FAULT_REFUSED))
        topic->refuses = DELIVERY_REFUSED;
    else if (world_draws(world, FAULT_FORBIDDEN))
        topic->refuses = DELIVERY_FORBIDDEN;
    else if (world_draws(world, FAULT_LIMIT))
        topic->limit = (size_t)world_between(world, which == TOPIC_REPLY ? 300 : 2600, 5000);
    else
        return;
    world_at(world, world_between(world, 100, 20000), topic_heals, (int)which, 0, NULL);
}

static void let_go(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number % WORKERS_MOST];
    if (worker_is(world, worker->index, event->life) && !sleeps(worker))
        worker_hold(worker, (enum which_account)(event->number / WORKERS_MOST), false);
    else if (sleeps(worker))
        world_again(world, event, 1000);
}

static void hold_account(struct sim_worker *worker)
{
    struct world *world = worker->world;
    int account = (int)rng_below(&world->rng, ACCOUNT_COUNT);
    if (sleeps(worker) || worker->stopped[account])
        return;
    worker_hold(worker, (enum which_account)account, true);
    world_at(world, world_between(world, 100, 20000), let_go,
             account * WORKERS_MOST + worker->index, worker->life, NULL);
}

/* At most one thing at a time befalls a process. */
static void bother(struct sim_worker *worker)
{
    struct world *world = worker->world;
    if (world_draws(world, FAULT_CRASH))
        crash(worker);
    else if (sleeps(worker) || worker->fenced)
        return;
    else if (!worker->draining && world_draws(world, FAULT_DRAIN))
        drain(worker);
    else if (takes_part(worker) && world_draws(world, FAULT_LOST))
        lose(worker);
    else if (takes_part(worker) && world_draws(world, FAULT_TWIN))
        bring_twin(worker);
    else if (world_draws(world, FAULT_PAUSE))
        group_pause(worker);
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
        bother(worker);
        if (worker->engine && world_draws(world, FAULT_HOLD))
            hold_account(worker);
    }
    if (world_draws(world, FAULT_RETENTION))
        broker_retain(world);
    bother_topic(world, (enum which_topic)world_between(world, 0, TOPIC_COUNT - 1));
    if (world_percent(world, 2))
        world->topics[TOPIC_VANISHING].gone = !world->topics[TOPIC_VANISHING].gone;
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
        world_at(world, 1, restart, i, 0, NULL);
}

void group_drain_all(struct world *world)
{
    for (int i = 0; i < WORKERS_MOST; i++)
        if (world->workers[i].engine && !world->workers[i].draining)
            drain(&world->workers[i]);
}
