/* prng.h - reproducible random numbers (xoshiro256**, Blackman and Vigna 2018; seeded by splitmix64).
 *
 * Each purpose has a stream of its own, so that a draw added in one place does not shift the others.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   none.
 * Cost:    about 1 ns per draw.
 */
#ifndef MR_BASE_PRNG_H
#define MR_BASE_PRNG_H

#include "base/compiler.h"

struct mr_prng {
    uint64_t s[4];
};

void mr_prng_init(struct mr_prng *prng, uint64_t seed, uint64_t stream);
uint64_t mr_prng_next(struct mr_prng *prng);
uint64_t mr_prng_below(struct mr_prng *prng, uint64_t bound); /* uniform in [0, bound); bound > 0 */
double mr_prng_unit(struct mr_prng *prng);                    /* uniform in [0, 1) */

#endif
