#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

enum { STUCK_MS = 60000, LEAVE_MS = 300000 };

/* The look comes up to this much later than what it looks for. */
enum { PACE_MS = 5000 };

static void begin(void)
{
    conversation_begin();
    conversation_end();
    settings.stuck_after_ms = STUCK_MS;
    settings.leave_after_ms = LEAVE_MS;
    conversation_start_engine();
    conversation_assign(0, NULL);
}

static void assert_in(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "no '%s' in '%s'", part, text);
}

static const char *health_words(enum engine_health expected)
{
    const char *reason = NULL;
    ck_assert_int_eq(engine_health(engine, &reason), expected);
    return reason ? reason : "";
}

static uint64_t stuck_partitions(enum wait_reason reason)
{
    return engine_metrics(engine)->stuck_partitions[reason];
}

static void assert_oldest_waits_for(enum wait_reason reason, const char *words)
{
    struct waiting waiting;
    struct buffer text;
    ck_assert_uint_eq(engine_slowest(engine, &waiting, 1), 1);
    ck_assert_str_eq(wait_reason_name(waiting.reason), wait_reason_name(reason));
    buffer_init(&text, 1024);
    waiting_words(engine, &waiting, &text);
    buffer_append_byte(&text, '\0');
    assert_in(text.data, words);
    buffer_release(&text);
}

static void consumer_sees(bool brokers, bool coordinator)
{
    struct consumer_facts facts = {.brokers = brokers, .coordinator = coordinator};
    engine_consumer_facts(engine, now, &facts);
}

static int32_t seen = 0; /* the partition */

static void consumer_sees_partition(int64_t next, int64_t stable_end, int64_t end)
{
    struct partition_facts about = {"cmd", seen, next, stable_end, end};
    struct consumer_facts facts = {true, true, NULL, &about, 1};
    engine_consumer_facts(engine, now, &facts);
}

/* ---- what a command waits for ---------------------------------------------------------------- */

START_TEST(every_state_of_a_command_has_its_reason)
{
    account.limits.concurrency = 1;
    conversation_end();
    conversation_start_engine();
    conversation_assign(0, NULL);
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    say("m", "c-3", "cancel", "{\"id\":\"c\"}", "\"until\":\"settled\"");
    now.mono_ms += 3000;
    struct waiting list[4];
    ck_assert_uint_eq(engine_slowest(engine, list, 4), 3);
    ck_assert_uint_eq(engine_slowest(engine, list, 2), 2);
    engine_tick(engine, now);
    assert_oldest_waits_for(WAIT_CALL, "its call is out for 3 s");
    engine_slowest(engine, list, 4);
    ck_assert_int_eq(list[1].reason, WAIT_ORDER);
    ck_assert_int_eq(list[1].behind_offset, 0);
    ck_assert_int_eq(list[2].reason, WAIT_LIMITS);
    ck_assert(slice_equals(list[2].id, "c-3"));
    answer_throttled(hear_call("cancel a"), "40");
    engine_slowest(engine, list, 4);
    ck_assert_int_eq(list[0].reason, WAIT_BACKOFF);
    ck_assert_int_eq(list[2].reason, WAIT_HELD);
    ck_assert_int_eq(list[2].until_ms, now.mono_ms + 40000);
    later(45000);
    answer_call(hear_call("cancel c"), "c"); /* the one that waited goes first */
    answer_call(hear_call("cancel a"), "c");
    engine_slowest(engine, list, 4);
    ck_assert_int_eq(list[0].reason, WAIT_COMMIT);
    commit_all();
    answer_call(hear_call("cancel b"), "c");
    commit_all();
    assert_oldest_waits_for(WAIT_SETTLING, "polled until it is settled");
}
END_TEST

START_TEST(sign_in_that_is_out_or_refused_is_the_reason)
{
    conversation_signs_in();
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    assert_oldest_waits_for(WAIT_CREDENTIALS, "account acc signs in");
    answer_call(hear_call("sign-in"), "no");
    commit_all();
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", NULL);
    assert_oldest_waits_for(WAIT_CREDENTIALS, "are tried again in 30 s");
}
END_TEST

