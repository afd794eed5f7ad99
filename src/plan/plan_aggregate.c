/* plan_aggregate.c - aggregates in one step or in two. See plan_internal.h.
 *
 * Two steps: a partial aggregate in front of the exchange turns rows into partial accumulators per
 * key and slice, a final one behind it merges them. The exchange then carries keys, not rows. A
 * partial cannot tell afterwards which rows it merged, so it must judge itself whatever is judged
 * row by row (late=by-split), and where late *rows* are asked for and judged by the operator's own
 * watermark, one step is all there is.
 *
 * One step: a project in front of the exchange computes [keys][arguments][columns of late rows].
 */
#include "plan/plan_internal.h"
#include "base/assert.h"
#include "base/bitset.h"
#include "base/status.h"

#include <string.h>

#define HIDDEN_TIME (1u << MR_HIDDEN_EVENT_TIME)
#define HIDDEN_WINDOW (1u << MR_HIDDEN_WINDOW_START | 1u << MR_HIDDEN_WINDOW_END)
#define HIDDEN_START (1u << MR_HIDDEN_WINDOW_START)

static struct mr_field field_of(const char *name, enum mr_type type, bool not_null)
{
    return (struct mr_field){.name = name, .type = type, .not_null = not_null};
}

static struct mr_field sum_field(const struct mr_field *argument)
{
    struct mr_field field = field_of("sum", MR_DECIMAL, false);

    if (mr_type_is_float(argument->type)) return field_of("sum", MR_BINARY, false);
    field.precision = 38;
    field.scale = argument->type == MR_DECIMAL ? argument->scale : 0;
    return field;
}

uint32_t mr_partial_fields(const struct mr_plan_aggregate *aggregate, struct mr_field out[3])
{
    switch (aggregate->kind) {
    case MR_AGG_COUNT_ALL:
    case MR_AGG_COUNT: out[0] = field_of("count", MR_INT64, true); return 1;
    case MR_AGG_SUM:
    case MR_AGG_AVG:
        out[0] = sum_field(&aggregate->argument);
        out[1] = field_of("count", MR_INT64, true);
        return 2;
    case MR_AGG_MIN:
    case MR_AGG_MAX:
    case MR_AGG_FIRST:
    case MR_AGG_LAST:
        out[0] = aggregate->argument;
        out[0].name = "value";
        out[0].not_null = false;
        if (aggregate->kind == MR_AGG_MIN || aggregate->kind == MR_AGG_MAX) return 1;
        out[1] = field_of("time", MR_INT64, false);
        return 2;
    case MR_AGG_USER: out[0] = field_of("state", MR_BINARY, false); return 1;
    }
    MR_UNREACHABLE();
}

/* ---- arguments ---- */

/* The arguments of all aggregates, plain columns that occur several times only once. */
struct arguments {
    struct mr_expr **exprs;
    const char **names; /* for the columns of a project */
    uint32_t count;
    uint32_t (*indices)[4]; /* by aggregate */
};

static uint32_t find_argument(const struct arguments *arguments, const struct mr_expr *expr)
{
    const char *name;
    const char *other;

    if (!mr_expr_is_column(expr, &name)) return arguments->count;
    for (uint32_t i = 0; i < arguments->count; i++) {
        if (!mr_expr_is_column(arguments->exprs[i], &other)) continue;
        if (strcmp(name, other) == 0) return i;
    }
    return arguments->count;
}

static enum mr_status collect_arguments(struct mri_planner *planner, const struct mr_node *node,
                                        struct arguments *out)
{
    uint32_t count = node->u.aggregate.aggregate_count;
    size_t most = 4 * (size_t)count;

