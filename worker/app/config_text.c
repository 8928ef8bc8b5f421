#include "worker/app/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/banned.h"

/* ---- ${NAME} ---- */

static bool is_name_byte(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* The reference's inside, between ${ and }. */
static int expand_one(struct slice inside, const char *(*environment)(const char *name),
                      struct buffer *out, struct error *err)
{
    char name[128];
    const char *value;
    size_t length = 0;
    while (length < inside.len && is_name_byte(inside.data[length], length == 0))
        length++;
    if (length == 0 || length >= sizeof(name))
        return error_set(err, ERROR_INPUT,
                         "expected a variable's name after ${ (a literal ${ is written $${)");
    memcpy(name, inside.data, length);
    name[length] = '\0';
    inside = slice_of(inside.data + length, inside.len - length);
    if (inside.len > 0 && !slice_starts_with(inside, ":-"))
        return error_set(err, ERROR_INPUT, "expected } or :-default after ${%s", name);
    value = environment(name);
    if (value && value[0] == '\0' && inside.len > 0)
        value = NULL; /* as a shell does: :- stands in for an empty one too */
    if (value)
        buffer_append_string(out, value);
    else if (inside.len > 0)
        buffer_append(out, inside.data + 2, inside.len - 2);
    else
        return error_set(err, ERROR_INPUT,
                         "the environment has no %s, and ${%s} gives no default (${%s:-default})",
                         name, name, name);
    return 0;
}

int config_expand(struct slice text, const char *(*environment)(const char *name),
                  struct buffer *out, struct error *err)
{
    size_t at = 0;
    while (at < text.len) {
        struct slice rest = slice_of(text.data + at, text.len - at);
        const char *close;
        if (slice_starts_with(rest, "$${")) {
            buffer_append_string(out, "${");
            at += 3;
            continue;
        }
        if (!slice_starts_with(rest, "${")) {
            buffer_append_byte(out, text.data[at++]);
            continue;
        }
        close = memchr(rest.data, '}', rest.len);
        if (!close)
            return error_set(err, ERROR_INPUT, "expected } after ${ (a literal ${ is written $${)");
        if (expand_one(slice_of(rest.data + 2, (size_t)(close - rest.data) - 2), environment, out,
                       err) != 0)
            return -1;
        at += (size_t)(close - rest.data) + 1;
    }
    return buffer_failed(out) ? error_set(err, ERROR_INPUT, "expected a shorter value") : 0;
}

/* ---- {file: PATH} ---- */

static int read_all(int fd, struct buffer *out, struct error *err)
{
    char chunk[4096];
    ssize_t n = 1;
    while (n != 0 && !buffer_failed(out)) {
        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno != EINTR)
            return error_set(err, ERROR_INPUT, "cannot read the file: %s", strerror(errno));
        if (n > 0)
            buffer_append(out, chunk, (size_t)n);
    }
    explicit_bzero(chunk, sizeof(chunk));
    if (buffer_failed(out))
        return error_set(err, ERROR_INPUT, "expected a file of at most %d bytes",
                         LIMIT_SECRET_BYTES);
    return 0;
}

static int check_secret(struct buffer *out, struct error *err)
{
    if (out->len > 0 && out->data[out->len - 1] == '\n')
        out->len--;
    if (out->len > 0 && out->data[out->len - 1] == '\r')
        out->len--;
    if (out->len == 0)
        return error_set(err, ERROR_INPUT, "the file is empty");
    out->data[out->len] = '\0';
    if (out->len > LIMIT_SECRET_BYTES)
        return error_set(err, ERROR_INPUT, "expected a file of at most %d bytes",
                         LIMIT_SECRET_BYTES);
    if (memchr(out->data, '\0', out->len))
        return error_set(err, ERROR_INPUT, "expected a text, the file has NUL bytes");
    return 0;
}

int config_read_secret(const char *path, struct buffer *out, struct stat *seen,
                       bool *readable_by_all, struct error *err)
{
    /* Not to be held up by a pipe or a device. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int status = -1;
    if (fd < 0)
        return error_set(err, ERROR_INPUT, "cannot open the file: %s", strerror(errno));
    if (fstat(fd, seen) != 0)
        error_set(err, ERROR_INPUT, "cannot look at the file: %s", strerror(errno));
    else if (!S_ISREG(seen->st_mode))
        error_set(err, ERROR_INPUT, "expected a regular file");
    else if (read_all(fd, out, err) == 0)
        status = check_secret(out, err);
    close(fd);
    *readable_by_all = status == 0 && (seen->st_mode & S_IROTH) != 0;
    return status;
}

char *config_resolve(const struct config_file *file, const char *path)
{
    struct buffer joined;
    buffer_init(&joined, 64 * 1024);
    if (path[0] != '/')
        buffer_append_string(&joined, file->folder);
    buffer_append_string(&joined, path);
    return buffer_take(&joined, NULL);
}

void config_quote(struct slice text, char quoted[64])
{
    enum { MOST = 40 };
    struct slice shown = slice_cut_utf8(text, MOST);
    size_t at = 0;
    for (size_t i = 0; i < shown.len; i++) {
        unsigned char c = (unsigned char)shown.data[i];
        quoted[at++] = c < ' ' || c == 0x7f ? '?' : (char)c;
    }
    snprintf(quoted + at, 64 - at, "%s", shown.len < text.len ? "..." : "");
}
