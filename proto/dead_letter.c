#include "proto/result.h"

#include "common/digest.h"

#include "common/banned.h"

/* What is left out of a dead letter that does not fit, each step including those before it. */
enum omission { OMIT_NOTHING, OMIT_VALUE, OMIT_HEADERS, OMIT_KEY };

enum { OWN_HEADERS_MOST = 8 };

static const char original_topic[] = "kafka_dlt-original-topic";
static const char original_partition[] = "kafka_dlt-original-partition";
static const char original_offset[] = "kafka_dlt-original-offset";
static const char original_timestamp[] = "kafka_dlt-original-timestamp";
static const char exception_message[] = "kafka_dlt-exception-message";
static const char reason_name[] = "kancel-reason";
static const char value_sha256[] = "kancel-value-sha256";
static const char left_out[] = "kancel-left-out";

bool dead_letter_is_own(struct slice name)
{
    static const char *const names[] = {
        original_topic,    original_partition, original_offset, original_timestamp,
        exception_message, reason_name,        value_sha256,    left_out};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_equals(name, names[i]))
            return true;
    }
    return false;
}

static struct slice big_endian(uint64_t number, char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(unsigned char)(number >> (8 * (len - 1 - i)));
    return slice_of(bytes, len);
}

/* Storage of the values of the headers that are added. */
struct own {
    char partition[4], offset[8], timestamp[8], sha256[DIGEST_HEX_SIZE];
    struct slice digest; /* of a value that is left out; absent: none is */
    struct header headers[OWN_HEADERS_MOST];
    size_t count;
};

static void add(struct own *own, const char *name, struct slice value)
{
    own->headers[own->count++] = (struct header){slice_of_string(name), value};
}

static void add_own(struct own *own, const struct record *record, struct slice reason,
                    enum omission omission)
{
    own->count = 0;
    add(own, original_topic, slice_of_string(record->topic));
    add(own, original_partition,
        big_endian((uint32_t)record->partition, own->partition, sizeof(own->partition)));
    add(own, original_offset,
        big_endian((uint64_t)record->offset, own->offset, sizeof(own->offset)));
    add(own, original_timestamp,
        big_endian((uint64_t)record->timestamp_ms, own->timestamp, sizeof(own->timestamp)));
    add(own, exception_message, reason);
    add(own, reason_name, reason);
    if (own->digest.data != NULL)
        add(own, value_sha256, own->digest);
    if (omission == OMIT_HEADERS)
        add(own, left_out, slice_of_string("headers"));
    if (omission == OMIT_KEY)
        add(own, left_out, slice_of_string("headers, key"));
}

struct message *dead_letter_message(const struct record *record, struct slice topic,
                                    struct slice reason, size_t max_message_bytes,
                                    struct error *err)
{
    struct message *message = NULL;
    struct own own;
    struct slice key = record->key, value = record->value, none = {NULL, 0};
    struct header *headers = malloc((record->header_count + OWN_HEADERS_MOST) * sizeof(*headers));
    if (headers == NULL)
        goto no_memory;
    size_t kept = 0, count;
    const struct header *digest = record_header(record, value_sha256);
    own.digest = record->value.data == NULL && digest ? digest->value : none;
    for (size_t i = 0; i < record->header_count; i++) {
        if (!dead_letter_is_own(record->headers[i].name))
            headers[kept++] = record->headers[i];
    }
    for (enum omission omission = OMIT_NOTHING;; omission++) {
        if (omission == OMIT_VALUE) {
            if (value.data != NULL) {
                digest_sha256_hex(value, own.sha256);
                own.digest = slice_of(own.sha256, sizeof(own.sha256) - 1);
            }
            value = none;
        }
        if (omission == OMIT_HEADERS)
            kept = 0;
        if (omission == OMIT_KEY)
            key = none;
        add_own(&own, record, reason, omission);
        memcpy(headers + kept, own.headers, own.count * sizeof(*headers));
        count = kept + own.count;
        if (omission == OMIT_KEY ||
            message_wire_bytes(key.len, value.len, headers, count) <= max_message_bytes)
            break;
    }
    message = message_new(topic, -1, key, value, headers, count);
    free(headers);
    if (message != NULL)
        return message;
no_memory:
    error_set(err, ERROR_MEMORY, "out of memory");
    return NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int64_t number_of(struct slice bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < bytes.len; i++)
        number = number << 8 | (unsigned char)bytes.data[i];
    return (int64_t)number;
}

/* The last header of that name, of that length unless 0; absent: none. */
static struct slice find(const struct header *headers, size_t count, const char *name, size_t len)
{
    for (size_t i = count; i > 0; i--)
        if (slice_equals(headers[i - 1].name, name))
            return len == 0 || headers[i - 1].value.len == len ? headers[i - 1].value
                                                               : slice_of(NULL, 0);
    return slice_of(NULL, 0);
}

bool dead_letter_read(const struct header *headers, size_t count, struct dead_letter *letter)
{
    struct slice partition = find(headers, count, original_partition, 4);
    struct slice offset = find(headers, count, original_offset, 8);
    struct slice timestamp = find(headers, count, original_timestamp, 8);
    *letter = (struct dead_letter){.topic = find(headers, count, original_topic, 0),
                                   .reason = find(headers, count, reason_name, 0)};
    if (letter->topic.len == 0 || !partition.data || !offset.data || !letter->reason.data)
        return false;
    letter->partition = (int32_t)number_of(partition);
    letter->offset = number_of(offset);
    letter->timestamp_ms = timestamp.data ? number_of(timestamp) : -1;
    letter->incomplete = find(headers, count, value_sha256, 0).data != NULL ||
                         find(headers, count, left_out, 0).data != NULL;
    return true;
}