START_TEST(ledgers_tell_frontier_and_how_many_wait)
{
    struct ledger_view view;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say("m", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    uint64_t first = hear_call("cancel a");
    answer_call(hear_call("cancel b"), "c");
    commit_all();
    ck_assert_uint_eq(engine_ledgers(engine, &view, 1), 1);
    ck_assert_str_eq(view.topic, "cmd");
    ck_assert_int_eq(view.frontier, 0);
    ck_assert_uint_eq(view.waiting, 1);
    ck_assert_int_eq(engine_oldest_ms(engine), 1000);
    answer_call(first, "c");
    commit_all();
    engine_ledgers(engine, &view, 1);
    ck_assert_int_eq(view.frontier, 2);
    ck_assert_int_eq(engine_oldest_ms(engine), INT64_MAX);
}
END_TEST

/* ---- ledgers that stand still ---------------------------------------------------------------- */

START_TEST(slow_provider_is_said_at_growing_intervals_and_is_no_fault)
{
    account.limits.timeout_ms = 1000000;
    say("k", "c-\\\"1", "cancel", "{\"id\":\"a\"}", NULL);
    later(STUCK_MS - 1000);
    ck_assert_uint_eq(logged("stuck"), 0);
    later(1000 + 2 * PACE_MS);
    ck_assert_uint_eq(logged("stuck"), 1);
    assert_in(last_logged("stuck"), "reason=call");
    assert_in(last_logged("stuck"), "topic=cmd partition=0 offset=0 id=\"c-\\\"1\" account=acc");
    assert_in(last_logged("stuck"), "why=\"its call is out for");
    ck_assert_uint_eq(stuck_partitions(WAIT_CALL), 1);
    health_words(ENGINE_READY);
    later(7 * STUCK_MS);
    ck_assert_uint_eq(logged("stuck"), 4); /* after 1, 2, 4 and 8 minutes */
    ck_assert_uint_eq(logged("moves_again"), 0);
    answer_call(hear_call("cancel a"), "c");
    commit_all();
    later(2 * PACE_MS);
    ck_assert_uint_eq(logged("moves_again"), 1);
    ck_assert_uint_eq(stuck_partitions(WAIT_CALL), 0);
}
END_TEST

START_TEST(moving_ledger_with_old_commands_is_not_stuck)
{
    settings.ordering = ORDERING_PARTITION;
    for (int i = 0; i < 30; i++)
        say(NULL, "c", "cancel", "{\"id\":\"a\"}", NULL);
    for (int i = 0; i < 30; i++) {
        later(10000);
        answer_call(hear_call("cancel a"), "c");
        commit_all();
    }
    ck_assert_uint_eq(logged("stuck"), 0);
}
END_TEST

START_TEST(late_answer_that_is_being_published_is_no_fault)
{
    account.limits.timeout_ms = 1000000;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    later(2 * STUCK_MS);
    answer_call(hear_call("cancel a"), "c");
    ck_assert_ptr_nonnull(batch);
    later(2 * PACE_MS);
    health_words(ENGINE_READY);
    ck_assert_uint_eq(stuck_partitions(WAIT_COMMIT), 0);
    commit_all();
}
END_TEST

START_TEST(process_that_was_stopped_finds_nothing_stuck)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    uint64_t call = hear_call("cancel a");
    say("m", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("cancel b"), "c");
    ck_assert_ptr_nonnull(batch);
    now.mono_ms += 2 * LEAVE_MS;
    engine_tick(engine, now);
    health_words(ENGINE_READY);
    later(STUCK_MS - PACE_MS);
    ck_assert_uint_eq(logged("stuck"), 0);
    answer_call(call, "c");
    commit_all();
}
END_TEST

