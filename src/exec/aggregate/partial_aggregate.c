/* partial_aggregate.c - rows to partial accumulators per key and slice, in front of the exchange.
 *
 * Rows of a batch go into a local table that fits the cache. It is written out as columns when it
 * is full, at the end, and in streaming mode before any control item goes on and when the task is
 * idle: nothing is held across a watermark or barrier, so there is no state to seal.
 *
 * Pre-aggregation pays when keys repeat. That is decided by counts: when more than half of the rows
 * that went into a full table made an entry of their own, the table appends without looking (rows
 * pass through), and tries again after a while.
 *
 * Lateness is judged here only by the row's own split (late=by-split); windows are tumbling then,
 * so a row is late or not. Otherwise the final aggregate judges whole partials.
 */
#include "exec/aggregate/aggregate_input.h"
#include "exec/aggregate/local_table.h"

/* Entries and index together: beyond this, misses cost more than merging twice. */
#ifdef MR_TEST_SMALL
#define TABLE_BYTES ((size_t)1024)
#define PERIOD_ROWS 16u
#define PASS_ROWS 64u
#else
#define TABLE_BYTES ((size_t)8 * 1024 * 1024)
#define PERIOD_ROWS (64u * 1024u)
#define PASS_ROWS (1024u * 1024u)
#endif
#define WRITE_ROWS_MAX 4096u
#define UNWRITTEN_ROWS_MAX (UINT64_C(1) << 31) /* counts per entry have 32 bits */

struct partial {
    struct mr_operator op;
    struct mri_accs accs;
    struct mri_local local;
    struct mri_input input;
    uint32_t table_limit, pass_limit; /* entries, by mode */

    struct mr_item item;  /* in work; tag 0: none */
    bool late_waits;      /* rows of input.late have not been put out */
    uint32_t at;          /* next of the rows that go on */
    uint32_t *entries;    /* room for as many rows as the input has */
    char **slots;
    uint32_t room;

    bool writing;
    uint32_t written;      /* entries that are out */
    uint32_t write_rows;   /* per batch; halved when the quota is small */
    uint32_t *list;        /* entries of the batch being made; WRITE_ROWS_MAX */
    char **list_slots;
    uint32_t again_count;  /* list[0..) has entries with rests of decimal sums */

    uint64_t unwritten_rows;
    uint32_t period_rows;  /* since the last look at whether it pays */
    uint32_t period_made;  /* entries that they made */
    uint32_t pass_rows;    /* to pass through before the next try */
    bool over;
};

/* ---- rows in ---- */

static enum mr_status make_room(struct partial *p, struct mr_error *err)
{
    struct mr_heap *heap = p->op.task->heap;
    uint32_t wanted = p->input.kept_count;

    if (wanted <= p->room) return MR_OK;
    mr_free(heap, p->entries, p->room * sizeof *p->entries);
    mr_free(heap, p->slots, p->room * sizeof *p->slots);
    p->room = wanted;
    p->entries = mr_alloc(heap, wanted * sizeof *p->entries);
    p->slots = mr_alloc(heap, wanted * sizeof *p->slots);
    if (p->entries != NULL && p->slots != NULL) return MR_OK;
    return mr_error_nomem(err, p->op.plan->node->id, wanted * sizeof *p->slots);
}

static enum mr_status refused(void *self, uint32_t element, const struct mr_error *why,
                              struct mr_error *err)
{
    struct partial *p = self;

    return p->op.task->bad_row(p->op.task->bad_row_self, &p->op, p->input.batch, element, why,
                               err);
}

static void count_rows(struct partial *p, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        mri_local_head(&p->local, p->entries[i])->rows += p->slots[i] != p->accs.trash;
    }
    p->unwritten_rows += end - first;
    p->period_rows += end - first;
}

static void start_writing(struct partial *p)
{
    p->writing = p->local.count > 0;
    p->written = 0;
    p->again_count = 0;
}

/* Rows that pass through are cut to batches; else the table fills. */
static enum mr_status take_rows(struct partial *p, struct mr_error *err)
{
    struct mri_input *in = &p->input;
    struct mri_local_rows rows = {.keys = in->columns,
                                  .hashes = in->hashes,
                                  .slices = in->slices,
                                  .rows = in->kept,
                                  .count = in->kept_count};
    struct mri_feed feed = {.columns = in->columns,
                            .column_rows = in->count,
                            .times = in->times,
                            .refused = refused,
                            .refused_self = p};
    uint32_t first = p->at;
    uint32_t before = p->local.count;
    uint32_t end;

