#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

static const char *value_of(size_t index)
{
    static char text[2048];
    ck_assert_uint_lt(index, batch->message_count);
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(batch->messages[index]->value));
    return text;
}

static void assert_batch_answers(size_t count, const char *first)
{
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_eq(batch->message_count, count);
    ck_assert_msg(strstr(value_of(0), first) != NULL, "no %s in %s", first, value_of(0));
}

static void assert_header(const struct message *message, const char *name, bool there)
{
    bool found = false;
    for (size_t i = 0; i < message->header_count; i++)
        found |= slice_equals(message->headers[i].name, name);
    ck_assert_msg(found == there, "header %s", name);
}

static const char *words(enum engine_health expected)
{
    const char *reason = NULL;
    ck_assert_int_eq(engine_health(engine, &reason), expected);
    return reason ? reason : "";
}

/* What is answered goes out together: behind a transaction that is out. */
static void hold_commits(void)
{
    say(NULL, "c-0", "status", "{\"id\":\"z\"}", NULL);
    answer_call(hear_call("status z"), "r");
    ck_assert_ptr_nonnull(batch);
}

/* Time for the next attempt, while nobody tells about topics. */
static void attempt_again(void)
{
    now.mono_ms += 2000;
    now.wall_ms += 2000;
    engine_tick(engine, now);
}

/* ---- messages that are refused --------------------------------------------------------------- */

START_TEST(result_whose_topic_is_in_doubt_holds_only_its_key)
{
    say_reply("k", "c-x", "reply.a");
    answer_call(hear_call("status a"), "r");
    commit_all(); /* the topic is known now */
    hold_commits();
    say_reply("k", "c-1", "reply.a");
    answer_call(hear_call("status a"), "r");
    say("k", "c-2", "status", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("status b"), "r");
    say("m", "c-3", "status", "{\"id\":\"c\"}", NULL);
    answer_call(hear_call("status c"), "r");
    receipt(RECEIPT_COMMITTED);
    assert_batch_answers(3, "c-1");
    batch->message_errors[0] = DELIVERY_NO_TOPIC;
    receipt(RECEIPT_ABORTED);
    attempt_again();
    assert_batch_answers(1, "c-3");
    receipt(RECEIPT_COMMITTED);
    ck_assert_ptr_null(batch);
    commit_all(); /* the topic is there */
    ck_assert_uint_eq(result_count, 5);
    ck_assert_ptr_nonnull(strstr(results[3], "c-1"));
    ck_assert_str_eq(result_topics[3], "reply.a");
    ck_assert_ptr_nonnull(strstr(results[4], "c-2"));
}
END_TEST

START_TEST(topic_that_is_lost_twice_is_believed_to_be_gone)
{
    say_reply("k", "c-1", "reply.a");
    answer_call(hear_call("status a"), "r");
    for (int i = 0; i < 2; i++) {
        tell_facts();
        later(1000);
        ck_assert_ptr_nonnull(batch);
        ck_assert_str_eq(batch->messages[0]->topic, "reply.a");
        batch->message_errors[0] = DELIVERY_NO_TOPIC;
        receipt(RECEIPT_ABORTED);
    }
    later(1000);
    ck_assert_str_eq(batch->messages[0]->topic, "results");
    assert_header(batch->messages[0], "kancel-reply-rejected", true);
    commit_all();
}
END_TEST

START_TEST(results_topic_that_was_gone_for_a_moment_costs_no_time)
{
    say("k", "c-1", "status", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("status a"), "r");
    batch->message_errors[0] = DELIVERY_NO_TOPIC;
    receipt(RECEIPT_ABORTED);
    words(ENGINE_BLOCKED);
    tell_facts();
    later(1000);
    words(ENGINE_READY);
    hear_result("c-1", "succeeded", "running");
}
END_TEST

