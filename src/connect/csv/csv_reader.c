/* csv_reader.c - reads one split: chunk, index, windows of records, batch.
 *
 * A read call makes at most one batch. The chunk's separators are indexed a few thousand at a time;
 * the whole records among them form a window; each wanted column of the window is converted in a
 * loop of its own. Records that are wrong in themselves (number of fields, quotes, length) are
 * sorted out before, values that do not fit their type after the conversion. All of a window's bad
 * records are then rejected in the order of the file.
 */
#include "connect/csv/csv_internal.h"

#include "base/assert.h"
#include "base/bitset.h"
#include "base/status.h"

#include <string.h>

#define WINDOW_ROWS      1024u
#define TAIL_READ_BYTES  ((size_t)16 * 1024) /* behind a split's end, to finish its last record */
#define REASON_BYTES_MAX ((size_t)400)

enum phase {
    PHASE_PREPASS, /* the state at the beginning of the split is not known yet */
    PHASE_BEGIN,   /* byte order mark, header */
    PHASE_RECORDS,
    PHASE_DONE
};

/* A record that is wrong in itself. */
struct bad_record {
    uint32_t ordinal; /* among the records of the window */
    uint32_t begin;
    uint32_t end;
    uint32_t fields;
    enum mri_csv_fault fault;
};

struct csv_reader {
    struct mri_csv_spec *spec;
    const struct mr_split *split;
    const struct mri_file *file;
    struct mr_reader_context context;
    struct mri_input input;
    struct mri_chunk chunk;
    struct mri_resume resume;
    struct mri_csv_index index;
    struct mri_csv_prepass prepass;
    struct mr_arena arena; /* a header that only the reader could read */
    struct mri_csv_layout layout;
    enum phase phase;
    bool skipping;  /* bytes up to the end of a record are not ours, or belong to a rejected one */
    uint64_t limit; /* records that start here or later belong to others */
    uint64_t row;   /* of the record at chunk.begin */
    uint64_t line;  /* of the record at chunk.begin, from 1; 0: not known */
    uint32_t squeeze;      /* halvings of the batch, while memory is short */
    uint32_t column_count; /* wanted ones */
    struct mri_csv_column *columns;
    struct mri_csv_target *targets;
    uint32_t bad_count;
    struct bad_record bad[WINDOW_ROWS];
    uint32_t first[WINDOW_ROWS];
    uint32_t ordinals[WINDOW_ROWS]; /* of the good records, among all of the window */
    uint8_t faults[WINDOW_ROWS];
};

/* A batch being made. */
struct csv_batch {
    struct mr_batch *batch;
    struct mri_csv_buffers buffers;
    uint32_t *origin_rows; /* NULL: no record was rejected so far */
    uint32_t rows;
    uint32_t room;
    bool held; /* the batch holds on to the chunk */
};

/* ---- open and close ---- */

static bool wanted(const struct mr_reader_context *context, uint32_t column)
{
    return context->projection == NULL || mr_bit_get(context->projection, column);
}

/* Now it is known which field each column is. */
static enum mr_status set_layout(struct csv_reader *reader, const struct mri_csv_layout *layout,
                                 struct mr_error *err)
{
    const struct mr_schema *schema = reader->spec->schema;
    uint32_t count = 0;

    reader->layout = *layout;
    for (uint32_t c = 0; c < schema->column_count; c++) {
        if (!wanted(&reader->context, c)) continue;
        reader->columns[count++] = (struct mri_csv_column){
            .column = c,
            .field = layout->fields != NULL ? layout->fields[c] : c,
            .type = &schema->fields[c],
        };
    }
    reader->column_count = count;
    mri_csv_index_fini(&reader->index);
    return mri_csv_index_init(&reader->index, reader->context.heap, reader->spec->delimiter,
                              layout->field_count, err);
}

static void set_limit(struct csv_reader *reader)
{
    uint64_t begin = reader->split->offset_bytes;
    uint64_t size = reader->split->size_bytes;

    reader->limit = UINT64_MAX;
    if (size < UINT64_MAX - begin && begin + size < reader->file->size_bytes) {
        reader->limit = begin + size;
    }
}

/* Flags of a position; from bit STATE_SHIFT on the state of the automaton at the offset. */
enum { CSV_BEGUN = 1, CSV_SKIPPING = 2, CSV_DONE = 4, CSV_FLAGS = 7, STATE_SHIFT = 4 };

static enum mr_status take_position(struct csv_reader *reader, struct mr_error *err)
{
    const struct mri_position *from = &reader->resume.from;
    uint32_t flags = from->flags;
    uint32_t state = flags >> STATE_SHIFT;

