#include <stdarg.h>

#include "faults.h"
#include "ledger.h"
#include "tasks.h"

#include "common/banned.h"

struct ledger {
    uint64_t requests;
    uint64_t operations[PROVIDERS][OPERATIONS];
    unsigned under_way[PROVIDERS], most[PROVIDERS];
    unsigned all_under_way, all_most;
    json_t *violations;
    uint64_t violations_count;
};

struct ledger *ledger_new(void)
{
    struct ledger *ledger = must(calloc(1, sizeof(*ledger)));
    ledger->violations = must(json_array());
    return ledger;
}

void ledger_clear(struct ledger *ledger)
{
    ledger->requests = 0;
    ledger->violations_count = 0;
    memset(ledger->operations, 0, sizeof(ledger->operations));
    memcpy(ledger->most, ledger->under_way, sizeof(ledger->most));
    ledger->all_most = ledger->all_under_way;
    json_array_clear(ledger->violations);
}

void ledger_free(struct ledger *ledger)
{
    json_decref(ledger->violations);
    free(ledger);
}

void ledger_began(struct ledger *ledger, const struct request *request)
{
    unsigned now = ++ledger->under_way[request->provider];
    ledger->requests++;
    if (now > ledger->most[request->provider])
        ledger->most[request->provider] = now;
    if (++ledger->all_under_way > ledger->all_most)
        ledger->all_most = ledger->all_under_way;
}

void ledger_ended(struct ledger *ledger, const struct request *request)
{
    ledger->under_way[request->provider]--;
    ledger->all_under_way--;
}

void ledger_operation(struct ledger *ledger, const struct request *request)
{
    ledger->operations[request->provider][request->operation]++;
}

/* Text of foreign bytes: what JSON cannot hold is shown as a question mark. */
static json_t *plain(const char *text)
{
    char copy[512];
    size_t len = strnlen(text, sizeof(copy) - 1);
    for (size_t i = 0; i < len; i++)
        copy[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    copy[len] = '\0';
    return must(json_string(copy));
}

void ledger_violation(struct simulator *simulator, const struct request *request,
                      const char *format, ...)
{
    struct ledger *ledger = simulator->ledger;
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    ledger->violations_count++;
    if (json_array_size(ledger->violations) < VIOLATIONS_KEPT)
        json_array_append_new(
            ledger->violations,
            must(json_pack("{s:s, s:s, s:o, s:o, s:o}", "provider",
                           provider_names[request->provider], "operation",
                           operation_names[request->operation], "method", plain(request->method),
                           "path", plain(request->path), "what", plain(what))));
}

static json_t *operations_report(const struct ledger *ledger)
{
    json_t *all = json_object();
    for (size_t p = 0; p < PROVIDERS; p++) {
        json_t *one = json_object();
        for (size_t o = 0; o < OPERATIONS; o++)
            json_object_set_new(one, operation_names[o],
                                json_integer((json_int_t)ledger->operations[p][o]));
        json_object_set_new(one, "max_concurrency", json_integer(ledger->most[p]));
        json_object_set_new(all, provider_names[p], one);
    }
    return all;
}

json_t *ledger_report(struct simulator *simulator, bool summary, int64_t now_ms)
{
    const struct ledger *ledger = simulator->ledger;
    json_t *report = must(
        json_pack("{s:I, s:I, s:O, s:I, s:I, s:o, s:o}", "requests", (json_int_t)ledger->requests,
                  "violations_count", (json_int_t)ledger->violations_count, "violations",
                  ledger->violations, "under_way", (json_int_t)ledger->all_under_way,
                  "max_concurrency", (json_int_t)ledger->all_most, "operations",
                  operations_report(ledger), "faults", faults_report(simulator)));
    if (!summary)
        json_object_set_new(report, "tasks", tasks_report(simulator, now_ms));
    return report;
}
