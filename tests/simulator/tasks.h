/*
 * The providers' tasks. A task moves with the clock, worked out when it is looked at:
 * waiting -> running -> succeeded (or as scripted); cancelling -> cancelled. A task nobody scripted
 * is created running when it is first named, unless its id begins with 9990000: the three digits
 * after it say its state (102 waiting, 200 succeeded, 206 partial, 404 missing, 499 cancelled, 500
 * failed).
 */
#ifndef SIMULATOR_TASKS_H
#define SIMULATOR_TASKS_H

#include "simulator.h"

struct tasks *tasks_new(void);
void tasks_clear(struct tasks *tasks);
void tasks_free(struct tasks *tasks);

/*
 * The task, moved on to the request's time; created when it is new. NULL when there are too many. A
 * task may be TASK_MISSING: the provider does not know it, the ledger does.
 */
struct task *tasks_find(struct simulator *simulator, const struct request *request,
                        enum provider provider, const char *id);

/*
 * Creates or replaces a task from one element of POST /_simulator/tasks. Returns 0, or -1 with
 * what was wrong in `problem`.
 */
int tasks_script(struct simulator *simulator, const json_t *script, char *problem,
                 size_t problem_size);

/* Every task as JSON, each moved on to `now_ms`. */
json_t *tasks_report(struct simulator *simulator, int64_t now_ms);

/*
 * The tasks that the request names go into a state on their own, with their targets; where it names
 * targets (IoTDA), only those. Tasks nobody scripted are not created.
 */
void tasks_become(struct simulator *simulator, const struct request *request,
                  enum task_state state);

/* Counts a cancel or a status that names the task. */
void task_asked(struct task *task, enum operation operation);

/*
 * Cancels a task that waits or runs: it is then `into` (cancelling or cancelled). Returns whether
 * it could be; where the request is not to be applied, whether it could have been, and nothing
 * changes.
 */
bool task_cancel(struct task *task, const struct request *request, enum task_state into);

/* The target, NULL when the task does not have it; an open task gets it, running. */
struct target *task_target(struct task *task, const char *id);

/* Stops a target that waits, runs or waits for its retry; see task_cancel. */
bool task_target_stop(struct task *task, const struct request *request, struct target *target);

/* Which of two forms the next answer about this task takes: true for the second. */
bool task_second_form(struct task *task, enum form form);

#endif
