#include "job_internal.h"

#include "base/status.h"
#include <string.h>

static bool ok(const struct mr_stream *in)
{
    return in != NULL && mri_job_ok(in->job);
}

/* A node with one input. */
static struct mr_node after(const struct mr_stream *in, enum mr_node_kind kind,
                            struct mr_stream_ref *ref)
{
    *ref = in->ref;
    return (struct mr_node){.kind = kind, .input_count = 1, .inputs = ref};
}

/* The handle of a stateless transform's output: how the next aggregate groups stays as it was. */
static struct mr_stream *keep_grouping(const struct mr_stream *in, struct mr_stream *out)
{
    if (out == NULL) return NULL;
    out->key_count = in->key_count;
    out->keys = in->keys;
    out->key_names = in->key_names;
    out->window = in->window;
    out->windowed = in->windowed;
    return out;
}

static struct mr_stream *copy_of(struct mr_stream *in)
{
    return keep_grouping(in, mri_stream_new(in->job, in->ref.node, in->ref.output));
}

/* Adds a transform that is no aggregate and does not pass grouping on. */
static struct mr_stream *add_after(const struct mr_stream *in, const struct mr_node *node)
{
    struct mr_stream *out = mri_add(in->job, node);

    return out != NULL && mri_grouping_used(in, out->ref.node) ? out : NULL;
}

struct mr_stream *mr_set_id(struct mr_stream *stream, const char *id)
{
    struct mr_error err;

    if (!ok(stream)) return NULL;
    if (mr_model_set_id(stream->job->model, stream->ref.node, id, &err) != MR_OK) {
        mri_job_fail(stream->job, &err);
        return NULL;
    }
    return stream;
}

struct mr_stream *mr_set_parallelism(struct mr_stream *stream, uint32_t instances)
{
    if (!ok(stream)) return NULL;
    if (instances > 1024) {
        mri_job_invalid(stream->job, "mr_set_parallelism: %u instances; at most 1024", instances);
        return NULL;
    }
    stream->job->model->nodes[stream->ref.node]->parallelism = instances;
    return stream;
}

struct mr_stream *mr_assign_event_time(struct mr_stream *in, struct mr_expr *time,
                                       int64_t delay_us, int64_t idle_us)
{
    struct mr_stream_ref ref;
    struct mr_node node;

    if (!ok(in)) return NULL;
    if (delay_us < 0 || idle_us < 0) {
        mri_job_invalid(in->job, "mr_assign_event_time: delay and idle time must not be negative");
        return NULL;
    }
    if (!mri_expr_ok(in->job, time, "mr_assign_event_time")) return NULL;
    node = after(in, MR_NODE_EVENT_TIME, &ref);
    node.u.event_time.time = time;
    node.u.event_time.delay_us = delay_us;
    node.u.event_time.idle_us = idle_us;
    return keep_grouping(in, mri_add(in->job, &node));
}

struct mr_stream *mr_filter(struct mr_stream *in, struct mr_expr *condition)
{
    struct mr_stream_ref ref;
    struct mr_node node;

    if (!ok(in) || !mri_expr_ok(in->job, condition, "mr_filter")) return NULL;
    node = after(in, MR_NODE_FILTER, &ref);
    node.u.filter.condition = condition;
    return keep_grouping(in, mri_add(in->job, &node));
}

