#include "tests/unit/io/support/server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/banned.h"

static ssize_t receive(struct connection *connection, char *data, size_t len)
{
    if (connection->tls != NULL)
        return connection->server->tls_read(connection, data, len);
    return recv(connection->fd, data, len, 0);
}

void send_bytes(struct connection *connection, const char *data, size_t len)
{
    while (len > 0 && connection->tls == NULL) {
        ssize_t sent = send(connection->fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the client has left */
        data += sent;
        len -= (size_t)sent;
    }
    if (len > 0)
        connection->server->tls_write(connection, data, len);
}

void say(struct connection *connection, const char *text)
{
    send_bytes(connection, text, strlen(text));
}

static size_t whole_request(const struct connection *connection)
{
    const char *end = strstr(connection->request, "\r\n\r\n");
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - connection->request) + 4;
    const char *length = strcasestr(connection->request, "\r\nContent-Length:");
    size_t body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return connection->len >= head + body ? head + body : 0;
}

bool hear(struct connection *connection)
{
    size_t past = whole_request(connection);
    connection->len -= past;
    memmove(connection->request, connection->request + past, connection->len + 1);
    while (whole_request(connection) == 0) {
        size_t room = sizeof(connection->request) - 1 - connection->len;
        ssize_t got = receive(connection, connection->request + connection->len, room);
        if (got <= 0)
            return false;
        connection->len += (size_t)got;
        connection->request[connection->len] = '\0';
    }
    connection->request[whole_request(connection)] = '\0';
    atomic_fetch_add(&connection->server->requests, 1);
    return true;
}

void wait_for_end(struct connection *connection)
{
    char rest[256];
    while (receive(connection, rest, sizeof(rest)) > 0)
        ;
}

void reset_at_end(struct connection *connection)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void *serve_connection(void *context)
{
    struct connection *connection = context;
    struct server *server = connection->server;
    if (server->tls_context == NULL || server->tls_accept(connection)) {
        server->script(connection);
    } else {
        /* A close with bytes unread would be a reset, which may overtake the alert. */
        (void)shutdown(connection->fd, SHUT_WR);
        char rest[256];
        while (recv(connection->fd, rest, sizeof(rest), 0) > 0)
            ;
    }
    if (connection->tls != NULL)
        server->tls_end(connection);
    (void)shutdown(connection->fd, SHUT_WR);
    int fd = connection->fd;
    connection->fd = -1;
    (void)close(fd);
    return NULL;
}

static void *serve(void *context)
{
    struct server *server = context;
    int fd;
    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        int at_once = 1; /* what is said goes out, whether or not the last was acknowledged */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
        unsigned number = atomic_load(&server->connections) + 1;
        ck_assert_uint_lt(number, SERVER_CONNECTIONS);
        struct connection *connection = calloc(1, sizeof(*connection));
        ck_assert_ptr_nonnull(connection);
        connection->server = server;
        connection->fd = fd;
        connection->number = number;
        server->all[number - 1] = connection;
        atomic_store(&server->connections, number);
        ck_assert_int_eq(pthread_create(&connection->thread, NULL, serve_connection, connection),
                         0);
    }
    return NULL;
}

int bind_any(unsigned *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

void server_start(struct server *server, void (*script)(struct connection *connection))
{
    server->script = script;
    server->fd = bind_any(&server->port);
    ck_assert_int_eq(listen(server->fd, 128), 0);
    ck_assert_int_eq(pthread_create(&server->thread, NULL, serve, server), 0);
}

void server_stop(struct server *server)
{
    (void)shutdown(server->fd, SHUT_RDWR);
    (void)pthread_join(server->thread, NULL);
    (void)close(server->fd);
    unsigned count = atomic_load(&server->connections);
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(server->all[i]->thread, NULL);
        free(server->all[i]);
    }
}