    MR_RET(mri_local_resolve(&p->local, &rows, first, p->entries, &end, err));
    for (uint32_t i = first; i < end; i++) p->slots[i] = mri_local_slot(&p->local, p->entries[i]);
    feed.slots = p->slots + first;
    feed.count = end - first;
    /* Entry i is row first + i: that needs a list only when the batch was cut. */
    if (in->kept != NULL) {
        feed.rows = in->kept + first;
    } else if (first > 0) {
        for (uint32_t i = first; i < end; i++) in->kept_room[i] = i;
        feed.rows = in->kept_room + first;
    }
    MR_RET(mri_accs_update(&p->accs, &feed, err));
    count_rows(p, first, end);
    p->period_made += p->local.count - before;
    p->at = end;
    return MR_OK;
}

static bool choose_flush(const struct partial *p)
{
    const struct mr_port *port = p->op.task->port;

    if (port == NULL || port->choose.pick == NULL) return false;
    return port->choose.pick(port->choose.self, MR_CHOOSE_PARTIAL, 2, 0) == 1;
}

static void end_batch(struct partial *p)
{
    mri_aggregate_input_close(&p->input);
    p->item = (struct mr_item){.batch = NULL};
    if (p->unwritten_rows >= UNWRITTEN_ROWS_MAX || (p->local.count > 0 && choose_flush(p))) {
        start_writing(p);
    }
}

static enum mr_status open_batch(struct partial *p, struct mr_error *err)
{
    struct mr_batch *batch = p->item.batch;

    p->item.batch = NULL; /* the input's now */
    MR_RET(mri_aggregate_input_open_rows(&p->input, batch, err));
    mri_aggregate_input_judge(&p->input, MR_TIME_MIN, NULL); /* gaps; lateness by split */
    p->late_waits = p->input.late_count > 0 && p->op.plan->output_count > 1;
    p->at = 0;
    return make_room(p, err);
}

/* ---- batches out ---- */

static void set_mode(struct partial *p, uint32_t pass_rows)
{
    p->pass_rows = pass_rows;
    p->local.append = pass_rows > 0;
    p->local.limit = p->local.append ? p->pass_limit : p->table_limit;
    p->period_rows = 0;
    p->period_made = 0;
}

/* The table is empty: a chance to change the mode. A table that is never full pays in any case, so
 * only full ones, or many small ones together, are judged. */
static void end_writing(struct partial *p)
{
    bool full = mri_local_full(&p->local);
    uint64_t rows = MR_MIN(p->unwritten_rows, (uint64_t)p->pass_rows);

    mri_local_clear(&p->local);
    p->writing = false;
    p->unwritten_rows = 0;
    if (p->local.append) {
        p->pass_rows -= (uint32_t)rows;
        if (p->pass_rows == 0) set_mode(p, 0);
    } else if (full || p->period_rows >= PERIOD_ROWS) {
        bool pays = p->period_made <= p->period_rows / 2 || p->op.plan->key_count == 0;

        set_mode(p, pays ? 0 : PASS_ROWS);
    }
}

/* The next entries to write: rests first. 0: all are out. */
static uint32_t fill_list(struct partial *p)
{
    uint32_t count = p->again_count;

    for (; p->written < p->local.count && count < p->write_rows; p->written++) {
        const struct mri_local_header *head = mri_local_head(&p->local, p->written);

        if (head->rows == 0) continue; /* all its rows were refused */
        p->list[count++] = p->written;
    }
    for (uint32_t i = 0; i < count; i++) p->list_slots[i] = mri_local_slot(&p->local, p->list[i]);
    return count;
}

static bool write_rows_column(struct partial *p, uint32_t count, struct mr_batch *batch)
{
    struct mr_column *column = &batch->columns[p->op.plan->rows_column];
    int64_t *values = mr_batch_values(batch, MR_LAYOUT_I64, count);

    if (values == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        values[i] = mri_local_head(&p->local, p->list[i])->rows;
    }
    *column = (struct mr_column){.type = MR_INT64, .values = values};
    return true;
}

static bool write_batch(struct partial *p, uint32_t count, struct mr_batch *batch)
{
    const struct mr_plan_op *plan = p->op.plan;
    struct mr_column *hidden = mr_batch_memory(batch, 2 * sizeof *hidden);

    if (hidden == NULL) return false;
    if (!mri_local_write_keys(&p->local, p->list, count, batch, &hidden[0], &hidden[1])) {
        return false;
    }
    if (!mri_accs_write_partial(&p->accs, p->list_slots, count, batch)) return false;
    if (plan->rows_column != MR_COLUMN_NONE && !write_rows_column(p, count, batch)) return false;
    batch->row_count = count;
    if (plan->key_count > 0) batch->hidden[MR_HIDDEN_KEY_HASH] = &hidden[0];
    if (p->local.sliced) batch->hidden[MR_HIDDEN_WINDOW_START] = &hidden[1];
    return true;
}

