/* window.h - windows as arithmetic: slices, ends, sessions, lateness. No state, no clock.
 *
 * Aligned windows (tumbling, hopping) are cut into slices of length gcd(size, slide), aligned to
 * 1970-01-01T00:00Z + offset; negative times round towards minus infinity. A row belongs to exactly
 * one slice; a window is size / slice consecutive slices. slide > size leaves gaps: rows between
 * windows belong to no window.
 *
 * Lateness: a row is late for a window when watermark >= window end + allowed lateness. (A
 * watermark t says: no more rows with event time < t.) A window fires when watermark >= its end.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   mr_window_check refuses sizes and slides that are not positive or above
 *          MR_WINDOW_SPAN_MAX, more than MR_WINDOW_SLICES_MAX slices per window, offsets not
 *          between -slide and slide, negative lateness. Times beyond MR_TIME_MIN/MAX are taken as
 *          these; ends saturate at MR_TIME_MAX, so that the last watermark fires every window.
 *          Starts may lie up to one slide below MR_TIME_MIN: they name slices and windows.
 * Cost:    constant; a row's slice is two multiplications, without division or branch.
 */
#ifndef MR_CORE_WINDOW_H
#define MR_CORE_WINDOW_H

#include "base/status.h"
#include "base/time.h"

#define MR_WINDOW_SLICES_MAX 100000u
#define MR_WINDOW_SPAN_MAX   (INT64_C(1) << 60) /* 36,500 years: sums of three fit */

enum mr_window_kind { MR_WINDOW_GLOBAL, MR_WINDOW_TUMBLING, MR_WINDOW_HOPPING, MR_WINDOW_SESSION };

/* What the user asked for; part of the logical model. */
struct mr_window_spec {
    enum mr_window_kind kind;
    int64_t size_us;   /* SESSION: the gap */
    int64_t slide_us;  /* HOPPING */
    int64_t offset_us; /* TUMBLING, HOPPING */
    int64_t allowed_lateness_us;
    bool touching_sessions_merge; /* Flink: yes; Beam: no */
};

struct mr_slicer {
    int64_t slice_us;
    int64_t offset_us;
    int64_t size_us;
    int64_t slide_us;
    uint32_t slices_per_window;
    bool gaps; /* slide > size */
    /* For mr_slice_starts: slice number of t = (t - base) / slice, by reciprocal. */
    int64_t base_us; /* start of the slice of MR_TIME_MIN */
    uint64_t reciprocal;
    uint8_t shift_first;
    uint8_t shift_last;
};

enum mr_status mr_window_check(const struct mr_window_spec *spec, struct mr_error *err) MR_MUST_USE;
void mr_slicer_init(struct mr_slicer *slicer,
                    const struct mr_window_spec *spec); /* aligned kinds */

/* Start of the slice of each event time. */
void mr_slice_starts(const struct mr_slicer *slicer, const int64_t *times_us, uint32_t count,
                     int64_t *out);
/* First and last window (by start) that contain the slice starting at `slice_us`; false: none
 * (gap). Their starts are first, first + slide, ..., last. */
bool mr_slice_windows(const struct mr_slicer *slicer, int64_t slice_us, int64_t *out_first,
                      int64_t *out_last);
/* The end of the window that starts at `start_us`. */
int64_t mr_window_end_at(const struct mr_slicer *slicer, int64_t start_us);
/* Least window end > t_us (strictly): which window fires next after the watermark stood at t. */
int64_t mr_next_window_end(const struct mr_slicer *slicer, int64_t t_us);
bool mr_window_late(int64_t watermark_us, int64_t window_end_us, int64_t allowed_lateness_us);
/* The watermark from which on no window needs the slice, to fire or to be updated: end of its last
 * window + lateness. MR_TIME_MIN for a slice in a gap. */
int64_t mr_slice_expiry(const struct mr_slicer *slicer, int64_t slice_us,
                        int64_t allowed_lateness_us);

/* Sessions: [start, end) with end = last time + gap. */
struct mr_session {
    int64_t start_us;
    int64_t end_us;
};
/* With touching_merge also when one ends where the other starts. */
bool mr_session_meets(const struct mr_session *left, const struct mr_session *right,
                      bool touching_merge);

#endif
