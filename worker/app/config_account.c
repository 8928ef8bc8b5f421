#include "worker/app/args.h"
#include "worker/app/config_internal.h"
#include "worker/io/http.h"

#include "common/banned.h"

static void refuse_provider(struct config_loader *loader, const char *account, unsigned line,
                            struct slice name)
{
    char key[160], word[64], list[PROVIDER_NAMES_BYTES];
    const char *nearest;
    snprintf(key, sizeof(key), "accounts.%s.provider", account);
    provider_names(list);
    config_quote(name, word);
    nearest = provider_nearest(slice_of_string(word));
    if (nearest)
        config_mistake(loader, line, key, "expected one of %s; did you mean %s?", list, nearest);
    else
        config_mistake(loader, line, key, "expected one of %s, not '%s'", list, word);
}

static const struct provider *find_provider(struct config_loader *loader,
                                            struct yaml_document_s *document,
                                            struct yaml_node_s *node, const char *account,
                                            unsigned line)
{
    struct slice written = config_peek(document, node, "provider");
    const struct provider *found = NULL;
    struct buffer text;
    struct error err;
    if (!written.data)
        return NULL; /* missing or no text: the row's own check says so */
    buffer_init(&text, LIMIT_CONFIG_BYTES);
    buffer_append(&text, "", 0);
    if (config_expand(written, loader->environment, &text, &err) == 0) {
        found = provider_find(buffer_slice(&text));
        if (!found)
            refuse_provider(loader, account, line, written);
    }
    buffer_release(&text);
    return found;
}

static struct config_account *add_account(struct config_loader *loader, const char *name,
                                          unsigned line)
{
    struct config_file *file = loader->file;
    struct config_account *grown;
    char *copy = config_own(loader, slice_dup(slice_of_string(name)));
    struct option_values *values = option_values_new(config_account_rows);
    grown = config_grow(loader, file->accounts, file->account_count, sizeof(*grown));
    if (grown)
        file->accounts = grown;
    if (!copy || !values || !grown) {
        loader->out_of_memory = true;
        option_values_free(values);
        return NULL;
    }
    grown = &grown[file->account_count++];
    *grown = (struct config_account){.name = copy, .line = line, .values = values};
    return grown;
}

void config_load_account(struct config_loader *loader, struct yaml_document_s *document,
                         const char *name, unsigned line, struct yaml_node_s *node)
{
    char key[160];
    struct error err;
    struct config_account *account;
    const struct provider *provider;
    config_key(key, "accounts", name);
    if (!slice_is_word(slice_of_string(name), "azAZ09__--..", 64)) {
        config_mistake(loader, line, key, "expected a name of 1-64 letters, digits, . _ or -");
        return;
    }
    if (!config_is_mapping(node)) {
        config_mistake(loader, line, key, "expected a mapping (key: value), not %s",
                       config_kind(node));
        return;
    }
    if (loader->file->account_count >= CONFIG_ACCOUNTS_MOST) {
        config_mistake(loader, line, key, "expected at most %d accounts", CONFIG_ACCOUNTS_MOST);
        return;
    }
    account = add_account(loader, name, line);
    if (!account)
        return;
    provider = find_provider(loader, document, node, name, line);
    if (provider && option_values_extend(account->values, provider->options, &err) != 0)
        config_mistake(loader, line, key, "%s", err.message);
    struct config_scope scope = {account->values,
                                 key,
                                 {config_account_rows, provider ? provider->options : NULL},
                                 provider == NULL};
    config_load_mapping(loader, document, node, line, &scope, "");
    config_check_required(loader, &scope, line);
}

/* ---- settings ---- */

static int64_t number(const struct config_account *account, const char *path)
{
    return option_values_integer(account->values, path);
}

static unsigned count_of(const struct config_account *account, const char *path)
{
    return (unsigned)option_values_integer(account->values, path);
}

/* Calls in flight where the account does not say: an account whose calls are shared has few. */
enum { SLOTS = 100, SLOTS_SHARED = 4 };

static void fill_limits(const struct config_account *account, struct account_settings *settings)
{
    const struct option_values *values = account->values;
    settings->limits.concurrency = option_values_given(values, "limits.concurrency")
                                       ? count_of(account, "limits.concurrency")
                                   : settings->provider->shares_calls ? SLOTS_SHARED
                                                                      : SLOTS;
    settings->limits.adaptive = option_values_bool(values, "limits.adaptive");
    settings->limits.rate_per_1000s = number(account, "limits.rate");
    settings->limits.batch = count_of(account, "limits.batch");
    settings->limits.linger_ms = number(account, "limits.linger");
    settings->limits.timeout_ms = number(account, "limits.timeout");
    settings->limits.connect_timeout_ms = number(account, "limits.connect_timeout");
    settings->limits.share_group =
        strcmp(option_values_string(values, "limits.share"), "group") == 0;
    settings->overflow = strcmp(option_values_string(values, "overflow"), "fail") == 0
                             ? OVERFLOW_FAIL
                             : OVERFLOW_WAIT;
    settings->hold = option_values_bool(values, "hold");
    settings->dry_run = option_values_bool(values, "dry_run");
    settings->breaker.failures = count_of(account, "breaker.failures");
    settings->breaker.minimum = count_of(account, "breaker.minimum");
    settings->breaker.window_ms = number(account, "breaker.window");
    option_values_range(values, "breaker.probe", &settings->breaker.probe_low_ms,
                        &settings->breaker.probe_high_ms);
    settings->retry.attempts = count_of(account, "retry.attempts");
    option_values_range(values, "retry.backoff", &settings->retry.backoff_low_ms,
                        &settings->retry.backoff_high_ms);
    settings->retry.give_up_after_ms = number(account, "retry.give_up_after");
    option_values_range(values, "settle.poll", &settings->settle.poll_low_ms,
                        &settings->settle.poll_high_ms);
    settings->settle.limit_ms = number(account, "settle.limit");
}

