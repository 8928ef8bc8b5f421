/*
 * curl's multi handles on the event loop: their sockets stand in an epoll set of their own that the
 * loop watches, each one's timer is a deadline. Loop's thread only.
 *
 * There are several, *pools* of POOL_CALLS transfers: to find an idle connection curl walks through
 * all that a multi handle has to a host, which with 1,000 of them costs more than the call itself.
 * They share what they know of names.
 *
 * Registrations are lazy. A connection that falls idle stays in the set until its first event (curl
 * would have it removed and added again for every request); a socket leaves it when it is closed.
 * Only sockets that curl opened through us are treated so.
 */
#ifndef KANCEL_WORKER_IO_HTTP_MULTI_H
#define KANCEL_WORKER_IO_HTTP_MULTI_H

#include <arpa/inet.h>
#include <curl/curl.h>

#include "common/address_range.h"
#include "worker/io/loop.h"

struct http_multi;
struct http_pool;

/* What came of the connections that one handle wanted. The caller clears `opened` and `denied`
 * between two uses of the handle. */
struct http_binding {
    struct http_pool *pool;
    bool opened;                        /* a socket was made */
    const struct address_range *denied; /* the range that an address was in; NULL: none was */
    char address[INET6_ADDRSTRLEN];     /* that address */
};

/* `done` runs once per transfer that was added and not removed, never inside http_multi_add(); the
 * handle is out of its pool by then and may be added again. `most_connections` are kept open when
 * idle. */
struct http_multi *http_multi_new(struct loop *loop, unsigned most_connections,
                                  void (*done)(void *context, CURL *easy, CURLcode code),
                                  void *context, struct error *err);
/* No transfer may be left in it. Closes the idle connections. */
void http_multi_free(struct http_multi *multi);

/* No socket is made to an address in one of these ranges (borrowed for life). Each is looked at as
 * it is about to be connected to: a name that resolves to something else the next time does not
 * slip through. Before the first handle is added. */
void http_multi_deny(struct http_multi *multi, const struct address_range *ranges, size_t count);

/* Gives the handle a pool (the next one when that is full: whoever uses the first handles first
 * uses few pools) and sets the options by which its sockets are opened and closed; once per handle
 * (and after curl_easy_reset), never while it is added. `binding` is zeroed before the first time
 * and stays in use as long as the handle. */
int http_multi_bind(struct http_multi *multi, CURL *easy, struct http_binding *binding,
                    struct error *err) MUST_CHECK;

int http_multi_add(const struct http_binding *binding, CURL *easy, struct error *err) MUST_CHECK;
/* `done` will not run for it. */
void http_multi_remove(const struct http_binding *binding, CURL *easy);

#endif
