#include "worker/app/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/json.h"
#include "common/timestamp.h"

#include "common/banned.h"

/* The room that a cut line keeps for saying so. */
static const char cut_logfmt[] = " cut=true\n";
static const char cut_json[] = ",\"cut\":true}\n";
/* How long a line waits for a slow reader before it is lost; once lost, lines do not wait again
 * until one is taken. */
enum { PATIENCE_MS = 100 };
/* Lines kept for log_recent(). */
enum { RECENT_LINES = 20 };
/* How often it is said that lines were lost. */
enum { TELL_LOST_EVERY_MS = 10 * 1000 };

static struct {
    pthread_mutex_t turn;
    bool stuck; /* under `turn`, as is what follows */
    bool torn;  /* the last line went out in part */
    uint64_t told;
    int64_t tell_at_ms;
    _Atomic int level;
    atomic_bool json;
    atomic_uint_fast64_t lost;
} logger = {.turn = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO};

static struct {
    pthread_mutex_t turn;
    struct log_recent lines[RECENT_LINES];
    size_t count; /* ever */
} recent = {.turn = PTHREAD_MUTEX_INITIALIZER};

void log_setup(enum log_level level, bool json)
{
    atomic_store(&logger.level, (int)level);
    atomic_store(&logger.json, json);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load(&logger.level);
}

uint64_t log_lost(void)
{
    return atomic_load(&logger.lost);
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    return names[level];
}

/* ---- pairs ---- */

static bool is_bare_byte(char byte)
{
    unsigned char c = (unsigned char)byte;
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
}

static bool is_bare(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (!is_bare_byte(value.data[i]))
            return false;
    }
    return value.len > 0;
}

/* A number as JSON writes it, short enough for every reader; true and false count too. */
static bool is_literal(struct slice value)
{
    size_t i = 0;
    if (slice_equals(value, "true") || slice_equals(value, "false"))
        return true;
    if (value.len == 0 || value.len > 15)
        return false;
    if (value.data[0] == '-')
        i = 1;
    if (i == value.len || (value.data[i] == '0' && value.len > i + 1))
        return false;
    for (; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    }
    return true;
}

void log_value(struct buffer *pairs, const char *name, struct slice value)
{
    buffer_append_byte(pairs, ' ');
    buffer_append_string(pairs, name);
    buffer_append_byte(pairs, '=');
    if (is_bare(value) && !is_literal(value))
        buffer_append_slice(pairs, value);
    else
        json_write_string(pairs, value);
}

/* ---- reading pairs back: what callers formatted is never trusted to be well-formed ---- */

struct pair {
    struct slice name;
    struct slice value; /* as it stands, without its quotes */
    bool quoted;        /* value is the inside of a JSON string */
};

static size_t skip_blanks(struct slice text, size_t at)
{
    while (at < text.len && (text.data[at] == ' ' || text.data[at] == '\t'))
        at++;
    return at;
}

/* The length of the name that begins at `at`, when a '=' follows; 0: no pair begins here. */
static size_t name_length(struct slice text, size_t at)
{
    size_t end = at;
    while (end < text.len && (text.data[end] == '_' || text.data[end] == '.' ||
                              (text.data[end] >= 'a' && text.data[end] <= 'z') ||
                              (text.data[end] >= '0' && text.data[end] <= '9')))
        end++;
    return end < text.len && text.data[end] == '=' ? end - at : 0;
}

/* The length of the escape that begins at `at`; 0: JSON knows no such one. */
static size_t escape_length(struct slice text, size_t at)
{
    if (at + 1 == text.len || !strchr("\"\\/bfnrtu", text.data[at + 1]))
        return 0;
    if (text.data[at + 1] != 'u')
        return 2;
    if (text.len - at < 6 || !slice_is_word(slice_of(text.data + at + 2, 4), "09afAF", 4))
        return 0;
    return 6;
}

/* The index of the closing quote of the string whose opening one stands at `at`; text.len: there is
 * none, or bytes follow that no string of ours holds. */
static size_t closing_quote(struct slice text, size_t at)
{
    for (size_t i = at + 1; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"')
            return i + 1 == text.len || text.data[i + 1] == ' ' ? i : text.len;
        if (c < ' ')
            return text.len;
        if (c == '\\') {
            size_t length = escape_length(text, i);
            if (length == 0)
                return text.len;
            i += length - 1;
        }
    }
    return text.len;
}

/* An unquoted value reaches to the next blank that a pair follows. */
static size_t value_end(struct slice text, size_t at)
{
    size_t end = at;
    while (end < text.len) {
        size_t next;
        if (text.data[end] != ' ' && text.data[end] != '\t') {
            end++;
            continue;
        }
        next = skip_blanks(text, end);
        if (next == text.len || name_length(text, next) > 0)
            return end;
        end = next;
    }
    return end;
}

