#include "tests/unit/io/sink_harness.h"

#include "common/banned.h"

/* ---- exactly once ---------------------------------------------------------------------------- */

START_TEST(a_batch_is_published_in_one_transaction)
{
    open_ready();
    add_text("results", "one");
    add_text("results", "two");
    commit(7, "map", RECEIPT_COMMITTED);
    struct mock_reader reader;
    mock_reader_open(&reader, "results");
    rd_kafka_message_t *message = mock_read(&reader);
    ck_assert(slice_equals(slice_of(message->payload, message->len), "one"));
    rd_kafka_headers_t *headers;
    ck_assert(!rd_kafka_message_headers(message, &headers));
    ck_assert_uint_eq(rd_kafka_header_cnt(headers), 4);
    const char *name;
    const void *value;
    size_t len;
    ck_assert(!rd_kafka_header_get_all(headers, 0, &name, &value, &len));
    ck_assert(strcmp(name, "h") == 0 && slice_equals(slice_of(value, len), "1"));
    ck_assert(!rd_kafka_header_get_all(headers, 1, &name, &value, &len));
    ck_assert_ptr_null(value);
    ck_assert(!rd_kafka_header_get_all(headers, 2, &name, &value, &len));
    ck_assert(value != NULL && len == 0);
    ck_assert(!rd_kafka_header_get_all(headers, 3, &name, &value, &len));
    ck_assert(slice_equals(slice_of(value, len), "2"));
    rd_kafka_message_destroy(message);
    message = mock_read(&reader);
    ck_assert(slice_equals(slice_of(message->payload, message->len), "two"));
    rd_kafka_message_destroy(message);
    mock_reader_close(&reader);
}
END_TEST

START_TEST(null_and_empty_keys_and_values_stay_apart)
{
    open_ready();
    struct slice null = {NULL, 0}, empty = SLICE("");
    add("results", 0, null, null);
    add("results", 0, empty, empty);
    add("results", 0, null, empty);
    add("results", 0, empty, null);
    commit(1, "m", RECEIPT_COMMITTED);
    struct mock_reader reader;
    mock_reader_open(&reader, "results");
    for (size_t i = 0; i < 4; i++) {
        rd_kafka_message_t *message = mock_read(&reader);
        ck_assert_int_eq(message->key == NULL, i == 0 || i == 2);
        ck_assert_int_eq(message->payload == NULL, i == 0 || i == 3);
        rd_kafka_message_destroy(message);
    }
    mock_reader_close(&reader);
}
END_TEST

START_TEST(many_messages_go_in_one_batch)
{
    open_ready();
    for (size_t i = 0; i < MOST; i++)
        add_text("results", "a result of some length, so that several requests are needed for it");
    commit(1, "m", RECEIPT_COMMITTED);
    rd_kafka_t *rk = source_handle(source);
    int64_t low, high;
    ck_assert(!rd_kafka_query_watermark_offsets(rk, "results", 0, &low, &high, 5000));
    ck_assert_int_ge(high, MOST);
}
END_TEST

START_TEST(positions_alone_and_nothing_at_all_are_batches_too)
{
    open_ready();
    commit(3, "", RECEIPT_COMMITTED);
    commit(0, NULL, RECEIPT_COMMITTED);
    add_text("results", "only a result");
    commit(0, NULL, RECEIPT_COMMITTED);
}
END_TEST

static void commit_without_membership(void)
{
    mock.commands[0] = "^nothing-matches-this$";
    open_both();
    RUN_UNTIL(said.recovered == 1);
    source_close(source);
    RUN_UNTIL(closed);
    add_text("results", "one");
    commit(1, "m", RECEIPT_ABORTED);
    ck_assert_int_eq(said.err.kind, ERROR_TEMPORARY);
}

START_TEST(without_membership_nothing_is_committed)
{
    commit_without_membership();
}
END_TEST

static void expect_abort_and_recovery(rd_kafka_resp_err_t code)
{
    rd_kafka_mock_push_request_errors(mock.cluster, API_TXN_OFFSET_COMMIT, 1, code);
    add_text("results", "one");
    commit(1, "m", RECEIPT_ABORTED);
    ck_assert_msg(strstr(said.err.message, rd_kafka_err2name(code)) != NULL, "%s",
                  said.err.message);
    ck_assert_int_eq(said.message_errors[0], DELIVERY_OK);
    commit(1, "m", RECEIPT_COMMITTED); /* the same messages once more */
}

