/* blobs.h - where accumulators keep what does not fit their slot: a store's byte path, or a heap.
 *
 * The same accumulators live in the keyed store (final, whole, session) and in the partial
 * aggregate's local table. Both give memory for a `struct mr_blob` through these two functions.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   resize: false when there is no memory; the blob is as it was.
 * Cost:    one indirect call; texts and promoted sums only.
 */
#ifndef MR_EXEC_AGGREGATE_BLOBS_H
#define MR_EXEC_AGGREGATE_BLOBS_H

#include "state/store.h"

struct mri_blobs {
    void *self;
    bool (*resize)(void *self, struct mr_blob *blob, uint32_t size_bytes);
    void (*release)(void *self, struct mr_blob *blob);
};

/* Over a store. */
struct mri_blobs mri_blobs_of_store(struct mr_store *store);

/* Over a heap, counting what is out. */
struct mri_blob_heap {
    struct mr_heap *heap;
    size_t used_bytes;
};
struct mri_blobs mri_blobs_of_heap(struct mri_blob_heap *memory);

#endif
