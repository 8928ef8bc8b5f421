/* Huawei Cloud KooDrive: jobs. */
#include <stdlib.h>

#include "common/timestamp.h"
#include "worker/providers/account.h"
#include "worker/providers/huawei.h"
#include "worker/providers/huawei_sign.h"

#include "common/banned.h"

static const struct id_form id_form_job = {"09", 32, "1-32 digits"};

/* A signature must not be of the future, and may be 15 minutes old: ours is a little old, so that a
 * clock that is ahead by less than this does no harm. */
enum { SIGNED_BEFORE_MS = 30 * 1000 };

enum auth { AUTH_TOKEN, AUTH_APP, AUTH_COUNT };
static const struct auth_kind auths[AUTH_COUNT] = {
    [AUTH_TOKEN] = {{"auth.token"}, {0}},
    [AUTH_APP] = {{"auth.app_id", "auth.app_secret"}, {0}},
};

struct koodrive_account {
    struct account_base base;
    enum auth auth;
    const char *user_id; /* NULL: none */
};

struct koodrive_task {
    struct task task;
    struct slice user_id; /* absent: none */
};

static const struct option options[] = {
    {.path = "user_id",
     .type = OPTION_STRING,
     .help = "KooDrive user of tasks that do not name one (userId). A token already says whose it "
             "is, so calls with one do not send it; signed calls do."},
    {.path = "auth.token",
     .type = OPTION_SECRET,
     .help =
         "Value of the Authorization header, sent exactly as given, scheme included; read again "
         "when its file changes. Or:"},
    {.path = "auth.app_id",
     .type = OPTION_SECRET,
     .help = "AppId to sign calls with, with app_secret."},
    {.path = "auth.app_secret", .type = OPTION_SECRET, .help = "The AppId's secret (AppSecret)."},
    {0},
};

static void *koodrive_open(const struct option_values *values, const char *endpoint,
                           struct mistakes *mistakes)
{
    int auth = account_auth(values, auths, AUTH_COUNT, mistakes);
    const char *user_id = account_read_id(values, "user_id", &id_form_word, mistakes);
    account_check_word(values, "auth.app_id", mistakes);
    struct koodrive_account *account =
        account_new(sizeof *account, values, options, slice_of_string(endpoint), mistakes);
    if (account == NULL)
        return NULL;
    account->auth = (enum auth)auth;
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
    if (account->auth == AUTH_APP && user_id.data == NULL) {
        error_set(err, ERROR_INPUT,
                  "task.userId: missing, and the account has no user_id to sign for");
        return NULL;
    }
    const struct slice share[] = {job_id, user_id};
    size_t bytes = job_id.len + user_id.len + task_share_bytes(share, 2);
    struct koodrive_task *task = (struct koodrive_task *)task_new(sizeof *task, 1, bytes, err);
    if (task == NULL)
        return NULL;
    char *at = task_texts(&task->task, sizeof *task);
    task->task.ids[0] = task_copy(&at, job_id);
    task->user_id = task_copy(&at, user_id);
    task->task.share = task_copy_share(&at, share, 2);
    task->task.cancel_tells_nothing = operation == OPERATION_CANCEL;
    return &task->task;
}

static bool koodrive_signs_calls(const void *opened)
{
    return ((const struct koodrive_account *)opened)->auth == AUTH_APP;
}

static const char *const signed_headers[] = {"Host", "X-Date", "X-User-Id", NULL};

