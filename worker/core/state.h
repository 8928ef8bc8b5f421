/*
 * The engine's inside, shared by the files of core that make it up: engine.c (events), intake.c (a
 * record becomes a job), work.c (parts and calls), sign_in.c (credentials), verdicts.c (what an
 * answer means for each ask), decide.c (asks become a result), routes.c (where it goes),
 * committer.c (publishing), assignment.c (partitions come and go). Nobody else includes this.
 *
 * A job is one command being worked on. Its asks travel in parts: asks of one command that are in
 * the same mode and go in one call. A call carries the parts of one or several jobs.
 */
#ifndef KANCEL_WORKER_CORE_STATE_H
#define KANCEL_WORKER_CORE_STATE_H

#include "common/rng.h"
#include "worker/core/admission.h"
#include "worker/core/batcher.h"
#include "worker/core/credentials.h"
#include "worker/core/engine.h"
#include "worker/core/lanes.h"
#include "worker/core/ledger.h"
#include "worker/core/retry.h"
#include "worker/core/timers.h"
#include "worker/core/trace.h"

#include <uthash.h>

struct routes;

/* What the next call for an ask is for. All but ACT ask the status. */
enum ask_mode {
    MODE_ACT,          /* the operation itself */
    MODE_LOOK_FIRST,   /* before a cancel that the partition's last owner may have sent */
    MODE_LOOK_UNKNOWN, /* after a cancel whose fate is unknown */
    MODE_LOOK_AFTER,   /* after a cancel that was taken without telling the state; asked once */
    MODE_LOOK_REFUSED, /* after a refusal that did not tell the state */
    MODE_SETTLE,       /* polled until the task is settled */
    MODE_DONE,
    MODE_COUNT
};

struct ask_state {
    enum ask_mode mode;
    enum outcome outcome;  /* once DONE */
    enum task_state state; /* last seen */
    bool already_cancelled;
    bool taken;        /* its cancel was taken */
    bool maybe_sent;   /* its cancel went out and is neither known to be taken nor known to be not
                          applied */
    bool fate_unknown; /* a cancel of it timed out or broke off, or a crash hides whether one went
                          out: it may still arrive, whatever a status says */
    bool renewed;      /* one renewal of the credential was spent on it */
    unsigned acts;     /* calls that tried the operation */
    size_t most;       /* different ids that its next call may have; 0: no limit of its own */
    struct result_error *error; /* owned; the last one, answered if nothing better comes */
};

struct part {
    struct part *next; /* of its job */
    struct job *job;
    uint32_t *asks; /* indexes into the job's */
    uint32_t only;  /* storage of a part with one ask */
    size_t count;
    enum ask_mode mode;
    unsigned tries;    /* calls in this mode */
    int64_t since_ms;  /* mono: made, or ready */
    size_t most;       /* different ids of its next call */
    struct line *line; /* waiting for a call; NULL: not */
    struct part *line_previous, *line_next;
    struct call *call; /* in flight; NULL: not */
    struct part *call_next;
    struct timer timer; /* backing off or polling; in a line: until when it waits for a call */
};

