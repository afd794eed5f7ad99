/* exact_sum.h - sums of doubles that do not depend on the order of the terms.
 *
 * A sum is kept as three doubles whose exact sum is the value (a floating-point expansion, after
 * Dekker, Knuth and Shewchuk: TwoSum gives a + b = s + e without error). When three do not suffice,
 * or magnitudes come near the end of the range, everything moves into a *wide* sum: a fixed-point
 * number with a bit for every double from 2^-1074 up, in two's complement. Nothing is ever rounded
 * before the result, so every order of adding and merging gives the same, correctly rounded,
 * double.
 *
 * Infinities and NaN follow IEEE 754: any NaN, or +inf with -inf, gives NaN; else an infinity wins.
 * A finite exact sum beyond the largest double rounds to an infinity, at the end only.
 *
 * Owns:    the wide part, a blob of the owner's.
 * Thread:  confined.
 * Fails:   false when there is no memory for the wide part (272 bytes).
 * Cost:    some 12 additions per term; the wide path some 20 ns. At most 2^64 terms.
 *
 * Invariants: (1) value = wide + part[0] + part[1] + part[2] exactly, if part[0] is finite.
 *  (2) part[0] is not finite: it is the result, the rest does not count.
 */
#ifndef MR_EXEC_AGGREGATE_EXACT_SUM_H
#define MR_EXEC_AGGREGATE_EXACT_SUM_H

#include "exec/aggregate/blobs.h"

#define MRI_WIDE_LIMBS 34u /* 2098 bits for doubles, 64 for carries, a sign; in words of 64 */
#define MRI_EXACT_BYTES_MAX (4u + 8u * MRI_WIDE_LIMBS)

struct mri_exact { /* all zero: the sum of nothing */
    double part[3];
    struct mr_blob wide; /* no data: not needed so far */
};

/* s + *e = a + b exactly, if nothing overflows. */
MR_INLINE double mri_two_sum(double a, double b, double *out_error)
{
    double s = a + b;
    double bb = s - a;

    *out_error = (a - (s - bb)) + (b - bb);
    return s;
}

bool mri_exact_add_slow(struct mri_exact *sum, const struct mri_blobs *blobs,
                        double value) MR_MUST_USE;

MR_INLINE bool mri_exact_add(struct mri_exact *sum, const struct mri_blobs *blobs, double value)
{
    double e1;
    double e2;
    double s1 = mri_two_sum(sum->part[0], value, &e1);
    double s2 = mri_two_sum(sum->part[1], e1, &e2);

    /* The comparison is false for NaN too. e2 is zero unless terms differ by some 2^50. */
    if (MR_LIKELY(__builtin_fabs(s1) < 0x1p1000 && e2 == 0)) {
        sum->part[0] = s1;
        sum->part[1] = s2;
        return true;
    }
    return mri_exact_add_slow(sum, blobs, value);
}

bool mri_exact_merge(struct mri_exact *into, const struct mri_blobs *blobs,
                     const struct mri_exact *from) MR_MUST_USE;
double mri_exact_result(const struct mri_exact *sum); /* rounded once, to nearest even */

/* As bytes, at most MRI_EXACT_BYTES_MAX: the doubles as they are (a multiple of 8 bytes), or a
 * header of four bytes (sign, first word, number of words, 0) and the words of the magnitude. */
uint32_t mri_exact_encode(const struct mri_exact *sum, char *out);
/* Adds an encoded sum. MR_E_NOMEM, or MR_E_CORRUPT for bytes that are none. */
enum mr_status mri_exact_merge_bytes(struct mri_exact *into, const struct mri_blobs *blobs,
                                     const char *data, size_t size_bytes) MR_MUST_USE;

#endif
