#include "worker/app/interrupt.h"

#include <signal.h>
#include <stddef.h>

#include "common/banned.h"

static volatile sig_atomic_t count;

static void on_signal(int number)
{
    (void)number;
    count = count + 1;
}

void interrupt_count_from_now(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

unsigned interrupt_count(void)
{
    return (unsigned)count;
}
