/*
 * The admin server (libmicrohttpd, its own thread): /livez, /readyz, /metrics. It reads snapshots
 * that the loop publishes; it never touches the engine.
 */
#ifndef KANCEL_WORKER_IO_ADMIN_H
#define KANCEL_WORKER_IO_ADMIN_H

#include "common/buffer.h"
#include "common/error.h"

struct admin;

/* `listen` is "HOST:PORT", "[V6]:PORT"; port 0: any free port (admin_port tells). ERROR_INPUT: not
 * an address; else the system's reason with the address in it. `stall_ms`: /livez fails when no
 * snapshot was published for so long. */
struct admin *admin_new(const char *listen, int64_t stall_ms, struct error *err);
void admin_free(struct admin *admin);
unsigned admin_port(const struct admin *admin);

/* Swaps in what is served from now on: `metrics` is taken (buffer left empty); `not_ready` NULL:
 * ready, else the reason (copied). The call itself is the loop's sign of life. */
void admin_publish(struct admin *admin, struct buffer *metrics, const char *not_ready);

#endif
