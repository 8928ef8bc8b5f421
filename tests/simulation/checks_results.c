/* What becomes visible with a transaction, held against what happened at the providers. */
#include "tests/simulation/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/core/ledger.h"

#include "common/banned.h"

#define SET(state) (1u << (state))
static const unsigned cancelled_set = SET(STATE_CANCELLING) | SET(STATE_CANCELLED);
static const unsigned ended_set = SET(STATE_FAILED) | SET(STATE_PARTIAL) | SET(STATE_SUCCEEDED) |
                                  SET(STATE_EXPIRING) | SET(STATE_EXPIRED);

static bool text_is(const struct json_value *map, const char *name, const char *text)
{
    return slice_equals(json_value_text(json_value_get(map, name)), text);
}

static bool kind_is(const struct json_value *map, const char *kind)
{
    return text_is(json_value_get(map, "error"), "kind", kind);
}

/* Some reply may have been kept from its topic, some result cut short. */
static bool topics_were_bad(const struct world *world)
{
    return world->fired[FAULT_REFUSED] + world->fired[FAULT_FORBIDDEN] + world->fired[FAULT_LIMIT] >
           0;
}

/* ---- is it true? ----------------------------------------------------------------------------- */

/* The words a provider can tell from another: scnet's running task may wait too. */
static unsigned set_of(const struct sim_command *command, enum task_state state)
{
    unsigned set = SET(state);
    if (command->account == IOTDA && command->is_list && state == STATE_CANCELLED)
        set |= SET(STATE_CANCELLING);
    return set;
}

static void check_succeeded_cancel(struct world *world, struct sim_command *command,
                                   struct item *item, const struct json_value *map,
                                   enum task_state state)
{
    bool acted_blindly = state == STATE_UNKNOWN || state == STATE_WAITING || state == STATE_RUNNING;
    bool taken = item->accepted || task_was(world, &item->task, cancelled_set, command->taken_at);
    bool already;
    if (acted_blindly && (!taken || command->settled))
        world_fail(world, "c%u: succeeded, but no cancel was taken", command->index);
    if (!acted_blindly && !task_was(world, &item->task, cancelled_set, command->taken_at))
        world_fail(world, "c%u: succeeded, but the task was never cancelled", command->index);
    if (json_value_bool(json_value_get(map, "alreadyCancelled"), &already) && already &&
        !task_was(world, &item->task, cancelled_set, 0))
        world_fail(world, "c%u: already cancelled, but it was not", command->index);
    if (command->settled && state != STATE_CANCELLED)
        world_fail(world, "c%u: settled, but the state is %s", command->index,
                   task_state_name(state));
}

static void check_succeeded(struct world *world, struct sim_command *command, struct item *item,
                            const struct json_value *map, enum task_state state)
{
    if (item->task.missing)
        world_fail(world, "c%u: succeeded on a task that is not there", command->index);
    if (command->operation == OPERATION_CANCEL) {
        check_succeeded_cancel(world, command, item, map, state);
        return;
    }
    if (command->settled && !task_state_is_settled(state))
        world_fail(world, "c%u: settled, but the state is %s", command->index,
                   task_state_name(state));
}

static void check_refused(struct world *world, struct sim_command *command, struct item *item,
                          const struct json_value *map, enum task_state state)
{
    if (kind_is(map, "not_found")) {
        if (!item->task.missing)
            world_fail(world, "c%u: not found, but it is there", command->index);
    } else if (kind_is(map, "not_cancellable")) {
        if (!task_was(world, &item->task, ended_set, command->taken_at))
            world_fail(world, "c%u: not cancellable, but it had not ended", command->index);
        if (!(ended_set & SET(state)))
            world_fail(world, "c%u: not cancellable, but %s", command->index,
                       task_state_name(state));
    } else if (kind_is(map, "forbidden")) {
        if (!item->task.missing && task_was(world, &item->task, SET(STATE_RUNNING), world->now))
            world_fail(world, "c%u: refused, though nothing forbade it", command->index);
    } else if (kind_is(map, "not_permitted")) {
        world->fired[FAULT_NOT_PERMITTED]++;
        if (!world->accounts[command->account].allow.topics || command->partition % 2 == 0)
            world_fail(world, "c%u: not permitted, but it is", command->index);
    } else {
        world_fail(world, "c%u: refused for a reason nobody gave", command->index);
    }
}

