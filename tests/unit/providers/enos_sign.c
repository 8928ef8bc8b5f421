#include "tests/unit/providers/vectors.h"

#include "worker/providers/enos_sign.h"

#include "common/banned.h"

enum { PARAMETERS = 8 };

START_TEST(signatures_are_the_vectors_whatever_the_order_of_the_query)
{
    json_t *file = vectors_load("enos"), *vector, *pair;
    size_t i, count;
    json_array_foreach(json_object_get(file, "signatures"), i, vector)
    {
        struct enos_parameter parameters[PARAMETERS];
        char hex[DIGEST_HEX_SIZE];
        json_array_foreach(json_object_get(vector, "query"), count, pair) parameters[count] =
            (struct enos_parameter){slice_of_string(json_string_value(json_array_get(pair, 0))),
                                    slice_of_string(json_string_value(json_array_get(pair, 1)))};
        enos_signature(vector_text(file, "token"), parameters, count, vector_text(vector, "body"),
                       vector_text(file, "timestamp"), vector_text(file, "secret"), hex);
        ck_assert_msg(strcmp(hex, vector_string(vector, "signature")) == 0, "%s: %s",
                      vector_string(vector, "name"), hex);
    }
    ck_assert_uint_eq(i, 3);
    json_decref(file);
}
END_TEST

START_TEST(encryption_of_a_token_request)
{
    json_t *file = vectors_load("enos"), *vector;
    char hex[DIGEST_HEX_SIZE];
    size_t i;
    json_array_foreach(json_object_get(file, "encryptions"), i, vector)
    {
        enos_encryption(vector_text(vector, "appKey"), vector_text(file, "timestamp"),
                        vector_text(file, "secret"), hex);
        ck_assert_str_eq(hex, vector_string(vector, "encryption"));
    }
    ck_assert_uint_eq(i, 1);
    json_decref(file);
}
END_TEST

START_TEST(keys_are_sorted_as_ascii_and_a_prefix_comes_first)
{
    struct enos_parameter given[] = {
        {SLICE("ab"), SLICE("3")}, {SLICE("a"), SLICE("2")}, {SLICE("Z"), SLICE("1")}};
    char hex[DIGEST_HEX_SIZE], expected[DIGEST_HEX_SIZE];
    enos_signature(slice_of_string("token"), given, 3, slice_of(NULL, 0), slice_of_string("15"),
                   slice_of_string("secret"), hex);
    digest_sha256_hex(slice_of_string("tokenZ1a2ab315secret"), expected);
    ck_assert_str_eq(hex, expected);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("enos_sign");
    tcase_add_test(tests, signatures_are_the_vectors_whatever_the_order_of_the_query);
    tcase_add_test(tests, encryption_of_a_token_request);
    tcase_add_test(tests, keys_are_sorted_as_ascii_and_a_prefix_comes_first);
    return unit_run("enos_sign", tests);
}
