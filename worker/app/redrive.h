/*
 * kancel redrive, in parts: which dead letters there are (redrive_letters.c), sending chosen ones
 * back (redrive_send.c), and the talk with people (redrive.c).
 *
 * A letter is sent back at most once, by anybody: in one transaction with the record goes a *mark*
 * into the letter's own partition of the dead-letter topic, which says which letter it was. A mark
 * stands behind its letter, so it lives as long as that does - a consumer group's positions would
 * be forgotten a week after the last redrive. The producer's transactional id is the same for
 * everybody of the group: who begins ends what another has begun, and only then reads the marks.
 */
#ifndef KANCEL_WORKER_APP_REDRIVE_H
#define KANCEL_WORKER_APP_REDRIVE_H

#include "proto/result.h"
#include "worker/app/args.h"
#include "worker/app/topic_reader.h"

#include <uthash.h>

/* Letters held at once: each keeps its record in memory. */
enum { LETTERS_MOST = 50 * 1000 };

/* The header of a mark, and of a record that was sent back: "TOPIC-PARTITION-OFFSET" of the letter.
 */
#define REDRIVE_HEADER "kancel-redriven"

struct letter_place {
    int64_t partition, offset; /* in the dead-letter topic */
};

struct letter {
    UT_hash_handle hh;
    struct letter_place place;
    rd_kafka_message_t *message;
    struct header *headers; /* of the message; borrowed slices */
    size_t header_count;
    struct dead_letter said; /* of its headers */
};

struct letters {
    const struct kafka_settings *settings;
    const char *topic;           /* the dead letters' */
    struct topic_reader *reader; /* owned: it must outlive the records it read */
    struct letter *table;
    size_t redriven; /* seen and sent back before */
};

/* Which letters are wanted; borrowed. */
struct letter_filter {
    const char *topic;  /* NULL: of any */
    const char *reason; /* NULL: for any; else a part of it */
    struct letter_place *places;
    size_t place_count; /* 0: any */
};

/* ---- redrive_letters.c ---- */

/* Reads the topic to its end; keeps the letters that fit and were not sent back yet, in order.
 * ERROR_INPUT: more than LETTERS_MOST. ERROR_TEMPORARY: the end was not reached within `most_ms`.
 */
int letters_read(struct letters *letters, const struct letter_filter *filter, int64_t most_ms,
                 struct error *err) MUST_CHECK;
/* With the reader. */
void letters_release(struct letters *letters);
/* Why it cannot be sent back; NULL: it can. */
const char *letter_hindrance(const struct letters *letters, const struct letter *letter);

/* ---- redrive_send.c ---- */

struct redrive;

/* The producer; ends what another redrive of the group has begun. */
struct redrive *redrive_new(const struct kafka_settings *settings, const char *topic,
                            struct error *err);
/* Lets the reader go as far as the topic goes, open transactions included. */
int redrive_follow(struct redrive *redrive, struct topic_reader *reader,
                   struct error *err) MUST_CHECK;
/* Sends the letters back that can be, in order; `sent` is called for each once it is committed.
 * ERROR_FENCED: another redrive began. What is committed stays so on failure. */
int redrive_send(struct redrive *redrive, struct letters *letters,
                 void (*sent)(void *context, const struct letter *letter), void *context,
                 struct error *err) MUST_CHECK;
void redrive_free(struct redrive *redrive);

#endif
