#include "worker/io/http.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/io/http_call.h"

#include "common/banned.h"

/* Buckets of the table of running calls; ids count up, so their low bits spread them. */
enum { BUCKETS = 4096 };

/* A call is in one of the lists below. */
struct http {
    struct http_multi *multi;
    struct tls_store *tls;
    char *proxy; /* NULL: none */
    void (*answered)(void *context, uint64_t call_id, const struct http_response *response);
    void *context;
    struct http_call *running[BUCKETS];
    struct http_call *idle;
    struct http_call *refused;   /* could not start: answered when `refusal` fires ... */
    struct http_call *answering; /* ... from here, so that new refusals wait for the next turn */
    struct loop_timer *refusal;
    struct http_call
        *block; /* `block_count` calls made at start, so that starting one needs no memory */
    unsigned block_count;
    unsigned in_flight;
};

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

static struct http_call *take(struct http_call **list, uint64_t call_id)
{
    for (struct http_call **place = list; *place != NULL; place = &(*place)->next)
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
    if (call == NULL)
        abort();
    http_call_init(call);
    return call;
}

static void give_back(struct http *http, struct http_call *call)
{
    http_call_clear(call);
    put(&http->idle, call);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void transfer_done(void *context, CURL *easy, CURLcode code)
{
    struct http *http = context;
    void *private = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct http_call *call = private;
    struct http_call *found = take(bucket(http, call->id), call->id);
    assert(found == call);
    (void)found;
    struct http_response response;
    http_call_response(call, code, &response);
    http->in_flight--;
    http->answered(http->context, call->id, &response);
    give_back(http, call);
}

static void answer_refused(void *context)
{
    struct http *http = context;
    http->answering = http->refused;
    http->refused = NULL;
    struct http_call *call;
    while ((call = pop(&http->answering)) != NULL) {
        struct http_response response;
        http_call_refused(call, &response);
        http->in_flight--;
        http->answered(http->context, call->id, &response);
        give_back(http, call);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static int make_pool(struct http *http, unsigned most_calls, const char *proxy, struct error *err)
{
    http->block = calloc(most_calls, sizeof(*http->block));
    if (http->block == NULL)
        return error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
    http->block_count = most_calls;
    for (unsigned i = most_calls; i > 0; i--) {
        http_call_init(&http->block[i - 1]);
        put(&http->idle, &http->block[i - 1]);
    }
    if ((http->tls = tls_store_new()) == NULL)
        return error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
    if (proxy != NULL && (http->proxy = slice_dup(slice_of_string(proxy))) == NULL)
        return error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
    return 0;
}

struct http *http_new(struct loop *loop, unsigned most_calls, const char *proxy,
                      void (*answered)(void *context, uint64_t call_id,
                                       const struct http_response *response),
                      void *context, struct error *err)
{
    struct http *http = calloc(1, sizeof(*http));
    if (http == NULL) {
        (void)error_set(err, ERROR_MEMORY, "HTTP client: out of memory");
        return NULL;
    }
    http->answered = answered;
    http->context = context;
    if (make_pool(http, most_calls, proxy, err) == 0 &&
        (http->refusal = loop_timer_new(loop, answer_refused, http, err)) != NULL &&
        (http->multi = http_multi_new(loop, most_calls, transfer_done, http, err)) != NULL)
        return http;
    http_free(http);
    return NULL;
}

void http_deny(struct http *http, const struct address_range *ranges, size_t count)
{
    http_multi_deny(http->multi, ranges, count);
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
        while ((call = http->running[i]) != NULL)
            http_abandon(http, call->id);
    while ((call = pop(&http->refused)) != NULL || (call = pop(&http->answering)) != NULL)
        give_back(http, call);
    while ((call = pop(&http->idle)) != NULL) {
        http_call_release(call);
        if (!in_block(http, call))
            free(call);
    }
    http_multi_free(http->multi);
    tls_store_free(http->tls);
    loop_timer_free(http->refusal);
    free(http->block);
    free(http->proxy);
    free(http);
}

/* ---- calls ----------------------------------------------------------------------------------- */

void http_start(struct http *http, uint64_t call_id, const struct account_settings *account,
                struct http_request *request)
{
    struct http_call *call = take_idle(http);
    call->id = call_id;
    http->in_flight++;
    struct error err;
    if (http_call_prepare(call, http->multi, http->tls, http->proxy, account, request, &err) == 0 &&
        http_multi_add(&call->binding, call->easy, &err) == 0) {
        put(bucket(http, call_id), call);
        return;
    }
    http_call_refuse(call, &err);
    put(&http->refused, call);
    loop_timer_set(http->refusal, 0);
}

void http_abandon(struct http *http, uint64_t call_id)
{
    struct http_call *call = take(bucket(http, call_id), call_id);
    if (call != NULL)
        http_multi_remove(&call->binding, call->easy);
    else if ((call = take(&http->refused, call_id)) == NULL)
        call = take(&http->answering, call_id);
    if (call == NULL)
        return;
    http->in_flight--;
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
