#include "worker/core/state.h"

#include "common/banned.h"

static bool is_cancel(const struct job *job)
{
    return job->command.operation == OPERATION_CANCEL;
}

/* No further try: they are spent, or the next one could not begin in time, held as the account is.
 */
static bool exhausted(const struct engine *engine, const struct job *job, unsigned tries)
{
    const struct account_settings *settings = job->account->settings;
    int64_t earliest = engine->now.mono_ms;
    if (job->account->admission.held_until_ms > earliest)
        earliest = job->account->admission.held_until_ms;
    return tries >= settings->retry.attempts ||
           (job->began_mono_ms != 0 &&
            earliest - job->began_mono_ms >= settings->retry.give_up_after_ms);
}

static enum failure kept_failure(const struct ask_state *ask, enum failure otherwise)
{
    return ask->error && ask->error->kind != FAILURE_NONE ? ask->error->kind : otherwise;
}

static enum ask_mode done(struct engine *engine, struct job *job, struct ask_state *ask,
                          enum failure failure)
{
    ask_done(engine, job, ask, failure);
    return MODE_DONE;
}

/* The cancel was taken and what could be seen of the task was seen. */
static enum ask_mode taken(struct engine *engine, struct job *job, struct ask_state *ask)
{
    ask->taken = true;
    ask->maybe_sent = false;
    if (job->command.until == UNTIL_SETTLED && !task_state_is_settled(ask->state))
        return job->expired ? done(engine, job, ask, FAILURE_EXPIRED) : MODE_SETTLE;
    if (task_state_is_past_cancelling(ask->state))
        return done(engine, job, ask, FAILURE_NOT_CANCELLABLE);
    return done(engine, job, ask, FAILURE_NONE);
}

/* Nothing was applied: the operation may be tried again, if there is time. */
static enum ask_mode act_again(struct engine *engine, struct job *job, struct ask_state *ask)
{
    ask->maybe_sent = false;
    if (job->expired)
        return done(engine, job, ask, FAILURE_EXPIRED);
    if (ask->acts > 0 && exhausted(engine, job, ask->acts))
        return done(engine, job, ask, kept_failure(ask, FAILURE_UNAVAILABLE));
    return MODE_ACT;
}

/* One renewal of the credential and one more try; an account that cannot renew has none. */
static enum ask_mode renew(struct engine *engine, struct job *job, struct ask_state *ask,
                           enum ask_mode mode)
{
    if (ask->renewed || !job->account->credentials.needed)
        return done(engine, job, ask, FAILURE_UNAUTHORIZED);
    ask->renewed = true;
    return mode == MODE_ACT && job->expired ? done(engine, job, ask, FAILURE_EXPIRED) : mode;
}

static enum ask_mode judge_act_done(struct engine *engine, struct job *job, struct ask_state *ask,
                                    const struct verdict *verdict)
{
    ask->state = verdict->state;
    ask->already_cancelled = verdict->already_cancelled && !ask->fate_unknown;
    ask->renewed = false;
    ask->most = 0;
    if (is_cancel(job)) {
        bool tells = verdict->state != STATE_UNKNOWN && !job->task->cancel_tells_nothing;
        ask->taken = true;
        ask->maybe_sent = false;
        if (!tells && job->account->settings->confirm && job->command.until == UNTIL_ACCEPTED)
            return MODE_LOOK_AFTER;
        return taken(engine, job, ask);
    }
    if (job->command.until == UNTIL_SETTLED && !task_state_is_settled(ask->state))
        return MODE_SETTLE;
    return done(engine, job, ask, FAILURE_NONE);
}

static enum ask_mode judge_act(struct engine *engine, struct job *job, struct ask_state *ask,
                               const struct verdict *verdict)
{
    switch (verdict->kind) {
    case VERDICT_DONE:
        return judge_act_done(engine, job, ask, verdict);
    case VERDICT_REFUSED:
        ask->maybe_sent = false;
        if (verdict->tells_state)
            ask->state = verdict->state;
        if (verdict->tells_state || verdict->error.kind == FAILURE_NOT_FOUND || !is_cancel(job))
            return done(engine, job, ask, verdict->error.kind);
        return MODE_LOOK_REFUSED;
    case VERDICT_UNKNOWN:
        ask->fate_unknown = is_cancel(job);
        if (is_cancel(job))
            return MODE_LOOK_UNKNOWN;
        return act_again(engine, job, ask);
    case VERDICT_RETRY:
        return act_again(engine, job, ask);
    case VERDICT_RENEW:
        ask->maybe_sent = false;
        return renew(engine, job, ask, MODE_ACT);
    case VERDICT_FAILED:
        break;
    }
    ask->maybe_sent = false;
    return done(engine, job, ask, verdict->error.kind);
}

