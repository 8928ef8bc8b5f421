/* Huawei Cloud IoTDA: batch tasks and their targets. */
#include <stdlib.h>

#include "common/timestamp.h"
#include "worker/providers/account.h"
#include "worker/providers/huawei.h"
#include "worker/providers/huawei_sign.h"

#include "common/banned.h"

enum {
    MOST_TARGETS = 1000, /* of a command */
    MOST_TARGETS_A_CALL = 100,
    DETAILS_A_PAGE = 50,         /* the most */
    TOKEN_MS = 12 * 3600 * 1000, /* of a token that does not say how long it lives */
};

static const struct id_form id_form_task = {"af09", 24, "1-24 digits of 0-9 a-f"};
static const struct id_form id_form_instance = {"azAZ09__--", 36,
                                                "1-36 characters of A-Z a-z 0-9 _ -"};
/* Device ids. */
static const struct id_form id_form_target = {"azAZ09__--", 256,
                                              "1-256 characters of A-Z a-z 0-9 _ -"};

/* A region's name may have a suffix: cn-north-4_project. */
static const struct id_form id_form_project = {"azAZ09__--", 64,
                                               "a project's name or id, of A-Z a-z 0-9 _ -"};

enum auth { AUTH_TOKEN, AUTH_KEY, AUTH_IAM, AUTH_COUNT };

struct iotda_account {
    struct account_base base;
    enum auth auth;
    const char *project_id, *instance_id; /* NULL: none */
    struct buffer host;                   /* the Host header */
    struct slice region;                  /* absent: not known */
    bool derived;                         /* how calls are signed */
    struct slice iam_project;
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
     .help = "Region of the endpoint, such as cn-north-4; a derived signature needs it where the "
             "endpoint does not tell it."},
    {.path = "auth.token",
     .type = OPTION_SECRET,
     .help = "IAM token, sent as X-Auth-Token; read again when its file changes. Such tokens last "
             "24 hours. Or one of the two others:"},
    {.path = "auth.access_key",
     .type = OPTION_SECRET,
     .help = "Access key (AK) to sign calls with, with secret_key."},
    {.path = "auth.secret_key", .type = OPTION_SECRET, .help = "The access key's secret (SK)."},
    {.path = "auth.security_token",
     .type = OPTION_SECRET,
     .help = "Of a temporary access key: sent as X-Security-Token."},
    {.path = "auth.signature",
     .type = OPTION_CHOICE,
     .choices = "auto|standard|derived",
     .default_text = "auto",
     .help =
         "standard: SDK-HMAC-SHA256, for the basic edition. derived: V11-HMAC-SHA256, for "
         "instances with an address of their own. auto: by the endpoint, derived where it holds "
         ".iotda-app."},
    {.path = "auth.iam.endpoint",
     .type = OPTION_STRING,
     .help = "Where to get tokens: https://iam.REGION.myhuaweicloud.com."},
    {.path = "auth.iam.user", .type = OPTION_STRING, .help = "IAM user that gets tokens."},
    {.path = "auth.iam.password", .type = OPTION_SECRET, .help = "The IAM user's password."},
    {.path = "auth.iam.domain",
     .type = OPTION_STRING,
     .help = "Account (domain) that the IAM user belongs to."},
    {.path = "auth.iam.project",
     .type = OPTION_STRING,
     .help = "Project that the token is for: its name, such as cn-north-4, or its id. Left out: "
             "project_id, else region."},
    {0},
};

static const struct auth_kind auths[AUTH_COUNT] = {
    [AUTH_TOKEN] = {{"auth.token"}, {0}},
    [AUTH_KEY] = {{"auth.access_key", "auth.secret_key"},
                  {"auth.security_token", "auth.signature"}},
    [AUTH_IAM] = {{"auth.iam.user", "auth.iam.password", "auth.iam.domain", "auth.iam.endpoint"},
                  {"auth.iam.project"}},
};

/* "cn-north-4" of HOST.iotda-app.cn-north-4.myhuaweicloud.com, or of iotda.cn-north-4...; absent:
 * another kind of host. */
