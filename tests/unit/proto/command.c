#include "proto/command.h"

#include "tests/unit/proto/wire.h"

#include "common/timestamp.h"

#include "common/banned.h"

static int64_t time_of(const char *text)
{
    int64_t ms = -1;
    ck_assert(timestamp_parse(slice_of_string(text), &ms));
    return ms;
}

static void must_decode(const char *path, struct slice bytes)
{
    struct command command;
    struct error err;
    ck_assert_msg(decode(bytes, &command, &err) == 0, "%s: %s", path, err.message);
    command_release(&command);
}

static void must_refuse(const char *path, struct slice bytes)
{
    struct command command;
    struct error err;
    ck_assert_msg(decode(bytes, &command, &err) == -1, "%s", path);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    ck_assert_msg(err.message[0] != '\0', "%s", path);
    command_release(&command);
}

START_TEST(every_example_decodes)
{
    each_example(EXAMPLES "command-*.json", 12, must_decode);
}
END_TEST

START_TEST(every_invalid_example_is_refused)
{
    each_example(EXAMPLES "invalid/command-*.json", 18, must_refuse);
    each_example(EXAMPLES "invalid/text-*.json", 14, must_refuse);
}
END_TEST

START_TEST(what_is_inside_task_is_left_to_the_driver)
{
    each_example(EXAMPLES "invalid/task-*.json", 18, must_decode);
}
END_TEST

START_TEST(a_command_keeps_what_it_says_after_the_record_is_gone)
{
    struct slice bytes = file_bytes(EXAMPLES "command-iotda-cancel.json");
    struct record record = record_of(bytes, NULL, 0);
    struct command command;
    struct error err;
    ck_assert_int_eq(command_decode(&record, NULL, &command, &err), 0);
    const struct json_value *targets = json_value_get(command.task_json, "targets");
    ck_assert_uint_eq(json_value_count(targets), 2);
    command_forget_json(&command);
    memset((char *)bytes.data, 'X', bytes.len);
    free((char *)bytes.data);
    ck_assert_str_eq(command.topic, "task-commands");
    ck_assert_int_eq(command.partition, 3);
    ck_assert_int_eq(command.offset, 1742);
    ck_assert_int_eq(command.timestamp_ms, 1795262340000);
    ck_slice_eq(command.key, "order-7");
    ck_slice_eq(command.id, "c-1");
    ck_assert_int_eq(command.operation, OPERATION_CANCEL);
    ck_slice_eq(command.operation_text, "cancel");
    ck_slice_eq(command.provider, "iotda");
    ck_slice_eq(command.account, "iot-prod");
    ck_slice_eq(command.task,
                "{\"taskId\":\"5c90fa7d3c4e4405e8525079\",\"targets\":[\"d-1\",\"d-2\"]}");
    ck_assert_int_eq(command.until, UNTIL_ACCEPTED);
    ck_assert_int_eq(command.expires_ms, time_of("2026-11-21T12:00:00Z"));
    ck_slice_eq(command.context, "{\"order\":7}");
    ck_assert_uint_gt(command_bytes(&command), sizeof(command) + 100);
    command_release(&command);
}
END_TEST

START_TEST(headers_are_kept_after_the_record_is_gone)
{
    static const char *const names[] = {"kafka_replyTopic", "kafka_correlationId", "traceparent",
                                        "tracestate",       "ce_correlationid",    "ce_id"};
    static const char *const ce_names[] = {"ce_specversion", "ce_source", "ce_type"};
    char texts[COUNT(names)][8];
    struct header headers[COUNT(names) + COUNT(ce_names)];
    struct command command;
    struct error err;
    for (int i = 0; i < COUNT(names); i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "text %d", i);
        headers[i] = (struct header){slice_of_string(names[i]), slice_of_string(texts[i])};
    }
    for (int i = 0; i < COUNT(ce_names); i++)
        headers[COUNT(names) + i] =
            (struct header){slice_of_string(ce_names[i]), slice_of_string("1.0")};
    ck_assert_int_eq(decode_with((struct slice)SLICE("{\"id\":\"1\"," KOODRIVE_STATUS "}"), headers,
                                 COUNT(headers), &command, &err),
                     0);
    memset(texts, 'X', sizeof(texts));
    ck_slice_eq(command.envelope.reply_topic, "text 0");
    ck_slice_eq(command.envelope.correlation_id, "text 1");
    ck_slice_eq(command.envelope.traceparent, "text 2");
    ck_slice_eq(command.envelope.tracestate, "text 3");
    ck_slice_eq(command.envelope.event_correlation_id, "text 4");
    ck_slice_eq(command.envelope.event_id, "text 5");
    command_release(&command);
}
END_TEST

