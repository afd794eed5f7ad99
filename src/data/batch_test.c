/* batch_test.c - memory, sharing, selections, origins, copies that hold nothing else. */
#include "data/batch.h"
#include "data/data_test_helper.h"

static uint64_t evens(uint32_t count, uint32_t *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i += 2) out[n++] = i;
    return n;
}

MR_TEST(batch, a_small_one_takes_the_smallest_block)
{
    struct mr_data_test t;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    batch = mr_batch_new(&t.quota, 4, 0);
    MR_EXPECT_EQ_UINT(t.quota.used_bytes, 4096);
    MR_EXPECT_EQ_UINT(mr_batch_own_bytes(batch), 4096);
    for (uint32_t c = 0; c < 4; c++) MR_EXPECT(batch->columns[c].values == NULL);
    mr_batch_release(batch);
    mr_batch_release(NULL);
    mr_data_test_close(&t);
}

/* All of the memory that was asked for is there, aligned and distinct; ASan sees the borders. */
MR_TEST(batch, memory_is_aligned_and_does_not_overlap)
{
    static struct {
        unsigned char *at;
        size_t size;
    } pieces[300];
    struct mr_data_test t;
    struct mr_batch *batch;
    struct mr_prng prng;

    mr_data_test_open(&t);
    mr_prng_init(&prng, 3, 3);
    batch = mr_batch_new(&t.quota, 2, 0);
    for (uint32_t i = 0; i < MR_COUNT(pieces); i++) {
        size_t limit = mr_prng_below(&prng, 20) == 0 ? MR_BLOCK_BYTES_MAX - 127 : 3000;

        pieces[i].size = (size_t)mr_prng_below(&prng, limit);
        pieces[i].at = mr_batch_memory(batch, pieces[i].size);
        MR_EXPECT(pieces[i].at != NULL);
        MR_EXPECT_EQ_UINT((uintptr_t)pieces[i].at % 64, 0);
        memset(pieces[i].at, (int)(i & 0xff), (pieces[i].size + 63) / 64 * 64);
    }
    for (uint32_t i = 0; i < MR_COUNT(pieces); i++) {
        for (size_t k = 0; k < pieces[i].size; k++) MR_EXPECT(pieces[i].at[k] == (i & 0xff));
    }
    mr_batch_release(batch);
    mr_data_test_close(&t);
}

/* What is announced comes in one block when a block can hold it. */
MR_TEST(batch, a_hint_saves_blocks)
{
    struct mr_data_test t;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    batch = mr_batch_new(&t.quota, 3, 3 * 4096 * 8);
    for (int i = 0; i < 3; i++) MR_EXPECT(mr_batch_values(batch, MR_LAYOUT_I64, 4096) != NULL);
    MR_EXPECT_EQ_UINT(mr_batch_own_bytes(batch), 128 * 1024);
    mr_batch_release(batch);
    batch = mr_batch_new(&t.quota, 20, 20 * 4096 * 8); /* 640 KiB: two of 256 and one that fits */
    for (int i = 0; i < 20; i++) MR_EXPECT(mr_batch_values(batch, MR_LAYOUT_I64, 4096) != NULL);
    MR_EXPECT(mr_batch_own_bytes(batch) <= 768 * 1024);
    mr_batch_release(batch);
    mr_data_test_close(&t);
}

MR_TEST(batch, when_the_quota_is_used_up_then_memory_is_null_and_nothing_leaks)
{
    struct mr_data_test t;
    struct mr_quota tight;
    struct mr_batch *batch;
    uint32_t pieces = 0;

    mr_data_test_open(&t);
    mr_quota_init(&tight, t.pool, "tight", 40 * 1024);
    batch = mr_batch_new(&tight, 1, 1000 * 1000); /* a wish beyond the quota is cut down */
    MR_EXPECT(batch != NULL);
    while (mr_batch_memory(batch, 1000) != NULL) pieces++;
    MR_EXPECT(pieces >= 30);
    MR_EXPECT(tight.used_bytes <= 40 * 1024);
    MR_EXPECT(mr_batch_new(&tight, 1, 0) == NULL || tight.used_bytes < 40 * 1024);
    mr_batch_release(batch);
    MR_EXPECT_EQ_UINT(tight.used_bytes, 0);
    mr_data_test_close(&t);
}