struct job {
    struct job *previous, *next; /* of its partition */
    struct job *publish_previous, *publish_next;
    struct command command;
    struct partition *partition; /* NULL: lost while its result was in the batch that is out */
    struct account *account;     /* NULL: invalid before an account was found */
    struct task *task;           /* NULL: invalid */
    struct ledger_entry entry;
    struct lane_member result_lane;
    struct lane_member *call_lanes; /* one (first_call_lane) or one per task */
    struct lane_member first_call_lane;
    size_t call_lane_count;
    struct part *parts;
    struct part first_part;
    struct ask_state *asks;
    struct ask_state first_ask;
    size_t ask_count, open_asks;
    unsigned attempts;
    enum task_state told;  /* by the last progress event; STATE_COUNT: none yet */
    uint64_t last_attempt; /* the call that was counted last */
    int64_t received_mono_ms, received_wall_ms;
    int64_t begun_before_ms; /* of a suspect: so long before its first call the last owner may have
                                made one */
    int64_t
        began_mono_ms; /* its first call; 0: none yet. Retries are given up counting from here */
    int64_t settle_until_ms; /* mono_ms; INT64_MAX: not settling, or the command's own deadline
                                counts */
    int64_t decided_mono_ms;
    struct timer expiry;
    bool settling;
    bool in_share; /* counted in its partition's taken_by */
    bool dry_run;  /* answered in place of a call */
    bool suspect;  /* the last owner may have begun it */
    bool called;   /* a call for it went out */
    bool started;  /* first in all its call lanes: parts may go */
    bool behind;   /* not yet, and its asks count so in its account */
    bool expired;  /* its deadline is over: no cancel starts any more */
    bool stopped;  /* left to the next owner: no new work but looks that confirm */
    bool decided;
    bool unfit;  /* its result fits no topic: counted in the engine */
    bool queued; /* for publishing */
    bool in_batch;
    bool unanswerable;    /* only dead-lettered */
    bool reply_too_small; /* its result does not fit the topic that was asked for */
    struct trace *trace;  /* owned; NULL: it came with none, and none is made of it */
    const char *topic;    /* where its result goes; borrowed from its message */
    struct buffer response;
    struct result *result; /* owned; NULL: not decided */
    struct result_item *items;
    struct result_error *error; /* owned; of a job without asks (invalid, not permitted, ...) */
    struct message *message;    /* the answer; NULL: none, or not built yet, or in the batch */
    struct message *dead_letter;
    struct message *progress; /* to be published; NULL: none */
    struct job *progress_previous, *progress_next;
    size_t bytes;
};

struct call {
    uint64_t id;
    UT_hash_handle hh;
    struct account *account;
    struct part *parts; /* NULL: a sign-in */
    enum operation operation;
    int64_t since_ms;    /* mono: its request went out */
    uint64_t generation; /* of the credential used */
    int64_t began_ms;    /* mono: its first page's */
    bool probe;          /* of an open breaker */
    uint64_t span;       /* 0: not traced */
    struct ask *asks;    /* of all its parts, one part after the other */
    size_t count, ids;
    struct verdict *verdicts; /* from the first answer on */
    unsigned page;
    struct buffer cursor;
};

struct account {
    const struct account_settings *settings;
    struct account_metrics *metrics;
    struct engine *engine;
    struct admission admission;
    struct credentials credentials;
    struct result_error refusal; /* why the account is held */
    int64_t give_up_ms; /* mono: while it is held, when some may have waited for too long */
    struct batcher batcher;
    unsigned turn;         /* the operation whose line is looked at first */
    size_t most_asks;      /* of one call so far */
    size_t behind;         /* asks of commands that wait for others of their key */
    bool plenty;           /* of its asks wait for a call */
    bool busy;             /* and as many calls as it may have are out: see engine_is_hungry() */
    int64_t poll_phase_ms; /* of the grid that its polls come on */
    struct timer timer;    /* when admission or credentials should be asked again */
    UT_hash_handle hh;     /* accounts_by_name */
};

enum partition_phase {
    PARTITION_READING, /* its position is being read */
    PARTITION_OWNED,
    PARTITION_LEAVING, /* takes nothing more; drains, then a last commit */
    PARTITION_LEFT,    /* the last commit is there: nothing remains to be done */
};

/* Something that stands still, from the first line about it to the last. */
struct episode {
    bool open;
    enum wait_reason reason;
    int64_t next_ms, pause_ms;
};

struct partition_watch {
    int64_t head;                 /* offset of its oldest command; -1: none */
    int64_t still_since_ms;       /* it is the oldest since */
    struct partition_facts facts; /* as the consumer said last */
    int64_t sated_ms;             /* the engine's then */
    int64_t held_since_ms;   /* records lie behind stable_end, which does not move; 0: none do */
    int64_t behind_since_ms; /* records lie behind next, which does not move; 0: none do */
    enum wait_reason reason; /* of the last look; WAIT_REASONS: it moves */
    struct episode episode;
};

