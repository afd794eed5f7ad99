/* csv_source.c - the CSV source: options, plan, finding a record again; see connect.h. */
#include "connect/csv/csv_internal.h"

#include "base/assert.h"
#include "base/status.h"

#include <string.h>

/* ---- plan ---- */

static void forget_plan(struct mri_csv_spec *spec)
{
    mri_files_fini(&spec->files);
    mri_places_fini(&spec->places);
    mr_arena_fini(&spec->plan);
    mr_free(spec->heap, spec->cuts, spec->cut_count * sizeof *spec->cuts);
    spec->cuts = NULL;
    spec->cut_count = 0;
    spec->layouts = NULL;
}

static enum mr_status plan_layouts(struct mri_csv_spec *spec, struct mr_disk *disk,
                                   struct mr_error *err)
{
    uint32_t count = spec->files.count;

    spec->layouts = mr_arena_zero(&spec->plan, MR_MAX(count, 1u) * sizeof *spec->layouts);
    if (spec->layouts == NULL) return mr_error_nomem(err, "the list of input files", count);
    for (uint32_t i = 0; i < count; i++) {
        const struct mri_file *file = &spec->files.files[i];

        if (spec->no_header) {
            spec->layouts[i] =
                (struct mri_csv_layout){.known = true, .field_count = spec->schema->column_count};
        } else if (!file->stream) {
            MR_RET(mri_csv_read_header(spec, disk, file, &spec->layouts[i], err));
        }
    }
    return MR_OK;
}

static enum mr_status csv_plan(void *self, const struct mr_plan_context *context,
                               struct mr_split_list *out, struct mr_error *err)
{
    struct mri_csv_spec *spec = self;

    forget_plan(spec); /* planned again: explain, then run */
    mri_files_init(&spec->files, spec->heap);
    mr_arena_init(&spec->plan, spec->heap);
    MR_RET(mri_files_plan(&spec->files, context->disk, spec->path, err));
    MR_RET(plan_layouts(spec, context->disk, err));
    MR_RET(mri_splits_make(&spec->files, spec->split_bytes, context->streaming, out, err));
    MR_RET(mri_places_init(&spec->places, spec->heap, out->count, err));
    spec->cuts = mr_alloc_array(spec->heap, out->count, sizeof *spec->cuts);
    if (spec->cuts == NULL) return mr_error_nomem(err, "the list of splits", out->count);
    spec->cut_count = out->count;
    return MR_OK;
}

/* ---- finding a record again ---- */

/* The next record into `out` (cut at the longest possible one). *out_end: there was none. */
static enum mr_status read_record(struct mri_place *place, char delimiter, struct mr_text *out,
                                  bool *out_end, struct mr_error *err)
{
    enum mri_csv_state state = MRI_CSV_RECORD;
    int c;

    mr_text_clear(out);
    *out_end = true;
    for (;;) {
        MR_RET(mri_place_byte(place, &c, err));
        if (c < 0) return mr_text_status(out);
        *out_end = false;
        state = mri_csv_step(state, (char)c, delimiter);
        if (state == MRI_CSV_RECORD) return mr_text_status(out);
        if (out->size_bytes < MRI_RECORD_BYTES_MAX) mr_text_add_char(out, (char)c);
    }
}

static void strip_return(struct mr_text *record)
{
    if (record->size_bytes > 0 && record->data[record->size_bytes - 1] == '\r')
        record->size_bytes--;
}

static enum mr_status locate_record(struct mri_csv_spec *spec, const struct mri_csv_layout *layout,
                                    struct mri_place *place, uint64_t row, struct mr_heap *heap,
                                    struct mr_arena *arena, struct mr_reject *out,
                                    struct mr_error *err)
{
    enum mr_status st = MR_OK;
    struct mr_text record;
    bool end = false;
    char *copy;

    mr_text_init(&record, heap, 0);
    for (uint64_t i = 0; i <= row && !end;) {
        out->line = place->line;
        out->offset_bytes = place->offset;
        MR_GOTO(read_record(place, spec->delimiter, &record, &end, err));
        strip_return(&record);
        if (record.size_bytes > 0 || layout->field_count == 1) i++; /* blank lines are no rows */
    }
    copy = mr_arena_alloc(arena, record.size_bytes + 1);
    if (copy == NULL) {
        st = mr_error_nomem(err, "the text of a record", record.size_bytes);
        goto done;
    }
    memcpy(copy, mr_text_get(&record), record.size_bytes);
    out->raw = (struct mr_bytes){copy, record.size_bytes};
done:
    mr_text_fini(&record);
    return st;
}

static enum mr_status csv_locate(void *self, const struct mr_plan_context *context,
                                 const struct mr_split *split, uint64_t offset_bytes, uint64_t row,
                                 struct mr_arena *arena, struct mr_reject *out,
                                 struct mr_error *err)
{
    struct mri_csv_spec *spec = self;
    struct mri_place place;
    enum mr_status st;

