/* May this account start a call now? Concurrency ceiling, rate (token bucket) and holds
 * (Retry-After, throttling). */
#ifndef KANCEL_WORKER_CORE_ADMISSION_H
#define KANCEL_WORKER_CORE_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

struct admission {
    unsigned concurrency;
    int64_t rate_per_1000s; /* calls in 1000 s; 0: no limit */
    unsigned in_flight;
    int64_t tokens;        /* millionths of a call */
    int64_t refilled_ms;   /* mono */
    int64_t held_until_ms; /* mono; 0: not held */
    unsigned throttles;    /* in a row: each makes the next hold without Retry-After longer */
};

void admission_init(struct admission *admission, unsigned concurrency, int64_t rate_per_1000s,
                    int64_t mono_ms);
/* 0: now. Else the mono_ms from which it may be, INT64_MAX: when a call has ended. */
int64_t admission_wait(struct admission *admission, int64_t mono_ms);
void admission_begin(struct admission *admission);
void admission_end(struct admission *admission);
/* No call starts before. A shorter hold never cuts a longer one. */
void admission_hold(struct admission *admission, int64_t until_mono_ms);

#endif
