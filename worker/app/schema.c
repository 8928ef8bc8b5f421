/* kancel schema: what messages look like, as the documents that programs read. */
#include <errno.h>

#include "common/nearest.h"
#include "worker/app/subcommands.h"

#include "common/banned.h"

/* Made by the build (common/embed.cmake). */
extern const struct slice command_schema_json, result_schema_json, asyncapi_yaml;

static const struct document {
    const char *name, *file;
    const struct slice *text;
} documents[] = {
    {"command", "command.schema.json", &command_schema_json},
    {"result", "result.schema.json", &result_schema_json},
    {"asyncapi", "asyncapi.yaml", &asyncapi_yaml},
    {NULL, NULL, NULL},
};

static const struct args_option options[] = {
    {"into", 0, "FOLDER", false, "write all of them there, so that they find each other"},
    {.name = NULL},
};

const struct args_command command_schema = {
    .name = "kancel schema",
    .usage = "command|result|asyncapi\n--into FOLDER",
    .operands = "command|result|asyncapi",
    .summary = "Prints a document of the messages of this version: the JSON Schemas of commands "
               "and results,\n"
               "or the AsyncAPI document, which refers to both.",
    .options = options,
    .more = "Exit codes: 0 done, 1 cannot write, 2 usage.",
};

static int write_to(const struct document *document, FILE *out)
{
    size_t len = document->text->len;
    return fwrite(document->text->data, 1, len, out) == len && fflush(out) == 0 ? 0 : -1;
}

static int write_into(const char *folder)
{
    for (const struct document *document = documents; document->name; document++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, document->file);
        FILE *out = fopen(path, "we");
        int status = out ? write_to(document, out) : -1;
        if (status != 0)
            fprintf(stderr, "kancel schema: %s: %s\n", path, strerror(errno));
        if (out)
            (void)fclose(out);
        if (status != 0)
            return EXIT_FATAL;
    }
    return EXIT_DONE;
}

static int print(const char *name)
{
    struct nearest nearest;
    nearest_begin(&nearest, slice_of_string(name));
    for (const struct document *document = documents; document->name; document++) {
        if (strcmp(name, document->name) == 0)
            return write_to(document, stdout) == 0 ? EXIT_DONE : EXIT_FATAL;
        nearest_offer(&nearest, slice_of_string(document->name));
    }
    fprintf(stderr, "kancel schema: expected command, result or asyncapi, not '%.40s'", name);
    if (nearest.name.data)
        fprintf(stderr, "; did you mean %.*s?", SLICE_ARG(nearest.name));
    fputc('\n', stderr);
    return EXIT_USAGE;
}

int run_schema(int argc, char **argv)
{
    struct args args;
    int code = subcommand_begin(&command_schema, argc, argv, &args);
    if (code >= 0)
        return code;
    const char *folder = args_value(&args, "into");
    if (folder && args.operand_count == 0) {
        code = write_into(folder);
    } else if (!folder && args.operand_count == 1) {
        code = print(args.operands[0]);
    } else {
        args_help(&command_schema, stderr);
        code = EXIT_USAGE;
    }
    args_release(&args);
    return code;
}
