/* snapshot.h - a state directory or a savepoint, whatever a path leads to, as one sequence.
 *
 * Entries come in the order of entry_order.h, each thing once, so that two snapshots can be read
 * side by side.
 *
 * Owns:    the reader of what it found, and JOB.
 * Thread:  confined. Blocks.
 * Fails:   as log_read.h and savepoint.h; MR_E_NOT_FOUND for what is neither.
 * Cost:    that of the reader.
 */
#ifndef MR_STATE_SNAPSHOT_H
#define MR_STATE_SNAPSHOT_H

#include "state/log_read.h"
#include "state/savepoint.h"

struct mr_snapshot;

struct mr_snapshot_info {
    uint64_t job_hash;
    uint64_t epoch;
    uint32_t key_group_count;                  /* 0: not known */
    struct mr_bytes job;                       /* its description, as JOB has it; may be empty */
    const struct mr_log_info *log;             /* NULL: it is a savepoint */
    const struct mr_savepoint_info *savepoint; /* NULL: it is a state directory */
};

/* `epoch`: of a state directory, see log_read.h; 0: the last one. */
enum mr_status mr_snapshot_open(struct mr_heap *heap, struct mr_disk *disk, const char *dir,
                                uint64_t epoch, struct mr_snapshot **out,
                                struct mr_error *err) MR_MUST_USE;
void mr_snapshot_close(struct mr_snapshot *snapshot); /* NULL is allowed */
const struct mr_snapshot_info *mr_snapshot_info(const struct mr_snapshot *snapshot);
/* *out_operator NULL: that was all. */
enum mr_status mr_snapshot_next(struct mr_snapshot *snapshot, const char **out_operator,
                                struct mr_entry *out, struct mr_error *err) MR_MUST_USE;

#endif
