/* store_key.c - see store_key.h. */
#include "state/store_key.h"
#include "base/assert.h"
#include "base/status.h"

#include <string.h>

/* ---- shape ---- */

static uint32_t cell_words(enum mr_layout layout)
{
    return layout == MR_LAYOUT_I128 || layout == MR_LAYOUT_VIEW ? 2 : 1;
}

static enum mri_key_kind kind_of(const struct mri_key_shape *shape)
{
    if (shape->column_count != 1) return MRI_KEY_ANY;
    if (shape->has_views) return MRI_KEY_VIEW;
    return shape->words == 2 ? MRI_KEY_WORD : MRI_KEY_ANY;
}

enum mr_status mri_shape_init(struct mri_key_shape *shape, const struct mr_field *fields,
                              uint32_t count, struct mr_error *err)
{
    *shape = (struct mri_key_shape){.column_count = count, .words = 1};
    if (count > MR_KEY_COLUMNS_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "a key of %u columns; at most %u are possible", count,
                            MR_KEY_COLUMNS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        enum mr_layout layout = mr_type_layout(fields[i].type);

        if (layout == MR_LAYOUT_NONE || layout == MR_LAYOUT_LIST || layout == MR_LAYOUT_STRUCT) {
            return mr_error_set(err, MR_E_UNSUPPORTED,
                                "key column '%s': a %s cannot be part of a key; use its members",
                                fields[i].name, mr_type_name(fields[i].type));
        }
        shape->columns[i] = (struct mri_key_column){.name = fields[i].name,
                                                    .type = (uint8_t)fields[i].type,
                                                    .layout = (uint8_t)layout,
                                                    .precision = fields[i].precision,
                                                    .scale = fields[i].scale,
                                                    .word = shape->words};
        shape->words += cell_words(layout);
        shape->has_views |= layout == MR_LAYOUT_VIEW;
    }
    shape->kind = kind_of(shape);
    return MR_OK;
}

/* ---- rows to images ---- */

