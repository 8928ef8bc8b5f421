#include <assert.h>

#include "worker/core/state.h"

#include "common/banned.h"

/* A result that fits nowhere is tried again after so long: somebody may raise the topic's
 * max.message.bytes. */
enum { TOO_LARGE_AGAIN_MS = 10 * 1000 };

bool ask_keep_error(struct ask_state *ask, const struct result_error *error)
{
    if (!ask->error)
        ask->error = malloc(sizeof *ask->error);
    if (ask->error)
        *ask->error = *error;
    return ask->error != NULL;
}

/* Failures of our own making have no provider's words. */
static const char *own_message(enum failure failure)
{
    switch (failure) {
    case FAILURE_EXPIRED:
        return "the deadline came before the command was done";
    case FAILURE_NOT_CANCELLABLE:
        return "the task had ended";
    case FAILURE_UNKNOWN_OUTCOME:
        return "the cancel may or may not have been applied, and the status could not be asked";
    case FAILURE_UNAUTHORIZED:
        return "the provider does not accept the account's credentials";
    case FAILURE_INTERNAL:
        return "out of memory";
    default:
        return failure_name(failure);
    }
}

void ask_done(struct engine *engine, struct job *job, struct ask_state *ask, enum failure failure)
{
    (void)engine;
    assert(job->open_asks > 0 && ask->mode != MODE_DONE);
    ask->mode = MODE_DONE;
    job->open_asks--;
    ask->outcome = failure == FAILURE_NONE ? OUTCOME_SUCCEEDED : failure_outcome(failure);
    if (failure == FAILURE_NONE) {
        free(ask->error);
        ask->error = NULL;
        return;
    }
    struct result_error none = {.kind = failure};
    if (!ask->error && !ask_keep_error(ask, &none))
        return;
    ask->error->kind = failure;
    /* The deadline is ours, not the provider's: its code would mislead. */
    if (ask->error->message[0] == '\0' || failure == FAILURE_EXPIRED) {
        *ask->error = none;
        snprintf(ask->error->message, sizeof ask->error->message, "%s", own_message(failure));
    }
}

static enum applied applied_of(const struct ask_state *ask)
{
    if (ask->taken)
        return APPLIED_YES;
    return ask->maybe_sent || ask->fate_unknown ? APPLIED_UNKNOWN : APPLIED_NO;
}

static enum applied fold_applied(const struct job *job)
{
    enum applied applied = applied_of(&job->asks[0]);
    for (size_t i = 1; i < job->ask_count; i++)
        if (applied_of(&job->asks[i]) != applied)
            return APPLIED_UNKNOWN;
    return applied;
}

/* False: no memory. */
static bool fill_result(struct engine *engine, struct job *job)
{
    struct result *result = job->result = malloc(sizeof *result);
    if (!result) {
        engine_fail(engine, "no memory for a result");
        return false;
    }
    const struct ask_state *ask = &job->asks[0];
    *result = (struct result){
        .command = &job->command,
        .account = slice_of_string(job->account ? job->account->settings->name : NULL),
        .attempts = job->attempts,
        .dry_run = job->dry_run,
        .received_ms = job->received_wall_ms,
        .finished_ms = engine->now.wall_ms};
    if (job->response.len > 0 && !buffer_failed(&job->response))
        result->response = buffer_slice(&job->response);
    if (!job->task || job->ask_count == 0)
        return true;
    if (job->task->is_list) {
        job->items = calloc(job->ask_count, sizeof *job->items);
        if (!job->items) {
            engine_fail(engine, "no memory for a result");
            return false;
        }
        for (size_t i = 0; i < job->ask_count; i++) {
            ask = &job->asks[i];
            job->items[i] = (struct result_item){.id = job->task->ids[i],
                                                 .outcome = ask->outcome,
                                                 .state = ask->state,
                                                 .already_cancelled = ask->already_cancelled,
                                                 .error = ask->error};
        }
        result->items = job->items;
        result->item_count = job->ask_count;
        result_fold(result);
    } else {
        result->outcome = ask->outcome;
        result->state = ask->state;
        result->already_cancelled = ask->already_cancelled;
        result->error = ask->error;
    }
    if (result->outcome == OUTCOME_EXPIRED && job->command.operation == OPERATION_CANCEL)
        result->applied = fold_applied(job);
    return true;
}

void decide_progress(struct engine *engine, struct job *job)
{
    struct destination destination;
    struct error err;
    struct result event = {.command = &job->command,
                           .progress = true,
                           .account = slice_of_string(job->account->settings->name),
                           .state = job->asks[0].state,
                           .finished_ms = engine->now.wall_ms};
    if (!job->command.progress || !job->settling || job->decided || job->stopped)
        return;
    for (size_t i = 1; i < job->ask_count; i++)
        if (job->asks[i].state < event.state)
            event.state = job->asks[i].state;
    if (event.state == job->told || !routes_destination(engine, job, &destination))
        return; /* where its route is not known yet the next poll tries again */
    struct message *message = result_message(&event, &destination, &engine->settings->headers,
                                             slice_of_string(engine->settings->group), &err);
    if (!message)
        return;
    job->told = event.state;
    committer_progress(engine, job, message);
}

