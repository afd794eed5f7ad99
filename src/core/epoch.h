/* epoch.h - the coordinator of one attempt: when an epoch begins, is complete, and is committed.
 *
 * One epoch at a time goes through INJECT (barriers enter at the sources), SEALED from every task,
 * APPEND (everything with the trailer COMPLETE, one sync) and APPENDED: then it is complete, for
 * good, and COMMIT_SINKS makes its output visible. Committing may overlap with the next epoch, by
 * one at most; with `ordered` (micro-batch) the next epoch waits for it. `epoch_us` is a floor
 * between barriers. When all tasks ended, or on STOP, one more epoch runs at once and is the last.
 *
 * An epoch that cannot be written (disk full, or a task that cannot seal for lack of room) is
 * aborted and tried again, under the next number, after a pause that doubles and is jittered.
 * Aborting an epoch throws nothing away: what was sealed and pre-committed for it belongs to the
 * next one, and a commit is cumulative. Only FAILED drops it: then the attempt is over.
 *
 * When the outcome of an append is unknown, nothing is decided before the log was read back (I5).
 *
 * Owns:    two bit sets and an array over the tasks, in memory of the arena given at init.
 * Thread:  confined.
 * Fails:   init: MR_E_NOMEM, MR_E_INVALID for a configuration that makes no sense. Steps never
 *          fail: a status that comes in leaves as an action.
 * Cost:    a step is O(1), an injection O(tasks / 64).
 * Units:   microseconds of processing time.
 *
 * Invariants:
 *  (1) At most one epoch is in flight; its number is above all before it, complete or aborted.
 *  (2) APPEND(n) only when every task sealed n, in this attempt and under this fence (I4); each
 *      task counts once.
 *  (3) An epoch becomes complete at most once, is not aborted afterwards, and is not aborted while
 *      its append is open or its outcome unknown (I5). `complete` never goes back (I6).
 *  (4) committed <= asked <= complete; at most one commit is open (S2).
 *  (5) Two barriers are epoch_us apart, and a barrier after an abort waits for its pause, unless
 *      the job is stopping; when all tasks ended the floor does not hold.
 *  (6) FINISHED or FAILED comes once, last, and with no append, read or commit open.
 *  (7) It never waits for nothing: without an epoch in flight there is a wake-up or an open commit.
 */
#ifndef MR_CORE_EPOCH_H
#define MR_CORE_EPOCH_H

#include "base/arena.h"
#include "base/time.h"

enum mr_epoch_event_kind {
    MR_EPOCH_ON_TICK,       /* the first event, and at or after WAIT_UNTIL */
    MR_EPOCH_ON_SEALED,     /* task, epoch, attempt, fence, bytes, crc: handed to the log */
    MR_EPOCH_ON_TASK_ENDED, /* task, attempt, fence: it will emit nothing more; may still seal */
    MR_EPOCH_ON_APPENDED,   /* epoch, status */
    MR_EPOCH_ON_READ,       /* epoch, status: what READ_BACK found */
    MR_EPOCH_ON_SINKS_COMMITTED, /* epoch, status */
    MR_EPOCH_ON_STOP,            /* complete the epoch, then end */
    MR_EPOCH_ON_ABORT            /* epoch, attempt, fence, status (not MR_OK) */
};
#define MR_EPOCH_EVENTS 8

/* Statuses. "Retryable" is MR_E_NO_SPACE and the class RETRY.
 *   APPENDED         MR_OK: durable. Retryable or MR_E_FENCED: the trailer was not handed to the
 *                    disk, so the epoch is surely not there. All others: unknown.
 *   READ             MR_OK: the epoch is durable; MR_E_NOT_FOUND: it is not there and cannot appear
 *                    any more. All others: still unknown. After a failed sync the pages may read
 *                    well and be on no disk: the log answers MR_OK only for what it has synced
 *                    again elsewhere, MR_E_NOT_FOUND only once replay does not look there.
 *   SINKS_COMMITTED  MR_OK: everything up to the epoch is visible. Retryable: asked again later.
 *                    All others: the attempt fails; the next one commits (S3, S4).
 *   ABORT            Retryable with an epoch: a task could not seal that one. All others, and any
 *                    with epoch 0: the attempt is over. */
struct mr_epoch_event {
    enum mr_epoch_event_kind kind;
    struct mr_ptime now; /* every event; an older one than before counts as the newest so far */
    uint64_t random;     /* every event; used for jitter only */
    uint32_t task;
    uint64_t epoch;
    uint64_t attempt;
    uint64_t fence;
    uint64_t bytes; /* of the task's entries; their checksum */
    uint32_t crc;
    enum mr_status status;
};

