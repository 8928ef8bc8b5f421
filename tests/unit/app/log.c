#include "tests/unit/unit.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/app/log.h"

#include "common/banned.h"

/* 2026-11-21T12:00:00.123Z */
#define WHEN INT64_C(1795262400123)
#define HEAD "time=2026-11-21T12:00:00.123Z level=info event=thing"
#define JSON "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"info\",\"event\":\"thing\""

static void assert_line(const char *pairs, bool json, const char *expected)
{
    struct buffer line;
    buffer_init(&line, 1 << 20);
    log_line(&line, WHEN, LOG_INFO, "thing", slice_of_string(pairs), json);
    ck_assert_str_eq(line.data, expected);
    buffer_release(&line);
}

START_TEST(a_line_is_logfmt_or_json)
{
    assert_line("", false, HEAD "\n");
    assert_line("", true, JSON "}\n");
    assert_line("topic=t partition=3 ok=true", false, HEAD " topic=t partition=3 ok=true\n");
    assert_line("topic=t partition=3 ok=true", true,
                JSON ",\"topic\":\"t\",\"partition\":3,\"ok\":true}\n");
}
END_TEST

START_TEST(values_that_are_no_numbers_stay_texts)
{
    assert_line("a=01 b=1.5 c=- d=12345678901234567890 e=-7", true,
                JSON ",\"a\":\"01\",\"b\":\"1.5\",\"c\":\"-\",\"d\":\"12345678901234567890\","
                     "\"e\":-7}\n");
}
END_TEST

/* What log_value made of `value`, read back by log_line. */
static void assert_value(const char *value, size_t len, const char *logfmt, const char *json)
{
    struct buffer pairs;
    char expected[512];
    buffer_init(&pairs, 1 << 16);
    buffer_append_string(&pairs, "a=1");
    log_value(&pairs, "id", slice_of(value, len));
    snprintf(expected, sizeof(expected), "%s a=1 id=%s\n", HEAD, logfmt);
    assert_line(pairs.data, false, expected);
    snprintf(expected, sizeof(expected), "%s,\"a\":1,\"id\":%s}\n", JSON, json);
    assert_line(pairs.data, true, expected);
    buffer_release(&pairs);
}

START_TEST(a_strangers_value_is_escaped_in_both_forms)
{
    assert_value("c-1", 3, "c-1", "\"c-1\"");
    assert_value("7", 1, "\"7\"", "\"7\"");
    assert_value("true", 4, "\"true\"", "\"true\"");
    assert_value("", 0, "\"\"", "\"\"");
    assert_value("a b", 3, "\"a b\"", "\"a b\"");
    assert_value("a=b", 3, "\"a=b\"", "\"a=b\"");
    assert_value("x\" level=error", 14, "\"x\\\" level=error\"", "\"x\\\" level=error\"");
    assert_value("x\nlevel=error", 13, "\"x\\nlevel=error\"", "\"x\\nlevel=error\"");
    assert_value("\\", 1, "\"\\\\\"", "\"\\\\\"");
    assert_value("\x1b[31m", 5, "\"\\u001b[31m\"", "\"\\u001b[31m\"");
    assert_value("\xff", 1, "\"\xef\xbf\xbd\"", "\"\xef\xbf\xbd\"");
    assert_value("\xc3\xa9", 2, "\"\xc3\xa9\"", "\"\xc3\xa9\"");
}
END_TEST

START_TEST(careless_pairs_never_make_a_second_line)
{
    assert_line("error=no such\nlevel=error x=1", false,
                HEAD " error=\"no such\\nlevel=error\" x=1\n");
    assert_line("error=\"unclosed x=1", false, HEAD " error=\"\\\"unclosed\" x=1\n");
    assert_line("error=\"bad \\q escape\" x=1", true,
                JSON ",\"error\":\"\\\"bad \\\\q escape\\\"\",\"x\":1}\n");
    assert_line("error=\"bad \\u12 escape\"", true,
                JSON ",\"error\":\"\\\"bad \\\\u12 escape\\\"\"}\n");
    assert_line("error=two words more=1", true, JSON ",\"error\":\"two words\",\"more\":1}\n");
    assert_line("just words", false, HEAD " text=\"just words\"\n");
    assert_line("error=", false, HEAD " error=\"\"\n");
    assert_line("a= b=", false, HEAD " a=\"\" b=\"\"\n");
}
END_TEST

