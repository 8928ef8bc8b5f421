/* Reading committed positions: sink_internal.h. */
#include "worker/io/sink_internal.h"

#include "worker/io/crash_point.h"

#include "common/banned.h"

enum {
    /* One attempt at reading positions: short, as commits wait behind it. */
    POSITIONS_TIMEOUT_MS = 2 * 1000,
    /* A killed owner's transaction may stay open for its time-out and ten seconds more; until then
       its offsets are unstable. */
    POSITIONS_LIMIT_MS = 60 * 1000,
};

static rd_kafka_resp_err_t first_error(rd_kafka_resp_err_t code,
                                       const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        code = list->elems[i].err;
    return code;
}

/* The earliest available offset where nothing was committed, the end offset where something was (of
   committed records: the last owner saw no others). */
static rd_kafka_resp_err_t find_bounds(struct sink *sink, struct sink_job *job)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(job->partitions->cnt);
    for (int i = 0; i < job->partitions->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &job->partitions->elems[i];
        rd_kafka_topic_partition_list_add(list, part->topic, part->partition)->offset =
            part->offset < 0 ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END;
    }
    sink_call_begins(sink, "offsets_for_times");
    rd_kafka_resp_err_t code =
        rd_kafka_offsets_for_times(sink->consumer, list, POSITIONS_TIMEOUT_MS);
    sink_call_ended(sink);
    code = first_error(code, list);
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        int64_t bound = list->elems[i].offset >= 0 ? list->elems[i].offset : OFFSET_NONE;
        struct position *position = &job->positions[i];
        position->fresh = job->partitions->elems[i].offset < 0;
        position->end = position->fresh ? OFFSET_NONE : bound;
        if (position->fresh)
            position->offset = bound;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

static rd_kafka_resp_err_t read_positions(struct sink *sink, struct sink_job *job)
{
    rd_kafka_topic_partition_list_t *list = job->partitions;
    sink_call_begins(sink, "committed");
    rd_kafka_resp_err_t code = rd_kafka_committed(sink->consumer, list, POSITIONS_TIMEOUT_MS);
    sink_call_ended(sink);
    code = first_error(code, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return code;
    CRASH_POINT("reading_positions");
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &list->elems[i];
        job->positions[i] =
            (struct position){.at = {part->topic, part->partition},
                              .offset = part->offset >= 0 ? part->offset : OFFSET_NONE,
                              .metadata = slice_of(part->metadata_size > 0 ? part->metadata : NULL,
                                                   part->metadata_size)};
    }
    return find_bounds(sink, job);
}

bool sink_run_positions(struct sink *sink, struct sink_job *job)
{
    if (job->partitions->cnt == 0)
        return true;
    if (job->since_ms == 0)
        job->since_ms = loop_mono_ms();
    rd_kafka_resp_err_t code = read_positions(sink, job);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    if (loop_mono_ms() - job->since_ms < POSITIONS_LIMIT_MS)
        return false;
    (void)kafka_fold_code(code, "reading committed offsets", &job->err);
    job->err.kind = ERROR_TEMPORARY;
    return true;
}
