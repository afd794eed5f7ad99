/* emitter_array.c - the array form of <millrace/function.h>: functions write into columns.
 *
 * An array batch has all its columns from the start, so that writing cannot fail. It takes the rows
 * of several open/close pairs; its size follows what the function emits: it grows when batches come
 * out full and shrinks when they do not.
 */
#include "exec/emitter_internal.h"

#define CAPACITY_MIN 256u

/* ---- batches ---- */

static bool has_array_form(enum mr_layout layout)
{
    return layout == MR_LAYOUT_I32 || layout == MR_LAYOUT_I64 || layout == MR_LAYOUT_F64 ||
           layout == MR_LAYOUT_VIEW;
}

static enum mr_status check_schema(struct mr_emitter *emitter)
{
    for (uint32_t c = 0; c < emitter->schema->column_count; c++) {
        const struct mr_field *field = &emitter->schema->fields[c];

        if (!has_array_form(mr_type_layout(field->type))) {
            return mri_misuse(emitter,
                              "column %u ('%s') is %s, which has no array form; emit row by row", c,
                              field->name, mr_type_name(field->type));
        }
    }
    return MR_OK;
}

/* About what a batch of so many rows takes, without texts. */
size_t mri_array_bytes(const struct mr_emitter *emitter, uint32_t rows)
{
    size_t bytes = 0;
    uint32_t mask = emitter->group->options.hidden_mask;

    for (uint32_t c = 0; c < emitter->schema->column_count; c++) {
        enum mr_layout layout = mr_type_layout(emitter->schema->fields[c].type);

        bytes += (size_t)mr_layout_bytes(layout) * rows + 64;
    }
    return bytes + mr_bits_count_word(mask) * ((size_t)rows * 8 + 64 + sizeof(struct mr_column));
}

static bool add_hidden(struct mr_batch *batch, enum mr_hidden tag, uint32_t rows)
{
    struct mr_column *column = mr_batch_memory(batch, sizeof *column);

    if (column == NULL) return false;
    *column = (struct mr_column){.type = (uint8_t)mr_hidden_type(tag), .encoding = MR_FLAT};
    column->values = mr_batch_values(batch, mr_type_layout(mr_hidden_type(tag)), rows);
    batch->hidden[tag] = column;
    return column->values != NULL;
}

static bool add_columns(struct mr_emitter *emitter, struct mr_batch *batch, uint32_t rows)
{
    uint32_t mask = emitter->group->options.hidden_mask;

    for (uint32_t c = 0; c < emitter->schema->column_count; c++) {
        const struct mr_field *field = &emitter->schema->fields[c];
        struct mr_column *column = &batch->columns[c];

        column->type = (uint8_t)field->type;
        column->encoding = MR_FLAT;
        column->precision = field->precision;
        column->scale = field->scale;
        column->values = mr_batch_values(batch, mr_type_layout(field->type), rows);
        if (column->values == NULL) return false;
    }
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        if ((mask >> tag & 1) != 0 && !add_hidden(batch, (enum mr_hidden)tag, rows)) return false;
    }
    return true;
}

/* A batch with all columns for `rows` rows, or NULL. */
static struct mr_batch *array_in(struct mr_emitter *emitter, struct mr_quota *quota, uint32_t rows)
{
    struct mr_batch *batch;

    if (quota == NULL) return NULL;
    batch = mr_batch_new(quota, emitter->schema->column_count, mri_array_bytes(emitter, rows));
    if (batch != NULL && add_columns(emitter, batch, rows)) return batch;
    mr_batch_release(batch);
    return NULL;
}

static uint32_t clamp_capacity(const struct mr_emitter *emitter, uint32_t rows)
{
    uint32_t most = emitter->group->options.batch_rows;

    return MR_MIN(most, MR_MAX(rows, CAPACITY_MIN));
}

static enum mr_status array_new(struct mr_emitter *emitter, uint32_t rows_wanted)
{
    uint32_t rows = clamp_capacity(emitter, MR_MAX(rows_wanted, emitter->next_capacity));
    uint32_t columns = emitter->schema->column_count;

