/* Durations counted in fixed buckets, Prometheus' way: cheap enough for every command. */
#ifndef KANCEL_WORKER_CORE_HISTOGRAM_H
#define KANCEL_WORKER_CORE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 14 };

/* Upper bounds, ms: from a fast call to a task that settles. */
static const int64_t histogram_bounds_ms[HISTOGRAM_BOUNDS] = {
    2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10 * 1000, 30 * 1000, 120 * 1000, 600 * 1000};

struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* not cumulated; the last: above all bounds */
    uint64_t sum_ms;
};

static inline void histogram_add(struct histogram *histogram, int64_t ms)
{
    unsigned bucket = 0;
    while (bucket < HISTOGRAM_BOUNDS && ms > histogram_bounds_ms[bucket])
        bucket++;
    histogram->counts[bucket]++;
    histogram->sum_ms += ms > 0 ? (uint64_t)ms : 0;
}

#endif
