/* HTTP exchanges and what may befall them. */
#include "tests/simulation/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/banned.h"

static void call_free(struct world *world, struct sim_call *call)
{
    struct sim_call **link = &world->calls;
    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    buffer_release(&call->body);
    free(call);
}

void calls_free(struct world *world)
{
    while (world->calls)
        call_free(world, world->calls);
}

static enum fault draw_fault(struct world *world, const struct sim_call *call)
{
    if (call->sign_in)
        return world_draws(world, FAULT_SIGN_IN) ? FAULT_SIGN_IN : FAULT_NONE;
    for (enum fault fault = FAULT_NOT_SENT; fault < FAULT_SIGN_IN; fault++) {
        if ((fault == FAULT_CREDENTIAL && call->account != ENOS) ||
            (fault == FAULT_PAGE && !call->pageable))
            continue;
        if (world_draws(world, fault))
            return fault;
    }
    return FAULT_NONE;
}

static bool applies(struct world *world, enum fault fault)
{
    switch (fault) {
    case FAULT_NONE:
    case FAULT_TIMEOUT_AFTER:
    case FAULT_TIMEOUT_LATE:
    case FAULT_RESET_AFTER:
    case FAULT_5XX_AFTER:
    case FAULT_TOO_LARGE:
    case FAULT_PAGE:
    case FAULT_CREDENTIAL:
        return true;
    case FAULT_HTML:
    case FAULT_CUT_JSON:
    case FAULT_204:
        return world_percent(world, 50);
    default:
        return false;
    }
}

/* ---- the answer on its way back ----------------------------------------------------------------
 */

static void give_code_in_200(struct sim_call *call)
{
    if (call->account != SCNET) {
        call->status = 429;
        return;
    }
    buffer_append_string(&call->body, "{\"code\":\"911048\",\"msg\":\"too many requests\"}");
    call->status = 200;
}

static void spoil(struct world *world, struct sim_call *call)
{
    static const int gateways[] = {500, 502, 503, 504};
    struct buffer *body = &call->body;
    if (call->fault != FAULT_NONE && call->fault != FAULT_CREDENTIAL)
        call->accepts = call->reads = call->rejects = false;
    switch (call->fault) {
    case FAULT_5XX_BEFORE:
    case FAULT_5XX_AFTER:
    case FAULT_SIGN_IN:
        if (call->fault == FAULT_SIGN_IN && world_percent(world, 20)) {
            buffer_clear(body);
            buffer_append_string(body, "{\"status\":1002,\"msg\":\"wrong key\"}");
            call->status = 200;
            break;
        }
        call->status = gateways[rng_below(&world->rng, 4)];
        buffer_clear(body);
        buffer_append_string(body, "upstream");
        break;
    case FAULT_429:
    case FAULT_RETRY_AFTER:
        buffer_clear(body);
        call->status = 429;
        call->not_applied = true;
        if (call->fault == FAULT_RETRY_AFTER) {
            call->retry_after_s = world_between(world, 0, 5);
            if (world_percent(world, 30)) {
                call->status = 503;
                call->not_applied = false;
            }
        }
        break;
    case FAULT_CODE_IN_200:
        buffer_clear(body);
        call->not_applied = true;
        give_code_in_200(call);
        break;
    case FAULT_HTML:
        buffer_clear(body);
        buffer_append_string(body, "<html><body>Welcome</body></html>");
        call->status = 200;
        break;
    case FAULT_CUT_JSON:
        if (body->len == 0)
            buffer_append_string(body, "{\"code\":0,\"data\":{}}");
        body->len = body->len / 2;
        call->status = 200;
        break;
    case FAULT_204:
        buffer_clear(body);
        call->status = 204;
        break;
    default:
        break;
    }
}

static void deliver(struct world *world, const struct event *event)
{
    struct sim_call *call = event->what;
    struct sim_worker *worker = &world->workers[event->number];
    if (worker_sleeps(world, event, event->number))
        return;
    call->ended = true;
    if (worker_is(world, event->number, call->life) && !call->abandoned) {
        char seconds[24];
        snprintf(seconds, sizeof seconds, "%lld", (long long)call->retry_after_s);
        struct http_response response = {.result = call->result};
        if (call->result == HTTP_ANSWERED) {
            response.status = call->status;
            response.body = buffer_slice(&call->body);
            response.retry_after = slice_of_string(call->retry_after_s >= 0 ? seconds : NULL);
        } else {
            response.status = call->result == HTTP_TOO_LARGE ? call->status : 0;
            snprintf(response.problem, sizeof response.problem, "%s", fault_name(call->fault));
        }
        world_trace(world, "w%d answer %llu %s status %d %s", worker->index,
                    (unsigned long long)call->id, fault_name(call->fault), response.status,
                    response.body.len < 200 ? response.body.data : "...");
        check_answer(worker, call);
        engine_response(worker->engine, worker_now(worker), call->id, &response);
        worker_after(worker);
    }
    if (call->fault != FAULT_TIMEOUT_LATE || call->applied)
        call_free(world, call);
}

