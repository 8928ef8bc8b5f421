/*
 * Runs a driver over tests/fixtures/<provider>/ *.json. A file holds {"defaults": {..}, "cases":
 * [..]}; a case takes what it does not say from the defaults. Its members:
 *
 *   name                   what it shows
 *   account, endpoint      option values by path; the endpoint
 *   account_invalid        all mistakes of the account, one a line, as "path: message"
 *   operation, task        decoded by the driver; `tasks` for several that share a call
 *   invalid                part of the message with which the (last) task is refused
 *   is_list, tells_nothing, most_asks, share   expected of the decoded task(s)
 *   call                   the call's operation, when it is not the task's
 *   asks                   [[task, index], ..]; left out: all of all tasks
 *   wall_ms, credential, page, cursor          given to request()
 *   sign_in                {} or {"current": token}: the token request instead of a call; with
 *                          expected `token`, `expires_ms`
 *   signs_calls            expected of the account (false)
 *   request                expected: method, url, headers (all of them), body (text, or JSON as
 *                          compact text)
 *   response               {status, body (text or JSON), subject_token, result, problem}
 *   verdicts               one per ask, or an object for all: kind, state, failure, http, code,
 *                          message, tells_state, already_cancelled, throttled, clock_off,
 *                          ambiguous, apart; what is left out is expected to be absent (code and
 *                          message: not checked)
 *   next                   expected cursor of another page
 *   echo                   whether the body may be echoed
 */
#ifndef KANCEL_TESTS_UNIT_PROVIDERS_FIXTURES_H
#define KANCEL_TESTS_UNIT_PROVIDERS_FIXTURES_H

#include <check.h>
#include <dirent.h>
#include <jansson.h>

#include "worker/providers/provider.h"

enum { FIXTURE_FILES = 64, FIXTURE_ASKS = 1100 };

struct fixture {
    const struct provider *provider;
    json_t *defaults, *json; /* of the file; the case */
    const char *file;
    struct option_values *values;
    void *account;
    struct task *tasks[8];
    size_t task_count;
    struct ask asks[FIXTURE_ASKS];
    size_t ask_count;
};

static int fixture_failures;

static void fixture_fail(const struct fixture *fixture, const char *format, ...) PRINTF_LIKE(2, 3);
static void fixture_fail(const struct fixture *fixture, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s: %s: %s\n", fixture->file,
            json_string_value(json_object_get(fixture->json, "name")), text);
    fixture_failures++;
}

static const json_t *fixture_get(const struct fixture *fixture, const char *name)
{
    const json_t *value = json_object_get(fixture->json, name);
    return value != NULL ? value : json_object_get(fixture->defaults, name);
}

static const char *fixture_text(const struct fixture *fixture, const char *name,
                                const char *otherwise)
{
    const char *text = json_string_value(fixture_get(fixture, name));
    return text != NULL ? text : otherwise;
}

/* Text as it is, other JSON as compact text; NULL: none. To be freed. */
static char *fixture_body(const json_t *value)
{
    if (value == NULL)
        return NULL;
    if (json_is_string(value))
        return strdup(json_string_value(value));
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}

static enum operation fixture_operation(const struct fixture *fixture, const char *name)
{
    const char *text = fixture_text(fixture, name, fixture_text(fixture, "operation", "status"));
    return strcmp(text, "cancel") == 0 ? OPERATION_CANCEL : OPERATION_STATUS;
}

/* A JSON document lives longer than what is asked of it, as in the engine. */
static struct task *fixture_decode(const struct fixture *fixture, const json_t *json,
                                   struct error *err)
{
    char *text = fixture_body(json);
    struct json_document *document = json_document_parse(slice_of_string(text), 1 << 20, 32, err);
    ck_assert_msg(document != NULL, "%s: %s", fixture->file, err->message);
    struct task *task =
        fixture->provider->task(fixture->account, fixture_operation(fixture, "operation"),
                                json_document_root(document), err);
    json_document_free(document);
    free(text);
    return task;
}

static void fixture_mistake(void *context, const char *path, const char *message)
{
    char *told = context;
    size_t used = strlen(told);
    snprintf(told + used, 1024 - used, "%s%s%s%s", used ? "\n" : "", path, *path ? ": " : "",
             message);
}