MR_TEST(batch, the_largest_column_fits_whatever_its_layout)
{
    struct mr_data_test t;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    batch = mr_batch_new(&t.quota, 1, 0);
    for (int layout = MR_LAYOUT_BIT; layout <= MR_LAYOUT_STRUCT; layout++) {
        MR_EXPECT(mr_batch_values(batch, (enum mr_layout)layout, MR_BATCH_ROWS_MAX) != NULL);
    }
    mr_batch_release(batch);
    MR_EXPECT((batch = mr_batch_new(&t.quota, MR_COLUMNS_MAX, 0)) != NULL);
    mr_batch_release(batch);
    mr_data_test_close(&t);
}

/* A reader keeps filling a chunk that earlier batches point into. */
MR_TEST(batch, an_adopted_block_lives_as_long_as_its_last_batch)
{
    struct mr_data_test t;
    struct mr_quota source;
    struct mr_block *block;
    struct mr_batch *first, *second;

    mr_data_test_open(&t);
    mr_quota_init(&source, t.pool, "source", SIZE_MAX);
    block = mr_block_new(&source, 1000);
    memcpy(block->data, "chunk", 6);
    first = mr_batch_new(&t.quota, 1, 0);
    second = mr_batch_new(&t.quota, 1, 0);
    MR_EXPECT(mr_batch_adopt(first, mr_block_ref(block)));
    MR_EXPECT(mr_batch_adopt(second, mr_block_ref(block)));
    mr_block_release(block);
    mr_batch_release(first);
    MR_EXPECT_EQ_STR(block->data, "chunk");
    mr_batch_release(second);
    MR_EXPECT_EQ_UINT(source.used_bytes, 0);
    mr_data_test_close(&t);
}

MR_TEST(batch, borrowing_counts_each_base_once_and_four_at_most)
{
    struct mr_data_test t;
    struct mr_batch *bases[5], *batch;

    mr_data_test_open(&t);
    batch = mr_batch_new(&t.quota, 1, 0);
    for (int i = 0; i < 5; i++) bases[i] = mr_batch_new(&t.quota, 1, 0);
    for (int i = 0; i < 4; i++) MR_EXPECT(mr_batch_borrow(batch, bases[i]));
    MR_EXPECT(mr_batch_borrow(batch, bases[2]));
    MR_EXPECT(!mr_batch_borrow(batch, bases[4]));
    for (int i = 0; i < 5; i++) mr_batch_release(bases[i]);
    MR_EXPECT_EQ_UINT(t.quota.used_bytes, 5 * 4096); /* all but the one that was not borrowed */
    mr_batch_release(batch);
    mr_data_test_close(&t);
}

/* ---- selection and origin ---- */

static struct mr_batch *numbers(struct mr_data_test *t, const struct mr_schema *schema)
{
    static const int64_t times[] = {100, 101, 102, 103, 104, 105, 106, 107};

    struct mr_batch *batch = mr_data_batch(&t->quota, schema,
                                           "0|zero\n1|NULL\n2|two is a long text\n3|three\n4|\n"
                                           "5|five\n6|six\n7|seven is a long text\n");
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, times);
    batch->origin = (struct mr_origin){true, 3, 5000, 1000000, 42};
    return batch;
}

MR_TEST(batch, selections_compose_and_rows_keep_their_origin)
{
    static const uint32_t first_rows[] = {1, 2, 4, 5, 7}, second_rows[] = {0, 1, 4};
    struct mr_schema *schema = mr_data_schema("a int64, b utf8");
    struct mr_data_test t;
    struct mr_batch *batch, *first, *second;
    uint32_t mask = 1u << MR_HIDDEN_EVENT_TIME;

    mr_data_test_open(&t);
    batch = numbers(&t, schema);
    first = mr_batch_select(&t.quota, batch, first_rows, 5);
    second = mr_batch_select(&t.quota, first, second_rows, 3);
    mr_batch_release(batch);
    MR_EXPECT_EQ_STR(mr_data_print_hidden(first, mask),
                     "1|NULL|101\n2|two is a long text|102\n4||104\n5|five|105\n"
                     "7|seven is a long text|107\n");
    mr_batch_release(first);
    MR_EXPECT_EQ_STR(mr_data_print_hidden(second, mask),
                     "1|NULL|101\n2|two is a long text|102\n7|seven is a long text|107\n");
    MR_EXPECT_EQ_UINT(mr_batch_source_row(second, 0), 1000001);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(second, 2), 1000007);
    MR_EXPECT_EQ_INT(mr_batch_event_time(second, 2), 107);
    MR_EXPECT_EQ_UINT(second->origin.offset_bytes, 5000);
    mr_batch_release(second);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* A reader that rejects rows gives its own source rows; a selection made by hand has none. */
