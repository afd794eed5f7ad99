/* function.c - runs functions of the user: per row, per batch, or as a filter.
 *
 * A row function is called row by row until an output batch is full; the batch leaves before the
 * next row is processed, so work per call and memory are bounded. A batch function is called once
 * per batch and everything it emitted leaves before it is called again; when it emits many rows per
 * row it is given pieces of the batch, so that this is not much. When the input batch is done, what
 * was emitted leaves too: an output batch never mixes rows of two input batches.
 *
 * A row function that fails sends its row to the policy for bad records (rows that it had emitted
 * already stay); a batch function that fails ends the job, and so does misuse of an emitter.
 */
#include "exec/emitter.h"
#include "exec/exec_internal.h"

#define PIECE_ROWS 512u /* smallest piece: 64 bytes of bits */

struct function {
    struct mr_operator op;
    struct mr_emitter *emitter; /* NULL for filters */
    struct mri_rows rows;       /* filters: the rows kept */
    struct mr_item item;        /* tag 0: none */
    struct mr_batch *given;     /* batch functions: the input as plain arrays */
    uint32_t at;                /* next row */
    uint32_t kept;
    uint32_t piece_rows; /* batch functions: how many rows to give at once */
    bool over;
};

static enum mr_status function_put(struct mr_operator *op, const struct mr_item *item,
                                   struct mr_error *err)
{
    struct function *function = (struct function *)op;

    (void)err;
    function->item = *item;
    function->at = 0;
    function->kept = 0;
    return MR_OK;
}

static void drop_input(struct function *function)
{
    mr_batch_release(function->given);
    function->given = NULL;
    mr_batch_release(function->item.batch);
    function->item = (struct mr_item){.batch = NULL};
}

/* A row that its function could not process. */
static enum mr_status bad_row(struct function *function, uint32_t row, const struct mr_error *why,
                              struct mr_error *err)
{
    struct mr_task_context *task = function->op.task;

    return task->bad_row(task->bad_row_self, &function->op, function->item.batch, row, why, err);
}

/* ---- row functions ---- */

static enum mr_status call_row(struct function *function, uint32_t row, struct mr_error *err)
{
    const struct mr_node *node = function->op.plan->node;
    struct mr_row given = {.batch = function->item.batch, .index = row};
    struct mr_error why;
    bool fatal;
    enum mr_status answer;
    enum mr_status st;

    mr_error_clear(&why);
    mr_emitter_begin(function->emitter, function->item.batch, row);
    answer = node->u.function.row(node->u.function.user, &given, function->emitter);
    st = mr_emitter_judge(function->emitter, answer, &fatal, &why);
    if (st == MR_OK) return MR_OK;
    if (fatal) return mr_error_set(err, st, "%s", why.text);
    return bad_row(function, row, &why, err);
}

static enum mr_status work_rows(struct function *function, struct mr_error *err)
{
    uint32_t rows = function->item.batch->row_count;

    while (function->at < rows && !mr_emitter_pending(function->emitter)) {
        MR_RET(call_row(function, function->at++, err));
    }
    if (function->at < rows) return MR_OK;
    MR_RET(mr_emitter_flush(function->emitter, err));
    drop_input(function);
    return MR_OK;
}

/* ---- batch functions ---- */

static bool is_plain(const struct mr_batch *batch)
{
    const struct mr_column *times = batch->hidden[MR_HIDDEN_EVENT_TIME];

    for (uint32_t c = 0; c < batch->column_count; c++) {
        if (batch->columns[c].encoding != MR_FLAT) return false;
    }
    return times == NULL || times->encoding == MR_FLAT;
}

static bool flatten_time(struct mr_batch *batch, const struct mr_column *times)
{
    struct mr_column *flat;

    if (times == NULL || times->encoding == MR_FLAT) return true;
    flat = mr_batch_memory(batch, sizeof *flat);
    if (flat == NULL || !mr_column_flatten(batch, times, batch->row_count, flat)) return false;
    batch->hidden[MR_HIDDEN_EVENT_TIME] = flat;
    return true;
}

