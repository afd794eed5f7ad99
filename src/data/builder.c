/* builder.c - see builder.h and builder_internal.h.
 *
 * Rows are appended a column at a time; lane.c does what concerns one column.
 */
#include "data/builder.h"
#include "base/assert.h"
#include "base/status.h"
#include "data/builder_internal.h"
#include "data/data_internal.h"

#include <string.h>

#define ROWS_START  64u /* the capacity of a first batch */
#define ROWS_GROWTH 4u  /* and how it grows */

static const struct mr_field tracking_element = {.name = "id", .type = MR_INT64};
static const struct mr_field hidden_fields[MR_HIDDEN_COUNT] = {
    [MR_HIDDEN_EVENT_TIME] = {.name = "event time", .type = MR_TIMESTAMP_LTZ},
    [MR_HIDDEN_CHANGE] = {.name = "change", .type = MR_INT8},
    [MR_HIDDEN_WINDOW_START] = {.name = "window start", .type = MR_TIMESTAMP_LTZ},
    [MR_HIDDEN_WINDOW_END] = {.name = "window end", .type = MR_TIMESTAMP_LTZ},
    [MR_HIDDEN_PANE] = {.name = "pane", .type = MR_INT64},
    [MR_HIDDEN_TRACKING] = {.name = "tracking",
                            .type = MR_LIST,
                            .child_count = 1,
                            .children = &tracking_element},
    [MR_HIDDEN_TARGET] = {.name = "target", .type = MR_INT32},
    [MR_HIDDEN_KEY_HASH] = {.name = "key hash", .type = MR_INT64},
    [MR_HIDDEN_SPLIT_WATERMARK] = {.name = "split watermark", .type = MR_TIMESTAMP_LTZ},
};

/* ---- life ---- */

static uint32_t count_lanes(const struct mr_field *fields, uint32_t count)
{
    uint32_t sum = count;

    for (uint32_t i = 0; i < count; i++) {
        sum += count_lanes(fields[i].children, fields[i].child_count);
    }
    return sum;
}

static void lane_init(struct mri_lane *lane, const struct mr_field *field,
                      struct mri_lane **next_free)
{
    lane->field = field;
    lane->layout = mr_type_layout(field->type);
    lane->child_count = field->child_count;
    if (field->child_count == 0) return;
    lane->children = *next_free;
    *next_free += field->child_count;
    for (uint32_t k = 0; k < field->child_count; k++) {
        lane_init(&lane->children[k], &field->children[k], next_free);
    }
}

static void lanes_init(struct mr_builder *builder)
{
    struct mri_lane *next_free = builder->lanes + builder->lane_count;
    uint32_t at = 0;

    while (at < builder->schema->column_count) {
        lane_init(&builder->lanes[at], &builder->schema->fields[at], &next_free);
        at++;
    }
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        if ((builder->hidden_mask >> tag & 1) == 0) continue;
        lane_init(&builder->lanes[at], &hidden_fields[tag], &next_free);
        builder->lanes[at].fallback = mr_hidden_default((enum mr_hidden)tag);
        builder->hidden_tags[at - builder->schema->column_count] = (uint8_t)tag;
        builder->hidden[tag] = &builder->lanes[at++];
    }
    mr_assert(at == builder->lane_count);
    mr_assert(next_free == builder->lanes + builder->all_lane_count);
}

enum mr_status mr_builder_create(struct mr_heap *heap, const struct mr_schema *schema,
                                 uint32_t hidden_mask, uint32_t row_capacity,
                                 struct mr_quota *quota, struct mr_builder **out,
                                 struct mr_error *err)
{
    struct mr_builder *builder = mr_alloc_zero(heap, sizeof *builder);

