/* Huawei Cloud IoTDA: batch tasks and their targets. */
#include <stdlib.h>

#include "worker/providers/account.h"
#include "worker/providers/huawei.h"

#include "common/banned.h"

enum {
    MOST_TARGETS = 1000, /* of a command */
    MOST_TARGETS_A_CALL = 100,
};

static const struct id_form id_form_task = {"af09", 24, "1-24 digits of 0-9 a-f"};
static const struct id_form id_form_instance = {"azAZ09__--", 36,
                                                "1-36 characters of A-Z a-z 0-9 _ -"};
/* Device ids. */
static const struct id_form id_form_target = {"azAZ09__--", 256,
                                              "1-256 characters of A-Z a-z 0-9 _ -"};

struct iotda_account {
    struct account_base base;
    const char *project_id, *instance_id; /* NULL: none */
};

struct iotda_task {
    struct task task; /* ids: the targets, or the task alone */
    struct slice project_id, task_id;
    struct slice instance_id; /* absent: none is sent */
};

static const struct option options[] = {
    {.path = "project_id",
     .type = OPTION_STRING,
     .help = "Project of tasks that do not name one (projectId)."},
    {.path = "instance_id",
     .type = OPTION_STRING,
     .help = "IoTDA instance of tasks that do not name one (instanceId), sent as Instance-Id; "
             "the professional edition needs it."},
    {.path = "region",
     .type = OPTION_STRING,
     .help = "Region of the endpoint, such as cn-north-4. Calls with a token do not need it."},
    {.path = "auth.token",
     .type = OPTION_SECRET,
     .required = true,
     .help = "IAM token, sent as X-Auth-Token; read again when its file changes. Such tokens last "
             "24 hours."},
    {0},
};

static void *iotda_open(const struct option_values *values, const char *endpoint, struct error *err)
{
    const char *project_id, *instance_id, *region;
    if (account_read_id(values, "project_id", &id_form_word, &project_id, err) < 0 ||
        account_read_id(values, "instance_id", &id_form_instance, &instance_id, err) < 0 ||
        account_read_id(values, "region", &id_form_word, &region, err) < 0 ||
        account_check_secret(values, "auth.token", err) < 0)
        return NULL;
    struct iotda_account *account =
        account_new(sizeof *account, values, slice_of_string(endpoint), err);
    if (account == NULL)
        return NULL;
    account->project_id = project_id;
    account->instance_id = instance_id;
    return account;
}

/* Exactly one of targets and all:true, so that a slip never stops more than was meant. */
static int check_selection(const struct json_value *json, struct error *err)
{
    const struct json_value *all = json_value_get(json, "all");
    bool truth;
    if ((all != NULL) == (json_value_get(json, "targets") != NULL))
        return error_set(err, ERROR_INPUT, "task: expected exactly one of targets and all");
    if (all == NULL)
        return task_check_list(json, "targets", &id_form_target, MOST_TARGETS, err);
    if (!json_value_bool(all, &truth) || !truth)
        return error_set(err, ERROR_INPUT, "task.all: expected true");
    return 0;
}

static struct task *iotda_task(const void *opened, enum operation operation,
                               const struct json_value *json, struct error *err)
{
    static const char *const cancel_members[] = {"projectId", "instanceId", "taskId",
                                                 "targets",   "all",        NULL};
    static const char *const status_members[] = {"projectId", "instanceId", "taskId", NULL};
    const struct iotda_account *account = opened;
    bool cancels = operation == OPERATION_CANCEL;
    struct slice project_id, instance_id, task_id;
    if (task_check_members(json, cancels ? cancel_members : status_members, err) < 0 ||
        task_read_id(json, "projectId", &id_form_word, account->project_id, &project_id, err) < 0 ||
        task_read_optional_id(json, "instanceId", &id_form_instance, account->instance_id,
                              &instance_id, err) < 0 ||
        task_read_id(json, "taskId", &id_form_task, NULL, &task_id, err) < 0 ||
        (cancels && check_selection(json, err) < 0))
        return NULL;
    const struct json_value *targets = json_value_get(json, "targets");
    size_t count = targets != NULL ? json_value_count(targets) : 1;
    size_t bytes = project_id.len + instance_id.len + task_id.len + task_list_bytes(targets);
    struct iotda_task *task = (struct iotda_task *)task_new(sizeof *task, count, bytes, err);
    if (task == NULL)
        return NULL;
    char *at = task_texts(&task->task, sizeof *task);
    task->project_id = task_copy(&at, project_id);
    task->instance_id = task_copy(&at, instance_id);
    task->task_id = task_copy(&at, task_id);
    task->task.is_list = targets != NULL;
    task->task.cancel_tells_nothing = cancels && targets == NULL;
    if (targets != NULL)
        task_copy_list(&task->task, &at, targets);
    else
        task->task.ids[0] = task->task_id;
    return &task->task;
}

