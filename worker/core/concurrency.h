/*
 * Adaptive concurrency of one operation of one account: how many calls it may have out, between 1
 * and the configured ceiling, where it begins. AIMD (Chiu and Jain, "Analysis of the Increase and
 * Decrease Algorithms", 1989; TCP Reno's congestion avoidance): a sign of overload halves the
 * limit, each round without one that needed the limit raises it by a sixteenth of the ceiling.
 * Signs are a throttled answer, a time-out, and two rounds in a row whose mean latency is beyond
 * twice the usual one and 100 ms (long against short latency, as Netflix' concurrency-limits does
 * in Gradient2Limit; the 100 ms keep a busy machine's own jitter out). A round is as many answers
 * as the limit, at least ten, and at least 250 ms. Calls begun before the last decrease give no
 * further sign: they tell of the same overload. Deterministic; times are mono_ms.
 */
#ifndef KANCEL_WORKER_CORE_CONCURRENCY_H
#define KANCEL_WORKER_CORE_CONCURRENCY_H

#include <stdbool.h>
#include <stdint.h>

struct concurrency {
    bool adaptive;
    unsigned ceiling, limit;
    int64_t decreased_ms;
    int64_t usual_us; /* latency in the long run: follows slowly upwards, faster downwards; 0: not
                         known */
    /* The running round. */
    int64_t round_ms;
    int64_t latency_sum_ms; /* of `timed` of the answers */
    unsigned answers, timed;
    bool full;            /* the limit was reached in it */
    unsigned slow_rounds; /* in a row, before it */
};

/* `adaptive` false: the limit is the ceiling for ever. */
void concurrency_init(struct concurrency *concurrency, unsigned ceiling, bool adaptive);
/* A call goes; `in_flight` counts it. */
void concurrency_begin(struct concurrency *concurrency, unsigned in_flight);
/* An answer came that is no sign by itself. Its latency counts when it was `plain`: one task, one
 * page; how long a list takes says more of the list. */
void concurrency_answered(struct concurrency *concurrency, bool plain, int64_t began_ms,
                          int64_t mono_ms);
/* A throttled answer or a time-out. */
void concurrency_overloaded(struct concurrency *concurrency, int64_t began_ms, int64_t mono_ms);
/* The provider was away and is back: begins with one step. */
void concurrency_restart(struct concurrency *concurrency, int64_t mono_ms);

#endif
