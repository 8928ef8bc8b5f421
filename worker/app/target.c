#include "worker/app/target.h"

#include "worker/app/subcommands.h"

#include "common/banned.h"

static const struct option *kafka_rows(void)
{
    const struct config_section *section = config_sections;
    while (strcmp(section->path, "kafka") != 0)
        section++;
    return section->rows;
}

/* Only what stops the work concerns a person; warnings of the client do not. */
static void on_kafka_log(enum log_level level, const char *event, const char *text)
{
    (void)event;
    if (level == LOG_ERROR)
        fprintf(stderr, "kancel: %s\n", text);
}

int target_open(struct target *target, const struct args *args)
{
    const char *brokers = args_knows(args, "brokers") ? args_value(args, "brokers") : NULL;
    int code = EXIT_FATAL;
    *target = (struct target){.config = NULL};
    kafka_set_log(on_kafka_log);
    if (!brokers || args_given(args, "config")) {
        target->config = subcommand_config(args, &code);
        if (!target->config)
            return code;
        target->kafka = target->config->kafka;
    } else {
        const struct option_values *values = target->defaults = option_values_new(kafka_rows());
        if (!values)
            return EXIT_FATAL;
        target->kafka.properties = values;
        target->kafka.group = option_values_string(values, "group");
        target->kafka.results = option_values_string(values, "results");
        target->kafka.dead_letters = option_values_string(values, "dead_letters");
    }
    target->kafka.client_id = "kancel-cli";
    if (brokers)
        target->kafka.bootstrap_servers = brokers;
    return 0;
}

void target_close(struct target *target)
{
    option_values_free(target->defaults);
    config_free(target->config);
}
