/* merge.c - passes its inputs on: the head of a union or of a gathered stage.
 *
 * The runtime merges the channels of a stage (watermarks by the three-state rule, one END when all
 * have ended) before it puts anything, so there is nothing left to decide here.
 */
#include "exec/exec_internal.h"

struct merge {
    struct mr_operator op;
    struct mr_item item; /* tag 0: none */
    bool over;
};

static enum mr_status merge_put(struct mr_operator *op, const struct mr_item *item,
                                struct mr_error *err)
{
    (void)err;
    ((struct merge *)op)->item = *item;
    return MR_OK;
}

static enum mr_status merge_next(struct mr_operator *op, struct mr_item *out,
                                 enum mr_flow *out_flow, struct mr_error *err)
{
    struct merge *merge = (struct merge *)op;

    (void)err;
    *out_flow = merge->over ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
    if (merge->item.tag == 0) return MR_OK;
    mr_item_forward(out, &merge->item);
    merge->over = merge->item.tag == MR_ITEM_END;
    merge->item = (struct mr_item){.batch = NULL};
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

static void merge_close(struct mr_operator *op)
{
    struct merge *merge = (struct merge *)op;

    mr_batch_release(merge->item.batch);
    mr_free(op->task->heap, merge, sizeof *merge);
}

static const struct mr_operator_ops merge_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "merge",
    .put = merge_put,
    .next = merge_next,
    .close = merge_close,
};

enum mr_status mr_merge_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                               struct mr_operator **out, struct mr_error *err)
{
    struct merge *merge = mr_alloc_zero(task->heap, sizeof *merge);

    if (merge == NULL) return mr_error_nomem(err, plan->node->id, sizeof *merge);
    merge->op = (struct mr_operator){.ops = &merge_ops, .plan = plan, .task = task};
    *out = &merge->op;
    return MR_OK;
}
