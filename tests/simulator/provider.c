#include "provider.h"

#include "common/banned.h"

const struct provider_row *const provider_rows[PROVIDERS] = {
    [PROVIDER_ENOS] = &enos_provider,   [PROVIDER_SCNET] = &scnet_provider,
    [PROVIDER_IOTDA] = &iotda_provider, [PROVIDER_KOODRIVE] = &koodrive_provider,
    [PROVIDER_IAM] = &iam_provider,     [PROVIDER_NONE] = NULL,
};

void request_route(struct request *request)
{
    request->provider = PROVIDER_NONE;
    request->operation = OPERATION_OTHER;
    for (size_t i = 0; i < PROVIDER_NONE; i++) {
        if (provider_rows[i]->route(request))
            return;
    }
}
