/* accumulator_columns.c - accumulators as columns: partials on their way through an exchange, and
 * results. See accumulator.h. */
#include "base/status.h"
#include "exec/aggregate/accumulator_internal.h"
#include "exec/aggregate/text_writer.h"

/* ---- partials ---- */

/* A FLAT column of `count` values, all valid so far; false: no room. */
static bool open_column(struct mr_batch *batch, struct mr_column *column, enum mr_type type,
                        uint8_t precision, uint8_t scale, uint32_t count, void **out_values)
{
    enum mr_layout layout = mr_type_layout(type);

    *out_values = layout == MR_LAYOUT_BIT ? mr_batch_bitmap(batch, count)
                                          : mr_batch_values(batch, layout, count);
    if (*out_values == NULL) return false;
    *column = (struct mr_column){
        .type = (uint8_t)type, .precision = precision, .scale = scale, .values = *out_values};
    return true;
}

/* Makes the validity bitmap at the first null. */
static bool set_null(struct mr_batch *batch, struct mr_column *column, uint64_t **inout_validity,
                     uint32_t count, uint32_t at)
{
    if (*inout_validity == NULL) {
        *inout_validity = mr_batch_bitmap(batch, count);
        if (*inout_validity == NULL) return false;
        mr_bits_fill(*inout_validity, count, true);
        column->validity = *inout_validity;
    }
    mr_bit_clear(*inout_validity, at);
    return true;
}

static bool write_counts(const struct mri_acc *acc, char *const *slots, uint32_t count,
                         struct mr_batch *batch, struct mr_column *column)
{
    void *values;

    if (!open_column(batch, column, MR_INT64, 0, 0, count, &values)) return false;
    for (uint32_t i = 0; i < count; i++) {
        ((uint64_t *)values)[i] = *(const uint64_t *)(const void *)(slots[i] + acc->offset);
    }
    return true;
}

/* What a partial row carries of a sum: as much of it as 128 bits hold. */
static mr_i128 decimal_piece(const struct sum_decimal *sum)
{
    mr_u128 low = ((mr_u128)sum->middle << 64) | sum->low;
    bool fits = sum->high == ((mr_i128)low < 0 ? -1 : 0);

    if (fits) return (mr_i128)low;
    return sum->high < 0 ? (mr_i128)((mr_u128)1 << 127) : (mr_i128)(((mr_u128)1 << 127) - 1);
}

static bool sum_is_empty(const struct mri_acc *acc, const void *slot)
{
    const struct sum_decimal *wide = slot;

    if (acc->form == MRI_ACC_SUM_INT) return ((const struct sum_int *)slot)->count == 0;
    return wide->count == 0 && wide->low == 0 && wide->middle == 0 && wide->high == 0;
}

static bool write_sums(const struct mri_acc *acc, char *const *slots, uint32_t count,
                       struct mr_batch *batch, struct mr_column *columns)
{
    uint8_t scale = acc->form == MRI_ACC_SUM_INT ? 0 : acc->plan->argument.scale;
    uint64_t *validity = NULL;
    void *sums;
    void *counts;

    if (!open_column(batch, &columns[0], MR_DECIMAL, 38, scale, count, &sums) ||
        !open_column(batch, &columns[1], MR_INT64, 0, 0, count, &counts)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const void *slot = slots[i] + acc->offset;
        mr_i128 sum;

        if (acc->form == MRI_ACC_SUM_INT) {
            sum = sum_int_get(slot);
            ((uint64_t *)counts)[i] = ((const struct sum_int *)slot)->count;
        } else {
            sum = decimal_piece(slot);
            ((uint64_t *)counts)[i] = ((const struct sum_decimal *)slot)->count;
        }
        memcpy((char *)sums + (size_t)i * sizeof sum, &sum, sizeof sum);
        if (sum_is_empty(acc, slot) && !set_null(batch, &columns[0], &validity, count, i)) {
            return false;
        }
    }
    return true;
}

static bool write_floats(const struct mri_acc *acc, char *const *slots, uint32_t count,
                         struct mr_batch *batch, struct mr_column *columns)
{
    struct mri_text_writer writer;
    uint64_t *validity = NULL;
    void *sums;
    void *counts;

    if (!open_column(batch, &columns[0], MR_BINARY, 0, 0, count, &sums) ||
        !open_column(batch, &columns[1], MR_INT64, 0, 0, count, &counts)) {
        return false;
    }
    mri_text_writer_init(&writer, batch, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct sum_float *sum =
            (const struct sum_float *)(const void *)(slots[i] + acc->offset);
        char bytes[MRI_EXACT_BYTES_MAX];
        uint32_t size = mri_exact_encode(&sum->sum, bytes);

        ((uint64_t *)counts)[i] = sum->count;
        if (!mri_text_writer_put(&writer, bytes, size, &((struct mr_view *)sums)[i])) return false;
        if (sum->count == 0 && !set_null(batch, &columns[0], &validity, count, i)) return false;
    }
    mri_text_writer_close(&writer, &columns[0]);
    return true;
}

static void store_key(enum mr_layout layout, void *values, uint32_t at, int64_t key)
{
    switch ((int)layout) {
    case MR_LAYOUT_BIT: mr_bit_assign(values, at, key != 0); break;
    case MR_LAYOUT_I8: ((int8_t *)values)[at] = (int8_t)key; break;
    case MR_LAYOUT_I16: ((int16_t *)values)[at] = (int16_t)key; break;
    case MR_LAYOUT_I32: ((int32_t *)values)[at] = (int32_t)key; break;
    case MR_LAYOUT_I64: ((int64_t *)values)[at] = key; break;
    case MR_LAYOUT_F32: ((float *)values)[at] = (float)double_of_key(key); break;
    case MR_LAYOUT_F64: ((double *)values)[at] = double_of_key(key); break;
    default: MR_UNREACHABLE();
    }
}

