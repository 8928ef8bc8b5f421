/* SCNet efile: asynchronous file tasks. */
#include <stdlib.h>

#include "worker/providers/account.h"
#include "worker/providers/answer.h"

#include "common/banned.h"

enum { MOST_TASKS = 500 }; /* a call, by the provider's document, which advises 100 */

static const struct option options[] = {
    {.path = "auth.token",
     .type = OPTION_SECRET,
     .required = true,
     .help = "Token (JWT) of the region that the endpoint belongs to, sent as it is; read again "
             "when its file changes."},
    {0},
};

static void *scnet_open(const struct option_values *values, const char *endpoint, struct error *err)
{
    /* The addresses that SCNet lists end in /efile, the paths of its documents begin with it. */
    struct slice base = slice_of_string(endpoint);
    if (slice_ends_with(base, "/efile"))
        base.len -= strlen("/efile");
    if (account_check_secret(values, "auth.token", err) < 0)
        return NULL;
    return account_new(sizeof(struct account_base), values, base, err);
}

static struct task *scnet_task(const void *account, enum operation operation,
                               const struct json_value *json, struct error *err)
{
    static const char *const members[] = {"taskIds", NULL};
    (void)account, (void)operation;
    if (task_check_members(json, members, err) < 0 ||
        task_check_list(json, "taskIds", &id_form_word, MOST_TASKS, err) < 0)
        return NULL;
    const struct json_value *list = json_value_get(json, "taskIds");
    struct task *task = task_new(sizeof *task, json_value_count(list), task_list_bytes(list), err);
    if (task == NULL)
        return NULL;
    char *at = task_texts(task, sizeof *task);
    task_copy_list(task, &at, list);
    task->is_list = true;
    return task;
}

static size_t scnet_most_asks(const void *account, enum operation operation,
                              const struct task *task)
{
    (void)account, (void)operation, (void)task;
    return MOST_TASKS;
}

static bool scnet_can_share(const void *account, enum operation operation, const struct task *a,
                            const struct task *b)
{
    (void)account, (void)operation, (void)a, (void)b;
    return true;
}

static int scnet_request(const void *account, const struct call_purpose *purpose,
                         const struct credential *credential, int64_t wall_ms,
                         struct http_request *request, struct error *err)
{
    const struct account_base *base = account;
    (void)credential, (void)wall_ms;
    request->method = HTTP_POST;
    buffer_append_string(&request->url, base->endpoint);
    buffer_append_string(&request->url, "/efile/openapi/v2/file/task/");
    buffer_append_string(&request->url, purpose->operation == OPERATION_CANCEL ? "cancel" : "list");
    buffer_append_string(http_request_header(request, "Content-Type"), "application/json");
    if (account_add_secret_header(base, "auth.token", request, "token", err) < 0)
        return -1;
    buffer_append_string(&request->body, "{\"taskIds\":");
    if (task_write_asks(&request->body, purpose, err) < 0)
        return -1;
    buffer_append_byte(&request->body, '}');
    return 0;
}

static const char *const code_names[] = {"code", NULL};
static const char *const message_names[] = {"msg", "message", NULL};
static const struct answer_names names = {code_names, message_names};

