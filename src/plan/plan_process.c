/* plan_process.c - process functions: rows go to where their key's state is. See plan_internal.h.
 *
 * A project in front of the exchange puts the key columns first: [keys][other columns of the
 * input]. A key that is a plain column is not carried twice; the function finds its columns by the
 * operator's column_map. A second input goes to all instances as it is.
 */
#include "base/status.h"
#include "plan/plan_internal.h"

#include <string.h>

#define HIDDEN_TIME (1u << MR_HIDDEN_EVENT_TIME)

struct layout {
    uint32_t count;
    struct mr_field *fields;
    struct mr_bound **bounds;
    uint32_t *map;
    struct mr_field *keys; /* by the names that the user gave */
};

/* The key that is this column and nothing else; key_count: none. */
static uint32_t key_of_column(const struct mr_node *node, const char *column)
{
    for (uint32_t i = 0; i < node->u.process.key_count; i++) {
        const char *name;

        if (!mr_expr_is_column(node->u.process.keys[i], &name)) continue;
        if (strcmp(name, column) == 0) return i;
    }
    return node->u.process.key_count;
}

static enum mr_status add_keys(struct mri_planner *planner, const struct mr_node *node,
                               const struct mri_stream *in, struct layout *layout)
{
    for (uint32_t i = 0; i < node->u.process.key_count; i++) {
        MR_RET(mri_plan_bind(planner, node->u.process.keys[i], in->schema, &layout->bounds[i]));
        layout->fields[i] = *mr_bound_field(layout->bounds[i]);
        layout->keys[i] = layout->fields[i];
        layout->keys[i].name = node->u.process.key_names[i];
    }
    return MR_OK;
}

static enum mr_status add_columns(struct mri_planner *planner, const struct mr_node *node,
                                  const struct mri_stream *in, struct layout *layout)
{
    uint32_t at = node->u.process.key_count;

    for (uint32_t i = 0; i < in->schema->column_count; i++) {
        const char *name = in->schema->fields[i].name;
        uint32_t key = key_of_column(node, name);

        if (key < node->u.process.key_count) {
            layout->map[i] = key;
            continue;
        }
        MR_RET(mri_plan_bind_column(planner, name, in->schema, &layout->bounds[at]));
        layout->fields[at] = in->schema->fields[i];
        layout->map[i] = at++;
    }
    layout->count = at;
    return MR_OK;
}

/* Columns keep their names, keys get theirs, or something like them. */
static enum mr_status name_keys(struct mri_planner *planner, const struct mr_node *node,
                                struct layout *layout)
{
    for (uint32_t i = 0; i < node->u.process.key_count; i++) {
        MR_RET(
            mri_name_column(planner, layout->fields, layout->count, i, layout->keys[i].name, NULL));
    }
    return MR_OK;
}

static enum mr_status make_layout(struct mri_planner *planner, const struct mr_node *node,
                                  const struct mri_stream *in, struct layout *layout)
{
    uint32_t columns = in->schema->column_count;
    size_t most = (size_t)node->u.process.key_count + columns;

    layout->fields = mr_arena_zero(&planner->scratch, most * sizeof *layout->fields);
    layout->bounds = mri_plan_array(planner, most, sizeof *layout->bounds);
    layout->map = mri_plan_array(planner, columns, sizeof *layout->map);
    layout->keys = mri_plan_array(planner, node->u.process.key_count, sizeof *layout->keys);
    if (layout->fields == NULL || layout->bounds == NULL || layout->map == NULL ||
        layout->keys == NULL) {
        return mri_plan_nomem(planner);
    }
    MR_RET(add_keys(planner, node, in, layout));
    MR_RET(add_columns(planner, node, in, layout));
    return name_keys(planner, node, layout);
}

static enum mr_status add_prepare(struct mri_planner *planner, const struct mr_node *node,
                                  struct mri_stream *at, const struct layout *layout)
{
    struct mr_schema *schema;
    struct mr_plan_op *op;

    MR_RET(mri_schema_new(planner, layout->fields, layout->count, &schema));
    MR_RET(mri_append(planner, at, MR_PLAN_PROJECT, node, mri_parallelism_of(planner, at), &op));
    op->inserted = true;
    op->exprs = layout->bounds;
    op->expr_count = layout->count;
    op->outputs[0] = schema;
    op->output_hidden = at->hidden;
    mri_advance(at, op);
    return MR_OK;
}

static uint32_t parallelism_of(const struct mri_planner *planner, const struct mr_node *node)
{
    const struct mr_plan_options *options = &planner->plan->options;
    uint32_t wanted = node->parallelism != 0 ? node->parallelism : options->workers;

    return MR_MIN(wanted, options->key_group_count);
}

enum mr_status mri_lower_process(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    struct mri_stream broadcast;
    struct layout layout = {.count = 0};
    bool timed = node->has_event_time;
    uint32_t columns = at.schema->column_count;
    struct mr_plan_op *op;

    if (node->input_count == 2) { /* pruning may add a stage: it comes first */
        broadcast = mri_input(planner, node, 1);
        MR_RET(mri_prune(planner, &broadcast, node));
    }
    MR_RET(make_layout(planner, node, &at, &layout));
    MR_RET(add_prepare(planner, node, &at, &layout));
    at.logical = NULL;
    at.need = NULL;
    MR_RET(mri_append_exchanged(planner, &at, MR_EXCHANGE_KEY, node->u.process.key_count,
                                MR_PLAN_PROCESS, node, parallelism_of(planner, node), &op));
    op->key_count = node->u.process.key_count;
    op->key_fields = layout.keys;
    op->column_map = layout.map;
    op->function_columns = columns;
    op->output_count = node->output_count;
    for (uint32_t i = 0; i < node->output_count; i++) op->outputs[i] = node->outputs[i];
    op->output_hidden = timed ? HIDDEN_TIME : 0;
    if (node->input_count == 2) {
        op->broadcast = broadcast.schema;
        MR_RET(mri_edge_add(planner, &broadcast, at.stage, MR_EXCHANGE_BROADCAST, 0));
    }
    mri_advance(&at, op);
    at.gathered = false;
    for (uint32_t i = 0; i < node->output_count; i++) {
        at.output = i;
        at.schema = node->outputs[i];
        mri_set_stream(planner, node, i, &at);
    }
    return MR_OK;
}
