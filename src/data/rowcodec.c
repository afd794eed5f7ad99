/* rowcodec.c - see rowcodec.h. */
#include "data/rowcodec.h"
#include "base/assert.h"
#include "base/status.h"
#include "data/builder_internal.h"
#include "data/data_internal.h"

#include <string.h>

/* Both forms say in which order their bytes go; the row form takes them as they are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "swap the bytes of fixed widths here");

#define BUFFER_START     256u
#define VARINT_BYTES_MAX 10u

/* ---- buffer ---- */

void mr_buffer_init(struct mr_buffer *buffer, struct mr_heap *heap)
{
    *buffer = (struct mr_buffer){.heap = heap};
}

void mr_buffer_fini(struct mr_buffer *buffer)
{
    if (buffer->data != NULL) mr_free(buffer->heap, buffer->data, buffer->capacity_bytes);
    *buffer = (struct mr_buffer){.heap = buffer->heap};
}

void mr_buffer_clear(struct mr_buffer *buffer)
{
    buffer->size_bytes = 0;
}

static MR_COLD bool grow(struct mr_buffer *buffer, size_t more_bytes)
{
    size_t wanted = buffer->size_bytes + more_bytes;
    size_t capacity = MR_MAX(buffer->capacity_bytes, BUFFER_START);
    char *data;

    if (more_bytes > SIZE_MAX / 4 || wanted > SIZE_MAX / 4) return false;
    while (capacity < wanted) capacity *= 2;
    data = mr_realloc(buffer->heap, buffer->data, buffer->capacity_bytes, capacity);
    if (data == NULL) return false;
    buffer->data = data;
    buffer->capacity_bytes = capacity;
    return true;
}

bool mr_buffer_reserve(struct mr_buffer *buffer, size_t more_bytes)
{
    if (MR_LIKELY(more_bytes <= buffer->capacity_bytes - buffer->size_bytes)) return true;
    return grow(buffer, more_bytes);
}

bool mr_buffer_put(struct mr_buffer *buffer, const void *data, size_t size_bytes)
{
    if (size_bytes == 0) return true;
    if (!mr_buffer_reserve(buffer, size_bytes)) return false;
    memcpy(buffer->data + buffer->size_bytes, data, size_bytes);
    buffer->size_bytes += size_bytes;
    return true;
}

