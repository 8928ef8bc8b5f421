/* kancel completion: scripts for three shells, made of the tables that make --help. */
#include "worker/app/subcommands.h"

#include "common/banned.h"

static const struct args_option options[] = {{.name = NULL}};

const struct args_command command_completion = {
    .name = "kancel completion",
    .usage = "bash|zsh|fish",
    .operands = "bash|zsh|fish",
    .summary = "Prints the script that completes the words of kancel in that shell.",
    .options = options,
    .more = "  source <(kancel completion bash)                                  # ~/.bashrc\n"
            "  kancel completion zsh > \"${fpath[1]}/_kancel\"\n"
            "  kancel completion fish > ~/.config/fish/completions/kancel.fish",
};

/* ---- the words behind an option or at a place ------------------------------------------------ */

enum word_kind { WORDS_NONE, WORDS_LISTED, WORDS_FILES };

/* What `value` of a table means for a shell; the words, if listed, are appended with blanks. */
static enum word_kind words_of(const char *value, size_t len, struct buffer *words)
{
    struct slice text = slice_of(value, len);
    if (slice_equals(text, "FILE") || slice_equals(text, "FOLDER"))
        return WORDS_FILES;
    if (slice_equals(text, "PROVIDER")) {
        for (const struct provider *const *provider = providers; *provider; provider++)
            buffer_append_format(words, "%s%s", words->len ? " " : "", (*provider)->name);
        return WORDS_LISTED;
    }
    if (!memchr(value, '|', len))
        return WORDS_NONE;
    for (size_t i = 0; i < len; i++)
        buffer_append_byte(words, value[i] == '|' ? ' ' : value[i]);
    return WORDS_LISTED;
}

static void print_words(FILE *out, const char *value, size_t len)
{
    struct buffer words;
    buffer_init(&words, 4096);
    (void)words_of(value, len, &words);
    fprintf(out, "%.*s", SLICE_ARG(buffer_slice(&words)));
    buffer_release(&words);
}

static enum word_kind kind_of(const char *value, size_t len)
{
    struct buffer words;
    buffer_init(&words, 4096);
    enum word_kind kind = words_of(value, len, &words);
    buffer_release(&words);
    return kind;
}

/* The first line of a help, with what a shell would trip over in single quotes made harmless;
 * `special` are further characters that get a backslash. */
static void print_help(FILE *out, const char *help, const char *special)
{
    for (; *help && *help != '\n'; help++) {
        if (*help == '\'')
            fputs("'\\''", out);
        else if (strchr(special, *help))
            fprintf(out, "\\%c", *help);
        else
            fputc(*help, out);
    }
}

/* The words of each place of the operands. */
static void each_place(const struct args_command *command, FILE *out,
                       void (*print)(FILE *out, size_t place, const char *words, size_t len))
{
    size_t place = 0;
    for (const char *at = command->operands; at && *at; place++) {
        size_t len = strcspn(at, " ");
        print(out, place, at, len);
        at += len + (at[len] == ' ');
    }
}

/* ---- bash ------------------------------------------------------------------------------------ */

static void bash_values(FILE *out, const struct subcommand *sub, const struct args_option *option)
{
    size_t len = option->value ? strlen(option->value) : 0;
    enum word_kind kind = option->value ? kind_of(option->value, len) : WORDS_NONE;
    if (!option->value || option->optional)
        return;
    fprintf(out, "    %s:--%s", sub->name, option->name);
    if (option->letter)
        fprintf(out, "|%s:-%c", sub->name, option->letter);
    fputs(") ", out);
    if (kind == WORDS_LISTED) {
        fputs("COMPREPLY=($(compgen -W '", out);
        print_words(out, option->value, len);
        fputs("' -- \"$cur\")); ", out);
    } else if (kind == WORDS_FILES) {
        fputs("COMPREPLY=($(compgen -f -- \"$cur\")); ", out);
    }
    fputs("return ;;\n", out);
}

