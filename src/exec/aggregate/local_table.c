/* local_table.c - see local_table.h. */
#include "exec/aggregate/local_table.h"
#include "base/assert.h"
#include "base/status.h"
#include "exec/aggregate/text_writer.h"

#include <string.h>

#define BLOCK_ROWS 32u
#define ENTRIES_FIRST 256u
#define PIECE_BYTES (64u * 1024u)
#define TAG_SHIFT 24u
#define ENTRY_MASK ((1u << TAG_SHIFT) - 1u)
#define INDEX_BYTES_PER_ENTRY 8u /* at most half full, 4 bytes each */

struct mri_local_piece {
    struct mri_local_piece *next;
    uint32_t room_bytes;
    uint32_t used_bytes;
    char data[];
};

/* A long text in an entry: the size and the first bytes as in a column's view, then where it is. */
struct far_text {
    uint32_t size_bytes;
    char prefix[4];
    const char *data;
};
_Static_assert(sizeof(struct far_text) == sizeof(struct mr_view), "cells of texts are views");

enum key_shape { SHAPE_TEXT, SHAPE_INT64, SHAPE_ANY };

/* ---- life ---- */

static uint32_t cell_bytes(enum mr_layout layout)
{
    return layout == MR_LAYOUT_VIEW || layout == MR_LAYOUT_I128 ? 16 : 8;
}

static void lay_out(struct mri_local *local)
{
    uint32_t offset = sizeof(struct mri_local_header);

    local->slice_offset = offset;
    if (local->sliced) offset += (uint32_t)sizeof(int64_t);
    for (uint32_t i = 0; i < local->key_count; i++) {
        enum mr_layout layout = mr_type_layout(local->keys[i].type);

        local->cells[i] = (struct mri_local_cell){offset, layout};
        offset += cell_bytes(layout);
    }
    if (local->accs->has_user) offset = (offset + 15u) / 16u * 16u;
    local->slot_offset = offset;
    offset += local->accs->slot_bytes;
    local->entry_bytes = local->accs->has_user ? (offset + 15u) / 16u * 16u : offset;
}

enum mr_status mri_local_init(struct mri_local *local, struct mr_heap *heap,
                              const struct mr_plan_op *plan, struct mri_accs *accs, bool sliced,
                              size_t budget_bytes, struct mr_error *err)
{
    size_t limit;

    *local = (struct mri_local){.heap = heap,
                                .accs = accs,
                                .key_count = plan->key_count,
                                .keys = plan->key_fields,
                                .sliced = sliced,
                                .text_limit_bytes = budget_bytes};
    if (plan->key_count > MR_KEY_COLUMNS_MAX) {
        return mr_error_set(err, MR_E_LIMIT,
                            "operator '%s': %u key columns, at most %u are possible",
                            plan->node->id, plan->key_count, MR_KEY_COLUMNS_MAX);
    }
    local->cells = mr_alloc_array(heap, MR_MAX(plan->key_count, 1u), sizeof *local->cells);
    if (local->cells == NULL) return mr_error_nomem(err, plan->node->id, sizeof *local->cells);
    local->blobs.heap = heap;
    accs->blobs = mri_blobs_of_heap(&local->blobs);
    lay_out(local);
    limit = budget_bytes / (local->entry_bytes + INDEX_BYTES_PER_ENTRY);
    local->limit = (uint32_t)MR_MIN(MR_MAX(limit, (size_t)2), (size_t)MRI_LOCAL_ENTRIES_MAX);
    return MR_OK;
}

void mri_local_fini(struct mri_local *local)
{
    if (local->heap == NULL) return;
    mri_local_clear(local);
    mri_accs_empty_trash(local->accs);
    mr_free(local->heap, local->entries, (size_t)local->capacity * local->entry_bytes);
    mr_free(local->heap, local->index, local->index_size * sizeof *local->index);
    mr_free(local->heap, local->cells, MR_MAX(local->key_count, 1u) * sizeof *local->cells);
    *local = (struct mri_local){.heap = NULL};
}

