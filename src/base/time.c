/* time.c - see time.h. */
#include "base/time.h"

#include <string.h>

/* ---- the calendar ---- */

/* An era is 400 years: 146097 days. Years begin in March, so the leap day is the last of its year. */
int64_t mr_days_from_civil(int32_t year, uint32_t month, uint32_t day)
{
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = mr_floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

void mr_civil_from_days(int64_t days, int32_t *year, uint8_t *month, uint8_t *day)
{
    int64_t shifted = days + 719468;
    int64_t era = mr_floor_div(shifted, 146097);
    int64_t doe = shifted - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t m = mp < 10 ? mp + 3 : mp - 9;

    *day = (uint8_t)(doy - (153 * mp + 2) / 5 + 1);
    *month = (uint8_t)m;
    *year = (int32_t)(yoe + era * 400 + (m <= 2));
}

static void split_time(int64_t us_of_day, struct mr_civil *out)
{
    int64_t seconds = us_of_day / MR_SECOND;

    out->hour = (uint8_t)(seconds / 3600);
    out->minute = (uint8_t)(seconds / 60 % 60);
    out->second = (uint8_t)(seconds % 60);
    out->micros = (uint32_t)(us_of_day % MR_SECOND);
}

void mr_civil_from_us(int64_t us, struct mr_civil *out)
{
    memset(out, 0, sizeof *out); /* paddings too */
    mr_civil_from_days(mr_floor_div(us, MR_DAY), &out->year, &out->month, &out->day);
    split_time(mr_floor_mod(us, MR_DAY), out);
}

static int64_t join_time(const struct mr_civil *civil)
{
    return civil->hour * MR_HOUR + civil->minute * MR_MINUTE + civil->second * MR_SECOND +
           (int64_t)civil->micros;
}

int64_t mr_us_from_civil(const struct mr_civil *civil)
{
    return mr_days_from_civil(civil->year, civil->month, civil->day) * MR_DAY + join_time(civil);
}

/* ---- parsing ---- */

/* What is left to read. Every function below moves `at` only past what it accepted. */
struct cursor {
    const char *at;
    const char *end;
};

static bool take_char(struct cursor *in, char c)
{
    if (in->at == in->end || *in->at != c) return false;
    in->at++;
    return true;
}

static bool take_digits(struct cursor *in, uint32_t count, uint32_t *out)
{
    uint32_t value = 0;

    if ((size_t)(in->end - in->at) < count) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t digit = (uint32_t)((unsigned char)in->at[i] - (unsigned char)'0');

        if (digit > 9) return false;
        value = value * 10 + digit;
    }
    in->at += count;
    *out = value;
    return true;
}

static uint32_t days_of_month(uint32_t year, uint32_t month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(struct cursor *in, int64_t *out_days)
{
    uint32_t year;
    uint32_t month;
    uint32_t day;

    if (!take_digits(in, 4, &year) || !take_char(in, '-') || !take_digits(in, 2, &month) ||
        !take_char(in, '-') || !take_digits(in, 2, &day)) {
        return false;
    }
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month)) {
        return false;
    }
    *out_days = mr_days_from_civil((int32_t)year, month, day);
    return true;
}

/* `.` and one to six digits. */
static bool take_fraction(struct cursor *in, uint32_t *out_micros)
{
    uint32_t micros = 0;
    uint32_t digit;
    uint32_t count = 0;

    for (; count < 6 && take_digits(in, 1, &digit); count++) micros = micros * 10 + digit;
    if (count == 0 || (in->at < in->end && *in->at >= '0' && *in->at <= '9')) return false;
    for (; count < 6; count++) micros *= 10;
    *out_micros = micros;
    return true;
}

/* `10:00`, `10:00:00`, `10:00:00.123456`. A leap second (60) has no place on this time line. */
static bool take_time(struct cursor *in, int64_t *out_us)
{
    uint32_t hour;
    uint32_t minute;
    uint32_t second = 0;
    uint32_t micros = 0;

    if (!take_digits(in, 2, &hour) || !take_char(in, ':') || !take_digits(in, 2, &minute)) {
        return false;
    }
    if (take_char(in, ':')) {
        if (!take_digits(in, 2, &second)) return false;
        if (take_char(in, '.') && !take_fraction(in, &micros)) return false;
    }
    if (hour > 23 || minute > 59 || second > 59) return false;
    *out_us = hour * MR_HOUR + minute * MR_MINUTE + second * MR_SECOND + (int64_t)micros;
    return true;
}

