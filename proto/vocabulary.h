/*
 * The words of the messages, as enumerations, each with its text in JSON. The texts are normative
 * (proto/README.md).
 */
#ifndef KANCEL_PROTO_VOCABULARY_H
#define KANCEL_PROTO_VOCABULARY_H

#include "common/slice.h"

enum operation { OPERATION_CANCEL, OPERATION_STATUS, OPERATION_COUNT };

enum until { UNTIL_ACCEPTED, UNTIL_SETTLED };

enum outcome {
    OUTCOME_SUCCEEDED,
    OUTCOME_PARTIAL,
    OUTCOME_REFUSED,
    OUTCOME_FAILED,
    OUTCOME_EXPIRED,
    OUTCOME_INVALID,
    OUTCOME_COUNT
};

/* A task's state. Order is from least to most settled, so that a list's state is the smallest of
 * its items'. */
enum task_state {
    STATE_UNKNOWN,
    STATE_WAITING,
    STATE_RUNNING,
    STATE_CANCELLING,
    STATE_EXPIRING,
    STATE_CANCELLED,
    STATE_FAILED,
    STATE_PARTIAL,
    STATE_SUCCEEDED,
    STATE_EXPIRED,
    STATE_COUNT
};

/* Why a command was not done: `error.kind`. */
enum failure {
    FAILURE_NONE,
    FAILURE_INVALID_COMMAND,
    FAILURE_EXPIRED,
    FAILURE_NOT_CANCELLABLE,
    FAILURE_NOT_FOUND,
    FAILURE_FORBIDDEN,
    FAILURE_NOT_PERMITTED,
    FAILURE_UNAUTHORIZED,
    FAILURE_THROTTLED,
    FAILURE_UNAVAILABLE,
    FAILURE_TIMEOUT,
    FAILURE_BAD_RESPONSE,
    FAILURE_UNKNOWN_OUTCOME,
    FAILURE_INTERNAL,
    FAILURE_COUNT
};

/* What is known of an expired cancel. */
enum applied { APPLIED_NOT_SAID, APPLIED_NO, APPLIED_YES, APPLIED_UNKNOWN };

const char *operation_name(enum operation operation);
const char *outcome_name(enum outcome outcome);
const char *task_state_name(enum task_state state);
const char *failure_name(enum failure failure); /* FAILURE_NONE: "" */
const char *applied_name(enum applied applied);

/* False when the text is none of the words. */
bool operation_parse(struct slice text, enum operation *operation) MUST_CHECK;
bool outcome_parse(struct slice text, enum outcome *outcome) MUST_CHECK;
bool task_state_parse(struct slice text, enum task_state *state) MUST_CHECK;

/* The outcome that a failure of one task makes: refused, failed, expired or invalid. */
enum outcome failure_outcome(enum failure failure);

/* True when the task will not change any more. */
static inline bool task_state_is_settled(enum task_state state)
{
    return state >= STATE_CANCELLED;
}

/* True when the task ended, or is ending, without a cancel: nothing is left to cancel. */
static inline bool task_state_is_past_cancelling(enum task_state state)
{
    return state == STATE_EXPIRING || state > STATE_CANCELLED;
}

#endif
