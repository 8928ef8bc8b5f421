#include "worker/app/metrics_text.h"

#include <inttypes.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/version.h"

#include "common/banned.h"

/* One plain counter or gauge, and where it stands. */
struct plain {
    const char *name;
    const char *type;
    const char *help;
    size_t at; /* in struct metrics, account_metrics or kafka_traffic */
};

static const struct plain worker_plain[] = {
    {"kancel_records_total", "counter", "Records taken from the command topics.",
     offsetof(struct metrics, records)},
    {"kancel_records_skipped_total", "counter",
     "Records answered before, as the commit's metadata told.", offsetof(struct metrics, skipped)},
    {"kancel_commands_invalid_total", "counter", "Records that were no valid command.",
     offsetof(struct metrics, invalid)},
    {"kancel_dead_letters_total", "counter", "Records written to the dead-letter topic.",
     offsetof(struct metrics, dead_letters)},
    {"kancel_transactions_total", "counter", "Batches of results committed.",
     offsetof(struct metrics, transactions)},
    {"kancel_transaction_aborts_total", "counter", "Batches aborted and published again.",
     offsetof(struct metrics, aborts)},
    {"kancel_producer_recoveries_total", "counter", "Producers made anew after a fatal error.",
     offsetof(struct metrics, recoveries)},
    {"kancel_rebalances_total", "counter", "Rebalances of the group seen.",
     offsetof(struct metrics, rebalances)},
    {"kancel_foreign_metadata_total", "counter", "Commit metadata that was not ours or broken.",
     offsetof(struct metrics, foreign_metadata)},
    {"kancel_replies_rejected_total", "counter",
     "Results that went to the results topic because the reply topic asked for was refused.",
     offsetof(struct metrics, reply_rejected)},
    {"kancel_commands_in_flight", "gauge", "Commands taken and not yet answered for good.",
     offsetof(struct metrics, commands_in_flight)},
    {"kancel_in_flight_bytes", "gauge", "Memory they and their results count for.",
     offsetof(struct metrics, bytes_in_flight)},
    {"kancel_partitions_assigned", "gauge", "Partitions this worker owns.",
     offsetof(struct metrics, partitions)},
    {"kancel_partitions_paused", "gauge", "Partitions paused because a window or memory is full.",
     offsetof(struct metrics, partitions_paused)},
};

static const struct plain account_plain[] = {
    {"kancel_sign_ins_total", "counter", "Tokens asked for.",
     offsetof(struct account_metrics, sign_ins)},
    {"kancel_sign_ins_failed_total", "counter", "Sign-ins that brought no token.",
     offsetof(struct account_metrics, sign_ins_failed)},
    {"kancel_credentials_refused_total", "counter",
     "Sign-ins and calls refused for the account's credentials, expired tokens included.",
     offsetof(struct account_metrics, credentials_refused)},
    {"kancel_credentials_refused_in_a_row", "gauge",
     "Refusals since credentials were last accepted; not 0: the account is held with growing "
     "pauses.",
     offsetof(struct account_metrics, refusals_in_a_row)},
    {"kancel_clock_refusals_total", "counter",
     "Refusals that the difference between our clock and the provider's explains.",
     offsetof(struct account_metrics, clock_refusals)},
    {"kancel_calls_denied_total", "counter",
     "Calls and sign-ins not made because worker.deny_addresses denies every address of the host.",
     offsetof(struct account_metrics, denied)},
    {"kancel_calls_in_flight", "gauge", "HTTP calls out now.",
     offsetof(struct account_metrics, calls_in_flight)},
    {"kancel_throttled_total", "counter", "Answers that said too many calls.",
     offsetof(struct account_metrics, throttled)},
    {"kancel_breaker_opened_total", "counter", "Times that a breaker opened.",
     offsetof(struct account_metrics, breaker_opened)},
    {"kancel_breaker_probes_total", "counter", "Calls that probed an open breaker.",
     offsetof(struct account_metrics, probes)},
    {"kancel_overflowed_total", "counter",
     "Commands answered unavailable because their account had its share of the window.",
     offsetof(struct account_metrics, overflowed)},
    {"kancel_account_held", "gauge", "1 while an operator holds the account.",
     offsetof(struct account_metrics, held)},
    {"kancel_asks_waiting", "gauge",
     "Tasks ready for a call and held by limits, backoff or a sign-in.",
     offsetof(struct account_metrics, waiting)},
};

