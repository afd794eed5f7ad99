/* plan_lower.c - each node of the model as operators of stages. See plan_internal.h. */
#include "plan/plan_internal.h"
#include "base/assert.h"
#include "base/bitset.h"
#include "base/status.h"

#include <string.h>

#define PARALLELISM_MAX 1024u
#define HIDDEN_TIME (1u << MR_HIDDEN_EVENT_TIME)
#define HIDDEN_SPLIT (1u << MR_HIDDEN_SPLIT_WATERMARK)

void mri_set_stream(struct mri_planner *planner, const struct mr_node *node, uint32_t output,
                    const struct mri_stream *at)
{
    const struct mri_need *need = &planner->needs[node->ordinal][output];
    struct mri_stream *stream = &planner->streams[node->ordinal][output];

    *stream = *at;
    stream->logical = node->outputs[output];
    stream->need = need->columns;
    stream->need_hidden = need->hidden;
    stream->consumers = need->consumers;
}

/* What follows a sort or a total stays in its one instance, unless told otherwise. */
static uint32_t wanted_parallelism(const struct mri_planner *planner, const struct mr_node *node,
                                   const struct mri_stream *at)
{
    if (node->parallelism != 0) return MR_MIN(node->parallelism, PARALLELISM_MAX);
    if (at != NULL && at->gathered) return 1;
    return MR_MIN(planner->plan->options.workers, PARALLELISM_MAX);
}

/* Adds the operator of a node with one input whose rows keep their place, and says whether the
 * stream is still gathered. */
static enum mr_status append_node(struct mri_planner *planner, struct mri_stream *at,
                                  enum mr_plan_op_kind kind, const struct mr_node *node,
                                  struct mr_plan_op **out)
{
    uint32_t parallelism = wanted_parallelism(planner, node, at);

    at->gathered = at->gathered && parallelism == 1;
    return mri_append(planner, at, kind, node, parallelism, out);
}

/* ---- by kind ---- */

static enum mr_status lower_source(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = {0};
    struct mr_schema *schema = node->outputs[0];
    size_t words = mr_bits_words(schema->column_count);
    const struct mri_need *need = &planner->needs[node->ordinal][0];
    struct mr_plan_op *op;
    uint32_t hidden = 0;

    if (node->u.source.makes_event_time) {
        hidden = planner->plan->options.late_by_split ? HIDDEN_TIME | HIDDEN_SPLIT : HIDDEN_TIME;
    }
    MR_RET(mri_stage_add(planner, wanted_parallelism(planner, node, NULL), &at.stage));
    MR_RET(mri_op_add(planner, at.stage, MR_PLAN_SCAN, node, NULL, &op));
    op->projection = mri_plan_array(planner, words, sizeof *op->projection);
    if (op->projection == NULL) return mri_plan_nomem(planner);
    if (words > 0) memcpy(op->projection, need->columns, words * sizeof *op->projection);
    op->outputs[0] = schema;
    op->output_hidden = hidden;
    mri_advance(&at, op);
    mri_set_stream(planner, node, 0, &at);
    return MR_OK;
}

static enum mr_status bind_one(struct mri_planner *planner, const struct mr_expr *expr,
                               const struct mr_schema *schema, struct mr_bound ***out)
{
    *out = mri_plan_array(planner, 1, sizeof **out);
    if (*out == NULL) return mri_plan_nomem(planner);
    return mri_plan_bind(planner, expr, schema, *out);
}

static enum mr_status lower_event_time(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    uint32_t needed = planner->needs[node->ordinal][0].hidden;
    struct mr_plan_op *op;

    MR_RET(append_node(planner, &at, MR_PLAN_EVENT_TIME, node, &op));
    MR_RET(bind_one(planner, node->u.event_time.time, op->input, &op->exprs));
    op->expr_count = 1;
    op->outputs[0] = op->input;
    op->late_by_split = planner->plan->options.late_by_split && (needed & HIDDEN_SPLIT) != 0;
    op->output_hidden = (at.hidden & ~HIDDEN_SPLIT) | HIDDEN_TIME;
    if (op->late_by_split) op->output_hidden |= HIDDEN_SPLIT;
    mri_advance(&at, op);
    mri_set_stream(planner, node, 0, &at);
    return MR_OK;
}

static bool always_true(struct mri_planner *planner, const struct mr_bound *bound)
{
    struct mr_text text;
    bool is;

    if (!mr_bound_is_constant(bound)) return false;
    mr_text_init(&text, planner->plan->heap, 0);
    mr_bound_print(bound, &text);
    is = mr_text_status(&text) == MR_OK && strcmp(mr_text_get(&text), "TRUE") == 0;
    mr_text_fini(&text);
    return is;
}

