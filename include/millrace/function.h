/* function.h - writing functions that run inside a pipeline: rows and batches in, rows out.
 *
 * A row function is called once per row and reads it through typed accessors. A batch function is
 * called once per batch and works on arrays. Both write through an emitter. Everything handed to a
 * function is borrowed for the duration of the call.
 *
 * Owns:    none.
 * Thread:  one instance of a function runs on one thread at a time, but several instances run side
 *          by side: shared `user` data must be immutable or synchronised by its owner.
 * Fails:   a function answers MR_OK or any other status; with mr_emitter_fail it says why. A row
 *          whose row function, filter or aggregate fails goes to the job's policy for bad records;
 *          what was emitted for it before stays emitted. With record tracking (--track)
 *          MR_E_AGAIN says instead that the row is to be sent again. A failing batch function or source ends
 *          the job, and so does wrong use of an emitter.
 * Cost:    accessors are a few instructions; emitters do not allocate per row.
 */
#ifndef MILLRACE_FUNCTION_H
#define MILLRACE_FUNCTION_H

#include <millrace/types.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reading one row ----
 * Columns are counted from 0, in the order of the input stream. A null, a column of another type,
 * and a number that is too high all read as 0, or no bytes: neither is an error. */

struct mr_row; /* a row of a batch */

MR_API bool mr_row_is_null(const struct mr_row *row, uint32_t column);
/* bool, int8..int64, date, time, timestamps, interval; 0 for null */
MR_API int64_t mr_row_int64(const struct mr_row *row, uint32_t column);
/* float32, float64 */
MR_API double mr_row_float64(const struct mr_row *row, uint32_t column);
/* decimal, without its point: 12.34 of scale 2 is 1234 */
MR_API struct mr_int128 mr_row_decimal(const struct mr_row *row, uint32_t column);
/* utf8, binary */
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
 * no selection and no encodings: element i is row i. Elements of null rows mean nothing. int64s:
 * int64, time, timestamp, timestamp_ltz, interval. int32s: int32, date. float64s: float64. texts:
 * utf8, binary (`views` is NULL for others). The remaining types are read row by row, see struct
 * mr_row. */
MR_API const int64_t *mr_batch_int64s(const struct mr_batch *batch, uint32_t column);
MR_API const int32_t *mr_batch_int32s(const struct mr_batch *batch, uint32_t column);
MR_API const double *mr_batch_float64s(const struct mr_batch *batch, uint32_t column);
MR_API struct mr_texts mr_batch_texts(const struct mr_batch *batch, uint32_t column);
/* One bit per row, 1 = not null, least significant first; NULL: no nulls. */
MR_API const uint64_t *mr_batch_validity(const struct mr_batch *batch, uint32_t column);
/* Event times, NULL if the stream has none. */
MR_API const int64_t *mr_batch_times(const struct mr_batch *batch);
/* Any row as a row, for the accessors above: struct mr_row row = {batch, i}. */
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
 * row is processed gets that row's event time unless mr_emit_time says otherwise. Batch functions
 * and own sources may use this form too; then mr_emit_time is needed before every row if the stream
 * has event times. int64 sets all integers (the range is checked), bool, dates, times and
 * intervals; float64 sets both floats; decimal checks the precision. */
MR_API void mr_emit_null(struct mr_emitter *out, uint32_t column);
MR_API void mr_emit_int64(struct mr_emitter *out, uint32_t column, int64_t value);
MR_API void mr_emit_float64(struct mr_emitter *out, uint32_t column, double value);
MR_API void mr_emit_decimal(struct mr_emitter *out, uint32_t column, struct mr_int128 value);
/* Copies; at most 261,888 bytes; UTF-8 if the column is utf8. */
MR_API void mr_emit_bytes(struct mr_emitter *out, uint32_t column, const char *data,
                          size_t size_bytes);
MR_API void mr_emit_time(struct mr_emitter *out, int64_t event_time_us);
MR_API enum mr_status mr_emit_row(struct mr_emitter *out) MR_MUST_USE;
/* The emitter of side output number `output` (1, 2, ...; 0 is the main output itself). */
MR_API struct mr_emitter *mr_emitter_side(struct mr_emitter *out, uint32_t output);
/* Says why the function fails; returns MR_E_USER_FUNCTION for the function to return in its turn.
 * The call has failed even if it returns MR_OK after this. */
MR_API enum mr_status mr_emitter_fail(struct mr_emitter *out, const char *format, ...)
    MR_PRINTF(2, 3);

/* Array form: open room for rows, write the arrays, close with the number written. `open` may be
 * repeated; rows keep their order. All columns must be written, none of the rows is null (for nulls
 * use the row form), and columns have the types that the arrays of a batch can have. */
MR_API enum mr_status mr_emit_open(struct mr_emitter *out, uint32_t rows_wanted,
                                   uint32_t *out_rows) MR_MUST_USE; /* 1 <= *out_rows <= wanted */
