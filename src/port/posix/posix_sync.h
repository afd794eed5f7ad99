/* posix_sync.h - the thread of a disk that waits for the device, so that no worker has to.
 *
 * The disk hands a descriptor over and goes on; the thread syncs one after the other, in order, and
 * wakes the worker. A sync that was given up is carried out all the same, and its outcome is told:
 * the system reports a failed write once only, and the next sync of that file would look good.
 *
 *     if (!mri_syncer_put(syncer, request, fd, &about)) ... sync it here and now
 *     each poll: while (mri_syncer_take(syncer, &done)) ...
 *
 * Owns:    its thread; descriptors handed over, which it closes; never requests: only the worker
 *          looks into them.
 * Thread:  all calls from the worker of the disk; its own thread shows in `wake` only.
 * Fails:   create: NULL without memory or thread; put: false without memory. Sync here then.
 * Cost:    put: one allocation, two uncontended locks, one wake. take: one load if nothing is.
 */
#ifndef MR_PORT_POSIX_POSIX_SYNC_H
#define MR_PORT_POSIX_POSIX_SYNC_H

#include "port/disk.h"

struct mri_syncer;

struct mri_sync {
    struct mr_disk_request *request; /* NULL when taken: given up */
    int fd;                          /* handed over */
    bool directory;
    uint32_t file; /* these two are handed back as they came */
    uint64_t serial;
    int code; /* when taken: errno, 0: synced */
};

struct mri_syncer *mri_syncer_create(struct mr_heap *heap, const struct mr_parker *parker,
                                     uint32_t worker) MR_MUST_USE;
/* Waits for syncs under way. What was put was taken or cancelled before. NULL is allowed. */
void mri_syncer_destroy(struct mri_syncer *syncer);
bool mri_syncer_put(struct mri_syncer *syncer, const struct mri_sync *sync) MR_MUST_USE;
bool mri_syncer_take(struct mri_syncer *syncer, struct mri_sync *out) MR_MUST_USE;
/* False: there is no such request. */
bool mri_syncer_cancel(struct mri_syncer *syncer, const struct mr_disk_request *request);

/* Here and now; errno, or 0. */
int mri_sync_now(int fd, bool directory);

#endif
