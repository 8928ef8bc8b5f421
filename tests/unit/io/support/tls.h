/* TLS for the scripted server. */
#ifndef KANCEL_TESTS_UNIT_IO_SUPPORT_TLS_H
#define KANCEL_TESTS_UNIT_IO_SUPPORT_TLS_H

#include "tests/unit/io/support/certificates.h"
#include "tests/unit/io/support/server.h"

/* Before server_start(). `clients` NULL: no client certificate is asked for; else one that this
 * authority signed is required. `most_version` such as TLS1_2_VERSION; 0: the newest. */
void tls_on(struct server *server, const struct identity *identity, const struct identity *clients,
            int most_version);
/* After server_stop(). */
void tls_off(struct server *server);

/* The common name of the client's certificate; "": it has shown none. */
void tls_client_name(const struct connection *connection, char name[64]);

/* Says that no more comes (close_notify); without it a connection ends as if it were cut. */
void tls_goodbye(struct connection *connection);

#endif