/* `Z`, `+hh`, `+hh:mm`, or nothing. RFC 3339 goes to 23:59, so do we. */
static bool take_zone(struct cursor *in, int64_t *out_us)
{
    uint32_t hours;
    uint32_t minutes = 0;
    bool west;

    *out_us = 0;
    if (in->at == in->end || take_char(in, 'Z')) return true;
    west = *in->at == '-';
    if (!take_char(in, west ? '-' : '+') || !take_digits(in, 2, &hours)) return false;
    if (take_char(in, ':') && !take_digits(in, 2, &minutes)) return false;
    if (hours > 23 || minutes > 59) return false;
    *out_us = hours * MR_HOUR + minutes * MR_MINUTE;
    if (west) *out_us = -*out_us;
    return true;
}

/* The form that nearly every file has: `2013-01-01T10:00:00Z` or `2013-01-01 10:00:00`. Checks all
 * digits with one comparison per half instead of a branch per character. */
MR_INLINE bool eight_digits_ok(uint64_t word, uint64_t mask, uint64_t punctuation)
{
    uint64_t digits = word & mask;
    uint64_t high = digits & (mask & UINT64_C(0xf0f0f0f0f0f0f0f0));
    uint64_t above =
        (digits + (mask & UINT64_C(0x0606060606060606))) & (mask & UINT64_C(0xf0f0f0f0f0f0f0f0));
    uint64_t zeros = mask & UINT64_C(0x3030303030303030);

    return (word & ~mask) == punctuation && high == zeros && above == zeros;
}

MR_INLINE uint32_t two(const char *text)
{
    return (uint32_t)(text[0] - '0') * 10 + (uint32_t)(text[1] - '0');
}

/* Answers false also for what the general way may still accept. */
static bool parse_usual(const char *text, int64_t *out_us)
{
    uint64_t head; /* "2013-01-" */
    uint64_t tail; /* "10:00:00" */
    uint32_t year = two(text) * 100 + two(text + 2);
    uint32_t month = two(text + 5);
    uint32_t day = two(text + 8);

    memcpy(&head, text, 8);
    memcpy(&tail, text + 11, 8);
    if (!eight_digits_ok(head, UINT64_C(0x00ffff00ffffffff), UINT64_C(0x2d00002d00000000)) ||
        !eight_digits_ok(tail, UINT64_C(0xffff00ffff00ffff), UINT64_C(0x00003a00003a0000)) ||
        (unsigned char)(text[8] - '0') > 9 || (unsigned char)(text[9] - '0') > 9 ||
        (text[10] != 'T' && text[10] != ' ')) {
        return false;
    }
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) ||
        two(text + 11) > 23 || two(text + 14) > 59 || two(text + 17) > 59) {
        return false;
    }
    *out_us = mr_days_from_civil((int32_t)year, month, day) * MR_DAY + two(text + 11) * MR_HOUR +
              two(text + 14) * MR_MINUTE + two(text + 17) * MR_SECOND;
    return true;
}

bool mr_parse_timestamp(const char *text, size_t size_bytes, bool instant, int64_t *out_us)
{
    struct cursor in = {text, text + size_bytes};
    int64_t days;
    int64_t us;
    int64_t zone = 0;

    if (size_bytes == 19 || (size_bytes == 20 && instant && text[19] == 'Z')) {
        if (parse_usual(text, out_us)) return true;
    }
    if (!take_date(&in, &days)) return false;
    if (!take_char(&in, 'T') && !take_char(&in, ' ')) return false;
    if (!take_time(&in, &us)) return false;
    if (instant && !take_zone(&in, &zone)) return false;
    if (in.at != in.end) return false;
    *out_us = days * MR_DAY + us - zone;
    return true;
}

bool mr_parse_date(const char *text, size_t size_bytes, int32_t *out_days)
{
    struct cursor in = {text, text + size_bytes};
    int64_t days;

    if (!take_date(&in, &days) || in.at != in.end) return false;
    *out_days = (int32_t)days;
    return true;
}

bool mr_parse_time(const char *text, size_t size_bytes, int64_t *out_us)
{
    struct cursor in = {text, text + size_bytes};
    int64_t us;

    if (!take_time(&in, &us) || in.at != in.end) return false;
    *out_us = us;
    return true;
}

struct unit {
    const char *name;
    int64_t us;
};

