#include "common/digest.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "common/banned.h"

enum { BLOCK_BYTES = 64 };

struct digest {
    EVP_MD_CTX *context;
};

/* Looking an algorithm up by name costs more than hashing a short text: done once. */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;

static void must(bool worked, const char *what)
{
    if (worked)
        return;
    (void)fprintf(stderr, "kancel: %s failed, most likely out of memory; aborting\n", what);
    abort();
}

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(sha256 != NULL, "loading SHA-256 of OpenSSL");
}

static const EVP_MD *algorithm(void)
{
    must(pthread_once(&fetched, fetch) == 0, "pthread_once");
    return sha256;
}

static EVP_MD_CTX *context_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context != NULL, "SHA-256");
    return context;
}

static void context_begin(EVP_MD_CTX *context)
{
    must(EVP_DigestInit_ex(context, algorithm(), NULL) == 1, "SHA-256");
}

static void context_add(EVP_MD_CTX *context, const void *bytes, size_t len)
{
    if (len > 0)
        must(EVP_DigestUpdate(context, bytes, len) == 1, "SHA-256");
}

static void context_finish(EVP_MD_CTX *context, uint8_t digest[DIGEST_BYTES])
{
    must(EVP_DigestFinal_ex(context, digest, NULL) == 1, "SHA-256");
}

void digest_sha256(struct slice text, uint8_t digest[DIGEST_BYTES])
{
    EVP_MD_CTX *context = context_new();
    context_begin(context);
    context_add(context, text.data, text.len);
    context_finish(context, digest);
    EVP_MD_CTX_free(context);
}

void digest_sha256_hex(struct slice text, char hex[DIGEST_HEX_SIZE])
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(text, digest);
    hex_encode(digest, DIGEST_BYTES, hex);
}

/* RFC 2104 over one context: OpenSSL 3's EVP_MAC takes several times as long to set up as a short
 * text to hash. */
void digest_hmac_sha256(struct slice key, struct slice text, uint8_t digest[DIGEST_BYTES])
{
    uint8_t inner[BLOCK_BYTES] = {0};
    uint8_t outer[BLOCK_BYTES];
    if (key.len > BLOCK_BYTES)
        digest_sha256(key, inner);
    else if (key.len > 0)
        memcpy(inner, key.data, key.len);
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    EVP_MD_CTX *context = context_new();
    context_begin(context);
    context_add(context, inner, BLOCK_BYTES);
    context_add(context, text.data, text.len);
    context_finish(context, digest);
    context_begin(context);
    context_add(context, outer, BLOCK_BYTES);
    context_add(context, digest, DIGEST_BYTES);
    context_finish(context, digest);
    EVP_MD_CTX_free(context);
    digest_wipe(inner, sizeof(inner));
    digest_wipe(outer, sizeof(outer));
}

void digest_hmac_sha256_hex(struct slice key, struct slice text, char hex[DIGEST_HEX_SIZE])
{
    uint8_t digest[DIGEST_BYTES];
    digest_hmac_sha256(key, text, digest);
    hex_encode(digest, DIGEST_BYTES, hex);
}

struct digest *digest_begin(void)
{
    struct digest *digest = malloc(sizeof(*digest));
    must(digest != NULL, "SHA-256");
    digest->context = context_new();
    context_begin(digest->context);
    return digest;
}

void digest_add(struct digest *digest, struct slice part)
{
    context_add(digest->context, part.data, part.len);
}

void digest_finish_hex(struct digest *digest, char hex[DIGEST_HEX_SIZE])
{
    uint8_t bytes[DIGEST_BYTES];
    context_finish(digest->context, bytes);
    hex_encode(bytes, DIGEST_BYTES, hex);
    EVP_MD_CTX_free(digest->context);
    free(digest);
}

void hex_encode(const uint8_t *bytes, size_t len, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 0xf];
    }
    hex[2 * len] = '\0';
}

void digest_random(void *bytes, size_t len)
{
    uint8_t *at = bytes;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        must(got > 0, "getrandom");
        at += got;
        len -= (size_t)got;
    }
}

void digest_wipe(void *bytes, size_t len)
{
    explicit_bzero(bytes, len);
}
