/* lane_test.c - single elements: overwriting, nested values, chunks of texts. */
#include "data/data_test_helper.h"

static struct mr_builder *builder_for(const struct mr_schema *schema, struct mr_quota *quota)
{
    struct mr_builder *builder;
    struct mr_error err;

    MR_EXPECT_OK(mr_builder_create(mr_test_heap(), schema, 0, 1000, quota, &builder, &err), &err);
    return builder;
}

/* set_from copies element by element what append copies by column: both agree with the text. */
MR_TEST(lane, elements_of_any_type_are_copied_one_by_one)
{
    enum { ROWS = 400 };
    static char *lines[ROWS];
    struct mr_schema *schema = mr_data_schema(MR_DATA_ALL_TYPES);
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *batch, *copy;
    struct mr_prng prng;
    char *text;

    mr_data_test_open(&t);
    mr_prng_init(&prng, 21, 1);
    mr_data_random_rows(&prng, schema, lines, ROWS);
    text = mr_data_join(lines, NULL, ROWS);
    batch = mr_data_batch(&t.quota, schema, text);
    builder = builder_for(schema, &t.quota);
    for (uint32_t i = 0; i < ROWS; i++) {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        for (uint32_t c = 0; c < schema->column_count; c++) {
            MR_EXPECT_EQ_INT(mr_builder_set_from(builder, c, &batch->columns[c], i), MR_BUILD_OK);
        }
        mr_builder_commit_row(builder);
    }
    copy = mr_builder_take(builder);
    mr_batch_release(batch);
    MR_EXPECT_EQ_STR(mr_data_print(copy), text);
    free(text);
    mr_data_random_free(lines, ROWS);
    mr_batch_release(copy);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* A nested value of an abandoned row has left elements in the children. */
MR_TEST(lane, children_of_an_abandoned_row_are_overwritten)
{
    struct mr_schema *schema =
        mr_data_schema("a list<list<utf8>>, b struct<x int64, y list<bool>>");
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *batch, *copy;

    mr_data_test_open(&t);
    batch = mr_data_batch(&t.quota, schema,
                          "[[a,b],NULL,[]]|{1,[true,NULL]}\n[[NULL]]|{NULL,NULL}\nNULL|NULL\n");
    builder = builder_for(schema, &t.quota);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
            for (uint32_t c = 0; c < 2; c++) {
                MR_EXPECT_EQ_INT(
                    mr_builder_set_from(builder, c, &batch->columns[c], (i + k + 1) % 3),
                    MR_BUILD_OK);
            }
            if (k < 2) mr_builder_abandon_row(builder);
            if (k == 2) mr_builder_commit_row(builder);
        }
    }
    copy = mr_builder_take(builder);
    MR_EXPECT_EQ_STR(mr_data_print(copy), mr_data_print(batch));
    MR_EXPECT_EQ_UINT(copy->columns[0].child_rows, 4);
    MR_EXPECT_EQ_UINT(copy->columns[0].children[0].child_rows, 3);
    mr_batch_release(copy);
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* The elements of all lists of a batch must fit one column. */
MR_TEST(lane, a_list_beyond_the_limit_of_elements_is_refused)
{
    struct mr_schema *schema = mr_data_schema("a list<int8>");
    struct mr_data_test t;
    struct mr_builder *builder;
    uint32_t first;

    mr_data_test_open(&t);
    builder = builder_for(schema, &t.quota);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(
        mri_lane_list(builder, mri_builder_lane(builder, 0), 0, MR_BATCH_ROWS_MAX + 1, &first),
        MR_BUILD_TOO_LARGE);
    MR_EXPECT_EQ_INT(
        mri_lane_list(builder, mri_builder_lane(builder, 0), 0, MR_BATCH_ROWS_MAX - 5, &first),
        MR_BUILD_OK);
    mri_builder_mark(builder, mri_builder_lane(builder, 0));
    for (uint32_t i = 0; i < MR_BATCH_ROWS_MAX - 5; i++) {
        mri_lane_int64(&mri_builder_lane(builder, 0)->children[0], i, 1);
    }
    mr_builder_commit_row(builder);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mri_lane_list(builder, mri_builder_lane(builder, 0), 1, 6, &first),
                     MR_BUILD_FULL);
    MR_EXPECT_EQ_INT(mri_lane_list(builder, mri_builder_lane(builder, 0), 1, 5, &first),
                     MR_BUILD_OK);
    MR_EXPECT_EQ_UINT(first, MR_BATCH_ROWS_MAX - 5);
    mr_builder_abandon_row(builder);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* Columns share chunks: ten text columns with one far text each take one chunk, not ten. */
MR_TEST(lane, text_columns_share_their_chunks)
{
    struct mr_schema *schema = mr_data_schema(
        "a utf8, b utf8, c utf8, d utf8, e utf8, f utf8, g utf8, h utf8, i utf8, j utf8");
    const char *text = "a text that is far";
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    builder = builder_for(schema, &t.quota);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    for (uint32_t c = 0; c < 10; c++) {
        MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, c, text, 18), MR_BUILD_OK);
    }
    mr_builder_commit_row(builder);
    batch = mr_builder_take(builder);
    for (uint32_t c = 0; c < 10; c++) {
        MR_EXPECT_EQ_UINT(batch->columns[c].buffer_count, 1);
        MR_EXPECT(batch->columns[c].buffers[0] == batch->columns[0].buffers[0]);
        MR_EXPECT_EQ_TEXT(mr_column_bytes(&batch->columns[c], 0).data, 18, text);
    }
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* One batch leaves room in its quota for the next one. */
MR_TEST(lane, a_batch_of_long_texts_stops_at_a_quarter_of_its_quota)
{
    static char text[10000];
    struct mr_schema *schema = mr_data_schema("a utf8");
    struct mr_data_test t;
    struct mr_quota quota;
    struct mr_builder *builder;
    struct mr_batch *batch;
    uint32_t rows = 0;
    bool full = false;

    mr_data_test_open(&t);
    memset(text, 'q', sizeof text);
    mr_quota_init(&quota, t.pool, "channel", 4 * 1024 * 1024);
    builder = builder_for(schema, &quota);
    while (!full) {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        full = mr_builder_set_bytes(builder, 0, text, sizeof text) == MR_BUILD_FULL;
        if (full)
            mr_builder_abandon_row(builder);
        else
            mr_builder_commit_row(builder);
        rows += !full;
    }
    MR_EXPECT(rows > 50 && rows < 200);
    batch = mr_builder_take(builder);
    MR_EXPECT(mr_batch_own_bytes(batch) < 2 * 1024 * 1024);
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}
