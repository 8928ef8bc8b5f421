/*
 * "Did you mean ...?": the one of several names that a word may be a misspelling of. A suggestion
 * is fewer than 4 edits (insertions, deletions, replacements, swaps of neighbours; ASCII case
 * aside) away and shares most of its letters.
 */
#ifndef KANCEL_COMMON_NEAREST_H
#define KANCEL_COMMON_NEAREST_H

#include "common/slice.h"

struct nearest {
    struct slice word;
    struct slice name; /* the best so far, as offered; absent: none */
    size_t edits;
};

/* `word` is borrowed until the last offer. */
void nearest_begin(struct nearest *nearest, struct slice word);
void nearest_offer(struct nearest *nearest, struct slice name);
/* All of a NULL-ended list at once; NULL: none is near. */
const char *nearest_of(struct slice word, const char *const *names);

#endif