START_TEST(settling_command_is_no_news_but_hides_nobody)
{
    account.limits.timeout_ms = 1000;
    say("m", "c-1", "cancel", "{\"id\":\"a\"}", "\"until\":\"settled\"");
    say("k", "c-2", "cancel", "{\"id\":\"b\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    uint64_t lost = hear_call("cancel b");
    for (int i = 0; i < 12; i++) {
        later(10000);
        for (size_t at = 0; at < call_count; at++)
            if (calls[at].open)
                answer_call(hear_call("status a"), "c");
    }
    /* The answer of the second call should have come long ago. */
    assert_in(last_logged("stuck"), "reason=nothing");
    assert_in(last_logged("stuck"), "offset=1");
    assert_in(health_words(ENGINE_STUCK), "nothing is under way");
    answer_call(lost, "c");
    commit_all();
    for (int i = 0; i < 8; i++) {
        later(10000);
        for (size_t at = 0; at < call_count; at++)
            if (calls[at].open)
                answer_call(hear_call("status a"), "c");
    }
    ck_assert_uint_eq(stuck_partitions(WAIT_SETTLING), 1);
    health_words(ENGINE_READY);
}
END_TEST

/* ---- Kafka ----------------------------------------------------------------------------------- */

START_TEST(transaction_that_hangs_fails_readiness_with_its_words)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    ck_assert_ptr_nonnull(batch);
    later(STUCK_MS - 1000);
    health_words(ENGINE_READY);
    later(1000 + PACE_MS);
    assert_in(health_words(ENGINE_STUCK), "a transaction is out for 6");
    ck_assert_uint_eq(logged("stuck"), 1);
    assert_in(last_logged("stuck"), "reason=transaction");
    assert_in(last_logged("stuck"), "id=\"c-1\"");
    ck_assert_uint_eq(stuck_partitions(WAIT_COMMIT), 1);
    commit_all();
    later(PACE_MS);
    health_words(ENGINE_READY);
    ck_assert_uint_eq(logged("moves_again"), 1);
}
END_TEST

START_TEST(aborts_in_a_row_are_a_standstill_and_end_the_process)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    for (int64_t since = now.mono_ms; now.mono_ms - since < STUCK_MS + PACE_MS; later(1000))
        if (batch)
            receipt(RECEIPT_ABORTED);
    assert_in(health_words(ENGINE_STUCK), "transactions in a row were aborted");
    assert_in(health_words(ENGINE_STUCK), "s ago: scripted");
    for (int64_t since = now.mono_ms; now.mono_ms - since < LEAVE_MS - STUCK_MS; later(1000))
        if (batch)
            receipt(RECEIPT_ABORTED);
    assert_in(health_words(ENGINE_FAILED), "Kafka could not be used for 30");
}
END_TEST

START_TEST(abort_of_long_ago_is_forgotten_when_nothing_is_to_do)
{
    struct topic_partition at = {"cmd", 0};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    receipt(RECEIPT_ABORTED);
    engine_revoked(engine, now, &at, 1, true);
    later(2 * LEAVE_MS);
    health_words(ENGINE_READY);
    conversation_assign(0, NULL);
    later(2 * PACE_MS);
    health_words(ENGINE_READY);
    ck_assert_uint_eq(logged("stuck"), 0);
}
END_TEST

START_TEST(positions_that_cannot_be_read_fail_readiness_and_then_the_process)
{
    struct topic_partition other = {"cmd", 1};
    struct error err = {ERROR_TEMPORARY, "timed out"};
    engine_assigned(engine, now, &other, 1);
    for (int i = 0; i < 7; i++) {
        engine_positions(engine, now, NULL, 0, &err);
        later(10000);
    }
    assert_in(health_words(ENGINE_STUCK), "committed positions cannot be read");
    for (int i = 0; i < 24; i++) {
        engine_positions(engine, now, NULL, 0, &err);
        later(10000);
    }
    assert_in(health_words(ENGINE_FAILED), "committed positions cannot be read");
}
END_TEST

START_TEST(producer_that_is_never_ready_ends_the_process)
{
    struct error err = {ERROR_TEMPORARY, "init_transactions: timed out"};
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "c");
    receipt(RECEIPT_UNKNOWN);
    ck_assert(recovering);
    for (int i = 0; i < 7; i++) {
        engine_recovered(engine, now, &err);
        later(10000);
    }
    assert_in(health_words(ENGINE_STUCK), "the producer is being made");
    later(LEAVE_MS);
    assert_in(health_words(ENGINE_FAILED), "the producer is being made");
}
END_TEST