    if (state >= MRI_CSV_STATES || (flags & ((1u << STATE_SHIFT) - 1)) > CSV_FLAGS ||
        (state != MRI_CSV_RECORD && !(flags & CSV_SKIPPING))) {
        return mri_position_corrupt(reader->split->name, "unknown flags", err);
    }
    if (flags & CSV_DONE) reader->phase = PHASE_DONE;
    if (!(flags & CSV_BEGUN) || (flags & CSV_DONE)) return MR_OK;
    if (!reader->layout.known) {
        return mri_position_corrupt(reader->split->name,
                                    "it lies behind a header that is not there", err);
    }
    reader->phase = PHASE_RECORDS;
    reader->skipping = (flags & CSV_SKIPPING) != 0;
    reader->row = from->row;
    reader->line = from->line;
    mri_csv_index_reset(&reader->index, 0, (enum mri_csv_state)state);
    return MR_OK;
}

enum mr_status mri_csv_open(void *self, const struct mr_split *split,
                            const struct mr_reader_context *context, void **out,
                            struct mr_error *err)
{
    enum mr_status st;
    struct mri_csv_spec *spec = self;
    uint32_t columns = spec->schema->column_count;
    const struct mri_csv_layout *layout = &spec->layouts[split->detail];
    struct csv_reader *reader = mr_alloc(context->heap, sizeof *reader);

    if (reader == NULL) return mr_error_nomem(err, "a reader of CSV", sizeof *reader);
    memset(reader, 0, offsetof(struct csv_reader, bad));
    reader->spec = spec;
    reader->split = split;
    reader->file = &spec->files.files[split->detail];
    reader->context = *context;
    mr_arena_init(&reader->arena, context->heap);
    mri_input_init(&reader->input, context->heap, context->disk, reader->file);
    set_limit(reader);
    reader->columns = mr_alloc_array(context->heap, columns, sizeof *reader->columns);
    reader->targets = mr_alloc_array(context->heap, columns, sizeof *reader->targets);
    if (reader->columns == NULL || reader->targets == NULL) {
        st = mr_error_nomem(err, "a reader of CSV", columns * sizeof *reader->targets);
        goto done;
    }
    reader->phase = split->offset_bytes > 0 ? PHASE_PREPASS : PHASE_BEGIN;
    reader->line = split->offset_bytes > 0 ? 0 : 1;
    mri_csv_prepass_init(&reader->prepass, spec, split);
    if (layout->known) {
        MR_GOTO(set_layout(reader, layout, err));
    } else { /* a stream: its first record has to be cut before its fields can be counted */
        MR_GOTO(mri_csv_index_init(&reader->index, context->heap, spec->delimiter, 1, err));
    }
    MR_GOTO(mri_resume_init(&reader->resume, MRI_POSITION_CSV, reader->file, split,
                            split->offset_bytes, context, &reader->input, &reader->chunk, err));
    if (context->resume.data != NULL) MR_GOTO(take_position(reader, err));
    *out = reader;
    return MR_OK;
done:
    mri_csv_close(reader);
    return st;
}

void mri_csv_close(void *self)
{
    struct csv_reader *reader = self;
    size_t columns;

    if (reader == NULL) return;
    columns = reader->spec->schema->column_count;
    mri_csv_prepass_fini(&reader->prepass);
    mri_input_fini(&reader->input);
    mri_chunk_fini(&reader->chunk);
    mri_csv_index_fini(&reader->index);
    mr_arena_fini(&reader->arena);
    mr_free(reader->context.heap, reader->targets, columns * sizeof *reader->targets);
    mr_free(reader->context.heap, reader->columns, columns * sizeof *reader->columns);
    mr_free(reader->context.heap, reader, sizeof *reader);
}

uint64_t mri_csv_progress(const void *self)
{
    const struct csv_reader *reader = self;
    uint64_t at = mri_input_raw_bytes(&reader->input);
    uint64_t begin = reader->split->offset_bytes;

    if (reader->phase == PHASE_PREPASS) return 0;
    at = at > begin ? at - begin : 0;
    return MR_MIN(at, reader->split->size_bytes);
}

/* ---- records of a window ---- */

/* A record that is in the index as a whole: its place in the arrays, its bytes. */
struct record {
    uint32_t at; /* its first separator's index */
    uint32_t begin;
    uint32_t end;
    uint32_t fields;
};

static void next_record(const struct mri_csv_index *index, uint32_t at, uint32_t end_at,
                        uint32_t expected, struct record *out)
{
    const uint32_t *positions = index->positions;
    uint32_t end = index->ends[end_at];

    out->at = at;
    out->begin = *(positions + at - 1) + 1;
    out->end = end;
    out->fields = expected;
    if (MR_LIKELY(at + expected <= index->count && positions[at + expected - 1] == end)) return;
    out->fields = 1;
    while (positions[at + out->fields - 1] != end) out->fields++;
}

static bool is_blank(const char *data, const struct record *record)
{
    uint32_t size = record->end - record->begin;

    return record->fields == 1 && (size == 0 || (size == 1 && data[record->begin] == '\r'));
}

/* Names the first field of a record whose quotes are wrong; false: none. Byte by byte, so that
 * the answer does not depend on what the index had room for. */