static bool next_pair(struct slice text, size_t *at, struct pair *pair)
{
    size_t begin = skip_blanks(text, *at);
    size_t length;
    if (begin == text.len)
        return false;
    length = name_length(text, begin);
    pair->name = length > 0 ? slice_of(text.data + begin, length) : (struct slice)SLICE("text");
    begin += length > 0 ? length + 1 : 0;
    pair->quoted = false;
    if (length > 0 && begin < text.len && text.data[begin] == '"') {
        size_t end = closing_quote(text, begin);
        if (end < text.len && slice_is_utf8(slice_of(text.data + begin, end - begin))) {
            pair->quoted = true;
            pair->value = slice_of(text.data + begin + 1, end - begin - 1);
            *at = end + 1;
            return true;
        }
    }
    *at = value_end(text, begin);
    pair->value = slice_of(text.data + begin, *at - begin);
    return true;
}

/* ---- lines ---- */

static void write_value(struct buffer *line, const struct pair *pair, bool json)
{
    if (pair->quoted) {
        buffer_append_byte(line, '"');
        buffer_append_slice(line, pair->value);
        buffer_append_byte(line, '"');
    } else if (json ? is_literal(pair->value) : is_bare(pair->value)) {
        buffer_append_slice(line, pair->value);
    } else {
        json_write_string(line, pair->value);
    }
}

static void write_pair(struct buffer *line, const struct pair *pair, bool json)
{
    buffer_append_string(line, json ? ",\"" : " ");
    buffer_append_slice(line, pair->name);
    buffer_append_string(line, json ? "\":" : "=");
    write_value(line, pair, json);
}

static void begin_line(struct buffer *line, int64_t wall_ms, enum log_level level,
                       const char *event, bool json)
{
    char when[TIMESTAMP_SIZE];
    timestamp_format(wall_ms, when);
    buffer_append_string(line, json ? "{\"time\":\"" : "time=");
    buffer_append_string(line, when);
    buffer_append_string(line, json ? "\",\"level\":\"" : " level=");
    buffer_append_string(line, log_level_name(level));
    buffer_append_string(line, json ? "\",\"event\":\"" : " event=");
    buffer_append_string(line, event);
    buffer_append_string(line, json ? "\"" : "");
}

void log_line(struct buffer *line, int64_t wall_ms, enum log_level level, const char *event,
              struct slice pairs, bool json)
{
    const char *cut = json ? cut_json : cut_logfmt;
    size_t ceiling = line->len + LOG_LINE_BYTES - strlen(cut);
    struct pair pair;
    size_t at = 0;

    begin_line(line, wall_ms, level, event, json);
    while (next_pair(pairs, &at, &pair)) {
        size_t before = line->len;
        write_pair(line, &pair, json);
        if (buffer_failed(line))
            return;
        if (line->len > ceiling) {
            line->len = before;
            buffer_append_string(line, cut);
            return;
        }
    }
    buffer_append_string(line, json ? "}\n" : "\n");
}

void log_add(struct buffer *lines, int64_t wall_ms, enum log_level level, const char *event,
             struct slice pairs)
{
    size_t before = lines->len;
    if (atomic_load(&logger.json) || pairs.len > LOG_LINE_BYTES / 2) {
        log_line(lines, wall_ms, level, event, pairs, atomic_load(&logger.json));
    } else {
        begin_line(lines, wall_ms, level, event, false);
        buffer_append_slice(lines, pairs);
        buffer_append_byte(lines, '\n');
    }
    if (buffer_failed(lines))
        lines->len = before; /* no half line */
}

/* 0 when all of it went out, else the reason. The descriptor is asked first, as a full pipe would
 * block the caller. With the turn. */
static int write_out(struct slice text)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t n;
    if (poll(&out, 1, logger.stuck ? 0 : PATIENCE_MS) != 1 || !(out.revents & POLLOUT))
        return out.revents & POLLERR ? EPIPE : ETIMEDOUT;
    do
        n = write(STDERR_FILENO, text.data, text.len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    /* A disk that was almost full took a part: the next line must not be joined to it. */
    logger.torn = n < (ssize_t)text.len;
    return logger.torn ? ENOSPC : 0;
}

/* Whole lines, LOG_LINE_BYTES at most. */
static int write_lines(struct slice lines)
{
    pthread_mutex_lock(&logger.turn);
    int reason = logger.torn ? write_out((struct slice)SLICE("\n")) : 0;
    if (reason == 0)
        reason = write_out(lines);
    logger.stuck = reason != 0;
    pthread_mutex_unlock(&logger.turn);
    return reason;
}

