/* rowcodec_test.c - two stored forms: known bytes, round trips, order, damage. */
#include "data/data_test_helper.h"
#include "data/rowcodec.h"

#include <math.h>

static struct mr_builder *builder_for(const struct mr_schema *schema, struct mr_quota *quota)
{
    struct mr_builder *builder;
    struct mr_error err;

    MR_EXPECT_OK(mr_builder_create(mr_test_heap(), schema, 0, 4096, quota, &builder, &err), &err);
    return builder;
}

static const char *hex(const struct mr_buffer *buffer)
{
    static char text[1024];

    text[0] = '\0';
    for (size_t i = 0; i < buffer->size_bytes && i < 300; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", (unsigned char)buffer->data[i]);
    }
    return text;
}

/* ---- the bytes themselves: they are a format ---- */

MR_TEST(rowcodec, bytes_are_as_documented)
{
    static const struct {
        const char *schema, *value, *key, *descending, *row;
    } rows[] = {
        {"a bool", "true", "0101", "fefe", "0101"},
        {"a bool", "NULL", "00", "ff", "00"},
        {"a int8", "-1", "017f", "fe80", "01ff"},
        {"a int16", "1", "018001", "fe7ffe", "010100"},
        {"a int32", "-2147483648", "0100000000", "feffffffff", "0100000080"},
        {"a date", "2", "0180000002", "fe7ffffffd", "0102000000"},
        {"a int64", "1", "018000000000000001", "fe7ffffffffffffffe", "010100000000000000"},
        {"a timestamp", "-1", "017fffffffffffffff", "fe8000000000000000", "01ffffffffffffffff"},
        {"a float64", "1", "01bff0000000000000", "fe400fffffffffffff", "01000000000000f03f"},
        {"a float64", "-1", "01400fffffffffffff", "febff0000000000000", "01000000000000f0bf"},
        {"a float64", "-0", "018000000000000000", "fe7fffffffffffffff", "010000000000000080"},
        {"a float64", "nan", "01fff8000000000000", "fe0007ffffffffffff", "01000000000000f87f"},
        {"a float32", "1", "01bf800000", "fe407fffff", "010000803f"},
        {"a decimal(38,0)", "-2", "017ffffffffffffffffffffffffffffffe",
         "fe80000000000000000000000000000001", "01feffffffffffffffffffffffffffffff"},
        {"a utf8", "ab", "0161620000", "fe9e9dffff", "01026162"},
        {"a utf8", "", "010000", "feffff", "0100"},
        {"a binary", "\\x00\\xff", "0100ffff0000", "feff0000ffff", "010200ff"},
    };
    struct mr_data_test t;
    struct mr_buffer out;

    mr_data_test_open(&t);
    mr_buffer_init(&out, mr_test_heap());
    for (size_t i = 0; i < MR_COUNT(rows); i++) {
        struct mr_schema *schema = mr_data_schema(rows[i].schema);
        char *line = mr_data_join((char *const[]){(char *)(uintptr_t)rows[i].value, (char[]){"\n"}},
                                  NULL, 2);
        struct mr_batch *batch = mr_data_batch(&t.quota, schema, line);

        mr_buffer_clear(&out);
        MR_EXPECT(mr_key_encode(&out, &batch->columns[0], 0, false));
        MR_EXPECT_EQ_STR(hex(&out), rows[i].key);
        mr_buffer_clear(&out);
        MR_EXPECT(mr_key_encode(&out, &batch->columns[0], 0, true));
        MR_EXPECT_EQ_STR(hex(&out), rows[i].descending);
        mr_buffer_clear(&out);
        MR_EXPECT(mr_row_encode(&out, &batch->columns[0], 0));
        MR_EXPECT_EQ_STR(hex(&out), rows[i].row);
        free(line);
        mr_batch_release(batch);
        mr_schema_release(schema);
    }
    mr_buffer_fini(&out);
    mr_data_test_close(&t);
}