/* A dense batch's rows without encodings; NULL: no room. */
static struct mr_batch *flatten(struct mr_quota *quota, struct mr_batch *dense)
{
    struct mr_batch *flat = mr_batch_new(quota, dense->column_count, 0);

    if (flat == NULL) return NULL;
    if (!mr_batch_borrow(flat, dense)) MR_UNREACHABLE(); /* it is the first one */
    flat->row_count = dense->row_count;
    memcpy(flat->hidden, dense->hidden, sizeof flat->hidden);
    flat->origin = dense->origin;
    flat->origin_rows = dense->origin_rows;
    for (uint32_t c = 0; c < dense->column_count; c++) {
        flat->columns[c] = dense->columns[c];
        if (dense->columns[c].encoding == MR_FLAT) continue;
        if (!mr_column_flatten(flat, &dense->columns[c], dense->row_count, &flat->columns[c])) {
            mr_batch_release(flat);
            return NULL;
        }
    }
    if (flatten_time(flat, dense->hidden[MR_HIDDEN_EVENT_TIME])) return flat;
    mr_batch_release(flat);
    return NULL;
}

struct mr_batch *mri_batch_plain(struct mr_quota *quota, struct mr_batch *batch)
{
    struct mr_batch *dense = mr_batch_dense(quota, batch);
    struct mr_batch *flat;

    if (dense == NULL || is_plain(dense)) return dense;
    flat = flatten(quota, dense);
    mr_batch_release(dense);
    return flat;
}

/* Rows from `first` on, a multiple of PIECE_ROWS: arrays stay aligned, even those of bits. */
static bool slice_column(struct mr_batch *batch, struct mr_column *column, uint32_t first)
{
    enum mr_layout layout = mr_type_layout((enum mr_type)column->type);
    const char *values = column->values;
    struct mr_column *children;

    if (column->validity != NULL) column->validity += first / 64;
    if (layout == MR_LAYOUT_BIT) column->values = values + first / 8;
    if (layout != MR_LAYOUT_BIT && values != NULL) {
        column->values = values + (size_t)first * mr_layout_bytes(layout);
    }
    if (layout != MR_LAYOUT_STRUCT) return true; /* the offsets of lists are those of all rows */
    children = mr_batch_memory(batch, column->child_count * sizeof *children);
    if (children == NULL) return false;
    for (uint32_t i = 0; i < column->child_count; i++) {
        children[i] = column->children[i];
        if (!slice_column(batch, &children[i], first)) return false;
    }
    column->children = children;
    return true;
}

static bool slice_times(struct mr_batch *piece, const struct mr_column *times, uint32_t first)
{
    struct mr_column *sliced;

    if (times == NULL) return true;
    sliced = mr_batch_memory(piece, sizeof *sliced);
    if (sliced == NULL) return false;
    *sliced = *times;
    piece->hidden[MR_HIDDEN_EVENT_TIME] = sliced;
    return slice_column(piece, sliced, first);
}

/* Rows [first, first + count) of a plain batch, without a copy. Of the hidden columns it has the
 * event time, of the origin nothing: what is emitted for a whole batch has no place. NULL: no
 * room. */
static struct mr_batch *slice(struct mr_quota *quota, struct mr_batch *whole, uint32_t first,
                              uint32_t count)
{
    struct mr_batch *piece;
    bool fits;

    if (first == 0 && count == whole->row_count) return mr_batch_ref(whole);
    piece = mr_batch_new(quota, whole->column_count, 0);
    if (piece == NULL) return NULL;
    if (!mr_batch_borrow(piece, whole)) MR_UNREACHABLE(); /* it is the first one */
    piece->row_count = count;
    fits = slice_times(piece, whole->hidden[MR_HIDDEN_EVENT_TIME], first);
    for (uint32_t c = 0; c < whole->column_count && fits; c++) {
        piece->columns[c] = whole->columns[c];
        fits = slice_column(piece, &piece->columns[c], first);
    }
    if (fits) return piece;
    mr_batch_release(piece);
    return NULL;
}

