#include <strings.h>

#include "answer.h"
#include "faults.h"
#include "ledger.h"
#include "provider.h"
#include "tasks.h"

#include "common/banned.h"

enum action {
    ACTION_DELAY, /* the right answer, later */
    ACTION_RESET_BEFORE,
    ACTION_RESET_AFTER,
    ACTION_STATUS,
    ACTION_THROTTLE,
    ACTION_HTTP_500,
    ACTION_CUT_JSON,
    ACTION_CUT_SHORT,
    ACTION_HUGE_BODY,
    ACTION_EXPIRED_TOKEN,
    ACTION_HANG,
    ACTIONS
};

static const struct {
    const char *name;
    bool applies;
} actions[ACTIONS] = {
    [ACTION_DELAY] = {"delay_ms", true},
    [ACTION_RESET_BEFORE] = {"reset_before", false},
    [ACTION_RESET_AFTER] = {"reset_after", true},
    [ACTION_STATUS] = {"status", false},
    [ACTION_THROTTLE] = {"throttle", false},
    [ACTION_HTTP_500] = {"http_500_after_applying", true},
    [ACTION_CUT_JSON] = {"cut_json", true},
    [ACTION_CUT_SHORT] = {"cut_short", true},
    [ACTION_HUGE_BODY] = {"huge_body", false},
    [ACTION_EXPIRED_TOKEN] = {"expired_token", false},
    [ACTION_HANG] = {"hang", false},
};

struct fault {
    struct fault *next;
    int provider, operation; /* -1: any */
    char *path_contains, *task;
    int64_t times, every, matched, fired; /* times -1: always */
    double chance;
    double above_per_s, tokens; /* fires beyond that pace; 0: at any */
    int64_t refilled_ms;
    enum action action;
    bool applies;
    int before, after; /* the state that its tasks take on their own; -1: none */
    int64_t delay_ms, retry_after;
    unsigned status;
    size_t huge_len;
    char *style;
    json_t *body, *headers;
};

struct faults {
    struct fault *first, **end;
};

struct faults *faults_new(void)
{
    struct faults *faults = must(calloc(1, sizeof(*faults)));
    faults->end = &faults->first;
    return faults;
}

static void fault_free(struct fault *fault)
{
    free(fault->path_contains);
    free(fault->task);
    free(fault->style);
    json_decref(fault->body);
    json_decref(fault->headers);
    free(fault);
}

void faults_clear(struct faults *faults)
{
    while (faults->first) {
        struct fault *next = faults->first->next;
        fault_free(faults->first);
        faults->first = next;
    }
    faults->end = &faults->first;
}

void faults_free(struct faults *faults)
{
    faults_clear(faults);
    free(faults);
}

/* ---- reading a rule ---- */

static int match_script(struct fault *fault, json_t *match, char *problem, size_t size)
{
    const char *provider = NULL, *operation = NULL, *path = NULL, *task = NULL;
    json_error_t error;
    fault->provider = fault->operation = -1;
    if (!match)
        return 0;
    if (json_unpack_ex(match, &error, JSON_STRICT, "{s?s, s?s, s?s, s?s}", "provider", &provider,
                       "operation", &operation, "path_contains", &path, "task", &task) != 0) {
        snprintf(problem, size, "match: %s", error.text);
        return -1;
    }
    if (provider)
        fault->provider = name_index(provider_names, PROVIDER_NONE, provider);
    if (operation)
        fault->operation = name_index(operation_names, OPERATIONS, operation);
    if ((provider && fault->provider < 0) || (operation && fault->operation < 0)) {
        snprintf(problem, size, "match: no such provider or operation");
        return -1;
    }
    fault->path_contains = path ? must_copy(path) : NULL;
    fault->task = task ? must_copy(task) : NULL;
    return 0;
}

static int state_script(const char *name, int *state, char *problem, size_t size)
{
    *state = name ? name_index(task_state_names, TASK_STATES, name) : -1;
    if (!name || *state >= 0)
        return 0;
    snprintf(problem, size, "action: no state is called %.32s", name);
    return -1;
}