enum mr_epoch_action_kind {
    MR_EPOCH_DO_INJECT,       /* epoch: tell every task; the sources send the barrier */
    MR_EPOCH_DO_APPEND,       /* epoch, bytes: all seals and the trailer, one sync; say APPENDED */
    MR_EPOCH_DO_READ_BACK,    /* epoch: is it in the log? delete nothing; say READ */
    MR_EPOCH_DO_COMMIT_SINKS, /* epoch: all output up to it; idempotent; say SINKS_COMMITTED */
    MR_EPOCH_DO_ABORT_EPOCH,  /* epoch, status: cancel it at every task */
    MR_EPOCH_DO_FINISHED,     /* epoch: the last complete one. status: MR_OK all input is in it,
                                 MR_E_CANCELLED stopped before */
    MR_EPOCH_DO_FAILED,    /* epoch: the last one known complete. status: why the attempt ended */
    MR_EPOCH_DO_WAIT_UNTIL /* time: say TICK then; replaces the one before */
};
struct mr_epoch_action {
    enum mr_epoch_action_kind kind;
    enum mr_status status;
    uint64_t epoch;
    uint64_t bytes;
    struct mr_ptime time;
};
/* The longest list: ABORT_EPOCH, a due COMMIT_SINKS, WAIT_UNTIL for the pause. Each step gives at
 * most one of ABORT_EPOCH, APPEND, READ_BACK, and after these no INJECT; COMMIT_SINKS and INJECT
 * each leave nothing to wait for on their side; FINISHED and FAILED need both sides at rest. */
#define MR_EPOCH_ACTIONS_MAX 3u
struct mr_epoch_actions {
    uint32_t count;
    struct mr_epoch_action items[MR_EPOCH_ACTIONS_MAX];
};

struct mr_epoch_config {
    uint32_t task_count; /* at least 1 */
    uint64_t fence;
    uint64_t attempt;
    uint64_t last_epoch;    /* restored: complete, and its sinks committed; 0: fresh start */
    struct mr_ptime start;  /* the first barrier is due epoch_us later */
    int64_t epoch_us;       /* at least 0 */
    int64_t backoff_min_us; /* at least 1 */
    int64_t backoff_max_us; /* at least backoff_min_us */
    bool ordered;           /* the next epoch begins after the commit of the last one */
};

enum mr_epoch_state {
    MR_EPOCH_READY,     /* none in flight; the next one is due later, or waits for a commit */
    MR_EPOCH_SEALING,   /* barriers are on their way */
    MR_EPOCH_APPENDING, /* all sealed; the append is open */
    MR_EPOCH_READING,   /* the outcome is unknown; the log is read back */
    MR_EPOCH_CLOSING,   /* no more epochs; a commit may be open */
    MR_EPOCH_OVER       /* FINISHED or FAILED was said */
};
#define MR_EPOCH_STATES 6

enum mr_epoch_commit { MR_COMMIT_NONE, MR_COMMIT_OPEN, MR_COMMIT_PAUSED };

struct mr_epoch_seal {
    uint64_t bytes;
    uint32_t crc;
};

struct mr_epochs {
    struct mr_epoch_config config;
    uint64_t *sealed; /* bit per task: sealed `epoch` */
    uint64_t *ended;  /* bit per task */
    struct mr_epoch_seal *seals;
    uint32_t sealed_count;
    uint32_t ended_count;
    uint32_t covered_count; /* tasks that had ended when they sealed `epoch` */
    enum mr_epoch_state state;
    enum mr_epoch_commit commit;
    uint64_t epoch; /* the newest one begun */
    uint64_t complete;
    uint64_t asked;     /* newest epoch of a COMMIT_SINKS */
    uint64_t committed; /* newest one that the sinks confirmed */
    uint64_t sealed_bytes;
    int64_t now_us;
    int64_t floor_us;  /* no barrier before */
    int64_t retry_us;  /* no barrier before, while epoch_failures > 0 */
    int64_t commit_us; /* PAUSED: when to ask again */
    int64_t wake_us;   /* of the last WAIT_UNTIL; MR_TIME_MAX: nothing to wait for */
    uint32_t epoch_failures;
    uint32_t commit_failures;
    bool stopping;
    bool drained;             /* the last complete epoch holds the end of every task */
    enum mr_status failure;   /* not MR_OK: the attempt is over once nothing is open */
    enum mr_status uncertain; /* READING: what the append reported */
    uint64_t discarded;       /* events of other attempts, fences or epochs, and repeated ones */
};

enum mr_status mr_epochs_init(struct mr_epochs *epochs, struct mr_arena *arena,
                              const struct mr_epoch_config *config,
                              struct mr_error *err) MR_MUST_USE;
void mr_epochs_step(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                    struct mr_epoch_actions *out);
/* What a task said when it sealed the epoch in flight; for the log, between APPEND and its answer. */
struct mr_epoch_seal mr_epochs_seal_of(const struct mr_epochs *epochs, uint32_t task);
void mr_epochs_check(const struct mr_epochs *epochs);

#endif
