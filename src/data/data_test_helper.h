/* data_test_helper.h - for tests of any module: batches from literals, batches as text.
 *
 *     struct mr_data_test t;
 *     mr_data_test_open(&t);
 *     struct mr_schema *schema = mr_data_schema("id int64, name utf8, tags list<utf8>");
 *     struct mr_batch *batch = mr_data_batch(&t.quota, schema, "1|abc|[x,y]\n"
 *                                                              "2|NULL|[]\n");
 *     MR_EXPECT_EQ_STR(mr_data_print(batch), "1|abc|[x,y]\n2|NULL|[]\n");
 *     mr_batch_release(batch);
 *     mr_schema_release(schema);
 *     mr_data_test_close(&t);
 *
 * One line per row, columns divided by |. Integers, dates, times and intervals are plain numbers,
 * bools true and false, decimals have their point, nulls are NULL. Nested: [a,b] for lists, {a,b}
 * for structs, [k:v,k:v] for maps. Bytes that would be taken for something else are
 * written \xNN (inside nested values also , : and brackets).
 *
 * Owns:    the pool and quota of a struct mr_data_test; texts live until the print after the next.
 * Thread:  confined to the test's thread.
 * Fails:   fails the test.
 * Cost:    none that matters.
 */
#ifndef MR_DATA_TEST_HELPER_H
#define MR_DATA_TEST_HELPER_H

#include "base/prng.h"
#include "data/builder.h"
#include "data/builder_internal.h"
#include "data/data_internal.h"
#include "mr_test.h"

#include <stdio.h>
#include <stdlib.h>

struct mr_data_test {
    struct mr_pool *pool;
    struct mr_quota quota;
};

MR_UNUSED static void mr_data_test_open(struct mr_data_test *t)
{
    struct mr_error err;

    MR_EXPECT_OK(mr_pool_create(mr_test_heap(), SIZE_MAX, &t->pool, &err), &err);
    mr_quota_init(&t->quota, t->pool, "test", SIZE_MAX);
}

MR_UNUSED static void mr_data_test_close(struct mr_data_test *t)
{
    MR_EXPECT_EQ_UINT(t->quota.used_bytes, 0);
    mr_pool_destroy(t->pool);
}

/* ---- schemas from text: "a int64, b decimal(10,2) not null, c list<struct<x int8>>" ---- */

struct mr_data_parser {
    const char *at;
    struct mr_field fields[256];
    char names[256][32];
    uint32_t count;
};

MR_UNUSED static void mr_data_skip(struct mr_data_parser *p)
{
    while (*p->at == ' ' || *p->at == ',') p->at++;
}

MR_UNUSED static void mr_data_word(struct mr_data_parser *p, char *out)
{
    size_t n = strcspn(p->at, " ,<>()");

    if (n == 0 || n >= 32) MR_FAIL("schema text: expected a word at '%s'", p->at);
    memcpy(out, p->at, n);
    out[n] = '\0';
    p->at += n;
}

MR_UNUSED static uint32_t mr_data_fields(struct mr_data_parser *p, struct mr_field *out,
                                         bool named);

MR_UNUSED static void mr_data_type(struct mr_data_parser *p, struct mr_field *field)
{
    char word[32];

    mr_data_word(p, word);
    for (int type = MR_BOOL; type <= MR_MAP; type++) {
        if (strcmp(mr_type_name((enum mr_type)type), word) == 0) field->type = (enum mr_type)type;
    }
    if (field->type == MR_TYPE_NONE) MR_FAIL("schema text: unknown type '%s'", word);
    if (field->type == MR_DECIMAL) {
        unsigned precision = 0, scale = 0;

        if (sscanf(p->at, "(%u,%u)", &precision, &scale) != 2) MR_FAIL("decimal(p,s) expected");
        field->precision = (uint8_t)precision;
        field->scale = (uint8_t)scale;
        p->at = strchr(p->at, ')') + 1;
    }
    if (*p->at == '<') {
        struct mr_field *children;

        p->at++;
        children = &p->fields[p->count];
        p->count += 16; /* room for this level */
        if (p->count > MR_COUNT(p->fields)) MR_FAIL("schema text: too many nested columns");
        field->children = children;
        field->child_count = mr_data_fields(p, children, field->type == MR_STRUCT);
        if (*p->at++ != '>') MR_FAIL("schema text: > expected");
    }
    if (strncmp(p->at, " not null", 9) == 0) {
        field->not_null = true;
        p->at += 9;
    }
}

