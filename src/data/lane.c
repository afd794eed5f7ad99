/* lane.c - see builder_internal.h: room, texts and single elements of a batch under construction.
 *
 * Texts of all columns go into common chunks, so that a batch with ten text columns does not need
 * ten half-empty blocks; all text columns share one list of buffers.
 */
#include "base/assert.h"
#include "data/builder_internal.h"
#include "data/data_internal.h"

#include <string.h>

#define CHUNK_START    1024u /* bytes of the first chunk of texts; they double */
#define BUFFERS_START  32u
#define TEXT_CHUNK_MAX (MR_BLOCK_BYTES_MAX - 128)

/* ---- room ---- */

/* Why there is no room for `bytes` more. Rows that are there can be handed on. Without rows others
 * may give memory back, unless there are no others. */
MR_COLD enum mr_build mri_no_room(const struct mr_builder *builder, size_t bytes)
{
    size_t own = builder->batch != NULL ? mr_batch_own_bytes(builder->batch) : 0;

    if (mr_builder_rows(builder) + builder->pending > 0) return MR_BUILD_FULL;
    if (own != atomic_load_explicit(&builder->quota->used_bytes, memory_order_relaxed) ||
        mr_quota_has(builder->quota, MR_MIN(bytes, TEXT_CHUNK_MAX))) {
        return MR_BUILD_BLOCKED; /* the memory of others, or the heap's */
    }
    return MR_BUILD_TOO_LARGE;
}

/* The array of a lane and its bitmap for `capacity` elements. */
size_t mri_lane_bytes_for(const struct mri_lane *lane, uint32_t capacity)
{
    size_t sum = mri_values_bytes(lane->layout, capacity) + mri_bitmap_bytes(capacity);

    for (uint32_t k = 0; k < lane->child_count; k++) {
        sum += mri_lane_bytes_for(&lane->children[k], capacity);
    }
    return sum;
}

static size_t lane_used_bytes(const struct mri_lane *lane, uint32_t count)
{
    if (lane->layout == MR_LAYOUT_BIT) return mr_bits_words(count) * sizeof(uint64_t);
    if (lane->layout == MR_LAYOUT_LIST) count++;
    return (size_t)count * mr_layout_bytes(lane->layout);
}

/* Gives a lane (and what has the same length below it) room for `capacity` elements, keeping the
 * first `count`. On failure nothing has changed for this lane. */
bool mri_lane_grow(struct mr_batch *batch, struct mri_lane *lane, uint32_t capacity, uint32_t count)
{
    void *values;
    uint64_t *validity;

    for (uint32_t k = 0; lane->layout == MR_LAYOUT_STRUCT && k < lane->child_count; k++) {
        if (!mri_lane_grow(batch, &lane->children[k], capacity, count)) return false;
    }
    if (capacity <= lane->capacity) return true;
    values = mr_batch_values(batch, lane->layout, capacity);
    validity = mr_batch_memory(batch, mri_bitmap_bytes(capacity));
    if (values == NULL || validity == NULL) return false;
    if (lane->layout == MR_LAYOUT_LIST && lane->capacity == 0) *(uint32_t *)values = 0;
    if (lane->capacity > 0) memcpy(values, lane->values, lane_used_bytes(lane, count));
    if (lane->has_nulls) {
        memcpy(validity, lane->validity, mr_bits_words(count) * sizeof(uint64_t));
    }
    lane->values = values;
    lane->validity = validity;
    lane->capacity = capacity;
    return true;
}

/* ---- texts ---- */

static bool grow_buffers(struct mr_builder *builder)
{
    uint32_t capacity = MR_MAX(builder->buffer_capacity * 2, BUFFERS_START);
    const char **buffers = mr_batch_memory(builder->batch, capacity * sizeof *buffers);

    if (buffers == NULL) return false;
    if (builder->buffer_count > 0) {
        memcpy(buffers, builder->buffers, builder->buffer_count * sizeof *buffers);
    }
    builder->buffers = buffers;
    builder->buffer_capacity = capacity;
    return true;
}

/* One batch must not use up a quota: while it is under way the next one is to be built. */
static bool batch_is_fat(const struct mr_builder *builder)
{
    return builder->rows + builder->pending > 0 &&
           mr_batch_own_bytes(builder->batch) >
               MR_MAX(builder->quota->limit_bytes / 4, MR_BLOCK_BYTES_MAX);
}

static enum mr_build next_chunk(struct mr_builder *builder, size_t size_bytes)
{
    size_t bytes = MR_MIN((size_t)builder->chunk_bytes * 2, TEXT_CHUNK_MAX);
    char *chunk;

