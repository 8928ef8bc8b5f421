#include <regex.h>

#include "worker/core/state.h"

#include "common/banned.h"

/* What is known of a topic is asked again after so long; a topic found missing sooner. */
enum {
    KNOWN_MS = 60 * 1000,
    MISSING_MS = 5 * 1000,
    UNAVAILABLE_MS = 1000,
    ROUTES_MOST = 4096,
    TOPIC_NAME_MOST = 249
};

struct route {
    UT_hash_handle hh;
    bool known; /* facts hold what was found */
    bool asked; /* a look-up is out */
    bool missing;
    bool forbidden;
    int32_t partitions;
    size_t max_message_bytes;
    int64_t until_ms; /* mono: ask again from then on */
    int64_t lost_ms;  /* mono: when a message last found it gone; 0: never */
    char name[];
};

struct routes {
    const struct engine_settings *settings;
    struct hash_seed seed;
    struct route *table;
    regex_t *patterns; /* of the reply topics that are patterns */
    size_t pattern_count;
};

struct routes *routes_new(const struct engine_settings *settings, struct hash_seed seed,
                          struct error *err)
{
    struct routes *routes = calloc(1, sizeof *routes);
    if (!routes ||
        !(routes->patterns = calloc(settings->reply_topic_count + 1, sizeof *routes->patterns))) {
        free(routes);
        error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    routes->settings = settings;
    routes->seed = seed;
    for (size_t i = 0; i < settings->reply_topic_count; i++) {
        const char *pattern = settings->reply_topics[i];
        if (pattern[0] != '^')
            continue;
        if (regcomp(&routes->patterns[routes->pattern_count], pattern, REG_EXTENDED | REG_NOSUB) !=
            0) {
            error_set(err, ERROR_INPUT,
                      "kafka.reply_topics: '%s' is no regular expression (POSIX extended)",
                      pattern);
            routes_free(routes);
            return NULL;
        }
        routes->pattern_count++;
    }
    return routes;
}

void routes_free(struct routes *routes)
{
    if (!routes)
        return;
    struct route *route, *next;
    HASH_ITER(hh, routes->table, route, next)
    {
        HASH_DEL(routes->table, route);
        free(route);
    }
    for (size_t i = 0; i < routes->pattern_count; i++)
        regfree(&routes->patterns[i]);
    free(routes->patterns);
    free(routes);
}

static struct route *find(struct routes *routes, struct slice name, unsigned *hash)
{
    struct route *route;
    *hash = (unsigned)hash_bytes(&routes->seed, name.data, name.len);
    HASH_FIND_BYHASHVALUE(hh, routes->table, name.data, name.len, *hash, route);
    return route;
}

/* Names come from requesters: what is out of date goes when there are too many. */
static void forget_old(struct engine *engine)
{
    struct route *route, *next;
    HASH_ITER(hh, engine->routes->table, route, next)
    {
        if (route->asked || engine->now.mono_ms < route->until_ms)
            continue;
        HASH_DEL(engine->routes->table, route);
        free(route);
    }
}

static struct route *find_or_add(struct engine *engine, struct slice name)
{
    struct routes *routes = engine->routes;
    unsigned hash;
    struct route *route = find(routes, name, &hash);
    if (route)
        return route;
    if (HASH_COUNT(routes->table) >= ROUTES_MOST)
        forget_old(engine);
    route = calloc(1, sizeof *route + name.len + 1);
    if (!route)
        return NULL;
    memcpy(route->name, name.data, name.len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, routes->table, route->name, name.len, hash, route);
    return route;
}

static bool is_stale(const struct engine *engine, const struct route *route)
{
    return engine->now.mono_ms >= route->until_ms;
}

/* The route, asked for when it is not known or out of date; NULL: no memory. */
static struct route *ask(struct engine *engine, struct slice name)
{
    struct route *route = find_or_add(engine, name);
    if (route && is_stale(engine, route) && !route->asked) {
        route->asked = true;
        engine->ports->look_up_topic(engine->ports->context, route->name);
    }
    return route;
}

/* NULL: not known yet. */
static const struct route *look_up(struct engine *engine, struct slice name)
{
    const struct route *route = ask(engine, name);
    if (!route || !route->known ||
        (is_stale(engine, route) && (route->missing || route->forbidden)))
        return NULL;
    return route;
}

void routes_learn(struct engine *engine, const struct topic_facts *facts)
{
    unsigned hash;
    struct route *route = find(engine->routes, slice_of_string(facts->topic), &hash);
    if (!route)
        return;
    route->asked = false;
    limits_partitions_changed(engine, false);
    if (facts->unavailable) {
        route->until_ms = engine->now.mono_ms + UNAVAILABLE_MS;
        timers_set(&engine->timers, &engine->retry_timer, route->until_ms);
        return;
    }
    route->known = true;
    route->missing = !facts->exists;
    route->forbidden = facts->exists && !facts->writable;
    route->partitions = facts->partitions;
    route->max_message_bytes = facts->max_message_bytes;
    route->until_ms =
        engine->now.mono_ms + (route->missing || route->forbidden ? MISSING_MS : KNOWN_MS);
}

void routes_doubt(struct engine *engine, const char *topic, enum delivery_error why,
                  size_t message_size)
{
    struct route *route = find_or_add(engine, slice_of_string(topic));
    if (!route)
        return;
    int64_t now = engine->now.mono_ms;
    bool again = route->lost_ms != 0 && now - route->lost_ms < KNOWN_MS;
    route->known = true;
    route->until_ms = now + MISSING_MS;
    switch (why) {
    case DELIVERY_NO_TOPIC:
        /* Brokers say so too while they move a partition: asked at once, but the second time within
         * a while the message is believed, whatever the metadata say. */
        route->missing = true;
        route->until_ms = again ? route->until_ms : now;
        route->lost_ms = now;
        break;
    case DELIVERY_FORBIDDEN:
    case DELIVERY_REFUSED:
        route->forbidden = true;
        break;
    case DELIVERY_TOO_LARGE:
        route->max_message_bytes = message_size * 3 / 4;
        break;
    case DELIVERY_OK:
        break;
    }
}

/* ---- the worker's own outputs ---------------------------------------------------------------- */

static const char not_known_yet[] = "the output topics are not known yet";

static const char *output_problem(struct engine *engine, const char *topic, const char *missing,
                                  const char *forbidden)
{
    const struct route *route = ask(engine, slice_of_string(topic));
    if (!route || !route->known)
        return not_known_yet;
    return route->missing ? missing : route->forbidden ? forbidden : NULL;
}

bool routes_outputs_ready(struct engine *engine)
{
    const struct engine_settings *settings = engine->settings;
    const char *was = engine->blocked;
    const char *results =
        output_problem(engine, settings->results_topic, "the results topic does not exist",
                       "the results topic may not be written");
    const char *dead_letters =
        output_problem(engine, settings->dead_letters_topic, "the dead-letter topic does not exist",
                       "the dead-letter topic may not be written");
    engine->blocked = results ? results : dead_letters;
    engine->outputs_known = results != not_known_yet && dead_letters != not_known_yet;
    if (engine->blocked && !timer_is_set(&engine->retry_timer))
        timers_set(&engine->timers, &engine->retry_timer, engine->now.mono_ms + MISSING_MS);
    if (engine->blocked != was && engine->blocked && engine->blocked != not_known_yet)
        LOG(engine, LOG_WARN, "blocked", "reason=\"%s\"", engine->blocked);
    else if (!engine->blocked && was && was != not_known_yet)
        LOG(engine, LOG_INFO, "unblocked", "was=\"%s\"", was);
    return !engine->blocked;
}

int32_t routes_partitions(struct engine *engine, const char *topic, bool anew)
{
    struct route *route = find_or_add(engine, slice_of_string(topic));
    if (route && anew)
        route->until_ms = engine->now.mono_ms;
    look_up(engine, slice_of_string(topic));
    if (!route || !route->known)
        return -1;
    return route->missing ? 0 : route->partitions;
}

size_t routes_dead_letter_limit(struct engine *engine)
{
    unsigned hash;
    const struct route *route =
        find(engine->routes, slice_of_string(engine->settings->dead_letters_topic), &hash);
    return route && route->known ? route->max_message_bytes : LIMIT_TOPIC_MESSAGE_BYTES;
}

/* ---- replies --------------------------------------------------------------------------------- */

static bool allowed(const struct routes *routes, struct slice name)
{
    char topic[TOPIC_NAME_MOST + 1];
    if (!slice_is_word(name, "azAZ09..__--", TOPIC_NAME_MOST))
        return false;
    memcpy(topic, name.data, name.len);
    topic[name.len] = '\0';
    for (size_t i = 0; i < routes->settings->reply_topic_count; i++)
        if (strcmp(routes->settings->reply_topics[i], topic) == 0)
            return true;
    for (size_t i = 0; i < routes->pattern_count; i++)
        if (regexec(&routes->patterns[i], topic, 0, NULL, 0) == 0)
            return true;
    return false;
}

/* NULL: the reply may go there, `route` says what is known of it, NULL if nothing yet. */
static const char *rejection(struct engine *engine, const struct envelope *envelope,
                             const struct route **route)
{
    *route = NULL;
    if (!allowed(engine->routes, envelope->reply_topic))
        return "topic is not allowed";
    if (envelope->reply_partition_malformed)
        return "partition is not 4 bytes";
    *route = look_up(engine, envelope->reply_topic);
    if (!*route)
        return NULL;
    if ((*route)->missing)
        return "topic does not exist";
    if ((*route)->forbidden)
        return "topic may not be written";
    if (envelope->reply_partition >= (*route)->partitions)
        return "partition is out of range";
    return NULL;
}

bool routes_destination(struct engine *engine, const struct job *job,
                        struct destination *destination)
{
    const struct envelope *envelope = &job->command.envelope;
    const struct route *route;
    const char *rejected = NULL;
    *destination = (struct destination){.partition = -1};
    if (envelope->reply_topic.data &&
        !slice_equals(envelope->reply_topic, engine->settings->results_topic)) {
        rejected = job->reply_too_small ? "a result does not fit the topic's max.message.bytes"
                                        : rejection(engine, envelope, &route);
        if (!rejected && !route)
            return false;
        if (!rejected) {
            destination->topic = envelope->reply_topic;
            destination->partition = envelope->reply_partition;
            destination->max_message_bytes = route->max_message_bytes;
            return true;
        }
    }
    route = look_up(engine, slice_of_string(engine->settings->results_topic));
    if (!route || route->missing || route->forbidden)
        return false;
    destination->topic = slice_of_string(engine->settings->results_topic);
    destination->rejected = slice_of_string(rejected);
    destination->max_message_bytes = route->max_message_bytes;
    return true;
}
