#include "worker/io/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <uv.h>

#include "common/banned.h"

TAILQ_HEAD(timer_queue, loop_timer);

/* A timer that is due at once waits in `due` and not in libuv's heap: libuv runs timers before it
 * polls and would run one that sets itself to "now" for ever, without looking at a socket. `check`
 * runs after each poll. */
struct loop {
    uv_loop_t uv;
    uv_check_t check;
    uv_idle_t busy; /* active while `due` has timers: keeps the poll from waiting */
    struct timer_queue due, running;
};

struct loop_timer {
    uv_timer_t uv;
    struct loop *loop;
    struct timer_queue *queue; /* NULL: in none */
    TAILQ_ENTRY(loop_timer) entry;
    void (*fire)(void *context);
    void *context;
};

struct loop_waker {
    uv_async_t uv;
    void (*woken)(void *context);
    void *context;
};

struct loop_reader {
    uv_poll_t uv;
    void (*ready)(void *context);
    void *context;
};

struct loop_signal {
    uv_signal_t uv;
    void (*received)(void *context);
    void *context;
};

/* ---- the loop -------------------------------------------------------------------------------- */

static int fold(int code, const char *what, struct error *err)
{
    return error_set(err, code == UV_ENOMEM ? ERROR_MEMORY : ERROR_INTERNAL, "%s: %s", what,
                     uv_strerror(code));
}

static void dequeue(struct loop_timer *timer)
{
    if (timer->queue == NULL)
        return;
    TAILQ_REMOVE(timer->queue, timer, entry);
    timer->queue = NULL;
}

static void run_due(uv_check_t *check)
{
    struct loop *loop = check->data;
    struct loop_timer *timer;
    while ((timer = TAILQ_FIRST(&loop->due)) != NULL) {
        dequeue(timer);
        TAILQ_INSERT_TAIL(&loop->running, timer, entry);
        timer->queue = &loop->running;
    }
    while ((timer = TAILQ_FIRST(&loop->running)) != NULL) {
        dequeue(timer);
        timer->fire(timer->context);
    }
    if (TAILQ_EMPTY(&loop->due))
        uv_idle_stop(&loop->busy);
}

static void stay_busy(uv_idle_t *busy)
{
    (void)busy;
}

struct loop *loop_new(struct error *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        (void)error_set(err, ERROR_MEMORY, "event loop: out of memory");
        return NULL;
    }
    int code = uv_loop_init(&loop->uv);
    if (code != 0) {
        (void)fold(code, "event loop", err);
        free(loop);
        return NULL;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    TAILQ_INIT(&loop->due);
    TAILQ_INIT(&loop->running);
    loop->check.data = loop;
    (void)uv_check_init(&loop->uv, &loop->check);
    (void)uv_check_start(&loop->check, run_due);
    uv_unref((uv_handle_t *)&loop->check);
    (void)uv_idle_init(&loop->uv, &loop->busy);
    return loop;
}

static void count_open(uv_handle_t *handle, void *count)
{
    if (!uv_is_closing(handle))
        ++*(size_t *)count;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->busy, NULL);
    size_t open = 0;
    uv_walk(&loop->uv, count_open, &open);
    assert(open == 0);
    if (open > 0)
        return; /* their owners still point into it */
    while (uv_loop_close(&loop->uv) == UV_EBUSY)
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT); /* runs the close callbacks */
    free(loop);
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

void loop_run(struct loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t loop_mono_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t loop_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void timer_fired(uv_timer_t *uv)
{
    struct loop_timer *timer = uv->data;
    timer->fire(timer->context);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*fire)(void *context), void *context,
                                  struct error *err)
{
    struct loop_timer *timer = calloc(1, sizeof(*timer));
    if (timer == NULL) {
        (void)error_set(err, ERROR_MEMORY, "timer: out of memory");
        return NULL;
    }
    (void)uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    timer->loop = loop;
    timer->fire = fire;
    timer->context = context;
    return timer;
}

