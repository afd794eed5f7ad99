/* number.h - numbers from and to text: exact, fast, without a locale (C++ inside, a C face).
 *
 * Integers and decimals are plain C. Floating point stands on std::from_chars and std::to_chars,
 * which neither allocate nor throw here; short decimal fractions take an exact shorter way.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   parsers say why; *out is untouched then.
 * Cost:    constant, 5-30 ns.
 */
#ifndef MR_TEXT_NUMBER_H
#define MR_TEXT_NUMBER_H

#include <millrace/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mr_num_result {
    MR_NUM_OK,
    MR_NUM_MALFORMED, /* not a number, or bytes left over */
    MR_NUM_RANGE      /* a number, but it does not fit */
};

/* The whole text must match; a leading '+' is allowed; no white space. Floating point also reads
 * `1e-5`, and `nan`, `inf`, `infinity` in any case; what is too small becomes zero, what is too
 * large is MR_NUM_RANGE. */
enum mr_num_result mr_num_parse_int64(const char *text, size_t size_bytes, int64_t *out);
enum mr_num_result mr_num_parse_float64(const char *text, size_t size_bytes, double *out);
enum mr_num_result mr_num_parse_float32(const char *text, size_t size_bytes, float *out);
/* precision is the number of digits in all (1..38), scale (0..precision) of those behind the point.
 * Exact: 1.50 and 15e-1 fit scale 1, 1.55 does not (MR_NUM_RANGE). */
enum mr_num_result mr_num_parse_decimal(const char *text, size_t size_bytes, uint8_t precision,
                                        uint8_t scale, struct mr_int128 *out);

/* The common case of mr_num_parse_int64 in line, for readers of text files: an optional '-' and 1 to
 * 18 digits. False means: ask mr_num_parse_int64. */
static inline bool mr_num_try_int64(const char *text, size_t size_bytes, int64_t *out)
{
    size_t at = size_bytes > 0 && text[0] == '-';
    uint64_t value = 0;
    uint32_t wrong = 0;

    if (size_bytes - at - 1 > 17) return false; /* also when nothing is left */
    for (size_t i = at; i < size_bytes; i++) {
        uint32_t digit = (uint32_t)(unsigned char)text[i] - '0';

        wrong |= digit > 9;
        value = value * 10 + digit;
    }
    if (wrong) return false;
    *out = at ? -(int64_t)value : (int64_t)value;
    return true;
}

#define MR_NUM_TEXT_BYTES 64
/* Each returns the number of bytes written, not terminated; at most MR_NUM_TEXT_BYTES. Floating
 * point: the shortest digits that read back equal, laid out as ECMAScript does (plain from 1e-6 up
 * to below 1e21, else `1.5e-7`); `NaN`, `Infinity`, `-Infinity`. Decimals: always `scale` digits
 * behind the point. */
size_t mr_num_format_int64(char *out, int64_t value);
size_t mr_num_format_float64(char *out, double value);
size_t mr_num_format_float32(char *out, float value);
size_t mr_num_format_decimal(char *out, struct mr_int128 value, uint8_t scale);

#ifdef __cplusplus
}
#endif
#endif
