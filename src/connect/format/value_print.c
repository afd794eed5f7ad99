/* value_print.c - one value as text: CSV field, JSON value, cell of a table. */
#include "connect/format/format_internal.h"

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "connect/file/utf8_check.h"
#include "text/number.h"

#include <string.h>

static bool put(struct mr_buffer *out, const char *text)
{
    return mr_buffer_put(out, text, strlen(text));
}

/* ---- JSON ---- */

/* 0: as it is; 'u': \u00xx; else: backslash and this letter. */
static char json_escape(unsigned char c)
{
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return c < 0x20 || c == 0x7f ? 'u' : 0;
    }
}

bool mri_format_json(struct mr_buffer *out, const char *data, size_t size_bytes)
{
    static const char hex[] = "0123456789abcdef";
    char *at;

    if (size_bytes > SIZE_MAX / 8 || !mr_buffer_reserve(out, size_bytes * 6 + 2)) return false;
    at = out->data + out->size_bytes;
    *at++ = '"';
    for (size_t i = 0; i < size_bytes; i++) {
        unsigned char c = (unsigned char)data[i];
        char escape = json_escape(c);

        if (MR_LIKELY(escape == 0)) {
            *at++ = (char)c;
        } else if (escape != 'u') {
            *at++ = '\\';
            *at++ = escape;
        } else {
            memcpy(at, "\\u00", 4);
            at[4] = hex[c >> 4];
            at[5] = hex[c & 15];
            at += 6;
        }
    }
    *at++ = '"';
    out->size_bytes = (size_t)(at - out->data);
    return true;
}

bool mri_format_base64(struct mr_buffer *out, const char *data, size_t size_bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *bytes = (const unsigned char *)data;
    char *at;

    if (size_bytes > SIZE_MAX / 8 || !mr_buffer_reserve(out, size_bytes / 3 * 4 + 8)) return false;
    at = out->data + out->size_bytes;
    for (size_t i = 0; i < size_bytes; i += 3) {
        size_t left = MR_MIN(size_bytes - i, (size_t)3);
        uint32_t word = (uint32_t)bytes[i] << 16;

        if (left > 1) word |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2) word |= bytes[i + 2];
        at[0] = digits[word >> 18];
        at[1] = digits[word >> 12 & 63];
        at[2] = left > 1 ? digits[word >> 6 & 63] : '=';
        at[3] = left > 2 ? digits[word & 63] : '=';
        at += 4;
    }
    out->size_bytes = (size_t)(at - out->data);
    return true;
}

/* JSON knows no bytes: what is UTF-8 is a string, the rest an object that says what it is. */
static bool put_json_bytes(struct mr_buffer *out, struct mr_bytes bytes)
{
    if (mri_utf8_valid(bytes.data, bytes.size_bytes)) {
        return mri_format_json(out, bytes.data, bytes.size_bytes);
    }
    return put(out, "{\"base64\":\"") && mri_format_base64(out, bytes.data, bytes.size_bytes) &&
           put(out, "\"}");
}

/* ---- CSV ---- */

static bool needs_quotes(const char *data, size_t size_bytes)
{
    static const bool special[256] = {['"'] = true, [','] = true, ['\n'] = true, ['\r'] = true};
    bool found = size_bytes == 0; /* an empty text is "", a null is nothing */

    for (size_t i = 0; i < size_bytes; i++) found |= special[(unsigned char)data[i]];
    return found;
}

bool mri_format_csv(struct mr_buffer *out, const char *data, size_t size_bytes)
{
    char *at;

    if (!needs_quotes(data, size_bytes)) return mr_buffer_put(out, data, size_bytes);
    if (size_bytes > SIZE_MAX / 4 || !mr_buffer_reserve(out, size_bytes * 2 + 2)) return false;
    at = out->data + out->size_bytes;
    *at++ = '"';
    for (size_t i = 0; i < size_bytes; i++) {
        if (data[i] == '"') *at++ = '"';
        *at++ = data[i];
    }
    *at++ = '"';
    out->size_bytes = (size_t)(at - out->data);
    return true;
}

/* ---- table ---- */

/* How wide one character of `size_bytes` bytes will be: 1, 2 for an escape with a letter, 4 per
 * byte for one with a number. What would move the cursor or is no text is shown as an escape. */
