#include "proto/message.h"

#include "tests/unit/proto/wire.h"

#include "common/banned.h"

START_TEST(a_message_owns_copies_of_everything)
{
    char topic[] = "results", key[] = "k\0y", value[] = "{}", name[] = "n", text[] = "v";
    struct header headers[] = {{slice_of(name, 1), slice_of(text, 1)},
                               {slice_of("null", 4), slice_of(NULL, 0)},
                               {slice_of("empty", 5), slice_of("", 0)}};
    struct message *message =
        message_new(slice_of(topic, 7), 5, slice_of(key, 3), slice_of(value, 2), headers, 3);
    ck_assert_ptr_nonnull(message);
    topic[0] = key[0] = value[0] = name[0] = text[0] = 'X';
    ck_assert_str_eq(message->topic, "results");
    ck_assert_int_eq(message->partition, 5);
    ck_assert(slice_equal(message->key, slice_of("k\0y", 3)));
    ck_slice_eq(message->value, "{}");
    ck_slice_eq(message->headers[0].name, "n");
    ck_slice_eq(message->headers[0].value, "v");
    ck_assert_ptr_null(message->headers[1].value.data);
    ck_assert_ptr_nonnull(message->headers[2].value.data);
    ck_assert_uint_eq(message->headers[2].value.len, 0);
    message_free(message);
}
END_TEST

START_TEST(null_and_empty_keys_and_values_stay_different)
{
    struct slice none = {NULL, 0}, empty = SLICE("");
    struct message *message = message_new(slice_of_string("t"), -1, none, empty, NULL, 0);
    ck_assert_ptr_null(message->key.data);
    ck_assert_ptr_nonnull(message->value.data);
    message_free(message);
    message = message_new(slice_of_string("t"), -1, empty, none, NULL, 0);
    ck_assert_ptr_nonnull(message->key.data);
    ck_assert_ptr_null(message->value.data);
    message_free(message);
}
END_TEST

START_TEST(bytes_count_key_value_and_headers)
{
    static const struct header headers[] = {HEADER("name", "value")};
    struct slice key = SLICE("0123456789"), value = SLICE("01234567890123456789");
    struct message *bare =
        message_new(slice_of_string("t"), -1, slice_of(NULL, 0), slice_of(NULL, 0), NULL, 0);
    struct message *full = message_new(slice_of_string("t"), -1, key, value, headers, 1);
    ck_assert_uint_gt(message_bytes(bare), 0);
    ck_assert_uint_ge(message_bytes(full), message_bytes(bare) + 10 + 20 + 4 + 5);
    ck_assert_uint_eq(message_wire_bytes(10, 20, headers, 1),
                      message_wire_bytes(0, 0, NULL, 0) + 10 + 20 + 4 + 5 + 10);
    message_free(bare);
    message_free(full);
    message_free(NULL);
}
END_TEST

START_TEST(the_last_header_of_a_name_counts_and_case_matters)
{
    static const struct header headers[] = {HEADER("a", "1"), HEADER("b", "2"), HEADER("a", "3"),
                                            HEADER("A", "4")};
    struct record record = record_of(slice_of(NULL, 0), headers, 4);
    ck_slice_eq(record_header(&record, "a")->value, "3");
    ck_slice_eq(record_header(&record, "b")->value, "2");
    ck_assert_ptr_null(record_header(&record, "B"));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("message");
    tcase_add_test(tests, a_message_owns_copies_of_everything);
    tcase_add_test(tests, null_and_empty_keys_and_values_stay_different);
    tcase_add_test(tests, bytes_count_key_value_and_headers);
    tcase_add_test(tests, the_last_header_of_a_name_counts_and_case_matters);
    return unit_run("proto/message", tests);
}
