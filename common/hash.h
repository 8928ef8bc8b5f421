/* SipHash-1-3: a keyed hash for tables whose keys come from strangers. */
#ifndef KANCEL_COMMON_HASH_H
#define KANCEL_COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_seed {
    uint64_t k0, k1;
};

uint64_t hash_bytes(const struct hash_seed *seed, const void *bytes, size_t len);

#endif