static int64_t deadline_of(const struct world *world, const struct sim_command *command)
{
    int64_t max_age = world->settings.max_age_ms;
    int64_t oldest = WALL_BASE_MS + command->produced_at + max_age;
    return max_age > 0 && oldest < command->expires_ms ? oldest : command->expires_ms;
}

static void check_expired(struct world *world, const struct sim_worker *worker,
                          struct sim_command *command, struct item *item, const char *applied)
{
    bool due = worker->latest_wall_ms >= deadline_of(world, command);
    bool settling = command->settled && world->now - command->taken_at >=
                                            world->accounts[command->account].settle.limit_ms;
    if (!due && !settling)
        world_fail(world, "c%u: expired before its deadline", command->index);
    if (strcmp(applied, "no") == 0 && item->applied_at >= 0 && !item->late)
        world_fail(world, "c%u: expired and not applied, but it was", command->index);
    if (strcmp(applied, "yes") == 0 && item->applied_at < 0 && !item->accepted &&
        !task_was(world, &item->task, cancelled_set, 0))
        world_fail(world, "c%u: expired and applied, but it was not", command->index);
}

static void check_failed(struct world *world, struct sim_command *command, struct item *item,
                         const struct json_value *map)
{
    bool unsure = kind_is(map, "unknown_outcome");
    if (command->operation == OPERATION_STATUS)
        unsure = false;
    else if (!unsure && item->applied_at >= 0 && !item->late && !command->settled)
        world_fail(world, "c%u: failed for certain, but the cancel was applied", command->index);
    if (kind_is(map, "internal") || kind_is(map, ""))
        world_fail(world, "c%u: failed without a reason from outside", command->index);
}

/* at_least_once: a former owner's result comes late, perhaps when it owns the partition anew, and
 * others have acted meanwhile. */
static bool is_late(const struct world *world, const struct sim_worker *worker,
                    const struct sim_command *command)
{
    return world->plan.at_least_once &&
           (world->partitions[command->partition].owner != worker->index ||
            command->inside_by != worker->views[command->partition].ownership);
}

static void check_outcome(struct world *world, const struct sim_worker *worker,
                          struct sim_command *command, struct item *item,
                          const struct json_value *map, const char *applied)
{
    enum outcome outcome = OUTCOME_INVALID;
    enum task_state state = STATE_UNKNOWN;
    if (!outcome_parse(json_value_text(json_value_get(map, "outcome")), &outcome) ||
        !task_state_parse(json_value_text(json_value_get(map, "state")), &state))
        world_fail(world, "c%u: words that are none", command->index);
    if (state != STATE_UNKNOWN &&
        !task_was(world, &item->task, set_of(command, state), command->taken_at))
        world_fail(world, "c%u: state %s was never so", command->index, task_state_name(state));
    switch (outcome) {
    case OUTCOME_SUCCEEDED:
        check_succeeded(world, command, item, map, state);
        break;
    case OUTCOME_REFUSED:
        check_refused(world, command, item, map, state);
        break;
    case OUTCOME_EXPIRED:
        if (!is_late(world, worker, command))
            check_expired(world, worker, command, item, applied);
        break;
    case OUTCOME_FAILED:
        if (!is_late(world, worker, command))
            check_failed(world, command, item, map);
        break;
    default:
        world_fail(world, "c%u: an outcome that cannot be", command->index);
    }
}

static void check_attempts(struct world *world, const struct sim_worker *worker,
                           const struct sim_command *command, const struct json_value *root)
{
    int64_t attempts = -1;
    const struct view *view = &worker->views[command->partition];
    bool counted = command->calls_by == view->ownership;
    if (!counted && command->calls_by != 0)
        return; /* of an earlier ownership: its calls are not counted any more */
    if (!json_value_int64(json_value_get(root, "attempts"), &attempts) || attempts < 0)
        world_fail(world, "c%u: no attempts", command->index);
    /* The status of a settling command is an operation or a poll: not told apart here. */
    if (command->operation == OPERATION_STATUS ? attempts > (counted ? command->calls : 0)
                                               : attempts != (counted ? command->calls : 0))
        world_fail(world, "c%u: says %lld attempts", command->index, (long long)attempts);
}

