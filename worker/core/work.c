#include <assert.h>

#include "worker/core/state.h"

#include "common/banned.h"

/* ---- parts ----------------------------------------------------------------------------------- */

static struct part *part_of_timer(struct timer *timer)
{
    return (struct part *)((char *)timer - offsetof(struct part, timer));
}

static void pause_over(void *context, struct timer *timer)
{
    part_ready(context, part_of_timer(timer));
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
    part->timer.fire = pause_over;
    engine->timer_users++;
    job->parts = part;
    return part;
}

void part_free(struct engine *engine, struct part *part)
{
    struct job *job = part->job;
    part_unready(part);
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
                    enum ask_mode mode, unsigned tries, int64_t pause_ms)
{
    const struct account_settings *settings = job->account->settings;
    size_t most =
        settings->provider->most_asks(settings->opened, mode_operation(job, mode), job->task);
    if (most > settings->limits.batch)
        most = settings->limits.batch;
    if (most == 0)
        most = 1;
    for (size_t at = 0; at < count;) {
        size_t size = count - at < most ? count - at : most;
        struct part *part = part_new(engine, job, size);
        if (!part)
            return -1;
        memcpy(part->asks, asks + at, size * sizeof *asks);
        part->mode = mode;
        part->tries = tries;
        if (pause_ms == 0)
            part_ready(engine, part);
        else if (pause_ms > 0)
            timers_set(&engine->timers, &part->timer, engine->now.mono_ms + pause_ms);
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
    return !job->stopped || confirms;
}

void part_ready(struct engine *engine, struct part *part)
{
    struct account *account = part->job->account;
    if (part->ready || part->call || !may_go(part))
        return;
    timers_stop(&engine->timers, &part->timer);
    part->ready = true;
    part->since_ms = engine->now.mono_ms;
    part->ready_next = NULL;
    part->ready_previous = account->ready_last;
    *(account->ready_last ? &account->ready_last->ready_next : &account->ready_first) = part;
    account->ready_last = part;
    account->metrics->waiting += part->count;
}

void part_unready(struct part *part)
{
    if (!part->ready)
        return;
    struct account *account = part->job->account;
    part->ready = false;
    *(part->ready_previous ? &part->ready_previous->ready_next : &account->ready_first) =
        part->ready_next;
    *(part->ready_next ? &part->ready_next->ready_previous : &account->ready_last) =
        part->ready_previous;
    account->metrics->waiting -= part->count;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static struct call *call_new(struct engine *engine, struct account *account, struct part *part)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->account = account;
    call->part = part;
    buffer_init(&call->cursor, LIMIT_MESSAGE_BYTES);
    if (part) {
        call->count = part->count;
        call->asks = calloc(call->count, sizeof *call->asks);
        call->verdicts = calloc(call->count, sizeof *call->verdicts);
        if (!call->asks || !call->verdicts) {
            free(call->asks);
            free(call->verdicts);
            free(call);
            return NULL;
        }
        call->operation = mode_operation(part->job, part->mode);
        call->generation = account->credentials.generation;
        for (size_t i = 0; i < call->count; i++)
            call->asks[i] = (struct ask){part->job->task, part->asks[i]};
        part->call = call;
        part->job->calls_out++;
        part->job->partition->calls_out++;
    }
    engine->calls_out++;
    admission_begin(&account->admission);
    account->metrics->calls_in_flight++;
    call->id = ++engine->last_call_id;
    HASH_ADD(hh, engine->calls, id, sizeof call->id, call);
    return call;
}

void call_free(struct engine *engine, struct call *call)
{
    struct part *part = call->part;
    if (part) {
        part->call = NULL;
        part->job->calls_out--;
        part->job->partition->calls_out--;
    }
    engine->calls_out--;
    admission_end(&call->account->admission);
    call->account->metrics->calls_in_flight--;
    HASH_DEL(engine->calls, call);
    buffer_release(&call->cursor);
    free(call->asks);
    free(call->verdicts);
    free(call);
}

void work_abandon(struct engine *engine, struct job *job)
{
    for (struct part *part = job->parts; part; part = part->next) {
        if (!part->call)
            continue;
        engine->ports->abandon(engine->ports->context, part->call->id);
        call_free(engine, part->call);
    }
}

/* Builds the request of a call and hands it out. */
static int send_call(struct engine *engine, struct call *call, struct error *err)
{
    const struct account_settings *settings = call->account->settings;
    struct call_purpose purpose = {.operation = call->operation,
                                   .asks = call->asks,
                                   .count = call->count,
                                   .page = call->page,
                                   .cursor = call->page ? buffer_slice(&call->cursor)
                                                        : (struct slice){0}};
    struct http_request request;
    http_request_init(&request);
    if (settings->provider->request(settings->opened, &purpose,
                                    credentials_current(&call->account->credentials),
                                    engine->now.wall_ms, &request, err) < 0 ||
        http_request_check(&request, err) < 0) {
        http_request_release(&request);
        return -1;
    }
    call->since_ms = engine->now.mono_ms;
    engine->ports->call(engine->ports->context, call->id, settings, &request);
    return 0;
}

static void start_part(struct engine *engine, struct part *part)
{
    struct job *job = part->job;
    struct error err;
    /* The timer may be late, and the wall clock may have been set. */
    if (part->mode == MODE_ACT && !job->expired &&
        engine->now.wall_ms >= intake_deadline(engine, &job->command)) {
        verdicts_expire(engine, job);
        return;
    }
    part_unready(part);
    struct call *call = call_new(engine, job->account, part);
    if (!call) {
        verdicts_fail(engine, part, FAILURE_INTERNAL, "out of memory");
        return;
    }
    part->tries++;
    if (job->began_mono_ms == 0)
        job->began_mono_ms = engine->now.mono_ms;
    if (part->mode == MODE_ACT) {
        job->attempts++;
        for (size_t i = 0; i < part->count; i++) {
            job->asks[part->asks[i]].acts++;
            job->asks[part->asks[i]].maybe_sent = job->command.operation == OPERATION_CANCEL;
        }
    }
    if (send_call(engine, call, &err) < 0) {
        call_free(engine, call);
        for (size_t i = 0; i < part->count; i++)
            job->asks[part->asks[i]].maybe_sent = false;
        verdicts_fail(engine, part, FAILURE_INTERNAL, err.message);
    }
}

/* ---- sign-in --------------------------------------------------------------------------------- */

static void start_sign_in(struct engine *engine, struct account *account)
{
    const struct account_settings *settings = account->settings;
    struct error err;
    int64_t wall_ms;
    const struct credential *current =
        credentials_begin(&account->credentials, engine->now, &wall_ms);
    struct call *call = call_new(engine, account, NULL);
    struct http_request request;
    http_request_init(&request);
    if (!call ||
        settings->provider->sign_in(settings->opened, current, wall_ms, &request, &err) < 0 ||
        http_request_check(&request, &err) < 0) {
        http_request_release(&request);
        if (call)
            call_free(engine, call);
        credentials_failed(&account->credentials, engine->now, true, 0);
        return;
    }
    account->metrics->sign_ins++;
    engine->ports->call(engine->ports->context, call->id, settings, &request);
}

/* All that waits ends with this failure, or only what waited longer than give_up_after. */
static void fail_waiting(struct engine *engine, struct account *account,
                         const struct verdict *verdict, bool all)
{
    int64_t limit =
        all ? INT64_MAX : engine->now.mono_ms - account->settings->retry.give_up_after_ms;
    for (struct part *part = account->ready_first; part;) {
        if (part->job->received_mono_ms > limit) {
            part = part->ready_next;
            continue;
        }
        verdicts_fail(engine, part, verdict->error.kind, verdict->error.message);
        part = account->ready_first; /* the queue may have changed: jobs behind this one may have
                                        started */
    }
}

static void signed_in(struct engine *engine, struct account *account,
                      const struct http_response *response)
{
    const struct account_settings *settings = account->settings;
    struct credential fresh = {0};
    struct verdict verdict = {0};
    if (settings->provider->signed_in(settings->opened, credentials_renewing(&account->credentials),
                                      response, engine->now.wall_ms, &fresh, &verdict) == 0) {
        credentials_renewed(&account->credentials, engine->now, &fresh);
        LOG(engine, LOG_DEBUG, "signed_in", "account=%s", settings->name);
        return;
    }
    bool refused = verdict.kind == VERDICT_FAILED || verdict.kind == VERDICT_RENEW ||
                   verdict.kind == VERDICT_REFUSED;
    bool renewal = account->credentials.renewing;
    int64_t pause =
        retry_backoff(&engine->rng, settings->retry.backoff_low_ms, settings->retry.backoff_high_ms,
                      account->credentials.failures + 1);
    int64_t wished;
    if (retry_after(response->retry_after, engine->now.wall_ms, &wished) && wished > pause)
        pause = wished;
    credentials_failed(&account->credentials, engine->now, refused, pause);
    LOG(engine, LOG_WARN, "sign_in_failed", "account=%s refused=%s http_status=%d failures=%u",
        settings->name, refused ? "true" : "false", response->status,
        account->credentials.failures);
    if (refused && !renewal) {
        if (response->result != HTTP_DENIED)
            verdict.error.kind = FAILURE_UNAUTHORIZED;
        fail_waiting(engine, account, &verdict, true);
    } else if (!refused) {
        fail_waiting(engine, account, &verdict, false);
    }
}

/* ---- pump ------------------------------------------------------------------------------------ */

void account_timer_fired(void *context, struct timer *timer)
{
    (void)context, (void)timer; /* being awake is all it is for: work_pump() follows every event */
}

static struct part *next_startable(const struct account *account)
{
    struct part *part = account->ready_first;
    while (part && !part->job->partition->marked)
        part = part->ready_next;
    return part;
}

/* Starts one call of the account if it may; false: none now, the account's timer says when to look
 * again. */
static bool pump_account(struct engine *engine, struct account *account)
{
    int64_t retry_at, wait;
    struct part *part = next_startable(account);
    bool wanted = part != NULL;
    if (credentials_due(&account->credentials, engine->now, wanted, &retry_at)) {
        start_sign_in(engine, account);
        return true;
    }
    if (!wanted)
        return false;
    if (!credentials_usable(&account->credentials, engine->now)) {
        if (retry_at != INT64_MAX)
            timers_set(&engine->timers, &account->timer, retry_at);
        return false;
    }
    wait = admission_wait(&account->admission, engine->now.mono_ms);
    if (wait != 0) {
        if (wait != INT64_MAX)
            timers_set(&engine->timers, &account->timer, wait);
        return false;
    }
    start_part(engine, part);
    return true;
}

/* Accounts take turns, so that none starves while the worker's own ceiling is reached. */
void work_pump(struct engine *engine)
{
    size_t count = engine->settings->account_count, idle = 0;
    if (engine->failed || engine->fenced)
        return;
    while (idle < count && engine->calls_out < engine->settings->calls) {
        struct account *account = &engine->accounts[engine->next_account];
        engine->next_account = (engine->next_account + 1) % count;
        idle = account->ready_first && pump_account(engine, account) ? 0 : idle + 1;
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

void work_response(struct engine *engine, struct call *call, const struct http_response *response)
{
    struct account *account = call->account;
    struct part *part = call->part;
    const struct account_settings *settings = account->settings;
    if (response->result == HTTP_DENIED)
        note_denied(engine, account, response);
    if (!part) {
        call_free(engine, call);
        signed_in(engine, account, response);
        return;
    }
    account->metrics->calls[call->operation][code_class(response)]++;
    struct call_purpose purpose = {call->operation, call->asks, call->count, call->page,
                                   call->page ? buffer_slice(&call->cursor) : (struct slice){0}};
    struct next_page next;
    struct slice json = {0};
    struct error err;
    buffer_init(&next.cursor, LIMIT_MESSAGE_BYTES);
    settings->provider->response(settings->opened, &purpose,
                                 credentials_current(&account->credentials), response,
                                 call->verdicts, &next, &json);
    keep_response(engine, part->job, json);
    if (next.cursor.len > 0 && !buffer_failed(&next.cursor) && call->page < LIMIT_PAGES) {
        call->page++;
        buffer_release(&call->cursor);
        call->cursor = next.cursor;
        if (send_call(engine, call, &err) == 0)
            return;
    } else {
        buffer_release(&next.cursor);
    }
    struct verdict *verdicts = call->verdicts;
    uint64_t generation = call->generation;
    call->verdicts = NULL;
    call_free(engine, call);
    for (size_t i = 0; i < part->count; i++) {
        if (verdicts[i].kind == VERDICT_RENEW) {
            credentials_rejected(&account->credentials, generation);
            break;
        }
    }
    verdicts_apply(engine, part, verdicts, response);
    free(verdicts);
}
