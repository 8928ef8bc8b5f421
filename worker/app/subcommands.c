#include "worker/app/subcommands.h"

#include "common/banned.h"

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