MR_TEST(batch, origin_rows_follow_a_selection_on_top_of_them)
{
    static const uint32_t source_rows[] = {0, 2, 3, 9, 10, 11, 12, 20}, picks[] = {1, 3, 7};
    static const uint32_t chosen[] = {2, 4, 6}, last[] = {1, 2};
    struct mr_schema *schema = mr_data_schema("a int64, b utf8");
    struct mr_data_test t;
    struct mr_batch *batch, *out;

    mr_data_test_open(&t);
    batch = numbers(&t, schema);
    batch->origin_rows = source_rows;
    out = mr_batch_select(&t.quota, batch, picks, 3);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(out, 0), 1000002);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(out, 1), 1000009);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(out, 2), 1000020);
    mr_batch_release(out);
    batch->origin_rows = NULL; /* logical row k is source row k, though a selection is there */
    batch->selection = chosen;
    batch->row_count = 3;
    out = mr_batch_select(&t.quota, batch, last, 2);
    MR_EXPECT_EQ_STR(mr_data_print(out), "4|\n6|six\n");
    MR_EXPECT_EQ_UINT(mr_batch_source_row(out, 0), 1000001);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(out, 1), 1000002);
    mr_batch_release(out);
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

MR_TEST(batch, without_event_time_every_row_is_at_the_minimum)
{
    struct mr_schema *schema = mr_data_schema("a int64");
    struct mr_data_test t;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    batch = mr_data_batch(&t.quota, schema, "1\n");
    MR_EXPECT_EQ_INT(mr_batch_event_time(batch, 0), MR_TIME_MIN);
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* ---- dense and compact ---- */

#define ROWS 1200u

/* Both keep rows, hidden columns and origin, for every type, with and without a selection. */
MR_TEST(batch, dense_and_compact_keep_rows_hidden_columns_and_origin)
{
    static char *lines[ROWS];
    static uint32_t rows[ROWS];
    static int64_t times[ROWS], hashes[ROWS];
    struct mr_schema *schema = mr_data_schema(MR_DATA_ALL_TYPES);
    uint32_t mask = 1u << MR_HIDDEN_EVENT_TIME | 1u << MR_HIDDEN_KEY_HASH | 1u << MR_HIDDEN_CHANGE;
    struct mr_data_test t;
    struct mr_prng prng;
    struct mr_batch *batch, *selected, *dense, *compact;
    char *text, *expected;

    mr_data_test_open(&t);
    mr_prng_init(&prng, 11, 1);
    mr_data_random_rows(&prng, schema, lines, ROWS);
    text = mr_data_join(lines, NULL, ROWS);
    batch = mr_data_batch(&t.quota, schema, text);
    for (uint32_t i = 0; i < ROWS; i++) hashes[i] = -(times[i] = (int64_t)i);
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, times);
    mr_data_hide(batch, MR_HIDDEN_KEY_HASH, hashes);
    batch->origin = (struct mr_origin){true, 1, 2, 3, 4};
    selected = mr_batch_select(&t.quota, batch, rows, (uint32_t)evens(ROWS, rows));
    expected = strdup(mr_data_print_hidden(selected, mask));
    MR_EXPECT_CONTAINS(expected, "|2|-|-2\n"); /* change is absent, the hash is there */

    dense = mr_batch_dense(&t.quota, selected);
    compact = mr_batch_compact(&t.quota, selected);
    MR_EXPECT(dense->selection == NULL && compact->selection == NULL);
    MR_EXPECT(compact->base_count == 0);
    MR_EXPECT(compact->hidden[MR_HIDDEN_CHANGE] == NULL);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(dense, 3), 9);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(compact, 3), 9);
    mr_batch_release(selected);
    MR_EXPECT_EQ_STR(mr_data_print_hidden(dense, mask), expected);
    mr_batch_release(dense);
    mr_batch_release(batch); /* the compact one needs nothing of it: ASan would tell */
    MR_EXPECT_EQ_STR(mr_data_print_hidden(compact, mask), expected);
    batch = mr_batch_dense(&t.quota, compact);
    MR_EXPECT(batch == compact);
    mr_batch_release(batch);
    mr_batch_release(compact);
    free(expected);
    free(text);
    mr_data_random_free(lines, ROWS);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* The measure decides how much of a spill page or a channel a batch will take. */
