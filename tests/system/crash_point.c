/*
 * The tests' side of worker/io/crash_point.h, linked into kancel-crash only.
 *
 *   KANCEL_CRASH=POINT:N         the worker is killed when it passes POINT for the N-th time
 *   KANCEL_HANG=CALL[:N]         the N-th rd_kafka_CALL() does not come back
 *   KANCEL_HANG_LIMIT_MS=MS      how long the worker lets a Kafka call be out
 *
 * The calls that can be named are those that the sink's thread may block in: the linker puts
 * hanging_CALL in their place (tests/system/CMakeLists.txt has the list).
 */
#include "worker/io/crash_point.h"

#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/banned.h"

/* True for the N-th passage of the name that the variable holds. */
static bool is_named(const char *variable, const char *name, atomic_long *passages)
{
    const char *text = getenv(variable);
    size_t len = strlen(name);
    if (text == NULL || strncmp(text, name, len) != 0 || (text[len] != ':' && text[len] != '\0'))
        return false;
    long wanted = text[len] == ':' ? strtol(text + len + 1, NULL, 10) : 1;
    return atomic_fetch_add(passages, 1) + 1 == wanted;
}

void crash_point(const char *name)
{
    static atomic_long passages;
    if (is_named("KANCEL_CRASH", name, &passages))
        (void)kill(getpid(), SIGKILL);
}

int crash_point_limit(int limit_ms)
{
    const char *text = getenv("KANCEL_HANG_LIMIT_MS");
    return text ? (int)strtol(text, NULL, 10) : limit_ms;
}

static void hang_in(const char *call)
{
    static atomic_long passages;
    while (is_named("KANCEL_HANG", call, &passages)) {
        for (;;)
            (void)pause();
    }
}

/* HANGING(call, type, (parameters), (arguments)) */
#define HANGING(call, type, parameters, arguments)                                                 \
    type __real_rd_kafka_##call parameters;                                                        \
    type __wrap_rd_kafka_##call parameters;                                                        \
    type __wrap_rd_kafka_##call parameters                                                         \
    {                                                                                              \
        hang_in(#call);                                                                            \
        return __real_rd_kafka_##call arguments;                                                   \
    }

HANGING(init_transactions, rd_kafka_error_t *, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms))
HANGING(begin_transaction, rd_kafka_error_t *, (rd_kafka_t * rk), (rk))
HANGING(send_offsets_to_transaction, rd_kafka_error_t *,
        (rd_kafka_t * rk, const rd_kafka_topic_partition_list_t *offsets,
         const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms),
        (rk, offsets, metadata, timeout_ms))
HANGING(commit_transaction, rd_kafka_error_t *, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms))
HANGING(abort_transaction, rd_kafka_error_t *, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms))
HANGING(flush, rd_kafka_resp_err_t, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms))
HANGING(commit_queue, rd_kafka_resp_err_t,
        (rd_kafka_t * rk, const rd_kafka_topic_partition_list_t *offsets, rd_kafka_queue_t *queue,
         void (*callback)(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *,
                          void *),
         void *opaque),
        (rk, offsets, queue, callback, opaque))
HANGING(committed, rd_kafka_resp_err_t,
        (rd_kafka_t * rk, rd_kafka_topic_partition_list_t *partitions, int timeout_ms),
        (rk, partitions, timeout_ms))
HANGING(offsets_for_times, rd_kafka_resp_err_t,
        (rd_kafka_t * rk, rd_kafka_topic_partition_list_t *offsets, int timeout_ms),
        (rk, offsets, timeout_ms))
HANGING(metadata, rd_kafka_resp_err_t,
        (rd_kafka_t * rk, int all_topics, rd_kafka_topic_t *only,
         const struct rd_kafka_metadata **metadata, int timeout_ms),
        (rk, all_topics, only, metadata, timeout_ms))
HANGING(produceva, rd_kafka_error_t *, (rd_kafka_t * rk, const rd_kafka_vu_t *parts, size_t count),
        (rk, parts, count))

void __real_rd_kafka_destroy(rd_kafka_t *rk);
void __wrap_rd_kafka_destroy(rd_kafka_t *rk);
void __wrap_rd_kafka_destroy(rd_kafka_t *rk)
{
    hang_in("destroy");
    __real_rd_kafka_destroy(rk);
}
