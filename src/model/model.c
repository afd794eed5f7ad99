/* model.c - adding nodes to the logical pipeline. See model.h. */
#include "model/model_internal.h"
#include "base/assert.h"
#include "base/status.h"
#include "data/state_spec.h"

#include <string.h>

#define ID_BYTES_MAX 200u

const char *mr_node_kind_name(enum mr_node_kind kind)
{
    static const char *const names[] = {"source",  "event-time", "filter", "project", "function",
                                        "union",   "aggregate",  "top",    "sink",    "process"};

    return (size_t)kind < MR_COUNT(names) ? names[kind] : "unknown";
}

enum mr_status mri_model_nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "the pipeline", sizeof(struct mr_node));
}

enum mr_status mr_model_create(struct mr_heap *heap, struct mr_model **out, struct mr_error *err)
{
    struct mr_model *model = mr_alloc_zero(heap, sizeof *model);

    if (model == NULL) return mri_model_nomem(err);
    model->heap = heap;
    mr_arena_init(&model->arena, heap);
    *out = model;
    return MR_OK;
}

static void release_outputs(struct mr_node *node)
{
    for (uint32_t i = 0; i < node->output_count; i++) {
        mr_schema_release(node->outputs[i]);
        node->outputs[i] = NULL;
    }
}

void mr_model_destroy(struct mr_model *model)
{
    if (model == NULL) return;
    for (uint32_t i = 0; i < model->node_count; i++) release_outputs(model->nodes[i]);
    mr_arena_fini(&model->arena);
    mr_free(model->heap, model, sizeof *model);
}

const struct mr_schema *mr_model_schema(const struct mr_model *model, struct mr_stream_ref ref)
{
    mr_assert(ref.node < model->node_count);
    mr_assert(ref.output < model->nodes[ref.node]->output_count);
    return model->nodes[ref.node]->outputs[ref.output];
}

/* ---- binding, for its checks ---- */

bool mri_type_nested(enum mr_type type)
{
    return type == MR_LIST || type == MR_STRUCT || type == MR_MAP;
}

enum mr_status mri_model_type(struct mr_heap *heap, const struct mr_expr *expr,
                              const struct mr_schema *schema, struct mr_field *out,
                              struct mr_error *err)
{
    struct mr_bound *bound;

    MR_RET(mr_bind(heap, expr, schema, &bound, err));
    *out = *mr_bound_field(bound);
    out->child_count = 0; /* they go with the program */
    out->children = NULL;
    mr_bound_destroy(bound);
    return MR_OK;
}

enum mr_status mri_model_hidden(const struct mr_expr *expr, const struct mr_node *input,
                                struct mr_error *err)
{
    uint32_t mask = mr_expr_hidden_mask(expr);
    uint32_t windows = 1u << MR_HIDDEN_WINDOW_START | 1u << MR_HIDDEN_WINDOW_END;

    if ((mask & 1u << MR_HIDDEN_EVENT_TIME) != 0 && !input->has_event_time) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "the event time is asked for, but the rows of '%s' have none: assign "
                            "event times before",
                            input->id);
    }
    if ((mask & windows) != 0 && !input->has_window) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "the window is asked for, but the rows of '%s' have none: only rows "
                            "of an aggregate with windows know theirs",
                            input->id);
    }
    return MR_OK;
}

/* ---- ids ---- */

static struct mr_node *find_id(const struct mr_model *model, const char *id)
{
    for (uint32_t i = 0; i < model->node_count; i++) {
        if (strcmp(model->nodes[i]->id, id) == 0) return model->nodes[i];
    }
    return NULL;
}

static enum mr_status check_id(const struct mr_model *model, const char *id,
                               const struct mr_node *self, struct mr_error *err)
{
    const struct mr_node *other = find_id(model, id);

    if (id[0] == '\0') {
        return mr_error_set(err, MR_E_INVALID, "an id must not be empty: give it a name");
    }
    if (strlen(id) > ID_BYTES_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "an id of %zu bytes: the limit is %u", strlen(id),
                            ID_BYTES_MAX);
    }
    if (other != NULL && other != self) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "two operators have the id '%s' (%s and %s): ids must differ, give "
                            "one of them another",
                            id, mr_node_kind_name(other->kind),
                            self != NULL ? mr_node_kind_name(self->kind) : "the new one");
    }
    return MR_OK;
}

