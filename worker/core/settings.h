/*
 * What the engine is told at start, already validated (app/config.c). All borrowed for the engine's
 * life.
 */
#ifndef KANCEL_WORKER_CORE_SETTINGS_H
#define KANCEL_WORKER_CORE_SETTINGS_H

#include "proto/envelope.h"
#include "worker/providers/provider.h"

enum ordering { ORDERING_KEY, ORDERING_TASK, ORDERING_PARTITION, ORDERING_NONE };
enum delivery { DELIVERY_EXACTLY_ONCE, DELIVERY_AT_LEAST_ONCE };

/* What becomes of a command whose account has its share of the partition's window. */
enum overflow {
    OVERFLOW_WAIT, /* the partition pauses */
    OVERFLOW_FAIL, /* it is answered failed/unavailable at once */
};

struct breaker_settings {
    unsigned failures; /* opens when so many of a hundred calls failed; 0: never */
    unsigned minimum;  /* calls in the window below which it stays closed */
    int64_t window_ms;
    int64_t probe_low_ms, probe_high_ms; /* between probes: at first, at most */
};

/* One configured account. Durations in ms. */
struct account_settings {
    const char *name;
    const struct provider *provider;
    void *opened; /* of provider->open */
    const char *endpoint;
    bool confirm;
    struct {
        unsigned concurrency;   /* calls in flight */
        bool adaptive;          /* fewer while the provider shows signs of overload */
        int64_t rate_per_1000s; /* thousandths of a call a second; 0: no limit */
        bool share_group; /* the rate is the whole group's: this worker has it by its partitions */
        unsigned batch;   /* most asks a call; the driver's own limit counts too */
        int64_t linger_ms;
        int64_t timeout_ms, connect_timeout_ms;
    } limits;
    enum overflow overflow;
    bool hold;    /* maintenance: no call goes, commands wait */
    bool dry_run; /* commands are answered without a call */
    struct breaker_settings breaker;
    struct {
        unsigned attempts; /* most calls that try the operation itself, per ask */
        int64_t backoff_low_ms, backoff_high_ms;
        int64_t give_up_after_ms;
    } retry;
    struct {
        int64_t poll_low_ms, poll_high_ms;
        int64_t limit_ms;
    } settle;
    struct {
        const char **topics; /* NULL: all */
        size_t topic_count;
        unsigned operations; /* bit per enum operation */
    } allow;
    struct {
        const char *ca_file, *certificate_file,
            *key_file; /* NULL: system CAs, no client certificate */
    } tls;
};

struct engine_settings {
    const char *group;
    const char **command_topics; /* names or ^regex; names alone where an account shares its rate */
    size_t command_topic_count;
    const char *results_topic;
    const char *dead_letters_topic;
    const char **reply_topics; /* names, or ^regex (POSIX extended) */
    size_t reply_topic_count;
    struct envelope_headers headers;
    enum delivery delivery;
    enum ordering ordering;
    unsigned calls;  /* in flight, all accounts */
    unsigned window; /* per partition: taken and not yet published */
    int64_t drain_ms, revoke_drain_ms;
    size_t bytes;           /* of commands and results held, at most; 0: LIMIT_ENGINE_BYTES */
    int64_t max_age_ms;     /* 0: never */
    int64_t stuck_after_ms; /* what stands still so long is said; 0: nothing is watched */
    int64_t leave_after_ms; /* Kafka out of use for so long: give up; 0: never */
    bool tracing;           /* spans are made */
    const struct account_settings *accounts;
    size_t account_count;
};

#endif
