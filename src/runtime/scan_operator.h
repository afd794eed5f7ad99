/* scan_operator.h - the operator at the head of a pipeline: takes splits and reads them.
 *
 * An instance reads one split after the other (in streaming mode over unbounded splits several at a time,
 * in turn). Inside its chain it announces what the event-time operator needs: splits pending,
 * opened, closed. A rate limit slows it by the clock of the worker's turn. In a job with epochs it
 * sends the barrier when the coordinator asks, between two batches, and seals where its readers are:
 * the first row of each that was not handed out (I8). After a restart it goes on there. With micro-batches
 * it reads what its lanes give to the batch (lanes.h), and only once the batch before is visible.
 *
 * Owns:    its open readers.
 * Thread:  confined; the split queue is shared.
 * Fails:   what the source reports.
 * Cost:    one source call per batch.
 */
#ifndef MR_RUNTIME_SCAN_OPERATOR_H
#define MR_RUNTIME_SCAN_OPERATOR_H

#include "runtime/policy.h"
#include "runtime/signals.h"
#include "runtime/split_queue.h"

/* Time between two ticks while there is input: operators may see nothing of it, when those before
 * them drop every row. Ticks flush, so these are rarer than those of a task that waits. */
#define MR_BUSY_TICK_US (20 * MR_MILLISECOND)

struct mr_scan_options {
    struct mr_input *input;
    struct mr_policy *policy;
    struct mr_split_queue *queue;
    struct mr_disk *disk;
    const struct mr_ptime *now;         /* the worker's clock of this turn */
    const _Atomic bool *stopping; /* end of input asked for: behave as if every split ended */
    struct mr_epoch_signals *signals; /* NULL: the job has no epochs */
    bool *poison; /* the next row has ended the process before: it is rejected; only one lane reads */
    const uint32_t *lane_count; /* 0: no micro-batches; known when everything is restored */
};
enum mr_status mr_scan_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                              const struct mr_scan_options *options, struct mr_operator **out,
                              struct mr_error *err) MR_MUST_USE;

#endif
