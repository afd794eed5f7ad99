#include "job_internal.h"

#include "base/assert.h"
#include "base/status.h"
#include "run.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mr_version(void)
{
    return MR_VERSION_TEXT;
}

/* ---- errors ---- */

bool mri_job_ok(const struct mr_job *job)
{
    return job != NULL && job->error.status == MR_OK;
}

enum mr_status mri_job_fail(struct mr_job *job, const struct mr_error *err)
{
    if (job->error.status == MR_OK) job->error = *err;
    return job->error.status;
}

enum mr_status mri_job_invalid(struct mr_job *job, const char *format, ...)
{
    struct mr_error err = {.status = MR_E_INVALID};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(err.text, sizeof err.text, format, arguments);
    va_end(arguments);
    return mri_job_fail(job, &err);
}

const char *mr_job_error(const struct mr_job *job)
{
    return job == NULL ? "there is no job (out of memory)" : job->error.text;
}

enum mr_status mr_job_status(const struct mr_job *job)
{
    return job == NULL ? MR_E_NOMEM : job->error.status;
}

/* ---- life ---- */

/* Options grow at their end: what an older caller does not know keeps its default. */
static void copy_options(struct mr_job *job, const struct mr_job_options *options)
{
    size_t size;

    if (options == NULL) return;
    size = options->size == 0 ? sizeof job->options : options->size;
    if (size < sizeof options->size || size > 4096) {
        mri_job_invalid(job, "mr_job_create: options.size is %zu; set it to "
                             "sizeof(struct mr_job_options)",
                        size);
        return;
    }
    memcpy(&job->options, options, MR_MIN(size, sizeof job->options));
    if (job->options.workers > 1024) {
        mri_job_invalid(job, "%u workers; at most 1024", job->options.workers);
    }
}

static void start_job(struct mr_job *job, const char *name)
{
    struct mr_error err = {.status = MR_OK};
    uint32_t workers = job->options.workers;

    if (workers == 0) workers = mr_posix_cores();
    job->options.workers = MR_MIN(workers, 1024u);
    if (mr_posix_port_init(&job->port, job->options.memory_bytes, job->options.workers, &err) !=
        MR_OK) {
        mri_job_fail(job, &err);
        return;
    }
    job->port_ready = true;
    job->heap = job->port.heap;
    job->options.memory_bytes = job->heap->limit_bytes;
    job->name = mr_strdup(job->heap, name == NULL ? "job" : name);
    if (job->options.dead_letter_path != NULL) {
        job->dead_letter_path = mr_strdup(job->heap, job->options.dead_letter_path);
    }
    if (job->name == NULL ||
        (job->dead_letter_path == NULL && job->options.dead_letter_path != NULL)) {
        mr_error_nomem(&err, "a job", sizeof *job);
        mri_job_fail(job, &err);
        return;
    }
    if (mr_model_create(job->heap, &job->model, &err) != MR_OK) mri_job_fail(job, &err);
}

struct mr_job *mr_job_create(const char *name, const struct mr_job_options *options)
{
    /* The one allocation outside the job's heap: the heap lives in it. */
    struct mr_job *job = calloc(1, sizeof *job);

    if (job == NULL) return NULL;
    copy_options(job, options);
    start_job(job, name);
    return job;
}

void mr_job_destroy(struct mr_job *job)
{
    if (job == NULL) return;
    mr_model_destroy(job->model);
    for (uint32_t i = 0; i < job->source_count; i++) {
        job->sources[i].ops->destroy(job->sources[i].spec);
        mr_schema_release(job->sources[i].schema);
    }
    for (uint32_t i = 0; i < job->sink_count; i++) job->sinks[i].ops->destroy(job->sinks[i].spec);
    if (job->port_ready) {
        mr_strfree(job->heap, job->name);
        mr_strfree(job->heap, job->dead_letter_path);
        mr_free(job->heap, job->metrics, job->metrics_bytes);
        mr_posix_port_fini(&job->port);
    }
    free(job);
}

/* ---- building blocks ---- */

struct mr_stream *mri_stream_new(struct mr_job *job, uint32_t node, uint32_t output)
{
    struct mr_stream *stream = mr_arena_zero(&job->model->arena, sizeof *stream);
    struct mr_error err;

    if (stream == NULL) {
        mr_error_nomem(&err, "a stream", sizeof *stream);
        mri_job_fail(job, &err);
        return NULL;
    }
    stream->job = job;
    stream->ref = (struct mr_stream_ref){node, output};
    return stream;
}