MR_UNUSED static uint32_t mr_data_fields(struct mr_data_parser *p, struct mr_field *out, bool named)
{
    uint32_t count = 0;

    for (mr_data_skip(p); *p->at != '\0' && *p->at != '>'; mr_data_skip(p)) {
        struct mr_field *field = &out[count++];
        char *name = p->names[field - p->fields];

        memset(field, 0, sizeof *field);
        if (named) mr_data_word(p, name);
        if (named) mr_data_skip(p);
        if (!named) memcpy(name, "item", 5);
        field->name = name;
        mr_data_type(p, field);
    }
    return count;
}

MR_UNUSED static struct mr_schema *mr_data_schema(const char *text)
{
    struct mr_data_parser *p = calloc(1, sizeof *p);
    struct mr_schema *schema = NULL;
    struct mr_error err;
    uint32_t count;

    if (p == NULL) MR_FAIL("no memory");
    p->at = text;
    p->count = 64; /* columns of the top level */
    count = mr_data_fields(p, p->fields, true);
    MR_EXPECT_OK(mr_schema_create(mr_test_heap(), p->fields, count, &schema, &err), &err);
    free(p);
    return schema;
}

/* ---- batches from text ---- */

MR_UNUSED static size_t mr_data_cell(const char **at, bool nested, char *out, size_t room)
{
    size_t n = 0;

    while (**at != '\0' && strchr(nested ? "|\n,:]}" : "|\n", **at) == NULL) {
        unsigned byte = (unsigned char)*(*at)++;

        if (byte == '\\' && sscanf(*at, "x%2x", &byte) == 1) *at += 3;
        if (n + 1 >= room) MR_FAIL("row text: a value is too long for the helper");
        out[n++] = (char)byte;
    }
    out[n] = '\0';
    return n;
}

MR_UNUSED static mr_i128 mr_data_decimal(const char *text, uint32_t scale)
{
    mr_i128 value = 0;
    const char *point = strchr(text, '.');
    uint32_t digits = point != NULL ? (uint32_t)strlen(point + 1) : 0;

    for (const char *c = text; *c != '\0'; c++) {
        if (*c >= '0' && *c <= '9') value = value * 10 + (*c - '0');
    }
    for (; digits < scale; digits++) value *= 10;
    return *text == '-' ? -value : value;
}

MR_UNUSED static void mr_data_value(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                                    const char **text, bool nested);

MR_UNUSED static void mr_data_list(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                                   const char **text)
{
    uint32_t count = 0, depth = 0;
    uint32_t first = 0;

    ++*text;
    for (const char *c = *text; depth > 0 || *c != ']'; c++) { /* count the elements */
        if (*c == '\0') MR_FAIL("row text: ] expected");
        depth += *c == '[' || *c == '{';
        depth -= *c == ']' || *c == '}';
        count += depth == 0 && *c == ',';
    }
    count += **text != ']';
    MR_EXPECT_EQ_INT(mri_lane_list(builder, lane, at, count, &first), MR_BUILD_OK);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < lane->child_count; k++) {
            mr_data_value(builder, &lane->children[k], first + i, text, true);
            if (**text == ',' || **text == ':') ++*text;
        }
    }
    if (*(*text)++ != ']') MR_FAIL("row text: ] expected at '%s'", *text - 1);
}

