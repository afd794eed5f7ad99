/* text_test.c */
#include "base/text.h"
#include "mr_test.h"

MR_TEST(text, everything_appended_is_there_in_order)
{
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 0);
    MR_EXPECT_EQ_STR(mr_text_get(&text), "");
    mr_text_add(&text, "a");
    mr_text_add_char(&text, '=');
    mr_text_add_int(&text, INT64_MIN);
    mr_text_add_repeat(&text, ' ', 3);
    mr_text_add_uint(&text, UINT64_MAX);
    mr_text_add_bytes(&text, "xyz", 2);
    mr_text_format(&text, " %s:%d", "f", 7);
    MR_EXPECT_EQ_STR(mr_text_get(&text), "a=-9223372036854775808   18446744073709551615xy f:7");
    MR_EXPECT_OK(mr_text_status(&text), NULL);
    mr_text_clear(&text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), "");
    mr_text_fini(&text);
}

MR_TEST(text, a_long_format_is_not_cut)
{
    struct mr_text text;
    char longer[1000];

    memset(longer, 'q', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    mr_text_init(&text, mr_test_heap(), 0);
    mr_text_format(&text, "[%s]", longer);
    MR_EXPECT_EQ_UINT(text.size_bytes, 1001);
    MR_EXPECT_EQ_INT(mr_text_get(&text)[1000], ']');
    mr_text_fini(&text);
}

MR_TEST(text, quoted_strings_are_valid_json)
{
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 0);
    mr_text_add_quoted(&text, "a\"b\\c\n\t\r\0\x1f\x7f\xc3\xa9", 13);
    MR_EXPECT_EQ_STR(mr_text_get(&text), "\"a\\\"b\\\\c\\n\\t\\r\\u0000\\u001f\\u007f\xc3\xa9\"");
    mr_text_fini(&text);
}

/* Around the size of the buffer that short formats go through. */
MR_TEST(text, a_format_of_any_length_is_whole)
{
    for (int size = 250; size < 260; size++) {
        struct mr_text text;

        mr_text_init(&text, mr_test_heap(), 0);
        mr_text_format(&text, "%0*d", size, 7);
        MR_EXPECT_EQ_UINT(text.size_bytes, size);
        MR_EXPECT_EQ_UINT(strlen(mr_text_get(&text)), size);
        MR_EXPECT_EQ_INT(mr_text_get(&text)[size - 1], '7');
        mr_text_fini(&text);
    }
}

/* A bound is part of the type: an explain of a huge plan is cut, and says so. */
MR_TEST(text, at_its_limit_the_text_stays_as_it_is)
{
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 5);
    mr_text_add(&text, "abc");
    MR_EXPECT_OK(mr_text_status(&text), NULL);
    mr_text_add(&text, "defg");
    mr_text_add(&text, "h");
    MR_EXPECT_STATUS(mr_text_status(&text), MR_E_LIMIT);
    MR_EXPECT_EQ_STR(mr_text_get(&text), "abcde");
    mr_text_fini(&text);
}

MR_TEST(text, lost_text_is_never_unnoticed)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_text text;

        mr_text_init(&text, heap, 0);
        for (int i = 0; i < 100; i++) mr_text_add(&text, "0123456789");
        mr_text_format(&text, "%500d", 1);
        if (mr_text_status(&text) == MR_OK) MR_EXPECT_EQ_UINT(text.size_bytes, 1500);
        MR_EXPECT_EQ_INT(mr_text_status(&text), mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_text_fini(&text);
    }
}