    bytes = MR_MAX(MR_MAX(bytes, CHUNK_START), mri_round64(size_bytes));
    if (batch_is_fat(builder)) return MR_BUILD_FULL;
    if (builder->buffer_count == builder->buffer_capacity && !grow_buffers(builder)) {
        return mri_no_room(builder, 1);
    }
    chunk = mr_batch_memory(builder->batch, bytes);
    if (chunk == NULL) {
        bytes = mri_round64(size_bytes);
        chunk = mr_batch_memory(builder->batch, bytes);
    }
    if (chunk == NULL) return mri_no_room(builder, bytes);
    builder->buffers[builder->buffer_count++] = chunk;
    builder->chunk = chunk;
    builder->chunk_bytes = (uint32_t)bytes;
    builder->chunk_used = 0;
    return MR_BUILD_OK;
}

enum mr_build mri_text_room(struct mr_builder *builder, size_t size_bytes, char **out)
{
    if (size_bytes > builder->chunk_bytes - builder->chunk_used) {
        enum mr_build result;

        if (size_bytes > MR_TEXT_BYTES_MAX) return MR_BUILD_TOO_LARGE;
        result = next_chunk(builder, size_bytes);
        if (result != MR_BUILD_OK) return result;
    }
    *out = builder->chunk + builder->chunk_used;
    return MR_BUILD_OK;
}

/* The view of the text that was just written to where mri_text_room said. */
static struct mr_view take_text(struct mr_builder *builder, uint32_t size_bytes)
{
    struct mr_view view = mr_view_make(builder->chunk + builder->chunk_used, size_bytes,
                                       builder->buffer_count - 1, builder->chunk_used);

    builder->chunk_used += size_bytes;
    return view;
}

/* ---- one element ---- */

void mri_lane_valid(struct mri_lane *lane, uint32_t at)
{
    if (lane->has_nulls) mr_bit_set(lane->validity, at);
}

/* The bitmap comes into use with the first null. */
void mri_lane_use_validity(struct mri_lane *lane, uint32_t at)
{
    if (lane->has_nulls) return;
    memset(lane->validity, 0, mri_bitmap_bytes(lane->capacity));
    mr_bits_fill(lane->validity, at, true);
    lane->has_nulls = true;
}

void mri_lane_zero(struct mri_lane *lane, uint32_t at)
{
    uint32_t value_bytes = mr_layout_bytes(lane->layout);

    if (lane->layout == MR_LAYOUT_BIT) {
        mr_bit_clear(lane->values, at);
    } else if (lane->layout == MR_LAYOUT_LIST) {
        ((uint32_t *)lane->values)[at + 1] = ((uint32_t *)lane->values)[at];
    } else if (lane->layout == MR_LAYOUT_STRUCT) {
        for (uint32_t k = 0; k < lane->child_count; k++) mri_lane_null(&lane->children[k], at);
    } else {
        memset((char *)lane->values + (size_t)at * value_bytes, 0, value_bytes);
    }
}

void mri_lane_null(struct mri_lane *lane, uint32_t at)
{
    mr_assert(at < lane->capacity);
    mri_lane_use_validity(lane, at);
    mr_bit_clear(lane->validity, at);
    mri_lane_zero(lane, at);
}

void mri_lane_int64(struct mri_lane *lane, uint32_t at, int64_t value)
{
    void *values = lane->values;

    mr_assert(at < lane->capacity);
    switch (lane->layout) {
    case MR_LAYOUT_BIT: mr_bit_assign(values, at, value != 0); break;
    case MR_LAYOUT_I8: ((int8_t *)values)[at] = (int8_t)value; break;
    case MR_LAYOUT_I16: ((int16_t *)values)[at] = (int16_t)value; break;
    case MR_LAYOUT_I32: ((int32_t *)values)[at] = (int32_t)value; break;
    case MR_LAYOUT_I64: ((int64_t *)values)[at] = value; break;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_I128:
    case MR_LAYOUT_VIEW:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: MR_UNREACHABLE();
    }
    mri_lane_valid(lane, at);
}

void mri_lane_float64(struct mri_lane *lane, uint32_t at, double value)
{
    mr_assert(at < lane->capacity);
    if (lane->layout == MR_LAYOUT_F32) {
        ((float *)lane->values)[at] = (float)value;
    } else {
        mr_assert(lane->layout == MR_LAYOUT_F64);
        ((double *)lane->values)[at] = value;
    }
    mri_lane_valid(lane, at);
}

void mri_lane_int128(struct mri_lane *lane, uint32_t at, mr_i128 value)
{
    mr_assert(at < lane->capacity && lane->layout == MR_LAYOUT_I128);
    memcpy((char *)lane->values + (size_t)at * sizeof value, &value, sizeof value);
    mri_lane_valid(lane, at);
}

void mri_lane_text(struct mr_builder *builder, struct mri_lane *lane, uint32_t at, const char *data,
                   size_t size_bytes)
{
    struct mr_view *views = lane->values;

    mr_assert(at < lane->capacity && lane->layout == MR_LAYOUT_VIEW);
    if (size_bytes <= MR_VIEW_INLINE) {
        views[at] = mr_view_make(size_bytes > 0 ? data : "", (uint32_t)size_bytes, 0, 0);
    } else {
        mr_assert(data == builder->chunk + builder->chunk_used);
        views[at] = take_text(builder, (uint32_t)size_bytes);
    }
    mri_lane_valid(lane, at);
}

