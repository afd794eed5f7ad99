/* batch.c - see batch.h. The header of a batch lies in its first block, which goes last. */
#include "data/batch.h"
#include "base/assert.h"
#include "data/data_internal.h"

#include <string.h>

#define BASES_MAX      4u
#define BLOCK_ROOM_MAX (MR_BLOCK_BYTES_MAX - sizeof(struct mr_block))
#define MEMORY_MAX     (MR_BLOCK_BYTES_MAX - 128)

_Static_assert(MR_BATCH_ROWS_MAX * 16 <= MEMORY_MAX, "a column of views fits a block");
_Static_assert((MR_BATCH_ROWS_MAX + 1) * 4 <= MEMORY_MAX, "list offsets fit a block");

/* A block that others hold too cannot be chained through its header. */
struct mri_adopted {
    struct mr_block *block;
    struct mri_adopted *next;
};

/* ---- hidden columns ---- */

enum mr_type mr_hidden_type(enum mr_hidden tag)
{
    switch (tag) {
    case MR_HIDDEN_EVENT_TIME:
    case MR_HIDDEN_WINDOW_START:
    case MR_HIDDEN_WINDOW_END:
    case MR_HIDDEN_SPLIT_WATERMARK: return MR_TIMESTAMP_LTZ;
    case MR_HIDDEN_CHANGE: return MR_INT8;
    case MR_HIDDEN_TARGET: return MR_INT32;
    case MR_HIDDEN_PANE:
    case MR_HIDDEN_KEY_HASH: return MR_INT64;
    case MR_HIDDEN_TRACKING: return MR_LIST;
    case MR_HIDDEN_COUNT: break;
    }
    MR_UNREACHABLE();
}

int64_t mr_hidden_default(enum mr_hidden tag)
{
    switch (tag) {
    case MR_HIDDEN_EVENT_TIME:
    case MR_HIDDEN_WINDOW_START:
    case MR_HIDDEN_SPLIT_WATERMARK: return MR_TIME_MIN;
    case MR_HIDDEN_WINDOW_END: return MR_GLOBAL_WINDOW_END;
    case MR_HIDDEN_CHANGE:
    case MR_HIDDEN_TARGET:
    case MR_HIDDEN_PANE:
    case MR_HIDDEN_KEY_HASH:
    case MR_HIDDEN_TRACKING:
    case MR_HIDDEN_COUNT: break;
    }
    return 0;
}

/* ---- memory ---- */

static size_t head_bytes(uint32_t column_count)
{
    return mri_round64(sizeof(struct mr_batch)) +
           mri_round64(column_count * sizeof(struct mr_column));
}

/* What the largest block within a limit has room for. A wish beyond it would be waited for without
 * end: then it has to be several smaller blocks. */
static size_t room_within(size_t limit_bytes)
{
    uint32_t size_class = MR_BLOCK_CLASSES - 1;

    while (size_class > 0 && mr_block_class_bytes(size_class) > limit_bytes) size_class--;
    return mr_block_class_bytes(size_class) - sizeof(struct mr_block);
}

struct mr_batch *mr_batch_new(struct mr_quota *quota, uint32_t column_count, size_t bytes_hint)
{
    size_t head = head_bytes(column_count);
    size_t wanted = MR_MIN(bytes_hint, SIZE_MAX / 2) + head;
    size_t bytes = MR_MIN(wanted, BLOCK_ROOM_MAX);
    struct mr_block *block;
    struct mr_batch *batch;

    mr_assert(head <= BLOCK_ROOM_MAX);
    block = mr_block_new(quota, MR_MAX(MR_MIN(bytes, room_within(quota->limit_bytes)), head));
    if (block == NULL) return NULL;
    memset(block->data, 0, head);
    batch = (struct mr_batch *)(void *)block->data;
    atomic_init(&batch->references, 1);
    batch->quota = quota;
    batch->column_count = column_count;
    batch->columns = (struct mr_column *)(void *)(block->data + mri_round64(sizeof *batch));
    batch->blocks = block;
    batch->bump = block->data + head;
    batch->bump_end = block->data + block->capacity_bytes;
    batch->expected_bytes = wanted > block->capacity_bytes ? wanted - block->capacity_bytes : 0;
    return batch;
}

