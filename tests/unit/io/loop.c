#include "tests/unit/unit.h"
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "worker/io/loop.h"

#include "common/banned.h"

/* What a handle of the test does when it fires. */
struct probe {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_timer *other;
    struct loop_reader *reader;
    struct loop_waker *waker;
    struct loop_signal *signal;
    int fd;
    unsigned fired;
    int64_t due_ms;
};

static struct loop *new_loop(void)
{
    struct error err;
    struct loop *loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
    return loop;
}

static struct loop_timer *new_timer(struct loop *loop, void (*fire)(void *context), void *context)
{
    struct error err;
    struct loop_timer *timer = loop_timer_new(loop, fire, context, &err);
    ck_assert_ptr_nonnull(timer);
    return timer;
}

static void stop(void *context)
{
    struct probe *probe = context;
    probe->fired++;
    loop_stop(probe->loop);
}

static void count(void *context)
{
    struct probe *probe = context;
    probe->fired++;
}

START_TEST(timer_fires_at_its_time_and_once)
{
    struct probe probe = {.loop = new_loop()};
    struct probe end = {.loop = probe.loop};
    struct loop_timer *timer = new_timer(probe.loop, count, &probe);
    struct loop_timer *last = new_timer(probe.loop, stop, &end);
    int64_t start = loop_mono_ms();
    loop_timer_set(timer, start + 20);
    loop_timer_set(last, start + 60);
    loop_run(probe.loop);
    ck_assert_int_ge(loop_mono_ms(), start + 60);
    ck_assert_uint_eq(probe.fired, 1);
    loop_timer_free(timer);
    loop_timer_free(last);
    loop_free(probe.loop);
}
END_TEST

static void check_time(void *context)
{
    struct probe *probe = context;
    ck_assert_int_ge(loop_mono_ms(), probe->due_ms);
    stop(context);
}

/* libuv's own clock stands still during a turn: a timer set late in a long one must not come early.
 */
static void set_late(void *context)
{
    struct probe *probe = context;
    int64_t start = loop_mono_ms();
    while (loop_mono_ms() < start + 30)
        ;
    probe->due_ms = loop_mono_ms() + 20;
    loop_timer_set(probe->other, probe->due_ms);
}

START_TEST(timer_set_late_in_a_long_turn_is_not_early)
{
    struct probe probe = {.loop = new_loop()};
    probe.timer = new_timer(probe.loop, set_late, &probe);
    probe.other = new_timer(probe.loop, check_time, &probe);
    loop_timer_set(probe.timer, 0);
    loop_run(probe.loop);
    ck_assert_uint_eq(probe.fired, 1);
    loop_timer_free(probe.timer);
    loop_timer_free(probe.other);
    loop_free(probe.loop);
}
END_TEST

START_TEST(setting_again_moves_a_timer_and_the_last_time_stops_it)
{
    struct probe never = {.fired = 0};
    struct probe moved = {.loop = new_loop()};
    never.loop = moved.loop;
    struct loop_timer *stopped = new_timer(never.loop, count, &never);
    struct loop_timer *due = new_timer(never.loop, count, &never);
    struct loop_timer *timer = new_timer(moved.loop, stop, &moved);
    loop_timer_set(stopped, loop_mono_ms() + 5);
    loop_timer_set(stopped, INT64_MAX);
    loop_timer_set(due, 0);
    loop_timer_set(due, INT64_MAX);
    loop_timer_set(timer, loop_mono_ms() + 3600 * 1000);
    loop_timer_set(timer, loop_mono_ms() + 20);
    loop_run(moved.loop);
    ck_assert_uint_eq(moved.fired, 1);
    ck_assert_uint_eq(never.fired, 0);
    loop_timer_free(stopped);
    loop_timer_free(due);
    loop_timer_free(timer);
    loop_free(moved.loop);
}
END_TEST

static void again(void *context)
{
    struct probe *probe = context;
    probe->fired++;
    loop_timer_set(probe->timer, 0);
}

static void read_and_stop(void *context)
{
    struct probe *probe = context;
    uint64_t value = 0;
    ck_assert_int_eq(read(probe->fd, &value, sizeof(value)), sizeof(value));
    ck_assert_uint_eq(value, 7);
    loop_stop(probe->loop);
}

