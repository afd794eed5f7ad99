/* posix_internal.h - the parts of the posix port that its files share.
 *
 * Owns:    none.
 * Thread:  as posix.h.
 * Fails:   constructors answer false or NULL without memory.
 * Cost:    one system call per verb at most.
 */
#ifndef MR_PORT_POSIX_POSIX_INTERNAL_H
#define MR_PORT_POSIX_POSIX_INTERNAL_H

#include "port/posix/posix.h"

struct mr_ptime mri_posix_monotonic(void *self);
struct mr_ptime mri_posix_wall(void *self);
uint64_t mri_posix_entropy(void *self);
uint64_t mri_posix_pick(void *self, enum mr_choice what, uint64_t bound, uint64_t preferred);

struct mri_parking; /* one place per worker */
struct mri_parking *mri_parking_create(struct mr_heap *heap, uint32_t workers);
void mri_parking_destroy(struct mri_parking *parking);
void mri_parking_park(void *self, uint32_t worker, int64_t us);
void mri_parking_wake(void *self, uint32_t worker);

struct mr_disk *mri_posix_disk_create(void *self, struct mr_heap *heap);
void mri_posix_disk_destroy(void *self, struct mr_disk *disk);
/* Before its first sync: syncs are left to a thread, which wakes this worker. */
void mri_posix_disk_wakes(struct mr_disk *disk, const struct mr_parker *parker, uint32_t worker);
void mri_posix_disk_skip_syncs(struct mr_disk *disk);

#endif
