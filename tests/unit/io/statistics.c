#include "worker/io/statistics.h"

#include "tests/unit/unit.h"

#include "common/banned.h"

static rd_kafka_topic_partition_list_t *list;
static struct partition_facts room[2];
static struct consumer_facts facts;
static struct kafka_traffic traffic;

static void begin(void)
{
    list = rd_kafka_topic_partition_list_new(2);
    rd_kafka_topic_partition_list_add(list, "cmd", 3);
    rd_kafka_topic_partition_list_add(list, "other", 0);
    facts = (struct consumer_facts){0};
    traffic = (struct kafka_traffic){0};
}

static void end(void)
{
    rd_kafka_topic_partition_list_destroy(list);
}

START_TEST(assigned_partitions_and_brokers_are_found)
{
    ck_assert(statistics_read(
        slice_of_string(
            "{\"name\":\"kancel#consumer-1\",\"cgrp\":{\"state\":\"up\"},\"brokers\":{"
            "\"h:1/1\":{\"state\":\"DOWN\"},\"GroupCoordinator\":{\"state\":\"UP\",\"rtt\":{}}},"
            "\"topics\":{\"cmd\":{\"partitions\":{"
            "\"3\":{\"next_offset\":30,\"hi_offset\":40,\"ls_offset\":31},\"-1\":{\"hi_offset\":-"
            "1001}}}}}"),
        list, room, &facts, &traffic));
    ck_assert(facts.brokers);
    ck_assert(facts.coordinator);
    ck_assert_uint_eq(facts.count, 2);
    ck_assert_str_eq(room[0].topic, "cmd");
    ck_assert_int_eq(room[0].partition, 3);
    ck_assert_int_eq(room[0].end, 40);
    ck_assert_int_eq(room[0].next, 30);
    ck_assert_int_eq(room[0].stable_end, 31);
    ck_assert_int_eq(room[1].end, OFFSET_NONE);
    ck_assert_int_eq(room[1].stable_end, OFFSET_NONE);
}
END_TEST

START_TEST(no_connected_broker_is_told)
{
    ck_assert(statistics_read(
        slice_of_string(
            "{\"brokers\":{\"h:1/1\":{\"state\":\"CONNECT\"},"
            "\"h:2/2\":{\"state\":\"DOWN\"}},\"topics\":{},\"cgrp\":{\"state\":\"wait-coord\"}}"),
        list, room, &facts, &traffic));
    ck_assert(!facts.brokers);
    ck_assert(!facts.coordinator);
}
END_TEST

START_TEST(traffic_of_all_brokers_is_added_up_and_partitions_share_a_queue)
{
    static const char text[] =
        "{\"tx\":7,\"tx_bytes\":700,\"rx_bytes\":900,\"msg_cnt\":0,\"brokers\":{"
        "\"h:1/1\":{\"outbuf_cnt\":1,\"waitresp_cnt\":2,"
        "\"rtt\":{\"sum\":3000,\"cnt\":2,\"p99\":2500}},"
        "\"h:2/2\":{\"outbuf_cnt\":0,\"waitresp_cnt\":1,"
        "\"rtt\":{\"sum\":9000,\"cnt\":3,\"p99\":6000}}},"
        "\"topics\":{\"cmd\":{\"partitions\":{\"3\":{\"fetchq_cnt\":10,\"fetchq_size\":1000},"
        "\"-1\":{\"fetchq_cnt\":0}}},"
        "\"other\":{\"partitions\":{\"0\":{\"fetchq_cnt\":5,\"fetchq_size\":500}}}}}";
    ck_assert(statistics_read(slice_of_string(text), list, room, &facts, &traffic));
    ck_assert_uint_eq(traffic.requests, 7);
    ck_assert_uint_eq(traffic.sent_bytes, 700);
    ck_assert_uint_eq(traffic.received_bytes, 900);
    ck_assert_uint_eq(traffic.unsent, 1);
    ck_assert_uint_eq(traffic.unanswered, 3);
    ck_assert_uint_eq(traffic.records, 10);
    ck_assert_uint_eq(traffic.record_bytes, 1000);
    ck_assert_uint_eq(traffic.p99_us, 6000);
    ck_assert_uint_eq(traffic.round_trips, 5);
    ck_assert_uint_eq(traffic.round_trips_us, 12000);
}
END_TEST

/* The totals are the client's own, round trips are each interval's. */
START_TEST(round_trips_of_intervals_are_added_up)
{
    static const char first[] = "{\"tx\":7,\"msg_cnt\":3,\"msg_size\":300,\"brokers\":{\"h\":{"
                                "\"rtt\":{\"sum\":3000,\"cnt\":2,\"p99\":2500}}}}";
    static const char second[] = "{\"tx\":9,\"brokers\":{\"h\":{"
                                 "\"rtt\":{\"sum\":500,\"cnt\":1,\"p99\":500}}}}";
    statistics_read_traffic(slice_of_string(first), &traffic);
    ck_assert_uint_eq(traffic.records, 3);
    ck_assert_uint_eq(traffic.record_bytes, 300);
    statistics_read_traffic(slice_of_string(second), &traffic);
    statistics_read_traffic(slice_of_string("{\"tx\":"), &traffic);
    ck_assert_uint_eq(traffic.requests, 9);
    ck_assert_uint_eq(traffic.records, 0);
    ck_assert_uint_eq(traffic.p99_us, 500);
    ck_assert_uint_eq(traffic.round_trips, 3);
    ck_assert_uint_eq(traffic.round_trips_us, 3500);
}
END_TEST

START_TEST(text_that_is_no_json_tells_nothing)
{
    ck_assert(!statistics_read(slice_of_string("{\"brokers\":"), list, room, &facts, &traffic));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("statistics");
    tcase_add_checked_fixture(tests, begin, end);
    tcase_add_test(tests, assigned_partitions_and_brokers_are_found);
    tcase_add_test(tests, no_connected_broker_is_told);
    tcase_add_test(tests, traffic_of_all_brokers_is_added_up_and_partitions_share_a_queue);
    tcase_add_test(tests, round_trips_of_intervals_are_added_up);
    tcase_add_test(tests, text_that_is_no_json_tells_nothing);
    return unit_run("io/statistics", tests);
}
