/* slice_groups.h - the rows of a batch by slice: a slice is a table, prepared once per batch.
 *
 * Slices are numbered in order of appearance; the rows of each keep their order. Most batches have
 * one slice (mri_slices_equal) and need no groups.
 *
 * Owns:    its arrays, kept from batch to batch.
 * Thread:  confined.
 * Fails:   make: false when there is no memory.
 * Cost:    linear: a hash table and a counting sort; a few ns per row.
 */
#ifndef MR_EXEC_AGGREGATE_SLICE_GROUPS_H
#define MR_EXEC_AGGREGATE_SLICE_GROUPS_H

#include "base/heap.h"

struct mri_slice_groups { /* zeroed but for the heap: empty */
    struct mr_heap *heap;
    uint32_t count;    /* slices */
    int64_t *slices;   /* by number */
    uint32_t *ends;    /* rows of slice g: rows[ends[g - 1]..ends[g]) */
    uint32_t *rows;
    /* inside */
    uint32_t room;
    uint32_t *places;  /* hash table: number of a slice + 1 */
    uint32_t place_count;
    uint32_t *numbers; /* of the slice of each row */
};

/* Do rows[0..count) (NULL: 0..count-1) have one slice? True for slices NULL: the global window. */
bool mri_slices_equal(const int64_t *slices, const uint32_t *rows, uint32_t count);
bool mri_slice_groups_make(struct mri_slice_groups *groups, const int64_t *slices,
                           const uint32_t *rows, uint32_t count) MR_MUST_USE;
void mri_slice_groups_fini(struct mri_slice_groups *groups); /* without a heap: allowed */

#endif
