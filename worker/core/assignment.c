#include "worker/core/state.h"

#include "common/banned.h"

enum {
    READ_AGAIN_MS = 1000,
    /* After the time to drain is over the last commit gets so long. */
    LAST_COMMIT_MS = 5000,
};

static bool is_named(const struct partition *p, const char *topic, int32_t number)
{
    return p->number == number && strcmp(p->topic, topic) == 0;
}

struct partition *assignment_find(struct engine *engine, const char *topic, int32_t number)
{
    /* Behind the first of a name there may be a former assignment of it, which is owned no more. */
    struct partition *p = engine->found ? engine->found->next : NULL;
    if (p && p->phase == PARTITION_OWNED && is_named(p, topic, number))
        return engine->found = p;
    for (p = engine->partitions; p; p = p->next)
        if (is_named(p, topic, number))
            return engine->found = p;
    return NULL;
}

bool partition_is_quiet(const struct partition *partition)
{
    if (partition->calls_out > 0 || partition->queued > 0 || partition->in_batch > 0)
        return false;
    for (const struct job *job = partition->first; job && !partition->forced; job = job->next) {
        if (job->decided && !job->queued && lane_is_first(&job->result_lane))
            return false; /* where it goes is being asked */
        if (job->account && job->account->admission.stopped)
            continue; /* nothing will tell its cancels' fate: the next owner asks */
        for (const struct part *part = job->parts; part; part = part->next)
            if (part->mode == MODE_LOOK_UNKNOWN || part->mode == MODE_LOOK_AFTER ||
                part->mode == MODE_LOOK_REFUSED)
                return false;
    }
    return true;
}

bool partition_is_clean(const struct partition *partition)
{
    for (const struct job *job = partition->first; job; job = job->next) {
        if (job->in_batch)
            continue;
        /* Nobody is told what a look has shown of an earlier owner's cancel. */
        if (job->suspect && job->command.operation == OPERATION_CANCEL)
            return false;
        for (size_t i = 0; i < job->ask_count; i++)
            if (job->asks[i].maybe_sent || job->asks[i].taken)
                return false;
    }
    /* Suspects that have not come yet are the next owner's to ask about. */
    return ledger_is_past_suspects(&partition->ledger);
}

/* ---- coming ---------------------------------------------------------------------------------- */

void assignment_read_again(struct engine *engine)
{
    size_t count = 0;
    if (engine->positions_out != READ_NOTHING || engine->committer.reading_back)
        return;
    for (const struct partition *p = engine->partitions; p; p = p->next)
        count += p->phase == PARTITION_READING && !p->loaded;
    struct topic_partition *asked = calloc(count + 1, sizeof *asked);
    if (!asked) {
        engine_fail(engine, "no memory for an assignment");
        return;
    }
    count = 0;
    for (struct partition *p = engine->partitions; p; p = p->next) {
        p->asked = p->phase == PARTITION_READING && !p->loaded;
        if (p->asked)
            asked[count++] = (struct topic_partition){p->topic, p->number};
    }
    if (count > 0) {
        engine->positions_out = READ_ASSIGNED;
        engine->ports->read_positions(engine->ports->context, asked, count);
    }
    free(asked);
}

void assignment_add(struct engine *engine, const struct topic_partition *partitions, size_t count)
{
    engine->metrics.rebalances++;
    engine->assign_owed = true;
    for (size_t i = 0; i < count; i++) {
        struct partition *partition = calloc(1, sizeof *partition);
        if (!partition || !(partition->topic = slice_dup(slice_of_string(partitions[i].topic))) ||
            !(partition->taken_by =
                  calloc(engine->settings->account_count + 1, sizeof *partition->taken_by))) {
            free(partition ? partition->topic : NULL);
            free(partition);
            engine_fail(engine, "no memory for an assignment");
            return;
        }
        partition->number = partitions[i].partition;
        partition->watch.head = -1;
        partition->watch.reason = WAIT_REASONS;
        partition->watch.sated_ms = engine->sated_ms;
        partition->next = engine->partitions;
        engine->partitions = partition;
        engine->found = NULL;
        engine->metrics.partitions++;
    }
    assignment_read_again(engine);
}

