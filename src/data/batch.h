/* batch.h - rows on the move: columns over blocks, a selection, hidden columns, an origin.
 *
 * A batch is a small header with column views. Its memory is one or more blocks, all charged to
 * one quota; it may also borrow from other batches (project and filter share memory instead of
 * copying). It is built by one owner, then published; from then on it is immutable and shared by
 * reference count.
 *
 * Rows: `row_count` logical rows. Without a selection logical row i is element i of every column;
 * with one it is element selection[i] (strictly ascending). Kernels work on dense columns: see
 * mr_batch_dense.
 *
 * Hidden columns carry what the engine needs beside the user's columns. An absent one has its
 * default.
 *
 * Owns:    its blocks and its references to other batches.
 * Thread:  built by one thread; immutable afterwards; ref/release from any thread.
 * Fails:   new and memory answer NULL when the quota is used up (try again) or the heap refuses.
 * Cost:    a new batch is one block; memory is a bump.
 *
 * Invariants:
 *  (1) row_count <= MR_BATCH_ROWS_MAX. (2) selection is ascending without repeats.
 *  (3) A column's memory is reachable from the batch's blocks or its bases.
 */
#ifndef MR_DATA_BATCH_H
#define MR_DATA_BATCH_H

#include "data/block.h"
#include "data/column.h"
#include "data/schema.h"

/* 16 bytes per value must fit one block. Elements of a list's child obey the same limit. */
#define MR_BATCH_ROWS_MAX 16320u
#ifdef MR_TEST_SMALL
#define MR_BATCH_ROWS 2u
#else
#define MR_BATCH_ROWS 4096u /* what operators aim for */
#endif

enum mr_hidden {
    MR_HIDDEN_EVENT_TIME,      /* TIMESTAMP_LTZ; default: MR_TIME_MIN */
    MR_HIDDEN_CHANGE,          /* INT8, enum mr_change; default: insert */
    MR_HIDDEN_WINDOW_START,    /* TIMESTAMP_LTZ; default: none, the global window */
    MR_HIDDEN_WINDOW_END,      /* TIMESTAMP_LTZ */
    MR_HIDDEN_PANE,            /* INT64: timing, index, first, last */
    MR_HIDDEN_TRACKING,        /* LIST of INT64: root and edge ids */
    MR_HIDDEN_TARGET,          /* INT32: direct target instance */
    MR_HIDDEN_KEY_HASH,        /* INT64: canonical hash of the key */
    MR_HIDDEN_SPLIT_WATERMARK, /* TIMESTAMP_LTZ: watermark of the row's own split at this row */
    MR_HIDDEN_COUNT
};

enum mr_change { MR_INSERT = 0, MR_UPDATE_BEFORE = 1, MR_UPDATE_AFTER = 2, MR_DELETE = 3 };

enum mr_type mr_hidden_type(enum mr_hidden tag);
/* What an absent hidden column stands for: MR_TIME_MIN for times (the window: the global one), 0
 * for the others; the default of MR_HIDDEN_TRACKING is the empty list. */
int64_t mr_hidden_default(enum mr_hidden tag);

/* Where the rows of a batch came from, up to the first exchange. The k-th row that the reader saw
 * at or after offset_bytes is source row k. Rows that were rejected count. */
struct mr_origin {
    bool known;
    uint32_t split;        /* ordinal in the source's split list */
    uint64_t offset_bytes; /* of the first row in the (decompressed) input */
    uint64_t first_row;    /* number of that row in the split */
    uint32_t source_id;    /* node that read it */
};

struct mr_batch {
    _Atomic uint32_t references;
    uint32_t row_count;
    uint32_t column_count;
    uint32_t base_count;
    struct mr_quota *quota;
    struct mr_column *columns; /* column_count */
    const uint32_t *selection; /* row_count entries, or NULL */
    const struct mr_column *hidden[MR_HIDDEN_COUNT];
    struct mr_origin origin;
    const uint32_t *origin_rows; /* logical row -> source row k; NULL: identity */
    struct mr_block *blocks;     /* own ones, newest first; the last one holds this header */
    struct mri_adopted *adopted; /* shared ones */
    char *bump;
    char *bump_end;
    size_t expected_bytes; /* announced, not yet covered by a block */
    struct mr_batch *bases[4];
};

