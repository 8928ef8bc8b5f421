#include "tests/unit/unit.h"

#include "common/limits.h"
#include "common/rng.h"
#include "worker/core/ledger.h"

#include "common/banned.h"

enum { WINDOW = 1000 };

static struct ledger ledger;
static struct ledger_entry entries[8192];
static struct buffer text;

static enum ledger_origin load(int64_t offset, bool fresh, struct slice metadata)
{
    enum ledger_origin origin;
    ledger_release(&ledger);
    ck_assert_int_eq(ledger_load(&ledger, offset, -1, fresh, metadata, WINDOW, &origin), 0);
    return origin;
}

static void setup(void)
{
    buffer_init(&text, LIMIT_METADATA_BYTES);
    load(0, true, (struct slice){0});
}

static void teardown(void)
{
    ledger_release(&ledger);
    buffer_release(&text);
}

static enum ledger_take take(int64_t offset)
{
    return ledger_take(&ledger, &entries[offset % 8192], offset);
}

static void answer(int64_t offset)
{
    ledger_answer(&ledger, &entries[offset % 8192]);
}

static struct slice encode(bool clean)
{
    buffer_clear(&text);
    ledger_encode(&ledger, WINDOW, clean, &text);
    ck_assert(!buffer_failed(&text));
    return buffer_slice(&text);
}

/* What the next owner does with the offsets from..to - 1: T taken, S suspect, - skipped. */
static const char *next_owner(int64_t from, int64_t to)
{
    static char seen[256];
    size_t count = 0;
    for (int64_t offset = from; offset < to; offset++) {
        enum ledger_take got = take(offset);
        seen[count++] = got == LEDGER_TAKEN ? 'T' : got == LEDGER_SUSPECT ? 'S' : '-';
    }
    seen[count] = '\0';
    return seen;
}

START_TEST(frontier_is_the_lowest_unanswered_offset)
{
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(take(i), LEDGER_TAKEN);
    ck_assert_int_eq(ledger_frontier(&ledger), 0);
    answer(1);
    answer(3);
    ck_assert_int_eq(ledger_frontier(&ledger), 0);
    answer(0);
    ck_assert_int_eq(ledger_frontier(&ledger), 2);
    answer(2);
    answer(4);
    ck_assert_int_eq(ledger_frontier(&ledger), 5);
}
END_TEST

START_TEST(next_owner_skips_what_was_answered_beyond_the_frontier)
{
    for (int i = 0; i < 8; i++)
        take(i);
    answer(1);
    answer(2);
    answer(5);
    struct slice metadata = encode(true);
    int64_t frontier = ledger_frontier(&ledger);
    ck_assert_int_eq(load(frontier, false, metadata), LEDGER_CLEAN);
    ck_assert_str_eq(next_owner(0, 10), "T--TT-TTTT");
}
END_TEST

START_TEST(unclean_handover_makes_a_window_of_suspects)
{
    for (int i = 0; i < 4; i++)
        take(i);
    answer(2);
    struct slice metadata = encode(false);
    ck_assert_int_eq(load(0, false, metadata), LEDGER_UNCLEAN);
    ck_assert_str_eq(next_owner(0, 6), "SS-SSS");
    for (int64_t offset = 6; offset < WINDOW + 1; offset++)
        ck_assert_int_eq(take(offset), LEDGER_SUSPECT);
    ck_assert_int_eq(take(WINDOW + 1), LEDGER_TAKEN);
}
END_TEST

START_TEST(suspects_of_a_larger_window_outlive_an_owner_with_a_smaller_one)
{
    enum ledger_origin origin;
    for (int i = 0; i < 2; i++) { /* two owners with a window of 1, each gone at once */
        struct slice metadata = encode(false);
        if (i > 0) {
            buffer_clear(&text);
            ledger_encode(&ledger, 1, false, &text);
            metadata = buffer_slice(&text);
        }
        ledger_release(&ledger);
        ck_assert_int_eq(ledger_load(&ledger, 0, -1, false, metadata, 1, &origin), 0);
        ck_assert_int_eq(origin, LEDGER_UNCLEAN);
    }
    for (int i = 0; i < WINDOW; i++)
        ck_assert_int_eq(take(i), LEDGER_SUSPECT);
    ck_assert_int_eq(take(WINDOW), LEDGER_TAKEN);
}
END_TEST

