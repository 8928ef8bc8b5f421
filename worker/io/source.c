#include "worker/io/source.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "worker/io/crash_point.h"

#include "common/banned.h"

enum {
    /* Events handled in one turn of the loop; the rest waits for the next, behind everybody else.
     */
    EVENTS_PER_TURN = 200,
    /* The queue is polled at least so often: a safety net, and what max.poll.interval.ms wants. */
    POLL_EVERY_MS = 1000,
    /* While closing: the last step wakes nobody in older librdkafka. */
    CLOSE_POLL_EVERY_MS = 50,
    /* How long leaving without ceremony may block. */
    LEAVE_LIMIT_MS = 1000,
    PROBLEM_EVERY_MS = 60 * 1000,
    PROBLEM_CODES = 32,
    PROBLEM_BYTES = 256,
};

/* An assigned partition's records, as they are fetched. */
struct feed {
    rd_kafka_queue_t *queue;
    char *topic;
    int32_t partition;
    bool paused; /* by source_pause() */
};

struct source {
    const struct kafka_settings *settings;
    const struct source_events *events;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue; /* of events */
    struct feed *feeds;
    size_t feed_count;
    size_t turn; /* whose record is next */
    bool left;   /* records were left where they are, as nobody was hungry */
    int wake_fd; /* librdkafka writes, the loop reads */
    struct loop_reader *reader;
    struct loop_timer *timer;

    rd_kafka_topic_partition_list_t *own; /* assigned partitions of our own output topics */
    rd_kafka_topic_partition_list_t
        *step;              /* such of the rebalance step that waits for its answer */
    struct header *headers; /* of the record being handed over */
    size_t header_capacity;
    size_t owned;      /* partitions assigned, own topics included */
    size_t open_steps; /* rebalance events handed out and not answered */
    bool closing, closed, failed;
    struct kafka_traffic traffic;
    bool said_farewell; /* the one answer that a closing group waits for was given */
    struct {
        rd_kafka_resp_err_t code;
        int64_t mono_ms;
    } told[PROBLEM_CODES];
    size_t told_count;
    char hindrance[PROBLEM_BYTES]; /* the last problem, until it has partitions */
};

/* ---- problems -------------------------------------------------------------------------------- */

/* Each code at most once a minute: librdkafka repeats itself with every attempt. */
static bool told_lately(struct source *source, rd_kafka_resp_err_t code)
{
    int64_t now = loop_mono_ms();
    size_t i = 0;
    while (i < source->told_count && source->told[i].code != code)
        i++;
    if (i < source->told_count && now - source->told[i].mono_ms < PROBLEM_EVERY_MS)
        return true;
    if (i == source->told_count && source->told_count < PROBLEM_CODES)
        source->told_count++;
    if (i == PROBLEM_CODES)
        i = 0;
    source->told[i].code = code;
    source->told[i].mono_ms = now;
    return false;
}

static void report(struct source *source, rd_kafka_resp_err_t code, const char *text, bool fatal)
{
    struct error err;
    if (fatal) {
        if (source->failed)
            return;
        source->failed = true;
        (void)error_set(&err,
                        code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID ? ERROR_FENCED : ERROR_FATAL,
                        "consumer: %s (%s)", text, rd_kafka_err2name(code));
    } else {
        if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            return;
        (void)snprintf(source->hindrance, sizeof(source->hindrance), "%s", text);
        if (told_lately(source, code))
            return;
        (void)error_set(&err, ERROR_TEMPORARY, "consumer: %s (%s)", text, rd_kafka_err2name(code));
    }
    source->events->problem(source->events->context, &err);
}

/* Takes the answer of a call that should not have failed. */
static void report_failure(struct source *source, rd_kafka_error_t *error)
{
    if (error == NULL)
        return;
    report(source, rd_kafka_error_code(error), rd_kafka_error_string(error),
           rd_kafka_error_is_fatal(error) != 0);
    rd_kafka_error_destroy(error);
}

