/* eval_test.c - memory: torture, quotas, sharing with the input; which failure is told. */
#include "expr/expr_test_helper.h"

#define SCHEMA "a int64, s utf8, d decimal(10,2), p bool"
#define ROWS                                                                       \
    "1|short|1.00|true\n2|quite a long text here|2.50|false\n0|NULL|0.00|NULL\n"  \
    "NULL|another long text, far away|7.25|true\n"

/* One of everything: casts, text building, branches, IN, decimals, a failing row. */
static struct mr_expr *everything(void)
{
    struct mr_expr *text = X(CONCAT, X(UPPER, C("s")), CAST(X(DIVIDE, C("d"), I(3)), MR_UTF8));
    struct mr_expr *choice = WHEN(X(AND, X(IN, C("a"), I(1), I(2)), X(LIKE, C("s"), S("%o%"))),
                                  text, X(COALESCE, C("s"), S("a literal beyond twelve")));

    return WHEN(X(GT, X(DIVIDE, I(10), C("a")), I(0)), choice, X(REPLACE, C("s"), S("a"), S("bb")));
}

/* Builds, binds and evaluates; true when it came to its end. */
static bool whole_round(struct et *t, struct mr_batch *batch)
{
    struct mr_heap *heap = mr_test_heap();
    struct mr_bound *bound = NULL;
    struct mr_eval *eval = NULL;
    struct mr_batch *target = mr_batch_new(&t->data.quota, 1, 0);
    struct mr_column column;
    uint64_t failed[2] = {0};
    struct mr_eval_failures failures = {.rows = failed};
    struct mr_error err = {0};
    bool blocked = false;
    enum mr_status st = target == NULL ? MR_E_NOMEM : MR_OK;

    mr_arena_init(&et_arena, heap);
    if (st == MR_OK) st = mr_bind(heap, everything(), t->schema, &bound, &err);
    if (st == MR_OK) st = mr_eval_create(heap, &eval, &err);
    if (st == MR_OK) {
        st = mr_eval_run(eval, bound, batch, target, &column, &failures, &blocked, &err);
    }
    MR_EXPECT(!blocked);
    MR_EXPECT(st == MR_OK || (st == MR_E_NOMEM && mr_test_refused(heap)));
    if (st == MR_OK) {
        MR_EXPECT_EQ_UINT(failures.count, 0);
        MR_EXPECT_EQ_TEXT(mr_column_bytes(&column, 0).data, mr_column_bytes(&column, 0).size_bytes,
                          "SHORT0.3333333333333333333333");
    }
    mr_batch_release(target);
    mr_eval_destroy(eval);
    mr_bound_destroy(bound);
    mr_arena_fini(&et_arena);
    return st == MR_OK;
}

MR_TEST(torture, building_binding_and_evaluating_survive_every_refusal)
{
    struct et t;
    uint32_t rows[4] = {0, 1, 3};
    struct mr_batch *some;
    bool done = false;

    et_open(&t, SCHEMA, ROWS);
    mr_arena_fini(&et_arena);
    some = mr_batch_select(&t.data.quota, t.batch, rows, 3);
    MR_EXPECT(whole_round(&t, some)); /* the pool keeps the blocks of this round */
    MR_TORTURE(mr_test_heap()) {
        done = whole_round(&t, some);
    }
    MR_EXPECT(done);
    mr_batch_release(some);
    et_close(&t);
}

MR_TEST(export, a_used_up_quota_blocks_and_later_succeeds)
{
    struct et t;
    struct mr_quota quota;
    struct mr_bound *bound;
    struct mr_batch *target, *hog;
    struct mr_column column;
    uint64_t failed[1] = {0};
    struct mr_eval_failures failures = {.rows = failed};
    struct mr_error err = {0};
    bool blocked;

    et_open(&t, SCHEMA, ROWS);
    mr_quota_init(&quota, t.data.pool, "small", 64 * 1024);
    bound = et_bind(&t, X(ADD, C("a"), I(1)));
    target = mr_batch_new(&quota, 1, 0);
    while (mr_batch_memory(target, 64) != NULL && mr_quota_has(&quota, 1)) continue;
    hog = mr_batch_new(&quota, 0, 0);
    while (mr_batch_memory(target, 64) != NULL) continue;
    MR_EXPECT_OK(mr_eval_run(t.eval, bound, t.batch, target, &column, &failures, &blocked, &err),
                 &err);
    MR_EXPECT(blocked);
    mr_batch_release(hog);
    mr_batch_release(target);
    target = mr_batch_new(&quota, 1, 0);
    MR_EXPECT_OK(mr_eval_run(t.eval, bound, t.batch, target, &column, &failures, &blocked, &err),
                 &err);
    MR_EXPECT(!blocked);
    MR_EXPECT_EQ_INT(mr_column_int64(&column, 1), 3);
    mr_batch_release(target);
    mr_bound_destroy(bound);
    et_close(&t);
}

