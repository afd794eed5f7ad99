/* plan_test.c - what operators and channels are told: columns, hidden columns, memory, refusals. */
#include "plan/plan_test_helper.h"
#include "base/bitset.h"

static void expect_columns(const struct mr_schema *schema, const char *expected)
{
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 0);
    mr_schema_print(schema, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), expected);
    mr_text_fini(&text);
}

static const struct mr_plan_op *find_op(const struct mr_plan *plan, enum mr_plan_op_kind kind)
{
    for (uint32_t i = 0; i < plan->stage_count; i++) {
        for (uint32_t k = 0; k < plan->stages[i].op_count; k++) {
            if (plan->stages[i].ops[k].kind == kind) return &plan->stages[i].ops[k];
        }
    }
    MR_FAIL("no operator %s", mr_plan_op_name(kind));
}

static const struct mr_plan_edge *find_edge(const struct mr_plan *plan, enum mr_exchange exchange)
{
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        if (plan->edges[i].exchange == exchange) return &plan->edges[i];
    }
    MR_FAIL("no edge %s", mr_exchange_name(exchange));
}

#define BIT(tag) (1u << MR_HIDDEN_##tag)

MR_TEST(plan, partial_accumulators_lie_behind_the_keys_and_end_with_the_row_count)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t read = source(model, "in", "k:u i:i f:f d:d t:t");
    uint32_t time = add(model, event_time_node(col(model, "t"), 0), OUT(read), NULL);
    struct mr_expr *keys[] = {col(model, "k"),
                              call2(model, MR_OP_MODULO, col(model, "i"), num(model, 7))};
    const char *names[] = {"k", "rows"};
    struct mr_aggregate_spec specs[] = {
        spec_of(MR_AGG_COUNT_ALL, "n", NULL),           spec_of(MR_AGG_SUM, "si", col(model, "i")),
        spec_of(MR_AGG_SUM, "sd", col(model, "d")),     spec_of(MR_AGG_AVG, "af", col(model, "f")),
        spec_of(MR_AGG_MIN, "mk", col(model, "k")),     spec_of(MR_AGG_LAST, "li", col(model, "i")),
    };
    const struct mr_plan_op *partial, *final;
    const struct mr_plan_edge *edge;
    struct mr_plan *plan;
    uint32_t node = add(model, aggregate_node(HOURLY, keys, names, 2, specs, 6), OUT(time), NULL);

    add(model, sink_node(false), OUT(node), NULL);
    plan = plan_of(model, &options);
    partial = find_op(plan, MR_PLAN_AGGREGATE_PARTIAL);
    final = find_op(plan, MR_PLAN_AGGREGATE_FINAL);
    edge = find_edge(plan, MR_EXCHANGE_KEY);
    expect_columns(partial->outputs[0],
                   "k utf8, rows int64, n.count int64 not null, si.sum decimal(38,0), si.count "
                   "int64 not null, sd.sum decimal(38,2), sd.count int64 not null, af.sum binary, "
                   "af.count int64 not null, mk.value utf8, li.value int64, li.time int64, rows#2 "
                   "int64 not null");
    MR_EXPECT_EQ_UINT(partial->rows_column, 12);
    MR_EXPECT_EQ_UINT(final->rows_column, 12);
    MR_EXPECT_EQ_UINT(edge->key_count, 2);
    MR_EXPECT_EQ_UINT(edge->hidden_mask, BIT(WINDOW_START) | BIT(KEY_HASH));
    MR_EXPECT_EQ_UINT(partial->output_hidden, BIT(WINDOW_START));
    MR_EXPECT_EQ_UINT(final->output_hidden, BIT(EVENT_TIME) | BIT(WINDOW_START) | BIT(WINDOW_END));
    /* Prepared: k, i % 7, i, d, f, k; the second i is the first one. */
    MR_EXPECT_EQ_UINT(partial->expr_count, 6);
    MR_EXPECT_EQ_UINT(partial->aggregates[1].argument_columns[0], 2);
    MR_EXPECT_EQ_UINT(partial->aggregates[3].argument_columns[0], 4);
    MR_EXPECT_EQ_UINT(partial->aggregates[5].argument_columns[0], 2);
    MR_EXPECT_EQ_UINT(final->aggregates[3].partial_column, 7);
    MR_EXPECT_EQ_UINT(final->aggregates[3].partial_columns, 2);
    MR_EXPECT_EQ_INT(final->aggregates[3].argument.type, MR_FLOAT64);
    MR_EXPECT_EQ_INT(final->aggregates[0].argument.type, MR_TYPE_NONE);
    MR_EXPECT_EQ_STR(final->aggregates[5].result.name, "li");
    MR_EXPECT_EQ_STR(final->key_fields[1].name, "rows");
    MR_EXPECT_EQ_INT(final->key_fields[1].type, MR_INT64);
    MR_EXPECT(final->emit_window && final->window.size_us == MR_HOUR);
    MR_EXPECT_EQ_UINT(final->late_first_column, MR_COLUMN_NONE);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

