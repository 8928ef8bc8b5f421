/*
 * What librdkafka's properties are: which exist, which client takes them, what values they want,
 * and which of them a user may not set because a promise of the worker hangs on them. Part of
 * kafka.c: nobody else uses it.
 */
#ifndef KANCEL_WORKER_IO_KAFKA_PROPERTIES_H
#define KANCEL_WORKER_IO_KAFKA_PROPERTIES_H

#include <stdbool.h>

#include "common/error.h"

struct kafka_property {
    char scope;     /* 'C' consumer, 'P' producer, '*' both */
    char range[80]; /* "1 .. 3600000", "none, gzip, snappy"; cut with "..."; empty: free text */
};

/* As librdkafka's own manual lists it (rd_kafka_conf_properties_show, the only place that tells the
 * scope). False: not listed, which is also so for hidden properties that rd_kafka_conf_set takes
 * all the same. */
bool kafka_property_find(const char *name, struct kafka_property *property) MUST_CHECK;

/* Why a user may not set it; NULL: free. */
const char *kafka_property_refusal(const char *name);

/* True when a value of this property is a password, a key or a token. */
bool kafka_property_is_secret(const char *name);

#endif
