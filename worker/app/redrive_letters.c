#include "worker/app/redrive.h"
#include "worker/io/loop.h"

#include "common/banned.h"

enum { POLL_MS = 200 };

static struct slice slice_of_bytes(const void *data, size_t len)
{
    return slice_of(data, data ? len : 0);
}

/* -1: out of memory. */
static int read_headers(struct letter *letter)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t len;
    if (rd_kafka_message_headers(letter->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    letter->headers = calloc(rd_kafka_header_cnt(headers), sizeof(*letter->headers));
    if (!letter->headers)
        return -1;
    while (rd_kafka_header_get_all(headers, letter->header_count, &name, &value, &len) ==
           RD_KAFKA_RESP_ERR_NO_ERROR)
        letter->headers[letter->header_count++] =
            (struct header){slice_of_string(name), slice_of_bytes(value, len)};
    return 0;
}

static void letter_free(struct letter *letter)
{
    if (!letter)
        return;
    rd_kafka_message_destroy(letter->message);
    free(letter->headers);
    free(letter);
}

static bool holds(struct slice text, const char *part)
{
    return part[0] == '\0' || memmem(text.data, text.len, part, strlen(part)) != NULL;
}

static bool fits(const struct letter *letter, const struct letter_filter *filter)
{
    bool named = filter->place_count == 0;
    for (size_t i = 0; i < filter->place_count && !named; i++)
        named = filter->places[i].partition == letter->place.partition &&
                filter->places[i].offset == letter->place.offset;
    return named && (!filter->topic || slice_equals(letter->said.topic, filter->topic)) &&
           (!filter->reason || holds(letter->said.reason, filter->reason));
}

/* A mark's letter stands before it, in the same partition. */
static void take_mark(struct letters *letters, const struct letter *mark)
{
    char prefix[300];
    int length =
        snprintf(prefix, sizeof(prefix), "%s-%d-", letters->topic, (int)mark->message->partition);
    for (size_t i = 0; i < mark->header_count; i++) {
        struct slice value = mark->headers[i].value;
        struct letter_place place = {.partition = mark->message->partition};
        struct letter *letter;
        if (!slice_equals(mark->headers[i].name, REDRIVE_HEADER) ||
            !slice_starts_with(value, prefix) ||
            !slice_to_int64(slice_of(value.data + length, value.len - (size_t)length),
                            &place.offset))
            continue;
        letters->redriven++;
        HASH_FIND(hh, letters->table, &place, sizeof(place), letter);
        if (letter)
            HASH_DEL(letters->table, letter);
        letter_free(letter);
    }
}

/* Takes the message in every case. */
static int take(struct letters *letters, rd_kafka_message_t *message,
                const struct letter_filter *filter, struct error *err)
{
    struct letter *letter = calloc(1, sizeof(*letter));
    if (!letter) {
        rd_kafka_message_destroy(message);
        return error_set(err, ERROR_MEMORY, "out of memory");
    }
    letter->message = message;
    letter->place = (struct letter_place){message->partition, message->offset};
    if (read_headers(letter) != 0) {
        letter_free(letter);
        return error_set(err, ERROR_MEMORY, "out of memory");
    }
    bool is_letter = dead_letter_read(letter->headers, letter->header_count, &letter->said);
    if (is_letter && fits(letter, filter)) {
        HASH_ADD(hh, letters->table, place, sizeof(letter->place), letter);
        return HASH_COUNT(letters->table) <= LETTERS_MOST
                   ? 0
                   : error_set(err, ERROR_INPUT,
                               "more than %d dead letters fit: choose by --topic or --reason",
                               LETTERS_MOST);
    }
    if (!is_letter)
        take_mark(letters, letter);
    letter_free(letter);
    return 0;
}

static int by_place(const struct letter *a, const struct letter *b)
{
    if (a->place.partition != b->place.partition)
        return a->place.partition < b->place.partition ? -1 : 1;
    return (a->place.offset > b->place.offset) - (a->place.offset < b->place.offset);
}

int letters_read(struct letters *letters, const struct letter_filter *filter, int64_t most_ms,
                 struct error *err)
{
    struct topic_reader *reader = letters->reader;
    int64_t until_ms = loop_mono_ms() + most_ms;
    while (!topic_reader_at_end(reader)) {
        rd_kafka_message_t *message = topic_reader_next(reader, POLL_MS);
        if (message && take(letters, message, filter, err) != 0)
            return -1;
        if (!message && loop_mono_ms() > until_ms)
            return error_set(err, ERROR_TEMPORARY,
                             "the end of %s was not reached in time: a transaction may be open, or "
                             "a broker does not answer",
                             letters->topic);
    }
    HASH_SORT(letters->table, by_place);
    return 0;
}

void letters_release(struct letters *letters)
{
    struct letter *letter, *next;
    HASH_ITER(hh, letters->table, letter, next)
    {
        HASH_DEL(letters->table, letter);
        letter_free(letter);
    }
    topic_reader_free(letters->reader);
}

const char *letter_hindrance(const struct letters *letters, const struct letter *letter)
{
    char topic[256];
    snprintf(topic, sizeof(topic), "%.*s", SLICE_ARG(slice_cut_utf8(letter->said.topic, 255)));
    if (letter->said.incomplete)
        return "its value was too large for this topic";
    return kafka_command_topic(letters->settings, topic) ? NULL
                                                         : "its topic is none of kafka.commands";
}
