#include "proto/envelope.h"

#include "tests/unit/proto/wire.h"

#include "common/timestamp.h"

#include "common/banned.h"

#define COMMAND    "{\"id\":\"c-1\"," KOODRIVE_STATUS "}"
#define NO_ID      "{" KOODRIVE_STATUS "}"
#define BINARY     HEADER("ce_specversion", "1.0"), HEADER("ce_source", "/o"), HEADER("ce_type", "t")
#define ATTRIBUTES "\"specversion\":\"1.0\",\"id\":\"e-1\",\"source\":\"/o\",\"type\":\"t\""

static const struct header structured[] = {
    HEADER("content-type", "application/cloudevents+json; charset=UTF-8")};

static int64_t time_of(const char *text)
{
    int64_t ms = -1;
    ck_assert(timestamp_parse(slice_of_string(text), &ms));
    return ms;
}

/* ---- plain --------------------------------------------------------------------------------------
 */

START_TEST(routing_and_tracing_headers_are_read_byte_for_byte)
{
    static const struct header headers[] = {
        HEADER("kafka_replyTopic", "reply.a"),
        HEADER("kafka_replyPartition", "\x00\x01\x02\x03"),
        HEADER("kafka_correlationId", "\xff\x00\x01"),
        HEADER("traceparent", "00-aa-bb-01"),
        HEADER("tracestate", ""),
    };
    struct command command;
    struct error err;
    ck_assert_int_eq(decode_with(slice_of_string(COMMAND), headers, COUNT(headers), &command, &err),
                     0);
    ck_slice_eq(command.envelope.reply_topic, "reply.a");
    ck_assert_int_eq(command.envelope.reply_partition, 0x00010203);
    ck_assert(!command.envelope.reply_partition_malformed);
    ck_assert(slice_equal(command.envelope.correlation_id, slice_of("\xff\x00\x01", 3)));
    ck_slice_eq(command.envelope.traceparent, "00-aa-bb-01");
    ck_slice_eq(command.envelope.tracestate, "");
    command_release(&command);
}
END_TEST

START_TEST(header_names_may_be_configured)
{
    static const struct envelope_headers names = {.reply_topic = "x-reply-to",
                                                  .correlation_id = "x-correlation"};
    static const struct header headers[] = {
        HEADER("kafka_replyTopic", "wrong"), HEADER("x-reply-to", "right"),
        HEADER("x-correlation", "7"), HEADER("kafka_replyPartition", "\x00\x00\x00\x05")};
    struct record record = record_of(slice_of_string(COMMAND), headers, 4);
    struct command command;
    struct error err;
    ck_assert_int_eq(command_decode(&record, &names, &command, &err), 0);
    ck_slice_eq(command.envelope.reply_topic, "right");
    ck_slice_eq(command.envelope.correlation_id, "7");
    ck_assert_int_eq(command.envelope.reply_partition, 5);
    command_release(&command);
}
END_TEST

START_TEST(names_of_headers_are_exact_and_the_last_one_counts)
{
    static const struct header headers[] = {HEADER("kafka_replytopic", "no"),
                                            HEADER("kafka_replyTopic", "first"),
                                            HEADER("kafka_replyTopic", "last"),
                                            HEADER("CE_specversion", "1.0"),
                                            {SLICE("kafka_correlationId"), {NULL, 0}}};
    struct command command;
    struct error err;
    ck_assert_int_eq(decode_with(slice_of_string(COMMAND), headers, COUNT(headers), &command, &err),
                     0);
    ck_slice_eq(command.envelope.reply_topic, "last");
    ck_assert_int_eq(command.envelope.mode, ENVELOPE_PLAIN);
    ck_assert_ptr_null(command.envelope.correlation_id.data);
    command_release(&command);
}
END_TEST

static const struct slice malformed_partitions[] = {
    SLICE(""), SLICE("\x00\x00\x01"), SLICE("\x00\x00\x00\x00\x01"), SLICE("\xff\xff\xff\xff"),
    SLICE("\x80\x00\x00\x00")};

START_TEST(a_malformed_reply_partition_is_told_and_the_command_stands)
{
    struct header headers[] = {{SLICE("kafka_replyPartition"), malformed_partitions[_i]}};
    struct command command;
    struct error err;
    ck_assert_int_eq(decode_with(slice_of_string(COMMAND), headers, 1, &command, &err), 0);
    ck_assert(command.envelope.reply_partition_malformed);
    ck_assert_int_eq(command.envelope.reply_partition, -1);
    command_release(&command);
}
END_TEST

/* ---- binary -------------------------------------------------------------------------------------
 */

