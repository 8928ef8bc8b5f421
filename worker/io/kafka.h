/*
 * librdkafka shared by source, sink and the command line: client properties, error folding,
 * logging.
 */
#ifndef KANCEL_WORKER_IO_KAFKA_H
#define KANCEL_WORKER_IO_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "common/option.h"
#include "worker/core/ports.h"

/* The `kafka` section and what the identity of this worker makes of it. Borrowed for the clients'
 * life. */
struct kafka_settings {
    const char *bootstrap_servers;
    const char *group;
    const char **commands; /* names or ^regex */
    size_t command_count;
    const char *results, *dead_letters;
    const char **reply_topics;
    size_t reply_topic_count;
    const struct option_values
        *properties; /* the MAP at path "properties": any of librdkafka's, values are secrets */
    const char *instance_id; /* "": dynamic member, random transactional id */
    enum delivery delivery;
    const char *client_id; /* "kancel" */
    void *owner; /* of the clients, for their callbacks, whose opaque these settings are */
};

enum kafka_client { KAFKA_CONSUMER, KAFKA_PRODUCER, KAFKA_COMMAND_LINE };

/* ERROR_INPUT with a reason for a property that would void a promise (DESIGN.md section 4), that
 * librdkafka does not know, or whose value it refuses (its text, never the value). Used by `kancel
 * check` too. */
int kafka_check_property(const char *name, struct slice value, struct error *err) MUST_CHECK;

/* A configuration with our defaults for that kind of client, then the user's properties (those the
 * client knows), then what the promises need. Caller destroys it or gives it to kafka_new. The log
 * callback writes through `log` (below) on whatever thread. A producer without instance_id gets a
 * new random transactional.id each time: who makes a second producer for the same worker carries
 * the first's over, so that init_transactions ends what the first left open. KAFKA_COMMAND_LINE
 * takes the properties that fit both kinds. */
rd_kafka_conf_t *kafka_conf(const struct kafka_settings *settings, enum kafka_client client,
                            struct error *err);

/* Sets one property of `conf` to what a program wants. An error names it, never the value. */
int kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value,
              struct error *err) MUST_CHECK;

/* Makes a client of `conf` (taken in every case; from kafka_conf, callbacks added, its opaque is
 * ours). NULL: ERROR_INPUT for a combination of properties that librdkafka refuses, secrets masked.
 * Token refreshes (OAUTHBEARER) run on a thread of librdkafka. */
rd_kafka_t *kafka_new(const struct kafka_settings *settings, rd_kafka_type_t type,
                      rd_kafka_conf_t *conf, struct error *err);

/* Makes such a client, connected to nobody, and ends it: what librdkafka says only of all
 * properties together (files that cannot be read, a mechanism without its user, values that
 * contradict each other). ERROR_INPUT, secrets masked. */
int kafka_try(const struct kafka_settings *settings, enum kafka_client client,
              struct error *err) MUST_CHECK;

/* True for results, dead_letters and what reply_topics match, unless `commands` names the topic:
 * never commands. */
bool kafka_own_topic(const struct kafka_settings *settings, const char *topic);

/* True for what `commands` names or matches and is none of our own. */
bool kafka_command_topic(const struct kafka_settings *settings, const char *topic);

/* Folds librdkafka's errors into ours, in one place. kafka_fold takes ownership of `error`, NULL
 * gives 0. */
/* ERROR_FENCED: another producer or member took this one's identity. ERROR_ABORT: only aborting the
 * transaction helps. */
int kafka_fold(rd_kafka_error_t *error, const char *what, struct error *err);
int kafka_fold_code(rd_kafka_resp_err_t code, const char *what, struct error *err);
enum delivery_error kafka_fold_delivery(rd_kafka_resp_err_t code);

/* Where librdkafka's own log lines go; set once before clients are made. NULL: nowhere. */
void kafka_set_log(void (*log)(enum log_level level, const char *event, const char *text));

#endif
