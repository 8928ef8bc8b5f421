/*
 * Huawei's signatures, recomputed from a request as it arrived: its URI as sent, its headers, its
 * body. Independent of the code that signs.
 */
#ifndef SIMULATOR_SIGNATURE_H
#define SIMULATOR_SIGNATURE_H

#include "simulator.h"

/* What a service demands of a signed request. */
struct signature_demand {
    const char *algorithm; /* SDK-HMAC-SHA256, V11-HMAC-SHA256 or HMAC-SHA256 (KooDrive's) */
    const char *key, *secret;
    const char *scope;        /* of V11: "cn-north-4/iotdm" */
    const char *date_header;  /* X-Sdk-Date or X-Date */
    const char *must_sign[6]; /* headers, ended by NULL; any other of the request's may be signed */
    int64_t future_ms, past_ms; /* how far the date may be off */
};

enum signature {
    SIGNATURE_RIGHT,
    SIGNATURE_FORM,  /* not of this algorithm, or not as the document has it */
    SIGNATURE_KEY,   /* another key */
    SIGNATURE_CLOCK, /* dated too early or too late */
    SIGNATURE_WRONG,
};

/* Records what is wrong as a violation. */
enum signature signature_check(struct simulator *simulator, const struct request *request,
                               const struct signature_demand *demand);

#endif