static void assert_cut(bool json, const char *end)
{
    static char pairs[LOG_LINE_BYTES * 2];
    struct buffer line;
    memset(pairs, 'x', sizeof(pairs) - 1);
    memcpy(pairs, "a=1 b=", 6);
    buffer_init(&line, 1 << 20);
    log_line(&line, WHEN, LOG_INFO, "thing", slice_of_string(pairs), json);
    ck_assert_uint_le(line.len, LOG_LINE_BYTES);
    ck_assert(slice_ends_with(buffer_slice(&line), end));
    buffer_release(&line);
}

START_TEST(a_line_too_long_is_cut_at_a_pair_and_says_so)
{
    assert_cut(false, " a=1 cut=true\n");
    assert_cut(true, ",\"a\":1,\"cut\":true}\n");
}
END_TEST

START_TEST(the_longest_lines_fit_with_their_cut)
{
    /* Every length around the ceiling. */
    static char pairs[LOG_LINE_BYTES * 2];
    for (size_t len = LOG_LINE_BYTES - 120; len < LOG_LINE_BYTES + 20; len++) {
        struct buffer line;
        memset(pairs, 'x', len);
        memcpy(pairs, "a=", 2);
        memcpy(pairs + len - 4, " b=1", 5);
        buffer_init(&line, 1 << 20);
        log_line(&line, WHEN, LOG_INFO, "thing", slice_of_string(pairs), true);
        ck_assert_uint_le(line.len, LOG_LINE_BYTES);
        ck_assert(slice_ends_with(buffer_slice(&line), "}\n"));
        buffer_release(&line);
    }
}
END_TEST

/* ---- where it is written ---- */

static int standard_error;

/* Lets standard error be `fd` until restored. */
static void redirect(int fd)
{
    standard_error = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
}

static void restore(void)
{
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
}

