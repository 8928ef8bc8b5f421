/*
 * The sockets of HTTP calls, in an epoll set of their own that the loop watches. While a connection
 * is being made its socket is curl's: names, one address after the other, proxies' tunnels, TLS
 * handshakes. Once made it has an *owner*, who is told when it can be read or written. Loop's
 * thread only.
 *
 * curl's multi handles are several, *pools* of POOL_HANDLES: to find the connection of a handle
 * curl walks through all that its multi handle has. They share what they know of names.
 */
#ifndef KANCEL_WORKER_IO_HTTP_MULTI_H
#define KANCEL_WORKER_IO_HTTP_MULTI_H

#include <arpa/inet.h>
#include <curl/curl.h>

#include "common/address_range.h"
#include "worker/io/loop.h"

struct http_multi;
struct http_pool;

/* What came of the connection that a handle wanted. */
struct http_binding {
    struct http_pool *pool;
    bool opened;                        /* a socket was made */
    const struct address_range *denied; /* the range that an address was in; NULL: none was */
    char address[INET6_ADDRSTRLEN];     /* that address */
};

struct http_multi_events {
    /* Once per handle that was added and not removed, never inside http_multi_add(). The handle is
     * still in its pool. */
    void (*made)(void *context, CURL *easy, CURLcode code);
    /* It can be read or written, `readable` the former; `ending`: the other side ends. */
    void (*ready)(void *context, void *owner, bool readable, bool ending);
    /* After the events of several sockets, and before the loop waits again: what came of them is
     * worth answering now. */
    void (*round)(void *context);
};

/* `most_connections` is what there may be at once without curl's walks growing long. */
struct http_multi *http_multi_new(struct loop *loop, unsigned most_connections,
                                  const struct http_multi_events *events, void *context,
                                  struct error *err);
/* No handle may be left in it. */
void http_multi_free(struct http_multi *multi);

/* No socket is made to an address in one of these ranges (borrowed for life). Each is looked at as
 * it is about to be connected to: a name that resolves to something else the next time does not
 * slip through. Before the first handle is added. */
void http_multi_deny(struct http_multi *multi, const struct address_range *ranges, size_t count);

/* Adds a handle that only connects (CURLOPT_CONNECT_ONLY) to a pool. `binding` is filled, and stays
 * in use until the handle is gone. */
int http_multi_add(struct http_multi *multi, CURL *easy, struct http_binding *binding,
                   struct error *err) MUST_CHECK;
/* `made` will not run for it. curl closes its connection, unless that was taken from it. */
void http_multi_remove(const struct http_binding *binding, CURL *easy);

/* The socket of a connection that was made, which the handle's owner reads and writes through curl,
 * is `owner`'s from now on: waited for until it is closed. -1: out of memory. */
int http_multi_own(struct http_multi *multi, int fd, void *owner) MUST_CHECK;
/* The same, and curl will not close it: http_multi_close() must. */
int http_multi_take(struct http_multi *multi, int fd, void *owner) MUST_CHECK;
void http_multi_close(struct http_multi *multi, int fd);
/* An owned socket's `ready` also tells when it can be written. */
void http_multi_want_write(struct http_multi *multi, int fd, bool wanted);

/* Counts rounds, from 1: what was read in this one need not be looked at again. */
uint64_t http_multi_round(const struct http_multi *multi);

#endif
