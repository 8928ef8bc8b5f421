/*
 * How a command came wrapped, and therefore how its result is wrapped: plainly, or as a
 * CloudEvent 1.0 in structured or binary content mode (CloudEvents Kafka binding 1.0); which
 * headers route and correlate the reply (Spring's names by default) and which trace it (W3C).
 */
#ifndef KANCEL_PROTO_ENVELOPE_H
#define KANCEL_PROTO_ENVELOPE_H

#include "common/json.h"
#include "proto/message.h"

/* Names of the reply-routing headers; NULL members are filled by envelope_headers_default(). */
struct envelope_headers {
    const char *reply_topic;     /* kafka_replyTopic: UTF-8 topic name */
    const char *reply_partition; /* kafka_replyPartition: 4 bytes, big-endian */
    const char *correlation_id;  /* kafka_correlationId: opaque bytes, echoed */
};
extern const struct envelope_headers envelope_headers_default;

enum envelope_mode { ENVELOPE_PLAIN, ENVELOPE_STRUCTURED, ENVELOPE_BINARY };

/* Slices that envelope_read() fills are borrowed from the record or its document. Texts of the
 * event are UTF-8; headers are opaque bytes. */
struct envelope {
    enum envelope_mode mode;
    struct slice event_id; /* ce_id or the structured event's id */
    struct slice
        expiry_time; /* expirytime attribute, as text; of a decoded command it is in expires_ms */
    struct slice event_correlation_id; /* CloudEvents extension `correlationid`; echoed as such */
    struct slice reply_topic;          /* absent: the results topic */
    int32_t reply_partition;           /* -1: none asked */
    bool reply_partition_malformed;    /* header was there with another length than 4 or negative */
    struct slice correlation_id;       /* absent: none */
    struct slice traceparent, tracestate; /* header, else CloudEvents attribute */
};

/* Reads the mode and the headers. `document` is the record's value, parsed by the caller; NULL when
 * it is no JSON, which the caller reports. `data` (out) is what holds the command: member `data` of
 * a structured event, else the document's root; NULL: none. Batch mode
 * (application/cloudevents-batch) and event formats other than JSON are ERROR_INPUT, as are a wrong
 * specversion, a missing id, source or type. *envelope holds what could be read in every case. */
int envelope_read(const struct record *record, const struct envelope_headers *names,
                  const struct json_document *document, struct envelope *envelope,
                  const struct json_value **data, struct error *err) MUST_CHECK;

/* True when the record announces structured mode. */
bool envelope_is_structured(const struct record *record);

/* True when CloudEvents allow the text as an attribute's value: UTF-8, not empty, without control
 * characters. */
bool envelope_is_attribute(struct slice text);

#endif
