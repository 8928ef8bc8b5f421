/* When to try again: exponential backoff with full jitter, and what a provider's Retry-After says.
 */
#ifndef KANCEL_WORKER_CORE_RETRY_H
#define KANCEL_WORKER_CORE_RETRY_H

#include "common/rng.h"
#include "common/slice.h"

/* A provider may hold an account for at most so long with one answer, ms: a longer wish is cut. */
enum { RETRY_AFTER_MOST_MS = 3600 * 1000 };

/* Pause before try `attempt` + 1 (attempt counts from 1): uniform in 0..min(high, low *
 * 2^(attempt-1)), the "full jitter" of the AWS Architecture Blog ("Exponential Backoff And
 * Jitter"), which spreads a herd best. */
int64_t retry_backoff(struct rng *rng, int64_t low_ms, int64_t high_ms, unsigned attempt);

/* The same growth without going below half, for polling: uniform in half..whole. */
int64_t retry_poll(struct rng *rng, int64_t low_ms, int64_t high_ms, unsigned attempt);

/* The pause before poll `attempt` of something that settles: half..whole of the same growth, ending
 * on a grid of half the pause that `phase_ms` shifts. So polls that are due at about the same time
 * come at the same time, and may share calls; coarser grids contain the finer ones while the pause
 * doubles. */
int64_t retry_settle(int64_t now_ms, int64_t phase_ms, int64_t low_ms, int64_t high_ms,
                     unsigned attempt);

/* Retry-After as seconds or HTTP date (RFC 9110 section 10.2.3) -> ms from now,
 * 0..RETRY_AFTER_MOST_MS. False: absent or neither. */
bool retry_after(struct slice value, int64_t wall_ms, int64_t *ms) MUST_CHECK;

#endif
