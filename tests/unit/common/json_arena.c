#include "tests/unit/unit.h"
#include <pthread.h>

#include "common/json.h"
#include "common/json_arena.h"

#include "common/banned.h"

/* Each test runs in a process of its own (Check forks), so none sees another's arena. */

START_TEST(without_setup_it_is_plain_malloc)
{
    json_arena_begin();
    char *piece = json_arena_take(10);
    ck_assert_ptr_nonnull(piece);
    ck_assert(!json_arena_holds_all());
    json_arena_give(piece);
    json_arena_end();
}
END_TEST

START_TEST(pieces_are_aligned_and_apart)
{
    json_arena_enable();
    json_arena_begin();
    char *first = json_arena_take(1);
    char *second = json_arena_take(17);
    char *third = json_arena_take(0);
    char *fourth = json_arena_take(1);
    ck_assert_uint_eq((uintptr_t)first % 16, 0);
    ck_assert_ptr_eq(second, first + 16);
    ck_assert_ptr_eq(third, first + 48);
    ck_assert_ptr_eq(fourth, first + 64);
    json_arena_end();
}
END_TEST

START_TEST(the_newest_piece_given_back_makes_room)
{
    json_arena_enable();
    json_arena_begin();
    char *first = json_arena_take(100);
    char *second = json_arena_take(100);
    json_arena_give(second);
    ck_assert_ptr_eq(json_arena_take(50), second);
    json_arena_give(first);
    ck_assert_ptr_ne(json_arena_take(50), first);
    json_arena_end();
}
END_TEST

START_TEST(arena_empties_with_the_last_document_only)
{
    json_arena_enable();
    json_arena_begin();
    char *first = json_arena_take(100);
    json_arena_begin();
    char *second = json_arena_take(100);
    json_arena_end();
    char *third = json_arena_take(100);
    ck_assert_ptr_ne(third, first);
    ck_assert_ptr_ne(third, second);
    json_arena_end();
    json_arena_begin();
    ck_assert_ptr_eq(json_arena_take(100), first);
    json_arena_end();
}
END_TEST

START_TEST(what_does_not_fit_comes_from_malloc)
{
    json_arena_enable();
    json_arena_begin();
    char *small = json_arena_take(100);
    ck_assert(json_arena_holds_all());
    char *large = json_arena_take(JSON_ARENA_BYTES);
    ck_assert_ptr_nonnull(large);
    memset(large, 1, JSON_ARENA_BYTES);
    ck_assert(!json_arena_holds_all());
    ck_assert_ptr_eq(json_arena_take(100), small + 112); /* small ones still fit */
    json_arena_give(large);
    ck_assert(json_arena_holds_all());
    json_arena_end();
}
END_TEST

START_TEST(full_arena_is_used_to_its_end_and_not_beyond)
{
    json_arena_enable();
    json_arena_begin();
    char *start = json_arena_take(JSON_ARENA_BYTES - 16);
    ck_assert_ptr_eq(json_arena_take(16), start + JSON_ARENA_BYTES - 16);
    ck_assert(json_arena_holds_all());
    char *spilled = json_arena_take(1);
    ck_assert(!json_arena_holds_all());
    json_arena_give(spilled);
    json_arena_end();
}
END_TEST

/* Sanitizers end the program where malloc would fail. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
START_TEST(failed_allocation_is_remembered_until_the_next_document)
{
    volatile size_t too_large = PTRDIFF_MAX; /* or the compiler warns of it */
    json_arena_begin();
    ck_assert(!json_arena_ran_out());
    ck_assert_ptr_null(json_arena_take(too_large));
    ck_assert(json_arena_ran_out());
    json_arena_begin();
    ck_assert(!json_arena_ran_out());
    json_arena_end();
    json_arena_end();
}
END_TEST
#endif

START_TEST(outside_of_a_document_it_is_plain_malloc)
{
    json_arena_enable();
    void *piece = json_arena_take(10);
    ck_assert(!json_arena_holds_all());
    json_arena_give(piece);
    ck_assert(json_arena_holds_all());
}
END_TEST

static void *use_arena(void *unused)
{
    (void)unused;
    json_arena_begin();
    char *piece = json_arena_take(100);
    memset(piece, 1, 100);
    bool inside = json_arena_holds_all();
    json_arena_end();
    return inside ? "inside" : NULL;
}

/* That its memory goes with it only the leak sanitizer sees. */
START_TEST(each_thread_has_an_arena_that_ends_with_it)
{
    json_arena_enable();
    json_arena_begin();
    char *ours = json_arena_take(100);
    memset(ours, 2, 100);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        void *inside = NULL;
        ck_assert_int_eq(pthread_create(&thread, NULL, use_arena, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, &inside), 0);
        ck_assert_ptr_nonnull(inside);
    }
    ck_assert_int_eq(ours[0], 2);
    json_arena_end();
}
END_TEST

static struct json_document *parse(struct slice text)
{
    struct error err;
    struct json_document *document = json_document_parse(text, 1 << 20, 32, &err);
    ck_assert_msg(document != NULL, "%s", err.message);
    return document;
}

/* Documents that live across each other's ends, small and larger than the arena, refused ones in
 * between. */
static void *parse_much(void *unused)
{
    (void)unused;
    struct buffer large;
    buffer_init(&large, 1 << 20);
    buffer_append_byte(&large, '[');
    for (int i = 0; i < 20000; i++)
        buffer_append_format(&large, "%s{\"a\":%d}", i > 0 ? "," : "", i);
    buffer_append_byte(&large, ']');
    for (int round = 0; round < 3; round++) {
        struct error err;
        struct json_document *first = parse(slice_of_string("{\"id\": \"c-1\", \"n\": 1e999}"));
        ck_assert_ptr_null(
            json_document_parse(slice_of_string("{\"a\": [1, {\"b\": }]}"), 100, 9, &err));
        struct json_document *second = parse(buffer_slice(&large));
        struct json_document *third = parse(slice_of_string("[7]"));
        json_document_free(first);
        int64_t number = 0;
        const struct json_value *last = json_value_at(json_document_root(second), 19999);
        ck_assert(json_value_int64(json_value_get(last, "a"), &number));
        ck_assert_int_eq(number, 19999);
        json_document_free(second);
        ck_assert(json_value_int64(json_value_at(json_document_root(third), 0), &number));
        ck_assert_int_eq(number, 7);
        json_document_free(third);
    }
    buffer_release(&large);
    return NULL;
}

START_TEST(documents_of_several_threads_live_and_end_in_any_order)
{
    json_setup();
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, parse_much, NULL), 0);
    parse_much(NULL);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

START_TEST(documents_work_without_setup)
{
    parse_much(NULL);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("json_arena");
    tcase_add_test(tests, without_setup_it_is_plain_malloc);
    tcase_add_test(tests, pieces_are_aligned_and_apart);
    tcase_add_test(tests, the_newest_piece_given_back_makes_room);
    tcase_add_test(tests, arena_empties_with_the_last_document_only);
    tcase_add_test(tests, what_does_not_fit_comes_from_malloc);
    tcase_add_test(tests, full_arena_is_used_to_its_end_and_not_beyond);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tests, failed_allocation_is_remembered_until_the_next_document);
#endif
    tcase_add_test(tests, outside_of_a_document_it_is_plain_malloc);
    tcase_add_test(tests, each_thread_has_an_arena_that_ends_with_it);
    tcase_add_test(tests, documents_of_several_threads_live_and_end_in_any_order);
    tcase_add_test(tests, documents_work_without_setup);
    return unit_run("common/json_arena", tests);
}
