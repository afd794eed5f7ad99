/* aggregate_input.h - a batch made ready for aggregation: prepared columns, key hashes, times,
 * slices, and which rows go on.
 *
 * Prepared columns are FLAT or CONST and dense, one element per logical row. Expressions that are
 * plain columns cost nothing where the batch has no selection. Rows that an expression fails for
 * have been reported to the task's policy; they, rows in gaps between windows and late rows are
 * left out of `kept`.
 *
 * Owns:    the batch while it is open, scratch memory in a pool of its own (it never leaves the
 *          operator, so it takes no part in back-pressure), arrays.
 * Thread:  confined.
 * Fails:   MR_E_NOMEM; what the policy for bad rows answers.
 * Cost:    what the expressions cost, and 2-5 ns per row for hashes and slices.
 */
#ifndef MR_EXEC_AGGREGATE_INPUT_H
#define MR_EXEC_AGGREGATE_INPUT_H

#include "core/window.h"
#include "exec/exec_internal.h"

struct mri_input {
    struct mr_operator *op;
    struct mri_rows rows; /* evaluation and failing rows */
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_slicer slicer;
    bool sliced; /* aligned windows */
    const int64_t *group_watermarks; /* by key group of the task; NULL: all have the operator's */

    struct mr_batch *batch;  /* NULL: closed */
    struct mr_batch *target; /* computed columns */
    uint32_t count;          /* logical rows of the batch */
    uint32_t column_count;
    struct mr_column *columns; /* prepared; room for column_count */
    const uint64_t *hashes;
    const int64_t *times;            /* NULL: no event times */
    const int64_t *split_watermarks; /* NULL: none */
    const int64_t *slices;           /* sliced only */
    const uint32_t *kept;            /* rows that go on; NULL: all */
    uint32_t kept_count;
    uint32_t *late; /* rows that do not, because they are late */
    uint32_t late_count;

    uint32_t room; /* rows that the arrays below have room for */
    uint64_t *hash_room;
    int64_t *time_room, *split_room, *slice_room;
    uint32_t *kept_room;
};

/* `column_count`: prepared columns (expressions, or columns of a partial). */
enum mr_status mri_aggregate_input_init(struct mri_input *input, struct mr_operator *op,
                              uint32_t column_count, struct mr_error *err) MR_MUST_USE;
void mri_aggregate_input_fini(struct mri_input *input); /* zeroed: allowed */

/* Takes the batch's reference (on failure too: mri_aggregate_input_close gives it back). Evaluates
 * the plan's expressions. */
enum mr_status mri_aggregate_input_open_rows(struct mri_input *input, struct mr_batch *batch,
                                   struct mr_error *err) MR_MUST_USE;
/* The same for the output of a partial aggregate: columns as they are; slices come with it. */
enum mr_status mri_aggregate_input_open_partials(struct mri_input *input, struct mr_batch *batch,
                                       struct mr_error *err) MR_MUST_USE;
void mri_aggregate_input_close(struct mri_input *input);

/* Leaves out rows in gaps (counted) and rows that are late for all their windows, by the operator's
 * watermark and, if so planned, by their split's. `partials`: rows_column says for how many rows
 * each stands. Late rows are counted and, if `late` is wanted, listed. */
void mri_aggregate_input_judge(struct mri_input *input, int64_t watermark_us,
                     const struct mr_column *partial_rows);

#endif
