#include "job_internal.h"

#include "base/status.h"
#include "user_connectors.h"
#include <string.h>

static bool building(const struct mr_job *job)
{
    return mri_job_ok(job);
}

static struct mr_stream *add_built(struct mr_job *job, enum mr_status st, struct mr_source *source,
                                   bool event_time, uint32_t rate, const struct mr_error *err)
{
    if (st != MR_OK) {
        mri_job_fail(job, err);
        return NULL;
    }
    return mri_add_source(job, source, NULL, event_time, rate);
}

struct mr_stream *mr_read_text(struct mr_job *job, const struct mr_read_text_options *options)
{
    struct mr_source source = {.ops = NULL};
    struct mr_error err = {.status = MR_OK};
    enum mr_status st;

    if (!building(job)) return NULL;
    if (options == NULL || options->path == NULL) {
        mri_job_invalid(job, "mr_read_text: no path is given");
        return NULL;
    }
    st = mr_text_source(job->heap,
                        &(struct mr_text_options){.path = options->path,
                                                  .binary = options->binary,
                                                  .pieces = options->pieces},
                        &source, &err);
    return add_built(job, st, &source, false, options->rate, &err);
}

struct mr_stream *mr_read_csv(struct mr_job *job, const struct mr_read_csv_options *options)
{
    struct mr_source source = {.ops = NULL};
    struct mr_csv_options inner;
    struct mr_error err = {.status = MR_OK};
    enum mr_status st;

    if (!building(job)) return NULL;
    if (options == NULL || options->path == NULL || options->fields == NULL) {
        mri_job_invalid(job, "mr_read_csv: path and fields must be given");
        return NULL;
    }
    inner = (struct mr_csv_options){
        .path = options->path,
        .fields = options->fields,
        .field_count = options->field_count,
        .delimiter = options->delimiter,
        .no_header = options->no_header,
        .null_literals = options->null_literals,
        .null_literal_count = options->null_literal_count,
    };
    st = mr_csv_source(job->heap, &inner, &source, &err);
    return add_built(job, st, &source, false, options->rate, &err);
}

struct mr_stream *mr_generate(struct mr_job *job, const struct mr_generate_options *options)
{
    struct mr_source source = {.ops = NULL};
    struct mr_generator_options inner;
    struct mr_generate_options given = {.rows = 0};
    struct mr_error err = {.status = MR_OK};
    struct mr_stream *stream;
    enum mr_status st;

    if (!building(job)) return NULL;
    if (options != NULL) given = *options;
    inner = (struct mr_generator_options){
        .rows = given.rows == 0 ? UINT64_MAX : given.rows,
        .start_us = given.start_us,
        .step_us = given.step_us == 0 ? MR_MILLISECOND : given.step_us,
        .keys = given.keys == 0 ? 1000 : given.keys,
        .seed = given.seed,
    };
    st = mr_generator_source(job->heap, &inner, &source, &err);
    stream = add_built(job, st, &source, false, given.rate, &err);
    /* Its times are in order: they can be its watermark at once. */
    return mr_assign_event_time(stream, mr_col(job, "ts"), 0, 0);
}

struct mr_stream *mr_read_source(struct mr_job *job, const char *id,
                                 const struct mr_source_functions *functions, void *user,
                                 const struct mr_field *fields, uint32_t field_count,
                                 bool with_event_time)
{
    struct mr_source source = {.ops = NULL};
    struct mr_error err = {.status = MR_OK};
    struct mr_stream *stream;

    if (!building(job)) return NULL;
    if (mri_user_source(job->heap, id, functions, user, fields, field_count, with_event_time,
                        &source, &err) != MR_OK) {
        mri_job_fail(job, &err);
        return NULL;
    }
    stream = mri_add_source(job, &source, id, with_event_time, 0);
    if (!with_event_time) return stream;
    /* In order within a partition: the times are its watermark at once. */
    return mr_assign_event_time(stream, mr_event_time(job), 0, 0);
}

static void add_built_sink(struct mr_stream *in, enum mr_status st, struct mr_sink *sink,
                           const char *id, const struct mr_error *err)
{
    if (st != MR_OK) {
        mri_job_fail(in->job, err);
        return;
    }
    mri_add_sink(in, sink, id);
}

void mr_write(struct mr_stream *in, const struct mr_write_options *options)
{
    static const enum mr_text_format formats[] = {
        [MR_OUTPUT_AUTO] = MR_FORMAT_AUTO,
        [MR_OUTPUT_TABLE] = MR_FORMAT_TABLE,
        [MR_OUTPUT_CSV] = MR_FORMAT_CSV,
        [MR_OUTPUT_NDJSON] = MR_FORMAT_NDJSON,
    };
    struct mr_sink sink = {.ops = NULL};
    struct mr_format_options inner = {.path = NULL};
    struct mr_error err = {.status = MR_OK};
    enum mr_status st;

    if (in == NULL || !building(in->job)) return;
    if (options != NULL && (size_t)options->format >= MR_COUNT(formats)) {
        mri_job_invalid(in->job, "mr_write: there is no output format %d", (int)options->format);
        return;
    }
    if (options != NULL) {
        inner.path = options->path;
        inner.format = formats[options->format];
    }
    st = mr_format_sink(in->job->heap, &inner, &sink, &err);
    add_built_sink(in, st, &sink, NULL, &err);
}

void mr_discard(struct mr_stream *in)
{
    struct mr_sink sink = {.ops = NULL};
    struct mr_error err = {.status = MR_OK};

    if (in == NULL || !building(in->job)) return;
    add_built_sink(in, mr_blackhole_sink(in->job->heap, &sink, &err), &sink, NULL, &err);
}

void mr_write_sink(struct mr_stream *in, const char *id, const struct mr_sink_functions *functions,
                   void *user)
{
    struct mr_sink sink = {.ops = NULL};
    struct mr_error err = {.status = MR_OK};

    if (in == NULL || !building(in->job)) return;
    add_built_sink(in, mri_user_sink(in->job->heap, id, functions, user, &sink, &err), &sink, id,
                   &err);
}
