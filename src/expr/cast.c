/* cast.c - CAST and TRY_CAST between all types that are not nested, and which casts there are.
 *
 * Numbers are checked, fractions are cut toward zero on the way to an integer and rounded half away
 * from zero on the way to a decimal. Texts may have white space around what they say.
 */
#include "expr/bind_internal.h"

#include "base/time.h"
#include <math.h>

static bool is_number(uint8_t type)
{
    return mr_type_is_numeric((enum mr_type)type);
}

static bool is_instant(uint8_t type)
{
    return mr_type_is_time((enum mr_type)type);
}

bool mri_cast_allowed(struct mri_type from, struct mri_type to)
{
    bool from_countable = is_number(from.type) || from.type == MR_BOOL;
    bool to_countable = is_number(to.type) || to.type == MR_BOOL;

    if (from.type > MR_INTERVAL || from.type == MR_TYPE_NONE) return false;
    if (from.type == to.type || (from_countable && to_countable)) return true;
    if (from.type == MR_BINARY) return to.type == MR_UTF8;
    if (to.type == MR_BINARY) return from.type == MR_UTF8;
    if (from.type == MR_UTF8 || to.type == MR_UTF8) return true;
    if (is_instant(from.type)) {
        return is_instant(to.type) || to.type == MR_DATE || to.type == MR_TIME;
    }
    return from.type == MR_DATE && is_instant(to.type);
}

static bool decimal_cast_can_fail(struct mri_type from, struct mri_type to)
{
    static const uint8_t digits[] = {
        [MR_INT8] = 3, [MR_INT16] = 5, [MR_INT32] = 10, [MR_INT64] = 19};
    int room = to.precision - to.scale;

    if (from.type == MR_BOOL) return room < 1;
    if (mr_type_is_integer((enum mr_type)from.type)) return room < digits[from.type];
    if (from.type == MR_DECIMAL) {
        return to.scale < from.scale || room < from.precision - from.scale;
    }
    return true;
}

bool mri_cast_can_fail(struct mri_type from, struct mri_type to)
{
    if (to.type == MR_DECIMAL) return decimal_cast_can_fail(from, to);
    if (from.type == to.type || to.type == MR_BINARY) return false;
    if (to.type == MR_UTF8) return from.type == MR_BINARY;
    if (from.type == MR_UTF8 || from.type == MR_DATE) return true;
    if (is_instant(from.type) || from.type == MR_BOOL || to.type == MR_BOOL) return false;
    if (to.type == MR_FLOAT64) return false;
    if (to.type == MR_FLOAT32) return from.type == MR_FLOAT64;
    return !(mr_type_is_integer((enum mr_type)from.type) && from.type < to.type);
}

/* ---- numbers of the machine to each other ---- */

static const char out_of_range[] = "number out of range";

#define PLAIN(F, T)                                                                     \
    do {                                                                                \
        const F *restrict a = call->args[0].column.values;                              \
        T *restrict out = call->values;                                                 \
        for (uint32_t i = 0; i < call->count; i++) out[i] = (T)a[i];                    \
    } while (0)

#define INT_TO_INT(F, T)                                                                \
    do {                                                                                \
        const F *restrict a = call->args[0].column.values;                              \
        T *restrict out = call->values;                                                 \
        int bad = 0;                                                                    \
        for (uint32_t i = 0; i < call->count; i++) {                                    \
            out[i] = (T)a[i];                                                           \
            bad |= (F)out[i] != a[i];                                                   \
        }                                                                               \
        for (uint32_t i = 0; bad && i < call->count; i++) {                             \
            if ((F)out[i] != a[i] && mri_call_valid(call, i))                           \
                mri_call_fail(call, i, out_of_range);                                   \
        }                                                                               \
    } while (0)

/* Both bounds are powers of two and exact; NaN fails both tests. */
#define FLOAT_TO_INT(F, T, LIMIT)                                                       \
    do {                                                                                \
        const F *a = call->args[0].column.values;                                       \
        T *out = call->values;                                                          \
        for (uint32_t i = 0; i < call->count; i++) {                                    \
            double x = trunc((double)a[i]);                                             \
            bool fits = x >= -(LIMIT) && x < (LIMIT);                                   \
            out[i] = fits ? (T)x : 0;                                                   \
            if (!fits && mri_call_valid(call, i)) mri_call_fail(call, i, out_of_range); \
        }                                                                               \
    } while (0)

