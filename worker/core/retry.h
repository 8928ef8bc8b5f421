/*
 * When to try again: exponential backoff with full jitter, and what a provider's Retry-After says.
 *
 * The policy, by what came of a call (verdicts.c; tests/unit/core/retry_policy.c has a test a row):
 *
 *   what came                    applied  what next              after          in the end
 *   nothing was sent             no       the same               backoff        unavailable
 *   throttled                    no       the same               hold, backoff  throttled
 *   5xx, no answer, nonsense:
 *     to a status                -        the same               backoff        the cause
 *     to a cancel                perhaps  the status, then the   poll           unknown_outcome
 *                                         cancel if it runs on
 *   credential not accepted      no       one renewal, the same  no pause       unauthorized
 *   a no that leaves open why    no       the status             no pause, poll its own kind
 *   a no of nobody who knows     no       the status, then the   no pause,      bad_response
 *                                         cancel if it runs on   backoff
 *   taken, state not told        yes      the status, once       no pause       succeeded, unknown
 *   taken, not settled           yes      the status             settle.poll    expired
 *   a no that says why, a lasting failure: none
 *
 * backoff is retry_backoff() of retry.backoff, poll retry_poll() of the same. A hold stops the
 * whole account: for Retry-After (beside 5xx too), else for a pause that grows with each throttled
 * answer in a row. The end comes after retry.attempts tries (of the cancel; of each kind of look),
 * or retry.give_up_after counting from the first call, or at once when a hold would outlast that:
 * what was tried once waits no longer than that for its next call, whatever makes it wait. What was
 * never tried waits holds out. A command that the partition's last owner may have begun counts from
 * its record's time, but has a call's time left. expiresAt and max_age (of the record's time) end
 * everything but the call that is out and one look.
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