START_TEST(what_may_be_left_out_has_its_default)
{
    struct slice value = SLICE("{\"id\":\"1\"," KOODRIVE_STATUS "}");
    struct record record = record_of(value, NULL, 0);
    struct command command;
    struct error err;
    record.key = slice_of(NULL, 0);
    ck_assert_int_eq(command_decode(&record, NULL, &command, &err), 0);
    ck_assert_ptr_null(command.key.data);
    ck_assert_ptr_null(command.account.data);
    ck_assert_ptr_null(command.context.data);
    ck_assert_int_eq(command.until, UNTIL_ACCEPTED);
    ck_assert_int_eq(command.expires_ms, COMMAND_NEVER);
    ck_assert_int_eq(command.envelope.mode, ENVELOPE_PLAIN);
    ck_assert_ptr_null(command.envelope.reply_topic.data);
    ck_assert_int_eq(command.envelope.reply_partition, -1);
    command_release(&command);
}
END_TEST

START_TEST(an_empty_key_is_not_a_null_key)
{
    struct slice value = SLICE("{\"id\":\"1\"," KOODRIVE_STATUS "}");
    struct record record = record_of(value, NULL, 0);
    struct command command;
    struct error err;
    record.key = slice_of("", 0);
    ck_assert_int_eq(command_decode(&record, NULL, &command, &err), 0);
    ck_assert_ptr_nonnull(command.key.data);
    ck_assert_uint_eq(command.key.len, 0);
    command_release(&command);
}
END_TEST

START_TEST(numbers_and_strings_are_echoed_as_written)
{
    struct slice value = SLICE(
        "{\"id\":\"\\u0031\",\"operation\":\"status\",\"provider\":\"enos\","
        "\"task\" : { \"a b\" : \"\\u00e9 \\\" x\" , \"n\" : 1.50 } ,"
        "\"context\" : [ 1e400 , 123456789012345678901234567890 , -0.0 , \"a  b\" , null ] }");
    struct command command;
    struct error err;
    ck_assert_msg(decode(value, &command, &err) == 0, "%s", err.message);
    ck_slice_eq(command.id, "1");
    ck_slice_eq(command.task, "{\"a b\":\"\\u00e9 \\\" x\",\"n\":1.50}");
    ck_slice_eq(command.context, "[1e400,123456789012345678901234567890,-0.0,\"a  b\",null]");
    command_release(&command);
}
END_TEST

START_TEST(context_may_be_any_value_of_4096_bytes_in_compact_form)
{
    static char text[16 * 1024];
    const char *head = "{\"id\":\"1\"," KOODRIVE_STATUS ",\"context\":[";
    struct command command;
    struct error err;
    /* With commas and brackets 2047 members are 4095 bytes, 2048 are 4097; blanks do not count. */
    for (int members = 2047; members <= 2048; members++) {
        struct buffer value = {.data = text, .capacity = sizeof(text), .ceiling = sizeof(text) - 1};
        buffer_append_string(&value, head);
        for (int i = 0; i < members; i++)
            buffer_append_string(&value, i > 0 ? ", 0" : "0");
        buffer_append_string(&value, " ]}");
        bool fits = members == 2047;
        ck_assert_int_eq(decode(buffer_slice(&value), &command, &err), fits ? 0 : -1);
        if (fits)
            ck_assert_uint_eq(command.context.len, 4095);
        else
            ck_assert_str_eq(err.message,
                             "context: expected at most 4096 bytes as compact JSON, not more");
        ck_slice_eq(command.id, "1");
        command_release(&command);
    }
}
END_TEST

