/*
 * HTTP/1.1 exchanges, driven by the loop. libcurl makes the connections: verified TLS (1.2 or
 * newer), keep-alive, no redirects, only http and https, no proxy unless configured, no cookies, no
 * netrc, ceilings on body and headers, one User-Agent kancel/VERSION. A POST or DELETE goes out at
 * most once; a GET may be sent again on a new connection when a kept one turns out to be closed.
 * Loop's thread only.
 */
#ifndef KANCEL_WORKER_IO_HTTP_H
#define KANCEL_WORKER_IO_HTTP_H

#include "common/address_range.h"
#include "worker/core/settings.h"
#include "worker/io/loop.h"

struct http;

/* `answered` runs exactly once per http_start() that was not abandoned, later, never inside
 * http_start(); `response` is borrowed for the call. `most_calls` sizes the connection cache (the
 * worker's `calls`). `proxy` NULL: none, the environment's is ignored. */
struct http *http_new(struct loop *loop, unsigned most_calls, const char *proxy,
                      void (*answered)(void *context, uint64_t call_id,
                                       const struct http_response *response),
                      void *context, struct error *err);
/* Addresses that nothing is sent to, whatever a name resolves to (borrowed for life): a call that
 * has no other is answered as HTTP_DENIED. Before the first http_start(). A proxy would be the only
 * address seen, so both together make no sense. */
void http_deny(struct http *http, const struct address_range *ranges, size_t count);
/* Abandons what is in flight. */
void http_free(struct http *http);

/* Takes the request's contents (left released). TLS files, timeouts from `account`. Cannot fail:
 * problems are answered as HTTP_NOT_SENT. */
void http_start(struct http *http, uint64_t call_id, const struct account_settings *account,
                struct http_request *request);
/* `answered` will not run for it. Unknown ids are ignored. */
void http_abandon(struct http *http, uint64_t call_id);
unsigned http_in_flight(const struct http *http);

/* Accounts' TLS files that have changed are used from the next call on, on new connections; those
 * that do not fit together leave the old ones in use. Cheap when none did. `report` as of
 * tls_store_refresh(). */
void http_refresh(struct http *http,
                  void (*report)(void *context, const char *path, const struct error *err),
                  void *context);

/* The rules of an endpoint, also of one to sign in at: absolute http(s) URL, no user information,
 * query or fragment; http only to loopback or with `insecure_http`. ERROR_INPUT does not name the
 * field. */
int http_check_url(const char *url, bool insecure_http, struct error *err) MUST_CHECK;

/* Checks an account's TLS files: readable, parse, key fits certificate. */
int http_check_tls(const struct account_settings *account, struct error *err) MUST_CHECK;
/* Those and the endpoint's URL; used at start and by `kancel check`. */
int http_check_account(const struct account_settings *account, bool insecure_http,
                       struct error *err) MUST_CHECK;

#endif
