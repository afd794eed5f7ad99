/* process.c - runs process functions: rows of a key with its state, and its timers.
 *
 * Rows come from an exchange by key with the key columns in front; the function is given a view
 * with its own columns. After each row (batch functions: each batch) the timers that are due fire:
 * event-time timers up to the watermark, processing-time timers up to the clock. A watermark fires
 * what it releases before it is passed on, a slice of timers at a time, and no further than the
 * least output time that a timer holds. While one holds, idleness is kept back too.
 *
 * At the end of the input all event-time timers fire, then those in processing time.
 *
 * A row function that fails sends its row to the policy for bad records; what it changed and
 * emitted stays. A failing batch function or timer, misuse and lack of memory end the job.
 *
 * State, part of a seal: that of user_state.h, and the watermark by key group.
 */
#include "base/assert.h"
#include "exec/process_internal.h"

#define FIRE_MAX           4096u /* timers in one go */
#define RECLAIM_SLOTS      64u   /* looked at per batch, beside one per row */
#define RECLAIM_SLOTS_IDLE 1024u /* at a tick */

struct process {
    struct mr_operator op;
    struct mr_process_context context;
    struct mr_emitter *emitter;
    struct mr_item item;    /* tag 0: none */
    struct mr_batch *given; /* the batch as plain arrays */
    struct mr_batch *view;  /* its columns as the function knows them */
    uint32_t at;            /* next row */
    uint64_t *hashes;
    uint32_t hash_room;
    int64_t sent_us; /* last watermark said */
    bool unflushed;  /* rows may wait in the emitter */
    bool idle;       /* IDLE is kept back */
    bool over;       /* END has come out */
    uint64_t reported_keys;
};

static const struct mr_node *node_of(const struct process *process)
{
    return process->op.plan->node;
}

static struct mr_timers *timers_of(const struct process *process)
{
    return mr_user_states_timers(process->context.states);
}

static int64_t hold_of(const struct process *process)
{
    return mr_timers_hold(timers_of(process));
}

/* State that has expired goes, so many slots at a time. */
static void reclaim(struct process *process, uint32_t slots)
{
    struct mr_process_context *context = &process->context;
    uint64_t keys;

    mr_user_states_at_none(context->states);
    mr_user_states_set_event_time(context->states, MR_TIME_MIN, context->watermarks.now_us);
    mr_user_states_reclaim(context->states, slots);
    keys = mr_user_states_key_count(context->states);
    /* Several operators of a task share the gauge: each adds its difference. */
    mr_counter_add(process->op.task->counters, MR_COUNTER_STATE_KEYS,
                   keys - process->reported_keys);
    process->reported_keys = keys;
}

static enum mr_status process_put(struct mr_operator *op, const struct mr_item *item,
                                  struct mr_error *err)
{
    struct process *process = (struct process *)op;

    (void)err;
    process->item = *item;
    process->at = 0;
    mr_user_states_new_call(process->context.states);
    if (item->tag == MR_ITEM_BATCH || item->tag == MR_ITEM_WATERMARK) process->idle = false;
    if (item->tag == MR_ITEM_WATERMARK) {
        mri_watermarks_advance(&process->context.watermarks, item->time_us);
    }
    if (item->tag == MR_ITEM_TICK) reclaim(process, RECLAIM_SLOTS_IDLE);
    if (item->tag == MR_ITEM_END) {
        mri_watermarks_advance(&process->context.watermarks, MR_TIME_MAX);
        process->context.over = true;
        process->idle = false;
    }
    return MR_OK;
}

static void drop_input(struct process *process)
{
    mr_batch_release(process->view);
    mr_batch_release(process->given);
    mr_batch_release(process->item.batch);
    process->view = process->given = NULL;
    process->item = (struct mr_item){.batch = NULL};
}

/* ---- calls ---- */

