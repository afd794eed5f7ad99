/* summary.h - numbers for people: counts, sizes, rates and times, and the lines at the end of a run.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none; texts are cut, never overrun.
 * Cost:    cold.
 */
#ifndef MR_API_SUMMARY_H
#define MR_API_SUMMARY_H

#include "options.h"

struct mri_words {
    char text[32];
};

struct mri_words mri_count_text(uint64_t count); /* 27,004 */
struct mri_words mri_short_text(double number);  /* 1.25 M */
struct mri_words mri_size_text(double bytes);   /* 641 KiB, 1.2 GiB */
struct mri_words mri_seconds_text(int64_t us);   /* 12 ms, 3.4 s, 2 min 5 s */

/* Rows in, out, late, rejected, bytes, time, rows/s, peak memory; then what must not be overlooked.
 * `colour`: escape sequences for what is loud. */
void mri_print_summary(const struct mr_arguments *arguments, const struct mr_summary *summary,
                       bool colour, FILE *out);

#endif
