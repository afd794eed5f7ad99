/* window_test.c - window arithmetic against enumeration of every window around a time. */
#include "base/prng.h"
#include "core/window.h"
#include "mr_test.h"

static struct mr_window_spec hopping(int64_t size, int64_t slide, int64_t offset)
{
    return (struct mr_window_spec){
        .kind = MR_WINDOW_HOPPING, .size_us = size, .slide_us = slide, .offset_us = offset};
}

static struct mr_slicer slicer_of(int64_t size, int64_t slide, int64_t offset)
{
    struct mr_window_spec spec = hopping(size, slide, offset);
    struct mr_slicer slicer;

    mr_slicer_init(&slicer, &spec);
    return slicer;
}

static int64_t slice_start(const struct mr_slicer *slicer, int64_t time)
{
    int64_t out;

    mr_slice_starts(slicer, &time, 1, &out);
    return out;
}

/* All windows [start, start + size) with start = offset + k * slide, walked one by one. */
static void check_against_enumeration(int64_t size, int64_t slide, int64_t offset, int64_t time)
{
    struct mr_slicer slicer = slicer_of(size, slide, offset);
    int64_t slice = slice_start(&slicer, time);
    int64_t first = 0, last = 0, got_first = 0, got_last = 0;
    int64_t next_end = INT64_MAX;
    bool any = false;

    for (int64_t k = -400; k <= 400; k++) {
        int64_t start = offset + k * slide;

        if (start <= time && time < start + size) {
            if (!any) first = start;
            last = start;
            any = true;
            /* A slice lies in a window whole or not at all. */
            MR_EXPECT(slice >= start && slice + slicer.slice_us <= start + size);
        }
        if (start + size > time && start + size < next_end) next_end = start + size;
    }
    MR_EXPECT(slice <= time && time < slice + slicer.slice_us);
    MR_EXPECT_EQ_INT(mr_slice_windows(&slicer, slice, &got_first, &got_last), any);
    MR_EXPECT_EQ_INT(mr_next_window_end(&slicer, time), next_end);
    if (!any) {
        MR_EXPECT(slicer.gaps);
        MR_EXPECT_EQ_INT(mr_slice_expiry(&slicer, slice, 9), MR_TIME_MIN);
        return;
    }
    MR_EXPECT_EQ_INT(got_first, first);
    MR_EXPECT_EQ_INT(got_last, last);
    MR_EXPECT_EQ_INT(mr_slice_expiry(&slicer, slice, 9), last + size + 9);
}

/* Small numbers, all of them: sizes that are no multiple of the slide, gaps, negative times. */
MR_TEST(window, all_small_windows_agree_with_enumeration)
{
    for (int64_t size = 1; size <= 12; size++) {
        for (int64_t slide = 1; slide <= 12; slide++) {
            for (int64_t offset = 1 - slide; offset < slide; offset++) {
                for (int64_t time = -30; time <= 30; time += 1) {
                    check_against_enumeration(size, slide, offset, time);
                }
            }
        }
    }
}

MR_TEST(window, random_windows_agree_with_enumeration)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 11, 1);
    for (int i = 0; i < 3000; i++) {
        int64_t slide = 1 + (int64_t)mr_prng_below(&prng, 1000000);
        int64_t size = 1 + (int64_t)mr_prng_below(&prng, (uint64_t)MR_MIN(slide * 20, 5000000));
        int64_t offset = (int64_t)mr_prng_below(&prng, (uint64_t)(2 * slide - 1)) - (slide - 1);
        int64_t time = (int64_t)mr_prng_below(&prng, (uint64_t)slide * 600) - slide * 300;
        struct mr_window_spec spec = hopping(size, slide, offset);

        if (mr_window_check(&spec, NULL) != MR_OK) continue;
        check_against_enumeration(size, slide, offset, time);
    }
}

