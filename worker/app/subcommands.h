/* The subcommands of the program; each takes the words behind its name and returns the program's
 * exit code. */
#ifndef KANCEL_WORKER_APP_SUBCOMMANDS_H
#define KANCEL_WORKER_APP_SUBCOMMANDS_H

#include "worker/app/args.h"
#include "worker/app/config.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FATAL = 1,
    EXIT_USAGE = 2, /* or bad configuration */
    EXIT_UNDRAINED = 3,
    EXIT_FENCED = 4,
};

/* Room for a command whose options are put together when the program runs. */
struct command_room {
    struct args_command command;
    struct args_option options[ARGS_OPTIONS_MOST + 1];
    char text[4096]; /* of their helps */
    size_t text_used;
};
/* Formats a text that lives as long as the room. */
const char *command_room_text(struct command_room *room, const char *format, ...) PRINTF_LIKE(2, 3);

struct subcommand {
    const char *name;
    const char *help; /* one line */
    int (*run)(int argc, char **argv);
    /* One of the two: what --help, completion and the manual are made of. */
    const struct args_command *command;
    const struct args_command *(*describe)(struct command_room *room);
};
/* All, ended by a NULL name. */
extern const struct subcommand subcommands[];
const struct args_command *subcommand_command(const struct subcommand *subcommand,
                                              struct command_room *room);

extern const struct args_command command_worker, command_check, command_watch, command_redrive,
    command_health, command_schema, command_completion, command_manual;
const struct args_command *send_describe(struct command_room *room);

int run_worker(int argc, char **argv);
int run_check(int argc, char **argv);
int run_send(int argc, char **argv);
int run_watch(int argc, char **argv);
int run_redrive(int argc, char **argv);
int run_schema(int argc, char **argv);
int run_completion(int argc, char **argv);
int run_manual(int argc, char **argv);
int run_health(int argc, char **argv);

/* What every subcommand begins with: parses, answers --help and --version, says what is not
 * understood on stderr. -1: go on; else the exit code to leave with (args are then released). */
int subcommand_begin(const struct args_command *command, int argc, char **argv,
                     struct args *args) MUST_CHECK;
/* Loads the file of -c (default kancel.yaml); prints its mistakes and warnings on stderr. NULL: not
 * valid or no memory, `code` says what to leave with. */
struct config *subcommand_config(const struct args *args, int *code) MUST_CHECK;

#define OPTION_CONFIG                                                                              \
    {                                                                                              \
        "config", 'c', "FILE", false, "the configuration (default: kancel.yaml)"                   \
    }

#endif
