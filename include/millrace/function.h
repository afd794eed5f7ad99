/* function.h - writing functions that run inside a pipeline: rows and batches in, rows out.
 *
 * A row function is called once per row and reads it through typed accessors. A batch function is
 * called once per batch and works on arrays. Both write through an emitter. Everything handed to a
 * function is borrowed for the duration of the call.
 *
 * Owns:    none.
 * Thread:  one instance of a function runs on one thread at a time, but several instances run side
 *          by side: shared `user` data must be immutable or synchronised by its owner.
 * Fails:   a function answers MR_OK or any other status; with mr_emitter_fail it says why. A failing row goes
 *          to the job's policy for bad records.
 * Cost:    accessors are a few instructions; emitters do not allocate per row.
 */
#ifndef MILLRACE_FUNCTION_H
#define MILLRACE_FUNCTION_H

#include <millrace/types.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reading one row ---- */

struct mr_row; /* a row of a batch */

MR_API bool mr_row_is_null(const struct mr_row *row, uint32_t column);
/* bool, int8..int64, date, time, timestamps, interval; 0 for null */
MR_API int64_t mr_row_int64(const struct mr_row *row, uint32_t column);
MR_API double mr_row_float64(const struct mr_row *row, uint32_t column);
MR_API struct mr_int128 mr_row_decimal(const struct mr_row *row, uint32_t column);
MR_API struct mr_bytes mr_row_bytes(const struct mr_row *row, uint32_t column);
/* The row's event time, MR_TIME_MIN if the stream has none. */
MR_API int64_t mr_row_time(const struct mr_row *row);

/* ---- reading a batch ---- */

struct mr_batch; /* rows as columns; immutable */

/* 16 bytes per text: up to 12 bytes lie inside, longer ones in one of the column's buffers. */
#define MR_VIEW_INLINE 12u
struct mr_view {
    uint32_t size_bytes;
    union {
        char inlined[MR_VIEW_INLINE]; /* unused bytes are zero */
        struct {
            char prefix[4];
            uint32_t buffer;
            uint32_t offset;
        } far;
    } u;
};
struct mr_texts {
    const struct mr_view *views;
    const char *const *buffers;
};

MR_API uint32_t mr_batch_rows(const struct mr_batch *batch);
/* Arrays with one element per row. NULL if the column has another type. Batches given to functions have
 * no selection and no encodings: element i is row i. */
MR_API const int64_t *mr_batch_int64s(const struct mr_batch *batch, uint32_t column);
MR_API const int32_t *mr_batch_int32s(const struct mr_batch *batch, uint32_t column);
MR_API const double *mr_batch_float64s(const struct mr_batch *batch, uint32_t column);
MR_API struct mr_texts mr_batch_texts(const struct mr_batch *batch, uint32_t column);
/* One bit per row, 1 = not null, least significant first; NULL: no nulls. */
MR_API const uint64_t *mr_batch_validity(const struct mr_batch *batch, uint32_t column);
/* Event times, NULL if the stream has none. */
MR_API const int64_t *mr_batch_times(const struct mr_batch *batch);
/* Any row as a row, for the accessors above. */
struct mr_row {
    const struct mr_batch *batch;
    uint32_t index;
};

static inline const char *mr_text_data(const struct mr_texts *texts, const struct mr_view *view)
{
    if (view->size_bytes <= MR_VIEW_INLINE) return view->u.inlined;
    return texts->buffers[view->u.far.buffer] + view->u.far.offset;
}

/* A view of size_bytes at data; long ones lie at `offset` of buffer number `buffer`. */
static inline struct mr_view mr_view_make(const char *data, uint32_t size_bytes, uint32_t buffer,
                                          uint32_t offset)
{
    struct mr_view view;

    memset(&view, 0, sizeof view);
    view.size_bytes = size_bytes;
    if (size_bytes <= MR_VIEW_INLINE) {
        memcpy(view.u.inlined, data, size_bytes);
    } else {
        memcpy(view.u.far.prefix, data, 4);
        view.u.far.buffer = buffer;
        view.u.far.offset = offset;
    }
    return view;
}

/* ---- writing ---- */

struct mr_emitter;

/* Row form: set columns (unset ones are null), then mr_emit_row. A row that is emitted while one
 * row is processed gets that row's event time unless mr_emit_time says otherwise. */