MR_TEST(window, tumbling_hours_before_1970_round_down)
{
    struct mr_window_spec spec = {.kind = MR_WINDOW_TUMBLING, .size_us = MR_HOUR};
    struct mr_slicer slicer;

    mr_slicer_init(&slicer, &spec);
    MR_EXPECT_EQ_INT(slicer.slices_per_window, 1);
    MR_EXPECT(!slicer.gaps);
    MR_EXPECT_EQ_INT(slice_start(&slicer, -1), -MR_HOUR);
    MR_EXPECT_EQ_INT(slice_start(&slicer, 0), 0);
    MR_EXPECT_EQ_INT(slice_start(&slicer, MR_HOUR - 1), 0);
    MR_EXPECT_EQ_INT(slice_start(&slicer, -MR_HOUR), -MR_HOUR);
    MR_EXPECT_EQ_INT(mr_window_end_at(&slicer, -MR_HOUR), 0);
}

MR_TEST(window, size_that_is_no_multiple_of_the_slide_is_cut_at_their_divisor)
{
    struct mr_slicer slicer = slicer_of(10 * MR_MINUTE, 4 * MR_MINUTE, 0);

    MR_EXPECT_EQ_INT(slicer.slice_us, 2 * MR_MINUTE);
    MR_EXPECT_EQ_INT(slicer.slices_per_window, 5);
}

/* The reciprocal must be exact for every divisor: plain division is the judge. */
MR_TEST(window, slice_starts_equal_plain_division_for_any_slice_and_any_time)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 5, 1);
    for (int i = 0; i < 20000; i++) {
        int64_t slice = 1 + (int64_t)(mr_prng_next(&prng) >> (4 + mr_prng_below(&prng, 60)));
        int64_t offset = (int64_t)(mr_prng_next(&prng) % (uint64_t)slice);
        struct mr_window_spec spec = {.kind = MR_WINDOW_TUMBLING, .offset_us = offset};
        struct mr_slicer slicer;
        int64_t times[16], starts[16];

        spec.size_us = MR_MIN(slice, MR_WINDOW_SPAN_MAX);
        if (offset >= spec.size_us) continue;
        mr_slicer_init(&slicer, &spec);
        for (int k = 0; k < 16; k++) {
            times[k] = (int64_t)mr_prng_next(&prng) >> (1 + mr_prng_below(&prng, 50));
            if (k % 4 == 0) times[k] = offset + slicer.size_us * (k - 8) - (k % 8 == 0);
        }
        for (int k = 0; k < 16; k++) {
            times[k] = MR_MAX(MR_TIME_MIN, MR_MIN(times[k], MR_TIME_MAX));
        }
        mr_slice_starts(&slicer, times, 16, starts);
        for (int k = 0; k < 16; k++) {
            int64_t from_offset = times[k] - offset;
            int64_t quotient = from_offset / slicer.size_us;

            if (from_offset % slicer.size_us < 0) quotient--;
            MR_EXPECT_EQ_INT(starts[k], offset + quotient * slicer.size_us);
        }
    }
}

MR_TEST(window, at_the_ends_of_time_nothing_overflows_and_ends_saturate)
{
    static const int64_t spans[] = {1, 7, MR_HOUR, MR_DAY * 400, MR_WINDOW_SPAN_MAX};
    static const int64_t times[] = {INT64_MIN,       MR_TIME_MIN, MR_TIME_MIN + 1,
                                    MR_TIME_MAX - 1, MR_TIME_MAX, INT64_MAX};

    for (size_t i = 0; i < MR_COUNT(spans); i++) {
        struct mr_slicer slicer = slicer_of(spans[i], spans[i], 0);

        for (size_t k = 0; k < MR_COUNT(times); k++) {
            int64_t time = MR_MIN(MR_MAX(times[k], MR_TIME_MIN), MR_TIME_MAX);
            int64_t slice = slice_start(&slicer, times[k]);
            int64_t first, last;

            MR_EXPECT(slice <= time && time - slice < spans[i]);
            MR_EXPECT(mr_slice_windows(&slicer, slice, &first, &last));
            MR_EXPECT_EQ_INT(first, slice);
            MR_EXPECT_EQ_INT(last, slice);
            MR_EXPECT(mr_window_end_at(&slicer, slice) >= MR_TIME_MIN);
            MR_EXPECT(mr_window_end_at(&slicer, slice) <= MR_TIME_MAX);
            /* The last watermark fires and expires everything. */
            MR_EXPECT(mr_slice_expiry(&slicer, slice, INT64_MAX) <= MR_TIME_MAX);
            MR_EXPECT(mr_next_window_end(&slicer, times[k]) <= MR_TIME_MAX);
            MR_EXPECT(mr_next_window_end(&slicer, times[k]) > time || time == MR_TIME_MAX);
        }
    }
    MR_EXPECT_EQ_INT(mr_window_late(MR_TIME_MAX, MR_TIME_MAX, INT64_MAX), true);
    MR_EXPECT_EQ_INT(mr_window_late(MR_TIME_MAX - 1, MR_TIME_MAX, 0), false);
}

