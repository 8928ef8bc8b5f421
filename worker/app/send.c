/* kancel send: commands from the command line, a file or standard input, and their results. */
#include <inttypes.h>
#include <unistd.h>

#include "worker/app/interrupt.h"
#include "worker/app/result_rows.h"
#include "worker/app/send.h"
#include "worker/app/subcommands.h"
#include "worker/app/target.h"
#include "worker/io/loop.h"

#include "common/banned.h"

enum {
    /* How long the broker may take to accept what was sent. */
    DELIVERY_MS = 30 * 1000,
    POLL_MS = 100,
    /* Rows of the table at the end: all of a few commands, what did not succeed of many. */
    ROWS_OF_FEW = 20,
    ROWS_MOST = 100,
};

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
    OPTION_BROKERS,
    {"topic", 0, "TOPIC", false, "where commands go (default: the first of kafka.commands)"},
    {"results", 0, "TOPIC", false, "where results are waited for (default: kafka.results)"},
    {"file", 'f', "FILE", false,
     "commands of a file ('-': standard input), one JSON object a line, or a table (CSV)"},
    {"format", 0, "csv|jsonl", false, "what the file is (default: by its name, else jsonl)"},
    {"account", 'a', "NAME", false, "the account (default: the provider's only one)"},
    {"id", 0, "ID", false, "the command's id (default: a random one)"},
    {"key", 0, "KEY", false, "the record's key (default: the task's first id)"},
    {"until", 0, "accepted|settled", false,
     "accepted (default), or settled: answer once the task has ended"},
    {"expires-in", 0, "DURATION", false, "30s, 5m: do not begin after that"},
    {"context", 0, "JSON", false, "comes back in the result"},
    {"wait", 'w', "DURATION", true, "wait for the results, 30s unless said otherwise"},
    {"json", 0, NULL, false, "for programs: JSON lines on a terminal too, and no progress"},
    {.name = NULL},
};

