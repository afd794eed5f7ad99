/* prng.c - see prng.h. */
#include "base/prng.h"
#include "base/assert.h"

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The stream goes through the mixer once before it meets the seed: neighbouring seeds and
 * neighbouring streams then have nothing in common. */
void mr_prng_init(struct mr_prng *prng, uint64_t seed, uint64_t stream)
{
    uint64_t mixed_stream = stream;
    uint64_t state = seed ^ (stream == 0 ? 0 : splitmix64(&mixed_stream));

    for (uint32_t i = 0; i < 4; i++) prng->s[i] = splitmix64(&state);
}

static uint64_t rotate_left(uint64_t x, uint32_t count)
{
    return (x << count) | (x >> (64 - count));
}

uint64_t mr_prng_next(struct mr_prng *prng)
{
    uint64_t *s = prng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Lemire, "Fast random integer generation in an interval", 2019: exact, and nearly never a division. */
uint64_t mr_prng_below(struct mr_prng *prng, uint64_t bound)
{
    mr_u128 product;

    mr_assert(bound > 0);
    product = (mr_u128)mr_prng_next(prng) * bound;
    if ((uint64_t)product < bound) {
        uint64_t threshold = (0 - bound) % bound;

        while ((uint64_t)product < threshold) product = (mr_u128)mr_prng_next(prng) * bound;
    }
    return (uint64_t)(product >> 64);
}

double mr_prng_unit(struct mr_prng *prng)
{
    return (double)(mr_prng_next(prng) >> 11) * 0x1.0p-53;
}
