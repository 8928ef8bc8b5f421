#include "tests/unit/io/support/certificates.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/banned.h"

void folder_new(struct folder *folder)
{
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/kancel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder->path));
    folder->count = 0;
}

void folder_free(struct folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        (void)unlink(folder->files[i]);
    (void)rmdir(folder->path);
}

static const char *folder_name(struct folder *folder, const char *name)
{
    ck_assert_uint_lt(folder->count, PATHS);
    char path[sizeof(folder->files[0])];
    (void)snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    return memcpy(folder->files[folder->count++], path, sizeof(path));
}

static void extend(X509 *certificate, const struct identity *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer != NULL ? issuer->certificate : certificate, certificate, NULL,
                   NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

struct identity identity_new(const struct identity *issuer, const char *name, const char *subject,
                             long from_s, long until_s)
{
    static long serial;
    struct identity made = {EVP_EC_gen("P-256"), X509_new()};
    X509 *certificate = made.certificate;
    X509_NAME *subject_name = X509_get_subject_name(certificate);
    (void)X509_set_version(certificate, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    (void)X509_NAME_add_entry_by_txt(subject_name, "CN", MBSTRING_ASC, (const unsigned char *)name,
                                     -1, -1, 0);
    (void)X509_set_issuer_name(
        certificate, issuer != NULL ? X509_get_subject_name(issuer->certificate) : subject_name);
    (void)X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
    (void)X509_gmtime_adj(X509_getm_notAfter(certificate), until_s);
    (void)X509_set_pubkey(certificate, made.key);
    if (issuer == NULL)
        extend(certificate, NULL, NID_basic_constraints, "critical,CA:TRUE");
    if (subject != NULL)
        extend(certificate, issuer, NID_subject_alt_name, subject);
    ck_assert_int_gt(X509_sign(certificate, issuer != NULL ? issuer->key : made.key, EVP_sha256()),
                     0);
    return made;
}

void identity_free(struct identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
}

const char *write_certificate(struct folder *folder, const char *name,
                              const struct identity *identity)
{
    const char *path = folder_name(folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_X509(file, identity->certificate), 1);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

const char *write_key(struct folder *folder, const char *name, const struct identity *identity,
                      const char *pass_phrase)
{
    const char *path = folder_name(folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_PrivateKey(file, identity->key,
                                          pass_phrase == NULL ? NULL : EVP_aes_128_cbc(), NULL, 0,
                                          NULL, (void *)(uintptr_t)pass_phrase),
                     1);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

const char *write_text(struct folder *folder, const char *name, const char *text)
{
    const char *path = folder_name(folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}