START_TEST(refused_offsets_abort_and_the_producer_goes_on)
{
    open_ready();
    expect_abort_and_recovery(RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    expect_abort_and_recovery(RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    expect_abort_and_recovery(RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE);
}
END_TEST

START_TEST(brokers_that_are_busy_are_asked_again)
{
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_TXN_OFFSET_COMMIT, 2,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    rd_kafka_mock_push_request_errors(mock.cluster, API_END_TXN, 2,
                                      RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    add_text("results", "one");
    commit(1, "m", RECEIPT_COMMITTED);
}
END_TEST

START_TEST(a_message_without_a_topic_is_blamed_and_its_neighbours_are_not)
{
    open_ready();
    rd_kafka_mock_topic_set_error(mock.cluster, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    add_text("results", "one");
    add_text("gone", "two");
    add_text("results", "three");
    commit(1, "m", RECEIPT_ABORTED);
    ck_assert_int_eq(said.message_errors[0], DELIVERY_OK);
    ck_assert_int_eq(said.message_errors[1], DELIVERY_NO_TOPIC);
    ck_assert_int_eq(said.message_errors[2], DELIVERY_OK);
    ck_assert_msg(strstr(said.err.message, "gone") != NULL, "%s", said.err.message);
}
END_TEST

START_TEST(a_message_for_a_missing_partition_is_blamed)
{
    open_ready();
    add_text("results", "one");
    add("results", 9, slice_of_string("k"), slice_of_string("two"));
    commit(1, "m", RECEIPT_ABORTED);
    ck_assert_int_eq(said.message_errors[0], DELIVERY_OK);
    ck_assert_int_eq(said.message_errors[1], DELIVERY_NO_TOPIC);
}
END_TEST

/* The mock mixes up its sequence numbers after a refused request, so there the batch is not tried
 * again. */
START_TEST(several_messages_too_large_together_are_not_blamed)
{
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    add_text("results", "one");
    add_text("results", "two");
    commit(1, "m", RECEIPT_ABORTED);
    ck_assert_int_eq(said.message_errors[0], DELIVERY_OK);
    ck_assert_int_eq(said.message_errors[1], DELIVERY_OK);
}
END_TEST

START_TEST(one_message_too_large_is_blamed)
{
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    add_text("results", "one");
    commit(1, "m", RECEIPT_ABORTED);
    ck_assert_int_eq(said.message_errors[0], DELIVERY_TOO_LARGE);
}
END_TEST

START_TEST(a_forbidden_topic_is_blamed)
{
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    add_text("results", "one");
    commit(1, "m", RECEIPT_ABORTED);
    ck_assert_int_eq(said.message_errors[0], DELIVERY_FORBIDDEN);
}
END_TEST

START_TEST(a_dead_producer_leaves_the_outcome_unknown_until_it_is_recovered)
{
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_END_TXN, 1,
                                      RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    add_text("results", "one");
    commit(1, "m", RECEIPT_UNKNOWN);
    commit(1, "m", RECEIPT_UNKNOWN); /* still dead */
    sink_recover(sink);
    RUN_UNTIL(said.recovered == 2);
    commit(1, "m", RECEIPT_COMMITTED);
}
END_TEST

START_TEST(a_producer_whose_messages_keep_timing_out_is_replaced)
{
    mock_property("transaction.timeout.ms", "1500");
    open_ready();
    enum { MORE_THAN_FIT_IN_THAT_TIME = 50000 };
    static rd_kafka_resp_err_t refusals[MORE_THAN_FIT_IN_THAT_TIME];
    for (size_t i = 0; i < MORE_THAN_FIT_IN_THAT_TIME; i++)
        refusals[i] = RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    rd_kafka_mock_push_request_errors_array(mock.cluster, API_PRODUCE, MORE_THAN_FIT_IN_THAT_TIME,
                                            refusals);
    add_text("results", "one");
    commit(1, "m", RECEIPT_ABORTED);
    commit(1, "m", RECEIPT_UNKNOWN);
    rd_kafka_mock_clear_request_errors(mock.cluster, API_PRODUCE);
    sink_recover(sink);
    RUN_UNTIL(said.recovered == 2);
    commit(1, "m", RECEIPT_COMMITTED);
}
END_TEST

START_TEST(a_twin_of_a_fixed_identity_fences)
{
    mock.settings.instance_id = "1";
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_END_TXN, 1,
                                      RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    add_text("results", "one");
    commit(1, "m", RECEIPT_FENCED);
}
END_TEST

/* A static member that joins anew after its session timed out is fenced by itself. */
START_TEST(a_member_that_was_replaced_aborts_and_its_consumer_tells_by_whom)
{
    mock.settings.instance_id = "1";
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_TXN_OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
    add_text("results", "one");
    commit(1, "m", RECEIPT_ABORTED);
    commit(1, "m", RECEIPT_COMMITTED);
}
END_TEST

/* ---- at least once --------------------------------------------------------------------------- */

START_TEST(at_least_once_publishes_then_commits_offset_and_metadata)
{
    mock.settings.delivery = DELIVERY_AT_LEAST_ONCE;
    open_ready();
    add_text("results", "one");
    char map[LIMIT_METADATA_BYTES + 1];
    memset(map, 'm', LIMIT_METADATA_BYTES);
    map[LIMIT_METADATA_BYTES] = '\0';
    mock_produce("commands", 0, "k", "v", NULL);
    commit(5, map, RECEIPT_COMMITTED);
    read_positions();
    ck_assert_int_eq(said.ends[0], 1);
    ck_assert_int_eq(said.ends[1], OFFSET_NONE);
    ck_assert_int_eq(said.offsets[0], 5);
    ck_assert_str_eq(said.metadata[0], map);
    ck_assert(!said.fresh[0]);
    struct mock_reader reader;
    mock_reader_open(&reader, "results");
    rd_kafka_message_destroy(mock_read(&reader));
    mock_reader_close(&reader);
}
END_TEST

/* The consumer's generation of that moment would be taken for any partition. */
START_TEST(at_least_once_leaves_out_what_was_given_away_meanwhile)
{
    mock.settings.delivery = DELIVERY_AT_LEAST_ONCE;
    open_ready();
    commit(5, "mine", RECEIPT_COMMITTED);
    rd_kafka_topic_partition_list_t *away = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(away, "commands", 0);
    ck_assert_ptr_null(rd_kafka_incremental_unassign(source_handle(source), away));
    rd_kafka_topic_partition_list_destroy(away);
    add_text("results", "one");
    commit(9, "no longer", RECEIPT_COMMITTED);
    read_positions();
    ck_assert_int_eq(said.offsets[0], 5);
    ck_assert_str_eq(said.metadata[0], "mine");
}
END_TEST

START_TEST(at_least_once_commits_nothing_when_a_message_fails)
{
    mock.settings.delivery = DELIVERY_AT_LEAST_ONCE;
    open_ready();
    rd_kafka_mock_topic_set_error(mock.cluster, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    add_text("results", "one");
    add_text("gone", "two");
    commit(5, "m", RECEIPT_ABORTED);
    ck_assert_int_eq(said.message_errors[0], DELIVERY_OK);
    ck_assert_int_eq(said.message_errors[1], DELIVERY_NO_TOPIC);
    read_positions();
    ck_assert(said.fresh[0]);
}
END_TEST

START_TEST(at_least_once_commits_nothing_without_membership)
{
    mock.settings.delivery = DELIVERY_AT_LEAST_ONCE;
    commit_without_membership();
}
END_TEST

START_TEST(at_least_once_learns_of_a_lost_membership)
{
    mock.settings.delivery = DELIVERY_AT_LEAST_ONCE;
    open_ready();
    rd_kafka_mock_push_request_errors(mock.cluster, API_OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    add_text("results", "one");
    commit(5, "m", RECEIPT_ABORTED);
    ck_assert_int_eq(said.err.kind, ERROR_ABORT);
}
END_TEST

START_TEST(at_least_once_reads_back_after_a_commit_that_broke_off)
{
    mock.settings.delivery = DELIVERY_AT_LEAST_ONCE;
    open_ready();
    for (int i = 0; i < 8; i++) /* more often than the client tries */
        rd_kafka_mock_push_request_errors(mock.cluster, API_OFFSET_COMMIT, 1,
                                          RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    add_text("results", "one");
    commit(5, "m", RECEIPT_UNKNOWN);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_batch_is_published_in_one_transaction,
        null_and_empty_keys_and_values_stay_apart,
        many_messages_go_in_one_batch,
        positions_alone_and_nothing_at_all_are_batches_too,
        without_membership_nothing_is_committed,
        refused_offsets_abort_and_the_producer_goes_on,
        brokers_that_are_busy_are_asked_again,
        a_message_without_a_topic_is_blamed_and_its_neighbours_are_not,
        a_message_for_a_missing_partition_is_blamed,
        several_messages_too_large_together_are_not_blamed,
        one_message_too_large_is_blamed,
        a_forbidden_topic_is_blamed,
        a_dead_producer_leaves_the_outcome_unknown_until_it_is_recovered,
        a_producer_whose_messages_keep_timing_out_is_replaced,
        a_twin_of_a_fixed_identity_fences,
        a_member_that_was_replaced_aborts_and_its_consumer_tells_by_whom,
        at_least_once_publishes_then_commits_offset_and_metadata,
        at_least_once_leaves_out_what_was_given_away_meanwhile,
        at_least_once_commits_nothing_when_a_message_fails,
        at_least_once_commits_nothing_without_membership,
        at_least_once_learns_of_a_lost_membership,
        at_least_once_reads_back_after_a_commit_that_broke_off,
    };
    return harness_run("sink_commit", tests, sizeof(tests) / sizeof(tests[0]));
}
