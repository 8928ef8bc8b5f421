/* The program `kancel`: finds the subcommand and leaves everything else to it. */
#include <signal.h>

#include "worker/app/subcommands.h"
#include "common/nearest.h"
#include "common/version.h"

#include "common/banned.h"

static void help(FILE *out)
{
    fputs("usage: kancel SUBCOMMAND [OPTIONS]\n\n"
          "Cancels and inspects providers' tasks on commands from Kafka.\n\n",
          out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++)
        fprintf(out, "  %-10s %s\n", sub->name, sub->help);
    fputs("\nProviders:\n", out);
    for (const struct provider *const *provider = providers; *provider; provider++)
        fprintf(out, "  %-10s %s\n", (*provider)->name, (*provider)->title);
    fputs("\n"
          "  -h, --help     this text; 'kancel SUBCOMMAND --help' tells more\n"
          "  -V, --version  the version\n",
          out);
}

static int refuse(const char *word)
{
    struct nearest nearest;
    nearest_begin(&nearest, slice_of_string(word + strspn(word, "-")));
    for (const struct subcommand *sub = subcommands; sub->name; sub++)
        nearest_offer(&nearest, slice_of_string(sub->name));
    fprintf(stderr, "kancel: unknown %s '%s'", word[0] == '-' ? "option" : "subcommand", word);
    if (nearest.name.data)
        fprintf(stderr, "; did you mean %.*s?", SLICE_ARG(nearest.name));
    fputs("\nTry 'kancel --help'.\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    for (const struct subcommand *sub = subcommands; sub->name; sub++)
        if (strcmp(argv[1], sub->name) == 0)
            return sub->run(argc - 2, argv + 2);
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
