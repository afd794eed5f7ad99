/* plan_explain_test.c - whole plans, as --explain shows them: one pipeline per rule of planning. */
#include "plan/plan_test_helper.h"

static void describe(void *self, const struct mr_node *node, struct mr_text *out)
{
    (void)self;
    if (node->kind == MR_NODE_SOURCE) mr_text_format(out, "csv %s.csv", node->id);
    else mr_text_add(out, "print table");
}

/* Prints, compares, and ends the model. */
static void expect_plan(struct mr_model *model, const struct mr_plan_options *options,
                        const char *expected)
{
    struct mr_plan *plan = plan_of(model, options);
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 0);
    mr_plan_print(plan, describe, NULL, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), expected);
    mr_text_fini(&text);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}

MR_TEST(explain, an_aggregate_has_two_steps_and_the_scan_reads_three_columns)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();

    add(model, sink_node(true), OUT(add_flights(model, HOURLY)), NULL);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1            print table\n"
                "    by-hour         aggregate key origin; tumbling 1h; count(*) as flights, "
                "avg(delay) as mean_delay, max(delay) as max_delay\n"
                "      event-time-1  event-time hour, delay 1d\n"
                "        in          csv in.csv\n"
                "physical plan (2 workers, batch)\n"
                "  stage 0 x2  scan in (csv in.csv; 3 of 6 columns) > event-time event-time-1 > "
                "aggregate-partial by-hour\n"
                "    | by key origin -> stage 1, 4 channels of 512KiB\n"
                "  stage 1 x2  aggregate-final by-hour\n"
                "    | to one -> stage 2, 2 channels of 512KiB\n"
                "  stage 2 x1  sink sink-1\n"
                "  memory: 3MiB for channels, 61MiB for operators\n");
}

/* Functions see every column; a sink with a writer per instance needs no exchange. */
MR_TEST(explain, word_count_reads_whole_rows_and_writes_side_by_side)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_node split = {.kind = MR_NODE_FUNCTION,
                            .u.function = {.kind = MR_FUNCTION_ROW, .row = user_row}};
    uint32_t read = source(model, "text", "line:u");
    struct mr_expr *keys[] = {col(model, "word")};
    const char *names[] = {"word"};
    struct mr_aggregate_spec count = spec_of(MR_AGG_COUNT_ALL, "count", NULL);
    struct mr_schema *words = NULL;
    struct mr_error err = {0};
    uint32_t node;

    MR_EXPECT_OK(try_schema(mr_test_heap(), "word:u", &words, &err), &err);
    split.output_count = 1;
    split.outputs[0] = words;
    node = add(model, split, OUT(read), "words");
    mr_schema_release(words);
    node = add(model, aggregate_node(GLOBAL, keys, names, 1, &count, 1), OUT(node), NULL);
    add(model, sink_node(false), OUT(node), NULL);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1         print table\n"
                "    aggregate-1  aggregate key word; count(*) as count\n"
                "      words      function rows\n"
                "        text     csv text.csv\n"
                "physical plan (2 workers, batch)\n"
                "  stage 0 x2  scan text (csv text.csv; 1 of 1 columns) > function words > "
                "aggregate-partial aggregate-1\n"
                "    | by key word -> stage 1, 4 channels of 512KiB\n"
                "  stage 1 x2  aggregate-final aggregate-1 > sink sink-1\n"
                "  memory: 2MiB for channels, 62MiB for operators\n");
}

static enum mr_status process_row(void *user, struct mr_process_context *context,
                                  const struct mr_row *row, struct mr_emitter *out)
{
    (void)user, (void)context, (void)row, (void)out;
    return MR_OK;
}

