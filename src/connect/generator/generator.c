/* generator.c - rows made from numbers; see connect.h. */
#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "connect/connect.h"
#include "connect/position.h"

#include <string.h>

#define ROWS_PER_SPLIT (UINT64_C(1) << 20)
#define SPLITS_MAX     (UINT64_C(1) << 16)
#define VALUES         UINT64_C(1000)
#define COLUMNS        4u

enum column { COLUMN_N, COLUMN_TS, COLUMN_KEY, COLUMN_VALUE };

struct generator_spec {
    struct mr_heap *heap;
    struct mr_generator_options options;
};

struct generator_reader {
    const struct generator_spec *spec;
    struct mr_reader_context context;
    uint32_t split;
    uint64_t begin;
    uint64_t next;
    uint64_t end;
    uint32_t squeeze; /* halvings of the batch, while memory is short */
};

/* The finalizer of splitmix64 (Steele, Lea, Flood 2014) over a step of its sequence. */
static uint64_t mix(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Time of row n; checked when the source was made for bounded ones, wraps for endless ones only. */
static int64_t time_of(const struct generator_spec *spec, uint64_t n)
{
    return (int64_t)((uint64_t)spec->options.start_us + n * (uint64_t)spec->options.step_us);
}

/* ---- plan ---- */

static enum mr_status generator_plan(void *self, const struct mr_plan_context *context,
                                     struct mr_split_list *out, struct mr_error *err)
{
    const struct generator_spec *spec = self;
    uint64_t rows = spec->options.rows;
    uint64_t per_split = ROWS_PER_SPLIT;
    uint64_t count;

    out->bounded = rows != UINT64_MAX;
    out->total_bytes = UINT64_MAX;
    while (out->bounded && rows / per_split >= SPLITS_MAX) per_split *= 2;
    if (context->streaming || !out->bounded) per_split = UINT64_MAX;
    count = rows == 0 ? 1 : rows / per_split + (rows % per_split != 0);
    out->splits = mr_arena_alloc(out->arena, count * sizeof *out->splits);
    if (out->splits == NULL) return mr_error_nomem(err, "the list of splits", count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t begin = i * per_split;

        out->splits[i] = (struct mr_split){
            .ordinal = (uint32_t)i,
            .name = "generator",
            .offset_bytes = begin, /* in rows */
            .size_bytes = UINT64_MAX,
            .lower_bound_us = time_of(spec, begin),
            .detail = MR_MIN(per_split, rows - begin),
        };
    }
    out->count = (uint32_t)count;
    return MR_OK;
}

/* ---- position ---- */

#define NUMBERS 8u

/* What the rows of a reader depend on, then the next row. */
static void position_numbers(const struct generator_reader *reader, uint64_t *out)
{
    const struct mr_generator_options *options = &reader->spec->options;
    const uint64_t numbers[NUMBERS] = {options->rows,
                                       (uint64_t)options->start_us,
                                       (uint64_t)options->step_us,
                                       options->keys,
                                       options->seed,
                                       reader->begin,
                                       reader->end,
                                       reader->next};

    memcpy(out, numbers, sizeof numbers);
}

static enum mr_status generator_position(void *self, struct mr_buffer *out, struct mr_error *err)
{
    const struct generator_reader *reader = self;
    size_t start = out->size_bytes;
    uint64_t numbers[NUMBERS];
    bool ok = mri_position_begin(out, MRI_POSITION_GENERATOR, 0);

    position_numbers(reader, numbers);
    for (uint32_t i = 0; i < NUMBERS && ok; i++) ok = mr_buffer_put_u64(out, numbers[i]);
    if (ok && mri_position_end(out, start)) return MR_OK;
    out->size_bytes = start;
    return mr_error_nomem(err, "the position of a generator", sizeof numbers);
}

static enum mr_status take_position(struct generator_reader *reader, struct mr_bytes bytes,
                                    struct mr_error *err)
{
    uint64_t now[NUMBERS], then[NUMBERS];
    struct mr_cursor body;
    uint16_t flags;

    MR_RET(mri_position_open(bytes, MRI_POSITION_GENERATOR, "generator", &flags, &body, err));
    position_numbers(reader, now);
    for (uint32_t i = 0; i < NUMBERS; i++) {
        if (!mr_cursor_u64(&body, &then[i]))
            return mri_position_corrupt("generator", "too short", err);
    }
    if (body.at != body.end || flags != 0) {
        return mri_position_corrupt("generator", "too long", err);
    }
    if (memcmp(now, then, sizeof now - sizeof now[0]) != 0) {
        return mr_error_set(
            err, MR_E_CHANGED,
            "the generator has other options (rows, times, keys or seed) than when the "
            "job started; give the same ones, or start anew with --fresh");
    }
    reader->next = then[NUMBERS - 1];
    if (reader->begin <= reader->next && reader->next <= reader->end) return MR_OK;
    return mri_position_corrupt("generator", "it lies outside of the rows", err);
}

/* ---- read ---- */

static enum mr_status generator_open(void *self, const struct mr_split *split,
                                     const struct mr_reader_context *context, void **out,
                                     struct mr_error *err)
{
    struct generator_reader *reader = mr_alloc_zero(context->heap, sizeof *reader);

    if (reader == NULL) return mr_error_nomem(err, "a reader of the generator", sizeof *reader);
    reader->spec = self;
    reader->context = *context;
    reader->split = split->ordinal;
    reader->begin = reader->next = split->offset_bytes;
    reader->end = split->offset_bytes + split->detail;
    if (context->resume.data != NULL) {
        enum mr_status st = take_position(reader, context->resume, err);

        if (st != MR_OK) {
            mr_free(context->heap, reader, sizeof *reader);
            return st;
        }
    }
    *out = reader;
    return MR_OK;
}

static void generator_close(void *self)
{
    struct generator_reader *reader = self;

    if (reader != NULL) mr_free(reader->context.heap, reader, sizeof *reader);
}

static bool wanted(const struct generator_reader *reader, uint32_t column)
{
    if (column == COLUMN_TS && reader->context.hidden_mask >> MR_HIDDEN_EVENT_TIME & 1) return true;
    return reader->context.projection == NULL || mr_bit_get(reader->context.projection, column);
}

static void fill_column(const struct generator_reader *reader, enum column column, int64_t *values,
                        uint32_t rows)
{
    const struct mr_generator_options *options = &reader->spec->options;
    uint64_t n = reader->next;

    for (uint32_t i = 0; i < rows; i++, n++) {
        uint64_t random = mix(options->seed, n);

        switch (column) {
        case COLUMN_N: values[i] = (int64_t)n; break;
        case COLUMN_TS: values[i] = time_of(reader->spec, n); break;
        /* The high half for one, the low half for the other: independent of each other. */
        case COLUMN_KEY: values[i] = (int64_t)(((mr_u128)random * options->keys) >> 64); break;
        case COLUMN_VALUE: values[i] = (int64_t)((random & UINT32_MAX) * VALUES >> 32); break;
        }
    }
}

static bool fill_batch(const struct generator_reader *reader, struct mr_batch *batch, uint32_t rows)
{
    char *null = mr_batch_memory(batch, 64);
    struct mr_column *hidden;

    if (null == NULL) return false;
    memset(null, 0, 64);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        struct mr_column *column = &batch->columns[c];
        int64_t *values;

        column->type = c == COLUMN_TS ? MR_TIMESTAMP_LTZ : MR_INT64;
        if (!wanted(reader, c)) {
            column->encoding = MR_CONST;
            column->values = null;
            column->validity = (const uint64_t *)(const void *)null;
            continue;
        }
        values = mr_batch_values(batch, MR_LAYOUT_I64, rows);
        if (values == NULL) return false;
        fill_column(reader, (enum column)c, values, rows);
        column->values = values;
    }
    if (!(reader->context.hidden_mask >> MR_HIDDEN_EVENT_TIME & 1)) return true;
    hidden = mr_batch_memory(batch, sizeof *hidden);
    if (hidden == NULL) return false;
    *hidden = batch->columns[COLUMN_TS];
    batch->hidden[MR_HIDDEN_EVENT_TIME] = hidden;
    return true;
}

