/* format_internal.h - values, rows and tables as text.
 *
 * Owns:    a table owns the cells it has not written yet.
 * Thread:  confined.
 * Fails:   false when a buffer cannot grow.
 * Cost:    10-40 ns per value; no call of printf.
 */
#ifndef MR_CONNECT_FORMAT_FORMAT_INTERNAL_H
#define MR_CONNECT_FORMAT_FORMAT_INTERNAL_H

#include "connect/connect.h"
#include "data/rowcodec.h"

/* Appends one value. NDJSON: as a JSON value. TABLE: escaped, at most MRI_TABLE_TEXT_MAX wide. */
bool mri_format_value(struct mr_buffer *out, const struct mr_column *column, uint32_t element,
                      enum mr_text_format format) MR_MUST_USE;
/* A JSON string with quotes. `data` must be UTF-8. */
bool mri_format_json(struct mr_buffer *out, const char *data, size_t size_bytes) MR_MUST_USE;
/* Base64 digits (RFC 4648) without quotes. */
bool mri_format_base64(struct mr_buffer *out, const char *data, size_t size_bytes) MR_MUST_USE;
/* A CSV field, quoted if need be. */
bool mri_format_csv(struct mr_buffer *out, const char *data, size_t size_bytes) MR_MUST_USE;

#define MRI_TABLE_TEXT_MAX 40u   /* characters of a text */
#define MRI_TABLE_ROWS     1000u /* that decide the widths */

struct mri_table {
    struct mr_heap *heap;
    const struct mr_schema *schema;
    struct mr_buffer cells; /* texts of the rows before the widths are decided */
    struct mr_buffer sizes; /* uint32_t each, in bytes */
    struct mr_buffer row;   /* the cells of one row */
    uint32_t rows;          /* in `cells` */
    uint32_t *widths;       /* in characters */
    bool started;           /* the head was written */
};

bool mri_table_init(struct mri_table *table, struct mr_heap *heap,
                    const struct mr_schema *schema) MR_MUST_USE;
void mri_table_fini(struct mri_table *table); /* a zeroed one is allowed */
bool mri_table_row(struct mri_table *table, const struct mr_batch *batch, uint32_t element,
                   struct mr_buffer *out) MR_MUST_USE;
/* Writes the head and the rows that were kept back. */
bool mri_table_start(struct mri_table *table, struct mr_buffer *out) MR_MUST_USE;
bool mri_table_end(struct mri_table *table, struct mr_buffer *out) MR_MUST_USE;

#endif
