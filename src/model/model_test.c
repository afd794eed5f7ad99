/* model_test.c - what adding a node computes, and what it refuses where the mistake is made. */
#include "model/model_test_helper.h"

static struct mr_aggregate_spec spec1(enum mr_aggregate_kind kind, const char *name,
                                      struct mr_expr *argument)
{
    return (struct mr_aggregate_spec){.kind = kind,
                                      .name = name,
                                      .arguments = {argument},
                                      .argument_count = argument != NULL};
}

static void expect_schema(const struct mr_model *model, struct mr_stream_ref ref,
                          const char *expected)
{
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 0);
    mr_schema_print(mr_model_schema(model, ref), &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), expected);
    mr_text_fini(&text);
}

static void expect_refused(struct mr_model *model, struct mr_node node, struct mr_stream_ref input,
                           const char *id, enum mr_status status, const char *text)
{
    struct mr_error err = {0};
    uint32_t count = model->node_count;
    uint32_t out = 77;

    MR_EXPECT_EQ_INT(try_add(model, node, input, id, &out, &err), status);
    MR_EXPECT_EQ_STR(err.text, text);
    MR_EXPECT_EQ_UINT(model->node_count, count);
    MR_EXPECT_EQ_UINT(out, 77);
}

MR_TEST(model, filter_event_time_and_top_keep_the_columns)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:i t:t");
    uint32_t time = add(model, event_time_node(col(model, "t"), 0), OUT(read), NULL);
    uint32_t keep =
        add(model, filter_node(call2(model, MR_OP_GT, col(model, "a"), num(model, 5))), OUT(time),
            NULL);
    uint32_t top = add(model, top_node(&(struct mr_order){.expr = col(model, "a")}, 1, 3),
                       OUT(keep), NULL);

    expect_schema(model, OUT(top), "a int64, t timestamp_ltz");
    MR_EXPECT(!model->nodes[read]->has_event_time);
    MR_EXPECT(model->nodes[keep]->has_event_time);
    MR_EXPECT(!model->nodes[top]->has_event_time);
    MR_EXPECT(model->nodes[top]->bounded);
    mr_model_destroy(model);
}

MR_TEST(model, a_project_gives_names_and_types_of_its_expressions)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:i b:f l:l");
    struct mr_expr *exprs[] = {call2(model, MR_OP_ADD, col(model, "a"), col(model, "b")),
                               col(model, "l"), num(model, 7)};
    const char *names[] = {"sum", "all", "seven"};
    uint32_t node = add(model, project_node(exprs, names, 3), OUT(read), NULL);

    expect_schema(model, OUT(node), "sum float64, all list<int64>, seven int64 not null");
    mr_model_destroy(model);
}

MR_TEST(model, an_aggregate_gives_windows_keys_and_results_and_late_rows_of_its_input)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "k:u a:i n:n f:f d:d t:t");
    uint32_t time = add(model, event_time_node(col(model, "t"), 0), OUT(read), NULL);
    struct mr_expr *keys[] = {col(model, "k")};
    const char *key_names[] = {"key"};
    struct mr_aggregate_spec specs[] = {
        spec1(MR_AGG_COUNT_ALL, "rows", NULL),       spec1(MR_AGG_COUNT, "as", col(model, "a")),
        spec1(MR_AGG_SUM, "si", col(model, "n")),    spec1(MR_AGG_SUM, "sf", col(model, "f")),
        spec1(MR_AGG_SUM, "sd", col(model, "d")),    spec1(MR_AGG_MIN, "mk", col(model, "k")),
        spec1(MR_AGG_AVG, "av", col(model, "a")),    spec1(MR_AGG_FIRST, "fd", col(model, "d")),
        spec1(MR_AGG_LAST, "ln", col(model, "n")),
    };
    uint32_t node = add(model, aggregate_node(HOURLY, keys, key_names, 1, specs, 9), OUT(time),
                        NULL);

    expect_schema(model, OUT(node),
                  "window_start timestamp_ltz not null, window_end timestamp_ltz not null, key "
                  "utf8, rows int64 not null, as int64 not null, si int64, sf float64, sd "
                  "decimal(38,2), mk utf8, av float64, fd decimal(10,2), ln int32");
    expect_schema(model, OUT1(node),
                  "k utf8, a int64, n int32, f float64, d decimal(10,2), t timestamp_ltz");
    MR_EXPECT(model->nodes[node]->has_window);
    mr_model_destroy(model);
}

