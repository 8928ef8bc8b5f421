/* What a seed chooses: faults and how often, settings, sizes. Each fault is off in half the seeds,
 * so that combinations vary ("swarm testing"). */
#include "tests/simulation/world.h"

#include <stdlib.h>

#include "common/banned.h"

static const unsigned most_chance[FAULT_COUNT] = {
    [FAULT_NOT_SENT] = 600,
    [FAULT_TIMEOUT_BEFORE] = 400,
    [FAULT_TIMEOUT_AFTER] = 400,
    [FAULT_TIMEOUT_LATE] = 300,
    [FAULT_RESET_BEFORE] = 500,
    [FAULT_RESET_AFTER] = 500,
    [FAULT_5XX_BEFORE] = 500,
    [FAULT_5XX_AFTER] = 500,
    [FAULT_429] = 500,
    [FAULT_RETRY_AFTER] = 200,
    [FAULT_CODE_IN_200] = 300,
    [FAULT_HTML] = 300,
    [FAULT_CUT_JSON] = 300,
    [FAULT_204] = 300,
    [FAULT_TOO_LARGE] = 300,
    [FAULT_PAGE] = 3000,
    [FAULT_CREDENTIAL] = 200,
    [FAULT_SIGN_IN] = 2000,
    [FAULT_ABORT] = 1000,
    [FAULT_UNKNOWN_DONE] = 500,
    [FAULT_UNKNOWN_NOT] = 500,
    [FAULT_READ_FAILS] = 3000,
    [FAULT_LOOK_UP_FAILS] = 2000,
    [FAULT_CRASH] = 300,
    [FAULT_DRAIN] = 300,
    [FAULT_LOST] = 300,
    [FAULT_TWIN] = 200,
    [FAULT_PAUSE] = 200,
    [FAULT_STALL] = 300,
    [FAULT_CLOCK] = 300,
    [FAULT_RESULTS_GONE] = 150,
    [FAULT_DEAD_GONE] = 100,
    [FAULT_REFUSED] = 150,
    [FAULT_FORBIDDEN] = 150,
    [FAULT_LIMIT] = 400,
    [FAULT_RETENTION] = 100,
    [FAULT_HOLD] = 100,
    [FAULT_HANG] = 20,
};

static void choose_faults(struct world *world)
{
    bool quiet = world->seed % 16 == 0; /* some worlds are kind */
    for (enum fault fault = 0; fault < FAULT_COUNT; fault++)
        if (most_chance[fault] && !quiet && world_percent(world, 50))
            world->plan.chance[fault] = 1 + (unsigned)rng_below(&world->rng, most_chance[fault]);
}

static unsigned any(struct world *world, int64_t low, int64_t high)
{
    return (unsigned)world_between(world, low, high);
}

static void choose_sizes(struct world *world)
{
    struct plan *plan = &world->plan;
    plan->workers = world_percent(world, 20) ? 1 : any(world, 2, PLACES_MOST);
    plan->partitions = any(world, 1, PARTITIONS_MOST);
    plan->keys = any(world, 1, KEYS_MOST);
    plan->commands = world_percent(world, 50) ? any(world, 60, 600) : any(world, 700, 3700);
    plan->production_ms = world_between(world, 500, 90000);
    plan->null_keys = any(world, 0, 1) * any(world, 0, 60);
    plan->invalid = any(world, 0, 1) * any(world, 0, 20);
    plan->cancels = any(world, 40, 100);
    plan->settled = any(world, 0, 1) * any(world, 0, 50);
    plan->expiring = any(world, 0, 1) * any(world, 0, 50);
    plan->replies = any(world, 0, 1) * any(world, 0, 50);
    plan->gaps = any(world, 0, 1) * any(world, 0, 50);
    plan->missing = any(world, 0, 10);
    plan->ended = any(world, 0, 20);
    plan->providers = any(world, 1, (1 << ACCOUNT_COUNT) - 1);
    plan->ends_unknown = world_percent(world, 20);
    plan->windows_differ = world_percent(world, 30);
    plan->protocol = (enum protocol)any(world, PROTOCOL_EAGER, PROTOCOL_CONSUMER);
    plan->at_least_once = world_percent(world, 25);
    plan->events = any(world, 0, 1) * any(world, 0, 60);
    plan->wide = world_percent(world, 6);
    plan->contexts = any(world, 0, 1) * any(world, 5, 30);
    plan->fixed = world_percent(world, 40);
    if (!plan->fixed)
        plan->chance[FAULT_TWIN] = 0;
    plan->latency_ms = world_between(world, 1, world_percent(world, 50) ? 50 : 1000);
    plan->task_ms = world_between(world, 1000, 60000);
}

