/* event_time.c - gives rows their event time, and the stream its watermark.
 *
 * The time is an expression over the row. The watermark is the least over the splits that this
 * instance reads and those that nobody has opened yet (core/watermark.h, struct mr_split_clock); it
 * is said after each batch or split item that moves it, in streaming mode. In batch mode END says
 * it all. Split items are passed on, so that a second operator of this kind in the same chain gets
 * them too; watermarks that come in are replaced.
 *
 * Rows without a time (null, out of range, not computable) go to the policy for bad records.
 *
 * State, part of a seal: the watermark and the greatest time seen per split. A split may be read by
 * another instance after a restore: what is known of it waits in `resumed` until it is opened.
 */
#include "base/fault.h"
#include "core/watermark.h"
#include "data/rowcodec.h"
#include "exec/exec_internal.h"

#define NO_PTIME  INT64_MIN
#define QUEUE_MAX 4u

struct resumed {
    uint32_t split;
    int64_t max_seen_us;
};

struct event_time {
    struct mr_operator op;
    struct mri_rows rows;
    struct mr_split_clock clock;
    bool clock_known;       /* a row or a split item has been seen: the clock may be asked */
    struct mr_batch *input; /* a batch that waits to be worked on */
    struct mr_item queue[QUEUE_MAX];
    uint32_t queue_count, queue_at;
    int64_t sent_us; /* last watermark said */
    bool idle;       /* IDLE was the last word */
    bool output_known; /* the clock's output is that of a restored instance */
    struct mr_ptime first_tick; /* NO_PTIME: none yet */
    struct resumed *resumed;
    uint32_t resumed_count, resumed_room;
    bool over;
};

static void enqueue(struct event_time *et, const struct mr_item *item)
{
    mr_assert(et->queue_count < QUEUE_MAX);
    et->queue[et->queue_count] = *item;
    et->queue[et->queue_count++].input = 0;
}

static void say_watermark(struct event_time *et, int64_t time_us)
{
    enqueue(et, &(struct mr_item){.tag = MR_ITEM_WATERMARK, .time_us = time_us});
    et->sent_us = time_us;
    et->idle = false;
}

/* Says the watermark if it moved. In batch mode nothing is late and END says it all. */
static void advance(struct event_time *et)
{
    int64_t now;

    if (!et->op.task->streaming || !et->clock_known) return;
    now = mr_split_clock_now(&et->clock);
    if (now > et->sent_us) say_watermark(et, now);
}

/* ---- splits ---- */

static bool is_open(const struct event_time *et, uint32_t split)
{
    for (uint32_t i = 0; i < et->clock.open_count; i++) {
        if (et->clock.open[i].split == split) return true;
    }
    return false;
}

static void open_split(struct event_time *et, uint32_t split, int64_t lower_bound_us)
{
    et->clock_known = true;
    mr_split_clock_open(&et->clock, split, lower_bound_us);
    for (uint32_t i = 0; i < et->resumed_count; i++) {
        if (et->resumed[i].split != split) continue;
        mr_split_clock_rows(&et->clock, split, &et->resumed[i].max_seen_us, 1, NULL);
        et->resumed[i] = et->resumed[--et->resumed_count];
        return;
    }
}

/* The open split that a batch counts for. Sources that announce none have theirs opened here; rows
 * from behind an exchange all count for one. */
static uint32_t split_of(struct event_time *et, const struct mr_batch *batch)
{
    uint32_t split = batch->origin.split; /* 0 where rows come from nowhere in particular */

    if (is_open(et, split)) return split;
    if (et->clock.open_count == MR_OPEN_SPLITS_MAX) return et->clock.open[0].split;
    open_split(et, split, MR_TIME_MIN);
    return split;
}

/* ---- one batch ---- */

struct timed { /* a batch on its way to have times */
    struct mr_batch *dense;
    struct mr_batch *out;     /* all rows, over `dense` */
    struct mr_batch *fewer;   /* without the bad ones */
    struct mr_column column;  /* what the expression gave; FLAT */
    const int64_t *times;     /* its values: one per row of `out` */
    int64_t *split_watermark; /* the same; NULL: not wanted */
    uint32_t good;
};

static void timed_release(struct timed *timed)
{
    mr_batch_release(timed->fewer);
    mr_batch_release(timed->out);
    mr_batch_release(timed->dense);
}