    mr_assert(row_capacity >= 1 && row_capacity <= MR_BATCH_ROWS_MAX);
    mr_assert(hidden_mask < (1u << MR_HIDDEN_COUNT));
    if (builder == NULL) return mr_error_nomem(err, "batch builder", sizeof *builder);
    builder->lane_count = schema->column_count;
    builder->all_lane_count = count_lanes(schema->fields, schema->column_count);
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        if ((hidden_mask >> tag & 1) == 0) continue;
        builder->lane_count++;
        builder->all_lane_count += count_lanes(&hidden_fields[tag], 1);
    }
    builder->lanes = mr_alloc_array(heap, builder->all_lane_count, sizeof(struct mri_lane));
    if (builder->lanes == NULL) {
        size_t bytes = builder->all_lane_count * sizeof(struct mri_lane);

        mr_free(heap, builder, sizeof *builder);
        return mr_error_nomem(err, "batch builder", bytes);
    }
    builder->heap = heap;
    /* A reference does not change what the schema says. */
    builder->schema = mr_schema_ref((struct mr_schema *)(uintptr_t)schema);
    builder->quota = quota;
    builder->hidden_mask = hidden_mask;
    builder->row_capacity = row_capacity;
    builder->start_capacity = MR_MIN(row_capacity, ROWS_START);
    lanes_init(builder);
    *out = builder;
    return MR_OK;
}

void mr_builder_destroy(struct mr_builder *builder)
{
    if (builder == NULL) return;
    mr_batch_release(builder->batch);
    mr_schema_release(builder->schema);
    mr_free(builder->heap, builder->lanes, builder->all_lane_count * sizeof(struct mri_lane));
    mr_free(builder->heap, builder, sizeof *builder);
}

uint32_t mr_builder_rows(const struct mr_builder *builder)
{
    return builder->batch != NULL ? builder->rows : 0;
}

/* ---- room ---- */

/* Grows every lane to `capacity` rows. Children of lists keep the room that they have. */
static bool lanes_grow(struct mr_builder *builder, uint32_t capacity)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < builder->lane_count; i++) {
        bytes += mri_lane_bytes_for(&builder->lanes[i], capacity);
    }
    if (!mri_batch_reserve(builder->batch, bytes)) return false;
    for (uint32_t i = 0; i < builder->lane_count; i++) {
        if (!mri_lane_grow(builder->batch, &builder->lanes[i], capacity, builder->rows))
            return false;
    }
    builder->capacity = capacity;
    return true;
}

static bool make_child_columns(struct mr_batch *batch, struct mri_lane *lane)
{
    if (lane->child_count == 0) return true;
    lane->child_columns = mr_batch_memory(batch, lane->child_count * sizeof(struct mr_column));
    if (lane->child_columns == NULL) return false;
    for (uint32_t k = 0; k < lane->child_count; k++) {
        if (!make_child_columns(batch, &lane->children[k])) return false;
    }
    return true;
}

static uint32_t hidden_count(const struct mr_builder *builder)
{
    return builder->lane_count - builder->schema->column_count;
}

/* What a batch for `capacity` rows needs beside its head, without texts. */
static size_t batch_bytes(const struct mr_builder *builder, uint32_t capacity)
{
    size_t bytes = mri_round64(hidden_count(builder) * sizeof(struct mr_column));

    for (uint32_t i = 0; i < builder->all_lane_count; i++) {
        bytes += mri_round64(builder->lanes[i].child_count * sizeof(struct mr_column));
    }
    for (uint32_t i = 0; i < builder->lane_count; i++) {
        bytes += mri_lane_bytes_for(&builder->lanes[i], capacity);
    }
    return bytes;
}

static void forget_batch(struct mr_builder *builder)
{
    builder->batch = NULL;
    builder->rows = 0;
    builder->pending = 0;
    builder->capacity = 0;
    builder->buffers = NULL;
    builder->buffer_count = builder->buffer_capacity = 0;
    builder->chunk = NULL;
    builder->chunk_used = builder->chunk_bytes = 0;
    for (uint32_t i = 0; i < builder->all_lane_count; i++) {
        builder->lanes[i].capacity = 0;
        builder->lanes[i].has_nulls = false;
    }
}

