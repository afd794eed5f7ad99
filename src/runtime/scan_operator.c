#include "runtime/scan_operator.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "core/watermark.h"
#include "runtime/lanes.h"
#include "runtime/split_states.h"
#include "runtime/tracker.h"

/* Readers that one instance keeps open side by side when splits do not end by themselves. */
#define OPEN_READERS_MAX MR_OPEN_SPLITS_MAX

struct open_reader {
    void *reader;
    const struct mr_split *split;
    uint64_t bytes_counted;
};

enum scan_phase { SCAN_START, SCAN_READ, SCAN_END, SCAN_OVER };

struct scan {
    struct mr_operator op;
    struct mr_scan_options options;
    struct mr_policy_reader policy_reader;
    enum scan_phase phase;
    struct open_reader *readers;
    uint32_t reader_count;
    uint32_t reader_limit;
    uint32_t at;
    int64_t pending_sent_us;
    bool pending_known;
    const struct mr_split *announce_open;  /* to be told to the chain before its first row */
    const struct mr_split *announce_close; /* ... after its last row */
    int64_t tick_us;
    uint64_t barrier; /* last one sent */
    struct mr_split_states states;
    struct mr_lanes lanes; /* micro-batches only */
    bool laned;
    uint64_t *ids; /* of a batch's rows, for tracked sources that keep them; batch_rows */
};

static void count_bytes(struct scan *scan, struct open_reader *open)
{
    const struct mr_source_ops *ops = scan->options.input->ops;
    uint64_t now;

    if (ops->progress_bytes == NULL) return;
    now = ops->progress_bytes(open->reader);
    if (now > open->bytes_counted) {
        mr_counter_add(scan->op.task->counters, MR_COUNTER_BYTES_IN, now - open->bytes_counted);
        open->bytes_counted = now;
    }
}

static enum mr_status open_split(struct scan *scan, const struct mr_split *split,
                                 struct mr_bytes resume, struct mr_error *err)
{
    struct mr_input *input = scan->options.input;
    struct mr_reader_context context = {
        .heap = scan->op.task->heap,
        .disk = scan->options.disk,
        .reject = mr_policy_reject,
        .reject_self = &scan->policy_reader,
        .projection = scan->op.plan->projection,
        .positions = scan->options.signals != NULL,
        .resume = resume,
    };
    void *reader = NULL;

    MR_RET(input->ops->open(input->spec, split, &context, &reader, err));
    scan->readers[scan->reader_count++] = (struct open_reader){.reader = reader, .split = split};
    mr_counter_add(scan->op.task->counters, MR_COUNTER_SPLITS, 1);
    scan->announce_open = split;
    return MR_OK;
}

static void close_reader(struct scan *scan, uint32_t index)
{
    count_bytes(scan, &scan->readers[index]);
    scan->options.input->ops->close(scan->readers[index].reader);
    for (uint32_t i = index + 1; i < scan->reader_count; i++) {
        scan->readers[i - 1] = scan->readers[i];
    }
    scan->reader_count--;
}

/* The coordinator has asked for a barrier that was not sent yet. */
static bool barrier_asked(const struct scan *scan)
{
    return scan->options.signals != NULL &&
           mr_signal(&scan->options.signals->inject) > scan->barrier;
}

static bool lane_has_room(const struct scan *scan, uint32_t index)
{
    uint32_t lane = mr_lane_of(&scan->lanes, scan->readers[index].split->ordinal);
    struct mr_epoch_signals *signals = scan->options.signals;

    if (mr_lanes_room(&scan->lanes, lane, 1) > 0) return true;
    if (!barrier_asked(scan)) {
        atomic_store_explicit(&signals->waited, mr_signal(&signals->gate), memory_order_relaxed);
    }
    return false;
}

/* How many rows the next read may give; under a rate limit they are reserved. 0: wait. */
static uint32_t row_limit(struct scan *scan, uint32_t index)
{
    const struct mr_choose *choose = &scan->op.task->port->choose;
    uint64_t rate = scan->op.plan->node->u.source.rate_rows_per_s;
    uint32_t rows = scan->op.task->batch_rows;

    rows = 1 + (uint32_t)choose->pick(choose->self, MR_CHOOSE_BATCH_ROWS, rows, rows - 1);
    if (scan->laned) {
        uint32_t lane = mr_lane_of(&scan->lanes, scan->readers[index].split->ordinal);
        rows = mr_lanes_room(&scan->lanes, lane, rows);
    }
    if (scan->op.task->track != NULL) {
        uint32_t room = mr_track_room(scan->op.task->track, scan->op.task->quota->limit_bytes);
        rows = MR_MIN(rows, room);
        if (rows == 0) return 0;
    }
    if (rate == 0) return rows;
    return mr_split_queue_reserve(scan->options.queue, rate, scan->options.now->us, rows);
}

