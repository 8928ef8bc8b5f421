/*
 * A simulated world: workers (the real core with the real drivers) on a simulated Kafka and
 * simulated providers. One thread, one virtual clock, one generator: a seed replays to the
 * millisecond. The parts: events.c (clock, trace), plan.c (what a seed chooses), commands.c (what
 * requesters send), tasks.c and answers.c (the providers), calls.c (HTTP and its faults), broker.c
 * (logs, consumers), group.c (who owns what; crashes, drains), sink.c (transactions), workers.c
 * (engine and ports), checks_calls.c and checks_results.c (the independent record).
 */
#ifndef KANCEL_TESTS_SIMULATION_WORLD_H
#define KANCEL_TESTS_SIMULATION_WORLD_H

#include "common/rng.h"
#include "worker/core/engine.h"

enum {
    PLACES_MOST = 4,                /* identities of workers: pods of a set */
    WORKERS_MOST = 2 * PLACES_MOST, /* processes: a place may have a twin */
    PARTITIONS_MOST = 6,
    ITEMS_MOST = 12,
    IDS_A_COMMAND = 100,
    STATES_MOST = 8,
    KEYS_MOST = 8,
};

enum which_account { ENOS, SCNET, IOTDA, KOODRIVE, ACCOUNT_COUNT };

enum fault {
    FAULT_NONE,
    /* HTTP */
    FAULT_NOT_SENT,
    FAULT_TIMEOUT_BEFORE,
    FAULT_TIMEOUT_AFTER,
    FAULT_TIMEOUT_LATE, /* applied after the caller gave up */
    FAULT_RESET_BEFORE,
    FAULT_RESET_AFTER,
    FAULT_5XX_BEFORE,
    FAULT_5XX_AFTER,
    FAULT_429,
    FAULT_RETRY_AFTER,
    FAULT_CODE_IN_200, /* scnet 911048; others as 429 */
    FAULT_HTML,
    FAULT_CUT_JSON,
    FAULT_204,
    FAULT_TOO_LARGE,  /* the answer is longer than the worker reads; applied */
    FAULT_PAGE,       /* iotda: what is asked for is on the next page */
    FAULT_CREDENTIAL, /* enos: the token is not accepted any more */
    FAULT_SIGN_IN,
    /* Kafka */
    FAULT_ABORT,
    FAULT_UNKNOWN_DONE,
    FAULT_UNKNOWN_NOT,
    FAULT_STALE, /* seen, not drawn: a batch of an older generation */
    FAULT_READ_FAILS,
    FAULT_READ_WAITED, /* seen: an open transaction of a crashed owner */
    FAULT_LOOK_UP_FAILS,
    FAULT_RESULTS_GONE,        /* the results topic is not there for a while */
    FAULT_DEAD_GONE,           /* the dead-letter topic */
    FAULT_REFUSED,             /* a topic takes no record, for a reason that no look-up tells */
    FAULT_FORBIDDEN,           /* or for want of a permission */
    FAULT_LIMIT,               /* a topic's max.message.bytes is lowered for a while */
    FAULT_OVER_LIMIT,          /* seen: a message refused for its length */
    FAULT_AGAIN,               /* seen: answered again, as at_least_once may */
    FAULT_RETENTION,           /* records go before they are answered */
    FAULT_CUT_OFF,             /* seen: the committed offset is below what is left */
    FAULT_MAP_FULL,            /* seen: paused, as the map would not fit its 4,096 bytes */
    FAULT_BYTES_FULL,          /* seen: paused for the bytes that are held */
    FAULT_EVENT,               /* seen: a command in a CloudEvent */
    FAULT_NOT_PERMITTED,       /* seen: refused by the account's own `allow` */
    FAULT_SHARED_RATE,         /* seen: calls of several workers under one rate */
    FAULT_SHARED_CALL,         /* seen: a call for several commands */
    FAULT_BREAKER,             /* seen: so many calls failed that nothing may go but probes */
    FAULT_HOLD,                /* an operator holds an account for a while */
    FAULT_HANG,                /* a Kafka call does not come back for long */
    FAULT_REPLY_GONE,          /* seen: a message refused as its topic vanished */
    FAULT_TRANSACTION_TIMEOUT, /* seen: the coordinator aborted what a paused worker had open */
    /* group */
    FAULT_CRASH,
    FAULT_DRAIN,
    FAULT_LOST,
    FAULT_EAGER, /* seen: rebalances of three shapes: all partitions are taken and given anew */
    FAULT_COOPERATIVE, /* only those that move */
    FAULT_ONE_BY_ONE,  /* KIP-848: one at a time, its former owner still finishing */
    FAULT_TWIN,        /* a process with the same instance id */
    FAULT_FENCED,      /* seen: what the older one published was refused for that */
    FAULT_PAUSE,       /* a process is stopped and goes on later */
    FAULT_ZOMBIE,      /* seen: later than its session's end */
    FAULT_ZOMBIE_CALL, /* seen: a cancel by a worker that does not know yet that it lost the
                          partition */
    /* the machine */
    FAULT_STALL, /* the loop was late */
    FAULT_CLOCK, /* the wall clock was set */
    FAULT_COUNT
};

