/* number_test.c - the C library is the oracle: strtod, strtof, strtoll and printf, all independent of
 * ours. */
#include "base/prng.h"
#include "mr_test.h"
#include "text/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define INF          __builtin_inf() /* INFINITY is a float */
#define NOT_A_NUMBER __builtin_nan("")

static enum mr_num_result parse_int(const char *text, int64_t *out)
{
    return mr_num_parse_int64(text, strlen(text), out);
}

static enum mr_num_result parse_double(const char *text, double *out)
{
    return mr_num_parse_float64(text, strlen(text), out);
}

#define EXPECT_INT(text, value)                             \
    do {                                                    \
        int64_t got = -77;                                  \
        MR_EXPECT_EQ_INT(parse_int(text, &got), MR_NUM_OK); \
        MR_EXPECT_EQ_INT(got, value);                       \
    } while (0)

#define EXPECT_INT_FAILS(text, why)                   \
    do {                                              \
        int64_t got = -77;                            \
        MR_EXPECT_EQ_INT(parse_int(text, &got), why); \
        MR_EXPECT_EQ_INT(got, -77);                   \
    } while (0)

MR_TEST(number, integers_are_read_up_to_both_ends_of_the_range)
{
    EXPECT_INT("0", 0);
    EXPECT_INT("-0", 0);
    EXPECT_INT("+7", 7);
    EXPECT_INT("000000000000000000000000000012", 12);
    EXPECT_INT("9223372036854775807", INT64_MAX);
    EXPECT_INT("-9223372036854775808", INT64_MIN);
    EXPECT_INT_FAILS("9223372036854775808", MR_NUM_RANGE);
    EXPECT_INT_FAILS("-9223372036854775809", MR_NUM_RANGE);
    EXPECT_INT_FAILS("18446744073709551617", MR_NUM_RANGE);
    EXPECT_INT_FAILS("99999999999999999999999999", MR_NUM_RANGE);
}

/* A long text that ends in rubbish is malformed, not out of range: the user has to look at it. */
MR_TEST(number, what_is_no_integer_is_refused)
{
    static const char *const bad[] = {"",    "-",  "+",     "+-1",      "--1",
                                      " 1",  "1 ", "1.",    "1.0",      "0x1",
                                      "1e3", "NA", "1_000", "\xd9\xa1", "99999999999999999999999x"};

    for (size_t i = 0; i < MR_COUNT(bad); i++) EXPECT_INT_FAILS(bad[i], MR_NUM_MALFORMED);
}

MR_TEST(number, the_quick_integer_path_agrees_with_the_full_one_or_stands_aside)
{
    struct mr_prng prng;
    static const char letters[] = "0123456789012345678901234567890123456789-+ .x/:";

    mr_prng_init(&prng, 1, 1);
    for (uint32_t round = 0; round < 200000; round++) {
        char text[24];
        size_t size = (size_t)mr_prng_below(&prng, 22);
        int64_t quick = 0;
        int64_t full = 0;

        for (size_t i = 0; i < size; i++) {
            text[i] = letters[mr_prng_below(&prng, i == 0 ? sizeof letters - 1 : 42)];
        }
        if (!mr_num_try_int64(text, size, &quick)) continue;
        MR_EXPECT_EQ_INT(mr_num_parse_int64(text, size, &full), MR_NUM_OK);
        MR_EXPECT_EQ_INT(quick, full);
    }
    MR_EXPECT(!mr_num_try_int64("", 0, &(int64_t){0}));
    MR_EXPECT(!mr_num_try_int64("-", 1, &(int64_t){0}));
    MR_EXPECT(mr_num_try_int64("-999999999999999999", 19, &(int64_t){0}));
}

MR_TEST(number, integers_are_written_as_printf_does)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 2, 1);
    for (uint32_t round = 0; round < 100000; round++) {
        int64_t value = (int64_t)(mr_prng_next(&prng) >> mr_prng_below(&prng, 64));
        char ours[MR_NUM_TEXT_BYTES];
        char theirs[32];

        if (round == 0) value = INT64_MIN;
        if (round % 2 == 1) value = -value;
        (void)snprintf(theirs, sizeof theirs, "%lld", (long long)value);
        MR_EXPECT_EQ_TEXT(ours, mr_num_format_int64(ours, value), theirs);
    }
}

static double random_double(struct mr_prng *prng)
{
    uint64_t bits = mr_prng_next(prng);
    double value;

    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? value : 1.0;
}

