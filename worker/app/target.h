/* Which Kafka a command of the command line talks to: the configuration's, or with --brokers alone
 * any, with the defaults of the configuration's rows. */
#ifndef KANCEL_WORKER_APP_TARGET_H
#define KANCEL_WORKER_APP_TARGET_H

#include "worker/app/args.h"
#include "worker/app/config.h"

struct target {
    struct config *config;          /* NULL: without a file */
    struct option_values *defaults; /* of the kafka section, without a file */
    struct kafka_settings kafka;
};

#define OPTION_BROKERS                                                                             \
    {                                                                                              \
        "brokers", 0, "HOST:PORT", false, "these brokers, without a configuration file"            \
    }

/* From the options config and, where the command has it, brokers. 0, or the exit code to leave with
 * (said why). Also sends librdkafka's errors to stderr, under the command's name. */
int target_open(struct target *target, const struct args *args) MUST_CHECK;
void target_close(struct target *target);

#endif
