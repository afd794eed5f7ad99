/* format_sink.c - rows as text to a stream, a file or a directory of parts; see connect.h. */
#include "base/assert.h"
#include "base/status.h"
#include "base/text.h"
#include "connect/connect.h"
#include "connect/file/output.h"
#include "connect/format/format_internal.h"

#include <string.h>

struct format_spec {
    struct mr_heap *heap;
    char *path; /* NULL: standard output */
    enum mr_text_format format;
    uint32_t number; /* of the sink */
};

struct format_writer {
    struct format_spec *spec;
    struct mr_heap *heap;
    const struct mr_schema *schema;
    enum mr_text_format format; /* not AUTO */
    struct mri_output output;
    struct mri_table table;
    struct mr_buffer keys; /* NDJSON: `{"name":`, `,"name":`, one after the other */
    uint32_t *key_ends;    /* per column */
    bool head_written;
    bool ended; /* everything that has to be said was appended */
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
    MR_GOTO(mri_output_open(&writer->output, context->heap, context->disk, mr_text_get(&name),
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
    mri_output_close(&writer->output);
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
    if (is_directory(writer->spec->path)) {
        MR_GOTO(open_part(writer, context, err));
    } else {
        MR_GOTO(mri_output_open(&writer->output, context->heap, context->disk, writer->spec->path,
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
    return writer->format != MR_FORMAT_CSV || put_csv_head(writer, &writer->output.fill);
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
    struct mr_buffer *out = &writer->output.fill;

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

    MR_RET(mri_output_push(&writer->output, all, &blocked, err));
    *out_flow = blocked ? MR_SINK_BLOCKED : MR_SINK_READY;
    return MR_OK;
}

static enum mr_status format_write(void *self, const struct mr_batch *batch,
                                   enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct format_writer *writer = self;
    enum mr_sink_flow ignored;

    mr_assert(batch->column_count == writer->schema->column_count);
    MR_RET(push(writer, false, out_flow, err));
    if (*out_flow == MR_SINK_BLOCKED) return MR_OK;
    if (!put_head(writer)) return nomem(err);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (!put_row(writer, batch, mr_batch_at(batch, row))) return nomem(err);
        /* What one batch becomes is bounded; still no more of it is kept than must be. */
        if (writer->output.fill.size_bytes >= MRI_OUTPUT_BYTES &&
            !mri_output_blocked(&writer->output)) {
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
        if (!mri_table_start(&writer->table, &writer->output.fill)) return nomem(err);
    }
    return push(writer, true, out_flow, err);
}

static enum mr_status format_finish(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct format_writer *writer = self;
    bool blocked;

    if (!writer->ended) {
        writer->ended = true;
        if (!put_head(writer)) return nomem(err);
        if (writer->format == MR_FORMAT_TABLE &&
            !mri_table_end(&writer->table, &writer->output.fill)) {
            return nomem(err);
        }
    }
    MR_RET(mri_output_finish(&writer->output, &blocked, err));
    *out_flow = blocked ? MR_SINK_BLOCKED : MR_SINK_READY;
    return MR_OK;
}

static enum mr_status format_commit(void *self, struct mr_error *err)
{
    struct format_writer *writer = self;

    return mri_output_commit(&writer->output, err);
}

static void format_abort(void *self)
{
    struct format_writer *writer = self;

    mri_output_close(&writer->output);
}

static uint64_t format_bytes(const void *self)
{
    const struct format_writer *writer = self;

    return writer->output.written_bytes;
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
    mr_strfree(spec->heap, spec->path);
    mr_free(spec->heap, spec, sizeof *spec);
}

#define FORMAT_OPS(one)                                                            \
    {                                                                              \
        .size = sizeof(struct mr_sink_ops), .name = "text", .one_writer = one,     \
        .open = format_open, .write = format_write, .flush = format_flush,         \
        .finish = format_finish, .commit = format_commit, .abort = format_abort,   \
        .bytes = format_bytes, .close = format_close, .describe = format_describe, \
        .destroy = format_destroy,                                                 \
    }
static const struct mr_sink_ops one_ops = FORMAT_OPS(true);
static const struct mr_sink_ops parts_ops = FORMAT_OPS(false);

enum mr_status mr_format_sink(struct mr_heap *heap, const struct mr_format_options *options,
                              struct mr_sink *out, struct mr_error *err)
{
    struct format_spec *spec = mr_alloc_zero(heap, sizeof *spec);

    if (spec == NULL) return nomem(err);
    spec->heap = heap;
    spec->format = options->format;
    spec->number = options->number;
    if (options->path != NULL && strcmp(options->path, "-") != 0) {
        spec->path = mr_strdup(heap, options->path);
        if (spec->path == NULL) {
            format_destroy(spec);
            return nomem(err);
        }
    }
    if (spec->path != NULL && spec->path[0] == '\0') {
        format_destroy(spec);
        return mr_error_set(err, MR_E_INVALID, "the path of the output is empty");
    }
    *out = (struct mr_sink){is_directory(spec->path) ? &parts_ops : &one_ops, spec};
    return MR_OK;
}
