/* local_table_test.c - the partial's table against a list of (slice, key): finding, filling up,
 * passing through, writing keys back. */
#include "base/prng.h"
#include "data/data_test_helper.h"
#include "exec/aggregate/local_table.h"

#define ROWS_MAX 200u

struct rig {
    struct mr_data_test data;
    struct mr_node node;
    struct mr_aggregate_spec spec;
    struct mr_plan_aggregate aggregate;
    struct mr_plan_op plan;
    struct mr_schema *schema;
    struct mri_accs accs;
    struct mri_local local;
};

static enum mr_status open_rig(struct rig *rig, const char *keys, bool sliced, size_t budget_bytes)
{
    enum mr_status st;

    memset(rig, 0, sizeof *rig);
    mr_data_test_open(&rig->data);
    rig->node.id = "a";
    rig->schema = mr_data_schema(keys);
    rig->spec = (struct mr_aggregate_spec){.kind = MR_AGG_COUNT_ALL, .name = "n"};
    rig->aggregate = (struct mr_plan_aggregate){.kind = MR_AGG_COUNT_ALL, .spec = &rig->spec};
    rig->plan = (struct mr_plan_op){.node = &rig->node,
                                    .aggregate_count = 1,
                                    .aggregates = &rig->aggregate,
                                    .key_count = rig->schema->column_count};
    rig->plan.key_fields = mr_alloc_array(mr_test_heap(), rig->schema->column_count + 1,
                                          sizeof *rig->plan.key_fields);
    if (rig->plan.key_fields == NULL) return MR_E_NOMEM;
    memcpy(rig->plan.key_fields, rig->schema->fields,
           rig->schema->column_count * sizeof *rig->plan.key_fields);
    st = mri_accs_init(&rig->accs, mr_test_heap(), &rig->plan, NULL);
    if (st != MR_OK) return st;
    return mri_local_init(&rig->local, mr_test_heap(), &rig->plan, &rig->accs, sliced,
                          budget_bytes, NULL);
}

static void close_rig(struct rig *rig)
{
    mri_local_fini(&rig->local);
    mri_accs_fini(&rig->accs);
    mr_free(mr_test_heap(), rig->plan.key_fields,
            (rig->schema->column_count + 1) * sizeof *rig->plan.key_fields);
    mr_schema_release(rig->schema);
    mr_data_test_close(&rig->data);
}

static enum mr_status resolve(struct rig *rig, const struct mr_batch *batch,
                              const int64_t *slices, const uint32_t *rows, uint32_t count,
                              uint32_t first, uint32_t *out_entries, uint32_t *out_end)
{
    uint64_t hashes[ROWS_MAX];
    struct mri_local_rows in = {.keys = batch->columns, .hashes = hashes, .slices = slices,
                                .rows = rows, .count = count};

    mr_column_hash(&batch->columns[0], NULL, batch->row_count, hashes);
    for (uint32_t i = 1; i < batch->column_count; i++) {
        mr_column_hash_combine(&batch->columns[i], NULL, batch->row_count, hashes);
    }
    return mri_local_resolve(&rig->local, &in, first, out_entries, out_end, NULL);
}

/* Entries written back as "slice|key|key\n" lines. */
static const char *written(struct rig *rig, uint32_t count)
{
    static struct mr_data_printer out;
    uint32_t entries[ROWS_MAX];
    struct mr_column hidden[2];
    struct mr_batch *batch = mr_batch_new(&rig->data.quota, rig->schema->column_count, 4096);
    const char *text;

    for (uint32_t i = 0; i < count; i++) entries[i] = i;
    MR_EXPECT(mri_local_write_keys(&rig->local, entries, count, batch, &hidden[0], &hidden[1]));
    batch->row_count = count;
    if (rig->local.sliced) batch->hidden[MR_HIDDEN_WINDOW_START] = &hidden[1];
    text = mr_data_print_hidden(batch, 1u << MR_HIDDEN_WINDOW_START);
    out.size = 0;
    mr_data_put(&out, text, strlen(text));
    for (uint32_t i = 0; i < count; i++) { /* the hash that the exchange will use */
        uint64_t hash = 0;

        mr_column_hash(&batch->columns[0], &i, 1, &hash);
        for (uint32_t k = 1; k < batch->column_count; k++) {
            mr_column_hash_combine(&batch->columns[k], &i, 1, &hash);
        }
        MR_EXPECT_EQ_UINT(mr_column_int64(&hidden[0], i), hash);
    }
    mr_batch_release(batch);
    return out.data;
}

