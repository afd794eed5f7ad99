/* exact_sum_test.c - sums of doubles: exact, in any order, against integer arithmetic. */
#include "base/prng.h"
#include "exec/aggregate/exact_sum.h"
#include "mr_test.h"

#include <math.h>

struct rig {
    struct mri_blob_heap memory;
    struct mri_blobs blobs;
};

static void open_rig(struct rig *rig)
{
    *rig = (struct rig){.memory = {.heap = mr_test_heap()}};
    rig->blobs = mri_blobs_of_heap(&rig->memory);
}

static double sum_of(struct rig *rig, const double *values, uint32_t count)
{
    struct mri_exact sum = {{0}, {NULL, 0, 0}};
    double result;

    for (uint32_t i = 0; i < count; i++) MR_EXPECT(mri_exact_add(&sum, &rig->blobs, values[i]));
    result = mri_exact_result(&sum);
    rig->blobs.release(rig->blobs.self, &sum.wide);
    return result;
}

static void shuffle(struct mr_prng *prng, double *values, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = (uint32_t)mr_prng_below(prng, i);
        double moved = values[i - 1];

        values[i - 1] = values[other];
        values[other] = moved;
    }
}

/* The textbook case: naive addition gives 0. */
MR_TEST(exact_sum, small_terms_between_large_ones_that_cancel_are_not_lost)
{
    struct rig rig;
    double values[] = {1e100, 1, -1e100};
    double deep[] = {1e300, 1e150, 1, 1e-150, 1e-300, -1e300, -1e150, -1};

    open_rig(&rig);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, values, 3), 1.0);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, deep, 8), 1e-150);
}

MR_TEST(exact_sum, ten_tenths_round_once_to_the_double_nearest_to_the_exact_sum)
{
    struct rig rig;
    double tenths[10];

    open_rig(&rig);
    for (uint32_t i = 0; i < 10; i++) tenths[i] = 0.1;
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, tenths, 10), 1.0); /* naive: 0.9999999999999999 */
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, tenths, 0), 0.0);
}

/* Terms are integers times a power of two: the oracle adds 128-bit integers and converts once. */
MR_TEST(exact_sum, agrees_with_integer_arithmetic_whatever_the_order)
{
    struct rig rig;
    struct mr_prng prng;
    double values[64];

    open_rig(&rig);
    mr_prng_init(&prng, 7, 1);
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t count = 1 + (uint32_t)mr_prng_below(&prng, 64);
        int base = (int)mr_prng_below(&prng, 1900) - 1000;
        mr_i128 total = 0;
        double expected;

        for (uint32_t i = 0; i < count; i++) {
            int64_t mantissa = (int64_t)(mr_prng_next(&prng) >> 12) - (INT64_C(1) << 51);
            uint32_t shift = (uint32_t)mr_prng_below(&prng, 68);

            values[i] = ldexp((double)mantissa, (int)shift + base);
            total += (mr_i128)((mr_u128)(mr_i128)mantissa << shift);
        }
        expected = ldexp((double)total, base);
        for (uint32_t order = 0; order < 3; order++) {
            MR_EXPECT_EQ_DOUBLE(sum_of(&rig, values, count), expected);
            shuffle(&prng, values, count);
        }
    }
}

/* Exponents over the whole range: three parts never suffice. All orders and groupings agree. */
MR_TEST(exact_sum, every_order_and_grouping_of_wild_terms_gives_the_same_bits)
{
    struct rig rig;
    struct mr_prng prng;
    double values[100];

    open_rig(&rig);
    mr_prng_init(&prng, 8, 1);
    for (uint32_t round = 0; round < 300; round++) {
        double expected;

        for (uint32_t i = 0; i < 100; i++) {
            uint64_t bits = mr_prng_next(&prng);

            if ((bits >> 52 & 0x7ff) == 0x7ff) bits ^= UINT64_C(1) << 60;
            memcpy(&values[i], &bits, sizeof bits);
        }
        expected = sum_of(&rig, values, 100);
        for (uint32_t order = 0; order < 5; order++) {
            struct mri_exact parts[4];
            uint32_t at = 0;

            memset(parts, 0, sizeof parts);
            shuffle(&prng, values, 100);
            MR_EXPECT_EQ_DOUBLE(sum_of(&rig, values, 100), expected);
            for (uint32_t p = 0; p < 4; p++) {
                uint32_t end = p == 3 ? 100 : at + (uint32_t)mr_prng_below(&prng, 100 - at + 1);

                for (; at < end; at++) {
                    MR_EXPECT(mri_exact_add(&parts[p], &rig.blobs, values[at]));
                }
            }
            for (uint32_t p = 1; p < 4; p++) {
                char bytes[MRI_EXACT_BYTES_MAX];
                uint32_t size = mri_exact_encode(&parts[p], bytes);

                MR_EXPECT(size <= sizeof bytes);
                if (p == 1) {
                    MR_EXPECT(mri_exact_merge(&parts[0], &rig.blobs, &parts[p]));
                } else {
                    MR_EXPECT_OK(mri_exact_merge_bytes(&parts[0], &rig.blobs, bytes, size), NULL);
                }
            }
            MR_EXPECT_EQ_DOUBLE(mri_exact_result(&parts[0]), expected);
            for (uint32_t p = 0; p < 4; p++) rig.blobs.release(rig.blobs.self, &parts[p].wide);
        }
    }
}

