/* csv_convert.c - see csv_convert.h. */
#include "connect/csv/csv_convert.h"

#include "base/assert.h"
#include "base/bitset.h"
#include "base/time.h"
#include "connect/file/utf8_check.h"
#include "connect/file/view.h"
#include "text/number.h"

#include <string.h>

#define SHOWN_BYTES_MAX ((size_t)60)

/* ---- fields ---- */

const char *mri_csv_quoting_fault(const char *data, size_t size_bytes)
{
    if (size_bytes == 0 || data[0] != '"') {
        return memchr(data, '"', size_bytes) == NULL ? NULL : "quote inside an unquoted field";
    }
    for (size_t i = 1; i < size_bytes; i++) {
        if (data[i] != '"') continue;
        if (i + 1 == size_bytes) return NULL;
        if (data[++i] != '"') return "text behind a closing quote";
    }
    return "a quote is not closed";
}

size_t mri_csv_unquote(const char *data, size_t size_bytes, char *out)
{
    size_t size = 0;

    for (size_t i = 1; i + 1 < size_bytes; i++) {
        out[size++] = data[i];
        if (data[i] == '"') i++; /* the second of a pair */
    }
    return size;
}

static bool is_null_literal(const struct mri_csv_nulls *nulls, struct mr_bytes field)
{
    for (uint32_t i = 0; i < nulls->count; i++) {
        const struct mr_bytes *literal = &nulls->literals[i];

        if (literal->size_bytes != field.size_bytes) continue;
        if (literal->data[0] != field.data[0]) continue;
        if (memcmp(literal->data, field.data, field.size_bytes) == 0) return true;
    }
    return false;
}

enum form { FORM_NULL, FORM_PLAIN, FORM_QUOTED };

/* The bytes of a field's value, without the quotes around it (pairs inside stay). */
MR_INLINE enum form take_field(const struct mri_csv_window *window, uint32_t row, uint32_t field,
                               struct mr_bytes *out)
{
    *out = mri_csv_field(window, row, field);
    if (out->size_bytes == 0) return FORM_NULL;
    if (MR_UNLIKELY(window->quotes) && out->data[0] == '"') {
        if (out->size_bytes >= 2) { /* else: the row is at fault and gets rubbish */
            out->data++;
            out->size_bytes -= 2;
        }
        return FORM_QUOTED;
    }
    if (window->nulls->sizes >> MR_MIN(out->size_bytes, (size_t)63) & 1) {
        if (is_null_literal(window->nulls, *out)) return FORM_NULL;
    }
    return FORM_PLAIN;
}

/* ---- numbers ---- */

#define ALL(byte) (UINT64_C(0x0101010101010101) * (byte))

/* True when each byte is 0..9. */
MR_INLINE bool all_digits(uint64_t bytes)
{
    return ((bytes | (bytes + ALL(0x06))) & ALL(0xf0)) == 0;
}

/* Up to 8 digits in one go, more in a loop. Reads 8 bytes whatever the size. */
MR_INLINE bool parse_int64(struct mr_bytes field, int64_t *out)
{
    bool negative = field.data[0] == '-';
    const char *digits = field.data + negative;
    size_t size = field.size_bytes - negative;
    uint32_t shift;
    uint64_t value;

    if (size - 1 >= 8) return mr_num_try_int64(field.data, field.size_bytes, out);
    shift = (uint32_t)(8 - size) * 8;
    memcpy(&value, digits, 8);
    value = (value << shift) ^ (ALL(0x30) << shift); /* leading bytes are 0: leading zeros */
    if (!all_digits(value)) return false;
    value = value * 10 + (value >> 8);
    value = (((value & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064)) +
             (((value >> 16) & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001))) >>
            32;
    *out = negative ? -(int64_t)(value & UINT32_MAX) : (int64_t)(value & UINT32_MAX);
    return true;
}

