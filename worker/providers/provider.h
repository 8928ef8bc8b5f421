/*
 * A driver: the pure translator between asks and one provider's HTTP API. It holds no state but the
 * opened account, does no I/O, knows no clock (time comes as an argument), no log, no retry. The
 * engine decides; a driver only says what an answer means. One file a provider, ending in one const
 * table; every slot is mandatory, provider_none_* are the defaults.
 *
 * Adding a provider: one file, one row of PROVIDERS below, one schema fragment in
 * proto/command.schema.json, fixtures. README.md beside this file goes through it step by step.
 */
#ifndef KANCEL_WORKER_PROVIDERS_PROVIDER_H
#define KANCEL_WORKER_PROVIDERS_PROVIDER_H

#include "common/json.h"
#include "common/limits.h"
#include "common/option.h"
#include "proto/result.h"
#include "proto/vocabulary.h"

/* ---- HTTP as plain data ---------------------------------------------------------------------- */

enum http_method { HTTP_GET, HTTP_POST, HTTP_DELETE };

enum { HTTP_HEADERS_MOST = 14 }; /* two of them for the trace */

/* A request, built by a driver into the caller's storage. Names and values are checked for CR, LF
 * and NUL when added. */
struct http_request {
    enum http_method method;
    struct buffer
        url; /* absolute: the account's (or the sign-in's) endpoint, path, query; percent-encoded */
    struct {
        const char *name;    /* static text */
        struct buffer value; /* may hold a secret: wiped */
    } headers[HTTP_HEADERS_MOST];
    size_t header_count;
    struct buffer body; /* empty: none; may hold a secret: wiped */
};

void http_request_init(struct http_request *request);
void http_request_release(struct http_request *request); /* wipes */
/* Returns the value's buffer to append to; the checks happen in http_request_check(). */
struct buffer *http_request_header(struct http_request *request, const char *name);
/* Appends `segment` percent-encoded (unreserved characters stay). */
void http_append_encoded(struct buffer *out, struct slice segment);
/* 0 when every buffer holds, and no header value has CR, LF, NUL. */
int http_request_check(const struct http_request *request, struct error *err) MUST_CHECK;

/* How the exchange ended. */
enum http_result {
    HTTP_ANSWERED,  /* a whole answer is there */
    HTTP_NOT_SENT,  /* refused, unreachable, name unknown, TLS failed before the request: nothing
                       reached the provider */
    HTTP_TIMED_OUT, /* sent or perhaps sent, no whole answer in time */
    HTTP_BROKEN,    /* sent or perhaps sent, then reset, closed, cut */
    HTTP_TOO_LARGE, /* an answer beyond LIMIT_RESPONSE_BYTES or its headers beyond theirs */
    HTTP_DENIED, /* our own configuration forbids every address of that host: nothing was sent, and
                    trying again changes nothing */
};

struct http_response {
    enum http_result result;
    int status; /* of HTTP_ANSWERED, else 0 (TOO_LARGE: as seen) */
    struct slice body;
    struct slice content_type;  /* absent: none */
    struct slice retry_after;   /* as sent; absent: none */
    struct slice date;          /* the Date header */
    struct slice subject_token; /* X-Subject-Token; a secret */
    struct slice request_id;    /* X-Request-Id */
    char problem[128];          /* of a result other than HTTP_ANSWERED: for people, no secret */
};

/* ---- tasks and asks -------------------------------------------------------------------------- */

/* What a driver made of a command's `task`: `asks` ids in the list's order, everything copied.
 * `is_list` says whether the result has `items`. A driver embeds this as first member of its own
 * struct. */
struct task {
    struct slice *ids; /* one per ask */
    size_t count;      /* 1..LIMIT_ASKS */
    bool is_list;
    /* Asks of tasks with equal text may go in one call, be they of one command or of several; among
     * them equal ids mean the same thing, which the request names once. */
    struct slice share;
    /* The provider's answer to a cancel does not tell this task's state: the engine asks the status
     * once afterwards. */
    bool cancel_tells_nothing;
};

/* One ask: the index-th id of a task. */
struct ask {
    const struct task *task;
    size_t index;
};

/* What one call is for. */
struct call_purpose {
    enum operation
        operation; /* a status may be asked on behalf of a cancel too, with the same asks */
    const struct ask *asks; /* of tasks with one share key; some may name the same id */
    size_t count;
    size_t ids;    /* how many different ids the request went out with, at most most_asks(): asks
                      whose commands were given up since are not among `asks` any more */
    unsigned page; /* 0 first; counts follow-up requests */
    struct slice cursor; /* what the last page said to continue with; absent on the first */
};

/* Takes what is wrong with an account: `tell` is called once for each mistake, with the option's
 * path ("auth.token"; "" for the account as a whole). */
