#include "summary.h"

#include "base/assert.h"
#include <string.h>

struct mri_words mri_count_text(uint64_t count)
{
    struct mri_words words;
    char digits[24];
    size_t size = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    size_t at = 0;

    for (size_t i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) words.text[at++] = ',';
        words.text[at++] = digits[i];
    }
    words.text[at] = '\0';
    return words;
}

/* Three digits and a unit: 7.25, 72.5, 725. */
static struct mri_words scaled(double number, double step, const char *const *units, size_t count)
{
    struct mri_words words;
    size_t unit = 0;
    int digits;

    while (number >= 999.5 && unit + 1 < count) {
        number /= step;
        unit++;
    }
    digits = unit == 0 || number >= 99.95 ? 0 : number >= 9.995 ? 1 : 2;
    (void)snprintf(words.text, sizeof words.text, "%.*f%s%s", digits, number,
                   units[unit][0] == '\0' ? "" : " ", units[unit]);
    return words;
}

struct mri_words mri_short_text(double number)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};

    return scaled(number, 1000, units, MR_COUNT(units));
}

struct mri_words mri_size_text(double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

    return scaled(bytes, 1024, units, MR_COUNT(units));
}

struct mri_words mri_seconds_text(int64_t us)
{
    struct mri_words words;
    long long seconds = us / MR_SECOND;

    if (us < 10 * MR_MILLISECOND) {
        (void)snprintf(words.text, sizeof words.text, "%.1f ms", (double)us / 1e3);
    } else if (us < MR_SECOND) {
        (void)snprintf(words.text, sizeof words.text, "%.0f ms", (double)us / 1e3);
    } else if (us < 100 * MR_SECOND) {
        (void)snprintf(words.text, sizeof words.text, "%.2f s", (double)us / 1e6);
    } else if (us < 2 * MR_HOUR) {
        (void)snprintf(words.text, sizeof words.text, "%lld min %lld s", seconds / 60,
                       seconds % 60);
    } else {
        (void)snprintf(words.text, sizeof words.text, "%lld h %lld min", seconds / 3600,
                       seconds / 60 % 60);
    }
    return words;
}

static double per_second(uint64_t amount, int64_t us)
{
    return (double)amount * 1e6 / (double)MR_MAX(us, INT64_C(1));
}

/* What a reader of the results has to know, in a line of its own. */
static void print_losses(const struct mr_arguments *arguments, const struct mr_summary *summary,
                         bool colour, FILE *out)
{
    const char *name = arguments->command->name;
    const char *loud = colour ? "\x1b[1;33m" : "";
    const char *plain = colour ? "\x1b[0m" : "";

    if (summary->rows_late > 0) {
        fprintf(out,
                "%s%s: warning: %s rows came too late for their window and are not in the "
                "results",
                loud, name, mri_count_text(summary->rows_late).text);
        if (arguments->command->watermark_delay != NULL) {
            fprintf(out, "; a --watermark-delay above %s may keep them",
                    mri_argument_common(arguments, MRI_OPTION_WATERMARK_DELAY));
        }
        fprintf(out, "%s\n", plain);
    }
    if (summary->rows_rejected > 0) {
        fprintf(out, "%s%s: warning: %s bad records are not in the results (--on-error %s)%s\n",
                loud, name, mri_count_text(summary->rows_rejected).text,
                mri_argument_common(arguments, MRI_OPTION_ON_ERROR), plain);
    }
    if (summary->rows_no_window > 0) {
        fprintf(out, "%s: %s rows lie between windows\n", name,
                mri_count_text(summary->rows_no_window).text);
    }
}

/* With a state directory: what is safe, and where the next run would go on. */
static void print_epochs(const struct mr_arguments *arguments, const struct mr_summary *summary,
                         FILE *out)
{
    const char *name = arguments->command->name;

    if (summary->attempts == 0 || mri_argument_common(arguments, MRI_OPTION_STATE_DIR) == NULL) {
        return;
    }
    fprintf(out, "%s: %s%s epochs complete, the last is %s; %s changed, %s written to state\n", name,
            summary->resumed ? "resumed; " : "", mri_count_text(summary->epochs).text,
            mri_count_text(summary->last_epoch).text,
            mri_size_text((double)summary->changed_bytes).text,
            mri_size_text((double)summary->written_bytes).text);
    if (summary->stopped) {
        fprintf(out, "%s: stopped early; the same command goes on from there\n", name);
    }
}

void mri_print_summary(const struct mr_arguments *arguments, const struct mr_summary *summary,
                       bool colour, FILE *out)
{
    const char *name = arguments->command->name;
    int64_t us = summary->elapsed_us;

    fprintf(out, "%s: %s%s rows in, %s rows out, %s late, %s rejected\n", name,
            summary->cancelled ? "cancelled after " : "", mri_count_text(summary->rows_in).text,
            mri_count_text(summary->rows_out).text, mri_count_text(summary->rows_late).text,
            mri_count_text(summary->rows_rejected).text);
    fprintf(out, "%s: %s read, %s written in %s; %s rows/s, %s/s; peak memory %s\n", name,
            mri_size_text((double)summary->bytes_in).text,
            mri_size_text((double)summary->bytes_out).text, mri_seconds_text(us).text,
            mri_short_text(per_second(summary->rows_in, us)).text,
            mri_size_text(per_second(summary->bytes_in, us)).text,
            mri_size_text((double)summary->peak_memory_bytes).text);
    print_epochs(arguments, summary, out);
    print_losses(arguments, summary, colour, out);
}