static enum mr_num_result parse_integer(struct mr_bytes field, int64_t low, int64_t high,
                                        int64_t *out)
{
    enum mr_num_result result;
    int64_t value;

    if (field.size_bytes == 0) return MR_NUM_MALFORMED;
    if (!parse_int64(field, &value)) {
        result = mr_num_parse_int64(field.data, field.size_bytes, &value);
        if (result != MR_NUM_OK) return result;
    }
    *out = value;
    return value >= low && value <= high ? MR_NUM_OK : MR_NUM_RANGE;
}

static bool equals_no_case(struct mr_bytes field, const char *word)
{
    if (field.size_bytes != strlen(word)) return false;
    for (size_t i = 0; i < field.size_bytes; i++) {
        char c = field.data[i];

        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (c != word[i]) return false;
    }
    return true;
}

static bool parse_bool(struct mr_bytes field, bool *out)
{
    *out =
        equals_no_case(field, "true") || equals_no_case(field, "t") || equals_no_case(field, "1");
    return *out || equals_no_case(field, "false") || equals_no_case(field, "f") ||
           equals_no_case(field, "0");
}

static bool parse_interval(struct mr_bytes field, int64_t *out)
{
    char text[64]; /* mr_parse_duration wants a terminated text */

    if (field.size_bytes >= sizeof text || memchr(field.data, '\0', field.size_bytes) != NULL) {
        return false;
    }
    memcpy(text, field.data, field.size_bytes);
    text[field.size_bytes] = '\0';
    return mr_parse_duration(text, out);
}

/* ---- times ---- */

/* The last date and what it means: in files about events it mostly is the same again. */
struct date_cache {
    uint64_t first; /* 8 bytes */
    uint16_t last;  /* 2 bytes */
    bool known;
    int32_t days;
};

MR_INLINE bool parse_date(const char *text, struct date_cache *cache, int32_t *out_days)
{
    uint64_t first;
    uint16_t last;

    memcpy(&first, text, 8);
    memcpy(&last, text + 8, 2);
    if (MR_UNLIKELY(!cache->known || first != cache->first || last != cache->last)) {
        cache->known = mr_parse_date(text, 10, &cache->days);
        cache->first = first;
        cache->last = last;
    }
    *out_days = cache->days;
    return cache->known;
}

/* hh:mm:ss */
MR_INLINE bool parse_clock(const char *text, int64_t *out_seconds)
{
    uint64_t value;
    uint32_t hour, minute, second;

    memcpy(&value, text, 8);
    value ^=
        UINT64_C(0x30303a30303a3030); /* digits and, where they belong, colons become 0..9, 0 */
    if (!all_digits(value) || (value & UINT64_C(0x0000ff0000ff0000)) != 0) return false;
    value = value * 10 + (value >> 8);
    hour = value & 0xff;
    minute = value >> 24 & 0xff;
    second = value >> 48 & 0xff;
    *out_seconds = hour * 3600 + minute * 60 + second;
    return hour < 24 && minute < 60 && second < 60;
}

/* `2013-01-01T10:00:00` with or without Z in a few steps; every other form by the book. */
MR_INLINE bool parse_instant(struct mr_bytes field, bool instant, struct date_cache *cache,
                             int64_t *out)
{
    bool zone = instant && field.size_bytes == 20 && field.data[19] == 'Z';
    int64_t seconds;
    int32_t days;

    if ((field.size_bytes == 19 || zone) && (field.data[10] == 'T' || field.data[10] == ' ') &&
        parse_date(field.data, cache, &days) && parse_clock(field.data + 11, &seconds)) {
        *out = days * MR_DAY + seconds * MR_SECOND;
        return true;
    }
    return mr_parse_timestamp(field.data, field.size_bytes, instant, out);
}

/* ---- loops: one per layout ---- */

/* What is common to the columns of a window. */
struct job {
    const struct mri_csv_window *window;
    const struct mri_csv_column *column;
    struct mri_csv_target *target;
    struct mri_csv_buffers *buffers;
    uint32_t to;
    uint32_t faults;
};

static void put_fault(struct job *job, uint32_t row)
{
    if (job->window->faults[row] != MRI_CSV_FINE) return; /* known before, by another rule */
    job->window->faults[row] = MRI_CSV_BAD_VALUE;
    job->faults++;
}