/* A further block: of what is announced, else twice the last one, else just what is needed. */
static bool add_block(struct mr_batch *batch, size_t size_bytes)
{
    size_t wish = batch->expected_bytes > 0 ? batch->expected_bytes
                                            : 2 * (size_t)batch->blocks->capacity_bytes;
    struct mr_block *block;

    wish = MR_MAX(MR_MIN(wish, BLOCK_ROOM_MAX), size_bytes);
    block = mr_block_new(batch->quota, wish);
    if (block == NULL && wish > size_bytes) block = mr_block_new(batch->quota, size_bytes);
    if (block == NULL) return false;
    batch->expected_bytes -= MR_MIN(batch->expected_bytes, block->capacity_bytes);
    block->next = batch->blocks;
    batch->blocks = block;
    /* Go on where there is more room behind this piece. */
    if (block->capacity_bytes - size_bytes > (size_t)(batch->bump_end - batch->bump)) {
        batch->bump = block->data + size_bytes;
        batch->bump_end = block->data + block->capacity_bytes;
    }
    return true;
}

void *mr_batch_memory(struct mr_batch *batch, size_t size_bytes)
{
    size_t rounded = mri_round64(size_bytes);

    mr_assert(size_bytes <= MEMORY_MAX);
    if (MR_LIKELY(rounded <= (size_t)(batch->bump_end - batch->bump))) {
        char *memory = batch->bump;

        batch->bump += rounded;
        return memory;
    }
    return add_block(batch, rounded) ? batch->blocks->data : NULL;
}

bool mri_batch_reserve(struct mr_batch *batch, size_t bytes)
{
    size_t room = (size_t)(batch->bump_end - batch->bump);
    struct mr_block *block;

    if (bytes <= room) return true;
    batch->expected_bytes = bytes;
    block = mr_block_new(batch->quota, MR_MIN(bytes, BLOCK_ROOM_MAX));
    if (block == NULL) return false;
    batch->expected_bytes -= MR_MIN(bytes, block->capacity_bytes);
    block->next = batch->blocks;
    batch->blocks = block;
    batch->bump = block->data;
    batch->bump_end = block->data + block->capacity_bytes;
    return true;
}

size_t mri_bitmap_bytes(uint32_t rows)
{
    return mri_round64(mr_bits_words(rows) * sizeof(uint64_t));
}

size_t mri_values_bytes(enum mr_layout layout, uint32_t rows)
{
    if (layout == MR_LAYOUT_BIT) return mri_bitmap_bytes(rows);
    if (layout == MR_LAYOUT_LIST) rows++;
    return mri_round64((size_t)rows * mr_layout_bytes(layout));
}

void *mr_batch_values(struct mr_batch *batch, enum mr_layout layout, uint32_t rows)
{
    mr_assert(rows <= MR_BATCH_ROWS_MAX);
    if (layout == MR_LAYOUT_BIT) return mr_batch_bitmap(batch, rows);
    return mr_batch_memory(batch, mri_values_bytes(layout, rows));
}

uint64_t *mr_batch_bitmap(struct mr_batch *batch, uint32_t rows)
{
    size_t bytes = mri_bitmap_bytes(rows);
    uint64_t *words = mr_batch_memory(batch, bytes);

    if (words != NULL) memset(words, 0, bytes);
    return words;
}

bool mr_batch_adopt(struct mr_batch *batch, struct mr_block *block)
{
    struct mri_adopted *adopted = mr_batch_memory(batch, sizeof *adopted);

    if (adopted == NULL) return false;
    *adopted = (struct mri_adopted){block, batch->adopted};
    batch->adopted = adopted;
    return true;
}

bool mr_batch_borrow(struct mr_batch *batch, struct mr_batch *base)
{
    mr_assert(batch != base);
    for (uint32_t i = 0; i < batch->base_count; i++) {
        if (batch->bases[i] == base) return true;
    }
    if (batch->base_count == BASES_MAX) return false;
    batch->bases[batch->base_count++] = mr_batch_ref(base);
    return true;
}

size_t mr_batch_own_bytes(const struct mr_batch *batch)
{
    size_t sum = 0;

    for (const struct mr_block *block = batch->blocks; block != NULL; block = block->next) {
        sum += mr_block_class_bytes(block->size_class);
    }
    return sum;
}

/* ---- life ---- */

struct mr_batch *mr_batch_ref(struct mr_batch *batch)
{
    /* Relaxed: whoever refs already holds a reference. */
    uint32_t before = atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);

    mr_assert(before > 0 && before < UINT32_MAX);
    return batch;
}

void mr_batch_release(struct mr_batch *batch)
{
    struct mr_block *block;
    uint32_t before;

    if (batch == NULL) return;
    /* Release what this thread read, acquire what the others did, before the memory is reused. */
    before = atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel);
    mr_assert(before > 0);
    if (before > 1) return;
    for (uint32_t i = 0; i < batch->base_count; i++) mr_batch_release(batch->bases[i]);
    for (struct mri_adopted *at = batch->adopted; at != NULL; at = at->next) {
        mr_block_release(at->block);
    }
    block = batch->blocks; /* from here on the header may go at any step */
    while (block != NULL) {
        struct mr_block *next = block->next;

        mr_block_release(block);
        block = next;
    }
}