/* Late rows come out as they came in, under their names, though keys and arguments travel too. */
MR_TEST(plan, one_step_carries_keys_arguments_and_the_columns_of_late_rows)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t node = add_flights(model, HOURLY);
    struct mr_expr *exprs[] = {col(model, "tail"), col(model, "origin")};
    const char *names[] = {"tail", "origin"};
    const struct mr_plan_op *whole, *prepare;
    struct mr_plan *plan;
    uint32_t late;

    options.streaming = true;
    add(model, sink_node(false), OUT(node), NULL);
    late = add(model, project_node(exprs, names, 2), OUT1(node), NULL);
    add(model, sink_node(false), OUT(late), NULL);
    plan = plan_of(model, &options);
    whole = find_op(plan, MR_PLAN_AGGREGATE);
    prepare = find_op(plan, MR_PLAN_PROJECT);
    expect_columns(whole->input, "origin#2 utf8, delay float64, origin utf8, tail utf8");
    MR_EXPECT(prepare->inserted && prepare->expr_count == 4);
    MR_EXPECT_EQ_UINT(whole->late_first_column, 2);
    MR_EXPECT_EQ_UINT(whole->output_count, 2);
    expect_columns(whole->outputs[1], "origin utf8, tail utf8");
    MR_EXPECT_EQ_UINT(whole->expr_count, 2);
    MR_EXPECT_EQ_UINT(whole->aggregates[2].argument_columns[0], 1);
    MR_EXPECT_EQ_STR(whole->key_fields[0].name, "origin");
    MR_EXPECT_EQ_UINT(find_edge(plan, MR_EXCHANGE_KEY)->hidden_mask,
                      BIT(EVENT_TIME) | BIT(KEY_HASH));
    MR_EXPECT(!whole->late_by_split);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

MR_TEST(plan, late_by_split_sends_the_splits_watermark_along)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_window_spec window = {
        .kind = MR_WINDOW_HOPPING, .size_us = MR_HOUR, .slide_us = MR_MINUTE};
    struct mr_plan *plan;

    options.streaming = options.late_by_split = true;
    add(model, sink_node(false), OUT(add_flights(model, window)), NULL);
    plan = plan_of(model, &options);
    /* A row can be late for some of its windows: one step. */
    MR_EXPECT(find_op(plan, MR_PLAN_AGGREGATE)->late_by_split);
    MR_EXPECT(find_op(plan, MR_PLAN_EVENT_TIME)->late_by_split);
    MR_EXPECT_EQ_UINT(find_edge(plan, MR_EXCHANGE_KEY)->hidden_mask,
                      BIT(EVENT_TIME) | BIT(SPLIT_WATERMARK) | BIT(KEY_HASH));
    mr_plan_destroy(plan);

    options.late_by_split = false;
    plan = plan_of(model, &options);
    MR_EXPECT(!find_op(plan, MR_PLAN_AGGREGATE_FINAL)->late_by_split);
    MR_EXPECT_EQ_UINT(find_op(plan, MR_PLAN_EVENT_TIME)->output_hidden, BIT(EVENT_TIME));
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

MR_TEST(plan, a_scan_reads_the_columns_that_somebody_needs)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t node = add_flights(model, HOURLY);
    struct mr_plan *plan;

    add(model, sink_node(false), OUT(node), NULL);
    plan = plan_of(model, &options);
    /* year origin dest delay hour tail */
    MR_EXPECT_EQ_UINT(find_op(plan, MR_PLAN_SCAN)->projection[0], 1 << 1 | 1 << 3 | 1 << 4);
    mr_plan_destroy(plan);
    options.no_pruning = true;
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(find_op(plan, MR_PLAN_SCAN)->projection[0], 63);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

