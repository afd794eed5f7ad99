/* format_sink.c - rows as text to a stream, a file or a directory of parts; see connect.h. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/text.h"
#include "connect/connect.h"
#include "connect/file/output.h"
#include "connect/file/parts.h"
#include "connect/format/format_internal.h"

#include <string.h>

struct format_spec {
    struct mr_heap *heap;
    char *path; /* NULL: standard output */
    enum mr_text_format format;
    uint32_t number; /* of the sink */
    bool stream;
    struct mri_place place; /* with epochs; of the spec's own path */
};

#define ROLL_BYTES ((uint64_t)128 * 1024 * 1024)
#define ROLL_US    ((int64_t)60 * 1000000)

struct format_writer {
    struct format_spec *spec;
    struct mr_heap *heap;
    const struct mr_schema *schema;
    enum mr_text_format format; /* not AUTO */
    bool epochs;
    struct mri_output own;     /* without epochs */
    struct mri_parts parts;    /* with */
    struct mri_output *output; /* that rows go to: one of both */
    struct mri_table table;
    struct mr_buffer keys; /* NDJSON: `{"name":`, `,"name":`, one after the other */
    uint32_t *key_ends;    /* per column */
    bool head_written;
    bool ended;       /* everything that has to be said was appended */
    bool head_wanted; /* there are no rows, and a file all the same */
};

/* ---- open ---- */

static bool is_directory(const char *path)
{
    return path != NULL && path[0] != '\0' && path[strlen(path) - 1] == '/';
}

static const char *extension_of(enum mr_text_format format)
{
    switch (format) {
    case MR_FORMAT_TABLE: return "txt";
    case MR_FORMAT_NDJSON: return "ndjson";
    case MR_FORMAT_AUTO:
    case MR_FORMAT_CSV: break;
    }
    return "csv";
}

static enum mr_status refuse_files(struct mr_disk *disk, const char *path, struct mr_error *err)
{
    enum mr_status st;
    struct mr_disk_request list = {.op = MR_DISK_LIST, .path = path};

    MR_GOTO(mr_disk_do(disk, &list, err));
    for (uint32_t i = 0; i < list.name_count; i++) {
        if (list.names[i][0] == '.') continue;
        st = mr_error_set(
            err, MR_E_INVALID,
            "%s has files already (such as %s); choose another directory or remove them", path,
            list.names[i]);
        goto done;
    }
done:
    disk->names_free(disk, &list);
    return st;
}

/* "dir/" -> "dir/part-00002.csv" */
static enum mr_status open_part(struct format_writer *writer,
                                const struct mr_writer_context *context, struct mr_error *err)
{
    enum mr_status st;
    const char *path = writer->spec->path;
    struct mr_disk_request make = {.op = MR_DISK_MKDIR, .path = path};
    struct mr_text name;

    mr_text_init(&name, context->heap, 0);
    MR_GOTO(mr_disk_do(context->disk, &make, err));
    MR_GOTO(refuse_files(context->disk, path, err));
    mr_text_format(&name, "%spart-%05u.%s", path, context->instance, extension_of(writer->format));
    st = mr_text_status(&name);
    if (st != MR_OK) {
        st = mr_error_nomem(err, path, strlen(path));
        goto done;
    }
    MR_GOTO(mri_output_open(&writer->own, context->heap, context->disk, mr_text_get(&name),
                            writer->spec->number, context->instance, err));
done:
    mr_text_fini(&name);
    return st;
}

/* A person gets a table, a program CSV. */
static enum mr_status choose_format(struct format_writer *writer, struct mr_disk *disk,
                                    struct mr_error *err)
{
    struct mr_disk_request info = {.op = MR_DISK_INFO, .file = MR_FILE_STDOUT};

    writer->format = writer->spec->format;
    if (writer->format != MR_FORMAT_AUTO) return MR_OK;
    writer->format = MR_FORMAT_CSV;
    if (writer->spec->path != NULL) return MR_OK;
    MR_RET(mr_disk_do(disk, &info, err));
    if (info.info.kind == MR_FILE_TERMINAL) writer->format = MR_FORMAT_TABLE;
    return MR_OK;
}

static bool make_keys(struct format_writer *writer)
{
    const struct mr_schema *schema = writer->schema;

    writer->key_ends = mr_alloc_array(writer->heap, schema->column_count, sizeof(uint32_t));
    if (writer->key_ends == NULL) return false;
    for (uint32_t c = 0; c < schema->column_count; c++) {
        const char *name = schema->fields[c].name;

        if (!mr_buffer_put(&writer->keys, c == 0 ? "{" : ",", 1)) return false;
        if (!mri_format_json(&writer->keys, name, strlen(name))) return false;
        if (!mr_buffer_put(&writer->keys, ":", 1)) return false;
        writer->key_ends[c] = (uint32_t)writer->keys.size_bytes;
    }
    return true;
}

