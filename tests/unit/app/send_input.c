#include "tests/unit/unit.h"

#include "worker/app/send.h"
#include "worker/app/subcommands.h"

#include "common/banned.h"

/* 2026-11-21T12:00:00.000Z */
#define NOW INT64_C(1795262400000)

static struct command_room room;
static struct args args;
static struct send_input input;
static struct buffer json;
static struct error err;
static const char *key;
static char path[64];

/* A file of that text and ending, and a command line without its -f. */
static int open_text(const char *ending, const char *text, const char *const *words)
{
    static char file_option[80];
    char *argv[16];
    int argc = 0;
    snprintf(path, sizeof(path), "/tmp/kancel-send-XXXXXX%s", ending);
    int fd = mkstemps(path, (int)strlen(ending));
    FILE *file = fdopen(fd, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    snprintf(file_option, sizeof(file_option), "--file=%s", path);
    argv[argc] = file_option;
    err.message[0] = '\0';
    ck_assert_int_eq(args_parse(send_describe(&room), argc + 1, argv, &args, &err), 0);
    buffer_init(&json, LIMIT_COMMAND_BYTES);
    return send_input_open(&input, &args, &err);
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define NO_WORDS WORDS(NULL)

static void close_text(void)
{
    send_input_close(&input);
    buffer_release(&json);
    args_release(&args);
    remove(path);
}

static void expect(size_t line, const char *text)
{
    int next = send_input_next(&input, NOW, &json, &key, &err);
    ck_assert_msg(next == 1, "%d: %s", next, err.message);
    ck_assert_str_eq(json.data, text);
    ck_assert_uint_eq(input.line, line);
}

static void expect_mistake(size_t line, const char *text)
{
    ck_assert_int_eq(send_input_next(&input, NOW, &json, &key, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    ck_assert_msg(strstr(err.message, text) != NULL, "%s", err.message);
    ck_assert_uint_eq(input.line, line);
}

static void expect_end(void)
{
    ck_assert_int_eq(send_input_next(&input, NOW, &json, &key, &err), 0);
}

START_TEST(lines_are_taken_as_they_are)
{
    ck_assert_int_eq(open_text(".jsonl", "{\"a\": 1} \r\n\n{\"b\":2}", NO_WORDS), 0);
    expect(1, "{\"a\": 1}");
    expect(3, "{\"b\":2}");
    expect_end();
    close_text();
}
END_TEST

START_TEST(a_row_is_a_command)
{
    ck_assert_int_eq(open_text(".csv",
                               "id,provider,operation,account,taskIds,key,until,expiresAt,context\n"
                               "c-1,scnet,cancel,hpc,a1 a2,k,settled,2026-11-21T12:00:00Z,"
                               "\"{\"\"n\"\": 1}\"\n"
                               "c-2,scnet,status,,a3,,,,\n",
                               NO_WORDS),
                     0);
    expect(2, "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"scnet\",\"account\":\"hpc\","
              "\"task\":{\"taskIds\":[\"a1\",\"a2\"]},\"until\":\"settled\","
              "\"expiresAt\":\"2026-11-21T12:00:00Z\",\"context\":{\"n\":1}}");
    ck_assert_str_eq(key, "k");
    expect(3, "{\"id\":\"c-2\",\"operation\":\"status\",\"provider\":\"scnet\","
              "\"task\":{\"taskIds\":[\"a3\"]}}");
    ck_assert_ptr_null(key);
    expect_end();
    close_text();
}
END_TEST

START_TEST(what_has_no_column_comes_from_the_command_line)
{
    ck_assert_int_eq(open_text(".csv", "id,task,channelId\nc-1,t-1,\nc-2,t-2,own\n",
                               WORDS("enos", "cancel", "--channel", "ch", "--until", "settled",
                                     "--expires-in", "1m")),
                     0);
    expect(2, "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"enos\",\"task\":{"
              "\"taskId\":\"t-1\",\"channelId\":\"ch\"},\"until\":\"settled\","
              "\"expiresAt\":\"2026-11-21T12:01:00.000Z\"}");
    expect(3, "{\"id\":\"c-2\",\"operation\":\"cancel\",\"provider\":\"enos\",\"task\":{"
              "\"taskId\":\"t-2\",\"channelId\":\"own\"},\"until\":\"settled\","
              "\"expiresAt\":\"2026-11-21T12:01:00.000Z\"}");
    expect_end();
    close_text();
}
END_TEST

START_TEST(rows_of_several_providers_stand_in_one_table)
{
    ck_assert_int_eq(open_text(".csv",
                               "id,provider,task,targets,all,channel\n"
                               "c-1,iotda,5c90,\"d-1,d-2\",,\n"
                               "c-2,iotda,5c91,,true,\n"
                               "c-3,koodrive,12,,,\n",
                               WORDS("enos", "cancel")),
                     0);
    expect(2, "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"iotda\",\"task\":{"
              "\"taskId\":\"5c90\",\"targets\":[\"d-1\",\"d-2\"]}}");
    expect(3, "{\"id\":\"c-2\",\"operation\":\"cancel\",\"provider\":\"iotda\",\"task\":{"
              "\"taskId\":\"5c91\",\"all\":true}}");
    expect(4, "{\"id\":\"c-3\",\"operation\":\"cancel\",\"provider\":\"koodrive\",\"task\":{"
              "\"jobId\":\"12\"}}");
    close_text();
}
END_TEST

START_TEST(a_wrong_row_is_named_and_the_next_one_is_taken)
{
    ck_assert_int_eq(open_text(".csv",
                               "id,provider,operation,taskId,all\n"
                               "c-1,iotad,cancel,5c90,true\n"
                               "c-2,iotda,stop,5c90,true\n"
                               "c-3,iotda,cancel,,true\n"
                               "c-4,iotda,cancel,5c90,\n"
                               "c-5,iotda,cancel,5c90,yes\n"
                               "c-6,iotda,cancel,5c90,true,more\n"
                               "c-7,iotda,cancel,\"5c90,true\n",
                               NO_WORDS),
                     0);
    expect_mistake(2, "did you mean iotda?");
    expect_mistake(3, "expected cancel or status");
    expect_mistake(4, "column taskId (or task): expected an id");
    expect_mistake(5, "needs --targets or --all");
    expect_mistake(6, "column all: expected true or nothing");
    expect_mistake(7, "at most 5 cells");
    expect_mistake(8, "a quote is not closed");
    expect_end();
    close_text();
}
END_TEST

START_TEST(an_unknown_column_is_refused_before_any_row)
{
    ck_assert_int_eq(open_text(".csv", "id,provider,taskid\nc-1,iotda,5c90\n", NO_WORDS), -1);
    ck_assert_msg(strstr(err.message, "column taskid: unknown; did you mean taskId?"), "%s",
                  err.message);
    close_text();
    ck_assert_int_eq(open_text(".csv", "id,task,id\n", NO_WORDS), -1);
    ck_assert_msg(strstr(err.message, "column id: twice"), "%s", err.message);
    close_text();
    ck_assert_int_eq(open_text(".csv", "", NO_WORDS), -1);
    ck_assert_msg(strstr(err.message, "expected a first row"), "%s", err.message);
    close_text();
    ck_assert_int_eq(open_text(".txt", "id\n", WORDS("--format", "tsv")), -1);
    ck_assert_msg(strstr(err.message, "--format: expected csv or jsonl"), "%s", err.message);
    close_text();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("send_input");
    tcase_add_test(tests, lines_are_taken_as_they_are);
    tcase_add_test(tests, a_row_is_a_command);
    tcase_add_test(tests, what_has_no_column_comes_from_the_command_line);
    tcase_add_test(tests, rows_of_several_providers_stand_in_one_table);
    tcase_add_test(tests, a_wrong_row_is_named_and_the_next_one_is_taken);
    tcase_add_test(tests, an_unknown_column_is_refused_before_any_row);
    return unit_run("app/send_input", tests);
}
