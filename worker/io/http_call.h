/*
 * One HTTP exchange: the text of its request, what is read of the answer, what it came to. Calls
 * are kept and used again; between two uses they hold no byte of a request or an answer. No
 * sockets: http.c moves the bytes. Loop's thread only.
 */
#ifndef KANCEL_WORKER_IO_HTTP_CALL_H
#define KANCEL_WORKER_IO_HTTP_CALL_H

#include "worker/core/settings.h"
#include "worker/core/timers.h"
#include "worker/io/http_answer.h"
#include "worker/io/http_connection.h"

struct http_call {
    uint64_t id;
    struct http_call *next; /* idle, or running with the same place in the table */
    struct http_call *
        *queue; /* its first: for a connection to its host, or to be answered; NULL: in none */
    struct http_call *queue_previous, *queue_next;
    struct http_host *host; /* NULL: none yet */
    struct http_connection *connection;
    struct timer deadline;
    int64_t connect_timeout_ms;

    enum http_method method;
    struct buffer out; /* the request as it is sent */
    size_t sent;       /* over this connection */
    bool maybe_sent;   /* the server may have a whole request */
    bool repeated;     /* over a second connection, as a kept one turned out to be closed */

    struct http_answer answer;
    enum http_result result;
    char problem[CURL_ERROR_SIZE];
};

/* Nothing is allocated yet. */
void http_call_init(struct http_call *call);
void http_call_release(struct http_call *call);
/* Wipes the request and the answer; the memory is kept for the next use. */
void http_call_clear(struct http_call *call);

/* Writes down the request to call->host. */
int http_call_write(struct http_call *call, const struct http_request *request,
                    struct error *err) MUST_CHECK;
/* It is sent from its first byte, and nothing of an answer is there. */
void http_call_begin(struct http_call *call);
/* `written` bytes more were sent, or HTTP_IO_AGAIN, HTTP_IO_FAILED. */
void http_call_sent(struct http_call *call, ssize_t written);

/* Answered, and its connection is as before. */
bool http_call_left_nothing(const struct http_call *call);
/* What came over the connection; len 0: its end. Failed: http_call_fail() was called. */
enum http_progress http_call_read(struct http_call *call, const char *data, size_t len);

/* It ends without an answer: HTTP_TIMED_OUT or HTTP_BROKEN, which is made HTTP_NOT_SENT where
 * nothing was. HTTP_NOT_SENT, HTTP_DENIED and HTTP_TOO_LARGE are taken as given. */
void http_call_fail(struct http_call *call, enum http_result result, const char *problem);
/* What it came to; borrows from the call until http_call_clear(). */
void http_call_response(const struct http_call *call, struct http_response *response);

#endif
