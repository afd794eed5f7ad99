/* bitset_test.c - the oracle is an array of bool. */
#include "base/bitset.h"
#include "base/prng.h"
#include "mr_test.h"

#define BITS 300

MR_TEST(bitset, random_operations_agree_with_an_array_of_bool)
{
    uint64_t words[8] = {0};
    bool model[BITS] = {false};
    struct mr_prng prng;

    mr_prng_init(&prng, 1, 0);
    for (uint32_t round = 0; round < 20000; round++) {
        size_t at = (size_t)mr_prng_below(&prng, BITS);
        size_t upto = (size_t)mr_prng_below(&prng, BITS + 1);
        size_t ones = 0;
        size_t next = at;

        switch (mr_prng_below(&prng, 3)) {
        case 0:
            mr_bit_set(words, at);
            model[at] = true;
            break;
        case 1:
            mr_bit_clear(words, at);
            model[at] = false;
            break;
        default:
            model[at] = mr_prng_below(&prng, 2) != 0;
            mr_bit_assign(words, at, model[at]);
            break;
        }
        MR_EXPECT_EQ_INT(mr_bit_get(words, at), model[at]);
        for (size_t i = 0; i < upto; i++) ones += model[i];
        MR_EXPECT_EQ_UINT(mr_bits_count(words, upto), ones);
        MR_EXPECT_EQ_INT(mr_bits_all(words, upto), ones == upto);
        while (next < upto && !model[next]) next++;
        MR_EXPECT_EQ_UINT(mr_bits_next(words, upto, at), next < upto ? next : upto);
    }
}

/* Bitmaps are written to files and compared by word: what lies behind the end must be zero. */
MR_TEST(bitset, filling_sets_the_bits_and_zeroes_the_rest_of_the_last_word)
{
    for (size_t count = 0; count <= 200; count++) {
        uint64_t words[5];

        memset(words, 0xa5, sizeof words);
        mr_bits_fill(words, count, true);
        for (size_t i = 0; i < mr_bits_words(count) * 64; i++) {
            MR_EXPECT_EQ_INT(mr_bit_get(words, i), i < count);
        }
        MR_EXPECT_EQ_UINT(words[mr_bits_words(count)], UINT64_C(0xa5a5a5a5a5a5a5a5));
        mr_bits_fill(words, count, false);
        MR_EXPECT_EQ_UINT(mr_bits_count(words, mr_bits_words(count) * 64), 0);
    }
}

MR_TEST(bitset, the_number_of_words_is_rounded_up_without_overflow)
{
    MR_EXPECT_EQ_UINT(mr_bits_words(0), 0);
    MR_EXPECT_EQ_UINT(mr_bits_words(1), 1);
    MR_EXPECT_EQ_UINT(mr_bits_words(64), 1);
    MR_EXPECT_EQ_UINT(mr_bits_words(65), 2);
    MR_EXPECT_EQ_UINT(mr_bits_words(SIZE_MAX), SIZE_MAX / 64 + 1);
    MR_EXPECT_EQ_UINT(mr_bits_low(64), UINT64_MAX);
    MR_EXPECT_EQ_UINT(mr_bits_low(0), 0);
}
