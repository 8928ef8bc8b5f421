/* The HTTP side: libmicrohttpd, one epoll thread. */
#ifndef SIMULATOR_SERVER_H
#define SIMULATOR_SERVER_H

#include <netinet/in.h>

#include "simulator.h"

struct server_settings {
    struct sockaddr_in listen;
    char *certificate, *key, *client_ca; /* PEM texts; NULL: plain HTTP, no client certificates */
    unsigned threads;
};

struct MHD_Daemon *server_start(struct simulator *simulator,
                                const struct server_settings *settings);
unsigned server_port(struct MHD_Daemon *daemon);
void server_stop(struct simulator *simulator, struct MHD_Daemon *daemon);

/* A request below /_simulator/; control.c. */
void control_handle(struct simulator *simulator, struct request *request);

#endif
