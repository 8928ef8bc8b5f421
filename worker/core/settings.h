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

/* One configured account. Durations in ms. */
struct account_settings {
    const char *name;
    const struct provider *provider;
    void *opened; /* of provider->open */
    const char *endpoint;
    bool confirm;
    struct {
        unsigned concurrency;   /* calls in flight */
        int64_t rate_per_1000s; /* thousandths of a call a second; 0: no limit */
        unsigned batch;         /* most asks a call; the driver's own limit counts too */
        int64_t linger_ms;
        int64_t timeout_ms, connect_timeout_ms;
    } limits;
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
    int64_t max_age_ms;     /* 0: never */
    int64_t stuck_after_ms; /* what stands still so long is said; 0: nothing is watched */
    int64_t leave_after_ms; /* Kafka out of use for so long: give up; 0: never */
    const struct account_settings *accounts;
    size_t account_count;
};

#endif