MR_API int64_t *mr_emit_int64s(struct mr_emitter *out, uint32_t column);
MR_API int32_t *mr_emit_int32s(struct mr_emitter *out, uint32_t column);
MR_API double *mr_emit_float64s(struct mr_emitter *out, uint32_t column);
/* Texts that point into the buffers of a text column of the input batch (nothing is copied); one
 * input column between open and close. A view that was not written is an empty text. Of the others
 * mr_emit_close checks the size, the number of the buffer and that bytes behind an inline text are
 * zero; trusted, and undefined behaviour if wrong, is that offset and size lie within the buffer,
 * that the prefix is that of the text, and that a text of a utf8 column is UTF-8. */
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
    /* `row` has the aggregate's arguments as columns 0, 1, ...; rows with nulls come too. */
    enum mr_status (*add)(void *user, void *state, const struct mr_row *row);
    enum mr_status (*merge)(void *user, void *state, const void *other);
    /* The inverse of add on merged states; NULL: not invertible. */
    enum mr_status (*remove)(void *user, void *state, const void *other);
    /* Sets column 0 of the emitter (unset: null); does not call mr_emit_row. */
    enum mr_status (*result)(void *user, const void *state, struct mr_emitter *out);
};

/* An own source. `open` makes one reader per partition (0..partitions-1), on whatever thread reads
 * it. `read` emits up to row_limit rows and says how it stands: MORE (as it is at first), IDLE
 * (nothing now: it is asked again within milliseconds) or END. It must not block. `close`, which
 * may be NULL, always follows a successful open. */
enum mr_read_result { MR_READ_MORE, MR_READ_IDLE, MR_READ_END };
struct mr_source_functions {
    size_t size;
    uint32_t partitions;
    bool unbounded; /* never ends by itself */
    enum mr_status (*open)(void *user, uint32_t partition, void **out_reader);
    enum mr_status (*read)(void *reader, uint32_t row_limit, struct mr_emitter *out,
                           enum mr_read_result *out_result);
    void (*close)(void *reader);
    /* Both or none; with them the source is read exactly once with a state directory, without them
     * it cannot be replayed. `position` writes where the next row lies, in at most
     * MR_POSITION_BYTES_MAX bytes of the source's own; it is called between two reads. `resume`
     * follows open, before the first read: reading goes on at that position, and must give the same
     * rows in the same order that came behind it then (reads may end at other rows). For a source
     * that is no longer what it was it answers MR_E_CHANGED. */
    enum mr_status (*position)(void *reader, void *bytes, size_t *out_size_bytes);
    enum mr_status (*resume)(void *reader, const void *bytes, size_t size_bytes);
    /* Both or none; used with record tracking (--track), where they tell what becomes of each row.
     * `id_column` is an int64 column of the source, counted from 0, that names it. A row is completed when
     * everything that was made from it has left the job: the source may forget it. A row that failed,
     * or of which nothing was heard in time, is to be read again, under the same id or another one. Called
     * between two reads; read is called again after `failed` even if it had said END. Without them
     * the engine keeps the rows and sends them again itself. */
    uint32_t id_column;
    void (*completed)(void *reader, int64_t id);
    void (*failed)(void *reader, int64_t id);
};
#define MR_POSITION_BYTES_MAX ((size_t)4096)

/* What `recover` of an own sink is told. `states`: what `prepare` of the last complete epoch wrote,
 * one for each writer that there was then. */
struct mr_transaction {
    const void *bytes;
    size_t size_bytes;
};
struct mr_sink_recovery {
    size_t size;
    uint64_t epoch;     /* the last complete one; 0: none */
    uint64_t fence;     /* of this attempt: higher than that of any before */
    uint32_t instances; /* of this attempt */
    bool finished;      /* that epoch held the whole input: nothing is written any more */
    const struct mr_transaction *states;
    uint32_t state_count;
};

/* An own sink: batches are handed over as to a batch function, by one thread at a time per instance
 * (0, 1, ...; several work side by side unless `one_instance`). `finish` is called once at the end
 * of a successful run, `close` always after a successful open; both may be NULL. */
struct mr_sink_functions {
    size_t size;
    bool one_instance;
    enum mr_status (*open)(void *user, uint32_t instance, void **out_writer);
    enum mr_status (*write)(void *writer, const struct mr_batch *batch);
    enum mr_status (*finish)(void *writer);
    void (*close)(void *writer);
    /* All three or none; used with a state directory, where they make the sink exactly-once. Without
     * them rows may come twice after a failure.
     * `prepare`, between two writes: all rows so far belong to `epoch` or earlier ones. Make them
     * safe but not visible, and write what names them, in at most MR_TRANSACTION_BYTES_MAX bytes of
     * the sink's own; 0 bytes are fine.
     * `commit`: the epoch is complete for good, make visible what was prepared up to it. May come
     * again, may leave epochs out, and the next epoch may be prepared before it comes.
     * `recover`, in every attempt before any open: commit all that the states name (done already is
     * success; gone is MR_E_LOST), and drop everything else that earlier attempts prepared. One of
     * them may be a process that only sleeps: whatever keeps the rows should refuse writers of a lower
     * fence. */
    enum mr_status (*prepare)(void *writer, uint64_t epoch, void *bytes, size_t *out_size_bytes);
    enum mr_status (*commit)(void *writer, uint64_t epoch);
    enum mr_status (*recover)(void *user, const struct mr_sink_recovery *recovery);
};
#define MR_TRANSACTION_BYTES_MAX ((size_t)4096)

#ifdef __cplusplus
}
#endif
#endif
