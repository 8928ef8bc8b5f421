/*
 * kancel-simulator: one HTTP server that plays the four providers for tests and benchmarks.
 *
 * A request is read whole by server.c, routed to a provider, matched against the scripted faults,
 * checked and applied by the provider's file, and answered - at once or after a delay. All of the
 * simulator's state hangs on struct simulator and is touched with its mutex held; everything
 * declared here expects it held, unless it says otherwise. Nothing here is shared with the worker:
 * the simulator reads requests independently of the code that writes them.
 */
#ifndef SIMULATOR_H
#define SIMULATOR_H

#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REQUEST_BODY_MAX = 1 << 20, /* no request of the worker comes near it */
    ANSWER_HEADERS_MAX = 16,
    VIOLATIONS_KEPT = 1000, /* the rest is only counted */
    TASKS_MAX = 4000000,    /* some 1 GB */
    TASK_HISTORY_MAX = 32,
    ID_MAX = 64,
};

enum provider {
    PROVIDER_ENOS,
    PROVIDER_SCNET,
    PROVIDER_IOTDA,
    PROVIDER_KOODRIVE,
    PROVIDER_IAM,
    PROVIDER_NONE, /* a path that belongs to nobody */
    PROVIDERS
};

enum operation {
    OPERATION_CANCEL,
    OPERATION_STATUS,
    OPERATION_SIGN_IN,
    OPERATION_RENEW,
    OPERATION_OTHER,
    OPERATIONS
};

enum task_state {
    TASK_WAITING,
    TASK_RUNNING,
    TASK_SUCCEEDED,
    TASK_PARTIAL,
    TASK_FAILED,
    TASK_CANCELLING,
    TASK_CANCELLED,
    TASK_EXPIRING,
    TASK_EXPIRED,
    TASK_RETRYING, /* targets only: FailWaitRetry */
    TASK_REMOVED,  /* targets only */
    TASK_MISSING,
    TASK_STATES
};

/* Which of two documented forms an answer takes. */
enum form { FORM_FIRST, FORM_SECOND, FORM_ALTERNATE };

/* An answer in the making. The body is the answer's own; release with answer_release. */
struct answer {
    unsigned status; /* 0: close the connection without an answer */
    char *body;
    size_t body_len;
    size_t filler;   /* bytes of a body made while it is sent, instead of `body` */
    size_t break_at; /* close the connection after so many bytes of the body; 0: never */
    const char *content_type;
    struct {
        char *name, *value;
    } headers[ANSWER_HEADERS_MAX];
    size_t headers_count;
};

/* One request. Strings borrowed from libmicrohttpd live as long as the request. */
struct request {
    struct MHD_Connection *connection;
    const char *method, *path; /* path: decoded, without the query */
    char *uri;                 /* as sent, with the query */
    char *body;                /* NUL-terminated; never NULL once it is read whole */
    size_t body_len, body_cap;
    json_t *json; /* the body, when it is well-formed JSON without duplicate members */
    int64_t now_ms;
    enum provider provider;
    enum operation operation;
    int page;                /* the provider's own number for the operation's page */
    char id[ID_MAX + 1];     /* the task in the path or the body, where there is just one */
    char parent[ID_MAX + 1]; /* enos: the channel; iotda: the project */
    bool apply;              /* false: check, but change no task (a fault swallows the request) */
    struct answer answer;
    int64_t due_ms;  /* when to answer, monotonic */
    int64_t date_ms; /* the answer's date where the providers' clock is not the machine's, else 0 */
    bool started, answered, hanging, control, too_large;
};

struct target {
    char *id;
    enum task_state state;
};

struct tasks;
struct task {
    enum provider provider;
    enum task_state state;
    int64_t since_ms;                              /* of `state`, monotonic */
    int64_t waiting_ms, running_ms, cancelling_ms; /* -1: for ever */
    enum task_state ends_as, cancelling_ends_as;
    struct target *targets;
    size_t targets_count, targets_cap;
    bool open_targets; /* a target named for the first time is created */
    enum form codes, data;
    unsigned flips; /* answers given, for FORM_ALTERNATE */
    json_t
        *refusal; /* {"status","code","message"}: how a cancel that cannot be applied is refused */
    char *kind, *parent, *org;
    unsigned cancels_asked, cancels_applied, statuses_asked;
    char history[TASK_HISTORY_MAX + 1]; /* C a cancel applied, c one without effect, s a status */
    char id[];
};

/* What an account must present, see POST /_simulator/credentials. */
struct credentials;
struct faults;
struct ledger;
struct delays;

struct options {
    int64_t delay_min_ms, delay_max_ms; /* of every answer of a provider */
    int64_t running_ms, cancelling_ms;  /* of tasks created on first use; -1: for ever */
    enum form codes, data;              /* of tasks created on first use */
    bool unknown_missing;               /* tasks are not created on first use */
    int64_t clock_ms;                   /* how far the providers' clock is ahead of the machine's */
};

struct simulator {
    pthread_mutex_t mutex;
    struct options initial, options; /* as started with, as changed by POST /_simulator/options */
    uint64_t seed, random;
    struct tasks *tasks;
    struct credentials *credentials;
    struct faults *faults;
    struct ledger *ledger;
    struct delays *delays;
    bool tls, client_certificates;
};

/* Clocks: monotonic for what moves, wall for what is signed; both in milliseconds. Need no mutex.
 */
int64_t clock_monotonic_ms(void);
int64_t clock_wall_ms(void);

/* The providers' wall clock. */
int64_t simulator_wall_ms(const struct simulator *simulator);

/* Pseudo-random numbers from the seed: in 0 .. below-1. */
uint64_t simulator_random(struct simulator *simulator, uint64_t below);

/* Forgets tasks, faults, ledger, tokens; credentials and options are as at the start. */
void simulator_reset(struct simulator *simulator);

/* calloc and friends that end the process when memory is out. */
void *must(void *pointer);
char *must_copy(const char *text);

extern const char *const provider_names[PROVIDERS];
extern const char *const operation_names[OPERATIONS];
extern const char *const task_state_names[TASK_STATES];
/* The index of `name` in `names`, or -1. */
int name_index(const char *const *names, size_t count, const char *name);

#endif
