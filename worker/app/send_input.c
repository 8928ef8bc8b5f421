/* Commands of a file or of standard input: JSON lines, or a table with one row a command. */
#include <errno.h>

#include "worker/app/send.h"

#include "common/banned.h"

static bool is_csv(const struct args *args, const char *path, struct error *err)
{
    const char *format = args_value(args, "format");
    struct slice name = slice_of_string(path ? path : "");
    if (!format)
        return slice_ends_with(name, ".csv");
    if (strcmp(format, "csv") != 0 && strcmp(format, "jsonl") != 0)
        (void)error_set(err, ERROR_INPUT, "--format: expected csv or jsonl");
    return strcmp(format, "csv") == 0;
}

static int read_header(struct send_input *input, const char *name, struct error *err)
{
    int read = csv_read(&input->reader, &input->header, err);
    if (read == 0)
        return error_set(err, ERROR_INPUT, "%s: expected a first row with the columns' names",
                         name);
    if (read < 0 || send_check_header(&input->header, err) != 0)
        return error_prefix(err, "%s", name);
    return 0;
}

int send_input_open(struct send_input *input, const struct args *args, struct error *err)
{
    const char *path = args_value(args, "file");
    bool standard = !path || strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    *input = (struct send_input){.args = args, .own = !standard};
    csv_row_init(&input->header);
    csv_row_init(&input->row);
    err->kind = ERROR_NONE;
    input->csv = is_csv(args, path, err);
    if (err->kind != ERROR_NONE)
        return -1;
    input->file = standard ? stdin : fopen(path, "re");
    if (!input->file)
        return error_set(err, ERROR_INPUT, "%s: %s", name, strerror(errno));
    input->reader = (struct csv_reader){.file = input->file};
    return input->csv ? read_header(input, name, err) : 0;
}

void send_input_close(struct send_input *input)
{
    if (input->own && input->file)
        (void)fclose(input->file);
    csv_row_release(&input->header);
    csv_row_release(&input->row);
    free(input->text);
}

static int failed(const struct send_input *input, struct error *err)
{
    return ferror(input->file) ? error_set(err, ERROR_TEMPORARY, "reading: %s", strerror(errno))
                               : 0;
}

static int next_line(struct send_input *input, struct buffer *json, struct error *err)
{
    ssize_t length;
    while ((length = getline(&input->text, &input->text_room, input->file)) >= 0) {
        struct slice line = slice_of(input->text, (size_t)length);
        input->line++;
        while (line.len > 0 && strchr(" \t\r\n", line.data[line.len - 1]) &&
               line.data[line.len - 1])
            line.len--;
        if (line.len == 0)
            continue;
        buffer_append_slice(json, line);
        return buffer_failed(json)
                   ? error_set(err, ERROR_INPUT, "expected a command of at most %d bytes",
                               LIMIT_COMMAND_BYTES)
                   : 1;
    }
    return failed(input, err);
}

static int next_row(struct send_input *input, int64_t now_ms, struct buffer *json, const char **key,
                    struct error *err)
{
    struct send_source source = {input->args, &input->header, &input->row};
    int read = csv_read(&input->reader, &input->row, err);
    input->line = input->row.line;
    if (read == 0)
        return failed(input, err);
    if (read < 0)
        return -1;
    if (input->row.count > input->header.count)
        return error_set(err, ERROR_INPUT, "expected at most %zu cells, as the first row has",
                         input->header.count);
    if (send_command_build(&source, now_ms, json, err) != 0)
        return -1;
    *key = send_key(&source);
    return 1;
}

int send_input_next(struct send_input *input, int64_t now_ms, struct buffer *json, const char **key,
                    struct error *err)
{
    buffer_release(json);
    buffer_init(json, LIMIT_COMMAND_BYTES);
    *key = NULL;
    return input->csv ? next_row(input, now_ms, json, key, err) : next_line(input, json, err);
}