bool mr_buffer_put_varint(struct mr_buffer *buffer, uint64_t value)
{
    unsigned char bytes[VARINT_BYTES_MAX];
    size_t count = 0;

    while (value >= 0x80) {
        bytes[count++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    bytes[count++] = (unsigned char)value;
    return mr_buffer_put(buffer, bytes, count);
}

bool mr_buffer_put_u32(struct mr_buffer *buffer, uint32_t value)
{
    return mr_buffer_put(buffer, &value, sizeof value);
}

bool mr_buffer_put_u64(struct mr_buffer *buffer, uint64_t value)
{
    return mr_buffer_put(buffer, &value, sizeof value);
}

/* ---- cursor ---- */

bool mr_cursor_take(struct mr_cursor *cursor, size_t size_bytes, const char **out)
{
    if (size_bytes > (size_t)(cursor->end - cursor->at)) return false;
    *out = cursor->at;
    cursor->at += size_bytes;
    return true;
}

bool mr_cursor_varint(struct mr_cursor *cursor, uint64_t *out)
{
    uint64_t value = 0;
    const char *at = cursor->at;

    for (uint32_t shift = 0; shift < 64; shift += 7) {
        unsigned char byte;

        if (at == cursor->end) return false;
        byte = (unsigned char)*at++;
        if (shift == 63 && byte > 1) return false; /* more than 64 bits */
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte >= 0x80) continue;
        if (byte == 0 && shift > 0) return false; /* one number, one encoding */
        cursor->at = at;
        *out = value;
        return true;
    }
    return false;
}

bool mr_cursor_u32(struct mr_cursor *cursor, uint32_t *out)
{
    const char *bytes;

    if (!mr_cursor_take(cursor, sizeof *out, &bytes)) return false;
    memcpy(out, bytes, sizeof *out);
    return true;
}

bool mr_cursor_u64(struct mr_cursor *cursor, uint64_t *out)
{
    const char *bytes;

    if (!mr_cursor_take(cursor, sizeof *out, &bytes)) return false;
    memcpy(out, bytes, sizeof *out);
    return true;
}

/* ---- fixed-width values as numbers ---- */

/* Bytes of a value of a fixed-width layout in both forms; 0 for others. */
static uint32_t stored_bytes(enum mr_layout layout)
{
    if (layout == MR_LAYOUT_BIT) return 1;
    if (layout == MR_LAYOUT_VIEW || layout == MR_LAYOUT_LIST) return 0;
    return mr_layout_bytes(layout);
}

/* The bits of a floating-point value so that their order as unsigned numbers is the value's. */
static uint64_t float_key(double value, enum mr_layout layout)
{
    uint64_t bits, sign;

    value = value == 0.0 ? 0.0 : value; /* -0 as 0 */
    if (layout == MR_LAYOUT_F32) {
        float narrow = (float)value;
        uint32_t narrow_bits;

        memcpy(&narrow_bits, &narrow, sizeof narrow_bits);
        if (value != value) narrow_bits = UINT32_C(0x7fc00000);
        sign = UINT64_C(1) << 31;
        bits = narrow_bits;
    } else {
        memcpy(&bits, &value, sizeof bits);
        if (value != value) bits = UINT64_C(0x7ff8000000000000);
        sign = UINT64_C(1) << 63;
    }
    return (bits & sign) != 0 ? ~bits & (sign | (sign - 1)) : bits | sign;
}

static double float_of_key(uint64_t key, enum mr_layout layout)
{
    uint64_t sign = layout == MR_LAYOUT_F32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63;
    uint64_t bits = (key & sign) != 0 ? key & ~sign : ~key & (sign | (sign - 1));
    uint32_t narrow_bits = (uint32_t)bits;
    float narrow;
    double value;

    if (layout == MR_LAYOUT_F32) {
        memcpy(&narrow, &narrow_bits, sizeof narrow);
        return (double)narrow;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A value's key as an unsigned number of stored_bytes(layout) bytes. */
static mr_u128 fixed_key(const struct mr_column *column, uint32_t row, enum mr_layout layout)
{
    mr_u128 sign_bit = (mr_u128)1 << (8 * stored_bytes(layout) - 1);

    switch (layout) {
    case MR_LAYOUT_BIT: return (mr_u128)mr_column_int64(column, row);
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64: return float_key(mr_column_float64(column, row), layout);
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64: return (mr_u128)mr_column_int64(column, row) ^ sign_bit;
    case MR_LAYOUT_I128: return (mr_u128)mr_column_int128(column, row) ^ sign_bit;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_VIEW:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
    MR_UNREACHABLE();
}

/* ---- key form: writing ---- */

static bool put_inverted(struct mr_buffer *out, size_t from)
{
    for (size_t i = from; i < out->size_bytes; i++) out->data[i] = (char)~out->data[i];
    return true;
}

static bool put_fixed_key(struct mr_buffer *out, const struct mr_column *column, uint32_t row,
                          enum mr_layout layout)
{
    uint32_t width = stored_bytes(layout);
    mr_u128 key = fixed_key(column, row, layout);
    unsigned char bytes[1 + sizeof key] = {1};

    for (uint32_t i = 0; i < width; i++) bytes[width - i] = (unsigned char)(key >> (8 * i));
    return mr_buffer_put(out, bytes, 1 + width);
}

static bool put_text_key(struct mr_buffer *out, struct mr_bytes text)
{
    const char *at = text.data, *end = text.size_bytes == 0 ? at : at + text.size_bytes;

    if (!mr_buffer_reserve(out, text.size_bytes + 3)) return false;
    if (!mr_buffer_put(out, "\x01", 1)) return false;
    while (at != end) {
        const char *zero = memchr(at, 0, (size_t)(end - at));
        const char *stop = zero != NULL ? zero : end;

        if (!mr_buffer_put(out, at, (size_t)(stop - at))) return false;
        if (zero != NULL && !mr_buffer_put(out, "\x00\xff", 2)) return false;
        at = zero != NULL ? zero + 1 : end;
    }
    return mr_buffer_put(out, "\x00\x00", 2);
}

bool mr_key_encode(struct mr_buffer *out, const struct mr_column *column, uint32_t element,
                   bool descending)
{
    enum mr_layout layout = mr_type_layout((enum mr_type)column->type);
    size_t start = out->size_bytes;
    bool ok;

    if (!mr_column_valid(column, element)) {
        ok = mr_buffer_put(out, "\x00", 1);
    } else if (layout == MR_LAYOUT_VIEW) {
        ok = put_text_key(out, mr_column_bytes(column, element));
    } else {
        mr_assert(stored_bytes(layout) > 0); /* nested types have no key form */
        ok = put_fixed_key(out, column, element, layout);
    }
    if (!ok) {
        out->size_bytes = start;
        return false;
    }
    return !descending || put_inverted(out, start);
}

/* ---- row form: writing ---- */

static bool put_element(struct mr_buffer *out, const struct mr_column *column, uint32_t element);

static bool put_list(struct mr_buffer *out, const struct mr_column *column, uint32_t element)
{
    uint32_t first = mri_offsets(column)[element], end = mri_offsets(column)[element + 1];

    if (!mr_buffer_put_varint(out, end - first)) return false;
    for (uint32_t i = first; i < end; i++) {
        for (uint32_t k = 0; k < column->child_count; k++) {
            if (!put_element(out, &column->children[k], i)) return false;
        }
    }
    return true;
}

static bool put_struct(struct mr_buffer *out, const struct mr_column *column, uint32_t element)
{
    for (uint32_t k = 0; k < column->child_count; k++) {
        if (!put_element(out, &column->children[k], element)) return false;
    }
    return true;
}

static bool put_value(struct mr_buffer *out, const struct mr_column *column, uint32_t element)
{
    enum mr_layout layout = mr_type_layout((enum mr_type)column->type);
    uint32_t width = stored_bytes(layout);
    char bit;

    switch (layout) {
    case MR_LAYOUT_BIT:
        bit = mr_bit_get(column->values, element);
        return mr_buffer_put(out, &bit, 1);
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_I128:
        return mr_buffer_put(out, (const char *)column->values + (size_t)element * width, width);
    case MR_LAYOUT_VIEW: {
        struct mr_bytes text = mr_column_bytes(column, element);

        return mr_buffer_put_varint(out, text.size_bytes) &&
               mr_buffer_put(out, text.data, text.size_bytes);
    }
    case MR_LAYOUT_LIST: return put_list(out, column, element);
    case MR_LAYOUT_STRUCT: return put_struct(out, column, element);
    case MR_LAYOUT_NONE: break;
    }
    MR_UNREACHABLE();
}

static bool put_element(struct mr_buffer *out, const struct mr_column *column, uint32_t element)
{
    if (!mr_column_valid(column, element)) return mr_buffer_put(out, "\x00", 1);
    column = mri_resolve_one(column, &element);
    return mr_buffer_put(out, "\x01", 1) && put_value(out, column, element);
}

bool mr_row_encode(struct mr_buffer *out, const struct mr_column *column, uint32_t element)
{
    size_t start = out->size_bytes;

    if (put_element(out, column, element)) return true;
    out->size_bytes = start;
    return false;
}

/* ---- reading: what both forms share ---- */

struct decode {
    struct mr_cursor cursor;
    const char *start; /* for messages */
    const char *name;  /* of the column */
    struct mr_builder *builder;
    enum mr_build build; /* MR_BUILD_OK as long as there is room */
    struct mr_error *err;
};

static MR_COLD enum mr_status corrupt(struct decode *in, const char *what)
{
    return mr_error_set(in->err, MR_E_CORRUPT,
                        "stored value of column '%s': %s at byte %lu: the bytes were not written "
                        "by this program or were damaged",
                        in->name, what, (unsigned long)(in->cursor.at - in->start));
}

static enum mr_status take_flag(struct decode *in, bool *out_valid)
{
    const char *flag;

    if (!mr_cursor_take(&in->cursor, 1, &flag)) return corrupt(in, "missing null flag");
    if (*flag != 0 && *flag != 1) return corrupt(in, "wrong null flag");
    *out_valid = *flag == 1;
    return MR_OK;
}

/* ---- key form: reading ---- */

static void set_fixed_key(struct mri_lane *lane, uint32_t at, mr_u128 key)
{
    uint32_t bits = 8 * stored_bytes(lane->layout);
    mr_u128 number = key ^ (mr_u128)1 << (bits - 1);

    if (lane->layout == MR_LAYOUT_F32 || lane->layout == MR_LAYOUT_F64) {
        mri_lane_float64(lane, at, float_of_key((uint64_t)key, lane->layout));
    } else if (lane->layout == MR_LAYOUT_I128) {
        mri_lane_int128(lane, at, (mr_i128)number);
    } else if (lane->layout == MR_LAYOUT_BIT) {
        mri_lane_int64(lane, at, key != 0);
    } else {
        mri_lane_int64(lane, at, (int64_t)(uint64_t)number); /* cut to the lane's width */
    }
}

static enum mr_status get_fixed_key(struct decode *in, struct mri_lane *lane, uint32_t at)
{
    const char *bytes;
    uint32_t width = stored_bytes(lane->layout);
    mr_u128 key = 0;

    if (!mr_cursor_take(&in->cursor, width, &bytes)) return corrupt(in, "value cut short");
    for (uint32_t i = 0; i < width; i++) key = key << 8 | (unsigned char)bytes[i];
    if (lane->layout == MR_LAYOUT_BIT && key > 1) return corrupt(in, "wrong boolean");
    set_fixed_key(lane, at, key);
    return MR_OK;
}

/* Where the escaped text ends and how long it is without escapes; the cursor goes behind it. */
static enum mr_status scan_text_key(struct decode *in, size_t *out_size_bytes)
{
    const char *at = in->cursor.at, *end = in->cursor.end;
    size_t size_bytes = 0;

    for (;;) {
        const char *zero = memchr(at, 0, (size_t)(end - at));

        if (zero == NULL || end - zero < 2) return corrupt(in, "text without an end");
        size_bytes += (size_t)(zero - at);
        at = zero + 2;
        if (zero[1] == 0) break;
        if (zero[1] != '\xff') return corrupt(in, "wrong escape");
        size_bytes++;
    }
    in->cursor.at = at;
    *out_size_bytes = size_bytes;
    return MR_OK;
}

/* `from` was checked by scan_text_key. */
static void unescape(char *out, size_t size_bytes, const char *from)
{
    for (size_t i = 0; i < size_bytes; i++) {
        out[i] = *from;
        from += *from == 0 ? 2 : 1;
    }
}

static enum mr_status get_text_key(struct decode *in, struct mri_lane *lane, uint32_t at)
{
    const char *from = in->cursor.at;
    char inlined[MR_VIEW_INLINE];
    char *text = inlined;
    size_t size_bytes = 0;

    MR_RET(scan_text_key(in, &size_bytes));
    if (size_bytes > MR_VIEW_INLINE) {
        in->build = mri_text_room(in->builder, size_bytes, &text);
        if (in->build != MR_BUILD_OK) return MR_OK;
    }
    unescape(text, size_bytes, from);
    mri_lane_text(in->builder, lane, at, text, size_bytes);
    return MR_OK;
}

static enum mr_status get_key(struct decode *in, struct mri_lane *lane, uint32_t at)
{
    bool valid = false;

    MR_RET(take_flag(in, &valid));
    if (!valid) {
        mri_lane_null(lane, at);
        return MR_OK;
    }
    if (lane->layout == MR_LAYOUT_VIEW) return get_text_key(in, lane, at);
    mr_assert(stored_bytes(lane->layout) > 0); /* nested types have no key form */
    return get_fixed_key(in, lane, at);
}

/* ---- row form: reading ---- */

static enum mr_status get_element(struct decode *in, struct mri_lane *lane, uint32_t at);

static enum mr_status get_list(struct decode *in, struct mri_lane *lane, uint32_t at)
{
    uint64_t count = 0;
    uint32_t first = 0;

    if (!mr_cursor_varint(&in->cursor, &count)) return corrupt(in, "list without a length");
    /* Every element has at least a flag: a wild length is found out before room is made for it. */
    if (count > (uint64_t)(in->cursor.end - in->cursor.at)) return corrupt(in, "list too long");
    if (count > UINT32_MAX) count = UINT32_MAX;
    in->build = mri_lane_list(in->builder, lane, at, (uint32_t)count, &first);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < lane->child_count; k++) {
            if (in->build != MR_BUILD_OK) return MR_OK;
            MR_RET(get_element(in, &lane->children[k], first + i));
        }
    }
    return MR_OK;
}

static enum mr_status get_struct(struct decode *in, struct mri_lane *lane, uint32_t at)
{
    for (uint32_t k = 0; k < lane->child_count; k++) {
        MR_RET(get_element(in, &lane->children[k], at));
        if (in->build != MR_BUILD_OK) return MR_OK;
    }
    mri_lane_valid(lane, at);
    return MR_OK;
}

static enum mr_status get_text(struct decode *in, struct mri_lane *lane, uint32_t at)
{
    const char *text;
    uint64_t size_bytes = 0;

    if (!mr_cursor_varint(&in->cursor, &size_bytes)) return corrupt(in, "text without a length");
    if (!mr_cursor_take(&in->cursor, size_bytes, &text)) return corrupt(in, "text cut short");
    in->build = mri_lane_bytes(in->builder, lane, at, text, size_bytes);
    return MR_OK;
}

static enum mr_status get_fixed(struct decode *in, struct mri_lane *lane, uint32_t at)
{
    const char *bytes;
    uint32_t width = stored_bytes(lane->layout);

    if (!mr_cursor_take(&in->cursor, width, &bytes)) return corrupt(in, "value cut short");
    if (lane->layout == MR_LAYOUT_BIT) {
        if (*bytes != 0 && *bytes != 1) return corrupt(in, "wrong boolean");
        mr_bit_assign(lane->values, at, *bytes == 1);
    } else {
        memcpy((char *)lane->values + (size_t)at * width, bytes, width);
    }
    mri_lane_valid(lane, at);
    return MR_OK;
}

static enum mr_status get_element(struct decode *in, struct mri_lane *lane, uint32_t at)
{
    bool valid = false;

    MR_RET(take_flag(in, &valid));
    if (!valid) {
        mri_lane_null(lane, at);
        return MR_OK;
    }
    switch (lane->layout) {
    case MR_LAYOUT_BIT:
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_I128: return get_fixed(in, lane, at);
    case MR_LAYOUT_VIEW: return get_text(in, lane, at);
    case MR_LAYOUT_LIST: return get_list(in, lane, at);
    case MR_LAYOUT_STRUCT: return get_struct(in, lane, at);
    case MR_LAYOUT_NONE: break;
    }
    MR_UNREACHABLE();
}

/* ---- the face of reading ---- */

static enum mr_status decode(struct mr_cursor *in, const struct mr_field *field,
                             struct mr_builder *builder, uint32_t column,
                             enum mr_status (*get)(struct decode *, struct mri_lane *, uint32_t),
                             enum mr_build *out_build, struct mr_error *err)
{
    struct mri_lane *lane = mri_builder_lane(builder, column);
    struct decode state = {*in, in->at, field->name, builder, MR_BUILD_OK, err};
    enum mr_status st;

    mr_assert(mr_type_layout(field->type) == lane->layout);
    mri_builder_mark(builder, lane);
    st = get(&state, lane, mri_builder_row(builder));
    *out_build = state.build;
    if (st == MR_OK && state.build == MR_BUILD_OK) in->at = state.cursor.at;
    return st;
}

enum mr_status mr_key_decode(struct mr_cursor *in, const struct mr_field *field,
                             struct mr_builder *builder, uint32_t column, enum mr_build *out_build,
                             struct mr_error *err)
{
    return decode(in, field, builder, column, get_key, out_build, err);
}

enum mr_status mr_row_decode(struct mr_cursor *in, const struct mr_field *field,
                             struct mr_builder *builder, uint32_t column, enum mr_build *out_build,
                             struct mr_error *err)
{
    return decode(in, field, builder, column, get_element, out_build, err);
}