/* Splits an array of pairs in two, in the job's arena. `where` is the call, for messages. */
static bool split_named(struct mr_job *job, const char *where, const struct mr_named *named,
                        uint32_t count, struct mr_expr ***out_exprs, const char ***out_names)
{
    struct mr_error err;

    *out_exprs = mr_arena_zero(&job->model->arena, ((size_t)count + 1) * sizeof **out_exprs);
    *out_names = mr_arena_zero(&job->model->arena, ((size_t)count + 1) * sizeof **out_names);
    if (*out_exprs == NULL || *out_names == NULL) {
        mr_error_nomem(&err, "a list of columns", count * sizeof(void *));
        mri_job_fail(job, &err);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        (*out_exprs)[i] = named[i].expr;
        if (named[i].name == NULL) {
            mri_job_invalid(job, "%s: column %u has no name", where, i + 1);
            return false;
        }
        if (!mri_expr_ok(job, named[i].expr, "%s: column '%s'", where, named[i].name)) return false;
        (*out_names)[i] = mr_arena_strdup(&job->model->arena, named[i].name);
        if ((*out_names)[i] == NULL) {
            mr_error_nomem(&err, "a list of columns", strlen(named[i].name));
            mri_job_fail(job, &err);
            return false;
        }
    }
    return true;
}

struct mr_stream *mr_project(struct mr_stream *in, const struct mr_named *columns, uint32_t count)
{
    struct mr_stream_ref ref;
    struct mr_node node;

    if (!ok(in)) return NULL;
    node = after(in, MR_NODE_PROJECT, &ref);
    node.u.project.count = count;
    if (!split_named(in->job, "mr_project", columns, count, &node.u.project.exprs,
                     &node.u.project.names)) {
        return NULL;
    }
    return add_after(in, &node);
}

/* Schemas of a function's outputs; false after an error. */
static bool function_outputs(struct mr_stream *in, const struct mr_function_options *options,
                             struct mr_node *node)
{
    struct mr_job *job = in->job;
    uint32_t sides = options->side_count;

    if (sides >= MR_OUTPUTS_MAX) {
        mri_job_invalid(job, "a function has %u side outputs; at most %u", sides,
                        MR_OUTPUTS_MAX - 1);
        return false;
    }
    if (options->fields == NULL) {
        const struct mr_schema *schema = mr_model_schema(job->model, in->ref);
        if (!mri_schema(job, schema->fields, schema->column_count, &node->outputs[0])) return false;
    } else if (!mri_schema(job, options->fields, options->field_count, &node->outputs[0])) {
        return false;
    }
    node->output_count = 1;
    for (uint32_t i = 0; i < sides; i++) {
        if (!mri_schema(job, options->side_fields[i], options->side_field_counts[i],
                        &node->outputs[i + 1])) {
            return false;
        }
        node->output_count++;
    }
    return true;
}

static struct mr_stream *add_function(struct mr_stream *in, struct mr_node *node,
                                      const struct mr_function_options *options)
{
    struct mr_function_options given;
    struct mr_stream *out = NULL;

    if (!mri_options_copy(in->job, "mr_function_options", options,
                          MRI_END_OF(struct mr_function_options, side_count), &given,
                          sizeof given)) {
        return NULL;
    }
    node->id = given.id;
    if (function_outputs(in, &given, node)) {
        /* Filters leave rows as they are, and with them how they are grouped. */
        out = node->u.function.kind == MR_FUNCTION_FILTER
                  ? keep_grouping(in, mri_add(in->job, node))
                  : add_after(in, node);
    }
    for (uint32_t i = 0; i < MR_OUTPUTS_MAX; i++) mr_schema_release(node->outputs[i]);
    return out;
}

struct mr_stream *mr_map_rows(struct mr_stream *in, mr_row_fn function, void *user,
                              const struct mr_function_options *options)
{
    struct mr_stream_ref ref;
    struct mr_node node;

    if (!ok(in)) return NULL;
    node = after(in, MR_NODE_FUNCTION, &ref);
    node.u.function.kind = MR_FUNCTION_ROW;
    node.u.function.row = function;
    node.u.function.user = user;
    return add_function(in, &node, options);
}

struct mr_stream *mr_map_batches(struct mr_stream *in, mr_batch_fn function, void *user,
                                 const struct mr_function_options *options)
{
    struct mr_stream_ref ref;
    struct mr_node node;

    if (!ok(in)) return NULL;
    node = after(in, MR_NODE_FUNCTION, &ref);
    node.u.function.kind = MR_FUNCTION_BATCH;
    node.u.function.batch = function;
    node.u.function.user = user;
    return add_function(in, &node, options);
}

