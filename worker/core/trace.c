#include "worker/core/trace.h"

#include <inttypes.h>

#include "worker/core/state.h"

#include "common/banned.h"

enum { FLAG_SAMPLED = 1, LINKS_MOST = 31, TRACESTATE_MOST = 512 };

/* ---- the header ------------------------------------------------------------------------------ */

static bool hex(struct slice text, size_t at, size_t digits, uint64_t *value)
{
    *value = 0;
    for (size_t i = at; i < at + digits; i++) {
        char c = text.data[i];
        bool decimal = c >= '0' && c <= '9';
        if (!decimal && (c < 'a' || c > 'f'))
            return false;
        *value = *value << 4 | (uint64_t)(decimal ? c - '0' : c - 'a' + 10);
    }
    return true;
}

bool trace_parse(struct slice text, struct trace *trace)
{
    struct trace found = {0};
    uint64_t version, flags;
    if (text.len < TRACEPARENT_LEN || text.data[2] != '-' || text.data[35] != '-' ||
        text.data[52] != '-' || !hex(text, 0, 2, &version) || !hex(text, 3, 16, &found.id[0]) ||
        !hex(text, 19, 16, &found.id[1]) || !hex(text, 36, 16, &found.parent) ||
        !hex(text, 53, 2, &flags))
        return false;
    bool ends = text.len == TRACEPARENT_LEN || (version > 0 && text.data[55] == '-');
    if (version == 0xff || !ends || (found.id[0] | found.id[1]) == 0 || found.parent == 0)
        return false;
    found.flags = (uint8_t)flags;
    *trace = found;
    return true;
}

void trace_write(const struct trace *trace, uint64_t span, struct buffer *out)
{
    buffer_append_format(out, "00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-%02x", trace->id[0],
                         trace->id[1], span, (unsigned)trace->flags);
}

/* ---- a command's way ------------------------------------------------------------------------- */

static uint64_t new_id(struct engine *engine)
{
    uint64_t id = rng_next(&engine->rng);
    return id ? id : 1;
}

void trace_begin(struct engine *engine, struct job *job)
{
    struct trace trace;
    bool known = trace_parse(job->command.envelope.traceparent, &trace);
    if (!known && !engine->settings->tracing)
        return;
    if (!known)
        trace = (struct trace){.id = {new_id(engine), new_id(engine)}, .flags = FLAG_SAMPLED};
    if (engine->settings->tracing && (trace.flags & FLAG_SAMPLED))
        trace.span = new_id(engine);
    job->trace = malloc(sizeof *job->trace);
    if (job->trace)
        *job->trace = trace;
    else
        engine_fail(engine, "no memory for a command");
}

/* A header of another system that does not look like one is not handed on. */
static bool is_tracestate(struct slice text)
{
    if (!text.data || text.len == 0 || text.len > TRACESTATE_MOST)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return false;
    return true;
}

void trace_request(struct engine *engine, struct call *call, struct http_request *request)
{
    const struct job *job = call->parts->job;
    const struct trace *trace = job->trace;
    if (!trace)
        return;
    call->span = trace_is_on(trace) ? new_id(engine) : 0;
    trace_write(trace, call->span ? call->span : trace->parent,
                http_request_header(request, "traceparent"));
    if (is_tracestate(job->command.envelope.tracestate))
        buffer_append_slice(http_request_header(request, "tracestate"),
                            job->command.envelope.tracestate);
}

static int64_t wall_of(const struct engine *engine, int64_t mono_ms)
{
    return engine->now.wall_ms - (engine->now.mono_ms - mono_ms);
}

static void hand_out(struct engine *engine, const struct job *job, struct span *span)
{
    span->trace_id[0] = job->trace->id[0];
    span->trace_id[1] = job->trace->id[1];
    span->command = &job->command;
    span->account = job->account ? job->account->settings->name : NULL;
    engine->ports->span(engine->ports->context, span);
}

void trace_called(struct engine *engine, const struct call *call,
                  const struct http_response *response)
{
    const struct trace *links[LINKS_MOST];
    if (!call->parts || !call->span)
        return;
    const struct job *job = call->parts->job, *last = job;
    if (!trace_is_on(job->trace)) /* it is not the one that the call began with */
        return;
    struct span span = {.kind = SPAN_CALL,
                        .id = call->span,
                        .parent = job->trace->span,
                        .start_ms = wall_of(engine, call->since_ms),
                        .end_ms = engine->now.wall_ms,
                        .operation = call->operation,
                        .http_status = response->status,
                        .links = links};
    if (response->result != HTTP_ANSWERED)
        span.failure = response->result == HTTP_TIMED_OUT ? "timeout" : "unavailable";
    for (const struct part *part = call->parts; part; part = part->call_next) {
        if (part->job != last && trace_is_on(part->job->trace) && span.link_count < LINKS_MOST)
            links[span.link_count++] = part->job->trace;
        last = part->job;
    }
    hand_out(engine, job, &span);
}

void trace_answered(struct engine *engine, const struct job *job)
{
    if (!trace_is_on(job->trace))
        return;
    const struct result *result = job->result;
    struct span publish = {.kind = SPAN_PUBLISH,
                           .id = new_id(engine),
                           .parent = job->trace->span,
                           .start_ms = wall_of(engine, job->decided_mono_ms),
                           .end_ms = engine->now.wall_ms,
                           .topic = job->unanswerable ? engine->settings->dead_letters_topic
                                                      : job->topic};
    hand_out(engine, job, &publish);
    struct span command = {.kind = SPAN_COMMAND,
                           .id = job->trace->span,
                           .parent = job->trace->parent,
                           .start_ms = job->received_wall_ms,
                           .end_ms = engine->now.wall_ms,
                           .operation = job->command.operation,
                           .outcome = result->outcome,
                           .failure = result->error ? failure_name(result->error->kind) : NULL,
                           .retries = job->attempts > 1 ? job->attempts - 1 : 0};
    hand_out(engine, job, &command);
}
