/* SCNet efile: asynchronous file tasks. */
#include <stdlib.h>

#include "common/base64.h"
#include "common/digest.h"
#include "common/timestamp.h"
#include "worker/providers/account.h"

#include "common/banned.h"

enum {
    MOST_TASKS = 500,            /* a call, by the provider's document, which advises 100 */
    TOKEN_MS = 12 * 3600 * 1000, /* of a token that does not say how long it lives */
};

static const struct option options[] = {
    {.path = "auth.token",
     .type = OPTION_SECRET,
     .help = "Token (JWT) of the region that the endpoint belongs to, sent as it is; read again "
             "when its file changes. Or one of the two ways to sign in:"},
    {.path = "auth.sign_in",
     .type = OPTION_STRING,
     .help = "Where to sign in: https://api.scnet.cn with an access key, the platform's address "
             "(before /ac) with a password."},
    {.path = "auth.user", .type = OPTION_STRING, .help = "The user that signs in, by name."},
    {.path = "auth.access_key",
     .type = OPTION_SECRET,
     .help = "Access key to sign in with (recommended), with secret_key."},
    {.path = "auth.secret_key", .type = OPTION_SECRET, .help = "The access key's secret."},
    {.path = "auth.password",
     .type = OPTION_SECRET,
     .help = "Password to sign in with, with org_id."},
    {.path = "auth.org_id", .type = OPTION_STRING, .help = "Organization (orgId) of the user."},
    {.path = "auth.cluster_id",
     .type = OPTION_STRING,
     .help = "The region (clusterId) that the endpoint belongs to: signing in yields a token for "
             "each region."},
    {0},
};

enum auth { AUTH_TOKEN, AUTH_KEY, AUTH_PASSWORD, AUTH_COUNT };
static const struct auth_kind auths[AUTH_COUNT] = {
    [AUTH_TOKEN] = {{"auth.token"}, {0}},
    [AUTH_KEY] = {{"auth.access_key", "auth.secret_key", "auth.user", "auth.sign_in",
                   "auth.cluster_id"},
                  {0}},
    [AUTH_PASSWORD] = {{"auth.password", "auth.org_id", "auth.user", "auth.sign_in",
                        "auth.cluster_id"},
                       {0}},
};

static const struct id_form id_form_cluster = {"azAZ09__--", 64,
                                               "a region's clusterId, of A-Z a-z 0-9 _ -"};

struct scnet_account {
    struct account_base base;
    enum auth auth;
    const char *cluster_id; /* of an account that signs in */
};

static void *scnet_open(const struct option_values *values, const char *endpoint,
                        struct mistakes *mistakes)
{
    /* The addresses that SCNet lists end in /efile, the paths of its documents begin with it. */
    struct slice base = slice_of_string(endpoint);
    if (slice_ends_with(base, "/efile"))
        base.len -= strlen("/efile");
    int auth = account_auth(values, auths, AUTH_COUNT, mistakes);
    const char *cluster_id = account_read_id(values, "auth.cluster_id", &id_form_cluster, mistakes);
    if (cluster_id != NULL && (strcmp(cluster_id, "0") == 0 || strcmp(cluster_id, "ac") == 0))
        mistakes_add(mistakes, "auth.cluster_id",
                     "expected the region's clusterId: the platform's own token does not do");
    account_check_word(values, "auth.access_key", mistakes);
    account_check_word(values, "auth.user", mistakes);
    account_check_word(values, "auth.org_id", mistakes);
    struct scnet_account *account = account_new(sizeof *account, values, options, base, mistakes);
    if (account == NULL)
        return NULL;
    account->auth = (enum auth)auth;
    account->cluster_id = cluster_id;
    return account;
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
    task->share = slice_of("", 0); /* all of an account */
    return task;
}

static size_t scnet_most_asks(const void *account, enum operation operation,
                              const struct task *task, size_t batch)
{
    (void)account, (void)operation, (void)task;
    return batch < MOST_TASKS ? batch : MOST_TASKS;
}

/* ---- sign-in ---------------------------------------------------------------------------------
 */

static bool scnet_needs_sign_in(const void *opened)
{
    return ((const struct scnet_account *)opened)->auth != AUTH_TOKEN;
}

