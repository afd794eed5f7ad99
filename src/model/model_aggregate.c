/* model_aggregate.c - aggregates: which arguments they take and what comes out. See model.h. */
#include "model/model_internal.h"
#include "base/assert.h"
#include "base/status.h"

#define USER_STATE_BYTES_MAX 1024u

const char *mr_aggregate_name(enum mr_aggregate_kind kind)
{
    static const char *const names[] = {"count", "count", "sum",   "min",  "max",
                                        "avg",   "first", "last",  "user"};

    return (size_t)kind < MR_COUNT(names) ? names[kind] : "unknown";
}

/* ---- one aggregate ---- */

static enum mr_status check_user(const struct mr_aggregate_spec *spec, struct mr_error *err)
{
    const struct mr_aggregate_functions *functions = spec->functions;

    if (functions == NULL || (functions->size != 0 && functions->size < sizeof *functions)) {
        return mr_error_set(err, MR_E_INVALID,
                            "a user-defined aggregate needs its functions (with `size` set)");
    }
    if (functions->create == NULL || functions->add == NULL || functions->merge == NULL ||
        functions->result == NULL) {
        return mr_error_set(err, MR_E_INVALID,
                            "a user-defined aggregate needs create, add, merge and result: one of "
                            "them is NULL");
    }
    if (functions->state_bytes == 0 || functions->state_bytes > USER_STATE_BYTES_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "a state of %zu bytes: between 1 and %u are possible",
                            functions->state_bytes, USER_STATE_BYTES_MAX);
    }
    if (mr_type_layout(spec->result.type) == MR_LAYOUT_NONE || mri_type_nested(spec->result.type)) {
        return mr_error_set(err, MR_E_INVALID,
                            "a user-defined aggregate must say the type of its result: one that is "
                            "not nested");
    }
    return MR_OK;
}

static enum mr_status check_count(const struct mr_aggregate_spec *spec, struct mr_error *err)
{
    uint32_t wanted = spec->kind == MR_AGG_COUNT_ALL ? 0 : 1;

    if (spec->kind == MR_AGG_USER) {
        if (spec->argument_count <= MR_COUNT(spec->arguments)) return check_user(spec, err);
        return mr_error_set(err, MR_E_LIMIT, "%u arguments: at most %zu are possible",
                            spec->argument_count, MR_COUNT(spec->arguments));
    }
    if (spec->argument_count == wanted) return MR_OK;
    return mr_error_set(err, MR_E_INVALID, "%s takes %s, not %u arguments",
                        mr_aggregate_name(spec->kind),
                        wanted == 0 ? "no argument" : "one argument", spec->argument_count);
}

static enum mr_status refuse(const struct mr_aggregate_spec *spec, const struct mr_field *argument,
                             const char *instead, struct mr_error *err)
{
    return mr_error_set(err, MR_E_SCHEMA, "%s of a %s is not possible: it takes %s",
                        mr_aggregate_name(spec->kind), mr_type_name(argument->type), instead);
}

static enum mr_status sum_result(const struct mr_aggregate_spec *spec,
                                 const struct mr_field *argument, struct mr_field *out,
                                 struct mr_error *err)
{
    if (!mr_type_is_numeric(argument->type)) return refuse(spec, argument, "numbers", err);
    if (spec->kind == MR_AGG_AVG || mr_type_is_float(argument->type)) {
        out->type = MR_FLOAT64;
    } else if (argument->type == MR_DECIMAL) {
        out->type = MR_DECIMAL;
        out->precision = 38;
        out->scale = argument->scale;
    } else {
        out->type = MR_INT64;
    }
    return MR_OK;
}