struct mr_stream *mr_filter_rows(struct mr_stream *in, mr_row_filter_fn function, void *user)
{
    struct mr_stream_ref ref;
    struct mr_node node;

    if (!ok(in)) return NULL;
    node = after(in, MR_NODE_FUNCTION, &ref);
    node.u.function.kind = MR_FUNCTION_FILTER;
    node.u.function.keep = function;
    node.u.function.user = user;
    return add_function(in, &node, NULL);
}

/* Of the first stream that there is; without one nobody can be told. */
static struct mr_job *job_of(struct mr_stream *const *streams, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (streams[i] != NULL) return streams[i]->job;
    }
    return NULL;
}

struct mr_stream *mr_union(struct mr_stream *const *inputs, uint32_t count)
{
    struct mr_stream_ref refs[MR_INPUTS_MAX];
    struct mr_node node = {.kind = MR_NODE_UNION, .input_count = count, .inputs = refs};
    struct mr_job *job;
    struct mr_stream *out;

    job = job_of(inputs, count);
    if (!mri_job_ok(job)) return NULL;
    if (count > MR_INPUTS_MAX) {
        mri_job_invalid(job, "mr_union: %u inputs; at most %u", count, MR_INPUTS_MAX);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (inputs[i] == NULL || inputs[i]->job != job) {
            mri_job_invalid(job, inputs[i] == NULL ? "mr_union: input %u is NULL"
                                                   : "mr_union: input %u belongs to another job",
                            i + 1);
            return NULL;
        }
        refs[i] = inputs[i]->ref;
    }
    out = mri_add(job, &node);
    for (uint32_t i = 0; i < count && out != NULL; i++) {
        if (!mri_grouping_used(inputs[i], out->ref.node)) out = NULL;
    }
    return out;
}

struct mr_stream *mr_key_by(struct mr_stream *in, const struct mr_named *keys, uint32_t count)
{
    struct mr_stream *out;

    if (!ok(in)) return NULL;
    out = copy_of(in);
    if (out == NULL) return NULL;
    out->key_count = count;
    if (!split_named(in->job, "mr_key_by", keys, count, &out->keys, &out->key_names)) return NULL;
    return out;
}

struct mr_stream *mr_key_by_columns(struct mr_stream *in, const char *const *names,
                                    uint32_t count)
{
    struct mr_named keys[64];

    if (!ok(in)) return NULL;
    if (count > MR_COUNT(keys)) {
        mri_job_invalid(in->job, "mr_key_by_columns: %u keys; at most 64", count);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = (struct mr_named){names[i], mr_col(in->job, names[i])};
    }
    return mr_key_by(in, keys, count);
}

static struct mr_stream *windowed(struct mr_stream *in, struct mr_window_spec window)
{
    struct mr_stream *out;

    if (!ok(in)) return NULL;
    out = copy_of(in);
    if (out == NULL) return NULL;
    out->window = window;
    out->windowed = true;
    return out;
}

struct mr_stream *mr_window_tumbling(struct mr_stream *in, int64_t size_us)
{
    return windowed(in, (struct mr_window_spec){
                            .kind = MR_WINDOW_TUMBLING, .size_us = size_us, .slide_us = size_us});
}

struct mr_stream *mr_window_hopping(struct mr_stream *in, int64_t size_us, int64_t slide_us)
{
    return windowed(in, (struct mr_window_spec){
                            .kind = MR_WINDOW_HOPPING, .size_us = size_us, .slide_us = slide_us});
}

struct mr_stream *mr_window_session(struct mr_stream *in, int64_t gap_us, bool touching_merge)
{
    return windowed(in, (struct mr_window_spec){.kind = MR_WINDOW_SESSION,
                                                .size_us = gap_us,
                                                .touching_sessions_merge = touching_merge});
}

