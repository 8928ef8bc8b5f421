/* kancel health: asks a running worker on this machine how it is; what a container's health check
 * runs, as there is no shell in the image. */
#include "worker/app/subcommands.h"
#include "worker/io/http_probe.h"

#include "common/banned.h"

enum { TIMEOUT_MS = 3000, BODY_MOST = 4096 };

static const struct args_option options[] = {
    OPTION_CONFIG,
    {"ready", 'r', NULL, false, "is it ready to take commands (/readyz), not only alive (/livez)"},
    {.name = NULL},
};

const struct args_command command_health = {
    .name = "kancel health",
    .usage = "[-c FILE] [--ready]",
    .summary = "Asks the worker that runs with this configuration on this machine how it is, at\n"
               "its admin.listen, and prints its answer.",
    .options = options,
    .more = "Exit codes: 0 well, 1 not well or no answer, 2 bad configuration or usage.",
};

/* A worker that listens on every address is asked on this machine's own. */
static void own_address(const char *listen, char *address, size_t size)
{
    const char *port = strrchr(listen, ':');
    bool every = strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0;
    if (every)
        (void)snprintf(address, size, "%s%s", listen[0] == '[' ? "[::1]" : "127.0.0.1", port);
    else
        (void)snprintf(address, size, "%s", listen);
}

static int ask(const char *address, const char *path)
{
    char url[320];
    struct error err;
    struct buffer body;
    buffer_init(&body, BODY_MOST);
    (void)snprintf(url, sizeof(url), "http://%s%s", address, path);
    int status = http_probe(url, TIMEOUT_MS, &body, &err);
    if (status < 0)
        fprintf(stderr, "kancel health: %s: %s\n", url, err.message);
    else
        fprintf(status == 200 ? stdout : stderr, "%.*s", SLICE_ARG(buffer_slice(&body)));
    buffer_release(&body);
    return status == 200 ? EXIT_DONE : EXIT_FATAL;
}

int run_health(int argc, char **argv)
{
    struct args args;
    char address[280];
    int code = subcommand_begin(&command_health, argc, argv, &args);
    if (code >= 0)
        return code;
    struct config *config = subcommand_config(&args, &code);
    if (!config)
        goto done;
    const char *listen = config->admin_listen;
    if (!listen || strcmp(listen + strlen(listen) - 2, ":0") == 0) {
        fputs("kancel health: admin.listen: expected an address with a port to ask\n", stderr);
        code = EXIT_USAGE;
    } else {
        own_address(listen, address, sizeof(address));
        code = ask(address, args_given(&args, "ready") ? "/readyz" : "/livez");
    }
    config_free(config);
done:
    args_release(&args);
    return code;
}