enum mr_build mri_lane_bytes(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                             const char *data, size_t size_bytes)
{
    if (size_bytes > MR_VIEW_INLINE) {
        char *room = NULL;
        enum mr_build result = mri_text_room(builder, size_bytes, &room);

        if (result != MR_BUILD_OK) return result;
        data = memcpy(room, data, size_bytes);
    }
    mri_lane_text(builder, lane, at, data, size_bytes);
    return MR_BUILD_OK;
}

/* Children of lists have lengths of their own and grow by themselves. */
static enum mr_build child_room(struct mr_builder *builder, struct mri_lane *lane, uint32_t count,
                                uint32_t wanted)
{
    uint32_t capacity;

    if (wanted <= lane->capacity) return MR_BUILD_OK;
    if (wanted > MR_BATCH_ROWS_MAX) {
        return builder->rows + builder->pending > 0 ? MR_BUILD_FULL : MR_BUILD_TOO_LARGE;
    }
    capacity = MR_MAX(wanted, MR_MIN(lane->capacity * 2, MR_BATCH_ROWS_MAX));
    capacity = MR_MAX(capacity, 16);
    if (!mri_lane_grow(builder->batch, lane, capacity, count)) {
        return mri_no_room(builder, mri_values_bytes(lane->layout, capacity));
    }
    return MR_BUILD_OK;
}

enum mr_build mri_lane_list(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                            uint32_t count, uint32_t *out_first)
{
    uint32_t *offsets = lane->values;

    mr_assert(at < lane->capacity && lane->layout == MR_LAYOUT_LIST);
    if (count > MR_BATCH_ROWS_MAX) return MR_BUILD_TOO_LARGE;
    for (uint32_t k = 0; k < lane->child_count; k++) {
        enum mr_build result =
            child_room(builder, &lane->children[k], offsets[at], offsets[at] + count);

        if (result != MR_BUILD_OK) return result;
    }
    offsets[at + 1] = offsets[at] + count;
    *out_first = offsets[at];
    mri_lane_valid(lane, at);
    return MR_BUILD_OK;
}

/* ---- copying an element of any column ---- */

static enum mr_build lane_copy_list(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                                    const struct mr_column *source, uint32_t element)
{
    const uint32_t *range = mri_offsets(source) + element;
    uint32_t count = range[1] - range[0];
    uint32_t first = 0;
    enum mr_build result = mri_lane_list(builder, lane, at, count, &first);

    for (uint32_t i = 0; result == MR_BUILD_OK && i < count; i++) {
        for (uint32_t k = 0; result == MR_BUILD_OK && k < lane->child_count; k++) {
            result = mri_lane_copy(builder, &lane->children[k], first + i, &source->children[k],
                                   range[0] + i);
        }
    }
    return result;
}

static enum mr_build lane_copy_struct(struct mr_builder *builder, struct mri_lane *lane,
                                      uint32_t at, const struct mr_column *source, uint32_t element)
{
    enum mr_build result = MR_BUILD_OK;

    for (uint32_t k = 0; result == MR_BUILD_OK && k < lane->child_count; k++) {
        result = mri_lane_copy(builder, &lane->children[k], at, &source->children[k], element);
    }
    mri_lane_valid(lane, at);
    return result;
}

enum mr_build mri_lane_copy(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                            const struct mr_column *source, uint32_t element)
{
    mr_assert(mr_type_layout((enum mr_type)source->type) == lane->layout);
    if (!mr_column_valid(source, element)) {
        mri_lane_null(lane, at);
        return MR_BUILD_OK;
    }
    source = mri_resolve_one(source, &element);
    switch (lane->layout) {
    case MR_LAYOUT_BIT:
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64:
        mri_lane_int64(lane, at, mr_column_int64(source, element));
        return MR_BUILD_OK;
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64: {
        uint32_t value_bytes = mr_layout_bytes(lane->layout);

        /* Bit by bit: a signalling NaN stays what it is. */
        memcpy((char *)lane->values + (size_t)at * value_bytes,
               (const char *)source->values + (size_t)element * value_bytes, value_bytes);
        mri_lane_valid(lane, at);
        return MR_BUILD_OK;
    }
    case MR_LAYOUT_I128:
        mri_lane_int128(lane, at, mr_column_int128(source, element));
        return MR_BUILD_OK;
    case MR_LAYOUT_VIEW: {
        struct mr_bytes bytes = mr_column_bytes(source, element);

        return mri_lane_bytes(builder, lane, at, bytes.data, bytes.size_bytes);
    }
    case MR_LAYOUT_LIST: return lane_copy_list(builder, lane, at, source, element);
    case MR_LAYOUT_STRUCT: return lane_copy_struct(builder, lane, at, source, element);
    case MR_LAYOUT_NONE: break;
    }
    MR_UNREACHABLE();
}
