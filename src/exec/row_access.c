/* row_access.c - the reading half of <millrace/function.h>: rows and batches for user functions.
 *
 * A column that does not exist or has another type reads as null, 0 or NULL: there is no
 * better way to say it here.
 */
#include "base/assert.h"
#include "data/batch.h"

/* The column and the element of a row, or NULL. */
static const struct mr_column *cell_of(const struct mr_row *row, uint32_t column,
                                       uint32_t *out_element)
{
    if (column >= row->batch->column_count) return NULL;
    *out_element = mr_batch_at(row->batch, row->index);
    return &row->batch->columns[column];
}

/* The same, for values that are not null and lie in memory as one of `layouts` (bit per layout). */
static const struct mr_column *value_of(const struct mr_row *row, uint32_t column, uint32_t layouts,
                                        uint32_t *out_element)
{
    const struct mr_column *found = cell_of(row, column, out_element);

    if (found == NULL || (layouts >> mr_type_layout((enum mr_type)found->type) & 1) == 0) {
        return NULL;
    }
    return mr_column_valid(found, *out_element) ? found : NULL;
}

#define BIT(layout) (1u << MR_LAYOUT_##layout)
#define INT_LAYOUTS (BIT(BIT) | BIT(I8) | BIT(I16) | BIT(I32) | BIT(I64))

bool mr_row_is_null(const struct mr_row *row, uint32_t column)
{
    uint32_t element;
    const struct mr_column *found = cell_of(row, column, &element);

    return found == NULL || !mr_column_valid(found, element);
}

int64_t mr_row_int64(const struct mr_row *row, uint32_t column)
{
    uint32_t element;
    const struct mr_column *found = value_of(row, column, INT_LAYOUTS, &element);

    if (found == NULL) return 0;
    if (found->encoding == MR_FLAT && mr_type_layout((enum mr_type)found->type) == MR_LAYOUT_I64) {
        return ((const int64_t *)found->values)[element];
    }
    return mr_column_int64(found, element);
}

double mr_row_float64(const struct mr_row *row, uint32_t column)
{
    uint32_t element;
    const struct mr_column *found = value_of(row, column, BIT(F32) | BIT(F64), &element);

    return found == NULL ? 0.0 : mr_column_float64(found, element);
}

struct mr_int128 mr_row_decimal(const struct mr_row *row, uint32_t column)
{
    uint32_t element;
    const struct mr_column *found = value_of(row, column, BIT(I128), &element);
    mr_i128 value = found == NULL ? 0 : mr_column_int128(found, element);

    return (struct mr_int128){.low = (uint64_t)(mr_u128)value,
                              .high = (int64_t)(uint64_t)((mr_u128)value >> 64)};
}

struct mr_bytes mr_row_bytes(const struct mr_row *row, uint32_t column)
{
    uint32_t element;
    const struct mr_column *found = value_of(row, column, BIT(VIEW), &element);

    if (found == NULL) return (struct mr_bytes){NULL, 0};
    if (found->encoding != MR_FLAT) return mr_column_bytes(found, element);
    return mr_view_bytes(found, &((const struct mr_view *)found->values)[element]);
}

int64_t mr_row_time(const struct mr_row *row)
{
    return mr_batch_event_time(row->batch, row->index);
}

uint32_t mr_batch_rows(const struct mr_batch *batch)
{
    return batch->row_count;
}

static const struct mr_column *flat_of(const struct mr_batch *batch, uint32_t column,
                                       enum mr_layout layout)
{
    const struct mr_column *found;

    if (column >= batch->column_count || batch->selection != NULL) return NULL;
    found = &batch->columns[column];
    if (found->encoding != MR_FLAT) return NULL;
    return mr_type_layout((enum mr_type)found->type) == layout ? found : NULL;
}

const int64_t *mr_batch_int64s(const struct mr_batch *batch, uint32_t column)
{
    const struct mr_column *found = flat_of(batch, column, MR_LAYOUT_I64);

    return found == NULL ? NULL : found->values;
}

const int32_t *mr_batch_int32s(const struct mr_batch *batch, uint32_t column)
{
    const struct mr_column *found = flat_of(batch, column, MR_LAYOUT_I32);

    return found == NULL ? NULL : found->values;
}

const double *mr_batch_float64s(const struct mr_batch *batch, uint32_t column)
{
    const struct mr_column *found = flat_of(batch, column, MR_LAYOUT_F64);

    return found == NULL ? NULL : found->values;
}

struct mr_texts mr_batch_texts(const struct mr_batch *batch, uint32_t column)
{
    const struct mr_column *found = flat_of(batch, column, MR_LAYOUT_VIEW);

    if (found == NULL) return (struct mr_texts){NULL, NULL};
    return (struct mr_texts){found->values, found->buffers};
}

const uint64_t *mr_batch_validity(const struct mr_batch *batch, uint32_t column)
{
    return column < batch->column_count ? batch->columns[column].validity : NULL;
}

const int64_t *mr_batch_times(const struct mr_batch *batch)
{
    const struct mr_column *times = batch->hidden[MR_HIDDEN_EVENT_TIME];

    return times == NULL || times->encoding != MR_FLAT || batch->selection != NULL ? NULL
                                                                                   : times->values;
}