MR_UNUSED static void mr_data_struct(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                                     const char **text)
{
    ++*text;
    for (uint32_t k = 0; k < lane->child_count; k++) {
        mr_data_value(builder, &lane->children[k], at, text, true);
        if (**text == ',') ++*text;
    }
    if (*(*text)++ != '}') MR_FAIL("row text: } expected at '%s'", *text - 1);
    mri_lane_valid(lane, at);
}

MR_UNUSED static void mr_data_scalar(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                                     const char *cell, size_t size_bytes)
{
    if (strcmp(cell, "NULL") == 0) {
        mri_lane_null(lane, at);
    } else if (lane->layout == MR_LAYOUT_BIT) {
        mri_lane_int64(lane, at, strcmp(cell, "true") == 0);
    } else if (lane->layout == MR_LAYOUT_F32 || lane->layout == MR_LAYOUT_F64) {
        mri_lane_float64(lane, at, strtod(cell, NULL));
    } else if (lane->layout == MR_LAYOUT_I128) {
        mri_lane_int128(lane, at, mr_data_decimal(cell, lane->field->scale));
    } else if (lane->layout == MR_LAYOUT_VIEW) {
        MR_EXPECT_EQ_INT(mri_lane_bytes(builder, lane, at, cell, size_bytes), MR_BUILD_OK);
    } else {
        mri_lane_int64(lane, at, strtoll(cell, NULL, 10));
    }
}

MR_UNUSED static void mr_data_value(struct mr_builder *builder, struct mri_lane *lane, uint32_t at,
                                    const char **text, bool nested)
{
    static char cell[8192];

    if (lane->layout == MR_LAYOUT_LIST && **text == '[') {
        mr_data_list(builder, lane, at, text);
    } else if (lane->layout == MR_LAYOUT_STRUCT && **text == '{') {
        mr_data_struct(builder, lane, at, text);
    } else {
        size_t size_bytes = mr_data_cell(text, nested, cell, sizeof cell);

        mr_data_scalar(builder, lane, at, cell, size_bytes);
    }
}

/* Appends rows of text to a builder that has room for them. */
MR_UNUSED static void mr_data_append(struct mr_builder *builder, const struct mr_schema *schema,
                                     const char *rows)
{
    while (*rows != '\0') {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        for (uint32_t c = 0; c < schema->column_count; c++) {
            struct mri_lane *lane = mri_builder_lane(builder, c);

            mri_builder_mark(builder, lane);
            mr_data_value(builder, lane, mri_builder_row(builder), &rows, false);
            if (*rows != (c + 1 < schema->column_count ? '|' : '\n')) {
                MR_FAIL("row text: column %u ends wrongly at '%s'", c + 1, rows);
            }
            rows++;
        }
        mr_builder_commit_row(builder);
    }
}

/* All columns FLAT, no hidden ones, no selection. At least one row. */
MR_UNUSED static struct mr_batch *mr_data_batch(struct mr_quota *quota,
                                                const struct mr_schema *schema, const char *rows)
{
    struct mr_builder *builder;
    struct mr_batch *batch;
    struct mr_error err;

    MR_EXPECT_OK(
        mr_builder_create(mr_test_heap(), schema, 0, MR_BATCH_ROWS_MAX, quota, &builder, &err),
        &err);
    mr_data_append(builder, schema, rows);
    batch = mr_builder_take(builder);
    mr_builder_destroy(builder);
    if (batch == NULL) MR_FAIL("row text: no rows");
    return batch;
}

