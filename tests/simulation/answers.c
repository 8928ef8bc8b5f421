/* The providers' side of an exchange: what a request asks for, and the bytes that answer it. */
#include "tests/simulation/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/banned.h"

/* ---- requests ---------------------------------------------------------------------------------
 */

static bool add_item(struct world *world, struct sim_call *call, int64_t number)
{
    struct call_item *item = &call->items[call->count];
    if (call->count == ITEMS_MOST || !commands_find(world, number, &item->command, &item->index) ||
        item->command->account != call->account)
        return false;
    call->count++;
    return true;
}

static bool add_text(struct world *world, struct sim_call *call, const char *text, int base)
{
    char *end;
    int64_t number = strtoll(text, &end, base);
    return end != text && add_item(world, call, number);
}

static bool add_list(struct world *world, struct sim_call *call, struct slice body,
                     const char *member)
{
    struct error err;
    struct json_document *document = json_document_parse(body, LIMIT_COMMAND_BYTES, 8, &err);
    const struct json_value *ids = json_value_get(json_document_root(document), member);
    bool good = document && json_value_count(ids) > 0;
    for (size_t i = 0; good && i < json_value_count(ids); i++)
        good = add_text(world, call, json_value_text(json_value_at(ids, i)).data + 1, 10);
    if (document)
        json_document_free(document);
    return good;
}

static bool read_enos(struct world *world, struct sim_call *call,
                      const struct http_request *request, const char *path)
{
    const char *task = strstr(path, "/download/e");
    if (strstr(path, "/token/")) {
        call->sign_in = true;
        return true;
    }
    for (size_t i = 0; i < request->header_count; i++)
        if (strcmp(request->headers[i].name, "apim-accesstoken") == 0)
            snprintf(call->token, sizeof call->token, "%s", request->headers[i].value.data);
    call->cancel = request->method == HTTP_DELETE;
    return task && add_text(world, call, task + strlen("/download/e"), 10);
}

/* A page of all targets: the simulated provider has them all on one. */
static bool add_all_items(struct world *world, struct sim_call *call)
{
    const struct sim_command *command = call->items[0].command;
    call->listing = true;
    for (size_t i = 1; i < command->item_count; i++)
        if (!add_item(world, call, command_number(command, i)))
            return false;
    return true;
}

static bool read_iotda(struct world *world, struct sim_call *call,
                       const struct http_request *request, const char *path)
{
    const char *task = strstr(path, "/batchtasks/"), *target = strstr(path, "?target=d");
    struct slice body = buffer_slice(&request->body);
    call->cancel = request->method == HTTP_POST;
    if (call->cancel && body.len > 2)
        return add_list(world, call, body, "targets");
    if (target) {
        call->page = strstr(target, "&marker=") != NULL;
        call->pageable = !call->page;
        return add_text(world, call, target + strlen("?target=d"), 10);
    }
    if (!task || !add_text(world, call, task + strlen("/batchtasks/"), 16))
        return false;
    if (!strstr(task, "?limit="))
        return true;
    call->page = strstr(task, "&marker=") != NULL;
    call->pageable = !call->page;
    return add_all_items(world, call);
}

static bool read_koodrive(struct world *world, struct sim_call *call,
                          const struct http_request *request, const char *path)
{
    const char *body = request->body.data;
    call->cancel = request->method == HTTP_POST;
    if (call->cancel)
        return body && strlen(body) > 10 && add_text(world, call, body + 10, 10); /* {"jobId":" */
    return strlen(path) > 17 && add_text(world, call, path + 17, 10); /* /koodrive/ose/v1/ */
}

