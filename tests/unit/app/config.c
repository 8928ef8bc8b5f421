/* Configurations, right and wrong: the files of tests/fixtures/config name what is expected of them
 * in their first lines. */
#include <check.h>
#include <dirent.h>
#include <unistd.h>

#include "tests/unit/proto/wire.h"
#include "worker/app/config.h"
#include "worker/app/config_internal.h"

#include "common/banned.h"

#define EXAMPLE       SOURCE_DIR "/worker/app/kancel.example.yaml"
#define FIXTURES      TESTS_DIR "/fixtures/config"
#define COMPATIBILITY TESTS_DIR "/fixtures/compatibility/"

static const char *environment(const char *name)
{
    if (strcmp(name, "TOKEN") == 0)
        return "s3cret";
    if (strcmp(name, "EMPTY") == 0)
        return "";
    if (strcmp(name, "RATE") == 0)
        return "30/m";
    return NULL;
}

/* ---- files with expectations ---- */

static char *read_text(const char *path)
{
    struct buffer text;
    char chunk[4096];
    size_t n;
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    buffer_init(&text, LIMIT_CONFIG_BYTES);
    buffer_append(&text, "", 0);
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buffer_append(&text, chunk, n);
    fclose(file);
    return buffer_take(&text, NULL);
}

/* What config_print_mistakes says, without the path before it. */
static char *mistakes_of(const struct config *config)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    config_print_mistakes(config, out);
    fclose(out);
    return text;
}

/* Each "#! TEXT" line of the file must be, in order, a printed mistake; `*` stands for anything in
 * its line (messages that hold one themselves are matched by it too). */
static char *expected_of(const char *path)
{
    struct buffer expected;
    char *text = read_text(path);
    buffer_init(&expected, LIMIT_CONFIG_BYTES);
    buffer_append(&expected, "", 0);
    for (char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        if (strncmp(line, "#! ", 3) == 0)
            buffer_append_format(&expected, "%s:%.*s\n", path, (int)length - 3, line + 3);
        line += length + (line[length] != '\0');
    }
    free(text);
    return buffer_take(&expected, NULL);
}

static bool is_like(const char *text, const char *pattern)
{
    for (; *pattern && *pattern != '*'; text++, pattern++) {
        if (*text != *pattern)
            return false;
    }
    if (!*pattern)
        return !*text;
    for (;; text++) {
        if (is_like(text, pattern + 1))
            return true;
        if (!*text || *text == '\n')
            return false;
    }
}

static void check_fixture(const char *name)
{
    char path[512];
    struct config *config;
    char *expected, *said;
    snprintf(path, sizeof(path), FIXTURES "/%s", name);
    expected = expected_of(path);
    config = config_load(path, environment);
    said = mistakes_of(config);
    ck_assert_msg(is_like(said, expected), "%s said:\n%s\nexpected:\n%s", name, said, expected);
    config_free(config);
    free(expected);
    free(said);
}

START_TEST(every_wrong_file_is_told_its_mistakes)
{
    struct dirent *entry;
    unsigned count = 0;
    DIR *folder = opendir(FIXTURES);
    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder))) {
        if (!slice_ends_with(slice_of_string(entry->d_name), ".yaml"))
            continue;
        check_fixture(entry->d_name);
        count++;
    }
    closedir(folder);
    ck_assert_uint_ge(count, 10);
}
END_TEST

/* ---- files made here ---- */

