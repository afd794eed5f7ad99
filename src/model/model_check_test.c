/* model_check_test.c - the invariants of a whole model, also of ones that no builder could make. */
#include "model/model_test_helper.h"

/* in -> filter-1 -> filter-2 -> sink-1 */
static struct mr_model *chain(void)
{
    struct mr_model *model = model_new();
    uint32_t node = source(model, "in", "a:b t:t");

    node = add(model, filter_node(col(model, "a")), OUT(node), NULL);
    node = add(model, filter_node(col(model, "a")), OUT(node), NULL);
    add(model, sink_node(true), OUT(node), NULL);
    return model;
}

static void expect_text(struct mr_model *model, enum mr_status status, const char *text)
{
    struct mr_error err = {0};

    MR_EXPECT_EQ_INT(mr_model_check(model, &err), status);
    MR_EXPECT_EQ_STR(err.text, text);
    mr_model_destroy(model);
}

MR_TEST(model_check, a_chain_is_well_formed)
{
    expect_text(chain(), MR_OK, "");
}

MR_TEST(model_check, an_empty_pipeline_is_refused)
{
    expect_text(model_new(), MR_E_PIPELINE,
                "the pipeline is empty: it needs a source and a sink");
}

MR_TEST(model_check, equal_ids_are_refused)
{
    struct mr_model *model = chain();

    model->nodes[2]->id = "in";
    expect_text(model, MR_E_PIPELINE,
                "two operators have the id 'in' (source and filter): ids must differ, give one of "
                "them another");
}

MR_TEST(model_check, an_input_that_does_not_exist_is_refused)
{
    struct mr_model *model = chain();

    model->nodes[2]->inputs[0].node = 12;
    expect_text(model, MR_E_PIPELINE,
                "filter 'filter-2': input 1 is output 0 of operator 12, which does not exist");
}

MR_TEST(model_check, an_operator_without_input_is_refused)
{
    struct mr_model *model = chain();

    model->nodes[1]->input_count = 0;
    expect_text(model, MR_E_PIPELINE, "filter 'filter-1' has no input");
}

MR_TEST(model_check, a_cycle_is_refused_and_shown)
{
    struct mr_model *model = chain();

    model->nodes[1]->inputs[0].node = 2;
    expect_text(model, MR_E_PIPELINE,
                "the pipeline has a cycle, where rows would go round for ever: 'filter-1' <- "
                "'filter-2' <- 'filter-1'");
}

MR_TEST(model_check, an_operator_that_is_its_own_input_is_a_cycle)
{
    struct mr_model *model = chain();

    model->nodes[2]->inputs[0].node = 2;
    expect_text(model, MR_E_PIPELINE,
                "the pipeline has a cycle, where rows would go round for ever: 'filter-2' <- "
                "'filter-2'");
}

MR_TEST(model_check, nodes_out_of_order_are_refused_even_without_a_cycle)
{
    struct mr_model *model = chain();
    struct mr_node *first = model->nodes[1];

    model->nodes[1] = model->nodes[2];
    model->nodes[2] = first;
    model->nodes[1]->inputs[0].node = 2;
    model->nodes[3]->inputs[0].node = 1;
    expect_text(model, MR_E_PIPELINE,
                "filter 'filter-2' stands before its input 'filter-1' in the list of operators");
}

MR_TEST(model_check, unions_are_compared_again)
{
    struct mr_model *model = model_new();
    struct mr_error err = {0};
    struct mr_stream_ref inputs[] = {OUT(source(model, "l", "a:i")),
                                     OUT(source(model, "r", "a:i"))};
    uint32_t other = source(model, "x", "b:i");
    uint32_t both;

    MR_EXPECT_OK(try_union(model, inputs, 2, &both, &err), &err);
    model->nodes[both]->inputs[1].node = other;
    expect_text(model, MR_E_SCHEMA,
                "union 'union-1': the inputs must have the same columns, but 'l' has (a int64) and "
                "'x' has (b int64): bring them together with a project first");
}

static uint32_t add_hourly(struct mr_model *model, struct mr_stream_ref input)
{
    struct mr_aggregate_spec spec = {.kind = MR_AGG_COUNT_ALL, .name = "rows"};
    struct mr_expr *keys[] = {col(model, "a")};
    const char *names[] = {"a"};

    return add(model, aggregate_node(HOURLY, keys, names, 1, &spec, 1), input, "hourly");
}

MR_TEST(model_check, keys_must_exist_in_the_input)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:b t:t");
    uint32_t other = source(model, "other", "aa:b t:t");
    uint32_t time = add(model, event_time_node(col(model, "t"), 0), OUT(read), NULL);
    uint32_t node = add_hourly(model, OUT(time));

    model->nodes[node]->inputs[0].node = other;
    expect_text(model, MR_E_SCHEMA,
                "aggregate 'hourly': key 'a': no column 'a': did you mean 'aa'?");
}

MR_TEST(model_check, windows_need_event_times)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:b t:t");
    uint32_t time = add(model, event_time_node(col(model, "t"), 0), OUT(read), NULL);
    uint32_t node = add_hourly(model, OUT(time));

    model->nodes[node]->inputs[0].node = read;
    expect_text(model, MR_E_PIPELINE,
                "aggregate 'hourly': windows need event times, but the rows of 'in' have none: "
                "assign event times before");
}

MR_TEST(model_check, a_stream_without_a_sink_is_refused)
{
    struct mr_model *model = chain();

    add(model, filter_node(col(model, "a")), OUT(0), "loose");
    expect_text(model, MR_E_PIPELINE,
                "stream 'loose' (filter) is not used: write it to a sink, or leave it out");
}

/* The late rows of an aggregate are a use of it. */
MR_TEST(model_check, one_used_output_is_enough)
{
    struct mr_model *model = model_new();
    uint32_t read = source(model, "in", "a:b t:t");
    uint32_t time = add(model, event_time_node(col(model, "t"), 0), OUT(read), NULL);
    uint32_t node = add_hourly(model, OUT(time));

    add(model, sink_node(true), OUT1(node), NULL);
    expect_text(model, MR_OK, "");
}

MR_TEST(model_check, gives_its_memory_back_when_there_is_not_enough)
{
    struct mr_heap *heap = mr_test_heap();
    struct mr_model *model = chain();

    MR_TORTURE(heap) {
        struct mr_error err = {0};
        enum mr_status st = mr_model_check(model, &err);

        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
    }
    mr_model_destroy(model);
}
