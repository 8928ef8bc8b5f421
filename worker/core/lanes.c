#include "worker/core/lanes.h"

#include <stdlib.h>

#include <uthash.h>

#include "common/banned.h"

struct lane {
    UT_hash_handle hh;
    struct lane_member *first, *last;
    size_t key_len;
    char key[]; /* kind, number, requester's key */
};

enum { FIXED_BYTES = 1 + sizeof(uint64_t) };

void lanes_init(struct lanes *lanes, struct hash_seed seed)
{
    *lanes = (struct lanes){.seed = seed};
}

void lanes_release(struct lanes *lanes)
{
    struct lane *lane, *next;
    HASH_ITER(hh, lanes->table, lane, next)
    {
        HASH_DEL(lanes->table, lane);
        free(lane);
    }
}

/* The lane named so, made if it is not there; NULL: no memory. */
static struct lane *find_or_make(struct lanes *lanes, char kind, uint64_t number, struct slice key)
{
    struct lane *fresh = malloc(sizeof *fresh + FIXED_BYTES + key.len);
    if (!fresh)
        return NULL;
    fresh->first = fresh->last = NULL;
    fresh->key_len = FIXED_BYTES + key.len;
    fresh->key[0] = kind;
    memcpy(fresh->key + 1, &number, sizeof number);
    if (key.len > 0)
        memcpy(fresh->key + FIXED_BYTES, key.data, key.len);
    unsigned hash = (unsigned)hash_bytes(&lanes->seed, fresh->key, fresh->key_len);
    struct lane *lane;
    HASH_FIND_BYHASHVALUE(hh, lanes->table, fresh->key, fresh->key_len, hash, lane);
    if (lane) {
        free(fresh);
    } else {
        lane = fresh;
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, lanes->table, lane->key, lane->key_len, hash, lane);
    }
    return lane;
}

int lanes_join(struct lanes *lanes, struct lane_member *member, char kind, uint64_t number,
               struct slice key)
{
    struct lane *lane = find_or_make(lanes, kind, number, key);
    if (!lane)
        return -1;
    member->lane = lane;
    member->next = NULL;
    member->previous = lane->last;
    *(lane->last ? &lane->last->next : &lane->first) = member;
    lane->last = member;
    return 0;
}

int lanes_join_front(struct lanes *lanes, struct lane_member *member, char kind, uint64_t number,
                     struct slice key)
{
    struct lane *lane = find_or_make(lanes, kind, number, key);
    if (!lane)
        return -1;
    member->lane = lane;
    member->previous = NULL;
    member->next = lane->first;
    *(lane->first ? &lane->first->previous : &lane->last) = member;
    lane->first = member;
    return 0;
}

bool lane_is_first(const struct lane_member *member)
{
    return !member->lane || member->lane->first == member;
}

const struct lane_member *lane_first(const struct lane_member *member)
{
    return member->lane ? member->lane->first : member;
}

struct lane_member *lanes_leave(struct lanes *lanes, struct lane_member *member)
{
    struct lane *lane = member->lane;
    if (!lane)
        return NULL;
    bool was_first = lane->first == member;
    if (member->previous)
        member->previous->next = member->next;
    else
        lane->first = member->next;
    if (member->next)
        member->next->previous = member->previous;
    else
        lane->last = member->previous;
    member->lane = NULL;
    struct lane_member *first = lane->first;
    if (!first) {
        HASH_DEL(lanes->table, lane);
        free(lane);
    }
    return was_first ? first : NULL;
}
