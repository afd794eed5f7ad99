/* ring.h - a bounded queue between one producer thread and one consumer thread.
 *
 * Slots are fixed-size and copied in and out. Each side keeps a cached copy of the other's index
 * (after Lee et al., MCRingBuffer, IPDPS 2010), so that an uncontended transfer touches one shared
 * line only when the cached value runs out.
 *
 * Owns:    its slot array.
 * Thread:  lock-free: the producer writes tail, the consumer writes head; both read both.
 * Fails:   put answers false when full, get when empty; init fails with the heap.
 * Cost:    a few ns; no system call. Capacity is rounded up to a power of two.
 */
#ifndef MR_BASE_RING_H
#define MR_BASE_RING_H

#include "base/heap.h"

struct mr_ring {
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint64_t head; /* next to read; written by the consumer */
    uint64_t cached_tail;
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint64_t tail; /* next to write; written by the producer */
    uint64_t cached_head;
    MR_ALIGNED(MR_CACHE_LINE) uint64_t mask;
    size_t slot_bytes;
    char *slots;
    struct mr_heap *heap;
};

enum mr_status mr_ring_init(struct mr_ring *ring, struct mr_heap *heap, uint32_t capacity,
                            size_t slot_bytes) MR_MUST_USE;
void mr_ring_fini(struct mr_ring *ring); /* a zeroed ring is allowed */
bool mr_ring_put(struct mr_ring *ring, const void *slot);
bool mr_ring_get(struct mr_ring *ring, void *out_slot);
uint32_t mr_ring_room(struct mr_ring *ring);  /* producer: slots free at least */
bool mr_ring_empty(const struct mr_ring *ring); /* exact on the consumer, a hint elsewhere */

#endif
