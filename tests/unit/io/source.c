#include "worker/io/source.h"

#include "tests/unit/io/kafka_mock.h"

#include "common/banned.h"

enum { MOST = 64 };

/* A member of the group and what it was told. Answers rebalances at once from position `start_at`.
 */
struct member {
    struct source *source;
    struct source_events events;
    int64_t start_at;
    bool answers; /* false: the test answers assigned itself */
    struct {
        char topic[64];
        int32_t partition;
    } owned[MOST];
    size_t owned_count, revoked_count, lost_count;
    size_t first_revoked; /* by the first such event */
    int64_t offsets[MOST];
    int32_t partitions[MOST];
    size_t record_count;
    int64_t pause_at; /* offset after which the partition is paused */
    bool assigned, closed;
    struct error problem;
    size_t problem_count;
    void (*look)(const struct record *record);
    bool (*hungry)(void *context);
};

static struct member one, two;

static void on_record(void *context, const struct record *record)
{
    struct member *member = context;
    if (member->record_count < MOST) {
        member->offsets[member->record_count] = record->offset;
        member->partitions[member->record_count] = record->partition;
    }
    member->record_count++;
    if (member->look != NULL)
        member->look(record);
    if (record->offset == member->pause_at)
        source_pause(member->source, (struct topic_partition){record->topic, record->partition});
}

static void answer_assigned(struct member *member, const struct topic_partition *partitions,
                            size_t count)
{
    struct position positions[MOST];
    for (size_t i = 0; i < count; i++)
        positions[i] = (struct position){.at = partitions[i], .offset = member->start_at};
    source_assign(member->source, positions, count);
}

static void on_assigned(void *context, const struct topic_partition *partitions, size_t count)
{
    struct member *member = context;
    member->assigned = true;
    for (size_t i = 0; i < count; i++) {
        size_t at = member->owned_count++;
        (void)snprintf(member->owned[at].topic, sizeof(member->owned[at].topic), "%s",
                       partitions[i].topic);
        member->owned[at].partition = partitions[i].partition;
    }
    if (member->answers)
        answer_assigned(member, partitions, count);
}

static void on_revoked(void *context, const struct topic_partition *partitions, size_t count,
                       bool lost)
{
    struct member *member = context;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < member->owned_count; j++) {
            if (member->owned[j].partition == partitions[i].partition &&
                strcmp(member->owned[j].topic, partitions[i].topic) == 0)
                member->owned[j--] = member->owned[--member->owned_count];
        }
    }
    if (member->revoked_count == 0)
        member->first_revoked = count;
    member->revoked_count += count;
    member->lost_count += lost ? count : 0;
    source_unassign(member->source, partitions, count);
}

static void on_closed(void *context)
{
    struct member *member = context;
    ck_assert(!member->closed);
    member->closed = true;
}

static void on_problem(void *context, const struct error *err)
{
    struct member *member = context;
    member->problem = *err;
    member->problem_count++;
}

static void join(struct member *member)
{
    member->events = (struct source_events){.context = member,
                                            .record = on_record,
                                            .hungry = member->hungry,
                                            .assigned = on_assigned,
                                            .revoked = on_revoked,
                                            .closed = on_closed,
                                            .problem = on_problem};
    struct error err;
    member->source = source_new(mock.loop, &mock.settings, &member->events, &err);
    ck_assert_msg(member->source != NULL, "%s", err.message);
}

static void leave(struct member *member)
{
    if (member->source == NULL)
        return;
    source_close(member->source);
    RUN_UNTIL(member->closed);
    source_free(member->source);
    member->source = NULL;
}

static void start(void)
{
    mock_start();
    one = two = (struct member){.start_at = OFFSET_NONE, .answers = true, .pause_at = -1};
}

static void finish(void)
{
    source_free(one.source);
    source_free(two.source);
    (void)uv_run(loop_uv(mock.loop), UV_RUN_NOWAIT);
    mock_stop();
}

/* ---- joining and leaving --------------------------------------------------------------------- */

START_TEST(a_member_is_assigned_everything_and_gives_it_back_when_it_leaves)
{
    join(&one);
    RUN_UNTIL(one.owned_count == 2);
    ck_assert_str_eq(one.owned[0].topic, "commands");
    source_close(one.source);
    RUN_UNTIL(one.closed);
    ck_assert_uint_eq(one.revoked_count, 2);
    ck_assert_uint_eq(one.lost_count, 0);
    ck_assert_uint_eq(one.problem_count, 0);
}
END_TEST

