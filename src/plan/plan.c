/* plan.c - from a model to a plan, as a whole. See plan.h. */
#include "plan/plan_internal.h"
#include "base/hash.h"
#include "base/status.h"

#include <string.h>

const char *mr_plan_op_name(enum mr_plan_op_kind kind)
{
    static const char *const names[] = {
        "scan",    "event-time", "filter",    "project",           "function",
        "process", "merge",      "aggregate", "aggregate-partial", "aggregate-final",
        "top-partial", "top", "sink"};

    return (size_t)kind < MR_COUNT(names) ? names[kind] : "unknown";
}

const char *mr_exchange_name(enum mr_exchange exchange)
{
    static const char *const names[] = {"forward", "key", "round robin", "broadcast", "one"};

    return (size_t)exchange < MR_COUNT(names) ? names[exchange] : "unknown";
}

/* ---- the edges of each stage ---- */

static enum mr_status make_lists(struct mri_planner *planner)
{
    struct mr_plan *plan = planner->plan;

    for (uint32_t i = 0; i < plan->stage_count; i++) {
        struct mr_plan_stage *stage = &plan->stages[i];

        stage->inputs = mri_plan_array(planner, stage->input_count, sizeof *stage->inputs);
        stage->outputs = mri_plan_array(planner, stage->output_count, sizeof *stage->outputs);
        if (stage->inputs == NULL || stage->outputs == NULL) return mri_plan_nomem(planner);
        stage->output_count = 0;
    }
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        const struct mr_plan_edge *edge = &plan->edges[i];
        struct mr_plan_stage *from = &plan->stages[edge->from_stage];

        plan->stages[edge->to_stage].inputs[edge->to_input] = edge;
        from->outputs[from->output_count++] = edge;
    }
    return MR_OK;
}

/* ---- options ---- */

static enum mr_status check_options(struct mr_plan_options *options, struct mr_error *err)
{
    if (options->workers == 0) {
        return mr_error_set(err, MR_E_INVALID, "0 workers: at least one is needed");
    }
    if (options->key_group_count == 0) options->key_group_count = MR_KEY_GROUPS_DEFAULT;
    return MR_OK;
}

/* ---- the whole ---- */

static enum mr_status make(struct mri_planner *planner)
{
    MR_RET(mri_plan_needs(planner));
    MR_RET(mri_lower(planner));
    MR_RET(make_lists(planner));
    MR_RET(mri_plan_memory(planner));
    mri_plan_check(planner->plan);
    return MR_OK;
}

static enum mr_status new_plan(struct mr_heap *heap, const struct mr_model *model,
                               const struct mr_plan_options *options, struct mr_plan **out,
                               struct mr_error *err)
{
    struct mr_plan *plan = mr_alloc_zero(heap, sizeof *plan);

    if (plan == NULL) return mr_error_nomem(err, "planning the pipeline", sizeof *plan);
    plan->heap = heap;
    mr_arena_init(&plan->arena, heap);
    plan->model = model;
    plan->options = *options;
    *out = plan;
    return MR_OK;
}

enum mr_status mr_plan_create(struct mr_heap *heap, const struct mr_model *model,
                              const struct mr_plan_options *options, struct mr_plan **out,
                              struct mr_error *err)
{
    struct mr_plan_options checked = *options;
    struct mri_planner planner = {.model = model, .err = err};
    enum mr_status st;

    MR_RET(check_options(&checked, err));
    MR_RET(mr_model_check(model, err));
    MR_RET(new_plan(heap, model, &checked, &planner.plan, err));
    mr_arena_init(&planner.scratch, heap);
    st = make(&planner);
    mr_arena_fini(&planner.scratch);
    if (st != MR_OK) {
        mr_plan_destroy(planner.plan);
        return st;
    }
    *out = planner.plan;
    return MR_OK;
}

void mr_plan_destroy(struct mr_plan *plan)
{
    if (plan == NULL) return;
    for (struct mri_plan_owned *owned = plan->owned; owned != NULL; owned = owned->next) {
        mr_schema_release(owned->schema);
        mr_bound_destroy(owned->bound);
    }
    mr_arena_fini(&plan->arena);
    mr_free(plan->heap, plan, sizeof *plan);
}
