#include <uthash.h>

#include "credentials.h"
#include "ledger.h"

#include "common/banned.h"

struct token {
    UT_hash_handle hh;
    enum provider provider;
    int64_t expires_ms;
    unsigned number;
    char text[];
};

struct used {
    UT_hash_handle hh;
    char value[];
};

enum { REFUSALS_MAX = 5, LOCKED_MS = 5 * 60 * 1000 };

struct credentials {
    char *values[CREDENTIALS];
    int64_t token_ms[PROVIDERS];
    unsigned refusals[PROVIDERS]; /* in a row */
    int64_t locked_until_ms[PROVIDERS];
    struct token *tokens;
    unsigned tokens_count;
    struct used *used;
};

/* The provider's section, the member's name and its first value. */
static const struct {
    enum provider provider;
    const char *name, *initial;
} rows[CREDENTIALS] = {
    [ENOS_APP_KEY] = {PROVIDER_ENOS, "app_key", "app-key"},
    [ENOS_APP_SECRET] = {PROVIDER_ENOS, "app_secret", "app-secret"},
    [SCNET_TOKEN] = {PROVIDER_SCNET, "token", "scnet-token"},
    [SCNET_USER] = {PROVIDER_SCNET, "user", "user"},
    [SCNET_ACCESS_KEY] = {PROVIDER_SCNET, "access_key", "access-key"},
    [SCNET_SECRET_KEY] = {PROVIDER_SCNET, "secret_key", "secret-key"},
    [SCNET_PASSWORD] = {PROVIDER_SCNET, "password", "password"},
    [SCNET_ORG_ID] = {PROVIDER_SCNET, "org_id", "org"},
    [SCNET_CLUSTER_ID] = {PROVIDER_SCNET, "cluster_id", "11112"},
    [IOTDA_TOKEN] = {PROVIDER_IOTDA, "token", "iotda-token"},
    [IOTDA_ACCESS_KEY] = {PROVIDER_IOTDA, "access_key", "access-key"},
    [IOTDA_SECRET_KEY] = {PROVIDER_IOTDA, "secret_key", "secret-key"},
    [IOTDA_TEMPORARY_ACCESS_KEY] = {PROVIDER_IOTDA, "temporary_access_key", "temporary-key"},
    [IOTDA_TEMPORARY_SECRET_KEY] = {PROVIDER_IOTDA, "temporary_secret_key", "temporary-secret"},
    [IOTDA_SECURITY_TOKEN] = {PROVIDER_IOTDA, "security_token", "security-token+/=="},
    [IOTDA_SIGNATURE] = {PROVIDER_IOTDA, "signature", ""},
    [IOTDA_REGION] = {PROVIDER_IOTDA, "region", "cn-north-4"},
    [IOTDA_PROJECT_ID] = {PROVIDER_IOTDA, "project_id", ""},
    [IOTDA_INSTANCE_ID] = {PROVIDER_IOTDA, "instance_id", ""},
    [IAM_USER] = {PROVIDER_IAM, "user", "user"},
    [IAM_PASSWORD] = {PROVIDER_IAM, "password", "password"},
    [IAM_DOMAIN] = {PROVIDER_IAM, "domain", "domain"},
    [IAM_PROJECT] = {PROVIDER_IAM, "project", "project"},
    [KOODRIVE_TOKEN] = {PROVIDER_KOODRIVE, "token", "Bearer+koodrive-token"},
    [KOODRIVE_APP_ID] = {PROVIDER_KOODRIVE, "app_id", "app-id"},
    [KOODRIVE_APP_SECRET] = {PROVIDER_KOODRIVE, "app_secret", "app-secret"},
    [ENOS_REJECTION] = {PROVIDER_ENOS, "rejection", "apim_status"},
    [SCNET_REJECTION] = {PROVIDER_SCNET, "rejection", "911406"},
    [IOTDA_REJECTION] = {PROVIDER_IOTDA, "rejection", "APIGW.0307"},
};

static const int64_t initial_token_ms[PROVIDERS] = {
    [PROVIDER_ENOS] = 7200 * 1000,
    [PROVIDER_SCNET] = 12 * 3600 * 1000,
    [PROVIDER_IAM] = 24 * 3600 * 1000,
};

struct credentials *credentials_new(void)
{
    struct credentials *credentials = must(calloc(1, sizeof(*credentials)));
    credentials_reset(credentials);
    return credentials;
}

void credentials_reset(struct credentials *credentials)
{
    struct token *token, *next_token;
    struct used *used, *next_used;
    for (size_t i = 0; i < CREDENTIALS; i++) {
        free(credentials->values[i]);
        credentials->values[i] = must_copy(rows[i].initial);
    }
    credentials->tokens_count = 0;
    memcpy(credentials->token_ms, initial_token_ms, sizeof(initial_token_ms));
    memset(credentials->refusals, 0, sizeof(credentials->refusals));
    memset(credentials->locked_until_ms, 0, sizeof(credentials->locked_until_ms));
    HASH_ITER(hh, credentials->tokens, token, next_token)
    {
        HASH_DEL(credentials->tokens, token);
        free(token);
    }
    HASH_ITER(hh, credentials->used, used, next_used)
    {
        HASH_DEL(credentials->used, used);
        free(used);
    }
}

