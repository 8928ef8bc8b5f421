#include "worker/io/http_answer.h"

#include <assert.h>
#include <http_parser.h>
#include <limits.h>
#include <strings.h>

#include "common/limits.h"

#include "common/banned.h"

/* Answers beyond this give their memory back after use. */
enum { KEPT_CAPACITY = 16 * 1024 };

static_assert(sizeof(http_parser) <= sizeof(((struct http_answer *)NULL)->parser),
              "an http_parser has its place in a struct http_answer");

static http_parser *parser_of(const struct http_answer *answer)
{
    return (http_parser *)(uintptr_t)answer->parser;
}

void http_answer_init(struct http_answer *answer)
{
    *answer = (struct http_answer){.heard = false};
    buffer_init(&answer->body, LIMIT_RESPONSE_BYTES);
    buffer_init(&answer->kept_text, LIMIT_RESPONSE_HEADER_BYTES);
    http_answer_clear(answer);
}

void http_answer_clear(struct http_answer *answer)
{
    http_parser_init(parser_of(answer), HTTP_RESPONSE);
    parser_of(answer)->data = answer;
    buffer_wipe_kept(&answer->body, KEPT_CAPACITY);
    buffer_wipe_kept(&answer->kept_text, KEPT_CAPACITY);
    memset(answer->kept, 0, sizeof(answer->kept));
    answer->heard = answer->in_head = answer->whole = answer->surplus = false;
    answer->lasting = answer->too_large = false;
    answer->raw_bytes = 0;
}

void http_answer_release(struct http_answer *answer)
{
    http_answer_clear(answer);
    buffer_release(&answer->body);
    buffer_release(&answer->kept_text);
}

/* ---- what the parser calls ------------------------------------------------------------------- */

static struct http_answer *answer_of(http_parser *parser)
{
    return parser->data;
}

static int answer_begins(http_parser *parser)
{
    struct http_answer *answer = answer_of(parser);
    if (answer->whole) {
        answer->surplus = true;
        return -1;
    }
    memset(answer->kept, 0, sizeof(answer->kept));
    buffer_wipe_kept(&answer->kept_text, KEPT_CAPACITY);
    answer->in_head = answer->in_name = true;
    answer->field_len = 0;
    return 0;
}

static int name_came(http_parser *parser, const char *text, size_t len)
{
    struct http_answer *answer = answer_of(parser);
    if (!answer->in_head)
        return 0;
    if (!answer->in_name)
        answer->field_len = 0;
    answer->in_name = true;
    size_t room = sizeof(answer->field) - answer->field_len;
    memcpy(answer->field + answer->field_len, text, len < room ? len : room);
    answer->field_len += len < room ? len : room;
    return 0;
}

static int find_kept(const struct http_answer *answer)
{
    static const struct slice names[KEPT_COUNT] = {
        [KEPT_CONTENT_TYPE] = SLICE("content-type"),
        [KEPT_RETRY_AFTER] = SLICE("retry-after"),
        [KEPT_DATE] = SLICE("date"),
        [KEPT_SUBJECT_TOKEN] = SLICE("x-subject-token"),
        [KEPT_REQUEST_ID] = SLICE("x-request-id"),
    };
    int i = 0;
    while (i < KEPT_COUNT && (answer->kept[i].present || answer->field_len != names[i].len ||
                              strncasecmp(answer->field, names[i].data, names[i].len) != 0))
        i++;
    return i;
}

static int value_came(http_parser *parser, const char *text, size_t len)
{
    struct http_answer *answer = answer_of(parser);
    if (!answer->in_head)
        return 0;
    if (answer->in_name) {
        answer->in_name = false;
        answer->keeping = find_kept(answer);
        if (answer->keeping < KEPT_COUNT) {
            answer->kept[answer->keeping].present = true;
            answer->kept[answer->keeping].start = answer->kept_text.len;
        }
    }
    if (answer->keeping < KEPT_COUNT) {
        buffer_append(&answer->kept_text, text, len);
        answer->kept[answer->keeping].len += len;
    }
    return buffer_failed(&answer->kept_text) ? -1 : 0;
}