enum protocol { PROTOCOL_EAGER, PROTOCOL_COOPERATIVE, PROTOCOL_CONSUMER };

/* What a seed chose. Chances are in 10,000. */
struct plan {
    unsigned chance[FAULT_COUNT];
    unsigned workers, partitions, keys, commands;
    int64_t production_ms; /* commands come within so long */
    unsigned null_keys, invalid, cancels, settled, expiring, replies, gaps, missing,
        ended;           /* of 100 */
    unsigned providers;  /* bit per enum which_account */
    bool ends_unknown;   /* the end offset is not told now and then */
    bool windows_differ; /* as while a new configuration is rolled out */
    enum protocol protocol;
    bool at_least_once;
    unsigned contexts;  /* of 100: commands with a long context */
    unsigned events;    /* of 100: commands in a CloudEvent */
    bool wide;          /* gaps so wide that the map is full before the window */
    bool fixed;         /* static members: a place keeps its partitions for a session */
    int64_t latency_ms; /* most of one HTTP direction */
    int64_t task_ms;    /* most of a task's life */
};

/* ---- what there is ------------------------------------------------------------------------------
 */

/* A thing at a provider; its states in order of time, looked at through task_at(). */
struct sim_task {
    bool missing;
    int64_t since[STATES_MOST];
    enum task_state states[STATES_MOST];
    unsigned count;
    int64_t runs_at, ends_at, cancelled_at; /* INT64_MAX: not */
    enum task_state end;
    bool finishes_anyway; /* a cancel is taken and the task ends by itself all the same */
};

enum fate {
    FATE_NEVER_SENT,
    FATE_OUT,
    FATE_NOT_APPLIED, /* the answer said so */
    FATE_OPEN,        /* anything else: may or may not have been applied, or was */
};

struct item {
    struct sim_task task;
    enum fate fate;   /* of the last cancel */
    uint64_t sent_by; /* ownership */
    int64_t sent_at;
    bool by_zombie;     /* by one who did not know that it had lost the partition */
    uint64_t looked_by; /* ownership that read the status since */
    bool looked_clean;  /* and a clean commit came after that */
    uint64_t closed_by; /* ownership that was told that no cancel is needed any more */
    uint64_t acts_by;   /* ownership whose cancels are counted */
    unsigned acts;
    int64_t not_sent_at; /* when it was told that its last cancel found no connection; -1 */
    int64_t applied_at;  /* of the last cancel that the provider applied; -1: none */
    bool accepted;       /* the provider said yes to one */
    bool late;           /* one was, or may be, applied after its caller had given up */
};

enum command_kind {
    COMMAND_VALID,
    COMMAND_BAD_JSON,
    COMMAND_BAD_TASK,
    COMMAND_BAD_ACCOUNT,
    COMMAND_TOMBSTONE
};
enum mode { MODE_PLAIN, MODE_STRUCTURED, MODE_BINARY }; /* CloudEvents */
enum reply { REPLY_RESULTS, REPLY_TOPIC, REPLY_MISSING, REPLY_FORBIDDEN, REPLY_VANISHING };