/* What came of a call: fatal, or the function's (or its row's) own failure, in *why. */
static enum mr_status judge(struct process *process, enum mr_status answer, struct mr_error *why,
                            bool *out_fatal, struct mr_error *err)
{
    enum mr_status wrong = mr_user_states_failure(process->context.states, why);
    struct mr_error emitted;
    bool fatal;
    enum mr_status st = mr_emitter_judge(process->emitter, answer, &fatal, &emitted);

    *out_fatal = false;
    if (wrong == MR_OK) {
        if (st == MR_OK) return MR_OK;
        *out_fatal = fatal;
        if (fatal) return mr_error_set(err, st, "%s", emitted.text); /* names the operator */
        return mr_error_set(why, st, "%s", emitted.text);
    }
    *out_fatal = wrong == MR_E_INVALID || wrong == MR_E_NOMEM;
    if (!*out_fatal) return wrong;
    return mr_error_set(err, wrong, "operator '%s': %s", node_of(process)->id, why->text);
}

static enum mr_status bad_row(struct process *process, uint32_t row, const struct mr_error *why,
                              struct mr_error *err)
{
    struct mr_task_context *task = process->op.task;

    return task->bad_row(task->bad_row_self, &process->op, process->item.batch, row, why, err);
}

static enum mr_status call_row(struct process *process, uint32_t row, struct mr_error *err)
{
    struct mr_process_context *context = &process->context;
    const struct mr_node *node = node_of(process);
    bool broadcast = process->item.input == 1;
    struct mr_row given = {.batch = process->view, .index = row};
    struct mr_error why;
    bool fatal;
    enum mr_status answer;
    enum mr_status st;

    if (broadcast) {
        mr_user_states_at_none(context->states);
    } else {
        mr_user_states_at_row(context->states, row);
    }
    mr_user_states_set_event_time(context->states, mr_batch_event_time(process->view, row),
                                  context->watermarks.now_us);
    mri_context_begin(context);
    mr_emitter_begin(process->emitter, process->view, row);
    if (broadcast) {
        mr_user_states_allow_broadcast(context->states, true);
        answer = node->u.process.broadcast(node->u.process.user, context, &given, process->emitter);
        mr_user_states_allow_broadcast(context->states, false);
    } else {
        answer = node->u.process.row(node->u.process.user, context, &given, process->emitter);
    }
    st = judge(process, answer, &why, &fatal, err);
    if (st == MR_OK || fatal) return st;
    return bad_row(process, row, &why, err);
}

static enum mr_status call_batch(struct process *process, struct mr_error *err)
{
    struct mr_process_context *context = &process->context;
    const struct mr_node *node = node_of(process);
    struct mr_error why;
    bool fatal;
    enum mr_status answer;
    enum mr_status st;

    mr_user_states_at_none(context->states);
    mri_context_begin(context);
    mr_emitter_begin(process->emitter, process->view, MR_EMITTER_NO_ROW);
    context->rows = process->view;
    answer = node->u.process.batch(node->u.process.user, context, process->view, process->emitter);
    context->rows = NULL;
    mr_user_prepared_over(context->states);
    st = judge(process, answer, &why, &fatal, err);
    if (st == MR_OK || fatal) return st;
    return mr_error_set(err, st, "operator '%s': %s", node->id, why.text);
}

/* ---- timers ---- */

/* The time of rows that a timer emits, unless they have one of their own. */
static int64_t output_time(const struct process *process, const struct mr_timer *timer)
{
    if (timer->hold_us != MR_TIME_MAX) return timer->hold_us;
    if (timer->domain == MR_EVENT_TIME) return timer->time_us;
    if (process->context.watermarks.now_us >= MR_TIME_MAX) return MR_TIME_MIN;
    return process->context.watermarks.now_us; /* MR_TIME_MIN: none */
}

static enum mr_status call_timer(struct process *process, const struct mr_timer *timer,
                                 struct mr_error *err)
{
    struct mr_process_context *context = &process->context;
    const struct mr_node *node = node_of(process);
    const struct mr_fired_timer fired = {
        .clock = timer->domain == MR_EVENT_TIME ? MR_TIMER_EVENT_TIME : MR_TIMER_PROCESSING_TIME,
        .time_us = timer->time_us,
        .name_space = timer->ns,
        .tag = timer->tag};
    int64_t output = output_time(process, timer);
    int64_t now = context->watermarks.now_us;
    struct mr_error why;
    bool fatal;
    enum mr_status st;

