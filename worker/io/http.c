#include "worker/io/http.h"

#include <stddef.h>
#include <stdlib.h>
#include <utlist.h>

#include "common/digest.h"
#include "worker/io/http_call.h"

#include "common/banned.h"

enum {
    /* Of the table of running calls; ids count up, so their low bits spread them. */
    BUCKETS = 4096,
    INPUT_BYTES = 64 * 1024,
    /* Connections to a host that are made at a time. Each takes 16 KiB of curl's, and a provider's
       gateway does not like a thousand at once either. */
    MAKING_MOST = 100,
};

struct http {
    struct http_connections *connections;
    struct tls_store *tls;
    void (*answered)(void *context, uint64_t call_id, const struct http_response *response);
    void *context;
    struct http_call *running[BUCKETS]; /* until they are answered */
    struct http_call *idle;
    struct http_call *ended;       /* to be answered, in order */
    struct loop_timer *ended_soon; /* fires when no round's end will answer them */
    struct timers deadlines;
    struct loop_timer *deadline; /* the first one's, or earlier */
    int64_t deadline_ms;
    struct http_call
        *block; /* `block_count` calls made at start, so that starting one needs no memory */
    unsigned block_count;
    size_t count; /* calls that there are: with those made later */
    unsigned in_flight;
    char input[INPUT_BYTES];
};

static void call_timed_out(void *context, struct timer *timer);

/* ---- lists ----------------------------------------------------------------------------------- */

static struct http_call **bucket(struct http *http, uint64_t call_id)
{
    return &http->running[call_id % BUCKETS];
}

static void put(struct http_call **list, struct http_call *call)
{
    call->next = *list;
    *list = call;
}

static struct http_call *pop(struct http_call **list)
{
    struct http_call *call = *list;
    if (call != NULL)
        *list = call->next;
    return call;
}

static struct http_call *take(struct http *http, uint64_t call_id)
{
    for (struct http_call **place = bucket(http, call_id); *place != NULL; place = &(*place)->next)
        if ((*place)->id == call_id)
            return pop(place);
    return NULL;
}

static struct http_call *take_idle(struct http *http)
{
    struct http_call *call = pop(&http->idle);
    if (call != NULL)
        return call;
    /* More calls than the caller announced. A refusal needs a call too: without memory there is no
     * way left to answer. */
    call = malloc(sizeof(*call));
    if (call == NULL || timers_reserve(&http->deadlines, ++http->count) != 0)
        abort();
    http_call_init(call);
    call->deadline.fire = call_timed_out;
    return call;
}

static void join(struct http_call **queue, struct http_call *call)
{
    call->queue = queue;
    DL_APPEND2(*queue, call, queue_previous, queue_next);
}

static void leave_queue(struct http_call *call)
{
    if (call->queue != NULL)
        DL_DELETE2(*call->queue, call, queue_previous, queue_next);
    call->queue = NULL;
}

/* No time, no connection, no place in a queue any more. */
static void detach(struct http *http, struct http_call *call)
{
    timers_stop(&http->deadlines, &call->deadline);
    leave_queue(call);
    if (call->connection != NULL)
        http_connection_close(call->connection);
    call->connection = NULL;
}

