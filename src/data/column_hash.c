/* column_hash.c - the canonical hash of columns (base/hash.h), a column at a time.
 *
 * XXH3-64 of up to 16 bytes is written out here once more, so that the loops over integers and
 * short texts need no call per row. The tests hold it against mr_hash_bytes.
 */
#include "base/assert.h"
#include "base/hash.h"
#include "data/data_internal.h"

#include <string.h>

/* ---- XXH3-64 for short inputs, seed 0: words of its secret folded at compile time ---- */

#define FLIP_1_TO_3       UINT64_C(0x87275a9b)
#define FLIP_4_TO_8       UINT64_C(0xc73ab174c5ecd5a2)
#define FLIP_9_TO_16_LOW  UINT64_C(0x6782737bea4239b9)
#define FLIP_9_TO_16_HIGH UINT64_C(0xaf56bc3b0996523a)
#define FLIP_EMPTY        UINT64_C(0x8726f9105dc21ddc)

MR_INLINE uint64_t rotate(uint64_t x, uint32_t by)
{
    return x << by | x >> (64 - by);
}

MR_INLINE uint64_t load32(const char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

MR_INLINE uint64_t load64(const char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

MR_INLINE uint64_t avalanche_tiny(uint64_t h)
{
    h = (h ^ h >> 33) * UINT64_C(0xc2b2ae3d27d4eb4f);
    h = (h ^ h >> 29) * UINT64_C(0x165667b19e3779f9);
    return h ^ h >> 32;
}

/* 4 to 8 bytes, given as (first four << 32) + last four. */
MR_INLINE uint64_t hash_4_to_8(uint64_t folded, uint64_t size_bytes)
{
    uint64_t h = folded ^ FLIP_4_TO_8;

    h ^= rotate(h, 49) ^ rotate(h, 24);
    h *= UINT64_C(0x9fb21c651e98df25);
    h ^= (h >> 35) + size_bytes;
    h *= UINT64_C(0x9fb21c651e98df25);
    return h ^ h >> 28;
}

/* 9 to 16 bytes, given as the first and the last eight. */
MR_INLINE uint64_t hash_9_to_16(uint64_t first, uint64_t last, uint64_t size_bytes)
{
    uint64_t low = first ^ FLIP_9_TO_16_LOW;
    uint64_t high = last ^ FLIP_9_TO_16_HIGH;
    mr_u128 product = (mr_u128)low * high;
    uint64_t h = size_bytes + __builtin_bswap64(low) + high;

    h += (uint64_t)product ^ (uint64_t)(product >> 64);
    h = (h ^ h >> 37) * UINT64_C(0x165667919e3779f9);
    return h ^ h >> 32;
}

MR_INLINE uint64_t hash_0_to_3(const char *data, uint32_t size_bytes)
{
    uint64_t a, b, c;

    if (size_bytes == 0) return avalanche_tiny(FLIP_EMPTY);
    a = (unsigned char)data[0];
    b = (unsigned char)data[size_bytes >> 1];
    c = (unsigned char)data[size_bytes - 1];
    return avalanche_tiny((a << 16 | b << 24 | c | (uint64_t)size_bytes << 8) ^ FLIP_1_TO_3);
}

MR_INLINE uint64_t hash_8(int64_t value)
{
    return hash_4_to_8(rotate((uint64_t)value, 32), 8);
}

MR_INLINE uint64_t hash_16(uint64_t low, uint64_t high)
{
    return hash_9_to_16(low, high, 16);
}

MR_INLINE uint64_t hash_view(const struct mr_column *column, const struct mr_view *view)
{
    const char *data = view->u.inlined;
    uint32_t size_bytes = view->size_bytes;

    if (MR_UNLIKELY(size_bytes > MR_VIEW_INLINE)) {
        return mr_hash_bytes(mr_view_data(column, view), size_bytes);
    }
    if (size_bytes > 8) {
        return hash_9_to_16(load64(data), load64(data + size_bytes - 8), size_bytes);
    }
    if (size_bytes >= 4) {
        return hash_4_to_8((load32(data) << 32) + load32(data + size_bytes - 4), size_bytes);
    }
    return hash_0_to_3(data, size_bytes);
}

/* ---- loops over a flat column ---- */

/* `expression` hashes element `row` of `values`. Two loops: most batches have no row list. */
#define HASH_LOOP(type, expression)                \
    do {                                           \
        const type *values = column->values;       \
        if (rows == NULL) {                        \
            for (uint32_t i = 0; i < count; i++) { \
                uint32_t row = i;                  \
                out[i] = (expression);             \
            }                                      \
        } else {                                   \
            for (uint32_t i = 0; i < count; i++) { \
                uint32_t row = rows[i];            \
                out[i] = (expression);             \
            }                                      \
        }                                          \
    } while (0)

static void hash_nested(const struct mr_column *column, const uint32_t *rows, uint32_t count,
                        uint64_t *out);

static void hash_flat(const struct mr_column *column, const uint32_t *rows, uint32_t count,
                      uint64_t *restrict out)
{
    switch (mr_type_layout((enum mr_type)column->type)) {
    case MR_LAYOUT_BIT: HASH_LOOP(uint64_t, hash_8(mr_bit_get(values, row))); return;
    case MR_LAYOUT_I8: HASH_LOOP(int8_t, hash_8(values[row])); return;
    case MR_LAYOUT_I16: HASH_LOOP(int16_t, hash_8(values[row])); return;
    case MR_LAYOUT_I32: HASH_LOOP(int32_t, hash_8(values[row])); return;
    case MR_LAYOUT_I64: HASH_LOOP(int64_t, hash_8(values[row])); return;
    case MR_LAYOUT_F32: HASH_LOOP(float, mr_hash_float64((double)values[row])); return;
    case MR_LAYOUT_F64: HASH_LOOP(double, mr_hash_float64(values[row])); return;
    case MR_LAYOUT_I128:
        HASH_LOOP(uint64_t, hash_16(values[2 * (size_t)row], values[2 * (size_t)row + 1]));
        return;
    case MR_LAYOUT_VIEW:
        if (column->validity != NULL) break; /* a null's view may not be followed */
        HASH_LOOP(struct mr_view, hash_view(column, &values[row]));
        return;
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: hash_nested(column, rows, count, out); return;
    case MR_LAYOUT_NONE: MR_UNREACHABLE();
    }
    HASH_LOOP(struct mr_view,
              mr_bit_get(column->validity, row) ? hash_view(column, &values[row]) : MR_HASH_NULL);
}

/* ---- nested values: member by member, left to right ---- */

static uint64_t hash_one(const struct mr_column *column, uint32_t row)
{
    uint64_t hash;

    mr_column_hash(column, &row, 1, &hash);
    return hash;
}

/* A list is its length, then its elements; a struct its members. So neither [1] and [[1]] nor
 * [null] and [] collide by construction. */
static uint64_t hash_nested_one(const struct mr_column *column, uint32_t row)
{
    uint64_t hash;

    if (column->type == MR_STRUCT) {
        hash = hash_8((int64_t)column->child_count);
        for (uint32_t k = 0; k < column->child_count; k++) {
            hash = mr_hash_combine(hash, hash_one(&column->children[k], row));
        }
        return hash;
    }
    uint32_t first = mri_offsets(column)[row], end = mri_offsets(column)[row + 1];

    hash = hash_8((int64_t)(end - first));
    for (uint32_t i = first; i < end; i++) {
        for (uint32_t k = 0; k < column->child_count; k++) {
            hash = mr_hash_combine(hash, hash_one(&column->children[k], i));
        }
    }
    return hash;
}

static void hash_nested(const struct mr_column *column, const uint32_t *rows, uint32_t count,
                        uint64_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;

        out[i] = mr_column_valid(column, row) ? hash_nested_one(column, row) : MR_HASH_NULL;
    }
}

/* ---- the face ---- */

static void hash_nulls(const struct mr_column *column, const uint32_t *rows, uint32_t count,
                       uint64_t *restrict out)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;

        out[i] = mr_bit_get(column->validity, row) ? out[i] : MR_HASH_NULL;
    }
}

