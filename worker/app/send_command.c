#include "common/digest.h"
#include "common/timestamp.h"
#include "worker/app/send.h"
#include "common/nearest.h"

#include "common/banned.h"

enum { TASK_IDS_MOST_BYTES = LIMIT_COMMAND_BYTES };

static const struct option durations[] = {
    {.path = "expires-in", .type = OPTION_DURATION, .minimum = 1},
    {.path = NULL},
};

/* Options that only one provider's task has. */
static const struct {
    const char *option, *provider, *member;
} task_options[] = {
    {"channel", "enos", "channelId"},
    {"org", "enos", "orgId"},
    {"project", "iotda", "projectId"},
    {"instance", "iotda", "instanceId"},
    {"user", "koodrive", "userId"},
    {"targets", "iotda", NULL},
    {"all", "iotda", NULL},
};
enum { TASK_OPTIONS = sizeof(task_options) / sizeof(task_options[0]) };

static void string_member(struct buffer *json, const char *name, const char *text)
{
    json_write_member(json, name);
    json_write_string(json, slice_of_string(text));
}

/* ---- the task ---- */

static int check_options(const struct args *args, const char *provider, struct error *err)
{
    for (size_t i = 0; i < TASK_OPTIONS; i++) {
        if (args_given(args, task_options[i].option) &&
            strcmp(task_options[i].provider, provider) != 0)
            return error_set(err, ERROR_INPUT, "--%s is for %s, not for %s", task_options[i].option,
                             task_options[i].provider, provider);
    }
    return 0;
}

static void write_id_list(struct buffer *json, const char *const *ids, size_t count)
{
    buffer_append_byte(json, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_byte(json, ',');
        json_write_string(json, slice_of_string(ids[i]));
    }
    buffer_append_byte(json, ']');
}

/* "a,b" as ["a","b"] */
static void write_split(struct buffer *json, const char *list)
{
    buffer_append_byte(json, '[');
    for (const char *at = list; at; at = *at ? at + 1 : NULL) {
        size_t length = strcspn(at, ",");
        if (at != list)
            buffer_append_byte(json, ',');
        json_write_string(json, slice_of(at, length));
        at += length;
    }
    buffer_append_byte(json, ']');
}

static int write_iotda(const struct args *args, const char *operation, struct buffer *json,
                       struct error *err)
{
    bool cancels = strcmp(operation, "cancel") == 0;
    bool targets = args_given(args, "targets");
    bool all = args_given(args, "all");
    if (cancels && targets == all)
        return error_set(err, ERROR_INPUT,
                         "an iotda cancel needs --targets ID,ID or --all, and not both");
    if (!cancels && (targets || all))
        return error_set(err, ERROR_INPUT, "--%s is for cancel", targets ? "targets" : "all");
    if (targets) {
        json_write_member(json, "targets");
        write_split(json, args_value(args, "targets"));
    } else if (all) {
        json_write_member(json, "all");
        buffer_append_string(json, "true");
    }
    return 0;
}

static int write_task(const struct args *args, struct buffer *json, struct error *err)
{
    const char *provider = args->operands[0];
    const char *const *ids = args->operands + 2;
    size_t count = args->operand_count - 2;
    bool many = strcmp(provider, "scnet") == 0;
    if (check_options(args, provider, err) != 0)
        return -1;
    if (!many && count != 1)
        return error_set(err, ERROR_INPUT, "expected one id for %s, not %zu", provider, count);
    json_write_member(json, "task");
    buffer_append_byte(json, '{');
    if (many) {
        json_write_member(json, "taskIds");
        write_id_list(json, ids, count);
    } else {
        string_member(json, strcmp(provider, "koodrive") == 0 ? "jobId" : "taskId", ids[0]);
    }
    for (size_t i = 0; i < TASK_OPTIONS; i++) {
        const char *value = args_value(args, task_options[i].option);
        if (task_options[i].member && value)
            string_member(json, task_options[i].member, value);
    }
    if (strcmp(provider, "iotda") == 0 && write_iotda(args, args->operands[1], json, err) != 0)
        return -1;
    buffer_append_byte(json, '}');
    return 0;
}

/* ---- the command ---- */