static int head_came(http_parser *parser)
{
    struct http_answer *answer = answer_of(parser);
    answer->in_head = false;
    /* Nothing of HTTP comes behind it. */
    if (parser->status_code == 101)
        return -1;
    /* These have no body, whatever length they announce (RFC 9112, 6.3). */
    if (parser->status_code < 200 || parser->status_code == 204 || parser->status_code == 304)
        return 1;
    answer->too_large =
        parser->content_length != ULLONG_MAX && parser->content_length > LIMIT_RESPONSE_BYTES;
    return answer->too_large ? -1 : 0;
}

static int body_came(http_parser *parser, const char *text, size_t len)
{
    struct http_answer *answer = answer_of(parser);
    answer->too_large = len > LIMIT_RESPONSE_BYTES - answer->body.len;
    if (answer->too_large)
        return -1;
    buffer_append(&answer->body, text, len);
    return buffer_failed(&answer->body) ? -1 : 0;
}

static int answer_ends(http_parser *parser)
{
    struct http_answer *answer = answer_of(parser);
    if (parser->status_code >= 200) {
        answer->whole = true;
        answer->lasting = http_should_keep_alive(parser) != 0;
    }
    return 0;
}

static const char closed[] = "the connection was closed before an answer came";

static const char *what_is_wrong(const struct http_answer *answer)
{
    enum http_errno code = HTTP_PARSER_ERRNO(parser_of(answer));
    if (answer->too_large)
        return "the answer is larger than allowed";
    if (buffer_failed(&answer->kept_text) || buffer_failed(&answer->body))
        return "out of memory";
    if (code == HPE_CB_headers_complete)
        return "the answer is not a final one";
    if (code == HPE_INVALID_EOF_STATE && !answer->heard)
        return closed;
    if (code == HPE_INVALID_EOF_STATE)
        return "the answer is cut";
    return http_errno_description(code);
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum http_progress parse(struct http_answer *answer, struct slice bytes,
                                const char **problem)
{
    static const http_parser_settings callbacks = {
        .on_message_begin = answer_begins,
        .on_header_field = name_came,
        .on_header_value = value_came,
        .on_headers_complete = head_came,
        .on_body = body_came,
        .on_message_complete = answer_ends,
    };
    http_parser *parser = parser_of(answer);
    (void)http_parser_execute(parser, &callbacks, bytes.data, bytes.len);
    enum http_errno code = HTTP_PARSER_ERRNO(parser);
    if (answer->whole) {
        answer->surplus = answer->surplus || code != HPE_OK;
        return PROGRESS_DONE;
    }
    if (code == HPE_OK)
        return PROGRESS_MORE;
    answer->too_large = answer->too_large || code == HPE_HEADER_OVERFLOW;
    *problem = what_is_wrong(answer);
    return PROGRESS_FAILED;
}

enum http_progress http_answer_read(struct http_answer *answer, struct slice bytes,
                                    const char **problem)
{
    http_parser_set_max_header_size(LIMIT_RESPONSE_HEADER_BYTES);
    answer->heard = true;
    answer->too_large = bytes.len > LIMIT_RESPONSE_RAW_BYTES - answer->raw_bytes;
    if (answer->too_large) {
        *problem = what_is_wrong(answer);
        return PROGRESS_FAILED;
    }
    answer->raw_bytes += bytes.len;
    return parse(answer, bytes, problem);
}

enum http_progress http_answer_read_end(struct http_answer *answer, const char **problem)
{
    enum http_progress progress = parse(answer, slice_of(NULL, 0), problem);
    if (progress != PROGRESS_MORE)
        return progress;
    /* Between two answers, of which the last was not a final one. */
    *problem = answer->heard ? "the answer is not a final one" : closed;
    return PROGRESS_FAILED;
}

int http_answer_status(const struct http_answer *answer)
{
    return parser_of(answer)->status_code;
}

static bool blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

struct slice http_answer_header(const struct http_answer *answer, enum http_kept which)
{
    if (!answer->kept[which].present)
        return slice_of(NULL, 0);
    const char *text = buffer_slice(&answer->kept_text).data + answer->kept[which].start;
    size_t len = answer->kept[which].len;
    for (; len > 0 && blank(text[0]); len--)
        text++;
    while (len > 0 && blank(text[len - 1]))
        len--;
    return slice_of(text, len);
}
