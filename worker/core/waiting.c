#include <inttypes.h>

#include "worker/core/state.h"

#include "common/banned.h"

/* An answer must have come by then after a call's own limits: the port promises one. */
enum { CALL_MARGIN_MS = 30 * 1000 };

const char *wait_reason_name(enum wait_reason reason)
{
    static const char *const names[WAIT_REASONS] = {
        [WAIT_ORDER] = "order",
        [WAIT_SETTLING] = "settling",
        [WAIT_STOPPED] = "account_stopped",
        [WAIT_LIMITS] = "limits",
        [WAIT_HELD] = "account_held",
        [WAIT_BREAKER] = "breaker",
        [WAIT_CREDENTIALS] = "credentials",
        [WAIT_CALL] = "call",
        [WAIT_BACKOFF] = "backoff",
        [WAIT_ROUTE] = "reply_topic",
        [WAIT_TOO_LARGE] = "result_too_large",
        [WAIT_COMMIT] = "transaction",
        [WAIT_OUTPUTS] = "output_topics",
        [WAIT_PRODUCER] = "producer",
        [WAIT_POSITIONS] = "positions",
        [WAIT_COORDINATOR] = "coordinator",
        [WAIT_BROKERS] = "brokers",
        [WAIT_ASSIGNMENT] = "assignment",
        [WAIT_FETCH] = "fetch",
        [WAIT_OPEN_TRANSACTION] = "open_transaction",
        [WAIT_NOTHING] = "nothing",
    };
    return names[reason];
}

/* ---- a command ------------------------------------------------------------------------------- */

static void waits_behind(struct waiting *waiting, const struct lane_member *member)
{
    const struct job *first = lane_first(member)->owner;
    waiting->reason = WAIT_ORDER;
    waiting->behind_topic = first->command.topic;
    waiting->behind_partition = first->command.partition;
    waiting->behind_offset = first->entry.offset;
}

static void look_at_decided(const struct engine *engine, const struct job *job,
                            struct waiting *waiting)
{
    const struct committer *committer = &engine->committer;
    waiting->since_ms = job->decided_mono_ms;
    if (!job->queued && !job->in_batch && !lane_is_first(&job->result_lane)) {
        waits_behind(waiting, &job->result_lane);
    } else if (engine->blocked) {
        waiting->reason = WAIT_OUTPUTS;
    } else if (!job->queued && !job->in_batch) {
        waiting->reason = job->unfit ? WAIT_TOO_LARGE : WAIT_ROUTE;
    } else {
        waiting->reason = !committer->ready || committer->recovering ? WAIT_PRODUCER : WAIT_COMMIT;
    }
}

static void look_at_ready(const struct engine *engine, const struct part *part,
                          struct waiting *waiting)
{
    const struct account *account = part->job->account;
    const struct admission *admission = &account->admission;
    const struct breaker *breaker =
        &admission->gates[mode_operation(part->job, part->mode)].breaker;
    waiting->since_ms = part->since_ms;
    if (!part->job->partition->marked) {
        waiting->reason = engine->committer.ready ? WAIT_COMMIT : WAIT_PRODUCER;
    } else if (admission->stopped) {
        waiting->reason = WAIT_STOPPED;
    } else if (!credentials_usable(&account->credentials, engine->now) ||
               credentials_held(&account->credentials, engine->now)) {
        waiting->reason = WAIT_CREDENTIALS;
        if (!account->credentials.signing_in &&
            account->credentials.not_before_ms > engine->now.mono_ms)
            waiting->until_ms = account->credentials.not_before_ms;
    } else if (admission->held_until_ms > engine->now.mono_ms) {
        waiting->reason = WAIT_HELD;
        waiting->until_ms = admission->held_until_ms;
    } else if (breaker->state != BREAKER_CLOSED) {
        waiting->reason = WAIT_BREAKER;
        waiting->until_ms = breaker->probe_at_ms;
    } else {
        waiting->reason = WAIT_LIMITS;
    }
}

static bool is_overdue(const struct engine *engine, const struct call *call)
{
    const struct account_settings *settings = call->account->settings;
    int64_t since =
        call->since_ms > engine->watchdog.awake_ms ? call->since_ms : engine->watchdog.awake_ms;
    return engine->now.mono_ms - since >
           settings->limits.timeout_ms + settings->limits.connect_timeout_ms + CALL_MARGIN_MS;
}

