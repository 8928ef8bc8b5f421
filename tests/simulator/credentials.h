/*
 * What accounts must present, and the tokens issued so far. Changed by POST
 * /_simulator/credentials, whose members carry the same names as the members here.
 */
#ifndef SIMULATOR_CREDENTIALS_H
#define SIMULATOR_CREDENTIALS_H

#include "simulator.h"

enum credential {
    ENOS_APP_KEY,
    ENOS_APP_SECRET,
    SCNET_TOKEN,
    SCNET_USER,
    SCNET_ACCESS_KEY,
    SCNET_SECRET_KEY,
    SCNET_PASSWORD,
    SCNET_ORG_ID,
    SCNET_CLUSTER_ID,
    IOTDA_TOKEN,
    IOTDA_ACCESS_KEY,
    IOTDA_SECRET_KEY,
    IOTDA_TEMPORARY_ACCESS_KEY,
    IOTDA_TEMPORARY_SECRET_KEY,
    IOTDA_SECURITY_TOKEN,
    IOTDA_SIGNATURE,
    IOTDA_REGION,
    IOTDA_PROJECT_ID,
    IOTDA_INSTANCE_ID,
    IAM_USER,
    IAM_PASSWORD,
    IAM_DOMAIN,
    IAM_PROJECT,
    KOODRIVE_TOKEN,
    KOODRIVE_APP_ID,
    KOODRIVE_APP_SECRET,
    ENOS_REJECTION,
    SCNET_REJECTION,
    IOTDA_REJECTION,
    CREDENTIALS
};

enum token_state { TOKEN_UNKNOWN, TOKEN_VALID, TOKEN_EXPIRED };

struct credentials *credentials_new(void);
void credentials_reset(struct credentials *credentials);
void credentials_free(struct credentials *credentials);

/* An empty string means: anything will do (or, for a token: none is fixed). */
const char *credential(const struct simulator *simulator, enum credential which);

/* How long tokens of this provider live, in milliseconds. */
int64_t credentials_token_ms(const struct simulator *simulator, enum provider provider);

/* Applies {"enos": {"app_key": ..., "token_ms": ...}, ...}. Returns 0 or -1 with the problem. */
int credentials_script(struct simulator *simulator, const json_t *script, char *problem,
                       size_t problem_size);

/* Remembers a token of the provider; its number (1, 2, ...) is returned. */
unsigned tokens_next_number(struct simulator *simulator);
void tokens_issue(struct simulator *simulator, enum provider provider, const char *token,
                  int64_t expires_ms);
enum token_state tokens_state(struct simulator *simulator, enum provider provider,
                              const char *token, int64_t now_ms);
void tokens_revoke(struct simulator *simulator, enum provider provider, const char *token);
/* The newest token of the provider that still lives, or NULL; *left_ms is what is left of it. */
const char *tokens_current(struct simulator *simulator, enum provider provider, int64_t now_ms,
                           int64_t *left_ms);

/* A provider locks an account after five refused attempts to authenticate by key, password or
 * signature in a row: true while it is locked, which is a violation. */
bool credentials_locked(struct simulator *simulator, const struct request *request);
/* An attempt was made: it was right or it was refused. */
void credentials_attempt(struct simulator *simulator, enum provider provider, bool right,
                         int64_t now_ms);

/* enos' replay guard: whether this value is seen for the first time. */
bool credentials_once(struct simulator *simulator, const char *value);

#endif