/* The one action that the object names; a delay or a becoming may stand beside any other. */
static int action_name(struct fault *fault, const json_t *action, char *problem, size_t size)
{
    int found = 0;
    fault->action = ACTION_DELAY;
    for (int i = ACTION_DELAY + 1; i < ACTIONS; i++) {
        const json_t *value = json_object_get(action, actions[i].name);
        if (value && !json_is_false(value)) {
            fault->action = (enum action)i;
            found++;
        }
    }
    bool alone = json_object_get(action, actions[ACTION_DELAY].name) || fault->before >= 0 ||
                 fault->after >= 0;
    if (found > 1 || (found == 0 && !alone)) {
        snprintf(problem, size, "action: expected one action, got %d", found);
        return -1;
    }
    fault->applies = actions[fault->action].applies;
    return 0;
}

static int action_script(struct fault *fault, json_t *action, char *problem, size_t size)
{
    int apply = -1, no_matter = 0;
    json_int_t delay_ms = 0, retry_after = -1, status = 0, huge = 0;
    const char *style = NULL, *before = NULL, *after = NULL;
    json_error_t error;
    if (json_unpack_ex(
            action, &error, JSON_STRICT,
            "{s?I, s?b, s?b, s?I, s?b, s?b, s?b, s?b, s?I, s?b, s?b, s?b, s?I, s?s, s?O, s?O, s?s, "
            "s?s}",
            "delay_ms", &delay_ms, "reset_before", &no_matter, "reset_after", &no_matter, "status",
            &status, "throttle", &no_matter, "http_500_after_applying", &no_matter, "cut_json",
            &no_matter, "cut_short", &no_matter, "huge_body", &huge, "expired_token", &no_matter,
            "hang", &no_matter, "apply", &apply, "retry_after", &retry_after, "style", &style,
            "body", &fault->body, "headers", &fault->headers, "becomes_before", &before, "becomes",
            &after) != 0) {
        snprintf(problem, size, "action: %s", error.text);
        return -1;
    }
    if (state_script(before, &fault->before, problem, size) != 0 ||
        state_script(after, &fault->after, problem, size) != 0 ||
        action_name(fault, action, problem, size) != 0)
        return -1;
    if (fault->action == ACTION_STATUS && (status < 200 || status > 599)) {
        snprintf(problem, size, "action: status: expected 200 to 599");
        return -1;
    }
    if (apply >= 0)
        fault->applies = apply != 0;
    fault->delay_ms = delay_ms;
    fault->retry_after = retry_after;
    fault->status = (unsigned)status;
    fault->huge_len = huge > 1 ? (size_t)huge : 2;
    fault->style = style ? must_copy(style) : NULL;
    return 0;
}

int faults_script(struct simulator *simulator, const json_t *script, char *problem,
                  size_t problem_size)
{
    struct faults *faults = simulator->faults;
    struct fault *fault = must(calloc(1, sizeof(*fault)));
    json_int_t times = 0, every = 1;
    json_t *match = NULL, *action = NULL;
    json_error_t error;
    fault->chance = 1;
    if (json_unpack_ex((json_t *)(uintptr_t)script, &error, JSON_STRICT,
                       "{s?o, s?I, s?I, s?F, s?F, s:o}", "match", &match, "times", &times, "every",
                       &every, "chance", &fault->chance, "above_per_s", &fault->above_per_s,
                       "action", &action) != 0) {
        snprintf(problem, problem_size, "%s", error.text);
        goto refuse;
    }
    /* Without times: once, or for ever where it fires only now and then. */
    if (times == 0)
        times = every > 1 || fault->chance < 1 || fault->above_per_s > 0 ? -1 : 1;
    fault->tokens = fault->above_per_s > 1 ? fault->above_per_s : 1;
    fault->refilled_ms = clock_monotonic_ms();
    fault->times = times;
    fault->every = every > 1 ? every : 1;
    if (match_script(fault, match, problem, problem_size) != 0 ||
        action_script(fault, action, problem, problem_size) != 0)
        goto refuse;
    *faults->end = fault;
    faults->end = &fault->next;
    return 0;
refuse:
    fault_free(fault);
    return -1;
}

/* ---- matching ---- */

/* Whether the request is about this task: in its path, its jobId or its list. */
static bool names_task(const struct request *request, const char *task)
{
    const char *job = json_string_value(json_object_get(request->json, "jobId"));
    size_t i;
    json_t *one;
    if (strcmp(request->id, task) == 0 || (job && strcmp(job, task) == 0))
        return true;
    json_array_foreach(json_object_get(request->json, "taskIds"), i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), task) == 0)
            return true;
    }
    return false;
}