MR_TEST(batch, row_bytes_bounds_what_compact_takes)
{
    static char *lines[ROWS];
    static uint32_t rows[ROWS];
    struct mr_schema *schema = mr_data_schema(MR_DATA_ALL_TYPES);
    struct mr_data_test t;
    struct mr_prng prng;
    struct mr_batch *batch;
    char *text;

    mr_data_test_open(&t);
    mr_prng_init(&prng, 12, 1);
    mr_data_random_rows(&prng, schema, lines, ROWS);
    text = mr_data_join(lines, NULL, ROWS);
    batch = mr_data_batch(&t.quota, schema, text);
    for (uint32_t count = 0; count <= ROWS; count = count * 2 + 1) {
        uint32_t first = (ROWS - count) / 3;
        struct mr_batch *part, *compact;
        size_t used = 0;

        for (uint32_t i = 0; i < count; i++) rows[i] = first + i;
        part = mr_batch_select(&t.quota, batch, rows, count);
        compact = mr_batch_compact(&t.quota, part);
        for (struct mr_block *b = compact->blocks; b != NULL; b = b->next)
            used += b->capacity_bytes;
        used -= (size_t)(compact->bump_end - compact->bump);
        MR_EXPECT(used <= mr_batch_row_bytes(batch, first, count));
        MR_EXPECT_EQ_UINT(mr_batch_row_bytes(part, 0, count),
                          mr_batch_row_bytes(batch, first, count));
        mr_batch_release(compact);
        mr_batch_release(part);
    }
    free(text);
    mr_data_random_free(lines, ROWS);
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}

/* One constant text of 200 KB times 4096 rows must not become 800 MB. */
MR_TEST(batch, compact_copies_a_repeated_text_once)
{
    static char text[200000];
    const char *buffer = text;
    struct mr_view view;
    struct mr_data_test t;
    struct mr_batch *batch, *compact;

    mr_data_test_open(&t);
    memset(text, 'x', sizeof text);
    view = mr_view_make(text, sizeof text, 0, 0);
    batch = mr_batch_new(&t.quota, 1, 0);
    batch->row_count = 4096;
    batch->columns[0] = (struct mr_column){.type = MR_UTF8,
                                           .encoding = MR_CONST,
                                           .buffer_count = 1,
                                           .buffers = &buffer,
                                           .values = &view};
    MR_EXPECT(mr_batch_row_bytes(batch, 0, 4096) < 300000);
    compact = mr_batch_compact(&t.quota, batch);
    MR_EXPECT_EQ_UINT(compact->columns[0].buffer_count, 1);
    for (uint32_t i = 0; i < 4096; i += 1000) {
        struct mr_bytes bytes = mr_column_bytes(&compact->columns[0], i);

        MR_EXPECT_EQ_UINT(bytes.size_bytes, sizeof text);
        MR_EXPECT(bytes.data != text);
        MR_EXPECT_EQ_BYTES(bytes.data, text, sizeof text);
    }
    mr_batch_release(compact);
    mr_batch_release(batch);
    mr_data_test_close(&t);
}