struct partition {
    struct partition *next;
    char *topic;
    int32_t number;
    enum partition_phase phase;
    struct ledger ledger;
    struct job *first, *last; /* in order of offset */
    size_t map_bytes;         /* of the last commit's metadata */
    size_t job_count, calls_out, queued, in_batch;
    bool asked;            /* its position is in the read that is out */
    bool loaded, assigned; /* its position is known; ports.assign was told */
    bool forced;           /* its time to drain is over */
    bool marked;           /* a commit of ours marks it as begun: calls may start */
    bool paused;
    uint32_t *taken_by; /* commands of each account in the window; not those that overflow */
    const struct account *full_of; /* it has its share of the window: paused until it has less */
    bool revoked;                  /* ports.unassign is owed */
    bool owes_position;            /* what was published of it is not in a commit yet */
    size_t uncommitted;            /* its answers of which that is so */
    bool in_positions;             /* the batch that is out commits it */
    bool final_out, final_clean;   /* that commit is its last one */
    struct partition_watch watch;
};

enum { REASON_BYTES = 256 }; /* of somebody else's words for why something failed */

struct committer {
    bool ready;                    /* a producer is there */
    bool recovering, reading_back; /* reading_back: positions are to be read, or being read */
    struct batch *out;             /* counts only: the sink holds it */
    struct job **jobs;             /* of the batch that is out, or of one whose fate is unknown */
    size_t job_count;
    struct job *first, *last;                   /* decided, in order, waiting to be published */
    struct job *progress_first, *progress_last; /* with a progress event to be published */
    struct message **progress;                  /* of the batch that is out */
    size_t progress_count;
    int64_t last_begin_ms, last_positions_ms;
    int64_t second; /* the running second and how many results were committed in it and in the one
                       before */
    unsigned in_second, in_last_second;
    unsigned aborts;                 /* in a row */
    char abort_reason[REASON_BYTES]; /* the last one's */
    int64_t since_ms; /* of the first begin since something was committed or nothing was to do; 0:
                         none */
    int64_t not_before_ms;
    struct timer timer;
};

/* Answers do not say what they were asked for, so one read is out at a time. */
enum position_read { READ_NOTHING, READ_ASSIGNED, READ_BACK };

enum { WATCHDOG_CAUSES = 7, WATCHDOG_WORDS_BYTES = 512 };

struct watchdog {
    struct timer timer;
    int64_t awake_ms; /* when a look last came late: the process had been stopped */
    bool brokers_gone, coordinator_gone;
    char hindrance[REASON_BYTES];      /* what the consumer complains of; empty: nothing */
    int64_t since_ms[WATCHDOG_CAUSES]; /* since when each cause holds; 0: it does not */
    struct episode episode;            /* of the whole worker */
    char words[WATCHDOG_WORDS_BYTES];  /* of the fault that the last look found; empty: none */
};

struct engine {
    const struct engine_settings *settings;
    const struct ports *ports;
    struct now now;
    struct rng rng;
    struct timers timers;
    size_t timer_users;
    struct lanes lanes;
    struct account *accounts;
    size_t waiting; /* asks of all accounts, as in their metrics */
    struct account *accounts_by_name;
    struct partition *partitions;
    struct partition *found; /* by the last look-up: records come of each in turn */
    struct call *calls;
    uint64_t last_call_id;
    int64_t last_sign_in_ms; /* wall clock, as the last sign-in of any account carried it */
    unsigned calls_out;      /* in flight, all accounts */
    size_t busy_accounts;
    int64_t sated_ms;    /* how long all of them were, in all */
    size_t next_account; /* round robin */
    size_t bytes;
    struct routes *routes;
    struct committer committer;
    struct metrics metrics;
    enum position_read positions_out;
    bool assign_owed, unassign_owed;
    bool draining, drain_over, fenced;
    const char *failed; /* why the engine gave up: nothing is taken, called or published any more */
    bool bytes_full;
    bool shares_rates; /* an account has limits.share_group */
    bool count_anew;
    int64_t share_at_ms;      /* mono: when the shares are to be looked at again */
    struct timer leave_timer; /* end of revoke_drain or drain */
    struct timer retry_timer; /* positions, topics: ask again */
    const char *blocked;      /* why nothing can be published */
    bool outputs_known;       /* the output topics could be asked about */
    size_t unfit;             /* jobs whose result fits no topic */
    struct watchdog watchdog;
};

