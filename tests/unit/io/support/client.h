/* The client's side of the tests of HTTP: asks, runs the loop until the answer is there, keeps a
 * copy of it. */
#ifndef KANCEL_TESTS_UNIT_IO_SUPPORT_CLIENT_H
#define KANCEL_TESTS_UNIT_IO_SUPPORT_CLIENT_H

#include <check.h>

#include "tests/unit/io/support/server.h"
#include "worker/io/http.h"

enum { ANSWERS = 600, SLOW_MS = 20 * 1000 };

struct answer {
    unsigned times; /* how often `answered` ran for it */
    enum http_result result;
    int status;
    char *body, *content_type, *retry_after, *date, *subject_token, *request_id; /* NULL: absent */
    size_t body_len;
    char problem[128];
};

struct client {
    struct loop *loop;
    struct http *http;
    struct loop_timer *watchdog;
    struct account_settings account;
    uint64_t last_id;
    unsigned waiting_for;                                       /* answers until the loop stops */
    void (*on_answer)(struct client *client, uint64_t call_id); /* NULL: nothing more to do */
    struct answer answers[ANSWERS];
};

void client_start(struct client *client, unsigned most_calls, const char *proxy);
void client_stop(struct client *client);

/* Starts; returns the call's id. */
uint64_t start(struct client *client, struct http_request *request);

uint64_t start_url(struct client *client, enum http_method method, const char *url,
                   const char *body);

/* Static text. */
const char *url_of(const struct server *server, const char *path);

/* Runs the loop until so many answers came. */
void wait_for(struct client *client, unsigned answers);

/* Asks and waits. */
const struct answer *ask_url(struct client *client, enum http_method method, const char *url,
                             const char *body);

const struct answer *ask(struct client *client, enum http_method method,
                         const struct server *server, const char *body);

/* Lets the loop run for a while: for what must not happen. */
void run_for_ms(struct client *client, int64_t ms);

#define ck_assert_result(answer, expected)                                                         \
    ck_assert_msg((answer)->result == (expected), "result %d, status %d: %s", (answer)->result,    \
                  (answer)->status, (answer)->problem)

#endif