/* The type of the result, from that of the first argument. */
static enum mr_status result_type(const struct mr_aggregate_spec *spec,
                                  const struct mr_field *argument, struct mr_field *out,
                                  struct mr_error *err)
{
    switch (spec->kind) {
    case MR_AGG_COUNT_ALL:
    case MR_AGG_COUNT:
        out->type = MR_INT64;
        out->not_null = true;
        return MR_OK;
    case MR_AGG_SUM:
    case MR_AGG_AVG: return sum_result(spec, argument, out, err);
    case MR_AGG_MIN:
    case MR_AGG_MAX:
    case MR_AGG_FIRST:
    case MR_AGG_LAST:
        if (mri_type_nested(argument->type)) {
            return refuse(spec, argument, "values that are not nested", err);
        }
        out->type = argument->type;
        out->precision = argument->precision;
        out->scale = argument->scale;
        return MR_OK;
    case MR_AGG_USER:
        out->type = spec->result.type;
        out->not_null = spec->result.not_null;
        out->precision = spec->result.precision;
        out->scale = spec->result.scale;
        return MR_OK;
    }
    return mr_error_set(err, MR_E_INVALID, "unknown aggregate: %d", (int)spec->kind);
}

enum mr_status mr_aggregate_result(const struct mr_aggregate_spec *spec,
                                   const struct mr_schema *input, struct mr_heap *heap,
                                   struct mr_field *out, struct mr_error *err)
{
    struct mr_field first = {.type = MR_TYPE_NONE};
    struct mr_field result = {.name = spec->name};

    MR_RET(check_count(spec, err));
    for (uint32_t i = 0; i < spec->argument_count; i++) {
        struct mr_field field;

        MR_RET(mri_model_type(heap, spec->arguments[i], input, &field, err));
        if (i == 0) first = field;
    }
    MR_RET(result_type(spec, &first, &result, err));
    *out = result;
    return MR_OK;
}

/* ---- the node ---- */

static enum mr_status copy_keys(struct mr_model *model, struct mr_node *node, struct mr_error *err)
{
    uint32_t count = node->u.aggregate.key_count;
    struct mr_expr **keys = mr_arena_zero(&model->arena, count * sizeof *keys);
    const char **names = mr_arena_zero(&model->arena, count * sizeof *names);

    if (keys == NULL || names == NULL) return mri_model_nomem(err);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = node->u.aggregate.key_names[i];

        keys[i] = node->u.aggregate.keys[i];
        names[i] = mr_arena_strdup(&model->arena, name != NULL ? name : "");
        if (names[i] == NULL) return mri_model_nomem(err);
    }
    node->u.aggregate.keys = keys;
    node->u.aggregate.key_names = names;
    return MR_OK;
}

static enum mr_status copy_aggregates(struct mr_model *model, struct mr_node *node,
                                      struct mr_error *err)
{
    uint32_t count = node->u.aggregate.aggregate_count;
    struct mr_aggregate_spec *copies = mr_arena_zero(&model->arena, count * sizeof *copies);

    if (copies == NULL) return mri_model_nomem(err);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = node->u.aggregate.aggregates[i].name;

        copies[i] = node->u.aggregate.aggregates[i];
        copies[i].name = mr_arena_strdup(&model->arena, name != NULL ? name : "");
        if (copies[i].name == NULL) return mri_model_nomem(err);
    }
    node->u.aggregate.aggregates = copies;
    return MR_OK;
}

static enum mr_status check_key(const struct mr_model *model, const struct mr_node *node,
                                uint32_t at, const struct mr_node *input,
                                const struct mr_schema *schema, struct mr_field *out,
                                struct mr_error *err)
{
    const struct mr_expr *key = node->u.aggregate.keys[at];
    const char *name = node->u.aggregate.key_names[at];
    enum mr_status st = mri_model_hidden(key, input, err);

    if (st == MR_OK) st = mri_model_type(model->heap, key, schema, out, err);
    if (st == MR_OK && mri_type_nested(out->type)) {
        st = mr_error_set(err, MR_E_SCHEMA, "a %s cannot be a key: group by its members instead",
                          mr_type_name(out->type));
    }
    if (st != MR_OK) mr_error_context(err, "key '%s'", name);
    out->name = name;
    return st;
}

static enum mr_status check_aggregate(const struct mr_model *model,
                                      const struct mr_aggregate_spec *spec,
                                      const struct mr_node *input, const struct mr_schema *schema,
                                      struct mr_field *out, struct mr_error *err)
{
    enum mr_status st = mr_aggregate_result(spec, schema, model->heap, out, err);

