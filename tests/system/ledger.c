/*
 * kancel-ledger: asks for cancels without end and keeps the books, for the chaos test.
 *
 *   kancel-ledger BROKERS COMMANDS RESULTS REPLIES BOOK RATE KEYS
 *
 * Commands are written in transactions of a fifth of a second, RATE commands a second; every fifth
 * transaction is aborted. Command N cancels the enos task RUN-N under key N modulo KEYS; every
 * twentieth asks for its result in REPLIES, which may vanish. Results are read read_committed from
 * both topics. Twice a second a line of JSON says how it goes. When its input ends it asks no more,
 * waits for what is due (or until nothing came for PATIENCE_S), listens a little longer for
 * doubles, prints the totals and writes BOOK: the run's name and one letter a command: a  in an
 * aborted transaction           A  such a command, and it was answered u  not known whether it was
 * committed, and not answered c  answered once    d  answered more than once    m  not answered v
 * not answered in REPLIES (if that vanished, the result may have gone with it)
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "common/banned.h"

enum {
    COMMANDS_MAX = 4 * 1000 * 1000,
    TURN_MS = 200,
    ABORT_EVERY = 5,
    REPLY_EVERY = 20,
    REPORT_MS = 500,
    PATIENCE_S = 180,
    LISTEN_MS = 2000,
    CALL_MS = 10 * 1000,
};

enum fate { FATE_NONE, FATE_COMMITTED, FATE_ABORTED, FATE_UNKNOWN };

struct books {
    const char *brokers, *commands, *results, *replies;
    long rate, keys;
    char run[32];
    rd_kafka_t *producer;

    /* The asking thread's. */
    unsigned char *fates; /* enum fate, by number */
    atomic_long next;     /* the next number */
    atomic_long committed, aborted, unknown;

    /* The reading thread's. */
    unsigned char *answers; /* how often, by number */
    int32_t *last;          /* by topic and key: the last number answered */
    atomic_long answered, doubled, disordered, not_succeeded, foreign;
    atomic_llong last_ms; /* of the last answer */
    atomic_long longest_ms;
    atomic_bool done;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "kancel-ledger: %s: %s\n", what, why);
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
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
    set(conf, "log_level", "2");
    rk = rd_kafka_new(type, conf, problem, sizeof(problem));
    if (!rk)
        die("client", problem);
    return rk;
}

/* ---- asking ---- */