void credentials_free(struct credentials *credentials)
{
    credentials_reset(credentials);
    for (size_t i = 0; i < CREDENTIALS; i++)
        free(credentials->values[i]);
    free(credentials);
}

const char *credential(const struct simulator *simulator, enum credential which)
{
    return simulator->credentials->values[which];
}

int64_t credentials_token_ms(const struct simulator *simulator, enum provider provider)
{
    return simulator->credentials->token_ms[provider];
}

static int member_script(struct credentials *credentials, enum provider provider, const char *name,
                         const json_t *value)
{
    if (strcmp(name, "token_ms") == 0 && json_is_integer(value)) {
        credentials->token_ms[provider] = json_integer_value(value);
        return 0;
    }
    for (size_t i = 0; i < CREDENTIALS; i++) {
        if (rows[i].provider == provider && strcmp(rows[i].name, name) == 0 &&
            json_is_string(value)) {
            free(credentials->values[i]);
            credentials->values[i] = must_copy(json_string_value(value));
            return 0;
        }
    }
    return -1;
}

int credentials_script(struct simulator *simulator, const json_t *script, char *problem,
                       size_t problem_size)
{
    const char *section, *name;
    json_t *members, *value;
    json_object_foreach((json_t *)(uintptr_t)script, section, members)
    {
        int provider = name_index(provider_names, PROVIDER_NONE, section);
        json_object_foreach(members, name, value)
        {
            if (provider < 0 ||
                member_script(simulator->credentials, (enum provider)provider, name, value) != 0) {
                snprintf(problem, problem_size, "%.32s.%.32s: unknown, or not the right type",
                         section, name);
                return -1;
            }
        }
    }
    return 0;
}

unsigned tokens_next_number(struct simulator *simulator)
{
    return ++simulator->credentials->tokens_count;
}

void tokens_issue(struct simulator *simulator, enum provider provider, const char *text,
                  int64_t expires_ms)
{
    size_t len = strlen(text);
    struct token *token = must(calloc(1, sizeof(*token) + len + 1));
    memcpy(token->text, text, len + 1);
    token->provider = provider;
    token->expires_ms = expires_ms;
    token->number = simulator->credentials->tokens_count;
    HASH_ADD_STR(simulator->credentials->tokens, text, token);
}

static struct token *token_find(const struct simulator *simulator, enum provider provider,
                                const char *text)
{
    struct token *token;
    HASH_FIND_STR(simulator->credentials->tokens, text, token);
    return token && token->provider == provider ? token : NULL;
}

enum token_state tokens_state(struct simulator *simulator, enum provider provider, const char *text,
                              int64_t now_ms)
{
    const struct token *token = token_find(simulator, provider, text);
    if (!token)
        return TOKEN_UNKNOWN;
    return token->expires_ms > now_ms ? TOKEN_VALID : TOKEN_EXPIRED;
}

void tokens_revoke(struct simulator *simulator, enum provider provider, const char *text)
{
    struct token *token = token_find(simulator, provider, text);
    if (token)
        token->expires_ms = INT64_MIN;
}

const char *tokens_current(struct simulator *simulator, enum provider provider, int64_t now_ms,
                           int64_t *left_ms)
{
    struct token *token, *next, *newest = NULL;
    HASH_ITER(hh, simulator->credentials->tokens, token, next)
    {
        if (token->provider == provider && token->expires_ms > now_ms &&
            (!newest || token->number > newest->number))
            newest = token;
    }
    if (!newest)
        return NULL;
    *left_ms = newest->expires_ms - now_ms;
    return newest->text;
}

bool credentials_locked(struct simulator *simulator, const struct request *request)
{
    if (request->now_ms >= simulator->credentials->locked_until_ms[request->provider])
        return false;
    ledger_violation(simulator, request, "locked: tried again after five refusals");
    return true;
}

void credentials_attempt(struct simulator *simulator, enum provider provider, bool right,
                         int64_t now_ms)
{
    struct credentials *credentials = simulator->credentials;
    credentials->refusals[provider] = right ? 0 : credentials->refusals[provider] + 1;
    if (credentials->refusals[provider] >= REFUSALS_MAX)
        credentials->locked_until_ms[provider] = now_ms + LOCKED_MS;
}

bool credentials_once(struct simulator *simulator, const char *value)
{
    size_t len = strlen(value);
    struct used *used;
    HASH_FIND_STR(simulator->credentials->used, value, used);
    if (used)
        return false;
    used = must(calloc(1, sizeof(*used) + len + 1));
    memcpy(used->value, value, len + 1);
    HASH_ADD_STR(simulator->credentials->used, value, used);
    return true;
}
