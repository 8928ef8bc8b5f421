/* What the limits of an account do to its commands. */
#include "tests/unit/core/support/conversation.h"
#include "worker/core/watchdog.h"

#include "common/banned.h"

static void with_breaker(void)
{
    account.breaker = (struct breaker_settings){.failures = 50,
                                                .minimum = 3,
                                                .window_ms = 10000,
                                                .probe_low_ms = 1000,
                                                .probe_high_ms = 5000};
}

/* Every call is answered at once with these letters while so much time goes by; how many there
 * were. */
static unsigned all_answered(const char *letters, int64_t for_ms)
{
    unsigned answers = 0;
    for (int64_t end = now.mono_ms + for_ms; now.mono_ms < end; later(50)) {
        for (size_t i = 0; i < call_count; i++) {
            if (!calls[i].open)
                continue;
            calls[i].open = false;
            answer_call(calls[i].id, letters);
            answers++;
        }
    }
    return answers;
}

static void say_many(const char *prefix, int count)
{
    for (int i = 0; i < count; i++) {
        char id[32], task[64];
        snprintf(id, sizeof id, "%s-%d", prefix, i);
        snprintf(task, sizeof task, "{\"id\":\"%s%d\"}", prefix, i);
        say(NULL, id, "cancel", task, NULL);
    }
}

static unsigned committed_with(const char *text)
{
    unsigned found = 0;
    commit_all();
    for (size_t i = 0; i < result_count; i++)
        found += strstr(results[i], text) != NULL;
    return found;
}

/* Of the last of them. */
static enum wait_reason slowest_reason(void)
{
    struct waiting list[SAID_MOST];
    size_t count = engine_slowest(engine, list, SAID_MOST);
    ck_assert_uint_gt(count, 0);
    return list[count - 1].reason;
}

/* ---- breaker --------------------------------------------------------------------------------- */

START_TEST(commands_are_held_through_an_outage_and_done_when_it_is_over)
{
    with_breaker();
    say_many("a", 10);
    unsigned storm = all_answered("R", 1000);
    ck_assert_uint_le(storm, 20);
    unsigned probes = all_answered("R", 119000);
    ck_assert_uint_le(probes, 30);
    ck_assert_uint_ge(probes, 20);
    say_many("b", 10);
    hear_no_result();
    all_answered("c", 6000);
    ck_assert_uint_eq(committed_with("\"outcome\":\"succeeded\""), 20);
    commit_all();
    ck_assert_uint_eq(result_count, 20);
}
END_TEST

/* `attempts` of the account is 4. */
START_TEST(failed_probes_are_no_tries_of_the_command_that_lends_itself)
{
    with_breaker();
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    unsigned calls_made = all_answered("R", 120000);
    ck_assert_uint_gt(calls_made, 20);
    hear_no_result();
    all_answered("c", 6000);
    hear_result("c-1", "succeeded", "cancelling");
}
END_TEST

START_TEST(give_up_after_counts_while_the_breaker_holds)
{
    with_breaker();
    account.retry.give_up_after_ms = 60000;
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    say_many("b", 3);
    all_answered("R", 55000);
    hear_no_result();
    say("m", "c-2", "cancel", "{\"id\":\"never-called\"}", NULL);
    all_answered("R", 11000);
    ck_assert_uint_eq(committed_with("\"outcome\":\"failed\""), 4);
    ck_assert_uint_eq(committed_with("\"kind\":\"unavailable\""), 4);
    ck_assert_uint_eq(committed_with("\"commandId\":\"c-2\""), 0);
    all_answered("R", 120000); /* only probes of it: its time has not begun */
    commit_all();
    ck_assert_uint_eq(result_count, 4);
    all_answered("c", 6000);
    ck_assert_uint_eq(committed_with("\"commandId\":\"c-2\""), 1);
    ck_assert_uint_eq(committed_with("\"outcome\":\"succeeded\""), 1);
}
END_TEST