START_TEST(leaving_while_an_assignment_waits_for_its_answer_ends_too)
{
    one.answers = false;
    join(&one);
    RUN_UNTIL(one.assigned);
    source_close(one.source);
    source_assign(one.source, NULL, 0);
    RUN_UNTIL(one.closed);
}
END_TEST

START_TEST(a_source_may_be_freed_without_leaving)
{
    join(&one);
    RUN_UNTIL(one.owned_count == 2);
    source_free(one.source);
    one.source = NULL;
}
END_TEST

START_TEST(a_second_member_takes_half_and_gives_it_back)
{
    join(&one);
    RUN_UNTIL(one.owned_count == 2);
    join(&two);
    RUN_UNTIL(one.owned_count == 1 && two.owned_count == 1);
    ck_assert_uint_eq(one.first_revoked, 1); /* cooperative: what stays is not touched */
    ck_assert_uint_eq(one.lost_count, 0);
    leave(&two);
    RUN_UNTIL(one.owned_count == 2);
}
END_TEST

START_TEST(eager_rebalances_take_everything_and_give_anew)
{
    mock_property("partition.assignment.strategy", "range");
    join(&one);
    RUN_UNTIL(one.owned_count == 2);
    join(&two);
    RUN_UNTIL(one.owned_count == 1 && two.owned_count == 1);
    ck_assert_uint_eq(one.first_revoked, 2);
}
END_TEST

#if RD_KAFKA_VERSION >= 0x020c00ff
START_TEST(the_consumer_protocol_rebalances_too)
{
    option_values_free((struct option_values *)(uintptr_t)mock.settings.properties);
    mock.settings.properties = option_values_new(mock_rows);
    mock_property("group.protocol", "consumer");
    mock_property("fetch.wait.max.ms", "10");
    rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(mock.cluster, 200);
    join(&one);
    RUN_UNTIL(one.owned_count == 2);
    mock_produce("commands", 0, "k", "v", NULL);
    RUN_UNTIL(one.record_count == 1);
    join(&two);
    RUN_UNTIL(one.owned_count == 1 && two.owned_count == 1);
    leave(&one);
    RUN_UNTIL(two.owned_count == 2);
}
END_TEST
#endif

START_TEST(group_metadata_is_there_for_members_only)
{
    one.answers = false;
    join(&one);
    ck_assert_ptr_null(source_group_metadata(one.source));
    RUN_UNTIL(one.assigned);
    rd_kafka_consumer_group_metadata_t *metadata = source_group_metadata(one.source);
    ck_assert_ptr_nonnull(metadata);
    rd_kafka_consumer_group_metadata_destroy(metadata);
    source_assign(one.source, NULL, 0);
}
END_TEST

/* ---- records --------------------------------------------------------------------------------- */

static size_t looked;

static void look_at_nulls(const struct record *record)
{
    static const struct {
        bool key, value;
    } present[] = {{false, false}, {true, true}, {false, true}, {true, false}};
    ck_assert_uint_lt(looked, 4);
    ck_assert_int_eq(record->key.data != NULL, present[looked].key);
    ck_assert_int_eq(record->value.data != NULL, present[looked].value);
    ck_assert_uint_eq(record->key.len, 0);
    ck_assert_uint_eq(record->value.len, 0);
    looked++;
}

START_TEST(null_and_empty_keys_and_values_stay_apart)
{
    mock_produce("commands", 0, NULL, NULL, NULL);
    mock_produce("commands", 0, "", "", NULL);
    mock_produce("commands", 0, NULL, "", NULL);
    mock_produce("commands", 0, "", NULL, NULL);
    one.look = look_at_nulls;
    join(&one);
    RUN_UNTIL(looked == 4);
}
END_TEST

static void look_at_everything(const struct record *record)
{
    ck_assert_str_eq(record->topic, "commands");
    ck_assert_int_eq(record->partition, 1);
    ck_assert_int_eq(record->offset, 0);
    ck_assert_int_eq(record->timestamp_ms, 1700000000123);
    ck_assert(slice_equals(record->key, "key"));
    ck_assert(slice_equals(record->value, "value"));
    ck_assert_uint_eq(record->header_count, 5);
    const struct header *headers = record->headers;
    ck_assert(slice_equals(headers[0].name, "a") && slice_equals(headers[0].value, "1"));
    ck_assert(slice_equals(headers[1].name, "null") && headers[1].value.data == NULL);
    ck_assert(slice_equals(headers[2].name, "empty") && headers[2].value.data != NULL);
    ck_assert_uint_eq(headers[2].value.len, 0);
    ck_assert(slice_equals(headers[3].name, "a") && slice_equals(headers[3].value, "2"));
    ck_assert(slice_equal(headers[4].value, slice_of("\0\1\2\xff", 4)));
    looked++;
}

