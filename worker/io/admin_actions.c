#include <errno.h>
#include <time.h>

#include "worker/io/admin_internal.h"

#include "common/banned.h"

/* How long the loop may take to act. */
enum { PATIENCE_S = 5 };

static const struct {
    const char *prefix, *suffix; /* of the path, the account's name in between; "": none */
    enum admin_verb verb;
} actions[] = {
    {"/accounts/", "/hold", ADMIN_HOLD},
    {"/accounts/", "/resume", ADMIN_RESUME},
    {"/drain", "", ADMIN_DRAIN},
};

static bool find_action(struct slice path, enum admin_verb *verb, struct slice *account)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        struct slice prefix = slice_of_string(actions[i].prefix);
        struct slice suffix = slice_of_string(actions[i].suffix);
        bool named = suffix.len > 0;
        if (path.len < prefix.len + suffix.len + named || (!named && path.len != prefix.len) ||
            memcmp(path.data, prefix.data, prefix.len) != 0 ||
            memcmp(path.data + path.len - suffix.len, suffix.data, suffix.len) != 0)
            continue;
        *verb = actions[i].verb;
        *account = named ? slice_of(path.data + prefix.len, path.len - prefix.len - suffix.len)
                         : (struct slice){0};
        return true;
    }
    return false;
}

/* By digests, in a time that tells nothing of the token. */
static bool is_allowed(struct admin *admin, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    uint8_t digest[DIGEST_BYTES], difference = 0;
    if (authorization == NULL || strncmp(authorization, scheme, strlen(scheme)) != 0)
        return false;
    digest_sha256(slice_of_string(authorization + strlen(scheme)), digest);
    pthread_mutex_lock(&admin->lock);
    for (size_t i = 0; i < sizeof(digest); i++)
        difference |= digest[i] ^ admin->token[i];
    pthread_mutex_unlock(&admin->lock);
    return difference == 0;
}

/* The loop's answer as an HTTP status; 503 when it does not turn. */
static int ask_loop(struct admin *admin, enum admin_verb verb, struct slice account)
{
    struct timespec until;
    int status = MHD_HTTP_SERVICE_UNAVAILABLE, code = 0;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&admin->lock);
    admin->action = (struct admin_action){.step = ACTION_ASKED, .verb = verb, .account = account};
    loop_wake(admin->waker);
    while (admin->action.step != ACTION_DONE && code == 0 && !admin->stopping)
        code = pthread_cond_timedwait(&admin->done, &admin->lock, &until);
    if (admin->action.step == ACTION_DONE)
        status = admin->action.status;
    admin->action.step = ACTION_NONE;
    pthread_mutex_unlock(&admin->lock);
    return status;
}

void admin_woken(void *context)
{
    struct admin *admin = context;
    pthread_mutex_lock(&admin->lock);
    /* `account` points into the request that waits below this lock. */
    if (admin->action.step == ACTION_ASKED) {
        admin->action.status =
            admin->settings.act(admin->settings.context, admin->action.verb, admin->action.account);
        admin->action.step = ACTION_DONE;
        pthread_cond_signal(&admin->done);
    }
    pthread_mutex_unlock(&admin->lock);
}

enum MHD_Result admin_act(struct admin *admin, struct MHD_Connection *connection, const char *url)
{
    enum admin_verb verb;
    struct slice account;
    if (!find_action(slice_of_string(url), &verb, &account))
        return admin_answer(connection, MHD_HTTP_NOT_FOUND, "no such action\n", NULL, NULL);
    if (!admin->has_token)
        return admin_answer(connection, MHD_HTTP_FORBIDDEN,
                            "no actions here: admin.token is not configured\n", NULL, NULL);
    if (!is_allowed(admin, MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                       MHD_HTTP_HEADER_AUTHORIZATION)))
        return admin_answer(connection, MHD_HTTP_UNAUTHORIZED,
                            "expected Authorization: Bearer with the token of admin.token\n",
                            MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    int status = ask_loop(admin, verb, account);
    return admin_answer(connection, (unsigned)status,
                        status == MHD_HTTP_OK                    ? "done\n"
                        : status == MHD_HTTP_NOT_FOUND           ? "no such account\n"
                        : status == MHD_HTTP_SERVICE_UNAVAILABLE ? "the worker does not answer\n"
                                                                 : "not possible now\n",
                        NULL, NULL);
}