MR_TEST(model, a_global_aggregate_shows_no_window)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:i");
    struct mr_aggregate_spec spec = spec1(MR_AGG_MAX, "most", col(model, "a"));
    uint32_t node = add(model, aggregate_node(GLOBAL, NULL, NULL, 0, &spec, 1), OUT(read), NULL);

    expect_schema(model, OUT(node), "most int64");
    MR_EXPECT(!model->nodes[node]->u.aggregate.emit_window);
    MR_EXPECT(!model->nodes[node]->has_window);
    mr_model_destroy(model);
}

/* Nullability differs without harm, but what may be null in one input may be null behind. */
MR_TEST(model, a_union_is_null_free_only_where_all_inputs_are)
{
    struct mr_model *model = model_new();
    struct mr_error err = {0};
    uint32_t left = source(model, "left", "a:i");
    struct mr_expr *exprs[] = {num(model, 1)};
    const char *names[] = {"a"};
    uint32_t right = add(model, project_node(exprs, names, 1), OUT(left), NULL);
    struct mr_stream_ref inputs[] = {OUT(right), OUT(right), OUT(left)};
    uint32_t both, all;

    MR_EXPECT_OK(try_union(model, inputs, 2, &both, &err), &err);
    MR_EXPECT_OK(try_union(model, inputs, 3, &all, &err), &err);
    expect_schema(model, OUT(both), "a int64 not null");
    expect_schema(model, OUT(all), "a int64");
    mr_model_destroy(model);
}

MR_TEST(model, ids_are_made_from_kind_and_count_and_step_aside_for_given_ones)
{
    struct mr_model *model = model_new();
    struct mr_error err = {0};
    uint32_t read = source(model, NULL, "a:b");
    uint32_t first = add(model, filter_node(col(model, "a")), OUT(read), NULL);
    uint32_t named = add(model, filter_node(col(model, "a")), OUT(first), "filter-3");
    uint32_t third = add(model, filter_node(col(model, "a")), OUT(named), NULL);

    MR_EXPECT_EQ_STR(model->nodes[read]->id, "source-1");
    MR_EXPECT_EQ_STR(model->nodes[first]->id, "filter-1");
    MR_EXPECT_EQ_STR(model->nodes[third]->id, "filter-4");
    MR_EXPECT(!model->nodes[third]->id_given && model->nodes[named]->id_given);
    MR_EXPECT_OK(mr_model_set_id(model, third, "last", &err), &err);
    MR_EXPECT_EQ_STR(model->nodes[third]->id, "last");
    MR_EXPECT_OK(mr_model_set_id(model, third, "last", &err), &err);
    MR_EXPECT_EQ_INT(mr_model_set_id(model, third, "filter-1", &err), MR_E_PIPELINE);
    MR_EXPECT_EQ_STR(err.text, "two operators have the id 'filter-1' (filter and filter): ids must "
                               "differ, give one of them another");
    MR_EXPECT_EQ_STR(model->nodes[third]->id, "last");
    MR_EXPECT_EQ_INT(mr_model_set_id(model, third, "", &err), MR_E_INVALID);
    mr_model_destroy(model);
}

MR_TEST(model, a_taken_id_is_refused_when_the_node_is_added)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:b");

    expect_refused(model, filter_node(col(model, "a")), OUT(read), "in", MR_E_PIPELINE,
                   "two operators have the id 'in' (source and filter): ids must differ, give one "
                   "of them another");
    mr_model_destroy(model);
}

MR_TEST(model, mistakes_in_expressions_name_the_operator_and_suggest)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "origin:u delay:f t:t l:l");
    struct mr_expr *exprs[] = {col(model, "origin"), col(model, "dealy")};
    struct mr_expr *twice[] = {col(model, "origin"), col(model, "delay")};
    const char *names[] = {"origin", "late"};
    const char *same[] = {"x", "x"};
    struct mr_order by_list = {.expr = col(model, "l")};

    expect_refused(model, project_node(exprs, names, 2), OUT(read), "p", MR_E_SCHEMA,
                   "project 'p': column 'late': no column 'dealy': did you mean 'delay'?");
    expect_refused(model, project_node(twice, same, 2), OUT(read), "p", MR_E_SCHEMA,
                   "project 'p': columns 1 and 2 are both named 'x': rename one of them");
    expect_refused(model, filter_node(col(model, "delay")), OUT(read), "f", MR_E_SCHEMA,
                   "filter 'f': the condition must be a bool, not float64");
    expect_refused(model, event_time_node(col(model, "origin"), 0), OUT(read), NULL, MR_E_SCHEMA,
                   "event-time 'event-time-1': event times must be timestamp_ltz, timestamp or "
                   "int64 microseconds, not utf8");
    expect_refused(model, top_node(&by_list, 1, 10), OUT(read), "t", MR_E_SCHEMA,
                   "top 't': sort key 1 is a list, which has no order");
    mr_model_destroy(model);
}