static bool matches(const struct fault *fault, const struct request *request)
{
    return (fault->provider < 0 || fault->provider == (int)request->provider) &&
           (fault->operation < 0 || fault->operation == (int)request->operation) &&
           (!fault->path_contains || strstr(request->uri, fault->path_contains)) &&
           (!fault->task || names_task(request, fault->task));
}

/* Takes a request from a bucket that holds a second's, at least one; true: it was empty. */
static bool is_above(struct fault *fault)
{
    int64_t now = clock_monotonic_ms();
    double most = fault->above_per_s > 1 ? fault->above_per_s : 1;
    fault->tokens += fault->above_per_s * (double)(now - fault->refilled_ms) / 1000;
    fault->refilled_ms = now;
    if (fault->tokens > most)
        fault->tokens = most;
    if (fault->tokens < 1)
        return true;
    fault->tokens--;
    return false;
}

struct fault *faults_match(struct simulator *simulator, const struct request *request)
{
    for (struct fault *fault = simulator->faults->first; fault; fault = fault->next) {
        if ((fault->times >= 0 && fault->fired >= fault->times) || !matches(fault, request))
            continue;
        if (++fault->matched % fault->every != 0)
            continue;
        if (fault->chance < 1 &&
            (double)simulator_random(simulator, 1u << 30) >= fault->chance * (1u << 30))
            continue;
        if (fault->above_per_s > 0 && !is_above(fault))
            continue;
        fault->fired++;
        return fault;
    }
    return NULL;
}

bool fault_applies(const struct fault *fault)
{
    return fault->applies;
}

void fault_before(struct simulator *simulator, const struct fault *fault,
                  const struct request *request)
{
    if (fault->before >= 0)
        tasks_become(simulator, request, (enum task_state)fault->before);
}

/* ---- bending the answer ---- */

static void bend_status(const struct fault *fault, struct answer *answer)
{
    const char *name;
    json_t *value;
    if (json_is_string(fault->body)) {
        const char *text = json_string_value(fault->body);
        answer_text(answer, fault->status, text[0] == '<' ? "text/html" : "text/plain", text);
    } else if (fault->body) {
        answer_json(answer, fault->status, json_incref(fault->body));
    } else {
        answer_empty(answer, fault->status);
    }
    json_object_foreach(fault->headers, name, value)
    {
        if (strcasecmp(name, "Content-Type") == 0)
            answer->content_type = json_string_value(value);
        else
            answer_header(answer, name, json_string_value(value));
    }
}

static void bend_huge(const struct fault *fault, struct answer *answer)
{
    answer_empty(answer, 200);
    answer->content_type = "application/json";
    answer->filler = fault->huge_len;
}

void fault_bend(struct simulator *simulator, const struct fault *fault, struct request *request)
{
    struct answer *answer = &request->answer;
    char seconds[24];
    request->due_ms += fault->delay_ms;
    if (fault->after >= 0)
        tasks_become(simulator, request, (enum task_state)fault->after);
    switch (fault->action) {
    case ACTION_RESET_BEFORE:
    case ACTION_RESET_AFTER:
        answer_empty(answer, 0);
        break;
    case ACTION_STATUS:
        bend_status(fault, answer);
        break;
    case ACTION_THROTTLE:
        provider_rows[request->provider]->throttle(request, fault->style);
        break;
    case ACTION_HTTP_500:
        answer_text(answer, 500, "text/html", "<html><body>Internal Server Error</body></html>");
        break;
    case ACTION_CUT_JSON:
        answer->body_len /= 2;
        break;
    case ACTION_CUT_SHORT:
        answer->break_at = answer->body_len / 2;
        break;
    case ACTION_HUGE_BODY:
        bend_huge(fault, answer);
        break;
    case ACTION_EXPIRED_TOKEN:
        provider_rows[request->provider]->expired(simulator, request);
        break;
    case ACTION_HANG:
        request->hanging = true;
        break;
    case ACTION_DELAY:
    case ACTIONS:
        break;
    }
    if (fault->retry_after >= 0) {
        snprintf(seconds, sizeof(seconds), "%lld", (long long)fault->retry_after);
        answer_header(answer, "Retry-After", seconds);
    }
}

json_t *faults_report(const struct simulator *simulator)
{
    json_t *list = must(json_array());
    for (const struct fault *fault = simulator->faults->first; fault; fault = fault->next)
        json_array_append_new(
            list,
            must(json_pack("{s:s, s:I, s:I}", "action", actions[fault->action].name, "matched",
                           (json_int_t)fault->matched, "fired", (json_int_t)fault->fired)));
    return list;
}
