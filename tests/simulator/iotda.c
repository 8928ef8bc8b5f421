/* Huawei Cloud IoTDA v5: batch tasks and their targets. The spelling Waitting is the vendor's. */
#include "answer.h"
#include "check.h"
#include "credentials.h"
#include "ledger.h"
#include "provider.h"
#include "signature.h"
#include "tasks.h"

#include "common/banned.h"

enum page { PAGE_NONE, PAGE_STOP, PAGE_SHOW };

enum {
    CLOCK_SKEW_MAX_MS = 15 * 60 * 1000,
    TARGETS_MAX = 100,
    LIMIT_DEFAULT = 10,
    LIMIT_MAX = 50,
    OFFSET_MAX = 500
};

static const char prefix[] = "/v5/iot/";

static bool route(struct request *request)
{
    static const char batchtasks[] = "/batchtasks/";
    const char *project = request->path + sizeof(prefix) - 1;
    const char *slash, *task, *end;
    if (strncmp(request->path, prefix, sizeof(prefix) - 1) != 0)
        return false;
    request->provider = PROVIDER_IOTDA;
    slash = strchrnul(project, '/');
    if (slash == project || slash - project > ID_MAX ||
        strncmp(slash, batchtasks, sizeof(batchtasks) - 1) != 0)
        return true;
    task = slash + sizeof(batchtasks) - 1;
    end = strchrnul(task, '/');
    if (end == task || end - task > ID_MAX)
        return true;
    if (*end == '\0') {
        request->page = PAGE_SHOW;
        request->operation = OPERATION_STATUS;
    } else if (strcmp(end, "/stop") == 0) {
        request->page = PAGE_STOP;
        request->operation = OPERATION_CANCEL;
    } else {
        return true;
    }
    memcpy(request->parent, project, (size_t)(slash - project));
    memcpy(request->id, task, (size_t)(end - task));
    return true;
}

static void refuse(struct request *request, unsigned status, const char *code, const char *message)
{
    answer_json(&request->answer, status,
                json_pack("{s:s, s:s}", "error_code", code, "error_msg", message));
    answer_header(&request->answer, "X-Request-Id", "0123456789abcdef0123456789abcdef");
}

/* The credentials' "rejection" chooses among the codes that are seen in the field. */
static void reject(struct simulator *simulator, struct request *request)
{
    const char *code = credential(simulator, IOTDA_REJECTION);
    if (strcmp(code, "IOTDA.000004") == 0)
        refuse(request, 403, code, "Invalid access token.");
    else if (strcmp(code, "IOTDA.000002") == 0)
        refuse(request, 401, code, "Authentication failed.");
    else
        refuse(request, 401, code, "The token must be updated.");
}

/* An instance's own address wants the derived signature, the shared one the standard one. */
static bool wants_derived(struct simulator *simulator, const struct request *request)
{
    const char *wanted = credential(simulator, IOTDA_SIGNATURE);
    const char *host = request_header(request, "Host");
    return *wanted ? strcmp(wanted, "derived") == 0 : host && strstr(host, ".iotda-app.");
}

/* The key that the security token, if one is sent, belongs to; and the project's header. */
static bool headers_right(struct simulator *simulator, const struct request *request,
                          const char *security_token)
{
    const char *project = request_header(request, "X-Project-Id");
    if (!project || strcmp(project, request->parent) != 0) {
        ledger_violation(simulator, request, "header X-Project-Id: missing, or not the path's");
        return false;
    }
    if (security_token &&
        strcmp(security_token, credential(simulator, IOTDA_SECURITY_TOKEN)) != 0) {
        ledger_violation(simulator, request, "header X-Security-Token: wrong");
        return false;
    }
    return true;
}

