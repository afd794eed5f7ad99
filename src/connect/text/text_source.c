/* text_source.c - lines of text files; see connect.h and README.md of this folder. */
#include "base/assert.h"
#include "base/status.h"
#include "base/text.h"
#include "connect/connect.h"
#include "connect/file/resume.h"
#include "connect/file/scan.h"
#include "connect/file/splits.h"
#include "connect/file/utf8_check.h"
#include "connect/file/view.h"
#include "connect/text/text_internal.h"
#include "data/builder.h"

#include <string.h>

#define LINE_BYTES_MAX ((uint32_t)MR_TEXT_BYTES_MAX)
/* Positions are found a group of 64 words at a time, so there may be as many too much. */
#define POSITIONS       (MR_BATCH_ROWS + MRI_SCAN_WORDS * MRI_SCAN_BYTES + MRI_SCAN_PAD + 1)
#define TAIL_READ_BYTES ((size_t)16 * 1024) /* behind a split's end, to finish its last line */

_Static_assert(LINE_BYTES_MAX <= MRI_RECORD_BYTES_MAX, "the longest line fits a chunk");

struct text_spec {
    struct mr_heap *heap;
    char *path;
    bool binary;
    bool pieces; /* long lines are cut at white space */
    uint64_t split_bytes;
    struct mri_files files;
    struct mri_places places;
};

struct text_reader {
    struct text_spec *spec;
    const struct mr_split *split;
    struct mr_reader_context context;
    const struct mri_scan_ops *ops;
    struct mri_input input;
    struct mri_chunk chunk;
    struct mri_resume resume;
    uint64_t limit;   /* lines that start here or later belong to others */
    uint64_t row;     /* of the line at chunk.begin */
    uint32_t scanned; /* newlines before this place in the chunk were found */
    bool high;        /* bytes above 0x7f were seen among those scanned since the last fill */
    bool skipping;    /* bytes up to the next newline are not ours, or belong to a rejected line */
    bool continues; /* what begins at chunk.begin is the rest of a line that was cut: ours in any case */
    bool done;
    uint32_t squeeze; /* halvings of the batch, while memory is short */
    uint32_t position_at;
    uint32_t position_count;
    uint32_t positions[POSITIONS];
};

static bool wanted(const struct mr_reader_context *context, uint32_t column)
{
    return context->projection == NULL || mr_bit_get(context->projection, column);
}

/* ---- plan ---- */

static enum mr_status text_plan(void *self, const struct mr_plan_context *context,
                                struct mr_split_list *out, struct mr_error *err)
{
    struct text_spec *spec = self;

    mri_files_fini(&spec->files); /* planned again: explain, then run */
    mri_places_fini(&spec->places);
    mri_files_init(&spec->files, spec->heap);
    MR_RET(mri_files_plan(&spec->files, context->disk, spec->path, err));
    MR_RET(mri_splits_make(&spec->files, spec->split_bytes, context->streaming, out, err));
    return mri_places_init(&spec->places, spec->heap, out->count, err);
}

/* ---- open and close ---- */

static void text_close(void *self)
{
    struct text_reader *reader = self;

    if (reader == NULL) return;
    mri_input_fini(&reader->input);
    mri_chunk_fini(&reader->chunk);
    mr_free(reader->context.heap, reader, sizeof *reader);
}

/* Flags of a position. */
enum { TEXT_SKIPPING = 1, TEXT_CONTINUES = 2, TEXT_DONE = 4 };

static enum mr_status take_position(struct text_reader *reader, struct mr_error *err)
{
    const struct mri_position *from = &reader->resume.from;

    if (from->flags > (TEXT_SKIPPING | TEXT_CONTINUES | TEXT_DONE)) {
        return mri_position_corrupt(reader->split->name, "unknown flags", err);
    }
    reader->skipping = (from->flags & TEXT_SKIPPING) != 0;
    reader->continues = (from->flags & TEXT_CONTINUES) != 0;
    reader->done = (from->flags & TEXT_DONE) != 0;
    reader->row = from->row;
    return MR_OK;
}

/* Newlines that were found and not used are found again: only what was used up counts. */
static enum mr_status text_position(void *self, struct mr_buffer *out, struct mr_error *err)
{
    struct text_reader *reader = self;
    uint16_t flags = 0;

