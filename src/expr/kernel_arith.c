/* kernel_arith.c - + - * / % negate abs, floor ceil round sqrt power, over whole columns.
 *
 * A checked loop computes every row, null or not, without a branch and gathers a sign bit that says
 * "some row overflowed". Only then a second pass asks row by row, by running the same loop over one
 * row, and fails the rows that count. Constant operands have loops of their own.
 */
#include "expr/expr_internal.h"

#include "base/time.h"
#include <math.h>

/* True: at least one row did not fit; its result is some defined value. */
typedef bool binary_loop(const void *left, bool left_const, const void *right, bool right_const,
                         void *result, uint32_t count);

#define BINARY(name, T, BODY)                                                              \
    static bool name(const void *left, bool left_const, const void *right, bool right_const, \
                     void *result, uint32_t count)                                         \
    {                                                                                      \
        const T *restrict a = left;                                                        \
        const T *restrict b = right;                                                       \
        T *restrict out = result;                                                          \
        T bad = 0;                                                                         \
                                                                                           \
        if (left_const) {                                                                  \
            T x = a[0];                                                                    \
            for (uint32_t i = 0; i < count; i++) {                                         \
                T y = b[i];                                                                \
                BODY                                                                       \
            }                                                                              \
        } else if (right_const) {                                                          \
            T y = b[0];                                                                    \
            for (uint32_t i = 0; i < count; i++) {                                         \
                T x = a[i];                                                                \
                BODY                                                                       \
            }                                                                              \
        } else {                                                                           \
            for (uint32_t i = 0; i < count; i++) {                                         \
                T x = a[i], y = b[i];                                                      \
                BODY                                                                       \
            }                                                                              \
        }                                                                                  \
        return bad < 0;                                                                    \
    }

/* `bad` is negative once a row was bad. */
#define ADD_BODY(T, U)                        \
    T r = (T)((U)x + (U)y);                   \
    bad = (T)(bad | ((x ^ r) & (y ^ r)));     \
    out[i] = r;
#define SUBTRACT_BODY(T, U)                   \
    T r = (T)((U)x - (U)y);                   \
    bad = (T)(bad | ((x ^ y) & (x ^ r)));     \
    out[i] = r;
#define MULTIPLY_BODY(T, W)                   \
    W wide = (W)((W)x * (W)y);                \
    T r = (T)wide;                            \
    bad = (T)(bad | -(T)(wide != r));         \
    out[i] = r;
#define MULTIPLY64_BODY                       \
    int64_t r;                                \
    bad |= -(int64_t)__builtin_mul_overflow(x, y, &r); \
    out[i] = r;
#define DIVIDE_BODY(T, LEAST)                 \
    bool wrong = (y == 0) | ((x == LEAST) & (y == -1)); \
    bad = (T)(bad | -(T)wrong);               \
    out[i] = (T)(x / (wrong ? (T)1 : y));
/* x % -1 is 0, but the machine's division would trap for the least x. */
#define MODULO_BODY(T)                        \
    bad = (T)(bad | -(T)(y == 0));            \
    out[i] = (T)(x % (((y == 0) | (y == -1)) ? (T)1 : y));

