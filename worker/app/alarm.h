/*
 * The last resort when the loop itself stands still (a library call that does not come back): the
 * kernel's alarm ends the process, so that nothing stops silently and its copies take over. Also
 * makes a second SIGTERM or SIGINT work then. One a process.
 */
#ifndef KANCEL_WORKER_APP_ALARM_H
#define KANCEL_WORKER_APP_ALARM_H

#include <stdbool.h>
#include <stdint.h>

/* From now on the process leaves with `code` and one log line when `after_ms` have gone by (rounded
 * up to seconds) without another call. `json` is the log's form. */
void alarm_set(int64_t after_ms, int code, bool json);
void alarm_stop(void);
/* The next SIGTERM or SIGINT leaves with `code`, whatever the loop does. */
void alarm_leave_on_signal(int code, bool json);

#endif