    if (emitter->sources == NULL) {
        MR_RET(check_schema(emitter));
        emitter->sources =
            mr_alloc_array(emitter->group->options.heap, columns, sizeof *emitter->sources);
        if (emitter->sources == NULL) return mri_no_memory(emitter);
    }
    memset(emitter->sources, 0, columns * sizeof *emitter->sources);
    if (emitter->overflow_queued == 0) { /* as with rows: see choose_builder */
        emitter->array = array_in(emitter, emitter->group->options.quota, rows);
    }
    emitter->array_overflow = emitter->array == NULL;
    if (emitter->array == NULL)
        emitter->array = array_in(emitter, mri_overflow_quota(emitter), rows);
    if (emitter->array == NULL) return mri_no_memory(emitter);
    emitter->array_capacity = rows;
    emitter->array_used = 0;
    return MR_OK;
}

void mri_array_drop(struct mr_emitter *emitter)
{
    mr_batch_release(emitter->array);
    emitter->array = NULL;
    emitter->array_used = emitter->open_rows = 0;
}

enum mr_status mri_array_publish(struct mr_emitter *emitter)
{
    struct mr_batch *batch = emitter->array;
    uint32_t used = emitter->array_used;

    if (batch == NULL) return MR_OK;
    emitter->array = NULL;
    emitter->array_used = 0;
    emitter->next_capacity =
        used == emitter->array_capacity ? 4 * MR_MIN(used, UINT32_MAX / 4) : used;
    if (used == 0) {
        mr_batch_release(batch);
        return MR_OK;
    }
    batch->row_count = used;
    mri_set_origin(emitter, batch);
    return mri_enqueue(emitter, batch, emitter->array_overflow);
}

/* ---- open and close ---- */

enum mr_status mr_emit_open(struct mr_emitter *out, uint32_t rows_wanted, uint32_t *out_rows)
{
    struct mri_emitter_group *group = out->group;

    *out_rows = 0;
    if (group->options.quota == NULL)
        mri_misuse(out, "mr_emit_open is not for results of aggregates");
    if (out->open_rows > 0) mri_misuse(out, "mr_emit_open twice without mr_emit_close");
    if (rows_wanted == 0) mri_misuse(out, "mr_emit_open for 0 rows");
    if (group->failure != MR_OK) return group->failure;
    MR_RET(mri_builder_publish(out)); /* rows keep their order */
    if (out->array != NULL && out->array_used == out->array_capacity)
        MR_RET(mri_array_publish(out));
    if (out->array == NULL) MR_RET(array_new(out, rows_wanted));
    for (uint32_t c = 0; c < out->schema->column_count; c++) {
        out->sources[c].written = out->sources[c].chosen = false;
    }
    out->times_written = false;
    out->open_rows = MR_MIN(rows_wanted, out->array_capacity - out->array_used);
    *out_rows = out->open_rows;
    return MR_OK;
}

/* Memory that swallows what a misused array is given. */
static void *dummy(struct mr_emitter *emitter)
{
    size_t bytes = (size_t)emitter->group->options.batch_rows * sizeof(struct mr_view);

    if (emitter->dummy == NULL) {
        emitter->dummy = mr_alloc_zero(emitter->group->options.heap, bytes);
        if (emitter->dummy != NULL) emitter->dummy_bytes = bytes;
    }
    return emitter->dummy;
}

/* Where the open rows of a column begin, or NULL after remembering the misuse. */
static char *open_values(struct mr_emitter *emitter, uint32_t column, enum mr_layout layout,
                         const char *what)
{
    const struct mr_field *field;

    if (emitter->open_rows == 0) {
        mri_misuse(emitter, "%s without mr_emit_open", what);
        return NULL;
    }
    if (column >= emitter->schema->column_count) {
        mri_misuse(emitter, "there is no column number %u: the output has %u, counted from 0",
                   column, emitter->schema->column_count);
        return NULL;
    }
    field = &emitter->schema->fields[column];
    if (mr_type_layout(field->type) != layout) {
        mri_misuse(emitter, "column %u ('%s') is %s: %s cannot write it", column, field->name,
                   mr_type_name(field->type), what);
        return NULL;
    }
    emitter->sources[column].written = true;
    return (char *)(uintptr_t)emitter->array->columns[column].values +
           (size_t)emitter->array_used * mr_layout_bytes(layout);
}

