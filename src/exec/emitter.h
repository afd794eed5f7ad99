/* emitter.h - what user functions write through: rows or arrays in, batches out.
 *
 * A function cannot stop in the middle, so an emitter takes everything: batches are made in the
 * task's quota as long as it has room, and beyond that in overflow memory of the emitter's own,
 * from which they are copied into the quota when they leave. Full batches wait in a queue; the
 * owner takes them with mr_emitter_take before it calls the function again. Overflow batches
 * never leave the emitter, so its pool can go with it.
 *
 * Row form: values are kept in cells until mr_emit_row writes them as one row. Array form: the
 * function writes straight into the columns of a batch.
 *
 * The first misuse (a column that does not exist, another type, ...) is remembered and ends the
 * call with MR_E_INVALID, whatever the function itself answers.
 *
 * Owns:    cells, batches being built, the queue, the overflow pool.
 * Thread:  confined.
 * Fails:   MR_E_INVALID: misuse. MR_E_NOMEM: the heap is used up. MR_E_LIMIT: a value that fits no
 *          batch. mr_emitter_judge reports all of them.
 * Cost:    row form: one copy of each value into a cell and one into the batch; array form: none.
 *
 * Invariants: (1) per output, batches leave in the order in which their rows were emitted. (2) Of a
 *  row-form builder and an array batch at most one holds rows. (3) A batch holds rows of one input
 *  batch only (mr_emitter_flush at its end), so that its origin is known. (4) Behind an overflow
 *  batch in the queue, batches of the same output lie in overflow memory too.
 */
#ifndef MR_EXEC_EMITTER_H
#define MR_EXEC_EMITTER_H

#include "data/builder.h"
#include "exec/operator.h"

struct mr_emitter_options {
    const char *operator_id; /* for messages; not owned */
    struct mr_heap *heap;
    struct mr_quota
        *quota; /* of the batches that leave; NULL: only cells, see mr_emitter_cell_to_row */
    uint32_t output_count;
    struct mr_schema *const *schemas; /* one per output; outlive the emitter */
    uint32_t hidden_mask;             /* hidden columns that rows carry */
    uint32_t batch_rows;              /* 1..MR_BATCH_ROWS_MAX */
    bool of_source;     /* messages speak of source operator_id and its partition */
    uint32_t partition;
};

/* *out is the emitter of output 0; mr_emitter_side gives the others. */
enum mr_status mr_emitter_create(const struct mr_emitter_options *options, struct mr_emitter **out,
                                 struct mr_error *err) MR_MUST_USE;
void mr_emitter_destroy(struct mr_emitter *emitter); /* NULL allowed; drops what is inside */

/* Says what the rows emitted from now on come from: row `row` of `input`; MR_EMITTER_NO_ROW: all
 * of it; NULL: nothing (a source). Borrowed until the next call; `input` must be what the function
 * is given. */
#define MR_EMITTER_NO_ROW UINT32_MAX
void mr_emitter_begin(struct mr_emitter *emitter, struct mr_batch *input, uint32_t row);
/* The event time of rows that are emitted without mr_emit_time, instead of that of the row at hand;
 * MR_TIME_MIN: no such time. Until the next call of this or of mr_emitter_begin. */
void mr_emitter_set_time(struct mr_emitter *emitter, int64_t time_us);
/* After each call of a function that answered `answer`: MR_OK, or why it failed. *out_fatal true:
 * misuse and lack of memory (the text names the operator); false: what the function reported, if
 * only by mr_emitter_fail, or a value that does not fit. Texts of sources always name source and
 * partition. Forgets it, and cells that were set without mr_emit_row. */
enum mr_status mr_emitter_judge(struct mr_emitter *emitter, enum mr_status answer, bool *out_fatal,
                                struct mr_error *err) MR_MUST_USE;
/* The input is done: rows that have no full batch yet go to the queue too. */
enum mr_status mr_emitter_flush(struct mr_emitter *emitter, struct mr_error *err) MR_MUST_USE;
uint64_t mr_emitter_rows(const struct mr_emitter *emitter); /* emitted so far, all outputs */
bool mr_emitter_pending(const struct mr_emitter *emitter);  /* the queue is not empty */
/* The next batch of the queue, owned by the caller. BLOCKED: an overflow batch waits for room in
 * the quota. NEED_INPUT: the queue is empty. */
enum mr_status mr_emitter_take(struct mr_emitter *emitter, uint32_t *out_output,
                               struct mr_batch **out, enum mr_flow *out_flow,
                               struct mr_error *err) MR_MUST_USE;

/* For results of user-defined aggregates: the cell of `column` of output 0 as it was set, into a
 * row that `builder` has begun; unset: null. Leaves the cell unset. */
enum mr_build mr_emitter_cell_to_row(struct mr_emitter *emitter, uint32_t column,
                                     struct mr_builder *builder, uint32_t builder_column);

#endif
