/* epoch_log.h - the durable log of one process: epochs appended whole or not at all.
 *
 * An epoch is begun, filled with the entries of all tasks, and committed: one append, one sync. Its
 * trailer is the decision that it is complete. Opening a directory finds the last complete epoch,
 * yields the state up to it, and begins a new attempt under a higher fence, which writes to files
 * of its own only. The last epoch found is written anew by the new attempt: whether its sync ever
 * succeeded is not known, and a sync that failed must not be trusted when repeated.
 *
 *     MR_RET(mr_epoch_log_open(heap, &options, restore, self, &log, err));
 *     ... mr_epoch_log_begin(log, 7, false, err); mr_epoch_log_add(...); mr_epoch_log_commit(log, err);
 *     each turn: mr_epoch_log_poll(log, err);  then mr_epoch_log_last(log) == 7
 *
 * Exclusive use of the directory is the caller's business (LOCK, held before opening). Fencing
 * here is the second line: a switch of META by another attempt is noticed at the next compaction.
 *
 * Owns:    everything it allocates, from the heap given; files until close.
 * Thread:  confined to the worker of its disk.
 * Fails:   open: MR_E_CORRUPT, MR_E_UNSUPPORTED, MR_E_CHANGED (another job), with file, offset and
 *          what to do; nothing is written then. Later: see mr_epoch_log_poll.
 * Cost:    add: one copy and one sum over the bytes. Commit: one write and one sync per segment
 *          touched, normally one. Open blocks; nothing else does.
 *
 * Invariants:
 *  (1) Segments are in order and without gaps; the first one holds the end of the last epoch.
 *  (2) Writing never touches a block in which a complete epoch has bytes.
 *  (3) A trailer is handed to the disk once per epoch; after that the epoch cannot be aborted.
 *  (4) Only files that the manifest in force does not name are removed or reused.
 */
#ifndef MR_STATE_EPOCH_LOG_H
#define MR_STATE_EPOCH_LOG_H

#include "port/disk.h"
#include "state/store.h"

struct mr_epoch_log;

struct mr_epoch_log_options {
    struct mr_disk *disk;
    const char *dir;        /* made if missing; copied */
    uint64_t job_hash;      /* of the pipeline: another one is refused */
    uint64_t segment_bytes; /* 0: 16 MiB */
    uint32_t align_bytes;   /* epochs begin at multiples of this; 0: 4096 */
    uint64_t base_bytes;    /* base files are at most about this long; 0: 256 MiB */
    size_t sort_bytes;      /* memory that a compaction sorts in; 0: 4 MiB */
    uint32_t merge_files;   /* it has at most about this many files open; 0: 256 */
    uint64_t least_fence;   /* a new attempt's fence is at least this: state that was taken over from
                             * elsewhere names files with the fences of there; 0: none */
};

/* An entry with the operator it belongs to; valid during the call. */
typedef enum mr_status (*mr_log_entry_fn)(void *self, const char *operator_id,
                                          const struct mr_entry *entry, struct mr_error *err);

/* Opens or makes the directory and yields the state at the end of the last complete epoch: later
 * entries of a key replace earlier ones, as mr_store_restore does. `visit` NULL: the state is not
 * read back (after an unknown outcome, to learn what it was). On failure the caller forgets what it
 * was given. Blocks. */
enum mr_status mr_epoch_log_open(struct mr_heap *heap, const struct mr_epoch_log_options *options,
                                 mr_log_entry_fn visit, void *self, struct mr_epoch_log **out,
                                 struct mr_error *err) MR_MUST_USE;
/* Leaves the directory as a crash would. NULL is allowed. */
void mr_epoch_log_close(struct mr_epoch_log *log);

uint64_t mr_epoch_log_last(const struct mr_epoch_log *log); /* last complete epoch; 0: none */
uint64_t mr_epoch_log_fence(const struct mr_epoch_log *log);
uint64_t mr_epoch_log_attempt(const struct mr_epoch_log *log);
uint64_t mr_epoch_log_written_bytes(const struct mr_epoch_log *log);

/* Begins an epoch with a number above all before. `full`: it stands alone, whatever came before is
 * forgotten (the first epoch after a change of parallelism). */
enum mr_status mr_epoch_log_begin(struct mr_epoch_log *log, uint64_t epoch, bool full,
                                  struct mr_error *err) MR_MUST_USE;
/* After a failure the epoch can only be aborted. Names are at most 255 bytes long, an entry at most
 * a quarter of a segment (MR_E_LIMIT). */
enum mr_status mr_epoch_log_add(struct mr_epoch_log *log, const char *operator_id,
                                const struct mr_entry *entry, struct mr_error *err) MR_MUST_USE;
/* Entries that were encoded elsewhere (state/entry_run.h), some KiB at a time. */
enum mr_status mr_epoch_log_add_run(struct mr_epoch_log *log, struct mr_bytes run,
                                    uint64_t entry_count, struct mr_error *err) MR_MUST_USE;
/* Everything is in: writes the rest and the trailer, and syncs. Answered by poll. */
enum mr_status mr_epoch_log_commit(struct mr_epoch_log *log, struct mr_error *err) MR_MUST_USE;
/* Gives the epoch up. Only possible until its trailer was handed to the disk (commit that poll does
 * not call STALLED): false after that, when only poll knows. */
bool mr_epoch_log_abort(struct mr_epoch_log *log);

enum mr_log_state {
    MR_LOG_IDLE, /* no commit under way: mr_epoch_log_last says up to where */
    MR_LOG_BUSY,
    MR_LOG_STALLED, /* a write failed (disk full); nothing is decided: retry later, or abort */
    MR_LOG_BROKEN   /* the outcome of the commit is unknown: close, open again and look */
};
/* Moves things on. STALLED and BROKEN fill *err. */
enum mr_log_state mr_epoch_log_poll(struct mr_epoch_log *log, struct mr_error *err);
void mr_epoch_log_retry(struct mr_epoch_log *log); /* after STALLED */

/* Asserts the invariants; constant time. Called after every step. */
void mr_epoch_log_check(const struct mr_epoch_log *log);

/* ---- compaction ---- */

/* The bytes that recovery would read beyond the base files exceed `ratio` times those, or there
 * are many attempts to go through. */
bool mr_epoch_log_wants_compaction(const struct mr_epoch_log *log, uint32_t ratio);
/* An epoch that stands alone is complete: a compaction has nothing to merge, it only cuts off what
 * lies before. The cheap way where the state is small enough to be sealed whole. */
bool mr_epoch_log_can_cut(const struct mr_epoch_log *log);

struct mr_compaction;
/* Merges base files and all epochs complete now into new base files, switches the manifest, removes
 * what is no longer named. Epochs may go on meanwhile. At most one at a time; ends before the log. */
enum mr_status mr_compaction_create(struct mr_epoch_log *log, struct mr_compaction **out,
                                    struct mr_error *err) MR_MUST_USE;
void mr_compaction_destroy(struct mr_compaction *compaction); /* at any time; NULL is allowed */

enum mr_compaction_state {
    MR_COMPACTION_MORE, /* did a bounded piece of work: call again */
    MR_COMPACTION_WAIT, /* for the disk */
    MR_COMPACTION_DONE,
    MR_COMPACTION_FAILED /* the log goes on as before, unless poll says BROKEN from now on */
};
enum mr_compaction_state mr_compaction_step(struct mr_compaction *compaction, struct mr_error *err);

#endif
