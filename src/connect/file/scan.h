/* scan.h - bytes to bit masks, 64 at a time, and bit masks to positions.
 *
 * The two loops that touch every byte of a text file. Each exists for SSE2, AVX2, AVX-512 and plain
 * C; mri_scan_ops picks one for this machine. All give the same results.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none.
 * Cost:    about 1-2 cycles (AVX) to 10 (plain) per 64 bytes for masks, about 1 per position found.
 */
#ifndef MR_CONNECT_FILE_SCAN_H
#define MR_CONNECT_FILE_SCAN_H

#include "base/compiler.h"

#define MRI_SCAN_BYTES ((size_t)64) /* one mask word */
#define MRI_SCAN_WORDS ((size_t)64) /* words per call at most */
#define MRI_SCAN_PAD   ((size_t)64) /* readable bytes behind data, writable room behind positions */

struct mri_masks {
    uint64_t separators[64]; /* delimiter or newline */
    uint64_t newlines[64];
    uint64_t quotes[64];
    uint64_t high; /* not 0: some byte is not ASCII */
    uint64_t any_quote;
};

struct mri_scan_ops {
    const char *name;
    /* Masks of `words` x 64 bytes at data. */
    void (*masks)(const char *data, size_t words, char delimiter, struct mri_masks *out);
    /* Only newlines and `high`. */
    void (*newlines)(const char *data, size_t words, struct mri_masks *out);
    /* Appends base + 64 * word + bit for every bit, and up to MRI_SCAN_PAD positions of rubbish
     * behind them; returns the number of positions. */
    size_t (*flatten)(const uint64_t *masks, size_t words, uint32_t base, uint32_t *out);
};

/* The best set for this machine. */
const struct mri_scan_ops *mri_scan_ops(void);
/* All sets that this machine can run, best first; NULL behind the last (tests). */
const struct mri_scan_ops *mri_scan_ops_at(size_t index);
/* Newlines among the bytes; reads no byte behind them. */
uint64_t mri_count_newlines(const char *data, size_t size_bytes);

#endif