    if (reader->skipping) flags |= TEXT_SKIPPING;
    if (reader->continues) flags |= TEXT_CONTINUES;
    if (reader->done) flags |= TEXT_DONE;
    return mri_resume_put(&reader->resume, &reader->chunk, false, flags, reader->row, 0, out, err);
}

static enum mr_status text_open(void *self, const struct mr_split *split,
                                const struct mr_reader_context *context, void **out,
                                struct mr_error *err)
{
    struct text_spec *spec = self;
    const struct mri_file *file = &spec->files.files[split->detail];
    struct text_reader *reader = mr_alloc(context->heap, sizeof *reader);
    uint64_t start = split->offset_bytes;
    enum mr_status st;

    if (reader == NULL) return mr_error_nomem(err, "a reader of text", sizeof *reader);
    memset(reader, 0, offsetof(struct text_reader, positions));
    reader->spec = spec;
    reader->split = split;
    reader->context = *context;
    reader->ops = mri_scan_ops();
    reader->limit = UINT64_MAX;
    if (split->size_bytes < UINT64_MAX - start && start + split->size_bytes < file->size_bytes) {
        reader->limit = start + split->size_bytes;
    }
    mri_input_init(&reader->input, context->heap, context->disk, file);
    /* A line starts at the border if the byte before is a newline. */
    reader->skipping = start > 0;
    MR_GOTO(mri_resume_init(&reader->resume, MRI_POSITION_TEXT, file, split,
                            start > 0 ? start - 1 : 0, context, &reader->input, &reader->chunk,
                            err));
    if (context->resume.data != NULL) MR_GOTO(take_position(reader, err));
    *out = reader;
    return MR_OK;
done:
    text_close(reader);
    return st;
}

static uint64_t text_progress(const void *self)
{
    const struct text_reader *reader = self;
    uint64_t at = mri_input_raw_bytes(&reader->input);
    uint64_t begin = reader->split->offset_bytes;

    at = at > begin ? at - begin : 0;
    return MR_MIN(at, reader->split->size_bytes);
}

/* ---- finding lines ---- */

/* Fills positions from what was read and not scanned; stops when there are enough for a batch. */
static void find_lines(struct text_reader *reader)
{
    struct mri_chunk *chunk = &reader->chunk;
    struct mri_masks masks;

    while (reader->scanned < chunk->end && reader->position_count < MR_BATCH_ROWS) {
        uint32_t left = chunk->end - reader->scanned;
        uint32_t words = (uint32_t)MR_MIN((left + 63) / 64, MRI_SCAN_WORDS);

        /* Behind the end are zero bytes: no newline is found there. */
        reader->ops->newlines(chunk->data + reader->scanned, words, &masks);
        reader->position_count += (uint32_t)reader->ops->flatten(
            masks.newlines, words, reader->scanned, reader->positions + reader->position_count);
        reader->high |= masks.high != 0;
        reader->scanned = MR_MIN(reader->scanned + words * 64, chunk->end);
    }
}

static enum mr_status reject(struct text_reader *reader, uint32_t size_bytes, const char *reason,
                             struct mr_error *err)
{
    const struct mri_chunk *chunk = &reader->chunk;
    const struct mr_reject bad = {
        .split = reader->split,
        .offset_bytes = mri_chunk_offset(chunk, chunk->begin),
        .line = reader->split->offset_bytes == 0 ? reader->row + 1 : 0,
        .column = 1,
        .column_name = "line",
        .raw = {chunk->data + chunk->begin, size_bytes},
        .reason = reason,
    };

    return reader->context.reject(reader->context.reject_self, &bad, err);
}

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where a long line that begins at chunk.begin may be cut: the last white space that leaves a piece of legal
 * length. False: there is none, it is one long word. */
static bool cut_place(const struct text_reader *reader, uint32_t *out_place)
{
    const struct mri_chunk *chunk = &reader->chunk;
    uint32_t at = MR_MIN(chunk->end, chunk->begin + LINE_BYTES_MAX + 1);

    while (at > chunk->begin) {
        if (!is_white(chunk->data[--at])) continue;
        *out_place = at;
        return true;
    }
    return false;
}

/* A long line that comes in pieces: the first piece ends like a line, at a white space. Only one line
 * of a chunk can be long, and it is the first that is left. */
