/* prng_test.c */
#include "base/prng.h"
#include "mr_test.h"

/* Written down from the published reference code (prng.di.unimi.it): seed 0 by splitmix64. If this
 * breaks, every stored seed means another run. */
MR_TEST(prng, stream_zero_is_the_published_generator)
{
    static const uint64_t state[4] = {UINT64_C(0xe220a8397b1dcdaf), UINT64_C(0x6e789e6aa1b965f4),
                                      UINT64_C(0x06c45d188009454f), UINT64_C(0xf88bb8a8724c81ec)};
    struct mr_prng prng;

    mr_prng_init(&prng, 0, 0);
    for (uint32_t i = 0; i < 4; i++) MR_EXPECT_EQ_UINT(prng.s[i], state[i]);
    MR_EXPECT_EQ_UINT(mr_prng_next(&prng), UINT64_C(0x99ec5f36cb75f2b4));
    MR_EXPECT_EQ_UINT(mr_prng_next(&prng), UINT64_C(0xbf6e1f784956452a));
}

MR_TEST(prng, streams_and_seeds_differ)
{
    uint64_t first[64];

    for (uint64_t i = 0; i < 64; i++) {
        struct mr_prng prng;

        mr_prng_init(&prng, i / 8, i % 8);
        first[i] = mr_prng_next(&prng);
        for (uint64_t k = 0; k < i; k++) MR_EXPECT(first[k] != first[i]);
    }
}

MR_TEST(prng, draws_below_a_bound_reach_every_value_about_equally_often)
{
    uint32_t count[7] = {0};
    struct mr_prng prng;

    mr_prng_init(&prng, 1, 1);
    for (uint32_t i = 0; i < 70000; i++) {
        uint64_t draw = mr_prng_below(&prng, 7);

        MR_EXPECT(draw < 7);
        count[draw]++;
    }
    /* 10000 expected, standard deviation 93: five of them. */
    for (uint32_t i = 0; i < 7; i++) MR_EXPECT(count[i] > 9535 && count[i] < 10465);
    MR_EXPECT_EQ_UINT(mr_prng_below(&prng, 1), 0);
    MR_EXPECT(mr_prng_below(&prng, UINT64_MAX) < UINT64_MAX);
}

MR_TEST(prng, unit_draws_stay_below_one)
{
    struct mr_prng prng;
    double sum = 0;

    mr_prng_init(&prng, 2, 1);
    for (uint32_t i = 0; i < 100000; i++) {
        double draw = mr_prng_unit(&prng);

        MR_EXPECT(draw >= 0.0 && draw < 1.0);
        sum += draw;
    }
    MR_EXPECT(sum > 49500 && sum < 50500);
}
