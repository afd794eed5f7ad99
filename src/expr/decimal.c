/* decimal.c - decimals: 128-bit numbers times a power of ten, with 256 bits in between.
 *
 * Everything rounds half away from zero and answers false instead of overflowing. The common case,
 * where the intermediate fits 128 bits, takes one native operation.
 */
#include "expr/expr_internal.h"

#define I128_MAX ((mr_i128)(~(mr_u128)0 >> 1))

struct wide { /* 256-bit magnitude */
    mr_u128 high;
    mr_u128 low;
};

mr_i128 mri_power10(uint32_t digits)
{
    static const uint64_t small[20] = {
        1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u,
        10000000000u, 100000000000u, 1000000000000u, 10000000000000u, 100000000000000u,
        1000000000000000u, 10000000000000000u, 100000000000000000u, 1000000000000000000u,
        10000000000000000000u};

    mr_assert(digits <= MRI_DECIMAL_DIGITS);
    if (digits < 20) return (mr_i128)small[digits];
    return (mr_i128)((mr_u128)small[19] * small[digits - 19]);
}

static mr_u128 magnitude(mr_i128 value)
{
    return value < 0 ? -(mr_u128)value : (mr_u128)value;
}

bool mri_decimal_fits(mr_i128 value, uint32_t precision)
{
    return magnitude(value) < (mr_u128)mri_power10(precision);
}

static struct wide multiply_wide(mr_u128 left, mr_u128 right)
{
    mr_u128 low_mask = UINT64_MAX;
    mr_u128 a = left >> 64, b = left & low_mask, c = right >> 64, d = right & low_mask;
    mr_u128 bd = b * d, ad = a * d, bc = b * c;
    mr_u128 middle = (bd >> 64) + (ad & low_mask) + (bc & low_mask);

    return (struct wide){a * c + (ad >> 64) + (bc >> 64) + (middle >> 64),
                         (middle << 64) | (bd & low_mask)};
}

/* Bit by bit: only decimals of more than 38 intermediate digits come here. */
static struct wide divide_wide(struct wide value, mr_u128 divisor, mr_u128 *out_rest)
{
    struct wide quotient = {0, 0};
    mr_u128 rest = 0;

    if (value.high == 0) {
        *out_rest = value.low % divisor;
        return (struct wide){0, value.low / divisor};
    }
    for (int bit = 255; bit >= 0; bit--) {
        bool carry = (rest >> 127) != 0;
        mr_u128 word = bit >= 128 ? value.high : value.low;

        rest = (rest << 1) | ((word >> (bit % 128)) & 1);
        if (carry || rest >= divisor) {
            rest -= divisor;
            if (bit >= 128) quotient.high |= (mr_u128)1 << (bit - 128);
            else quotient.low |= (mr_u128)1 << bit;
        }
    }
    *out_rest = rest;
    return quotient;
}

/* The quotient rounded half away from zero, with a sign, if it has at most `precision` digits. */
static bool finish(struct wide value, mr_u128 divisor, bool negative, uint32_t precision,
                   mr_i128 *out)
{
    mr_u128 rest;
    struct wide quotient = divide_wide(value, divisor, &rest);

    if (quotient.high != 0 || quotient.low > (mr_u128)I128_MAX - 1) return false;
    if (rest >= divisor - rest) quotient.low++;
    if (quotient.low >= (mr_u128)mri_power10(precision)) return false;
    *out = negative ? -(mr_i128)quotient.low : (mr_i128)quotient.low;
    return true;
}

bool mri_decimal_rescale(mr_i128 value, uint32_t from, uint32_t to, uint32_t precision,
                         mr_i128 *out)
{
    if (from == to) {
        *out = value;
        return mri_decimal_fits(value, precision);
    }
    if (to > from) {
        mr_i128 result;

        if (__builtin_mul_overflow(value, mri_power10(to - from), &result)) return false;
        *out = result;
        return mri_decimal_fits(result, precision);
    }
    return finish((struct wide){0, magnitude(value)}, (mr_u128)mri_power10(from - to), value < 0,
                  precision, out);
}

bool mri_decimal_multiply(mr_i128 left, mr_i128 right, uint32_t drop_digits, uint32_t precision,
                          mr_i128 *out)
{
    mr_i128 product;

    if (drop_digits == 0) {
        if (__builtin_mul_overflow(left, right, &product)) return false;
        *out = product;
        return mri_decimal_fits(product, precision);
    }
    return finish(multiply_wide(magnitude(left), magnitude(right)),
                  (mr_u128)mri_power10(drop_digits), (left < 0) != (right < 0), precision, out);
}

