/* accumulator_result.c - what an accumulator comes to in the end. See accumulator.h. */
#include "base/status.h"
#include "exec/aggregate/accumulator_internal.h"

#define EXACT_INTEGERS 0x1p53 /* below it every integer is a double */
#define POWERS_EXACT 22u      /* 10^22 is the last power of ten that is a double */

static double magnitude(double value)
{
    return __builtin_fabs(value);
}

/* sum / count: correctly rounded for sums below 2^53, else within two units in the last place. */
static double divide(mr_i128 sum, uint64_t count)
{
    if (magnitude((double)sum) < EXACT_INTEGERS) return (double)sum / (double)count;
    return (double)(sum / (mr_i128)count) + (double)(sum % (mr_i128)count) / (double)count;
}

static double power_of_ten(uint32_t digits)
{
    double power = 1;

    while (digits-- > 0) power *= 10;
    return power;
}

static bool decimal_fits_128(const struct sum_decimal *sum, mr_i128 *out)
{
    mr_u128 low = ((mr_u128)sum->middle << 64) | sum->low;

    *out = (mr_i128)low;
    return sum->high == (*out < 0 ? -1 : 0);
}

static double average_of_decimals(const struct sum_decimal *sum, uint32_t scale)
{
    double divisor = power_of_ten(scale);
    mr_i128 total;

    if (!decimal_fits_128(sum, &total)) {
        double low = (double)(((mr_u128)sum->middle << 64) | sum->low);

        return ((double)sum->high * 0x1p128 + low) / (double)sum->count / divisor;
    }
    if (magnitude((double)total) < EXACT_INTEGERS && scale <= POWERS_EXACT &&
        divisor * (double)sum->count < EXACT_INTEGERS) {
        return (double)total / (divisor * (double)sum->count); /* one rounding */
    }
    return divide(total, sum->count) / divisor;
}

static enum mr_status overflow(const struct mri_acc *acc, const char *type, struct mr_error *err)
{
    return mr_error_set(err, MR_E_OVERFLOW, "%s '%s' overflows %s",
                        acc->plan->kind == MR_AGG_SUM ? "sum" : "aggregate", acc->plan->spec->name,
                        type);
}

static enum mr_status result_of_ints(const struct mri_acc *acc, const struct sum_int *sum,
                                     struct mr_builder *builder, uint32_t column,
                                     struct mr_error *err)
{
    mr_i128 total = sum_int_get(sum);

    if (sum->count == 0) {
        mr_builder_set_null(builder, column);
    } else if (acc->plan->kind == MR_AGG_AVG) {
        mr_builder_set_float64(builder, column, divide(total, sum->count));
    } else if (total < INT64_MIN || total > INT64_MAX) {
        return overflow(acc, "int64", err);
    } else {
        mr_builder_set_int64(builder, column, (int64_t)total);
    }
    return MR_OK;
}

static enum mr_status result_of_decimals(const struct mri_acc *acc, const struct sum_decimal *sum,
                                         struct mr_builder *builder, uint32_t column,
                                         struct mr_error *err)
{
    mr_i128 limit = 1;
    mr_i128 total;

    if (sum->count == 0) {
        mr_builder_set_null(builder, column);
        return MR_OK;
    }
    if (acc->plan->kind == MR_AGG_AVG) {
        mr_builder_set_float64(builder, column,
                               average_of_decimals(sum, acc->plan->argument.scale));
        return MR_OK;
    }
    for (uint32_t i = 0; i < acc->plan->result.precision; i++) limit *= 10;
    if (!decimal_fits_128(sum, &total) || total >= limit || total <= -limit) {
        return overflow(acc, "its decimal type", err);
    }
    mr_builder_set_int128(builder, column, total);
    return MR_OK;
}

static void result_of_floats(const struct mri_acc *acc, const struct sum_float *sum,
                             struct mr_builder *builder, uint32_t column)
{
    double total = mri_exact_result(&sum->sum);

    if (sum->count == 0) {
        mr_builder_set_null(builder, column);
        return;
    }
    if (acc->plan->kind == MR_AGG_AVG) total /= (double)sum->count;
    mr_builder_set_float64(builder, column, total);
}

static enum mr_build result_of_best(const struct mri_acc *acc, const char *slot,
                                    struct mr_builder *builder, uint32_t column)
{
    mr_i128 flip = acc->reversed ? -1 : 0;
    const struct best_tail *tail =
        (const struct best_tail *)(const void *)(slot + value_bytes_of(acc->layout));
    int64_t key;

    if (!tail->has) {
        mr_builder_set_null(builder, column);
        return MR_BUILD_OK;
    }
    if (value_class_of(acc->layout) == VALUE_TEXT) {
        const struct mr_blob *blob = (const struct mr_blob *)(const void *)slot;

        return mr_builder_set_bytes(builder, column, blob->data, blob->size_bytes);
    }
    if (value_class_of(acc->layout) == VALUE_I128) {
        mr_builder_set_int128(builder, column, load_i128(slot) ^ flip);
        return MR_BUILD_OK;
    }
    key = *(const int64_t *)(const void *)slot ^ (int64_t)flip;
    if (is_float_layout(acc->layout)) {
        mr_builder_set_float64(builder, column, double_of_key(key));
    } else {
        mr_builder_set_int64(builder, column, key);
    }
    return MR_BUILD_OK;
}

enum mr_status mri_accs_result(const struct mri_accs *accs, uint32_t index, const void *slot,
                               struct mr_builder *builder, uint32_t column,
                               enum mr_build *out_build, struct mr_error *err)
{
    const struct mri_acc *acc = &accs->accs[index];
    const void *at = (const char *)slot + acc->offset;

    *out_build = MR_BUILD_OK;
    switch (acc->form) {
    case MRI_ACC_COUNT:
        mr_builder_set_int64(builder, column, *(const int64_t *)at);
        return MR_OK;
    case MRI_ACC_SUM_INT: return result_of_ints(acc, at, builder, column, err);
    case MRI_ACC_SUM_DECIMAL: return result_of_decimals(acc, at, builder, column, err);
    case MRI_ACC_SUM_FLOAT: result_of_floats(acc, at, builder, column); return MR_OK;
    case MRI_ACC_BEST:
    case MRI_ACC_EDGE: *out_build = result_of_best(acc, at, builder, column); return MR_OK;
    case MRI_ACC_USER: break;
    }
    MR_UNREACHABLE();
}