static const char *const code_classes[METRIC_CODE_CLASSES] = {"not_sent", "broken", "2xx",  "3xx",
                                                              "4xx",      "5xx",    "other"};

static void head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static uint64_t value_at(const void *base, size_t at)
{
    uint64_t value;
    memcpy(&value, (const char *)base + at, sizeof(value));
    return value;
}

static void account_labels(struct buffer *out, const struct metrics_view *view, size_t index)
{
    const struct account_settings *account = &view->settings->accounts[index];
    buffer_append_format(out, "account=\"%s\",provider=\"%s\"", account->name,
                         account->provider->name);
}

static void plain_text(struct buffer *out, const struct metrics_view *view)
{
    for (size_t i = 0; i < sizeof(worker_plain) / sizeof(worker_plain[0]); i++) {
        const struct plain *plain = &worker_plain[i];
        head(out, plain->name, plain->type, plain->help);
        buffer_append_format(out, "%s %" PRIu64 "\n", plain->name,
                             value_at(view->metrics, plain->at));
    }
    for (size_t i = 0; i < sizeof(account_plain) / sizeof(account_plain[0]); i++) {
        const struct plain *plain = &account_plain[i];
        head(out, plain->name, plain->type, plain->help);
        for (size_t j = 0; j < view->settings->account_count; j++) {
            buffer_append_format(out, "%s{", plain->name);
            account_labels(out, view, j);
            buffer_append_format(out, "} %" PRIu64 "\n",
                                 value_at(&view->metrics->accounts[j], plain->at));
        }
    }
}

/* One sample of a counter with an operation; `label` NULL: no further label. */
static void operation_sample(struct buffer *out, const struct metrics_view *view, const char *name,
                             size_t account, enum operation operation, const char *label,
                             const char *word, uint64_t value)
{
    buffer_append_format(out, "%s{", name);
    account_labels(out, view, account);
    buffer_append_format(out, ",operation=\"%s\"", operation_name(operation));
    if (label)
        buffer_append_format(out, ",%s=\"%s\"", label, word);
    buffer_append_format(out, "} %" PRIu64 "\n", value);
}

static void commands_text(struct buffer *out, const struct metrics_view *view)
{
    static const char name[] = "kancel_commands_total";
    head(out, name, "counter", "Valid commands taken.");
    for (size_t i = 0; i < view->settings->account_count; i++) {
        for (enum operation operation = 0; operation < OPERATION_COUNT; operation++)
            operation_sample(out, view, name, i, operation, NULL, NULL,
                             view->metrics->accounts[i].commands[operation]);
    }
}

static void results_text(struct buffer *out, const struct metrics_view *view)
{
    static const char name[] = "kancel_results_total";
    head(out, name, "counter", "Results committed.");
    for (size_t i = 0; i < view->settings->account_count; i++) {
        for (enum operation operation = 0; operation < OPERATION_COUNT; operation++) {
            for (enum outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++)
                operation_sample(out, view, name, i, operation, "outcome", outcome_name(outcome),
                                 view->metrics->accounts[i].results[operation][outcome]);
        }
    }
}

static void clock_text(struct buffer *out, const struct metrics_view *view)
{
    static const char name[] = "kancel_clock_skew_seconds";
    head(out, name, "gauge",
         "How far our clock is ahead of the provider's, by the Date of its last answer.");
    for (size_t i = 0; i < view->settings->account_count; i++) {
        buffer_append_format(out, "%s{", name);
        account_labels(out, view, i);
        buffer_append_format(out, "} %.3f\n",
                             (double)view->metrics->accounts[i].clock_skew_ms / 1000);
    }
}