/* One bit pattern per key: -0 is 0, and there is one NaN. */
static uint64_t float64_cell(double value)
{
    uint64_t bits;

    if (value != value) return UINT64_C(0x7ff8000000000000);
    if (value == 0.0) return 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t float32_cell(float value)
{
    uint32_t bits;

    if (value != value) return 0x7fc00000;
    if (value == 0.0f) return 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#define LOAD_LOOP(type, expression)               \
    do {                                          \
        const type *values = column->values;      \
        for (uint32_t i = 0; i < count; i++) {    \
            type value = values[rows[i]];         \
            out[(size_t)i * step] = (expression); \
        }                                         \
    } while (0)

static void load_bits(const struct mr_column *column, const uint32_t *rows, uint32_t count,
                      uint32_t step, uint64_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        out[(size_t)i * step] = mr_bit_get(column->values, rows[i]);
    }
}

static void load_pairs(const struct mr_column *column, const uint32_t *rows, uint32_t count,
                       uint32_t step, uint64_t *out)
{
    const uint64_t *values = column->values;

    for (uint32_t i = 0; i < count; i++) {
        out[(size_t)i * step] = values[2 * (size_t)rows[i]];
        out[(size_t)i * step + 1] = values[2 * (size_t)rows[i] + 1];
    }
}

static void load_cells(const struct mr_column *column, enum mr_layout layout, const uint32_t *rows,
                       uint32_t count, uint32_t step, uint64_t *restrict out)
{
    switch (layout) {
    case MR_LAYOUT_BIT: load_bits(column, rows, count, step, out); return;
    case MR_LAYOUT_I8: LOAD_LOOP(int8_t, (uint64_t)(int64_t)value); return;
    case MR_LAYOUT_I16: LOAD_LOOP(int16_t, (uint64_t)(int64_t)value); return;
    case MR_LAYOUT_I32: LOAD_LOOP(int32_t, (uint64_t)(int64_t)value); return;
    case MR_LAYOUT_I64: LOAD_LOOP(uint64_t, value); return;
    case MR_LAYOUT_F32: LOAD_LOOP(float, float32_cell(value)); return;
    case MR_LAYOUT_F64: LOAD_LOOP(double, float64_cell(value)); return;
    case MR_LAYOUT_I128:
    case MR_LAYOUT_VIEW: load_pairs(column, rows, count, step, out); return;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
    MR_UNREACHABLE();
}

/* What stands in the value of a null is meaningless: it becomes zero, and the head says null. */
static void load_nulls(const struct mri_key_shape *shape, const struct mr_column *column,
                       const uint32_t *rows, uint32_t count, uint32_t at, uint64_t *out)
{
    const struct mri_key_column *key = &shape->columns[at];
    size_t cell_bytes = cell_words((enum mr_layout)key->layout) * sizeof(uint64_t);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t *image = out + (size_t)i * shape->words;

        if (mr_bit_get(column->validity, rows[i])) continue;
        memset(image + key->word, 0, cell_bytes);
        image[0] |= UINT64_C(1) << (32 + at);
    }
}

void mri_images_load(const struct mri_key_shape *shape, const struct mr_column *columns,
                     const uint32_t *rows, const uint32_t *tags, uint32_t count, uint64_t *out)
{
    static const uint32_t zeros[64];

    mr_assert(count <= MR_COUNT(zeros));
    for (uint32_t i = 0; i < count; i++) out[(size_t)i * shape->words] = tags[i];
    for (uint32_t at = 0; at < shape->column_count; at++) {
        const struct mr_column *column = &columns[at];
        const uint32_t *from = column->encoding == MR_CONST ? zeros : rows;
        enum mr_layout layout = (enum mr_layout)shape->columns[at].layout;

        mr_assert_slow(column->encoding == MR_FLAT || column->encoding == MR_CONST);
        mr_assert_slow(column->type == shape->columns[at].type);
        load_cells(column, layout, from, count, shape->words, out + shape->columns[at].word);
        if (MR_UNLIKELY(column->validity != NULL)) load_nulls(shape, column, from, count, at, out);
    }
}

void mri_texts_of_columns(const struct mri_key_shape *shape, const struct mr_column *columns,
                          struct mri_key_texts *out)
{
    for (uint32_t i = 0; i < shape->column_count; i++) out->buffers[i] = columns[i].buffers;
}

void mri_texts_of_chunks(const struct mri_key_shape *shape, const char *const *chunks,
                         struct mri_key_texts *out)
{
    for (uint32_t i = 0; i < shape->column_count; i++) out->buffers[i] = chunks;
}

bool mri_images_equal_any(const struct mri_key_shape *shape, const uint64_t *row,
                          const struct mri_key_texts *texts, const uint64_t *kept,
                          const char *const *chunks)
{
    for (uint32_t i = 0; i < shape->column_count; i++) {
        const struct mri_key_column *key = &shape->columns[i];
        const uint64_t *left = row + key->word;
        const uint64_t *right = kept + key->word;

        if (key->layout == MR_LAYOUT_VIEW) {
            if (!mri_views_equal(left, texts->buffers[i], right, chunks)) return false;
        } else {
            if (left[0] != right[0]) return false;
            if (key->layout == MR_LAYOUT_I128 && left[1] != right[1]) return false;
        }
    }
    return true;
}

/* ---- images to columns ---- */

static bool is_null(const uint64_t *image, uint32_t at)
{
    return (image[0] >> (32 + at)) & 1;
}

void mri_image_column(const struct mri_key_shape *shape, const uint64_t *image,
                      const char *const *chunks, uint32_t chunk_count, uint32_t at,
                      struct mr_column *out)
{
    static const uint64_t invalid[1];
    const struct mri_key_column *key = &shape->columns[at];

    /* Little-endian: the first bytes of a cell are the value in its own width. */
    *out = (struct mr_column){.type = key->type,
                              .encoding = MR_CONST,
                              .precision = key->precision,
                              .scale = key->scale,
                              .validity = is_null(image, at) ? invalid : NULL,
                              .values = image + key->word};
    if (key->layout == MR_LAYOUT_VIEW) {
        out->buffers = chunks;
        out->buffer_count = chunk_count;
    }
}

/* The usual key: one 64-bit integer that is not null. */
static bool is_one_int64(const struct mri_key_shape *shape, const uint64_t *image)
{
    return shape->kind == MRI_KEY_WORD && shape->columns[0].layout == MR_LAYOUT_I64 &&
           !is_null(image, 0);
}

uint64_t mri_image_hash(const struct mri_key_shape *shape, const uint64_t *image,
                        const char *const *chunks)
{
    return mri_image_hash_first(shape, shape->column_count, image, chunks);
}

uint64_t mri_image_hash_first(const struct mri_key_shape *shape, uint32_t columns,
                              const uint64_t *image, const char *const *chunks)
{
    uint64_t hash = 0; /* of the global key */

    if (columns == 1 && is_one_int64(shape, image)) {
        return mr_hash_int64((int64_t)image[shape->columns[0].word]);
    }
    for (uint32_t i = 0; i < columns; i++) {
        struct mr_column column;

        mri_image_column(shape, image, chunks, 0, i, &column);
        if (i == 0) {
            mr_column_hash(&column, NULL, 1, &hash);
        } else {
            mr_column_hash_combine(&column, NULL, 1, &hash);
        }
    }
    return hash;
}

uint64_t mri_image_hash_rest(const struct mri_key_shape *shape, uint32_t first, uint64_t hash,
                             const uint64_t *image, const struct mri_key_texts *texts)
{
    for (uint32_t i = first; i < shape->column_count; i++) {
        struct mr_column column;

        mri_image_column(shape, image, texts->buffers[i], 0, i, &column);
        if (i == 0) {
            mr_column_hash(&column, NULL, 1, &hash);
        } else {
            mr_column_hash_combine(&column, NULL, 1, &hash);
        }
    }
    return hash;
}

int mri_image_compare(const struct mri_key_shape *shape, const uint64_t *left,
                      const char *const *left_chunks, const uint64_t *right,
                      const char *const *right_chunks)
{
    for (uint32_t i = 0; i < shape->column_count; i++) {
        struct mr_column l, r;
        int order = (int)is_null(right, i) - (int)is_null(left, i);

        if (order == 0 && !is_null(left, i)) {
            mri_image_column(shape, left, left_chunks, 0, i, &l);
            mri_image_column(shape, right, right_chunks, 0, i, &r);
            order = mr_column_compare(&l, 0, &r, 0);
        }
        if (order != 0) return order;
    }
    return 0;
}

/* ---- key form ---- */

/* Key form of it, as mr_key_encode gives it: 1, then big endian with the sign turned. */
static bool encode_int64(uint64_t value, struct mr_buffer *out)
{
    uint64_t big_endian = __builtin_bswap64(value ^ UINT64_C(1) << 63);
    char *at;

    if (!mr_buffer_reserve(out, 9)) return false;
    at = out->data + out->size_bytes;
    at[0] = 1;
    memcpy(at + 1, &big_endian, 8);
    out->size_bytes += 9;
    return true;
}

bool mri_image_encode(const struct mri_key_shape *shape, const uint64_t *image,
                      const char *const *chunks, struct mr_buffer *out)
{
    if (is_one_int64(shape, image)) return encode_int64(image[shape->columns[0].word], out);
    for (uint32_t i = 0; i < shape->column_count; i++) {
        struct mr_column column;

        mri_image_column(shape, image, chunks, 0, i, &column);
        if (!mr_key_encode(out, &column, 0, false)) return false;
    }
    return true;
}

static enum mr_status corrupt(const struct mri_key_column *key, const char *what,
                              struct mr_error *err)
{
    return mr_error_set(err, MR_E_CORRUPT, "key column '%s' (%s): %s", key->name,
                        mr_type_name((enum mr_type)key->type), what);
}

static bool take_big_endian(struct mr_cursor *in, uint32_t size_bytes, uint64_t *out)
{
    const char *data;
    uint64_t value = 0;

    if (!mr_cursor_take(in, size_bytes, &data)) return false;
    for (uint32_t i = 0; i < size_bytes; i++) value = value << 8 | (unsigned char)data[i];
    *out = value;
    return true;
}

/* Undoes the flipped sign bit, and extends it to 64 bits. */
static uint64_t signed_cell(uint64_t bits, uint32_t size_bytes)
{
    uint32_t unused = 64 - 8 * size_bytes;

    bits ^= UINT64_C(1) << (8 * size_bytes - 1);
    return (uint64_t)((int64_t)(bits << unused) >> unused);
}

/* Undoes the sign trick: positive floats have the top bit set, negative ones are inverted. */
static uint64_t float_bits(uint64_t bits, uint32_t size_bytes)
{
    uint64_t top = UINT64_C(1) << (8 * size_bytes - 1);

    return (bits & top) != 0 ? bits ^ top : ~bits & (top | (top - 1));
}

/* Texts: 00 ff is a zero byte, 00 00 the end. The bytes go to scratch, which has the room. */
static bool take_text(struct mr_cursor *in, struct mr_buffer *scratch, uint64_t *cell)
{
    size_t first = scratch->size_bytes;
    struct mr_view view;

    for (;;) {
        const char *c;

        if (!mr_cursor_take(in, 1, &c)) return false;
        if (*c == '\0') {
            const char *next;

            if (!mr_cursor_take(in, 1, &next)) return false;
            if (*next == '\0') break;
            if ((unsigned char)*next != 0xff) return false;
        }
        scratch->data[scratch->size_bytes++] = *c;
    }
    view = mr_view_make(scratch->data + first, (uint32_t)(scratch->size_bytes - first), 0,
                        (uint32_t)first);
    memcpy(cell, &view, sizeof view);
    return true;
}

static bool take_cell(struct mr_cursor *in, enum mr_layout layout, struct mr_buffer *scratch,
                      uint64_t *cell)
{
    uint32_t size = mr_layout_bytes(layout);
    uint64_t bits;
    double wide;
    float narrow;

    switch (layout) {
    case MR_LAYOUT_BIT: return take_big_endian(in, 1, cell) && cell[0] <= 1;
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64:
        if (!take_big_endian(in, size, &bits)) return false;
        cell[0] = signed_cell(bits, size);
        return true;
    case MR_LAYOUT_F32:
        if (!take_big_endian(in, size, &bits)) return false;
        bits = float_bits(bits, size);
        memcpy(&narrow, &bits, sizeof narrow);
        cell[0] = float32_cell(narrow);
        return true;
    case MR_LAYOUT_F64:
        if (!take_big_endian(in, size, &bits)) return false;
        bits = float_bits(bits, size);
        memcpy(&wide, &bits, sizeof wide);
        cell[0] = float64_cell(wide);
        return true;
    case MR_LAYOUT_I128:
        if (!take_big_endian(in, 8, &bits) || !take_big_endian(in, 8, &cell[0])) return false;
        cell[1] = bits ^ UINT64_C(1) << 63;
        return true;
    case MR_LAYOUT_VIEW: return take_text(in, scratch, cell);
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
    MR_UNREACHABLE();
}

static enum mr_status take_column(const struct mri_key_shape *shape, uint32_t at,
                                  struct mr_cursor *in, struct mr_buffer *scratch, uint64_t *image,
                                  struct mr_error *err)
{
    const struct mri_key_column *key = &shape->columns[at];
    const char *flag;

    if (!mr_cursor_take(in, 1, &flag)) return corrupt(key, "the key ends before it", err);
    if (*flag == 0) {
        image[0] |= UINT64_C(1) << (32 + at);
        return MR_OK;
    }
    if (*flag != 1) return corrupt(key, "neither null nor a value", err);
    if (!take_cell(in, (enum mr_layout)key->layout, scratch, image + key->word)) {
        return corrupt(key, "cut short or malformed", err);
    }
    return MR_OK;
}

enum mr_status mri_image_decode(const struct mri_key_shape *shape, struct mr_bytes key,
                                struct mr_buffer *scratch, uint64_t *image, uint64_t *out_hash,
                                struct mr_error *err)
{
    struct mr_cursor in = {key.data, key.data == NULL ? NULL : key.data + key.size_bytes};
    const char *buffer;

    memset(image, 0, shape->words * sizeof *image);
    scratch->size_bytes = 0;
    if (key.size_bytes > UINT32_MAX) {
        return mr_error_set(err, MR_E_CORRUPT, "a key of %zu bytes", key.size_bytes);
    }
    /* A text is never longer than its key form: no other allocation is needed. */
    if (!mr_buffer_reserve(scratch, key.size_bytes)) {
        return mr_error_nomem(err, "restoring a key", key.size_bytes);
    }
    for (uint32_t i = 0; i < shape->column_count; i++) {
        MR_RET(take_column(shape, i, &in, scratch, image, err));
    }
    if (in.at != in.end) {
        return mr_error_set(err, MR_E_CORRUPT, "a key with %zu bytes after its last column",
                            (size_t)(in.end - in.at));
    }
    buffer = scratch->data;
    *out_hash = mri_image_hash(shape, image, &buffer);
    image[0] |= (uint32_t)*out_hash;
    return MR_OK;
}