static void cut_long(struct text_reader *reader)
{
    uint32_t *next = reader->positions + reader->position_at;
    uint32_t left = reader->position_count - reader->position_at;
    uint32_t place;

    if (!reader->spec->pieces || reader->skipping) return;
    if (left > 0 && *next - reader->chunk.begin <= LINE_BYTES_MAX) return;
    if (!cut_place(reader, &place)) return;
    memmove(next + 1, next, left * sizeof *next);
    *next = place;
    reader->position_count++;
}

/* The chunk is full and has no newline: the line is too long, what follows belongs to it. */
static enum mr_status reject_long(struct text_reader *reader, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;

    if (!reader->skipping) {
        MR_RET(
            reject(reader, chunk->end - chunk->begin, "the line is longer than 261888 bytes", err));
        reader->row++;
        reader->skipping = true;
    }
    chunk->begin = chunk->end;
    return MR_OK;
}

static size_t bytes_to_read(const struct text_reader *reader)
{
    uint64_t at = mri_chunk_offset(&reader->chunk, reader->chunk.end);
    uint64_t left = at < reader->limit ? reader->limit - at : 0;

    return (size_t)MR_MIN(left, (uint64_t)MR_BLOCK_BYTES_MAX) + TAIL_READ_BYTES;
}

/* Reads on, with no position left over. */
static enum mr_status read_on(struct text_reader *reader, struct mr_quota *quota,
                              enum mri_fill *out_fill, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;
    uint64_t base = chunk->base;

    mr_assert(reader->position_at == reader->position_count);
    if (reader->skipping && !chunk->reading) chunk->begin = chunk->end;
    MR_RET(mri_chunk_fill(chunk, &reader->input, quota, bytes_to_read(reader), out_fill, err));
    reader->scanned -= (uint32_t)(chunk->base - base); /* what moved, moved to the front */
    if (*out_fill != MRI_FILL_FULL) return MR_OK;
    cut_long(reader);
    return reader->position_count > 0 ? MR_OK : reject_long(reader, err);
}

/* Makes sure that at least one line is there, reading once if need be. False: not yet or no
 * more. */
static enum mr_status find_any(struct text_reader *reader, struct mr_quota *quota, bool *out_found,
                               enum mr_source_flow *out_flow, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;
    enum mri_fill fill;

    *out_found = true;
    *out_flow = MR_SOURCE_MORE;
    if (reader->position_at < reader->position_count) return MR_OK;
    reader->position_at = reader->position_count = 0;
    find_lines(reader);
    if (reader->position_count > 0) return MR_OK;
    reader->high = reader->high && chunk->begin < chunk->end;
    if (!chunk->input_end) {
        MR_RET(read_on(reader, quota, &fill, err));
        if (fill == MRI_FILL_BLOCKED) *out_flow = MR_SOURCE_BLOCKED;
        if (fill == MRI_FILL_MORE) find_lines(reader);
    }
    if (chunk->input_end && reader->position_count == 0 && chunk->begin < chunk->end) {
        mri_chunk_terminate(chunk, '\n'); /* a last line without its newline counts */
        find_lines(reader);
    }
    *out_found = reader->position_count > 0;
    reader->done = chunk->input_end && !*out_found;
    return MR_OK;
}

static void skip_line(struct text_reader *reader)
{
    if (!reader->skipping) return;
    reader->chunk.begin = reader->positions[reader->position_at++] + 1;
    reader->skipping = false;
}

/* ---- making batches ---- */

struct text_batch {
    struct mr_batch *batch;
    struct mr_view *views; /* NULL: the column is not wanted */
    uint32_t *origin_rows; /* NULL: no line was rejected so far */
    uint32_t rows;
    uint32_t room;
    bool far;
};

static bool begin_batch(struct text_reader *reader, struct mr_quota *quota, uint32_t room,
                        struct text_batch *out)
{
    struct mr_column *column;
    size_t bytes = wanted(&reader->context, 0) ? room * sizeof(struct mr_view) : 0;

