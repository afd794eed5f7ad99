/* window.c - see window.h. */
#include "core/window.h"
#include "base/assert.h"

/* ---- what the user asked for ---- */

static enum mr_status check_span(const char *what, int64_t span_us, struct mr_error *err)
{
    if (span_us <= 0) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "window: the %s must be longer than zero, not %lld us", what,
                            (long long)span_us);
    }
    if (span_us > MR_WINDOW_SPAN_MAX) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "window: the %s is %lld us; the longest possible is %lld us", what,
                            (long long)span_us, (long long)MR_WINDOW_SPAN_MAX);
    }
    return MR_OK;
}

static int64_t gcd(int64_t left, int64_t right)
{
    while (right != 0) {
        int64_t rest = left % right;

        left = right;
        right = rest;
    }
    return left;
}

static int64_t slide_of(const struct mr_window_spec *spec)
{
    return spec->kind == MR_WINDOW_HOPPING ? spec->slide_us : spec->size_us;
}

static enum mr_status check_aligned(const struct mr_window_spec *spec, struct mr_error *err)
{
    int64_t slide = slide_of(spec);
    int64_t slices;

    MR_RET(check_span("size", spec->size_us, err));
    MR_RET(check_span("slide", slide, err));
    if (spec->offset_us <= -slide || spec->offset_us >= slide) {
        return mr_error_set(
            err, MR_E_PIPELINE,
            "window: the offset %lld us must lie between minus and plus the %s, %lld us",
            (long long)spec->offset_us, spec->kind == MR_WINDOW_HOPPING ? "slide" : "size",
            (long long)slide);
    }
    slices = spec->size_us / gcd(spec->size_us, slide);
    if (slices > (int64_t)MR_WINDOW_SLICES_MAX) {
        return mr_error_set(
            err, MR_E_LIMIT,
            "window: size %lld us and slide %lld us cut each window into %lld slices, "
            "more than %u; choose a slide that divides the size",
            (long long)spec->size_us, (long long)slide, (long long)slices, MR_WINDOW_SLICES_MAX);
    }
    return MR_OK;
}

enum mr_status mr_window_check(const struct mr_window_spec *spec, struct mr_error *err)
{
    if (spec->allowed_lateness_us < 0) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "window: the allowed lateness must not be negative, it is %lld us",
                            (long long)spec->allowed_lateness_us);
    }
    switch (spec->kind) {
    case MR_WINDOW_GLOBAL: return MR_OK;
    case MR_WINDOW_TUMBLING: return check_aligned(spec, err);
    case MR_WINDOW_HOPPING: return check_aligned(spec, err);
    case MR_WINDOW_SESSION: return check_span("gap", spec->size_us, err);
    }
    return mr_error_set(err, MR_E_PIPELINE, "window: unknown kind %d", (int)spec->kind);
}

/* ---- slices ---- */

/* floor(2^64 * high / divisor) for high < divisor: long division, bit by bit. (The compiler would
 * call its own library for 128-bit division.) */
static uint64_t divide_shifted(uint64_t high, uint64_t divisor)
{
    uint64_t quotient = 0;

    for (int bit = 0; bit < 64; bit++) {
        bool carry = high >> 63;

        high <<= 1;
        quotient <<= 1;
        if (carry || high >= divisor) {
            high -= divisor;
            quotient |= 1;
        }
    }
    return quotient;
}

/* Unsigned division by an invariant through multiplication (Granlund and Montgomery 1994, figure
 * 4.1): exact for every 64-bit dividend. */
static void set_reciprocal(struct mr_slicer *slicer)
{
    uint64_t divisor = (uint64_t)slicer->slice_us;
    uint8_t bits = 0;

    while ((UINT64_C(1) << bits) < divisor) bits++;
    slicer->reciprocal = divide_shifted((UINT64_C(1) << bits) - divisor, divisor) + 1;
    slicer->shift_first = bits > 0 ? 1 : 0;
    slicer->shift_last = bits > 0 ? (uint8_t)(bits - 1) : 0;
}

MR_INLINE uint64_t slice_number(const struct mr_slicer *slicer, uint64_t distance)
{
    uint64_t high = (uint64_t)(((mr_u128)slicer->reciprocal * distance) >> 64);

    return (high + ((distance - high) >> slicer->shift_first)) >> slicer->shift_last;
}

