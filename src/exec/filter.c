/* filter.c - keeps the rows for which a condition is true.
 *
 * A batch that passes whole is passed on as it is; of the others a selection goes on that shares
 * their memory. Rows for which the condition cannot be computed go to the policy for bad records.
 */
#include "exec/exec_internal.h"

struct filter {
    struct mr_operator op;
    struct mri_rows rows;
    struct mr_item item; /* tag 0: none */
    bool evaluated;      /* the batch's rows are in rows.selected; only memory was missing */
    uint32_t passed;
    bool over;
};

static enum mr_status filter_put(struct mr_operator *op, const struct mr_item *item,
                                 struct mr_error *err)
{
    struct filter *filter = (struct filter *)op;

    (void)err;
    filter->item = *item;
    filter->evaluated = false;
    return MR_OK;
}

static enum mr_status evaluate(struct filter *filter, struct mr_error *err)
{
    struct mr_batch *batch = filter->item.batch;
    struct mr_bound **condition = filter->op.plan->exprs;

    MR_RET(mri_rows_begin(&filter->rows, batch->row_count, err));
    MR_RET(mr_eval_filter(filter->rows.eval, condition[0], batch, filter->rows.selected,
                          &filter->passed, &filter->rows.failures, err));
    if (filter->rows.failures.count > 0) {
        MR_RET(mri_rows_report(&filter->rows, batch, condition, 1, err));
    }
    filter->evaluated = true; /* a failing row is told once, however often memory is missing */
    return MR_OK;
}

static void take_batch(struct filter *filter)
{
    mr_batch_release(filter->item.batch);
    filter->item = (struct mr_item){.batch = NULL};
}

static enum mr_status filter_batch(struct filter *filter, struct mr_item *out,
                                   enum mr_flow *out_flow, struct mr_error *err)
{
    struct mr_batch *batch = filter->item.batch;
    struct mr_batch *fewer;

    if (!filter->evaluated) MR_RET(evaluate(filter, err));
    if (filter->passed == 0) {
        take_batch(filter);
        *out_flow = MR_FLOW_NEED_INPUT;
        return MR_OK;
    }
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    *out = (struct mr_item){.tag = MR_ITEM_BATCH};
    if (filter->passed == batch->row_count) {
        out->batch = batch; /* our reference goes along */
        filter->item = (struct mr_item){.batch = NULL};
        return MR_OK;
    }
    fewer = mr_batch_select(filter->op.task->quota, batch, filter->rows.selected, filter->passed);
    if (fewer == NULL) {
        return mri_wait_or_fail(&filter->op, batch, filter->passed * sizeof(uint32_t), out_flow,
                                err);
    }
    take_batch(filter);
    out->batch = fewer;
    return MR_OK;
}

static enum mr_status filter_next(struct mr_operator *op, struct mr_item *out,
                                  enum mr_flow *out_flow, struct mr_error *err)
{
    struct filter *filter = (struct filter *)op;

    if (filter->item.tag == MR_ITEM_BATCH) return filter_batch(filter, out, out_flow, err);
    *out_flow = filter->over ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
    if (filter->item.tag == 0) return MR_OK;
    mr_item_forward(out, &filter->item);
    filter->over = filter->item.tag == MR_ITEM_END;
    filter->item = (struct mr_item){.batch = NULL};
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

static void filter_close(struct mr_operator *op)
{
    struct filter *filter = (struct filter *)op;

    mr_batch_release(filter->item.batch);
    mri_rows_fini(&filter->rows);
    mr_free(op->task->heap, filter, sizeof *filter);
}

static const struct mr_operator_ops filter_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "filter",
    .put = filter_put,
    .next = filter_next,
    .close = filter_close,
};

enum mr_status mr_filter_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                struct mr_operator **out, struct mr_error *err)
{
    enum mr_status st;
    struct filter *filter = mr_alloc_zero(task->heap, sizeof *filter);

    mr_assert(plan->expr_count == 1);
    if (filter == NULL) return mr_error_nomem(err, plan->node->id, sizeof *filter);
    filter->op = (struct mr_operator){.ops = &filter_ops, .plan = plan, .task = task};
    st = mri_rows_init(&filter->rows, &filter->op, err);
    if (st != MR_OK) {
        filter_close(&filter->op);
        return st;
    }
    *out = &filter->op;
    return MR_OK;
}
