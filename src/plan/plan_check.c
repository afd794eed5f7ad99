/* plan_check.c - the invariants of a plan, asserted at the end of planning. See plan.h. */
#include "plan/plan_internal.h"
#include "base/assert.h"

/* (2), inside a stage. */
static void check_chain(const struct mr_plan_stage *stage)
{
    mr_assert(stage->op_count > 0);
    mr_assert(stage->parallelism > 0);
    for (uint32_t i = 0; i < stage->op_count; i++) {
        const struct mr_plan_op *op = &stage->ops[i];

        mr_assert(op->ordinal == i);
        mr_assert(op->node != NULL);
        mr_assert((op->kind == MR_PLAN_SCAN) == (op->input == NULL));
        mr_assert((op->kind == MR_PLAN_SINK) == (op->output_count == 0));
        for (uint32_t k = 0; k < op->output_count; k++) mr_assert(op->outputs[k] != NULL);
        if (i > 0) mr_assert(mr_schema_equal(op->input, stage->ops[i - 1].outputs[0]));
    }
    mr_assert((stage->ops[0].kind == MR_PLAN_SCAN) == (stage->input_count == 0));
}

/* What an operator at the head of a stage expects of an input. */
static const struct mr_schema *input_of(const struct mr_plan_op *op, uint32_t input)
{
    return op->kind == MR_PLAN_PROCESS && input == 1 ? op->broadcast : op->input;
}

/* (1), (2), (5) */
static void check_edge(const struct mr_plan *plan, const struct mr_plan_edge *edge)
{
    const struct mr_plan_stage *from = &plan->stages[edge->from_stage];
    const struct mr_plan_stage *to = &plan->stages[edge->to_stage];
    const struct mr_plan_op *op = &from->ops[edge->from_op];

    mr_assert(edge->from_stage < edge->to_stage);
    mr_assert(edge->from_op < from->op_count);
    mr_assert(edge->from_output < op->output_count);
    mr_assert(edge->from_output > 0 || edge->from_op + 1 == from->op_count);
    mr_assert(mr_schema_equal(edge->schema, op->outputs[edge->from_output]));
    mr_assert(mr_schema_equal(edge->schema, input_of(&to->ops[0], edge->to_input)));
    mr_assert(to->inputs[edge->to_input] == edge);
    mr_assert((edge->exchange == MR_EXCHANGE_KEY) == (edge->key_count > 0));
    if (edge->exchange == MR_EXCHANGE_FORWARD) mr_assert(from->parallelism == to->parallelism);
    if (edge->exchange == MR_EXCHANGE_ONE) mr_assert(to->parallelism == 1);
}

/* (3) */
static void check_place(const struct mr_plan_stage *stage, const struct mr_plan_op *op)
{
    bool keyed = op->kind == MR_PLAN_AGGREGATE || op->kind == MR_PLAN_AGGREGATE_FINAL ||
                 op->kind == MR_PLAN_PROCESS;

    if (op->kind == MR_PLAN_TOP) mr_assert(stage->parallelism == 1);
    if (op->kind == MR_PLAN_SINK && op->node->u.sink.one_writer) {
        mr_assert(stage->parallelism == 1);
    }
    if (!keyed) return;
    if (op->key_count == 0) {
        mr_assert(stage->parallelism == 1);
        return;
    }
    mr_assert(op->ordinal == 0);
    for (uint32_t i = 0; i < stage->input_count; i++) {
        if (i == 1 && op->broadcast != NULL) {
            mr_assert(stage->inputs[i]->exchange == MR_EXCHANGE_BROADCAST);
            continue;
        }
        mr_assert(stage->inputs[i]->exchange == MR_EXCHANGE_KEY);
        mr_assert(stage->inputs[i]->key_count == op->key_count);
    }
    for (uint32_t i = 0; i < op->key_count; i++) {
        mr_assert(mr_field_type_equal(&op->input->fields[i], &op->key_fields[i]));
    }
}

void mri_plan_check(const struct mr_plan *plan)
{
    uint64_t channel_bytes = 0;

    for (uint32_t i = 0; i < plan->stage_count; i++) {
        const struct mr_plan_stage *stage = &plan->stages[i];

        mr_assert(stage->ordinal == i);
        check_chain(stage);
        for (uint32_t k = 0; k < stage->op_count; k++) check_place(stage, &stage->ops[k]);
    }
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        mr_assert(plan->edges[i].ordinal == i);
        check_edge(plan, &plan->edges[i]);
        channel_bytes += mri_edge_channels(plan, &plan->edges[i]) * plan->edges[i].quota_bytes;
    }
    mr_assert(channel_bytes == plan->channel_bytes); /* (6) */
}
