/* builder_test.c - rows in, batches out, under every kind of shortage. */
#include "data/builder.h"
#include "data/data_test_helper.h"

static struct mr_builder *builder_for(const struct mr_schema *schema, uint32_t hidden_mask,
                                      uint32_t row_capacity, struct mr_quota *quota)
{
    struct mr_builder *builder;
    struct mr_error err;

    MR_EXPECT_OK(
        mr_builder_create(mr_test_heap(), schema, hidden_mask, row_capacity, quota, &builder, &err),
        &err);
    return builder;
}

/* ---- row form ---- */

MR_TEST(builder, rows_set_by_hand_come_out_as_set)
{
    struct mr_schema *schema =
        mr_data_schema("a int32, b float64, c decimal(10,2), d utf8, e bool");
    uint32_t mask = 1u << MR_HIDDEN_EVENT_TIME | 1u << MR_HIDDEN_CHANGE;
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    builder = builder_for(schema, mask, 10, &t.quota);
    MR_EXPECT(mr_builder_take(builder) == NULL);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    mr_builder_set_int64(builder, 0, -7);
    mr_builder_set_float64(builder, 1, 2.5);
    mr_builder_set_int128(builder, 2, 1234);
    MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 3, "a text that is far", 18), MR_BUILD_OK);
    mr_builder_set_int64(builder, 4, 1);
    mr_builder_set_hidden(builder, MR_HIDDEN_EVENT_TIME, 99);
    mr_builder_set_hidden(builder, MR_HIDDEN_CHANGE, MR_DELETE);
    mr_builder_commit_row(builder);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    mr_builder_set_int64(builder, 0, 8); /* the others: null */
    mr_builder_set_null(builder, 1);
    mr_builder_commit_row(builder);
    MR_EXPECT_EQ_UINT(mr_builder_rows(builder), 2);
    batch = mr_builder_take(builder);
    MR_EXPECT_EQ_STR(mr_data_print_hidden(batch, mask),
                     "-7|2.5|12.34|a text that is far|true|99|3\n"
                     "8|NULL|NULL|NULL|NULL|-4611686018427387904|0\n");
    MR_EXPECT(batch->columns[0].validity == NULL); /* no nulls, no bitmap */
    MR_EXPECT_EQ_UINT(mr_builder_rows(builder), 0);
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_builder_destroy(NULL);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* A row that is given up must leave no trace: not a value, not a null, not a "was set". */
MR_TEST(builder, an_abandoned_row_leaves_nothing)
{
    struct mr_schema *schema = mr_data_schema("a int64, b utf8, c bool");
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    builder = builder_for(schema, 0, 10, &t.quota);
    mr_data_append(builder, schema, "1|one|true\n");
    for (int i = 0; i < 3; i++) {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        mr_builder_set_null(builder, 0);
        MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 1, "given up, and far", 17), MR_BUILD_OK);
        mr_builder_set_int64(builder, 2, 1);
        mr_builder_abandon_row(builder);
    }
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    mr_builder_set_int64(builder, 0, 2);
    mr_builder_commit_row(builder);
    mr_data_append(builder, schema, "3|three|false\n");
    batch = mr_builder_take(builder);
    MR_EXPECT_EQ_STR(mr_data_print(batch), "1|one|true\n2|NULL|NULL\n3|three|false\n");
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

MR_TEST(builder, at_its_row_capacity_it_is_full_and_after_take_it_starts_anew)
{
    struct mr_schema *schema = mr_data_schema("a int64");
    struct mr_data_test t;
    struct mr_builder *builder;

    mr_data_test_open(&t);
    builder = builder_for(schema, 0, 300, &t.quota);
    for (int round = 0; round < 3; round++) {
        struct mr_batch *batch;
        int64_t sum = 0;

        for (int i = 0; i < 300; i++) {
            MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
            mr_builder_set_int64(builder, 0, i);
            mr_builder_commit_row(builder);
        }
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_FULL);
        batch = mr_builder_take(builder);
        MR_EXPECT_EQ_UINT(batch->row_count, 300);
        for (uint32_t i = 0; i < 300; i++) sum += mr_column_int64(&batch->columns[0], i);
        MR_EXPECT_EQ_INT(sum, 300 * 299 / 2);
        mr_batch_release(batch);
    }
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* ---- memory ---- */