MR_INLINE void put_null(struct job *job, uint32_t row)
{
    mr_bit_clear(job->target->validity, job->to + row);
    job->target->nulls = true;
    if (MR_UNLIKELY(job->column->type->not_null)) put_fault(job, row);
}

static void convert_int64(struct job *job)
{
    int64_t *values = (int64_t *)job->target->values + job->to;
    const struct mri_csv_window *window = job->window;

    for (uint32_t row = 0; row < window->rows; row++) {
        struct mr_bytes field;
        int64_t value = 0;

        if (take_field(window, row, job->column->field, &field) == FORM_NULL) {
            put_null(job, row);
        } else if (MR_UNLIKELY(field.size_bytes == 0 || !parse_int64(field, &value))) {
            if (mr_num_parse_int64(field.data, field.size_bytes, &value) != MR_NUM_OK) {
                put_fault(job, row);
            }
        }
        values[row] = value;
    }
}

static void integer_range(enum mr_type type, int64_t *out_low, int64_t *out_high)
{
    uint32_t bits = type == MR_INT8 ? 8 : type == MR_INT16 ? 16 : type == MR_INT32 ? 32 : 64;

    *out_high = (int64_t)(UINT64_MAX >> (65 - bits));
    *out_low = -*out_high - 1;
}

static void convert_small_integer(struct job *job)
{
    const struct mri_csv_window *window = job->window;
    enum mr_type type = job->column->type->type;
    int64_t low, high;

    integer_range(type, &low, &high);
    for (uint32_t row = 0; row < window->rows; row++) {
        uint32_t at = job->to + row;
        struct mr_bytes field;
        int64_t value = 0;

        if (take_field(window, row, job->column->field, &field) == FORM_NULL) {
            put_null(job, row);
        } else if (parse_integer(field, low, high, &value) != MR_NUM_OK) {
            put_fault(job, row);
        }
        if (type == MR_INT8) {
            ((int8_t *)job->target->values)[at] = (int8_t)value;
        } else if (type == MR_INT16) {
            ((int16_t *)job->target->values)[at] = (int16_t)value;
        } else {
            ((int32_t *)job->target->values)[at] = (int32_t)value;
        }
    }
}

static void convert_float64(struct job *job)
{
    double *values = (double *)job->target->values + job->to;
    const struct mri_csv_window *window = job->window;

    for (uint32_t row = 0; row < window->rows; row++) {
        struct mr_bytes field;
        double value = 0;

        if (take_field(window, row, job->column->field, &field) == FORM_NULL) {
            put_null(job, row);
        } else if (mr_num_parse_float64(field.data, field.size_bytes, &value) != MR_NUM_OK) {
            put_fault(job, row);
        }
        values[row] = value;
    }
}

static void convert_float32(struct job *job)
{
    float *values = (float *)job->target->values + job->to;
    const struct mri_csv_window *window = job->window;

    for (uint32_t row = 0; row < window->rows; row++) {
        struct mr_bytes field;
        float value = 0;

        if (take_field(window, row, job->column->field, &field) == FORM_NULL) {
            put_null(job, row);
        } else if (mr_num_parse_float32(field.data, field.size_bytes, &value) != MR_NUM_OK) {
            put_fault(job, row);
        }
        values[row] = value;
    }
}

static void convert_instant(struct job *job)
{
    int64_t *values = (int64_t *)job->target->values + job->to;
    const struct mri_csv_window *window = job->window;
    bool instant = job->column->type->type == MR_TIMESTAMP_LTZ;
    struct date_cache cache = {.known = false};

    for (uint32_t row = 0; row < window->rows; row++) {
        struct mr_bytes field;
        int64_t value = 0;

        if (take_field(window, row, job->column->field, &field) == FORM_NULL) {
            put_null(job, row);
        } else if (!parse_instant(field, instant, &cache, &value)) {
            put_fault(job, row);
        }
        values[row] = value;
    }
}