static bool find_wrong_quote(const char *data, uint32_t begin, uint32_t end, char delimiter,
                             uint32_t *out_field, const char **out_fault)
{
    enum mri_csv_state state = MRI_CSV_RECORD;

    *out_field = 0;
    for (uint32_t at = begin; at <= end; at++) {
        uint32_t last = at;

        if (at < end) state = mri_csv_step(state, data[at], delimiter);
        if (at < end && state != MRI_CSV_FIELD) continue;
        if (at == end && last > begin && data[last - 1] == '\r') last--;
        *out_fault = mri_csv_quoting_fault(data + begin, last - begin);
        if (*out_fault != NULL) return true;
        begin = at + 1;
        ++*out_field;
    }
    return false;
}

static enum mri_csv_fault fault_of(const struct csv_reader *reader, const struct record *record)
{
    const char *fault;
    uint32_t field;

    if (record->end - record->begin > MRI_RECORD_BYTES_MAX) return MRI_CSV_TOO_LONG;
    if (reader->index.suspect && find_wrong_quote(reader->chunk.data, record->begin, record->end,
                                                  reader->spec->delimiter, &field, &fault)) {
        return MRI_CSV_BAD_QUOTING;
    }
    return record->fields == reader->layout.field_count ? MRI_CSV_FINE : MRI_CSV_BAD_COUNT;
}

/* ---- rejecting ---- */

static enum mr_status reject(struct csv_reader *reader, const struct mr_reject *what,
                             uint32_t begin, uint32_t end, uint64_t line, struct mr_error *err)
{
    struct mr_reject bad = *what;

    bad.split = reader->split;
    bad.offset_bytes = mri_chunk_offset(&reader->chunk, begin);
    bad.line = line;
    bad.raw = (struct mr_bytes){reader->chunk.data + begin, end - begin};
    if (end > begin && bad.raw.data[end - begin - 1] == '\r') bad.raw.size_bytes--;
    return reader->context.reject(reader->context.reject_self, &bad, err);
}

/* The line of a record at `at`, when the one at chunk.begin is known. */
static uint64_t line_at(const struct csv_reader *reader, uint32_t at)
{
    const struct mri_chunk *chunk = &reader->chunk;

    if (reader->line == 0 || at == chunk->begin) return reader->line; /* there may be no block */
    return reader->line + mri_count_newlines(chunk->data + chunk->begin, at - chunk->begin);
}

/* The schema's name for a field, if it has one. */
static const char *field_name(const struct csv_reader *reader, uint32_t field)
{
    for (uint32_t c = 0; c < reader->column_count; c++) {
        if (reader->columns[c].field == field) return reader->columns[c].type->name;
    }
    return NULL;
}

static enum mr_status reject_record(struct csv_reader *reader, const struct bad_record *bad,
                                    struct mr_error *err)
{
    struct mr_reject what = {.column = 0};
    struct mr_error text;

    text.text[0] = '\0';
    what.reason = text.text;
    if (bad->fault == MRI_CSV_TOO_LONG) {
        (void)mr_error_set(&text, MR_E_RECORD,
                           "the record is longer than %u bytes (is a quote not closed?)",
                           MRI_RECORD_BYTES_MAX);
    } else if (bad->fault == MRI_CSV_BAD_COUNT) {
        (void)mr_error_set(&text, MR_E_RECORD, "expected %u field%s, found %u",
                           reader->layout.field_count, reader->layout.field_count == 1 ? "" : "s",
                           bad->fields);
    } else {
        uint32_t field = 0;

        (void)find_wrong_quote(reader->chunk.data, bad->begin, bad->end, reader->spec->delimiter,
                               &field, &what.reason);
        what.column = field + 1;
        what.column_name = field_name(reader, field);
    }
    return reject(reader, &what, bad->begin, bad->end, line_at(reader, bad->begin), err);
}

/* The value of the lowest field that does not fit. */
static enum mr_status reject_value(struct csv_reader *reader, const struct mri_csv_window *window,
                                   uint32_t row, struct mr_error *err)
{
    enum mr_status st;
    struct mr_reject what = {.reason = "a value does not fit its column"};
    struct mr_text reason;
    const uint32_t *positions = window->positions + window->first[row];
    uint32_t begin = positions[-1] + 1;

    mr_text_init(&reason, reader->context.heap, REASON_BYTES_MAX);
    for (uint32_t field = 0; field < window->field_count && what.column == 0; field++) {
        for (uint32_t c = 0; c < reader->column_count; c++) {
            const struct mri_csv_column *column = &reader->columns[c];

            if (column->field != field) continue;
            if (!mri_csv_explain(window, column, row, &reason)) continue;
            what.column = field + 1;
            what.column_name = column->type->name;
            if (reason.size_bytes > 0) what.reason = mr_text_get(&reason);
            break;
        }
    }
    st = reject(reader, &what, begin, positions[window->field_count - 1], line_at(reader, begin),
                err);
    mr_text_fini(&reason);
    return st;
}

