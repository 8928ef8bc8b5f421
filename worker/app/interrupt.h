/* Ctrl-C (SIGINT) and SIGTERM of a command that waits: counted, so that it ends in its own words.
 */
#ifndef KANCEL_WORKER_APP_INTERRUPT_H
#define KANCEL_WORKER_APP_INTERRUPT_H

/* From now on the two signals are counted instead of ending the process. */
void interrupt_count_from_now(void);
/* How often one of them came. */
unsigned interrupt_count(void);

#endif
