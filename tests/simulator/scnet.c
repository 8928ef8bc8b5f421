/* SCNet: asynchronous file tasks and the sign-in pages. Errors come as HTTP 200 with a code. */
#include "answer.h"
#include "check.h"
#include "credentials.h"
#include "hash.h"
#include "ledger.h"
#include "provider.h"
#include "tasks.h"

#include "common/banned.h"

enum page {
    PAGE_NONE,
    PAGE_CANCEL,
    PAGE_LIST,
    PAGE_SIGN_IN_KEY,
    PAGE_SIGN_IN_PASSWORD,
    PAGE_NEXT,
    PAGE_STATE,
    PAGE_CENTER,
};

enum { IDS_MAX = 500, CLOCK_SKEW_MAX_S = 15 * 60 };

static bool route(struct request *request)
{
    static const struct {
        const char *path;
        enum page page;
        enum operation operation;
    } pages[] = {
        {"/efile/openapi/v2/file/task/cancel", PAGE_CANCEL, OPERATION_CANCEL},
        {"/efile/openapi/v2/file/task/list", PAGE_LIST, OPERATION_STATUS},
        {"/api/user/v3/tokens", PAGE_SIGN_IN_KEY, OPERATION_SIGN_IN},
        {"/ac/openapi/v2/tokens", PAGE_SIGN_IN_PASSWORD, OPERATION_SIGN_IN},
        {"/ac/openapi/v2/tokens/next", PAGE_NEXT, OPERATION_RENEW},
        {"/ac/openapi/v2/tokens/state", PAGE_STATE, OPERATION_OTHER},
        {"/ac/openapi/v2/center", PAGE_CENTER, OPERATION_OTHER},
    };
    if (strncmp(request->path, "/efile/", 7) != 0 && strncmp(request->path, "/ac/", 4) != 0 &&
        strncmp(request->path, "/api/user/", 10) != 0)
        return false;
    request->provider = PROVIDER_SCNET;
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strcmp(request->path, pages[i].path) == 0) {
            request->page = (int)pages[i].page;
            request->operation = pages[i].operation;
        }
    }
    return true;
}

static void service_answer(struct request *request, const char *code, const char *message,
                           json_t *data)
{
    answer_json(&request->answer, 200,
                json_pack("{s:s, s:s, s:o?}", "code", code, "msg", message, "data", data));
}

/* The credentials' "rejection": 911406, 10008, or 401 for the status of that name. */
static void reject(struct simulator *simulator, struct request *request)
{
    const char *way = credential(simulator, SCNET_REJECTION);
    if (strcmp(way, "401") == 0)
        answer_json(&request->answer, 401,
                    json_pack("{s:s, s:s}", "code", "911406", "msg", "token not accepted"));
    else
        service_answer(request, way, "token not accepted", NULL);
}

static bool signed_in(struct simulator *simulator, const struct request *request)
{
    const char *token = request_header(request, "token");
    const char *fixed = credential(simulator, SCNET_TOKEN);
    enum token_state state;
    if (!token) {
        ledger_violation(simulator, request, "header token: missing");
        return false;
    }
    if (*fixed && strcmp(token, fixed) == 0)
        return true;
    state = tokens_state(simulator, PROVIDER_SCNET, token, request->now_ms);
    if (state == TOKEN_UNKNOWN)
        ledger_violation(simulator, request, "header token: never issued");
    return state == TOKEN_VALID;
}

/* ---- file tasks ---- */

static const char *status_word(enum task_state state)
{
    switch (state) {
    case TASK_WAITING:
        return "waiting"; /* the words for waiting and running are not documented */
    case TASK_CANCELLED:
        return "cancel";
    case TASK_SUCCEEDED:
        return "complete";
    case TASK_FAILED:
    case TASK_PARTIAL:
        return "fail";
    default:
        return "running";
    }
}

static void task_append(struct simulator *simulator, struct request *request, const char *id,
                        json_t *data)
{
    struct task *task = tasks_find(simulator, request, PROVIDER_SCNET, id);
    bool cancelled = false;
    if (!task)
        return;
    task_asked(task, request->operation);
    if (task->state == TASK_MISSING)
        return;
    if (request->page == PAGE_LIST) {
        json_array_append_new(
            data, json_pack("{s:s, s:s}", "taskId", task->id, "status", status_word(task->state)));
        return;
    }
    cancelled = task_cancel(task, request, TASK_CANCELLED);
    json_array_append_new(data, json_pack("{s:s, s:b, s:s}", "taskId", task->id, "result",
                                          cancelled, "status", status_word(task->state)));
}

