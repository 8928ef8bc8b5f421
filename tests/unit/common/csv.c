#include "tests/unit/unit.h"

#include "common/csv.h"

#include "common/banned.h"

static struct csv_reader reader;
static struct csv_row row;
static struct error err;

static void open_text(const char *text)
{
    reader = (struct csv_reader){.file = tmpfile()};
    ck_assert_ptr_nonnull(reader.file);
    fputs(text, reader.file);
    rewind(reader.file);
    csv_row_init(&row);
}

static void close_text(void)
{
    csv_row_release(&row);
    fclose(reader.file);
}

static void expect(size_t line, size_t count, const char *const *cells)
{
    ck_assert_msg(csv_read(&reader, &row, &err) == 1, "%s", err.message);
    ck_assert_uint_eq(row.line, line);
    ck_assert_uint_eq(row.count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(slice_equals(csv_row_cell(&row, i), cells[i]), "cell %zu: '%.*s'", i,
                      SLICE_ARG(csv_row_cell(&row, i)));
    ck_assert_ptr_null(csv_row_cell(&row, count).data);
}

static void expect_mistake(size_t line, const char *text)
{
    ck_assert_int_eq(csv_read(&reader, &row, &err), -1);
    ck_assert_uint_eq(row.line, line);
    ck_assert_msg(strstr(err.message, text) != NULL, "%s", err.message);
}

START_TEST(rows_and_cells_come_as_written)
{
    open_text("id,task\r\n\xc3\xa9,\n\n,b\nlast,row");
    expect(1, 2, (const char *[]){"id", "task"});
    expect(2, 2, (const char *[]){"\xc3\xa9", ""});
    expect(4, 2, (const char *[]){"", "b"});
    expect(5, 2, (const char *[]){"last", "row"});
    ck_assert_int_eq(csv_read(&reader, &row, &err), 0);
    close_text();
}
END_TEST

START_TEST(quotes_hold_commas_lines_and_quotes)
{
    open_text("\xef\xbb\xbf\"a,b\",\"c\"\"d\",\"e\nf\"\r\nnext\n");
    expect(1, 3, (const char *[]){"a,b", "c\"d", "e\nf"});
    expect(3, 1, (const char *[]){"next"});
    ck_assert_int_eq(csv_read(&reader, &row, &err), 0);
    close_text();
}
END_TEST

START_TEST(a_broken_row_does_not_harm_the_next)
{
    open_text("a\"b,c\nfine\n\"a\"b,c\nfine\n\"open\nto the end");
    expect_mistake(1, "only around a whole cell");
    expect(2, 1, (const char *[]){"fine"});
    expect_mistake(3, "behind a closing quote");
    expect(4, 1, (const char *[]){"fine"});
    expect_mistake(5, "not closed");
    ck_assert_int_eq(csv_read(&reader, &row, &err), 0);
    close_text();
}
END_TEST

START_TEST(rows_have_a_ceiling)
{
    static char text[CSV_ROW_BYTES + 100];
    memset(text, 'x', CSV_ROW_BYTES + 10);
    memcpy(text + CSV_ROW_BYTES + 10, "\nfine\n", sizeof("\nfine\n"));
    open_text(text);
    expect_mistake(1, "at most");
    expect(2, 1, (const char *[]){"fine"});
    close_text();
    memset(text, ',', 200);
    memcpy(text + 200, "\nfine\n", sizeof("\nfine\n"));
    open_text(text);
    expect_mistake(1, "at most 64 cells");
    expect(2, 1, (const char *[]){"fine"});
    close_text();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("csv");
    tcase_add_test(tests, rows_and_cells_come_as_written);
    tcase_add_test(tests, quotes_hold_commas_lines_and_quotes);
    tcase_add_test(tests, a_broken_row_does_not_harm_the_next);
    tcase_add_test(tests, rows_have_a_ceiling);
    return unit_run("common/csv", tests);
}