static void settle_rate(struct scan *scan, uint32_t reserved, const struct mr_batch *batch)
{
    uint32_t used = batch == NULL ? 0 : batch->row_count;

    if (scan->op.plan->node->u.source.rate_rows_per_s == 0) return;
    mr_split_queue_settle(scan->options.queue, reserved, used);
}

static bool stopping(const struct scan *scan)
{
    return scan->options.stopping != NULL &&
           atomic_load_explicit(scan->options.stopping, memory_order_relaxed);
}

static enum mr_status resume_split(struct scan *scan, struct mr_split_state *state,
                                   struct mr_error *err)
{
    const struct mr_split *split = &scan->options.input->splits.splits[state->split];
    struct mr_bytes position = {state->position, state->position_bytes};
    enum mr_status st = open_split(scan, split, position, err);

    if (scan->laned) {
        mr_lanes_opened(&scan->lanes, mr_lane_of(&scan->lanes, state->split), state->split);
    }
    mr_free(scan->op.task->heap, state->position, state->position_bytes);
    return st;
}

static enum mr_status open_lane(struct scan *scan, struct mr_error *err)
{
    const struct mr_split_queue *queue = scan->options.queue;
    uint32_t lane = mr_lanes_to_open(&scan->lanes, queue->claimed);
    const struct mr_split *split;

    if (lane == MR_LANE_NONE) return MR_OK;
    split = &queue->list->splits[scan->lanes.own[lane].next];
    mr_lanes_opened(&scan->lanes, lane, split->ordinal);
    return open_split(scan, split, (struct mr_bytes){.data = NULL}, err);
}

/* Opens the next split if there is room for one: first what an earlier attempt began. */
static enum mr_status refill(struct scan *scan, struct mr_error *err)
{
    struct mr_split_state begun;
    const struct mr_split *split;

    if (scan->reader_count == scan->reader_limit || stopping(scan)) return MR_OK;
    if (mr_split_states_resume(&scan->states, scan->laned ? &scan->lanes : NULL, &begun)) {
        return resume_split(scan, &begun, err);
    }
    if (scan->laned) return open_lane(scan, err);
    split = mr_split_queue_take(scan->options.queue);
    if (split == NULL) return MR_OK;
    return open_split(scan, split, (struct mr_bytes){.data = NULL}, err);
}

/* What a read means for the batch of its lane. */
static void note_lane(struct scan *scan, const struct open_reader *open,
                      const struct mr_batch *batch, enum mr_source_flow flow)
{
    uint32_t lane;

    if (!scan->laned) return;
    lane = mr_lane_of(&scan->lanes, open->split->ordinal);
    if (batch != NULL) mr_lanes_took(&scan->lanes, lane, batch->row_count);
    if (flow == MR_SOURCE_DONE) mr_lanes_closed(&scan->lanes, lane);
    /* A source that does not end has nothing now: the barrier need not wait for it. */
    if (flow == MR_SOURCE_BLOCKED && !scan->lanes.list->bounded && barrier_asked(scan)) {
        mr_lanes_quiet(&scan->lanes, lane);
    }
}

/* The row that ended the process, at the place where nothing else was under way. */
static enum mr_status reject_poison(struct scan *scan, struct mr_batch *batch, struct mr_item *out,
                                    struct mr_error *err)
{
    struct mr_error why;
    enum mr_status st;

    *scan->options.poison = false;
    mr_error_set(&why, MR_E_RECORD,
                 "this record has ended the process: it crashed each time it was worked on");
    st = mr_policy_bad_row(scan->options.policy, &scan->op, batch, 0, &why, err);
    if (st != MR_OK) return st;
    *out = (struct mr_item){.tag = MR_ITEM_TICK, .time_us = scan->options.now->us};
    return MR_OK;
}

static enum mr_status begin_tracking(struct scan *scan, const struct open_reader *open,
                                     struct mr_batch *batch, struct mr_error *err)
{
    const struct mr_source_ops *ops = scan->options.input->ops;