    out->count = 0;
    out->exprs = mr_arena_zero(&planner->scratch, most * sizeof *out->exprs);
    out->names = mr_arena_zero(&planner->scratch, most * sizeof *out->names);
    out->indices = mr_arena_zero(&planner->scratch, count * sizeof *out->indices);
    if (out->exprs == NULL || out->names == NULL || out->indices == NULL) {
        return mri_plan_nomem(planner);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct mr_aggregate_spec *spec = &node->u.aggregate.aggregates[i];

        for (uint32_t k = 0; k < spec->argument_count; k++) {
            uint32_t at = find_argument(out, spec->arguments[k]);

            out->indices[i][k] = at;
            if (at < out->count) continue;
            out->exprs[at] = spec->arguments[k];
            if (!mr_expr_is_column(spec->arguments[k], &out->names[at])) {
                out->names[at] = spec->name;
            }
            out->count++;
        }
    }
    return MR_OK;
}

/* ---- what whole, partial and final have in common ---- */

static enum mr_status fill_aggregate(struct mri_planner *planner, const struct mr_node *node,
                                     struct mr_plan_op *op)
{
    uint32_t keys = node->u.aggregate.key_count;

    op->key_count = keys;
    op->key_fields = mri_plan_array(planner, keys, sizeof *op->key_fields);
    if (op->key_fields == NULL) return mri_plan_nomem(planner);
    op->window = node->u.aggregate.window;
    op->emit_window = node->u.aggregate.emit_window;
    op->aggregate_count = node->u.aggregate.aggregate_count;
    op->late_by_split = mri_by_split(planner, node);
    return MR_OK;
}

/* Binds keys and arguments to the operator's input. */
static enum mr_status bind_prepared(struct mri_planner *planner, struct mr_plan_op *op,
                                    struct mr_expr *const *keys, const struct arguments *arguments)
{
    uint32_t count = op->key_count + arguments->count;

    op->exprs = mri_plan_array(planner, count, sizeof *op->exprs);
    if (op->exprs == NULL) return mri_plan_nomem(planner);
    op->expr_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct mr_expr *expr =
            i < op->key_count ? keys[i] : arguments->exprs[i - op->key_count];

        MR_RET(mri_plan_bind(planner, expr, op->input, &op->exprs[i]));
    }
    return MR_OK;
}

/* Types of keys and arguments, and where each aggregate finds its own. */
static enum mr_status fill_lists(struct mri_planner *planner, const struct mr_node *node,
                                 struct mr_plan_op *op, const struct arguments *arguments)
{
    uint32_t count = op->aggregate_count;
    uint32_t column = op->key_count;

    op->aggregates = mri_plan_array(planner, count, sizeof *op->aggregates);
    if (op->aggregates == NULL) return mri_plan_nomem(planner);
    for (uint32_t i = 0; i < op->key_count; i++) {
        op->key_fields[i] = *mr_bound_field(op->exprs[i]);
        op->key_fields[i].name = node->u.aggregate.key_names[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        struct mr_plan_aggregate *aggregate = &op->aggregates[i];
        struct mr_field fields[3];

        aggregate->spec = &node->u.aggregate.aggregates[i];
        aggregate->kind = aggregate->spec->kind;
        aggregate->result = aggregate->spec->result;
        for (uint32_t k = 0; k < aggregate->spec->argument_count; k++) {
            aggregate->argument_columns[k] = op->key_count + arguments->indices[i][k];
        }
        if (aggregate->spec->argument_count > 0) {
            aggregate->argument = *mr_bound_field(op->exprs[aggregate->argument_columns[0]]);
        }
        aggregate->partial_column = column;
        aggregate->partial_columns = mr_partial_fields(aggregate, fields);
        column += aggregate->partial_columns;
    }
    return MR_OK;
}

static bool name_taken(const struct mr_field *fields, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fields[i].name != NULL && strcmp(fields[i].name, name) == 0) return true;
    }
    return false;
}

