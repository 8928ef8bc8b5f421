/* What the files config*.c share while a configuration is loaded. Nobody else uses it. */
#ifndef KANCEL_WORKER_APP_CONFIG_INTERNAL_H
#define KANCEL_WORKER_APP_CONFIG_INTERNAL_H

#include <sys/stat.h>

#include "worker/app/config.h"

enum {
    CONFIG_KEYS_MOST = 1000,     /* of one mapping: more is no configuration a person wrote */
    CONFIG_ACCOUNTS_MOST = 1000, /* each takes memory and metrics of its own */
};

/* Which rows were named in the file, right or wrong, and where. */
struct config_place {
    const struct option_values *values;
    const struct option *row;
    unsigned line;
};

/* A secret that stands in a file of its own and is read again when that changes. */
struct config_secret_file {
    struct option_values *values;
    const char *option; /* the row's path */
    char *path;
    struct stat seen;
    bool failing;
};

struct config_account {
    char *name;
    unsigned line;
    char *endpoint; /* without trailing slashes */
    struct option_values *values;
};

struct config_file {
    char *path;
    char *folder; /* of the file, with its final slash; "" for the current one */
    struct option_values *top, *kafka, *worker, *admin, *tracing, *log;
    struct config_account *accounts;
    size_t account_count;
    struct config_secret_file *secret_files;
    size_t secret_file_count;
    struct config_place *places;
    size_t place_count;
    void **owned; /* arrays and texts that live as long as the file */
    size_t owned_count;
};

struct config_loader {
    struct config *config;
    struct config_file *file;
    const char *(*environment)(const char *name);
    bool out_of_memory;
    bool too_many; /* mistakes */
};

/* One table's place in the file. */
struct config_scope {
    struct option_values *values;
    const char *name;               /* "kafka", "accounts.iot-prod"; "" for the top level */
    const struct option *tables[2]; /* the rows of `values`; the second may be NULL */
    bool ignore_unknown;            /* the second table is not known */
};

/* A secret's room in memory while it is read: the longest, its newline and one byte more to see
 * that it is too long. */
enum { CONFIG_SECRET_ROOM = LIMIT_SECRET_BYTES + 3 };

/* ---- config.c ---- */
void config_mistake(struct config_loader *loader, unsigned line, const char *key,
                    const char *format, ...) PRINTF_LIKE(4, 5);
void config_warning(struct config_loader *loader, unsigned line, const char *key,
                    const char *format, ...) PRINTF_LIKE(4, 5);
/* The file owns `piece` (malloc) from now on; NULL counts as out of memory. Returns it. */
void *config_own(struct config_loader *loader, void *piece);
/* Room for one more element behind `count`; the (possibly moved) array, or NULL with out_of_memory
 * set and the old array left. */
void *config_grow(struct config_loader *loader, void *array, size_t count, size_t size) MUST_CHECK;
/* The line where that row was set; `otherwise` when it was not. */
unsigned config_line(const struct config_loader *loader, const struct option_values *values,
                     const char *path, unsigned otherwise);
void config_check_required(struct config_loader *loader, const struct config_scope *scope,
                           unsigned line);
/* Joined by a dot where both are non-empty. */
void config_key(char key[160], const char *scope, const char *path);

/* ---- config_yaml.c ---- */
/* Parses `text` and loads every section. */
void config_yaml_load(struct config_loader *loader, struct slice text);

/* ---- config_values.c: values in their tables ---- */
struct yaml_document_s;
struct yaml_node_s;
void config_load_mapping(struct config_loader *loader, struct yaml_document_s *document,
                         struct yaml_node_s *node, unsigned line, const struct config_scope *scope,
                         const char *within);
/* The same for one key of the scope's own level. */
void config_load_key(struct config_loader *loader, struct yaml_document_s *document,
                     struct yaml_node_s *node, unsigned line, const struct config_scope *scope,
                     const char *key);
/* Calls `visit` for each key of a mapping; keys that are no text, doubled or too many are mistakes.
 */
void config_each_key(struct config_loader *loader, struct yaml_document_s *document,
                     struct yaml_node_s *mapping, const char *name,
                     void (*visit)(void *context, const char *key, unsigned line,
                                   struct yaml_node_s *value),
                     void *context);
bool config_is_nothing(const struct yaml_node_s *node);
/* The text of a mapping's key as it stands, unexpanded; the absent slice when there is none or it
 * is no text. */
struct slice config_peek(struct yaml_document_s *document, const struct yaml_node_s *mapping,
                         const char *key);
bool config_is_mapping(const struct yaml_node_s *node);
/* "a mapping", "a list", "nothing", "a text" */
const char *config_kind(const struct yaml_node_s *node);

/* ---- config_text.c ---- */
/* Appends `text` with ${NAME}, ${NAME:-default} and $${ replaced. ERROR_INPUT names what is wrong
 * with a reference. */
int config_expand(struct slice text, const char *(*environment)(const char *name),
                  struct buffer *out, struct error *err) MUST_CHECK;
/* Reads a secret's file into `out` (wipe it), one final newline cut. `readable_by_all` says that it
 * should be closed better. */
int config_read_secret(const char *path, struct buffer *out, struct stat *seen,
                       bool *readable_by_all, struct error *err) MUST_CHECK;
/* `path` as seen from the configuration file's folder. NULL: out of memory. */
char *config_resolve(const struct config_file *file, const char *path);

/* ---- config_account.c ---- */
void config_load_account(struct config_loader *loader, struct yaml_document_s *document,
                         const char *name, unsigned line, struct yaml_node_s *node);
/* Fills config->accounts, opens the providers' accounts. */
void config_build_accounts(struct config_loader *loader);

/* ---- config_checks.c ---- */
/* The items of a list row as an array that the file owns; NULL with count 0. */
const char **config_strings(struct config_loader *loader, const struct option_values *values,
                            const char *path, size_t *count);
/* Fills the settings from the tables, and checks what concerns several of them. */
void config_build(struct config_loader *loader);

/* ---- config_tables.c ---- */
extern const struct option config_top_rows[], config_kafka_rows[], config_worker_rows[],
    config_admin_rows[], config_tracing_rows[], config_log_rows[], config_account_rows[];

#endif
