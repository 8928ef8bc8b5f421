/*
 * A conversation with the engine: a test sends a record, expects a call, answers it, expects a
 * result. All ports are played here, one partition "cmd"/0 is assigned unless the test does it
 * itself. Tasks share calls when they say so with the same text ("share":"s"), up to three ids a
 * call. The provider is a fictitious driver whose answers are written as one letter an ask: c
 * taken, cancelling   C taken, cancelled   k taken, state not told   a was cancelled already w r s
 * the task waits, runs, has succeeded     u  a state nobody knows n no such task   e refused: it
 * has ended   f refused, not saying why   g refused, by nobody who knows   x failed for good R may
 * be sent again   T throttled   ? fate unknown   A credential not accepted   S the call is refused
 * as a whole and nothing was applied: in halves   Z the same, but who knows what was applied
 */
#ifndef KANCEL_TESTS_CONVERSATION_H
#define KANCEL_TESTS_CONVERSATION_H

#include "tests/unit/unit.h"
#include "worker/core/engine.h"

enum { SAID_MOST = 256 };

struct said_call {
    uint64_t id;
    char text[512]; /* "cancel a b" */
    char traceparent[64];
    bool open;
};

extern struct engine *engine;
extern struct engine_settings settings;
extern struct account_settings account;
extern struct now now;
extern struct said_call calls[SAID_MOST];
extern size_t call_count;
extern struct span spans[SAID_MOST]; /* texts are gone */
extern size_t span_count;
extern struct batch *batch; /* out, not answered yet */
extern bool assigned, unassigned, paused, recovering;
extern size_t positions_asked;
extern char results[SAID_MOST][2048]; /* values of committed messages, in order */
extern char result_topics[SAID_MOST][64];
extern size_t result_count;
extern int64_t committed_offset;
extern char committed_metadata[5000];
extern size_t results_limit;  /* the results topic's */
extern int64_t record_age_ms; /* how long before it is said a record was written */
extern size_t topic_limit;    /* a reply topic's max.message.bytes */
extern bool results_exist;    /* what look-ups of the results topic say */
extern bool bad_secret;       /* no sign-in can be made of it */
extern bool topic_exists;     /* what look-ups of reply topics say */
extern const char *json_echo; /* the JSON text of every answer from now on; NULL: none */

/* Lines of the log with this event so far, and the last of them ("": none). */
size_t logged(const char *event);
const char *last_logged(const char *event);

/* Checked fixture: settings with one account, engine, partition assigned and marked. */
void conversation_begin(void);
void conversation_end(void);
/* The same with the settings changed by the test first. */
void conversation_start_engine(void);
/* Starts again with an account that signs in. */
void conversation_signs_in(void);
/* Starts again with an account whose calls are signed by a key. */
void conversation_signs_calls(void);
void conversation_assign(int64_t offset, const char *metadata);
/* The worker is killed; another one has the partition from the last commit on. */
void conversation_crash(void);

/* Sends a command {"id":ID,"operation":OP,"provider":"fake","task":TASK,EXTRA}; returns its offset.
 */
int64_t say(const char *key, const char *id, const char *operation, const char *task,
            const char *extra);
/* The same with a header that asks for the answer in that topic. */
int64_t say_reply(const char *key, const char *id, const char *topic);
/* The same with any header and task. */
int64_t say_with(const char *key, const char *id, const char *task, const char *name,
                 const char *value_of_header);
int64_t say_raw(const char *key, const char *value);
/* The oldest open call must have this text; returns its id. */
uint64_t hear_call(const char *text);
void hear_no_call(void);
void answer_call(uint64_t id, const char *letters);
void answer_throttled(uint64_t id, const char *retry_after);
/* With a Date header. */
void answer_dated(uint64_t id, const char *letters, const char *date);
/* The call was not made: its address is denied, `problem` says by what. */
void answer_denied(uint64_t id, const char *problem);
/* Answers what was asked about topics. */
void tell_facts(void);
/* The batch that is out is committed (or aborted, ...); a further one that it makes possible too,
 * until none is out. */
void commit_all(void);
void receipt(enum receipt_kind kind);
/* The oldest result not heard yet has this id, outcome and state ("" : none) in its JSON. */
void hear_result(const char *id, const char *outcome, const char *state);
void hear_no_result(void);
/* The text of the result heard last. */
const char *last_result(void);
void later(int64_t ms); /* time goes by in steps, ticking at every deadline */

#endif