START_TEST(result_that_fits_no_topic_holds_its_key_and_fails_readiness)
{
    char key[901];
    results_limit = 700;
    later(70000); /* what was known is old */
    engine_tick(engine, now);
    tell_facts();
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    say(key, "c-1", "status", "{\"id\":\"a\"}", NULL);
    say("m", "c-2", "status", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("status a"), "r");
    answer_call(hear_call("status b"), "r");
    hear_result("c-2", "succeeded", "running");
    ck_assert_ptr_nonnull(strstr(words(ENGINE_STUCK), "does not fit"));
    results_limit = LIMIT_TOPIC_MESSAGE_BYTES;
    later(80000);
    tell_facts();
    hear_result("c-1", "succeeded", "running");
    words(ENGINE_READY);
    ck_assert_uint_eq(logged("result_too_large"), 1);
}
END_TEST

START_TEST(dead_letter_that_became_too_large_goes_without_its_value)
{
    char value[3000], key[500];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    size_t bytes = engine_metrics(engine)->bytes_in_flight;
    say_raw(key, value);
    ck_assert_uint_ge(engine_metrics(engine)->bytes_in_flight, bytes + sizeof value);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(batch->message_count, 1);
        ck_assert_str_eq(batch->messages[0]->topic, "dead");
        assert_header(batch->messages[0], "kancel-value-sha256", i > 0);
        ck_assert(batch->messages[0]->value.data == NULL || i == 0);
        assert_header(batch->messages[0], "kancel-left-out", i > 1);
        if (i == 2)
            break;
        batch->message_errors[0] = DELIVERY_TOO_LARGE;
        receipt(RECEIPT_ABORTED);
        attempt_again();
    }
    commit_all();
    ck_assert_uint_eq(result_count, 1);
    ck_assert_uint_eq(engine_metrics(engine)->bytes_in_flight, bytes);
}
END_TEST

START_TEST(dead_letter_topic_that_takes_not_even_the_smallest_blocks)
{
    say_raw("k", "nonsense");
    for (int i = 0; i < 6 && batch; i++) {
        batch->message_errors[0] = DELIVERY_TOO_LARGE;
        receipt(RECEIPT_ABORTED);
        attempt_again();
    }
    ck_assert_str_eq(words(ENGINE_BLOCKED), "the dead-letter topic may not be written");
    later(10000);
    commit_all();
    ck_assert_uint_eq(result_count, 1);
}
END_TEST

/* ---- hangs, losses --------------------------------------------------------------------------- */

START_TEST(drain_waits_for_a_transaction_that_hangs_but_not_for_ever)
{
    say("k", "c-1", "status", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("status a"), "r");
    engine_drain(engine, now);
    later(settings.drain_ms - 1);
    ck_assert(!engine_drained(engine));
    later(5001); /* the last commit's own time */
    ck_assert(engine_drained(engine));
    ck_assert(!engine_drain_clean(engine));
}
END_TEST

static void lose_and_regain(void)
{
    struct topic_partition at = {"cmd", 0};
    struct position position = {.at = at, .fresh = true, .end = OFFSET_NONE};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    ck_assert_ptr_nonnull(batch);
    engine_revoked(engine, now, &at, 1, true);
    ck_assert(unassigned);
    engine_assigned(engine, now, &at, 1);
    engine_positions(engine, now, &position, 1, NULL);
}

START_TEST(batch_of_a_former_ownership_leaves_the_new_one_alone)
{
    lose_and_regain();
    receipt(RECEIPT_COMMITTED);
    ck_assert_uint_eq(result_count, 1);
    ck_assert_ptr_nonnull(batch); /* the mark of the new ownership */
    ck_assert_uint_eq(batch->message_count, 0);
    commit_all();
    ck_assert_uint_eq(engine_metrics(engine)->commands_in_flight, 0);
}
END_TEST

START_TEST(aborted_batch_of_a_former_ownership_is_not_published_again)
{
    lose_and_regain();
    receipt(RECEIPT_ABORTED);
    later(5000);
    ck_assert_uint_eq(batch->message_count, 0);
    commit_all();
    ck_assert_uint_eq(result_count, 0);
    ck_assert_uint_eq(engine_metrics(engine)->commands_in_flight, 0);
}
END_TEST