/* All bad records of a window, in order. */
static enum mr_status reject_all(struct csv_reader *reader, const struct mri_csv_window *window,
                                 struct mr_error *err)
{
    uint32_t bad = 0;

    for (uint32_t row = 0; row < window->rows; row++) {
        if (window->faults[row] == MRI_CSV_FINE) continue;
        while (bad < reader->bad_count && reader->bad[bad].ordinal < reader->ordinals[row]) {
            MR_RET(reject_record(reader, &reader->bad[bad++], err));
        }
        MR_RET(reject_value(reader, window, row, err));
    }
    while (bad < reader->bad_count) MR_RET(reject_record(reader, &reader->bad[bad++], err));
    return MR_OK;
}

/* ---- windows ---- */

/* Whole records from the front of the index. */
struct window_end {
    uint32_t at; /* of the index, behind the window */
    uint32_t end_at;
    uint32_t begin;   /* of the next record, in the chunk */
    uint32_t records; /* without blank lines */
    uint32_t lines;   /* with them */
};

static uint32_t gather_records(struct csv_reader *reader, uint32_t room, struct window_end *out)
{
    const struct mri_csv_index *index = &reader->index;
    const struct mri_chunk *chunk = &reader->chunk;
    uint32_t expected = reader->layout.field_count;
    uint32_t dropped = index->dropped;
    uint32_t rows = 0;
    struct record record;

    *out = (struct window_end){.at = index->at, .end_at = index->end_at, .begin = chunk->begin};
    reader->bad_count = 0;
    while (rows < room && reader->bad_count < WINDOW_ROWS && out->end_at < index->end_count &&
           chunk->base + out->begin < reader->limit) {
        enum mri_csv_fault fault;

        next_record(index, out->at, out->end_at, expected, &record);
        record.begin = out->begin;
        out->at = record.at + record.fields;
        record.fields += dropped;
        fault = fault_of(reader, &record);
        out->end_at++;
        out->lines++;
        out->begin = record.end + 1;
        if (MR_UNLIKELY(fault != MRI_CSV_FINE)) {
            if (expected > 1 && is_blank(chunk->data, &record)) continue;
            reader->bad[reader->bad_count++] =
                (struct bad_record){out->records++, record.begin, record.end, record.fields, fault};
            dropped = 0;
            continue;
        }
        reader->first[rows] = record.at;
        reader->ordinals[rows] = out->records++;
        reader->faults[rows] = MRI_CSV_FINE;
        rows++;
    }
    return rows;
}

/* The state at the border, for whoever reads the next split: the record that crosses it is here. */
static void note_border(struct csv_reader *reader, uint32_t record_begin)
{
    const struct mri_chunk *chunk = &reader->chunk;
    enum mri_csv_state state = MRI_CSV_RECORD;
    uint32_t border = (uint32_t)(reader->limit - chunk->base);

    for (uint32_t at = record_begin; at < border; at++) {
        state = mri_csv_step(state, chunk->data[at], reader->spec->delimiter);
    }
    mri_csv_note_entry(reader->spec, reader->split, state);
}

/* Takes the window's records out of the index. */
static void leave_window(struct csv_reader *reader, const struct window_end *end, bool quotes)
{
    struct mri_chunk *chunk = &reader->chunk;
    struct mri_csv_index *index = &reader->index;

    if (chunk->base + end->begin >= reader->limit && end->end_at > index->end_at) {
        uint32_t last = end->end_at - 1;
        uint32_t begin = last > index->end_at ? index->ends[last - 1] + 1 : chunk->begin;

        note_border(reader, begin);
    }
    if (reader->line != 0) {
        reader->line = quotes ? line_at(reader, end->begin) : reader->line + end->lines;
    }
    if (end->lines > 0) index->dropped = 0;
    index->at = end->at;
    index->end_at = end->end_at;
    reader->row += end->records;
    chunk->begin = end->begin;
}

/* ---- batches ---- */

static bool begin_column(struct csv_batch *into, const struct mr_field *type, uint32_t column,
                         struct mri_csv_target *target)
{
    struct mr_column *view = &into->batch->columns[column];
    enum mr_layout layout = mr_type_layout(type->type);

    view->type = (uint8_t)type->type;
    view->precision = type->precision;
    view->scale = type->scale;
    *target = (struct mri_csv_target){
        .values = layout == MR_LAYOUT_BIT ? (void *)mr_batch_bitmap(into->batch, into->room)
                                          : mr_batch_values(into->batch, layout, into->room),
        .validity = mr_batch_bitmap(into->batch, into->room),
    };
    if (target->values == NULL || target->validity == NULL) return false;
    mr_bits_fill(target->validity, into->room, true);
    view->values = target->values;
    return true;
}

