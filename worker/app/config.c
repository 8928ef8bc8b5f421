#include "worker/app/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "worker/app/config_internal.h"

#include "common/banned.h"

/* ---- mistakes ---- */

static void clean(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

static struct config_mistake *add_mistake(struct config_loader *loader, unsigned line,
                                          const char *key)
{
    struct config *config = loader->config;
    struct config_mistake *grown;
    if (config->mistake_count >= LIMIT_CONFIG_MISTAKES) {
        loader->too_many = true;
        return NULL;
    }
    grown = config_grow(loader, config->mistakes, config->mistake_count, sizeof(*grown));
    if (!grown)
        return NULL;
    config->mistakes = grown;
    grown = &grown[config->mistake_count++];
    *grown = (struct config_mistake){.line = line};
    snprintf(grown->key, sizeof(grown->key), "%s", key);
    clean(grown->key);
    return grown;
}

void config_mistake(struct config_loader *loader, unsigned line, const char *key,
                    const char *format, ...)
{
    struct config_mistake *mistake = add_mistake(loader, line, key);
    va_list arguments;
    loader->config->valid = false;
    if (!mistake)
        return;
    va_start(arguments, format);
    vsnprintf(mistake->message, sizeof(mistake->message), format, arguments);
    va_end(arguments);
    clean(mistake->message);
}

void config_warning(struct config_loader *loader, unsigned line, const char *key,
                    const char *format, ...)
{
    struct config_mistake *mistake = add_mistake(loader, line, key);
    va_list arguments;
    if (!mistake)
        return;
    mistake->warning = true;
    va_start(arguments, format);
    vsnprintf(mistake->message, sizeof(mistake->message), format, arguments);
    va_end(arguments);
    clean(mistake->message);
}

/* By line; what was found later stays behind what was found earlier in the same one. */
static void sort_mistakes(struct config *config)
{
    for (size_t i = 1; i < config->mistake_count; i++) {
        struct config_mistake moved = config->mistakes[i];
        size_t at = i;
        for (; at > 0 && config->mistakes[at - 1].line > moved.line; at--)
            config->mistakes[at] = config->mistakes[at - 1];
        config->mistakes[at] = moved;
    }
}

static void print_place(const struct config_mistake *mistake, const char *path, FILE *out)
{
    fprintf(out, "%s:", path);
    if (mistake->line > 0)
        fprintf(out, "%u:", mistake->line);
    if (mistake->warning)
        fputs(" warning:", out);
    if (mistake->key[0])
        fprintf(out, " %s:", mistake->key);
}

void config_print_mistakes(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < config->mistake_count; i++) {
        const struct config_mistake *mistake = &config->mistakes[i];
        print_place(mistake, config->file->path, out);
        fprintf(out, " %s\n", mistake->message);
    }
}

/* ---- memory ---- */

void *config_grow(struct config_loader *loader, void *array, size_t count, size_t size)
{
    void *grown;
    /* Doubling at powers of two: then the array is full. */
    if (count > 0 && (count & (count - 1)) != 0)
        return array;
    grown = realloc(array, (count ? count * 2 : 1) * size);
    if (!grown)
        loader->out_of_memory = true;
    return grown;
}

void *config_own(struct config_loader *loader, void *piece)
{
    struct config_file *file = loader->file;
    void **grown;
    if (!piece) {
        loader->out_of_memory = true;
        return NULL;
    }
    grown = config_grow(loader, file->owned, file->owned_count, sizeof(*grown));
    if (!grown) {
        free(piece);
        return NULL;
    }
    file->owned = grown;
    grown[file->owned_count++] = piece;
    return piece;
}

static void file_free(struct config_file *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->account_count; i++)
        option_values_free(file->accounts[i].values);
    option_values_free(file->top);
    option_values_free(file->kafka);
    option_values_free(file->worker);
    option_values_free(file->admin);
    option_values_free(file->tracing);
    option_values_free(file->log);
    for (size_t i = 0; i < file->owned_count; i++)
        free(file->owned[i]);
    free(file->owned);
    free(file->accounts);
    free(file->secret_files);
    free(file->places);
    free(file->path);
    free(file->folder);
    free(file);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; config->accounts && i < config->engine.account_count; i++) {
        if (config->accounts[i].opened)
            config->accounts[i].provider->close(config->accounts[i].opened);
    }
    free(config->accounts);
    free(config->mistakes);
    file_free(config->file);
    free(config);
}

/* ---- shared by the other files ---- */

void config_key(char key[160], const char *scope, const char *path)
{
    snprintf(key, 160, "%s%s%s", scope, scope[0] && path[0] ? "." : "", path);
}

static const struct config_place *find_place(const struct config_loader *loader,
                                             const struct option_values *values, const char *path)
{
    for (size_t i = 0; i < loader->file->place_count; i++) {
        const struct config_place *place = &loader->file->places[i];
        if (place->values == values && strcmp(place->row->path, path) == 0)
            return place;
    }
    return NULL;
}

unsigned config_line(const struct config_loader *loader, const struct option_values *values,
                     const char *path, unsigned otherwise)
{
    const struct config_place *place = find_place(loader, values, path);
    return place ? place->line : otherwise;
}

/* True when a mistake was found at `key` or at what it stands in. */
static bool has_mistake(const struct config *config, const char *key)
{
    for (size_t i = 0; i < config->mistake_count; i++) {
        const struct config_mistake *mistake = &config->mistakes[i];
        size_t length = strlen(mistake->key);
        if (!mistake->warning && length > 0 && strncmp(mistake->key, key, length) == 0 &&
            (key[length] == '\0' || key[length] == '.'))
            return true;
    }
    return false;
}