static void convert_date(struct job *job)
{
    int32_t *values = (int32_t *)job->target->values + job->to;
    const struct mri_csv_window *window = job->window;
    struct date_cache cache = {.known = false};

    for (uint32_t row = 0; row < window->rows; row++) {
        struct mr_bytes field;
        int32_t value = 0;

        if (take_field(window, row, job->column->field, &field) == FORM_NULL) {
            put_null(job, row);
        } else if (field.size_bytes != 10 || !parse_date(field.data, &cache, &value)) {
            put_fault(job, row);
        }
        values[row] = value;
    }
}

static void convert_bool(struct job *job)
{
    const struct mri_csv_window *window = job->window;

    for (uint32_t row = 0; row < window->rows; row++) {
        struct mr_bytes field;
        bool value = false;

        if (take_field(window, row, job->column->field, &field) == FORM_NULL) {
            put_null(job, row);
        } else if (!parse_bool(field, &value)) {
            put_fault(job, row);
        }
        mr_bit_assign(job->target->values, job->to + row, value);
    }
}

/* Times of day, intervals, decimals: rare, so one loop with the question inside. */
static void convert_rare(struct job *job)
{
    const struct mri_csv_window *window = job->window;
    const struct mr_field *type = job->column->type;

    for (uint32_t row = 0; row < window->rows; row++) {
        struct mr_int128 decimal = {0, 0};
        struct mr_bytes field;
        int64_t value = 0;
        bool right = true;

        if (take_field(window, row, job->column->field, &field) == FORM_NULL) {
            put_null(job, row);
        } else if (type->type == MR_DECIMAL) {
            right = mr_num_parse_decimal(field.data, field.size_bytes, type->precision, type->scale,
                                         &decimal) == MR_NUM_OK;
        } else if (type->type == MR_TIME) {
            right = mr_parse_time(field.data, field.size_bytes, &value);
        } else {
            right = parse_interval(field, &value);
        }
        if (!right) put_fault(job, row);
        if (type->type == MR_DECIMAL) {
            memcpy((char *)job->target->values + (job->to + row) * sizeof decimal, &decimal,
                   sizeof decimal);
        } else {
            ((int64_t *)job->target->values)[job->to + row] = value;
        }
    }
}

/* ---- texts ---- */

/* Room for `size_bytes` of unquoted text; the first request takes room for all that the rest of the
 * window can need. NULL: no memory. */
static char *side_room(struct mri_csv_buffers *buffers, size_t size_bytes, size_t window_bytes)
{
    if (buffers->side_room - buffers->side_used < size_bytes) {
        size_t room = MR_MAX(window_bytes, size_bytes);

        if (buffers->count == MRI_CSV_BUFFERS_MAX) return NULL;
        buffers->side = mr_batch_memory(buffers->batch, room);
        if (buffers->side == NULL) {
            buffers->side_used = buffers->side_room = 0;
            return NULL;
        }
        buffers->list[buffers->count++] = buffers->side;
        buffers->side_room = (uint32_t)room;
        buffers->side_used = 0;
    }
    return buffers->side + buffers->side_used;
}

/* A quoted field with pairs of quotes inside. `data` is behind the opening quote. */
static bool put_unquoted(struct job *job, struct mr_bytes inner, struct mr_view *out)
{
    struct mri_csv_buffers *buffers = job->buffers;
    const struct mri_csv_window *window = job->window;
    const uint32_t *last = window->positions + window->first[window->rows - 1];
    const char *window_end = window->data + last[window->field_count - 1];
    char *room = side_room(buffers, inner.size_bytes, (size_t)(window_end - inner.data));
    size_t size;

    if (room == NULL) return false;
    size = mri_csv_unquote(inner.data - 1, inner.size_bytes + 2, room);
    *out = mr_view_make(room, (uint32_t)size, buffers->count - 1, buffers->side_used);
    if (size > MR_VIEW_INLINE) buffers->side_used += (uint32_t)size;
    return true;
}

static bool put_quoted(struct job *job, struct mr_bytes inner, struct mr_view *out)
{
    if (memchr(inner.data, '"', inner.size_bytes) != NULL) return put_unquoted(job, inner, out);
    mri_view_put(out, job->window->data, (uint32_t)(inner.data - job->window->data),
                 (uint32_t)inner.size_bytes, 0);
    job->target->far |= inner.size_bytes > MR_VIEW_INLINE;
    return true;
}