static char folder[] = "/tmp/kancel-config-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text, size_t len, unsigned mode)
{
    FILE *file = fopen(path_of(name), "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, len, file), len);
    fclose(file);
    ck_assert_int_eq(chmod(path_of(name), (mode_t)mode), 0);
}

static void make_folder(void)
{
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    struct dirent *entry;
    DIR *open = opendir(folder);
    while ((entry = readdir(open))) {
        if (entry->d_name[0] != '.')
            unlink(path_of(entry->d_name));
    }
    closedir(open);
    rmdir(folder);
}

#define ACCOUNT                                                                                    \
    "accounts:\n  drive:\n    provider: koodrive\n    endpoint: http://127.0.0.1:1\n"              \
    "    user_id: '1505'\n"

/* A valid file with `more` behind it. */
static struct config *load(const char *more)
{
    char text[4096];
    int len = snprintf(text, sizeof(text), "%s", more);
    write_file("kancel.yaml", text, (size_t)len, 0600);
    return config_load(path_of("kancel.yaml"), environment);
}

static void assert_valid(struct config *config)
{
    char *said = mistakes_of(config);
    ck_assert_msg(config->valid && config->mistake_count == 0, "%s", said);
    free(said);
}

static void assert_one_mistake(struct config *config, const char *key, const char *message)
{
    char *said = mistakes_of(config);
    ck_assert_msg(config->mistake_count == 1, "%s", said);
    ck_assert_str_eq(config->mistakes[0].key, key);
    ck_assert_msg(strstr(config->mistakes[0].message, message) != NULL, "%s", said);
    free(said);
    config_free(config);
}

START_TEST(a_minimal_file_takes_every_default)
{
    struct config *config = load(ACCOUNT "    auth: {token: t}\n");
    const struct account_settings *account = &config->accounts[0];
    assert_valid(config);
    ck_assert_str_eq(config->kafka.bootstrap_servers, "localhost:9092");
    ck_assert_uint_eq(config->kafka.command_count, 1);
    ck_assert_str_eq(config->kafka.commands[0], "task-commands");
    ck_assert_str_eq(config->engine.headers.reply_topic, "kafka_replyTopic");
    ck_assert_int_eq(config->engine.delivery, DELIVERY_EXACTLY_ONCE);
    ck_assert_int_eq(config->engine.drain_ms, 25000);
    ck_assert_int_eq(config->engine.max_age_ms, 24 * 3600 * 1000);
    ck_assert_int_eq(config->log_level, LOG_INFO);
    ck_assert_str_eq(account->name, "drive");
    ck_assert_uint_eq(account->limits.concurrency, 100);
    ck_assert_int_eq(account->retry.backoff_high_ms, 30000);
    ck_assert_uint_eq(account->allow.operations, 3);
    ck_assert_ptr_null(account->allow.topics);
    ck_assert_int_eq(account->confirm, account->provider->confirm_default);
    config_free(config);
}
END_TEST

START_TEST(an_account_whose_calls_can_be_shared_has_few_slots)
{
    static const char scnet[] = "accounts:\n  hpc:\n    provider: scnet\n"
                                "    endpoint: http://127.0.0.1:1\n    auth: {token: t}\n";
    char text[512];
    struct config *config = load(scnet);
    assert_valid(config);
    ck_assert_uint_eq(config->accounts[0].limits.concurrency, 4);
    ck_assert_uint_eq(config->accounts[0].limits.batch, 100);
    config_free(config);
    snprintf(text, sizeof(text), "%s    limits: {concurrency: 100, linger: 5ms}\n", scnet);
    config = load(text);
    assert_valid(config);
    ck_assert_uint_eq(config->accounts[0].limits.concurrency, 100);
    ck_assert_int_eq(config->accounts[0].limits.linger_ms, 5);
    config_free(config);
}
END_TEST

START_TEST(values_reach_the_settings)
{
    struct config *config =
        load(ACCOUNT "    auth: {token: t}\n"
                     "    confirm: false\n"
                     "    limits: {rate: '${RATE}', concurrency: 7}\n"
                     "    settle: {poll: 2s..3s}\n"
                     "    allow: {operations: [status], topics: [a-1]}\n"
                     "kafka: {commands: ['^a-.*', b], reply_topics: ['^re\\.']}\n"
                     "delivery: at_least_once\nordering: partition\n"
                     "worker: {window: 4000, instance_id: pod-1, proxy: 'http://p:1'}\n"
                     "admin: {listen: 'off'}\nlog: {level: debug, format: json}\n");
    const struct account_settings *account = &config->accounts[0];
    assert_valid(config);
    ck_assert(account->provider->confirm_default && !account->confirm);
    ck_assert_int_eq(account->limits.rate_per_1000s, 500);
    ck_assert_uint_eq(account->limits.concurrency, 7);
    ck_assert_int_eq(account->settle.poll_high_ms, 3000);
    ck_assert_uint_eq(account->allow.operations, 1U << OPERATION_STATUS);
    ck_assert_uint_eq(account->allow.topic_count, 1);
    ck_assert_uint_eq(config->kafka.command_count, 2);
    ck_assert_str_eq(config->engine.reply_topics[0], "^re\\.");
    ck_assert_int_eq(config->engine.delivery, DELIVERY_AT_LEAST_ONCE);
    ck_assert_int_eq(config->engine.ordering, ORDERING_PARTITION);
    ck_assert_uint_eq(config->engine.window, 4000);
    ck_assert_str_eq(config->kafka.instance_id, "pod-1");
    ck_assert_str_eq(config->proxy, "http://p:1");
    ck_assert_ptr_null(config->admin_listen);
    ck_assert_int_eq(config->log_level, LOG_DEBUG);
    ck_assert(config->log_json);
    config_free(config);
}
END_TEST

START_TEST(denied_addresses_are_read)
{
    struct config *config =
        load(ACCOUNT "    auth: {token: t}\nworker: {deny_addresses: [10.0.0.0/8, '::1']}\n");
    assert_valid(config);
    ck_assert_uint_eq(config->denied_count, 2);
    ck_assert_str_eq(config->denied[0].text, "10.0.0.0/8");
    ck_assert(config->denied[1].v6);
    config_free(config);
}
END_TEST

START_TEST(trailing_slashes_of_an_endpoint_are_cut)
{
    struct config *config = load("accounts:\n  hpc: {provider: scnet, endpoint: "
                                 "'http://127.0.0.1:1/x//', auth: {token: t}}\n");
    assert_valid(config);
    ck_assert_str_eq(config->accounts[0].endpoint, "http://127.0.0.1:1/x");
    config_free(config);
}
END_TEST

/* ---- secrets ---- */

static const char *token_of(const struct config *config)
{
    const struct secret *token =
        option_values_secret(config_account_values(config, 0), "auth.token");
    return token ? token->value : NULL;
}

START_TEST(a_secret_comes_from_a_file_beside_the_configuration)
{
    struct config *config;
    write_file("token", "from-file\n", 10, 0600);
    config = load(ACCOUNT "    auth: {token: {file: token}}\n");
    assert_valid(config);
    ck_assert_str_eq(token_of(config), "from-file");
    config_free(config);
}
END_TEST

START_TEST(only_one_final_newline_of_a_secret_is_cut)
{
    struct config *config;
    write_file("token", " x\n\n", 4, 0600);
    config = load(ACCOUNT "    auth: {token: {file: token}}\n");
    ck_assert_str_eq(token_of(config), " x\n");
    config_free(config);
}
END_TEST

START_TEST(a_secret_file_that_cannot_be_used_is_a_mistake)
{
    static char large[LIMIT_SECRET_BYTES + 2];
    memset(large, 'x', sizeof(large));
    assert_one_mistake(load(ACCOUNT "    auth: {token: {file: gone}}\n"),
                       "accounts.drive.auth.token", "cannot open the file");
    assert_one_mistake(load(ACCOUNT "    auth: {token: {file: .}}\n"), "accounts.drive.auth.token",
                       "expected a regular file");
    write_file("token", "\n", 1, 0600);
    assert_one_mistake(load(ACCOUNT "    auth: {token: {file: token}}\n"),
                       "accounts.drive.auth.token", "the file is empty");
    write_file("token", "a\0b", 3, 0600);
    assert_one_mistake(load(ACCOUNT "    auth: {token: {file: token}}\n"),
                       "accounts.drive.auth.token", "NUL bytes");
    write_file("token", large, LIMIT_SECRET_BYTES + 1, 0600);
    assert_one_mistake(load(ACCOUNT "    auth: {token: {file: token}}\n"),
                       "accounts.drive.auth.token", "at most 32768 bytes");
}
END_TEST

START_TEST(the_largest_secret_may_still_have_its_newline)
{
    static char large[LIMIT_SECRET_BYTES + 1];
    struct config *config;
    memset(large, 'x', sizeof(large));
    large[LIMIT_SECRET_BYTES] = '\n';
    write_file("token", large, sizeof(large), 0600);
    config = load(ACCOUNT "    auth: {token: {file: token}}\n");
    assert_valid(config);
    ck_assert_uint_eq(strlen(token_of(config)), LIMIT_SECRET_BYTES);
    config_free(config);
}
END_TEST

START_TEST(a_secret_file_that_everybody_reads_is_a_warning)
{
    struct config *config;
    write_file("token", "x", 1, 0644);
    config = load(ACCOUNT "    auth: {token: {file: token}}\n");
    ck_assert(config->valid);
    ck_assert_uint_eq(config->mistake_count, 1);
    ck_assert(config->mistakes[0].warning);
    ck_assert_uint_eq(config->mistakes[0].line, 6);
    config_free(config);
}
END_TEST

static unsigned reports, failures;

static void count_report(void *context, const char *path, size_t account, const struct error *err)
{
    ck_assert_uint_eq(account, 0);
    (void)context;
    ck_assert(slice_ends_with(slice_of_string(path), "/token"));
    reports++;
    failures += err != NULL;
}

START_TEST(a_changed_secret_file_is_read_again_into_the_same_secret)
{
    struct config *config;
    const struct secret *token;
    write_file("token", "old", 3, 0600);
    config = load(ACCOUNT "    auth: {token: {file: token}}\n");
    token = option_values_secret(config_account_values(config, 0), "auth.token");
    reports = failures = 0;
    config_refresh(config, count_report, NULL);
    ck_assert_uint_eq(reports, 0);
    write_file("token", "new", 3, 0600); /* of the same length */
    config_refresh(config, count_report, NULL);
    ck_assert_uint_eq(reports, 1);
    ck_assert_str_eq(token->value, "new");
    unlink(path_of("token"));
    config_refresh(config, count_report, NULL);
    config_refresh(config, count_report, NULL);
    ck_assert_uint_eq(failures, 1); /* said once */
    ck_assert_str_eq(token->value, "new");
    write_file("token", "back", 4, 0600);
    config_refresh(config, count_report, NULL);
    ck_assert_str_eq(token->value, "back");
    config_free(config);
}
END_TEST

START_TEST(no_message_quotes_a_secret)
{
    struct config *config = load(ACCOUNT "    auth: {token: [hush-1]}\n"
                                         "kafka:\n  properties: {sasl.password: [hush-2], "
                                         "security.protocol: hush-3, ssl.ca.pem: '${hush-4'}\n");
    char *said = mistakes_of(config);
    ck_assert_uint_eq(config->mistake_count, 4);
    ck_assert_ptr_null(strstr(said, "hush"));
    free(said);
    config_free(config);
}
END_TEST

START_TEST(an_empty_secret_is_as_good_as_none)
{
    assert_one_mistake(load(ACCOUNT "    auth: {token: '${EMPTY}'}\n"), "accounts.drive.auth",
                       "expected token; or app_id with app_secret");
}
END_TEST

/* ---- references ---- */

static void assert_expands(const char *text, const char *to)
{
    struct buffer out;
    struct error err = {.message = ""};
    buffer_init(&out, 1000);
    buffer_append(&out, "", 0);
    ck_assert_msg(config_expand(slice_of_string(text), environment, &out, &err) == 0, "%s: %s",
                  text, err.message);
    ck_assert_str_eq(out.data, to);
    buffer_release(&out);
}

static void assert_refused(const char *text, const char *message)
{
    struct buffer out;
    struct error err = {.message = ""};
    buffer_init(&out, 1000);
    ck_assert_msg(config_expand(slice_of_string(text), environment, &out, &err) != 0, "%s", text);
    ck_assert_msg(strstr(err.message, message) != NULL, "%s: %s", text, err.message);
    buffer_release(&out);
}

START_TEST(references_are_replaced_in_values)
{
    assert_expands("plain $5 $TOKEN", "plain $5 $TOKEN");
    assert_expands("a${TOKEN}b${RATE}", "as3cretb30/m");
    assert_expands("${NOT_THERE:-x y}", "x y");
    assert_expands("${NOT_THERE:-}", "");
    assert_expands("${EMPTY:-x}", "x");
    assert_expands("${EMPTY}", "");
    assert_expands("${TOKEN:-x}", "s3cret");
    assert_expands("$${TOKEN}", "${TOKEN}");
    assert_refused("${NOT_THERE}", "the environment has no NOT_THERE");
    assert_refused("${TOKEN", "expected }");
    assert_refused("${}", "expected a variable's name");
    assert_refused("${1A}", "expected a variable's name");
    assert_refused("${TOKEN-x}", "expected } or :-default");
}
END_TEST

/* ---- limits ---- */

START_TEST(a_missing_file_is_said)
{
    struct config *config = config_load("/nowhere/kancel.yaml", environment);
    ck_assert(!config->valid);
    assert_one_mistake(config, "", "cannot open the file");
}
END_TEST

START_TEST(a_hundred_mistakes_are_enough)
{
    struct buffer text;
    struct config *config;
    buffer_init(&text, 100000);
    for (int i = 0; i < 300; i++)
        buffer_append_format(&text, "key%d: 1\n", i);
    write_file("kancel.yaml", text.data, text.len, 0600);
    config = config_load(path_of("kancel.yaml"), environment);
    ck_assert(!config->valid);
    ck_assert_uint_eq(config->mistake_count, LIMIT_CONFIG_MISTAKES);
    ck_assert_ptr_nonnull(strstr(config->mistakes[LIMIT_CONFIG_MISTAKES - 1].message, "and more"));
    config_free(config);
    buffer_release(&text);
}
END_TEST

START_TEST(a_file_beyond_the_limit_is_refused)
{
    char *large = malloc(LIMIT_CONFIG_BYTES + 1);
    memset(large, '#', LIMIT_CONFIG_BYTES + 1);
    write_file("kancel.yaml", large, LIMIT_CONFIG_BYTES + 1, 0600);
    free(large);
    assert_one_mistake(config_load(path_of("kancel.yaml"), environment), "", "1048576 bytes");
}
END_TEST

START_TEST(deep_nesting_is_refused_at_once)
{
    static char text[LIMIT_CONFIG_BYTES];
    memset(text, '[', sizeof(text));
    memcpy(text, "kafka: ", 7);
    write_file("kancel.yaml", text, sizeof(text), 0600);
    assert_one_mistake(config_load(path_of("kancel.yaml"), environment), "", "levels of nesting");
}
END_TEST

/* ---- the example ---- */

START_TEST(the_example_is_valid)
{
    struct config *config = config_load(EXAMPLE, environment);
    assert_valid(config);
    ck_assert_uint_eq(config->engine.account_count, 4);
    config_free(config);
}
END_TEST

/* The value of `path` in the example, where `#key:` counts as well; NULL: not there. */
static const char *example_value(const char *text, const char *path)
{
    static char value[256];
    char at[256] = "";
    size_t indents[16], lengths[16];
    size_t depth = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        size_t indent = strspn(line, " ");
        const char *key = line + indent + (line[indent] == '#');
        size_t length = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_.-");
        if (length == 0 || key[length] != ':')
            continue;
        while (depth > 0 && indents[depth - 1] >= indent)
            depth--;
        at[depth > 0 ? lengths[depth - 1] : 0] = '\0';
        snprintf(at + strlen(at), sizeof(at) - strlen(at), "%s%.*s", depth ? "." : "", (int)length,
                 key);
        indents[depth] = indent;
        lengths[depth++] = strlen(at);
        if (strcmp(at, path) == 0) {
            key += length + 1 + strspn(key + length + 1, " ");
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(key, "\n"), key);
            return value;
        }
    }
    return NULL;
}

