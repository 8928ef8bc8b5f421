#include "worker/core/breaker.h"

#include "common/banned.h"

void breaker_init(struct breaker *breaker, const struct breaker_settings *settings)
{
    *breaker = (struct breaker){.settings = settings};
}

int64_t breaker_wait(const struct breaker *breaker, int64_t mono_ms)
{
    if (breaker->state == BREAKER_CLOSED || mono_ms >= breaker->probe_at_ms)
        return 0;
    return breaker->probe_at_ms;
}

bool breaker_begin(struct breaker *breaker, int64_t mono_ms)
{
    if (breaker->state == BREAKER_CLOSED)
        return false;
    breaker->state = BREAKER_HALF_OPEN;
    breaker->probe_at_ms = mono_ms + breaker->interval_ms;
    return true;
}

static void drop_oldest(struct breaker *breaker)
{
    breaker->failures -= breaker->calls[breaker->first].failed;
    breaker->first = (breaker->first + 1) % BREAKER_CALLS;
    breaker->count--;
}

static void note(struct breaker *breaker, int64_t mono_ms, bool failed)
{
    while (breaker->count > 0 &&
           breaker->calls[breaker->first].at_ms <= mono_ms - breaker->settings->window_ms)
        drop_oldest(breaker);
    if (breaker->count == BREAKER_CALLS)
        drop_oldest(breaker);
    unsigned at = (breaker->first + breaker->count) % BREAKER_CALLS;
    breaker->calls[at].at_ms = mono_ms;
    breaker->calls[at].failed = failed;
    breaker->count++;
    breaker->failures += failed;
}

static bool probe_ended(struct breaker *breaker, int64_t mono_ms, bool failed)
{
    if (!failed) {
        breaker->state = BREAKER_CLOSED;
        breaker->first = breaker->count = breaker->failures = 0;
        return true;
    }
    breaker->state = BREAKER_OPEN;
    breaker->interval_ms *= 2;
    if (breaker->interval_ms > breaker->settings->probe_high_ms)
        breaker->interval_ms = breaker->settings->probe_high_ms;
    breaker->probe_at_ms = mono_ms + breaker->interval_ms;
    return false;
}

bool breaker_end(struct breaker *breaker, int64_t mono_ms, bool failed, bool probe)
{
    const struct breaker_settings *settings = breaker->settings;
    if (breaker->state != BREAKER_CLOSED)
        return probe && probe_ended(breaker, mono_ms, failed);
    if (settings->failures == 0)
        return false;
    note(breaker, mono_ms, failed);
    if (!failed || breaker->count < settings->minimum ||
        breaker->failures * 100 < breaker->count * settings->failures)
        return false;
    breaker->state = BREAKER_OPEN;
    breaker->interval_ms = settings->probe_low_ms;
    breaker->probe_at_ms = mono_ms + breaker->interval_ms;
    return true;
}
