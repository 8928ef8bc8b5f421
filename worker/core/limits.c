#include "worker/core/state.h"

#include "common/banned.h"

void limits_note_gauges(struct account *account)
{
    const struct admission *admission = &account->admission;
    struct account_metrics *metrics = account->metrics;
    for (enum operation operation = 0; operation < OPERATION_COUNT; operation++) {
        metrics->breaker[operation] = admission->gates[operation].breaker.state;
        metrics->concurrency[operation] = admission->gates[operation].concurrency.limit;
    }
    metrics->held = admission->stopped;
    metrics->throttled_ms = admission->throttled_ms;
    metrics->rate_per_1000s = (uint64_t)admission->rate_per_1000s;
}

enum {
    /* Of calls, that could go at once: plenty, until one is left. */
    PLENTY_ROUNDS = 2,
    /* Half rounds, with those that wait for others of their key: plenty, until there are fewer than
       ten. With as many keys as calls, each of which should always have a command here, a key has
       none one time in e^5 = 150 at the worst. */
    PLENTY_HALF_ROUNDS_BEHIND = 11,
};

/* What waits without its calls being out (held, away, limited by a rate) does not make it busy:
 * commands that need no call, or may have one, come behind. */
void limits_note_busy(struct engine *engine, struct account *account)
{
    unsigned calls = account->settings->limits.concurrency;
    size_t round = (size_t)calls * account->most_asks;
    size_t waiting = account->metrics->waiting, twice_all = 2 * (waiting + account->behind);
    if (waiting >= PLENTY_ROUNDS * round || twice_all >= PLENTY_HALF_ROUNDS_BEHIND * round)
        account->plenty = true;
    else if (waiting <= round && twice_all <= (PLENTY_HALF_ROUNDS_BEHIND - 1) * round)
        account->plenty = false;
    bool busy = account->plenty && account->metrics->calls_in_flight >= calls;
    if (busy == account->busy)
        return;
    account->busy = busy;
    engine->busy_accounts += busy ? 1 : (size_t)-1;
}

void limits_hold(struct engine *engine, struct account *account, bool on)
{
    if (account->admission.stopped == on)
        return;
    account->admission.stopped = on;
    limits_note_gauges(account);
    LOG(engine, LOG_WARN, on ? "account_stopped" : "account_goes_on", "account=%s",
        account->settings->name);
}

/* ---- who may start --------------------------------------------------------------------------- */

struct line *limits_admitted(struct engine *engine, struct account *account, bool *wanted,
                             int64_t *wait_ms)
{
    *wanted = false;
    *wait_ms = INT64_MAX;
    for (unsigned i = 0; i < OPERATION_COUNT; i++) {
        enum operation operation = (account->turn + i) % OPERATION_COUNT;
        struct line *line = batcher_first(&account->batcher, operation);
        if (!line)
            continue;
        *wanted = true;
        int64_t wait = admission_wait(&account->admission, operation, engine->now.mono_ms);
        if (wait == 0)
            return line;
        *wait_ms = wait < *wait_ms ? wait : *wait_ms;
    }
    return NULL;
}

bool limits_has_share(const struct engine *engine, const struct account *account)
{
    unsigned free_slots = engine->settings->calls - engine->calls_out;
    return engine->settings->account_count > 1 && account->admission.in_flight >= free_slots;
}

/* ---- rates of the group ---------------------------------------------------------------------- */

/* How often the number of partitions is looked at where nothing happens, and where it is not known.
 */
enum { COUNT_AGAIN_MS = 60 * 1000, UNKNOWN_AGAIN_MS = 1000 };

void limits_partitions_changed(struct engine *engine, bool anew)
{
    engine->share_at_ms = engine->now.mono_ms;
    engine->count_anew |= anew;
}

/* Partitions of all command topics; 0: not known. */
static int64_t count_partitions(struct engine *engine)
{
    int64_t total = 0;
    bool known = true, anew = engine->count_anew;
    engine->count_anew = false;
    for (size_t i = 0; i < engine->settings->command_topic_count; i++) {
        int32_t count = routes_partitions(engine, engine->settings->command_topics[i], anew);
        known &= count >= 0;
        total += count;
    }
    return known ? total : 0;
}

