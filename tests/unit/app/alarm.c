#include <check.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/app/alarm.h"

#include "common/banned.h"

/* Runs `act` in a child whose standard error is read; gives its exit code (-1: it ended otherwise).
 */
static int run(void (*act)(void), char text[256])
{
    int ends[2], status;
    size_t len = 0;
    ssize_t n;
    pid_t child;
    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        act();
        _exit(99);
    }
    close(ends[1]);
    while ((n = read(ends[0], text + len, 255 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A loop that stands still. */
static void stand_still(void)
{
    for (;;)
        pause();
}

static void hang(void)
{
    alarm_set(1, 1, false);
    stand_still();
}

START_TEST(a_loop_that_stands_still_is_ended)
{
    char text[256];
    ck_assert_int_eq(run(hang, text), 1);
    ck_assert_str_eq(text, "level=error event=left reason=\"the loop stands still\"\n");
}
END_TEST

static void hang_in_json(void)
{
    alarm_set(1, 3, true);
    stand_still();
}

START_TEST(the_last_line_has_the_form_of_the_log)
{
    char text[256];
    ck_assert_int_eq(run(hang_in_json, text), 3);
    ck_assert_int_eq(text[0], '{');
}
END_TEST

static void get_signal(void)
{
    alarm_leave_on_signal(3, false);
    raise(SIGTERM);
    stand_still();
}

START_TEST(a_second_signal_needs_no_loop)
{
    char text[256];
    ck_assert_int_eq(run(get_signal, text), 3);
    ck_assert_ptr_nonnull(strstr(text, "a second signal"));
}
END_TEST

static void stop_in_time(void)
{
    alarm_set(1, 1, false);
    alarm_stop();
    /* 0: none was pending any more. */
    _exit(alarm(0) == 0 ? 7 : 8);
}

START_TEST(what_is_stopped_does_not_bite)
{
    char text[256];
    ck_assert_int_eq(run(stop_in_time, text), 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app/alarm");
    TCase *tests = tcase_create("alarm");
    SRunner *runner;
    int failed;
    tcase_add_test(tests, a_loop_that_stands_still_is_ended);
    tcase_add_test(tests, the_last_line_has_the_form_of_the_log);
    tcase_add_test(tests, a_second_signal_needs_no_loop);
    tcase_add_test(tests, what_is_stopped_does_not_bite);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