/* Refusals say where and what; what could be read is kept for the answer. */
static const struct {
    const char *value;
    const char *message;
    const char *id; /* NULL: cannot be answered */
} refusals[] = {
    {"[]", "the command: expected an object, not an array", NULL},
    {"\"cancel\"", "the command: expected an object, not a string", NULL},
    {"{}", "id: expected a string of 1 to 128 characters, not nothing", NULL},
    {"{\"id\":1," KOODRIVE_STATUS "}", "id: expected a string of 1 to 128 characters, not a number",
     NULL},
    {"{\"id\":null," KOODRIVE_STATUS "}", "id: expected a string of 1 to 128 characters, not null",
     NULL},
    {"{\"id\":\"\"," KOODRIVE_STATUS "}",
     "id: expected a string of 1 to 128 characters, not an empty one", NULL},
    {"{\"id\":\"1\"}", "operation: expected a string of 1 to 128 characters, not nothing", "1"},
    {"{\"id\":\"1\",\"operation\":\"stop\"}",
     "operation: expected cancel or status, not another word", "1"},
    {"{\"id\":\"1\",\"operation\":\"cancel\",\"provider\":[]}",
     "provider: expected a string of 1 to 128 characters, not an array", "1"},
    {"{\"id\":\"1\",\"operation\":\"cancel\",\"provider\":\"enos\"}",
     "task: expected an object, not nothing", "1"},
    {"{\"id\":\"1\",\"operation\":\"cancel\",\"provider\":\"enos\",\"task\":\"t\"}",
     "task: expected an object, not a string", "1"},
    {"{\"id\":\"1\",\"account\":false," KOODRIVE_STATUS "}",
     "account: expected a string of 1 to 128 characters, not a boolean", "1"},
    {"{\"id\":\"1\",\"until\":7," KOODRIVE_STATUS "}",
     "until: expected accepted or settled, not a number", "1"},
    {"{\"id\":\"1\",\"until\":\"done\"," KOODRIVE_STATUS "}",
     "until: expected accepted or settled, not another word", "1"},
    {"{\"id\":\"1\",\"expiresAt\":\"tomorrow\"," KOODRIVE_STATUS "}",
     "expiresAt: expected an RFC 3339 time such as 2026-11-21T12:00:00Z", "1"},
    {"{\"id\":\"1\",\"expiresAt\":null," KOODRIVE_STATUS "}",
     "expiresAt: expected an RFC 3339 time as a string, not null", "1"},
    {"{\"id\":\"1\",\"id\":\"2\"," KOODRIVE_STATUS "}",
     "line 1, column 14: a member name that the object already has", NULL},
    {"{\"id\":\"1\",\n " KOODRIVE_STATUS "} x", "line 2, column 67: more text behind the value",
     NULL},
};