static void decided(struct engine *engine, struct job *job)
{
    committer_forget_progress(engine, job);
    job->decided = true;
    job->decided_mono_ms = engine->now.mono_ms;
    timers_stop(&engine->timers, &job->expiry);
    job_free_call_lanes(engine, job);
    decide_publish(engine, job);
}

void decide_if_done(struct engine *engine, struct job *job)
{
    if (job->decided || job->open_asks > 0 || job->ask_count == 0)
        return;
    if (fill_result(engine, job))
        decided(engine, job);
}

/* Every entry of a list shares what became of the command as a whole. */
static void fill_items_alike(struct engine *engine, struct job *job)
{
    if (!job->task || !job->task->is_list)
        return;
    job->items = calloc(job->task->count, sizeof *job->items);
    if (!job->items) {
        engine_fail(engine, "no memory for a result");
        return;
    }
    for (size_t i = 0; i < job->task->count; i++)
        job->items[i] = (struct result_item){.id = job->task->ids[i],
                                             .outcome = job->result->outcome,
                                             .state = STATE_UNKNOWN,
                                             .error = job->error};
    job->result->items = job->items;
    job->result->item_count = job->task->count;
}

void decide_without_asks(struct engine *engine, struct job *job, enum failure failure,
                         const char *message)
{
    while (job->parts)
        part_free(engine, job->parts);
    job->error = calloc(1, sizeof *job->error);
    if (!job->error) {
        engine_fail(engine, "no memory for a result");
        return;
    }
    job->open_asks = 0;
    size_t asks = job->ask_count;
    job->ask_count = 0;
    bool filled = fill_result(engine, job);
    job->ask_count = asks;
    if (!filled)
        return;
    job->error->kind = failure;
    struct slice text = slice_cut_utf8(slice_of_string(message), LIMIT_MESSAGE_BYTES);
    snprintf(job->error->message, sizeof job->error->message, "%.*s", SLICE_ARG(text));
    job->result->outcome = failure_outcome(failure);
    job->result->error = job->error;
    fill_items_alike(engine, job);
    if (failure == FAILURE_EXPIRED && job->command.operation == OPERATION_CANCEL)
        job->result->applied = APPLIED_NO;
    decided(engine, job);
}

bool decide_message(struct engine *engine, struct job *job)
{
    struct destination destination;
    struct error err = {0};
    if (job->unanswerable || job->message)
        return true;
    if (!routes_destination(engine, job, &destination))
        return false;
    job->message = result_message(job->result, &destination, &engine->settings->headers,
                                  slice_of_string(engine->settings->group), &err);
    if (!job->message && err.kind == ERROR_INPUT && !job->reply_too_small &&
        slice_equal(destination.topic, job->command.envelope.reply_topic)) {
        job->reply_too_small = true;
        return decide_message(engine, job);
    }
    if (!job->message && err.kind == ERROR_INPUT) {
        if (!job->unfit)
            LOG(engine, LOG_ERROR, "result_too_large",
                "topic=%s partition=%d offset=%lld to=%.*s limit=%zu", job->command.topic,
                (int)job->command.partition, (long long)job->command.offset,
                SLICE_ARG(destination.topic), destination.max_message_bytes);
        engine->unfit += !job->unfit;
        job->unfit = true;
        timers_set(&engine->timers, &engine->retry_timer, engine->now.mono_ms + TOO_LARGE_AGAIN_MS);
        return false;
    }
    if (!job->message) {
        engine_fail(engine, "no memory for a result");
        return false;
    }
    job->topic = job->message->topic;
    engine->metrics.reply_rejected += destination.rejected.data != NULL;
    engine->unfit -= job->unfit;
    job->unfit = false;
    job_count_message(engine, job, job->message, true);
    return true;
}

void decide_publish(struct engine *engine, struct job *job)
{
    while (job && job->decided && !job->queued && !job->in_batch &&
           lane_is_first(&job->result_lane)) {
        if (!decide_message(engine, job))
            return;
        struct lane_member *next = lanes_leave(&engine->lanes, &job->result_lane);
        committer_queue(engine, job);
        job = next ? next->owner : NULL;
    }
}

void decide_publish_all(struct engine *engine)
{
    for (struct partition *p = engine->partitions; p; p = p->next)
        for (struct job *job = p->first; job; job = job->next)
            decide_publish(engine, job);
}
