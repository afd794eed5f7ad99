/* state_rig.h - what the tests here share: keys of several shapes from small numbers.
 *
 * rig_keys turns key numbers into columns; equal numbers give equal keys, different ones different
 * keys. The hashes are made with base/hash.h by its rules, not by the code under test.
 *
 * Owns:    static arrays: one set of keys at a time.
 * Thread:  confined.
 * Fails:   none.
 * Cost:    none that matters.
 */
#ifndef MR_STATE_RIG_H
#define MR_STATE_RIG_H

#include "base/hash.h"
#include "base/prng.h"
#include "mr_test.h"
#include "state/store_internal.h"

#include <stdio.h>

#define RIG_ROWS       128u
#define RIG_TEXT_BYTES 24000u
#define RIG_GROUPS     64u

enum rig_shape { RIG_INT, RIG_TEXT, RIG_MIXED, RIG_NONE, RIG_DECIMAL, RIG_SHAPES };

struct rig_column {
    struct mr_column column;
    uint64_t validity[RIG_ROWS / 64];
    uint64_t values[RIG_ROWS * 2];
    const char *buffers[RIG_ROWS];
};

struct rig_text {
    char data[RIG_TEXT_BYTES];
    uint32_t size;
};

struct rig {
    enum rig_shape shape;
    struct rig_column columns[8];
    struct mr_column flat[8];
    uint64_t hashes[RIG_ROWS];
    struct mr_keys keys;
};

MR_UNUSED static const struct mr_field rig_int[] = {{.name = "id", .type = MR_INT64}};
MR_UNUSED static const struct mr_field rig_text_field[] = {{.name = "word", .type = MR_UTF8}};
MR_UNUSED static const struct mr_field rig_decimal[] = {
    {.name = "price", .type = MR_DECIMAL, .precision = 38, .scale = 2}};
MR_UNUSED static const struct mr_field rig_mixed[] = {
    {.name = "day", .type = MR_DATE},  {.name = "a", .type = MR_UTF8},
    {.name = "flag", .type = MR_BOOL}, {.name = "x", .type = MR_FLOAT64},
    {.name = "y", .type = MR_FLOAT32}, {.name = "tiny", .type = MR_INT8},
    {.name = "b", .type = MR_BINARY},  {.name = "small", .type = MR_INT16}};

MR_UNUSED static const struct mr_field *rig_fields(enum rig_shape shape, uint32_t *out_count)
{
    switch (shape) {
    case RIG_INT: *out_count = 1; return rig_int;
    case RIG_TEXT: *out_count = 1; return rig_text_field;
    case RIG_MIXED: *out_count = 8; return rig_mixed;
    case RIG_DECIMAL: *out_count = 1; return rig_decimal;
    case RIG_NONE:
    case RIG_SHAPES: break;
    }
    *out_count = 0;
    return NULL;
}

/* Empty, short, just inline, just far, equal size and prefix, zero bytes inside, very long. */
MR_UNUSED static uint32_t rig_make_text(uint32_t id, char *out)
{
    int size = 0;

    switch (id % 8) {
    case 0: size = id == 0 ? 0 : sprintf(out, "k%u", id); break;
    case 1: size = sprintf(out, "%012u", id); break;
    case 2: size = sprintf(out, "%013u", id); break;
    case 3: size = sprintf(out, "the same beginning %06u", id); break;
    case 4: size = sprintf(out, "%06u the same end and size", id); break;
    case 5:
        size = sprintf(out, "zero_%06u_bytes_", id);
        out[4] = out[11] = '\0';
        break;
    case 6:
        memset(out, 'x', 300 + id % 100);
        size = 300 + (int)(id % 100) + sprintf(out + 300 + id % 100, "%u", id);
        break;
    default:
        if (id % 64 != 7) {
            size = sprintf(out, "\xff%u", id);
        } else {
            memset(out, 'y', 20000);
            size = 20000 + sprintf(out + 20000, "%u", id);
        }
    }
    return (uint32_t)size;
}

/* Null in about one of nine keys; `salt` makes the columns of a key differ. */
MR_UNUSED static bool rig_is_null(uint32_t id, uint32_t salt)
{
    return (id * 7 + salt * 5) % 9 == 4;
}

