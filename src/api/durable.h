/* durable.h - a job that survives: what its options promise, and the directory that keeps it.
 *
 * Checks whether sources can be read again and sinks take part in epochs, holds the lock of the
 * state directory while the job runs, and decides whether an attempt that failed is begun again.
 *
 * Owns:    the lock.
 * Thread:  the caller of mr_job_run.
 * Fails:   MR_E_PIPELINE for a promise that source or sink cannot keep, MR_E_BUSY for a directory that
 *          another process holds, MR_E_CHANGED for one of another pipeline or input.
 * Cost:    cold.
 */
#ifndef MR_API_DURABLE_H
#define MR_API_DURABLE_H

#include "crash_note.h"
#include "job_internal.h"
#include "state/holder.h"

#define MRI_EPOCH_US (100 * MR_MILLISECOND)

enum mri_stop { MRI_STOP_NOT, MRI_STOP_AT_EPOCH, MRI_STOP_DRAIN };

struct mri_durable {
    struct mr_job *job; /* NULL: not open, or no state directory */
    struct mr_disk *disk;
    struct mr_holder holder;
    struct mri_crash_note crash;
    enum mri_stop stop;    /* asked for so far */
    uint32_t restart_count; /* attempts that failed and were counted */
};

/* Before planning: the guarantee that was asked for can be kept, or the user is told. */
enum mr_status mri_guarantee_check(struct mr_job *job, struct mr_error *err) MR_MUST_USE;
/* After planning: input that can be read once only does not survive a failure. */
enum mr_status mri_guarantee_check_input(const struct mr_job *job, const struct mr_input *input,
                                         struct mr_error *err) MR_MUST_USE;
/* Takes the directory; nothing without one. */
enum mr_status mri_durable_open(struct mri_durable *durable, struct mr_job *job,
                                struct mr_disk *disk, const struct mr_plan *plan,
                                const struct mr_input *inputs, uint32_t input_count,
                                struct mr_error *err) MR_MUST_USE;
void mri_durable_close(struct mri_durable *durable, bool failed); /* a zeroed one is allowed */
/* What `millrace stop` asks for, or has asked for in an earlier attempt: by the file STOP in the
 * directory, which is removed. */
enum mri_stop mri_durable_stop_asked(struct mri_durable *durable);
/* True if another attempt is to be made; waits before it, unless the job is cancelled. */
bool mri_durable_again(struct mri_durable *durable, enum mr_status status, uint32_t attempts,
                       const struct mr_error *err);

#endif