static void handle_tasks(struct simulator *simulator, struct request *request)
{
    static const char *const headers[] = {"Content-Type", "token", NULL};
    static const char *const members[] = {"taskIds", NULL};
    json_t *ids = json_object_get(request->json, "taskIds");
    json_t *data, *id;
    size_t i;
    check_headers(simulator, request, headers);
    if (!check_method(simulator, request, "POST")) {
        answer_empty(&request->answer, 405);
        return;
    }
    if (!signed_in(simulator, request)) {
        reject(simulator, request);
        return;
    }
    if (!check_query(simulator, request, NULL) || !check_json_body(simulator, request) ||
        !check_members(simulator, request, request->json, members) ||
        !check_ids(simulator, request, ids, "taskIds", IDS_MAX, id_word)) {
        service_answer(request, ids ? "10004" : "10003", "parameter invalid", NULL);
        return;
    }
    data = json_array();
    json_array_foreach(ids, i, id)
    {
        task_append(simulator, request, json_string_value(id), data);
    }
    service_answer(request, "0", "success", data);
}

/* ---- signing in ---- */

/* A token in the form of a JWT whose expireTime claim is milliseconds as a string. */
static void token_make(struct simulator *simulator, const struct request *request, char *text,
                       size_t size)
{
    int64_t lasts_ms = credentials_token_ms(simulator, PROVIDER_SCNET);
    char claims[160];
    char *head = hash_base64url("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
    char *body;
    unsigned number = tokens_next_number(simulator);
    snprintf(claims, sizeof(claims), "{\"sub\":\"user\",\"jti\":\"%u\",\"expireTime\":\"%lld\"}",
             number, (long long)(simulator_wall_ms(simulator) + lasts_ms));
    body = hash_base64url(claims);
    snprintf(text, size, "%s.%s.simulated-%u", head, body, number);
    free(head);
    free(body);
    tokens_issue(simulator, PROVIDER_SCNET, text, request->now_ms + lasts_ms);
}

static void regions_answer(struct simulator *simulator, struct request *request)
{
    static const char platform[] = "e30.e30.platform"; /* never good for file tasks */
    char token[512];
    token_make(simulator, request, token, sizeof(token));
    service_answer(request, "0", "success",
                   json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:n}, {s:s, s:s, s:s}]", "clusterName",
                             "ac", "clusterId", "0", "token", platform, "clusterName", "disabled",
                             "clusterId", "11113", "token", "clusterName", "east", "clusterId",
                             credential(simulator, SCNET_CLUSTER_ID), "token", token));
}

static bool key_right(struct simulator *simulator, const struct request *request)
{
    const char *user = request_header(request, "user");
    const char *key = request_header(request, "accessKey");
    const char *timestamp = request_header(request, "timestamp");
    const char *given = request_header(request, "signature");
    char message[1024], hex[65];
    char *end;
    int64_t skew_s;
    int len;
    if (!user || !key || !timestamp || !given) {
        ledger_violation(simulator, request,
                         "headers user, accessKey, timestamp, signature: missing");
        return false;
    }
    skew_s = simulator_wall_ms(simulator) / 1000 - strtoll(timestamp, &end, 10);
    if (*end || skew_s > CLOCK_SKEW_MAX_S || skew_s < -CLOCK_SKEW_MAX_S) {
        ledger_violation(simulator, request, "header timestamp: expected now in seconds");
        return false;
    }
    if (strcmp(user, credential(simulator, SCNET_USER)) != 0 ||
        strcmp(key, credential(simulator, SCNET_ACCESS_KEY)) != 0) {
        ledger_violation(simulator, request, "headers user, accessKey: unknown");
        return false;
    }
    len = snprintf(message, sizeof(message),
                   "{\"accessKey\":\"%s\",\"timestamp\":\"%s\",\"user\":\"%s\"}", key, timestamp,
                   user);
    hash_hmac_sha256_hex(credential(simulator, SCNET_SECRET_KEY), message, (size_t)len, hex);
    if (strcmp(hex, given) == 0)
        return true;
    ledger_violation(simulator, request, "header signature: wrong");
    return false;
}

