/*
 * curl's multi handle on the event loop: its sockets stand in an epoll set of their own that the
 * loop watches, its one timer is a deadline. Loop's thread only.
 *
 * Registrations are lazy. A connection that falls idle stays in the set until its first event (curl
 * would have it removed and added again for every request); a socket leaves it when it is closed.
 * Only sockets that curl opened through us are treated so.
 */
#ifndef KANCEL_WORKER_IO_HTTP_MULTI_H
#define KANCEL_WORKER_IO_HTTP_MULTI_H

#include <curl/curl.h>

#include "worker/io/loop.h"

struct http_multi;

/* `done` runs once per transfer that was added and not removed, never inside http_multi_add(); the
 * handle is out of the multi handle by then and may be added again. `most_connections` are kept
 * open when idle. */
struct http_multi *http_multi_new(struct loop *loop, unsigned most_connections,
                                  void (*done)(void *context, CURL *easy, CURLcode code),
                                  void *context, struct error *err);
/* No transfer may be left in it. Closes the idle connections. */
void http_multi_free(struct http_multi *multi);

/* Sets the options by which this handle's sockets are opened and closed; once per handle (and after
 * curl_easy_reset). */
int http_multi_bind(struct http_multi *multi, CURL *easy, struct error *err) MUST_CHECK;

int http_multi_add(struct http_multi *multi, CURL *easy, struct error *err) MUST_CHECK;
/* `done` will not run for it. */
void http_multi_remove(struct http_multi *multi, CURL *easy);

#endif