#define LOG(engine, level, event, ...)                                                             \
    (engine)->ports->log((engine)->ports->context, (level), (event), __VA_ARGS__)

static inline bool mode_acts(enum ask_mode mode)
{
    return mode == MODE_ACT;
}

static inline enum operation mode_operation(const struct job *job, enum ask_mode mode)
{
    return mode == MODE_ACT ? job->command.operation : OPERATION_STATUS;
}

/* ---- engine.c -------------------------------------------------------------------------------- */

/* For what cannot be survived without losing a command (no memory): stops everything; the process
 * leaves with exit 1 and the next owner begins at the last commit. */
void engine_fail(struct engine *engine, const char *why);

/* ---- intake.c -------------------------------------------------------------------------------- */

/* Takes a record of an owned partition. */
void intake_record(struct engine *engine, struct partition *partition, const struct record *record);
/* When a command is too late, wall clock: its own deadline or its age's; COMMAND_NEVER. */
int64_t intake_deadline(const struct engine *engine, const struct command *command);
/* Sets the timer of that deadline, or of the end of settling if that comes first. */
void intake_set_expiry(struct engine *engine, struct job *job);
/* Out of lanes, lists, timers and memory. The ledger entry must be answered by the caller first
 * where it is. */
void job_free(struct engine *engine, struct job *job);
/* Starts every part of a job that is first in all its lanes. */
void job_start(struct engine *engine, struct job *job);
/* Leaves the call lanes, so that followers may start. */
void job_free_call_lanes(struct engine *engine, struct job *job);
/* A message of the job's counts as memory in flight, or (`more` false) does no longer. */
void job_count_message(struct engine *engine, struct job *job, const struct message *message,
                       bool more);
/* Back into its result lane, ahead of all. -1: no memory. */
int job_rejoin_result_lane(struct engine *engine, struct job *job) MUST_CHECK;
/* Pauses or resumes by window, ledger and bytes. */
void intake_flow(struct engine *engine);

/* ---- work.c ---------------------------------------------------------------------------------- */

/* What becomes of asks that are in no part. */
struct part_plan {
    enum ask_mode mode;
    unsigned tries;
    size_t most;      /* different ids of a call; 0: as many as the account allows */
    int64_t pause_ms; /* due in; 0: now, -1: when the job starts */
};
/* Makes parts of at most one call's size. -1: no memory. */
int work_make_parts(struct engine *engine, struct job *job, const uint32_t *asks, size_t count,
                    const struct part_plan *plan) MUST_CHECK;
/* It waits for a call from now on, if it may go. */
void part_ready(struct engine *engine, struct part *part);
void part_unready(struct engine *engine, struct part *part);
/* The partition's assignment is marked as begun: its calls may start. */
void work_begin(struct engine *engine, struct partition *partition);
void part_free(struct engine *engine, struct part *part);
/* Starts what may start. */
void work_pump(struct engine *engine);
void work_response(struct engine *engine, struct call *call, const struct http_response *response);
/* A call without parts yet: a sign-in has none. NULL: no memory. */
struct call *call_new(struct engine *engine, struct account *account);
void call_free(struct engine *engine, struct call *call);
/* Takes a job's parts out of the calls in flight; those that carry nobody else's are abandoned. */
void work_abandon(struct engine *engine, struct job *job);
void account_timer_fired(void *context, struct timer *timer);

/* ---- sign_in.c ------------------------------------------------------------------------------- */

void sign_in_start(struct engine *engine, struct account *account);
/* Its answer; the call is freed already. */
void sign_in_answered(struct engine *engine, struct account *account,
                      const struct http_response *response);
/* What a call's answer says about the credential it was made with; refusals that the clock explains
 * get to say so. True when the account is held from now on: `why` is then to be told to what waits,
 * once the verdicts are applied. */
bool sign_in_judge(struct engine *engine, struct account *account, uint64_t generation,
                   struct verdict *verdicts, size_t count, const struct http_response *response,
                   struct verdict *why) MUST_CHECK;
