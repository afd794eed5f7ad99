/* decimal_test.c - the 256-bit steps, by identities that hold whatever the steps are. */
#include "base/prng.h"
#include "expr/expr_internal.h"
#include "mr_test.h"

static mr_i128 random_decimal(struct mr_prng *prng, uint32_t digits)
{
    mr_u128 any = (mr_u128)mr_prng_next(prng) << 64 | mr_prng_next(prng);
    mr_i128 value = (mr_i128)(any % (mr_u128)mri_power10(digits));

    return mr_prng_below(prng, 2) ? value : -value;
}

/* The product of p and q digits divided by one factor gives the other, through 256 bits. */
MR_TEST(decimal, a_wide_product_divided_by_a_factor_is_the_other_factor)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 1, 1);
    for (int i = 0; i < 20000; i++) {
        uint32_t digits = 1 + (uint32_t)mr_prng_below(&prng, 38);
        mr_i128 x = random_decimal(&prng, digits), scaled, back;
        int32_t shift = (int32_t)mr_prng_below(&prng, 38);

        /* x * 10^shift / 10^shift, where the middle has up to 76 digits */
        MR_EXPECT(mri_decimal_divide(x, mri_power10((uint32_t)shift), shift, 38, &back));
        MR_EXPECT(back == x);
        /* x * 10^shift with `shift` digits dropped again */
        scaled = mri_power10((uint32_t)shift);
        MR_EXPECT(mri_decimal_multiply(x, scaled, (uint32_t)shift, 38, &back));
        MR_EXPECT(back == x);
        if (mri_decimal_rescale(x, 0, (uint32_t)shift, 38, &scaled)) {
            MR_EXPECT(mri_decimal_rescale(scaled, (uint32_t)shift, 0, 38, &back));
            MR_EXPECT(back == x);
        } else {
            MR_EXPECT(digits + (uint32_t)shift > 38);
        }
    }
}

/* Rounded half away from zero: twice the rest is at most the divisor, and never equal inward. */
MR_TEST(decimal, a_quotient_is_the_nearest_number)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 2, 1);
    for (int i = 0; i < 20000; i++) {
        mr_i128 a = random_decimal(&prng, 12), b = random_decimal(&prng, 1 + (uint32_t)(i % 8));
        mr_i128 q, rest;
        int32_t shift = (int32_t)mr_prng_below(&prng, 16);

        if (b == 0) continue;
        MR_EXPECT(mri_decimal_divide(a, b, shift, 38, &q));
        rest = a * mri_power10((uint32_t)shift) - q * b;
        if (rest < 0) rest = -rest;
        MR_EXPECT(2 * rest <= (b < 0 ? -b : b));
        if (2 * rest == (b < 0 ? -b : b)) { /* half: away from zero */
            mr_i128 whole = a * mri_power10((uint32_t)shift) / b;

            MR_EXPECT(q != whole);
        }
    }
}

MR_TEST(decimal, what_does_not_fit_is_refused)
{
    mr_i128 most = mri_power10(38) - 1, out = 77;

    MR_EXPECT(mri_decimal_fits(most, 38) && !mri_decimal_fits(mri_power10(5), 5));
    MR_EXPECT(!mri_decimal_multiply(most, 10, 0, 38, &out));
    MR_EXPECT(!mri_decimal_multiply(most, most, 37, 38, &out));
    MR_EXPECT(mri_decimal_multiply(most, most, 38, 38, &out));
    MR_EXPECT(out == most - 1); /* 10^38 - 2 + 10^-38, rounded */
    MR_EXPECT(!mri_decimal_divide(most, 1, 1, 38, &out));
    MR_EXPECT(!mri_decimal_divide(most, 1, 76, 38, &out));
    MR_EXPECT(mri_decimal_divide(most, most, -38, 38, &out) && out == 0);
    MR_EXPECT(mri_decimal_divide(most, 1, -38, 38, &out) && out == 1);
    MR_EXPECT(!mri_decimal_rescale(995, 2, 1, 2, &out)); /* 9.95 rounds to 10.0 */
}

MR_TEST(decimal, comparison_looks_through_scales)
{
    mr_i128 most = mri_power10(38) - 1;

    MR_EXPECT_EQ_INT(mri_decimal_compare(15, 1, 150, 2), 0);
    MR_EXPECT_EQ_INT(mri_decimal_compare(-15, 1, 150, 2), -1);
    MR_EXPECT_EQ_INT(mri_decimal_compare(most, 0, most, 38), 1);
    MR_EXPECT_EQ_INT(mri_decimal_compare(-most, 0, most, 38), -1);
    MR_EXPECT_EQ_INT(mri_decimal_compare(most, 38, most, 0), -1);
    MR_EXPECT_EQ_INT(mri_decimal_compare(most, 38, -most, 0), 1);
}

MR_TEST(decimal, parsing_rounds_once_and_reads_exponents)
{
    static const struct {
        const char *text;
        uint32_t precision, scale;
        enum mr_num_result result;
        int64_t value;
    } cases[] = {
        {"1.25", 5, 1, MR_NUM_OK, 13},      {"-1.25", 5, 1, MR_NUM_OK, -13},
        {"1.2499999", 5, 1, MR_NUM_OK, 12}, {".5", 5, 0, MR_NUM_OK, 1},
        {"5.", 5, 2, MR_NUM_OK, 500},       {"1e3", 5, 1, MR_NUM_OK, 10000},
        {"12345e-3", 5, 2, MR_NUM_OK, 1235}, {"1e-99999", 5, 2, MR_NUM_OK, 0},
        {"0e99999999999", 5, 2, MR_NUM_OK, 0}, {"1e38", 38, 2, MR_NUM_RANGE, 0},
        {"99.995", 4, 2, MR_NUM_RANGE, 0},  {"", 5, 1, MR_NUM_MALFORMED, 0},
        {"-", 5, 1, MR_NUM_MALFORMED, 0},   {".", 5, 1, MR_NUM_MALFORMED, 0},
        {"1e", 5, 1, MR_NUM_MALFORMED, 0},  {"1 ", 5, 1, MR_NUM_MALFORMED, 0},
        {"00000000000000000000000000000000000000000000.5", 5, 0, MR_NUM_OK, 1},
        {"0.49999999999999999999999999999999999999999999", 5, 0, MR_NUM_OK, 0},
    };

    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        mr_i128 out = 0;

        if (mri_decimal_parse(cases[i].text, strlen(cases[i].text), cases[i].precision,
                              cases[i].scale, &out) != cases[i].result ||
            out != cases[i].value) {
            MR_FAIL("case %zu: '%s'", i, cases[i].text);
        }
    }
}