/* ---- records --------------------------------------------------------------------------------- */

static bool grow_headers(struct source *source, size_t count)
{
    if (count <= source->header_capacity)
        return true;
    struct header *more = realloc(source->headers, count * sizeof(*more));
    if (more == NULL)
        return false;
    source->headers = more;
    source->header_capacity = count;
    return true;
}

static size_t read_headers(struct source *source, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    size_t count = rd_kafka_header_cnt(headers);
    if (!grow_headers(source, count))
        return 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = NULL;
        const void *value = NULL;
        size_t len = 0;
        if (rd_kafka_header_get_all(headers, i, &name, &value, &len) != RD_KAFKA_RESP_ERR_NO_ERROR)
            return i;
        source->headers[i].name = slice_of_string(name);
        source->headers[i].value = slice_of(value, value ? len : 0);
    }
    return count;
}

static void hand_over(struct source *source, const rd_kafka_message_t *message)
{
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        report(source, message->err, rd_kafka_message_errstr(message), false);
        return;
    }
    struct record record = {.topic = rd_kafka_topic_name(message->rkt),
                            .partition = message->partition,
                            .offset = message->offset,
                            .timestamp_ms = -1,
                            .key = slice_of(message->key, message->key ? message->key_len : 0),
                            .value =
                                slice_of(message->payload, message->payload ? message->len : 0)};
    if (source->own->cnt > 0 &&
        rd_kafka_topic_partition_list_find(source->own, record.topic, record.partition) != NULL)
        return;
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
        record.timestamp_ms = timestamp_ms;
    record.header_count = read_headers(source, message);
    record.headers = source->headers;
    source->events->record(source->events->context, &record);
    CRASH_POINT("taken");
}

/* ---- feeds ----------------------------------------------------------------------------------- */

static const uint64_t one_wake = 1;

static void wake_for(struct source *source, rd_kafka_queue_t *queue)
{
    rd_kafka_queue_io_event_enable(queue, source->wake_fd, &one_wake, sizeof(one_wake));
}

/* librdkafka wakes only for a queue that was found empty. */
static void wake_again(struct source *source)
{
    (void)!write(source->wake_fd, &one_wake, sizeof(one_wake));
}

static struct feed *find_feed(struct source *source, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < source->feed_count; i++)
        if (source->feeds[i].partition == partition && strcmp(source->feeds[i].topic, topic) == 0)
            return &source->feeds[i];
    return NULL;
}

/* Before each assignment, so that no record takes the other way, to the events: librdkafka forgets
 * it when it stops fetching the partition. False: no memory. */
static bool open_feed(struct source *source, const char *topic, int32_t partition)
{
    struct feed *feeds = realloc(source->feeds, (source->feed_count + 1) * sizeof(*feeds));
    if (feeds == NULL)
        return false;
    source->feeds = feeds;
    struct feed *feed = &feeds[source->feed_count];
    *feed = (struct feed){.queue = rd_kafka_queue_get_partition(source->rk, topic, partition),
                          .topic = slice_dup(slice_of_string(topic)),
                          .partition = partition};
    if (feed->queue == NULL || feed->topic == NULL) {
        if (feed->queue != NULL)
            rd_kafka_queue_destroy(feed->queue);
        free(feed->topic);
        return false;
    }
    rd_kafka_queue_forward(feed->queue, NULL);
    wake_for(source, feed->queue);
    source->feed_count++;
    return true;
}