static void bash_place(FILE *out, size_t place, const char *words, size_t len)
{
    fprintf(out, "        %zu) COMPREPLY=($(compgen ", place);
    if (kind_of(words, len) == WORDS_FILES) {
        fputs("-f", out);
    } else {
        fputs("-W '", out);
        print_words(out, words, len);
        fputc('\'', out);
    }
    fputs(" -- \"$cur\")) ;;\n", out);
}

static void bash_subcommand(FILE *out, const struct subcommand *sub,
                            const struct args_command *command)
{
    fprintf(out, "    %s)\n        options='", sub->name);
    for (const struct args_option *option = command->options; option->name; option++)
        fprintf(out, "--%s ", option->name);
    fputs("--help --version'\n        case $place in\n", out);
    each_place(command, out, bash_place);
    fputs("        esac ;;\n", out);
}

static void bash(FILE *out)
{
    struct command_room room;
    fputs("# bash completion of kancel; made by: kancel completion bash\n"
          "_kancel() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local sub=${COMP_WORDS[1]} options='' place=0 i\n"
          "    COMPREPLY=()\n"
          "    # --option=value comes as three words\n"
          "    if [ \"$cur\" = = ]; then cur=''\n"
          "    elif [ \"$prev\" = = ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '",
          out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++)
        fprintf(out, "%s ", sub->name);
    fputs("--help --version' -- \"$cur\"))\n        return\n    fi\n"
          "    case $sub:$prev in\n",
          out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++)
        for (const struct args_option *option = subcommand_command(sub, &room)->options;
             option->name; option++)
            bash_values(out, sub, option);
    fputs("    esac\n"
          "    # which operand this is: options and their values are passed over\n"
          "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
          "        case $sub:${COMP_WORDS[i]} in\n",
          out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++)
        for (const struct args_option *option = subcommand_command(sub, &room)->options;
             option->name; option++)
            if (option->value && !option->optional) {
                fprintf(out, "        %s:--%s", sub->name, option->name);
                if (option->letter)
                    fprintf(out, "|%s:-%c", sub->name, option->letter);
                fputs(") [ \"${COMP_WORDS[i+1]}\" = = ] && ((i++)); ((i++)) ;;\n", out);
            }
    fputs("        *:-*|*:=) ;;\n"
          "        *) ((place++)) ;;\n"
          "        esac\n"
          "    done\n"
          "    case $sub in\n",
          out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++)
        bash_subcommand(out, sub, subcommand_command(sub, &room));
    fputs("    esac\n"
          "    case $cur in\n"
          "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
          "    esac\n"
          "}\n"
          "complete -F _kancel kancel\n",
          out);
}

/* ---- zsh ------------------------------------------------------------------------------------- */

static void zsh_words(FILE *out, const char *value, size_t len)
{
    enum word_kind kind = kind_of(value, len);
    if (kind == WORDS_FILES) {
        fputs("_files", out);
    } else if (kind == WORDS_LISTED) {
        fputc('(', out);
        print_words(out, value, len);
        fputc(')', out);
    } else {
        fputc(' ', out);
    }
}

static void zsh_option(FILE *out, const struct args_option *option)
{
    fputs(" \\\n            ", out);
    if (option->letter)
        fprintf(out, "'(-%c --%s)'{-%c,--%s%s}'[", option->letter, option->name, option->letter,
                option->name, option->value ? "=" : "");
    else
        fprintf(out, "'--%s%s[", option->name, option->value ? "=" : "");
    print_help(out, option->help, "[]:\\");
    fputc(']', out);
    if (option->value) {
        fputs(option->optional ? "::value:" : ":value:", out);
        zsh_words(out, option->value, strlen(option->value));
    }
    fputc('\'', out);
}

static void zsh_place(FILE *out, size_t place, const char *words, size_t len)
{
    fprintf(out, " \\\n            '%zu:operand:", place + 1);
    zsh_words(out, words, len);
    fputc('\'', out);
}