static enum mr_status call_batch(struct function *function, struct mr_batch *piece,
                                 struct mr_error *err)
{
    const struct mr_node *node = function->op.plan->node;
    bool fatal;
    enum mr_status answer;
    struct mr_error why;
    enum mr_status st;

    mr_error_clear(&why);
    mr_emitter_begin(function->emitter, piece, MR_EMITTER_NO_ROW);
    answer = node->u.function.batch(node->u.function.user, piece, function->emitter);
    st = mr_emitter_judge(function->emitter, answer, &fatal, &why);
    if (st == MR_OK) return mr_emitter_flush(function->emitter, err);
    if (fatal) return mr_error_set(err, st, "%s", why.text); /* names the operator already */
    return mr_error_set(err, st, "operator '%s': %s", node->id, why.text);
}

/* So many rows at once that about two output batches come of them. Decided by counts alone. */
static void choose_piece(struct function *function, uint32_t given, uint64_t emitted)
{
    uint64_t rows = 2 * (uint64_t)function->op.task->batch_rows * given / MR_MAX(emitted, 1u);

    function->piece_rows = MR_BATCH_ROWS_MAX;
    if (rows < MR_BATCH_ROWS_MAX) {
        function->piece_rows = MR_MAX((uint32_t)rows / PIECE_ROWS, 1u) * PIECE_ROWS;
    }
}

static enum mr_status work_batch(struct function *function, enum mr_flow *out_flow,
                                 struct mr_error *err)
{
    struct mr_quota *quota = function->op.task->quota;
    struct mr_batch *input = function->item.batch;
    uint32_t count = MR_MIN(function->piece_rows, input->row_count - function->at);
    uint64_t before = mr_emitter_rows(function->emitter);
    struct mr_batch *piece = NULL;
    enum mr_status st;

    if (function->given == NULL) function->given = mri_batch_plain(quota, input);
    if (function->given != NULL) piece = slice(quota, function->given, function->at, count);
    if (piece == NULL) {
        size_t wanted = mr_batch_row_bytes(input, 0, input->row_count) +
                        (size_t)input->column_count * input->row_count * sizeof(struct mr_view);
        const struct mr_batch *held = function->given != NULL ? function->given : input;
        return mri_wait_or_fail(&function->op, held, 2 * wanted, out_flow, err);
    }
    st = call_batch(function, piece, err);
    mr_batch_release(piece);
    if (st != MR_OK) return st;
    choose_piece(function, count, mr_emitter_rows(function->emitter) - before);
    function->at += count;
    if (function->at == input->row_count) drop_input(function);
    return MR_OK;
}

/* ---- filters ---- */

static enum mr_status call_filter(struct function *function, uint32_t row, struct mr_error *err)
{
    const struct mr_node *node = function->op.plan->node;
    struct mr_row given = {.batch = function->item.batch, .index = row};
    bool keep = false;
    struct mr_error why;
    enum mr_status answer = node->u.function.keep(node->u.function.user, &given, &keep);

    if (answer != MR_OK) {
        (void)mr_error_set(&why, answer, "the function failed: %s", mr_status_text(answer));
        return bad_row(function, row, &why, err);
    }
    function->rows.selected[function->kept] = row;
    function->kept += keep;
    return MR_OK;
}

static enum mr_status work_filter(struct function *function, struct mr_item *out,
                                  enum mr_flow *out_flow, struct mr_error *err)
{
    struct mr_batch *batch = function->item.batch;
    uint32_t rows = batch->row_count;
    struct mr_batch *fewer = NULL;

    if (function->at == 0) MR_RET(mri_rows_begin(&function->rows, rows, err));
    while (function->at < rows) MR_RET(call_filter(function, function->at++, err));
    *out_flow = MR_FLOW_NEED_INPUT;
    if (function->kept == rows) {
        fewer = mr_batch_ref(batch);
    } else if (function->kept > 0) {
        fewer = mr_batch_select(function->op.task->quota, batch, function->rows.selected,
                                function->kept);
        if (fewer == NULL) {
            return mri_wait_or_fail(&function->op, batch, function->kept * sizeof(uint32_t),
                                    out_flow, err);
        }
    }
    drop_input(function);
    if (fewer == NULL) return MR_OK;
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .batch = fewer};
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