static bool signature_right(struct simulator *simulator, struct request *request)
{
    const char *security_token = request_header(request, "X-Security-Token");
    bool derived = wants_derived(simulator, request);
    char scope[128];
    struct signature_demand demand = {
        .algorithm = derived ? "V11-HMAC-SHA256" : "SDK-HMAC-SHA256",
        .key =
            credential(simulator, security_token ? IOTDA_TEMPORARY_ACCESS_KEY : IOTDA_ACCESS_KEY),
        .secret =
            credential(simulator, security_token ? IOTDA_TEMPORARY_SECRET_KEY : IOTDA_SECRET_KEY),
        .scope = derived ? scope : NULL,
        .date_header = "X-Sdk-Date",
        .must_sign = {"Host", "X-Sdk-Date", "X-Project-Id", "Instance-Id", "X-Security-Token",
                      NULL},
        .future_ms = CLOCK_SKEW_MAX_MS,
        .past_ms = CLOCK_SKEW_MAX_MS};
    snprintf(scope, sizeof(scope), "%s/iotdm", credential(simulator, IOTDA_REGION));
    switch (signature_check(simulator, request, &demand)) {
    case SIGNATURE_RIGHT:
        if (headers_right(simulator, request, security_token))
            return true;
        refuse(request, 401, "APIGW.0301", "Incorrect IAM authentication information");
        break;
    case SIGNATURE_FORM:
        refuse(request, 401, "IOTDA.000002", "Authentication failed.");
        break;
    case SIGNATURE_CLOCK:
        refuse(request, 401, "APIGW.0301",
               "Incorrect IAM authentication information: calc aksk signature fail:signature "
               "expired, signature time:20060102T150405Z,server time:20060102T160405Z");
        break;
    case SIGNATURE_KEY:
    case SIGNATURE_WRONG:
        refuse(request, 401, "APIGW.0301",
               "Incorrect IAM authentication information: verify aksk signature fail, "
               "canonicalRequest:POST|/v5/||x-security-token:not-for-any-log");
        break;
    }
    return false;
}

static bool signed_rightly(struct simulator *simulator, struct request *request)
{
    bool right;
    if (credentials_locked(simulator, request)) {
        refuse(request, 401, "APIGW.0301", "Incorrect IAM authentication information: ak locked");
        return false;
    }
    right = signature_right(simulator, request);
    credentials_attempt(simulator, PROVIDER_IOTDA, right, request->now_ms);
    return right;
}

/* A fixed token or one of IAM's. */
static bool signed_in(struct simulator *simulator, const struct request *request)
{
    const char *token = request_header(request, "X-Auth-Token");
    const char *fixed = credential(simulator, IOTDA_TOKEN);
    enum token_state state;
    if (!token) {
        ledger_violation(simulator, request, "header X-Auth-Token: missing");
        return false;
    }
    if (*fixed && strcmp(token, fixed) == 0)
        return true;
    state = tokens_state(simulator, PROVIDER_IAM, token, request->now_ms);
    if (state == TOKEN_UNKNOWN)
        ledger_violation(simulator, request, "header X-Auth-Token: never issued");
    return state == TOKEN_VALID;
}

static bool instance_right(struct simulator *simulator, const struct request *request)
{
    const char *instance = request_header(request, "Instance-Id");
    const char *wanted = credential(simulator, IOTDA_INSTANCE_ID);
    const char *project = credential(simulator, IOTDA_PROJECT_ID);
    if (*wanted ? !instance || strcmp(instance, wanted) != 0
                : instance && (strlen(instance) < 1 || strlen(instance) > 36)) {
        ledger_violation(simulator, request, "header Instance-Id: missing or wrong");
        return false;
    }
    if (*project && strcmp(project, request->parent) != 0) {
        ledger_violation(simulator, request, "path: wrong project");
        return false;
    }
    return true;
}

/* ---- showing ---- */

static const char *task_word(enum task_state state)
{
    switch (state) {
    case TASK_WAITING:
        return "Waitting";
    case TASK_SUCCEEDED:
        return "Success";
    case TASK_PARTIAL:
        return "PartialSuccess";
    case TASK_FAILED:
        return "Fail";
    case TASK_CANCELLING:
        return "Stopping";
    case TASK_CANCELLED:
        return "Stopped";
    default:
        return "Processing";
    }
}

static const char *target_word(enum task_state state)
{
    switch (state) {
    case TASK_RETRYING:
        return "FailWaitRetry";
    case TASK_REMOVED:
        return "Removed";
    case TASK_CANCELLING:
        return "Stopped";
    case TASK_PARTIAL:
        return "Fail";
    default:
        return task_word(state);
    }
}

static json_t *progress(const struct task *task)
{
    static const struct {
        const char *word, *member;
    } rows[] = {{"Processing", "processing"},
                {"Success", "success"},
                {"Fail", "fail"},
                {"Waitting", "waitting"},
                {"FailWaitRetry", "fail_wait_retry"},
                {"Stopped", "stopped"},
                {"Removed", "removed"}};
    json_t *counts = json_pack("{s:I}", "total", (json_int_t)task->targets_count);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_int_t count = 0;
        for (size_t j = 0; j < task->targets_count; j++)
            count += strcmp(target_word(task->targets[j].state), rows[i].word) == 0;
        json_object_set_new(counts, rows[i].member, json_integer(count));
    }
    return counts;
}

static bool number_of(const char *text, long min, long max, long fallback, long *value)
{
    char *end;
    if (!text) {
        *value = fallback;
        return true;
    }
    *value = strtol(text, &end, 10);
    return end != text && *end == '\0' && *value >= min && *value <= max;
}

