#include <regex.h>

#include "worker/app/config_internal.h"
#include "worker/io/http.h"

#include "common/banned.h"

const char **config_strings(struct config_loader *loader, const struct option_values *values,
                            const char *path, size_t *count)
{
    size_t total = option_values_count(values, path);
    const char **strings;
    *count = 0;
    if (total == 0)
        return NULL;
    strings = config_own(loader, calloc(total, sizeof(*strings)));
    if (!strings)
        return NULL;
    for (size_t i = 0; i < total; i++)
        strings[i] = option_values_item(values, path, i);
    *count = total;
    return strings;
}

/* ---- topics ---- */

static bool is_topic(const char *name)
{
    return slice_is_word(slice_of_string(name), "azAZ09__--..", 249) && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* False when `pattern` is a broken one; names match themselves. */
static bool matches(const char *pattern, const char *topic)
{
    regex_t compiled;
    bool found;
    if (pattern[0] != '^')
        return strcmp(pattern, topic) == 0;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    found = regexec(&compiled, topic, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static void check_pattern(struct config_loader *loader, unsigned line, const char *key,
                          const char *pattern)
{
    char quoted[64], reason[100];
    regex_t compiled;
    int code;
    config_quote(slice_of_string(pattern), quoted);
    if (pattern[0] != '^') {
        if (!is_topic(pattern))
            config_mistake(loader, line, key,
                           "expected a topic's name (letters, digits, . _ -) or a pattern that "
                           "begins with ^, not '%s'",
                           quoted);
        return;
    }
    code = regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB);
    if (code == 0) {
        regfree(&compiled);
        return;
    }
    regerror(code, NULL, reason, sizeof(reason));
    config_mistake(loader, line, key, "expected a regular expression (POSIX extended): %s in '%s'",
                   reason, quoted);
}

/* Where the worker writes may never be where it reads: it would eat its own answers. */
static void check_output(struct config_loader *loader, const char *key, const char *path,
                         const char *topic)
{
    const struct kafka_settings *kafka = &loader->config->kafka;
    unsigned line = config_line(loader, loader->file->kafka, path, 0);
    char quoted[64];
    config_quote(slice_of_string(topic), quoted);
    if (!is_topic(topic)) {
        config_mistake(loader, line, key,
                       "expected a topic's name (letters, digits, . _ -), "
                       "not '%s'",
                       quoted);
        return;
    }
    for (size_t i = 0; i < kafka->command_count; i++) {
        char pattern[64];
        config_quote(slice_of_string(kafka->commands[i]), pattern);
        if (matches(kafka->commands[i], topic))
            config_mistake(loader, line, key,
                           "expected a topic that is none of kafka.commands, '%s' is ('%s')",
                           quoted, pattern);
    }
}

static void check_reply_topics(struct config_loader *loader)
{
    const struct kafka_settings *kafka = &loader->config->kafka;
    unsigned line = config_line(loader, loader->file->kafka, "reply_topics", 0);
    static const char key[] = "kafka.reply_topics";
    for (size_t i = 0; i < kafka->reply_topic_count; i++) {
        const char *reply = kafka->reply_topics[i];
        char quoted[64];
        config_quote(slice_of_string(reply), quoted);
        check_pattern(loader, line, key, reply);
        for (size_t j = 0; j < kafka->command_count; j++) {
            const char *command = kafka->commands[j];
            bool same = command[0] == '^' ? strcmp(command, reply) == 0 || matches(command, reply)
                                          : matches(reply, command);
            if (same)
                config_mistake(loader, line, key,
                               "'%s' lets answers into the command topic '%.60s'", quoted, command);
        }
        if (matches(reply, kafka->dead_letters))
            config_mistake(loader, line, key, "'%s' lets answers into the dead letters '%.60s'",
                           quoted, kafka->dead_letters);
    }
}

static void check_topics(struct config_loader *loader)
{
    const struct kafka_settings *kafka = &loader->config->kafka;
    unsigned line = config_line(loader, loader->file->kafka, "commands", 0);
    if (kafka->command_count == 0)
        config_mistake(loader, line, "kafka.commands", "expected at least one topic");
    for (size_t i = 0; i < kafka->command_count; i++)
        check_pattern(loader, line, "kafka.commands", kafka->commands[i]);
    check_output(loader, "kafka.results", "results", kafka->results);
    check_output(loader, "kafka.dead_letters", "dead_letters", kafka->dead_letters);
    if (strcmp(kafka->results, kafka->dead_letters) == 0)
        config_mistake(loader, config_line(loader, loader->file->kafka, "dead_letters", 0),
                       "kafka.dead_letters", "expected another topic than kafka.results");
    check_reply_topics(loader);
}

/* Topics that an account allows and nobody reads are most likely misspelt. */
static void check_allowed_topics(struct config_loader *loader)
{
    const struct config *config = loader->config;
    for (size_t i = 0; i < config->engine.account_count; i++) {
        const struct account_settings *account = &config->accounts[i];
        for (size_t j = 0; j < account->allow.topic_count; j++) {
            char key[160], quoted[64];
            bool read = false;
            for (size_t k = 0; k < config->kafka.command_count; k++)
                read = read || matches(config->kafka.commands[k], account->allow.topics[j]);
            if (read)
                continue;
            snprintf(key, sizeof(key), "accounts.%s.allow.topics", account->name);
            config_quote(slice_of_string(account->allow.topics[j]), quoted);
            config_mistake(loader,
                           config_line(loader, loader->file->accounts[i].values, "allow.topics",
                                       loader->file->accounts[i].line),
                           key, "expected topics of kafka.commands, '%s' is none", quoted);
        }
    }
}

/* ---- the rest ---- */

static void check_listen(struct config_loader *loader, const char *listen)
{
    unsigned line = config_line(loader, loader->file->admin, "listen", 0);
    const char *colon = strrchr(listen, ':');
    char quoted[64];
    int64_t port;
    bool bracketed = listen[0] == '[' && colon && colon[-1] == ']';
    config_quote(slice_of_string(listen), quoted);
    if (!colon || colon == listen || (!bracketed && strchr(listen, ':') != colon) ||
        !slice_to_int64(slice_of_string(colon + 1), &port) || port < 0 || port > 65535)
        config_mistake(loader, line, "admin.listen",
                       "expected HOST:PORT, [IPv6]:PORT or 'off', not '%s'", quoted);
}

/* One of kafka.bootstrap_servers: librdkafka would look such a name up for ever. */
static bool is_broker(struct slice text)
{
    char name[300];
    int64_t port = 1;
    if (text.len == 0 || text.len >= sizeof(name))
        return false;
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    const char *scheme = strstr(name, "://");
    const char *host = scheme ? scheme + 3 : name;
    const char *colon = strrchr(host, ':');
    bool bare_v6 = host[0] == '[' && name[text.len - 1] == ']';
    if (colon && !bare_v6 &&
        (!slice_to_int64(slice_of_string(colon + 1), &port) || port < 1 || port > 65535))
        return false;
    return host[0] != '\0' && host[0] != ':' && strpbrk(host, " \t/") == NULL;
}

static void check_brokers(struct config_loader *loader)
{
    const char *at = option_values_string(loader->file->kafka, "bootstrap_servers");
    while (*at != '\0') {
        char quoted[64];
        at += strspn(at, " ");
        struct slice one = slice_of(at, strcspn(at, ","));
        at += one.len + (at[one.len] == ',');
        while (one.len > 0 && one.data[one.len - 1] == ' ')
            one.len--;
        config_quote(one, quoted);
        if (!is_broker(one))
            config_mistake(loader, config_line(loader, loader->file->kafka, "bootstrap_servers", 0),
                           "kafka.bootstrap_servers",
                           "expected HOST:PORT, several separated by commas, not '%s'", quoted);
    }
}

static void check_texts(struct config_loader *loader)
{
    const struct config_file *file = loader->file;
    static const char *const needed[] = {"bootstrap_servers", "group", "headers.reply_topic",
                                         "headers.reply_partition", "headers.correlation_id"};
    const char *instance = loader->config->kafka.instance_id;
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        char key[160];
        config_key(key, "kafka", needed[i]);
        if (option_values_string(file->kafka, needed[i])[0] == '\0')
            config_mistake(loader, config_line(loader, file->kafka, needed[i], 0), key,
                           "expected a text, it is empty");
    }
    check_brokers(loader);
    if (instance[0] && !slice_is_word(slice_of_string(instance), "azAZ09__--..", 200))
        config_mistake(loader, config_line(loader, file->worker, "instance_id", 0),
                       "worker.instance_id", "expected at most 200 letters, digits, . _ or -");
}

static void build_kafka(struct config_loader *loader)
{
    const struct option_values *values = loader->file->kafka;
    struct kafka_settings *kafka = &loader->config->kafka;
    kafka->bootstrap_servers = option_values_string(values, "bootstrap_servers");
    kafka->group = option_values_string(values, "group");
    kafka->commands = config_strings(loader, values, "commands", &kafka->command_count);
    kafka->results = option_values_string(values, "results");
    kafka->dead_letters = option_values_string(values, "dead_letters");
    kafka->reply_topics = config_strings(loader, values, "reply_topics", &kafka->reply_topic_count);
    kafka->properties = values;
    kafka->instance_id = option_values_string(loader->file->worker, "instance_id");
    kafka->delivery =
        strcmp(option_values_string(loader->file->top, "delivery"), "exactly_once") == 0
            ? DELIVERY_EXACTLY_ONCE
            : DELIVERY_AT_LEAST_ONCE;
    kafka->client_id = "kancel";
}

static enum ordering ordering_of(const char *word)
{
    static const char *const words[] = {"key", "task", "partition", "none"};
    enum ordering ordering = ORDERING_KEY;
    while (ordering < ORDERING_NONE && strcmp(words[ordering], word) != 0)
        ordering++;
    return ordering;
}

static void build_engine(struct config_loader *loader)
{
    const struct config_file *file = loader->file;
    const struct kafka_settings *kafka = &loader->config->kafka;
    struct engine_settings *engine = &loader->config->engine;
    engine->group = kafka->group;
    engine->command_topics = kafka->commands;
    engine->command_topic_count = kafka->command_count;
    engine->results_topic = kafka->results;
    engine->dead_letters_topic = kafka->dead_letters;
    engine->reply_topics = kafka->reply_topics;
    engine->reply_topic_count = kafka->reply_topic_count;
    engine->headers.reply_topic = option_values_string(file->kafka, "headers.reply_topic");
    engine->headers.reply_partition = option_values_string(file->kafka, "headers.reply_partition");
    engine->headers.correlation_id = option_values_string(file->kafka, "headers.correlation_id");
    engine->delivery = kafka->delivery;
    engine->ordering = ordering_of(option_values_string(file->top, "ordering"));
    engine->calls = (unsigned)option_values_integer(file->worker, "calls");
    engine->window = (unsigned)option_values_integer(file->worker, "window");
    engine->drain_ms = option_values_integer(file->worker, "drain");
    engine->revoke_drain_ms = option_values_integer(file->worker, "revoke_drain");
    engine->max_age_ms = option_values_integer(file->worker, "max_age");
    engine->stuck_after_ms = option_values_integer(file->worker, "stuck_after");
    engine->leave_after_ms = option_values_integer(file->worker, "leave_after");
    if (engine->leave_after_ms <= engine->stuck_after_ms)
        config_mistake(loader, config_line(loader, file->worker, "leave_after", 0),
                       "worker.leave_after", "expected longer than worker.stuck_after");
}

static void build_denied(struct config_loader *loader)
{
    static const char path[] = "deny_addresses", key[] = "worker.deny_addresses";
    const struct option_values *values = loader->file->worker;
    struct config *config = loader->config;
    size_t count = option_values_count(values, path);
    unsigned line = config_line(loader, values, path, 0);
    if (count == 0)
        return;
    config->denied = config_own(loader, calloc(count, sizeof(*config->denied)));
    for (size_t i = 0; config->denied && i < count; i++) {
        struct slice item = slice_of_string(option_values_item(values, path, i));
        struct error err;
        char quoted[64];
        config_quote(item, quoted);
        if (address_range_parse(item, &config->denied[config->denied_count], &err) == 0)
            config->denied_count++;
        else
            config_mistake(loader, line, key, "%s, not '%s'", err.message, quoted);
    }
    if (config->proxy)
        config_mistake(loader, line, key,
                       "expected none beside worker.proxy: the proxy would be the only address "
                       "looked at");
}

static void build_tracing(struct config_loader *loader)
{
    const struct option_values *values = loader->file->tracing;
    struct config *config = loader->config;
    const char *endpoint = option_values_string(values, "endpoint");
    struct error err;
    if (endpoint[0] == '\0')
        return;
    if (http_check_url(endpoint, option_values_bool(values, "insecure_http"), &err) != 0)
        config_mistake(loader, config_line(loader, values, "endpoint", 0), "tracing.endpoint", "%s",
                       err.message);
    config->tracing.endpoint = endpoint;
    config->tracing.service = option_values_string(values, "service_name");
    config->tracing.authorization = option_values_secret(values, "authorization");
    config->engine.tracing = true;
}

static void build_rest(struct config_loader *loader)
{
    const struct config_file *file = loader->file;
    struct config *config = loader->config;
    const char *listen = option_values_string(file->admin, "listen");
    const char *level = option_values_string(file->log, "level");
    const struct secret *proxy = option_values_secret(file->worker, "proxy");
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    config->proxy = proxy ? proxy->value : NULL;
    if (proxy && !slice_starts_with(secret_slice(proxy), "http://") &&
        !slice_starts_with(secret_slice(proxy), "https://"))
        config_mistake(loader, config_line(loader, file->worker, "proxy", 0), "worker.proxy",
                       "expected a URL such as http://proxy.example:3128");
    build_denied(loader);
    build_tracing(loader);
    config->admin_listen = strcmp(listen, "off") == 0 ? NULL : listen;
    config->admin_token = option_values_secret(file->admin, "token");
    if (config->admin_listen)
        check_listen(loader, listen);
    while (config->log_level < LOG_DEBUG && strcmp(levels[config->log_level], level) != 0)
        config->log_level++;
    config->log_json = strcmp(option_values_string(file->log, "format"), "json") == 0;
}

/* Each property was looked at alone; this is how the worker will put them together. */
static void check_clients(struct config_loader *loader)
{
    static const enum kafka_client clients[] = {KAFKA_CONSUMER, KAFKA_PRODUCER};
    for (size_t i = 0; i < 2 && loader->config->valid; i++) {
        struct error err;
        if (kafka_try(&loader->config->kafka, clients[i], &err) != 0)
            config_mistake(loader, config_line(loader, loader->file->kafka, "properties", 0),
                           "kafka.properties", "%s", err.message);
    }
}

void config_build(struct config_loader *loader)
{
    build_kafka(loader);
    build_engine(loader);
    build_rest(loader);
    config_build_accounts(loader);
    if (loader->out_of_memory)
        return;
    check_texts(loader);
    check_topics(loader);
    check_allowed_topics(loader);
    if (loader->file->account_count == 0)
        config_mistake(loader, 0, "accounts", "expected at least one account");
    check_clients(loader);
}
