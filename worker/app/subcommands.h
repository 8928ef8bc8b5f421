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

extern const struct args_command command_worker, command_check, command_send;

int run_worker(int argc, char **argv);
int run_check(int argc, char **argv);
int run_send(int argc, char **argv);

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
