#include "worker/core/state.h"

#include "common/banned.h"

enum {
    /* Twice what a call may hold, so that looking an id up stays short. */
    ID_SLOTS = 2048,
    /* After so many parts that do not fit the call goes as it is. */
    MISFITS_MOST = 32,
};
_Static_assert(ID_SLOTS >= 2 * LIMIT_ASKS, "a call's ids fit");

struct line {
    UT_hash_handle hh;
    struct batcher *batcher;
    enum operation operation;
    struct line *previous, *next; /* in turn */
    bool in_turn;                 /* else it waits for company */
    struct timer linger;
    struct part *first, *last;
    size_t asks;
    size_t key_len;
    char key[]; /* the share key */
};

void batcher_init(struct batcher *batcher, struct hash_seed seed)
{
    *batcher = (struct batcher){.seed = seed};
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void join_turns(struct line *line)
{
    struct line **first = &line->batcher->first[line->operation];
    struct line **last = &line->batcher->last[line->operation];
    line->in_turn = true;
    line->next = NULL;
    line->previous = *last;
    *(*last ? &(*last)->next : first) = line;
    *last = line;
}

static void leave_turns(struct line *line)
{
    if (!line->in_turn)
        return;
    line->in_turn = false;
    *(line->previous ? &line->previous->next : &line->batcher->first[line->operation]) = line->next;
    *(line->next ? &line->next->previous : &line->batcher->last[line->operation]) = line->previous;
}

static void linger_over(void *context, struct timer *timer)
{
    (void)context;
    join_turns((struct line *)((char *)timer - offsetof(struct line, linger)));
}

struct line *batcher_first(const struct batcher *batcher, enum operation operation)
{
    return batcher->first[operation];
}

void batcher_pass(struct line *line)
{
    leave_turns(line);
    join_turns(line);
}

/* ---- coming and going ------------------------------------------------------------------------ */

/* The line of that key, made if there is none. NULL: no memory. */
static struct line *find_or_make(struct engine *engine, struct batcher *batcher,
                                 enum operation operation, struct slice share)
{
    struct line *line;
    unsigned hash = (unsigned)hash_bytes(&batcher->seed, share.data, share.len);
    HASH_FIND_BYHASHVALUE(hh, batcher->lines[operation], share.data, share.len, hash, line);
    if (line)
        return line;
    line = calloc(1, sizeof *line + share.len + 1);
    if (!line || timers_reserve(&engine->timers, engine->timer_users + 2) < 0) {
        free(line);
        return NULL;
    }
    memcpy(line->key, share.data, share.len);
    line->key_len = share.len;
    line->batcher = batcher;
    line->operation = operation;
    line->linger.fire = linger_over;
    engine->timer_users++;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, batcher->lines[operation], line->key, line->key_len, hash,
                                line);
    return line;
}

static void take_turn_or_linger(struct engine *engine, struct line *line)
{
    int64_t linger = line->first->job->account->settings->limits.linger_ms;
    if (line->in_turn)
        return;
    if (linger <= 0 || line->asks >= line->first->most) {
        timers_stop(&engine->timers, &line->linger);
        join_turns(line);
    } else if (!timer_is_set(&line->linger)) {
        timers_set(&engine->timers, &line->linger, engine->now.mono_ms + linger);
    }
}

int batcher_add(struct engine *engine, struct part *part)
{
    struct job *job = part->job;
    struct line *line = find_or_make(engine, &job->account->batcher,
                                     mode_operation(job, part->mode), job->task->share);
    if (!line)
        return -1;
    part->line = line;
    part->line_next = NULL;
    part->line_previous = line->last;
    *(line->last ? &line->last->line_next : &line->first) = part;
    line->last = part;
    line->asks += part->count;
    take_turn_or_linger(engine, line);
    return 0;
}

void batcher_remove(struct engine *engine, struct part *part)
{
    struct line *line = part->line;
    if (!line)
        return;
    part->line = NULL;
    *(part->line_previous ? &part->line_previous->line_next : &line->first) = part->line_next;
    *(part->line_next ? &part->line_next->line_previous : &line->last) = part->line_previous;
    line->asks -= part->count;
    if (line->first)
        return;
    leave_turns(line);
    timers_stop(&engine->timers, &line->linger);
    engine->timer_users--;
    HASH_DEL(line->batcher->lines[line->operation], line);
    free(line);
}

struct part *batcher_next(const struct batcher *batcher, const struct part *part)
{
    const struct line *line = part ? part->line->hh.next : NULL;
    unsigned operation = part ? part->line->operation + 1 : 0;
    if (part && part->line_next)
        return part->line_next;
    while (!line && operation < OPERATION_COUNT)
        line = batcher->lines[operation++];
    return line ? line->first : NULL;
}

/* ---- choosing -------------------------------------------------------------------------------- */

struct id_set {
    struct hash_seed seed;
    size_t count;
    const struct slice *slots[ID_SLOTS];
};

/* Where the id is or would be. */
static const struct slice **find_id(struct id_set *set, const struct slice *id)
{
    size_t at = (size_t)hash_bytes(&set->seed, id->data, id->len) % ID_SLOTS;
    while (set->slots[at] && !slice_equal(*set->slots[at], *id))
        at = (at + 1) % ID_SLOTS;
    return &set->slots[at];
}

/* How many of the part's ids are not in the set. */
static size_t count_fresh(struct id_set *set, const struct part *part)
{
    size_t fresh = 0;
    for (size_t i = 0; i < part->count; i++)
        fresh += *find_id(set, &part->job->task->ids[part->asks[i]]) == NULL;
    return fresh;
}

static void add_ids(struct id_set *set, const struct part *part)
{
    for (size_t i = 0; i < part->count; i++) {
        const struct slice *id = &part->job->task->ids[part->asks[i]];
        const struct slice **slot = find_id(set, id);
        set->count += *slot == NULL;
        *slot = id;
    }
}

size_t batcher_choose(const struct line *line, struct part **parts, size_t most, size_t *ids)
{
    size_t room = line->first->most, asks = 0, count = 0, misfits = 0;
    struct id_set set;
    if (line->first == line->last) {
        parts[0] = line->first;
        *ids = line->first->count;
        return 1;
    }
    memset(&set, 0, sizeof set);
    set.seed = line->batcher->seed;
    for (struct part *part = line->first; part && count < most && misfits < MISFITS_MOST;
         part = part->line_next) {
        size_t limit = part->most < room ? part->most : room;
        if (count > 0 &&
            (asks + part->count > LIMIT_ASKS || set.count + count_fresh(&set, part) > limit)) {
            misfits++;
            continue;
        }
        room = limit;
        asks += part->count;
        add_ids(&set, part);
        parts[count++] = part;
    }
    *ids = set.count;
    return count;
}
