#include "worker/core/state.h"

#include "common/banned.h"

enum lane_kind { LANE_RESULT = 'r', LANE_KEY = 'k', LANE_TASK = 't', LANE_PARTITION = 'p' };

/* ---- flow ------------------------------------------------------------------------------------ */

static void set_paused(struct engine *engine, struct partition *partition, bool paused)
{
    if (partition->paused == paused)
        return;
    partition->paused = paused;
    struct topic_partition at = {partition->topic, partition->number};
    if (paused) {
        engine->metrics.partitions_paused++;
        engine->ports->pause(engine->ports->context, at);
    } else {
        engine->metrics.partitions_paused--;
        engine->ports->resume(engine->ports->context, at);
    }
}

/* A partition resumes when there is room for some records at once: each time it looks for them. */
void intake_flow(struct engine *engine)
{
    size_t most = engine->settings->bytes ? engine->settings->bytes : LIMIT_ENGINE_BYTES;
    if (engine->bytes > most)
        engine->bytes_full = true;
    else if (engine->bytes < most / 2)
        engine->bytes_full = false;
    for (struct partition *p = engine->partitions; p; p = p->next) {
        if (p->phase != PARTITION_OWNED)
            continue;
        size_t window = engine->settings->window;
        bool fits = ledger_fits(&p->ledger, p->ledger.next);
        /* What no commit tells of may all have been begun, for the next owner. */
        size_t taken = p->ledger.taken + p->uncommitted;
        bool full = taken >= window || !fits;
        bool roomy = taken <= window - window / 8 && fits;
        /* As with the window: on again at half. */
        if (p->full_of &&
            2 * p->taken_by[p->full_of - engine->accounts] <= window - p->ledger.taken)
            p->full_of = NULL;
        if (full || p->full_of || engine->bytes_full || engine->blocked)
            set_paused(engine, p, true);
        else if (roomy)
            set_paused(engine, p, false);
    }
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static int join_task_lanes(struct engine *engine, struct job *job, uint64_t account)
{
    size_t count = job->task->count;
    if (count > 1) {
        job->call_lanes = calloc(count, sizeof *job->call_lanes);
        if (!job->call_lanes)
            return -1;
    }
    for (size_t i = 0; i < count; i++) {
        job->call_lanes[i].owner = job;
        if (lanes_join(&engine->lanes, &job->call_lanes[i], LANE_TASK, account, job->task->ids[i]) <
            0)
            return -1;
        job->call_lane_count++;
    }
    return 0;
}

static int join_call_lanes(struct engine *engine, struct job *job)
{
    uint64_t partition = (uint64_t)(uintptr_t)job->partition;
    struct slice key = job->command.key, none = {0};
    bool whole_partition = engine->settings->ordering == ORDERING_PARTITION;
    switch (engine->settings->ordering) {
    case ORDERING_NONE:
        return 0;
    case ORDERING_TASK:
        return join_task_lanes(engine, job, (uint64_t)(job->account - engine->accounts));
    case ORDERING_KEY:
        if (!key.data)
            return 0;
        break;
    case ORDERING_PARTITION:
        break;
    }
    job->call_lane_count = 1;
    return lanes_join(&engine->lanes, &job->first_call_lane,
                      whole_partition ? LANE_PARTITION : LANE_KEY, partition,
                      whole_partition ? none : key);
}

static bool first_in_all_lanes(const struct job *job)
{
    for (size_t i = 0; i < job->call_lane_count; i++)
        if (!lane_is_first(&job->call_lanes[i]))
            return false;
    return true;
}

void job_free_call_lanes(struct engine *engine, struct job *job)
{
    for (size_t i = 0; i < job->call_lane_count; i++) {
        struct lane_member *next = lanes_leave(&engine->lanes, &job->call_lanes[i]);
        if (next)
            job_start(engine, next->owner);
    }
    job->call_lane_count = 0;
}

/* ---- a job's life ---------------------------------------------------------------------------- */

static void expiry_fired(void *context, struct timer *timer)
{
    struct engine *engine = context;
    struct job *job = (struct job *)((char *)timer - offsetof(struct job, expiry));
    int64_t deadline = intake_deadline(engine, &job->command);
    if (!job->expired && engine->now.mono_ms < job->settle_until_ms && deadline != COMMAND_NEVER &&
        deadline > engine->now.wall_ms)
        intake_set_expiry(engine, job); /* the wall clock was set back */
    else
        verdicts_expire(engine, job);
}

static struct job *job_new(struct engine *engine, struct partition *partition)
{
    if (timers_reserve(&engine->timers, engine->timer_users + 2) < 0)
        return NULL;
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    engine->timer_users++;
    job->partition = partition;
    job->call_lanes = &job->first_call_lane;
    job->first_call_lane.owner = job;
    job->result_lane.owner = job;
    job->asks = &job->first_ask;
    job->received_mono_ms = engine->now.mono_ms;
    job->received_wall_ms = engine->now.wall_ms;
    job->settle_until_ms = INT64_MAX;
    job->told = STATE_COUNT;
    job->expiry.fire = expiry_fired;
    buffer_init(&job->response, LIMIT_ECHO_BYTES);
    job->previous = partition->last;
    if (partition->last)
        partition->last->next = job;
    else
        partition->first = job;
    partition->last = job;
    partition->job_count++;
    engine->metrics.commands_in_flight++;
    return job;
}

static void leave_share(struct engine *engine, struct job *job)
{
    if (job->in_share && job->partition)
        job->partition->taken_by[job->account - engine->accounts]--;
    job->in_share = false;
}

static void leave_behind(struct job *job)
{
    if (job->behind)
        job->account->behind -= job->ask_count;
    job->behind = false;
}

static void unlink_job(struct partition *partition, struct job *job)
{
    if (!partition)
        return;
    *(job->previous ? &job->previous->next : &partition->first) = job->next;
    *(job->next ? &job->next->previous : &partition->last) = job->previous;
    partition->job_count--;
}

void job_free(struct engine *engine, struct job *job)
{
    work_abandon(engine, job);
    committer_forget_progress(engine, job);
    while (job->parts)
        part_free(engine, job->parts);
    leave_share(engine, job);
    leave_behind(job);
    unlink_job(job->partition, job);
    timers_stop(&engine->timers, &job->expiry);
    engine->timer_users--;
    lanes_leave(&engine->lanes, &job->result_lane);
    job_free_call_lanes(engine, job);
    if (job->call_lanes != &job->first_call_lane)
        free(job->call_lanes);
    for (size_t i = 0; i < job->ask_count; i++)
        free(job->asks[i].error);
    if (job->asks != &job->first_ask)
        free(job->asks);
    if (job->task)
        job->account->settings->provider->task_free(job->task);
    command_release(&job->command);
    buffer_release(&job->response);
    message_free(job->message);
    message_free(job->dead_letter);
    free(job->trace);
    free(job->items);
    free(job->error);
    free(job->result);
    engine->metrics.commands_in_flight--;
    engine->unfit -= job->unfit;
    engine->bytes -= job->bytes;
    free(job);
}

/* ---- intake ---------------------------------------------------------------------------------- */

static void refuse_provider(struct error *err)
{
    char names[PROVIDER_NAMES_BYTES];
    provider_names(names);
    error_set(err, ERROR_INPUT, "provider: expected one of %s", names);
}

static struct account *account_named(struct engine *engine, const struct command *command,
                                     struct error *err)
{
    struct account *account;
    HASH_FIND(hh, engine->accounts_by_name, command->account.data, command->account.len, account);
    if (!account) {
        error_set(err, ERROR_INPUT, "account: no account of this name is configured");
        return NULL;
    }
    if (slice_equals(command->provider, account->settings->provider->name))
        return account;
    error_set(err, ERROR_INPUT, "account: is of provider %s, not of the command's provider",
              account->settings->provider->name);
    return NULL;
}

static struct account *account_of_provider(struct engine *engine, const struct command *command,
                                           struct error *err)
{
    struct account *found = NULL;
    for (size_t i = 0; i < engine->settings->account_count; i++) {
        struct account *account = &engine->accounts[i];
        if (!slice_equals(command->provider, account->settings->provider->name))
            continue;
        if (found) {
            error_set(
                err, ERROR_INPUT,
                "account: expected a name, as several accounts of this provider are configured");
            return NULL;
        }
        found = account;
    }
    if (!found && !provider_find(command->provider))
        refuse_provider(err);
    else if (!found)
        error_set(err, ERROR_INPUT, "provider: no account of this provider is configured");
    return found;
}

static bool permitted(const struct account_settings *settings, const struct command *command)
{
    if (!(settings->allow.operations & 1u << command->operation))
        return false;
    if (!settings->allow.topics)
        return true;
    for (size_t i = 0; i < settings->allow.topic_count; i++)
        if (strcmp(settings->allow.topics[i], command->topic) == 0)
            return true;
    return false;
}

int64_t intake_deadline(const struct engine *engine, const struct command *command)
{
    int64_t deadline = command->expires_ms;
    if (engine->settings->max_age_ms > 0 && command->timestamp_ms >= 0 &&
        command->timestamp_ms < INT64_MAX - engine->settings->max_age_ms &&
        command->timestamp_ms + engine->settings->max_age_ms < deadline)
        deadline = command->timestamp_ms + engine->settings->max_age_ms;
    return deadline;
}

void intake_set_expiry(struct engine *engine, struct job *job)
{
    int64_t due = job->settle_until_ms;
    int64_t deadline = intake_deadline(engine, &job->command);
    int64_t left = deadline == COMMAND_NEVER ? INT64_MAX : deadline - engine->now.wall_ms;
    if (left < INT64_MAX / 2 && engine->now.mono_ms + left < due)
        due = engine->now.mono_ms + left;
    if (due != INT64_MAX)
        timers_set(&engine->timers, &job->expiry, due);
}

void job_count_message(struct engine *engine, struct job *job, const struct message *message,
                       bool more)
{
    size_t bytes = message_bytes(message);
    job->bytes = more ? job->bytes + bytes : job->bytes - bytes;
    engine->bytes = more ? engine->bytes + bytes : engine->bytes - bytes;
}

int job_rejoin_result_lane(struct engine *engine, struct job *job)
{
    if (!job->command.key.data)
        return 0;
    return lanes_join_front(&engine->lanes, &job->result_lane, LANE_RESULT,
                            (uint64_t)(uintptr_t)job->partition, job->command.key);
}

/* The dead letter, and the answer when its id could be read. */
static void reject(struct engine *engine, struct job *job, const struct record *record,
                   const char *reason)
{
    struct error err;
    engine->metrics.invalid++;
    job->dead_letter =
        dead_letter_message(record, slice_of_string(engine->settings->dead_letters_topic),
                            slice_of_string(reason), routes_dead_letter_limit(engine), &err);
    if (!job->dead_letter)
        engine_fail(engine, "no memory for a dead letter");
    else
        job_count_message(engine, job, job->dead_letter, true);
    job->unanswerable = !job->command.id.data;
    decide_without_asks(engine, job, FAILURE_INVALID_COMMAND, reason);
}

/* How long ago the last owner may have begun it: since its record was written. A call's time is
 * left all the same. */
static int64_t age_of_suspect(const struct engine *engine, const struct job *job)
{
    const struct account_settings *settings = job->account->settings;
    int64_t most = settings->retry.give_up_after_ms - settings->limits.timeout_ms;
    int64_t age = engine->now.wall_ms - job->command.timestamp_ms;
    if (job->command.timestamp_ms < 0 || age < 0 || most < 0)
        return 0;
    return age < most ? age : most;
}

static int make_asks(struct engine *engine, struct job *job)
{
    size_t count = job->task->count;
    if (count > 1) {
        struct ask_state *asks = calloc(count, sizeof *asks);
        if (!asks)
            return -1;
        job->asks = asks;
    }
    job->ask_count = job->open_asks = count;
    uint32_t *all = malloc(count * sizeof *all);
    if (!all)
        return -1;
    bool look = job->suspect && job->command.operation == OPERATION_CANCEL;
    enum ask_mode mode = look ? MODE_LOOK_FIRST : MODE_ACT;
    job->begun_before_ms = job->suspect ? age_of_suspect(engine, job) : 0;
    for (size_t i = 0; i < count; i++) {
        all[i] = (uint32_t)i;
        job->asks[i].mode = mode;
        job->asks[i].maybe_sent = job->asks[i].fate_unknown = look;
    }
    struct part_plan plan = {.mode = mode, .pause_ms = -1};
    int rc = work_make_parts(engine, job, all, count, &plan);
    free(all);
    return rc;
}

/* As with call slots: an account has its share of a window when it has as much of it as it leaves
 * free, `taken` being what all have. */
static bool has_share(const struct engine *engine, const struct partition *partition,
                      const struct account *account, size_t taken)
{
    size_t window = engine->settings->window;
    return engine->settings->account_count > 1 &&
           partition->taken_by[account - engine->accounts] + taken >= window;
}

/* False: it overflows. What may have been sent already is never answered so. */
static bool take_share(struct engine *engine, struct job *job)
{
    struct partition *partition = job->partition;
    struct account *account = job->account;
    bool fails = account->settings->overflow == OVERFLOW_FAIL;
    if (fails && !job->suspect &&
        has_share(engine, partition, account, partition->ledger.taken - 1))
        return false;
    job->in_share = true;
    partition->taken_by[account - engine->accounts]++;
    if (!fails && has_share(engine, partition, account, partition->ledger.taken))
        partition->full_of = account;
    return true;
}

/* No call goes, so what the last owner may have sent stays unknown. */
static void answer_dry(struct engine *engine, struct job *job)
{
    bool unknown = job->suspect && job->command.operation == OPERATION_CANCEL;
    job->dry_run = true;
    decide_without_asks(engine, job, unknown ? FAILURE_UNKNOWN_OUTCOME : FAILURE_NOT_PERMITTED,
                        unknown ? "dry run: an earlier worker may have sent it, no call was made"
                                : "dry run: it would have been called, no call was made");
}

static void take_valid(struct engine *engine, struct job *job)
{
    struct account_metrics *metrics = job->account->metrics;
    metrics->commands[job->command.operation]++;
    if (!permitted(job->account->settings, &job->command)) {
        decide_without_asks(engine, job, FAILURE_NOT_PERMITTED,
                            "the account does not allow this operation or this command topic");
        return;
    }
    if (!take_share(engine, job)) {
        metrics->overflowed++;
        decide_without_asks(engine, job, FAILURE_UNAVAILABLE,
                            "the account has its share of the worker's window; nothing was sent");
        return;
    }
    if (make_asks(engine, job) < 0 || join_call_lanes(engine, job) < 0) {
        decide_without_asks(engine, job, FAILURE_INTERNAL, "out of memory");
        return;
    }
    if (intake_deadline(engine, &job->command) <= engine->now.wall_ms && !job->suspect) {
        verdicts_expire(engine, job);
        return;
    }
    if (job->account->settings->dry_run) {
        answer_dry(engine, job);
        return;
    }
    intake_set_expiry(engine, job);
    if (first_in_all_lanes(job)) {
        job_start(engine, job);
        return;
    }
    job->behind = true;
    job->account->behind += job->ask_count;
    limits_note_busy(engine, job->account);
}

void job_start(struct engine *engine, struct job *job)
{
    if (job->started || job->decided || !first_in_all_lanes(job))
        return;
    job->started = true;
    leave_behind(job);
    for (struct part *part = job->parts; part; part = part->next)
        part_ready(engine, part);
}

static void decode(struct engine *engine, struct job *job, const struct record *record)
{
    struct error err = {0};
    int valid = command_decode(record, &engine->settings->headers, &job->command, &err);
    trace_begin(engine, job);
    job->bytes = command_bytes(&job->command) + sizeof *job;
    engine->bytes += job->bytes;
    if (job->command.key.data &&
        lanes_join(&engine->lanes, &job->result_lane, LANE_RESULT,
                   (uint64_t)(uintptr_t)job->partition, job->command.key) < 0) {
        engine_fail(engine, "no memory for a command");
    }
    if (valid == 0) {
        job->account = job->command.account.data ? account_named(engine, &job->command, &err)
                                                 : account_of_provider(engine, &job->command, &err);
        if (job->account)
            job->task = job->account->settings->provider->task(job->account->settings->opened,
                                                               job->command.operation,
                                                               job->command.task_json, &err);
    }
    if (job->task) {
        command_forget_json(&job->command);
        take_valid(engine, job);
    } else if (err.kind == ERROR_MEMORY) {
        engine_fail(engine, "no memory for a command");
    } else {
        reject(engine, job, record, err.message);
        command_forget_json(&job->command);
    }
}

void intake_record(struct engine *engine, struct partition *partition, const struct record *record)
{
    engine->metrics.records++;
    struct job *job = job_new(engine, partition);
    if (!job) {
        engine_fail(engine, "no memory for a command");
        return;
    }
    switch (ledger_take(&partition->ledger, &job->entry, record->offset)) {
    case LEDGER_SKIP:
        engine->metrics.skipped++;
        job_free(engine, job);
        return;
    case LEDGER_SUSPECT:
        job->suspect = true;
        break;
    case LEDGER_TAKEN:
        break;
    }
    decode(engine, job, record);
}
