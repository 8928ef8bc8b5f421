/*
 * Memory of parsed JSON documents, one arena a thread: a parse makes dozens of small nodes that all
 * go at once. A first chunk is bumped through; what does not fit comes from malloc. Everything is
 * taken and given back on one thread. Part of json.c: nobody else uses it.
 */
#ifndef KANCEL_COMMON_JSON_ARENA_H
#define KANCEL_COMMON_JSON_ARENA_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_ARENA_BYTES = 256 * 1024 };

/* Without it everything below is malloc and free. Before threads start. */
void json_arena_enable(void);

/* A document begins and, later, ends: when the last one of the thread has ended the arena is empty
 * again. */
void json_arena_begin(void);
void json_arena_end(void);
/* True when every piece the thread holds lies in the arena, so that a document needs no walk to be
 * freed. */
bool json_arena_holds_all(void);
/* True when an allocation failed since the thread's newest json_arena_begin(). */
bool json_arena_ran_out(void);

/* malloc and free for jansson; outside of json_arena_begin/_end they are plainly those. */
void *json_arena_take(size_t size);
void json_arena_give(void *piece);

#endif
