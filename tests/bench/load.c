/*
 * kancel-load: sends commands, reads their results (read_committed) and tells how it went.
 *
 *   kancel-load [OPTION]... BROKERS COMMANDS RESULTS PROVIDER COUNT RATE [PID [OTHER EVERY]]
 *
 *   --keys N      so many keys, in turn, whose results must come in the order of their commands;
 *                 without it each command has a key of its own
 *   --tasks N     so many tasks, in turn; without it each command has a task of its own
 *   --accounts N  the commands name the accounts a0, a1, ... in turn
 *   --ahead N     never more than N commands without a result
 *   --book FILE   writes one line a command: when it was sent, on the monotonic clock, and its
 *                 latency, both in us
 *   --wait        sends all, prints "sent", and begins with a line "PID STARTED" of its input: the
 *                 worker and when it was started (CLOCK_MONOTONIC, us)
 *
 * RATE is commands a second, 0: all at once. SIGTERM ends the sending early. Every command is a
 * cancel. Prints one JSON object: rate and, where a worker's PID is given (0: none), its CPU time
 * a command, both over the middle 80 % of the results; latency from handing the command to the producer to reading the result; the
 * worker's memory: the most, and what it had at 10 % and at 90 %; the time to the first result and
 * the longest time without one; how many did not succeed. With OTHER, each EVERY-th command goes to
 * that provider: none of the figures counts it, but it must be answered too, and `other`,
 * `other_bad` and `other_s` say how many there were, how many of them did not succeed and how long
 * they took, all in all.
 */
#include <getopt.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "common/banned.h"

enum { COUNT_MAX = 10000000, TIMEOUT_S = 300, TAKE_BATCH = 1000 };

struct mark {
    int64_t at_us, cpu_us;
    long memory_kib;
};

struct load {
    rd_kafka_t *producer, *consumer;
    rd_kafka_queue_t *queue;
    const char *commands, *results, *provider, *other, *book;
    long count, rate, pid, every;      /* every 0: all go to the provider */
    long keys, tasks, accounts, ahead; /* 0: as many as commands; no name; no bound */
    long *last;                        /* by key: the command answered last */
    bool wait;
    long total, sent, read, other_read, bad, other_bad;
    int64_t *sent_us, *latency_us;               /* by number; latency -1: no result yet */
    struct mark early, late;                     /* at 10 % and at 90 % */
    int64_t began_us, first_us, last_us, gap_us; /* results; 0: none yet */
    char run[32]; /* in the ids, so that other runs' results are not taken */
};

static volatile sig_atomic_t enough; /* SIGTERM came */

static void on_signal(int number)
{
    (void)number;
    enough = 1;
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "kancel-load: %s: %s\n", what, why);
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > max)
        die(text, "not a number in range");
    return value;
}

/* The worker's CPU time so far; 0 without one. */
static int64_t cpu_us(long pid)
{
    struct timespec spent;
    clockid_t clock;
    if (!pid || clock_getcpuclockid((pid_t)pid, &clock) || clock_gettime(clock, &spent))
        return 0;
    return (int64_t)spent.tv_sec * 1000000 + spent.tv_nsec / 1000;
}

/* A line of the worker's status: "VmRSS:" its memory, "VmHWM:" the most that it ever had; KiB. */
static long memory_kib(long pid, const char *name)
{
    char path[64], line[256];
    long kib = 0;
    FILE *file;
    snprintf(path, sizeof(path), "/proc/%ld/status", pid);
    file = pid ? fopen(path, "r") : NULL;
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    }
    if (file)
        fclose(file);
    return kib;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char problem[256];
    if (rd_kafka_conf_set(conf, name, value, problem, sizeof(problem)) != RD_KAFKA_CONF_OK)
        die(name, problem);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers)
{
    char problem[256];
    rd_kafka_t *rk;
    set(conf, "bootstrap.servers", brokers);
    rk = rd_kafka_new(type, conf, problem, sizeof(problem));
    if (!rk)
        die("client", problem);
    return rk;
}

