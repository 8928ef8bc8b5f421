/* What holds for every driver: its table, its option rows, and answers made of any bytes. */
#include "tests/unit/unit.h"
#include "tests/unit/providers/fixtures.h"
#include <stdlib.h>

#include "common/rng.h"
#include "worker/providers/provider.h"

#include "common/banned.h"

enum { MUTANTS = 3000 };

START_TEST(providers_are_found_by_their_exact_name)
{
    static const char *const names[] = {"enos", "scnet", "iotda", "koodrive"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct provider *provider = provider_find(slice_of_string(names[i]));
        ck_assert_ptr_nonnull(provider);
        ck_assert_str_eq(provider->name, names[i]);
    }
    ck_assert_ptr_null(provider_find(slice_of_string("Enos")));
    ck_assert_ptr_null(provider_find(slice_of_string("eno")));
    ck_assert_ptr_null(provider_find(slice_of(NULL, 0)));
}
END_TEST

START_TEST(every_slot_is_filled_and_every_option_explained)
{
    for (const struct provider *const *at = providers; *at != NULL; at++) {
        const struct provider *p = *at;
        ck_assert(p->title && p->members);
        ck_assert(p->open && p->close && p->task && p->task_free && p->most_asks);
        ck_assert(p->needs_sign_in && p->signs_calls && p->sign_in && p->signed_in);
        ck_assert(p->request && p->response);
        ck_assert_ptr_nonnull(p->options);
        for (const struct option *row = p->options; row->path != NULL; row++)
            ck_assert_msg(row->help != NULL && strlen(row->help) > 20, "%s: %s", p->name,
                          row->path);
    }
}
END_TEST

START_TEST(every_driver_says_what_its_fixtures_say)
{
    for (const struct provider *const *at = providers; *at != NULL; at++)
        fixtures_run((*at)->name);
}
END_TEST

/* What people send is written with the members, and what the schema says is one fragment each. */
START_TEST(members_make_one_command_line)
{
    for (const struct provider *const *at = providers; *at != NULL; at++) {
        size_t operands = 0;
        for (const struct task_member *member = (*at)->members; member->name; member++) {
            ck_assert(member->help != NULL);
            operands += member->option == NULL;
            ck_assert(member->option != NULL || member->kind != MEMBER_FLAG);
            for (const struct provider *const *other = providers; *other != NULL; other++)
                for (const struct task_member *same = (*other)->members; same->name; same++)
                    ck_assert(!same->option || !member->option ||
                              strcmp(same->option, member->option) != 0 ||
                              same->kind == member->kind);
        }
        ck_assert_uint_eq(operands, 1);
    }
}
END_TEST

static json_t *fragments(void)
{
    json_error_t fault;
    json_t *schema = json_load_file(SOURCE_DIR "/proto/command.schema.json", 0, &fault);
    ck_assert_msg(schema != NULL, "%s", fault.text);
    json_t *content = json_object_get(json_object_get(schema, "$defs"), "content");
    json_t *list = json_incref(json_object_get(content, "oneOf"));
    json_decref(schema);
    return list;
}

static json_t *property(json_t *fragment, const char *name)
{
    return json_object_get(json_object_get(fragment, "properties"), name);
}

START_TEST(every_provider_has_its_schema_fragment)
{
    json_t *list = fragments();
    size_t count = 0;
    while (providers[count] != NULL)
        count++;
    ck_assert_uint_eq(json_array_size(list), count);
    for (size_t i = 0; i < count; i++) {
        json_t *fragment = json_array_get(list, i);
        const char *name =
            json_string_value(json_object_get(property(fragment, "provider"), "const"));
        ck_assert_ptr_nonnull(name);
        const struct provider *provider = provider_find(slice_of_string(name));
        ck_assert_msg(provider != NULL, "no provider %s", name);
        json_t *members = json_object_get(property(fragment, "task"), "properties");
        size_t known = 0;
        for (const struct task_member *member = provider->members; member->name; member++) {
            known++;
            ck_assert_msg(json_object_get(members, member->name) != NULL, "%s: %s is not in it",
                          name, member->name);
        }
        ck_assert_uint_eq(json_object_size(members), known);
    }
    json_decref(list);
}
END_TEST

/* ---- any bytes --------------------------------------------------------------------------------
 */

