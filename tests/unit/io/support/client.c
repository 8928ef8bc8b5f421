#include "tests/unit/io/support/client.h"

#include "common/banned.h"

static char *copy(struct slice text)
{
    return text.data == NULL ? NULL : slice_dup(text);
}

static void answered(void *context, uint64_t call_id, const struct http_response *response)
{
    struct client *client = context;
    struct answer *answer = &client->answers[call_id];
    ck_assert_uint_eq(answer->times, 0);
    *answer = (struct answer){.times = 1,
                              .result = response->result,
                              .status = response->status,
                              .body = copy(response->body),
                              .body_len = response->body.len,
                              .content_type = copy(response->content_type),
                              .retry_after = copy(response->retry_after),
                              .date = copy(response->date),
                              .subject_token = copy(response->subject_token),
                              .request_id = copy(response->request_id)};
    memcpy(answer->problem, response->problem, sizeof(answer->problem));
    if (client->on_answer != NULL)
        client->on_answer(client, call_id);
    if (client->waiting_for > 0 && --client->waiting_for == 0)
        loop_stop(client->loop);
}

static void too_slow(void *context)
{
    (void)context;
    ck_abort_msg("no answer within %d ms", SLOW_MS);
}

void client_start(struct client *client, unsigned most_calls, const char *proxy)
{
    struct error err = {.kind = ERROR_NONE};
    memset(client, 0, sizeof(*client));
    client->loop = loop_new(&err);
    ck_assert_ptr_nonnull(client->loop);
    client->watchdog = loop_timer_new(client->loop, too_slow, client, &err);
    client->http = http_new(client->loop, most_calls, proxy, answered, client, &err);
    ck_assert_msg(client->http != NULL, "%s", err.message);
    client->account.limits.timeout_ms = 10 * 1000;
    client->account.limits.connect_timeout_ms = 5 * 1000;
}

void client_stop(struct client *client)
{
    http_free(client->http);
    loop_timer_free(client->watchdog);
    loop_free(client->loop);
    for (size_t i = 0; i < ANSWERS; i++) {
        struct answer *answer = &client->answers[i];
        free(answer->body);
        free(answer->content_type);
        free(answer->retry_after);
        free(answer->date);
        free(answer->subject_token);
        free(answer->request_id);
    }
}

uint64_t start(struct client *client, struct http_request *request)
{
    ck_assert_uint_lt(client->last_id + 1, ANSWERS);
    uint64_t id = ++client->last_id;
    http_start(client->http, id, &client->account, request);
    ck_assert_uint_eq(request->url.len, 0);
    ck_assert_uint_eq(client->answers[id].times, 0); /* never inside */
    return id;
}

uint64_t start_url(struct client *client, enum http_method method, const char *url,
                   const char *body)
{
    struct http_request request;
    http_request_init(&request);
    request.method = method;
    buffer_append_string(&request.url, url);
    if (body != NULL)
        buffer_append_string(&request.body, body);
    return start(client, &request);
}

const char *url_of(const struct server *server, const char *path)
{
    static char url[256];
    (void)snprintf(url, sizeof(url), "%s://127.0.0.1:%u%s",
                   server->tls_context == NULL ? "http" : "https", server->port, path);
    return url;
}

void wait_for(struct client *client, unsigned answers)
{
    client->waiting_for = answers;
    loop_timer_set(client->watchdog, loop_mono_ms() + SLOW_MS);
    loop_run(client->loop);
    loop_timer_set(client->watchdog, INT64_MAX);
}

const struct answer *ask_url(struct client *client, enum http_method method, const char *url,
                             const char *body)
{
    uint64_t id = start_url(client, method, url, body);
    wait_for(client, 1);
    ck_assert_uint_eq(client->answers[id].times, 1);
    return &client->answers[id];
}

const struct answer *ask(struct client *client, enum http_method method,
                         const struct server *server, const char *body)
{
    return ask_url(client, method, url_of(server, "/"), body);
}

static void stop_loop(void *context)
{
    loop_stop(context);
}

void run_for_ms(struct client *client, int64_t ms)
{
    struct error err;
    struct loop_timer *timer = loop_timer_new(client->loop, stop_loop, client->loop, &err);
    loop_timer_set(timer, loop_mono_ms() + ms);
    loop_run(client->loop);
    loop_timer_free(timer);
}
