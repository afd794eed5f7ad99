/* stateless_test.c - filter, project and merge: rows through expressions. */
#include "exec/exec_test_helper.h"

static struct mr_expr *greater(struct xt *t, const char *name, int64_t value)
{
    return xt_call(t, MR_OP_GT, xt_column(t, name), xt_int(t, value));
}

/* 10 / a > 2: fails where a is 0. */
static struct mr_expr *ratio(struct xt *t)
{
    return xt_call(t, MR_OP_DIVIDE, xt_int(t, 10), xt_column(t, "a"));
}

static void open_filter(struct xt *t)
{
    xt_open(t, MR_PLAN_FILTER, "a int64, b utf8", "a int64, b utf8");
    xt_expr(t, greater(t, "a", 2));
}

/* ---- filter ---- */

MR_TEST(filter, keeps_rows_for_which_the_condition_is_true_and_not_those_for_which_it_is_null)
{
    struct xt t;

    open_filter(&t);
    xt_begin(&t);
    xt_rows(&t, "1|x\n3|y\nNULL|z\n4|a text that does not fit a view\n");
    xt_control(&t, MR_ITEM_WATERMARK, 7);
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "3|y\n4|a text that does not fit a view\nwatermark 7\nend\n");
    MR_EXPECT(t.done);
    xt_end(&t);
    xt_close(&t);
}

