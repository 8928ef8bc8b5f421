#include "proto/result.h"

#include "tests/unit/proto/wire.h"

#include "common/timestamp.h"

#include "common/banned.h"

static int64_t time_of(const char *text)
{
    int64_t ms = -1;
    ck_assert(timestamp_parse(slice_of_string(text), &ms));
    return ms;
}

static const struct destination roomy = {SLICE("task-results"), -1, {NULL, 0}, 1000000};

/* A command read from an example with these headers, and the answer that waits to be filled in. */
struct talk {
    struct slice bytes;
    struct command command;
    struct result result;
};

static void talk_begin(struct talk *talk, const char *example, const struct header *headers,
                       size_t count, int64_t offset)
{
    char path[256];
    struct error err;
    (void)snprintf(path, sizeof(path), EXAMPLES "%s", example);
    talk->bytes = file_bytes(path);
    struct record record = record_of(talk->bytes, headers, count);
    record.offset = offset;
    int rc = command_decode(&record, NULL, &talk->command, &err);
    ck_assert_msg(rc == 0 || strstr(example, "invalid/") != NULL, "%s: %s", example, err.message);
    command_forget_json(&talk->command);
    talk->result = (struct result){.command = &talk->command,
                                   .attempts = 1,
                                   .received_ms = time_of("2026-11-21T11:59:00Z"),
                                   .finished_ms = time_of("2026-11-21T11:59:00.214Z")};
}

static void talk_end(struct talk *talk)
{
    command_release(&talk->command);
    free((char *)talk->bytes.data);
}

static struct message *answer(const struct talk *talk, const struct destination *destination)
{
    struct error err;
    struct message *message =
        result_message(&talk->result, destination, NULL, slice_of_string("kancel"), &err);
    ck_assert_msg(message != NULL, "%s", err.message);
    return message;
}

static bool says(const struct message *message, const char *text)
{
    return memmem(message->value.data, message->value.len, text, strlen(text)) != NULL;
}

/* The value is the example, byte for byte but for its blanks. */
static void expect_example(const struct talk *talk, const char *example)
{
    char path[256];
    (void)snprintf(path, sizeof(path), EXAMPLES "%s", example);
    struct slice bytes = file_bytes(path);
    struct buffer expected;
    buffer_init(&expected, 1 << 20);
    json_write_compact(&expected, bytes);
    struct message *message = answer(talk, &roomy);
    ck_slice_eq(message->value, expected.data);
    message_free(message);
    buffer_release(&expected);
    free((char *)bytes.data);
}

static const struct result_error not_found = {FAILURE_NOT_FOUND, 0, "IOTDA.014219",
                                              "Invalid input. The target is not in the task"};
static const struct result_item two_targets[] = {
    {SLICE("d-1"), OUTCOME_SUCCEEDED, STATE_CANCELLING, false, NULL},
    {SLICE("d-2"), OUTCOME_REFUSED, STATE_UNKNOWN, false, &not_found},
};
static const char two_targets_response[] =
    "{\"targets\": [{\"target\": \"d-1\", \"status\": \"success\"},\n{\"target\": \"d-2\", "
    "\"status\": \"failure\", \"error_code\": \"IOTDA.014219\", \"error_msg\": \"Invalid input. "
    "The target is not in the task\"}]}";

static void fill_partial(struct talk *talk)
{
    talk->result.items = two_targets;
    talk->result.item_count = 2;
    talk->result.response = slice_of_string(two_targets_response);
    result_fold(&talk->result);
}

/* ---- the value ----------------------------------------------------------------------------------
 */

START_TEST(a_list_is_answered_item_by_item)
{
    struct talk talk;
    talk_begin(&talk, "command-iotda-cancel.json", NULL, 0, 1742);
    fill_partial(&talk);
    expect_example(&talk, "result-partial.json");
    talk_end(&talk);
}
END_TEST

START_TEST(a_single_task_is_answered_without_items)
{
    struct talk talk;
    talk_begin(&talk, "command-enos-cancel.json", NULL, 0, 1743);
    talk.result.outcome = OUTCOME_SUCCEEDED;
    talk.result.state = STATE_CANCELLING;
    talk.result.response =
        slice_of_string("{\"code\":0,\"msg\":\"OK\",\"data\":{\"taskId\":\"t-42\","
                        "\"progressCode\":\"4\",\"progressDesc\":\"cancelling\"}}");
    expect_example(&talk, "result-succeeded.json");
    talk_end(&talk);
}
END_TEST

