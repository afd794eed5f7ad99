#include "runtime/channel.h"

#include "base/assert.h"

enum mr_status mr_channel_init(struct mr_channel *channel, struct mr_heap *heap,
                               struct mr_pool *pool, const char *name, uint32_t slots,
                               size_t quota_bytes, struct mr_wakeup *receiver,
                               struct mr_error *err)
{
    enum mr_status st = mr_ring_init(&channel->ring, heap, slots, sizeof(struct mr_item));

    if (st != MR_OK) return mr_error_nomem(err, "a channel between operators", slots * sizeof(struct mr_item));
    mr_quota_init(&channel->quota, pool, name, quota_bytes);
    channel->receiver = receiver;
    return MR_OK;
}

void mr_channel_fini(struct mr_channel *channel)
{
    struct mr_item item;

    if (channel->ring.slots != NULL) {
        while (mr_ring_get(&channel->ring, &item)) {
            if (item.tag == MR_ITEM_BATCH) mr_batch_release(item.batch);
        }
    }
    mr_ring_fini(&channel->ring);
}

bool mr_channel_put(struct mr_channel *channel, const struct mr_item *item)
{
    if (!mr_ring_put(&channel->ring, item)) return false;
    /* Pairs with the fence a worker makes between announcing its sleep and its last look: either
     * it sees the item or we see the announcement. */
    atomic_thread_fence(memory_order_seq_cst);
    if (MR_UNLIKELY(atomic_load_explicit(&channel->receiver->parked, memory_order_relaxed))) {
        const struct mr_parker *parker = channel->receiver->parker;
        parker->wake(parker->self, channel->receiver->worker);
    }
    return true;
}

bool mr_channel_get(struct mr_channel *channel, struct mr_item *out)
{
    return mr_ring_get(&channel->ring, out);
}

bool mr_channel_empty(const struct mr_channel *channel)
{
    return mr_ring_empty(&channel->ring);
}