START_TEST(no_broker_fails_readiness_and_then_the_process)
{
    consumer_sees(false, false);
    later(STUCK_MS + PACE_MS);
    assert_in(health_words(ENGINE_STUCK), "no broker is reachable");
    consumer_sees(true, true);
    later(PACE_MS);
    health_words(ENGINE_READY);
    consumer_sees(false, false);
    later(LEAVE_MS - PACE_MS);
    health_words(ENGINE_STUCK);
    later(3 * PACE_MS);
    assert_in(health_words(ENGINE_FAILED), "no broker is reachable");
}
END_TEST

START_TEST(missing_results_topic_is_for_people_to_mend)
{
    struct topic_facts facts = {.topic = "results", .exists = false};
    commit_all();
    later(70000); /* what is known of the topic is old by then */
    engine_topic_facts(engine, now, &facts);
    results_exist = false;
    later(2 * LEAVE_MS);
    ck_assert_str_eq(health_words(ENGINE_BLOCKED), "the results topic does not exist");
    assert_in(last_logged("stuck"), "reason=output_topics");
    results_exist = true;
    later(2 * PACE_MS);
    health_words(ENGINE_READY);
}
END_TEST

START_TEST(coordinator_out_of_reach_fails_readiness_and_then_the_process)
{
    consumer_sees(true, false);
    later(STUCK_MS + PACE_MS);
    assert_in(health_words(ENGINE_STUCK), "coordinator cannot be reached");
    later(LEAVE_MS);
    assert_in(health_words(ENGINE_FAILED), "coordinator cannot be reached");
}
END_TEST

START_TEST(group_that_never_gives_anything_is_said_with_the_consumers_words)
{
    struct consumer_facts facts = {true, true, "Topic authorization failed: cmd", NULL, 0};
    conversation_end();
    conversation_start_engine();
    engine_recovered(engine, now, NULL);
    ck_assert_str_eq(health_words(ENGINE_STARTING), "waiting for an assignment");
    engine_consumer_facts(engine, now, &facts);
    ck_assert_str_eq(health_words(ENGINE_STARTING), "Topic authorization failed: cmd");
    later(LEAVE_MS + STUCK_MS); /* for people to mend: it does not leave */
    assert_in(health_words(ENGINE_STUCK), "no assignment yet (Topic authorization failed: cmd)");
    assert_in(last_logged("stuck"), "reason=assignment");
    conversation_assign(0, NULL);
    consumer_sees(true, true);
    later(PACE_MS);
    health_words(ENGINE_READY);
}
END_TEST

START_TEST(open_transaction_in_the_command_topic_has_its_own_word)
{
    for (int64_t end = 20; end < 28; end++) {
        consumer_sees_partition(12, 12, end);
        later(10000);
    }
    assert_in(health_words(ENGINE_STUCK), "transaction stays open at cmd-0-12");
    assert_in(last_logged("stuck"), "reason=open_transaction");
    ck_assert_uint_eq(stuck_partitions(WAIT_OPEN_TRANSACTION), 1);
    consumer_sees_partition(28, 28, 28);
    later(PACE_MS);
    health_words(ENGINE_READY);
    ck_assert_uint_eq(logged("moves_again"), 1);
}
END_TEST

static void assign_another(void)
{
    struct topic_partition at = {"cmd", 1};
    struct position position = {.at = at, .end = OFFSET_NONE, .fresh = true};
    engine_assigned(engine, now, &at, 1);
    engine_positions(engine, now, &position, 1, NULL);
    commit_all();
}

/* Its one call is out and many wait, all of the same partition: the client may have stopped
 * fetching the other one for lack of room. */
static void have_enough(void)
{
    conversation_end();
    account.limits.concurrency = 1;
    conversation_start_engine();
    conversation_assign(0, NULL);
    for (int i = 0; engine_is_hungry(engine); i++) {
        char id[16], task[32];
        ck_assert_int_lt(i, 20);
        snprintf(id, sizeof id, "c-%d", i);
        snprintf(task, sizeof task, "{\"id\":\"t%d\"}", i);
        say(NULL, id, "cancel", task, NULL);
    }
}

START_TEST(time_in_which_no_records_are_wanted_is_no_standstill)
{
    have_enough();
    assign_another();
    seen = 1;
    for (int64_t end = 20; end < 40; end++) {
        consumer_sees_partition(12, 12, end);
        later(10000);
    }
    ck_assert_uint_eq(stuck_partitions(WAIT_OPEN_TRANSACTION), 0);
    seen = 0;
}
END_TEST