/* Low rates: a batch of three rows must not hold what 4096 rows need. High rates: few blocks. */
MR_TEST(builder, batches_are_as_large_as_their_rows)
{
    struct mr_schema *schema = mr_data_schema("a int64, b utf8, c int64, d float64");
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    builder = builder_for(schema, 0, 4096, &t.quota);
    for (int round = 0; round < 3; round++) {
        mr_data_append(builder, schema, "1|abc|2|3\n1|abc|2|3\n1|abc|2|3\n");
        batch = mr_builder_take(builder);
        MR_EXPECT(mr_batch_own_bytes(batch) <= 8192);
        mr_batch_release(batch);
    }
    for (int round = 0; round < 2; round++) {
        uint32_t blocks = 0;

        for (int i = 0; i < 4096; i++) mr_data_append(builder, schema, "1|abc|2|3\n");
        batch = mr_builder_take(builder);
        for (struct mr_block *b = batch->blocks; b != NULL; b = b->next) blocks++;
        if (round == 1) { /* 165 KiB of values: one block, once the builder knows */
            MR_EXPECT_EQ_UINT(blocks, 1);
            MR_EXPECT_EQ_UINT(mr_batch_own_bytes(batch), 256 * 1024);
        }
        mr_batch_release(batch);
    }
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* Back-pressure has three faces; the caller does something else for each. */
MR_TEST(builder, says_full_blocked_or_too_large)
{
    static char text[MR_TEXT_BYTES_MAX + 1];
    struct mr_schema *schema = mr_data_schema("a utf8");
    struct mr_data_test t;
    struct mr_quota tight;
    struct mr_builder *builder;
    struct mr_block *other;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    memset(text, 'x', sizeof text);
    mr_quota_init(&tight, t.pool, "tight", 24 * 1024);
    builder = builder_for(schema, 0, 4096, &tight);
    other = mr_block_new(&tight, 16000);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 0, text, 8000), MR_BUILD_BLOCKED);
    mr_builder_abandon_row(builder);
    mr_block_release(other);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 0, text, 8000), MR_BUILD_OK);
    mr_builder_commit_row(builder);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 0, text, 16000), MR_BUILD_FULL);
    mr_builder_abandon_row(builder);
    batch = mr_builder_take(builder);
    MR_EXPECT_EQ_UINT(batch->row_count, 1);
    mr_batch_release(batch);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 0, text, 24000), MR_BUILD_TOO_LARGE);
    MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 0, text, sizeof text), MR_BUILD_TOO_LARGE);
    mr_builder_abandon_row(builder);
    mr_builder_destroy(builder);

    builder = builder_for(schema, 0, 4096, &t.quota);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 0, text, MR_TEXT_BYTES_MAX), MR_BUILD_OK);
    mr_builder_commit_row(builder);
    mr_builder_destroy(builder); /* drops the batch */
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

MR_TEST(builder, a_quota_without_room_for_a_row_is_told_from_a_busy_one)
{
    struct mr_schema *schema = mr_data_schema("a utf8");
    struct mr_data_test t;
    struct mr_quota tiny, busy;
    struct mr_builder *builder;
    struct mr_block *other;

    mr_data_test_open(&t);
    mr_quota_init(&tiny, t.pool, "tiny", 100);
    builder = builder_for(schema, 0, 4096, &tiny);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_TOO_LARGE);
    mr_builder_destroy(builder);
    mr_quota_init(&busy, t.pool, "busy", 4096);
    other = mr_block_new(&busy, 1);
    builder = builder_for(schema, 0, 4096, &busy);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_BLOCKED);
    mr_block_release(other);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    mr_builder_abandon_row(builder);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* ---- appending rows of batches ---- */

#define ROWS 1500u

struct source {
    struct mr_data_test t;
    struct mr_schema *schema;
    struct mr_batch *batch;
    char *lines[ROWS];
};

static void open_source(struct source *s, const char *schema, uint64_t seed)
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

static void close_source(struct source *s)
{
    mr_batch_release(s->batch);
    mr_schema_release(s->schema);
    mr_data_random_free(s->lines, ROWS);
    mr_data_test_close(&s->t);
}

/* What an exchange does: append, take when full, wait when blocked. The text of all batches. */
static char *scatter(struct mr_builder *builder, const struct mr_batch *batch, const uint32_t *rows,
                     uint32_t count, struct mr_prng *prng)
{
    struct mr_data_printer all = {NULL, 0, 0};
    uint32_t at = 0;

    mr_data_put(&all, "", 0);
    while (at < count || mr_builder_rows(builder) > 0) {
        uint32_t wanted = (uint32_t)mr_prng_below(prng, count - at + 1);
        uint32_t done = 12345;
        enum mr_build result = mr_builder_append(builder, batch, rows + at, wanted, &done);

        MR_EXPECT(done <= wanted);
        MR_EXPECT(result == MR_BUILD_OK || result == MR_BUILD_FULL);
        if (result == MR_BUILD_OK) MR_EXPECT_EQ_UINT(done, wanted);
        if (result == MR_BUILD_FULL) MR_EXPECT(mr_builder_rows(builder) > 0);
        at += done;
        if (result == MR_BUILD_FULL || at == count) {
            struct mr_batch *taken = mr_builder_take(builder);
            const char *text = mr_data_print(taken);

            mr_data_put(&all, text, strlen(text));
            mr_batch_release(taken);
        }
    }
    return all.data;
}

