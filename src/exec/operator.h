/* operator.h - what an operator is: items in, items out, a bounded amount of work per call.
 *
 * An operator instance is driven by a tasklet: `put` gives it one item; `next` is called until it
 * answers NEED_INPUT, each HAVE_OUTPUT giving one item for one of its outputs. So every operator
 * can stop in the middle of emitting when its quota is used up, and go on later. Operators of one
 * stage are chained: what comes out of output 0 of one is put into the next.
 *
 * Control items are items like batches: an operator forwards a watermark after everything that the
 * watermark releases. They come out of output 0 only; when one leaves the stage it holds for all
 * outputs of all its operators.
 *
 * Owns:    put takes the item's batch reference; next gives one away.
 * Thread:  confined to the task.
 * Fails:   any status: the attempt fails (or the runtime's policy decides). An operator that failed
 *          is only closed afterwards.
 * Cost:    one virtual call per item and operator.
 *
 * Invariants (checked by the chain): (1) put only after next said NEED_INPUT (or at the start).
 *  (2) watermarks that come out never go back. (3) nothing follows END on an output.
 *  (4) next does at most one batch worth of work per call.
 */
#ifndef MR_EXEC_OPERATOR_H
#define MR_EXEC_OPERATOR_H

#include "data/batch.h"
#include "exec/counters.h"
#include "plan/plan.h"
#include "port/port.h"
#include "state/store.h"

/* Items of a channel and, below the line, of the inside of a chain only. The numbers are part of
 * the wire format; unknown ones are refused. */
enum mr_item_tag {
    MR_ITEM_BATCH = 1,
    MR_ITEM_WATERMARK = 2, /* time_us */
    MR_ITEM_IDLE = 3,
    MR_ITEM_BARRIER = 4,   /* epoch */
    MR_ITEM_END = 5,       /* no more items on this channel; implies watermark MR_TIME_MAX */
    /* inside a chain, in front of the first exchange */
    MR_ITEM_SPLITS_PENDING = 64, /* time_us: least bound of unopened ones, MR_TIME_MAX: none */
    MR_ITEM_SPLIT_OPEN = 65,     /* split, time_us: its lower bound */
    MR_ITEM_SPLIT_CLOSE = 66,    /* split */
    MR_ITEM_TICK = 67            /* time_us: processing time, now and then: idleness, flushing */
};

struct mr_item {
    enum mr_item_tag tag;
    uint32_t input; /* put: which input of the stage; next: which output of the operator */
    uint32_t split;
    int64_t time_us;
    uint64_t epoch;
    struct mr_batch *batch; /* BATCH only */
};

enum mr_flow {
    MR_FLOW_NEED_INPUT,
    MR_FLOW_HAVE_OUTPUT,
    MR_FLOW_BLOCKED, /* quota used up (or a slow outside): call next again later */
    MR_FLOW_DONE     /* END has come out: no more calls but close */
};

struct mr_operator;
struct mr_track_task;

/* A row that cannot be processed. `row` is a logical row of `batch`. Answers MR_OK when the row is
 * to be left out (skip, dead letter), otherwise the status that ends the job, with err filled:
 * position in the file when the batch's origin is known, else operator and values. */
typedef enum mr_status (*mr_bad_row_fn)(void *self, struct mr_operator *op,
                                        const struct mr_batch *batch, uint32_t row,
                                        const struct mr_error *why, struct mr_error *err);

/* What an operator gets to live on. Filled by the runtime; lives as long as the operator. */
struct mr_task_context {
    struct mr_heap *heap;   /* attempt memory of this task: operator state is charged here */
    struct mr_quota *quota; /* for batches that operators of this task make */
    struct mr_pool *pool;
    const struct mr_port *port;
    struct mr_counters *counters; /* single writer: this task */
    uint32_t instance;
    uint32_t instance_count;
    uint32_t key_group_count;
    uint32_t group_first, group_end; /* key groups of this instance */
    bool streaming;
    bool late_by_split; /* the job's; operators go by their plan's */
    uint64_t epoch; /* that is being sealed; valid in `seal` */
    bool track_changes; /* the job takes snapshots: stateful operators remember what changed */
    uint32_t batch_rows; /* rows operators aim for: MR_BATCH_ROWS; tests: 1, 2, random */
    struct mr_track_task *track; /* rows are tracked: see runtime/tracker.h; NULL: they are not */
    mr_bad_row_fn bad_row;
    void *bad_row_self;
};

