/* kancel send: commands from the command line or from standard input, and their results. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "worker/app/log.h"
#include "worker/app/send.h"
#include "worker/app/subcommands.h"
#include "worker/io/loop.h"

#include "common/banned.h"

/* How long the broker may take to accept what was sent. */
enum { DELIVERY_MS = 30 * 1000 };

enum send_exit {
    SEND_SUCCEEDED = 0,
    SEND_NOT_DONE = 1,
    SEND_USAGE = 2,
    SEND_PARTIAL = 3,
    SEND_REFUSED = 4,
    SEND_FAILED = 5,
    SEND_EXPIRED = 6,
    SEND_INVALID = 7,
};

/* Without those of the providers' tasks. */
static const struct args_option options[] = {
    OPTION_CONFIG,
    {"brokers", 0, "HOST:PORT", false, "these brokers, without a configuration file"},
    {"topic", 0, "TOPIC", false, "where commands go (default: the first of kafka.commands)"},
    {"results", 0, "TOPIC", false, "where results are waited for (default: kafka.results)"},
    {"account", 'a', "NAME", false, "the account (default: the provider's only one)"},
    {"id", 0, "ID", false, "the command's id (default: a random one)"},
    {"key", 0, "KEY", false, "the record's key (default: the task's first id)"},
    {"until", 0, "WHEN", false, "accepted (default) or settled: answer once the task has ended"},
    {"expires-in", 0, "DURATION", false, "30s, 5m: do not begin after that"},
    {"context", 0, "JSON", false, "comes back in the result"},
    {"wait", 'w', "DURATION", true, "wait for the results, 30s unless said otherwise"},
    {"json", 0, NULL, false, "JSON lines on a terminal too"},
    {.name = NULL},
};

static const struct args_command command = {
    .name = "kancel send",
    .usage = "[OPTIONS] PROVIDER cancel|status ID...\n[OPTIONS] -",
    .summary =
        "Sends a command, or with - the commands that standard input holds, one JSON object a "
        "line.\n"
        "Each is checked before it is sent; a line that is no valid command is named and left "
        "out.\n"
        "With --wait the results are printed as they come: JSON lines, or a table on a terminal.\n"
        "Several IDs make one command for scnet.",
    .options = options,
    .more =
        "Exit codes, with --wait the worst of all results: 0 succeeded (without --wait: sent),\n"
        "1 not sent, broker trouble or no result in time, 2 usage or an invalid command, 3 "
        "partial,\n"
        "4 refused, 5 failed, 6 expired, 7 invalid.\n"
        "\n"
        "  kancel send -w koodrive cancel 1289250105886769024\n"
        "  kancel send -w=1m --until settled iotda cancel 5c90fa7d --targets d-1,d-2\n"
        "  kancel send --brokers localhost:9092 -w - < commands.jsonl",
};

/* Providers that share an option share its row. */
static void add_member(struct command_room *room, const struct provider *provider,
                       const struct task_member *member)
{
    static const char *const values[] = {
        [MEMBER_ID] = "ID", [MEMBER_IDS] = "ID,ID", [MEMBER_FLAG] = NULL};
    struct args_option *row = room->options;
    while (row->name && strcmp(row->name, member->option) != 0)
        row++;
    const char *before = row->name ? row->help : "";
    const char *help =
        command_room_text(room, "%s%s%s%s: %s", before, before[0] ? "\n" : "", provider->name,
                          member->cancel_only ? " cancel" : "", member->help);
    *row = (struct args_option){member->option, 0, values[member->kind], false, help};
}

const struct args_command *send_describe(struct command_room *room)
{
    *room = (struct command_room){.command = command};
    memcpy(room->options, options, sizeof(options));
    room->command.options = room->options;
    for (const struct provider *const *provider = providers; *provider; provider++)
        for (const struct task_member *member = (*provider)->members; member->name; member++)
            if (member->option)
                add_member(room, *provider, member);
    return &room->command;
}

