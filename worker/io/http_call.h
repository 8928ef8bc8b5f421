/*
 * One HTTP exchange: an easy handle with the request it sends and the buffers of its answer. Calls
 * are kept in a pool and used again; between two uses they hold no byte of a request or an answer.
 * Loop's thread only.
 */
#ifndef KANCEL_WORKER_IO_HTTP_CALL_H
#define KANCEL_WORKER_IO_HTTP_CALL_H

#include <curl/curl.h>

#include "worker/core/settings.h"
#include "worker/io/http_multi.h"
#include "worker/io/tls_files.h"

/* The answer's headers that are kept. */
enum http_kept {
    KEPT_CONTENT_TYPE,
    KEPT_RETRY_AFTER,
    KEPT_DATE,
    KEPT_SUBJECT_TOKEN,
    KEPT_REQUEST_ID,
    KEPT_COUNT
};

struct http_call {
    uint64_t id;
    struct http_call *next; /* for whoever holds it */
    CURL *easy;             /* NULL: not made yet */
    bool own_tls;           /* the handle has an account's TLS files set */
    struct tls_files *tls;  /* held while in use; NULL: none */
    struct http_binding binding;

    struct http_request request; /* owned while in use */
    struct buffer header_text;   /* "Name: value\0" each; `headers` points into it */
    /* And who we are, and those of curl's own that are switched off. */
    struct curl_slist headers[HTTP_HEADERS_MOST + 3];
    unsigned sendings; /* how often curl was about to send the request */
    long size_before;  /* bytes out before the first (a proxy's CONNECT) */

    struct buffer body;
    struct buffer kept_text;
    struct {
        size_t start, len;
        bool present;
    } kept[KEPT_COUNT];
    size_t header_bytes;
    bool in_head; /* between a status line and the empty line: trailers are not kept */
    bool too_large;
    bool out_of_memory;
    char problem[CURL_ERROR_SIZE];
};

/* Nothing is allocated yet. */
void http_call_init(struct http_call *call);
void http_call_release(struct http_call *call);

/* Makes the handle ready for `request`, whose contents are taken (left released) also on failure.
 * `proxy` NULL: none. On failure nothing was sent and `err` says why. */
int http_call_prepare(struct http_call *call, struct http_multi *multi, struct tls_store *store,
                      const char *proxy, const struct account_settings *account,
                      struct http_request *request, struct error *err) MUST_CHECK;

/* What the ended transfer came to; borrows from the call until http_call_clear(). */
void http_call_response(struct http_call *call, CURLcode code, struct http_response *response);
/* The same for a call that never started: keeps why, gives the response. */
void http_call_refuse(struct http_call *call, const struct error *err);
void http_call_refused(const struct http_call *call, struct http_response *response);

/* Wipes the request and the answer; the handle is kept for the next use. The transfer must be out
 * of the multi handle. */
void http_call_clear(struct http_call *call);

#endif