START_TEST(deadlines_count_while_the_breaker_holds)
{
    with_breaker();
    say_many("a", 3);
    all_answered("R", 500);
    say("k", "c-1", "cancel", "{\"id\":\"x\"}", "\"expiresAt\":\"2023-11-14T22:13:30Z\"");
    all_answered("R", 15000);
    hear_result("c-1", "expired", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"applied\":\"no\""));
}
END_TEST

START_TEST(one_operation_may_be_away_while_the_other_works)
{
    with_breaker();
    say_many("a", 3);
    all_answered("R", 200);
    say("k", "c-1", "cancel", "{\"id\":\"x\"}", NULL);
    hear_no_call();
    say("m", "c-2", "status", "{\"id\":\"x\"}", NULL);
    answer_call(hear_call("status x"), "r");
    hear_result("c-2", "succeeded", "running");
}
END_TEST

START_TEST(cancel_of_unknown_fate_is_still_looked_at_when_the_provider_is_back)
{
    with_breaker();
    say_many("a", 4);
    for (int i = 0; i < 4; i++)
        calls[i].open = false, answer_call(calls[i].id, "?");
    all_answered("R", 120000); /* the statuses cannot be read either */
    hear_no_result();
    all_answered("C", 6000); /* a status that says cancelled, or a cancel that is taken */
    ck_assert_uint_eq(committed_with("\"outcome\":\"succeeded\""), 4);
}
END_TEST

START_TEST(probe_of_unknown_fate_is_looked_at_as_any_other)
{
    with_breaker();
    later(account.retry.give_up_after_ms);
    account.retry.attempts = 1;
    say_many("a", 3);
    all_answered("R", 50);
    for (int i = 0; i < 3; i++)
        say(NULL, "s", "status", "{\"id\":\"s\"}", NULL);
    all_answered("R", 50);
    ck_assert_uint_eq(committed_with("\"outcome\":\"failed\""), 6);
    account.retry.attempts = 4;
    say("k", "c-1", "cancel", "{\"id\":\"x\"}", NULL);
    later(1000);
    answer_call(hear_call("cancel x"), "?");
    later(60000); /* nobody answers the probes of its status */
    all_answered("R", 59000);
    commit_all();
    ck_assert_uint_eq(result_count, 6);
    all_answered("C", 10000);
    ck_assert_uint_eq(committed_with("\"outcome\":\"succeeded\""), 1);
}
END_TEST

START_TEST(state_can_be_seen_from_outside)
{
    with_breaker();
    const struct account_metrics *metrics = &engine_metrics(engine)->accounts[0];
    ck_assert_uint_eq(metrics->breaker[OPERATION_CANCEL], 0);
    say_many("a", 3);
    all_answered("R", 100);
    ck_assert_uint_eq(metrics->breaker[OPERATION_CANCEL], 1);
    ck_assert_uint_eq(metrics->breaker[OPERATION_STATUS], 0);
    ck_assert_uint_eq(metrics->breaker_opened, 1);
    say("k", "c-1", "cancel", "{\"id\":\"x\"}", NULL);
    ck_assert_uint_eq(slowest_reason(), WAIT_BREAKER);
    later(1000);
    ck_assert_uint_eq(metrics->breaker[OPERATION_CANCEL], 2);
    ck_assert_uint_eq(metrics->probes, 1);
    ck_assert_uint_eq(metrics->concurrency[OPERATION_CANCEL], 100);
}
END_TEST

/* ---- an operator's hold ---------------------------------------------------------------------- */

static void hold(bool on)
{
    ck_assert(engine_hold_account(engine, now, slice_of_string("acc"), on));
}

START_TEST(held_account_calls_nobody_until_it_is_let_go)
{
    hold(true);
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    later(3600 * 1000);
    hear_no_call();
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].held, 1);
    ck_assert_uint_eq(slowest_reason(), WAIT_STOPPED);
    hold(false);
    answer_call(hear_call("cancel a"), "c");
    hear_result("c-1", "succeeded", "cancelling");
    ck_assert(!engine_hold_account(engine, now, slice_of_string("nobody"), true));
}
END_TEST