/* "filter-2" for the second filter, or the next number that nobody has taken. */
static enum mr_status make_id(struct mr_model *model, struct mr_node *node, struct mr_error *err)
{
    uint32_t number = 1;
    struct mr_text text;
    enum mr_status st = MR_OK;

    for (uint32_t i = 0; i < model->node_count; i++) number += model->nodes[i]->kind == node->kind;
    mr_text_init(&text, model->heap, 0);
    do {
        mr_text_clear(&text);
        mr_text_format(&text, "%s-%u", mr_node_kind_name(node->kind), number++);
        if (mr_text_status(&text) != MR_OK) st = mri_model_nomem(err);
    } while (st == MR_OK && find_id(model, mr_text_get(&text)) != NULL);
    if (st == MR_OK) {
        node->id = mr_arena_strdup(&model->arena, mr_text_get(&text));
        if (node->id == NULL) st = mri_model_nomem(err);
    }
    mr_text_fini(&text);
    return st;
}

static enum mr_status give_id(struct mr_model *model, struct mr_node *node, const char *id,
                              struct mr_error *err)
{
    const char *copy;

    MR_RET(check_id(model, id, node, err));
    copy = mr_arena_strdup(&model->arena, id);
    if (copy == NULL) return mri_model_nomem(err);
    node->id = copy;
    node->id_given = true;
    return MR_OK;
}

enum mr_status mr_model_set_id(struct mr_model *model, uint32_t node, const char *id,
                               struct mr_error *err)
{
    mr_assert(node < model->node_count);
    return give_id(model, model->nodes[node], id, err);
}

/* ---- what each kind computes ---- */

static enum mr_status build_event_time(struct mr_model *model, struct mr_node *node,
                                       const struct mr_node *input, struct mr_schema *schema,
                                       struct mr_error *err)
{
    struct mr_field field;

    MR_RET(mri_model_hidden(node->u.event_time.time, input, err));
    MR_RET(mri_model_type(model->heap, node->u.event_time.time, schema, &field, err));
    if (!mr_type_is_time(field.type) && field.type != MR_INT64) {
        return mr_error_set(err, MR_E_SCHEMA,
                            "event times must be timestamp_ltz, timestamp or int64 microseconds, "
                            "not %s",
                            mr_type_name(field.type));
    }
    if (node->u.event_time.delay_us < 0 || node->u.event_time.delay_us > MR_WINDOW_SPAN_MAX ||
        node->u.event_time.idle_us < 0 || node->u.event_time.idle_us > MR_WINDOW_SPAN_MAX) {
        return mr_error_set(err, MR_E_INVALID,
                            "the delay of the watermark and the time until idle must not be "
                            "negative (nor above 36,500 years)");
    }
    node->outputs[0] = mr_schema_ref(schema);
    node->has_event_time = true;
    return MR_OK;
}

static enum mr_status build_filter(struct mr_model *model, struct mr_node *node,
                                   const struct mr_node *input, struct mr_schema *schema,
                                   struct mr_error *err)
{
    struct mr_field field;

    MR_RET(mri_model_hidden(node->u.filter.condition, input, err));
    MR_RET(mri_model_type(model->heap, node->u.filter.condition, schema, &field, err));
    if (field.type != MR_BOOL) {
        return mr_error_set(err, MR_E_SCHEMA, "the condition must be a bool, not %s",
                            mr_type_name(field.type));
    }
    node->outputs[0] = mr_schema_ref(schema);
    return MR_OK;
}

static enum mr_status copy_named(struct mr_model *model, struct mr_node *node,
                                 struct mr_error *err)
{
    uint32_t count = node->u.project.count;
    struct mr_expr **exprs = mr_arena_zero(&model->arena, count * sizeof *exprs);
    const char **names = mr_arena_zero(&model->arena, count * sizeof *names);

    if (exprs == NULL || names == NULL) return mri_model_nomem(err);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = node->u.project.names[i];

        exprs[i] = node->u.project.exprs[i];
        names[i] = mr_arena_strdup(&model->arena, name != NULL ? name : "");
        if (names[i] == NULL) return mri_model_nomem(err);
    }
    node->u.project.exprs = exprs;
    node->u.project.names = names;
    return MR_OK;
}

