/* plan_need.c - what somebody reads: from the sinks back to the sources. See plan_internal.h. */
#include "plan/plan_internal.h"
#include "base/bitset.h"

#include <string.h>

#define HIDDEN_TIME (1u << MR_HIDDEN_EVENT_TIME)
#define HIDDEN_SPLIT (1u << MR_HIDDEN_SPLIT_WATERMARK)

static struct mri_need *need_of(const struct mri_planner *planner, struct mr_stream_ref ref)
{
    return &planner->needs[ref.node][ref.output];
}

static const struct mr_schema *input_schema(const struct mri_planner *planner,
                                            const struct mr_node *node)
{
    return mr_model_schema(planner->model, node->inputs[0]);
}

static void need_all(struct mri_need *need, const struct mr_schema *schema)
{
    mr_bits_fill(need->columns, schema->column_count, true);
}

static void need_expr(struct mri_need *need, const struct mr_expr *expr,
                      const struct mr_schema *schema)
{
    mr_expr_columns(expr, schema, need->columns);
    need->hidden |= mr_expr_hidden_mask(expr);
}

static void pass_columns(struct mri_need *into, const struct mri_need *from,
                         const struct mr_schema *schema)
{
    for (size_t i = 0; i < mr_bits_words(schema->column_count); i++) {
        into->columns[i] |= from->columns[i];
    }
}

/* A stream that nobody reads a column of still has one: the rows are needed. */
static void need_something(struct mri_need *need, const struct mr_schema *schema)
{
    uint32_t count = schema->column_count;

    if (count > 0 && mr_bits_next(need->columns, count, 0) == count) mr_bit_set(need->columns, 0);
}

bool mri_late_used(const struct mri_planner *planner, const struct mr_node *node)
{
    return node->kind == MR_NODE_AGGREGATE && planner->needs[node->ordinal][1].consumers > 0;
}

bool mri_by_split(const struct mri_planner *planner, const struct mr_node *node)
{
    return planner->plan->options.late_by_split &&
           node->u.aggregate.window.kind != MR_WINDOW_GLOBAL;
}

/* ---- by kind ---- */

static void walk_project(struct mri_planner *planner, const struct mr_node *node,
                         struct mri_need *in)
{
    struct mri_need *out = &planner->needs[node->ordinal][0];

    need_something(out, node->outputs[0]);
    in->hidden |= out->hidden;
    for (uint32_t i = 0; i < node->u.project.count; i++) {
        const struct mr_expr *expr = node->u.project.exprs[i];
        const char *name;

        /* What computes may fail rows: it stays, so that pruning is not seen from outside. */
        if (!mr_expr_is_column(expr, &name)) mr_bit_set(out->columns, i);
        if (mr_bit_get(out->columns, i)) need_expr(in, expr, input_schema(planner, node));
    }
}

static void walk_aggregate(struct mri_planner *planner, const struct mr_node *node,
                           struct mri_need *in)
{
    const struct mr_schema *schema = input_schema(planner, node);
    struct mri_need *late = &planner->needs[node->ordinal][1];
    bool timed = node->u.aggregate.window.kind != MR_WINDOW_GLOBAL;

    for (uint32_t i = 0; i < node->u.aggregate.key_count; i++) {
        need_expr(in, node->u.aggregate.keys[i], schema);
    }
    for (uint32_t i = 0; i < node->u.aggregate.aggregate_count; i++) {
        const struct mr_aggregate_spec *spec = &node->u.aggregate.aggregates[i];

        timed = timed || spec->kind == MR_AGG_FIRST || spec->kind == MR_AGG_LAST;
        for (uint32_t k = 0; k < spec->argument_count; k++) {
            need_expr(in, spec->arguments[k], schema);
        }
    }
    if (timed) in->hidden |= HIDDEN_TIME;
    if (mri_by_split(planner, node)) in->hidden |= HIDDEN_SPLIT;
    if (!mri_late_used(planner, node)) return;
    need_something(late, schema);
    pass_columns(in, late, schema);
    in->hidden |= late->hidden;
}

static void walk_union(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_need *out = &planner->needs[node->ordinal][0];

    need_something(out, node->outputs[0]);
    for (uint32_t i = 0; i < node->input_count; i++) {
        struct mri_need *in = need_of(planner, node->inputs[i]);

        pass_columns(in, out, node->outputs[0]);
        in->hidden |= out->hidden;
    }
}

static void walk_function(struct mri_planner *planner, const struct mr_node *node,
                          struct mri_need *in)
{
    need_all(in, input_schema(planner, node));
    in->hidden |= HIDDEN_TIME;
    for (uint32_t i = 0; i < node->output_count; i++) {
        in->hidden |= planner->needs[node->ordinal][i].hidden & HIDDEN_SPLIT;
    }
}