static void check_truth(struct world *world, const struct sim_worker *worker,
                        struct sim_command *command, const struct json_value *root)
{
    const struct json_value *items = json_value_get(root, "items");
    char applied[16];
    struct slice said = json_value_text(json_value_get(root, "applied"));
    snprintf(applied, sizeof applied, "%.*s", SLICE_ARG(said));
    if (text_is(root, "outcome", "invalid") || command->kind != COMMAND_VALID) {
        if (!text_is(root, "outcome", "invalid") || command->kind == COMMAND_VALID)
            world_fail(world, "c%u: valid and invalid are mistaken", command->index);
        return;
    }
    if (!items && command->is_list && world->fired[FAULT_LIMIT] > 0) {
        check_attempts(world, worker, command, root);
        return; /* cut to fit its topic */
    }
    if (command->is_list != (items != NULL) ||
        (items && json_value_count(items) != command->item_count))
        world_fail(world, "c%u: items are missing", command->index);
    if (!items)
        check_outcome(world, worker, command, &command->items[0], root, applied);
    for (size_t i = 0; items && i < json_value_count(items) && i < command->item_count; i++)
        check_outcome(world, worker, command, &command->items[i], json_value_at(items, i), applied);
    check_attempts(world, worker, command, root);
}

/* ---- messages -------------------------------------------------------------------------------- */

static int destination_of(const char *topic)
{
    static const char *const topics[] = {"results", "reply.there", "reply.vanishing"};
    for (int i = 0; i < 3; i++)
        if (strcmp(topic, topics[i]) == 0)
            return i;
    return -1;
}

static bool has_header(const struct message *message, const char *name)
{
    for (size_t i = 0; i < message->header_count; i++)
        if (slice_equals(message->headers[i].name, name))
            return true;
    return false;
}

static void check_place(struct world *world, struct sim_command *command,
                        const struct message *message)
{
    int destination = destination_of(message->topic);
    const char *asked = command_reply_topic(command->reply);
    bool rejected = has_header(message, "kancel-reply-rejected");
    bool may_reject = command->reply >= REPLY_MISSING || topics_were_bad(world);
    if (destination < 0 || (asked && !rejected && strcmp(asked, message->topic) != 0) ||
        (rejected && (!may_reject || destination != 0)) || (!asked && destination != 0))
        world_fail(world, "c%u: answered in topic %s", command->index, message->topic);
    if (!slice_equals(message->key, command->key >= 0 ? command->key_text : NULL) ||
        (command->key < 0) != (message->key.data == NULL))
        world_fail(world, "c%u: answered with another key", command->index);
    if (command->key < 0 || destination < 0)
        return;
    int64_t *last = &world->result_order[command->partition][command->key][destination];
    /* At least once: the first one is in order, unless its topic refused it, or retention kept it
     * from those who went on. */
    if (command->results > 1 || command->refused || (world->plan.at_least_once && command->cut))
        return;
    if (command->offset < *last)
        world_fail(world, "c%u: answered after a later command of its key", command->index);
    *last = command->offset;
}

/* By the result's id, which is made of partition and offset. */
static struct sim_command *command_of_result(struct world *world, struct slice id)
{
    char text[64], topic[8];
    struct topic_partition at = {.topic = topic};
    long long offset;
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(id));
    if (sscanf(text, "%7[a-z]-%d-%lld", topic, &at.partition, &offset) != 3 ||
        broker_number(&at) < 0 || broker_number(&at) >= (int)world->plan.partitions)
        return NULL;
    struct topic_partition name = broker_name(broker_number(&at));
    if (strcmp(name.topic, topic) != 0)
        return NULL;
    return broker_command_at(world, broker_number(&at), offset);
}

static void answered(struct world *world, struct sim_command *command)
{
    command->answered = true;
    world->answered++;
    world->over += !command->cut;
    for (int i = 0; i < WORKERS_MOST && command->inside_by; i++)
        if (world->workers[i].views[command->partition].ownership == command->inside_by)
            world->workers[i].views[command->partition].inside--;
    command->inside_by = 0;
}