    MR_RET(mr_user_states_at_timer(context->states, timer, err));
    if (node->u.process.timer == NULL) { /* restored; this program sets none */
        return mr_error_set(err, MR_E_INVALID,
                            "operator '%s': a timer of the snapshot is due, but there is no "
                            "on_timer any more",
                            node->id);
    }
    if (fired.clock == MR_TIMER_EVENT_TIME) now = MR_MIN(now, fired.time_us);
    mr_user_states_set_event_time(context->states, output, now);
    mri_context_begin(context);
    mr_emitter_begin(process->emitter, NULL, MR_EMITTER_NO_ROW);
    mr_emitter_set_time(process->emitter, output);
    st = node->u.process.timer(node->u.process.user, context, &fired, process->emitter);
    st = judge(process, st, &why, &fatal, err);
    if (st == MR_OK || fatal) return st;
    return mr_error_set(err, st, "operator '%s': the %s-time timer of %lld (tag %u): %s", node->id,
                        fired.clock == MR_TIMER_EVENT_TIME ? "event" : "processing",
                        (long long)fired.time_us, fired.tag, why.text);
}

/* Up to when timers of the machine's clock are due. */
static int64_t clock_now(struct process *process)
{
    if (process->context.over) return MR_TIME_MAX - 1;
    return mr_user_states_now(process->context.states);
}

static bool is_due(struct process *process, enum mr_time_domain domain)
{
    int64_t next = mr_timers_next(timers_of(process), domain);

    if (next >= MR_TIME_MAX) return false;
    return next <=
           (domain == MR_EVENT_TIME ? process->context.watermarks.now_us : clock_now(process));
}

static bool any_due(struct process *process)
{
    return is_due(process, MR_EVENT_TIME) || is_due(process, MR_PROCESSING_TIME);
}

static enum mr_status fire(struct process *process, struct mr_error *err)
{
    for (uint32_t i = 0; i < FIRE_MAX && !mr_emitter_pending(process->emitter); i++) {
        enum mr_time_domain domain =
            is_due(process, MR_EVENT_TIME) ? MR_EVENT_TIME : MR_PROCESSING_TIME;
        int64_t now =
            domain == MR_EVENT_TIME ? process->context.watermarks.now_us : clock_now(process);
        struct mr_timer timer;

        if (!mr_timers_take(timers_of(process), domain, now, &timer)) return MR_OK;
        process->unflushed = true;
        MR_RET(call_timer(process, &timer, err));
    }
    return MR_OK;
}

/* ---- batches ---- */

static bool hash_room(struct process *process, uint32_t count)
{
    struct mr_heap *heap = process->op.task->heap;

    if (count <= process->hash_room) return true;
    mr_free(heap, process->hashes, process->hash_room * sizeof *process->hashes);
    process->hash_room = 0;
    process->hashes = mr_alloc_array(heap, count, sizeof *process->hashes);
    if (process->hashes == NULL) return false;
    process->hash_room = count;
    return true;
}

/* The columns that the function knows, over those that came. It has no origin: rows that timers emit
 * come between those of the batch, and are of no row. */
static struct mr_batch *make_view(struct process *process)
{
    const struct mr_plan_op *plan = process->op.plan;
    struct mr_batch *given = process->given;
    bool broadcast = process->item.input == 1;
    uint32_t count = broadcast ? given->column_count : plan->function_columns;
    struct mr_batch *view = mr_batch_new(process->op.task->quota, count, 0);

    if (view == NULL) return NULL;
    if (!mr_batch_borrow(view, given)) MR_UNREACHABLE(); /* it is the first one */
    view->row_count = given->row_count;
    view->hidden[MR_HIDDEN_EVENT_TIME] = given->hidden[MR_HIDDEN_EVENT_TIME];
    for (uint32_t i = 0; i < count; i++) {
        view->columns[i] = given->columns[broadcast ? i : plan->column_map[i]];
    }
    return view;
}

static enum mr_status set_keys(struct process *process, struct mr_error *err)
{
    const struct mr_batch *given = process->given;
    struct mr_keys keys = {.columns = given->columns, .count = given->row_count};

    if (!hash_room(process, given->row_count)) {
        return mr_error_nomem(err, node_of(process)->id, given->row_count * sizeof(uint64_t));
    }
    mr_column_hash(&given->columns[0], NULL, given->row_count, process->hashes);
    for (uint32_t i = 1; i < process->op.plan->key_count; i++) {
        mr_column_hash_combine(&given->columns[i], NULL, given->row_count, process->hashes);
    }
    keys.hashes = process->hashes;
    mr_user_states_batch(process->context.states, &keys);
    return MR_OK;
}

