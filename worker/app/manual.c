/* kancel manual: the manual pages, made of the tables that make --help, parsing and the checks. */
#include <inttypes.h>

#include "worker/app/config.h"
#include "worker/app/subcommands.h"

#include "common/version.h"

#include "common/banned.h"

static const struct args_option options[] = {{.name = NULL}};

const struct args_command command_manual = {
    .name = "kancel manual",
    .usage = "kancel|kancel.yaml",
    .operands = "kancel|kancel.yaml",
    .summary =
        "Prints a page of the manual in troff: kancel(1), the commands, or kancel.yaml(5), the\n"
        "configuration. An installed kancel brings both: man kancel.",
    .options = options,
    .more = "  kancel manual kancel.yaml | man -l -",
};

/* ---- troff ----------------------------------------------------------------------------------- */

/* As text, whatever troff would make of it; line ends stay. */
static void text(FILE *out, const char *from)
{
    bool at_start = true;
    for (; *from; from++) {
        if (at_start && (*from == '.' || *from == '\''))
            fputs("\\&", out);
        at_start = *from == '\n';
        if (*from == '\\')
            fputs("\\e", out);
        else if (*from == '-')
            fputs("\\-", out);
        else
            fputc(*from, out);
    }
}

static void paragraph(FILE *out, const char *from)
{
    text(out, from);
    fputc('\n', out);
}

/* A heading's words keep their case. */
static void heading(FILE *out, const char *macro, const char *title)
{
    fprintf(out, "%s \"", macro);
    text(out, title);
    fputs("\"\n", out);
}

static void verbatim(FILE *out, const char *from)
{
    fputs(".PP\n.nf\n", out);
    paragraph(out, from);
    fputs(".fi\n", out);
}

static void title(FILE *out, const char *page, const char *section, const char *about)
{
    fprintf(out, ".TH %s %s \"\" \"kancel %s\" \"kancel\"\n.SH NAME\n", page, section,
            KANCEL_VERSION);
    text(out, page);
    fputs(" \\- ", out);
    paragraph(out, about);
}

/* ---- kancel(1) ------------------------------------------------------------------------------- */

static void option_entry(FILE *out, const struct args_option *option)
{
    fputs(".TP\n\\fB", out);
    if (option->letter)
        fprintf(out, "\\-%c\\fR, \\fB", option->letter);
    fputs("\\-\\-", out);
    text(out, option->name);
    fputs("\\fR", out);
    if (option->value) {
        fputs(option->optional ? "[=\\fI" : " \\fI", out);
        text(out, option->value);
        fputs(option->optional ? "\\fR]" : "\\fR", out);
    }
    fputc('\n', out);
    paragraph(out, option->help);
}

static void synopsis(FILE *out, const struct args_command *command)
{
    for (const char *at = command->usage; at;) {
        size_t len = strcspn(at, "\n");
        char line[256];
        snprintf(line, sizeof(line), "%.*s", (int)len, at);
        fputs(".br\n\\fB", out);
        text(out, command->name);
        fputs("\\fR ", out);
        paragraph(out, line);
        at = at[len] ? at + len + 1 : NULL;
    }
}

static void commands_page(FILE *out)
{
    struct command_room room;
    title(out, "kancel", "1", "cancel and inspect providers' tasks on commands from Kafka");
    fputs(".SH SYNOPSIS\n", out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++)
        synopsis(out, subcommand_command(sub, &room));
    fputs(".SH DESCRIPTION\n", out);
    paragraph(out, "One program for the worker and for the people around it. Every subcommand "
                   "understands --help and --version. The providers:");
    for (const struct provider *const *provider = providers; *provider; provider++) {
        fprintf(out, ".TP\n.B %s\n", (*provider)->name);
        paragraph(out, (*provider)->title);
    }
    fputs(".SH SUBCOMMANDS\n", out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++) {
        const struct args_command *command = subcommand_command(sub, &room);
        heading(out, ".SS", command->name);
        paragraph(out, command->summary);
        for (const struct args_option *option = command->options; option->name; option++)
            option_entry(out, option);
        if (command->more)
            verbatim(out, command->more);
    }
    fputs(".SH SEE ALSO\n.BR kancel.yaml (5)\n", out);
}