START_TEST(a_binary_event_gives_the_id_when_the_command_has_none)
{
    static const struct header headers[] = {BINARY, HEADER("ce_id", "e-1"),
                                            HEADER("content-type", "application/json")};
    struct command command;
    struct error err;
    ck_assert_int_eq(decode_with(slice_of_string(NO_ID), headers, COUNT(headers), &command, &err),
                     0);
    ck_assert_int_eq(command.envelope.mode, ENVELOPE_BINARY);
    ck_slice_eq(command.id, "e-1");
    command_release(&command);
    ck_assert_int_eq(decode_with(slice_of_string(COMMAND), headers, COUNT(headers), &command, &err),
                     0);
    ck_slice_eq(command.id, "c-1");
    ck_slice_eq(command.envelope.event_id, "e-1");
    command_release(&command);
}
END_TEST

START_TEST(a_binary_event_is_answered_under_its_id_when_the_value_is_no_json)
{
    static const struct header headers[] = {BINARY, HEADER("ce_id", "e-1")};
    struct command command;
    struct error err;
    ck_assert_int_eq(
        decode_with(slice_of_string("nonsense"), headers, COUNT(headers), &command, &err), -1);
    ck_assert_str_eq(err.message, "line 1, column 8: not JSON");
    ck_slice_eq(command.id, "e-1");
    ck_assert_int_eq(command.envelope.mode, ENVELOPE_BINARY);
    command_release(&command);
}
END_TEST

START_TEST(the_earlier_of_both_expiries_counts)
{
    static const struct {
        const char *expires_at;
        struct slice expirytime;
        const char *earlier;
    } rows[] = {
        {"2026-11-21T12:00:00Z", SLICE("2026-11-21T12:00:01Z"), "2026-11-21T12:00:00Z"},
        {"2026-11-21T12:00:00Z", SLICE("2026-11-21T12:59:59+01:00"), "2026-11-21T11:59:59Z"},
    };
    for (int i = 0; i < COUNT(rows); i++) {
        struct header headers[] = {
            BINARY, HEADER("ce_id", "e-1"), {SLICE("ce_expirytime"), rows[i].expirytime}};
        char value[256];
        struct command command;
        struct error err;
        (void)snprintf(value, sizeof(value), "{\"expiresAt\":\"%s\"," KOODRIVE_STATUS "}",
                       rows[i].expires_at);
        ck_assert_int_eq(decode_with(slice_of_string(value), headers, 5, &command, &err), 0);
        ck_assert_int_eq(command.expires_ms, time_of(rows[i].earlier));
        command_release(&command);
    }
}
END_TEST

static const struct {
    struct header headers[5];
    int count;
    const char *message;
    const char *id;
} bad_binary[] = {
    {{HEADER("ce_specversion", "0.3"), HEADER("ce_id", "e-1"), HEADER("ce_source", "/o"),
      HEADER("ce_type", "t")},
     4,
     "ce_specversion: expected 1.0",
     "c-1"},
    {{BINARY},
     3,
     "ce_id: expected a text of CloudEvents (UTF-8, not empty, no control characters)",
     "c-1"},
    {{HEADER("ce_specversion", "1.0"), HEADER("ce_id", "e-1"), HEADER("ce_type", "t")},
     3,
     "ce_source: expected a text of CloudEvents (UTF-8, not empty, no control characters)",
     "c-1"},
    {{HEADER("ce_specversion", "1.0"), HEADER("ce_id", "e-1"), HEADER("ce_source", "/o"),
      HEADER("ce_type", "")},
     4,
     "ce_type: expected a text of CloudEvents (UTF-8, not empty, no control characters)",
     "c-1"},
    {{BINARY, HEADER("ce_id", "\xff")},
     4,
     "ce_id: expected a text of CloudEvents (UTF-8, not empty, no control characters)",
     "c-1"},
    {{BINARY, HEADER("ce_id", "e-1"), HEADER("ce_expirytime", "soon")},
     5,
     "expirytime: expected an RFC 3339 time such as 2026-11-21T12:00:00Z",
     "c-1"},
    {{BINARY, HEADER("ce_id", "e-1"), HEADER("ce_correlationid", "a\nb")},
     5,
     "ce_correlationid: expected a text of CloudEvents (UTF-8, not empty, no control characters)",
     "c-1"},
};

START_TEST(a_binary_event_lacking_something_is_refused_and_answered)
{
    struct command command;
    struct error err;
    ck_assert_int_eq(decode_with(slice_of_string(COMMAND), bad_binary[_i].headers,
                                 bad_binary[_i].count, &command, &err),
                     -1);
    ck_assert_str_eq(err.message, bad_binary[_i].message);
    ck_slice_eq(command.id, bad_binary[_i].id);
    command_release(&command);
}
END_TEST

/* ---- structured ---------------------------------------------------------------------------------
 */

