/* The pages below /_simulator/: what tests script and read. They are never counted. */
#include "answer.h"
#include "check.h"
#include "credentials.h"
#include "faults.h"
#include "ledger.h"
#include "server.h"
#include "tasks.h"

#include "common/banned.h"

enum { PROBLEM_MAX = 320 };

typedef int script_function(struct simulator *simulator, const json_t *script, char *problem,
                            size_t problem_size);

static void done(struct request *request)
{
    answer_json(&request->answer, 200, json_pack("{s:b}", "ok", 1));
}

static void refuse(struct request *request, unsigned status, const char *problem)
{
    answer_json(&request->answer, status, json_pack("{s:s}", "problem", problem));
}

/* One object or a list of them, in order; those before a bad one stay. */
static void script_each(struct simulator *simulator, struct request *request,
                        script_function *apply)
{
    char problem[PROBLEM_MAX] = "the body is not JSON";
    json_t *script = request->json;
    size_t count = json_is_array(script) ? json_array_size(script) : 1;
    for (size_t i = 0; i < count; i++) {
        json_t *one = json_is_array(script) ? json_array_get(script, i) : script;
        if (!json_is_object(one) || apply(simulator, one, problem, sizeof(problem)) != 0) {
            refuse(request, 400, problem);
            return;
        }
    }
    done(request);
}

static int form_option(const char *name, const char *first, const char *second, enum form *form)
{
    const char *const names[] = {first, second, "alternate"};
    int index = name ? name_index(names, 3, name) : (int)*form;
    if (index < 0)
        return -1;
    *form = (enum form)index;
    return 0;
}

static int options_script(struct simulator *simulator, const json_t *script, char *problem,
                          size_t problem_size)
{
    struct options options = simulator->options;
    json_int_t delay_min = options.delay_min_ms, delay_max = -1;
    json_int_t running = options.running_ms, cancelling = options.cancelling_ms;
    json_int_t clock_ms = options.clock_ms;
    int missing = options.unknown_missing;
    const char *codes = NULL, *data = NULL;
    json_error_t error;
    if (json_unpack_ex((json_t *)(uintptr_t)script, &error, JSON_STRICT,
                       "{s?I, s?I, s?I, s?I, s?s, s?s, s?b, s?I}", "delay_ms", &delay_min,
                       "delay_max_ms", &delay_max, "duration_ms", &running, "cancelling_ms",
                       &cancelling, "codes", &codes, "data", &data, "unknown_missing", &missing,
                       "clock_ms", &clock_ms) != 0) {
        snprintf(problem, problem_size, "%s", error.text);
        return -1;
    }
    if (form_option(codes, "usual", "other", &options.codes) != 0 ||
        form_option(data, "object", "list", &options.data) != 0) {
        snprintf(problem, problem_size,
                 "codes: expected usual, other or alternate; data: object, list or alternate");
        return -1;
    }
    options.delay_min_ms = delay_min;
    options.delay_max_ms = delay_max < delay_min ? delay_min : delay_max;
    options.running_ms = running;
    options.cancelling_ms = cancelling;
    options.unknown_missing = missing != 0;
    options.clock_ms = clock_ms;
    simulator->options = options;
    return 0;
}

static void handle_get(struct simulator *simulator, struct request *request, const char *page)
{
    const char *summary = request_query(request, "summary");
    if (strcmp(page, "ledger") == 0)
        answer_json(
            &request->answer, 200,
            ledger_report(simulator, summary && strcmp(summary, "0") != 0, request->now_ms));
    else if (strcmp(page, "health") == 0)
        done(request);
    else
        refuse(request, 404, "no such page; GET: ledger, health");
}

void control_handle(struct simulator *simulator, struct request *request)
{
    static const struct {
        const char *page;
        script_function *apply;
    } pages[] = {{"tasks", tasks_script},
                 {"faults", faults_script},
                 {"credentials", credentials_script},
                 {"options", options_script}};
    const char *page = request->path + strlen("/_simulator/");
    if (strcmp(request->method, "GET") == 0) {
        handle_get(simulator, request, page);
        return;
    }
    if (strcmp(request->method, "DELETE") == 0 && strcmp(page, "faults") == 0) {
        faults_clear(simulator->faults);
        done(request);
        return;
    }
    if (strcmp(request->method, "POST") == 0 && strcmp(page, "reset") == 0) {
        simulator_reset(simulator);
        done(request);
        return;
    }
    for (size_t i = 0; strcmp(request->method, "POST") == 0 && i < 4; i++) {
        if (strcmp(page, pages[i].page) == 0) {
            script_each(simulator, request, pages[i].apply);
            return;
        }
    }
    refuse(request, 404,
           "no such page; POST: tasks, faults, credentials, options, reset; DELETE: faults");
}