    for (uint32_t i = 0; i < spec->argument_count && st == MR_OK; i++) {
        st = mri_model_hidden(spec->arguments[i], input, err);
    }
    if (st == MR_OK && (spec->kind == MR_AGG_FIRST || spec->kind == MR_AGG_LAST) &&
        !input->has_event_time) {
        st = mr_error_set(err, MR_E_PIPELINE,
                          "%s goes by event time, but the rows of '%s' have none: assign event "
                          "times before",
                          mr_aggregate_name(spec->kind), input->id);
    }
    if (st != MR_OK) mr_error_context(err, "column '%s'", spec->name);
    return st;
}

enum mr_status mri_aggregate_check(const struct mr_model *model, const struct mr_node *node,
                                   const struct mr_node *input, const struct mr_schema *schema,
                                   struct mr_error *err)
{
    struct mr_field field;

    for (uint32_t i = 0; i < node->u.aggregate.key_count; i++) {
        MR_RET(check_key(model, node, i, input, schema, &field, err));
    }
    for (uint32_t i = 0; i < node->u.aggregate.aggregate_count; i++) {
        MR_RET(check_aggregate(model, &node->u.aggregate.aggregates[i], input, schema, &field,
                               err));
    }
    if (node->u.aggregate.window.kind == MR_WINDOW_GLOBAL || input->has_event_time) return MR_OK;
    return mr_error_set(err, MR_E_PIPELINE,
                        "windows need event times, but the rows of '%s' have none: assign event "
                        "times before",
                        input->id);
}

static enum mr_status check_shape(const struct mr_node *node, struct mr_error *err)
{
    uint32_t keys = node->u.aggregate.key_count;
    uint32_t aggregates = node->u.aggregate.aggregate_count;

    if (keys > MR_COLUMNS_MAX || aggregates > MR_COLUMNS_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "more than %u columns", MR_COLUMNS_MAX);
    }
    if (keys == 0 && aggregates == 0) {
        return mr_error_set(err, MR_E_INVALID,
                            "neither keys nor aggregates: there is nothing to compute");
    }
    return mr_window_check(&node->u.aggregate.window, err);
}

/* [window_start, window_end], keys, aggregates. */
static enum mr_status make_output(struct mr_model *model, struct mr_node *node,
                                  const struct mr_node *input, const struct mr_schema *schema,
                                  struct mr_error *err)
{
    uint32_t keys = node->u.aggregate.key_count;
    uint32_t aggregates = node->u.aggregate.aggregate_count;
    uint32_t count = 0;
    struct mr_field *fields =
        mr_arena_zero(&model->arena, ((size_t)keys + aggregates + 2) * sizeof *fields);

    if (fields == NULL) return mri_model_nomem(err);
    if (node->u.aggregate.emit_window) {
        fields[count++] = (struct mr_field){
            .name = "window_start", .type = MR_TIMESTAMP_LTZ, .not_null = true};
        fields[count++] = (struct mr_field){
            .name = "window_end", .type = MR_TIMESTAMP_LTZ, .not_null = true};
    }
    for (uint32_t i = 0; i < keys; i++) {
        MR_RET(check_key(model, node, i, input, schema, &fields[count++], err));
    }
    for (uint32_t i = 0; i < aggregates; i++) {
        struct mr_aggregate_spec *spec = &node->u.aggregate.aggregates[i];

        MR_RET(check_aggregate(model, spec, input, schema, &fields[count], err));
        spec->result = fields[count++];
    }
    return mr_schema_create(model->heap, fields, count, &node->outputs[0], err);
}

enum mr_status mri_aggregate_build(struct mr_model *model, struct mr_node *node,
                                   const struct mr_node *input, const struct mr_schema *schema,
                                   struct mr_error *err)
{
    uint32_t ordinal = node->inputs[0].node;
    uint32_t output = node->inputs[0].output;
    bool windowed = node->u.aggregate.window.kind != MR_WINDOW_GLOBAL;

    MR_RET(check_shape(node, err));
    if (!windowed) node->u.aggregate.emit_window = false;
    MR_RET(copy_keys(model, node, err));
    MR_RET(copy_aggregates(model, node, err));
    MR_RET(mri_aggregate_check(model, node, input, schema, err));
    MR_RET(make_output(model, node, input, schema, err));
    node->outputs[1] = mr_schema_ref(model->nodes[ordinal]->outputs[output]);
    node->output_count = 2;
    node->has_window = windowed;
    return MR_OK;
}
