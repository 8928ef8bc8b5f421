#include "tests/unit/unit.h"
#include "tests/unit/providers/fixtures.h"

#include "worker/providers/enos_sign.h"

#include "common/banned.h"

START_TEST(enos_says_what_its_fixtures_say)
{
    fixtures_run("enos");
}
END_TEST

#define TOKEN     slice_of_string("xxxxaaaxxxx")
#define SECRET    slice_of_string("xxxappSecretxxx")
#define TIMESTAMP slice_of_string("1572574909697")

START_TEST(signature_is_the_published_one_whatever_the_order_of_the_query)
{
    static const char body[] = "{\n  \"count\": 20,\n  \"page\": 1,\n  \"desc\": \"描述\"\n}";
    struct enos_parameter parameters[] = {
        {SLICE("k3"), SLICE("v3")}, {SLICE("k1"), SLICE("v1")}, {SLICE("k2"), SLICE("v2")}};
    char hex[DIGEST_HEX_SIZE];
    enos_signature(TOKEN, parameters, 3, slice_of_string(body), TIMESTAMP, SECRET, hex);
    ck_assert_str_eq(hex, "59828328f6c1f9771015dc74e4929ae30f518a35a3d2353972c2ea46556fc981");
    enos_signature(TOKEN, parameters, 3, slice_of(NULL, 0), TIMESTAMP, SECRET, hex);
    ck_assert_str_eq(hex, "9c7e8810c67a4c1642b41acf89c6d8ebdb697d19ba45a6ee9f170dbbc8ad0e0a");
}
END_TEST

START_TEST(signature_of_one_parameter)
{
    struct enos_parameter parameter = {SLICE("orgId"), SLICE("o15504722874071")};
    char hex[DIGEST_HEX_SIZE];
    enos_signature(TOKEN, &parameter, 1, slice_of(NULL, 0), TIMESTAMP, SECRET, hex);
    ck_assert_str_eq(hex, "3ccf72401e872ed3178cc4934070c43ad14750d33a5b0268e818c45679fe27e4");
}
END_TEST

START_TEST(encryption_of_a_token_request)
{
    char hex[DIGEST_HEX_SIZE];
    enos_encryption(slice_of_string("5acb82e7-a11e-4300-9164-c8b20b638e8b"), TIMESTAMP, SECRET,
                    hex);
    ck_assert_str_eq(hex, "83e2f674e53f1a71943b6c5fc9bd0eb27864c83075af8b4bf528f3faa8c7ca38");
}
END_TEST

START_TEST(keys_are_sorted_as_ascii_and_a_prefix_comes_first)
{
    struct enos_parameter given[] = {
        {SLICE("ab"), SLICE("3")}, {SLICE("a"), SLICE("2")}, {SLICE("Z"), SLICE("1")}};
    struct enos_parameter sorted[] = {
        {SLICE("Z"), SLICE("1")}, {SLICE("a"), SLICE("2")}, {SLICE("ab"), SLICE("3")}};
    char hex[DIGEST_HEX_SIZE], expected[DIGEST_HEX_SIZE];
    enos_signature(TOKEN, given, 3, slice_of(NULL, 0), TIMESTAMP, SECRET, hex);
    enos_signature(TOKEN, sorted, 3, slice_of(NULL, 0), TIMESTAMP, SECRET, expected);
    ck_assert_str_eq(hex, expected);
    digest_sha256_hex(slice_of_string("xxxxaaaxxxxZ1a2ab31572574909697xxxappSecretxxx"), expected);
    ck_assert_str_eq(hex, expected);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("enos");
    tcase_add_test(tests, enos_says_what_its_fixtures_say);
    tcase_add_test(tests, signature_is_the_published_one_whatever_the_order_of_the_query);
    tcase_add_test(tests, signature_of_one_parameter);
    tcase_add_test(tests, encryption_of_a_token_request);
    tcase_add_test(tests, keys_are_sorted_as_ascii_and_a_prefix_comes_first);
    return unit_run("enos", tests);
}