static void append_sign_in_url(const struct scnet_account *account, struct buffer *url,
                               const char *path)
{
    struct slice base = slice_of_string(option_values_string(account->base.values, "auth.sign_in"));
    while (slice_ends_with(base, "/"))
        base.len--;
    if (slice_ends_with(base, "/ac") && strncmp(path, "/ac/", 4) == 0)
        base.len -= strlen("/ac");
    buffer_append_slice(url, base);
    buffer_append_string(url, path);
}

static void add_text_header(const struct scnet_account *account, struct http_request *request,
                            const char *name, const char *path)
{
    buffer_append_string(http_request_header(request, name),
                         option_values_string(account->base.values, path));
}

/* The text that is signed: members in this order, without blanks, all of them strings. */
static int add_signature(const struct scnet_account *account, int64_t wall_ms,
                         struct http_request *request, struct error *err)
{
    struct slice secret_key = account_secret(&account->base, "auth.secret_key");
    struct slice user = slice_of_string(option_values_string(account->base.values, "auth.user"));
    char timestamp[24], signature[DIGEST_HEX_SIZE];
    struct buffer text;
    if (secret_key.len == 0)
        return error_set(err, ERROR_INPUT, "auth.secret_key: expected a secret");
    snprintf(timestamp, sizeof timestamp, "%lld", (long long)(wall_ms / 1000));
    buffer_init(&text, 8192);
    buffer_append_string(&text, "{\"accessKey\":");
    json_write_string(&text, account_secret(&account->base, "auth.access_key"));
    json_write_string_member(&text, "timestamp", slice_of_string(timestamp));
    json_write_string_member(&text, "user", user);
    buffer_append_byte(&text, '}');
    digest_hmac_sha256_hex(secret_key, buffer_slice(&text), signature);
    buffer_release(&text);
    buffer_append_string(http_request_header(request, "timestamp"), timestamp);
    buffer_append_string(http_request_header(request, "signature"), signature);
    return 0;
}

static int scnet_sign_in(const void *opened, const struct credential *current, int64_t wall_ms,
                         struct http_request *request, struct error *err)
{
    const struct scnet_account *account = opened;
    const struct account_base *base = &account->base;
    request->method = HTTP_POST;
    if (current != NULL) {
        append_sign_in_url(account, &request->url, "/ac/openapi/v2/tokens/next");
        buffer_append_slice(http_request_header(request, "token"), secret_slice(&current->token));
        return 0;
    }
    add_text_header(account, request, "user", "auth.user");
    if (account->auth == AUTH_PASSWORD) {
        append_sign_in_url(account, &request->url, "/ac/openapi/v2/tokens");
        add_text_header(account, request, "orgId", "auth.org_id");
        return account_add_secret_header(base, "auth.password", request, "password", err);
    }
    append_sign_in_url(account, &request->url, "/api/user/v3/tokens");
    if (account_add_secret_header(base, "auth.access_key", request, "accessKey", err) < 0)
        return -1;
    return add_signature(account, wall_ms, request, err);
}

/* The claim expireTime of a JWT, milliseconds as a string; it is not verified, that is the
 * provider's part. */
static int64_t expiry_of(struct slice token, int64_t wall_ms)
{
    int64_t expires_ms = wall_ms + TOKEN_MS, claimed;
    const char *payload = memchr(token.data, '.', token.len);
    struct json_document *document = NULL;
    struct buffer text;
    struct error err;
    if (payload == NULL)
        return expires_ms;
    size_t rest = token.len - (size_t)(++payload - token.data);
    const char *end = memchr(payload, '.', rest);
    buffer_init(&text, LIMIT_SECRET_BYTES);
    if (base64url_decode(&text, slice_of(payload, end != NULL ? (size_t)(end - payload) : rest)))
        document = json_document_parse(buffer_slice(&text), LIMIT_SECRET_BYTES,
                                       LIMIT_RESPONSE_DEPTH, &err);
    if (document != NULL &&
        answer_number(json_value_get(json_document_root(document), "expireTime"), &claimed) &&
        claimed <= TIMESTAMP_LAST_MS)
        expires_ms = claimed;
    json_document_free(document);
    buffer_wipe(&text);
    return expires_ms;
}

