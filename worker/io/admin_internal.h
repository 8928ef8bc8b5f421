/* What the files of the admin server share: admin.c (listening, health, documents), admin_events.c
 * (streams), admin_actions.c (what changes something). */
#ifndef KANCEL_WORKER_IO_ADMIN_INTERNAL_H
#define KANCEL_WORKER_IO_ADMIN_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>

#include "common/digest.h"
#include "worker/io/admin.h"

enum { ADMIN_REASON_BYTES = 256 };

struct viewer;

/* A request that waits for the loop; the server's one thread hands over one at a time. */
struct admin_action {
    enum { ACTION_NONE, ACTION_ASKED, ACTION_DONE } step;
    enum admin_verb verb;
    struct slice account;
    int status;
};

struct admin {
    struct MHD_Daemon *daemon;
    struct admin_settings settings;
    unsigned port;
    struct loop_waker *waker;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t done;  /* of the action */
    struct admin_action action;
    struct MHD_Response *metrics, *page; /* count their users themselves */
    struct buffer state;
    uint64_t state_version;
    struct viewer *viewers;
    unsigned viewer_count;
    int64_t published_ms;
    bool published, started, stopping;
    bool has_token;
    uint8_t token[DIGEST_BYTES];        /* its digest */
    char not_ready[ADMIN_REASON_BYTES]; /* "": ready */
};

/* Queues a short text; `name` NULL: no further header. */
enum MHD_Result admin_answer(struct MHD_Connection *connection, unsigned status, const char *text,
                             const char *name, const char *value);
/* A response with the headers that every answer of ours carries; takes `data`. NULL: no memory. */
struct MHD_Response *admin_response(char *data, size_t len, const char *type);

/* admin_events.c */
enum MHD_Result admin_events(struct admin *admin, struct MHD_Connection *connection);
/* With the lock held: there is a new state, or the server stops. */
void admin_wake_viewers(struct admin *admin);

/* admin_actions.c */
enum MHD_Result admin_act(struct admin *admin, struct MHD_Connection *connection, const char *url);
/* On the loop's thread. */
void admin_woken(void *context);

#endif