static bool begin_nulls(struct csv_reader *reader, struct csv_batch *into)
{
    const struct mr_schema *schema = reader->spec->schema;
    char *null = mr_batch_memory(into->batch, 64);

    if (null == NULL) return false;
    memset(null, 0, 64);
    for (uint32_t c = 0; c < schema->column_count; c++) {
        struct mr_column *view = &into->batch->columns[c];

        if (wanted(&reader->context, c)) continue;
        view->type = (uint8_t)schema->fields[c].type;
        view->precision = schema->fields[c].precision;
        view->scale = schema->fields[c].scale;
        view->encoding = MR_CONST;
        view->values = null;
        view->validity = (const uint64_t *)(const void *)null;
    }
    return true;
}

static size_t row_bytes(const struct csv_reader *reader)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < reader->column_count; i++) {
        bytes += mr_layout_bytes(mr_type_layout(reader->columns[i].type->type)) + 1;
    }
    return bytes;
}

static bool begin_batch(struct csv_reader *reader, struct mr_quota *quota, uint32_t room,
                        struct csv_batch *into)
{
    size_t bytes = room * row_bytes(reader) + 128 * (size_t)reader->column_count + 512;

    memset(into, 0, sizeof *into);
    into->room = room;
    into->batch = mr_batch_new(quota, reader->spec->schema->column_count, bytes);
    if (into->batch == NULL) return false;
    for (uint32_t i = 0; i < reader->column_count; i++) {
        const struct mri_csv_column *column = &reader->columns[i];

        if (!begin_column(into, column->type, column->column, &reader->targets[i])) return false;
    }
    into->buffers.batch = into->batch;
    into->buffers.count = 1;
    into->buffers.list = mr_batch_memory(into->batch, MRI_CSV_BUFFERS_MAX * sizeof(const char *));
    if (into->buffers.list == NULL) return false;
    memset(into->buffers.list, 0, MRI_CSV_BUFFERS_MAX * sizeof(const char *));
    into->buffers.list[0] = reader->chunk.data;
    into->batch->origin = (struct mr_origin){
        .known = true,
        .split = reader->split->ordinal,
        .offset_bytes = mri_chunk_offset(&reader->chunk, reader->chunk.begin),
        .first_row = reader->row,
    };
    return begin_nulls(reader, into);
}

static bool hold_chunk(struct csv_reader *reader, struct csv_batch *into)
{
    if (into->held) return true;
    into->held = mr_batch_adopt(into->batch, mr_block_ref(reader->chunk.block));
    if (!into->held) mr_block_release(reader->chunk.block);
    return into->held;
}

static bool begin_origin_rows(struct csv_batch *into)
{
    if (into->origin_rows != NULL) return true;
    into->origin_rows = mr_batch_memory(into->batch, into->room * sizeof(uint32_t));
    if (into->origin_rows == NULL) return false;
    for (uint32_t i = 0; i < into->rows; i++) into->origin_rows[i] = i;
    return true;
}

static uint32_t note_origins(struct csv_reader *reader, const struct mri_csv_window *window,
                             struct csv_batch *into)
{
    uint32_t before = (uint32_t)(reader->row - into->batch->origin.first_row);
    uint32_t rows = into->rows;

    for (uint32_t row = 0; row < window->rows; row++) {
        if (window->faults[row] != MRI_CSV_FINE) continue;
        if (into->origin_rows != NULL) into->origin_rows[rows] = before + reader->ordinals[row];
        rows++;
    }
    return rows;
}

/* Converts a window and adds it to the batch. *out_memory false: nothing happened. */
static enum mr_status add_window(struct csv_reader *reader, const struct mri_csv_window *window,
                                 struct csv_batch *into, bool *out_memory, struct mr_error *err)
{
    uint32_t faults = 0;
    bool far = false;

    *out_memory = false;
    for (uint32_t i = 0; i < reader->column_count && window->rows > 0; i++) {
        if (!mri_csv_convert(window, &reader->columns[i], &reader->targets[i], into->rows,
                             &into->buffers, &faults)) {
            return MR_OK;
        }
        far |= reader->targets[i].far;
    }
    /* Memory first: what was rejected cannot be taken back. */
    if (far && !hold_chunk(reader, into)) return MR_OK;
    if ((faults > 0 || reader->bad_count > 0) && !begin_origin_rows(into)) return MR_OK;
    *out_memory = true;
    if (faults > 0 || reader->bad_count > 0) MR_RET(reject_all(reader, window, err));
    for (uint32_t i = 0; i < reader->column_count && faults > 0; i++) {
        mri_csv_compact(&reader->columns[i], &reader->targets[i], into->rows, window->faults,
                        window->rows);
    }
    into->rows = note_origins(reader, window, into);
    return MR_OK;
}

/* A window that could not be added may have cleared validity bits. */
static void undo_window(struct csv_reader *reader, const struct csv_batch *into, uint32_t rows)
{
    for (uint32_t i = 0; i < reader->column_count; i++) {
        for (uint32_t row = 0; row < rows; row++) {
            mr_bit_set(reader->targets[i].validity, into->rows + row);
        }
    }
}