/* ---- fewer rows, same memory ---- */

struct mr_batch *mr_batch_select(struct mr_quota *quota, struct mr_batch *batch,
                                 const uint32_t *rows, uint32_t count)
{
    size_t list_bytes = mri_round64(count * sizeof(uint32_t));
    bool compose = batch->origin.known && batch->origin_rows != NULL;
    struct mr_batch *out;
    uint32_t *selection, *origin_rows = NULL;

    mr_assert(count <= batch->row_count);
    out = mr_batch_new(quota, batch->column_count, list_bytes * (compose ? 2 : 1));
    if (out == NULL) return NULL;
    selection = mr_batch_memory(out, list_bytes);
    if (compose) origin_rows = mr_batch_memory(out, list_bytes);
    if (selection == NULL || (compose && origin_rows == NULL) || !mr_batch_borrow(out, batch)) {
        mr_batch_release(out);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        mr_assert_slow(rows[i] < batch->row_count && (i == 0 || rows[i] > rows[i - 1])); /* (2) */
    }
    if (batch->selection != NULL) {
        mri_gather_fixed(4, selection, batch->selection, rows, count);
    } else {
        mri_gather_fixed(4, selection, rows, NULL, count);
    }
    if (compose) mri_gather_fixed(4, origin_rows, batch->origin_rows, rows, count);
    out->row_count = count;
    out->selection = selection;
    memcpy(out->columns, batch->columns, batch->column_count * sizeof *out->columns);
    memcpy(out->hidden, batch->hidden, sizeof out->hidden);
    out->origin = batch->origin;
    if (!batch->origin.known) return out;
    out->origin_rows = compose ? origin_rows : selection;
    if (compose || batch->selection == NULL) return out;
    /* The batch had a selection, but its logical rows are the source rows. */
    origin_rows = mr_batch_memory(out, list_bytes);
    if (origin_rows == NULL) {
        mr_batch_release(out);
        return NULL;
    }
    memcpy(origin_rows, rows, count * sizeof *rows);
    out->origin_rows = origin_rows;
    return out;
}

/* ---- all rows, own memory ---- */

static size_t column_flat_bytes(const struct mr_column *column, uint32_t rows)
{
    return mri_values_bytes(mr_type_layout((enum mr_type)column->type), rows) +
           (column->validity != NULL ? mri_bitmap_bytes(rows) : 0);
}

static size_t flat_bytes(const struct mr_batch *batch)
{
    size_t sum = 0;

    for (uint32_t c = 0; c < batch->column_count; c++) {
        sum += column_flat_bytes(&batch->columns[c], batch->row_count);
    }
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        if (batch->hidden[tag] == NULL) continue;
        sum += column_flat_bytes(batch->hidden[tag], batch->row_count);
        sum += mri_round64(sizeof(struct mr_column));
    }
    return sum;
}

static bool gather_batch(struct mr_batch *out, const struct mr_batch *batch, bool copy_texts)
{
    const uint32_t *rows = batch->selection;
    uint32_t count = batch->row_count;

    for (uint32_t c = 0; c < batch->column_count; c++) {
        if (!mri_gather(out, &batch->columns[c], rows, count, copy_texts, &out->columns[c])) {
            return false;
        }
    }
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        struct mr_column *hidden;

        if (batch->hidden[tag] == NULL) continue;
        hidden = mr_batch_memory(out, sizeof *hidden);
        if (hidden == NULL) return false;
        if (!mri_gather(out, batch->hidden[tag], rows, count, copy_texts, hidden)) return false;
        out->hidden[tag] = hidden;
    }
    out->row_count = count;
    out->origin = batch->origin;
    return true;
}

struct mr_batch *mr_batch_dense(struct mr_quota *quota, struct mr_batch *batch)
{
    struct mr_batch *out;

    if (batch->selection == NULL) return mr_batch_ref(batch);
    out = mr_batch_new(quota, batch->column_count, flat_bytes(batch));
    if (out == NULL) return NULL;
    if (!mr_batch_borrow(out, batch) || !gather_batch(out, batch, false)) {
        mr_batch_release(out);
        return NULL;
    }
    out->origin_rows = batch->origin_rows; /* logical rows are the same; borrowed */
    return out;
}

