/*
 * What one account has waiting for a call. Parts that may share one stand in one *line*: same
 * operation on the wire, same share key of their tasks. Lines of an operation take turns; a line's
 * parts go in the order in which they came. With a linger a line waits that long for company before
 * it takes its turn, or until it fills a call.
 */
#ifndef KANCEL_WORKER_CORE_BATCHER_H
#define KANCEL_WORKER_CORE_BATCHER_H

#include "common/hash.h"
#include "proto/vocabulary.h"
#include "worker/core/timers.h"

struct engine;
struct part;
struct line;

struct batcher {
    struct hash_seed seed;
    struct line *lines[OPERATION_COUNT];                         /* tables by share key */
    struct line *first[OPERATION_COUNT], *last[OPERATION_COUNT]; /* whose turn it is */
};

void batcher_init(struct batcher *batcher, struct hash_seed seed);

/* Puts a part that is in no line at the end of its own. -1: no memory. */
int batcher_add(struct engine *engine, struct part *part) MUST_CHECK;
/* Takes it out, if it is in one. */
void batcher_remove(struct engine *engine, struct part *part);

/* The first line of that operation, NULL: none. */
struct line *batcher_first(const struct batcher *batcher, enum operation operation);
/* Behind the others of its operation. */
void batcher_pass(struct line *line);
/* Up to `most` parts of the line that go in one call, the longest waiting first, and how many
 * different ids they name. They stay in the line. */
size_t batcher_choose(const struct line *line, struct part **parts, size_t most, size_t *ids);

/* All that wait, one after the other: `part` NULL gives the first. The one before may have been
 * removed meanwhile if `next` was fetched before that. */
struct part *batcher_next(const struct batcher *batcher, const struct part *part);

#endif
