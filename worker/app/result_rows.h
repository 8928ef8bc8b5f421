/* Results for people and for programs: a table on a terminal, else a line of JSON each. */
#ifndef KANCEL_WORKER_APP_RESULT_ROWS_H
#define KANCEL_WORKER_APP_RESULT_ROWS_H

#include <stdio.h>

#include "common/json.h"
#include "common/limits.h"

struct result_rows {
    FILE *out;
    bool lines;  /* JSON lines */
    bool headed; /* the table's head is printed */
};

/* `json` is the text of `result`. */
void result_rows_print(struct result_rows *rows, struct slice json,
                       const struct json_value *result);

/* Most of one result: a task of 64 KiB, its items and an echo. */
enum { RESULT_BYTES = 4 * 1024 * 1024, RESULT_DEPTH = LIMIT_RESPONSE_DEPTH + 4 };

#endif
