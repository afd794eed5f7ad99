/* holder.h - one process at a time: the lock of a state directory, and who has it.
 *
 * LOCK is opened and locked before anything else in the directory is looked at; the lock belongs to the
 * open file and goes with the process, however it ends. Inside stands who holds it (record LOCK of
 * docs/reference/formats.md), so that a second process can say who is in the way, also when that
 * one is stopped.
 *
 * Owns:    the open file.
 * Thread:  confined to its disk.
 * Fails:   MR_E_BUSY with the holder's number; what the disk reports.
 * Cost:    cold.
 */
#ifndef MR_STATE_HOLDER_H
#define MR_STATE_HOLDER_H

#include "port/disk.h"

struct mr_holder {
    struct mr_disk *disk;
    uint32_t file; /* MR_FILE_NONE: not held */
};

/* A process, told from a later one with the same number by its start. */
struct mr_process_id {
    uint64_t pid;
    int64_t started_us; /* since the machine started */
};

/* Makes the directory if it is missing and takes its lock. On MR_E_BUSY *out_other says who has it
 * (pid 0: not known). */
enum mr_status mr_holder_take(struct mr_holder *holder, struct mr_heap *heap, struct mr_disk *disk,
                              const char *dir, const struct mr_process_id *self,
                              struct mr_process_id *out_other, struct mr_error *err) MR_MUST_USE;
/* Removes what a job keeps in the directory, META first, so that a half is never taken for a whole. Files
 * of other names stay. */
enum mr_status mr_holder_clear(struct mr_holder *holder, struct mr_heap *heap, const char *dir,
                               struct mr_error *err) MR_MUST_USE;
void mr_holder_release(struct mr_holder *holder); /* one with file MR_FILE_NONE is allowed */

#endif
