/*
 * What is read of the answer to one request, by http_parser: status, body, the headers that are
 * kept. Bytes come as they like; informational answers (1xx) are passed over; ceilings on head,
 * body, and all together. Kept and used again. No sockets, no time.
 */
#ifndef KANCEL_WORKER_IO_HTTP_ANSWER_H
#define KANCEL_WORKER_IO_HTTP_ANSWER_H

#include "common/buffer.h"

/* The headers that are kept. */
enum http_kept {
    KEPT_CONTENT_TYPE,
    KEPT_RETRY_AFTER,
    KEPT_DATE,
    KEPT_SUBJECT_TOKEN,
    KEPT_REQUEST_ID,
    KEPT_COUNT
};

struct http_answer {
    uint64_t parser[5]; /* an http_parser: its header and ours name methods alike */
    size_t raw_bytes;   /* all that came */
    struct buffer body;
    struct buffer kept_text;
    struct {
        size_t start, len;
        bool present;
    } kept[KEPT_COUNT];
    char field[32]; /* the header that is being read, as much of its name as fits */
    size_t field_len;
    int keeping;  /* its number; KEPT_COUNT: it is not kept */
    bool in_name; /* of it, not yet in its value */
    bool heard;   /* a byte came */
    bool in_head; /* between a status line and the empty line: trailers are not kept */
    bool whole;   /* the final answer is there */
    bool surplus; /* and something behind it */
    bool lasting; /* the connection may be used again */
    bool too_large;
};

/* Nothing is allocated yet. */
void http_answer_init(struct http_answer *answer);
void http_answer_release(struct http_answer *answer);
/* Wipes what is there, for the next one; the memory is kept. */
void http_answer_clear(struct http_answer *answer);

enum http_progress { PROGRESS_MORE, PROGRESS_DONE, PROGRESS_FAILED };
/* What came; and that nothing comes any more. Failed: `problem` (static text) says why, and
 * answer->too_large whether that was it. */
enum http_progress http_answer_read(struct http_answer *answer, struct slice bytes,
                                    const char **problem);
enum http_progress http_answer_read_end(struct http_answer *answer, const char **problem);

int http_answer_status(const struct http_answer *answer);
/* Borrowed; data NULL: there was none. */
struct slice http_answer_header(const struct http_answer *answer, enum http_kept which);

#endif