/* Leaving out what computes could hide a row that fails. */
MR_TEST(plan, a_project_drops_unread_columns_but_not_unread_computations)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t read = source(model, "in", "a:i b:i c:i");
    struct mr_expr *exprs[] = {col(model, "a"), col(model, "b"),
                               call2(model, MR_OP_DIVIDE, num(model, 1), col(model, "c"))};
    const char *names[] = {"a", "b", "inverse"};
    uint32_t both = add(model, project_node(exprs, names, 3), OUT(read), NULL);
    uint32_t one = add(model, project_node(exprs, names, 1), OUT(both), NULL);
    struct mr_plan *plan;

    add(model, sink_node(false), OUT(one), NULL);
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->stage_count, 1);
    expect_columns(plan->stages[0].ops[1].outputs[0], "a int64, inverse int64");
    expect_columns(plan->stages[0].ops[2].outputs[0], "a int64");
    MR_EXPECT_EQ_UINT(find_op(plan, MR_PLAN_SCAN)->projection[0], 5);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

/* Counting rows needs none of their columns; a stream carries one all the same. */
MR_TEST(plan, an_exchange_carries_at_least_one_column)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t read = source(model, "in", "a:i b:i");
    struct mr_aggregate_spec count = spec_of(MR_AGG_COUNT_ALL, "rows", NULL);
    uint32_t node = add(model, aggregate_node(GLOBAL, NULL, NULL, 0, &count, 1), OUT(read), NULL);
    struct mr_plan *plan;

    add(model, sink_node(false), OUT(node), NULL);
    options.no_two_stage = true;
    plan = plan_of(model, &options);
    expect_columns(find_op(plan, MR_PLAN_AGGREGATE)->input, "row bool not null");
    MR_EXPECT_EQ_UINT(find_op(plan, MR_PLAN_AGGREGATE)->expr_count, 0);
    MR_EXPECT_EQ_UINT(find_op(plan, MR_PLAN_SCAN)->projection[0], 0);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

/* One input was pruned above, the other not: both are made equal. */
MR_TEST(plan, inputs_of_a_union_have_equal_columns_after_pruning)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_error err = {0};
    uint32_t left = source(model, "l", "a:i b:i c:i");
    uint32_t right = source(model, "r", "a:i b:i c:i");
    struct mr_expr *exprs[] = {col(model, "a"), col(model, "b"), col(model, "c")};
    const char *names[] = {"a", "b", "c"};
    struct mr_stream_ref inputs[] = {
        OUT(left), OUT(add(model, project_node(exprs, names, 3), OUT(right), NULL))};
    struct mr_plan *plan;
    uint32_t node;

    MR_EXPECT_OK(try_union(model, inputs, 2, &node, &err), &err);
    node = add(model, project_node(&exprs[1], &names[1], 1), OUT(node), NULL);
    add(model, sink_node(false), OUT(node), NULL);
    plan = plan_of(model, &options);
    expect_columns(find_op(plan, MR_PLAN_MERGE)->input, "b int64");
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        expect_columns(plan->edges[i].schema, "b int64");
    }
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

MR_TEST(plan, a_keyed_stage_has_no_more_instances_than_key_groups)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_plan *plan;

    add(model, sink_node(false), OUT(add_flights(model, HOURLY)), NULL);
    options.workers = 4;
    options.key_group_count = 3;
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->stages[0].parallelism, 4);
    MR_EXPECT_EQ_UINT(plan->stages[1].parallelism, 3);
    mr_plan_destroy(plan);
    options.key_group_count = 0;
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->options.key_group_count, 1024);
    MR_EXPECT_EQ_UINT(plan->stages[1].parallelism, 4);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

/* ---- memory ---- */