static void hash_const(const struct mr_column *column, uint32_t count, uint64_t *out)
{
    uint64_t hash = MR_HASH_NULL;
    uint32_t row = 0;

    if (mr_column_valid(column, 0)) hash_flat(column, &row, 1, &hash);
    for (uint32_t i = 0; i < count; i++) out[i] = hash;
}

/* The dictionary's values may be fewer or more than the rows: hash what the rows need. */
static void hash_dict(const struct mr_column *column, const uint32_t *rows, uint32_t count,
                      uint64_t *out)
{
    uint32_t scratch[MRI_STEP_ROWS];

    for (uint32_t first = 0; first < count; first += MRI_STEP_ROWS) {
        uint32_t step = MR_MIN(count - first, MRI_STEP_ROWS);
        struct mri_elements at = mri_resolve(column, rows, first, step, scratch);

        hash_flat(at.column, at.rows, step, out + first);
    }
}

void mr_column_hash(const struct mr_column *column, const uint32_t *rows_at, uint32_t count,
                    uint64_t *out)
{
    switch ((enum mr_encoding)column->encoding) {
    case MR_CONST: hash_const(column, count, out); return;
    case MR_DICT: hash_dict(column, rows_at, count, out); break;
    case MR_FLAT: hash_flat(column, rows_at, count, out); break;
    }
    if (column->validity != NULL) hash_nulls(column, rows_at, count, out);
}

void mr_column_hash_combine(const struct mr_column *column, const uint32_t *rows_at, uint32_t count,
                            uint64_t *inout)
{
    uint64_t hashes[MRI_STEP_ROWS];
    uint32_t rows[MRI_STEP_ROWS];

    for (uint32_t first = 0; first < count; first += MRI_STEP_ROWS) {
        uint32_t step = MR_MIN(count - first, MRI_STEP_ROWS);
        const uint32_t *at = rows_at != NULL ? rows_at + first : rows;

        if (rows_at == NULL) {
            for (uint32_t i = 0; i < step; i++) rows[i] = first + i;
        }
        mr_column_hash(column, at, step, hashes);
        for (uint32_t i = 0; i < step; i++) {
            inout[first + i] = hash_16(inout[first + i], hashes[i]);
        }
    }
}
