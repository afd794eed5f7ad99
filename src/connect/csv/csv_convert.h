/* csv_convert.h - fields of records into values of columns, column by column.
 *
 * A window is a few hundred records whose separators are known. Each column is converted in a loop
 * of its own over the window's rows. What cannot be converted is marked in `faults`; the caller
 * rejects those rows and closes the gaps.
 *
 * Owns:    none: values go to memory of the batch.
 * Thread:  confined.
 * Fails:   false when the batch has no memory for unquoted texts.
 * Cost:    2-10 ns per value.
 */
#ifndef MR_CONNECT_CSV_CSV_CONVERT_H
#define MR_CONNECT_CSV_CSV_CONVERT_H

#include "base/text.h"
#include "data/batch.h"

/* What is to be null: one length and one first byte are compared before the rest is. */
struct mri_csv_nulls {
    uint64_t sizes; /* bit n: there is one with n bytes; bit 63: or with more */
    uint32_t count;
    struct mr_bytes *literals;
};

enum mri_csv_fault {
    MRI_CSV_FINE,
    MRI_CSV_BAD_VALUE,
    MRI_CSV_BAD_COUNT, /* of fields */
    MRI_CSV_BAD_QUOTING,
    MRI_CSV_TOO_LONG
};

struct mri_csv_window {
    const char *data;
    const uint32_t *positions; /* of separators */
    const uint32_t *first;     /* per row: index in positions of the first field's separator */
    uint8_t *faults;           /* per row: enum mri_csv_fault */
    uint32_t rows;
    uint32_t field_count;
    bool quotes; /* a field may be quoted */
    bool high;   /* a byte may be above 0x7f */
    const struct mri_csv_nulls *nulls;
};

/* One wanted column. */
struct mri_csv_column {
    uint32_t column; /* in the schema */
    uint32_t field;  /* in the file */
    const struct mr_field *type;
};

/* Where the values of one column go. */
struct mri_csv_target {
    void *values;
    uint64_t *validity; /* all ones before; zeros are put where a value is null */
    bool nulls;
    bool far; /* a view points into the chunk */
};

#define MRI_CSV_BUFFERS_MAX 32u
/* Buffers of the views of one batch: 0 is the chunk, the others hold texts that had doubled
 * quotes. */
struct mri_csv_buffers {
    struct mr_batch *batch;
    const char **list; /* MRI_CSV_BUFFERS_MAX entries */
    uint32_t count;
    char *side; /* being filled */
    uint32_t side_used;
    uint32_t side_room;
};

/* True if every type can be read from text. */
bool mri_csv_type_supported(enum mr_type type);

/* Converts the rows of a window without a fault into target elements to, to + 1, ... (faulty
 * rows get elements too, with rubbish). Returns false without memory, else counts new faults. */
bool mri_csv_convert(const struct mri_csv_window *window, const struct mri_csv_column *column,
                     struct mri_csv_target *target, uint32_t to, struct mri_csv_buffers *buffers,
                     uint32_t *out_faults) MR_MUST_USE;
/* Keeps those of the elements to .. to + count whose fault is FINE. */
void mri_csv_compact(const struct mri_csv_column *column, struct mri_csv_target *target,
                     uint32_t to, const uint8_t *faults, uint32_t count);
/* Why a value does not fit its column: "'12x' is not an int64". False: it does. */
bool mri_csv_explain(const struct mri_csv_window *window, const struct mri_csv_column *column,
                     uint32_t row, struct mr_text *out);

/* The rule about quotes for one field: it is not quoted and has no quote, or it is quoted as a
 * whole. NULL: right, else what is wrong. */
const char *mri_csv_quoting_fault(const char *data, size_t size_bytes);
/* Field `at` of a row: start and size, without the \r of a line's end. */
MR_INLINE struct mr_bytes mri_csv_field(const struct mri_csv_window *window, uint32_t row,
                                        uint32_t field)
{
    const uint32_t *position = window->positions + window->first[row] + field;
    uint32_t begin = position[-1] + 1;
    uint32_t end = position[0];

    if (field + 1 == window->field_count) {
        end -= end > begin && window->data[end - 1] == '\r';
    }
    return (struct mr_bytes){window->data + begin, end - begin};
}

/* Removes the quotes around a field and undoubles those inside; `out` may hold as many bytes. */
size_t mri_csv_unquote(const char *data, size_t size_bytes, char *out);

#endif