/* In the form of a random UUID. */
static void write_random_id(struct buffer *json)
{
    uint8_t bytes[16];
    char hex[33];
    digest_random(bytes, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    hex_encode(bytes, sizeof(bytes), hex);
    buffer_append_format(json, "\"%.8s-%.4s-%.4s-%.4s-%.12s\"", hex, hex + 8, hex + 12, hex + 16,
                         hex + 20);
}

static int write_expiry(const char *text, int64_t now_ms, struct buffer *json, struct error *err)
{
    struct option_values *values = option_values_new(durations);
    char when[TIMESTAMP_SIZE];
    int status;
    if (!values)
        return error_set(err, ERROR_MEMORY, "out of memory");
    status = option_values_set(values, "expires-in", slice_of_string(text), err);
    if (status == 0) {
        int64_t in_ms = option_values_integer(values, "expires-in");
        timestamp_format(in_ms > TIMESTAMP_LAST_MS - now_ms ? TIMESTAMP_LAST_MS : now_ms + in_ms,
                         when);
        string_member(json, "expiresAt", when);
    } else {
        error_prefix(err, "--expires-in");
    }
    option_values_free(values);
    return status;
}

static int write_context(const char *text, struct buffer *json, struct error *err)
{
    struct json_document *document =
        json_document_parse(slice_of_string(text), LIMIT_COMMAND_BYTES, LIMIT_COMMAND_DEPTH, err);
    if (!document)
        return error_prefix(err, "--context: expected JSON");
    json_write_member(json, "context");
    json_write_compact(json, slice_of_string(text));
    json_document_free(document);
    return 0;
}

static int check_operands(const struct args *args, struct error *err)
{
    const char *names[32] = {NULL};
    const char *nearest;
    enum operation operation;
    if (args->operand_count < 3)
        return error_set(err, ERROR_INPUT,
                         "expected PROVIDER OPERATION ID, such as koodrive cancel 1289250");
    for (size_t i = 0; providers[i] && i < 31; i++)
        names[i] = providers[i]->name;
    if (!provider_find(slice_of_string(args->operands[0]))) {
        nearest = nearest_of(slice_of_string(args->operands[0]), names);
        if (args_given(args, "wait") && args->operands[0][0] >= '0' && args->operands[0][0] <= '9')
            return error_set(err, ERROR_INPUT,
                             "unknown provider '%.40s'; --wait is joined to its "
                             "value: --wait=%.40s",
                             args->operands[0], args->operands[0]);
        return error_set(err, ERROR_INPUT, "unknown provider '%.40s'%s%s%s", args->operands[0],
                         nearest ? "; did you mean " : "", nearest ? nearest : "",
                         nearest ? "?" : "");
    }
    if (!operation_parse(slice_of_string(args->operands[1]), &operation))
        return error_set(err, ERROR_INPUT, "expected cancel or status, not '%.40s'",
                         args->operands[1]);
    return 0;
}

int send_command_build(const struct args *args, int64_t now_ms, struct buffer *json,
                       struct error *err)
{
    const char *id = args_value(args, "id");
    const char *account = args_value(args, "account");
    const char *until = args_value(args, "until");
    const char *expires = args_value(args, "expires-in");
    const char *context = args_value(args, "context");
    if (check_operands(args, err) != 0)
        return -1;
    buffer_append_byte(json, '{');
    json_write_member(json, "id");
    if (id)
        json_write_string(json, slice_of_string(id));
    else
        write_random_id(json);
    string_member(json, "operation", args->operands[1]);
    string_member(json, "provider", args->operands[0]);
    if (account)
        string_member(json, "account", account);
    if (write_task(args, json, err) != 0)
        return -1;
    if (until)
        string_member(json, "until", until);
    if (expires && write_expiry(expires, now_ms, json, err) != 0)
        return -1;
    if (context && write_context(context, json, err) != 0)
        return -1;
    buffer_append_byte(json, '}');
    return buffer_failed(json)
               ? error_set(err, ERROR_INPUT, "expected a command of at most %d bytes",
                           LIMIT_COMMAND_BYTES)
               : 0;
}

/* ---- items ---- */

static const struct account_settings *find_account(const struct config *config,
                                                   const struct command *command, struct error *err)
{
    const struct account_settings *found = NULL;
    for (size_t i = 0; i < config->engine.account_count; i++) {
        const struct account_settings *account = &config->accounts[i];
        bool fits = slice_equals(command->provider, account->provider->name);
        if (command->account.data ? slice_equals(command->account, account->name) : fits) {
            if (found) {
                error_set(err, ERROR_INPUT, "account: %.*s has several accounts, name one",
                          SLICE_ARG(command->provider));
                return NULL;
            }
            if (!fits) {
                error_set(err, ERROR_INPUT, "account: %s is one of %s", account->name,
                          account->provider->name);
                return NULL;
            }
            found = account;
        }
    }
    if (!found)
        error_set(err, ERROR_INPUT, "account: the configuration has none%s%.*s for %.*s",
                  command->account.data ? " of name " : "", SLICE_ARG(command->account),
                  SLICE_ARG(command->provider));
    return found;
}

static int check_task(const struct config *config, const struct command *command, struct error *err)
{
    const struct account_settings *account = find_account(config, command, err);
    struct task *task;
    if (!account)
        return -1;
    task = account->provider->task(account->opened, command->operation, command->task_json, err);
    if (!task)
        return -1;
    account->provider->task_free(task);
    return 0;
}

static struct slice first_id(const struct json_value *task)
{
    static const char *const names[] = {"taskId", "jobId"};
    for (size_t i = 0; i < 2; i++) {
        const struct json_value *value = json_value_get(task, names[i]);
        if (json_value_text(value).len > 0)
            return json_value_text(value);
    }
    return json_value_text(json_value_at(json_value_get(task, "taskIds"), 0));
}

static struct slice copy(struct slice text)
{
    return slice_of(text.data ? slice_dup(text) : NULL, text.len);
}

int send_item_read(const struct config *config, struct slice json, struct send_item *item,
                   struct error *err)
{
    struct record record = {.topic = "", .timestamp_ms = -1, .value = json};
    struct command command;
    int status = command_decode(&record, &envelope_headers_default, &command, err);
    *item = (struct send_item){.json = {NULL, 0}};
    if (status == 0 && !provider_find(command.provider))
        status = error_set(err, ERROR_INPUT, "provider: expected a known one, not '%.*s'",
                           SLICE_ARG(slice_cut_utf8(command.provider, 40)));
    if (status == 0 && config)
        status = check_task(config, &command, err);
    if (status == 0) {
        item->json = copy(json);
        item->id = copy(command.id);
        item->key = copy(first_id(command.task_json));
        if (!item->json.data || !item->id.data || (item->key.len > 0 && !item->key.data))
            status = error_set(err, ERROR_MEMORY, "out of memory");
    }
    command_release(&command);
    if (status != 0)
        send_item_release(item);
    return status;
}

void send_item_release(struct send_item *item)
{
    free((void *)(uintptr_t)item->json.data);
    free((void *)(uintptr_t)item->id.data);
    free((void *)(uintptr_t)item->key.data);
    *item = (struct send_item){.json = {NULL, 0}};
}
