/*
 * kancel-probe deny KIND NAME OPERATION: everybody is refused that operation, until
 * kancel-probe undeny KIND NAME. KIND is topic, group or transactional-id; OPERATION is read, write
 * or describe. For a broker with an authorizer that allows what no rule is about.
 */
#include "probe.h"

#include <string.h>

#include "common/banned.h"

struct word {
    const char *text;
    int value;
};

static const struct word kinds[] = {{"topic", RD_KAFKA_RESOURCE_TOPIC},
                                    {"group", RD_KAFKA_RESOURCE_GROUP},
                                    {"transactional-id", RD_KAFKA_RESOURCE_TRANSACTIONAL_ID}};
static const struct word operations[] = {{"read", RD_KAFKA_ACL_OPERATION_READ},
                                         {"write", RD_KAFKA_ACL_OPERATION_WRITE},
                                         {"describe", RD_KAFKA_ACL_OPERATION_DESCRIBE}};

static int value_of(const struct word *words, const char *text)
{
    for (size_t i = 0; i < 3; i++)
        if (strcmp(words[i].text, text) == 0)
            return words[i].value;
    die(text, "unknown word");
}

/* What one resource has rules for is refused without one: all but the operation is allowed. */
static rd_kafka_AclBinding_t *rule_of(int kind, const char *name, rd_kafka_AclOperation_t operation,
                                      rd_kafka_AclPermissionType_t permission)
{
    char problem[256];
    rd_kafka_AclBinding_t *rule = rd_kafka_AclBinding_new(
        (rd_kafka_ResourceType_t)kind, name, RD_KAFKA_RESOURCE_PATTERN_LITERAL, "User:*", "*",
        operation, permission, problem, sizeof(problem));
    if (!rule)
        die("deny", problem);
    return rule;
}

int deny(const char *brokers, int argc, char **argv)
{
    size_t count;
    if (argc != 3)
        die("deny", "expected KIND NAME OPERATION");
    int kind = value_of(kinds, argv[0]), operation = value_of(operations, argv[2]);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AclBinding_t *rules[] = {
        rule_of(kind, argv[1], (rd_kafka_AclOperation_t)operation,
                RD_KAFKA_ACL_PERMISSION_TYPE_DENY),
        rule_of(kind, argv[1], RD_KAFKA_ACL_OPERATION_ALL, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW)};
    rd_kafka_CreateAcls(rk, rules, 2, NULL, queue);
    rd_kafka_event_t *event = must(rd_kafka_queue_poll(queue, WAIT_MS));
    check(rd_kafka_event_error(event), "deny");
    const rd_kafka_acl_result_t **results =
        rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_acl_result_error(results[i]))
            die("deny", rd_kafka_error_string(rd_kafka_acl_result_error(results[i])));
    rd_kafka_event_destroy(event);
    rd_kafka_AclBinding_destroy_array(rules, 2);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

int undeny(const char *brokers, int argc, char **argv)
{
    char problem[256];
    size_t count, gone = 0;
    if (argc != 2)
        die("undeny", "expected KIND NAME");
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AclBindingFilter_t *filter = must(rd_kafka_AclBindingFilter_new(
        (rd_kafka_ResourceType_t)value_of(kinds, argv[0]), argv[1],
        RD_KAFKA_RESOURCE_PATTERN_LITERAL, NULL, NULL, RD_KAFKA_ACL_OPERATION_ANY,
        RD_KAFKA_ACL_PERMISSION_TYPE_ANY, problem, sizeof(problem)));
    rd_kafka_DeleteAcls(rk, &filter, 1, NULL, queue);
    rd_kafka_event_t *event = must(rd_kafka_queue_poll(queue, WAIT_MS));
    check(rd_kafka_event_error(event), "undeny");
    const rd_kafka_DeleteAcls_result_response_t **answers =
        rd_kafka_DeleteAcls_result_responses(rd_kafka_event_DeleteAcls_result(event), &count);
    (void)rd_kafka_DeleteAcls_result_response_matching_acls(answers[0], &gone);
    if (gone != 2)
        die("undeny", "there are no such rules");
    rd_kafka_event_destroy(event);
    rd_kafka_AclBinding_destroy(filter);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}