int64_t *mr_emit_int64s(struct mr_emitter *out, uint32_t column)
{
    void *values = open_values(out, column, MR_LAYOUT_I64, "mr_emit_int64s");

    return values != NULL ? values : dummy(out);
}

int32_t *mr_emit_int32s(struct mr_emitter *out, uint32_t column)
{
    void *values = open_values(out, column, MR_LAYOUT_I32, "mr_emit_int32s");

    return values != NULL ? values : dummy(out);
}

double *mr_emit_float64s(struct mr_emitter *out, uint32_t column)
{
    void *values = open_values(out, column, MR_LAYOUT_F64, "mr_emit_float64s");

    return values != NULL ? values : dummy(out);
}

int64_t *mr_emit_times(struct mr_emitter *out)
{
    const struct mr_column *times;

    if (out->open_rows == 0) {
        mri_misuse(out, "mr_emit_times without mr_emit_open");
        return dummy(out);
    }
    out->times_written = true;
    times = out->array->hidden[MR_HIDDEN_EVENT_TIME];
    if (times == NULL) return dummy(out); /* nobody needs them */
    return (int64_t *)(uintptr_t)times->values + out->array_used;
}

/* ---- texts of the input ---- */

/* Puts the buffers of another input column behind those that the output column has already. */
static bool add_buffers(struct mr_batch *array, struct mr_column *column,
                        const struct mr_column *from)
{
    uint32_t count = column->buffer_count + from->buffer_count;
    const char **buffers = mr_batch_memory(array, MR_MAX(count, 1u) * sizeof *buffers);

    if (buffers == NULL) return false;
    for (uint32_t i = 0; i < column->buffer_count; i++) buffers[i] = column->buffers[i];
    for (uint32_t i = 0; i < from->buffer_count; i++) {
        buffers[column->buffer_count + i] = from->buffers[i];
    }
    column->buffers = buffers;
    column->buffer_count = count;
    return true;
}

/* The number of `input_column` among the sources of `column`, made when missing. False: the misuse
 * or lack of memory is remembered. */
static bool use_source(struct mr_emitter *emitter, uint32_t column, uint32_t input_column)
{
    struct mri_text_sources *sources = &emitter->sources[column];
    struct mr_column *target = &emitter->array->columns[column];
    const struct mr_column *from = &emitter->group->input->columns[input_column];
    uint32_t at = 0;

    while (at < sources->count && sources->column[at] != input_column) at++;
    if (sources->chosen && sources->open != at) {
        mri_misuse(emitter,
                   "column %u takes texts of two input columns between mr_emit_open and "
                   "mr_emit_close",
                   column);
        return false;
    }
    sources->open = at;
    sources->chosen = true;
    if (at < sources->count) return true;
    if (at == MRI_TEXT_SOURCES_MAX) {
        mri_misuse(emitter, "column %u takes texts of more than %u input columns", column,
                   MRI_TEXT_SOURCES_MAX);
        return false;
    }
    sources->first_buffer[at] = target->buffer_count;
    sources->buffer_count[at] = from->buffer_count;
    if (at == 0) {
        target->buffers = from->buffers; /* borrowed with the input */
        target->buffer_count = from->buffer_count;
    } else if (!add_buffers(emitter->array, target, from)) {
        (void)mri_no_memory(emitter);
        return false;
    }
    sources->column[at] = input_column;
    sources->count = at + 1;
    return true;
}

