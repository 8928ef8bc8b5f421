/* What the limits of an account do to its commands. */
#include "tests/unit/core/support/conversation.h"

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

int main(void)
{
    json_setup();
    TCase *tests = tcase_create("limits");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, commands_are_held_through_an_outage_and_done_when_it_is_over);
    tcase_add_test(tests, failed_probes_are_no_tries_of_the_command_that_lends_itself);
    tcase_add_test(tests, give_up_after_counts_while_the_breaker_holds);
    tcase_add_test(tests, deadlines_count_while_the_breaker_holds);
    tcase_add_test(tests, one_operation_may_be_away_while_the_other_works);
    tcase_add_test(tests, cancel_of_unknown_fate_is_still_looked_at_when_the_provider_is_back);
    tcase_add_test(tests, state_can_be_seen_from_outside);
    tcase_add_test(tests, held_account_calls_nobody_until_it_is_let_go);
    tcase_add_test(tests, held_account_signs_in_nowhere);
    tcase_add_test(tests, account_can_be_held_from_the_start);
    tcase_add_test(tests, drain_does_not_wait_for_looks_of_a_held_account);
    return unit_run("limits", tests);
}