/* An empty batch with `column_count` zeroed columns, in a block with room for `bytes_hint` bytes of
 * mr_batch_memory beside them (as far as a block can: 0 is the smallest block). */
struct mr_batch *mr_batch_new(struct mr_quota *quota, uint32_t column_count,
                              size_t bytes_hint) MR_MUST_USE;
/* 64-byte aligned memory that lives as long as the batch; at most MR_BLOCK_BYTES_MAX - 128 bytes.
 * Contents undefined. */
void *mr_batch_memory(struct mr_batch *batch, size_t size_bytes) MR_MUST_USE;
/* Memory for `rows` values of a layout / for a bitmap, padded to 64 bytes, bitmap zeroed. */
void *mr_batch_values(struct mr_batch *batch, enum mr_layout layout, uint32_t rows) MR_MUST_USE;
uint64_t *mr_batch_bitmap(struct mr_batch *batch, uint32_t rows) MR_MUST_USE;
/* Keeps `base` alive for as long as `batch` lives (takes a new reference). False: no room (4). */
bool mr_batch_borrow(struct mr_batch *batch, struct mr_batch *base) MR_MUST_USE;
/* Hands a filled block over to the batch (takes over the caller's reference). False: the batch had
 * no memory to remember it, the reference stays with the caller. */
bool mr_batch_adopt(struct mr_batch *batch, struct mr_block *block) MR_MUST_USE;
/* The class sizes of its own blocks, without adopted and borrowed ones: its part of its quota. */
size_t mr_batch_own_bytes(const struct mr_batch *batch);

struct mr_batch *mr_batch_ref(struct mr_batch *batch);
void mr_batch_release(struct mr_batch *batch); /* NULL allowed */

/* A batch over the same memory with fewer rows: logical row i of the result is logical row
 * rows[i] of `batch` (ascending). Borrows from `batch`; hidden columns and origin follow. */
struct mr_batch *mr_batch_select(struct mr_quota *quota, struct mr_batch *batch,
                                 const uint32_t *rows, uint32_t count) MR_MUST_USE;
/* The same rows without a selection: `batch` itself (new reference) when it has none, else a copy
 * by gather of every column, hidden ones too. */
struct mr_batch *mr_batch_dense(struct mr_quota *quota, struct mr_batch *batch) MR_MUST_USE;
/* The same rows in blocks of their own that share nothing with others and hold nothing else; for
 * spill, retention and exchange. All columns FLAT, texts copied. */
struct mr_batch *mr_batch_compact(struct mr_quota *quota, struct mr_batch *batch) MR_MUST_USE;

/* Gathers elements rows[0..count) (any order, repeats allowed) of a column of any encoding into a
 * FLAT column in `batch`'s memory. Far views keep pointing at the source's buffers: `batch` must
 * borrow the owner. The children of lists must not get more than MR_BATCH_ROWS_MAX elements. */
bool mr_column_gather(struct mr_batch *batch, const struct mr_column *column, const uint32_t *rows,
                      uint32_t count, struct mr_column *out) MR_MUST_USE;
/* Like mr_column_gather with rows = 0..count-1, for CONST and DICT: makes them FLAT. */
bool mr_column_flatten(struct mr_batch *batch, const struct mr_column *column, uint32_t count,
                       struct mr_column *out) MR_MUST_USE;

/* Upper bound of the bytes that logical rows [first, first + count) need in mr_batch_compact,
 * before rounding up to size classes. */
size_t mr_batch_row_bytes(const struct mr_batch *batch, uint32_t first, uint32_t count);

/* Event time of a logical row, MR_TIME_MIN without one. */
int64_t mr_batch_event_time(const struct mr_batch *batch, uint32_t row);
/* Element index of a logical row. */
MR_INLINE uint32_t mr_batch_at(const struct mr_batch *batch, uint32_t row)
{
    return batch->selection != NULL ? batch->selection[row] : row;
}
/* Source row of a logical row (origin.known only). */
MR_INLINE uint64_t mr_batch_source_row(const struct mr_batch *batch, uint32_t row)
{
    return batch->origin.first_row + (batch->origin_rows != NULL ? batch->origin_rows[row] : row);
}

#endif