MR_TEST(builder, scattered_rows_arrive_whole_and_in_order)
{
    static const struct {
        uint32_t row_capacity;
        size_t quota;
    } rows[] = {{4096, SIZE_MAX},  {1, SIZE_MAX},     {63, SIZE_MAX},
                {700, 200 * 1024}, {4096, 96 * 1024}, {4096, 40 * 1024}};

    for (uint32_t i = 0; i < MR_COUNT(rows); i++) {
        static uint32_t picks[3000];
        struct mr_quota quota;
        struct mr_builder *builder;
        struct source s;
        struct mr_prng prng;
        char *expected, *actual;

        open_source(&s, MR_DATA_ALL_TYPES, i + 1);
        mr_prng_init(&prng, i, 7);
        for (uint32_t k = 0; k < 3000; k++) picks[k] = (uint32_t)mr_prng_below(&prng, ROWS);
        mr_quota_init(&quota, s.t.pool, "scatter", rows[i].quota);
        builder = builder_for(s.schema, 0, rows[i].row_capacity, &quota);
        expected = mr_data_join(s.lines, picks, 3000);
        actual = scatter(builder, s.batch, picks, 3000, &prng);
        MR_EXPECT_EQ_STR(actual, expected);
        free(expected);
        free(actual);
        mr_builder_destroy(builder);
        close_source(&s);
    }
}

/* Selections, a NULL row list, CONST and DICT columns, hidden columns there and missing. */
MR_TEST(builder, append_resolves_selections_encodings_and_defaults)
{
    static const uint32_t picks[] = {3, 1}, chosen[] = {0, 1, 3, 4, 5},
                          indices[] = {1, 0, 1, 0, 0, 2};
    static const uint64_t valid = 0x3b; /* row 2 is null; not among the chosen */
    static const int64_t times[] = {10, 11, 12, 13, 14, 15};
    struct mr_schema *schema = mr_data_schema("a utf8, b int64");
    uint32_t mask = 1u << MR_HIDDEN_EVENT_TIME | 1u << MR_HIDDEN_TRACKING | 1u << MR_HIDDEN_TARGET;
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *values, *batch, *part, *out;
    uint32_t done;

    mr_data_test_open(&t);
    values = mr_data_batch(&t.quota, schema, "zero, which is far|7\none|8\nNULL|9\n");
    batch = mr_batch_new(&t.quota, 2, 0);
    MR_EXPECT(mr_batch_borrow(batch, values));
    batch->row_count = 6;
    batch->columns[0] = (struct mr_column){.type = MR_UTF8,
                                           .encoding = MR_DICT,
                                           .values = indices,
                                           .validity = &valid,
                                           .children = &values->columns[0],
                                           .child_count = 1,
                                           .child_rows = 3};
    batch->columns[1] = values->columns[1];
    batch->columns[1].encoding = MR_CONST;
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, times);
    part = mr_batch_select(&t.quota, batch, chosen, 5);
    builder = builder_for(schema, mask, 100, &t.quota);
    MR_EXPECT_EQ_INT(mr_builder_append(builder, part, picks, 2, &done), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mr_builder_append(builder, part, NULL, 3, &done), MR_BUILD_OK);
    MR_EXPECT_EQ_INT(mr_builder_append(builder, batch, NULL, 3, &done), MR_BUILD_OK);
    MR_EXPECT_EQ_UINT(done, 3);
    out = mr_builder_take(builder);
    MR_EXPECT_EQ_STR(mr_data_print_hidden(out, mask), "zero, which is far|7|14|[]|0\n"
                                                      "zero, which is far|7|11|[]|0\n"
                                                      "one|7|10|[]|0\n"
                                                      "zero, which is far|7|11|[]|0\n"
                                                      "zero, which is far|7|13|[]|0\n"
                                                      "one|7|10|[]|0\n"
                                                      "zero, which is far|7|11|[]|0\n"
                                                      "NULL|7|12|[]|0\n");
    mr_batch_release(out);
    mr_batch_release(part);
    mr_batch_release(batch);
    mr_batch_release(values);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* The first text column of a long piece must not eat the room of the second one for good. */
