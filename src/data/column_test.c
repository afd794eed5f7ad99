/* column_test.c - one value at a time, through every encoding. */
#include "data/column.h"
#include "data/data_test_helper.h"

#include <math.h>

/* Every type and both bounds through the accessors; the printer of the helper uses no other way. */
MR_TEST(column, accessors_read_back_what_was_written)
{
    static const char *const rows =
        "true|-128|-32768|-2147483648|-9223372036854775808|0.5|-1e+300|-12345.678|abc|"
        "twelve bytes|-1|0|1|2|3|[a,NULL]|{1,x,[true,NULL]}|[k:1,l:NULL]\n"
        "false|127|32767|2147483647|9223372036854775807|inf|nan|0.001||thirteen byte|99999|"
        "86399999999|-5|-6|-7|[]|{NULL,NULL,[]}|[]\n"
        "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|"
        "NULL\n";
    struct mr_schema *schema = mr_data_schema(MR_DATA_ALL_TYPES);
    struct mr_data_test t;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    batch = mr_data_batch(&t.quota, schema, rows);
    MR_EXPECT_EQ_STR(mr_data_print(batch), rows);
    MR_EXPECT_EQ_INT(mr_column_int64(&batch->columns[1], 0), INT8_MIN);
    MR_EXPECT(mr_column_int128(&batch->columns[4], 1) == INT64_MAX);
    MR_EXPECT(mr_column_int128(&batch->columns[7], 0) == -12345678);
    MR_EXPECT(mr_column_bool(&batch->columns[0], 0) && !mr_column_bool(&batch->columns[0], 1));
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

MR_TEST(column, encodings_give_the_same_values)
{
    static const int64_t values[] = {10, 20, 30};
    static const uint32_t indices[] = {2, 0, 0, 1};
    static const uint64_t valid = 0xd; /* row 1 is null */
    static const uint64_t none = 0;
    struct mr_column flat = {.type = MR_INT64, .values = values};
    struct mr_column dict = {.type = MR_INT64,
                             .encoding = MR_DICT,
                             .values = indices,
                             .validity = &valid,
                             .children = &flat,
                             .child_count = 1,
                             .child_rows = 3};
    struct mr_column constant = {.type = MR_INT64, .encoding = MR_CONST, .values = values};

    MR_EXPECT_EQ_INT(mr_column_int64(&dict, 0), 30);
    MR_EXPECT(mr_column_valid(&dict, 0) && !mr_column_valid(&dict, 1));
    MR_EXPECT_EQ_INT(mr_column_int64(&dict, 3), 20);
    MR_EXPECT_EQ_INT(mr_column_int64(&constant, 12345), 10);
    MR_EXPECT(mr_column_valid(&constant, 64000));
    constant.validity = &none;
    MR_EXPECT(!mr_column_valid(&constant, 64000));
    MR_EXPECT_EQ_INT(mr_column_compare(&dict, 3, &flat, 1), 0);
    MR_EXPECT_EQ_INT(mr_column_compare(&dict, 2, &dict, 0), -1);
}

/* Each line is sorted; every pair in it must compare by position. Equal neighbours: one group. */
MR_TEST(column, compares_by_value)
{
    static const struct {
        const char *schema, *rows;
    } lines[] = {
        {"a bool", "false\ntrue\n"},
        {"a int8", "-128\n-1\n0\n127\n"},
        {"a int64", "-9223372036854775808\n-1\n0\n1\n9223372036854775807\n"},
        {"a float64", "-inf\n-1.5\n0\n1e-300\n2\ninf\nnan\n"},
        {"a float32", "-inf\n-1.5\n0\n2\ninf\nnan\n"},
        {"a decimal(38,2)", "-99999999999999999999999999999999.99\n-0.01\n0.00\n0.01\n1.00\n"},
        {"a utf8", "\n\\x00\n\\x00\\x00\na\na\\x00\nab\nabcabcabcabc\nabcabcabcabcd\nb\n\\xff\n"},
        {"a list<int64>", "[]\n[NULL]\n[NULL,1]\n[1]\n[1,NULL]\n[1,2]\n[2]\n"},
        {"a struct<x int8, y utf8>", "{NULL,NULL}\n{NULL,a}\n{1,NULL}\n{1,a}\n{1,b}\n{2,NULL}\n"},
        {"a map<utf8, int8>", "[]\n[a:NULL]\n[a:1]\n[a:1,b:0]\n[a:2]\n[b:0]\n"},
    };
    struct mr_data_test t;

    mr_data_test_open(&t);
    for (size_t i = 0; i < MR_COUNT(lines); i++) {
        struct mr_schema *schema = mr_data_schema(lines[i].schema);
        struct mr_batch *batch = mr_data_batch(&t.quota, schema, lines[i].rows);

        for (uint32_t l = 0; l < batch->row_count; l++) {
            for (uint32_t r = 0; r < batch->row_count; r++) {
                int order = mr_column_compare(&batch->columns[0], l, &batch->columns[0], r);

                MR_EXPECT_EQ_INT(order, (l > r) - (l < r));
            }
        }
        mr_batch_release(batch);
        mr_schema_release(schema);
    }
    mr_data_test_close(&t);
}

MR_TEST(column, minus_zero_equals_zero_and_all_nans_are_one)
{
    double values[4] = {0.0, -0.0, (double)NAN, -(double)NAN};
    struct mr_column column = {.type = MR_FLOAT64, .values = values};

    MR_EXPECT_EQ_INT(mr_column_compare(&column, 0, &column, 1), 0);
    MR_EXPECT_EQ_INT(mr_column_compare(&column, 2, &column, 3), 0);
    MR_EXPECT_EQ_INT(mr_column_compare(&column, 3, &column, 1), 1);
}