    out->split = split;
    MR_GOTO(mri_place_open(&place, &spec->places, &spec->files.files[split->detail], context, split,
                           mri_csv_first_split(spec, split), offset_bytes, err));
    MR_GOTO(locate_record(spec, &spec->layouts[split->detail], &place, row, context->heap, arena,
                          out, err));
done:
    mri_place_close(&place);
    return st;
}

/* ---- description and end ---- */

static void csv_describe(const void *self, struct mr_text *out)
{
    const struct mri_csv_spec *spec = self;
    uint32_t columns = spec->schema->column_count;

    mr_text_format(out, "csv %s, %u column%s", strcmp(spec->path, "-") == 0 ? "stdin" : spec->path,
                   columns, columns == 1 ? "" : "s");
    if (spec->delimiter != ',') {
        mr_text_add(out, ", delimiter ");
        mr_text_add_quoted(out, &spec->delimiter, 1);
    }
    if (spec->no_header) mr_text_add(out, ", no header");
}

static void csv_destroy(void *self)
{
    struct mri_csv_spec *spec = self;

    if (spec == NULL) return;
    forget_plan(spec);
    mr_arena_fini(&spec->options);
    mr_schema_release(spec->schema);
    mr_strfree(spec->heap, spec->path);
    mr_free(spec->heap, spec, sizeof *spec);
}

static const struct mr_source_ops csv_ops = {
    .size = sizeof(struct mr_source_ops),
    .name = "csv",
    .plan = csv_plan,
    .open = mri_csv_open,
    .read = mri_csv_read,
    .progress_bytes = mri_csv_progress,
    .position = mri_csv_position,
    .close = mri_csv_close,
    .locate = csv_locate,
    .describe = csv_describe,
    .destroy = csv_destroy,
};

void mri_csv_source_split_bytes(struct mr_source *source, uint64_t split_bytes)
{
    mr_assert(source->ops == &csv_ops && split_bytes >= 4);
    ((struct mri_csv_spec *)source->spec)->split_bytes = split_bytes;
}

/* ---- making one ---- */

static enum mr_status check_options(const struct mr_csv_options *options, struct mr_error *err)
{
    if (options->path == NULL || options->path[0] == '\0') {
        return mr_error_set(err, MR_E_INVALID, "the path of the CSV source is empty");
    }
    if (options->field_count == 0) {
        return mr_error_set(err, MR_E_INVALID, "the CSV source %s has no columns", options->path);
    }
    if (options->delimiter == '"' || options->delimiter == '\n' || options->delimiter == '\r') {
        return mr_error_set(
            err, MR_E_INVALID,
            "the delimiter of the CSV source %s must not be a quote or the end of a "
            "line",
            options->path);
    }
    for (uint32_t i = 0; i < options->field_count; i++) {
        if (mri_csv_type_supported(options->fields[i].type)) continue;
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "column '%s' of the CSV source %s: %s cannot be read from CSV; read "
                            "text and convert it",
                            options->fields[i].name, options->path,
                            mr_type_name(options->fields[i].type));
    }
    return MR_OK;
}

static bool copy_nulls(struct mri_csv_spec *spec, const struct mr_csv_options *options)
{
    struct mri_csv_nulls *nulls = &spec->nulls;

    nulls->literals =
        mr_arena_alloc(&spec->options, (options->null_literal_count + 1) * sizeof *nulls->literals);
    if (nulls->literals == NULL) return false;
    for (uint32_t i = 0; i < options->null_literal_count; i++) {
        size_t size = strlen(options->null_literals[i]);
        const char *copy;

        if (size == 0) continue; /* the empty field is null anyway */
        copy = mr_arena_strdup(&spec->options, options->null_literals[i]);
        if (copy == NULL) return false;
        nulls->sizes |= UINT64_C(1) << MR_MIN(size, (size_t)63);
        nulls->literals[nulls->count++] = (struct mr_bytes){copy, size};
    }
    return true;
}

enum mr_status mr_csv_source(struct mr_heap *heap, const struct mr_csv_options *options,
                             struct mr_source *out, struct mr_error *err)
{
    enum mr_status st;
    struct mri_csv_spec *spec = NULL;

    MR_GOTO(check_options(options, err));
    spec = mr_alloc_zero(heap, sizeof *spec);
    if (spec == NULL) {
        st = mr_error_nomem(err, "a CSV source", sizeof *spec);
        goto done;
    }
    spec->heap = heap;
    spec->delimiter = options->delimiter != 0 ? options->delimiter : ',';
    spec->no_header = options->no_header;
    spec->split_bytes = MR_SPLIT_BYTES;
    mr_arena_init(&spec->options, heap);
    spec->path = mr_strdup(heap, options->path);
    if (spec->path == NULL || !copy_nulls(spec, options)) {
        st = mr_error_nomem(err, "a CSV source", strlen(options->path));
        goto done;
    }
    MR_GOTO(mr_schema_create(heap, options->fields, options->field_count, &spec->schema, err));
    *out = (struct mr_source){&csv_ops, spec, mr_schema_ref(spec->schema)};
    return MR_OK;
done:
    csv_destroy(spec);
    return st;
}
