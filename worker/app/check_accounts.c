#include <inttypes.h>

#include "common/timestamp.h"
#include "worker/app/check_online.h"
#include "worker/io/http.h"

#include "common/banned.h"

/* A provider's clock and ours: signatures are refused beyond a few minutes. */
enum { SKEW_MS = 60 * 1000 };

struct checking {
    const struct config *config;
    struct findings *findings;
    struct loop *loop;
    struct http *http;
    size_t open;
};

/* Call ids: the account's endpoint, and its sign-in. */
static uint64_t reach_id(size_t account)
{
    return account * 2 + 1;
}

static void note_clock(struct checking *checking, const struct account_settings *account,
                       const struct http_response *response)
{
    int64_t theirs;
    if (!timestamp_parse_http(response->date, &theirs))
        return;
    int64_t ahead = loop_wall_ms() - theirs;
    if (ahead > SKEW_MS || ahead < -SKEW_MS)
        findings_add(checking->findings, FINDING_WARNING,
                     "account %s: this machine's clock is %" PRId64 " s %s the provider's",
                     account->name, (ahead < 0 ? -ahead : ahead) / 1000,
                     ahead > 0 ? "ahead of" : "behind");
}

static void reached(struct checking *checking, const struct account_settings *account,
                    const struct http_response *response)
{
    bool answered = response->result == HTTP_ANSWERED;
    if (answered)
        findings_add(checking->findings, FINDING_OK, "account %s: %s answers (HTTP %d)",
                     account->name, account->endpoint, response->status);
    else
        findings_add(checking->findings, FINDING_BAD, "account %s: %s: %s", account->name,
                     account->endpoint, response->problem);
    if (answered)
        note_clock(checking, account, response);
    if (!account->provider->needs_sign_in(account->opened))
        findings_add(checking->findings, FINDING_OK,
                     "account %s: credentials are set; only a call would tell whether they are "
                     "accepted",
                     account->name);
}

static void signed_in(struct checking *checking, const struct account_settings *account,
                      const struct http_response *response)
{
    struct credential credential = {0};
    struct verdict verdict = {0};
    if (account->provider->signed_in(account->opened, NULL, response, loop_wall_ms(), &credential,
                                     &verdict) == 0)
        findings_add(checking->findings, FINDING_OK, "account %s: credentials are accepted",
                     account->name);
    else
        findings_add(checking->findings, FINDING_BAD, "account %s: sign-in: %s%s%s: %s",
                     account->name, failure_name(verdict.error.kind),
                     verdict.error.code[0] ? " " : "", verdict.error.code, verdict.error.message);
    secret_release(&credential.token);
}

static void answered(void *context, uint64_t call_id, const struct http_response *response)
{
    struct checking *checking = context;
    size_t index = (size_t)(call_id - 1) / 2;
    const struct account_settings *account = &checking->config->accounts[index];
    if (call_id == reach_id(index))
        reached(checking, account, response);
    else
        signed_in(checking, account, response);
    if (--checking->open == 0)
        loop_stop(checking->loop);
}

/* The endpoint's own path is no task of anybody's. */
static void reach(struct checking *checking, size_t index)
{
    const struct account_settings *account = &checking->config->accounts[index];
    struct http_request request;
    http_request_init(&request);
    request.method = HTTP_GET;
    buffer_append_string(&request.url, account->endpoint);
    buffer_append_byte(&request.url, '/');
    checking->open++;
    http_start(checking->http, reach_id(index), account, &request);
}

static void sign_in(struct checking *checking, size_t index)
{
    const struct account_settings *account = &checking->config->accounts[index];
    struct http_request request;
    struct error err;
    if (!account->provider->needs_sign_in(account->opened))
        return;
    http_request_init(&request);
    if (account->provider->sign_in(account->opened, NULL, loop_wall_ms(), &request, &err) == 0) {
        checking->open++;
        http_start(checking->http, reach_id(index) + 1, account, &request);
        return;
    }
    findings_add(checking->findings, FINDING_BAD, "account %s: sign-in: %s", account->name,
                 err.message);
    http_request_release(&request);
}

void check_accounts(const struct config *config, struct findings *findings)
{
    struct checking checking = {.config = config, .findings = findings};
    size_t count = config->engine.account_count;
    struct error err;
    checking.loop = loop_new(&err);
    if (checking.loop)
        checking.http =
            http_new(checking.loop, (unsigned)count * 2, config->proxy, answered, &checking, &err);
    if (!checking.http) {
        findings_add(findings, FINDING_BAD, "accounts: %s", err.message);
    } else {
        http_deny(checking.http, config->denied, config->denied_count);
        for (size_t i = 0; i < count; i++) {
            reach(&checking, i);
            sign_in(&checking, i);
        }
        loop_run(checking.loop);
        http_free(checking.http);
    }
    if (checking.loop)
        loop_free(checking.loop);
}
