#include "tests/unit/io/support/stage.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/io/support/sending.h"

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

void wait_for_marks(unsigned marks)
{
    for (int i = 0; i < SLOW_MS && atomic_load(&server.marks) < marks; i++)
        usleep(1000);
    ck_assert_uint_ge(atomic_load(&server.marks), marks);
}

enum { LARGE_BYTES = 90 * 1024, NARROW_BYTES = 4096 };

void narrow(void)
{
    int bytes = NARROW_BYTES;
    sending.buffer_bytes = bytes;
    /* Connections have it from the socket that listens. */
    ck_assert_int_eq(setsockopt(server.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

static char large_byte(size_t i)
{
    return (char)('a' + i % 23);
}

uint64_t start_large(void)
{
    struct http_request request;
    http_request_init(&request);
    request.method = HTTP_POST;
    buffer_append_string(&request.url, url_of(&server, "/"));
    for (size_t i = 0; i < LARGE_BYTES; i++)
        buffer_append_byte(&request.body, large_byte(i));
    ck_assert(!buffer_failed(&request.body));
    return start(&client, &request);
}

bool is_large(const struct connection *connection)
{
    const char *body = strstr(connection->request, "\r\n\r\n") + 4;
    size_t i = 0;
    while (i < LARGE_BYTES && body[i] == large_byte(i))
        i++;
    return i == LARGE_BYTES && body[i] == '\0';
}