START_TEST(held_account_signs_in_nowhere)
{
    conversation_signs_in();
    hold(true);
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    hear_no_call();
    hold(false);
    answer_call(hear_call("sign-in"), "ok");
    answer_call(hear_call("cancel a"), "c");
}
END_TEST

START_TEST(account_can_be_held_from_the_start)
{
    conversation_end();
    account.hold = true;
    conversation_start_engine();
    conversation_assign(0, NULL);
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", "\"expiresAt\":\"2023-11-14T22:13:30Z\"");
    later(60000);
    hear_no_call();
    hear_result("c-1", "expired", "unknown");
}
END_TEST

START_TEST(drain_does_not_wait_for_looks_of_a_held_account)
{
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    answer_call(hear_call("cancel a"), "?");
    hold(true);
    engine_drain(engine, now);
    commit_all();
    ck_assert(engine_drained(engine));
    ck_assert(engine_drain_clean(engine));
    hear_no_result();
}
END_TEST

/* ---- shares ---------------------------------------------------------------------------------- */

static struct account_settings accounts[2];

/* The account "acc", changed by the test, and another one beside it. */
static void with_two_accounts(void)
{
    conversation_end();
    accounts[0] = accounts[1] = account;
    accounts[1].name = "other";
    accounts[1].overflow = OVERFLOW_WAIT;
    settings.accounts = accounts;
    settings.account_count = 2;
    conversation_start_engine();
}

static void say_numbered(const char *name, const char *prefix, int number)
{
    char id[32], task[64], extra[64];
    snprintf(id, sizeof id, "%s-%d", prefix, number);
    snprintf(task, sizeof task, "{\"id\":\"%s%d\"}", prefix, number);
    snprintf(extra, sizeof extra, "\"account\":\"%s\"", name);
    say(NULL, id, "cancel", task, extra);
}

static void say_to(const char *name, const char *prefix, int count)
{
    for (int i = 0; i < count; i++)
        say_numbered(name, prefix, i);
}

static unsigned open_calls(char prefix)
{
    unsigned open = 0;
    for (size_t i = 0; i < call_count; i++)
        open += calls[i].open && strncmp(calls[i].text, "cancel ", 7) == 0 &&
                calls[i].text[7] == prefix;
    return open;
}

static void answer_open(char prefix, unsigned most)
{
    for (size_t i = 0; i < call_count && most > 0; i++) {
        if (!calls[i].open || calls[i].text[7] != prefix)
            continue;
        calls[i].open = false;
        answer_call(calls[i].id, "c");
        most--;
    }
}

START_TEST(no_account_takes_more_call_slots_than_it_leaves_free)
{
    settings.calls = 10;
    settings.window = 1000;
    with_two_accounts();
    conversation_assign(0, NULL);
    say_to("acc", "a", 20);
    ck_assert_uint_eq(open_calls('a'), 5);
    say_to("other", "b", 20);
    ck_assert_uint_eq(open_calls('b'), 3);
    answer_open('b', 3);
    ck_assert_uint_eq(open_calls('a'), 5);
    ck_assert_uint_eq(open_calls('b'), 3);
}
END_TEST

/* How many commands it takes until no more are wanted; `most`: they are wanted still. */
static int said_until_sated(const char *name, const char *prefix, int most)
{
    int said = 0;
    while (said < most && engine_is_hungry(engine))
        say_numbered(name, prefix, said++);
    return said;
}

static void with_four_calls(void)
{
    conversation_end();
    account.limits.concurrency = 4;
    settings.window = 1000;
    conversation_start_engine();
    conversation_assign(0, NULL);
}

