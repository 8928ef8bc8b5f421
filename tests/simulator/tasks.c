#include <uthash.h>

#include "tasks.h"

#include "common/banned.h"

struct task_entry {
    UT_hash_handle hh;
    struct task *task;
    char key[]; /* provider's letter, then the id */
};

struct tasks {
    struct task_entry *table;
};

struct tasks *tasks_new(void)
{
    return must(calloc(1, sizeof(struct tasks)));
}

static void task_free(struct task *task)
{
    for (size_t i = 0; i < task->targets_count; i++)
        free(task->targets[i].id);
    free(task->targets);
    json_decref(task->refusal);
    free(task->kind);
    free(task->parent);
    free(task->org);
    free(task);
}

void tasks_clear(struct tasks *tasks)
{
    struct task_entry *entry, *next;
    HASH_ITER(hh, tasks->table, entry, next)
    {
        HASH_DEL(tasks->table, entry);
        task_free(entry->task);
        free(entry);
    }
}

void tasks_free(struct tasks *tasks)
{
    tasks_clear(tasks);
    free(tasks);
}

static struct task_entry *entry_find(struct tasks *tasks, enum provider provider, const char *id)
{
    struct task_entry *entry;
    char key[2 * ID_MAX];
    int len = snprintf(key, sizeof(key), "%d%s", (int)provider, id);
    HASH_FIND(hh, tasks->table, key, (unsigned)len, entry);
    return entry;
}

static struct task *task_add(struct tasks *tasks, enum provider provider, const char *id)
{
    size_t len = strlen(id);
    struct task *task = must(calloc(1, sizeof(*task) + len + 1));
    struct task_entry *entry = must(calloc(1, sizeof(*entry) + len + 2));
    int key_len = snprintf(entry->key, len + 2, "%d%s", (int)provider, id);
    memcpy(task->id, id, len + 1);
    task->provider = provider;
    task->running_ms = -1;
    task->waiting_ms = -1;
    task->ends_as = TASK_SUCCEEDED;
    task->cancelling_ends_as = TASK_CANCELLED;
    entry->task = task;
    HASH_ADD_KEYPTR(hh, tasks->table, entry->key, (unsigned)key_len, entry);
    return task;
}

/* The state that the id itself asks for, see the header. */
static enum task_state state_of_id(const char *id)
{
    static const struct {
        const char *digits;
        enum task_state state;
    } rules[] = {{"102", TASK_WAITING}, {"200", TASK_SUCCEEDED}, {"206", TASK_PARTIAL},
                 {"404", TASK_MISSING}, {"499", TASK_CANCELLED}, {"500", TASK_FAILED}};
    if (strncmp(id, "9990000", 7) != 0)
        return TASK_RUNNING;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strncmp(id + 7, rules[i].digits, 3) == 0)
            return rules[i].state;
    }
    return TASK_RUNNING;
}

static bool target_unsettled(enum task_state state)
{
    return state == TASK_WAITING || state == TASK_RUNNING || state == TASK_RETRYING;
}

static void targets_become(struct task *task, enum task_state state)
{
    for (size_t i = 0; i < task->targets_count; i++) {
        if (target_unsettled(task->targets[i].state))
            task->targets[i].state = state;
    }
}

/* How the targets ended where the task succeeded in part: every other one failed. */
static void targets_end(struct task *task)
{
    for (size_t i = 0; i < task->targets_count; i++) {
        if (target_unsettled(task->targets[i].state))
            task->targets[i].state =
                task->ends_as == TASK_FAILED || (task->ends_as == TASK_PARTIAL && i % 2 == 1)
                    ? TASK_FAILED
                    : TASK_SUCCEEDED;
    }
}

static void task_advance(struct task *task, int64_t now_ms)
{
    for (;;) {
        int64_t lasts_ms = -1;
        enum task_state next = task->state;
        if (task->state == TASK_WAITING) {
            lasts_ms = task->waiting_ms;
            next = TASK_RUNNING;
        } else if (task->state == TASK_RUNNING) {
            lasts_ms = task->running_ms;
            next = task->ends_as;
        } else if (task->state == TASK_CANCELLING) {
            lasts_ms = task->cancelling_ms;
            next = task->cancelling_ends_as;
        }
        if (lasts_ms < 0 || now_ms - task->since_ms < lasts_ms)
            return;
        if (next == TASK_RUNNING)
            targets_become(task, TASK_RUNNING);
        else if (next != TASK_CANCELLED)
            targets_end(task);
        task->state = next;
        task->since_ms += lasts_ms;
    }
}

struct task *tasks_find(struct simulator *simulator, const struct request *request,
                        enum provider provider, const char *id)
{
    struct task_entry *entry = entry_find(simulator->tasks, provider, id);
    struct task *task = entry ? entry->task : NULL;
    if (!task) {
        if (HASH_COUNT(simulator->tasks->table) >= TASKS_MAX)
            return NULL;
        task = task_add(simulator->tasks, provider, id);
        task->state = state_of_id(id);
        if (simulator->options.unknown_missing && task->state == TASK_RUNNING)
            task->state = TASK_MISSING;
        task->since_ms = request->now_ms;
        task->running_ms = simulator->options.running_ms;
        task->cancelling_ms = simulator->options.cancelling_ms;
        task->codes = simulator->options.codes;
        task->data = simulator->options.data;
        task->open_targets = provider == PROVIDER_IOTDA;
    }
    task_advance(task, request->now_ms);
    return task;
}

