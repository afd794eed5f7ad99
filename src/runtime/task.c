#include "runtime/task.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/status.h"

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

/* Offers the item to its edges one after the other; *out_done false: an edge has no room. */
static enum mr_status deliver(struct mr_task *task, bool *out_done, struct mr_error *err)
{
    *out_done = false;
    for (; task->edge_at < task->sender_count; task->edge_at++, task->offered = false) {
        struct mr_sender *sender = task->senders[task->edge_at];
        bool ready;

        if (!task->offered && !belongs(task, task->stage->outputs[task->edge_at])) continue;
        if (!task->offered) MR_RET(mr_sender_put(sender, &task->item, err));
        task->offered = true;
        MR_RET(mr_sender_push(sender, &ready, err));
        if (!ready) return MR_OK;
    }
    if (task->item.tag == MR_ITEM_WATERMARK) {
        atomic_store_explicit(&task->counters->watermark_us, task->item.time_us,
                              memory_order_relaxed);
    }
    if (task->item.tag == MR_ITEM_BATCH) mr_batch_release(task->item.batch);
    if (task->item.tag == MR_ITEM_END) task->over = true; /* (3) */
    task->item.tag = (enum mr_item_tag)0;
    *out_done = true;
    return MR_OK;
}

/* While nothing comes in, time passes all the same: idleness and flushing hang on it. */
static bool tick(struct mr_task *task)
{
    if (!task->context.streaming || task->now->us < task->tick_us + TICK_US) return false;
    task->tick_us = task->now->us;
    return mr_chain_tick(task->chain, task->now->us);
}

/* Feeds the chain from the task's channels; *out_fed false: there is nothing. */
static enum mr_status feed(struct mr_task *task, bool *out_fed, struct mr_error *err)
{
    struct mr_item item;

    MR_RET(mr_receiver_next(&task->receiver, &item, out_fed, err));
    if (*out_fed) return mr_chain_put(task->chain, &item, err);
    *out_fed = tick(task);
    return MR_OK;
}

/* One move: deliver, or take from the chain, or feed it. *out_moved false: stuck for now. */
static enum mr_status move(struct mr_task *task, bool *out_moved, struct mr_error *err)
{
    enum mr_flow flow;
    struct mr_item item = {.tag = (enum mr_item_tag)0};
    uint32_t op = 0;

    *out_moved = false;
    if (task->item.tag != 0) return deliver(task, out_moved, err);
    MR_RET(mr_chain_next(task->chain, &item, &op, &flow, err));
    switch (flow) {
    case MR_FLOW_HAVE_OUTPUT:
        if (task->trace != NULL) trace_item(task, &item);
        *out_moved = true;
        if (!leaves_chain(&item)) return MR_OK;
        task->item = item;
        task->item_op = op;
        task->edge_at = 0;
        task->offered = false;
        return MR_OK;
    case MR_FLOW_NEED_INPUT: return feed(task, out_moved, err);
    case MR_FLOW_BLOCKED:
        mr_counter_add(task->counters, MR_COUNTER_BLOCKED, 1);
        *out_moved = tick(task);
        return MR_OK;
    case MR_FLOW_DONE: task->over = true; return MR_OK;
    }
    MR_UNREACHABLE();
}

enum mr_status mr_task_step(struct mr_task *task, enum mr_progress *out_progress,
                            struct mr_error *err)
{
    bool any = false;

    mr_assert(!task->over);
    for (uint32_t i = 0; i < MR_STEP_ITEMS && !task->over; i++) {
        bool moved;
        MR_RET(move(task, &moved, err));
        any |= moved;
        if (!moved) break;
    }
    mr_counter_add(task->counters, MR_COUNTER_STEPS, 1);
    for (uint32_t i = 0; i < task->sender_count && !task->over; i++) {
        /* Idle: what is there leaves now. Busy: after some turns. */
        any |= any ? mr_sender_turn(task->senders[i]) : mr_sender_flush(task->senders[i]);
    }
    *out_progress = task->over ? MR_PROGRESS_OVER : any ? MR_PROGRESS_MADE : MR_PROGRESS_NONE;
    return MR_OK;
}