static size_t iotda_most_asks(const void *account, enum operation operation,
                              const struct task *task)
{
    (void)account;
    return operation == OPERATION_CANCEL && task->is_list ? MOST_TARGETS_A_CALL : 1;
}

static bool iotda_can_share(const void *account, enum operation operation, const struct task *a,
                            const struct task *b)
{
    const struct iotda_task *first = (const struct iotda_task *)a;
    const struct iotda_task *second = (const struct iotda_task *)b;
    (void)account;
    return operation == OPERATION_CANCEL && a->is_list && b->is_list &&
           slice_equal(first->task_id, second->task_id) &&
           slice_equal(first->project_id, second->project_id) &&
           slice_equal(first->instance_id, second->instance_id);
}

/* ---- request ----------------------------------------------------------------------------------
 */

/* One target: the details of a long task hold it somewhere among thousands. */
static void append_target_query(struct buffer *url, const struct call_purpose *purpose)
{
    const struct ask *ask = &purpose->asks[0];
    buffer_append_string(url, "?target=");
    http_append_encoded(url, ask->task->ids[ask->index]);
    if (purpose->cursor.len > 0) {
        buffer_append_string(url, "&limit=50&marker=");
        http_append_encoded(url, purpose->cursor);
    }
}

static int iotda_request(const void *opened, const struct call_purpose *purpose,
                         const struct credential *credential, int64_t wall_ms,
                         struct http_request *request, struct error *err)
{
    const struct iotda_account *account = opened;
    const struct iotda_task *task = (const struct iotda_task *)purpose->asks[0].task;
    bool cancels = purpose->operation == OPERATION_CANCEL;
    struct buffer *url = &request->url;
    (void)credential, (void)wall_ms;
    request->method = cancels ? HTTP_POST : HTTP_GET;
    buffer_append_string(url, account->base.endpoint);
    buffer_append_string(url, "/v5/iot/");
    http_append_encoded(url, task->project_id);
    buffer_append_string(url, "/batchtasks/");
    http_append_encoded(url, task->task_id);
    if (cancels)
        buffer_append_string(url, "/stop");
    else if (task->task.is_list)
        append_target_query(url, purpose);
    if (account_add_secret_header(&account->base, "auth.token", request, "X-Auth-Token", err) < 0)
        return -1;
    if (task->instance_id.len > 0)
        buffer_append_slice(http_request_header(request, "Instance-Id"), task->instance_id);
    if (!cancels)
        return 0;
    buffer_append_string(http_request_header(request, "Content-Type"), "application/json");
    if (!task->task.is_list) {
        buffer_append_string(&request->body, "{}");
        return 0;
    }
    buffer_append_string(&request->body, "{\"targets\":");
    if (task_write_asks(&request->body, purpose, err) < 0)
        return -1;
    buffer_append_byte(&request->body, '}');
    return 0;
}

/* ---- response ---------------------------------------------------------------------------------
 */