static void calls_text(struct buffer *out, const struct metrics_view *view)
{
    static const char name[] = "kancel_calls_total";
    head(out, name, "counter", "HTTP calls by what became of them.");
    for (size_t i = 0; i < view->settings->account_count; i++) {
        for (enum operation operation = 0; operation < OPERATION_COUNT; operation++) {
            for (size_t code = 0; code < METRIC_CODE_CLASSES; code++)
                operation_sample(out, view, name, i, operation, "code", code_classes[code],
                                 view->metrics->accounts[i].calls[operation][code]);
        }
    }
}

static void retries_text(struct buffer *out, const struct metrics_view *view)
{
    static const char name[] = "kancel_retries_total";
    head(out, name, "counter", "Tasks asked again, by what became of the try before.");
    for (size_t i = 0; i < view->settings->account_count; i++) {
        for (enum failure reason = 0; reason < FAILURE_COUNT; reason++) {
            uint64_t count = view->metrics->accounts[i].retries[reason];
            /* Most reasons never lead to a retry. */
            if (count == 0 && failure_outcome(reason) != OUTCOME_FAILED)
                continue;
            buffer_append_format(out, "%s{", name);
            account_labels(out, view, i);
            buffer_append_format(out, ",reason=\"%s\"} %" PRIu64 "\n", failure_name(reason), count);
        }
    }
}

/* ---- durations ------------------------------------------------------------------------------- */

/* `labels` without braces, "" for none. */
static void histogram_samples(struct buffer *out, const char *name, const char *labels,
                              const struct histogram *histogram)
{
    const char *comma = labels[0] ? "," : "";
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        count += histogram->counts[i];
        buffer_append_format(out, "%s_bucket{%s%sle=\"%.10g\"} %" PRIu64 "\n", name, labels, comma,
                             (double)histogram_bounds_ms[i] / 1000, count);
    }
    count += histogram->counts[HISTOGRAM_BOUNDS];
    buffer_append_format(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma,
                         count);
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    buffer_append_format(out, "%s_sum%s%s%s %.3f\n", name, open, labels, close,
                         (double)histogram->sum_ms / 1000);
    buffer_append_format(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}

/* One histogram an account; `operations` of them side by side, labelled, where there are more. */
static void account_histograms(struct buffer *out, const struct metrics_view *view,
                               const char *name, const char *help, size_t at, unsigned operations)
{
    struct buffer labels;
    buffer_init(&labels, 1024);
    head(out, name, "histogram", help);
    for (size_t i = 0; i < view->settings->account_count; i++) {
        const void *base = (const char *)&view->metrics->accounts[i] + at;
        for (unsigned j = 0; j < operations; j++) {
            buffer_clear(&labels);
            account_labels(&labels, view, i);
            if (operations > 1)
                buffer_append_format(&labels, ",operation=\"%s\"",
                                     operation_name((enum operation)j));
            histogram_samples(out, name, labels.data, (const struct histogram *)base + j);
        }
    }
    buffer_release(&labels);
}

static void durations_text(struct buffer *out, const struct metrics_view *view)
{
    static const char commit[] = "kancel_commit_seconds";
    account_histograms(out, view, "kancel_queue_seconds",
                       "From taking a command to its first call.",
                       offsetof(struct account_metrics, queued), 1);
    account_histograms(out, view, "kancel_call_seconds", "HTTP calls, from request to answer.",
                       offsetof(struct account_metrics, called), OPERATION_COUNT);
    account_histograms(out, view, "kancel_command_seconds",
                       "From taking a command to its result's commit.",
                       offsetof(struct account_metrics, answered), 1);
    head(out, commit, "histogram", "Transactions, from their begin to their commit.");
    histogram_samples(out, commit, "", &view->metrics->commit);
}

/* ---- partitions ------------------------------------------------------------------------------ */

