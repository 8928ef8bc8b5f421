/*
 * Publishing a batch: one transaction, or messages first and offsets then. A batch's memory is
 * borrowed by librdkafka until the last delivery report, so no receipt is given before that or
 * before the producer is gone.
 */
#include "worker/io/crash_point.h"
#include "worker/io/sink_delivery.h"

#include "common/banned.h"

enum {
    /* One call of send_offsets_to_transaction, commit or abort. None may be out for long of
     * its own will, so that one that hangs is known by it (worker.c: SINK_HANGS_MS). */
    CALL_TIMEOUT_MS = 10 * 1000,
    FLUSH_TIMEOUT_MS = 1000,
    AGAIN_MS = 20,
    /* How long commit or abort is asked again before the outcome counts as unknown. */
    OUTCOME_LIMIT_MS = 60 * 1000,
    /* Batches in a row of which a message timed out, before the producer is made anew. */
    TIMED_OUT_MOST = 2,
};

struct attempt {
    struct sink *sink;
    const struct batch *batch;
    const rd_kafka_consumer_group_metadata_t *metadata;
    struct sink_delivery *deliveries;
    int64_t begun_ms;
};

static bool is_dead(const struct sink *sink)
{
    return rd_kafka_fatal_error(sink->producer, NULL, 0) != 0;
}

/* The producer cannot be used again. Brokers fence a producer whose transaction timed out as they
 * do one whose id was taken over; only before the time-out it must have been a twin. */
static enum receipt_kind give_up(const struct attempt *attempt, const struct error *err)
{
    struct sink *sink = attempt->sink;
    bool in_time = loop_mono_ms() - attempt->begun_ms < sink->transaction_timeout_ms;
    sink_destroy_producer(sink);
    return err->kind == ERROR_FENCED && sink_is_static(sink) && in_time ? RECEIPT_FENCED
                                                                        : RECEIPT_UNKNOWN;
}

static rd_kafka_topic_partition_list_t *offsets_of(const struct batch *batch)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)batch->position_count);
    for (size_t i = 0; i < batch->position_count; i++) {
        const struct position *position = &batch->positions[i];
        rd_kafka_topic_partition_t *part =
            rd_kafka_topic_partition_list_add(list, position->at.topic, position->at.partition);
        part->offset = position->offset;
        if (position->metadata.len == 0)
            continue;
        part->metadata = malloc(position->metadata.len); /* the list frees it */
        if (part->metadata == NULL) {
            rd_kafka_topic_partition_list_destroy(list);
            return NULL;
        }
        memcpy(part->metadata, position->metadata.data, position->metadata.len);
        part->metadata_size = position->metadata.len;
    }
    return list;
}

static bool may_try_again(const struct attempt *attempt, bool retriable, int64_t limit_ms)
{
    return retriable && loop_mono_ms() - attempt->begun_ms < limit_ms &&
           sink_sleep(attempt->sink, AGAIN_MS);
}

/* ---- one transaction ------------------------------------------------------------------------- */

static int begin(const struct attempt *attempt, struct error *err)
{
    sink_call_begins(attempt->sink, "begin_transaction");
    rd_kafka_error_t *error = rd_kafka_begin_transaction(attempt->sink->producer);
    sink_call_ended(attempt->sink);
    return kafka_fold(error, "begin_transaction", err);
}

static int send_offsets(const struct attempt *attempt, struct error *err)
{
    if (attempt->batch->position_count == 0)
        return 0;
    rd_kafka_topic_partition_list_t *offsets = offsets_of(attempt->batch);
    if (offsets == NULL)
        return error_set(err, ERROR_MEMORY, "out of memory");
    int result;
    bool retriable;
    do {
        sink_call_begins(attempt->sink, "send_offsets_to_transaction");
        rd_kafka_error_t *error = rd_kafka_send_offsets_to_transaction(
            attempt->sink->producer, offsets, attempt->metadata, CALL_TIMEOUT_MS);
        sink_call_ended(attempt->sink);
        retriable = error != NULL && rd_kafka_error_is_retriable(error);
        result = kafka_fold(error, "send_offsets_to_transaction", err);
    } while (result != 0 &&
             may_try_again(attempt, retriable, attempt->sink->transaction_timeout_ms));
    rd_kafka_topic_partition_list_destroy(offsets);
    return result;
}

