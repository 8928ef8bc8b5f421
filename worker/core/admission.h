/*
 * May this account start a call now? The account's own gates: an operator's hold, holds by
 * throttling and Retry-After, the concurrency ceiling, the rate (token bucket). Each operation's:
 * adaptive concurrency (concurrency.h) and a circuit breaker (breaker.h). Sign-ins and follow-up
 * pages serve a call that was admitted: they never wait here, but count against ceiling and rate,
 * so that what follows waits for them. Times are mono_ms.
 */
#ifndef KANCEL_WORKER_CORE_ADMISSION_H
#define KANCEL_WORKER_CORE_ADMISSION_H

#include "worker/core/breaker.h"
#include "worker/core/concurrency.h"

/* What an answer says of the provider, whatever it says of the asks. */
enum call_sign {
    SIGN_FINE,      /* an answer about one task, on one page: its latency tells */
    SIGN_FINE_LIST, /* about several */
    SIGN_THROTTLED,
    SIGN_FAILED,    /* nothing but an error of the provider's own, or nothing was sent */
    SIGN_TIMED_OUT, /* no whole answer in time */
};

struct gate {
    struct concurrency concurrency;
    struct breaker breaker;
    unsigned in_flight;
};

struct admission {
    unsigned ceiling;
    unsigned in_flight; /* sign-ins too */
    struct gate gates[OPERATION_COUNT];
    bool limited;           /* there is a rate */
    int64_t rate_per_1000s; /* calls in 1000 s; 0 while limited: none for now */
    int64_t tokens;         /* millionths of a call; negative: owed */
    int64_t refilled_ms;
    bool stopped;          /* an operator holds the account */
    int64_t held_until_ms; /* 0: not held */
    unsigned throttles;    /* in a row: each makes the next hold without Retry-After longer */
    uint64_t throttled_ms; /* all holds so far, what they overlap counted once */
};

/* `settings` is borrowed. With limits.share_group there is no rate to spend before
 * admission_set_rate(). */
void admission_init(struct admission *admission, const struct account_settings *settings,
                    int64_t mono_ms);
/* The rate from now on; the bucket keeps what it holds and fits. */
void admission_set_rate(struct admission *admission, int64_t rate_per_1000s, int64_t mono_ms);

/* 0: now. Else the time from which it may be, INT64_MAX: when something changes (a call ends, a
 * rate is set, an operator lets it go). */
int64_t admission_wait(struct admission *admission, enum operation operation, int64_t mono_ms);
/* A call goes. True: it probes an open breaker. */
bool admission_begin(struct admission *admission, enum operation operation, int64_t mono_ms);
/* It is over, answered or abandoned. */
void admission_end(struct admission *admission, enum operation operation);
/* What its answer says. True: its breaker opened or closed. */
bool admission_learn(struct admission *admission, enum operation operation, enum call_sign sign,
                     bool probe, int64_t began_ms, int64_t mono_ms);

/* A sign-in: counts, waits for nothing. */
void admission_begin_sign_in(struct admission *admission);
void admission_end_sign_in(struct admission *admission);
/* A follow-up page of a call that is out: costs a call of the rate. */
void admission_spend(struct admission *admission);

/* No call starts before. A shorter hold never cuts a longer one. */
void admission_hold(struct admission *admission, int64_t mono_ms, int64_t until_mono_ms);

#endif
