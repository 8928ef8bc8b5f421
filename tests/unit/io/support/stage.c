#include "tests/unit/io/support/stage.h"

#include "common/banned.h"

struct server server;
struct client client;

void open_client(void)
{
    client_start(&client, 8, NULL);
}

void close_client(void)
{
    client_stop(&client);
}

void begin(void (*script)(struct connection *connection))
{
    memset(&server, 0, sizeof(server));
    server_start(&server, script);
    open_client();
}

void end(void)
{
    close_client();
    server_stop(&server);
}

void say_ok(struct connection *connection)
{
    say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}
