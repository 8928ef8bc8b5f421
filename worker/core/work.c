#include <assert.h>

#include "worker/core/state.h"

#include "common/banned.h"

/* ---- parts ----------------------------------------------------------------------------------- */

static struct part *part_of_timer(struct timer *timer)
{
    return (struct part *)((char *)timer - offsetof(struct part, timer));
}

/* A pause is over, or the patience of a part that waits for a call. */
static void timer_fired(void *context, struct timer *timer)
{
    struct part *part = part_of_timer(timer);
    if (part->line)
        verdicts_give_up(context, part);
    else
        part_ready(context, part);
}

/* A job's first part lives in the job while it has one ask; all others are allocated. */
static struct part *part_new(struct engine *engine, struct job *job, size_t count)
{
    struct part *part = NULL;
    bool inside = count == 1 && !job->first_part.job;
    if (timers_reserve(&engine->timers, engine->timer_users + 2) < 0)
        return NULL;
    part = inside ? &job->first_part : malloc(sizeof *part);
    if (!part)
        return NULL;
    *part = (struct part){
        .job = job, .count = count, .next = job->parts, .since_ms = engine->now.mono_ms};
    part->asks = count == 1 ? &part->only : calloc(count, sizeof *part->asks);
    if (!part->asks) {
        if (!inside)
            free(part);
        return NULL;
    }
    part->timer.fire = timer_fired;
    engine->timer_users++;
    job->parts = part;
    return part;
}

void part_free(struct engine *engine, struct part *part)
{
    struct job *job = part->job;
    part_unready(engine, part);
    timers_stop(&engine->timers, &part->timer);
    engine->timer_users--;
    struct part **link = &job->parts;
    while (*link != part)
        link = &(*link)->next;
    *link = part->next;
    if (part->asks != &part->only)
        free(part->asks);
    if (part == &job->first_part)
        job->first_part = (struct part){0};
    else
        free(part);
}

int work_make_parts(struct engine *engine, struct job *job, const uint32_t *asks, size_t count,
                    const struct part_plan *plan)
{
    const struct account_settings *settings = job->account->settings;
    size_t most = settings->provider->most_asks(settings->opened, mode_operation(job, plan->mode),
                                                job->task, settings->limits.batch);
    if (plan->most > 0 && plan->most < most)
        most = plan->most;
    assert(most > 0);
    if (most > job->account->most_asks)
        job->account->most_asks = most;
    for (size_t at = 0; at < count;) {
        size_t size = count - at < most ? count - at : most;
        struct part *part = part_new(engine, job, size);
        if (!part)
            return -1;
        memcpy(part->asks, asks + at, size * sizeof *asks);
        part->mode = plan->mode;
        part->tries = plan->tries;
        part->most = most;
        if (plan->pause_ms == 0)
            part_ready(engine, part);
        else if (plan->pause_ms > 0)
            timers_set(&engine->timers, &part->timer, engine->now.mono_ms + plan->pause_ms);
        at += size;
    }
    return 0;
}

/* What may still go once a job is left to the next owner: looks that tell the fate of a cancel
 * already sent. */
static bool may_go(const struct part *part)
{
    const struct job *job = part->job;
    bool confirms = part->mode == MODE_LOOK_UNKNOWN || part->mode == MODE_LOOK_AFTER ||
                    part->mode == MODE_LOOK_REFUSED;
    return job->partition->marked && (!job->stopped || confirms);
}

/* What was tried waits for its next call no longer than it would be tried again, be the account
 * held, its provider down or the line long; its first look has a call's time at least. What was
 * never tried waits until its own deadline. */
static void have_patience(struct engine *engine, struct part *part)
{
    const struct account *account = part->job->account;
    bool acts_again = part->mode == MODE_ACT && part->job->asks[part->asks[0]].acts > 0;
    bool looks = part->mode == MODE_LOOK_FIRST
                     ? part->tries > 0
                     : part->mode != MODE_ACT && part->mode != MODE_SETTLE;
    if (!acts_again && !looks)
        return;
    int64_t due = part->job->began_mono_ms + account->settings->retry.give_up_after_ms;
    int64_t least = engine->now.mono_ms + account->settings->limits.timeout_ms;
    if (looks && part->tries == 0 && due < least)
        due = least;
    if (account->admission.held_until_ms >= due)
        due = engine->now.mono_ms;
    timers_set(&engine->timers, &part->timer, due);
}

void part_ready(struct engine *engine, struct part *part)
{
    if (part->line || part->call || !may_go(part))
        return;
    timers_stop(&engine->timers, &part->timer);
    part->since_ms = engine->now.mono_ms;
    if (batcher_add(engine, part) < 0) {
        engine_fail(engine, "no memory for a call");
        return;
    }
    part->job->account->metrics->waiting += part->count;
    engine->waiting += part->count;
    limits_note_busy(engine, part->job->account);
    have_patience(engine, part);
}