static bool fixture_open(struct fixture *fixture)
{
    char told[1024] = "";
    struct mistakes mistakes = {fixture_mistake, told, 0};
    const char *refused = fixture_text(fixture, "account_invalid", NULL);
    const char *endpoint = fixture_text(fixture, "endpoint", "https://api.example");
    struct error err = {0};
    const char *path;
    json_t *value;
    fixture->values = option_values_new(fixture->provider->options);
    json_object_foreach((json_t *)fixture_get(fixture, "account"), path, value)
        ck_assert_msg(option_values_set(fixture->values, path,
                                        slice_of_string(json_string_value(value)), &err) == 0,
                      "%s: %s: %s", fixture->file, path, err.message);
    fixture->account = fixture->provider->open(fixture->values, endpoint, &mistakes);
    if ((mistakes.count == 0) != (fixture->account != NULL))
        fixture_fail(fixture, "%zu mistakes, and %s account", mistakes.count,
                     fixture->account ? "an" : "no");
    if (refused == NULL && fixture->account == NULL)
        fixture_fail(fixture, "account refused: %s", told);
    else if (refused != NULL && fixture->account != NULL)
        fixture_fail(fixture, "account not refused");
    else if (refused != NULL && strcmp(told, refused) != 0)
        fixture_fail(fixture, "account refused with: %s", told);
    return fixture->account != NULL;
}

static bool fixture_add_task(struct fixture *fixture, const json_t *json, const char *refused)
{
    struct error err = {0};
    struct task *task = fixture_decode(fixture, json, &err);
    if (task == NULL) {
        if (refused == NULL || err.kind != ERROR_INPUT || strstr(err.message, refused) == NULL)
            fixture_fail(fixture, "task refused with: %s", err.message);
        return false;
    }
    fixture->tasks[fixture->task_count++] = task;
    if (refused != NULL)
        fixture_fail(fixture, "task not refused");
    return refused == NULL;
}

static bool fixture_tasks(struct fixture *fixture)
{
    const json_t *tasks = fixture_get(fixture, "tasks");
    const char *refused = fixture_text(fixture, "invalid", NULL);
    bool all = true;
    size_t i;
    json_t *task;
    if (tasks == NULL)
        return fixture_get(fixture, "task") == NULL ||
               fixture_add_task(fixture, fixture_get(fixture, "task"), refused);
    json_array_foreach((json_t *)tasks, i, task) all &= fixture_add_task(fixture, task, refused);
    return all;
}

static void fixture_check_task(struct fixture *fixture)
{
    enum operation operation = fixture_operation(fixture, "call");
    const struct task *task = fixture->tasks[0];
    const json_t *value = fixture_get(fixture, "is_list");
    if (value != NULL && json_is_true(value) != task->is_list)
        fixture_fail(fixture, "is_list is %d", task->is_list);
    value = fixture_get(fixture, "tells_nothing");
    if (value != NULL && json_is_true(value) != task->cancel_tells_nothing)
        fixture_fail(fixture, "cancel_tells_nothing is %d", task->cancel_tells_nothing);
    value = fixture_get(fixture, "most_asks");
    size_t most = fixture->provider->most_asks(fixture->account, operation, task, 1000);
    if (value != NULL && (size_t)json_integer_value(value) != most)
        fixture_fail(fixture, "most_asks is %zu", most);
    value = fixture_get(fixture, "share");
    if (value != NULL && json_is_true(value) != slice_equal(task->share, fixture->tasks[1]->share))
        fixture_fail(fixture, "the share keys are wrong");
}

static void fixture_fill_asks(struct fixture *fixture)
{
    const json_t *asks = fixture_get(fixture, "asks");
    size_t i;
    json_t *pair;
    fixture->ask_count = 0;
    if (asks != NULL) {
        json_array_foreach((json_t *)asks, i, pair) fixture->asks[fixture->ask_count++] =
            (struct ask){fixture->tasks[json_integer_value(json_array_get(pair, 0))],
                         (size_t)json_integer_value(json_array_get(pair, 1))};
        return;
    }
    for (size_t t = 0; t < fixture->task_count; t++)
        for (i = 0; i < fixture->tasks[t]->count; i++)
            fixture->asks[fixture->ask_count++] = (struct ask){fixture->tasks[t], i};
}

/* ---- request --------------------------------------------------------------------------------- */

static const char *fixture_string(const struct buffer *buffer)
{
    return buffer->len > 0 ? buffer->data : "";
}

static void fixture_check_headers(const struct fixture *fixture, const struct http_request *request,
                                  json_t *headers)
{
    const char *name;
    json_t *value;
    if (json_object_size(headers) != request->header_count)
        fixture_fail(fixture, "%zu headers, expected %zu", request->header_count,
                     json_object_size(headers));
    json_object_foreach(headers, name, value)
    {
        const char *found = NULL;
        for (size_t i = 0; i < request->header_count; i++)
            if (strcmp(request->headers[i].name, name) == 0)
                found = fixture_string(&request->headers[i].value);
        if (found == NULL || strcmp(found, json_string_value(value)) != 0)
            fixture_fail(fixture, "header %s: %s", name, found ? found : "missing");
    }
}