static void format_close(void *self)
{
    struct format_writer *writer = self;

    if (writer == NULL) return;
    mri_output_close(&writer->own);
    mri_parts_close(&writer->parts);
    mri_table_fini(&writer->table);
    mr_buffer_fini(&writer->keys);
    if (writer->key_ends != NULL) {
        mr_free(writer->heap, writer->key_ends, writer->schema->column_count * sizeof(uint32_t));
    }
    mr_free(writer->heap, writer, sizeof *writer);
}

static enum mr_status nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "the text output", 0);
}

static enum mr_status format_open(void *self, const struct mr_writer_context *context, void **out,
                                  struct mr_error *err)
{
    enum mr_status st;
    struct format_writer *writer = mr_alloc_zero(context->heap, sizeof *writer);
    bool memory = true;

    if (writer == NULL) return nomem(err);
    writer->spec = self;
    writer->heap = context->heap;
    writer->schema = context->schema;
    writer->epochs = context->fence != 0;
    writer->output = writer->epochs ? &writer->parts.output : &writer->own;
    mr_buffer_init(&writer->keys, context->heap);
    MR_GOTO(choose_format(writer, context->disk, err));
    if (writer->format == MR_FORMAT_TABLE) {
        memory = mri_table_init(&writer->table, context->heap, context->schema);
    } else if (writer->format == MR_FORMAT_NDJSON) {
        memory = make_keys(writer);
    }
    if (!memory) {
        st = nomem(err);
        goto done;
    }
    if (writer->epochs) {
        MR_GOTO(mri_parts_init(&writer->parts, &writer->spec->place, context, err));
    } else if (is_directory(writer->spec->path)) {
        MR_GOTO(open_part(writer, context, err));
    } else {
        MR_GOTO(mri_output_open(&writer->own, context->heap, context->disk, writer->spec->path,
                                writer->spec->number, context->instance, err));
    }
    *out = writer;
    return MR_OK;
done:
    format_close(writer);
    return st;
}

/* ---- rows ---- */

static bool put_csv_head(struct format_writer *writer, struct mr_buffer *out)
{
    for (uint32_t c = 0; c < writer->schema->column_count; c++) {
        const char *name = writer->schema->fields[c].name;

        if (c > 0 && !mr_buffer_put(out, ",", 1)) return false;
        if (!mri_format_csv(out, name, strlen(name))) return false;
    }
    return mr_buffer_put(out, "\n", 1);
}

static bool put_head(struct format_writer *writer)
{
    if (writer->head_written) return true;
    writer->head_written = true;
    return writer->format != MR_FORMAT_CSV || put_csv_head(writer, &writer->output->fill);
}

static bool put_csv_row(struct format_writer *writer, const struct mr_batch *batch,
                        uint32_t element, struct mr_buffer *out)
{
    for (uint32_t c = 0; c < writer->schema->column_count; c++) {
        if (c > 0 && !mr_buffer_put(out, ",", 1)) return false;
        if (!mri_format_value(out, &batch->columns[c], element, MR_FORMAT_CSV)) return false;
    }
    return mr_buffer_put(out, "\n", 1);
}

static bool put_json_row(struct format_writer *writer, const struct mr_batch *batch,
                         uint32_t element, struct mr_buffer *out)
{
    uint32_t begin = 0;

    for (uint32_t c = 0; c < writer->schema->column_count; c++) {
        uint32_t end = writer->key_ends[c];

        if (!mr_buffer_put(out, writer->keys.data + begin, end - begin)) return false;
        if (!mri_format_value(out, &batch->columns[c], element, MR_FORMAT_NDJSON)) return false;
        begin = end;
    }
    return mr_buffer_put(out, "}\n", 2);
}

static bool put_row(struct format_writer *writer, const struct mr_batch *batch, uint32_t element)
{
    struct mr_buffer *out = &writer->output->fill;

    switch (writer->format) {
    case MR_FORMAT_TABLE: return mri_table_row(&writer->table, batch, element, out);
    case MR_FORMAT_NDJSON: return put_json_row(writer, batch, element, out);
    case MR_FORMAT_AUTO:
    case MR_FORMAT_CSV: break;
    }
    return put_csv_row(writer, batch, element, out);
}

static enum mr_status push(struct format_writer *writer, bool all, enum mr_sink_flow *out_flow,
                           struct mr_error *err)
{
    bool blocked;

    MR_RET(writer->epochs ? mri_parts_push(&writer->parts, all, &blocked, err)
                          : mri_output_push(&writer->own, all, &blocked, err));
    *out_flow = blocked ? MR_SINK_BLOCKED : MR_SINK_READY;
    return MR_OK;
}

