/*
 * Command lines. One const table a subcommand drives both what is understood and what --help
 * prints. `--name VALUE`, `--name=VALUE`,
 * `-n VALUE`, `-nVALUE`; options and operands in any order; `--` ends the options; names are never
 * abbreviated; `-` alone is an operand.
 */
#ifndef KANCEL_WORKER_APP_ARGS_H
#define KANCEL_WORKER_APP_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/error.h"

struct args_option {
    const char *name;  /* without the dashes */
    char letter;       /* 0: none */
    const char *value; /* what it takes, for the help and the completion (PROVIDER, FILE, a|b|c are
                          completed); NULL: it is a flag */
    bool optional;     /* the value may be left out; when given it must be joined by '=' */
    const char *help;
};

struct args_command {
    const char *name;  /* "kancel send" */
    const char *usage; /* lines of use, without the name */
    /* What the operands may be, one word a place, for the completion: PROVIDER, FILE, SUBCOMMAND or
     * a|b|c; NULL: nothing is known. */
    const char *operands;
    const char *summary; /* a paragraph */
    const struct args_option
        *options;     /* ended by a NULL name; --help and --version are understood everywhere */
    const char *more; /* printed at the end: exit codes, examples */
};

enum { ARGS_OPTIONS_MOST = 40 };

struct args {
    const struct args_command *command;
    bool given[ARGS_OPTIONS_MOST];
    const char *values[ARGS_OPTIONS_MOST]; /* NULL: none */
    const char **operands;                 /* into argv; freed by args_release */
    size_t operand_count;
    bool help, version;
};

/* `argv` holds what follows the subcommand and is borrowed. ERROR_INPUT says what is not understood
 * and the nearest name. With --help or
 * --version given nothing else is looked at. Release in every case. */
int args_parse(const struct args_command *command, int argc, char **argv, struct args *args,
               struct error *err) MUST_CHECK;
void args_release(struct args *args);

bool args_knows(const struct args *args, const char *name); /* the command has that option */
bool args_given(const struct args *args, const char *name);
const char *args_value(const struct args *args, const char *name); /* NULL: not given or no value */

void args_help(const struct args_command *command, FILE *out);

#endif