MR_TEST(number, doubles_are_read_as_strtod_reads_them)
{
    struct mr_prng prng;
    char text[400];

    mr_prng_init(&prng, 3, 1);
    for (uint32_t round = 0; round < 100000; round++) {
        double value = round % 3 == 0 ? random_double(&prng)
                                      : (mr_prng_unit(&prng) - 0.5) * pow(10, round % 19);
        double got = -77;

        switch (mr_prng_below(&prng, 4)) {
        case 0: (void)snprintf(text, sizeof text, "%.17g", value); break;
        case 1: (void)snprintf(text, sizeof text, "%.3f", value); break;
        case 2: (void)snprintf(text, sizeof text, "%.20e", value); break;
        default: (void)snprintf(text, sizeof text, "%g", value); break;
        }
        MR_EXPECT_EQ_INT(parse_double(text, &got), MR_NUM_OK);
        MR_EXPECT_EQ_DOUBLE(got, strtod(text, NULL));
    }
}

/* Digits and exponents at random, so that halfway cases, long mantissas and the edges of the quick
 * path come up. */
MR_TEST(number, odd_decimals_are_read_as_strtod_reads_them)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 4, 1);
    for (uint32_t round = 0; round < 200000; round++) {
        char text[128];
        size_t size = 0;
        uint64_t digits = 1 + mr_prng_below(&prng, 25);
        uint64_t point = mr_prng_below(&prng, 30);
        double got = -77;
        double want;

        if (mr_prng_below(&prng, 4) == 0) text[size++] = '-';
        for (uint64_t i = 0; i < digits; i++) {
            if (i == point) text[size++] = '.';
            text[size++] = (char)('0' + (mr_prng_below(&prng, 3) ? mr_prng_below(&prng, 10) : 0));
        }
        if (mr_prng_below(&prng, 2)) {
            size += (size_t)snprintf(text + size, 16, "e%d", (int)mr_prng_below(&prng, 700) - 350);
        }
        text[size] = '\0';
        want = strtod(text, NULL);
        if (isinf(want)) {
            MR_EXPECT_EQ_INT(parse_double(text, &got), MR_NUM_RANGE);
            MR_EXPECT_EQ_DOUBLE(got, -77);
        } else {
            MR_EXPECT_EQ_INT(parse_double(text, &got), MR_NUM_OK);
            MR_EXPECT_EQ_DOUBLE(got, want);
        }
    }
}

