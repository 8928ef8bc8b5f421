/* kancel watch: results as they come. */
#include <unistd.h>

#include "worker/app/interrupt.h"
#include "worker/app/result_rows.h"
#include "worker/app/subcommands.h"
#include "worker/app/target.h"
#include "worker/app/topic_reader.h"
#include "worker/io/loop.h"

#include "common/banned.h"

enum { POLL_MS = 200 };

static const struct args_option options[] = {
    OPTION_CONFIG,
    OPTION_BROKERS,
    {"results", 0, "TOPIC", false, "the topic to read (default: kafka.results)"},
    {"provider", 'p', "PROVIDER", false, "only of this provider"},
    {"account", 'a', "NAME", false, "only of this account"},
    {"operation", 0, "cancel|status", false, "only of this operation"},
    {"outcome", 'o', "succeeded|partial|refused|failed|expired|invalid", false,
     "only with this outcome"},
    {"command", 0, "ID", false, "only of this command"},
    {"from-beginning", 'b', NULL, false, "what the topic holds already, too"},
    {"count", 'n', "NUMBER", false, "leave after so many"},
    {"until-end", 0, NULL, false, "leave at the topic's end instead of waiting for more"},
    {"json", 0, NULL, false, "JSON lines on a terminal too"},
    {.name = NULL},
};

const struct args_command command_watch = {
    .name = "kancel watch",
    .usage = "[OPTIONS]",
    .summary = "Prints the results of the results topic as they come: JSON lines, or a table on a\n"
               "terminal. Reads in no consumer group: nobody's position changes. Ctrl-C ends it.",
    .options = options,
    .more = "Exit codes: 0 ended by Ctrl-C, --count or --until-end, 1 broker trouble, 2 usage.\n"
            "\n"
            "  kancel watch -o failed\n"
            "  kancel watch -b --until-end --command c-1",
};

/* An option and the member of the result that must be as it says. */
static const struct {
    const char *option, *member;
} filters[] = {
    {"provider", "provider"}, {"account", "account"},   {"operation", "operation"},
    {"outcome", "outcome"},   {"command", "commandId"},
};

static bool passes(const struct args *args, const struct json_value *result)
{
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        const char *wanted = args_value(args, filters[i].option);
        struct slice value = json_value_text(json_value_get(result, filters[i].member));
        if (wanted && !slice_equals(value, wanted))
            return false;
    }
    return true;
}

/* A filter that nothing could ever pass is a mistake of the one who typed it. */
static int check(const struct args *args, int64_t *count)
{
    const char *provider = args_value(args, "provider"), *word = args_value(args, "outcome");
    const char *operation_word = args_value(args, "operation"), *number = args_value(args, "count");
    enum outcome outcome;
    enum operation operation;
    char names[PROVIDER_NAMES_BYTES];
    *count = INT64_MAX;
    provider_names(names);
    if (args->operand_count > 0)
        fprintf(stderr, "kancel watch: unexpected '%s'\n", args->operands[0]);
    else if (provider && !provider_find(slice_of_string(provider)))
        fprintf(stderr, "kancel watch: --provider: expected one of %s\n", names);
    else if (word && !outcome_parse(slice_of_string(word), &outcome))
        fprintf(stderr, "kancel watch: --outcome: expected succeeded, partial, refused, failed, "
                        "expired or invalid\n");
    else if (operation_word && !operation_parse(slice_of_string(operation_word), &operation))
        fprintf(stderr, "kancel watch: --operation: expected cancel or status\n");
    else if (number && (!slice_to_int64(slice_of_string(number), count) || *count < 1))
        fprintf(stderr, "kancel watch: --count: expected a number from 1 on\n");
    else
        return EXIT_DONE;
    return EXIT_USAGE;
}

/* True when it was printed. What is no result is somebody else's. */
static bool print(const struct args *args, struct result_rows *rows, struct slice json)
{
    struct error err;
    struct json_document *document = json_document_parse(json, RESULT_BYTES, RESULT_DEPTH, &err);
    bool wanted = document && passes(args, json_document_root(document));
    if (wanted)
        result_rows_print(rows, json, json_document_root(document));
    json_document_free(document);
    return wanted;
}

static void follow(const struct args *args, struct topic_reader *reader, int64_t count)
{
    struct result_rows rows = {.out = stdout,
                               .lines = args_given(args, "json") || !isatty(STDOUT_FILENO)};
    bool until_end = args_given(args, "until-end");
    interrupt_count_from_now();
    while (count > 0 && interrupt_count() == 0 && !(until_end && topic_reader_at_end(reader))) {
        rd_kafka_message_t *message = topic_reader_next(reader, POLL_MS);
        if (!message)
            continue;
        if (message->payload && print(args, &rows, slice_of(message->payload, message->len)))
            count--;
        rd_kafka_message_destroy(message);
    }
}

int run_watch(int argc, char **argv)
{
    struct args args;
    struct target target;
    struct error err;
    int64_t count;
    int code = subcommand_begin(&command_watch, argc, argv, &args);
    if (code >= 0)
        return code;
    code = check(&args, &count);
    if (code == 0)
        code = target_open(&target, &args);
    if (code == 0) {
        const char *topic =
            args_given(&args, "results") ? args_value(&args, "results") : target.kafka.results;
        enum topic_from from =
            args_given(&args, "from-beginning") ? TOPIC_FROM_BEGINNING : TOPIC_FROM_END;
        struct topic_reader *reader = topic_reader_new(&target.kafka, topic, from, &err);
        if (reader) {
            follow(&args, reader, count);
        } else {
            fprintf(stderr, "kancel watch: %s\n", err.message);
            code = err.kind == ERROR_INPUT ? EXIT_USAGE : EXIT_FATAL;
        }
        topic_reader_free(reader);
        target_close(&target);
    }
    args_release(&args);
    return code;
}