struct mr_operator_ops {
    uint32_t size;
    const char *name;
    enum mr_status (*put)(struct mr_operator *op, const struct mr_item *item,
                          struct mr_error *err);
    enum mr_status (*next)(struct mr_operator *op, struct mr_item *out, enum mr_flow *out_flow,
                           struct mr_error *err);
    /* Yields the operator's state; between items, when nothing is pending. NULL: stateless. */
    enum mr_status (*seal)(struct mr_operator *op, bool full, mr_entry_fn yield, void *self,
                           struct mr_error *err);
    /* Takes entries back before the first put; entries of other key groups are skipped. */
    enum mr_status (*restore)(struct mr_operator *op, const struct mr_entry *entry,
                              struct mr_error *err);
    /* All entries have been restored: rebuild indexes. NULL entry: nothing to do. */
    enum mr_status (*restored)(struct mr_operator *op, struct mr_error *err);
    void (*close)(struct mr_operator *op);
};

struct mr_operator { /* first member of every operator's own struct */
    const struct mr_operator_ops *ops;
    const struct mr_plan_op *plan;
    struct mr_task_context *task;
};

/* Constructors, one per kind. On failure nothing is left behind. */
typedef enum mr_status (*mr_operator_create_fn)(struct mr_task_context *task,
                                                const struct mr_plan_op *plan,
                                                struct mr_operator **out, struct mr_error *err);
enum mr_status mr_event_time_create(struct mr_task_context *, const struct mr_plan_op *,
                                    struct mr_operator **, struct mr_error *) MR_MUST_USE;
enum mr_status mr_filter_create(struct mr_task_context *, const struct mr_plan_op *,
                                struct mr_operator **, struct mr_error *) MR_MUST_USE;
enum mr_status mr_project_create(struct mr_task_context *, const struct mr_plan_op *,
                                 struct mr_operator **, struct mr_error *) MR_MUST_USE;
enum mr_status mr_function_create(struct mr_task_context *, const struct mr_plan_op *,
                                  struct mr_operator **, struct mr_error *) MR_MUST_USE;
enum mr_status mr_merge_create(struct mr_task_context *, const struct mr_plan_op *,
                               struct mr_operator **, struct mr_error *) MR_MUST_USE;
enum mr_status mr_top_create(struct mr_task_context *, const struct mr_plan_op *,
                             struct mr_operator **, struct mr_error *) MR_MUST_USE;
enum mr_status mr_process_create(struct mr_task_context *, const struct mr_plan_op *,
                                 struct mr_operator **, struct mr_error *) MR_MUST_USE;
/* aggregate/ */
enum mr_status mr_partial_aggregate_create(struct mr_task_context *, const struct mr_plan_op *,
                                           struct mr_operator **, struct mr_error *) MR_MUST_USE;
enum mr_status mr_final_aggregate_create(struct mr_task_context *, const struct mr_plan_op *,
                                         struct mr_operator **, struct mr_error *) MR_MUST_USE;
enum mr_status mr_aggregate_create(struct mr_task_context *, const struct mr_plan_op *,
                                   struct mr_operator **, struct mr_error *) MR_MUST_USE;
/* SCAN and SINK operators are the runtime's: they need connectors. */

/* Any kind but SCAN and SINK. */
enum mr_status mr_operator_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                  struct mr_operator **out, struct mr_error *err) MR_MUST_USE;
void mr_operator_close(struct mr_operator *op); /* NULL allowed */

/* For operators that let a control item pass as it is. */
MR_INLINE void mr_item_forward(struct mr_item *out, const struct mr_item *item)
{
    *out = *item;
    out->input = 0;
}

#endif