/* Those that this worker calls for: one that is leaving counts until it is given back, as nobody
 * else has it before; one that is lost does not. */
static int64_t count_owned(const struct engine *engine)
{
    int64_t owned = 0;
    for (const struct partition *p = engine->partitions; p; p = p->next)
        owned += p->phase == PARTITION_OWNED || p->phase == PARTITION_LEAVING;
    return owned;
}

void limits_share_rates(struct engine *engine)
{
    if (!engine->shares_rates || engine->now.mono_ms < engine->share_at_ms)
        return;
    int64_t total = count_partitions(engine), owned = count_owned(engine);
    engine->share_at_ms = engine->now.mono_ms + (total > 0 ? COUNT_AGAIN_MS : UNKNOWN_AGAIN_MS);
    if (total == 0 && owned > 0 && !timer_is_set(&engine->retry_timer))
        timers_set(&engine->timers, &engine->retry_timer, engine->share_at_ms);
    if (owned > total && total > 0)
        total = owned; /* some are newer than what is known */
    for (size_t i = 0; i < engine->settings->account_count; i++) {
        struct account *account = &engine->accounts[i];
        int64_t rate = account->settings->limits.rate_per_1000s;
        int64_t part = total > 0 ? rate * owned / total : 0;
        if (!account->settings->limits.share_group || account->admission.rate_per_1000s == part)
            continue;
        admission_set_rate(&account->admission, part, engine->now.mono_ms);
        limits_note_gauges(account);
        LOG(engine, LOG_INFO, "rate_shared", "account=%s partitions=%lld of=%lld per_1000s=%lld",
            account->settings->name, (long long)owned, (long long)total, (long long)part);
    }
}

/* ---- what answers teach ---------------------------------------------------------------------- */

static enum call_sign sign_of(const struct call *call, const struct http_response *response)
{
    bool failed = true;
    for (size_t i = 0; i < call->count; i++) {
        const struct verdict *verdict = &call->verdicts[i];
        if (verdict->kind == VERDICT_RETRY && verdict->throttled)
            return SIGN_THROTTLED;
        failed &= verdict->kind == VERDICT_RETRY || verdict->kind == VERDICT_UNKNOWN;
    }
    if (!failed)
        return call->count == 1 && call->page == 0 ? SIGN_FINE : SIGN_FINE_LIST;
    return response->result == HTTP_TIMED_OUT ? SIGN_TIMED_OUT : SIGN_FAILED;
}

/* A failed probe tells of the provider, not of the command that lent itself: it counts neither as a
 * try nor, where it certainly did nothing, as the beginning of the time to give up. */
static void forgive(struct part *part, const struct verdict *verdicts, int64_t began_ms)
{
    struct job *job = part->job;
    bool nothing = part->mode == MODE_ACT;
    part->tries--;
    for (size_t i = 0; i < part->count; i++) {
        nothing &= verdicts[i].kind == VERDICT_RETRY;
        job->asks[part->asks[i]].acts -= part->mode == MODE_ACT;
    }
    if (nothing && job->began_mono_ms == began_ms)
        job->began_mono_ms = 0;
}

void limits_learn(struct engine *engine, struct call *call, const struct http_response *response)
{
    struct account *account = call->account;
    const struct breaker *breaker = &account->admission.gates[call->operation].breaker;
    enum call_sign sign = sign_of(call, response);
    bool failed = sign == SIGN_FAILED || sign == SIGN_TIMED_OUT;
    bool turned = admission_learn(&account->admission, call->operation, sign, call->probe,
                                  call->began_ms, engine->now.mono_ms);
    limits_note_gauges(account);
    const struct verdict *verdicts = call->verdicts;
    for (struct part *part = call->parts; part && call->probe && failed; part = part->call_next) {
        forgive(part, verdicts, call->began_ms);
        verdicts += part->count;
    }
    if (!turned)
        return;
    bool open = breaker->state != BREAKER_CLOSED;
    account->metrics->breaker_opened += open;
    LOG(engine, open ? LOG_WARN : LOG_INFO, open ? "breaker_open" : "breaker_closed",
        "account=%s operation=%s failures=%u calls=%u", account->settings->name,
        operation_name(call->operation), breaker->failures, breaker->count);
}
