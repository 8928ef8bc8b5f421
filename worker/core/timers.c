#include "worker/core/timers.h"

#include <assert.h>

#include "common/banned.h"

void timers_init(struct timers *timers)
{
    *timers = (struct timers){0};
}

void timers_release(struct timers *timers)
{
    free(timers->heap);
    timers_init(timers);
}

int timers_reserve(struct timers *timers, size_t count)
{
    if (count < timers->capacity)
        return 0;
    size_t capacity = timers->capacity ? timers->capacity * 2 : 64;
    while (capacity <= count)
        capacity *= 2;
    struct timer **heap = realloc(timers->heap, capacity * sizeof *heap);
    if (!heap)
        return -1;
    timers->heap = heap;
    timers->capacity = capacity;
    return 0;
}

static bool before(const struct timer *a, const struct timer *b)
{
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

static void put(struct timers *timers, size_t place, struct timer *timer)
{
    timers->heap[place] = timer;
    timer->place = place;
}

static void sift(struct timers *timers, struct timer *timer, size_t place)
{
    while (place > 1 && before(timer, timers->heap[place / 2])) {
        put(timers, place, timers->heap[place / 2]);
        place /= 2;
    }
    for (;;) {
        size_t child = place * 2;
        if (child > timers->count)
            break;
        if (child < timers->count && before(timers->heap[child + 1], timers->heap[child]))
            child++;
        if (!before(timers->heap[child], timer))
            break;
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, timer);
}

void timers_stop(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    if (place == 0)
        return;
    struct timer *last = timers->heap[timers->count--];
    timer->place = 0;
    if (last != timer)
        sift(timers, last, place);
}

void timers_set(struct timers *timers, struct timer *timer, int64_t due)
{
    timers_stop(timers, timer);
    assert(timers->count + 1 < timers->capacity);
    timer->due = due;
    timer->order = timers->order++;
    timers->count++;
    sift(timers, timer, timers->count);
}

int64_t timers_next(const struct timers *timers)
{
    return timers->count ? timers->heap[1]->due : INT64_MAX;
}

void timers_fire(struct timers *timers, int64_t now, void *context)
{
    while (timers->count > 0 && timers->heap[1]->due <= now) {
        struct timer *timer = timers->heap[1];
        timers_stop(timers, timer);
        timer->fire(context, timer);
    }
}
