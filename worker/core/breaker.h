/*
 * Circuit breaker of one operation of one account (M. Nygard, "Release It!"; the window by count
 * and time as in resilience4j). Closed: calls go. Open: the provider does not answer, nothing goes
 * but single probes, one at each probe interval, however long the ones before hang; the interval
 * doubles with each probe that fails. The first probe that is answered closes it. A breaker holds
 * commands, it never fails them. Times are mono_ms.
 */
#ifndef KANCEL_WORKER_CORE_BREAKER_H
#define KANCEL_WORKER_CORE_BREAKER_H

#include "worker/core/settings.h"

/* Calls that the failure rate is taken over, at most: enough that a provider that fails one call in
 * ten never opens it by chance, few enough that a dead one is seen within a hundred. */
enum { BREAKER_CALLS = 100 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    const struct breaker_settings *settings;
    enum breaker_state state;
    struct {
        int64_t at_ms;
        bool failed;
    } calls[BREAKER_CALLS]; /* a ring: the last answers, oldest at `first` */
    unsigned first, count, failures;
    int64_t interval_ms, probe_at_ms;
};

/* `settings` is borrowed for the breaker's life. */
void breaker_init(struct breaker *breaker, const struct breaker_settings *settings);

/* 0: a call may go now; else the time of the next probe. */
int64_t breaker_wait(const struct breaker *breaker, int64_t mono_ms);
/* A call goes. True: it is a probe. */
bool breaker_begin(struct breaker *breaker, int64_t mono_ms);
/* A call was answered, or failed: nothing came back, or nothing but an error of the provider's own.
 * While it is open only probes count. True: closed became open, or open closed. */
bool breaker_end(struct breaker *breaker, int64_t mono_ms, bool failed, bool probe);

#endif