static size_t wanted_bytes(const struct event_time *et)
{
    size_t rows_bytes = (size_t)et->input->row_count * sizeof(int64_t);
    size_t dense =
        et->input->selection == NULL ? 0 : mr_batch_row_bytes(et->input, 0, et->input->row_count);

    return dense + 4 * rows_bytes + et->input->column_count * sizeof(struct mr_column);
}

static bool set_hidden(struct mr_batch *batch, enum mr_hidden tag, const int64_t *values)
{
    struct mr_column *column = mr_batch_memory(batch, sizeof *column);

    if (column == NULL) return false;
    *column = (struct mr_column){
        .type = (uint8_t)mr_hidden_type(tag), .encoding = MR_FLAT, .values = values};
    batch->hidden[tag] = column;
    return true;
}

static bool in_range(int64_t time_us)
{
    return time_us > MR_TIME_MIN && time_us < MR_TIME_MAX;
}

/* Marks rows whose time is null or out of range; a plain loop finds out whether there are any. */
static void mark_bad(struct event_time *et, const struct mr_column *column, uint32_t rows)
{
    const int64_t *times = column->values;
    bool all = column->validity == NULL;

    if (all) {
        for (uint32_t i = 0; i < rows; i++) all &= in_range(times[i]);
    }
    for (uint32_t i = 0; i < rows && !all; i++) {
        if (!mr_column_valid(column, i) || !in_range(times[i])) mr_bit_set(et->rows.bits, i);
    }
}

/* A batch with the columns of the input, and the times as an array. *out_blocked: no room. */
static enum mr_status evaluate(struct event_time *et, struct timed *timed, bool *out_blocked,
                               struct mr_error *err)
{
    struct mr_quota *quota = et->op.task->quota;
    uint32_t rows = et->input->row_count;
    struct mr_column *column = &timed->column;
    struct mr_batch *dense = timed->dense = mr_batch_dense(quota, et->input);
    struct mr_batch *out;

    *out_blocked = true;
    if (dense == NULL) return MR_OK;
    out = timed->out = mr_batch_new(quota, dense->column_count, 0);
    if (out == NULL) return MR_OK;
    if (!mr_batch_borrow(out, dense)) MR_UNREACHABLE(); /* it is the first one */
    out->row_count = rows;
    memcpy(out->columns, dense->columns, dense->column_count * sizeof *out->columns);
    memcpy(out->hidden, dense->hidden, sizeof out->hidden);
    out->origin = dense->origin;
    out->origin_rows = dense->origin_rows;
    *out_blocked = false;
    MR_RET(mr_eval_run(et->rows.eval, et->op.plan->exprs[0], dense, out, column, &et->rows.failures,
                       out_blocked, err));
    if (*out_blocked) return MR_OK;
    *out_blocked = true;
    if (column->encoding != MR_FLAT && !mr_column_flatten(out, column, rows, column)) return MR_OK;
    timed->times = column->values;
    mark_bad(et, column, rows);
    *out_blocked = !set_hidden(out, MR_HIDDEN_EVENT_TIME, timed->times);
    return MR_OK;
}

/* Everything else that needs memory: after it nothing can block any more. */
static bool prepare(struct event_time *et, struct timed *timed)
{
    uint32_t rows = timed->out->row_count;

    timed->good = rows;
    if (mri_rows_any_bad(&et->rows, rows)) timed->good = mri_rows_good(&et->rows, rows);
    if (et->op.plan->late_by_split) {
        timed->split_watermark = mr_batch_values(timed->out, MR_LAYOUT_I64, rows);
        if (timed->split_watermark == NULL) return false;
        if (!set_hidden(timed->out, MR_HIDDEN_SPLIT_WATERMARK, timed->split_watermark))
            return false;
    }
    if (timed->good == rows || timed->good == 0) return true;
    timed->fewer = mr_batch_select(et->op.task->quota, timed->out, et->rows.selected, timed->good);
    return timed->fewer != NULL;
}

/* What is wrong with the time of one row. */
static enum mr_status explain(struct event_time *et, struct timed *timed, uint32_t row,
                              struct mr_error *why, struct mr_error *err)
{
    bool found;
    int64_t time = timed->times[row];
    struct mr_text expression;

