/* number_float.h - the part of number.h that is C++: two functions each way, no layout, no policy.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   parsers answer as number.h.
 * Cost:    20-60 ns.
 */
#ifndef MR_TEXT_NUMBER_FLOAT_H
#define MR_TEXT_NUMBER_FLOAT_H

#include "text/number.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Without a leading '+'. Too small is MR_NUM_RANGE here, as too large. */
enum mr_num_result mri_num_read_float64(const char *text, size_t size_bytes, double *out);
enum mr_num_result mri_num_read_float32(const char *text, size_t size_bytes, float *out);

/* The shortest digits of a finite value > 0: value = 0.d1d2d3... * 10^exponent. Returns how many
 * digits were written (at most 17). */
#define MRI_NUM_DIGITS_MAX 17
size_t mri_num_digits_float64(char *out_digits, int *out_exponent, double value);
size_t mri_num_digits_float32(char *out_digits, int *out_exponent, float value);

#ifdef __cplusplus
}
#endif
#endif
