/* store_key.h - keys as cells: how a table keeps a key beside its slot. Internal to state.
 *
 * A key image is an array of 8-byte words: the head (low half: tag of the hash, high half: one bit
 * per null column), then the cells of the key columns: one word for integers, floats (canonical
 * bits) and booleans, two for decimals and views. Null cells are zero. So two images without far
 * views are the same key iff their words are equal. A far view points into buffers: those of the
 * batch for a row, the table's text chunks for a kept key.
 *
 * Owns:    none; images lie in the caller's memory.
 * Thread:  confined.
 * Fails:   decode: MR_E_CORRUPT with what and where.
 * Cost:    load: one loop per column and block of rows.
 */
#ifndef MR_STATE_STORE_KEY_H
#define MR_STATE_STORE_KEY_H

#include "data/rowcodec.h"
#include "state/store.h"

enum mri_key_kind {
    MRI_KEY_WORD, /* one column, one word */
    MRI_KEY_VIEW, /* one text column */
    MRI_KEY_ANY
};

struct mri_key_column {
    const char *name; /* for messages; the store's */
    uint8_t type;     /* enum mr_type */
    uint8_t layout;   /* enum mr_layout */
    uint8_t precision;
    uint8_t scale;
    uint32_t word; /* where its cell begins in the image */
};

struct mri_key_shape {
    enum mri_key_kind kind;
    uint32_t column_count;
    uint32_t words; /* of an image, with the head */
    bool has_views;
    struct mri_key_column columns[MR_KEY_COLUMNS_MAX];
};

#define MRI_KEY_WORDS_MAX (1 + 2 * MR_KEY_COLUMNS_MAX)

/* Where the far views of an image point: buffers of each column. */
struct mri_key_texts {
    const char *const *buffers[MR_KEY_COLUMNS_MAX];
};

enum mr_status mri_shape_init(struct mri_key_shape *shape, const struct mr_field *fields,
                              uint32_t count, struct mr_error *err) MR_MUST_USE;
/* Images of `count` rows, shape->words apart. Heads carry the tags of `tags`. */
void mri_images_load(const struct mri_key_shape *shape, const struct mr_column *columns,
                     const uint32_t *rows, const uint32_t *tags, uint32_t count, uint64_t *out);
void mri_texts_of_columns(const struct mri_key_shape *shape, const struct mr_column *columns,
                          struct mri_key_texts *out);
void mri_texts_of_chunks(const struct mri_key_shape *shape, const char *const *chunks,
                         struct mri_key_texts *out);

/* Key column `at` of an image as a CONST column. */
void mri_image_column(const struct mri_key_shape *shape, const uint64_t *image,
                      const char *const *chunks, uint32_t chunk_count, uint32_t at,
                      struct mr_column *out);
/* The canonical hash, computed anew; that of the first `columns` columns. */
uint64_t mri_image_hash(const struct mri_key_shape *shape, const uint64_t *image,
                        const char *const *chunks);
uint64_t mri_image_hash_first(const struct mri_key_shape *shape, uint32_t columns,
                              const uint64_t *image, const char *const *chunks);
/* The hash with columns [first, column_count) folded into that of the columns before; each column
 * has texts of its own. */
uint64_t mri_image_hash_rest(const struct mri_key_shape *shape, uint32_t first, uint64_t hash,
                             const uint64_t *image, const struct mri_key_texts *texts);
int mri_image_compare(const struct mri_key_shape *shape, const uint64_t *left,
                      const char *const *left_chunks, const uint64_t *right,
                      const char *const *right_chunks);
bool mri_image_encode(const struct mri_key_shape *shape, const uint64_t *image,
                      const char *const *chunks, struct mr_buffer *out) MR_MUST_USE;
/* Key form back to an image, whose far views point into `scratch` (buffer 0 of every column). The
 * tag is set. */
enum mr_status mri_image_decode(const struct mri_key_shape *shape, struct mr_bytes key,
                                struct mr_buffer *scratch, uint64_t *image, uint64_t *out_hash,
                                struct mr_error *err) MR_MUST_USE;

MR_INLINE const char *mri_cell_text(const struct mr_view *view, const char *const *buffers)
{
    if (view->size_bytes <= MR_VIEW_INLINE) return view->u.inlined;
    return buffers[view->u.far.buffer] + view->u.far.offset;
}

MR_INLINE const struct mr_view *mri_cell_view(const uint64_t *cell)
{
    return (const struct mr_view *)(const void *)cell;
}

/* Two view cells; size and prefix are looked at before the texts. */
MR_INLINE bool mri_views_equal(const uint64_t *left, const char *const *left_buffers,
                               const uint64_t *right, const char *const *right_buffers)
{
    const struct mr_view *view = mri_cell_view(left);

    if (left[0] != right[0]) return false;
    if (MR_LIKELY(view->size_bytes <= MR_VIEW_INLINE)) return left[1] == right[1];
    return __builtin_memcmp(mri_cell_text(view, left_buffers),
                            mri_cell_text(mri_cell_view(right), right_buffers),
                            view->size_bytes) == 0;
}

bool mri_images_equal_any(const struct mri_key_shape *shape, const uint64_t *row,
                          const struct mri_key_texts *texts, const uint64_t *kept,
                          const char *const *chunks);

/* A row's image against a kept one. `kind` is a constant where it matters. */
MR_INLINE bool mri_images_equal(const struct mri_key_shape *shape, enum mri_key_kind kind,
                                const uint64_t *row, const struct mri_key_texts *texts,
                                const uint64_t *kept, const char *const *chunks)
{
    if (row[0] != kept[0]) return false;
    if (kind == MRI_KEY_WORD) return row[1] == kept[1];
    if (kind == MRI_KEY_VIEW) return mri_views_equal(row + 1, texts->buffers[0], kept + 1, chunks);
    return mri_images_equal_any(shape, row, texts, kept, chunks);
}

#endif
