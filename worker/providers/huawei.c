#include "worker/providers/huawei.h"

#include "common/banned.h"

static const char *const code_names[] = {"error_code", "errorCode", "code", NULL};
static const char *const message_names[] = {"error_msg", "errorMsg", "msg", "message", NULL};
const struct answer_names huawei_names = {code_names, message_names};

/* Without the APIGW. or APIG. before them. 0201 is left to the HTTP status: the same code stands
 * for a bad request and for a backend that is down or slow. */
static const struct code_rule gateway_rules[] = {
    /* No such API, backend or plugin: endpoint or gateway are set up wrongly, no task was asked
       about. */
    {"0101", "0106", VERDICT_FAILED, FAILURE_UNAVAILABLE},
    {"0301", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {"0302", NULL, VERDICT_REFUSED, FAILURE_FORBIDDEN},
    {"0303", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {"0307", NULL, VERDICT_RENEW, FAILURE_UNAUTHORIZED},
    {"0308", NULL, VERDICT_RETRY, FAILURE_THROTTLED},
    {0},
};

bool huawei_code_is_gateways(struct slice code)
{
    return slice_starts_with(code, "APIGW.") || slice_starts_with(code, "APIG.");
}

bool huawei_code_is_services(struct slice code)
{
    return slice_starts_with(code, "IOTDA.") || (code.len == 8 && slice_is_word(code, "09", 8));
}

/* The row of the service's own rules, else of the gateway's; NULL: the HTTP status decides. */
static const struct code_rule *find_rule(const struct code_rule *service_rules, struct slice code)
{
    if (!huawei_code_is_gateways(code))
        return code_rule_find(service_rules, code);
    size_t prefix = slice_starts_with(code, "APIGW.") ? 6 : 5;
    return code_rule_find(gateway_rules, slice_of(code.data + prefix, code.len - prefix));
}

/* "calc aksk signature fail:signature expired, signature time:..,server time:.." */
static bool is_about_time(struct slice message)
{
    static const char *const words[] = {"signature expired", "signature time", "x-date",
                                        "x-sdk-date"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (size_t at = 0; at + strlen(words[i]) <= message.len; at++)
            if (slice_equals_ignoring_case(slice_of(message.data + at, strlen(words[i])), words[i]))
                return true;
    return false;
}

void huawei_failure(const struct answer *answer, const struct code_rule *service_rules,
                    struct verdict *verdict)
{
    static const struct code_rule no_such_task = {"", NULL, VERDICT_REFUSED, FAILURE_NOT_FOUND};
    const struct code_rule *rule = find_rule(service_rules, answer->code);
    /* Which codes an unknown task has is not documented, only the HTTP status. */
    if (rule == NULL && answer->response->status == 404 && huawei_code_is_services(answer->code))
        rule = &no_such_task;
    answer_failure_by(answer, rule, verdict);
    verdict->clock_off = is_about_time(answer->message);
}