static const struct option wait_rows[] = {
    {.path = "wait", .type = OPTION_DURATION, .default_text = "30s"},
    {.path = NULL},
};

struct sending {
    struct config *config;          /* NULL: without a file */
    struct option_values *defaults; /* of the kafka section, without a file */
    struct kafka_settings kafka;
    const char *topic, *results, *key;
    bool wait, lines, headed;
    int64_t wait_ms;
    struct sender *sender;
    int worst;
};

/* Usage before trouble before the worse outcome. */
static void note(struct sending *sending, int code)
{
    static const int ranks[] = {0, 7, 8, 1, 2, 3, 4, 5};
    if (ranks[code] > ranks[sending->worst])
        sending->worst = code;
}

/* ---- what comes back ---- */

static void on_sent(void *context, const char *id, const char *topic, int32_t partition,
                    int64_t offset)
{
    const struct sending *sending = context;
    struct buffer line;
    if (sending->wait)
        return;
    if (!sending->lines) {
        printf("sent %s to %s-%" PRId32 " at %" PRId64 "\n", id, topic, partition, offset);
        return;
    }
    buffer_init(&line, 8192);
    buffer_append_byte(&line, '{');
    json_write_string_member(&line, "id", slice_of_string(id));
    json_write_string_member(&line, "topic", slice_of_string(topic));
    json_write_int_member(&line, "partition", partition);
    json_write_int_member(&line, "offset", offset);
    printf("%.*s}\n", SLICE_ARG(buffer_slice(&line)));
    buffer_release(&line);
}

static void on_failed(void *context, const char *id, const char *reason)
{
    fprintf(stderr, "kancel send: %s was not sent: %s\n", id, reason);
    note(context, SEND_NOT_DONE);
}

static void print_row(struct sending *sending, const struct json_value *result)
{
    static const char *const members[] = {"commandId", "provider", "operation", "outcome", "state"};
    static const int widths[] = {-36, -9, -9, -10, -11};
    const struct json_value *error = json_value_get(result, "error");
    if (!sending->headed) {
        static const char *const titles[] = {"command", "provider", "operation", "outcome",
                                             "state"};
        for (size_t i = 0; i < 5; i++)
            printf("%*s ", widths[i], titles[i]);
        puts("error");
        sending->headed = true;
    }
    for (size_t i = 0; i < 5; i++) {
        char text[64];
        struct slice value = json_value_text(json_value_get(result, members[i]));
        config_quote(value, text);
        printf("%*s ", widths[i], value.len ? text : "-");
    }
    if (error) {
        struct slice message = json_value_text(json_value_get(error, "message"));
        char kind[64], text[64];
        config_quote(json_value_text(json_value_get(error, "kind")), kind);
        config_quote(message, text);
        printf("%s%s%s", kind, message.len ? ": " : "", text);
    }
    putchar('\n');
}

static void on_result(void *context, struct slice json, const struct json_value *result)
{
    static const int codes[OUTCOME_COUNT] = {
        [OUTCOME_SUCCEEDED] = SEND_SUCCEEDED, [OUTCOME_PARTIAL] = SEND_PARTIAL,
        [OUTCOME_REFUSED] = SEND_REFUSED,     [OUTCOME_FAILED] = SEND_FAILED,
        [OUTCOME_EXPIRED] = SEND_EXPIRED,     [OUTCOME_INVALID] = SEND_INVALID,
    };
    struct sending *sending = context;
    enum outcome outcome;
    if (outcome_parse(json_value_text(json_value_get(result, "outcome")), &outcome))
        note(sending, codes[outcome]);
    else
        note(sending, SEND_NOT_DONE);
    if (sending->lines) {
        struct buffer line;
        buffer_init(&line, json.len + 1);
        json_write_compact(&line, json);
        printf("%.*s\n", SLICE_ARG(buffer_slice(&line)));
        buffer_release(&line);
    } else {
        print_row(sending, result);
    }
    fflush(stdout);
}

