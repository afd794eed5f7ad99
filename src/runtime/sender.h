/* sender.h - one outgoing edge of a task: which rows go to which instance, and when they leave.
 *
 * A batch is offered, the sender scatters its rows into one builder per receiving instance, and
 * full batches go into the channels. FORWARD, BROADCAST, ROUND ROBIN and every edge with one receiver pass the
 * batch on by reference. Control items go to all receivers, after the rows before them.
 *
 * Partial batches leave when they are full, before every control item, when the task would go
 * idle, and at the latest after MR_FLUSH_TURNS turns.
 *
 * Owns:    builders, the batch being scattered.
 * Thread:  confined to the sending task.
 * Fails:   rows too large for a batch; MR_E_NOMEM.
 * Cost:    per row: hash (unless it travels with the row), one multiply, one scatter store, one
 *          copy; no branch that depends on the data.
 *
 * Invariants: (1) an item is accepted only when nothing is pending. (2) per channel, order is kept.
 *  (3) every row goes to exactly one receiver (BROADCAST: to all), decided by row and counter alone.
 */
#ifndef MR_RUNTIME_SENDER_H
#define MR_RUNTIME_SENDER_H

#include "runtime/channel.h"

#define MR_FLUSH_TURNS 16u

struct mr_sender;

struct mr_sender_options {
    const struct mr_plan_edge *edge;
    struct mr_channel *const *channels; /* one per receiving instance; FORWARD: one in all */
    uint32_t channel_count;
    uint32_t key_group_count;
    uint32_t batch_rows;
    struct mr_counters *counters;
};
enum mr_status mr_sender_create(struct mr_heap *heap, const struct mr_sender_options *options,
                                struct mr_sender **out, struct mr_error *err) MR_MUST_USE;
void mr_sender_destroy(struct mr_sender *sender);

/* Offers an item (the batch is referenced, not taken). Only when the sender is ready. */
enum mr_status mr_sender_put(struct mr_sender *sender, const struct mr_item *item,
                             struct mr_error *err) MR_MUST_USE;
/* Moves pending rows and items on. *out_ready: everything is delivered, put may be called. */
enum mr_status mr_sender_push(struct mr_sender *sender, bool *out_ready,
                              struct mr_error *err) MR_MUST_USE;
/* Sends partial batches now, as far as channels have room; true if it sent something. */
bool mr_sender_flush(struct mr_sender *sender);
/* Counts a turn; flushes when rows have waited MR_FLUSH_TURNS. */
bool mr_sender_turn(struct mr_sender *sender);

#endif
