#include "common/json.h"

#include <jansson.h>

#include "common/json_arena.h"
#include "common/json_scan.h"

#include "common/banned.h"

/* Reals are whole only as long as a double tells neighbours apart. */
#define MOST_WHOLE_REAL 9007199254740992.0 /* 2^53 */

#if defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZED true
#endif
#elif defined(__SANITIZE_ADDRESS__) /* gcc */
#define ADDRESS_SANITIZED true
#endif
#ifndef ADDRESS_SANITIZED
#define ADDRESS_SANITIZED false
#endif

struct json_document {
    json_t *root;
    struct slice text;
};

void json_setup(void)
{
    json_object_seed(0); /* from the operating system, before threads could race for it */
    json_set_alloc_funcs(json_arena_take, json_arena_give);
    if (!ADDRESS_SANITIZED) /* in an arena it could not see a use of freed memory */
        json_arena_enable();
}

static const char *fault_text(enum json_error_code code)
{
    switch (code) {
    case json_error_stack_overflow:
        return "nested too deeply";
    case json_error_invalid_utf8:
        return "not UTF-8";
    case json_error_premature_end_of_input:
        return "the text ends within a value";
    case json_error_end_of_input_expected:
        return "more text behind the value";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a NUL character in a string";
    case json_error_duplicate_key:
        return "a member name that the object already has";
    case json_error_numeric_overflow:
        return "a number out of range";
    default:
        return "not JSON";
    }
}

/* jansson's own text may quote the input. */
static void explain(const json_error_t *fault, struct error *err)
{
    enum json_error_code code = json_error_code(fault);
    /* jansson takes some allocations that fail for bad syntax; such a text must not count as
     * invalid. */
    if (code == json_error_out_of_memory || json_arena_ran_out())
        error_set(err, ERROR_MEMORY, "out of memory");
    else
        error_set(err, ERROR_INPUT, "line %d, column %d: %s", fault->line, fault->column,
                  fault_text(code));
}

static json_t *load(struct slice text, size_t wide_numbers, struct error *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    json_error_t fault = {0};
    char *copy = NULL;
    if (wide_numbers > 0) {
        copy = json_arena_take(text.len);
        if (copy == NULL) {
            error_set(err, ERROR_MEMORY, "out of memory");
            return NULL;
        }
        memcpy(copy, text.data, text.len);
        json_scan_blunt(copy, text.len);
    }
    json_t *root = json_loadb(copy != NULL ? copy : text.data, text.len, flags, &fault);
    json_arena_give(copy);
    if (root == NULL)
        explain(&fault, err);
    return root;
}

struct json_document *json_document_parse(struct slice text, size_t most_bytes, unsigned most_depth,
                                          struct error *err)
{
    if (text.len > most_bytes) {
        error_set(err, ERROR_INPUT, "%zu bytes; expected at most %zu", text.len, most_bytes);
        return NULL;
    }
    size_t wide_numbers;
    if (json_scan_check(text, most_depth, &wide_numbers, err) != 0)
        return NULL;
    json_arena_begin();
    struct json_document *document = json_arena_take(sizeof(*document));
    if (document == NULL) {
        error_set(err, ERROR_MEMORY, "out of memory");
        goto end;
    }
    document->text = text;
    document->root = load(text, wide_numbers, err);
    if (document->root == NULL)
        goto give;
    return document;

give:
    json_arena_give(document);
end:
    json_arena_end();
    return NULL;
}

void json_document_free(struct json_document *document)
{
    if (document == NULL)
        return;
    if (!json_arena_holds_all())
        json_decref(document->root);
    json_arena_give(document);
    json_arena_end();
}

/* A json_value is jansson's node under another name. */
static const struct json_value *value_of(const json_t *node)
{
    return (const struct json_value *)node;
}

static const json_t *node_of(const struct json_value *value)
{
    return (const json_t *)value;
}

const struct json_value *json_document_root(const struct json_document *document)
{
    return value_of(document->root);
}

struct slice json_document_raw(const struct json_document *document, const char *name)
{
    return json_scan_member(document->text, name);
}

enum json_kind json_value_kind(const struct json_value *value)
{
    if (value == NULL)
        return JSON_NULL_VALUE;
    switch (json_typeof(node_of(value))) {
    case JSON_OBJECT:
        return JSON_MAP;
    case JSON_ARRAY:
        return JSON_LIST;
    case JSON_STRING:
        return JSON_TEXT;
    case JSON_INTEGER:
    case JSON_REAL:
        return JSON_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_BOOL;
    case JSON_NULL:
        break;
    }
    return JSON_NULL_VALUE;
}

const char *json_value_kind_name(const struct json_value *value)
{
    switch (json_value_kind(value)) {
    case JSON_MAP:
        return "an object";
    case JSON_LIST:
        return "an array";
    case JSON_TEXT:
        return "a string";
    case JSON_NUMBER:
        return "a number";
    case JSON_BOOL:
        return "a boolean";
    case JSON_NULL_VALUE:
        break;
    }
    return value == NULL ? "nothing" : "null";
}

const struct json_value *json_value_get(const struct json_value *map, const char *name)
{
    return value_of(json_object_get(node_of(map), name));
}

size_t json_value_count(const struct json_value *list_or_map)
{
    const json_t *node = node_of(list_or_map);
    return json_is_array(node) ? json_array_size(node) : json_object_size(node);
}

const struct json_value *json_value_at(const struct json_value *list, size_t index)
{
    return value_of(json_array_get(node_of(list), index));
}

struct slice json_value_text(const struct json_value *value)
{
    const json_t *node = node_of(value);
    return slice_of(json_string_value(node), json_string_length(node));
}

bool json_value_int64(const struct json_value *value, int64_t *number)
{
    const json_t *node = node_of(value);
    if (json_is_integer(node)) {
        *number = json_integer_value(node);
        return true;
    }
    if (!json_is_real(node))
        return false;
    double real = json_real_value(node);
    if (real < -MOST_WHOLE_REAL || real > MOST_WHOLE_REAL || real != (double)(int64_t)real)
        return false;
    *number = (int64_t)real;
    return true;
}

bool json_value_bool(const struct json_value *value, bool *truth)
{
    if (!json_is_boolean(node_of(value)))
        return false;
    *truth = json_is_true(node_of(value));
    return true;
}

void json_value_each(const struct json_value *map,
                     bool (*visit)(void *context, struct slice name,
                                   const struct json_value *value),
                     void *context)
{
    json_t *object =
        (json_t *)node_of(map); /* jansson's iterators take no const; nothing is changed */
    for (void *iter = json_object_iter(object); iter != NULL;
         iter = json_object_iter_next(object, iter)) {
        struct slice name = slice_of_string(json_object_iter_key(iter));
        if (!visit(context, name, value_of(json_object_iter_value(iter))))
            return;
    }
}
