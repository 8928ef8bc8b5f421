/* One plain GET that blocks its caller: for programs that look at a worker from outside, never for
 * the loop. No redirects, no proxy. */
#ifndef KANCEL_WORKER_IO_HTTP_PROBE_H
#define KANCEL_WORKER_IO_HTTP_PROBE_H

#include "common/buffer.h"
#include "common/error.h"

/* The answer's status, its body (up to the buffer's limit) appended to `body`. -1: no whole answer
 * within `timeout_ms`, `err` says why. */
int http_probe(const char *url, int64_t timeout_ms, struct buffer *body,
               struct error *err) MUST_CHECK;

#endif
