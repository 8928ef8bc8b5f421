/* kancel redrive: dead letters with their reason, and sending chosen ones back to their topic. */
#include <inttypes.h>
#include <unistd.h>

#include "common/timestamp.h"
#include "worker/app/redrive.h"
#include "worker/app/subcommands.h"
#include "worker/app/target.h"

#include "common/banned.h"

enum {
    /* Without an answer for so long, reading is given up: longer than a transaction may be open. */
    READ_MS = 90 * 1000,
    PLACES_MOST = 1000,
    SOME_HINDERED = 3, /* exit code */
};

static const struct args_option options[] = {
    OPTION_CONFIG,
    {"dead-letters", 0, "TOPIC", false, "the topic to read (default: kafka.dead_letters)"},
    {"topic", 0, "TOPIC", false, "only letters of this command topic"},
    {"reason", 0, "TEXT", false, "only letters with this text in their reason"},
    {"all", 0, NULL, false, "all that are there"},
    {"send", 0, NULL, false, "send them back; without it they are only listed"},
    {"json", 0, NULL, false, "JSON lines on a terminal too"},
    {.name = NULL},
};

const struct args_command command_redrive = {
    .name = "kancel redrive",
    .usage = "[OPTIONS] [PARTITION:OFFSET...]",
    .summary =
        "Lists the dead letters that were not sent back yet: where they stand in the dead-letter\n"
        "topic, where and when they came from, and why they are there. With --send those chosen "
        "by\n"
        "place, --topic, --reason or --all go back to their command topic, as they came. A letter "
        "is\n"
        "sent back once, whoever asks and whatever crashes: in one transaction with its record "
        "goes a\n"
        "mark into the dead-letter topic.",
    .options = options,
    .more = "Exit codes: 0 done, 1 broker trouble (nothing of a failed transaction was sent), 2 "
            "usage,\n"
            "3 some of the chosen cannot be sent back.\n"
            "\n"
            "  kancel redrive --reason account\n"
            "  kancel redrive --reason 'no account of this name' --send\n"
            "  kancel redrive --send 0:17 0:18",
};

struct redriving {
    struct target target;
    struct letter_filter filter;
    struct letter_place places[PLACES_MOST];
    const char *topic;
    bool send, lines;
    size_t sent, hindered;
};

/* ---- what is said ---------------------------------------------------------------------------- */

static void print_line(const struct letters *letters, const struct letter *letter,
                       const char *hindrance)
{
    const struct dead_letter *said = &letter->said;
    char when[TIMESTAMP_SIZE];
    struct buffer line;
    buffer_init(&line, 64 * 1024);
    buffer_append_byte(&line, '{');
    json_write_string_member(&line, "deadLetters", slice_of_string(letters->topic));
    json_write_int_member(&line, "partition", letter->place.partition);
    json_write_int_member(&line, "offset", letter->place.offset);
    json_write_string_member(&line, "topic", said->topic);
    json_write_int_member(&line, "originalPartition", said->partition);
    json_write_int_member(&line, "originalOffset", said->offset);
    if (said->timestamp_ms >= 0 && said->timestamp_ms <= TIMESTAMP_LAST_MS) {
        timestamp_format(said->timestamp_ms, when);
        json_write_string_member(&line, "time", slice_of_string(when));
    }
    json_write_string_member(&line, "reason", said->reason);
    if (hindrance)
        json_write_string_member(&line, "hindrance", slice_of_string(hindrance));
    printf("%.*s}\n", SLICE_ARG(buffer_slice(&line)));
    buffer_release(&line);
}

static void print_row(const struct letter *letter, const char *hindrance)
{
    const struct dead_letter *said = &letter->said;
    char place[48], topic[64], key[64], when[TIMESTAMP_SIZE] = "-", reason[256];
    const rd_kafka_message_t *message = letter->message;
    snprintf(place, sizeof(place), "%" PRId64 ":%" PRId64, letter->place.partition,
             letter->place.offset);
    config_quote(said->topic, topic);
    config_quote(slice_of(message->key, message->key ? message->key_len : 0), key);
    if (said->timestamp_ms >= 0 && said->timestamp_ms <= TIMESTAMP_LAST_MS)
        timestamp_format(said->timestamp_ms, when);
    size_t length = 0;
    for (; length < said->reason.len && length < sizeof(reason) - 1; length++) {
        char byte = said->reason.data[length];
        reason[length] = byte >= ' ' && byte != 0x7f ? byte : byte < 0 ? byte : '?';
    }
    reason[length] = '\0';
    printf("%-12s %s-%" PRId32 "-%" PRId64 " %s key %s, %zu bytes: %s%s%s%s\n", place, topic,
           said->partition, said->offset, when, key[0] ? key : "-", message->len, reason,
           hindrance ? " (not to be sent back: " : "", hindrance ? hindrance : "",
           hindrance ? ")" : "");
}

