/* A source and a sink over the mock cluster, and what the sink said: for the tests of sink.c and
 * its parts. */
#ifndef KANCEL_TESTS_UNIT_IO_SINK_HARNESS_H
#define KANCEL_TESTS_UNIT_IO_SINK_HARNESS_H

#include "worker/io/sink.h"

#include "tests/unit/io/kafka_mock.h"

#include "common/limits.h"

enum { MOST = 2000 };

static struct source *source;
static struct sink *sink;
static bool assigned, closed;

/* What the sink said. */
static struct {
    size_t recovered, receipts, positions, facts;
    struct error recovered_err, err, problem;
    enum receipt_kind receipt;
    int message_errors[MOST];
    struct batch *batch;
    int64_t offsets[4], ends[4];
    bool fresh[4];
    char metadata[4][LIMIT_METADATA_BYTES + 1];
    size_t position_count;
    struct topic_facts topic;
    char order[64]; /* one letter an event */
} said;

static inline void note(char letter)
{
    size_t len = strlen(said.order);
    if (len + 1 < sizeof(said.order))
        said.order[len] = letter;
}

/* ---- the consumer that the sink commits for -------------------------------------------------- */

static inline void on_record(void *context, const struct record *record)
{
    (void)context;
    (void)record;
}

static inline void on_assigned(void *context, const struct topic_partition *partitions,
                               size_t count)
{
    (void)context;
    struct position positions[4];
    for (size_t i = 0; i < count; i++)
        positions[i] = (struct position){.at = partitions[i], .offset = OFFSET_NONE};
    source_assign(source, positions, count);
    assigned = true;
}

static inline void on_revoked(void *context, const struct topic_partition *partitions, size_t count,
                              bool lost)
{
    (void)context;
    (void)lost;
    source_unassign(source, partitions, count);
}

static inline void on_closed(void *context)
{
    (void)context;
    closed = true;
}

static inline void on_problem(void *context, const struct error *err)
{
    (void)context;
    (void)err;
}

static const struct source_events source_events = {
    .record = on_record,
    .assigned = on_assigned,
    .revoked = on_revoked,
    .closed = on_closed,
    .problem = on_problem,
};

/* ---- the sink's events ----------------------------------------------------------------------- */

static inline void on_positions(void *context, const struct position *positions, size_t count,
                                const struct error *err)
{
    (void)context;
    note('p');
    said.positions++;
    said.position_count = count;
    said.err = err ? *err : (struct error){.kind = ERROR_NONE};
    for (size_t i = 0; i < count; i++) {
        said.offsets[i] = positions[i].offset;
        said.ends[i] = positions[i].end;
        said.fresh[i] = positions[i].fresh;
        (void)snprintf(said.metadata[i], sizeof(said.metadata[i]), "%.*s",
                       SLICE_ARG(positions[i].metadata));
    }
}

static inline void on_topic_facts(void *context, const struct topic_facts *facts)
{
    (void)context;
    note('t');
    said.facts++;
    said.topic = *facts;
}

static inline void on_receipt(void *context, struct batch *batch, enum receipt_kind kind,
                              const struct error *err)
{
    (void)context;
    note('c');
    said.receipts++;
    said.receipt = kind;
    said.err = err ? *err : (struct error){.kind = ERROR_NONE};
    said.batch = batch;
    for (size_t i = 0; i < batch->message_count; i++)
        said.message_errors[i] = batch->message_errors[i];
}

static inline void on_recovered(void *context, const struct error *err)
{
    (void)context;
    note('r');
    if (err == NULL)
        said.recovered++;
    else
        said.recovered_err = *err;
}

static inline void on_sink_problem(void *context, const struct error *err)
{
    (void)context;
    said.problem = *err;
}

static const struct sink_events sink_events = {
    .positions = on_positions,
    .topic_facts = on_topic_facts,
    .receipt = on_receipt,
    .recovered = on_recovered,
    .problem = on_sink_problem,
};