MR_TEST(model, names_of_columns_are_utf8_wherever_they_come_from)
{
    struct mr_model *model = model_new();
    uint32_t in = source(model, "in", "a:i t:t");
    struct mr_expr *exprs[] = {col(model, "a"), col(model, "a")};
    const char *names[] = {"caf\xc3\xa9", "caf\xe9"};
    struct mr_node node = {.kind = MR_NODE_PROJECT, .u.project = {2, exprs, names}};
    struct mr_error err = {0};
    uint32_t ordinal;

    MR_EXPECT_EQ_INT(try_add(model, node, OUT(in), "p", &ordinal, &err), MR_E_SCHEMA);
    MR_EXPECT_EQ_STR(err.text,
                     "project 'p': the name of column 2 is not UTF-8: give it another");
    MR_EXPECT_EQ_UINT(model->node_count, 1);
    mr_model_destroy(model);
}

MR_TEST(model, aggregates_refuse_arguments_that_make_no_sense)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "origin:u delay:f l:l");
    struct mr_aggregate_spec sum = spec1(MR_AGG_SUM, "total", col(model, "origin"));
    struct mr_aggregate_spec max = spec1(MR_AGG_MAX, "most", col(model, "l"));
    struct mr_aggregate_spec first = spec1(MR_AGG_FIRST, "one", col(model, "delay"));
    struct mr_aggregate_spec empty = spec1(MR_AGG_SUM, "total", NULL);
    struct mr_aggregate_spec count = spec1(MR_AGG_COUNT_ALL, "rows", NULL);
    struct mr_aggregate_spec user = spec1(MR_AGG_USER, "own", col(model, "delay"));
    struct mr_expr *list_key[] = {col(model, "l")};
    const char *names[] = {"l"};

    expect_refused(model, aggregate_node(GLOBAL, NULL, NULL, 0, &sum, 1), OUT(read), "a",
                   MR_E_SCHEMA, "aggregate 'a': column 'total': sum of a utf8 is not possible: it "
                                "takes numbers");
    expect_refused(model, aggregate_node(GLOBAL, NULL, NULL, 0, &max, 1), OUT(read), "a",
                   MR_E_SCHEMA, "aggregate 'a': column 'most': max of a list is not possible: it "
                                "takes values that are not nested");
    expect_refused(model, aggregate_node(GLOBAL, NULL, NULL, 0, &first, 1), OUT(read), "a",
                   MR_E_PIPELINE, "aggregate 'a': column 'one': first goes by event time, but the "
                                  "rows of 'in' have none: assign event times before");
    expect_refused(model, aggregate_node(GLOBAL, NULL, NULL, 0, &empty, 1), OUT(read), "a",
                   MR_E_INVALID,
                   "aggregate 'a': column 'total': sum takes one argument, not 0 arguments");
    expect_refused(model, aggregate_node(GLOBAL, list_key, names, 1, &count, 1), OUT(read), "a",
                   MR_E_SCHEMA, "aggregate 'a': key 'l': a list cannot be a key: group by its "
                                "members instead");
    expect_refused(model, aggregate_node(GLOBAL, NULL, NULL, 0, NULL, 0), OUT(read), "a",
                   MR_E_INVALID, "aggregate 'a': neither keys nor aggregates: there is nothing to "
                                 "compute");
    expect_refused(model, aggregate_node(GLOBAL, NULL, NULL, 0, &user, 1), OUT(read), "a",
                   MR_E_INVALID, "aggregate 'a': column 'own': a user-defined aggregate needs its "
                                 "functions (with `size` set)");
    expect_refused(model, aggregate_node(HOURLY, NULL, NULL, 0, &count, 1), OUT(read), "a",
                   MR_E_PIPELINE, "aggregate 'a': windows need event times, but the rows of 'in' "
                                  "have none: assign event times before");
    mr_model_destroy(model);
}

