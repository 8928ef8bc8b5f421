#include "worker/providers/answer.h"

#include "common/banned.h"

/* A number beyond 64 bits is a code all the same, and none that is documented. */
static struct slice code_text(struct answer *answer, const struct json_value *value)
{
    int64_t number;
    if (json_value_kind(value) == JSON_TEXT)
        return json_value_text(value);
    if (json_value_kind(value) != JSON_NUMBER)
        return slice_of(NULL, 0);
    if (!json_value_int64(value, &number))
        return slice_of_string("not a whole number");
    struct buffer text = {.data = answer->number,
                          .capacity = sizeof answer->number,
                          .ceiling = sizeof answer->number - 1};
    buffer_append_int(&text, number);
    return buffer_slice(&text);
}

static void read_failure(struct answer *answer, const struct json_value *map,
                         const struct answer_names *names)
{
    for (const char *const *name = names->code_names; *name != NULL && !answer->code.data; name++)
        answer->code = code_text(answer, json_value_get(map, *name));
    for (const char *const *name = names->message_names; *name != NULL && !answer->message.data;
         name++)
        answer->message = json_value_text(json_value_get(map, *name));
}

bool text_quotes_request(struct slice text)
{
    static const char *const words[] = {"canonicalrequest", "x-auth-token:",  "x-security-token",
                                        "authorization:",   "apim-signature", "apim-accesstoken",
                                        "bearer ",          "accesstoken\":"};
    for (size_t at = 0; at < text.len; at++) {
        char first = text.data[at];
        if (strchr("cxabCXAB", first) == NULL)
            continue;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            size_t len = strlen(words[i]);
            if (text.len - at >= len &&
                slice_equals_ignoring_case(slice_of(text.data + at, len), words[i]))
                return true;
        }
    }
    return false;
}

/* Shorter ones are no secrets, and stand in many a word. */
enum { SECRET_LEAST = 6 };

static bool holds(struct slice text, const struct secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++) {
        struct slice secret = secrets->list[i];
        if (secret.len >= SECRET_LEAST && text.len >= secret.len &&
            memmem(text.data, text.len, secret.data, secret.len) != NULL)
            return true;
    }
    return false;
}

/* A body beyond LIMIT_ECHO_BYTES is left out anyway and not worth the search. */
static bool may_echo(const struct answer *answer, const struct secrets *secrets)
{
    struct slice body = answer->response->body;
    bool success = answer_is_good(answer) && (!answer->code.data || answer_code_is_zero(answer));
    if (body.len > LIMIT_ECHO_BYTES || holds(body, secrets))
        return false;
    return success || !text_quotes_request(body);
}

void answer_read(struct answer *answer, enum operation operation,
                 const struct http_response *response, const struct answer_names *names,
                 const struct secrets *secrets, struct slice *json)
{
    struct error err;
    *answer = (struct answer){.response = response, .operation = operation};
    *json = slice_of(NULL, 0);
    if (response->result != HTTP_ANSWERED)
        return;
    answer->document =
        json_document_parse(response->body, LIMIT_RESPONSE_BYTES, LIMIT_RESPONSE_DEPTH, &err);
    if (answer->document == NULL)
        return;
    const struct json_value *root = json_document_root(answer->document);
    if (json_value_kind(root) == JSON_MAP) {
        answer->root = root;
        read_failure(answer, root, names);
        if (answer->code.data == NULL)
            read_failure(answer, json_value_get(root, "error"), names);
    }
    if (may_echo(answer, secrets))
        *json = response->body;
    if (holds(answer->code, secrets))
        answer->code = slice_of_string("left out");
    if (holds(answer->message, secrets))
        answer->message = slice_of_string("left out: the provider's message quotes the request");
}

void answer_release(struct answer *answer)
{
    json_document_free(answer->document);
    answer->document = NULL;
}

static bool is_2xx(const struct http_response *response)
{
    return response->result == HTTP_ANSWERED && response->status >= 200 && response->status < 300;
}

bool answer_is_good(const struct answer *answer)
{
    return is_2xx(answer->response) && answer->response->status != 204 && answer->root != NULL;
}

bool answer_code_is_zero(const struct answer *answer)
{
    return slice_equals(answer->code, "0");
}

