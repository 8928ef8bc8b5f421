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
    return world->over == world->plan.commands;
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
                       world->plan.commands - world->over, world->plan.commands);
    int64_t settled = world->now + 60000;
    while (world->now < settled && go_on(world))
        ;
    if (!world->failed)
        check_calm(world);
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

enum {
    FAILURES_MOST = 20, /* of one run: the rest says nothing new */
    RETRIES_FROM = 500,
    SHARE_FROM = 1000, /* from so many seeds on each kind of fault has to be seen in 1 % of them */
};

struct sums {
    uint64_t seeds, failures, events, commands, hash;
    uint64_t retries, retries_soon;
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

static double seconds_of(clockid_t id)
{
    struct timespec at;
    clock_gettime(id, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* Over many seeds retries come back at any time of their pause: neither all of them at once nor all
 * of them late. */
static void check_jitter(struct sums *sums)
{
    uint64_t soon = sums->retries_soon * 100, all = sums->retries;
    if (all < RETRIES_FROM || (soon > 2 * all && soon < 60 * all))
        return;
    fprintf(stderr,
            "%s: %" PRIu64 " of %" PRIu64
            " retries come in the first half of their pause, seen after %" PRIu64 " seeds\n",
            soon > all ? "no backoff" : "no jitter", sums->retries_soon, all, sums->seeds);
    sums->failures++;
    sums->retries = sums->retries_soon = 0;
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
    sums->retries += world->retries;
    sums->retries_soon += world->retries_soon;
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
    check_jitter(sums);
    return hash;
}

static void run_range(struct sums *sums, const char *text, uint64_t failures)
{
    char *dots;
    uint64_t first = strtoull(text, &dots, 10);
    uint64_t last = strncmp(dots, "..", 2) == 0 ? strtoull(dots + 2, NULL, 10) : first;
    for (uint64_t seed = first; seed <= last && sums->failures < failures; seed++)
        run_seed(sums, seed, false);
}

/* Seeds that nobody has run before: from the clock on, for so long. */
static void run_fresh(struct sums *sums, const char *seconds)
{
    double end = seconds_of(CLOCK_MONOTONIC) + strtod(seconds, NULL);
    uint64_t seed = (uint64_t)time(NULL) * 100000;
    printf("fresh seeds from %" PRIu64 " on\n", seed);
    while (seconds_of(CLOCK_MONOTONIC) < end && sums->failures < FAILURES_MOST)
        run_seed(sums, seed++, false);
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

/* Returns how many kinds were seen too seldom. */
static unsigned print_faults(const struct sums *sums)
{
    unsigned seldom = 0;
    printf("%-34s %10s %8s %7s\n", "fault", "times", "seeds", "%");
    for (enum fault fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        bool rare = sums->seeds >= SHARE_FROM && sums->worlds[fault] * 100 < sums->seeds;
        seldom += rare;
        printf("%-34s %10" PRIu64 " %8" PRIu64 " %7.1f%s\n", fault_name(fault), sums->fired[fault],
               sums->worlds[fault], 100.0 * (double)sums->worlds[fault] / (double)sums->seeds,
               rare ? "  SELDOM: fewer than 1 % of the seeds" : "");
    }
    return seldom;
}

static void print_sums(const struct sums *sums, double seconds, double processor)
{
    printf("%" PRIu64 " seeds, %" PRIu64 " failed, %" PRIu64 " commands, %" PRIu64
           " events in %.1f s\n",
           sums->seeds, sums->failures, sums->commands, sums->events, seconds);
    printf("%.0f events a seed, %.0f seeds a minute of one core\n",
           (double)sums->events / (double)sums->seeds, (double)sums->seeds * 60 / processor);
    printf("%" PRIu64 " of %" PRIu64 " first retries in the first half of their pause\n",
           sums->retries_soon, sums->retries);
    printf("hash %016" PRIx64 "\n", sums->hash);
}

static int usage(void)
{
    fputs(
        "usage: kancel-simulate --seed N [--trace] | --seeds A..B | --until-caught A..B | --fresh "
        "SECONDS | --file SEEDS\n",
        stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct sums sums = {0};
    unsigned seldom = 0;
    signal(SIGABRT, say_seed);
    signal(SIGSEGV, say_seed);
    if (argc < 3)
        return usage();
    double begin = seconds_of(CLOCK_MONOTONIC), processor = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    bool one = strcmp(argv[1], "--seed") == 0;
    if (one)
        run_seed(&sums, strtoull(argv[2], NULL, 10), argc > 3 && strcmp(argv[3], "--trace") == 0);
    else if (strcmp(argv[1], "--seeds") == 0)
        run_range(&sums, argv[2], FAILURES_MOST);
    else if (strcmp(argv[1], "--until-caught") == 0)
        run_range(&sums, argv[2], 1);
    else if (strcmp(argv[1], "--fresh") == 0)
        run_fresh(&sums, argv[2]);
    else if (strcmp(argv[1], "--file") != 0 || run_file(&sums, argv[2]) < 0)
        return usage();
    if (!one)
        seldom = print_faults(&sums);
    print_sums(&sums, seconds_of(CLOCK_MONOTONIC) - begin,
               seconds_of(CLOCK_PROCESS_CPUTIME_ID) - processor);
    return sums.failures || seldom ? 1 : 0;
}
