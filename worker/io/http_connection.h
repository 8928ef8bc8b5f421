/*
 * Connections of HTTP calls, and where they lead. curl makes them: it finds the host, tries its
 * addresses, goes through a proxy, speaks TLS. What is sent over them is ours. A plain connection's
 * socket is taken from curl; over TLS bytes go through the handle that made it.
 *
 * A *host* is where connections are alike: scheme, name, port, the account's TLS files. A
 * connection is being made, has a call, or is idle and kept for the next call to its host. Loop's
 * thread only.
 */
#ifndef KANCEL_WORKER_IO_HTTP_CONNECTION_H
#define KANCEL_WORKER_IO_HTTP_CONNECTION_H

#include <sys/types.h>
#include <uthash.h>

#include "worker/core/settings.h"
#include "worker/io/http_multi.h"
#include "worker/io/tls_files.h"

struct http_connections;
struct http_call;

struct http_host {
    struct http_connections *all;
    size_t users;              /* calls and connections: without any it goes */
    size_t making;             /* connections that are being made */
    struct http_call *waiting; /* for a connection, in order; the caller's */
    struct http_connection *idle;
    struct tls_files *tls; /* NULL: the system's authorities, no certificate of ours */
    char *origin;          /* scheme://name:port as it was given */
    char *name;            /* the Host header: lower case, no default port */
    bool through_proxy;    /* its requests go to the proxy itself, which wants the whole URL */
    size_t key_len;
    char *key;
    UT_hash_handle hh;
};

struct http_connection {
    struct http_host *host;
    CURL *easy; /* while it is made, and over TLS for life; else NULL */
    struct http_binding binding;
    int fd;                 /* -1: being made */
    struct http_call *call; /* NULL: idle */
    bool used;              /* a call was answered over it */
    bool ending;            /* the server has ended its side */
    int64_t made_ms;        /* 0: it is being made */
    int64_t idle_since_ms;
    uint64_t drained_round; /* when reading it left nothing there; 0: there may be more */
    struct http_connection *host_previous, *host_next; /* idle ones of its host, last used first */
    struct http_connection *previous, *next;           /* idle ones, longest idle first */
    char problem[CURL_ERROR_SIZE];                     /* why it could not be made, or failed */
};

struct http_connection_events {
    /* Of a connection that http_connection_open() began, and that was not closed since. Unless
     * `good` it is to be closed. */
    void (*made)(void *context, struct http_connection *connection, bool good);
    /* Of one with a call. */
    void (*ready)(void *context, struct http_connection *connection, bool readable);
    void (*round)(void *context); /* as http_multi's */
};

/* `most` connections are kept, idle ones and others. `proxy` NULL: none. */
struct http_connections *http_connections_new(struct loop *loop, unsigned most, const char *proxy,
                                              const struct http_connection_events *events,
                                              void *context, struct error *err);
/* Closes the idle ones; there must be no others. NULL does nothing. */
void http_connections_free(struct http_connections *all);
struct http_multi *http_connections_multi(struct http_connections *all);

/* The host of an absolute URL, for one user more; `tls` may be NULL. NULL: the URL is not well
 * formed, or out of memory. */
struct http_host *http_host_find(struct http_connections *all, struct slice url,
                                 struct tls_files *tls, struct error *err);
void http_host_leave(struct http_host *host); /* one user less */
/* What requests to a host that is reached through a proxy carry for it; empty: nothing. */
struct slice http_host_proxy_authorization(const struct http_host *host);

/* An idle connection that is open as far as can be known, for `call`. NULL: there is none. */
struct http_connection *http_connection_take(struct http_host *host, struct http_call *call);
/* One for `call` that is being made from now on. */
struct http_connection *http_connection_open(struct http_host *host, int64_t connect_timeout_ms,
                                             struct http_call *call, struct error *err);
/* Its call is over and left nothing on it: kept for the next, or closed when the server ends it or
 * says more, when it is old or one too many. */
void http_connection_keep(struct http_connection *connection);
void http_connection_close(struct http_connection *connection);

enum { HTTP_IO_AGAIN = -1, HTTP_IO_FAILED = -2 }; /* failed: `problem` says why */

/* How many bytes; reading: 0 at the end; or one of the above. */
ssize_t http_connection_read(struct http_connection *connection, void *data, size_t size);
ssize_t http_connection_write(struct http_connection *connection, const void *data, size_t len);
/* `ready` also tells when it can be written. */
void http_connection_want_write(struct http_connection *connection, bool wanted);

#endif