START_TEST(what_came_after_the_handover_is_no_suspect)
{
    enum ledger_origin origin;
    take(0);
    struct slice metadata = encode(false);
    ledger_release(&ledger);
    ck_assert_int_eq(ledger_load(&ledger, 0, 3, false, metadata, WINDOW, &origin), 0);
    ck_assert_str_eq(next_owner(0, 5), "SSSTT");
    ck_assert(ledger_is_past_suspects(&ledger));
}
END_TEST

START_TEST(result_in_a_running_transaction_counts_in_what_it_commits)
{
    for (int i = 0; i < 3; i++)
        take(i);
    entries[0].publishing = entries[2].publishing = true;
    ck_assert_int_eq(ledger_frontier(&ledger), 1);
    struct slice metadata = encode(true);
    entries[0].publishing = entries[2].publishing = false; /* aborted */
    ck_assert_int_eq(ledger_frontier(&ledger), 0);
    load(1, false, metadata);
    ck_assert_str_eq(next_owner(1, 4), "T-T");
}
END_TEST

START_TEST(gaps_in_offsets_do_not_stop_the_frontier)
{
    take(10);
    take(20);
    take(30);
    answer(10);
    ck_assert_int_eq(ledger_frontier(&ledger), 20);
    answer(30);
    struct slice metadata = encode(true);
    ck_assert_int_eq(load(20, false, metadata), LEDGER_CLEAN);
    /* 20 was compacted away: the next record is beyond it. */
    ck_assert_int_eq(take(31), LEDGER_TAKEN);
    ck_assert_int_eq(ledger_frontier(&ledger), 31);
}
END_TEST

START_TEST(map_is_carried_over_several_owners)
{
    for (int i = 0; i < 6; i++)
        take(i);
    answer(5);
    answer(3);
    load(0, false, encode(true));
    take(0);
    take(1);
    answer(1);
    struct slice metadata = encode(true);
    load(ledger_frontier(&ledger), false, metadata);
    ck_assert_str_eq(next_owner(0, 7), "T-T-T-T");
}
END_TEST

START_TEST(offset_seen_again_is_skipped)
{
    take(4);
    ck_assert_int_eq(take(4), LEDGER_SKIP);
    ck_assert_int_eq(take(3), LEDGER_SKIP);
}
END_TEST

START_TEST(foreign_and_broken_metadata_is_refused_and_makes_suspects)
{
    static const char *const foreign[] = {"",          "kancel1:",  "kancel1:####", "kancel2:AAAA",
                                          "{\"a\":1}", "bitset:zzz"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        ck_assert_int_eq(load(7, false, slice_of_string(foreign[i])), LEDGER_FOREIGN);
        ck_assert_int_eq(take(7), LEDGER_SUSPECT);
    }
}
END_TEST

/* Of version 1.0: 1,000 to 1,009 taken, 1,002 and 1,005 answered. It stays readable. */
START_TEST(an_old_map_is_read)
{
    static const char map[] = "kancel1:AegHAAAAAAAAA-gGBAAgbbjw4g";
    ck_assert_int_eq(load(1000, false, slice_of_string(map)), LEDGER_CLEAN);
    ck_assert_str_eq(next_owner(1000, 1010), "TT-TT-TTTT");
}
END_TEST

