/* summary_test.c - numbers for people, and the line that shows a running job. */
#include "mr_test.h"
#include "progress.h"
#include "summary.h"

#include <stdio.h>
#include <stdlib.h>

MR_TEST(summary, counts_have_commas)
{
    MR_EXPECT_EQ_STR(mri_count_text(0).text, "0");
    MR_EXPECT_EQ_STR(mri_count_text(999).text, "999");
    MR_EXPECT_EQ_STR(mri_count_text(1000).text, "1,000");
    MR_EXPECT_EQ_STR(mri_count_text(27004).text, "27,004");
    MR_EXPECT_EQ_STR(mri_count_text(1234567).text, "1,234,567");
    MR_EXPECT_EQ_STR(mri_count_text(UINT64_MAX).text, "18,446,744,073,709,551,615");
}

MR_TEST(summary, sizes_and_rates_have_three_digits)
{
    MR_EXPECT_EQ_STR(mri_size_text(0).text, "0 B");
    MR_EXPECT_EQ_STR(mri_size_text(999).text, "999 B");
    MR_EXPECT_EQ_STR(mri_size_text(1000).text, "0.98 KiB");
    MR_EXPECT_EQ_STR(mri_size_text(1536).text, "1.50 KiB");
    MR_EXPECT_EQ_STR(mri_size_text(656678).text, "641 KiB");
    MR_EXPECT_EQ_STR(mri_size_text(1024.0 * 1024 * 12.25).text, "12.2 MiB");
    MR_EXPECT_EQ_STR(mri_short_text(12).text, "12");
    MR_EXPECT_EQ_STR(mri_short_text(1250000).text, "1.25 M");
    MR_EXPECT_EQ_STR(mri_short_text(999.7).text, "1.00 k");
}

MR_TEST(summary, times_have_the_unit_that_fits)
{
    MR_EXPECT_EQ_STR(mri_seconds_text(0).text, "0.0 ms");
    MR_EXPECT_EQ_STR(mri_seconds_text(1234).text, "1.2 ms");
    MR_EXPECT_EQ_STR(mri_seconds_text(34 * MR_MILLISECOND).text, "34 ms");
    MR_EXPECT_EQ_STR(mri_seconds_text(3 * MR_SECOND + 450 * MR_MILLISECOND).text, "3.45 s");
    MR_EXPECT_EQ_STR(mri_seconds_text(125 * MR_SECOND).text, "2 min 5 s");
    MR_EXPECT_EQ_STR(mri_seconds_text(3 * MR_HOUR + 59 * MR_SECOND).text, "3 h 0 min");
}

static char *summary_of(const struct mr_summary *summary, bool colour)
{
    static const struct mr_command command = {
        .size = sizeof command, .name = "job", .watermark_delay = "1h"};
    struct mr_arguments arguments = {.command = &command};
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    MR_EXPECT(file != NULL);
    mri_print_summary(&arguments, summary, colour, file);
    MR_EXPECT_EQ_INT(fclose(file), 0);
    return text;
}

MR_TEST(summary, late_rows_get_a_line_of_their_own)
{
    struct mr_summary summary = {
        .rows_in = 2000, .rows_out = 10, .elapsed_us = MR_SECOND, .peak_memory_bytes = 1 << 24};
    char *text = summary_of(&summary, false);

    MR_EXPECT_CONTAINS(text, "job: 2,000 rows in, 10 rows out, 0 late, 0 rejected\n");
    MR_EXPECT_CONTAINS(text, "in 1.00 s; 2.00 k rows/s");
    MR_EXPECT_CONTAINS(text, "peak memory 16.0 MiB");
    MR_EXPECT(strstr(text, "warning") == NULL);
    free(text);
    summary.rows_late = 1032;
    text = summary_of(&summary, false);
    MR_EXPECT_CONTAINS(text, "warning: 1,032 rows came too late");
    MR_EXPECT_CONTAINS(text, "a --watermark-delay above 1h may keep them");
    MR_EXPECT(strchr(text, '\x1b') == NULL);
    free(text);
    text = summary_of(&summary, true);
    MR_EXPECT_CONTAINS(text, "\x1b[1;33mjob: warning");
    free(text);
}

static const char *line_of(const struct mri_progress_view *view, size_t columns)
{
    static char text[512];

    mri_progress_text(view, text, sizeof text, columns);
    return text;
}

MR_TEST(progress, bounded_input_shows_a_bar_rates_and_time_to_go)
{
    struct mri_progress_view view = {
        .name = "job",
        .bounded = true,
        .total_bytes = 1000,
        .bytes_in = 250,
        .rows_in_per_s = 1250000,
        .bytes_in_per_s = 10,
        .elapsed_us = 25 * MR_SECOND,
        .watermark_us = MR_TIME_MIN,
    };

    MR_EXPECT_EQ_STR(line_of(&view, 200),
                     "job [#####---------------]  25 %  1.25 M rows/s  10 B/s  ETA 75 s");
    MR_EXPECT_EQ_STR(line_of(&view, 10), "job [#####");
    view.bytes_in = 2000; /* a file that grew: not beyond the end */
    MR_EXPECT_CONTAINS(line_of(&view, 200), "[####################] 100 %");
}

MR_TEST(progress, unbounded_input_shows_rates_watermark_and_late_rows)
{
    struct mri_progress_view view = {
        .name = "job",
        .total_bytes = UINT64_MAX,
        .rows_in_per_s = 5000,
        .rows_out_per_s = 12,
        .watermark_us = MR_TIME_MIN,
        .wall_us = 100 * MR_DAY,
        .rows_late = 1000,
    };

    MR_EXPECT_EQ_STR(line_of(&view, 200),
                     "job: in 5.00 k/s  out 12/s  no watermark yet  late 1,000");
    view.watermark_us = view.wall_us - 2500 * MR_MILLISECOND;
    MR_EXPECT_CONTAINS(line_of(&view, 200), "watermark lag 2.50 s");
    view.watermark_us = MR_DAY + 1;
    MR_EXPECT_CONTAINS(line_of(&view, 200), "watermark 1970-01-02T00:00:00Z");
}
