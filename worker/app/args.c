#include "worker/app/args.h"

#include <assert.h>

#include "common/nearest.h"

#include "common/banned.h"

static int unknown_option(const struct args_command *command, const char *word, struct error *err)
{
    const char *names[ARGS_OPTIONS_MOST + 3] = {"help", "version"};
    size_t count = 2;
    const char *end = strchr(word, '=');
    char name[64];
    const char *nearest;
    snprintf(name, sizeof(name), "%.*s", (int)(end ? (size_t)(end - word) : strlen(word)), word);
    for (const struct args_option *option = command->options; option->name; option++)
        names[count++] = option->name;
    nearest = nearest_of(slice_of_string(name + strspn(name, "-")), names);
    if (nearest)
        return error_set(err, ERROR_INPUT, "unknown option %s; did you mean --%s?", name, nearest);
    return error_set(err, ERROR_INPUT, "unknown option %s", name);
}

/* Keeps one option; `value` NULL: none was joined to it. Takes the next word where one is needed.
 */
static int keep(struct args *args, const struct args_option *option, const char *value, int *at,
                int argc, char **argv, struct error *err)
{
    size_t index = (size_t)(option - args->command->options);
    if (args->given[index])
        return error_set(err, ERROR_INPUT, "--%s is given twice", option->name);
    if (!option->value && value)
        return error_set(err, ERROR_INPUT, "--%s takes no value", option->name);
    if (option->value && !option->optional && !value) {
        if (*at + 1 >= argc)
            return error_set(err, ERROR_INPUT, "--%s: expected %s", option->name, option->value);
        value = argv[++*at];
    }
    args->given[index] = true;
    args->values[index] = value;
    return 0;
}

static int parse_long(struct args *args, int *at, int argc, char **argv, struct error *err)
{
    const char *word = argv[*at] + 2;
    size_t length = strcspn(word, "=");
    for (const struct args_option *option = args->command->options; option->name; option++) {
        if (strlen(option->name) == length && strncmp(option->name, word, length) == 0)
            return keep(args, option, word[length] ? word + length + 1 : NULL, at, argc, argv, err);
    }
    return unknown_option(args->command, argv[*at], err);
}

static int parse_short(struct args *args, int *at, int argc, char **argv, struct error *err)
{
    const char *word = argv[*at] + 1;
    for (const struct args_option *option = args->command->options; option->name; option++) {
        if (option->letter && option->letter == word[0])
            return keep(args, option, word[1] ? word + 1 : NULL, at, argc, argv, err);
    }
    return unknown_option(args->command, argv[*at], err);
}

static bool asks_for(int argc, char **argv, const char *name, const char *letter)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], name) == 0 || strcmp(argv[i], letter) == 0)
            return true;
    }
    return false;
}

int args_parse(const struct args_command *command, int argc, char **argv, struct args *args,
               struct error *err)
{
    bool options_end = false;
    *args = (struct args){.command = command};
    args->help = asks_for(argc, argv, "--help", "-h");
    args->version = asks_for(argc, argv, "--version", "-V");
    if (args->help || args->version)
        return 0;
    args->operands = calloc((size_t)argc + 1, sizeof(*args->operands));
    if (!args->operands)
        return error_set(err, ERROR_MEMORY, "out of memory");
    for (int at = 0; at < argc; at++) {
        const char *word = argv[at];
        if (options_end || word[0] != '-' || word[1] == '\0')
            args->operands[args->operand_count++] = word;
        else if (strcmp(word, "--") == 0)
            options_end = true;
        else if ((word[1] == '-' ? parse_long : parse_short)(args, &at, argc, argv, err) != 0)
            return -1;
    }
    return 0;
}

void args_release(struct args *args)
{
    free(args->operands);
    args->operands = NULL;
}

static const struct args_option *find(const struct args *args, const char *name)
{
    const struct args_option *option = args->command->options;
    while (option->name && strcmp(option->name, name) != 0)
        option++;
    return option;
}

static size_t index_of(const struct args *args, const char *name)
{
    const struct args_option *option = find(args, name);
    assert(option->name);
    return (size_t)(option - args->command->options);
}

bool args_knows(const struct args *args, const char *name)
{
    return find(args, name)->name != NULL;
}

bool args_given(const struct args *args, const char *name)
{
    return args->given[index_of(args, name)];
}

const char *args_value(const struct args *args, const char *name)
{
    return args->values[index_of(args, name)];
}

static void help_row(const struct args_option *option, FILE *out)
{
    enum { COLUMN = 30 };
    char left[64];
    const char *text = option->help;
    int used;
    char letter[8] = "    ";
    if (option->letter)
        snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    used =
        snprintf(left, sizeof(left), "  %s--%s%s%s%s%s", letter, option->name,
                 option->optional ? "[" : "", option->value ? (option->optional ? "=" : " ") : "",
                 option->value ? option->value : "", option->optional ? "]" : "");
    fputs(left, out);
    if (used >= COLUMN) {
        fputc('\n', out);
        used = 0;
    }
    /* Lines of the help are broken by hand, with \n. */
    while (text) {
        const char *end = strchr(text, '\n');
        int length = (int)(end ? (size_t)(end - text) : strlen(text));
        fprintf(out, "%*s%.*s\n", COLUMN - used, "", length, text);
        used = 0;
        text = end ? end + 1 : NULL;
    }
}

void args_help(const struct args_command *command, FILE *out)
{
    static const struct args_option help = {"help", 'h', NULL, false, "this text"};
    static const struct args_option version = {"version", 'V', NULL, false, "the version"};
    const char *usage = command->usage;
    for (bool first = true; usage; first = false) {
        const char *end = strchr(usage, '\n');
        int length = (int)(end ? (size_t)(end - usage) : strlen(usage));
        fprintf(out, "%s %s %.*s\n", first ? "usage:" : "      ", command->name, length, usage);
        usage = end ? end + 1 : NULL;
    }
    fprintf(out, "\n%s\n\n", command->summary);
    for (const struct args_option *option = command->options; option->name; option++)
        help_row(option, out);
    help_row(&help, out);
    help_row(&version, out);
    if (command->more)
        fprintf(out, "\n%s\n", command->more);
}