    if (ops->ids != NULL) MR_RET(ops->ids(open->reader, batch, scan->ids, err));
    return mr_track_read(scan->op.task->track, batch, ops->ids != NULL ? scan->ids : NULL,
                         open->reader, err);
}

/* The reader keeps its rows itself and was not told of all of them. */
static bool awaits_rows(const struct scan *scan, const struct open_reader *open)
{
    return scan->op.task->track != NULL && mr_track_awaits(scan->op.task->track, open->reader);
}

/* Reads once from one reader; *out_flow as scan_next answers, BLOCKED: try another reader. */
static enum mr_status read_one(struct scan *scan, uint32_t index, uint32_t rows,
                               struct mr_item *out, enum mr_flow *out_flow, struct mr_error *err)
{
    const struct mr_source_ops *ops = scan->options.input->ops;
    struct open_reader *open = &scan->readers[index];
    enum mr_source_flow flow = MR_SOURCE_BLOCKED;
    struct mr_batch *batch = NULL;

    MR_RET(ops->read(open->reader, scan->op.task->quota, rows, &flow, &batch, err));
    count_bytes(scan, open);
    settle_rate(scan, rows, batch);
    note_lane(scan, open, batch, flow);
    *out_flow = flow == MR_SOURCE_BLOCKED ? MR_FLOW_BLOCKED : MR_FLOW_HAVE_OUTPUT;
    if (batch != NULL) {
        mr_assert(flow == MR_SOURCE_MORE);
        /* The split is known here, whatever the source knows of the place in it. */
        batch->origin.known = true;
        batch->origin.split = open->split->ordinal;
        batch->origin.source_id = scan->op.plan->node->ordinal;
        mr_counter_add(scan->op.task->counters, MR_COUNTER_ROWS_IN, batch->row_count);
        if (*scan->options.poison && batch->row_count == 1) {
            enum mr_status st = reject_poison(scan, batch, out, err);

            mr_batch_release(batch);
            return st;
        }
        if (scan->op.task->track != NULL) {
            enum mr_status st = begin_tracking(scan, open, batch, err);

            if (st != MR_OK) mr_batch_release(batch);
            MR_RET(st);
        }
        *out = (struct mr_item){.tag = MR_ITEM_BATCH, .batch = batch};
    } else if (flow == MR_SOURCE_DONE && awaits_rows(scan, open)) {
        *out_flow = MR_FLOW_BLOCKED; /* it may have failed rows to give again */
    } else if (flow == MR_SOURCE_DONE) {
        scan->announce_close = open->split;
        close_reader(scan, index);
        if (scan->options.signals == NULL) return MR_OK;
        return mr_split_states_done(&scan->states, scan->announce_close->ordinal, err);
    }
    return MR_OK;
}

/* A reader whose split was not read to its end: the snapshot says how far. */
static enum mr_status leave_reader(struct scan *scan, struct mr_error *err)
{
    struct open_reader *open = &scan->readers[0];
    struct mr_buffer position;
    enum mr_status st = MR_OK;

    mr_buffer_init(&position, scan->op.task->heap);
    if (scan->options.signals != NULL) {
        st = scan->options.input->ops->position(open->reader, &position, err);
        if (st == MR_OK) {
            st = mr_split_states_left(&scan->states, open->split->ordinal,
                                      (struct mr_bytes){position.data, position.size_bytes}, err);
        }
    }
    mr_buffer_fini(&position);
    close_reader(scan, 0);
    return st;
}

/* Asks the readers in turn until one gives a batch, ends, or has made progress. */
static enum mr_status read_some(struct scan *scan, struct mr_item *out, enum mr_flow *out_flow,
                                struct mr_error *err)
{
    *out_flow = MR_FLOW_BLOCKED;
    for (uint32_t i = 0; i < scan->reader_count && *out_flow == MR_FLOW_BLOCKED; i++) {
        uint32_t rows;

        scan->at = (scan->at + 1) % scan->reader_count;
        if (scan->laned && !lane_has_room(scan, scan->at)) continue;
        rows = row_limit(scan, scan->at);
        if (rows == 0) return MR_OK;
        MR_RET(read_one(scan, scan->at, rows, out, out_flow, err));
    }
    return MR_OK;
}

/* Rows may keep this operator busy and never get far. */
static bool tick_is_due(struct scan *scan)
{
    int64_t now = scan->options.now->us;

    if (!scan->op.task->streaming || now < scan->tick_us + MR_BUSY_TICK_US) return false;
    scan->tick_us = now;
    return true;
}