static enum mr_status generator_read(void *self, struct mr_quota *quota, uint32_t row_limit,
                                     enum mr_source_flow *out_flow, struct mr_batch **out,
                                     struct mr_error *err)
{
    struct generator_reader *reader = self;
    uint32_t rows = MR_MIN(row_limit, MR_BATCH_ROWS);
    struct mr_batch *batch;

    (void)err;
    *out = NULL;
    *out_flow = MR_SOURCE_DONE;
    if (reader->next == reader->end) return MR_OK;
    rows = (uint32_t)MR_MIN((uint64_t)rows, reader->end - reader->next);
    rows = MR_MAX(rows >> reader->squeeze, 1u);
    batch = mr_batch_new(quota, COLUMNS, rows * sizeof(int64_t) * COLUMNS + 1024);
    if (batch == NULL || !fill_batch(reader, batch, rows)) {
        mr_batch_release(batch);
        reader->squeeze = MR_MIN(reader->squeeze + 1, 31u);
        *out_flow = MR_SOURCE_BLOCKED;
        return MR_OK;
    }
    reader->squeeze = 0;
    batch->row_count = rows;
    batch->origin = (struct mr_origin){.known = true,
                                       .split = reader->split,
                                       .offset_bytes = reader->next,
                                       .first_row = reader->next - reader->begin};
    reader->next += rows;
    *out = batch;
    *out_flow = MR_SOURCE_MORE;
    return MR_OK;
}

