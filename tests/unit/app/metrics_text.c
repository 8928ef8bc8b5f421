#include "tests/unit/unit.h"

#include "worker/app/metrics_text.h"

#include "common/banned.h"

static struct account_settings accounts[2];
static struct account_metrics account_metrics[2];
static struct engine_settings settings;
static struct metrics metrics;
static struct kafka_traffic consumer, producer;
static struct buffer text;

static void render(void)
{
    static const struct ledger_view ledger = {
        .topic = "commands", .partition = 3, .frontier = 42, .map_bytes = 17};
    struct metrics_view view = {.settings = &settings,
                                .ledgers = &ledger,
                                .ledger_count = 1,
                                .metrics = &metrics,
                                .consumer = &consumer,
                                .producer = &producer,
                                .ready = true,
                                .sink_busy_ms = 1500,
                                .oldest_ms = 2250,
                                .log_lost = 3,
                                .started_ms = 1795262400123,
                                .resident_bytes = 4096,
                                .cpu_seconds = 0.25};
    accounts[0].name = "one";
    accounts[0].provider = provider_find(slice_of_string("iotda"));
    accounts[1].name = "two";
    accounts[1].provider = provider_find(slice_of_string("enos"));
    settings.accounts = accounts;
    settings.account_count = 2;
    metrics.accounts = account_metrics;
    buffer_init(&text, METRICS_TEXT_BYTES);
    metrics_text(&text, &view);
    ck_assert(!buffer_failed(&text));
}

static void assert_sample(const char *line)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    ck_assert_msg(strstr(text.data, whole) != NULL, "no line %s in\n%s", line, text.data);
}

START_TEST(every_counter_is_a_sample_with_its_labels)
{
    metrics.records = 5;
    metrics.bytes_in_flight = 77;
    metrics.stuck_partitions[WAIT_HELD] = 2;
    account_metrics[1].commands[OPERATION_STATUS] = 2;
    account_metrics[0].results[OPERATION_CANCEL][OUTCOME_PARTIAL] = 4;
    account_metrics[1].calls[OPERATION_CANCEL][5] = 6;
    account_metrics[0].calls[OPERATION_STATUS][1] = 8;
    account_metrics[1].sign_ins = 1;
    render();
    assert_sample("kancel_records_total 5");
    assert_sample("kancel_in_flight_bytes 77");
    assert_sample(
        "kancel_commands_total{account=\"two\",provider=\"enos\",operation=\"status\"} 2");
    assert_sample("kancel_results_total{account=\"one\",provider=\"iotda\",operation=\"cancel\","
                  "outcome=\"partial\"} 4");
    assert_sample("kancel_calls_total{account=\"two\",provider=\"enos\",operation=\"cancel\","
                  "code=\"5xx\"} 6");
    assert_sample("kancel_calls_total{account=\"one\",provider=\"iotda\",operation=\"status\","
                  "code=\"broken\"} 8");
    assert_sample("kancel_sign_ins_total{account=\"two\",provider=\"enos\"} 1");
    assert_sample("kancel_stuck_partitions{reason=\"account_held\",fault=\"false\"} 2");
    assert_sample("kancel_stuck_partitions{reason=\"transaction\",fault=\"true\"} 0");
    assert_sample("kancel_oldest_command_seconds 2.250");
    assert_sample("kancel_ready 1");
    assert_sample("kancel_kafka_call_seconds 1.500");
    assert_sample("kancel_log_lines_lost_total 3");
    assert_sample("process_resident_memory_bytes 4096");
    assert_sample("process_cpu_seconds_total 0.250");
    assert_sample("process_start_time_seconds 1795262400.123");
    buffer_release(&text);
}
END_TEST

