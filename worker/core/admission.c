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

void admission_init(struct admission *admission, unsigned concurrency, int64_t rate_per_1000s,
                    int64_t mono_ms)
{
    *admission = (struct admission){
        .concurrency = concurrency, .rate_per_1000s = rate_per_1000s, .refilled_ms = mono_ms};
    admission->tokens = bucket_size(admission);
}

static void refill(struct admission *admission, int64_t mono_ms)
{
    int64_t elapsed = mono_ms - admission->refilled_ms, size = bucket_size(admission);
    admission->refilled_ms = mono_ms;
    if (elapsed > size / admission->rate_per_1000s)
        admission->tokens = size;
    else if ((admission->tokens += elapsed * admission->rate_per_1000s) > size)
        admission->tokens = size;
}

int64_t admission_wait(struct admission *admission, int64_t mono_ms)
{
    if (admission->held_until_ms > mono_ms)
        return admission->held_until_ms;
    if (admission->in_flight >= admission->concurrency)
        return INT64_MAX;
    if (admission->rate_per_1000s == 0)
        return 0;
    refill(admission, mono_ms);
    if (admission->tokens >= CALL_TOKENS)
        return 0;
    int64_t lacking = CALL_TOKENS - admission->tokens, rate = admission->rate_per_1000s;
    return mono_ms + (lacking + rate - 1) / rate;
}

void admission_begin(struct admission *admission)
{
    admission->in_flight++;
    if (admission->rate_per_1000s)
        admission->tokens -= CALL_TOKENS;
}

void admission_end(struct admission *admission)
{
    admission->in_flight--;
}

void admission_hold(struct admission *admission, int64_t until_mono_ms)
{
    if (until_mono_ms > admission->held_until_ms)
        admission->held_until_ms = until_mono_ms;
}
