#include "runtime/task.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/status.h"
#include "runtime/scan_operator.h"
#include "runtime/tracker.h"

/* Shortest time between two ticks of a task without input. */
#define TICK_US MR_MILLISECOND

static void trace_item(struct mr_task *task, const struct mr_item *item)
{
    uint64_t rows = item->tag == MR_ITEM_BATCH ? item->batch->row_count : 0;
    uint64_t h = *task->trace;

    h = mr_hash_combine(h, ((uint64_t)task->ordinal << 32) | (uint64_t)item->tag);
    h = mr_hash_combine(h, (uint64_t)item->time_us);
    *task->trace = mr_hash_combine(h, rows);
}

static bool belongs(const struct mr_task *task, const struct mr_plan_edge *edge)
{
    if (task->item.tag != MR_ITEM_BATCH) return true; /* (2) */
    return edge->from_op == task->item_op && edge->from_output == task->item.input;
}

/* Control items that mean something only inside a chain end with it. */
static bool leaves_chain(const struct mr_item *item)
{
    return item->tag < MR_ITEM_SPLITS_PENDING;
}

static void end_task(struct mr_task *task)
{
    task->over = true; /* (3) */
    if (task->epochs != NULL) mr_task_say_over(task->epochs);
}

/* Offers the item to the edge at hand; a tracked row has an edge id of its own on each. *out_offered
 * false: no memory for it now. */
static enum mr_status offer(struct mr_task *task, bool *out_offered, struct mr_error *err)
{
    struct mr_item item = task->item;
    struct mr_track_task *track = task->context.track;
    enum mr_status st;

    *out_offered = true;
    if (track == NULL || item.tag != MR_ITEM_BATCH) {
        return mr_sender_put(task->senders[task->edge_at], &item, err);
    }
    MR_RET(mr_track_leave(track, &task->quota, task->item.batch, &item.batch, err));
    *out_offered = item.batch != NULL;
    if (item.batch == NULL) return MR_OK;
    st = mr_sender_put(task->senders[task->edge_at], &item, err); /* has a reference of its own */
    mr_batch_release(item.batch);
    return st;
}

/* Offers the item to its edges one after the other; *out_done false: an edge has no room. */
static enum mr_status deliver(struct mr_task *task, bool *out_done, struct mr_error *err)
{
    *out_done = false;
    for (; task->edge_at < task->sender_count; task->edge_at++, task->offered = false) {
        struct mr_sender *sender = task->senders[task->edge_at];
        bool ready;

        if (!task->offered && !belongs(task, task->stage->outputs[task->edge_at])) continue;
        if (!task->offered) MR_RET(offer(task, &task->offered, err));
        if (!task->offered) return MR_OK;
        MR_RET(mr_sender_push(sender, &ready, err));
        if (!ready) return MR_OK;
        if (task->item.tag == MR_ITEM_BARRIER) MR_CRASH("C5");
    }
    if (task->item.tag == MR_ITEM_WATERMARK) {
        atomic_store_explicit(&task->counters->watermark_us, task->item.time_us,
                              memory_order_relaxed);
    }
    if (task->item.tag == MR_ITEM_BATCH) mr_batch_release(task->item.batch);
    if (task->item.tag == MR_ITEM_END) end_task(task);
    task->item.tag = (enum mr_item_tag)0;
    task->items++;
    *out_done = true;
    return MR_OK;
}

/* While nothing comes in, time passes all the same: idleness and flushing hang on it. */
static enum mr_status tick(struct mr_task *task, int64_t after_us, bool *out_ticked,
                           struct mr_error *err)
{
    *out_ticked = false;
    if (!task->context.streaming || task->now->us < task->tick_us + after_us) return MR_OK;
    MR_RET(mr_chain_tick(task->chain, task->now->us, out_ticked, err));
    if (*out_ticked) task->tick_us = task->now->us;
    return MR_OK;
}

/* What a move came to. A tick alone is no progress: a worker with nothing else to do may sleep. */
enum moved { MOVED_NOT, MOVED_TICK, MOVED };

/* The next item of the channels. Of tracked rows the anchors are written down first: *out_did false
 * while that is not possible. */
static enum mr_status take_item(struct mr_task *task, struct mr_item *out, bool *out_did,
                                struct mr_error *err)
{
    struct mr_track_task *track = task->context.track;
    struct mr_batch *batch;

    if (track == NULL) return mr_receiver_next(&task->receiver, out, out_did, err);
    *out_did = false;
    if (!mr_track_ready(track)) return MR_OK;
    if (task->untracked.tag == 0) {
        MR_RET(mr_receiver_next(&task->receiver, out, out_did, err));
        if (!*out_did || out->tag != MR_ITEM_BATCH) return MR_OK;
        task->untracked = *out;
    }
    *out_did = false;
    MR_RET(mr_track_begin(track, &task->quota, task->untracked.batch, &batch, err));
    if (batch == NULL) return MR_OK;
    mr_batch_release(task->untracked.batch);
    *out = task->untracked;
    out->batch = batch;
    task->untracked.tag = (enum mr_item_tag)0;
    *out_did = true;
    return MR_OK;
}