START_TEST(transactions_that_follow_each_other_hold_nothing_up)
{
    for (int64_t end = 20; end < 40; end += 2) {
        consumer_sees_partition(end - 9, end - 8, end);
        later(10000);
    }
    health_words(ENGINE_READY);
    ck_assert_uint_eq(logged("stuck"), 0);
}
END_TEST

START_TEST(records_that_are_not_fetched_fail_readiness)
{
    for (int64_t end = 20; end < 28; end++) {
        consumer_sees_partition(12, end, end);
        later(10000);
    }
    assert_in(health_words(ENGINE_STUCK), "nothing is fetched of cmd-0 from 12 on");
    consumer_sees_partition(28, 28, 28);
    later(PACE_MS);
    health_words(ENGINE_READY);
}
END_TEST

START_TEST(paused_partition_is_not_fetched_and_that_is_right)
{
    settings.window = 1;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"until\":\"settled\"");
    answer_call(hear_call("cancel a"), "c");
    ck_assert(paused);
    for (int64_t end = 20; end < 40; end++) {
        consumer_sees_partition(12, end, end + 2);
        later(10000);
        if (calls[call_count - 1].open)
            answer_call(hear_call("status a"), "c");
    }
    ck_assert_uint_eq(stuck_partitions(WAIT_SETTLING), 1);
    health_words(ENGINE_READY);
}
END_TEST

START_TEST(process_that_was_stopped_blames_nobody_before_it_has_read_what_came)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    uint64_t call = hear_call("cancel a");
    now.mono_ms += 1000 * 1000; /* nobody ticked */
    now.wall_ms += 1000 * 1000;
    engine_tick(engine, now);
    answer_call(call, "c");
    hear_result("c-1", "succeeded", "cancelling");
    ck_assert_uint_eq(logged("stuck"), 0);
    health_words(ENGINE_READY);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("watchdog");
    tcase_add_checked_fixture(tests, begin, conversation_end);
    tcase_add_test(tests, every_state_of_a_command_has_its_reason);
    tcase_add_test(tests, sign_in_that_is_out_or_refused_is_the_reason);
    tcase_add_test(tests, ledgers_tell_frontier_and_how_many_wait);
    tcase_add_test(tests, slow_provider_is_said_at_growing_intervals_and_is_no_fault);
    tcase_add_test(tests, moving_ledger_with_old_commands_is_not_stuck);
    tcase_add_test(tests, late_answer_that_is_being_published_is_no_fault);
    tcase_add_test(tests, process_that_was_stopped_finds_nothing_stuck);
    tcase_add_test(tests, settling_command_is_no_news_but_hides_nobody);
    tcase_add_test(tests, transaction_that_hangs_fails_readiness_with_its_words);
    tcase_add_test(tests, aborts_in_a_row_are_a_standstill_and_end_the_process);
    tcase_add_test(tests, abort_of_long_ago_is_forgotten_when_nothing_is_to_do);
    tcase_add_test(tests, positions_that_cannot_be_read_fail_readiness_and_then_the_process);
    tcase_add_test(tests, producer_that_is_never_ready_ends_the_process);
    tcase_add_test(tests, no_broker_fails_readiness_and_then_the_process);
    tcase_add_test(tests, missing_results_topic_is_for_people_to_mend);
    tcase_add_test(tests, coordinator_out_of_reach_fails_readiness_and_then_the_process);
    tcase_add_test(tests, group_that_never_gives_anything_is_said_with_the_consumers_words);
    tcase_add_test(tests, records_that_are_not_fetched_fail_readiness);
    tcase_add_test(tests, paused_partition_is_not_fetched_and_that_is_right);
    tcase_add_test(tests, open_transaction_in_the_command_topic_has_its_own_word);
    tcase_add_test(tests, time_in_which_no_records_are_wanted_is_no_standstill);
    tcase_add_test(tests, transactions_that_follow_each_other_hold_nothing_up);
    tcase_add_test(tests, process_that_was_stopped_blames_nobody_before_it_has_read_what_came);
    return unit_run("watchdog", tests);
}