static void fixture_check_request(const struct fixture *fixture, const struct http_request *request)
{
    static const char *const methods[] = {"GET", "POST", "DELETE"};
    json_t *expected = (json_t *)fixture_get(fixture, "request");
    const char *method = json_string_value(json_object_get(expected, "method"));
    const char *url = json_string_value(json_object_get(expected, "url"));
    json_t *headers = json_object_get(expected, "headers");
    char *body = fixture_body(json_object_get(expected, "body"));
    struct error err;
    if (http_request_check(request, &err) < 0)
        fixture_fail(fixture, "request does not pass its check: %s", err.message);
    if (method != NULL && strcmp(method, methods[request->method]) != 0)
        fixture_fail(fixture, "method is %s", methods[request->method]);
    if (url != NULL && strcmp(url, fixture_string(&request->url)) != 0)
        fixture_fail(fixture, "url is %s", fixture_string(&request->url));
    if (headers != NULL)
        fixture_check_headers(fixture, request, headers);
    if (expected != NULL && strcmp(body ? body : "", fixture_string(&request->body)) != 0)
        fixture_fail(fixture, "body is %s", fixture_string(&request->body));
    free(body);
}

/* ---- response -------------------------------------------------------------------------------- */

static enum http_result fixture_result(const json_t *response)
{
    static const char *const names[] = {"answered", "not_sent",  "timed_out",
                                        "broken",   "too_large", "denied"};
    const char *name = json_string_value(json_object_get(response, "result"));
    for (int i = 0; name != NULL && i < 6; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum http_result)i;
    ck_assert_msg(name == NULL, "no such result: %s", name);
    return HTTP_ANSWERED;
}

static void fixture_response(const struct fixture *fixture, char **body,
                             struct http_response *response)
{
    const json_t *given = fixture_get(fixture, "response");
    const char *problem = json_string_value(json_object_get(given, "problem"));
    *body = fixture_body(json_object_get(given, "body"));
    *response = (struct http_response){.result = fixture_result(given),
                                       .body = slice_of_string(*body ? *body : "")};
    if (response->result == HTTP_ANSWERED)
        response->status = json_object_get(given, "status")
                               ? (int)json_integer_value(json_object_get(given, "status"))
                               : 200;
    response->subject_token =
        slice_of_string(json_string_value(json_object_get(given, "subject_token")));
    snprintf(response->problem, sizeof response->problem, "%s", problem ? problem : "");
}

static bool fixture_flag(const json_t *expected, const char *name)
{
    return json_is_true(json_object_get(expected, name));
}

static bool fixture_word(const json_t *expected, const char *name, const char *otherwise,
                         const char *got)
{
    const char *word = json_string_value(json_object_get(expected, name));
    return strcmp(word ? word : otherwise, got) == 0;
}

/* No text that leaves the worker holds a configured secret. */
static void fixture_check_secrets(const struct fixture *fixture, const char *text)
{
    const char *path;
    json_t *value;
    json_object_foreach((json_t *)fixture_get(fixture, "account"), path, value)
    {
        const char *secret = json_string_value(value);
        const struct option *row = option_values_row(fixture->values, path);
        if (row->type == OPTION_SECRET && *secret != '\0' && strstr(text, secret) != NULL)
            fixture_fail(fixture, "%s leaks into: %s", path, text);
    }
}

