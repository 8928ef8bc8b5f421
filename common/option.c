#include "common/option.h"

#include <assert.h>

#include "common/option_parse.h"
#include "common/nearest.h"

#include "common/banned.h"

struct pair {
    char *key;           /* MAP: its key; LIST: the item itself */
    struct secret value; /* MAP */
};

struct entry {
    const struct option *row;
    struct entry *next; /* in the order of the tables; never moved, as readers keep pointers */
    bool given;
    char *text;              /* STRING, CHOICE */
    struct secret secret;    /* SECRET */
    int64_t number, number2; /* BOOL, INTEGER, DURATION, RATE; a range's ends */
    struct pair **pairs;     /* LIST, MAP */
    size_t pair_count;
};

struct option_values {
    struct entry *first, **end;
};

static void pair_free(struct pair *pair)
{
    secret_release(&pair->value);
    free(pair->key);
    free(pair);
}

static void clear_pairs(struct entry *entry)
{
    for (size_t i = 0; i < entry->pair_count; i++)
        pair_free(entry->pairs[i]);
    free(entry->pairs);
    entry->pairs = NULL;
    entry->pair_count = 0;
}

static struct entry *find(const struct option_values *values, const char *path)
{
    struct entry *entry = values->first;
    while (entry != NULL && entry->row->path != path) /* callers often have the row's own */
        entry = entry->next;
    if (entry != NULL)
        return entry;
    entry = values->first;
    while (entry != NULL && strcmp(entry->row->path, path) != 0)
        entry = entry->next;
    return entry;
}

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_MEMORY, "out of memory");
}

static int keep_text(struct entry *entry, struct slice text, struct error *err)
{
    if (option_check_text(text, err) != 0)
        return -1;
    char *copy = slice_dup(text);
    if (copy == NULL)
        return out_of_memory(err);
    free(entry->text);
    entry->text = copy;
    return 0;
}

static int keep_list(struct entry *entry, struct slice text, struct error *err)
{
    if (text.data != NULL)
        return error_set(err, ERROR_INPUT, "expected a %s",
                         entry->row->type == OPTION_LIST ? "list" : "mapping");
    clear_pairs(entry);
    return 0;
}

static int keep(struct entry *entry, struct slice text, struct error *err)
{
    const struct option *row = entry->row;
    switch (row->type) {
    case OPTION_STRING:
        return keep_text(entry, text, err);
    case OPTION_CHOICE:
        return option_check_choice(row, text, err) != 0 ? -1 : keep_text(entry, text, err);
    case OPTION_SECRET:
        return secret_set(&entry->secret, text, err);
    case OPTION_BOOL:
        return option_parse_bool(text, &entry->number, err);
    case OPTION_INTEGER:
        return option_parse_integer(row, text, &entry->number, err);
    case OPTION_DURATION:
        return option_parse_duration(row, text, &entry->number, err);
    case OPTION_DURATION_RANGE:
        return option_parse_range(row, text, &entry->number, &entry->number2, err);
    case OPTION_RATE:
        return option_parse_rate(text, &entry->number, err);
    case OPTION_LIST:
    case OPTION_MAP:
        return keep_list(entry, text, err);
    }
    return error_set(err, ERROR_INTERNAL, "option %s has no type", row->path);
}

static int append_pair(struct entry *entry, struct slice key, struct slice value, struct error *err)
{
    struct pair **pairs = realloc(entry->pairs, (entry->pair_count + 1) * sizeof(struct pair *));
    if (pairs == NULL)
        return out_of_memory(err);
    entry->pairs = pairs;
    struct pair *pair = calloc(1, sizeof(*pair));
    if (pair == NULL)
        return out_of_memory(err);
    pair->key = slice_dup(key);
    if (pair->key == NULL) {
        pair_free(pair);
        return out_of_memory(err);
    }
    if (secret_set(&pair->value, value, err) != 0) {
        pair_free(pair);
        return -1;
    }
    entry->pairs[entry->pair_count++] = pair;
    return 0;
}

/* "[a, b]" or "a, b", as a flow sequence is written, without quotes. */
static int default_list(struct entry *entry, struct slice text, struct error *err)
{
    if (text.len >= 2 && text.data[0] == '[' && text.data[text.len - 1] == ']')
        text = slice_of(text.data + 1, text.len - 2);
    struct slice item;
    while (option_next_item(&text, ',', &item)) {
        while (item.len > 0 && item.data[0] == ' ')
            item = slice_of(item.data + 1, item.len - 1);
        if (item.len > 0 && append_pair(entry, item, slice_of(NULL, 0), err) != 0)
            return -1;
    }
    return 0;
}

static int keep_default(struct entry *entry, struct error *err)
{
    if (entry->row->default_text == NULL)
        return 0;
    struct slice text = slice_of_string(entry->row->default_text);
    if (entry->row->type == OPTION_LIST)
        return default_list(entry, text, err);
    if (entry->row->type == OPTION_MAP)
        return 0; /* "{}" is all that a default can be */
    return keep(entry, text, err);
}

struct option_values *option_values_new(const struct option *rows)
{
    struct option_values *values = calloc(1, sizeof(*values));
    if (values == NULL)
        return NULL;
    values->end = &values->first;
    struct error err;
    if (option_values_extend(values, rows, &err) != 0) {
        assert(err.kind == ERROR_MEMORY); /* else a row contradicts itself */
        option_values_free(values);
        return NULL;
    }
    return values;
}