    *out = (struct text_batch){.room = room};
    out->batch = mr_batch_new(quota, 1, bytes + 256);
    if (out->batch == NULL) return false;
    column = &out->batch->columns[0];
    column->type = reader->spec->binary ? MR_BINARY : MR_UTF8;
    if (bytes == 0) {
        char *null = mr_batch_memory(out->batch, 64);

        if (null == NULL) return false;
        memset(null, 0, 64);
        column->encoding = MR_CONST;
        column->values = null;
        column->validity = (const uint64_t *)(const void *)null;
        return true;
    }
    out->views = mr_batch_values(out->batch, MR_LAYOUT_VIEW, room);
    column->values = out->views;
    return out->views != NULL;
}

/* From now on the batch says which source row each of its rows is. */
static bool begin_origin_rows(struct text_batch *into)
{
    if (into->origin_rows != NULL) return true;
    into->origin_rows = mr_batch_memory(into->batch, into->room * sizeof(uint32_t));
    if (into->origin_rows == NULL) return false;
    for (uint32_t i = 0; i < into->rows; i++) into->origin_rows[i] = i;
    return true;
}

static const char *fault_of(const struct text_reader *reader, const char *data, uint32_t size_bytes)
{
    if (size_bytes > LINE_BYTES_MAX) return "the line is longer than 261888 bytes";
    if (reader->spec->binary || !reader->high) return NULL;
    return mri_utf8_valid(data, size_bytes) ? NULL : "the line is not valid UTF-8";
}

/* One line at a time, with every check. */
static enum mr_status take_lines_checked(struct text_reader *reader, struct text_batch *into,
                                         bool *out_memory, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;
    uint64_t first_row = into->batch->origin.first_row;

    while (into->rows < into->room && reader->position_at < reader->position_count &&
           (reader->continues || mri_chunk_offset(chunk, chunk->begin) < reader->limit)) {
        const char *data = chunk->data + chunk->begin;
        const char *fault;
        uint32_t end, size;

        cut_long(reader);
        end = reader->positions[reader->position_at];
        size = end - chunk->begin;

        if (size > 0 && data[size - 1] == '\r') size--;
        fault = fault_of(reader, data, size);
        if (fault != NULL) {
            *out_memory = begin_origin_rows(into);
            if (!*out_memory) return MR_OK;
            MR_RET(reject(reader, size, fault, err));
        } else {
            if (into->views != NULL) {
                mri_view_put(&into->views[into->rows], chunk->data, chunk->begin, size, 0);
                into->far |= size > MR_VIEW_INLINE;
            }
            if (into->origin_rows != NULL) {
                into->origin_rows[into->rows] = (uint32_t)(reader->row - first_row);
            }
            into->rows++;
        }
        reader->row++;
        reader->position_at++;
        reader->continues = chunk->data[end] != '\n';
        chunk->begin = end + 1;
    }
    return MR_OK;
}

/* The usual case: nothing can be wrong with any of these lines. */
static void take_lines_fast(struct text_reader *reader, struct text_batch *into)
{
    struct mri_chunk *chunk = &reader->chunk;
    uint32_t count = MR_MIN(into->room, reader->position_count - reader->position_at);
    const uint32_t *ends = reader->positions + reader->position_at;
    const char *data = chunk->data;
    uint32_t begin = chunk->begin;
    uint32_t longest = 0;
    uint32_t i;

    for (i = 0; i < count && ((i == 0 && reader->continues) || chunk->base + begin < reader->limit);
         i++) {
        uint32_t size = ends[i] - begin;

        size -= size > 0 && data[ends[i] - 1] == '\r';
        if (into->views != NULL) mri_view_put(&into->views[i], data, begin, size, 0);
        longest = MR_MAX(longest, size);
        begin = ends[i] + 1;
    }
    /* Where a line was cut, that is the only position there is. */
    if (i > 0) reader->continues = data[ends[i - 1]] != '\n';
    into->rows = i;
    into->far = longest > MR_VIEW_INLINE;
    reader->row += i;
    reader->position_at += i;
    chunk->begin = begin;
}

/* The batch holds on to the chunk, so that its far views may point there. False: no memory. */
static bool hold_chunk(struct text_reader *reader, struct text_batch *into)
{
    struct mr_batch *batch = into->batch;
    const char **buffers = mr_batch_memory(batch, sizeof *buffers);

    if (buffers == NULL) return false;
    buffers[0] = reader->chunk.data;
    batch->columns[0].buffers = buffers;
    batch->columns[0].buffer_count = 1;
    if (mr_batch_adopt(batch, mr_block_ref(reader->chunk.block))) return true;
    mr_block_release(reader->chunk.block);
    return false;
}