void part_unready(struct engine *engine, struct part *part)
{
    if (!part->line)
        return;
    batcher_remove(engine, part);
    timers_stop(&engine->timers, &part->timer);
    part->job->account->metrics->waiting -= part->count;
    engine->waiting -= part->count;
    limits_note_busy(engine, part->job->account);
}

void work_begin(struct engine *engine, struct partition *partition)
{
    partition->marked = true;
    for (struct job *job = partition->first; job; job = job->next)
        for (struct part *part = job->parts; part; part = part->next)
            if ((job->started || job->expired) && !timer_is_set(&part->timer))
                part_ready(engine, part);
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct call *call_new(struct engine *engine, struct account *account)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->account = account;
    call->generation = account->credentials.generation;
    buffer_init(&call->cursor, LIMIT_MESSAGE_BYTES);
    engine->calls_out++;
    call->began_ms = engine->now.mono_ms;
    account->metrics->calls_in_flight++;
    limits_note_busy(engine, account);
    account->credentials.calls_out++;
    call->id = ++engine->last_call_id;
    HASH_ADD(hh, engine->calls, id, sizeof call->id, call);
    return call;
}

/* Takes all its parts out. */
static struct part *call_take_parts(struct call *call)
{
    struct part *parts = call->parts;
    for (struct part *part = parts; part; part = part->call_next) {
        part->call = NULL;
        part->job->partition->calls_out--;
    }
    call->parts = NULL;
    return parts;
}

void call_free(struct engine *engine, struct call *call)
{
    call_take_parts(call);
    if (call->asks)
        admission_end(&call->account->admission, call->operation);
    else
        admission_end_sign_in(&call->account->admission);
    engine->calls_out--;
    call->account->metrics->calls_in_flight--;
    limits_note_busy(engine, call->account);
    call->account->credentials.calls_out--;
    HASH_DEL(engine->calls, call);
    buffer_release(&call->cursor);
    free(call->asks);
    free(call->verdicts);
    free(call);
}

/* Moves what stands behind `count` elements from `at` on. */
static void cut(void *elements, size_t size, size_t total, size_t at, size_t count)
{
    char *bytes = elements;
    memmove(bytes + at * size, bytes + (at + count) * size, (total - at - count) * size);
}

/* The other parts of its call go on as if it had never been there. */
static void leave_call(struct engine *engine, struct part *part)
{
    struct call *call = part->call;
    struct part **link = &call->parts;
    size_t at = 0;
    for (; *link != part; link = &(*link)->call_next)
        at += (*link)->count;
    *link = part->call_next;
    cut(call->asks, sizeof *call->asks, call->count, at, part->count);
    if (call->verdicts)
        cut(call->verdicts, sizeof *call->verdicts, call->count, at, part->count);
    call->count -= part->count;
    part->call = NULL;
    part->job->partition->calls_out--;
    if (call->parts)
        return;
    engine->ports->abandon(engine->ports->context, call->id);
    call_free(engine, call);
}

void work_abandon(struct engine *engine, struct job *job)
{
    for (struct part *part = job->parts; part; part = part->next)
        if (part->call)
            leave_call(engine, part);
}

static struct call_purpose purpose_of(const struct call *call)
{
    return (struct call_purpose){.operation = call->operation,
                                 .asks = call->asks,
                                 .count = call->count,
                                 .ids = call->ids,
                                 .page = call->page,
                                 .cursor =
                                     call->page ? buffer_slice(&call->cursor) : (struct slice){0}};
}

/* Builds the request of a call and hands it out. */
static int send_call(struct engine *engine, struct call *call, struct error *err)
{
    const struct account_settings *settings = call->account->settings;
    struct call_purpose purpose = purpose_of(call);
    struct http_request request;
    http_request_init(&request);
    int result = settings->provider->request(settings->opened, &purpose,
                                             credentials_current(&call->account->credentials),
                                             engine->now.wall_ms, &request, err);
    if (result == 0)
        trace_request(engine, call, &request);
    if (result < 0 || http_request_check(&request, err) < 0) {
        http_request_release(&request);
        return -1;
    }
    call->since_ms = engine->now.mono_ms;
    engine->ports->call(engine->ports->context, call->id, settings, &request);
    return 0;
}

