#include "runtime/split_queue.h"

#include "base/assert.h"
#include "base/status.h"

static void set_bounds(struct mr_split_queue *queue)
{
    const struct mr_split_list *list = queue->list;

    queue->bound_from[list->count] = MR_TIME_MAX;
    for (uint32_t i = list->count; i-- > 0;) {
        int64_t bound = queue->claimed[i] ? MR_TIME_MAX : list->splits[i].lower_bound_us;

        queue->bound_from[i] = MR_MIN(bound, queue->bound_from[i + 1]);
    }
}

enum mr_status mr_split_queue_init(struct mr_split_queue *queue, struct mr_heap *heap,
                                   const struct mr_split_list *list, struct mr_error *err)
{
    size_t count = (size_t)list->count + 1;

    *queue = (struct mr_split_queue){.list = list, .heap = heap};
    queue->bound_from = mr_alloc_array(heap, count, sizeof *queue->bound_from);
    queue->claimed = mr_alloc_zero(heap, count * sizeof *queue->claimed);
    if (queue->bound_from == NULL || queue->claimed == NULL) {
        mr_split_queue_fini(queue);
        return mr_error_nomem(err, "the list of input splits", count * sizeof(int64_t));
    }
    atomic_init(&queue->rate_start_us, INT64_MIN);
    set_bounds(queue);
    return MR_OK;
}

void mr_split_queue_claim(struct mr_split_queue *queue, uint32_t split)
{
    mr_assert(split < queue->list->count);
    queue->claimed[split] = true;
}

void mr_split_queue_claims_end(struct mr_split_queue *queue)
{
    set_bounds(queue);
}

void mr_split_queue_fini(struct mr_split_queue *queue)
{
    size_t count;

    if (queue->list == NULL) return;
    count = (size_t)queue->list->count + 1;
    mr_free(queue->heap, queue->bound_from, count * sizeof *queue->bound_from);
    mr_free(queue->heap, queue->claimed, count * sizeof *queue->claimed);
    queue->bound_from = NULL;
    queue->claimed = NULL;
}

const struct mr_split *mr_split_queue_take(struct mr_split_queue *queue)
{
    uint32_t mine;

    do {
        if (atomic_load_explicit(&queue->next, memory_order_relaxed) >= queue->list->count) {
            return NULL;
        }
        /* At most one addition too many per reader after the end: no overflow. */
        mine = atomic_fetch_add_explicit(&queue->next, 1, memory_order_relaxed);
        if (mine >= queue->list->count) return NULL;
    } while (queue->claimed[mine]);
    return &queue->list->splits[mine];
}

uint32_t mr_split_queue_reserve(struct mr_split_queue *queue, uint64_t rate, int64_t now_us,
                                uint32_t wanted)
{
    int64_t start = INT64_MIN;
    uint64_t taken = atomic_load_explicit(&queue->rate_rows, memory_order_relaxed);
    uint64_t allowed;
    uint32_t mine;

    if (atomic_compare_exchange_strong(&queue->rate_start_us, &start, now_us)) start = now_us;
    if (now_us < start) now_us = start; /* another worker's turn began later */
    allowed = (uint64_t)((mr_u128)rate * (uint64_t)(now_us - start) / (uint64_t)MR_SECOND);
    do {
        if (allowed <= taken) return 0;
        mine = (uint32_t)MR_MIN(allowed - taken, (uint64_t)wanted);
    } while (!atomic_compare_exchange_weak(&queue->rate_rows, &taken, taken + mine));
    return mine;
}

void mr_split_queue_settle(struct mr_split_queue *queue, uint32_t reserved, uint32_t used)
{
    /* An own source may give more than it was asked for: modular arithmetic takes either sign. */
    atomic_fetch_add_explicit(&queue->rate_rows, (uint64_t)used - reserved, memory_order_relaxed);
}

int64_t mr_split_queue_pending(const struct mr_split_queue *queue)
{
    uint32_t next = atomic_load_explicit(&queue->next, memory_order_relaxed);

    return queue->bound_from[MR_MIN(next, queue->list->count)];
}