/* What waits for the account that was just held is answered so. */
void sign_in_refuse_waiting(struct engine *engine, struct account *account,
                            const struct verdict *why);
/* While an account is held nothing waits longer than give_up_after. Returns when to look again. */
int64_t sign_in_give_up(struct engine *engine, struct account *account);
void sign_in_secrets_changed(struct engine *engine, struct account *account);

/* ---- limits.c -------------------------------------------------------------------------------- */

/* The first line that may take a call now, cancels and statuses in turn. NULL: none; *wanted says
 * whether one waits, *wait_ms when to look again (INT64_MAX: not by the clock). */
struct line *limits_admitted(struct engine *engine, struct account *account, bool *wanted,
                             int64_t *wait_ms);
/* With several accounts none takes more of the worker's call slots than it leaves free (Choudhury
 * and Hahne, "Dynamic Queue Length Thresholds", 1998): however many are stuck, there is room for
 * the next. True: it has as many as that. */
bool limits_has_share(const struct engine *engine, const struct account *account);
/* What a call's answer says to the account's admission; before its verdicts are applied. */
void limits_learn(struct engine *engine, struct call *call, const struct http_response *response);
/* After any change of how many of its asks wait for a call, or how many calls are out. */
void limits_note_busy(struct engine *engine, struct account *account);
/* Gives accounts with limits.share_group their part of the rate, when it may have changed. */
void limits_share_rates(struct engine *engine);
/* Partitions came or went; `anew`: how many there are is to be asked again. */
void limits_partitions_changed(struct engine *engine, bool anew);
/* The operator's switch. */
void limits_hold(struct engine *engine, struct account *account, bool on);
/* Copies what admission is at into the account's metrics. */
void limits_note_gauges(struct account *account);

/* ---- verdicts.c ------------------------------------------------------------------------------ */

/* Holds the account if the answer says so, whatever it says of each ask. */
void verdicts_hold(struct engine *engine, struct account *account, const struct verdict *verdicts,
                   size_t count, const struct http_response *response);
/* Applies verdicts to the asks of a part whose call has ended and sends each on its way; frees the
 * part. `jitter` is the call's: parts of one call that pause alike come back together. */
void verdicts_apply(struct engine *engine, struct part *part, const struct verdict *verdicts,
                    const struct rng *jitter);
/* The job's deadline has come. */
void verdicts_expire(struct engine *engine, struct job *job);
/* Ends every open ask of the part with this failure. */
void verdicts_fail(struct engine *engine, struct part *part, enum failure failure,
                   const char *message);
/* The part was tried before and retry.give_up_after is over: no further try. */
bool verdicts_overdue(const struct engine *engine, const struct part *part);
/* Ends it with the errors that its tries left. */
void verdicts_give_up(struct engine *engine, struct part *part);

/* ---- trace.c --------------------------------------------------------------------------------- */

/* Takes up the trace of a command, or begins one. */
void trace_begin(struct engine *engine, struct job *job);
/* Hands the trace on to a call that is about to go. */
void trace_request(struct engine *engine, struct call *call, struct http_request *request);
void trace_called(struct engine *engine, const struct call *call,
                  const struct http_response *response);
/* The command's result is committed. */
void trace_answered(struct engine *engine, const struct job *job);

/* ---- decide.c -------------------------------------------------------------------------------- */

/* An ask is done: sets its outcome from `failure` (FAILURE_NONE: succeeded). ask->error holds code
 * and message, if any. */
void ask_done(struct engine *engine, struct job *job, struct ask_state *ask, enum failure failure);
/* Keeps an error for the ask; false: no memory (the ask then answers without details). */
bool ask_keep_error(struct ask_state *ask, const struct result_error *error);
/* Decides the job when all asks are done. */
void decide_if_done(struct engine *engine, struct job *job);
/* Decides a job without asks. `failure` FAILURE_INVALID_COMMAND, EXPIRED, NOT_PERMITTED, INTERNAL.
 */
void decide_without_asks(struct engine *engine, struct job *job, enum failure failure,
                         const char *message);