START_TEST(records_are_left_while_two_rounds_of_calls_wait_and_wanted_when_one_is_left)
{
    with_four_calls();
    int said = said_until_sated("acc", "a", 100);
    ck_assert_int_lt(said, 100);
    ck_assert_uint_eq(open_calls('a'), 4);
    uint64_t waiting = engine_metrics(engine)->accounts[0].waiting;
    ck_assert_uint_ge(waiting, 8);
    while (!engine_is_hungry(engine)) {
        ck_assert_uint_gt(engine_metrics(engine)->accounts[0].waiting, waiting / 2);
        ck_assert_uint_eq(open_calls('a'), 4);
        answer_open('a', 1);
    }
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].waiting, waiting / 2);
    ck_assert_int_gt(said_until_sated("acc", "c", 100), 0);
    ck_assert(!engine_is_hungry(engine));
}
END_TEST

/* Of eight keys. */
static void say_of_few_keys(int number)
{
    char key[8], id[32], task[64];
    snprintf(key, sizeof key, "k%d", number % 8);
    snprintf(id, sizeof id, "a-%d", number);
    snprintf(task, sizeof task, "{\"id\":\"a%d\"}", number);
    say(key, id, "cancel", task, "\"account\":\"acc\"");
}

START_TEST(records_are_left_while_rounds_of_them_wait_behind_others_of_their_key)
{
    with_four_calls();
    int said = 0;
    while (said < 100 && engine_is_hungry(engine))
        say_of_few_keys(said++);
    /* Those that are called; five and a half rounds of four calls of three. */
    ck_assert_int_eq(said, 4 + 11 * 4 * 3 / 2);
    ck_assert_uint_eq(open_calls('a'), 4);
    for (int answers = 0; !engine_is_hungry(engine); answers++) {
        ck_assert_int_lt(answers, 4 * 3 / 2 + 1);
        answer_open('a', 1);
    }
    ck_assert_uint_eq(open_calls('a'), 4);
    while (open_calls('a') > 0)
        answer_open('a', 1);
    commit_all();
    ck_assert_uint_eq(result_count, (size_t)said);
    say_of_few_keys(said); /* nothing is counted that is gone */
    ck_assert(engine_is_hungry(engine));
}
END_TEST

START_TEST(records_are_wanted_while_an_account_may_not_call)
{
    with_four_calls();
    said_until_sated("acc", "a", 100);
    ck_assert(!engine_is_hungry(engine));
    ck_assert(engine_hold_account(engine, now, slice_of_string("acc"), true));
    answer_open('a', 4);
    ck_assert_uint_eq(open_calls('a'), 0);
    ck_assert(engine_is_hungry(engine));
    ck_assert_int_eq(said_until_sated("acc", "b", 60), 60);
}
END_TEST

START_TEST(records_are_wanted_as_long_as_one_account_has_nothing_to_do)
{
    account.limits.concurrency = 4;
    settings.window = 1000;
    with_two_accounts();
    conversation_assign(0, NULL);
    ck_assert_int_eq(said_until_sated("acc", "a", 60), 60);
    ck_assert_int_lt(said_until_sated("other", "b", 60), 60);
}
END_TEST

START_TEST(a_lone_account_may_take_everything)
{
    conversation_end();
    settings.calls = 10;
    conversation_start_engine();
    conversation_assign(0, NULL);
    say_to("acc", "a", 50);
    ck_assert_uint_eq(open_calls('a'), 10);
    ck_assert(paused); /* the window of 50 is full, and not before */
}
END_TEST

START_TEST(partition_pauses_when_an_account_that_waits_has_its_share_of_the_window)
{
    with_two_accounts();
    conversation_assign(0, NULL);
    say_to("acc", "a", 24);
    ck_assert(!paused);
    say_to("acc", "b", 1);
    ck_assert(paused);
    answer_open('a', 8);
    commit_all();
    ck_assert(paused);
    answer_open('a', 1);
    commit_all();
    ck_assert(!paused);
    say_to("other", "c", 16); /* both together: two thirds */
    ck_assert(!paused);
    say_to("other", "d", 1);
    ck_assert(paused);
    answer_open('a', 100), answer_open('b', 100), answer_open('c', 100), answer_open('d', 100);
    ck_assert_uint_eq(committed_with("\"outcome\":\"succeeded\""), 42);
    ck_assert(!paused);
}
END_TEST

