/* What every driver's opened account begins with, and the checks of configured values. Part of the
 * drivers: nobody else uses it. */
#ifndef KANCEL_WORKER_PROVIDERS_ACCOUNT_H
#define KANCEL_WORKER_PROVIDERS_ACCOUNT_H

#include "worker/providers/answer.h"
#include "worker/providers/task_reader.h"

/* The first member of a driver's own struct. */
struct account_base {
    const struct option_values *values; /* outlives it */
    const struct option *options;       /* the driver's rows */
    char *endpoint;
};

/* A zeroed block of `size` bytes that begins with a filled account_base; freed by account_close().
 * NULL: after a mistake of the account (`mistakes` holds any), or out of memory (told as one). */
void *account_new(size_t size, const struct option_values *values, const struct option *options,
                  struct slice endpoint, struct mistakes *mistakes) MUST_CHECK;
void account_close(void *account); /* NULL does nothing */

/* ---- checks: every mistake is told ---- */

/* True when the option has a value that is not empty, of the file rather than its default. */
bool account_is_set(const struct option_values *values, const char *path);
/* A configured id of that form; NULL where the option is not set, or is a mistake. */
const char *account_read_id(const struct option_values *values, const char *path,
                            const struct id_form *form, struct mistakes *mistakes);
/* A mistake unless the option, if set, holds 1-256 visible characters. */
void account_check_word(const struct option_values *values, const char *path,
                        struct mistakes *mistakes);
/* A mistake unless the secret is set and not empty. */
void account_check_secret(const struct option_values *values, const char *path,
                          struct mistakes *mistakes);

/* A way to authenticate. An option may belong to several. */
struct auth_kind {
    const char *needs[6]; /* ended by NULL */
    const char *may[3];
};
/* Which of the `count` kinds the account is set up with: that of the first option set which only
 * one kind has. What it lacks, and what is set beside it and belongs to another kind, are mistakes.
 * -1: none. */
int account_auth(const struct option_values *values, const struct auth_kind *kinds, int count,
                 struct mistakes *mistakes);

/* ---- requests and answers ---- */

/* The secret as it is now: it may have changed since the account was opened. Absent: not set. */
struct slice account_secret(const struct account_base *account, const char *path);
/* Adds header `name` with the secret as it is now. ERROR_INPUT when there is none. */
int account_add_secret_header(const struct account_base *account, const char *path,
                              struct http_request *request, const char *name,
                              struct error *err) MUST_CHECK;
/* All of the account's secrets, and the credential's (NULL: none). */
void account_secrets(const struct account_base *account, const struct credential *credential,
                     struct secrets *secrets);
/* Takes a token that was given until `expires_ms`: of visible characters, as it will be a header.
 * -1: it is not, or out of memory. */
int account_take_token(struct slice token, int64_t expires_ms,
                       struct credential *credential) MUST_CHECK;

#endif