static void load(struct engine *engine, struct partition *partition,
                 const struct position *position)
{
    enum ledger_origin origin;
    int64_t offset = position->offset == OFFSET_NONE ? 0 : position->offset;
    bool fresh = position->fresh || position->offset == OFFSET_NONE;
    if (ledger_load(&partition->ledger, offset, position->end, fresh, position->metadata,
                    engine->settings->window, &origin) < 0) {
        engine_fail(engine, "no memory for an assignment");
        return;
    }
    partition->loaded = true;
    if (origin != LEDGER_FOREIGN)
        return;
    engine->metrics.foreign_metadata++;
    LOG(engine, LOG_WARN, "foreign_metadata", "topic=%s partition=%d offset=%lld", partition->topic,
        (int)partition->number, (long long)offset);
}

void assignment_positions(struct engine *engine, const struct position *positions, size_t count,
                          const struct error *err)
{
    if (err) {
        LOG(engine, LOG_WARN, "positions_unreadable", "reason=\"%s\"", err->message);
        timers_set(&engine->timers, &engine->retry_timer, engine->now.mono_ms + READ_AGAIN_MS);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct partition *partition =
            assignment_find(engine, positions[i].at.topic, positions[i].at.partition);
        if (partition && partition->phase == PARTITION_READING && partition->asked &&
            !partition->loaded)
            load(engine, partition, &positions[i]);
    }
}

/* Tells the consumer where to begin, once all positions are read and the outputs are known to be
 * there. */
static void assign_if_ready(struct engine *engine)
{
    if (!engine->assign_owed)
        return;
    size_t count = 0;
    for (const struct partition *p = engine->partitions; p; p = p->next) {
        if (p->phase != PARTITION_READING)
            continue;
        count++;
        if (!p->loaded)
            return;
    }
    if (count > 0 && engine->blocked)
        return;
    struct position *positions = calloc(count + 1, sizeof *positions);
    if (!positions) {
        engine_fail(engine, "no memory for an assignment");
        return;
    }
    count = 0;
    for (struct partition *p = engine->partitions; p; p = p->next) {
        if (p->phase != PARTITION_READING)
            continue;
        p->phase = engine->draining ? PARTITION_LEAVING : PARTITION_OWNED;
        p->assigned = true;
        positions[count++] =
            (struct position){.at = {p->topic, p->number}, .offset = ledger_frontier(&p->ledger)};
    }
    engine->assign_owed = false;
    /* What comes when the time to drain is over goes at once: its commit gets no longer either. */
    if (engine->draining && count > 0 && !timer_is_set(&engine->leave_timer))
        timers_set(&engine->timers, &engine->leave_timer, engine->now.mono_ms + LAST_COMMIT_MS);
    limits_partitions_changed(engine, true);
    engine->ports->assign(engine->ports->context, positions, count);
    free(positions);
}

/* ---- going ----------------------------------------------------------------------------------- */

/* Its jobs start nothing any more but looks that confirm. */
static void stop_jobs(struct engine *engine, struct partition *partition)
{
    for (struct job *job = partition->first; job; job = job->next) {
        job->stopped = true;
        timers_stop(&engine->timers, &job->expiry);
        for (struct part *part = job->parts; part; part = part->next) {
            if (part->mode != MODE_ACT && part->mode != MODE_SETTLE &&
                part->mode != MODE_LOOK_FIRST)
                continue;
            part_unready(engine, part);
            timers_stop(&engine->timers, &part->timer);
        }
    }
}

static void leave(struct engine *engine, struct partition *partition)
{
    if (partition->phase == PARTITION_READING)
        partition->phase = PARTITION_LEFT;
    if (partition->phase != PARTITION_OWNED)
        return;
    partition->phase = PARTITION_LEAVING;
    stop_jobs(engine, partition);
}