MR_TEST(rowcodec, nested_rows_are_as_documented)
{
    struct mr_schema *schema =
        mr_data_schema("a list<int8>, b struct<x bool, y utf8>, c map<int8, int8>");
    struct mr_data_test t;
    struct mr_buffer out;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    mr_buffer_init(&out, mr_test_heap());
    batch = mr_data_batch(&t.quota, schema, "[1,NULL]|{true,ab}|[5:NULL]\n");
    for (uint32_t c = 0; c < 3; c++) MR_EXPECT(mr_row_encode(&out, &batch->columns[c], 0));
    MR_EXPECT_EQ_STR(hex(&out), "0102010100"
                                "01010101026162"
                                "0101010500");
    MR_EXPECT_PANIC((void)!mr_key_encode(&out, &batch->columns[0], 0, false));
    mr_buffer_fini(&out);
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* ---- properties ---- */

#define ROWS 300u
#define FLAT_TYPES                                                                       \
    "a bool, b int8, c int16, d int32, e int64, f float32, g float64, h decimal(38,3), " \
    "i utf8, j binary, k date, l time, m timestamp, n timestamp_ltz, o interval"

struct sample {
    struct mr_data_test t;
    struct mr_schema *schema;
    struct mr_batch *batch;
    char *lines[ROWS];
};

static void open_sample(struct sample *s, const char *schema, uint64_t seed)
{
    struct mr_prng prng;
    char *text;

    mr_data_test_open(&s->t);
    s->schema = mr_data_schema(schema);
    mr_prng_init(&prng, seed, 1);
    mr_data_random_rows(&prng, s->schema, s->lines, ROWS);
    text = mr_data_join(s->lines, NULL, ROWS);
    s->batch = mr_data_batch(&s->t.quota, s->schema, text);
    free(text);
}

static void close_sample(struct sample *s)
{
    mr_batch_release(s->batch);
    mr_schema_release(s->schema);
    mr_data_random_free(s->lines, ROWS);
    mr_data_test_close(&s->t);
}

static int compare_nulls_low(const struct mr_column *column, uint32_t left, uint32_t right)
{
    bool left_valid = mr_column_valid(column, left), right_valid = mr_column_valid(column, right);

    if (!left_valid || !right_valid) return (int)left_valid - (int)right_valid;
    return mr_column_compare(column, left, column, right);
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

/* Keys are compared as memory everywhere: sort, top N, state. */
MR_TEST(rowcodec, keys_sort_as_their_values_in_both_directions)
{
    struct mr_buffer left, right;
    struct sample s;

    mr_buffer_init(&left, mr_test_heap());
    mr_buffer_init(&right, mr_test_heap());
    open_sample(&s, FLAT_TYPES, 31);
    for (uint32_t c = 0; c < s.schema->column_count; c++) {
        const struct mr_column *column = &s.batch->columns[c];

        for (uint32_t pair = 0; pair < ROWS * ROWS; pair += 3) {
            uint32_t l = pair / ROWS, r = pair % ROWS;
            bool descending = pair % 2 == 1;
            int expected = compare_nulls_low(column, l, r), order;

            mr_buffer_clear(&left);
            mr_buffer_clear(&right);
            MR_EXPECT(mr_key_encode(&left, column, l, descending));
            MR_EXPECT(mr_key_encode(&right, column, r, descending));
            order = memcmp(left.data, right.data, MR_MIN(left.size_bytes, right.size_bytes));
            /* No key is the beginning of another, so lengths never decide. */
            if (order == 0) MR_EXPECT_EQ_UINT(left.size_bytes, right.size_bytes);
            MR_EXPECT_EQ_INT(sign(order), descending ? -expected : expected);
        }
    }
    close_sample(&s);
    mr_buffer_fini(&left);
    mr_buffer_fini(&right);
}

/* Encodes all rows one behind the other, decodes them again, compares as text. */
static void round_trip(struct sample *s, bool keys, const char *expected)
{
    struct mr_builder *builder = builder_for(s->schema, &s->t.quota);
    struct mr_buffer out;
    struct mr_cursor in;
    struct mr_batch *copy;
    struct mr_error err;

    mr_buffer_init(&out, mr_test_heap());
    for (uint32_t i = 0; i < ROWS; i++) {
        for (uint32_t c = 0; c < s->schema->column_count; c++) {
            MR_EXPECT(keys ? mr_key_encode(&out, &s->batch->columns[c], i, false)
                           : mr_row_encode(&out, &s->batch->columns[c], i));
        }
    }
    in = (struct mr_cursor){out.data, out.data + out.size_bytes};
    for (uint32_t i = 0; i < ROWS; i++) {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        for (uint32_t c = 0; c < s->schema->column_count; c++) {
            const struct mr_field *field = &s->schema->fields[c];
            enum mr_build build;

            MR_EXPECT_OK(keys ? mr_key_decode(&in, field, builder, c, &build, &err)
                              : mr_row_decode(&in, field, builder, c, &build, &err),
                         &err);
            MR_EXPECT_EQ_INT(build, MR_BUILD_OK);
        }
        mr_builder_commit_row(builder);
    }
    MR_EXPECT(in.at == in.end);
    copy = mr_builder_take(builder);
    MR_EXPECT_EQ_STR(mr_data_print(copy), expected);
    mr_batch_release(copy);
    mr_buffer_fini(&out);
    mr_builder_destroy(builder);
}

MR_TEST(rowcodec, rows_come_back_as_they_were)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sample s;
        char *expected;

        open_sample(&s, MR_DATA_ALL_TYPES, seed);
        expected = mr_data_join(s.lines, NULL, ROWS);
        round_trip(&s, false, expected);
        free(expected);
        close_sample(&s);
    }
}

