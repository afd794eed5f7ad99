/* block.c - see block.h.
 *
 * Every block that the pool ever made has a slot in a table that only grows. A free list is a chain
 * of slots; its head packs the number of the first slot and a tag that changes with every step,
 * so that a slot which came and went in between is noticed. The chain lies in the table and not in
 * the blocks: a thread that lost the race may still look at a slot whose block is back in the heap.
 */
#include "data/block.h"
#include "base/assert.h"
#include "base/status.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(block)   ASAN_POISON_MEMORY_REGION((block)->data, (block)->capacity_bytes)
#define UNPOISON(block) ASAN_UNPOISON_MEMORY_REGION((block)->data, (block)->capacity_bytes)
#else
#define POISON(block)   ((void)(block))
#define UNPOISON(block) ((void)(block))
#endif

#define NO_SLOTS          MR_BLOCK_CLASSES /* the list of slots without a block */
#define LIST_COUNT        (MR_BLOCK_CLASSES + 1)
#define CHUNK_SHIFT       8u /* chunk k of the table holds 256 << k slots */
#define CHUNK_COUNT       24u
#define ALIGN_BYTES       ((size_t)64)
#define ALIGN_SLACK_BYTES (ALIGN_BYTES - 16) /* the heap gives 16-byte alignment */
#define HEADER_BYTES      offsetof(struct mr_block, data)

_Static_assert(HEADER_BYTES == 64, "block.h promises data right behind 64 bytes");
_Static_assert(MR_BLOCK_BYTES_MIN << (MR_BLOCK_CLASSES - 1) == MR_BLOCK_BYTES_MAX, "classes");

struct slot {
    _Atomic uint32_t next; /* slot number + 1 of the next one in the list, 0: last */
    struct mr_block *block;
    void *memory; /* what the heap gave; block is the first aligned address in it */
};

struct list {              /* a cache line each: workers meet here */
    _Atomic uint64_t head; /* tag << 32 | slot number + 1 */
    char padding[MR_CACHE_LINE - sizeof(uint64_t)];
};

struct mr_pool {
    struct mr_heap *heap;
    size_t limit_bytes;
    struct list lists[LIST_COUNT];
    _Atomic size_t held_bytes;
    _Atomic size_t used_bytes;
    _Atomic uint32_t slot_count;
    _Atomic(struct slot *) chunks[CHUNK_COUNT];
};

size_t mr_block_class_bytes(uint32_t size_class)
{
    mr_assert(size_class < MR_BLOCK_CLASSES);
    return MR_BLOCK_BYTES_MIN << size_class;
}

/* The smallest class with room for `bytes` of data. */
static uint32_t class_for(size_t bytes)
{
    uint32_t size_class = 0;

    mr_assert(bytes <= MR_BLOCK_BYTES_MAX - HEADER_BYTES);
    while (mr_block_class_bytes(size_class) - HEADER_BYTES < bytes) size_class++;
    return size_class;
}

