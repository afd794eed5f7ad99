/* plan_build.c - the moves that make stages, operators and edges. See plan_internal.h. */
#include "plan/plan_internal.h"
#include "base/assert.h"
#include "base/bitset.h"
#include "base/status.h"

#include <string.h>

enum mr_status mri_plan_nomem(struct mri_planner *planner)
{
    return mr_error_nomem(planner->err, "planning the pipeline", sizeof(struct mr_plan_op));
}

/* Lives as long as the plan. */
void *mri_plan_array(struct mri_planner *planner, size_t count, size_t size_bytes)
{
    return mr_arena_zero(&planner->plan->arena, count * size_bytes);
}

/* ---- what the plan releases at its end ---- */

static enum mr_status own(struct mri_planner *planner, struct mr_schema *schema,
                          struct mr_bound *bound)
{
    struct mri_plan_owned *owned = mri_plan_array(planner, 1, sizeof *owned);

    if (owned == NULL) {
        mr_schema_release(schema);
        mr_bound_destroy(bound);
        return mri_plan_nomem(planner);
    }
    owned->schema = schema;
    owned->bound = bound;
    owned->next = planner->plan->owned;
    planner->plan->owned = owned;
    return MR_OK;
}

enum mr_status mri_schema_new(struct mri_planner *planner, const struct mr_field *fields,
                              uint32_t count, struct mr_schema **out)
{
    MR_RET(mr_schema_create(planner->plan->heap, fields, count, out, planner->err));
    return own(planner, *out, NULL);
}

enum mr_status mri_plan_bind(struct mri_planner *planner, const struct mr_expr *expr,
                             const struct mr_schema *schema, struct mr_bound **out)
{
    MR_RET(mr_bind(planner->plan->heap, expr, schema, out, planner->err));
    return own(planner, NULL, *out);
}

enum mr_status mri_plan_bind_column(struct mri_planner *planner, const char *name,
                                    const struct mr_schema *schema, struct mr_bound **out)
{
    return mri_plan_bind(planner, mr_expr_column(&planner->plan->arena, name), schema, out);
}

/* ---- stages, operators, edges ---- */

/* Room for one more in an array that doubles; NULL: out of memory. */
static void *grown(struct mri_planner *planner, void *array, uint32_t count, size_t size_bytes)
{
    void *larger;

    if (count != 0 && (count & (count - 1)) != 0) return array;
    larger = mri_plan_array(planner, count == 0 ? 1 : 2 * (size_t)count, size_bytes);
    if (larger != NULL && count > 0) memcpy(larger, array, count * size_bytes);
    return larger;
}

enum mr_status mri_stage_add(struct mri_planner *planner, uint32_t parallelism,
                             uint32_t *out_stage)
{
    struct mr_plan *plan = planner->plan;
    struct mr_plan_stage *stages =
        grown(planner, plan->stages, plan->stage_count, sizeof *stages);

    if (stages == NULL) return mri_plan_nomem(planner);
    plan->stages = stages;
    stages[plan->stage_count] =
        (struct mr_plan_stage){.ordinal = plan->stage_count, .parallelism = parallelism};
    *out_stage = plan->stage_count++;
    return MR_OK;
}

enum mr_status mri_op_add(struct mri_planner *planner, uint32_t stage, enum mr_plan_op_kind kind,
                          const struct mr_node *node, struct mr_schema *input,
                          struct mr_plan_op **out)
{
    struct mr_plan_stage *into = &planner->plan->stages[stage];
    struct mr_plan_op *ops = grown(planner, into->ops, into->op_count, sizeof *ops);

    if (ops == NULL) return mri_plan_nomem(planner);
    into->ops = ops;
    *out = &ops[into->op_count];
    **out = (struct mr_plan_op){.ordinal = into->op_count,
                                .kind = kind,
                                .node = node,
                                .input = input,
                                .output_count = 1,
                                .rows_column = MR_COLUMN_NONE,
                                .late_first_column = MR_COLUMN_NONE};
    into->op_count++;
    return MR_OK;
}

enum mr_status mri_edge_add(struct mri_planner *planner, const struct mri_stream *at,
                            uint32_t to_stage, enum mr_exchange exchange, uint32_t key_count)
{
    struct mr_plan *plan = planner->plan;
    struct mr_plan_edge *edges = grown(planner, plan->edges, plan->edge_count, sizeof *edges);
    uint32_t hash = exchange == MR_EXCHANGE_KEY ? 1u << MR_HIDDEN_KEY_HASH : 0;
    uint32_t anchors = plan->options.tracked ? 1u << MR_HIDDEN_TRACKING : 0;

    if (edges == NULL) return mri_plan_nomem(planner);
    plan->edges = edges;
    edges[plan->edge_count] =
        (struct mr_plan_edge){.ordinal = plan->edge_count,
                              .from_stage = at->stage,
                              .from_op = at->op,
                              .from_output = at->output,
                              .to_stage = to_stage,
                              .to_input = plan->stages[to_stage].input_count++,
                              .exchange = exchange,
                              .schema = at->schema,
                              .hidden_mask = (at->hidden & at->need_hidden) | hash | anchors,
                              .key_count = key_count};
    plan->edge_count++;
    plan->stages[at->stage].output_count++;
    return MR_OK;
}