static void assert_shown(const char *text, const char *section, const struct option *rows)
{
    for (; rows->path; rows++) {
        char path[160], bracketed[200], quoted[200];
        const char *value;
        config_key(path, section, rows->path);
        value = example_value(text, path);
        ck_assert_msg(value != NULL, "the example does not show %s", path);
        if (!rows->default_text)
            continue;
        snprintf(bracketed, sizeof(bracketed), "[%s]", rows->default_text);
        snprintf(quoted, sizeof(quoted), "'%s'", rows->default_text);
        ck_assert_msg(strcmp(value, rows->default_text) == 0 || strcmp(value, bracketed) == 0 ||
                          strcmp(value, quoted) == 0,
                      "the example shows %s: %s, its default is %s", path, value,
                      rows->default_text);
    }
}

START_TEST(the_example_shows_every_key_with_its_default)
{
    char *text = read_text(EXAMPLE);
    struct config *config = config_load(EXAMPLE, environment);
    ck_assert_ptr_nonnull(config);
    for (const struct config_section *section = config_sections; section->path; section++)
        assert_shown(text,
                     strcmp(section->path, "accounts.*") == 0 ? "accounts.iot-prod" : section->path,
                     section->rows);
    for (size_t i = 0; i < config->engine.account_count; i++) {
        char path[160];
        config_key(path, "accounts", config->accounts[i].name);
        assert_shown(text, path, config->accounts[i].provider->options);
    }
    config_free(config);
    free(text);
}
END_TEST

