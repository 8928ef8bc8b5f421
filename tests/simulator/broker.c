/*
 * kancel-broker: librdkafka's mock cluster with one broker, as a process of its own on a port of
 * one's choice. For development and demonstrations; what it cannot do stands in README.md.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "common/banned.h"

enum { TOPICS_MAX = 256, TOPIC_PARTITIONS_DEFAULT = 4 };

struct topic {
    char name[250];
    int partitions;
};

struct settings {
    long port;
    const char *port_file;
    struct topic topics[TOPICS_MAX];
    size_t topics_count;
};

static const char usage[] =
    "usage: kancel-broker --port N [--topic NAME[:PARTITIONS]]... [--port-file FILE]\n"
    "\n"
    "A small development broker for Kafka clients on 127.0.0.1, kept in memory.\n"
    "  --port N         the port; 0 takes any free one\n"
    "  --topic N[:P]    create topic N with P partitions (default 4); others appear on first use\n"
    "  --port-file F    write the port there once clients may connect\n"
    "It runs until SIGTERM or SIGINT.\n";

/* The port for the mock's next listening socket; the mock itself always asks for any free port. */
static in_port_t wanted_port;

/*
 * Stands before libc's bind(): librdkafka's mock binds 127.0.0.1:0, so its port is set here.
 * Nagle's delay is turned off on the listener because accepted sockets inherit that.
 */
int bind_fixed(int fd, const struct sockaddr *address, socklen_t address_len) __asm__("bind");
int bind_fixed(int fd, const struct sockaddr *address, socklen_t address_len)
{
    struct sockaddr_in fixed;
    if (address->sa_family == AF_INET && address_len >= (socklen_t)sizeof(fixed)) {
        int on = 1;
        memcpy(&fixed, address, sizeof(fixed));
        if (fixed.sin_port == 0 && fixed.sin_addr.s_addr == htonl(INADDR_LOOPBACK)) {
            fixed.sin_port = wanted_port;
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            return (int)syscall(SYS_bind, fd, &fixed, sizeof(fixed));
        }
    }
    return (int)syscall(SYS_bind, fd, address, address_len);
}

static bool number(const char *text, long max, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *value >= 0 && *value <= max;
}

static bool topic_parse(const char *text, struct topic *topic)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    long partitions = TOPIC_PARTITIONS_DEFAULT;
    if (len == 0 || len >= sizeof(topic->name))
        return false;
    if (colon && (!number(colon + 1, 10000, &partitions) || partitions < 1))
        return false;
    memcpy(topic->name, text, len);
    topic->name[len] = '\0';
    topic->partitions = (int)partitions;
    return true;
}

static int fail(const char *what, const char *value)
{
    fprintf(stderr, "kancel-broker: %s: %s\n", what, value);
    return 2;
}

/* Returns 0, or the exit status plus one to leave with. */
static int settings_parse(struct settings *settings, int argc, char **argv)
{
    settings->port = -1;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 1;
        }
        if (strcmp(argv[i], "--port") == 0) {
            if (!number(value, 65535, &settings->port))
                return fail("--port: expected a number from 0 to 65535", value) + 1;
        } else if (strcmp(argv[i], "--topic") == 0) {
            if (settings->topics_count == TOPICS_MAX ||
                !topic_parse(value, &settings->topics[settings->topics_count]))
                return fail("--topic: expected NAME or NAME:PARTITIONS", value) + 1;
            settings->topics_count++;
        } else if (strcmp(argv[i], "--port-file") == 0 && *value) {
            settings->port_file = value;
        } else {
            return fail("unknown option or no value", argv[i]) + 1;
        }
    }
    if (settings->port < 0)
        return fail("missing", "--port") + 1;
    return 0;
}

/* Written beside and renamed, so that a reader never sees half of it. */
static int port_file_write(const char *path, const char *port)
{
    char beside[4096];
    FILE *file;
    int n = snprintf(beside, sizeof(beside), "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof(beside))
        return -1;
    file = fopen(beside, "w");
    if (!file)
        return -1;
    fprintf(file, "%s\n", port);
    if (fclose(file) != 0)
        return -1;
    return rename(beside, path);
}

static int topics_create(rd_kafka_mock_cluster_t *cluster, const struct settings *settings)
{
    for (size_t i = 0; i < settings->topics_count; i++) {
        const struct topic *topic = &settings->topics[i];
        rd_kafka_resp_err_t code =
            rd_kafka_mock_topic_create(cluster, topic->name, topic->partitions, 1);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return fail(topic->name, rd_kafka_err2str(code));
    }
    return 0;
}

static int serve(rd_kafka_t *kafka, const struct settings *settings, const sigset_t *stop)
{
    rd_kafka_mock_cluster_t *cluster;
    const char *address, *colon;
    int status = 1;
    int caught;

    wanted_port = htons((in_port_t)settings->port);
    cluster = rd_kafka_mock_cluster_new(kafka, 1);
    if (!cluster) {
        fprintf(stderr, "kancel-broker: could not listen on 127.0.0.1:%ld\n", settings->port);
        return 1;
    }
#ifdef MOCK_HAS_REBALANCE_DELAY
    rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
#endif
    if (topics_create(cluster, settings) != 0)
        goto destroy;
    address = rd_kafka_mock_cluster_bootstraps(cluster);
    colon = strrchr(address, ':');
    if (!colon)
        goto destroy;
    printf("listening on 127.0.0.1%s\n", colon);
    fflush(stdout);
    if (settings->port_file && port_file_write(settings->port_file, colon + 1) != 0) {
        fail(settings->port_file, strerror(errno));
        goto destroy;
    }
    sigwait(stop, &caught);
    status = 0;
destroy:
    rd_kafka_mock_cluster_destroy(cluster);
    return status;
}

int main(int argc, char **argv)
{
    static struct settings settings;
    char message[512];
    sigset_t stop;
    rd_kafka_t *kafka;
    rd_kafka_conf_t *conf;
    int status = settings_parse(&settings, argc, argv);

    if (status != 0)
        return status - 1;
    /* Blocked before librdkafka starts threads, so that they inherit it and sigwait() gets them. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);

    conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "log_level", "3", message, sizeof(message)) != RD_KAFKA_CONF_OK) {
        fail("log_level", message);
        rd_kafka_conf_destroy(conf);
        return 1;
    }
    kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, message, sizeof(message));
    if (!kafka) {
        fail("librdkafka", message);
        rd_kafka_conf_destroy(conf);
        return 1;
    }
    status = serve(kafka, &settings, &stop);
    rd_kafka_destroy(kafka);
    return status;
}
