/*
 * The configuration: YAML (libyaml's document tree), checked against tables of `struct option`,
 * every mistake with its line and key.
 */
#ifndef KANCEL_WORKER_APP_CONFIG_H
#define KANCEL_WORKER_APP_CONFIG_H

#include <stdio.h>

#include "common/address_range.h"
#include "worker/core/settings.h"
#include "worker/io/kafka.h"

/* One mistake (or warning) of the file. `line` counts from 1, 0: the file as a whole. */
struct config_mistake {
    unsigned line;
    char key[160];     /* "accounts.iot-prod.limits.rate" */
    char message[300]; /* what is wrong, what was expected, the nearest valid name */
    bool warning;
};

struct config {
    struct kafka_settings kafka;
    struct engine_settings engine;
    struct account_settings *accounts; /* engine.accounts points here */
    const char *admin_listen;          /* NULL: off */
    const struct secret *admin_token;  /* NULL: not set; may change with its file */
    struct {
        const char *endpoint; /* NULL: no spans */
        const char *service;
        const struct secret *authorization; /* NULL: none; may change with its file */
    } tracing;
    const char *proxy;            /* NULL: none; may hold a password */
    struct address_range *denied; /* worker.deny_addresses */
    size_t denied_count;
    enum log_level log_level;
    bool log_json;

    struct config_mistake *mistakes; /* in the order of their lines */
    size_t mistake_count;            /* warnings included */
    bool valid;                      /* no mistake that is not a warning */
    struct config_file *file;        /* the parsed tree and values: owner of all text above */
};

/* Loads and validates everything: syntax, names, types, ranges, references (topics, accounts,
 * secrets in files, ${NAME}), provider accounts (provider->open), TLS files, librdkafka properties.
 * Always returns a config to be freed unless out of memory (NULL); `environment` is a getenv-like
 * function (tests pass their own). When not valid only the mistakes may be used. */
struct config *config_load(const char *path, const char *(*environment)(const char *name));
void config_free(struct config *config);

/* One line a mistake: "kancel.yaml:12: accounts.iot-prod.limits.rate: expected ...". */
void config_print_mistakes(const struct config *config, FILE *out);

/* A stranger's text for a message or a terminal: at most 40 bytes, no control characters. */
void config_quote(struct slice text, char quoted[64]);

/* What an account was configured with: the common rows and its provider's. */
const struct option_values *config_account_values(const struct config *config, size_t index);

/* Reads the accounts' secrets again whose files changed ({file: PATH}); cheap when none did. A file
 * that cannot be read keeps the old secret. `report` is called for each file read anew (err NULL)
 * and once for each that begins to fail; `account` is the index of the account. Kafka's own are
 * read at start only. */
void config_refresh(struct config *config,
                    void (*report)(void *context, const char *path, size_t account,
                                   const struct error *err),
                    void *context);

/* The rows behind the file, for `check`, the example file and the manual: section path ("kafka",
 * "worker", ...) and table. */
struct config_section {
    const char *path; /* "" for the top level, "accounts.*" for an account's common part */
    const struct option *rows;
};
extern const struct config_section config_sections[]; /* ended by a NULL path */

#endif