void loop_timer_set(struct loop_timer *timer, int64_t mono_ms)
{
    struct loop *loop = timer->loop;
    /* libuv counts from the same clock, read once a turn. */
    int64_t now = (int64_t)uv_now(&loop->uv);
    (void)uv_timer_stop(&timer->uv);
    dequeue(timer);
    if (mono_ms == INT64_MAX)
        return;
    if (mono_ms > now) {
        (void)uv_timer_start(&timer->uv, timer_fired, (uint64_t)(mono_ms - now), 0);
        return;
    }
    TAILQ_INSERT_TAIL(&loop->due, timer, entry);
    timer->queue = &loop->due;
    (void)uv_idle_start(&loop->busy, stay_busy);
}

/* Each handle is the first member of its struct, so one function frees them all. */
static void free_closed(uv_handle_t *handle)
{
    free(handle);
}

void loop_timer_free(struct loop_timer *timer)
{
    if (timer == NULL)
        return;
    dequeue(timer);
    uv_close((uv_handle_t *)&timer->uv, free_closed);
}

/* ---- wakers, readers, signals ---------------------------------------------------------------- */

static void async_woken(uv_async_t *uv)
{
    struct loop_waker *waker = uv->data;
    waker->woken(waker->context);
}

struct loop_waker *loop_waker_new(struct loop *loop, void (*woken)(void *context), void *context,
                                  struct error *err)
{
    struct loop_waker *waker = calloc(1, sizeof(*waker));
    if (waker == NULL) {
        (void)error_set(err, ERROR_MEMORY, "waker: out of memory");
        return NULL;
    }
    waker->uv.data = waker;
    waker->woken = woken;
    waker->context = context;
    int code = uv_async_init(&loop->uv, &waker->uv, async_woken);
    if (code != 0) {
        (void)fold(code, "waker", err);
        free(waker);
        return NULL;
    }
    return waker;
}

void loop_wake(struct loop_waker *waker)
{
    (void)uv_async_send(&waker->uv);
}

void loop_waker_free(struct loop_waker *waker)
{
    if (waker != NULL)
        uv_close((uv_handle_t *)&waker->uv, free_closed);
}

static void fd_ready(uv_poll_t *uv, int status, int events)
{
    (void)status; /* an error shows when it is read */
    (void)events;
    struct loop_reader *reader = uv->data;
    reader->ready(reader->context);
}

struct loop_reader *loop_reader_new(struct loop *loop, int fd, void (*ready)(void *context),
                                    void *context, struct error *err)
{
    struct loop_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        (void)error_set(err, ERROR_MEMORY, "reader: out of memory");
        return NULL;
    }
    reader->uv.data = reader;
    reader->ready = ready;
    reader->context = context;
    int code = uv_poll_init(&loop->uv, &reader->uv, fd);
    if (code != 0) {
        (void)fold(code, "reader", err);
        free(reader);
        return NULL;
    }
    code = uv_poll_start(&reader->uv, UV_READABLE, fd_ready);
    if (code != 0) {
        (void)fold(code, "reader", err);
        uv_close((uv_handle_t *)&reader->uv, free_closed);
        return NULL;
    }
    return reader;
}

void loop_reader_free(struct loop_reader *reader)
{
    if (reader != NULL)
        uv_close((uv_handle_t *)&reader->uv, free_closed);
}

static void signal_received(uv_signal_t *uv, int signal_number)
{
    (void)signal_number;
    struct loop_signal *handle = uv->data;
    handle->received(handle->context);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signal_number,
                                    void (*received)(void *context), void *context,
                                    struct error *err)
{
    struct loop_signal *handle = calloc(1, sizeof(*handle));
    if (handle == NULL) {
        (void)error_set(err, ERROR_MEMORY, "signal: out of memory");
        return NULL;
    }
    handle->received = received;
    handle->context = context;
    int code = uv_signal_init(&loop->uv, &handle->uv);
    if (code != 0) {
        (void)fold(code, "signal", err);
        free(handle);
        return NULL;
    }
    handle->uv.data = handle;
    code = uv_signal_start(&handle->uv, signal_received, signal_number);
    if (code != 0) {
        (void)fold(code, "signal", err);
        uv_close((uv_handle_t *)&handle->uv, free_closed);
        return NULL;
    }
    return handle;
}

void loop_signal_free(struct loop_signal *handle)
{
    if (handle != NULL)
        uv_close((uv_handle_t *)&handle->uv, free_closed);
}
