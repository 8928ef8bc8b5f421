#include "worker/app/config.h"
#include "worker/app/config_internal.h"
#include "worker/core/breaker.h"

#include "common/banned.h"

/* A day and a month, for bounds. */
#define HOURS_MS(n) ((n)*INT64_C(3600000))
#define ROWS_END                                                                                   \
    {                                                                                              \
        .path = NULL                                                                               \
    }

const struct option config_top_rows[] = {
    {.path = "delivery",
     .type = OPTION_CHOICE,
     .default_text = "exactly_once",
     .choices = "exactly_once|at_least_once",
     .help =
         "exactly_once: results and the progress made are committed in one Kafka transaction.\n"
         "at_least_once: results first, then the progress; after a crash or a rebalance some come\n"
         "twice."},
    {.path = "ordering",
     .type = OPTION_CHOICE,
     .default_text = "key",
     .choices = "key|task|partition|none",
     .help = "What is done one after another: commands of one record key, of one task of the\n"
             "provider, of one partition, or nothing. Results of one key always keep their order."},
    ROWS_END,
};

const struct option config_kafka_rows[] = {
    {.path = "bootstrap_servers",
     .type = OPTION_STRING,
     .default_text = "localhost:9092",
     .help = "Brokers to begin with, HOST:PORT, separated by commas."},
    {.path = "group",
     .type = OPTION_STRING,
     .default_text = "kancel",
     .help = "The consumer group that the workers share the commands in."},
    {.path = "commands",
     .type = OPTION_LIST,
     .default_text = "task-commands",
     .help = "Topics with commands: names, or patterns that begin with ^ (POSIX extended).\n"
             "The worker's own output topics may not be among them."},
    {.path = "results",
     .type = OPTION_STRING,
     .default_text = "task-results",
     .help = "The topic of the results, unless a command asks for its answer elsewhere."},
    {.path = "dead_letters",
     .type = OPTION_STRING,
     .default_text = "task-commands-dead",
     .help = "The topic of records that are no valid command, byte for byte as they came."},
    {.path = "reply_topics",
     .type = OPTION_LIST,
     .help =
         "Topics that a requester may ask its answer into (header kafka_replyTopic): names, or\n"
         "patterns that begin with ^. Empty: none, every result goes to the results topic."},
    {.path = "headers.reply_topic",
     .type = OPTION_STRING,
     .default_text = "kafka_replyTopic",
     .help = "The record header that names the reply topic."},
    {.path = "headers.reply_partition",
     .type = OPTION_STRING,
     .default_text = "kafka_replyPartition",
     .help = "The record header that names its partition (4 bytes, big-endian)."},
    {.path = "headers.correlation_id",
     .type = OPTION_STRING,
     .default_text = "kafka_correlationId",
     .help = "The record header that is echoed byte for byte in the result."},
    {.path = "properties",
     .type = OPTION_MAP,
     .help = "Any of librdkafka's properties, given to the client that knows it; values may be "
             "secrets\n"
             "({file: PATH}). Those that would void a promise of the worker are refused."},
    ROWS_END,
};

const struct option config_worker_rows[] = {
    {.path = "instance_id",
     .type = OPTION_STRING,
     .default_text = "",
     .help =
         "Empty: a dynamic member of the group. Set (unique, such as a pod's ordinal): a static\n"
         "member with a fixed transactional id, which takes over faster after a crash."},
    {.path = "calls",
     .type = OPTION_INTEGER,
     .default_text = "1000",
     .minimum = 1,
     .maximum = 10000,
     .help =
         "HTTP calls in flight, all accounts together. With several accounts none has more than\n"
         "it leaves free: half, where the others are idle."},
    {.path = "window",
     .type = OPTION_INTEGER,
     .default_text = "1000",
     .minimum = 1,
     .maximum = 4000,
     .help =
         "Commands of one partition that are taken and not yet published; above it the partition\n"
         "is paused. 4000 is what the commit's metadata can hold."},
    {.path = "drain",
     .type = OPTION_DURATION,
     .default_text = "25s",
     .maximum = HOURS_MS(1),
     .help = "How long calls may finish after SIGTERM. Keep it below the supervisor's patience."},
    {.path = "revoke_drain",
     .type = OPTION_DURATION,
     .default_text = "2s",
     .maximum = 60000,
     .help = "How long calls may finish when a partition moves to another worker."},
    {.path = "max_age",
     .type = OPTION_DURATION,
     .default_text = "24h",
     .help = "Commands older than this (by their record's time) are answered expired. 0s: never."},
    {.path = "stuck_after",
     .type = OPTION_DURATION,
     .default_text = "60s",
     .minimum = 1000,
     .maximum = HOURS_MS(24),
     .help =
         "A partition whose oldest command is the same for so long is logged and counted with the\n"
         "reason; where it is Kafka's or the worker's own, not a provider's, /readyz fails."},
    {.path = "leave_after",
     .type = OPTION_DURATION,
     .default_text = "5m",
     .minimum = 2000,
     .maximum = HOURS_MS(24),
     .help =
         "A worker that could not use Kafka for so long (no broker, no producer, positions or\n"
         "output topics not readable, nothing committed) leaves with exit 1, so that its copies\n"
         "take over. Longer than stuck_after."},
    {.path = "proxy",
     .type = OPTION_SECRET,
     .help = "An HTTP proxy for every call, http://HOST:PORT. Not set: none; the environment's\n"
             "http_proxy is never used."},
    {.path = "deny_addresses",
     .type = OPTION_LIST,
     .help =
         "Address ranges that no call and no sign-in may connect to (169.254.0.0/16, fc00::/7),\n"
         "whatever a name resolves to. Empty: endpoints may be anywhere. Not with a proxy, whose\n"
         "address would be the only one seen."},
    ROWS_END,
};

