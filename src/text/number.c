/* number.c - see number.h. */
#include "text/number.h"
#include "base/assert.h"
#include "text/number_float.h"

#include <string.h>

/* ---- integers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

enum mr_num_result mr_num_parse_int64(const char *text, size_t size_bytes, int64_t *out)
{
    const char *at = text;
    const char *end = text + size_bytes;
    bool negative = false;
    uint64_t limit;
    uint64_t value = 0;
    bool fits = true;

    if (at != end && (*at == '-' || *at == '+')) negative = *at++ == '-';
    if (at == end) return MR_NUM_MALFORMED;
    limit = (uint64_t)INT64_MAX + negative;
    for (; at != end; at++) {
        if (!is_digit(*at)) return MR_NUM_MALFORMED; /* the worse verdict wins over RANGE */
        fits = fits && !__builtin_mul_overflow(value, 10u, &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value) && value <= limit;
    }
    if (!fits) return MR_NUM_RANGE;
    *out = (int64_t)(negative ? 0 - value : value);
    return MR_NUM_OK;
}

/* Writes the digits so that they end at `end`; returns where they begin. */
static char *put_digits(char *end, uint64_t value)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";

    for (; value >= 100; value /= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (value % 100), 2);
    }
    if (value >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * value, 2);
        return end;
    }
    *--end = (char)('0' + value);
    return end;
}

