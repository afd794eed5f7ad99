/* sum.h - a checksum over the bytes of an input in order, that can be taken up again.
 *
 * Four CRC-32C, each over every fourth piece of 256 bytes: the processor runs several at once, so
 * that the sum costs a quarter of a plain one, and it stays a function of the bytes and their
 * offsets alone, however they come. A change of any bytes goes unnoticed with a probability of
 * 2^-32 for each piece's lane that it touches.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   none.
 * Cost:    about 0.05 ns per byte.
 */
#ifndef MR_CONNECT_FILE_SUM_H
#define MR_CONNECT_FILE_SUM_H

#include "base/compiler.h"

#define MRI_SUM_LANES ((uint32_t)4)

struct mri_sum {
    uint32_t lanes[MRI_SUM_LANES]; /* zero: of no bytes */
};

/* Appends bytes that lie at `offset` of the input. */
void mri_sum_add(struct mri_sum *sum, uint64_t offset, const char *data, size_t size_bytes);
MR_INLINE bool mri_sum_equal(const struct mri_sum *a, const struct mri_sum *b)
{
    uint32_t difference = 0;

    for (uint32_t i = 0; i < MRI_SUM_LANES; i++) difference |= a->lanes[i] ^ b->lanes[i];
    return difference == 0;
}

#endif