bool answers_read_request(struct world *world, struct sim_call *call,
                          const struct http_request *request)
{
    const char *endpoint = world->accounts[call->account].endpoint;
    const char *url = request->url.data;
    if (strncmp(url, endpoint, strlen(endpoint)) != 0)
        return false;
    const char *path = url + strlen(endpoint);
    switch (call->account) {
    case ENOS:
        return read_enos(world, call, request, path);
    case SCNET:
        call->cancel = strstr(path, "/cancel") != NULL;
        return add_list(world, call, buffer_slice(&request->body), "taskIds");
    case IOTDA:
        return read_iotda(world, call, request, path);
    default:
        return read_koodrive(world, call, request, path);
    }
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static struct item *item_of(const struct call_item *at)
{
    return &at->command->items[at->index];
}

/* Applies a cancel to one item; true: taken. */
static bool apply(struct world *world, struct sim_call *call, const struct call_item *at)
{
    struct item *item = item_of(at);
    if (!task_cancel(world, &item->task, call->account)) {
        call->refused[at - call->items] |= call->account != KOODRIVE; /* it takes no notice */
        return false;
    }
    item->applied_at = world->now;
    item->late |= call->ended || call->abandoned || at->lost || item->by_zombie ||
                  at->ownership != item->sent_by;
    return true;
}

static void answer_enos(struct world *world, struct sim_call *call)
{
    static const int progress[STATE_COUNT] = {
        [STATE_WAITING] = 0,    [STATE_RUNNING] = 1,   [STATE_FAILED] = 2,   [STATE_SUCCEEDED] = 3,
        [STATE_CANCELLING] = 4, [STATE_CANCELLED] = 5, [STATE_EXPIRING] = 6, [STATE_EXPIRED] = 7};
    struct sim_task *task = &item_of(&call->items[0])->task;
    if (call->cancel)
        apply(world, call, &call->items[0]);
    if (task->missing) {
        buffer_append_string(&call->body, "{\"code\":81404,\"msg\":\"no such task\"}");
        return;
    }
    buffer_append_format(&call->body,
                         "{\"code\":0,\"msg\":\"OK\",\"data\":{\"taskId\":\"e%lld\","
                         "\"progressCode\":%d,\"progressDesc\":\"x\"}}",
                         (long long)command_number(call->items[0].command, call->items[0].index),
                         progress[task_at(world, task)]);
}

static const char *scnet_word(enum task_state state)
{
    return state == STATE_CANCELLED   ? "cancel"
           : state == STATE_SUCCEEDED ? "complete"
           : state == STATE_FAILED    ? "fail"
                                      : "running";
}

static void answer_scnet(struct world *world, struct sim_call *call)
{
    buffer_append_string(&call->body, "{\"code\":\"0\",\"msg\":\"success\",\"data\":[");
    for (size_t i = 0, written = 0; i < call->count; i++) {
        struct item *item = item_of(&call->items[i]);
        bool taken = call->cancel && apply(world, call, &call->items[i]);
        if (item->task.missing)
            continue;
        buffer_append_format(
            &call->body, "%s{\"taskId\":\"t%lld\",\"status\":\"%s\"", written++ ? "," : "",
            (long long)command_number(call->items[i].command, call->items[i].index),
            scnet_word(task_at(world, &item->task)));
        if (call->cancel)
            buffer_append_format(&call->body, ",\"result\":%s", taken ? "true" : "false");
        buffer_append_byte(&call->body, '}');
    }
    buffer_append_string(&call->body, "]}");
}

static const char *target_word(enum task_state state)
{
    return state == STATE_WAITING                                  ? "Waitting"
           : state == STATE_RUNNING                                ? "Processing"
           : state == STATE_SUCCEEDED                              ? "Success"
           : state == STATE_CANCELLING || state == STATE_CANCELLED ? "Stopped"
                                                                   : "Fail";
}

static const char *task_word(enum task_state state)
{
    return state == STATE_CANCELLING ? "Stopping" : target_word(state);
}

static void stop_targets(struct world *world, struct sim_call *call)
{
    buffer_append_string(&call->body, "{\"targets\":[");
    for (size_t i = 0; i < call->count; i++) {
        struct item *item = item_of(&call->items[i]);
        bool taken = apply(world, call, &call->items[i]);
        buffer_append_format(
            &call->body, "%s{\"target\":\"d%lld\",\"status\":\"%s\"", i ? "," : "",
            (long long)command_number(call->items[i].command, call->items[i].index),
            taken ? "success" : "failure");
        if (!taken)
            buffer_append_format(&call->body, ",\"error_code\":\"%s\",\"error_msg\":\"m\"",
                                 item->task.missing ? "IOTDA.014219" : "IOTDA.014220");
        buffer_append_byte(&call->body, '}');
    }
    buffer_append_string(&call->body, "]}");
}

static void write_details(struct world *world, struct sim_call *call)
{
    for (size_t i = 0, written = 0; i < call->count; i++) {
        struct sim_task *task = &item_of(&call->items[i])->task;
        if (!task->missing)
            buffer_append_format(
                &call->body, "%s{\"target\":\"d%lld\",\"status\":\"%s\"}", written++ ? "," : "",
                (long long)command_number(call->items[i].command, call->items[i].index),
                target_word(task_at(world, task)));
    }
}

static void answer_iotda(struct world *world, struct sim_call *call)
{
    struct sim_command *command = call->items[0].command;
    struct sim_task *task = &item_of(&call->items[0])->task;
    int64_t number = command_number(command, call->items[0].index);
    if (call->cancel && command->is_list) {
        stop_targets(world, call);
        return;
    }
    if (task->missing && !command->is_list) {
        call->status = 404;
        buffer_append_string(&call->body,
                             "{\"error_code\":\"IOTDA.014219\",\"error_msg\":\"no such task\"}");
    } else if (call->cancel) {
        bool taken = apply(world, call, &call->items[0]);
        call->status = taken ? 200 : 400;
        buffer_append_string(&call->body, taken ? "{}"
                                                : "{\"error_code\":\"IOTDA.014016\","
                                                  "\"error_msg\":\"cannot be stopped\"}");
    } else if (!command->is_list) {
        buffer_append_format(&call->body,
                             "{\"batchtask\":{\"task_id\":\"%llx\",\"status\":\"%s\"}}",
                             (unsigned long long)number, task_word(task_at(world, task)));
    } else {
        buffer_append_format(&call->body,
                             "{\"batchtask\":{\"task_id\":\"%llx\",\"status\":\"Processing\"},"
                             "\"task_details\":[",
                             (unsigned long long)command_number(command, 0));
        if (call->fault == FAULT_PAGE)
            buffer_append_string(&call->body, "{\"target\":\"other\",\"status\":\"Stopped\"}");
        else
            write_details(world, call);
        buffer_append_string(&call->body, call->fault == FAULT_PAGE
                                              ? "],\"page\":{\"count\":100,\"marker\":\"m2\"}}"
                                              : "]}");
    }
}

static void answer_koodrive(struct world *world, struct sim_call *call)
{
    struct sim_task *task = &item_of(&call->items[0])->task;
    if (task->missing) {
        call->status = 400;
        buffer_append_string(&call->body, "{\"code\":\"13000309\",\"msg\":\"does not exist\"}");
        return;
    }
    if (call->cancel) {
        apply(world, call, &call->items[0]);
        buffer_append_string(&call->body, "{\"code\":0,\"msg\":\"OK\"}");
        return;
    }
    enum task_state state = task_at(world, task);
    int status = state == STATE_WAITING     ? 0
                 : state == STATE_RUNNING   ? 1
                 : state == STATE_CANCELLED ? 3
                                            : 2;
    int result = state == STATE_PARTIAL ? 2 : state == STATE_FAILED ? 3 : 1;
    buffer_append_format(&call->body,
                         "{\"code\":0,\"msg\":\"OK\",\"data\":{\"jobInfo\":{\"status\":%d,"
                         "\"taskResultCode\":%d}}}",
                         status, result);
}

/* The same token comes back while it lives, with the seconds left. */
static void answer_sign_in(struct world *world, struct sim_call *call)
{
    if (world->token_expires < world->now + 2000) {
        snprintf(world->token, sizeof world->token, "token-%llu",
                 (unsigned long long)++world->tokens);
        world->token_expires = world->now + world_between(world, 5000, 120000);
    }
    buffer_append_format(&call->body,
                         "{\"status\":0,\"msg\":\"SUCCESS\",\"data\":{\"accessToken\":\"%s\","
                         "\"expire\":%lld}}",
                         world->token, (long long)((world->token_expires - world->now) / 1000));
}

void answers_apply(struct world *world, struct sim_call *call)
{
    call->applied = true;
    call->status = 200;
    if (call->sign_in) {
        answer_sign_in(world, call);
        return;
    }
    if (call->account == ENOS &&
        (strcmp(call->token, world->token) != 0 || world->token_expires <= world->now)) {
        call->not_applied = call->rejects = true;
        buffer_append_string(&call->body, "{\"apim_status\":4011,\"apim_message\":\"invalid\"}");
        return;
    }
    call->reads = !call->cancel;
    call->accepts = call->cancel;
    for (size_t i = 0; i < call->count; i++)
        call->refused[i] = item_of(&call->items[i])->task.missing;
    if (call->account == ENOS)
        answer_enos(world, call);
    else if (call->account == SCNET)
        answer_scnet(world, call);
    else if (call->account == IOTDA)
        answer_iotda(world, call);
    else
        answer_koodrive(world, call);
    for (size_t i = 0; call->reads && i < call->count; i++)
        call->open[i] =
            !call->refused[i] && task_is_open(task_at(world, &item_of(&call->items[i])->task));
}