/* Keys come back too, but -0 as 0: the printed text says "-0" for what was one. */
MR_TEST(rowcodec, keys_come_back_as_they_were)
{
    struct sample s;
    char *expected;

    open_sample(&s,
                "a bool, b int8, c int16, d int32, e int64, h decimal(38,3), i utf8, j binary, "
                "k date, l time, m timestamp, n timestamp_ltz, o interval",
                7);
    expected = mr_data_join(s.lines, NULL, ROWS);
    round_trip(&s, true, expected);
    free(expected);
    close_sample(&s);
}

MR_TEST(rowcodec, float_keys_come_back_with_one_zero_and_one_nan)
{
    static const char *const rows = "-inf|-inf\n-1.25|-1.25\n-0|-0\n0|0\n1e-30|1e-300\ninf|inf\n"
                                    "nan|nan\nNULL|NULL\n";
    struct mr_schema *schema = mr_data_schema("a float32, b float64");
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *batch, *copy;
    struct mr_buffer out;
    struct mr_error err;

    mr_data_test_open(&t);
    mr_buffer_init(&out, mr_test_heap());
    batch = mr_data_batch(&t.quota, schema, rows);
    builder = builder_for(schema, &t.quota);
    for (uint32_t i = 0; i < batch->row_count; i++) {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        for (uint32_t c = 0; c < 2; c++) {
            struct mr_cursor in;
            enum mr_build build;

            mr_buffer_clear(&out);
            MR_EXPECT(mr_key_encode(&out, &batch->columns[c], i, false));
            in = (struct mr_cursor){out.data, out.data + out.size_bytes};
            MR_EXPECT_OK(mr_key_decode(&in, &schema->fields[c], builder, c, &build, &err), &err);
        }
        mr_builder_commit_row(builder);
    }
    copy = mr_builder_take(builder);
    MR_EXPECT_EQ_STR(mr_data_print(copy),
                     "-inf|-inf\n-1.25|-1.25\n0|0\n0|0\n1e-30|1e-300\ninf|inf\n"
                     "nan|nan\nNULL|NULL\n");
    mr_batch_release(copy);
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_buffer_fini(&out);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* ---- damage ---- */

/* Decodes from a heap copy of exactly `size` bytes, so that ASan sees every step beyond. */
static enum mr_status decode_damaged(struct sample *s, struct mr_builder *builder, bool keys,
                                     const char *data, size_t size)
{
    char *copy = malloc(size + 1);
    struct mr_cursor in = {copy, copy + size};
    enum mr_status st = MR_OK;
    struct mr_error err;

    if (copy == NULL) MR_FAIL("no memory");
    copy = realloc(copy, size > 0 ? size : 1);
    memcpy(copy, data, size);
    in = (struct mr_cursor){copy, copy + size};
    if (mr_builder_begin_row(builder) != MR_BUILD_OK) {
        mr_batch_release(mr_builder_take(builder));
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    }
    for (uint32_t c = 0; st == MR_OK && c < s->schema->column_count; c++) {
        const struct mr_field *field = &s->schema->fields[c];
        enum mr_build build = MR_BUILD_OK;

        st = keys ? mr_key_decode(&in, field, builder, c, &build, &err)
                  : mr_row_decode(&in, field, builder, c, &build, &err);
        if (st != MR_OK) MR_EXPECT_CONTAINS(err.text, field->name);
        if (build != MR_BUILD_OK) break;
    }
    if (st == MR_OK && in.at == in.end)
        mr_builder_commit_row(builder);
    else
        mr_builder_abandon_row(builder);
    free(copy);
    return st;
}

static void damage(const char *schema, bool keys, uint64_t seed)
{
    struct mr_builder *builder;
    struct mr_buffer out;
    struct mr_batch *batch;
    struct mr_prng prng;
    struct sample s;

    open_sample(&s, schema, seed);
    builder = builder_for(s.schema, &s.t.quota);
    mr_buffer_init(&out, mr_test_heap());
    mr_prng_init(&prng, seed, 9);
    for (uint32_t i = 0; i < ROWS; i++) {
        mr_buffer_clear(&out);
        for (uint32_t c = 0; c < s.schema->column_count; c++) {
            MR_EXPECT(keys ? mr_key_encode(&out, &s.batch->columns[c], i, false)
                           : mr_row_encode(&out, &s.batch->columns[c], i));
        }
        for (size_t size = 0; size < out.size_bytes; size++) { /* every end is noticed */
            MR_EXPECT_EQ_INT(decode_damaged(&s, builder, keys, out.data, size), MR_E_CORRUPT);
        }
        for (int round = 0; round < 40; round++) {
            size_t changes = 1 + (size_t)mr_prng_below(&prng, 3);

            while (changes-- > 0) {
                size_t at = (size_t)mr_prng_below(&prng, out.size_bytes);

                out.data[at] = (char)mr_prng_next(&prng);
            }
            (void)decode_damaged(&s, builder, keys, out.data, out.size_bytes);
        }
    }
    batch = mr_builder_take(builder); /* what was taken for good can be read */
    if (batch != NULL) MR_EXPECT(strlen(mr_data_print(batch)) > 0);
    mr_batch_release(batch);
    mr_buffer_fini(&out);
    mr_builder_destroy(builder);
    close_sample(&s);
}

MR_TEST(rowcodec, damaged_rows_are_refused_or_read_but_never_overrun)
{
    damage(MR_DATA_ALL_TYPES, false, 41);
}

MR_TEST(rowcodec, damaged_keys_are_refused_or_read_but_never_overrun)
{
    damage(FLAT_TYPES, true, 42);
}

/* When the batch is full in mid-row, the caller takes it and decodes the row again. */
MR_TEST(rowcodec, when_there_is_no_room_then_the_cursor_stays)
{
    static char text[9000];
    struct mr_schema *schema = mr_data_schema("a utf8");
    struct mr_data_test t;
    struct mr_quota tight;
    struct mr_builder *builder;
    struct mr_batch *batch;
    struct mr_buffer keys, rows;
    struct mr_error err;
    enum mr_build build;

    mr_data_test_open(&t);
    mr_buffer_init(&keys, mr_test_heap());
    mr_buffer_init(&rows, mr_test_heap());
    memset(text, 'k', sizeof text);
    builder = builder_for(schema, &t.quota);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 0, text, sizeof text), MR_BUILD_OK);
    mr_builder_commit_row(builder);
    batch = mr_builder_take(builder);
    mr_builder_destroy(builder);
    MR_EXPECT(mr_key_encode(&keys, &batch->columns[0], 0, false));
    MR_EXPECT(mr_row_encode(&rows, &batch->columns[0], 0));

    mr_quota_init(&tight, t.pool, "tight", 20 * 1024);
    builder = builder_for(schema, &tight);
    for (int form = 0; form < 2; form++) {
        struct mr_buffer *from = form == 0 ? &keys : &rows;
        uint32_t committed = 0;

        do {
            struct mr_cursor in = {from->data, from->data + from->size_bytes};

            MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
            MR_EXPECT_OK(form == 0
                             ? mr_key_decode(&in, &schema->fields[0], builder, 0, &build, &err)
                             : mr_row_decode(&in, &schema->fields[0], builder, 0, &build, &err),
                         &err);
            if (build == MR_BUILD_OK) {
                mr_builder_commit_row(builder);
                committed++;
            } else {
                MR_EXPECT(in.at == from->data);
                mr_builder_abandon_row(builder);
            }
        } while (build == MR_BUILD_OK);
        MR_EXPECT_EQ_INT(build, MR_BUILD_FULL);
        MR_EXPECT_EQ_UINT(committed, 1);
        mr_batch_release(mr_builder_take(builder));
    }
    mr_builder_destroy(builder);
    mr_batch_release(batch);
    mr_buffer_fini(&keys);
    mr_buffer_fini(&rows);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* ---- buffer and cursor ---- */

