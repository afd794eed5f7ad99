/* time_test.c - the C library's timegm and gmtime_r are the oracle for the calendar. */
#include "base/prng.h"
#include "base/time.h"
#include "mr_test.h"

#include <stdio.h>
#include <time.h>

static const char *text_of(int64_t us)
{
    static char text[MR_TIME_TEXT_BYTES + 1];

    text[mr_format_timestamp(text, us, true)] = '\0';
    return text;
}

MR_TEST(time, division_rounds_down_on_both_sides_of_zero)
{
    MR_EXPECT_EQ_INT(mr_floor_div(7, 5), 1);
    MR_EXPECT_EQ_INT(mr_floor_div(-7, 5), -2);
    MR_EXPECT_EQ_INT(mr_floor_div(-5, 5), -1);
    MR_EXPECT_EQ_INT(mr_floor_mod(-7, 5), 3);
    MR_EXPECT_EQ_INT(mr_floor_mod(-5, 5), 0);
    MR_EXPECT_EQ_INT(mr_floor_div(INT64_MIN, 1), INT64_MIN);
    MR_EXPECT_EQ_INT(mr_floor_div(INT64_MIN, INT64_MAX), -2);
}

MR_TEST(time, the_calendar_agrees_with_the_c_library_for_every_day_of_eight_centuries)
{
    for (int64_t day = -146097; day <= 146097; day++) {
        time_t seconds = (time_t)(day * 86400);
        struct tm tm;
        int32_t year;
        uint8_t month;
        uint8_t dom;

        MR_EXPECT(gmtime_r(&seconds, &tm) != NULL);
        mr_civil_from_days(day, &year, &month, &dom);
        MR_EXPECT_EQ_INT(year, tm.tm_year + 1900);
        MR_EXPECT_EQ_INT(month, tm.tm_mon + 1);
        MR_EXPECT_EQ_INT(dom, tm.tm_mday);
        MR_EXPECT_EQ_INT(mr_days_from_civil(year, month, dom), day);
    }
}

MR_TEST(time, civil_time_and_microseconds_convert_both_ways)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 1, 0);
    for (uint32_t round = 0; round < 100000; round++) {
        int64_t us = (int64_t)mr_prng_next(&prng) / 4;
        struct mr_civil civil;

        mr_civil_from_us(us, &civil);
        MR_EXPECT(civil.hour < 24 && civil.minute < 60 && civil.second < 60);
        MR_EXPECT(civil.micros < 1000000);
        MR_EXPECT_EQ_INT(mr_us_from_civil(&civil), us);
    }
}

static void expect_instant(const char *text, const char *canonical)
{
    int64_t us = 0;

    if (!mr_parse_timestamp(text, strlen(text), true, &us)) MR_FAIL("'%s' was refused", text);
    MR_EXPECT_EQ_STR(text_of(us), canonical);
}

MR_TEST(time, instants_are_read_in_every_documented_form)
{
    expect_instant("2013-01-01T10:00:00Z", "2013-01-01T10:00:00Z");
    expect_instant("2013-01-01 10:00:00", "2013-01-01T10:00:00Z");
    expect_instant("2013-01-01T10:00", "2013-01-01T10:00:00Z");
    expect_instant("2013-01-01T10:00:00.5Z", "2013-01-01T10:00:00.5Z");
    expect_instant("2013-01-01T10:00:00.000001", "2013-01-01T10:00:00.000001Z");
    expect_instant("2013-01-01T10:00:00+02:30", "2013-01-01T07:30:00Z");
    expect_instant("2013-01-01T10:00:00-05", "2013-01-01T15:00:00Z");
    expect_instant("2013-01-01T10:00Z", "2013-01-01T10:00:00Z");
    expect_instant("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z");
    expect_instant("0001-01-01T00:00:00.5Z", "0001-01-01T00:00:00.5Z");
    expect_instant("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z");
    expect_instant("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.25Z");
    expect_instant("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z");
}

