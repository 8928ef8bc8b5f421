/*
 * What went wrong and what to do about it. The struct lives in the caller's storage and is never
 * allocated, so running out of memory can be reported too. Functions that can fail take
 * `struct error *err` last: never NULL, untouched on success.
 *
 * A message names what was wrong and what was expected. It never holds a secret or a body.
 */
#ifndef KANCEL_COMMON_ERROR_H
#define KANCEL_COMMON_ERROR_H

#include "common/attributes.h"

enum error_kind {
    ERROR_NONE,
    ERROR_INPUT,     /* somebody's bytes are wrong: the same bytes will fail again */
    ERROR_TEMPORARY, /* may work later: try again with backoff */
    ERROR_ABORT,     /* this transaction is void; abort it and publish again what is still owned */
    ERROR_FATAL,  /* the client behind it is unusable: make a new one; its last commit is unknown */
    ERROR_FENCED, /* a twin with the same identity took over: leave */
    ERROR_MEMORY, /* no memory */
    ERROR_INTERNAL, /* our own mistake or a system call that cannot fail did */
};

struct error {
    enum error_kind kind;
    char message[256];
};

/* Fills `err` and returns -1, so that `return error_set(...)` reads well. A message that does not
 * fit is cut at a UTF-8 boundary. */
int error_set(struct error *err, enum error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "what: " before the message that is there; returns -1. */
int error_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
