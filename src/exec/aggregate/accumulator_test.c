/* accumulator_test.c - accumulators of every type: updating, merging slots, passing through columns
 * and through bytes all give what a loop over the values gives. */
#include "base/prng.h"
#include "data/data_test_helper.h"
#include "exec/aggregate/accumulator.h"

#define ROWS 40u
#define GROUPS 4u

struct rig {
    struct mr_data_test data;
    struct mri_blob_heap memory;
    struct mri_accs accs;
    struct mr_node node;
    struct mr_aggregate_spec spec;
    struct mr_plan_aggregate aggregate;
    struct mr_plan_op plan;
    struct mr_schema *input, *result, *partial;
};

static void open_rig(struct rig *rig, enum mr_aggregate_kind kind, const char *input,
                     const char *partial, const char *result)
{
    struct mr_error err;

    memset(rig, 0, sizeof *rig);
    mr_data_test_open(&rig->data);
    rig->memory.heap = mr_test_heap();
    rig->node.id = "a";
    rig->input = mr_data_schema(input);
    rig->result = mr_data_schema(result);
    rig->partial = mr_data_schema(partial);
    rig->spec = (struct mr_aggregate_spec){.kind = kind, .name = "x", .argument_count = 1};
    rig->aggregate = (struct mr_plan_aggregate){.kind = kind,
                                                .spec = &rig->spec,
                                                .argument = rig->input->fields[0],
                                                .partial_columns = rig->partial->column_count,
                                                .result = rig->result->fields[0]};
    rig->plan = (struct mr_plan_op){.node = &rig->node, .aggregate_count = 1,
                                    .aggregates = &rig->aggregate};
    MR_EXPECT_OK(mri_accs_init(&rig->accs, mr_test_heap(), &rig->plan, &err), &err);
    rig->accs.blobs = mri_blobs_of_heap(&rig->memory);
}

static void close_rig(struct rig *rig)
{
    mri_accs_fini(&rig->accs);
    MR_EXPECT_EQ_UINT(rig->memory.used_bytes, 0);
    mr_schema_release(rig->input);
    mr_schema_release(rig->result);
    mr_schema_release(rig->partial);
    mr_data_test_close(&rig->data);
}

struct slots {
    char *memory;
    char *at[ROWS]; /* per row or per group */
};

static void make_slots(struct rig *rig, struct slots *slots, uint32_t count)
{
    slots->memory = mr_alloc_array(mr_test_heap(), count, rig->accs.slot_bytes);
    MR_EXPECT(slots->memory != NULL);
    for (uint32_t i = 0; i < count; i++) {
        slots->at[i] = slots->memory + (size_t)i * rig->accs.slot_bytes;
    }
}

static void free_slots(struct rig *rig, struct slots *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) mri_accs_release(&rig->accs, slots->at[i]);
    mr_free(mr_test_heap(), slots->memory, (size_t)count * rig->accs.slot_bytes);
}

static const char *result_of(struct rig *rig, const void *slot)
{
    struct mr_builder *builder;
    struct mr_batch *batch;
    struct mr_error err;
    enum mr_build build;
    const char *text;
    enum mr_status st;

    MR_EXPECT_OK(mr_builder_create(mr_test_heap(), rig->result, 0, 1, &rig->data.quota, &builder,
                                   &err),
                 &err);
    MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
    st = mri_accs_result(&rig->accs, 0, slot, builder, 0, &build, &err);
    if (st != MR_OK) {
        static char message[MR_ERROR_TEXT_BYTES];

        mr_builder_abandon_row(builder);
        mr_builder_destroy(builder);
        strcpy(message, err.text);
        return message;
    }
    MR_EXPECT_EQ_INT(build, MR_BUILD_OK);
    mr_builder_commit_row(builder);
    batch = mr_builder_take(builder);
    text = mr_data_print(batch);
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    return text;
}

static void update(struct rig *rig, struct slots *slots, struct mr_batch *batch,
                   const int64_t *times, const uint32_t *rows, uint32_t count)
{
    char *pointers[ROWS];
    struct mri_feed feed = {.slots = pointers, .rows = rows, .count = count,
                            .column_rows = batch->row_count, .columns = batch->columns,
                            .times = times};
    struct mr_error err;

    for (uint32_t i = 0; i < count; i++) {
        pointers[i] = slots->at[(rows != NULL ? rows[i] : i) % GROUPS];
    }
    MR_EXPECT_OK(mri_accs_update(&rig->accs, &feed, &err), &err);
}

