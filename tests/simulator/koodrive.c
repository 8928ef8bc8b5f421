/* Huawei Cloud KooDrive: jobs. */
#include "answer.h"
#include "check.h"
#include "credentials.h"
#include "ledger.h"
#include "provider.h"
#include "signature.h"
#include "tasks.h"

#include "common/banned.h"

enum page { PAGE_NONE, PAGE_CANCEL, PAGE_STATUS };

enum { SIGNATURE_OLD_MS = 15 * 60 * 1000 };

static const char prefix[] = "/koodrive/";
static const char jobs[] = "/koodrive/ose/v1/";

static bool route(struct request *request)
{
    const char *rest;
    if (strncmp(request->path, prefix, sizeof(prefix) - 1) != 0)
        return false;
    request->provider = PROVIDER_KOODRIVE;
    if (strncmp(request->path, jobs, sizeof(jobs) - 1) != 0)
        return true;
    rest = request->path + sizeof(jobs) - 1;
    if (strcmp(rest, "cancel") == 0) {
        request->page = PAGE_CANCEL;
        request->operation = OPERATION_CANCEL;
    } else if (id_digits32(rest)) {
        request->page = PAGE_STATUS;
        request->operation = OPERATION_STATUS;
        memcpy(request->id, rest, strlen(rest) + 1);
    }
    return true;
}

/* `code` is printed as a number and as a string. */
static void service_answer(struct request *request, struct task *task, unsigned status,
                           const char *code, const char *message, json_t *data)
{
    bool number = status == 200 && !(task && task_second_form(task, task->codes));
    json_t *answer = json_pack("{s:o, s:s}", "code",
                               number ? json_integer(strtoll(code, NULL, 10)) : json_string(code),
                               "msg", message);
    if (data)
        json_object_set_new(answer, "data", data);
    answer_json(&request->answer, status, answer);
}

static void reject(struct request *request)
{
    service_answer(request, NULL, 401, "APIGW.0303", "Unauthorized", NULL);
}

/* Signed by an app, for a user; never dated in the future. */
static bool signed_rightly(struct simulator *simulator, struct request *request)
{
    const struct signature_demand demand = {.algorithm = "HMAC-SHA256",
                                            .key = credential(simulator, KOODRIVE_APP_ID),
                                            .secret = credential(simulator, KOODRIVE_APP_SECRET),
                                            .date_header = "X-Date",
                                            .must_sign = {"Host", "X-Date", "X-User-Id", NULL},
                                            .future_ms = 0,
                                            .past_ms = SIGNATURE_OLD_MS};
    enum signature signature = SIGNATURE_WRONG;
    if (!credentials_locked(simulator, request)) {
        signature = signature_check(simulator, request, &demand);
        credentials_attempt(simulator, PROVIDER_KOODRIVE, signature == SIGNATURE_RIGHT,
                            request->now_ms);
    }
    if (signature == SIGNATURE_RIGHT && !request_header(request, "X-User-Id")) {
        ledger_violation(simulator, request, "header X-User-Id: missing");
        signature = SIGNATURE_FORM;
    }
    if (signature != SIGNATURE_RIGHT)
        service_answer(request, NULL, 401, "APIGW.0303",
                       signature == SIGNATURE_CLOCK
                           ? "Incorrect app authentication information: signature expired"
                           : "Incorrect app authentication information",
                       NULL);
    return signature == SIGNATURE_RIGHT;
}

/* The token that the server issued, sent back as it is. */
static bool signed_in(struct simulator *simulator, const struct request *request)
{
    const char *authorization = request_header(request, "Authorization");
    const char *fixed = credential(simulator, KOODRIVE_TOKEN);
    if (authorization && *fixed && strcmp(authorization, fixed) == 0)
        return true;
    ledger_violation(simulator, request, "header Authorization: missing or wrong");
    return false;
}

