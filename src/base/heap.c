/* heap.c - see heap.h. */
#include "base/heap.h"
#include "base/assert.h"

#include <string.h>

static void init(struct mr_heap *heap, const char *name, size_t limit_bytes)
{
    *heap = (struct mr_heap){.name = name, .limit_bytes = limit_bytes};
}

void mr_heap_init(struct mr_heap *heap, const char *name, size_t limit_bytes,
                  void *(*raw_alloc)(void *, size_t), void (*raw_free)(void *, void *, size_t),
                  void *self)
{
    mr_assert(raw_alloc != NULL && raw_free != NULL);
    init(heap, name, limit_bytes);
    heap->raw_alloc = raw_alloc;
    heap->raw_free = raw_free;
    heap->self = self;
}

void mr_heap_init_child(struct mr_heap *heap, const char *name, size_t limit_bytes,
                        struct mr_heap *parent)
{
    mr_assert(parent != NULL);
    init(heap, name, limit_bytes);
    heap->parent = parent;
}

void mr_heap_fini(struct mr_heap *heap)
{
    mr_assert(atomic_load_explicit(&heap->used_bytes, memory_order_relaxed) == 0);
}

/* Relaxed everywhere: the counters guard no other memory, and the sum is exact whatever the order. */
static void refuse(struct mr_heap *heap)
{
    atomic_fetch_add_explicit(&heap->failed_count, 1, memory_order_relaxed);
}

static void raise_peak(struct mr_heap *heap, size_t used)
{
    size_t peak = atomic_load_explicit(&heap->peak_bytes, memory_order_relaxed);

    while (used > peak) {
        if (atomic_compare_exchange_weak_explicit(&heap->peak_bytes, &peak, used,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return;
        }
    }
}

/* Takes bytes out of the budget of one heap. Charge first, then look: two threads at the limit may
 * both be refused, but never both be served. */
static bool charge_one(struct mr_heap *heap, size_t size_bytes)
{
    uint64_t number = atomic_fetch_add_explicit(&heap->alloc_count, 1, memory_order_relaxed) + 1;
    size_t before;

    if (MR_UNLIKELY(number == atomic_load_explicit(&heap->fail_at, memory_order_relaxed))) {
        refuse(heap);
        return false;
    }
    before = atomic_fetch_add_explicit(&heap->used_bytes, size_bytes, memory_order_relaxed);
    if (MR_UNLIKELY(before > heap->limit_bytes || size_bytes > heap->limit_bytes - before)) {
        atomic_fetch_sub_explicit(&heap->used_bytes, size_bytes, memory_order_relaxed);
        refuse(heap);
        return false;
    }
    raise_peak(heap, before + size_bytes);
    return true;
}

static void discharge(struct mr_heap *heap, const struct mr_heap *end, size_t size_bytes)
{
    for (; heap != end; heap = heap->parent) {
        size_t before =
            atomic_fetch_sub_explicit(&heap->used_bytes, size_bytes, memory_order_relaxed);

        mr_assert(before >= size_bytes); /* given back with another size than it was taken */
    }
}

static bool charge(struct mr_heap *heap, size_t size_bytes)
{
    struct mr_heap *level = heap;

    do {
        if (MR_UNLIKELY(!charge_one(level, size_bytes))) {
            discharge(heap, level, size_bytes);
            return false;
        }
        level = level->parent;
    } while (level != NULL);
    return true;
}

static struct mr_heap *root_of(struct mr_heap *heap)
{
    while (heap->parent != NULL) heap = heap->parent;
    return heap;
}

void *mr_alloc(struct mr_heap *heap, size_t size_bytes)
{
    struct mr_heap *root = root_of(heap);
    void *memory;

    if (size_bytes > SIZE_MAX / 2) { /* also keeps the sums of the counters far from wrapping */
        refuse(heap);
        return NULL;
    }
    if (!charge(heap, size_bytes)) return NULL;
    memory = root->raw_alloc(root->self, size_bytes == 0 ? 1 : size_bytes);
    if (MR_UNLIKELY(memory == NULL)) {
        refuse(heap);
        discharge(heap, NULL, size_bytes);
        return NULL;
    }
    return memory;
}

void *mr_alloc_zero(struct mr_heap *heap, size_t size_bytes)
{
    void *memory = mr_alloc(heap, size_bytes);

    if (memory != NULL) memset(memory, 0, size_bytes);
    return memory;
}

void *mr_alloc_array(struct mr_heap *heap, size_t count, size_t size_bytes)
{
    size_t total;

    if (__builtin_mul_overflow(count, size_bytes, &total)) {
        refuse(heap);
        return NULL;
    }
    return mr_alloc_zero(heap, total);
}

void *mr_realloc(struct mr_heap *heap, void *memory, size_t old_bytes, size_t new_bytes)
{
    void *fresh = mr_alloc(heap, new_bytes);

    if (fresh == NULL) return NULL;
    if (memory == NULL) return fresh;
    memcpy(fresh, memory, MR_MIN(old_bytes, new_bytes));
    mr_free(heap, memory, old_bytes);
    return fresh;
}

void mr_free(struct mr_heap *heap, void *memory, size_t size_bytes)
{
    struct mr_heap *root;

    if (memory == NULL) return; /* also of a heap that was never made: zeroed structs are ended too */
    root = root_of(heap);
    root->raw_free(root->self, memory, size_bytes == 0 ? 1 : size_bytes);
    discharge(heap, NULL, size_bytes);
}

char *mr_strdup(struct mr_heap *heap, const char *text)
{
    size_t size_bytes = strlen(text) + 1;
    char *copy = mr_alloc(heap, size_bytes);

    if (copy != NULL) memcpy(copy, text, size_bytes);
    return copy;
}

void mr_strfree(struct mr_heap *heap, char *text)
{
    if (text != NULL) mr_free(heap, text, strlen(text) + 1);
}
