#include "proto/result.h"

#include "tests/unit/proto/wire.h"

#include "common/digest.h"

#include "common/banned.h"

static const char reason[] = "id: expected a string of 1 to 128 characters, not nothing";

static struct message *bury(const struct record *record, size_t max_message_bytes)
{
    struct error err;
    struct message *message = dead_letter_message(record, slice_of_string("task-commands-dead"),
                                                  slice_of_string(reason), max_message_bytes, &err);
    ck_assert_ptr_nonnull(message);
    return message;
}

START_TEST(a_dead_letter_is_the_record_and_why)
{
    static const struct header headers[] = {
        HEADER("a", "\x00\xff"), HEADER("a", "2"), HEADER("", ""), {SLICE("null"), {NULL, 0}}};
    struct record record = record_of((struct slice)SLICE("\xff not \x00 json"), headers, 4);
    record.partition = 0x01020304;
    record.offset = 0x0102030405060708;
    struct message *message = bury(&record, 1000000);
    ck_assert_str_eq(message->topic, "task-commands-dead");
    ck_assert_int_eq(message->partition, -1);
    ck_slice_eq(message->key, "order-7");
    ck_assert(slice_equal(message->value, record.value));
    ck_assert_uint_eq(message->header_count, 4 + 6);
    for (size_t i = 0; i < 4; i++) {
        ck_assert(slice_equal(message->headers[i].name, headers[i].name));
        ck_assert(slice_equal(message->headers[i].value, headers[i].value));
        ck_assert((message->headers[i].value.data == NULL) == (headers[i].value.data == NULL));
    }
    ck_slice_eq(only_header(message, "kafka_dlt-original-topic"), "task-commands");
    ck_slice_eq(only_header(message, "kafka_dlt-original-partition"), "\x01\x02\x03\x04");
    ck_slice_eq(only_header(message, "kafka_dlt-original-offset"),
                "\x01\x02\x03\x04\x05\x06\x07\x08");
    /* 1795262340000 ms */
    ck_assert(slice_equal(only_header(message, "kafka_dlt-original-timestamp"),
                          slice_of("\x00\x00\x01\xa1\xfd\xf9\x5b\xa0", 8)));
    ck_slice_eq(only_header(message, "kafka_dlt-exception-message"), reason);
    ck_slice_eq(only_header(message, "kancel-reason"), reason);
    message_free(message);
}
END_TEST

START_TEST(a_tombstone_keeps_null_value_and_key)
{
    struct record record = record_of(slice_of(NULL, 0), NULL, 0);
    record.key = slice_of(NULL, 0);
    record.timestamp_ms = -1;
    struct message *message = bury(&record, 1000000);
    ck_assert_ptr_null(message->key.data);
    ck_assert_ptr_null(message->value.data);
    ck_slice_eq(only_header(message, "kafka_dlt-original-timestamp"),
                "\xff\xff\xff\xff\xff\xff\xff\xff");
    ck_assert(!has_header(message, "kancel-value-sha256"));
    message_free(message);
}
END_TEST

START_TEST(headers_of_an_earlier_dead_lettering_are_replaced)
{
    struct record record = record_of((struct slice)SLICE("nonsense"), NULL, 0);
    struct message *first = bury(&record, 1000000);
    struct record again = {.topic = "task-commands-retry",
                           .partition = 1,
                           .offset = 2,
                           .timestamp_ms = 3,
                           .key = first->key,
                           .value = first->value,
                           .headers = first->headers,
                           .header_count = first->header_count};
    struct message *second = bury(&again, 1000000);
    ck_assert_uint_eq(second->header_count, first->header_count);
    ck_slice_eq(only_header(second, "kafka_dlt-original-topic"), "task-commands-retry");
    ck_assert(slice_equal(only_header(second, "kafka_dlt-original-partition"),
                          slice_of("\x00\x00\x00\x01", 4)));
    message_free(first);
    message_free(second);
}
END_TEST

static size_t wire_bytes(const struct message *message)
{
    return message_wire_bytes(message->key.len, message->value.len, message->headers,
                              message->header_count);
}