void mri_local_clear(struct mri_local *local)
{
    for (uint32_t i = 0; local->accs->has_blobs && i < local->count; i++) {
        mri_accs_release(local->accs, mri_local_slot(local, i));
    }
    while (local->pieces != NULL) {
        struct mri_local_piece *piece = local->pieces;

        local->pieces = piece->next;
        mr_free(local->heap, piece, sizeof *piece + piece->room_bytes);
    }
    local->text_bytes = 0;
    if (local->index != NULL && local->count > 0) {
        memset(local->index, 0, local->index_size * sizeof *local->index);
    }
    local->count = 0;
}

bool mri_local_full(const struct mri_local *local)
{
    return local->count >= local->limit ||
           local->text_bytes + local->blobs.used_bytes >= local->text_limit_bytes;
}

/* ---- growing ---- */

MR_INLINE uint64_t place_hash(const struct mri_local *local, uint64_t hash, int64_t slice_us)
{
    if (!local->sliced) return hash;
    hash = (hash ^ (uint64_t)slice_us) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

MR_INLINE int64_t entry_slice(const struct mri_local *local, const char *entry)
{
    return *(const int64_t *)(const void *)(entry + local->slice_offset);
}

MR_INLINE uint32_t index_value(uint64_t hash, uint32_t entry)
{
    return (uint32_t)(hash >> 56) << TAG_SHIFT | (entry + 1);
}

static bool grow_index(struct mri_local *local, uint32_t size)
{
    uint32_t *index = mr_alloc_zero(local->heap, size * sizeof *index);

    if (index == NULL) return false;
    for (uint32_t i = 0; i < local->count; i++) {
        const char *entry = mri_local_entry(local, i);
        uint64_t hash = place_hash(local, mri_local_head(local, i)->hash,
                                   local->sliced ? entry_slice(local, entry) : 0);
        uint32_t at = (uint32_t)hash & (size - 1);

        while (index[at] != 0) at = (at + 1) & (size - 1);
        index[at] = index_value(hash, i);
    }
    mr_free(local->heap, local->index, local->index_size * sizeof *local->index);
    local->index = index;
    local->index_size = size;
    return true;
}

/* Room for one more entry and, unless appending, for its place in the index. */
static bool grow(struct mri_local *local)
{
    if (local->count == local->capacity) {
        uint32_t capacity = local->capacity == 0 ? ENTRIES_FIRST : local->capacity * 2;
        char *entries;

        capacity = MR_MIN(capacity, local->limit);
        entries = mr_realloc(local->heap, local->entries,
                             (size_t)local->capacity * local->entry_bytes,
                             (size_t)capacity * local->entry_bytes);
        if (entries == NULL) return false;
        local->entries = entries;
        local->capacity = capacity;
    }
    if (local->append || local->index_size / 2 > local->count) return true;
    return grow_index(local, local->index_size == 0 ? ENTRIES_FIRST * 2 : local->index_size * 2);
}

static char *text_room(struct mri_local *local, uint32_t size_bytes)
{
    struct mri_local_piece *piece = local->pieces;

    if (piece == NULL || piece->room_bytes - piece->used_bytes < size_bytes) {
        uint32_t room = MR_MAX(PIECE_BYTES, size_bytes);

        piece = mr_alloc(local->heap, sizeof *piece + room);
        if (piece == NULL) return NULL;
        *piece = (struct mri_local_piece){.next = local->pieces, .room_bytes = room};
        local->pieces = piece;
    }
    piece->used_bytes += size_bytes;
    local->text_bytes += size_bytes;
    return piece->data + piece->used_bytes - size_bytes;
}

/* ---- keys of rows ---- */

MR_INLINE uint32_t key_element(const struct mr_column *column, uint32_t element)
{
    return column->encoding == MR_CONST ? 0 : element;
}

/* Integers and floats as 8 bytes; floats in one form per value. */
static int64_t fixed_key(const struct mr_column *column, enum mr_layout layout, uint32_t element)
{
    double value;
    int64_t bits;

    if (layout == MR_LAYOUT_I64) return ((const int64_t *)column->values)[element];
    if (layout != MR_LAYOUT_F32 && layout != MR_LAYOUT_F64) return mr_column_int64(column, element);
    value = mr_column_float64(column, element);
    if (value != value) value = __builtin_nan("");
    if (value == 0) value = 0; /* -0 */
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

MR_INLINE bool texts_equal(const struct mr_column *column, const struct mr_view *view,
                           const char *cell)
{
    uint64_t left[2];
    uint64_t right[2];
    struct far_text far;

    memcpy(left, view, sizeof left);
    memcpy(right, cell, sizeof right);
    if (left[0] != right[0]) return false; /* size and first four bytes */
    if (view->size_bytes <= MR_VIEW_INLINE) return left[1] == right[1];
    memcpy(&far, cell, sizeof far);
    return memcmp(mr_view_data(column, view), far.data, far.size_bytes) == 0;
}

static bool cell_equal(const struct mr_column *column, const struct mri_local_cell *cell,
                       uint32_t element, const char *at)
{
    int64_t fixed;

    if (cell->layout == MR_LAYOUT_VIEW) {
        return texts_equal(column, &((const struct mr_view *)column->values)[element], at);
    }
    if (cell->layout == MR_LAYOUT_I128) {
        return memcmp((const char *)column->values + (size_t)element * 16, at, 16) == 0;
    }
    fixed = fixed_key(column, cell->layout, element);
    return memcmp(&fixed, at, sizeof fixed) == 0;
}

static bool any_key_equal(const struct mri_local *local, const struct mr_column *keys,
                          uint32_t row, const char *entry)
{
    const struct mri_local_header *head = (const struct mri_local_header *)(const void *)entry;

    for (uint32_t i = 0; i < local->key_count; i++) {
        uint32_t element = key_element(&keys[i], row);
        bool null = !mr_column_valid(&keys[i], element);

        if (null != (bool)(head->nulls >> i & 1)) return false;
        if (null) continue;
        if (!cell_equal(&keys[i], &local->cells[i], element, entry + local->cells[i].offset)) {
            return false;
        }
    }
    return true;
}

/* One key column, FLAT and without nulls: if the entry is not null, its cell alone decides. */
MR_INLINE bool key_equal(const struct mri_local *local, const struct mr_column *keys, uint32_t row,
                         const char *entry, enum key_shape shape)
{
    const char *cell = entry + local->cells[0].offset;

    switch (shape) {
    case SHAPE_TEXT:
        return ((const struct mri_local_header *)(const void *)entry)->nulls == 0 &&
               texts_equal(&keys[0], &((const struct mr_view *)keys[0].values)[row], cell);
    case SHAPE_INT64:
        return ((const struct mri_local_header *)(const void *)entry)->nulls == 0 &&
               ((const int64_t *)keys[0].values)[row] == *(const int64_t *)(const void *)cell;
    case SHAPE_ANY: break;
    }
    return any_key_equal(local, keys, row, entry);
}

static bool store_cell(struct mri_local *local, const struct mr_column *column,
                       const struct mri_local_cell *cell, uint32_t element, char *at)
{
    int64_t fixed;

    if (cell->layout == MR_LAYOUT_I128) {
        memcpy(at, (const char *)column->values + (size_t)element * 16, 16);
        return true;
    }
    if (cell->layout == MR_LAYOUT_VIEW) {
        const struct mr_view *view = &((const struct mr_view *)column->values)[element];
        struct far_text far = {.size_bytes = view->size_bytes};
        char *text;

        memcpy(at, view, sizeof *view);
        if (view->size_bytes <= MR_VIEW_INLINE) return true;
        text = text_room(local, view->size_bytes);
        if (text == NULL) return false;
        memcpy(text, mr_view_data(column, view), view->size_bytes);
        memcpy(far.prefix, text, sizeof far.prefix);
        far.data = text;
        memcpy(at, &far, sizeof far);
        return true;
    }
    fixed = fixed_key(column, cell->layout, element);
    memcpy(at, &fixed, sizeof fixed);
    return true;
}

/* A new entry at the end; false: no memory, and nothing has changed. */
static bool insert(struct mri_local *local, const struct mri_local_rows *in, uint32_t row)
{
    struct mri_local_header *head;
    char *entry;

    if (!grow(local)) return false;
    entry = mri_local_entry(local, local->count);
    memset(entry, 0, local->entry_bytes);
    head = (struct mri_local_header *)(void *)entry;
    head->hash = in->hashes[row];
    if (local->sliced) memcpy(entry + local->slice_offset, &in->slices[row], sizeof(int64_t));
    for (uint32_t i = 0; i < local->key_count; i++) {
        uint32_t element = key_element(&in->keys[i], row);

        if (!mr_column_valid(&in->keys[i], element)) {
            head->nulls |= 1u << i;
        } else if (!store_cell(local, &in->keys[i], &local->cells[i], element,
                               entry + local->cells[i].offset)) {
            return false;
        }
    }
    if (local->accs->needs_init) mri_accs_create(local->accs, entry + local->slot_offset);
    local->count++;
    return true;
}

/* ---- resolving ---- */

struct block {
    uint32_t rows[BLOCK_ROWS];
    uint64_t hashes[BLOCK_ROWS]; /* of places */
};

MR_INLINE void fetch_ahead(const struct mri_local *local, const struct block *block, uint32_t count)
{
    uint32_t mask = local->index_size - 1;

    if (local->index_size == 0) return;
    for (uint32_t j = 0; j < count; j++) {
        __builtin_prefetch(&local->index[(uint32_t)block->hashes[j] & mask], 0, 3);
    }
    for (uint32_t j = 0; j < count; j++) {
        uint32_t found = local->index[(uint32_t)block->hashes[j] & mask];

        if (found == 0) continue;
        MR_PREFETCH(mri_local_entry(local, (found & ENTRY_MASK) - 1));
    }
}

enum found { FOUND, FULL, NO_MEMORY };

MR_INLINE enum found find_or_insert(struct mri_local *local, const struct mri_local_rows *in,
                                    uint32_t row, uint64_t hash, enum key_shape shape,
                                    uint32_t *out_entry)
{
    uint32_t tag = (uint32_t)(hash >> 56);
    uint32_t mask = local->index_size - 1;
    uint32_t at = (uint32_t)hash & mask;

    for (; local->index_size > 0; at = (at + 1) & mask) {
        uint32_t found = local->index[at];
        const char *entry;

        if (found == 0) break;
        if (found >> TAG_SHIFT != tag) continue;
        entry = mri_local_entry(local, (found & ENTRY_MASK) - 1);
        if (local->sliced && entry_slice(local, entry) != in->slices[row]) continue;
        if (!key_equal(local, in->keys, row, entry, shape)) continue;
        *out_entry = (found & ENTRY_MASK) - 1;
        return FOUND;
    }
    if (mri_local_full(local)) return FULL;
    if (!insert(local, in, row)) return local->count > 0 ? FULL : NO_MEMORY;
    /* The index may have grown: look for a free place again. */
    mask = local->index_size - 1;
    at = (uint32_t)hash & mask;
    while (local->index[at] != 0) at = (at + 1) & mask;
    *out_entry = local->count - 1;
    local->index[at] = index_value(hash, *out_entry);
    return FOUND;
}

MR_INLINE enum mr_status resolve(struct mri_local *local, const struct mri_local_rows *in,
                                 uint32_t first, uint32_t *out_entries, uint32_t *out_end,
                                 enum key_shape shape)
{
    struct block block;

    for (uint32_t base = first; base < in->count; base += BLOCK_ROWS) {
        uint32_t count = MR_MIN(in->count - base, BLOCK_ROWS);

        for (uint32_t j = 0; j < count; j++) {
            uint32_t row = in->rows != NULL ? in->rows[base + j] : base + j;

            block.rows[j] = row;
            block.hashes[j] =
                place_hash(local, in->hashes[row], local->sliced ? in->slices[row] : 0);
        }
        fetch_ahead(local, &block, count);
        for (uint32_t j = 0; j < count; j++) {
            enum found found = find_or_insert(local, in, block.rows[j], block.hashes[j], shape,
                                              &out_entries[base + j]);

            *out_end = base + j;
            if (MR_UNLIKELY(found == NO_MEMORY)) return MR_E_NOMEM;
            if (MR_UNLIKELY(found == FULL)) return MR_OK;
        }
    }
    *out_end = in->count;
    return MR_OK;
}

static enum mr_status append(struct mri_local *local, const struct mri_local_rows *in,
                             uint32_t first, uint32_t *out_entries, uint32_t *out_end)
{
    uint32_t i = first;

    for (; i < in->count && !mri_local_full(local); i++) {
        if (!insert(local, in, in->rows != NULL ? in->rows[i] : i)) {
            if (local->count == 0) return MR_E_NOMEM;
            break;
        }
        out_entries[i] = local->count - 1;
    }
    *out_end = i;
    return MR_OK;
}

static enum key_shape shape_of(const struct mri_local *local, const struct mri_local_rows *in)
{
    const struct mr_column *key = &in->keys[0];

    if (local->key_count != 1) return SHAPE_ANY;
    if (key->encoding != MR_FLAT || key->validity != NULL) return SHAPE_ANY;
    if (local->cells[0].layout == MR_LAYOUT_VIEW) return SHAPE_TEXT;
    return local->cells[0].layout == MR_LAYOUT_I64 ? SHAPE_INT64 : SHAPE_ANY;
}

enum mr_status mri_local_resolve(struct mri_local *local, const struct mri_local_rows *in,
                                 uint32_t first, uint32_t *out_entries, uint32_t *out_end,
                                 struct mr_error *err)
{
    enum mr_status st = MR_OK;

    *out_end = first;
    if (local->append) {
        st = append(local, in, first, out_entries, out_end);
    } else {
        switch (shape_of(local, in)) {
        case SHAPE_TEXT: st = resolve(local, in, first, out_entries, out_end, SHAPE_TEXT); break;
        case SHAPE_INT64: st = resolve(local, in, first, out_entries, out_end, SHAPE_INT64); break;
        case SHAPE_ANY: st = resolve(local, in, first, out_entries, out_end, SHAPE_ANY); break;
        }
    }
    if (st != MR_OK) return mr_error_nomem(err, "a partial aggregate", local->entry_bytes);
    return MR_OK;
}

/* ---- writing ---- */

static void write_fixed(const struct mri_local *local, uint32_t key, const uint32_t *entries,
                        uint32_t count, void *values)
{
    const struct mri_local_cell *cell = &local->cells[key];

    for (uint32_t i = 0; i < count; i++) {
        const char *at = mri_local_entry(local, entries[i]) + cell->offset;
        int64_t bits;
        double real;

        memcpy(&bits, at, sizeof bits);
        memcpy(&real, at, sizeof real);
        switch ((int)cell->layout) {
        case MR_LAYOUT_BIT: mr_bit_assign(values, i, bits != 0); break;
        case MR_LAYOUT_I8: ((int8_t *)values)[i] = (int8_t)bits; break;
        case MR_LAYOUT_I16: ((int16_t *)values)[i] = (int16_t)bits; break;
        case MR_LAYOUT_I32: ((int32_t *)values)[i] = (int32_t)bits; break;
        case MR_LAYOUT_I64: ((int64_t *)values)[i] = bits; break;
        case MR_LAYOUT_F32: ((float *)values)[i] = (float)real; break;
        case MR_LAYOUT_F64: ((double *)values)[i] = real; break;
        case MR_LAYOUT_I128: memcpy((char *)values + (size_t)i * 16, at, 16); break;
        default: MR_UNREACHABLE();
        }
    }
}

static bool write_texts(const struct mri_local *local, uint32_t key, const uint32_t *entries,
                        uint32_t count, struct mr_batch *batch, struct mr_column *column,
                        struct mr_view *views)
{
    struct mri_text_writer writer;

    mri_text_writer_init(&writer, batch, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *at = mri_local_entry(local, entries[i]) + local->cells[key].offset;
        struct far_text far;

        memcpy(&views[i], at, sizeof views[i]);
        if (views[i].size_bytes <= MR_VIEW_INLINE) continue;
        memcpy(&far, at, sizeof far);
        if (!mri_text_writer_long(&writer, far.data, far.size_bytes, &views[i])) return false;
    }
    mri_text_writer_close(&writer, column);
    return true;
}

static bool write_validity(const struct mri_local *local, uint32_t key, const uint32_t *entries,
                           uint32_t count, struct mr_batch *batch, struct mr_column *column)
{
    uint32_t nulls = 0;
    uint64_t *validity;

    for (uint32_t i = 0; i < count; i++) nulls |= mri_local_head(local, entries[i])->nulls;
    if ((nulls >> key & 1) == 0) return true;
    validity = mr_batch_bitmap(batch, count);
    if (validity == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        mr_bit_assign(validity, i, !(mri_local_head(local, entries[i])->nulls >> key & 1));
    }
    column->validity = validity;
    return true;
}

static bool write_key(const struct mri_local *local, uint32_t key, const uint32_t *entries,
                      uint32_t count, struct mr_batch *batch)
{
    const struct mr_field *field = &local->keys[key];
    enum mr_layout layout = local->cells[key].layout;
    struct mr_column *column = &batch->columns[key];
    void *values = layout == MR_LAYOUT_BIT ? (void *)mr_batch_bitmap(batch, count)
                                           : mr_batch_values(batch, layout, count);

    if (values == NULL) return false;
    *column = (struct mr_column){.type = (uint8_t)field->type,
                                 .precision = field->precision,
                                 .scale = field->scale,
                                 .values = values};
    if (!write_validity(local, key, entries, count, batch, column)) return false;
    if (layout == MR_LAYOUT_VIEW) {
        return write_texts(local, key, entries, count, batch, column, values);
    }
    write_fixed(local, key, entries, count, values);
    return true;
}

bool mri_local_write_keys(const struct mri_local *local, const uint32_t *entries, uint32_t count,
                          struct mr_batch *batch, struct mr_column *out_hash,
                          struct mr_column *out_slice)
{
    uint64_t *hashes = mr_batch_values(batch, MR_LAYOUT_I64, count);
    int64_t *slices = local->sliced ? mr_batch_values(batch, MR_LAYOUT_I64, count) : NULL;

    if (hashes == NULL || (local->sliced && slices == NULL)) return false;
    for (uint32_t i = 0; i < count; i++) hashes[i] = mri_local_head(local, entries[i])->hash;
    *out_hash = (struct mr_column){.type = MR_INT64, .values = hashes};
    if (local->sliced) {
        for (uint32_t i = 0; i < count; i++) {
            slices[i] = entry_slice(local, mri_local_entry(local, entries[i]));
        }
        *out_slice = (struct mr_column){.type = MR_TIMESTAMP_LTZ, .values = slices};
    }
    for (uint32_t i = 0; i < local->key_count; i++) {
        if (!write_key(local, i, entries, count, batch)) return false;
    }
    return true;
}