START_TEST(lost_batch_of_a_former_ownership_is_not_published_again)
{
    lose_and_regain();
    receipt(RECEIPT_UNKNOWN);
    positions_asked = 0;
    engine_recovered(engine, now, NULL);
    ck_assert_uint_eq(positions_asked, 0);
    ck_assert_uint_eq(batch->message_count, 0);
    commit_all();
    ck_assert_uint_eq(result_count, 0);
    ck_assert_uint_eq(engine_metrics(engine)->commands_in_flight, 0);
}
END_TEST

/* ---- how often ------------------------------------------------------------------------------- */

/* Transactions in five seconds of `rate` results a second, when each takes 3 ms. */
static size_t transactions_at(unsigned rate)
{
    size_t begun = 0, said = 0;
    int64_t since = now.mono_ms, receipt_at = 0;
    for (; now.mono_ms < since + 5000; now.mono_ms++, now.wall_ms++) {
        for (; said < (size_t)(now.mono_ms - since) * rate / 1000; said++)
            say_raw(NULL, "nonsense");
        if (batch && receipt_at == 0) {
            begun++;
            receipt_at = now.mono_ms + 3;
        }
        if (batch && now.mono_ms >= receipt_at) {
            struct batch *done = batch;
            batch = NULL;
            receipt_at = 0;
            engine_receipt(engine, now, done, RECEIPT_COMMITTED, NULL);
        }
        engine_tick(engine, now);
    }
    commit_all();
    return begun;
}

START_TEST(few_results_are_committed_at_once_and_many_together)
{
    settings.window = 4000;
    size_t few = transactions_at(200);
    ck_assert_uint_ge(few, 980);
    later(3000);
    size_t some = transactions_at(400);
    ck_assert_uint_ge(some, 300);
    ck_assert_uint_le(some, 600);
    later(3000);
    size_t many = transactions_at(2000);
    ck_assert_uint_ge(many, 150);
    ck_assert_uint_le(many, 300);
}
END_TEST

/* ---- without transactions -------------------------------------------------------------------- */

static void begin_at_least_once(void)
{
    conversation_end();
    settings.window = 4000;
    settings.delivery = DELIVERY_AT_LEAST_ONCE;
    conversation_start_engine();
    conversation_assign(0, NULL);
    commit_all();
    later(1000);
}

START_TEST(without_transactions_more_are_committed_at_once)
{
    begin_at_least_once();
    ck_assert_uint_ge(transactions_at(400), 1200);
    later(3000);
    size_t many = transactions_at(2000);
    ck_assert_uint_ge(many, 400);
    ck_assert_uint_le(many, 600);
}
END_TEST

START_TEST(positions_follow_results_ten_times_a_second)
{
    begin_at_least_once();
    say_raw(NULL, "nonsense");
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_eq(batch->position_count, 1);
    receipt(RECEIPT_COMMITTED);
    ck_assert_int_eq(committed_offset, 1);
    later(10);
    say_raw(NULL, "nonsense");
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_ge(batch->message_count, 1);
    ck_assert_uint_eq(batch->position_count, 0);
    receipt(RECEIPT_COMMITTED);
    later(89);
    ck_assert_ptr_null(batch);
    later(1);
    ck_assert_ptr_nonnull(batch); /* with no result to come */
    ck_assert_uint_eq(batch->message_count, 0);
    ck_assert_uint_eq(batch->position_count, 1);
    receipt(RECEIPT_COMMITTED);
    ck_assert_int_eq(committed_offset, 2);
    later(1000);
    ck_assert_ptr_null(batch);
}
END_TEST

START_TEST(positions_come_with_the_results_where_these_are_many)
{
    begin_at_least_once();
    transactions_at(2000);
    later(10); /* what was left */
    commit_all();
    later(10);
    say_raw(NULL, "nonsense");
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_eq(batch->message_count, 1);
    ck_assert_uint_eq(batch->position_count, 1);
}
END_TEST