struct mistakes {
    void (*tell)(void *context, const char *path, const char *message);
    void *context;
    size_t count; /* told so far */
};
/* `format` says what is wrong and what was expected. */
void mistakes_add(struct mistakes *mistakes, const char *path, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* A sign-in's fruit. The engine keeps it, one per account. */
struct credential {
    struct secret token;
    int64_t expires_ms; /* wall clock; COMMAND_NEVER: does not expire */
};

/* ---- verdicts -------------------------------------------------------------------------------- */

enum verdict_kind {
    VERDICT_DONE,    /* a cancel: taken (or already so); a status: read. `state` says what was seen,
                        STATE_UNKNOWN if nothing */
    VERDICT_REFUSED, /* a final no; `failure` is not_cancellable, not_found or forbidden. With
                        `tells_state` false the engine reads the status before it believes the no;
                        with bad_response, which is nobody's no, it may send it again then */
    VERDICT_RETRY, /* certainly not applied (or a read): may be sent again; `failure` is throttled,
                      unavailable, timeout, ... */
    VERDICT_UNKNOWN, /* a cancel that may or may not have been applied: never sent again before the
                        status was asked */
    VERDICT_RENEW,   /* the credential is not (any more) accepted; nothing was applied */
    VERDICT_FAILED,  /* final: `failure` is unauthorized, bad_response, internal, ... */
};

struct verdict {
    enum verdict_kind kind;
    enum task_state state;
    bool tells_state;       /* REFUSED: `state` is what the provider said */
    bool already_cancelled; /* DONE: the provider's answer shows that it was cancelled before this
                               call */
    bool throttled;         /* RETRY: the whole account is to be held (Retry-After or backoff) */
    size_t apart;   /* RETRY, REFUSED: the provider refused the call as a whole, perhaps because of
                       another of its ids, so it is asked again in calls of at most so many (fewer
                       than this one had). RETRY: nothing was applied. REFUSED: that is not known, so
                       a cancel looks before it is sent again */
    bool clock_off; /* of a refusal: the provider says that the request's time is wrong */
    bool ambiguous; /* RENEW: the same answer may mean that this task is not permitted */
    struct result_error error; /* kind (of every verdict but DONE), code, message, http_status */
};

/* A page that is not the last: the engine sends request() again with page + 1 and this cursor, and
 * hands response() the same verdicts, which a driver fills as it finds the asks. */
struct next_page {
    struct buffer cursor; /* non-empty: there is another page */
};

/* ---- the table ------------------------------------------------------------------------------- */

/* A member of a command's task as a person writes it: `kancel send NAME OPERATION ID... --OPTION`.
 * The command line, its help and its completion are made of these; what a task must look like is
 * task()'s business alone. */
enum member_kind {
    MEMBER_ID,   /* a string */
    MEMBER_IDS,  /* a list of strings; as an option they are joined by commas */
    MEMBER_FLAG, /* true, or left out */
};

struct task_member {
    const char *name;      /* in the JSON: "channelId" */
    const char *option;    /* of kancel send, without dashes; NULL: the operands. Exactly one member
                              has none. Providers may share an option that takes the same kind. */
    enum member_kind kind; /* of operands: ID or IDS */
    bool required;
    bool cancel_only;
    bool one_of; /* a cancel has exactly one of the members marked so */
    const char *help;
};

struct provider {
    const char *name;
    const char *title;                 /* for people: "EnOS data federation" */
    const struct task_member *members; /* ended by a NULL name */
    const struct option
        *options;         /* rows of the account's own part, ended by a NULL path; never NULL */
    bool confirm_default; /* account setting `confirm` where it is not set */
    bool shares_calls;    /* one call takes tasks of any commands: an account has few slots, where
                             their number is not set, so that those that wait gather */

    /* Validates the account, telling every mistake, and returns its opened form; NULL after a
     * mistake. `endpoint` is a checked absolute URL without trailing slash, query or fragment.
     * Secrets are read through `values` at each request (they may change), which outlives the
     * account. */
    void *(*open)(const struct option_values *values, const char *endpoint,
                  struct mistakes *mistakes);
    void (*close)(void *account);

    /* Checks a command's task strictly and decodes it. ERROR_INPUT names the member and what was
     * expected. */
    struct task *(*task)(const void *account, enum operation operation,
                         const struct json_value *json, struct error *err);
    void (*task_free)(struct task *task);

    /* Most different ids of one call, where the account's setting is `batch` (1 or more). */
    size_t (*most_asks)(const void *account, enum operation operation, const struct task *task,
                        size_t batch);

    /* True when request() needs a credential from sign_in(). */
    bool (*needs_sign_in)(const void *account);
    /* True when calls are signed by a configured key without a sign-in before: providers lock a key
     * after some refusals, so until one call was accepted they go out one at a time. */
    bool (*signs_calls)(const void *account);
    /* The token request. `current` is the credential to renew or NULL; `wall_ms` differs from every
     * earlier attempt's. */
    int (*sign_in)(const void *account, const struct credential *current, int64_t wall_ms,
                   struct http_request *request, struct error *err);
    /* Its answer, to the same `current`: 0 with *credential filled (caller releases
     * credential->token). Else -1 with `verdict` saying what kind of failure: RETRY, UNKNOWN (same
     * as RETRY here), RENEW (the renewal was refused: sign in anew), FAILED (refused). */
    int (*signed_in)(const void *account, const struct credential *current,
                     const struct http_response *response, int64_t wall_ms,
                     struct credential *credential, struct verdict *verdict);

    /* Asks + credential (NULL: none needed) + time -> request. */
    int (*request)(const void *account, const struct call_purpose *purpose,
                   const struct credential *credential, int64_t wall_ms,
                   struct http_request *request, struct error *err);
    /* Response -> one verdict per ask, in purpose's order (all are filled, whatever the bytes).
     * `credential` (NULL: none needed) is only there to be kept out of texts. `json` gets the text
     * that may be echoed as `response`: response->body when it was well-formed JSON that quotes no
     * secret, else absent. */
    void (*response)(const void *account, const struct call_purpose *purpose,
                     const struct credential *credential, const struct http_response *response,
                     struct verdict *verdicts, struct next_page *next, struct slice *json);
};

/* The table: a row is the name of a `const struct provider provider_<name>`, which stands in the
 * file of that name. A test may compile it with rows of its own. */
#ifndef PROVIDERS_OF_TESTS
#define PROVIDERS_OF_TESTS(row)
#endif
#define PROVIDERS(row) row(enos) row(scnet) row(iotda) row(koodrive) PROVIDERS_OF_TESTS(row)

#define PROVIDER_DECLARE(name) extern const struct provider provider_##name;
PROVIDERS(PROVIDER_DECLARE)
#undef PROVIDER_DECLARE

/* All, ended by NULL. */
extern const struct provider *const providers[];
/* NULL when there is none of that name. */
const struct provider *provider_find(struct slice name);
/* The name most like it, for "did you mean"; NULL when none is near. */
const char *provider_nearest(struct slice name);
/* "enos, scnet, ...", for messages; cut where it does not fit. */
enum { PROVIDER_NAMES_BYTES = 160 };
void provider_names(char names[PROVIDER_NAMES_BYTES]);
/* The member that the operands of `kancel send` are. */
const struct task_member *provider_operand(const struct provider *provider);

/* ---- shared by the drivers (provider_common.c) ----------------------------------------------- */

/* The verdict on an exchange that gave no whole answer, and on statuses every provider means alike:
 * NOT_SENT -> RETRY unavailable; DENIED -> FAILED unavailable; TIMED_OUT/BROKEN/TOO_LARGE ->
 * UNKNOWN for a cancel, RETRY for a status; 429 -> RETRY throttled; 5xx and 408 -> UNKNOWN for a
 * cancel (502, 503 and 504 too: a gateway may have passed it on), RETRY for a status; 3xx, 204 and
 * any 2xx whose body is no JSON object -> bad_response, UNKNOWN for a cancel, RETRY for a status;
 * 401 -> RENEW; 403 -> REFUSED forbidden; 404 -> bad_response, as it comes from a wrong path or a
 * gateway unless a driver knows the body: REFUSED for a cancel, RETRY for a status; other 4xx ->
 * REFUSED forbidden; none of these tells the state. The error's kind is the cause (timeout,
 * unavailable, bad_response) for UNKNOWN too: the engine turns it into unknown_outcome where the
 * status cannot be asked. */
void verdict_of_http(enum operation operation, const struct http_response *response,
                     struct verdict *verdict);
/* Gives every ask the same verdict. */
void verdict_fill(struct verdict *verdicts, size_t count, const struct verdict *verdict);
/* Fills error code and message (cut, made UTF-8 without control characters; a text that quotes a
 * request's credentials is replaced) and http_status. */
void verdict_set_error(struct verdict *verdict, enum failure kind, struct slice code,
                       struct slice message, int http_status);

bool provider_none_needs_sign_in(const void *account);
int provider_none_sign_in(const void *account, const struct credential *current, int64_t wall_ms,
                          struct http_request *request, struct error *err);
int provider_none_signed_in(const void *account, const struct credential *current,
                            const struct http_response *response, int64_t wall_ms,
                            struct credential *credential, struct verdict *verdict);
bool provider_none_signs_calls(const void *account);
/* One. */
size_t provider_one_ask(const void *account, enum operation operation, const struct task *task,
                        size_t batch);

#endif
