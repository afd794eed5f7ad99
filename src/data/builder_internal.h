/* builder_internal.h - lanes: the columns of a builder while they are being filled.
 *
 * A lane is one column (or child of a nested one) of the batch under construction. Everything in a
 * lane at or behind the number of committed rows is rubbish that the next row overwrites; so giving
 * up a row, or half of an append, costs nothing.
 *
 * Owns:    lanes belong to their builder, their arrays to its batch.
 * Thread:  confined.
 * Fails:   what needs memory answers enum mr_build, see builder.h.
 * Cost:    see builder.h.
 */
#ifndef MR_DATA_BUILDER_INTERNAL_H
#define MR_DATA_BUILDER_INTERNAL_H

#include "data/builder.h"

struct mri_lane {
    const struct mr_field *field;
    enum mr_layout layout;
    uint32_t child_count;
    struct mri_lane *children;
    struct mr_column *child_columns; /* room for them in the batch */
    uint32_t capacity;
    bool has_nulls;   /* validity is in use and right for all elements before */
    uint64_t row_set; /* serial number of the row that this lane was last set in */
    int64_t fallback; /* hidden lanes: what a row without a value gets */
    void *values;
    uint64_t *validity;
};

struct mr_builder {
    struct mr_heap *heap;
    struct mr_schema *schema;
    struct mr_quota *quota;
    uint32_t hidden_mask;
    uint32_t row_capacity;
    uint32_t start_capacity; /* what the next batch begins with */
    uint32_t lane_count;     /* columns, then hidden ones in order of their tags */
    uint32_t all_lane_count; /* with nested ones: the size of the array */
    struct mri_lane *lanes;
    struct mri_lane *hidden[MR_HIDDEN_COUNT];
    uint8_t hidden_tags[MR_HIDDEN_COUNT]; /* of the lanes behind the columns */
    uint64_t serial;                      /* of the begun row */
    bool row_open;
    uint32_t pending; /* rows that the lane at work has beyond `rows` */

    /* the batch being built; everything below is void when it is NULL */
    struct mr_batch *batch;
    uint32_t rows;
    uint32_t capacity; /* of all lanes that are not below a list */
    struct mr_column *hidden_columns;
    const char **buffers;
    uint32_t buffer_count;
    uint32_t buffer_capacity;
    char *chunk; /* = buffers[buffer_count - 1] */
    uint32_t chunk_used;
    uint32_t chunk_bytes;
};

/* ---- the begun row ---- */

struct mri_lane *mri_builder_lane(struct mr_builder *builder, uint32_t column);
uint32_t mri_builder_row(const struct mr_builder *builder);
/* Marks a column of the begun row as set. */
void mri_builder_mark(struct mr_builder *builder, struct mri_lane *lane);

/* ---- room ---- */

/* Why there is no room for `bytes` more. Rows that are there can be handed on. Without rows others
 * may give memory back, unless there are no others. */
enum mr_build mri_no_room(const struct mr_builder *builder, size_t bytes);
/* The arrays of a lane for `capacity` elements, those below it too. */
size_t mri_lane_bytes_for(const struct mri_lane *lane, uint32_t capacity);
/* Gives a lane (and what has the same length below it) room for `capacity` elements, keeping the
 * first `count`. On failure the lane is as it was. */
bool mri_lane_grow(struct mr_batch *batch, struct mri_lane *lane, uint32_t capacity,
                   uint32_t count);

/* ---- elements ---- */

/* Element `at` of a lane; the lane has capacity for it. */
void mri_lane_null(struct mri_lane *lane, uint32_t at);
void mri_lane_int64(struct mri_lane *lane, uint32_t at, int64_t value);
void mri_lane_float64(struct mri_lane *lane, uint32_t at, double value);
void mri_lane_int128(struct mri_lane *lane, uint32_t at, mr_i128 value);
void mri_lane_valid(struct mri_lane *lane, uint32_t at);
enum mr_build mri_lane_bytes(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                             const char *data, size_t size_bytes);
/* Room for a text of more than MR_VIEW_INLINE bytes, to be filled by the caller, who then calls
 * mri_lane_text. */
enum mr_build mri_text_room(struct mr_builder *builder, size_t size_bytes, char **out);
void mri_lane_text(struct mr_builder *builder, struct mri_lane *lane, uint32_t at, const char *data,
                   size_t size_bytes);
/* Gives element `at` of a LIST or MAP lane `count` elements; *out_first is the first one in each
 * child. */
enum mr_build mri_lane_list(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                            uint32_t count, uint32_t *out_first);
/* Copies one element of any column, null or not. */
enum mr_build mri_lane_copy(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                            const struct mr_column *source, uint32_t element);
/* Takes the bitmap into use: all elements before `at` are valid. */
void mri_lane_use_validity(struct mri_lane *lane, uint32_t at);
/* The value of a null; an empty list. */
void mri_lane_zero(struct mri_lane *lane, uint32_t at);

#endif
