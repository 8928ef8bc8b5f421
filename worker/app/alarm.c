#include "worker/app/alarm.h"

#include <signal.h>
#include <unistd.h>

#include "common/banned.h"

/* What a handler may read. */
static volatile sig_atomic_t exit_code, log_json;

static void write_text(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* nobody reads it; the exit code tells as much */
}

static void on_alarm(int number)
{
    (void)number;
    write_text(
        log_json ? "{\"level\":\"error\",\"event\":\"left\",\"reason\":\"the loop stands still\"}\n"
                 : "level=error event=left reason=\"the loop stands still\"\n");
    _exit(exit_code);
}

static void on_second_signal(int number)
{
    (void)number;
    write_text(log_json ? "{\"level\":\"warn\",\"event\":\"left\",\"reason\":\"a second signal\"}\n"
                        : "level=warn event=left reason=\"a second signal\"\n");
    _exit(exit_code);
}

void alarm_set(int64_t after_ms, int code, bool json)
{
    struct sigaction action = {.sa_handler = on_alarm};
    exit_code = code;
    log_json = json;
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)((after_ms + 999) / 1000));
}

void alarm_stop(void)
{
    alarm(0);
}

void alarm_leave_on_signal(int code, bool json)
{
    struct sigaction action = {.sa_handler = on_second_signal};
    exit_code = code;
    log_json = json;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}
