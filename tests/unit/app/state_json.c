#include "worker/app/state_json.h"

#include "common/json.h"
#include "tests/unit/unit.h"
#include "worker/app/log.h"

#include "common/banned.h"

static void say(void *context, enum log_level level, const char *event, const char *format, ...)
{
    (void)context, (void)level, (void)event, (void)format;
}

static void look_up(void *context, const char *topic)
{
    (void)context, (void)topic;
}

static const struct ports ports = {.log = say, .look_up_topic = look_up};

static bool signs_nothing(const void *account)
{
    (void)account;
    return false;
}

static const struct provider provider = {
    .name = "koodrive", .needs_sign_in = provider_none_needs_sign_in, .signs_calls = signs_nothing};

static struct account_settings accounts[] = {{
    .name = "drive",
    .provider = &provider,
    .limits = {.concurrency = 7},
    .dry_run = true,
}};
static const struct engine_settings settings = {
    .group = "the \"group\"",
    .results_topic = "results",
    .dead_letters_topic = "dead",
    .calls = 10,
    .window = 10,
    .accounts = accounts,
    .account_count = 1,
};

static int64_t no_end(void *context, const char *topic, int32_t partition)
{
    (void)context, (void)topic, (void)partition;
    return -1;
}

static struct buffer text;

static void make(const char *reason)
{
    struct error err = {.kind = ERROR_NONE};
    struct engine *engine = engine_new(&settings, &ports, 1, &err);
    ck_assert_msg(engine != NULL, "%s", err.message);
    struct state_view view = {
        .settings = &settings,
        .engine = engine,
        .health = reason ? "blocked" : "ready",
        .reason = reason,
        .instance = "pod-1",
        .mono_ms = 1000,
        .wall_ms = 1700000000000,
        .started_ms = 1600000000000,
        .end_of = no_end,
    };
    buffer_init(&text, STATE_JSON_BYTES);
    state_json(&text, &view);
    ck_assert(!buffer_failed(&text));
    engine_free(engine);
}

static void has(const char *member)
{
    ck_assert_msg(strstr(text.data, member) != NULL, "no %s in %s", member, text.data);
}

START_TEST(it_is_one_line_of_json_with_every_account)
{
    struct error err;
    make(NULL);
    struct json_document *document =
        json_document_parse(buffer_slice(&text), STATE_JSON_BYTES, 8, &err);
    ck_assert_msg(document != NULL, "%s", err.message);
    json_document_free(document);
    ck_assert_ptr_null(memchr(text.data, '\n', text.len));
    has("\"group\":\"the \\\"group\\\"\"");
    has("\"health\":\"ready\"");
    has("\"at\":\"2023-11-14T22:13:20");
    has("\"name\":\"drive\",\"provider\":\"koodrive\"");
    has("\"dryRun\":true");
    has("\"breaker\":{\"cancel\":\"closed\",\"status\":\"closed\"}");
    ck_assert_ptr_null(strstr(text.data, "\"reason\""));
    buffer_release(&text);
}
END_TEST

START_TEST(strangers_texts_are_escaped)
{
    log_setup(LOG_ERROR, false);
    log_event(LOG_ERROR, "provoked", "text=\"<a>\xff\"");
    make("line\nbreak");
    has("\"reason\":\"line\\nbreak\"");
    has("\"event\":\"provoked\",\"text\":\"text=\\\"<a>\xef\xbf\xbd\\\"\"");
    buffer_release(&text);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("state_json");
    tcase_add_test(tests, it_is_one_line_of_json_with_every_account);
    tcase_add_test(tests, strangers_texts_are_escaped);
    return unit_run("state_json", tests);
}