START_TEST(overflowing_commands_are_answered_at_once_and_others_go_on)
{
    account.overflow = OVERFLOW_FAIL;
    with_two_accounts();
    conversation_assign(0, NULL);
    say_to("acc", "a", 25);
    hear_no_result();
    say_to("acc", "x", 10);
    ck_assert_uint_eq(open_calls('x'), 0);
    hear_result("x-0", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unavailable\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":0"));
    ck_assert_uint_eq(committed_with("\"outcome\":\"failed\""), 10);
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].overflowed, 10);
    ck_assert(!paused);
    say_to("other", "b", 5);
    ck_assert_uint_eq(open_calls('b'), 5);
    answer_open('b', 5);
    ck_assert_uint_eq(committed_with("\"outcome\":\"succeeded\""), 5);
    answer_open('a', 1);
    commit_all();
    say_to("acc", "c", 1); /* there is a place again */
    ck_assert_uint_eq(open_calls('c'), 1);
}
END_TEST

START_TEST(what_may_have_been_sent_never_overflows)
{
    account.overflow = OVERFLOW_FAIL;
    with_two_accounts();
    conversation_assign(0, "foreign");
    say_to("acc", "a", 40);
    hear_no_result();
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].overflowed, 0);
}
END_TEST

START_TEST(one_place_is_enough_for_one_command)
{
    account.overflow = OVERFLOW_FAIL;
    settings.window = 1;
    with_two_accounts();
    conversation_assign(0, NULL);
    say_to("acc", "a", 1);
    answer_open('a', 1);
    hear_result("a-0", "succeeded", "cancelling");
}
END_TEST

/* ---- rates of the group ---------------------------------------------------------------------- */

static const char *const command_topics[] = {"cmd"};

static void with_shared_rate(void)
{
    conversation_end();
    account.limits.rate_per_1000s = 100 * 1000;
    account.limits.share_group = true;
    settings.command_topics = (const char **)command_topics;
    settings.command_topic_count = 1;
    settings.window = 1000;
    conversation_start_engine();
}

/* Of the topic's four partitions one is ours. */
START_TEST(worker_has_of_the_rate_what_it_has_of_the_partitions)
{
    with_shared_rate();
    conversation_assign(0, NULL);
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].rate_per_1000s, 25 * 1000);
    say_many("a", 200);
    unsigned in_a_second = all_answered("c", 1000);
    ck_assert_uint_le(in_a_second, 27);
    ck_assert_uint_ge(in_a_second, 20);
    ck_assert_uint_le(all_answered("c", 4000), 101);
}
END_TEST

START_TEST(nothing_is_called_while_the_partitions_are_not_counted)
{
    topic_exists = false;
    with_shared_rate();
    conversation_assign(0, NULL);
    say_many("a", 5);
    later(60000);
    ck_assert_uint_eq(open_calls('a'), 0);
    topic_exists = true;
    later(61000);
    ck_assert_uint_gt(open_calls('a'), 0);
}
END_TEST

START_TEST(lost_partitions_take_their_part_of_the_rate_along)
{
    struct topic_partition at = {"cmd", 0};
    with_shared_rate();
    conversation_assign(0, NULL);
    engine_revoked(engine, now, &at, 1, true);
    ck_assert(unassigned);
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].rate_per_1000s, 0);
    conversation_assign(0, NULL);
    ck_assert_uint_eq(engine_metrics(engine)->accounts[0].rate_per_1000s, 25 * 1000);
}
END_TEST

/* ---- dry run --------------------------------------------------------------------------------- */

