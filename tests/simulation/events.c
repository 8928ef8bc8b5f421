#include "tests/simulation/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/banned.h"

/* ---- queue ------------------------------------------------------------------------------------
 */

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_at(struct world *world, int64_t in_ms, event_fire *fire, int number, uint64_t life,
              void *what)
{
    if (world->heap_count == world->heap_capacity) {
        world->heap_capacity = world->heap_capacity ? 2 * world->heap_capacity : 256;
        world->heap = realloc(world->heap, world->heap_capacity * sizeof *world->heap);
    }
    struct event event = {world->now + in_ms, ++world->order, fire, number, life, what};
    size_t at = world->heap_count++;
    for (; at > 0 && before(&event, &world->heap[(at - 1) / 2]); at = (at - 1) / 2)
        world->heap[at] = world->heap[(at - 1) / 2];
    world->heap[at] = event;
}

void world_again(struct world *world, const struct event *event, int64_t in_ms)
{
    world_at(world, in_ms, event->fire, event->number, event->life, event->what);
}

static struct event take_first(struct world *world)
{
    struct event first = world->heap[0], last = world->heap[--world->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->heap_count)
            break;
        if (child + 1 < world->heap_count && before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!before(&world->heap[child], &last))
            break;
        world->heap[at] = world->heap[child];
        at = child;
    }
    world->heap[at] = last;
    return first;
}

static void mix(struct world *world, uint64_t value)
{
    world->hash = (world->hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    world->hash ^= world->hash >> 29;
}

bool world_step(struct world *world)
{
    if (world->heap_count == 0)
        return false;
    struct event event = take_first(world);
    world->now = event.at;
    world->events++;
    mix(world, (uint64_t)event.at);
    mix(world, (uint64_t)event.number << 32 | event.life);
    event.fire(world, &event);
    return true;
}

/* ---- trace ------------------------------------------------------------------------------------
 */

void world_trace(struct world *world, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(line, sizeof line, format, arguments);
    size_t len = written < (int)sizeof line ? (size_t)written : sizeof line - 1;
    va_end(arguments);
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, line + i, len - i < sizeof word ? len - i : sizeof word);
        mix(world, word);
    }
    if (world->trace)
        printf("%9lld %s\n", (long long)world->now, line);
}

void world_fail(struct world *world, const char *format, ...)
{
    va_list arguments;
    if (world->failed)
        return;
    world->failed = true;
    fflush(stdout);
    fprintf(stderr, "seed %llu failed at %lld ms: ", (unsigned long long)world->seed,
            (long long)world->now);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n  replay: kancel-simulate --seed %llu --trace\n",
            (unsigned long long)world->seed);
}

/* ---- chance -----------------------------------------------------------------------------------
 */

int64_t world_between(struct world *world, int64_t low, int64_t high)
{
    return low + (int64_t)rng_below(&world->rng, (uint64_t)(high - low) + 1);
}

bool world_percent(struct world *world, unsigned percent)
{
    return rng_below(&world->rng, 100) < percent;
}

bool world_draws(struct world *world, enum fault fault)
{
    if (world->calm || world->plan.chance[fault] == 0 ||
        rng_below(&world->rng, 10000) >= world->plan.chance[fault])
        return false;
    world->fired[fault]++;
    return true;
}

const char *fault_name(enum fault fault)
{
    static const char *const names[FAULT_COUNT] = {
        [FAULT_NONE] = "none",
        [FAULT_NOT_SENT] = "not sent",
        [FAULT_TIMEOUT_BEFORE] = "timed out, not applied",
        [FAULT_TIMEOUT_AFTER] = "timed out, applied",
        [FAULT_TIMEOUT_LATE] = "timed out, applied later",
        [FAULT_RESET_BEFORE] = "reset, not applied",
        [FAULT_RESET_AFTER] = "reset, applied",
        [FAULT_5XX_BEFORE] = "5xx, not applied",
        [FAULT_5XX_AFTER] = "5xx, applied",
        [FAULT_429] = "429",
        [FAULT_RETRY_AFTER] = "429 or 503 with Retry-After",
        [FAULT_CODE_IN_200] = "throttled by a code",
        [FAULT_HTML] = "HTML",
        [FAULT_CUT_JSON] = "cut JSON",
        [FAULT_204] = "204",
        [FAULT_TOO_LARGE] = "answer too long, applied",
        [FAULT_PAGE] = "answer goes on on a next page",
        [FAULT_CREDENTIAL] = "credential expired",
        [FAULT_SIGN_IN] = "sign-in failed",
        [FAULT_ABORT] = "transaction aborted",
        [FAULT_UNKNOWN_DONE] = "fate unknown, committed",
        [FAULT_UNKNOWN_NOT] = "fate unknown, not committed",
        [FAULT_STALE] = "stale generation",
        [FAULT_READ_FAILS] = "positions unreadable",
        [FAULT_READ_WAITED] = "positions unstable",
        [FAULT_LOOK_UP_FAILS] = "topic look-up failed",
        [FAULT_RESULTS_GONE] = "results topic gone",
        [FAULT_DEAD_GONE] = "dead-letter topic gone",
        [FAULT_REFUSED] = "topic refuses records",
        [FAULT_FORBIDDEN] = "topic may not be written",
        [FAULT_LIMIT] = "topic takes short messages only",
        [FAULT_OVER_LIMIT] = "message too large for its topic",
        [FAULT_AGAIN] = "answered again (at least once)",
        [FAULT_RETENTION] = "retention takes commands",
        [FAULT_CUT_OFF] = "committed offset out of range",
        [FAULT_MAP_FULL] = "map full before the window",
        [FAULT_BYTES_FULL] = "bytes full",
        [FAULT_EVENT] = "command in a CloudEvent",
        [FAULT_NOT_PERMITTED] = "not permitted by the account",
        [FAULT_SHARED_RATE] = "rate shared by the group",
        [FAULT_SHARED_CALL] = "call shared by commands",
        [FAULT_BREAKER] = "breaker opens",
        [FAULT_HOLD] = "account held by an operator",
        [FAULT_HANG] = "Kafka call hangs",
        [FAULT_REPLY_GONE] = "reply topic vanished",
        [FAULT_CRASH] = "crash",
        [FAULT_DRAIN] = "drain",
        [FAULT_LOST] = "partitions lost",
        [FAULT_ZOMBIE_CALL] = "cancel by a former owner",
        [FAULT_TRANSACTION_TIMEOUT] = "transaction timed out",
        [FAULT_EAGER] = "eager rebalance",
        [FAULT_COOPERATIVE] = "cooperative rebalance",
        [FAULT_ONE_BY_ONE] = "KIP-848 rebalance",
        [FAULT_TWIN] = "twin with the same instance id",
        [FAULT_FENCED] = "fenced by a twin",
        [FAULT_PAUSE] = "process stopped for a while",
        [FAULT_ZOMBIE] = "stopped longer than its session",
        [FAULT_STALL] = "loop late",
        [FAULT_CLOCK] = "wall clock set",
    };
    return names[fault];
}