/* Half of the rows in one set of slots, half in another; the second goes through columns or bytes
 * or directly into the first. */
static void merge(struct rig *rig, struct slots *into, struct slots *from, uint32_t way)
{
    struct mr_error err;

    if (way == 0) {
        for (uint32_t g = 0; g < GROUPS; g++) {
            MR_EXPECT_OK(mri_accs_merge_slot(&rig->accs, into->at[g], from->at[g], &err), &err);
        }
    } else if (way == 1) {
        struct mr_batch *batch =
            mr_batch_new(&rig->data.quota, rig->partial->column_count, 4096);
        struct mri_feed feed = {.slots = into->at, .count = GROUPS, .column_rows = GROUPS};

        MR_EXPECT(mri_accs_write_partial(&rig->accs, from->at, GROUPS, batch));
        batch->row_count = GROUPS;
        for (uint32_t i = 0; i < batch->column_count; i++) {
            MR_EXPECT_EQ_INT(batch->columns[i].type, rig->partial->fields[i].type);
        }
        feed.columns = batch->columns;
        MR_EXPECT_OK(mri_accs_merge_columns(&rig->accs, &feed, &err), &err);
        mr_batch_release(batch);
    } else {
        struct slots again;

        make_slots(rig, &again, GROUPS);
        for (uint32_t g = 0; g < GROUPS; g++) {
            struct mr_buffer bytes;
            struct mr_cursor in;

            mr_buffer_init(&bytes, mr_test_heap());
            MR_EXPECT(mri_accs_encode(&rig->accs, from->at[g], &bytes));
            in = (struct mr_cursor){bytes.data, bytes.data + bytes.size_bytes};
            MR_EXPECT_OK(mri_accs_decode(&rig->accs, again.at[g], &in, &err), &err);
            MR_EXPECT(in.at == in.end);
            MR_EXPECT_OK(mri_accs_merge_slot(&rig->accs, into->at[g], again.at[g], &err), &err);
            mr_buffer_fini(&bytes);
        }
        free_slots(rig, &again, GROUPS);
    }
}

/* One random value as text, and as a number for the order. */
static void random_value(struct mr_prng *prng, enum mr_type type, char *text, double *out_order)
{
    int64_t n = (int64_t)mr_prng_below(prng, 200) - 100;

    *out_order = (double)n;
    switch ((int)type) {
    case MR_BOOL:
        *out_order = n > 0;
        strcpy(text, n > 0 ? "true" : "false");
        break;
    case MR_DECIMAL:
        (void)sprintf(text, "%s%lld.%02lld", n < 0 ? "-" : "", llabs(n) / 100, llabs(n) % 100);
        break;
    case MR_FLOAT32:
    case MR_FLOAT64:
        *out_order = (double)n + 0.25; /* no exponent in its text */
        (void)sprintf(text, "%.17g", *out_order);
        break;
    case MR_UTF8: /* of equal length, so that bytes order like numbers */
        (void)sprintf(text, n % 2 == 0 ? "%03lld" : "%03lld-and-a-long-tail", (long long)n + 500);
        break;
    default: (void)sprintf(text, "%lld", (long long)n);
    }
}