struct sim_command {
    unsigned index;
    enum command_kind kind;
    enum which_account account;
    enum operation operation;
    bool settled, all, is_list;
    unsigned context; /* bytes of it */
    int key;          /* -1: null */
    int partition;
    int64_t offset; /* -1: not produced yet */
    int64_t produced_at;
    int64_t expires_ms; /* wall; COMMAND_NEVER */
    enum reply reply;
    char *value;
    char key_text[8];
    enum mode mode;
    char event_id[16], expiry[32];
    struct header headers[8];
    size_t header_count;
    struct item items[ITEMS_MOST];
    size_t item_count;
    /* the record */
    int64_t taken_at;  /* first; -1 */
    uint64_t calls_by; /* ownership whose calls are counted */
    unsigned calls, calls_out;
    uint64_t inside_by; /* ownership that took it and has not answered it; 0: none */
    unsigned results, dead_letters;
    bool answered;
    bool refused; /* a topic refused its result once */
    bool cut;     /* retention took it before it was answered in full */
};

/* What the worker writes to. */
enum which_topic { TOPIC_RESULTS, TOPIC_DEAD, TOPIC_REPLY, TOPIC_VANISHING, TOPIC_COUNT };

struct sim_topic {
    bool gone;
    enum delivery_error refuses;
    size_t limit;
};

struct sim_partition {
    struct sim_command **log;
    size_t count, capacity;
    int64_t start, end;
    int owner; /* worker; -1 */
    int64_t committed;
    char *metadata;     /* NULL: nothing committed */
    int pending_worker; /* of an open transaction; -1 */
    uint64_t pending_life;
    size_t answered_below; /* index into the log: all before are answered */
};

/* A worker's view of a partition. */
struct view {
    bool owned, delivering, paused, scheduled, leaving;
    uint64_t ownership;
    bool clean;             /* the last owner said that it left nothing begun */
    int64_t read_at, first; /* first: where it began when that was read */
    uint64_t generation;    /* in which it was assigned */
    int64_t position;
    size_t inside;                           /* taken and not answered */
    int64_t highest_cancel[KEYS_MOST];       /* offset, by key */
    struct sim_command *key_call[KEYS_MOST]; /* whose cancel is out */
};

enum sink_kind { SINK_READ, SINK_LOOK_UP, SINK_COMMIT, SINK_RECOVER };

struct sink_job {
    struct sink_job *next;
    enum sink_kind kind;
    struct batch *batch;
    uint64_t generation;
    int partitions[PARTITIONS_MOST];
    size_t partition_count;
    char topic[32];
    bool open;      /* its transaction reached the coordinator */
    bool timed_out; /* and was aborted there */
    enum fault fault;
};

enum rebalance { REBALANCE_NONE, REBALANCE_ASSIGNING, REBALANCE_REVOKING };

/* What a breaker must have seen of one operation of one account. */
enum { ANSWERS_MOST = 100 };
struct failing {
    int64_t at[ANSWERS_MOST]; /* a ring: when the last calls ended */
    uint64_t count;
    uint64_t in_a_row; /* the last so many failed beyond doubt */

    bool open;
    int64_t next_ms; /* when the next call may go */
};

struct sim_worker {
    struct world *world;
    int index;
    struct engine *engine; /* NULL: down */
    struct ports ports;
    struct engine_settings settings; /* the world's, perhaps with another window */
    uint64_t life;                   /* counts its engines, over all workers; 0: none yet */
    bool told;                       /* the rebalance that is going on says so */
    bool joined;                     /* it was given an assignment */
    bool fenced;                     /* a twin has taken its place in the group, */
    bool usurped;                    /* and its transactional id */
    int64_t asleep_until;
    bool member, kicked; /* kicked: the group has thrown it out, it does not know yet */
    bool draining, closing;
    uint64_t generation;
    enum rebalance rebalance;
    struct view views[PARTITIONS_MOST];
    struct sink_job *jobs, *last_job;
    bool sink_busy,
        unclosed; /* unclosed: a transaction of unknown fate is open at the coordinator */
    struct sink_job *undecided;
    int64_t skew_ms, mono_ms, latest_wall_ms;
    int64_t tick_at;
    unsigned calls_out[ACCOUNT_COUNT], sign_ins_out[ACCOUNT_COUNT];
    char rejected[48]; /* the last credential that the provider did not accept */
    double tokens[ACCOUNT_COUNT];
    int64_t refilled[ACCOUNT_COUNT];
    int64_t held_until[ACCOUNT_COUNT];
    bool stopped[ACCOUNT_COUNT]; /* by an operator */
    struct failing failing[ACCOUNT_COUNT][OPERATION_COUNT];
    int64_t drain_until;
};

struct call_item {
    struct sim_command *command;
    size_t index;
    uint64_t ownership; /* under which it was sent */
    bool lost;          /* its partition was given back, the call goes on for others */
};

