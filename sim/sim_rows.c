#include "sim_rows.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/text.h"
#include "sim_world.h"

#include <string.h>

#define MILLION 1000000u

/* ---- rows ---- */

static uint64_t mix(uint64_t seed, uint64_t n)
{
    return (uint64_t)mr_hash_int64((int64_t)(seed * UINT64_C(0x9e3779b97f4a7c15) + n));
}

struct sim_row sim_row(const struct sim_rows *rows, uint32_t split, uint64_t seq)
{
    uint64_t random = mix(rows->seed + split, seq), more = mix(random, 1);
    int64_t ts = rows->base_us + (int64_t)seq * rows->step_us;
    uint64_t key = random % rows->keys;

    if (rows->delay_us > 0) ts -= (int64_t)(more % (uint64_t)rows->delay_us);
    if (mix(random, 2) % MILLION < rows->late_ppm) ts -= rows->late_us;
    if (rows->skewed && (random >> 40 & 1) != 0) key = 0;
    return (struct sim_row){
        {(int64_t)split, (int64_t)seq, (int64_t)key, (int64_t)(more >> 32 & 1023), ts}};
}

int64_t sim_row_born_us(const struct sim_rows *rows, uint32_t split, uint64_t seq)
{
    int64_t us = rows->start_us + (int64_t)seq * rows->every_us + (int64_t)split * 137;

    if (rows->pause_at >= 0 && seq > (uint64_t)rows->pause_at) us += rows->pause_us;
    return us;
}

/* ---- the source ---- */

struct rows_spec {
    struct mr_heap *heap;
    struct sim_world *world;
};

struct rows_reader {
    struct mr_heap *heap;
    struct sim_world *world;
    const struct sim_rows *rows;
    uint32_t split;
    uint64_t next;
};

static enum mr_status rows_plan(void *self, const struct mr_plan_context *context,
                                struct mr_split_list *out, struct mr_error *err)
{
    const struct rows_spec *spec = self;
    const struct sim_rows *rows = &spec->world->rows;

    (void)context;
    out->bounded = rows->bounded;
    out->total_bytes = UINT64_MAX;
    out->count = rows->splits;
    out->splits = mr_arena_alloc(out->arena, rows->splits * sizeof *out->splits);
    if (out->splits == NULL) return mr_error_nomem(err, "the splits", rows->splits);
    for (uint32_t i = 0; i < rows->splits; i++) {
        out->splits[i] = (struct mr_split){
            .ordinal = i, .name = "rows", .size_bytes = UINT64_MAX, .lower_bound_us = MR_TIME_MIN};
    }
    return MR_OK;
}

static enum mr_status take_position(struct rows_reader *reader, struct mr_bytes bytes,
                                    struct mr_error *err)
{
    struct mr_cursor cursor = {bytes.data, bytes.data + bytes.size_bytes};
    uint64_t seed, split;

    if (!mr_cursor_u64(&cursor, &seed) || !mr_cursor_u64(&cursor, &split) ||
        !mr_cursor_u64(&cursor, &reader->next) || cursor.at != cursor.end) {
        return mr_error_set(err, MR_E_CORRUPT, "the position of a split has %zu bytes",
                            bytes.size_bytes);
    }
    if (seed != reader->rows->seed || split != reader->split) {
        return mr_error_set(err, MR_E_CHANGED, "a position of another input or split");
    }
    return MR_OK;
}

static enum mr_status rows_open(void *self, const struct mr_split *split,
                                const struct mr_reader_context *context, void **out,
                                struct mr_error *err)
{
    const struct rows_spec *spec = self;
    struct rows_reader *reader = mr_alloc_zero(context->heap, sizeof *reader);