static void check_best(enum mr_aggregate_kind kind, const char *type, uint64_t seed)
{
    char schema[64];
    char partial[96];
    struct mr_prng prng;
    bool edge = kind == MR_AGG_FIRST || kind == MR_AGG_LAST;
    bool greatest = kind == MR_AGG_MAX || kind == MR_AGG_LAST;

    mr_prng_init(&prng, seed, 3);
    (void)sprintf(schema, "x %s", type);
    (void)sprintf(partial, edge ? "v %s, t int64" : "v %s", type);
    for (uint32_t round = 0; round < 30; round++) {
        struct rig rig;
        struct slots a, b;
        struct mr_data_printer rows = {NULL, 0, 0};
        char texts[ROWS][64];
        double order[ROWS];
        int64_t times[ROWS];
        uint32_t list[2][ROWS];
        uint32_t counts[2] = {0, 0};
        struct mr_batch *batch;

        open_rig(&rig, kind, schema, partial, schema);
        make_slots(&rig, &a, GROUPS);
        make_slots(&rig, &b, GROUPS);
        for (uint32_t i = 0; i < ROWS; i++) {
            random_value(&prng, rig.input->fields[0].type, texts[i], &order[i]);
            times[i] = (int64_t)mr_prng_below(&prng, 5) - 2;
            if (round % 2 == 0 && mr_prng_below(&prng, 3) == 0) strcpy(texts[i], "NULL");
            mr_data_put(&rows, texts[i], strlen(texts[i]));
            mr_data_put(&rows, "\n", 1);
            list[i % 7 < 3][counts[i % 7 < 3]++] = i;
        }
        batch = mr_data_batch(&rig.data.quota, rig.input, rows.data);
        if (round % 5 == 4) {
            update(&rig, &a, batch, times, NULL, ROWS);
        } else {
            update(&rig, &a, batch, times, list[0], counts[0]);
            update(&rig, &b, batch, times, list[1], counts[1]);
        }
        merge(&rig, &a, &b, round % 3);
        for (uint32_t g = 0; g < GROUPS; g++) {
            const char *best = "NULL";
            uint32_t at = 0;
            char expected[80];

            for (uint32_t i = g; i < ROWS; i += GROUPS) {
                double sign = greatest ? -1 : 1;

                if (strcmp(texts[i], "NULL") == 0) continue;
                if (strcmp(best, "NULL") != 0) {
                    double time = edge ? sign * (double)(times[i] - times[at]) : 0;

                    if (time > 0 || (time == 0 && sign * (order[i] - order[at]) >= 0)) continue;
                }
                best = texts[i];
                at = i;
            }
            (void)snprintf(expected, sizeof expected, "%.60s\n", best);
            MR_EXPECT_EQ_STR(result_of(&rig, a.at[g]), expected);
        }
        mr_batch_release(batch);
        free(rows.data);
        free_slots(&rig, &a, GROUPS);
        free_slots(&rig, &b, GROUPS);
        close_rig(&rig);
    }
}

MR_TEST(accumulator, min_max_first_last_of_every_type_agree_with_a_loop)
{
    static const enum mr_aggregate_kind kinds[] = {MR_AGG_MIN, MR_AGG_MAX, MR_AGG_FIRST,
                                                   MR_AGG_LAST};
    static const char *const types[] = {"bool",    "int8",    "int16",         "int32",
                                        "int64",   "float32", "float64",       "decimal(10,2)",
                                        "utf8",    "date",    "timestamp_ltz"};

    for (uint32_t k = 0; k < MR_COUNT(kinds); k++) {
        for (uint32_t t = 0; t < MR_COUNT(types); t++) check_best(kinds[k], types[t], 10 * k + t);
    }
}

static const char *sum_text(struct rig *rig, const char *rows, uint32_t way)
{
    struct mr_batch *batch = mr_data_batch(&rig->data.quota, rig->input, rows);
    struct slots a, b;
    const char *text;
    uint32_t list[2][ROWS];
    uint32_t counts[2] = {0, 0};

    make_slots(rig, &a, GROUPS);
    make_slots(rig, &b, GROUPS);
    for (uint32_t i = 0; i < batch->row_count; i++) list[i % 2][counts[i % 2]++] = i;
    for (uint32_t half = 0; half < 2; half++) {
        char *pointers[ROWS];
        struct mri_feed feed = {.slots = pointers, .rows = list[half], .count = counts[half],
                                .column_rows = batch->row_count, .columns = batch->columns};

        for (uint32_t i = 0; i < counts[half]; i++) pointers[i] = half ? b.at[0] : a.at[0];
        MR_EXPECT_OK(mri_accs_update(&rig->accs, &feed, NULL), NULL);
    }
    merge(rig, &a, &b, way);
    text = result_of(rig, a.at[0]);
    free_slots(rig, &a, GROUPS);
    free_slots(rig, &b, GROUPS);
    mr_batch_release(batch);
    return text;
}

