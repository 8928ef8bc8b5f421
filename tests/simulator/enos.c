/* EnOS data federation and its token service; operations, signature and codes as the vendor prints
 * them. */
#include <strings.h>

#include "answer.h"
#include "check.h"
#include "credentials.h"
#include "hash.h"
#include "ledger.h"
#include "provider.h"
#include "tasks.h"

#include "common/banned.h"

enum page { PAGE_NONE, PAGE_CANCEL, PAGE_STATUS, PAGE_TOKEN_GET, PAGE_TOKEN_REFRESH };

enum { CLOCK_SKEW_MAX_MS = 15 * 60 * 1000, QUERY_KEYS_MAX = 16 };

static const char channels[] = "/data-federation/v2.0/channels/read/";

/* "{channelId}/download/{taskId}" and perhaps "/status" */
static void route_download(struct request *request, const char *rest)
{
    static const char download[] = "/download/";
    const char *slash = strchr(rest, '/');
    const char *task, *end;
    if (!slash || slash == rest || slash - rest > ID_MAX ||
        strncmp(slash, download, sizeof(download) - 1) != 0)
        return;
    task = slash + sizeof(download) - 1;
    end = strchrnul(task, '/');
    if (end == task || end - task > ID_MAX)
        return;
    if (*end == '\0') {
        request->page = PAGE_CANCEL;
        request->operation = OPERATION_CANCEL;
    } else if (strcmp(end, "/status") == 0) {
        request->page = PAGE_STATUS;
        request->operation = OPERATION_STATUS;
    } else {
        return;
    }
    memcpy(request->parent, rest, (size_t)(slash - rest));
    memcpy(request->id, task, (size_t)(end - task));
}

static bool route(struct request *request)
{
    const char *path = request->path;
    if (strncmp(path, "/apim-token-service/", 20) == 0) {
        request->provider = PROVIDER_ENOS;
        if (strcmp(path, "/apim-token-service/v2.0/token/get") == 0) {
            request->page = PAGE_TOKEN_GET;
            request->operation = OPERATION_SIGN_IN;
        } else if (strcmp(path, "/apim-token-service/v2.0/token/refresh") == 0) {
            request->page = PAGE_TOKEN_REFRESH;
            request->operation = OPERATION_RENEW;
        }
        return true;
    }
    if (strncmp(path, "/data-federation/", 17) != 0)
        return false;
    request->provider = PROVIDER_ENOS;
    if (strncmp(path, channels, sizeof(channels) - 1) == 0)
        route_download(request, path + sizeof(channels) - 1);
    return true;
}

/* ---- the token service ---- */

static void token_answer(struct request *request, int status, const char *message, json_t *data)
{
    answer_json(&request->answer, 200,
                json_pack("{s:i, s:s, s:s, s:o?}", "status", status, "msg", message, "business",
                          "apim-token-service", "data", data));
}

static bool timestamp_fresh(const struct simulator *simulator, int64_t timestamp_ms)
{
    int64_t skew = simulator_wall_ms(simulator) - timestamp_ms;
    return skew < CLOCK_SKEW_MAX_MS && skew > -CLOCK_SKEW_MAX_MS;
}

static void token_give(struct simulator *simulator, struct request *request, bool renew)
{
    int64_t left_ms = credentials_token_ms(simulator, PROVIDER_ENOS);
    const char *current =
        renew ? NULL : tokens_current(simulator, PROVIDER_ENOS, request->now_ms, &left_ms);
    char text[64];
    if (current)
        snprintf(text, sizeof(text), "%s", current);
    else
        snprintf(text, sizeof(text), "enos-token-%u", tokens_next_number(simulator));
    if (!current)
        tokens_issue(simulator, PROVIDER_ENOS, text, request->now_ms + left_ms);
    token_answer(
        request, 0, "SUCCESS",
        json_pack("{s:s, s:I}", "accessToken", text, "expire", (json_int_t)(left_ms / 1000)));
}