static enum mr_status open_batch(struct process *process, enum mr_flow *out_flow,
                                 struct mr_error *err)
{
    struct mr_quota *quota = process->op.task->quota;
    struct mr_batch *input = process->item.batch;

    if (process->given == NULL) process->given = mri_batch_plain(quota, input);
    if (process->given != NULL) process->view = make_view(process);
    if (process->view == NULL) {
        size_t wanted = mr_batch_row_bytes(input, 0, input->row_count) +
                        (size_t)input->column_count * input->row_count * sizeof(struct mr_view);
        const struct mr_batch *held = process->given != NULL ? process->given : input;

        return mri_wait_or_fail(&process->op, held, 2 * wanted, out_flow, err);
    }
    return process->item.input == 1 ? MR_OK : set_keys(process, err);
}

/* Goes on with the batch until it is done, or something has to leave or to fire first. */
static enum mr_status work(struct process *process, enum mr_flow *out_flow, struct mr_error *err)
{
    bool whole = node_of(process)->u.process.batch != NULL && process->item.input == 0;

    if (process->item.batch->row_count == 0) {
        drop_input(process);
        return MR_OK;
    }
    if (process->view == NULL) {
        MR_RET(open_batch(process, out_flow, err));
        if (process->view == NULL) return MR_OK; /* blocked */
    }
    process->unflushed = true;
    if (whole && process->at == 0) {
        process->at = process->view->row_count;
        MR_RET(call_batch(process, err));
    }
    while (process->at < process->view->row_count) {
        MR_RET(call_row(process, process->at++, err));
        if (mr_emitter_pending(process->emitter) || any_due(process)) return MR_OK;
    }
    MR_RET(mr_emitter_flush(process->emitter, err));
    reclaim(process, process->view->row_count + RECLAIM_SLOTS);
    drop_input(process);
    return MR_OK;
}

/* ---- items ---- */

static enum mr_status take(struct process *process, struct mr_item *out, enum mr_flow *out_flow,
                           struct mr_error *err)
{
    struct mr_batch *batch;
    uint32_t output = 0;

    MR_RET(mr_emitter_take(process->emitter, &output, &batch, out_flow, err));
    if (*out_flow != MR_FLOW_HAVE_OUTPUT) return MR_OK;
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .input = output, .batch = batch};
    return MR_OK;
}

/* The watermark as far as no timer holds it; true if it moved. In batch mode END says it all. */
static bool say_watermark(struct process *process, struct mr_item *out)
{
    int64_t now = MR_MIN(process->context.watermarks.now_us, hold_of(process));

    if (!process->op.task->streaming || process->context.over || now <= process->sent_us) {
        return false;
    }
    process->sent_us = now;
    *out = (struct mr_item){.tag = MR_ITEM_WATERMARK, .time_us = now};
    return true;
}

/* Everything that the item releases is out: the item itself, if it is one to pass on. */
static bool pass_on(struct process *process, struct mr_item *out)
{
    struct mr_item item = process->item;

    process->item = (struct mr_item){.batch = NULL};
    if (item.tag == MR_ITEM_IDLE) process->idle = true;
    if (process->idle && hold_of(process) == MR_TIME_MAX) {
        process->idle = false;
        if (item.tag != MR_ITEM_IDLE) process->item = item; /* after it */
        *out = (struct mr_item){.tag = MR_ITEM_IDLE};
        return true;
    }
    if (item.tag == 0 || item.tag == MR_ITEM_WATERMARK || item.tag == MR_ITEM_IDLE) return false;
    mr_item_forward(out, &item);
    process->over = item.tag == MR_ITEM_END;
    return true;
}

/* A step of what is to be done; HAVE_OUTPUT, BLOCKED, or NEED_INPUT: look again. */
static enum mr_status step(struct process *process, struct mr_item *out, enum mr_flow *out_flow,
                           bool *out_rests, struct mr_error *err)
{
    *out_rests = false;
    *out_flow = MR_FLOW_NEED_INPUT;
    if (mr_emitter_pending(process->emitter)) return take(process, out, out_flow, err);
    if (any_due(process)) return fire(process, err);
    if (process->item.tag == MR_ITEM_BATCH) return work(process, out_flow, err);
    if (process->unflushed) {
        process->unflushed = false;
        return mr_emitter_flush(process->emitter, err);
    }
    if (say_watermark(process, out) || pass_on(process, out)) {
        *out_flow = MR_FLOW_HAVE_OUTPUT;
        return MR_OK;
    }
    *out_rests = true;
    return MR_OK;
}