/* With epochs a file is made when there is something to write. */
static enum mr_status make_ready(struct format_writer *writer, enum mr_sink_flow *out_flow,
                                 struct mr_error *err)
{
    bool blocked, head;

    *out_flow = MR_SINK_READY;
    if (!writer->epochs) return MR_OK;
    MR_RET(mri_parts_ready(&writer->parts, &blocked, &head, err));
    if (blocked) *out_flow = MR_SINK_BLOCKED;
    if (!blocked) writer->head_written = writer->head_written ? !head : writer->parts.resumed;
    return MR_OK;
}

static enum mr_status format_write(void *self, const struct mr_batch *batch,
                                   enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct format_writer *writer = self;
    enum mr_sink_flow ignored;

    mr_assert(batch->column_count == writer->schema->column_count);
    MR_RET(make_ready(writer, out_flow, err));
    if (*out_flow == MR_SINK_BLOCKED) return MR_OK;
    MR_RET(push(writer, false, out_flow, err));
    if (*out_flow == MR_SINK_BLOCKED) return MR_OK;
    if (!put_head(writer)) return nomem(err);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (!put_row(writer, batch, mr_batch_at(batch, row))) return nomem(err);
        /* What one batch becomes is bounded; still no more of it is kept than must be. */
        if (writer->output->fill.size_bytes >= MRI_OUTPUT_BYTES &&
            !mri_output_blocked(writer->output)) {
            MR_RET(push(writer, false, &ignored, err));
        }
    }
    return MR_OK;
}

static enum mr_status format_flush(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct format_writer *writer = self;

    /* Somebody is waiting for the rows so far: no more of them will decide the widths. */
    if (writer->format == MR_FORMAT_TABLE && writer->table.rows > 0 && !writer->ended) {
        if (!mri_table_start(&writer->table, &writer->output->fill)) return nomem(err);
    }
    return push(writer, true, out_flow, err);
}

static enum mr_status finish_parts(struct format_writer *writer, bool *out_blocked,
                                   struct mr_error *err)
{
    bool head;

    *out_blocked = false;
    if (mri_parts_needs_file(&writer->parts)) writer->head_wanted = true;
    if (writer->head_wanted) {
        MR_RET(mri_parts_ready(&writer->parts, out_blocked, &head, err));
        if (*out_blocked) return MR_OK;
        writer->head_wanted = false;
        writer->head_written = false;
        if (!put_head(writer)) return nomem(err);
    }
    return mri_parts_finish(&writer->parts, out_blocked, err);
}

static enum mr_status finish_own(struct format_writer *writer, bool *out_blocked,
                                 struct mr_error *err)
{
    if (!writer->ended) {
        writer->ended = true;
        if (!put_head(writer)) return nomem(err);
        if (writer->format == MR_FORMAT_TABLE &&
            !mri_table_end(&writer->table, &writer->own.fill)) {
            return nomem(err);
        }
    }
    return mri_output_finish(&writer->own, out_blocked, err);
}

static enum mr_status format_finish(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct format_writer *writer = self;
    bool blocked;

    MR_RET(writer->epochs ? finish_parts(writer, &blocked, err)
                          : finish_own(writer, &blocked, err));
    *out_flow = blocked ? MR_SINK_BLOCKED : MR_SINK_READY;
    return MR_OK;
}

static enum mr_status format_commit(void *self, struct mr_error *err)
{
    struct format_writer *writer = self;

    if (writer->epochs) return mri_parts_commit(&writer->parts, err);
    return mri_output_commit(&writer->own, err);
}

/* With epochs what is there belongs to the next attempt. */
static void format_abort(void *self)
{
    struct format_writer *writer = self;

    mri_output_close(&writer->own);
    mri_parts_close(&writer->parts);
}

/* ---- epochs ---- */

static bool format_transactional(const void *self)
{
    const struct format_spec *spec = self;

    return spec->path != NULL && !spec->stream;
}

static enum mr_status format_prepare(void *self, uint64_t epoch, struct mr_buffer *out,
                                     enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct format_writer *writer = self;
    bool blocked;

    if (!writer->epochs) return push(writer, true, out_flow, err);
    MR_RET(mri_parts_prepare(&writer->parts, epoch, out, &blocked, err));
    *out_flow = blocked ? MR_SINK_BLOCKED : MR_SINK_READY;
    return MR_OK;
}

static enum mr_status format_commit_epoch(void *self, uint64_t epoch, enum mr_sink_flow *out_flow,
                                          struct mr_error *err)
{
    struct format_writer *writer = self;
    bool blocked = false;

