/*
 * The self-test's client side: starts the simulator as a child process and talks to it with
 * libcurl. Everything ends the test when it fails.
 */
#ifndef SIMULATOR_SELFTEST_H
#define SIMULATOR_SELFTEST_H

#include <check.h>
#include <curl/curl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A server started by server_start; at most one argument list's worth of options. */
struct server {
    pid_t pid;
    char url[128];
};

/* Starts PROGRAM with the NULL-ended options on a free port and waits until it says where it
 * listens. */
void server_start(struct server *server, const char *const *options);
/* SIGTERM; the exit status must be 0. */
void server_stop(struct server *server);

struct reply {
    CURLcode result; /* CURLE_OK, or why there is no whole answer */
    long status;
    char *body;
    size_t body_len;
    char *headers;
    json_t *json;
    double seconds;
};

/* What a test asks for beyond the plain request; zeroed: nothing. */
struct ask {
    const char *method, *path, *body;
    const char *headers[12]; /* "Name: value", the first NULL ends it */
    const char *agent;       /* NULL: kancel/selftest */
    long timeout_ms;         /* 0: 10 s */
    const char *ca_file, *certificate, *key;
};

/* Sends it; release the reply. A body without a Content-Type among the headers gets
 * application/json. */
struct reply client_send(const struct server *server, const struct ask *ask);
void reply_release(struct reply *reply);

/* The server of all tests, started once, reset before each. */
extern struct server main_server;

/* POST of a control page; must succeed. */
void control(const char *page, const char *body);
/* The ledger; decref it. */
json_t *ledger(void);
/* Asserts on the ledger: no violation; or exactly one that contains the text. */
void expect_no_violation(void);
void expect_violation(const char *text);
/* The task's report in the ledger, as compact JSON fields "state history". */
void expect_task(const char *provider, const char *id, const char *state, const char *history);

/* Good calls of every operation; they fill in the credentials. Release the replies. */
struct reply enos_sign_in(void);
struct reply enos_call(const char *method, const char *task, const char *token);
struct reply scnet_call(const char *page, const char *body);
struct reply iotda_call(const char *method, const char *rest, const char *body);
struct reply koodrive_call(const char *method, const char *rest, const char *body);

/* enos' signature: SHA-256 of token + params + timestamp + secret, as hex. */
void enos_signature(const char *token, const char *params, const char *timestamp,
                    const char *secret, char hex[65]);
void scnet_signature(const char *access_key, const char *timestamp, const char *user,
                     const char *secret, char hex[65]);
void sha256_hex(const char *text, char hex[65]);
int64_t wall_ms(void);

Suite *suite_operations(void);
Suite *suite_checks(void);
Suite *suite_faults(void);
Suite *suite_server(void);
Suite *suite_signatures(void);

#endif