/* ---- items ---- */

static enum mr_status take(struct function *function, struct mr_item *out, enum mr_flow *out_flow,
                           struct mr_error *err)
{
    struct mr_batch *batch;
    uint32_t output = 0;

    MR_RET(mr_emitter_take(function->emitter, &output, &batch, out_flow, err));
    if (*out_flow != MR_FLOW_HAVE_OUTPUT) return MR_OK;
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .input = output, .batch = batch};
    return MR_OK;
}

static enum mr_status work(struct function *function, struct mr_item *out, enum mr_flow *out_flow,
                           struct mr_error *err)
{
    *out_flow = MR_FLOW_NEED_INPUT;
    if (function->item.batch->row_count == 0) {
        drop_input(function);
        return MR_OK;
    }
    switch (function->op.plan->node->u.function.kind) {
    case MR_FUNCTION_ROW: MR_RET(work_rows(function, err)); break;
    case MR_FUNCTION_BATCH: MR_RET(work_batch(function, out_flow, err)); break;
    case MR_FUNCTION_FILTER: return work_filter(function, out, out_flow, err);
    }
    return *out_flow == MR_FLOW_BLOCKED ? MR_OK : take(function, out, out_flow, err);
}

static enum mr_status function_next(struct mr_operator *op, struct mr_item *out,
                                    enum mr_flow *out_flow, struct mr_error *err)
{
    struct function *function = (struct function *)op;

    *out_flow = MR_FLOW_NEED_INPUT;
    if (function->emitter != NULL && mr_emitter_pending(function->emitter)) {
        return take(function, out, out_flow, err);
    }
    if (function->item.tag == MR_ITEM_BATCH) return work(function, out, out_flow, err);
    if (function->over) *out_flow = MR_FLOW_DONE;
    if (function->item.tag == 0) return MR_OK;
    mr_item_forward(out, &function->item);
    function->over = function->item.tag == MR_ITEM_END;
    function->item = (struct mr_item){.batch = NULL};
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

/* ---- life ---- */

static void function_close(struct mr_operator *op)
{
    struct function *function = (struct function *)op;

    mr_emitter_destroy(function->emitter);
    drop_input(function);
    mri_rows_fini(&function->rows);
    mr_free(op->task->heap, function, sizeof *function);
}

static const struct mr_operator_ops function_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "function",
    .put = function_put,
    .next = function_next,
    .close = function_close,
};

static enum mr_status make_emitter(struct function *function, struct mr_error *err)
{
    const struct mr_plan_op *plan = function->op.plan;
    const struct mr_task_context *task = function->op.task;
    struct mr_emitter_options options = {
        .operator_id = plan->node->id,
        .heap = task->heap,
        .quota = task->quota,
        .output_count = plan->output_count,
        .schemas = plan->outputs,
        .hidden_mask = plan->output_hidden,
        .batch_rows = task->batch_rows,
    };

    return mr_emitter_create(&options, &function->emitter, err);
}

enum mr_status mr_function_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                  struct mr_operator **out, struct mr_error *err)
{
    enum mr_status st;
    struct function *function = mr_alloc_zero(task->heap, sizeof *function);

    if (function == NULL) return mr_error_nomem(err, plan->node->id, sizeof *function);
    function->op = (struct mr_operator){.ops = &function_ops, .plan = plan, .task = task};
    function->piece_rows = MR_BATCH_ROWS_MAX;
    if (plan->node->u.function.kind == MR_FUNCTION_FILTER) {
        st = mri_rows_init(&function->rows, &function->op, err);
    } else {
        st = make_emitter(function, err);
    }
    if (st != MR_OK) {
        function_close(&function->op);
        return st;
    }
    *out = &function->op;
    return MR_OK;
}