MR_TEST(number, doubles_too_large_are_refused_and_too_small_are_zero)
{
    double got = -77;

    MR_EXPECT_EQ_INT(parse_double("1e309", &got), MR_NUM_RANGE);
    MR_EXPECT_EQ_INT(parse_double("-1e99999999999999999999", &got), MR_NUM_RANGE);
    MR_EXPECT_EQ_DOUBLE(got, -77);
    MR_EXPECT_EQ_INT(parse_double("1e-400", &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE(got, 0.0);
    MR_EXPECT_EQ_INT(parse_double("-1e-99999999999999999999", &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE(got, -0.0);
    MR_EXPECT_EQ_INT(parse_double("0e99999", &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE(got, 0.0);
    MR_EXPECT_EQ_INT(parse_double("+.5", &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE(got, 0.5);
    MR_EXPECT_EQ_INT(parse_double("5.", &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE(got, 5.0);
}

MR_TEST(number, names_of_numbers_are_read_in_any_case)
{
    double got = 0;

    MR_EXPECT_EQ_INT(parse_double("NaN", &got), MR_NUM_OK);
    MR_EXPECT(isnan(got));
    MR_EXPECT_EQ_INT(parse_double("-Infinity", &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE(got, -INF);
    MR_EXPECT_EQ_INT(parse_double("+inf", &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE(got, INF);
}

MR_TEST(number, what_is_no_double_is_refused)
{
    static const char *const bad[] = {"",    ".",    "-",    "+",   "e5", "1e",     "1e+",  "1.2.3",
                                      " 1",  "1 ",   "0x10", "1,5", "NA", "nan(1)", "infi", "+-1",
                                      "--1", "1e5x", "1..",  "n",   "1f", "1e5.0"};
    double got = -77;
    float small = -77;

    for (size_t i = 0; i < MR_COUNT(bad); i++) {
        if (parse_double(bad[i], &got) != MR_NUM_MALFORMED) MR_FAIL("'%s' was read", bad[i]);
        MR_EXPECT_EQ_INT(mr_num_parse_float32(bad[i], strlen(bad[i]), &small), MR_NUM_MALFORMED);
    }
    MR_EXPECT_EQ_DOUBLE(got, -77);
}

/* Rounding to double first and then to float gives another float for such a text. */
MR_TEST(number, floats_are_rounded_once)
{
    struct mr_prng prng;
    float got = 0;

    MR_EXPECT_EQ_INT(mr_num_parse_float32("1.00000017881393432617187499", 28, &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE((double)got, (double)strtof("1.00000017881393432617187499", NULL));
    mr_prng_init(&prng, 5, 1);
    for (uint32_t round = 0; round < 50000; round++) {
        char text[64];

        (void)snprintf(text, sizeof text, "%.*e", (int)mr_prng_below(&prng, 20),
                       (mr_prng_unit(&prng) - 0.5) * pow(10, (int)mr_prng_below(&prng, 70) - 33));
        MR_EXPECT_EQ_INT(mr_num_parse_float32(text, strlen(text), &got), MR_NUM_OK);
        MR_EXPECT_EQ_DOUBLE((double)got, (double)strtof(text, NULL));
    }
    MR_EXPECT_EQ_INT(mr_num_parse_float32("+2.5", 4, &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE((double)got, 2.5);
    MR_EXPECT_EQ_INT(mr_num_parse_float32("3.5e38", 6, &got), MR_NUM_RANGE);
    MR_EXPECT_EQ_INT(mr_num_parse_float32("-1e-60", 6, &got), MR_NUM_OK);
    MR_EXPECT_EQ_DOUBLE((double)got, -0.0);
}

static void expect_text(double value, const char *text)
{
    char out[MR_NUM_TEXT_BYTES];

    MR_EXPECT_EQ_TEXT(out, mr_num_format_float64(out, value), text);
}

MR_TEST(number, doubles_are_laid_out_plainly_where_people_read_them)
{
    expect_text(0.0, "0");
    expect_text(-0.0, "-0");
    expect_text(1.0, "1");
    expect_text(100000.0, "100000");
    expect_text(-12.5, "-12.5");
    expect_text(0.1, "0.1");
    expect_text(0.1 + 0.2, "0.30000000000000004");
    expect_text(1e20, "100000000000000000000");
    expect_text(1e21, "1e+21");
    expect_text(1.5e300, "1.5e+300");
    expect_text(0.000001, "0.000001");
    expect_text(0.0000001, "1e-7");
    expect_text(-1.25e-7, "-1.25e-7");
    expect_text(5e-324, "5e-324");
    expect_text(1.7976931348623157e308, "1.7976931348623157e+308");
    expect_text(9007199254740993.0, "9007199254740992");
    expect_text(NOT_A_NUMBER, "NaN");
    expect_text(INF, "Infinity");
    expect_text(-INF, "-Infinity");
}

/* Digits of a number as text, without sign, point, exponent and outer zeros. */
static size_t digit_count(const char *text, size_t size)
{
    size_t count = 0;
    size_t zeros = 0;

    for (size_t i = 0; i < size && text[i] != 'e'; i++) {
        if (text[i] < '0' || text[i] > '9' || (count == 0 && text[i] == '0')) continue;
        count++;
        zeros = text[i] == '0' ? zeros + 1 : 0;
    }
    return count - zeros;
}

/* Shortest: printf with one digit less does not read back equal. */
MR_TEST(number, doubles_are_written_with_the_fewest_digits_that_read_back_equal)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 6, 1);
    for (uint32_t round = 0; round < 100000; round++) {
        double value =
            round % 2 ? random_double(&prng) : rint((mr_prng_unit(&prng) - 0.5) * 1e6) / 100.0;
        char text[MR_NUM_TEXT_BYTES + 1];
        char shorter[64];
        size_t size = mr_num_format_float64(text, value);
        size_t digits = digit_count(text, size);
        double back = 0;

        text[size] = '\0';
        MR_EXPECT_EQ_DOUBLE(strtod(text, NULL), value);
        MR_EXPECT_EQ_INT(mr_num_parse_float64(text, size, &back), MR_NUM_OK);
        MR_EXPECT_EQ_DOUBLE(back, value);
        if (digits < 2) continue;
        (void)snprintf(shorter, sizeof shorter, "%.*e", (int)digits - 2, value);
        MR_EXPECT(strtod(shorter, NULL) != value);
    }
}

MR_TEST(number, floats_are_written_with_the_digits_of_a_float)
{
    char out[MR_NUM_TEXT_BYTES + 1];
    struct mr_prng prng;

    MR_EXPECT_EQ_TEXT(out, mr_num_format_float32(out, 0.1f), "0.1");
    MR_EXPECT_EQ_TEXT(out, mr_num_format_float32(out, 16777216.0f), "16777216");
    MR_EXPECT_EQ_TEXT(out, mr_num_format_float32(out, -1.5e-10f), "-1.5e-10");
    MR_EXPECT_EQ_TEXT(out, mr_num_format_float32(out, (float)INF), "Infinity");
    mr_prng_init(&prng, 7, 1);
    for (uint32_t round = 0; round < 50000; round++) {
        uint32_t bits = (uint32_t)mr_prng_next(&prng);
        float value;
        size_t size;

        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        size = mr_num_format_float32(out, value);
        out[size] = '\0';
        MR_EXPECT_EQ_DOUBLE((double)strtof(out, NULL), (double)value);
        MR_EXPECT(digit_count(out, size) <= 9);
    }
}

static void expect_decimal(const char *text, uint8_t precision, uint8_t scale, const char *want)
{
    struct mr_int128 value = {0, 0};
    char out[MR_NUM_TEXT_BYTES];
    enum mr_num_result result = mr_num_parse_decimal(text, strlen(text), precision, scale, &value);

    if (result != MR_NUM_OK) MR_FAIL("'%s' gave %d", text, (int)result);
    MR_EXPECT_EQ_TEXT(out, mr_num_format_decimal(out, value, scale), want);
}

MR_TEST(number, decimals_are_exact_and_keep_their_scale)
{
    expect_decimal("0", 5, 2, "0.00");
    expect_decimal("-0", 5, 2, "0.00");
    expect_decimal("1.5", 5, 2, "1.50");
    expect_decimal("-.25", 5, 2, "-0.25");
    expect_decimal("999.99", 5, 2, "999.99");
    expect_decimal("0012.3400000000000000000000000000000000000000000000", 5, 2, "12.34");
    expect_decimal("15e-1", 5, 2, "1.50");
    expect_decimal("1.5E2", 5, 2, "150.00");
    expect_decimal("0e999999999999", 5, 2, "0.00");
    expect_decimal("12345678901234567890123456789012345678", 38, 0,
                   "12345678901234567890123456789012345678");
    expect_decimal("-99999999999999999999999999999999999999", 38, 0,
                   "-99999999999999999999999999999999999999");
    expect_decimal("-.00000000000000000000000000000000000001", 38, 38,
                   "-0.00000000000000000000000000000000000001");
    expect_decimal("10000000000000000000", 38, 0, "10000000000000000000");
    expect_decimal("100000000000000000000000000000000000000e-1", 38, 0,
                   "10000000000000000000000000000000000000");
}

MR_TEST(number, decimals_that_do_not_fit_are_out_of_range_and_nothing_is_rounded)
{
    static const char *const range[] = {"1000",
                                        "1.555",
                                        "1e3",
                                        "0.001",
                                        "1e-3",
                                        "1e99999",
                                        "1e-99999",
                                        "100000000000000000000000000000000000000.1",
                                        "123456789012345678901234567890123456789012345678901"};
    static const char *const bad[] = {"",
                                      ".",
                                      "-",
                                      "1.2.3",
                                      "1 ",
                                      "1e",
                                      "NA",
                                      "0x1",
                                      "1,5",
                                      "inf",
                                      "1234567890123456789012345678901234567890123456789x"};
    struct mr_int128 value = {7, 7};

    for (size_t i = 0; i < MR_COUNT(range); i++) {
        MR_EXPECT_EQ_INT(mr_num_parse_decimal(range[i], strlen(range[i]), 5, 2, &value),
                         MR_NUM_RANGE);
    }
    for (size_t i = 0; i < MR_COUNT(bad); i++) {
        MR_EXPECT_EQ_INT(mr_num_parse_decimal(bad[i], strlen(bad[i]), 5, 2, &value),
                         MR_NUM_MALFORMED);
    }
    MR_EXPECT_EQ_UINT(value.low, 7);
}

MR_TEST(number, every_int128_is_written)
{
    struct mr_int128 least = {0, INT64_MIN};
    char out[MR_NUM_TEXT_BYTES];

    MR_EXPECT_EQ_TEXT(out, mr_num_format_decimal(out, least, 0),
                      "-170141183460469231731687303715884105728");
    MR_EXPECT_EQ_TEXT(out, mr_num_format_decimal(out, least, 38),
                      "-1.70141183460469231731687303715884105728");
}