static void choose_account(struct world *world, struct account_settings *account)
{
    account->limits.concurrency = any(world, 1, world_percent(world, 50) ? 3 : 50);
    account->limits.rate_per_1000s =
        world_percent(world, 50) ? 0 : world_between(world, 2000, 200000);
    account->limits.share_group = account->limits.rate_per_1000s > 0 && world_percent(world, 30);
    account->overflow = world_percent(world, 15) ? OVERFLOW_FAIL : OVERFLOW_WAIT;
    account->limits.batch = any(world, 1, 10);
    account->limits.timeout_ms = world_between(world, 200, 5000);
    account->limits.connect_timeout_ms = 1000;
    account->limits.adaptive = world_percent(world, 70);
    account->breaker = (struct breaker_settings){.failures = any(world, 0, 1) * any(world, 20, 100),
                                                 .minimum = any(world, 1, 10),
                                                 .window_ms = world_between(world, 500, 20000),
                                                 .probe_low_ms = world_between(world, 50, 2000)};
    account->breaker.probe_high_ms = account->breaker.probe_low_ms * any(world, 1, 5);
    account->retry.attempts = any(world, 1, 6);
    account->retry.backoff_low_ms = world_between(world, 10, 500);
    account->retry.backoff_high_ms = account->retry.backoff_low_ms * any(world, 1, 20);
    account->retry.give_up_after_ms = world_between(world, 2000, 300000);
    account->settle.poll_low_ms = world_between(world, 50, 1000);
    account->settle.poll_high_ms = account->settle.poll_low_ms * any(world, 1, 10);
    account->settle.limit_ms = world_between(world, 1000, 60000);
    static const char *topics[] = {"cmd"};
    account->allow.operations = 3;
    if (world_percent(world, 5)) {
        account->allow.topics = topics;
        account->allow.topic_count = 1;
    }
    account->confirm = account->provider->confirm_default;
    if (world_percent(world, 20))
        account->confirm = !account->confirm;
}

/* Many unanswered commands far apart, in few partitions. */
static void widen(struct world *world)
{
    world->plan.gaps = 100;
    world->plan.partitions = 1;
    world->plan.null_keys = 100;
    world->plan.commands = any(world, 1500, 2500);
    world->plan.production_ms = world_between(world, 500, 5000);
    world->settings.window = 2000;
    world->settings.command_topic_count = 1;
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        world->accounts[i].overflow = OVERFLOW_WAIT;
}

void plan_make(struct world *world)
{
    static const char *reply_topics[] = {"^reply\\..*"};
    static const char *command_topics[] = {"cmd", "more"};
    static const enum ordering orders[] = {ORDERING_KEY,  ORDERING_KEY,       ORDERING_KEY,
                                           ORDERING_TASK, ORDERING_PARTITION, ORDERING_NONE};
    choose_faults(world);
    choose_sizes(world);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        choose_account(world, &world->accounts[i]);
    world->settings = (struct engine_settings){
        .group = "g",
        .command_topics = command_topics,
        .command_topic_count = world->plan.partitions > 1 ? 2 : 1,
        .bytes = world_percent(world, 25) ? (size_t)world_between(world, 20000, 500000) : 0,
        .results_topic = "results",
        .dead_letters_topic = "dead",
        .reply_topics = reply_topics,
        .reply_topic_count = 1,
        .headers = envelope_headers_default,
        .delivery = world->plan.at_least_once ? DELIVERY_AT_LEAST_ONCE : DELIVERY_EXACTLY_ONCE,
        .ordering = orders[rng_below(&world->rng, 6)],
        .calls = any(world, 1, world_percent(world, 30) ? 4 : 200),
        .window = any(world, 1, world_percent(world, 50) ? 8 : 200),
        .drain_ms = world_between(world, 500, 25000),
        .stuck_after_ms = world_between(world, 1000, 60000),
        .revoke_drain_ms = world_between(world, 50, 4000),
        .max_age_ms = world_percent(world, 20) ? world_between(world, 5000, 100000) : 0,
        .accounts = world->accounts,
        .account_count = ACCOUNT_COUNT};
    if (world->plan.wide)
        widen(world);
}

/* ---- accounts ---------------------------------------------------------------------------------
 */

static void tell_mistake(void *context, const char *path, const char *message)
{
    world_fail(context, "an account's %s: %s", path, message);
}

void plan_open_accounts(struct world *world)
{
    static const struct {
        const char *name, *endpoint, *settings[5];
    } rows[ACCOUNT_COUNT] = {
        [ENOS] = {"enos",
                  "https://enos.sim",
                  {"org_id=o1", "auth.app_key=key", "auth.app_secret=hush"}},
        [SCNET] = {"scnet", "https://scnet.sim", {"auth.token=hush"}},
        [IOTDA] = {"iotda", "https://iotda.sim", {"auth.token=hush", "project_id=p1"}},
        [KOODRIVE] = {"koodrive", "https://koodrive.sim", {"auth.token=hush"}},
    };
    struct error err = {0};
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        struct account_settings *account = &world->accounts[i];
        account->name = rows[i].name;
        account->endpoint = rows[i].endpoint;
        account->provider = provider_find(slice_of_string(rows[i].name));
        world->values[i] = option_values_new(account->provider->options);
        for (const char *const *at = rows[i].settings; *at; at++) {
            const char *equals = strchr(*at, '=');
            char *path = slice_dup(slice_of(*at, (size_t)(equals - *at)));
            if (option_values_set(world->values[i], path, slice_of_string(equals + 1), &err) < 0)
                world_fail(world, "account %s: %s: %s", account->name, path, err.message);
            free(path);
        }
        struct mistakes mistakes = {tell_mistake, world, 0};
        account->opened = account->provider->open(world->values[i], account->endpoint, &mistakes);
    }
}

void plan_close_accounts(struct world *world)
{
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        if (world->accounts[i].opened)
            world->accounts[i].provider->close(world->accounts[i].opened);
        option_values_free(world->values[i]);
    }
}
