/*
 * One account's credential: got once for all who wait, renewed ahead of its end without stopping
 * calls, got anew when a provider says it is expired. Decides when; the driver translates.
 *
 * Providers lock keys after a few refusals, so an account whose credentials are refused - a
 * sign-in, or calls with what no call was ever accepted with - is held, longer each time. A
 * credential that is configured (a token, a key that signs calls) is held the same way; while it is
 * in doubt, calls go out one at a time.
 */
#ifndef KANCEL_WORKER_CORE_CREDENTIALS_H
#define KANCEL_WORKER_CORE_CREDENTIALS_H

#include "worker/core/ports.h"

struct credentials {
    bool needed;      /* the account signs in */
    bool signs_calls; /* by a configured key */
    bool doubted;    /* configured ones: no call was accepted since the start, or since a refusal */
    bool signing_in; /* one sign-in is out */
    bool renewing;   /* it renews the present credential */
    bool outdated;   /* the secrets it was made with have changed meanwhile */
    bool anew; /* the next one does not renew: that was refused, or the secrets have changed */
    bool have;
    bool accepted; /* a call was, with the present credential */
    struct credential credential;
    uint64_t generation;   /* counts credentials */
    int64_t renew_at_ms;   /* wall clock: ahead of expiry */
    int64_t last_wall_ms;  /* of the last attempt: each one gets a later time (replay guards) */
    int64_t not_before_ms; /* mono: no attempt before */
    int64_t sure_until_ms; /* mono: an ambiguous refusal is none of the credential's until then */
    unsigned failures;     /* sign-ins that could not be made, in a row */
    unsigned refusals;     /* of sign-ins and credentials, in a row */
    unsigned calls_out;    /* kept by whoever makes calls */
    bool skew_known;
    int64_t skew_ms; /* how far our clock is ahead of the provider's, by its last Date */
};

/* `signs_calls`: a configured key is in doubt until a call was accepted. */
void credentials_init(struct credentials *credentials, bool needed, bool signs_calls);
void credentials_release(struct credentials *credentials);

/* A call may go out with credentials_current(). */
bool credentials_usable(const struct credentials *credentials, struct now now);
/* Refused, and paused for it. */
bool credentials_held(const struct credentials *credentials, struct now now);
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
 * counts for nothing. False: it has expired already by our clock, and counts as a failure. */
bool credentials_renewed(struct credentials *credentials, struct now now, struct credential *fresh,
                         int64_t backoff_ms) MUST_CHECK;

enum sign_in_failure {
    SIGN_IN_IMPOSSIBLE,      /* the provider could not be asked: backoff */
    SIGN_IN_RENEWAL_REFUSED, /* sign in anew, at once, while the credential lives on */
    SIGN_IN_REFUSED,         /* held */
};
void credentials_failed(struct credentials *credentials, struct now now,
                        enum sign_in_failure failure, int64_t backoff_ms);

/* A provider did not accept the credential of this generation: not used any more. A later one is
 * left alone. True when the account is held for it from now on. `ambiguous`: perhaps it was the
 * task that was refused, so nobody is held for it, and at most one token a minute is given up for
 * it. */
bool credentials_rejected(struct credentials *credentials, struct now now, uint64_t generation,
                          bool ambiguous);
/* It did. */
void credentials_accepted(struct credentials *credentials, uint64_t generation);
/* The account's secrets are others than before: a hold ends, a sign-in is due; calls go on with the
 * present credential meanwhile. */
void credentials_changed(struct credentials *credentials, struct now now);

/* An answer's Date header came now. */
void credentials_saw_date(struct credentials *credentials, struct slice date, struct now now);
/* Our clock differs from the provider's by so much that signatures may be refused for it. */
bool credentials_clock_is_off(const struct credentials *credentials);

#endif