MR_TEST(time, what_is_no_timestamp_is_refused)
{
    static const char *const bad[] = {"",
                                      "2013",
                                      "2013-01-01",
                                      "2013-01-01T",
                                      "2013-01-01T10",
                                      "2013-01-01T10:0",
                                      "2013-13-01T10:00:00Z",
                                      "2013-00-01T10:00:00Z",
                                      "2013-02-29T10:00:00Z",
                                      "1900-02-29T10:00:00Z",
                                      "2013-01-32T10:00:00Z",
                                      "2013-01-00T10:00:00Z",
                                      "0000-01-01T10:00:00Z",
                                      "2013-01-01T24:00:00Z",
                                      "2013-01-01T10:60:00Z",
                                      "2013-01-01T10:00:60Z",
                                      "2013-01-01T10:00:00.Z",
                                      "2013-01-01T10:00:00.1234567Z",
                                      "2013-01-01T10:00:00ZZ",
                                      "2013-01-01T10:00:00 Z",
                                      " 2013-01-01T10:00:00Z",
                                      "2013-01-01  10:00:00",
                                      "2013-01-01t10:00:00Z",
                                      "2013-01-01T10:00:00+2",
                                      "2013-01-01T10:00:00+24",
                                      "2013-01-01T10:00:00+02:60",
                                      "2013-01-01T10:00:00+02:",
                                      "13-01-01T10:00:00Z",
                                      "2013-1-01T10:00:00Z",
                                      "2013/01/01T10:00:00",
                                      "201a-01-01T10:00:00Z",
                                      "2013-01-01T1::00:00Z",
                                      "2013-01-01T10:0x:00Z",
                                      "2013-0:-01T10:00:00Z",
                                      "2013-01-0/T10:00:00Z",
                                      "2013-01-0:T10:00:00Z",
                                      "+013-01-01T10:00:00Z",
                                      "NA",
                                      "2013-01-01T10:00:0\xb0Z",
                                      ("\xb2"
                                       "013-01-01T10:00:00Z")};
    int64_t us = 77;

    for (size_t i = 0; i < MR_COUNT(bad); i++) {
        if (mr_parse_timestamp(bad[i], strlen(bad[i]), true, &us)) MR_FAIL("'%s' was read", bad[i]);
    }
    /* A wall clock has no zone: dropping one would be a wrong number. */
    MR_EXPECT(!mr_parse_timestamp("2013-01-01T10:00:00Z", 20, false, &us));
    MR_EXPECT(!mr_parse_timestamp("2013-01-01T10:00:00+01", 22, false, &us));
    MR_EXPECT_EQ_INT(us, 77);
    MR_EXPECT(mr_parse_timestamp("2013-01-01T10:00:00", 19, false, &us));
}

/* The usual form takes a shorter way; it must take exactly what the general way takes. Changing one
 * byte at a time to every value compares them: a trailing ".0" forces the general way. */
MR_TEST(time, the_short_way_and_the_general_way_agree_byte_for_byte)
{
    static const char usual[] = "2013-01-29 10:07:38";

    for (size_t at = 0; at < 19; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[22];
            int64_t quick = 0;
            int64_t general = 0;
            bool a;
            bool b;

            memcpy(text, usual, 19);
            text[at] = (char)byte;
            memcpy(text + 19, ".0", 2);
            a = mr_parse_timestamp(text, 19, true, &quick);
            b = mr_parse_timestamp(text, 21, true, &general);
            if (a != b || quick != general) MR_FAIL("byte %zu = %d", at, byte);
        }
    }
}

MR_TEST(time, every_instant_that_is_written_reads_back_equal)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 2, 0);
    for (uint32_t round = 0; round < 100000; round++) {
        /* years 1 to 9999 */
        int64_t us = (int64_t)mr_prng_below(&prng, 315000000000000000) - 62000000000000000;
        int64_t back = 0;
        char text[MR_TIME_TEXT_BYTES];
        size_t size;

        if (round % 2) us -= us % MR_SECOND;
        size = mr_format_timestamp(text, us, true);
        MR_EXPECT(mr_parse_timestamp(text, size, true, &back));
        MR_EXPECT_EQ_INT(back, us);
        size = mr_format_timestamp(text, us, false);
        MR_EXPECT(mr_parse_timestamp(text, size, false, &back));
        MR_EXPECT_EQ_INT(back, us);
    }
}