/* ---- what may change ------------------------------------------------------------------------- */

static const char *const old_configs[] = {"1.0/kancel.yaml", "1.0/alternatives.yaml"};
static struct config *old_config; /* that has an account of each provider */

/* proto/README.md, "What may change": an old file says what it said. */
START_TEST(old_configurations_are_valid)
{
    for (size_t i = 0; i < sizeof(old_configs) / sizeof(old_configs[0]); i++) {
        char path[256];
        (void)snprintf(path, sizeof(path), COMPATIBILITY "%s", old_configs[i]);
        struct config *config = config_load(path, environment);
        assert_valid(config);
        ck_assert_uint_ge(config->engine.account_count, 4);
        config_free(config);
    }
}
END_TEST

static void must_be_taken(const char *path, struct slice bytes)
{
    struct command command;
    struct error err;
    struct record record = {.topic = "task-commands", .key = slice_of_string("k"), .value = bytes};
    struct header structured = {slice_of_string("content-type"),
                                slice_of_string("application/cloudevents+json")};
    if (strstr(path, "/event-") != NULL) {
        record.headers = &structured;
        record.header_count = 1;
    }
    ck_assert_msg(command_decode(&record, NULL, &command, &err) == 0, "%s: %s", path, err.message);
    const struct account_settings *account = NULL;
    for (size_t i = 0; account == NULL && i < old_config->engine.account_count; i++) {
        if (slice_equals(command.provider, old_config->engine.accounts[i].provider->name))
            account = &old_config->engine.accounts[i];
    }
    ck_assert_msg(account != NULL, "%s", path);
    struct task *task =
        account->provider->task(account->opened, command.operation, command.task_json, &err);
    ck_assert_msg(task != NULL, "%s: %s", path, err.message);
    account->provider->task_free(task);
    command_release(&command);
}

