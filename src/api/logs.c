#include "logs.h"

#include "base/status.h"
#include <stdio.h>
#include <string.h>

/* A disk for building: the workers have their own. */
static struct mr_disk *disk_open(struct mr_job *job, const struct mr_port **out_port)
{
    *out_port = job->hooks != NULL && job->hooks->port != NULL ? job->hooks->port : &job->port;
    return (*out_port)->disk_create((*out_port)->self, job->heap);
}

static struct mr_stream *add_log(struct mr_job *job, const struct mr_log_source_options *options,
                                 uint32_t rate)
{
    const struct mr_port *port;
    struct mr_disk *disk = disk_open(job, &port);
    struct mr_source source = {.ops = NULL};
    struct mr_error err = {.status = MR_OK};
    enum mr_status st;

    st = disk == NULL ? mr_error_nomem(&err, "a disk", 0)
                      : mr_log_source(job->heap, disk, options, &source, &err);
    if (disk != NULL) port->disk_destroy(port->self, disk);
    if (st != MR_OK) {
        mri_job_fail(job, &err);
        return NULL;
    }
    return mri_add_source(job, &source, NULL, options->event_time, rate);
}

struct mr_stream *mr_read_log(struct mr_job *job, const struct mr_read_log_options *options)
{
    struct mr_read_log_options given;
    struct mr_log_source_options inner;
    struct mr_stream *stream;

    if (!mri_job_ok(job)) return NULL;
    if (!mri_options_copy(job, "mr_read_log_options", options,
                          MRI_END_OF(struct mr_read_log_options, last_rows), &given, sizeof given)) {
        return NULL;
    }
    if (given.path == NULL) {
        mri_job_invalid(job, "mr_read_log: no path is given");
        return NULL;
    }
    inner = (struct mr_log_source_options){.path = given.path,
                                           .follow = given.follow,
                                           .event_time = given.event_time,
                                           .one_partition = given.one_partition,
                                           .partition = given.partition,
                                           .from_row = given.from_row,
                                           .last_rows = given.last_rows};
    stream = add_log(job, &inner, given.rate);
    if (stream == NULL || !given.event_time) return stream;
    return mr_assign_event_time(stream, mr_event_time(job), given.delay_us, given.idle_us);
}

static bool has_column(struct mr_job *job, const char *caller, const char *url,
                       const struct mr_schema *schema, const struct mr_field *field)
{
    uint32_t column = mr_schema_find(schema, field->name);
    const char *near;

    if (column != MR_COLUMN_NONE && mr_field_type_equal(&schema->fields[column], field)) return true;
    if (column != MR_COLUMN_NONE) {
        struct mr_text has, wants;

        mr_text_init(&has, job->heap, 256);
        mr_text_init(&wants, job->heap, 256);
        mr_field_type_print(&schema->fields[column], &has);
        mr_field_type_print(field, &wants);
        mri_job_invalid(job, "%s: column '%s' of %s is %s, not %s", caller, field->name, url,
                        mr_text_get(&has), mr_text_get(&wants));
        mr_text_fini(&has);
        mr_text_fini(&wants);
        return false;
    }
    near = mr_schema_suggest(schema, field->name);
    mri_job_invalid(job, "%s: %s has no column '%s'%s%s%s", caller, url, field->name,
                    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?" : "");
    return false;
}

struct mr_stream *mri_read_log_columns(struct mr_job *job, const char *caller, const char *url,
                                       const struct mr_field *fields, uint32_t count,
                                       uint32_t rate)
{
    const struct mr_log_source_options options = {.path = url};
    struct mr_stream *stream = add_log(job, &options, rate), *out = NULL;
    const struct mr_schema *schema;
    struct mr_named *columns;

    if (stream == NULL) return NULL;
    schema = mr_model_schema(job->model, stream->ref);
    columns = mr_alloc_array(job->heap, count, sizeof *columns);
    if (columns == NULL) {
        struct mr_error err;

        (void)mr_error_nomem(&err, "the columns of a topic", count);
        mri_job_fail(job, &err);
        return NULL;
    }
    for (uint32_t i = 0; i < count && mri_job_ok(job); i++) {
        if (!has_column(job, caller, url, schema, &fields[i])) break;
        columns[i] = (struct mr_named){fields[i].name, mr_col(job, fields[i].name)};
    }
    if (mri_job_ok(job)) out = mr_project(stream, columns, count);
    mr_free(job->heap, columns, count * sizeof *columns);
    return out;
}

/* The directory, without scheme and options: what no other sink may write. */
static bool directory_of(const char *url, char *out, size_t out_bytes)
{
    const char *from = url + strlen("log://");
    size_t size = strcspn(from, "?");

    if (size >= out_bytes) return false;
    memcpy(out, from, size);
    out[size] = '\0';
    return true;
}

void mri_write_log(struct mr_stream *in, const char *url)
{
    const struct mr_log_sink_options options = {.path = url};
    struct mr_sink sink = {.ops = NULL};
    struct mr_error err = {.status = MR_OK};
    char path[4096];

    if (!directory_of(url, path, sizeof path)) {
        mri_job_invalid(in->job, "mr_write: the path of the topic is too long");
    } else if (mr_log_sink(in->job->heap, &options, &sink, &err) != MR_OK) {
        mri_job_fail(in->job, &err);
    } else {
        mri_add_sink(in, &sink, NULL, path);
    }
}
