/*
 * Parsing when memory runs out at each allocation in turn: the linker puts the functions below
 * before malloc and free.
 */
#include "tests/unit/unit.h"

#include "common/json.h"

#include "common/banned.h"

static bool counting;
static int left; /* allocations that still work */
static int live;

void *__real_malloc(size_t size);
void __real_free(void *piece);
void *__wrap_malloc(size_t size);
void __wrap_free(void *piece);

void *__wrap_malloc(size_t size)
{
    if (!counting)
        return __real_malloc(size);
    if (left == 0)
        return NULL;
    left--;
    live++;
    return __real_malloc(size);
}

void __wrap_free(void *piece)
{
    live -= counting && piece != NULL;
    __real_free(piece);
}

/* The document, more of its blocks, and twice a larger stack of pending values. */
START_TEST(parsing_without_memory_says_so_and_leaves_nothing)
{
    struct buffer text;
    buffer_init(&text, 4096);
    buffer_append_string(&text, "[[\"\\u0061\"");
    for (int i = 0; i < 200; i++)
        buffer_append_string(&text, ",{\"a\":1}");
    buffer_append_string(&text, "]]");
    struct json_document *document = NULL;
    int failures = 0;
    while (document == NULL) {
        struct error err = {0};
        left = failures;
        counting = true;
        document = json_document_parse(buffer_slice(&text), 4096, 9, &err);
        counting = false;
        if (document == NULL) {
            ck_assert_msg(err.kind == ERROR_MEMORY, "%d: %s", failures, err.message);
            ck_assert_int_eq(live, 0);
            failures++;
        }
    }
    ck_assert_int_ge(failures, 4);
    ck_assert_int_gt(live, 0);
    ck_assert_uint_eq(json_value_count(json_value_at(json_document_root(document), 0)), 201);
    counting = true;
    json_document_free(document);
    counting = false;
    ck_assert_int_eq(live, 0);
    buffer_release(&text);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("json_memory");
    tcase_add_test(tests, parsing_without_memory_says_so_and_leaves_nothing);
    return unit_run("common/json_memory", tests);
}