MR_TEST(plan, quotas_shrink_so_that_channels_take_at_most_a_quarter_of_the_memory)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_plan *plan;

    add(model, sink_node(false), OUT(add_flights(model, HOURLY)), NULL);
    options.workers = 8; /* 64 channels */
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->edges[0].quota_bytes, 256 * 1024);
    MR_EXPECT_EQ_UINT(plan->channel_bytes, 16 * MIB);
    MR_EXPECT_EQ_UINT(plan->operator_bytes, 48 * MIB);
    MR_EXPECT_EQ_UINT(plan->edges[0].ring_slots, 8);
    mr_plan_destroy(plan);

    options.memory_bytes = 30 * MIB; /* 120 KiB each: whole blocks of 32 */
    options.ring_slots = 1;
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->edges[0].quota_bytes, 96 * 1024);
    MR_EXPECT_EQ_UINT(plan->edges[0].ring_slots, 1);
    mr_plan_destroy(plan);

    options.memory_bytes = 0;
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->edges[0].quota_bytes, 512 * 1024);
    MR_EXPECT_EQ_UINT(plan->operator_bytes, SIZE_MAX);
    mr_plan_destroy(plan);

    options.memory_bytes = MIB;
    options.quota_bytes = 8192; /* a wish of tests: half of the memory is enough for it */
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->channel_bytes, 512 * 1024);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

MR_TEST(plan, too_little_memory_says_how_much_is_needed)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_error err = {0};
    struct mr_plan *plan;

    add(model, sink_node(false), OUT(add_flights(model, HOURLY)), NULL);
    options.workers = 8;
    options.memory_bytes = 16 * MIB - 1;
    MR_EXPECT_EQ_INT(mr_plan_create(mr_test_heap(), model, &options, &plan, &err), MR_E_NOMEM);
    MR_EXPECT_EQ_STR(err.text,
                     "this pipeline has 64 channels between 2 stages and needs about 30 MiB of "
                     "memory for rows on the move, but may use 15 MiB: allow more (--memory "
                     "30MiB), or use fewer workers (--workers, now 8)"); /* 16 x (4/3 + 1/2) MiB */
    options.memory_bytes = 16 * MIB;
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->edges[0].quota_bytes, 64 * 1024);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

/* ---- refusals ---- */

MR_TEST(plan, what_the_check_of_the_model_refuses_is_not_planned)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_error err = {0};
    struct mr_plan *plan;

    add_flights(model, HOURLY);
    MR_EXPECT_EQ_INT(mr_plan_create(mr_test_heap(), model, &options, &plan, &err), MR_E_PIPELINE);
    MR_EXPECT_EQ_STR(err.text, "stream 'in' (source) is not used: write it to a sink, or leave it "
                               "out");
    options.workers = 0;
    MR_EXPECT_EQ_INT(mr_plan_create(mr_test_heap(), model, &options, &plan, &err), MR_E_INVALID);
    MR_EXPECT_EQ_STR(err.text, "0 workers: at least one is needed");
    mr_model_destroy(model);
}

/* ---- memory that runs out ---- */

MR_TEST(plan, survives_every_failed_allocation)
{
    struct mr_heap *heap = mr_test_heap();
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_order order = {.expr = col(model, "flights")};
    uint32_t node = add_flights(model, HOURLY);
    uint32_t top = add(model, top_node(&order, 1, 5), OUT(node), NULL);
    struct mr_stream_ref twice[] = {OUT(top), OUT(top)};
    struct mr_error err = {0};

    MR_EXPECT_OK(try_union(model, twice, 2, &top, &err), &err);
    add(model, sink_node(true), OUT(top), NULL);
    add(model, sink_node(false), OUT1(node), NULL);
    for (uint32_t streaming = 0; streaming < 2; streaming++) {
        options.streaming = streaming;
        MR_TORTURE(heap) {
            struct mr_plan *plan = NULL;
            enum mr_status st = mr_plan_create(heap, model, &options, &plan, &err);

            MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
            if (st == MR_OK) mr_plan_destroy(plan);
        }
    }
    mr_model_destroy(model);
}

MR_TEST(plan, explain_survives_every_failed_allocation)
{
    struct mr_heap *heap = mr_test_heap();
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_plan *plan;

    add(model, sink_node(true), OUT(add_flights(model, HOURLY)), NULL);
    plan = plan_of(model, &options);
    MR_TORTURE(heap) {
        struct mr_text text;

        mr_text_init(&text, heap, 0);
        mr_plan_print(plan, NULL, NULL, &text);
        mr_plan_print_dot(plan, NULL, NULL, &text);
        MR_EXPECT_EQ_INT(mr_text_status(&text), mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_text_fini(&text);
    }
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}