static void ledgers_text(struct buffer *out, const struct metrics_view *view)
{
    static const struct {
        const char *name, *help;
    } gauges[] = {
        {"kancel_partition_frontier", "Offset below which every command is answered."},
        {"kancel_partition_waiting", "Commands taken from it and not answered."},
        {"kancel_ledger_map_bytes", "Metadata of its last commit; 4096 is the most."},
    };
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        head(out, gauges[i].name, "gauge", gauges[i].help);
        for (size_t j = 0; j < view->ledger_count; j++) {
            const struct ledger_view *ledger = &view->ledgers[j];
            const int64_t values[] = {ledger->frontier, (int64_t)ledger->waiting,
                                      (int64_t)ledger->map_bytes};
            buffer_append_format(out, "%s{topic=\"%s\",partition=\"%d\"} %" PRId64 "\n",
                                 gauges[i].name, ledger->topic, (int)ledger->partition, values[i]);
        }
    }
}

static void stuck_text(struct buffer *out, const struct metrics_view *view)
{
    static const char name[] = "kancel_stuck_partitions";
    head(out, name, "gauge",
         "Partitions whose oldest command is the same for worker.stuck_after, by what it waits "
         "for.");
    for (enum wait_reason reason = 0; reason < WAIT_REASONS; reason++)
        buffer_append_format(out, "%s{reason=\"%s\",fault=\"%s\"} %" PRIu64 "\n", name,
                             wait_reason_name(reason), wait_is_fault(reason) ? "true" : "false",
                             view->metrics->stuck_partitions[reason]);
    head(out, "kancel_oldest_command_seconds", "gauge",
         "Age of the oldest command taken and not yet answered.");
    buffer_append_format(out, "kancel_oldest_command_seconds %.3f\n",
                         (double)view->oldest_ms / 1000);
}

/* A counter or gauge of an account that is kept in thousandths. */
static void thousandths_text(struct buffer *out, const struct metrics_view *view, const char *name,
                             const char *type, const char *help, size_t at)
{
    head(out, name, type, help);
    for (size_t i = 0; i < view->settings->account_count; i++) {
        buffer_append_format(out, "%s{", name);
        account_labels(out, view, i);
        buffer_append_format(out, "} %.3f\n",
                             (double)value_at(&view->metrics->accounts[i], at) / 1000);
    }
}

static void limits_text(struct buffer *out, const struct metrics_view *view)
{
    static const char breaker[] = "kancel_breaker_state", calls[] = "kancel_concurrency_limit";
    head(out, breaker, "gauge", "0 closed, 1 open, 2 half-open: a probe is out.");
    for (size_t i = 0; i < view->settings->account_count; i++)
        for (enum operation operation = 0; operation < OPERATION_COUNT; operation++)
            operation_sample(out, view, breaker, i, operation, NULL, NULL,
                             view->metrics->accounts[i].breaker[operation]);
    head(out, calls, "gauge", "Calls that may be in flight now.");
    for (size_t i = 0; i < view->settings->account_count; i++)
        for (enum operation operation = 0; operation < OPERATION_COUNT; operation++)
            operation_sample(out, view, calls, i, operation, NULL, NULL,
                             view->metrics->accounts[i].concurrency[operation]);
    thousandths_text(out, view, "kancel_held_seconds_total", "counter",
                     "Time that throttled answers and Retry-After held the account.",
                     offsetof(struct account_metrics, throttled_ms));
    thousandths_text(out, view, "kancel_rate_limit", "gauge",
                     "Calls a second that may begin; 0: no limit.",
                     offsetof(struct account_metrics, rate_per_1000s));
}

/* ---- librdkafka's own ------------------------------------------------------------------------ */

static const struct plain traffic_plain[] = {
    {"kancel_kafka_requests_total", "counter", "Requests sent to brokers.",
     offsetof(struct kafka_traffic, requests)},
    {"kancel_kafka_sent_bytes_total", "counter", "Bytes sent to brokers.",
     offsetof(struct kafka_traffic, sent_bytes)},
    {"kancel_kafka_received_bytes_total", "counter", "Bytes received from brokers.",
     offsetof(struct kafka_traffic, received_bytes)},
    {"kancel_kafka_requests_unsent", "gauge", "Requests that wait to be sent.",
     offsetof(struct kafka_traffic, unsent)},
    {"kancel_kafka_requests_unanswered", "gauge", "Requests whose answer is awaited.",
     offsetof(struct kafka_traffic, unanswered)},
    {"kancel_kafka_queue_records", "gauge",
     "Records that the consumer fetched ahead, or that the producer has not got acknowledged.",
     offsetof(struct kafka_traffic, records)},
    {"kancel_kafka_queue_bytes", "gauge", "Their size.",
     offsetof(struct kafka_traffic, record_bytes)},
};