/* A new batch with room for `capacity` rows. */
static bool open_batch(struct mr_builder *builder, uint32_t capacity)
{
    bool ok;

    forget_batch(builder);
    builder->batch =
        mr_batch_new(builder->quota, builder->schema->column_count, batch_bytes(builder, capacity));
    if (builder->batch == NULL) return false;
    builder->hidden_columns =
        mr_batch_memory(builder->batch, hidden_count(builder) * sizeof(struct mr_column));
    ok = builder->hidden_columns != NULL;
    for (uint32_t i = 0; ok && i < builder->lane_count; i++) {
        ok = make_child_columns(builder->batch, &builder->lanes[i]) &&
             mri_lane_grow(builder->batch, &builder->lanes[i], capacity, 0);
    }
    if (ok) {
        builder->capacity = capacity;
        return true;
    }
    mr_batch_release(builder->batch);
    builder->batch = NULL;
    return false;
}

/* Room for at least one more row. */
static enum mr_build ensure_row(struct mr_builder *builder)
{
    if (builder->batch == NULL) {
        uint32_t capacity = builder->start_capacity;

        /* Rather a small batch than none. */
        while (!open_batch(builder, capacity)) {
            if (capacity == 1) return mri_no_room(builder, batch_bytes(builder, 1));
            capacity = MR_MAX(capacity / ROWS_GROWTH, 1);
        }
        return MR_BUILD_OK;
    }
    if (MR_LIKELY(builder->rows < builder->capacity)) return MR_BUILD_OK;
    if (builder->rows == builder->row_capacity) return MR_BUILD_FULL;
    if (!lanes_grow(builder, MR_MIN(builder->row_capacity, builder->capacity * ROWS_GROWTH))) {
        return MR_BUILD_FULL;
    }
    return MR_BUILD_OK;
}

/* ---- row form ---- */

struct mri_lane *mri_builder_lane(struct mr_builder *builder, uint32_t column)
{
    mr_assert(builder->row_open);
    mr_assert(column < builder->schema->column_count);
    return &builder->lanes[column];
}

uint32_t mri_builder_row(const struct mr_builder *builder)
{
    return builder->rows;
}

void mri_builder_mark(struct mr_builder *builder, struct mri_lane *lane)
{
    lane->row_set = builder->serial;
}

enum mr_build mr_builder_begin_row(struct mr_builder *builder)
{
    enum mr_build result = ensure_row(builder);

    mr_assert(!builder->row_open);
    if (result != MR_BUILD_OK) return result;
    builder->serial++;
    builder->row_open = true;
    return MR_BUILD_OK;
}

static struct mri_lane *set_lane(struct mr_builder *builder, uint32_t column)
{
    struct mri_lane *lane = mri_builder_lane(builder, column);

    mri_builder_mark(builder, lane);
    return lane;
}

void mr_builder_set_int64(struct mr_builder *builder, uint32_t column, int64_t value)
{
    mri_lane_int64(set_lane(builder, column), builder->rows, value);
}

void mr_builder_set_float64(struct mr_builder *builder, uint32_t column, double value)
{
    mri_lane_float64(set_lane(builder, column), builder->rows, value);
}

void mr_builder_set_int128(struct mr_builder *builder, uint32_t column, mr_i128 value)
{
    mri_lane_int128(set_lane(builder, column), builder->rows, value);
}

enum mr_build mr_builder_set_bytes(struct mr_builder *builder, uint32_t column, const char *data,
                                   size_t size_bytes)
{
    return mri_lane_bytes(builder, set_lane(builder, column), builder->rows, data, size_bytes);
}

enum mr_build mr_builder_set_from(struct mr_builder *builder, uint32_t column,
                                  const struct mr_column *source, uint32_t element)
{
    return mri_lane_copy(builder, set_lane(builder, column), builder->rows, source, element);
}

void mr_builder_set_null(struct mr_builder *builder, uint32_t column)
{
    mri_lane_null(set_lane(builder, column), builder->rows);
}

void mr_builder_set_hidden(struct mr_builder *builder, enum mr_hidden tag, int64_t value)
{
    struct mri_lane *lane = builder->hidden[tag];

    mr_assert(builder->row_open && lane != NULL);
    mri_builder_mark(builder, lane);
    mri_lane_int64(lane, builder->rows, value);
}