    MR_RET(mri_rows_story(&et->rows, timed->dense, row, et->op.plan->exprs, 1, why, &found, err));
    if (found) return MR_OK;
    mr_text_init(&expression, et->op.task->heap, MR_ERROR_TEXT_BYTES / 2);
    mr_bound_print(et->op.plan->exprs[0], &expression);
    if (!mr_column_valid(&timed->column, row)) {
        (void)mr_error_set(why, MR_E_RECORD, "the event time %s is null", mr_text_get(&expression));
    } else {
        (void)mr_error_set(why, MR_E_RECORD,
                           "the event time %s is out of range: %lld microseconds since 1970",
                           mr_text_get(&expression), (long long)time);
    }
    mr_text_fini(&expression);
    return MR_OK;
}

static enum mr_status report(struct event_time *et, struct timed *timed, struct mr_error *err)
{
    struct mr_task_context *task = et->op.task;
    size_t rows = timed->out->row_count;

    for (size_t i = mr_bits_next(et->rows.bits, rows, 0); i < rows;
         i = mr_bits_next(et->rows.bits, rows, i + 1)) {
        struct mr_error why;

        mr_error_clear(&why);
        MR_RET(explain(et, timed, (uint32_t)i, &why, err));
        MR_RET(task->bad_row(task->bad_row_self, &et->op, timed->dense, (uint32_t)i, &why, err));
    }
    return MR_OK;
}

/* Walks the clock over the good rows, run by run. */
static void step_clock(struct event_time *et, struct timed *timed)
{
    uint32_t rows = timed->out->row_count;
    uint32_t split = split_of(et, timed->out);
    uint32_t at = 0;

    while (at < rows) {
        uint32_t bad = (uint32_t)mr_bits_next(et->rows.bits, rows, at);
        int64_t *watermarks = timed->split_watermark;

        mr_split_clock_rows(&et->clock, split, timed->times + at, bad - at,
                            watermarks == NULL ? NULL : watermarks + at);
        if (bad < rows && watermarks != NULL) watermarks[bad] = MR_TIME_MIN;
        at = bad + 1;
    }
}

static void hand_on(struct event_time *et, struct timed *timed)
{
    bool all = timed->good == timed->out->row_count;
    struct mr_batch *batch = mr_batch_ref(all ? timed->out : timed->fewer);

    if (et->idle) say_watermark(et, et->sent_us); /* back: first the word, then the rows */
    enqueue(et, &(struct mr_item){.tag = MR_ITEM_BATCH, .batch = batch});
    advance(et);
}

static enum mr_status work(struct event_time *et, enum mr_flow *out_flow, struct mr_error *err)
{
    struct timed timed = {.dense = NULL};
    bool blocked = false;
    enum mr_status st;

    MR_GOTO(mri_rows_begin(&et->rows, et->input->row_count, err));
    MR_GOTO(evaluate(et, &timed, &blocked, err));
    if (!blocked) blocked = !prepare(et, &timed);
    if (blocked) {
        timed_release(&timed);
        return mri_wait_or_fail(&et->op, et->input, wanted_bytes(et), out_flow, err);
    }
    if (timed.good < timed.out->row_count) MR_GOTO(report(et, &timed, err));
    if (timed.good > 0) {
        step_clock(et, &timed);
        hand_on(et, &timed);
    }
    mr_batch_release(et->input);
    et->input = NULL;
done:
    timed_release(&timed);
    return st;
}

/* ---- items ---- */

/* Without any split (rows from behind an exchange that have not come yet) the input as a whole is
 * silent or not. */
static bool silent(struct event_time *et, struct mr_ptime now, int64_t idle_us)
{
    if (et->clock_known) return mr_split_clock_idle(&et->clock);
    if (et->first_tick.us == NO_PTIME) et->first_tick = now;
    return now.us - et->first_tick.us >= idle_us;
}

/* Silence is judged by ticks: the processing time of rows is that of the next tick. */
static void on_tick(struct event_time *et, const struct mr_item *item)
{
    int64_t idle_us = et->op.plan->node->u.event_time.idle_us;
    struct mr_ptime now = {item->time_us};

    if (et->op.task->streaming && idle_us > 0) {
        mr_split_clock_tick(&et->clock, now, idle_us);
        if (!et->idle) advance(et);
        if (!et->idle && silent(et, now, idle_us)) {
            et->idle = true;
            enqueue(et, &(struct mr_item){.tag = MR_ITEM_IDLE});
        }
    }
    enqueue(et, item);
}