static void end_batch(struct csv_reader *reader, struct csv_batch *into)
{
    struct mr_batch *batch = into->batch;

    batch->row_count = into->rows;
    batch->origin_rows = into->origin_rows;
    for (uint32_t i = 0; i < reader->column_count; i++) {
        const struct mri_csv_target *target = &reader->targets[i];
        struct mr_column *view = &batch->columns[reader->columns[i].column];

        if (target->nulls) {
            uint32_t words = (uint32_t)mr_bits_words(into->rows);

            if (into->rows % 64 != 0) target->validity[words - 1] &= mr_bits_low(into->rows % 64);
            view->validity = target->validity;
        }
        if (mr_type_layout(view->type) == MR_LAYOUT_VIEW) {
            view->buffers = into->buffers.list;
            view->buffer_count = into->buffers.count;
        }
    }
}

/* Whole records of the chunk, as many as fit, into one batch. */
static enum mr_status fill_batch(struct csv_reader *reader, struct csv_batch *into,
                                 bool *out_memory, struct mr_error *err)
{
    struct mri_csv_index *index = &reader->index;
    struct mri_chunk *chunk = &reader->chunk;
    bool taken = false;

    *out_memory = true;
    while (into->rows < into->room && index->end_at < index->end_count &&
           mri_chunk_offset(chunk, chunk->begin) < reader->limit) {
        struct window_end end;
        uint32_t rows = gather_records(reader, MR_MIN(into->room - into->rows, WINDOW_ROWS), &end);
        const struct mri_csv_window window = {
            .data = chunk->data,
            .positions = index->positions,
            .first = reader->first,
            .faults = reader->faults,
            .rows = rows,
            .field_count = reader->layout.field_count,
            .quotes = index->quotes,
            .high = index->high,
            .nulls = &reader->spec->nulls,
        };

        MR_RET(add_window(reader, &window, into, out_memory, err));
        if (!*out_memory) {
            undo_window(reader, into, rows);
            *out_memory = taken; /* what is in it can go */
            return MR_OK;
        }
        taken = true;
        leave_window(reader, &end, window.quotes);
        mri_csv_index_compact(index, chunk->data, chunk->begin);
        mri_csv_index_run(index, chunk->data, chunk->end);
    }
    return MR_OK;
}

/* About as many rows as the chunk still has. */
static uint32_t room_for(const struct csv_reader *reader, uint32_t row_limit)
{
    const struct mri_csv_index *index = &reader->index;
    const struct mri_chunk *chunk = &reader->chunk;
    uint64_t seen = MR_MAX(index->scanned - chunk->begin, 1u);
    uint64_t left = chunk->end - chunk->begin;
    uint64_t rows = (index->end_count - index->end_at) * left / seen;

    rows += rows / 16 + 8;
    rows = MR_MIN(rows, (uint64_t)MR_MIN(row_limit, MR_BATCH_ROWS));
    return MR_MAX((uint32_t)rows >> reader->squeeze, 1u);
}

static enum mr_status make_batch(struct csv_reader *reader, struct mr_quota *quota,
                                 uint32_t row_limit, struct mr_batch **out, bool *out_memory,
                                 struct mr_error *err)
{
    enum mr_status st = MR_OK;
    struct csv_batch into;

    *out_memory = begin_batch(reader, quota, room_for(reader, row_limit), &into);
    if (!*out_memory) goto done;
    MR_GOTO(fill_batch(reader, &into, out_memory, err));
    if (into.rows > 0) {
        end_batch(reader, &into);
        *out = into.batch;
        into.batch = NULL;
    }
done:
    mr_batch_release(into.batch);
    return st;
}

/* ---- reading on ---- */

/* The chunk is full and the record in it has no end: it is too long, what follows belongs to it. */
static enum mr_status too_long(struct csv_reader *reader, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;
    const struct bad_record bad = {
        .begin = chunk->begin, .end = chunk->end, .fault = MRI_CSV_TOO_LONG};

    if (reader->phase == PHASE_BEGIN) {
        return mr_error_set(err, MR_E_RECORD,
                            "%s: the header is longer than %u bytes (is a quote "
                            "not closed?)",
                            reader->file->path, MRI_RECORD_BYTES_MAX);
    }
    if (!reader->skipping) {
        MR_RET(reject_record(reader, &bad, err));
        reader->row++;
        reader->skipping = true;
    }
    return MR_OK;
}

/* Forgets all bytes that were scanned: they belong to what is skipped. */
static void skip_scanned(struct csv_reader *reader)
{
    struct mri_chunk *chunk = &reader->chunk;

    reader->line = line_at(reader, chunk->end);
    chunk->begin = chunk->end;
    mri_csv_index_reset(&reader->index, chunk->end, reader->index.state);
}

/* Separators that were found and not used are found again: only what was used up counts. Where bytes
 * are skipped all of them are, up to where the state of the automaton is known. */
enum mr_status mri_csv_position(void *self, struct mr_buffer *out, struct mr_error *err)
{
    struct csv_reader *reader = self;
    bool fresh = reader->phase == PHASE_PREPASS || reader->phase == PHASE_BEGIN;
    bool skipping = reader->phase == PHASE_RECORDS && reader->skipping;
    uint32_t flags = fresh ? 0 : CSV_BEGUN;