START_TEST(timer_that_is_always_due_leaves_room_for_readers)
{
    struct error err;
    struct probe probe = {.loop = new_loop(), .fd = eventfd(7, EFD_NONBLOCK | EFD_CLOEXEC)};
    probe.timer = new_timer(probe.loop, again, &probe);
    probe.reader = loop_reader_new(probe.loop, probe.fd, read_and_stop, &probe, &err);
    ck_assert_ptr_nonnull(probe.reader);
    loop_timer_set(probe.timer, 0);
    ck_assert_uint_eq(probe.fired, 0); /* never inside */
    loop_run(probe.loop);
    ck_assert_uint_le(probe.fired, 2);
    loop_timer_free(probe.timer);
    loop_reader_free(probe.reader);
    loop_free(probe.loop);
    (void)close(probe.fd);
}
END_TEST

static void free_both(void *context)
{
    struct probe *probe = context;
    loop_timer_free(probe->other);
    loop_timer_free(probe->timer);
    stop(probe);
}

START_TEST(timer_may_free_itself_and_another_that_is_due)
{
    struct probe probe = {.loop = new_loop()};
    struct probe never = {.loop = probe.loop};
    probe.timer = new_timer(probe.loop, free_both, &probe);
    probe.other = new_timer(probe.loop, count, &never);
    loop_timer_set(probe.timer, 0);
    loop_timer_set(probe.other, 0);
    loop_run(probe.loop);
    ck_assert_uint_eq(probe.fired, 1);
    ck_assert_uint_eq(never.fired, 0);
    loop_free(probe.loop);
}
END_TEST

static void *wake_often(void *context)
{
    struct probe *probe = context;
    for (unsigned i = 0; i < 1000; i++)
        loop_wake(probe->waker);
    return NULL;
}

START_TEST(wakes_of_another_thread_arrive)
{
    struct error err;
    struct probe probe = {.loop = new_loop()};
    probe.waker = loop_waker_new(probe.loop, stop, &probe, &err);
    ck_assert_ptr_nonnull(probe.waker);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, wake_often, &probe), 0);
    loop_run(probe.loop);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_ge(probe.fired, 1);
    ck_assert_uint_le(probe.fired, 1000);
    loop_waker_free(probe.waker);
    loop_free(probe.loop);
}
END_TEST

START_TEST(signals_arrive)
{
    struct error err;
    struct probe probe = {.loop = new_loop()};
    probe.signal = loop_signal_new(probe.loop, SIGUSR1, stop, &probe, &err);
    ck_assert_ptr_nonnull(probe.signal);
    for (unsigned i = 1; i <= 2; i++) {
        ck_assert_int_eq(raise(SIGUSR1), 0);
        loop_run(probe.loop);
        ck_assert_uint_eq(probe.fired, i);
    }
    loop_signal_free(probe.signal);
    loop_free(probe.loop);
}
END_TEST

START_TEST(writing_to_a_closed_pipe_does_not_kill)
{
    struct loop *loop = new_loop();
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    (void)close(ends[0]);
    ck_assert_int_eq(write(ends[1], "x", 1), -1);
    (void)close(ends[1]);
    loop_free(loop);
}
END_TEST

START_TEST(reader_of_a_bad_descriptor_is_refused)
{
    struct error err = {.kind = ERROR_NONE};
    struct loop *loop = new_loop();
    ck_assert_ptr_null(loop_reader_new(loop, -1, count, NULL, &err));
    ck_assert_int_eq(err.kind, ERROR_INTERNAL);
    ck_assert_ptr_nonnull(loop_uv(loop));
    loop_free(loop);
}
END_TEST

START_TEST(the_wall_clock_is_the_systems)
{
    ck_assert_int_le(llabs(loop_wall_ms() - (int64_t)time(NULL) * 1000), 2000);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, timer_fires_at_its_time_and_once);
    tcase_add_test(tcase, timer_set_late_in_a_long_turn_is_not_early);
    tcase_add_test(tcase, setting_again_moves_a_timer_and_the_last_time_stops_it);
    tcase_add_test(tcase, timer_that_is_always_due_leaves_room_for_readers);
    tcase_add_test(tcase, timer_may_free_itself_and_another_that_is_due);
    tcase_add_test(tcase, wakes_of_another_thread_arrive);
    tcase_add_test(tcase, signals_arrive);
    tcase_add_test(tcase, writing_to_a_closed_pipe_does_not_kill);
    tcase_add_test(tcase, reader_of_a_bad_descriptor_is_refused);
    tcase_add_test(tcase, the_wall_clock_is_the_systems);
    return unit_run("loop", tcase);
}