/* "flights.sum", or with a number when a column has that name. */
enum mr_status mri_name_column(struct mri_planner *planner, struct mr_field *fields,
                                  uint32_t count, uint32_t at, const char *name,
                                  const char *suffix)
{
    enum mr_status st = MR_OK;
    struct mr_text text;
    const char *copy = NULL;

    fields[at].name = NULL;
    mr_text_init(&text, planner->plan->heap, 0);
    for (uint32_t number = 1; copy == NULL && st == MR_OK; number++) {
        mr_text_clear(&text);
        mr_text_add(&text, name);
        if (suffix != NULL) mr_text_format(&text, ".%s", suffix);
        if (number > 1) mr_text_format(&text, "#%u", number);
        if (mr_text_status(&text) != MR_OK) st = mri_plan_nomem(planner);
        else if (name_taken(fields, count, mr_text_get(&text))) continue;
        else copy = mr_arena_strdup(&planner->scratch, mr_text_get(&text));
        if (st == MR_OK && copy == NULL) st = mri_plan_nomem(planner);
    }
    mr_text_fini(&text);
    fields[at].name = copy;
    return st;
}

static uint32_t result_hidden(const struct mr_node *node)
{
    if (node->u.aggregate.window.kind != MR_WINDOW_GLOBAL) return HIDDEN_TIME | HIDDEN_WINDOW;
    return node->has_event_time ? HIDDEN_TIME : 0;
}

/* Instances of what stands behind the exchange: a key group has one place. */
static uint32_t final_parallelism(const struct mri_planner *planner, const struct mr_node *node)
{
    const struct mr_plan_options *options = &planner->plan->options;
    uint32_t wanted = node->parallelism != 0 ? node->parallelism : options->workers;

    if (node->u.aggregate.key_count == 0) return 1;
    return MR_MIN(wanted, options->key_group_count);
}

static enum mr_exchange final_exchange(const struct mr_node *node)
{
    return node->u.aggregate.key_count == 0 ? MR_EXCHANGE_ONE : MR_EXCHANGE_KEY;
}

/* ---- two steps ---- */

/* Keys, accumulators, rows. */
static enum mr_status partial_schema(struct mri_planner *planner, struct mr_plan_op *op)
{
    uint32_t count = op->key_count + 1;
    uint32_t filled = 0;
    struct mr_field *fields;

    for (uint32_t i = 0; i < op->aggregate_count; i++) count += op->aggregates[i].partial_columns;
    fields = mr_arena_zero(&planner->scratch, count * sizeof *fields);
    if (fields == NULL) return mri_plan_nomem(planner);
    for (; filled < op->key_count; filled++) fields[filled] = op->key_fields[filled];
    for (uint32_t i = 0; i < op->aggregate_count; i++) {
        struct mr_field parts[3];
        uint32_t part_count = mr_partial_fields(&op->aggregates[i], parts);

        for (uint32_t k = 0; k < part_count; k++) {
            fields[filled] = parts[k];
            MR_RET(mri_name_column(planner, fields, count, filled, op->aggregates[i].spec->name,
                               parts[k].name));
            filled++;
        }
    }
    fields[filled] = field_of(NULL, MR_INT64, true);
    MR_RET(mri_name_column(planner, fields, count, filled, "rows", NULL));
    op->rows_column = filled;
    return mri_schema_new(planner, fields, count, &op->outputs[0]);
}

static enum mr_status add_partial(struct mri_planner *planner, const struct mr_node *node,
                                  struct mri_stream *at, struct mr_plan_op *out)
{
    enum mr_window_kind window = node->u.aggregate.window.kind;
    struct arguments arguments;
    struct mr_plan_op *op;

    MR_RET(collect_arguments(planner, node, &arguments));
    MR_RET(mri_append(planner, at, MR_PLAN_AGGREGATE_PARTIAL, node, mri_parallelism_of(planner, at),
                      &op));
    MR_RET(fill_aggregate(planner, node, op));
    MR_RET(bind_prepared(planner, op, node->u.aggregate.keys, &arguments));
    MR_RET(fill_lists(planner, node, op, &arguments));
    MR_RET(partial_schema(planner, op));
    op->output_hidden = window == MR_WINDOW_GLOBAL ? 0 : HIDDEN_START;
    if (mri_late_used(planner, node)) {
        struct mri_stream late = *at;

        op->output_count = 2;
        op->outputs[1] = op->input;
        late.op = op->ordinal;
        late.output = 1;
        mri_set_stream(planner, node, 1, &late);
    }
    mri_advance(at, op);
    *out = *op;
    return MR_OK;
}

