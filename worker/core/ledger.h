/*
 * Which offsets of one partition are answered. Kafka commits one number a partition; kancel
 * finishes out of order. So the commit's offset is the *frontier* (everything below it is answered)
 * and the commit's metadata is the *map*: the unanswered offsets below the highest answered one.
 * The next owner starts at the frontier, skips what the map says is answered and takes the rest.
 *
 * The map's text, at most LIMIT_METADATA_BYTES by construction, is "kancel1:" and base64url of:
 *   flags (1 byte, bit 0: clean) | varint window (how many records from the frontier on may be
 * begun) | base (8 bytes, big-endian, equals the commit's offset) | varint span | varint count | k
 * (1 byte) | `count` Rice codes of parameter k | checksum (first 4 bytes of SHA-256 of all before)
 * span is highest answered offset + 1 - base. The first code is the first unanswered offset - base,
 * each further one the distance to the one before - 1. A Rice code is the quotient in unary (ones,
 * then a zero) and k low bits; `count` codes whose values sum to at most `span` take at most count
 * * (1 + k) + span / 2^k bits for whichever k is best: ledger_fits() asks that bound before an
 * offset is taken. 1,000 unanswered offsets over a span of 2^32 fit.
 *
 * Gaps in offsets (transaction markers, compaction, retention) are normal: an offset of the map
 * that never comes is gone.
 */
#ifndef KANCEL_WORKER_CORE_LEDGER_H
#define KANCEL_WORKER_CORE_LEDGER_H

#include "common/buffer.h"

/* One offset taken and not yet answered; lives in its command. */
struct ledger_entry {
    struct ledger_entry *previous, *next;
    int64_t offset;
    bool publishing; /* its result is in the batch that is out: counted as answered in what that
                        batch commits */
};

struct ledger {
    struct ledger_entry *first, *last; /* ascending */
    size_t taken;                      /* entries */
    int64_t next;                      /* highest offset seen or loaded as seen, + 1 */
    int64_t high;                      /* highest answered offset + 1 */
    int64_t loaded_high; /* of the map that was loaded: offsets below are answered unless in
                            `pending` */
    int64_t *pending; /* unanswered offsets of the loaded map that have not come yet, ascending */
    size_t pending_count, pending_first;
    size_t suspects; /* how many of the records to come may have been taken by the last owner, */
    int64_t suspect_end; /* but none from this offset on: it was not there yet */
};

/* What the metadata of a commit said. */
enum ledger_origin {
    LEDGER_NEW,     /* nothing was ever committed */
    LEDGER_CLEAN,   /* the last owner left nothing begun */
    LEDGER_UNCLEAN, /* the last owner may have begun what is not answered */
    LEDGER_FOREIGN, /* metadata missing, broken or not ours: treated as unclean with our own window
                     */
};

/* `offset` and `metadata` as committed (`fresh`: nothing was). `end` is the partition's end offset
 * when they were read (negative: not known): the last owner cannot have taken what came later.
 * `window` is this worker's own, for foreign metadata. Never fails on any bytes; only for lack of
 * memory (-1). */
int ledger_load(struct ledger *ledger, int64_t offset, int64_t end, bool fresh,
                struct slice metadata, size_t window, enum ledger_origin *origin) MUST_CHECK;
void ledger_release(struct ledger *ledger);

enum ledger_take {
    LEDGER_TAKEN,   /* entry is linked */
    LEDGER_SUSPECT, /* entry is linked; the last owner may have begun it */
    LEDGER_SKIP,    /* answered before, or seen already */
};
/* Offsets come in ascending order. */
enum ledger_take ledger_take(struct ledger *ledger, struct ledger_entry *entry, int64_t offset);
/* Answered for good (its commit is known to be there), or given up with its partition. */
void ledger_answer(struct ledger *ledger, struct ledger_entry *entry);

/* True when no record to come can have been taken by the last owner. */
static inline bool ledger_is_past_suspects(const struct ledger *ledger)
{
    return ledger->suspects == 0 || ledger->next >= ledger->suspect_end;
}

/* What a commit made now would carry: entries marked `publishing` count as answered. */
int64_t ledger_frontier(const struct ledger *ledger);
/* Appends the map's text for ledger_frontier(). */
void ledger_encode(const struct ledger *ledger, size_t window, bool clean, struct buffer *out);
/* False when taking `offset` could make a map that does not fit: pause the partition. */
bool ledger_fits(const struct ledger *ledger, int64_t offset);

/* True when a commit with this offset and metadata (read back) contains the answer of `offset`. */
bool ledger_committed(int64_t committed, struct slice metadata, int64_t offset);

#endif
