#include "proto/vocabulary.h"

#include "tests/unit/proto/wire.h"

#include "common/banned.h"

START_TEST(every_word_reads_back_as_itself)
{
    for (enum operation i = 0; i < OPERATION_COUNT; i++) {
        enum operation operation = OPERATION_COUNT;
        ck_assert(operation_parse(slice_of_string(operation_name(i)), &operation));
        ck_assert_int_eq(operation, i);
    }
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++) {
        enum outcome outcome = OUTCOME_COUNT;
        ck_assert(outcome_parse(slice_of_string(outcome_name(i)), &outcome));
        ck_assert_int_eq(outcome, i);
    }
    for (enum task_state i = 0; i < STATE_COUNT; i++) {
        enum task_state state = STATE_COUNT;
        ck_assert(task_state_parse(slice_of_string(task_state_name(i)), &state));
        ck_assert_int_eq(state, i);
    }
}
END_TEST

START_TEST(other_words_are_none)
{
    enum operation operation;
    enum outcome outcome;
    enum task_state state;
    ck_assert(!operation_parse(slice_of_string("Cancel"), &operation));
    ck_assert(!operation_parse(slice_of(NULL, 0), &operation));
    ck_assert(!outcome_parse(slice_of_string("succeede"), &outcome));
    ck_assert(!task_state_parse(slice_of_string(""), &state));
}
END_TEST

START_TEST(a_failure_tells_its_outcome)
{
    static const struct {
        const char *name;
        enum outcome outcome;
    } rows[FAILURE_COUNT] = {
        {"", OUTCOME_SUCCEEDED},
        {"invalid_command", OUTCOME_INVALID},
        {"expired", OUTCOME_EXPIRED},
        {"not_cancellable", OUTCOME_REFUSED},
        {"not_found", OUTCOME_REFUSED},
        {"forbidden", OUTCOME_REFUSED},
        {"not_permitted", OUTCOME_REFUSED},
        {"unauthorized", OUTCOME_FAILED},
        {"throttled", OUTCOME_FAILED},
        {"unavailable", OUTCOME_FAILED},
        {"timeout", OUTCOME_FAILED},
        {"bad_response", OUTCOME_FAILED},
        {"unknown_outcome", OUTCOME_FAILED},
        {"internal", OUTCOME_FAILED},
    };
    for (enum failure i = 0; i < FAILURE_COUNT; i++) {
        ck_assert_str_eq(failure_name(i), rows[i].name);
        ck_assert_int_eq(failure_outcome(i), rows[i].outcome);
    }
}
END_TEST

START_TEST(settled_states_are_those_that_do_not_change)
{
    static const struct {
        const char *name;
        bool settled, past_cancelling;
    } rows[] = {
        {"unknown", false, false},    {"waiting", false, false}, {"running", false, false},
        {"cancelling", false, false}, {"expiring", false, true}, {"cancelled", true, false},
        {"failed", true, true},       {"partial", true, true},   {"succeeded", true, true},
        {"expired", true, true},
    };
    for (int i = 0; i < COUNT(rows); i++) {
        enum task_state state;
        ck_assert(task_state_parse(slice_of_string(rows[i].name), &state));
        ck_assert_msg(task_state_is_settled(state) == rows[i].settled, "%s", rows[i].name);
        ck_assert_msg(task_state_is_past_cancelling(state) == rows[i].past_cancelling, "%s",
                      rows[i].name);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("vocabulary");
    tcase_add_test(tests, every_word_reads_back_as_itself);
    tcase_add_test(tests, other_words_are_none);
    tcase_add_test(tests, a_failure_tells_its_outcome);
    tcase_add_test(tests, settled_states_are_those_that_do_not_change);
    return unit_run("proto/vocabulary", tests);
}