static void fixture_check_verdict(const struct fixture *fixture, size_t index,
                                  const json_t *expected, const struct verdict *verdict)
{
    static const char *const kinds[] = {"done", "refused", "retry", "unknown", "renew", "failed"};
    const struct result_error *error = &verdict->error;
    const char *code = json_string_value(json_object_get(expected, "code"));
    const char *message = json_string_value(json_object_get(expected, "message"));
    if (!fixture_word(expected, "kind", "done", kinds[verdict->kind]))
        fixture_fail(fixture, "verdict %zu: kind is %s", index, kinds[verdict->kind]);
    if (!fixture_word(expected, "state", "unknown", task_state_name(verdict->state)))
        fixture_fail(fixture, "verdict %zu: state is %s", index, task_state_name(verdict->state));
    if (!fixture_word(expected, "failure", "", failure_name(error->kind)))
        fixture_fail(fixture, "verdict %zu: failure is %s", index, failure_name(error->kind));
    if (fixture_flag(expected, "tells_state") != verdict->tells_state)
        fixture_fail(fixture, "verdict %zu: tells_state is %d", index, verdict->tells_state);
    if (fixture_flag(expected, "already_cancelled") != verdict->already_cancelled)
        fixture_fail(fixture, "verdict %zu: already_cancelled is %d", index,
                     verdict->already_cancelled);
    if (fixture_flag(expected, "clock_off") != verdict->clock_off)
        fixture_fail(fixture, "verdict %zu: clock_off is %d", index, verdict->clock_off);
    if ((size_t)json_integer_value(json_object_get(expected, "apart")) != verdict->apart)
        fixture_fail(fixture, "verdict %zu: apart is %zu", index, verdict->apart);
    if (fixture_flag(expected, "ambiguous") != verdict->ambiguous)
        fixture_fail(fixture, "verdict %zu: ambiguous is %d", index, verdict->ambiguous);
    if (fixture_flag(expected, "throttled") != verdict->throttled)
        fixture_fail(fixture, "verdict %zu: throttled is %d", index, verdict->throttled);
    if (code != NULL && strcmp(code, error->code) != 0)
        fixture_fail(fixture, "verdict %zu: code is %s", index, error->code);
    if (message != NULL && strcmp(message, error->message) != 0)
        fixture_fail(fixture, "verdict %zu: message is %s", index, error->message);
    if (json_object_get(expected, "http") != NULL &&
        json_integer_value(json_object_get(expected, "http")) != error->http_status)
        fixture_fail(fixture, "verdict %zu: http_status is %d", index, error->http_status);
    if (verdict->kind != VERDICT_DONE && error->message[0] == '\0')
        fixture_fail(fixture, "verdict %zu: no message", index);
    fixture_check_secrets(fixture, error->message);
    fixture_check_secrets(fixture, error->code);
}

static void fixture_check_page(const struct fixture *fixture, const struct next_page *next,
                               struct slice json, struct slice body)
{
    const char *cursor = fixture_text(fixture, "next", "");
    const json_t *echo = fixture_get(fixture, "echo");
    if (strcmp(cursor, fixture_string(&next->cursor)) != 0)
        fixture_fail(fixture, "next page is %s", fixture_string(&next->cursor));
    if (echo != NULL && json_is_true(echo) != (json.data != NULL))
        fixture_fail(fixture, "the body is %sechoed", json.data ? "" : "not ");
    if (json.data == NULL)
        return;
    if (!slice_equal(json, body))
        fixture_fail(fixture, "the echo is not the body");
    fixture_check_secrets(fixture, json.data);
}

static void fixture_answer(struct fixture *fixture, const struct call_purpose *purpose,
                           const struct credential *credential)
{
    static struct verdict verdicts[FIXTURE_ASKS];
    json_t *expected = (json_t *)fixture_get(fixture, "verdicts");
    struct http_response response;
    struct next_page next;
    struct slice json;
    char *body;
    fixture_response(fixture, &body, &response);
    memset(verdicts, 0xa5, sizeof verdicts);
    buffer_init(&next.cursor, LIMIT_MESSAGE_BYTES);
    fixture->provider->response(fixture->account, purpose, credential, &response, verdicts, &next,
                                &json);
    if (json_is_array(expected) && json_array_size(expected) != purpose->count)
        fixture_fail(fixture, "%zu verdicts expected of %zu asks", json_array_size(expected),
                     purpose->count);
    for (size_t i = 0; i < purpose->count; i++)
        fixture_check_verdict(fixture, i,
                              json_is_array(expected) ? json_array_get(expected, i) : expected,
                              &verdicts[i]);
    fixture_check_page(fixture, &next, json, response.body);
    buffer_release(&next.cursor);
    free(body);
}

/* ---- a case ---------------------------------------------------------------------------------- */

static void fixture_call(struct fixture *fixture)
{
    const char *token = fixture_text(fixture, "credential", NULL);
    const char *cursor = fixture_text(fixture, "cursor", NULL);
    struct credential credential = {.expires_ms = COMMAND_NEVER};
    struct http_request request;
    struct error err = {0};
    fixture_fill_asks(fixture);
    struct call_purpose purpose = {.operation = fixture_operation(fixture, "call"),
                                   .asks = fixture->asks,
                                   .count = fixture->ask_count,
                                   .ids = fixture->ask_count,
                                   .page = cursor != NULL,
                                   .cursor = slice_of_string(cursor)};
    ck_assert_int_eq(secret_set(&credential.token, slice_of_string(token), &err), 0);
    http_request_init(&request);
    if (fixture->provider->request(fixture->account, &purpose, token ? &credential : NULL,
                                   json_integer_value(fixture_get(fixture, "wall_ms")), &request,
                                   &err) < 0)
        fixture_fail(fixture, "no request: %s", err.message);
    else
        fixture_check_request(fixture, &request);
    http_request_release(&request);
    if (fixture_get(fixture, "response") != NULL)
        fixture_answer(fixture, &purpose, token ? &credential : NULL);
    secret_release(&credential.token);
}

