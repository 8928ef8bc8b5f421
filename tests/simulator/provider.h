/*
 * A provider: which paths are its own, what they do, and how it says no. One const table a file.
 */
#ifndef SIMULATOR_PROVIDER_H
#define SIMULATOR_PROVIDER_H

#include "simulator.h"

struct provider_row {
    /*
     * Whether the path is this provider's; fills in provider, operation, page, id and parent.
     * A path under its prefix that is no page of it is OPERATION_OTHER.
     */
    bool (*route)(struct request *request);
    /* Checks the request, applies it where request->apply says so, and answers. */
    void (*handle)(struct simulator *simulator, struct request *request);
    /* The provider's own way to say "too many requests"; style: NULL or one its document names. */
    void (*throttle)(struct request *request, const char *style);
    /* The answer to a token that ran out; the token presented is revoked where it was issued. */
    void (*expired)(struct simulator *simulator, struct request *request);
};

extern const struct provider_row enos_provider;
extern const struct provider_row scnet_provider;
extern const struct provider_row iotda_provider;
extern const struct provider_row koodrive_provider;
extern const struct provider_row iam_provider;

extern const struct provider_row *const provider_rows[PROVIDERS];

/* Finds the request's provider; request->provider is PROVIDER_NONE where nobody has the path. */
void request_route(struct request *request);

#endif