static void float64_to_float32(struct mri_call *call)
{
    const double *a = call->args[0].column.values;
    float *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        out[i] = (float)a[i];
        if (isinf(out[i]) && !isinf(a[i]) && mri_call_valid(call, i)) {
            mri_call_fail(call, i, out_of_range);
        }
    }
}

#define FROM_INT(F)                                      \
    switch (call->node->type) {                          \
    case MR_INT8: INT_TO_INT(F, int8_t); break;          \
    case MR_INT16: INT_TO_INT(F, int16_t); break;        \
    case MR_INT32: INT_TO_INT(F, int32_t); break;        \
    case MR_INT64: INT_TO_INT(F, int64_t); break;        \
    case MR_FLOAT32: PLAIN(F, float); break;             \
    default: PLAIN(F, double); break;                    \
    }

#define FROM_FLOAT(F)                                                  \
    switch (call->node->type) {                                        \
    case MR_INT8: FLOAT_TO_INT(F, int8_t, 128.0); break;               \
    case MR_INT16: FLOAT_TO_INT(F, int16_t, 32768.0); break;           \
    case MR_INT32: FLOAT_TO_INT(F, int32_t, 2147483648.0); break;      \
    default: FLOAT_TO_INT(F, int64_t, 9223372036854775808.0); break;   \
    }

/* Integers and floats on both sides. */
static void cast_machine(struct mri_call *call, uint8_t from)
{
    uint8_t to = call->node->type;

    switch (from) {
    case MR_INT8: FROM_INT(int8_t); break;
    case MR_INT16: FROM_INT(int16_t); break;
    case MR_INT32: FROM_INT(int32_t); break;
    case MR_INT64: FROM_INT(int64_t); break;
    case MR_FLOAT32:
        if (to == MR_FLOAT64) PLAIN(float, double);
        else FROM_FLOAT(float);
        break;
    default:
        if (to == MR_FLOAT32) float64_to_float32(call);
        else FROM_FLOAT(double);
        break;
    }
}

/* ---- row by row ---- */

/* What a text or number came to be; which member counts follows from the target type. */
struct result {
    mr_i128 number;
    double real;
};

/* False: does not fit. */
static bool store(struct mri_call *call, uint32_t at, const struct result *result)
{
    int64_t number = (int64_t)result->number;

    switch (call->node->type) {
    case MR_BOOL: mr_bit_assign(call->values, at, result->number != 0); return true;
    case MR_INT8:
        ((int8_t *)call->values)[at] = (int8_t)number;
        return result->number == (int8_t)number;
    case MR_INT16:
        ((int16_t *)call->values)[at] = (int16_t)number;
        return result->number == (int16_t)number;
    case MR_INT32:
    case MR_DATE:
        ((int32_t *)call->values)[at] = (int32_t)number;
        return result->number == (int32_t)number;
    case MR_FLOAT32: ((float *)call->values)[at] = (float)result->real; return true;
    case MR_FLOAT64: ((double *)call->values)[at] = result->real; return true;
    case MR_DECIMAL: ((mr_i128 *)call->values)[at] = result->number; return true;
    default: ((int64_t *)call->values)[at] = number; return result->number == number;
    }
}

static bool float_to_decimal(const struct mri_call *call, double value, mr_i128 *out)
{
    char text[MR_NUM_TEXT_BYTES];
    bool single = call->args[0].column.type == MR_FLOAT32;
    size_t size = single ? mr_num_format_float32(text, (float)value)
                         : mr_num_format_float64(text, value);

    return mri_decimal_parse(text, size, call->node->precision, call->node->scale, out) ==
           MR_NUM_OK;
}

