/* channel.h - items from one task instance to another: a bounded ring and a memory quota.
 *
 * Owns:    the ring; items in it own their batches.
 * Thread:  lock-free: put by the sending task's worker, get by the receiving task's worker.
 * Fails:   put answers false when the ring is full.
 * Cost:    a few ns; one relaxed load to see whether the receiver sleeps.
 */
#ifndef MR_RUNTIME_CHANNEL_H
#define MR_RUNTIME_CHANNEL_H

#include "base/ring.h"
#include "exec/operator.h"

/* Waking a worker that may be parked. */
struct mr_wakeup {
    const struct mr_parker *parker;
    uint32_t worker;
    _Atomic bool parked;
};

struct mr_channel {
    struct mr_ring ring;
    struct mr_quota quota; /* batches that the sender makes for this channel */
    struct mr_wakeup *receiver;
};

enum mr_status mr_channel_init(struct mr_channel *channel, struct mr_heap *heap,
                               struct mr_pool *pool, const char *name, uint32_t slots,
                               size_t quota_bytes, struct mr_wakeup *receiver,
                               struct mr_error *err) MR_MUST_USE;
void mr_channel_fini(struct mr_channel *channel); /* releases what is still inside; zeroed allowed */
bool mr_channel_put(struct mr_channel *channel, const struct mr_item *item);
bool mr_channel_get(struct mr_channel *channel, struct mr_item *out);
bool mr_channel_empty(const struct mr_channel *channel);

#endif