static bool cancel_right(struct simulator *simulator, struct request *request)
{
    static const char *const members[] = {"jobId", NULL};
    const char *id = json_string_value(json_object_get(request->json, "jobId"));
    if (!check_json_body(simulator, request) ||
        !check_members(simulator, request, request->json, members))
        return false;
    if (!id || !id_digits32(id)) {
        ledger_violation(simulator, request, "body member jobId: expected 1 to 32 digits");
        return false;
    }
    memcpy(request->id, id, strlen(id) + 1);
    return true;
}

static json_t *job_data(const struct task *task)
{
    static const int status[TASK_STATES] = {
        [TASK_WAITING] = 0, [TASK_RUNNING] = 1,    [TASK_SUCCEEDED] = 2, [TASK_PARTIAL] = 2,
        [TASK_FAILED] = 2,  [TASK_CANCELLING] = 1, [TASK_CANCELLED] = 3,
    };
    json_t *info = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "taskId", task->id, "taskName",
                             "job", "userId", task->parent ? task->parent : "1505", "taskType", 1,
                             "actionType", 101, "status", status[task->state]);
    if (status[task->state] == 2)
        json_object_set_new(info, "taskResultCode",
                            json_integer(task->state == TASK_SUCCEEDED ? 1
                                         : task->state == TASK_PARTIAL ? 2
                                                                       : 3));
    return json_pack("{s:o, s:[], s:[]}", "jobInfo", info, "taskInfos", "uncompressedFileList");
}

static void handle_job(struct simulator *simulator, struct request *request)
{
    bool cancel = request->page == PAGE_CANCEL;
    struct task *task = tasks_find(simulator, request, PROVIDER_KOODRIVE, request->id);
    if (!task) {
        service_answer(request, NULL, 500, "13000201", "Call internal server failed.", NULL);
        return;
    }
    task_asked(task, request->operation);
    if (task->state == TASK_MISSING) {
        service_answer(request, task, 400, "13000309", "The resource does not exist.", NULL);
    } else if (!cancel) {
        service_answer(request, task, 200, "0", "OK", job_data(task));
    } else if (!task_cancel(task, request, TASK_CANCELLED) && task->refusal) {
        json_t *status = json_object_get(task->refusal, "status");
        json_t *copy = json_deep_copy(task->refusal);
        json_object_del(copy, "status");
        answer_json(&request->answer, status ? (unsigned)json_integer_value(status) : 200, copy);
    } else {
        /* Without effect on a job that has finished, and answered alike: it is not documented. */
        service_answer(request, task, 200, "0", "OK", NULL);
    }
}

static void handle(struct simulator *simulator, struct request *request)
{
    static const char *const headers[] = {"Content-Type", "Authorization", "X-User-Id", "X-Date",
                                          NULL};
    bool cancel = request->page == PAGE_CANCEL;
    check_headers(simulator, request, headers);
    if (request->page == PAGE_NONE) {
        ledger_violation(simulator, request, "path: no such page");
        service_answer(request, NULL, 404, "APIGW.0101", "The API does not exist.", NULL);
        return;
    }
    if (!check_method(simulator, request, cancel ? "POST" : "GET")) {
        answer_empty(&request->answer, 405);
        return;
    }
    if (request_header(request, "X-Date")) {
        if (!signed_rightly(simulator, request))
            return;
    } else if (!signed_in(simulator, request)) {
        reject(request);
        return;
    }
    if (!check_query(simulator, request, NULL) ||
        !(cancel ? cancel_right(simulator, request) : check_no_body(simulator, request))) {
        service_answer(request, NULL, 400, "13000102", "Verify parameters failed.", NULL);
        return;
    }
    handle_job(simulator, request);
}

static void throttle(struct request *request, const char *style)
{
    (void)style;
    service_answer(request, NULL, 429, "APIGW.0308", "The throttling threshold has been reached",
                   NULL);
}

static void expired(struct simulator *simulator, struct request *request)
{
    (void)simulator;
    reject(request);
}

const struct provider_row koodrive_provider = {route, handle, throttle, expired};
