/*
 * The contents of accounts' TLS files, kept in memory and given to curl as such: a connection is
 * made with one state of the three files, and is kept for calls with that state only. So new contents need nothing but new calls, and a file that is being
 * written harms nobody. Loop's thread only.
 */
#ifndef KANCEL_WORKER_IO_TLS_FILES_H
#define KANCEL_WORKER_IO_TLS_FILES_H

#include <curl/curl.h>

#include "worker/core/settings.h"

/* One state of an account's files; immutable. */
struct tls_files;
/* The newest state of each set of files that was asked for. */
struct tls_store;

/* NULL: out of memory. */
struct tls_store *tls_store_new(void);
/* What was taken from it lives on. */
void tls_store_free(struct tls_store *store);

/* The files of an account that has any, read when they are asked for first. To be given back with
 * tls_files_unref(). NULL: `err` says which cannot be read. */
struct tls_files *tls_store_take(struct tls_store *store, const struct account_settings *account,
                                 struct error *err) MUST_CHECK;
/* The same once more. NULL is NULL. */
struct tls_files *tls_files_ref(struct tls_files *files);
void tls_files_unref(struct tls_files *files); /* NULL does nothing */

/* Makes the handle use them; the files must outlive its transfer. */
CURLcode tls_files_apply(const struct tls_files *files, CURL *easy);

/* Reads files again that have changed. Those that do not fit together, or are no certificates,
 * leave the old ones in use. `report` is called for each set read anew (err NULL) and once for each
 * that begins to fail; `path` is one of its files. */
void tls_store_refresh(struct tls_store *store,
                       void (*report)(void *context, const char *path, const struct error *err),
                       void *context);

#endif
