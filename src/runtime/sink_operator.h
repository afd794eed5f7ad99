/* sink_operator.h - the operator at the end of a pipeline: hands batches to a writer.
 *
 * The writer's output becomes visible only by mr_sink_operator_commit, which the runner calls when
 * every task of the job has ended well; in a job with epochs also by mr_sink_operator_commit_epoch, once an
 * epoch is complete. There a barrier goes on only when the writer has made all before it safe, and
 * what it needs to commit that after a restart is the operator's state.
 *
 * Owns:    its writer.
 * Thread:  confined; commit, abort and first-result time are the runner's, after the workers ended.
 * Fails:   what the sink reports.
 * Cost:    one sink call per batch.
 */
#ifndef MR_RUNTIME_SINK_OPERATOR_H
#define MR_RUNTIME_SINK_OPERATOR_H

#include "connect/sink.h"
#include "exec/operator.h"

struct mr_sink_options {
    const struct mr_sink_ops *ops;
    void *spec;
    struct mr_disk *disk;
    const struct mr_ptime *now;
    _Atomic int64_t *first_result_us; /* set once by whoever is first; INT64_MAX before */
    bool epochs; /* the writer is opened by `restored`, when the task's fence is known */
    const uint64_t *fence;
};
enum mr_status mr_sink_operator_create(struct mr_task_context *task,
                                       const struct mr_plan_op *plan,
                                       const struct mr_sink_options *options,
                                       struct mr_operator **out,
                                       struct mr_error *err) MR_MUST_USE;
/* True if the sink's output takes part in epochs (two-phase commit). */
bool mr_sink_has_epochs(const struct mr_sink_ops *ops, const void *spec);
/* Makes everything up to the epoch visible; *out_blocked: repeat later. On the task's worker. */
enum mr_status mr_sink_operator_commit_epoch(struct mr_operator *op, uint64_t epoch,
                                             bool *out_blocked, struct mr_error *err) MR_MUST_USE;
bool mr_is_sink_operator(const struct mr_operator *op);
enum mr_status mr_sink_operator_commit(struct mr_operator *op, struct mr_error *err) MR_MUST_USE;

#endif