static const char *const structured_types[] = {
    "application/cloudevents+json",
    "application/cloudevents",
    "APPLICATION/CloudEvents+JSON",
    "application/cloudevents+json; charset=UTF-8",
    " application/cloudevents+json ;charset=\"utf-8\"",
};

START_TEST(structured_mode_is_told_by_the_content_type_in_any_case)
{
    struct header headers[] = {{SLICE("Content-Type"), slice_of_string(structured_types[_i])},
                               BINARY};
    struct command command;
    struct error err;
    struct slice value = SLICE("{" ATTRIBUTES ",\"data\":" COMMAND "}");
    ck_assert_msg(decode_with(value, headers, COUNT(headers), &command, &err) == 0, "%s",
                  err.message);
    ck_assert_int_eq(command.envelope.mode, ENVELOPE_STRUCTURED);
    ck_slice_eq(command.id, "c-1");
    ck_slice_eq(command.task, "{\"jobId\":\"1\"}");
    command_release(&command);
}
END_TEST

START_TEST(the_example_event_decodes_with_all_its_attributes)
{
    struct slice bytes = file_bytes(EXAMPLES "event-command.json");
    struct record record = record_of(bytes, structured, 1);
    struct command command;
    struct error err;
    ck_assert_int_eq(command_decode(&record, NULL, &command, &err), 0);
    ck_assert_uint_eq(json_value_count(json_value_get(command.task_json, "targets")), 2);
    command_forget_json(&command);
    free((char *)bytes.data);
    ck_slice_eq(command.id, "c-1");
    ck_slice_eq(command.task,
                "{\"taskId\":\"5c90fa7d3c4e4405e8525079\",\"targets\":[\"d-1\",\"d-2\"]}");
    ck_slice_eq(command.envelope.event_id, "e-1");
    ck_slice_eq(command.envelope.event_correlation_id, "order-7");
    ck_slice_eq(command.envelope.traceparent,
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    ck_assert_int_eq(command.expires_ms, time_of("2026-11-21T12:00:00Z"));
    ck_assert_ptr_null(command.envelope.expiry_time.data);
    command_release(&command);
}
END_TEST

START_TEST(the_example_event_without_an_id_in_data_has_the_events)
{
    struct slice bytes = file_bytes(EXAMPLES "event-command-without-id-in-data.json");
    struct command command;
    struct error err;
    ck_assert_int_eq(decode_with(bytes, structured, 1, &command, &err), 0);
    ck_slice_eq(command.id, "e-1");
    command_release(&command);
    free((char *)bytes.data);
}
END_TEST

START_TEST(a_trace_header_wins_over_the_events_attribute)
{
    static const struct header headers[] = {HEADER("content-type", "application/cloudevents+json"),
                                            HEADER("traceparent", "header")};
    struct command command;
    struct error err;
    struct slice value = SLICE("{" ATTRIBUTES ",\"traceparent\":\"attribute\",\"tracestate\":\"s\","
                               "\"data\":" COMMAND "}");
    ck_assert_int_eq(decode_with(value, headers, 2, &command, &err), 0);
    ck_slice_eq(command.envelope.traceparent, "header");
    ck_slice_eq(command.envelope.tracestate, "s");
    command_release(&command);
}
END_TEST

START_TEST(null_attributes_of_an_event_are_absent)
{
    struct command command;
    struct error err;
    struct slice value = SLICE("{" ATTRIBUTES ",\"expirytime\":null,\"correlationid\":null,"
                               "\"data_base64\":null,\"data\":" COMMAND "}");
    ck_assert_int_eq(decode_with(value, structured, 1, &command, &err), 0);
    ck_assert_int_eq(command.expires_ms, COMMAND_NEVER);
    ck_assert_ptr_null(command.envelope.event_correlation_id.data);
    command_release(&command);
}
END_TEST

static const struct {
    const char *value;
    const char *message;
    const char *id;
} bad_structured[] = {
    {"[]", "the event: expected an object, not an array", NULL},
    {"nonsense", "line 1, column 8: not JSON", NULL},
    {"{\"specversion\":\"1.0\",\"source\":\"/o\",\"type\":\"t\",\"data\":" COMMAND "}",
     "id: expected a text of CloudEvents (UTF-8, not empty, no control characters)", "c-1"},
    {"{\"specversion\":\"0.3\",\"id\":\"e-1\",\"source\":\"/o\",\"type\":\"t\",\"data\":" COMMAND
     "}",
     "specversion: expected \"1.0\"", "c-1"},
    {"{\"specversion\":\"1.0\",\"id\":\"e-1\",\"source\":7,\"type\":\"t\",\"data\":" COMMAND "}",
     "source: expected a string", "c-1"},
    {"{" ATTRIBUTES "}", "data: expected an object, not nothing", "e-1"},
    {"{" ATTRIBUTES ",\"data\":null}", "data: expected an object, not null", "e-1"},
    {"{" ATTRIBUTES ",\"data\":\"{}\"}", "data: expected an object, not a string", "e-1"},
    {"{" ATTRIBUTES ",\"data_base64\":\"e30=\"}",
     "data_base64: expected the command as JSON in data instead", "e-1"},
    {"{" ATTRIBUTES ",\"data\":{\"id\":5," KOODRIVE_STATUS "}}",
     "id: expected a string of 1 to 128 characters, not a number", "e-1"},
    {"{" ATTRIBUTES ",\"expirytime\":\"soon\",\"data\":" COMMAND "}",
     "expirytime: expected an RFC 3339 time such as 2026-11-21T12:00:00Z", "c-1"},
    {"{" ATTRIBUTES ",\"data\":{},\"data\":" COMMAND "}",
     "line 1, column 73: a member name that the object already has", NULL},
};

START_TEST(a_structured_event_lacking_something_is_refused)
{
    struct command command;
    struct error err;
    ck_assert_int_eq(
        decode_with(slice_of_string(bad_structured[_i].value), structured, 1, &command, &err), -1);
    ck_assert_str_eq(err.message, bad_structured[_i].message);
    if (bad_structured[_i].id != NULL)
        ck_slice_eq(command.id, bad_structured[_i].id);
    else
        ck_assert_ptr_null(command.id.data);
    command_release(&command);
}
END_TEST

START_TEST(batches_and_other_formats_are_refused_without_an_answer)
{
    static const struct {
        struct slice type;
        const char *message;
    } rows[] = {
        {SLICE("application/cloudevents-batch+json"),
         "content-type: a batch of events; expected one event a record"},
        {SLICE("Application/CloudEvents-Batch"),
         "content-type: a batch of events; expected one event a record"},
        {SLICE("application/cloudevents+avro"),
         "content-type: expected application/cloudevents+json among event formats"},
    };
    for (int i = 0; i < COUNT(rows); i++) {
        struct header headers[] = {
            {SLICE("content-type"), rows[i].type}, BINARY, HEADER("ce_id", "e-1")};
        struct command command;
        struct error err;
        ck_assert_int_eq(
            decode_with(slice_of_string(COMMAND), headers, COUNT(headers), &command, &err), -1);
        ck_assert_str_eq(err.message, rows[i].message);
        ck_assert_ptr_null(command.id.data);
        command_release(&command);
    }
}
END_TEST

START_TEST(attributes_are_texts_without_control_characters)
{
    ck_assert(envelope_is_attribute(slice_of_string("a \xc3\xa9 \xc2\xa0")));
    ck_assert(!envelope_is_attribute(slice_of_string("")));
    ck_assert(!envelope_is_attribute(slice_of(NULL, 0)));
    ck_assert(!envelope_is_attribute(slice_of_string("a\r\nb")));
    ck_assert(!envelope_is_attribute(slice_of_string("\x7f")));
    ck_assert(!envelope_is_attribute(slice_of_string("\xc2\x85")));
    ck_assert(!envelope_is_attribute(slice_of_string("\xc2")));
    ck_assert(!envelope_is_attribute(slice_of("a\0b", 3)));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("envelope");
    tcase_add_test(tests, routing_and_tracing_headers_are_read_byte_for_byte);
    tcase_add_test(tests, header_names_may_be_configured);
    tcase_add_test(tests, names_of_headers_are_exact_and_the_last_one_counts);
    tcase_add_loop_test(tests, a_malformed_reply_partition_is_told_and_the_command_stands, 0,
                        COUNT(malformed_partitions));
    tcase_add_test(tests, a_binary_event_gives_the_id_when_the_command_has_none);
    tcase_add_test(tests, a_binary_event_is_answered_under_its_id_when_the_value_is_no_json);
    tcase_add_test(tests, the_earlier_of_both_expiries_counts);
    tcase_add_loop_test(tests, a_binary_event_lacking_something_is_refused_and_answered, 0,
                        COUNT(bad_binary));
    tcase_add_loop_test(tests, structured_mode_is_told_by_the_content_type_in_any_case, 0,
                        COUNT(structured_types));
    tcase_add_test(tests, the_example_event_decodes_with_all_its_attributes);
    tcase_add_test(tests, the_example_event_without_an_id_in_data_has_the_events);
    tcase_add_test(tests, a_trace_header_wins_over_the_events_attribute);
    tcase_add_test(tests, null_attributes_of_an_event_are_absent);
    tcase_add_loop_test(tests, a_structured_event_lacking_something_is_refused, 0,
                        COUNT(bad_structured));
    tcase_add_test(tests, batches_and_other_formats_are_refused_without_an_answer);
    tcase_add_test(tests, attributes_are_texts_without_control_characters);
    return unit_run("proto/envelope", tests);
}
