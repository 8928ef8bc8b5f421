#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftest.h"

#include "common/banned.h"

enum { OPTIONS_MAX = 16, REPLY_KEPT_MAX = 1 << 20 };

struct server main_server;

/* ---- the server as a child ---- */

static void server_exec(int out, const char *const *options)
{
    char *arguments[OPTIONS_MAX + 2] = {(char *)(uintptr_t)PROGRAM};
    for (size_t i = 0; options && options[i] && i < OPTIONS_MAX; i++)
        arguments[i + 1] = (char *)(uintptr_t)options[i];
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(out, STDOUT_FILENO);
    execv(PROGRAM, arguments);
    _exit(127);
}

/* Outside of a running test Check's assertions cannot be used. */
static void require(bool good, const char *what, const char *detail)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s %s\n", PROGRAM, what, detail);
    abort();
}

void server_start(struct server *server, const char *const *options)
{
    static const char said[] = "listening on ";
    char line[160] = "";
    int pipes[2];
    FILE *out;
    require(pipe(pipes) == 0, "pipe", "");
    server->pid = fork();
    require(server->pid >= 0, "fork", "");
    if (server->pid == 0)
        server_exec(pipes[1], options);
    close(pipes[1]);
    out = fdopen(pipes[0], "r");
    require(out && fgets(line, sizeof(line), out), "said nothing", "");
    fclose(out);
    require(strncmp(line, said, sizeof(said) - 1) == 0, "said", line);
    line[strcspn(line, "\n")] = '\0';
    snprintf(server->url, sizeof(server->url), "%.120s", line + sizeof(said) - 1);
}

void server_stop(struct server *server)
{
    int status;
    require(kill(server->pid, SIGTERM) == 0, "kill", "");
    require(waitpid(server->pid, &status, 0) == server->pid, "waitpid", "");
    require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "did not end with status 0", "");
}

/* ---- HTTP ---- */

struct sink {
    char *text;
    size_t len, total;
};

/* Keeps the first megabyte, counts all. */
static size_t sink_write(char *data, size_t size, size_t count, void *context)
{
    struct sink *sink = context;
    size_t len = size * count;
    size_t keep = len;
    if (sink->len + keep > REPLY_KEPT_MAX)
        keep = REPLY_KEPT_MAX - sink->len;
    sink->text = realloc(sink->text, sink->len + keep + 1);
    ck_assert_ptr_nonnull(sink->text);
    memcpy(sink->text + sink->len, data, keep);
    sink->len += keep;
    sink->text[sink->len] = '\0';
    sink->total += len;
    return len;
}

static void client_set(CURL *curl, const struct server *server, const struct ask *ask)
{
    char url[1024];
    snprintf(url, sizeof(url), "%s%s", server->url, ask->path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, ask->agent ? ask->agent : "kancel/selftest");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ask->timeout_ms ? ask->timeout_ms : 10000L);
    if (ask->body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask->body);
    else if (strcmp(ask->method, "POST") == 0)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask->method);
    if (ask->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, ask->ca_file);
    if (ask->certificate) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, ask->certificate);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, ask->key);
    }
}

struct reply client_send(const struct server *server, const struct ask *ask)
{
    struct reply reply = {.status = 0};
    struct sink body = {NULL, 0, 0}, headers = {NULL, 0, 0};
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    bool typed = false;
    CURL *curl = curl_easy_init();
    ck_assert_ptr_nonnull(curl);
    client_set(curl, server, ask);
    for (size_t i = 0; ask->headers[i]; i++) {
        typed = typed || strncmp(ask->headers[i], "Content-Type:", 13) == 0;
        list = curl_slist_append(list, ask->headers[i]);
    }
    if (!typed)
        list =
            curl_slist_append(list, ask->body ? "Content-Type: application/json" : "Content-Type:");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, sink_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &headers);
    reply.result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &reply.seconds);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    reply.body = body.text ? body.text : strdup("");
    reply.body_len = body.total;
    reply.headers = headers.text ? headers.text : strdup("");
    reply.json = json_loadb(reply.body, body.len, JSON_DECODE_ANY, NULL);
    return reply;
}

void reply_release(struct reply *reply)
{
    free(reply->body);
    free(reply->headers);
    json_decref(reply->json);
}

/* ---- control pages ---- */

void control(const char *page, const char *body)
{
    char path[64];
    struct ask ask = {.method = "POST", .path = path, .body = body};
    struct reply reply;
    snprintf(path, sizeof(path), "/_simulator/%s", page);
    reply = client_send(&main_server, &ask);
    ck_assert_msg(reply.status == 200, "%s: %ld %s", page, reply.status, reply.body);
    reply_release(&reply);
}

json_t *ledger(void)
{
    struct ask ask = {.method = "GET", .path = "/_simulator/ledger"};
    struct reply reply = client_send(&main_server, &ask);
    json_t *json = json_incref(reply.json);
    ck_assert_msg(json_is_object(json), "ledger: %s", reply.body);
    reply_release(&reply);
    return json;
}