/* A hidden column of numbers (not MR_HIDDEN_TRACKING) for a batch that was just made. */
MR_UNUSED static void mr_data_hide(struct mr_batch *batch, enum mr_hidden tag,
                                   const int64_t *values)
{
    enum mr_layout layout = mr_type_layout(mr_hidden_type(tag));
    struct mr_column *column = mr_batch_memory(batch, sizeof *column);
    char *out = mr_batch_values(batch, layout, batch->row_count);

    if (column == NULL || out == NULL) MR_FAIL("no memory");
    for (uint32_t i = 0; i < batch->row_count; i++) { /* little endian: the low bytes are first */
        memcpy(out + (size_t)i * mr_layout_bytes(layout), &values[i], mr_layout_bytes(layout));
    }
    *column = (struct mr_column){.type = (uint8_t)mr_hidden_type(tag), .values = out};
    batch->hidden[tag] = column;
}

/* ---- printing ---- */

struct mr_data_printer {
    char *data;
    size_t size;
    size_t room;
};

MR_UNUSED static void mr_data_put(struct mr_data_printer *p, const char *text, size_t size)
{
    if (p->size + size + 1 > p->room) {
        p->room = (p->size + size + 1) * 2;
        p->data = realloc(p->data, p->room);
        if (p->data == NULL) MR_FAIL("no memory");
    }
    memcpy(p->data + p->size, text, size);
    p->size += size;
    p->data[p->size] = '\0';
}

MR_UNUSED static void mr_data_put_text(struct mr_data_printer *p, struct mr_bytes text, bool nested)
{
    for (size_t i = 0; i < text.size_bytes; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        char escaped[8];

        if (byte < 0x20 || byte == 0x7f || strchr(nested ? "\\|,:[]{}" : "\\|", byte) != NULL) {
            (void)snprintf(escaped, sizeof escaped, "\\x%02x", byte);
            mr_data_put(p, escaped, 4);
        } else {
            mr_data_put(p, text.data + i, 1);
        }
    }
}

MR_UNUSED static void mr_data_put_decimal(struct mr_data_printer *p, mr_i128 value, uint32_t scale)
{
    char text[64];
    size_t at = sizeof text;
    mr_u128 rest = value < 0 ? -(mr_u128)value : (mr_u128)value;
    uint32_t digits = 0;

    while (rest > 0 || digits <= scale) {
        if (digits == scale && scale > 0) text[--at] = '.';
        text[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
        digits++;
    }
    if (value < 0) text[--at] = '-';
    mr_data_put(p, text + at, sizeof text - at);
}

MR_UNUSED static void mr_data_put_float(struct mr_data_printer *p, double value, bool narrow)
{
    char text[64];

    for (int digits = 1; digits <= 17; digits++) { /* the shortest that reads back equal */
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (narrow ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value) break;
    }
    if (value != value) memcpy(text, "nan", 4);
    mr_data_put(p, text, strlen(text));
}

/* One element of any column, any encoding. */
MR_UNUSED static void mr_data_put_value(struct mr_data_printer *p, const struct mr_column *column,
                                        uint32_t row, bool nested)
{
    enum mr_layout layout = mr_type_layout((enum mr_type)column->type);
    char number[32];

    if (!mr_column_valid(column, row)) {
        mr_data_put(p, "NULL", 4);
    } else if (layout == MR_LAYOUT_BIT) {
        bool value = mr_column_bool(column, row);

        mr_data_put(p, value ? "true" : "false", value ? 4 : 5);
    } else if (layout == MR_LAYOUT_F32 || layout == MR_LAYOUT_F64) {
        mr_data_put_float(p, mr_column_float64(column, row), layout == MR_LAYOUT_F32);
    } else if (layout == MR_LAYOUT_I128) {
        mr_data_put_decimal(p, mr_column_int128(column, row), column->scale);
    } else if (layout == MR_LAYOUT_VIEW) {
        mr_data_put_text(p, mr_column_bytes(column, row), nested);
    } else if (layout == MR_LAYOUT_STRUCT) {
        const struct mr_column *flat = mri_resolve_one(column, &row);

        for (uint32_t k = 0; k < flat->child_count; k++) {
            mr_data_put(p, k == 0 ? "{" : ",", 1);
            mr_data_put_value(p, &flat->children[k], row, true);
        }
        mr_data_put(p, "}", 1);
    } else if (layout == MR_LAYOUT_LIST) {
        const struct mr_column *flat = mri_resolve_one(column, &row);
        const uint32_t *range = mri_offsets(flat) + row;

        mr_data_put(p, "[", 1);
        for (uint32_t i = range[0]; i < range[1]; i++) {
            for (uint32_t k = 0; k < flat->child_count; k++) {
                if (i > range[0] || k > 0) mr_data_put(p, k > 0 ? ":" : ",", 1);
                mr_data_put_value(p, &flat->children[k], i, true);
            }
        }
        mr_data_put(p, "]", 1);
    } else {
        (void)snprintf(number, sizeof number, "%lld", (long long)mr_column_int64(column, row));
        mr_data_put(p, number, strlen(number));
    }
}

/* Logical rows through the selection, then the hidden columns in `hidden_mask` (bit per tag; an
 * absent one prints as -). Valid until the print after the next. */
MR_UNUSED static const char *mr_data_print_hidden(const struct mr_batch *batch,
                                                  uint32_t hidden_mask)
{
    static struct mr_data_printer printers[2]; /* two, so that two batches can be compared */
    static uint32_t turn;
    struct mr_data_printer *p = &printers[turn++ % 2];

    p->size = 0;
    mr_data_put(p, "", 0);
    for (uint32_t i = 0; i < batch->row_count; i++) {
        uint32_t row = mr_batch_at(batch, i);

        for (uint32_t c = 0; c < batch->column_count; c++) {
            if (c > 0) mr_data_put(p, "|", 1);
            mr_data_put_value(p, &batch->columns[c], row, false);
        }
        for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
            if ((hidden_mask >> tag & 1) == 0) continue;
            mr_data_put(p, "|", 1);
            if (batch->hidden[tag] == NULL) {
                mr_data_put(p, "-", 1);
            } else {
                mr_data_put_value(p, batch->hidden[tag], row, false);
            }
        }
        mr_data_put(p, "\n", 1);
    }
    return p->data;
}