/* A key that is a column is not carried twice; a second input goes to all instances. */
MR_TEST(explain, a_process_function_stands_behind_an_exchange_by_its_keys)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t read = source(model, "in", "a:i b:i c:u");
    uint32_t rules = source(model, "rules", "r:i s:i");
    struct mr_expr *keys[] = {col(model, "b"), call2(model, MR_OP_MODULO, col(model, "a"),
                                                     num(model, 7))};
    const char *names[] = {"b", "bucket"};
    const struct mr_field number[] = {{.name = "n", .type = MR_INT64}};
    const struct mr_state states[] = {
        {.name = "sums", .kind = MR_STATE_VALUE, .fields = number, .field_count = 1}};
    struct mr_node process = {.kind = MR_NODE_PROCESS,
                              .input_count = 2,
                              .u.process = {.row = process_row,
                                            .broadcast = process_row,
                                            .key_count = 2,
                                            .keys = keys,
                                            .key_names = names,
                                            .states = states,
                                            .state_count = 1}};
    struct mr_stream_ref inputs[] = {OUT(read), OUT(rules)};
    struct mr_schema *schema = NULL;
    struct mr_error err = {0};
    struct mr_plan *plan;
    uint32_t node;

    MR_EXPECT_OK(try_schema(mr_test_heap(), "x:i", &schema, &err), &err);
    process.inputs = inputs;
    process.output_count = 1;
    process.outputs[0] = schema;
    MR_EXPECT_OK(mr_model_add(model, &process, &node, &err), &err);
    mr_schema_release(schema);
    add(model, sink_node(false), OUT(node), NULL);
    plan = plan_of(model, &options);
    MR_EXPECT_EQ_UINT(plan->stages[2].ops[0].input->column_count, 4);
    MR_EXPECT_EQ_UINT(plan->stages[2].ops[0].column_map[1], 0);
    mr_plan_destroy(plan);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1       print table\n"
                "    process-1  process key b, a % 7 as bucket; per row; state sums; broadcast\n"
                "      in       csv in.csv\n"
                "      rules    csv rules.csv\n"
                "physical plan (2 workers, batch)\n"
                "  stage 0 x2  scan in (csv in.csv; 3 of 3 columns) > project for process-1 "
                "(4 columns)\n"
                "    | by key b, bucket -> stage 2, 4 channels of 512KiB\n"
                "  stage 1 x2  scan rules (csv rules.csv; 2 of 2 columns)\n"
                "    | to all -> stage 2, 4 channels of 512KiB\n"
                "  stage 2 x2  process process-1 > sink sink-1\n"
                "  memory: 4MiB for channels, 60MiB for operators\n");
}

MR_TEST(explain, a_total_is_gathered_in_one_instance_and_stays_there)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t read = source(model, "in", "a:i b:i");
    struct mr_aggregate_spec specs[] = {spec_of(MR_AGG_SUM, "total", col(model, "b"))};
    uint32_t node = add(model, aggregate_node(GLOBAL, NULL, NULL, 0, specs, 1), OUT(read), NULL);
    struct mr_expr *exprs[] = {call2(model, MR_OP_MULTIPLY, col(model, "total"), num(model, 2))};
    const char *names[] = {"twice"};

    node = add(model, project_node(exprs, names, 1), OUT(node), NULL);
    add(model, sink_node(false), OUT(node), NULL);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1           print table\n"
                "    project-1      project total * 2 as twice\n"
                "      aggregate-1  aggregate sum(b) as total\n"
                "        in         csv in.csv\n"
                "physical plan (2 workers, batch)\n"
                "  stage 0 x2  scan in (csv in.csv; 1 of 2 columns) > aggregate-partial "
                "aggregate-1\n"
                "    | to one -> stage 1, 2 channels of 512KiB\n"
                "  stage 1 x1  aggregate-final aggregate-1 > project project-1 > sink sink-1\n"
                "  memory: 1MiB for channels, 63MiB for operators\n");
}

/* A session is known when all its rows are in one place: rows travel, but only what is read. */
MR_TEST(explain, sessions_have_one_step)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_window_spec sessions = {.kind = MR_WINDOW_SESSION, .size_us = 2 * MR_HOUR};

    options.streaming = true;
    add(model, sink_node(false), OUT(add_flights(model, sessions)), NULL);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1            print table\n"
                "    by-hour         aggregate key origin; session gap 2h; count(*) as flights, "
                "avg(delay) as mean_delay, max(delay) as max_delay\n"
                "      event-time-1  event-time hour, delay 1d\n"
                "        in          csv in.csv\n"
                "physical plan (2 workers, streaming)\n"
                "  stage 0 x2  scan in (csv in.csv; 3 of 6 columns) > event-time event-time-1 > "
                "project for by-hour (2 columns)\n"
                "    | by key origin -> stage 1, 4 channels of 512KiB\n"
                "  stage 1 x2  aggregate by-hour > sink sink-1\n"
                "  memory: 2MiB for channels, 62MiB for operators\n"
                "note: nothing can fire before the last split of 'in' opens, if it has several "
                "and does not know the earliest time in each\n");
}