START_TEST(positions_of_a_small_window_come_early)
{
    begin_at_least_once();
    settings.window = 16;
    say_raw(NULL, "nonsense");
    receipt(RECEIPT_COMMITTED);
    for (int i = 0; i < 2; i++) {
        say_raw(NULL, "nonsense");
        ck_assert_uint_eq(batch->position_count, 0);
        receipt(RECEIPT_COMMITTED);
    }
    ck_assert_ptr_nonnull(batch); /* two of sixteen places are theirs */
    ck_assert_uint_eq(batch->message_count, 0);
    receipt(RECEIPT_COMMITTED);
    ck_assert_int_eq(committed_offset, 3);
}
END_TEST

START_TEST(positions_that_were_not_taken_come_again)
{
    begin_at_least_once();
    say_raw(NULL, "nonsense");
    receipt(RECEIPT_COMMITTED);
    say_raw(NULL, "nonsense");
    receipt(RECEIPT_COMMITTED);
    later(100);
    ck_assert_uint_eq(batch->message_count, 0);
    receipt(RECEIPT_ABORTED);
    later(200);
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_eq(batch->position_count, 1);
    receipt(RECEIPT_COMMITTED);
    ck_assert_int_eq(committed_offset, 2);
}
END_TEST

START_TEST(partition_that_leaves_takes_the_position_it_is_owed)
{
    struct topic_partition at = {"cmd", 0};
    begin_at_least_once();
    say_raw(NULL, "nonsense");
    receipt(RECEIPT_COMMITTED);
    say_raw(NULL, "nonsense");
    receipt(RECEIPT_COMMITTED);
    ck_assert_int_eq(committed_offset, 1);
    engine_revoked(engine, now, &at, 1, false);
    ck_assert_ptr_nonnull(batch); /* at once */
    ck_assert(!unassigned);
    receipt(RECEIPT_COMMITTED);
    ck_assert(unassigned);
    ck_assert_int_eq(committed_offset, 2);
}
END_TEST

START_TEST(positions_that_are_owed_go_with_a_new_partitions_mark)
{
    struct topic_partition other = {"cmd", 1};
    struct position position = {.at = other, .fresh = true, .end = OFFSET_NONE};
    begin_at_least_once();
    say_raw(NULL, "nonsense");
    receipt(RECEIPT_COMMITTED);
    say_raw(NULL, "nonsense");
    receipt(RECEIPT_COMMITTED);
    ck_assert_ptr_null(batch);
    engine_assigned(engine, now, &other, 1);
    engine_positions(engine, now, &position, 1, NULL);
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_eq(batch->message_count, 0);
    ck_assert_uint_eq(batch->position_count, 2);
    commit_all();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("committer");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, result_whose_topic_is_in_doubt_holds_only_its_key);
    tcase_add_test(tests, topic_that_is_lost_twice_is_believed_to_be_gone);
    tcase_add_test(tests, results_topic_that_was_gone_for_a_moment_costs_no_time);
    tcase_add_test(tests, result_that_fits_no_topic_holds_its_key_and_fails_readiness);
    tcase_add_test(tests, dead_letter_that_became_too_large_goes_without_its_value);
    tcase_add_test(tests, dead_letter_topic_that_takes_not_even_the_smallest_blocks);
    tcase_add_test(tests, drain_waits_for_a_transaction_that_hangs_but_not_for_ever);
    tcase_add_test(tests, batch_of_a_former_ownership_leaves_the_new_one_alone);
    tcase_add_test(tests, aborted_batch_of_a_former_ownership_is_not_published_again);
    tcase_add_test(tests, lost_batch_of_a_former_ownership_is_not_published_again);
    tcase_add_test(tests, few_results_are_committed_at_once_and_many_together);
    tcase_add_test(tests, without_transactions_more_are_committed_at_once);
    tcase_add_test(tests, positions_follow_results_ten_times_a_second);
    tcase_add_test(tests, positions_come_with_the_results_where_these_are_many);
    tcase_add_test(tests, positions_of_a_small_window_come_early);
    tcase_add_test(tests, positions_that_were_not_taken_come_again);
    tcase_add_test(tests, partition_that_leaves_takes_the_position_it_is_owed);
    tcase_add_test(tests, positions_that_are_owed_go_with_a_new_partitions_mark);
    return unit_run("committer", tests);
}