static const struct {
    const char *provider, *task;
    enum operation operation;
    const char *answer;
} conversations[] = {
    {"enos", "{\"channelId\":\"c\",\"taskId\":\"t\"}", OPERATION_CANCEL,
     "{\"code\":0,\"msg\":\"OK\",\"data\":[{\"taskId\":\"t\",\"progressCode\":\"4\"}]}"},
    {"enos", "{\"channelId\":\"c\",\"taskId\":\"t\"}", OPERATION_STATUS,
     "{\"status\":\"0\",\"data\":{\"taskId\":\"t\",\"accessToken\":\"tok\",\"expire\":7200}}"},
    {"scnet", "{\"taskIds\":[\"a1\",\"b2\",\"c3\"]}", OPERATION_CANCEL,
     "{\"code\":\"0\",\"data\":[{\"taskId\":\"a1\",\"result\":true,\"status\":\"cancel\"},"
     "{\"taskId\":\"b2\",\"result\":false,\"status\":\"fail\"}]}"},
    {"scnet", "{\"taskIds\":[\"a1\",\"b2\",\"c3\"]}", OPERATION_STATUS,
     "{\"code\":\"911048\",\"msg\":\"busy\",\"data\":[{\"taskId\":\"c3\",\"status\":\"complete\"}]"
     "}"},
    {"iotda", "{\"projectId\":\"p\",\"taskId\":\"a1\",\"targets\":[\"d1\"]}", OPERATION_CANCEL,
     "{\"targets\":[{\"target\":\"d1\",\"status\":\"failure\",\"error_code\":\"IOTDA.014219\"}],"
     "\"batchtask\":{\"task_id\":\"a1\",\"status\":\"Processing\"},\"page\":{\"marker\":\"m\"},"
     "\"task_details\":[{\"target\":\"d1\",\"status\":\"Removed\"},{\"target\":\"d2\"}]}"},
    {"iotda", "{\"projectId\":\"p\",\"taskId\":\"a1\"}", OPERATION_STATUS,
     "{\"error_code\":\"APIGW.0308\",\"error_msg\":\"canonicalRequest:POST|x\","
     "\"error\":{\"code\":401,\"message\":\"m\"}}"},
    {"koodrive", "{\"jobId\":\"12\"}", OPERATION_CANCEL, "{\"code\":0,\"msg\":\"OK\"}"},
    {"koodrive", "{\"jobId\":\"12\"}", OPERATION_STATUS,
     "{\"code\":\"0\",\"data\":{\"jobInfo\":[{\"status\":2,\"taskResultCode\":\"3\"}]}}"},
};
enum { CONVERSATIONS = sizeof conversations / sizeof *conversations };

static struct option_values *values_of(const struct provider *provider)
{
    static const char *const set[][9] = {
        {"enos", "org_id", "auth.app_key", "auth.app_secret"},
        {"scnet", "auth.sign_in", "auth.user", "auth.access_key", "auth.secret_key",
         "auth.cluster_id"},
        {"iotda", "auth.iam.endpoint", "auth.iam.user", "auth.iam.password", "auth.iam.domain",
         "auth.iam.project"},
        {"koodrive", "auth.token"},
    };
    struct option_values *values = option_values_new(provider->options);
    struct error err = {0};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        for (size_t j = 1; strcmp(set[i][0], provider->name) == 0 && set[i][j] != NULL; j++)
            ck_assert_int_eq(option_values_set(values, set[i][j], slice_of_string("value1"), &err),
                             0);
    return values;
}

static void tell_mistake(void *context, const char *path, const char *message)
{
    (void)context;
    ck_abort_msg("%s: %s", path, message);
}

static struct task *task_of(const struct provider *provider, const void *account,
                            enum operation operation, const char *text)
{
    struct error err = {0};
    struct json_document *document =
        json_document_parse(slice_of_string(text), LIMIT_COMMAND_BYTES, 8, &err);
    ck_assert_ptr_nonnull(document);
    struct task *task = provider->task(account, operation, json_document_root(document), &err);
    ck_assert_msg(task != NULL, "%s", err.message);
    json_document_free(document);
    return task;
}