static enum mr_status lower_in_two(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    struct mr_plan_op partial;
    struct mr_plan_op *op;

    MR_RET(add_partial(planner, node, &at, &partial));
    at.logical = NULL;
    at.need = NULL;
    at.need_hidden = UINT32_MAX;
    MR_RET(mri_append_exchanged(planner, &at, final_exchange(node), partial.key_count,
                                MR_PLAN_AGGREGATE_FINAL, node, final_parallelism(planner, node),
                                &op));
    MR_RET(fill_aggregate(planner, node, op));
    op->key_fields = partial.key_fields;
    op->aggregates = partial.aggregates;
    op->rows_column = partial.rows_column;
    op->outputs[0] = node->outputs[0];
    op->output_hidden = result_hidden(node);
    mri_advance(&at, op);
    at.gathered = node->u.aggregate.key_count == 0;
    mri_set_stream(planner, node, 0, &at);
    return MR_OK;
}

/* ---- one step ---- */

/* What the project in front of the exchange makes. */
struct layout {
    uint32_t count;
    uint32_t first_late; /* columns from here on are those of late rows */
    struct mr_field *fields;
    struct mr_bound **bounds;
    const char **late_names;
};

static bool late_column(const struct mri_planner *planner, const struct mr_node *node,
                        const struct mri_stream *in, uint32_t column)
{
    const struct mri_need *late = &planner->needs[node->ordinal][1];
    uint32_t logical = mr_schema_find(node->outputs[1], in->schema->fields[column].name);

    return late->consumers > 0 && mr_bit_get(late->columns, logical);
}

static enum mr_status add_late_columns(struct mri_planner *planner, const struct mr_node *node,
                                       const struct mri_stream *in, struct layout *layout)
{
    uint32_t at = layout->first_late;

    for (uint32_t i = 0; i < in->schema->column_count; i++) {
        if (!late_column(planner, node, in, i)) continue;
        layout->fields[at] = in->schema->fields[i];
        MR_RET(mri_plan_bind_column(planner, in->schema->fields[i].name, in->schema,
                                    &layout->bounds[at]));
        at++;
    }
    layout->count = at;
    return MR_OK;
}

static enum mr_status add_prepared_columns(struct mri_planner *planner, const struct mr_node *node,
                                           const struct mri_stream *in,
                                           const struct arguments *arguments,
                                           struct layout *layout)
{
    uint32_t keys = node->u.aggregate.key_count;

    for (uint32_t i = 0; i < keys + arguments->count; i++) {
        bool key = i < keys;
        const struct mr_expr *expr =
            key ? node->u.aggregate.keys[i] : arguments->exprs[i - keys];

        MR_RET(mri_plan_bind(planner, expr, in->schema, &layout->bounds[i]));
        layout->fields[i] = *mr_bound_field(layout->bounds[i]);
        MR_RET(mri_name_column(planner, layout->fields, layout->count, i,
                           key ? node->u.aggregate.key_names[i] : arguments->names[i - keys],
                           NULL));
    }
    return MR_OK;
}

/* Nothing to carry but rows (count(*) of all): a stream has one column at least. */
static enum mr_status add_something(struct mri_planner *planner, struct layout *layout,
                                    const struct mri_stream *in)
{
    if (layout->count > 0) return MR_OK;
    MR_RET(mri_plan_bind(planner, mr_expr_bool(&planner->plan->arena, true), in->schema,
                         &layout->bounds[0]));
    layout->fields[0] = field_of("row", MR_BOOL, true);
    layout->count = 1;
    return MR_OK;
}

static enum mr_status add_prepare(struct mri_planner *planner, const struct mr_node *node,
                                  struct mri_stream *at, const struct arguments *arguments,
                                  struct layout *layout)
{
    uint32_t prepared = node->u.aggregate.key_count + arguments->count;
    size_t most = (size_t)prepared + at->schema->column_count + 1;
    struct mr_plan_op *op;
    struct mr_schema *schema;