START_TEST(only_what_the_level_allows_is_written)
{
    char text[1000];
    int ends[2];
    ssize_t n;
    ck_assert_int_eq(pipe(ends), 0);
    redirect(ends[1]);
    log_setup(LOG_WARN, false);
    log_event(LOG_INFO, "quiet", "a=%d", 1);
    log_event(LOG_WARN, "loud", "a=%d", 2);
    restore();
    n = read(ends[0], text, sizeof(text) - 1);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    ck_assert_ptr_null(strstr(text, "quiet"));
    ck_assert_ptr_nonnull(strstr(text, " level=warn event=loud a=2\n"));
    ck_assert(log_enabled(LOG_ERROR));
    ck_assert(!log_enabled(LOG_INFO));
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(a_reader_that_stands_still_loses_lines_and_stops_nobody)
{
    int ends[2];
    uint64_t before = log_lost();
    char text[65536];
    ck_assert_int_eq(pipe(ends), 0);
    redirect(ends[1]);
    log_setup(LOG_INFO, false);
    /* Far more than a pipe holds; would hang here if a write blocked. */
    for (int i = 0; i < 20000; i++)
        log_event(LOG_INFO, "line", "number=%d", i);
    ck_assert_uint_gt(log_lost(), before);
    /* Once there is room again lines are taken again. */
    while (read(ends[0], text, sizeof(text)) == (ssize_t)sizeof(text))
        ;
    before = log_lost();
    log_event(LOG_INFO, "line", "again=%d", 1);
    ck_assert_uint_eq(log_lost(), before);
    restore();
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(a_full_disk_loses_lines)
{
    uint64_t before = log_lost();
    int full = open("/dev/full", O_WRONLY);
    ck_assert_int_ge(full, 0);
    redirect(full);
    log_setup(LOG_INFO, false);
    log_event(LOG_INFO, "line", "a=%d", 1);
    restore();
    ck_assert_uint_eq(log_lost(), before + 1);
    close(full);
}
END_TEST

enum { MANY = 150 };

static void add_many(struct buffer *lines)
{
    for (int i = 0; i < MANY; i++) {
        struct buffer pairs;
        buffer_init(&pairs, 100000);
        for (int k = 0; k < (i == 7 ? 1000 : 3); k++) /* one too long for a line */
            log_value(&pairs, "name", (struct slice)SLICE("two words"));
        buffer_append_string(&pairs, " n=");
        buffer_append_int(&pairs, i);
        log_add(lines, WHEN, LOG_INFO, "thing", buffer_slice(&pairs));
        buffer_release(&pairs);
    }
}

/* A pipe that holds whole writes: each read() gives back one of them. */
START_TEST(many_lines_are_written_in_pieces_of_whole_lines)
{
    char text[LOG_LINE_BYTES + 1];
    int ends[2], lines = 0, writes = 0;
    ssize_t n;
    struct buffer many;
    buffer_init(&many, 1000000);
    log_setup(LOG_INFO, false);
    add_many(&many);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    redirect(ends[1]);
    log_write(&many, WHEN);
    restore();
    ck_assert_uint_eq(many.len, 0);
    while ((n = read(ends[0], text, sizeof(text))) > 0) {
        ck_assert_int_le(n, LOG_LINE_BYTES);
        ck_assert_int_eq(text[n - 1], '\n');
        ck_assert_int_eq(memcmp(text, "time=2", 6), 0);
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
        writes++;
    }
    ck_assert_int_eq(lines, MANY);
    ck_assert_int_lt(writes, MANY / 10);
    buffer_release(&many);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(a_full_disk_loses_every_line_of_many)
{
    uint64_t before = log_lost();
    int full = open("/dev/full", O_WRONLY);
    struct buffer many;
    buffer_init(&many, 1000000);
    add_many(&many);
    ck_assert_int_ge(full, 0);
    redirect(full);
    log_write(&many, WHEN);
    restore();
    ck_assert_uint_eq(log_lost(), before + MANY);
    buffer_release(&many);
    close(full);
}
END_TEST

START_TEST(an_added_line_is_what_a_written_one_is)
{
    static const bool forms[] = {false, true};
    struct slice pairs = SLICE(" id=\"a b\" offset=7 outcome=succeeded");
    for (size_t i = 0; i < 2; i++) {
        struct buffer line, added;
        buffer_init(&line, 10000);
        buffer_init(&added, 10000);
        log_setup(LOG_INFO, forms[i]);
        log_line(&line, WHEN, LOG_INFO, "thing", pairs, forms[i]);
        log_add(&added, WHEN, LOG_INFO, "thing", pairs);
        ck_assert_str_eq(added.data, line.data);
        buffer_release(&line);
        buffer_release(&added);
    }
}
END_TEST

/* So many bytes a file may hold from now on. The library's own notes of where a test is go to a
 * file as well: no assertion before the bound is gone. */
static void bound_files(rlim_t bytes)
{
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    (void)setrlimit(RLIMIT_FSIZE, &limit);
}

START_TEST(what_was_lost_is_said_when_there_is_room_again)
{
    struct log_recent recent;
    char text[2048];
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    signal(SIGXFSZ, SIG_IGN);
    redirect(fileno(file));
    log_setup(LOG_INFO, false);
    bound_files(100);
    log_event(LOG_INFO, "fits", "a=1");
    log_event(LOG_INFO, "torn", "text=\"%0100d\"", 1);
    log_event(LOG_INFO, "none_of_it", "a=2");
    bound_files(RLIM_INFINITY);
    ck_assert_uint_eq(log_recent(&recent, 1), 1);
    ck_assert_str_eq(recent.event, "log_lines_lost");
    log_event(LOG_INFO, "whole", "a=3");
    log_event(LOG_INFO, "whole", "a=4");
    restore();
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    /* Each line begins anew, the one behind the torn one too. */
    const char *whole = strstr(text, " level=info event=whole a=3\n");
    ck_assert_msg(whole != NULL, "%s", text);
    while (whole > text && whole[-1] != '\n')
        whole--;
    ck_assert_int_eq(strncmp(whole, "time=", 5), 0);
    ck_assert(strstr(whole + 1, "time=") > strchr(whole, '\n'));
    ck_assert_ptr_nonnull(strstr(whole, " level=warn event=log_lines_lost lines=2\n"));
    ck_assert_ptr_nonnull(strstr(whole, " event=whole a=4\n"));
    fclose(file);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("log");
    tcase_add_test(tests, a_line_is_logfmt_or_json);
    tcase_add_test(tests, values_that_are_no_numbers_stay_texts);
    tcase_add_test(tests, a_strangers_value_is_escaped_in_both_forms);
    tcase_add_test(tests, careless_pairs_never_make_a_second_line);
    tcase_add_test(tests, a_line_too_long_is_cut_at_a_pair_and_says_so);
    tcase_add_test(tests, the_longest_lines_fit_with_their_cut);
    tcase_add_test(tests, only_what_the_level_allows_is_written);
    tcase_add_test(tests, a_reader_that_stands_still_loses_lines_and_stops_nobody);
    tcase_add_test(tests, a_full_disk_loses_lines);
    tcase_add_test(tests, many_lines_are_written_in_pieces_of_whole_lines);
    tcase_add_test(tests, a_full_disk_loses_every_line_of_many);
    tcase_add_test(tests, an_added_line_is_what_a_written_one_is);
    tcase_add_test(tests, what_was_lost_is_said_when_there_is_room_again);
    return unit_run("app/log", tests);
}
