#include "tests/unit/io/support/tls.h"

#include <dlfcn.h>
#include <openssl/ssl.h>

#include "common/banned.h"

/* The tests link libcrypto; libssl is in the process as libcurl's, so its functions are found by
 * name. */
#define FUNCTIONS(X)                                                                               \
    X(TLS_server_method)                                                                           \
    X(SSL_CTX_new)                                                                                 \
    X(SSL_CTX_free)                                                                                \
    X(SSL_CTX_use_certificate)                                                                     \
    X(SSL_CTX_use_PrivateKey)                                                                      \
    X(SSL_CTX_get_cert_store)                                                                      \
    X(SSL_CTX_set_verify)                                                                          \
    X(SSL_CTX_set_cipher_list)                                                                     \
    X(SSL_CTX_ctrl)                                                                                \
    X(SSL_new)                                                                                     \
    X(SSL_free)                                                                                    \
    X(SSL_set_fd)                                                                                  \
    X(SSL_accept)                                                                                  \
    X(SSL_read)                                                                                    \
    X(SSL_write)                                                                                   \
    X(SSL_shutdown)                                                                                \
    X(SSL_get1_peer_certificate)

static struct {
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} tls;

static void load(void *member, const char *name)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    ck_assert_msg(function != NULL, "%s: not in this process", name);
    memcpy(member, &function, sizeof(function));
}

static bool accept_tls(struct connection *connection)
{
    connection->tls = tls.SSL_new(connection->server->tls_context);
    return tls.SSL_set_fd(connection->tls, connection->fd) == 1 &&
           tls.SSL_accept(connection->tls) == 1;
}

static ssize_t read_tls(struct connection *connection, char *data, size_t len)
{
    return tls.SSL_read(connection->tls, data, (int)len);
}

static void write_tls(struct connection *connection, const char *data, size_t len)
{
    (void)tls.SSL_write(connection->tls, data, (int)len);
}

static void end_tls(struct connection *connection)
{
    tls.SSL_free(connection->tls);
}

void tls_on(struct server *server, const struct identity *identity, const struct identity *clients,
            int most_version)
{
#define LOAD(name) load(&tls.name, #name);
    FUNCTIONS(LOAD)
#undef LOAD
    SSL_CTX *context = tls.SSL_CTX_new(tls.TLS_server_method());
    ck_assert_ptr_nonnull(context);
    ck_assert_int_eq(tls.SSL_CTX_use_certificate(context, identity->certificate), 1);
    ck_assert_int_eq(tls.SSL_CTX_use_PrivateKey(context, identity->key), 1);
    ck_assert_int_eq(tls.SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0"), 1);
    (void)tls.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_VERSION, NULL);
    (void)tls.SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, most_version, NULL);
    if (clients != NULL) {
        (void)X509_STORE_add_cert(tls.SSL_CTX_get_cert_store(context), clients->certificate);
        tls.SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    server->tls_context = context;
    server->tls_accept = accept_tls;
    server->tls_read = read_tls;
    server->tls_write = write_tls;
    server->tls_end = end_tls;
}

void tls_off(struct server *server)
{
    tls.SSL_CTX_free(server->tls_context);
}

void tls_client_name(const struct connection *connection, char name[64])
{
    name[0] = '\0';
    X509 *certificate = tls.SSL_get1_peer_certificate(connection->tls);
    if (certificate == NULL)
        return;
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, 64);
    X509_free(certificate);
}

void tls_goodbye(struct connection *connection)
{
    (void)tls.SSL_shutdown(connection->tls);
}
