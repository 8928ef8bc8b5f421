#include "worker/providers/provider.h"

#include "common/banned.h"

const struct provider *const providers[] = {
    &provider_enos, &provider_scnet, &provider_iotda, &provider_koodrive, NULL,
};

const struct provider *provider_find(struct slice name)
{
    for (const struct provider *const *provider = providers; *provider != NULL; provider++)
        if (slice_equals(name, (*provider)->name))
            return *provider;
    return NULL;
}