    if (skipping && reader->chunk.block != NULL && !reader->resume.active) skip_scanned(reader);
    if (skipping) flags |= CSV_SKIPPING | (uint32_t)reader->index.state << STATE_SHIFT;
    if (reader->phase == PHASE_DONE) flags |= CSV_DONE;
    return mri_resume_put(&reader->resume, &reader->chunk, fresh, (uint16_t)flags, reader->row,
                          reader->line, out, err);
}

/* Finds the end of what is to be skipped among the records that are in the index. */
static void end_skipping(struct csv_reader *reader)
{
    struct mri_csv_index *index = &reader->index;
    struct mri_chunk *chunk = &reader->chunk;
    struct record record;

    if (!reader->skipping || index->end_at == index->end_count) return;
    next_record(index, index->at, index->end_at, 1, &record);
    reader->line = line_at(reader, record.end + 1);
    index->at += record.fields;
    index->end_at++;
    index->dropped = 0;
    chunk->begin = record.end + 1;
    reader->skipping = false;
    mri_csv_index_compact(index, chunk->data, chunk->begin);
}

static void scan(struct csv_reader *reader)
{
    mri_csv_index_compact(&reader->index, reader->chunk.data, reader->chunk.begin);
    mri_csv_index_run(&reader->index, reader->chunk.data, reader->chunk.end);
}

static size_t bytes_to_read(const struct csv_reader *reader)
{
    uint64_t at = mri_chunk_offset(&reader->chunk, reader->chunk.end);
    uint64_t left = at < reader->limit ? reader->limit - at : 0;

    return (size_t)MR_MIN(left, (uint64_t)MR_BLOCK_BYTES_MAX) + TAIL_READ_BYTES;
}

/* The file ends in a quoted field: all from the opening quote on was taken for one field. */
static enum mr_status reject_unclosed(struct csv_reader *reader, struct mr_error *err)
{
    const struct mri_csv_index *index = &reader->index;
    struct mri_chunk *chunk = &reader->chunk;
    uint32_t column = index->count - index->at + index->dropped;
    uint32_t quote = *(index->positions + index->count - 1) + 1;
    uint64_t line = line_at(reader, quote);
    struct mr_reject what = {.column = column + 1, .column_name = field_name(reader, column)};
    struct mr_error text;

    if (line != 0) {
        (void)mr_error_set(&text, MR_E_RECORD, "the quote that opens in line %llu is never closed",
                           (unsigned long long)line);
    } else {
        (void)mr_error_set(&text, MR_E_RECORD, "the quote that opens here is never closed");
    }
    what.reason = text.text;
    MR_RET(reject(reader, &what, chunk->begin, chunk->end, line_at(reader, chunk->begin), err));
    reader->row++;
    chunk->begin = chunk->end;
    return MR_OK;
}

/* What is left behind the last newline is a record too. */
static enum mr_status end_of_input(struct csv_reader *reader, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;

    if (chunk->begin == chunk->end) return MR_OK;
    if (reader->index.state == MRI_CSV_QUOTED) {
        if (reader->skipping) {
            chunk->begin = chunk->end;
            return MR_OK;
        }
        return reject_unclosed(reader, err);
    }
    mri_chunk_terminate(chunk, '\n');
    scan(reader);
    return MR_OK;
}

/* Makes sure that a whole record is in the index, reading once if need be. */
static enum mr_status find_any(struct csv_reader *reader, struct mr_quota *quota, bool *out_found,
                               enum mr_source_flow *out_flow, struct mr_error *err)
{
    struct mri_csv_index *index = &reader->index;
    struct mri_chunk *chunk = &reader->chunk;

    *out_flow = MR_SOURCE_MORE;
    if (index->end_at == index->end_count && !chunk->reading && chunk->block != NULL) scan(reader);
    if (index->end_at == index->end_count && !chunk->input_end) {
        uint64_t base = chunk->base;
        enum mri_fill fill;

        if (reader->skipping && !chunk->reading) skip_scanned(reader);
        MR_RET(mri_chunk_fill(chunk, &reader->input, quota, bytes_to_read(reader), &fill, err));
        mri_csv_index_shift(index, (uint32_t)(chunk->base - base));
        if (fill == MRI_FILL_BLOCKED) *out_flow = MR_SOURCE_BLOCKED;
        if (fill == MRI_FILL_FULL) MR_RET(too_long(reader, err));
        if (fill == MRI_FILL_MORE && reader->phase != PHASE_BEGIN) scan(reader);
    }
    if (chunk->input_end && index->end_at == index->end_count && reader->phase != PHASE_BEGIN) {
        MR_RET(end_of_input(reader, err));
    }
    *out_found = index->end_at < index->end_count;
    if (chunk->input_end && !*out_found && chunk->begin == chunk->end) reader->phase = PHASE_DONE;
    return MR_OK;
}