static void open_producer(struct books *books)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "transactional.id", books->run);
    set(conf, "partitioner", "murmur2_random");
    set(conf, "retry.backoff.ms", "5");
    books->producer = client(RD_KAFKA_PRODUCER, conf, books->brokers);
    for (;;) {
        rd_kafka_error_t *error = rd_kafka_init_transactions(books->producer, CALL_MS);
        if (!error)
            return;
        if (!rd_kafka_error_is_retriable(error))
            die("init_transactions", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}

static bool asks_for_reply(long number)
{
    return number % REPLY_EVERY == 0;
}

static rd_kafka_resp_err_t ask(struct books *books, long number)
{
    char value[256], key[32];
    int key_len = snprintf(key, sizeof(key), "k%ld", number % books->keys);
    int len = snprintf(value, sizeof(value),
                       "{\"id\":\"%s:%ld\",\"operation\":\"cancel\",\"provider\":\"enos\","
                       "\"task\":{\"channelId\":\"ch\",\"taskId\":\"%s-%ld\"}}",
                       books->run, number, books->run, number);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_resp_err_t code;
    if (asks_for_reply(number))
        rd_kafka_header_add(headers, "kafka_replyTopic", -1, books->replies, -1);
    code = rd_kafka_producev(books->producer, RD_KAFKA_V_TOPIC(books->commands),
                             RD_KAFKA_V_KEY(key, (size_t)key_len),
                             RD_KAFKA_V_VALUE(value, (size_t)len), RD_KAFKA_V_HEADERS(headers),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (code)
        rd_kafka_headers_destroy(headers);
    return code;
}

/* Ends the transaction; what became of it. */
static enum fate end(struct books *books, bool commit)
{
    for (;;) {
        rd_kafka_error_t *error = commit ? rd_kafka_commit_transaction(books->producer, CALL_MS)
                                         : rd_kafka_abort_transaction(books->producer, CALL_MS);
        bool again, abort;
        if (!error)
            return commit ? FATE_COMMITTED : FATE_ABORTED;
        again = rd_kafka_error_is_retriable(error) != 0;
        abort = rd_kafka_error_txn_requires_abort(error) != 0;
        fprintf(stderr, "kancel-ledger: %s: %s\n", commit ? "commit" : "abort",
                rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        if (abort && commit)
            commit = false;
        else if (!again)
            return commit ? FATE_UNKNOWN : FATE_ABORTED;
    }
}

/* One transaction of `count` commands. */
static void ask_many(struct books *books, long count, bool commit)
{
    long first = atomic_load(&books->next);
    rd_kafka_error_t *error = rd_kafka_begin_transaction(books->producer);
    enum fate fate = FATE_ABORTED;
    if (error) {
        fprintf(stderr, "kancel-ledger: begin: %s\n", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        count = 0;
    }
    for (long i = 0; i < count && !ask(books, first + i); i++)
        rd_kafka_poll(books->producer, 0);
    if (!error) {
        /* Also what is to be aborted gets to the brokers first: readers must skip it there. */
        rd_kafka_flush(books->producer, CALL_MS);
        fate = end(books, commit);
    }
    memset(books->fates + first, fate, (size_t)count);
    atomic_fetch_add(fate == FATE_COMMITTED ? &books->committed
                     : fate == FATE_ABORTED ? &books->aborted
                                            : &books->unknown,
                     count);
    atomic_fetch_add(&books->next, count);
    if (error || fate == FATE_UNKNOWN || rd_kafka_fatal_error(books->producer, NULL, 0)) {
        rd_kafka_destroy(books->producer);
        open_producer(books);
    }
}

/* ---- reading ---- */

static int add_all(rd_kafka_t *rk, const char *topic, rd_kafka_topic_partition_list_t *list)
{
    const rd_kafka_metadata_t *metadata;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int count;
    if (rd_kafka_metadata(rk, 0, rkt, &metadata, CALL_MS))
        die(topic, "no metadata");
    count = metadata->topics[0].partition_cnt;
    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(rkt);
    return count;
}

static rd_kafka_t *open_consumer(const struct books *books)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    rd_kafka_t *rk;
    set(conf, "group.id", "kancel-ledger");
    set(conf, "enable.auto.commit", "false");
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "isolation.level", "read_committed");
    rk = client(RD_KAFKA_CONSUMER, conf, books->brokers);
    rd_kafka_poll_set_consumer(rk);
    if (add_all(rk, books->results, list) == 0 || add_all(rk, books->replies, list) == 0)
        die(books->results, "no such topic");
    if (rd_kafka_assign(rk, list))
        die(books->results, "cannot be assigned");
    rd_kafka_topic_partition_list_destroy(list);
    return rk;
}

static bool holds(const rd_kafka_message_t *message, const char *text)
{
    return memmem(message->payload, message->len, text, strlen(text)) != NULL;
}

/* The number in "commandId":"RUN:NUMBER"; -1: not one of ours. */
static long number_of(const struct books *books, const rd_kafka_message_t *message)
{
    char wanted[64];
    int len = snprintf(wanted, sizeof(wanted), "\"commandId\":\"%s:", books->run);
    const char *found = memmem(message->payload, message->len, wanted, (size_t)len);
    return found ? strtol(found + len, NULL, 10) : -1;
}

static void take(struct books *books, const rd_kafka_message_t *message)
{
    long number = message->err ? -1 : number_of(books, message);
    int64_t now = now_ms(), gap = now - atomic_load(&books->last_ms);
    int32_t *last;
    if (message->err)
        return;
    if (number < 0 || number >= COMMANDS_MAX) {
        atomic_fetch_add(&books->foreign, 1);
        return;
    }
    atomic_fetch_add(books->answers[number] == 0 ? &books->answered : &books->doubled, 1);
    if (books->answers[number] < UINT8_MAX)
        books->answers[number]++;
    bool reply = strcmp(rd_kafka_topic_name(message->rkt), books->replies) == 0;
    last = &books->last[(reply ? books->keys : 0) + number % books->keys];
    if (number <= *last) {
        atomic_fetch_add(&books->disordered, 1);
        fprintf(stderr, "kancel-ledger: %ld after %" PRId32 " of the same key\n", number, *last);
    }
    *last = (int32_t)number;
    if (!holds(message, "\"outcome\":\"succeeded\"")) {
        if (atomic_fetch_add(&books->not_succeeded, 1) < 20)
            fprintf(stderr, "kancel-ledger: %.*s\n", (int)message->len,
                    (const char *)message->payload);
    }
    if (gap > atomic_load(&books->longest_ms))
        atomic_store(&books->longest_ms, gap);
    atomic_store(&books->last_ms, now);
}

static void *read_results(void *context)
{
    struct books *books = context;
    rd_kafka_t *rk = open_consumer(books);
    atomic_store(&books->last_ms, now_ms());
    while (!atomic_load(&books->done)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 100);
        if (!message)
            continue;
        take(books, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return NULL;
}

/* ---- the books ---- */

static char letter(const struct books *books, long number)
{
    int answers = books->answers[number];
    switch (books->fates[number]) {
    case FATE_ABORTED:
        return answers ? 'A' : 'a';
    case FATE_UNKNOWN:
        if (!answers)
            return 'u';
        break;
    default:
        break;
    }
    return answers > 1 ? 'd' : answers == 1 ? 'c' : asks_for_reply(number) ? 'v' : 'm';
}

static void write_book(const struct books *books, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        die(path, "cannot be written");
    fprintf(file, "%s\n", books->run);
    for (long i = 0; i < atomic_load(&books->next); i++)
        putc(letter(books, i), file);
    if (fclose(file) != 0)
        die(path, "cannot be written");
}

static void report(const struct books *books)
{
    printf("{\"asked\": %ld, \"aborted\": %ld, \"unknown\": %ld, \"answered\": %ld, "
           "\"doubled\": %ld, \"disordered\": %ld, \"not_succeeded\": %ld, \"foreign\": %ld, "
           "\"longest_ms\": %ld}\n",
           atomic_load(&books->committed), atomic_load(&books->aborted),
           atomic_load(&books->unknown), atomic_load(&books->answered),
           atomic_load(&books->doubled), atomic_load(&books->disordered),
           atomic_load(&books->not_succeeded), atomic_load(&books->foreign),
           atomic_load(&books->longest_ms));
    fflush(stdout);
}

static bool input_ended(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char byte;
    return poll(&input, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

static void ask_until_input_ends(struct books *books)
{
    int64_t began = now_ms(), reported = 0;
    double due = 0;
    for (long turn = 1; !input_ended(); turn++) {
        int64_t next_ms = began + turn * TURN_MS, now = now_ms();
        long count = 0;
        due += (double)books->rate * TURN_MS / 1000;
        count = (long)due;
        due -= (double)count;
        if (atomic_load(&books->next) + count > COMMANDS_MAX)
            die("commands", "too many");
        ask_many(books, count, turn % ABORT_EVERY != 0);
        if (now - reported >= REPORT_MS) {
            reported = now;
            report(books);
        }
        now = now_ms();
        if (now < next_ms)
            usleep((useconds_t)(next_ms - now) * 1000);
        else
            began += now - next_ms; /* what a fault held up is not made up for */
    }
}

/* Every command that must be answered has been; those of the reply topic may be gone with it. */
static bool is_complete(const struct books *books)
{
    for (long i = 0; i < atomic_load(&books->next); i++) {
        if (books->fates[i] == FATE_COMMITTED && books->answers[i] == 0 && !asks_for_reply(i))
            return false;
    }
    return true;
}

static void wait_for_answers(struct books *books)
{
    while (!is_complete(books) &&
           now_ms() - atomic_load(&books->last_ms) < (int64_t)PATIENCE_S * 1000) {
        report(books);
        usleep(REPORT_MS * 1000);
    }
    while (now_ms() - atomic_load(&books->last_ms) < LISTEN_MS)
        usleep(REPORT_MS * 1000 / 10);
}

static long number(const char *text)
{
    char *after;
    long value = strtol(text, &after, 10);
    if (after == text || *after || value <= 0 || value > COMMANDS_MAX)
        die(text, "not a number in range");
    return value;
}

int main(int argc, char **argv)
{
    static struct books books;
    pthread_t reader;
    if (argc != 8) {
        fputs("usage: kancel-ledger BROKERS COMMANDS RESULTS REPLIES BOOK RATE KEYS\n", stderr);
        return 2;
    }
    books.brokers = argv[1];
    books.commands = argv[2];
    books.results = argv[3];
    books.replies = argv[4];
    books.rate = number(argv[6]);
    books.keys = number(argv[7]);
    snprintf(books.run, sizeof(books.run), "r%d", (int)getpid());
    books.fates = calloc(COMMANDS_MAX, 1);
    books.answers = calloc(COMMANDS_MAX, 1);
    books.last = malloc(2 * (size_t)books.keys * sizeof(*books.last));
    if (!books.fates || !books.answers || !books.last)
        die("memory", "out of it");
    memset(books.last, 0xff, 2 * (size_t)books.keys * sizeof(*books.last));
    if (pthread_create(&reader, NULL, read_results, &books) != 0)
        die("thread", "cannot be made");
    open_producer(&books);
    ask_until_input_ends(&books);
    rd_kafka_destroy(books.producer);
    wait_for_answers(&books);
    atomic_store(&books.done, true);
    pthread_join(reader, NULL);
    write_book(&books, argv[5]);
    report(&books);
    return 0;
}