START_TEST(a_failure_tells_kind_code_message_and_status)
{
    struct talk talk;
    const struct result_error error = {FAILURE_THROTTLED, 429, "APIGW.0308",
                                       "The throttling threshold has been reached"};
    talk_begin(&talk, "command-iotda-status.json", NULL, 0, 1753);
    talk.result.outcome = OUTCOME_FAILED;
    talk.result.error = &error;
    talk.result.attempts = 6;
    expect_example(&talk, "result-failed-throttled.json");
    talk_end(&talk);
}
END_TEST

START_TEST(an_expired_cancel_says_whether_it_was_applied)
{
    struct talk talk;
    const struct result_error error = {FAILURE_EXPIRED, 0, "", ""};
    talk_begin(&talk, "command-koodrive-status.json", NULL, 0, 1756);
    talk.result.outcome = OUTCOME_EXPIRED;
    talk.result.state = STATE_RUNNING;
    talk.result.error = &error;
    expect_example(&talk, "result-expired-status.json");
    talk.result.applied = APPLIED_UNKNOWN;
    struct message *message = answer(&talk, &roomy);
    ck_assert(says(message, "\"applied\":\"unknown\",\"error\""));
    message_free(message);
    talk_end(&talk);
}
END_TEST

START_TEST(the_account_used_is_told_even_where_the_command_named_none)
{
    struct talk talk;
    talk_begin(&talk, "command-enos-status.json", NULL, 0, 1);
    talk.result.outcome = OUTCOME_SUCCEEDED;
    talk.result.account = slice_of_string("enos-cn");
    talk.result.already_cancelled = true;
    struct message *message = answer(&talk, &roomy);
    ck_assert(says(message, "\"account\":\"enos-cn\",\"task\""));
    ck_assert(says(message, "\"alreadyCancelled\":true"));
    message_free(message);
    talk_end(&talk);
}
END_TEST

START_TEST(an_invalid_command_is_answered_with_what_could_be_read)
{
    static const struct result_error error = {
        FAILURE_INVALID_COMMAND, 0, "", "operation: expected cancel or status, not another word"};
    static const struct slice value =
        SLICE("{\"id\":\"c-9\",\"operation\":\"stop\",\"provider\":\"iotda\",\"task\":{\"taskId\":"
              "\"5c90\",\"all\":true},\"context\":{\"order\":7}}");
    struct talk talk = {.bytes = file_bytes(EXAMPLES "result-invalid.json")};
    struct error err;
    struct record record = record_of(value, NULL, 0);
    record.offset = 1757;
    ck_assert_int_eq(command_decode(&record, NULL, &talk.command, &err), -1);
    ck_assert_str_eq(err.message, error.message);
    talk.result = (struct result){.command = &talk.command,
                                  .outcome = OUTCOME_INVALID,
                                  .error = &error,
                                  .received_ms = time_of("2026-11-21T11:59:00Z"),
                                  .finished_ms = time_of("2026-11-21T11:59:00Z")};
    expect_example(&talk, "result-invalid.json");
    talk_end(&talk);
}
END_TEST

START_TEST(texts_are_escaped_and_made_utf8)
{
    struct talk talk = {0};
    struct error err;
    struct result_error error = {FAILURE_INTERNAL, 0, "a\"b", "line\r\nbreak \xff"};
    struct slice value = SLICE("{\"id\":\"a\\r\\n\\\"b\"," KOODRIVE_STATUS "}");
    ck_assert_int_eq(decode(value, &talk.command, &err), 0);
    talk.result =
        (struct result){.command = &talk.command, .outcome = OUTCOME_FAILED, .error = &error};
    struct message *message = answer(&talk, &roomy);
    ck_assert(says(message, "\"commandId\":\"a\\r\\n\\\"b\""));
    ck_assert(says(message, "\"code\":\"a\\\"b\""));
    ck_assert(says(message, "line\\r\\nbreak \xef\xbf\xbd\""));
    struct json_document *document =
        json_document_parse(message->value, message->value.len, 10, &err);
    ck_assert_ptr_nonnull(document);
    json_document_free(document);
    message_free(message);
    command_release(&talk.command);
}
END_TEST

