#include "worker/io/kafka_properties.h"

#include <librdkafka/rdkafka.h>

#include "common/slice.h"

#include "common/banned.h"

/* One row of librdkafka's manual: "name | C/P | range | default | importance | description". */
static struct slice next_cell(struct slice *row)
{
    const char *bar = row->len > 0 ? memchr(row->data, '|', row->len) : NULL;
    size_t len = bar ? (size_t)(bar - row->data) : row->len;
    struct slice cell = slice_of(row->data, len);
    size_t skip = bar ? len + 1 : len;
    *row = slice_of(row->data + skip, row->len - skip);
    while (cell.len > 0 && cell.data[0] == ' ')
        cell = slice_of(cell.data + 1, cell.len - 1);
    while (cell.len > 0 && cell.data[cell.len - 1] == ' ')
        cell.len--;
    return cell;
}

static bool read_row(struct slice row, const char *name, struct kafka_property *property)
{
    if (!slice_equals(next_cell(&row), name))
        return false;
    struct slice scope = next_cell(&row), range = next_cell(&row);
    property->scope = scope.len == 1 ? scope.data[0] : '*';
    bool fits = range.len < sizeof(property->range);
    (void)snprintf(property->range, sizeof(property->range), "%.*s%s",
                   fits ? (int)range.len : (int)sizeof(property->range) - 4, range.data,
                   fits ? "" : "...");
    return true;
}

bool kafka_property_find(const char *name, struct kafka_property *property)
{
    char *manual = NULL;
    size_t manual_len = 0;
    FILE *file = open_memstream(&manual, &manual_len);
    if (file == NULL)
        return false;
    rd_kafka_conf_properties_show(file);
    bool found = false;
    if (fclose(file) == 0) {
        struct slice rest = slice_of(manual, manual_len);
        while (!found && rest.len > 0) {
            const char *end = memchr(rest.data, '\n', rest.len);
            size_t len = end ? (size_t)(end - rest.data) : rest.len;
            found = read_row(slice_of(rest.data, len), name, property);
            size_t skip = end ? len + 1 : len;
            rest = slice_of(rest.data + skip, rest.len - skip);
        }
    }
    free(manual);
    return found;
}

static const struct {
    const char *name, *reason;
} refusals[] = {
    {"bootstrap.servers", "bootstrap_servers names the brokers"},
    {"metadata.broker.list", "bootstrap_servers names the brokers"},
    {"group.id", "group names the consumer group"},
    {"group.instance.id", "worker.instance_id sets it"},
    {"transactional.id", "worker.instance_id sets it"},
    {"isolation.level", "commands of aborted transactions must never be taken"},
    {"enable.auto.commit", "offsets are committed with the results"},
    {"auto.commit.enable", "offsets are committed with the results"},
    {"enable.auto.offset.store", "offsets are committed with the results"},
    {"offset.store.method", "offsets are committed with the results"},
    {"auto.offset.reset", "a new group starts at the earliest command"},
    {"enable.idempotence", "results must be neither repeated nor reordered by the client"},
    {"acks", "a result counts when all in-sync replicas have it"},
    {"request.required.acks", "a result counts when all in-sync replicas have it"},
    {"partitioner", "results of one key must stay in order, in the partition that Java's "
                    "producers would choose"},
    {"queuing.strategy", "results must stay in order"},
    {"delivery.report.only.error", "the worker must learn of every delivery"},
    {"allow.auto.create.topics", "a requester could create topics"},
    {"enabled_events", "the worker wires the client itself"},
    {"log.queue", "the worker wires the client itself"},
};

const char *kafka_property_refusal(const char *name)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (strcmp(refusals[i].name, name) == 0)
            return refusals[i].reason;
    }
    return NULL;
}

bool kafka_property_is_secret(const char *name)
{
    static const char *const marks[] = {"password", "secret",  "passphrase", ".pem",
                                        "token",    "ssl_key", ".config",    "oauthbearer.ext"};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strstr(name, marks[i]) != NULL)
            return true;
    }
    return false;
}