/* The status could not be asked, for good or in time. */
static enum ask_mode cannot_look(struct engine *engine, struct job *job, struct ask_state *ask,
                                 enum ask_mode mode)
{
    if (mode == MODE_LOOK_AFTER)
        return taken(engine, job, ask);
    if (mode == MODE_LOOK_REFUSED)
        return done(engine, job, ask, kept_failure(ask, FAILURE_FORBIDDEN));
    return done(engine, job, ask, job->expired ? FAILURE_EXPIRED : FAILURE_UNKNOWN_OUTCOME);
}

static enum ask_mode look_again(struct engine *engine, struct job *job, struct ask_state *ask,
                                enum ask_mode mode, unsigned tries)
{
    if (mode == MODE_LOOK_AFTER || job->expired || exhausted(engine, job, tries))
        return cannot_look(engine, job, ask, mode);
    return mode;
}

/* The provider's own no, not one of something that stands before it. */
static bool was_refused(const struct ask_state *ask)
{
    return failure_outcome(kept_failure(ask, FAILURE_FORBIDDEN)) == OUTCOME_REFUSED;
}

/* The state was read on behalf of a cancel. */
static enum ask_mode judge_look_done(struct engine *engine, struct job *job, struct ask_state *ask,
                                     enum ask_mode mode)
{
    bool past = task_state_is_past_cancelling(ask->state);
    bool cancelled = ask->state == STATE_CANCELLED || ask->state == STATE_CANCELLING;
    ask->renewed = false;
    if (mode == MODE_LOOK_AFTER)
        return taken(engine, job, ask);
    if (past) {
        ask->maybe_sent = false;
        return done(engine, job, ask, FAILURE_NOT_CANCELLABLE);
    }
    if (cancelled) {
        ask->already_cancelled = mode == MODE_LOOK_REFUSED && !ask->fate_unknown;
        return taken(engine, job, ask);
    }
    if (mode == MODE_LOOK_REFUSED && was_refused(ask))
        return done(engine, job, ask, kept_failure(ask, FAILURE_FORBIDDEN));
    return act_again(engine, job, ask);
}

static enum ask_mode judge_look(struct engine *engine, struct job *job, struct ask_state *ask,
                                enum ask_mode mode, unsigned tries, const struct verdict *verdict)
{
    switch (verdict->kind) {
    case VERDICT_DONE:
        ask->state = verdict->state;
        if (verdict->state == STATE_UNKNOWN)
            return look_again(engine, job, ask, mode, tries);
        return judge_look_done(engine, job, ask, mode);
    case VERDICT_REFUSED:
        if (verdict->error.kind != FAILURE_NOT_FOUND)
            return cannot_look(engine, job, ask, mode);
        ask->maybe_sent = false;
        ask->taken = false;
        return done(engine, job, ask, FAILURE_NOT_FOUND);
    case VERDICT_RETRY:
    case VERDICT_UNKNOWN:
        return look_again(engine, job, ask, mode, tries);
    case VERDICT_RENEW:
        if (ask->renewed || !job->account->credentials.needed)
            return cannot_look(engine, job, ask, mode);
        ask->renewed = true;
        return mode;
    case VERDICT_FAILED:
        break;
    }
    return cannot_look(engine, job, ask, mode);
}