/* What did not fit 128 bits of a decimal sum stays for another row. */
static void keep_rests(struct partial *p, uint32_t count)
{
    p->again_count = 0;
    if (!p->accs.has_decimal_sum) return;
    for (uint32_t i = 0; i < count; i++) {
        if (!mri_accs_carry(&p->accs, p->list_slots[i])) continue;
        mri_accs_release(&p->accs, p->list_slots[i]);
        mri_accs_keep_sums(&p->accs, p->list_slots[i]);
        mri_local_head(&p->local, p->list[i])->rows = 0;
        p->list[p->again_count++] = p->list[i];
    }
}

static size_t bytes_of_rows(const struct partial *p, uint32_t count)
{
    /* Slots are about as wide as their columns; every array is padded to 64 bytes. */
    return (size_t)count * (p->local.entry_bytes + 16) +
           64 * ((size_t)p->op.plan->outputs[0]->column_count + 4);
}

static enum mr_status write_some(struct partial *p, struct mr_item *out, enum mr_flow *out_flow,
                                 struct mr_error *err)
{
    struct mr_quota *quota = p->op.task->quota;
    uint32_t written = p->written;
    uint32_t again = p->again_count;
    uint32_t count = fill_list(p);
    struct mr_batch *batch;

    *out_flow = MR_FLOW_NEED_INPUT;
    if (count == 0) {
        end_writing(p);
        return MR_OK;
    }
    batch = mr_batch_new(quota, p->op.plan->outputs[0]->column_count, bytes_of_rows(p, count));
    if (batch != NULL && write_batch(p, count, batch)) {
        keep_rests(p, count);
        *out = (struct mr_item){.tag = MR_ITEM_BATCH, .batch = batch};
        *out_flow = MR_FLOW_HAVE_OUTPUT;
        return MR_OK;
    }
    mr_batch_release(batch);
    p->written = written;
    p->again_count = again;
    MR_RET(mri_wait_or_fail(&p->op, p->input.batch, MR_BLOCK_BYTES_MAX, out_flow, err));
    return MR_OK;
}

/* A batch that the whole quota cannot hold is made smaller. */
static enum mr_status write_or_shrink(struct partial *p, struct mr_item *out,
                                      enum mr_flow *out_flow, struct mr_error *err)
{
    for (;;) {
        struct mr_error why;
        enum mr_status st = write_some(p, out, out_flow, &why);

        if (st != MR_E_NOMEM || p->write_rows == 1 || p->again_count >= p->write_rows / 2) {
            if (st != MR_OK && err != NULL) *err = why;
            return st;
        }
        p->write_rows /= 2;
    }
}

static enum mr_status write_late(struct partial *p, struct mr_item *out, enum mr_flow *out_flow,
                                 struct mr_error *err)
{
    struct mr_batch *late = mr_batch_select(p->op.task->quota, p->input.batch, p->input.late,
                                            p->input.late_count);

    if (late == NULL) {
        return mri_wait_or_fail(&p->op, p->input.batch, p->input.late_count * sizeof(uint32_t),
                           out_flow, err);
    }
    p->late_waits = false;
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .input = 1, .batch = late};
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

/* ---- items ---- */

static bool flushes(const struct partial *p, enum mr_item_tag tag)
{
    switch (tag) {
    case MR_ITEM_END: return true;
    case MR_ITEM_WATERMARK:
    case MR_ITEM_IDLE:
    case MR_ITEM_BARRIER:
    case MR_ITEM_TICK: return p->op.task->streaming;
    case MR_ITEM_BATCH:
    case MR_ITEM_SPLITS_PENDING:
    case MR_ITEM_SPLIT_OPEN:
    case MR_ITEM_SPLIT_CLOSE: return false;
    }
    MR_UNREACHABLE();
}

static enum mr_status partial_put(struct mr_operator *op, const struct mr_item *item,
                                  struct mr_error *err)
{
    struct partial *p = (struct partial *)op;

    (void)err;
    p->item = *item;
    return MR_OK;
}