/* A CloudEvent's data is the result. */
static const struct json_value *result_of_root(const struct json_value *root)
{
    const struct json_value *data = json_value_get(root, "data");
    return data ? data : root;
}

static struct sim_command *command_of_root(struct world *world, const struct json_value *root)
{
    return command_of_result(world, json_value_text(json_value_get(result_of_root(root), "id")));
}

static void answered_again(struct world *world, const struct sim_command *command)
{
    if (!world->plan.at_least_once)
        world_fail(world, "c%u: answered twice", command->index);
    world->fired[FAULT_AGAIN]++;
}

static bool header_is(const struct message *message, const char *name, const char *value)
{
    for (size_t i = 0; i < message->header_count; i++)
        if (slice_equals(message->headers[i].name, name))
            return slice_equals(message->headers[i].value, value);
    return false;
}

/* A result comes in the mode of its command. */
static void check_mode(struct world *world, const struct sim_command *command,
                       const struct message *message, const struct json_value *root)
{
    char id[64], subject[16];
    struct slice said = json_value_text(json_value_get(result_of_root(root), "id"));
    snprintf(id, sizeof id, "%.*s", SLICE_ARG(said));
    snprintf(subject, sizeof subject, "c%u", command->index);
    bool structured = text_is(root, "specversion", "1.0"), binary = has_header(message, "ce_id");
    if (structured != (command->mode == MODE_STRUCTURED) ||
        binary != (command->mode == MODE_BINARY))
        world_fail(world, "c%u: answered in another mode", command->index);
    if (structured &&
        (!text_is(root, "id", id) || !text_is(root, "subject", subject) ||
         !text_is(root, "source", "/kancel/g") || !text_is(root, "type", "kancel.result.v1") ||
         !header_is(message, "content-type", "application/cloudevents+json")))
        world_fail(world, "c%u: the result's event is wrong", command->index);
    if (binary && (!header_is(message, "ce_id", id) || !header_is(message, "ce_subject", subject) ||
                   !header_is(message, "ce_source", "/kancel/g") ||
                   !header_is(message, "ce_type", "kancel.result.v1")))
        world_fail(world, "c%u: the result's event headers are wrong", command->index);
}

static void check_result(struct world *world, const struct sim_worker *worker,
                         const struct message *message)
{
    struct error err;
    struct json_document *document =
        json_document_parse(message->value, LIMIT_RESPONSE_BYTES, LIMIT_RESPONSE_DEPTH, &err);
    const struct json_value *event = json_document_root(document);
    const struct json_value *root = document ? result_of_root(event) : NULL;
    struct sim_command *command = document ? command_of_root(world, event) : NULL;
    char id[16];
    world_trace(world, "RESULT in %s: %.*s", message->topic,
                (int)(message->value.len < 400 ? message->value.len : 400), message->value.data);
    if (!command) {
        world_fail(world, "a result that answers nothing");
    } else {
        snprintf(id, sizeof id, "c%u", command->index);
        if (!text_is(root, "commandId", id))
            world_fail(world, "c%u: answered under another id", command->index);
        if (++command->results > 1)
            answered_again(world, command);
        check_place(world, command, message);
        check_mode(world, command, message, event);
        check_truth(world, worker, command, root);
        if (command->results == 1)
            answered(world, command);
    }
    if (document)
        json_document_free(document);
}

static int64_t number_of_bytes(struct slice bytes)
{
    int64_t number = 0;
    for (size_t i = 0; i < bytes.len; i++)
        number = number << 8 | (unsigned char)bytes.data[i];
    return number;
}

