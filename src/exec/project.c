/* project.c - makes the columns of its output from expressions over its input.
 *
 * Columns that are passed on as they are share the input's memory. A selection is kept when nothing
 * has to be computed; otherwise the rows are made dense first, because computed columns have one
 * element per logical row. Rows for which an expression fails go to the policy for bad records.
 */
#include "exec/exec_internal.h"

struct project {
    struct mr_operator op;
    struct mri_rows rows;
    struct mr_item item; /* tag 0: none */
    uint32_t computed;   /* expressions that are neither a column nor a constant */
    bool over;
};

static enum mr_status project_put(struct mr_operator *op, const struct mr_item *item,
                                  struct mr_error *err)
{
    (void)err;
    ((struct project *)op)->item = *item;
    return MR_OK;
}

static size_t output_bytes(const struct project *project, uint32_t row_count)
{
    return (size_t)project->computed * ((size_t)row_count * sizeof(struct mr_view) + 128) +
           project->op.plan->expr_count * sizeof(struct mr_column);
}

/* Fills the columns of `out` from those of `source`, which it borrows. */
static enum mr_status compute(struct project *project, struct mr_batch *source,
                              struct mr_batch *out, bool *out_blocked, struct mr_error *err)
{
    const struct mr_plan_op *plan = project->op.plan;

    for (uint32_t i = 0; i < plan->expr_count && !*out_blocked; i++) {
        uint32_t column;

        if (mr_bound_is_column(plan->exprs[i], &column)) {
            out->columns[i] = source->columns[column];
        } else {
            MR_RET(mr_eval_run(project->rows.eval, plan->exprs[i], source, out, &out->columns[i],
                               &project->rows.failures, out_blocked, err));
        }
    }
    return MR_OK;
}

static void follow(struct mr_batch *out, const struct mr_batch *source)
{
    out->row_count = source->row_count;
    out->selection = source->selection;
    memcpy(out->hidden, source->hidden, sizeof out->hidden);
    out->origin = source->origin;
    out->origin_rows = source->origin_rows;
}

/* Leaves out the rows that failed. *out NULL and no status: no memory, or no row is left (*out_good
 * 0). */
static void leave_out(struct project *project, struct mr_batch *whole, struct mr_batch **out,
                      uint32_t *out_good)
{
    *out_good = mri_rows_good(&project->rows, whole->row_count);
    *out = NULL;
    if (*out_good == 0) return;
    *out = mr_batch_select(project->op.task->quota, whole, project->rows.selected, *out_good);
}

/* The projected batch, or NULL when there is no room (*out_blocked) or no row is left. Failing rows
 * are told only when nothing more can block: once. */
static enum mr_status project_source(struct project *project, struct mr_batch *source,
                                     struct mr_batch **out, bool *out_blocked, struct mr_error *err)
{
    const struct mr_plan_op *plan = project->op.plan;
    enum mr_status st;
    uint32_t good = source->row_count;
    struct mr_batch *fewer = NULL;
    struct mr_batch *whole = mr_batch_new(project->op.task->quota, plan->expr_count,
                                          output_bytes(project, source->row_count));

    *out_blocked = whole == NULL;
    if (whole == NULL) return MR_OK;
    if (!mr_batch_borrow(whole, source)) MR_UNREACHABLE(); /* it is the first one */
    follow(whole, source);
    MR_GOTO(mri_rows_begin(&project->rows, source->row_count, err));
    MR_GOTO(compute(project, source, whole, out_blocked, err));
    if (*out_blocked) goto done;
    if (mri_rows_any_bad(&project->rows, source->row_count)) {
        leave_out(project, whole, &fewer, &good);
        *out_blocked = fewer == NULL && good > 0;
        if (*out_blocked) goto done;
        MR_GOTO(mri_rows_report(&project->rows, source, plan->exprs, plan->expr_count, err));
        mr_batch_release(whole);
        whole = fewer;
        fewer = NULL;
    }
    *out = whole;
    whole = NULL;
done:
    mr_batch_release(fewer);
    mr_batch_release(whole);
    return st;
}

static enum mr_status project_batch(struct project *project, struct mr_item *out,
                                    enum mr_flow *out_flow, struct mr_error *err)
{
    struct mr_quota *quota = project->op.task->quota;
    struct mr_batch *input = project->item.batch;
    size_t dense_bytes = 0;
    bool blocked = true;
    struct mr_batch *made = NULL;
    struct mr_batch *source = input;
    enum mr_status st = MR_OK;

    if (project->computed > 0 && input->selection != NULL) {
        dense_bytes = mr_batch_row_bytes(input, 0, input->row_count);
        source = mr_batch_dense(quota, input);
    } else {
        source = mr_batch_ref(input);
    }
    if (source != NULL) st = project_source(project, source, &made, &blocked, err);
    mr_batch_release(source);
    if (st != MR_OK) return st;
    if (blocked) {
        return mri_wait_or_fail(&project->op, input,
                                dense_bytes + output_bytes(project, input->row_count), out_flow,
                                err);
    }
    mr_batch_release(input);
    project->item = (struct mr_item){.batch = NULL};
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .batch = made};
    *out_flow = made != NULL ? MR_FLOW_HAVE_OUTPUT : MR_FLOW_NEED_INPUT;
    return MR_OK;
}

static enum mr_status project_next(struct mr_operator *op, struct mr_item *out,
                                   enum mr_flow *out_flow, struct mr_error *err)
{
    struct project *project = (struct project *)op;

    if (project->item.tag == MR_ITEM_BATCH) return project_batch(project, out, out_flow, err);
    *out_flow = project->over ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
    if (project->item.tag == 0) return MR_OK;
    mr_item_forward(out, &project->item);
    project->over = project->item.tag == MR_ITEM_END;
    project->item = (struct mr_item){.batch = NULL};
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

static void project_close(struct mr_operator *op)
{
    struct project *project = (struct project *)op;

    mr_batch_release(project->item.batch);
    mri_rows_fini(&project->rows);
    mr_free(op->task->heap, project, sizeof *project);
}

static const struct mr_operator_ops project_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "project",
    .put = project_put,
    .next = project_next,
    .close = project_close,
};

enum mr_status mr_project_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                 struct mr_operator **out, struct mr_error *err)
{
    enum mr_status st;
    uint32_t column;
    struct project *project = mr_alloc_zero(task->heap, sizeof *project);

    if (project == NULL) return mr_error_nomem(err, plan->node->id, sizeof *project);
    project->op = (struct mr_operator){.ops = &project_ops, .plan = plan, .task = task};
    for (uint32_t i = 0; i < plan->expr_count; i++) {
        project->computed +=
            !mr_bound_is_column(plan->exprs[i], &column) && !mr_bound_is_constant(plan->exprs[i]);
    }
    st = mri_rows_init(&project->rows, &project->op, err);
    if (st != MR_OK) {
        project_close(&project->op);
        return st;
    }
    *out = &project->op;
    return MR_OK;
}