/* By the operator's own watermark only the operator can tell which rows are late. */
MR_TEST(explain, late_rows_that_are_used_need_one_step_in_streaming)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t node = add_flights(model, HOURLY);

    options.streaming = true;
    add(model, sink_node(false), OUT(node), NULL);
    add(model, sink_node(true), OUT1(node), "late");
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1                 print table\n"
                "    by-hour              aggregate key origin; tumbling 1h; count(*) as "
                "flights, avg(delay) as mean_delay, max(delay) as max_delay\n"
                "      event-time-1       event-time hour, delay 1d\n"
                "        in               csv in.csv\n"
                "  late                   print table\n"
                "    by-hour (late rows)  see above\n"
                "physical plan (2 workers, streaming)\n"
                "  stage 0 x2  scan in (csv in.csv; 6 of 6 columns) > event-time event-time-1 > "
                "project for by-hour (8 columns)\n"
                "    | by key origin -> stage 1, 4 channels of 512KiB\n"
                "  stage 1 x2  aggregate by-hour > sink sink-1\n"
                "    | late rows of by-hour, to one -> stage 2, 2 channels of 512KiB\n"
                "  stage 2 x1  sink late\n"
                "  memory: 3MiB for channels, 61MiB for operators\n"
                "note: nothing can fire before the last split of 'in' opens, if it has several "
                "and does not know the earliest time in each\n");
}

MR_TEST(explain, late_rows_by_split_leave_at_the_first_of_two_steps)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t node = add_flights(model, HOURLY);

    options.streaming = true;
    options.late_by_split = true;
    add(model, sink_node(false), OUT(node), NULL);
    add(model, sink_node(true), OUT1(node), "late");
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1                 print table\n"
                "    by-hour              aggregate key origin; tumbling 1h; count(*) as "
                "flights, avg(delay) as mean_delay, max(delay) as max_delay\n"
                "      event-time-1       event-time hour, delay 1d\n"
                "        in               csv in.csv\n"
                "  late                   print table\n"
                "    by-hour (late rows)  see above\n"
                "physical plan (2 workers, streaming)\n"
                "  stage 0 x2  scan in (csv in.csv; 6 of 6 columns) > event-time event-time-1 > "
                "aggregate-partial by-hour\n"
                "    | by key origin -> stage 1, 4 channels of 512KiB\n"
                "    | late rows of by-hour, to one -> stage 2, 2 channels of 512KiB\n"
                "  stage 1 x2  aggregate-final by-hour > sink sink-1\n"
                "  stage 2 x1  sink late\n"
                "  memory: 3MiB for channels, 61MiB for operators\n"
                "note: nothing can fire before the last split of 'in' opens, if it has several "
                "and does not know the earliest time in each\n");
}

MR_TEST(explain, a_union_merges_and_top_has_two_steps)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_error err = {0};
    struct mr_stream_ref inputs[] = {OUT(source(model, "l", "a:i b:i")),
                                     OUT(source(model, "r", "a:i b:i"))};
    struct mr_order order = {.expr = col(model, "b"), .descending = true};
    uint32_t node;

    MR_EXPECT_OK(try_union(model, inputs, 2, &node, &err), &err);
    node = add(model, top_node(&order, 1, 10), OUT(node), NULL);
    add(model, sink_node(true), OUT(node), NULL);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1       print table\n"
                "    top-1      top first 10 by b desc\n"
                "      union-1  union 2 inputs\n"
                "        l      csv l.csv\n"
                "        r      csv r.csv\n"
                "physical plan (2 workers, batch)\n"
                "  stage 0 x2  scan l (csv l.csv; 2 of 2 columns)\n"
                "    | forward -> stage 2, 2 channels of 512KiB\n"
                "  stage 1 x2  scan r (csv r.csv; 2 of 2 columns)\n"
                "    | forward -> stage 2, 2 channels of 512KiB\n"
                "  stage 2 x2  merge union-1 > top-partial top-1\n"
                "    | to one -> stage 3, 2 channels of 512KiB\n"
                "  stage 3 x1  top top-1 > sink sink-1\n"
                "  memory: 3MiB for channels, 61MiB for operators\n");
}