/* Puts waiting parts into a call of their own. NULL: no memory, they still wait. */
static struct call *fill_call(struct engine *engine, struct part *const *parts, size_t count,
                              size_t ids)
{
    struct job *job = parts[0]->job;
    size_t asks = 0;
    for (size_t i = 0; i < count; i++)
        asks += parts[i]->count;
    struct ask *filled = calloc(asks, sizeof *filled);
    struct call *call = filled ? call_new(engine, job->account) : NULL;
    if (!call) {
        free(filled);
        return NULL;
    }
    call->asks = filled;
    call->ids = ids;
    call->operation = mode_operation(job, parts[0]->mode);
    call->probe = admission_begin(&job->account->admission, call->operation, engine->now.mono_ms);
    job->account->metrics->probes += call->probe;
    limits_note_gauges(job->account);
    struct part **link = &call->parts;
    for (size_t i = 0; i < count; i++) {
        struct part *part = parts[i];
        part_unready(engine, part);
        for (size_t k = 0; k < part->count; k++)
            call->asks[call->count++] = (struct ask){part->job->task, part->asks[k]};
        part->call = call;
        part->call_next = NULL;
        part->job->partition->calls_out++;
        *link = part;
        link = &part->call_next;
    }
    return call;
}

static void note_start(struct engine *engine, struct part *part)
{
    struct job *job = part->job;
    part->tries++;
    if (!job->called)
        histogram_add(&job->account->metrics->queued, engine->now.mono_ms - job->received_mono_ms);
    job->called = true;
    if (job->began_mono_ms == 0)
        job->began_mono_ms = engine->now.mono_ms - job->begun_before_ms;
    if (part->mode != MODE_ACT)
        return;
    job->attempts += job->last_attempt != part->call->id;
    job->last_attempt = part->call->id;
    for (size_t i = 0; i < part->count; i++) {
        struct ask_state *ask = &job->asks[part->asks[i]];
        ask->acts++;
        ask->maybe_sent = job->command.operation == OPERATION_CANCEL;
    }
}

static void fail_parts(struct engine *engine, struct part *parts, const char *message)
{
    for (struct part *part = parts, *next; part; part = next) {
        next = part->call_next;
        for (size_t i = 0; part->mode == MODE_ACT && i < part->count; i++)
            part->job->asks[part->asks[i]].maybe_sent = false;
        verdicts_fail(engine, part, FAILURE_INTERNAL, message);
    }
}

/* The timer may be late, and the wall clock may have been set. */
static bool is_late(struct engine *engine, const struct part *part)
{
    return part->mode == MODE_ACT && !part->job->expired &&
           engine->now.wall_ms >= intake_deadline(engine, &part->job->command);
}

/* Starts a call with who waits first in the line and whoever may share it, or ends a command that
 * is too late. */
static void start_call(struct engine *engine, struct line *line)
{
    struct part *parts[LIMIT_ASKS];
    size_t ids, count = batcher_choose(line, parts, LIMIT_ASKS, &ids);
    struct error err;
    for (size_t i = 0; i < count; i++) {
        if (is_late(engine, parts[i])) {
            verdicts_expire(engine, parts[i]->job);
            return;
        }
        if (verdicts_overdue(engine, parts[i])) {
            verdicts_give_up(engine, parts[i]);
            return;
        }
    }
    batcher_pass(line);
    struct call *call = fill_call(engine, parts, count, ids);
    if (!call) {
        engine_fail(engine, "no memory for a call");
        return;
    }
    call->account->turn = call->operation + 1;
    for (struct part *part = call->parts; part; part = part->call_next)
        note_start(engine, part);
    if (send_call(engine, call, &err) < 0) {
        struct part *failed = call_take_parts(call);
        call_free(engine, call);
        fail_parts(engine, failed, err.message);
    }
}

/* ---- pump ------------------------------------------------------------------------------------ */

void account_timer_fired(void *context, struct timer *timer)
{
    (void)context, (void)timer; /* being awake is all it is for: work_pump() follows every event */
}

/* Starts one call of the account if it may; false: none now, the account's timer says when to look
 * again. */
static bool pump_account(struct engine *engine, struct account *account)
{
    int64_t retry_at, wait_ms;
    bool wanted;
    if (account->admission.stopped || limits_has_share(engine, account))
        return false;
    struct line *line = limits_admitted(engine, account, &wanted, &wait_ms);
    if (credentials_due(&account->credentials, engine->now, wanted, &retry_at)) {
        sign_in_start(engine, account);
        return true;
    }
    if (!wanted)
        return false;
    if (!credentials_usable(&account->credentials, engine->now)) {
        int64_t give_up_at = sign_in_give_up(engine, account);
        retry_at = give_up_at < retry_at ? give_up_at : retry_at;
        if (retry_at != INT64_MAX)
            timers_set(&engine->timers, &account->timer, retry_at);
        return false;
    }
    if (line)
        start_call(engine, line);
    else if (wait_ms != INT64_MAX)
        timers_set(&engine->timers, &account->timer, wait_ms);
    return line != NULL;
}