const struct code_rule *code_rule_find(const struct code_rule *rules, struct slice code)
{
    for (const struct code_rule *rule = rules; rule->first != NULL; rule++) {
        if (slice_equals(code, rule->first))
            return rule;
        if (rule->last != NULL && code.len == strlen(rule->first) &&
            memcmp(code.data, rule->first, code.len) > 0 &&
            memcmp(code.data, rule->last, code.len) <= 0)
            return rule;
    }
    return NULL;
}

/* The provider's own words in place of ours. */
static void add_words(const struct answer *answer, struct verdict *verdict)
{
    char ours[LIMIT_MESSAGE_BYTES + 1];
    snprintf(ours, sizeof ours, "%s",
             verdict->error.message[0] != '\0' ? verdict->error.message : "no reason was given");
    struct slice message = answer->message.len > 0 ? answer->message : slice_of_string(ours);
    verdict_set_error(verdict, verdict->error.kind, answer->code, message,
                      answer->response->status);
}

void answer_failure_by(const struct answer *answer, const struct code_rule *rule,
                       struct verdict *verdict)
{
    verdict_of_http(answer->operation, answer->response, verdict);
    if (answer->root == NULL)
        return;
    int status = answer->response->status;
    if (rule != NULL && status != 401 && status != 429) {
        bool reads = answer->operation == OPERATION_STATUS;
        *verdict = (struct verdict){.kind = reads && rule->kind == VERDICT_UNKNOWN ? VERDICT_RETRY
                                                                                   : rule->kind,
                                    .tells_state = rule->failure == FAILURE_NOT_FOUND,
                                    .throttled = rule->failure == FAILURE_THROTTLED,
                                    .error.kind = rule->failure};
    }
    add_words(answer, verdict);
}

void answer_failure(const struct answer *answer, const struct code_rule *rules,
                    struct verdict *verdict)
{
    answer_failure_by(answer, code_rule_find(rules, answer->code), verdict);
}

void answer_sign_in_failure(const struct answer *answer, const struct code_rule *rules,
                            struct verdict *verdict)
{
    answer_failure(answer, rules, verdict);
    bool no_page = answer->response->status == 404 && verdict->error.kind == FAILURE_BAD_RESPONSE;
    if (verdict->kind != VERDICT_REFUSED && !no_page)
        return;
    verdict->kind = VERDICT_FAILED;
    verdict->tells_state = false;
    verdict->error.kind = FAILURE_UNAUTHORIZED;
}

void answer_unfit(const struct answer *answer, const char *what, struct verdict *verdict)
{
    bool reads = answer->operation == OPERATION_STATUS;
    *verdict = (struct verdict){.kind = reads ? VERDICT_RETRY : VERDICT_UNKNOWN};
    verdict_set_error(verdict, FAILURE_BAD_RESPONSE, slice_of(NULL, 0), slice_of_string(what),
                      answer->response->status);
}

const struct json_value *answer_single(const struct json_value *value)
{
    if (json_value_kind(value) != JSON_LIST)
        return value;
    return json_value_count(value) == 1 ? json_value_at(value, 0) : NULL;
}

bool answer_number(const struct json_value *value, int64_t *number)
{
    int64_t read;
    struct slice text = json_value_text(value);
    if (json_value_kind(value) == JSON_TEXT ? !slice_to_int64(text, &read)
                                            : !json_value_int64(value, &read))
        return false;
    *number = read;
    return read >= 0;
}

void answer_apart(struct verdict *verdict, enum verdict_kind kind, size_t most)
{
    verdict->kind = kind;
    verdict->tells_state = false;
    verdict->apart = most;
}

struct verdict verdict_done(enum task_state state)
{
    return (struct verdict){.kind = VERDICT_DONE, .state = state};
}

struct verdict answer_refused(const struct answer *answer, enum failure failure,
                              enum task_state state, bool tells_state, const char *message)
{
    struct verdict verdict = {.kind = VERDICT_REFUSED, .state = state, .tells_state = tells_state};
    verdict_set_error(&verdict, failure, slice_of(NULL, 0), slice_of_string(message),
                      answer->response->status);
    return verdict;
}

enum task_state state_of_word(const struct state_word *words, struct slice word)
{
    while (words->word != NULL && !slice_equals(word, words->word))
        words++;
    return words->state;
}