START_TEST(a_response_over_16_kib_is_left_out)
{
    static char response[LIMIT_ECHO_BYTES + 1];
    struct talk talk;
    memset(response, '1', sizeof(response));
    talk_begin(&talk, "command-enos-status.json", NULL, 0, 1);
    for (size_t len = LIMIT_ECHO_BYTES; len <= LIMIT_ECHO_BYTES + 1; len++) {
        talk.result.response = slice_of(response, len);
        struct message *message = answer(&talk, &roomy);
        ck_assert(says(message, "\"response\":1") == (len == LIMIT_ECHO_BYTES));
        message_free(message);
    }
    talk_end(&talk);
}
END_TEST

/* ---- folding ------------------------------------------------------------------------------------
 */

static const struct result_error timeout = {FAILURE_TIMEOUT, 0, "", "first"};
static const struct result_error expired = {FAILURE_EXPIRED, 0, "", ""};
static const struct {
    struct result_item items[3];
    enum outcome outcome;
    enum task_state state;
    const struct result_error *error;
    bool already_cancelled;
} folds[] = {
    {{{SLICE("1"), OUTCOME_SUCCEEDED, STATE_CANCELLED, true, NULL},
      {SLICE("2"), OUTCOME_SUCCEEDED, STATE_CANCELLED, true, NULL},
      {SLICE("3"), OUTCOME_SUCCEEDED, STATE_CANCELLED, true, NULL}},
     OUTCOME_SUCCEEDED,
     STATE_CANCELLED,
     NULL,
     true},
    {{{SLICE("1"), OUTCOME_SUCCEEDED, STATE_CANCELLED, true, NULL},
      {SLICE("2"), OUTCOME_SUCCEEDED, STATE_RUNNING, false, NULL},
      {SLICE("3"), OUTCOME_SUCCEEDED, STATE_SUCCEEDED, false, NULL}},
     OUTCOME_SUCCEEDED,
     STATE_RUNNING,
     NULL,
     false},
    {{{SLICE("1"), OUTCOME_FAILED, STATE_WAITING, false, &timeout},
      {SLICE("2"), OUTCOME_SUCCEEDED, STATE_CANCELLED, false, NULL},
      {SLICE("3"), OUTCOME_REFUSED, STATE_UNKNOWN, false, &not_found}},
     OUTCOME_PARTIAL,
     STATE_UNKNOWN,
     NULL,
     false},
    {{{SLICE("1"), OUTCOME_REFUSED, STATE_SUCCEEDED, false, &not_found},
      {SLICE("2"), OUTCOME_EXPIRED, STATE_CANCELLING, false, &expired},
      {SLICE("3"), OUTCOME_FAILED, STATE_RUNNING, false, &timeout}},
     OUTCOME_FAILED,
     STATE_RUNNING,
     &timeout,
     false},
    {{{SLICE("1"), OUTCOME_REFUSED, STATE_SUCCEEDED, false, &not_found},
      {SLICE("2"), OUTCOME_EXPIRED, STATE_CANCELLING, false, &expired},
      {SLICE("3"), OUTCOME_REFUSED, STATE_FAILED, false, &not_found}},
     OUTCOME_EXPIRED,
     STATE_CANCELLING,
     &expired,
     false},
    {{{SLICE("1"), OUTCOME_REFUSED, STATE_SUCCEEDED, false, &not_found},
      {SLICE("2"), OUTCOME_REFUSED, STATE_FAILED, false, &timeout},
      {SLICE("3"), OUTCOME_REFUSED, STATE_PARTIAL, false, &timeout}},
     OUTCOME_REFUSED,
     STATE_FAILED,
     &not_found,
     false},
};

START_TEST(a_list_folds_into_outcome_state_and_error)
{
    struct result result = {.items = folds[_i].items, .item_count = 3, .error = &timeout};
    result_fold(&result);
    ck_assert_str_eq(outcome_name(result.outcome), outcome_name(folds[_i].outcome));
    ck_assert_str_eq(task_state_name(result.state), task_state_name(folds[_i].state));
    ck_assert_ptr_eq(result.error, folds[_i].error);
    ck_assert(result.already_cancelled == folds[_i].already_cancelled);
}
END_TEST

/* ---- the record ---------------------------------------------------------------------------------
 */

