/* Digests as lower-case hex; `hex` has room for 65 bytes. */
#ifndef SIMULATOR_HASH_H
#define SIMULATOR_HASH_H

#include <stddef.h>

void hash_sha256_hex(const void *data, size_t len, char *hex);
void hash_hmac_sha256_hex(const char *key, const void *data, size_t len, char *hex);

/* HKDF-SHA-256 of the secret with the key as salt, `info` as info: the first 32 bytes. */
void hash_hkdf_hex(const char *key, const char *secret, const char *info, char *hex);

/* Unpadded base64url, as in a JWT; the result is the caller's to free. */
char *hash_base64url(const char *text);

#endif
