/* kancel check: every mistake of a configuration, or what the worker would do with it. */
#include <inttypes.h>

#include "worker/app/check_online.h"
#include "worker/app/log.h"
#include "worker/app/subcommands.h"

#include "common/banned.h"

static const struct args_option options[] = {
    OPTION_CONFIG,
    {"online", 0, NULL, false,
     "also ask brokers and providers, one line each: topics, permissions, endpoints, TLS, "
     "sign-ins"},
    {"quiet", 'q', NULL, false, "say nothing about a valid one"},
    {.name = NULL},
};

const struct args_command command_check = {
    .name = "kancel check",
    .usage = "[-c FILE] [-q] [--online]",
    .summary =
        "Looks at a configuration as the worker would: names, values, topics, secrets in files "
        "and\n"
        "environment, TLS files, the providers' accounts. Prints every mistake with its line, or "
        "a\n"
        "summary of what the worker would do; never a secret. Calls nobody, unless --online: then "
        "the\n"
        "brokers and the providers' endpoints are asked, and tokens, but no task is touched.",
    .options = options,
    .more = "Exit codes: 0 valid (warnings included), 1 --online found what a worker would fail "
            "at, 2 mistakes\n"
            "or usage.",
};

static void print_list(const char *const *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s%s", i ? ", " : "", items[i]);
}

static void print_ms(int64_t ms)
{
    if (ms % 3600000 == 0 && ms > 0)
        printf("%" PRId64 "h", ms / 3600000);
    else if (ms % 60000 == 0 && ms > 0)
        printf("%" PRId64 "m", ms / 60000);
    else if (ms % 1000 == 0)
        printf("%" PRId64 "s", ms / 1000);
    else
        printf("%" PRId64 "ms", ms);
}

static void print_kafka(const struct config *config)
{
    const struct kafka_settings *kafka = &config->kafka;
    size_t properties = option_values_count(kafka->properties, "properties");
    printf("kafka        %s, group %s, %s\n", kafka->bootstrap_servers, kafka->group,
           kafka->instance_id[0] ? "static member" : "dynamic member");
    fputs("commands     ", stdout);
    print_list(kafka->commands, kafka->command_count);
    printf("\nresults      %s\ndead letters %s\nreplies      ", kafka->results,
           kafka->dead_letters);
    if (kafka->reply_topic_count)
        print_list(kafka->reply_topics, kafka->reply_topic_count);
    else
        fputs("to the results topic only", stdout);
    fputc('\n', stdout);
    if (properties) {
        fputs("properties   ", stdout);
        for (size_t i = 0; i < properties; i++)
            printf("%s%s", i ? ", " : "", option_values_key(kafka->properties, "properties", i));
        fputc('\n', stdout);
    }
}

static void print_worker(const struct config *config)
{
    static const char *const deliveries[] = {
        "exactly once (results and progress in one transaction)",
        "at least once (results first, then progress)"};
    static const char *const orderings[] = {
        "one command of a record key after another", "one command of a task after another",
        "one command of a partition after another", "none, but results of a key keep their order"};
    const struct engine_settings *engine = &config->engine;
    printf("delivery     %s\n", deliveries[engine->delivery]);
    printf("ordering     %s\n", orderings[engine->ordering]);
    printf("limits       %u calls in flight, %u commands a partition, ", engine->calls,
           engine->window);
    if (engine->max_age_ms) {
        fputs("commands older than ", stdout);
        print_ms(engine->max_age_ms);
        fputs(" expire\n", stdout);
    } else {
        fputs("commands of any age\n", stdout);
    }
    fputs("draining     ", stdout);
    print_ms(engine->drain_ms);
    fputs(" at SIGTERM, ", stdout);
    print_ms(engine->revoke_drain_ms);
    fputs(" when a partition leaves\n", stdout);
    printf("admin        %s\n", config->admin_listen ? config->admin_listen : "off");
    printf("log          %s, %s\n", log_level_name(config->log_level),
           config->log_json ? "json" : "logfmt");
    if (config->proxy)
        puts("proxy        set");
    if (config->denied_count) {
        fputs("denied       ", stdout);
        for (size_t i = 0; i < config->denied_count; i++)
            printf("%s%s", i ? ", " : "", config->denied[i].text);
        fputc('\n', stdout);
    }
}

