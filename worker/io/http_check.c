#include <arpa/inet.h>
#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <strings.h>

#include "worker/io/http.h"

#include "common/banned.h"

/* ---- the endpoint ---------------------------------------------------------------------------- */

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

/* Rules about the text that curl's parser is too kind about. */
static const char *check_text(const char *url)
{
    const char *host = strstr(url, "://");
    if (host == NULL ||
        (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0))
        return "expected an absolute URL that starts with https:// or http://";
    host += 3;
    if (strcspn(host, "/?#:") == 0)
        return "expected a host name";
    size_t authority = strcspn(host, "/?#");
    if (memchr(host, '@', authority) != NULL)
        return "expected a URL without user information";
    if (strpbrk(host, "?#") != NULL)
        return "expected a URL without query and fragment";
    return NULL;
}

static int check_parsed(CURLU *parsed, const char *url, bool insecure_http, struct error *err)
{
    char *host = NULL;
    char *port = NULL;
    int result = -1;
    if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        (void)error_set(err, ERROR_INPUT, "expected a well-formed URL");
    else if (strcmp(port, "0") == 0)
        (void)error_set(err, ERROR_INPUT, "expected a port of 1 to 65535");
    else if (strncasecmp(url, "http:", 5) == 0 && !insecure_http && !is_loopback(host))
        (void)error_set(err, ERROR_INPUT,
                        "http:// sends credentials unprotected; expected https:// "
                        "(or a loopback address, or insecure_http: true)");
    else
        result = 0;
    curl_free(host);
    curl_free(port);
    return result;
}

int http_check_url(const char *url, bool insecure_http, struct error *err)
{
    const char *mistake = url == NULL ? "expected a URL" : check_text(url);
    if (mistake != NULL)
        return error_set(err, ERROR_INPUT, "%s", mistake);
    CURLU *parsed = curl_url();
    if (parsed == NULL)
        return error_set(err, ERROR_MEMORY, "out of memory");
    int result = check_parsed(parsed, url, insecure_http, err);
    curl_url_cleanup(parsed);
    return result;
}

/* ---- TLS files ------------------------------------------------------------------------------- */

static BIO *open_file(const char *field, const char *path, struct error *err)
{
    BIO *file = BIO_new_file(path, "r");
    if (file == NULL)
        (void)error_set(err, ERROR_INPUT, "%s: cannot read %s", field, path);
    return file;
}

static int check_ca(const char *path, struct error *err)
{
    static const char field[] = "tls.ca_file";
    BIO *file = open_file(field, path, err);
    if (file == NULL)
        return -1;
    unsigned count = 0;
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509_AUX(file, NULL, NULL, NULL)) != NULL) {
        count++;
        X509_free(certificate);
    }
    bool whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(file);
    if (count == 0 || !whole)
        return error_set(err, ERROR_INPUT, "%s: expected PEM certificates in %s", field, path);
    return 0;
}

static X509 *read_certificate(const char *path, struct error *err)
{
    static const char field[] = "tls.certificate_file";
    BIO *file = open_file(field, path, err);
    if (file == NULL)
        return NULL;
    X509 *certificate = PEM_read_bio_X509_AUX(file, NULL, NULL, NULL);
    BIO_free(file);
    if (certificate == NULL) {
        (void)error_set(err, ERROR_INPUT, "%s: expected a PEM certificate in %s", field, path);
        return NULL;
    }
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        (void)error_set(err, ERROR_INPUT, "%s: the certificate in %s has expired", field, path);
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        (void)error_set(err, ERROR_INPUT, "%s: the certificate in %s is not valid yet", field,
                        path);
    else
        return certificate;
    X509_free(certificate);
    return NULL;
}

/* Instead of asking on the terminal. */
static int no_password(char *text, int size, int writing, void *asked)
{
    (void)text, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *read_key(const char *path, struct error *err)
{
    static const char field[] = "tls.key_file";
    BIO *file = open_file(field, path, err);
    if (file == NULL)
        return NULL;
    bool encrypted = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(file, NULL, no_password, &encrypted);
    BIO_free(file);
    if (key == NULL)
        (void)error_set(err, ERROR_INPUT, "%s: expected a PEM private key%s in %s", field,
                        encrypted ? " without a pass phrase" : "", path);
    return key;
}

static int check_client_certificate(const char *certificate_path, const char *key_path,
                                    struct error *err)
{
    X509 *certificate = read_certificate(certificate_path, err);
    if (certificate == NULL)
        return -1;
    int result = -1;
    EVP_PKEY *key = read_key(key_path == NULL ? certificate_path : key_path, err);
    if (key != NULL && X509_check_private_key(certificate, key) != 1)
        (void)error_set(err, ERROR_INPUT,
                        "tls.key_file: the key does not fit the certificate in %s",
                        certificate_path);
    else if (key != NULL)
        result = 0;
    EVP_PKEY_free(key);
    X509_free(certificate);
    return result;
}

static int check_files(const struct account_settings *account, struct error *err)
{
    if (account->tls.ca_file != NULL && check_ca(account->tls.ca_file, err) != 0)
        return -1;
    if (account->tls.certificate_file == NULL && account->tls.key_file != NULL)
        return error_set(err, ERROR_INPUT,
                         "tls.certificate_file: expected one, as there is a tls.key_file");
    if (account->tls.certificate_file != NULL)
        return check_client_certificate(account->tls.certificate_file, account->tls.key_file, err);
    return 0;
}

int http_check_tls(const struct account_settings *account, struct error *err)
{
    ERR_clear_error();
    int result = check_files(account, err);
    ERR_clear_error();
    return result;
}

int http_check_account(const struct account_settings *account, bool insecure_http,
                       struct error *err)
{
    if (http_check_url(account->endpoint, insecure_http, err) != 0)
        return error_prefix(err, "endpoint");
    return http_check_tls(account, err);
}