static uint32_t shown_width(const char *data, size_t size_bytes)
{
    unsigned char c = (unsigned char)data[0];
    char escape = json_escape(c);

    if (escape == '"' || escape == '\\') escape = 0; /* harmless here */
    if (c >= 0x80 && mri_utf8_prefix(data, size_bytes) != size_bytes) escape = 'u';
    if (size_bytes == 2 && c == 0xc2 && (unsigned char)data[1] < 0xa0)
        escape = 'u'; /* C1 controls */
    if (escape == 0) return 1;
    return escape == 'u' ? 4 * (uint32_t)size_bytes : 2;
}

static bool put_shown(struct mr_buffer *out, const char *data, size_t size_bytes, uint32_t width)
{
    static const char hex[] = "0123456789abcdef";

    if (width == 1) return mr_buffer_put(out, data, size_bytes);
    if (width == 2) {
        char text[2] = {'\\', json_escape((unsigned char)data[0])};

        return mr_buffer_put(out, text, sizeof text);
    }
    for (size_t i = 0; i < size_bytes; i++) {
        unsigned char byte = (unsigned char)data[i];
        char text[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};

        if (!mr_buffer_put(out, text, sizeof text)) return false;
    }
    return true;
}

/* Bytes of the character at data, well formed or not. */
static size_t character_bytes(const char *data, size_t left)
{
    for (size_t size = 1; size <= 4 && size <= left; size++) {
        if (mri_utf8_prefix(data, size) == size) return size;
    }
    return 1;
}

static bool put_table_text(struct mr_buffer *out, struct mr_bytes text)
{
    uint32_t shown = 0;

    for (size_t at = 0; at < text.size_bytes;) {
        size_t size = character_bytes(text.data + at, text.size_bytes - at);
        uint32_t width = shown_width(text.data + at, size);
        uint32_t more = at + size < text.size_bytes; /* then a place is kept for the dots */

        if (shown + width + more > MRI_TABLE_TEXT_MAX) return put(out, "\xe2\x80\xa6");
        if (!put_shown(out, text.data + at, size, width)) return false;
        at += size;
        shown += width;
    }
    return true;
}

/* ---- all types ---- */

static bool put_text(struct mr_buffer *out, struct mr_bytes bytes, bool binary,
                     enum mr_text_format format)
{
    switch (format) {
    case MR_FORMAT_AUTO:
    case MR_FORMAT_CSV: return mri_format_csv(out, bytes.data, bytes.size_bytes);
    case MR_FORMAT_TABLE: return put_table_text(out, bytes);
    case MR_FORMAT_NDJSON:
        return binary ? put_json_bytes(out, bytes)
                      : mri_format_json(out, bytes.data, bytes.size_bytes);
    }
    return false;
}

/* Writes a number or time to `at` (room for MR_NUM_TEXT_BYTES). *out_string: it is no JSON
 * number. */
static size_t format_scalar(char *at, const struct mr_column *column, uint32_t element,
                            bool *out_string)
{
    mr_i128 wide;

    *out_string = true;
    switch ((enum mr_type)column->type) {
    case MR_BOOL:
        *out_string = false;
        if (mr_column_bool(column, element)) {
            memcpy(at, "true", 4);
            return 4;
        }
        memcpy(at, "false", 5);
        return 5;
    case MR_INT8:
    case MR_INT16:
    case MR_INT32:
    case MR_INT64:
        *out_string = false;
        return mr_num_format_int64(at, mr_column_int64(column, element));
    case MR_FLOAT32:
    case MR_FLOAT64: {
        double value = mr_column_float64(column, element);

        *out_string = value - value != 0; /* NaN and the infinities */
        if (column->type == MR_FLOAT32) return mr_num_format_float32(at, (float)value);
        return mr_num_format_float64(at, value);
    }
    case MR_DECIMAL:
        *out_string = false;
        wide = mr_column_int128(column, element);
        return mr_num_format_decimal(at, (struct mr_int128){(uint64_t)wide, (int64_t)(wide >> 64)},
                                     column->scale);
    case MR_DATE: return mr_format_date(at, (int32_t)mr_column_int64(column, element));
    case MR_TIME: return mr_format_time(at, mr_column_int64(column, element));
    case MR_TIMESTAMP: return mr_format_timestamp(at, mr_column_int64(column, element), false);
    case MR_TIMESTAMP_LTZ: return mr_format_timestamp(at, mr_column_int64(column, element), true);
    case MR_INTERVAL: return mr_format_duration(at, mr_column_int64(column, element));
    case MR_TYPE_NONE:
    case MR_UTF8:
    case MR_BINARY:
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: break;
    }
    MR_UNREACHABLE();
}

_Static_assert(MR_TIME_TEXT_BYTES <= MR_NUM_TEXT_BYTES, "one room for all scalars");

