/* table.c - rows in a frame. The first rows decide how wide the columns are; a later value that
 * is wider is written in full and moves the rest of its row. */
#include "connect/format/format_internal.h"

#include "base/assert.h"

#include <string.h>

#define VERTICAL   "\xe2\x94\x82"
#define HORIZONTAL "\xe2\x94\x80"

static bool put(struct mr_buffer *out, const char *text)
{
    return mr_buffer_put(out, text, strlen(text));
}

static bool repeat(struct mr_buffer *out, const char *text, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!put(out, text)) return false;
    }
    return true;
}

/* Characters, not columns of the terminal: wide ones count once. */
static uint32_t characters(const char *data, size_t size_bytes)
{
    uint32_t count = 0;

    for (size_t i = 0; i < size_bytes; i++) count += ((unsigned char)data[i] & 0xc0) != 0x80;
    return count;
}

static bool is_number(enum mr_type type)
{
    return mr_type_is_numeric(type) || type == MR_INTERVAL;
}

bool mri_table_init(struct mri_table *table, struct mr_heap *heap, const struct mr_schema *schema)
{
    memset(table, 0, sizeof *table);
    table->heap = heap;
    table->schema = schema;
    mr_buffer_init(&table->cells, heap);
    mr_buffer_init(&table->sizes, heap);
    mr_buffer_init(&table->row, heap);
    table->widths = mr_alloc_array(heap, schema->column_count, sizeof *table->widths);
    return table->widths != NULL;
}

void mri_table_fini(struct mri_table *table)
{
    if (table->heap == NULL) return;
    mr_buffer_fini(&table->cells);
    mr_buffer_fini(&table->sizes);
    mr_buffer_fini(&table->row);
    mr_free(table->heap, table->widths, table->schema->column_count * sizeof *table->widths);
    memset(table, 0, sizeof *table);
}

/* ---- lines ---- */

static bool put_rule(const struct mri_table *table, const char *left, const char *middle,
                     const char *right, struct mr_buffer *out)
{
    for (uint32_t c = 0; c < table->schema->column_count; c++) {
        if (!put(out, c == 0 ? left : middle)) return false;
        if (!repeat(out, HORIZONTAL, table->widths[c] + 2)) return false;
    }
    return put(out, right) && put(out, "\n");
}

static bool put_cell(const struct mri_table *table, uint32_t column, const char *data,
                     size_t size_bytes, struct mr_buffer *out)
{
    uint32_t wide = characters(data, size_bytes);
    uint32_t room = table->widths[column] > wide ? table->widths[column] - wide : 0;
    bool right = is_number(table->schema->fields[column].type);

    return put(out, VERTICAL " ") && repeat(out, " ", right ? room : 0) &&
           mr_buffer_put(out, data, size_bytes) && repeat(out, " ", right ? 1 : room + 1);
}

static bool put_end_of_row(struct mr_buffer *out)
{
    return put(out, VERTICAL "\n");
}

/* Column names are escaped and cut as texts are. */
static bool format_name(const struct mri_table *table, uint32_t column, struct mr_buffer *out)
{
    const char *name = table->schema->fields[column].name;
    const char *const buffers[1] = {name};
    struct mr_view view = mr_view_make(name, (uint32_t)strlen(name), 0, 0);
    struct mr_column one = {
        .type = MR_UTF8, .buffer_count = 1, .values = &view, .buffers = buffers};

    return mri_format_value(out, &one, 0, MR_FORMAT_TABLE);
}

static bool put_names(struct mri_table *table, struct mr_buffer *out)
{
    for (uint32_t c = 0; c < table->schema->column_count; c++) {
        table->row.size_bytes = 0;
        if (!format_name(table, c, &table->row)) return false;
        if (!put_cell(table, c, table->row.data, table->row.size_bytes, out)) return false;
    }
    return put_end_of_row(out);
}

/* ---- rows that wait ---- */

static bool keep_cell(struct mri_table *table, uint32_t column)
{
    uint32_t size = (uint32_t)table->row.size_bytes;
    uint32_t wide = characters(table->row.data, size);

    table->widths[column] = MR_MAX(table->widths[column], wide);
    return mr_buffer_put(&table->cells, table->row.data, size) &&
           mr_buffer_put(&table->sizes, &size, sizeof size);
}

bool mri_table_row(struct mri_table *table, const struct mr_batch *batch, uint32_t element,
                   struct mr_buffer *out)
{
    for (uint32_t c = 0; c < table->schema->column_count; c++) {
        table->row.size_bytes = 0;
        if (!mri_format_value(&table->row, &batch->columns[c], element, MR_FORMAT_TABLE))
            return false;
        if (!table->started) {
            if (!keep_cell(table, c)) return false;
        } else if (!put_cell(table, c, table->row.data, table->row.size_bytes, out)) {
            return false;
        }
    }
    if (table->started) return put_end_of_row(out);
    if (++table->rows < MRI_TABLE_ROWS) return true;
    return mri_table_start(table, out);
}

bool mri_table_start(struct mri_table *table, struct mr_buffer *out)
{
    const char *cell = table->cells.data;
    size_t at = 0;

    if (table->started) return true;
    for (uint32_t c = 0; c < table->schema->column_count; c++) {
        table->row.size_bytes = 0;
        if (!format_name(table, c, &table->row)) return false;
        table->widths[c] =
            MR_MAX(table->widths[c], characters(table->row.data, table->row.size_bytes));
    }
    if (!put_rule(table, "\xe2\x94\x8c", "\xe2\x94\xac", "\xe2\x94\x90", out)) return false;
    if (!put_names(table, out)) return false;
    if (!put_rule(table, "\xe2\x94\x9c", "\xe2\x94\xbc", "\xe2\x94\xa4", out)) return false;
    for (uint32_t row = 0; row < table->rows; row++) {
        for (uint32_t c = 0; c < table->schema->column_count; c++) {
            uint32_t size;

            memcpy(&size, table->sizes.data + at++ * sizeof size, sizeof size);
            if (!put_cell(table, c, cell, size, out)) return false;
            cell += size;
        }
        if (!put_end_of_row(out)) return false;
    }
    mr_buffer_fini(&table->cells);
    mr_buffer_fini(&table->sizes);
    table->started = true;
    return true;
}

bool mri_table_end(struct mri_table *table, struct mr_buffer *out)
{
    if (!mri_table_start(table, out)) return false;
    return put_rule(table, "\xe2\x94\x94", "\xe2\x94\xb4", "\xe2\x94\x98", out);
}