MR_API void mr_emit_null(struct mr_emitter *out, uint32_t column);
MR_API void mr_emit_int64(struct mr_emitter *out, uint32_t column, int64_t value);
MR_API void mr_emit_float64(struct mr_emitter *out, uint32_t column, double value);
MR_API void mr_emit_decimal(struct mr_emitter *out, uint32_t column, struct mr_int128 value);
MR_API void mr_emit_bytes(struct mr_emitter *out, uint32_t column, const char *data,
                          size_t size_bytes);
MR_API void mr_emit_time(struct mr_emitter *out, int64_t event_time_us);
MR_API enum mr_status mr_emit_row(struct mr_emitter *out) MR_MUST_USE;
/* The emitter of side output number `output` (1, 2, ...; 0 is the main output itself). */
MR_API struct mr_emitter *mr_emitter_side(struct mr_emitter *out, uint32_t output);
/* Says why the function fails; returns MR_E_USER_FUNCTION. */
MR_API enum mr_status mr_emitter_fail(struct mr_emitter *out, const char *format, ...)
    MR_PRINTF(2, 3);

/* Array form: open room for rows, write the arrays, close with the number written. `open` may be
 * repeated; rows keep their order. All columns must be written (validity starts as all valid). */
MR_API enum mr_status mr_emit_open(struct mr_emitter *out, uint32_t rows_wanted,
                                   uint32_t *out_rows) MR_MUST_USE; /* 1 <= *out_rows <= wanted */
MR_API int64_t *mr_emit_int64s(struct mr_emitter *out, uint32_t column);
MR_API int32_t *mr_emit_int32s(struct mr_emitter *out, uint32_t column);
MR_API double *mr_emit_float64s(struct mr_emitter *out, uint32_t column);
/* Texts that point into the buffers of a text column of the input batch (nothing is copied). */
MR_API struct mr_view *mr_emit_texts_of(struct mr_emitter *out, uint32_t column,
                                        const struct mr_batch *input, uint32_t input_column);
MR_API int64_t *mr_emit_times(struct mr_emitter *out); /* required when the stream has event times */
MR_API enum mr_status mr_emit_close(struct mr_emitter *out, uint32_t rows) MR_MUST_USE;

/* ---- functions ---- */

/* Emits nothing (filter), one (map) or many rows (flat map). */
typedef enum mr_status (*mr_row_fn)(void *user, const struct mr_row *row, struct mr_emitter *out);
typedef enum mr_status (*mr_batch_fn)(void *user, const struct mr_batch *batch,
                                      struct mr_emitter *out);
/* Keeps the row or not. */
typedef enum mr_status (*mr_row_filter_fn)(void *user, const struct mr_row *row, bool *out_keep);

/* A user-defined aggregate over plain, relocatable bytes: no pointers inside the state. It must be
 * insensitive to order (add and merge commute) for results that do not depend on timing. */
struct mr_aggregate_functions {
    size_t size;       /* sizeof(struct mr_aggregate_functions) */
    size_t state_bytes; /* at most 1024 */
    void (*create)(void *user, void *state);
    /* `row` has the aggregate's arguments as columns 0, 1, ... */
    enum mr_status (*add)(void *user, void *state, const struct mr_row *row);
    enum mr_status (*merge)(void *user, void *state, const void *other);
    /* The inverse of add on merged states; NULL: not invertible. */
    enum mr_status (*remove)(void *user, void *state, const void *other);
    /* Sets column 0 of the emitter (unset: null); does not call mr_emit_row. */
    enum mr_status (*result)(void *user, const void *state, struct mr_emitter *out);
};

/* An own source. `open` makes one reader per partition (0..partitions-1). `read` emits up to
 * row_limit rows and says how it stands. `close` always follows a successful open. */
enum mr_read_result { MR_READ_MORE, MR_READ_IDLE, MR_READ_END };
struct mr_source_functions {
    size_t size;
    uint32_t partitions;
    bool unbounded; /* never ends by itself */
    enum mr_status (*open)(void *user, uint32_t partition, void **out_reader);
    enum mr_status (*read)(void *reader, uint32_t row_limit, struct mr_emitter *out,
                           enum mr_read_result *out_result);
    void (*close)(void *reader);
};

/* An own sink: batches are handed over on one thread per instance. `finish` is called once at the
 * end of a successful run, `close` always. */
struct mr_sink_functions {
    size_t size;
    bool one_instance;
    enum mr_status (*open)(void *user, uint32_t instance, void **out_writer);
    enum mr_status (*write)(void *writer, const struct mr_batch *batch);
    enum mr_status (*finish)(void *writer);
    void (*close)(void *writer);
};

#ifdef __cplusplus
}
#endif
#endif
