/*
 * Structured logs on standard error, one line an event, logfmt or JSON lines: time, level, event,
 * then the event's pairs. Any thread. A line is never split between two writes, each of at most
 * LOG_LINE_BYTES; a full disk, a closed pipe or a reader that stands still loses lines (counted,
 * and said by log_lines_lost once lines are taken again), never stops the worker. Values are
 * escaped, so no text of a stranger can begin a line; secrets never get here.
 */
#ifndef KANCEL_WORKER_APP_LOG_H
#define KANCEL_WORKER_APP_LOG_H

#include <stdarg.h>

#include "worker/core/ports.h"

/* What a pipe takes in one piece (PIPE_BUF), so that lines of several threads or processes never
 * mix. */
enum { LOG_LINE_BYTES = 4096 };

void log_setup(enum log_level level, bool json);
/* `format` makes logfmt pairs: key=%s ...; values with blanks or quotes must come through
 * log_value(). What is no pair all the same is kept as part of the value before it. */
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);
void log_event_va(enum log_level level, const char *event, const char *format, va_list arguments);
bool log_enabled(enum log_level level);
uint64_t log_lost(void);

/* One of the last lines at LOG_WARN or LOG_ERROR, for the operator's page; cut to fit. */
struct log_recent {
    int64_t wall_ms;
    enum log_level level;
    char event[48];
    char pairs[320];
};
/* Newest first; returns how many. */
size_t log_recent(struct log_recent *list, size_t most);

/* Appends ` name=value` to `pairs`, quoted and escaped where needed: a text that could be read as a
 * number stays a text. The whole is then logged with log_event(level, event, "%s", pairs.data). */
void log_value(struct buffer *pairs, const char *name, struct slice value);

/* For a thread that has many lines at once: appends one to `lines`, cut to LOG_LINE_BYTES where it
 * is longer. `pairs` came from log_value() and the like: they are taken as they stand. */
void log_add(struct buffer *lines, int64_t wall_ms, enum log_level level, const char *event,
             struct slice pairs);
/* Writes what log_add() made, in pieces of whole lines that a pipe takes at once, and clears it. */
void log_write(struct buffer *lines, int64_t wall_ms);

/* The line as it would be written, final newline included, at the given time (also what the tests
 * look at). */
void log_line(struct buffer *line, int64_t wall_ms, enum log_level level, const char *event,
              struct slice pairs, bool json);

/* "error", "warn", "info", "debug" */
const char *log_level_name(enum log_level level);

#endif
