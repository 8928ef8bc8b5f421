#include "proto/message.h"

#include "common/banned.h"

enum {
    /* A batch's own header (61) and the widest lengths, deltas and counts of one record in it. */
    WIRE_SHARE = 61 + 36,
    /* The widest two lengths of one header. */
    WIRE_HEADER_SHARE = 10,
};

const struct header *record_header(const struct record *record, const char *name)
{
    for (size_t i = record->header_count; i > 0; i--) {
        if (slice_equals(record->headers[i - 1].name, name))
            return &record->headers[i - 1];
    }
    return NULL;
}

/* Copies `from` to *at and moves *at behind it; absent stays absent. */
static struct slice put(char **at, struct slice from)
{
    if (from.data == NULL)
        return from;
    struct slice copy = slice_of(*at, from.len);
    if (from.len > 0)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return copy;
}

struct message *message_new(struct slice topic, int32_t partition, struct slice key,
                            struct slice value, const struct header *headers, size_t header_count)
{
    size_t size = sizeof(struct message) + header_count * sizeof(*headers) + topic.len + 1 +
                  key.len + value.len;
    for (size_t i = 0; i < header_count; i++)
        size += headers[i].name.len + headers[i].value.len;
    struct message *message = malloc(size + 1); /* an empty last text has an address of its own */
    if (message == NULL)
        return NULL;
    struct header *copies = (struct header *)(message + 1);
    char *at = (char *)(copies + header_count);
    *message =
        (struct message){.partition = partition, .headers = copies, .header_count = header_count};
    message->topic = at;
    (void)put(&at, topic);
    *at++ = '\0';
    message->key = put(&at, key);
    message->value = put(&at, value);
    for (size_t i = 0; i < header_count; i++) {
        copies[i].name = put(&at, headers[i].name);
        copies[i].value = put(&at, headers[i].value);
    }
    return message;
}

void message_free(struct message *message)
{
    free(message);
}

size_t message_bytes(const struct message *message)
{
    size_t bytes =
        sizeof(*message) + strlen(message->topic) + message->key.len + message->value.len;
    for (size_t i = 0; i < message->header_count; i++)
        bytes += sizeof(*message->headers) + message->headers[i].name.len +
                 message->headers[i].value.len;
    return bytes;
}

size_t message_wire_bytes(size_t key_len, size_t value_len, const struct header *headers,
                          size_t header_count)
{
    size_t bytes = WIRE_SHARE + key_len + value_len;
    for (size_t i = 0; i < header_count; i++)
        bytes += WIRE_HEADER_SHARE + headers[i].name.len + headers[i].value.len;
    return bytes;
}