static void zsh(FILE *out)
{
    struct command_room room;
    fputs("#compdef kancel\n"
          "# zsh completion of kancel; made by: kancel completion zsh\n"
          "_kancel() {\n"
          "    local -a subcommands=(\n",
          out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++) {
        fprintf(out, "        '%s:", sub->name);
        print_help(out, sub->help, ":\\");
        fputs("'\n", out);
    }
    fputs("    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe subcommand subcommands\n"
          "        return\n"
          "    fi\n"
          "    local sub=$words[2]\n"
          "    shift words\n"
          "    (( CURRENT-- ))\n"
          "    case $sub in\n",
          out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++) {
        const struct args_command *command = subcommand_command(sub, &room);
        fprintf(out, "    %s)\n        _arguments '(- *)'{-h,--help}'[this text]'", sub->name);
        for (const struct args_option *option = command->options; option->name; option++)
            zsh_option(out, option);
        each_place(command, out, zsh_place);
        fputs(" ;;\n", out);
    }
    fputs("    esac\n"
          "}\n"
          "if [ \"$funcstack[1]\" = _kancel ]; then _kancel \"$@\"; else compdef _kancel kancel; "
          "fi\n",
          out);
}

/* ---- fish ------------------------------------------------------------------------------------ */

static void fish_option(FILE *out, const struct subcommand *sub, const struct args_option *option)
{
    fprintf(out, "complete -c kancel -n '__fish_seen_subcommand_from %s' -l %s", sub->name,
            option->name);
    if (option->letter)
        fprintf(out, " -s %c", option->letter);
    if (option->value && !option->optional) {
        size_t len = strlen(option->value);
        enum word_kind kind = kind_of(option->value, len);
        fputs(kind == WORDS_FILES ? " -r -F" : " -x", out);
        if (kind == WORDS_LISTED) {
            fputs(" -a '", out);
            print_words(out, option->value, len);
            fputc('\'', out);
        }
    }
    fputs(" -d '", out);
    /* fish has its own way with quotes: a backslash before them. */
    for (const char *help = option->help; *help && *help != '\n'; help++) {
        if (*help == '\'' || *help == '\\')
            fputc('\\', out);
        fputc(*help, out);
    }
    fputs("'\n", out);
}

static void fish_operands(FILE *out, const struct subcommand *sub,
                          const struct args_command *command)
{
    bool files = false;
    struct buffer words;
    buffer_init(&words, 4096);
    for (const char *at = command->operands; at && *at;) {
        size_t len = strcspn(at, " ");
        buffer_append_string(&words, words.len ? " " : "");
        struct buffer one;
        buffer_init(&one, 4096);
        files = words_of(at, len, &one) == WORDS_FILES || files;
        buffer_append_slice(&words, buffer_slice(&one));
        buffer_release(&one);
        at += len + (at[len] == ' ');
    }
    if (!files)
        fprintf(out, "complete -c kancel -n '__fish_seen_subcommand_from %s' -f%s%.*s%s\n",
                sub->name, words.len ? " -a '" : "", SLICE_ARG(buffer_slice(&words)),
                words.len ? "'" : "");
    buffer_release(&words);
}

static void fish(FILE *out)
{
    struct command_room room;
    fputs("# fish completion of kancel; made by: kancel completion fish\n", out);
    for (const struct subcommand *sub = subcommands; sub->name; sub++) {
        fprintf(out, "complete -c kancel -n __fish_use_subcommand -f -a %s -d '", sub->name);
        print_help(out, sub->help, "\\");
        fputs("'\n", out);
    }
    for (const struct subcommand *sub = subcommands; sub->name; sub++) {
        const struct args_command *command = subcommand_command(sub, &room);
        for (const struct args_option *option = command->options; option->name; option++)
            fish_option(out, sub, option);
        fish_operands(out, sub, command);
    }
}

int run_completion(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    struct args args;
    int code = subcommand_begin(&command_completion, argc, argv, &args);
    if (code >= 0)
        return code;
    code = EXIT_USAGE;
    for (size_t i = 0; i < 3 && args.operand_count == 1; i++) {
        if (strcmp(args.operands[0], shells[i].name) != 0)
            continue;
        shells[i].print(stdout);
        code = EXIT_DONE;
    }
    if (code != EXIT_DONE)
        fputs("kancel completion: expected bash, zsh or fish\n", stderr);
    args_release(&args);
    return code;
}
