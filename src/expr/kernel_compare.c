/* kernel_compare.c - comparisons to bitmaps, and what is built on equality.
 *
 * A comparison fills 64 bytes of 0 and 1, which vectorises for every width, and packs them into one
 * word by eight multiplications. Floats compare as IEEE says (NaN is equal to nothing); LEAST and
 * GREATEST put NaN above all, so that the order of their arguments does not matter.
 */
#include "expr/expr_internal.h"

enum relation { EQUAL, UNEQUAL, BELOW, AT_MOST };

/* Eight bytes of 0 or 1 to eight bits, the first byte lowest. */
MR_INLINE uint64_t pack_bytes(const uint8_t *bytes)
{
    uint64_t word = 0;

    for (uint32_t group = 0; group < 8; group++) {
        uint64_t eight;

        memcpy(&eight, bytes + group * 8, 8);
        word |= ((eight * UINT64_C(0x0102040810204080)) >> 56) << (group * 8);
    }
    return word;
}

#define COMPARE(name, T, OP)                                                                \
    MR_INLINE uint64_t name##_word(const T *a, bool a_const, const T *b, bool b_const,      \
                                   uint32_t base, uint32_t limit)                           \
    {                                                                                       \
        uint8_t bytes[64] = {0};                                                            \
                                                                                            \
        if (a_const) {                                                                      \
            T x = a[0];                                                                     \
            for (uint32_t i = 0; i < limit; i++) bytes[i] = x OP b[base + i];               \
        } else if (b_const) {                                                               \
            T y = b[0];                                                                     \
            for (uint32_t i = 0; i < limit; i++) bytes[i] = a[base + i] OP y;               \
        } else {                                                                            \
            for (uint32_t i = 0; i < limit; i++) bytes[i] = a[base + i] OP b[base + i];     \
        }                                                                                   \
        return pack_bytes(bytes);                                                           \
    }                                                                                       \
    static void name(const void *left, bool left_const, const void *right, bool right_const, \
                     uint32_t count, uint64_t *out)                                         \
    {                                                                                       \
        uint32_t base = 0;                                                                  \
                                                                                            \
        for (; base + 64 <= count; base += 64)                                              \
            out[base / 64] = name##_word(left, left_const, right, right_const, base, 64);   \
        if (base < count)                                                                   \
            out[base / 64] =                                                                \
                name##_word(left, left_const, right, right_const, base, count - base);      \
    }

