#include "worker/core/ports.h"

#include "common/banned.h"

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->position_count; i++) {
        free((char *)batch->positions[i].at.topic);
        free((char *)batch->positions[i].metadata.data);
    }
    free(batch->positions);
    free(batch->messages);
    free(batch->message_errors);
    free(batch);
}