static void create(void *user, void *state)
{
    (void)user;
    (void)state;
}

static enum mr_status add_row(void *user, void *state, const struct mr_row *row)
{
    (void)user;
    (void)state;
    (void)row;
    return MR_OK;
}

static enum mr_status merge(void *user, void *state, const void *other)
{
    (void)user;
    (void)state;
    (void)other;
    return MR_OK;
}

static enum mr_status result(void *user, const void *state, struct mr_emitter *out)
{
    (void)user;
    (void)state;
    (void)out;
    return MR_OK;
}

MR_TEST(model, a_user_aggregate_has_the_type_that_it_declares_and_all_its_functions)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:i");
    struct mr_aggregate_functions functions = {.size = sizeof functions,
                                               .state_bytes = 8,
                                               .create = create,
                                               .add = add_row,
                                               .merge = merge,
                                               .result = result};
    struct mr_aggregate_spec spec = spec1(MR_AGG_USER, "own", col(model, "a"));
    struct mr_node node = aggregate_node(GLOBAL, NULL, NULL, 0, &spec, 1);

    spec.functions = &functions;
    expect_refused(model, node, OUT(read), "a", MR_E_INVALID,
                   "aggregate 'a': column 'own': a user-defined aggregate must say the type of its "
                   "result: one that is not nested");
    spec.result.type = MR_UTF8;
    expect_schema(model, OUT(add(model, node, OUT(read), "a")), "own utf8");
    functions.state_bytes = 1025;
    expect_refused(model, node, OUT(read), "b", MR_E_LIMIT,
                   "aggregate 'b': column 'own': a state of 1025 bytes: between 1 and 1024 are "
                   "possible");
    functions.state_bytes = 8;
    functions.merge = NULL;
    expect_refused(model, node, OUT(read), "b", MR_E_INVALID,
                   "aggregate 'b': column 'own': a user-defined aggregate needs create, add, merge "
                   "and result: one of them is NULL");
    mr_model_destroy(model);
}

MR_TEST(model, what_rows_do_not_carry_cannot_be_asked_for)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:i");
    struct mr_expr *time[] = {mr_expr_event_time(&model->arena)};
    struct mr_expr *start[] = {mr_expr_window_start(&model->arena)};
    const char *names[] = {"x"};

    expect_refused(model, project_node(time, names, 1), OUT(read), "p", MR_E_PIPELINE,
                   "project 'p': column 'x': the event time is asked for, but the rows of 'in' "
                   "have none: assign event times before");
    expect_refused(model, project_node(start, names, 1), OUT(read), "p", MR_E_PIPELINE,
                   "project 'p': column 'x': the window is asked for, but the rows of 'in' have "
                   "none: only rows of an aggregate with windows know theirs");
    mr_model_destroy(model);
}

MR_TEST(model, a_union_of_different_columns_is_refused_with_both)
{
    struct mr_model *model = model_new();
    struct mr_error err = {0};
    struct mr_stream_ref inputs[] = {OUT(source(model, "l", "a:i")),
                                     OUT(source(model, "r", "a:f"))};
    uint32_t out;

    MR_EXPECT_EQ_INT(try_union(model, inputs, 2, &out, &err), MR_E_SCHEMA);
    MR_EXPECT_EQ_STR(err.text,
                     "union 'union-1': the inputs must have the same columns, but 'l' has (a "
                     "int64) and 'r' has (a float64): bring them together with a project first");
    mr_model_destroy(model);
}

MR_TEST(model, an_order_of_rows_that_never_end_is_refused)
{
    struct mr_model *model = model_new();
    struct mr_error err = {0};
    struct mr_order order = {.expr = col(model, "a")};
    uint32_t read;

    MR_EXPECT_OK(try_source(model, "in", "a:i", false, &read, &err), &err);
    expect_refused(model, top_node(&order, 1, 10), OUT(read), NULL, MR_E_PIPELINE,
                   "top 'top-1': the order of rows is known when all are there, but the input "
                   "never ends: aggregate in windows instead, or read bounded input");
    mr_model_destroy(model);
}

