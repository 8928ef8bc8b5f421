/* What every call is checked for when it leaves, and what its answer means for the record. */
#include "tests/simulation/world.h"

#include "common/banned.h"

static struct view *view_of(struct sim_worker *worker, const struct sim_command *command)
{
    return &worker->views[command->partition];
}

/* ---- limits of the account ----------------------------------------------------------------------
 */

/* A token bucket of its own: a tenth of a second's calls at once, at least one. */
static void check_rate(struct sim_worker *worker, enum which_account account)
{
    struct world *world = worker->world;
    double rate = (double)world->accounts[account].limits.rate_per_1000s / 1e6; /* a ms */
    double size = rate * 100 > 1 ? rate * 100 : 1;
    if (rate <= 0)
        return;
    worker->tokens[account] += rate * (double)(world->now - worker->refilled[account]);
    worker->refilled[account] = world->now;
    if (worker->tokens[account] > size)
        worker->tokens[account] = size;
    worker->tokens[account] -= 1;
    if (worker->tokens[account] < -1e-6)
        world_fail(world, "w%d calls %s faster than its rate", worker->index,
                   world->accounts[account].name);
}

static struct failing *failing_of(struct sim_worker *worker, const struct sim_call *call)
{
    return &worker->failing[call->account][call->cancel ? OPERATION_CANCEL : OPERATION_STATUS];
}

/* While nothing comes back, one probe an interval. */
static void check_breaker(struct sim_worker *worker, const struct sim_call *call)
{
    struct world *world = worker->world;
    struct failing *failing = failing_of(worker, call);
    if (!failing->open)
        return;
    if (world->now < failing->next_ms)
        world_fail(world, "w%d calls %s against its open breaker", worker->index,
                   world->accounts[call->account].name);
    failing->next_ms = world->now + world->accounts[call->account].breaker.probe_low_ms;
}

/* Only what failed beyond doubt counts, and only in a row, so that the breaker must have seen at
 * least as much. */
static void note_failing(struct sim_worker *worker, const struct sim_call *call)
{
    struct world *world = worker->world;
    const struct breaker_settings *settings = &world->accounts[call->account].breaker;
    struct failing *failing = failing_of(worker, call);
    failing->at[failing->count++ % ANSWERS_MOST] = world->now;
    failing->in_a_row++;
    if (call->result == HTTP_ANSWERED) {
        failing->in_a_row = 0;
        failing->open = false;
        return;
    }
    if (failing->open || settings->failures == 0)
        return;
    uint64_t recent = 0, all = 0;
    for (uint64_t i = 0; i < ANSWERS_MOST && i < failing->count; i++) {
        bool inside =
            failing->at[(failing->count - 1 - i) % ANSWERS_MOST] > world->now - settings->window_ms;
        all += inside;
        recent += inside && i < failing->in_a_row;
    }
    if (recent < settings->minimum || recent * 100 < all * settings->failures)
        return;
    failing->open = true;
    failing->next_ms = world->now; /* it may have opened earlier */
    world->fired[FAULT_BREAKER]++;
}

/* All workers together: each may have saved up a burst. Who was thrown out and does not know it
 * yet, is beyond anybody's knowledge. */
static void check_group_rate(const struct sim_worker *worker, enum which_account account)
{
    struct world *world = worker->world;
    double rate = (double)world->accounts[account].limits.rate_per_1000s / 1e6; /* a ms */
    double most = WORKERS_MOST * (rate * 100 > 1 ? rate * 100 : 1);
    if (!world->accounts[account].limits.share_group || worker->kicked)
        return;
    double *beyond = &world->group_calls[account];
    *beyond -= rate * (double)(world->now - world->group_calls_at[account]);
    world->group_calls_at[account] = world->now;
    *beyond = (*beyond > 0 ? *beyond : 0) + 1;
    world->fired[FAULT_SHARED_RATE] += world->plan.workers > 1;
    if (*beyond > most + 1e-6)
        world_fail(world, "the group calls %s faster than its rate", world->accounts[account].name);
}