struct mr_stream *mri_add(struct mr_job *job, const struct mr_node *node)
{
    struct mr_error err = {.status = MR_OK};
    uint32_t ordinal;

    if (mr_model_add(job->model, node, &ordinal, &err) != MR_OK) {
        mri_job_fail(job, &err);
        return NULL;
    }
    return mri_stream_new(job, ordinal, 0);
}

struct mr_stream *mri_add_source(struct mr_job *job, struct mr_source *source, const char *id,
                                 bool event_time, uint32_t rate)
{
    struct mr_node node = {.kind = MR_NODE_SOURCE, .id = id, .output_count = 1};
    struct mr_stream *stream;

    if (job->source_count == MR_JOB_SOURCES_MAX) {
        source->ops->destroy(source->spec);
        mr_schema_release(source->schema);
        mri_job_invalid(job, "a job has at most %u sources", MR_JOB_SOURCES_MAX);
        return NULL;
    }
    job->sources[job->source_count++] = *source;
    node.outputs[0] = source->schema;
    node.u.source.ops = source->ops;
    node.u.source.spec = source->spec;
    node.u.source.bounded_hint = true;
    node.u.source.makes_event_time = event_time;
    node.u.source.rate_rows_per_s = rate;
    stream = mri_add(job, &node);
    if (stream != NULL) job->source_nodes[job->source_count - 1] = stream->ref.node;
    return stream;
}

void mri_add_sink(struct mr_stream *in, struct mr_sink *sink, const char *id)
{
    struct mr_stream_ref ref = in->ref;
    struct mr_node node = {.kind = MR_NODE_SINK, .id = id, .input_count = 1, .inputs = &ref};
    struct mr_job *job = in->job;

    if (job->sink_count == MR_JOB_SINKS_MAX) {
        sink->ops->destroy(sink->spec);
        mri_job_invalid(job, "a job has at most %u sinks", MR_JOB_SINKS_MAX);
        return;
    }
    job->sinks[job->sink_count++] = *sink;
    node.u.sink.ops = sink->ops;
    node.u.sink.spec = sink->spec;
    node.u.sink.one_writer = sink->ops->one_writer;
    mri_add(job, &node);
}

bool mri_schema(struct mr_job *job, const struct mr_field *fields, uint32_t count,
                struct mr_schema **out)
{
    struct mr_error err = {.status = MR_OK};

    if (mr_schema_create(job->heap, fields, count, out, &err) == MR_OK) return true;
    mri_job_fail(job, &err);
    return false;
}

void mri_describe(void *self, const struct mr_node *node, struct mr_text *out)
{
    (void)self;
    if (node->kind == MR_NODE_SOURCE) {
        const struct mr_source_ops *ops = node->u.source.ops;
        if (ops->describe != NULL) ops->describe(node->u.source.spec, out);
    } else if (node->kind == MR_NODE_SINK) {
        const struct mr_sink_ops *ops = node->u.sink.ops;
        if (ops->describe != NULL) ops->describe(node->u.sink.spec, out);
    }
}

/* ---- running ---- */

void mr_job_cancel(struct mr_job *job)
{
    /* Seen by the thread in mr_job_run within its next look: no lock here, for signal handlers. */
    if (job != NULL) atomic_store(&job->cancelled, true);
}

enum mr_status mr_job_run(struct mr_job *job, struct mr_summary *out)
{
    struct mr_summary summary = {.first_result_us = -1};

    if (job == NULL) return MR_E_NOMEM;
    if (out != NULL) *out = summary;
    if (!mri_job_ok(job)) return job->error.status;
    if (job->ran) return mri_job_invalid(job, "mr_job_run: a job runs once; create another one");
    job->ran = true;
    mri_run(job, &summary);
    summary.peak_memory_bytes = mr_posix_peak_rss();
    if (out != NULL) *out = summary;
    return job->error.status;
}

/* A copy that the caller can free(). */
static char *own_copy(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

char *mr_job_explain(struct mr_job *job, bool as_dot)
{
    struct mr_text text;
    char *copy = NULL;

    if (!mri_job_ok(job)) return NULL;
    mr_text_init(&text, job->heap, 0);
    if (mri_explain(job, as_dot, &text) == MR_OK) copy = own_copy(mr_text_get(&text));
    mr_text_fini(&text);
    return copy;
}

char *mr_job_metrics_json(struct mr_job *job)
{
    return job == NULL ? NULL : own_copy(job->metrics);
}