size_t mr_num_format_int64(char *out, int64_t value)
{
    char digits[20];
    char *end = digits + sizeof digits;
    char *at = put_digits(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    char *to = out;

    if (value < 0) *to++ = '-';
    memcpy(to, at, (size_t)(end - at));
    return (size_t)(to - out) + (size_t)(end - at);
}

/* ---- floating point, from text ---- */

/* What a plain decimal says: digits * 10^exponent. */
struct decimal_text {
    uint64_t digits; /* exact while digit_count <= 19 */
    uint32_t digit_count;
    int64_t exponent;
    bool negative;
};

static const char *scan_exponent(const char *at, const char *end, int64_t *exponent)
{
    bool negative = false;
    int64_t value = 0;

    if (at != end && (*at == '-' || *at == '+')) negative = *at++ == '-';
    if (at == end) return NULL;
    for (; at != end; at++) {
        if (!is_digit(*at)) return NULL;
        if (value < INT32_MAX) value = value * 10 + (*at - '0');
    }
    *exponent += negative ? -value : value;
    return at;
}

/* False when the text is no plain decimal. */
static bool scan(const char *text, size_t size_bytes, struct decimal_text *out)
{
    const char *at = text;
    const char *end = text + size_bytes;
    bool point = false;
    bool any = false;

    *out = (struct decimal_text){0};
    if (at != end && (*at == '-' || *at == '+')) out->negative = *at++ == '-';
    for (; at != end; at++) {
        if (*at == '.' && !point) {
            point = true;
        } else if (is_digit(*at)) {
            any = true;
            out->exponent -= point;
            if (out->digit_count == 0 && *at == '0') continue; /* leading zeros count nothing */
            if (out->digit_count < 19) out->digits = out->digits * 10 + (uint64_t)(*at - '0');
            out->digit_count++;
        } else {
            break;
        }
    }
    if (!any) return false;
    if (at != end && (*at == 'e' || *at == 'E')) at = scan_exponent(at + 1, end, &out->exponent);
    return at == end;
}

static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Clinger, "How to read floating point numbers accurately", 1990: an integer below 2^53 and a power
 * up to 10^22 are both exact doubles, so that one operation rounds once and correctly. */
static bool read_exact(const struct decimal_text *text, double *out)
{
    double value;

    if (text->digit_count > 19 || text->digits > (UINT64_C(1) << 53)) return false;
    if (text->exponent < -22 || text->exponent > 22) return false;
    value = (double)text->digits;
    if (text->exponent < 0)
        value /= exact_powers[-text->exponent];
    else
        value *= exact_powers[text->exponent];
    *out = text->negative ? -value : value;
    return true;
}

/* Too large or too small? The first digit that counts stands at 10^(digit_count + exponent - 1). */
static bool is_tiny(const struct decimal_text *text)
{
    return text->exponent + (int64_t)text->digit_count < 0;
}

static bool same_letters(const char *text, size_t size_bytes, const char *lower)
{
    if (strlen(lower) != size_bytes) return false;
    for (size_t i = 0; i < size_bytes; i++) {
        if ((text[i] | 0x20) != lower[i]) return false;
    }
    return true;
}

static bool read_name(const char *text, size_t size_bytes, double *out)
{
    bool negative = size_bytes > 0 && text[0] == '-';
    size_t skip = size_bytes > 0 && (text[0] == '-' || text[0] == '+');

    text += skip;
    size_bytes -= skip;
    if (same_letters(text, size_bytes, "nan")) {
        *out = __builtin_nan("");
    } else if (same_letters(text, size_bytes, "inf") ||
               same_letters(text, size_bytes, "infinity")) {
        *out = negative ? -__builtin_inf() : __builtin_inf();
    } else {
        return false;
    }
    return true;
}

enum mr_num_result mr_num_parse_float64(const char *text, size_t size_bytes, double *out)
{
    struct decimal_text plain;
    size_t skip = size_bytes > 0 && text[0] == '+';
    enum mr_num_result result;

    if (!scan(text, size_bytes, &plain)) {
        return read_name(text, size_bytes, out) ? MR_NUM_OK : MR_NUM_MALFORMED;
    }
    if (read_exact(&plain, out)) return MR_NUM_OK;
    result = mri_num_read_float64(text + skip, size_bytes - skip, out);
    if (result == MR_NUM_RANGE && is_tiny(&plain)) {
        *out = plain.negative ? -0.0 : 0.0;
        return MR_NUM_OK;
    }
    return result;
}

enum mr_num_result mr_num_parse_float32(const char *text, size_t size_bytes, float *out)
{
    struct decimal_text plain;
    size_t skip = size_bytes > 0 && text[0] == '+';
    enum mr_num_result result;
    double name;

    if (!scan(text, size_bytes, &plain)) {
        if (!read_name(text, size_bytes, &name)) return MR_NUM_MALFORMED;
        *out = (float)name;
        return MR_NUM_OK;
    }
    /* Not by way of double: rounding twice is not rounding once. */
    result = mri_num_read_float32(text + skip, size_bytes - skip, out);
    if (result == MR_NUM_RANGE && is_tiny(&plain)) {
        *out = plain.negative ? -0.0f : 0.0f;
        return MR_NUM_OK;
    }
    return result;
}

/* ---- floating point, to text ---- */

static char *put_repeat(char *out, char c, size_t count)
{
    memset(out, c, count);
    return out + count;
}

static char *put_bytes(char *out, const char *data, size_t size_bytes)
{
    memcpy(out, data, size_bytes);
    return out + size_bytes;
}

/* 0.digits * 10^exponent as ECMAScript writes it (ECMA-262, Number::toString). */
static char *lay_out(char *out, const char *digits, size_t count, int exponent)
{
    if (exponent > 21 || exponent <= -6) {
        *out++ = digits[0];
        if (count > 1) {
            *out++ = '.';
            out = put_bytes(out, digits + 1, count - 1);
        }
        *out++ = 'e';
        *out++ = exponent - 1 < 0 ? '-' : '+';
        return out + mr_num_format_int64(out, exponent - 1 < 0 ? 1 - exponent : exponent - 1);
    }
    if (exponent <= 0) {
        out = put_bytes(out, "0.", 2);
        out = put_repeat(out, '0', (size_t)-exponent);
        return put_bytes(out, digits, count);
    }
    if (count <= (size_t)exponent) {
        out = put_bytes(out, digits, count);
        return put_repeat(out, '0', (size_t)exponent - count);
    }
    out = put_bytes(out, digits, (size_t)exponent);
    *out++ = '.';
    return put_bytes(out, digits + exponent, count - (size_t)exponent);
}

/* NaN, infinities and zeros; 0 when the value is none of them. */
static size_t format_special(char *out, double value)
{
    const char *name = NULL;

    if (value != value)
        name = "NaN";
    else if (value == 0.0)
        name = __builtin_signbit(value) ? "-0" : "0";
    else if (value > __DBL_MAX__)
        name = "Infinity";
    else if (value < -__DBL_MAX__)
        name = "-Infinity";
    if (name == NULL) return 0;
    return (size_t)(put_bytes(out, name, strlen(name)) - out);
}

size_t mr_num_format_float64(char *out, double value)
{
    char digits[MRI_NUM_DIGITS_MAX];
    char *at = out;
    size_t size = format_special(out, value);
    size_t count;
    int exponent;

    if (size > 0) return size;
    /* Whole numbers that a double holds exactly need no search for the shortest digits. */
    if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value) {
        return mr_num_format_int64(out, (int64_t)value);
    }
    if (value < 0) *at++ = '-';
    count = mri_num_digits_float64(digits, &exponent, value < 0 ? -value : value);
    return (size_t)(lay_out(at, digits, count, exponent) - out);
}