MR_TEST(exact_sum, sums_that_overflow_on_the_way_come_back)
{
    struct rig rig;
    double there_and_back[] = {1.7e308, 1.7e308, 3, -1.7e308, -1.7e308};
    double over[] = {1.7e308, 1.7e308};
    double under[] = {-1.7e308, -1.7e308, -1};
    double tiny[] = {0x1p-1074, 0x1p-1074, -0x1p-1073, 0x1p-1074};
    double edge[] = {0x1.fffffffffffffp1023, 0x1p969};
    double tie[] = {0x1.fffffffffffffp1023, 0x1p970};

    open_rig(&rig);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, there_and_back, 5), 3.0);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, over, 2), (double)INFINITY);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, under, 3), -(double)INFINITY);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, tiny, 4), 0x1p-1074);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, edge, 2), 0x1.fffffffffffffp1023);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, tie, 2), (double)INFINITY);
}

MR_TEST(exact_sum, infinities_and_nan_follow_ieee_in_any_order)
{
    struct rig rig;
    double inf = (double)INFINITY;
    double nan = (double)NAN;
    double one[] = {1, inf, 1e308, 1e308};
    double both[] = {inf, 1, -inf};
    double both_first[] = {-inf, inf, 5};
    double with_nan[] = {1, nan, inf};
    char bytes[MRI_EXACT_BYTES_MAX];
    struct mri_exact sum = {{0}, {NULL, 0, 0}};
    struct mri_exact other = {{0}, {NULL, 0, 0}};

    open_rig(&rig);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, one, 4), inf);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, both, 3), nan);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, both_first, 3), nan);
    MR_EXPECT_EQ_DOUBLE(sum_of(&rig, with_nan, 3), nan);
    MR_EXPECT(mri_exact_add(&sum, &rig.blobs, -inf));
    MR_EXPECT(mri_exact_add(&other, &rig.blobs, 2));
    MR_EXPECT_OK(
        mri_exact_merge_bytes(&other, &rig.blobs, bytes, mri_exact_encode(&sum, bytes)), NULL);
    MR_EXPECT_EQ_DOUBLE(mri_exact_result(&other), -inf);
}

/* Bytes come from a disk or a wire. */
MR_TEST(exact_sum, malformed_bytes_are_refused_and_never_read_past_their_end)
{
    struct rig rig;
    struct mr_prng prng;
    uint32_t refused = 0;

    open_rig(&rig);
    mr_prng_init(&prng, 9, 1);
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t size = (uint32_t)mr_prng_below(&prng, MRI_EXACT_BYTES_MAX + 20);
        char *bytes = mr_alloc(mr_test_heap(), size); /* exact: the sanitizer watches its end */
        struct mri_exact sum = {{0}, {NULL, 0, 0}};

        for (uint32_t i = 0; i < size; i++) {
            bytes[i] = (char)mr_prng_below(&prng, i < 4 ? 40 : 256);
        }
        if (size > 3 && mr_prng_below(&prng, 2)) bytes[0] = bytes[3] = 0;
        refused += mri_exact_merge_bytes(&sum, &rig.blobs, bytes, size) == MR_E_CORRUPT;
        (void)mri_exact_result(&sum);
        rig.blobs.release(rig.blobs.self, &sum.wide);
        mr_free(mr_test_heap(), bytes, size);
    }
    MR_EXPECT(refused > 10000);
}

MR_TEST(exact_sum, without_memory_for_the_wide_part_adding_says_so)
{
    struct rig rig;
    double values[] = {1e300, 1e200, 1e100, 1, 1e-100};

    open_rig(&rig);
    MR_TORTURE(mr_test_heap()) {
        struct mri_exact sum = {{0}, {NULL, 0, 0}};
        bool added = true;

        for (uint32_t i = 0; i < 5 && added; i++) {
            added = mri_exact_add(&sum, &rig.blobs, values[i]);
        }
        MR_EXPECT_EQ_INT(added, !mr_test_refused(mr_test_heap()));
        rig.blobs.release(rig.blobs.self, &sum.wide);
    }
}
