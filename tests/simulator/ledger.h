/*
 * What was asked of the simulator: counts, violations of the providers' documents, the most
 * requests that were under way at once.
 */
#ifndef SIMULATOR_LEDGER_H
#define SIMULATOR_LEDGER_H

#include "simulator.h"

struct ledger *ledger_new(void);
void ledger_clear(struct ledger *ledger);
void ledger_free(struct ledger *ledger);

void ledger_began(struct ledger *ledger, const struct request *request);
void ledger_ended(struct ledger *ledger, const struct request *request);
void ledger_operation(struct ledger *ledger, const struct request *request);

/* Records that a request is not as documented. `format` must not print a secret. */
void ledger_violation(struct simulator *simulator, const struct request *request,
                      const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The whole ledger; without the tasks for a summary. */
json_t *ledger_report(struct simulator *simulator, bool summary, int64_t now_ms);

#endif
