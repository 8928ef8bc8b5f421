/*
 * A provider is one driver file, one row, one schema fragment and fixtures: here are a file
 * (support/parcel.c), a row (PROVIDERS_OF_TESTS in tests/CMakeLists.txt), a fragment and fixtures
 * of a fifth one, and everything that deals with providers deals with it.
 */
#include <unistd.h>

#include "tests/unit/providers/fixtures.h"
#include "tests/unit/unit.h"
#include "worker/app/send.h"
#include "worker/app/subcommands.h"
#include "worker/core/engine.h"

#include "common/banned.h"

START_TEST(its_fixtures_say_what_the_driver_says)
{
    fixtures_run("parcel");
}
END_TEST

/* ---- configuration --------------------------------------------------------------------------- */

static const char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static struct config *load(const char *provider)
{
    char path[] = "/tmp/kancel-parcel-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file,
            "accounts:\n  post:\n    provider: %s\n    endpoint: https://parcel.example\n"
            "    depot: north\n    auth: {key: key-123456}\n",
            provider);
    fclose(file);
    struct config *config = config_load(path, no_environment);
    unlink(path);
    ck_assert_ptr_nonnull(config);
    return config;
}

START_TEST(its_accounts_are_configured_like_any_other)
{
    struct config *config = load("parcel");
    ck_assert_msg(config->valid, "%s", config->mistakes ? config->mistakes[0].message : "");
    ck_assert_str_eq(config->accounts[0].provider->title, "A parcel service");
    config_free(config);
    config = load("parcle");
    ck_assert(!config->valid);
    ck_assert_str_eq(config->mistakes[0].message,
                     "expected one of enos, scnet, iotda, koodrive, parcel; did you mean parcel?");
    config_free(config);
}
END_TEST

/* ---- the command line ------------------------------------------------------------------------ */

static int build(int argc, char **argv, struct buffer *json, struct error *err)
{
    static struct command_room room;
    struct args args;
    struct send_source source = {&args, NULL, NULL};
    ck_assert_int_eq(args_parse(send_describe(&room), argc, argv, &args, err), 0);
    buffer_init(json, LIMIT_COMMAND_BYTES);
    int status = send_command_build(&source, 0, json, err);
    args_release(&args);
    return status;
}

START_TEST(its_tasks_are_written_on_the_command_line)
{
    char *words[] = {"--id", "c-1", "parcel", "cancel", "A1", "--depot", "south"};
    struct buffer json;
    struct error err = {.message = ""};
    struct config *config = load("parcel");
    struct send_item item;
    ck_assert_msg(build(7, words, &json, &err) == 0, "%s", err.message);
    ck_assert_str_eq(json.data, "{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"parcel\","
                                "\"task\":{\"shipment\":\"A1\",\"depot\":\"south\"}}");
    ck_assert_msg(send_item_read(config, buffer_slice(&json), &item, &err) == 0, "%s", err.message);
    ck_assert(slice_equals(item.key, "A1"));
    send_item_release(&item);
    buffer_release(&json);
    config_free(config);
}
END_TEST

START_TEST(its_options_are_refused_for_others)
{
    char *words[] = {"koodrive", "cancel", "1", "--depot", "south"};
    struct buffer json;
    struct error err = {.message = ""};
    ck_assert_int_eq(build(5, words, &json, &err), -1);
    ck_assert_str_eq(err.message, "--depot is for parcel, not for koodrive");
    buffer_release(&json);
}
END_TEST

START_TEST(the_help_shows_its_options)
{
    struct command_room room;
    char text[16 * 1024] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    args_help(send_describe(&room), out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "--depot ID"));
    ck_assert_ptr_nonnull(strstr(text, "parcel: where it is"));
}
END_TEST

/* ---- the engine ------------------------------------------------------------------------------ */

static struct {
    char url[256], result[2048];
    enum http_method method;
    uint64_t call;
    struct batch *batch;
} seen;

static void on_call(void *context, uint64_t id, const struct account_settings *account,
                    struct http_request *request)
{
    (void)context, (void)account;
    seen.call = id;
    seen.method = request->method;
    snprintf(seen.url, sizeof(seen.url), "%.*s", SLICE_ARG(buffer_slice(&request->url)));
    http_request_release(request);
}

