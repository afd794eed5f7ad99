/* seal.h - what one task sealed at a barrier, on its way to the epoch log.
 *
 * Runs of encoded entries (state/entry_run.h): the task writes them while the barrier passes through
 * its operators, so that tasks encode side by side; the coordinator hands the runs to the log as they
 * are. Entries of an epoch that did not become complete stay, and those of the next one follow: applied
 * in order they mean the same.
 *
 * Owns:    its runs, from the heap given; keeps the memory for the next epoch.
 * Thread:  one at a time: the task until it publishes the seal, the coordinator until the epoch is
 *          complete, then the task again.
 * Fails:   add: MR_E_NOMEM, MR_E_LIMIT for a name that is too long; the attempt is over.
 * Cost:    one copy of key and value.
 */
#ifndef MR_RUNTIME_SEAL_H
#define MR_RUNTIME_SEAL_H

#include "state/entry_run.h"

struct mr_seal_run;

struct mr_seal {
    struct mr_heap *heap;
    struct mr_seal_run *first;
    struct mr_seal_run *last; /* the one being filled; those behind it are empty */
    struct mr_entry_writer writer;
    uint64_t bytes; /* keys and values of all */
};

void mr_seal_init(struct mr_seal *seal, struct mr_heap *heap);
void mr_seal_fini(struct mr_seal *seal); /* a zeroed one is allowed */
void mr_seal_clear(struct mr_seal *seal);
/* The names must live, unchanged, until the seal is cleared. */
enum mr_status mr_seal_add(struct mr_seal *seal, const char *operator_id,
                           const struct mr_entry *entry, struct mr_error *err) MR_MUST_USE;

/* Goes through the runs in the order of adding; start with NULL. NULL: that was the last. */
const struct mr_seal_run *mr_seal_next(const struct mr_seal *seal, const struct mr_seal_run *run);
struct mr_bytes mr_seal_run_bytes(const struct mr_seal_run *run, uint64_t *out_entry_count);

#endif
