/*
 * One account's credential: got once for all who wait, renewed ahead of its end without stopping
 * calls, got anew when a provider says it is expired. Decides when; the driver translates.
 * Providers lock keys after a few refusals, so refused sign-ins pause longer and longer.
 */
#ifndef KANCEL_WORKER_CORE_CREDENTIALS_H
#define KANCEL_WORKER_CORE_CREDENTIALS_H

#include "worker/core/ports.h"

struct credentials {
    bool needed;     /* the account signs in */
    bool signing_in; /* one sign-in is out */
    bool renewing;   /* it renews the present credential */
    bool have;
    struct credential credential;
    uint64_t generation;   /* counts credentials */
    int64_t renew_at_ms;   /* wall clock: ahead of expiry */
    int64_t last_wall_ms;  /* of the last attempt: each one gets a later time (replay guards) */
    int64_t not_before_ms; /* mono: no attempt before */
    unsigned failures;     /* in a row */
};

void credentials_init(struct credentials *credentials, bool needed);
void credentials_release(struct credentials *credentials);

/* A call may go out with credentials_current(). */
bool credentials_usable(const struct credentials *credentials, struct now now);
/* NULL when the account needs none. */
const struct credential *credentials_current(const struct credentials *credentials);

/* What the sign-in that is out renews; NULL: it signs in anew. */
const struct credential *credentials_renewing(const struct credentials *credentials);

/* True when a sign-in should start now; *retry_at (mono) says when to ask again otherwise
 * (INT64_MAX: nothing to wait for). */
bool credentials_due(const struct credentials *credentials, struct now now, bool wanted,
                     int64_t *retry_at);
/* A sign-in goes out: the credential to renew (NULL: anew) and the wall-clock time it must carry.
 */
const struct credential *credentials_begin(struct credentials *credentials, struct now now,
                                           int64_t *wall_ms);
/* Takes the new credential's token. A renewal that brings the token that was rejected meanwhile
 * counts for nothing. */
void credentials_renewed(struct credentials *credentials, struct now now, struct credential *fresh);
/* `refused`: the provider said no (long pause), else it could not be asked (backoff). */
void credentials_failed(struct credentials *credentials, struct now now, bool refused,
                        int64_t backoff_ms);
/* A provider did not accept the credential of this generation: not used any more. A later one is
 * left alone. */
void credentials_rejected(struct credentials *credentials, uint64_t generation);

#endif