static struct slice region_of_host(struct slice host, bool *derived)
{
    const char *app = memmem(host.data, host.len, ".iotda-app.", strlen(".iotda-app."));
    *derived = app != NULL;
    if (app == NULL && !slice_starts_with(host, "iotda."))
        return slice_of(NULL, 0);
    const char *region = app != NULL ? app + strlen(".iotda-app.") : host.data + strlen("iotda.");
    size_t rest = host.len - (size_t)(region - host.data);
    const char *end = memchr(region, '.', rest);
    return end != NULL ? slice_of(region, (size_t)(end - region)) : slice_of(NULL, 0);
}

/* Which signature, and with which region. */
static void open_signature(struct iotda_account *account, const char *region, const char *endpoint,
                           enum auth auth, struct mistakes *mistakes)
{
    const char *wanted = option_values_string(account->base.values, "auth.signature");
    struct slice told;
    bool derived;
    buffer_init(&account->host, LIMIT_SECRET_BYTES);
    huawei_append_host(&account->host, endpoint);
    told = region_of_host(buffer_slice(&account->host), &derived);
    account->derived = auth == AUTH_KEY &&
                       (strcmp(wanted, "derived") == 0 || (strcmp(wanted, "auto") == 0 && derived));
    if (region == NULL)
        account->region = told;
    else if (told.data == NULL || slice_equals(told, region))
        account->region = slice_of_string(region);
    else
        mistakes_add(mistakes, "region", "expected %.*s, which is the endpoint's", SLICE_ARG(told));
    if (account->derived && account->region.data == NULL && region == NULL)
        mistakes_add(mistakes, "region",
                     "missing: the derived signature needs it, and the endpoint does not tell it");
    if (buffer_failed(&account->host))
        mistakes_add(mistakes, "", "out of memory");
}

/* What a token is for. */
static void open_project(struct iotda_account *account, enum auth auth, struct mistakes *mistakes)
{
    const struct option_values *values = account->base.values;
    const char *project = account_read_id(values, "auth.iam.project", &id_form_project, mistakes);
    if (project != NULL)
        account->iam_project = slice_of_string(project);
    else if (account->project_id != NULL)
        account->iam_project = slice_of_string(account->project_id);
    else
        account->iam_project = account->region;
    if (auth == AUTH_IAM && account->iam_project.len == 0 &&
        !account_is_set(values, "auth.iam.project"))
        mistakes_add(mistakes, "auth.iam.project",
                     "missing: expected it, or project_id, or region");
}

static void iotda_close(void *opened)
{
    struct iotda_account *account = opened;
    if (account != NULL)
        buffer_release(&account->host);
    account_close(account);
}

static void *iotda_open(const struct option_values *values, const char *endpoint,
                        struct mistakes *mistakes)
{
    struct mistakes none = {mistakes->tell, mistakes->context, 0};
    struct iotda_account *account =
        account_new(sizeof *account, values, options, slice_of_string(endpoint), &none);
    mistakes->count += none.count;
    if (account == NULL)
        return NULL;
    int auth = account_auth(values, auths, AUTH_COUNT, mistakes);
    account->auth = auth < 0 ? AUTH_TOKEN : (enum auth)auth;
    account->project_id = account_read_id(values, "project_id", &id_form_word, mistakes);
    account->instance_id = account_read_id(values, "instance_id", &id_form_instance, mistakes);
    const char *region = account_read_id(values, "region", &id_form_word, mistakes);
    account_check_word(values, "auth.access_key", mistakes);
    open_signature(account, region, endpoint, account->auth, mistakes);
    open_project(account, account->auth, mistakes);
    if (mistakes->count == 0)
        return account;
    iotda_close(account);
    return NULL;
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
    const struct slice share[] = {slice_of_string(targets != NULL ? "targets" : "task"), project_id,
                                  instance_id, task_id};
    size_t bytes = project_id.len + instance_id.len + task_id.len + task_list_bytes(targets) +
                   task_share_bytes(share, 4);
    struct iotda_task *task = (struct iotda_task *)task_new(sizeof *task, count, bytes, err);
    if (task == NULL)
        return NULL;
    char *at = task_texts(&task->task, sizeof *task);
    task->project_id = task_copy(&at, project_id);
    task->instance_id = task_copy(&at, instance_id);
    task->task_id = task_copy(&at, task_id);
    task->task.share = task_copy_share(&at, share, 4);
    task->task.is_list = targets != NULL;
    task->task.cancel_tells_nothing = cancels && targets == NULL;
    if (targets != NULL)
        task_copy_list(&task->task, &at, targets);
    else
        task->task.ids[0] = task->task_id;
    return &task->task;
}