/* The common case of a condition that is true for whole batches must not copy anything. */
MR_TEST(filter, when_all_rows_pass_then_the_batch_itself_goes_on)
{
    struct xt t;
    struct mr_batch *batch;

    open_filter(&t);
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "3|x\n4|y\n");
    xt_batch(&t, batch);
    MR_EXPECT_EQ_UINT(t.held_count, 1);
    MR_EXPECT(t.held[0] == batch);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(filter, when_no_row_passes_then_nothing_comes_out)
{
    struct xt t;

    open_filter(&t);
    xt_begin(&t);
    xt_rows(&t, "1|x\n2|y\n");
    MR_EXPECT_EQ_STR(xt_text(&t), "");
    MR_EXPECT_EQ_UINT(t.data.quota.used_bytes, 0); /* the batch is gone at once */
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(filter, composes_with_a_selection)
{
    struct xt t;

    open_filter(&t);
    xt_begin(&t);
    xt_batch(&t, xt_select(&t, mr_data_batch(&t.data.quota, t.plan.input, "9|a\n1|b\n8|c\n7|d\n"),
                           (uint32_t[]){1, 2, 3}, 3));
    MR_EXPECT_EQ_STR(xt_text(&t), "8|c\n7|d\n");
    xt_end(&t);
    xt_close(&t);
}

static void open_failing_filter(struct xt *t)
{
    xt_open(t, MR_PLAN_FILTER, "a int64", "a int64");
    xt_expr(t, xt_call(t, MR_OP_GT, ratio(t), xt_int(t, 2)));
}

MR_TEST(filter, failing_rows_are_told_one_by_one_and_the_others_go_on)
{
    struct xt t;

    open_failing_filter(&t);
    xt_begin(&t);
    xt_rows_of(&t, 0, 100, "1\n0\n9\n2\n0\n");
    MR_EXPECT_EQ_INT(t.status, MR_OK);
    MR_EXPECT_EQ_STR(xt_text(&t), "1\n2\n");
    MR_EXPECT_CONTAINS(xt_bad(&t), "101: MR_E_EVALUATE: ");
    MR_EXPECT_CONTAINS(xt_bad(&t), "\n104: MR_E_EVALUATE: ");
    MR_EXPECT_CONTAINS(xt_bad(&t), "division by zero");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(filter, when_bad_rows_end_the_job_then_it_ends_with_the_first_one)
{
    struct xt t;

    open_failing_filter(&t);
    t.fail_bad = true;
    xt_begin(&t);
    xt_rows(&t, "1\n0\n0\n");
    MR_EXPECT_EQ_INT(t.status, MR_E_EVALUATE);
    MR_EXPECT_EQ_INT(strchr(xt_bad(&t), '\n') - xt_bad(&t) + 1, (int64_t)strlen(xt_bad(&t)));
    xt_end(&t);
    xt_close(&t);
}

/* Failing rows must be counted once, however often the batch has to wait for memory. */
MR_TEST(filter, when_memory_is_short_then_it_waits_and_tells_bad_rows_once)
{
    struct xt t;

    open_failing_filter(&t);
    t.quota_bytes = 2 * MR_BLOCK_BYTES_MIN;
    xt_begin(&t);
    for (int i = 0; i < 10; i++) xt_rows_of(&t, 0, 0, "1\n0\n9\n");
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT(t.blocked_count > 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n");
    MR_EXPECT_EQ_UINT(strlen(xt_bad(&t)) % 10, 0);
    uint32_t lines = 0;
    for (const char *c = xt_bad(&t); *c != '\0'; c++) lines += *c == '\n';
    MR_EXPECT_EQ_UINT(lines, 10);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(filter, when_the_quota_is_too_small_for_any_batch_then_it_says_so)
{
    struct xt t;

    open_filter(&t);
    t.quota_bytes = 0;
    xt_begin(&t);
    xt_rows(&t, "1|x\n3|y\n");
    MR_EXPECT_EQ_INT(t.status, MR_E_NOMEM);
    MR_EXPECT_CONTAINS(t.err.text, "operator 'it'");
    MR_EXPECT_CONTAINS(t.err.text, "--memory");
    xt_end(&t);
    xt_close(&t);
}

/* ---- project ---- */

static void open_project(struct xt *t)
{
    xt_open(t, MR_PLAN_PROJECT, "a int64, b utf8", "b utf8, c int64, one int64, d int64");
    xt_expr(t, xt_column(t, "b"));
    xt_expr(t, xt_call(t, MR_OP_ADD, xt_column(t, "a"), xt_int(t, 1)));
    xt_expr(t, xt_int(t, 1));
    xt_expr(t, ratio(t));
}

MR_TEST(project, makes_columns_from_columns_constants_and_computed_values)
{
    struct xt t;

    open_project(&t);
    xt_begin(&t);
    xt_rows(&t, "5|x\n2|a text that does not fit a view\nNULL|NULL\n");
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t),
                     "x|6|1|2\na text that does not fit a view|3|1|5\nNULL|NULL|1|NULL\nend\n");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(project, one_row_batches_give_the_same_as_one_large_batch)
{
    static const char rows[] = "5|x\n0|bad\n1|y\n0|bad\n2|z\n10|a text that does not fit a view\n";
    struct xt t;
    char *whole;

    open_project(&t);
    xt_begin(&t);
    xt_rows(&t, rows);
    whole = strdup(xt_text(&t));
    MR_EXPECT_EQ_STR(whole, "x|6|1|2\ny|2|1|10\nz|3|1|5\na text that does not fit a view|11|1|1\n");
    xt_end(&t);
    xt_begin(&t);
    xt_rows_cut(&t, rows, 1);
    MR_EXPECT_EQ_STR(xt_text(&t), whole);
    free(whole);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(project, columns_that_are_passed_on_share_memory_and_keep_the_selection)
{
    struct xt t;
    struct mr_batch *batch;
    const void *values;

    xt_open(&t, MR_PLAN_PROJECT, "a int64, b utf8", "b utf8, a int64, one int64");
    xt_expr(&t, xt_column(&t, "b"));
    xt_expr(&t, xt_column(&t, "a"));
    xt_expr(&t, xt_int(&t, 1));
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "9|a\n1|b\n8|c\n7|d\n");
    values = batch->columns[0].values;
    xt_batch(&t, xt_select(&t, batch, (uint32_t[]){1, 3}, 2));
    MR_EXPECT_EQ_STR(xt_text(&t), "b|1|1\nd|7|1\n");
    MR_EXPECT(t.held[0]->columns[1].values == values);
    MR_EXPECT(t.held[0]->selection != NULL);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(project, computes_over_a_selection_and_keeps_hidden_columns_and_origin)
{
    struct xt t;
    struct mr_batch *batch;

    open_project(&t);
    t.print_hidden = 1u << MR_HIDDEN_EVENT_TIME;
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "9|a\n1|b\n0|c\n5|d\n");
    batch->origin = (struct mr_origin){.known = true, .first_row = 50};
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, (int64_t[]){10, 20, 30, 40});
    xt_batch(&t, xt_select(&t, batch, (uint32_t[]){1, 2, 3}, 3));
    MR_EXPECT_EQ_STR(xt_text(&t), "b|2|1|10|20\nd|6|1|2|40\n");
    MR_EXPECT_EQ_UINT(mr_batch_source_row(t.held[0], 0), 51);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(t.held[0], 1), 53);
    MR_EXPECT_CONTAINS(xt_bad(&t), "52: MR_E_EVALUATE: ");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(project, when_every_row_fails_then_nothing_comes_out)
{
    struct xt t;

    open_project(&t);
    xt_begin(&t);
    xt_rows(&t, "0|x\n0|y\n");
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_STR(xt_text(&t), "");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(project, when_memory_is_short_then_it_waits_and_loses_nothing)
{
    struct xt t;

    open_project(&t);
    t.quota_bytes = 4 * MR_BLOCK_BYTES_MIN;
    xt_begin(&t);
    for (int i = 0; i < 8; i++) xt_rows(&t, "1|x\n0|y\n5|z\n");
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT(t.blocked_count > 0);
    MR_EXPECT_EQ_UINT(t.out.size, 8 * strlen("x|2|1|10\nz|6|1|2\n"));
    uint32_t lines = 0;
    for (const char *c = xt_bad(&t); *c != '\0'; c++) lines += *c == '\n';
    MR_EXPECT_EQ_UINT(lines, 8);
    xt_end(&t);
    xt_close(&t);
}

/* ---- merge, and what all have in common ---- */

MR_TEST(merge, passes_everything_on)
{
    struct xt t;

    xt_open(&t, MR_PLAN_MERGE, "a int64", "a int64");
    xt_begin(&t);
    xt_rows(&t, "1\n2\n");
    xt_control(&t, MR_ITEM_WATERMARK, 3);
    xt_control(&t, MR_ITEM_IDLE, 0);
    xt_control(&t, MR_ITEM_BARRIER, 0);
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "1\n2\nwatermark 3\nidle\nbarrier\nend\n");
    MR_EXPECT(t.done);
    xt_end(&t);
    xt_close(&t);
}

/* Every allocation may fail: an error, no leak, and nothing comes out twice. */
static void torture(struct xt *t, const char *rows, const char *expected)
{
    MR_TORTURE(&t->heap) {
        xt_begin(t);
        if (t->status == MR_OK) xt_rows(t, rows);
        if (t->status == MR_OK) xt_control(t, MR_ITEM_END, 0);
        if (t->status == MR_OK) {
            MR_EXPECT_EQ_STR(xt_text(t), expected);
        } else {
            MR_EXPECT(mr_test_refused(&t->heap));
            MR_EXPECT_EQ_INT(t->status, MR_E_NOMEM);
        }
        xt_end(t);
    }
    xt_close(t);
}

MR_TEST(filter, survives_every_failing_allocation)
{
    struct xt t;

    open_failing_filter(&t);
    torture(&t, "1\n0\n9\n2\n", "1\n2\nend\n");
}

MR_TEST(project, survives_every_failing_allocation)
{
    struct xt t;

    open_project(&t);
    torture(&t, "5|x\n0|bad\n2|a text that does not fit a view\n",
            "x|6|1|2\na text that does not fit a view|3|1|5\nend\n");
}

MR_TEST(merge, survives_every_failing_allocation)
{
    struct xt t;

    xt_open(&t, MR_PLAN_MERGE, "a int64", "a int64");
    torture(&t, "1\n", "1\nend\n");
}