/* Feeds the chain from the task's channels. */
static enum mr_status feed(struct mr_task *task, enum moved *out_moved, struct mr_error *err)
{
    struct mr_item item;
    bool did;

    if (task->context.track != NULL) MR_RET(mr_track_end(task->context.track, err));
    *out_moved = MOVED_TICK;
    MR_RET(tick(task, MR_BUSY_TICK_US, &did, err));
    if (did) return MR_OK;
    MR_RET(take_item(task, &item, &did, err));
    task->items += did;
    *out_moved = MOVED;
    if (did) return mr_chain_put(task->chain, &item, err);
    MR_RET(tick(task, TICK_US, &did, err));
    *out_moved = did ? MOVED_TICK : MOVED_NOT;
    return MR_OK;
}

static enum mr_status wait_for_room(struct mr_task *task, enum moved *out_moved,
                                    struct mr_error *err)
{
    bool ticked;

    mr_counter_add(task->counters, MR_COUNTER_BLOCKED, 1);
    MR_RET(tick(task, TICK_US, &ticked, err));
    *out_moved = ticked ? MOVED_TICK : MOVED_NOT;
    return MR_OK;
}

/* One move: deliver, or take from the chain, or feed it. */
static enum mr_status move(struct mr_task *task, enum moved *out_moved, struct mr_error *err)
{
    enum mr_flow flow;
    struct mr_item item = {.tag = (enum mr_item_tag)0};
    uint32_t op = 0;
    bool done;

    *out_moved = MOVED_NOT;
    task->waits = true;
    if (task->item.tag != 0) {
        MR_RET(deliver(task, &done, err));
        if (done) *out_moved = MOVED;
        return MR_OK;
    }
    MR_RET(mr_chain_next(task->chain, &item, &op, &flow, err));
    switch (flow) {
    case MR_FLOW_HAVE_OUTPUT:
        if (task->trace != NULL) trace_item(task, &item);
        *out_moved = MOVED;
        if (!leaves_chain(&item)) return MR_OK;
        if (item.tag == MR_ITEM_BARRIER && task->epochs != NULL) {
            mr_task_publish_seal(task->epochs, item.epoch, false);
        }
        task->item = item;
        task->item_op = op;
        task->edge_at = 0;
        task->offered = false;
        return MR_OK;
    case MR_FLOW_NEED_INPUT: task->waits = false; return feed(task, out_moved, err);
    case MR_FLOW_BLOCKED: return wait_for_room(task, out_moved, err);
    case MR_FLOW_DONE: end_task(task); return MR_OK;
    }
    MR_UNREACHABLE();
}

static uint64_t refusals(const struct mr_task *task)
{
    uint64_t sum = 0;

    for (const struct mr_heap *heap = task->heap.parent; heap != NULL; heap = heap->parent) {
        sum += atomic_load_explicit(&heap->failed_count, memory_order_relaxed);
    }
    return sum;
}

/* Back-pressure ends when others go on; memory that state has taken does not come back. */
static enum mr_status judge_hunger(struct mr_task *task, uint64_t refused_before,
                                   struct mr_error *err)
{
    bool hungry = task->waits && !task->over && refusals(task) != refused_before;

    if (!hungry || task->hungry_us == 0 || task->hungry_at != task->items) {
        task->hungry_us = hungry ? task->now->us : 0;
        task->hungry_at = task->items;
        return MR_OK;
    }
    if (task->now->us - task->hungry_us < MR_HUNGRY_US) return MR_OK;
    return mr_error_set(err, MR_E_NOMEM,
                        "operator '%s': the job's memory is used up, and nothing comes back; raise "
                        "--memory or lower --workers",
                        task->stage->ops[task->stage->op_count - 1].node->id);
}

/* Takes items until nothing moves or the step is long enough. */
static enum mr_status take_items(struct mr_task *task, bool *out_any, struct mr_error *err)
{
    uint64_t refused = refusals(task);

    for (uint32_t i = 0; i < MR_STEP_ITEMS && !task->over; i++) {
        enum moved moved;
        MR_RET(move(task, &moved, err));
        *out_any |= moved == MOVED;
        if (moved == MOVED_NOT) break;
    }
    mr_counter_add(task->counters, MR_COUNTER_STEPS, 1);
    for (uint32_t i = 0; i < task->sender_count && !task->over; i++) {
        /* Idle: what is there leaves now. Busy: after some turns. */
        *out_any |= *out_any ? mr_sender_turn(task->senders[i]) : mr_sender_flush(task->senders[i]);
    }
    return judge_hunger(task, refused, err);
}

enum mr_status mr_task_step(struct mr_task *task, enum mr_progress *out_progress,
                            struct mr_error *err)
{
    bool any = false;

    mr_assert(!task->left);
    if (task->context.track != NULL) {
        MR_RET(mr_track_turn(task->context.track, *task->now, &any, err));
    }
    if (!task->over) MR_RET(take_items(task, &any, err));
    if (task->epochs != NULL) MR_RET(mr_task_serve_epochs(task->epochs, task->over, &any, err));
    task->left = task->over && task->epochs == NULL;
    *out_progress = task->left ? MR_PROGRESS_OVER : any ? MR_PROGRESS_MADE : MR_PROGRESS_NONE;
    return MR_OK;
}