START_TEST(durations_are_cumulated_buckets_in_seconds)
{
    histogram_add(&metrics.commit, 5);
    histogram_add(&metrics.commit, 6);
    histogram_add(&metrics.commit, 3600 * 1000);
    histogram_add(&account_metrics[0].called[OPERATION_CANCEL], 40);
    account_metrics[1].retries[FAILURE_THROTTLED] = 9;
    render();
    assert_sample("kancel_commit_seconds_bucket{le=\"0.002\"} 0");
    assert_sample("kancel_commit_seconds_bucket{le=\"0.005\"} 1");
    assert_sample("kancel_commit_seconds_bucket{le=\"0.01\"} 2");
    assert_sample("kancel_commit_seconds_bucket{le=\"600\"} 2");
    assert_sample("kancel_commit_seconds_bucket{le=\"+Inf\"} 3");
    assert_sample("kancel_commit_seconds_sum 3600.011");
    assert_sample("kancel_commit_seconds_count 3");
    assert_sample(
        "kancel_call_seconds_bucket{account=\"one\",provider=\"iotda\",operation=\"cancel\","
        "le=\"0.05\"} 1");
    assert_sample(
        "kancel_call_seconds_count{account=\"one\",provider=\"iotda\",operation=\"status\"} 0");
    assert_sample("kancel_retries_total{account=\"two\",provider=\"enos\",reason=\"throttled\"} 9");
    assert_sample("kancel_partition_frontier{topic=\"commands\",partition=\"3\"} 42");
    assert_sample("kancel_ledger_map_bytes{topic=\"commands\",partition=\"3\"} 17");
    buffer_release(&text);
}
END_TEST

START_TEST(each_client_tells_its_traffic_with_brokers)
{
    consumer = (struct kafka_traffic){.requests = 3, .received_bytes = 4096, .records = 12};
    producer = (struct kafka_traffic){
        .round_trips = 4, .round_trips_us = 10500, .p99_us = 8250, .unsent = 2, .unanswered = 1};
    render();
    assert_sample("kancel_kafka_requests_total{client=\"consumer\"} 3");
    assert_sample("kancel_kafka_requests_total{client=\"producer\"} 0");
    assert_sample("kancel_kafka_received_bytes_total{client=\"consumer\"} 4096");
    assert_sample("kancel_kafka_queue_records{client=\"consumer\"} 12");
    assert_sample("kancel_kafka_requests_unsent{client=\"producer\"} 2");
    assert_sample("kancel_kafka_requests_unanswered{client=\"producer\"} 1");
    assert_sample(
        "kancel_kafka_round_trip_seconds{client=\"producer\",quantile=\"0.99\"} 0.008250");
    assert_sample("kancel_kafka_round_trip_seconds_sum{client=\"producer\"} 0.010500");
    assert_sample("kancel_kafka_round_trip_seconds_count{client=\"producer\"} 4");
    buffer_release(&text);
}
END_TEST

/* Every sample stands behind the HELP and TYPE of its own name, counters end in _total, and nothing
 * stands twice. */
START_TEST(the_text_is_well_formed)
{
    char name[128] = "";
    char type[16] = "";
    render();
    for (char *line = text.data; *line; line += strcspn(line, "\n") + 1) {
        size_t length = strcspn(line, " {\n");
        if (strncmp(line, "# HELP ", 7) == 0) {
            char again[160];
            snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + 7, " "), line + 7);
            snprintf(again, sizeof(again), "# HELP %s ", name);
            ck_assert_ptr_null(strstr(line + 1, again));
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            ck_assert_int_eq(strncmp(line + 7, name, strlen(name)), 0);
            snprintf(type, sizeof(type), "%.*s", (int)strcspn(line + 8 + strlen(name), "\n"),
                     line + 8 + strlen(name));
            ck_assert_int_eq(strcmp(type, "counter") == 0,
                             slice_ends_with(slice_of_string(name), "_total"));
        } else {
            ck_assert_int_eq(strncmp(line, name, strlen(name)), 0);
            struct slice rest = slice_of(line + strlen(name), length - strlen(name));
            ck_assert(rest.len == 0 ||
                      (strcmp(type, "histogram") == 0 && slice_equals(rest, "_bucket")) ||
                      ((strcmp(type, "histogram") == 0 || strcmp(type, "summary") == 0) &&
                       (slice_equals(rest, "_sum") || slice_equals(rest, "_count"))));
        }
    }
    ck_assert_int_eq(text.data[text.len - 1], '\n');
    buffer_release(&text);
}
END_TEST

START_TEST(the_process_is_read_from_the_system)
{
    struct metrics_view view = {.ready = false};
    metrics_process_read(&view);
    ck_assert_uint_gt(view.resident_bytes, 100000);
    ck_assert(view.cpu_seconds >= 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("metrics_text");
    tcase_add_test(tests, every_counter_is_a_sample_with_its_labels);
    tcase_add_test(tests, durations_are_cumulated_buckets_in_seconds);
    tcase_add_test(tests, each_client_tells_its_traffic_with_brokers);
    tcase_add_test(tests, the_text_is_well_formed);
    tcase_add_test(tests, the_process_is_read_from_the_system);
    return unit_run("app/metrics_text", tests);
}
