#include <inttypes.h>

#include "worker/core/state.h"

#include "common/json.h"

#include "common/banned.h"

enum {
    /* How often to look: four times within stuck_after, but not more often nor more seldom than: */
    LOOK_LEAST_MS = 250,
    LOOK_MOST_MS = 5000,
    /* An episode is told again after stuck_after, then twice as long, up to: */
    SAY_MOST_MS = 3600 * 1000,
    LINE_BYTES = 2048,
};

/* Looked at from the cause to what follows from it. */
static const enum wait_reason causes[] = {WAIT_BROKERS,    WAIT_COORDINATOR, WAIT_OUTPUTS,
                                          WAIT_ASSIGNMENT, WAIT_PRODUCER,    WAIT_POSITIONS,
                                          WAIT_COMMIT};
_Static_assert(sizeof causes / sizeof causes[0] == WATCHDOG_CAUSES, "state.h counts them");

/* How long something lasts, in time that the process lived through: one that was stopped or whose
 * machine slept finds everything old, and nothing of it is a standstill. */
static int64_t lasts_ms(const struct engine *engine, int64_t since_ms)
{
    int64_t awake_ms = engine->watchdog.awake_ms;
    return engine->now.mono_ms - (since_ms > awake_ms ? since_ms : awake_ms);
}

/* ---- episodes -------------------------------------------------------------------------------- */

/* True when it is time to say it: at the beginning, when it turns out to be a fault, and at growing
 * intervals. */
static bool is_due(struct engine *engine, struct episode *episode, enum wait_reason reason)
{
    int64_t now = engine->now.mono_ms, least = engine->settings->stuck_after_ms;
    bool worse = wait_is_fault(reason) && !wait_is_fault(episode->reason);
    bool first = !episode->open || worse;
    episode->reason = reason;
    if (!first && now < episode->next_ms)
        return false;
    episode->pause_ms = first                                 ? least
                        : episode->pause_ms < SAY_MOST_MS / 2 ? episode->pause_ms * 2
                                                              : SAY_MOST_MS;
    episode->next_ms = now + episode->pause_ms;
    episode->open = true;
    return true;
}

static enum log_level level_of(enum wait_reason reason)
{
    return wait_is_fault(reason) ? LOG_ERROR : reason >= WAIT_LIMITS ? LOG_WARN : LOG_INFO;
}

static void append_command(const struct engine *engine, const struct waiting *waiting,
                           struct buffer *line)
{
    buffer_append_format(line, " topic=%s partition=%" PRId32 " offset=%" PRId64, waiting->topic,
                         waiting->partition, waiting->offset);
    if (waiting->id.data) {
        buffer_append_string(line, " id=");
        json_write_string(line, waiting->id);
    }
    if (waiting->account)
        buffer_append_format(line, " account=%s", waiting->account);
    if (waiting->id.data)
        buffer_append_format(line, " age_ms=%" PRId64, engine->now.mono_ms - waiting->received_ms);
}

static void say(const struct engine *engine, const struct waiting *waiting, int64_t since_ms,
                size_t commands)
{
    struct buffer line;
    buffer_init(&line, LINE_BYTES);
    buffer_append_format(&line, "reason=%s still_ms=%" PRId64 " commands=%zu",
                         wait_reason_name(waiting->reason), engine->now.mono_ms - since_ms,
                         commands);
    if (waiting->topic)
        append_command(engine, waiting, &line);
    buffer_append_string(&line, " why=\"");
    waiting_words(engine, waiting, &line);
    buffer_append_byte(&line, '"');
    if (!buffer_failed(&line))
        LOG(engine, level_of(waiting->reason), "stuck", "%.*s", SLICE_ARG(buffer_slice(&line)));
    buffer_release(&line);
}

/* What /readyz says; the first fault of a look counts. */
static void note_fault(struct engine *engine, const struct waiting *waiting, int64_t since_ms)
{
    struct watchdog *watchdog = &engine->watchdog;
    struct buffer words;
    if (watchdog->words[0] || !wait_is_fault(waiting->reason))
        return;
    buffer_init(&words, sizeof watchdog->words);
    waiting_words(engine, waiting, &words);
    snprintf(watchdog->words, sizeof watchdog->words, "stuck for %" PRId64 " s: %.*s",
             (engine->now.mono_ms - since_ms) / 1000, SLICE_ARG(buffer_slice(&words)));
    buffer_release(&words);
}

/* ---- partitions ------------------------------------------------------------------------------ */

/* The oldest command and those behind it that are as old; the worst reason counts: a settling
 * command must not hide a lost one. False: nothing worth saying. */
static bool find_culprit(const struct engine *engine, const struct partition *partition,
                         struct waiting *culprit)
{
    int64_t least = engine->settings->stuck_after_ms;
    bool found = false;
    for (const struct job *job = partition->first;
         job && lasts_ms(engine, job->received_mono_ms) >= least; job = job->next) {
        struct waiting waiting;
        waiting_look(engine, job, &waiting);
        if (wait_is_fault(waiting.reason) && lasts_ms(engine, waiting.since_ms) < least)
            continue; /* it has just come to this */
        if (!found || level_of(waiting.reason) < level_of(culprit->reason))
            *culprit = waiting;
        found = true;
        if (wait_is_fault(waiting.reason))
            break;
    }
    return found;
}

