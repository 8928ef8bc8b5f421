/* kancel-simulator: options, start and end. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>

#include "credentials.h"
#include "delays.h"
#include "faults.h"
#include "ledger.h"
#include "server.h"
#include "tasks.h"

#include "common/banned.h"

enum { PEM_MAX = 1 << 20, CANCELLING_MS_DEFAULT = 100 };

struct settings {
    struct server_settings server;
    const char *certificate, *key, *client_ca, *port_file;
    long long seed, delay_min_ms, delay_max_ms, task_ms, cancelling_ms, threads;
};

static const char usage[] =
    "usage: kancel-simulator [--listen 127.0.0.1:0] [option]...\n"
    "\n"
    "Plays EnOS, SCNet, IoTDA (with IAM) and KooDrive on one port, for tests and benchmarks.\n"
    "  --listen A:P          IPv4 address and port; port 0 takes any free one (127.0.0.1:0)\n"
    "  --port-file F         write the port there\n"
    "  --tls-certificate F   serve HTTPS with this certificate (PEM), and\n"
    "  --tls-key F           its key\n"
    "  --client-ca F         and expect client certificates of this authority\n"
    "  --delay-ms N[-M]      answer after N (to M) milliseconds\n"
    "  --task-ms N           tasks run that long before they succeed (for ever)\n"
    "  --cancelling-ms N     cancelling takes that long (100)\n"
    "  --seed N              of delays and of faults by chance (1)\n"
    "  --threads N           HTTP threads, 1 to 8 (1)\n"
    "It runs until SIGTERM or SIGINT. README.md beside its source describes /_simulator/.\n";

static int fail(const char *what, const char *value)
{
    fprintf(stderr, "kancel-simulator: %s: %s\n", what, value);
    return -1;
}

static bool number(const char *text, char stop, long long max, long long *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && end != text && (*end == '\0' || *end == stop) && *value >= 0 &&
           *value <= max;
}

static bool listen_parse(const char *text, struct sockaddr_in *address)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    long long port;
    if (!colon || (size_t)(colon - text) >= sizeof(host) || !number(colon + 1, '\0', 65535, &port))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    address->sin_port = htons((in_port_t)port);
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                     &address->sin_addr) == 1;
}

static bool delay_parse(const char *text, struct settings *settings)
{
    const char *dash = strchr(text, '-');
    if (!number(text, '-', 3600000, &settings->delay_min_ms))
        return false;
    settings->delay_max_ms = settings->delay_min_ms;
    return !dash || (number(dash + 1, '\0', 3600000, &settings->delay_max_ms) &&
                     settings->delay_max_ms >= settings->delay_min_ms);
}

static int option_parse(struct settings *settings, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        long long *number, min, max;
    } options[] = {
        {"--tls-certificate", &settings->certificate, NULL, 0, 0},
        {"--tls-key", &settings->key, NULL, 0, 0},
        {"--client-ca", &settings->client_ca, NULL, 0, 0},
        {"--port-file", &settings->port_file, NULL, 0, 0},
        {"--seed", NULL, &settings->seed, 0, INT64_MAX},
        {"--task-ms", NULL, &settings->task_ms, 0, INT32_MAX},
        {"--cancelling-ms", NULL, &settings->cancelling_ms, 0, INT32_MAX},
        {"--threads", NULL, &settings->threads, 1, 8},
    };
    if (strcmp(name, "--listen") == 0)
        return listen_parse(value, &settings->server.listen)
                   ? 0
                   : fail("--listen: expected ADDRESS:PORT", value);
    if (strcmp(name, "--delay-ms") == 0)
        return delay_parse(value, settings) ? 0 : fail("--delay-ms: expected N or N-M", value);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(name, options[i].name) != 0)
            continue;
        if (options[i].text) {
            *options[i].text = value;
            return *value ? 0 : fail(name, "expected a file");
        }
        return number(value, '\0', options[i].max, options[i].number) &&
                       *options[i].number >= options[i].min
                   ? 0
                   : fail(name, "not a number in range");
    }
    return fail("unknown option", name);
}

static char *pem_read(const char *path)
{
    char *text = must(calloc(1, PEM_MAX));
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(text, 1, PEM_MAX - 1, file) : 0;
    if (file)
        fclose(file);
    if (len > 0)
        return text;
    fail("cannot read", path);
    free(text);
    return NULL;
}

static int tls_read(struct settings *settings)
{
    if ((settings->certificate != NULL) != (settings->key != NULL) ||
        (settings->client_ca && !settings->key))
        return fail("--tls-certificate, --tls-key", "expected both, also for --client-ca");
    if (settings->certificate &&
        (!(settings->server.certificate = pem_read(settings->certificate)) ||
         !(settings->server.key = pem_read(settings->key))))
        return -1;
    if (settings->client_ca && !(settings->server.client_ca = pem_read(settings->client_ca)))
        return -1;
    return 0;
}

/* Written beside and renamed, so that a reader never sees half of it. */
static int port_file_write(const char *path, unsigned port)
{
    char beside[4096];
    FILE *file;
    int n = snprintf(beside, sizeof(beside), "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof(beside) || !(file = fopen(beside, "w")))
        return -1;
    fprintf(file, "%u\n", port);
    return fclose(file) == 0 ? rename(beside, path) : -1;
}

void simulator_reset(struct simulator *simulator)
{
    tasks_clear(simulator->tasks);
    faults_clear(simulator->faults);
    ledger_clear(simulator->ledger);
    credentials_reset(simulator->credentials);
    simulator->options = simulator->initial;
    simulator->random = simulator->seed;
}

static void simulator_init(struct simulator *simulator, const struct settings *settings)
{
    memset(simulator, 0, sizeof(*simulator));
    pthread_mutex_init(&simulator->mutex, NULL);
    simulator->initial = (struct options){.delay_min_ms = settings->delay_min_ms,
                                          .delay_max_ms = settings->delay_max_ms,
                                          .running_ms = settings->task_ms,
                                          .cancelling_ms = settings->cancelling_ms};
    simulator->seed = (uint64_t)settings->seed;
    simulator->client_certificates = settings->client_ca != NULL;
    simulator->tasks = tasks_new();
    simulator->credentials = credentials_new();
    simulator->faults = faults_new();
    simulator->ledger = ledger_new();
    simulator->delays = delays_new();
    simulator_reset(simulator);
}

static void simulator_release(struct simulator *simulator)
{
    tasks_free(simulator->tasks);
    credentials_free(simulator->credentials);
    faults_free(simulator->faults);
    ledger_free(simulator->ledger);
    delays_free(simulator->delays);
    pthread_mutex_destroy(&simulator->mutex);
}

static int serve(struct settings *settings, const sigset_t *stop)
{
    struct simulator simulator;
    struct MHD_Daemon *daemon;
    char host[INET_ADDRSTRLEN];
    int caught;
    int status = 0;
    settings->server.threads = (unsigned)settings->threads;
    simulator_init(&simulator, settings);
    daemon = server_start(&simulator, &settings->server);
    if (!daemon) {
        fail("could not listen", strerror(errno));
        delays_stop(simulator.delays);
        simulator_release(&simulator);
        return 1;
    }
    inet_ntop(AF_INET, &settings->server.listen.sin_addr, host, sizeof(host));
    printf("listening on %s://%s:%u\n", settings->certificate ? "https" : "http", host,
           server_port(daemon));
    fflush(stdout);
    if (settings->port_file && port_file_write(settings->port_file, server_port(daemon)) != 0) {
        fail(settings->port_file, strerror(errno));
        status = 1;
    } else {
        sigwait(stop, &caught);
    }
    server_stop(&simulator, daemon);
    simulator_release(&simulator);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .seed = 1, .task_ms = -1, .cancelling_ms = CANCELLING_MS_DEFAULT, .threads = 1};
    sigset_t stop;
    int status = 2;
    listen_parse("127.0.0.1:0", &settings.server.listen);
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (option_parse(&settings, argv[i], i + 1 < argc ? argv[i + 1] : "") != 0)
            return 2;
    }
    if (tls_read(&settings) == 0) {
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&stop);
        sigaddset(&stop, SIGTERM);
        sigaddset(&stop, SIGINT);
        /* Before any thread starts, so that all inherit it and sigwait() gets the signal. */
        pthread_sigmask(SIG_BLOCK, &stop, NULL);
        status = serve(&settings, &stop);
    }
    free(settings.server.certificate);
    free(settings.server.key);
    free(settings.server.client_ca);
    return status;
}