static void lane_fallback(struct mri_lane *lane, uint32_t at)
{
    if (lane->layout == MR_LAYOUT_LIST) {
        mri_lane_zero(lane, at);
    } else {
        mri_lane_int64(lane, at, lane->fallback);
    }
}

void mr_builder_commit_row(struct mr_builder *builder)
{
    uint32_t columns = builder->schema->column_count;

    mr_assert(builder->row_open);
    for (uint32_t i = 0; i < columns; i++) {
        if (builder->lanes[i].row_set == builder->serial) continue;
        mri_lane_null(&builder->lanes[i], builder->rows);
    }
    for (uint32_t i = columns; i < builder->lane_count; i++) {
        if (builder->lanes[i].row_set == builder->serial) continue;
        lane_fallback(&builder->lanes[i], builder->rows);
    }
    builder->rows++;
    builder->row_open = false;
}

void mr_builder_abandon_row(struct mr_builder *builder)
{
    builder->row_open = false;
}

/* ---- appending rows of a batch, a column at a time ---- */

/* A piece of at most MRI_STEP_ROWS rows on its way into the lanes. */
struct piece {
    const uint32_t *elements; /* in the columns of the source; NULL: 0, 1, 2, ... */
    uint32_t count;
    uint32_t at; /* first row in the lanes */
};

static void append_validity(struct mri_lane *lane, const struct mr_column *source,
                            const struct piece *piece)
{
    bool valid = mri_all_valid(source, piece->elements, 0, piece->count);

    if (valid && !lane->has_nulls) return;
    mri_lane_use_validity(lane, piece->at);
    if (valid || source->encoding == MR_CONST) {
        mri_bits_range(lane->validity, piece->at, piece->count, valid);
    } else {
        mri_gather_bits(lane->validity, piece->at, source->validity, piece->elements, piece->count);
    }
}

/* True when one of the views is not inline. */
static bool append_views(struct mr_view *restrict out, const struct mr_view *restrict views,
                         const uint32_t *rows, uint32_t count)
{
    uint32_t far = 0;

    if (rows == NULL) {
        memcpy(out, views, count * sizeof *out);
        for (uint32_t i = 0; i < count; i++) far |= out[i].size_bytes > MR_VIEW_INLINE;
    } else {
        for (uint32_t i = 0; i < count; i++) {
            out[i] = views[rows[i]];
            far |= out[i].size_bytes > MR_VIEW_INLINE;
        }
    }
    return far != 0;
}

/* Copies the bytes of the far views in out[0..count). Returns how many rows are done when there is
 * no more room. */
static uint32_t copy_far(struct mr_builder *builder, struct mri_lane *lane,
                         const struct mr_column *from, const struct piece *piece,
                         enum mr_build *out_result)
{
    struct mr_view *views = (struct mr_view *)lane->values + piece->at;
    struct mr_view before = {0}, copied = {0};

    for (uint32_t i = 0; i < piece->count; i++) {
        if (views[i].size_bytes <= MR_VIEW_INLINE) continue;
        if (lane->has_nulls && !mr_bit_get(lane->validity, piece->at + i)) {
            memset(&views[i], 0, sizeof views[i]);
            continue;
        }
        if (!mri_view_same(&views[i], &before)) {
            uint32_t size_bytes = views[i].size_bytes;

            if (MR_UNLIKELY(size_bytes > builder->chunk_bytes - builder->chunk_used)) {
                char *room = NULL;

                builder->pending = i;
                *out_result = mri_text_room(builder, size_bytes, &room);
                if (*out_result != MR_BUILD_OK) return i;
            }
            before = copied = views[i];
            copied.u.far.buffer = builder->buffer_count - 1;
            copied.u.far.offset = builder->chunk_used;
            mri_copy_far(builder->chunk + builder->chunk_used, mr_view_data(from, &before),
                         size_bytes);
            builder->chunk_used += size_bytes;
        }
        views[i] = copied;
    }
    return piece->count;
}

