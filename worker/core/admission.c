#include "worker/core/admission.h"

#include "common/banned.h"

/* A call costs this many; a rate of R thousandths a second yields R a millisecond. */
enum { CALL_TOKENS = 1000 * 1000 };

/* The bucket holds a tenth of a second of calls, at least one: a burst, not a flood. */
static int64_t bucket_size(const struct admission *admission)
{
    int64_t size = admission->rate_per_1000s * 100;
    return size > CALL_TOKENS ? size : CALL_TOKENS;
}

void admission_init(struct admission *admission, const struct account_settings *settings,
                    int64_t mono_ms)
{
    bool group = settings->limits.share_group;
    *admission = (struct admission){.ceiling = settings->limits.concurrency,
                                    .limited = settings->limits.rate_per_1000s > 0,
                                    .rate_per_1000s = group ? 0 : settings->limits.rate_per_1000s,
                                    .refilled_ms = mono_ms,
                                    .stopped = settings->hold};
    for (enum operation operation = 0; operation < OPERATION_COUNT; operation++) {
        struct gate *gate = &admission->gates[operation];
        concurrency_init(&gate->concurrency, admission->ceiling, settings->limits.adaptive);
        breaker_init(&gate->breaker, &settings->breaker);
    }
    /* Workers that join a group one after another must not each bring a burst. */
    admission->tokens = group ? 0 : bucket_size(admission);
}

/* ---- rate ------------------------------------------------------------------------------------ */

static void refill(struct admission *admission, int64_t mono_ms)
{
    int64_t elapsed = mono_ms - admission->refilled_ms, rate = admission->rate_per_1000s;
    int64_t lacking = bucket_size(admission) - admission->tokens;
    admission->refilled_ms = mono_ms;
    if (rate == 0)
        return;
    if (elapsed > lacking / rate)
        admission->tokens += lacking;
    else
        admission->tokens += elapsed * rate;
}

void admission_set_rate(struct admission *admission, int64_t rate_per_1000s, int64_t mono_ms)
{
    refill(admission, mono_ms);
    admission->rate_per_1000s = rate_per_1000s;
    int64_t size = bucket_size(admission);
    if (admission->tokens > size)
        admission->tokens = size;
}

static int64_t rate_wait(struct admission *admission, int64_t mono_ms)
{
    int64_t rate = admission->rate_per_1000s;
    if (!admission->limited)
        return 0;
    refill(admission, mono_ms);
    if (rate == 0)
        return INT64_MAX;
    if (admission->tokens >= CALL_TOKENS)
        return 0;
    return mono_ms + (CALL_TOKENS - admission->tokens + rate - 1) / rate;
}

void admission_spend(struct admission *admission)
{
    if (admission->limited)
        admission->tokens -= CALL_TOKENS;
}

/* ---- calls ----------------------------------------------------------------------------------- */

int64_t admission_wait(struct admission *admission, enum operation operation, int64_t mono_ms)
{
    const struct gate *gate = &admission->gates[operation];
    if (admission->stopped)
        return INT64_MAX;
    if (admission->held_until_ms > mono_ms)
        return admission->held_until_ms;
    if (admission->in_flight >= admission->ceiling)
        return INT64_MAX;
    int64_t probe_ms = breaker_wait(&gate->breaker, mono_ms);
    if (probe_ms != 0)
        return probe_ms;
    /* Calls that hang may fill the limit; a probe goes all the same. */
    if (gate->breaker.state == BREAKER_CLOSED && gate->in_flight >= gate->concurrency.limit)
        return INT64_MAX;
    return rate_wait(admission, mono_ms);
}

bool admission_begin(struct admission *admission, enum operation operation, int64_t mono_ms)
{
    struct gate *gate = &admission->gates[operation];
    admission->in_flight++;
    gate->in_flight++;
    admission_spend(admission);
    concurrency_begin(&gate->concurrency, gate->in_flight);
    return breaker_begin(&gate->breaker, mono_ms);
}

void admission_end(struct admission *admission, enum operation operation)
{
    admission->in_flight--;
    admission->gates[operation].in_flight--;
}

bool admission_learn(struct admission *admission, enum operation operation, enum call_sign sign,
                     bool probe, int64_t began_ms, int64_t mono_ms)
{
    struct gate *gate = &admission->gates[operation];
    bool failed = sign == SIGN_FAILED || sign == SIGN_TIMED_OUT;
    if (sign == SIGN_FINE || sign == SIGN_FINE_LIST)
        concurrency_answered(&gate->concurrency, sign == SIGN_FINE, began_ms, mono_ms);
    else if (sign != SIGN_FAILED)
        concurrency_overloaded(&gate->concurrency, began_ms, mono_ms);
    if (!breaker_end(&gate->breaker, mono_ms, failed, probe))
        return false;
    if (gate->breaker.state == BREAKER_CLOSED)
        concurrency_restart(&gate->concurrency, mono_ms);
    return true;
}

void admission_begin_sign_in(struct admission *admission)
{
    admission->in_flight++;
    admission_spend(admission);
}

void admission_end_sign_in(struct admission *admission)
{
    admission->in_flight--;
}

/* ---- holds ----------------------------------------------------------------------------------- */

void admission_hold(struct admission *admission, int64_t mono_ms, int64_t until_mono_ms)
{
    int64_t from = admission->held_until_ms > mono_ms ? admission->held_until_ms : mono_ms;
    if (until_mono_ms <= from)
        return;
    admission->throttled_ms += (uint64_t)(until_mono_ms - from);
    admission->held_until_ms = until_mono_ms;
}