static void fill_allow(struct config_loader *loader, const struct config_account *account,
                       struct account_settings *settings)
{
    const struct option_values *values = account->values;
    char key[160];
    snprintf(key, sizeof(key), "accounts.%s.allow.operations", account->name);
    settings->allow.topics =
        config_strings(loader, values, "allow.topics", &settings->allow.topic_count);
    if (!option_values_given(values, "allow.operations")) {
        settings->allow.operations = (1U << OPERATION_COUNT) - 1;
        return;
    }
    for (size_t i = 0; i < option_values_count(values, "allow.operations"); i++) {
        const char *word = option_values_item(values, "allow.operations", i);
        char quoted[64];
        enum operation operation;
        config_quote(slice_of_string(word), quoted);
        if (operation_parse(slice_of_string(word), &operation))
            settings->allow.operations |= 1U << operation;
        else
            config_mistake(loader, config_line(loader, values, "allow.operations", account->line),
                           key, "expected cancel or status, not '%s'", quoted);
    }
}

static const char *tls_file(struct config_loader *loader, const struct config_account *account,
                            const char *path)
{
    const char *name = option_values_string(account->values, path);
    if (!name || !name[0])
        return NULL;
    return config_own(loader, config_resolve(loader->file, name));
}

static void fill(struct config_loader *loader, struct config_account *account,
                 struct account_settings *settings)
{
    const struct option_values *values = account->values;
    const char *written = option_values_string(values, "endpoint");
    size_t length = strlen(written);
    while (length > 0 && written[length - 1] == '/')
        length--;
    account->endpoint = config_own(loader, slice_dup(slice_of(written, length)));
    settings->endpoint = account->endpoint;
    settings->confirm = option_values_given(values, "confirm")
                            ? option_values_bool(values, "confirm")
                            : settings->provider->confirm_default;
    fill_limits(account, settings);
    fill_allow(loader, account, settings);
    settings->tls.ca_file = tls_file(loader, account, "tls.ca_file");
    settings->tls.certificate_file = tls_file(loader, account, "tls.certificate_file");
    settings->tls.key_file = tls_file(loader, account, "tls.key_file");
}

/* ---- checks ---- */

/* An error of the provider or of http that begins with an option's path ("auth.token: ...") belongs
 * to that option. */
static void attribute(struct config_loader *loader, const struct config_account *account,
                      const char *otherwise, const struct error *err)
{
    char key[160], path[64];
    const char *message = err->message;
    const char *colon = strstr(message, ": ");
    unsigned line = account->line;
    if (err->kind == ERROR_MEMORY) {
        loader->out_of_memory = true;
        return;
    }
    snprintf(path, sizeof(path), "%s", otherwise);
    if (colon && (size_t)(colon - message) < sizeof(path)) {
        snprintf(path, sizeof(path), "%.*s", (int)(colon - message), message);
        if (option_values_row(account->values, path))
            message = colon + 2;
        else
            snprintf(path, sizeof(path), "%s", otherwise);
    }
    if (path[0])
        line = config_line(loader, account->values, path, account->line);
    snprintf(key, sizeof(key), "accounts.%.64s%s%s", account->name, path[0] ? "." : "", path);
    config_mistake(loader, line, key, "%s", message);
}

/* The TLS files of the account; a pair of which one is missing is not looked at further. */
static void check_tls(struct config_loader *loader, const struct config_account *account,
                      const struct account_settings *settings)
{
    struct error err;
    if (!settings->tls.certificate_file == !settings->tls.key_file) {
        if (http_check_account(settings, option_values_bool(account->values, "insecure_http"),
                               &err) != 0)
            attribute(loader, account, "tls", &err);
        return;
    }
    error_set(&err, ERROR_INPUT, "expected %s beside it",
              settings->tls.key_file ? "certificate_file" : "key_file");
    attribute(loader, account, settings->tls.key_file ? "tls.key_file" : "tls.certificate_file",
              &err);
}

static bool is_url_row(const struct option *row)
{
    struct slice path = slice_of_string(row->path);
    return row->type == OPTION_STRING &&
           (slice_ends_with(path, ".sign_in") || slice_ends_with(path, ".endpoint"));
}