static void arrive(struct world *world, const struct event *event)
{
    struct sim_call *call = event->what;
    if (call->fault == FAULT_CREDENTIAL)
        world->token_expires = world->now;
    if (applies(world, call->fault)) {
        answers_apply(world, call);
        world_trace(world, "provider applies %llu of w%d", (unsigned long long)call->id,
                    call->worker);
    }
    spoil(world, call);
    if (call->ended)
        call_free(world, call);
}

/* ---- ports ------------------------------------------------------------------------------------
 */

static void schedule(struct world *world, struct sim_call *call)
{
    int64_t timeout = world->accounts[call->account].limits.timeout_ms;
    int64_t there = world_between(world, 0, world->plan.latency_ms);
    int64_t back = world_between(world, 0, world->plan.latency_ms);
    call->result = HTTP_ANSWERED;
    if (there > timeout)
        there = timeout;
    switch (call->fault) {
    case FAULT_NOT_SENT:
        call->result = HTTP_NOT_SENT;
        call->not_applied = true;
        break;
    case FAULT_TIMEOUT_BEFORE:
        call->result = HTTP_TIMED_OUT;
        back = timeout - there;
        break;
    case FAULT_TIMEOUT_AFTER:
        call->result = HTTP_TIMED_OUT;
        back = timeout - there;
        break;
    case FAULT_TIMEOUT_LATE:
        call->result = HTTP_TIMED_OUT;
        there = timeout + world_between(world, 1, 5000);
        world_at(world, timeout, deliver, call->worker, call->life, call);
        world_at(world, there, arrive, call->worker, call->life, call);
        return;
    case FAULT_RESET_BEFORE:
    case FAULT_RESET_AFTER:
        call->result = HTTP_BROKEN;
        break;
    case FAULT_TOO_LARGE:
        call->result = HTTP_TOO_LARGE;
        break;
    default:
        break;
    }
    if (there + back > timeout)
        back = timeout - there;
    if (call->fault != FAULT_NOT_SENT)
        world_at(world, there, arrive, call->worker, call->life, call);
    world_at(world, there + back, deliver, call->worker, call->life, call);
}

void calls_start(struct sim_worker *worker, uint64_t id, const struct account_settings *account,
                 struct http_request *request)
{
    struct world *world = worker->world;
    struct sim_call *call = calloc(1, sizeof *call);
    *call = (struct sim_call){.next = world->calls,
                              .id = id,
                              .life = worker->life,
                              .worker = worker->index,
                              .account = (enum which_account)(account - world->accounts),
                              .sent_at = world->now,
                              .retry_after_s = -1};
    world->calls = call;
    buffer_init(&call->body, LIMIT_RESPONSE_BYTES);
    if (!answers_read_request(world, call, request))
        world_fail(world, "w%d sends what no provider understands: %s %s", worker->index,
                   request->url.data, request->body.data ? request->body.data : "");
    call->fault = draw_fault(world, call);
    world_trace(world, "w%d call %llu %s %s %s (%s)", worker->index, (unsigned long long)id,
                call->cancel ? "CANCEL" : "read", request->url.data,
                request->body.data ? request->body.data : "", fault_name(call->fault));
    http_request_release(request);
    if (world->failed)
        return;
    check_call(worker, call);
    schedule(world, call);
}

static void lose(struct sim_call *call)
{
    call->abandoned = true;
    check_call_lost(call);
}

void calls_abandon(struct sim_worker *worker, uint64_t id)
{
    for (struct sim_call *call = worker->world->calls; call; call = call->next) {
        if (call->life != worker->life || call->id != id || call->ended)
            continue;
        world_trace(worker->world, "w%d abandons %llu", worker->index, (unsigned long long)id);
        worker->calls_out[call->account]--;
        worker->sign_ins_out[call->account] -= call->sign_in;
        lose(call);
    }
}

void calls_forget_worker(struct sim_worker *worker)
{
    for (struct sim_call *call = worker->world->calls; call; call = call->next)
        if (call->life == worker->life && !call->ended && !call->abandoned)
            lose(call);
}