/* Numbers and bools where one side is a decimal or a bool. */
static bool convert_number(const struct mri_call *call, uint32_t at, struct result *out)
{
    const struct mr_column *from = &call->args[0].column;
    const struct mr_expr *node = call->node;
    bool is_float = mr_type_is_float((enum mr_type)from->type);
    mr_i128 value = 0;

    if (is_float) out->real = mr_column_float64(from, at);
    else if (from->type == MR_BOOL) value = mr_column_bool(from, at);
    else value = mr_column_int128(from, at);
    if (node->type == MR_BOOL) {
        out->number = is_float ? out->real != 0 : value != 0;
        return true;
    }
    if (node->type == MR_DECIMAL) {
        uint32_t scale = from->type == MR_DECIMAL ? from->scale : 0;

        if (is_float) return float_to_decimal(call, out->real, &out->number);
        return mri_decimal_rescale(value, scale, node->scale, node->precision, &out->number);
    }
    if (from->type == MR_DECIMAL) {
        if (mr_type_is_float((enum mr_type)node->type)) {
            out->real = mri_decimal_to_float64(value, from->scale);
            return true;
        }
        value /= mri_power10(from->scale);
    }
    out->number = value;
    out->real = (double)value;
    return true;
}

static void cast_counted(struct mri_call *call)
{
    for (uint32_t i = 0; i < call->count; i++) {
        struct result result = {0, 0};
        bool fits = !mri_call_valid(call, i) || convert_number(call, i, &result);

        if (!store(call, i, &result) || !fits) mri_call_fail(call, i, out_of_range);
    }
}

static bool date_to_instant(int64_t days, mr_i128 *out)
{
    int64_t us;

    if (__builtin_mul_overflow(days, MR_DAY, &us) || us <= MR_TIME_MIN || us >= MR_TIME_MAX) {
        return false;
    }
    *out = us;
    return true;
}

static void cast_times(struct mri_call *call)
{
    const struct mr_column *from = &call->args[0].column;

    for (uint32_t i = 0; i < call->count; i++) {
        struct result result = {0, 0};
        int64_t value = mr_column_int64(from, i);
        bool fits = true;

        if (from->type == MR_DATE) fits = date_to_instant(value, &result.number);
        else if (call->node->type == MR_DATE) result.number = mr_floor_div(value, MR_DAY);
        else result.number = mr_floor_mod(value, MR_DAY);
        fits = store(call, i, &result) && fits;
        if (!fits && mri_call_valid(call, i)) mri_call_fail(call, i, "timestamp out of range");
    }
}

/* ---- from texts ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct mr_bytes strip(struct mr_bytes text)
{
    while (text.size_bytes > 0 && is_space(text.data[0])) {
        text.data++;
        text.size_bytes--;
    }
    while (text.size_bytes > 0 && is_space(text.data[text.size_bytes - 1])) text.size_bytes--;
    return text;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static enum mr_num_result parse_bool(struct mr_bytes text, mr_i128 *out)
{
    static const char *const words[] = {"false", "f", "no", "n", "0", "true", "t", "yes", "y", "1"};

    for (size_t w = 0; w < MR_COUNT(words); w++) {
        size_t i = 0;

        if (strlen(words[w]) != text.size_bytes) continue;
        while (i < text.size_bytes && lower(text.data[i]) == words[w][i]) i++;
        if (i < text.size_bytes) continue;
        *out = w >= MR_COUNT(words) / 2;
        return MR_NUM_OK;
    }
    return MR_NUM_MALFORMED;
}

/* A fraction is cut: '1.5' is 1. */
static enum mr_num_result parse_integer(struct mr_bytes text, mr_i128 *out)
{
    int64_t number = 0;
    enum mr_num_result result = mr_num_parse_int64(text.data, text.size_bytes, &number);
    const char *point;
    size_t whole, sign;

    if (result == MR_NUM_MALFORMED && text.size_bytes > 1 &&
        (point = memchr(text.data, '.', text.size_bytes)) != NULL) {
        whole = (size_t)(point - text.data);
        sign = whole > 0 && (text.data[0] == '-' || text.data[0] == '+');
        for (size_t i = whole + 1; i < text.size_bytes; i++) {
            if (text.data[i] < '0' || text.data[i] > '9') return MR_NUM_MALFORMED;
        }
        if (whole > sign) result = mr_num_parse_int64(text.data, whole, &number);
        else if (text.size_bytes > whole + 1) result = MR_NUM_OK;
    }
    *out = number;
    return result;
}