START_TEST(a_record_comes_with_all_it_has)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(5);
    ck_assert(!rd_kafka_header_add(headers, "a", -1, "1", -1));
    ck_assert(!rd_kafka_header_add(headers, "null", -1, NULL, 0));
    ck_assert(!rd_kafka_header_add(headers, "empty", -1, "", 0));
    ck_assert(!rd_kafka_header_add(headers, "a", -1, "2", -1));
    ck_assert(!rd_kafka_header_add(headers, "bytes", -1, "\0\1\2\xff", 4));
    mock_produce("commands", 1, "key", "value", headers);
    one.look = look_at_everything;
    join(&one);
    RUN_UNTIL(looked == 1);
}
END_TEST

static void produce_some(int from, int to)
{
    for (int i = from; i < to; i++)
        mock_produce("commands", 0, "k", "v", NULL);
}

START_TEST(reading_starts_where_the_position_says)
{
    produce_some(0, 8);
    one.start_at = 5;
    join(&one);
    RUN_UNTIL(one.record_count == 3);
    ck_assert_int_eq(one.offsets[0], 5);
    ck_assert_int_eq(one.offsets[2], 7);
}
END_TEST

START_TEST(a_paused_partition_is_silent_and_goes_on_without_a_gap)
{
    produce_some(0, 10);
    one.pause_at = 3;
    join(&one);
    RUN_UNTIL(one.record_count == 4);
    struct topic_partition here = {"commands", 0}, other = {"commands", 1};
    source_pause(one.source, here);   /* again: nothing */
    source_resume(one.source, other); /* not paused: nothing */
    mock_produce("commands", 1, "k", "v", NULL);
    RUN_UNTIL(one.record_count == 5); /* the other partition goes on */
    ck_assert_int_eq(one.partitions[4], 1);
    source_resume(one.source, here);
    RUN_UNTIL(one.record_count == 11);
    for (int i = 5; i < 11; i++)
        ck_assert_int_eq(one.offsets[i], i - 1);
}
END_TEST

static bool sated;

static bool is_hungry(void *context)
{
    (void)context;
    return !sated;
}

static void had_enough(const struct record *record)
{
    sated = record->offset >= 3;
}

START_TEST(records_are_left_until_they_are_wanted_and_all_else_comes)
{
    produce_some(0, 10);
    one.look = had_enough;
    one.hungry = is_hungry;
    sated = false;
    join(&one);
    RUN_UNTIL(one.record_count == 4);
    join(&two); /* a rebalance is not left behind them */
    RUN_UNTIL(one.revoked_count == 1 && two.owned_count == 1);
    ck_assert_uint_eq(one.record_count, 4);
    one.look = NULL;
    sated = false;
    source_feed(one.source);
    RUN_UNTIL(one.record_count == 10 || two.record_count == 10); /* whoever has them now */
}
END_TEST

static bool both_end_at(int64_t offset)
{
    return source_end(one.source, (struct topic_partition){"commands", 0}) == offset &&
           source_end(one.source, (struct topic_partition){"commands", 1}) == offset;
}

START_TEST(records_are_taken_of_each_partition_in_turn)
{
    one.hungry = is_hungry;
    sated = true;
    for (int i = 0; i < 50; i++)
        mock_produce("commands", i / 25, "k", "v", NULL);
    join(&one);
    RUN_UNTIL(both_end_at(25));
    mock_produce("commands", 0, "k", "v", NULL);
    mock_produce("commands", 1, "k", "v", NULL);
    RUN_UNTIL(both_end_at(26)); /* so those before have been fetched */
    sated = false;
    source_feed(one.source);
    RUN_UNTIL(one.record_count >= 50);
    for (unsigned i = 1; i < 50; i++)
        ck_assert_int_ne(one.partitions[i], one.partitions[i - 1]);
}
END_TEST

static void resume_all_the_same(const struct record *record)
{
    source_resume(one.source, (struct topic_partition){record->topic, record->partition});
}

START_TEST(resuming_what_runs_changes_nothing)
{
    produce_some(0, 20);
    one.look = resume_all_the_same; /* with the others fetched already */
    join(&one);
    RUN_UNTIL(one.record_count == 20);
    ck_assert_int_eq(one.offsets[19], 19);
}
END_TEST

