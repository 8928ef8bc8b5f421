/* libmicrohttpd's own time-out begins anew with every byte: somebody who sends one now and then
 * could keep all connections, and the probes would find none. */
#include <stdlib.h>
#include <sys/socket.h>

#include "worker/io/admin_internal.h"

#include "common/banned.h"

enum {
    /* For a request, from its first byte to the last of its answer. */
    PATIENCE_MS = 10 * 1000,
    /* The same where connections are getting scarce. */
    LITTLE_PATIENCE_MS = 1000,
    SCARCE = ADMIN_CONNECTIONS * 3 / 4,
};

static struct guest *guest_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

/* Without memory for it a connection is served all the same. */
static struct guest *guest_new(struct admin *admin, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct guest *guest = info == NULL ? NULL : calloc(1, sizeof(*guest));
    if (guest == NULL)
        return NULL;
    guest->fd = info->connect_fd;
    guest->since_ms = loop_mono_ms();
    guest->next = admin->guests;
    if (guest->next)
        guest->next->previous = guest;
    admin->guests = guest;
    admin->guest_count++;
    return guest;
}

static void guest_free(struct admin *admin, struct guest *guest)
{
    if (guest == NULL)
        return;
    *(guest->previous ? &guest->previous->next : &admin->guests) = guest->next;
    if (guest->next)
        guest->next->previous = guest->previous;
    admin->guest_count--;
    free(guest);
}

/* Its end is told before its descriptor is closed, so that no other one is ever shut down. */
void admin_guest_changed(void *context, struct MHD_Connection *connection, void **guest,
                         enum MHD_ConnectionNotificationCode what)
{
    struct admin *admin = context;
    pthread_mutex_lock(&admin->lock);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *guest = guest_new(admin, connection);
    } else {
        guest_free(admin, *guest);
        *guest = NULL;
    }
    pthread_mutex_unlock(&admin->lock);
}

void admin_guest_served(void *context, struct MHD_Connection *connection, void **request,
                        enum MHD_RequestTerminationCode how)
{
    struct admin *admin = context;
    struct guest *guest = guest_of(connection);
    (void)request, (void)how;
    pthread_mutex_lock(&admin->lock);
    if (guest) {
        guest->since_ms = loop_mono_ms();
        guest->viewer = false;
    }
    pthread_mutex_unlock(&admin->lock);
}

void admin_guest_stays(struct admin *admin, struct MHD_Connection *connection)
{
    struct guest *guest = guest_of(connection);
    pthread_mutex_lock(&admin->lock);
    if (guest)
        guest->viewer = true;
    pthread_mutex_unlock(&admin->lock);
}

void admin_guests_hurry(struct admin *admin, int64_t now_ms)
{
    int64_t patience_ms = admin->guest_count < SCARCE ? PATIENCE_MS : LITTLE_PATIENCE_MS;
    for (struct guest *guest = admin->guests; guest; guest = guest->next)
        if (!guest->viewer && now_ms - guest->since_ms > patience_ms)
            (void)shutdown(guest->fd, SHUT_RDWR);
}