static void round_trips_text(struct buffer *out, const char *client,
                             const struct kafka_traffic *traffic)
{
    static const char name[] = "kancel_kafka_round_trip_seconds";
    buffer_append_format(out, "%s{client=\"%s\",quantile=\"0.99\"} %.6f\n", name, client,
                         (double)traffic->p99_us / 1000000);
    buffer_append_format(out, "%s_sum{client=\"%s\"} %.6f\n", name, client,
                         (double)traffic->round_trips_us / 1000000);
    buffer_append_format(out, "%s_count{client=\"%s\"} %" PRIu64 "\n", name, client,
                         traffic->round_trips);
}

static void traffic_text(struct buffer *out, const struct metrics_view *view)
{
    for (size_t i = 0; i < sizeof(traffic_plain) / sizeof(traffic_plain[0]); i++) {
        const struct plain *plain = &traffic_plain[i];
        head(out, plain->name, plain->type, plain->help);
        buffer_append_format(out, "%s{client=\"consumer\"} %" PRIu64 "\n", plain->name,
                             value_at(view->consumer, plain->at));
        buffer_append_format(out, "%s{client=\"producer\"} %" PRIu64 "\n", plain->name,
                             value_at(view->producer, plain->at));
    }
    head(out, "kancel_kafka_round_trip_seconds", "summary",
         "From a request to brokers to its answer; a fetch waits there for records, up to "
         "fetch.wait.max.ms. The quantile is the last interval's, at the slowest broker.");
    round_trips_text(out, "consumer", view->consumer);
    round_trips_text(out, "producer", view->producer);
}

static void process_text(struct buffer *out, const struct metrics_view *view)
{
    head(out, "kancel_build_info", "gauge", "Always 1; the version is its label.");
    buffer_append_format(out, "kancel_build_info{version=\"%s\"} 1\n", KANCEL_VERSION);
    head(out, "kancel_ready", "gauge", "1 when the worker takes and publishes.");
    buffer_append_format(out, "kancel_ready %d\n", view->ready ? 1 : 0);
    head(out, "kancel_kafka_call_seconds", "gauge",
         "How long the running blocking Kafka call has been out.");
    buffer_append_format(out, "kancel_kafka_call_seconds %.3f\n",
                         (double)view->sink_busy_ms / 1000);
    head(out, "kancel_log_lines_lost_total", "counter", "Log lines that could not be written.");
    buffer_append_format(out, "kancel_log_lines_lost_total %" PRIu64 "\n", view->log_lost);
    head(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    buffer_append_format(out, "process_resident_memory_bytes %" PRIu64 "\n", view->resident_bytes);
    head(out, "process_cpu_seconds_total", "counter", "CPU time, user and system.");
    buffer_append_format(out, "process_cpu_seconds_total %.3f\n", view->cpu_seconds);
    head(out, "process_start_time_seconds", "gauge", "When the process started, Unix time.");
    buffer_append_format(out, "process_start_time_seconds %.3f\n", (double)view->started_ms / 1000);
}

void metrics_text(struct buffer *out, const struct metrics_view *view)
{
    commands_text(out, view);
    results_text(out, view);
    calls_text(out, view);
    retries_text(out, view);
    durations_text(out, view);
    ledgers_text(out, view);
    clock_text(out, view);
    plain_text(out, view);
    stuck_text(out, view);
    limits_text(out, view);
    traffic_text(out, view);
    process_text(out, view);
}

void metrics_process_read(struct metrics_view *view)
{
    struct rusage usage;
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm) {
        if (fscanf(statm, "%*u %lu", &pages) == 1)
            view->resident_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
        fclose(statm);
    }
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        view->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                            (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000000;
}