/* Builds the record that answers, if it is not there, once it is known where to. False: not yet. */
bool decide_message(struct engine *engine, struct job *job);
/* Tells of the state of a job that settles, if it wants that and the state is another one than
 * before. */
void decide_progress(struct engine *engine, struct job *job);
/* Builds the job's message if its route is known; queues it for publishing when its lane lets it.
 */
void decide_publish(struct engine *engine, struct job *job);
/* The same for every job: something became known. */
void decide_publish_all(struct engine *engine);

/* ---- routes.c -------------------------------------------------------------------------------- */

struct routes *routes_new(const struct engine_settings *settings, struct hash_seed seed,
                          struct error *err);
void routes_free(struct routes *routes);
/* Asks about the results and dead-letter topics when needed; true once both are known to be there.
 */
bool routes_outputs_ready(struct engine *engine);
/* Fills where a job's result goes. False: not known yet; the topic has been asked for and `job` is
 * tried again when facts come. */
bool routes_destination(struct engine *engine, const struct job *job,
                        struct destination *destination);
/* How many partitions a topic has; -1: not known, asked for. `anew`: asks again, whatever is known.
 */
int32_t routes_partitions(struct engine *engine, const char *topic, bool anew);
size_t routes_dead_letter_limit(struct engine *engine);
void routes_learn(struct engine *engine, const struct topic_facts *facts);
/* A message for this topic failed for a lasting reason: what is known of the topic is corrected. */
void routes_doubt(struct engine *engine, const char *topic, enum delivery_error why,
                  size_t message_size);

/* ---- committer.c ----------------------------------------------------------------------------- */

void committer_queue(struct engine *engine, struct job *job);
void committer_remove(struct engine *engine, struct job *job); /* of a partition that is given up */
/* Takes a progress event of a job that settles, in place of one that is not published yet. It is
 * published once or, should its transaction abort, not at all: the next one says more. */
void committer_progress(struct engine *engine, struct job *job, struct message *message);
/* What is not published yet is not published any more: the job is decided or goes. */
void committer_forget_progress(struct engine *engine, struct job *job);
/* Frees the events of a batch that nobody holds any more. */
void committer_free_progress(struct engine *engine);
void committer_run(struct engine *engine);
void committer_receipt(struct engine *engine, struct batch *batch, enum receipt_kind kind,
                       const struct error *err);
void committer_recovered(struct engine *engine);
/* After a batch of unknown fate: asks for the positions it would have committed. */
void committer_ask_back(struct engine *engine);
void committer_read_back(struct engine *engine, const struct position *positions, size_t count);
void committer_timer_fired(void *context, struct timer *timer);

/* ---- waiting.c ------------------------------------------------------------------------------- */

/* What a job of a partition waits for. */
void waiting_look(const struct engine *engine, const struct job *job, struct waiting *waiting);

/* ---- watchdog.c ------------------------------------------------------------------------------ */

void watchdog_start(struct engine *engine);
void watchdog_timer_fired(void *context, struct timer *timer);
void watchdog_learn(struct engine *engine, const struct consumer_facts *facts);

/* ---- assignment.c ---------------------------------------------------------------------------- */

struct partition *assignment_find(struct engine *engine, const char *topic, int32_t number);
void assignment_add(struct engine *engine, const struct topic_partition *partitions, size_t count);
/* Asks for the positions of what was assigned and has none yet, unless a read is out or due that
 * goes first. */
void assignment_read_again(struct engine *engine);
void assignment_revoke(struct engine *engine, const struct topic_partition *partitions,
                       size_t count, bool lost);
void assignment_positions(struct engine *engine, const struct position *positions, size_t count,
                          const struct error *err);
/* Every partition stops taking and starting. */
void assignment_drain(struct engine *engine);
/* Goes on with what waits: assign, unassign, leaving partitions. */
void assignment_run(struct engine *engine);
void assignment_free_all(struct engine *engine);
/* True when the partition has nothing in flight or to publish any more. */
bool partition_is_quiet(const struct partition *partition);
/* No job of it was begun and left open: the next owner need not ask before it cancels. */
bool partition_is_clean(const struct partition *partition);
void leave_timer_fired(void *context, struct timer *timer);

#endif