/* Commit and abort resume when they are called again. -1 with a kind other than ERROR_ABORT: not
 * known what became of it. */
static int end(const struct attempt *attempt, bool commit, struct error *err)
{
    int64_t limit_ms = loop_mono_ms() - attempt->begun_ms + OUTCOME_LIMIT_MS;
    int result;
    bool retriable;
    do {
        sink_call_begins(attempt->sink, commit ? "commit_transaction" : "abort_transaction");
        rd_kafka_error_t *error =
            commit ? rd_kafka_commit_transaction(attempt->sink->producer, CALL_TIMEOUT_MS)
                   : rd_kafka_abort_transaction(attempt->sink->producer, CALL_TIMEOUT_MS);
        sink_call_ended(attempt->sink);
        retriable = error != NULL && rd_kafka_error_is_retriable(error);
        result = kafka_fold(error, commit ? "commit_transaction" : "abort_transaction", err);
    } while (result != 0 && may_try_again(attempt, retriable, limit_ms));
    return result;
}

/* `err` says why and is kept. */
static enum receipt_kind take_back(const struct attempt *attempt, struct error *err)
{
    struct sink *sink = attempt->sink;
    struct error failure;
    if (is_dead(sink))
        return give_up(attempt, err);
    if (end(attempt, false, &failure) != 0) {
        if (is_dead(sink))
            *err = failure;
        return give_up(attempt, err);
    }
    if (sink->undelivered > 0) {
        (void)error_set(err, ERROR_INTERNAL, "messages left behind by an aborted transaction");
        return give_up(attempt, err);
    }
    /* What befell a message says more than what the transaction made of it. */
    struct error judged;
    if (sink_judge(sink, attempt->batch, attempt->deliveries, &judged) != 0 &&
        judged.kind == ERROR_ABORT)
        *err = judged;
    return RECEIPT_ABORTED;
}

static enum receipt_kind transact(const struct attempt *attempt, struct error *err)
{
    if (begin(attempt, err) != 0)
        return give_up(attempt, err);
    if (sink_publish(attempt->sink, attempt->batch, attempt->deliveries, err) != 0)
        return take_back(attempt, err);
    CRASH_POINT("produced");
    if (send_offsets(attempt, err) != 0)
        return take_back(attempt, err);
    CRASH_POINT("offsets_sent");
    if (end(attempt, true, err) == 0) {
        CRASH_POINT("committed");
        return RECEIPT_COMMITTED;
    }
    return err->kind == ERROR_ABORT ? take_back(attempt, err) : give_up(attempt, err);
}

/* ---- messages first, offsets then ------------------------------------------------------------ */