static const struct code_rule rules[] = {
    {"10001", NULL, VERDICT_UNKNOWN, FAILURE_UNAVAILABLE},
    {"10003", "10004", VERDICT_REFUSED, FAILURE_FORBIDDEN}, /* parameters */
    {"10007", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},    /* user frozen */
    {"10008", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {"10009", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"911009", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"911020", NULL, VERDICT_REFUSED, FAILURE_NOT_FOUND},
    {"911404", NULL, VERDICT_RETRY, FAILURE_UNAVAILABLE},
    {"911406", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {"911048", NULL, VERDICT_RETRY, FAILURE_THROTTLED},
    {"911504", NULL, VERDICT_UNKNOWN, FAILURE_TIMEOUT},
    /* of files and folders, space and permission */
    {"911021", "911034", VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"911501", "911507", VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"911700", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {0},
};

/* The document knows these three, which are final; any other word is a task that goes on. */
static const struct state_word words[] = {
    {"cancel", STATE_CANCELLED},
    {"complete", STATE_SUCCEEDED},
    {"fail", STATE_FAILED},
    {NULL, STATE_RUNNING},
};

static void judge_cancel(const struct answer *answer, const struct json_value *item,
                         enum task_state state, struct verdict *verdict)
{
    bool taken;
    bool past = task_state_is_past_cancelling(state);
    if (!json_value_bool(json_value_get(item, "result"), &taken)) {
        answer_unfit(answer, "the task's result is missing", verdict);
    } else if (taken && past) {
        answer_unfit(answer, "the task's result and status contradict each other", verdict);
    } else if (taken) {
        *verdict = verdict_done(state);
    } else if (state == STATE_CANCELLED) {
        *verdict = verdict_done(state);
        verdict->already_cancelled = true;
    } else if (past) {
        *verdict = answer_refused(answer, FAILURE_NOT_CANCELLABLE, state, true,
                                  state == STATE_FAILED ? "the task had failed"
                                                        : "the task had completed");
    } else {
        *verdict = answer_refused(answer, FAILURE_FORBIDDEN, STATE_UNKNOWN, false,
                                  "the provider did not cancel the task");
    }
}

static void judge_item(const struct answer *answer, const struct json_value *item,
                       struct verdict *verdict)
{
    struct slice word = json_value_text(json_value_get(item, "status"));
    enum task_state state = state_of_word(words, word);
    if (answer->operation == OPERATION_CANCEL)
        judge_cancel(answer, item, state, verdict);
    else if (word.len == 0)
        answer_unfit(answer, "the task's status is missing", verdict);
    else
        *verdict = verdict_done(state);
}

static void judge_items(const struct answer *answer, const struct call_purpose *purpose,
                        struct verdict *verdicts)
{
    const struct json_value *data = json_value_get(answer->root, "data");
    struct verdict verdict;
    struct id_entry *entries;
    size_t count = 0;
    if (json_value_kind(data) != JSON_LIST) {
        answer_unfit(answer, "the answer has no list of tasks", &verdict);
        verdict_fill(verdicts, purpose->count, &verdict);
        return;
    }
    entries = id_entries_of(data, "taskId", &count);
    for (size_t i = 0; i < purpose->count; i++) {
        const struct ask *ask = &purpose->asks[i];
        const struct id_entry *entry = id_entries_find(entries, count, ask->task->ids[ask->index]);
        if (entry != NULL)
            judge_item(answer, entry->value, &verdicts[i]);
        else if (entries == NULL && json_value_count(data) > 0)
            answer_unfit(answer, "out of memory", &verdicts[i]);
        else
            verdicts[i] = answer_refused(answer, FAILURE_NOT_FOUND, STATE_UNKNOWN, true,
                                         "the provider does not know the task");
    }
    free(entries);
}

static void scnet_response(const void *account, const struct call_purpose *purpose,
                           const struct http_response *response, struct verdict *verdicts,
                           struct next_page *next, struct slice *json)
{
    struct answer answer;
    struct verdict verdict;
    (void)next;
    answer_read(&answer, purpose->operation, response, &names,
                account_secret(account, "auth.token"), json);
    if (answer_is_good(&answer) && answer_code_is_zero(&answer)) {
        judge_items(&answer, purpose, verdicts);
    } else {
        answer_failure(&answer, rules, &verdict);
        /* Of several tasks this does not say which. */
        if (purpose->count > 1 && verdict.error.kind == FAILURE_NOT_FOUND) {
            verdict.error.kind = FAILURE_FORBIDDEN;
            verdict.tells_state = false;
        }
        verdict_fill(verdicts, purpose->count, &verdict);
    }
    answer_release(&answer);
}

const struct provider provider_scnet = {
    .name = "scnet",
    .options = options,
    .confirm_default = false,
    .open = scnet_open,
    .close = account_close,
    .task = scnet_task,
    .task_free = task_free_block,
    .most_asks = scnet_most_asks,
    .can_share = scnet_can_share,
    .needs_sign_in = provider_none_needs_sign_in,
    .sign_in = provider_none_sign_in,
    .signed_in = provider_none_signed_in,
    .request = scnet_request,
    .response = scnet_response,
};