static uint32_t append_texts(struct mr_builder *builder, struct mri_lane *lane,
                             const struct mr_column *source, const struct piece *piece,
                             enum mr_build *out_result)
{
    uint32_t scratch[MRI_STEP_ROWS];
    struct mri_elements from = mri_resolve(source, piece->elements, 0, piece->count, scratch);
    struct mr_view *views = (struct mr_view *)lane->values + piece->at;

    if (!append_views(views, mri_views(from.column), from.rows, piece->count)) return piece->count;
    return copy_far(builder, lane, from.column, piece, out_result);
}

static uint32_t append_nested(struct mr_builder *builder, struct mri_lane *lane,
                              const struct mr_column *source, const struct piece *piece,
                              enum mr_build *out_result)
{
    for (uint32_t i = 0; i < piece->count; i++) {
        uint32_t element = piece->elements != NULL ? piece->elements[i] : i;

        builder->pending = i;
        *out_result = mri_lane_copy(builder, lane, piece->at + i, source, element);
        if (*out_result != MR_BUILD_OK) return i;
    }
    return piece->count;
}

static void append_fixed(struct mri_lane *lane, const struct mr_column *source,
                         const struct piece *piece)
{
    uint32_t scratch[MRI_STEP_ROWS];
    struct mri_elements from = mri_resolve(source, piece->elements, 0, piece->count, scratch);
    uint32_t value_bytes = mr_layout_bytes(lane->layout);

    if (lane->layout == MR_LAYOUT_BIT) {
        mri_gather_bits(lane->values, piece->at, from.column->values, from.rows, piece->count);
    } else {
        mri_gather_fixed(value_bytes, (char *)lane->values + (size_t)piece->at * value_bytes,
                         from.column->values, from.rows, piece->count);
    }
}

/* Returns how many rows of the piece this lane has taken. */
static uint32_t append_lane(struct mr_builder *builder, struct mri_lane *lane,
                            const struct mr_column *source, const struct piece *piece,
                            enum mr_build *out_result)
{
    if (source == NULL) { /* a hidden column that the batch does not have */
        for (uint32_t i = 0; i < piece->count; i++) lane_fallback(lane, piece->at + i);
        return piece->count;
    }
    mr_assert(mr_type_layout((enum mr_type)source->type) == lane->layout);
    if (lane->layout == MR_LAYOUT_LIST || lane->layout == MR_LAYOUT_STRUCT) {
        return append_nested(builder, lane, source, piece, out_result);
    }
    append_validity(lane, source, piece);
    if (lane->layout == MR_LAYOUT_VIEW) {
        return append_texts(builder, lane, source, piece, out_result);
    }
    append_fixed(lane, source, piece);
    return piece->count;
}

/* Appends a piece that fits the capacity. A lane that runs out of room shortens the piece for all;
 * what other lanes have beyond is overwritten by the next row. */
static enum mr_build append_piece(struct mr_builder *builder, const struct mr_batch *batch,
                                  struct piece *piece)
{
    enum mr_build result = MR_BUILD_OK;

    for (uint32_t i = 0; i < builder->lane_count; i++) {
        const struct mr_column *source = NULL;
        struct mri_lane *lane = &builder->lanes[i];
        enum mr_build here = MR_BUILD_OK;

        if (i < batch->column_count) {
            source = &batch->columns[i];
        } else {
            source = batch->hidden[builder->hidden_tags[i - batch->column_count]];
        }
        builder->pending = 0;
        piece->count = append_lane(builder, lane, source, piece, &here);
        if (here != MR_BUILD_OK) result = here; /* the last one had the least room */
    }
    builder->pending = 0;
    builder->rows += piece->count;
    return result;
}

/* The next rows of the batch as elements of its columns. */
static void cut_piece(const struct mr_builder *builder, const struct mr_batch *batch,
                      const uint32_t *rows, uint32_t done, uint32_t count, uint32_t *scratch,
                      struct piece *piece)
{
    count = MR_MIN(count, builder->capacity - builder->rows);
    *piece = (struct piece){NULL, count, builder->rows};
    if (batch->selection == NULL && (rows != NULL || done == 0)) {
        piece->elements = rows != NULL ? rows + done : NULL;
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        scratch[i] = mr_batch_at(batch, rows != NULL ? rows[done + i] : done + i);
    }
    piece->elements = scratch;
}