static bool encryption_right(struct simulator *simulator, const char *encryption,
                             json_int_t timestamp)
{
    char text[1024], hex[65];
    int len = snprintf(text, sizeof(text), "%s%lld%s", credential(simulator, ENOS_APP_KEY),
                       (long long)timestamp, credential(simulator, ENOS_APP_SECRET));
    if (len < 0 || (size_t)len >= sizeof(text))
        return false;
    hash_sha256_hex(text, (size_t)len, hex);
    return strcmp(hex, encryption) == 0;
}

/* Whether the account may have a token; answers otherwise. */
static bool token_allowed(struct simulator *simulator, struct request *request, const char *app_key,
                          const char *encryption, json_int_t timestamp)
{
    int code = 0;
    const char *what = NULL;
    if (credentials_locked(simulator, request)) {
        token_answer(request, 1003, "locked", NULL);
        return false;
    }
    if (!timestamp_fresh(simulator, timestamp)) {
        code = 1004;
        what = "body member timestamp: over 15 minutes off";
    } else if (strcmp(app_key, credential(simulator, ENOS_APP_KEY)) != 0) {
        code = 1002;
        what = "body member appKey: unknown";
    } else if (!encryption_right(simulator, encryption, timestamp)) {
        code = 1003;
        what = "body member encryption: wrong";
    } else if (!credentials_once(simulator, encryption)) {
        code = 1001;
        what = "body member encryption: used before (replay guard)";
    }
    /* A repeated encryption is refused, but it was made with the right secret. */
    credentials_attempt(simulator, PROVIDER_ENOS, code == 0 || code == 1001, request->now_ms);
    if (code == 0)
        return true;
    ledger_violation(simulator, request, "%s", what);
    token_answer(request, code, what, NULL);
    return false;
}

static void handle_token(struct simulator *simulator, struct request *request)
{
    static const char *const members[] = {"appKey", "encryption", "timestamp", "accessToken", NULL};
    static const char *const headers[] = {"Content-Type", NULL};
    bool renew = request->page == PAGE_TOKEN_REFRESH;
    const char *app_key = NULL, *encryption = NULL, *token = NULL;
    json_int_t timestamp = 0;
    check_headers(simulator, request, headers);
    if (!check_method(simulator, request, "POST")) {
        answer_empty(&request->answer, 405);
        return;
    }
    if (!check_query(simulator, request, NULL) || !check_json_body(simulator, request) ||
        !check_members(simulator, request, request->json, members) ||
        json_unpack(request->json, "{s:s, s:s, s:I, s?s}", "appKey", &app_key, "encryption",
                    &encryption, "timestamp", &timestamp, "accessToken", &token) != 0 ||
        (token != NULL) != renew) {
        ledger_violation(simulator, request, "body: expected appKey, encryption, timestamp%s",
                         renew ? ", accessToken" : "");
        token_answer(request, 1004, "invalid parameter", NULL);
        return;
    }
    if (!token_allowed(simulator, request, app_key, encryption, timestamp))
        return;
    if (renew && tokens_state(simulator, PROVIDER_ENOS, token, request->now_ms) != TOKEN_VALID) {
        token_answer(request, 1204, "refresh failed", NULL);
        return;
    }
    token_give(simulator, request, renew);
}

/* ---- the gateway ---- */

/* How the gateway rejects a call is not documented; the credentials' "rejection" chooses. */
static void reject(struct simulator *simulator, struct request *request)
{
    const char *way = credential(simulator, ENOS_REJECTION);
    if (strcmp(way, "status") == 0)
        answer_json(&request->answer, 401,
                    json_pack("{s:i, s:s}", "status", 1203, "msg", "token expired"));
    else if (strcmp(way, "code") == 0)
        answer_json(&request->answer, 200,
                    json_pack("{s:s, s:s}", "code", "1203", "msg", "token expired"));
    else
        answer_json(&request->answer, 401,
                    json_pack("{s:i, s:s}", "apim_status", 4011, "apim_message",
                              "The access token is invalid or expired"));
}

