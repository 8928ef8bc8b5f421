#include <errno.h>

#include "simulator.h"

#include "common/banned.h"

const char *const provider_names[PROVIDERS] = {"enos", "scnet", "iotda", "koodrive", "iam", "none"};
const char *const operation_names[OPERATIONS] = {"cancel", "status", "sign_in", "renew", "other"};
const char *const task_state_names[TASK_STATES] = {"waiting", "running",    "succeeded", "partial",
                                                   "failed",  "cancelling", "cancelled", "expiring",
                                                   "expired", "retrying",   "removed",   "missing"};

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t simulator_wall_ms(const struct simulator *simulator)
{
    return clock_wall_ms() + simulator->options.clock_ms;
}

/* splitmix64 */
uint64_t simulator_random(struct simulator *simulator, uint64_t below)
{
    uint64_t z = simulator->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return below ? z % below : 0;
}

void *must(void *pointer)
{
    if (!pointer) {
        fputs("kancel-simulator: out of memory\n", stderr);
        abort();
    }
    return pointer;
}

char *must_copy(const char *text)
{
    return must(strdup(text));
}

int name_index(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (name && strcmp(names[i], name) == 0)
            return (int)i;
    }
    return -1;
}
