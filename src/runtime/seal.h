/* seal.h - what one task sealed at a barrier, on its way to the epoch log.
 *
 * A list of entries in memory: the task fills it while the barrier passes through its operators,
 * the coordinator reads it and hands the entries to the log. Entries of an epoch that did not
 * become complete stay, and those of the next one follow: applied in order they mean the same.
 *
 * Owns:    its chunks, from the heap given; keeps them for the next epoch.
 * Thread:  one at a time: the task until it publishes the seal, the coordinator until the epoch is
 *          complete, then the task again.
 * Fails:   add: MR_E_NOMEM, and the attempt is over.
 * Cost:    one copy of key and value.
 */
#ifndef MR_RUNTIME_SEAL_H
#define MR_RUNTIME_SEAL_H

#include "state/store.h"

struct mr_seal_chunk;

struct mr_seal {
    struct mr_heap *heap;
    struct mr_seal_chunk *first;
    struct mr_seal_chunk *last; /* the one being filled; those behind it are empty */
    uint64_t entry_count;
    uint64_t bytes; /* keys and values */
};

void mr_seal_init(struct mr_seal *seal, struct mr_heap *heap);
void mr_seal_fini(struct mr_seal *seal); /* a zeroed one is allowed */
void mr_seal_clear(struct mr_seal *seal);
/* `op`: number of the operator in its stage. The state's name is kept by pointer. */
enum mr_status mr_seal_add(struct mr_seal *seal, uint32_t op, const struct mr_entry *entry,
                           struct mr_error *err) MR_MUST_USE;

/* Goes through the entries in the order of adding. */
struct mr_seal_cursor {
    const struct mr_seal *seal;
    const struct mr_seal_chunk *chunk;
    size_t at;
};
void mr_seal_begin(const struct mr_seal *seal, struct mr_seal_cursor *cursor);
bool mr_seal_next(struct mr_seal_cursor *cursor, uint32_t *out_op, struct mr_entry *out);

#endif
