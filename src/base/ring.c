/* ring.c - see ring.h. */
#include "base/ring.h"
#include "base/assert.h"

#include <string.h>

#define CAPACITY_MAX (UINT32_C(1) << 31)

enum mr_status mr_ring_init(struct mr_ring *ring, struct mr_heap *heap, uint32_t capacity,
                            size_t slot_bytes)
{
    uint64_t rounded = 1;
    char *slots;

    mr_assert(capacity > 0 && capacity <= CAPACITY_MAX && slot_bytes > 0);
    while (rounded < capacity) rounded *= 2;
    slots = mr_alloc_array(heap, rounded, slot_bytes);
    if (slots == NULL) return MR_E_NOMEM;
    memset(ring, 0, sizeof *ring);
    ring->mask = rounded - 1;
    ring->slot_bytes = slot_bytes;
    ring->slots = slots;
    ring->heap = heap;
    return MR_OK;
}

void mr_ring_fini(struct mr_ring *ring)
{
    if (ring->slots != NULL) {
        mr_free(ring->heap, ring->slots, (size_t)(ring->mask + 1) * ring->slot_bytes);
    }
    ring->slots = NULL;
}

/* How many slots the producer may fill. Acquire: the consumer has copied a slot out before it moved
 * head past it, so writing it again is safe. */
static uint64_t room_seen(struct mr_ring *ring, uint64_t tail)
{
    uint64_t capacity = ring->mask + 1;
    uint64_t room = capacity - (tail - ring->cached_head);

    if (room == 0) {
        ring->cached_head = atomic_load_explicit(&ring->head, memory_order_acquire);
        room = capacity - (tail - ring->cached_head);
    }
    mr_assert_slow(room <= capacity);
    return room;
}

bool mr_ring_put(struct mr_ring *ring, const void *slot)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */

    if (room_seen(ring, tail) == 0) return false;
    memcpy(ring->slots + (size_t)(tail & ring->mask) * ring->slot_bytes, slot, ring->slot_bytes);
    /* Release: the slot's bytes are there before the consumer sees the new tail. */
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

bool mr_ring_get(struct mr_ring *ring, void *out_slot)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* our own */

    if (head == ring->cached_tail) {
        /* Acquire: pairs with the release in put. */
        ring->cached_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->cached_tail) return false;
    }
    memcpy(out_slot, ring->slots + (size_t)(head & ring->mask) * ring->slot_bytes,
           ring->slot_bytes);
    /* Release: we are done with the slot before the producer may fill it again. */
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

uint32_t mr_ring_room(struct mr_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */

    ring->cached_head = atomic_load_explicit(&ring->head, memory_order_acquire); /* as room_seen */
    return (uint32_t)(ring->mask + 1 - (tail - ring->cached_head));
}

bool mr_ring_empty(const struct mr_ring *ring)
{
    /* Acquire: whoever sees a slot here may go on to read it. */
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

    return atomic_load_explicit(&ring->head, memory_order_relaxed) == tail;
}
