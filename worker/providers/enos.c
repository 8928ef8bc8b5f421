/* EnOS data federation: download tasks of read channels. */
#include <stdlib.h>

#include "worker/providers/account.h"
#include "worker/providers/enos_sign.h"

#include "common/banned.h"

struct enos_account {
    struct account_base base;
    const char *org_id; /* NULL: every task names its own */
};

struct enos_task {
    struct task task;
    struct slice org_id, channel_id; /* the task's id is ids[0] */
};

static const struct option options[] = {
    {.path = "org_id",
     .type = OPTION_STRING,
     .help = "Organization (orgId) of tasks that do not name one."},
    {.path = "auth.app_key",
     .type = OPTION_STRING,
     .required = true,
     .help = "Application key (AppKey) that signs in to the token service."},
    {.path = "auth.app_secret",
     .type = OPTION_SECRET,
     .required = true,
     .help = "Application secret (AppSecret); signs token requests and every call."},
    {.path = "auth.bearer",
     .type = OPTION_BOOL,
     .default_text = "false",
     .help = "Also send the token as Authorization: Bearer, as documents of EnOS 2.1 show."},
    {0},
};

/* ---- account and task -------------------------------------------------------------------------
 */

static void *enos_open(const struct option_values *values, const char *endpoint,
                       struct mistakes *mistakes)
{
    const char *org_id = account_read_id(values, "org_id", &id_form_word, mistakes);
    if (!account_is_set(values, "auth.app_key"))
        mistakes_add(mistakes, "auth.app_key", "expected 1-256 visible characters");
    account_check_word(values, "auth.app_key", mistakes);
    account_check_secret(values, "auth.app_secret", mistakes);
    struct enos_account *account =
        account_new(sizeof *account, values, options, slice_of_string(endpoint), mistakes);
    if (account != NULL)
        account->org_id = org_id;
    return account;
}

static struct task *enos_task(const void *opened, enum operation operation,
                              const struct json_value *json, struct error *err)
{
    static const char *const members[] = {"orgId", "channelId", "taskId", NULL};
    const struct enos_account *account = opened;
    struct slice org_id, channel_id, task_id;
    (void)operation;
    if (task_check_members(json, members, err) < 0 ||
        task_read_id(json, "orgId", &id_form_word, account->org_id, &org_id, err) < 0 ||
        task_read_id(json, "channelId", &id_form_word, NULL, &channel_id, err) < 0 ||
        task_read_id(json, "taskId", &id_form_word, NULL, &task_id, err) < 0)
        return NULL;
    const struct slice share[] = {org_id, channel_id, task_id};
    size_t bytes = org_id.len + channel_id.len + task_id.len + task_share_bytes(share, 3);
    struct enos_task *task = (struct enos_task *)task_new(sizeof *task, 1, bytes, err);
    if (task == NULL)
        return NULL;
    char *at = task_texts(&task->task, sizeof *task);
    task->org_id = task_copy(&at, org_id);
    task->channel_id = task_copy(&at, channel_id);
    task->task.ids[0] = task_copy(&at, task_id);
    task->task.share = task_copy_share(&at, share, 3);
    return &task->task;
}

/* ---- token service ----------------------------------------------------------------------------
 */

static bool enos_needs_sign_in(const void *account)
{
    (void)account;
    return true;
}

static int enos_sign_in(const void *opened, const struct credential *current, int64_t wall_ms,
                        struct http_request *request, struct error *err)
{
    const struct enos_account *account = opened;
    struct slice app_key =
        slice_of_string(option_values_string(account->base.values, "auth.app_key"));
    struct slice app_secret = account_secret(&account->base, "auth.app_secret");
    char timestamp[24], encryption[DIGEST_HEX_SIZE];
    if (app_secret.len == 0)
        return error_set(err, ERROR_INPUT, "auth.app_secret: expected a secret");
    snprintf(timestamp, sizeof timestamp, "%lld", (long long)wall_ms);
    enos_encryption(app_key, slice_of_string(timestamp), app_secret, encryption);

    request->method = HTTP_POST;
    buffer_append_string(&request->url, account->base.endpoint);
    buffer_append_string(&request->url, current != NULL ? "/apim-token-service/v2.0/token/refresh"
                                                        : "/apim-token-service/v2.0/token/get");
    buffer_append_string(http_request_header(request, "Content-Type"), "application/json");
    buffer_append_string(&request->body, "{\"appKey\":");
    json_write_string(&request->body, app_key);
    json_write_string_member(&request->body, "encryption", slice_of_string(encryption));
    json_write_int_member(&request->body, "timestamp", wall_ms);
    if (current != NULL)
        json_write_string_member(&request->body, "accessToken", secret_slice(&current->token));
    buffer_append_byte(&request->body, '}');
    return 0;
}

