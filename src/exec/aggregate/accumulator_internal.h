/* accumulator_internal.h - how accumulators look in a slot, and how their columns are read.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   none.
 * Cost:    inlined into the loops.
 */
#ifndef MR_EXEC_AGGREGATE_ACCUMULATOR_INTERNAL_H
#define MR_EXEC_AGGREGATE_ACCUMULATOR_INTERNAL_H

#include "base/assert.h"
#include "exec/aggregate/accumulator.h"

#include <string.h>

struct sum_int {
    uint64_t low;
    int64_t high;
    uint64_t count;
};

struct sum_decimal { /* 192 bits: 2^64 values of 38 digits fit */
    uint64_t low;
    uint64_t middle;
    int64_t high;
    uint64_t count;
};

struct sum_float {
    struct mri_exact sum;
    uint64_t count;
};

/* BEST and EDGE: the value comes first (a key, 128 bits or a blob), then this. */
struct best_tail {
    uint64_t has;
    int64_t rank; /* EDGE: the time, reversed for last */
};

enum value_class { VALUE_KEY, VALUE_I128, VALUE_TEXT };

MR_INLINE enum value_class value_class_of(enum mr_layout layout)
{
    if (layout == MR_LAYOUT_I128) return VALUE_I128;
    if (layout == MR_LAYOUT_VIEW) return VALUE_TEXT;
    return VALUE_KEY;
}

MR_INLINE uint32_t value_bytes_of(enum mr_layout layout)
{
    return value_class_of(layout) == VALUE_KEY ? 8 : 16;
}

/* Doubles as integers of the same order; -0 below 0, one NaN above all. Its own inverse, but for
 * the NaNs. */
MR_INLINE int64_t key_of_double(double value)
{
    int64_t bits;

    if (value != value) return INT64_MAX;
    memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? bits ^ INT64_MAX : bits;
}

MR_INLINE double double_of_key(int64_t key)
{
    double value;

    if (key < 0) key ^= INT64_MAX;
    memcpy(&value, &key, sizeof value);
    return value;
}

/* An element as an integer that orders like it. Called with a constant layout. */
MR_INLINE int64_t load_key(enum mr_layout layout, const void *values, uint32_t element)
{
    switch (layout) {
    case MR_LAYOUT_BIT: return mr_bit_get(values, element);
    case MR_LAYOUT_I8: return ((const int8_t *)values)[element];
    case MR_LAYOUT_I16: return ((const int16_t *)values)[element];
    case MR_LAYOUT_I32: return ((const int32_t *)values)[element];
    case MR_LAYOUT_I64: return ((const int64_t *)values)[element];
    case MR_LAYOUT_F32: return key_of_double((double)((const float *)values)[element]);
    case MR_LAYOUT_F64: return key_of_double(((const double *)values)[element]);
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_I128:
    case MR_LAYOUT_VIEW:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
    MR_UNREACHABLE();
}

MR_INLINE bool is_float_layout(enum mr_layout layout)
{
    return layout == MR_LAYOUT_F32 || layout == MR_LAYOUT_F64;
}

MR_INLINE mr_i128 load_i128(const void *memory)
{
    mr_i128 value;

    memcpy(&value, memory, sizeof value);
    return value;
}

MR_INLINE mr_i128 sum_int_get(const struct sum_int *sum)
{
    return (mr_i128)(((mr_u128)(uint64_t)sum->high << 64) | sum->low);
}

MR_INLINE void sum_int_add(struct sum_int *sum, mr_i128 value, uint64_t count)
{
    mr_u128 total = (mr_u128)sum_int_get(sum) + (mr_u128)value;

    sum->low = (uint64_t)total;
    sum->high = (int64_t)(total >> 64);
    sum->count += count;
}

MR_INLINE void sum_decimal_add(struct sum_decimal *sum, mr_i128 value, uint64_t count)
{
    mr_u128 before = ((mr_u128)sum->middle << 64) | sum->low;
    mr_u128 after = before + (mr_u128)value;

    sum->low = (uint64_t)after;
    sum->middle = (uint64_t)(after >> 64);
    sum->high += (after < before) + (value < 0 ? -1 : 0);
    sum->count += count;
}

#endif
