#include "tests/simulation/world.h"

#include "common/banned.h"

enum { NEVER_ENDS_MS = 40 * 60 * 1000 };

static void set_state(struct sim_task *task, int64_t at, enum task_state state)
{
    if (task->count < STATES_MOST) {
        task->since[task->count] = at;
        task->states[task->count++] = state;
    }
}

/* scnet tells of a running task only, and koodrive's words differ too: states the drivers can tell.
 */
static enum task_state an_end(struct world *world, enum which_account account)
{
    static const enum task_state ends[ACCOUNT_COUNT][3] = {
        [ENOS] = {STATE_SUCCEEDED, STATE_FAILED, STATE_EXPIRED},
        [SCNET] = {STATE_SUCCEEDED, STATE_FAILED, STATE_SUCCEEDED},
        [IOTDA] = {STATE_SUCCEEDED, STATE_FAILED, STATE_SUCCEEDED},
        [KOODRIVE] = {STATE_SUCCEEDED, STATE_FAILED, STATE_PARTIAL},
    };
    return ends[account][rng_below(&world->rng, 3)];
}

void task_begin(struct world *world, struct sim_task *task, enum which_account account)
{
    int64_t most = world->plan.task_ms;
    *task = (struct sim_task){.cancelled_at = INT64_MAX, .runs_at = INT64_MAX};
    task->missing = world_percent(world, world->plan.missing);
    task->end = an_end(world, account);
    task->finishes_anyway = world_percent(world, 5);
    if (world_percent(world, world->plan.ended)) {
        set_state(task, 0, world_percent(world, 20) ? STATE_CANCELLED : task->end);
        task->ends_at = INT64_MAX;
        return;
    }
    bool waits = account != SCNET && world_percent(world, 40);
    set_state(task, 0, waits ? STATE_WAITING : STATE_RUNNING);
    if (waits)
        task->runs_at = world_between(world, 0, world->plan.production_ms + most);
    task->ends_at = world_percent(world, 60)
                        ? NEVER_ENDS_MS + world_between(world, 0, 1000)
                        : world_between(world, 0, world->plan.production_ms + most);
}

bool task_is_open(enum task_state state)
{
    return state == STATE_WAITING || state == STATE_RUNNING;
}

enum task_state task_at(struct world *world, struct sim_task *task)
{
    if (task->states[task->count - 1] == STATE_WAITING && task->runs_at <= world->now)
        set_state(task, task->runs_at, STATE_RUNNING);
    enum task_state state = task->states[task->count - 1];
    if (state == STATE_CANCELLING && task->cancelled_at <= world->now)
        set_state(task, task->cancelled_at, task->finishes_anyway ? task->end : STATE_CANCELLED);
    else if (state == STATE_RUNNING && task->ends_at <= world->now)
        set_state(task,
                  task->ends_at > task->since[task->count - 1] ? task->ends_at
                                                               : task->since[task->count - 1],
                  task->end);
    return task->states[task->count - 1];
}

bool task_cancel(struct world *world, struct sim_task *task, enum which_account account)
{
    if (task->missing || !task_is_open(task_at(world, task)))
        return false;
    if (account == SCNET || account == KOODRIVE) {
        set_state(task, world->now, STATE_CANCELLED);
        return true;
    }
    set_state(task, world->now, STATE_CANCELLING);
    task->cancelled_at = world->now + world_between(world, 0, 5000);
    return true;
}

bool task_was(struct world *world, struct sim_task *task, unsigned set, int64_t from)
{
    task_at(world, task);
    for (unsigned i = 0; i < task->count; i++) {
        bool over = i + 1 < task->count && task->since[i + 1] < from;
        if (!over && set & 1u << task->states[i])
            return true;
    }
    return false;
}