/* The canonical hash of one value, straight from its definition; and the value into the column. */
MR_UNUSED static uint64_t rig_put(struct rig_column *column, const struct mr_field *field,
                                  uint32_t row, uint32_t id, bool null)
{
    static struct rig_text texts[8][RIG_ROWS];
    struct rig_text *text = &texts[field->name[0] % 8][row]; /* a, b and word differ */
    double x = (double)id / 4 - 10;
    struct mr_view view;
    mr_i128 wide = ((mr_i128)id << 70) - id;

    if (null) {
        mr_bit_clear(column->validity, row);
        /* What lies there must not matter. */
        if (field->type == MR_INT64 || field->type == MR_FLOAT64) column->values[row] = id;
        if (mr_type_is_text(field->type)) column->values[2 * row] = UINT64_MAX;
        return MR_HASH_NULL;
    }
    mr_bit_set(column->validity, row);
    switch (field->type) {
    case MR_INT64:
        ((int64_t *)(void *)column->values)[row] = (int64_t)id * 1000003 - 50;
        return mr_hash_int64((int64_t)id * 1000003 - 50);
    case MR_DATE:
        ((int32_t *)(void *)column->values)[row] = -(int32_t)id;
        return mr_hash_int64(-(int64_t)id);
    case MR_INT16:
        ((int16_t *)(void *)column->values)[row] = (int16_t)(id % 300 - 150);
        return mr_hash_int64((int16_t)(id % 300 - 150));
    case MR_INT8:
        ((int8_t *)(void *)column->values)[row] = (int8_t)(id % 100 - 50);
        return mr_hash_int64((int8_t)(id % 100 - 50));
    case MR_BOOL: mr_bit_assign(column->values, row, id % 2); return mr_hash_int64(id % 2);
    case MR_FLOAT64:
        if (id == 40) x = row % 2 ? 0.0 : -0.0; /* both are one key */
        ((double *)(void *)column->values)[row] = x;
        return mr_hash_float64(x);
    case MR_FLOAT32:
        ((float *)(void *)column->values)[row] = (float)x;
        return mr_hash_float64((double)(float)x);
    case MR_DECIMAL: memcpy(&column->values[2 * row], &wide, 16); return mr_hash_int128(wide);
    case MR_UTF8:
    case MR_BINARY:
        text->size = rig_make_text(id + (field->type == MR_BINARY ? 3 : 0), text->data);
        view = mr_view_make(text->data, text->size, row, 0);
        column->buffers[row] = text->data;
        memcpy(&column->values[2 * row], &view, 16);
        return mr_hash_bytes(text->data, text->size);
    case MR_TYPE_NONE:
    case MR_INT32:
    case MR_TIME:
    case MR_TIMESTAMP:
    case MR_TIMESTAMP_LTZ:
    case MR_INTERVAL:
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: break;
    }
    MR_FAIL("no such column in the rig");
}

/* Fills rig->keys with the keys of ids[0..count). In the mixed shape the first column makes keys
 * unique; its neighbours are sometimes null. */
MR_UNUSED static void rig_keys(struct rig *rig, const uint32_t *ids, uint32_t count)
{
    uint32_t column_count;
    const struct mr_field *fields = rig_fields(rig->shape, &column_count);

    MR_EXPECT(count <= RIG_ROWS);
    for (uint32_t row = 0; row < count; row++) rig->hashes[row] = 0;
    for (uint32_t c = 0; c < column_count; c++) {
        struct rig_column *column = &rig->columns[c];
        bool nulls = false;

        for (uint32_t row = 0; row < count; row++) {
            bool null = column_count > 1 ? c > 0 && rig_is_null(ids[row], c) : ids[row] == 5;
            uint64_t hash = rig_put(column, &fields[c], row, ids[row], null);

            nulls |= null;
            rig->hashes[row] = c == 0 ? hash : mr_hash_combine(rig->hashes[row], hash);
        }
        rig->flat[c] = (struct mr_column){.type = (uint8_t)fields[c].type,
                                          .precision = fields[c].precision,
                                          .scale = fields[c].scale,
                                          .buffer_count = count,
                                          .validity = nulls ? column->validity : NULL,
                                          .values = column->values,
                                          .buffers = column->buffers};
    }
    rig->keys = (struct mr_keys){rig->flat, rig->hashes, count};
}

MR_UNUSED static struct mr_store *rig_store(enum rig_shape shape, bool tracks, uint32_t group_first,
                                            uint32_t group_end)
{
    uint32_t count;
    const struct mr_field *fields = rig_fields(shape, &count);
    struct mr_store_options options = {.operator_id = "rig",
                                       .key_group_count = RIG_GROUPS,
                                       .keys = fields,
                                       .key_count = count,
                                       .group_first = group_first,
                                       .group_end = group_end,
                                       .track_changes = tracks};
    struct mr_store *store = NULL;
    struct mr_error err = {MR_OK, ""};
    enum mr_status st = mr_store_create(mr_test_heap(), &options, &store, &err);

    return st == MR_OK ? store : NULL;
}

/* Checks every table, and that their counts add up: invariant 3 of store.h. */
MR_UNUSED static void rig_check(const struct mr_store *store)
{
    uint64_t keys = 0;

    for (uint32_t s = 0; s < MR_STATES_MAX; s++) {
        const struct mri_state *state = &store->states[s];

        for (uint32_t i = 0; i < state->table_count; i++) {
            const struct mr_table *table = state->tables[state->first_table + i];

            mri_table_check(table);
            keys += table->count;
            MR_EXPECT(i == 0 || state->tables[state->first_table + i - 1]->ns < table->ns);
        }
    }
    MR_EXPECT_EQ_UINT(keys, mr_store_key_count(store));
    mr_timers_check(store->timers);
}

#endif