static void check_limits(struct sim_worker *worker, const struct sim_call *call)
{
    struct world *world = worker->world;
    unsigned all = 0;
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        all += worker->calls_out[i];
    if (worker->calls_out[call->account] >= world->accounts[call->account].limits.concurrency)
        world_fail(world, "w%d exceeds the concurrency of %s", worker->index,
                   world->accounts[call->account].name);
    if (all >= world->settings.calls)
        world_fail(world, "w%d exceeds its calls in flight", worker->index);
    if (worker->stopped[call->account])
        world_fail(world, "w%d calls %s, which an operator holds", worker->index,
                   world->accounts[call->account].name);
    check_breaker(worker, call);
    if (world->now < worker->held_until[call->account])
        world_fail(world, "w%d calls %s before Retry-After is over", worker->index,
                   world->accounts[call->account].name);
    if (worker->rejected[0] && strcmp(call->token, worker->rejected) == 0)
        world_fail(world, "w%d uses a credential that was rejected", worker->index);
    check_rate(worker, call->account);
    check_group_rate(worker, call->account);
}

/* ---- order and fate -------------------------------------------------------------------------- */

/* Whose calls go one after another: those of a key, or of the partition; -1: of nobody else. */
static int lane_of(const struct world *world, const struct sim_command *command)
{
    if (world->settings.ordering == ORDERING_PARTITION)
        return 0;
    return world->settings.ordering == ORDERING_KEY ? command->key : -1;
}

static void check_order(struct sim_worker *worker, const struct sim_command *command)
{
    struct world *world = worker->world;
    struct view *view = view_of(worker, command);
    int lane = lane_of(world, command);
    if (lane < 0)
        return;
    struct sim_command *out = view->key_call[lane];
    if (out && out != command)
        world_fail(world, "w%d cancels for c%u while c%u of the same key is being called",
                   worker->index, command->index, out->index);
    if (command->offset < view->highest_cancel[lane])
        world_fail(world, "w%d cancels for c%u after a later command of its key", worker->index,
                   command->index);
    view->highest_cancel[lane] = command->offset;
    const struct sim_partition *partition = &world->partitions[command->partition];
    for (size_t i = partition->answered_below; i < partition->count; i++) {
        const struct sim_command *other = partition->log[i];
        if (other->offset >= command->offset)
            break;
        if (lane_of(world, other) == lane && other->calls_by == view->ownership &&
            other->calls_out > 0 && !other->settled)
            world_fail(world, "w%d cancels for c%u while c%u of its key has a call out",
                       worker->index, command->index, other->index);
    }
}

/* A cancel whose fate is open is never sent again before the status was asked; that goes for what
 * former owners sent too. What they send after their time is beyond anybody's knowledge. */
static void check_fate(struct sim_worker *worker, const struct sim_command *command,
                       const struct item *item)
{
    struct world *world = worker->world;
    const struct view *view = &worker->views[command->partition];
    bool zombie =
        item->sent_by != view->ownership && (item->by_zombie || item->sent_at >= view->read_at);
    if (item->fate == FATE_NEVER_SENT || item->fate == FATE_NOT_APPLIED || zombie)
        return;
    if (item->fate == FATE_OUT && item->sent_by == view->ownership)
        world_fail(world, "w%d cancels for c%u twice at a time", worker->index, command->index);
    bool looked_before =
        item->looked_clean || ((view->clean || worker->kicked) && item->looked_by != 0);
    if (item->looked_by != view->ownership && !looked_before)
        world_fail(world, "w%d cancels for c%u again without having asked the status",
                   worker->index, command->index);
}

/* The provider said that there is nothing to cancel (any more), or that it is being done. */
static void check_needed(struct sim_worker *worker, const struct sim_command *command,
                         const struct item *item)
{
    if (item->closed_by == view_of(worker, command)->ownership)
        world_fail(worker->world, "w%d cancels for c%u, which it knows to be needless",
                   worker->index, command->index);
}