struct query_key {
    const char *key, *value;
};
struct query {
    struct query_key keys[QUERY_KEYS_MAX];
    size_t count;
};

static enum MHD_Result query_collect(void *context, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    struct query *query = context;
    (void)kind;
    if (query->count < QUERY_KEYS_MAX)
        query->keys[query->count++] = (struct query_key){key, value ? value : ""};
    return MHD_YES;
}

static int query_order(const void *left, const void *right)
{
    return strcmp(((const struct query_key *)left)->key, ((const struct query_key *)right)->key);
}

/* SHA-256 of token, each query key with its decoded value in order, body, timestamp, secret. */
static void signature(struct simulator *simulator, const struct request *request, const char *token,
                      const char *timestamp, char *hex)
{
    struct query query = {.count = 0};
    char *text;
    size_t len;
    FILE *stream = must(open_memstream(&text, &len));
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, query_collect, &query);
    qsort(query.keys, query.count, sizeof(query.keys[0]), query_order);
    fputs(token, stream);
    for (size_t i = 0; i < query.count; i++)
        fprintf(stream, "%s%s", query.keys[i].key, query.keys[i].value);
    fwrite(request->body, 1, request->body_len, stream);
    fprintf(stream, "%s%s", timestamp, credential(simulator, ENOS_APP_SECRET));
    fclose(stream);
    hash_sha256_hex(text, len, hex);
    free(text);
}

static bool bearer_right(struct simulator *simulator, const struct request *request,
                         const char *token)
{
    const char *authorization = request_header(request, "Authorization");
    if (!authorization ||
        (strncmp(authorization, "Bearer ", 7) == 0 && strcmp(authorization + 7, token) == 0))
        return true;
    ledger_violation(simulator, request, "header Authorization: expected Bearer and the token");
    return false;
}

static bool signed_in(struct simulator *simulator, const struct request *request)
{
    const char *token = request_header(request, "apim-accesstoken");
    const char *timestamp = request_header(request, "apim-timestamp");
    const char *given = request_header(request, "apim-signature");
    enum token_state state;
    char hex[65];
    char *end;
    if (!token || !timestamp || !given) {
        ledger_violation(simulator, request,
                         "headers apim-accesstoken, apim-timestamp, apim-signature: missing");
        return false;
    }
    if (strlen(timestamp) != 13 || !timestamp_fresh(simulator, strtoll(timestamp, &end, 10)) ||
        *end) {
        ledger_violation(simulator, request, "header apim-timestamp: expected now in milliseconds");
        return false;
    }
    signature(simulator, request, token, timestamp, hex);
    if (strcmp(hex, given) != 0) {
        ledger_violation(simulator, request, "header apim-signature: wrong");
        return false;
    }
    state = tokens_state(simulator, PROVIDER_ENOS, token, request->now_ms);
    if (state == TOKEN_UNKNOWN)
        ledger_violation(simulator, request, "header apim-accesstoken: never issued");
    return state == TOKEN_VALID && bearer_right(simulator, request, token);
}

/* ---- the service ---- */

static void service_answer(struct request *request, struct task *task, int code,
                           const char *message, json_t *data)
{
    json_t *shown =
        task && task_second_form(task, task->codes) ? json_sprintf("%d", code) : json_integer(code);
    if (task && data && task_second_form(task, task->data))
        data = json_pack("[o]", data);
    answer_json(&request->answer, 200,
                json_pack("{s:o, s:s, s:o?}", "code", shown, "msg", message, "data", data));
}

static int progress_code(enum task_state state)
{
    static const int codes[TASK_STATES] = {
        [TASK_WAITING] = 0,   [TASK_RUNNING] = 1,   [TASK_FAILED] = 2,
        [TASK_PARTIAL] = 2,   [TASK_SUCCEEDED] = 3, [TASK_CANCELLING] = 4,
        [TASK_CANCELLED] = 5, [TASK_EXPIRING] = 6,  [TASK_EXPIRED] = 7,
    };
    return codes[state];
}

