#include "common/json_value.h"

#include "common/banned.h"

enum json_kind json_value_kind(const struct json_value *value)
{
    return value != NULL ? value->kind : JSON_NULL_VALUE;
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

static const struct json_value *search_index(const struct json_value *map, struct slice name)
{
    const struct json_value **index = json_index_of(map->items, map->count);
    size_t low = 0;
    size_t high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = json_compare_names(index[middle]->name, name);
        if (order == 0)
            return index[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct json_value *json_value_get(const struct json_value *map, const char *name)
{
    struct slice wanted = slice_of_string(name);
    if (json_value_kind(map) != JSON_MAP)
        return NULL;
    if (map->count > JSON_FEW_MEMBERS)
        return search_index(map, wanted);
    for (size_t i = 0; i < map->count; i++) {
        if (slice_equal(map->items[i].name, wanted))
            return &map->items[i];
    }
    return NULL;
}

size_t json_value_count(const struct json_value *list_or_map)
{
    enum json_kind kind = json_value_kind(list_or_map);
    return kind == JSON_LIST || kind == JSON_MAP ? list_or_map->count : 0;
}

const struct json_value *json_value_at(const struct json_value *list, size_t index)
{
    return json_value_kind(list) == JSON_LIST && index < list->count ? &list->items[index] : NULL;
}

struct slice json_value_text(const struct json_value *value)
{
    return json_value_kind(value) == JSON_TEXT ? value->text : slice_of(NULL, 0);
}

bool json_value_int64(const struct json_value *value, int64_t *number)
{
    if (json_value_kind(value) != JSON_NUMBER || !value->holds)
        return false;
    *number = value->number;
    return true;
}

bool json_value_bool(const struct json_value *value, bool *truth)
{
    if (json_value_kind(value) != JSON_BOOL)
        return false;
    *truth = value->holds;
    return true;
}

void json_value_each(const struct json_value *map,
                     bool (*visit)(void *context, struct slice name,
                                   const struct json_value *value),
                     void *context)
{
    if (json_value_kind(map) != JSON_MAP)
        return;
    for (size_t i = 0; i < map->count; i++) {
        if (!visit(context, map->items[i].name, &map->items[i]))
            return;
    }
}
