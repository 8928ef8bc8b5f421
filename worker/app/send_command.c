#include "common/digest.h"
#include "common/timestamp.h"
#include "common/nearest.h"
#include "worker/app/send.h"

#include "common/banned.h"

static const struct option durations[] = {
    {.path = "expires-in", .type = OPTION_DURATION, .minimum = 1},
    {.path = NULL},
};

static void string_member(struct buffer *json, const char *name, const char *text)
{
    json_write_member(json, name);
    json_write_string(json, slice_of_string(text));
}

/* ---- where values come from ---- */

/* Of the row, where one of its columns has that name and the cell is not empty. */
static const char *cell(const struct send_source *source, const char *column)
{
    for (size_t i = 0; column && source->row && i < source->header->count; i++) {
        struct slice found = csv_row_cell(source->row, i);
        if (slice_equals(csv_row_cell(source->header, i), column) && found.len > 0)
            return found.data;
    }
    return NULL;
}

static const char *value_of(const struct send_source *source, const char *option)
{
    const char *found = cell(source, option);
    return found ? found : args_value(source->args, option);
}

/* A column may be named as the option or as the member. */
static const char *member_value(const struct send_source *source, const struct task_member *member)
{
    const char *found = cell(source, member->name);
    return found ? found : value_of(source, member->option);
}

static bool member_given(const struct send_source *source, const struct task_member *member)
{
    return cell(source, member->name) || cell(source, member->option) ||
           args_given(source->args, member->option);
}

static const char *operand(const struct send_source *source, const char *column, size_t index)
{
    const char *found = cell(source, column);
    return found                                 ? found
           : index < source->args->operand_count ? source->args->operands[index]
                                                 : NULL;
}

static const char *const columns[] = {"id",    "key",        "provider",  "operation", "account",
                                      "until", "expires-in", "expiresAt", "context",   "task"};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static bool offer_columns(struct nearest *nearest, struct slice name)
{
    bool known = false;
    for (size_t i = 0; i < COLUMNS; i++) {
        known = known || slice_equals(name, columns[i]);
        nearest_offer(nearest, slice_of_string(columns[i]));
    }
    for (const struct provider *const *provider = providers; *provider; provider++) {
        for (const struct task_member *member = (*provider)->members; member->name; member++) {
            known = known || slice_equals(name, member->name) ||
                    (member->option && slice_equals(name, member->option));
            nearest_offer(nearest, slice_of_string(member->name));
        }
    }
    return known;
}

int send_check_header(const struct csv_row *header, struct error *err)
{
    for (size_t i = 0; i < header->count; i++) {
        struct slice name = csv_row_cell(header, i);
        struct nearest nearest;
        nearest_begin(&nearest, name);
        for (size_t j = 0; j < i; j++)
            if (slice_equal(name, csv_row_cell(header, j)))
                return error_set(err, ERROR_INPUT, "column %.*s: twice",
                                 SLICE_ARG(slice_cut_utf8(name, 40)));
        if (!offer_columns(&nearest, name))
            return error_set(err, ERROR_INPUT, "column %.*s: unknown%s%.*s%s",
                             SLICE_ARG(slice_cut_utf8(name, 40)),
                             nearest.name.data ? "; did you mean " : "", SLICE_ARG(nearest.name),
                             nearest.name.data ? "?" : "");
    }
    return 0;
}

/* ---- the task ---- */

static const struct task_member *member_of(const struct provider *provider, const char *option)
{
    for (const struct task_member *member = provider->members; member->name; member++)
        if (member->option && strcmp(member->option, option) == 0)
            return member;
    return NULL;
}