START_TEST(old_commands_are_taken_under_the_old_configuration)
{
    old_config = config_load(COMPATIBILITY "1.0/kancel.yaml", environment);
    assert_valid(old_config);
    each_example(COMPATIBILITY "*/command-*.json", 12, must_be_taken);
    each_example(COMPATIBILITY "*/event-command*.json", 1, must_be_taken);
    config_free(old_config);
}
END_TEST

START_TEST(every_row_says_what_it_is_for)
{
    for (const struct config_section *section = config_sections; section->path; section++) {
        for (const struct option *row = section->rows; row->path; row++)
            ck_assert_msg(row->help && strlen(row->help) > 10, "%s.%s", section->path, row->path);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app/config");
    TCase *files = tcase_create("files");
    TCase *texts = tcase_create("texts");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(files, make_folder, remove_folder);
    tcase_add_test(files, a_minimal_file_takes_every_default);
    tcase_add_test(files, values_reach_the_settings);
    tcase_add_test(files, an_account_whose_calls_can_be_shared_has_few_slots);
    tcase_add_test(files, denied_addresses_are_read);
    tcase_add_test(files, trailing_slashes_of_an_endpoint_are_cut);
    tcase_add_test(files, a_secret_comes_from_a_file_beside_the_configuration);
    tcase_add_test(files, only_one_final_newline_of_a_secret_is_cut);
    tcase_add_test(files, a_secret_file_that_cannot_be_used_is_a_mistake);
    tcase_add_test(files, the_largest_secret_may_still_have_its_newline);
    tcase_add_test(files, a_secret_file_that_everybody_reads_is_a_warning);
    tcase_add_test(files, a_changed_secret_file_is_read_again_into_the_same_secret);
    tcase_add_test(files, no_message_quotes_a_secret);
    tcase_add_test(files, an_empty_secret_is_as_good_as_none);
    tcase_add_test(files, a_missing_file_is_said);
    tcase_add_test(files, a_hundred_mistakes_are_enough);
    tcase_add_test(files, a_file_beyond_the_limit_is_refused);
    tcase_add_test(files, deep_nesting_is_refused_at_once);
    tcase_add_test(texts, every_wrong_file_is_told_its_mistakes);
    tcase_add_test(texts, references_are_replaced_in_values);
    tcase_add_test(texts, the_example_is_valid);
    tcase_add_test(texts, the_example_shows_every_key_with_its_default);
    tcase_add_test(texts, old_configurations_are_valid);
    tcase_add_test(texts, old_commands_are_taken_under_the_old_configuration);
    tcase_add_test(texts, every_row_says_what_it_is_for);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, texts);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