static enum mr_status build_project(struct mr_model *model, struct mr_node *node,
                                    const struct mr_node *input, const struct mr_schema *schema,
                                    struct mr_error *err)
{
    uint32_t count = node->u.project.count;
    uint32_t done = 0;
    struct mr_bound **bounds;
    struct mr_field *fields;
    enum mr_status st = MR_OK;

    if (count == 0 || count > MR_COLUMNS_MAX) {
        return mr_error_set(err, MR_E_INVALID, "%u columns: between 1 and %u are possible", count,
                            MR_COLUMNS_MAX);
    }
    MR_RET(copy_named(model, node, err));
    bounds = mr_arena_zero(&model->arena, count * sizeof *bounds);
    fields = mr_arena_zero(&model->arena, count * sizeof *fields);
    if (bounds == NULL || fields == NULL) return mri_model_nomem(err);
    for (; done < count && st == MR_OK; done++) {
        const struct mr_expr *expr = node->u.project.exprs[done];

        st = mri_model_hidden(expr, input, err);
        if (st == MR_OK) st = mr_bind(model->heap, expr, schema, &bounds[done], err);
        if (st != MR_OK) {
            mr_error_context(err, "column '%s'", node->u.project.names[done]);
            break;
        }
        fields[done] = *mr_bound_field(bounds[done]);
        fields[done].name = node->u.project.names[done];
    }
    if (st == MR_OK) st = mr_schema_create(model->heap, fields, count, &node->outputs[0], err);
    for (uint32_t i = 0; i < done; i++) mr_bound_destroy(bounds[i]);
    return st;
}

enum mr_status mri_union_check(const struct mr_model *model, const struct mr_node *node,
                               struct mr_error *err)
{
    const struct mr_schema *first = mr_model_schema(model, node->inputs[0]);

    for (uint32_t i = 1; i < node->input_count; i++) {
        const struct mr_schema *other = mr_model_schema(model, node->inputs[i]);
        struct mr_text left, right;

        if (mr_schema_equal(first, other)) continue;
        mr_text_init(&left, model->heap, 200);
        mr_text_init(&right, model->heap, 200);
        mr_schema_print(first, &left);
        mr_schema_print(other, &right);
        (void)mr_error_set(err, MR_E_SCHEMA,
                           "the inputs must have the same columns, but '%s' has (%s) and '%s' has "
                           "(%s): bring them together with a project first",
                           model->nodes[node->inputs[0].node]->id, mr_text_get(&left),
                           model->nodes[node->inputs[i].node]->id, mr_text_get(&right));
        mr_text_fini(&left);
        mr_text_fini(&right);
        return MR_E_SCHEMA;
    }
    return MR_OK;
}

/* Only what is never null in every input is never null in the whole. */
static enum mr_status build_union(struct mr_model *model, struct mr_node *node,
                                  struct mr_error *err)
{
    const struct mr_schema *first = mr_model_schema(model, node->inputs[0]);
    struct mr_field *fields;

    MR_RET(mri_union_check(model, node, err));
    fields = mr_arena_zero(&model->arena, first->column_count * sizeof *fields);
    if (fields == NULL) return mri_model_nomem(err);
    for (uint32_t k = 0; k < first->column_count; k++) fields[k] = first->fields[k];
    for (uint32_t i = 0; i < node->input_count; i++) {
        const struct mr_node *input = model->nodes[node->inputs[i].node];
        const struct mr_schema *schema = mr_model_schema(model, node->inputs[i]);

        for (uint32_t k = 0; k < first->column_count; k++) {
            fields[k].not_null = fields[k].not_null && schema->fields[k].not_null;
        }
        node->has_event_time = node->has_event_time && input->has_event_time;
        node->has_window = node->has_window && input->has_window;
        node->bounded = node->bounded && input->bounded;
    }
    return mr_schema_create(model->heap, fields, first->column_count, &node->outputs[0], err);
}

static enum mr_status build_top(struct mr_model *model, struct mr_node *node,
                                const struct mr_node *input, struct mr_schema *schema,
                                struct mr_error *err)
{
    uint32_t count = node->u.top.order_count;
    struct mr_order *orders;