/* Micro-batches: the batch may be read, once the one before is visible. */
static bool batch_open(struct scan *scan)
{
    const struct mr_epoch_signals *signals = scan->options.signals;

    if (scan->lanes.batch_rows != 0) return true;
    if (mr_signal(&signals->gate) <= scan->barrier) return false;
    mr_lanes_begin(&scan->lanes, mr_signal(&signals->batch_rows));
    return true;
}

/* Nothing is left to be read: END is next, and belongs to the batch, for it releases output. */
static bool end_is_next(struct scan *scan)
{
    if (scan->reader_count > 0 || scan->states.resume_count > 0) return false;
    return mr_lanes_to_open(&scan->lanes, scan->options.queue->claimed) == MR_LANE_NONE;
}

/* All that belongs to the batch has been handed out. A batch that was never opened has nothing: the
 * epoch takes the place of one that could not be written. */
static bool batch_over(struct scan *scan)
{
    if (!scan->laned || scan->phase == SCAN_OVER || stopping(scan) || !batch_open(scan)) return true;
    if (end_is_next(scan)) return false;
    return mr_lanes_batch_over(&scan->lanes, scan->options.queue->claimed);
}

/* The coordinator asks for the end of an epoch: everything handed out so far belongs to it. */
static bool barrier_is_due(struct scan *scan, struct mr_item *out)
{
    struct mr_epoch_signals *signals = scan->options.signals;

    if (!barrier_asked(scan) || !batch_over(scan)) return false;
    if (scan->lanes.batch_rows != 0 && mr_lanes_any_full(&scan->lanes)) {
        atomic_store_explicit(&signals->filled, mr_signal(&signals->gate), memory_order_relaxed);
    }
    MR_CRASH("C4");
    scan->barrier = mr_signal(&signals->inject);
    scan->lanes.batch_rows = 0;
    *out = (struct mr_item){.tag = MR_ITEM_BARRIER, .epoch = scan->barrier};
    return true;
}

/* What the chain must know before the next row; false: nothing. */
static bool announce(struct scan *scan, struct mr_item *out)
{
    if (scan->announce_close != NULL) {
        *out = (struct mr_item){.tag = MR_ITEM_SPLIT_CLOSE, .split = scan->announce_close->ordinal};
        scan->announce_close = NULL;
        return true;
    }
    if (scan->announce_open != NULL) {
        *out = (struct mr_item){.tag = MR_ITEM_SPLIT_OPEN,
                                .split = scan->announce_open->ordinal,
                                .time_us = scan->announce_open->lower_bound_us};
        scan->announce_open = NULL;
        return true;
    }
    int64_t pending = mr_split_queue_pending(scan->options.queue);
    int64_t begun = mr_split_states_bound(&scan->states, &scan->options.input->splits);
    pending = MR_MIN(pending, begun);
    if (scan->laned) {
        pending = MR_MIN(begun, mr_lanes_bound(&scan->lanes, scan->options.queue->claimed));
    }
    if (!scan->pending_known || pending != scan->pending_sent_us) {
        scan->pending_known = true;
        scan->pending_sent_us = pending;
        *out = (struct mr_item){.tag = MR_ITEM_SPLITS_PENDING, .time_us = pending};
        return true;
    }
    return false;
}

/* Tracked rows: those before have been told of, then failed ones go first. *out_wait: nothing new may
 * begin yet. */
static enum mr_status track_rows(struct scan *scan, struct mr_item *out, bool *out_wait,
                                 struct mr_error *err)
{
    struct mr_track_task *track = scan->op.task->track;
    struct mr_batch *batch = NULL;

    *out_wait = false;
    if (track == NULL) return MR_OK;
    MR_RET(mr_track_end(track, err));
    *out_wait = !mr_track_ready(track);
    if (*out_wait) return MR_OK;
    MR_RET(mr_track_again(track, scan->op.task->quota, &batch, err));
    if (batch == NULL) return MR_OK;
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .batch = batch};
    return MR_OK;
}

/* Rows that were handed out may have to be handed out again. */
static bool rows_are_open(const struct scan *scan)
{
    return scan->op.task->track != NULL && mr_track_pending(scan->op.task->track) > 0;
}

static enum mr_status scan_next(struct mr_operator *op, struct mr_item *out,
                                enum mr_flow *out_flow, struct mr_error *err)
{
    struct scan *scan = (struct scan *)op;

