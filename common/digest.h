/* SHA-256, HMAC-SHA-256 (of OpenSSL), hex and random bytes. They cannot fail but for lack of
 * memory, which aborts. */
#ifndef KANCEL_COMMON_DIGEST_H
#define KANCEL_COMMON_DIGEST_H

#include "common/slice.h"

enum { DIGEST_BYTES = 32, DIGEST_HEX_SIZE = 65 };

void digest_sha256(struct slice text, uint8_t digest[DIGEST_BYTES]);
/* Lower-case hex, NUL-terminated. */
void digest_sha256_hex(struct slice text, char hex[DIGEST_HEX_SIZE]);
void digest_hmac_sha256(struct slice key, struct slice text, uint8_t digest[DIGEST_BYTES]);
void digest_hmac_sha256_hex(struct slice key, struct slice text, char hex[DIGEST_HEX_SIZE]);

/* Incremental, for texts in parts; `_finish_hex` frees. */
struct digest;
struct digest *digest_begin(void);
void digest_add(struct digest *digest, struct slice part);
void digest_finish_hex(struct digest *digest, char hex[DIGEST_HEX_SIZE]);

/* `hex` takes 2 * len + 1 bytes. */
void hex_encode(const uint8_t *bytes, size_t len, char *hex);

/* From the operating system, fit for keys and seeds. */
void digest_random(void *bytes, size_t len);
/* Overwrites in a way that the compiler keeps. */
void digest_wipe(void *bytes, size_t len);

#endif