static void on_split_item(struct event_time *et, const struct mr_item *item)
{
    if (item->tag == MR_ITEM_SPLITS_PENDING) {
        et->clock_known = true;
        mr_split_clock_pending(&et->clock, item->time_us);
    } else if (item->tag == MR_ITEM_SPLIT_OPEN) {
        if (!is_open(et, item->split)) open_split(et, item->split, item->time_us);
    } else if (is_open(et, item->split)) {
        mr_split_clock_close(&et->clock, item->split);
    }
    enqueue(et, item);
    /* Opening alone moves nothing: what else is pending is said right after it. */
    if (item->tag != MR_ITEM_SPLIT_OPEN) advance(et);
}

static enum mr_status event_time_put(struct mr_operator *op, const struct mr_item *item,
                                     struct mr_error *err)
{
    struct event_time *et = (struct event_time *)op;

    (void)err;
    mr_assert(et->input == NULL && et->queue_at == et->queue_count);
    et->queue_at = et->queue_count = 0;
    switch (item->tag) {
    case MR_ITEM_BATCH: et->input = item->batch; break;
    case MR_ITEM_WATERMARK: break; /* times are assigned anew here, so are watermarks */
    case MR_ITEM_IDLE:
        if (et->op.task->streaming && !et->idle) enqueue(et, item);
        et->idle = et->op.task->streaming;
        break;
    case MR_ITEM_TICK: on_tick(et, item); break;
    case MR_ITEM_SPLITS_PENDING:
    case MR_ITEM_SPLIT_OPEN:
    case MR_ITEM_SPLIT_CLOSE: on_split_item(et, item); break;
    case MR_ITEM_BARRIER:
    case MR_ITEM_END: enqueue(et, item); break;
    }
    return MR_OK;
}

static enum mr_status event_time_next(struct mr_operator *op, struct mr_item *out,
                                      enum mr_flow *out_flow, struct mr_error *err)
{
    struct event_time *et = (struct event_time *)op;

    *out_flow = et->over ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
    if (et->input != NULL) MR_RET(work(et, out_flow, err));
    if (et->queue_at == et->queue_count) return MR_OK;
    *out = et->queue[et->queue_at++];
    et->over = out->tag == MR_ITEM_END;
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

/* ---- seal and restore ---- */

static bool put_split(struct mr_buffer *out, uint32_t split, int64_t max_seen_us)
{
    return mr_buffer_put_u32(out, split) && mr_buffer_put_u64(out, (uint64_t)max_seen_us);
}

static bool put_state(struct event_time *et, struct mr_buffer *out)
{
    uint32_t count = et->clock.open_count + et->resumed_count;

    if (!mr_buffer_put_u64(out, (uint64_t)et->clock.output_us)) return false;
    if (!mr_buffer_put_u32(out, count)) return false;
    for (uint32_t i = 0; i < et->clock.open_count; i++) {
        const struct mr_split_clock_entry *open = &et->clock.open[i];

        if (!put_split(out, open->split, open->max_seen_us)) return false;
    }
    for (uint32_t i = 0; i < et->resumed_count; i++) {
        if (!put_split(out, et->resumed[i].split, et->resumed[i].max_seen_us)) return false;
    }
    return true;
}

static const char state_name[] = "splits";

/* One value per instance: it is small, so the whole of it each time. */
static enum mr_status event_time_seal(struct mr_operator *op, bool full, mr_entry_fn yield,
                                      void *self, struct mr_error *err)
{
    struct event_time *et = (struct event_time *)op;
    struct mr_entry entry = {.kind = MR_ENTRY_VALUE, .state_name = state_name};
    char instance[4];
    struct mr_buffer value;
    enum mr_status st;

    (void)full;
    mr_assert(et->input == NULL && et->queue_at == et->queue_count);
    for (uint32_t i = 0; i < 4; i++) instance[i] = (char)(op->task->instance >> (8 * i));
    mr_buffer_init(&value, op->task->heap);
    if (put_state(et, &value)) {
        entry.key = (struct mr_bytes){instance, sizeof instance};
        entry.value = (struct mr_bytes){value.data, value.size_bytes};
        st = yield(self, &entry, err);
    } else {
        st = mr_error_nomem(err, op->plan->node->id, value.size_bytes);
    }
    mr_buffer_fini(&value);
    return st;
}

static enum mr_status resume_split(struct event_time *et, uint32_t split, int64_t max_seen_us,
                                   struct mr_error *err)
{
    struct mr_heap *heap = et->op.task->heap;
    size_t old_bytes = et->resumed_room * sizeof *et->resumed;

