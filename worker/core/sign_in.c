#include "worker/core/state.h"

#include "common/banned.h"

/* What waits and was received by then ends with this failure; polling has a limit of its own.
 * Returns when the oldest of what is left was received. */
static int64_t fail_waiting(struct engine *engine, struct account *account,
                            const struct result_error *error, int64_t received_by_ms)
{
    int64_t oldest = INT64_MAX;
    for (struct part *part = batcher_next(&account->batcher, NULL), *next; part; part = next) {
        int64_t received = part->job->received_mono_ms;
        bool polls = part->mode == MODE_SETTLE && received_by_ms != INT64_MAX;
        next = batcher_next(&account->batcher, part);
        if (received <= received_by_ms && !polls)
            verdicts_fail(engine, part, error->kind, error->message);
        else if (!polls && received < oldest)
            oldest = received;
    }
    return oldest;
}

int64_t sign_in_give_up(struct engine *engine, struct account *account)
{
    int64_t patience = account->settings->retry.give_up_after_ms;
    if (!credentials_held(&account->credentials, engine->now))
        return INT64_MAX;
    if (engine->now.mono_ms >= account->give_up_ms) {
        int64_t oldest =
            fail_waiting(engine, account, &account->refusal, engine->now.mono_ms - patience);
        account->give_up_ms = (oldest == INT64_MAX ? engine->now.mono_ms : oldest) + patience;
    }
    return account->give_up_ms;
}

static void show(struct account *account)
{
    account->metrics->refusals_in_a_row = account->credentials.refusals;
    account->metrics->clock_skew_ms = account->credentials.skew_ms;
}

/* A refusal that the clock may be the reason for says so. */
static void name_clock(struct engine *engine, struct account *account, struct verdict *verdict)
{
    const struct credentials *credentials = &account->credentials;
    char message[LIMIT_MESSAGE_BYTES + 1];
    long long seconds = credentials->skew_ms / 1000;
    if (!verdict->clock_off && !credentials_clock_is_off(credentials))
        return;
    account->metrics->clock_refusals++;
    if (credentials_clock_is_off(credentials))
        snprintf(message, sizeof message, "the worker's clock is %lld s %s the provider's: %.180s",
                 seconds < 0 ? -seconds : seconds, seconds < 0 ? "behind" : "ahead of",
                 verdict->error.message);
    else
        snprintf(message, sizeof message,
                 "the provider says that the request's time is wrong: %.180s",
                 verdict->error.message);
    verdict_set_error(verdict, verdict->error.kind, slice_of_string(verdict->error.code),
                      slice_of_string(message), verdict->error.http_status);
    if (credentials->skew_known)
        LOG(engine, LOG_WARN, "clock_off", "account=%s ahead_s=%lld", account->settings->name,
            seconds);
    else
        LOG(engine, LOG_WARN, "clock_off", "account=%s", account->settings->name);
}

void sign_in_refuse_waiting(struct engine *engine, struct account *account,
                            const struct verdict *verdict)
{
    int64_t pause = account->credentials.not_before_ms - engine->now.mono_ms;
    account->refusal = verdict->error;
    account->give_up_ms = engine->now.mono_ms + account->settings->retry.give_up_after_ms;
    LOG(engine, LOG_WARN, "account_held",
        "account=%s reason=\"its credentials are refused\" refusals=%u pause_ms=%lld",
        account->settings->name, account->credentials.refusals, (long long)pause);
    fail_waiting(engine, account, &account->refusal, INT64_MAX);
}

static enum sign_in_failure sign_in_failure(const struct verdict *verdict)
{
    switch (verdict->kind) {
    case VERDICT_RENEW:
        return SIGN_IN_RENEWAL_REFUSED;
    case VERDICT_FAILED:
    case VERDICT_REFUSED:
        return SIGN_IN_REFUSED;
    default:
        return SIGN_IN_IMPOSSIBLE;
    }
}

static void sign_in_failed(struct engine *engine, struct account *account,
                           const struct http_response *response, struct verdict *verdict,
                           int64_t pause)
{
    struct credentials *credentials = &account->credentials;
    enum sign_in_failure failure = sign_in_failure(verdict);
    unsigned refusals = credentials->refusals;
    account->metrics->sign_ins_failed++;
    if (failure != SIGN_IN_IMPOSSIBLE) {
        if (response->result != HTTP_DENIED)
            verdict->error.kind = FAILURE_UNAUTHORIZED;
        account->metrics->credentials_refused++;
        name_clock(engine, account, verdict);
    }
    credentials_failed(credentials, engine->now, failure, pause);
    LOG(engine, LOG_WARN, "sign_in_failed", "account=%s refused=%s http_status=%d",
        account->settings->name, failure != SIGN_IN_IMPOSSIBLE ? "true" : "false",
        response->status);
    if (credentials->refusals > refusals && !credentials_usable(credentials, engine->now))
        sign_in_refuse_waiting(engine, account, verdict);
    else if (failure == SIGN_IN_IMPOSSIBLE)
        fail_waiting(engine, account, &verdict->error,
                     engine->now.mono_ms - account->settings->retry.give_up_after_ms);
}

