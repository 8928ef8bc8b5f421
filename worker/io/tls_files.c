#include "worker/io/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "worker/io/http.h"

#include "common/banned.h"

enum file { FILE_CA, FILE_CERTIFICATE, FILE_KEY, FILES };

/* What tells a file's state from another's. */
struct stamp {
    bool there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct tls_files {
    unsigned users;
    struct buffer contents[FILES]; /* the key's is wiped */
    struct stamp stamps[FILES];
};

struct tls_set {
    struct tls_set *next;
    char *paths[FILES]; /* NULL: the account has none */
    struct tls_files *newest;
    bool failing;
};

struct tls_store {
    struct tls_set *sets;
};

/* ---- reading --------------------------------------------------------------------------------- */

static struct stamp stamp_of(const char *path)
{
    struct stat seen;
    if (path == NULL || stat(path, &seen) != 0)
        return (struct stamp){.there = false};
    return (struct stamp){true, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtim, seen.st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && same_time(a->modified, b->modified) &&
           same_time(a->changed, b->changed);
}

static int read_file(const char *path, struct buffer *contents, struct error *err)
{
    char chunk[8192];
    ssize_t count = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERROR_INPUT, "cannot read %s: %s", path, strerror(errno));
    do {
        count = read(fd, chunk, sizeof(chunk));
        if (count > 0)
            buffer_append(contents, chunk, (size_t)count);
    } while ((count > 0 && !buffer_failed(contents)) || (count < 0 && errno == EINTR));
    explicit_bzero(chunk, sizeof(chunk));
    (void)close(fd);
    if (count < 0)
        return error_set(err, ERROR_INPUT, "cannot read %s: %s", path, strerror(errno));
    if (buffer_failed(contents))
        return error_set(err, ERROR_INPUT, "%s: expected at most %d bytes", path,
                         LIMIT_TLS_FILE_BYTES);
    if (contents->len == 0)
        return error_set(err, ERROR_INPUT, "%s is empty", path);
    return 0;
}

static struct tls_files *files_read(char *const *paths, struct error *err)
{
    struct tls_files *files = calloc(1, sizeof(*files));
    if (files == NULL) {
        (void)error_set(err, ERROR_MEMORY, "TLS files: out of memory");
        return NULL;
    }
    files->users = 1;
    for (int i = 0; i < FILES; i++)
        buffer_init(&files->contents[i], LIMIT_TLS_FILE_BYTES);
    for (int i = 0; i < FILES; i++) {
        files->stamps[i] = stamp_of(paths[i]);
        if (paths[i] != NULL && read_file(paths[i], &files->contents[i], err) != 0) {
            tls_files_unref(files);
            return NULL;
        }
    }
    return files;
}

struct tls_files *tls_files_ref(struct tls_files *files)
{
    if (files != NULL)
        files->users++;
    return files;
}

void tls_files_unref(struct tls_files *files)
{
    if (files == NULL || --files->users > 0)
        return;
    for (int i = 0; i < FILES; i++)
        buffer_wipe(&files->contents[i]);
    free(files);
}

/* ---- the store ------------------------------------------------------------------------------- */

struct tls_store *tls_store_new(void)
{
    return calloc(1, sizeof(struct tls_store));
}

static void set_free(struct tls_set *set)
{
    tls_files_unref(set->newest);
    for (int i = 0; i < FILES; i++)
        free(set->paths[i]);
    free(set);
}

void tls_store_free(struct tls_store *store)
{
    for (struct tls_set *set = store != NULL ? store->sets : NULL, *next; set != NULL; set = next) {
        next = set->next;
        set_free(set);
    }
    free(store);
}

static bool same_path(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static struct tls_set *set_find(const struct tls_store *store, const char *const *paths)
{
    for (struct tls_set *set = store->sets; set != NULL; set = set->next)
        if (same_path(set->paths[FILE_CA], paths[FILE_CA]) &&
            same_path(set->paths[FILE_CERTIFICATE], paths[FILE_CERTIFICATE]) &&
            same_path(set->paths[FILE_KEY], paths[FILE_KEY]))
            return set;
    return NULL;
}

static struct tls_set *set_add(struct tls_store *store, const char *const *paths, struct error *err)
{
    struct tls_set *set = calloc(1, sizeof(*set));
    bool whole = set != NULL;
    for (int i = 0; whole && i < FILES; i++)
        if (paths[i] != NULL)
            whole = (set->paths[i] = slice_dup(slice_of_string(paths[i]))) != NULL;
    if (!whole)
        (void)error_set(err, ERROR_MEMORY, "TLS files: out of memory");
    if (!whole || (set->newest = files_read(set->paths, err)) == NULL) {
        if (set != NULL)
            set_free(set);
        return NULL;
    }
    set->next = store->sets;
    store->sets = set;
    return set;
}

struct tls_files *tls_store_take(struct tls_store *store, const struct account_settings *account,
                                 struct error *err)
{
    const char *const paths[FILES] = {account->tls.ca_file, account->tls.certificate_file,
                                      account->tls.key_file};
    struct tls_set *set = set_find(store, paths);
    if (set == NULL)
        set = set_add(store, paths, err);
    if (set == NULL)
        return NULL;
    set->newest->users++;
    return set->newest;
}

/* ---- curl ------------------------------------------------------------------------------------ */

static struct curl_blob blob_of(const struct buffer *contents)
{
    struct slice text = buffer_slice(contents);
    return (struct curl_blob){(void *)(uintptr_t)text.data, text.len, CURL_BLOB_NOCOPY};
}

CURLcode tls_files_apply(const struct tls_files *files, CURL *easy)
{
    struct curl_blob ca = blob_of(&files->contents[FILE_CA]);
    struct curl_blob certificate = blob_of(&files->contents[FILE_CERTIFICATE]);
    struct curl_blob key = blob_of(&files->contents[FILE_KEY]);
    CURLcode code = CURLE_OK;
    if (ca.len > 0) {
        code = curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca);
        if (code == CURLE_OK)
            code = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* that file alone */
    }
    if (code == CURLE_OK && certificate.len > 0) {
        code = curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &certificate);
        if (code == CURLE_OK)
            code = curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key);
        if (code == CURLE_OK)
            code = curl_easy_setopt(easy, CURLOPT_KEYPASSWD, ""); /* never ask on the terminal */
    }
    return code;
}

