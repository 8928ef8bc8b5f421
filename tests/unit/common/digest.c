#include "tests/unit/unit.h"

#include "common/digest.h"

#include "common/banned.h"

static struct slice text(const char *string)
{
    return slice_of_string(string);
}

/* FIPS 180-4's examples. */
START_TEST(sha256_of_known_texts)
{
    char hex[DIGEST_HEX_SIZE];
    digest_sha256_hex(text(""), hex);
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_sha256_hex(text(NULL), hex);
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_sha256_hex(text("abc"), hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

/* RFC 4231: test cases 1, 2, 6 (key longer than a block) and an empty key (of RFC 2104's
 * definition). */
START_TEST(hmac_of_known_texts)
{
    char hex[DIGEST_HEX_SIZE];
    char key[131];
    memset(key, 0x0b, 20);
    digest_hmac_sha256_hex(slice_of(key, 20), text("Hi There"), hex);
    ck_assert_str_eq(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    digest_hmac_sha256_hex(text("Jefe"), text("what do ya want for nothing?"), hex);
    ck_assert_str_eq(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    digest_hmac_sha256_hex(slice_of(key, sizeof(key)),
                           text("Test Using Larger Than Block-Size Key - Hash Key First"), hex);
    ck_assert_str_eq(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    digest_hmac_sha256_hex(text(NULL), text(""), hex);
    ck_assert_str_eq(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}
END_TEST

START_TEST(digest_in_parts_equals_the_whole)
{
    char whole[DIGEST_HEX_SIZE];
    char parts[DIGEST_HEX_SIZE];
    digest_sha256_hex(text("abcdef"), whole);
    struct digest *digest = digest_begin();
    digest_add(digest, text("ab"));
    digest_add(digest, text(""));
    digest_add(digest, text(NULL));
    digest_add(digest, text("cdef"));
    digest_finish_hex(digest, parts);
    ck_assert_str_eq(parts, whole);
}
END_TEST

START_TEST(hex_has_two_lower_case_digits_a_byte)
{
    char hex[7];
    hex_encode((const uint8_t *)"\x00\xa5\xff", 3, hex);
    ck_assert_str_eq(hex, "00a5ff");
    hex_encode(NULL, 0, hex);
    ck_assert_str_eq(hex, "");
}
END_TEST

START_TEST(random_bytes_fill_everything_and_differ)
{
    uint8_t a[1000] = {0};
    uint8_t b[1000] = {0};
    digest_random(a, sizeof(a));
    digest_random(b, sizeof(b));
    ck_assert(memcmp(a, b, sizeof(a)) != 0);
    int zero_tail = 0; /* 16 zero bytes at the end by chance: once in 2^128 */
    for (size_t i = sizeof(a) - 16; i < sizeof(a); i++)
        zero_tail += a[i] == 0;
    ck_assert_int_lt(zero_tail, 16);
}
END_TEST

START_TEST(wipe_overwrites)
{
    char bytes[] = "secret";
    digest_wipe(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        ck_assert_int_eq(bytes[i], 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("digest");
    tcase_add_test(tests, sha256_of_known_texts);
    tcase_add_test(tests, hmac_of_known_texts);
    tcase_add_test(tests, digest_in_parts_equals_the_whole);
    tcase_add_test(tests, hex_has_two_lower_case_digits_a_byte);
    tcase_add_test(tests, random_bytes_fill_everything_and_differ);
    tcase_add_test(tests, wipe_overwrites);
    return unit_run("common/digest", tests);
}