static enum mr_status take_lines(struct text_reader *reader, struct text_batch *into,
                                 bool *out_memory, struct mr_error *err)
{
    struct mri_chunk *chunk = &reader->chunk;
    uint32_t begin = chunk->begin, position = reader->position_at;
    uint64_t row = reader->row;
    bool continues = reader->continues;
    uint32_t last = reader->positions[reader->position_count - 1];

    if ((reader->high && !reader->spec->binary) || last - begin > LINE_BYTES_MAX) {
        /* Memory first: what was rejected cannot be taken back. */
        *out_memory = into->views == NULL || hold_chunk(reader, into);
        return *out_memory ? take_lines_checked(reader, into, out_memory, err) : MR_OK;
    }
    take_lines_fast(reader, into);
    *out_memory = into->views == NULL || !into->far || hold_chunk(reader, into);
    if (!*out_memory) { /* again later, from where this began: nothing was handed out */
        chunk->begin = begin;
        reader->position_at = position;
        reader->row = row;
        reader->continues = continues;
    }
    return MR_OK;
}

static enum mr_status make_batch(struct text_reader *reader, struct mr_quota *quota,
                                 uint32_t row_limit, struct mr_batch **out, bool *out_memory,
                                 struct mr_error *err)
{
    struct text_batch into;
    enum mr_status st = MR_OK;
    uint32_t room = MR_MIN(row_limit, MR_BATCH_ROWS);

    room = MR_MIN(room, reader->position_count - reader->position_at);
    room = MR_MAX(room >> reader->squeeze, 1u);
    *out_memory = begin_batch(reader, quota, room, &into);
    if (!*out_memory) goto done;
    into.batch->origin = (struct mr_origin){
        .known = true,
        .split = reader->split->ordinal,
        .offset_bytes = mri_chunk_offset(&reader->chunk, reader->chunk.begin),
        .first_row = reader->row,
    };
    MR_GOTO(take_lines(reader, &into, out_memory, err));
    into.batch->row_count = into.rows;
    into.batch->origin_rows = into.origin_rows;
    if (*out_memory && into.rows > 0) {
        *out = into.batch;
        into.batch = NULL;
    }
done:
    mr_batch_release(into.batch);
    return st;
}

static bool at_limit(struct text_reader *reader)
{
    const struct mri_chunk *chunk = &reader->chunk;

    /* Also while skipping: a line that begins behind bytes beyond the limit is not ours. */
    if (!reader->continues && !chunk->reading &&
        mri_chunk_offset(chunk, chunk->begin) >= reader->limit) {
        reader->done = true;
    }
    return reader->done;
}

static enum mr_status text_read(void *self, struct mr_quota *quota, uint32_t row_limit,
                                enum mr_source_flow *out_flow, struct mr_batch **out,
                                struct mr_error *err)
{
    struct text_reader *reader = self;
    bool found = false;
    bool memory;

    *out = NULL;
    if (reader->resume.active) {
        return mri_resume_step(&reader->resume, &reader->input, &reader->chunk, quota, out_flow,
                               err);
    }
    *out_flow = MR_SOURCE_DONE;
    if (at_limit(reader)) {
        mri_chunk_drop(&reader->chunk);
        return MR_OK;
    }
    MR_RET(find_any(reader, quota, &found, out_flow, err));
    if (found) skip_line(reader);
    if (at_limit(reader)) *out_flow = MR_SOURCE_DONE;
    if (reader->done || reader->position_at == reader->position_count) return MR_OK;
    MR_RET(make_batch(reader, quota, row_limit, out, &memory, err));
    /* Others hold the memory: wait for them. If that does not help, a smaller batch may fit. */
    if (!memory) *out_flow = MR_SOURCE_BLOCKED;
    reader->squeeze = memory ? 0 : MR_MIN(reader->squeeze + 1, 31u);
    return MR_OK;
}

/* ---- the rest of the interface ---- */

static enum mr_status read_line(struct mri_place *place, struct mr_text *out, struct mr_error *err)
{
    int c;

    mr_text_clear(out);
    for (;;) {
        MR_RET(mri_place_byte(place, &c, err));
        if (c < 0 || c == '\n') break;
        if (out->size_bytes < LINE_BYTES_MAX) mr_text_add_char(out, (char)c);
    }
    return mr_text_status(out);
}

