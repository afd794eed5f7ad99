/* column.c - see column.h. Row-wise access and comparison; hashing is in column_hash.c. */
#include "data/column.h"
#include "base/assert.h"
#include "data/data_internal.h"

#include <string.h>

/* ---- looking through encodings ---- */

const struct mr_column *mri_resolve_one(const struct mr_column *column, uint32_t *row)
{
    switch ((enum mr_encoding)column->encoding) {
    case MR_FLAT: return column;
    case MR_CONST: *row = 0; return column;
    case MR_DICT: *row = ((const uint32_t *)column->values)[*row]; return column->children;
    }
    MR_UNREACHABLE();
}

struct mri_elements mri_resolve(const struct mr_column *column, const uint32_t *rows,
                                uint32_t first, uint32_t count, uint32_t *scratch)
{
    mr_assert(count <= MRI_STEP_ROWS);
    switch ((enum mr_encoding)column->encoding) {
    case MR_FLAT:
        if (rows != NULL) return (struct mri_elements){column, rows + first};
        if (first == 0) return (struct mri_elements){column, NULL};
        for (uint32_t i = 0; i < count; i++) scratch[i] = first + i;
        return (struct mri_elements){column, scratch};
    case MR_CONST:
        memset(scratch, 0, count * sizeof *scratch);
        return (struct mri_elements){column, scratch};
    case MR_DICT: {
        const uint32_t *indices = column->values;

        mr_assert(column->children->encoding == MR_FLAT);
        for (uint32_t i = 0; i < count; i++) {
            scratch[i] = indices[rows != NULL ? rows[first + i] : first + i];
        }
        return (struct mri_elements){column->children, scratch};
    }
    }
    MR_UNREACHABLE();
}

/* ---- one value ---- */

static int64_t flat_int64(const struct mr_column *column, uint32_t row)
{
    const void *values = column->values;

    switch (mr_type_layout((enum mr_type)column->type)) {
    case MR_LAYOUT_BIT: return mr_bit_get(values, row);
    case MR_LAYOUT_I8: return ((const int8_t *)values)[row];
    case MR_LAYOUT_I16: return ((const int16_t *)values)[row];
    case MR_LAYOUT_I32: return ((const int32_t *)values)[row];
    case MR_LAYOUT_I64: return ((const int64_t *)values)[row];
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_I128:
    case MR_LAYOUT_VIEW:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
    MR_UNREACHABLE();
}

static mr_i128 flat_int128(const struct mr_column *column, uint32_t row)
{
    mr_i128 value;

    if (column->type != MR_DECIMAL) return flat_int64(column, row);
    memcpy(&value, (const char *)column->values + (size_t)row * sizeof value, sizeof value);
    return value;
}

static double flat_float64(const struct mr_column *column, uint32_t row)
{
    if (column->type == MR_FLOAT32) return (double)((const float *)column->values)[row];
    mr_assert(column->type == MR_FLOAT64);
    return ((const double *)column->values)[row];
}

static struct mr_bytes flat_bytes(const struct mr_column *column, uint32_t row)
{
    mr_assert(mr_type_is_text((enum mr_type)column->type));
    return mr_view_bytes(column, &mri_views(column)[row]);
}

int64_t mr_column_int64(const struct mr_column *column, uint32_t row)
{
    column = mri_resolve_one(column, &row);
    return flat_int64(column, row);
}

double mr_column_float64(const struct mr_column *column, uint32_t row)
{
    column = mri_resolve_one(column, &row);
    return flat_float64(column, row);
}

mr_i128 mr_column_int128(const struct mr_column *column, uint32_t row)
{
    column = mri_resolve_one(column, &row);
    return flat_int128(column, row);
}

bool mr_column_bool(const struct mr_column *column, uint32_t row)
{
    mr_assert(column->type == MR_BOOL);
    return mr_column_int64(column, row) != 0;
}

struct mr_bytes mr_column_bytes(const struct mr_column *column, uint32_t row)
{
    column = mri_resolve_one(column, &row);
    return flat_bytes(column, row);
}

/* ---- comparison ---- */

static int compare_floats(double left, double right)
{
    bool left_nan = left != left, right_nan = right != right;

    if (left_nan || right_nan) return (int)left_nan - (int)right_nan;
    return (left > right) - (left < right);
}

static int compare_bytes(struct mr_bytes left, struct mr_bytes right)
{
    size_t common = MR_MIN(left.size_bytes, right.size_bytes);
    int order = common == 0 ? 0 : memcmp(left.data, right.data, common);

    if (order != 0) return order < 0 ? -1 : 1;
    return (left.size_bytes > right.size_bytes) - (left.size_bytes < right.size_bytes);
}

/* Inside nested values nulls are values: lower than all others, equal to each other. */
static int compare_nullable(const struct mr_column *left, uint32_t left_row,
                            const struct mr_column *right, uint32_t right_row)
{
    bool left_valid = mr_column_valid(left, left_row);
    bool right_valid = mr_column_valid(right, right_row);

    if (!left_valid || !right_valid) return (int)left_valid - (int)right_valid;
    return mr_column_compare(left, left_row, right, right_row);
}

static int compare_structs(const struct mr_column *left, uint32_t left_row,
                           const struct mr_column *right, uint32_t right_row)
{
    for (uint32_t i = 0; i < left->child_count; i++) {
        int order = compare_nullable(&left->children[i], left_row, &right->children[i], right_row);

        if (order != 0) return order;
    }
    return 0;
}

static int compare_lists(const struct mr_column *left, uint32_t left_row,
                         const struct mr_column *right, uint32_t right_row)
{
    uint32_t left_at = mri_offsets(left)[left_row];
    uint32_t right_at = mri_offsets(right)[right_row];
    uint32_t left_count = mri_offsets(left)[left_row + 1] - left_at;
    uint32_t right_count = mri_offsets(right)[right_row + 1] - right_at;

    for (uint32_t i = 0; i < left_count && i < right_count; i++) {
        for (uint32_t k = 0; k < left->child_count; k++) {
            int order = compare_nullable(&left->children[k], left_at + i, &right->children[k],
                                         right_at + i);

            if (order != 0) return order;
        }
    }
    return (left_count > right_count) - (left_count < right_count);
}

int mr_column_compare(const struct mr_column *left, uint32_t left_row,
                      const struct mr_column *right, uint32_t right_row)
{
    mr_assert(left->type == right->type);
    left = mri_resolve_one(left, &left_row);
    right = mri_resolve_one(right, &right_row);
    switch (mr_type_layout((enum mr_type)left->type)) {
    case MR_LAYOUT_BIT:
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64: {
        int64_t l = flat_int64(left, left_row), r = flat_int64(right, right_row);

        return (l > r) - (l < r);
    }
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
        return compare_floats(flat_float64(left, left_row), flat_float64(right, right_row));
    case MR_LAYOUT_I128: {
        mr_i128 l = flat_int128(left, left_row), r = flat_int128(right, right_row);

        return (l > r) - (l < r);
    }
    case MR_LAYOUT_VIEW:
        return compare_bytes(flat_bytes(left, left_row), flat_bytes(right, right_row));
    case MR_LAYOUT_LIST: return compare_lists(left, left_row, right, right_row);
    case MR_LAYOUT_STRUCT: return compare_structs(left, left_row, right, right_row);
    case MR_LAYOUT_NONE: break;
    }
    MR_UNREACHABLE();
}