static enum mr_status work(struct partial *p, struct mr_error *err)
{
    if (p->input.batch == NULL) {
        MR_RET(open_batch(p, err));
        if (p->late_waits) return MR_OK;
    }
    if (p->at < p->input.kept_count) MR_RET(take_rows(p, err));
    if (p->at == p->input.kept_count) {
        end_batch(p);
    } else {
        start_writing(p); /* the table is full */
        mr_assert(p->writing);
    }
    if (p->local.append && mri_local_full(&p->local)) start_writing(p);
    return MR_OK;
}

static void forward(struct partial *p, struct mr_item *out, enum mr_flow *out_flow)
{
    mr_item_forward(out, &p->item);
    p->over = p->item.tag == MR_ITEM_END;
    p->item = (struct mr_item){.batch = NULL};
    *out_flow = MR_FLOW_HAVE_OUTPUT;
}

static enum mr_status partial_next(struct mr_operator *op, struct mr_item *out,
                                   enum mr_flow *out_flow, struct mr_error *err)
{
    struct partial *p = (struct partial *)op;

    for (;;) {
        if (p->late_waits) return write_late(p, out, out_flow, err);
        if (p->writing) {
            MR_RET(write_or_shrink(p, out, out_flow, err));
            if (*out_flow != MR_FLOW_NEED_INPUT) return MR_OK;
        } else if (p->item.tag == MR_ITEM_BATCH) {
            MR_RET(work(p, err));
        } else if (p->item.tag != 0 && p->local.count > 0 && flushes(p, p->item.tag)) {
            start_writing(p);
        } else {
            break;
        }
    }
    *out_flow = p->over ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
    if (p->item.tag != 0) forward(p, out, out_flow);
    return MR_OK;
}

/* ---- life ---- */

static void partial_close(struct mr_operator *op)
{
    struct partial *p = (struct partial *)op;
    struct mr_heap *heap = op->task->heap;

    mr_batch_release(p->item.batch);
    mri_aggregate_input_fini(&p->input);
    mri_local_fini(&p->local);
    mri_accs_fini(&p->accs);
    mr_free(heap, p->entries, p->room * sizeof *p->entries);
    mr_free(heap, p->slots, p->room * sizeof *p->slots);
    mr_free(heap, p->list, WRITE_ROWS_MAX * sizeof *p->list);
    mr_free(heap, p->list_slots, WRITE_ROWS_MAX * sizeof *p->list_slots);
    mr_free(heap, p, sizeof *p);
}

static const struct mr_operator_ops partial_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "aggregate-partial",
    .put = partial_put,
    .next = partial_next,
    .close = partial_close,
};

static enum mr_status partial_init(struct partial *p, struct mr_error *err)
{
    const struct mr_plan_op *plan = p->op.plan;
    struct mr_heap *heap = p->op.task->heap;

    mr_assert(!(plan->late_by_split && plan->window.kind == MR_WINDOW_HOPPING));
    mr_assert(plan->window.kind != MR_WINDOW_SESSION);
    MR_RET(mri_accs_init(&p->accs, heap, plan, err));
    MR_RET(mri_aggregate_input_init(&p->input, &p->op, plan->expr_count, err));
    MR_RET(mri_local_init(&p->local, heap, plan, &p->accs, p->input.sliced, TABLE_BYTES, err));
    p->list = mr_alloc(heap, WRITE_ROWS_MAX * sizeof *p->list);
    p->list_slots = mr_alloc(heap, WRITE_ROWS_MAX * sizeof *p->list_slots);
    if (p->list == NULL || p->list_slots == NULL) {
        return mr_error_nomem(err, plan->node->id, WRITE_ROWS_MAX * sizeof *p->list_slots);
    }
    p->write_rows = MR_MIN(MR_MAX(p->op.task->batch_rows, 1u), WRITE_ROWS_MAX);
    p->table_limit = p->local.limit;
    p->pass_limit = MR_MIN(p->table_limit, p->write_rows);
    return MR_OK;
}

enum mr_status mr_partial_aggregate_create(struct mr_task_context *task,
                                           const struct mr_plan_op *plan, struct mr_operator **out,
                                           struct mr_error *err)
{
    struct partial *p = mr_alloc_zero(task->heap, sizeof *p);
    enum mr_status st;

    if (p == NULL) return mr_error_nomem(err, plan->node->id, sizeof *p);
    p->op = (struct mr_operator){.ops = &partial_ops, .plan = plan, .task = task};
    st = partial_init(p, err);
    if (st != MR_OK) {
        partial_close(&p->op);
        return st;
    }
    *out = &p->op;
    return MR_OK;
}
