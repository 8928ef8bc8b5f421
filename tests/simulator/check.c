#include <ctype.h>
#include <strings.h>

#include "check.h"
#include "ledger.h"

#include "common/banned.h"

enum { HEADERS_MAX = 64 };

/* What any HTTP client may send with any request. */
static const char *const usual_headers[] = {"host",           "user-agent", "accept",
                                            "content-length", "connection", "traceparent",
                                            "tracestate",     NULL};

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct query_search {
    const char *key, *value;
    bool found;
};

static enum MHD_Result query_visit(void *context, enum MHD_ValueKind kind, const char *key,
                                   const char *value)
{
    struct query_search *search = context;
    (void)kind;
    if (strcmp(key, search->key) != 0)
        return MHD_YES;
    search->found = true;
    search->value = value ? value : "";
    return MHD_NO;
}

const char *request_query(const struct request *request, const char *key)
{
    struct query_search search = {.key = key};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, query_visit, &search);
    return search.found ? search.value : NULL;
}

static bool listed(const char *const *names, const char *name)
{
    for (; names && *names; names++) {
        if (strcasecmp(*names, name) == 0)
            return true;
    }
    return false;
}

struct names {
    const char *seen[HEADERS_MAX];
    size_t count;
};

static enum MHD_Result names_collect(void *context, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    struct names *names = context;
    (void)kind;
    (void)value;
    if (names->count < HEADERS_MAX)
        names->seen[names->count++] = key;
    return MHD_YES;
}

void check_headers(struct simulator *simulator, const struct request *request,
                   const char *const *allowed)
{
    struct names names = {.count = 0};
    const char *agent = request_header(request, "User-Agent");
    if (!agent || strncmp(agent, "kancel/", 7) != 0)
        ledger_violation(simulator, request, "header User-Agent: expected kancel/VERSION");
    if (memchr(request->uri, '%', strcspn(request->uri, "?")))
        ledger_violation(simulator, request, "path: percent-encoded, though no id needs it");
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, names_collect, &names);
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.seen[i];
        if (!listed(usual_headers, name) && !listed(allowed, name) &&
            (request->body_len == 0 || strcasecmp(name, "Content-Type") != 0))
            ledger_violation(simulator, request, "header %s: unexpected", name);
        for (size_t j = 0; j < i; j++) {
            if (strcasecmp(names.seen[j], name) == 0)
                ledger_violation(simulator, request, "header %s: sent twice", name);
        }
    }
}

bool check_method(struct simulator *simulator, const struct request *request, const char *method)
{
    if (strcmp(request->method, method) == 0)
        return true;
    ledger_violation(simulator, request, "method %.16s: expected %s", request->method, method);
    return false;
}

bool check_query(struct simulator *simulator, const struct request *request,
                 const char *const *allowed)
{
    struct names names = {.count = 0};
    bool good = true;
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, names_collect, &names);
    for (size_t i = 0; i < names.count; i++) {
        const char *const *known = allowed;
        while (known && *known && strcmp(*known, names.seen[i]) != 0)
            known++;
        if (!known || !*known) {
            ledger_violation(simulator, request, "query %.64s: unexpected", names.seen[i]);
            good = false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(names.seen[j], names.seen[i]) == 0) {
                ledger_violation(simulator, request, "query %.64s: given twice", names.seen[i]);
                good = false;
            }
        }
    }
    return good;
}

bool check_json_body(struct simulator *simulator, const struct request *request)
{
    static const char json_type[] = "application/json";
    const char *type = request_header(request, "Content-Type");
    size_t len = sizeof(json_type) - 1;
    if (!type || strncasecmp(type, json_type, len) != 0 ||
        (type[len] != '\0' && type[len] != ';' && type[len] != ' ')) {
        ledger_violation(simulator, request, "header Content-Type: expected application/json");
        return false;
    }
    if (!json_is_object(request->json)) {
        ledger_violation(simulator, request,
                         "body: expected a JSON object without duplicate members");
        return false;
    }
    return true;
}

bool check_no_body(struct simulator *simulator, const struct request *request)
{
    if (request->body_len == 0)
        return true;
    ledger_violation(simulator, request, "body: expected none, got %zu bytes", request->body_len);
    return false;
}

bool check_members(struct simulator *simulator, const struct request *request, const json_t *object,
                   const char *const *allowed)
{
    const char *key;
    json_t *value;
    bool good = true;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const char *const *known = allowed;
        while (*known && strcmp(*known, key) != 0)
            known++;
        if (!*known) {
            ledger_violation(simulator, request, "body member %.64s: unexpected", key);
            good = false;
        }
    }
    return good;
}

bool check_id(struct simulator *simulator, const struct request *request, const char *name,
              const char *id, bool (*id_valid)(const char *))
{
    if (id_valid(id))
        return true;
    ledger_violation(simulator, request, "path: %s: not an id", name);
    return false;
}

static bool id_repeated(const json_t *ids, size_t at)
{
    const char *id = json_string_value(json_array_get(ids, at));
    for (size_t i = 0; i < at; i++) {
        if (strcmp(json_string_value(json_array_get(ids, i)), id) == 0)
            return true;
    }
    return false;
}

bool check_ids(struct simulator *simulator, const struct request *request, const json_t *ids,
               const char *name, size_t max, bool (*id_valid)(const char *))
{
    size_t count = json_array_size(ids);
    if (!json_is_array(ids) || count < 1 || count > max) {
        ledger_violation(simulator, request,
                         "body member %s: expected a list of 1 to %zu ids, got %zu", name, max,
                         count);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!id || !id_valid(id)) {
            ledger_violation(simulator, request, "body member %s[%zu]: not an id", name, i);
            return false;
        }
        if (id_repeated(ids, i)) {
            ledger_violation(simulator, request, "body member %s[%zu]: the id twice", name, i);
            return false;
        }
    }
    return true;
}

static bool id_of(const char *id, const char *alphabet, size_t max)
{
    size_t len = strlen(id);
    return len >= 1 && len <= max && strspn(id, alphabet) == len;
}

bool id_word(const char *id)
{
    return id_of(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 64);
}

bool id_hex24(const char *id)
{
    return id_of(id, "0123456789abcdef", 24);
}

bool id_digits32(const char *id)
{
    return id_of(id, "0123456789", 32);
}

bool id_target(const char *id)
{
    size_t len = strlen(id);
    return len >= 1 && len <= 256;
}
