#include "worker/core/credentials.h"

#include "common/timestamp.h"

#include "common/banned.h"

enum {
    /* EnOS refreshes under 10 minutes left; a fifth of the life for short ones. */
    RENEW_AHEAD_MS = 10 * 60 * 1000,
    /* At most four attempts in five minutes: gateways lock a key for five minutes after five. */
    REFUSED_PAUSE_MS = 30 * 1000,
    REFUSED_PAUSE_MOST_MS = 15 * 60 * 1000,
    /* Providers allow 15 minutes, one of them none ahead; a Date is cut to seconds. */
    CLOCK_OFF_MS = 30 * 1000,
    /* Between two tokens given up for answers that may have meant the task. */
    SURE_MS = 60 * 1000,
};

void credentials_init(struct credentials *credentials, bool needed, bool signs_calls)
{
    *credentials =
        (struct credentials){.needed = needed, .signs_calls = signs_calls, .doubted = signs_calls};
}

void credentials_release(struct credentials *credentials)
{
    secret_release(&credentials->credential.token);
}

bool credentials_usable(const struct credentials *credentials, struct now now)
{
    if (credentials->needed)
        return credentials->have && now.wall_ms < credentials->credential.expires_ms;
    return now.mono_ms >= credentials->not_before_ms &&
           (!credentials->doubted || credentials->calls_out == 0);
}

bool credentials_held(const struct credentials *credentials, struct now now)
{
    return credentials->refusals > 0 && now.mono_ms < credentials->not_before_ms;
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
    if (!credentials->needed || credentials->signing_in || !wanted) {
        if (wanted && !credentials->needed && now.mono_ms < credentials->not_before_ms)
            *retry_at = credentials->not_before_ms;
        return false;
    }
    if (credentials_usable(credentials, now) && now.wall_ms < credentials->renew_at_ms)
        return false;
    *retry_at = credentials->not_before_ms;
    return now.mono_ms >= credentials->not_before_ms;
}

const struct credential *credentials_begin(struct credentials *credentials, struct now now,
                                           int64_t *wall_ms)
{
    credentials->signing_in = true;
    credentials->renewing = credentials_usable(credentials, now) && !credentials->anew;
    credentials->outdated = false;
    credentials->last_wall_ms =
        now.wall_ms > credentials->last_wall_ms ? now.wall_ms : credentials->last_wall_ms + 1;
    *wall_ms = credentials->last_wall_ms;
    return credentials->renewing ? &credentials->credential : NULL;
}

static void keep(struct credentials *credentials, struct now now, struct credential *fresh)
{
    int64_t expires = fresh->expires_ms;
    int64_t life = expires - now.wall_ms;
    int64_t ahead = life / 5 < RENEW_AHEAD_MS ? life / 5 : RENEW_AHEAD_MS;
    secret_release(&credentials->credential.token);
    credentials->credential = *fresh;
    *fresh = (struct credential){0};
    credentials->have = true;
    credentials->anew = credentials->outdated;
    credentials->renew_at_ms = credentials->outdated      ? now.wall_ms
                               : expires == COMMAND_NEVER ? INT64_MAX
                                                          : expires - ahead;
}

bool credentials_renewed(struct credentials *credentials, struct now now, struct credential *fresh,
                         int64_t backoff_ms)
{
    /* A provider may give the same token again while it lives: a rejection of it is still one. */
    bool same =
        slice_equal(secret_slice(&credentials->credential.token), secret_slice(&fresh->token));
    if (now.wall_ms >= fresh->expires_ms) {
        secret_release(&fresh->token);
        credentials_failed(credentials, now, SIGN_IN_IMPOSSIBLE, backoff_ms);
        return false;
    }
    credentials->signing_in = false;
    credentials->not_before_ms = 0;
    if (same && credentials->renewing && !credentials->have) {
        secret_release(&fresh->token); /* rejected meanwhile: sign in anew */
        return true;
    }
    if (!same || !credentials->have) {
        credentials->generation++;
        credentials->accepted = false;
    }
    credentials->failures = 0;
    keep(credentials, now, fresh);
    return true;
}