/* Many long texts: several chunks, none cut. */
MR_TEST(batch, compact_spreads_long_texts_over_blocks)
{
    enum { COUNT = 40, BYTES = 100000 };
    static char text[COUNT + BYTES];
    const char *buffer = text;
    struct mr_view views[COUNT];
    struct mr_data_test t;
    struct mr_batch *batch, *compact;

    mr_data_test_open(&t);
    for (uint32_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7 + i / 251);
    for (uint32_t i = 0; i < COUNT; i++) {
        views[i] = mr_view_make(text + i, BYTES - i * 1000, 0, i);
    }
    batch = mr_batch_new(&t.quota, 1, 0);
    batch->row_count = COUNT;
    batch->columns[0] = (struct mr_column){
        .type = MR_BINARY, .buffer_count = 1, .buffers = &buffer, .values = views};
    compact = mr_batch_compact(&t.quota, batch);
    MR_EXPECT(compact->columns[0].buffer_count > 5);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct mr_bytes bytes = mr_column_bytes(&compact->columns[0], i);

        MR_EXPECT_EQ_UINT(bytes.size_bytes, BYTES - i * 1000);
        MR_EXPECT_EQ_BYTES(bytes.data, text + i, bytes.size_bytes);
    }
    mr_batch_release(compact);
    mr_batch_release(batch);
    mr_data_test_close(&t);
}

MR_TEST(batch, hidden_columns_have_a_type_and_a_default)
{
    MR_EXPECT_EQ_INT(mr_hidden_type(MR_HIDDEN_EVENT_TIME), MR_TIMESTAMP_LTZ);
    MR_EXPECT_EQ_INT(mr_hidden_type(MR_HIDDEN_CHANGE), MR_INT8);
    MR_EXPECT_EQ_INT(mr_hidden_type(MR_HIDDEN_TRACKING), MR_LIST);
    MR_EXPECT_EQ_INT(mr_hidden_default(MR_HIDDEN_EVENT_TIME), MR_TIME_MIN);
    MR_EXPECT_EQ_INT(mr_hidden_default(MR_HIDDEN_WINDOW_END), MR_GLOBAL_WINDOW_END);
    MR_EXPECT_EQ_INT(mr_hidden_default(MR_HIDDEN_CHANGE), MR_INSERT);
}

/* Every refusal of heap or quota, at every call. */
MR_TEST(batch, when_memory_runs_out_then_nothing_is_left)
{
    static const uint32_t rows[] = {0, 1};
    struct mr_schema *schema = mr_data_schema("a int64, b utf8, c list<utf8>");
    struct mr_data_test t;
    struct mr_batch *batch;

    mr_data_test_open(&t);
    batch = mr_data_batch(&t.quota, schema,
                          "1|a text that is far|[x,a list element that is far]\nNULL|b|NULL\n");
    MR_TORTURE(mr_test_heap()) {
        struct mr_pool *pool = NULL;

        if (mr_pool_create(mr_test_heap(), SIZE_MAX, &pool, NULL) == MR_OK) {
            struct mr_quota quota;
            struct mr_batch *part, *dense = NULL, *compact = NULL;

            mr_quota_init(&quota, pool, "torture", SIZE_MAX);
            part = mr_batch_select(&quota, batch, rows, 2);
            if (part != NULL) dense = mr_batch_dense(&quota, part);
            if (part != NULL) compact = mr_batch_compact(&quota, part);
            MR_EXPECT_EQ_INT(part == NULL || dense == NULL || compact == NULL,
                             mr_test_refused(mr_test_heap()));
            mr_batch_release(part);
            mr_batch_release(dense);
            mr_batch_release(compact);
            MR_EXPECT_EQ_UINT(quota.used_bytes, 0);
        }
        mr_pool_destroy(pool);
    }
    for (size_t limit = 0; limit < 80 * 1024; limit += 4096) {
        struct mr_quota quota;
        struct mr_batch *part, *compact = NULL;

        mr_quota_init(&quota, t.pool, "tight", limit);
        part = mr_batch_select(&quota, batch, rows, 2);
        if (part != NULL) compact = mr_batch_compact(&quota, part);
        if (compact != NULL) MR_EXPECT_EQ_STR(mr_data_print(compact), mr_data_print(batch));
        mr_batch_release(part);
        mr_batch_release(compact);
        MR_EXPECT_EQ_UINT(quota.used_bytes, 0);
    }
    mr_batch_release(batch);
    mr_schema_release(schema);
    mr_data_test_close(&t);
}
