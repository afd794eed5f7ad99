/* gather_test.c - moving values by row list, against lines of text that were moved as text. */
#include "data/data_test_helper.h"

#define ROWS  1500u
#define PICKS 2100u /* more than two steps */

struct gathered {
    struct mr_data_test t;
    struct mr_schema *schema;
    struct mr_batch *batch;
    char *lines[ROWS];
};

static void open_random(struct gathered *g, uint64_t seed)
{
    struct mr_prng prng;
    char *text;

    mr_data_test_open(&g->t);
    g->schema = mr_data_schema(MR_DATA_ALL_TYPES);
    mr_prng_init(&prng, seed, 1);
    mr_data_random_rows(&prng, g->schema, g->lines, ROWS);
    text = mr_data_join(g->lines, NULL, ROWS);
    g->batch = mr_data_batch(&g->t.quota, g->schema, text);
    MR_EXPECT_EQ_STR(mr_data_print(g->batch), text);
    free(text);
}

static void close_random(struct gathered *g)
{
    mr_batch_release(g->batch);
    mr_schema_release(g->schema);
    mr_data_random_free(g->lines, ROWS);
    mr_data_test_close(&g->t);
}

/* The batch with its columns as they are, all DICT, or all CONST (of `row`). */
static struct mr_batch *encoded(struct gathered *g, enum mr_encoding encoding, uint32_t row,
                                const uint32_t *indices)
{
    uint32_t columns = g->schema->column_count;
    struct mr_batch *out = mr_batch_new(&g->t.quota, columns, 0);

    MR_EXPECT(out != NULL && mr_batch_borrow(out, g->batch));
    for (uint32_t c = 0; c < columns; c++) {
        struct mr_column *column = &out->columns[c];
        const struct mr_column *from = &g->batch->columns[c];

        if (encoding == MR_CONST) {
            MR_EXPECT(mr_column_gather(out, from, &row, 1, column));
            column->encoding = MR_CONST;
        } else {
            uint64_t *validity = mr_batch_bitmap(out, PICKS);

            MR_EXPECT(validity != NULL);
            for (uint32_t i = 0; i < PICKS; i++) {
                mr_bit_assign(validity, i, mr_column_valid(from, indices[i]));
            }
            *column = (struct mr_column){.type = from->type,
                                         .encoding = MR_DICT,
                                         .precision = from->precision,
                                         .scale = from->scale,
                                         .child_count = 1,
                                         .child_rows = ROWS,
                                         .validity = validity,
                                         .values = indices,
                                         .children = from};
        }
    }
    return out;
}

static void expect_gather(struct gathered *g, const struct mr_batch *source, const uint32_t *rows,
                          uint32_t count, const uint32_t *expected_lines)
{
    struct mr_batch *out = mr_batch_new(&g->t.quota, source->column_count, 0);
    char *expected = mr_data_join(g->lines, expected_lines, count);

    for (uint32_t c = 0; c < source->column_count; c++) {
        MR_EXPECT(mr_column_gather(out, &source->columns[c], rows, count, &out->columns[c]));
        MR_EXPECT_EQ_INT(out->columns[c].encoding, MR_FLAT);
    }
    out->row_count = count;
    MR_EXPECT_EQ_STR(mr_data_print(out), expected);
    free(expected);
    mr_batch_release(out);
}

MR_TEST(gather, takes_any_rows_in_any_order_from_every_encoding)
{
    static uint32_t rows[PICKS], indices[PICKS], through[PICKS], constant[PICKS];

    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct gathered g;
        struct mr_batch *dict, *constants;
        struct mr_prng prng;
        uint32_t pick;

        open_random(&g, seed);
        mr_prng_init(&prng, seed, 2);
        pick = (uint32_t)mr_prng_below(&prng, ROWS);
        for (uint32_t i = 0; i < PICKS; i++) {
            rows[i] = (uint32_t)mr_prng_below(&prng, ROWS);
            indices[i] = (uint32_t)mr_prng_below(&prng, ROWS);
            constant[i] = pick;
        }
        for (uint32_t i = 0; i < PICKS; i++) through[i] = indices[rows[i]];
        dict = encoded(&g, MR_DICT, 0, indices);
        constants = encoded(&g, MR_CONST, pick, NULL);
        expect_gather(&g, g.batch, rows, PICKS, rows);
        expect_gather(&g, dict, rows, PICKS, through);
        expect_gather(&g, constants, rows, PICKS, constant);
        expect_gather(&g, g.batch, rows, 0, rows);
        expect_gather(&g, dict, rows, 0, rows);
        mr_batch_release(dict);
        mr_batch_release(constants);
        close_random(&g);
    }
}