/* Failed probes of an open breaker are no tries of the command that lent itself. */
static bool is_probe(const struct sim_worker *worker, enum which_account account)
{
    const struct metrics *metrics = engine_metrics(worker->engine);
    return metrics->accounts[account].breaker[OPERATION_CANCEL] != 0;
}

/* One try more where a credential may be renewed. */
static void check_tries(struct sim_worker *worker, const struct sim_command *command,
                        struct item *item)
{
    struct world *world = worker->world;
    const struct account_settings *account = &world->accounts[command->account];
    uint64_t ownership = view_of(worker, command)->ownership;
    if (item->acts_by != ownership)
        item->acts = 0;
    item->acts_by = ownership;
    if (is_probe(worker, command->account))
        return;
    if (item->acts++ >= account->retry.attempts + (command->account == ENOS))
        world_fail(world, "w%d cancels for c%u %u times", worker->index, command->index,
                   item->acts);
    if (item->acts == 2 && item->not_sent_at >= 0 && item->sent_by == ownership) {
        world->retries++;
        world->retries_soon += world->now - item->not_sent_at < account->retry.backoff_low_ms / 2;
    }
    item->not_sent_at = -1;
}

static void check_deadline(struct sim_worker *worker, const struct sim_command *command)
{
    if (worker_now(worker).wall_ms > command->expires_ms)
        world_fail(worker->world, "w%d cancels for c%u after its deadline", worker->index,
                   command->index);
}

static void check_cancel(struct sim_worker *worker, struct sim_call *call)
{
    struct world *world = worker->world;
    for (size_t i = 0; i < call->count; i++) {
        struct sim_command *command = call->items[i].command;
        struct item *item = &command->items[call->items[i].index];
        const struct view *view = view_of(worker, command);
        if (command->operation != OPERATION_CANCEL)
            world_fail(world, "w%d cancels for c%u, which asks for the status", worker->index,
                       command->index);
        if (command->answered && !worker->kicked && !world->plan.at_least_once)
            world_fail(world, "w%d cancels for c%u, which is answered", worker->index,
                       command->index);
        check_fate(worker, command, item);
        check_needed(worker, command, item);
        check_tries(worker, command, item);
        check_order(worker, command);
        check_deadline(worker, command);
        world->fired[FAULT_ZOMBIE_CALL] += worker->kicked;
        item->fate = FATE_OUT;
        item->sent_by = view->ownership;
        item->sent_at = world->now;
        item->by_zombie = worker->kicked;
        item->looked_by = 0;
        item->looked_clean = false;
        if (lane_of(world, command) >= 0)
            view_of(worker, command)->key_call[lane_of(world, command)] = command;
    }
}

/* A command with several items in a call is called once. */
static bool is_named_before(const struct sim_call *call, size_t item)
{
    for (size_t i = 0; i < item; i++)
        if (call->items[i].command == call->items[item].command)
            return true;
    return false;
}