START_TEST(a_partition_that_left_paused_comes_back_running)
{
    join(&one);
    RUN_UNTIL(one.owned_count == 2);
    source_pause(one.source, (struct topic_partition){"commands", 0});
    source_pause(one.source, (struct topic_partition){"commands", 1});
    join(&two);
    RUN_UNTIL(one.owned_count == 1 && two.owned_count == 1);
    int32_t stayed = one.owned[0].partition;
    leave(&two);
    RUN_UNTIL(one.owned_count == 2);
    mock_produce("commands", stayed, "k", "v", NULL);
    mock_produce("commands", 1 - stayed, "k", "v", NULL);
    RUN_UNTIL(one.record_count >= 1);
    ck_assert_int_eq(one.partitions[0], 1 - stayed);
}
END_TEST

static size_t this_turn, most_in_a_turn;

static void count_record(const struct record *record)
{
    (void)record;
    this_turn++;
    most_in_a_turn = this_turn > most_in_a_turn ? this_turn : most_in_a_turn;
}

static void begin_turn(void *context)
{
    struct loop_timer **timer = context;
    this_turn = 0;
    loop_timer_set(*timer, loop_mono_ms());
}

START_TEST(many_records_do_not_keep_the_loop_from_others)
{
    for (int i = 0; i < 2000; i++)
        ck_assert(!rd_kafka_producev(mock.rk, RD_KAFKA_V_TOPIC("commands"), RD_KAFKA_V_PARTITION(0),
                                     RD_KAFKA_V_VALUE((void *)(uintptr_t) "v", 1), RD_KAFKA_V_END));
    ck_assert(!rd_kafka_flush(mock.rk, PATIENCE_S * 1000));
    struct loop_timer *timer;
    struct error err;
    timer = loop_timer_new(mock.loop, begin_turn, &timer, &err);
    loop_timer_set(timer, loop_mono_ms());
    one.look = count_record;
    join(&one);
    RUN_UNTIL(one.record_count == 2000);
    ck_assert_uint_eq(most_in_a_turn, 200); /* the limit was reached and kept */
    loop_timer_free(timer);
}
END_TEST

/* ---- own topics ------------------------------------------------------------------------------ */

START_TEST(output_topics_that_the_pattern_matches_are_not_assigned)
{
    mock.commands[0] = "^.*";
    mock_produce("results", 0, "k", "v", NULL);
    join(&one);
    RUN_UNTIL(one.assigned);
    ck_assert_uint_eq(one.owned_count, 2);
    ck_assert_str_eq(one.owned[0].topic, "commands");
    rd_kafka_topic_partition_list_t *list = NULL;
    ck_assert(!rd_kafka_assignment(source_handle(one.source), &list));
    ck_assert_int_eq(list->cnt, 2);
    rd_kafka_topic_partition_list_destroy(list);
    leave(&one);
}
END_TEST

START_TEST(output_topics_that_are_assigned_all_the_same_stay_unread)
{
    mock.commands[0] = "^.*";
    mock.reply_topics[0] = "^repl(y){1,2}$"; /* has a comma: librdkafka cannot hide it */
    mock.settings.reply_topic_count = 1;
    ck_assert(!rd_kafka_mock_topic_create(mock.cluster, "reply", 1, 1));
    join(&one);
    RUN_UNTIL(one.assigned);
    ck_assert_uint_eq(one.owned_count, 2);
    rd_kafka_topic_partition_list_t *list = NULL;
    ck_assert(!rd_kafka_assignment(source_handle(one.source), &list));
    ck_assert_int_eq(list->cnt, 3);
    rd_kafka_topic_partition_list_destroy(list);
    mock_produce("reply", 0, "k", "v", NULL);
    mock_produce("commands", 0, "k", "v", NULL);
    mock_produce("commands", 1, "k", "v", NULL);
    RUN_UNTIL(one.record_count == 2);
    leave(&one);
    ck_assert_uint_eq(one.record_count, 2);
    ck_assert_uint_eq(one.revoked_count, 2);
    ck_assert_uint_eq(one.problem_count, 0);
}
END_TEST

/* ---- problems -------------------------------------------------------------------------------- */