    if (count == 0 || count > MR_COLUMNS_MAX) {
        return mr_error_set(err, MR_E_INVALID,
                            "%u sort keys: give at least one (at most %u) expression to order by",
                            count, MR_COLUMNS_MAX);
    }
    if (!input->bounded) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "the order of rows is known when all are there, but the input never "
                            "ends: aggregate in windows instead, or read bounded input");
    }
    orders = mr_arena_zero(&model->arena, count * sizeof *orders);
    if (orders == NULL) return mri_model_nomem(err);
    for (uint32_t i = 0; i < count; i++) {
        struct mr_field field;

        orders[i].expr = node->u.top.orders[i].expr;
        orders[i].descending = node->u.top.orders[i].descending;
        MR_RET(mri_model_hidden(orders[i].expr, input, err));
        MR_RET(mri_model_type(model->heap, orders[i].expr, schema, &field, err));
        if (mri_type_nested(field.type)) {
            return mr_error_set(err, MR_E_SCHEMA, "sort key %u is a %s, which has no order", i + 1,
                                mr_type_name(field.type));
        }
    }
    node->u.top.orders = orders;
    node->outputs[0] = mr_schema_ref(schema);
    node->has_event_time = false; /* rows come out when time is over */
    node->has_window = false;
    return MR_OK;
}

static enum mr_status check_function(const struct mr_node *node, struct mr_error *err)
{
    bool known = false;

    switch (node->u.function.kind) {
    case MR_FUNCTION_ROW: known = node->u.function.row != NULL; break;
    case MR_FUNCTION_BATCH: known = node->u.function.batch != NULL; break;
    case MR_FUNCTION_FILTER: known = node->u.function.keep != NULL; break;
    }
    if (!known) return mr_error_set(err, MR_E_INVALID, "there is no function: it is NULL");
    return MR_OK;
}

/* ---- processes ---- */

static enum mr_status copy_fields(struct mr_model *model, const struct mr_field **fields,
                                  uint32_t count, struct mr_error *err)
{
    struct mr_field *copy = mr_arena_zero(&model->arena, count * sizeof *copy);

    if (copy == NULL) return mri_model_nomem(err);
    for (uint32_t i = 0; i < count; i++) {
        copy[i] = (*fields)[i];
        copy[i].child_count = 0; /* nested types have been refused */
        copy[i].children = NULL;
        copy[i].name = mr_arena_strdup(&model->arena, copy[i].name);
        if (copy[i].name == NULL) return mri_model_nomem(err);
    }
    *fields = copy;
    return MR_OK;
}

static enum mr_status copy_states(struct mr_model *model, struct mr_node *node,
                                  struct mr_error *err)
{
    uint32_t count = node->u.process.state_count;
    struct mr_state *states;

    if (count > MR_PROCESS_STATES_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "%u states; at most %u", count,
                            MR_PROCESS_STATES_MAX);
    }
    states = mr_arena_zero(&model->arena, count * sizeof *states);
    if (states == NULL) return mri_model_nomem(err);
    for (uint32_t i = 0; i < count; i++) {
        states[i] = node->u.process.states[i];
        MR_RET(mr_state_check(&states[i], node->u.process.key_count, node->has_event_time, err));
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(states[k].name, states[i].name) != 0) continue;
            return mr_error_set(err, MR_E_PIPELINE, "two states are named '%s'", states[i].name);
        }
        states[i].name = mr_arena_strdup(&model->arena, states[i].name);
        if (states[i].name == NULL) return mri_model_nomem(err);
        MR_RET(copy_fields(model, &states[i].fields, states[i].field_count, err));
        MR_RET(copy_fields(model, &states[i].keys, states[i].key_count, err));
    }
    node->u.process.states = states;
    return MR_OK;
}

static enum mr_status copy_keys(struct mr_model *model, struct mr_node *node,
                                const struct mr_node *input, const struct mr_schema *schema,
                                struct mr_error *err)
{
    uint32_t count = node->u.process.key_count;
    struct mr_expr **keys = mr_arena_zero(&model->arena, count * sizeof *keys);
    const char **names = mr_arena_zero(&model->arena, count * sizeof *names);