static void say_unanswered(void *context, const char *id)
{
    (void)context;
    fprintf(stderr, "kancel send: %s: no result in time\n", id);
}

/* ---- what goes out ---- */

/* `line` 0: the command line's own. */
static void send_one(struct sending *sending, struct slice json, size_t line)
{
    struct send_item item;
    struct error err;
    int status = send_item_read(sending->config, json, &item, &err);
    if (status == 0) {
        struct slice key = sending->key ? slice_of_string(sending->key) : item.key;
        status = sender_send(sending->sender, &item, key, &err);
        send_item_release(&item);
    }
    if (status == 0)
        return;
    if (line > 0)
        fprintf(stderr, "kancel send: line %zu: %s\n", line, err.message);
    else
        fprintf(stderr, "kancel send: %s\n", err.message);
    note(sending, err.kind == ERROR_INPUT ? SEND_USAGE : SEND_NOT_DONE);
}

static void send_lines(struct sending *sending)
{
    char *text = NULL;
    size_t room = 0;
    size_t line = 0;
    ssize_t length;
    while ((length = getline(&text, &room, stdin)) >= 0) {
        struct slice json = slice_of(text, (size_t)length);
        line++;
        while (json.len > 0 && strchr(" \t\r\n", json.data[json.len - 1]) &&
               json.data[json.len - 1])
            json.len--;
        if (json.len > 0)
            send_one(sending, json, line);
    }
    if (ferror(stdin)) {
        fprintf(stderr, "kancel send: standard input: %s\n", strerror(errno));
        note(sending, SEND_NOT_DONE);
    }
    free(text);
}

/* The command line's own command is built before any broker is asked, so that usage errors come at
 * once. */
static int prepare(struct sending *sending, const struct args *args, struct buffer *json)
{
    struct send_item item;
    struct error err;
    if (send_command_build(args, loop_wall_ms(), json, &err) != 0 ||
        send_item_read(sending->config, buffer_slice(json), &item, &err) != 0) {
        fprintf(stderr, "kancel send: %s\nTry 'kancel send --help'.\n", err.message);
        return err.kind == ERROR_INPUT ? SEND_USAGE : SEND_NOT_DONE;
    }
    send_item_release(&item);
    return 0;
}

static int transfer(struct sending *sending, const struct args *args, bool from_input)
{
    const struct send_events events = {sending, on_sent, on_failed, on_result};
    struct buffer json;
    struct error err;
    int code = 0;
    buffer_init(&json, LIMIT_COMMAND_BYTES);
    if (!from_input)
        code = prepare(sending, args, &json);
    if (code == 0) {
        sending->sender = sender_new(&sending->kafka, sending->topic, sending->results,
                                     sending->wait, &events, &err);
        if (!sending->sender) {
            fprintf(stderr, "kancel send: %s\n", err.message);
            code = err.kind == ERROR_INPUT ? SEND_USAGE : SEND_NOT_DONE;
        }
    }
    if (code == 0) {
        if (from_input)
            send_lines(sending);
        else
            send_one(sending, buffer_slice(&json), 0);
        sender_flush(sending->sender, DELIVERY_MS);
        if (sending->wait && sender_wait(sending->sender, sending->wait_ms) > 0) {
            sender_unanswered(sending->sender, say_unanswered, NULL);
            note(sending, SEND_NOT_DONE);
        }
        code = sending->worst;
    }
    sender_free(sending->sender);
    buffer_release(&json);
    return code;
}

/* ---- settings ---- */