struct sim_call {
    struct sim_call *next;
    uint64_t id, life;
    int worker;
    enum which_account account;
    bool rejects;        /* the answer says that the credential is not accepted */
    bool pageable, page; /* page: a follow-up */
    bool sign_in, cancel, abandoned, applied, accepts, reads, ended;
    bool listing; /* reads all items of a command, whoever asked for which */
    int64_t sent_at;
    enum fault fault;
    struct call_item items[ITEMS_MOST];
    size_t count;
    char token[48];
    /* the answer */
    enum http_result result;
    int status;
    int64_t retry_after_s;    /* -1: none */
    bool not_applied;         /* the answer says so */
    bool refused[ITEMS_MOST]; /* it says so of this one */
    bool open[ITEMS_MOST];    /* it says that this one may still be cancelled */
    struct buffer body;
};

struct event;
typedef void event_fire(struct world *world, const struct event *event);
struct event {
    int64_t at;
    uint64_t order;
    event_fire *fire;
    int number;
    uint64_t life;
    void *what;
};

struct world {
    uint64_t seed;
    struct rng rng;
    int64_t now;
    struct event *heap;
    size_t heap_count, heap_capacity;
    uint64_t order, events, hash;
    bool trace, failed;
    bool calm;   /* no fault is drawn any more */
    bool ending; /* who leaves stays away */
    struct plan plan;
    uint64_t fired[FAULT_COUNT];
    uint64_t retries,
        retries_soon; /* first ones after a refused connection; below half the pause */
    struct engine_settings settings;
    struct account_settings accounts[ACCOUNT_COUNT];
    struct option_values *values[ACCOUNT_COUNT];
    struct sim_command *commands;
    unsigned produced, answered, over; /* over: answered or cut */
    struct sim_partition partitions[PARTITIONS_MOST];
    struct sim_worker workers[WORKERS_MOST];
    struct sim_call *calls; /* not ended, or not yet arrived */
    uint64_t lives, ownerships;
    uint64_t kept[PLACES_MOST]; /* life of a static member that is gone and keeps its place; 0 */
    bool rebalancing;           /* eager: all is being taken */
    struct sim_topic topics[TOPIC_COUNT];
    double group_calls[ACCOUNT_COUNT]; /* under a rate that the group shares: beyond it so far */
    int64_t group_calls_at[ACCOUNT_COUNT];
    char token[48]; /* enos: the one that is valid */
    uint64_t tokens;
    int64_t token_expires;
    int64_t result_order[PARTITIONS_MOST][KEYS_MOST][8]; /* last offset, by destination */
};

/* ---- events.c -------------------------------------------------------------------------------- */

#define WALL_BASE_MS INT64_C(1700000000000)

void world_at(struct world *world, int64_t in_ms, event_fire *fire, int number, uint64_t life,
              void *what);
/* The same event once more. */
void world_again(struct world *world, const struct event *event, int64_t in_ms);
/* Fires the next event; false: none is left. */
bool world_step(struct world *world);
PRINTF_LIKE(2, 3) void world_trace(struct world *world, const char *format, ...);
/* The first one counts. */
PRINTF_LIKE(2, 3) void world_fail(struct world *world, const char *format, ...);
/* low..high */
int64_t world_between(struct world *world, int64_t low, int64_t high);
bool world_percent(struct world *world, unsigned percent);
bool world_draws(struct world *world, enum fault fault);
const char *fault_name(enum fault fault);

/* ---- plan.c, commands.c ---------------------------------------------------------------------- */

void plan_make(struct world *world);
void plan_open_accounts(struct world *world);
void plan_close_accounts(struct world *world);

void commands_make(struct world *world);
void commands_free(struct world *world);
/* The command and item that a provider's number names; false: none. */
bool commands_find(struct world *world, int64_t number, struct sim_command **command,
                   size_t *index);
bool command_is_nameless(const struct sim_command *command);
int64_t command_number(const struct sim_command *command, size_t index);
const char *command_reply_topic(enum reply reply);

/* ---- tasks.c, answers.c, calls.c ------------------------------------------------------------- */