/* Options that other providers' tasks have mean nothing here. */
static int check_options(const struct args *args, const struct provider *provider,
                         struct error *err)
{
    for (const struct provider *const *other = providers; *other; other++) {
        for (const struct task_member *member = (*other)->members; member->name; member++) {
            if (member->option && args_given(args, member->option) &&
                !member_of(provider, member->option))
                return error_set(err, ERROR_INPUT, "--%s is for %s, not for %s", member->option,
                                 (*other)->name, provider->name);
        }
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

/* "a,b" as ["a","b"]; a cell may use blanks or semicolons as well. */
static void write_split(struct buffer *json, const char *list, const char *separators)
{
    buffer_append_byte(json, '[');
    for (const char *at = list; at; at = *at ? at + 1 : NULL) {
        size_t length = strcspn(at, separators);
        if (at != list)
            buffer_append_byte(json, ',');
        json_write_string(json, slice_of(at, length));
        at += length;
    }
    buffer_append_byte(json, ']');
}

/* One and only one of those that stand for each other. */
static int check_one_of(const struct send_source *source, const struct provider *provider,
                        struct error *err)
{
    char names[128] = "";
    size_t used = 0, all = 0, given = 0;
    for (const struct task_member *member = provider->members; member->name; member++) {
        if (!member->one_of)
            continue;
        given += member_given(source, member);
        if (used < sizeof(names))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s--%s",
                                     all++ ? " or " : "", member->option);
    }
    if (all == 0 || given == 1)
        return 0;
    return error_set(err, ERROR_INPUT, "a cancel of %s needs %s%s", provider->name, names,
                     given ? ", and not both" : "");
}

/* What the task is about, of a row. */
static int write_cell(const struct send_source *source, const struct provider *provider,
                      struct buffer *json, struct error *err)
{
    const struct task_member *member = provider_operand(provider);
    const char *found = cell(source, member->name);
    if (!found)
        found = cell(source, "task");
    if (!found)
        return error_set(err, ERROR_INPUT, "column %s (or task): expected an id", member->name);
    json_write_member(json, member->name);
    if (member->kind == MEMBER_IDS)
        write_split(json, found, ",; ");
    else
        json_write_string(json, slice_of_string(found));
    return 0;
}

static int write_operands(const struct send_source *source, const struct provider *provider,
                          struct buffer *json, struct error *err)
{
    const struct task_member *member = provider_operand(provider);
    const char *const *ids = source->args->operands + 2;
    if (source->row)
        return write_cell(source, provider, json, err);
    size_t count = source->args->operand_count - 2;
    if (member->kind != MEMBER_IDS && count != 1)
        return error_set(err, ERROR_INPUT, "expected one id for %s, not %zu", provider->name,
                         count);
    if (member->kind != MEMBER_IDS) {
        string_member(json, member->name, ids[0]);
        return 0;
    }
    json_write_member(json, member->name);
    write_id_list(json, ids, count);
    return 0;
}

static int write_option(const struct send_source *source, const struct provider *provider,
                        const struct task_member *member, bool cancels, struct buffer *json,
                        struct error *err)
{
    const char *value = member_value(source, member);
    if (!member_given(source, member))
        return member->required ? error_set(err, ERROR_INPUT, "--%s is needed for %s",
                                            member->option, provider->name)
                                : 0;
    if (member->cancel_only && !cancels)
        return error_set(err, ERROR_INPUT, "--%s is for cancel", member->option);
    if (member->kind == MEMBER_FLAG && value && strcmp(value, "true") != 0)
        return error_set(err, ERROR_INPUT, "column %s: expected true or nothing", member->name);
    json_write_member(json, member->name);
    if (member->kind == MEMBER_ID)
        json_write_string(json, slice_of_string(value));
    else if (member->kind == MEMBER_IDS)
        write_split(json, value, source->row ? ",; " : ",");
    else
        buffer_append_string(json, "true");
    return 0;
}

static int write_task(const struct send_source *source, const struct provider *provider,
                      bool cancels, struct buffer *json, struct error *err)
{
    if (check_options(source->args, provider, err) != 0 ||
        (cancels && check_one_of(source, provider, err) != 0))
        return -1;
    json_write_member(json, "task");
    buffer_append_byte(json, '{');
    for (const struct task_member *member = provider->members; member->name; member++) {
        int status = member->option ? write_option(source, provider, member, cancels, json, err)
                                    : write_operands(source, provider, json, err);
        if (status != 0)
            return -1;
    }
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

static int refuse_provider(const struct args *args, const char *word, struct error *err)
{
    const char *nearest = provider_nearest(slice_of_string(word));
    char names[PROVIDER_NAMES_BYTES];
    if (args_given(args, "wait") && word[0] >= '0' && word[0] <= '9')
        return error_set(err, ERROR_INPUT,
                         "unknown provider '%.40s'; --wait is joined to its value: --wait=%.40s",
                         word, word);
    if (nearest)
        return error_set(err, ERROR_INPUT, "unknown provider '%.40s'; did you mean %s?", word,
                         nearest);
    provider_names(names);
    return error_set(err, ERROR_INPUT, "unknown provider '%.40s'; there are %s", word, names);
}

static int check_source(const struct send_source *source, const char *provider,
                        const char *operation, struct error *err)
{
    enum operation parsed;
    if (!source->row && source->args->operand_count < 3)
        return error_set(err, ERROR_INPUT,
                         "expected PROVIDER OPERATION ID, such as koodrive cancel 1289250");
    if (!provider || !operation)
        return error_set(err, ERROR_INPUT,
                         "expected a column %s, or PROVIDER OPERATION for all rows on the command "
                         "line",
                         provider ? "operation" : "provider");
    if (!provider_find(slice_of_string(provider)))
        return refuse_provider(source->args, provider, err);
    if (!operation_parse(slice_of_string(operation), &parsed))
        return error_set(err, ERROR_INPUT, "expected cancel or status, not '%.40s'", operation);
    return 0;
}

static int write_rest(const struct send_source *source, int64_t now_ms, struct buffer *json,
                      struct error *err)
{
    const char *until = value_of(source, "until");
    const char *expires_at = cell(source, "expiresAt");
    const char *expires_in = value_of(source, "expires-in");
    const char *context = value_of(source, "context");
    if (until)
        string_member(json, "until", until);
    if (expires_at)
        string_member(json, "expiresAt", expires_at);
    else if (expires_in && write_expiry(expires_in, now_ms, json, err) != 0)
        return -1;
    return context ? write_context(context, json, err) : 0;
}

int send_command_build(const struct send_source *source, int64_t now_ms, struct buffer *json,
                       struct error *err)
{
    const char *provider = operand(source, "provider", 0);
    const char *operation = operand(source, "operation", 1);
    const char *id = value_of(source, "id");
    const char *account = value_of(source, "account");
    if (check_source(source, provider, operation, err) != 0)
        return -1;
    buffer_append_byte(json, '{');
    json_write_member(json, "id");
    if (id)
        json_write_string(json, slice_of_string(id));
    else
        write_random_id(json);
    string_member(json, "operation", operation);
    string_member(json, "provider", provider);
    if (account)
        string_member(json, "account", account);
    if (write_task(source, provider_find(slice_of_string(provider)),
                   strcmp(operation, "cancel") == 0, json, err) != 0 ||
        write_rest(source, now_ms, json, err) != 0)
        return -1;
    buffer_append_byte(json, '}');
    return buffer_failed(json)
               ? error_set(err, ERROR_INPUT, "expected a command of at most %d bytes",
                           LIMIT_COMMAND_BYTES)
               : 0;
}

const char *send_key(const struct send_source *source)
{
    return value_of(source, "key");
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

/* What the operands of the command line are: the task's id, or the first of a list. */
static struct slice first_id(const struct command *command)
{
    const struct task_member *member = provider_operand(provider_find(command->provider));
    const struct json_value *value = json_value_get(command->task_json, member->name);
    return json_value_text(member->kind == MEMBER_IDS ? json_value_at(value, 0) : value);
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
        item->key = copy(first_id(&command));
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
