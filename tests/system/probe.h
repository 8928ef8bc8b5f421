/* What the files of kancel-probe share. All of it dies (exit 1, with a reason) on failure. */
#ifndef KANCEL_TESTS_SYSTEM_PROBE_H
#define KANCEL_TESTS_SYSTEM_PROBE_H

#include <jansson.h>
#include <librdkafka/rdkafka.h>

enum { WAIT_MS = 60000 };

_Noreturn void die(const char *what, const char *why);
void check(rd_kafka_resp_err_t err, const char *what);
void check_error(rd_kafka_error_t *error, const char *what);
void *must(void *pointer);
void set(rd_kafka_conf_t *conf, const char *name, const char *value);
rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers);
/* Takes the line. */
void print_line(json_t *line);
int partitions_of(rd_kafka_t *rk, const char *topic);
int64_t now_ms(void);

/* The command `regained`. */
int regained(const char *brokers, int argc, char **argv);
/* `deny` and `undeny`. */
int deny(const char *brokers, int argc, char **argv);
int undeny(const char *brokers, int argc, char **argv);

#endif
