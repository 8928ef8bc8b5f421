/* The program `kancel`: finds the subcommand and leaves everything else to it. */
#include <signal.h>

#include "common/json.h"
#include "worker/app/subcommands.h"
#include "common/nearest.h"

#include "common/banned.h"

struct subcommand {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv);
};

static const struct subcommand subcommands[] = {
    {"worker", "take commands from Kafka, do them, publish the results", run_worker},
    {"check", "look at a configuration: every mistake, or what it would do", run_check},
    {"send", "send commands, and wait for their results", run_send},
};
enum { SUBCOMMANDS = sizeof(subcommands) / sizeof(subcommands[0]) };

static void help(FILE *out)
{
    fputs(
        "usage: kancel SUBCOMMAND [OPTIONS]\n\n"
        "Cancels and inspects tasks of EnOS, SCNet, IoTDA and KooDrive on commands from Kafka.\n\n",
        out);
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        fprintf(out, "  %-10s %s\n", subcommands[i].name, subcommands[i].help);
    fputs("\n"
          "  -h, --help     this text; 'kancel SUBCOMMAND --help' tells more\n"
          "  -V, --version  the version\n",
          out);
}

static int refuse(const char *word)
{
    const char *names[SUBCOMMANDS + 1] = {NULL};
    const char *nearest;
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        names[i] = subcommands[i].name;
    nearest = nearest_of(slice_of_string(word + strspn(word, "-")), names);
    fprintf(stderr, "kancel: unknown %s '%s'", word[0] == '-' ? "option" : "subcommand", word);
    if (nearest)
        fprintf(stderr, "; did you mean %s?", nearest);
    fputs("\nTry 'kancel --help'.\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    json_setup();
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].run(argc - 2, argv + 2);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("kancel %s\n", KANCEL_VERSION);
        return EXIT_DONE;
    }
    return refuse(argv[1]);
}