static void look_at_part(const struct engine *engine, const struct part *part,
                         struct waiting *waiting)
{
    if (part->call && is_overdue(engine, part->call)) {
        waiting->reason = WAIT_NOTHING;
        waiting->since_ms = part->call->since_ms;
    } else if (part->call) {
        waiting->reason = part->mode == MODE_SETTLE ? WAIT_SETTLING : WAIT_CALL;
        waiting->since_ms = part->call->since_ms;
    } else if (part->line || !part->job->partition->marked) {
        look_at_ready(engine, part, waiting);
    } else if (timer_is_set(&part->timer)) {
        waiting->reason = part->mode == MODE_SETTLE ? WAIT_SETTLING : WAIT_BACKOFF;
        waiting->since_ms = part->since_ms;
        waiting->until_ms = part->timer.due;
    } else {
        waiting->reason = WAIT_NOTHING;
    }
}

void waiting_look(const struct engine *engine, const struct job *job, struct waiting *waiting)
{
    *waiting = (struct waiting){.topic = job->partition->topic,
                                .partition = job->partition->number,
                                .offset = job->entry.offset,
                                .id = job->command.id,
                                .account = job->account ? job->account->settings->name : NULL,
                                .reason = WAIT_NOTHING,
                                .received_ms = job->received_mono_ms,
                                .since_ms = job->received_mono_ms,
                                .until_ms = INT64_MAX};
    if (job->decided) {
        look_at_decided(engine, job, waiting);
        return;
    }
    for (size_t i = 0; !job->started && i < job->call_lane_count; i++) {
        if (!lane_is_first(&job->call_lanes[i])) {
            waits_behind(waiting, &job->call_lanes[i]);
            return;
        }
    }
    if (!job->parts)
        return;
    look_at_part(engine, job->parts, waiting);
    for (const struct part *part = job->parts->next; part; part = part->next) {
        struct waiting other = *waiting;
        look_at_part(engine, part, &other);
        /* The part whose reason comes last in the list holds it up most. */
        if (other.reason > waiting->reason)
            *waiting = other;
    }
}

/* ---- words ----------------------------------------------------------------------------------- */

static int64_t seconds(int64_t ms)
{
    return ms < 0 ? 0 : (ms + 500) / 1000;
}

static void commit_words(const struct engine *engine, struct buffer *out)
{
    const struct committer *committer = &engine->committer;
    if (committer->aborts > 0)
        buffer_append_format(
            out, "%u transactions in a row were aborted, the first %" PRId64 " s ago: %s",
            committer->aborts, seconds(engine->now.mono_ms - committer->since_ms),
            committer->abort_reason);
    else if (committer->out)
        buffer_append_format(out, "a transaction is out for %" PRId64 " s",
                             seconds(engine->now.mono_ms - committer->last_begin_ms));
    else
        buffer_append_string(out, "the next transaction has not begun");
}

static void credential_words(const struct engine *engine, const struct waiting *waiting,
                             struct buffer *out)
{
    if (waiting->until_ms == INT64_MAX)
        buffer_append_format(out, "account %s signs in", waiting->account);
    else
        buffer_append_format(out, "the credentials of account %s are tried again in %" PRId64 " s",
                             waiting->account, seconds(waiting->until_ms - engine->now.mono_ms));
}

/* In the consumer's own words. */
static void append_hindrance(const struct engine *engine, struct buffer *out)
{
    if (engine->watchdog.hindrance[0])
        buffer_append_format(out, " (%s)", engine->watchdog.hindrance);
}