static enum mr_status lower_filter(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    uint32_t parallelism = wanted_parallelism(planner, node, &at);
    struct mr_plan_op *op;
    struct mr_bound **bounds;

    MR_RET(bind_one(planner, node->u.filter.condition, at.schema, &bounds));
    if (always_true(planner, bounds[0]) && parallelism == mri_parallelism_of(planner, &at)) {
        uint32_t before = at.consumers;

        mri_set_stream(planner, node, 0, &at);
        if (before > 1) planner->streams[node->ordinal][0].consumers = before;
        return MR_OK;
    }
    MR_RET(append_node(planner, &at, MR_PLAN_FILTER, node, &op));
    /* In front of an exchange the stream may have lost columns: bind to what arrives. */
    MR_RET(bind_one(planner, node->u.filter.condition, op->input, &op->exprs));
    op->expr_count = 1;
    op->outputs[0] = op->input;
    op->output_hidden = at.hidden;
    mri_advance(&at, op);
    mri_set_stream(planner, node, 0, &at);
    return MR_OK;
}

static enum mr_status lower_project(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    const struct mri_need *need = &planner->needs[node->ordinal][0];
    uint32_t count = (uint32_t)mr_bits_count(need->columns, node->u.project.count);
    struct mr_field *fields = mr_arena_zero(&planner->scratch, count * sizeof *fields);
    struct mr_bound **bounds = mri_plan_array(planner, count, sizeof *bounds);
    uint32_t filled = 0;
    struct mr_plan_op *op;

    if (fields == NULL || bounds == NULL) return mri_plan_nomem(planner);
    MR_RET(append_node(planner, &at, MR_PLAN_PROJECT, node, &op));
    for (uint32_t i = 0; i < node->u.project.count; i++) {
        if (!mr_bit_get(need->columns, i)) continue;
        MR_RET(mri_plan_bind(planner, node->u.project.exprs[i], op->input, &bounds[filled]));
        fields[filled] = *mr_bound_field(bounds[filled]);
        fields[filled++].name = node->u.project.names[i];
    }
    MR_RET(mri_schema_new(planner, fields, count, &op->outputs[0]));
    op->exprs = bounds;
    op->expr_count = count;
    op->output_hidden = at.hidden;
    mri_advance(&at, op);
    mri_set_stream(planner, node, 0, &at);
    return MR_OK;
}

static enum mr_status lower_function(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    struct mr_plan_op *op;

    MR_RET(append_node(planner, &at, MR_PLAN_FUNCTION, node, &op));
    op->output_count = node->output_count;
    for (uint32_t i = 0; i < node->output_count; i++) op->outputs[i] = node->outputs[i];
    op->output_hidden = at.hidden & (HIDDEN_TIME | HIDDEN_SPLIT);
    mri_advance(&at, op);
    for (uint32_t i = 0; i < node->output_count; i++) {
        at.output = i;
        at.schema = node->outputs[i];
        mri_set_stream(planner, node, i, &at);
    }
    return MR_OK;
}

/* ---- union ---- */

static uint32_t union_parallelism(const struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream first = mri_input(planner, node, 0);
    uint32_t parallelism = mri_parallelism_of(planner, &first);

    if (node->parallelism != 0) return MR_MIN(node->parallelism, PARALLELISM_MAX);
    for (uint32_t i = 1; i < node->input_count; i++) {
        struct mri_stream at = mri_input(planner, node, i);

        if (mri_parallelism_of(planner, &at) != parallelism) {
            return wanted_parallelism(planner, node, NULL);
        }
    }
    return parallelism;
}

/* All inputs must bring the same columns. They do when none was pruned in front of it, and when all
 * are pruned to what is read behind the union. */
static bool union_prunes(const struct mri_planner *planner, const struct mr_node *node,
                         uint32_t parallelism)
{
    struct mri_stream first = mri_input(planner, node, 0);

    for (uint32_t i = 0; i < node->input_count; i++) {
        struct mri_stream at = mri_input(planner, node, i);

        if (!mr_schema_equal(at.schema, first.schema)) return true;
        if (mri_parallelism_of(planner, &at) == parallelism) continue;
        at.need = planner->needs[node->ordinal][0].columns;
        if (mri_has_excess(&at)) return true;
    }
    return false;
}

static enum mr_status lower_union(struct mri_planner *planner, const struct mr_node *node)
{
    const struct mri_need *need = &planner->needs[node->ordinal][0];
    uint32_t parallelism = union_parallelism(planner, node);
    bool prunes = union_prunes(planner, node, parallelism);
    struct mri_stream at = {.hidden = UINT32_MAX};
    struct mr_plan_op *op;