static bool put_scalar(struct mr_buffer *out, const struct mr_column *column, uint32_t element,
                       enum mr_text_format format)
{
    bool string;
    char *at;
    size_t size;

    if (!mr_buffer_reserve(out, MR_NUM_TEXT_BYTES + 2)) return false;
    at = out->data + out->size_bytes;
    if (format != MR_FORMAT_NDJSON) {
        out->size_bytes += format_scalar(at, column, element, &string);
        return true;
    }
    size = format_scalar(at + 1, column, element, &string);
    if (string) {
        at[0] = '"';
        at[size + 1] = '"';
        out->size_bytes += size + 2;
    } else {
        memmove(at, at + 1, size);
        out->size_bytes += size;
    }
    return true;
}

static uint32_t list_end(const struct mr_column *column, uint32_t element, uint32_t *out_begin)
{
    const uint32_t *offsets = column->values;

    *out_begin = offsets[element];
    return offsets[element + 1];
}

/* Lists, structs and maps are JSON in every format. Maps are arrays of pairs: keys need not be
 * texts. */
static bool put_nested(struct mr_buffer *out, const struct mr_column *column, uint32_t element)
{
    uint32_t begin = element, end = element + 1;
    bool list = column->type == MR_LIST;

    if (column->encoding == MR_CONST) element = 0;
    if (column->type != MR_STRUCT) end = list_end(column, element, &begin);
    if (column->type != MR_STRUCT && !put(out, "[")) return false;
    for (uint32_t i = begin; i < end; i++) {
        if (i > begin && !put(out, ",")) return false;
        if (!list && !put(out, "[")) return false;
        for (uint32_t c = 0; c < column->child_count; c++) {
            if (c > 0 && !put(out, ",")) return false;
            if (!mri_format_value(out, &column->children[c], i, MR_FORMAT_NDJSON)) return false;
        }
        if (!list && !put(out, "]")) return false;
    }
    return column->type == MR_STRUCT || put(out, "]");
}

static bool put_nested_as(struct mr_buffer *out, const struct mr_column *column, uint32_t element,
                          enum mr_text_format format)
{
    struct mr_buffer json;
    bool ok;

    if (format == MR_FORMAT_NDJSON) return put_nested(out, column, element);
    mr_buffer_init(&json, out->heap);
    ok = put_nested(&json, column, element) &&
         put_text(out, (struct mr_bytes){json.data, json.size_bytes}, false, format);
    mr_buffer_fini(&json);
    return ok;
}

static bool put_null(struct mr_buffer *out, enum mr_text_format format)
{
    switch (format) {
    case MR_FORMAT_NDJSON: return put(out, "null");
    case MR_FORMAT_TABLE: return put(out, "NULL");
    case MR_FORMAT_AUTO:
    case MR_FORMAT_CSV: break;
    }
    return true;
}

bool mri_format_value(struct mr_buffer *out, const struct mr_column *column, uint32_t element,
                      enum mr_text_format format)
{
    if (!mr_column_valid(column, element)) return put_null(out, format);
    if (column->encoding == MR_DICT) {
        element = ((const uint32_t *)column->values)[element];
        column = &column->children[0];
        if (!mr_column_valid(column, element)) return put_null(out, format);
    }
    switch ((enum mr_type)column->type) {
    case MR_UTF8:
    case MR_BINARY:
        return put_text(out, mr_column_bytes(column, element), column->type == MR_BINARY, format);
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: return put_nested_as(out, column, element, format);
    case MR_TYPE_NONE:
    case MR_BOOL:
    case MR_INT8:
    case MR_INT16:
    case MR_INT32:
    case MR_INT64:
    case MR_FLOAT32:
    case MR_FLOAT64:
    case MR_DECIMAL:
    case MR_DATE:
    case MR_TIME:
    case MR_TIMESTAMP:
    case MR_TIMESTAMP_LTZ:
    case MR_INTERVAL: break;
    }
    return put_scalar(out, column, element, format);
}

void mr_value_print(const struct mr_column *column, uint32_t element, enum mr_text_format format,
                    struct mr_text *out)
{
    struct mr_buffer buffer;

    mr_buffer_init(&buffer, out->heap);
    if (mri_format_value(&buffer, column, element, format)) {
        mr_text_add_bytes(out, buffer.data, buffer.size_bytes);
    } else {
        out->status = MR_E_NOMEM; /* as the text itself does: it keeps what fits */
    }
    mr_buffer_fini(&buffer);
}