static void keep_recent(int64_t wall_ms, enum log_level level, const char *event,
                        struct slice pairs)
{
    pairs = slice_cut_utf8(pairs, sizeof(recent.lines[0].pairs) - 1);
    pthread_mutex_lock(&recent.turn);
    struct log_recent *line = &recent.lines[recent.count++ % RECENT_LINES];
    line->wall_ms = wall_ms;
    line->level = level;
    (void)snprintf(line->event, sizeof(line->event), "%s", event);
    (void)snprintf(line->pairs, sizeof(line->pairs), "%.*s", SLICE_ARG(pairs));
    pthread_mutex_unlock(&recent.turn);
}

size_t log_recent(struct log_recent *list, size_t most)
{
    size_t count = 0;
    pthread_mutex_lock(&recent.turn);
    for (; count < most && count < RECENT_LINES && count < recent.count; count++)
        list[count] = recent.lines[(recent.count - 1 - count) % RECENT_LINES];
    pthread_mutex_unlock(&recent.turn);
    return count;
}

/* ---- lost lines ---- */

/* Where no line can be written the operator's page says so, once. */
static void note_lost(int64_t wall_ms, int reason, unsigned lines)
{
    char pairs[128];
    pthread_mutex_lock(&logger.turn);
    bool first = atomic_fetch_add(&logger.lost, lines) == logger.told;
    pthread_mutex_unlock(&logger.turn);
    if (!first)
        return;
    int len = snprintf(pairs, sizeof(pairs), "reason=\"standard error: %s\"", strerror(reason));
    keep_recent(wall_ms, LOG_ERROR, "log_lines_lost", slice_of(pairs, len < 0 ? 0 : strlen(pairs)));
}

/* A line was written: how many were lost since that was last said; 0: nothing to say now. */
static uint64_t untold(int64_t wall_ms)
{
    uint64_t count = 0;
    pthread_mutex_lock(&logger.turn);
    if (wall_ms >= logger.tell_at_ms)
        count = atomic_load(&logger.lost) - logger.told;
    if (count > 0) {
        logger.told += count;
        logger.tell_at_ms = wall_ms + TELL_LOST_EVERY_MS;
    }
    pthread_mutex_unlock(&logger.turn);
    return count;
}

/* Writes whole lines, or counts them as lost for that reason. */
static void put_lines(int64_t wall_ms, int reason, struct slice text, unsigned lines)
{
    uint64_t lost;
    if (reason == 0)
        reason = write_lines(text);
    if (reason != 0)
        note_lost(wall_ms, reason, lines);
    else if ((lost = untold(wall_ms)) > 0)
        log_event(LOG_WARN, "log_lines_lost", "lines=%" PRIu64, lost);
}

/* The length of the whole lines that `text` begins with, of LOG_LINE_BYTES at most. */
static size_t piece_length(struct slice text, unsigned *lines)
{
    size_t len = 0;
    for (*lines = 0; len < text.len; (*lines)++) {
        const char *end = memchr(text.data + len, '\n', text.len - len);
        size_t next = end ? (size_t)(end - text.data) + 1 : text.len;
        if (*lines > 0 && next > LOG_LINE_BYTES)
            break;
        len = next;
    }
    return len;
}

void log_write(struct buffer *lines, int64_t wall_ms)
{
    struct slice rest = buffer_slice(lines);
    if (buffer_failed(lines))
        note_lost(wall_ms, ENOMEM, 1);
    while (rest.len > 0) {
        unsigned count;
        size_t len = piece_length(rest, &count);
        put_lines(wall_ms, 0, slice_of(rest.data, len), count);
        rest = slice_of(rest.data + len, rest.len - len);
    }
    buffer_clear(lines);
}

void log_event_va(enum log_level level, const char *event, const char *format, va_list arguments)
{
    char pairs[LOG_LINE_BYTES * 2];
    struct timespec now;
    struct buffer line;
    int64_t wall_ms;
    int len;

    if (!log_enabled(level))
        return;
    len = vsnprintf(pairs, sizeof(pairs), format, arguments);
    if (len < 0)
        len = 0;
    if ((size_t)len >= sizeof(pairs))
        len = sizeof(pairs) - 1;
    clock_gettime(CLOCK_REALTIME, &now);
    wall_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (level <= LOG_WARN)
        keep_recent(wall_ms, level, event, slice_of(pairs, (size_t)len));
    /* One pair may be escaped to six times its length before it is found too long. */
    buffer_init(&line, sizeof(pairs) * 8);
    log_line(&line, wall_ms, level, event, slice_of(pairs, (size_t)len), atomic_load(&logger.json));
    put_lines(wall_ms, buffer_failed(&line) ? ENOMEM : 0, buffer_slice(&line), 1);
    buffer_release(&line);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_event_va(level, event, format, arguments);
    va_end(arguments);
}
