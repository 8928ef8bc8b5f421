/* Huawei Cloud IAM: a token for a user's name and password. */
#include "answer.h"
#include "check.h"
#include "credentials.h"
#include "ledger.h"
#include "provider.h"

#include "common/banned.h"

enum { TOKEN_LEN = 3000, CATALOG_ENTRIES = 200 };

static bool route(struct request *request)
{
    if (strncmp(request->path, "/v3/auth/", 9) != 0)
        return false;
    request->provider = PROVIDER_IAM;
    if (strcmp(request->path, "/v3/auth/tokens") == 0)
        request->operation = OPERATION_SIGN_IN;
    return true;
}

/* IAM's own error shape: an object inside `error`. */
static void refuse(struct request *request, unsigned status, const char *message, const char *title)
{
    answer_json(&request->answer, status,
                json_pack("{s:{s:i, s:s, s:s}}", "error", "code", (int)status, "message", message,
                          "title", title));
}

static void time_format(int64_t wall_ms, char *text, size_t size)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm fields;
    char date[32];
    gmtime_r(&seconds, &fields);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &fields);
    snprintf(text, size, "%s.%03d000Z", date, (int)(wall_ms % 1000));
}

static json_t *catalog(void)
{
    json_t *list = json_array();
    for (int i = 0; i < CATALOG_ENTRIES; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:[]}", "name", "service", "type",
                                              "service-of-the-catalog", "endpoints"));
    return list;
}

/* Real tokens are several kilobytes of base64. */
static void token_give(struct simulator *simulator, struct request *request)
{
    int64_t lasts_ms = credentials_token_ms(simulator, PROVIDER_IAM);
    char token[TOKEN_LEN + 1], expires[64];
    int len = snprintf(token, sizeof(token), "iam-token-%u-", tokens_next_number(simulator));
    json_t *body;
    memset(token + len, 'A', (size_t)(TOKEN_LEN - len));
    token[TOKEN_LEN] = '\0';
    tokens_issue(simulator, PROVIDER_IAM, token, request->now_ms + lasts_ms);
    time_format(simulator_wall_ms(simulator) + lasts_ms, expires, sizeof(expires));
    body = json_pack("{s:{s:s, s:[s], s:{s:s}}}", "token", "expires_at", expires, "methods",
                     "password", "user", "name", credential(simulator, IAM_USER));
    if (!request_query(request, "nocatalog"))
        json_object_set_new(json_object_get(body, "token"), "catalog", catalog());
    answer_json(&request->answer, 201, body);
    answer_header(&request->answer, "X-Subject-Token", token);
}

static bool body_read(struct simulator *simulator, const struct request *request, const char **user,
                      const char **password, const char **domain, const char **project)
{
    json_error_t error;
    const char *method, *project_name = NULL, *project_id = NULL;
    if (!check_json_body(simulator, request))
        return false;
    if (json_unpack_ex(request->json, &error, JSON_STRICT,
                       "{s:{s:{s:[s!], s:{s:{s:s, s:s, s:{s:s}}}}, s:{s:{s?s, s?s}}}}", "auth",
                       "identity", "methods", &method, "password", "user", "name", user, "password",
                       password, "domain", "name", domain, "scope", "project", "name",
                       &project_name, "id", &project_id) != 0 ||
        strcmp(method, "password") != 0 || (project_name != NULL) == (project_id != NULL)) {
        ledger_violation(simulator, request,
                         "body: expected auth.identity by password and auth.scope.project");
        return false;
    }
    *project = project_name ? project_name : project_id;
    return true;
}

static void handle(struct simulator *simulator, struct request *request)
{
    static const char *const headers[] = {"Content-Type", NULL};
    static const char *const query[] = {"nocatalog", NULL};
    const char *user, *password, *domain, *project;
    check_headers(simulator, request, headers);
    if (request->operation != OPERATION_SIGN_IN) {
        ledger_violation(simulator, request, "path: no such page");
        refuse(request, 404, "The resource could not be found.", "Not Found");
    } else if (!check_method(simulator, request, "POST")) {
        refuse(request, 405, "Method not allowed.", "Method Not Allowed");
    } else if (!check_query(simulator, request, query) ||
               !body_read(simulator, request, &user, &password, &domain, &project)) {
        refuse(request, 400, "The request body is invalid.", "Bad Request");
    } else if (credentials_locked(simulator, request)) {
        refuse(request, 401, "The account is locked.", "Unauthorized");
    } else if (strcmp(user, credential(simulator, IAM_USER)) != 0 ||
               strcmp(password, credential(simulator, IAM_PASSWORD)) != 0 ||
               strcmp(domain, credential(simulator, IAM_DOMAIN)) != 0 ||
               strcmp(project, credential(simulator, IAM_PROJECT)) != 0) {
        credentials_attempt(simulator, PROVIDER_IAM, false, request->now_ms);
        ledger_violation(simulator, request, "body: user, password, domain or project is wrong");
        refuse(request, 401, "The username or password is wrong.", "Unauthorized");
    } else {
        credentials_attempt(simulator, PROVIDER_IAM, true, request->now_ms);
        token_give(simulator, request);
    }
}

static void throttle(struct request *request, const char *style)
{
    (void)style;
    refuse(request, 429, "Too many requests.", "Too Many Requests");
}

static void expired(struct simulator *simulator, struct request *request)
{
    (void)simulator;
    refuse(request, 401, "The account is locked.", "Unauthorized");
}

const struct provider_row iam_provider = {route, handle, throttle, expired};