MR_TEST(rowcodec, varints_come_back_and_have_one_encoding)
{
    static const uint64_t values[] = {
        0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX};
    static const struct {
        const char *bytes;
        size_t size;
    } wrong[] = {{"", 0},
                 {"\x80", 1},
                 {"\x80\x00", 2}, /* 0 in two bytes */
                 {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
                 {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 11}};
    struct mr_buffer out;
    uint64_t value;

    mr_buffer_init(&out, mr_test_heap());
    for (size_t i = 0; i < MR_COUNT(values); i++) {
        struct mr_cursor in;

        mr_buffer_clear(&out);
        MR_EXPECT(mr_buffer_put_varint(&out, values[i]));
        MR_EXPECT(mr_buffer_put_u32(&out, 0xdeadbeef) && mr_buffer_put_u64(&out, values[i]));
        in = (struct mr_cursor){out.data, out.data + out.size_bytes};
        uint32_t word = 0;

        MR_EXPECT(mr_cursor_varint(&in, &value));
        MR_EXPECT_EQ_UINT(value, values[i]);
        MR_EXPECT(mr_cursor_u32(&in, &word) && word == 0xdeadbeef);
        MR_EXPECT(mr_cursor_u64(&in, &value) && value == values[i]);
        MR_EXPECT(!mr_cursor_u32(&in, &word) && !mr_cursor_u64(&in, &value));
        MR_EXPECT(in.at == in.end);
    }
    for (size_t i = 0; i < MR_COUNT(wrong); i++) {
        struct mr_cursor in = {wrong[i].bytes, wrong[i].bytes + wrong[i].size};

        MR_EXPECT(!mr_cursor_varint(&in, &value));
        MR_EXPECT(in.at == wrong[i].bytes);
    }
    mr_buffer_fini(&out);
}

/* A refused encode must not leave half a value behind: the caller may go on. */
MR_TEST(rowcodec, when_memory_runs_out_then_the_buffer_is_as_before)
{
    struct sample s;

    open_sample(&s, MR_DATA_ALL_TYPES, 51);
    MR_TORTURE(mr_test_heap()) {
        struct mr_buffer out;
        bool refused = false;

        mr_buffer_init(&out, mr_test_heap());
        for (uint32_t i = 0; i < ROWS; i++) {
            for (uint32_t c = 0; c < s.schema->column_count; c++) {
                size_t before = out.size_bytes;
                bool ok = c < 15 && i % 2 == 0 ? mr_key_encode(&out, &s.batch->columns[c], i, false)
                                               : mr_row_encode(&out, &s.batch->columns[c], i);

                refused |= !ok;
                if (!ok) MR_EXPECT_EQ_UINT(out.size_bytes, before);
            }
        }
        MR_EXPECT_EQ_INT(refused, mr_test_refused(mr_test_heap()));
        mr_buffer_fini(&out);
    }
    close_sample(&s);
}
