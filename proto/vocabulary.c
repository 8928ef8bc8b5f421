#include "proto/vocabulary.h"

#include <assert.h>

#include "common/banned.h"

static const char *const operation_names[OPERATION_COUNT] = {
    [OPERATION_CANCEL] = "cancel",
    [OPERATION_STATUS] = "status",
};

static const char *const outcome_names[OUTCOME_COUNT] = {
    [OUTCOME_SUCCEEDED] = "succeeded", [OUTCOME_PARTIAL] = "partial", [OUTCOME_REFUSED] = "refused",
    [OUTCOME_FAILED] = "failed",       [OUTCOME_EXPIRED] = "expired", [OUTCOME_INVALID] = "invalid",
};

static const char *const task_state_names[STATE_COUNT] = {
    [STATE_UNKNOWN] = "unknown",     [STATE_WAITING] = "waiting",
    [STATE_RUNNING] = "running",     [STATE_CANCELLING] = "cancelling",
    [STATE_EXPIRING] = "expiring",   [STATE_CANCELLED] = "cancelled",
    [STATE_FAILED] = "failed",       [STATE_PARTIAL] = "partial",
    [STATE_SUCCEEDED] = "succeeded", [STATE_EXPIRED] = "expired",
};

static const struct {
    const char *name;
    enum outcome outcome;
} failures[FAILURE_COUNT] = {
    [FAILURE_NONE] = {"", OUTCOME_SUCCEEDED},
    [FAILURE_INVALID_COMMAND] = {"invalid_command", OUTCOME_INVALID},
    [FAILURE_EXPIRED] = {"expired", OUTCOME_EXPIRED},
    [FAILURE_NOT_CANCELLABLE] = {"not_cancellable", OUTCOME_REFUSED},
    [FAILURE_NOT_FOUND] = {"not_found", OUTCOME_REFUSED},
    [FAILURE_FORBIDDEN] = {"forbidden", OUTCOME_REFUSED},
    [FAILURE_NOT_PERMITTED] = {"not_permitted", OUTCOME_REFUSED},
    [FAILURE_UNAUTHORIZED] = {"unauthorized", OUTCOME_FAILED},
    [FAILURE_THROTTLED] = {"throttled", OUTCOME_FAILED},
    [FAILURE_UNAVAILABLE] = {"unavailable", OUTCOME_FAILED},
    [FAILURE_TIMEOUT] = {"timeout", OUTCOME_FAILED},
    [FAILURE_BAD_RESPONSE] = {"bad_response", OUTCOME_FAILED},
    [FAILURE_UNKNOWN_OUTCOME] = {"unknown_outcome", OUTCOME_FAILED},
    [FAILURE_INTERNAL] = {"internal", OUTCOME_FAILED},
};

static const char *const applied_names[] = {
    [APPLIED_NOT_SAID] = "",
    [APPLIED_NO] = "no",
    [APPLIED_YES] = "yes",
    [APPLIED_UNKNOWN] = "unknown",
};

const char *operation_name(enum operation operation)
{
    assert(operation < OPERATION_COUNT);
    return operation_names[operation];
}

const char *outcome_name(enum outcome outcome)
{
    assert(outcome < OUTCOME_COUNT);
    return outcome_names[outcome];
}

const char *task_state_name(enum task_state state)
{
    assert(state < STATE_COUNT);
    return task_state_names[state];
}

const char *failure_name(enum failure failure)
{
    assert(failure < FAILURE_COUNT);
    return failures[failure].name;
}

const char *applied_name(enum applied applied)
{
    assert(applied <= APPLIED_UNKNOWN);
    return applied_names[applied];
}

enum outcome failure_outcome(enum failure failure)
{
    assert(failure < FAILURE_COUNT);
    return failures[failure].outcome;
}

/* The index of `text` among `names`, or `count`. */
static size_t find(struct slice text, const char *const names[], size_t count)
{
    size_t i = 0;
    while (i < count && !slice_equals(text, names[i]))
        i++;
    return i;
}

bool operation_parse(struct slice text, enum operation *operation)
{
    size_t found = find(text, operation_names, OPERATION_COUNT);
    if (found == OPERATION_COUNT)
        return false;
    *operation = (enum operation)found;
    return true;
}

bool outcome_parse(struct slice text, enum outcome *outcome)
{
    size_t found = find(text, outcome_names, OUTCOME_COUNT);
    if (found == OUTCOME_COUNT)
        return false;
    *outcome = (enum outcome)found;
    return true;
}

bool task_state_parse(struct slice text, enum task_state *state)
{
    size_t found = find(text, task_state_names, STATE_COUNT);
    if (found == STATE_COUNT)
        return false;
    *state = (enum task_state)found;
    return true;
}
