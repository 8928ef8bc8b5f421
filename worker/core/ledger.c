#include "worker/core/ledger.h"

#include "common/base64.h"
#include "common/digest.h"
#include "common/limits.h"

#include "common/banned.h"

static const char PREFIX[] = "kancel1:";

enum {
    PREFIX_LEN = sizeof PREFIX - 1,
    FLAG_CLEAN = 1,
    CHECKSUM_BYTES = 4,
    /* flags, window, base, span, count, k, checksum at their longest */
    FRAME_BYTES = 1 + 5 + 8 + 10 + 3 + 1 + CHECKSUM_BYTES,
    PAYLOAD_BYTES = (LIMIT_METADATA_BYTES - PREFIX_LEN) / 4 * 3,
    CODE_BITS = (PAYLOAD_BYTES - FRAME_BYTES) * 8,
    K_MOST = 62,
    COUNT_MOST = CODE_BITS, /* a code has at least one bit */
};

/* ---- the map's text -------------------------------------------------------------------------- */

struct map {
    bool clean;
    uint64_t window;
    int64_t base;
    uint64_t span;
    int64_t *offsets;
    size_t count;
};

static void append_varint(struct buffer *out, uint64_t value)
{
    while (value >= 0x80) {
        buffer_append_byte(out, (char)(0x80 | (value & 0x7f)));
        value >>= 7;
    }
    buffer_append_byte(out, (char)value);
}