#define COMPARE_ALL(suffix, T)       \
    COMPARE(equal_##suffix, T, ==)   \
    COMPARE(unequal_##suffix, T, !=) \
    COMPARE(below_##suffix, T, <)    \
    COMPARE(at_most_##suffix, T, <=)

COMPARE_ALL(i8, int8_t)
COMPARE_ALL(i16, int16_t)
COMPARE_ALL(i32, int32_t)
COMPARE_ALL(i64, int64_t)
COMPARE_ALL(f32, float)
COMPARE_ALL(f64, double)
COMPARE_ALL(i128, mr_i128)

typedef void compare_loop(const void *left, bool left_const, const void *right, bool right_const,
                          uint32_t count, uint64_t *out);

#define ROW(suffix) {equal_##suffix, unequal_##suffix, below_##suffix, at_most_##suffix}
static compare_loop *const loops_i8[] = ROW(i8);
static compare_loop *const loops_i16[] = ROW(i16);
static compare_loop *const loops_i32[] = ROW(i32);
static compare_loop *const loops_i64[] = ROW(i64);
static compare_loop *const loops_f32[] = ROW(f32);
static compare_loop *const loops_f64[] = ROW(f64);
static compare_loop *const loops_i128[] = ROW(i128);

/* ---- layouts without a loop of numbers ---- */

static void compare_bits(enum relation relation, const struct mri_value *left,
                         const struct mri_value *right, uint32_t count, uint64_t *out)
{
    const uint64_t *a = left->column.values, *b = right->column.values;
    bool a_const = mri_mask(left) == 0, b_const = mri_mask(right) == 0;

    for (uint32_t w = 0; w < mr_bits_words(count); w++) {
        uint64_t x = a_const ? -(a[0] & 1) : a[w];
        uint64_t y = b_const ? -(b[0] & 1) : b[w];

        switch (relation) {
        case EQUAL: out[w] = ~(x ^ y); break;
        case UNEQUAL: out[w] = x ^ y; break;
        case BELOW: out[w] = ~x & y; break;
        case AT_MOST: out[w] = ~x | y; break;
        }
    }
    if (count % 64 != 0) out[count / 64] &= mr_bits_low(count % 64);
}

static bool views_equal(const struct mr_column *left, const struct mr_view *a,
                        const struct mr_column *right, const struct mr_view *b)
{
    uint64_t head[2];

    memcpy(&head[0], a, 8); /* size and first four bytes */
    memcpy(&head[1], b, 8);
    if (head[0] != head[1]) return false;
    if (a->size_bytes <= MR_VIEW_INLINE) {
        return memcmp(a->u.inlined + 4, b->u.inlined + 4, MR_VIEW_INLINE - 4) == 0;
    }
    return memcmp(mr_view_data(left, a) + 4, mr_view_data(right, b) + 4, a->size_bytes - 4) == 0;
}

static int views_order(const struct mr_column *left, const struct mr_view *a,
                       const struct mr_column *right, const struct mr_view *b)
{
    size_t shorter = MR_MIN(a->size_bytes, b->size_bytes);
    int order = memcmp(mr_view_data(left, a), mr_view_data(right, b), shorter);

    if (order != 0) return order;
    return a->size_bytes < b->size_bytes ? -1 : a->size_bytes > b->size_bytes;
}

static bool holds(enum relation relation, int order)
{
    switch (relation) {
    case EQUAL: return order == 0;
    case UNEQUAL: return order != 0;
    case BELOW: return order < 0;
    case AT_MOST: return order <= 0;
    }
    return false;
}

/* The views of nulls are not looked into: their places mean nothing. */
static void compare_views(enum relation relation, const struct mri_value *left,
                          const struct mri_value *right, uint32_t count, uint64_t *out)
{
    const struct mr_view *a = left->column.values, *b = right->column.values;
    uint32_t a_mask = mri_mask(left), b_mask = mri_mask(right);
    bool equality = relation == EQUAL || relation == UNEQUAL;

    memset(out, 0, mr_bits_words(count) * 8);
    for (uint32_t i = 0; i < count; i++) {
        const struct mr_view *x = &a[i & a_mask], *y = &b[i & b_mask];
        bool bit;

        if (!mr_column_valid(&left->column, i) || !mr_column_valid(&right->column, i)) continue;
        if (equality) bit = views_equal(&left->column, x, &right->column, y) == (relation == EQUAL);
        else bit = holds(relation, views_order(&left->column, x, &right->column, y));
        out[i / 64] |= (uint64_t)bit << (i % 64);
    }
}

static void compare_decimals(enum relation relation, const struct mri_value *left,
                             const struct mri_value *right, uint32_t count, uint64_t *out)
{
    const mr_i128 *a = left->column.values, *b = right->column.values;
    uint32_t a_mask = mri_mask(left), b_mask = mri_mask(right);

    memset(out, 0, mr_bits_words(count) * 8);
    for (uint32_t i = 0; i < count; i++) {
        int order = mri_decimal_compare(a[i & a_mask], left->column.scale, b[i & b_mask],
                                        right->column.scale);

        out[i / 64] |= (uint64_t)holds(relation, order) << (i % 64);
    }
}

static void compare(enum relation relation, const struct mri_value *left,
                    const struct mri_value *right, uint32_t count, uint64_t *out)
{
    compare_loop *const *loops = NULL;

    switch (mr_type_layout((enum mr_type)left->column.type)) {
    case MR_LAYOUT_I8: loops = loops_i8; break;
    case MR_LAYOUT_I16: loops = loops_i16; break;
    case MR_LAYOUT_I32: loops = loops_i32; break;
    case MR_LAYOUT_I64: loops = loops_i64; break;
    case MR_LAYOUT_F32: loops = loops_f32; break;
    case MR_LAYOUT_F64: loops = loops_f64; break;
    case MR_LAYOUT_I128:
        if (left->column.scale == right->column.scale) loops = loops_i128;
        else compare_decimals(relation, left, right, count, out);
        break;
    case MR_LAYOUT_BIT: compare_bits(relation, left, right, count, out); break;
    case MR_LAYOUT_VIEW: compare_views(relation, left, right, count, out); break;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: MR_UNREACHABLE();
    }
    if (loops == NULL) return;
    loops[relation](left->column.values, mri_mask(left) == 0, right->column.values,
                    mri_mask(right) == 0, count, out);
}

/* Two constants are one comparison: the loops take at most one of their sides as constant. */
void mri_equal_bits(const struct mri_value *left, const struct mri_value *right, uint32_t count,
                    uint64_t *out)
{
    if (count > 0 && mri_mask(left) == 0 && mri_mask(right) == 0) {
        uint64_t bit = 0;

        compare(EQUAL, left, right, 1, &bit);
        mr_bits_fill(out, count, bit & 1);
        return;
    }
    compare(EQUAL, left, right, count, out);
}

void mri_kernel_compare(struct mri_call *call)
{
    const struct mri_value *left = &call->args[0], *right = &call->args[1];

    switch ((int)call->node->op) {
    case MR_OP_EQ: compare(EQUAL, left, right, call->count, call->values); break;
    case MR_OP_NE: compare(UNEQUAL, left, right, call->count, call->values); break;
    case MR_OP_LT: compare(BELOW, left, right, call->count, call->values); break;
    case MR_OP_LE: compare(AT_MOST, left, right, call->count, call->values); break;
    case MR_OP_GT: compare(BELOW, right, left, call->count, call->values); break;
    case MR_OP_GE: compare(AT_MOST, right, left, call->count, call->values); break;
    default: MR_UNREACHABLE();
    }
}

/* ---- LEAST and GREATEST ---- */

/* The sign of b - a, in a total order with NaN on top. */
#define FLOAT_LESS(x, y) ((x) < (y) || ((y) != (y) && (x) == (x)))
#define PLAIN_LESS(x, y) ((x) < (y))

#define EXTREME(T, LESS)                                                                \
    do {                                                                                \
        const T *a = value->column.values;                                              \
        T *best = call->values;                                                         \
        for (uint32_t i = 0; i < call->count; i++) {                                    \
            T x = a[i & mask];                                                          \
            bool better = greatest ? LESS(best[i], x) : LESS(x, best[i]);               \
            best[i] = first || better ? x : best[i];                                    \
        }                                                                               \
    } while (0)

static void extreme_bits(struct mri_call *call, const struct mri_value *value, bool first,
                         bool greatest)
{
    const uint64_t *a = value->column.values;
    uint64_t *best = call->values;

    for (uint32_t w = 0; w < mr_bits_words(call->count); w++) {
        uint64_t x = mri_mask(value) == 0 ? -(a[0] & 1) : a[w];

        if (first) best[w] = x;
        else best[w] = greatest ? best[w] | x : best[w] & x;
    }
}

static void extreme_numbers(struct mri_call *call, const struct mri_value *value, bool first)
{
    bool greatest = call->node->op == MR_OP_GREATEST;
    uint32_t mask = mri_mask(value);

    switch (mr_type_layout((enum mr_type)call->node->type)) {
    case MR_LAYOUT_BIT: extreme_bits(call, value, first, greatest); break;
    case MR_LAYOUT_I8: EXTREME(int8_t, PLAIN_LESS); break;
    case MR_LAYOUT_I16: EXTREME(int16_t, PLAIN_LESS); break;
    case MR_LAYOUT_I32: EXTREME(int32_t, PLAIN_LESS); break;
    case MR_LAYOUT_I64: EXTREME(int64_t, PLAIN_LESS); break;
    case MR_LAYOUT_F32: EXTREME(float, FLOAT_LESS); break;
    case MR_LAYOUT_F64: EXTREME(double, FLOAT_LESS); break;
    case MR_LAYOUT_I128: EXTREME(mr_i128, PLAIN_LESS); break;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_VIEW:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: MR_UNREACHABLE();
    }
}

static uint32_t best_text(const struct mri_call *call, uint32_t at)
{
    bool greatest = call->node->op == MR_OP_GREATEST;
    uint32_t best = 0;

    for (uint32_t k = 1; k < call->arg_count; k++) {
        const struct mr_column *old = &call->args[best].column, *new = &call->args[k].column;
        const struct mr_view *olds = old->values, *news = new->values;
        int order = views_order(old, &olds[at & mri_mask(&call->args[best])], new,
                                &news[at & mri_mask(&call->args[k])]);

        if (greatest ? order < 0 : order > 0) best = k;
    }
    return best;
}

static void extreme_texts(struct mri_call *call)
{
    struct mri_writer writer;
    struct mr_view *out = call->values;

    mri_writer_init(&writer, call->run);
    for (uint32_t i = 0; i < call->count; i++) {
        struct mr_bytes bytes;

        out[i] = (struct mr_view){0};
        if (!mri_call_valid(call, i)) continue;
        bytes = mr_column_bytes(&call->args[best_text(call, i)].column, i);
        out[i] = mri_writer_copy(&writer, bytes.data, bytes.size_bytes);
    }
    if (writer.failed) call->status = mri_nomem(call->run, MR_TEXT_BYTES_MAX);
    call->buffers = writer.buffers;
    call->buffer_count = writer.buffer_count;
}

void mri_kernel_extreme(struct mri_call *call)
{
    if (mr_type_is_text((enum mr_type)call->node->type)) {
        extreme_texts(call);
        return;
    }
    for (uint32_t k = 0; k < call->arg_count; k++) {
        extreme_numbers(call, &call->args[k], k == 0);
    }
}