static const char *const token_code_names[] = {"status", "code", "apim_status", NULL};
static const char *const message_names[] = {"msg", "message", "apim_message", NULL};
static const struct answer_names token_names = {token_code_names, message_names};

/* UNKNOWN reads as RETRY: a sign-in changes nothing. */
static const struct code_rule token_rules[] = {
    {"1001", NULL, VERDICT_RETRY, FAILURE_UNAVAILABLE}, /* replay guard */
    {"1002", "1004", VERDICT_FAILED, FAILURE_UNAUTHORIZED},
    {"1005", NULL, VERDICT_RETRY, FAILURE_UNAVAILABLE},
    {"1202", NULL, VERDICT_FAILED, FAILURE_UNAUTHORIZED},
    {"1203", "1204", VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {0},
};

static int take_token(const struct answer *answer, int64_t wall_ms, struct credential *credential)
{
    const struct json_value *data = answer_single(json_value_get(answer->root, "data"));
    struct slice token = json_value_text(json_value_get(data, "accessToken"));
    int64_t seconds;
    /* Seconds left, not a lifetime: the same token comes back while it lives. A year is plenty. */
    if (!answer_number(json_value_get(data, "expire"), &seconds) || seconds < 1)
        return -1;
    if (seconds > 366 * 24 * 3600)
        seconds = 366 * 24 * 3600;
    return account_take_token(token, wall_ms + seconds * 1000, credential);
}

static int enos_signed_in(const void *opened, const struct credential *current,
                          const struct http_response *response, int64_t wall_ms,
                          struct credential *credential, struct verdict *verdict)
{
    struct slice json;
    struct answer answer;
    struct secrets secrets;
    account_secrets(opened, current, &secrets);
    answer_read(&answer, OPERATION_STATUS, response, &token_names, &secrets, &json);
    int result = -1;
    if (answer_is_good(&answer) && answer_code_is_zero(&answer)) {
        result = take_token(&answer, wall_ms, credential);
        if (result < 0)
            answer_unfit(&answer, "the token service gave no token or no expiry", verdict);
    } else {
        answer_sign_in_failure(&answer, token_rules, verdict);
    }
    answer_release(&answer);
    return result;
}

/* ---- calls ------------------------------------------------------------------------------------
 */

static int enos_request(const void *opened, const struct call_purpose *purpose,
                        const struct credential *credential, int64_t wall_ms,
                        struct http_request *request, struct error *err)
{
    const struct enos_account *account = opened;
    const struct enos_task *task = (const struct enos_task *)purpose->asks[0].task;
    struct slice app_secret = account_secret(&account->base, "auth.app_secret");
    if (credential == NULL || credential->token.value == NULL || app_secret.len == 0)
        return error_set(err, ERROR_INTERNAL, "no credential to sign with");

    bool reads = purpose->operation == OPERATION_STATUS;
    struct buffer *url = &request->url;
    request->method = reads ? HTTP_GET : HTTP_DELETE;
    buffer_append_string(url, account->base.endpoint);
    buffer_append_string(url, "/data-federation/v2.0/channels/read/");
    http_append_encoded(url, task->channel_id);
    buffer_append_string(url, "/download/");
    http_append_encoded(url, task->task.ids[0]);
    buffer_append_string(url, reads ? "/status?orgId=" : "?orgId=");
    http_append_encoded(url, task->org_id);

    struct enos_parameter parameters[] = {{SLICE("orgId"), task->org_id}};
    struct slice token = secret_slice(&credential->token);
    char timestamp[24], signature[DIGEST_HEX_SIZE];
    snprintf(timestamp, sizeof timestamp, "%lld", (long long)wall_ms);
    enos_signature(token, parameters, 1, slice_of(NULL, 0), slice_of_string(timestamp), app_secret,
                   signature);
    buffer_append_slice(http_request_header(request, "apim-accesstoken"), token);
    buffer_append_string(http_request_header(request, "apim-timestamp"), timestamp);
    buffer_append_string(http_request_header(request, "apim-signature"), signature);
    if (option_values_bool(account->base.values, "auth.bearer")) {
        struct buffer *authorization = http_request_header(request, "Authorization");
        buffer_append_string(authorization, "Bearer ");
        buffer_append_slice(authorization, token);
    }
    return 0;
}

/* progressCode 0-7 */
static const enum task_state progress[] = {STATE_WAITING,   STATE_RUNNING,    STATE_FAILED,
                                           STATE_SUCCEEDED, STATE_CANCELLING, STATE_CANCELLED,
                                           STATE_EXPIRING,  STATE_EXPIRED};
enum { PROGRESS_COUNT = sizeof progress / sizeof *progress };

static const char *const code_names[] = {"code", "status", NULL};
static const char *const gateway_code_names[] = {"apim_status", NULL};
static const struct answer_names service_names = {code_names, message_names};
static const struct answer_names gateway_names = {gateway_code_names, message_names};

static const struct code_rule service_rules[] = {
    {"1203", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED}, /* the gateway's */
    {"81400", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"81404", NULL, VERDICT_REFUSED, FAILURE_NOT_FOUND},
    {"81500", NULL, VERDICT_UNKNOWN, FAILURE_UNAVAILABLE},
    {0},
};

static const struct code_rule gateway_rules[] = {
    {"1203", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {"4011", "4012", VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {0},
};

/* The task's state out of a success; what it means for a cancel is decided by the state alone, as a
 * cancel of a finished task may be answered with code 0 too. */
static void judge_state(const struct answer *answer, struct slice task_id, struct verdict *verdict)
{
    const struct json_value *data = answer_single(json_value_get(answer->root, "data"));
    const struct json_value *id = json_value_get(data, "taskId");
    int64_t code;
    if (id != NULL && !slice_equal(json_value_text(id), task_id)) {
        answer_unfit(answer, "the answer is about another task", verdict);
        return;
    }
    if (!answer_number(json_value_get(data, "progressCode"), &code)) {
        answer_unfit(answer, "the answer has no progressCode", verdict);
        return;
    }
    enum task_state state = code < PROGRESS_COUNT ? progress[code] : STATE_UNKNOWN;
    *verdict = verdict_done(state);
    if (answer->operation == OPERATION_STATUS)
        return;
    /* EnOS 3.0 answers every cancel that it accepts with 5, whatever the task does then. */
    if (state == STATE_CANCELLED)
        verdict->state = STATE_UNKNOWN;
    if (state == STATE_UNKNOWN)
        answer_unfit(answer, "the answer has an unknown progressCode", verdict);
    else if (task_state_is_past_cancelling(state))
        *verdict = answer_refused(answer, FAILURE_NOT_CANCELLABLE, state, true,
                                  "the task had ended before it could be cancelled");
}

static void enos_response(const void *opened, const struct call_purpose *purpose,
                          const struct credential *credential, const struct http_response *response,
                          struct verdict *verdicts, struct next_page *next, struct slice *json)
{
    struct secrets secrets;
    struct answer answer;
    struct verdict verdict;
    (void)next;
    account_secrets(opened, credential, &secrets);
    answer_read(&answer, purpose->operation, response, &service_names, &secrets, json);
    if (json_value_get(answer.root, "apim_status") != NULL) {
        answer_release(&answer);
        answer_read(&answer, purpose->operation, response, &gateway_names, &secrets, json);
        answer_failure(&answer, gateway_rules, &verdict);
    } else if (answer_is_good(&answer) && answer_code_is_zero(&answer)) {
        judge_state(&answer, purpose->asks[0].task->ids[purpose->asks[0].index], &verdict);
    } else {
        answer_failure(&answer, service_rules, &verdict);
    }
    answer_release(&answer);
    verdict_fill(verdicts, purpose->count, &verdict);
}

static const struct task_member members[] = {
    {.name = "taskId", .kind = MEMBER_ID, .help = "the download task"},
    {.name = "channelId",
     .option = "channel",
     .kind = MEMBER_ID,
     .required = true,
     .help = "the channel (needed)"},
    {.name = "orgId",
     .option = "org",
     .kind = MEMBER_ID,
     .help = "the organisation (default: the account's)"},
    {0},
};

const struct provider provider_enos = {
    .name = "enos",
    .title = "EnOS data federation",
    .members = members,
    .options = options,
    .confirm_default = true,
    .open = enos_open,
    .close = account_close,
    .task = enos_task,
    .task_free = task_free_block,
    .most_asks = provider_one_ask,
    .needs_sign_in = enos_needs_sign_in,
    .signs_calls = provider_none_signs_calls,
    .sign_in = enos_sign_in,
    .signed_in = enos_signed_in,
    .request = enos_request,
    .response = enos_response,
};