START_TEST(a_refusal_names_the_member_and_what_was_expected)
{
    struct command command;
    struct error err;
    ck_assert_int_eq(decode(slice_of_string(refusals[_i].value), &command, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    ck_assert_str_eq(err.message, refusals[_i].message);
    if (refusals[_i].id != NULL)
        ck_slice_eq(command.id, refusals[_i].id);
    else
        ck_assert_ptr_null(command.id.data);
    ck_assert_ptr_null(command.document);
    command_release(&command);
}
END_TEST

START_TEST(what_could_be_read_of_an_invalid_command_is_kept)
{
    static const struct header headers[] = {HEADER("kafka_correlationId", "\x00\xff\x01"),
                                            HEADER("kafka_replyTopic", "reply.a")};
    struct slice value = SLICE("{\"id\":\"1\",\"operation\":\"stop\",\"provider\":\"acme\","
                               "\"account\":\"a\",\"context\":{\"n\":1}}");
    struct command command;
    struct error err;
    ck_assert_int_eq(decode_with(value, headers, COUNT(headers), &command, &err), -1);
    ck_slice_eq(command.id, "1");
    ck_slice_eq(command.operation_text, "stop");
    ck_slice_eq(command.provider, "acme");
    ck_slice_eq(command.account, "a");
    ck_slice_eq(command.context, "{\"n\":1}");
    ck_slice_eq(command.envelope.reply_topic, "reply.a");
    ck_assert(slice_equal(command.envelope.correlation_id, slice_of("\x00\xff\x01", 3)));
    command_release(&command);
}
END_TEST

START_TEST(an_id_is_counted_in_characters)
{
    static const char two_bytes[] = "\xc3\xa9";
    char text[1024];
    struct command command;
    struct error err;
    for (int characters = 128; characters <= 129; characters++) {
        struct buffer value = {.data = text, .capacity = sizeof(text), .ceiling = sizeof(text) - 1};
        buffer_append_string(&value, "{\"id\":\"");
        for (int i = 0; i < characters; i++)
            buffer_append_string(&value, two_bytes);
        buffer_append_string(&value, "\"," KOODRIVE_STATUS "}");
        ck_assert_int_eq(decode(buffer_slice(&value), &command, &err), characters == 128 ? 0 : -1);
        if (characters == 128)
            ck_assert_uint_eq(command.id.len, 256);
        else
            ck_assert_ptr_null(command.id.data);
        command_release(&command);
    }
}
END_TEST

START_TEST(words_of_ten_thousand_characters_are_refused_and_not_kept)
{
    static char text[50 * 1024];
    static char word[10 * 1000];
    struct buffer value = {.data = text, .capacity = sizeof(text), .ceiling = sizeof(text) - 1};
    struct command command;
    struct error err;
    memset(word, 'x', sizeof(word));
    buffer_append_string(&value, "{\"id\":\"1\",\"task\":{},\"operation\":\"");
    buffer_append(&value, word, sizeof(word));
    buffer_append_string(&value, "\",\"provider\":\"");
    buffer_append(&value, word, sizeof(word));
    buffer_append_string(&value, "\",\"account\":\"");
    buffer_append(&value, word, sizeof(word));
    buffer_append_string(&value, "\"}");
    ck_assert_int_eq(decode(buffer_slice(&value), &command, &err), -1);
    ck_assert_str_eq(err.message,
                     "operation: expected a string of 1 to 128 characters, not a longer one");
    ck_slice_eq(command.id, "1");
    ck_assert_ptr_null(command.operation_text.data);
    ck_assert_ptr_null(command.provider.data);
    ck_assert_ptr_null(command.account.data);
    ck_assert_uint_lt(command_bytes(&command), 2000);
    command_release(&command);
}
END_TEST

START_TEST(line_breaks_in_an_id_are_part_of_it)
{
    struct command command;
    struct error err;
    struct slice value = SLICE("{\"id\":\"a\\r\\nb\"," KOODRIVE_STATUS "}");
    ck_assert_int_eq(decode(value, &command, &err), 0);
    ck_slice_eq(command.id, "a\r\nb");
    command_release(&command);
}
END_TEST

START_TEST(a_tombstone_is_refused_without_an_answer)
{
    static const struct header headers[] = {HEADER("ce_specversion", "1.0"), HEADER("ce_id", "e-1"),
                                            HEADER("ce_source", "/o"), HEADER("ce_type", "t")};
    struct command command;
    struct error err;
    ck_assert_int_eq(decode_with(slice_of(NULL, 0), headers, COUNT(headers), &command, &err), -1);
    ck_assert_str_eq(err.message, "value: expected a command, not null (a tombstone)");
    ck_assert_ptr_null(command.id.data);
    ck_slice_eq(command.key, "order-7");
    ck_assert_str_eq(command.topic, "task-commands");
    command_release(&command);
}
END_TEST

/* A valid command of `len` bytes, padded with blanks. */
static struct slice padded(char *text, size_t len)
{
    static const char command[] = "{\"id\":\"1\"," KOODRIVE_STATUS "}";
    memset(text, ' ', len);
    memcpy(text, command, sizeof(command) - 1);
    return slice_of(text, len);
}

START_TEST(a_value_of_64_kib_is_read_and_a_larger_one_is_not)
{
    static char text[65537];
    struct command command;
    struct error err;
    ck_assert_int_eq(decode(padded(text, 65536), &command, &err), 0);
    command_release(&command);
    ck_assert_int_eq(decode(padded(text, 65537), &command, &err), -1);
    ck_assert_str_eq(err.message, "value: expected at most 65536 bytes, not 65537");
    ck_assert_ptr_null(command.id.data);
    command_release(&command);
}
END_TEST

START_TEST(a_key_or_echoed_headers_over_64_kib_are_not_answered)
{
    static char bytes[65537];
    struct slice value = SLICE("{\"id\":\"1\"," KOODRIVE_STATUS "}");
    struct header headers[] = {{SLICE("kafka_correlationId"), slice_of(bytes, 65536)},
                               {SLICE("traceparent"), slice_of(bytes, 1)}};
    struct record record = record_of(value, headers, 1);
    struct command command;
    struct error err;
    ck_assert_int_eq(command_decode(&record, NULL, &command, &err), 0);
    command_release(&command);
    record.header_count = 2;
    ck_assert_int_eq(command_decode(&record, NULL, &command, &err), -1);
    ck_assert_ptr_null(command.id.data);
    ck_assert_ptr_null(command.envelope.correlation_id.data);
    command_release(&command);
    record.header_count = 0;
    record.key = slice_of(bytes, 65537);
    ck_assert_int_eq(command_decode(&record, NULL, &command, &err), -1);
    ck_assert_str_eq(err.message, "key: expected at most 65536 bytes, not 65537");
    ck_assert_ptr_null(command.id.data);
    ck_assert_uint_eq(command.key.len, 65537);
    command_release(&command);
}
END_TEST

START_TEST(more_than_256_headers_are_refused_and_answered)
{
    static struct header headers[257];
    struct slice value = SLICE("{\"id\":\"1\"," KOODRIVE_STATUS "}");
    struct command command;
    struct error err;
    for (int i = 0; i < COUNT(headers); i++)
        headers[i] = (struct header)HEADER("h", "");
    ck_assert_int_eq(decode_with(value, headers, 256, &command, &err), 0);
    command_release(&command);
    ck_assert_int_eq(decode_with(value, headers, 257, &command, &err), -1);
    ck_assert_str_eq(err.message, "headers: expected at most 256, not more");
    ck_slice_eq(command.id, "1");
    command_release(&command);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("command");
    tcase_add_test(tests, every_example_decodes);
    tcase_add_test(tests, every_invalid_example_is_refused);
    tcase_add_test(tests, what_is_inside_task_is_left_to_the_driver);
    tcase_add_test(tests, a_command_keeps_what_it_says_after_the_record_is_gone);
    tcase_add_test(tests, headers_are_kept_after_the_record_is_gone);
    tcase_add_test(tests, what_may_be_left_out_has_its_default);
    tcase_add_test(tests, an_empty_key_is_not_a_null_key);
    tcase_add_test(tests, numbers_and_strings_are_echoed_as_written);
    tcase_add_test(tests, context_may_be_any_value_of_4096_bytes_in_compact_form);
    tcase_add_loop_test(tests, a_refusal_names_the_member_and_what_was_expected, 0,
                        COUNT(refusals));
    tcase_add_test(tests, what_could_be_read_of_an_invalid_command_is_kept);
    tcase_add_test(tests, an_id_is_counted_in_characters);
    tcase_add_test(tests, words_of_ten_thousand_characters_are_refused_and_not_kept);
    tcase_add_test(tests, line_breaks_in_an_id_are_part_of_it);
    tcase_add_test(tests, a_tombstone_is_refused_without_an_answer);
    tcase_add_test(tests, a_value_of_64_kib_is_read_and_a_larger_one_is_not);
    tcase_add_test(tests, a_key_or_echoed_headers_over_64_kib_are_not_answered);
    tcase_add_test(tests, more_than_256_headers_are_refused_and_answered);
    return unit_run("proto/command", tests);
}