static bool copy_origin_rows(struct mr_batch *out, const struct mr_batch *batch)
{
    size_t bytes = batch->row_count * sizeof(uint32_t);
    uint32_t *copy;

    if (!batch->origin.known || batch->origin_rows == NULL) return true;
    copy = mr_batch_memory(out, bytes);
    if (copy == NULL) return false;
    memcpy(copy, batch->origin_rows, bytes);
    out->origin_rows = copy;
    return true;
}

struct mr_batch *mr_batch_compact(struct mr_quota *quota, struct mr_batch *batch)
{
    size_t bytes = mr_batch_row_bytes(batch, 0, batch->row_count) - head_bytes(batch->column_count);
    struct mr_batch *out = mr_batch_new(quota, batch->column_count, bytes);

    if (out == NULL) return NULL;
    if (!gather_batch(out, batch, true) || !copy_origin_rows(out, batch)) {
        mr_batch_release(out);
        return NULL;
    }
    return out;
}

/* ---- measuring ---- */

/* Rows [first, first + count) of `rows`, or of 0, 1, 2, ... when it is NULL. */
static size_t text_bytes(const struct mr_column *column, const uint32_t *rows, uint32_t first,
                         uint32_t count)
{
    struct mr_view before = {0};
    size_t sum = 0;
    size_t pieces;

    for (uint32_t i = first; i < first + count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        const struct mr_column *flat;
        const struct mr_view *view;

        if (!mr_column_valid(column, row)) continue;
        flat = mri_resolve_one(column, &row);
        view = &mri_views(flat)[row];
        if (view->size_bytes <= MR_VIEW_INLINE || mri_view_same(view, &before)) continue;
        before = *view;
        sum += before.size_bytes;
    }
    if (sum == 0) return 0;
    /* See copy_far_texts: chunks rounded up, and their list; what is left at the end of a chunk is
     * smaller than the text that did not fit. */
    pieces = 2 * sum / MEMORY_MAX + 2;
    if (sum > MEMORY_MAX) sum *= 2;
    return mri_round64(sum) + pieces * 64 + mri_round64(pieces * sizeof(char *));
}

static size_t nested_bytes(const struct mr_column *column, const uint32_t *rows, uint32_t first,
                           uint32_t count);

static size_t column_bytes(const struct mr_column *column, const uint32_t *rows, uint32_t first,
                           uint32_t count)
{
    size_t sum = column_flat_bytes(column, count);

    switch (mr_type_layout((enum mr_type)column->type)) {
    case MR_LAYOUT_VIEW: return sum + text_bytes(column, rows, first, count);
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: return sum + nested_bytes(column, rows, first, count);
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_BIT:
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_I128: break;
    }
    return sum;
}

/* Row by row: nested columns are rare. A row alone is rounded up each time, so this is generous. */
static size_t nested_bytes(const struct mr_column *column, const uint32_t *rows, uint32_t first,
                           uint32_t count)
{
    const struct mr_column *flat = column->encoding == MR_DICT ? column->children : column;
    size_t sum = mri_round64(flat->child_count * sizeof(struct mr_column));

    for (uint32_t i = first; i < first + count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        uint32_t start, elements = 1;

        (void)mri_resolve_one(column, &row);
        start = row;
        if (column->type != MR_STRUCT) {
            start = mri_offsets(flat)[row];
            elements = mri_offsets(flat)[row + 1] - start;
        }
        for (uint32_t k = 0; k < flat->child_count; k++) {
            sum += column_bytes(&flat->children[k], NULL, start, elements);
        }
    }
    for (uint32_t k = 0; count == 0 && k < flat->child_count; k++) {
        sum += column_bytes(&flat->children[k], NULL, 0, 0);
    }
    return sum;
}

size_t mr_batch_row_bytes(const struct mr_batch *batch, uint32_t first, uint32_t count)
{
    size_t sum = head_bytes(batch->column_count);

    mr_assert(first <= batch->row_count && count <= batch->row_count - first);
    for (uint32_t c = 0; c < batch->column_count; c++) {
        sum += column_bytes(&batch->columns[c], batch->selection, first, count);
    }
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        if (batch->hidden[tag] == NULL) continue;
        sum += mri_round64(sizeof(struct mr_column));
        sum += column_bytes(batch->hidden[tag], batch->selection, first, count);
    }
    if (batch->origin_rows != NULL) sum += mri_round64(count * sizeof(uint32_t));
    return sum;
}

int64_t mr_batch_event_time(const struct mr_batch *batch, uint32_t row)
{
    const struct mr_column *times = batch->hidden[MR_HIDDEN_EVENT_TIME];
    uint32_t element = mr_batch_at(batch, row);

    if (times == NULL || !mr_column_valid(times, element)) return MR_TIME_MIN;
    return mr_column_int64(times, element);
}
