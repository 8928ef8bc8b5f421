/* A binary heap of timers that live in their owners. Times are mono_ms. */
#ifndef KANCEL_WORKER_CORE_TIMERS_H
#define KANCEL_WORKER_CORE_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attributes.h"

struct timer {
    int64_t due;
    size_t place;   /* in the heap, from 1; 0: not set */
    uint64_t order; /* equal times fire in the order of setting */
    void (*fire)(void *context, struct timer *timer);
};

struct timers {
    struct timer **heap; /* heap[0] unused */
    size_t count, capacity;
    uint64_t order;
};

void timers_init(struct timers *timers);
void timers_release(struct timers *timers);

/* Room for one more timer to be set at any time later, so that timers_set() cannot fail: one call
 * for each timer that exists. */
int timers_reserve(struct timers *timers, size_t count) MUST_CHECK;
/* Sets or moves. timer->fire must be filled. */
void timers_set(struct timers *timers, struct timer *timer, int64_t due);
void timers_stop(struct timers *timers, struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->place != 0;
}

/* INT64_MAX: none. */
int64_t timers_next(const struct timers *timers);
/* Stops and fires all that are due; those may set or stop others. */
void timers_fire(struct timers *timers, int64_t now, void *context);

#endif