MR_TEST(model, inputs_that_are_not_there_are_refused)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:b");
    struct mr_node function = {.kind = MR_NODE_FUNCTION};

    expect_refused(model, filter_node(col(model, "a")), OUT1(read), "f", MR_E_PIPELINE,
                   "filter 'f': input 1 is output 1 of operator 0, which does not exist");
    expect_refused(model, filter_node(col(model, "a")), OUT(9), "f", MR_E_PIPELINE,
                   "filter 'f': input 1 is output 0 of operator 9, which does not exist");
    expect_refused(model, function, OUT(read), "g", MR_E_INVALID,
                   "function 'g': there is no function: it is NULL");
    mr_model_destroy(model);
}

MR_TEST(model, prints_one_line_per_node)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "k:u a:i t:t");
    uint32_t time = add(model, event_time_node(col(model, "t"), MR_DAY), OUT(read), NULL);
    uint32_t keep = add(
        model, filter_node(call2(model, MR_OP_GT, col(model, "a"), num(model, 5))), OUT(time),
        NULL);
    struct mr_expr *keys[] = {col(model, "k")};
    const char *key_names[] = {"k"};
    struct mr_aggregate_spec specs[] = {spec1(MR_AGG_COUNT_ALL, "rows", NULL),
                                        spec1(MR_AGG_AVG, "mean", col(model, "a"))};
    struct mr_window_spec window = {.kind = MR_WINDOW_HOPPING,
                                    .size_us = MR_HOUR,
                                    .slide_us = 15 * MR_MINUTE,
                                    .allowed_lateness_us = MR_MINUTE};
    uint32_t total = add(model, aggregate_node(window, keys, key_names, 1, specs, 2), OUT(keep),
                         "total");
    struct mr_expr *exprs[] = {col(model, "k"),
                               call2(model, MR_OP_MULTIPLY, col(model, "rows"), num(model, 2))};
    const char *names[] = {"k", "twice"};
    uint32_t both = add(model, project_node(exprs, names, 2), OUT(total), NULL);
    struct mr_order orders[] = {{.expr = col(model, "twice"), .descending = true},
                                {.expr = col(model, "k")}};
    uint32_t top = add(model, top_node(orders, 2, 10), OUT(both), NULL);
    struct mr_text text;

    add(model, sink_node(true), OUT(top), NULL);
    mr_text_init(&text, mr_test_heap(), 0);
    mr_model_print(model, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text),
                     "source in: k utf8, a int64, t timestamp_ltz\n"
                     "event-time event-time-1: t, delay 1d\n"
                     "filter filter-1: a > 5\n"
                     "aggregate total: key k; hopping 1h every 15m, late rows for 1m; count(*) as "
                     "rows, avg(a) as mean\n"
                     "project project-1: k, rows * 2 as twice\n"
                     "top top-1: first 10 by twice desc, k\n"
                     "sink sink-1: one writer\n");
    mr_text_fini(&text);
    mr_model_destroy(model);
}

/* Everything that allocates, once; stops at the first failure. */
static enum mr_status build_all(struct mr_model *model, struct mr_error *err)
{
    uint32_t node;
    struct mr_expr *exprs[] = {col(model, "k"), col(model, "a")};
    const char *names[] = {"k", "b"};
    struct mr_stream_ref twice[2];
    struct mr_aggregate_spec spec = spec1(MR_AGG_SUM, "s", col(model, "b"));
    struct mr_order order = {.expr = col(model, "s")};

    MR_RET(try_source(model, "in", "k:u a:i t:t", true, &node, err));
    MR_RET(try_add(model, event_time_node(col(model, "t"), 0), OUT(node), NULL, &node, err));
    MR_RET(try_add(model, project_node(exprs, names, 2), OUT(node), NULL, &node, err));
    twice[0] = twice[1] = OUT(node);
    MR_RET(try_union(model, twice, 2, &node, err));
    MR_RET(try_add(model, aggregate_node(HOURLY, exprs, names, 1, &spec, 1), OUT(node), "agg",
                   &node, err));
    MR_RET(try_add(model, top_node(&order, 1, 5), OUT(node), NULL, &node, err));
    MR_RET(try_add(model, sink_node(false), OUT(node), NULL, &node, err));
    return mr_model_check(model, err);
}

MR_TEST(model, survives_every_failed_allocation)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_error err = {0};
        struct mr_model *model = NULL;
        enum mr_status st = mr_model_create(heap, &model, &err);

        if (st == MR_OK) {
            st = build_all(model, &err);
            mr_model_destroy(model);
        }
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        MR_EXPECT(st == MR_OK || err.status == MR_E_NOMEM);
    }
}