/* Out of the table before. */
static void give_back(struct http *http, struct http_call *call)
{
    detach(http, call);
    if (call->host != NULL)
        http_host_leave(call->host);
    http_call_clear(call);
    put(&http->idle, call);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void end(struct http *http, struct http_call *call)
{
    detach(http, call);
    join(&http->ended, call);
}

/* As many as there are: those that end meanwhile wait for the next turn of the loop. */
static void answer_ended(void *context)
{
    struct http *http = context;
    struct http_call *call;
    size_t left;
    DL_COUNT2(http->ended, call, left, queue_next);
    for (; left > 0 && http->ended != NULL; left--) {
        call = http->ended;
        struct http_response response;
        http_call_response(call, &response);
        (void)take(http, call->id);
        detach(http, call);
        http->in_flight--;
        http->answered(http->context, call->id, &response);
        give_back(http, call);
    }
    if (http->ended != NULL)
        loop_timer_set(http->ended_soon, 0);
}

/* ---- over connections ------------------------------------------------------------------------ */

/* A new one, now or when fewer are being made. */
static int open_connection(struct http_call *call)
{
    struct error err;
    if (call->host->making >= MAKING_MOST) {
        call->connection = NULL;
        join(&call->host->waiting, call);
        return 0;
    }
    call->connection = http_connection_open(call->host, call->connect_timeout_ms, call, &err);
    if (call->connection == NULL)
        http_call_fail(call, HTTP_BROKEN, err.message);
    return call->connection == NULL ? -1 : 0;
}

/* A kept connection may have been closed before the request came: it goes once more, over a new
 * one, where nothing was sent or where asking twice does no harm. */
static bool may_repeat(const struct http_call *call)
{
    return call->connection->used && !call->repeated && !call->answer.heard &&
           (call->method == HTTP_GET || !call->maybe_sent);
}

/* 0: the call goes on. */
static int repeat(struct http_call *call)
{
    http_connection_close(call->connection);
    call->repeated = true;
    http_call_begin(call);
    return open_connection(call);
}

static enum http_progress failed(struct http_call *call)
{
    http_call_fail(call, HTTP_BROKEN, call->connection->problem);
    return PROGRESS_FAILED;
}

static enum http_progress send_more(struct http_call *call)
{
    struct http_connection *connection = call->connection;
    while (call->sent < call->out.len) {
        ssize_t written = http_connection_write(connection, call->out.data + call->sent,
                                                call->out.len - call->sent);
        http_call_sent(call, written);
        if (written == HTTP_IO_FAILED)
            return failed(call);
        if (written == HTTP_IO_AGAIN) {
            http_connection_want_write(connection, true);
            return PROGRESS_MORE;
        }
    }
    http_connection_want_write(connection, false);
    return PROGRESS_MORE;
}

static enum http_progress receive(struct http *http, struct http_call *call)
{
    for (;;) {
        ssize_t len = http_connection_read(call->connection, http->input, INPUT_BYTES);
        if (len == HTTP_IO_AGAIN)
            return PROGRESS_MORE;
        if (len == HTTP_IO_FAILED)
            return failed(call);
        enum http_progress progress = http_call_read(call, http->input, (size_t)len);
        digest_wipe(http->input, (size_t)len);
        /* A socket that gave less than it could has no more; over TLS that is not known. */
        if (progress != PROGRESS_MORE || (len < INPUT_BYTES && call->connection->easy == NULL))
            return progress;
    }
}

/* 0: the call goes on, over an idle connection or a new one. */
static int connect_call(struct http_call *call)
{
    call->connection = http_connection_take(call->host, call);
    if (call->connection == NULL)
        return open_connection(call);
    if (send_more(call) == PROGRESS_MORE)
        return 0;
    return may_repeat(call) ? repeat(call) : -1;
}

/* A connection of the host's was made, could not be made, or is idle. */
static void connect_waiting(struct http *http, struct http_host *host)
{
    while (host->waiting != NULL && (host->idle != NULL || host->making < MAKING_MOST)) {
        struct http_call *call = host->waiting;
        leave_queue(call);
        if (connect_call(call) != 0) {
            end(http, call);
            loop_timer_set(http->ended_soon, 0);
        }
    }
}

static void go_on(struct http *http, struct http_call *call, enum http_progress progress)
{
    if (progress == PROGRESS_MORE ||
        (progress == PROGRESS_FAILED && may_repeat(call) && repeat(call) == 0))
        return;
    if (progress == PROGRESS_DONE && http_call_left_nothing(call)) {
        http_connection_keep(call->connection);
        call->connection = NULL;
    }
    end(http, call);
    connect_waiting(http, call->host);
}

/* TLS may have to read before it writes, and the other way round. */
static void connection_ready(void *context, struct http_connection *connection, bool readable)
{
    struct http *http = context;
    struct http_call *call = connection->call;
    enum http_progress progress = call->sent < call->out.len ? send_more(call) : PROGRESS_MORE;
    /* What cannot be sent may have been answered all the same. */
    if (readable || progress == PROGRESS_FAILED) {
        enum http_progress read = receive(http, call);
        progress = read == PROGRESS_MORE ? progress : read;
    }
    go_on(http, call, progress);
}

/* Another address of the same name may have been tried; then that one's failure counts. */
static void connection_not_made(struct http_call *call)
{
    const struct http_connection *connection = call->connection;
    const struct http_binding *binding = &connection->binding;
    char text[sizeof(call->problem)];
    if (binding->denied == NULL || binding->opened) {
        http_call_fail(call, HTTP_BROKEN, connection->problem);
        return;
    }
    (void)snprintf(text, sizeof(text), "%s is in worker.deny_addresses (%s)", binding->address,
                   binding->denied->text);
    http_call_fail(call, HTTP_DENIED, text);
}

static void connection_made(void *context, struct http_connection *connection, bool good)
{
    struct http *http = context;
    struct http_call *call = connection->call;
    if (good) {
        go_on(http, call, send_more(call));
    } else {
        connection_not_made(call);
        end(http, call);
    }
    connect_waiting(http, call->host);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void arm_deadline(struct http *http)
{
    int64_t next_ms = timers_next(&http->deadlines);
    if (next_ms >= http->deadline_ms)
        return;
    http->deadline_ms = next_ms;
    loop_timer_set(http->deadline, next_ms);
}

static void call_timed_out(void *context, struct timer *timer)
{
    struct http_call *call =
        (struct http_call *)((char *)timer - offsetof(struct http_call, deadline));
    http_call_fail(call, HTTP_TIMED_OUT,
                   call->answer.heard            ? "no whole answer in time"
                   : call->out.len == call->sent ? "no answer in time"
                                                 : "the request could not be sent in time");
    end(context, call);
    connect_waiting(context, call->host);
}

static void deadline_came(void *context)
{
    struct http *http = context;
    http->deadline_ms = INT64_MAX;
    timers_fire(&http->deadlines, loop_mono_ms(), http);
    arm_deadline(http);
    answer_ended(http);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int make_calls(struct http *http, unsigned most_calls, struct error *err)
{
    http->block = calloc(most_calls, sizeof(*http->block));
    if (http->block == NULL || timers_reserve(&http->deadlines, most_calls) != 0 ||
        (http->tls = tls_store_new()) == NULL)
        return error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
    http->block_count = most_calls;
    http->count = most_calls;
    for (unsigned i = most_calls; i > 0; i--) {
        http_call_init(&http->block[i - 1]);
        http->block[i - 1].deadline.fire = call_timed_out;
        put(&http->idle, &http->block[i - 1]);
    }
    return 0;
}

struct http *http_new(struct loop *loop, unsigned most_calls, const char *proxy,
                      void (*answered)(void *context, uint64_t call_id,
                                       const struct http_response *response),
                      void *context, struct error *err)
{
    static const struct http_connection_events events = {
        .made = connection_made, .ready = connection_ready, .round = answer_ended};
    struct http *http = calloc(1, sizeof(*http));
    if (http == NULL) {
        (void)error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
        return NULL;
    }
    http->answered = answered;
    http->context = context;
    http->deadline_ms = INT64_MAX;
    timers_init(&http->deadlines);
    if (make_calls(http, most_calls, err) == 0 &&
        (http->ended_soon = loop_timer_new(loop, answer_ended, http, err)) != NULL &&
        (http->deadline = loop_timer_new(loop, deadline_came, http, err)) != NULL &&
        (http->connections = http_connections_new(loop, most_calls, proxy, &events, http, err)) !=
            NULL)
        return http;
    http_free(http);
    return NULL;
}

void http_deny(struct http *http, const struct address_range *ranges, size_t count)
{
    http_multi_deny(http_connections_multi(http->connections), ranges, count);
}

static bool in_block(const struct http *http, const struct http_call *call)
{
    uintptr_t start = (uintptr_t)http->block;
    return (uintptr_t)call >= start &&
           (uintptr_t)call < (uintptr_t)(http->block + http->block_count);
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    struct http_call *call;
    for (size_t i = 0; i < BUCKETS; i++)
        while ((call = pop(&http->running[i])) != NULL)
            give_back(http, call);
    while ((call = pop(&http->idle)) != NULL) {
        http_call_release(call);
        if (!in_block(http, call))
            free(call);
    }
    http_connections_free(http->connections);
    tls_store_free(http->tls);
    timers_release(&http->deadlines);
    loop_timer_free(http->deadline);
    loop_timer_free(http->ended_soon);
    free(http->block);
    free(http);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* NULL in `tls`: the account has no files of its own. */
static int find_host(struct http *http, struct http_call *call,
                     const struct account_settings *account, const struct http_request *request,
                     struct error *err)
{
    struct tls_files *tls = NULL;
    if ((account->tls.ca_file != NULL || account->tls.certificate_file != NULL) &&
        (tls = tls_store_take(http->tls, account, err)) == NULL)
        return -1;
    call->host = http_host_find(http->connections, buffer_slice(&request->url), tls, err);
    tls_files_unref(tls);
    return call->host == NULL ? -1 : 0;
}

static int start(struct http *http, struct http_call *call, const struct account_settings *account,
                 struct http_request *request)
{
    struct error err;
    if (http_request_check(request, &err) != 0 ||
        find_host(http, call, account, request, &err) != 0 ||
        http_call_write(call, request, &err) != 0) {
        http_call_fail(call, HTTP_NOT_SENT, err.message);
        return -1;
    }
    call->connect_timeout_ms = account->limits.connect_timeout_ms;
    return connect_call(call);
}

void http_start(struct http *http, uint64_t call_id, const struct account_settings *account,
                struct http_request *request)
{
    struct http_call *call = take_idle(http);
    call->id = call_id;
    put(bucket(http, call_id), call);
    http->in_flight++;
    if (start(http, call, account, request) == 0) {
        timers_set(&http->deadlines, &call->deadline, loop_mono_ms() + account->limits.timeout_ms);
        arm_deadline(http);
    } else {
        end(http, call);
        loop_timer_set(http->ended_soon, 0);
    }
    http_request_release(request);
}

void http_abandon(struct http *http, uint64_t call_id)
{
    struct http_call *call = take(http, call_id);
    if (call == NULL)
        return;
    http->in_flight--;
    detach(http, call);
    if (call->host != NULL)
        connect_waiting(http, call->host);
    give_back(http, call);
}

void http_refresh(struct http *http,
                  void (*report)(void *context, const char *path, const struct error *err),
                  void *context)
{
    tls_store_refresh(http->tls, report, context);
}

unsigned http_in_flight(const struct http *http)
{
    return http->in_flight;
}