/* Where a provider signs in is as much a place that credentials go to as the endpoint. */
static void check_urls(struct config_loader *loader, const struct config_account *account,
                       const struct provider *provider)
{
    bool insecure = option_values_bool(account->values, "insecure_http");
    for (const struct option *row = provider->options; row->path; row++) {
        const char *url = is_url_row(row) ? option_values_string(account->values, row->path) : NULL;
        struct error err;
        if (url && url[0] && http_check_url(url, insecure, &err) != 0)
            attribute(loader, account, row->path, &err);
    }
}

static void check_limits(struct config_loader *loader, const struct config_account *account,
                         const struct account_settings *settings)
{
    struct error err;
    const struct kafka_settings *kafka = &loader->config->kafka;
    if (settings->limits.share_group && settings->limits.rate_per_1000s == 0) {
        error_set(&err, ERROR_INPUT, "expected limits.rate beside it: there is nothing to share");
        attribute(loader, account, "limits.share", &err);
    }
    for (size_t i = 0; settings->limits.share_group && i < kafka->command_count; i++) {
        if (kafka->commands[i][0] != '^')
            continue;
        error_set(&err, ERROR_INPUT,
                  "expected worker, or names alone in kafka.commands: the topics of a pattern "
                  "cannot be counted");
        attribute(loader, account, "limits.share", &err);
        break;
    }
    if (settings->limits.connect_timeout_ms > settings->limits.timeout_ms &&
        option_values_given(account->values, "limits.connect_timeout")) {
        error_set(&err, ERROR_INPUT, "expected no more than limits.timeout");
        attribute(loader, account, "limits.connect_timeout", &err);
    }
}

struct account_mistakes {
    struct config_loader *loader;
    const struct config_account *account;
};

/* True when a mistake was found at `key`, or within it where it is a group of options. */
static bool is_told(const struct config *config, const char *key, bool group)
{
    size_t length = strlen(key);
    for (size_t i = 0; i < config->mistake_count; i++) {
        char next = config->mistakes[i].key[strnlen(config->mistakes[i].key, length)];
        if (!config->mistakes[i].warning && strncmp(config->mistakes[i].key, key, length) == 0 &&
            (next == '\0' || (group && next == '.')))
            return true;
    }
    return false;
}

/* A mistake that the provider found. One that is told already is not told again, and a group of
 * options is not said to be missing where one of them is wrong. */
static void tell_mistake(void *context, const char *path, const char *message)
{
    const struct account_mistakes *told = context;
    const struct config_account *account = told->account;
    char key[160];
    snprintf(key, sizeof(key), "accounts.%.64s%s%s", account->name, path[0] ? "." : "", path);
    bool group = path[0] && !option_values_row(account->values, path);
    if (!is_told(told->loader->config, key, group))
        config_mistake(told->loader,
                       config_line(told->loader, account->values, path, account->line), key, "%s",
                       message);
}

static void open_account(struct config_loader *loader, const struct config_account *account,
                         struct account_settings *settings, const char *endpoint)
{
    struct account_mistakes told = {loader, account};
    struct mistakes mistakes = {tell_mistake, &told, 0};
    settings->opened = settings->provider->open(account->values, endpoint, &mistakes);
}

/* In place of an endpoint that is missing or wrong, so that the account's other mistakes are told.
 */
static const char no_endpoint[] = "https://endpoint.invalid";

static void check(struct config_loader *loader, const struct config_account *account,
                  struct account_settings *settings)
{
    struct error err;
    check_limits(loader, account, settings);
    check_urls(loader, account, settings->provider);
    if (http_check_url(settings->endpoint, option_values_bool(account->values, "insecure_http"),
                       &err) != 0) {
        attribute(loader, account, "endpoint", &err);
        open_account(loader, account, settings, no_endpoint);
        return;
    }
    check_tls(loader, account, settings);
    open_account(loader, account, settings, settings->endpoint);
}

void config_build_accounts(struct config_loader *loader)
{
    struct config_file *file = loader->file;
    struct config *config = loader->config;
    if (file->account_count == 0)
        return;
    config->accounts = calloc(file->account_count, sizeof(*config->accounts));
    if (!config->accounts) {
        loader->out_of_memory = true;
        return;
    }
    config->engine.accounts = config->accounts;
    config->engine.account_count = file->account_count;
    for (size_t i = 0; i < file->account_count && !loader->out_of_memory; i++) {
        struct config_account *account = &file->accounts[i];
        struct account_settings *settings = &config->accounts[i];
        settings->name = account->name;
        settings->provider =
            provider_find(slice_of_string(option_values_string(account->values, "provider")));
        if (!settings->provider)
            continue;
        if (!option_values_given(account->values, "endpoint")) {
            open_account(loader, account, settings, no_endpoint);
            continue;
        }
        fill(loader, account, settings);
        if (!loader->out_of_memory)
            check(loader, account, settings);
    }
}
