#include "job_internal.h"

#include "base/status.h"
#include "logs.h"
#include "user_connectors.h"
#include <string.h>
#include <sys/stat.h>

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
    struct mr_read_text_options given;
    struct mr_error err = {.status = MR_OK};
    enum mr_status st;

    if (!building(job)) return NULL;
    if (!mri_options_copy(job, "mr_read_text_options", options,
                          MRI_END_OF(struct mr_read_text_options, pieces), &given, sizeof given)) {
        return NULL;
    }
    if (given.path == NULL) {
        mri_job_invalid(job, "mr_read_text: no path is given");
        return NULL;
    }
    if (mr_log_is_url(given.path)) {
        const struct mr_field line = {.name = "line", .type = given.binary ? MR_BINARY : MR_UTF8};

        return mri_read_log_columns(job, "mr_read_text", given.path, &line, 1, given.rate);
    }
    st = mr_text_source(job->heap,
                        &(struct mr_text_options){.path = given.path,
                                                  .binary = given.binary,
                                                  .pieces = given.pieces},
                        &source, &err);
    return add_built(job, st, &source, false, given.rate, &err);
}

struct mr_stream *mr_read_csv(struct mr_job *job, const struct mr_read_csv_options *options)
{
    struct mr_source source = {.ops = NULL};
    struct mr_read_csv_options given;
    struct mr_csv_options inner;
    struct mr_error err = {.status = MR_OK};
    enum mr_status st;

    if (!building(job)) return NULL;
    if (!mri_options_copy(job, "mr_read_csv_options", options,
                          MRI_END_OF(struct mr_read_csv_options, rate), &given, sizeof given)) {
        return NULL;
    }
    if (given.path == NULL || given.fields == NULL) {
        mri_job_invalid(job, "mr_read_csv: path and fields must be given");
        return NULL;
    }
    if (!mri_fields_ok(job, "mr_read_csv", given.fields, given.field_count)) return NULL;
    if (mr_log_is_url(given.path)) {
        return mri_read_log_columns(job, "mr_read_csv", given.path, given.fields, given.field_count,
                                    given.rate);
    }
    inner = (struct mr_csv_options){
        .path = given.path,
        .fields = given.fields,
        .field_count = given.field_count,
        .delimiter = given.delimiter,
        .no_header = given.no_header,
        .null_literals = given.null_literals,
        .null_literal_count = given.null_literal_count,
    };
    st = mr_csv_source(job->heap, &inner, &source, &err);
    return add_built(job, st, &source, false, given.rate, &err);
}

struct mr_stream *mr_generate(struct mr_job *job, const struct mr_generate_options *options)
{
    struct mr_source source = {.ops = NULL};
    struct mr_generator_options inner;
    struct mr_generate_options given;
    struct mr_error err = {.status = MR_OK};
    struct mr_stream *stream;
    enum mr_status st;

    if (!building(job)) return NULL;
    if (!mri_options_copy(job, "mr_generate_options", options,
                          MRI_END_OF(struct mr_generate_options, rate), &given, sizeof given)) {
        return NULL;
    }
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

    if (!building(job) || !mri_fields_ok(job, "mr_read_source", fields, field_count)) return NULL;
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
                           const char *id, const char *path, const struct mr_error *err)
{
    if (st != MR_OK) {
        mri_job_fail(in->job, err);
        return;
    }
    mri_add_sink(in, sink, id, path);
}

/* A pipe or a device takes nothing back; what does not exist yet will be a file. */
static bool is_stream(const char *path)
{
    struct stat status;

    if (path == NULL || stat(path, &status) != 0) return false;
    return !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
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
    struct mr_write_options given;
    struct mr_format_options inner;
    struct mr_error err = {.status = MR_OK};
    enum mr_status st;

    if (in == NULL || !building(in->job)) return;
    if (!mri_options_copy(in->job, "mr_write_options", options,
                          MRI_END_OF(struct mr_write_options, format), &given, sizeof given)) {
        return;
    }
    if ((size_t)given.format >= MR_COUNT(formats)) {
        mri_job_invalid(in->job, "mr_write: there is no output format %d", (int)given.format);
        return;
    }
    if (mr_log_is_url(given.path)) {
        mri_write_log(in, given.path);
        return;
    }
    inner = (struct mr_format_options){.path = given.path,
                                       .format = formats[given.format],
                                       .number = in->job->sink_count + 1,
                                       .roll_bytes = in->job->options.roll_bytes,
                                       .roll_us = in->job->options.roll_us,
                                       .stream = is_stream(given.path)};
    st = mr_format_sink(in->job->heap, &inner, &sink, &err);
    add_built_sink(in, st, &sink, NULL, given.path, &err);
}

void mr_discard(struct mr_stream *in)
{
    struct mr_sink sink = {.ops = NULL};
    struct mr_error err = {.status = MR_OK};

    if (in == NULL || !building(in->job)) return;
    add_built_sink(in, mr_blackhole_sink(in->job->heap, &sink, &err), &sink, NULL, NULL,
                   &err);
}

void mr_write_sink(struct mr_stream *in, const char *id, const struct mr_sink_functions *functions,
                   void *user)
{
    struct mr_sink sink = {.ops = NULL};
    struct mr_error err = {.status = MR_OK};

    if (in == NULL || !building(in->job)) return;
    add_built_sink(in, mri_user_sink(in->job->heap, id, functions, user, &sink, &err), &sink, id,
                   NULL, &err);
}
