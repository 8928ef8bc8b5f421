#include <poll.h>

#include "delays.h"

#include "common/banned.h"

enum { HANGING_LOOK_MS = 50 };

struct delays {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    struct request **heap; /* the earliest first */
    size_t count, cap;
    bool stopping;
};

static void heap_swap(struct delays *delays, size_t a, size_t b)
{
    struct request *request = delays->heap[a];
    delays->heap[a] = delays->heap[b];
    delays->heap[b] = request;
}

static bool heap_before(const struct delays *delays, size_t a, size_t b)
{
    return delays->heap[a]->due_ms < delays->heap[b]->due_ms;
}

static void heap_push(struct delays *delays, struct request *request)
{
    size_t at = delays->count;
    if (delays->count == delays->cap) {
        delays->cap = delays->cap ? 2 * delays->cap : 256;
        delays->heap = must(reallocarray(delays->heap, delays->cap, sizeof(*delays->heap)));
    }
    delays->heap[delays->count++] = request;
    while (at > 0 && heap_before(delays, at, (at - 1) / 2)) {
        heap_swap(delays, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct request *heap_pop(struct delays *delays)
{
    struct request *first = delays->heap[0];
    size_t at = 0;
    delays->heap[0] = delays->heap[--delays->count];
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < delays->count; child++) {
            if (heap_before(delays, child, least))
                least = child;
        }
        if (least == at)
            return first;
        heap_swap(delays, at, least);
        at = least;
    }
}

static bool client_closed(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd look = {.fd = info->connect_fd, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* Waits for the first request's time or for a change; mutex held. */
static void wait_for_first(struct delays *delays)
{
    struct timespec until;
    if (delays->count == 0) {
        pthread_cond_wait(&delays->changed, &delays->mutex);
        return;
    }
    until.tv_sec = delays->heap[0]->due_ms / 1000;
    until.tv_nsec = (delays->heap[0]->due_ms % 1000) * 1000000;
    pthread_cond_timedwait(&delays->changed, &delays->mutex, &until);
}

static void *delays_run(void *context)
{
    struct delays *delays = context;
    pthread_mutex_lock(&delays->mutex);
    while (!delays->stopping) {
        int64_t now_ms = clock_monotonic_ms();
        if (delays->count == 0 || delays->heap[0]->due_ms > now_ms) {
            wait_for_first(delays);
            continue;
        }
        struct request *request = heap_pop(delays);
        if (request->hanging && !client_closed(request)) {
            request->due_ms = now_ms + HANGING_LOOK_MS;
            heap_push(delays, request);
        } else {
            MHD_resume_connection(request->connection);
        }
    }
    pthread_mutex_unlock(&delays->mutex);
    return NULL;
}

struct delays *delays_new(void)
{
    struct delays *delays = must(calloc(1, sizeof(*delays)));
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&delays->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&delays->mutex, NULL);
    if (pthread_create(&delays->thread, NULL, delays_run, delays) != 0)
        abort();
    return delays;
}

bool delays_suspend(struct delays *delays, struct request *request)
{
    bool stopping;
    pthread_mutex_lock(&delays->mutex);
    stopping = delays->stopping;
    if (!stopping) {
        MHD_suspend_connection(request->connection);
        heap_push(delays, request);
        if (delays->heap[0] == request)
            pthread_cond_signal(&delays->changed);
    }
    pthread_mutex_unlock(&delays->mutex);
    return !stopping;
}

void delays_stop(struct delays *delays)
{
    pthread_mutex_lock(&delays->mutex);
    delays->stopping = true;
    while (delays->count > 0)
        MHD_resume_connection(delays->heap[--delays->count]->connection);
    pthread_cond_signal(&delays->changed);
    pthread_mutex_unlock(&delays->mutex);
    pthread_join(delays->thread, NULL);
}

void delays_free(struct delays *delays)
{
    pthread_cond_destroy(&delays->changed);
    pthread_mutex_destroy(&delays->mutex);
    free(delays->heap);
    free(delays);
}
