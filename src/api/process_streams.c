#include "job_internal.h"

#include "base/status.h"

/* Schemas of the outputs; false after an error. */
static bool make_outputs(struct mr_stream *in, const struct mr_process_options *options,
                         struct mr_node *node)
{
    struct mr_job *job = in->job;
    const struct mr_schema *schema = mr_model_schema(job->model, in->ref);
    const struct mr_field *fields = options->fields;
    uint32_t count = options->field_count;

    if (options->side_count >= MR_OUTPUTS_MAX) {
        mri_job_invalid(job, "a process function has %u side outputs; at most %u",
                        options->side_count, MR_OUTPUTS_MAX - 1);
        return false;
    }
    if (fields == NULL) {
        fields = schema->fields;
        count = schema->column_count;
    }
    if (!mri_schema(job, fields, count, &node->outputs[0])) return false;
    node->output_count = 1;
    for (uint32_t i = 0; i < options->side_count; i++) {
        if (!mri_schema(job, options->side_fields[i], options->side_field_counts[i],
                        &node->outputs[i + 1])) {
            return false;
        }
        node->output_count++;
    }
    return true;
}

static bool keyed(const struct mr_stream *in)
{
    if (in->key_count == 0) {
        mri_job_invalid(in->job, "a process function needs mr_key_by before it: its state is of a "
                                 "key (key by a constant for one state of all)");
        return false;
    }
    if (in->windowed) {
        mri_job_invalid(in->job, "a process function has no windows: leave the window out, and use "
                                 "timers or mr_context_set_namespace");
        return false;
    }
    return true;
}

static bool broadcast_ok(const struct mr_stream *in, const struct mr_process_options *options)
{
    const struct mr_stream *broadcast = options->broadcast;

    if ((broadcast != NULL) != (options->on_broadcast != NULL)) {
        mri_job_invalid(in->job, "a process function: broadcast and on_broadcast belong together; "
                                 "set both or none");
        return false;
    }
    if (broadcast != NULL && broadcast->job != in->job) {
        mri_job_invalid(in->job, "a process function: the broadcast stream belongs to another job");
        return false;
    }
    return true;
}

static struct mr_stream *add_process(struct mr_stream *in, struct mr_node *node,
                                     const struct mr_process_options *given)
{
    struct mr_process_options options;
    struct mr_stream_ref refs[2];
    struct mr_stream *out = NULL;

    if (in == NULL || !mri_job_ok(in->job)) return NULL;
    if (!mri_options_copy(in->job, "mr_process_options", given,
                          MRI_END_OF(struct mr_process_options, on_broadcast), &options,
                          sizeof options)) {
        return NULL;
    }
    if (!keyed(in) || !broadcast_ok(in, &options)) return NULL;
    refs[0] = in->ref;
    if (options.broadcast != NULL) refs[1] = options.broadcast->ref;
    node->id = options.id;
    node->input_count = options.broadcast != NULL ? 2 : 1;
    node->inputs = refs;
    node->u.process.timer = options.on_timer;
    node->u.process.broadcast = options.on_broadcast;
    node->u.process.key_count = in->key_count;
    node->u.process.keys = in->keys;
    node->u.process.key_names = in->key_names;
    node->u.process.states = options.states;
    node->u.process.state_count = options.state_count;
    if (make_outputs(in, &options, node)) out = mri_add(in->job, node);
    for (uint32_t i = 0; i < MR_OUTPUTS_MAX; i++) mr_schema_release(node->outputs[i]);
    if (out != NULL && options.broadcast != NULL &&
        !mri_grouping_used(options.broadcast, out->ref.node)) {
        return NULL;
    }
    return out;
}

struct mr_stream *mr_process_rows(struct mr_stream *in, mr_process_row_fn function, void *user,
                                  const struct mr_process_options *options)
{
    struct mr_node node = {.kind = MR_NODE_PROCESS};

    node.u.process.row = function;
    node.u.process.user = user;
    return add_process(in, &node, options);
}

struct mr_stream *mr_process_batches(struct mr_stream *in, mr_process_batch_fn function, void *user,
                                     const struct mr_process_options *options)
{
    struct mr_node node = {.kind = MR_NODE_PROCESS};

    node.u.process.batch = function;
    node.u.process.user = user;
    return add_process(in, &node, options);
}
