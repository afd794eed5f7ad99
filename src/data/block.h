/* block.h - bounded memory for data on the move.
 *
 * A block is contiguous, relocatable, reference-counted memory. Blocks come in size classes from a
 * pool that all workers share; every block is charged to a quota: the memory that one channel (or
 * one operator) may have in flight. The sum of all quotas is known when the plan is made and fits
 * the job's memory, so an empty quota means "wait for the consumer" and can never dead-lock against
 * another channel.
 *
 * Owns:    the pool owns free blocks; a used block belongs to its reference holders.
 * Thread:  any: the free lists are lock-free (index + tag in one word), counts are atomic.
 *          Contents are written by one owner and immutable once a second reference exists.
 * Fails:   mr_block_new returns NULL when the quota is used up (back-pressure: try again later) or
 *          when the heap refuses; mr_quota_has() tells which.
 * Cost:    one or two atomic exchanges per block, none per row.
 *
 * Invariants:
 *  (1) quota.used is the sum of the class sizes of its living blocks and never exceeds quota.limit.
 *  (2) A block returns to its pool exactly once, when its last reference goes.
 *  (3) A quota outlives its blocks, the pool outlives its quotas; mr_pool_destroy asserts that all
 *      blocks are free.
 */
#ifndef MR_DATA_BLOCK_H
#define MR_DATA_BLOCK_H

#include "base/heap.h"

#define MR_BLOCK_BYTES_MIN ((size_t)4096)
#define MR_BLOCK_BYTES_MAX ((size_t)256 * 1024)
#define MR_BLOCK_CLASSES   7 /* 4, 8, 16, 32, 64, 128, 256 KiB */

struct mr_block;

struct mr_pool; /* opaque: size-class free lists over a heap */

enum mr_status mr_pool_create(struct mr_heap *heap, size_t limit_bytes, struct mr_pool **out,
                              struct mr_error *err) MR_MUST_USE;
void mr_pool_destroy(struct mr_pool *pool);            /* asserts that every block came back */
size_t mr_pool_used_bytes(const struct mr_pool *pool); /* in living blocks */
size_t mr_pool_held_bytes(const struct mr_pool *pool); /* living and kept for reuse */

struct mr_quota {
    struct mr_pool *pool;
    const char *name; /* for messages; not owned */
    size_t limit_bytes;
    _Atomic size_t used_bytes;
};

void mr_quota_init(struct mr_quota *quota, struct mr_pool *pool, const char *name,
                   size_t limit_bytes);
/* True if `bytes` more (rounded up to a size class) would fit now. */
bool mr_quota_has(const struct mr_quota *quota, size_t bytes);

struct mr_block {
    _Atomic uint32_t references;
    uint32_t size_class;
    struct mr_quota *quota;
    uint32_t id;             /* index in the pool */
    uint32_t capacity_bytes; /* of data, after this header */
    struct mr_block *next;   /* free for whoever holds the only reference */
    MR_ALIGNED(64) char data[];
};

size_t mr_block_class_bytes(uint32_t size_class);
/* A block with at least `bytes` of data (at most MR_BLOCK_BYTES_MAX - 64), one reference. */
struct mr_block *mr_block_new(struct mr_quota *quota, size_t bytes) MR_MUST_USE;
struct mr_block *mr_block_ref(struct mr_block *block);
void mr_block_release(struct mr_block *block); /* NULL allowed */

#endif