/* The token of our region out of a list of all regions'. */
static struct slice token_of_region(const struct scnet_account *account,
                                    const struct json_value *list, struct verdict *verdict)
{
    char others[160] = "", message[LIMIT_MESSAGE_BYTES];
    if (json_value_kind(list) != JSON_LIST)
        return slice_of(NULL, 0);
    for (size_t i = 0; i < json_value_count(list); i++) {
        const struct json_value *region = json_value_at(list, i);
        struct slice id = json_value_text(json_value_get(region, "clusterId"));
        struct slice token = json_value_text(json_value_get(region, "token"));
        size_t used = strlen(others);
        if (slice_equals(id, account->cluster_id) && token.len > 0)
            return token;
        if (slice_equals(id, account->cluster_id)) {
            *verdict = (struct verdict){.kind = VERDICT_FAILED};
            verdict_set_error(verdict, FAILURE_UNAUTHORIZED, slice_of(NULL, 0),
                              slice_of_string("the user has no token for the region of "
                                              "auth.cluster_id: it is disabled there"),
                              0);
            return slice_of(NULL, 0);
        }
        if (slice_is_word(id, id_form_cluster.alphabet, id_form_cluster.most))
            snprintf(others + used, sizeof others - used, " %.*s", SLICE_ARG(id));
    }
    snprintf(message, sizeof message,
             "auth.cluster_id is none of the user's regions, which are:%.160s", others);
    *verdict = (struct verdict){.kind = VERDICT_FAILED};
    verdict_set_error(verdict, FAILURE_UNAUTHORIZED, slice_of(NULL, 0), slice_of_string(message),
                      0);
    return slice_of(NULL, 0);
}

/* A renewal's data is the token, or a list that holds it, as a text or as a member. */
static struct slice renewed_token(const struct json_value *data)
{
    const struct json_value *one = answer_single(data);
    struct slice token = json_value_text(one);
    return token.data != NULL ? token : json_value_text(json_value_get(one, "token"));
}

static const char *const code_names[] = {"code", NULL};
static const char *const message_names[] = {"msg", "message", NULL};
static const struct answer_names names = {code_names, message_names};

static const struct code_rule sign_in_rules[] = {
    {"10001", NULL, VERDICT_RETRY, FAILURE_UNAVAILABLE},
    {"911404", NULL, VERDICT_RETRY, FAILURE_UNAVAILABLE},
    {"911048", NULL, VERDICT_RETRY, FAILURE_THROTTLED},
    {"10003", "10009", VERDICT_FAILED, FAILURE_UNAUTHORIZED},
    {"911009", NULL, VERDICT_FAILED, FAILURE_UNAUTHORIZED},
    {"911406", NULL, VERDICT_FAILED, FAILURE_UNAUTHORIZED},
    {0},
};

static int take_token(const struct scnet_account *account, const struct answer *answer,
                      bool renewal, int64_t wall_ms, struct credential *credential,
                      struct verdict *verdict)
{
    const struct json_value *data = json_value_get(answer->root, "data");
    answer_unfit(answer, "the sign-in's answer holds no token", verdict);
    struct slice token = renewal ? renewed_token(data) : token_of_region(account, data, verdict);
    if (token.len == 0)
        return -1;
    answer_unfit(answer, "the token given is none", verdict);
    return account_take_token(token, expiry_of(token, wall_ms), credential);
}

static int scnet_signed_in(const void *opened, const struct credential *current,
                           const struct http_response *response, int64_t wall_ms,
                           struct credential *credential, struct verdict *verdict)
{
    struct slice json;
    struct answer answer;
    struct secrets secrets;
    int result = -1;
    account_secrets(opened, current, &secrets);
    answer_read(&answer, OPERATION_STATUS, response, &names, &secrets, &json);
    if (answer_is_good(&answer) && answer_code_is_zero(&answer)) {
        result = take_token(opened, &answer, current != NULL, wall_ms, credential, verdict);
    } else {
        answer_sign_in_failure(&answer, sign_in_rules, verdict);
        /* Whatever a renewal is refused for: the key or password may still do. */
        if (current != NULL && verdict->kind == VERDICT_FAILED)
            verdict->kind = VERDICT_RENEW;
    }
    answer_release(&answer);
    return result;
}

