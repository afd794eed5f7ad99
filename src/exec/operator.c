/* operator.c - see operator.h: which constructor makes which kind. */
#include "exec/exec_internal.h"

enum mr_status mr_operator_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                  struct mr_operator **out, struct mr_error *err)
{
    switch (plan->kind) {
    case MR_PLAN_EVENT_TIME: return mr_event_time_create(task, plan, out, err);
    case MR_PLAN_FILTER: return mr_filter_create(task, plan, out, err);
    case MR_PLAN_PROJECT: return mr_project_create(task, plan, out, err);
    case MR_PLAN_FUNCTION: return mr_function_create(task, plan, out, err);
    case MR_PLAN_PROCESS: return mr_process_create(task, plan, out, err);
    case MR_PLAN_MERGE: return mr_merge_create(task, plan, out, err);
    case MR_PLAN_AGGREGATE: return mr_aggregate_create(task, plan, out, err);
    case MR_PLAN_AGGREGATE_PARTIAL: return mr_partial_aggregate_create(task, plan, out, err);
    case MR_PLAN_AGGREGATE_FINAL: return mr_final_aggregate_create(task, plan, out, err);
    case MR_PLAN_TOP_PARTIAL:
    case MR_PLAN_TOP: return mr_top_create(task, plan, out, err);
    case MR_PLAN_SCAN:
    case MR_PLAN_SINK: break; /* the runtime's: they need connectors */
    }
    MR_UNREACHABLE();
}

void mr_operator_close(struct mr_operator *op)
{
    if (op != NULL) op->ops->close(op);
}