void expect_no_violation(void)
{
    json_t *json = ledger();
    char *text = json_dumps(json_object_get(json, "violations"), JSON_COMPACT);
    ck_assert_str_eq(text, "[]");
    free(text);
    json_decref(json);
}

void expect_violation(const char *wanted)
{
    json_t *json = ledger();
    json_t *list = json_object_get(json, "violations");
    char *text = json_dumps(list, JSON_COMPACT | JSON_ENCODE_ANY);
    bool found = false;
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        found = found || strstr(json_string_value(json_object_get(one, "what")), wanted);
    }
    ck_assert_msg(found, "expected a violation about \"%s\", got %s", wanted, text);
    free(text);
    json_decref(json);
}

void expect_task(const char *provider, const char *id, const char *state, const char *history)
{
    json_t *json = ledger();
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(json, "tasks"), i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "id")), id) != 0 ||
            strcmp(json_string_value(json_object_get(one, "provider")), provider) != 0)
            continue;
        ck_assert_str_eq(json_string_value(json_object_get(one, "state")), state);
        ck_assert_str_eq(json_string_value(json_object_get(one, "history")), history);
        json_decref(json);
        return;
    }
    ck_abort_msg("no task %s %s in the ledger", provider, id);
}

/* ---- credentials ---- */

int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void hex_encode(const unsigned char *digest, char hex[65])
{
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void sha256_hex(const char *text, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    ck_assert_int_eq(EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL), 1);
    hex_encode(digest, hex);
}

void enos_signature(const char *token, const char *params, const char *timestamp,
                    const char *secret, char hex[65])
{
    char text[1024];
    snprintf(text, sizeof(text), "%s%s%s%s", token, params, timestamp, secret);
    sha256_hex(text, hex);
}

void scnet_signature(const char *access_key, const char *timestamp, const char *user,
                     const char *secret, char hex[65])
{
    char text[512];
    unsigned char digest[EVP_MAX_MD_SIZE];
    int len =
        snprintf(text, sizeof(text), "{\"accessKey\":\"%s\",\"timestamp\":\"%s\",\"user\":\"%s\"}",
                 access_key, timestamp, user);
    ck_assert_ptr_nonnull(HMAC(EVP_sha256(), secret, (int)strlen(secret),
                               (const unsigned char *)text, (size_t)len, digest, NULL));
    hex_encode(digest, hex);
}

/* ---- good calls ---- */

struct reply enos_sign_in(void)
{
    static int64_t last;
    struct ask ask = {.method = "POST", .path = "/apim-token-service/v2.0/token/get"};
    char body[256], text[128], hex[65];
    int64_t now = wall_ms();
    last = now > last ? now : last + 1; /* the replay guard wants a new one each time */
    snprintf(text, sizeof(text), "app-key%lldapp-secret", (long long)last);
    sha256_hex(text, hex);
    snprintf(body, sizeof(body),
             "{\"appKey\":\"app-key\",\"encryption\":\"%s\",\"timestamp\":%lld}", hex,
             (long long)last);
    ask.body = body;
    return client_send(&main_server, &ask);
}

struct reply enos_call(const char *method, const char *task, const char *token)
{
    char path[256], token_header[128], timestamp[24], timestamp_header[64], hex[65],
        signature_header[96];
    struct ask ask = {.method = method,
                      .path = path,
                      .headers = {token_header, timestamp_header, signature_header}};
    snprintf(path, sizeof(path),
             "/data-federation/v2.0/channels/read/ch-1/download/%s?orgId=o%%201", task);
    snprintf(timestamp, sizeof(timestamp), "%lld", (long long)wall_ms());
    enos_signature(token, "orgIdo 1", timestamp, "app-secret", hex);
    snprintf(token_header, sizeof(token_header), "apim-accesstoken: %s", token);
    snprintf(timestamp_header, sizeof(timestamp_header), "apim-timestamp: %s", timestamp);
    snprintf(signature_header, sizeof(signature_header), "apim-signature: %s", hex);
    return client_send(&main_server, &ask);
}

struct reply scnet_call(const char *page, const char *body)
{
    char path[128];
    struct ask ask = {
        .method = "POST", .path = path, .body = body, .headers = {"token: scnet-token"}};
    snprintf(path, sizeof(path), "/efile/openapi/v2/file/task/%s", page);
    return client_send(&main_server, &ask);
}

struct reply iotda_call(const char *method, const char *rest, const char *body)
{
    char path[256];
    struct ask ask = {
        .method = method, .path = path, .body = body, .headers = {"X-Auth-Token: iotda-token"}};
    snprintf(path, sizeof(path), "/v5/iot/p1/batchtasks/%s", rest);
    return client_send(&main_server, &ask);
}

struct reply koodrive_call(const char *method, const char *rest, const char *body)
{
    char path[128];
    struct ask ask = {.method = method,
                      .path = path,
                      .body = body,
                      .headers = {"Authorization: Bearer+koodrive-token"}};
    snprintf(path, sizeof(path), "/koodrive/ose/v1/%s", rest);
    return client_send(&main_server, &ask);
}
