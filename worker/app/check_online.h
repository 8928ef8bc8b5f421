/*
 * kancel check --online: what only the outside can tell, one line each - brokers, topics,
 * permissions (check_kafka.c), the providers' endpoints and sign-ins (check_accounts.c). No task is
 * touched and no group joined.
 */
#ifndef KANCEL_WORKER_APP_CHECK_ONLINE_H
#define KANCEL_WORKER_APP_CHECK_ONLINE_H

#include "worker/app/config.h"

struct findings {
    unsigned bad, warnings;
};

enum finding { FINDING_OK, FINDING_WARNING, FINDING_BAD };

/* Prints "ok    topic task-commands: 12 partitions, 3 replicas" and counts. */
void findings_add(struct findings *findings, enum finding finding, const char *format, ...)
    PRINTF_LIKE(3, 4);

void check_kafka(const struct config *config, struct findings *findings);
void check_accounts(const struct config *config, struct findings *findings);

#endif