/* The status of several targets is read off the task's pages, which does not name them. */
static size_t iotda_most_asks(const void *account, enum operation operation,
                              const struct task *task, size_t batch)
{
    (void)account;
    if (!task->is_list)
        return 1;
    if (operation == OPERATION_STATUS)
        return LIMIT_ASKS;
    return batch < MOST_TARGETS_A_CALL ? batch : MOST_TARGETS_A_CALL;
}

/* ---- sign-in ----------------------------------------------------------------------------------
 */

static bool iotda_needs_sign_in(const void *opened)
{
    return ((const struct iotda_account *)opened)->auth == AUTH_IAM;
}

static bool iotda_signs_calls(const void *opened)
{
    return ((const struct iotda_account *)opened)->auth == AUTH_KEY;
}

static void append_name_member(struct buffer *body, const char *name, const char *value)
{
    json_write_member(body, name);
    buffer_append_string(body, "{\"name\":");
    json_write_string(body, slice_of_string(value));
}

/* IAM has no renewal: a new token is got with the password, the old one lives on. */
static int iotda_sign_in(const void *opened, const struct credential *current, int64_t wall_ms,
                         struct http_request *request, struct error *err)
{
    const struct iotda_account *account = opened;
    const struct option_values *values = account->base.values;
    struct slice endpoint = slice_of_string(option_values_string(values, "auth.iam.endpoint"));
    struct slice password = account_secret(&account->base, "auth.iam.password");
    struct buffer *body = &request->body;
    bool by_id = account->iam_project.len == 32 &&
                 slice_is_word(account->iam_project, "af09", account->iam_project.len);
    (void)current, (void)wall_ms;
    if (password.len == 0)
        return error_set(err, ERROR_INPUT, "auth.iam.password: expected a secret");
    while (slice_ends_with(endpoint, "/"))
        endpoint.len--;
    request->method = HTTP_POST;
    buffer_append_slice(&request->url, endpoint);
    /* Without the catalog, which is large. */
    buffer_append_string(&request->url, "/v3/auth/tokens?nocatalog=true");
    buffer_append_string(http_request_header(request, "Content-Type"),
                         "application/json;charset=utf8");
    buffer_append_string(body, "{\"auth\":{\"identity\":{\"methods\":[\"password\"],"
                               "\"password\":{\"user\":{\"name\":");
    json_write_string(body, slice_of_string(option_values_string(values, "auth.iam.user")));
    json_write_string_member(body, "password", password);
    append_name_member(body, "domain", option_values_string(values, "auth.iam.domain"));
    buffer_append_string(body, "}}}},\"scope\":{\"project\":{");
    buffer_append_string(body, by_id ? "\"id\":" : "\"name\":");
    json_write_string(body, account->iam_project);
    buffer_append_string(body, "}}}}");
    return 0;
}

static const struct code_rule sign_in_rules[] = {{0}};

static int iotda_signed_in(const void *opened, const struct credential *current,
                           const struct http_response *response, int64_t wall_ms,
                           struct credential *credential, struct verdict *verdict)
{
    struct slice json;
    struct answer answer;
    struct secrets secrets;
    int result = -1;
    account_secrets(opened, current, &secrets);
    answer_read(&answer, OPERATION_STATUS, response, &huawei_names, &secrets, &json);
    if (answer_is_good(&answer)) {
        const struct json_value *token = json_value_get(answer.root, "token");
        int64_t expires_ms;
        if (!timestamp_parse(json_value_text(json_value_get(token, "expires_at")), &expires_ms))
            expires_ms = wall_ms + TOKEN_MS;
        answer_unfit(&answer, "the answer has no X-Subject-Token", verdict);
        result = account_take_token(response->subject_token, expires_ms, credential);
    } else {
        answer_sign_in_failure(&answer, sign_in_rules, verdict);
        if (verdict->kind == VERDICT_RENEW) /* a renewal is no other request than the first */
            verdict->kind = VERDICT_FAILED;
    }
    answer_release(&answer);
    return result;
}

/* ---- request ----------------------------------------------------------------------------------
 */

static const char *const signed_headers[] = {"Host",        "X-Sdk-Date",       "X-Project-Id",
                                             "Instance-Id", "X-Security-Token", NULL};

