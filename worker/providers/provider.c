#include "worker/providers/provider.h"

#include "common/nearest.h"

#include "common/banned.h"

#define PROVIDER_ROW(name) &provider_##name,

const struct provider *const providers[] = {PROVIDERS(PROVIDER_ROW) NULL};

const struct provider *provider_find(struct slice name)
{
    for (const struct provider *const *provider = providers; *provider != NULL; provider++)
        if (slice_equals(name, (*provider)->name))
            return *provider;
    return NULL;
}

const char *provider_nearest(struct slice name)
{
    const char *names[sizeof(providers) / sizeof(providers[0])] = {NULL};
    for (size_t i = 0; providers[i] != NULL; i++)
        names[i] = providers[i]->name;
    return nearest_of(name, names);
}

void provider_names(char names[PROVIDER_NAMES_BYTES])
{
    size_t used = 0;
    names[0] = '\0';
    for (size_t i = 0; providers[i] != NULL && used < PROVIDER_NAMES_BYTES; i++)
        used += (size_t)snprintf(names + used, PROVIDER_NAMES_BYTES - used, "%s%s", i ? ", " : "",
                                 providers[i]->name);
}

const struct task_member *provider_operand(const struct provider *provider)
{
    const struct task_member *member = provider->members;
    while (member->option != NULL)
        member++;
    return member;
}