    if (reader == NULL) return mr_error_nomem(err, "a reader", sizeof *reader);
    reader->heap = context->heap;
    reader->world = spec->world;
    reader->rows = &spec->world->rows;
    reader->split = split->ordinal;
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

static uint32_t rows_there(const struct rows_reader *reader, uint32_t limit)
{
    uint32_t count = 0;

    while (count < limit && reader->next + count < reader->rows->per_split &&
           sim_row_born_us(reader->rows, reader->split, reader->next + count) <=
               reader->world->now_us) {
        count++;
    }
    return count;
}

static bool fill(const struct rows_reader *reader, struct mr_batch *batch, uint32_t count)
{
    int64_t *values[SIM_COLUMNS];

    for (uint32_t c = 0; c < SIM_COLUMNS; c++) {
        values[c] = mr_batch_values(batch, MR_LAYOUT_I64, count);
        if (values[c] == NULL) return false;
        batch->columns[c] = (struct mr_column){
            .type = c == SIM_COLUMN_TS ? MR_TIMESTAMP_LTZ : MR_INT64, .values = values[c]};
    }
    for (uint32_t i = 0; i < count; i++) {
        struct sim_row row = sim_row(reader->rows, reader->split, reader->next + i);

        for (uint32_t c = 0; c < SIM_COLUMNS; c++) values[c][i] = row.v[c];
    }
    return true;
}

static enum mr_status rows_read(void *self, struct mr_quota *quota, uint32_t row_limit,
                                enum mr_source_flow *out_flow, struct mr_batch **out,
                                struct mr_error *err)
{
    struct rows_reader *reader = self;
    uint32_t count = rows_there(reader, MR_MIN(row_limit, MR_BATCH_ROWS));
    struct mr_batch *batch;

    *out = NULL;
    *out_flow = MR_SOURCE_DONE;
    if (reader->next == reader->rows->per_split) return MR_OK;
    if (sim_world_fault(reader->world, SIM_FAULT_SOURCE)) {
        return mr_error_set(err, MR_E_IO, "the source is not there for a moment");
    }
    *out_flow = MR_SOURCE_BLOCKED;
    if (count == 0) {
        sim_world_wake_at(reader->world,
                          sim_row_born_us(reader->rows, reader->split, reader->next));
        return MR_OK;
    }
    batch = mr_batch_new(quota, SIM_COLUMNS, count * sizeof(int64_t) * SIM_COLUMNS + 1024);
    if (batch == NULL || !fill(reader, batch, count)) {
        mr_batch_release(batch);
        return MR_OK;
    }
    batch->row_count = count;
    batch->origin = (struct mr_origin){.known = true,
                                       .split = reader->split,
                                       .offset_bytes = reader->next,
                                       .first_row = reader->next};
    reader->next += count;
    *out = batch;
    *out_flow = MR_SOURCE_MORE;
    return MR_OK;
}

static enum mr_status rows_position(void *self, struct mr_buffer *out, struct mr_error *err)
{
    const struct rows_reader *reader = self;
    uint64_t next = reader->next;

    if (sim_world_planted(reader->world, "canary-skip") && next > 0) next++;
    if (sim_world_planted(reader->world, "canary-repeat") && next > 0) next--;
    if (mr_buffer_put_u64(out, reader->rows->seed) && mr_buffer_put_u64(out, reader->split) &&
        mr_buffer_put_u64(out, next)) {
        return MR_OK;
    }
    return mr_error_nomem(err, "a position", 24);
}

static void rows_close(void *self)
{
    struct rows_reader *reader = self;

    mr_free(reader->heap, reader, sizeof *reader);
}

static void rows_describe(const void *self, struct mr_text *out)
{
    (void)self;
    mr_text_add(out, "simulated rows");
}

static void rows_destroy(void *self)
{
    struct rows_spec *spec = self;

    if (spec != NULL) mr_free(spec->heap, spec, sizeof *spec);
}

static const struct mr_source_ops rows_ops = {
    .size = sizeof(struct mr_source_ops),
    .name = "rows",
    .plan = rows_plan,
    .open = rows_open,
    .read = rows_read,
    .position = rows_position,
    .close = rows_close,
    .describe = rows_describe,
    .destroy = rows_destroy,
};

enum mr_status sim_source(struct mr_heap *heap, struct sim_world *world, struct mr_source *out,
                          struct mr_error *err)
{
    static const struct mr_field fields[SIM_COLUMNS] = {
        {.name = "split", .type = MR_INT64, .not_null = true},
        {.name = "seq", .type = MR_INT64, .not_null = true},
        {.name = "key", .type = MR_INT64, .not_null = true},
        {.name = "value", .type = MR_INT64, .not_null = true},
        {.name = "ts", .type = MR_TIMESTAMP_LTZ, .not_null = true},
    };
    struct rows_spec *spec;
    struct mr_schema *schema;

    MR_RET(mr_schema_create(heap, fields, SIM_COLUMNS, &schema, err));
    spec = mr_alloc_zero(heap, sizeof *spec);
    if (spec == NULL) {
        mr_schema_release(schema);
        return mr_error_nomem(err, "a source", sizeof *spec);
    }
    spec->heap = heap;
    spec->world = world;
    *out = (struct mr_source){&rows_ops, spec, schema};
    return MR_OK;
}
