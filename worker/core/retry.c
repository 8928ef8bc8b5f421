#include "worker/core/retry.h"

#include "common/timestamp.h"

#include "common/banned.h"

static int64_t grown(int64_t low_ms, int64_t high_ms, unsigned attempt)
{
    int64_t pause = low_ms;
    for (unsigned i = 1; i < attempt && pause < high_ms; i++)
        pause = pause > high_ms / 2 ? high_ms : pause * 2;
    return pause < high_ms ? pause : high_ms;
}

int64_t retry_backoff(struct rng *rng, int64_t low_ms, int64_t high_ms, unsigned attempt)
{
    return (int64_t)rng_below(rng, (uint64_t)grown(low_ms, high_ms, attempt) + 1);
}

int64_t retry_poll(struct rng *rng, int64_t low_ms, int64_t high_ms, unsigned attempt)
{
    int64_t pause = grown(low_ms, high_ms, attempt);
    return pause - (int64_t)rng_below(rng, (uint64_t)pause / 2 + 1);
}

int64_t retry_settle(int64_t now_ms, int64_t phase_ms, int64_t low_ms, int64_t high_ms,
                     unsigned attempt)
{
    int64_t pause = grown(low_ms, high_ms, attempt);
    int64_t grid = pause > 1 ? pause / 2 : 1;
    int64_t earliest = now_ms + phase_ms + pause - grid;
    int64_t aligned = pause - grid + (grid - earliest % grid) % grid;
    return aligned > 0 ? aligned : 1;
}

bool retry_after(struct slice value, int64_t wall_ms, int64_t *ms)
{
    int64_t seconds, at;
    if (slice_to_int64(value, &seconds)) {
        if (seconds < 0)
            return false;
        *ms = seconds > RETRY_AFTER_MOST_MS / 1000 ? RETRY_AFTER_MOST_MS : seconds * 1000;
        return true;
    }
    if (!timestamp_parse_http(value, &at))
        return false;
    *ms = at <= wall_ms                        ? 0
          : at - wall_ms > RETRY_AFTER_MOST_MS ? RETRY_AFTER_MOST_MS
                                               : at - wall_ms;
    return true;
}