MR_UNUSED static const char *mr_data_print(const struct mr_batch *batch)
{
    return mr_data_print_hidden(batch, 0);
}

/* ---- random rows, as text: an oracle that shares no code with columns ---- */

MR_UNUSED static void mr_data_random_value(struct mr_prng *prng, const struct mr_field *field,
                                           struct mr_data_printer *p, bool nested)
{
    static const int64_t limits[] = {0, 1, -1, 127, -128, 32767, INT32_MIN, INT64_MIN, INT64_MAX};
    static const uint32_t bits[] = {
        [MR_INT8] = 8, [MR_INT16] = 16, [MR_INT32] = 32, [MR_DATE] = 32, [MR_MAP] = 0};
    char text[64];

    if (mr_prng_below(prng, 5) == 0) {
        mr_data_put(p, "NULL", 4);
        return;
    }
    switch (mr_type_layout(field->type)) {
    case MR_LAYOUT_BIT:
        if (mr_prng_below(prng, 2) == 0)
            mr_data_put(p, "true", 4);
        else
            mr_data_put(p, "false", 5);
        return;
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64: {
        uint64_t any = mr_prng_next(prng);
        int64_t value = mr_prng_below(prng, 3) == 0 ? limits[any % MR_COUNT(limits)] : (int64_t)any;

        if (mr_prng_below(prng, 3) == 0) value = (int64_t)(any % 10) - 5; /* repeats */
        if (bits[field->type] == 8) value = (int8_t)value;
        if (bits[field->type] == 16) value = (int16_t)value;
        if (bits[field->type] == 32) value = (int32_t)value;
        (void)snprintf(text, sizeof text, "%lld", (long long)value);
        mr_data_put(p, text, strlen(text));
        return;
    }
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64: {
        static const char *const odd[] = {"nan", "inf", "-inf", "0", "-0", "1e-30", "0.5"};
        uint64_t pick = mr_prng_below(prng, 2 * MR_COUNT(odd));

        if (pick < MR_COUNT(odd)) {
            mr_data_put(p, odd[pick], strlen(odd[pick]));
        } else {
            mr_data_put_float(p, (double)((int64_t)mr_prng_below(prng, 100000) - 50000) / 8, false);
        }
        return;
    }
    case MR_LAYOUT_I128: {
        mr_i128 value = (mr_i128)(int64_t)mr_prng_next(prng) * 1000000007 * 1009;

        mr_data_put_decimal(p, mr_prng_below(prng, 2) == 0 ? value : (int64_t)(value % 100),
                            field->scale);
        return;
    }
    case MR_LAYOUT_VIEW: {
        uint64_t size = mr_prng_below(prng, mr_prng_below(prng, 8) == 0 ? 300 : 20);

        for (uint64_t i = 0; i < size; i++) {
            char byte = (char)mr_prng_below(prng, mr_prng_below(prng, 2) == 0 ? 3 : 256);

            if (mr_prng_below(prng, 2) == 0) byte = 'a';
            mr_data_put_text(p, (struct mr_bytes){&byte, 1}, nested);
        }
        return;
    }
    case MR_LAYOUT_LIST: {
        uint64_t count = mr_prng_below(prng, 4);

        mr_data_put(p, "[", 1);
        for (uint64_t i = 0; i < count; i++) {
            for (uint32_t k = 0; k < field->child_count; k++) {
                if (i > 0 || k > 0) mr_data_put(p, k > 0 ? ":" : ",", 1);
                mr_data_random_value(prng, &field->children[k], p, true);
            }
        }
        /* [] is the empty list: one element that prints as nothing needs to be told from it */
        if (p->data[p->size - 1] == '[' && count == 1) mr_data_put(p, "NULL", 4);
        mr_data_put(p, "]", 1);
        return;
    }
    case MR_LAYOUT_STRUCT:
        for (uint32_t k = 0; k < field->child_count; k++) {
            mr_data_put(p, k == 0 ? "{" : ",", 1);
            mr_data_random_value(prng, &field->children[k], p, true);
        }
        mr_data_put(p, "}", 1);
        return;
    case MR_LAYOUT_NONE: break;
    }
    MR_FAIL("no such type");
}