static void drop(struct engine *engine, struct partition *partition)
{
    struct partition **link = &engine->partitions;
    while (*link != partition)
        link = &(*link)->next;
    *link = partition->next;
    engine->found = NULL;
    while (partition->last) {
        struct job *job = partition->last;
        if (!job->in_batch) {
            if (job->queued)
                committer_remove(engine, job);
            job_free(engine, job);
            continue;
        }
        /* Its result is in a transaction whose end is not known yet: the receipt frees it. */
        partition->last = job->previous;
        if (job->previous)
            job->previous->next = NULL;
        job->partition = NULL;
        job->previous = job->next = NULL;
    }
    engine->metrics.partitions--;
    engine->metrics.partitions_paused -= partition->paused;
    ledger_release(&partition->ledger);
    free(partition->topic);
    free(partition->taken_by);
    free(partition);
    limits_partitions_changed(engine, false);
}

void assignment_revoke(struct engine *engine, const struct topic_partition *partitions,
                       size_t count, bool lost)
{
    engine->metrics.rebalances++;
    engine->unassign_owed = true;
    for (size_t i = 0; i < count; i++) {
        struct partition *partition =
            assignment_find(engine, partitions[i].topic, partitions[i].partition);
        if (!partition)
            continue;
        partition->revoked = true;
        leave(engine, partition);
        if (lost)
            partition->phase = PARTITION_LEFT;
        limits_partitions_changed(engine, false);
    }
    if (!engine->draining)
        timers_set(&engine->timers, &engine->leave_timer,
                   engine->now.mono_ms + engine->settings->revoke_drain_ms);
}

void assignment_drain(struct engine *engine)
{
    for (struct partition *p = engine->partitions; p; p = p->next)
        if (p->phase == PARTITION_OWNED)
            leave(engine, p);
    timers_set(&engine->timers, &engine->leave_timer,
               engine->now.mono_ms + engine->settings->drain_ms);
}

/* The time to drain is over: what is in flight is given up, then one last commit, then the
 * partitions go whatever became of it. */
void leave_timer_fired(void *context, struct timer *timer)
{
    struct engine *engine = context;
    bool leaving = false;
    for (struct partition *p = engine->partitions; p; p = p->next) {
        if (p->phase != PARTITION_LEAVING)
            continue;
        leaving = true;
        engine->drain_over |= engine->draining && (p->forced || !partition_is_quiet(p));
        if (p->forced)
            p->phase = PARTITION_LEFT;
        p->forced = true;
        for (struct job *job = p->first; job; job = job->next)
            work_abandon(engine, job);
    }
    if (leaving)
        timers_set(&engine->timers, timer, engine->now.mono_ms + LAST_COMMIT_MS);
}

static void unassign_if_ready(struct engine *engine)
{
    if (!engine->unassign_owed)
        return;
    size_t count = 0;
    for (const struct partition *p = engine->partitions; p; p = p->next) {
        if (!p->revoked)
            continue;
        if (p->phase != PARTITION_LEFT)
            return;
        count++;
    }
    struct topic_partition *gone = calloc(count + 1, sizeof *gone);
    if (!gone) {
        engine_fail(engine, "no memory for a rebalance");
        return;
    }
    count = 0;
    for (const struct partition *p = engine->partitions; p; p = p->next)
        if (p->revoked)
            gone[count++] = (struct topic_partition){p->topic, p->number};
    engine->unassign_owed = false;
    engine->ports->unassign(engine->ports->context, gone, count);
    free(gone);
    for (struct partition *p = engine->partitions, *next; p; p = next) {
        next = p->next;
        if (p->revoked)
            drop(engine, p);
    }
    if (!engine->draining)
        timers_stop(&engine->timers, &engine->leave_timer);
}

void assignment_run(struct engine *engine)
{
    if (engine->failed)
        return;
    assign_if_ready(engine);
    unassign_if_ready(engine);
}

void assignment_free_all(struct engine *engine)
{
    while (engine->partitions)
        drop(engine, engine->partitions);
}