static void close_feed(struct source *source, struct feed *feed)
{
    if (feed == NULL)
        return;
    rd_kafka_queue_io_event_enable(feed->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(feed->queue);
    free(feed->topic);
    *feed = source->feeds[--source->feed_count];
}

/* The records stay with the client, which fetches until it has as many as it may. */
void source_pause(struct source *source, struct topic_partition partition)
{
    struct feed *feed = find_feed(source, partition.topic, partition.partition);
    if (feed != NULL)
        feed->paused = true;
}

void source_resume(struct source *source, struct topic_partition partition)
{
    struct feed *feed = find_feed(source, partition.topic, partition.partition);
    if (feed == NULL || !feed->paused)
        return;
    feed->paused = false;
    wake_again(source);
}

/* ---- rebalances ------------------------------------------------------------------------------ */

static bool is_cooperative(const struct source *source)
{
    const char *protocol = rd_kafka_rebalance_protocol(source->rk);
    return protocol != NULL && strcmp(protocol, "COOPERATIVE") == 0;
}

/* What the event names without our own topics, which go to source->step. */
static struct topic_partition *without_own(struct source *source,
                                           const rd_kafka_topic_partition_list_t *list,
                                           size_t *count)
{
    rd_kafka_topic_partition_list_destroy(source->step);
    source->step = rd_kafka_topic_partition_list_new(0);
    struct topic_partition *partitions = calloc((size_t)list->cnt + 1, sizeof(*partitions));
    *count = 0;
    for (int i = 0; partitions != NULL && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &list->elems[i];
        if (kafka_own_topic(source->settings, part->topic))
            rd_kafka_topic_partition_list_add(source->step, part->topic, part->partition);
        else
            partitions[(*count)++] = (struct topic_partition){part->topic, part->partition};
    }
    return partitions;
}

static void rebalance(struct source *source, rd_kafka_event_t *event)
{
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    bool assigned = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    if (list == NULL || (!assigned && code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)) {
        (void)rd_kafka_assign(source->rk, NULL);
        report(source, code, "rebalance failed", false);
        return;
    }
    size_t count;
    struct topic_partition *partitions = without_own(source, list, &count);
    const struct source_events *events = source->events;
    if (partitions == NULL)
        report(source, RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, "out of memory in a rebalance", true);
    else if (source->open_steps++, assigned)
        events->assigned(events->context, partitions, count);
    else
        events->revoked(events->context, partitions, count,
                        rd_kafka_assignment_lost(source->rk) != 0);
    free(partitions);
}

static void report_code(struct source *source, rd_kafka_resp_err_t code)
{
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        report(source, code, rd_kafka_err2str(code), false);
}

/* librdkafka may leave a call to a group unanswered, and its caller hanging, when the group ends at
 * that moment. A closing group ends after the first answer, which it takes as "everything is
 * unassigned" whatever it says; so there is no second one and no question after it, though the
 * answers to two events may be due. */
static void farewell(struct source *source)
{
    if (source->said_farewell)
        return;
    source->said_farewell = true;
    source->owned = 0;
    report_code(source, rd_kafka_assign(source->rk, NULL));
}

/* True when this answer was all there is to say. */
static bool step_answered(struct source *source)
{
    bool due = source->open_steps > 0;
    if (due)
        source->open_steps--;
    if (due && source->closing)
        farewell(source);
    return source->closing;
}

void source_assign(struct source *source, const struct position *positions, size_t count)
{
    CRASH_POINT("assigning");
    if (step_answered(source))
        return;
    rd_kafka_topic_partition_list_t *step = source->step;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)count + step->cnt);
    for (size_t i = 0; i < count; i++) {
        const struct position *position = &positions[i];
        rd_kafka_topic_partition_list_add(list, position->at.topic, position->at.partition)
            ->offset = position->offset >= 0 ? position->offset : RD_KAFKA_OFFSET_BEGINNING;
    }
    for (int i = 0; i < step->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &step->elems[i];
        rd_kafka_topic_partition_list_add(list, part->topic, part->partition)->offset =
            RD_KAFKA_OFFSET_END;
        rd_kafka_topic_partition_list_add(source->own, part->topic, part->partition);
    }
    for (size_t i = 0; i < count; i++)
        if (!open_feed(source, positions[i].at.topic, positions[i].at.partition))
            report(source, RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, "out of memory in a rebalance",
                   true);
    if (is_cooperative(source)) {
        source->owned += (size_t)list->cnt;
        report_failure(source, rd_kafka_incremental_assign(source->rk, list));
    } else {
        source->owned = (size_t)list->cnt;
        report_code(source, rd_kafka_assign(source->rk, list));
    }
    if (step->cnt > 0)
        report_code(source, rd_kafka_pause_partitions(source->rk, step));
    rd_kafka_topic_partition_list_destroy(list);
}