/* ---- streams ---- */

struct mri_stream mri_input(const struct mri_planner *planner, const struct mr_node *node,
                            uint32_t input)
{
    struct mr_stream_ref ref = node->inputs[input];

    return planner->streams[ref.node][ref.output];
}

uint32_t mri_parallelism_of(const struct mri_planner *planner, const struct mri_stream *at)
{
    return planner->plan->stages[at->stage].parallelism;
}

void mri_advance(struct mri_stream *at, const struct mr_plan_op *op)
{
    at->op = op->ordinal;
    at->output = 0;
    at->consumers = 1;
    at->schema = op->outputs[0];
    at->hidden = op->output_hidden;
}

static bool fusable(const struct mri_planner *planner, const struct mri_stream *at,
                    enum mr_plan_op_kind kind, const struct mr_node *node)
{
    if (at->consumers != 1 || at->output != 0) return false;
    if (at->op + 1 != planner->plan->stages[at->stage].op_count) return false;
    return !planner->plan->options.no_fusion || kind == MR_PLAN_EVENT_TIME ||
           planner->times_below[node->ordinal];
}

enum mr_exchange mri_exchange_between(uint32_t from, uint32_t to)
{
    if (from == to) return MR_EXCHANGE_FORWARD;
    return to == 1 ? MR_EXCHANGE_ONE : MR_EXCHANGE_ROUND_ROBIN;
}

enum mr_status mri_append_exchanged(struct mri_planner *planner, struct mri_stream *at,
                                    enum mr_exchange exchange, uint32_t key_count,
                                    enum mr_plan_op_kind kind, const struct mr_node *node,
                                    uint32_t parallelism, struct mr_plan_op **out)
{
    uint32_t stage = 0;
    uint32_t hash = exchange == MR_EXCHANGE_KEY ? 1u << MR_HIDDEN_KEY_HASH : 0;

    if (exchange != MR_EXCHANGE_FORWARD) MR_RET(mri_prune(planner, at, node));
    MR_RET(mri_stage_add(planner, parallelism, &stage));
    MR_RET(mri_edge_add(planner, at, stage, exchange, key_count));
    at->stage = stage;
    at->hidden = (at->hidden & at->need_hidden) | hash;
    return mri_op_add(planner, stage, kind, node, at->schema, out);
}

enum mr_status mri_append(struct mri_planner *planner, struct mri_stream *at,
                          enum mr_plan_op_kind kind, const struct mr_node *node,
                          uint32_t parallelism, struct mr_plan_op **out)
{
    uint32_t here = mri_parallelism_of(planner, at);

    if (here == parallelism && fusable(planner, at, kind, node)) {
        return mri_op_add(planner, at->stage, kind, node, at->schema, out);
    }
    return mri_append_exchanged(planner, at, mri_exchange_between(here, parallelism), 0, kind, node,
                                parallelism, out);
}

/* ---- pruning in front of an exchange ---- */

/* Calls for each physical column, whether it is read. Columns of both schemas are in one order. */
static bool column_read(const struct mri_stream *at, uint32_t column, uint32_t *logical)
{
    const char *name = at->schema->fields[column].name;

    while (strcmp(at->logical->fields[*logical].name, name) != 0) {
        ++*logical;
        mr_assert(*logical < at->logical->column_count);
    }
    return mr_bit_get(at->need, *logical);
}

static uint32_t columns_read(const struct mri_stream *at)
{
    uint32_t count = 0;
    uint32_t logical = 0;

    if (at->need == NULL) return at->schema->column_count;
    for (uint32_t i = 0; i < at->schema->column_count; i++) count += column_read(at, i, &logical);
    return count;
}

bool mri_has_excess(const struct mri_stream *at)
{
    return MR_MAX(columns_read(at), 1) < at->schema->column_count;
}

enum mr_status mri_prune(struct mri_planner *planner, struct mri_stream *at,
                         const struct mr_node *node)
{
    uint32_t count = MR_MAX(columns_read(at), 1); /* the first one when only the rows count */
    bool none = columns_read(at) == 0;
    uint32_t logical = 0;
    uint32_t filled = 0;
    struct mr_field *fields;
    struct mr_bound **bounds;
    struct mr_schema *from = at->schema;
    struct mr_plan_op *op;
    struct mr_schema *schema;

    if (!mri_has_excess(at)) return MR_OK;
    fields = mr_arena_zero(&planner->scratch, count * sizeof *fields);
    bounds = mri_plan_array(planner, count, sizeof *bounds);
    if (fields == NULL || bounds == NULL) return mri_plan_nomem(planner);
    for (uint32_t i = 0; i < from->column_count && filled < count; i++) {
        if (!none && !column_read(at, i, &logical)) continue;
        fields[filled] = from->fields[i];
        MR_RET(mri_plan_bind_column(planner, from->fields[i].name, from, &bounds[filled]));
        filled++;
    }
    MR_RET(mri_schema_new(planner, fields, count, &schema));
    MR_RET(mri_append(planner, at, MR_PLAN_PROJECT, node, mri_parallelism_of(planner, at), &op));
    op->inserted = true;
    op->exprs = bounds;
    op->expr_count = count;
    op->outputs[0] = schema;
    op->output_hidden = at->hidden;
    mri_advance(at, op);
    return MR_OK;
}
