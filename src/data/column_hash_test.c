/* column_hash_test.c - the loops against the one hash of the house, value by value. */
#include "base/hash.h"
#include "data/data_test_helper.h"

#include <math.h>

/* The contract of base/hash.h in its simplest words. */
static uint64_t expected_hash(const struct mr_column *column, uint32_t row)
{
    enum mr_layout layout = mr_type_layout((enum mr_type)column->type);
    struct mr_bytes bytes;
    uint64_t hash;

    if (!mr_column_valid(column, row)) return MR_HASH_NULL;
    if (layout == MR_LAYOUT_F32 || layout == MR_LAYOUT_F64) {
        return mr_hash_float64(mr_column_float64(column, row));
    }
    if (layout == MR_LAYOUT_I128) return mr_hash_int128(mr_column_int128(column, row));
    if (layout == MR_LAYOUT_VIEW) {
        bytes = mr_column_bytes(column, row);
        return mr_hash_bytes(bytes.data, bytes.size_bytes);
    }
    if (layout == MR_LAYOUT_STRUCT) {
        hash = mr_hash_int64(column->child_count);
        for (uint32_t k = 0; k < column->child_count; k++) {
            hash = mr_hash_combine(hash, expected_hash(&column->children[k], row));
        }
        return hash;
    }
    if (layout == MR_LAYOUT_LIST) {
        const uint32_t *range = (const uint32_t *)column->values + row;

        hash = mr_hash_int64((int64_t)range[1] - range[0]);
        for (uint32_t i = range[0]; i < range[1]; i++) {
            for (uint32_t k = 0; k < column->child_count; k++) {
                hash = mr_hash_combine(hash, expected_hash(&column->children[k], i));
            }
        }
        return hash;
    }
    return mr_hash_int64(mr_column_int64(column, row));
}

#define ROWS 2500u /* more than two steps of a row list */

static void check_column(const struct mr_column *column, const uint32_t *rows, uint32_t count)
{
    static uint64_t hashes[ROWS], combined[ROWS];

    mr_column_hash(column, rows, count, hashes);
    for (uint32_t i = 0; i < count; i++) {
        MR_EXPECT_EQ_UINT(hashes[i], expected_hash(column, rows != NULL ? rows[i] : i));
        combined[i] = i;
    }
    mr_column_hash_combine(column, rows, count, combined);
    for (uint32_t i = 0; i < count; i++) {
        MR_EXPECT_EQ_UINT(combined[i], mr_hash_combine(i, hashes[i]));
    }
}

MR_TEST(column_hash, agrees_with_the_canonical_hash_for_every_type)
{
    static char *lines[ROWS];
    static uint32_t rows[ROWS];
    struct mr_schema *schema = mr_data_schema(MR_DATA_ALL_TYPES);
    struct mr_data_test t;
    struct mr_prng prng;
    struct mr_batch *batch;
    char *text;

    mr_data_test_open(&t);
    mr_prng_init(&prng, 1, 1);
    mr_data_random_rows(&prng, schema, lines, ROWS);
    text = mr_data_join(lines, NULL, ROWS);
    batch = mr_data_batch(&t.quota, schema, text);
    for (uint32_t i = 0; i < ROWS; i++) rows[i] = (uint32_t)mr_prng_below(&prng, ROWS);
    for (uint32_t c = 0; c < schema->column_count; c++) {
        check_column(&batch->columns[c], NULL, ROWS);
        check_column(&batch->columns[c], rows, ROWS);
        check_column(&batch->columns[c], rows, 0);
    }
    free(text);
    mr_data_random_free(lines, ROWS);
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* Every length up to 40, without nulls: short texts are hashed by code of their own. */
MR_TEST(column_hash, agrees_for_texts_of_every_length)
{
    struct mr_schema *schema = mr_data_schema("a utf8");
    struct mr_data_printer p = {NULL, 0, 0};
    struct mr_data_test t;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    for (uint32_t size = 0; size <= 40; size++) {
        for (uint32_t i = 0; i < size; i++) {
            char byte = (char)(i * 37 + size * 11 + 200);

            mr_data_put_text(&p, (struct mr_bytes){&byte, 1}, false);
        }
        mr_data_put(&p, "\n", 1);
    }
    batch = mr_data_batch(&t.quota, schema, p.data);
    check_column(&batch->columns[0], NULL, batch->row_count);
    free(p.data);
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

MR_TEST(column_hash, equal_values_of_different_widths_and_encodings_hash_alike)
{
    static const int8_t narrow[] = {-5, 7};
    static const int64_t wide[] = {-5, 7};
    static const uint32_t indices[] = {1, 0, 1};
    static const uint64_t valid = 5, none = 0;
    struct mr_column eight = {.type = MR_INT8, .values = narrow};
    struct mr_column sixty_four = {.type = MR_INT64, .values = wide};
    struct mr_column dict = {.type = MR_INT64,
                             .encoding = MR_DICT,
                             .values = indices,
                             .validity = &valid,
                             .children = &sixty_four,
                             .child_rows = 2};
    struct mr_column constant = {.type = MR_INT64, .encoding = MR_CONST, .values = wide};
    uint64_t a[3], b[3];

    mr_column_hash(&eight, NULL, 2, a);
    mr_column_hash(&sixty_four, NULL, 2, b);
    MR_EXPECT_EQ_UINT(a[0], b[0]);
    MR_EXPECT_EQ_UINT(a[1], b[1]);
    mr_column_hash(&dict, NULL, 3, a);
    MR_EXPECT_EQ_UINT(a[0], b[1]);
    MR_EXPECT_EQ_UINT(a[1], MR_HASH_NULL);
    mr_column_hash(&constant, NULL, 3, a);
    MR_EXPECT_EQ_UINT(a[2], b[0]);
    constant.validity = &none;
    mr_column_hash(&constant, NULL, 3, a);
    MR_EXPECT_EQ_UINT(a[2], MR_HASH_NULL);
}

/* A null's view may hold anything, also what points nowhere. */
MR_TEST(column_hash, the_view_of_a_null_is_not_followed)
{
    struct mr_view views[2] = {mr_view_make("abc", 3, 0, 0), {.size_bytes = 1000}};
    static const uint64_t valid = 1;
    struct mr_column column = {.type = MR_UTF8, .values = views, .validity = &valid};
    uint64_t hashes[2];

    views[1].u.far.buffer = 99;
    mr_column_hash(&column, NULL, 2, hashes);
    MR_EXPECT_EQ_UINT(hashes[0], mr_hash_bytes("abc", 3));
    MR_EXPECT_EQ_UINT(hashes[1], MR_HASH_NULL);
}