/* Pauses for the refusal that was just counted. */
static void hold(struct credentials *credentials, struct now now)
{
    int64_t pause = REFUSED_PAUSE_MS;
    for (unsigned i = 1; i < credentials->refusals && pause < REFUSED_PAUSE_MOST_MS; i++)
        pause *= 2;
    credentials->not_before_ms =
        now.mono_ms + (pause < REFUSED_PAUSE_MOST_MS ? pause : REFUSED_PAUSE_MOST_MS);
}

void credentials_failed(struct credentials *credentials, struct now now,
                        enum sign_in_failure failure, int64_t backoff_ms)
{
    credentials->signing_in = false;
    if (credentials->outdated) {
        credentials->not_before_ms = now.mono_ms;
    } else if (failure == SIGN_IN_RENEWAL_REFUSED && credentials->renewing) {
        credentials->anew = true;
        credentials->not_before_ms = now.mono_ms;
    } else if (failure == SIGN_IN_IMPOSSIBLE) {
        credentials->failures++;
        credentials->not_before_ms = now.mono_ms + backoff_ms;
    } else {
        credentials->refusals++;
        hold(credentials, now);
    }
}

/* A token got by signing in: the first refusal of one is answered with another at once. */
static bool token_rejected(struct credentials *credentials, struct now now, bool ambiguous)
{
    if (!credentials->have)
        return false;
    if (ambiguous && now.mono_ms < credentials->sure_until_ms)
        return false;
    if (ambiguous)
        credentials->sure_until_ms = now.mono_ms + SURE_MS;
    credentials->have = false;
    if (credentials->accepted || ambiguous)
        return false;
    if (++credentials->refusals < 2)
        return false;
    hold(credentials, now);
    return true;
}

/* A token or key of the configuration: what was accepted before is tried once more, alone. */
static bool configured_rejected(struct credentials *credentials, struct now now)
{
    if (now.mono_ms < credentials->not_before_ms)
        return false;
    bool again = credentials->doubted;
    credentials->doubted = true;
    credentials->refusals += again;
    if (again)
        hold(credentials, now);
    return again;
}

bool credentials_rejected(struct credentials *credentials, struct now now, uint64_t generation,
                          bool ambiguous)
{
    if (credentials->generation != generation)
        return false;
    if (credentials->needed)
        return token_rejected(credentials, now, ambiguous);
    return !ambiguous && configured_rejected(credentials, now);
}

void credentials_accepted(struct credentials *credentials, uint64_t generation)
{
    if (credentials->generation != generation)
        return;
    credentials->accepted = true;
    credentials->doubted = false;
    if (!credentials->needed && credentials->refusals > 0)
        credentials->not_before_ms = 0;
    credentials->refusals = 0;
}

void credentials_changed(struct credentials *credentials, struct now now)
{
    credentials->failures = 0;
    credentials->refusals = 0;
    credentials->not_before_ms = now.mono_ms;
    credentials->outdated = credentials->signing_in;
    credentials->anew = true;
    credentials->renew_at_ms = now.wall_ms;
    /* What is under way with the old ones says nothing about the new. */
    if (credentials->needed)
        return;
    credentials->generation++;
    credentials->doubted = credentials->signs_calls;
}

void credentials_saw_date(struct credentials *credentials, struct slice date, struct now now)
{
    int64_t date_ms;
    if (!timestamp_parse_http(date, &date_ms))
        return;
    credentials->skew_known = true;
    credentials->skew_ms = now.wall_ms - date_ms - 500; /* the middle of that second */
}

bool credentials_clock_is_off(const struct credentials *credentials)
{
    return credentials->skew_known &&
           (credentials->skew_ms >= CLOCK_OFF_MS || credentials->skew_ms <= -CLOCK_OFF_MS);
}
