/* heap.h - where memory comes from: one budget, counted, able to fail on demand.
 *
 * A heap is a set of three functions and a counter. Every allocation of the library goes through
 * one, so that `--memory` bounds the process, peak use is known, and tests can make the n-th
 * allocation fail. Heaps nest: a child charges its parent, which lets one operator have a limit of
 * its own inside the job's.
 *
 * Owns:    the count, not the blocks: whoever allocates frees.
 * Thread:  any (counters are relaxed atomics); the backing functions must be thread safe.
 * Fails:   alloc returns NULL at the limit; nothing is counted then.
 * Cost:    two relaxed atomic additions per call and level; not for use per row.
 */
#ifndef MR_BASE_HEAP_H
#define MR_BASE_HEAP_H

#include "base/compiler.h"
#include <stdatomic.h>

struct mr_heap {
    const char *name;
    struct mr_heap *parent; /* charged too; NULL for the root */
    void *(*raw_alloc)(void *self, size_t size_bytes); /* root only */
    void (*raw_free)(void *self, void *memory, size_t size_bytes);
    void *self;
    size_t limit_bytes;
    _Atomic size_t used_bytes;
    _Atomic size_t peak_bytes;
    _Atomic uint64_t alloc_count;
    _Atomic uint64_t fail_at;      /* the allocation with this number fails; 0: never (tests) */
    _Atomic uint64_t failed_count; /* refusals, by limit or by test */
};

/* A root heap over raw functions; the ones of the process live in port/posix. */
void mr_heap_init(struct mr_heap *heap, const char *name, size_t limit_bytes,
                  void *(*raw_alloc)(void *, size_t), void (*raw_free)(void *, void *, size_t),
                  void *self);
/* A heap with a limit of its own that takes its memory from `parent`. */
void mr_heap_init_child(struct mr_heap *heap, const char *name, size_t limit_bytes,
                        struct mr_heap *parent);
void mr_heap_fini(struct mr_heap *heap); /* asserts that everything came back */

/* 16-byte aligned, contents undefined. size_bytes 0 is allowed and gives a valid pointer. */
void *mr_alloc(struct mr_heap *heap, size_t size_bytes) MR_MUST_USE;
void *mr_alloc_zero(struct mr_heap *heap, size_t size_bytes) MR_MUST_USE;
/* Overflow-safe count * size_bytes, zeroed. */
void *mr_alloc_array(struct mr_heap *heap, size_t count, size_t size_bytes) MR_MUST_USE;
/* Keeps the first min(old, new) bytes; on failure the old memory stays valid. */
void *mr_realloc(struct mr_heap *heap, void *memory, size_t old_bytes, size_t new_bytes) MR_MUST_USE;
/* The size must be the one that was asked for. NULL memory is allowed. */
void mr_free(struct mr_heap *heap, void *memory, size_t size_bytes);
/* A terminated copy; free with strlen + 1 bytes. */
char *mr_strdup(struct mr_heap *heap, const char *text) MR_MUST_USE;
void mr_strfree(struct mr_heap *heap, char *text);

#endif