static int read_wait(struct sending *sending, const struct args *args)
{
    struct option_values *values = option_values_new(wait_rows);
    const char *text = args_value(args, "wait");
    struct error err;
    int status = values ? 0 : error_set(&err, ERROR_MEMORY, "out of memory");
    sending->wait = args_given(args, "wait");
    if (status == 0 && text)
        status = option_values_set(values, "wait",
                                   slice_of_string(text[0] == '=' ? text + 1 : text), &err);
    if (status == 0)
        sending->wait_ms = option_values_integer(values, "wait");
    else
        fprintf(stderr, "kancel send: --wait: %s\n", err.message);
    option_values_free(values);
    return status == 0 ? 0 : SEND_USAGE;
}

static const char *first_topic(const struct kafka_settings *kafka)
{
    for (size_t i = 0; i < kafka->command_count; i++) {
        if (kafka->commands[i][0] != '^')
            return kafka->commands[i];
    }
    return NULL;
}

static const struct option *kafka_rows(void)
{
    const struct config_section *section = config_sections;
    while (strcmp(section->path, "kafka") != 0)
        section++;
    return section->rows;
}

/* From the file, or without one from the defaults of its rows. */
static int read_settings(struct sending *sending, const struct args *args)
{
    const char *brokers = args_value(args, "brokers");
    int code = 0;
    if (!brokers || args_given(args, "config")) {
        sending->config = subcommand_config(args, &code);
        if (!sending->config)
            return code;
        sending->kafka = sending->config->kafka;
        sending->topic = first_topic(&sending->kafka);
    } else {
        sending->defaults = option_values_new(kafka_rows());
        if (!sending->defaults)
            return SEND_NOT_DONE;
        sending->kafka.properties = sending->defaults;
        sending->kafka.client_id = "kancel-send";
        sending->kafka.results = option_values_string(sending->defaults, "results");
        sending->topic = option_values_item(sending->defaults, "commands", 0);
    }
    if (brokers)
        sending->kafka.bootstrap_servers = brokers;
    if (args_given(args, "topic"))
        sending->topic = args_value(args, "topic");
    sending->results =
        args_given(args, "results") ? args_value(args, "results") : sending->kafka.results;
    sending->key = args_value(args, "key");
    sending->lines = args_given(args, "json") || !isatty(STDOUT_FILENO);
    if (!sending->topic) {
        fputs("kancel send: kafka.commands has only patterns; name a topic with --topic\n", stderr);
        return SEND_USAGE;
    }
    return read_wait(sending, args);
}

/* Only warnings of the client concern a person; what stops the sending is said anyway. */
static void on_kafka_log(enum log_level level, const char *event, const char *text)
{
    (void)event;
    if (level == LOG_ERROR)
        fprintf(stderr, "kancel send: %s\n", text);
}

/* Lines of standard input say everything themselves but where they go. */
static int check_for_input(const struct args *args)
{
    static const char *const fitting[] = {"config", "brokers", "topic", "results",
                                          "key",    "wait",    "json"};
    for (const struct args_option *option = args->command->options; option->name; option++) {
        bool fits = !args_given(args, option->name);
        for (size_t i = 0; i < sizeof(fitting) / sizeof(fitting[0]); i++)
            fits = fits || strcmp(option->name, fitting[i]) == 0;
        if (fits)
            continue;
        fprintf(stderr, "kancel send: --%s means nothing with -: each line says its own\n",
                option->name);
        return SEND_USAGE;
    }
    return 0;
}

int run_send(int argc, char **argv)
{
    struct sending sending = {.wait = false};
    struct command_room room;
    struct args args;
    bool from_input;
    int code = subcommand_begin(send_describe(&room), argc, argv, &args);
    if (code >= 0)
        return code;
    kafka_set_log(on_kafka_log);
    from_input = args.operand_count == 1 && strcmp(args.operands[0], "-") == 0;
    code = from_input ? check_for_input(&args) : 0;
    if (code == 0)
        code = read_settings(&sending, &args);
    if (code == 0)
        code = transfer(&sending, &args, from_input);
    option_values_free(sending.defaults);
    config_free(sending.config);
    args_release(&args);
    return code;
}
