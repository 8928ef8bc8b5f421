/* Certificates made on the fly, in a folder of the test's own. */
#ifndef KANCEL_TESTS_UNIT_IO_SUPPORT_CERTIFICATES_H
#define KANCEL_TESTS_UNIT_IO_SUPPORT_CERTIFICATES_H

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { DAY = 24 * 3600, PATHS = 16 };

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

struct folder {
    char path[64];
    char files[PATHS][128];
    size_t count;
};

void folder_new(struct folder *folder);
/* With the files that were written. */
void folder_free(struct folder *folder);

/* `issuer` NULL: an authority that signs itself. `subject` such as "IP:127.0.0.1" or NULL; valid
 * from and until so many seconds from now. */
struct identity identity_new(const struct identity *issuer, const char *name, const char *subject,
                             long from_s, long until_s);
void identity_free(struct identity *identity);

/* Each returns the file's path, borrowed from the folder. `pass_phrase` NULL: not encrypted. */
const char *write_certificate(struct folder *folder, const char *name,
                              const struct identity *identity);
const char *write_key(struct folder *folder, const char *name, const struct identity *identity,
                      const char *pass_phrase);
const char *write_text(struct folder *folder, const char *name, const char *text);

#endif