START_TEST(every_changed_byte_of_a_map_is_noticed)
{
    for (int i = 0; i < 50; i++)
        take(i);
    for (int i = 1; i < 50; i += 3)
        answer(i);
    struct slice metadata = encode(true);
    char *copy = slice_dup(metadata);
    for (size_t i = 0; i < metadata.len; i++) {
        char was = copy[i];
        copy[i] = was == 'A' ? 'B' : 'A';
        ck_assert_int_eq(load(0, false, slice_of(copy, metadata.len)), LEDGER_FOREIGN);
        copy[i] = was;
    }
    ck_assert_int_eq(load(0, false, slice_of(copy, metadata.len - 1)), LEDGER_FOREIGN);
    ck_assert_int_eq(load(1, false, slice_of(copy, metadata.len)), LEDGER_FOREIGN);
    ck_assert_int_eq(load(0, false, slice_of(copy, metadata.len)), LEDGER_CLEAN);
    free(copy);
}
END_TEST

START_TEST(worst_map_of_a_full_window_fits)
{
    /* A thousand unanswered offsets spread as far as the ledger lets them. */
    int64_t offset = 0, step = ((int64_t)1 << 32) / WINDOW;
    for (int i = 0; i < WINDOW; i++, offset += step) {
        ck_assert(ledger_fits(&ledger, offset));
        ledger_take(&ledger, &entries[i], offset);
    }
    ledger_take(&ledger, &entries[WINDOW], offset);
    ledger_answer(&ledger, &entries[WINDOW]);
    ck_assert_uint_le(encode(false).len, LIMIT_METADATA_BYTES);
    ck_assert(!ledger_fits(&ledger, offset << 12));
}
END_TEST

START_TEST(whatever_the_ledger_lets_in_fits_and_decodes)
{
    struct rng rng;
    rng_init(&rng, 42);
    for (int round = 0; round < 60; round++) {
        size_t window = 1 + rng_below(&rng, 4000);
        uint64_t stride = 1 + rng_below(&rng, (uint64_t)1 << rng_below(&rng, 34));
        load(0, true, (struct slice){0});
        int64_t offset = (int64_t)rng_below(&rng, 1000);
        size_t taken = 0;
        while (taken < window && ledger_fits(&ledger, offset)) {
            ledger_take(&ledger, &entries[taken++], offset);
            offset += 1 + (int64_t)rng_below(&rng, stride);
        }
        if (taken < 2)
            continue;
        for (size_t i = 1; i < taken; i++)
            if (rng_below(&rng, 8) == 0 || i == taken - 1)
                ledger_answer(&ledger, &entries[i]);
        struct slice metadata = encode(false);
        ck_assert_uint_le(metadata.len, LIMIT_METADATA_BYTES);
        size_t every = taken / 16 + 1, at = 0; /* each look decodes the whole map */
        for (struct ledger_entry *entry = ledger.first; entry; entry = entry->next)
            ck_assert(at++ % every != 0 ||
                      !ledger_committed(ledger_frontier(&ledger), metadata, entry->offset));
        ck_assert(ledger_committed(ledger_frontier(&ledger), metadata, ledger.high - 1));
        ck_assert(!ledger_committed(ledger_frontier(&ledger), metadata, ledger.high));
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("ledger");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, frontier_is_the_lowest_unanswered_offset);
    tcase_add_test(tests, next_owner_skips_what_was_answered_beyond_the_frontier);
    tcase_add_test(tests, unclean_handover_makes_a_window_of_suspects);
    tcase_add_test(tests, suspects_of_a_larger_window_outlive_an_owner_with_a_smaller_one);
    tcase_add_test(tests, what_came_after_the_handover_is_no_suspect);
    tcase_add_test(tests, result_in_a_running_transaction_counts_in_what_it_commits);
    tcase_add_test(tests, gaps_in_offsets_do_not_stop_the_frontier);
    tcase_add_test(tests, map_is_carried_over_several_owners);
    tcase_add_test(tests, offset_seen_again_is_skipped);
    tcase_add_test(tests, foreign_and_broken_metadata_is_refused_and_makes_suspects);
    tcase_add_test(tests, an_old_map_is_read);
    tcase_add_test(tests, every_changed_byte_of_a_map_is_noticed);
    tcase_add_test(tests, worst_map_of_a_full_window_fits);
    tcase_add_test(tests, whatever_the_ledger_lets_in_fits_and_decodes);
    return unit_run("ledger", tests);
}