static void fixture_check_sign_in_answer(struct fixture *fixture, const struct credential *current)
{
    const char *token = fixture_text(fixture, "token", NULL);
    struct credential fresh = {0};
    struct verdict verdict = {0};
    struct http_response response;
    char *body;
    fixture_response(fixture, &body, &response);
    int result = fixture->provider->signed_in(fixture->account, current, &response,
                                              json_integer_value(fixture_get(fixture, "wall_ms")),
                                              &fresh, &verdict);
    if ((result == 0) != (token != NULL))
        fixture_fail(fixture, "signed_in gave %d", result);
    else if (token == NULL)
        fixture_check_verdict(fixture, 0, fixture_get(fixture, "verdicts"), &verdict);
    else if (strcmp(fresh.token.value, token) != 0 ||
             fresh.expires_ms != json_integer_value(fixture_get(fixture, "expires_ms")))
        fixture_fail(fixture, "token %s until %lld", fresh.token.value,
                     (long long)fresh.expires_ms);
    secret_release(&fresh.token);
    free(body);
}

static void fixture_sign_in(struct fixture *fixture)
{
    const char *current =
        json_string_value(json_object_get(fixture_get(fixture, "sign_in"), "current"));
    struct credential credential = {0};
    struct http_request request;
    struct error err = {0};
    ck_assert_int_eq(secret_set(&credential.token, slice_of_string(current), &err), 0);
    http_request_init(&request);
    if (!fixture->provider->needs_sign_in(fixture->account))
        fixture_fail(fixture, "the account does not sign in");
    if (fixture->provider->sign_in(fixture->account, current ? &credential : NULL,
                                   json_integer_value(fixture_get(fixture, "wall_ms")), &request,
                                   &err) < 0)
        fixture_fail(fixture, "no token request: %s", err.message);
    else
        fixture_check_request(fixture, &request);
    http_request_release(&request);
    if (fixture_get(fixture, "response") != NULL)
        fixture_check_sign_in_answer(fixture, current ? &credential : NULL);
    secret_release(&credential.token);
}

static void fixture_run_case(struct fixture *fixture)
{
    if (fixture_open(fixture)) {
        if (json_is_true(fixture_get(fixture, "signs_calls")) !=
            fixture->provider->signs_calls(fixture->account))
            fixture_fail(fixture, "signs_calls is wrong");
        if (fixture_get(fixture, "sign_in") != NULL) {
            fixture_sign_in(fixture);
        } else if (fixture_tasks(fixture) && fixture->task_count > 0) {
            fixture_check_task(fixture);
            fixture_call(fixture);
        }
        while (fixture->task_count > 0)
            fixture->provider->task_free(fixture->tasks[--fixture->task_count]);
        fixture->provider->close(fixture->account);
        fixture->account = NULL;
    }
    option_values_free(fixture->values);
}

static int fixture_is_json(const struct dirent *entry)
{
    return slice_ends_with(slice_of_string(entry->d_name), ".json");
}

/* All files of the provider's folder; every case that fails is told. */
static void fixtures_run(const char *name)
{
    char folder[512], path[1024];
    struct dirent **entries = NULL;
    static struct fixture fixture;
    size_t cases = 0;
    snprintf(folder, sizeof folder, "%s/fixtures/%s", TESTS_DIR, name);
    int count = scandir(folder, &entries, fixture_is_json, alphasort);
    ck_assert_int_gt(count, 0);
    for (int i = 0; i < count; i++) {
        json_error_t fault;
        size_t at;
        json_t *one;
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
        ck_assert_msg(file != NULL, "%s:%d: %s", path, fault.line, fault.text);
        json_array_foreach(json_object_get(file, "cases"), at, one)
        {
            fixture = (struct fixture){.provider = provider_find(slice_of_string(name)),
                                       .defaults = json_object_get(file, "defaults"),
                                       .json = one,
                                       .file = entries[i]->d_name};
            fixture_run_case(&fixture);
            cases++;
        }
        json_decref(file);
        free(entries[i]);
    }
    free(entries);
    fprintf(stderr, "%s: %zu cases, %d failures\n", name, cases, fixture_failures);
    ck_assert_int_eq(fixture_failures, 0);
    ck_assert_uint_gt(cases, 0);
}

#endif