static uint64_t generator_progress(const void *self)
{
    (void)self;
    return 0; /* no bytes are read */
}

/* ---- the rest of the interface ---- */

static enum mr_status generator_locate(void *self, const struct mr_plan_context *context,
                                       const struct mr_split *split, uint64_t offset_bytes,
                                       uint64_t row, struct mr_arena *arena, struct mr_reject *out,
                                       struct mr_error *err)
{
    const struct generator_spec *spec = self;
    uint64_t n = offset_bytes + row;
    struct mr_text text;
    char *copy;
    size_t size;

    mr_text_init(&text, context->heap, 0);
    mr_text_format(&text, "n=%llu ts=%lld", (unsigned long long)n, (long long)time_of(spec, n));
    size = text.size_bytes;
    copy = mr_arena_alloc(arena, size + 1);
    if (copy != NULL) memcpy(copy, mr_text_get(&text), size);
    mr_text_fini(&text);
    if (copy == NULL) return mr_error_nomem(err, "the text of a row", size);
    out->split = split;
    out->line = n + 1;
    out->offset_bytes = n;
    out->raw = (struct mr_bytes){copy, size};
    return MR_OK;
}

static void generator_describe(const void *self, struct mr_text *out)
{
    const struct generator_spec *spec = self;

    if (spec->options.rows == UINT64_MAX) {
        mr_text_add(out, "generator without end");
    } else {
        mr_text_format(out, "generator of %llu rows", (unsigned long long)spec->options.rows);
    }
    mr_text_format(out, ", %llu keys", (unsigned long long)spec->options.keys);
}

static void generator_destroy(void *self)
{
    struct generator_spec *spec = self;

    if (spec != NULL) mr_free(spec->heap, spec, sizeof *spec);
}

static const struct mr_source_ops generator_ops = {
    .size = sizeof(struct mr_source_ops),
    .name = "generator",
    .plan = generator_plan,
    .open = generator_open,
    .read = generator_read,
    .progress_bytes = generator_progress,
    .position = generator_position,
    .close = generator_close,
    .locate = generator_locate,
    .describe = generator_describe,
    .destroy = generator_destroy,
};

static enum mr_status check_options(const struct mr_generator_options *options,
                                    struct mr_error *err)
{
    mr_i128 last;

    if (options->keys == 0 || options->keys > INT64_MAX) {
        return mr_error_set(err, MR_E_INVALID, "the generator needs between 1 and %lld keys",
                            (long long)INT64_MAX);
    }
    if (options->step_us < 0) {
        return mr_error_set(err, MR_E_INVALID, "the generator's step must not be negative");
    }
    if (options->rows == UINT64_MAX) return MR_OK;
    if (options->rows > INT64_MAX) {
        return mr_error_set(err, MR_E_INVALID, "the generator makes at most %lld rows",
                            (long long)INT64_MAX);
    }
    last = (mr_i128)options->start_us + (mr_i128)options->step_us * (mr_i128)options->rows;
    if (options->start_us <= MR_TIME_MIN || last >= MR_TIME_MAX) {
        return mr_error_set(err, MR_E_INVALID,
                            "the generator's times leave the range of event times; use fewer rows "
                            "or a smaller step");
    }
    return MR_OK;
}

enum mr_status mr_generator_source(struct mr_heap *heap, const struct mr_generator_options *options,
                                   struct mr_source *out, struct mr_error *err)
{
    static const struct mr_field fields[COLUMNS] = {
        {.name = "n", .type = MR_INT64, .not_null = true},
        {.name = "ts", .type = MR_TIMESTAMP_LTZ, .not_null = true},
        {.name = "key", .type = MR_INT64, .not_null = true},
        {.name = "value", .type = MR_INT64, .not_null = true},
    };
    struct generator_spec *spec;
    struct mr_schema *schema;

    MR_RET(check_options(options, err));
    MR_RET(mr_schema_create(heap, fields, COLUMNS, &schema, err));
    spec = mr_alloc_zero(heap, sizeof *spec);
    if (spec == NULL) {
        mr_schema_release(schema);
        return mr_error_nomem(err, "a generator", sizeof *spec);
    }
    spec->heap = heap;
    spec->options = *options;
    *out = (struct mr_source){&generator_ops, spec, schema};
    return MR_OK;
}
