/* offline.h - memory and a disk for commands that look at files without running a job.
 *
 * Owns:    both, until closed.
 * Thread:  one.
 * Fails:   MR_E_NOMEM.
 * Cost:    cold.
 */
#ifndef MR_API_OFFLINE_H
#define MR_API_OFFLINE_H

#include "port/disk.h"
#include "state/holder.h"

struct mri_offline {
    struct mr_port port;
    struct mr_heap *heap;
    struct mr_disk *disk;
};

enum mr_status mri_offline_open(struct mri_offline *offline, struct mr_error *err) MR_MUST_USE;
void mri_offline_close(struct mri_offline *offline); /* a zeroed one is allowed */

/* This process, for the lock of a state directory. */
struct mr_process_id mri_offline_self(void);

#endif