MR_TEST(time, the_ends_of_time_can_be_written)
{
    char text[MR_TIME_TEXT_BYTES];

    MR_EXPECT(mr_format_timestamp(text, MR_TIME_MAX, true) <= MR_TIME_TEXT_BYTES);
    MR_EXPECT_EQ_TEXT(text, mr_format_timestamp(text, MR_TIME_MAX, true),
                      "+148108-07-06T14:00:27.387903Z");
    MR_EXPECT_EQ_TEXT(text, mr_format_timestamp(text, INT64_MIN, true),
                      "-290308-12-21T19:59:05.224192Z");
    MR_EXPECT(mr_format_date(text, INT32_MAX) <= MR_TIME_TEXT_BYTES);
    MR_EXPECT(mr_format_date(text, INT32_MIN) <= MR_TIME_TEXT_BYTES);
}

MR_TEST(time, dates_and_times_of_day_are_read_and_written)
{
    char text[MR_TIME_TEXT_BYTES];
    int32_t days = 0;
    int64_t us = 0;

    MR_EXPECT(mr_parse_date("1970-01-02", 10, &days));
    MR_EXPECT_EQ_INT(days, 1);
    MR_EXPECT(!mr_parse_date("1970-01-02 ", 11, &days));
    MR_EXPECT(!mr_parse_date("1970-02-30", 10, &days));
    MR_EXPECT_EQ_TEXT(text, mr_format_date(text, -1), "1969-12-31");
    MR_EXPECT(mr_parse_time("23:59:59.25", 11, &us));
    MR_EXPECT_EQ_INT(us, MR_DAY - MR_SECOND + 250 * MR_MILLISECOND);
    MR_EXPECT(!mr_parse_time("24:00", 5, &us));
    MR_EXPECT(!mr_parse_time("12", 2, &us));
    MR_EXPECT_EQ_TEXT(text, mr_format_time(text, us), "23:59:59.25");
    MR_EXPECT_EQ_TEXT(text, mr_format_time(text, 0), "00:00:00");
}

static void expect_duration(const char *text, int64_t us, const char *canonical)
{
    char out[MR_TIME_TEXT_BYTES];
    int64_t got = -77;

    if (!mr_parse_duration(text, &got)) MR_FAIL("'%s' was refused", text);
    MR_EXPECT_EQ_INT(got, us);
    MR_EXPECT_EQ_TEXT(out, mr_format_duration(out, us), canonical);
}

MR_TEST(time, durations_are_read_and_written)
{
    expect_duration("24h", MR_DAY, "1d");
    expect_duration("1h30m", 90 * MR_MINUTE, "1h30m");
    expect_duration("500ms", 500 * MR_MILLISECOND, "500ms");
    expect_duration("10s", 10 * MR_SECOND, "10s");
    expect_duration("2d", 2 * MR_DAY, "2d");
    expect_duration("100us", 100, "100us");
    expect_duration("0s", 0, "0s");
    expect_duration("90m", 90 * MR_MINUTE, "1h30m");
    expect_duration("1d2h3m4s5ms6us", 93784005006, "1d2h3m4s5ms6us");
}

MR_TEST(time, what_is_no_duration_is_refused)
{
    static const char *const bad[] = {"",
                                      "5",
                                      "h",
                                      "-1h",
                                      "1.5h",
                                      "1 h",
                                      "1h ",
                                      "1x",
                                      "1hh",
                                      "1H",
                                      "1m1h",
                                      "1h1h",
                                      "h1",
                                      "9223372036854775807d",
                                      "99999999999999999999s",
                                      "106751991d",
                                      "1min",
                                      "+1h"};
    int64_t us = 77;

    for (size_t i = 0; i < MR_COUNT(bad); i++) {
        if (mr_parse_duration(bad[i], &us)) MR_FAIL("'%s' was read", bad[i]);
    }
    MR_EXPECT_EQ_INT(us, 77);
}