/* An input column of texts that `column` may take, or the misuse is remembered. */
static bool check_source(struct mr_emitter *emitter, uint32_t column, const struct mr_batch *input,
                         uint32_t input_column)
{
    const struct mr_field *field = &emitter->schema->fields[column];
    const struct mr_column *from;

    if (input == NULL || input != emitter->group->input || input_column >= input->column_count) {
        mri_misuse(emitter,
                   "mr_emit_texts_of for column %u ('%s'): not a column of the batch that "
                   "the function was given",
                   column, field->name);
        return false;
    }
    from = &input->columns[input_column];
    if (mr_type_layout((enum mr_type)from->type) != MR_LAYOUT_VIEW || from->encoding != MR_FLAT) {
        mri_misuse(emitter,
                   "mr_emit_texts_of for column %u ('%s'): input column %u is no array of "
                   "texts",
                   column, field->name, input_column);
        return false;
    }
    if (field->type == MR_UTF8 && from->type != MR_UTF8) {
        mri_misuse(emitter, "column %u ('%s') is utf8 and cannot take texts of a binary column",
                   column, field->name);
        return false;
    }
    return true;
}

/* A view that the function does not write is an empty text. Each is emptied once, however often it
 * is lent out. */
static void clean_views(struct mr_emitter *emitter, uint32_t column)
{
    struct mri_text_sources *sources = &emitter->sources[column];
    uint32_t end = emitter->array_used + emitter->open_rows;
    struct mr_view *views =
        (struct mr_view *)(uintptr_t)emitter->array->columns[column].values;

    if (sources->clean_rows >= end) return;
    mri_views_empty(&views[sources->clean_rows], end - sources->clean_rows);
    sources->clean_rows = end;
}

struct mr_view *mr_emit_texts_of(struct mr_emitter *out, uint32_t column,
                                 const struct mr_batch *input, uint32_t input_column)
{
    void *values = open_values(out, column, MR_LAYOUT_VIEW, "mr_emit_texts_of");

    if (values == NULL || !check_source(out, column, input, input_column)) return dummy(out);
    if (!mr_batch_borrow(out->array, out->group->input)) MR_UNREACHABLE(); /* the only one */
    if (!use_source(out, column, input_column)) return dummy(out);
    clean_views(out, column);
    return values;
}

/* ---- close ---- */

static void tell_bad_view(struct mr_emitter *emitter, uint32_t column, uint32_t at,
                          const struct mr_view *view, uint32_t buffer_count)
{
    const char *name = emitter->schema->fields[column].name;

    if (view->size_bytes <= MR_VIEW_INLINE) {
        mri_misuse(emitter,
                   "column %u ('%s'): view %u has bytes other than 0 behind its text; make views "
                   "with mr_view_make",
                   column, name, at);
    } else if (view->u.far.buffer >= buffer_count) {
        mri_misuse(emitter, "column %u ('%s'): view %u is in buffer %u, the input column has %u",
                   column, name, at, view->u.far.buffer, buffer_count);
    } else {
        mri_misuse(emitter, "column %u ('%s'): view %u has %u bytes, a text has at most %zu",
                   column, name, at, view->size_bytes, (size_t)MR_TEXT_BYTES_MAX);
    }
}

/* Where a buffer ends is not known here: the bytes of a far view are the function's word. */
static void check_views(struct mr_emitter *emitter, uint32_t column, uint32_t rows)
{
    const struct mri_text_sources *sources = &emitter->sources[column];
    uint32_t buffer_count = sources->count > 0 ? sources->buffer_count[sources->open] : 0;
    const struct mr_view *views =
        (const struct mr_view *)emitter->array->columns[column].values + emitter->array_used;
    uint32_t bad = mri_views_check(views, rows, buffer_count);

    if (bad < rows) tell_bad_view(emitter, column, bad, &views[bad], buffer_count);
}

static void check_texts(struct mr_emitter *emitter, uint32_t rows)
{
    for (uint32_t c = 0; c < emitter->schema->column_count; c++) {
        if (mr_type_layout(emitter->schema->fields[c].type) != MR_LAYOUT_VIEW) continue;
        check_views(emitter, c, rows);
    }
}

/* Far views count from where their source's buffers begin. */
static void place_views(struct mr_emitter *emitter, uint32_t column, uint32_t rows)
{
    const struct mri_text_sources *sources = &emitter->sources[column];
    uint32_t first = sources->count > 0 ? sources->first_buffer[sources->open] : 0;
    struct mr_view *views =
        (struct mr_view *)(uintptr_t)emitter->array->columns[column].values + emitter->array_used;

    if (first == 0) return;
    for (uint32_t i = 0; i < rows; i++) {
        if (views[i].size_bytes > MR_VIEW_INLINE) views[i].u.far.buffer += first;
    }
}