/* Accounts take turns, so that none starves while the worker's own ceiling is reached. */
void work_pump(struct engine *engine)
{
    size_t count = engine->settings->account_count, idle = 0;
    if (engine->failed || engine->fenced || engine->waiting == 0)
        return;
    while (idle < count && engine->calls_out < engine->settings->calls) {
        struct account *account = &engine->accounts[engine->next_account];
        engine->next_account = (engine->next_account + 1) % count;
        idle = pump_account(engine, account) ? 0 : idle + 1;
    }
}

/* ---- responses ------------------------------------------------------------------------------- */

static unsigned code_class(const struct http_response *response)
{
    if (response->result == HTTP_NOT_SENT || response->result == HTTP_DENIED)
        return 0;
    if (response->result != HTTP_ANSWERED)
        return 1;
    unsigned hundreds = (unsigned)response->status / 100;
    return hundreds >= 2 && hundreds <= 5 ? hundreds : 6;
}

static void keep_response(struct engine *engine, struct job *job, struct slice json)
{
    engine->bytes -= job->response.len;
    job->bytes -= job->response.len;
    buffer_clear(&job->response);
    if (json.data && json.len <= LIMIT_ECHO_BYTES)
        buffer_append_slice(&job->response, json);
    engine->bytes += job->response.len;
    job->bytes += job->response.len;
}

static void note_denied(struct engine *engine, struct account *account,
                        const struct http_response *response)
{
    account->metrics->denied++;
    LOG(engine, LOG_WARN, "address_denied", "account=%s reason=\"%s\"", account->settings->name,
        response->problem);
}

/* Whether the answer speaks of other commands' tasks too. */
static bool tells_of_others(const struct call *call)
{
    for (const struct part *part = call->parts; part; part = part->call_next)
        if (call->ids > 1 && part->job != call->parts->job)
            return true;
    return false;
}

/* Asks for the next page if there is one; false: the answer is whole. */
static bool turn_page(struct engine *engine, struct call *call, struct next_page *next)
{
    struct error err;
    if (next->cursor.len == 0 || buffer_failed(&next->cursor) || call->page >= LIMIT_PAGES) {
        buffer_release(&next->cursor);
        return false;
    }
    call->page++;
    admission_spend(&call->account->admission);
    buffer_release(&call->cursor);
    call->cursor = next->cursor;
    return send_call(engine, call, &err) == 0;
}

/* Every part goes its own way. */
static void end_call(struct engine *engine, struct call *call, const struct http_response *response)
{
    struct account *account = call->account;
    limits_learn(engine, call, response);
    struct verdict *verdicts = call->verdicts;
    size_t count = call->count;
    uint64_t generation = call->generation;
    struct rng jitter = engine->rng;
    (void)rng_next(&engine->rng);
    call->verdicts = NULL;
    struct part *parts = call_take_parts(call);
    call_free(engine, call);
    struct verdict why;
    bool refused = sign_in_judge(engine, account, generation, verdicts, count, response, &why);
    verdicts_hold(engine, account, verdicts, count, response);
    const struct verdict *verdict = verdicts;
    for (struct part *part = parts, *next; part; part = next) {
        size_t asks = part->count;
        next = part->call_next;
        verdicts_apply(engine, part, verdict, &jitter);
        verdict += asks;
    }
    free(verdicts);
    if (refused)
        sign_in_refuse_waiting(engine, account, &why);
}

void work_response(struct engine *engine, struct call *call, const struct http_response *response)
{
    struct account *account = call->account;
    const struct account_settings *settings = account->settings;
    if (response->result == HTTP_DENIED)
        note_denied(engine, account, response);
    if (!call->parts) {
        call_free(engine, call);
        sign_in_answered(engine, account, response);
        return;
    }
    account->metrics->calls[call->operation][code_class(response)]++;
    histogram_add(&account->metrics->called[call->operation], engine->now.mono_ms - call->since_ms);
    trace_called(engine, call, response);
    if (!call->verdicts)
        call->verdicts = calloc(call->count, sizeof *call->verdicts);
    if (!call->verdicts) {
        engine_fail(engine, "no memory for an answer");
        return;
    }
    struct call_purpose purpose = purpose_of(call);
    struct next_page next;
    struct slice json = {0};
    buffer_init(&next.cursor, LIMIT_MESSAGE_BYTES);
    settings->provider->response(settings->opened, &purpose,
                                 credentials_current(&account->credentials), response,
                                 call->verdicts, &next, &json);
    if (tells_of_others(call))
        json = (struct slice){0};
    for (struct part *part = call->parts; part; part = part->call_next)
        keep_response(engine, part->job, json);
    if (!turn_page(engine, call, &next))
        end_call(engine, call, response);
}