static bool parse_interval(struct mr_bytes text, mr_i128 *out)
{
    char buffer[64];
    int64_t us;
    size_t sign = text.size_bytes > 0 && text.data[0] == '-';

    if (text.size_bytes >= sizeof buffer) return false;
    if (text.size_bytes > 0) memcpy(buffer, text.data, text.size_bytes);
    buffer[text.size_bytes] = '\0';
    if (strlen(buffer) != text.size_bytes || !mr_parse_duration(buffer + sign, &us)) return false;
    *out = sign ? -us : us;
    return true;
}

/* A date, or the date of a timestamp. */
static bool parse_date(struct mr_bytes text, mr_i128 *out)
{
    int32_t days;
    int64_t us;

    if (mr_parse_date(text.data, text.size_bytes, &days)) {
        *out = days;
        return true;
    }
    if (!mr_parse_timestamp(text.data, text.size_bytes, false, &us)) return false;
    *out = mr_floor_div(us, MR_DAY);
    return true;
}

static enum mr_num_result parse_time_text(struct mr_bytes text, uint8_t type, mr_i128 *out)
{
    int64_t us = 0;
    bool good;

    if (type == MR_DATE) return parse_date(text, out) ? MR_NUM_OK : MR_NUM_MALFORMED;
    if (type == MR_INTERVAL) return parse_interval(text, out) ? MR_NUM_OK : MR_NUM_MALFORMED;
    if (type == MR_TIME) good = mr_parse_time(text.data, text.size_bytes, &us);
    else good = mr_parse_timestamp(text.data, text.size_bytes, type == MR_TIMESTAMP_LTZ, &us);
    *out = us;
    return good ? MR_NUM_OK : MR_NUM_MALFORMED;
}

static enum mr_num_result parse_text(const struct mr_expr *node, struct mr_bytes text,
                                     struct result *out)
{
    enum mr_num_result result;
    float single = 0;

    switch (node->type) {
    case MR_BOOL: return parse_bool(text, &out->number);
    case MR_INT8:
    case MR_INT16:
    case MR_INT32:
    case MR_INT64: return parse_integer(text, &out->number);
    case MR_FLOAT32:
        result = mr_num_parse_float32(text.data, text.size_bytes, &single);
        out->real = (double)single;
        return result;
    case MR_FLOAT64: return mr_num_parse_float64(text.data, text.size_bytes, &out->real);
    case MR_DECIMAL:
        return mri_decimal_parse(text.data, text.size_bytes, node->precision, node->scale,
                                 &out->number);
    default: return parse_time_text(text, node->type, &out->number);
    }
}

static void cast_from_text(struct mri_call *call)
{
    const struct mr_column *from = &call->args[0].column;
    const struct mr_view *views = from->values;

    for (uint32_t i = 0; i < call->count; i++) {
        struct result result = {0, 0};
        enum mr_num_result parsed = MR_NUM_OK;
        bool fits;

        if (mri_call_valid(call, i)) {
            parsed = parse_text(call->node, strip(mr_view_bytes(from, &views[i])), &result);
        }
        fits = store(call, i, &result);
        if (parsed == MR_NUM_MALFORMED) mri_call_fail(call, i, "text is not a value of the type");
        else if (parsed == MR_NUM_RANGE || !fits) mri_call_fail(call, i, out_of_range);
    }
}

/* ---- to texts ---- */

static size_t format_interval(char *out, int64_t us)
{
    if (us >= 0) return mr_format_duration(out, us);
    out[0] = '-';
    return 1 + mr_format_duration(out + 1, us == INT64_MIN ? INT64_MAX : -us);
}

static size_t format_decimal(char *out, mr_i128 value, uint8_t scale)
{
    struct mr_int128 words = {(uint64_t)value, (int64_t)(value >> 64)};

    return mr_num_format_decimal(out, words, scale);
}