/* ---- phases ---- */

static enum mr_status step_prepass(struct csv_reader *reader, struct mr_quota *quota,
                                   enum mr_source_flow *out_flow, struct mr_error *err)
{
    enum mri_csv_state state;
    bool known;

    MR_RET(mri_csv_prepass_step(&reader->prepass, &reader->input, &reader->chunk, quota, &known,
                                &state, out_flow, err));
    if (!known) return MR_OK;
    mri_csv_index_reset(&reader->index, 0, state);
    reader->skipping = state != MRI_CSV_RECORD;
    reader->phase = PHASE_RECORDS;
    return MR_OK;
}

/* The header is the first record. Files that were planned have their layout; streams get it
 * here. */
static enum mr_status take_header(struct csv_reader *reader, uint32_t end, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;
    struct mri_csv_layout layout = reader->layout;

    if (!layout.known) {
        const struct mr_bytes text = {chunk->data + chunk->begin, end - chunk->begin};

        MR_RET(
            mri_csv_header(reader->spec, reader->file->path, text, &reader->arena, &layout, err));
        MR_RET(set_layout(reader, &layout, err));
    }
    end = MR_MIN(end + 1, chunk->end); /* behind the newline, if it has one */
    reader->line = line_at(reader, end);
    chunk->begin = end;
    mri_csv_index_reset(&reader->index, chunk->begin, MRI_CSV_RECORD);
    scan(reader);
    reader->phase = PHASE_RECORDS;
    return MR_OK;
}

/* Reads until the byte order mark, if there is one, and the header are over. */
static enum mr_status step_begin(struct csv_reader *reader, struct mr_quota *quota,
                                 enum mr_source_flow *out_flow, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;
    uint32_t bom = 0;
    bool found = false;

    MR_RET(find_any(reader, quota, &found, out_flow, err));
    if (*out_flow == MR_SOURCE_BLOCKED || reader->phase == PHASE_DONE) return MR_OK;
    if (chunk->base + chunk->begin == 0) {
        bom = mri_csv_bom(chunk->data + chunk->begin, chunk->end - chunk->begin, chunk->input_end);
        if (bom == UINT32_MAX) return MR_OK;
    }
    chunk->begin += bom;
    mri_csv_index_reset(&reader->index, chunk->begin, MRI_CSV_RECORD);
    scan(reader);
    if (reader->spec->no_header) {
        reader->phase = PHASE_RECORDS;
        return MR_OK;
    }
    if (reader->index.end_count > 0) return take_header(reader, reader->index.ends[0], err);
    if (!chunk->input_end) return MR_OK;
    reader->phase = PHASE_DONE;
    return chunk->begin < chunk->end ? take_header(reader, chunk->end, err) : MR_OK;
}

static enum mr_status step_records(struct csv_reader *reader, struct mr_quota *quota,
                                   uint32_t row_limit, enum mr_source_flow *out_flow,
                                   struct mr_batch **out, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;
    bool found = false;
    bool memory;

    if (!reader->skipping && mri_chunk_offset(chunk, chunk->begin) >= reader->limit) {
        reader->phase = PHASE_DONE;
        return MR_OK;
    }
    MR_RET(find_any(reader, quota, &found, out_flow, err));
    if (!found) return MR_OK;
    end_skipping(reader);
    if (reader->index.end_at == reader->index.end_count) return MR_OK;
    if (mri_chunk_offset(chunk, chunk->begin) >= reader->limit) return MR_OK;
    MR_RET(make_batch(reader, quota, row_limit, out, &memory, err));
    /* Others hold the memory: wait for them. If that does not help, a smaller batch may fit. */
    if (!memory) *out_flow = MR_SOURCE_BLOCKED;
    reader->squeeze = memory ? 0 : MR_MIN(reader->squeeze + 1, 31u);
    return MR_OK;
}

enum mr_status mri_csv_read(void *self, struct mr_quota *quota, uint32_t row_limit,
                            enum mr_source_flow *out_flow, struct mr_batch **out,
                            struct mr_error *err)
{
    struct csv_reader *reader = self;

    mr_assert(row_limit > 0);
    *out = NULL;
    *out_flow = MR_SOURCE_MORE;
    if (reader->resume.active) {
        return mri_resume_step(&reader->resume, &reader->input, &reader->chunk, quota, out_flow,
                               err);
    }
    if (reader->phase == PHASE_PREPASS) {
        MR_RET(step_prepass(reader, quota, out_flow, err));
    } else if (reader->phase == PHASE_BEGIN) {
        MR_RET(step_begin(reader, quota, out_flow, err));
    } else if (reader->phase == PHASE_RECORDS) {
        MR_RET(step_records(reader, quota, row_limit, out_flow, out, err));
    }
    if (reader->phase == PHASE_DONE && *out == NULL) {
        mri_chunk_drop(&reader->chunk);
        *out_flow = MR_SOURCE_DONE;
    }
    return MR_OK;
}
