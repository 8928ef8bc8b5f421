/* kancel-simulate: runs worlds. See README.md. */
#include "tests/simulation/world.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/banned.h"

enum { CALM_MOST_MS = 8 * 3600 * 1000, END_MOST_MS = 5 * 60 * 1000, EVENTS_MOST = 3000000 };

/* ---- one world --------------------------------------------------------------------------------
 */

static bool go_on(struct world *world)
{
    if (!world->failed && world->events > EVENTS_MOST)
        world_fail(world, "no end after %llu events", (unsigned long long)world->events);
    return !world->failed && world_step(world);
}

static bool all_answered(const struct world *world)
{
    return world->answered == world->plan.commands;
}

static bool all_gone(const struct world *world)
{
    for (unsigned i = 0; i < WORKERS_MOST; i++)
        if (world->workers[i].engine)
            return false;
    return true;
}

void world_run(struct world *world)
{
    rng_init(&world->rng, world->seed);
    world->token_expires = -1;
    for (size_t i = 0; i < sizeof world->result_order / sizeof ***world->result_order; i++)
        (&world->result_order[0][0][0])[i] = -1;
    plan_open_accounts(world);
    plan_make(world);
    commands_make(world);
    broker_begin(world);
    group_begin(world);
    int64_t chaos_end = world->plan.production_ms + world_between(world, 0, 20000);
    while (world->now < chaos_end && go_on(world))
        ;
    world->calm = true;
    group_all_up(world);
    while (!all_answered(world) && go_on(world))
        if (world->now > chaos_end + CALM_MOST_MS)
            world_fail(world, "%u of %u commands are not answered",
                       world->plan.commands - world->answered, world->plan.commands);
    int64_t settled = world->now + 60000;
    while (world->now < settled && go_on(world))
        ;
    world->ending = true;
    int64_t end = world->now + END_MOST_MS;
    group_drain_all(world);
    while (!all_gone(world) && world->now < end && go_on(world))
        ;
    if (!world->failed)
        check_end(world);
}

void world_free(struct world *world)
{
    for (int i = 0; i < WORKERS_MOST; i++)
        if (world->workers[i].engine)
            worker_stop(&world->workers[i]);
    calls_free(world);
    commands_free(world);
    broker_free(world);
    plan_close_accounts(world);
    free(world->heap);
}

/* ---- many -------------------------------------------------------------------------------------
 */

struct sums {
    uint64_t seeds, failures, events, commands, hash;
    uint64_t fired[FAULT_COUNT], worlds[FAULT_COUNT];
};

static volatile uint64_t running;

static void say_seed(int number)
{
    char text[96];
    int len = snprintf(text, sizeof text, "crashed; replay: kancel-simulate --seed %" PRIu64 "\n",
                       running);
    (void)!write(STDERR_FILENO, text, (size_t)len);
    signal(number, SIG_DFL);
    raise(number);
}

/* Returns the trace's hash. */
static uint64_t run_seed(struct sums *sums, uint64_t seed, bool trace)
{
    struct world *world = calloc(1, sizeof *world);
    world->seed = running = seed;
    world->trace = trace;
    world_run(world);
    sums->seeds++;
    sums->failures += world->failed;
    sums->events += world->events;
    sums->commands += world->answered;
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        sums->fired[i] += world->fired[i];
        sums->worlds[i] += world->fired[i] > 0;
    }
    if (trace)
        printf("%9lld end: hash %016" PRIx64 ", %" PRIu64 " events\n", (long long)world->now,
               world->hash, world->events);
    uint64_t hash = world->hash;
    sums->hash = sums->hash * 31 + hash;
    world_free(world);
    free(world);
    return hash;
}

static void print_sums(const struct sums *sums, double seconds)
{
    printf("%-28s %10s %8s\n", "fault", "times", "worlds");
    for (enum fault fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++)
        printf("%-28s %10" PRIu64 " %8" PRIu64 "\n", fault_name(fault), sums->fired[fault],
               sums->worlds[fault]);
    printf("%" PRIu64 " seeds, %" PRIu64 " failed, %" PRIu64 " commands, %" PRIu64
           " events in %.1f s, hash %016" PRIx64 "\n",
           sums->seeds, sums->failures, sums->commands, sums->events, seconds, sums->hash);
}

static int run_file(struct sums *sums, const char *path)
{
    char line[256];
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        return -1;
    }
    while (fgets(line, sizeof line, file))
        if (line[0] >= '0' && line[0] <= '9')
            run_seed(sums, strtoull(line, NULL, 10), false);
    fclose(file);
    return 0;
}

static int usage(void)
{
    fputs("usage: kancel-simulate --seed N [--trace] | --seeds A..B | --file SEEDS\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct sums sums = {0};
    struct timespec begin, end;
    json_setup();
    signal(SIGABRT, say_seed);
    signal(SIGSEGV, say_seed);
    if (argc < 3)
        return usage();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (strcmp(argv[1], "--seed") == 0) {
        run_seed(&sums, strtoull(argv[2], NULL, 10), argc > 3 && strcmp(argv[3], "--trace") == 0);
    } else if (strcmp(argv[1], "--seeds") == 0) {
        char *dots;
        uint64_t first = strtoull(argv[2], &dots, 10);
        uint64_t last = strncmp(dots, "..", 2) == 0 ? strtoull(dots + 2, NULL, 10) : first;
        uint64_t hash = run_seed(&sums, first, false);
        if (run_seed(&sums, first, false) != hash) {
            fprintf(stderr, "seed %" PRIu64 " is not the same twice\n", first);
            sums.failures++;
        }
        for (uint64_t seed = first + 1; seed <= last && sums.failures < 20; seed++)
            run_seed(&sums, seed, false);
    } else if (strcmp(argv[1], "--file") != 0 || run_file(&sums, argv[2]) < 0) {
        return usage();
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_sums(&sums,
               (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    return sums.failures ? 1 : 0;
}