/* No record comes though some are there: somebody's transaction is open, or the client is stuck. */
static bool gets_nothing(const struct engine *engine, const struct partition *partition,
                         struct waiting *culprit)
{
    const struct partition_watch *watch = &partition->watch;
    bool held = watch->held_since_ms != 0;
    int64_t since = held ? watch->held_since_ms : watch->behind_since_ms;
    if (since == 0 || lasts_ms(engine, since) < engine->settings->stuck_after_ms)
        return false;
    *culprit = (struct waiting){.topic = partition->topic,
                                .partition = partition->number,
                                .offset = held ? watch->facts.stable_end : watch->facts.next,
                                .reason = held ? WAIT_OPEN_TRANSACTION : WAIT_FETCH,
                                .since_ms = since,
                                .until_ms = INT64_MAX};
    return true;
}

static void moves_again(struct engine *engine, struct partition *partition)
{
    struct partition_watch *watch = &partition->watch;
    if (watch->episode.open)
        LOG(engine, LOG_INFO, "moves_again", "topic=%s partition=%d reason=%s", partition->topic,
            (int)partition->number, wait_reason_name(watch->episode.reason));
    watch->episode.open = false;
}

/* `quiet`: the whole worker stands still, which was said. */
static void watch_partition(struct engine *engine, struct partition *partition, bool quiet)
{
    struct partition_watch *watch = &partition->watch;
    struct waiting culprit;
    int64_t now = engine->now.mono_ms,
            head = partition->first ? partition->first->entry.offset : -1;
    if (head != watch->head) {
        watch->head = head;
        watch->still_since_ms = now;
    }
    bool still = head >= 0 &&
                 lasts_ms(engine, watch->still_since_ms) >= engine->settings->stuck_after_ms &&
                 find_culprit(engine, partition, &culprit);
    int64_t since = watch->still_since_ms;
    if ((!still || !wait_is_fault(culprit.reason)) && gets_nothing(engine, partition, &culprit)) {
        still = true;
        since = culprit.since_ms;
    }
    watch->reason = still ? culprit.reason : WAIT_REASONS;
    if (!still) {
        moves_again(engine, partition);
        return;
    }
    engine->metrics.stuck_partitions[culprit.reason]++;
    note_fault(engine, &culprit, since);
    if (!quiet && is_due(engine, &watch->episode, culprit.reason))
        say(engine, &culprit, since, partition->ledger.taken);
}

/* ---- the whole worker ------------------------------------------------------------------------ */

static bool reads_positions(const struct engine *engine)
{
    for (const struct partition *p = engine->partitions; p; p = p->next)
        if (p->phase == PARTITION_READING && !p->loaded)
            return true;
    return false;
}

static bool holds(const struct engine *engine, enum wait_reason cause)
{
    const struct committer *committer = &engine->committer;
    switch (cause) {
    case WAIT_BROKERS:
        return engine->watchdog.brokers_gone;
    case WAIT_COORDINATOR:
        return engine->watchdog.coordinator_gone;
    case WAIT_ASSIGNMENT:
        return engine->metrics.rebalances == 0;
    case WAIT_OUTPUTS:
        return engine->partitions && engine->blocked;
    case WAIT_PRODUCER:
        return !committer->ready || committer->recovering;
    case WAIT_POSITIONS:
        return reads_positions(engine);
    default:
        return committer->since_ms != 0;
    }
}

/* Since when a cause holds, as far as the looks saw; 0: it does not. */
static int64_t held_since(struct engine *engine, size_t index)
{
    const struct committer *committer = &engine->committer;
    int64_t *since = &engine->watchdog.since_ms[index];
    /* A topic that refuses is tried again and again: that is over when something was committed. */
    bool again = causes[index] == WAIT_OUTPUTS && committer->aborts > 0;
    if (!holds(engine, causes[index]))
        *since = again ? *since : 0;
    else if (causes[index] == WAIT_COMMIT)
        *since = committer->since_ms;
    else if (*since == 0)
        *since = engine->now.mono_ms;
    return *since;
}

/* A topic that is missing or refuses is for people to mend, and so is what keeps a group from
 * giving out its topics; anything else another process may not suffer from. */
static bool may_leave_for(const struct engine *engine, enum wait_reason cause)
{
    return cause != WAIT_ASSIGNMENT && (cause != WAIT_OUTPUTS || !engine->outputs_known);
}

static void give_up(struct engine *engine, const struct waiting *waiting, int64_t ms)
{
    struct watchdog *watchdog = &engine->watchdog;
    struct buffer words;
    buffer_init(&words, sizeof watchdog->words);
    waiting_words(engine, waiting, &words);
    snprintf(watchdog->words, sizeof watchdog->words,
             "Kafka could not be used for %" PRId64 " s: %.*s", ms / 1000,
             SLICE_ARG(buffer_slice(&words)));
    buffer_release(&words);
    engine_fail(engine, watchdog->words);
}