static void random_rows(struct mr_prng *prng, const struct mr_schema *schema, uint32_t count,
                        bool nulls, struct mr_data_printer *out)
{
    out->size = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t c = 0; c < schema->column_count; c++) {
            uint32_t n = (uint32_t)mr_prng_below(prng, 9);
            char text[64];

            (void)sprintf(text, "%u", n);
            if (schema->fields[c].type == MR_UTF8 && n % 3 == 0) {
                (void)sprintf(text, "same-prefix-and-long-%u", n);
            }
            if (schema->fields[c].type == MR_BOOL) strcpy(text, n > 4 ? "true" : "false");
            if (schema->fields[c].type == MR_DECIMAL) strcat(text, ".00");
            if (nulls && mr_prng_below(prng, 6) == 0) strcpy(text, "NULL");
            if (c > 0) mr_data_put(out, "|", 1);
            mr_data_put(out, text, strlen(text));
        }
        mr_data_put(out, "\n", 1);
    }
}

static void check_keys(const char *keys, bool sliced, bool nulls, uint64_t seed)
{
    struct mr_data_printer rows = {NULL, 0, 0};
    struct mr_data_printer expected = {NULL, 0, 0};
    struct mr_prng prng;

    mr_prng_init(&prng, seed, 1);
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t count = 1 + (uint32_t)mr_prng_below(&prng, ROWS_MAX);
        uint32_t entries[ROWS_MAX];
        int64_t slices[ROWS_MAX];
        const char *line;
        struct rig rig;
        uint32_t end;
        uint32_t distinct = 0;
        struct mr_batch *batch;

        MR_EXPECT_OK(open_rig(&rig, keys, sliced, 1 << 20), NULL);
        random_rows(&prng, rig.schema, count, nulls, &rows);
        batch = mr_data_batch(&rig.data.quota, rig.schema, rows.data);
        for (uint32_t i = 0; i < count; i++) slices[i] = (int64_t)mr_prng_below(&prng, 3) * 10 - 10;
        MR_EXPECT_OK(resolve(&rig, batch, slices, NULL, count, 0, entries, &end), NULL);
        MR_EXPECT_EQ_UINT(end, count);
        expected.size = 0;
        mr_data_put(&expected, "", 0);
        line = rows.data;
        for (uint32_t i = 0; i < count; i++) { /* the list: first come, first numbered */
            size_t size = strcspn(line, "\n");
            char text[256];
            const char *at = expected.data;
            uint32_t number = 0;

            (void)sprintf(text, sliced ? "%.*s|%lld\n" : "%.*s|-\n", (int)size, line,
                          (long long)slices[i]);
            while (*at != '\0' && strncmp(at, text, strlen(text)) != 0) {
                at = strchr(at, '\n') + 1;
                number++;
            }
            if (*at == '\0') {
                mr_data_put(&expected, text, strlen(text));
                distinct++;
            }
            MR_EXPECT_EQ_UINT(entries[i], number);
            line += size + 1;
        }
        MR_EXPECT_EQ_UINT(rig.local.count, distinct);
        MR_EXPECT_EQ_STR(written(&rig, distinct), expected.data);
        mr_batch_release(batch);
        close_rig(&rig);
    }
    free(rows.data);
    free(expected.data);
}

MR_TEST(local_table, equal_keys_of_equal_slices_share_an_entry_and_come_back_as_they_were)
{
    check_keys("a utf8", false, false, 1);
    check_keys("a utf8", true, false, 2);
    check_keys("a utf8", true, true, 3);
    check_keys("a int64", false, false, 4);
    check_keys("a int64", true, true, 5);
    check_keys("a utf8, b int32, c bool", true, true, 6);
    check_keys("a decimal(10,2), b float64, c float32", false, true, 7);
    check_keys("a int8, b int16, c date, d utf8", true, false, 8);
}

MR_TEST(local_table, zeros_and_nans_of_either_form_are_one_key)
{
    struct mr_batch *batch;
    uint32_t entries[6];
    struct rig rig;
    uint32_t end;

    MR_EXPECT_OK(open_rig(&rig, "a float64", false, 1 << 20), NULL);
    batch = mr_data_batch(&rig.data.quota, rig.schema, "0\n-0\nnan\n-nan\n1\n0\n");
    MR_EXPECT_OK(resolve(&rig, batch, NULL, NULL, 6, 0, entries, &end), NULL);
    MR_EXPECT_EQ_UINT(rig.local.count, 3);
    MR_EXPECT_EQ_STR(written(&rig, 3), "0|-\nnan|-\n1|-\n");
    mr_batch_release(batch);
    close_rig(&rig);
}