static enum ask_mode judge_settle(struct engine *engine, struct job *job, struct ask_state *ask,
                                  const struct verdict *verdict)
{
    switch (verdict->kind) {
    case VERDICT_DONE:
        ask->renewed = false;
        ask->most = ask->most < LIMIT_ASKS ? ask->most * 2 : 0; /* and back, step by step */
        ask->state = verdict->state;
        if (!task_state_is_settled(ask->state))
            break;
        return done(engine, job, ask,
                    is_cancel(job) && task_state_is_past_cancelling(ask->state)
                        ? FAILURE_NOT_CANCELLABLE
                        : FAILURE_NONE);
    case VERDICT_RENEW:
        if (!job->expired)
            return renew(engine, job, ask, MODE_SETTLE);
        break;
    case VERDICT_REFUSED:
    case VERDICT_FAILED:
        /* A cancel that was taken is not refused because its end may not be seen. */
        return done(engine, job, ask,
                    is_cancel(job) && verdict->error.kind != FAILURE_NOT_FOUND
                        ? FAILURE_UNKNOWN_OUTCOME
                        : verdict->error.kind);
    case VERDICT_RETRY:
    case VERDICT_UNKNOWN:
        break;
    }
    return job->expired ? done(engine, job, ask, FAILURE_EXPIRED) : MODE_SETTLE;
}

/* Errors of a look never replace the one that made it necessary, unless there is none. */
static bool worth_keeping(enum ask_mode mode, const struct ask_state *ask,
                          const struct verdict *verdict)
{
    if (verdict->kind == VERDICT_DONE)
        return false;
    return mode == MODE_ACT || mode == MODE_SETTLE || !ask->error ||
           verdict->error.kind == FAILURE_NOT_FOUND;
}

/* The call was refused as a whole: again, in smaller company. Such tries are not counted, as each
 * call is smaller than the one before. */
static enum ask_mode judge_apart(struct engine *engine, struct job *job, struct ask_state *ask,
                                 enum ask_mode mode, const struct verdict *verdict)
{
    ask->most = verdict->apart;
    if (mode != MODE_ACT)
        return mode;
    ask->acts--;
    if (is_cancel(job) && verdict->kind == VERDICT_REFUSED)
        return MODE_LOOK_UNKNOWN;
    ask->maybe_sent = false;
    return job->expired ? done(engine, job, ask, FAILURE_EXPIRED) : MODE_ACT;
}

static enum ask_mode judge(struct engine *engine, const struct part *part, struct ask_state *ask,
                           const struct verdict *verdict)
{
    struct job *job = part->job;
    if (worth_keeping(part->mode, ask, verdict))
        ask_keep_error(ask, &verdict->error);
    if (verdict->apart > 0)
        return judge_apart(engine, job, ask, part->mode, verdict);
    switch (part->mode) {
    case MODE_ACT:
        return judge_act(engine, job, ask, verdict);
    case MODE_SETTLE:
        return judge_settle(engine, job, ask, verdict);
    default:
        return judge_look(engine, job, ask, part->mode, part->tries, verdict);
    }
}

/* ---- holds ----------------------------------------------------------------------------------- */

/* A throttled answer, or one that fails with Retry-After, holds the whole account. */
void verdicts_hold(struct engine *engine, struct account *account, const struct verdict *verdicts,
                   size_t count, const struct http_response *response)
{
    bool throttled = false, failing = false;
    for (size_t i = 0; i < count; i++) {
        throttled |= verdicts[i].kind == VERDICT_RETRY && verdicts[i].throttled;
        failing |= verdicts[i].kind == VERDICT_RETRY || verdicts[i].kind == VERDICT_UNKNOWN;
    }
    struct admission *admission = &account->admission;
    int64_t pause;
    if (!throttled && !failing) {
        admission->throttles = 0;
        return;
    }
    bool told = retry_after(response->retry_after, engine->now.wall_ms, &pause);
    account->metrics->throttled += throttled;
    if (!told && !throttled)
        return;
    if (!told) {
        const struct account_settings *settings = account->settings;
        bool held = admission->held_until_ms > engine->now.mono_ms;
        admission->throttles += !held; /* answers to calls that went out together count once */
        pause = retry_poll(&engine->rng, settings->retry.backoff_low_ms,
                           settings->retry.backoff_high_ms, admission->throttles);
    }
    if (engine->now.mono_ms + pause > admission->held_until_ms)
        LOG(engine, LOG_WARN, "account_held", "account=%s ms=%lld http_status=%d",
            account->settings->name, (long long)pause, response->status);
    admission_hold(admission, engine->now.mono_ms, engine->now.mono_ms + pause);
    limits_note_gauges(account);
}

