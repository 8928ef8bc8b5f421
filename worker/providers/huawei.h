/*
 * What IoTDA and KooDrive have in common: the shapes of a failure and the codes of the gateway
 * before them (APIGW.*, printed as APIG.* by some services). Part of the drivers: nobody else uses
 * it.
 */
#ifndef KANCEL_WORKER_PROVIDERS_HUAWEI_H
#define KANCEL_WORKER_PROVIDERS_HUAWEI_H

#include "worker/providers/answer.h"

/* error_code/error_msg, errorCode/errorMsg, code/message, code/msg, and IAM's nested error. */
extern const struct answer_names huawei_names;

/* answer_failure() by the service's own rules, else by the gateway's; a complaint about the time of
 * a signature is recognized by its words. */
void huawei_failure(const struct answer *answer, const struct code_rule *service_rules,
                    struct verdict *verdict);

/* The gateway gave this answer, not the service; or the service did. */
bool huawei_code_is_gateways(struct slice code);
bool huawei_code_is_services(struct slice code);

#endif
