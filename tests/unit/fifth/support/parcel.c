/* A fictitious parcel service: shipments. It shows all that a provider needs; only tests know it.
 */
#include "worker/providers/account.h"

#include "common/banned.h"

static const struct id_form id_form_shipment = {"AZ09", 12, "1-12 characters of A-Z 0-9"};

struct parcel_account {
    struct account_base base;
    const char *depot; /* NULL: none */
};

struct parcel_task {
    struct task task;
    struct slice depot;
};

static const struct option options[] = {
    {.path = "depot",
     .type = OPTION_STRING,
     .help = "The depot of shipments that do not name theirs."},
    {.path = "auth.key",
     .type = OPTION_SECRET,
     .required = true,
     .help = "Value of the header X-Parcel-Key; read again when its file changes."},
    {0},
};

static void *parcel_open(const struct option_values *values, const char *endpoint,
                         struct mistakes *mistakes)
{
    const char *depot = account_read_id(values, "depot", &id_form_word, mistakes);
    account_check_secret(values, "auth.key", mistakes);
    struct parcel_account *account =
        account_new(sizeof *account, values, options, slice_of_string(endpoint), mistakes);
    if (account != NULL)
        account->depot = depot;
    return account;
}

static struct task *parcel_task(const void *opened, enum operation operation,
                                const struct json_value *json, struct error *err)
{
    static const char *const members[] = {"shipment", "depot", NULL};
    const struct parcel_account *account = opened;
    struct slice shipment, depot;
    (void)operation;
    if (task_check_members(json, members, err) < 0 ||
        task_read_id(json, "shipment", &id_form_shipment, NULL, &shipment, err) < 0 ||
        task_read_id(json, "depot", &id_form_word, account->depot, &depot, err) < 0)
        return NULL;
    const struct slice share[] = {depot, shipment};
    size_t bytes = shipment.len + depot.len + task_share_bytes(share, 2);
    struct parcel_task *task = (struct parcel_task *)task_new(sizeof *task, 1, bytes, err);
    if (task == NULL)
        return NULL;
    char *at = task_texts(&task->task, sizeof *task);
    task->task.ids[0] = task_copy(&at, shipment);
    task->depot = task_copy(&at, depot);
    task->task.share = task_copy_share(&at, share, 2);
    return &task->task;
}

/* DELETE or GET /depots/{depot}/shipments/{shipment} */
static int parcel_request(const void *opened, const struct call_purpose *purpose,
                          const struct credential *credential, int64_t wall_ms,
                          struct http_request *request, struct error *err)
{
    const struct parcel_account *account = opened;
    const struct parcel_task *task = (const struct parcel_task *)purpose->asks[0].task;
    (void)credential, (void)wall_ms;
    request->method = purpose->operation == OPERATION_CANCEL ? HTTP_DELETE : HTTP_GET;
    buffer_append_string(&request->url, account->base.endpoint);
    buffer_append_string(&request->url, "/depots/");
    http_append_encoded(&request->url, task->depot);
    buffer_append_string(&request->url, "/shipments/");
    http_append_encoded(&request->url, task->task.ids[0]);
    return account_add_secret_header(&account->base, "auth.key", request, "X-Parcel-Key", err);
}

static const char *const code_names[] = {"error", NULL}, *const message_names[] = {"text", NULL};
static const struct answer_names names = {code_names, message_names};

static const struct code_rule rules[] = {
    {"delivered", NULL, VERDICT_REFUSED, FAILURE_NOT_CANCELLABLE},
    {"lost", NULL, VERDICT_REFUSED, FAILURE_NOT_FOUND},
    {0},
};

static const struct state_word phases[] = {{"booked", STATE_WAITING},
                                           {"moving", STATE_RUNNING},
                                           {"stopped", STATE_CANCELLED},
                                           {"delivered", STATE_SUCCEEDED},
                                           {NULL, STATE_UNKNOWN}};

static void parcel_response(const void *opened, const struct call_purpose *purpose,
                            const struct credential *credential,
                            const struct http_response *response, struct verdict *verdicts,
                            struct next_page *next, struct slice *json)
{
    const struct parcel_account *account = opened;
    struct secrets secrets;
    struct answer answer;
    struct verdict verdict;
    (void)next;
    account_secrets(&account->base, credential, &secrets);
    answer_read(&answer, purpose->operation, response, &names, &secrets, json);
    struct slice phase = json_value_text(json_value_get(answer.root, "phase"));
    if (!answer_is_good(&answer) || answer.code.data != NULL)
        answer_failure(&answer, rules, &verdict);
    else if (phase.data == NULL)
        answer_unfit(&answer, "the answer has no phase", &verdict);
    else
        verdict = verdict_done(state_of_word(phases, phase));
    answer_release(&answer);
    verdict_fill(verdicts, purpose->count, &verdict);
}

static const struct task_member members[] = {
    {.name = "shipment", .kind = MEMBER_ID, .help = "the shipment"},
    {.name = "depot",
     .option = "depot",
     .kind = MEMBER_ID,
     .help = "where it is (default: the account's)"},
    {0},
};

const struct provider provider_parcel = {
    .name = "parcel",
    .title = "A parcel service",
    .members = members,
    .options = options,
    .confirm_default = false,
    .open = parcel_open,
    .close = account_close,
    .task = parcel_task,
    .task_free = task_free_block,
    .most_asks = provider_one_ask,
    .needs_sign_in = provider_none_needs_sign_in,
    .signs_calls = provider_none_signs_calls,
    .sign_in = provider_none_sign_in,
    .signed_in = provider_none_signed_in,
    .request = parcel_request,
    .response = parcel_response,
};