/* ---- from verdicts to new parts -------------------------------------------------------------- */

static int64_t pause_before(const struct engine *engine, const struct job *job,
                            enum ask_mode old_mode, enum ask_mode mode, unsigned tries,
                            unsigned acts, struct rng jitter)
{
    const struct account_settings *settings = job->account->settings;
    int64_t low = settings->retry.backoff_low_ms, high = settings->retry.backoff_high_ms;
    if (mode == MODE_SETTLE)
        return retry_settle(engine->now.mono_ms, job->account->poll_phase_ms,
                            settings->settle.poll_low_ms, settings->settle.poll_high_ms, tries + 1);
    if (mode == MODE_LOOK_AFTER || (mode == MODE_LOOK_REFUSED && old_mode == MODE_ACT))
        return 0;
    if (mode == MODE_ACT)
        return acts == 0 ? 0 : retry_backoff(&jitter, low, high, acts);
    /* A cancel that timed out may still be on its way: never look at once. */
    return retry_poll(&jitter, low, high, tries + 1);
}

static void begin_settling(struct engine *engine, struct job *job)
{
    if (job->settling)
        return;
    job->settling = true;
    if (job->expired || job->command.expires_ms != COMMAND_NEVER)
        return;
    job->settle_until_ms = engine->now.mono_ms + job->account->settings->settle.limit_ms;
    intake_set_expiry(engine, job);
}

/* The key is free once nothing but polling is left to do. */
static void free_key_if_settling(struct engine *engine, struct job *job)
{
    for (size_t i = 0; job->call_lane_count > 0 && i < job->ask_count; i++)
        if (job->asks[i].mode != MODE_SETTLE && job->asks[i].mode != MODE_DONE)
            return;
    job_free_call_lanes(engine, job);
}

/* What a part was when its call ended. */
struct ended {
    const struct verdict *verdicts;
    const uint32_t *asks;
    size_t count;
    enum ask_mode mode;
    unsigned tries;
    const struct rng *jitter;
};

static void plan_again(struct engine *engine, struct job *job, const struct ended *ended,
                       bool apart, unsigned acts, struct part_plan *plan)
{
    bool renewing = false;
    if (apart) {
        plan->tries = plan->mode == ended->mode ? ended->tries - 1 : 0;
        return;
    }
    for (size_t i = 0; i < ended->count; i++)
        renewing |= ended->verdicts[i].kind == VERDICT_RENEW;
    plan->tries = plan->mode == ended->mode ? ended->tries : 0;
    if (!renewing || plan->mode != ended->mode)
        plan->pause_ms =
            pause_before(engine, job, ended->mode, plan->mode, plan->tries, acts, *ended->jitter);
}

/* Makes new parts of the asks that went to `mode`; `apart`: of those that are asked again at once
 * in smaller company. `group` has room for all. */
static void send_on(struct engine *engine, struct job *job, const struct ended *ended,
                    enum ask_mode mode, bool apart, uint32_t *group)
{
    struct part_plan plan = {.mode = mode};
    size_t size = 0;
    unsigned acts = 0;
    for (size_t i = 0; i < ended->count; i++) {
        const struct ask_state *ask = &job->asks[ended->asks[i]];
        if (ask->mode != mode || (ended->verdicts[i].apart > 0) != apart)
            continue;
        group[size++] = ended->asks[i];
        if (mode == MODE_ACT)
            job->account->metrics->retries[kept_failure(ask, FAILURE_INTERNAL)]++;
        acts = ask->acts > acts ? ask->acts : acts;
        if (ask->most > 0 && (plan.most == 0 || ask->most < plan.most))
            plan.most = ask->most;
    }
    if (size == 0)
        return;
    if (mode == MODE_SETTLE)
        begin_settling(engine, job);
    plan_again(engine, job, ended, apart, acts, &plan);
    if (work_make_parts(engine, job, group, size, &plan) < 0)
        engine_fail(engine, "no memory for a retry");
}