static const struct args_command command = {
    .name = "kancel send",
    .usage = "[OPTIONS] PROVIDER cancel|status ID...\n"
             "[OPTIONS] --file FILE [PROVIDER [cancel|status]]\n"
             "[OPTIONS] -",
    .operands = "PROVIDER cancel|status",
    .summary =
        "Sends a command; or with --file many: one JSON object a line, or the rows of a table "
        "(CSV)\n"
        "whose columns are named as in a command (id, key, provider, operation, account, until,\n"
        "expiresAt, context, and the task's members such as taskId), several ids in a cell "
        "separated\n"
        "by blanks; what has no column comes from the command line. '-' alone: JSON lines of "
        "standard\n"
        "input. Each command is checked before it is sent; one that is none is named and left "
        "out.\n"
        "With --wait the results are printed: JSON lines as they come, or a table on a terminal, "
        "with\n"
        "a bar of many. Ctrl-C asks once, the second leaves and names what is still open: "
        "commands\n"
        "that were sent go on without us. Several IDs make one command for scnet.",
    .options = options,
    .more =
        "Exit codes, with --wait the worst of all results: 0 succeeded (without --wait: sent),\n"
        "1 not sent, broker trouble or no result in time, 2 usage or an invalid command, 3 "
        "partial,\n"
        "4 refused, 5 failed, 6 expired, 7 invalid.\n"
        "\n"
        "  kancel send -w koodrive cancel 1289250105886769024\n"
        "  kancel send -w=1m --until settled iotda cancel 5c90fa7d --targets d-1,d-2\n"
        "  kancel send -w=10m -f tasks.csv scnet cancel\n"
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
    struct target target;
    const char *topic, *results, *key;
    bool wait, many;
    bool asked; /* after the first Ctrl-C */
    int64_t wait_ms;
    struct sender *sender;
    struct result_rows rows;
    struct send_progress progress;
    struct slice kept[ROWS_MOST]; /* results for the table at the end */
    size_t kept_count, left_out;
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
    struct sending *sending = context;
    struct buffer line;
    sending->progress.sent++;
    if (sending->wait)
        return;
    if (!sending->rows.lines) {
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
    struct sending *sending = context;
    send_progress_clear(&sending->progress);
    fprintf(stderr, "kancel send: %s was not sent: %s\n", id, reason);
    note(sending, SEND_NOT_DONE);
}

/* For the table at the end; what succeeded is only counted when there are many. */
static void keep_row(struct sending *sending, struct slice json, bool succeeded)
{
    if (succeeded && sending->progress.answered > ROWS_OF_FEW)
        return;
    char *copy = sending->kept_count < ROWS_MOST ? slice_dup(json) : NULL;
    if (copy)
        sending->kept[sending->kept_count++] = slice_of(copy, json.len);
    else
        sending->left_out++;
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
    bool known = outcome_parse(json_value_text(json_value_get(result, "outcome")), &outcome);
    note(sending, known ? codes[outcome] : SEND_NOT_DONE);
    sending->progress.answered++;
    if (known)
        sending->progress.outcomes[outcome]++;
    if (sending->many && !sending->rows.lines)
        keep_row(sending, json, known && outcome == OUTCOME_SUCCEEDED);
    else
        result_rows_print(&sending->rows, json, result);
}

/* The table of many, on a terminal: all of a few, else what did not succeed. */
static void print_table(struct sending *sending)
{
    bool few = sending->progress.answered <= ROWS_OF_FEW;
    struct buffer text;
    for (size_t i = 0; i < sending->kept_count; i++) {
        struct error err;
        struct json_document *document =
            json_document_parse(sending->kept[i], RESULT_BYTES, RESULT_DEPTH, &err);
        struct slice outcome =
            json_value_text(json_value_get(json_document_root(document), "outcome"));
        if (few || !slice_equals(outcome, "succeeded"))
            result_rows_print(&sending->rows, sending->kept[i], json_document_root(document));
        json_document_free(document);
        free((void *)(uintptr_t)sending->kept[i].data);
    }
    if (sending->left_out > 0)
        printf("and %zu more that did not succeed\n", sending->left_out);
    buffer_init(&text, 512);
    send_progress_text(&sending->progress, &text);
    printf("%zu sent: %.*s\n", sending->progress.sent, SLICE_ARG(buffer_slice(&text)));
    buffer_release(&text);
}

struct open_list {
    size_t said;
    const char *why;
};

static void say_open(void *context, const char *id)
{
    struct open_list *list = context;
    if (list->said++ < ROWS_MOST)
        fprintf(stderr, "kancel send: %s: %s\n", id, list->why);
}

static void report_open(struct sending *sending, const char *why)
{
    struct open_list list = {.why = why};
    sender_unanswered(sending->sender, say_open, &list);
    if (list.said > ROWS_MOST)
        fprintf(stderr, "kancel send: and %zu more\n", list.said - ROWS_MOST);
    if (list.said > 0)
        note(sending, SEND_NOT_DONE);
}

/* Asks once where somebody sits there. */
static bool is_left(struct sending *sending)
{
    unsigned times = interrupt_count();
    if (times == 0)
        return false;
    if (times > 1 || !isatty(STDIN_FILENO))
        return true;
    if (!sending->asked) {
        send_progress_clear(&sending->progress);
        fprintf(
            stderr,
            "Still open: %zu. Ctrl-C again leaves, and they go on without us; else this goes on "
            "waiting.\n",
            sender_open(sending->sender));
        sending->asked = true;
    }
    return false;
}

/* ---- what goes out ---- */

static void say_mistake(struct sending *sending, size_t line, const struct error *err)
{
    send_progress_clear(&sending->progress);
    if (line > 0)
        fprintf(stderr, "kancel send: line %zu: %s\n", line, err->message);
    else
        fprintf(stderr, "kancel send: %s\n", err->message);
    note(sending, err->kind == ERROR_INPUT ? SEND_USAGE : SEND_NOT_DONE);
}

/* `line` 0: the command line's own. */
static void send_one(struct sending *sending, struct slice json, const char *key, size_t line)
{
    struct send_item item;
    struct error err;
    int status = send_item_read(sending->target.config, json, &item, &err);
    if (status == 0) {
        status = sender_send(sending->sender, &item, key ? slice_of_string(key) : item.key, &err);
        send_item_release(&item);
    }
    if (status != 0)
        say_mistake(sending, line, &err);
}

static void send_all(struct sending *sending, struct send_input *input)
{
    struct buffer json;
    struct error err;
    const char *key;
    int next;
    buffer_init(&json, LIMIT_COMMAND_BYTES);
    while (!is_left(sending) &&
           (next = send_input_next(input, loop_wall_ms(), &json, &key, &err)) != 0) {
        if (next > 0)
            send_one(sending, buffer_slice(&json), key ? key : sending->key, input->line);
        else
            say_mistake(sending, input->line, &err);
        if (next < 0 && err.kind != ERROR_INPUT)
            break;
        sender_poll(sending->sender, 0);
        send_progress_show(&sending->progress, loop_mono_ms(), false);
    }
    buffer_release(&json);
}

static void wait_for_results(struct sending *sending)
{
    int64_t until_ms = loop_mono_ms() + sending->wait_ms;
    bool left = false;
    while (sender_open(sending->sender) > 0 && loop_mono_ms() < until_ms && !left) {
        sender_poll(sending->sender, POLL_MS);
        send_progress_show(&sending->progress, loop_mono_ms(), false);
        left = is_left(sending);
    }
    send_progress_clear(&sending->progress);
    if (sending->many && !sending->rows.lines)
        print_table(sending);
    report_open(sending, left ? "still open" : "no result in time");
}

/* The command line's own command is built before any broker is asked, so that usage errors come at
 * once. */
static int prepare(struct sending *sending, const struct args *args, struct buffer *json)
{
    struct send_source source = {args, NULL, NULL};
    struct send_item item;
    struct error err;
    if (send_command_build(&source, loop_wall_ms(), json, &err) != 0 ||
        send_item_read(sending->target.config, buffer_slice(json), &item, &err) != 0) {
        fprintf(stderr, "kancel send: %s\nTry 'kancel send --help'.\n", err.message);
        return err.kind == ERROR_INPUT ? SEND_USAGE : SEND_NOT_DONE;
    }
    send_item_release(&item);
    return 0;
}

static int connect_sender(struct sending *sending)
{
    const struct send_events events = {sending, on_sent, on_failed, on_result};
    struct error err;
    sending->sender = sender_new(&sending->target.kafka, sending->topic, sending->results,
                                 sending->wait, &events, &err);
    if (sending->sender)
        return 0;
    fprintf(stderr, "kancel send: %s\n", err.message);
    return err.kind == ERROR_INPUT ? SEND_USAGE : SEND_NOT_DONE;
}

static void deliver(struct sending *sending)
{
    sender_flush(sending->sender, DELIVERY_MS);
    if (sending->wait)
        wait_for_results(sending);
}

static int transfer_one(struct sending *sending, const struct args *args)
{
    struct buffer json;
    buffer_init(&json, LIMIT_COMMAND_BYTES);
    int code = prepare(sending, args, &json);
    if (code == 0)
        code = connect_sender(sending);
    if (code == 0) {
        send_one(sending, buffer_slice(&json), sending->key, 0);
        deliver(sending);
        code = sending->worst;
    }
    buffer_release(&json);
    return code;
}

static int transfer_many(struct sending *sending, const struct args *args)
{
    struct send_input input;
    struct error err;
    int code = 0;
    if (send_input_open(&input, args, &err) != 0) {
        fprintf(stderr, "kancel send: %s\n", err.message);
        code = err.kind == ERROR_INPUT ? SEND_USAGE : SEND_NOT_DONE;
    }
    if (code == 0)
        code = connect_sender(sending);
    if (code == 0) {
        send_all(sending, &input);
        deliver(sending);
        code = sending->worst;
    }
    send_input_close(&input);
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

static int read_settings(struct sending *sending, const struct args *args)
{
    int code = target_open(&sending->target, args);
    if (code != 0)
        return code;
    sending->topic = sending->target.config
                         ? first_topic(&sending->target.kafka)
                         : option_values_item(sending->target.defaults, "commands", 0);
    if (args_given(args, "topic"))
        sending->topic = args_value(args, "topic");
    sending->results =
        args_given(args, "results") ? args_value(args, "results") : sending->target.kafka.results;
    sending->key = args_value(args, "key");
    sending->rows.out = stdout;
    sending->rows.lines = args_given(args, "json") || !isatty(STDOUT_FILENO);
    if (!sending->topic) {
        fputs("kancel send: kafka.commands has only patterns; name a topic with --topic\n", stderr);
        return SEND_USAGE;
    }
    code = read_wait(sending, args);
    send_progress_init(&sending->progress, stderr,
                       !sending->wait || !sending->many || args_given(args, "json"),
                       loop_mono_ms());
    return code;
}

/* JSON lines say everything themselves but where they go; a table leaves out what the command line
 * says, but an id is of one command. */
static int check_for_input(const struct args *args)
{
    static const char *const fitting[] = {"config", "brokers", "topic", "results", "key",
                                          "wait",   "json",    "file",  "format"};
    const char *path = args_value(args, "file"), *format = args_value(args, "format");
    bool table = format ? strcmp(format, "csv") == 0
                        : path && slice_ends_with(slice_of_string(path), ".csv");
    for (const struct args_option *option = args->command->options; option->name; option++) {
        bool fits = !args_given(args, option->name) || (table && strcmp(option->name, "id") != 0);
        for (size_t i = 0; i < sizeof(fitting) / sizeof(fitting[0]); i++)
            fits = fits || strcmp(option->name, fitting[i]) == 0;
        if (fits)
            continue;
        fprintf(stderr, "kancel send: --%s means nothing here: each %s says its own\n",
                option->name, table ? "row" : "line");
        return SEND_USAGE;
    }
    if (!path || args->operand_count <= (table ? 2U : 0U))
        return 0;
    fprintf(stderr, "kancel send: unexpected '%s' beside --file\n", args->operands[table ? 2 : 0]);
    return SEND_USAGE;
}

int run_send(int argc, char **argv)
{
    struct sending sending = {.wait = false};
    struct command_room room;
    struct args args;
    int code = subcommand_begin(send_describe(&room), argc, argv, &args);
    if (code >= 0)
        return code;
    sending.many = args_given(&args, "file") ||
                   (args.operand_count == 1 && strcmp(args.operands[0], "-") == 0);
    code = sending.many ? check_for_input(&args) : 0;
    if (code == 0)
        code = read_settings(&sending, &args);
    if (code == 0 && sending.wait)
        interrupt_count_from_now();
    if (code == 0)
        code = (sending.many ? transfer_many : transfer_one)(&sending, &args);
    sender_free(sending.sender);
    target_close(&sending.target);
    args_release(&args);
    return code;
}