#define INTEGER_LOOPS(suffix, T, U, W, LEAST)                \
    BINARY(add_##suffix, T, ADD_BODY(T, U))                  \
    BINARY(subtract_##suffix, T, SUBTRACT_BODY(T, U))        \
    BINARY(divide_##suffix, T, DIVIDE_BODY(T, LEAST))        \
    BINARY(modulo_##suffix, T, MODULO_BODY(T))

INTEGER_LOOPS(i8, int8_t, uint8_t, int32_t, INT8_MIN)
INTEGER_LOOPS(i16, int16_t, uint16_t, int32_t, INT16_MIN)
INTEGER_LOOPS(i32, int32_t, uint32_t, int64_t, INT32_MIN)
INTEGER_LOOPS(i64, int64_t, uint64_t, int64_t, INT64_MIN)
BINARY(multiply_i8, int8_t, MULTIPLY_BODY(int8_t, int32_t))
BINARY(multiply_i16, int16_t, MULTIPLY_BODY(int16_t, int32_t))
BINARY(multiply_i32, int32_t, MULTIPLY_BODY(int32_t, int64_t))
BINARY(multiply_i64, int64_t, MULTIPLY64_BODY)

BINARY(add_f32, float, out[i] = x + y;)
BINARY(subtract_f32, float, out[i] = x - y;)
BINARY(multiply_f32, float, out[i] = x * y;)
BINARY(divide_f32, float, out[i] = x / y;)
BINARY(modulo_f32, float, out[i] = fmodf(x, y);)
BINARY(add_f64, double, out[i] = x + y;)
BINARY(subtract_f64, double, out[i] = x - y;)
BINARY(multiply_f64, double, out[i] = x * y;)
BINARY(divide_f64, double, out[i] = x / y;)
BINARY(modulo_f64, double, out[i] = fmod(x, y);)

/* Instants stay strictly between the reserved bounds. */
#define BOUND_BODY bad |= -(int64_t)((r <= MR_TIME_MIN) | (r >= MR_TIME_MAX));
BINARY(add_time, int64_t, ADD_BODY(int64_t, uint64_t) BOUND_BODY)
BINARY(subtract_time, int64_t, SUBTRACT_BODY(int64_t, uint64_t) BOUND_BODY)
/* Times of day wrap around midnight. */
BINARY(add_clock, int64_t,
       out[i] = mr_floor_mod(mr_floor_mod(x, MR_DAY) + mr_floor_mod(y, MR_DAY), MR_DAY);)
BINARY(subtract_clock, int64_t, out[i] = mr_floor_mod(x - mr_floor_mod(y, MR_DAY), MR_DAY);)

/* By operator, then int8, int16, int32, int64, float32, float64. */
static binary_loop *const binary_loops[5][6] = {
    {add_i8, add_i16, add_i32, add_i64, add_f32, add_f64},
    {subtract_i8, subtract_i16, subtract_i32, subtract_i64, subtract_f32, subtract_f64},
    {multiply_i8, multiply_i16, multiply_i32, multiply_i64, multiply_f32, multiply_f64},
    {divide_i8, divide_i16, divide_i32, divide_i64, divide_f32, divide_f64},
    {modulo_i8, modulo_i16, modulo_i32, modulo_i64, modulo_f32, modulo_f64},
};

static binary_loop *loop_of(const struct mri_call *call)
{
    uint8_t op = call->node->op;
    uint8_t type = call->node->type;

    if (mr_type_is_time((enum mr_type)type)) return op == MR_OP_ADD ? add_time : subtract_time;
    if (type == MR_TIME) return op == MR_OP_ADD ? add_clock : subtract_clock;
    if (type == MR_INTERVAL) type = MR_INT64;
    mr_assert(op <= MR_OP_MODULO && type >= MR_INT8 && type <= MR_FLOAT64);
    return binary_loops[op - MR_OP_ADD][type - MR_INT8];
}

static const char *element(const struct mri_value *value, size_t width, uint32_t at)
{
    return (const char *)value->column.values + width * (at & mri_mask(value));
}

/* The second pass: which rows were bad? */
static void fail_rows(struct mri_call *call, binary_loop *loop, const struct mri_value *left,
                      const struct mri_value *right)
{
    size_t width = mr_layout_bytes(mr_type_layout((enum mr_type)call->node->type));
    uint8_t op = call->node->op;
    bool divides = op == MR_OP_DIVIDE || op == MR_OP_MODULO;
    static const char zero[16] = {0};
    int64_t ignored;

    for (uint32_t i = 0; i < call->count && call->status == MR_OK; i++) {
        const char *x = element(left, width, i);
        const char *y = element(right, width, i);

        if (!mri_call_valid(call, i) || !loop(x, false, y, false, &ignored, 1)) continue;
        if (divides && memcmp(y, zero, width) == 0) {
            mri_call_fail(call, i, "division by zero");
        } else if (mr_type_is_time((enum mr_type)call->node->type)) {
            mri_call_fail(call, i, "timestamp out of range");
        } else {
            mri_call_fail(call, i, "integer overflow");
        }
    }
}

static void run_binary(struct mri_call *call, const struct mri_value *left,
                       const struct mri_value *right)
{
    binary_loop *loop = loop_of(call);

    if (loop(left->column.values, mri_mask(left) == 0, right->column.values,
             mri_mask(right) == 0, call->values, call->count)) {
        fail_rows(call, loop, left, right);
    }
}

/* ---- one operand ---- */

static void negate_float(struct mri_call *call, bool absolute)
{
    if (call->node->type == MR_FLOAT32) {
        const float *a = call->args[0].column.values;
        float *out = call->values;

        for (uint32_t i = 0; i < call->count; i++) out[i] = absolute ? fabsf(a[i]) : -a[i];
    } else {
        const double *a = call->args[0].column.values;
        double *out = call->values;

        for (uint32_t i = 0; i < call->count; i++) out[i] = absolute ? fabs(a[i]) : -a[i];
    }
}

static void negate_decimal(struct mri_call *call, bool absolute)
{
    const mr_i128 *a = call->args[0].column.values;
    mr_i128 *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        out[i] = absolute && a[i] >= 0 ? a[i] : (mr_i128)(-(mr_u128)a[i]);
    }
}

#define ABSOLUTE(T, LEAST)                                              \
    do {                                                                \
        const T *a = call->args[0].column.values;                       \
        T *out = call->values;                                          \
        for (uint32_t i = 0; i < call->count; i++) {                    \
            out[i] = (T)(a[i] < 0 && a[i] != LEAST ? -a[i] : a[i]);     \
            if (MR_UNLIKELY(a[i] == LEAST) && mri_call_valid(call, i))  \
                mri_call_fail(call, i, "integer overflow");             \
        }                                                               \
    } while (0)

static void absolute_integer(struct mri_call *call)
{
    switch (call->node->type) {
    case MR_INT8: ABSOLUTE(int8_t, INT8_MIN); break;
    case MR_INT16: ABSOLUTE(int16_t, INT16_MIN); break;
    case MR_INT32: ABSOLUTE(int32_t, INT32_MIN); break;
    default: ABSOLUTE(int64_t, INT64_MIN); break;
    }
}

/* 0 - x overflows exactly where -x does. */
static void negate_integer(struct mri_call *call)
{
    static const int64_t zero = 0;
    struct mri_value left = {.column = {.encoding = MR_CONST, .values = &zero}};
    uint8_t type = call->node->type == MR_INTERVAL ? (uint8_t)MR_INT64 : call->node->type;
    binary_loop *loop = binary_loops[MR_OP_SUBTRACT - MR_OP_ADD][type - MR_INT8];
    const struct mri_value *right = &call->args[0];

    if (loop(&zero, true, right->column.values, false, call->values, call->count)) {
        fail_rows(call, loop, &left, right);
    }
}

void mri_kernel_arith(struct mri_call *call)
{
    bool absolute = call->node->op == MR_OP_ABS;

    if (call->node->op != MR_OP_NEGATE && !absolute) {
        if (call->node->type == MR_DECIMAL) mri_kernel_decimal(call);
        else run_binary(call, &call->args[0], &call->args[1]);
    } else if (call->node->type == MR_DECIMAL) {
        negate_decimal(call, absolute);
    } else if (mr_type_is_float((enum mr_type)call->node->type)) {
        negate_float(call, absolute);
    } else if (absolute) {
        absolute_integer(call);
    } else {
        negate_integer(call);
    }
}

/* ---- decimals ---- */

/* Both operands at the larger scale; false: more than 128 bits. */
static bool align_scales(const struct mri_call *call, mr_i128 *left, mr_i128 *right,
                         uint32_t *out_scale)
{
    uint32_t a = call->args[0].column.scale, b = call->args[1].column.scale;

    *out_scale = MR_MAX(a, b);
    return !__builtin_mul_overflow(*left, mri_power10(*out_scale - a), left) &&
           !__builtin_mul_overflow(*right, mri_power10(*out_scale - b), right);
}

static bool decimal_sum(const struct mri_call *call, mr_i128 left, mr_i128 right, mr_i128 *out)
{
    const struct mr_expr *node = call->node;
    uint32_t scale;
    mr_i128 sum;

    if (!align_scales(call, &left, &right, &scale)) return false;
    if (node->op == MR_OP_ADD) {
        if (__builtin_add_overflow(left, right, &sum)) return false;
    } else if (__builtin_sub_overflow(left, right, &sum)) {
        return false;
    }
    return mri_decimal_rescale(sum, scale, node->scale, node->precision, out);
}

static bool decimal_row(const struct mri_call *call, mr_i128 left, mr_i128 right, mr_i128 *out)
{
    const struct mr_expr *node = call->node;
    uint32_t a = call->args[0].column.scale, b = call->args[1].column.scale, scale;

    switch (node->op) {
    case MR_OP_MULTIPLY:
        return mri_decimal_multiply(left, right, a + b - node->scale, node->precision, out);
    case MR_OP_DIVIDE:
        return mri_decimal_divide(left, right, (int32_t)node->scale - (int32_t)a + (int32_t)b,
                                  node->precision, out);
    case MR_OP_MODULO:
        if (!align_scales(call, &left, &right, &scale)) return false;
        *out = right == -1 ? 0 : left % right;
        return true;
    default: return decimal_sum(call, left, right, out);
    }
}

void mri_kernel_decimal(struct mri_call *call)
{
    const mr_i128 *left = call->args[0].column.values;
    const mr_i128 *right = call->args[1].column.values;
    uint32_t left_mask = mri_mask(&call->args[0]), right_mask = mri_mask(&call->args[1]);
    mr_i128 *out = call->values;
    bool divides = call->node->op == MR_OP_DIVIDE || call->node->op == MR_OP_MODULO;

    for (uint32_t i = 0; i < call->count; i++) {
        mr_i128 x = left[i & left_mask], y = right[i & right_mask];

        out[i] = 0;
        if (!mri_call_valid(call, i)) continue;
        if (divides && y == 0) mri_call_fail(call, i, "division by zero");
        else if (!decimal_row(call, x, y, &out[i])) mri_call_fail(call, i, "decimal overflow");
    }
}

/* ---- mathematics ---- */

static void math_float64(struct mri_call *call)
{
    const double *a = call->args[0].column.values;
    double *out = call->values;
    uint32_t n = call->count;

    switch (call->node->op) {
    case MR_OP_FLOOR:
        for (uint32_t i = 0; i < n; i++) out[i] = floor(a[i]);
        break;
    case MR_OP_CEIL:
        for (uint32_t i = 0; i < n; i++) out[i] = ceil(a[i]);
        break;
    case MR_OP_SQRT:
        for (uint32_t i = 0; i < n; i++) out[i] = sqrt(a[i]);
        break;
    default: {
        const double *b = call->args[1].column.values;
        uint32_t a_mask = mri_mask(&call->args[0]), b_mask = mri_mask(&call->args[1]);

        for (uint32_t i = 0; i < n; i++) out[i] = pow(a[i & a_mask], b[i & b_mask]);
        break;
    }
    }
}

static void math_float32(struct mri_call *call)
{
    const float *a = call->args[0].column.values;
    float *out = call->values;
    bool up = call->node->op == MR_OP_CEIL;

    for (uint32_t i = 0; i < call->count; i++) out[i] = up ? ceilf(a[i]) : floorf(a[i]);
}

/* Number of digits of ROUND for a row; 0 without a second argument. */
static int64_t round_digits(const struct mri_call *call, uint32_t at)
{
    const int64_t *digits;

    if (call->arg_count < 2) return 0;
    digits = call->args[1].column.values;
    return digits[at & mri_mask(&call->args[1])];
}

/* Through the shortest decimal text, so that 1.005 rounds to 1.01 as it is read. */
static double round_text(const char *text, size_t size_bytes, int64_t digits, double value)
{
    mr_i128 decimal;

    if (mri_decimal_parse(text, size_bytes, MRI_DECIMAL_DIGITS, (uint32_t)digits, &decimal) !=
        MR_NUM_OK) {
        return value; /* beyond 38 digits: there is no fraction that far out */
    }
    return copysign(mri_decimal_to_float64(decimal, (uint32_t)digits), value);
}

static double round_float(double value, int64_t digits, bool single)
{
    char text[MR_NUM_TEXT_BYTES];
    size_t size;

    if (!isfinite(value) || digits > 30) return value;
    if (digits == 0) return round(value);
    if (digits < -308) return copysign(0, value);
    if (digits < 0) {
        double unit = pow(10, (double)-digits);

        return round(value / unit) * unit;
    }
    size = single ? mr_num_format_float32(text, (float)value) : mr_num_format_float64(text, value);
    return round_text(text, size, digits, value);
}

static void round_floats(struct mri_call *call)
{
    const struct mri_value *arg = &call->args[0];
    uint32_t mask = mri_mask(arg);

    if (call->node->type == MR_FLOAT32) {
        const float *a = arg->column.values;
        float *out = call->values;

        for (uint32_t i = 0; i < call->count; i++) {
            out[i] = (float)round_float((double)a[i & mask], round_digits(call, i), true);
        }
    } else {
        const double *a = arg->column.values;
        double *out = call->values;

        for (uint32_t i = 0; i < call->count; i++) {
            out[i] = round_float(a[i & mask], round_digits(call, i), false);
        }
    }
}

static mr_i128 round_whole(int64_t value, int64_t digits)
{
    mr_i128 unit, half;

    if (digits >= 0) return value;
    if (digits < -19) return 0;
    unit = mri_power10((uint32_t)-digits);
    half = value < 0 ? -(unit / 2) : unit / 2;
    return (value + half) / unit * unit;
}

#define ROUND_INTEGERS(T)                                                     \
    do {                                                                      \
        const T *a = call->args[0].column.values;                             \
        T *out = call->values;                                                \
        for (uint32_t i = 0; i < call->count; i++) {                          \
            mr_i128 rounded = round_whole(a[i & mask], round_digits(call, i)); \
            out[i] = (T)rounded;                                              \
            if (out[i] != rounded && mri_call_valid(call, i))                 \
                mri_call_fail(call, i, "integer overflow");                   \
        }                                                                     \
    } while (0)

static void round_integers(struct mri_call *call)
{
    uint32_t mask = mri_mask(&call->args[0]);

    switch (call->node->type) {
    case MR_INT8: ROUND_INTEGERS(int8_t); break;
    case MR_INT16: ROUND_INTEGERS(int16_t); break;
    case MR_INT32: ROUND_INTEGERS(int32_t); break;
    default: ROUND_INTEGERS(int64_t); break;
    }
}

/* FLOOR and CEIL of a decimal: the whole part, one off where a fraction was cut on that side. */
static bool whole_decimal(uint8_t op, mr_i128 value, uint32_t scale, mr_i128 *out)
{
    mr_i128 unit = mri_power10(scale);
    mr_i128 whole = value / unit;

    if (op == MR_OP_FLOOR && value < whole * unit) whole--;
    if (op == MR_OP_CEIL && value > whole * unit) whole++;
    *out = whole;
    return true;
}

static bool round_decimal(const struct mri_call *call, mr_i128 value, uint32_t at, mr_i128 *out)
{
    const struct mr_expr *node = call->node;
    uint32_t from = call->args[0].column.scale;
    int64_t digits = round_digits(call, at);
    mr_i128 rounded;

    if (node->op != MR_OP_ROUND) return whole_decimal(node->op, value, from, out);
    if (digits >= 0) return mri_decimal_rescale(value, from, node->scale, node->precision, out);
    if ((int64_t)from - digits > (int64_t)MRI_DECIMAL_DIGITS) {
        *out = 0;
        return true;
    }
    /* 10^-digits is the unit: take the value as a count of units, then back. */
    if (!mri_decimal_rescale(value, from + (uint32_t)-digits, 0, MRI_DECIMAL_DIGITS, &rounded)) {
        return false;
    }
    return mri_decimal_rescale(rounded, 0, (uint32_t)-digits, node->precision, out);
}

static void math_decimal(struct mri_call *call)
{
    const mr_i128 *a = call->args[0].column.values;
    uint32_t mask = mri_mask(&call->args[0]);
    mr_i128 *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        out[i] = 0;
        if (mri_call_valid(call, i) && !round_decimal(call, a[i & mask], i, &out[i])) {
            mri_call_fail(call, i, "decimal overflow");
        }
    }
}

void mri_kernel_math(struct mri_call *call)
{
    enum mr_type type = (enum mr_type)call->node->type;
    bool rounds = call->node->op == MR_OP_ROUND;

    if (type == MR_DECIMAL) math_decimal(call);
    else if (mr_type_is_integer(type)) round_integers(call); /* FLOOR and CEIL: no digits */
    else if (rounds) round_floats(call);
    else if (type == MR_FLOAT32) math_float32(call);
    else math_float64(call);
}
