/* What worker.c and worker_ports.c share. Everything lives on the loop's thread. */
#ifndef KANCEL_WORKER_APP_WORKER_INTERNAL_H
#define KANCEL_WORKER_APP_WORKER_INTERNAL_H

#include "worker/app/config.h"
#include "worker/core/engine.h"
#include "worker/io/admin.h"
#include "worker/io/http.h"
#include "worker/io/loop.h"
#include "worker/io/sink.h"
#include "worker/io/source.h"

enum worker_phase {
    WORKER_RUNNING,
    WORKER_DRAINING, /* SIGTERM came: the engine finishes what is out */
    WORKER_CLOSING,  /* the consumer leaves the group */
    WORKER_LEAVING,  /* the loop ends */
};

struct worker {
    struct config *config;
    struct loop *loop;
    struct http *http;
    struct source *source;
    struct sink *sink;
    struct engine *engine;
    struct admin *admin; /* NULL: off */
    struct ports ports;
    struct source_events source_events;
    struct sink_events sink_events;

    struct loop_timer *engine_timer; /* follows engine_deadline() */
    int64_t engine_timer_ms;
    struct loop_timer *step_timer; /* what may not be done inside an event */
    struct loop_timer *pulse_timer;
    unsigned pulses;
    bool was_ready;
    int64_t tell_spans_ms; /* mono: not told before */
    struct otlp *otlp;     /* NULL: no tracing */
    struct loop_signal *terminate, *interrupt;

    enum worker_phase phase;
    int code; /* to leave with */
    int64_t close_by_ms;
    int64_t started_ms;  /* wall clock */
    struct buffer pairs; /* of the log line that is being made */
    struct buffer lines; /* of the log, written when the event is over */
};

/* Fills ports and both tables of events. */
void worker_connect(struct worker *worker);
/* After anything that reached the engine: its timer, its end. */
void worker_follow(struct worker *worker);
/* Ends the loop with that exit code; the first call counts. */
void worker_leave(struct worker *worker, int code, const char *event, const char *reason);
struct now worker_now(void);

#endif