static size_t format_value(const struct mr_column *column, uint32_t at, char *out)
{
    switch ((enum mr_type)column->type) {
    case MR_BOOL: {
        bool value = mr_column_bool(column, at);

        memcpy(out, value ? "TRUE" : "FALSE", value ? 4 : 5);
        return value ? 4 : 5;
    }
    case MR_FLOAT32: return mr_num_format_float32(out, (float)mr_column_float64(column, at));
    case MR_FLOAT64: return mr_num_format_float64(out, mr_column_float64(column, at));
    case MR_DECIMAL: return format_decimal(out, mr_column_int128(column, at), column->scale);
    case MR_DATE: return mr_format_date(out, (int32_t)mr_column_int64(column, at));
    case MR_TIME: return mr_format_time(out, mr_floor_mod(mr_column_int64(column, at), MR_DAY));
    case MR_TIMESTAMP: return mr_format_timestamp(out, mr_column_int64(column, at), false);
    case MR_TIMESTAMP_LTZ: return mr_format_timestamp(out, mr_column_int64(column, at), true);
    case MR_INTERVAL: return format_interval(out, mr_column_int64(column, at));
    case MR_INT8:
    case MR_INT16:
    case MR_INT32:
    case MR_INT64: return mr_num_format_int64(out, mr_column_int64(column, at));
    case MR_TYPE_NONE:
    case MR_UTF8:
    case MR_BINARY:
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: break;
    }
    MR_UNREACHABLE();
}

static void cast_to_text(struct mri_call *call)
{
    const struct mr_column *from = &call->args[0].column;
    struct mr_view *out = call->values;
    struct mri_writer writer;

    mri_writer_init(&writer, call->run);
    for (uint32_t i = 0; i < call->count; i++) {
        char buffer[MR_NUM_TEXT_BYTES + MR_TIME_TEXT_BYTES];

        out[i] = (struct mr_view){0};
        if (!mri_call_valid(call, i)) continue;
        out[i] = mri_writer_copy(&writer, buffer, format_value(from, i, buffer));
    }
    if (writer.failed) call->status = mri_nomem(call->run, MR_TEXT_BYTES_MAX);
    call->buffers = writer.buffers;
    call->buffer_count = writer.buffer_count;
}

/* The bytes stay where they are; they only have to be UTF-8. */
static void cast_binary_to_utf8(struct mri_call *call)
{
    const struct mri_value *arg = &call->args[0];
    const struct mr_view *views = arg->column.values;
    struct mr_view *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        struct mr_bytes text;

        out[i] = (struct mr_view){0};
        if (!mri_call_valid(call, i)) continue;
        text = mr_view_bytes(&arg->column, &views[i]);
        if (mri_utf8_valid_bytes(text.data, text.size_bytes) == text.size_bytes) out[i] = views[i];
        else mri_call_fail(call, i, "bytes are not UTF-8");
    }
    call->buffers = arg->column.buffers;
    call->buffer_count = arg->column.buffer_count;
    call->texts_borrowed = arg->texts_borrowed || arg->borrowed;
}

static bool is_machine(uint8_t type)
{
    return type >= MR_INT8 && type <= MR_FLOAT64;
}

/* The operand is FLAT, or CONST with one row to do. */
void mri_kernel_cast(struct mri_call *call)
{
    uint8_t from = call->args[0].column.type;
    uint8_t to = call->node->type;

    if (from == to && to != MR_DECIMAL) {
        size_t width = mr_layout_bytes(mr_type_layout((enum mr_type)to));
        size_t size = to == MR_BOOL ? mr_bits_words(call->count) * 8 : width * call->count;

        memcpy(call->values, call->args[0].column.values, size);
        call->buffers = call->args[0].column.buffers;
        call->buffer_count = call->args[0].column.buffer_count;
        call->texts_borrowed = call->args[0].texts_borrowed || call->args[0].borrowed;
    } else if (is_machine(from) && is_machine(to)) {
        cast_machine(call, from);
    } else if (from == MR_UTF8) {
        cast_from_text(call);
    } else if (from == MR_BINARY) {
        cast_binary_to_utf8(call);
    } else if (to == MR_UTF8) {
        cast_to_text(call);
    } else if (is_number(from) || from == MR_BOOL) {
        cast_counted(call);
    } else {
        cast_times(call);
    }
}
