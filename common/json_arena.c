#include "common/json_arena.h"

#include <pthread.h>
#include <stdint.h>

#include "common/banned.h"

enum { ALIGNMENT = 16 };

struct arena {
    char *chunk; /* NULL until the first piece */
    size_t used;
    size_t last;    /* where the newest piece starts: given back at once, it makes room again */
    size_t spilled; /* pieces of malloc that are out */
    size_t documents;
    bool ran_out;
};

static _Thread_local struct arena arena;
/* Set before threads start, constant afterwards. */
static bool enabled;
static pthread_key_t chunk_of_thread; /* only for its destructor */

void json_arena_enable(void)
{
    if (!enabled && pthread_key_create(&chunk_of_thread, free) == 0)
        enabled = true;
}

void json_arena_begin(void)
{
    arena.documents++;
    arena.ran_out = false;
}

void json_arena_end(void)
{
    arena.documents--;
    if (arena.documents == 0) {
        arena.used = 0;
        arena.last = 0;
    }
}

bool json_arena_holds_all(void)
{
    return enabled && arena.spilled == 0;
}

static bool chunk_is_there(void)
{
    if (arena.chunk != NULL)
        return true;
    char *chunk = malloc(JSON_ARENA_BYTES);
    if (chunk == NULL)
        return false;
    if (pthread_setspecific(chunk_of_thread, chunk) != 0) {
        free(chunk);
        return false;
    }
    arena.chunk = chunk;
    return true;
}

bool json_arena_ran_out(void)
{
    return arena.ran_out;
}

void *json_arena_take(size_t size)
{
    if (size == 0)
        size = 1; /* pieces must differ */
    if (enabled && arena.documents > 0 && size <= JSON_ARENA_BYTES) {
        size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
        if (rounded <= JSON_ARENA_BYTES - arena.used && chunk_is_there()) {
            arena.last = arena.used;
            arena.used += rounded;
            return arena.chunk + arena.last;
        }
    }
    void *piece = malloc(size);
    if (piece == NULL)
        arena.ran_out = true;
    else
        arena.spilled++;
    return piece;
}

void json_arena_give(void *piece)
{
    uintptr_t at = (uintptr_t)piece;
    uintptr_t start = (uintptr_t)arena.chunk;
    if (arena.chunk != NULL && at >= start && at < start + JSON_ARENA_BYTES) {
        if (at == start + arena.last)
            arena.used = arena.last;
        return;
    }
    if (piece != NULL)
        arena.spilled--;
    free(piece);
}