MR_TEST(local_table, when_full_it_stops_at_the_row_and_goes_on_after_it_was_emptied)
{
    struct mr_batch *batch;
    uint32_t entries[6];
    uint32_t rows[] = {5, 0, 1, 0, 2, 3};
    struct rig rig;
    uint32_t end;

    MR_EXPECT_OK(open_rig(&rig, "a int64", false, 1), NULL); /* the least: two entries */
    MR_EXPECT_EQ_UINT(rig.local.limit, 2);
    rig.local.text_limit_bytes = 1000;
    batch = mr_data_batch(&rig.data.quota, rig.schema, "10\n11\n12\n13\n14\n10\n");
    MR_EXPECT_OK(resolve(&rig, batch, NULL, rows, 6, 0, entries, &end), NULL);
    MR_EXPECT_EQ_UINT(end, 4); /* 10, 10, 11, 10; no room for 12 */
    MR_EXPECT(mri_local_full(&rig.local));
    MR_EXPECT_EQ_UINT(entries[3], entries[0]);
    mri_local_clear(&rig.local);
    MR_EXPECT_OK(resolve(&rig, batch, NULL, rows, 6, end, entries, &end), NULL);
    MR_EXPECT_EQ_UINT(end, 6);
    MR_EXPECT_EQ_STR(written(&rig, 2), "12|-\n13|-\n");
    mr_batch_release(batch);
    close_rig(&rig);
}

MR_TEST(local_table, long_texts_fill_it_too)
{
    struct mr_batch *batch;
    uint32_t entries[3];
    struct rig rig;
    uint32_t end;

    MR_EXPECT_OK(open_rig(&rig, "a utf8", false, 1 << 20), NULL);
    rig.local.text_limit_bytes = 40;
    batch = mr_data_batch(&rig.data.quota, rig.schema,
                          "a-text-of-some-length\nanother-text-of-some-length\nshort\n");
    MR_EXPECT_OK(resolve(&rig, batch, NULL, NULL, 3, 0, entries, &end), NULL);
    MR_EXPECT_EQ_UINT(end, 2);
    mr_batch_release(batch);
    close_rig(&rig);
}

MR_TEST(local_table, appending_every_row_gets_an_entry_of_its_own)
{
    struct mr_batch *batch;
    uint32_t entries[3];
    int64_t slices[] = {5, 5, 5};
    struct rig rig;
    uint32_t end;

    MR_EXPECT_OK(open_rig(&rig, "a utf8", true, 1 << 20), NULL);
    rig.local.append = true;
    batch = mr_data_batch(&rig.data.quota, rig.schema, "x\nx\nNULL\n");
    MR_EXPECT_OK(resolve(&rig, batch, slices, NULL, 3, 0, entries, &end), NULL);
    MR_EXPECT_EQ_UINT(end, 3);
    MR_EXPECT_EQ_STR(written(&rig, 3), "x|5\nx|5\nNULL|5\n");
    mri_local_clear(&rig.local);
    rig.local.append = false;
    MR_EXPECT_OK(resolve(&rig, batch, slices, NULL, 3, 0, entries, &end), NULL);
    MR_EXPECT_EQ_UINT(rig.local.count, 2);
    mr_batch_release(batch);
    close_rig(&rig);
}

MR_TEST(local_table, whichever_allocation_fails_it_is_full_or_says_so_and_nothing_leaks)
{
    struct mr_prng prng;
    struct mr_data_printer rows = {NULL, 0, 0};
    struct rig outer;
    struct mr_batch *batch;

    mr_prng_init(&prng, 9, 1);
    MR_EXPECT_OK(open_rig(&outer, "a utf8, b int64", false, 1 << 20), NULL);
    random_rows(&prng, outer.schema, ROWS_MAX, true, &rows);
    batch = mr_data_batch(&outer.data.quota, outer.schema, rows.data);
    MR_TORTURE(mr_test_heap()) {
        uint32_t entries[ROWS_MAX];
        struct mri_local local;
        struct mri_accs accs;
        uint32_t end = 0;
        enum mr_status st = mri_accs_init(&accs, mr_test_heap(), &outer.plan, NULL);

        memset(&local, 0, sizeof local);
        if (st == MR_OK) {
            st = mri_local_init(&local, mr_test_heap(), &outer.plan, &accs, false, 1 << 20, NULL);
        }
        if (st == MR_OK) {
            struct rig inner = outer;

            inner.local = local;
            st = resolve(&inner, batch, NULL, NULL, ROWS_MAX, 0, entries, &end);
            local = inner.local;
        }
        if (mr_test_refused(mr_test_heap())) {
            MR_EXPECT(st == MR_E_NOMEM || (st == MR_OK && end < ROWS_MAX));
        } else {
            MR_EXPECT_EQ_INT(st, MR_OK);
            MR_EXPECT_EQ_UINT(end, ROWS_MAX);
        }
        if (local.heap != NULL) local.accs = &accs;
        mri_local_fini(&local);
        mri_accs_fini(&accs);
    }
    mr_batch_release(batch);
    free(rows.data);
    close_rig(&outer);
}