static bool read_varint(struct slice *in, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        uint8_t byte = (uint8_t)in->data[0];
        in->data++;
        in->len--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

struct bits {
    struct buffer *out; /* writing */
    uint8_t byte;
    unsigned used;
};

static void put_bit(struct bits *bits, unsigned bit)
{
    bits->byte = (uint8_t)((unsigned)bits->byte << 1 | bit);
    if (++bits->used == 8) {
        buffer_append_byte(bits->out, (char)bits->byte);
        bits->used = 0;
        bits->byte = 0;
    }
}

static void put_rice(struct bits *bits, uint64_t value, unsigned k)
{
    for (uint64_t quotient = value >> k; quotient > 0; quotient--)
        put_bit(bits, 1);
    put_bit(bits, 0);
    for (unsigned i = k; i > 0; i--)
        put_bit(bits, (unsigned)(value >> (i - 1)) & 1);
}

/* Most bits that `count` codes with a sum of at most `span` can take. */
static uint64_t code_bits(size_t count, uint64_t span, unsigned k)
{
    return (uint64_t)count * (1 + k) + (span >> k);
}

static unsigned best_k(size_t count, uint64_t span)
{
    unsigned k = 0;
    while (k < K_MOST && code_bits(count, span, k + 1) <= code_bits(count, span, k))
        k++;
    return k;
}

static void map_encode(const struct map *map, struct buffer *out)
{
    struct buffer payload;
    buffer_init(&payload, PAYLOAD_BYTES);
    unsigned k = best_k(map->count, map->span);
    buffer_append_byte(&payload, map->clean ? FLAG_CLEAN : 0);
    append_varint(&payload, map->window);
    for (int shift = 56; shift >= 0; shift -= 8)
        buffer_append_byte(&payload, (char)(uint8_t)((uint64_t)map->base >> shift));
    append_varint(&payload, map->span);
    append_varint(&payload, map->count);
    buffer_append_byte(&payload, (char)k);
    struct bits bits = {.out = &payload};
    int64_t expected = map->base;
    for (size_t i = 0; i < map->count; i++) {
        put_rice(&bits, (uint64_t)(map->offsets[i] - expected), k);
        expected = map->offsets[i] + 1;
    }
    while (bits.used != 0)
        put_bit(&bits, 0);
    uint8_t sum[DIGEST_BYTES];
    digest_sha256(buffer_slice(&payload), sum);
    buffer_append(&payload, sum, CHECKSUM_BYTES);
    out->failed |= buffer_failed(&payload);
    buffer_append(out, PREFIX, PREFIX_LEN);
    base64url_encode(out, buffer_slice(&payload));
    buffer_release(&payload);
}

static bool get_bit(struct slice in, size_t *at, unsigned *bit)
{
    if (*at >= in.len * 8)
        return false;
    *bit = (uint8_t)in.data[*at / 8] >> (7 - *at % 8) & 1;
    ++*at;
    return true;
}

static bool get_rice(struct slice in, size_t *at, unsigned k, uint64_t *value)
{
    uint64_t quotient = 0;
    unsigned bit = 0;
    while (get_bit(in, at, &bit) && bit)
        quotient++;
    if (bit || (k > 0 && quotient > UINT64_MAX >> k))
        return false;
    *value = quotient << k;
    for (unsigned i = k; i > 0; i--) {
        if (!get_bit(in, at, &bit))
            return false;
        *value |= (uint64_t)bit << (i - 1);
    }
    return true;
}

/* The frame: everything before the codes. Leaves `in` at them. */
static bool read_frame(struct slice *in, struct map *map, unsigned *k)
{
    if (in->len < 1)
        return false;
    map->clean = in->data[0] & FLAG_CLEAN;
    in->data++;
    in->len--;
    uint64_t base = 0, count = 0;
    if (!read_varint(in, &map->window) || in->len < 8)
        return false;
    for (int i = 0; i < 8; i++)
        base = base << 8 | (uint8_t)in->data[i];
    in->data += 8;
    in->len -= 8;
    if (!read_varint(in, &map->span) || !read_varint(in, &count) || in->len < 1)
        return false;
    *k = (uint8_t)in->data[0];
    in->data++;
    in->len--;
    map->base = (int64_t)base;
    map->count = (size_t)count;
    return map->base >= 0 && map->span <= (uint64_t)(INT64_MAX - map->base) &&
           count <= COUNT_MOST && *k <= K_MOST;
}

static bool read_offsets(struct slice codes, unsigned k, struct map *map)
{
    size_t at = 0;
    int64_t expected = map->base, end = map->base + (int64_t)map->span;
    for (size_t i = 0; i < map->count; i++) {
        uint64_t distance;
        if (!get_rice(codes, &at, k, &distance) || distance >= (uint64_t)(end - expected))
            return false;
        map->offsets[i] = expected + (int64_t)distance;
        expected = map->offsets[i] + 1;
    }
    return true;
}

/* 1: decoded (caller frees map->offsets), 0: not a map of ours, -1: no memory. */
static int map_decode(struct slice text, int64_t committed, struct map *map)
{
    *map = (struct map){0};
    if (!slice_starts_with(text, PREFIX) || text.len > LIMIT_METADATA_BYTES)
        return 0;
    struct buffer payload;
    buffer_init(&payload, PAYLOAD_BYTES);
    int rc = 0;
    unsigned k;
    uint8_t sum[DIGEST_BYTES];
    if (!base64url_decode(&payload, slice_of(text.data + PREFIX_LEN, text.len - PREFIX_LEN)) ||
        payload.len <= CHECKSUM_BYTES)
        goto done;
    struct slice in = slice_of(payload.data, payload.len - CHECKSUM_BYTES);
    digest_sha256(in, sum);
    if (memcmp(sum, in.data + in.len, CHECKSUM_BYTES) != 0 || !read_frame(&in, map, &k) ||
        map->base != committed)
        goto done;
    map->offsets = calloc(map->count + 1, sizeof *map->offsets);
    if (!map->offsets)
        rc = -1;
    else if (read_offsets(in, k, map))
        rc = 1;
    else
        free(map->offsets);
done:
    buffer_release(&payload);
    return rc;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

int ledger_load(struct ledger *ledger, int64_t offset, int64_t end, bool fresh,
                struct slice metadata, size_t window, enum ledger_origin *origin)
{
    *ledger = (struct ledger){.next = offset, .high = offset, .loaded_high = offset};
    ledger->suspect_end = end < 0 ? INT64_MAX : end;
    if (fresh) {
        *origin = LEDGER_NEW;
        return 0;
    }
    struct map map;
    int decoded = map_decode(metadata, offset, &map);
    if (decoded < 0)
        return -1;
    if (decoded == 0) {
        ledger->suspects = window;
        *origin = LEDGER_FOREIGN;
        return 0;
    }
    ledger->high = ledger->loaded_high = map.base + (int64_t)map.span;
    ledger->pending = map.offsets;
    ledger->pending_count = map.count;
    ledger->suspects = map.clean ? 0 : (size_t)map.window;
    *origin = map.clean ? LEDGER_CLEAN : LEDGER_UNCLEAN;
    return 0;
}

void ledger_release(struct ledger *ledger)
{
    free(ledger->pending);
    *ledger = (struct ledger){0};
}

/* Whether `offset`, below loaded_high, is still to be answered; forgets what lies below it and
 * never came. */
static bool take_pending(struct ledger *ledger, int64_t offset)
{
    while (ledger->pending_first < ledger->pending_count &&
           ledger->pending[ledger->pending_first] < offset)
        ledger->pending_first++;
    if (ledger->pending_first == ledger->pending_count ||
        ledger->pending[ledger->pending_first] != offset)
        return false;
    ledger->pending_first++;
    return true;
}

enum ledger_take ledger_take(struct ledger *ledger, struct ledger_entry *entry, int64_t offset)
{
    if (offset < ledger->next)
        return LEDGER_SKIP;
    ledger->next = offset + 1;
    bool pending = take_pending(ledger, offset);
    if (offset < ledger->loaded_high && !pending)
        return LEDGER_SKIP;
    *entry = (struct ledger_entry){.offset = offset, .previous = ledger->last};
    if (ledger->last)
        ledger->last->next = entry;
    else
        ledger->first = entry;
    ledger->last = entry;
    ledger->taken++;
    if (ledger->suspects == 0 || offset >= ledger->suspect_end)
        return LEDGER_TAKEN;
    ledger->suspects--;
    return LEDGER_SUSPECT;
}

void ledger_answer(struct ledger *ledger, struct ledger_entry *entry)
{
    if (entry->previous)
        entry->previous->next = entry->next;
    else
        ledger->first = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    else
        ledger->last = entry->previous;
    ledger->taken--;
    if (ledger->high <= entry->offset)
        ledger->high = entry->offset + 1;
}

static const struct ledger_entry *first_unanswered(const struct ledger_entry *entry)
{
    while (entry && entry->publishing)
        entry = entry->next;
    return entry;
}

static int64_t first_pending(const struct ledger *ledger)
{
    return ledger->pending_first < ledger->pending_count ? ledger->pending[ledger->pending_first]
                                                         : INT64_MAX;
}

int64_t ledger_frontier(const struct ledger *ledger)
{
    const struct ledger_entry *entry = first_unanswered(ledger->first);
    int64_t pending = first_pending(ledger);
    if (entry)
        return entry->offset < pending ? entry->offset : pending;
    if (pending != INT64_MAX)
        return pending;
    return ledger->next > ledger->high ? ledger->next : ledger->high;
}

/* Entries come before what is pending: offsets arrive in order, so a pending one is above every
 * taken one. */
static size_t list_unanswered(const struct ledger *ledger, int64_t high, int64_t *offsets)
{
    size_t count = 0;
    for (const struct ledger_entry *entry = ledger->first; entry && entry->offset < high;
         entry = entry->next)
        if (!entry->publishing)
            offsets[count++] = entry->offset;
    for (size_t i = ledger->pending_first; i < ledger->pending_count && ledger->pending[i] < high;
         i++)
        offsets[count++] = ledger->pending[i];
    return count;
}

void ledger_encode(const struct ledger *ledger, size_t window, bool clean, struct buffer *out)
{
    struct map map = {.clean = clean, .window = window, .base = ledger_frontier(ledger)};
    int64_t high = ledger->high;
    /* What the last owner may have begun, with a larger window, is still to be asked about. */
    if (!ledger_is_past_suspects(ledger) && ledger->taken + ledger->suspects > window)
        map.window = ledger->taken + ledger->suspects;
    for (const struct ledger_entry *entry = ledger->last; entry; entry = entry->previous) {
        if (entry->publishing && entry->offset >= high) {
            high = entry->offset + 1;
            break;
        }
    }
    if (high < map.base)
        high = map.base;
    map.span = (uint64_t)(high - map.base);
    map.offsets = calloc(ledger->taken + ledger->pending_count + 1, sizeof *map.offsets);
    if (!map.offsets) {
        out->failed = true;
        return;
    }
    map.count = list_unanswered(ledger, high, map.offsets);
    map_encode(&map, out);
    free(map.offsets);
}

bool ledger_fits(const struct ledger *ledger, int64_t offset)
{
    size_t count = ledger->taken + (ledger->pending_count - ledger->pending_first) + 1;
    int64_t high = offset + 1 > ledger->high ? offset + 1 : ledger->high;
    int64_t base = ledger->first ? ledger->first->offset : first_pending(ledger);
    uint64_t span = base < high ? (uint64_t)(high - base) : 1;
    if (span <= CODE_BITS && count <= CODE_BITS - span) /* with k = 0, as nearly always */
        return true;
    return code_bits(count, span, best_k(count, span)) <= CODE_BITS;
}

bool ledger_committed(int64_t committed, struct slice metadata, int64_t offset)
{
    if (offset < committed)
        return true;
    struct map map;
    if (map_decode(metadata, committed, &map) <= 0)
        return false;
    bool answered = offset < map.base + (int64_t)map.span;
    for (size_t i = 0; answered && i < map.count; i++)
        answered = map.offsets[i] != offset;
    free(map.offsets);
    return answered;
}