static inline void open_both(void)
{
    struct error err = {.message = ""};
    source = source_new(mock.loop, &mock.settings, &source_events, &err);
    ck_assert_msg(source != NULL, "%s", err.message);
    sink = sink_new(mock.loop, &mock.settings, source, &sink_events, &err);
    ck_assert_msg(sink != NULL, "%s", err.message);
}

static inline void open_ready(void)
{
    open_both();
    RUN_UNTIL(assigned && said.recovered == 1);
}

/* ---- batches --------------------------------------------------------------------------------- */

static struct message *messages[MOST];
static size_t message_count;

static inline void add(const char *topic, int32_t partition, struct slice key, struct slice value)
{
    static const struct header headers[] = {{SLICE("h"), SLICE("1")},
                                            {SLICE("null"), {NULL, 0}},
                                            {SLICE("empty"), SLICE("")},
                                            {SLICE("h"), SLICE("2")}};
    messages[message_count] =
        message_new(slice_of_string(topic), partition, key, value, headers, 4);
    ck_assert_ptr_nonnull(messages[message_count]);
    message_count++;
}

static inline void add_text(const char *topic, const char *value)
{
    add(topic, 0, slice_of_string("k"), slice_of_string(value));
}

/* Of all messages added since the last one; `metadata` NULL: no positions. */
static inline struct batch *batch_of(int64_t offset, const char *metadata)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    ck_assert_ptr_nonnull(batch);
    batch->messages = calloc(message_count + 1, sizeof(*batch->messages));
    batch->message_errors = calloc(message_count + 1, sizeof(*batch->message_errors));
    batch->positions = calloc(1, sizeof(*batch->positions));
    ck_assert(batch->messages && batch->message_errors && batch->positions);
    memcpy(batch->messages, messages, message_count * sizeof(*messages));
    batch->message_count = message_count;
    if (metadata != NULL) {
        batch->position_count = 1;
        batch->positions[0].at = (struct topic_partition){strdup("commands"), 0};
        batch->positions[0].offset = offset;
        batch->positions[0].metadata = slice_of(strdup(metadata), strlen(metadata));
    }
    return batch;
}

static inline void forget_messages(void)
{
    for (size_t i = 0; i < message_count; i++)
        message_free(messages[i]);
    message_count = 0;
}

static inline void commit(int64_t offset, const char *metadata, enum receipt_kind expected)
{
    size_t before = said.receipts;
    struct batch *batch = batch_of(offset, metadata);
    sink_commit(sink, batch);
    RUN_UNTIL(said.receipts == before + 1);
    ck_assert_msg(said.receipt == expected, "receipt %d, expected %d: %s", (int)said.receipt,
                  (int)expected, said.err.message);
    ck_assert_int_eq(said.err.kind == ERROR_NONE, expected == RECEIPT_COMMITTED);
    ck_assert_ptr_eq(said.batch, batch);
    batch_free(batch);
}

static inline void read_positions(void)
{
    size_t before = said.positions;
    struct topic_partition partitions[] = {{"commands", 0}, {"commands", 1}};
    sink_read_positions(sink, partitions, 2);
    RUN_UNTIL(said.positions == before + 1);
}

static inline void look_up(const char *topic)
{
    size_t before = said.facts;
    sink_look_up_topic(sink, topic);
    RUN_UNTIL(said.facts == before + 1);
}

static inline void start(void)
{
    mock_start();
}

static inline void finish(void)
{
    ck_assert(sink_free(sink, PATIENCE_S * 1000));
    source_free(source);
    (void)uv_run(loop_uv(mock.loop), UV_RUN_NOWAIT);
    forget_messages();
    mock_stop();
}

/* Runs `tests` of the suite `name`, each with a cluster of its own. */
static inline int harness_run(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create(name);
    tcase_set_timeout(all, 4 * PATIENCE_S);
    tcase_add_checked_fixture(all, start, finish);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    return mock_run(suite);
}

#endif