static void entry_free(struct entry *entry)
{
    clear_pairs(entry);
    secret_release(&entry->secret);
    free(entry->text);
    free(entry);
}

void option_values_free(struct option_values *values)
{
    if (values == NULL)
        return;
    while (values->first != NULL) {
        struct entry *entry = values->first;
        values->first = entry->next;
        entry_free(entry);
    }
    free(values);
}

int option_values_extend(struct option_values *values, const struct option *rows, struct error *err)
{
    for (const struct option *row = rows; row->path != NULL; row++) {
        if (find(values, row->path) != NULL)
            return error_set(err, ERROR_INTERNAL, "option %s stands in two tables", row->path);
        struct entry *entry = calloc(1, sizeof(*entry));
        if (entry == NULL)
            return out_of_memory(err);
        entry->row = row;
        if (keep_default(entry, err) != 0) {
            entry_free(entry);
            if (err->kind != ERROR_MEMORY)
                err->kind = ERROR_INTERNAL;
            return error_prefix(err, "default of option %s", row->path);
        }
        *values->end = entry;
        values->end = &entry->next;
    }
    return 0;
}

const struct option *option_values_row(const struct option_values *values, const char *path)
{
    const struct entry *entry = find(values, path);
    return entry == NULL ? NULL : entry->row;
}

const char *option_values_nearest(const struct option_values *values, const char *path)
{
    struct nearest nearest;
    nearest_begin(&nearest, slice_of_string(path));
    for (const struct entry *entry = values->first; entry != NULL; entry = entry->next)
        nearest_offer(&nearest, slice_of_string(entry->row->path));
    return nearest.name.data;
}

static struct entry *find_or_refuse(const struct option_values *values, const char *path,
                                    struct error *err)
{
    struct entry *entry = find(values, path);
    if (entry != NULL)
        return entry;
    const char *nearest = option_values_nearest(values, path);
    if (nearest == NULL)
        error_set(err, ERROR_INPUT, "unknown option");
    else
        error_set(err, ERROR_INPUT, "unknown option; did you mean %s?", nearest);
    return NULL;
}

int option_values_set(struct option_values *values, const char *path, struct slice text,
                      struct error *err)
{
    struct entry *entry = find_or_refuse(values, path, err);
    if (entry == NULL || keep(entry, text, err) != 0)
        return -1;
    entry->given = true;
    return 0;
}

/* What was set takes the default's place instead of joining it. */
static void drop_default(struct entry *entry)
{
    if (!entry->given)
        clear_pairs(entry);
    entry->given = true;
}

int option_values_add(struct option_values *values, const char *path, struct slice item,
                      struct error *err)
{
    struct entry *entry = find_or_refuse(values, path, err);
    if (entry == NULL)
        return -1;
    if (entry->row->type != OPTION_LIST)
        return error_set(err, ERROR_INPUT, "expected a single value, not a list");
    if (option_check_text(item, err) != 0)
        return -1;
    drop_default(entry);
    return append_pair(entry, item, slice_of(NULL, 0), err);
}

int option_values_put(struct option_values *values, const char *path, struct slice key,
                      struct slice value, struct error *err)
{
    struct entry *entry = find_or_refuse(values, path, err);
    if (entry == NULL)
        return -1;
    if (entry->row->type != OPTION_MAP)
        return error_set(err, ERROR_INPUT, "expected a single value, not a mapping");
    if (option_check_text(key, err) != 0)
        return -1;
    drop_default(entry);
    for (size_t i = 0; i < entry->pair_count; i++) {
        if (slice_equals(key, entry->pairs[i]->key))
            return secret_set(&entry->pairs[i]->value, value, err);
    }
    return append_pair(entry, key, value, err);
}

bool option_values_given(const struct option_values *values, const char *path)
{
    const struct entry *entry = find(values, path);
    return entry != NULL && entry->given;
}

static const struct entry *read_entry(const struct option_values *values, const char *path)
{
    const struct entry *entry = find(values, path);
    assert(entry != NULL);
    return entry;
}

const char *option_values_string(const struct option_values *values, const char *path)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_STRING || entry->row->type == OPTION_CHOICE);
    return entry->text;
}

const struct secret *option_values_secret(const struct option_values *values, const char *path)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_SECRET);
    return entry->secret.value == NULL ? NULL : &entry->secret;
}

bool option_values_bool(const struct option_values *values, const char *path)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_BOOL);
    return entry->number != 0;
}

int64_t option_values_integer(const struct option_values *values, const char *path)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_INTEGER || entry->row->type == OPTION_DURATION ||
           entry->row->type == OPTION_RATE);
    return entry->number;
}

void option_values_range(const struct option_values *values, const char *path, int64_t *low,
                         int64_t *high)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_DURATION_RANGE);
    *low = entry->number;
    *high = entry->number2;
}

size_t option_values_count(const struct option_values *values, const char *path)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_LIST || entry->row->type == OPTION_MAP);
    return entry->pair_count;
}

const char *option_values_item(const struct option_values *values, const char *path, size_t index)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_LIST);
    return index < entry->pair_count ? entry->pairs[index]->key : NULL;
}

const char *option_values_key(const struct option_values *values, const char *path, size_t index)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_MAP);
    return index < entry->pair_count ? entry->pairs[index]->key : NULL;
}

const struct secret *option_values_value(const struct option_values *values, const char *path,
                                         size_t index)
{
    const struct entry *entry = read_entry(values, path);
    assert(entry->row->type == OPTION_MAP);
    return index < entry->pair_count ? &entry->pairs[index]->value : NULL;
}
