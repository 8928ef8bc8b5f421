/*
 * The admin server (libmicrohttpd, its own thread): health, metrics, the operator's page with its
 * live state, and a few actions. It reads what the loop publishes; it never touches the engine.
 *
 *   GET  /livez /readyz /startupz   200, or 503 with the reason
 *   GET  /metrics                   Prometheus text
 *   GET  /                          the page
 *   GET  /state                     what it shows, JSON
 *   GET  /events                    the same as server-sent events, each time it changes
 *   POST /accounts/NAME/hold        no call of this account starts any more
 *   POST /accounts/NAME/resume
 *   POST /drain                     as SIGTERM
 *
 * What changes something needs the header `Authorization: Bearer TOKEN`.
 */
#ifndef KANCEL_WORKER_IO_ADMIN_H
#define KANCEL_WORKER_IO_ADMIN_H

#include "common/buffer.h"
#include "common/error.h"
#include "worker/io/loop.h"

struct admin;

enum admin_verb { ADMIN_HOLD, ADMIN_RESUME, ADMIN_DRAIN };

struct admin_settings {
    const char *listen; /* "HOST:PORT", "[V6]:PORT"; port 0: any free port (admin_port tells) */
    int64_t stall_ms;   /* /livez fails when nothing was published for so long */
    struct slice page;  /* HTML, static */
    /* Runs on the loop's thread; `account` is absent for ADMIN_DRAIN. Returns the HTTP status of
     * the answer. */
    int (*act)(void *context, enum admin_verb verb, struct slice account);
    void *context;
};

/* What is served from now on. */
struct admin_facts {
    struct buffer *metrics; /* taken (left empty); NULL: the last ones stay */
    struct buffer *state;   /* JSON in one line, taken; NULL: the last one stays */
    const char *not_ready;  /* NULL: ready; copied */
    bool started;           /* commands could be taken once */
    struct slice token;     /* that actions need; absent: none is taken */
};

/* ERROR_INPUT: not an address; else the system's reason with the address in it. */
struct admin *admin_new(struct loop *loop, const struct admin_settings *settings,
                        struct error *err);
void admin_free(struct admin *admin);
unsigned admin_port(const struct admin *admin);

/* The call itself is the loop's sign of life. */
void admin_publish(struct admin *admin, struct admin_facts *facts);

#endif
