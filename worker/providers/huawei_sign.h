/*
 * Huawei Cloud's signatures: AK/SK with SDK-HMAC-SHA256 (standard) and V11-HMAC-SHA256 (derived:
 * the key is derived for a day, a region and a service), and KooDrive's app authentication. All
 * three sign the same canonical form of a request (the vendor's "AK/SK Signing and Authentication",
 * its SDKs' signers). Pure functions of their arguments.
 *
 * What is signed is read off the request as it will be sent: escapes of the URL are undone before
 * they are done anew, so nothing is encoded twice.
 */
#ifndef KANCEL_WORKER_PROVIDERS_HUAWEI_SIGN_H
#define KANCEL_WORKER_PROVIDERS_HUAWEI_SIGN_H

#include "common/digest.h"
#include "worker/providers/provider.h"

/* ---- the canonical request ---- */

struct huawei_header {
    const char *name; /* in any case */
    struct slice value;
};

enum { HUAWEI_HEADERS_MOST = HTTP_HEADERS_MOST };

/* A request as it is sent. */
struct huawei_request {
    const char *method;
    struct slice path;  /* percent-encoded or not; empty: "/" */
    struct slice query; /* without the '?', percent-encoded; at most 32 parameters; absent: none */
    struct huawei_header headers[HUAWEI_HEADERS_MOST]; /* those to be signed: sorted here; names
                                                          with '_' are left out */
    size_t header_count;
    struct slice body;
};

/* Appends the canonical request; `names` gets its signed headers' names joined by ';'. A failed
 * buffer says that it ran out of memory. */
void huawei_canonical(struct huawei_request *request, struct buffer *canonical,
                      struct buffer *names);

/* ---- signatures: the value of the Authorization header is appended ---- */

struct huawei_key {
    struct slice access_key, secret_key;
    struct slice region, service; /* of a derived signature; absent: standard */
};

/* `date` is the value of X-Sdk-Date, which the headers hold. */
void huawei_sign(struct huawei_request *request, const struct huawei_key *key, struct slice date,
                 struct buffer *authorization);
/* `date` is not signed apart: the headers hold X-Date. */
void huawei_sign_app(struct huawei_request *request, struct slice app_id, struct slice app_secret,
                     struct buffer *authorization);

/* HKDF-SHA-256 (RFC 5869), the first 32 bytes. */
void huawei_derive(struct slice salt, struct slice secret, struct slice info,
                   uint8_t out[DIGEST_BYTES]);

/* ---- for the drivers ---- */

/* What both of them sign: method, URL, body and those headers of `sent` that `names` (ended by
 * NULL) lists. */
void huawei_request_of(const struct http_request *sent, const char *const *names,
                       struct huawei_request *request);
/* The Host header of an endpoint, as clients send it: in lower case, without a default port. */
void huawei_append_host(struct buffer *out, const char *endpoint);

#endif
