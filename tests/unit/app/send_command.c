#include "tests/unit/unit.h"

#include "worker/app/send.h"
#include "worker/app/subcommands.h"

#include "common/banned.h"

/* 2026-11-21T12:00:00.000Z */
#define NOW INT64_C(1795262400000)

enum { WORDS_MOST = 16 };

static int build(const char *const *words, struct buffer *json, struct error *err)
{
    static char storage[WORDS_MOST][128];
    static struct command_room room;
    char *argv[WORDS_MOST];
    struct args args;
    struct send_source source = {&args, NULL, NULL};
    int argc = 0;
    int status;
    for (; *words; words++, argc++) {
        snprintf(storage[argc], sizeof(storage[argc]), "%s", *words);
        argv[argc] = storage[argc];
    }
    ck_assert_int_eq(args_parse(send_describe(&room), argc, argv, &args, err), 0);
    buffer_init(json, LIMIT_COMMAND_BYTES);
    status = send_command_build(&source, NOW, json, err);
    args_release(&args);
    return status;
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

/* What was built is also what a worker would take. */
static void assert_built(const char *const *words, const char *expected, const char *key)
{
    struct send_item item;
    struct buffer json;
    struct error err = {.message = ""};
    ck_assert_msg(build(words, &json, &err) == 0, "%s", err.message);
    ck_assert_str_eq(json.data, expected);
    ck_assert_msg(send_item_read(NULL, buffer_slice(&json), &item, &err) == 0, "%s", err.message);
    ck_assert(slice_equals(item.key, key));
    ck_assert(slice_equals(item.id, "c-1"));
    send_item_release(&item);
    buffer_release(&json);
}

static void assert_refused(const char *const *words, const char *message)
{
    struct buffer json;
    struct error err = {.message = ""};
    ck_assert_int_eq(build(words, &json, &err), -1);
    ck_assert_msg(strstr(err.message, message) != NULL, "%s", err.message);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    buffer_release(&json);
}

START_TEST(each_provider_gets_its_task)
{
    assert_built(WORDS("--id", "c-1", "enos", "status", "t-1", "--channel", "ch", "--org", "o"),
                 "{\"id\":\"c-1\",\"operation\":\"status\",\"provider\":\"enos\",\"task\":{"
                 "\"taskId\":\"t-1\",\"channelId\":\"ch\",\"orgId\":\"o\"}}",
                 "t-1");
    assert_built(WORDS("--id", "c-1", "scnet", "cancel", "t-1", "t-2"),
                 "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"scnet\",\"task\":{"
                 "\"taskIds\":[\"t-1\",\"t-2\"]}}",
                 "t-1");
    assert_built(
        WORDS("--id=c-1", "iotda", "cancel", "5c90", "--targets", "d-1,d-2", "--project", "p",
              "--instance", "i"),
        "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"iotda\",\"task\":{"
        "\"taskId\":\"5c90\",\"projectId\":\"p\",\"instanceId\":\"i\",\"targets\":[\"d-1\","
        "\"d-2\"]}}",
        "5c90");
    assert_built(WORDS("--id=c-1", "iotda", "cancel", "5c90", "--all"),
                 "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"iotda\",\"task\":{"
                 "\"taskId\":\"5c90\",\"all\":true}}",
                 "5c90");
    assert_built(WORDS("--id=c-1", "koodrive", "cancel", "12", "--user", "u", "-a", "drive"),
                 "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"koodrive\",\"account\":"
                 "\"drive\",\"task\":{\"jobId\":\"12\",\"userId\":\"u\"}}",
                 "12");
}
END_TEST

START_TEST(what_else_a_command_says_comes_from_options)
{
    assert_built(
        WORDS("--id=c-1", "koodrive", "status", "12", "--until", "settled", "--expires-in=90s",
              "--context", "{ \"a\": [1.0, 2] }"),
        "{\"id\":\"c-1\",\"operation\":\"status\",\"provider\":\"koodrive\",\"task\":{"
        "\"jobId\":\"12\"},\"until\":\"settled\",\"expiresAt\":\"2026-11-21T12:01:30.000Z\","
        "\"context\":{\"a\":[1.0,2]}}",
        "12");
}
END_TEST

START_TEST(texts_are_quoted_as_json)
{
    assert_built(WORDS("--id=c-1", "scnet", "status", "a\"b"),
                 "{\"id\":\"c-1\",\"operation\":\"status\",\"provider\":\"scnet\",\"task\":{"
                 "\"taskIds\":[\"a\\\"b\"]}}",
                 "a\"b");
}
END_TEST

START_TEST(an_id_is_made_where_none_is_given)
{
    struct buffer first, second;
    struct error err;
    struct send_item item;
    ck_assert_int_eq(build(WORDS("koodrive", "cancel", "1"), &first, &err), 0);
    ck_assert_int_eq(build(WORDS("koodrive", "cancel", "1"), &second, &err), 0);
    ck_assert_str_ne(first.data, second.data);
    ck_assert_int_eq(send_item_read(NULL, buffer_slice(&first), &item, &err), 0);
    ck_assert_uint_eq(item.id.len, 36);
    ck_assert_int_eq(item.id.data[14], '4'); /* a random UUID's version */
    send_item_release(&item);
    buffer_release(&first);
    buffer_release(&second);
}
END_TEST

START_TEST(mistakes_on_the_command_line_are_named)
{
    assert_refused(WORDS("koodrive", "cancel"), "expected PROVIDER OPERATION ID");
    assert_refused(WORDS("koodriv", "cancel", "1"), "did you mean koodrive?");
    assert_refused(WORDS("dhl", "cancel", "1"), "there are enos, scnet, iotda, koodrive");
    assert_refused(WORDS("--wait", "10s", "koodrive", "cancel", "1"), "--wait=10s");
    assert_refused(WORDS("koodrive", "stop", "1"), "expected cancel or status, not 'stop'");
    assert_refused(WORDS("koodrive", "cancel", "1", "2"), "expected one id for koodrive, not 2");
    assert_refused(WORDS("koodrive", "cancel", "1", "--channel", "c"), "--channel is for enos");
    assert_refused(WORDS("iotda", "cancel", "1"), "a cancel of iotda needs --targets or --all");
    assert_refused(WORDS("iotda", "cancel", "1", "--all", "--targets", "a"), "not both");
    assert_refused(WORDS("iotda", "status", "1", "--all"), "--all is for cancel");
    assert_refused(WORDS("enos", "status", "1"), "--channel is needed for enos");
    assert_refused(WORDS("koodrive", "cancel", "1", "--expires-in", "soon"),
                   "--expires-in: expected a duration");
    assert_refused(WORDS("koodrive", "cancel", "1", "--context", "{a}"),
                   "--context: expected JSON");
}
END_TEST

static void assert_line_refused(const char *json, const char *message)
{
    struct send_item item;
    struct error err = {.message = ""};
    ck_assert_int_eq(send_item_read(NULL, slice_of_string(json), &item, &err), -1);
    ck_assert_msg(strstr(err.message, message) != NULL, "%s", err.message);
}

START_TEST(lines_that_no_worker_would_take_are_refused)
{
    assert_line_refused("{", "");
    assert_line_refused("[]", "");
    assert_line_refused("{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"enos\"}", "task");
    assert_line_refused("{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"x\",\"task\":{}}",
                        "provider: expected a known one, not 'x'");
}
END_TEST

static const char *nothing(const char *name)
{
    (void)name;
    return NULL;
}

START_TEST(with_a_configuration_the_account_and_the_task_are_checked_too)
{
    static const struct {
        const char *json, *message;
    } lines[] = {
        {"{\"id\":\"c\",\"operation\":\"cancel\",\"provider\":\"koodrive\",\"account\":\"no\","
         "\"task\":{\"jobId\":\"1\"}}",
         "none of name no"},
        {"{\"id\":\"c\",\"operation\":\"cancel\",\"provider\":\"koodrive\",\"account\":\"hpc\","
         "\"task\":{\"jobId\":\"1\"}}",
         "hpc is one of scnet"},
        {"{\"id\":\"c\",\"operation\":\"cancel\",\"provider\":\"koodrive\",\"task\":{\"jobId\":"
         "\"x\"}}",
         "jobId"},
        {"{\"id\":\"c\",\"operation\":\"cancel\",\"provider\":\"koodrive\",\"task\":{\"jobID\":"
         "\"1\"}}",
         "jobI"},
    };
    struct config *config = config_load(SOURCE_DIR "/worker/app/kancel.example.yaml", nothing);
    struct send_item item;
    struct error err;
    ck_assert(config->valid);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        ck_assert_int_eq(send_item_read(config, slice_of_string(lines[i].json), &item, &err), -1);
        ck_assert_msg(strstr(err.message, lines[i].message) != NULL, "%s", err.message);
    }
    ck_assert_int_eq(
        send_item_read(config,
                       slice_of_string("{\"id\":\"c\",\"operation\":\"cancel\",\"provider\":"
                                       "\"koodrive\",\"task\":{\"jobId\":\"1\"}}"),
                       &item, &err),
        0);
    send_item_release(&item);
    config_free(config);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("send_command");
    tcase_add_test(tests, each_provider_gets_its_task);
    tcase_add_test(tests, what_else_a_command_says_comes_from_options);
    tcase_add_test(tests, texts_are_quoted_as_json);
    tcase_add_test(tests, an_id_is_made_where_none_is_given);
    tcase_add_test(tests, mistakes_on_the_command_line_are_named);
    tcase_add_test(tests, lines_that_no_worker_would_take_are_refused);
    tcase_add_test(tests, with_a_configuration_the_account_and_the_task_are_checked_too);
    return unit_run("app/send_command", tests);
}