/* A consumer at the present end of every partition of the results. */
static void open_consumer(struct load *load, const char *brokers)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const rd_kafka_metadata_t *metadata;
    rd_kafka_topic_t *topic;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    set(conf, "group.id", "kancel-load");
    set(conf, "enable.auto.commit", "false");
    set(conf, "isolation.level", "read_committed");
    load->consumer = client(RD_KAFKA_CONSUMER, conf, brokers);
    rd_kafka_poll_set_consumer(load->consumer);
    topic = rd_kafka_topic_new(load->consumer, load->results, NULL);
    if (rd_kafka_metadata(load->consumer, 0, topic, &metadata, 10000) ||
        metadata->topics[0].partition_cnt == 0)
        die(load->results, "no such topic");
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++) {
        int64_t low, high;
        int tries = 100;
        /* A new topic's leader is elected a moment later. */
        while (rd_kafka_query_watermark_offsets(load->consumer, load->results, i, &low, &high,
                                                10000)) {
            if (--tries == 0)
                die(load->results, "no offsets");
            usleep(100000);
        }
        rd_kafka_topic_partition_list_add(list, load->results, i)->offset = high;
    }
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    if (rd_kafka_assign(load->consumer, list))
        die(load->results, "cannot be assigned");
    rd_kafka_topic_partition_list_destroy(list);
    load->queue = rd_kafka_queue_get_consumer(load->consumer);
}

static bool is_other(const struct load *load, long i)
{
    return load->every > 0 && i % load->every == load->every - 1;
}

static int write_task(const struct load *load, const char *provider, long i, char *task,
                      size_t size)
{
    if (load->tasks)
        i %= load->tasks;
    if (strcmp(provider, "enos") == 0)
        return snprintf(task, size, "{\"channelId\":\"ch\",\"taskId\":\"%s-%ld\"}", load->run, i);
    if (strcmp(provider, "scnet") == 0)
        return snprintf(task, size, "{\"taskIds\":[\"%s-%ld\"]}", load->run, i);
    if (strcmp(provider, "koodrive") == 0)
        return snprintf(task, size, "{\"jobId\":\"%s%ld\"}", load->run, i);
    die(provider, "expected enos, scnet or koodrive");
}

static bool send_one(struct load *load)
{
    char value[512], task[128], key[32], account[64] = "";
    long i = load->sent;
    int key_len = snprintf(key, sizeof(key), "k%ld", load->keys ? i % load->keys : i);
    int len;
    const char *provider = is_other(load, i) ? load->other : load->provider;
    write_task(load, provider, i, task, sizeof(task));
    if (load->accounts)
        snprintf(account, sizeof(account), "\"account\":\"a%ld\",", i % load->accounts);
    len = snprintf(value, sizeof(value),
                   "{\"id\":\"%s:%ld\",\"operation\":\"cancel\",\"provider\":\"%s\",%s\"task\":%s}",
                   load->run, i, provider, account, task);
    load->sent_us[i] = now_us();
    if (rd_kafka_producev(load->producer, RD_KAFKA_V_TOPIC(load->commands),
                          RD_KAFKA_V_KEY(key, (size_t)key_len),
                          RD_KAFKA_V_VALUE(value, (size_t)len),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END))
        return false;
    load->sent++;
    return true;
}

static struct mark mark_now(const struct load *load)
{
    return (struct mark){now_us(), cpu_us(load->pid), memory_kib(load->pid, "VmRSS:")};
}

/* The number behind the run's name in "commandId":"RUN:NUMBER"; -1: not one of ours. */
static long number_of_result(const struct load *load, const rd_kafka_message_t *message)
{
    char wanted[64];
    int len = snprintf(wanted, sizeof(wanted), "\"commandId\":\"%s:", load->run);
    const char *found = memmem(message->payload, message->len, wanted, (size_t)len);
    return found ? strtol(found + len, NULL, 10) : -1;
}