/* The last step: the request is whole but for its signature. */
static int sign(const struct iotda_account *account, int64_t wall_ms, struct http_request *request,
                struct slice project_id, struct error *err)
{
    struct huawei_key key = {.access_key = account_secret(&account->base, "auth.access_key"),
                             .secret_key = account_secret(&account->base, "auth.secret_key")};
    struct slice security_token = account_secret(&account->base, "auth.security_token");
    struct huawei_request canonical;
    char date[TIMESTAMP_SIZE];
    if (key.access_key.len == 0 || key.secret_key.len == 0)
        return error_set(err, ERROR_INPUT, "auth.access_key, auth.secret_key: expected secrets");
    if (account->derived) {
        key.region = account->region;
        key.service = slice_of_string("iotdm"); /* not iotda */
    }
    timestamp_format_basic(wall_ms, date);
    buffer_append_slice(http_request_header(request, "Host"), buffer_slice(&account->host));
    buffer_append_string(http_request_header(request, "X-Sdk-Date"), date);
    buffer_append_slice(http_request_header(request, "X-Project-Id"), project_id);
    if (security_token.len > 0)
        buffer_append_slice(http_request_header(request, "X-Security-Token"), security_token);
    huawei_request_of(request, signed_headers, &canonical);
    huawei_sign(&canonical, &key, slice_of_string(date),
                http_request_header(request, "Authorization"));
    return 0;
}

static int authenticate(const struct iotda_account *account, const struct iotda_task *task,
                        const struct credential *credential, int64_t wall_ms,
                        struct http_request *request, struct error *err)
{
    if (account->auth == AUTH_KEY)
        return sign(account, wall_ms, request, task->project_id, err);
    if (credential == NULL)
        return account_add_secret_header(&account->base, "auth.token", request, "X-Auth-Token",
                                         err);
    buffer_append_slice(http_request_header(request, "X-Auth-Token"),
                        secret_slice(&credential->token));
    return 0;
}

/* One target is asked for by its name: the details of a long task hold it somewhere among
 * thousands. Several are looked for on the pages of all details. */
static void append_target_query(struct buffer *url, const struct call_purpose *purpose)
{
    const struct ask *ask = &purpose->asks[0];
    bool one = purpose->ids == 1;
    buffer_append_byte(url, '?');
    if (one) {
        buffer_append_string(url, "target=");
        http_append_encoded(url, ask->task->ids[ask->index]);
    }
    if (!one || purpose->cursor.len > 0)
        buffer_append_format(url, "%slimit=%d", one ? "&" : "", DETAILS_A_PAGE);
    if (purpose->cursor.len > 0) {
        buffer_append_string(url, "&marker=");
        http_append_encoded(url, purpose->cursor);
    }
}

static int append_stop_body(struct http_request *request, const struct call_purpose *purpose,
                            struct error *err)
{
    buffer_append_string(http_request_header(request, "Content-Type"), "application/json");
    if (!purpose->asks[0].task->is_list) {
        buffer_append_string(&request->body, "{}");
        return 0;
    }
    buffer_append_string(&request->body, "{\"targets\":");
    if (task_write_asks(&request->body, purpose, err) < 0)
        return -1;
    buffer_append_byte(&request->body, '}');
    return 0;
}