START_TEST(a_plain_result_echoes_key_correlation_and_trace)
{
    static const struct header headers[] = {
        HEADER("kafka_correlationId", "\x00\xff"), HEADER("traceparent", "tp"),
        HEADER("kafka_replyTopic", "reply.a"), HEADER("other", "x"), HEADER("tracestate", "ts")};
    const struct destination destination = {SLICE("reply.a"), 7, {NULL, 0}, 1000000};
    struct talk talk;
    talk_begin(&talk, "command-enos-status.json", headers, COUNT(headers), 1);
    struct message *message = answer(&talk, &destination);
    ck_assert_str_eq(message->topic, "reply.a");
    ck_assert_int_eq(message->partition, 7);
    ck_slice_eq(message->key, "order-7");
    ck_assert_uint_eq(message->header_count, 3);
    ck_assert(slice_equal(only_header(message, "kafka_correlationId"), slice_of("\x00\xff", 2)));
    ck_slice_eq(only_header(message, "traceparent"), "tp");
    ck_slice_eq(only_header(message, "tracestate"), "ts");
    message_free(message);
    talk_end(&talk);
}
END_TEST

START_TEST(a_null_key_stays_null_and_a_rejected_reply_says_why)
{
    const struct destination destination = {SLICE("task-results"), -1,
                                            SLICE("topic reply.x does not exist"), 1000000};
    struct talk talk;
    talk_begin(&talk, "command-enos-status.json", NULL, 0, 1);
    talk.command.key = slice_of(NULL, 0);
    struct message *message = answer(&talk, &destination);
    ck_assert_ptr_null(message->key.data);
    ck_assert_uint_eq(message->header_count, 1);
    ck_slice_eq(only_header(message, "kancel-reply-rejected"), "topic reply.x does not exist");
    message_free(message);
    talk_end(&talk);
}
END_TEST

