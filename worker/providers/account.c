#include "worker/providers/account.h"

#include <stdlib.h>

#include "common/banned.h"

void *account_new(size_t size, const struct option_values *values, const struct option *options,
                  struct slice endpoint, struct mistakes *mistakes)
{
    if (mistakes->count > 0)
        return NULL;
    struct account_base *account = calloc(1, size);
    char *copy = slice_dup(endpoint);
    if (account == NULL || copy == NULL) {
        free(account);
        free(copy);
        mistakes_add(mistakes, "", "out of memory");
        return NULL;
    }
    account->values = values;
    account->options = options;
    account->endpoint = copy;
    return account;
}

void account_close(void *account)
{
    if (account != NULL)
        free(((struct account_base *)account)->endpoint);
    free(account);
}

/* ---- checks ---------------------------------------------------------------------------------- */

bool account_is_set(const struct option_values *values, const char *path)
{
    const struct option *row = option_values_row(values, path);
    const struct secret *secret;
    const char *text;
    switch (row->type) {
    case OPTION_SECRET:
        secret = option_values_secret(values, path);
        return secret != NULL && secret->len > 0;
    case OPTION_STRING:
        text = option_values_string(values, path);
        return text != NULL && *text != '\0';
    default:
        return option_values_given(values, path);
    }
}

const char *account_read_id(const struct option_values *values, const char *path,
                            const struct id_form *form, struct mistakes *mistakes)
{
    const char *value = option_values_string(values, path);
    if (value == NULL || *value == '\0')
        return NULL;
    if (slice_is_word(slice_of_string(value), form->alphabet, form->most))
        return value;
    mistakes_add(mistakes, path, "expected %s", form->expected);
    return NULL;
}

void account_check_word(const struct option_values *values, const char *path,
                        struct mistakes *mistakes)
{
    struct slice text = {NULL, 0};
    if (!account_is_set(values, path))
        return;
    if (option_values_row(values, path)->type == OPTION_SECRET)
        text = secret_slice(option_values_secret(values, path));
    else
        text = slice_of_string(option_values_string(values, path));
    if (!slice_is_word(text, "!~", 256))
        mistakes_add(mistakes, path, "expected 1-256 visible characters");
}

void account_check_secret(const struct option_values *values, const char *path,
                          struct mistakes *mistakes)
{
    if (!account_is_set(values, path))
        mistakes_add(mistakes, path, "expected a secret that is not empty");
}

static bool lists(const char *const *paths, size_t count, const char *path)
{
    for (size_t i = 0; i < count && paths[i] != NULL; i++)
        if (strcmp(paths[i], path) == 0)
            return true;
    return false;
}

enum { NEEDS = sizeof((struct auth_kind *)0)->needs / sizeof(char *) };
enum { MAYS = sizeof((struct auth_kind *)0)->may / sizeof(char *) };

static bool has(const struct auth_kind *kind, const char *path)
{
    return lists(kind->needs, NEEDS, path) || lists(kind->may, MAYS, path);
}

/* The first option of the kind that is set and that no other kind has; NULL: none. */
static const char *telling_option(const struct option_values *values, const struct auth_kind *kinds,
                                  int count, int kind)
{
    for (size_t i = 0; i < NEEDS + MAYS; i++) {
        const char *path = i < NEEDS ? kinds[kind].needs[i] : kinds[kind].may[i - NEEDS];
        bool own = path != NULL && account_is_set(values, path);
        for (int other = 0; own && other < count; other++)
            own = other == kind || !has(&kinds[other], path);
        if (own)
            return path;
    }
    return NULL;
}

/* "expected token; or app_id with app_secret" */
static void tell_none(const struct auth_kind *kinds, int count, struct mistakes *mistakes)
{
    char text[240] = "";
    for (int kind = 0; kind < count; kind++)
        for (size_t i = 0; i < NEEDS && kinds[kind].needs[i] != NULL; i++) {
            size_t used = strlen(text);
            snprintf(text + used, sizeof text - used, "%s%s",
                     i > 0      ? (i == 1 ? " with " : ", ")
                     : kind > 0 ? "; or "
                                : "",
                     kinds[kind].needs[i] + strlen("auth."));
        }
    mistakes_add(mistakes, "auth", "expected %s", text);
}

int account_auth(const struct option_values *values, const struct auth_kind *kinds, int count,
                 struct mistakes *mistakes)
{
    const char *telling = NULL;
    int chosen = -1;
    for (int kind = 0; kind < count && telling == NULL; kind++) {
        telling = telling_option(values, kinds, count, kind);
        chosen = kind;
    }
    if (telling == NULL) {
        tell_none(kinds, count, mistakes);
        return -1;
    }
    for (size_t i = 0; i < NEEDS && kinds[chosen].needs[i] != NULL; i++)
        if (!account_is_set(values, kinds[chosen].needs[i]))
            mistakes_add(mistakes, kinds[chosen].needs[i], "missing beside %s", telling);
    for (int kind = 0; kind < count; kind++)
        for (size_t i = 0; i < NEEDS + MAYS; i++) {
            const char *path = i < NEEDS ? kinds[kind].needs[i] : kinds[kind].may[i - NEEDS];
            bool told = false;
            for (int before = 0; path != NULL && before < kind && !told; before++)
                told = has(&kinds[before], path);
            if (path != NULL && !told && !has(&kinds[chosen], path) && account_is_set(values, path))
                mistakes_add(mistakes, path,
                             "does not go with %s: an account authenticates in one way", telling);
        }
    return chosen;
}

/* ---- requests and answers -------------------------------------------------------------------- */

struct slice account_secret(const struct account_base *account, const char *path)
{
    const struct secret *secret = option_values_secret(account->values, path);
    return secret != NULL && secret->len > 0 ? secret_slice(secret) : slice_of(NULL, 0);
}

int account_add_secret_header(const struct account_base *account, const char *path,
                              struct http_request *request, const char *name, struct error *err)
{
    struct slice secret = account_secret(account, path);
    if (secret.len == 0)
        return error_set(err, ERROR_INPUT, "%s: expected a secret that is not empty", path);
    buffer_append_slice(http_request_header(request, name), secret);
    return 0;
}

void account_secrets(const struct account_base *account, const struct credential *credential,
                     struct secrets *secrets)
{
    secrets->count = 0;
    for (const struct option *row = account->options; row->path != NULL; row++)
        if (row->type == OPTION_SECRET && secrets->count < SECRETS_MOST - 1)
            secrets->list[secrets->count++] = account_secret(account, row->path);
    if (credential != NULL)
        secrets->list[secrets->count++] = secret_slice(&credential->token);
}

int account_take_token(struct slice token, int64_t expires_ms, struct credential *credential)
{
    struct credential fresh = {.expires_ms = expires_ms};
    struct error err;
    if (!slice_is_word(token, "!~", LIMIT_SECRET_BYTES) ||
        secret_set(&fresh.token, token, &err) < 0)
        return -1;
    *credential = fresh;
    return 0;
}
