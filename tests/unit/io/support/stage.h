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

/* Lets the server do what it does about the requests that were sent, before the client looks. */
void wait_for_marks(unsigned marks);

/* Makes little be on its way: sockets of this thread and of the server take few bytes. */
void narrow(void);
/* A POST to the server that is several times as long; returns the call's id. */
uint64_t start_large(void);
/* Whether it has come as it was. */
bool is_large(const struct connection *connection);

#endif
