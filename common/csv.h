/*
 * Comma-separated values as RFC 4180 has them: cells in double quotes may hold commas, line ends
 * and doubled quotes; lines end with LF or CRLF; a byte order mark at the start is passed over, and
 * so are empty lines.
 */
#ifndef KANCEL_COMMON_CSV_H
#define KANCEL_COMMON_CSV_H

#include <stdio.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/slice.h"

enum { CSV_COLUMNS_MOST = 64, CSV_ROW_BYTES = 128 * 1024 };

struct csv_reader {
    FILE *file;
    size_t line; /* read so far */
};

struct csv_row {
    struct buffer text;
    size_t ends[CSV_COLUMNS_MOST]; /* of each cell in `text` */
    size_t count;
    size_t line; /* where it began, from 1 */
};

void csv_row_init(struct csv_row *row);
void csv_row_release(struct csv_row *row);
/* NUL-terminated, and without a NUL in it. The absent slice beyond the last cell; borrowed until
 * the next read. */
struct slice csv_row_cell(const struct csv_row *row, size_t index);

/* 1: a row; 0: the end; -1: ERROR_INPUT, what is wrong with the row, which was passed over as far
 * as its line goes; `row->line` says where. A file that cannot be read ends (ask ferror()). */
int csv_read(struct csv_reader *reader, struct csv_row *row, struct error *err) MUST_CHECK;

#endif
