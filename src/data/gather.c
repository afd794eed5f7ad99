/* gather.c - kernels that move values by row list, and mr_column_gather over them. */
#include "base/assert.h"
#include "data/builder.h"
#include "data/data_internal.h"

#include <string.h>

/* ---- kernels ---- */

#define GATHER_LOOP(type)                                           \
    do {                                                            \
        type *restrict to = out;                                    \
        const type *restrict from = values;                         \
        for (uint32_t i = 0; i < count; i++) to[i] = from[rows[i]]; \
    } while (0)

void mri_gather_fixed(uint32_t value_bytes, void *out, const void *values, const uint32_t *rows,
                      uint32_t count)
{
    if (rows == NULL) {
        if (count > 0) memcpy(out, values, (size_t)count * value_bytes);
        return;
    }
    switch (value_bytes) {
    case 1: GATHER_LOOP(uint8_t); return;
    case 2: GATHER_LOOP(uint16_t); return;
    case 4: GATHER_LOOP(uint32_t); return;
    case 8: GATHER_LOOP(uint64_t); return;
    case 16: GATHER_LOOP(struct mr_view); return; /* decimals too: any 16 bytes */
    default: MR_UNREACHABLE();
    }
}

void mri_gather_bits(uint64_t *out, uint32_t at, const uint64_t *bits, const uint32_t *rows,
                     uint32_t count)
{
    for (uint32_t i = 0; i < count;) {
        uint32_t shift = (at + i) % 64;
        uint32_t take = MR_MIN(64 - shift, count - i);
        uint64_t mask = mr_bits_low(take) << shift;
        uint64_t word = 0;

        if (rows != NULL) {
            for (uint32_t k = 0; k < take; k++) {
                word |= (uint64_t)mr_bit_get(bits, rows[i + k]) << k;
            }
        } else if (i % 64 == 0) {
            word = bits[i / 64];
        } else {
            for (uint32_t k = 0; k < take; k++) word |= (uint64_t)mr_bit_get(bits, i + k) << k;
        }
        out[(at + i) / 64] = (out[(at + i) / 64] & ~mask) | (word << shift & mask);
        i += take;
    }
}

void mri_bits_range(uint64_t *words, uint32_t at, uint32_t count, bool value)
{
    uint64_t all = value ? UINT64_MAX : 0;

    for (uint32_t i = 0; i < count;) {
        uint32_t shift = (at + i) % 64;
        uint32_t take = MR_MIN(64 - shift, count - i);
        uint64_t mask = mr_bits_low(take) << shift;

        words[(at + i) / 64] = (words[(at + i) / 64] & ~mask) | (all & mask);
        i += take;
    }
}

bool mri_all_valid(const struct mr_column *column, const uint32_t *rows, uint32_t first,
                   uint32_t count)
{
    bool all = true;

    if (column->validity == NULL || count == 0) return true;
    if (column->encoding == MR_CONST) return mr_bit_get(column->validity, 0);
    for (uint32_t i = first; i < first + count; i++) {
        all &= mr_bit_get(column->validity, rows != NULL ? rows[i] : i);
    }
    return all;
}

/* ---- gathering a column ---- */

/* What all the helpers need. */
struct gather {
    struct mr_batch *batch;
    const struct mr_column *column;
    const uint32_t *rows;
    uint32_t count;
    bool copy_texts;
};

/* Leaves out->validity NULL when all rows are valid: kernels without nulls are faster. */
static bool gather_validity(const struct gather *g, struct mr_column *out)
{
    uint64_t *validity;

    if (mri_all_valid(g->column, g->rows, 0, g->count)) return true;
    validity = mr_batch_bitmap(g->batch, g->count);
    if (validity == NULL) return false;
    if (g->column->encoding != MR_CONST) { /* a constant null: the bitmap is zero already */
        mri_gather_bits(validity, 0, g->column->validity, g->rows, g->count);
    }
    out->validity = validity;
    return true;
}

