/*
 * Signatures of EnOS' API gateway, kind A: token service and signed requests (providers' facts: the
 * vendor's "API authentication" pages). Pure functions of their arguments.
 */
#ifndef KANCEL_WORKER_PROVIDERS_ENOS_SIGN_H
#define KANCEL_WORKER_PROVIDERS_ENOS_SIGN_H

#include "common/digest.h"
#include "common/slice.h"

/* A query parameter, decoded. */
struct enos_parameter {
    struct slice key, value;
};

/* `encryption` of a token request: SHA-256 of app key, timestamp and app secret, one after another.
 */
void enos_encryption(struct slice app_key, struct slice timestamp, struct slice app_secret,
                     char hex[DIGEST_HEX_SIZE]);

/* `apim-signature` of a request: SHA-256 of token, parameters (sorted here, by key in ASCII order),
 * the body as sent (absent: none), timestamp and app secret. Method, path and host are not signed.
 */
void enos_signature(struct slice token, struct enos_parameter *parameters, size_t count,
                    struct slice body, struct slice timestamp, struct slice app_secret,
                    char hex[DIGEST_HEX_SIZE]);

#endif