void check_call(struct sim_worker *worker, struct sim_call *call)
{
    struct world *world = worker->world;
    if (!call->sign_in && !call->page)
        check_limits(worker, call);
    else if (call->sign_in && worker->sign_ins_out[call->account]++ > 0)
        world_fail(world, "w%d signs in to %s twice at a time", worker->index,
                   world->accounts[call->account].name);
    worker->calls_out[call->account]++;
    for (size_t i = 0; i < call->count; i++) {
        struct sim_command *command = call->items[i].command;
        struct view *view = view_of(worker, command);
        if (!view->owned)
            world_fail(world, "w%d calls for c%u after its partition was given back", worker->index,
                       command->index);
        call->items[i].ownership = view->ownership;
        if (world->accounts[call->account].allow.topics && command->partition % 2)
            world_fail(world, "w%d calls for c%u, which its account does not allow", worker->index,
                       command->index);
        if (command->calls_by > view->ownership)
            continue; /* a former owner's */
        if (command->calls_by != view->ownership) {
            command->calls_by = view->ownership;
            command->calls = command->calls_out = 0;
        }
        if (is_named_before(call, i))
            continue;
        world->fired[FAULT_SHARED_CALL] += command != call->items[0].command;
        command->calls_out++;
        command->calls += call->cancel == (command->operation == OPERATION_CANCEL);
    }
    if (call->cancel)
        check_cancel(worker, call);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void end_item(struct sim_worker *worker, struct sim_call *call, size_t at, enum fate fate)
{
    struct sim_command *command = call->items[at].command;
    struct item *item = &command->items[call->items[at].index];
    uint64_t ownership = call->items[at].ownership;
    if (call->items[at].lost)
        return;
    if (call->cancel && item->sent_by == ownership && item->fate == FATE_OUT)
        item->fate = fate;
    int lane = worker ? lane_of(worker->world, command) : -1;
    if (call->cancel && lane >= 0 && view_of(worker, command)->ownership == ownership &&
        view_of(worker, command)->key_call[lane] == command)
        view_of(worker, command)->key_call[lane] = NULL;
    if (!is_named_before(call, at) && command->calls_by == ownership && command->calls_out > 0)
        command->calls_out--;
}

static void end_call(struct sim_worker *worker, struct sim_call *call, enum fate fate)
{
    for (size_t i = 0; i < call->count; i++)
        end_item(worker, call, i, fate);
}

void check_answer(struct sim_worker *worker, struct sim_call *call)
{
    worker->calls_out[call->account]--;
    worker->sign_ins_out[call->account] -= call->sign_in;
    if (call->result == HTTP_ANSWERED && call->retry_after_s >= 0 && !call->sign_in) {
        int64_t until = worker->world->now + call->retry_after_s * 1000;
        if (until > worker->held_until[call->account])
            worker->held_until[call->account] = until;
    }
    bool answered = call->result == HTTP_ANSWERED;
    if (!call->sign_in)
        note_failing(worker, call);
    if (answered && call->rejects)
        memcpy(worker->rejected, call->token, sizeof worker->rejected);
    end_call(worker, call, call->not_applied ? FATE_NOT_APPLIED : FATE_OPEN);
    for (size_t i = 0; i < call->count; i++) {
        struct item *item = &call->items[i].command->items[call->items[i].index];
        uint64_t ownership = call->items[i].ownership;
        if (call->items[i].lost)
            continue;
        if (answered && call->reads && item->looked_by < ownership)
            item->looked_by = ownership;
        if (answered && ((call->reads && !call->open[i] && !call->listing) || call->accepts))
            item->closed_by = ownership;
        if (call->cancel && call->result == HTTP_NOT_SENT)
            item->not_sent_at = worker->world->now;
        if (answered && call->accepts && call->refused[i] && item->fate == FATE_OPEN &&
            item->sent_by == ownership)
            item->fate = FATE_NOT_APPLIED;
        else if (answered && call->accepts)
            item->accepted = true;
    }
}

void check_clean(struct sim_partition *partition)
{
    for (size_t i = partition->answered_below; i < partition->count; i++)
        for (size_t j = 0; j < partition->log[i]->item_count; j++)
            partition->log[i]->items[j].looked_clean |= partition->log[i]->items[j].looked_by != 0;
}

void check_call_lost(struct sim_call *call)
{
    end_call(NULL, call, FATE_OPEN);
}

void check_items_lost(struct sim_worker *worker, struct sim_call *call, int partition)
{
    for (size_t i = 0; i < call->count; i++)
        if (call->items[i].command->partition == partition)
            end_item(worker, call, i, FATE_OPEN);
    for (size_t i = 0; i < call->count; i++)
        call->items[i].lost |= call->items[i].command->partition == partition;
}

/* ---- intake ---------------------------------------------------------------------------------- */

void check_taken(struct sim_worker *worker, struct sim_command *command)
{
    struct view *view = view_of(worker, command);
    if (command->answered || worker->kicked || worker->draining)
        return;
    command->inside_by = view->ownership;
    if (view->inside++ >= worker->settings.window)
        world_fail(worker->world, "w%d takes more than its window of partition %d", worker->index,
                   command->partition);
}
