/* emitter_internal.h - shared by emitter.c (rows, queue), emitter_array.c (arrays) and
 * emitter_views.c (what arrays of texts must be like).
 *
 * Owns:    see emitter.h.
 * Thread:  confined.
 * Fails:   what goes wrong inside a function's call is remembered in the group (mri_fail).
 * Cost:    none.
 */
#ifndef MR_EXEC_EMITTER_INTERNAL_H
#define MR_EXEC_EMITTER_INTERNAL_H

#include "data/rowcodec.h"
#include "exec/emitter.h"
#include "exec/exec_internal.h"

enum mri_cell_kind {
    MRI_CELL_UNSET,
    MRI_CELL_INT64,
    MRI_CELL_FLOAT64,
    MRI_CELL_INT128,
    MRI_CELL_BYTES
};

struct mri_cell {
    enum mri_cell_kind kind;
    union {
        int64_t int64;
        double float64;
        mr_i128 int128;
        struct {
            size_t at; /* in the emitter's text */
            size_t size_bytes;
        } bytes;
    } u;
};

/* Which columns of the input the texts of an output column point into; views of source i count
 * their buffers from first_buffer[i]. */
#define MRI_TEXT_SOURCES_MAX 4u
struct mri_text_sources {
    uint32_t count;
    uint32_t column[MRI_TEXT_SOURCES_MAX];
    uint32_t first_buffer[MRI_TEXT_SOURCES_MAX];
    uint32_t buffer_count[MRI_TEXT_SOURCES_MAX];
    uint32_t open; /* the source that the rows being written use */
    uint32_t clean_rows; /* so many views of the array were empty before they were lent out */
    bool written;  /* the column was asked for since mr_emit_open */
    bool chosen;   /* `open` was chosen since then */
};

struct mri_emitted { /* a batch in the queue */
    struct mri_emitted *next;
    struct mr_batch *batch;
    uint32_t output;
    bool overflow;
};

struct mr_emitter { /* one output */
    struct mri_emitter_group *group;
    uint32_t output;
    const struct mr_schema *schema;
    /* row form */
    struct mri_cell *cells;
    struct mr_buffer text; /* bytes of cells */
    bool cells_set;
    bool time_set;
    int64_t time_us;
    struct mr_builder *builder;  /* in the quota */
    struct mr_builder *overflow; /* in the overflow quota; made when needed */
    struct mr_builder *leaving;  /* copies overflow batches into the quota */
    bool in_overflow;            /* which of the two is being filled */
    uint32_t overflow_queued;    /* overflow batches of this output in the queue */
    uint32_t *origin_rows;       /* of the batch being built; batch_rows entries */
    /* array form */
    struct mr_batch *array;
    bool array_overflow;
    uint32_t array_capacity;
    uint32_t array_used;
    uint32_t next_capacity;
    uint32_t open_rows; /* between open and close: room given; else 0 */
    bool times_written;
    struct mri_text_sources *sources; /* one per column */
    void *dummy;                      /* where a misused array goes */
    size_t dummy_bytes;
};

struct mri_emitter_group {
    struct mr_emitter_options options;
    struct mr_batch *input; /* borrowed */
    uint32_t row;
    int64_t default_time_us; /* MR_TIME_MIN: none */
    enum mr_status failure; /* first misuse or lack of memory of this call */
    struct mr_error error;
    bool failed; /* mr_emitter_fail was called; why: */
    char story[MR_ERROR_TEXT_BYTES];
    struct mri_emitted *first, *last;
    uint64_t emitted_rows;
    uint32_t leaving_at; /* rows of the first batch that are copied already */
    struct mr_pool *overflow_pool;
    struct mr_quota overflow_quota;
    uint32_t created;
    struct mr_emitter outputs[];
};

enum mr_status mri_fail(struct mr_emitter *emitter, enum mr_status status, const char *text);
enum mr_status mri_misuse(struct mr_emitter *emitter, const char *format, ...) MR_PRINTF(2, 3);
void mri_unfit(struct mr_emitter *emitter, enum mr_status status, const char *format, ...)
    MR_PRINTF(3, 4);
enum mr_status mri_no_memory(struct mr_emitter *emitter);
enum mr_status mri_enqueue(struct mr_emitter *emitter, struct mr_batch *batch,
                           bool overflow) MR_MUST_USE;
struct mr_quota *mri_overflow_quota(struct mr_emitter *emitter); /* NULL: no memory */
bool mri_note_origin(struct mr_emitter *emitter, uint32_t at, uint32_t count) MR_MUST_USE;
void mri_set_origin(struct mr_emitter *emitter, struct mr_batch *batch);
int64_t mri_emitted_hidden(const struct mr_emitter *emitter, enum mr_hidden tag);
enum mr_status mri_builder_publish(struct mr_emitter *emitter);
enum mr_status mri_array_publish(struct mr_emitter *emitter);
size_t mri_array_bytes(const struct mr_emitter *emitter, uint32_t rows);
void mri_array_drop(struct mr_emitter *emitter);
bool mri_is_utf8(const char *data, size_t size_bytes);
void mri_views_empty(struct mr_view *views, uint32_t count); /* makes them empty texts */
/* The first view that is longer than a text may be, has a buffer that is none of 0..buffer_count-1
 * or, if it is inline, bytes other than 0 behind its text; `count` if all are good. */
uint32_t mri_views_check(const struct mr_view *views, uint32_t count, uint32_t buffer_count);

#endif
