/* checkpoint.h - the coordinator of a job's epochs: drives core/epoch.h over tasks and the log.
 *
 * Opening restores: the log gives the entries of the last complete epoch, operators take them
 * back, sinks commit what that epoch prepared. Then turns: barriers go in when they are due; when
 * every task has sealed, the seals go to the log in one append with one sync, and the sinks are told.
 * It is driven like one more worker, by a thread of its own or by the simulator.
 *
 * The disk being full is no failure: the epoch waits, no new one begins, and the job goes on as
 * long as its channels have room. mr_checkpoint_waiting has the words for it.
 *
 * Owns:    the epoch log and its disk.
 * Thread:  open, turn, close: one. stop, waiting, epoch numbers: any.
 * Fails:   open as mr_epoch_log_open and the operators' restore. A turn fails the runner.
 * Cost:    a turn without news is a load per task; an epoch costs one copy of what changed, one write
 *          and one sync.
 *
 * Invariants: (1) a seal is read only between its publishing and the completion of its epoch.
 *  (2) `complete` is announced after the log has it for good, `commit` never beyond it (S2).
 */
#ifndef MR_RUNTIME_CHECKPOINT_H
#define MR_RUNTIME_CHECKPOINT_H

#include "runtime/runner.h"
#include "state/epoch_log.h"

struct mr_checkpoint;

struct mr_checkpoint_options {
    const char *dir;
    const char *from; /* where there is no epoch yet: begin with the state of this savepoint, or of this
                       * state directory; NULL: with none */
    int64_t epoch_us;  /* floor between two barriers; 0: as fast as they go */
    bool ordered;      /* micro-batch: an epoch begins when the one before is visible */
    bool allow_dropped_state;
    /* Not 0: a record that ends the process is looked for. At most so many rows are let in at a time,
     * from one lane; `note` is told before, and 0 when the search is over. */
    uint64_t careful_rows;
    bool poison; /* the policy for bad records applies to the next row */
    void (*note)(void *self, uint64_t rows);
    void *note_self;
    uint64_t job_hash;      /* see mr_epoch_log_options */
    uint64_t segment_bytes; /* see there; 0: default */
};

/* Restores the runner and makes it ready to run. LOCK of the directory is held by the caller.
 * Ends with the runner. */
enum mr_status mr_checkpoint_open(struct mr_runner *runner,
                                  const struct mr_checkpoint_options *options,
                                  struct mr_checkpoint **out, struct mr_error *err) MR_MUST_USE;
void mr_checkpoint_close(struct mr_checkpoint *checkpoint); /* NULL allowed */

/* An earlier attempt read all of the input, and its output is in place: there is nothing to run. */
bool mr_checkpoint_job_finished(const struct mr_checkpoint *checkpoint);
/* Entries that were left out because their operators are gone, and the ids of these; 0: none. */
uint64_t mr_checkpoint_dropped(const struct mr_checkpoint *checkpoint, const char **out_names);
uint64_t mr_checkpoint_restored(const struct mr_checkpoint *checkpoint); /* epoch; 0: a fresh start */

/* OVER: the job has finished, was stopped, or has failed. */
enum mr_progress mr_checkpoint_turn(struct mr_checkpoint *checkpoint);
/* When the next turn has something to do without anybody's word. */
struct mr_ptime mr_checkpoint_wake(const struct mr_checkpoint *checkpoint);

/* Completes one more epoch, commits it and ends (Ctrl-C). */
void mr_checkpoint_stop(struct mr_checkpoint *checkpoint);
bool mr_checkpoint_stopped(const struct mr_checkpoint *checkpoint); /* it ended that way */

struct mr_checkpoint_stats {
    uint64_t epochs;        /* complete in this attempt */
    uint64_t last_epoch;
    uint64_t changed_bytes; /* keys and values sealed */
    uint64_t written_bytes; /* by the log and its compactions */
};
/* Any thread; the numbers need not be of one moment. */
struct mr_checkpoint_stats mr_checkpoint_stats(const struct mr_checkpoint *checkpoint);
/* True while an epoch waits for the disk. */
bool mr_checkpoint_waiting(const struct mr_checkpoint *checkpoint);

#endif
