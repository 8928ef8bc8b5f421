/*
 * A server for the tests of the HTTP client that says what a script tells it, byte for byte: each
 * connection runs the script in a thread of its own. With a TLS context (tls.h) the same
 * script speaks TLS.
 */
#ifndef KANCEL_TESTS_UNIT_IO_SUPPORT_SERVER_H
#define KANCEL_TESTS_UNIT_IO_SUPPORT_SERVER_H

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SERVER_CONNECTIONS = 512, SERVER_REQUEST_BYTES = 128 * 1024 };

struct server;

struct connection {
    struct server *server;
    int fd;
    unsigned number; /* from 1 */
    void *tls;       /* NULL: plain */
    pthread_t thread;
    char request[SERVER_REQUEST_BYTES]; /* the last one, NUL-terminated */
    size_t len;                         /* bytes of `request`, beyond the request too */
};

struct server {
    void (*script)(struct connection *connection);
    /* Of tls.h; NULL: plain TCP. */
    void *tls_context;
    bool (*tls_accept)(struct connection *connection);
    ssize_t (*tls_read)(struct connection *connection, char *data, size_t len);
    void (*tls_write)(struct connection *connection, const char *data, size_t len);
    void (*tls_end)(struct connection *connection);
    int fd;
    unsigned port;
    pthread_t thread;
    atomic_uint connections, requests;
    atomic_uint marks; /* whatever a script counts */
    struct connection *all[SERVER_CONNECTIONS];
};

void send_bytes(struct connection *connection, const char *data, size_t len);
void say(struct connection *connection, const char *text);

/* Waits for the next request; false when the client has left. */
bool hear(struct connection *connection);

/* Waits until the client closes. */
void wait_for_end(struct connection *connection);

/* The connection ends with a reset instead of a close. */
void reset_at_end(struct connection *connection);

/* A socket of 127.0.0.1 that is bound, not listening. */
int bind_any(unsigned *port);

/* `server` is zeroed or has its TLS members set. */
void server_start(struct server *server, void (*script)(struct connection *connection));

/* The client must have left. */
void server_stop(struct server *server);

#endif