void verdicts_apply(struct engine *engine, struct part *part, const struct verdict *verdicts,
                    const struct rng *jitter)
{
    struct job *job = part->job;
    struct ended ended = {.verdicts = verdicts,
                          .count = part->count,
                          .mode = part->mode,
                          .tries = part->tries,
                          .jitter = jitter};
    uint32_t only = part->only, *own = NULL, *group = malloc(part->count * sizeof *group);
    if (!group) {
        engine_fail(engine, "no memory for a retry");
        return;
    }
    unsigned modes = 0; /* that one of them is in, as bits */
    for (size_t i = 0; i < part->count; i++) {
        struct ask_state *ask = &job->asks[part->asks[i]];
        ask->mode = judge(engine, part, ask, &verdicts[i]);
        modes |= 1u << ask->mode;
    }
    if (part->asks != &part->only) {
        own = part->asks; /* outlives the part */
        part->asks = &part->only;
    }
    ended.asks = own ? own : &only;
    part_free(engine, part);
    for (enum ask_mode mode = 0; mode < MODE_DONE; mode++) {
        if (!(modes & 1u << mode))
            continue;
        send_on(engine, job, &ended, mode, false, group);
        send_on(engine, job, &ended, mode, true, group);
    }
    free(group);
    free(own);
    free_key_if_settling(engine, job);
    decide_if_done(engine, job);
    decide_progress(engine, job);
}

/* Ends every open ask; `failure` NONE: with the error that its tries left. */
static void end_part(struct engine *engine, struct part *part, enum failure failure)
{
    struct job *job = part->job;
    for (size_t i = 0; i < part->count; i++) {
        struct ask_state *ask = &job->asks[part->asks[i]];
        enum failure why =
            failure != FAILURE_NONE ? failure : kept_failure(ask, FAILURE_UNAVAILABLE);
        if (part->mode == MODE_ACT || part->mode == MODE_SETTLE)
            ask->mode = done(engine, job, ask, why);
        else
            ask->mode = cannot_look(engine, job, ask, part->mode);
        if (ask->mode != MODE_DONE) /* a cancel taken and to be settled, but not to be polled */
            ask->mode = done(engine, job, ask, why);
    }
    part_free(engine, part);
    decide_if_done(engine, job);
}

void verdicts_fail(struct engine *engine, struct part *part, enum failure failure,
                   const char *message)
{
    struct verdict verdict = {.kind = VERDICT_FAILED};
    verdict_set_error(&verdict, failure, (struct slice){0}, slice_of_string(message), 0);
    for (size_t i = 0; i < part->count; i++) {
        struct ask_state *ask = &part->job->asks[part->asks[i]];
        if (worth_keeping(part->mode, ask, &verdict))
            ask_keep_error(ask, &verdict.error);
    }
    end_part(engine, part, failure);
}

bool verdicts_overdue(const struct engine *engine, const struct part *part)
{
    const struct job *job = part->job;
    bool tried = part->tries > 0 || (part->mode == MODE_ACT && job->asks[part->asks[0]].acts > 0);
    return tried && part->mode != MODE_SETTLE &&
           engine->now.mono_ms - job->began_mono_ms >=
               job->account->settings->retry.give_up_after_ms;
}

void verdicts_give_up(struct engine *engine, struct part *part)
{
    end_part(engine, part, FAILURE_NONE);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

/* An ask outside a call when the deadline comes (`again`: and its one last look had its time). */
static void expire_part(struct engine *engine, struct part *part, bool again)
{
    struct job *job = part->job;
    bool looks = part->mode != MODE_ACT && part->mode != MODE_SETTLE;
    if (part->call)
        return;
    if (looks && !again) {
        part_ready(engine, part);
        return;
    }
    for (size_t i = 0; i < part->count; i++) {
        struct ask_state *ask = &job->asks[part->asks[i]];
        if (part->mode == MODE_ACT)
            ask->maybe_sent = false;
        ask->mode = looks ? cannot_look(engine, job, ask, part->mode)
                          : done(engine, job, ask, FAILURE_EXPIRED);
    }
    part_free(engine, part);
}

void verdicts_expire(struct engine *engine, struct job *job)
{
    bool again = job->expired;
    job->expired = true;
    for (struct part *part = job->parts, *next; part; part = next) {
        next = part->next;
        expire_part(engine, part, again);
    }
    if (job->open_asks > 0 && !again)
        timers_set(&engine->timers, &job->expiry,
                   engine->now.mono_ms + job->account->settings->limits.timeout_ms);
    decide_if_done(engine, job);
}
