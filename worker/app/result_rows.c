#include "worker/app/result_rows.h"

#include "worker/app/config.h"

#include "common/banned.h"

static const struct {
    const char *title, *member;
    int width;
} columns[] = {
    {"command", "commandId", -36}, {"provider", "provider", -9}, {"operation", "operation", -9},
    {"outcome", "outcome", -10},   {"state", "state", -11},
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static void print_head(struct result_rows *rows)
{
    for (size_t i = 0; i < COLUMNS; i++)
        fprintf(rows->out, "%*s ", columns[i].width, columns[i].title);
    fputs("error\n", rows->out);
    rows->headed = true;
}

static void print_row(struct result_rows *rows, const struct json_value *result)
{
    const struct json_value *error = json_value_get(result, "error");
    if (!rows->headed)
        print_head(rows);
    for (size_t i = 0; i < COLUMNS; i++) {
        char text[64];
        struct slice value = json_value_text(json_value_get(result, columns[i].member));
        config_quote(value, text);
        fprintf(rows->out, "%*s ", columns[i].width, value.len ? text : "-");
    }
    if (error) {
        struct slice message = json_value_text(json_value_get(error, "message"));
        char kind[64], text[64];
        config_quote(json_value_text(json_value_get(error, "kind")), kind);
        config_quote(message, text);
        fprintf(rows->out, "%s%s%s", kind, message.len ? ": " : "", text);
    }
    fputc('\n', rows->out);
}

void result_rows_print(struct result_rows *rows, struct slice json, const struct json_value *result)
{
    if (rows->lines) {
        struct buffer line;
        buffer_init(&line, json.len + 1);
        json_write_compact(&line, json);
        fprintf(rows->out, "%.*s\n", SLICE_ARG(buffer_slice(&line)));
        buffer_release(&line);
    } else {
        print_row(rows, result);
    }
    fflush(rows->out);
}