/* True when the whole worker stands still. */
static bool watch_worker(struct engine *engine)
{
    const struct engine_settings *settings = engine->settings;
    struct waiting waiting = {.until_ms = INT64_MAX}, oldest;
    bool stuck = false;
    for (size_t i = 0; i < WATCHDOG_CAUSES; i++) {
        int64_t since = held_since(engine, i), ms = lasts_ms(engine, since);
        if (since == 0 || ms < settings->stuck_after_ms)
            continue;
        if (!stuck)
            waiting.since_ms = since, waiting.reason = causes[i];
        stuck = true;
        if (settings->leave_after_ms > 0 && ms >= settings->leave_after_ms &&
            may_leave_for(engine, causes[i])) {
            give_up(engine, &waiting, ms);
            return true;
        }
    }
    struct episode *episode = &engine->watchdog.episode;
    if (!stuck) {
        if (episode->open)
            LOG(engine, LOG_INFO, "moves_again", "reason=%s", wait_reason_name(episode->reason));
        episode->open = false;
        return false;
    }
    engine->metrics.stuck_partitions[waiting.reason] += engine->partitions ? 0 : 1;
    note_fault(engine, &waiting, waiting.since_ms);
    if (!is_due(engine, episode, waiting.reason))
        return true;
    if (engine_slowest(engine, &oldest, 1) == 1) {
        oldest.reason = waiting.reason;
        oldest.since_ms = waiting.since_ms;
        waiting = oldest;
    }
    say(engine, &waiting, waiting.since_ms, (size_t)engine->metrics.commands_in_flight);
    return true;
}

/* ---- the look -------------------------------------------------------------------------------- */

static int64_t pace(const struct engine *engine)
{
    int64_t ms = engine->settings->stuck_after_ms / 4;
    return ms < LOOK_LEAST_MS ? LOOK_LEAST_MS : ms > LOOK_MOST_MS ? LOOK_MOST_MS : ms;
}

void watchdog_start(struct engine *engine)
{
    if (engine->settings->stuck_after_ms > 0 && !timer_is_set(&engine->watchdog.timer))
        timers_set(&engine->timers, &engine->watchdog.timer, engine->now.mono_ms + pace(engine));
}

void watchdog_timer_fired(void *context, struct timer *timer)
{
    struct engine *engine = context;
    if (engine->fenced || engine->failed)
        return;
    memset(engine->metrics.stuck_partitions, 0, sizeof engine->metrics.stuck_partitions);
    engine->watchdog.words[0] = '\0';
    if (engine->draining)
        return; /* that has its own limit */
    /* The process was stopped: what came meanwhile is taken up first. */
    if (engine->now.mono_ms - timer->due > pace(engine))
        engine->watchdog.awake_ms = engine->now.mono_ms;
    timers_set(&engine->timers, timer, engine->now.mono_ms + pace(engine));
    bool stuck = watch_worker(engine);
    for (struct partition *p = engine->partitions; p && !engine->failed; p = p->next)
        if (p->phase == PARTITION_OWNED)
            watch_partition(engine, p, stuck);
}

/* ---- what the consumer sees ------------------------------------------------------------------ */

/* Since when `at` is the same while `end` lies behind it; the time in which no records were wanted,
 * as they are not fetched then, does not count. */
static void note_lag(struct engine *engine, bool paused, int64_t at, int64_t was, int64_t end,
                     int64_t sated_ms, int64_t *since_ms)
{
    /* A paused partition is not fetched: what is known of it is old. */
    if (paused || at < 0 || end <= at)
        *since_ms = 0;
    else if (*since_ms == 0 || at != was)
        *since_ms = engine->now.mono_ms;
    else
        *since_ms += sated_ms;
}

static void learn(struct engine *engine, struct partition *partition,
                  const struct partition_facts *facts)
{
    struct partition_watch *watch = &partition->watch;
    int64_t sated_ms = engine->sated_ms - watch->sated_ms;
    watch->sated_ms = engine->sated_ms;
    note_lag(engine, partition->paused, facts->stable_end, watch->facts.stable_end, facts->end,
             sated_ms, &watch->held_since_ms);
    note_lag(engine, partition->paused, facts->next, watch->facts.next, facts->stable_end, sated_ms,
             &watch->behind_since_ms);
    watch->facts = *facts;
    watch->facts.topic = partition->topic;
}

void watchdog_learn(struct engine *engine, const struct consumer_facts *facts)
{
    engine->watchdog.brokers_gone = !facts->brokers;
    engine->watchdog.coordinator_gone = !facts->coordinator;
    snprintf(engine->watchdog.hindrance, sizeof engine->watchdog.hindrance, "%s",
             facts->hindrance ? facts->hindrance : "");
    for (size_t i = 0; i < facts->count; i++) {
        const struct partition_facts *about = &facts->partitions[i];
        struct partition *partition = assignment_find(engine, about->topic, about->partition);
        if (partition && partition->phase == PARTITION_OWNED)
            learn(engine, partition, about);
    }
}
