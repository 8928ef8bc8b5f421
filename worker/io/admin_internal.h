/* What the files of the admin server share: admin.c (listening, health, documents), admin_events.c
 * (streams), admin_actions.c (what changes something), admin_guests.c (who holds a connection). */
#ifndef KANCEL_WORKER_IO_ADMIN_INTERNAL_H
#define KANCEL_WORKER_IO_ADMIN_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>

#include "common/digest.h"
#include "worker/io/admin.h"

enum {
    ADMIN_REASON_BYTES = 512,
    /* Viewers of the page, scrapers and probes; more is a mistake or an attack. Each is a file
     * descriptor. */
    ADMIN_CONNECTIONS = 256,
};

struct viewer;

/* An open connection, kept by the server's thread; the loop ends those that take too long. */
struct guest {
    struct guest *previous, *next;
    int fd;
    int64_t since_ms; /* when it came, or its last request was answered */
    bool viewer;      /* may stay */
};

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
    struct guest *guests;
    unsigned guest_count;
    int64_t published_ms;
    bool published, started, stopping;
    bool has_token;
    uint8_t token[DIGEST_BYTES];        /* its digest */
    char not_ready[ADMIN_REASON_BYTES]; /* "": ready */
};

/* admin_guests.c: whoever holds a connection must get on with it. */
void admin_guest_changed(void *context, struct MHD_Connection *connection, void **guest,
                         enum MHD_ConnectionNotificationCode what);
void admin_guest_served(void *context, struct MHD_Connection *connection, void **request,
                        enum MHD_RequestTerminationCode how);
/* From now on the connection may last. */
void admin_guest_stays(struct admin *admin, struct MHD_Connection *connection);
/* With the lock held, on any thread: ends the connections that took too long. */
void admin_guests_hurry(struct admin *admin, int64_t now_ms);

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