    if (writer->epochs) MR_RET(mri_parts_commit_epoch(&writer->parts, epoch, &blocked, err));
    *out_flow = blocked ? MR_SINK_BLOCKED : MR_SINK_READY;
    return MR_OK;
}

/* Files of different columns must not be continued by one another. */
static uint64_t layout_of(const struct mr_schema *schema)
{
    uint64_t hash = mr_hash_int64(schema->column_count);

    for (uint32_t c = 0; c < schema->column_count; c++) {
        const struct mr_field *field = &schema->fields[c];

        hash = mr_hash_combine(hash, mr_hash_bytes(field->name, strlen(field->name)));
        hash = mr_hash_combine(hash, mr_hash_int64((int64_t)field->type));
    }
    return hash;
}

static enum mr_status format_recover(void *self, const struct mr_recover_context *context,
                                     struct mr_error *err)
{
    struct format_spec *spec = self;

    if (spec->format == MR_FORMAT_TABLE) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "%s: a table cannot be gone on with after a failure; choose the output "
                            "format csv or ndjson for a job with a state directory",
                            spec->path);
    }
    return mri_place_recover(&spec->place, context, layout_of(context->schema), err);
}

static uint64_t format_bytes(const void *self)
{
    const struct format_writer *writer = self;

    if (writer->epochs) return mri_parts_bytes(&writer->parts);
    return writer->own.written_bytes;
}

/* ---- the spec ---- */

static const char *format_name(enum mr_text_format format)
{
    switch (format) {
    case MR_FORMAT_AUTO: return "text";
    case MR_FORMAT_TABLE: return "table";
    case MR_FORMAT_CSV: return "csv";
    case MR_FORMAT_NDJSON: return "ndjson";
    }
    return "text";
}

static void format_describe(const void *self, struct mr_text *out)
{
    const struct format_spec *spec = self;

    mr_text_format(out, "%s to %s", format_name(spec->format),
                   spec->path != NULL ? spec->path : "stdout");
}

static void format_destroy(void *self)
{
    struct format_spec *spec = self;

    if (spec == NULL) return;
    mri_place_fini(&spec->place);
    mr_strfree(spec->heap, spec->path);
    mr_free(spec->heap, spec, sizeof *spec);
}

#define FORMAT_OPS(one)                                                                        \
    {                                                                                          \
        .size = sizeof(struct mr_sink_ops), .name = "text", .one_writer = one,                 \
        .open = format_open, .write = format_write, .flush = format_flush,                     \
        .finish = format_finish, .commit = format_commit, .abort = format_abort,               \
        .transactional = format_transactional, .prepare = format_prepare,                      \
        .commit_epoch = format_commit_epoch, .recover = format_recover, .bytes = format_bytes, \
        .close = format_close, .describe = format_describe, .destroy = format_destroy,         \
    }
static const struct mr_sink_ops one_ops = FORMAT_OPS(true);
static const struct mr_sink_ops parts_ops = FORMAT_OPS(false);

static enum mr_status make_place(struct format_spec *spec, const struct mr_format_options *options,
                                 struct mr_error *err)
{
    enum mr_text_format format = spec->format != MR_FORMAT_AUTO ? spec->format : MR_FORMAT_CSV;

    if (spec->path == NULL) return MR_OK;
    MR_RET(mri_place_init(&spec->place, spec->heap, spec->path, err));
    spec->place.extension = extension_of(format);
    spec->place.sink = spec->number;
    spec->place.format = (uint32_t)format;
    spec->place.roll_bytes = options->roll_bytes != 0 ? options->roll_bytes : ROLL_BYTES;
    spec->place.roll_us = options->roll_us != 0 ? options->roll_us : ROLL_US;
    return MR_OK;
}

enum mr_status mr_format_sink(struct mr_heap *heap, const struct mr_format_options *options,
                              struct mr_sink *out, struct mr_error *err)
{
    struct format_spec *spec;
    bool standard = options->path == NULL || strcmp(options->path, "-") == 0;
    enum mr_status st;

    if (!standard && options->path[0] == '\0') {
        return mr_error_set(err, MR_E_INVALID, "the path of the output is empty");
    }
    spec = mr_alloc_zero(heap, sizeof *spec);
    if (spec == NULL) return nomem(err);
    spec->heap = heap;
    spec->format = options->format;
    spec->number = options->number;
    spec->stream = options->stream || (!standard && strncmp(options->path, "/dev/", 5) == 0);
    if (!standard) spec->path = mr_strdup(heap, options->path);
    st = !standard && spec->path == NULL ? nomem(err) : make_place(spec, options, err);
    if (st != MR_OK) {
        format_destroy(spec);
        return st;
    }
    *out = (struct mr_sink){is_directory(spec->path) ? &parts_ops : &one_ops, spec};
    return MR_OK;
}