/* The keys are expressions over columns, and all of those are read. */
static void walk_process(struct mri_planner *planner, const struct mr_node *node)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        struct mri_need *in = need_of(planner, node->inputs[i]);

        need_all(in, mr_model_schema(planner->model, node->inputs[i]));
        in->hidden |= HIDDEN_TIME;
    }
    for (uint32_t i = 0; i < node->u.process.key_count; i++) {
        need_of(planner, node->inputs[0])->hidden |=
            mr_expr_hidden_mask(node->u.process.keys[i]);
    }
}

/* Sort and top keep whole rows: which of two equal ones comes first goes by all columns, and must
 * not change with what is read behind them. */
static void walk_top(struct mri_planner *planner, const struct mr_node *node, struct mri_need *in)
{
    need_all(in, input_schema(planner, node));
    for (uint32_t i = 0; i < node->u.top.order_count; i++) {
        in->hidden |= mr_expr_hidden_mask(node->u.top.orders[i].expr);
    }
}

static void walk_node(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_need *out = planner->needs[node->ordinal];
    struct mri_need *in = node->input_count > 0 ? need_of(planner, node->inputs[0]) : NULL;

    switch (node->kind) {
    case MR_NODE_SOURCE: return;
    case MR_NODE_UNION: walk_union(planner, node); return;
    case MR_NODE_PROJECT: walk_project(planner, node, in); return;
    case MR_NODE_AGGREGATE: walk_aggregate(planner, node, in); return;
    case MR_NODE_FUNCTION: walk_function(planner, node, in); return;
    case MR_NODE_TOP: walk_top(planner, node, in); return;
    case MR_NODE_PROCESS: walk_process(planner, node); return;
    case MR_NODE_FILTER:
        pass_columns(in, out, node->outputs[0]);
        in->hidden |= out->hidden;
        need_expr(in, node->u.filter.condition, node->outputs[0]);
        return;
    case MR_NODE_EVENT_TIME:
        pass_columns(in, out, node->outputs[0]);
        in->hidden |= out->hidden & ~(HIDDEN_TIME | HIDDEN_SPLIT);
        need_expr(in, node->u.event_time.time, node->outputs[0]);
        return;
    case MR_NODE_SINK:
        need_all(in, input_schema(planner, node));
        in->hidden |= HIDDEN_TIME; /* user sinks may ask for it */
        return;
    }
}

/* ---- the walk ---- */

static enum mr_status make_needs(struct mri_planner *planner)
{
    const struct mr_model *model = planner->model;

    for (uint32_t i = 0; i < model->node_count; i++) {
        const struct mr_node *node = model->nodes[i];

        for (uint32_t k = 0; k < node->output_count; k++) {
            struct mri_need *need = &planner->needs[i][k];
            size_t words = mr_bits_words(node->outputs[k]->column_count);

            need->columns = mr_arena_zero(&planner->scratch, words * sizeof *need->columns);
            if (need->columns == NULL) return mri_plan_nomem(planner);
            if (planner->plan->options.no_pruning) need_all(need, node->outputs[k]);
        }
        for (uint32_t k = 0; k < node->input_count; k++) {
            need_of(planner, node->inputs[k])->consumers++;
        }
    }
    return MR_OK;
}

/* Split items live inside one chain only: what stands between a scan and its event times must be
 * fused, whatever the options say. */
static bool times_below(const struct mri_planner *planner, uint32_t ordinal)
{
    const struct mr_model *model = planner->model;

    if (planner->needs[ordinal][0].consumers != 1) return false;
    for (uint32_t i = ordinal + 1; i < model->node_count; i++) {
        const struct mr_node *node = model->nodes[i];

        if (node->input_count != 1 || node->inputs[0].node != ordinal ||
            node->inputs[0].output != 0) {
            continue;
        }
        if (node->kind == MR_NODE_EVENT_TIME) return true;
        return planner->times_below[i] &&
               (node->kind == MR_NODE_FILTER || node->kind == MR_NODE_PROJECT ||
                node->kind == MR_NODE_FUNCTION);
    }
    return false;
}

enum mr_status mri_plan_needs(struct mri_planner *planner)
{
    const struct mr_model *model = planner->model;
    uint32_t count = model->node_count;

    planner->needs = mr_arena_zero(&planner->scratch, count * sizeof *planner->needs);
    planner->streams = mr_arena_zero(&planner->scratch, count * sizeof *planner->streams);
    planner->times_below = mr_arena_zero(&planner->scratch, count * sizeof *planner->times_below);
    if (planner->needs == NULL || planner->streams == NULL || planner->times_below == NULL) {
        return mri_plan_nomem(planner);
    }
    MR_RET(make_needs(planner));
    for (uint32_t i = count; i-- > 0;) walk_node(planner, model->nodes[i]);
    for (uint32_t i = count; i-- > 0;) planner->times_below[i] = times_below(planner, i);
    return MR_OK;
}
