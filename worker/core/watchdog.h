/*
 * What commands wait for, and the watch over it. A ledger that does not move while commands wait,
 * and a worker that cannot use Kafka, are logged with their reason - once, then at growing
 * intervals
 * - counted in the metrics, and make the worker not ready where the reason is ours or Kafka's, not
 * a provider's. A worker that cannot use Kafka for settings->leave_after_ms gives up, so that its
 * copies take over. Looks at its own pace, at the oldest commands of each partition.
 */
#ifndef KANCEL_WORKER_CORE_WATCHDOG_H
#define KANCEL_WORKER_CORE_WATCHDOG_H

#include "common/slice.h"

enum wait_reason {
    /* As the requester or the order wants it. */
    WAIT_ORDER,    /* an earlier command of its key, task or partition goes first */
    WAIT_SETTLING, /* polled until its task is settled */
    WAIT_STOPPED,  /* an operator holds the account */
    /* A provider's. */
    WAIT_LIMITS,      /* the account's concurrency or rate, or the worker's calls */
    WAIT_HELD,        /* the account is held: Retry-After, throttling */
    WAIT_BREAKER,     /* the provider does not answer: one call at a time finds out when it does */
    WAIT_CREDENTIALS, /* the account signs in, or its credentials are refused */
    WAIT_CALL,        /* its call is out */
    WAIT_BACKOFF,     /* between two tries */
    /* Ours or Kafka's: the worker is not ready. */
    WAIT_ROUTE,            /* its reply topic could not be asked about yet */
    WAIT_TOO_LARGE,        /* its result fits no topic */
    WAIT_COMMIT,           /* a transaction is out, or is aborted again and again */
    WAIT_OUTPUTS,          /* results or dead letters cannot be written */
    WAIT_PRODUCER,         /* there is none */
    WAIT_POSITIONS,        /* committed positions cannot be read */
    WAIT_COORDINATOR,      /* the consumer cannot reach its group's */
    WAIT_BROKERS,          /* none is reachable */
    WAIT_ASSIGNMENT,       /* the group never gave it anything: a topic that is not there or may not
                              be read, a member that does not answer */
    WAIT_FETCH,            /* records are there and the client does not fetch them */
    WAIT_OPEN_TRANSACTION, /* somebody's transaction stays open in the command topic: nothing behind
                              its first record can be read */
    WAIT_NOTHING,          /* nothing is under way for it: a bug */
    WAIT_REASONS
};

/* The name in metrics and logs. */
const char *wait_reason_name(enum wait_reason reason);

static inline bool wait_is_fault(enum wait_reason reason)
{
    return reason >= WAIT_ROUTE && reason < WAIT_REASONS;
}

/* An unanswered command and what it waits for. Texts are borrowed until the next event. Times are
 * mono_ms. */
struct waiting {
    const char *topic;
    int32_t partition;
    int64_t offset;
    struct slice id;     /* the command's; absent: it has none, or no command is meant */
    const char *account; /* NULL: none */
    enum wait_reason reason;
    int64_t received_ms;
    int64_t since_ms;         /* in this state; of a job between two tries: since the last one */
    int64_t until_ms;         /* goes on by then; INT64_MAX: not known */
    const char *behind_topic; /* WAIT_ORDER: whom it waits for */
    int32_t behind_partition;
    int64_t behind_offset;
};

/* A partition's ledger. */
struct ledger_view {
    const char *topic;
    int32_t partition;
    int64_t frontier; /* everything below is answered */
    size_t waiting;   /* commands taken and not answered */
    size_t map_bytes; /* of the map in its last commit's metadata */
    bool paused;
    int64_t still_since_ms;  /* its oldest command is the same since; meaningful while some wait */
    enum wait_reason reason; /* why it stands still; WAIT_REASONS: it does not */
};

#endif
