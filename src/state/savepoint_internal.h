/* savepoint_internal.h - the bytes of SAVEPOINT, shared by those who write and read it.
 *
 * Owns:    none.
 * Thread:  none.
 * Fails:   none.
 * Cost:    none.
 */
#ifndef MR_STATE_SAVEPOINT_INTERNAL_H
#define MR_STATE_SAVEPOINT_INTERNAL_H

#include "state/epoch_log_internal.h"
#include "state/savepoint.h"

#define MRI_SAVEPOINT_NAME "SAVEPOINT"
#define MRI_SAVEPOINT_NEW  "SAVEPOINT.new"

/* The payload: this, the parts, the states, the description of the job. */
struct mri_savepoint_head {
    uint64_t job_hash;
    uint64_t epoch;
    uint64_t key_group_count;
    uint64_t entry_count;
    uint64_t part_count; /* base-0-1 to base-0-<part_count> */
    uint64_t state_count;
    uint64_t job_bytes;
};
struct mri_savepoint_part {
    uint64_t size_bytes;
    uint64_t entry_count;
    uint64_t crc; /* as in its footer */
};

#endif
