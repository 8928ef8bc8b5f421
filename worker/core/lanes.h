/*
 * Order: lanes are queues by key. Whoever is first in all its lanes may go. Keys come from
 * requesters, so the table's hash is seeded.
 */
#ifndef KANCEL_WORKER_CORE_LANES_H
#define KANCEL_WORKER_CORE_LANES_H

#include "common/hash.h"
#include "common/slice.h"

struct lane;

/* A place in a lane; lives in its owner. */
struct lane_member {
    struct lane *lane; /* NULL: in none */
    struct lane_member *previous, *next;
    void *owner;
};

struct lanes {
    struct hash_seed seed;
    struct lane *table;
};

void lanes_init(struct lanes *lanes, struct hash_seed seed);
/* Every member must have left. */
void lanes_release(struct lanes *lanes);

/* Puts `member` at the end of the lane named by (kind, number, key). -1: no memory. */
int lanes_join(struct lanes *lanes, struct lane_member *member, char kind, uint64_t number,
               struct slice key) MUST_CHECK;
/* The same ahead of all who are in it. */
int lanes_join_front(struct lanes *lanes, struct lane_member *member, char kind, uint64_t number,
                     struct slice key) MUST_CHECK;
bool lane_is_first(const struct lane_member *member); /* true also when it is in no lane */
/* The first of its lane: itself when it is in none. */
const struct lane_member *lane_first(const struct lane_member *member);
/* Leaves its lane, if any; returns the member that is first because of it, or NULL. */
struct lane_member *lanes_leave(struct lanes *lanes, struct lane_member *member);

#endif
