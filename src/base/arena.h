/* arena.h - memory that shares one lifetime.
 *
 * An arena is filled piece by piece and emptied in one call. Name each one after its lifetime
 * (job_arena, batch_arena): then a pointer that outlives it looks wrong on sight.
 *
 * Owns:    its chunks, taken from a heap.
 * Thread:  confined to the thread that made it.
 * Fails:   alloc returns NULL when the heap refuses.
 * Cost:    O(1), no lock, at most one chunk allocated per call.
 */
#ifndef MR_BASE_ARENA_H
#define MR_BASE_ARENA_H

#include "base/heap.h"

struct mr_arena_chunk;

struct mr_arena {
    struct mr_heap *heap;
    struct mr_arena_chunk *top;
    size_t used_bytes; /* sum over all chunks, for limits and tests */
};

void mr_arena_init(struct mr_arena *arena, struct mr_heap *heap);
void *mr_arena_alloc(struct mr_arena *arena, size_t size_bytes) MR_MUST_USE; /* 16-byte aligned */
void *mr_arena_zero(struct mr_arena *arena, size_t size_bytes) MR_MUST_USE;
char *mr_arena_strdup(struct mr_arena *arena, const char *text) MR_MUST_USE;
void mr_arena_reset(struct mr_arena *arena); /* keeps one chunk for the next round */
void mr_arena_fini(struct mr_arena *arena);  /* a zeroed arena is allowed */

#endif
