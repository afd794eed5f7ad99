/* status_test.c */
#include "base/status.h"
#include "mr_test.h"

MR_TEST(status, setting_an_error_gives_status_and_text)
{
    struct mr_error err;

    MR_EXPECT_EQ_INT(mr_error_set(&err, MR_E_RECORD, "%s:%d: not a number", "a.csv", 7),
                     MR_E_RECORD);
    MR_EXPECT_EQ_INT(err.status, MR_E_RECORD);
    MR_EXPECT_EQ_STR(err.text, "a.csv:7: not a number");
    mr_error_context(&err, "operator '%s'", "parse");
    MR_EXPECT_EQ_STR(err.text, "operator 'parse': a.csv:7: not a number");
    MR_EXPECT_EQ_INT(err.status, MR_E_RECORD);
    mr_error_clear(&err);
    MR_EXPECT_EQ_INT(err.status, MR_OK);
    MR_EXPECT_EQ_STR(err.text, "");
}

MR_TEST(status, a_caller_may_want_no_text)
{
    MR_EXPECT_EQ_INT(mr_error_set(NULL, MR_E_IO, "lost"), MR_E_IO);
    MR_EXPECT_EQ_INT(mr_error_nomem(NULL, "x", 1), MR_E_NOMEM);
    mr_error_context(NULL, "x");
    mr_error_clear(NULL);
}

/* File names may be long and in any script. The end of the text may go, but no half character may
 * stay: it garbles the rest of the line on a terminal. Every length of character at every offset. */
MR_TEST(status, long_texts_are_cut_between_characters)
{
    static const char *const characters[] = {
        "x", "\xc3\xa9", "\xe0\xa0\x80", "\xe2\x82\xac", "\xf0\x90\x80\x80", "\xf0\x9f\x9a\x80"};
    struct mr_error err;

    for (size_t c = 0; c < MR_COUNT(characters); c++) {
        size_t bytes = strlen(characters[c]);

        for (size_t shift = 0; shift < 5; shift++) {
            char longer[1200] = "-----";
            size_t size = shift;

            for (; size + bytes < sizeof longer; size += bytes) {
                memcpy(longer + size, characters[c], bytes + 1);
            }
            (void)mr_error_set(&err, MR_E_IO, "%s", longer);
            size = strlen(err.text);
            MR_EXPECT(size < MR_ERROR_TEXT_BYTES && size + bytes >= MR_ERROR_TEXT_BYTES);
            MR_EXPECT_EQ_UINT((size - shift) % bytes, 0);
            MR_EXPECT_EQ_BYTES(err.text, longer, size);

            mr_error_context(&err, "%s", longer);
            size = strlen(err.text);
            MR_EXPECT(size < MR_ERROR_TEXT_BYTES && size + bytes >= MR_ERROR_TEXT_BYTES);
            size = (size_t)(strstr(err.text, ": ") - err.text);
            MR_EXPECT_EQ_UINT((size - shift) % bytes, 0);
            MR_EXPECT_EQ_UINT((strlen(err.text) - size - 2 - shift) % bytes, 0);
        }
    }
}

MR_TEST(status, every_status_has_name_class_and_text)
{
    MR_EXPECT_EQ_STR(mr_status_name(MR_E_CORRUPT), "MR_E_CORRUPT");
    MR_EXPECT_EQ_INT(mr_status_class(MR_OK), MR_CLASS_NONE);
    MR_EXPECT_EQ_INT(mr_status_class(MR_E_NOMEM), MR_CLASS_RETRY);
    MR_EXPECT_EQ_INT(mr_status_class(MR_E_FENCED), MR_CLASS_ABORT);
    MR_EXPECT_EQ_INT(mr_status_class(MR_E_IO), MR_CLASS_FATAL);
    MR_EXPECT_EQ_INT(mr_status_class(MR_E_RECORD), MR_CLASS_USER);
    MR_EXPECT_EQ_STR(mr_status_text(MR_OK), "success");
    MR_EXPECT_EQ_INT(mr_status_class((enum mr_status)(MR_E_TIMED_OUT + 1)), MR_CLASS_FATAL);
    MR_EXPECT_EQ_STR(mr_status_name((enum mr_status)1000), "MR_E_UNKNOWN");
}

MR_TEST(status, out_of_memory_says_who_how_much_and_what_to_do)
{
    struct mr_error err;

    MR_EXPECT_EQ_INT(mr_error_nomem(&err, "operator 'sort'", 4096), MR_E_NOMEM);
    MR_EXPECT_CONTAINS(err.text, "operator 'sort'");
    MR_EXPECT_CONTAINS(err.text, "4096");
    MR_EXPECT_CONTAINS(err.text, "--memory");
}
