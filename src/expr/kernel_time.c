/* kernel_time.c - fields of dates and times, and the start of an interval. Instants are taken in
 * UTC; everything rounds toward minus infinity, so that times before 1970 fall into the right hour.
 */
#include "expr/expr_internal.h"

#include "base/time.h"

static int64_t number_at(const struct mri_value *value, uint32_t at)
{
    at &= mri_mask(value);
    if (value->column.type == MR_DATE) return ((const int32_t *)value->column.values)[at];
    return ((const int64_t *)value->column.values)[at];
}

static int64_t civil_field(uint8_t op, int64_t days)
{
    int32_t year;
    uint8_t month, day;

    mr_civil_from_days(days, &year, &month, &day);
    if (op == MR_OP_YEAR) return year;
    return op == MR_OP_MONTH ? month : day;
}

/* Rows of one day often stand together: the calendar is asked when the day changes. */
static void civil_fields(struct mri_call *call)
{
    const struct mri_value *arg = &call->args[0];
    bool is_date = arg->column.type == MR_DATE;
    int64_t *out = call->values;
    int64_t known_days = 0, known_field = civil_field(call->node->op, 0);

    for (uint32_t i = 0; i < call->count; i++) {
        int64_t days = number_at(arg, i);

        if (!is_date) days = mr_floor_div(days, MR_DAY);
        if (!mri_call_valid(call, i)) days = known_days;
        if (days != known_days) {
            known_days = days;
            known_field = civil_field(call->node->op, days);
        }
        out[i] = known_field;
    }
}

/* 1970-01-01 was a Thursday, the fifth day where Sunday is the first. */
static void week_days(struct mri_call *call)
{
    const struct mri_value *arg = &call->args[0];
    bool is_date = arg->column.type == MR_DATE;
    int64_t *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        int64_t days = number_at(arg, i);

        if (!is_date) days = mr_floor_div(days, MR_DAY);
        out[i] = mr_floor_mod(mr_floor_mod(days, 7) + 4, 7) + 1;
    }
}

static void clock_fields(struct mri_call *call, int64_t unit, int64_t count)
{
    const int64_t *a = call->args[0].column.values;
    int64_t *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        out[i] = mr_floor_mod(mr_floor_div(a[i], unit), count);
    }
}

static void floor_times(struct mri_call *call)
{
    const int64_t *a = call->args[0].column.values, *b = call->args[1].column.values;
    uint32_t a_mask = mri_mask(&call->args[0]), b_mask = mri_mask(&call->args[1]);
    int64_t *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        int64_t time = a[i & a_mask], step = b[i & b_mask];

        out[i] = 0;
        if (!mri_call_valid(call, i)) continue;
        if (step <= 0) {
            mri_call_fail(call, i, "interval not above zero");
            continue;
        }
        if (__builtin_sub_overflow(time, mr_floor_mod(time, step), &out[i]) ||
            out[i] <= MR_TIME_MIN) {
            mri_call_fail(call, i, "timestamp out of range");
        }
    }
}

static void to_dates(struct mri_call *call)
{
    const struct mri_value *arg = &call->args[0];
    bool is_date = arg->column.type == MR_DATE;
    int32_t *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        int64_t number = number_at(arg, i);

        out[i] = (int32_t)(is_date ? number : mr_floor_div(number, MR_DAY));
    }
}

static void to_millis(struct mri_call *call)
{
    const int64_t *a = call->args[0].column.values;
    int64_t *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) out[i] = mr_floor_div(a[i], MR_MILLISECOND);
}

static void from_millis(struct mri_call *call)
{
    const int64_t *a = call->args[0].column.values;
    int64_t *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        if ((__builtin_mul_overflow(a[i], MR_MILLISECOND, &out[i]) || out[i] <= MR_TIME_MIN ||
             out[i] >= MR_TIME_MAX) &&
            mri_call_valid(call, i)) {
            mri_call_fail(call, i, "timestamp out of range");
        }
    }
}

void mri_kernel_time(struct mri_call *call)
{
    switch ((int)call->node->op) {
    case MR_OP_YEAR:
    case MR_OP_MONTH:
    case MR_OP_DAY: civil_fields(call); break;
    case MR_OP_DAY_OF_WEEK: week_days(call); break;
    case MR_OP_HOUR: clock_fields(call, MR_HOUR, 24); break;
    case MR_OP_MINUTE: clock_fields(call, MR_MINUTE, 60); break;
    case MR_OP_SECOND: clock_fields(call, MR_SECOND, 60); break;
    case MR_OP_FLOOR_TIME: floor_times(call); break;
    case MR_OP_TO_DATE: to_dates(call); break;
    case MR_OP_EPOCH_MILLIS: to_millis(call); break;
    case MR_OP_FROM_MILLIS: from_millis(call); break;
    default: MR_UNREACHABLE();
    }
}