void config_check_required(struct config_loader *loader, const struct config_scope *scope,
                           unsigned line)
{
    char key[160];
    for (size_t i = 0; i < 2 && scope->tables[i]; i++) {
        for (const struct option *row = scope->tables[i]; row->path; row++) {
            bool named = find_place(loader, scope->values, row->path) != NULL;
            bool empty = named && row->type == OPTION_SECRET &&
                         !option_values_secret(scope->values, row->path);
            config_key(key, scope->name, row->path);
            if (!row->required || (named && !empty) || has_mistake(loader->config, key))
                continue;
            config_mistake(loader, config_line(loader, scope->values, row->path, line), key,
                           named ? "expected a value, it is empty" : "missing");
        }
    }
}

const struct option_values *config_account_values(const struct config *config, size_t index)
{
    return config->file->accounts[index].values;
}

/* ---- loading ---- */

static int read_file(int fd, struct buffer *text, struct error *err)
{
    char chunk[16384];
    ssize_t n = 1;
    while (n != 0 && !buffer_failed(text)) {
        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno != EINTR)
            return error_set(err, ERROR_INPUT, "cannot read the file: %s", strerror(errno));
        if (n > 0)
            buffer_append(text, chunk, (size_t)n);
    }
    if (buffer_failed(text))
        return error_set(err, ERROR_INPUT, "expected a file of at most %d bytes",
                         LIMIT_CONFIG_BYTES);
    return 0;
}

static void load_text(struct config_loader *loader)
{
    struct buffer text;
    struct error err;
    int fd = open(loader->file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        config_mistake(loader, 0, "", "cannot open the file: %s", strerror(errno));
        return;
    }
    /* It may hold secrets. */
    buffer_init(&text, LIMIT_CONFIG_BYTES);
    buffer_append(&text, "", 0);
    if (read_file(fd, &text, &err) != 0)
        config_mistake(loader, 0, "", "%s", err.message);
    else
        config_yaml_load(loader, buffer_slice(&text));
    buffer_wipe(&text);
    close(fd);
}

static struct config_file *file_new(const char *path)
{
    struct config_file *file = calloc(1, sizeof(*file));
    const char *slash = strrchr(path, '/');
    if (!file)
        return NULL;
    file->path = slice_dup(slice_of_string(path));
    file->folder = slice_dup(slice_of(path, slash ? (size_t)(slash - path) + 1 : 0));
    file->top = option_values_new(config_top_rows);
    file->kafka = option_values_new(config_kafka_rows);
    file->worker = option_values_new(config_worker_rows);
    file->admin = option_values_new(config_admin_rows);
    file->tracing = option_values_new(config_tracing_rows);
    file->log = option_values_new(config_log_rows);
    if (file->path && file->folder && file->top && file->kafka && file->worker && file->admin &&
        file->tracing && file->log)
        return file;
    file_free(file);
    return NULL;
}

struct config *config_load(const char *path, const char *(*environment)(const char *name))
{
    struct config_loader loader = {.environment = environment};
    loader.config = calloc(1, sizeof(*loader.config));
    if (!loader.config)
        return NULL;
    loader.config->valid = true;
    loader.file = loader.config->file = file_new(path);
    if (loader.file) {
        load_text(&loader);
        /* A file that could not be read as YAML would only be said to lack everything. */
        if (loader.config->valid || loader.file->place_count > 0)
            config_build(&loader);
    }
    if (!loader.file || loader.out_of_memory) {
        config_free(loader.config);
        return NULL;
    }
    sort_mistakes(loader.config);
    if (loader.too_many) {
        struct config_mistake *last = &loader.config->mistakes[loader.config->mistake_count - 1];
        last->key[0] = '\0';
        snprintf(last->message, sizeof(last->message), "and more mistakes: the first %d are listed",
                 LIMIT_CONFIG_MISTAKES - 1);
    }
    return loader.config;
}

/* ---- secrets that change ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int read_again(struct config_secret_file *secret, struct error *err)
{
    struct buffer text;
    struct stat seen;
    bool readable_by_all;
    int status;
    buffer_init(&text, CONFIG_SECRET_ROOM);
    status = config_read_secret(secret->path, &text, &seen, &readable_by_all, err);
    if (status == 0)
        status = option_values_set(secret->values, secret->option, buffer_slice(&text), err);
    if (status == 0)
        secret->seen = seen;
    buffer_wipe(&text);
    return status;
}

static size_t account_of(const struct config_file *file, const struct option_values *values)
{
    size_t i = 0;
    while (i < file->account_count && file->accounts[i].values != values)
        i++;
    return i;
}

void config_refresh(struct config *config,
                    void (*report)(void *context, const char *path, size_t account,
                                   const struct error *err),
                    void *context)
{
    for (size_t i = 0; i < config->file->secret_file_count; i++) {
        struct config_secret_file *secret = &config->file->secret_files[i];
        size_t account = account_of(config->file, secret->values);
        struct stat now;
        struct error err;
        if (!secret->failing && stat(secret->path, &now) == 0 && is_same(&now, &secret->seen))
            continue;
        if (read_again(secret, &err) == 0) {
            secret->failing = false;
            report(context, secret->path, account, NULL);
        } else if (!secret->failing) {
            secret->failing = true;
            report(context, secret->path, account, &err);
        }
    }
}