static void task_become(struct simulator *simulator, const struct request *request, const char *id,
                        enum task_state state)
{
    struct task_entry *entry = entry_find(simulator->tasks, request->provider, id);
    const json_t *targets = json_object_get(request->json, "targets");
    size_t i;
    json_t *one;
    if (!entry)
        return;
    if (!targets) {
        entry->task->state = state;
        entry->task->since_ms = request->now_ms;
        targets_become(entry->task, state);
    }
    json_array_foreach(targets, i, one)
    {
        struct target *target = task_target(entry->task, json_string_value(one));
        if (target)
            target->state = state;
    }
}

void tasks_become(struct simulator *simulator, const struct request *request, enum task_state state)
{
    const char *job = json_string_value(json_object_get(request->json, "jobId"));
    size_t i;
    json_t *one;
    if (job)
        task_become(simulator, request, job, state);
    else if (request->id[0])
        task_become(simulator, request, request->id, state);
    json_array_foreach(json_object_get(request->json, "taskIds"), i, one)
    {
        task_become(simulator, request, json_string_value(one), state);
    }
}

void task_asked(struct task *task, enum operation operation)
{
    size_t at = strlen(task->history);
    if (operation == OPERATION_CANCEL)
        task->cancels_asked++;
    else
        task->statuses_asked++;
    if (at < TASK_HISTORY_MAX)
        task->history[at] = operation == OPERATION_CANCEL ? 'c' : 's';
}

/* The cancel counted last had an effect. */
static void task_applied(struct task *task)
{
    unsigned asked = task->cancels_asked + task->statuses_asked;
    task->cancels_applied++;
    if (asked >= 1 && asked <= TASK_HISTORY_MAX && task->history[asked - 1] == 'c')
        task->history[asked - 1] = 'C';
}

bool task_cancel(struct task *task, const struct request *request, enum task_state into)
{
    if (task->state != TASK_WAITING && task->state != TASK_RUNNING)
        return false;
    if (request->apply) {
        task->state = into;
        task->since_ms = request->now_ms;
        targets_become(task, TASK_CANCELLED);
        task_applied(task);
        task_advance(task, request->now_ms);
    }
    return true;
}

struct target *task_target(struct task *task, const char *id)
{
    for (size_t i = 0; i < task->targets_count; i++) {
        if (strcmp(task->targets[i].id, id) == 0)
            return task->targets[i].state == TASK_MISSING ? NULL : &task->targets[i];
    }
    if (!task->open_targets)
        return NULL;
    if (task->targets_count == task->targets_cap) {
        task->targets_cap = task->targets_cap ? 2 * task->targets_cap : 4;
        task->targets =
            must(reallocarray(task->targets, task->targets_cap, sizeof(*task->targets)));
    }
    task->targets[task->targets_count] = (struct target){must_copy(id), task->state};
    return &task->targets[task->targets_count++];
}

bool task_target_stop(struct task *task, const struct request *request, struct target *target)
{
    if (!target_unsettled(target->state))
        return false;
    if (!request->apply)
        return true;
    target->state = TASK_CANCELLED;
    task_applied(task);
    for (size_t i = 0; i < task->targets_count; i++) {
        if (target_unsettled(task->targets[i].state))
            return true;
    }
    /* The last one: nothing is left to run. An open task may have any number of others. */
    if (!task->open_targets) {
        task->state = TASK_CANCELLED;
        task->since_ms = request->now_ms;
    }
    return true;
}

bool task_second_form(struct task *task, enum form form)
{
    return form == FORM_SECOND || (form == FORM_ALTERNATE && task->flips++ % 2 == 1);
}

static json_t *targets_report(const struct task *task)
{
    json_t *list = json_array();
    for (size_t i = 0; i < task->targets_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "id", task->targets[i].id, "state",
                                              task_state_names[task->targets[i].state]));
    return list;
}

json_t *tasks_report(struct simulator *simulator, int64_t now_ms)
{
    json_t *list = json_array();
    struct task_entry *entry, *next;
    HASH_ITER(hh, simulator->tasks->table, entry, next)
    {
        struct task *task = entry->task;
        task_advance(task, now_ms);
        json_array_append_new(
            list, must(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:o}", "provider",
                                 provider_names[task->provider], "id", task->id, "state",
                                 task_state_names[task->state], "cancels_asked",
                                 (json_int_t)task->cancels_asked, "cancels_applied",
                                 (json_int_t)task->cancels_applied, "statuses_asked",
                                 (json_int_t)task->statuses_asked, "history", task->history,
                                 "targets", targets_report(task))));
    }
    return list;
}

/* ---- POST /_simulator/tasks ---- */