static bool gather_values(const struct gather *g, struct mr_column *out)
{
    enum mr_layout layout = mr_type_layout((enum mr_type)out->type);
    uint32_t value_bytes = mr_layout_bytes(layout);
    uint32_t scratch[MRI_STEP_ROWS];
    char *values = mr_batch_values(g->batch, layout, g->count);

    if (values == NULL) return false;
    for (uint32_t first = 0; first < g->count; first += MRI_STEP_ROWS) {
        uint32_t step = MR_MIN(g->count - first, MRI_STEP_ROWS);
        struct mri_elements at = mri_resolve(g->column, g->rows, first, step, scratch);

        if (layout == MR_LAYOUT_BIT) {
            mri_gather_bits((uint64_t *)(void *)values, first, at.column->values, at.rows, step);
        } else {
            mri_gather_fixed(value_bytes, values + (size_t)first * value_bytes, at.column->values,
                             at.rows, step);
        }
    }
    out->values = values;
    return true;
}

/* ---- texts that must not point at the source ---- */

#define TEXT_CHUNK_BYTES (MR_BLOCK_BYTES_MAX - 128)

/* Zeroes the views of nulls and sums up the far bytes. Neighbours that share one text (constants,
 * runs) share the copy. */
static size_t far_bytes(struct mr_view *views, const uint64_t *validity, uint32_t count)
{
    struct mr_view before = {0};
    size_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (views[i].size_bytes <= MR_VIEW_INLINE) continue;
        if (validity != NULL && !mr_bit_get(validity, i)) {
            memset(&views[i], 0, sizeof views[i]);
            continue;
        }
        if (mri_view_same(&views[i], &before)) continue;
        before = views[i];
        mr_assert(before.size_bytes <= MR_TEXT_BYTES_MAX);
        sum += before.size_bytes;
    }
    return sum;
}

static bool copy_far_texts(struct mr_batch *batch, const struct mr_column *from,
                           struct mr_view *views, uint32_t count, size_t left_bytes,
                           struct mr_column *out)
{
    /* Two neighbouring chunks hold more than one chunk's bytes. */
    size_t chunk_limit = 2 * left_bytes / TEXT_CHUNK_BYTES + 2;
    const char **buffers = mr_batch_memory(batch, chunk_limit * sizeof *buffers);
    struct mr_view before = {0}, copied = {0};
    size_t used = 0, room = 0;
    char *chunk = NULL;

    if (buffers == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size_bytes = views[i].size_bytes;

        if (size_bytes <= MR_VIEW_INLINE) continue;
        if (!mri_view_same(&views[i], &before)) {
            if (size_bytes > room - used) {
                room = MR_MIN(left_bytes, TEXT_CHUNK_BYTES);
                used = 0;
                chunk = mr_batch_memory(batch, room);
                if (chunk == NULL) return false;
                mr_assert(out->buffer_count < chunk_limit);
                buffers[out->buffer_count++] = chunk;
            }
            before = views[i];
            mri_copy_far(chunk + used, mr_view_data(from, &before), size_bytes);
            copied = before;
            copied.u.far.buffer = out->buffer_count - 1;
            copied.u.far.offset = (uint32_t)used;
            used += size_bytes;
            left_bytes -= size_bytes;
        }
        views[i] = copied;
    }
    out->buffers = buffers;
    return true;
}

static bool gather_views(const struct gather *g, struct mr_column *out)
{
    const struct mr_column *from = g->column->encoding == MR_DICT ? g->column->children : g->column;
    struct mr_view *views;
    size_t bytes;

    if (!gather_values(g, out)) return false;
    if (!g->copy_texts) {
        out->buffers = from->buffers;
        out->buffer_count = from->buffer_count;
        return true;
    }
    views = (struct mr_view *)(uintptr_t)out->values; /* made by gather_values just now */
    bytes = far_bytes(views, out->validity, g->count);
    return bytes == 0 || copy_far_texts(g->batch, from, views, g->count, bytes, out);
}

/* ---- nested columns ---- */

/* A row list in a block of its own, for the duration of a call. */
static uint32_t *rows_block(const struct mr_batch *batch, uint32_t count, struct mr_block **out)
{
    *out = mr_block_new(batch->quota, MR_MAX((size_t)count, 1) * sizeof(uint32_t));
    return *out != NULL ? (uint32_t *)(void *)(*out)->data : NULL;
}