    if (keys == NULL || names == NULL) return mri_model_nomem(err);
    for (uint32_t i = 0; i < count; i++) {
        struct mr_field field;

        keys[i] = node->u.process.keys[i];
        names[i] = mr_arena_strdup(&model->arena, node->u.process.key_names[i]);
        if (names[i] == NULL) return mri_model_nomem(err);
        MR_RET(mri_model_hidden(keys[i], input, err));
        MR_RET(mri_model_type(model->heap, keys[i], schema, &field, err));
        if (mri_type_nested(field.type)) {
            return mr_error_set(err, MR_E_SCHEMA, "key '%s' is a %s, which cannot be a key",
                                names[i], mr_type_name(field.type));
        }
    }
    node->u.process.keys = keys;
    node->u.process.key_names = names;
    return MR_OK;
}

static enum mr_status build_process(struct mr_model *model, struct mr_node *node,
                                    const struct mr_node *input, const struct mr_schema *schema,
                                    struct mr_error *err)
{
    uint32_t keys = node->u.process.key_count;

    if (keys == 0 || keys > MR_STATE_KEYS_MAX) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "a process function belongs behind mr_key_by with 1 to %u keys: its "
                            "state is of a key (a constant will do for one state of all)",
                            MR_STATE_KEYS_MAX);
    }
    if ((node->u.process.row != NULL) == (node->u.process.batch != NULL)) {
        return mr_error_set(err, MR_E_INVALID, "there is no function: it is NULL");
    }
    if ((node->u.process.broadcast != NULL) != (node->input_count == 2)) {
        return mr_error_set(err, MR_E_INVALID,
                            "a broadcast stream and on_broadcast belong together: give both or "
                            "none");
    }
    node->has_window = false;
    MR_RET(copy_keys(model, node, input, schema, err));
    return copy_states(model, node, err);
}

/* ---- adding ---- */

static uint32_t inputs_wanted(const struct mr_node *node)
{
    if (node->kind == MR_NODE_SOURCE) return 0;
    if (node->kind == MR_NODE_PROCESS) return node->input_count == 2 ? 2 : 1;
    return node->kind == MR_NODE_UNION ? MR_MAX(node->input_count, 1) : 1;
}

static enum mr_status copy_inputs(struct mr_model *model, struct mr_node *node,
                                  struct mr_error *err)
{
    struct mr_stream_ref *inputs;

    if (node->input_count != inputs_wanted(node) || node->input_count > MR_INPUTS_MAX) {
        return mr_error_set(err, MR_E_INVALID, "%u inputs: a %s has %u%s", node->input_count,
                            mr_node_kind_name(node->kind), inputs_wanted(node),
                            node->kind == MR_NODE_UNION ? " to 64" : "");
    }
    inputs = mr_arena_zero(&model->arena, node->input_count * sizeof *inputs);
    if (inputs == NULL) return mri_model_nomem(err);
    for (uint32_t i = 0; i < node->input_count; i++) {
        inputs[i] = node->inputs[i];
        if (inputs[i].node >= model->node_count ||
            inputs[i].output >= model->nodes[inputs[i].node]->output_count) {
            return mr_error_set(err, MR_E_PIPELINE,
                                "input %u is output %u of operator %u, which does not exist", i + 1,
                                inputs[i].output, inputs[i].node);
        }
    }
    node->inputs = inputs;
    return MR_OK;
}

/* Sources and functions bring the schemas of their outputs. */
static enum mr_status take_outputs(struct mr_node *node, const struct mr_node *given,
                                   struct mr_error *err)
{
    uint32_t most = node->kind == MR_NODE_SOURCE ? 1 : MR_OUTPUTS_MAX;

    if (given->output_count < 1 || given->output_count > most) {
        return mr_error_set(err, MR_E_INVALID, "%u outputs: between 1 and %u are possible",
                            given->output_count, most);
    }
    for (uint32_t i = 0; i < given->output_count; i++) {
        if (given->outputs[i] == NULL) {
            return mr_error_set(err, MR_E_INVALID, "the columns of output %u are not given", i);
        }
    }
    node->output_count = given->output_count;
    for (uint32_t i = 0; i < given->output_count; i++) {
        node->outputs[i] = mr_schema_ref(given->outputs[i]);
    }
    return MR_OK;
}