    for (uint32_t i = 0; i < et->resumed_count; i++) {
        if (et->resumed[i].split != split) continue;
        et->resumed[i].max_seen_us = MR_MAX(et->resumed[i].max_seen_us, max_seen_us);
        return MR_OK;
    }
    if (et->resumed_count == et->resumed_room) {
        uint32_t room = et->resumed_room == 0 ? 16 : 2 * et->resumed_room;
        void *fresh = mr_realloc(heap, et->resumed, old_bytes, room * sizeof *et->resumed);

        if (fresh == NULL) return mr_error_nomem(err, et->op.plan->node->id, old_bytes);
        et->resumed = fresh;
        et->resumed_room = room;
    }
    et->resumed[et->resumed_count++] = (struct resumed){split, max_seen_us};
    return MR_OK;
}

/* Any instance may get the values of all: the watermark goes on from the least of them. Receivers begin
 * anew, so it is said once more (sent_us stays MIN). */
static enum mr_status event_time_restore(struct mr_operator *op, const struct mr_entry *entry,
                                         struct mr_error *err)
{
    struct event_time *et = (struct event_time *)op;
    struct mr_cursor in = {entry->value.data, entry->value.data + entry->value.size_bytes};
    uint64_t output = 0;
    uint32_t count = 0;
    bool fits = entry->kind == MR_ENTRY_VALUE && strcmp(entry->state_name, state_name) == 0;

    fits = fits && mr_cursor_u64(&in, &output) && mr_cursor_u32(&in, &count);
    for (uint32_t i = 0; fits && i < count; i++) {
        uint32_t split;
        uint64_t max_seen;

        fits = mr_cursor_u32(&in, &split) && mr_cursor_u64(&in, &max_seen);
        if (MR_PLANT("museum-24")) continue;
        if (fits) MR_RET(resume_split(et, split, (int64_t)max_seen, err));
    }
    if (!fits || in.at != in.end) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "operator '%s': the stored state '%s' is not what was written",
                            op->plan->node->id, entry->state_name);
    }
    if (!et->output_known || (int64_t)output < et->clock.output_us) {
        et->clock.output_us = (int64_t)output;
    }
    et->output_known = true;
    return MR_OK;
}

static void event_time_close(struct mr_operator *op)
{
    struct event_time *et = (struct event_time *)op;

    for (uint32_t i = et->queue_at; i < et->queue_count; i++) {
        mr_batch_release(et->queue[i].batch);
    }
    mr_batch_release(et->input);
    mri_rows_fini(&et->rows);
    mr_free(op->task->heap, et->resumed, et->resumed_room * sizeof *et->resumed);
    mr_free(op->task->heap, et, sizeof *et);
}

static const struct mr_operator_ops event_time_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "event time",
    .put = event_time_put,
    .next = event_time_next,
    .seal = event_time_seal,
    .restore = event_time_restore,
    .close = event_time_close,
};

enum mr_status mr_event_time_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                    struct mr_operator **out, struct mr_error *err)
{
    enum mr_status st;
    struct event_time *et = mr_alloc_zero(task->heap, sizeof *et);

    mr_assert(plan->expr_count == 1);
    if (et == NULL) return mr_error_nomem(err, plan->node->id, sizeof *et);
    et->op = (struct mr_operator){.ops = &event_time_ops, .plan = plan, .task = task};
    mr_split_clock_init(&et->clock, plan->node->u.event_time.delay_us);
    et->sent_us = MR_TIME_MIN;
    et->first_tick.us = NO_PTIME;
    st = mri_rows_init(&et->rows, &et->op, err);
    if (st != MR_OK) {
        event_time_close(&et->op);
        return st;
    }
    *out = &et->op;
    return MR_OK;
}
