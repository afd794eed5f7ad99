/* number_float.cc - see number_float.h. Kept to calls that neither allocate nor throw. */
#include "text/number_float.h"

#include <charconv>
#include <system_error>

namespace
{

template <class Real> enum mr_num_result read_real(const char *text, size_t size_bytes, Real *out)
{
    Real value = 0;
    const std::from_chars_result result = std::from_chars(text, text + size_bytes, value);

    if (result.ec == std::errc::invalid_argument || result.ptr != text + size_bytes) {
        return MR_NUM_MALFORMED;
    }
    if (result.ec != std::errc()) return MR_NUM_RANGE;
    *out = value;
    return MR_NUM_OK;
}

/* to_chars writes d.ddddde+xx; the point goes, the exponent is read. */
template <class Real> size_t digits_of(char *out_digits, int *out_exponent, Real value)
{
    char text[64];
    const std::to_chars_result result =
        std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
    const char *at = text;
    size_t count = 0;
    int exponent = 0;

    for (; at != result.ptr && *at != 'e'; at++) {
        if (*at != '.') out_digits[count++] = *at;
    }
    if (at != result.ptr) {
        at += at[1] == '+' ? 2 : 1; /* from_chars knows no '+' */
        (void)std::from_chars(at, static_cast<const char *>(result.ptr), exponent);
    }
    *out_exponent = exponent + 1;
    return count;
}

} /* namespace */

enum mr_num_result mri_num_read_float64(const char *text, size_t size_bytes, double *out)
{
    return read_real(text, size_bytes, out);
}

enum mr_num_result mri_num_read_float32(const char *text, size_t size_bytes, float *out)
{
    return read_real(text, size_bytes, out);
}

size_t mri_num_digits_float64(char *out_digits, int *out_exponent, double value)
{
    return digits_of(out_digits, out_exponent, value);
}

size_t mri_num_digits_float32(char *out_digits, int *out_exponent, float value)
{
    return digits_of(out_digits, out_exponent, value);
}
