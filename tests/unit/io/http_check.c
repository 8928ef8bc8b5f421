#include "tests/unit/unit.h"
#include "tests/unit/io/support/certificates.h"
#include "worker/io/http.h"

#include "common/banned.h"

static const char *check_url(const char *url, bool insecure_http)
{
    static struct error err;
    return http_check_url(url, insecure_http, &err) == 0 ? NULL : err.message;
}

START_TEST(good_endpoints_are_taken)
{
    static const char *const urls[] = {
        "https://a.example",
        "HTTPS://a.example:8443/efile/v2",
        "https://192.0.2.1",
        "https://[2001:db8::1]:443/x",
        "https://a.example/with@sign",
        "http://127.0.0.1:8080",
        "http://127.8.9.1/x",
        "http://localhost:1",
        "http://LocalHost",
        "http://[::1]:8080/x",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        ck_assert_msg(check_url(urls[i], false) == NULL, "%s: %s", urls[i],
                      check_url(urls[i], false));
    ck_assert_ptr_null(check_url("http://a.example", true));
}
END_TEST

START_TEST(bad_endpoints_are_refused_with_a_reason)
{
    static const struct {
        const char *url, *reason;
    } rows[] = {
        {NULL, "expected a URL"},
        {"", "absolute"},
        {"a.example", "absolute"},
        {"//a.example", "absolute"},
        {"ftp://a.example", "absolute"},
        {"file:///etc/passwd", "absolute"},
        {"https:/a.example", "absolute"},
        {"https://", "host"},
        {"https:///path", "host"},
        {"https://:443/", "host"},
        {"https://user@a.example", "user information"},
        {"https://user:secret@a.example/x", "user information"},
        {"https://@a.example", "user information"},
        {"https://a.example?x=1", "query"},
        {"https://a.example/?", "query"},
        {"https://a.example/x#y", "fragment"},
        {"https://a.example:0", "port"},
        {"https://a.example:65536", "well-formed"},
        {"https://a.example:https", "well-formed"},
        {"https://a b.example", "well-formed"},
        {"https://a.example/a b", "well-formed"},
        {"https://a.example/a\nb", "well-formed"},
        {"https://[::1", "well-formed"},
        {"http://a.example", "https://"},
        {"http://127.0.0.1.a.example", "https://"},
        {"http://localhost.a.example", "https://"},
        {"http://128.0.0.1", "https://"},
        {"http://[::2]", "https://"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *message = check_url(rows[i].url, false);
        ck_assert_msg(message != NULL && strstr(message, rows[i].reason) != NULL, "%s: %s",
                      rows[i].url, message == NULL ? "taken" : message);
        ck_assert_ptr_null(strstr(message, "secret"));
    }
}
END_TEST

static struct folder folder;
static struct identity authority, person, other;

static void make_files(void)
{
    folder_new(&folder);
    authority = identity_new(NULL, "authority", NULL, -DAY, DAY);
    person = identity_new(&authority, "person", NULL, -DAY, DAY);
    other = identity_new(&authority, "other", NULL, -DAY, DAY);
}

static void remove_files(void)
{
    identity_free(&authority);
    identity_free(&person);
    identity_free(&other);
    folder_free(&folder);
}

static const char *check_tls(const char *ca, const char *certificate, const char *key)
{
    static struct error err;
    struct account_settings account = {.endpoint = "https://a.example",
                                       .tls = {ca, certificate, key}};
    return http_check_account(&account, false, &err) == 0 ? NULL : err.message;
}

START_TEST(good_tls_files_are_taken)
{
    make_files();
    const char *ca = write_certificate(&folder, "ca.pem", &authority);
    const char *certificate = write_certificate(&folder, "cert.pem", &person);
    const char *key = write_key(&folder, "key.pem", &person, NULL);
    ck_assert_ptr_null(check_tls(NULL, NULL, NULL));
    ck_assert_ptr_null(check_tls(ca, NULL, NULL));
    ck_assert_ptr_null(check_tls(ca, certificate, key));
    const char *both = write_certificate(&folder, "both.pem", &person);
    FILE *file = fopen(both, "a");
    ck_assert_int_eq(PEM_write_PrivateKey(file, person.key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(file);
    ck_assert_ptr_null(check_tls(NULL, both, NULL));
    remove_files();
}
END_TEST

static void expect(const char *message, const char *field, const char *reason)
{
    ck_assert_ptr_nonnull(message);
    ck_assert_msg(strncmp(message, field, strlen(field)) == 0 && strstr(message, reason) != NULL,
                  "%s", message);
}

START_TEST(bad_tls_files_are_refused_with_field_and_reason)
{
    make_files();
    struct identity expired = identity_new(&authority, "person", NULL, -2 * DAY, -DAY);
    struct identity early = identity_new(&authority, "person", NULL, DAY, 2 * DAY);
    const char *ca = write_certificate(&folder, "ca.pem", &authority);
    const char *certificate = write_certificate(&folder, "cert.pem", &person);
    const char *key = write_key(&folder, "key.pem", &person, NULL);
    const char *other_key = write_key(&folder, "other.pem", &other, NULL);
    const char *locked = write_key(&folder, "locked.pem", &person, "phrase");
    const char *old = write_certificate(&folder, "old.pem", &expired);
    const char *young = write_certificate(&folder, "young.pem", &early);
    const char *text = write_text(&folder, "text.pem", "no certificate\n");
    const char *cut = write_text(&folder, "cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    expect(check_tls("/nonexistent", NULL, NULL), "tls.ca_file", "cannot read");
    expect(check_tls(text, NULL, NULL), "tls.ca_file", "PEM certificates");
    expect(check_tls(cut, NULL, NULL), "tls.ca_file", "PEM certificates");
    expect(check_tls(key, NULL, NULL), "tls.ca_file", "PEM certificates");
    expect(check_tls(ca, "/nonexistent", key), "tls.certificate_file", "cannot read");
    expect(check_tls(ca, text, key), "tls.certificate_file", "PEM certificate");
    expect(check_tls(ca, old, key), "tls.certificate_file", "expired");
    expect(check_tls(ca, young, key), "tls.certificate_file", "not valid yet");
    expect(check_tls(ca, NULL, key), "tls.certificate_file", "key_file");
    expect(check_tls(ca, certificate, "/nonexistent"), "tls.key_file", "cannot read");
    expect(check_tls(ca, certificate, text), "tls.key_file", "PEM private key");
    expect(check_tls(ca, certificate, locked), "tls.key_file", "without a pass phrase");
    expect(check_tls(ca, certificate, other_key), "tls.key_file", "does not fit");
    expect(check_tls(ca, certificate, NULL), "tls.key_file", "PEM private key");
    identity_free(&expired);
    identity_free(&early);
    remove_files();
}
END_TEST

START_TEST(a_bad_endpoint_of_an_account_is_named)
{
    struct error err;
    struct account_settings account = {.endpoint = "http://a.example"};
    ck_assert_int_eq(http_check_account(&account, false, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    expect(err.message, "endpoint: ", "https://");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, good_endpoints_are_taken);
    tcase_add_test(tcase, bad_endpoints_are_refused_with_a_reason);
    tcase_add_test(tcase, good_tls_files_are_taken);
    tcase_add_test(tcase, bad_tls_files_are_refused_with_field_and_reason);
    tcase_add_test(tcase, a_bad_endpoint_of_an_account_is_named);
    return unit_run("http_check", tcase);
}