static void take(struct load *load, const rd_kafka_message_t *message)
{
    long i = message->err ? -1 : number_of_result(load, message);
    if (i < 0 || i >= load->sent)
        return;
    if (load->latency_us[i] >= 0)
        die("result", "came twice");
    if (load->keys) {
        long *last = &load->last[i % load->keys];
        if (i < *last)
            die("result", "came before one that its key has behind it");
        *last = i;
    }
    bool good = memmem(message->payload, message->len, "\"outcome\":\"succeeded\"", 21) != NULL;
    int64_t now = now_us();
    load->latency_us[i] = now - load->sent_us[i];
    if (!load->first_us)
        load->first_us = now;
    else if (now - load->last_us > load->gap_us)
        load->gap_us = now - load->last_us;
    load->last_us = now;
    if (is_other(load, i)) {
        load->other_read++;
        load->other_bad += !good;
        return;
    }
    load->bad += !good;
    load->read++;
    if (load->read == load->count / 10)
        load->early = mark_now(load);
    if (load->read == load->count - load->count / 10)
        load->late = mark_now(load);
}

/* No more is sent: what was is all that is waited for. */
static void stop_sending(struct load *load)
{
    load->total = load->sent;
    load->count = 0;
    for (long i = 0; i < load->total; i++)
        load->count += !is_other(load, i);
}

/* All commands stand in their topic before the worker is started. */
static void send_ahead(struct load *load)
{
    char line[128], *end;
    while (load->sent < load->total)
        if (!send_one(load))
            rd_kafka_poll(load->producer, 20);
    if (rd_kafka_flush(load->producer, TIMEOUT_S * 1000))
        die("commands", "were not all taken");
    puts("sent");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        die("input", "expected PID STARTED");
    load->pid = strtol(line, &end, 10);
    load->began_us = strtoll(end, NULL, 10);
}

/* How many may be sent by now. */
static long due_now(const struct load *load)
{
    int64_t due = load->rate ? (now_us() - load->began_us) * load->rate / 1000000 : load->total;
    int64_t bound = load->ahead ? load->read + load->other_read + load->ahead : load->total;
    due = due < bound ? due : bound;
    return due < load->total ? (long)due : load->total;
}

static void run(struct load *load)
{
    rd_kafka_message_t *messages[TAKE_BATCH];
    load->began_us = now_us();
    if (load->wait)
        send_ahead(load);
    while (load->read + load->other_read < load->total) {
        long due = due_now(load);
        ssize_t taken;
        if (enough && load->sent < load->total)
            stop_sending(load);
        while (load->sent < load->total && load->sent < due && send_one(load))
            ;
        rd_kafka_poll(load->producer, 0);
        taken = rd_kafka_consume_batch_queue(load->queue, load->sent < load->total ? 0 : 5,
                                             messages, TAKE_BATCH);
        for (ssize_t i = 0; i < taken; i++) {
            take(load, messages[i]);
            rd_kafka_message_destroy(messages[i]);
        }
        if (taken <= 0 && load->sent < load->total)
            usleep(200);
        if (now_us() - (load->last_us ? load->last_us : load->began_us) >
            TIMEOUT_S * INT64_C(1000000))
            die("results", "did not all come");
    }
}