static int iotda_request(const void *opened, const struct call_purpose *purpose,
                         const struct credential *credential, int64_t wall_ms,
                         struct http_request *request, struct error *err)
{
    const struct iotda_account *account = opened;
    const struct iotda_task *task = (const struct iotda_task *)purpose->asks[0].task;
    bool cancels = purpose->operation == OPERATION_CANCEL;
    struct buffer *url = &request->url;
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
    if (task->instance_id.len > 0)
        buffer_append_slice(http_request_header(request, "Instance-Id"), task->instance_id);
    if (cancels && append_stop_body(request, purpose, err) < 0)
        return -1;
    return authenticate(account, task, credential, wall_ms, request, err);
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

/* Where its details lack a target: a task that has ended, or is being stopped, or has not begun
 * speaks for its targets; a running one does not. */
static bool speaks_for_targets(enum task_state state)
{
    return task_state_is_settled(state) || state == STATE_CANCELLING || state == STATE_WAITING;
}

static enum task_state target_state(const struct json_value *detail)
{
    return state_of_word(target_words, json_value_text(json_value_get(detail, "status")));
}

static struct slice marker_of(const struct answer *answer)
{
    return json_value_text(json_value_get(json_value_get(answer->root, "page"), "marker"));
}

/* The one target that was asked for by its name. */
static void judge_target(const struct answer *answer, const struct call_purpose *purpose,
                         enum task_state task_state, struct verdict *verdict,
                         struct next_page *next)
{
    const struct json_value *details = json_value_get(answer->root, "task_details");
    const struct ask *ask = &purpose->asks[0];
    size_t count = 0;
    struct id_entry *entries = id_entries_of(details, "target", &count);
    const struct id_entry *entry = id_entries_find(entries, count, ask->task->ids[ask->index]);
    struct slice marker = marker_of(answer);
    if (entry != NULL)
        *verdict = verdict_done(target_state(entry->value));
    else if (speaks_for_targets(task_state))
        *verdict = verdict_done(task_state);
    else if (task_state == STATE_RUNNING && count == 0 && json_value_kind(details) == JSON_LIST)
        *verdict = answer_refused(answer, FAILURE_NOT_FOUND, STATE_UNKNOWN, true,
                                  "the target is not in the task");
    else
        *verdict = verdict_done(STATE_UNKNOWN);
    if (entry == NULL && count > 0 && marker.len > 0 && !slice_equal(marker, purpose->cursor))
        buffer_append_slice(&next->cursor, marker);
    free(entries);
}

/* How many details the task has; 0: not said. */
static int64_t count_details(const struct answer *answer)
{
    const struct json_value *batch = json_value_get(answer->root, "batchtask");
    int64_t count, total;
    if (!answer_number(json_value_get(json_value_get(answer->root, "page"), "count"), &count))
        count = 0;
    if (!answer_number(json_value_get(json_value_get(batch, "task_progress"), "total"), &total))
        total = 0;
    return count > total ? count : total;
}

/* Whether reading on costs less than asking for those that are missing one by one. */
static bool is_worth_reading(const struct answer *answer, unsigned page, size_t missing)
{
    int64_t total = count_details(answer), seen = (int64_t)(page + 1) * DETAILS_A_PAGE;
    int64_t left = (total - seen + DETAILS_A_PAGE - 1) / DETAILS_A_PAGE;
    if (missing == 0 || page >= LIMIT_PAGES)
        return false;
    return total == 0 || (left > 0 && left <= (int64_t)missing && page + left <= LIMIT_PAGES);
}

/* One page for all targets. Who is on none of the pages is asked for by its name. */
static void judge_page(const struct answer *answer, const struct call_purpose *purpose,
                       enum task_state task_state, struct verdict *verdicts, struct next_page *next)
{
    const struct json_value *details = json_value_get(answer->root, "task_details");
    struct slice marker = marker_of(answer);
    size_t count = 0, missing = 0;
    struct id_entry *entries = id_entries_of(details, "target", &count);
    struct verdict absent;
    answer_unfit(answer, "the target is not on the pages of the task", &absent);
    answer_apart(&absent, VERDICT_RETRY, 1);
    if (purpose->page == 0 && count == 0 && speaks_for_targets(task_state))
        absent = verdict_done(task_state);
    for (size_t i = 0; i < purpose->count; i++) {
        const struct ask *ask = &purpose->asks[i];
        const struct id_entry *entry = id_entries_find(entries, count, ask->task->ids[ask->index]);
        if (purpose->page > 0 && verdicts[i].kind == VERDICT_DONE)
            continue;
        verdicts[i] = entry != NULL ? verdict_done(target_state(entry->value)) : absent;
        missing += entry == NULL;
    }
    free(entries);
    if (count > 0 && marker.len > 0 && !slice_equal(marker, purpose->cursor) &&
        is_worth_reading(answer, purpose->page, missing))
        buffer_append_slice(&next->cursor, marker);
}

/* The same for all asks but those that an earlier page has told of. */
static void fill_rest(const struct call_purpose *purpose, struct verdict *verdicts,
                      const struct verdict *verdict)
{
    for (size_t i = 0; i < purpose->count; i++)
        if (purpose->ids == 1 || purpose->page == 0 || verdicts[i].kind != VERDICT_DONE)
            verdicts[i] = *verdict;
}

static void judge_status(const struct answer *answer, const struct call_purpose *purpose,
                         struct verdict *verdicts, struct next_page *next)
{
    const struct iotda_task *task = (const struct iotda_task *)purpose->asks[0].task;
    const struct json_value *batch = json_value_get(answer->root, "batchtask");
    const struct json_value *id = json_value_get(batch, "task_id");
    const struct json_value *status = json_value_get(batch, "status");
    struct verdict verdict;
    enum task_state state = state_of_word(task_words, json_value_text(status));
    if (id != NULL && !slice_equal(json_value_text(id), task->task_id)) {
        answer_unfit(answer, "the answer is about another task", &verdict);
    } else if (json_value_kind(status) != JSON_TEXT) {
        answer_unfit(answer, "the answer has no task status", &verdict);
    } else if (!task->task.is_list) {
        verdict = verdict_done(state);
    } else if (purpose->ids == 1) {
        judge_target(answer, purpose, state, &verdict, next);
        verdict_fill(verdicts, purpose->count, &verdict);
        return;
    } else {
        judge_page(answer, purpose, state, verdicts, next);
        return;
    }
    fill_rest(purpose, verdicts, &verdict);
}

static void judge_failure(const struct answer *answer, const struct call_purpose *purpose,
                          struct verdict *verdicts)
{
    /* The request was looked at and found wrong, before anything was done: in a list one id may be
     * to blame, in a page its size or marker. */
    static const struct code_rule inputs[] = {
        {"IOTDA.000006", NULL, VERDICT_RETRY, 0},
        {"IOTDA.000009", "IOTDA.000018", VERDICT_RETRY, 0},
        {0},
    };
    struct verdict verdict;
    bool reads = purpose->operation == OPERATION_STATUS;
    huawei_failure(answer, rules, &verdict);
    if (purpose->ids > 1 && verdict.kind == VERDICT_REFUSED &&
        code_rule_find(inputs, answer->code) != NULL)
        answer_apart(&verdict, VERDICT_RETRY, reads ? 1 : purpose->ids / 2);
    fill_rest(purpose, verdicts, &verdict);
}

static void iotda_response(const void *opened, const struct call_purpose *purpose,
                           const struct credential *credential,
                           const struct http_response *response, struct verdict *verdicts,
                           struct next_page *next, struct slice *json)
{
    struct secrets secrets;
    struct answer answer;
    struct verdict verdict;
    account_secrets(opened, credential, &secrets);
    answer_read(&answer, purpose->operation, response, &huawei_names, &secrets, json);
    bool good = answer_is_good(&answer) && (!answer.code.data || answer_code_is_zero(&answer));
    if (!good) {
        judge_failure(&answer, purpose, verdicts);
    } else if (purpose->operation == OPERATION_STATUS) {
        judge_status(&answer, purpose, verdicts, next);
    } else if (purpose->asks[0].task->is_list) {
        judge_stop_targets(&answer, purpose, verdicts);
    } else {
        judge_stop_all(&answer, &verdict);
        verdict_fill(verdicts, purpose->count, &verdict);
    }
    answer_release(&answer);
}

static const struct task_member members[] = {
    {.name = "taskId", .kind = MEMBER_ID, .help = "the batch task"},
    {.name = "projectId",
     .option = "project",
     .kind = MEMBER_ID,
     .help = "the project (default: the account's)"},
    {.name = "instanceId",
     .option = "instance",
     .kind = MEMBER_ID,
     .help = "the instance (default: the account's)"},
    {.name = "targets",
     .option = "targets",
     .kind = MEMBER_IDS,
     .cancel_only = true,
     .one_of = true,
     .help = "stop these devices' parts"},
    {.name = "all",
     .option = "all",
     .kind = MEMBER_FLAG,
     .cancel_only = true,
     .one_of = true,
     .help = "stop the whole task"},
    {0},
};

const struct provider provider_iotda = {
    .name = "iotda",
    .title = "Huawei Cloud IoTDA",
    .members = members,
    .options = options,
    .confirm_default = true,
    .open = iotda_open,
    .close = iotda_close,
    .task = iotda_task,
    .task_free = task_free_block,
    .most_asks = iotda_most_asks,
    .needs_sign_in = iotda_needs_sign_in,
    .signs_calls = iotda_signs_calls,
    .sign_in = iotda_sign_in,
    .signed_in = iotda_signed_in,
    .request = iotda_request,
    .response = iotda_response,
};