bool mri_decimal_divide(mr_i128 left, mr_i128 right, int32_t shift, uint32_t precision,
                        mr_i128 *out)
{
    struct wide value = {0, magnitude(left)};
    bool negative = (left < 0) != (right < 0);

    mr_assert(right != 0);
    if (shift < 0) {
        mr_u128 divisor;

        mr_assert(shift >= -(int32_t)MRI_DECIMAL_DIGITS);
        /* A divisor beyond 128 bits is more than twice any decimal: the quotient rounds to 0. */
        if (__builtin_mul_overflow(magnitude(right), (mr_u128)mri_power10((uint32_t)-shift),
                                   &divisor)) {
            *out = 0;
            return true;
        }
        return finish(value, divisor, negative, precision, out);
    }
    while (shift > 0) {
        int32_t step = MR_MIN(shift, 38);
        struct wide low = multiply_wide(value.low, (mr_u128)mri_power10((uint32_t)step));
        struct wide high = multiply_wide(value.high, (mr_u128)mri_power10((uint32_t)step));

        if (high.high != 0 || high.low + low.high < low.high) return false;
        value = (struct wide){high.low + low.high, low.low};
        shift -= step;
    }
    return finish(value, magnitude(right), negative, precision, out);
}

/* Where one side times ten overflows, it is further from zero than the other can be. */
int mri_decimal_compare(mr_i128 left, uint32_t left_scale, mr_i128 right, uint32_t right_scale)
{
    if (left_scale < right_scale) {
        if (__builtin_mul_overflow(left, mri_power10(right_scale - left_scale), &left)) {
            return left < 0 ? -1 : 1;
        }
    } else if (right_scale < left_scale) {
        if (__builtin_mul_overflow(right, mri_power10(left_scale - right_scale), &right)) {
            return right < 0 ? 1 : -1;
        }
    }
    return left < right ? -1 : left > right;
}

double mri_decimal_to_float64(mr_i128 value, uint32_t scale)
{
    struct mr_int128 words = {(uint64_t)value, (int64_t)(value >> 64)};
    char buffer[MR_NUM_TEXT_BYTES];
    double result = 0;

    /* Up to 2^53 and 10^22 both are exact and one division rounds once. */
    if (scale <= 22 && magnitude(value) <= UINT64_C(1) << 53) {
        return (double)(int64_t)value / (double)mri_power10(scale);
    }
    if (mr_num_parse_float64(buffer, mr_num_format_decimal(buffer, words, (uint8_t)scale),
                             &result) != MR_NUM_OK) {
        return (double)value;
    }
    return result;
}

/* ---- parsing ---- */

struct digits {
    const char *at;
    const char *end;
    int64_t exponent;  /* decimal point, counted from behind the last digit that was taken */
    mr_u128 value;
    bool any;
    bool round_up;     /* the first digit left out is 5 or more */
    uint32_t taken;    /* significant digits in value */
    bool full;         /* digits were left out */
};

static void take_digits(struct digits *in, bool fraction)
{
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        uint32_t digit = (uint32_t)(*in->at - '0');

        in->any = true;
        if (in->taken == MRI_DECIMAL_DIGITS) {
            if (!in->full) in->round_up = digit >= 5;
            in->full = true;
            if (!fraction) in->exponent++;
            continue;
        }
        in->value = in->value * 10 + digit;
        in->taken += in->value != 0;
        if (fraction) in->exponent--;
    }
}

static bool take_exponent(struct digits *in)
{
    bool negative = false;
    int64_t value = 0;
    const char *start;

    if (in->at == in->end || (*in->at != 'e' && *in->at != 'E')) return true;
    in->at++;
    if (in->at < in->end && (*in->at == '+' || *in->at == '-')) negative = *in->at++ == '-';
    for (start = in->at; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        if (value < 100000) value = value * 10 + (*in->at - '0');
    }
    in->exponent += negative ? -value : value;
    return in->at > start;
}

/* value * 10^exponent at `scale` digits behind the point. */
static bool place_digits(const struct digits *in, uint32_t scale, uint32_t precision, mr_i128 *out)
{
    int64_t shift = in->exponent + (int64_t)scale;

    if (in->value == 0) {
        *out = 0;
        return true;
    }
    if (shift > (int64_t)MRI_DECIMAL_DIGITS) return false;
    if (shift < -(int64_t)MRI_DECIMAL_DIGITS) {
        *out = 0;
        return true;
    }
    if (shift < 0) {
        return finish((struct wide){0, in->value}, (mr_u128)mri_power10((uint32_t)-shift), false,
                      precision, out);
    }
    return mri_decimal_rescale((mr_i128)(in->value + (in->round_up && shift == 0)), 0,
                               (uint32_t)shift, precision, out);
}

enum mr_num_result mri_decimal_parse(const char *text, size_t size_bytes, uint32_t precision,
                                     uint32_t scale, mr_i128 *out)
{
    struct digits in = {.at = text, .end = text + size_bytes};
    bool negative = false;
    mr_i128 value;

    if (in.at < in.end && (*in.at == '+' || *in.at == '-')) negative = *in.at++ == '-';
    take_digits(&in, false);
    if (in.at < in.end && *in.at == '.') {
        in.at++;
        take_digits(&in, true);
    }
    if (!in.any || !take_exponent(&in) || in.at != in.end) return MR_NUM_MALFORMED;
    if (!place_digits(&in, scale, precision, &value)) return MR_NUM_RANGE;
    *out = negative ? -value : value;
    return MR_NUM_OK;
}