MR_TEST(builder, two_columns_of_long_texts_share_a_tight_quota)
{
    enum { COUNT = 200, BYTES = 900 };
    static char text[BYTES + COUNT];
    static struct mr_view views[COUNT];
    const char *buffer = text;
    struct mr_schema *schema = mr_data_schema("a utf8, b utf8");
    struct mr_data_test t;
    struct mr_quota tight;
    struct mr_builder *builder;
    struct mr_batch *batch;
    uint32_t rows[COUNT];
    uint32_t at = 0;

    mr_data_test_open(&t);
    for (uint32_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 31);
    for (uint32_t i = 0; i < COUNT; i++) views[i] = mr_view_make(text + i, BYTES, 0, i);
    for (uint32_t i = 0; i < COUNT; i++) rows[i] = i;
    batch = mr_batch_new(&t.quota, 2, 0);
    batch->row_count = COUNT;
    for (int c = 0; c < 2; c++) {
        batch->columns[c] = (struct mr_column){
            .type = MR_UTF8, .buffer_count = 1, .buffers = &buffer, .values = views};
    }
    mr_quota_init(&tight, t.pool, "tight", 32 * 1024);
    builder = builder_for(schema, 0, 4096, &tight);
    while (at < COUNT) {
        struct mr_batch *taken;
        uint32_t done = 0;
        enum mr_build result = mr_builder_append(builder, batch, rows + at, COUNT - at, &done);

        MR_EXPECT(done > 0);
        MR_EXPECT_EQ_INT(result, done == COUNT - at ? MR_BUILD_OK : MR_BUILD_FULL);
        taken = mr_builder_take(builder);
        MR_EXPECT_EQ_UINT(taken->row_count, done);
        for (uint32_t i = 0; i < done; i++) {
            for (int c = 0; c < 2; c++) {
                struct mr_bytes bytes = mr_column_bytes(&taken->columns[c], i);

                MR_EXPECT_EQ_UINT(bytes.size_bytes, BYTES);
                MR_EXPECT_EQ_BYTES(bytes.data, text + at + i, BYTES);
            }
        }
        at += done;
        mr_batch_release(taken);
    }
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

MR_TEST(builder, a_row_that_never_fits_is_named_at_its_place)
{
    static char text[MR_TEXT_BYTES_MAX + 1];
    const char *buffer = text;
    struct mr_view views[3] = {mr_view_make("a", 1, 0, 0), mr_view_make(text, sizeof text, 0, 0),
                               mr_view_make("b", 1, 0, 0)};
    static const uint32_t last[] = {2};
    struct mr_schema *schema = mr_data_schema("a binary");
    struct mr_data_test t;
    struct mr_builder *builder;
    struct mr_batch *batch;
    uint32_t done;

    mr_data_test_open(&t);
    batch = mr_batch_new(&t.quota, 1, 0);
    batch->row_count = 3;
    batch->columns[0] = (struct mr_column){
        .type = MR_BINARY, .buffer_count = 1, .buffers = &buffer, .values = views};
    builder = builder_for(schema, 0, 10, &t.quota);
    MR_EXPECT_EQ_INT(mr_builder_append(builder, batch, NULL, 3, &done), MR_BUILD_FULL);
    MR_EXPECT_EQ_UINT(done, 1);
    mr_batch_release(mr_builder_take(builder));
    MR_EXPECT_EQ_INT(mr_builder_append(builder, batch, (uint32_t[]){1, 2}, 2, &done),
                     MR_BUILD_TOO_LARGE);
    MR_EXPECT_EQ_UINT(done, 0);
    MR_EXPECT_EQ_INT(mr_builder_append(builder, batch, last, 1, &done), MR_BUILD_OK);
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* Every refusal of the heap, at every append: rows are whole or not there. */
MR_TEST(builder, when_memory_runs_out_then_nothing_is_left_and_rows_are_whole)
{
    struct source s;

    open_source(&s, "a int64, b utf8, c list<utf8>, d struct<x bool, y utf8>", 4);
    MR_TORTURE(mr_test_heap()) {
        struct mr_pool *pool = NULL;
        struct mr_builder *builder = NULL;
        struct mr_quota quota;

        if (mr_pool_create(mr_test_heap(), SIZE_MAX, &pool, NULL) == MR_OK) {
            mr_quota_init(&quota, pool, "torture", SIZE_MAX);
            if (mr_builder_create(mr_test_heap(), s.schema, 1u << MR_HIDDEN_EVENT_TIME, 4096,
                                  &quota, &builder, NULL) == MR_OK) {
                uint32_t done = 0;
                enum mr_build result = mr_builder_append(builder, s.batch, NULL, ROWS, &done);
                struct mr_batch *batch = mr_builder_take(builder);
                char *expected = mr_data_join(s.lines, NULL, done);

                if (!mr_test_refused(mr_test_heap())) MR_EXPECT_EQ_INT(result, MR_BUILD_OK);
                if (result == MR_BUILD_OK) MR_EXPECT_EQ_UINT(done, ROWS);
                if (batch != NULL) MR_EXPECT_EQ_STR(mr_data_print(batch), expected);
                if (batch == NULL) MR_EXPECT_EQ_UINT(done, 0);
                free(expected);
                mr_batch_release(batch);
            }
            mr_builder_destroy(builder);
        }
        mr_pool_destroy(pool);
    }
    close_source(&s);
}