void waiting_words(const struct engine *engine, const struct waiting *waiting, struct buffer *out)
{
    int64_t since = seconds(engine->now.mono_ms - waiting->since_ms);
    int64_t left = seconds(waiting->until_ms - engine->now.mono_ms);
    switch (waiting->reason) {
    case WAIT_ORDER:
        buffer_append_format(out, "it waits for its turn behind %s-%" PRId32 "-%" PRId64,
                             waiting->behind_topic, waiting->behind_partition,
                             waiting->behind_offset);
        break;
    case WAIT_SETTLING:
        buffer_append_string(out, "its task is polled until it is settled");
        break;
    case WAIT_STOPPED:
        buffer_append_format(out, "account %s is held by an operator", waiting->account);
        break;
    case WAIT_BREAKER:
        buffer_append_format(
            out, "the provider of account %s does not answer; next probe in %" PRId64 " s",
            waiting->account, left);
        break;
    case WAIT_LIMITS:
        buffer_append_format(out, "it waits for a free call of account %s", waiting->account);
        break;
    case WAIT_HELD:
        buffer_append_format(out, "account %s is held for another %" PRId64 " s", waiting->account,
                             left);
        break;
    case WAIT_CREDENTIALS:
        credential_words(engine, waiting, out);
        break;
    case WAIT_CALL:
        buffer_append_format(out, "its call is out for %" PRId64 " s", since);
        break;
    case WAIT_BACKOFF:
        buffer_append_format(out, "it is tried again in %" PRId64 " s", left);
        break;
    case WAIT_ROUTE:
        buffer_append_string(out, "its reply topic could not be asked about yet");
        break;
    case WAIT_TOO_LARGE:
        buffer_append_string(out, "its result does not fit the results topic's max.message.bytes");
        break;
    case WAIT_COMMIT:
        commit_words(engine, out);
        break;
    case WAIT_OUTPUTS:
        buffer_append_string(out, engine->blocked ? engine->blocked : "output topics");
        break;
    case WAIT_PRODUCER:
        buffer_append_string(out, "the producer is being made");
        break;
    case WAIT_POSITIONS:
        buffer_append_string(out, "committed positions cannot be read");
        break;
    case WAIT_COORDINATOR:
        buffer_append_string(out, "the group's coordinator cannot be reached");
        append_hindrance(engine, out);
        break;
    case WAIT_ASSIGNMENT:
        buffer_append_string(out, "no assignment yet");
        append_hindrance(engine, out);
        break;
    case WAIT_FETCH:
        buffer_append_format(out, "nothing is fetched of %s-%" PRId32 " from %" PRId64 " on",
                             waiting->topic, waiting->partition, waiting->offset);
        break;
    case WAIT_BROKERS:
        buffer_append_string(out, "no broker is reachable");
        append_hindrance(engine, out);
        break;
    case WAIT_OPEN_TRANSACTION:
        buffer_append_format(out,
                             "a producer's transaction stays open at %s-%" PRId32 "-%" PRId64
                             ": nothing behind it can be read",
                             waiting->topic, waiting->partition, waiting->offset);
        break;
    case WAIT_NOTHING:
    case WAIT_REASONS:
        buffer_append_string(out, "nothing is under way for it: a bug of kancel");
        break;
    }
}

/* ---- views ----------------------------------------------------------------------------------- */

size_t engine_slowest(const struct engine *engine, struct waiting *list, size_t most)
{
    size_t count = 0;
    for (const struct partition *p = engine->partitions; p; p = p->next) {
        for (const struct job *job = p->first; job; job = job->next) {
            if (count == most && (most == 0 || list[most - 1].received_ms <= job->received_mono_ms))
                break; /* those behind it are younger */
            size_t at = count < most ? count++ : most - 1;
            for (; at > 0 && list[at - 1].received_ms > job->received_mono_ms; at--)
                list[at] = list[at - 1];
            waiting_look(engine, job, &list[at]);
        }
    }
    return count;
}

size_t engine_ledgers(const struct engine *engine, struct ledger_view *list, size_t most)
{
    size_t count = 0;
    for (const struct partition *p = engine->partitions; p && count < most; p = p->next) {
        if (p->phase != PARTITION_OWNED)
            continue;
        list[count++] = (struct ledger_view){.topic = p->topic,
                                             .partition = p->number,
                                             .frontier = ledger_frontier(&p->ledger),
                                             .waiting = p->ledger.taken,
                                             .map_bytes = p->map_bytes,
                                             .paused = p->paused,
                                             .still_since_ms = p->watch.still_since_ms,
                                             .reason = p->watch.reason};
    }
    return count;
}

int64_t engine_oldest_ms(const struct engine *engine)
{
    int64_t oldest = INT64_MAX;
    for (const struct partition *p = engine->partitions; p; p = p->next)
        if (p->first && p->first->received_mono_ms < oldest)
            oldest = p->first->received_mono_ms;
    return oldest;
}