/* Adds with a limit. Relaxed: the sum guards no other memory. */
static bool add_within(_Atomic size_t *sum, size_t bytes, size_t limit_bytes)
{
    size_t now = atomic_load_explicit(sum, memory_order_relaxed);

    do {
        if (now > limit_bytes || bytes > limit_bytes - now) return false;
    } while (!atomic_compare_exchange_weak_explicit(sum, &now, now + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void subtract(_Atomic size_t *sum, size_t bytes)
{
    size_t before = atomic_fetch_sub_explicit(sum, bytes, memory_order_relaxed);

    mr_assert(before >= bytes);
}

/* ---- the table of slots ---- */

/* Chunks double, so that a small table is small and a number of 32 bits is enough for all. */
static uint32_t chunk_of(uint32_t number, uint32_t *out_first)
{
    uint32_t chunk = 31u - (uint32_t)__builtin_clz((number >> CHUNK_SHIFT) + 1);

    *out_first = ((UINT32_C(1) << chunk) - 1) << CHUNK_SHIFT;
    return chunk;
}

static size_t chunk_slots(uint32_t chunk)
{
    return (size_t)1 << (CHUNK_SHIFT + chunk);
}

static struct slot *slot_at(const struct mr_pool *pool, uint32_t number)
{
    uint32_t first;
    uint32_t chunk = chunk_of(number, &first);

    /* Acquire: pairs with the installation of the chunk by another thread. */
    return &atomic_load_explicit(&pool->chunks[chunk], memory_order_acquire)[number - first];
}

static bool ensure_chunk(struct mr_pool *pool, uint32_t number)
{
    uint32_t first;
    uint32_t chunk = chunk_of(number, &first);
    struct slot *none = NULL;
    struct slot *slots;

    if (chunk >= CHUNK_COUNT) return false;
    if (atomic_load_explicit(&pool->chunks[chunk], memory_order_acquire) != NULL) return true;
    slots = mr_alloc_array(pool->heap, chunk_slots(chunk), sizeof *slots);
    if (slots == NULL) return false;
    /* Release: the zeroes go before the pointer. */
    if (!atomic_compare_exchange_strong_explicit(&pool->chunks[chunk], &none, slots,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        mr_free(pool->heap, slots, chunk_slots(chunk) * sizeof *slots); /* another was faster */
    }
    return true;
}

static void list_push(struct mr_pool *pool, uint32_t list, uint32_t number)
{
    struct slot *slot = slot_at(pool, number);
    _Atomic uint64_t *at = &pool->lists[list].head;
    uint64_t head = atomic_load_explicit(at, memory_order_relaxed);
    uint64_t fresh;

    do {
        atomic_store_explicit(&slot->next, (uint32_t)head, memory_order_relaxed);
        fresh = ((head >> 32) + 1) << 32 | (number + 1);
        /* Release: whoever pops the slot sees what was written to it and to its block. */
    } while (!atomic_compare_exchange_weak_explicit(at, &head, fresh, memory_order_release,
                                                    memory_order_relaxed));
}

static bool list_pop(struct mr_pool *pool, uint32_t list, uint32_t *out_number)
{
    _Atomic uint64_t *at = &pool->lists[list].head;
    uint64_t head = atomic_load_explicit(at, memory_order_acquire);
    uint64_t fresh;

    do {
        uint32_t next;

        if ((uint32_t)head == 0) return false;
        /* May be stale when others pop and push in between; then the tag has changed too. */
        next = atomic_load_explicit(&slot_at(pool, (uint32_t)head - 1)->next, memory_order_relaxed);
        fresh = ((head >> 32) + 1) << 32 | next;
    } while (!atomic_compare_exchange_weak_explicit(at, &head, fresh, memory_order_acquire,
                                                    memory_order_acquire));
    *out_number = (uint32_t)head - 1;
    return true;
}

static bool slot_new(struct mr_pool *pool, uint32_t *out_number)
{
    uint32_t number;

    if (list_pop(pool, NO_SLOTS, out_number)) return true;
    number = atomic_load_explicit(&pool->slot_count, memory_order_relaxed);
    do {
        if (!ensure_chunk(pool, number)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&pool->slot_count, &number, number + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    *out_number = number;
    return true;
}

/* ---- blocks in and out of the heap ---- */

static size_t memory_bytes(uint32_t size_class)
{
    return mr_block_class_bytes(size_class) + ALIGN_SLACK_BYTES;
}

static bool fill_slot(struct mr_pool *pool, uint32_t number, uint32_t size_class)
{
    struct slot *slot = slot_at(pool, number);
    void *memory = mr_alloc(pool->heap, memory_bytes(size_class));
    struct mr_block *block;

    if (memory == NULL) return false;
    mr_assert_slow((uintptr_t)memory % 16 == 0);
    block = (struct mr_block *)(void *)((char *)memory + (-(uintptr_t)memory & (ALIGN_BYTES - 1)));
    memset(block, 0, HEADER_BYTES);
    block->size_class = size_class;
    block->id = number;
    block->capacity_bytes = (uint32_t)(mr_block_class_bytes(size_class) - HEADER_BYTES);
    slot->memory = memory;
    slot->block = block;
    return true;
}

/* Gives the block of a slot back to the heap. The caller has taken the slot off its list. */
static void empty_slot(struct mr_pool *pool, uint32_t number)
{
    struct slot *slot = slot_at(pool, number);
    uint32_t size_class = slot->block->size_class;

    UNPOISON(slot->block);
    mr_free(pool->heap, slot->memory, memory_bytes(size_class));
    slot->memory = NULL;
    slot->block = NULL;
    subtract(&pool->held_bytes, mr_block_class_bytes(size_class));
}

/* Frees kept blocks until `bytes` are back in the heap. False: there was nothing to free. */
static bool trim(struct mr_pool *pool, size_t bytes)
{
    size_t freed_bytes = 0;

    for (uint32_t size_class = MR_BLOCK_CLASSES; size_class-- > 0 && freed_bytes < bytes;) {
        uint32_t number;

        while (freed_bytes < bytes && list_pop(pool, size_class, &number)) {
            empty_slot(pool, number);
            list_push(pool, NO_SLOTS, number);
            freed_bytes += mr_block_class_bytes(size_class);
        }
    }
    return freed_bytes > 0;
}

static bool try_block_from_heap(struct mr_pool *pool, uint32_t size_class, uint32_t *out_number)
{
    size_t bytes = mr_block_class_bytes(size_class);

    if (!add_within(&pool->held_bytes, bytes, pool->limit_bytes)) return false;
    if (slot_new(pool, out_number)) {
        if (fill_slot(pool, *out_number, size_class)) return true;
        list_push(pool, NO_SLOTS, *out_number);
    }
    subtract(&pool->held_bytes, bytes);
    return false;
}

static MR_COLD bool block_from_heap(struct mr_pool *pool, uint32_t size_class, uint32_t *out_number)
{
    while (!try_block_from_heap(pool, size_class, out_number)) {
        if (!trim(pool, mr_block_class_bytes(size_class))) return false;
    }
    return true;
}

/* ---- the face ---- */

enum mr_status mr_pool_create(struct mr_heap *heap, size_t limit_bytes, struct mr_pool **out,
                              struct mr_error *err)
{
    struct mr_pool *pool = mr_alloc_zero(heap, sizeof *pool);

    if (pool == NULL) return mr_error_nomem(err, "block pool", sizeof *pool);
    pool->heap = heap;
    pool->limit_bytes = limit_bytes;
    *out = pool;
    return MR_OK;
}

void mr_pool_destroy(struct mr_pool *pool)
{
    if (pool == NULL) return;
    mr_assert(mr_pool_used_bytes(pool) == 0); /* (3) every block came back */
    while (trim(pool, SIZE_MAX)) continue;
    mr_assert(mr_pool_held_bytes(pool) == 0);
    for (uint32_t chunk = 0; chunk < CHUNK_COUNT; chunk++) {
        struct slot *slots = atomic_load_explicit(&pool->chunks[chunk], memory_order_relaxed);

        mr_free(pool->heap, slots, chunk_slots(chunk) * sizeof *slots);
    }
    mr_free(pool->heap, pool, sizeof *pool);
}

size_t mr_pool_used_bytes(const struct mr_pool *pool)
{
    return atomic_load_explicit(&pool->used_bytes, memory_order_relaxed);
}

size_t mr_pool_held_bytes(const struct mr_pool *pool)
{
    return atomic_load_explicit(&pool->held_bytes, memory_order_relaxed);
}

void mr_quota_init(struct mr_quota *quota, struct mr_pool *pool, const char *name,
                   size_t limit_bytes)
{
    quota->pool = pool;
    quota->name = name;
    quota->limit_bytes = limit_bytes;
    atomic_init(&quota->used_bytes, 0);
}

bool mr_quota_has(const struct mr_quota *quota, size_t bytes)
{
    size_t used = atomic_load_explicit(&quota->used_bytes, memory_order_relaxed);
    size_t wanted;

    if (bytes > MR_BLOCK_BYTES_MAX - HEADER_BYTES) return false;
    wanted = mr_block_class_bytes(class_for(bytes));
    return used <= quota->limit_bytes && wanted <= quota->limit_bytes - used;
}

struct mr_block *mr_block_new(struct mr_quota *quota, size_t bytes)
{
    struct mr_pool *pool = quota->pool;
    uint32_t size_class = class_for(bytes);
    size_t class_bytes = mr_block_class_bytes(size_class);
    struct mr_block *block;
    uint32_t number;

    if (!add_within(&quota->used_bytes, class_bytes, quota->limit_bytes)) return NULL; /* (1) */
    if (!list_pop(pool, size_class, &number) && !block_from_heap(pool, size_class, &number)) {
        subtract(&quota->used_bytes, class_bytes);
        return NULL;
    }
    block = slot_at(pool, number)->block;
    mr_assert(block->size_class == size_class);
    UNPOISON(block);
    block->quota = quota;
    block->next = NULL;
    atomic_store_explicit(&block->references, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->used_bytes, class_bytes, memory_order_relaxed);
    return block;
}

struct mr_block *mr_block_ref(struct mr_block *block)
{
    /* Relaxed: whoever refs already holds a reference. */
    uint32_t before = atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);

    mr_assert(before > 0 && before < UINT32_MAX);
    return block;
}

void mr_block_release(struct mr_block *block)
{
    uint32_t before;
    size_t class_bytes;
    struct mr_quota *quota;

    if (block == NULL) return;
    /* Release what this thread read of it, acquire what the others did, before it is reused. */
    before = atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel);
    mr_assert(before > 0); /* (2) */
    if (before > 1) return;
    class_bytes = mr_block_class_bytes(block->size_class);
    quota = block->quota;
    POISON(block);
    subtract(&quota->pool->used_bytes, class_bytes);
    list_push(quota->pool, block->size_class, block->id);
    subtract(&quota->used_bytes, class_bytes); /* last: then the quota's owner may go */
}