START_TEST(a_structured_event_is_answered_by_one)
{
    static const struct header headers[] = {HEADER("content-type", "application/cloudevents+json")};
    struct talk talk;
    talk_begin(&talk, "event-command.json", headers, COUNT(headers), 1742);
    talk.command.context = (struct slice)SLICE("{\"order\":7}");
    fill_partial(&talk);
    expect_example(&talk, "event-result.json");
    struct message *message = answer(&talk, &roomy);
    ck_slice_eq(only_header(message, "content-type"), "application/cloudevents+json");
    ck_slice_eq(only_header(message, "traceparent"),
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    ck_assert_uint_eq(message->header_count, 2);
    message_free(message);
    talk_end(&talk);
}
END_TEST

START_TEST(a_binary_event_is_answered_by_one)
{
    static const struct header headers[] = {
        HEADER("ce_specversion", "1.0"),      HEADER("ce_id", "e-1"),
        HEADER("ce_source", "/orders"),       HEADER("ce_type", "kancel.command.v1"),
        HEADER("ce_correlationid", "corr-7"), HEADER("ce_traceparent", "tp")};
    struct talk talk;
    struct error err;
    talk_begin(&talk, "command-iotda-cancel.json", headers, COUNT(headers), 1742);
    fill_partial(&talk);
    expect_example(&talk, "result-partial.json");
    struct message *message =
        result_message(&talk.result, &roomy, NULL, slice_of_string("a b/\xc3\xa9~"), &err);
    ck_slice_eq(only_header(message, "content-type"), "application/json");
    ck_slice_eq(only_header(message, "ce_specversion"), "1.0");
    ck_slice_eq(only_header(message, "ce_id"), "task-commands-3-1742");
    ck_slice_eq(only_header(message, "ce_source"), "/kancel/a%20b%2F%C3%A9~");
    ck_slice_eq(only_header(message, "ce_type"), "kancel.result.v1");
    ck_slice_eq(only_header(message, "ce_subject"), "c-1");
    ck_slice_eq(only_header(message, "ce_time"), "2026-11-21T11:59:00.214Z");
    ck_slice_eq(only_header(message, "ce_correlationid"), "corr-7");
    ck_slice_eq(only_header(message, "ce_causationid"), "e-1");
    ck_slice_eq(only_header(message, "ce_traceparent"), "tp");
    ck_slice_eq(only_header(message, "traceparent"), "tp");
    ck_assert(!has_header(message, "ce_tracestate"));
    message_free(message);
    talk_end(&talk);
}
END_TEST

START_TEST(an_id_that_cloudevents_do_not_allow_is_no_subject)
{
    static const struct header headers[] = {HEADER("ce_specversion", "1.0"), HEADER("ce_id", "e-1"),
                                            HEADER("ce_source", "/o"), HEADER("ce_type", "t"),
                                            HEADER("traceparent", "\xff")};
    struct talk talk = {0};
    struct error err;
    struct slice value = SLICE("{\"id\":\"a\\nb\"," KOODRIVE_STATUS "}");
    ck_assert_int_eq(decode_with(value, headers, COUNT(headers), &talk.command, &err), 0);
    talk.result = (struct result){.command = &talk.command};
    struct message *message = answer(&talk, &roomy);
    ck_assert(!has_header(message, "ce_subject"));
    ck_assert(!has_header(message, "ce_traceparent"));
    ck_slice_eq(only_header(message, "traceparent"), "\xff");
    message_free(message);
    command_release(&talk.command);
}
END_TEST

START_TEST(what_does_not_fit_the_topic_is_left_out_step_by_step)
{
    static const struct {
        const char *member;
        const char *stays; /* what the next smaller topic still gets */
    } steps[] = {
        {"\"response\":", "\"message\":"},
        {"\"message\":", "\"context\":"},
        {"\"context\":", "\"items\":"},
        {"\"items\":", "\"outcome\":"},
    };
    struct talk talk;
    talk_begin(&talk, "command-iotda-cancel.json", NULL, 0, 1742);
    fill_partial(&talk);
    struct destination destination = roomy;
    for (int i = 0; i < COUNT(steps); i++) {
        struct message *fits = answer(&talk, &destination);
        ck_assert(says(fits, steps[i].member));
        destination.max_message_bytes =
            message_wire_bytes(fits->key.len, fits->value.len, fits->headers, fits->header_count);
        message_free(fits);
        fits = answer(&talk, &destination);
        ck_assert(says(fits, steps[i].member));
        message_free(fits);
        destination.max_message_bytes--;
        struct message *less = answer(&talk, &destination);
        ck_assert(!says(less, steps[i].member));
        ck_assert(says(less, steps[i].stays));
        ck_assert_uint_le(
            message_wire_bytes(less->key.len, less->value.len, less->headers, less->header_count),
            destination.max_message_bytes);
        message_free(less);
    }
    struct error err = {0};
    destination.max_message_bytes = 300;
    ck_assert_ptr_null(
        result_message(&talk.result, &destination, NULL, slice_of_string("kancel"), &err));
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    talk_end(&talk);
}
END_TEST

START_TEST(a_thousand_items_make_one_result)
{
    static struct result_item items[LIMIT_ASKS];
    static char ids[LIMIT_ASKS][8];
    struct talk talk;
    struct error err;
    for (int i = 0; i < LIMIT_ASKS; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "d-%d", i % 1000);
        items[i] = (struct result_item){slice_of_string(ids[i]), OUTCOME_REFUSED, STATE_UNKNOWN,
                                        false, &not_found};
    }
    talk_begin(&talk, "command-iotda-cancel.json", NULL, 0, 1);
    talk.result.items = items;
    talk.result.item_count = LIMIT_ASKS;
    result_fold(&talk.result);
    struct message *message = answer(&talk, &roomy);
    struct json_document *document =
        json_document_parse(message->value, message->value.len, 10, &err);
    ck_assert_ptr_nonnull(document);
    const struct json_value *list = json_value_get(json_document_root(document), "items");
    ck_assert_uint_eq(json_value_count(list), LIMIT_ASKS);
    ck_slice_eq(json_value_text(json_value_get(json_value_at(list, 999), "id")), "d-999");
    json_document_free(document);
    message_free(message);
    talk_end(&talk);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("result");
    tcase_add_test(tests, a_list_is_answered_item_by_item);
    tcase_add_test(tests, a_single_task_is_answered_without_items);
    tcase_add_test(tests, a_failure_tells_kind_code_message_and_status);
    tcase_add_test(tests, an_expired_cancel_says_whether_it_was_applied);
    tcase_add_test(tests, the_account_used_is_told_even_where_the_command_named_none);
    tcase_add_test(tests, an_invalid_command_is_answered_with_what_could_be_read);
    tcase_add_test(tests, texts_are_escaped_and_made_utf8);
    tcase_add_test(tests, a_response_over_16_kib_is_left_out);
    tcase_add_loop_test(tests, a_list_folds_into_outcome_state_and_error, 0, COUNT(folds));
    tcase_add_test(tests, a_plain_result_echoes_key_correlation_and_trace);
    tcase_add_test(tests, a_null_key_stays_null_and_a_rejected_reply_says_why);
    tcase_add_test(tests, a_structured_event_is_answered_by_one);
    tcase_add_test(tests, a_binary_event_is_answered_by_one);
    tcase_add_test(tests, an_id_that_cloudevents_do_not_allow_is_no_subject);
    tcase_add_test(tests, what_does_not_fit_the_topic_is_left_out_step_by_step);
    tcase_add_test(tests, a_thousand_items_make_one_result);
    return unit_run("proto/result", tests);
}
