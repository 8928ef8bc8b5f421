#include "worker/core/concurrency.h"

#include "common/banned.h"

enum {
    STEPS = 16,
    ROUND_ANSWERS = 10,
    ROUND_MS = 250,
    SLOW_TIMES = 2,
    SLOW_MORE_MS = 100,
    SLOW_ROUNDS = 2,
    USUAL_UP = 32, /* of the difference, once a round */
    USUAL_DOWN = 4,
};

void concurrency_init(struct concurrency *concurrency, unsigned ceiling, bool adaptive)
{
    *concurrency = (struct concurrency){
        .adaptive = adaptive, .ceiling = ceiling, .limit = ceiling, .decreased_ms = -1};
}

void concurrency_begin(struct concurrency *concurrency, unsigned in_flight)
{
    concurrency->full |= in_flight >= concurrency->limit;
}

static void new_round(struct concurrency *concurrency, int64_t mono_ms)
{
    concurrency->round_ms = mono_ms;
    concurrency->latency_sum_ms = 0;
    concurrency->answers = concurrency->timed = 0;
    concurrency->full = false;
}

static void decrease(struct concurrency *concurrency, int64_t mono_ms)
{
    concurrency->limit = concurrency->limit > 1 ? concurrency->limit / 2 : 1;
    concurrency->decreased_ms = mono_ms;
    concurrency->slow_rounds = 0;
    new_round(concurrency, mono_ms);
}

static unsigned step(const struct concurrency *concurrency)
{
    return concurrency->ceiling > STEPS ? concurrency->ceiling / STEPS : 1;
}

static void increase(struct concurrency *concurrency)
{
    concurrency->limit += step(concurrency);
    if (concurrency->limit > concurrency->ceiling)
        concurrency->limit = concurrency->ceiling;
}

static bool is_slow(struct concurrency *concurrency)
{
    int64_t usual = concurrency->usual_us;
    if (concurrency->timed == 0)
        return false;
    int64_t mean_us = concurrency->latency_sum_ms * 1000 / concurrency->timed;
    if (usual == 0)
        usual = mean_us;
    concurrency->usual_us = usual + (mean_us - usual) / (mean_us > usual ? USUAL_UP : USUAL_DOWN);
    return mean_us > SLOW_TIMES * usual + SLOW_MORE_MS * 1000;
}

static void end_round(struct concurrency *concurrency, int64_t mono_ms)
{
    if (!is_slow(concurrency)) {
        concurrency->slow_rounds = 0;
        if (concurrency->full)
            increase(concurrency);
    } else if (++concurrency->slow_rounds >= SLOW_ROUNDS) {
        decrease(concurrency, mono_ms);
        return;
    }
    new_round(concurrency, mono_ms);
}

void concurrency_answered(struct concurrency *concurrency, bool plain, int64_t began_ms,
                          int64_t mono_ms)
{
    if (!concurrency->adaptive || began_ms <= concurrency->decreased_ms)
        return;
    concurrency->latency_sum_ms += plain ? mono_ms - began_ms : 0;
    concurrency->timed += plain;
    concurrency->answers++;
    if (concurrency->answers >= ROUND_ANSWERS && concurrency->answers >= concurrency->limit &&
        mono_ms - concurrency->round_ms >= ROUND_MS)
        end_round(concurrency, mono_ms);
}

void concurrency_overloaded(struct concurrency *concurrency, int64_t began_ms, int64_t mono_ms)
{
    if (concurrency->adaptive && began_ms > concurrency->decreased_ms)
        decrease(concurrency, mono_ms);
}

void concurrency_restart(struct concurrency *concurrency, int64_t mono_ms)
{
    if (!concurrency->adaptive)
        return;
    concurrency->limit = step(concurrency);
    concurrency->decreased_ms = mono_ms;
    concurrency->slow_rounds = 0;
    new_round(concurrency, mono_ms);
}