MR_TEST(window, a_row_is_late_from_the_watermark_at_end_plus_lateness_on)
{
    MR_EXPECT(!mr_window_late(99, 100, 0));
    MR_EXPECT(mr_window_late(100, 100, 0));
    MR_EXPECT(!mr_window_late(109, 100, 10));
    MR_EXPECT(mr_window_late(110, 100, 10));
    MR_EXPECT(!mr_window_late(MR_TIME_MIN, MR_TIME_MIN + 1, 0));
}

MR_TEST(window, bad_specs_are_refused_with_the_reason)
{
    struct mr_error err;
    struct mr_window_spec spec = hopping(10, 0, 0);

    MR_EXPECT_STATUS(mr_window_check(&spec, &err), MR_E_PIPELINE);
    MR_EXPECT_CONTAINS(err.text, "slide");
    spec = hopping(-5, 10, 0);
    MR_EXPECT_STATUS(mr_window_check(&spec, &err), MR_E_PIPELINE);
    MR_EXPECT_CONTAINS(err.text, "size");
    spec = hopping(10, 5, 5);
    MR_EXPECT_STATUS(mr_window_check(&spec, &err), MR_E_PIPELINE);
    MR_EXPECT_CONTAINS(err.text, "offset");
    spec = hopping(10, 5, -5);
    MR_EXPECT_STATUS(mr_window_check(&spec, &err), MR_E_PIPELINE);
    spec = hopping(MR_WINDOW_SPAN_MAX + 1, 5, 0);
    MR_EXPECT_STATUS(mr_window_check(&spec, &err), MR_E_PIPELINE);
    spec = hopping(MR_HOUR + 1, MR_HOUR, 0);
    MR_EXPECT_STATUS(mr_window_check(&spec, &err), MR_E_LIMIT);
    MR_EXPECT_CONTAINS(err.text, "slices");
    spec = hopping((int64_t)MR_WINDOW_SLICES_MAX, 1, 0);
    MR_EXPECT_OK(mr_window_check(&spec, &err), &err);
    spec.allowed_lateness_us = -1;
    MR_EXPECT_STATUS(mr_window_check(&spec, &err), MR_E_PIPELINE);
    MR_EXPECT_CONTAINS(err.text, "lateness");
    spec = (struct mr_window_spec){.kind = MR_WINDOW_SESSION};
    MR_EXPECT_STATUS(mr_window_check(&spec, &err), MR_E_PIPELINE);
    MR_EXPECT_CONTAINS(err.text, "gap");
    spec.size_us = MR_MINUTE;
    MR_EXPECT_OK(mr_window_check(&spec, &err), &err);
    spec = (struct mr_window_spec){.kind = MR_WINDOW_GLOBAL};
    MR_EXPECT_OK(mr_window_check(&spec, &err), &err);
}

/* Two sessions meet iff some instant lies in both; when touching counts, also the common border. */
MR_TEST(window, sessions_meet_as_their_instants_do)
{
    for (int64_t a = 0; a < 6; a++) {
        for (int64_t b = a + 1; b <= 6; b++) {
            for (int64_t c = 0; c < 6; c++) {
                for (int64_t d = c + 1; d <= 6; d++) {
                    struct mr_session left = {a, b}, right = {c, d};
                    bool common = false;

                    for (int64_t t = 0; t < 6; t++) {
                        common |= a <= t && t < b && c <= t && t < d;
                    }
                    MR_EXPECT_EQ_INT(mr_session_meets(&left, &right, false), common);
                    MR_EXPECT_EQ_INT(mr_session_meets(&left, &right, true),
                                     common || b == c || d == a);
                }
            }
        }
    }
}
