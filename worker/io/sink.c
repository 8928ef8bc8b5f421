#include "worker/io/sink.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>

#include "worker/io/sink_internal.h"

#include "common/banned.h"

enum {
    /* An idle producer is polled so often: librdkafka's own events must not pile up. */
    IDLE_POLL_MS = 1000,
    POSITIONS_AGAIN_MS = 200,
};

/* ---- jobs ------------------------------------------------------------------------------------ */

static void job_free(struct sink_job *job)
{
    if (job->partitions != NULL)
        rd_kafka_topic_partition_list_destroy(job->partitions);
    if (job->metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(job->metadata);
    if (job->batch != NULL)
        batch_free(job->batch);
    free(job->positions);
    free(job->topic);
    free(job->statistics);
    free(job);
}

static void free_all(struct sink_queue *queue)
{
    struct sink_job *job;
    while ((job = STAILQ_FIRST(queue)) != NULL) {
        STAILQ_REMOVE_HEAD(queue, entry);
        job_free(job);
    }
}

/* The contract of the jobs knows no failure: without memory for a hundred bytes the worker cannot
 * go on, and nothing that is lost here was committed. */
static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static struct sink_job *job_new(enum sink_job_kind kind)
{
    struct sink_job *job = must(calloc(1, sizeof(*job)));
    job->kind = kind;
    return job;
}

static void submit(struct sink *sink, struct sink_job *job)
{
    (void)pthread_mutex_lock(&sink->mutex);
    STAILQ_INSERT_TAIL(&sink->jobs, job, entry);
    (void)pthread_cond_broadcast(&sink->changed);
    (void)pthread_mutex_unlock(&sink->mutex);
}

void sink_read_positions(struct sink *sink, const struct topic_partition *partitions, size_t count)
{
    struct sink_job *job = job_new(SINK_POSITIONS);
    job->partitions = rd_kafka_topic_partition_list_new((int)count);
    job->positions = must(calloc(count + 1, sizeof(*job->positions)));
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(job->partitions, partitions[i].topic,
                                          partitions[i].partition);
    submit(sink, job);
}

void sink_look_up_topic(struct sink *sink, const char *topic)
{
    struct sink_job *job = job_new(SINK_TOPIC);
    job->topic = must(slice_dup(slice_of_string(topic)));
    submit(sink, job);
}

void sink_commit(struct sink *sink, struct batch *batch)
{
    struct sink_job *job = job_new(SINK_COMMIT);
    job->batch = batch;
    job->metadata = source_group_metadata(sink->source);
    submit(sink, job);
}

void sink_recover(struct sink *sink)
{
    submit(sink, job_new(SINK_RECOVER));
}

/* ---- the thread ------------------------------------------------------------------------------ */

void sink_call_begins(struct sink *sink, const char *name)
{
    atomic_store(&sink->call, name);
    atomic_store(&sink->call_since_ms, loop_mono_ms());
}

void sink_call_ended(struct sink *sink)
{
    atomic_store(&sink->call_since_ms, 0);
}

int64_t sink_busy_ms(const struct sink *sink)
{
    int64_t since_ms = atomic_load(&sink->call_since_ms);
    if (since_ms == 0)
        return 0;
    int64_t busy_ms = loop_mono_ms() - since_ms;
    return busy_ms > 0 ? busy_ms : 1;
}

const struct kafka_traffic *sink_traffic(const struct sink *sink)
{
    return &sink->traffic;
}

const char *sink_call(const struct sink *sink)
{
    const char *name = atomic_load(&sink->call);
    return name ? name : "none";
}

bool sink_stopping(const struct sink *sink)
{
    return atomic_load(&sink->stopping);
}

bool sink_is_static(const struct sink *sink)
{
    return sink->settings->instance_id != NULL && sink->settings->instance_id[0] != '\0';
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t ns = at.tv_nsec + ms % 1000 * 1000000;
    at.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    return at;
}

bool sink_sleep(struct sink *sink, int64_t ms)
{
    struct timespec until = in_ms(ms);
    (void)pthread_mutex_lock(&sink->mutex);
    while (!sink_stopping(sink) &&
           pthread_cond_timedwait(&sink->changed, &sink->mutex, &until) != ETIMEDOUT)
        ;
    (void)pthread_mutex_unlock(&sink->mutex);
    return !sink_stopping(sink);
}

bool sink_has_jobs(struct sink *sink)
{
    (void)pthread_mutex_lock(&sink->mutex);
    bool has = !STAILQ_EMPTY(&sink->jobs);
    (void)pthread_mutex_unlock(&sink->mutex);
    return has;
}

/* Back to the loop. */
static void hand_back(struct sink *sink, struct sink_job *job)
{
    (void)pthread_mutex_lock(&sink->mutex);
    STAILQ_INSERT_TAIL(&sink->receipts, job, entry);
    if (!sink->abandoned)
        loop_wake(sink->waker);
    (void)pthread_mutex_unlock(&sink->mutex);
}

static void report(struct sink *sink, enum sink_job_kind kind, const struct error *err)
{
    struct sink_job *job = job_new(kind);
    job->err = *err;
    hand_back(sink, job);
}

void sink_report_recovering(struct sink *sink, const struct error *err)
{
    report(sink, SINK_RECOVER, err);
}

void sink_report_problem(struct sink *sink, const struct error *err)
{
    report(sink, SINK_PROBLEM, err);
}

void sink_report_statistics(struct sink *sink, char *statistics)
{
    struct sink_job *job = job_new(SINK_STATISTICS);
    job->statistics = statistics;
    hand_back(sink, job);
}

/* Waits for one; NULL: none came for a while, or it is time to stop. */
static struct sink_job *next_job(struct sink *sink)
{
    struct sink_job *job = NULL;
    struct timespec until = in_ms(IDLE_POLL_MS);
    bool waited = false;
    (void)pthread_mutex_lock(&sink->mutex);
    while (!sink_stopping(sink) && (job = STAILQ_FIRST(&sink->jobs)) == NULL && !waited)
        waited = pthread_cond_timedwait(&sink->changed, &sink->mutex, &until) == ETIMEDOUT;
    if (job != NULL)
        STAILQ_REMOVE_HEAD(&sink->jobs, entry);
    (void)pthread_mutex_unlock(&sink->mutex);
    return job;
}

/* Positions that cannot be read yet (a transaction of the last owner is still open) let other jobs
 * go first. */
static void run(struct sink *sink, struct sink_job *job)
{
    switch (job->kind) {
    case SINK_POSITIONS:
        if (!sink_run_positions(sink, job)) {
            if (!sink_has_jobs(sink))
                (void)sink_sleep(sink, POSITIONS_AGAIN_MS);
            submit(sink, job);
            return;
        }
        break;
    case SINK_TOPIC:
        sink_run_topic(sink, job);
        break;
    case SINK_COMMIT:
        sink_run_commit(sink, job);
        break;
    case SINK_RECOVER:
        sink_run_recover(sink, job);
        break;
    case SINK_PROBLEM:
    case SINK_STATISTICS:
        break; /* never submitted */
    }
    hand_back(sink, job);
}

static void *thread_main(void *context)
{
    struct sink *sink = context;
    while (!sink_stopping(sink)) {
        struct sink_job *job = next_job(sink);
        if (job != NULL)
            run(sink, job);
        else if (sink->producer != NULL)
            (void)rd_kafka_poll(sink->producer, 0);
        sink_check_clients(sink);
    }
    sink_destroy_producer(sink);
    (void)pthread_mutex_lock(&sink->mutex);
    sink->finished = true;
    (void)pthread_cond_broadcast(&sink->changed);
    (void)pthread_mutex_unlock(&sink->mutex);
    return NULL;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void deliver(struct sink *sink, struct sink_job *job)
{
    const struct sink_events *events = sink->events;
    const struct error *err = job->err.kind == ERROR_NONE ? NULL : &job->err;
    struct batch *batch = job->batch;
    switch (job->kind) {
    case SINK_POSITIONS:
        events->positions(events->context, job->positions, err ? 0 : (size_t)job->partitions->cnt,
                          err);
        break;
    case SINK_TOPIC:
        events->topic_facts(events->context, &job->facts);
        break;
    case SINK_COMMIT:
        job->batch = NULL;
        events->receipt(events->context, batch, job->receipt, err);
        break;
    case SINK_RECOVER:
        events->recovered(events->context, err);
        break;
    case SINK_PROBLEM:
        events->problem(events->context, err);
        break;
    case SINK_STATISTICS:
        statistics_read_traffic(slice_of_string(job->statistics), &sink->traffic);
        break;
    }
}

static void on_receipts(void *context)
{
    struct sink *sink = context;
    struct sink_queue receipts = STAILQ_HEAD_INITIALIZER(receipts);
    (void)pthread_mutex_lock(&sink->mutex);
    STAILQ_CONCAT(&receipts, &sink->receipts);
    (void)pthread_mutex_unlock(&sink->mutex);
    struct sink_job *job;
    while ((job = STAILQ_FIRST(&receipts)) != NULL) {
        STAILQ_REMOVE_HEAD(&receipts, entry);
        deliver(sink, job);
        job_free(job);
    }
}

/* Signals are the loop's. */
static int start_thread(struct sink *sink)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&sink->thread, NULL, thread_main, sink);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static void release(struct sink *sink)
{
    sink_destroy_producer(sink);
    free_all(&sink->jobs);
    free_all(&sink->receipts);
    (void)pthread_cond_destroy(&sink->changed);
    (void)pthread_mutex_destroy(&sink->mutex);
    for (size_t i = 0; i < sink->narrow_count; i++)
        free(sink->narrow_topics[i]);
    free(sink->transactional_id);
    free(sink);
}

struct sink *sink_new(struct loop *loop, const struct kafka_settings *settings,
                      struct source *source, const struct sink_events *events, struct error *err)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL) {
        (void)error_set(err, ERROR_MEMORY, "sink: out of memory");
        return NULL;
    }
    sink->own = *settings;
    sink->own.owner = sink;
    sink->settings = &sink->own;
    sink->events = events;
    sink->source = source;
    sink->consumer = source_handle(source);
    sink->lost_limit_ms = SINK_LOST_LIMIT_MS;
    STAILQ_INIT(&sink->jobs);
    STAILQ_INIT(&sink->receipts);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&sink->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&sink->mutex, NULL);
    /* Here and not on the thread, so that a combination of properties that librdkafka refuses is
     * told at start. */
    sink->producer = sink_make_producer(sink, err);
    if (sink->producer == NULL)
        goto failed;
    sink->waker = loop_waker_new(loop, on_receipts, sink, err);
    if (sink->waker == NULL)
        goto failed;
    sink_recover(sink);
    int code = start_thread(sink);
    if (code == 0)
        return sink;
    (void)error_set(err, ERROR_INTERNAL, "sink: thread: errno %d", code);
    loop_waker_free(sink->waker);
failed:
    release(sink);
    return NULL;
}

bool sink_free(struct sink *sink, int64_t wait_ms)
{
    if (sink == NULL)
        return true;
    struct timespec until = in_ms(wait_ms);
    (void)pthread_mutex_lock(&sink->mutex);
    atomic_store(&sink->stopping, true);
    (void)pthread_cond_broadcast(&sink->changed);
    while (!sink->finished &&
           pthread_cond_timedwait(&sink->changed, &sink->mutex, &until) != ETIMEDOUT)
        ;
    bool finished = sink->finished;
    sink->abandoned = true;
    (void)pthread_mutex_unlock(&sink->mutex);
    loop_waker_free(sink->waker);
    if (!finished) {
        (void)pthread_detach(sink->thread);
        return false;
    }
    (void)pthread_join(sink->thread, NULL);
    release(sink);
    return true;
}