MR_TEST(accumulator, sums_of_integers_are_judged_at_the_end_and_averages_never_overflow)
{
    const char *big = "9223372036854775807\n";
    struct rig rig;

    for (uint32_t way = 0; way < 3; way++) {
        open_rig(&rig, MR_AGG_SUM, "x int64", "s decimal(38,0), c int64", "x int64");
        MR_EXPECT_EQ_STR(sum_text(&rig, "9223372036854775807\n5\n-6\n", way),
                         "9223372036854775806\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "9223372036854775807\n1\n", way),
                         "sum 'x' overflows int64");
        MR_EXPECT_EQ_STR(sum_text(&rig, "-9223372036854775808\n-1\n", way),
                         "sum 'x' overflows int64");
        MR_EXPECT_EQ_STR(sum_text(&rig, "NULL\nNULL\n", way), "NULL\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "NULL\n0\n", way), "0\n");
        close_rig(&rig);
        open_rig(&rig, MR_AGG_AVG, "x int64", "s decimal(38,0), c int64", "x float64");
        MR_EXPECT_EQ_STR(sum_text(&rig, big, way), "9.223372036854776e+18\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "9223372036854775807\n9223372036854775807\n", way),
                         "9.223372036854776e+18\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "1\n2\n2\n", way), "1.6666666666666667\n");
        close_rig(&rig);
        open_rig(&rig, MR_AGG_SUM, "x int8", "s decimal(38,0), c int64", "x int64");
        MR_EXPECT_EQ_STR(sum_text(&rig, "127\n127\nNULL\n-128\n", way), "126\n");
        close_rig(&rig);
    }
}

/* Some 10^38 each: two of them exceed 128 bits, but may come back. */
MR_TEST(accumulator, sums_of_decimals_beyond_128_bits_come_back_without_loss)
{
    const char *nine = "99999999999999999999999999999999999999\n";
    struct rig rig;
    char rows[2048];

    for (uint32_t way = 0; way < 3; way += 2) {
        open_rig(&rig, MR_AGG_SUM, "x decimal(38,0)", "s decimal(38,0), c int64",
                 "x decimal(38,0)");
        rows[0] = '\0';
        for (uint32_t i = 0; i < 16; i++) strcat(rows, nine);
        MR_EXPECT_EQ_STR(sum_text(&rig, rows, way), "sum 'x' overflows its decimal type");
        for (uint32_t i = 0; i < 16; i++) {
            strcat(rows, "-");
            strcat(rows, nine);
        }
        MR_EXPECT_EQ_STR(sum_text(&rig, rows, way), "0\n");
        strcat(rows, "7\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, rows, way), "7\n");
        close_rig(&rig);
    }
    open_rig(&rig, MR_AGG_AVG, "x decimal(38,2)", "s decimal(38,2), c int64", "x float64");
    MR_EXPECT_EQ_STR(sum_text(&rig, "0.10\n0.20\n0.30\n", 1), "0.2\n");
    MR_EXPECT_EQ_STR(sum_text(&rig, "NULL\n", 1), "NULL\n");
    close_rig(&rig);
}

/* A partial row holds 128 bits of a decimal sum; the rest goes into further rows. */
MR_TEST(accumulator, what_a_partial_row_cannot_hold_of_a_sum_is_carried_into_further_rows)
{
    const char *nine = "-99999999999999999999999999999999999999\n";
    struct slots from, into;
    struct mr_batch *batch;
    uint32_t written = 0;
    bool left = true;
    struct rig rig;
    char rows[2048] = "";

    open_rig(&rig, MR_AGG_SUM, "x decimal(38,0)", "s decimal(38,0), c int64", "x decimal(38,0)");
    make_slots(&rig, &from, GROUPS);
    make_slots(&rig, &into, GROUPS);
    for (uint32_t i = 0; i < 20; i++) strcat(rows, nine);
    batch = mr_data_batch(&rig.data.quota, rig.input, rows);
    for (uint32_t i = 0; i < 20; i++) {
        update(&rig, &from, batch, NULL, &(uint32_t){4 * (i % 5)}, 1); /* all in group 0 */
    }
    mr_batch_release(batch);
    for (; left; written++) {
        struct mri_feed feed = {.slots = into.at, .count = 1, .column_rows = 1};

        MR_EXPECT(written < 100);
        batch = mr_batch_new(&rig.data.quota, 2, 0);
        MR_EXPECT(mri_accs_write_partial(&rig.accs, from.at, 1, batch));
        feed.columns = batch->columns;
        MR_EXPECT_OK(mri_accs_merge_columns(&rig.accs, &feed, NULL), NULL);
        mr_batch_release(batch);
        left = mri_accs_carry(&rig.accs, from.at[0]);
        mri_accs_release(&rig.accs, from.at[0]);
        mri_accs_keep_sums(&rig.accs, from.at[0]);
    }
    MR_EXPECT(written > 5);
    MR_EXPECT_EQ_STR(result_of(&rig, into.at[0]), "sum 'x' overflows its decimal type");
    rows[0] = '\0';
    for (uint32_t i = 0; i < 20; i++) strcat(rows, nine + 1);
    batch = mr_data_batch(&rig.data.quota, rig.input, rows);
    for (uint32_t i = 0; i < 20; i++) {
        update(&rig, &into, batch, NULL, &(uint32_t){4 * (i % 5)}, 1);
    }
    MR_EXPECT_EQ_STR(result_of(&rig, into.at[0]), "0\n");
    mr_batch_release(batch);
    free_slots(&rig, &from, GROUPS);
    free_slots(&rig, &into, GROUPS);
    close_rig(&rig);
}

MR_TEST(accumulator, extremes_of_floats_have_one_order_with_nan_above_all)
{
    struct rig rig;
    const char *orders[] = {"nan\n1\n-inf\n", "1\nnan\n-inf\n", "-inf\n1\nnan\n"};
    const char *zeros[] = {"0\n-0\n", "-0\n0\n"};

    for (uint32_t i = 0; i < 3; i++) {
        open_rig(&rig, MR_AGG_MAX, "x float64", "v float64", "x float64");
        MR_EXPECT_EQ_STR(sum_text(&rig, orders[i], i), "nan\n");
        close_rig(&rig);
        open_rig(&rig, MR_AGG_MIN, "x float64", "v float64", "x float64");
        MR_EXPECT_EQ_STR(sum_text(&rig, orders[i], i), "-inf\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "nan\n", i), "nan\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, zeros[i % 2], i), "-0\n");
        close_rig(&rig);
        open_rig(&rig, MR_AGG_MAX, "x float32", "v float32", "x float32");
        MR_EXPECT_EQ_STR(sum_text(&rig, zeros[i % 2], i), "0\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "-1.5\n-2\n", i), "-1.5\n");
        close_rig(&rig);
    }
}

MR_TEST(accumulator, sums_and_averages_of_doubles_are_exact_through_every_way)
{
    struct rig rig;

    for (uint32_t way = 0; way < 3; way++) {
        open_rig(&rig, MR_AGG_SUM, "x float64", "s binary, c int64", "x float64");
        MR_EXPECT_EQ_STR(sum_text(&rig, "1e100\n1\n-1e100\n1e-100\n", way), "1\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "1e300\n1e200\n1e100\n1\n-1e300\n-1e100\n-1e200\n", way),
                         "1\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "NULL\n", way), "NULL\n");
        MR_EXPECT_EQ_STR(sum_text(&rig, "inf\n-inf\n", way), "nan\n");
        close_rig(&rig);
        open_rig(&rig, MR_AGG_AVG, "x float32", "s binary, c int64", "x float64");
        MR_EXPECT_EQ_STR(sum_text(&rig, "1\nNULL\n2\n", way), "1.5\n");
        close_rig(&rig);
        open_rig(&rig, MR_AGG_COUNT, "x float32", "c int64", "x int64");
        MR_EXPECT_EQ_STR(sum_text(&rig, "1\nNULL\n2\n", way), "2\n");
        close_rig(&rig);
    }
}

MR_TEST(accumulator, states_and_slots_that_are_too_wide_are_refused_by_name)
{
    struct mr_aggregate_functions functions = {.size = sizeof functions, .state_bytes = 2000};
    struct mr_aggregate_spec spec = {.kind = MR_AGG_USER, .name = "mine", .functions = &functions};
    struct mr_plan_aggregate aggregates[8];
    struct mr_node node = {.id = "by-x"};
    struct mr_plan_op plan = {.node = &node, .aggregate_count = 1, .aggregates = aggregates};
    struct mri_accs accs;
    struct mr_error err;

    for (uint32_t i = 0; i < 8; i++) {
        aggregates[i] = (struct mr_plan_aggregate){.kind = MR_AGG_USER, .spec = &spec};
    }
    MR_EXPECT_STATUS(mri_accs_init(&accs, mr_test_heap(), &plan, &err), MR_E_LIMIT);
    MR_EXPECT_CONTAINS(err.text, "'mine' has a state of 2000 bytes");
    functions.state_bytes = 1000;
    MR_EXPECT_STATUS(mri_accs_init(&accs, mr_test_heap(), &plan, &err), MR_E_PIPELINE);
    MR_EXPECT_CONTAINS(err.text, "needs the functions");
}
