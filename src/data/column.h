/* column.h - a view of one column: type, encoding, validity, values, children. Owns nothing.
 *
 * The layout is Arrow's: bit-packed booleans and validity (1 = valid, least significant bit first),
 * little-endian fixed-width values, 16-byte string views, uint32 list offsets. A column has no
 * offset: element i of the column is element i of its arrays. Arrays are 64-byte aligned and may be
 * read up to the next multiple of 64 bytes (padding is allocated, contents there are undefined).
 *
 * Encodings: FLAT has one value per row. CONST has one value (element 0, validity bit 0) that holds
 * for every row. DICT has one uint32 index per row into `children[0]` (a FLAT column of the same
 * type); validity is of the indices.
 *
 * A null's value bytes are defined but meaningless (kernels may compute on them; they must not
 * fail because of them). What gives the column its shape holds for nulls too: list offsets ascend,
 * dictionary indices lie in the dictionary (which has at least one value). A null's view must not
 * be followed.
 *
 * Owns:    none: memory belongs to the batch that the column is part of.
 * Thread:  immutable once its batch is published.
 * Fails:   none.
 * Cost:    constant.
 */
#ifndef MR_DATA_COLUMN_H
#define MR_DATA_COLUMN_H

#include "base/bitset.h"
#include "data/type.h"
#include <millrace/function.h> /* struct mr_view, mr_view_make: part of the public face */

enum mr_encoding { MR_FLAT = 0, MR_CONST = 1, MR_DICT = 2 };

struct mr_column {
    uint8_t type;     /* enum mr_type */
    uint8_t encoding; /* enum mr_encoding */
    uint8_t precision;
    uint8_t scale;
    uint32_t buffer_count; /* views only */
    uint32_t child_count;
    uint32_t child_rows;      /* elements in each child of a LIST, or in the dictionary of a DICT */
    const uint64_t *validity; /* NULL: no nulls */
    const void *values;       /* by layout; DICT: uint32 indices; STRUCT: NULL */
    const char *const *buffers; /* far views point here; each buffer is at most 4 GiB */
    const struct mr_column *children;
};

MR_INLINE bool mr_column_valid(const struct mr_column *column, uint32_t row)
{
    if (column->validity == NULL) return true;
    return mr_bit_get(column->validity, column->encoding == MR_CONST ? 0 : row);
}

MR_INLINE const char *mr_view_data(const struct mr_column *column, const struct mr_view *view)
{
    if (view->size_bytes <= MR_VIEW_INLINE) return view->u.inlined;
    return column->buffers[view->u.far.buffer] + view->u.far.offset;
}

MR_INLINE struct mr_bytes mr_view_bytes(const struct mr_column *column, const struct mr_view *view)
{
    return (struct mr_bytes){mr_view_data(column, view), view->size_bytes};
}

/* Row-wise access that resolves every encoding; for cold paths, edges and tests. The value of a
 * null row is unspecified. */
int64_t mr_column_int64(const struct mr_column *column,
                        uint32_t row); /* any I8..I64 layout, bool */
double mr_column_float64(const struct mr_column *column, uint32_t row); /* F32, F64 */
mr_i128 mr_column_int128(const struct mr_column *column, uint32_t row); /* I128 and integers */
bool mr_column_bool(const struct mr_column *column, uint32_t row);
struct mr_bytes mr_column_bytes(const struct mr_column *column, uint32_t row); /* texts */

/* The canonical hash of each of `rows` rows (base/hash.h); `rows_at` NULL means rows 0..count-1. */
void mr_column_hash(const struct mr_column *column, const uint32_t *rows_at, uint32_t count,
                    uint64_t *out);
/* Folds another key column into hashes made by mr_column_hash. */
void mr_column_hash_combine(const struct mr_column *column, const uint32_t *rows_at, uint32_t count,
                            uint64_t *inout);

/* Three-way comparison of two non-null values of columns with the same type: numbers by value with
 * NaN above all others and -0 equal to 0, texts by bytes. */
int mr_column_compare(const struct mr_column *left, uint32_t left_row,
                      const struct mr_column *right, uint32_t right_row);

#endif