START_TEST(a_missing_topic_is_told_once)
{
    mock.commands[1] = "missing";
    mock.settings.command_count = 2;
    mock_property("topic.metadata.refresh.interval.ms", "50");
    rd_kafka_mock_topic_set_error(mock.cluster, "missing", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    join(&one);
    RUN_UNTIL(one.problem_count > 0 && one.owned_count == 2);
    ck_assert_int_eq(one.problem.kind, ERROR_TEMPORARY);
    ck_assert_msg(strstr(one.problem.message, "missing") != NULL, "%s", one.problem.message);
    leave(&one);
    ck_assert_uint_eq(one.problem_count, 1);
}
END_TEST

START_TEST(a_repeated_error_is_told_once)
{
    for (int i = 0; i < 5; i++)
        rd_kafka_mock_push_request_errors(mock.cluster, API_FETCH, 1,
                                          RD_KAFKA_RESP_ERR_INVALID_MSG);
    mock_produce("commands", 0, "k", "v", NULL);
    join(&one);
    RUN_UNTIL(one.record_count == 1);
    ck_assert_uint_eq(one.problem_count, 1);
    ck_assert_int_eq(one.problem.kind, ERROR_TEMPORARY);
}
END_TEST

START_TEST(a_twin_with_the_same_instance_fences)
{
    mock.settings.instance_id = "1";
    join(&one);
    RUN_UNTIL(one.owned_count == 2);
    rd_kafka_mock_push_request_errors(mock.cluster, API_HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
    RUN_UNTIL(one.problem_count > 0);
    ck_assert_msg(one.problem.kind == ERROR_FENCED, "%s", one.problem.message);
    leave(&one); /* a failed client closes at once */
    ck_assert_uint_eq(one.problem_count, 1);
}
END_TEST

START_TEST(a_member_that_was_forgotten_loses_its_partitions)
{
    join(&one);
    RUN_UNTIL(one.owned_count == 2);
    rd_kafka_mock_push_request_errors(mock.cluster, API_HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    RUN_UNTIL(one.lost_count == 2);
    RUN_UNTIL(one.owned_count == 2);
}
END_TEST

START_TEST(a_pattern_that_is_no_regular_expression_is_refused)
{
    mock.commands[0] = "^(";
    struct error err = {.kind = ERROR_NONE};
    ck_assert_ptr_null(source_new(mock.loop, &mock.settings, &one.events, &err));
    ck_assert_int_eq(err.kind, ERROR_INPUT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("source");
    TCase *tests = tcase_create("source");
    tcase_set_timeout(tests, 4 * PATIENCE_S);
    tcase_add_checked_fixture(tests, start, finish);
    tcase_add_test(tests, a_member_is_assigned_everything_and_gives_it_back_when_it_leaves);
    tcase_add_test(tests, leaving_while_an_assignment_waits_for_its_answer_ends_too);
    tcase_add_test(tests, a_source_may_be_freed_without_leaving);
    tcase_add_test(tests, a_second_member_takes_half_and_gives_it_back);
    tcase_add_test(tests, eager_rebalances_take_everything_and_give_anew);
#if RD_KAFKA_VERSION >= 0x020c00ff
    tcase_add_test(tests, the_consumer_protocol_rebalances_too);
#endif
    tcase_add_test(tests, group_metadata_is_there_for_members_only);
    tcase_add_test(tests, null_and_empty_keys_and_values_stay_apart);
    tcase_add_test(tests, a_record_comes_with_all_it_has);
    tcase_add_test(tests, reading_starts_where_the_position_says);
    tcase_add_test(tests, a_paused_partition_is_silent_and_goes_on_without_a_gap);
    tcase_add_test(tests, records_are_taken_of_each_partition_in_turn);
    tcase_add_test(tests, resuming_what_runs_changes_nothing);
    tcase_add_test(tests, records_are_left_until_they_are_wanted_and_all_else_comes);
    tcase_add_test(tests, a_partition_that_left_paused_comes_back_running);
    tcase_add_test(tests, many_records_do_not_keep_the_loop_from_others);
    tcase_add_test(tests, output_topics_that_the_pattern_matches_are_not_assigned);
    tcase_add_test(tests, output_topics_that_are_assigned_all_the_same_stay_unread);
    tcase_add_test(tests, a_missing_topic_is_told_once);
    tcase_add_test(tests, a_repeated_error_is_told_once);
    tcase_add_test(tests, a_twin_with_the_same_instance_fences);
    tcase_add_test(tests, a_member_that_was_forgotten_loses_its_partitions);
    tcase_add_test(tests, a_pattern_that_is_no_regular_expression_is_refused);
    suite_add_tcase(suite, tests);
    return mock_run(suite);
}