/* Adds what is assigned: librdkafka refuses the whole list for one that is not. */
static void add_assigned(rd_kafka_topic_partition_list_t *list,
                         rd_kafka_topic_partition_list_t *assigned, const char *topic,
                         int32_t partition)
{
    if (assigned != NULL && rd_kafka_topic_partition_list_find(assigned, topic, partition) != NULL)
        rd_kafka_topic_partition_list_add(list, topic, partition);
}

void source_unassign(struct source *source, const struct topic_partition *partitions, size_t count)
{
    CRASH_POINT("unassigning");
    if (step_answered(source))
        return;
    rd_kafka_topic_partition_list_t *step = source->step, *assigned = NULL;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)count + step->cnt);
    (void)rd_kafka_assignment(source->rk, &assigned);
    for (size_t i = 0; i < count; i++)
        add_assigned(list, assigned, partitions[i].topic, partitions[i].partition);
    for (int i = 0; i < step->cnt; i++)
        add_assigned(list, assigned, step->elems[i].topic, step->elems[i].partition);
    if (is_cooperative(source)) {
        source->owned -= (size_t)list->cnt;
        report_failure(source, rd_kafka_incremental_unassign(source->rk, list));
    } else {
        source->owned = 0;
        report_code(source, rd_kafka_assign(source->rk, NULL));
    }
    for (size_t i = 0; i < count; i++)
        close_feed(source, find_feed(source, partitions[i].topic, partitions[i].partition));
    for (int i = 0; i < step->cnt; i++)
        (void)rd_kafka_topic_partition_list_del(source->own, step->elems[i].topic,
                                                step->elems[i].partition);
    if (assigned != NULL)
        rd_kafka_topic_partition_list_destroy(assigned);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void hand_facts(struct source *source, const char *text)
{
    rd_kafka_topic_partition_list_t *assigned = NULL;
    if (source->events->facts == NULL || text == NULL ||
        rd_kafka_assignment(source->rk, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    struct partition_facts *room = calloc((size_t)assigned->cnt + 1, sizeof(*room));
    struct consumer_facts facts;
    if (room != NULL &&
        statistics_read(slice_of_string(text), assigned, room, &facts, &source->traffic)) {
        if (assigned->cnt > 0 && facts.brokers && facts.coordinator)
            source->hindrance[0] = '\0';
        facts.hindrance = source->hindrance[0] ? source->hindrance : NULL;
        source->events->facts(source->events->context, &facts);
    }
    free(room);
    rd_kafka_topic_partition_list_destroy(assigned);
}

const struct kafka_traffic *source_traffic(const struct source *source)
{
    return &source->traffic;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void handle(struct source *source, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *message;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
        while ((message = rd_kafka_event_message_next(event)) != NULL)
            hand_over(source, message);
        break;
    case RD_KAFKA_EVENT_REBALANCE:
        rebalance(source, event);
        break;
    case RD_KAFKA_EVENT_STATS:
        hand_facts(source, rd_kafka_event_stats(event));
        break;
    case RD_KAFKA_EVENT_ERROR:
        report(source, rd_kafka_event_error(event), rd_kafka_event_error_string(event),
               rd_kafka_event_error_is_fatal(event) != 0);
        break;
    default:
        break;
    }
}

static bool is_hungry(const struct source *source)
{
    return !source->events->hungry || source->events->hungry(source->events->context);
}

/* True when it had one. */
static bool take_one(struct source *source, rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 0);
    if (event == NULL)
        return false;
    handle(source, event);
    rd_kafka_event_destroy(event);
    return true;
}

/* True when there may be more. */
static bool take_events(struct source *source)
{
    int count = 0;
    while (count < EVENTS_PER_TURN && take_one(source, source->queue))
        count++;
    return count == EVENTS_PER_TURN;
}

/* One of each partition in turn: what is waiting is then of as many keys as there are. True when
 * there may be more. */
static bool take_records(struct source *source)
{
    size_t without = 0; /* so many partitions in a row had none */
    int count = 0;
    while (count < EVENTS_PER_TURN && without < source->feed_count) {
        source->left = !is_hungry(source);
        if (source->left)
            return false;
        source->turn = (source->turn + 1) % source->feed_count;
        const struct feed *feed = &source->feeds[source->turn];
        bool had = !feed->paused && take_one(source, feed->queue);
        count += had;
        without = had ? 0 : without + 1;
    }
    return count == EVENTS_PER_TURN;
}

void source_feed(struct source *source)
{
    if (!source->left)
        return;
    source->left = false;
    wake_again(source);
}

/* `closed` comes last, as its receiver may free the source. */
static void drain(struct source *source)
{
    uint64_t wakes;
    (void)!read(source->wake_fd, &wakes, sizeof(wakes));
    bool more = take_events(source);
    if (!source->closing)
        more |= take_records(source);
    if (more)
        wake_again(source);
    if (!source->closing || source->closed ||
        (!source->failed && !rd_kafka_consumer_closed(source->rk)))
        return;
    source->closed = true;
    loop_timer_set(source->timer, INT64_MAX);
    source->events->closed(source->events->context);
}

static void on_readable(void *context)
{
    drain(context);
}

static void on_timer(void *context)
{
    struct source *source = context;
    loop_timer_set(source->timer,
                   loop_mono_ms() + (source->closing ? CLOSE_POLL_EVERY_MS : POLL_EVERY_MS));
    drain(source);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int subscribe(struct source *source, struct error *err)
{
    const struct kafka_settings *settings = source->settings;
    rd_kafka_topic_partition_list_t *topics =
        rd_kafka_topic_partition_list_new((int)settings->command_count);
    for (size_t i = 0; i < settings->command_count; i++)
        rd_kafka_topic_partition_list_add(topics, settings->commands[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(source->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code == RD_KAFKA_RESP_ERR__INVALID_ARG)
        return error_set(
            err, ERROR_INPUT,
            "commands: expected names of topics or regular expressions beginning with ^");
    return kafka_fold_code(code, "subscribe", err);
}

static int open_client(struct source *source, struct error *err)
{
    rd_kafka_conf_t *conf = kafka_conf(source->settings, KAFKA_CONSUMER, err);
    if (conf == NULL)
        return -1;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR |
                                       RD_KAFKA_EVENT_STATS);
    source->rk = kafka_new(source->settings, RD_KAFKA_CONSUMER, conf, err);
    if (source->rk == NULL)
        return -1;
    if (kafka_fold_code(rd_kafka_poll_set_consumer(source->rk), "consumer queue", err) != 0)
        return -1;
    source->queue = rd_kafka_queue_get_consumer(source->rk);
    wake_for(source, source->queue);
    return subscribe(source, err);
}

struct source *source_new(struct loop *loop, const struct kafka_settings *settings,
                          const struct source_events *events, struct error *err)
{
    struct source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        (void)error_set(err, ERROR_MEMORY, "source: out of memory");
        return NULL;
    }
    source->settings = settings;
    source->events = events;
    source->own = rd_kafka_topic_partition_list_new(0);
    source->step = rd_kafka_topic_partition_list_new(0);
    /* Non-blocking: librdkafka writes while it holds the queue's lock. */
    source->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (source->wake_fd < 0) {
        (void)error_set(err, ERROR_INTERNAL, "source: eventfd: errno %d", errno);
        goto failed;
    }
    source->reader = loop_reader_new(loop, source->wake_fd, on_readable, source, err);
    if (source->reader == NULL)
        goto failed;
    source->timer = loop_timer_new(loop, on_timer, source, err);
    if (source->timer == NULL || open_client(source, err) != 0)
        goto failed;
    /* What came before the wakes were enabled woke nobody. */
    loop_timer_set(source->timer, loop_mono_ms());
    return source;
failed:
    source_free(source);
    return NULL;
}

/* librdkafka cannot be destroyed while a rebalance waits for its answer: it would spin for ever. */
static void leave_in_haste(struct source *source)
{
    source_close(source);
    if (source->failed)
        return;
    if (source->open_steps > 0)
        farewell(source);
    int64_t until_ms = loop_mono_ms() + LEAVE_LIMIT_MS;
    while (!rd_kafka_consumer_closed(source->rk) && loop_mono_ms() < until_ms) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(source->queue, CLOSE_POLL_EVERY_MS);
        if (event == NULL)
            continue;
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
            farewell(source);
        rd_kafka_event_destroy(event);
    }
}

void source_free(struct source *source)
{
    if (source == NULL)
        return;
    if (source->queue != NULL && !source->closed && !source->failed)
        leave_in_haste(source);
    loop_timer_free(source->timer);
    loop_reader_free(source->reader);
    while (source->feed_count > 0)
        close_feed(source, &source->feeds[0]);
    free(source->feeds);
    if (source->queue != NULL) {
        rd_kafka_queue_io_event_enable(source->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(source->queue);
    }
    if (source->rk != NULL)
        rd_kafka_destroy_flags(source->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (source->wake_fd >= 0)
        (void)close(source->wake_fd);
    rd_kafka_topic_partition_list_destroy(source->own);
    rd_kafka_topic_partition_list_destroy(source->step);
    free(source->headers);
    free(source);
}

void source_close(struct source *source)
{
    if (source->closing)
        return;
    source->closing = true;
    CRASH_POINT("leaving");
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(source->rk, source->queue);
    if (error != NULL) {
        /* A failed client cannot leave; its session times out. */
        source->failed = true;
        rd_kafka_error_destroy(error);
    }
    loop_timer_set(source->timer, loop_mono_ms());
}

/* ---- for the sink ---------------------------------------------------------------------------- */

/* Metadata without a member id would be taken by the broker without any fencing. librdkafka gives
 * id and metadata in two calls; an id never comes back once it is gone, so the same one before and
 * after was there in between. */
rd_kafka_consumer_group_metadata_t *source_group_metadata(struct source *source)
{
    bool ends =
        source->closing && (source->said_farewell || source->owned + source->open_steps == 0);
    if (ends || source->failed)
        return NULL;
    char *before = rd_kafka_memberid(source->rk);
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata(source->rk);
    char *after = rd_kafka_memberid(source->rk);
    bool member = before && after && before[0] != '\0' && strcmp(before, after) == 0;
    if (before != NULL)
        rd_kafka_mem_free(source->rk, before);
    if (after != NULL)
        rd_kafka_mem_free(source->rk, after);
    if (!member && metadata != NULL) {
        rd_kafka_consumer_group_metadata_destroy(metadata);
        metadata = NULL;
    }
    return metadata;
}

int64_t source_end(struct source *source, struct topic_partition partition)
{
    int64_t low = -1, high = -1;
    rd_kafka_resp_err_t code = rd_kafka_get_watermark_offsets(source->rk, partition.topic,
                                                              partition.partition, &low, &high);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? high : -1;
}

rd_kafka_t *source_handle(struct source *source)
{
    return source->rk;
}