static void on_commit(void *context, struct batch *batch)
{
    (void)context;
    seen.batch = batch;
    for (size_t i = 0; i < batch->message_count; i++)
        snprintf(seen.result, sizeof(seen.result), "%.*s", SLICE_ARG(batch->messages[i]->value));
}

static void on_look_up(void *context, const char *topic)
{
    (void)context, (void)topic;
}

static void on_read(void *context, const struct topic_partition *partitions, size_t count)
{
    (void)context, (void)partitions, (void)count;
}

static void on_assign(void *context, const struct position *positions, size_t count)
{
    (void)context, (void)positions, (void)count;
}

static void on_answered(void *context, const struct answered *answered)
{
    (void)context, (void)answered;
}

static void on_pause(void *context, struct topic_partition partition)
{
    (void)context, (void)partition;
}

static void on_recover(void *context)
{
    (void)context;
}

static void on_abandon(void *context, uint64_t id)
{
    (void)context, (void)id;
}

PRINTF_LIKE(4, 5)
static void on_log(void *context, enum log_level level, const char *event, const char *format, ...)
{
    (void)context, (void)level, (void)event, (void)format;
}

static const struct ports ports = {.call = on_call,
                                   .abandon = on_abandon,
                                   .assign = on_assign,
                                   .unassign = on_read,
                                   .pause = on_pause,
                                   .resume = on_pause,
                                   .read_positions = on_read,
                                   .look_up_topic = on_look_up,
                                   .commit = on_commit,
                                   .recover = on_recover,
                                   .answered = on_answered,
                                   .log = on_log};

static void commit(struct engine *engine, struct now now)
{
    ck_assert_ptr_nonnull(seen.batch);
    while (seen.batch) {
        struct batch *batch = seen.batch;
        seen.batch = NULL;
        engine_receipt(engine, now, batch, RECEIPT_COMMITTED, NULL);
    }
}

static void tell_topic(struct engine *engine, struct now now, const char *topic)
{
    struct topic_facts facts = {.topic = topic,
                                .exists = true,
                                .writable = true,
                                .partitions = 1,
                                .max_message_bytes = LIMIT_TOPIC_MESSAGE_BYTES};
    engine_topic_facts(engine, now, &facts);
}

START_TEST(the_engine_drives_it)
{
    struct now now = {.mono_ms = 1, .wall_ms = 1700000000000};
    struct topic_partition at = {"task-commands", 0};
    struct position position = {.at = at, .offset = 0, .end = OFFSET_NONE, .fresh = true};
    struct record record = {
        .topic = "task-commands",
        .timestamp_ms = now.wall_ms,
        .key = SLICE("k"),
        .value = SLICE("{\"id\":\"c-1\",\"operation\":\"cancel\",\"provider\":\"parcel\","
                       "\"task\":{\"shipment\":\"A1\"}}")};
    struct http_response response = {
        .result = HTTP_ANSWERED, .status = 200, .body = SLICE("{\"phase\":\"stopped\"}")};
    struct error err;
    struct config *config = load("parcel");
    struct engine *engine = engine_new(&config->engine, &ports, 1, &err);
    engine_recovered(engine, now, NULL);
    engine_assigned(engine, now, &at, 1);
    engine_positions(engine, now, &position, 1, NULL);
    tell_topic(engine, now, config->kafka.results);
    tell_topic(engine, now, config->kafka.dead_letters);
    commit(engine, now);
    engine_record(engine, now, &record);
    ck_assert_str_eq(seen.url, "https://parcel.example/depots/north/shipments/A1");
    ck_assert_int_eq(seen.method, HTTP_DELETE);
    engine_response(engine, now, seen.call, &response);
    commit(engine, now);
    ck_assert_ptr_nonnull(strstr(seen.result, "\"outcome\":\"succeeded\""));
    ck_assert_ptr_nonnull(strstr(seen.result, "\"state\":\"cancelled\""));
    ck_assert_ptr_nonnull(strstr(seen.result, "\"provider\":\"parcel\""));
    engine_free(engine);
    config_free(config);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("parcel");
    tcase_add_test(tests, its_fixtures_say_what_the_driver_says);
    tcase_add_test(tests, its_accounts_are_configured_like_any_other);
    tcase_add_test(tests, its_tasks_are_written_on_the_command_line);
    tcase_add_test(tests, its_options_are_refused_for_others);
    tcase_add_test(tests, the_help_shows_its_options);
    tcase_add_test(tests, the_engine_drives_it);
    return unit_run("fifth/parcel", tests);
}
