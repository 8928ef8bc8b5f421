#include "worker/providers/account.h"

#include <stdlib.h>

#include "common/banned.h"

void *account_new(size_t size, const struct option_values *values, struct slice endpoint,
                  struct error *err)
{
    struct account_base *account = calloc(1, size);
    char *copy = slice_dup(endpoint);
    if (account == NULL || copy == NULL) {
        free(account);
        free(copy);
        error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    account->values = values;
    account->endpoint = copy;
    return account;
}

void account_close(void *account)
{
    if (account != NULL)
        free(((struct account_base *)account)->endpoint);
    free(account);
}

int account_read_id(const struct option_values *values, const char *path,
                    const struct id_form *form, const char **id, struct error *err)
{
    const char *value = option_values_string(values, path);
    *id = NULL;
    if (value == NULL || *value == '\0')
        return 0;
    if (!slice_is_word(slice_of_string(value), form->alphabet, form->most))
        return error_set(err, ERROR_INPUT, "%s: expected %s", path, form->expected);
    *id = value;
    return 0;
}

int account_check_secret(const struct option_values *values, const char *path, struct error *err)
{
    const struct secret *secret = option_values_secret(values, path);
    if (secret == NULL || secret->len == 0)
        return error_set(err, ERROR_INPUT, "%s: expected a secret that is not empty", path);
    return 0;
}

struct slice account_secret(const struct account_base *account, const char *path)
{
    const struct secret *secret = option_values_secret(account->values, path);
    return secret != NULL && secret->len > 0 ? secret_slice(secret) : slice_of(NULL, 0);
}

int account_add_secret_header(const struct account_base *account, const char *path,
                              struct http_request *request, const char *name, struct error *err)
{
    if (account_check_secret(account->values, path, err) < 0)
        return -1;
    buffer_append_slice(http_request_header(request, name), account_secret(account, path));
    return 0;
}