struct script {
    const char *provider, *id, *state, *ends_as, *cancelling_ends_as;
    const char *codes, *data, *kind, *parent, *org;
    json_int_t waiting_ms, running_ms, cancelling_ms;
    json_t *targets, *refusal;
};

static int state_read(const char *name, enum task_state fallback, enum task_state *state,
                      char *problem, size_t problem_size)
{
    int index = name ? name_index(task_state_names, TASK_STATES, name) : (int)fallback;
    if (index < 0) {
        snprintf(problem, problem_size, "state %.32s: unknown", name);
        return -1;
    }
    *state = (enum task_state)index;
    return 0;
}

static int form_read(const char *name, const char *first, const char *second, enum form fallback,
                     enum form *form, char *problem, size_t problem_size)
{
    const char *const names[] = {first, second, "alternate"};
    int index = name ? name_index(names, 3, name) : (int)fallback;
    if (index < 0) {
        snprintf(problem, problem_size, "%.32s: expected %s, %s or alternate", name, first, second);
        return -1;
    }
    *form = (enum form)index;
    return 0;
}

static int targets_read(struct task *task, const json_t *targets, char *problem,
                        size_t problem_size)
{
    size_t i;
    json_t *one;
    task->open_targets = targets == NULL && task->provider == PROVIDER_IOTDA;
    json_array_foreach(targets, i, one)
    {
        bool open = task->open_targets;
        const char *id = json_is_string(one) ? json_string_value(one)
                                             : json_string_value(json_object_get(one, "id"));
        const char *state = json_string_value(json_object_get(one, "state"));
        struct target *target;
        if (!id) {
            snprintf(problem, problem_size, "targets[%zu]: expected an id or {id, state}", i);
            return -1;
        }
        task->open_targets = true;
        target = task_target(task, id);
        task->open_targets = open;
        if (state_read(state, task->state, &target->state, problem, problem_size) != 0)
            return -1;
    }
    return 0;
}

static int script_apply(struct simulator *simulator, struct task *task, const struct script *script,
                        char *problem, size_t size)
{
    task->since_ms = clock_monotonic_ms();
    task->waiting_ms = script->waiting_ms;
    task->running_ms = script->running_ms;
    task->cancelling_ms = script->cancelling_ms;
    task->refusal = json_incref(script->refusal);
    task->kind = script->kind ? must_copy(script->kind) : NULL;
    task->parent = script->parent ? must_copy(script->parent) : NULL;
    task->org = script->org ? must_copy(script->org) : NULL;
    if (state_read(script->state, TASK_RUNNING, &task->state, problem, size) != 0 ||
        state_read(script->ends_as, TASK_SUCCEEDED, &task->ends_as, problem, size) != 0 ||
        state_read(script->cancelling_ends_as, TASK_CANCELLED, &task->cancelling_ends_as, problem,
                   size) != 0 ||
        form_read(script->codes, "usual", "other", simulator->options.codes, &task->codes, problem,
                  size) != 0 ||
        form_read(script->data, "object", "list", simulator->options.data, &task->data, problem,
                  size) != 0)
        return -1;
    return targets_read(task, script->targets, problem, size);
}

static void entry_remove(struct tasks *tasks, struct task_entry *entry)
{
    HASH_DEL(tasks->table, entry);
    task_free(entry->task);
    free(entry);
}

int tasks_script(struct simulator *simulator, const json_t *script, char *problem,
                 size_t problem_size)
{
    struct script values = {.waiting_ms = -1, .running_ms = -1};
    json_error_t error;
    struct task_entry *entry;
    struct task *task;
    int provider;
    values.cancelling_ms = simulator->options.cancelling_ms;
    if (json_unpack_ex(
            (json_t *)(uintptr_t)script, &error, JSON_STRICT,
            "{s:s, s:s, s?s, s?s, s?s, s?s, s?s, s?s, s?s, s?s, s?I, s?I, s?I, s?o, s?o}",
            "provider", &values.provider, "id", &values.id, "state", &values.state, "ends_as",
            &values.ends_as, "cancelling_ends_as", &values.cancelling_ends_as, "codes",
            &values.codes, "data", &values.data, "kind", &values.kind, "parent", &values.parent,
            "org", &values.org, "waiting_ms", &values.waiting_ms, "duration_ms", &values.running_ms,
            "cancelling_ms", &values.cancelling_ms, "targets", &values.targets, "refusal",
            &values.refusal) != 0) {
        snprintf(problem, problem_size, "%s", error.text);
        return -1;
    }
    provider = name_index(provider_names, PROVIDER_IAM, values.provider);
    if (provider < 0 || strlen(values.id) > ID_MAX) {
        snprintf(problem, problem_size, "no such provider, or an id over %d characters", ID_MAX);
        return -1;
    }
    entry = entry_find(simulator->tasks, (enum provider)provider, values.id);
    if (entry)
        entry_remove(simulator->tasks, entry);
    task = task_add(simulator->tasks, (enum provider)provider, values.id);
    if (script_apply(simulator, task, &values, problem, problem_size) != 0) {
        entry_remove(simulator->tasks,
                     entry_find(simulator->tasks, (enum provider)provider, values.id));
        return -1;
    }
    return 0;
}
