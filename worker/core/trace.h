/*
 * Distributed tracing by W3C Trace Context (https://www.w3.org/TR/trace-context/, version 00). A
 * command's traceparent goes on to the provider's calls and, untouched, to its result. With
 * settings->tracing kancel is a part of the trace: it makes spans of its own - the command from
 * record to committed result, each call, the publishing - and hands them to ports.span, for those
 * traces that the requester samples and for commands without a trace.
 */
#ifndef KANCEL_WORKER_CORE_TRACE_H
#define KANCEL_WORKER_CORE_TRACE_H

#include "common/slice.h"
#include "proto/vocabulary.h"

struct buffer;
struct command;

enum { TRACEPARENT_LEN = 55 };

/* Where a command stands in its trace. */
struct trace {
    uint64_t id[2]; /* 0, 0: none */
    uint64_t parent;
    uint64_t span; /* the command's own; 0: no spans are made of it */
    uint8_t flags;
};

enum span_kind { SPAN_COMMAND, SPAN_CALL, SPAN_PUBLISH };

/* One finished span; texts are borrowed for the call. Times: Unix ms. */
struct span {
    enum span_kind kind;
    uint64_t trace_id[2], id, parent; /* parent 0: none */
    int64_t start_ms, end_ms;
    const struct command *command;    /* of a call shared by several: the first */
    const char *account;              /* NULL: none */
    const char *topic;                /* PUBLISH: where the result went */
    enum operation operation;         /* CALL: on the wire */
    enum outcome outcome;             /* COMMAND */
    const char *failure;              /* the error's kind; NULL: none */
    int http_status;                  /* CALL; 0: no answer */
    uint64_t retries;                 /* COMMAND: calls that tried the operation beyond the first */
    const struct trace *const *links; /* CALL: the other commands that share it */
    size_t link_count;
};

/* False: not of version 00's form (a later version counts by its first four fields). */
bool trace_parse(struct slice traceparent, struct trace *trace) MUST_CHECK;
/* Appends "00-...-SPAN-flags". */
void trace_write(const struct trace *trace, uint64_t span, struct buffer *out);
/* NULL: no trace at all. */
static inline bool trace_is_on(const struct trace *trace)
{
    return trace && trace->span != 0;
}

#endif