static enum mr_status locate_line(struct mri_place *place, uint64_t row, struct mr_heap *heap,
                                  struct mr_arena *arena, struct mr_reject *out,
                                  struct mr_error *err)
{
    enum mr_status st = MR_OK;
    struct mr_text raw;
    size_t size;
    char *copy;

    mr_text_init(&raw, heap, 0);
    for (uint64_t i = 0; i <= row; i++) {
        out->line = place->line;
        out->offset_bytes = place->offset;
        MR_GOTO(read_line(place, &raw, err));
    }
    size = raw.size_bytes;
    if (size > 0 && mr_text_get(&raw)[size - 1] == '\r') size--;
    copy = mr_arena_alloc(arena, size + 1);
    if (copy == NULL) {
        st = mr_error_nomem(err, "the text of a line", size);
        goto done;
    }
    memcpy(copy, mr_text_get(&raw), size);
    out->raw = (struct mr_bytes){copy, size};
done:
    mr_text_fini(&raw);
    return st;
}

static enum mr_status text_locate(void *self, const struct mr_plan_context *context,
                                  const struct mr_split *split, uint64_t offset_bytes, uint64_t row,
                                  struct mr_arena *arena, struct mr_reject *out,
                                  struct mr_error *err)
{
    struct text_spec *spec = self;
    uint32_t file_split = split->ordinal - (uint32_t)(split->offset_bytes / spec->split_bytes);
    struct mri_place place;
    enum mr_status st;

    out->split = split;
    out->column = 1;
    out->column_name = "line";
    MR_GOTO(mri_place_open(&place, &spec->places, &spec->files.files[split->detail], context, split,
                           file_split, offset_bytes, err));
    MR_GOTO(locate_line(&place, row, context->heap, arena, out, err));
done:
    mri_place_close(&place);
    return st;
}

static void text_describe(const void *self, struct mr_text *out)
{
    const struct text_spec *spec = self;

    mr_text_format(out, "text %s%s", strcmp(spec->path, "-") == 0 ? "stdin" : spec->path,
                   spec->binary ? ", any bytes" : "");
}

static void text_destroy(void *self)
{
    struct text_spec *spec = self;

    if (spec == NULL) return;
    mri_places_fini(&spec->places);
    mri_files_fini(&spec->files);
    mr_strfree(spec->heap, spec->path);
    mr_free(spec->heap, spec, sizeof *spec);
}

static const struct mr_source_ops text_ops = {
    .size = sizeof(struct mr_source_ops),
    .name = "text",
    .plan = text_plan,
    .open = text_open,
    .read = text_read,
    .progress_bytes = text_progress,
    .position = text_position,
    .close = text_close,
    .locate = text_locate,
    .describe = text_describe,
    .destroy = text_destroy,
};

void mri_text_source_split_bytes(struct mr_source *source, uint64_t split_bytes)
{
    mr_assert(source->ops == &text_ops && split_bytes > 0);
    ((struct text_spec *)source->spec)->split_bytes = split_bytes;
}

enum mr_status mr_text_source(struct mr_heap *heap, const struct mr_text_options *options,
                              struct mr_source *out, struct mr_error *err)
{
    enum mr_status st;
    struct mr_field field = {
        .name = "line", .type = options->binary ? MR_BINARY : MR_UTF8, .not_null = true};
    struct mr_schema *schema = NULL;
    struct text_spec *spec = NULL;

    if (options->path == NULL || options->path[0] == '\0') {
        return mr_error_set(err, MR_E_INVALID, "the path of the text source is empty");
    }
    MR_GOTO(mr_schema_create(heap, &field, 1, &schema, err));
    spec = mr_alloc_zero(heap, sizeof *spec);
    if (spec == NULL || (spec->path = mr_strdup(heap, options->path)) == NULL) {
        st = mr_error_nomem(err, "a text source", sizeof *spec);
        goto done;
    }
    spec->heap = heap;
    spec->binary = options->binary;
    spec->pieces = options->pieces;
    spec->split_bytes = MR_SPLIT_BYTES;
    *out = (struct mr_source){&text_ops, spec, schema};
    return MR_OK;
done:
    mr_free(heap, spec, sizeof *spec);
    mr_schema_release(schema);
    return st;
}
