/* What requesters send. Every command names tasks of its own, numbered so that a call tells whose
 * it is. */
#include "tests/simulation/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/timestamp.h"

#include "common/banned.h"

int64_t command_number(const struct sim_command *command, size_t index)
{
    return (int64_t)command->index * IDS_A_COMMAND + (int64_t)index + 1;
}

bool commands_find(struct world *world, int64_t number, struct sim_command **command, size_t *index)
{
    int64_t at = (number - 1) / IDS_A_COMMAND;
    if (number < 1 || at >= world->plan.commands)
        return false;
    *command = &world->commands[at];
    *index = (size_t)((number - 1) % IDS_A_COMMAND);
    return *index < (*command)->item_count;
}

const char *command_reply_topic(enum reply reply)
{
    static const char *const topics[] = {[REPLY_TOPIC] = "reply.there",
                                         [REPLY_MISSING] = "reply.missing",
                                         [REPLY_FORBIDDEN] = "secret",
                                         [REPLY_VANISHING] = "reply.vanishing"};
    return topics[reply];
}

static void write_task(const struct sim_command *command, struct buffer *out)
{
    long long first = command_number(command, 0);
    const char *list = NULL, *prefix = NULL;
    switch (command->account) {
    case ENOS:
        buffer_append_format(out, "{\"channelId\":\"c1\",\"taskId\":\"e%lld\"}", first);
        return;
    case KOODRIVE:
        buffer_append_format(out, "{\"jobId\":\"%lld\"}", first);
        return;
    case IOTDA:
        buffer_append_format(out, "{\"taskId\":\"%llx\"", (unsigned long long)first);
        if (!command->is_list) {
            buffer_append_string(out, command->all ? ",\"all\":true}" : "}");
            return;
        }
        list = ",\"targets\":[";
        prefix = "d";
        break;
    default:
        list = "{\"taskIds\":[";
        prefix = "t";
    }
    buffer_append_string(out, list);
    for (size_t i = 0; i < command->item_count; i++)
        buffer_append_format(out, "%s\"%s%lld\"", i ? "," : "", prefix,
                             (long long)command_number(command, i));
    buffer_append_string(out, "]}");
}

bool command_is_nameless(const struct sim_command *command)
{
    return command->kind == COMMAND_BAD_JSON || command->kind == COMMAND_TOMBSTONE;
}

static void add_header(struct sim_command *command, const char *name, const char *value)
{
    command->headers[command->header_count++] =
        (struct header){slice_of_string(name), slice_of_string(value)};
}

static void write_envelope(struct sim_command *command, struct buffer *out)
{
    if (command->mode == MODE_STRUCTURED) {
        add_header(command, "content-type", "application/cloudevents+json; charset=utf-8");
        buffer_append_format(out,
                             "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/r\","
                             "\"type\":\"task.command\",",
                             command->event_id);
        if (command->expiry[0])
            buffer_append_format(out, "\"expirytime\":\"%s\",", command->expiry);
        buffer_append_string(out, "\"data\":");
    } else if (command->mode == MODE_BINARY) {
        add_header(command, "ce_specversion", "1.0");
        add_header(command, "ce_id", command->event_id);
        add_header(command, "ce_source", "/r");
        add_header(command, "ce_type", "task.command");
        if (command->expiry[0])
            add_header(command, "ce_expirytime", command->expiry);
    }
}

static void write_value(struct sim_command *command)
{
    struct buffer out;
    static const char *const names[] = {"enos", "scnet", "iotda", "koodrive"};
    buffer_init(&out, LIMIT_COMMAND_BYTES);
    write_envelope(command, &out);
    buffer_append_format(&out, "{\"id\":\"c%u\",\"operation\":\"%s\",\"provider\":\"%s\"",
                         command->index, operation_name(command->operation),
                         names[command->account]);
    if (command->kind == COMMAND_BAD_ACCOUNT)
        buffer_append_string(&out, ",\"account\":\"nobody\"");
    if (command->settled)
        buffer_append_string(&out, ",\"until\":\"settled\"");
    if (command->expires_ms != COMMAND_NEVER && !command->expiry[0]) {
        char text[TIMESTAMP_SIZE];
        timestamp_format(command->expires_ms, text);
        buffer_append_format(&out, ",\"expiresAt\":\"%s\"", text);
    }
    buffer_append_string(&out, ",\"task\":");
    if (command->kind == COMMAND_BAD_TASK)
        buffer_append_string(&out, "{\"task\":1}");
    else
        write_task(command, &out);
    if (command->context > 0) {
        buffer_append_string(&out, ",\"context\":\"");
        for (unsigned i = 0; i < command->context; i++)
            buffer_append_byte(&out, 'x');
        buffer_append_byte(&out, '"');
    }
    buffer_append_string(&out, command->kind == COMMAND_BAD_JSON ? "" : "}");
    if (command->mode == MODE_STRUCTURED)
        buffer_append_byte(&out, '}');
    command->value = buffer_take(&out, &(size_t){0});
}

