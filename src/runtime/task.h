/* task.h - one instance of a stage: receiver, chain of operators, senders; a tasklet.
 *
 * mr_task_step does a bounded amount of work (MR_STEP_ITEMS items) and says whether it moved
 * anything. It never blocks: no input, no room for output and no memory are all "no progress".
 *
 * Owns:    its operators, senders, arena and quota; channels are the runner's.
 * Thread:  confined to its worker between start and the end of the run.
 * Fails:   the status of the operator that failed, with the operator's id in the text.
 * Cost:    one step is a few microseconds to a few hundred.
 *
 * Invariants: (1) an item that came out of the chain is delivered to every edge it belongs to before the chain is
 *  asked again. (2) control items go to all edges of the stage, rows to those of their output.
 *  (3) after END has gone out on all edges the task is over. With epochs it is stepped on as long as
 *  the worker runs.
 */
#ifndef MR_RUNTIME_TASK_H
#define MR_RUNTIME_TASK_H

#include "exec/chain.h"
#include "runtime/policy.h"
#include "runtime/receiver.h"
#include "runtime/sender.h"
#include "runtime/task_epochs.h"

#define MR_STEP_ITEMS 8u
/* A task that waits for memory may get what others give back. One that was refused it for so long
 * without a move will never get it: others wait for this task, or hold theirs until the end. */
#define MR_HUNGRY_US (2 * MR_SECOND)

enum mr_progress { MR_PROGRESS_NONE, MR_PROGRESS_MADE, MR_PROGRESS_OVER };

struct mr_task {
    uint32_t ordinal; /* in the runner */
    const struct mr_plan_stage *stage;
    struct mr_task_context context;
    struct mr_counters *counters;
    struct mr_heap heap;   /* child of the job's: operator memory */
    struct mr_arena arena; /* lifetime: attempt */
    struct mr_quota quota;
    struct mr_operator **ops;
    uint32_t op_count; /* created so far */
    struct mr_chain *chain;
    struct mr_receiver receiver;
    struct mr_sender **senders; /* one per edge of stage->outputs */
    uint32_t sender_count;
    struct mr_ptime *now;

    struct mr_item item; /* came out of the chain, not yet delivered; tag 0: none */
    uint32_t item_op;
    uint32_t edge_at;    /* next edge to offer it to */
    bool offered;        /* edge_at has it, but is not done with it */
    int64_t tick_us;
    bool waits;          /* the last move had to wait for room or memory, not for input */
    uint64_t items;      /* taken or delivered so far */
    uint64_t hungry_at;  /* value of items when memory was first refused ... */
    int64_t hungry_us;   /* ... and the time; see MR_HUNGRY_US */
    bool over;
    bool left;                     /* over, and no more steps are needed */
    struct mr_task_epochs *epochs; /* NULL: the job has none */
    const struct mr_source_ops *source; /* tracked rows: who is told of them */
    struct mr_policy *policy;      /* for rows that are tracked and not to be sent again */
    struct mr_item untracked;      /* came from a channel, has not begun for lack of memory */
    uint64_t *trace; /* running hash of what tasks do; NULL: not kept */
};

enum mr_status mr_task_step(struct mr_task *task, enum mr_progress *out_progress,
                            struct mr_error *err) MR_MUST_USE;

#endif