static void print_letter(const struct redriving *redriving, const struct letters *letters,
                         const struct letter *letter)
{
    const char *hindrance = letter_hindrance(letters, letter);
    if (redriving->lines)
        print_line(letters, letter, hindrance);
    else
        print_row(letter, hindrance);
}

static void list(struct redriving *redriving, const struct letters *letters)
{
    size_t count = 0;
    for (const struct letter *letter = letters->table; letter; letter = letter->hh.next) {
        count++;
        redriving->hindered += letter_hindrance(letters, letter) != NULL;
        if (!redriving->send || letter_hindrance(letters, letter))
            print_letter(redriving, letters, letter);
    }
    if (!redriving->lines && !redriving->send)
        printf(
            "%zu dead letters; %zu were sent back before. Nothing was sent: that takes --send.\n",
            count, letters->redriven);
}

struct printing {
    struct redriving *redriving;
    const struct letters *letters;
};

static void on_sent(void *context, const struct letter *letter)
{
    struct printing *printing = context;
    printing->redriving->sent++;
    print_letter(printing->redriving, printing->letters, letter);
}

/* ---- the way --------------------------------------------------------------------------------- */

static int work(struct redriving *redriving, struct redrive *redrive, struct letters *letters,
                struct error *err)
{
    letters->reader =
        topic_reader_new(&redriving->target.kafka, redriving->topic, TOPIC_FROM_BEGINNING, err);
    if (!letters->reader || (redrive && redrive_follow(redrive, letters->reader, err) != 0) ||
        letters_read(letters, &redriving->filter, READ_MS, err) != 0)
        return -1;
    list(redriving, letters);
    struct printing printing = {redriving, letters};
    return redrive ? redrive_send(redrive, letters, on_sent, &printing, err) : 0;
}

static int run(struct redriving *redriving)
{
    const struct kafka_settings *kafka = &redriving->target.kafka;
    struct letters letters = {.settings = kafka, .topic = redriving->topic};
    struct redrive *redrive = NULL;
    struct error err;
    int status = 0;
    if (redriving->send) {
        redrive = redrive_new(kafka, redriving->topic, &err);
        status = redrive ? 0 : -1;
    }
    if (status == 0)
        status = work(redriving, redrive, &letters, &err);
    if (redriving->send && !redriving->lines && (status == 0 || redriving->sent > 0))
        printf("%zu sent back\n", redriving->sent);
    if (status != 0)
        fprintf(stderr, "kancel redrive: %s%s\n", err.message,
                err.kind == ERROR_FENCED ? " (another redrive of this group began)" : "");
    letters_release(&letters);
    redrive_free(redrive);
    if (status != 0)
        return err.kind == ERROR_INPUT ? EXIT_USAGE : EXIT_FATAL;
    return redriving->send && redriving->hindered > 0 ? SOME_HINDERED : EXIT_DONE;
}

static bool read_place(const char *word, struct letter_place *place)
{
    const char *colon = strchr(word, ':');
    return colon && slice_to_int64(slice_of(word, (size_t)(colon - word)), &place->partition) &&
           slice_to_int64(slice_of_string(colon + 1), &place->offset) && place->partition >= 0 &&
           place->offset >= 0;
}

static int read_choice(struct redriving *redriving, const struct args *args)
{
    struct letter_filter *filter = &redriving->filter;
    filter->topic = args_value(args, "topic");
    filter->reason = args_value(args, "reason");
    filter->places = redriving->places;
    redriving->send = args_given(args, "send");
    redriving->lines = args_given(args, "json") || !isatty(STDOUT_FILENO);
    for (size_t i = 0; i < args->operand_count; i++) {
        if (filter->place_count < PLACES_MOST &&
            read_place(args->operands[i], &redriving->places[filter->place_count])) {
            filter->place_count++;
            continue;
        }
        fprintf(stderr, "kancel redrive: expected at most %d places such as 0:17, not '%.40s'\n",
                PLACES_MOST, args->operands[i]);
        return EXIT_USAGE;
    }
    if (!redriving->send || args_given(args, "all") || filter->topic || filter->reason ||
        filter->place_count > 0)
        return 0;
    fputs("kancel redrive: --send: choose by PARTITION:OFFSET, --topic, --reason or --all\n",
          stderr);
    return EXIT_USAGE;
}

int run_redrive(int argc, char **argv)
{
    struct args args;
    int code = subcommand_begin(&command_redrive, argc, argv, &args);
    if (code >= 0)
        return code;
    struct redriving *redriving = calloc(1, sizeof(*redriving));
    if (!redriving) {
        args_release(&args);
        return EXIT_FATAL;
    }
    code = read_choice(redriving, &args);
    if (code == 0)
        code = target_open(&redriving->target, &args);
    if (code == 0) {
        redriving->topic = args_given(&args, "dead-letters") ? args_value(&args, "dead-letters")
                                                             : redriving->target.kafka.dead_letters;
        code = run(redriving);
    }
    target_close(&redriving->target);
    free(redriving);
    args_release(&args);
    return code;
}
