/*
 * Exports spans by OTLP over HTTP with JSON (opentelemetry.io/docs/specs/otlp, 1.x): batches, one
 * request out at a time, over the worker's own HTTP. Telemetry holds up nothing: what does not fit
 * into the buffer or cannot be delivered is dropped and counted. Attribute names are those of the
 * OpenTelemetry semantic conventions for messaging and HTTP. Loop's thread.
 */
#ifndef KANCEL_WORKER_APP_OTLP_H
#define KANCEL_WORKER_APP_OTLP_H

#include "worker/core/ports.h"

struct otlp;

struct otlp_settings {
    const char *endpoint;               /* the collector's URL for traces */
    const char *service;                /* service.name */
    const char *instance;               /* service.instance.id; "": none */
    const char *group;                  /* the consumer group */
    const struct secret *authorization; /* header; NULL: none */
    /* Starts the export; its answer comes to otlp_answered(). Takes the request. */
    void (*send)(void *context, const struct account_settings *collector,
                 struct http_request *request);
    void *context;
};

/* NULL: no memory. `settings` is copied, its texts are borrowed. */
struct otlp *otlp_new(const struct otlp_settings *settings);
void otlp_free(struct otlp *otlp);

void otlp_span(struct otlp *otlp, const struct span *span);
/* Sends what is there, unless a request is out. */
void otlp_flush(struct otlp *otlp);
/* False: not delivered; the response's problem or status says why. */
bool otlp_answered(struct otlp *otlp, const struct http_response *response);
uint64_t otlp_dropped(const struct otlp *otlp); /* spans */

#endif
