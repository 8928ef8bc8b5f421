/*
 * Strict reading of a command's `task`, and the one block a decoded task lives in. Every refusal is
 * ERROR_INPUT and names the member and what was expected. Part of the drivers: nobody else uses it.
 */
#ifndef KANCEL_WORKER_PROVIDERS_TASK_READER_H
#define KANCEL_WORKER_PROVIDERS_TASK_READER_H

#include "worker/providers/provider.h"

/* What a kind of id may look like. */
struct id_form {
    const char *alphabet; /* as of slice_is_word() */
    size_t most;          /* bytes */
    const char *expected; /* "1-64 characters of A-Z a-z 0-9 _ -" */
};

/* A-Z a-z 0-9 _ -, up to 64 bytes: what most ids look like. */
extern const struct id_form id_form_word;

/* `json` is an object without other members than `names` (ended by NULL). */
int task_check_members(const struct json_value *json, const char *const *names,
                       struct error *err) MUST_CHECK;
/* Member `name`, a string of that form; `fallback` where it is left out (NULL: it must be there).
 */
int task_read_id(const struct json_value *json, const char *name, const struct id_form *form,
                 const char *fallback, struct slice *id, struct error *err) MUST_CHECK;
/* The same, but absent where it is left out and there is no fallback. */
int task_read_optional_id(const struct json_value *json, const char *name,
                          const struct id_form *form, const char *fallback, struct slice *id,
                          struct error *err) MUST_CHECK;
/* Checks member `name`: a list of 1..most different strings of that form. */
int task_check_list(const struct json_value *json, const char *name, const struct id_form *form,
                    size_t most, struct error *err) MUST_CHECK;

/* A zeroed block of `size` bytes (the driver's struct, its first member the struct task), followed
 * by `count` ids and room for `text_bytes`; freed by task_free_block(). NULL: ERROR_MEMORY. */
struct task *task_new(size_t size, size_t count, size_t text_bytes, struct error *err) MUST_CHECK;
void task_free_block(struct task *task);
/* Where the texts begin; task_copy() moves it on. */
char *task_texts(struct task *task, size_t size);
/* Copies `text` to *at; the absent slice stays absent. */
struct slice task_copy(char **at, struct slice text);
/* A task's share key of several texts (absent ones too), none of which holds a slash, and the bytes
 * that it takes. */
struct slice task_copy_share(char **at, const struct slice *texts, size_t count);
size_t task_share_bytes(const struct slice *texts, size_t count);
/* Copies the strings of a checked list as the task's ids. */
void task_copy_list(struct task *task, char **at, const struct json_value *list);
/* Bytes of a checked list's strings. */
size_t task_list_bytes(const struct json_value *list);

/* The ids of a call's asks as a JSON list, each once: commands that share a call may name the same.
 */
int task_write_asks(struct buffer *out, const struct call_purpose *purpose,
                    struct error *err) MUST_CHECK;

/* An id and what belongs to it: sorted, for looking up many. */
struct id_entry {
    struct slice id;
    const struct json_value *value;
    size_t index; /* equal ids are in this order */
};
void id_entries_sort(struct id_entry *entries, size_t count);
/* The objects of `list` by their string member `id_name`; others are passed over. To be freed.
 * NULL: none, or out of memory. */
struct id_entry *id_entries_of(const struct json_value *list, const char *id_name, size_t *count);
/* The first of that id; NULL when there is none. */
const struct id_entry *id_entries_find(const struct id_entry *entries, size_t count,
                                       struct slice id);

#endif
