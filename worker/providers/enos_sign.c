#include "worker/providers/enos_sign.h"

#include <stdlib.h>

#include "common/banned.h"

void enos_encryption(struct slice app_key, struct slice timestamp, struct slice app_secret,
                     char hex[DIGEST_HEX_SIZE])
{
    struct digest *digest = digest_begin();
    digest_add(digest, app_key);
    digest_add(digest, timestamp);
    digest_add(digest, app_secret);
    digest_finish_hex(digest, hex);
}

static int compare_keys(const void *left, const void *right)
{
    struct slice a = ((const struct enos_parameter *)left)->key;
    struct slice b = ((const struct enos_parameter *)right)->key;
    size_t both = a.len < b.len ? a.len : b.len;
    int order = both > 0 ? memcmp(a.data, b.data, both) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

void enos_signature(struct slice token, struct enos_parameter *parameters, size_t count,
                    struct slice body, struct slice timestamp, struct slice app_secret,
                    char hex[DIGEST_HEX_SIZE])
{
    struct digest *digest = digest_begin();
    if (count > 1)
        qsort(parameters, count, sizeof *parameters, compare_keys);
    digest_add(digest, token);
    for (size_t i = 0; i < count; i++) {
        digest_add(digest, parameters[i].key);
        digest_add(digest, parameters[i].value);
    }
    digest_add(digest, body);
    digest_add(digest, timestamp);
    digest_add(digest, app_secret);
    digest_finish_hex(digest, hex);
}
