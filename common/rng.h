/* A small fast generator (xoshiro256**) for jitter and simulation: the same seed gives the same
 * numbers everywhere. Not for keys or tokens: digest_random() is. */
#ifndef KANCEL_COMMON_RNG_H
#define KANCEL_COMMON_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* 0 .. bound - 1, without bias; bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

#endif