/* The value of a BEST or EDGE slot that has one; texts go through the writer. */
static bool write_value(const struct mri_acc *acc, const char *slot, void *values, uint32_t at,
                        struct mri_text_writer *writer)
{
    mr_i128 flip = acc->reversed ? -1 : 0;

    switch (value_class_of(acc->layout)) {
    case VALUE_KEY:
        store_key(acc->layout, values, at, *(const int64_t *)(const void *)slot ^ (int64_t)flip);
        return true;
    case VALUE_I128: {
        mr_i128 value = load_i128(slot) ^ flip;
        memcpy((char *)values + (size_t)at * sizeof value, &value, sizeof value);
        return true;
    }
    case VALUE_TEXT: {
        const struct mr_blob *blob = (const struct mr_blob *)(const void *)slot;
        return mri_text_writer_put(writer, blob->data, blob->size_bytes,
                                   &((struct mr_view *)values)[at]);
    }
    }
    MR_UNREACHABLE();
}

static bool write_best(const struct mri_acc *acc, char *const *slots, uint32_t count,
                       struct mr_batch *batch, struct mr_column *columns)
{
    const struct mr_field *argument = &acc->plan->argument;
    uint32_t value_bytes = value_bytes_of(acc->layout);
    struct mri_text_writer writer;
    uint64_t *validity = NULL;
    void *times = NULL;
    void *values;

    if (!open_column(batch, &columns[0], argument->type, argument->precision, argument->scale,
                     count, &values)) {
        return false;
    }
    if (acc->form == MRI_ACC_EDGE &&
        !open_column(batch, &columns[1], MR_INT64, 0, 0, count, &times)) {
        return false;
    }
    mri_text_writer_init(&writer, batch, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *slot = slots[i] + acc->offset;
        const struct best_tail *tail = (const struct best_tail *)(const void *)(slot + value_bytes);

        if (times != NULL) {
            ((int64_t *)times)[i] = tail->has ? tail->rank ^ (acc->reversed ? -1 : 0) : 0;
        }
        if (tail->has) {
            if (!write_value(acc, slot, values, i, &writer)) return false;
            continue;
        }
        if (acc->layout != MR_LAYOUT_BIT) {
            uint32_t bytes = mr_layout_bytes(acc->layout);
            memset((char *)values + (size_t)i * bytes, 0, bytes);
        }
        if (!set_null(batch, &columns[0], &validity, count, i)) return false;
    }
    mri_text_writer_close(&writer, &columns[0]);
    return true;
}

static bool write_users(const struct mri_acc *acc, char *const *slots, uint32_t count,
                        struct mr_batch *batch, struct mr_column *column)
{
    uint32_t size = (uint32_t)acc->plan->spec->functions->state_bytes;
    struct mri_text_writer writer;
    void *values;

    if (!open_column(batch, column, MR_BINARY, 0, 0, count, &values)) return false;
    mri_text_writer_init(&writer, batch, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!mri_text_writer_put(&writer, slots[i] + acc->offset, size,
                                 &((struct mr_view *)values)[i])) {
            return false;
        }
    }
    mri_text_writer_close(&writer, column);
    return true;
}

bool mri_accs_write_partial(const struct mri_accs *accs, char *const *slots, uint32_t count,
                            struct mr_batch *batch)
{
    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];
        struct mr_column *columns = &batch->columns[acc->plan->partial_column];
        bool written = false;

        switch (acc->form) {
        case MRI_ACC_COUNT: written = write_counts(acc, slots, count, batch, columns); break;
        case MRI_ACC_SUM_INT:
        case MRI_ACC_SUM_DECIMAL: written = write_sums(acc, slots, count, batch, columns); break;
        case MRI_ACC_SUM_FLOAT: written = write_floats(acc, slots, count, batch, columns); break;
        case MRI_ACC_BEST:
        case MRI_ACC_EDGE: written = write_best(acc, slots, count, batch, columns); break;
        case MRI_ACC_USER: written = write_users(acc, slots, count, batch, columns); break;
        }
        if (!written) return false;
    }
    return true;
}

bool mri_accs_carry(const struct mri_accs *accs, void *slot)
{
    bool left = false;

    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];
        struct sum_decimal *sum = (struct sum_decimal *)(void *)((char *)slot + acc->offset);
        mr_i128 piece;

        if (acc->form != MRI_ACC_SUM_DECIMAL) continue;
        piece = decimal_piece(sum);
        /* -2^127 has no negative: subtract its neighbour, then one more. */
        if (piece < 0) {
            sum_decimal_add(sum, -(piece + 1), 0);
            sum_decimal_add(sum, 1, 0);
        } else {
            sum_decimal_add(sum, -piece, 0);
        }
        sum->count = 0;
        left = left || !sum_is_empty(acc, sum);
    }
    return left;
}

void mri_accs_keep_sums(const struct mri_accs *accs, void *slot)
{
    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];
        uint32_t end = i + 1 < accs->count ? accs->accs[i + 1].offset : accs->slot_bytes;

        if (acc->form == MRI_ACC_SUM_DECIMAL) continue;
        memset((char *)slot + acc->offset, 0, end - acc->offset);
        if (acc->form != MRI_ACC_USER || acc->plan->spec->functions->create == NULL) continue;
        acc->plan->spec->functions->create(acc->plan->spec->user, (char *)slot + acc->offset);
    }
}
