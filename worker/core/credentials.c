#include "worker/core/credentials.h"

#include "common/banned.h"

enum {
    /* EnOS refreshes under 10 minutes left; a fifth of the life for short ones. */
    RENEW_AHEAD_MS = 10 * 60 * 1000,
    REFUSED_PAUSE_MS = 30 * 1000,
    REFUSED_PAUSE_MOST_MS = 15 * 60 * 1000,
};

void credentials_init(struct credentials *credentials, bool needed)
{
    *credentials = (struct credentials){.needed = needed};
}

void credentials_release(struct credentials *credentials)
{
    secret_release(&credentials->credential.token);
}

bool credentials_usable(const struct credentials *credentials, struct now now)
{
    return !credentials->needed ||
           (credentials->have && now.wall_ms < credentials->credential.expires_ms);
}

const struct credential *credentials_current(const struct credentials *credentials)
{
    return credentials->needed ? &credentials->credential : NULL;
}

const struct credential *credentials_renewing(const struct credentials *credentials)
{
    return credentials->signing_in && credentials->renewing ? &credentials->credential : NULL;
}

bool credentials_due(const struct credentials *credentials, struct now now, bool wanted,
                     int64_t *retry_at)
{
    *retry_at = INT64_MAX;
    if (!credentials->needed || credentials->signing_in || !wanted)
        return false;
    if (credentials_usable(credentials, now) && now.wall_ms < credentials->renew_at_ms)
        return false;
    *retry_at = credentials->not_before_ms;
    return now.mono_ms >= credentials->not_before_ms;
}

const struct credential *credentials_begin(struct credentials *credentials, struct now now,
                                           int64_t *wall_ms)
{
    credentials->signing_in = true;
    credentials->renewing = credentials_usable(credentials, now);
    credentials->last_wall_ms =
        now.wall_ms > credentials->last_wall_ms ? now.wall_ms : credentials->last_wall_ms + 1;
    *wall_ms = credentials->last_wall_ms;
    return credentials->renewing ? &credentials->credential : NULL;
}

void credentials_renewed(struct credentials *credentials, struct now now, struct credential *fresh)
{
    /* A provider may give the same token again while it lives: a rejection of it is still one. */
    bool same =
        slice_equal(secret_slice(&credentials->credential.token), secret_slice(&fresh->token));
    if (same && credentials->renewing && !credentials->have) {
        secret_release(&fresh->token); /* rejected meanwhile: sign in anew */
        credentials->signing_in = false;
        credentials->not_before_ms = 0;
        return;
    }
    secret_release(&credentials->credential.token);
    credentials->credential = *fresh;
    *fresh = (struct credential){0};
    credentials->signing_in = false;
    credentials->generation += !same || !credentials->have;
    credentials->have = true;
    credentials->failures = 0;
    credentials->not_before_ms = 0;
    int64_t expires = credentials->credential.expires_ms;
    int64_t life = expires - now.wall_ms;
    int64_t ahead = life / 5 < RENEW_AHEAD_MS ? life / 5 : RENEW_AHEAD_MS;
    credentials->renew_at_ms = expires == COMMAND_NEVER ? INT64_MAX : expires - ahead;
}

void credentials_failed(struct credentials *credentials, struct now now, bool refused,
                        int64_t backoff_ms)
{
    credentials->signing_in = false;
    credentials->failures++;
    int64_t pause = backoff_ms;
    if (refused && credentials->renewing) {
        credentials->have = false; /* the renewal was refused: sign in anew, once, at once */
        pause = 0;
    } else if (refused) {
        pause = REFUSED_PAUSE_MS;
        for (unsigned i = 1; i < credentials->failures && pause < REFUSED_PAUSE_MOST_MS; i++)
            pause *= 2;
    }
    credentials->not_before_ms = now.mono_ms + pause;
}

void credentials_rejected(struct credentials *credentials, uint64_t generation)
{
    if (credentials->have && credentials->generation == generation)
        credentials->have = false;
}
