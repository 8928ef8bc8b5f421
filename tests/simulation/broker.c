/* The command topic: logs with gaps, and what consumers are given of them. */
#include "tests/simulation/world.h"

#include <stdlib.h>

#include "common/banned.h"

struct topic_partition broker_name(int number)
{
    return (struct topic_partition){number % 2 ? "more" : "cmd", number / 2};
}

int broker_number(const struct topic_partition *at)
{
    return 2 * at->partition + (strcmp(at->topic, "more") == 0);
}

static size_t index_from(const struct sim_partition *partition, int64_t offset)
{
    size_t low = 0, high = partition->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (partition->log[middle]->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct sim_command *broker_command_at(const struct world *world, int number, int64_t offset)
{
    const struct sim_partition *partition = &world->partitions[number];
    size_t index = index_from(partition, offset);
    return index < partition->count && partition->log[index]->offset == offset
               ? partition->log[index]
               : NULL;
}

static void consume(struct world *world, const struct event *event)
{
    struct sim_worker *worker = &world->workers[event->number % WORKERS_MOST];
    int number = event->number / WORKERS_MOST;
    if (!worker_is(world, worker->index, event->life) || worker_sleeps(world, event, worker->index))
        return;
    struct view *view = &worker->views[number];
    struct sim_partition *partition = &world->partitions[number];
    view->scheduled = false;
    if (!view->delivering || view->paused || view->leaving || worker->kicked)
        return;
    if (view->position < partition->start) {
        world->fired[FAULT_CUT_OFF]++;
        view->position = partition->start; /* auto.offset.reset: earliest */
    }
    size_t index = index_from(partition, view->position);
    if (index == partition->count)
        return;
    struct sim_command *command = partition->log[index];
    struct topic_partition at = broker_name(number);
    struct record record = {.topic = at.topic,
                            .partition = at.partition,
                            .offset = command->offset,
                            .timestamp_ms = WALL_BASE_MS + command->produced_at,
                            .key = slice_of_string(command->key >= 0 ? command->key_text : NULL),
                            .value = slice_of_string(command->value),
                            .headers = command->headers,
                            .header_count = command->header_count};
    view->position = command->offset + 1;
    if (command->taken_at < 0)
        command->taken_at = world->now;
    world_trace(world, "w%d record %d/%lld %s %.300s", worker->index, number,
                (long long)command->offset, command->key >= 0 ? command->key_text : "-",
                command->value ? command->value : "tombstone");
    check_taken(worker, command);
    broker_kick(worker, number);
    engine_record(worker->engine, worker_now(worker), &record);
    worker_after(worker);
}

void broker_kick(struct sim_worker *worker, int number)
{
    struct view *view = &worker->views[number];
    struct world *world = worker->world;
    if (!view->delivering || view->paused || view->leaving || view->scheduled || worker->kicked)
        return;
    view->scheduled = true;
    world_at(world, world_between(world, 0, 2), consume, number * WORKERS_MOST + worker->index,
             worker->life, NULL);
}

/* Offsets that nobody is given: control records, what compaction took. */
static int64_t gap_of(struct world *world)
{
    if (!world_percent(world, world->plan.gaps))
        return 0;
    if (world->plan.wide)
        return world_between(world, 1, INT64_C(1) << 40);
    return world_between(world, 1, world_percent(world, 5) ? 100000 : 3);
}

void broker_retain(struct world *world)
{
    enum { RECORDS_MOST = 20 };
    int number = (int)world_between(world, 0, world->plan.partitions - 1);
    struct sim_partition *partition = &world->partitions[number];
    size_t first = partition->answered_below;
    size_t end = first + (size_t)world_between(world, 0, RECORDS_MOST);
    if (end >= partition->count) /* all that is there, control records too */
        partition->start = partition->end;
    else
        partition->start = partition->log[end]->offset;
    world_trace(world, "retention: partition %d begins at %lld", number,
                (long long)partition->start);
    for (size_t i = first; i < partition->count && partition->log[i]->offset < partition->start;
         i++) {
        struct sim_command *command = partition->log[i];
        /* At least once: its answer may be there and its dead letter not yet. */
        bool whole =
            command->answered && (command->kind == COMMAND_VALID || command->dead_letters > 0);
        world->over += !command->cut && !command->answered;
        command->cut |= !whole;
    }
}

static void produce(struct world *world, const struct event *event)
{
    struct sim_command *command = &world->commands[event->number];
    struct sim_partition *partition = &world->partitions[command->partition];
    if (partition->count == partition->capacity) {
        partition->capacity = partition->capacity ? 2 * partition->capacity : 64;
        partition->log = realloc(partition->log, partition->capacity * sizeof *partition->log);
    }
    bool after = world_percent(world, 50); /* the end of a transaction, perhaps the last for long */
    int64_t gap = gap_of(world);
    command->offset = partition->end + (after ? 0 : gap);
    partition->end = command->offset + 1 + (after ? gap : 0);
    partition->log[partition->count++] = command;
    world->produced++;
    for (int i = 0; i < WORKERS_MOST; i++)
        if (world->workers[i].engine)
            broker_kick(&world->workers[i], command->partition);
}

enum which_topic broker_topic(const char *name)
{
    static const char *const names[] = {"results", "dead", "reply.there", "reply.vanishing"};
    enum which_topic topic = 0;
    while (topic < TOPIC_COUNT && strcmp(names[topic], name) != 0)
        topic++;
    return topic;
}

void broker_begin(struct world *world)
{
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        world->topics[i].limit = LIMIT_TOPIC_MESSAGE_BYTES;
    for (unsigned i = 0; i < world->plan.partitions; i++) {
        world->partitions[i].owner = -1;
        world->partitions[i].committed = OFFSET_NONE;
        world->partitions[i].pending_worker = -1;
        if (world_percent(world, 50))
            world->partitions[i].start = world->partitions[i].end = world_between(world, 0, 1000);
    }
    for (unsigned i = 0; i < world->plan.commands; i++)
        world_at(world, world->commands[i].produced_at, produce, (int)i, 0, NULL);
}

void broker_free(struct world *world)
{
    for (unsigned i = 0; i < PARTITIONS_MOST; i++) {
        free(world->partitions[i].log);
        free(world->partitions[i].metadata);
    }
}