void task_begin(struct world *world, struct sim_task *task, enum which_account account);
enum task_state task_at(struct world *world, struct sim_task *task);
/* A cancel arrives: true when it is taken. */
bool task_cancel(struct world *world, struct sim_task *task, enum which_account account);
/* Was the task in a state of this set (bit per state) at some moment from `from` to now? */
/* Waiting or running. */
bool task_is_open(enum task_state state);
bool task_was(struct world *world, struct sim_task *task, unsigned set, int64_t from);

/* Reads what a request asks for. */
bool answers_read_request(struct world *world, struct sim_call *call,
                          const struct http_request *request);
/* The request arrives: applies it and writes the answer. */
void answers_apply(struct world *world, struct sim_call *call);

void calls_start(struct sim_worker *worker, uint64_t id, const struct account_settings *account,
                 struct http_request *request);
void calls_abandon(struct sim_worker *worker, uint64_t id);
void calls_forget_worker(struct sim_worker *worker); /* it crashed */
void calls_free(struct world *world);

/* ---- broker.c, sink.c ------------------------------------------------------------------------ */

/* TOPIC_COUNT: none of them. */
enum which_topic broker_topic(const char *name);
/* The oldest records of some partition go. */
void broker_retain(struct world *world);
void broker_begin(struct world *world);
void broker_free(struct world *world);
void broker_kick(struct sim_worker *worker, int partition);
/* NULL: no such record. */
struct sim_command *broker_command_at(const struct world *world, int number, int64_t offset);
/* Two command topics: partitions with an even number are of "cmd", the others of "more". */
struct topic_partition broker_name(int number);
int broker_number(const struct topic_partition *at);

void sink_submit(struct sim_worker *worker, struct sink_job *job);
struct sink_job *sink_job_new(enum sink_kind kind);
/* Its process is stopped: what it has open may time out. */
void sink_sleeps(struct sim_worker *worker);
void sink_drop(struct sim_worker *worker); /* its process ended */

/* ---- group.c, workers.c ---------------------------------------------------------------------- */

void group_begin(struct world *world);
void group_joined(struct sim_worker *worker); /* a process has started */
void group_changed(struct world *world);
void group_assigned(struct sim_worker *worker, const struct position *positions, size_t count);
void group_unassigned(struct sim_worker *worker, const struct topic_partition *partitions,
                      size_t count);
void group_all_up(struct world *world);
void group_drain_all(struct world *world);
void group_watch(struct sim_worker *worker);
/* Its process is stopped, and goes on later. */
void group_pause(struct sim_worker *worker);

struct now worker_now(struct sim_worker *worker);
bool worker_is(const struct world *world, int index, uint64_t life);
int worker_place(const struct sim_worker *worker);
/* Its process is stopped: the event comes once more when it goes on. */
/* A word of an operator about one account. */
void worker_hold(struct sim_worker *worker, enum which_account account, bool on);
bool worker_sleeps(struct world *world, const struct event *event, int index);
void worker_end_fenced(struct sim_worker *worker);
void worker_start(struct sim_worker *worker);
void worker_stop(struct sim_worker *worker);
/* After every event given to an engine. */
void worker_after(struct sim_worker *worker);

/* ---- checks_calls.c, checks_results.c -------------------------------------------------------- */

void check_call(struct sim_worker *worker, struct sim_call *call);
void check_answer(struct sim_worker *worker, struct sim_call *call);
/* A clean commit was read: what had been looked at need not be again, unless it is sent anew. */
void check_clean(struct sim_partition *partition);
void check_call_lost(struct sim_call *call);
/* What a shared call carries for a partition that its worker does not own any more is nobody's. */
void check_items_lost(struct sim_worker *worker, struct sim_call *call, int partition);
/* Messages became visible: those that no topic refused. */
void check_messages(struct world *world, const struct sim_worker *worker,
                    const struct batch *batch);
/* Offsets were committed. */
void check_positions(struct world *world, const struct batch *batch);
/* A topic refused this message. */
void check_refused_message(struct world *world, const struct message *message);
/* Its last commit said that nothing was begun and left. */
bool partition_is_said_clean(const struct sim_partition *partition);
/* A record is handed to a worker. */
void check_taken(struct sim_worker *worker, struct sim_command *command);
/* Everything is answered and faults have stopped for long: nothing is held any more. */
void check_calm(struct world *world);
void check_idle(struct sim_worker *worker);
void check_end(struct world *world);

/* One seed from beginning to end; the caller zeroes it and sets seed and trace. */
void world_run(struct world *world);
void world_free(struct world *world);

#endif
