#include "common/csv.h"

#include "common/banned.h"

void csv_row_init(struct csv_row *row)
{
    *row = (struct csv_row){.count = 0};
    buffer_init(&row->text, CSV_ROW_BYTES);
}

void csv_row_release(struct csv_row *row)
{
    buffer_release(&row->text);
}

struct slice csv_row_cell(const struct csv_row *row, size_t index)
{
    if (index >= row->count)
        return slice_of(NULL, 0);
    size_t start = index > 0 ? row->ends[index - 1] + 1 : 0;
    return slice_of(row->text.data + start, row->ends[index] - start);
}

static int next(struct csv_reader *reader)
{
    int byte = getc(reader->file);
    if (byte == '\n')
        reader->line++;
    return byte;
}

static int peek(struct csv_reader *reader)
{
    int byte = getc(reader->file);
    if (byte != EOF)
        (void)ungetc(byte, reader->file);
    return byte;
}

static void skip_mark(struct csv_reader *reader)
{
    static const int mark[] = {0xef, 0xbb, 0xbf};
    for (size_t i = 0; reader->line == 0 && i < 3 && peek(reader) == mark[i]; i++)
        (void)getc(reader->file);
}

static int add(struct csv_row *row, int byte, struct error *err)
{
    if (byte == '\0')
        return error_set(err, ERROR_INPUT, "expected text without NUL");
    buffer_append_byte(&row->text, (char)byte);
    if (!buffer_failed(&row->text) && row->text.len < CSV_ROW_BYTES - CSV_COLUMNS_MOST)
        return 0;
    return error_set(err, ERROR_INPUT, "expected a row of at most %d bytes", CSV_ROW_BYTES);
}

/* Behind the opening quote, to behind the closing one. */
static int read_quoted(struct csv_reader *reader, struct csv_row *row, struct error *err)
{
    for (;;) {
        int byte = next(reader);
        if (byte == EOF)
            return error_set(err, ERROR_INPUT, "a quote is not closed");
        if (byte == '"') {
            if (peek(reader) != '"')
                return 0;
            byte = next(reader);
        }
        if (add(row, byte, err) != 0)
            return -1;
    }
}

/* One cell; its delimiter is given back: ',', '\n' or EOF. */
static int read_cell(struct csv_reader *reader, struct csv_row *row, int *delimiter,
                     struct error *err)
{
    bool quoted = peek(reader) == '"';
    if (quoted) {
        (void)next(reader);
        if (read_quoted(reader, row, err) != 0)
            return -1;
    }
    for (;;) {
        int byte = next(reader);
        if (byte == '\r' && peek(reader) == '\n')
            byte = next(reader);
        if (byte == ',' || byte == '\n' || byte == EOF) {
            *delimiter = byte;
            return 0;
        }
        *delimiter = byte;
        if (quoted)
            return error_set(err, ERROR_INPUT, "expected a comma behind a closing quote");
        if (byte == '"')
            return error_set(err, ERROR_INPUT, "expected a quote only around a whole cell");
        if (add(row, byte, err) != 0)
            return -1;
    }
}

static void skip_line(struct csv_reader *reader)
{
    int byte;
    do
        byte = next(reader);
    while (byte != '\n' && byte != EOF);
}

int csv_read(struct csv_reader *reader, struct csv_row *row, struct error *err)
{
    int delimiter = '\n';
    skip_mark(reader);
    for (;;) {
        int byte = peek(reader);
        if (byte == EOF)
            return 0;
        if (byte != '\n' && byte != '\r')
            break;
        (void)next(reader);
    }
    buffer_release(&row->text);
    buffer_init(&row->text, CSV_ROW_BYTES);
    row->count = 0;
    row->line = reader->line + 1;
    do {
        if (row->count == CSV_COLUMNS_MOST) {
            (void)error_set(err, ERROR_INPUT, "expected at most %d cells", CSV_COLUMNS_MOST);
            skip_line(reader);
            return -1;
        }
        if (read_cell(reader, row, &delimiter, err) != 0) {
            skip_line(reader);
            return -1;
        }
        row->ends[row->count++] = row->text.len;
        buffer_append_byte(&row->text, '\0');
    } while (delimiter == ',');
    return 1;
}