MR_TEST(explain, a_stream_with_two_readers_ends_its_chain)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t read = source(model, "in", "a:i");
    uint32_t keep = add(
        model, filter_node(call2(model, MR_OP_GT, col(model, "a"), num(model, 1))), OUT(read),
        NULL);
    struct mr_order order = {.expr = col(model, "a")};
    uint32_t sorted;

    add(model, sink_node(false), OUT(keep), "raw");
    sorted = add(model, top_node(&order, 1, UINT64_MAX), OUT(keep), NULL);
    add(model, sink_node(true), OUT(sorted), "ordered");
    expect_plan(model, &options,
                "logical plan\n"
                "  raw           print table\n"
                "    filter-1    filter a > 1\n"
                "      in        csv in.csv\n"
                "  ordered       print table\n"
                "    top-1       top all rows by a\n"
                "      filter-1  see above\n"
                "physical plan (2 workers, batch)\n"
                "  stage 0 x2  scan in (csv in.csv; 1 of 1 columns) > filter filter-1\n"
                "    | forward -> stage 1, 2 channels of 512KiB\n"
                "    | to one -> stage 2, 2 channels of 512KiB\n"
                "  stage 1 x2  sink raw\n"
                "  stage 2 x1  top top-1 > sink ordered\n"
                "  memory: 2MiB for channels, 62MiB for operators\n");
}

/* A change of parallelism copies rows: only the columns that are read go along. */
MR_TEST(explain, other_parallelism_means_an_exchange_of_what_is_read)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t read = source(model, "in", "a:i b:i c:i");
    struct mr_node keep = filter_node(call2(model, MR_OP_GT, col(model, "a"), num(model, 1)));
    struct mr_expr *exprs[] = {col(model, "b")};
    const char *names[] = {"b"};
    uint32_t node;

    keep.parallelism = 3;
    node = add(model, keep, OUT(read), NULL);
    node = add(model, project_node(exprs, names, 1), OUT(node), NULL);
    add(model, sink_node(false), OUT(node), NULL);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1        print table\n"
                "    project-1   project b\n"
                "      filter-1  filter a > 1\n"
                "        in      csv in.csv\n"
                "physical plan (2 workers, batch)\n"
                "  stage 0 x2  scan in (csv in.csv; 2 of 3 columns) > project for filter-1 (2 "
                "columns)\n"
                "    | round robin -> stage 1, 6 channels of 512KiB\n"
                "  stage 1 x3  filter filter-1 > project for project-1 (1 column)\n"
                "    | round robin -> stage 2, 6 channels of 512KiB\n"
                "  stage 2 x2  project project-1 > sink sink-1\n"
                "  memory: 6MiB for channels, 58MiB for operators\n");
}

MR_TEST(explain, a_filter_that_keeps_everything_is_left_out)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    uint32_t read = source(model, "in", "a:i");
    uint32_t keep = add(
        model, filter_node(call2(model, MR_OP_GT, num(model, 2), num(model, 1))), OUT(read),
        NULL);

    add(model, sink_node(false), OUT(keep), NULL);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1      print table\n"
                "    filter-1  filter 2 > 1\n"
                "      in      csv in.csv\n"
                "physical plan (2 workers, batch)\n"
                "  stage 0 x2  scan in (csv in.csv; 1 of 1 columns) > sink sink-1\n"
                "  memory: 0MiB for channels, 64MiB for operators\n");
}

MR_TEST(explain, notes_tell_what_a_reader_may_not_expect)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_window_spec window = {.kind = MR_WINDOW_HOPPING,
                                    .size_us = MR_HOUR,
                                    .slide_us = 10 * MR_MINUTE,
                                    .allowed_lateness_us = MR_HOUR};
    struct mr_error err = {0};
    struct mr_aggregate_spec count = spec_of(MR_AGG_COUNT_ALL, "rows", NULL);
    uint32_t live, both, time, node;
    struct mr_stream_ref inputs[2];

    MR_EXPECT_OK(try_source(model, "live", "t:t", false, &live, &err), &err);
    inputs[0] = OUT(live);
    inputs[1] = OUT(source(model, "old", "t:t"));
    MR_EXPECT_OK(try_union(model, inputs, 2, &both, &err), &err);
    time = add(model, event_time_node(col(model, "t"), 0), OUT(both), NULL);
    node = add(model, aggregate_node(window, NULL, NULL, 0, &count, 1), OUT(time), "hops");
    add(model, sink_node(true), OUT(node), NULL);
    node = add(model, aggregate_node(GLOBAL, NULL, NULL, 0, &count, 1), OUT(time), "all");
    add(model, sink_node(true), OUT(node), NULL);
    options.streaming = true;
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1            print table\n"
                "    hops            aggregate hopping 1h every 10m, late rows for 1h; count(*) "
                "as rows\n"
                "      event-time-1  event-time t, delay 0s\n"
                "        union-1     union 2 inputs\n"
                "          live      csv live.csv\n"
                "          old       csv old.csv\n"
                "  sink-2            print table\n"
                "    all             aggregate count(*) as rows\n"
                "      event-time-1  see above\n"
                "physical plan (2 workers, streaming)\n"
                "  stage 0 x2  scan live (csv live.csv; 1 of 1 columns)\n"
                "    | forward -> stage 2, 2 channels of 512KiB\n"
                "  stage 1 x2  scan old (csv old.csv; 1 of 1 columns)\n"
                "    | forward -> stage 2, 2 channels of 512KiB\n"
                "  stage 2 x2  merge union-1 > event-time event-time-1\n"
                "    | forward -> stage 3, 2 channels of 512KiB\n"
                "    | forward -> stage 5, 2 channels of 512KiB\n"
                "  stage 3 x2  aggregate-partial hops\n"
                "    | to one -> stage 4, 2 channels of 512KiB\n"
                "  stage 4 x1  aggregate-final hops > sink sink-1\n"
                "  stage 5 x2  aggregate-partial all\n"
                "    | to one -> stage 6, 2 channels of 512KiB\n"
                "  stage 6 x1  aggregate-final all > sink sink-2\n"
                "  memory: 6MiB for channels, 58MiB for operators\n"
                "note: 'hops' brings a window up to date when late rows come: an append-only sink "
                "receives updated totals as further rows\n"
                "note: 'all' has no window and its input never ends: there will be no result to "
                "see\n"
                "note: nothing can fire before the last split of 'old' opens, if it has several "
                "and does not know the earliest time in each\n"
                "note: 'event-time-1' stands behind an exchange: its watermark follows the order "
                "in which rows arrive there, not that of single files\n");
}