    /* Pruning may add stages: they come first, as stages are in topological order. */
    struct mri_stream *inputs =
        mr_arena_zero(&planner->scratch, node->input_count * sizeof *inputs);
    if (inputs == NULL) return mri_plan_nomem(planner);
    for (uint32_t i = 0; i < node->input_count; i++) {
        inputs[i] = mri_input(planner, node, i);
        inputs[i].need = need->columns; /* others may read more of the same stream */
        inputs[i].need_hidden = need->hidden;
        if (prunes) MR_RET(mri_prune(planner, &inputs[i], node));
        at.hidden &= inputs[i].hidden;
    }
    MR_RET(mri_stage_add(planner, parallelism, &at.stage));
    for (uint32_t i = 0; i < node->input_count; i++) {
        enum mr_exchange exchange =
            mri_exchange_between(mri_parallelism_of(planner, &inputs[i]), parallelism);

        inputs[i].hidden = at.hidden;
        MR_RET(mri_edge_add(planner, &inputs[i], at.stage, exchange, 0));
    }
    MR_RET(mri_op_add(planner, at.stage, MR_PLAN_MERGE, node, inputs[0].schema, &op));
    op->outputs[0] = op->input;
    op->output_hidden = at.hidden & need->hidden;
    mri_advance(&at, op);
    mri_set_stream(planner, node, 0, &at);
    return MR_OK;
}

/* ---- top and sink ---- */

static enum mr_status fill_top(struct mri_planner *planner, const struct mr_node *node,
                               struct mr_plan_op *op)
{
    uint32_t count = node->u.top.order_count;
    bool *descending = mri_plan_array(planner, count, sizeof *descending);

    op->exprs = mri_plan_array(planner, count, sizeof *op->exprs);
    if (descending == NULL || op->exprs == NULL) return mri_plan_nomem(planner);
    for (uint32_t i = 0; i < count; i++) {
        MR_RET(mri_plan_bind(planner, node->u.top.orders[i].expr, op->input, &op->exprs[i]));
        descending[i] = node->u.top.orders[i].descending;
    }
    op->expr_count = count;
    op->descending = descending;
    op->limit = node->u.top.limit;
    op->outputs[0] = op->input;
    op->output_hidden = 0; /* rows come out when time is over */
    return MR_OK;
}

/* Each instance's own first rows pass only. Not when the order reads what they do not keep. */
static bool top_in_two(const struct mri_planner *planner, const struct mr_node *node)
{
    if (planner->plan->options.no_two_stage || node->u.top.limit == UINT64_MAX) return false;
    for (uint32_t i = 0; i < node->u.top.order_count; i++) {
        if (mr_expr_hidden_mask(node->u.top.orders[i].expr) != 0) return false;
    }
    return true;
}

static enum mr_status lower_top(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    uint32_t here = mri_parallelism_of(planner, &at);
    struct mr_plan_op *op;

    if (here > 1 && top_in_two(planner, node)) {
        MR_RET(mri_append(planner, &at, MR_PLAN_TOP_PARTIAL, node, here, &op));
        MR_RET(fill_top(planner, node, op));
        mri_advance(&at, op);
    }
    MR_RET(mri_append(planner, &at, MR_PLAN_TOP, node, 1, &op));
    MR_RET(fill_top(planner, node, op));
    mri_advance(&at, op);
    at.gathered = true;
    mri_set_stream(planner, node, 0, &at);
    return MR_OK;
}

static enum mr_status lower_sink(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    uint32_t parallelism = mri_parallelism_of(planner, &at);
    struct mr_plan_op *op;

    if (node->parallelism != 0) parallelism = MR_MIN(node->parallelism, PARALLELISM_MAX);
    if (node->u.sink.one_writer) parallelism = 1;
    MR_RET(mri_append(planner, &at, MR_PLAN_SINK, node, parallelism, &op));
    op->output_count = 0;
    return MR_OK;
}

static enum mr_status lower_node(struct mri_planner *planner, const struct mr_node *node)
{
    switch (node->kind) {
    case MR_NODE_SOURCE: return lower_source(planner, node);
    case MR_NODE_EVENT_TIME: return lower_event_time(planner, node);
    case MR_NODE_FILTER: return lower_filter(planner, node);
    case MR_NODE_PROJECT: return lower_project(planner, node);
    case MR_NODE_FUNCTION: return lower_function(planner, node);
    case MR_NODE_UNION: return lower_union(planner, node);
    case MR_NODE_AGGREGATE: return mri_lower_aggregate(planner, node);
    case MR_NODE_TOP: return lower_top(planner, node);
    case MR_NODE_PROCESS: return mri_lower_process(planner, node);
    case MR_NODE_SINK: return lower_sink(planner, node);
    }
    MR_UNREACHABLE();
}

enum mr_status mri_lower(struct mri_planner *planner)
{
    for (uint32_t i = 0; i < planner->model->node_count; i++) {
        const struct mr_node *node = planner->model->nodes[i];
        enum mr_status st = lower_node(planner, node);

        if (st == MR_OK) continue;
        mr_error_context(planner->err, "%s '%s'", mr_node_kind_name(node->kind), node->id);
        return st;
    }
    return MR_OK;
}
