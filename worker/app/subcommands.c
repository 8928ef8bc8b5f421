#include "worker/app/subcommands.h"
#include "common/version.h"

#include <assert.h>
#include <stdarg.h>

#include "common/banned.h"

const struct subcommand subcommands[] = {
    {"worker", "take commands from Kafka, do them, publish the results", run_worker,
     &command_worker, NULL},
    {"check", "look at a configuration: every mistake, or what it would do", run_check,
     &command_check, NULL},
    {"send", "send commands, and wait for their results", run_send, NULL, send_describe},
    {"watch", "print results as they come", run_watch, &command_watch, NULL},
    {"redrive", "list dead letters, and send chosen ones back", run_redrive, &command_redrive,
     NULL},
    {"health", "ask a running worker how it is", run_health, &command_health, NULL},
    {"schema", "print what messages look like", run_schema, &command_schema, NULL},
    {"completion", "print the completion of words for a shell", run_completion, &command_completion,
     NULL},
    {"manual", "print a page of the manual", run_manual, &command_manual, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct args_command *subcommand_command(const struct subcommand *subcommand,
                                              struct command_room *room)
{
    return subcommand->command ? subcommand->command : subcommand->describe(room);
}

const char *command_room_text(struct command_room *room, const char *format, ...)
{
    va_list arguments;
    char *text = room->text + room->text_used;
    size_t left = sizeof(room->text) - room->text_used;
    va_start(arguments, format);
    int length = vsnprintf(text, left, format, arguments);
    va_end(arguments);
    assert(length >= 0 && (size_t)length < left);
    room->text_used += (size_t)length + 1;
    return text;
}

int subcommand_begin(const struct args_command *command, int argc, char **argv, struct args *args)
{
    struct error err;
    if (args_parse(command, argc, argv, args, &err) != 0) {
        fprintf(stderr, "%s: %s\nTry '%s --help'.\n", command->name, err.message, command->name);
        args_release(args);
        return err.kind == ERROR_MEMORY ? EXIT_FATAL : EXIT_USAGE;
    }
    if (args->help)
        args_help(command, stdout);
    else if (args->version)
        printf("kancel %s\n", KANCEL_VERSION);
    else
        return -1;
    args_release(args);
    return EXIT_DONE;
}

static const char *environment(const char *name)
{
    return getenv(name);
}

struct config *subcommand_config(const struct args *args, int *code)
{
    const char *path = args_value(args, "config");
    struct config *config = config_load(path ? path : "kancel.yaml", environment);
    if (!config) {
        fprintf(stderr, "%s: out of memory\n", args->command->name);
        *code = EXIT_FATAL;
        return NULL;
    }
    config_print_mistakes(config, stderr);
    if (config->valid)
        return config;
    config_free(config);
    *code = EXIT_USAGE;
    return NULL;
}