static bool convert_text(struct job *job)
{
    struct mr_view *values = (struct mr_view *)job->target->values + job->to;
    const struct mri_csv_window *window = job->window;
    bool check = window->high && job->column->type->type == MR_UTF8;
    size_t longest = 0;

    for (uint32_t row = 0; row < window->rows; row++) {
        struct mr_bytes field;
        enum form form = take_field(window, row, job->column->field, &field);

        if (form == FORM_NULL) {
            memset(&values[row], 0, sizeof values[row]);
            put_null(job, row);
            continue;
        }
        if (MR_UNLIKELY(check) && !mri_utf8_valid(field.data, field.size_bytes)) {
            put_fault(job, row);
        }
        if (MR_UNLIKELY(form == FORM_QUOTED)) {
            if (!put_quoted(job, field, &values[row])) return false;
            continue;
        }
        longest = MR_MAX(longest, field.size_bytes);
        mri_view_put(&values[row], window->data, (uint32_t)(field.data - window->data),
                     (uint32_t)field.size_bytes, 0);
    }
    job->target->far |= longest > MR_VIEW_INLINE;
    return true;
}

/* ---- interface ---- */

bool mri_csv_type_supported(enum mr_type type)
{
    return type >= MR_BOOL && type <= MR_INTERVAL;
}

bool mri_csv_convert(const struct mri_csv_window *window, const struct mri_csv_column *column,
                     struct mri_csv_target *target, uint32_t to, struct mri_csv_buffers *buffers,
                     uint32_t *out_faults)
{
    struct job job = {window, column, target, buffers, to, 0};
    bool memory = true;

    switch (column->type->type) {
    case MR_BOOL: convert_bool(&job); break;
    case MR_INT8:
    case MR_INT16:
    case MR_INT32: convert_small_integer(&job); break;
    case MR_INT64: convert_int64(&job); break;
    case MR_FLOAT32: convert_float32(&job); break;
    case MR_FLOAT64: convert_float64(&job); break;
    case MR_DECIMAL:
    case MR_TIME:
    case MR_INTERVAL: convert_rare(&job); break;
    case MR_UTF8:
    case MR_BINARY: memory = convert_text(&job); break;
    case MR_DATE: convert_date(&job); break;
    case MR_TIMESTAMP:
    case MR_TIMESTAMP_LTZ: convert_instant(&job); break;
    case MR_TYPE_NONE:
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: MR_UNREACHABLE();
    }
    *out_faults += job.faults;
    return memory;
}

void mri_csv_compact(const struct mri_csv_column *column, struct mri_csv_target *target,
                     uint32_t to, const uint8_t *faults, uint32_t count)
{
    enum mr_layout layout = mr_type_layout(column->type->type);
    size_t width = mr_layout_bytes(layout);
    uint32_t kept = to;

    for (uint32_t i = 0; i < count; i++) {
        if (faults[i] != MRI_CSV_FINE) continue;
        mr_bit_assign(target->validity, kept, mr_bit_get(target->validity, to + i));
        if (layout == MR_LAYOUT_BIT) {
            mr_bit_assign(target->values, kept, mr_bit_get(target->values, to + i));
        } else {
            memmove((char *)target->values + kept * width,
                    (char *)target->values + (to + i) * width, width);
        }
        kept++;
    }
    for (; kept < to + count; kept++) mr_bit_set(target->validity, kept); /* as it was before */
}

static const char *article_of(enum mr_type type)
{
    const char *name = mr_type_name(type);

    return strchr("aeiou", name[0]) != NULL ? "an" : "a";
}

/* One character for a message: what would move a cursor or is no text becomes an escape. Returns
 * its bytes. */