static void fill_int(const struct mr_column *column, uint32_t at, uint32_t rows, int64_t value)
{
    char *values = (char *)(uintptr_t)column->values;
    uint32_t bytes = mr_layout_bytes(mr_type_layout((enum mr_type)column->type));

    for (uint32_t i = 0; i < rows; i++) { /* little endian: the low bytes are the narrow value */
        memcpy(values + (size_t)(at + i) * bytes, &value, bytes);
    }
}

/* Hidden columns that the function does not write itself. */
static void fill_hidden(struct mr_emitter *emitter, uint32_t rows)
{
    uint32_t mask = emitter->group->options.hidden_mask;

    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        if ((mask >> tag & 1) == 0) continue;
        if (tag == MR_HIDDEN_EVENT_TIME && emitter->times_written) continue;
        fill_int(emitter->array->hidden[tag], emitter->array_used, rows,
                 mri_emitted_hidden(emitter, (enum mr_hidden)tag));
    }
}

static void check_written(struct mr_emitter *emitter)
{
    const struct mri_emitter_group *group = emitter->group;
    bool timed = (group->options.hidden_mask >> MR_HIDDEN_EVENT_TIME & 1) != 0;

    for (uint32_t c = 0; c < emitter->schema->column_count; c++) {
        if (emitter->sources[c].written) continue;
        mri_misuse(emitter, "column %u ('%s') was not written before mr_emit_close", c,
                   emitter->schema->fields[c].name);
    }
    if (timed && !emitter->times_written && group->row == MR_EMITTER_NO_ROW) {
        mri_misuse(emitter, "the stream has event times: mr_emit_times must be written too");
    }
}

enum mr_status mr_emit_close(struct mr_emitter *out, uint32_t rows)
{
    struct mri_emitter_group *group = out->group;
    uint32_t room = out->open_rows;

    out->open_rows = 0;
    if (room == 0) mri_misuse(out, "mr_emit_close without mr_emit_open");
    if (rows > room) mri_misuse(out, "mr_emit_close with %u rows, %u were open", rows, room);
    if (group->failure == MR_OK && rows > 0) check_written(out);
    if (group->failure == MR_OK && rows > 0) check_texts(out, rows);
    if (group->failure != MR_OK || rows == 0) return group->failure;
    for (uint32_t c = 0; c < out->schema->column_count; c++) place_views(out, c, rows);
    fill_hidden(out, rows);
    if (!mri_note_origin(out, out->array_used, rows)) return mri_no_memory(out);
    out->array_used += rows;
    group->emitted_rows += rows;
    return out->array_used == out->array_capacity ? mri_array_publish(out) : MR_OK;
}

/* ---- UTF-8 ---- */

/* Bytes of the character at data[0], or 0 (RFC 3629: no surrogates, nothing overlong). */
static size_t utf8_character(const unsigned char *data, size_t size_bytes)
{
    unsigned char lead = data[0];
    size_t bytes = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (bytes == 0 || lead > 0xf4 || bytes > size_bytes) return 0;
    for (size_t i = 1; i < bytes; i++) {
        if ((data[i] & 0xc0) != 0x80) return 0;
    }
    if (lead == 0xe0 && data[1] < 0xa0) return 0;
    if (lead == 0xed && data[1] > 0x9f) return 0;
    if (lead == 0xf0 && data[1] < 0x90) return 0;
    if (lead == 0xf4 && data[1] > 0x8f) return 0;
    return bytes;
}

bool mri_is_utf8(const char *data, size_t size_bytes)
{
    const unsigned char *bytes = (const unsigned char *)data;
    size_t at = 0;

    while (at < size_bytes) {
        uint64_t word;

        if (size_bytes - at >= 8) {
            memcpy(&word, bytes + at, 8);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += 8;
                continue;
            }
        }
        size_t step = utf8_character(bytes + at, size_bytes - at);
        if (step == 0) return false;
        at += step;
    }
    return true;
}