const struct option config_admin_rows[] = {
    {.path = "listen",
     .type = OPTION_STRING,
     .default_text = "127.0.0.1:9464",
     .help = "Where the page (/), /livez, /readyz, /startupz and /metrics are served: HOST:PORT;\n"
             "port 0: any free port (logged); 'off': nowhere."},
    {.path = "token",
     .type = OPTION_SECRET,
     .help = "What must be shown (Authorization: Bearer) to hold and resume accounts and to drain\n"
             "over HTTP. Not set: nobody can."},
    ROWS_END,
};

const struct option config_tracing_rows[] = {
    {.path = "endpoint",
     .type = OPTION_STRING,
     .default_text = "",
     .help = "Where spans are sent, OTLP over HTTP with JSON: http://collector:4318/v1/traces.\n"
             "Empty: none are made; a command's traceparent goes on to the provider all the same."},
    {.path = "insecure_http",
     .type = OPTION_BOOL,
     .default_text = "false",
     .help = "Allow http:// to other hosts than this one."},
    {.path = "service_name",
     .type = OPTION_STRING,
     .default_text = "kancel",
     .help = "service.name of the spans."},
    {.path = "authorization",
     .type = OPTION_SECRET,
     .help = "The Authorization header for the collector. Not set: none."},
    ROWS_END,
};

const struct option config_log_rows[] = {
    {.path = "level",
     .type = OPTION_CHOICE,
     .default_text = "info",
     .choices = "error|warn|info|debug",
     .help = "The least that is logged. Each result is one line at info."},
    {.path = "format",
     .type = OPTION_CHOICE,
     .default_text = "logfmt",
     .choices = "logfmt|json",
     .help = "logfmt: key=value pairs. json: one object a line."},
    ROWS_END,
};