struct paging {
    long limit, offset, after; /* after: index that the marker names, -1 at the start */
    const char *target, *status;
};

/* A marker is 24 hexadecimal digits; here the index of the last detail shown before. */
static bool paging_read(struct simulator *simulator, struct request *request, struct paging *paging)
{
    static const char start[] = "ffffffffffffffffffffffff";
    const char *marker = request_query(request, "marker");
    char *end = NULL;
    paging->target = request_query(request, "target");
    paging->status = request_query(request, "task_detail_status");
    paging->after = -1;
    if (!number_of(request_query(request, "limit"), 1, LIMIT_MAX, LIMIT_DEFAULT, &paging->limit)) {
        ledger_violation(simulator, request, "query limit: expected 1 to %d", LIMIT_MAX);
        refuse(request, 400, "IOTDA.000012", "Invalid input. Parameter 'pageSize' is out of range");
        return false;
    }
    if (!number_of(request_query(request, "offset"), 0, OFFSET_MAX, 0, &paging->offset)) {
        ledger_violation(simulator, request, "query offset: expected 0 to %d", OFFSET_MAX);
        refuse(request, 400, "IOTDA.000014", "Invalid input. Parameter 'offset' is out of range");
        return false;
    }
    if (marker && strcmp(marker, start) != 0)
        paging->after = (long)strtoul(marker, &end, 16);
    if (marker && (strlen(marker) != 24 || (end && *end))) {
        ledger_violation(simulator, request, "query marker: not one of ours");
        refuse(request, 400, "IOTDA.000015", "Invalid input. Parameter 'marker' is invalid");
        return false;
    }
    return true;
}

static json_t *detail(const struct target *target)
{
    json_t *one = json_pack("{s:s, s:s, s:s}", "target", target->id, "status",
                            target_word(target->state), "output", "");
    if (strcmp(target_word(target->state), "Fail") == 0)
        json_object_set_new(one, "error",
                            json_pack("{s:s, s:s}", "error_code", "IOTDA.014016", "error_msg",
                                      "Operation not allowed. The device is not online."));
    return one;
}

static json_t *details(const struct task *task, const struct paging *paging, json_t **page)
{
    json_t *list = json_array();
    char marker[32] = "";
    long skip = paging->offset, count = 0;
    for (long i = 0; i < (long)task->targets_count; i++) {
        const struct target *target = &task->targets[i];
        if (target->state == TASK_MISSING ||
            (paging->target && strcmp(paging->target, target->id) != 0) ||
            (paging->status && strcmp(paging->status, target_word(target->state)) != 0))
            continue;
        count++;
        if (i <= paging->after || skip-- > 0 || (long)json_array_size(list) >= paging->limit)
            continue;
        json_array_append_new(list, detail(target));
        snprintf(marker, sizeof(marker), "%024lx", (unsigned long)i);
    }
    *page = json_pack("{s:I}", "count", (json_int_t)count);
    if (*marker)
        json_object_set_new(*page, "marker", json_string(marker));
    return list;
}

static void show(struct simulator *simulator, struct request *request, struct task *task)
{
    struct paging paging;
    json_t *targets, *list, *page, *batchtask;
    if (!paging_read(simulator, request, &paging))
        return;
    if (paging.target)
        task_target(task, paging.target);
    targets = json_array();
    for (size_t i = 0; i < task->targets_count; i++)
        json_array_append_new(targets, json_string(task->targets[i].id));
    batchtask = json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:s}", "task_id", task->id, "task_name",
                          "task", "task_type", task->kind ? task->kind : "firmwareUpgrade",
                          "targets", targets, "status", task_word(task->state), "task_progress",
                          progress(task), "create_time", "20260101T000000Z");
    list = details(task, &paging, &page);
    answer_json(
        &request->answer, 200,
        json_pack("{s:o, s:o, s:o}", "batchtask", batchtask, "task_details", list, "page", page));
}

/* ---- stopping ---- */

static json_t *target_stop(struct request *request, struct task *task, const char *id)
{
    struct target *target = task_target(task, id);
    const char *code = "IOTDA.014219";
    const char *message = "Invalid input. The target is not in the task";
    if (target) {
        if (task_target_stop(task, request, target))
            return json_pack("{s:s, s:s}", "target", id, "status", "success");
        code = "IOTDA.014299"; /* not documented: the number is the simulator's own */
        message = "Operation not allowed. The subtask has finished";
    }
    return json_pack("{s:s, s:s, s:s, s:s}", "target", id, "status", "failure", "error_code", code,
                     "error_msg", message);
}

