/* data_internal.h - what the files of this folder share: encodings resolved, kernels that move
 * values, room in a batch.
 *
 * The kernels move `count` values from elements of a flat source to a target position. Elements are
 * a list of row numbers; NULL means 0, 1, 2, ... They know layouts, not types.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none, unless said.
 * Cost:    one tight loop per call.
 */
#ifndef MR_DATA_INTERNAL_H
#define MR_DATA_INTERNAL_H

#include "data/batch.h"
#include <string.h>

#define MRI_STEP_ROWS 1024u /* row lists are worked on in pieces that stay in the first cache */

/* A flat column and the elements of it that are meant. */
struct mri_elements {
    const struct mr_column *column; /* FLAT */
    const uint32_t *rows;           /* NULL: 0, 1, 2, ... */
};

/* Looks through CONST and DICT for up to MRI_STEP_ROWS rows. Validity stays with the outer column:
 * see mri_gather_validity. `scratch` has MRI_STEP_ROWS entries. */
struct mri_elements mri_resolve(const struct mr_column *column, const uint32_t *rows,
                                uint32_t first, uint32_t count, uint32_t *scratch);
/* The same for one row; `row` is replaced by the element of the flat column. */
const struct mr_column *mri_resolve_one(const struct mr_column *column, uint32_t *row);

void mri_gather_fixed(uint32_t value_bytes, void *out, const void *values, const uint32_t *rows,
                      uint32_t count);
/* Writes bits [at, at + count) and leaves the others. */
void mri_gather_bits(uint64_t *out, uint32_t at, const uint64_t *bits, const uint32_t *rows,
                     uint32_t count);
/* True if all of the rows (of the outer column, any encoding) are valid. */
bool mri_all_valid(const struct mr_column *column, const uint32_t *rows, uint32_t first,
                   uint32_t count);
void mri_bits_range(uint64_t *words, uint32_t at, uint32_t count, bool value);

/* Ranges of a LIST column's child: element i has children [offsets[i], offsets[i + 1]). */
MR_INLINE const uint32_t *mri_offsets(const struct mr_column *column)
{
    return column->values;
}

MR_INLINE const struct mr_view *mri_views(const struct mr_column *column)
{
    return column->values;
}

MR_INLINE bool mri_view_same(const struct mr_view *left, const struct mr_view *right)
{
    uint64_t l[2], r[2];

    memcpy(l, left, sizeof l);
    memcpy(r, right, sizeof r);
    return ((l[0] ^ r[0]) | (l[1] ^ r[1])) == 0;
}

/* Copies a text of more than MR_VIEW_INLINE bytes. Most far texts are not much longer: two or four
 * overlapping pieces of fixed size beat a call. */
MR_INLINE void mri_copy_far(char *restrict out, const char *restrict data, size_t size_bytes)
{
    if (MR_UNLIKELY(size_bytes > 64)) {
        memcpy(out, data, size_bytes);
    } else if (size_bytes > 32) {
        memcpy(out, data, 32);
        memcpy(out + size_bytes - 32, data + size_bytes - 32, 32);
    } else if (size_bytes >= 16) {
        memcpy(out, data, 16);
        memcpy(out + size_bytes - 16, data + size_bytes - 16, 16);
    } else {
        memcpy(out, data, 8);
        memcpy(out + size_bytes - 8, data + size_bytes - 8, 8);
    }
}

MR_INLINE size_t mri_round64(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* Bytes of a values array, rounded up; 0 for STRUCT. */
size_t mri_values_bytes(enum mr_layout layout, uint32_t rows);
size_t mri_bitmap_bytes(uint32_t rows);

/* Makes the next mr_batch_memory calls of `bytes` in sum come from few blocks. False: no memory. */
bool mri_batch_reserve(struct mr_batch *batch, size_t bytes) MR_MUST_USE;

/* Gathers like mr_column_gather; rows NULL: the first `count`. With `copy_texts` far texts are
 * copied into the batch too, so that nothing of the source is needed any more. */
bool mri_gather(struct mr_batch *batch, const struct mr_column *column, const uint32_t *rows,
                uint32_t count, bool copy_texts, struct mr_column *out) MR_MUST_USE;

#endif