/* ---- calls ------------------------------------------------------------------------------------
 */

static int scnet_request(const void *opened, const struct call_purpose *purpose,
                         const struct credential *credential, int64_t wall_ms,
                         struct http_request *request, struct error *err)
{
    const struct account_base *base = opened;
    (void)wall_ms;
    request->method = HTTP_POST;
    buffer_append_string(&request->url, base->endpoint);
    buffer_append_string(&request->url, "/efile/openapi/v2/file/task/");
    buffer_append_string(&request->url, purpose->operation == OPERATION_CANCEL ? "cancel" : "list");
    buffer_append_string(http_request_header(request, "Content-Type"), "application/json");
    if (credential != NULL)
        buffer_append_slice(http_request_header(request, "token"),
                            secret_slice(&credential->token));
    else if (account_add_secret_header(base, "auth.token", request, "token", err) < 0)
        return -1;
    buffer_append_string(&request->body, "{\"taskIds\":");
    if (task_write_asks(&request->body, purpose, err) < 0)
        return -1;
    buffer_append_byte(&request->body, '}');
    return 0;
}

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

/* Of several tasks a refusal does not say which it concerns. What the service finds wrong with the
 * parameters it finds before it does anything; a task or file that it trips over may come after
 * others that it has done. What is wrong with the user or the gateway is wrong for all. */
static void judge_whole_refusal(const struct answer *answer, size_t ids, struct verdict *verdict)
{
    static const struct code_rule parameters[] = {{"10003", "10004", VERDICT_RETRY, 0}, {0}};
    static const struct code_rule items[] = {{"911020", "911034", VERDICT_REFUSED, 0},
                                             {"911501", "911507", VERDICT_REFUSED, 0},
                                             {"911700", NULL, VERDICT_REFUSED, 0},
                                             {0}};
    bool too_long = answer->response->result == HTTP_ANSWERED && answer->response->status == 413;
    if (verdict->kind != VERDICT_REFUSED)
        return;
    if (verdict->error.kind == FAILURE_NOT_FOUND)
        verdict->error.kind = FAILURE_FORBIDDEN;
    if (too_long || code_rule_find(parameters, answer->code) != NULL)
        answer_apart(verdict, VERDICT_RETRY, ids / 2);
    else if (code_rule_find(items, answer->code) != NULL)
        answer_apart(verdict, VERDICT_REFUSED, ids / 2);
    verdict->tells_state = false;
}

static void scnet_response(const void *account, const struct call_purpose *purpose,
                           const struct credential *credential,
                           const struct http_response *response, struct verdict *verdicts,
                           struct next_page *next, struct slice *json)
{
    struct secrets secrets;
    struct answer answer;
    struct verdict verdict;
    (void)next;
    account_secrets(account, credential, &secrets);
    answer_read(&answer, purpose->operation, response, &names, &secrets, json);
    if (answer_is_good(&answer) && answer_code_is_zero(&answer)) {
        judge_items(&answer, purpose, verdicts);
    } else {
        answer_failure(&answer, rules, &verdict);
        verdict.ambiguous = slice_equals(answer.code, "10008");
        if (purpose->ids > 1)
            judge_whole_refusal(&answer, purpose->ids, &verdict);
        verdict_fill(verdicts, purpose->count, &verdict);
    }
    answer_release(&answer);
}

static const struct task_member members[] = {
    {.name = "taskIds", .kind = MEMBER_IDS, .help = "asynchronous tasks"},
    {0},
};

const struct provider provider_scnet = {
    .name = "scnet",
    .title = "SCNet efile",
    .members = members,
    .options = options,
    .confirm_default = false,
    .shares_calls = true,
    .open = scnet_open,
    .close = account_close,
    .task = scnet_task,
    .task_free = task_free_block,
    .most_asks = scnet_most_asks,
    .needs_sign_in = scnet_needs_sign_in,
    .signs_calls = provider_none_signs_calls,
    .sign_in = scnet_sign_in,
    .signed_in = scnet_signed_in,
    .request = scnet_request,
    .response = scnet_response,
};