/* `count` random rows in rows[0..count), each a line to be freed by mr_data_random_free. */
MR_UNUSED static void mr_data_random_rows(struct mr_prng *prng, const struct mr_schema *schema,
                                          char **rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct mr_data_printer p = {NULL, 0, 0};

        for (uint32_t c = 0; c < schema->column_count; c++) {
            if (c > 0) mr_data_put(&p, "|", 1);
            mr_data_random_value(prng, &schema->fields[c], &p, false);
        }
        mr_data_put(&p, "\n", 1);
        rows[i] = p.data;
    }
}

MR_UNUSED static void mr_data_random_free(char **rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) free(rows[i]);
}

/* The lines rows[picks[0]], rows[picks[1]], ... as one text, to be freed. picks NULL: in order. */
MR_UNUSED static char *mr_data_join(char *const *rows, const uint32_t *picks, uint32_t count)
{
    struct mr_data_printer p = {NULL, 0, 0};

    mr_data_put(&p, "", 0);
    for (uint32_t i = 0; i < count; i++) {
        const char *row = rows[picks != NULL ? picks[i] : i];

        mr_data_put(&p, row, strlen(row));
    }
    return p.data;
}

#define MR_DATA_ALL_TYPES                                                                \
    "a bool, b int8, c int16, d int32, e int64, f float32, g float64, h decimal(38,3), " \
    "i utf8, j binary, k date, l time, m timestamp, n timestamp_ltz, o interval, "       \
    "p list<utf8>, q struct<x int64, y utf8, z list<bool>>, r map<utf8, float64>"

#endif