/* The last step: the request is whole but for its signature. */
static int sign(const struct koodrive_account *account, const struct koodrive_task *task,
                int64_t wall_ms, struct http_request *request, struct error *err)
{
    struct slice app_id = account_secret(&account->base, "auth.app_id");
    struct slice app_secret = account_secret(&account->base, "auth.app_secret");
    struct huawei_request canonical;
    char date[TIMESTAMP_SIZE];
    if (app_id.len == 0 || app_secret.len == 0)
        return error_set(err, ERROR_INPUT, "auth.app_id, auth.app_secret: expected secrets");
    timestamp_format_basic(wall_ms - SIGNED_BEFORE_MS, date);
    huawei_append_host(http_request_header(request, "Host"), account->base.endpoint);
    buffer_append_string(http_request_header(request, "X-Date"), date);
    buffer_append_slice(http_request_header(request, "X-User-Id"), task->user_id);
    huawei_request_of(request, signed_headers, &canonical);
    huawei_sign_app(&canonical, app_id, app_secret, http_request_header(request, "Authorization"));
    return 0;
}

static int koodrive_request(const void *opened, const struct call_purpose *purpose,
                            const struct credential *credential, int64_t wall_ms,
                            struct http_request *request, struct error *err)
{
    const struct koodrive_account *account = opened;
    struct slice job_id = purpose->asks[0].task->ids[0];
    bool cancels = purpose->operation == OPERATION_CANCEL;
    (void)credential;
    request->method = cancels ? HTTP_POST : HTTP_GET;
    buffer_append_string(&request->url, account->base.endpoint);
    buffer_append_string(&request->url, "/koodrive/ose/v1/");
    if (cancels)
        buffer_append_string(&request->url, "cancel");
    else
        http_append_encoded(&request->url, job_id);
    if (cancels) {
        buffer_append_string(http_request_header(request, "Content-Type"), "application/json");
        buffer_append_string(&request->body, "{\"jobId\":");
        json_write_string(&request->body, job_id);
        buffer_append_byte(&request->body, '}');
    }
    if (account->auth == AUTH_APP)
        return sign(account, (const struct koodrive_task *)purpose->asks[0].task, wall_ms, request,
                    err);
    return account_add_secret_header(&account->base, "auth.token", request, "Authorization", err);
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

/* HTTP 400 stands for "authentication not passed" unless a code of the service's or the gateway's
 * says something else. */
static bool is_unauthenticated(const struct answer *answer)
{
    if (answer->response->result != HTTP_ANSWERED || answer->response->status != 400)
        return false;
    return !huawei_code_is_services(answer->code) && !huawei_code_is_gateways(answer->code);
}

static void judge_failure(const struct answer *answer, struct verdict *verdict)
{
    huawei_failure(answer, rules, verdict);
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
                              const struct credential *credential,
                              const struct http_response *response, struct verdict *verdicts,
                              struct next_page *next, struct slice *json)
{
    struct secrets secrets;
    struct answer answer;
    struct verdict verdict;
    (void)next;
    account_secrets(opened, credential, &secrets);
    answer_read(&answer, purpose->operation, response, &huawei_names, &secrets, json);
    if (!is_success(&answer))
        judge_failure(&answer, &verdict);
    else if (purpose->operation == OPERATION_CANCEL)
        verdict = verdict_done(STATE_UNKNOWN);
    else
        judge_status(&answer, &verdict);
    answer_release(&answer);
    verdict_fill(verdicts, purpose->count, &verdict);
}

static const struct task_member members[] = {
    {.name = "jobId", .kind = MEMBER_ID, .help = "the job"},
    {.name = "userId",
     .option = "user",
     .kind = MEMBER_ID,
     .help = "the user (default: the account's)"},
    {0},
};

const struct provider provider_koodrive = {
    .name = "koodrive",
    .title = "Huawei Cloud KooDrive",
    .members = members,
    .options = options,
    .confirm_default = true,
    .open = koodrive_open,
    .close = account_close,
    .task = koodrive_task,
    .task_free = task_free_block,
    .most_asks = provider_one_ask,
    .needs_sign_in = provider_none_needs_sign_in,
    .signs_calls = koodrive_signs_calls,
    .sign_in = provider_none_sign_in,
    .signed_in = provider_none_signed_in,
    .request = koodrive_request,
    .response = koodrive_response,
};