static void check_verdict(const struct verdict *verdict, enum operation operation)
{
    ck_assert_int_le(verdict->kind, VERDICT_FAILED);
    ck_assert_int_lt(verdict->state, STATE_COUNT);
    ck_assert_int_lt(verdict->error.kind, FAILURE_COUNT);
    ck_assert((verdict->kind == VERDICT_DONE) == (verdict->error.kind == FAILURE_NONE));
    ck_assert(verdict->kind != VERDICT_UNKNOWN || operation == OPERATION_CANCEL);
    ck_assert(!verdict->throttled || verdict->kind == VERDICT_RETRY);
    ck_assert(!verdict->already_cancelled || verdict->kind == VERDICT_DONE);
    ck_assert(slice_is_utf8(slice_of_string(verdict->error.message)));
    ck_assert(slice_is_utf8(slice_of_string(verdict->error.code)));
}

static void answer_once(const struct provider *provider, const void *account,
                        const struct call_purpose *purpose, const struct http_response *response)
{
    struct verdict verdicts[8];
    struct next_page next;
    struct slice json = {NULL, 1};
    memset(verdicts, 0x5a, sizeof verdicts);
    buffer_init(&next.cursor, LIMIT_MESSAGE_BYTES);
    provider->response(account, purpose, NULL, response, verdicts, &next, &json);
    for (size_t i = 0; i < purpose->count; i++)
        check_verdict(&verdicts[i], purpose->operation);
    ck_assert(json.data == NULL || slice_equal(json, response->body));
    buffer_release(&next.cursor);

    struct credential credential = {0};
    struct verdict verdict = {0};
    if (!provider->needs_sign_in(account))
        return;
    if (provider->signed_in(account, NULL, response, 1, &credential, &verdict) == 0)
        ck_assert_uint_gt(credential.token.len, 0);
    else
        check_verdict(&verdict, OPERATION_STATUS);
    secret_release(&credential.token);
}

static void mutate(char *text, size_t len, struct rng *rng)
{
    static const char structure[] = "{}[]\",:0123e.-tfn\\u \xc3\xa9";
    for (uint64_t times = rng_below(rng, 4); times > 0; times--) {
        size_t at = (size_t)rng_below(rng, len);
        if (rng_below(rng, 2) == 0)
            text[at] = structure[rng_below(rng, sizeof structure - 1)];
        else
            text[at] = text[rng_below(rng, len)];
    }
}

START_TEST(any_bytes_and_status_fill_every_verdict)
{
    static const int statuses[] = {200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503, 0, 999};
    const struct provider *provider = provider_find(slice_of_string(conversations[_i].provider));
    struct option_values *values = values_of(provider);
    struct mistakes mistakes = {tell_mistake, NULL, 0};
    void *account = provider->open(values, "https://api.example", &mistakes);
    ck_assert_ptr_nonnull(account);
    struct task *task =
        task_of(provider, account, conversations[_i].operation, conversations[_i].task);
    struct ask asks[8];
    for (size_t i = 0; i < task->count; i++)
        asks[i] = (struct ask){task, i};
    struct rng rng;
    rng_init(&rng, (uint64_t)_i);
    size_t len = strlen(conversations[_i].answer);
    for (int i = 0; i < MUTANTS; i++) {
        struct call_purpose purpose = {.operation = i % 2 == 0 ? conversations[_i].operation
                                                               : OPERATION_STATUS,
                                       .asks = asks,
                                       .count = task->count};
        /* A block of its own size, for the sanitizer. */
        size_t kept = i % 5 == 0 ? (size_t)rng_below(&rng, len + 1) : len;
        char *body = malloc(kept + 1);
        memcpy(body, conversations[_i].answer, kept);
        body = realloc(body, kept > 0 ? kept : 1);
        if (kept > 0)
            mutate(body, kept, &rng);
        struct http_response response = {
            .result = i % 50 == 49 ? (enum http_result)rng_below(&rng, 5) : HTTP_ANSWERED,
            .status = i % 3 > 0 ? 200 : statuses[rng_below(&rng, 13)],
            .body = slice_of(body, kept)};
        answer_once(provider, account, &purpose, &response);
        free(body);
    }
    provider->task_free(task);
    provider->close(account);
    option_values_free(values);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("provider");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, providers_are_found_by_their_exact_name);
    tcase_add_test(tests, every_slot_is_filled_and_every_option_explained);
    tcase_add_test(tests, every_driver_says_what_its_fixtures_say);
    tcase_add_test(tests, members_make_one_command_line);
    tcase_add_test(tests, every_provider_has_its_schema_fragment);
    tcase_add_loop_test(tests, any_bytes_and_status_fill_every_verdict, 0, CONVERSATIONS);
    return unit_run("provider", tests);
}
