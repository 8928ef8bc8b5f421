#include "tests/unit/unit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "common/hash.h"

#include "common/banned.h"

static uint64_t of_openssl(const unsigned char key[16], const unsigned char *bytes, size_t len)
{
    unsigned rounds_in = 1;
    unsigned rounds_out = 3;
    size_t size = 8;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &rounds_in),
                           OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &rounds_out),
                           OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                           OSSL_PARAM_construct_end()};
    unsigned char out[8];
    size_t out_len = 0;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
    ck_assert_int_eq(EVP_MAC_init(context, key, 16, params), 1);
    ck_assert_int_eq(EVP_MAC_update(context, bytes, len), 1);
    ck_assert_int_eq(EVP_MAC_final(context, out, &out_len, sizeof(out)), 1);
    ck_assert_uint_eq(out_len, 8);
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    uint64_t hash = 0;
    for (int i = 7; i >= 0; i--)
        hash = hash << 8 | out[i];
    return hash;
}

START_TEST(hash_is_siphash_1_3_at_every_length)
{
    unsigned char key[16];
    unsigned char bytes[64];
    for (unsigned char i = 0; i < 16; i++)
        key[i] = i;
    for (unsigned char i = 0; i < 64; i++)
        bytes[i] = (unsigned char)(i * 7 + 200);
    struct hash_seed seed = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    for (size_t len = 0; len <= sizeof(bytes); len++)
        ck_assert_uint_eq(hash_bytes(&seed, bytes, len), of_openssl(key, bytes, len));
}
END_TEST

START_TEST(seed_changes_the_hash)
{
    struct hash_seed a = {1, 2};
    struct hash_seed b = {1, 3};
    struct hash_seed c = {2, 2};
    ck_assert_uint_ne(hash_bytes(&a, "key", 3), hash_bytes(&b, "key", 3));
    ck_assert_uint_ne(hash_bytes(&a, "key", 3), hash_bytes(&c, "key", 3));
    ck_assert_uint_eq(hash_bytes(&a, NULL, 0), hash_bytes(&a, "", 0));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("hash");
    tcase_add_test(tests, hash_is_siphash_1_3_at_every_length);
    tcase_add_test(tests, seed_changes_the_hash);
    return unit_run("common/hash", tests);
}