static int order(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* Moves the latencies that count to the front. */
static void drop_others(struct load *load)
{
    long kept = 0;
    for (long i = 0; i < load->total; i++)
        if (!is_other(load, i))
            load->latency_us[kept++] = load->latency_us[i];
}

static void write_book(const struct load *load)
{
    FILE *book = fopen(load->book, "w");
    if (!book)
        die(load->book, "cannot be written");
    for (long i = 0; i < load->total; i++)
        fprintf(book, "%" PRId64 " %" PRId64 "\n", load->sent_us[i], load->latency_us[i]);
    if (fclose(book) != 0)
        die(load->book, "cannot be written");
}

static void report(struct load *load)
{
    if (load->book)
        write_book(load);
    drop_others(load);
    if (load->late.at_us == 0) /* it ended early */
        load->late = mark_now(load);
    double middle = (double)(load->count - 2 * (load->count / 10));
    double seconds = (double)(load->late.at_us - load->early.at_us) / 1e6;
    qsort(load->latency_us, (size_t)load->count, sizeof(*load->latency_us), order);
    printf("{\"per_s\": %.1f, \"cpu_us\": %.2f, \"memory_mib\": %.1f, \"early_mib\": %.1f, "
           "\"late_mib\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, ",
           middle / seconds, (double)(load->late.cpu_us - load->early.cpu_us) / middle,
           (double)memory_kib(load->pid, "VmHWM:") / 1024, (double)load->early.memory_kib / 1024,
           (double)load->late.memory_kib / 1024, (double)load->latency_us[load->count / 2] / 1e3,
           (double)load->latency_us[load->count * 99 / 100] / 1e3);
    printf("\"first_s\": %.3f, \"gap_s\": %.3f, \"bad\": %ld, \"other\": %ld, \"other_bad\": %ld, "
           "\"other_s\": %.1f}\n",
           (double)(load->first_us - load->began_us) / 1e6, (double)load->gap_us / 1e6, load->bad,
           load->other_read, load->other_bad, (double)(load->last_us - load->began_us) / 1e6);
}

static _Noreturn void usage(void)
{
    fputs("usage: kancel-load [OPTION]... BROKERS COMMANDS RESULTS PROVIDER COUNT RATE "
          "[PID [OTHER EVERY]]\n",
          stderr);
    exit(2);
}

/* Takes the options away from argv; returns how many words are left. */
static int read_options(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {{"keys", required_argument, NULL, 'k'},
                                            {"tasks", required_argument, NULL, 't'},
                                            {"accounts", required_argument, NULL, 'a'},
                                            {"ahead", required_argument, NULL, 'h'},
                                            {"book", required_argument, NULL, 'b'},
                                            {"wait", no_argument, NULL, 'w'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'k':
            load->keys = number(optarg, COUNT_MAX);
            break;
        case 't':
            load->tasks = number(optarg, COUNT_MAX);
            break;
        case 'a':
            load->accounts = number(optarg, COUNT_MAX);
            break;
        case 'h':
            load->ahead = number(optarg, COUNT_MAX);
            break;
        case 'b':
            load->book = optarg;
            break;
        case 'w':
            load->wait = true;
            break;
        default:
            usage();
        }
    }
    memmove(argv + 1, argv + optind, (size_t)(argc - optind) * sizeof(*argv));
    return argc - optind + 1;
}

int main(int argc, char **argv)
{
    struct load load = {.read = 0};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    argc = read_options(&load, argc, argv);
    if (argc < 7)
        usage();
    load.commands = argv[2];
    load.results = argv[3];
    load.provider = argv[4];
    load.count = number(argv[5], COUNT_MAX);
    load.rate = number(argv[6], COUNT_MAX);
    load.pid = argc > 7 ? number(argv[7], INT32_MAX) : 0;
    load.other = argc > 9 ? argv[8] : NULL;
    load.every = argc > 9 ? number(argv[9], COUNT_MAX) : 0;
    if (load.every == 1)
        die("EVERY", "expected 2 or more");
    load.total = load.count + (load.every ? load.count / (load.every - 1) : 0);
    if (load.count < 100)
        die("COUNT", "expected at least 100");
    snprintf(load.run, sizeof(load.run), "%d", (int)getpid());
    load.sent_us = calloc((size_t)load.total, sizeof(*load.sent_us));
    load.latency_us = malloc((size_t)load.total * sizeof(*load.latency_us));
    load.last = calloc((size_t)load.keys + 1, sizeof(*load.last));
    if (!load.sent_us || !load.latency_us || !load.last)
        die("memory", "out of it");
    memset(load.latency_us, 0xff, (size_t)load.total * sizeof(*load.latency_us));
    set(conf, "partitioner", "murmur2_random");
    set(conf, "linger.ms", load.rate ? "0" : "5");
    set(conf, "queue.buffering.max.messages", "1000000");
    load.producer = client(RD_KAFKA_PRODUCER, conf, argv[1]);
    open_consumer(&load, argv[1]);
    signal(SIGTERM, on_signal);
    run(&load);
    report(&load);
    rd_kafka_queue_destroy(load.queue);
    rd_kafka_consumer_close(load.consumer);
    rd_kafka_destroy(load.consumer);
    rd_kafka_destroy(load.producer);
    free(load.sent_us);
    free(load.latency_us);
    free(load.last);
    return 0;
}