/* ---- kancel.yaml(5) -------------------------------------------------------------------------- */

static const char *const type_names[] = {
    [OPTION_STRING] = "text",
    [OPTION_SECRET] = "secret: text, or {file: PATH}",
    [OPTION_BOOL] = "true or false",
    [OPTION_INTEGER] = "whole number",
    [OPTION_DURATION] = "duration (200ms, 30s, 5m, 24h)",
    [OPTION_DURATION_RANGE] = "range of durations (200ms..30s)",
    [OPTION_RATE] = "rate (200/s, 30/m)",
    [OPTION_CHOICE] = "one of",
    [OPTION_LIST] = "list of texts",
    [OPTION_MAP] = "mapping of texts to texts or secrets",
};

static void row_entry(FILE *out, const char *section, const struct option *row)
{
    fputs(".TP\n\\fB", out);
    text(out, section);
    fputs(section[0] ? "." : "", out);
    text(out, row->path);
    fputs("\\fR (", out);
    text(out, type_names[row->type]);
    if (row->choices) {
        fputc(' ', out);
        text(out, row->choices);
    }
    if (row->type == OPTION_INTEGER && row->maximum > 0)
        fprintf(out, " %" PRId64 " to %" PRId64, row->minimum, row->maximum);
    fputs(row->required ? "; needed)" : ")", out);
    fputc('\n', out);
    paragraph(out, row->help);
    if (row->default_text && row->default_text[0]) {
        fputs("Default: \\fI", out);
        text(out, row->default_text);
        fputs("\\fR.\n", out);
    }
}

static void rows(FILE *out, const char *section, const struct option *row)
{
    for (; row->path; row++)
        row_entry(out, section, row);
}

static void configuration_page(FILE *out)
{
    title(out, "kancel.yaml", "5", "configuration of kancel");
    fputs(".SH DESCRIPTION\n", out);
    paragraph(out,
              "A YAML file, by default kancel.yaml in the current folder. Keys are joined by dots "
              "here. A value may hold ${NAME} or ${NAME:-default} from the environment; a secret "
              "may be {file: PATH} instead, without its final newline. kancel check names every "
              "mistake with its line.");
    for (const struct config_section *section = config_sections; section->path; section++) {
        heading(out, ".SH", section->path[0] ? section->path : "top level");
        if (strcmp(section->path, "accounts.*") == 0)
            paragraph(out, "Each account has a name of your choice in place of the star, and these "
                           "keys; those of its provider come below.");
        rows(out, section->path, section->rows);
    }
    for (const struct provider *const *provider = providers; *provider; provider++) {
        char name[160];
        snprintf(name, sizeof(name), "accounts.* of provider %s", (*provider)->name);
        heading(out, ".SH", name);
        paragraph(out, (*provider)->title);
        rows(out, "accounts.*", (*provider)->options);
    }
    fputs(".SH SEE ALSO\n.BR kancel (1)\n", out);
}

int run_manual(int argc, char **argv)
{
    struct args args;
    int code = subcommand_begin(&command_manual, argc, argv, &args);
    if (code >= 0)
        return code;
    code = EXIT_DONE;
    if (args.operand_count == 1 && strcmp(args.operands[0], "kancel") == 0) {
        commands_page(stdout);
    } else if (args.operand_count == 1 && strcmp(args.operands[0], "kancel.yaml") == 0) {
        configuration_page(stdout);
    } else {
        fputs("kancel manual: expected kancel or kancel.yaml\n", stderr);
        code = EXIT_USAGE;
    }
    args_release(&args);
    return code;
}