START_TEST(dry_run_answers_without_a_call_and_says_so)
{
    account.dry_run = true;
    say("k", "c-1", "cancel", "{\"ids\":[\"a\",\"b\"]}", NULL);
    say("k", "c-2", "status", "{\"id\":\"a\"}", NULL);
    hear_no_call();
    hear_result("c-1", "refused", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"dryRun\":true"));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"not_permitted\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"attempts\":0"));
    ck_assert_ptr_nonnull(strstr(last_result(), "{\"id\":\"b\",\"outcome\":\"refused\""));
    hear_result("c-2", "refused", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"dryRun\":true"));
}
END_TEST

START_TEST(dry_run_says_what_would_not_have_been_called)
{
    account.dry_run = true;
    account.allow.operations = 1u << OPERATION_CANCEL;
    say("k", "c-1", "status", "{\"id\":\"a\"}", NULL);
    say("k", "c-2", "cancel", "{\"id\":\"a\"}", "\"expiresAt\":\"2023-11-14T22:13:10Z\"");
    hear_result("c-1", "refused", "unknown");
    ck_assert_ptr_null(strstr(last_result(), "dryRun"));
    hear_result("c-2", "expired", "unknown");
    ck_assert_ptr_null(strstr(last_result(), "dryRun"));
}
END_TEST

START_TEST(dry_run_does_not_say_no_to_what_may_have_been_sent)
{
    conversation_end();
    account.dry_run = true;
    conversation_start_engine();
    conversation_assign(0, "foreign");
    say("k", "c-1", "cancel", "{\"id\":\"a\"}", NULL);
    hear_no_call();
    hear_result("c-1", "failed", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "\"kind\":\"unknown_outcome\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "\"dryRun\":true"));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("limits");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, commands_are_held_through_an_outage_and_done_when_it_is_over);
    tcase_add_test(tests, failed_probes_are_no_tries_of_the_command_that_lends_itself);
    tcase_add_test(tests, give_up_after_counts_while_the_breaker_holds);
    tcase_add_test(tests, deadlines_count_while_the_breaker_holds);
    tcase_add_test(tests, one_operation_may_be_away_while_the_other_works);
    tcase_add_test(tests, cancel_of_unknown_fate_is_still_looked_at_when_the_provider_is_back);
    tcase_add_test(tests, probe_of_unknown_fate_is_looked_at_as_any_other);
    tcase_add_test(tests, state_can_be_seen_from_outside);
    tcase_add_test(tests, held_account_calls_nobody_until_it_is_let_go);
    tcase_add_test(tests, held_account_signs_in_nowhere);
    tcase_add_test(tests, account_can_be_held_from_the_start);
    tcase_add_test(tests, drain_does_not_wait_for_looks_of_a_held_account);
    tcase_add_test(tests, no_account_takes_more_call_slots_than_it_leaves_free);
    tcase_add_test(tests,
                   records_are_left_while_two_rounds_of_calls_wait_and_wanted_when_one_is_left);
    tcase_add_test(tests, records_are_left_while_rounds_of_them_wait_behind_others_of_their_key);
    tcase_add_test(tests, records_are_wanted_while_an_account_may_not_call);
    tcase_add_test(tests, records_are_wanted_as_long_as_one_account_has_nothing_to_do);
    tcase_add_test(tests, a_lone_account_may_take_everything);
    tcase_add_test(tests, partition_pauses_when_an_account_that_waits_has_its_share_of_the_window);
    tcase_add_test(tests, overflowing_commands_are_answered_at_once_and_others_go_on);
    tcase_add_test(tests, what_may_have_been_sent_never_overflows);
    tcase_add_test(tests, one_place_is_enough_for_one_command);
    tcase_add_test(tests, worker_has_of_the_rate_what_it_has_of_the_partitions);
    tcase_add_test(tests, nothing_is_called_while_the_partitions_are_not_counted);
    tcase_add_test(tests, lost_partitions_take_their_part_of_the_rate_along);
    tcase_add_test(tests, dry_run_answers_without_a_call_and_says_so);
    tcase_add_test(tests, dry_run_says_what_would_not_have_been_called);
    tcase_add_test(tests, dry_run_does_not_say_no_to_what_may_have_been_sent);
    return unit_run("limits", tests);
}