static bool gather_children(const struct gather *g, const struct mr_column *from,
                            const uint32_t *rows, uint32_t count, struct mr_column *out)
{
    struct mr_column *children =
        mr_batch_memory(g->batch, from->child_count * sizeof(struct mr_column));

    if (children == NULL) return false;
    for (uint32_t k = 0; k < from->child_count; k++) {
        if (!mri_gather(g->batch, &from->children[k], rows, count, g->copy_texts, &children[k])) {
            return false;
        }
    }
    out->children = children;
    out->child_count = from->child_count;
    out->child_rows = count;
    return true;
}

/* Null lists become empty. Returns the number of child elements. */
static uint32_t list_offsets(const struct gather *g, const struct mr_column *from,
                             const uint32_t *elements, const uint64_t *validity, uint32_t *offsets)
{
    uint32_t total = 0;

    offsets[0] = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const uint32_t *range = mri_offsets(from) + elements[i];

        if (validity == NULL || mr_bit_get(validity, i)) total += range[1] - range[0];
        mr_assert(total <= MR_BATCH_ROWS_MAX);
        offsets[i + 1] = total;
    }
    return total;
}

static bool gather_list(const struct gather *g, const struct mr_column *from,
                        const uint32_t *elements, struct mr_column *out)
{
    uint32_t *offsets = mr_batch_values(g->batch, MR_LAYOUT_LIST, g->count);
    struct mr_block *block = NULL;
    uint32_t *rows;
    uint32_t total;
    bool ok;

    if (offsets == NULL) return false;
    total = list_offsets(g, from, elements, out->validity, offsets);
    rows = rows_block(g->batch, total, &block);
    if (rows == NULL) return false;
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t source = mri_offsets(from)[elements[i]];

        for (uint32_t k = offsets[i]; k < offsets[i + 1]; k++) rows[k] = source++;
    }
    out->values = offsets;
    ok = gather_children(g, from, rows, total, out);
    mr_block_release(block);
    return ok;
}

static bool gather_nested(const struct gather *g, struct mr_column *out)
{
    const struct mr_column *from = g->column;
    struct mr_block *block = NULL;
    uint32_t *elements = rows_block(g->batch, g->count, &block);
    bool ok;

    if (elements == NULL) return false;
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t element = g->rows != NULL ? g->rows[i] : i;

        from = mri_resolve_one(g->column, &element);
        elements[i] = element;
    }
    if (g->count == 0 && g->column->encoding == MR_DICT) from = g->column->children;
    ok = out->type == MR_STRUCT ? gather_children(g, from, elements, g->count, out)
                                : gather_list(g, from, elements, out);
    mr_block_release(block);
    return ok;
}

/* ---- the face ---- */

bool mri_gather(struct mr_batch *batch, const struct mr_column *column, const uint32_t *rows,
                uint32_t count, bool copy_texts, struct mr_column *out)
{
    struct gather g = {batch, column, rows, count, copy_texts};
    struct mr_column result = {.type = column->type,
                               .encoding = MR_FLAT,
                               .precision = column->precision,
                               .scale = column->scale};
    enum mr_layout layout = mr_type_layout((enum mr_type)column->type);
    bool ok;

    mr_assert(count <= MR_BATCH_ROWS_MAX);
    mr_assert(layout != MR_LAYOUT_NONE);
    if (!gather_validity(&g, &result)) return false;
    if (layout == MR_LAYOUT_LIST || layout == MR_LAYOUT_STRUCT) {
        ok = gather_nested(&g, &result);
    } else if (layout == MR_LAYOUT_VIEW) {
        ok = gather_views(&g, &result);
    } else {
        ok = gather_values(&g, &result);
    }
    if (ok) *out = result;
    return ok;
}

bool mr_column_gather(struct mr_batch *batch, const struct mr_column *column, const uint32_t *rows,
                      uint32_t count, struct mr_column *out)
{
    return mri_gather(batch, column, rows, count, false, out);
}

bool mr_column_flatten(struct mr_batch *batch, const struct mr_column *column, uint32_t count,
                       struct mr_column *out)
{
    if (column->encoding != MR_FLAT) return mri_gather(batch, column, NULL, count, false, out);
    *out = *column;
    return true;
}