/* From large to small: the order in which they may follow each other, and in which we write them. */
static const struct unit units[] = {
    {"d", MR_DAY},    {"h", MR_HOUR},         {"m", MR_MINUTE},
    {"s", MR_SECOND}, {"ms", MR_MILLISECOND}, {"us", MR_MICROSECOND},
};

/* One number and its unit; `first` is the largest unit that may still come. */
static const char *take_span(const char *text, size_t *first, int64_t *total)
{
    const char *at = text;
    int64_t value = 0;
    size_t letters = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value)) return NULL;
        if (__builtin_add_overflow(value, *at - '0', &value)) return NULL;
    }
    if (at == text) return NULL;
    while (at[letters] >= 'a' && at[letters] <= 'z') letters++;
    for (size_t i = *first; i < MR_COUNT(units); i++) {
        if (strlen(units[i].name) != letters || memcmp(units[i].name, at, letters) != 0) continue;
        if (__builtin_mul_overflow(value, units[i].us, &value)) return NULL;
        if (__builtin_add_overflow(*total, value, total)) return NULL;
        *first = i + 1;
        return at + letters;
    }
    return NULL;
}

bool mr_parse_duration(const char *text, int64_t *out_us)
{
    size_t first = 0;
    int64_t total = 0;

    if (*text == '\0') return false;
    while (*text != '\0') {
        text = take_span(text, &first, &total);
        if (text == NULL) return false;
    }
    if (total >= MR_TIME_MAX) return false;
    *out_us = total;
    return true;
}

/* ---- writing ---- */

static char *put_two(char *out, uint32_t value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
    return out + 2;
}

static char *put_number(char *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    memcpy(out, digits + at, sizeof digits - at);
    return out + (sizeof digits - at);
}

/* Four digits; other years, which ISO 8601 allows by agreement only, get a sign. */
static char *put_year(char *out, int32_t year)
{
    uint32_t size = year < 0 ? 0 - (uint32_t)year : (uint32_t)year;

    if (year < 0) *out++ = '-';
    if (size > 9999) {
        if (year > 0) *out++ = '+';
        return put_number(out, size);
    }
    out = put_two(out, size / 100);
    return put_two(out, size % 100);
}

static char *put_date(char *out, int32_t year, uint8_t month, uint8_t day)
{
    out = put_year(out, year);
    *out++ = '-';
    out = put_two(out, month);
    *out++ = '-';
    return put_two(out, day);
}

static char *put_time(char *out, const struct mr_civil *civil)
{
    uint32_t rest = civil->micros;

    out = put_two(out, civil->hour);
    *out++ = ':';
    out = put_two(out, civil->minute);
    *out++ = ':';
    out = put_two(out, civil->second);
    if (rest == 0) return out;
    *out++ = '.';
    for (uint32_t unit = 100000; rest != 0; unit /= 10) { /* no zeros at the end */
        *out++ = (char)('0' + rest / unit);
        rest %= unit;
    }
    return out;
}

size_t mr_format_timestamp(char *out, int64_t us, bool instant)
{
    struct mr_civil civil;
    char *at = out;

    mr_civil_from_us(us, &civil);
    at = put_date(at, civil.year, civil.month, civil.day);
    *at++ = instant ? 'T' : ' ';
    at = put_time(at, &civil);
    if (instant) *at++ = 'Z';
    return (size_t)(at - out);
}

size_t mr_format_date(char *out, int32_t days)
{
    int32_t year;
    uint8_t month;
    uint8_t day;

    mr_civil_from_days(days, &year, &month, &day);
    return (size_t)(put_date(out, year, month, day) - out);
}

size_t mr_format_time(char *out, int64_t us)
{
    struct mr_civil civil = {0};

    split_time(mr_floor_mod(us, MR_DAY), &civil);
    return (size_t)(put_time(out, &civil) - out);
}

size_t mr_format_duration(char *out, int64_t us)
{
    char *at = out;
    uint64_t rest = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;

    if (us < 0) *at++ = '-';
    for (size_t i = 0; i < MR_COUNT(units); i++) {
        uint64_t count = rest / (uint64_t)units[i].us;

        if (count == 0) continue;
        rest %= (uint64_t)units[i].us;
        at = put_number(at, count);
        memcpy(at, units[i].name, strlen(units[i].name));
        at += strlen(units[i].name);
    }
    if (us == 0) {
        memcpy(at, "0s", 2);
        at += 2;
    }
    return (size_t)(at - out);
}