    bool wait;

    *out_flow = MR_FLOW_HAVE_OUTPUT;
    MR_RET(track_rows(scan, out, &wait, err));
    if (wait) *out_flow = MR_FLOW_BLOCKED;
    if (wait || out->tag == MR_ITEM_BATCH) return MR_OK;
    for (;;) {
        if (scan->phase == SCAN_OVER) {
            *out_flow = MR_FLOW_DONE;
            return MR_OK;
        }
        if (announce(scan, out)) return MR_OK; /* what was read to its end must not open again */
        if (barrier_is_due(scan, out)) return MR_OK;
        if (scan->phase == SCAN_END) {
            scan->phase = SCAN_OVER;
            *out = (struct mr_item){.tag = MR_ITEM_END, .time_us = MR_TIME_MAX};
            return MR_OK;
        }
        if (stopping(scan) && rows_are_open(scan)) {
            *out_flow = MR_FLOW_BLOCKED;
            return MR_OK;
        }
        while (stopping(scan) && scan->reader_count > 0) MR_RET(leave_reader(scan, err));
        uint32_t before = scan->reader_count;
        MR_RET(refill(scan, err));
        if (scan->reader_count > before) continue;
        if (scan->reader_count == 0 && rows_are_open(scan)) {
            *out_flow = MR_FLOW_BLOCKED;
            return MR_OK;
        }
        if (scan->reader_count == 0) {
            scan->phase = SCAN_END;
            continue;
        }
        if (tick_is_due(scan)) {
            *out = (struct mr_item){.tag = MR_ITEM_TICK, .time_us = scan->options.now->us};
            return MR_OK;
        }
        out->tag = (enum mr_item_tag)0;
        *out_flow = MR_FLOW_BLOCKED;
        if (scan->laned && !batch_open(scan)) return MR_OK;
        MR_RET(read_some(scan, out, out_flow, err));
        if (out->tag != 0) return MR_OK;
        if (*out_flow == MR_FLOW_BLOCKED) return MR_OK;
        if (scan->announce_close == NULL) { /* progress without rows: give others a turn */
            *out = (struct mr_item){.tag = MR_ITEM_TICK, .time_us = scan->options.now->us};
            return MR_OK;
        }
    }
}

static enum mr_status scan_put(struct mr_operator *op, const struct mr_item *item,
                               struct mr_error *err)
{
    (void)op;
    return mr_error_set(err, MR_E_INVALID, "a source takes no input (item tag %d)",
                        (int)item->tag);
}

static enum mr_status scan_seal(struct mr_operator *op, bool full, mr_entry_fn yield, void *self,
                                struct mr_error *err)
{
    struct scan *scan = (struct scan *)op;
    struct mr_buffer position;
    struct mr_buffer scratch;
    enum mr_status st = mr_split_states_seal(&scan->states, &scan->options.input->splits, full, yield,
                                             self, err);

    mr_buffer_init(&position, op->task->heap);
    mr_buffer_init(&scratch, op->task->heap);
    for (uint32_t i = 0; i < scan->reader_count && st == MR_OK; i++) {
        const struct open_reader *open = &scan->readers[i];

        mr_buffer_clear(&position);
        st = scan->options.input->ops->position(open->reader, &position, err);
        if (st != MR_OK) break;
        st = mr_split_position_seal(open->split->ordinal,
                                    (struct mr_bytes){position.data, position.size_bytes},
                                    &scratch, yield, self, err);
    }
    mr_buffer_fini(&position);
    mr_buffer_fini(&scratch);
    return st;
}

static enum mr_status scan_restore(struct mr_operator *op, const struct mr_entry *entry,
                                   struct mr_error *err)
{
    struct scan *scan = (struct scan *)op;

    return mr_split_states_restore(&scan->states, scan->options.queue, entry, err);
}

/* One reader per lane, and the lanes themselves. */
static enum mr_status make_lanes(struct scan *scan, struct mr_error *err)
{
    const struct mr_task_context *task = scan->op.task;
    struct open_reader *readers;
    uint32_t limit;

