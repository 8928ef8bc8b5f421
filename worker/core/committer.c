#include <assert.h>

#include "worker/core/state.h"

#include "common/banned.h"

enum {
    /* Most results of one transaction, and bytes: a second's worth at full speed. */
    BATCH_JOBS = 2000,
    BATCH_BYTES = 8 * 1024 * 1024,
    /* Above so many results a second transactions are spaced, at most 100 or 40 a second: one
     * costs a broker 3-7 ms of CPU whatever it holds. Without transactions a batch is two requests,
     * and waits for the one before it anyway. */
    SOME_A_SECOND = 250,
    SOME_SPACING_MS = 10,
    MANY_A_SECOND = 500,
    MANY_SPACING_MS = 25,
    /* Without transactions, and as long as results go at once, their positions follow so late: a
     * commit takes a broker as long as a result does, and the next results wait for it. */
    POSITIONS_EVERY_MS = 100,
    /* Earlier where they are so large a part of a window: they have their place in it until then.
     */
    POSITIONS_PART = 8,
    ABORT_PAUSE_MS = 10,
    ABORT_PAUSE_MOST_MS = 1000,
};

void committer_timer_fired(void *context, struct timer *timer)
{
    (void)context, (void)timer; /* committer_run() follows every event */
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void count_committed(struct engine *engine, size_t count)
{
    struct committer *committer = &engine->committer;
    int64_t second = engine->now.mono_ms / 1000;
    if (second != committer->second) {
        committer->in_last_second = second == committer->second + 1 ? committer->in_second : 0;
        committer->in_second = 0;
        committer->second = second;
    }
    committer->in_second += (unsigned)count;
}

static int64_t spacing_ms(const struct engine *engine)
{
    const struct committer *committer = &engine->committer;
    unsigned rate = committer->in_second > committer->in_last_second ? committer->in_second
                                                                     : committer->in_last_second;
    if (engine->settings->delivery == DELIVERY_AT_LEAST_ONCE)
        return rate > MANY_A_SECOND ? SOME_SPACING_MS : 0;
    return rate > MANY_A_SECOND ? MANY_SPACING_MS : rate > SOME_A_SECOND ? SOME_SPACING_MS : 0;
}

void committer_queue(struct engine *engine, struct job *job)
{
    struct committer *committer = &engine->committer;
    job->queued = true;
    job->partition->queued++;
    job->publish_next = NULL;
    job->publish_previous = committer->last;
    *(committer->last ? &committer->last->publish_next : &committer->first) = job;
    committer->last = job;
}

static void queue_first(struct engine *engine, struct job *job)
{
    struct committer *committer = &engine->committer;
    job->queued = true;
    job->partition->queued++;
    job->publish_previous = NULL;
    job->publish_next = committer->first;
    *(committer->first ? &committer->first->publish_previous : &committer->last) = job;
    committer->first = job;
}

void committer_remove(struct engine *engine, struct job *job)
{
    struct committer *committer = &engine->committer;
    *(job->publish_previous ? &job->publish_previous->publish_next : &committer->first) =
        job->publish_next;
    *(job->publish_next ? &job->publish_next->publish_previous : &committer->last) =
        job->publish_previous;
    job->queued = false;
    job->partition->queued--;
}

/* ---- progress events --------------------------------------------------------------------------
 */

static struct message *take_progress(struct engine *engine, struct job *job)
{
    struct committer *committer = &engine->committer;
    struct message *message = job->progress;
    *(job->progress_previous ? &job->progress_previous->progress_next
                             : &committer->progress_first) = job->progress_next;
    *(job->progress_next ? &job->progress_next->progress_previous : &committer->progress_last) =
        job->progress_previous;
    job->progress = NULL;
    job_count_message(engine, job, message, false);
    return message;
}

void committer_forget_progress(struct engine *engine, struct job *job)
{
    if (job->progress)
        message_free(take_progress(engine, job));
}

void committer_progress(struct engine *engine, struct job *job, struct message *message)
{
    struct committer *committer = &engine->committer;
    committer_forget_progress(engine, job);
    job->progress = message;
    job_count_message(engine, job, message, true);
    job->progress_next = NULL;
    job->progress_previous = committer->progress_last;
    *(committer->progress_last ? &committer->progress_last->progress_next
                               : &committer->progress_first) = job;
    committer->progress_last = job;
}

void committer_free_progress(struct engine *engine)
{
    struct committer *committer = &engine->committer;
    for (size_t i = 0; i < committer->progress_count; i++)
        message_free(committer->progress[i]);
    free(committer->progress);
    committer->progress = NULL;
    committer->progress_count = 0;
}

/* ---- building a batch ------------------------------------------------------------------------ */

/* Marks an assignment as begun, or ends it. */
static bool wants_final(const struct partition *partition)
{
    return partition->phase == PARTITION_LEAVING && partition->assigned &&
           !partition->in_positions && partition_is_quiet(partition);
}

static bool wants_commit(const struct partition *partition)
{
    return (partition->phase == PARTITION_OWNED && partition->assigned && !partition->marked) ||
           wants_final(partition);
}

static bool add_message(struct batch *batch, struct message *message, size_t *bytes)
{
    if (!message)
        return false;
    batch->messages[batch->message_count++] = message;
    *bytes += message_bytes(message);
    return true;
}

/* Moves progress events into the batch, which has room for `most`. They come behind the results:
 * none of them is of a job whose result is there. */
static void take_events(struct engine *engine, struct batch *batch, size_t most, size_t *bytes)
{
    struct committer *committer = &engine->committer;
    while (committer->progress_first && committer->progress_count < most && *bytes < BATCH_BYTES) {
        struct job *job = committer->progress_first;
        struct message *message = take_progress(engine, job);
        if (job->partition->phase != PARTITION_OWNED) {
            message_free(message);
            continue;
        }
        job->partition->owes_position = true;
        committer->progress[committer->progress_count++] = message;
        add_message(batch, message, bytes);
    }
}

/* Moves jobs from the queue and events into the batch. False: no memory. */
static bool take_jobs(struct engine *engine, struct batch *batch)
{
    struct committer *committer = &engine->committer;
    size_t bytes = 0, most = 0, events = 0;
    for (const struct job *job = committer->progress_first; job && events < BATCH_JOBS;
         job = job->progress_next)
        events++;
    for (const struct job *job = committer->first; job && most < BATCH_JOBS;
         job = job->publish_next)
        most++;
    committer->jobs = calloc(most + 1, sizeof *committer->jobs);
    committer->progress = calloc(events + 1, sizeof *committer->progress);
    batch->messages = calloc(2 * most + events + 1, sizeof *batch->messages);
    batch->message_errors = calloc(2 * most + events + 1, sizeof *batch->message_errors);
    committer->job_count = 0;
    if (!committer->jobs || !committer->progress || !batch->messages || !batch->message_errors)
        return false;
    while (committer->first && committer->job_count < most && bytes < BATCH_BYTES) {
        struct job *job = committer->first;
        committer_remove(engine, job);
        job->in_batch = true;
        job->partition->in_batch++;
        job->entry.publishing = true;
        job->partition->owes_position = true;
        add_message(batch, job->dead_letter, &bytes);
        add_message(batch, job->message, &bytes);
        committer->jobs[committer->job_count++] = job;
    }
    take_events(engine, batch, events, &bytes);
    return true;
}

static bool add_position(struct engine *engine, struct batch *batch, struct partition *partition)
{
    struct buffer metadata;
    struct position *position = &batch->positions[batch->position_count];
    bool final = partition->final_out;
    buffer_init(&metadata, LIMIT_METADATA_BYTES);
    ledger_encode(&partition->ledger, engine->settings->window, final && partition->final_clean,
                  &metadata);
    size_t len = partition->map_bytes = metadata.len;
    char *text = buffer_take(&metadata, &len);
    char *topic = slice_dup(slice_of_string(partition->topic));
    if (!text || !topic) {
        free(text);
        free(topic);
        return false;
    }
    *position = (struct position){.at = {topic, partition->number},
                                  .offset = ledger_frontier(&partition->ledger),
                                  .metadata = slice_of(text, len)};
    batch->position_count++;
    return true;
}

/* `all`: positions of every partition that owes one. */
static struct batch *build_batch(struct engine *engine, bool all)
{
    struct batch *batch = calloc(1, sizeof *batch);
    size_t partitions = 0;
    for (const struct partition *p = engine->partitions; p; p = p->next)
        partitions++;
    if (!batch || !(batch->positions = calloc(partitions + 1, sizeof *batch->positions)) ||
        !take_jobs(engine, batch))
        goto no_memory;
    for (struct partition *p = engine->partitions; p; p = p->next) {
        if (wants_final(p)) {
            p->final_out = true;
            p->final_clean = partition_is_clean(p);
            p->in_positions = true;
        } else if (wants_commit(p) || (all && p->owes_position)) {
            p->in_positions = true;
        }
        if (p->in_positions && !add_position(engine, batch, p))
            goto no_memory;
    }
    return batch;
no_memory:
    batch_free(batch);
    engine_fail(engine, "no memory for a transaction");
    return NULL;
}

/* ---- when ------------------------------------------------------------------------------------ */

/* What there is to commit, beside results. */
struct demand {
    bool marks;     /* partitions begin or end: nothing waits for that */
    bool positions; /* some are behind what is published */
    int64_t positions_due_ms;
};

static struct demand demand_of(const struct engine *engine)
{
    struct demand demand = {.positions_due_ms = engine->now.mono_ms};
    bool late = engine->settings->delivery == DELIVERY_AT_LEAST_ONCE && spacing_ms(engine) == 0;
    for (const struct partition *p = engine->partitions; p; p = p->next) {
        demand.marks |= wants_commit(p);
        demand.positions |= p->owes_position;
        late &= p->uncommitted * POSITIONS_PART < engine->settings->window;
    }
    if (late && !demand.marks)
        demand.positions_due_ms = engine->committer.last_positions_ms + POSITIONS_EVERY_MS;
    return demand;
}

void committer_run(struct engine *engine)
{
    struct committer *committer = &engine->committer;
    if (committer->out)
        return;
    if (engine->failed || engine->fenced || !committer->ready || committer->recovering ||
        engine->blocked) {
        committer->since_ms = 0;
        return;
    }
    struct demand demand = demand_of(engine);
    bool all = demand.positions_due_ms <= engine->now.mono_ms;
    if (!demand.marks && !committer->first && !committer->progress_first &&
        !(demand.positions && all)) {
        committer->since_ms = committer->aborts = 0;
        if (demand.positions)
            timers_set(&engine->timers, &committer->timer, demand.positions_due_ms);
        return;
    }
    int64_t from = committer->not_before_ms;
    if (!demand.marks && committer->last_begin_ms + spacing_ms(engine) > from)
        from = committer->last_begin_ms + spacing_ms(engine);
    if (engine->now.mono_ms < from) {
        timers_set(&engine->timers, &committer->timer, from);
        return;
    }
    struct batch *batch = build_batch(engine, all);
    if (!batch)
        return;
    if (batch->position_count > 0)
        committer->last_positions_ms = engine->now.mono_ms;
    committer->out = batch;
    committer->last_begin_ms = engine->now.mono_ms;
    if (committer->since_ms == 0)
        committer->since_ms = engine->now.mono_ms;
    engine->metrics.transactions++;
    engine->ports->commit(engine->ports->context, batch);
}

/* ---- what became of it ----------------------------------------------------------------------- */

static void forget_jobs(struct committer *committer)
{
    free(committer->jobs);
    committer->jobs = NULL;
    committer->job_count = 0;
}

static void answered(struct engine *engine, struct job *job)
{
    struct answered line = {.command = &job->command,
                            .result = job->result,
                            .topic = job->unanswerable ? NULL : job->topic,
                            .dead_lettered = job->dead_letter != NULL,
                            .reason = job->error && job->error->kind == FAILURE_INVALID_COMMAND
                                          ? job->error->message
                                          : NULL};
    if (job->account) {
        struct account_metrics *metrics = job->account->metrics;
        metrics->results[job->command.operation][job->result->outcome]++;
        histogram_add(&metrics->answered, engine->now.mono_ms - job->received_mono_ms);
    }
    engine->metrics.dead_letters += line.dead_lettered;
    engine->ports->answered(engine->ports->context, &line);
    trace_answered(engine, job);
    if (job->partition) {
        job->partition->in_batch--;
        job->partition->uncommitted += job->partition->owes_position;
        ledger_answer(&job->partition->ledger, &job->entry);
    }
    job_free(engine, job);
}

/* Not published after all: to the front of the queue again, or gone with its partition. */
static void put_back(struct engine *engine)
{
    struct committer *committer = &engine->committer;
    for (size_t i = committer->job_count; i > 0; i--) {
        struct job *job = committer->jobs[i - 1];
        job->in_batch = false;
        job->entry.publishing = false;
        if (!job->partition) {
            job_free(engine, job);
            continue;
        }
        job->partition->in_batch--;
        queue_first(engine, job);
    }
    forget_jobs(committer);
}

/* Some messages were refused and their routes may have to be asked about: everything decided goes
 * back into the lane of its key, so that nobody else waits for them. */
static void start_over(struct engine *engine)
{
    struct committer *committer = &engine->committer;
    while (committer->last) {
        struct job *job = committer->last;
        committer_remove(engine, job);
        if (job_rejoin_result_lane(engine, job) < 0) {
            engine_fail(engine, "no memory for a result");
            return;
        }
    }
    decide_publish_all(engine);
}

static void clear_positions(struct engine *engine, bool committed)
{
    for (struct partition *p = engine->partitions; p; p = p->next) {
        if (!p->in_positions)
            continue;
        p->in_positions = false;
        /* What an aborted transaction published is not there. */
        p->owes_position &= !committed && engine->settings->delivery == DELIVERY_AT_LEAST_ONCE;
        if (committed) {
            p->uncommitted = 0;
            if (!p->marked)
                work_begin(engine, p);
            if (p->final_out)
                p->phase = PARTITION_LEFT;
        }
        p->final_out = false;
    }
}

/* The dead letter again, smaller. One that does not get smaller cannot be written. */
static void doubt_dead_letter(struct engine *engine, struct job *job, enum delivery_error why)
{
    struct message *letter = job->dead_letter, *smaller;
    struct error err;
    struct record record = {.topic = job->command.topic,
                            .partition = job->command.partition,
                            .offset = job->command.offset,
                            .timestamp_ms = job->command.timestamp_ms,
                            .key = letter->key,
                            .value = letter->value,
                            .headers = letter->headers,
                            .header_count = letter->header_count};
    routes_doubt(engine, letter->topic, why, message_bytes(letter));
    if (why != DELIVERY_TOO_LARGE)
        return;
    smaller = dead_letter_message(&record, slice_of_string(letter->topic),
                                  slice_of_string(job->error->message),
                                  routes_dead_letter_limit(engine), &err);
    if (!smaller) {
        engine_fail(engine, "no memory for a dead letter");
        return;
    }
    if (message_bytes(smaller) >= message_bytes(letter))
        routes_doubt(engine, letter->topic, DELIVERY_REFUSED, 0);
    job_count_message(engine, job, letter, false);
    job_count_message(engine, job, smaller, true);
    job->dead_letter = smaller;
    message_free(letter);
}

/* Messages that their topics refuse are built anew: elsewhere, or smaller. True: there are some. */
static bool doubt_routes(struct engine *engine, const struct batch *batch)
{
    struct committer *committer = &engine->committer;
    size_t at = 0;
    bool doubted = false;
    for (size_t i = 0; i < committer->job_count; i++) {
        struct job *job = committer->jobs[i];
        enum delivery_error why = DELIVERY_OK;
        if (job->dead_letter)
            why = (enum delivery_error)batch->message_errors[at++];
        if (why != DELIVERY_OK)
            doubt_dead_letter(engine, job, why);
        if (!job->message)
            continue;
        why = (enum delivery_error)batch->message_errors[at++];
        if (why == DELIVERY_OK)
            continue;
        doubted = true;
        routes_doubt(engine, job->message->topic, why, message_bytes(job->message));
        job_count_message(engine, job, job->message, false);
        message_free(job->message);
        job->message = NULL;
    }
    for (size_t i = 0; i < committer->progress_count; i++) {
        enum delivery_error why = (enum delivery_error)batch->message_errors[at + i];
        if (why != DELIVERY_OK)
            routes_doubt(engine, committer->progress[i]->topic, why,
                         message_bytes(committer->progress[i]));
    }
    return doubted;
}

static void aborted(struct engine *engine, const struct batch *batch, const struct error *err)
{
    struct committer *committer = &engine->committer;
    engine->metrics.aborts++;
    committer->aborts++;
    snprintf(committer->abort_reason, sizeof committer->abort_reason, "%s",
             err ? err->message : "no reason given");
    LOG(engine, LOG_WARN, "transaction_aborted", "in_a_row=%u reason=\"%s\"", committer->aborts,
        err ? err->message : "");
    bool doubted = doubt_routes(engine, batch);
    clear_positions(engine, false);
    put_back(engine);
    if (doubted)
        start_over(engine);
    committer->not_before_ms =
        engine->now.mono_ms +
        retry_poll(&engine->rng, ABORT_PAUSE_MS, ABORT_PAUSE_MOST_MS, committer->aborts);
}

void committer_receipt(struct engine *engine, struct batch *batch, enum receipt_kind kind,
                       const struct error *err)
{
    struct committer *committer = &engine->committer;
    assert(committer->out == batch);
    committer->out = NULL;
    switch (kind) {
    case RECEIPT_COMMITTED:
        committer->aborts = 0;
        committer->since_ms = committer->not_before_ms = 0;
        histogram_add(&engine->metrics.commit, engine->now.mono_ms - committer->last_begin_ms);
        clear_positions(engine, true);
        count_committed(engine, committer->job_count);
        for (size_t i = 0; i < committer->job_count; i++)
            answered(engine, committer->jobs[i]);
        forget_jobs(committer);
        break;
    case RECEIPT_ABORTED:
        aborted(engine, batch, err);
        break;
    case RECEIPT_UNKNOWN:
        LOG(engine, LOG_WARN, "transaction_unknown", "reason=\"%s\"", err ? err->message : "");
        engine->metrics.recoveries++;
        committer->ready = false;
        committer->recovering = true;
        engine->ports->recover(engine->ports->context);
        break;
    case RECEIPT_FENCED:
        LOG(engine, LOG_ERROR, "fenced", "reason=\"%s\"", err ? err->message : "");
        engine->fenced = true;
        break;
    }
    committer_free_progress(engine);
    batch_free(batch);
}

/* ---- after a commit of unknown fate ---------------------------------------------------------- */

void committer_ask_back(struct engine *engine)
{
    struct topic_partition *asked = NULL;
    size_t count = 0;
    engine->committer.reading_back = true;
    if (engine->positions_out != READ_NOTHING)
        return;
    for (const struct partition *p = engine->partitions; p; p = p->next)
        count += p->in_positions;
    if (count > 0)
        asked = calloc(count, sizeof *asked);
    if (count == 0 || !asked) {
        if (count > 0)
            engine_fail(engine, "no memory to read positions back");
        put_back(engine);
        engine->committer.recovering = engine->committer.reading_back = false;
        return;
    }
    count = 0;
    for (const struct partition *p = engine->partitions; p; p = p->next)
        if (p->in_positions)
            asked[count++] = (struct topic_partition){p->topic, p->number};
    engine->positions_out = READ_BACK;
    engine->ports->read_positions(engine->ports->context, asked, count);
    free(asked);
}

void committer_recovered(struct engine *engine)
{
    engine->committer.ready = true;
    if (engine->committer.recovering)
        committer_ask_back(engine);
}

static const struct position *position_of(const struct partition *partition,
                                          const struct position *positions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (positions[i].at.partition == partition->number &&
            strcmp(positions[i].at.topic, partition->topic) == 0)
            return &positions[i];
    return NULL;
}

void committer_read_back(struct engine *engine, const struct position *positions, size_t count)
{
    struct committer *committer = &engine->committer;
    size_t kept = 0;
    clear_positions(engine, false);
    for (size_t i = 0; i < committer->job_count; i++) {
        struct job *job = committer->jobs[i];
        const struct position *position =
            job->partition ? position_of(job->partition, positions, count) : NULL;
        bool committed =
            position && position->offset != OFFSET_NONE &&
            ledger_committed(position->offset, position->metadata, job->command.offset);
        if (committed)
            answered(engine, job);
        else
            committer->jobs[kept++] = job;
    }
    committer->job_count = kept;
    put_back(engine);
    committer->recovering = committer->reading_back = false;
}
