/* What the operator's page shows, as one line of JSON: health, flow per account, partitions with
 * their ledgers, the slowest commands with their reason, the last warnings. Ids of commands are in
 * it, never a task, a context or a secret. */
#ifndef KANCEL_WORKER_APP_STATE_JSON_H
#define KANCEL_WORKER_APP_STATE_JSON_H

#include "worker/core/engine.h"

enum { STATE_JSON_BYTES = 4 * 1024 * 1024 };

struct state_view {
    const struct engine_settings *settings;
    const struct engine *engine;
    const char *health; /* "ready", ... */
    const char *reason; /* NULL: none */
    const char *instance;
    int64_t mono_ms, wall_ms, started_ms;
    bool may_act; /* actions are configured */
    /* The partition's end offset as the consumer last saw it; negative: not known. */
    int64_t (*end_of)(void *context, const char *topic, int32_t partition);
    void *context;
};

void state_json(struct buffer *out, const struct state_view *view);

#endif