/* What a stop of a settled or stopping task answers is not documented. */
static void stop_refuse(struct request *request, const struct task *task)
{
    const json_t *refusal = task->refusal;
    const char *code = json_string_value(json_object_get(refusal, "code"));
    const char *message = json_string_value(json_object_get(refusal, "message"));
    json_int_t status = json_integer_value(json_object_get(refusal, "status"));
    refuse(request, status ? (unsigned)status : 400, code ? code : "IOTDA.014299",
           message ? message : "Operation not allowed. The task is in a state that forbids it.");
}

static bool stop_body_right(struct simulator *simulator, struct request *request)
{
    static const char *const members[] = {"targets", NULL};
    json_t *targets = json_object_get(request->json, "targets");
    if (!check_json_body(simulator, request) ||
        !check_members(simulator, request, request->json, members))
        return false;
    return !targets || check_ids(simulator, request, targets, "targets", TARGETS_MAX, id_target);
}

static void stop(struct request *request, struct task *task)
{
    json_t *targets = json_object_get(request->json, "targets");
    json_t *list, *one;
    size_t i;
    bool upgrade = !task->kind || strcmp(task->kind, "firmwareUpgrade") == 0 ||
                   strcmp(task->kind, "softwareUpgrade") == 0;
    if (!upgrade || (task->state != TASK_WAITING && task->state != TASK_RUNNING)) {
        stop_refuse(request, task);
        return;
    }
    if (!targets) {
        task_cancel(task, request, TASK_CANCELLING);
        answer_json(&request->answer, 200, json_object());
        return;
    }
    list = json_array();
    json_array_foreach(targets, i, one)
    {
        json_array_append_new(list, target_stop(request, task, json_string_value(one)));
    }
    answer_json(&request->answer, 200, json_pack("{s:o}", "targets", list));
}

static bool request_right(struct simulator *simulator, struct request *request)
{
    static const char *const headers[] = {
        "Content-Type",  "X-Auth-Token", "Instance-Id",      "X-Project-Id",
        "Authorization", "X-Sdk-Date",   "X-Security-Token", NULL};
    static const char *const query[] = {"target", "limit", "marker", "offset", "task_detail_status",
                                        NULL};
    bool cancel = request->page == PAGE_STOP;
    check_headers(simulator, request, headers);
    if (request->page == PAGE_NONE || !check_method(simulator, request, cancel ? "POST" : "GET")) {
        ledger_violation(simulator, request, "path: no such page for this method");
        refuse(request, 404, "APIGW.0101", "The API does not exist or has not been published.");
        return false;
    }
    if (request_header(request, "Authorization")) {
        if (!signed_rightly(simulator, request))
            return false;
    } else if (!signed_in(simulator, request)) {
        reject(simulator, request);
        return false;
    }
    if (!instance_right(simulator, request)) {
        refuse(request, 403, "IOTDA.000021", "Operation not allowed. User not found by IAM token.");
        return false;
    }
    if (!check_id(simulator, request, "task id", request->id, id_hex24) ||
        !check_query(simulator, request, cancel ? NULL : query) ||
        !(cancel ? stop_body_right(simulator, request) : check_no_body(simulator, request))) {
        refuse(request, 400, "IOTDA.000006", "Invalid input data.");
        return false;
    }
    return true;
}

static void handle(struct simulator *simulator, struct request *request)
{
    struct task *task;
    if (!request_right(simulator, request))
        return;
    task = tasks_find(simulator, request, PROVIDER_IOTDA, request->id);
    if (!task) {
        refuse(request, 500, "IOTDA.000001", "Internal server error.");
        return;
    }
    task_asked(task, request->operation);
    if (task->state == TASK_MISSING || (task->parent && strcmp(task->parent, request->parent) != 0))
        refuse(request, 404, "IOTDA.014298", "The batch task does not exist."); /* own number */
    else if (request->page == PAGE_STOP)
        stop(request, task);
    else
        show(simulator, request, task);
}

/* style "403": as the service itself says it, else as the gateway does. */
static void throttle(struct request *request, const char *style)
{
    if (style && strcmp(style, "403") == 0)
        refuse(request, 403, "IOTDA.021101", "Request reached the maximum rate limit.");
    else
        refuse(request, 429, "APIGW.0308",
               "The throttling threshold has been reached: policy user over ratelimit,limit:100,"
               "time:1 second");
}

static void expired(struct simulator *simulator, struct request *request)
{
    const char *token = request_header(request, "X-Auth-Token");
    if (token)
        tokens_revoke(simulator, PROVIDER_IAM, token);
    reject(simulator, request);
}

const struct provider_row iotda_provider = {route, handle, throttle, expired};
