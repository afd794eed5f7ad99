/* sink_operator.h - the operator at the end of a pipeline: hands batches to a writer.
 *
 * The writer's output becomes visible only by mr_sink_commit, which the runner calls when every
 * task of the job has ended well.
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
};
enum mr_status mr_sink_operator_create(struct mr_task_context *task,
                                       const struct mr_plan_op *plan,
                                       const struct mr_sink_options *options,
                                       struct mr_operator **out,
                                       struct mr_error *err) MR_MUST_USE;
bool mr_is_sink_operator(const struct mr_operator *op);
enum mr_status mr_sink_operator_commit(struct mr_operator *op, struct mr_error *err) MR_MUST_USE;

#endif
