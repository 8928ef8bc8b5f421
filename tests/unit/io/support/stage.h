/* The server and the client of a test. */
#ifndef KANCEL_TESTS_UNIT_IO_SUPPORT_STAGE_H
#define KANCEL_TESTS_UNIT_IO_SUPPORT_STAGE_H

#include "tests/unit/io/support/client.h"

extern struct server server;
extern struct client client;

void open_client(void);
void close_client(void);
/* Both, over TCP. */
void begin(void (*script)(struct connection *connection));
void end(void);

/* The shortest answer. */
void say_ok(struct connection *connection);

#endif