/* "signs in with auth.user, auth.password": the names of what is set below auth, never a value. */
static void print_credentials(const struct account_settings *account,
                              const struct option_values *values)
{
    bool first = true;
    printf("    credentials  %s",
           account->provider->needs_sign_in(account->opened) ? "signs in with " : "");
    for (const struct option *row = account->provider->options; row->path; row++) {
        bool set = row->type == OPTION_SECRET ? option_values_secret(values, row->path) != NULL
                                              : option_values_given(values, row->path);
        if (!set || strncmp(row->path, "auth.", 5) != 0)
            continue;
        printf("%s%s", first ? "" : ", ", row->path + 5);
        first = false;
    }
    puts(first ? "none" : "");
}

static void print_limits(const struct account_settings *account)
{
    printf("    limits       %u calls in flight, ", account->limits.concurrency);
    if (account->limits.rate_per_1000s)
        printf("%.10g/s, ", (double)account->limits.rate_per_1000s / 1000);
    printf("at most %u ids a call, ", account->limits.batch);
    print_ms(account->limits.timeout_ms);
    printf(" a call\n    retries      at most %u tries, ", account->retry.attempts);
    print_ms(account->retry.backoff_low_ms);
    fputs(" to ", stdout);
    print_ms(account->retry.backoff_high_ms);
    fputs(" apart, for ", stdout);
    print_ms(account->retry.give_up_after_ms);
    fputs("\n    settling     asked every ", stdout);
    print_ms(account->settle.poll_low_ms);
    fputs(" to ", stdout);
    print_ms(account->settle.poll_high_ms);
    fputs(", for ", stdout);
    print_ms(account->settle.limit_ms);
    fputc('\n', stdout);
}

static void print_account(const struct account_settings *account,
                          const struct option_values *values)
{
    bool first = true;
    printf("\naccount %s (%s)\n    endpoint     %s%s\n", account->name, account->provider->name,
           account->endpoint, account->tls.certificate_file ? ", with a client certificate" : "");
    print_credentials(account, values);
    print_limits(account);
    printf("    confirms     %s\n", account->confirm ? "a cancel by its status, where its answer "
                                                       "does not tell"
                                                     : "nothing");
    fputs("    allowed      ", stdout);
    for (enum operation operation = 0; operation < OPERATION_COUNT; operation++) {
        if (!(account->allow.operations & (1U << operation)))
            continue;
        printf("%s%s", first ? "" : ", ", operation_name(operation));
        first = false;
    }
    fputs(first ? "nothing from " : " from ", stdout);
    if (account->allow.topic_count)
        print_list(account->allow.topics, account->allow.topic_count);
    else
        fputs("every command topic", stdout);
    fputc('\n', stdout);
}

static int look_online(const struct config *config)
{
    struct findings findings = {0};
    kafka_set_log(NULL);
    check_kafka(config, &findings);
    check_accounts(config, &findings);
    printf("%u bad, %u warnings\n", findings.bad, findings.warnings);
    return findings.bad > 0 ? EXIT_FATAL : EXIT_DONE;
}

int run_check(int argc, char **argv)
{
    struct args args;
    struct config *config;
    int code = subcommand_begin(&command_check, argc, argv, &args);
    if (code >= 0)
        return code;
    if (args.operand_count > 0) {
        fprintf(stderr, "kancel check: unexpected '%s' (the file is named with -c)\n",
                args.operands[0]);
        args_release(&args);
        return EXIT_USAGE;
    }
    config = subcommand_config(&args, &code);
    if (config) {
        code = EXIT_DONE;
        if (!args_given(&args, "quiet")) {
            print_kafka(config);
            print_worker(config);
            for (size_t i = 0; i < config->engine.account_count; i++)
                print_account(&config->accounts[i], config_account_values(config, i));
        }
        if (args_given(&args, "online"))
            code = look_online(config);
    }
    config_free(config);
    args_release(&args);
    return code;
}
