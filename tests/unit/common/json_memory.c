/*
 * Parsing when memory runs out at each allocation in turn: all of json's memory comes through
 * json_arena.h, whose functions stand here in place of the real ones.
 */
#include "tests/unit/unit.h"

#include "common/json.h"
#include "common/json_arena.h"

#include "common/banned.h"

static int left = -1; /* allocations that still work; -1: all */
static int live;
static int documents;

void json_arena_enable(void)
{
}

void json_arena_begin(void)
{
    documents++;
}

void json_arena_end(void)
{
    documents--;
}

bool json_arena_holds_all(void)
{
    return false;
}

bool json_arena_ran_out(void)
{
    return left == 0;
}

void *json_arena_take(size_t size)
{
    if (left == 0)
        return NULL;
    if (left > 0)
        left--;
    live++;
    return malloc(size > 0 ? size : 1);
}

void json_arena_give(void *piece)
{
    if (piece != NULL)
        live--;
    free(piece);
}

START_TEST(parsing_without_memory_says_so_and_leaves_nothing)
{
    struct slice text = slice_of_string(
        "{\"id\": \"c-1\", \"task\": {\"targets\": [\"d-1\", 2.5, 99999999999999999999, {}]},"
        " \"a\": 1, \"b\": 1, \"c\": 1, \"d\": 1, \"e\": 1, \"f\": 1, \"g\": 1, \"h\": 1, \"i\": "
        "1}");
    json_setup();
    struct json_document *document = NULL;
    int failures = 0;
    while (document == NULL) {
        struct error err = {0};
        left = failures;
        document = json_document_parse(text, 4096, 9, &err);
        if (document == NULL) {
            ck_assert_msg(err.kind == ERROR_MEMORY, "%d: %s", left + failures, err.message);
            ck_assert_int_eq(live, 0);
            ck_assert_int_eq(documents, 0);
            failures++;
        }
    }
    ck_assert_int_gt(failures, 30);
    ck_assert_uint_eq(json_value_count(json_document_root(document)), 11);
    ck_assert_int_eq(documents, 1);
    json_document_free(document);
    ck_assert_int_eq(live, 0);
    ck_assert_int_eq(documents, 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("json_memory");
    tcase_add_test(tests, parsing_without_memory_says_so_and_leaves_nothing);
    return unit_run("common/json_memory", tests);
}