static json_t *task_data(struct task *task, bool with_url)
{
    static const char *const words[] = {"waiting",    "running",   "failed",   "succeeded",
                                        "cancelling", "cancelled", "expiring", "expired"};
    int code = progress_code(task->state);
    /* Documented as an integer, printed as a string in every sample. */
    json_t *shown =
        task_second_form(task, task->codes) ? json_integer(code) : json_sprintf("%d", code);
    json_t *data = json_pack("{s:s, s:o, s:s}", "taskId", task->id, "progressCode", shown,
                             "progressDesc", words[code]);
    if (with_url)
        json_object_set_new(data, "downloadUrl",
                            code == 3 ? json_string("https://download.example/file") : json_null());
    return data;
}

static bool request_right(struct simulator *simulator, struct request *request)
{
    static const char *const query[] = {"orgId", NULL};
    static const char *const headers[] = {"apim-accesstoken", "apim-timestamp", "apim-signature",
                                          "Authorization", NULL};
    bool cancel = request->page == PAGE_CANCEL;
    const char *org = request_query(request, "orgId");
    check_headers(simulator, request, headers);
    if (!check_method(simulator, request, cancel ? "DELETE" : "GET")) {
        answer_empty(&request->answer, 405);
        return false;
    }
    if (!signed_in(simulator, request)) {
        reject(simulator, request);
        return false;
    }
    if (!org || !*org)
        ledger_violation(simulator, request, "query orgId: missing");
    if (!check_query(simulator, request, query) || !check_no_body(simulator, request) || !org ||
        !*org || !check_id(simulator, request, "channel id", request->parent, id_word) ||
        !check_id(simulator, request, "task id", request->id, id_word)) {
        service_answer(request, NULL, 81400, "channel or data source error", NULL);
        return false;
    }
    return true;
}

static bool in_reach(const struct request *request, const struct task *task)
{
    const char *org = request_query(request, "orgId");
    return task->state != TASK_MISSING &&
           (!task->parent || strcmp(task->parent, request->parent) == 0) &&
           (!task->org || strcmp(task->org, org) == 0);
}

static void handle_task(struct simulator *simulator, struct request *request)
{
    struct task *task;
    bool cancel = request->page == PAGE_CANCEL;
    if (!request_right(simulator, request))
        return;
    task = tasks_find(simulator, request, PROVIDER_ENOS, request->id);
    if (!task) {
        service_answer(request, NULL, 81500, "internal error", NULL);
        return;
    }
    task_asked(task, request->operation);
    if (!in_reach(request, task)) {
        service_answer(request, task, 81404, "channel or data source does not exist", NULL);
        return;
    }
    if (cancel && !task_cancel(task, request, TASK_CANCELLING) && task->refusal) {
        answer_json(&request->answer, 200, json_deep_copy(task->refusal));
        return;
    }
    service_answer(request, task, 0, "OK", task_data(task, !cancel));
}

static void handle(struct simulator *simulator, struct request *request)
{
    switch ((enum page)request->page) {
    case PAGE_CANCEL:
    case PAGE_STATUS:
        handle_task(simulator, request);
        break;
    case PAGE_TOKEN_GET:
    case PAGE_TOKEN_REFRESH:
        handle_token(simulator, request);
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
    answer_text(&request->answer, 429, "text/plain", "Too Many Requests");
}

static void expired(struct simulator *simulator, struct request *request)
{
    const char *token = request_header(request, "apim-accesstoken");
    if (token)
        tokens_revoke(simulator, PROVIDER_ENOS, token);
    if (request->page == PAGE_TOKEN_REFRESH)
        token_answer(request, 1203, "token expired", NULL);
    else
        reject(simulator, request);
}

const struct provider_row enos_provider = {route, handle, throttle, expired};
