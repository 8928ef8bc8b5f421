/* The process itself: TLS, client certificates, many requests at once, stopping, usage. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftest.h"

#include "common/banned.h"

enum { PARALLEL = 200, DELAY_MS = 300 };

static const struct ask good = {.method = "GET",
                                .path = "/koodrive/ose/v1/1",
                                .headers = {"Authorization: Bearer+koodrive-token"}};

static void start_empty(void)
{
    control("reset", NULL);
}

/* ---- certificates, made for this run ---- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[8][128];
    static size_t next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void extension_add(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* A certificate for 127.0.0.1 by `issuer` (NULL: its own authority), written as NAME.pem, NAME.key.
 */
static void certificate_make(const char *name, X509 *issuer, EVP_PKEY *issuer_key,
                             X509 **certificate, EVP_PKEY **key)
{
    char file[64];
    FILE *out;
    X509_NAME *subject;
    *key = EVP_EC_gen("P-256");
    *certificate = X509_new();
    X509_set_version(*certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(*certificate), (long)strlen(name) + 1);
    X509_gmtime_adj(X509_getm_notBefore(*certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(*certificate), 3600);
    X509_set_pubkey(*certificate, *key);
    subject = X509_get_subject_name(*certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(*certificate, issuer ? X509_get_subject_name(issuer) : subject);
    extension_add(*certificate, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (issuer)
        extension_add(*certificate, NID_subject_alt_name, "IP:127.0.0.1");
    ck_assert_int_gt(X509_sign(*certificate, issuer ? issuer_key : *key, EVP_sha256()), 0);
    snprintf(file, sizeof(file), "%s.pem", name);
    out = fopen(in_folder(file), "w");
    ck_assert_ptr_nonnull(out);
    PEM_write_X509(out, *certificate);
    fclose(out);
    snprintf(file, sizeof(file), "%s.key", name);
    out = fopen(in_folder(file), "w");
    ck_assert_ptr_nonnull(out);
    PEM_write_PrivateKey(out, *key, NULL, NULL, 0, NULL, NULL);
    fclose(out);
}

static void certificates_make(void)
{
    static const char *const names[] = {"server", "client", "stranger"};
    X509 *authority, *other, *one;
    EVP_PKEY *authority_key, *other_key, *key;
    snprintf(folder, sizeof(folder), "/tmp/kancel-selftest-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    certificate_make("authority", NULL, NULL, &authority, &authority_key);
    certificate_make("other", NULL, NULL, &other, &other_key);
    for (size_t i = 0; i < 3; i++) {
        bool strange = strcmp(names[i], "stranger") == 0;
        certificate_make(names[i], strange ? other : authority, strange ? other_key : authority_key,
                         &one, &key);
        X509_free(one);
        EVP_PKEY_free(key);
    }
    X509_free(authority);
    X509_free(other);
    EVP_PKEY_free(authority_key);
    EVP_PKEY_free(other_key);
}

static void certificates_remove(void)
{
    static const char *const names[] = {
        "authority.pem", "authority.key", "other.pem",  "other.key",    "server.pem",
        "server.key",    "client.pem",    "client.key", "stranger.pem", "stranger.key"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(in_folder(names[i]));
    rmdir(folder);
}

START_TEST(tls_is_served_with_the_given_certificate)
{
    const char *const options[] = {"--tls-certificate", in_folder("server.pem"), "--tls-key",
                                   in_folder("server.key"), NULL};
    struct ask ask = good;
    struct server server;
    struct reply reply;
    server_start(&server, options);
    ck_assert_int_eq(strncmp(server.url, "https://127.0.0.1:", 18), 0);
    ask.ca_file = in_folder("authority.pem");
    reply = client_send(&server, &ask);
    ck_assert_int_eq(reply.result, CURLE_OK);
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    ask.ca_file = in_folder("other.pem");
    reply = client_send(&server, &ask);
    ck_assert_int_eq(reply.result, CURLE_PEER_FAILED_VERIFICATION);
    reply_release(&reply);
    server_stop(&server);
}
END_TEST

START_TEST(client_certificates_are_asked_for_and_verified)
{
    const char *const options[] = {
        "--tls-certificate", in_folder("server.pem"),    "--tls-key", in_folder("server.key"),
        "--client-ca",       in_folder("authority.pem"), NULL};
    struct ask ask = good;
    struct server server;
    struct reply reply;
    server_start(&server, options);
    ask.ca_file = in_folder("authority.pem");
    reply = client_send(&server, &ask);
    ck_assert_int_eq(reply.status, 403);
    reply_release(&reply);
    ask.certificate = in_folder("client.pem");
    ask.key = in_folder("client.key");
    reply = client_send(&server, &ask);
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    ask.certificate = in_folder("stranger.pem");
    ask.key = in_folder("stranger.key");
    reply = client_send(&server, &ask);
    ck_assert_int_ne(reply.status, 200);
    reply_release(&reply);
    server_stop(&server);
}
END_TEST

/* ---- many at once ---- */

static CURL *parallel_add(CURLM *multi, const char *url, struct curl_slist *headers)
{
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kancel/selftest");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 0L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, NULL);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    ck_assert_int_eq(curl_multi_add_handle(multi, curl), CURLM_OK);
    return curl;
}

START_TEST(delayed_answers_block_no_other_request)
{
    CURLM *multi = curl_multi_init();
    CURL *handles[PARALLEL];
    FILE *sink = fopen("/dev/null", "w");
    struct curl_slist *headers = curl_slist_append(NULL, good.headers[0]);
    char url[256], options[64];
    int running = 1;
    int64_t began;
    json_t *report;
    snprintf(options, sizeof(options), "{\"delay_ms\": %d}", DELAY_MS);
    control("options", options);
    snprintf(url, sizeof(url), "%s%s", main_server.url, good.path);
    for (size_t i = 0; i < PARALLEL; i++) {
        handles[i] = parallel_add(multi, url, headers);
        curl_easy_setopt(handles[i], CURLOPT_WRITEDATA, sink);
    }
    began = wall_ms();
    while (running > 0) {
        ck_assert_int_eq(curl_multi_perform(multi, &running), CURLM_OK);
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    /* One after the other they would take PARALLEL times the delay. */
    ck_assert_int_lt(wall_ms() - began, PARALLEL * DELAY_MS / 4);
    ck_assert_int_ge(wall_ms() - began, DELAY_MS - 1);
    report = ledger();
    ck_assert_int_eq(json_integer_value(json_object_get(report, "requests")), PARALLEL);
    ck_assert_int_ge(json_integer_value(json_object_get(report, "max_concurrency")), PARALLEL / 2);
    ck_assert_int_ge(
        json_integer_value(json_object_get(
            json_object_get(json_object_get(report, "operations"), "koodrive"), "max_concurrency")),
        PARALLEL / 2);
    json_decref(report);
    for (size_t i = 0; i < PARALLEL; i++) {
        curl_multi_remove_handle(multi, handles[i]);
        curl_easy_cleanup(handles[i]);
    }
    curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
    fclose(sink);
}
END_TEST

START_TEST(stopping_does_not_wait_for_hanging_requests)
{
    struct server server;
    struct ask fault = {.method = "POST",
                        .path = "/_simulator/faults",
                        .body = "{\"times\": -1, \"action\": {\"hang\": true}}"};
    struct ask ledger_ask = {.method = "GET", .path = "/_simulator/ledger?summary=1"};
    struct reply reply;
    pid_t client;
    int status;
    server_start(&server, NULL);
    reply = client_send(&server, &fault);
    ck_assert_int_eq(reply.status, 200);
    reply_release(&reply);
    client = fork();
    if (client == 0) {
        reply = client_send(&server, &good);
        _exit(reply.result == CURLE_OPERATION_TIMEDOUT ? 1 : 0);
    }
    for (bool there = false; !there;) {
        reply = client_send(&server, &ledger_ask);
        there = json_integer_value(json_object_get(reply.json, "requests")) == 1;
        reply_release(&reply);
    }
    server_stop(&server);
    ck_assert_int_eq(waitpid(client, &status, 0), client);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

/* ---- the command line ---- */

static int exit_status_of(const char *option, const char *value)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
        ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
        execl(PROGRAM, PROGRAM, option, value, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(usage_mistakes_end_with_2_and_help_with_0)
{
    ck_assert_int_eq(exit_status_of("--help", NULL), 0);
    ck_assert_int_eq(exit_status_of("--nothing", "1"), 2);
    ck_assert_int_eq(exit_status_of("--listen", "9090"), 2);
    ck_assert_int_eq(exit_status_of("--listen", "127.0.0.1:70000"), 2);
    ck_assert_int_eq(exit_status_of("--delay-ms", "9-3"), 2);
    ck_assert_int_eq(exit_status_of("--threads", "0"), 2);
    ck_assert_int_eq(exit_status_of("--tls-key", "/dev/null"), 2);
    ck_assert_int_eq(exit_status_of("--seed", NULL), 2);
}
END_TEST

START_TEST(port_file_holds_the_port)
{
    const char *const options[] = {"--port-file", in_folder("port"), "--delay-ms", "1-2", NULL};
    struct server server;
    char line[16] = "";
    FILE *file;
    server_start(&server, options);
    /* The file is written after the line is printed: an answer proves nothing about it, so ask for
     * it. */
    for (int64_t until = wall_ms() + 5000; wall_ms() < until && !line[0];) {
        file = fopen(options[1], "r");
        if (file) {
            ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
            fclose(file);
        }
    }
    line[strcspn(line, "\n")] = '\0';
    ck_assert_str_eq(line, strrchr(server.url, ':') + 1);
    server_stop(&server);
    unlink(options[1]);
}
END_TEST

Suite *suite_server(void)
{
    Suite *suite = suite_create("server");
    TCase *tests = tcase_create("server");
    tcase_add_unchecked_fixture(tests, certificates_make, certificates_remove);
    tcase_add_checked_fixture(tests, start_empty, NULL);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, tls_is_served_with_the_given_certificate);
    tcase_add_test(tests, client_certificates_are_asked_for_and_verified);
    tcase_add_test(tests, delayed_answers_block_no_other_request);
    tcase_add_test(tests, stopping_does_not_wait_for_hanging_requests);
    tcase_add_test(tests, usage_mistakes_end_with_2_and_help_with_0);
    tcase_add_test(tests, port_file_holds_the_port);
    suite_add_tcase(suite, tests);
    return suite;
}
