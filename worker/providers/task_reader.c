#include "worker/providers/task_reader.h"

#include <stdlib.h>
#include "common/nearest.h"

#include "common/banned.h"

const struct id_form id_form_word = {"azAZ09__--", 64, "1-64 characters of A-Z a-z 0-9 _ -"};

struct member_check {
    const char *const *names;
    struct error *err;
    int result;
};

static bool check_member(void *context, struct slice name, const struct json_value *value)
{
    struct member_check *check = context;
    (void)value;
    for (const char *const *known = check->names; *known != NULL; known++)
        if (slice_equals(name, *known))
            return true;
    const char *near = nearest_of(name, check->names);
    bool printable = slice_is_word(name, "azAZ09__--..", 64);
    if (!printable)
        check->result = error_set(check->err, ERROR_INPUT, "task has an unknown member");
    else if (near == NULL)
        check->result =
            error_set(check->err, ERROR_INPUT, "task.%.*s: unknown member", SLICE_ARG(name));
    else
        check->result =
            error_set(check->err, ERROR_INPUT, "task.%.*s: unknown member; did you mean %s?",
                      SLICE_ARG(name), near);
    return false;
}

int task_check_members(const struct json_value *json, const char *const *names, struct error *err)
{
    struct member_check check = {names, err, 0};
    if (json_value_kind(json) != JSON_MAP)
        return error_set(err, ERROR_INPUT, "task: expected an object, not %s",
                         json_value_kind_name(json));
    json_value_each(json, check_member, &check);
    return check.result;
}

static bool fits(const struct json_value *value, const struct id_form *form)
{
    return json_value_kind(value) == JSON_TEXT &&
           slice_is_word(json_value_text(value), form->alphabet, form->most);
}

int task_read_optional_id(const struct json_value *json, const char *name,
                          const struct id_form *form, const char *fallback, struct slice *id,
                          struct error *err)
{
    const struct json_value *value = json_value_get(json, name);
    if (value == NULL) {
        *id = slice_of_string(fallback);
        return 0;
    }
    if (!fits(value, form))
        return error_set(err, ERROR_INPUT, "task.%s: expected a string of %s", name,
                         form->expected);
    *id = json_value_text(value);
    return 0;
}

int task_read_id(const struct json_value *json, const char *name, const struct id_form *form,
                 const char *fallback, struct slice *id, struct error *err)
{
    if (json_value_get(json, name) == NULL && fallback == NULL)
        return error_set(err, ERROR_INPUT, "task.%s: missing; expected a string of %s", name,
                         form->expected);
    return task_read_optional_id(json, name, form, fallback, id, err);
}

int task_check_list(const struct json_value *json, const char *name, const struct id_form *form,
                    size_t most, struct error *err)
{
    const struct json_value *list = json_value_get(json, name);
    size_t count = json_value_count(list);
    if (json_value_kind(list) != JSON_LIST || count < 1 || count > most)
        return error_set(err, ERROR_INPUT, "task.%s: expected a list of 1-%zu strings", name, most);
    struct id_entry *entries = calloc(count, sizeof *entries);
    if (entries == NULL)
        return error_set(err, ERROR_MEMORY, "out of memory");
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        const struct json_value *value = json_value_at(list, i);
        entries[i] = (struct id_entry){json_value_text(value), value, i};
        if (!fits(value, form))
            result = error_set(err, ERROR_INPUT, "task.%s[%zu]: expected a string of %s", name, i,
                               form->expected);
    }
    if (result == 0)
        id_entries_sort(entries, count);
    for (size_t i = 1; i < count && result == 0; i++)
        if (slice_equal(entries[i - 1].id, entries[i].id))
            result = error_set(err, ERROR_INPUT, "task.%s[%zu]: the same id as task.%s[%zu]", name,
                               entries[i].index, name, entries[i - 1].index);
    free(entries);
    return result;
}

struct task *task_new(size_t size, size_t count, size_t text_bytes, struct error *err)
{
    struct task *task = calloc(1, size + count * sizeof(struct slice) + text_bytes);
    if (task == NULL) {
        error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    task->ids = (struct slice *)(void *)((char *)task + size);
    task->count = count;
    return task;
}

void task_free_block(struct task *task)
{
    free(task);
}

char *task_texts(struct task *task, size_t size)
{
    return (char *)task + size + task->count * sizeof(struct slice);
}

struct slice task_copy(char **at, struct slice text)
{
    if (text.data == NULL)
        return text;
    memcpy(*at, text.data, text.len);
    struct slice copy = slice_of(*at, text.len);
    *at += text.len;
    return copy;
}

struct slice task_copy_share(char **at, const struct slice *texts, size_t count)
{
    char *start = *at;
    for (size_t i = 0; i < count; i++) {
        task_copy(at, texts[i]);
        *(*at)++ = '/';
    }
    return slice_of(start, (size_t)(*at - start));
}

size_t task_share_bytes(const struct slice *texts, size_t count)
{
    size_t bytes = count;
    for (size_t i = 0; i < count; i++)
        bytes += texts[i].len;
    return bytes;
}

void task_copy_list(struct task *task, char **at, const struct json_value *list)
{
    for (size_t i = 0; i < task->count; i++)
        task->ids[i] = task_copy(at, json_value_text(json_value_at(list, i)));
}

size_t task_list_bytes(const struct json_value *list)
{
    size_t bytes = 0;
    for (size_t i = 0; i < json_value_count(list); i++)
        bytes += json_value_text(json_value_at(list, i)).len;
    return bytes;
}

static int compare_ids(struct slice a, struct slice b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    int order = both > 0 ? memcmp(a.data, b.data, both) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_entries(const void *left, const void *right)
{
    const struct id_entry *a = left, *b = right;
    int order = compare_ids(a->id, b->id);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

void id_entries_sort(struct id_entry *entries, size_t count)
{
    qsort(entries, count, sizeof *entries, compare_entries);
}

const struct id_entry *id_entries_find(const struct id_entry *entries, size_t count,
                                       struct slice id)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_ids(entries[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && slice_equal(entries[low].id, id) ? &entries[low] : NULL;
}

struct id_entry *id_entries_of(const struct json_value *list, const char *id_name, size_t *count)
{
    size_t most = json_value_kind(list) == JSON_LIST ? json_value_count(list) : 0;
    struct id_entry *entries = most > 0 ? calloc(most, sizeof *entries) : NULL;
    *count = 0;
    for (size_t i = 0; entries != NULL && i < most; i++) {
        const struct json_value *value = json_value_at(list, i);
        struct slice id = json_value_text(json_value_get(value, id_name));
        if (id.len > 0)
            entries[(*count)++] = (struct id_entry){id, value, i};
    }
    if (*count > 1)
        id_entries_sort(entries, *count);
    return entries;
}

int task_write_asks(struct buffer *out, const struct call_purpose *purpose, struct error *err)
{
    struct id_entry *entries = calloc(purpose->count, sizeof *entries);
    if (entries == NULL)
        return error_set(err, ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < purpose->count; i++)
        entries[i] = (struct id_entry){purpose->asks[i].task->ids[purpose->asks[i].index], NULL, i};
    if (purpose->count > 1)
        id_entries_sort(entries, purpose->count);
    char separator = '[';
    for (size_t i = 0; i < purpose->count; i++) {
        struct slice id = purpose->asks[i].task->ids[purpose->asks[i].index];
        if (id_entries_find(entries, purpose->count, id)->index != i)
            continue;
        buffer_append_byte(out, separator);
        json_write_string(out, id);
        separator = ',';
    }
    buffer_append_byte(out, ']');
    free(entries);
    return 0;
}
