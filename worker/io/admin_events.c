#include <stdlib.h>

#include "worker/io/admin_internal.h"

#include "common/banned.h"

enum {
    /* Each holds a connection; the others stay for probes and scrapers. */
    VIEWERS_MOST = 100,
    BLOCK_BYTES = 16 * 1024,
};

/* Somebody who looks at the page. Suspended while there is nothing new; a slow one misses states,
 * never delays others. */
struct viewer {
    struct viewer *previous, *next;
    struct admin *admin;
    struct MHD_Connection *connection;
    bool suspended;
    uint64_t seen;
    struct buffer text; /* the event that is being sent */
    size_t sent;
};

void admin_wake_viewers(struct admin *admin)
{
    for (struct viewer *viewer = admin->viewers; viewer; viewer = viewer->next) {
        if (viewer->suspended)
            MHD_resume_connection(viewer->connection);
        viewer->suspended = false;
    }
}

/* Takes the newest state where it is new, else waits. False: wait. */
static bool next_event(struct viewer *viewer)
{
    struct admin *admin = viewer->admin;
    buffer_clear(&viewer->text);
    viewer->sent = 0;
    if (viewer->seen == admin->state_version)
        return false;
    viewer->seen = admin->state_version;
    buffer_append_string(&viewer->text, "data: ");
    buffer_append_slice(&viewer->text, buffer_slice(&admin->state));
    buffer_append_string(&viewer->text, "\n\n");
    return true;
}

static ssize_t read_event(void *context, uint64_t position, char *out, size_t most)
{
    struct viewer *viewer = context;
    struct admin *admin = viewer->admin;
    ssize_t result = 0;
    (void)position;
    pthread_mutex_lock(&admin->lock);
    if (admin->stopping) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (viewer->sent == viewer->text.len && !next_event(viewer)) {
        viewer->suspended = true;
        MHD_suspend_connection(viewer->connection);
    } else if (buffer_failed(&viewer->text)) {
        result = MHD_CONTENT_READER_END_WITH_ERROR;
    } else {
        size_t len = viewer->text.len - viewer->sent;
        len = len < most ? len : most;
        memcpy(out, viewer->text.data + viewer->sent, len);
        viewer->sent += len;
        result = (ssize_t)len;
    }
    pthread_mutex_unlock(&admin->lock);
    return result;
}

static void viewer_free(void *context)
{
    struct viewer *viewer = context;
    struct admin *admin = viewer->admin;
    pthread_mutex_lock(&admin->lock);
    *(viewer->previous ? &viewer->previous->next : &admin->viewers) = viewer->next;
    if (viewer->next)
        viewer->next->previous = viewer->previous;
    admin->viewer_count--;
    pthread_mutex_unlock(&admin->lock);
    buffer_release(&viewer->text);
    free(viewer);
}

static struct viewer *viewer_new(struct admin *admin, struct MHD_Connection *connection)
{
    struct viewer *viewer = calloc(1, sizeof(*viewer));
    if (viewer == NULL)
        return NULL;
    viewer->admin = admin;
    viewer->connection = connection;
    pthread_mutex_lock(&admin->lock);
    buffer_init(&viewer->text, admin->state.ceiling + 16);
    viewer->next = admin->viewers;
    if (viewer->next)
        viewer->next->previous = viewer;
    admin->viewers = viewer;
    admin->viewer_count++;
    pthread_mutex_unlock(&admin->lock);
    return viewer;
}

enum MHD_Result admin_events(struct admin *admin, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&admin->lock);
    bool full = admin->viewer_count >= VIEWERS_MOST;
    pthread_mutex_unlock(&admin->lock);
    if (full)
        return admin_answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                            "too many viewers; try again in 10 s\n", MHD_HTTP_HEADER_CONNECTION,
                            "close"); /* a crowd must not keep the connections that probes need */
    struct viewer *viewer = viewer_new(admin, connection);
    if (viewer == NULL)
        return MHD_NO;
    admin_guest_stays(admin, connection);
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_event, viewer, viewer_free);
    if (response == NULL) {
        viewer_free(viewer);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}
