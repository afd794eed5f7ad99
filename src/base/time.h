/* time.h - two kinds of time that do not mix, and the civil calendar.
 *
 * Event time is when it happened, processing time is when we saw it. Inside kernels event times
 * are plain int64 columns; across interfaces they travel in these structs.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   parsers return false and touch nothing.
 * Cost:    constant.
 * Units:   microseconds.
 */
#ifndef MR_BASE_TIME_H
#define MR_BASE_TIME_H

#include "base/compiler.h"

struct mr_etime {
    int64_t us;
};
struct mr_ptime {
    int64_t us;
};

/* Division that rounds towards minus infinity, and its remainder in [0, divisor). The operators of
 * C round towards zero, which puts the hours before 1970 into the wrong window. divisor > 0. */
MR_INLINE int64_t mr_floor_div(int64_t value, int64_t divisor)
{
    return value / divisor - (value % divisor < 0);
}

MR_INLINE int64_t mr_floor_mod(int64_t value, int64_t divisor)
{
    int64_t rest = value % divisor;

    return rest < 0 ? rest + divisor : rest;
}

struct mr_civil {
    int32_t year;      /* proleptic Gregorian; 1 BC is 0 */
    uint8_t month;     /* 1..12 */
    uint8_t day;       /* 1..31 */
    uint8_t hour;      /* 0..23 */
    uint8_t minute;    /* 0..59 */
    uint8_t second;    /* 0..59 */
    uint32_t micros;   /* 0..999999 */
};

/* Days since 1970-01-01 and back (algorithm: Howard Hinnant, "chrono-compatible low-level date
 * algorithms"). */
int64_t mr_days_from_civil(int32_t year, uint32_t month, uint32_t day);
void mr_civil_from_days(int64_t days, int32_t *year, uint8_t *month, uint8_t *day);
void mr_civil_from_us(int64_t us, struct mr_civil *out);
int64_t mr_us_from_civil(const struct mr_civil *civil);

/* ISO 8601 / RFC 3339: `2013-01-01`, then `T` or one space, `10:00[:00[.123456]]`, then for
 * instants `Z` or `+hh[:mm]` (none: UTC). More than six fraction digits are refused, not cut.
 * The whole of the text must match. Years 0001 to 9999. */
bool mr_parse_timestamp(const char *text, size_t size_bytes, bool instant, int64_t *out_us);
bool mr_parse_date(const char *text, size_t size_bytes, int32_t *out_days);
bool mr_parse_time(const char *text, size_t size_bytes, int64_t *out_us);
/* `24h`, `1h30m`, `500ms`, `10s`, `2d`, `100us`; never negative. For options. */
bool mr_parse_duration(const char *text, int64_t *out_us);

/* Longest text that the writers below produce, with room for six-digit years and a sign. */
#define MR_TIME_TEXT_BYTES 40
/* Each returns the number of bytes written; not terminated. A fraction only when there is one. */
size_t mr_format_timestamp(char *out, int64_t us, bool instant);
size_t mr_format_date(char *out, int32_t days);
size_t mr_format_time(char *out, int64_t us);
size_t mr_format_duration(char *out, int64_t us); /* `1h30m`, `250ms` */

#endif
