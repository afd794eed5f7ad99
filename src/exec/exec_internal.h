/* exec_internal.h - what the operators of this folder share: evaluating with failing rows, telling
 * back-pressure from lack of memory.
 *
 * Owns:    an evaluator its scratch.
 * Thread:  confined to the task.
 * Fails:   per function.
 * Cost:    the story of a failing row costs an evaluation of that row alone: a cold path.
 */
#ifndef MR_EXEC_INTERNAL_H
#define MR_EXEC_INTERNAL_H

#include "base/assert.h"
#include "base/status.h"
#include "exec/operator.h"
#include "expr/expr.h"

/* A batch of up to `wanted_bytes` was refused: can others give memory of the quota back? `held` and
 * what it borrows from (may be NULL) will not come back by waiting. */
bool mri_can_wait(const struct mr_quota *quota, const struct mr_batch *held, size_t wanted_bytes);
/* A call that makes a batch answered NULL after everything half-made was released: is there
 * something to wait for? Then *out_flow is BLOCKED. Otherwise MR_E_NOMEM. `held` is the input that
 * the operator keeps meanwhile (may be NULL): memory that will not come back by waiting.
 * `wanted_bytes` is an upper bound of what the batch would have taken. */
enum mr_status mri_wait_or_fail(const struct mr_operator *op, const struct mr_batch *held,
                                size_t wanted_bytes, enum mr_flow *out_flow,
                                struct mr_error *err) MR_MUST_USE;

/* The rows as user functions get them: dense, all columns FLAT, the event time too. A new reference;
 * NULL: no room in the quota. */
struct mr_batch *mri_batch_plain(struct mr_quota *quota, struct mr_batch *batch) MR_MUST_USE;

/* A hidden column's value for a logical row; its default when it is absent. Not for TRACKING. */
int64_t mri_hidden_value(const struct mr_batch *batch, enum mr_hidden tag, uint32_t row);

/* The scratch of an operator that evaluates: which rows failed, which go on. */
struct mri_rows {
    struct mr_operator *op;
    struct mr_eval *eval;
    struct mr_eval_failures failures; /* .rows is `bits` */
    uint64_t bits[(MR_BATCH_ROWS_MAX + 63) / 64];
    uint32_t *selected; /* room for selected_room rows */
    uint32_t selected_room;
    struct mr_pool *aside_pool; /* made when the first row fails */
    struct mr_quota aside;
};
enum mr_status mri_rows_init(struct mri_rows *rows, struct mr_operator *op,
                             struct mr_error *err) MR_MUST_USE;
void mri_rows_fini(struct mri_rows *rows); /* zeroed allowed */
/* Before each batch: nothing has failed, `selected` has room for row_count rows. */
enum mr_status mri_rows_begin(struct mri_rows *rows, uint32_t row_count,
                              struct mr_error *err) MR_MUST_USE;
bool mri_rows_any_bad(const struct mri_rows *rows, uint32_t row_count);
/* Writes the rows that did not fail to `selected` and returns their number. */
uint32_t mri_rows_good(struct mri_rows *rows, uint32_t row_count);
/* Why `row` fails: the failure of the first of the programs that fails for it, evaluated alone.
 * *out_found false: none does. */
enum mr_status mri_rows_story(struct mri_rows *rows, struct mr_batch *batch, uint32_t row,
                              struct mr_bound *const *programs, uint32_t count,
                              struct mr_error *why, bool *out_found,
                              struct mr_error *err) MR_MUST_USE;
/* Tells the task's bad_row about every marked row, in order. */
enum mr_status mri_rows_report(struct mri_rows *rows, struct mr_batch *batch,
                               struct mr_bound *const *programs, uint32_t count,
                               struct mr_error *err) MR_MUST_USE;

#endif
