/* type_test.c - the one table of types. */
#include "data/type.h"
#include "mr_test.h"

MR_TEST(type, widths_agree_with_arrow)
{
    static const struct {
        enum mr_type type;
        enum mr_layout layout;
        uint32_t bytes;
        const char *name;
    } rows[] = {
        {MR_BOOL, MR_LAYOUT_BIT, 0, "bool"},
        {MR_INT8, MR_LAYOUT_I8, 1, "int8"},
        {MR_INT16, MR_LAYOUT_I16, 2, "int16"},
        {MR_INT32, MR_LAYOUT_I32, 4, "int32"},
        {MR_INT64, MR_LAYOUT_I64, 8, "int64"},
        {MR_FLOAT32, MR_LAYOUT_F32, 4, "float32"},
        {MR_FLOAT64, MR_LAYOUT_F64, 8, "float64"},
        {MR_DECIMAL, MR_LAYOUT_I128, 16, "decimal"},
        {MR_UTF8, MR_LAYOUT_VIEW, 16, "utf8"},
        {MR_BINARY, MR_LAYOUT_VIEW, 16, "binary"},
        {MR_DATE, MR_LAYOUT_I32, 4, "date"},
        {MR_TIME, MR_LAYOUT_I64, 8, "time"},
        {MR_TIMESTAMP, MR_LAYOUT_I64, 8, "timestamp"},
        {MR_TIMESTAMP_LTZ, MR_LAYOUT_I64, 8, "timestamp_ltz"},
        {MR_INTERVAL, MR_LAYOUT_I64, 8, "interval"},
        {MR_LIST, MR_LAYOUT_LIST, 4, "list"},
        {MR_STRUCT, MR_LAYOUT_STRUCT, 0, "struct"},
        {MR_MAP, MR_LAYOUT_LIST, 4, "map"},
    };

    for (size_t i = 0; i < MR_COUNT(rows); i++) {
        MR_EXPECT_EQ_INT(mr_type_layout(rows[i].type), rows[i].layout);
        MR_EXPECT_EQ_UINT(mr_layout_bytes(rows[i].layout), rows[i].bytes);
        MR_EXPECT_EQ_STR(mr_type_name(rows[i].type), rows[i].name);
    }
}

MR_TEST(type, classes_hold_what_their_names_say)
{
    uint32_t integers = 0, floats = 0, numbers = 0, texts = 0, times = 0;

    for (int type = MR_TYPE_NONE; type <= MR_MAP; type++) {
        integers += mr_type_is_integer((enum mr_type)type);
        floats += mr_type_is_float((enum mr_type)type);
        numbers += mr_type_is_numeric((enum mr_type)type);
        texts += mr_type_is_text((enum mr_type)type);
        times += mr_type_is_time((enum mr_type)type);
    }
    MR_EXPECT_EQ_UINT(integers, 4);
    MR_EXPECT_EQ_UINT(floats, 2);
    MR_EXPECT_EQ_UINT(numbers, 7);
    MR_EXPECT_EQ_UINT(texts, 2);
    MR_EXPECT_EQ_UINT(times, 2);
    MR_EXPECT(mr_type_is_integer(MR_INT8) && mr_type_is_integer(MR_INT64));
    MR_EXPECT(mr_type_is_numeric(MR_DECIMAL) && !mr_type_is_numeric(MR_BOOL));
    MR_EXPECT(!mr_type_is_integer(MR_DATE) && mr_type_is_time(MR_TIMESTAMP_LTZ));
}

/* Numbers of types come from stored plans and from users. */
MR_TEST(type, an_unknown_number_is_answered_not_followed)
{
    MR_EXPECT_EQ_INT(mr_type_layout((enum mr_type)19), MR_LAYOUT_NONE);
    MR_EXPECT_EQ_INT(mr_type_layout((enum mr_type) - 1), MR_LAYOUT_NONE);
    MR_EXPECT_EQ_STR(mr_type_name((enum mr_type)1000), "unknown");
    MR_EXPECT_EQ_UINT(mr_layout_bytes((enum mr_layout)99), 0);
}