/* Split items do not leave a chain: scan and event time stay together even so. */
MR_TEST(explain, without_fusion_only_scan_and_event_time_share_a_stage)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();

    options.no_fusion = true;
    options.workers = 1;
    options.memory_bytes = 0;
    add(model, sink_node(true), OUT(add_flights(model, HOURLY)), NULL);
    expect_plan(model, &options,
                "logical plan\n"
                "  sink-1            print table\n"
                "    by-hour         aggregate key origin; tumbling 1h; count(*) as flights, "
                "avg(delay) as mean_delay, max(delay) as max_delay\n"
                "      event-time-1  event-time hour, delay 1d\n"
                "        in          csv in.csv\n"
                "physical plan (1 worker, batch)\n"
                "  stage 0 x1  scan in (csv in.csv; 3 of 6 columns) > event-time event-time-1\n"
                "    | forward -> stage 1, 1 channel of 512KiB\n"
                "  stage 1 x1  aggregate-partial by-hour\n"
                "    | by key origin -> stage 2, 1 channel of 512KiB\n"
                "  stage 2 x1  aggregate-final by-hour\n"
                "    | forward -> stage 3, 1 channel of 512KiB\n"
                "  stage 3 x1  sink sink-1\n"
                "  memory: 1536KiB for channels\n");
}

MR_TEST(explain, as_dot_draws_stages_as_clusters)
{
    struct mr_model *model = model_new();
    struct mr_plan_options options = options_of();
    struct mr_aggregate_spec count = spec_of(MR_AGG_COUNT_ALL, "rows", NULL);
    uint32_t read = source(model, "in \"x\"", "a:i");
    uint32_t node = add(model, aggregate_node(GLOBAL, NULL, NULL, 0, &count, 1), OUT(read), "all");
    struct mr_plan *plan;
    struct mr_text text;

    add(model, sink_node(true), OUT(node), NULL);
    plan = plan_of(model, &options);
    mr_text_init(&text, mr_test_heap(), 0);
    mr_plan_print_dot(plan, NULL, NULL, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text),
                     "digraph millrace {\n"
                     "  rankdir=LR;\n"
                     "  node [shape=box];\n"
                     "  subgraph cluster_0 {\n"
                     "    label=\"stage 0 x2\";\n"
                     "    s0o0 [label=\"scan in \\\"x\\\" (0 of 1 columns)\"];\n"
                     "    s0o1 [label=\"aggregate-partial all\"];\n"
                     "    s0o0 -> s0o1;\n"
                     "  }\n"
                     "  subgraph cluster_1 {\n"
                     "    label=\"stage 1 x1\";\n"
                     "    s1o0 [label=\"aggregate-final all\"];\n"
                     "    s1o1 [label=\"sink sink-1\"];\n"
                     "    s1o0 -> s1o1;\n"
                     "  }\n"
                     "  s0o1 -> s1o0 [label=\"to one\"];\n"
                     "}\n");
    mr_text_fini(&text);
    mr_plan_destroy(plan);
    mr_model_destroy(model);
}