MR_TEST(export, a_result_beyond_the_whole_quota_is_an_error_and_not_an_endless_wait)
{
    struct et t;
    struct mr_quota quota;
    struct mr_bound *bound;
    struct mr_batch *target;
    struct mr_column column;
    uint64_t failed[1] = {0};
    struct mr_eval_failures failures = {.rows = failed};
    struct mr_error err = {0};
    struct mr_expr *e;
    bool blocked;

    et_open(&t, SCHEMA, ROWS);
    mr_quota_init(&quota, t.data.pool, "small", 64 * 1024);
    e = X(CONCAT, C("s"), S("0123456789abcdef"));
    for (int i = 0; i < 11; i++) e = X(CONCAT, e, e);
    bound = et_bind(&t, e);
    target = mr_batch_new(&quota, 1, 0);
    MR_EXPECT_EQ_INT(
        mr_eval_run(t.eval, bound, t.batch, target, &column, &failures, &blocked, &err),
        MR_E_LIMIT);
    MR_EXPECT_CONTAINS(err.text, "smaller batches");
    mr_batch_release(target);
    mr_bound_destroy(bound);
    et_close(&t);
}

/* The result must outlive the input: texts are shared, so the input's memory is kept. */
MR_TEST(export, shared_texts_stay_alive_with_the_result)
{
    struct et t;
    struct mr_bound *part, *whole;
    struct mr_batch *target, *input;
    struct mr_column column, column2;
    uint64_t failed[1] = {0};
    struct mr_eval_failures failures = {.rows = failed};
    struct mr_error err = {0};
    bool blocked;

    et_open(&t, SCHEMA, ROWS);
    part = et_bind(&t, X(SUBSTRING, C("s"), I(2)));
    whole = et_bind(&t, C("s"));
    input = mr_data_batch(&t.data.quota, t.schema, ROWS);
    target = mr_batch_new(&t.data.quota, 2, 0);
    MR_EXPECT_OK(mr_eval_run(t.eval, part, input, target, &column, &failures, &blocked, &err),
                 &err);
    MR_EXPECT_OK(mr_eval_run(t.eval, whole, input, target, &column2, &failures, &blocked, &err),
                 &err);
    MR_EXPECT_EQ_UINT(target->base_count, 1);
    mr_batch_release(input);
    mr_bound_destroy(part);
    MR_EXPECT_EQ_TEXT(mr_column_bytes(&column, 1).data, mr_column_bytes(&column, 1).size_bytes,
                      "uite a long text here");
    MR_EXPECT_EQ_TEXT(mr_column_bytes(&column2, 3).data, mr_column_bytes(&column2, 3).size_bytes,
                      "another long text, far away");
    mr_batch_release(target);
    mr_bound_destroy(whole);
    et_close(&t);
}

MR_TEST(failures, the_story_is_that_of_the_lowest_row_and_all_rows_are_counted_once)
{
    struct et t;
    struct mr_bound *bound;
    struct et_text p = {NULL, 0, 0};
    struct mr_expr *e;

    et_open(&t, "a int64, b int64", "1|0\n5|1\n2|0\n");
    /* the later branch fails the earlier row */
    e = WHEN(X(EQ, C("a"), I(2)), X(DIVIDE, I(7), C("b")), X(DIVIDE, C("a"), C("b")));
    bound = et_bind(&t, X(ADD, e, X(DIVIDE, I(9), C("b"))));
    et_run(&t, bound, t.batch, 0, 1, &p);
    et_same("run", &p, "FAIL\n14\nFAIL\n");
    MR_EXPECT_EQ_STR(t.last.text, "division by zero in a / b: 1 / 0");
    MR_EXPECT_EQ_INT(t.last.status, MR_E_EVALUATE);
    mr_bound_destroy(bound);
    free(p.data);
    et_close(&t);
}

/* Sizes around words and chunks, with every third row null: tails must not leak into results. */
MR_TEST(sizes, every_batch_size_around_a_word_gives_the_same_rows)
{
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 127, 128, 129, 1000, 4096};
    struct et t;
    struct et_text rows = {NULL, 0, 0}, want = {NULL, 0, 0}, got = {NULL, 0, 0};
    struct mr_bound *bound;

    et_open(&t, "a int64, b int32", "1|1\n");
    bound = et_bind(&t, X(AND, X(LT, C("a"), C("b")), X(NE, C("b"), I(7))));
    for (size_t k = 0; k < MR_COUNT(sizes); k++) {
        struct mr_batch *batch;

        rows.size = want.size = got.size = 0;
        for (uint32_t i = 0; i < sizes[k]; i++) {
            int a = (int)(i * 7 % 11), b = (int)(i * 5 % 13);
            bool null = i % 3 == 2;
            char line[64];

            if (null) (void)snprintf(line, sizeof line, "NULL|%d\n", b);
            else (void)snprintf(line, sizeof line, "%d|%d\n", a, b);
            et_put(&rows, line, strlen(line));
            (void)snprintf(line, sizeof line, "%s\n",
                           b == 7 ? "false" : null ? "NULL" : a < b ? "true" : "false");
            et_put(&want, line, strlen(line));
        }
        batch = mr_data_batch(&t.data.quota, t.schema, rows.data);
        et_run(&t, bound, batch, 0, 1, &got);
        MR_EXPECT_EQ_STR(got.data, want.data);
        mr_batch_release(batch);
    }
    mr_bound_destroy(bound);
    free(rows.data);
    free(want.data);
    free(got.data);
    et_close(&t);
}
