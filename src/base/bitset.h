/* bitset.h - bits in 64-bit words: validity, selection, dirty slots.
 *
 * Bit i lives in word i / 64 at position i % 64, so that on a little-endian machine the words are
 * Arrow's bitmaps. Functions over a range leave or make the bits behind the last one zero: whole
 * words can then be compared and written out.
 *
 * Owns:    none; the words belong to the caller.
 * Thread:  any; two threads must not write bits of the same word.
 * Fails:   none.
 * Cost:    one or two operations per bit or per word.
 */
#ifndef MR_BASE_BITSET_H
#define MR_BASE_BITSET_H

#include "base/compiler.h"

/* How many words hold `count` bits. */
MR_INLINE size_t mr_bits_words(size_t count)
{
    return count / 64 + (count % 64 != 0);
}

/* A word with its lowest `count` bits set; count is 0..64. */
MR_INLINE uint64_t mr_bits_low(size_t count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

MR_INLINE bool mr_bit_get(const uint64_t *words, size_t at)
{
    return (words[at / 64] >> (at % 64)) & 1;
}

MR_INLINE void mr_bit_set(uint64_t *words, size_t at)
{
    words[at / 64] |= UINT64_C(1) << (at % 64);
}

MR_INLINE void mr_bit_clear(uint64_t *words, size_t at)
{
    words[at / 64] &= ~(UINT64_C(1) << (at % 64));
}

/* Without a branch: validity is often random. */
MR_INLINE void mr_bit_assign(uint64_t *words, size_t at, bool value)
{
    uint64_t *word = &words[at / 64];

    *word = (*word & ~(UINT64_C(1) << (at % 64))) | ((uint64_t)value << (at % 64));
}

/* Ones in a word. By hand: the baseline instruction set has no popcount and the compiler would
 * call into its own library. */
MR_INLINE uint32_t mr_bits_count_word(uint64_t word)
{
    word = word - ((word >> 1) & UINT64_C(0x5555555555555555));
    word = (word & UINT64_C(0x3333333333333333)) + ((word >> 2) & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)((word * UINT64_C(0x0101010101010101)) >> 56);
}

/* Ones among the first `count` bits. */
MR_INLINE size_t mr_bits_count(const uint64_t *words, size_t count)
{
    size_t ones = 0;

    for (size_t i = 0; i < count / 64; i++) ones += mr_bits_count_word(words[i]);
    if (count % 64 != 0) ones += mr_bits_count_word(words[count / 64] & mr_bits_low(count % 64));
    return ones;
}

/* Makes the first `count` bits `value` and the rest of the last word zero. */
MR_INLINE void mr_bits_fill(uint64_t *words, size_t count, bool value)
{
    uint64_t all = value ? UINT64_MAX : 0;

    for (size_t i = 0; i < count / 64; i++) words[i] = all;
    if (count % 64 != 0) words[count / 64] = all & mr_bits_low(count % 64);
}

/* True when the first `count` bits are all set. */
MR_INLINE bool mr_bits_all(const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count / 64; i++) {
        if (words[i] != UINT64_MAX) return false;
    }
    if (count % 64 == 0) return true;
    return (words[count / 64] & mr_bits_low(count % 64)) == mr_bits_low(count % 64);
}

/* The first set bit at or after `from`, or `count` when there is none below it. */
MR_INLINE size_t mr_bits_next(const uint64_t *words, size_t count, size_t from)
{
    while (from < count) {
        uint64_t word = words[from / 64] >> (from % 64);

        if (word != 0) {
            from += (size_t)__builtin_ctzll(word);
            return from < count ? from : count;
        }
        from = (from / 64 + 1) * 64;
    }
    return count;
}

#endif