size_t mr_num_format_float32(char *out, float value)
{
    char digits[MRI_NUM_DIGITS_MAX];
    char *at = out;
    size_t size = format_special(out, (double)value);
    size_t count;
    int exponent;

    if (size > 0) return size;
    if (value < 0) *at++ = '-';
    count = mri_num_digits_float32(digits, &exponent, value < 0 ? -value : value);
    return (size_t)(lay_out(at, digits, count, exponent) - out);
}

/* ---- decimals ---- */

#define TEN_POW_37 ((mr_u128)UINT64_C(1000000000000000000) * UINT64_C(10000000000000000000))

static mr_u128 power_of_ten(uint32_t exponent)
{
    mr_u128 power = 1;

    mr_assert(exponent <= 38);
    for (uint32_t i = 0; i < exponent; i++) power *= 10;
    return power;
}

/* A decimal without zeros at its end: value * 10^exponent. */
struct exact_decimal {
    mr_u128 value;
    int64_t exponent;
    bool negative;
    bool too_long; /* more than 38 digits that count */
};

/* Zeros wait in `zeros` until a digit follows: so 1.5000000000000000000000000000000000000000000 has
 * two digits, not 44. */
static void append_digit(struct exact_decimal *out, int64_t *zeros, uint32_t digit)
{
    if (digit == 0) {
        *zeros += out->value != 0;
        return;
    }
    for (; *zeros >= 0; --*zeros) {
        if (out->value >= TEN_POW_37) out->too_long = true;
        if (out->too_long) break;
        out->value *= 10;
    }
    if (!out->too_long) out->value += digit;
    *zeros = 0;
}

static bool scan_decimal(const char *text, size_t size_bytes, struct exact_decimal *out)
{
    const char *at = text;
    const char *end = text + size_bytes;
    int64_t zeros = 0;
    bool point = false;
    bool any = false;

    *out = (struct exact_decimal){0};
    if (at != end && (*at == '-' || *at == '+')) out->negative = *at++ == '-';
    for (; at != end; at++) {
        if (*at == '.' && !point) {
            point = true;
        } else if (is_digit(*at)) {
            any = true;
            out->exponent -= point;
            append_digit(out, &zeros, (uint32_t)(*at - '0'));
        } else {
            break;
        }
    }
    if (!any) return false;
    out->exponent += zeros;
    if (at != end && (*at == 'e' || *at == 'E')) at = scan_exponent(at + 1, end, &out->exponent);
    return at == end;
}

enum mr_num_result mr_num_parse_decimal(const char *text, size_t size_bytes, uint8_t precision,
                                        uint8_t scale, struct mr_int128 *out)
{
    struct exact_decimal exact;
    mr_u128 value;

    mr_assert(precision >= 1 && precision <= 38 && scale <= precision);
    if (!scan_decimal(text, size_bytes, &exact)) return MR_NUM_MALFORMED;
    value = exact.value;
    if (value != 0) {
        int64_t shift = exact.exponent + scale;

        if (exact.too_long || shift < 0 || shift > 37) return MR_NUM_RANGE;
        if (value > power_of_ten(38 - (uint32_t)shift)) return MR_NUM_RANGE;
        value *= power_of_ten((uint32_t)shift);
        if (value >= power_of_ten(precision)) return MR_NUM_RANGE;
    }
    if (exact.negative) value = 0 - value;
    out->low = (uint64_t)value;
    out->high = (int64_t)(uint64_t)(value >> 64);
    return MR_NUM_OK;
}

size_t mr_num_format_decimal(char *out, struct mr_int128 value, uint8_t scale)
{
    static const uint64_t chunk = UINT64_C(10000000000000000000); /* 10^19 */
    char digits[40];
    char *end = digits + sizeof digits;
    char *to = out;
    mr_u128 rest = ((mr_u128)(uint64_t)value.high << 64) | value.low;
    size_t count;

    mr_assert(scale <= 38);
    memset(digits, '0', sizeof digits);
    if (value.high < 0) {
        *to++ = '-';
        rest = 0 - rest;
    }
    count = (size_t)(end - put_digits(end, (uint64_t)(rest % chunk)));
    for (size_t done = 19; (rest /= chunk) != 0; done += 19) {
        count = done + (size_t)(end - done - put_digits(end - done, (uint64_t)(rest % chunk)));
    }
    count = MR_MAX(count, (size_t)scale + 1);
    to = put_bytes(to, end - count, count - scale);
    if (scale == 0) return (size_t)(to - out);
    *to++ = '.';
    to = put_bytes(to, end - scale, scale);
    return (size_t)(to - out);
}