/* Timers by the million may fire without a row: a watermark said again lets others have a turn. */
static bool yields(struct process *process, uint32_t steps, struct mr_item *out)
{
    if (steps < 4 || process->sent_us == MR_TIME_MIN || !process->op.task->streaming) return false;
    *out = (struct mr_item){.tag = MR_ITEM_WATERMARK, .time_us = process->sent_us};
    return any_due(process);
}

static enum mr_status process_next(struct mr_operator *op, struct mr_item *out,
                                   enum mr_flow *out_flow, struct mr_error *err)
{
    struct process *process = (struct process *)op;
    bool rests = false;

    *out_flow = MR_FLOW_DONE;
    if (process->over) return MR_OK;
    for (uint32_t steps = 0; !rests; steps++) {
        MR_RET(step(process, out, out_flow, &rests, err));
        if (*out_flow != MR_FLOW_NEED_INPUT) return MR_OK;
        if (!mr_emitter_pending(process->emitter) && yields(process, steps, out)) {
            *out_flow = MR_FLOW_HAVE_OUTPUT;
            return MR_OK;
        }
    }
    return MR_OK;
}

/* ---- snapshots ---- */

static enum mr_status process_seal(struct mr_operator *op, bool full, mr_entry_fn yield, void *self,
                                   struct mr_error *err)
{
    struct process *process = (struct process *)op;

    MR_RET(mr_user_states_seal(process->context.states, full, yield, self, err));
    return mri_watermarks_seal(&process->context.watermarks, yield, self, err);
}

static enum mr_status process_restore(struct mr_operator *op, const struct mr_entry *entry,
                                      struct mr_error *err)
{
    struct process *process = (struct process *)op;

    if (mri_watermarks_entry(entry)) {
        return mri_watermarks_restore(&process->context.watermarks, op->plan->node->id, entry, err);
    }
    return mr_user_states_restore(process->context.states, entry, err);
}

static enum mr_status process_restored(struct mr_operator *op, struct mr_error *err)
{
    struct process *process = (struct process *)op;

    mri_watermarks_restored(&process->context.watermarks);
    return mr_user_states_restored(process->context.states, err);
}

/* ---- life ---- */

static void process_close(struct mr_operator *op)
{
    struct process *process = (struct process *)op;
    struct mr_heap *heap = op->task->heap;

    mr_emitter_destroy(process->emitter);
    drop_input(process);
    mri_context_fini(&process->context);
    mr_free(heap, process->hashes, process->hash_room * sizeof *process->hashes);
    mr_free(heap, process, sizeof *process);
}

static const struct mr_operator_ops process_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "process",
    .put = process_put,
    .next = process_next,
    .seal = process_seal,
    .restore = process_restore,
    .restored = process_restored,
    .close = process_close,
};

static enum mr_status open(struct process *process, struct mr_error *err)
{
    const struct mr_plan_op *plan = process->op.plan;
    struct mr_task_context *task = process->op.task;
    struct mr_emitter_options options = {
        .operator_id = plan->node->id,
        .heap = task->heap,
        .quota = task->quota,
        .output_count = plan->output_count,
        .schemas = plan->outputs,
        .hidden_mask = plan->output_hidden,
        .batch_rows = task->batch_rows,
    };

    MR_RET(mr_emitter_create(&options, &process->emitter, err));
    process->context.emitter = process->emitter;
    return mri_context_init(&process->context, task, plan, err);
}

enum mr_status mr_process_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                 struct mr_operator **out, struct mr_error *err)
{
    struct process *process = mr_alloc_zero(task->heap, sizeof *process);
    enum mr_status st;

    if (process == NULL) return mr_error_nomem(err, plan->node->id, sizeof *process);
    process->op = (struct mr_operator){.ops = &process_ops, .plan = plan, .task = task};
    process->sent_us = MR_TIME_MIN;
    st = open(process, err);
    if (st != MR_OK) {
        process_close(&process->op);
        return st;
    }
    *out = &process->op;
    return MR_OK;
}