/* What says more about a window needs one. */
static bool has_window(const struct mr_stream *in, const char *call)
{
    if (!ok(in)) return false;
    if (in->windowed) return true;
    mri_job_invalid(in->job, "%s: there is no window before it; it belongs behind mr_window_tumbling, "
                             "mr_window_hopping or mr_window_session",
                    call);
    return false;
}

struct mr_stream *mr_window_offset(struct mr_stream *in, int64_t offset_us)
{
    struct mr_stream *out;

    if (!has_window(in, "mr_window_offset")) return NULL;
    out = copy_of(in);
    if (out != NULL) out->window.offset_us = offset_us;
    return out;
}

struct mr_stream *mr_allowed_lateness(struct mr_stream *in, int64_t lateness_us)
{
    struct mr_stream *out;

    if (!has_window(in, "mr_allowed_lateness")) return NULL;
    out = copy_of(in);
    if (out != NULL) out->window.allowed_lateness_us = lateness_us;
    return out;
}

static bool aggregate_kind(const char *name, bool has_argument, enum mr_aggregate_kind *out)
{
    static const struct {
        const char *name;
        enum mr_aggregate_kind kind;
    } known[] = {{"count", MR_AGG_COUNT}, {"sum", MR_AGG_SUM},     {"min", MR_AGG_MIN},
                 {"max", MR_AGG_MAX},     {"avg", MR_AGG_AVG},     {"first", MR_AGG_FIRST},
                 {"last", MR_AGG_LAST}};

    for (size_t i = 0; i < MR_COUNT(known); i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *out = known[i].kind;
        if (known[i].kind == MR_AGG_COUNT && !has_argument) *out = MR_AGG_COUNT_ALL;
        return true;
    }
    return false;
}

static bool builtin_spec(struct mr_job *job, const struct mr_aggregate *from,
                         struct mr_aggregate_spec *out)
{
    if (from->user_functions != NULL || from->user_argument_count > 0) {
        mri_job_invalid(job,
                        "mr_aggregate: '%s' has both function and user_functions (or their "
                        "arguments): set one",
                        from->name);
        return false;
    }
    if (!aggregate_kind(from->function, from->argument != NULL, &out->kind)) {
        mri_job_invalid(job,
                        "mr_aggregate: there is no aggregate '%s'; known: count, sum, min, max, "
                        "avg, first, last",
                        from->function);
        return false;
    }
    if (out->kind == MR_AGG_COUNT_ALL) return true;
    if (from->argument == NULL) {
        mri_job_invalid(job, "mr_aggregate: column '%s': '%s' needs an argument", from->name,
                        from->function);
        return false;
    }
    out->arguments[0] = from->argument;
    out->argument_count = 1;
    return mri_expr_ok(job, from->argument, "mr_aggregate: column '%s'", from->name);
}

static bool user_spec(struct mr_job *job, const struct mr_aggregate *from,
                      struct mr_aggregate_spec *out)
{
    const uint32_t count = from->user_argument_count;

    if (from->user_functions == NULL) {
        mri_job_invalid(job, "mr_aggregate: '%s' has neither function nor user_functions",
                        from->name);
        return false;
    }
    if (from->argument != NULL) {
        mri_job_invalid(job,
                        "mr_aggregate: '%s' has user_functions, which take user_arguments, but "
                        "argument is set",
                        from->name);
        return false;
    }
    if (count > MR_COUNT(out->arguments) || (count > 0 && from->user_arguments == NULL)) {
        mri_job_invalid(job, "mr_aggregate: '%s' has %u user_arguments%s; at most %zu", from->name,
                        count, from->user_arguments == NULL ? ", which are NULL" : "",
                        MR_COUNT(out->arguments));
        return false;
    }
    out->kind = MR_AGG_USER;
    out->functions = from->user_functions;
    out->user = from->user;
    out->result = from->user_result;
    out->result.name = from->name;
    out->argument_count = count;
    for (uint32_t i = 0; i < count; i++) {
        out->arguments[i] = from->user_arguments[i];
        if (!mri_expr_ok(job, out->arguments[i], "mr_aggregate: argument %u of '%s'", i + 1,
                         from->name)) {
            return false;
        }
    }
    return true;
}