START_TEST(a_value_that_does_not_fit_is_replaced_by_its_digest)
{
    static char bytes[5000];
    static const struct header headers[] = {HEADER("h", "v")};
    char hex[DIGEST_HEX_SIZE];
    struct record record = record_of(slice_of(bytes, sizeof(bytes)), headers, 1);
    memset(bytes, 'x', sizeof(bytes));
    digest_sha256_hex(record.value, hex);
    struct message *message = bury(&record, 1000000);
    size_t fits = wire_bytes(message);
    message_free(message);
    message = bury(&record, fits);
    ck_assert(slice_equal(message->value, record.value));
    message_free(message);
    message = bury(&record, fits - 1);
    ck_assert_ptr_null(message->value.data);
    ck_slice_eq(message->key, "order-7");
    ck_slice_eq(only_header(message, "kancel-value-sha256"), hex);
    ck_slice_eq(only_header(message, "h"), "v");
    ck_assert(!has_header(message, "kancel-left-out"));
    message_free(message);
}
END_TEST

START_TEST(a_dead_letter_made_smaller_keeps_the_digest)
{
    static char bytes[5000];
    static const struct header headers[] = {
        HEADER("h", "a value longer than what says that it is missing")};
    char hex[DIGEST_HEX_SIZE];
    struct record record = record_of(slice_of(bytes, sizeof(bytes)), headers, 1);
    digest_sha256_hex(record.value, hex);
    struct message *message = bury(&record, 1000);
    record.value = message->value;
    record.headers = message->headers;
    record.header_count = message->header_count;
    struct message *smaller = bury(&record, wire_bytes(message) - 1);
    ck_slice_eq(only_header(smaller, "kancel-value-sha256"), hex);
    ck_slice_eq(only_header(smaller, "kancel-left-out"), "headers");
    ck_assert(!has_header(smaller, "h"));
    message_free(message);
    message_free(smaller);
}
END_TEST

START_TEST(headers_and_key_go_only_when_nothing_else_helps)
{
    static char bytes[5000];
    struct header headers[] = {{SLICE("h"), slice_of(bytes, sizeof(bytes))}};
    struct record record = record_of((struct slice)SLICE("v"), headers, 1);
    struct message *message = bury(&record, 2000);
    ck_assert(!has_header(message, "h"));
    ck_slice_eq(message->key, "order-7");
    ck_slice_eq(only_header(message, "kancel-left-out"), "headers");
    ck_assert(has_header(message, "kancel-value-sha256"));
    ck_assert_uint_le(wire_bytes(message), 2000);
    message_free(message);
    record.key = slice_of(bytes, sizeof(bytes));
    message = bury(&record, 2000);
    ck_assert_ptr_null(message->key.data);
    ck_slice_eq(only_header(message, "kancel-left-out"), "headers, key");
    ck_assert_uint_le(wire_bytes(message), 2000);
    message_free(message);
}
END_TEST

START_TEST(a_dead_letter_tells_where_it_came_from)
{
    struct record record = record_of((struct slice)SLICE("no"), NULL, 0);
    struct dead_letter letter;
    record.partition = 7;
    record.offset = 0x0102030405060708;
    struct message *message = bury(&record, 1000000);
    ck_assert(dead_letter_read(message->headers, message->header_count, &letter));
    ck_slice_eq(letter.topic, "task-commands");
    ck_assert_int_eq(letter.partition, 7);
    ck_assert_int_eq(letter.offset, 0x0102030405060708);
    ck_assert_int_eq(letter.timestamp_ms, record.timestamp_ms);
    ck_slice_eq(letter.reason, reason);
    ck_assert(!letter.incomplete);
    /* Not whole, or not ours: */
    ck_assert(!dead_letter_read(message->headers, 3, &letter));
    ck_assert(!dead_letter_read(NULL, 0, &letter));
    message_free(message);
    message = bury(&record, 400);
    ck_assert(dead_letter_read(message->headers, message->header_count, &letter));
    ck_assert(letter.incomplete);
    message_free(message);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("dead_letter");
    tcase_add_test(tests, a_dead_letter_is_the_record_and_why);
    tcase_add_test(tests, a_dead_letter_tells_where_it_came_from);
    tcase_add_test(tests, a_tombstone_keeps_null_value_and_key);
    tcase_add_test(tests, headers_of_an_earlier_dead_lettering_are_replaced);
    tcase_add_test(tests, a_value_that_does_not_fit_is_replaced_by_its_digest);
    tcase_add_test(tests, a_dead_letter_made_smaller_keeps_the_digest);
    tcase_add_test(tests, headers_and_key_go_only_when_nothing_else_helps);
    return unit_run("proto/dead_letter", tests);
}