    MR_RET(mr_lanes_init(&scan->lanes, task->heap, scan->options.queue->list,
                         *scan->options.lane_count, task->instance, task->instance_count, err));
    scan->laned = true;
    for (uint32_t i = 0; i < scan->states.count; i++) {
        const struct mr_split_state *item = &scan->states.items[i];

        if (item->resume) mr_lanes_begun(&scan->lanes, item->split);
    }
    limit = MR_MAX(scan->lanes.own_count, 1u);
    if (limit > OPEN_READERS_MAX) {
        return mr_error_set(err, MR_E_LIMIT,
                            "source '%s': micro-batches read %u lanes side by side, but an instance "
                            "reads at most %u; use more workers",
                            scan->op.plan->node->id, limit, OPEN_READERS_MAX);
    }
    readers = mr_realloc(task->heap, scan->readers, scan->reader_limit * sizeof *readers,
                         limit * sizeof *readers);
    if (readers == NULL) return mr_error_nomem(err, "a source", limit * sizeof *readers);
    scan->readers = readers;
    scan->reader_limit = limit;
    return MR_OK;
}

static enum mr_status scan_restored(struct mr_operator *op, struct mr_error *err)
{
    struct scan *scan = (struct scan *)op;

    mr_split_states_restored(&scan->states, scan->options.queue->list, *scan->options.lane_count,
                             op->task->instance, op->task->instance_count);
    mr_split_queue_claims_end(scan->options.queue);
    scan->barrier = mr_signal(&scan->options.signals->inject);
    return *scan->options.lane_count > 0 ? make_lanes(scan, err) : MR_OK;
}

static void scan_close(struct mr_operator *op)
{
    struct scan *scan = (struct scan *)op;
    struct mr_heap *heap = op->task->heap;

    while (scan->reader_count > 0) close_reader(scan, scan->reader_count - 1);
    mr_split_states_fini(&scan->states);
    if (scan->laned) mr_lanes_fini(&scan->lanes);
    mr_free(heap, scan->readers, scan->reader_limit * sizeof *scan->readers);
    mr_free(heap, scan->ids, op->task->batch_rows * sizeof *scan->ids);
    mr_free(heap, scan, sizeof *scan);
}

static const struct mr_operator_ops scan_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "scan",
    .put = scan_put,
    .next = scan_next,
    .seal = scan_seal,
    .restore = scan_restore,
    .restored = scan_restored,
    .close = scan_close,
};

/* A split that never ends would keep others from being read, so an instance keeps its share of
 * them open: with more, the first instance to run would take all. */
static enum mr_status readers_wanted(const struct mr_task_context *task,
                                     const struct mr_plan_op *plan,
                                     const struct mr_split_list *list, uint32_t *out,
                                     struct mr_error *err)
{
    uint32_t share = list->count / task->instance_count;

    *out = 1;
    if (list->bounded) return MR_OK;
    if (list->count % task->instance_count != 0) share++;
    *out = MR_MAX(share, 1u);
    if (share <= OPEN_READERS_MAX) return MR_OK;
    return mr_error_set(err, MR_E_LIMIT,
                        "source '%s' has %u partitions that do not end, but its %u instances read "
                        "at most %u each at a time; use more workers, or fewer partitions",
                        plan->node->id, list->count, task->instance_count, OPEN_READERS_MAX);
}

enum mr_status mr_scan_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                              const struct mr_scan_options *options, struct mr_operator **out,
                              struct mr_error *err)
{
    uint32_t limit;
    struct scan *scan;

    MR_RET(readers_wanted(task, plan, &options->input->splits, &limit, err));
    scan = mr_alloc_zero(task->heap, sizeof *scan);
    if (scan == NULL) return mr_error_nomem(err, "a source", sizeof *scan);
    scan->op = (struct mr_operator){.ops = &scan_ops, .plan = plan, .task = task};
    scan->options = *options;
    mr_split_states_init(&scan->states, task->heap);
    scan->policy_reader = (struct mr_policy_reader){
        .policy = options->policy, .input = options->input, .counters = task->counters};
    scan->reader_limit = limit;
    scan->readers = mr_alloc_array(task->heap, limit, sizeof *scan->readers);
    if (scan->readers == NULL) {
        mr_free(task->heap, scan, sizeof *scan);
        return mr_error_nomem(err, "a source", limit * sizeof(struct open_reader));
    }
    if (task->track != NULL && options->input->ops->ids != NULL) {
        scan->ids = mr_alloc_array(task->heap, task->batch_rows, sizeof *scan->ids);
        if (scan->ids == NULL) {
            scan_close(&scan->op);
            return mr_error_nomem(err, "a source", task->batch_rows * sizeof *scan->ids);
        }
    }
    *out = &scan->op;
    return MR_OK;
}