/* ---- changes --------------------------------------------------------------------------------- */

static bool set_changed(const struct tls_set *set, const struct tls_files *files)
{
    for (int i = 0; i < FILES; i++) {
        struct stamp now = stamp_of(set->paths[i]);
        if (!same_stamp(&now, &files->stamps[i]))
            return true;
    }
    return false;
}

/* What was checked must be what was read: files that change meanwhile are left for the next time.
 */
static struct tls_files *set_read_again(const struct tls_set *set, struct error *err)
{
    struct account_settings account = {
        .tls = {set->paths[FILE_CA], set->paths[FILE_CERTIFICATE], set->paths[FILE_KEY]}};
    struct tls_files *files = files_read(set->paths, err);
    if (files == NULL)
        return NULL;
    if (http_check_tls(&account, err) == 0) {
        if (!set_changed(set, files))
            return files;
        (void)error_set(err, ERROR_TEMPORARY, "the files are being written");
    }
    tls_files_unref(files);
    return NULL;
}

void tls_store_refresh(struct tls_store *store,
                       void (*report)(void *context, const char *path, const struct error *err),
                       void *context)
{
    for (struct tls_set *set = store->sets; set != NULL; set = set->next) {
        const char *path = set->paths[set->paths[FILE_CERTIFICATE] ? FILE_CERTIFICATE : FILE_CA];
        struct error err;
        if (!set_changed(set, set->newest)) {
            set->failing = false;
            continue;
        }
        struct tls_files *files = set_read_again(set, &err);
        if (files != NULL) {
            tls_files_unref(set->newest);
            set->newest = files;
            report(context, path, NULL);
        } else if (!set->failing) {
            report(context, path, &err);
        }
        set->failing = files == NULL;
    }
}
