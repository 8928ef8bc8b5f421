/*
 * Kafka records as plain data: `struct record` comes in (all borrowed), `struct message` goes out
 * (all owned, one block). No Kafka type is known here.
 */
#ifndef KANCEL_PROTO_MESSAGE_H
#define KANCEL_PROTO_MESSAGE_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/slice.h"

/* A header; a null value has value.data NULL. Names may repeat; the last one of a name counts. */
struct header {
    struct slice name;
    struct slice value;
};

struct record {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* of the record; -1: none */
    struct slice key;     /* data NULL: null key */
    struct slice value;   /* data NULL: tombstone */
    const struct header *headers;
    size_t header_count;
};

/* The last header of that name (exact bytes), or NULL. */
const struct header *record_header(const struct record *record, const char *name);

/* One record to publish. */
struct message {
    char *topic;
    int32_t partition;  /* -1: by key (murmur2_random) */
    struct slice key;   /* data NULL: null key */
    struct slice value; /* data NULL: null value */
    struct header *headers;
    size_t header_count;
};

/* Copies everything into one block; NULL when out of memory. */
struct message *message_new(struct slice topic, int32_t partition, struct slice key,
                            struct slice value, const struct header *headers, size_t header_count);
void message_free(struct message *message);
/* Bytes this message counts for: key, value, headers and a fixed share for the rest. */
size_t message_bytes(const struct message *message);
/* The most bytes such a record takes in a topic, alone in its batch: what max.message.bytes is
 * compared with. */
size_t message_wire_bytes(size_t key_len, size_t value_len, const struct header *headers,
                          size_t header_count);

#endif