static bool password_right(struct simulator *simulator, const struct request *request)
{
    static const struct {
        const char *header;
        enum credential credential;
    } wanted[] = {{"user", SCNET_USER}, {"password", SCNET_PASSWORD}, {"orgId", SCNET_ORG_ID}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const char *value = request_header(request, wanted[i].header);
        if (!value || strcmp(value, credential(simulator, wanted[i].credential)) != 0) {
            ledger_violation(simulator, request, "header %s: missing or wrong", wanted[i].header);
            return false;
        }
    }
    return true;
}

static bool body_empty(struct simulator *simulator, const struct request *request)
{
    if (request->body_len == 0 || strcmp(request->body, "{}") == 0)
        return true;
    ledger_violation(simulator, request, "body: expected none or {}");
    return false;
}

static void handle_sign_in(struct simulator *simulator, struct request *request)
{
    static const char *const key_headers[] = {"Content-Type", "user",      "accessKey",
                                              "timestamp",    "signature", NULL};
    static const char *const password_headers[] = {"Content-Type", "user", "password", "orgId",
                                                   NULL};
    bool by_key = request->page == PAGE_SIGN_IN_KEY;
    check_headers(simulator, request, by_key ? key_headers : password_headers);
    if (!check_method(simulator, request, "POST")) {
        answer_empty(&request->answer, 405);
        return;
    }
    if (!check_query(simulator, request, NULL) ||
        !(by_key ? body_empty(simulator, request) : check_no_body(simulator, request))) {
        service_answer(request, "10004", "parameter invalid", NULL);
        return;
    }
    if (credentials_locked(simulator, request)) {
        service_answer(request, "10007", "the user is frozen", NULL);
        return;
    }
    bool right = by_key ? key_right(simulator, request) : password_right(simulator, request);
    credentials_attempt(simulator, PROVIDER_SCNET, right, request->now_ms);
    if (right)
        regions_answer(simulator, request);
    else
        service_answer(request, "10009", "check failed", NULL);
}

/* The new token comes as a string or as an array holding it; both forms in turn. */
static void handle_next(struct simulator *simulator, struct request *request)
{
    static const char *const headers[] = {"Content-Type", "token", NULL};
    const char *old = request_header(request, "token");
    char token[512];
    check_headers(simulator, request, headers);
    if (!check_method(simulator, request, "POST")) {
        answer_empty(&request->answer, 405);
        return;
    }
    if (!old || tokens_state(simulator, PROVIDER_SCNET, old, request->now_ms) == TOKEN_UNKNOWN) {
        ledger_violation(simulator, request, "header token: missing or never issued");
        service_answer(request, "911406", "token not accepted", NULL);
        return;
    }
    token_make(simulator, request, token, sizeof(token));
    if (token[strlen(token) - 1] % 2 == 0)
        service_answer(request, "0", "success", json_pack("[{s:s}]", "token", token));
    else
        service_answer(request, "0", "success", json_string(token));
}

static void handle_other(struct simulator *simulator, struct request *request)
{
    static const char *const headers[] = {"token", NULL};
    check_headers(simulator, request, headers);
    if (!check_method(simulator, request, "GET")) {
        answer_empty(&request->answer, 405);
    } else if (!signed_in(simulator, request)) {
        reject(simulator, request);
    } else if (request->page == PAGE_STATE) {
        service_answer(request, "0", "success", json_string("valid"));
    } else {
        service_answer(request, "0", "success",
                       json_pack("{s:[{s:s, s:s}]}", "efileUrls", "url",
                                 "https://efile.example/efile", "enable", "true"));
    }
}

static void handle(struct simulator *simulator, struct request *request)
{
    switch ((enum page)request->page) {
    case PAGE_CANCEL:
    case PAGE_LIST:
        handle_tasks(simulator, request);
        break;
    case PAGE_SIGN_IN_KEY:
    case PAGE_SIGN_IN_PASSWORD:
        handle_sign_in(simulator, request);
        break;
    case PAGE_NEXT:
        handle_next(simulator, request);
        break;
    case PAGE_STATE:
    case PAGE_CENTER:
        handle_other(simulator, request);
        break;
    case PAGE_NONE:
        ledger_violation(simulator, request, "path: no such page");
        answer_empty(&request->answer, 404);
        break;
    }
}

static void throttle(struct request *request, const char *style)
{
    (void)style;
    service_answer(request, "911048", "the service is busy, try later", NULL);
}

static void expired(struct simulator *simulator, struct request *request)
{
    const char *token = request_header(request, "token");
    if (token)
        tokens_revoke(simulator, PROVIDER_SCNET, token);
    reject(simulator, request);
}

const struct provider_row scnet_provider = {route, handle, throttle, expired};
