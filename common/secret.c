#include "common/secret.h"

#include "common/digest.h"
#include "common/limits.h"

#include "common/banned.h"

int secret_set(struct secret *secret, struct slice value, struct error *err)
{
    if (value.len > LIMIT_SECRET_BYTES)
        return error_set(err, ERROR_INPUT, "%zu bytes; expected a secret of at most %d", value.len,
                         LIMIT_SECRET_BYTES);
    if (value.len > 0 && memchr(value.data, '\0', value.len) != NULL)
        return error_set(err, ERROR_INPUT, "expected a secret without NUL bytes");
    char *copy = NULL;
    if (value.data != NULL) {
        copy = slice_dup(value);
        if (copy == NULL)
            return error_set(err, ERROR_MEMORY, "out of memory");
    }
    secret_release(secret);
    secret->value = copy;
    secret->len = value.len;
    return 0;
}

void secret_release(struct secret *secret)
{
    if (secret->value != NULL)
        digest_wipe(secret->value, secret->len);
    free(secret->value);
    *secret = (struct secret){NULL, 0};
}