/* Names are printed, written to files and compared as texts: they must be some. */
static enum mr_status check_names(const struct mr_field *fields, uint32_t count,
                                  struct mr_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *name = fields[i].name;

        if (name != NULL && !mr_expr_is_utf8(name, strlen(name))) {
            return mr_error_set(err, MR_E_SCHEMA,
                                "the name of column %u is not UTF-8: give it another", i + 1);
        }
        MR_RET(check_names(fields[i].children, fields[i].child_count, err));
    }
    return MR_OK;
}

static enum mr_status check_output_names(const struct mr_node *node, struct mr_error *err)
{
    for (uint32_t i = 0; i < node->output_count; i++) {
        MR_RET(check_names(node->outputs[i]->fields, node->outputs[i]->column_count, err));
    }
    return MR_OK;
}

static enum mr_status build(struct mr_model *model, struct mr_node *node,
                            const struct mr_node *given, struct mr_error *err)
{
    struct mr_node *input = NULL;
    struct mr_schema *schema = NULL;

    node->output_count = 1;
    if (node->input_count > 0) {
        input = model->nodes[node->inputs[0].node];
        schema = input->outputs[node->inputs[0].output];
        node->has_event_time = input->has_event_time;
        node->has_window = input->has_window;
        node->bounded = input->bounded;
    }
    switch (node->kind) {
    case MR_NODE_SOURCE:
        node->has_event_time = node->u.source.makes_event_time;
        node->bounded = node->u.source.bounded_hint;
        return take_outputs(node, given, err);
    case MR_NODE_FUNCTION:
        node->has_window = false; /* emitted rows carry their time and nothing else */
        MR_RET(check_function(node, err));
        return take_outputs(node, given, err);
    case MR_NODE_PROCESS:
        if (node->input_count == 2) {
            node->bounded = node->bounded && model->nodes[node->inputs[1].node]->bounded;
        }
        MR_RET(build_process(model, node, input, schema, err));
        return take_outputs(node, given, err);
    case MR_NODE_EVENT_TIME: return build_event_time(model, node, input, schema, err);
    case MR_NODE_FILTER: return build_filter(model, node, input, schema, err);
    case MR_NODE_PROJECT: return build_project(model, node, input, schema, err);
    case MR_NODE_UNION: return build_union(model, node, err);
    case MR_NODE_AGGREGATE: return mri_aggregate_build(model, node, input, schema, err);
    case MR_NODE_TOP: return build_top(model, node, input, schema, err);
    case MR_NODE_SINK: node->output_count = 0; return MR_OK;
    }
    return mr_error_set(err, MR_E_INVALID, "unknown kind of operator: %d", (int)node->kind);
}

/* `given` without what is computed here. */
static void take_given(struct mr_node *node, const struct mr_node *given, uint32_t ordinal)
{
    *node = *given;
    node->ordinal = ordinal;
    node->id = NULL;
    node->id_given = false;
    node->output_count = 0;
    memset(node->outputs, 0, sizeof node->outputs);
    node->has_event_time = false;
    node->has_window = false;
    node->bounded = false;
}

enum mr_status mr_model_add(struct mr_model *model, const struct mr_node *given,
                            uint32_t *out_ordinal, struct mr_error *err)
{
    struct mr_node *node;
    enum mr_status st;

    if (model->node_count == MR_NODES_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "a pipeline has at most %u operators", MR_NODES_MAX);
    }
    node = mr_arena_zero(&model->arena, sizeof *node);
    if (node == NULL) return mri_model_nomem(err);
    take_given(node, given, model->node_count);
    st = given->id != NULL ? give_id(model, node, given->id, err) : make_id(model, node, err);
    if (st != MR_OK) return st;
    st = copy_inputs(model, node, err);
    if (st == MR_OK) st = build(model, node, given, err);
    if (st == MR_OK) st = check_output_names(node, err);
    if (st != MR_OK) {
        mr_error_context(err, "%s '%s'", mr_node_kind_name(node->kind), node->id);
        release_outputs(node);
        return st;
    }
    *out_ordinal = node->ordinal;
    model->nodes[model->node_count++] = node;
    return MR_OK;
}