static bool to_spec(struct mr_job *job, const struct mr_aggregate *from,
                    struct mr_aggregate_spec *out)
{
    *out = (struct mr_aggregate_spec){.name = from->name};
    if (from->name == NULL) {
        mri_job_invalid(job, "mr_aggregate: an aggregate has no output name");
        return false;
    }
    return from->function != NULL ? builtin_spec(job, from, out) : user_spec(job, from, out);
}

struct mr_stream *mr_aggregate(struct mr_stream *in, const struct mr_aggregate *aggregates,
                               uint32_t count)
{
    struct mr_stream_ref ref;
    struct mr_node node;
    struct mr_aggregate_spec *specs;
    struct mr_error err;

    if (!ok(in)) return NULL;
    specs = mr_arena_zero(&in->job->model->arena, ((size_t)count + 1) * sizeof *specs);
    if (specs == NULL) {
        mr_error_nomem(&err, "aggregates", count * sizeof *specs);
        mri_job_fail(in->job, &err);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!to_spec(in->job, &aggregates[i], &specs[i])) return NULL;
    }
    node = after(in, MR_NODE_AGGREGATE, &ref);
    node.u.aggregate.key_count = in->key_count;
    node.u.aggregate.keys = in->keys;
    node.u.aggregate.key_names = in->key_names;
    node.u.aggregate.window = in->window;
    node.u.aggregate.emit_window = in->windowed;
    node.u.aggregate.aggregate_count = count;
    node.u.aggregate.aggregates = specs;
    return mri_add(in->job, &node);
}

struct mr_stream *mr_late_output(struct mr_stream *aggregated)
{
    if (!ok(aggregated)) return NULL;
    if (aggregated->job->model->nodes[aggregated->ref.node]->kind != MR_NODE_AGGREGATE) {
        mri_job_invalid(aggregated->job, "mr_late_output: the stream does not come from "
                                         "mr_aggregate");
        return NULL;
    }
    return mri_stream_new(aggregated->job, aggregated->ref.node, 1);
}

struct mr_stream *mr_side_output(struct mr_stream *mapped, uint32_t output)
{
    const struct mr_node *node;

    if (!ok(mapped)) return NULL;
    node = mapped->job->model->nodes[mapped->ref.node];
    if ((node->kind != MR_NODE_FUNCTION && node->kind != MR_NODE_PROCESS) || output == 0 ||
        output >= node->output_count) {
        mri_job_invalid(mapped->job, "mr_side_output: '%s' has no side output %u", node->id,
                        output);
        return NULL;
    }
    return mri_stream_new(mapped->job, mapped->ref.node, output);
}

struct mr_stream *mr_top(struct mr_stream *in, const struct mr_sort_key *keys, uint32_t count,
                         uint64_t limit)
{
    struct mr_stream_ref ref;
    struct mr_node node;
    struct mr_order orders[64];

    if (!ok(in)) return NULL;
    if (count == 0 || count > MR_COUNT(orders)) {
        mri_job_invalid(in->job, "mr_sort, mr_top: 1 to 64 keys, not %u", count);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!mri_expr_ok(in->job, keys[i].expr, "mr_sort, mr_top: key %u", i + 1)) return NULL;
        orders[i] = (struct mr_order){keys[i].expr, keys[i].descending};
    }
    node = after(in, MR_NODE_TOP, &ref);
    node.u.top.order_count = count;
    node.u.top.orders = orders;
    node.u.top.limit = limit;
    return add_after(in, &node);
}

struct mr_stream *mr_sort(struct mr_stream *in, const struct mr_sort_key *keys, uint32_t count)
{
    return mr_top(in, keys, count, UINT64_MAX);
}
