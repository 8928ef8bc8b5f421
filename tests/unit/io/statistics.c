#include "worker/io/statistics.h"

#include "tests/unit/unit.h"

#include "common/banned.h"

static rd_kafka_topic_partition_list_t *list;
static struct partition_facts room[2];
static struct consumer_facts facts;

static void begin(void)
{
    list = rd_kafka_topic_partition_list_new(2);
    rd_kafka_topic_partition_list_add(list, "cmd", 3);
    rd_kafka_topic_partition_list_add(list, "other", 0);
    facts = (struct consumer_facts){0};
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
        list, room, &facts));
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
        list, room, &facts));
    ck_assert(!facts.brokers);
    ck_assert(!facts.coordinator);
}
END_TEST

START_TEST(text_that_is_no_json_tells_nothing)
{
    ck_assert(!statistics_read(slice_of_string("{\"brokers\":"), list, room, &facts));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("statistics");
    tcase_add_checked_fixture(tests, begin, end);
    tcase_add_test(tests, assigned_partitions_and_brokers_are_found);
    tcase_add_test(tests, no_connected_broker_is_told);
    tcase_add_test(tests, text_that_is_no_json_tells_nothing);
    return unit_run("io/statistics", tests);
}
