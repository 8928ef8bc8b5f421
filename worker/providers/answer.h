/*
 * Reading a provider's answer: its JSON, the code it gives and what a driver's table makes of that
 * code. The body counts first, the HTTP status where the body says nothing. Part of the drivers:
 * nobody else uses it.
 */
#ifndef KANCEL_WORKER_PROVIDERS_ANSWER_H
#define KANCEL_WORKER_PROVIDERS_ANSWER_H

#include "worker/providers/provider.h"

/* Where a provider puts code and message of a failure: `code_names` and `message_names` are ended
 * by NULL, looked up in this order in the answer, then in its member `error`. */
struct answer_names {
    const char *const *code_names;
    const char *const *message_names;
};

struct answer {
    const struct http_response *response;
    enum operation operation;
    struct json_document *document; /* NULL: not well-formed JSON, or no whole answer */
    const struct json_value *root;  /* NULL unless the document is an object */
    struct slice code;              /* number or string as text; absent: none */
    struct slice message;           /* absent: none */
    char number[24];                /* behind `code` */
};

/* True when the text looks as if it quoted a request's credentials, as gateways do that could not
 * verify a signature (APIGW.0301: "canonicalRequest:..."). */
bool text_quotes_request(struct slice text);

/* What no text that leaves the worker may hold. Absent ones and those under 6 bytes are not looked
 * for. */
enum { SECRETS_MOST = 8 };
struct secrets {
    struct slice list[SECRETS_MOST];
    size_t count;
};

/* Reads; `json` gets the body when it is well-formed and holds no secret nor, in a failure, a
 * quoted request. answer_release() always follows. */
void answer_read(struct answer *answer, enum operation operation,
                 const struct http_response *response, const struct answer_names *names,
                 const struct secrets *secrets, struct slice *json);
void answer_release(struct answer *answer);

/* A whole answer, status 2xx, with an object as body. */
bool answer_is_good(const struct answer *answer);
/* The code is there and is the number or text 0. */
bool answer_code_is_zero(const struct answer *answer);

/* One row or range of a provider's codes. The kind is a cancel's; UNKNOWN reads as RETRY for a
 * status. A throttled call holds the account, and not found tells the state (there is none). */
struct code_rule {
    const char *first;
    const char *last; /* texts of the same length, compared as such; NULL: `first` alone */
    enum verdict_kind kind;
    enum failure failure;
};

/* The row of `code`; NULL when there is none. `rules` end with a row without `first`. */
const struct code_rule *code_rule_find(const struct code_rule *rules, struct slice code);

/* The verdict on an answer that is not a success: status 401 and 429 before all, then the code's
 * row, then the status (verdict_of_http()), with the provider's code and message. */
void answer_failure(const struct answer *answer, const struct code_rule *rules,
                    struct verdict *verdict);
/* The same by a row already found (NULL: by the status). */
void answer_failure_by(const struct answer *answer, const struct code_rule *rule,
                       struct verdict *verdict);
/* The verdict on a sign-in's answer that is not a success: answer_failure(), but where that says
 * no, or there is no such page, the account is refused: FAILED, unauthorized. */
void answer_sign_in_failure(const struct answer *answer, const struct code_rule *rules,
                            struct verdict *verdict);
/* A success that lacks what the document promises: UNKNOWN for a cancel, else RETRY; bad_response.
 */
void answer_unfit(const struct answer *answer, const char *what, struct verdict *verdict);

/* What `value` is, or its only element when it is a list of one: some documents and samples differ.
 */
const struct json_value *answer_single(const struct json_value *value);
/* A number (0 or more) or a string of digits; false for anything else. */
bool answer_number(const struct json_value *value, int64_t *number) MUST_CHECK;

/* Of a call with several ids whose refusal may be due to one of them: they are to be asked again in
 * calls of at most `most`. */
void answer_apart(struct verdict *verdict, enum verdict_kind kind, size_t most);

/* DONE with this state. */
struct verdict verdict_done(enum task_state state);
/* REFUSED, with our own words on why. */
struct verdict answer_refused(const struct answer *answer, enum failure failure,
                              enum task_state state, bool tells_state, const char *message);

/* A provider's word and the state it stands for. The last row has no word: its state is that of all
 * other words. */
struct state_word {
    const char *word;
    enum task_state state;
};
enum task_state state_of_word(const struct state_word *words, struct slice word);

#endif
