/* Huawei Cloud KooDrive: jobs. */
#include <stdlib.h>

#include "worker/providers/account.h"
#include "worker/providers/huawei.h"

#include "common/banned.h"

static const struct id_form id_form_job = {"09", 32, "1-32 digits"};

struct koodrive_account {
    struct account_base base;
    const char *user_id; /* NULL: none */
};

static const struct option options[] = {
    {.path = "user_id",
     .type = OPTION_STRING,
     .help = "KooDrive user of tasks that do not name one (userId). A token already says whose it "
             "is, so calls with one do not send it."},
    {.path = "auth.token",
     .type = OPTION_SECRET,
     .required = true,
     .help =
         "Value of the Authorization header, sent exactly as given, scheme included; read again "
         "when its file changes."},
    {0},
};

static void *koodrive_open(const struct option_values *values, const char *endpoint,
                           struct error *err)
{
    const char *user_id;
    if (account_read_id(values, "user_id", &id_form_word, &user_id, err) < 0 ||
        account_check_secret(values, "auth.token", err) < 0)
        return NULL;
    struct koodrive_account *account =
        account_new(sizeof *account, values, slice_of_string(endpoint), err);
    if (account != NULL)
        account->user_id = user_id;
    return account;
}

static struct task *koodrive_task(const void *opened, enum operation operation,
                                  const struct json_value *json, struct error *err)
{
    static const char *const members[] = {"jobId", "userId", NULL};
    const struct koodrive_account *account = opened;
    struct slice job_id, user_id;
    if (task_check_members(json, members, err) < 0 ||
        task_read_id(json, "jobId", &id_form_job, NULL, &job_id, err) < 0 ||
        task_read_optional_id(json, "userId", &id_form_word, account->user_id, &user_id, err) < 0)
        return NULL;
    struct task *task = task_new(sizeof *task, 1, job_id.len, err);
    if (task == NULL)
        return NULL;
    char *at = task_texts(task, sizeof *task);
    task->ids[0] = task_copy(&at, job_id);
    task->cancel_tells_nothing = operation == OPERATION_CANCEL;
    return task;
}

static size_t koodrive_most_asks(const void *account, enum operation operation,
                                 const struct task *task)
{
    (void)account, (void)operation, (void)task;
    return 1;
}

static int koodrive_request(const void *opened, const struct call_purpose *purpose,
                            const struct credential *credential, int64_t wall_ms,
                            struct http_request *request, struct error *err)
{
    const struct koodrive_account *account = opened;
    struct slice job_id = purpose->asks[0].task->ids[0];
    bool cancels = purpose->operation == OPERATION_CANCEL;
    (void)credential, (void)wall_ms;
    request->method = cancels ? HTTP_POST : HTTP_GET;
    buffer_append_string(&request->url, account->base.endpoint);
    buffer_append_string(&request->url, "/koodrive/ose/v1/");
    if (cancels)
        buffer_append_string(&request->url, "cancel");
    else
        http_append_encoded(&request->url, job_id);
    if (account_add_secret_header(&account->base, "auth.token", request, "Authorization", err) < 0)
        return -1;
    if (!cancels)
        return 0;
    buffer_append_string(http_request_header(request, "Content-Type"), "application/json");
    buffer_append_string(&request->body, "{\"jobId\":");
    json_write_string(&request->body, job_id);
    buffer_append_byte(&request->body, '}');
    return 0;
}

static const struct code_rule rules[] = {
    {"13000101", "13000102", VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"13000201", NULL, VERDICT_UNKNOWN, FAILURE_UNAVAILABLE},
    {"13000309", NULL, VERDICT_REFUSED, FAILURE_NOT_FOUND},
    /* of spaces, files, uploads, downloads; 13000410 is no permission */
    {"13000301", "13000312", VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"13000401", "13000414", VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {0},
};

static bool is_digits(struct slice text, size_t len)
{
    return text.len == len && slice_is_word(text, "09", len);
}

/* HTTP 400 stands for "authentication not passed" unless a code of the service's or the gateway's
 * says something else. */
static bool is_unauthenticated(const struct answer *answer)
{
    if (answer->response->result != HTTP_ANSWERED || answer->response->status != 400)
        return false;
    return !is_digits(answer->code, 8) && !huawei_code_is_gateways(answer->code);
}

static void judge_failure(const struct answer *answer, struct verdict *verdict)
{
    answer_failure_by(answer, huawei_rule(rules, answer->code), verdict);
    if (!is_unauthenticated(answer))
        return;
    verdict->kind = VERDICT_RENEW;
    verdict->error.kind = FAILURE_UNAUTHORIZED;
}

static void judge_status(const struct answer *answer, struct verdict *verdict)
{
    static const enum task_state states[] = {STATE_WAITING, STATE_RUNNING, STATE_SUCCEEDED,
                                             STATE_CANCELLED};
    const struct json_value *data = answer_single(json_value_get(answer->root, "data"));
    const struct json_value *info = answer_single(json_value_get(data, "jobInfo"));
    int64_t status, result;
    if (!answer_number(json_value_get(info, "status"), &status)) {
        answer_unfit(answer, "the answer has no job status", verdict);
        return;
    }
    enum task_state state = status < 4 ? states[status] : STATE_UNKNOWN;
    /* Completed says that it ended, taskResultCode how: 1 all, 2 partly, 3 nothing succeeded. */
    if (state == STATE_SUCCEEDED && answer_number(json_value_get(info, "taskResultCode"), &result))
        state = result == 2 ? STATE_PARTIAL : result == 3 ? STATE_FAILED : STATE_SUCCEEDED;
    *verdict = verdict_done(state);
}

/* The document shows a cancel's success as {"code":0,"msg":..}, and its table lists `data`, a
 * string, alone. */
static bool is_success(const struct answer *answer)
{
    if (!answer_is_good(answer))
        return false;
    if (answer->code.data != NULL)
        return answer_code_is_zero(answer);
    return answer->operation == OPERATION_CANCEL &&
           json_value_kind(json_value_get(answer->root, "data")) == JSON_TEXT;
}

static void koodrive_response(const void *opened, const struct call_purpose *purpose,
                              const struct http_response *response, struct verdict *verdicts,
                              struct next_page *next, struct slice *json)
{
    const struct koodrive_account *account = opened;
    struct answer answer;
    struct verdict verdict;
    (void)next;
    answer_read(&answer, purpose->operation, response, &huawei_names,
                account_secret(&account->base, "auth.token"), json);
    if (!is_success(&answer))
        judge_failure(&answer, &verdict);
    else if (purpose->operation == OPERATION_CANCEL)
        verdict = verdict_done(STATE_UNKNOWN);
    else
        judge_status(&answer, &verdict);
    answer_release(&answer);
    verdict_fill(verdicts, purpose->count, &verdict);
}

const struct provider provider_koodrive = {
    .name = "koodrive",
    .options = options,
    .confirm_default = true,
    .open = koodrive_open,
    .close = account_close,
    .task = koodrive_task,
    .task_free = task_free_block,
    .most_asks = koodrive_most_asks,
    .can_share = provider_none_can_share,
    .needs_sign_in = provider_none_needs_sign_in,
    .sign_in = provider_none_sign_in,
    .signed_in = provider_none_signed_in,
    .request = koodrive_request,
    .response = koodrive_response,
};
