/* What every driver's opened account begins with, and the checks of configured values. Part of the
 * drivers: nobody else uses it. */
#ifndef KANCEL_WORKER_PROVIDERS_ACCOUNT_H
#define KANCEL_WORKER_PROVIDERS_ACCOUNT_H

#include "worker/providers/task_reader.h"

/* The first member of a driver's own struct. */
struct account_base {
    const struct option_values *values; /* outlives it */
    char *endpoint;
};

/* A zeroed block of `size` bytes that begins with a filled account_base; freed by account_close().
 * NULL: ERROR_MEMORY. */
void *account_new(size_t size, const struct option_values *values, struct slice endpoint,
                  struct error *err) MUST_CHECK;
void account_close(void *account); /* NULL does nothing */

/* A configured id of that form, or NULL where the option is not set; ERROR_INPUT names the option.
 */
int account_read_id(const struct option_values *values, const char *path,
                    const struct id_form *form, const char **id, struct error *err) MUST_CHECK;
/* ERROR_INPUT, naming the option, unless the secret is set and not empty. */
int account_check_secret(const struct option_values *values, const char *path,
                         struct error *err) MUST_CHECK;
/* The secret as it is now: it may have changed since the account was opened. Absent: not set. */
struct slice account_secret(const struct account_base *account, const char *path);
/* Adds header `name` with the secret as it is now. ERROR_INPUT when there is none. */
int account_add_secret_header(const struct account_base *account, const char *path,
                              struct http_request *request, const char *name,
                              struct error *err) MUST_CHECK;

#endif