/* Until the last report is in: message.timeout.ms ends it. */
static void flush(struct sink *sink)
{
    while (sink->undelivered > 0 && !is_dead(sink)) {
        sink_call_begins(sink, "flush");
        if (sink_stopping(sink))
            (void)rd_kafka_purge(sink->producer,
                                 RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        (void)rd_kafka_flush(sink->producer, FLUSH_TIMEOUT_MS);
        sink_call_ended(sink);
    }
}

/* rd_kafka_commit() would wait without a limit. */
static rd_kafka_resp_err_t commit_list(struct sink *sink,
                                       const rd_kafka_topic_partition_list_t *offsets)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(sink->consumer);
    sink_call_begins(sink, "commit");
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(sink->consumer, offsets, queue, NULL, NULL);
    rd_kafka_event_t *event = NULL;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        event = rd_kafka_queue_poll(queue, CALL_TIMEOUT_MS);
        code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    sink_call_ended(sink);
    const rd_kafka_topic_partition_list_t *list =
        event ? rd_kafka_event_topic_partition_list(event) : NULL;
    for (int i = 0; list && i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        code = list->elems[i].err;
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    return code;
}

/* No broker has said no: the request may have come through. */
static bool may_be_committed(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
           code == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT;
}

/* A plain commit goes out under the consumer's generation of this moment, which brokers take for
 * any partition: what was given away since the batch was made must not overwrite its new owner's.
 */
static void leave_out_unassigned(struct sink *sink, rd_kafka_topic_partition_list_t *offsets)
{
    rd_kafka_topic_partition_list_t *assigned = NULL;
    sink_call_begins(sink, "assignment");
    rd_kafka_resp_err_t code = rd_kafka_assignment(sink->consumer, &assigned);
    sink_call_ended(sink);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    for (int i = offsets->cnt - 1; i >= 0; i--) {
        const rd_kafka_topic_partition_t *part = &offsets->elems[i];
        if (rd_kafka_topic_partition_list_find(assigned, part->topic, part->partition) == NULL)
            (void)rd_kafka_topic_partition_list_del_by_idx(offsets, i);
    }
    rd_kafka_topic_partition_list_destroy(assigned);
}

/* *unknown: it may have been committed all the same. */
static int commit_offsets(const struct attempt *attempt, bool *unknown, struct error *err)
{
    if (attempt->batch->position_count == 0)
        return 0;
    rd_kafka_topic_partition_list_t *offsets = offsets_of(attempt->batch);
    if (offsets == NULL)
        return error_set(err, ERROR_MEMORY, "out of memory");
    leave_out_unassigned(attempt->sink, offsets);
    rd_kafka_resp_err_t code =
        offsets->cnt > 0 ? commit_list(attempt->sink, offsets) : RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(offsets);
    *unknown = may_be_committed(code);
    return kafka_fold_code(code, "commit", err);
}

static enum receipt_kind publish_then_commit(const struct attempt *attempt, struct error *err)
{
    struct sink *sink = attempt->sink;
    int published = sink_publish(sink, attempt->batch, attempt->deliveries, err);
    flush(sink);
    if (is_dead(sink)) {
        if (published == 0)
            (void)error_set(err, ERROR_FATAL, "the producer failed");
        return give_up(attempt, err);
    }
    struct error judged;
    if (sink_judge(sink, attempt->batch, attempt->deliveries, &judged) != 0) {
        *err = judged;
        return RECEIPT_ABORTED;
    }
    CRASH_POINT("produced");
    bool unknown = false;
    if (commit_offsets(attempt, &unknown, err) == 0)
        return RECEIPT_COMMITTED;
    return unknown ? give_up(attempt, err) : RECEIPT_ABORTED;
}

/* True when messages of batches in a row timed out. A client may keep its picture of a topic that
 * was deleted and made again, and never deliver to it; a new one has none. */
static bool keeps_timing_out(const struct attempt *attempt)
{
    struct sink *sink = attempt->sink;
    bool now = false;
    for (size_t i = 0; i < attempt->batch->message_count; i++)
        now |= attempt->deliveries[i].code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
    sink->timed_out = now ? sink->timed_out + 1 : 0;
    return sink->timed_out >= TIMED_OUT_MOST;
}

void sink_run_commit(struct sink *sink, struct sink_job *job)
{
    struct attempt attempt = {
        .sink = sink, .batch = job->batch, .metadata = job->metadata, .begun_ms = loop_mono_ms()};
    job->receipt = RECEIPT_UNKNOWN;
    if (job->metadata == NULL) {
        (void)error_set(&job->err, ERROR_TEMPORARY, "not a member of the group at the moment");
        job->receipt = RECEIPT_ABORTED;
        return;
    }
    if (sink->producer == NULL) {
        (void)error_set(&job->err, ERROR_FATAL, "the producer is dead and not yet recovered");
        return;
    }
    attempt.deliveries = calloc(job->batch->message_count + 1, sizeof(*attempt.deliveries));
    if (attempt.deliveries == NULL) {
        (void)error_set(&job->err, ERROR_MEMORY, "out of memory");
        job->receipt = RECEIPT_ABORTED;
        return;
    }
    struct error err = {.kind = ERROR_NONE};
    job->receipt = sink->settings->delivery == DELIVERY_EXACTLY_ONCE
                       ? transact(&attempt, &err)
                       : publish_then_commit(&attempt, &err);
    if (keeps_timing_out(&attempt) && job->receipt == RECEIPT_ABORTED) {
        sink->timed_out = 0;
        job->receipt = give_up(&attempt, &err);
    }
    if (job->receipt != RECEIPT_COMMITTED)
        job->err = err;
    free(attempt.deliveries);
}