    layout->first_late = prepared;
    layout->fields = mr_arena_zero(&planner->scratch, most * sizeof *layout->fields);
    layout->bounds = mri_plan_array(planner, most, sizeof *layout->bounds);
    if (layout->fields == NULL || layout->bounds == NULL) return mri_plan_nomem(planner);
    MR_RET(add_late_columns(planner, node, at, layout));
    MR_RET(add_prepared_columns(planner, node, at, arguments, layout));
    MR_RET(add_something(planner, layout, at));
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

/* Behind the exchange keys and arguments are plain columns. */
static enum mr_status bind_plain(struct mri_planner *planner, struct mr_plan_op *op, uint32_t count)
{
    op->exprs = mri_plan_array(planner, count, sizeof *op->exprs);
    if (op->exprs == NULL) return mri_plan_nomem(planner);
    op->expr_count = count;
    for (uint32_t i = 0; i < count; i++) {
        MR_RET(mri_plan_bind_column(planner, op->input->fields[i].name, op->input, &op->exprs[i]));
    }
    return MR_OK;
}

static enum mr_status add_late_output(struct mri_planner *planner, const struct mr_node *node,
                                      const struct layout *layout, struct mri_stream at,
                                      struct mr_plan_op *op)
{
    const struct mri_need *need = &planner->needs[node->ordinal][1];
    uint32_t count = layout->count - layout->first_late;
    struct mr_field *fields;

    if (!mri_late_used(planner, node)) return MR_OK;
    fields = layout->fields + layout->first_late;
    op->output_count = 2;
    op->late_first_column = layout->first_late;
    MR_RET(mri_schema_new(planner, fields, count, &op->outputs[1]));
    at.op = op->ordinal;
    at.output = 1;
    at.schema = op->outputs[1];
    at.hidden &= need->hidden & ~(1u << MR_HIDDEN_KEY_HASH);
    at.gathered = node->u.aggregate.key_count == 0;
    mri_set_stream(planner, node, 1, &at);
    return MR_OK;
}

static enum mr_status lower_in_one(struct mri_planner *planner, const struct mr_node *node)
{
    struct mri_stream at = mri_input(planner, node, 0);
    struct arguments arguments;
    struct layout layout = {0};
    struct mr_plan_op *op;

    MR_RET(collect_arguments(planner, node, &arguments));
    MR_RET(add_prepare(planner, node, &at, &arguments, &layout));
    at.logical = NULL;
    at.need = NULL; /* need_hidden stays: what is read of the input */
    MR_RET(mri_append_exchanged(planner, &at, final_exchange(node), node->u.aggregate.key_count,
                                MR_PLAN_AGGREGATE, node, final_parallelism(planner, node), &op));
    MR_RET(fill_aggregate(planner, node, op));
    MR_RET(bind_plain(planner, op, node->u.aggregate.key_count + arguments.count));
    MR_RET(fill_lists(planner, node, op, &arguments));
    MR_RET(add_late_output(planner, node, &layout, at, op));
    op->outputs[0] = node->outputs[0];
    op->output_hidden = result_hidden(node);
    mri_advance(&at, op);
    at.gathered = node->u.aggregate.key_count == 0;
    mri_set_stream(planner, node, 0, &at);
    return MR_OK;
}

/* ---- which ---- */

static bool in_two(const struct mri_planner *planner, const struct mr_node *node)
{
    const struct mr_plan_options *options = &planner->plan->options;
    enum mr_window_kind window = node->u.aggregate.window.kind;
    bool by_split = mri_by_split(planner, node);

    if (options->no_two_stage) return false;
    /* A session is known when all its rows are in one place. */
    if (window == MR_WINDOW_SESSION) return false;
    /* A row may be late for some of its windows only, which a slice cannot say. */
    if (by_split && window == MR_WINDOW_HOPPING) return false;
    if (window == MR_WINDOW_GLOBAL || by_split || !options->streaming) return true;
    return !mri_late_used(planner, node);
}

enum mr_status mri_lower_aggregate(struct mri_planner *planner, const struct mr_node *node)
{
    return in_two(planner, node) ? lower_in_two(planner, node) : lower_in_one(planner, node);
}
