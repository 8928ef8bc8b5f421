/*
 * Counters of one worker, plain numbers; rendered by app/metrics_text.c. No ids, only small fixed
 * sets of labels.
 */
#ifndef KANCEL_WORKER_CORE_METRICS_H
#define KANCEL_WORKER_CORE_METRICS_H

#include "proto/vocabulary.h"
#include "worker/core/histogram.h"
#include "worker/core/watchdog.h"

enum {
    METRIC_CODE_CLASSES = 7
}; /* 0: not sent, 1: timed out or broken, 2..5: 2xx..5xx, 6: anything else */

struct account_metrics {
    uint64_t commands[OPERATION_COUNT];
    uint64_t results[OPERATION_COUNT][OUTCOME_COUNT];
    uint64_t calls[OPERATION_COUNT][METRIC_CODE_CLASSES];
    uint64_t sign_ins, sign_ins_failed;
    uint64_t credentials_refused;    /* sign-ins and calls */
    uint64_t refusals_in_a_row;      /* not 0: the account is held, or just tries again */
    uint64_t clock_refusals;         /* of those refused: the provider's clock differs from ours */
    int64_t clock_skew_ms;           /* how far our clock is ahead of the provider's */
    uint64_t retries[FAILURE_COUNT]; /* asks sent again, by what became of the last try */
    uint64_t denied; /* calls and sign-ins not made because of worker.deny_addresses */
    uint64_t calls_in_flight;
    uint64_t throttled;      /* answers that said so */
    uint64_t throttled_ms;   /* held by throttled answers and Retry-After, all such holds so far */
    uint64_t breaker_opened; /* times */
    uint64_t probes;         /* calls that probed an open breaker */
    uint64_t overflowed;     /* commands answered unavailable, over the share of the window */
    uint64_t held;           /* 1: an operator holds it */
    uint64_t breaker[OPERATION_COUNT];     /* enum breaker_state */
    uint64_t concurrency[OPERATION_COUNT]; /* calls that it may have out now */
    uint64_t rate_per_1000s;               /* calls that it may begin now; 0: no limit, or none */
    uint64_t waiting;        /* asks ready for a call, held by limits, backoff or sign-in */
    struct histogram queued; /* a command taken -> its first call */
    struct histogram called[OPERATION_COUNT]; /* a request out -> its answer */
    struct histogram answered;                /* a command taken -> its result committed */
};

struct metrics {
    struct account_metrics *accounts; /* settings->account_count of them, same order */
    uint64_t records;                 /* seen */
    uint64_t skipped;                 /* answered before, by the map in the commit metadata */
    uint64_t invalid;                 /* commands answered or dead-lettered as invalid */
    uint64_t dead_letters;
    uint64_t transactions, aborts, recoveries;
    struct histogram commit; /* a transaction begun -> committed */
    uint64_t rebalances;
    uint64_t foreign_metadata;   /* commit metadata that was not ours or broken */
    uint64_t commands_in_flight; /* taken and not yet published */
    uint64_t bytes_in_flight;
    uint64_t partitions; /* assigned */
    uint64_t partitions_paused;
    uint64_t reply_rejected;
    uint64_t stuck_partitions[WAIT_REASONS]; /* whose ledger stands still; 1 where the worker does
                                                before it has any */
};

#endif