static const struct code_rule rules[] = {
    {"IOTDA.000002", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {"IOTDA.000004", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {"IOTDA.000006", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"IOTDA.000008", "IOTDA.000018", VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"IOTDA.000020", NULL, VERDICT_UNKNOWN, FAILURE_UNAVAILABLE},
    {"IOTDA.000021", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"IOTDA.001000", "IOTDA.001007", VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"IOTDA.014016", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"IOTDA.014111", NULL, VERDICT_UNKNOWN, FAILURE_TIMEOUT}, /* in a 200 */
    {"IOTDA.014219", NULL, VERDICT_REFUSED, FAILURE_NOT_FOUND},
    {"IOTDA.014602", "IOTDA.014603", VERDICT_REFUSED, FAILURE_FORBIDDEN},
    /* with HTTP status 403 */
    {"IOTDA.021101", "IOTDA.021102", VERDICT_RETRY, FAILURE_THROTTLED},
    {0},
};

static const struct state_word task_words[] = {
    {"Initializing", STATE_WAITING}, {"Waitting", STATE_WAITING},
    {"Processing", STATE_RUNNING},   {"Success", STATE_SUCCEEDED},
    {"Fail", STATE_FAILED},          {"PartialSuccess", STATE_PARTIAL},
    {"Stopping", STATE_CANCELLING},  {"Stopped", STATE_CANCELLED},
    {NULL, STATE_UNKNOWN},
};

static const struct state_word target_words[] = {
    {"Waitting", STATE_WAITING},
    {"Processing", STATE_RUNNING},
    {"FailWaitRetry", STATE_RUNNING}, /* will be tried again, and can be stopped */
    {"Success", STATE_SUCCEEDED},
    {"Fail", STATE_FAILED},
    {"Stopped", STATE_CANCELLED},
    {"Removed", STATE_CANCELLED}, /* taken out of the task before its turn: it will not be done */
    {NULL, STATE_UNKNOWN},
};

static void judge_stop_target(const struct answer *answer, const struct json_value *item,
                              struct verdict *verdict)
{
    struct slice word = json_value_text(json_value_get(item, "status"));
    struct slice code = json_value_text(json_value_get(item, "error_code"));
    struct slice message = json_value_text(json_value_get(item, "error_msg"));
    if (slice_equals(word, "success")) {
        /* The stop was taken; when the target stops is not said, and a device may first finish. */
        *verdict = verdict_done(STATE_CANCELLING);
        return;
    }
    if (!slice_equals(word, "failure")) {
        answer_unfit(answer, "the target's status is missing", verdict);
        return;
    }
    bool not_found = slice_equals(code, "IOTDA.014219");
    if (message.len == 0)
        message = slice_of_string("the provider did not stop the target");
    *verdict = (struct verdict){.kind = VERDICT_REFUSED, .tells_state = not_found};
    verdict_set_error(verdict, not_found ? FAILURE_NOT_FOUND : FAILURE_FORBIDDEN, code, message,
                      answer->response->status);
}

static void judge_stop_targets(const struct answer *answer, const struct call_purpose *purpose,
                               struct verdict *verdicts)
{
    const struct json_value *targets = json_value_get(answer->root, "targets");
    size_t count = 0;
    struct id_entry *entries = id_entries_of(targets, "target", &count);
    for (size_t i = 0; i < purpose->count; i++) {
        const struct ask *ask = &purpose->asks[i];
        const struct id_entry *entry = id_entries_find(entries, count, ask->task->ids[ask->index]);
        if (entry != NULL)
            judge_stop_target(answer, entry->value, &verdicts[i]);
        else
            answer_unfit(answer, "the answer does not mention the target", &verdicts[i]);
    }
    free(entries);
}

/* Of a stop of all: the document does not say whether `targets` is there. Where it is, and all of
 * them failed, nothing was stopped. */
static void judge_stop_all(const struct answer *answer, struct verdict *verdict)
{
    const struct json_value *targets = json_value_get(answer->root, "targets");
    size_t count = json_value_kind(targets) == JSON_LIST ? json_value_count(targets) : 0;
    *verdict = verdict_done(STATE_UNKNOWN);
    for (size_t i = 0; i < count; i++) {
        struct verdict one;
        judge_stop_target(answer, json_value_at(targets, i), &one);
        if (one.kind != VERDICT_REFUSED) {
            *verdict = verdict_done(STATE_UNKNOWN);
            return;
        }
        *verdict = one;
        verdict->error.kind = FAILURE_FORBIDDEN;
        verdict->tells_state = false;
    }
}

/* A target's own state out of the task's details. Where they lack it, a task that has ended, or is
 * being stopped, or has not begun speaks for its targets; a running one does not. */
static void judge_target_state(const struct answer *answer, const struct call_purpose *purpose,
                               enum task_state task_state, struct verdict *verdict,
                               struct next_page *next)
{
    const struct json_value *details = json_value_get(answer->root, "task_details");
    const struct ask *ask = &purpose->asks[0];
    size_t count = json_value_kind(details) == JSON_LIST ? json_value_count(details) : 0;
    for (size_t i = 0; i < count; i++) {
        const struct json_value *detail = json_value_at(details, i);
        if (slice_equal(json_value_text(json_value_get(detail, "target")),
                        ask->task->ids[ask->index])) {
            *verdict = verdict_done(
                state_of_word(target_words, json_value_text(json_value_get(detail, "status"))));
            return;
        }
    }
    struct slice marker =
        json_value_text(json_value_get(json_value_get(answer->root, "page"), "marker"));
    bool filtered = count == 0;
    if (!filtered && marker.len > 0 && !slice_equal(marker, purpose->cursor))
        buffer_append_slice(&next->cursor, marker);
    if (task_state_is_settled(task_state) || task_state == STATE_CANCELLING ||
        task_state == STATE_WAITING)
        *verdict = verdict_done(task_state);
    else if (task_state == STATE_RUNNING && filtered && json_value_kind(details) == JSON_LIST)
        *verdict = answer_refused(answer, FAILURE_NOT_FOUND, STATE_UNKNOWN, true,
                                  "the target is not in the task");
    else
        *verdict = verdict_done(STATE_UNKNOWN);
}

static void judge_status(const struct answer *answer, const struct call_purpose *purpose,
                         struct verdict *verdict, struct next_page *next)
{
    const struct iotda_task *task = (const struct iotda_task *)purpose->asks[0].task;
    const struct json_value *batch = json_value_get(answer->root, "batchtask");
    const struct json_value *id = json_value_get(batch, "task_id");
    const struct json_value *status = json_value_get(batch, "status");
    if (id != NULL && !slice_equal(json_value_text(id), task->task_id)) {
        answer_unfit(answer, "the answer is about another task", verdict);
    } else if (json_value_kind(status) != JSON_TEXT) {
        answer_unfit(answer, "the answer has no task status", verdict);
    } else {
        enum task_state state = state_of_word(task_words, json_value_text(status));
        if (task->task.is_list)
            judge_target_state(answer, purpose, state, verdict, next);
        else
            *verdict = verdict_done(state);
    }
}

static void iotda_response(const void *opened, const struct call_purpose *purpose,
                           const struct http_response *response, struct verdict *verdicts,
                           struct next_page *next, struct slice *json)
{
    const struct iotda_account *account = opened;
    struct answer answer;
    struct verdict verdict;
    answer_read(&answer, purpose->operation, response, &huawei_names,
                account_secret(&account->base, "auth.token"), json);
    bool good = answer_is_good(&answer) && (!answer.code.data || answer_code_is_zero(&answer));
    if (good && purpose->operation == OPERATION_CANCEL && purpose->asks[0].task->is_list) {
        judge_stop_targets(&answer, purpose, verdicts);
    } else {
        if (!good)
            answer_failure_by(&answer, huawei_rule(rules, answer.code), &verdict);
        else if (purpose->operation == OPERATION_CANCEL)
            judge_stop_all(&answer, &verdict);
        else
            judge_status(&answer, purpose, &verdict, next);
        verdict_fill(verdicts, purpose->count, &verdict);
    }
    answer_release(&answer);
}

const struct provider provider_iotda = {
    .name = "iotda",
    .options = options,
    .confirm_default = true,
    .open = iotda_open,
    .close = account_close,
    .task = iotda_task,
    .task_free = task_free_block,
    .most_asks = iotda_most_asks,
    .can_share = iotda_can_share,
    .needs_sign_in = provider_none_needs_sign_in,
    .sign_in = provider_none_sign_in,
    .signed_in = provider_none_signed_in,
    .request = iotda_request,
    .response = iotda_response,
};