static void check_dead_letter(struct world *world, const struct message *message)
{
    int64_t offset = 0, partition = 0;
    struct slice topic = {0};
    for (size_t i = 0; i < message->header_count; i++) {
        const struct header *header = &message->headers[i];
        if (slice_equals(header->name, "kafka_dlt-original-offset"))
            offset = number_of_bytes(header->value);
        else if (slice_equals(header->name, "kafka_dlt-original-partition"))
            partition = number_of_bytes(header->value);
        else if (slice_equals(header->name, "kafka_dlt-original-topic"))
            topic = header->value;
    }
    char id[64];
    snprintf(id, sizeof id, "%.*s-%d-%lld", SLICE_ARG(topic), (int)partition, (long long)offset);
    struct sim_command *command = command_of_result(world, slice_of_string(id));
    world_trace(world, "DEAD LETTER %s", id);
    bool again = command && command->dead_letters++ > 0;
    if (!command || command->kind == COMMAND_VALID || (again && !world->plan.at_least_once)) {
        world_fail(world, "dead letter of %s: not one, or one too many", id);
        return;
    }
    bool left_out = !message->value.data && has_header(message, "kancel-value-sha256") &&
                    world->fired[FAULT_LIMIT] > 0;
    if (!left_out && !slice_equal(message->value, slice_of_string(command->value)))
        world_fail(world, "c%u: the dead letter differs", command->index);
    if (!again && command_is_nameless(command))
        answered(world, command); /* its id cannot be read */
}

/* ---- positions ------------------------------------------------------------------------------- */

/* The commit says exactly what is answered. */
static void check_map(struct world *world, unsigned number, const struct position *position)
{
    struct sim_partition *partition = &world->partitions[number];
    struct ledger ledger;
    enum ledger_origin origin;
    if (ledger_load(&ledger, position->offset, OFFSET_NONE, false, position->metadata, 1, &origin) <
            0 ||
        origin == LEDGER_FOREIGN)
        world_fail(world, "partition %u: a map that nobody can read", number);
    for (size_t i = partition->answered_below; i < partition->count; i++) {
        const struct sim_command *command = partition->log[i];
        struct ledger_entry entry;
        bool below = command->offset < position->offset;
        bool said = below || ledger_take(&ledger, &entry, command->offset) == LEDGER_SKIP;
        bool excused = (world->plan.at_least_once && !said) || (command->cut && !command->answered);
        if (said != command->answered && !excused) {
            world_fail(world, "partition %u: the commit says that offset %lld (c%u) is %sanswered",
                       number, (long long)command->offset, command->index, said ? "" : "not ");
            break;
        }
        ledger.last = ledger.first = NULL;
    }
    ledger_release(&ledger);
    while (partition->answered_below < partition->count &&
           (partition->log[partition->answered_below]->answered ||
            partition->log[partition->answered_below]->cut))
        partition->answered_below++;
}

static void check_position(struct world *world, const struct position *position)
{
    unsigned number = (unsigned)broker_number(&position->at);
    struct sim_partition *partition = &world->partitions[number];
    world_trace(world, "COMMIT %u: %lld %.*s", number, (long long)position->offset,
                SLICE_ARG(position->metadata));
    if (position->metadata.len > LIMIT_METADATA_BYTES)
        world_fail(world, "partition %u: %zu bytes of metadata", number, position->metadata.len);
    if (position->offset < partition->committed)
        world_fail(world, "partition %u: the frontier goes back from %lld to %lld", number,
                   (long long)partition->committed, (long long)position->offset);
    check_map(world, number, position);
    partition->committed = position->offset;
    free(partition->metadata);
    partition->metadata = slice_dup(position->metadata);
}

void check_messages(struct world *world, const struct sim_worker *worker, const struct batch *batch)
{
    for (size_t i = 0; i < batch->message_count; i++) {
        if (batch->message_errors[i] != DELIVERY_OK)
            continue;
        if (strcmp(batch->messages[i]->topic, "dead") == 0)
            check_dead_letter(world, batch->messages[i]);
        else
            check_result(world, worker, batch->messages[i]);
    }
}

void check_positions(struct world *world, const struct batch *batch)
{
    for (size_t i = 0; i < batch->position_count; i++)
        check_position(world, &batch->positions[i]);
}

