#include "common/nearest.h"

#include "common/banned.h"

/* Longer texts are no misspelling of a name of ours. */
enum { LONGEST_NAME = 64, TOO_FAR = 4 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same(struct slice a, size_t i, struct slice b, size_t j)
{
    return lower(a.data[i]) == lower(b.data[j]);
}

/* Optimal string alignment, three rows at a time. */
static size_t edits_between(struct slice a, struct slice b)
{
    size_t rows[3][LONGEST_NAME + 1];
    if (a.len > LONGEST_NAME || b.len > LONGEST_NAME)
        return TOO_FAR;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = above[j - 1] + !same(a, i - 1, b, j - 1);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && same(a, i - 1, b, j - 2) && same(a, i - 2, b, j - 1))
                row[j] = least(row[j], above_that[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

void nearest_begin(struct nearest *nearest, struct slice word)
{
    *nearest = (struct nearest){.word = word, .edits = TOO_FAR};
}

void nearest_offer(struct nearest *nearest, struct slice name)
{
    size_t edits = edits_between(nearest->word, name);
    if (edits >= nearest->edits || edits * 2 >= name.len)
        return;
    nearest->edits = edits;
    nearest->name = name;
}

const char *nearest_of(struct slice word, const char *const *names)
{
    struct nearest nearest;
    nearest_begin(&nearest, word);
    for (; *names != NULL; names++)
        nearest_offer(&nearest, slice_of_string(*names));
    return nearest.name.data;
}