static size_t add_shown(struct mr_text *out, const char *data, size_t size_bytes)
{
    unsigned char c = (unsigned char)data[0];
    size_t width = 1;

    if (c == '\n') {
        mr_text_add(out, "\\n");
    } else if (c == '\r') {
        mr_text_add(out, "\\r");
    } else if (c == '\t') {
        mr_text_add(out, "\\t");
    } else if (c >= 0x80) {
        while (width <= 4 && width <= size_bytes && !mri_utf8_valid(data, width)) width++;
        if (width <= 4 && width <= size_bytes) {
            mr_text_add_bytes(out, data, width);
            return width;
        }
        mr_text_format(out, "\\x%02x", c);
        return 1;
    } else if (c < 0x20 || c == 0x7f) {
        mr_text_format(out, "\\x%02x", c);
    } else {
        mr_text_add_char(out, (char)c);
    }
    return width;
}

static void quote_value(struct mr_text *out, struct mr_bytes field)
{
    size_t at = 0;

    mr_text_add_char(out, '\'');
    while (at < field.size_bytes && at < SHOWN_BYTES_MAX) {
        at += add_shown(out, field.data + at, field.size_bytes - at);
    }
    mr_text_add(out, at < field.size_bytes ? "...'" : "'");
}

static bool explain_null(const struct mri_csv_column *column, struct mr_text *out)
{
    if (!column->type->not_null) return false;
    mr_text_add(out, "the field is null, but the column must not be");
    return true;
}

/* Does the value fit? *out_range: it is a number, but too large or too precise. */
static bool value_fits(const struct mr_field *type, struct mr_bytes field, bool *out_range)
{
    struct date_cache cache = {.known = false};
    struct mr_int128 decimal;
    int64_t low, high, value;
    int32_t days;
    double number;
    float small;
    bool flag;
    enum mr_num_result result = MR_NUM_OK;

    switch (type->type) {
    case MR_BOOL: return parse_bool(field, &flag);
    case MR_INT8:
    case MR_INT16:
    case MR_INT32:
    case MR_INT64:
        integer_range(type->type, &low, &high);
        result = parse_integer(field, low, high, &value);
        break;
    case MR_FLOAT32: result = mr_num_parse_float32(field.data, field.size_bytes, &small); break;
    case MR_FLOAT64: result = mr_num_parse_float64(field.data, field.size_bytes, &number); break;
    case MR_DECIMAL:
        result = mr_num_parse_decimal(field.data, field.size_bytes, type->precision, type->scale,
                                      &decimal);
        break;
    case MR_UTF8: return mri_utf8_valid(field.data, field.size_bytes);
    case MR_DATE: return field.size_bytes == 10 && parse_date(field.data, &cache, &days);
    case MR_TIME: return mr_parse_time(field.data, field.size_bytes, &value);
    case MR_TIMESTAMP: return mr_parse_timestamp(field.data, field.size_bytes, false, &value);
    case MR_TIMESTAMP_LTZ: return mr_parse_timestamp(field.data, field.size_bytes, true, &value);
    case MR_INTERVAL: return parse_interval(field, &value);
    case MR_BINARY:
    case MR_TYPE_NONE:
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: return true;
    }
    *out_range = result == MR_NUM_RANGE;
    return result == MR_NUM_OK;
}

bool mri_csv_explain(const struct mri_csv_window *window, const struct mri_csv_column *column,
                     uint32_t row, struct mr_text *out)
{
    enum mr_type type = column->type->type;
    struct mr_bytes field;
    bool range = false;

    if (take_field(window, row, column->field, &field) == FORM_NULL) {
        return explain_null(column, out);
    }
    if (value_fits(column->type, field, &range)) return false;
    if (type == MR_UTF8) {
        mr_text_add(out, "the text is not valid UTF-8");
        return true;
    }
    quote_value(out, field);
    if (type == MR_DECIMAL) {
        mr_text_format(out, range ? " does not fit decimal(%u,%u)" : " is not a decimal(%u,%u)",
                       column->type->precision, column->type->scale);
    } else if (range) {
        mr_text_format(out, " does not fit %s", mr_type_name(type));
    } else {
        mr_text_format(out, " is not %s %s", article_of(type), mr_type_name(type));
    }
    return true;
}