/* The greatest multiple of `step` (from `offset`) at or below t. */
static int64_t align_down(int64_t t, int64_t offset, int64_t step)
{
    return t - mr_floor_mod(t - offset, step);
}

static int64_t clamp(int64_t t)
{
    return MR_MIN(MR_MAX(t, MR_TIME_MIN), MR_TIME_MAX);
}

void mr_slicer_init(struct mr_slicer *slicer, const struct mr_window_spec *spec)
{
    mr_assert(spec->kind == MR_WINDOW_TUMBLING || spec->kind == MR_WINDOW_HOPPING);
    mr_assert(mr_window_check(spec, NULL) == MR_OK);
    *slicer = (struct mr_slicer){
        .offset_us = spec->offset_us, .size_us = spec->size_us, .slide_us = slide_of(spec)};
    slicer->slice_us = gcd(slicer->size_us, slicer->slide_us);
    slicer->slices_per_window = (uint32_t)(slicer->size_us / slicer->slice_us);
    slicer->gaps = slicer->slide_us > slicer->size_us;
    slicer->base_us = align_down(MR_TIME_MIN, slicer->offset_us, slicer->slice_us);
    set_reciprocal(slicer);
}

void mr_slice_starts(const struct mr_slicer *slicer, const int64_t *times_us, uint32_t count,
                     int64_t *out)
{
    const struct mr_slicer local = *slicer; /* out may not alias it, but the compiler cannot know */

    for (uint32_t i = 0; i < count; i++) {
        uint64_t distance = (uint64_t)clamp(times_us[i]) - (uint64_t)local.base_us;
        uint64_t start = slice_number(&local, distance) * (uint64_t)local.slice_us;

        out[i] = (int64_t)((uint64_t)local.base_us + start);
    }
}

/* ---- windows ---- */

bool mr_slice_windows(const struct mr_slicer *slicer, int64_t slice_us, int64_t *out_first,
                      int64_t *out_last)
{
    int64_t last = align_down(slice_us, slicer->offset_us, slicer->slide_us);
    int64_t first = align_down(slice_us - slicer->size_us, slicer->offset_us, slicer->slide_us) +
                    slicer->slide_us;

    if (first > last) return false;
    *out_first = first;
    *out_last = last;
    return true;
}

int64_t mr_window_end_at(const struct mr_slicer *slicer, int64_t start_us)
{
    mr_assert_slow(start_us >= MR_TIME_MIN - 2 * MR_WINDOW_SPAN_MAX && start_us <= MR_TIME_MAX);
    return clamp(start_us + slicer->size_us);
}

int64_t mr_next_window_end(const struct mr_slicer *slicer, int64_t t_us)
{
    int64_t start = align_down(clamp(t_us) - slicer->size_us, slicer->offset_us, slicer->slide_us);

    return MR_MIN(start + slicer->slide_us + slicer->size_us, MR_TIME_MAX);
}

static int64_t add_lateness(int64_t end_us, int64_t allowed_lateness_us)
{
    return MR_MIN(end_us + MR_MIN(allowed_lateness_us, MR_TIME_MAX), MR_TIME_MAX);
}

bool mr_window_late(int64_t watermark_us, int64_t window_end_us, int64_t allowed_lateness_us)
{
    mr_assert_slow(allowed_lateness_us >= 0);
    return watermark_us >= add_lateness(clamp(window_end_us), allowed_lateness_us);
}

int64_t mr_slice_expiry(const struct mr_slicer *slicer, int64_t slice_us,
                        int64_t allowed_lateness_us)
{
    int64_t first;
    int64_t last;

    if (!mr_slice_windows(slicer, slice_us, &first, &last)) return MR_TIME_MIN;
    return add_lateness(mr_window_end_at(slicer, last), allowed_lateness_us);
}

/* ---- sessions ---- */

bool mr_session_meets(const struct mr_session *left, const struct mr_session *right,
                      bool touching_merge)
{
    if (touching_merge) {
        return left->start_us <= right->end_us && right->start_us <= left->end_us;
    }
    return left->start_us < right->end_us && right->start_us < left->end_us;
}