void check_refused_message(struct world *world, const struct message *message)
{
    struct error err;
    struct json_document *document =
        json_document_parse(message->value, LIMIT_RESPONSE_BYTES, LIMIT_RESPONSE_DEPTH, &err);
    if (!document)
        return; /* a dead letter */
    struct sim_command *command = command_of_root(world, json_document_root(document));
    if (command)
        command->refused = true;
    json_document_free(document);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void check_paused(struct world *world, const struct sim_worker *worker)
{
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (worker->views[i].delivering && worker->views[i].paused)
            world_fail(world, "w%d still pauses partition %u", worker->index, i);
}

void check_calm(struct world *world)
{
    const char *reason;
    for (unsigned i = 0; i < WORKERS_MOST; i++) {
        const struct sim_worker *worker = &world->workers[i];
        if (!worker->engine || worker->draining)
            continue;
        const struct metrics *metrics = engine_metrics(worker->engine);
        check_paused(world, worker);
        if (metrics->commands_in_flight || metrics->bytes_in_flight)
            world_fail(world, "w%d holds %llu commands, %llu bytes though all is answered",
                       worker->index, (unsigned long long)metrics->commands_in_flight,
                       (unsigned long long)metrics->bytes_in_flight);
        if (engine_health(worker->engine, &reason) != ENGINE_READY)
            world_fail(world, "w%d is not ready: %s", worker->index, reason ? reason : "");
    }
}

void check_idle(struct sim_worker *worker)
{
    struct world *world = worker->world;
    const struct metrics *metrics = engine_metrics(worker->engine);
    uint64_t calls = 0, waiting = 0;
    for (const struct sink_job *job = worker->jobs; job; job = job->next)
        if (job->kind == SINK_COMMIT)
            return; /* it hangs: what is in it is not over */
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        calls += metrics->accounts[i].calls_in_flight;
        waiting += metrics->accounts[i].waiting;
    }
    if (metrics->commands_in_flight || metrics->bytes_in_flight || metrics->partitions_paused ||
        metrics->partitions || calls || waiting)
        world_fail(world,
                   "w%d is not empty: %llu commands, %llu bytes, %llu paused, %llu partitions, "
                   "%llu calls, %llu waiting",
                   worker->index, (unsigned long long)metrics->commands_in_flight,
                   (unsigned long long)metrics->bytes_in_flight,
                   (unsigned long long)metrics->partitions_paused,
                   (unsigned long long)metrics->partitions, (unsigned long long)calls,
                   (unsigned long long)waiting);
}

bool partition_is_said_clean(const struct sim_partition *partition)
{
    struct ledger ledger;
    enum ledger_origin origin;
    if (!partition->metadata || ledger_load(&ledger, partition->committed, OFFSET_NONE, false,
                                            slice_of_string(partition->metadata), 1, &origin) < 0)
        return false;
    ledger_release(&ledger);
    return origin == LEDGER_CLEAN;
}

void check_end(struct world *world)
{
    for (unsigned i = 0; i < world->plan.commands; i++) {
        const struct sim_command *command = &world->commands[i];
        bool invalid = command->kind != COMMAND_VALID;
        bool nameless = command_is_nameless(command);
        bool enough = command->results >= !nameless && command->dead_letters >= invalid;
        bool again = world->plan.at_least_once && (enough || command->cut) &&
                     (invalid || command->dead_letters == 0);
        if (command->cut && command->results + command->dead_letters <= 2)
            continue; /* it may have been answered all the same */
        if ((command->results != !nameless || command->dead_letters != invalid) && !again)
            world_fail(world, "c%u at %d/%lld: %u results, %u dead letters", i, command->partition,
                       (long long)command->offset, command->results, command->dead_letters);
    }
    for (unsigned i = 0; i < world->plan.partitions; i++) {
        const struct sim_partition *partition = &world->partitions[i];
        size_t count = partition->count;
        int64_t last = count ? partition->log[count - 1]->offset : -1;
        if (last < partition->start)
            continue; /* retention took all of it */
        if (partition->committed <= last)
            world_fail(world, "partition %u: committed %lld, last %lld", i,
                       (long long)partition->committed, (long long)last);
    }
    /* Suspects that a gap at the end keeps from coming are suspects for ever. */
    bool knowable = world->fired[FAULT_HANG] == 0 && !world->plan.ends_unknown &&
                    world->plan.gaps == 0 && world->fired[FAULT_RETENTION] == 0;
    for (unsigned i = 0; i < world->plan.partitions; i++)
        if (knowable && !partition_is_said_clean(&world->partitions[i]))
            world_fail(world, "partition %u: left in peace, but not said to be clean", i);
    for (unsigned i = 0; i < WORKERS_MOST; i++)
        if (world->workers[i].engine)
            world_fail(world, "w%u did not leave", i);
}
