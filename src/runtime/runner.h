/* runner.h - one attempt of a job in one process: tasks, channels, workers.
 *
 * Builds everything a physical plan needs, then is driven from outside: each worker thread calls
 * mr_worker_turn in a loop (api over port/posix), or a test calls it for the worker that its
 * seed picks. The last step, on one thread after all workers have ended, makes the output visible.
 *
 * Owns:    tasks, channels, pool, split queues, disks; refers to plan, port and inputs.
 * Thread:  create, commit, destroy: one thread, while no worker runs. mr_worker_turn: one thread per
 *          worker. cancel, stop and counters: any.
 * Fails:   the first error of any task wins, stops all workers and is kept.
 * Cost:    a turn reads the clock once and steps every task of the worker.
 *
 * With epochs: create; mr_checkpoint_open restores state and opens the sinks; then workers 0.. and the
 * coordinator take turns.
 *
 * Invariants: (1) a task runs on one worker only. (2) no output is visible before every task is over.
 *  (3) destroy leaves no block in use: the pool asserts it.
 */
#ifndef MR_RUNTIME_RUNNER_H
#define MR_RUNTIME_RUNNER_H

#include "runtime/policy.h"
#include "runtime/split_queue.h"
#include "runtime/task.h"

struct mr_runner_options {
    bool streaming;
    bool late_by_split;
    bool epochs;              /* barriers, seals, two-phase commit: see runtime/checkpoint.h */
    bool track;               /* record tracking: see runtime/tracker.h; the plan is `tracked` */
    uint32_t track_pending;   /* rows per instance of a source; 0: default */
    int64_t track_timeout_us; /* 0: default */
    bool trace;               /* keep a hash of all moves (single-threaded drivers only) */
    uint32_t batch_rows;      /* 0: MR_BATCH_ROWS */
    size_t task_quota_bytes;  /* for batches that operators make; 0: default */
    enum mr_on_error on_error;
    struct mr_dead_letter *letters;
};

struct mr_worker {
    struct mr_runner *runner;
    uint32_t ordinal;
    struct mr_wakeup wakeup;
    struct mr_disk *disk;
    struct mr_ptime now;
    struct mr_task **tasks;
    uint32_t task_count;
    uint32_t live_count;
};

struct mr_runner {
    struct mr_heap *heap;
    const struct mr_plan *plan;
    const struct mr_port *port;
    struct mr_runner_options options;
    struct mr_heap operators; /* parent of all tasks' heaps; limit: what channels leave */
    bool operators_ready;
    struct mr_arena arena;
    struct mr_pool *pool;
    struct mr_policy policy;
    struct mr_split_queue *queues; /* one per input */
    uint32_t queue_count;
    struct mr_channel *channels;
    uint32_t channel_count;
    uint32_t *edge_channels; /* first channel of each edge */
    struct mr_task *tasks;
    uint32_t task_count; /* made so far */
    uint32_t task_limit;
    uint32_t *stage_tasks; /* first task of each stage */
    struct mr_worker *workers;
    uint32_t worker_count; /* made so far */
    struct mr_ptime started;
    _Atomic int64_t first_result_us; /* INT64_MAX: none yet */
    _Atomic bool stopping;           /* input ends as if it were over */
    _Atomic bool failed;             /* or cancelled: everybody stops */
    _Atomic int error_claim;
    struct mr_error error; /* valid when failed, written by the one that claimed it */
    uint64_t trace;
    struct mr_tracker *tracker;       /* NULL: rows are not tracked */
    struct mr_epoch_signals *signals; /* NULL: no epochs */
    struct mr_checkpoint *checkpoint; /* set by mr_checkpoint_open; the coordinator */
    uint64_t fence;                   /* of this attempt, once it is known */
    bool poison;                      /* see mr_checkpoint_options */
    uint32_t lane_count;              /* micro-batches: see lanes.h; 0: none */
};

enum mr_status mr_runner_create(struct mr_heap *heap, const struct mr_plan *plan,
                                const struct mr_port *port, struct mr_input *inputs,
                                uint32_t input_count, const struct mr_runner_options *options,
                                struct mr_runner **out, struct mr_error *err) MR_MUST_USE;
void mr_runner_destroy(struct mr_runner *runner);

/* One turn of a worker: every live task gets a step. */
enum mr_progress mr_worker_turn(struct mr_runner *runner, uint32_t worker);
/* A turn of the coordinator of epochs, which is driven like one more worker; OVER without one. */
enum mr_progress mr_runner_coordinator_turn(struct mr_runner *runner);
/* Turns until the worker's tasks are over or the run has failed; parks when idle. */
void mr_worker_run(struct mr_runner *runner, uint32_t worker);

/* Sets the first error and stops everybody; for cancel: MR_E_CANCELLED. */
void mr_runner_fail(struct mr_runner *runner, const struct mr_error *error);
/* Wakes all workers. */
void mr_runner_wake(struct mr_runner *runner);
/* Makes the output visible; only when all workers have ended without failure. */
enum mr_status mr_runner_commit(struct mr_runner *runner, struct mr_error *err) MR_MUST_USE;

/* Sum of a counter over all tasks. */
uint64_t mr_runner_counter(const struct mr_runner *runner, enum mr_counter counter);
/* Least watermark that a source stage has sent; MR_TIME_MIN: none. */
int64_t mr_runner_watermark(const struct mr_runner *runner);

#endif