/* What is configured makes no request: as bad as refused. */
static void cannot_sign_in(struct engine *engine, struct account *account, const char *message)
{
    const struct http_response none = {.result = HTTP_NOT_SENT};
    struct verdict verdict = {.kind = VERDICT_FAILED};
    verdict_set_error(&verdict, FAILURE_UNAUTHORIZED, (struct slice){0}, slice_of_string(message),
                      0);
    sign_in_failed(engine, account, &none, &verdict, 0);
    show(account);
}

void sign_in_start(struct engine *engine, struct account *account)
{
    const struct account_settings *settings = account->settings;
    struct error err;
    int64_t wall_ms;
    /* Accounts may share a key, and replay guards refuse what comes twice. */
    struct now now = engine->now;
    if (now.wall_ms <= engine->last_sign_in_ms)
        now.wall_ms = engine->last_sign_in_ms + 1;
    const struct credential *current = credentials_begin(&account->credentials, now, &wall_ms);
    engine->last_sign_in_ms = wall_ms;
    struct call *call = call_new(engine, account);
    struct http_request request;
    http_request_init(&request);
    if (call)
        admission_begin_sign_in(&account->admission);
    if (!call ||
        settings->provider->sign_in(settings->opened, current, wall_ms, &request, &err) < 0 ||
        http_request_check(&request, &err) < 0) {
        http_request_release(&request);
        if (call)
            call_free(engine, call);
        cannot_sign_in(engine, account, call ? err.message : "out of memory");
        return;
    }
    account->metrics->sign_ins++;
    engine->ports->call(engine->ports->context, call->id, settings, &request);
}

void sign_in_answered(struct engine *engine, struct account *account,
                      const struct http_response *response)
{
    const struct account_settings *settings = account->settings;
    struct credentials *credentials = &account->credentials;
    struct credential fresh = {0};
    struct verdict verdict = {0};
    int64_t wished,
        pause = retry_backoff(&engine->rng, settings->retry.backoff_low_ms,
                              settings->retry.backoff_high_ms, credentials->failures + 1);
    if (retry_after(response->retry_after, engine->now.wall_ms, &wished) && wished > pause)
        pause = wished;
    credentials_saw_date(credentials, response->date, engine->now);
    if (settings->provider->signed_in(settings->opened, credentials_renewing(credentials), response,
                                      engine->now.wall_ms, &fresh, &verdict) < 0) {
        sign_in_failed(engine, account, response, &verdict, pause);
    } else if (credentials_renewed(credentials, engine->now, &fresh, pause)) {
        LOG(engine, LOG_DEBUG, "signed_in", "account=%s", settings->name);
    } else {
        verdict.clock_off = true;
        verdict_set_error(&verdict, FAILURE_UNAUTHORIZED, (struct slice){0},
                          slice_of_string("the token given has expired already"), response->status);
        account->metrics->sign_ins_failed++;
        name_clock(engine, account, &verdict);
        fail_waiting(engine, account, &verdict.error,
                     engine->now.mono_ms - settings->retry.give_up_after_ms);
    }
    show(account);
}

bool sign_in_judge(struct engine *engine, struct account *account, uint64_t generation,
                   struct verdict *verdicts, size_t count, const struct http_response *response,
                   struct verdict *why)
{
    credentials_saw_date(&account->credentials, response->date, engine->now);
    bool accepted = false;
    for (size_t i = 0; i < count; i++) {
        if (verdicts[i].kind == VERDICT_RENEW) {
            account->metrics->credentials_refused++;
            name_clock(engine, account, &verdicts[i]);
            for (size_t j = i + 1; j < count; j++)
                if (verdicts[j].kind == VERDICT_RENEW)
                    verdicts[j].error = verdicts[i].error;
            *why = verdicts[i];
            bool held = credentials_rejected(&account->credentials, engine->now, generation,
                                             verdicts[i].ambiguous);
            show(account);
            return held;
        }
        accepted |= verdicts[i].kind == VERDICT_DONE || verdicts[i].kind == VERDICT_REFUSED;
    }
    if (accepted)
        credentials_accepted(&account->credentials, generation);
    show(account);
    return false;
}

void sign_in_secrets_changed(struct engine *engine, struct account *account)
{
    credentials_changed(&account->credentials, engine->now);
    show(account);
}
