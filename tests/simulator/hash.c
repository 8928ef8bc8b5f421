#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>

#include "hash.h"
#include "simulator.h"

#include "common/banned.h"

static void hex_encode(const unsigned char *bytes, size_t len, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * len] = '\0';
}

void hash_sha256_hex(const void *data, size_t len, char *hex)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    hex_encode(digest, 32, hex);
}

void hash_hmac_sha256_hex(const char *key, const void *data, size_t len, char *hex)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len;
    if (!HMAC(EVP_sha256(), key, (int)strlen(key), data, len, digest, &digest_len))
        abort();
    hex_encode(digest, digest_len, hex);
}

void hash_hkdf_hex(const char *key, const char *secret, const char *info, char *hex)
{
    unsigned char out[32];
    size_t out_len = sizeof(out);
    EVP_PKEY_CTX *context = must(EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL));
    if (EVP_PKEY_derive_init(context) != 1 ||
        EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) != 1 ||
        EVP_PKEY_CTX_set1_hkdf_salt(context, (const unsigned char *)key, (int)strlen(key)) != 1 ||
        EVP_PKEY_CTX_set1_hkdf_key(context, (const unsigned char *)secret, (int)strlen(secret)) !=
            1 ||
        EVP_PKEY_CTX_add1_hkdf_info(context, (const unsigned char *)info, (int)strlen(info)) != 1 ||
        EVP_PKEY_derive(context, out, &out_len) != 1)
        abort();
    EVP_PKEY_CTX_free(context);
    hex_encode(out, sizeof(out), hex);
}

char *hash_base64url(const char *text)
{
    size_t len = strlen(text);
    char *out = must(calloc(1, len * 4 / 3 + 8));
    size_t end =
        (size_t)EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
    while (end > 0 && out[end - 1] == '=')
        out[--end] = '\0';
    for (size_t i = 0; i < end; i++) {
        if (out[i] == '+')
            out[i] = '-';
        else if (out[i] == '/')
            out[i] = '_';
    }
    return out;
}
