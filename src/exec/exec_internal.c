/* exec_internal.c - see exec_internal.h. */
#include "exec/exec_internal.h"

#define ASIDE_BYTES ((size_t)4 * 1024 * 1024) /* one row and its intermediate results */

/* What a batch and those it borrows from hold of a quota. */
static size_t held_bytes(const struct mr_batch *batch, const struct mr_quota *quota)
{
    size_t bytes;

    if (batch == NULL) return 0;
    bytes = batch->quota == quota ? mr_batch_own_bytes(batch) : 0;
    for (uint32_t i = 0; i < batch->base_count; i++) bytes += held_bytes(batch->bases[i], quota);
    return bytes;
}

bool mri_can_wait(const struct mr_quota *quota, const struct mr_batch *held, size_t wanted_bytes)
{
    size_t used = atomic_load_explicit(&quota->used_bytes, memory_order_relaxed);
    size_t room = quota->limit_bytes - MR_MIN(used, quota->limit_bytes);

    /* Blocks are powers of two: twice the bytes and a header have certainly room. */
    return used > held_bytes(held, quota) && room / 2 < wanted_bytes + MR_BLOCK_BYTES_MIN;
}

enum mr_status mri_wait_or_fail(const struct mr_operator *op, const struct mr_batch *held,
                                size_t wanted_bytes, enum mr_flow *out_flow, struct mr_error *err)
{
    if (mri_can_wait(op->task->quota, held, wanted_bytes)) {
        *out_flow = MR_FLOW_BLOCKED;
        return MR_OK;
    }
    return mr_error_set(err, MR_E_NOMEM,
                        "operator '%s' (%s): no memory for a batch of about %zu bytes (room for "
                        "its batches: %zu bytes); raise --memory or lower --workers",
                        op->plan->node->id, op->ops->name, wanted_bytes,
                        op->task->quota->limit_bytes);
}

int64_t mri_hidden_value(const struct mr_batch *batch, enum mr_hidden tag, uint32_t row)
{
    const struct mr_column *column = batch->hidden[tag];
    uint32_t element = mr_batch_at(batch, row);

    mr_assert(tag != MR_HIDDEN_TRACKING);
    if (column == NULL || !mr_column_valid(column, element)) return mr_hidden_default(tag);
    return mr_column_int64(column, element);
}

enum mr_status mri_rows_init(struct mri_rows *rows, struct mr_operator *op, struct mr_error *err)
{
    rows->op = op;
    rows->failures.rows = rows->bits;
    return mr_eval_create(op->task->heap, &rows->eval, err);
}

void mri_rows_fini(struct mri_rows *rows)
{
    if (rows->op == NULL) return;
    if (rows->eval != NULL) mr_eval_destroy(rows->eval);
    if (rows->aside_pool != NULL) mr_pool_destroy(rows->aside_pool);
    mr_free(rows->op->task->heap, rows->selected, rows->selected_room * sizeof *rows->selected);
}

enum mr_status mri_rows_begin(struct mri_rows *rows, uint32_t row_count, struct mr_error *err)
{
    struct mr_heap *heap = rows->op->task->heap;
    size_t old_bytes = rows->selected_room * sizeof *rows->selected;
    size_t new_bytes = row_count * sizeof *rows->selected;

    mr_assert(row_count <= MR_BATCH_ROWS_MAX);
    memset(rows->bits, 0, mr_bits_words(row_count) * sizeof *rows->bits);
    rows->failures.count = 0;
    rows->failures.first_row = 0;
    if (row_count <= rows->selected_room) return MR_OK;
    uint32_t *fresh = mr_alloc(heap, new_bytes);
    if (fresh == NULL) return mr_error_nomem(err, rows->op->plan->node->id, new_bytes);
    mr_free(heap, rows->selected, old_bytes);
    rows->selected = fresh;
    rows->selected_room = row_count;
    return MR_OK;
}

bool mri_rows_any_bad(const struct mri_rows *rows, uint32_t row_count)
{
    return mr_bits_next(rows->bits, row_count, 0) < row_count;
}

uint32_t mri_rows_good(struct mri_rows *rows, uint32_t row_count)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < row_count; i++) {
        rows->selected[count] = i;
        count += !mr_bit_get(rows->bits, i);
    }
    return count;
}

/* A pool of its own, so that a message does not depend on what is left of the channel's quota. */
static enum mr_status aside_open(struct mri_rows *rows, struct mr_error *err)
{
    if (rows->aside_pool != NULL) return MR_OK;
    MR_RET(mr_pool_create(rows->op->task->heap, ASIDE_BYTES, &rows->aside_pool, err));
    mr_quota_init(&rows->aside, rows->aside_pool, "failing rows", ASIDE_BYTES);
    return MR_OK;
}

static enum mr_status evaluate_alone(struct mri_rows *rows, const struct mr_bound *program,
                                     struct mr_batch *one, struct mr_error *why, bool *out_found,
                                     struct mr_error *err)
{
    struct mr_eval_failures failures = {.count = 0};
    uint64_t bit = 0;
    struct mr_column ignored;
    bool blocked = false;
    enum mr_status st;
    struct mr_batch *target = mr_batch_new(&rows->aside, 1, 0);

    if (target == NULL) return mr_error_nomem(err, rows->op->plan->node->id, MR_BLOCK_BYTES_MIN);
    failures.rows = &bit;
    MR_GOTO(mr_eval_run(rows->eval, program, one, target, &ignored, &failures, &blocked, err));
    if (blocked) st = mr_error_nomem(err, rows->op->plan->node->id, ASIDE_BYTES);
    *out_found = st == MR_OK && failures.count > 0;
    if (*out_found) *why = failures.error;
done:
    mr_batch_release(target);
    return st;
}

enum mr_status mri_rows_story(struct mri_rows *rows, struct mr_batch *batch, uint32_t row,
                              struct mr_bound *const *programs, uint32_t count,
                              struct mr_error *why, bool *out_found, struct mr_error *err)
{
    enum mr_status st = MR_OK;
    struct mr_batch *one;

    *out_found = false;
    MR_RET(aside_open(rows, err));
    one = mr_batch_select(&rows->aside, batch, &row, 1);
    if (one == NULL) return mr_error_nomem(err, rows->op->plan->node->id, MR_BLOCK_BYTES_MIN);
    for (uint32_t i = 0; i < count && st == MR_OK && !*out_found; i++) {
        st = evaluate_alone(rows, programs[i], one, why, out_found, err);
    }
    mr_batch_release(one);
    return st;
}

enum mr_status mri_rows_report(struct mri_rows *rows, struct mr_batch *batch,
                               struct mr_bound *const *programs, uint32_t count,
                               struct mr_error *err)
{
    struct mr_task_context *task = rows->op->task;
    size_t end = batch->row_count;

    for (size_t i = mr_bits_next(rows->bits, end, 0); i < end;
         i = mr_bits_next(rows->bits, end, i + 1)) {
        struct mr_error why;
        bool found;

        mr_error_clear(&why);
        MR_RET(mri_rows_story(rows, batch, (uint32_t)i, programs, count, &why, &found, err));
        mr_assert(found); /* the same row and program: it fails again */
        MR_RET(task->bad_row(task->bad_row_self, rows->op, batch, (uint32_t)i, &why, err));
    }
    return MR_OK;
}
