/*
 * The event loop (libuv): one thread that runs the core, curl and the consumer. Other threads reach
 * it only through loop_wake(). Shows no libuv type but the loop's handle. SIGPIPE is ignored from
 * loop_new() on: OpenSSL writes without MSG_NOSIGNAL.
 */
#ifndef KANCEL_WORKER_IO_LOOP_H
#define KANCEL_WORKER_IO_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct loop;
struct uv_loop_s;

struct loop *loop_new(struct error *err);
void loop_free(struct loop *loop); /* every handle must be closed; asserts so in debug builds */
struct uv_loop_s *loop_uv(struct loop *loop);

/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Monotonic and wall-clock milliseconds, read afresh. */
int64_t loop_mono_ms(void);
int64_t loop_wall_ms(void);

/* One-shot timer: `fire` runs once at mono_ms or soon after, never inside loop_timer_set(); setting
 * again moves it; INT64_MAX stops it. A time that has come fires in this turn of the loop, after
 * its sockets; one set so while firing, in the next turn. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *loop, void (*fire)(void *context), void *context,
                                  struct error *err);
void loop_timer_set(struct loop_timer *timer, int64_t mono_ms);
void loop_timer_free(struct loop_timer *timer);

/* Wakes `woken` on the loop's thread; any thread may call loop_wake, several wakes may become one.
 * Free on the loop's thread. */
struct loop_waker;
struct loop_waker *loop_waker_new(struct loop *loop, void (*woken)(void *context), void *context,
                                  struct error *err);
void loop_wake(struct loop_waker *waker);
void loop_waker_free(struct loop_waker *waker);

/* Calls `ready` on the loop's thread whenever `fd` (an eventfd, level-triggered) is readable. */
struct loop_reader;
struct loop_reader *loop_reader_new(struct loop *loop, int fd, void (*ready)(void *context),
                                    void *context, struct error *err);
void loop_reader_free(struct loop_reader *reader);

/* `received` runs on the loop's thread for each delivery of `signal_number`. */
struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *loop, int signal_number,
                                    void (*received)(void *context), void *context,
                                    struct error *err);
void loop_signal_free(struct loop_signal *handle);

#endif
