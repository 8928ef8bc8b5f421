/*
 * The engine: decides what happens to every command. A deterministic state machine: records,
 * answers, rebalance events, receipts and ticks come in as calls, each with the time; what is to be
 * done goes out through struct ports. Same inputs and same seed, same outputs. One thread. No I/O,
 * no clock, no Kafka or curl type.
 */
#ifndef KANCEL_WORKER_CORE_ENGINE_H
#define KANCEL_WORKER_CORE_ENGINE_H

#include "worker/core/metrics.h"
#include "worker/core/ports.h"

struct engine;

/* Both are borrowed for the engine's life. `seed` feeds jitter and the tables' hash. NULL: out of
 * memory or a reply_topics pattern is no regular expression (ERROR_INPUT). */
struct engine *engine_new(const struct engine_settings *settings, const struct ports *ports,
                          uint64_t seed, struct error *err);
/* Abandons what is in flight; no port is called. NULL does nothing. */
void engine_free(struct engine *engine);

/* ---- events ---------------------------------------------------------------------------------- */

/* A record of an assigned partition (borrowed for the call). Records of others are ignored. */
void engine_record(struct engine *engine, struct now now, const struct record *record);
/* The answer to a call (borrowed for the call). Unknown ids are ignored. */
void engine_response(struct engine *engine, struct now now, uint64_t call_id,
                     const struct http_response *response);

/* A rebalance gives partitions; engine answers with ports.assign once positions are known. */
void engine_assigned(struct engine *engine, struct now now,
                     const struct topic_partition *partitions, size_t count);
/* A rebalance takes partitions; engine drains, commits and answers with ports.unassign. `lost`:
 * they are somebody else's already, nothing may be committed. */
void engine_revoked(struct engine *engine, struct now now, const struct topic_partition *partitions,
                    size_t count, bool lost);
/* Positions asked by ports.read_positions; a failure was retried by the sink for long: then `err`
 * is set and the engine asks again. */
void engine_positions(struct engine *engine, struct now now, const struct position *positions,
                      size_t count, const struct error *err);
void engine_topic_facts(struct engine *engine, struct now now, const struct topic_facts *facts);
void engine_receipt(struct engine *engine, struct now now, struct batch *batch,
                    enum receipt_kind kind, const struct error *err); /* takes the batch */
void engine_recovered(struct engine *engine, struct now now,
                      const struct error *err); /* err NULL: a new producer is ready */

/* What the consumer's client sees, told every few seconds. Borrowed for the call. */
void engine_consumer_facts(struct engine *engine, struct now now,
                           const struct consumer_facts *facts);

/* The secrets of that account (an index into the settings') are others than before. */
void engine_credentials_changed(struct engine *engine, struct now now, size_t account);

/* Timers: call engine_tick when engine_deadline() (mono_ms; INT64_MAX: none) has come, and after
 * any number of other events. */
void engine_tick(struct engine *engine, struct now now);
int64_t engine_deadline(const struct engine *engine);

/* An operator's switch, at first as the account's setting `hold` says: while it is on, no call of
 * the account starts, its commands wait (their deadlines count). Calls that are out finish. False:
 * there is no such account. */
bool engine_hold_account(struct engine *engine, struct now now, struct slice name, bool on);

/* SIGTERM: takes nothing more, lets calls and confirmations finish within settings->drain_ms,
 * publishes. */
void engine_drain(struct engine *engine, struct now now);
/* True when nothing is in flight and everything decided is committed (or the drain's budget is
 * over: see engine_drain_clean). */
bool engine_drained(const struct engine *engine);
/* After engine_drained: false when the budget was over first. */
bool engine_drain_clean(const struct engine *engine);

/* ---- state to read --------------------------------------------------------------------------- */

enum engine_health {
    ENGINE_STARTING,
    ENGINE_READY,
    ENGINE_BLOCKED,
    ENGINE_STUCK,
    ENGINE_DRAINING,
    ENGINE_FENCED,
    ENGINE_FAILED
};
/* FENCED: a twin took over, leave with exit 4. FAILED: out of memory or Kafka out of use for too
 * long, leave with exit 1. BLOCKED: results or dead letters cannot be published. STUCK: the
 * watchdog found a fault of ours or Kafka's. `reason` (borrowed until the next event, NULL when
 * READY) says why. */
enum engine_health engine_health(const struct engine *engine, const char **reason);

/* Counters and gauges as of now; stuck_partitions as of the watchdog's last look. */
const struct metrics *engine_metrics(const struct engine *engine);

/* False while every account has all its calls out and more to make for a while: records are better
 * left where they are, as all that is taken is looked at several times until it is answered, and
 * many are too many for the processor's caches. A record that comes all the same is taken. */
bool engine_is_hungry(const struct engine *engine);

/* The `most` oldest unanswered commands by when they were received, oldest first; returns how many.
 * Goes through the oldest of each partition, not through all. */
size_t engine_slowest(const struct engine *engine, struct waiting *list, size_t most);
/* The same for people: "its call is out for 12 s". */
void waiting_words(const struct engine *engine, const struct waiting *waiting, struct buffer *out);
/* The ledgers of the partitions that are owned, at most `most`; returns how many. */
size_t engine_ledgers(const struct engine *engine, struct ledger_view *list, size_t most);
/* When the oldest unanswered command was received, mono_ms; INT64_MAX: none. */
int64_t engine_oldest_ms(const struct engine *engine);

#endif