enum mr_build mr_builder_append(struct mr_builder *builder, const struct mr_batch *batch,
                                const uint32_t *rows, uint32_t count, uint32_t *out_done)
{
    uint32_t scratch[MRI_STEP_ROWS];
    uint32_t step = MRI_STEP_ROWS;
    uint32_t done = 0;
    enum mr_build result = MR_BUILD_OK;

    mr_assert(!builder->row_open);
    mr_assert(batch->column_count == builder->schema->column_count);
    while (done < count && result == MR_BUILD_OK) {
        struct piece piece;
        uint32_t wanted;

        result = ensure_row(builder);
        if (result != MR_BUILD_OK) break;
        cut_piece(builder, batch, rows, done, MR_MIN(count - done, step), scratch, &piece);
        wanted = piece.count;
        result = append_piece(builder, batch, &piece);
        done += piece.count;
        if (result == MR_BUILD_OK) continue;
        if (builder->rows > 0) {
            result = MR_BUILD_FULL;
        } else if (wanted > 1) {
            /* The first text columns left no room for the others: try with fewer rows. */
            mr_batch_release(builder->batch);
            forget_batch(builder);
            step = wanted / 4 + 1;
            result = MR_BUILD_OK;
        }
    }
    *out_done = done;
    return result;
}

/* ---- handing over ---- */

static void finish_lane(const struct mr_builder *builder, const struct mri_lane *lane,
                        uint32_t count, struct mr_column *out)
{
    *out = (struct mr_column){.type = (uint8_t)lane->field->type,
                              .encoding = MR_FLAT,
                              .precision = lane->field->precision,
                              .scale = lane->field->scale,
                              .values = lane->values};
    if (lane->layout == MR_LAYOUT_VIEW && builder->buffer_count > 0) {
        out->buffers = builder->buffers;
        out->buffer_count = builder->buffer_count;
    }
    if (lane->has_nulls && !mr_bits_all(lane->validity, count)) {
        if (count % 64 != 0) lane->validity[count / 64] &= mr_bits_low(count % 64);
        out->validity = lane->validity;
    }
    if (lane->child_count == 0) return;
    if (lane->layout == MR_LAYOUT_LIST) count = ((const uint32_t *)lane->values)[count];
    for (uint32_t k = 0; k < lane->child_count; k++) {
        finish_lane(builder, &lane->children[k], count, &lane->child_columns[k]);
    }
    if (lane->layout == MR_LAYOUT_STRUCT) out->values = NULL;
    out->children = lane->child_columns;
    out->child_count = lane->child_count;
    out->child_rows = count;
}

struct mr_batch *mr_builder_take(struct mr_builder *builder)
{
    struct mr_batch *batch = builder->batch;
    uint32_t columns = builder->schema->column_count;
    uint32_t room;

    mr_assert(!builder->row_open);
    if (batch == NULL || builder->rows == 0) return NULL;
    for (uint32_t i = 0; i < columns; i++) {
        finish_lane(builder, &builder->lanes[i], builder->rows, &batch->columns[i]);
    }
    for (uint32_t i = 0; i < hidden_count(builder); i++) {
        struct mr_column *hidden = &builder->hidden_columns[i];

        finish_lane(builder, &builder->lanes[columns + i], builder->rows, hidden);
        batch->hidden[builder->hidden_tags[i]] = hidden;
    }
    batch->row_count = builder->rows;
    /* The next batch is likely to be as full as this one; a full one may have wanted more. */
    room = builder->rows == builder->capacity ? builder->rows * ROWS_GROWTH : builder->rows;
    builder->start_capacity = MR_MIN(builder->row_capacity, ROWS_START);
    while (builder->start_capacity < room && builder->start_capacity < builder->row_capacity) {
        builder->start_capacity = MR_MIN(builder->start_capacity * 2, builder->row_capacity);
    }
    forget_batch(builder);
    return batch;
}