static void choose_task(struct world *world, struct sim_command *command)
{
    do {
        command->account = (enum which_account)rng_below(&world->rng, ACCOUNT_COUNT);
    } while (!(world->plan.providers & 1u << command->account));
    command->item_count = 1;
    bool cancel = command->operation == OPERATION_CANCEL;
    command->all = command->account == IOTDA && cancel && world_percent(world, 40);
    command->is_list =
        command->account == SCNET || (command->account == IOTDA && cancel && !command->all);
    if (command->is_list)
        command->item_count = (size_t)world_between(world, 1, world_percent(world, 50) ? 2 : 12);
    for (size_t i = 0; i < command->item_count; i++) {
        task_begin(world, &command->items[i].task, command->account);
        command->items[i].applied_at = command->items[i].not_sent_at = -1;
    }
}

static void choose_mode(struct world *world, struct sim_command *command)
{
    if (command_is_nameless(command) || !world_percent(world, world->plan.events))
        return;
    command->mode = world_percent(world, 50) ? MODE_STRUCTURED : MODE_BINARY;
    world->fired[FAULT_EVENT]++;
    snprintf(command->event_id, sizeof command->event_id, "e%u", command->index);
    if (command->expires_ms != COMMAND_NEVER && world_percent(world, 50))
        timestamp_format(command->expires_ms, command->expiry);
}

static void choose(struct world *world, struct sim_command *command, unsigned index)
{
    const struct plan *plan = &world->plan;
    *command = (struct sim_command){
        .index = index, .key = -1, .offset = -1, .taken_at = -1, .expires_ms = COMMAND_NEVER};
    if (!world_percent(world, plan->null_keys))
        command->key = (int)rng_below(&world->rng, plan->keys);
    snprintf(command->key_text, sizeof command->key_text, "k%d", command->key);
    command->partition = command->key >= 0 ? command->key % (int)plan->partitions
                                           : (int)rng_below(&world->rng, plan->partitions);
    if (world_percent(world, plan->invalid))
        command->kind = (enum command_kind)world_between(world, 1, COMMAND_TOMBSTONE);
    command->operation = world_percent(world, plan->cancels) ? OPERATION_CANCEL : OPERATION_STATUS;
    command->settled = world_percent(world, plan->settled);
    command->produced_at = world_between(world, 100, plan->production_ms);
    if (world_percent(world, plan->expiring))
        command->expires_ms =
            WALL_BASE_MS + command->produced_at + world_between(world, -100, 20000);
    if (world_percent(world, plan->replies))
        command->reply = (enum reply)world_between(world, 1, REPLY_VANISHING);
    if (world_percent(world, plan->contexts))
        command->context = (unsigned)world_between(world, 1, 3500);
    choose_task(world, command);
    choose_mode(world, command);
    if (command->kind != COMMAND_TOMBSTONE)
        write_value(command);
    if (command->reply != REPLY_RESULTS)
        add_header(command, "kafka_replyTopic", command_reply_topic(command->reply));
}

void commands_make(struct world *world)
{
    world->commands = calloc(world->plan.commands, sizeof *world->commands);
    for (unsigned i = 0; i < world->plan.commands; i++)
        choose(world, &world->commands[i], i);
}

void commands_free(struct world *world)
{
    for (unsigned i = 0; world->commands && i < world->plan.commands; i++)
        free(world->commands[i].value);
    free(world->commands);
}
