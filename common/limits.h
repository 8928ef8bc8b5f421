/*
 * Every ceiling of the program, with its reason. At a ceiling the worker pauses or answers with a
 * clear error; it never drops and never grows on.
 */
#ifndef KANCEL_COMMON_LIMITS_H
#define KANCEL_COMMON_LIMITS_H

#include <stddef.h>

enum {
    /* A command's record value, bytes: proto/README.md. Larger ones are dead-lettered unread. */
    LIMIT_COMMAND_BYTES = 64 * 1024,
    /* Nesting of a command: ours needs 3, `context` is free; deeper text is an attack. */
    LIMIT_COMMAND_DEPTH = 32,
    /* A command's `context`, bytes as compact text. */
    LIMIT_CONTEXT_BYTES = 4 * 1024,
    /* Most entries of a list (scnet taskIds: the provider takes 500; iotda targets: 1000), and asks
     * of one call. */
    LIMIT_ASKS = 1000,
    /* A provider's answer, bytes: a status of 500 scnet tasks is about 200 KiB. */
    LIMIT_RESPONSE_BYTES = 1024 * 1024,
    LIMIT_RESPONSE_DEPTH = 64,
    /* All that comes until an answer is whole, bytes: a body in chunks of one byte is six times as
     * long. Endless informational answers and chunk extensions are neither head nor body. */
    LIMIT_RESPONSE_RAW_BYTES = 8 * LIMIT_RESPONSE_BYTES,
    /* All headers of an answer, bytes: IAM tokens are several KiB, gateways stop at 128 KiB. */
    LIMIT_RESPONSE_HEADER_BYTES = 128 * 1024,
    /* Follow-up pages of one status: 50 details a page (iotda) of at most 1,000 targets, and some.
     */
    LIMIT_PAGES = 40,
    /* The provider's JSON echoed in a result; beyond it `response` is left out. */
    LIMIT_ECHO_BYTES = 16 * 1024,
    /* A message (text for people) in a result, bytes of UTF-8. */
    LIMIT_MESSAGE_BYTES = 256,
    /* A provider's code in a result, bytes. */
    LIMIT_CODE_BYTES = 64,
    /* Commit metadata a broker stores by default (offset.metadata.max.bytes). */
    LIMIT_METADATA_BYTES = 4096,
    /* A topic's max.message.bytes where the broker does not tell. */
    LIMIT_TOPIC_MESSAGE_BYTES = 1000 * 1000,
    /* Headers of one record that are read; a record with more is invalid. */
    LIMIT_RECORD_HEADERS = 256,
    /* A configuration file, bytes. */
    LIMIT_CONFIG_BYTES = 1024 * 1024,
    /* A secret or token, bytes (IAM tokens are the longest). */
    LIMIT_SECRET_BYTES = 32 * 1024,
    /* librdkafka's statistics, bytes: some 1.5 KiB a partition. Larger ones are not looked at. */
    LIMIT_STATISTICS_BYTES = 16 * 1024 * 1024,
    /* A file of certificates, bytes: a system's bundle is about 220 KiB. */
    LIMIT_TLS_FILE_BYTES = 1024 * 1024,
    /* Mistakes of one configuration that are listed. */
    LIMIT_CONFIG_MISTAKES = 100,
};

/* Bytes of commands and results held by one worker: above it every partition is paused. */
#define LIMIT_ENGINE_BYTES ((size_t)128 * 1024 * 1024)

#endif