const struct option config_account_rows[] = {
    {.path = "provider",
     .type = OPTION_STRING,
     .required = true,
     .help = "Whose API it is; 'kancel --help' lists the names."},
    {.path = "endpoint",
     .type = OPTION_STRING,
     .required = true,
     .help = "The provider's base URL. http:// only to loopback, or with insecure_http."},
    {.path = "insecure_http",
     .type = OPTION_BOOL,
     .default_text = "false",
     .help = "Allows http:// to any host: credentials then travel in the clear."},
    {.path = "hold",
     .type = OPTION_BOOL,
     .default_text = "false",
     .help =
         "Maintenance: no call goes to this account, its commands wait (until their deadlines)."},
    {.path = "dry_run",
     .type = OPTION_BOOL,
     .default_text = "false",
     .help = "Commands are checked and answered (refused, dryRun) in place of a call."},
    {.path = "overflow",
     .type = OPTION_CHOICE,
     .default_text = "wait",
     .choices = "wait|fail",
     .help =
         "With several accounts, one may take of each partition's window (and of worker.calls) as\n"
         "much as it leaves free. Beyond that its commands wait: the partition pauses; or fail: "
         "they\n"
         "are answered failed/unavailable at once, for accounts that may be slow and must not "
         "hold\n"
         "up others."},
    {.path = "confirm",
     .type = OPTION_BOOL,
     .help =
         "Ask the status once after a cancel whose answer does not tell it. Default: true where\n"
         "a provider has such answers (koodrive, iotda for whole tasks, enos from 3.0), else "
         "false."},
    {.path = "limits.concurrency",
     .type = OPTION_INTEGER,
     .minimum = 1,
     .maximum = 10000,
     .help =
         "Calls in flight to this account. Default: 4 where commands share calls (scnet), so that\n"
         "those that wait gather; else 100."},
    {.path = "limits.adaptive",
     .type = OPTION_BOOL,
     .default_text = "true",
     .help =
         "Fewer calls in flight while the provider throttles, times out or slows down; back up to\n"
         "the limit when it has recovered."},
    {.path = "limits.rate",
     .type = OPTION_RATE,
     .default_text = "0/s",
     .help = "Calls begun per time, of this worker: 200/s, 30/m, 0.5/s. 0/s: no limit."},
    {.path = "limits.batch",
     .type = OPTION_INTEGER,
     .default_text = "100",
     .minimum = 1,
     .maximum = 1000,
     .help =
         "Most ids in one call, where the provider takes several (scnet 500, iotda 100 targets\n"
         "to stop)."},
    {.path = "limits.linger",
     .type = OPTION_DURATION,
     .default_text = "0ms",
     .maximum = 10000,
     .help =
         "How long a command waits for others to share its call, unless they fill it before. With\n"
         "0ms it goes at once while a slot is free; those that wait for a slot share calls "
         "anyway."},
    {.path = "limits.timeout",
     .type = OPTION_DURATION,
     .default_text = "10s",
     .minimum = 100,
     .maximum = 600000,
     .help = "For one HTTP call, its connection included."},
    {.path = "limits.connect_timeout",
     .type = OPTION_DURATION,
     .default_text = "3s",
     .minimum = 10,
     .maximum = 600000,
     .help = "For the connection alone."},
    {.path = "limits.share",
     .type = OPTION_CHOICE,
     .default_text = "worker",
     .choices = "worker|group",
     .help =
         "worker: the rate is each worker's own. group: it is the whole group's, and a worker has\n"
         "of it what it has of the partitions of kafka.commands (names only, then)."},
    {.path = "retry.attempts",
     .type = OPTION_INTEGER,
     .default_text = "6",
     .minimum = 1,
     .maximum = 1000,
     .help =
         "Most calls that try a command's operation itself; failed probes of an open breaker do\n"
         "not count."},
    {.path = "breaker.failures",
     .type = OPTION_INTEGER,
     .default_text = "50",
     .minimum = 0,
     .maximum = 100,
     .help =
         "When so many of a hundred calls of an operation fail (no answer, or the provider's own\n"
         "error), its commands are held and single calls probe until one is answered. 0: never."},
    {.path = "breaker.minimum",
     .type = OPTION_INTEGER,
     .default_text = "5",
     .minimum = 1,
     .maximum = BREAKER_CALLS,
     .help = "Fewer calls in the window never open it."},
    {.path = "breaker.window",
     .type = OPTION_DURATION,
     .default_text = "10s",
     .minimum = 100,
     .maximum = HOURS_MS(1),
     .help = "How far back calls count, the last 100 at most."},
    {.path = "breaker.probe",
     .type = OPTION_DURATION_RANGE,
     .default_text = "1s..5s",
     .minimum = 10,
     .maximum = HOURS_MS(1),
     .help = "Between two probes: at first, and at most; it doubles with each one that fails."},
    {.path = "retry.backoff",
     .type = OPTION_DURATION_RANGE,
     .default_text = "200ms..30s",
     .minimum = 1,
     .maximum = HOURS_MS(1),
     .help =
         "The first and the longest wait between tries; it doubles in between, with full jitter.\n"
         "A provider's Retry-After counts instead, for the whole account."},
    {.path = "retry.give_up_after",
     .type = OPTION_DURATION,
     .default_text = "5m",
     .minimum = 1,
     .maximum = HOURS_MS(24),
     .help = "No further try so long after a command's first call, or its record's time where a\n"
             "crash may hide a call. A failed probe of an open breaker is nobody's first call."},
    {.path = "settle.poll",
     .type = OPTION_DURATION_RANGE,
     .default_text = "1s..30s",
     .minimum = 10,
     .maximum = HOURS_MS(1),
     .help = "How often the status is asked for a command that waits until the task has settled:\n"
             "soon at first, then less and less."},
    {.path = "settle.limit",
     .type = OPTION_DURATION,
     .default_text = "1h",
     .minimum = 1000,
     .maximum = HOURS_MS(24 * 31),
     .help = "How long such a command waits where it has no expiresAt of its own."},
    {.path = "allow.topics",
     .type = OPTION_LIST,
     .help = "The command topics that may use this account. Left out: all."},
    {.path = "allow.operations", .type = OPTION_LIST, .help = "cancel, status. Left out: both."},
    {.path = "tls.ca_file",
     .type = OPTION_STRING,
     .help = "Certificates (PEM) to trust instead of the system's; seen from this file's folder."},
    {.path = "tls.certificate_file",
     .type = OPTION_STRING,
     .help = "A client certificate (PEM), with key_file."},
    {.path = "tls.key_file", .type = OPTION_STRING, .help = "Its private key (PEM)."},
    ROWS_END,
};

const struct config_section config_sections[] = {
    {"kafka", config_kafka_rows},        {"", config_top_rows},
    {"worker", config_worker_rows},      {"admin", config_admin_rows},
    {"tracing", config_tracing_rows},    {"log", config_log_rows},
    {"accounts.*", config_account_rows}, {NULL, NULL},
};