MR_TEST(gather, flatten_resolves_encodings_and_leaves_flat_columns_alone)
{
    static uint32_t indices[PICKS];
    struct gathered g;
    struct mr_batch *dict, *out;
    struct mr_prng prng;
    char *expected;

    open_random(&g, 9);
    mr_prng_init(&prng, 9, 2);
    for (uint32_t i = 0; i < PICKS; i++) indices[i] = (uint32_t)mr_prng_below(&prng, ROWS);
    dict = encoded(&g, MR_DICT, 0, indices);
    out = mr_batch_new(&g.t.quota, g.schema->column_count, 0);
    for (uint32_t c = 0; c < g.schema->column_count; c++) {
        MR_EXPECT(mr_column_flatten(out, &dict->columns[c], PICKS, &out->columns[c]));
    }
    out->row_count = PICKS;
    expected = mr_data_join(g.lines, indices, PICKS);
    MR_EXPECT_EQ_STR(mr_data_print(out), expected);
    free(expected);
    MR_EXPECT(mr_column_flatten(out, &g.batch->columns[4], ROWS, &out->columns[4]));
    MR_EXPECT(out->columns[4].values == g.batch->columns[4].values);
    mr_batch_release(out);
    mr_batch_release(dict);
    close_random(&g);
}

/* Kernels without nulls are faster, so a bitmap that says nothing is left out. */
MR_TEST(gather, rows_without_nulls_get_no_bitmap)
{
    static const uint32_t rows[] = {0, 2};
    struct mr_schema *schema = mr_data_schema("a int64");
    struct mr_data_test t;
    struct mr_batch *batch;
    struct mr_column out;

    mr_data_test_open(&t);
    batch = mr_data_batch(&t.quota, schema, "1\nNULL\n3\n");
    MR_EXPECT(batch->columns[0].validity != NULL);
    MR_EXPECT(mr_column_gather(batch, &batch->columns[0], rows, 2, &out));
    MR_EXPECT(out.validity == NULL);
    MR_EXPECT(mr_column_gather(batch, &batch->columns[0], rows + 1, 1, &out));
    MR_EXPECT_EQ_INT(mr_column_int64(&out, 0), 3);
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

MR_TEST(gather, bits_go_to_any_position_and_leave_the_others)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 5, 5);
    for (int round = 0; round < 2000; round++) {
        uint64_t from[8], to[8], before[8];
        uint32_t rows[200];
        uint32_t count = (uint32_t)mr_prng_below(&prng, 200);
        uint32_t at = (uint32_t)mr_prng_below(&prng, 300);
        bool list = mr_prng_below(&prng, 2) == 0;

        for (int i = 0; i < 8; i++) from[i] = mr_prng_next(&prng);
        for (int i = 0; i < 8; i++) before[i] = to[i] = mr_prng_next(&prng);
        for (int i = 0; i < 200; i++)
            rows[i] = list ? (uint32_t)mr_prng_below(&prng, 512) : (uint32_t)i;
        mri_gather_bits(to, at, from, list ? rows : NULL, count);
        for (uint32_t i = 0; i < 512; i++) {
            bool inside = i >= at && i < at + count;
            bool expected = inside ? mr_bit_get(from, rows[i - at]) : mr_bit_get(before, i);

            MR_EXPECT_EQ_INT(mr_bit_get(to, i), expected);
        }
        mri_bits_range(to, at, count, list);
        for (uint32_t i = 0; i < 512; i++) {
            bool inside = i >= at && i < at + count;

            MR_EXPECT_EQ_INT(mr_bit_get(to, i), inside ? list : mr_bit_get(before, i));
        }
    }
}
